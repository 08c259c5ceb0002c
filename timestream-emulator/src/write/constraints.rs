//! The constraints that the service model puts on a WriteRecords request.
//!
//! They are checked before anything else, and all that are broken are named in one answer, with the
//! path of the member and indexes from 1.

use crate::{
    error::{ErrorKind, ServiceError},
    limits,
    protocol::{Record, WriteRecordsRequest},
};

const MEASURE_VALUE_TYPES: [&str; 6] = [
    "DOUBLE",
    "BIGINT",
    "VARCHAR",
    "BOOLEAN",
    "TIMESTAMP",
    "MULTI",
];
const TIME_UNITS: [&str; 4] = ["MILLISECONDS", "SECONDS", "MICROSECONDS", "NANOSECONDS"];

/// Refuses a request that breaks the service model.
pub(crate) fn check(request: &WriteRecordsRequest) -> Result<(), ServiceError> {
    let mut violations = Violations::default();
    violations.required("databaseName", request.database_name.as_deref());
    violations.required("tableName", request.table_name.as_deref());
    if let Some(common) = &request.common_attributes {
        check_record(&mut violations, "commonAttributes", common);
    }
    match &request.records {
        None => violations.required("records", None),
        Some(records) => {
            violations.count("records", records.len(), 1..=limits::MAX_RECORDS_PER_WRITE);
            for (index, record) in records.iter().enumerate() {
                check_record(
                    &mut violations,
                    &format!("records.{}.member", index + 1),
                    record,
                );
            }
        }
    }
    violations.into_result()
}

/// Constraints broken so far, each in the framework's words.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<String>);

impl Violations {
    /// `value` at `path` must be there.
    pub(crate) fn required(&mut self, path: &str, value: Option<&str>) {
        if value.is_none() {
            self.add("null", path, "Member must not be null");
        }
    }

    /// `value` at `path` must have between these numbers of characters.
    pub(crate) fn length(
        &mut self,
        path: &str,
        value: &str,
        allowed: std::ops::RangeInclusive<usize>,
    ) {
        let length = value.chars().count();
        if !allowed.contains(&length) {
            self.add(
                &format!("'{value}'"),
                path,
                &bounds("length", length, &allowed),
            );
        }
    }

    /// `value` at `path` must lie between these numbers.
    pub(crate) fn range(&mut self, path: &str, value: i64, allowed: std::ops::RangeInclusive<i64>) {
        if value < *allowed.start() {
            let rule = format!(
                "Member must have value greater than or equal to {}",
                allowed.start()
            );
            self.add(&format!("'{value}'"), path, &rule);
        } else if value > *allowed.end() {
            let rule = format!(
                "Member must have value less than or equal to {}",
                allowed.end()
            );
            self.add(&format!("'{value}'"), path, &rule);
        }
    }

    /// `value` at `path` must match a pattern.
    pub(crate) fn pattern(&mut self, path: &str, value: &str, pattern: &str, is_match: bool) {
        if !is_match {
            let rule = format!("Member must satisfy regular expression pattern: {pattern}");
            self.add(&format!("'{value}'"), path, &rule);
        }
    }

    /// The list at `path` must have between these numbers of members.
    pub(crate) fn count(
        &mut self,
        path: &str,
        length: usize,
        allowed: std::ops::RangeInclusive<usize>,
    ) {
        if !allowed.contains(&length) {
            self.add("'[...]'", path, &bounds("length", length, &allowed));
        }
    }

    /// `value` at `path`, if it is there, must be one of these.
    pub(crate) fn one_of(&mut self, path: &str, value: Option<&str>, allowed: &[&str]) {
        if let Some(value) = value.filter(|value| !allowed.contains(value)) {
            let rule = format!(
                "Member must satisfy enum value set: [{}]",
                allowed.join(", ")
            );
            self.add(&format!("'{value}'"), path, &rule);
        }
    }

    fn add(&mut self, value: &str, path: &str, rule: &str) {
        self.0.push(format!(
            "Value {value} at '{path}' failed to satisfy constraint: {rule}"
        ));
    }

    /// One ValidationException for all of them.
    pub(crate) fn into_result(self) -> Result<(), ServiceError> {
        let Violations(violations) = self;
        if violations.is_empty() {
            return Ok(());
        }
        let errors = if violations.len() == 1 {
            "error"
        } else {
            "errors"
        };
        Err(ServiceError::new(
            ErrorKind::Constraint,
            format!(
                "{} validation {errors} detected: {}",
                violations.len(),
                violations.join("; ")
            ),
        ))
    }
}

fn check_record(violations: &mut Violations, path: &str, record: &Record) {
    if let Some(dimensions) = &record.dimensions {
        let path = format!("{path}.dimensions");
        violations.count(
            &path,
            dimensions.len(),
            0..=limits::MAX_DIMENSIONS_PER_TABLE,
        );
        for (index, dimension) in dimensions.iter().enumerate() {
            let at = |member: &str| format!("{path}.{}.member.{member}", index + 1);
            violations.required(&at("value"), dimension.value.as_deref());
            violations.one_of(
                &at("dimensionValueType"),
                dimension.dimension_value_type.as_deref(),
                &["VARCHAR"],
            );
            check_name(violations, &at("name"), dimension.name.as_deref());
        }
    }
    if let Some(name) = &record.measure_name {
        violations.length(&format!("{path}.measureName"), name, 1..=usize::MAX);
    }
    if let Some(value) = &record.measure_value {
        let path = format!("{path}.measureValue");
        violations.length(&path, value, 1..=limits::MAX_MEASURE_VALUE_CHARS);
    }
    if let Some(time) = &record.time {
        violations.length(&format!("{path}.time"), time, 1..=limits::MAX_TIME_CHARS);
    }
    violations.one_of(
        &format!("{path}.measureValueType"),
        record.measure_value_type.as_deref(),
        &MEASURE_VALUE_TYPES,
    );
    violations.one_of(
        &format!("{path}.timeUnit"),
        record.time_unit.as_deref(),
        &TIME_UNITS,
    );
    for (index, value) in record.measure_values.iter().flatten().enumerate() {
        let at = |member: &str| format!("{path}.measureValues.{}.member.{member}", index + 1);
        check_name(violations, &at("name"), value.name.as_deref());
        violations.required(&at("type"), value.r#type.as_deref());
        violations.one_of(&at("type"), value.r#type.as_deref(), &MEASURE_VALUE_TYPES);
        match &value.value {
            None => violations.required(&at("value"), None),
            Some(text) => {
                violations.length(&at("value"), text, 1..=limits::MAX_MEASURE_VALUE_CHARS);
            }
        }
    }
}

fn check_name(violations: &mut Violations, path: &str, name: Option<&str>) {
    match name {
        None => violations.required(path, None),
        Some(name) => violations.length(path, name, 1..=usize::MAX),
    }
}

fn bounds(what: &str, actual: usize, allowed: &std::ops::RangeInclusive<usize>) -> String {
    if actual < *allowed.start() {
        format!(
            "Member must have {what} greater than or equal to {}",
            allowed.start()
        )
    } else {
        format!(
            "Member must have {what} less than or equal to {}",
            allowed.end()
        )
    }
}
