//! Measure values, and their form in a SQLite column.

use std::collections::BTreeMap;

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};

/// Dimension names and values of one series.
pub(crate) type Dimensions = BTreeMap<String, String>;

/// A stored measure value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A finite number, never negative zero.
    Double(f64),
    /// A 64-bit integer.
    Bigint(i64),
    /// A text.
    Varchar(String),
    /// A truth value.
    Boolean(bool),
    /// Nanoseconds since the epoch; only within [`Value::Multi`].
    Timestamp(i64),
    /// The attributes of a multi-measure record by name.
    Multi(BTreeMap<String, Value>),
}

/// Type of a measure or of a multi-measure attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueType {
    Bigint,
    Boolean,
    Double,
    Varchar,
    Timestamp,
    Multi,
}

impl ValueType {
    /// Returns the type by its name in the service model.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "BIGINT" => ValueType::Bigint,
            "BOOLEAN" => ValueType::Boolean,
            "DOUBLE" => ValueType::Double,
            "VARCHAR" => ValueType::Varchar,
            "TIMESTAMP" => ValueType::Timestamp,
            "MULTI" => ValueType::Multi,
            _ => return None,
        })
    }

    /// Returns the name in the service model.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ValueType::Bigint => "BIGINT",
            ValueType::Boolean => "BOOLEAN",
            ValueType::Double => "DOUBLE",
            ValueType::Varchar => "VARCHAR",
            ValueType::Timestamp => "TIMESTAMP",
            ValueType::Multi => "MULTI",
        }
    }

    /// Returns the name in the results of SHOW MEASURES and DESCRIBE.
    pub(crate) fn sql_name(self) -> &'static str {
        match self {
            ValueType::Bigint => "bigint",
            ValueType::Boolean => "boolean",
            ValueType::Double => "double",
            ValueType::Varchar => "varchar",
            ValueType::Timestamp => "timestamp",
            ValueType::Multi => "multi",
        }
    }
}

impl Value {
    pub(crate) fn value_type(&self) -> ValueType {
        match self {
            Value::Double(_) => ValueType::Double,
            Value::Bigint(_) => ValueType::Bigint,
            Value::Varchar(_) => ValueType::Varchar,
            Value::Boolean(_) => ValueType::Boolean,
            Value::Timestamp(_) => ValueType::Timestamp,
            Value::Multi(_) => ValueType::Multi,
        }
    }

    /// Returns the form in which SQLite stores the value; the type is the measure's and not
    /// repeated.
    pub(crate) fn to_sql(&self) -> ToSqlOutput<'_> {
        match self {
            Value::Double(number) => ToSqlOutput::Owned(SqlValue::Real(*number)),
            Value::Bigint(number) | Value::Timestamp(number) => {
                ToSqlOutput::Owned(SqlValue::Integer(*number))
            }
            Value::Varchar(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Boolean(truth) => ToSqlOutput::Owned(SqlValue::Integer(i64::from(*truth))),
            Value::Multi(attributes) => {
                ToSqlOutput::Owned(SqlValue::Text(attributes_to_json(attributes)))
            }
        }
    }

    /// Reads back what [`Value::to_sql`] has written for a measure of type `value_type`.
    pub(crate) fn from_sql(value_type: ValueType, stored: ValueRef<'_>) -> Option<Value> {
        Some(match (value_type, stored) {
            (ValueType::Double, ValueRef::Real(number)) => Value::Double(number),
            (ValueType::Bigint, ValueRef::Integer(number)) => Value::Bigint(number),
            (ValueType::Timestamp, ValueRef::Integer(number)) => Value::Timestamp(number),
            (ValueType::Boolean, ValueRef::Integer(number)) => Value::Boolean(number != 0),
            (ValueType::Varchar, ValueRef::Text(text)) => {
                Value::Varchar(String::from_utf8(text.to_vec()).ok()?)
            }
            (ValueType::Multi, ValueRef::Text(json)) => Value::Multi(attributes_from_json(json)?),
            _ => return None,
        })
    }
}

/// Returns `{"name":["TYPE","text"]}`: numbers as text preserve every bit.
fn attributes_to_json(attributes: &BTreeMap<String, Value>) -> String {
    let texts: BTreeMap<&str, [String; 2]> = attributes
        .iter()
        .map(|(name, value)| {
            let text = match value {
                Value::Double(number) => format!("{number:?}"),
                Value::Bigint(number) | Value::Timestamp(number) => number.to_string(),
                Value::Varchar(text) => text.clone(),
                Value::Boolean(truth) => truth.to_string(),
                Value::Multi(_) => String::new(),
            };
            (name.as_str(), [value.value_type().name().to_owned(), text])
        })
        .collect();
    serde_json::to_string(&texts).expect("a map with string keys is JSON")
}

fn attributes_from_json(json: &[u8]) -> Option<BTreeMap<String, Value>> {
    let texts: BTreeMap<String, [String; 2]> = serde_json::from_slice(json).ok()?;
    texts
        .into_iter()
        .map(|(name, [value_type, text])| {
            let value = match ValueType::from_name(&value_type)? {
                ValueType::Double => Value::Double(text.parse().ok()?),
                ValueType::Bigint => Value::Bigint(text.parse().ok()?),
                ValueType::Timestamp => Value::Timestamp(text.parse().ok()?),
                ValueType::Boolean => Value::Boolean(text.parse().ok()?),
                ValueType::Varchar => Value::Varchar(text),
                ValueType::Multi => return None,
            };
            Some((name, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_sqlite() {
        let scalars = [
            Value::Double(0.1 + 0.2),
            Value::Double(5e-324),
            Value::Bigint(i64::MIN),
            Value::Varchar("it's \"ü\" \u{0}".to_owned()),
            Value::Boolean(true),
            Value::Timestamp(1),
        ];
        let attributes = scalars
            .iter()
            .enumerate()
            .map(|(index, value)| (format!("a{index}"), value.clone()));
        let multi = Value::Multi(attributes.collect());
        for value in scalars.into_iter().chain([multi]) {
            let stored = match value.to_sql() {
                ToSqlOutput::Owned(owned) => owned,
                ToSqlOutput::Borrowed(borrowed) => borrowed.try_into().expect("valid text"),
                other => unreachable!("no other form is written: {other:?}"),
            };
            let read = Value::from_sql(value.value_type(), ValueRef::from(&stored));
            assert_eq!(read, Some(value));
        }
    }
}
