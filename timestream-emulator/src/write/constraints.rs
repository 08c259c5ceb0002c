//! The constraints that the service model puts on a WriteRecords request.
//!
//! They are checked before anything else, and all violations are named in one response, with the
//! path of the member and indexes from 1.

use std::fmt;

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

/// Rejects a request that breaks the service model.
pub(crate) fn check(request: &WriteRecordsRequest) -> Result<(), ServiceError> {
    let mut violations = Violations::default();
    violations.required("databaseName", request.database_name.as_deref());
    violations.required("tableName", request.table_name.as_deref());
    if let Some(common) = &request.common_attributes {
        check_record(&mut violations, &Path::of("commonAttributes"), common);
    }
    match &request.records {
        None => violations.required("records", None),
        Some(records) => {
            violations.count("records", records.len(), 1..=limits::MAX_RECORDS_PER_WRITE);
            for (index, record) in records.iter().enumerate() {
                check_record(&mut violations, &Path::element("records", index), record);
            }
        }
    }
    violations.into_result()
}

/// Constraints broken so far, each in the framework's words.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<String>);

impl Violations {
    /// Requires `value` at `path`.
    pub(crate) fn required(&mut self, path: impl fmt::Display, value: Option<&str>) {
        if value.is_none() {
            self.add("null", path, "Member must not be null");
        }
    }

    /// Requires `value` at `path` to have between these numbers of characters.
    pub(crate) fn length(
        &mut self,
        path: impl fmt::Display,
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

    /// Requires `value` at `path` to lie between these numbers.
    pub(crate) fn range(
        &mut self,
        path: impl fmt::Display,
        value: i64,
        allowed: std::ops::RangeInclusive<i64>,
    ) {
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

    /// Requires `value` at `path` to match a pattern.
    pub(crate) fn pattern(
        &mut self,
        path: impl fmt::Display,
        value: &str,
        pattern: &str,
        is_match: bool,
    ) {
        if !is_match {
            let rule = format!("Member must satisfy regular expression pattern: {pattern}");
            self.add(&format!("'{value}'"), path, &rule);
        }
    }

    /// Requires the list at `path` to have between these numbers of members.
    pub(crate) fn count(
        &mut self,
        path: impl fmt::Display,
        length: usize,
        allowed: std::ops::RangeInclusive<usize>,
    ) {
        if !allowed.contains(&length) {
            self.add("'[...]'", path, &bounds("length", length, &allowed));
        }
    }

    /// Requires `value` at `path`, if it is there, to be one of these.
    pub(crate) fn one_of(
        &mut self,
        path: impl fmt::Display,
        value: Option<&str>,
        allowed: &[&str],
    ) {
        if let Some(value) = value.filter(|value| !allowed.contains(value)) {
            let rule = format!(
                "Member must satisfy enum value set: [{}]",
                allowed.join(", ")
            );
            self.add(&format!("'{value}'"), path, &rule);
        }
    }

    fn add(&mut self, value: &str, path: impl fmt::Display, rule: &str) {
        self.0.push(format!(
            "Value {value} at '{path}' failed to satisfy constraint: {rule}"
        ));
    }

    /// Returns one ValidationException for all of them.
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

/// Path of a member in the request. It becomes text only when a constraint is broken there: a write
/// has thousands of members, and all of them are checked.
#[derive(Debug, Clone, Copy)]
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'static str,
    /// From 0; of a member that is an element of the list `name`.
    index: Option<usize>,
}

impl<'a> Path<'a> {
    fn of(name: &'static str) -> Path<'a> {
        Path {
            parent: None,
            name,
            index: None,
        }
    }

    fn element(name: &'static str, index: usize) -> Path<'a> {
        Path {
            index: Some(index),
            ..Path::of(name)
        }
    }

    /// Returns the same path, within `parent`.
    fn within(self, parent: &'a Path<'a>) -> Path<'a> {
        Path {
            parent: Some(parent),
            ..self
        }
    }

    fn at(&'a self, name: &'static str) -> Path<'a> {
        Path::of(name).within(self)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)?;
        match self.index {
            Some(index) => write!(f, ".{}.member", index + 1),
            None => Ok(()),
        }
    }
}

fn check_record(violations: &mut Violations, path: &Path<'_>, record: &Record) {
    if let Some(dimensions) = &record.dimensions {
        violations.count(
            path.at("dimensions"),
            dimensions.len(),
            0..=limits::MAX_DIMENSIONS_PER_TABLE,
        );
        for (index, dimension) in dimensions.iter().enumerate() {
            let path = Path::element("dimensions", index).within(path);
            violations.required(path.at("value"), dimension.value.as_deref());
            violations.one_of(
                path.at("dimensionValueType"),
                dimension.dimension_value_type.as_deref(),
                &["VARCHAR"],
            );
            check_name(violations, &path, dimension.name.as_deref());
        }
    }
    if let Some(name) = &record.measure_name {
        violations.length(path.at("measureName"), name, 1..=usize::MAX);
    }
    if let Some(value) = &record.measure_value {
        let allowed = 1..=limits::MAX_MEASURE_VALUE_CHARS;
        violations.length(path.at("measureValue"), value, allowed);
    }
    if let Some(time) = &record.time {
        violations.length(path.at("time"), time, 1..=limits::MAX_TIME_CHARS);
    }
    violations.one_of(
        path.at("measureValueType"),
        record.measure_value_type.as_deref(),
        &MEASURE_VALUE_TYPES,
    );
    violations.one_of(
        path.at("timeUnit"),
        record.time_unit.as_deref(),
        &TIME_UNITS,
    );
    for (index, value) in record.measure_values.iter().flatten().enumerate() {
        let path = Path::element("measureValues", index).within(path);
        check_name(violations, &path, value.name.as_deref());
        violations.required(path.at("type"), value.r#type.as_deref());
        violations.one_of(
            path.at("type"),
            value.r#type.as_deref(),
            &MEASURE_VALUE_TYPES,
        );
        match &value.value {
            None => violations.required(path.at("value"), None),
            Some(text) => {
                let allowed = 1..=limits::MAX_MEASURE_VALUE_CHARS;
                violations.length(path.at("value"), text, allowed);
            }
        }
    }
}

fn check_name(violations: &mut Violations, path: &Path<'_>, name: Option<&str>) {
    match name {
        None => violations.required(path.at("name"), None),
        Some(name) => violations.length(path.at("name"), name, 1..=usize::MAX),
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
