//! Requested records -> points, by the rules that fail the whole request.
//!
//! The common attributes are merged into each record (a field given in both: the record wins), then
//! every text is parsed. Rules of the table and of the clock are applied later, per record.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::ServiceError,
    names::{self, NameRule},
    protocol::{Dimension, MeasureValue, Record},
    store::value::{Dimensions, Value, ValueType},
};

/// A record that is well formed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewPoint {
    pub(crate) dimensions: Dimensions,
    pub(crate) measure_name: String,
    pub(crate) value: Value,
    pub(crate) time_ns: i64,
    pub(crate) version: i64,
}

/// Merges and parses all records of a request.
pub(crate) fn parse_records(
    common: &Record,
    records: &[Record],
    names: NameRule,
) -> Result<Vec<NewPoint>, ServiceError> {
    records
        .iter()
        .map(|record| parse_record(common, record, names))
        .collect()
}

fn parse_record(
    common: &Record,
    record: &Record,
    names: NameRule,
) -> Result<NewPoint, ServiceError> {
    let dimensions = merge_dimensions(common, record, names)?;
    let measure_name = record
        .measure_name
        .as_ref()
        .or(common.measure_name.as_ref())
        .ok_or_else(|| ServiceError::validation("A measure name is required for a record."))?;
    names::check_measure_name(measure_name)?;
    let version = record.version.or(common.version).unwrap_or(1);
    if version < 1 {
        return Err(ServiceError::validation(
            "Invalid version for record. The version must be 1 or greater.",
        ));
    }
    let unit = TimeUnit::of(record.time_unit.as_deref().or(common.time_unit.as_deref()));
    let time = record.time.as_deref().or(common.time.as_deref());
    let time_ns = time
        .and_then(|text| unit.nanoseconds(text))
        .ok_or_else(|| ServiceError::validation("Invalid time for record."))?;
    Ok(NewPoint {
        dimensions,
        measure_name: measure_name.clone(),
        value: parse_value(common, record, unit)?,
        time_ns,
        version,
    })
}

fn merge_dimensions(
    common: &Record,
    record: &Record,
    names: NameRule,
) -> Result<Dimensions, ServiceError> {
    let mut merged = BTreeMap::new();
    let both = common.dimensions.iter().chain(&record.dimensions).flatten();
    for Dimension { name, value, .. } in both {
        let (Some(name), Some(value)) = (name, value) else {
            return Err(ServiceError::validation(
                "A dimension needs a name and a value.",
            ));
        };
        names::check_dimension_name(name, names)?;
        if value.is_empty() {
            return Err(ServiceError::validation(format!(
                "The value of dimension '{name}' is empty. A dimension value cannot be empty."
            )));
        }
        if merged.insert(name.clone(), value.clone()).is_some() {
            return Err(ServiceError::validation(format!(
                "Duplicate dimension name '{name}'. Dimension names must be unique in a record and \
                 its common attributes."
            )));
        }
    }
    if merged.is_empty() {
        return Err(ServiceError::validation(
            "At least one dimension is required for a record.",
        ));
    }
    Ok(merged)
}

fn parse_value(common: &Record, record: &Record, unit: TimeUnit) -> Result<Value, ServiceError> {
    let value_type = record
        .measure_value_type
        .as_deref()
        .or(common.measure_value_type.as_deref());
    let single = record
        .measure_value
        .as_deref()
        .or(common.measure_value.as_deref());
    let multi = record
        .measure_values
        .as_deref()
        .or(common.measure_values.as_deref());
    let multi = multi.filter(|values| !values.is_empty());
    match (value_type.unwrap_or("DOUBLE"), single, multi) {
        ("MULTI", None, Some(values)) => parse_multi(values, unit),
        ("MULTI", _, _) => Err(ServiceError::validation(
            "A record of type MULTI needs MeasureValues and no MeasureValue.",
        )),
        ("TIMESTAMP", _, _) => Err(ServiceError::validation(
            "TIMESTAMP is an invalid measure value type.",
        )),
        (value_type, Some(text), None) => parse_scalar(value_type, text, unit),
        _ => Err(ServiceError::validation(
            "A record of a single measure needs a MeasureValue and no MeasureValues.",
        )),
    }
}

fn parse_multi(values: &[MeasureValue], unit: TimeUnit) -> Result<Value, ServiceError> {
    let mut attributes = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for MeasureValue {
        name,
        value,
        r#type,
    } in values
    {
        let (Some(name), Some(value), Some(value_type)) = (name, value, r#type) else {
            return Err(ServiceError::validation(
                "A measure value needs a name, value and type.",
            ));
        };
        names::check_measure_name(name)?;
        if !seen.insert(name) {
            return Err(ServiceError::validation(format!(
                "Duplicate measure value name '{name}'. Names must be unique in a record."
            )));
        }
        attributes.insert(name.clone(), parse_scalar(value_type, value, unit)?);
    }
    Ok(Value::Multi(attributes))
}

fn parse_scalar(value_type: &str, text: &str, unit: TimeUnit) -> Result<Value, ServiceError> {
    let parsed = match ValueType::from_name(value_type) {
        Some(ValueType::Double) => return parse_double(text).map(Value::Double),
        Some(ValueType::Bigint) => parse_integer(text).map(Value::Bigint),
        Some(ValueType::Varchar) => Some(Value::Varchar(text.to_owned())),
        Some(ValueType::Boolean) => text.to_ascii_lowercase().parse().ok().map(Value::Boolean),
        Some(ValueType::Timestamp) => unit.nanoseconds(text).map(Value::Timestamp),
        Some(ValueType::Multi) | None => {
            return Err(ServiceError::validation(format!(
                "{value_type} is an invalid measure value type."
            )));
        }
    };
    parsed.ok_or_else(|| {
        ServiceError::validation(format!(
            "The measure value '{text}' is not a valid {value_type}."
        ))
    })
}

/// Parses decimal and exponent forms of finite numbers; rejects NaN, infinity and negative zero.
fn parse_double(text: &str) -> Result<f64, ServiceError> {
    let has_number_form = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value = text
        .parse()
        .ok()
        .filter(|value: &f64| has_number_form && value.is_finite());
    let value = value.ok_or_else(|| {
        ServiceError::validation(format!(
            "The measure value '{text}' is not a valid DOUBLE. It must be a finite number of IEEE \
             Standard 754 double precision."
        ))
    })?;
    if value == 0.0 && value.is_sign_negative() {
        return Err(ServiceError::validation(format!(
            "The measure value '{text}' is not a valid DOUBLE. Negative zero is not supported."
        )));
    }
    Ok(value)
}

fn parse_integer(text: &str) -> Option<i64> {
    if text.starts_with('+') {
        None
    } else {
        text.parse().ok()
    }
}

/// Unit of a record's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimeUnit {
    nanoseconds: i64,
}

impl TimeUnit {
    /// Returns the unit by its name in the service model; milliseconds when none is given.
    fn of(name: Option<&str>) -> Self {
        let nanoseconds = match name {
            Some("SECONDS") => 1_000_000_000,
            Some("MICROSECONDS") => 1000,
            Some("NANOSECONDS") => 1,
            _ => 1_000_000,
        };
        TimeUnit { nanoseconds }
    }

    /// Returns the time since the epoch; none if it is not an integer, negative or after the year
    /// 2262.
    fn nanoseconds(self, text: &str) -> Option<i64> {
        parse_integer(text)
            .filter(|time| *time >= 0)?
            .checked_mul(self.nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn double_texts() {
        let accepted = [
            ("0", 0.0),
            ("1", 1.0),
            ("-1.5", -1.5),
            ("1e+06", 1e6),
            ("1.0E10", 1e10),
            (".5", 0.5),
            ("5.", 5.0),
            ("4.9E-324", 5e-324),
            ("1.7976931348623157E308", f64::MAX),
            ("+2", 2.0),
            ("0.30000000000000004", 0.30000000000000004),
        ];
        for (text, expected) in accepted {
            assert_eq!(parse_double(text).ok(), Some(expected), "{text}");
        }
        let invalid = [
            "NaN", "nan", "Infinity", "-inf", "inf", "1e400", "-0", "-0.0", "-0e5", "-1e-400", "",
            "x", " 1", "1 ", "0x1p3", "1d", "1,5", "1_000", "--1", "1e", "+", ".",
        ];
        for text in invalid {
            assert!(parse_double(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_by_unit() {
        let cases = [
            (None, "1600000000123", Some(1_600_000_000_123_000_000)),
            (Some("SECONDS"), "1", Some(1_000_000_000)),
            (Some("MICROSECONDS"), "1", Some(1000)),
            (Some("NANOSECONDS"), "1", Some(1)),
            (None, "-1", None),
            (None, "1.5", None),
            (None, "+1", None),
            (None, "", None),
            (Some("SECONDS"), "9223372036854775807", None),
        ];
        for (unit, text, expected) in cases {
            assert_eq!(
                TimeUnit::of(unit).nanoseconds(text),
                expected,
                "{unit:?} {text}"
            );
        }
    }

    #[test]
    fn scalar_texts() {
        let unit = TimeUnit::of(None);
        let cases = [
            (
                "BIGINT",
                "9223372036854775807",
                Some(Value::Bigint(i64::MAX)),
            ),
            ("BIGINT", "9223372036854775808", None),
            ("BIGINT", "1.0", None),
            ("BOOLEAN", "true", Some(Value::Boolean(true))),
            ("BOOLEAN", "FALSE", Some(Value::Boolean(false))),
            ("BOOLEAN", "1", None),
            ("VARCHAR", "x", Some(Value::Varchar("x".to_owned()))),
            ("TIMESTAMP", "5", Some(Value::Timestamp(5_000_000))),
            ("MULTI", "5", None),
        ];
        for (value_type, text, expected) in cases {
            assert_eq!(
                parse_scalar(value_type, text, unit).ok(),
                expected,
                "{value_type} {text}"
            );
        }
    }
}
