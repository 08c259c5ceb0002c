//! Literals and names of types.

use sqlparser::ast::{DataType, Expr as Ast, Interval, Value};

use super::{Bound, Typed, error, unsupported};
use crate::{
    error::ServiceError,
    query::{
        expr::Expr,
        functions,
        time::Unit,
        types::{Datum, Type},
    },
};

pub(super) fn literal(ast: &Ast, value: &Value) -> Bound {
    let (datum, data_type) = match value {
        Value::Null => (Datum::Null, Type::Unknown),
        Value::Boolean(truth) => (Datum::Boolean(*truth), Type::Boolean),
        Value::SingleQuotedString(text) => (Datum::text(text), Type::Varchar),
        Value::Number(digits, false) if digits.contains(['.', 'e', 'E']) => {
            let number = digits
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite());
            let number =
                number.ok_or_else(|| error(ast, format!("Invalid numeric literal: {digits}")))?;
            (Datum::Double(number), Type::Double)
        }
        Value::Number(digits, false) => {
            let number = digits.parse::<i64>();
            let number =
                number.map_err(|_| error(ast, format!("Invalid numeric literal: {digits}")))?;
            let is_small = i32::try_from(number).is_ok();
            (
                Datum::Int(number),
                if is_small {
                    Type::Integer
                } else {
                    Type::Bigint
                },
            )
        }
        _ => return Err(unsupported(ast)),
    };
    Ok(Typed {
        expr: Expr::Constant(datum),
        data_type,
    })
}

/// Binds `timestamp '...'`, `date '...'` and `time '...'`.
pub(super) fn typed_string(ast: &Ast, data_type: &DataType, value: &Value) -> Bound {
    let Value::SingleQuotedString(text) = value else {
        return Err(unsupported(ast));
    };
    let to = sql_type(ast, data_type)?;
    if !matches!(to, Type::Timestamp | Type::Date | Type::Time) {
        return Err(unsupported(ast));
    }
    let datum = functions::cast(&Datum::text(text), &to)
        .and_then(|datum| match datum {
            Datum::Timestamp(time) => functions::timestamp(Some(time)),
            other => Ok(other),
        })
        .map_err(|_| error(ast, format!("'{text}' is not a valid {to} literal")))?;
    Ok(Typed {
        expr: Expr::Constant(datum),
        data_type: to,
    })
}

/// Binds `1h` and `interval '2' day`.
pub(super) fn bind_interval(ast: &Ast, interval: &Interval) -> Bound {
    let is_plain = interval.leading_precision.is_none()
        && interval.last_field.is_none()
        && interval.fractional_seconds_precision.is_none();
    let count = match &*interval.value {
        Ast::Value(value) if is_plain => match &value.value {
            Value::Number(digits, false) | Value::SingleQuotedString(digits) => {
                digits.parse::<i64>().ok()
            }
            _ => None,
        },
        _ => None,
    };
    let unit = interval
        .leading_field
        .as_ref()
        .and_then(|unit| Unit::from_name(&unit.to_string()));
    let length = count.zip(unit).and_then(|(count, unit)| match unit {
        Unit::Fixed(size) => Some((Datum::Interval(count.checked_mul(size)?), Type::Interval)),
        calendar => {
            let months = count.checked_mul(calendar.months())?;
            Some((Datum::Months(months), Type::Months))
        }
    });
    let (datum, data_type) = length.ok_or_else(|| {
        error(
            ast,
            format!("the interval {interval} is not supported by the emulator"),
        )
    })?;
    Ok(Typed {
        expr: Expr::Constant(datum),
        data_type,
    })
}

pub(super) fn sql_type(ast: &Ast, data_type: &DataType) -> Result<Type, ServiceError> {
    Ok(match data_type.to_string().to_ascii_lowercase().as_str() {
        "boolean" => Type::Boolean,
        "integer" | "int" => Type::Integer,
        "bigint" => Type::Bigint,
        "double" => Type::Double,
        "varchar" => Type::Varchar,
        "timestamp" => Type::Timestamp,
        "date" => Type::Date,
        "time" => Type::Time,
        other => {
            return Err(error(
                ast,
                format!("the type {other} is not supported by the emulator"),
            ));
        }
    })
}
