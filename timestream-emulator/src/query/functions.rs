//! Scalar functions.
//!
//! An overload consists of its name, the types of its arguments, the type of its result and what it
//! does. A NULL argument makes the result NULL. Functions that depend on more than the values of
//! their arguments (COALESCE, IF, `now`, `regexp_like` ...) are bound elsewhere.

use std::sync::Arc;

use super::{
    output,
    time::{self, NS_PER_DAY, NS_PER_MILLISECOND, NS_PER_SECOND, Unit},
    types::{Datum, Type},
};

/// Body of a function; its arguments have the overload's types and are not NULL.
pub(crate) type Implementation = fn(&[Datum]) -> Result<Datum, String>;

/// One overload of a function.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [Type],
    pub(crate) result: Type,
    pub(crate) implementation: Implementation,
}

/// Returns the first overload that accepts arguments of these types.
///
/// # Errors
///
/// An unknown name, or none of its overloads fits.
pub(crate) fn resolve(name: &str, arguments: &[Type]) -> Result<&'static Function, String> {
    let overloads = || FUNCTIONS.iter().filter(|function| function.name == name);
    if overloads().next().is_none() {
        return Err(format!("Function {name} not registered"));
    }
    overloads()
        .find(|function| {
            function.arguments.len() == arguments.len()
                && arguments
                    .iter()
                    .zip(function.arguments)
                    .all(|(given, wanted)| given.coerces_to(wanted))
        })
        .ok_or_else(|| {
            let given: Vec<String> = arguments.iter().map(Type::to_string).collect();
            format!(
                "Unexpected parameters ({}) for function {name}",
                given.join(", ")
            )
        })
}

/// A function of one double.
macro_rules! double {
    ($name:literal, $implementation:expr) => {
        function($name, &[Type::Double], Type::Double, |a| {
            let f: fn(f64) -> f64 = $implementation;
            Ok(Datum::Double(f(number(&a[0]))))
        })
    };
}

/// A predicate on one double.
macro_rules! double_test {
    ($name:literal, $implementation:expr) => {
        function($name, &[Type::Double], Type::Boolean, |a| {
            let f: fn(f64) -> bool = $implementation;
            Ok(Datum::Boolean(f(number(&a[0]))))
        })
    };
}

/// A function of one text.
macro_rules! text {
    ($name:literal, $implementation:expr) => {
        function($name, &[Type::Varchar], Type::Varchar, |a| {
            let f: fn(&str) -> String = $implementation;
            Ok(Datum::text(&f(string(&a[0]))))
        })
    };
}

/// A field of a timestamp.
macro_rules! field {
    ($name:literal) => {
        field!($name, $name)
    };
    ($name:literal, $field:literal) => {
        function($name, &[Type::Timestamp], Type::Bigint, |a| {
            time::field($field, integer(&a[0]))
                .map(Datum::Int)
                .ok_or_else(out_of_range)
        })
    };
}

static FUNCTIONS: &[Function] = &[
    function("abs", &[Type::Bigint], Type::Bigint, |a| {
        integer(&a[0])
            .checked_abs()
            .map(Datum::Int)
            .ok_or_else(out_of_range)
    }),
    double!("abs", f64::abs),
    double!("ceil", f64::ceil),
    double!("ceiling", f64::ceil),
    double!("floor", f64::floor),
    double!("round", round_half_up),
    function("round", &[Type::Double, Type::Bigint], Type::Double, |a| {
        let scale = 10f64.powi(integer(&a[1]).clamp(-300, 300) as i32);
        Ok(Datum::Double(round_half_up(number(&a[0]) * scale) / scale))
    }),
    double!("sqrt", f64::sqrt),
    double!("ln", f64::ln),
    double!("log10", f64::log10),
    double!("log2", f64::log2),
    double!("exp", f64::exp),
    double!("sign", |x| if x == 0.0 || x.is_nan() {
        x
    } else {
        x.signum()
    }),
    function("power", &[Type::Double, Type::Double], Type::Double, power),
    function("pow", &[Type::Double, Type::Double], Type::Double, power),
    function("nan", &[], Type::Double, |_| Ok(Datum::Double(f64::NAN))),
    function("infinity", &[], Type::Double, |_| {
        Ok(Datum::Double(f64::INFINITY))
    }),
    double_test!("is_nan", f64::is_nan),
    double_test!("is_finite", f64::is_finite),
    double_test!("is_infinite", f64::is_infinite),
    text!("lower", str::to_lowercase),
    text!("upper", str::to_uppercase),
    text!("reverse", |text| text.chars().rev().collect()),
    text!("trim", |text| text.trim_matches(' ').to_owned()),
    text!("ltrim", |text| text.trim_start_matches(' ').to_owned()),
    text!("rtrim", |text| text.trim_end_matches(' ').to_owned()),
    function("length", &[Type::Varchar], Type::Bigint, |a| {
        Ok(Datum::Int(string(&a[0]).chars().count() as i64))
    }),
    function(
        "substr",
        &[Type::Varchar, Type::Bigint],
        Type::Varchar,
        substring,
    ),
    function(
        "substr",
        &[Type::Varchar, Type::Bigint, Type::Bigint],
        Type::Varchar,
        substring,
    ),
    function(
        "substring",
        &[Type::Varchar, Type::Bigint],
        Type::Varchar,
        substring,
    ),
    function(
        "substring",
        &[Type::Varchar, Type::Bigint, Type::Bigint],
        Type::Varchar,
        substring,
    ),
    function(
        "replace",
        &[Type::Varchar, Type::Varchar],
        Type::Varchar,
        |a| Ok(Datum::text(&string(&a[0]).replace(string(&a[1]), ""))),
    ),
    function(
        "replace",
        &[Type::Varchar, Type::Varchar, Type::Varchar],
        Type::Varchar,
        |a| {
            Ok(Datum::text(
                &string(&a[0]).replace(string(&a[1]), string(&a[2])),
            ))
        },
    ),
    function(
        "strpos",
        &[Type::Varchar, Type::Varchar],
        Type::Bigint,
        |a| {
            let (text, wanted) = (string(&a[0]), string(&a[1]));
            let found = text
                .find(wanted)
                .map_or(0, |byte| text[..byte].chars().count() + 1);
            Ok(Datum::Int(found as i64))
        },
    ),
    function(
        "starts_with",
        &[Type::Varchar, Type::Varchar],
        Type::Boolean,
        |a| Ok(Datum::Boolean(string(&a[0]).starts_with(string(&a[1])))),
    ),
    function(
        "split_part",
        &[Type::Varchar, Type::Varchar, Type::Bigint],
        Type::Varchar,
        |a| {
            let index = usize::try_from(integer(&a[2]))
                .ok()
                .filter(|index| *index > 0);
            let index = index.ok_or("Index must be greater than zero")?;
            Ok(string(&a[0])
                .split(string(&a[1]))
                .nth(index - 1)
                .map_or(Datum::Null, Datum::text))
        },
    ),
    function(
        "bin",
        &[Type::Timestamp, Type::Interval],
        Type::Timestamp,
        |a| {
            let (time, size) = (integer(&a[0]), integer(&a[1]));
            if size <= 0 {
                return Err("bin size must be greater than zero".to_owned());
            }
            Ok(Datum::Timestamp(time - time.rem_euclid(size)))
        },
    ),
    function(
        "date_trunc",
        &[Type::Varchar, Type::Date],
        Type::Date,
        |a| whole_date(unit(&a[0])?.truncate(midnight(&a[1])?)),
    ),
    function(
        "date_trunc",
        &[Type::Varchar, Type::Timestamp],
        Type::Timestamp,
        |a| timestamp(unit(&a[0])?.truncate(integer(&a[1]))),
    ),
    function(
        "date_add",
        &[Type::Varchar, Type::Bigint, Type::Date],
        Type::Date,
        |a| whole_date(unit(&a[0])?.add(midnight(&a[2])?, integer(&a[1]))),
    ),
    function(
        "date_add",
        &[Type::Varchar, Type::Bigint, Type::Timestamp],
        Type::Timestamp,
        |a| timestamp(unit(&a[0])?.add(integer(&a[2]), integer(&a[1]))),
    ),
    function(
        "date_diff",
        &[Type::Varchar, Type::Timestamp, Type::Timestamp],
        Type::Bigint,
        |a| {
            let units = unit(&a[0])?.between(integer(&a[1]), integer(&a[2]));
            units.map(Datum::Int).ok_or_else(out_of_range)
        },
    ),
    function("from_milliseconds", &[Type::Bigint], Type::Timestamp, |a| {
        timestamp(integer(&a[0]).checked_mul(NS_PER_MILLISECOND))
    }),
    function("from_nanoseconds", &[Type::Bigint], Type::Timestamp, |a| {
        timestamp(Some(integer(&a[0])))
    }),
    function("from_unixtime", &[Type::Bigint], Type::Timestamp, |a| {
        timestamp(integer(&a[0]).checked_mul(NS_PER_SECOND))
    }),
    function("from_unixtime", &[Type::Double], Type::Timestamp, |a| {
        let milliseconds = (number(&a[0]) * 1000.0).round();
        let is_in_range = milliseconds.abs() < 9.3e12;
        timestamp(
            (milliseconds as i64)
                .checked_mul(NS_PER_MILLISECOND)
                .filter(|_| is_in_range),
        )
    }),
    function(
        "from_iso8601_timestamp",
        &[Type::Varchar],
        Type::Timestamp,
        |a| {
            let text = string(&a[0]);
            let time =
                time::parse_iso8601(text).ok_or_else(|| format!("Invalid format: \"{text}\""))?;
            timestamp(Some(time))
        },
    ),
    function("to_milliseconds", &[Type::Timestamp], Type::Bigint, |a| {
        Ok(Datum::Int(integer(&a[0]).div_euclid(NS_PER_MILLISECOND)))
    }),
    function("to_milliseconds", &[Type::Interval], Type::Bigint, |a| {
        Ok(Datum::Int(integer(&a[0]) / NS_PER_MILLISECOND))
    }),
    function("to_nanoseconds", &[Type::Timestamp], Type::Bigint, |a| {
        Ok(Datum::Int(integer(&a[0])))
    }),
    function("to_nanoseconds", &[Type::Interval], Type::Bigint, |a| {
        Ok(Datum::Int(integer(&a[0])))
    }),
    function("to_unixtime", &[Type::Timestamp], Type::Double, |a| {
        Ok(Datum::Double(integer(&a[0]) as f64 / NS_PER_SECOND as f64))
    }),
    function("to_iso8601", &[Type::Timestamp], Type::Varchar, |a| {
        let text = output::scalar_text(&a[0]);
        Ok(Datum::text(&format!("{}Z", text.replace(' ', "T"))))
    }),
    function("date", &[Type::Timestamp], Type::Date, |a| {
        cast(&a[0], &Type::Date)
    }),
    function("date", &[Type::Varchar], Type::Date, |a| {
        cast(&a[0], &Type::Date)
    }),
    function("from_iso8601_date", &[Type::Varchar], Type::Date, |a| {
        cast(&a[0], &Type::Date)
    }),
    function("last_day_of_month", &[Type::Timestamp], Type::Date, |a| {
        time::last_day_of_month(integer(&a[0]).div_euclid(NS_PER_DAY))
            .map(Datum::Date)
            .ok_or_else(out_of_range)
    }),
    field!("year"),
    field!("quarter"),
    field!("month"),
    field!("day"),
    field!("day_of_month", "day"),
    field!("day_of_week"),
    field!("dow", "day_of_week"),
    field!("day_of_year"),
    field!("doy", "day_of_year"),
    field!("week"),
    field!("week_of_year", "week"),
    field!("year_of_week"),
    field!("yow", "year_of_week"),
    field!("hour"),
    field!("minute"),
    field!("second"),
    field!("millisecond"),
];

const fn function(
    name: &'static str,
    arguments: &'static [Type],
    result: Type,
    implementation: Implementation,
) -> Function {
    Function {
        name,
        arguments,
        result,
        implementation,
    }
}

/// Converts `value` to the type `to`, by CAST or by coercion.
pub(crate) fn cast(value: &Datum, to: &Type) -> Result<Datum, String> {
    let failed = || format!("Cannot cast '{}' to {to}", output::scalar_text(value));
    let parsed = match (value, to) {
        (Datum::Null, _) => Some(Datum::Null),
        (_, Type::Varchar) => Some(Datum::text(&output::scalar_text(value))),
        (Datum::Int(_), Type::Bigint) | (Datum::Double(_), Type::Double) => Some(value.clone()),
        (Datum::Boolean(_), Type::Boolean) | (Datum::Interval(_), Type::Interval) => {
            Some(value.clone())
        }
        (Datum::Timestamp(_), Type::Timestamp)
        | (Datum::Date(_), Type::Date)
        | (Datum::Time(_), Type::Time)
        | (Datum::Months(_), Type::Months) => Some(value.clone()),
        (Datum::Array(elements), Type::Array(element)) => {
            let elements = elements.iter().map(|datum| cast(datum, element));
            Some(Datum::Array(elements.collect::<Result<_, _>>()?))
        }
        (Datum::Timestamp(time), Type::Time) => Some(Datum::Time(time.rem_euclid(NS_PER_DAY))),
        (Datum::Text(text), Type::Time) => time::parse_clock(text).map(Datum::Time),
        (Datum::Int(number), Type::Integer) => i32::try_from(*number).ok().map(|_| value.clone()),
        (Datum::Int(number), Type::Double) => Some(Datum::Double(*number as f64)),
        (Datum::Int(number), Type::Boolean) => Some(Datum::Boolean(*number != 0)),
        (Datum::Boolean(truth), Type::Integer | Type::Bigint) => {
            Some(Datum::Int(i64::from(*truth)))
        }
        (Datum::Boolean(truth), Type::Double) => Some(Datum::Double(f64::from(u8::from(*truth)))),
        (Datum::Double(number), Type::Boolean) => Some(Datum::Boolean(*number != 0.0)),
        (Datum::Double(number), Type::Integer | Type::Bigint) => {
            double_to_integer(*number, to).map(Datum::Int)
        }
        (Datum::Text(text), Type::Integer) => {
            text.parse::<i32>().ok().map(|n| Datum::Int(n.into()))
        }
        (Datum::Text(text), Type::Bigint) => text.parse().ok().map(Datum::Int),
        (Datum::Text(text), Type::Double) => parse_double(text).map(Datum::Double),
        (Datum::Text(text), Type::Boolean) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Some(Datum::Boolean(true)),
            "false" | "f" | "0" => Some(Datum::Boolean(false)),
            _ => None,
        },
        (Datum::Text(text), Type::Timestamp) => time::parse_timestamp(text).map(Datum::Timestamp),
        (Datum::Text(text), Type::Date) => time::parse_date(text).map(Datum::Date),
        (Datum::Date(days), Type::Timestamp) => days.checked_mul(NS_PER_DAY).map(Datum::Timestamp),
        (Datum::Timestamp(time), Type::Date) => Some(Datum::Date(time.div_euclid(NS_PER_DAY))),
        _ => None,
    };
    parsed.ok_or_else(failed)
}

/// Returns a timestamp, or an error before the epoch and beyond what 64 bits of nanoseconds hold.
pub(crate) fn timestamp(time_ns: Option<i64>) -> Result<Datum, String> {
    time_ns
        .filter(|time| *time >= 0)
        .map(Datum::Timestamp)
        .ok_or_else(|| {
            "The timestamp is outside the supported range of 1970-01-01 to 2262-04-11".to_owned()
        })
}

fn midnight(date: &Datum) -> Result<i64, String> {
    let midnight = integer(date).checked_mul(NS_PER_DAY);
    midnight.ok_or_else(out_of_range)
}

/// Returns a date again, which units of less than a day cannot give.
fn whole_date(time_ns: Option<i64>) -> Result<Datum, String> {
    match timestamp(time_ns)? {
        Datum::Timestamp(time) if time % NS_PER_DAY == 0 => Ok(Datum::Date(time / NS_PER_DAY)),
        _ => Err("the unit is not a valid Date field".to_owned()),
    }
}

fn double_to_integer(number: f64, to: &Type) -> Option<i64> {
    let rounded = round_half_up(number);
    // 2^63 is a double, i64::MAX is not.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
    let integer = fits.then_some(rounded as i64)?;
    (*to == Type::Bigint || i32::try_from(integer).is_ok()).then_some(integer)
}

/// Parses the forms that Java's parser and Rust's both accept.
fn parse_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

/// Rounds half away from zero, as Presto does.
fn round_half_up(number: f64) -> f64 {
    number.round()
}

fn power(arguments: &[Datum]) -> Result<Datum, String> {
    Ok(Datum::Double(
        number(&arguments[0]).powf(number(&arguments[1])),
    ))
}

/// Returns the text from a position, which is counted from 1, or from the end if negative; position
/// 0 gives an empty text.
fn substring(arguments: &[Datum]) -> Result<Datum, String> {
    let text: Vec<char> = string(&arguments[0]).chars().collect();
    let start = integer(&arguments[1]);
    let from_start = if start < 0 {
        text.len() as i64 + start
    } else {
        start - 1
    };
    let length = arguments.get(2).map_or(i64::MAX, integer);
    if from_start < 0 || length <= 0 {
        return Ok(Datum::text(""));
    }
    let skipped = text
        .iter()
        .skip(usize::try_from(from_start).unwrap_or(usize::MAX));
    let part: String = skipped
        .take(usize::try_from(length).unwrap_or(usize::MAX))
        .collect();
    Ok(Datum::Text(Arc::from(part)))
}

fn unit(name: &Datum) -> Result<Unit, String> {
    let name = string(name);
    Unit::from_name(name).ok_or_else(|| format!("'{name}' is not a valid Timestamp field"))
}

fn number(datum: &Datum) -> f64 {
    match datum {
        Datum::Double(number) => *number,
        other => integer(other) as f64,
    }
}

fn integer(datum: &Datum) -> i64 {
    match datum {
        Datum::Int(number)
        | Datum::Timestamp(number)
        | Datum::Date(number)
        | Datum::Time(number)
        | Datum::Interval(number)
        | Datum::Months(number) => *number,
        _ => 0,
    }
}

fn string(datum: &Datum) -> &str {
    match datum {
        Datum::Text(text) => text,
        _ => "",
    }
}

fn out_of_range() -> String {
    "the result is out of range".to_owned()
}
