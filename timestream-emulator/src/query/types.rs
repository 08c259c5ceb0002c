//! SQL types and values.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Type of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    /// Of a bare NULL.
    Unknown,
    Boolean,
    Integer,
    Bigint,
    Double,
    Varchar,
    Timestamp,
    Date,
    Time,
    /// INTERVAL_DAY_TO_SECOND.
    Interval,
    /// INTERVAL_YEAR_TO_MONTH.
    Months,
    Array(Box<Type>),
    Row(Vec<(&'static str, Type)>),
    TimeSeries(Box<Type>),
}

impl Type {
    /// Returns true if a value of this type may stand where `wanted` is expected.
    pub(crate) fn coerces_to(&self, wanted: &Type) -> bool {
        self == wanted
            || matches!(
                (self, wanted),
                (Type::Unknown, _)
                    | (Type::Integer, Type::Bigint | Type::Double)
                    | (Type::Bigint, Type::Double)
                    | (Type::Date, Type::Timestamp)
            )
            || matches!(
                (self, wanted),
                (Type::Array(given), Type::Array(wanted)) if given.coerces_to(wanted)
            )
    }

    /// Returns the narrowest type that both coerce to.
    pub(crate) fn common(&self, other: &Type) -> Option<Type> {
        if self.coerces_to(other) {
            Some(other.clone())
        } else if other.coerces_to(self) {
            Some(self.clone())
        } else {
            None
        }
    }

    pub(crate) fn is_numeric(&self) -> bool {
        matches!(self, Type::Integer | Type::Bigint | Type::Double)
    }

    /// Returns true if values of the type have an order.
    pub(crate) fn is_orderable(&self) -> bool {
        !matches!(self, Type::Array(_) | Type::Row(_) | Type::TimeSeries(_))
    }
}

/// Writes the name as error texts have it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Unknown => f.write_str("unknown"),
            Type::Boolean => f.write_str("boolean"),
            Type::Integer => f.write_str("integer"),
            Type::Bigint => f.write_str("bigint"),
            Type::Double => f.write_str("double"),
            Type::Varchar => f.write_str("varchar"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::Date => f.write_str("date"),
            Type::Time => f.write_str("time"),
            Type::Interval => f.write_str("interval day to second"),
            Type::Months => f.write_str("interval year to month"),
            Type::Array(element) => write!(f, "array({element})"),
            Type::Row(_) => f.write_str("row"),
            Type::TimeSeries(value) => write!(f, "timeseries({value})"),
        }
    }
}

/// A value. Equality and hash are those of grouping: NULL equals NULL, NaN equals NaN.
#[derive(Debug, Clone)]
pub(crate) enum Datum {
    Null,
    Boolean(bool),
    /// Of type INTEGER or BIGINT.
    Int(i64),
    Double(f64),
    Text(Arc<str>),
    /// Nanoseconds since the epoch.
    Timestamp(i64),
    /// Days since the epoch.
    Date(i64),
    /// Nanoseconds since midnight.
    Time(i64),
    /// Nanoseconds.
    Interval(i64),
    Months(i64),
    Array(Vec<Datum>),
    Row(Vec<Datum>),
    TimeSeries(Vec<(i64, Datum)>),
}

impl Datum {
    pub(crate) fn text(text: &str) -> Datum {
        Datum::Text(text.into())
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// Returns the SQL order of two values of one type; none if either is NULL or NaN.
    pub(crate) fn compare(&self, other: &Datum) -> Option<Ordering> {
        match (self, other) {
            (Datum::Boolean(a), Datum::Boolean(b)) => Some(a.cmp(b)),
            (Datum::Double(a), Datum::Double(b)) => a.partial_cmp(b),
            (Datum::Text(a), Datum::Text(b)) => Some(a.cmp(b)),
            (Datum::Int(a), Datum::Int(b))
            | (Datum::Timestamp(a), Datum::Timestamp(b))
            | (Datum::Date(a), Datum::Date(b))
            | (Datum::Time(a), Datum::Time(b))
            | (Datum::Interval(a), Datum::Interval(b))
            | (Datum::Months(a), Datum::Months(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Datum::Null => 0,
            Datum::Boolean(_) => 1,
            Datum::Int(_) => 2,
            Datum::Double(_) => 3,
            Datum::Text(_) => 4,
            Datum::Timestamp(_) => 5,
            Datum::Date(_) => 6,
            Datum::Interval(_) => 7,
            Datum::Array(_) => 8,
            Datum::Row(_) => 9,
            Datum::TimeSeries(_) => 10,
            Datum::Time(_) => 11,
            Datum::Months(_) => 12,
        }
    }
}

impl PartialEq for Datum {
    fn eq(&self, other: &Datum) -> bool {
        match (self, other) {
            (Datum::Null, Datum::Null) => true,
            (Datum::Double(a), Datum::Double(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Datum::Array(a), Datum::Array(b)) | (Datum::Row(a), Datum::Row(b)) => a == b,
            (Datum::TimeSeries(a), Datum::TimeSeries(b)) => a == b,
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }
}

impl Eq for Datum {}

impl Hash for Datum {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Datum::Null => {}
            Datum::Boolean(truth) => truth.hash(state),
            Datum::Int(number)
            | Datum::Timestamp(number)
            | Datum::Date(number)
            | Datum::Time(number)
            | Datum::Interval(number)
            | Datum::Months(number) => number.hash(state),
            Datum::Double(number) if number.is_nan() => f64::NAN.to_bits().hash(state),
            // Adding zero turns -0.0, which equals 0.0, into 0.0.
            Datum::Double(number) => (number + 0.0).to_bits().hash(state),
            Datum::Text(text) => text.hash(state),
            Datum::Array(elements) | Datum::Row(elements) => elements.hash(state),
            Datum::TimeSeries(points) => points.hash(state),
        }
    }
}
