//! Numbers and durations as Go reads and writes them.

use prom_model::go_math::{Digits, Shortest};

use crate::text::quote;

const MILLISECOND: u64 = 1_000_000;

/// The units of durations in nanoseconds, from the largest.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000 * MILLISECOND),
    ("w", 7 * 86_400_000 * MILLISECOND),
    ("d", 86_400_000 * MILLISECOND),
    ("h", 3_600_000 * MILLISECOND),
    ("m", 60_000 * MILLISECOND),
    ("s", 1_000 * MILLISECOND),
    ("ms", MILLISECOND),
];

/// Parses a number: an integer with Go's prefixes, else a float.
pub(crate) fn parse_number(digits: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(digits) {
        return Ok(integer as f64);
    }
    let failed = |reason: &str| {
        let quoted = quote(digits.as_bytes());
        Err(format!("strconv.ParseFloat: parsing {quoted}: {reason}"))
    };
    match digits.to_ascii_lowercase().as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        lower if lower.starts_with("0x") => return failed("invalid syntax"),
        _ if !are_underscores_valid(digits) => return failed("invalid syntax"),
        _ => {}
    }
    match digits.replace('_', "").parse::<f64>() {
        Ok(number) if number.is_infinite() => failed("value out of range"),
        Ok(number) => Ok(number),
        Err(_) => failed("invalid syntax"),
    }
}

fn parse_integer(digits: &str) -> Option<i64> {
    if !are_underscores_valid(digits) {
        return None;
    }
    let plain = digits.replace('_', "");
    let hexadecimal = plain
        .strip_prefix("0x")
        .or_else(|| plain.strip_prefix("0X"));
    match (hexadecimal, plain.strip_prefix('0')) {
        (Some(rest), _) => i64::from_str_radix(rest, 16).ok(),
        (None, Some(rest)) if !rest.is_empty() => i64::from_str_radix(rest, 8).ok(),
        _ => plain.parse().ok(),
    }
}

/// Returns true if each underscore stands between digits, or between a prefix and a digit.
pub(crate) fn are_underscores_valid(digits: &str) -> bool {
    let is_hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
    let (mut after_digit, mut after_underscore) = (is_hexadecimal, false);
    for byte in digits.bytes().skip(if is_hexadecimal { 2 } else { 0 }) {
        let is_digit = byte.is_ascii_digit() || is_hexadecimal && byte.is_ascii_hexdigit();
        if byte == b'_' && !after_digit || after_underscore && !is_digit {
            return false;
        }
        (after_digit, after_underscore) = (is_digit, byte == b'_');
    }
    !after_underscore
}

/// Returns the nanoseconds of a duration such as `1h30m`, as the options and the HTTP API of Prometheus accept it: whole
/// numbers with units that fall, or `0`.
///
/// ```
/// assert_eq!(promql::parse_duration("1m30s"), Ok(90_000_000_000));
/// assert_eq!(promql::parse_duration("5").unwrap_err(), "not a valid duration string: \"5\"");
/// ```
///
/// # Errors
/// The text is no duration, or a longer one than 64 bits hold. The error has Prometheus' text.
pub fn parse_duration(duration: &str) -> Result<i64, String> {
    match duration {
        "0" => return Ok(0),
        "" => return Err("empty duration string".to_owned()),
        _ => {}
    }
    let invalid = || {
        let quoted = quote(duration.as_bytes());
        format!("not a valid duration string: {quoted}")
    };
    let out_of_range = || "duration out of range".to_owned();
    let (mut rest, mut nanoseconds, mut next_unit) = (duration, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(invalid)?;
        let count: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let (unit, after) = rest.split_at(
            rest.find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len()),
        );
        rest = after;
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            let (unit, quoted) = (quote(unit.as_bytes()), quote(duration.as_bytes()));
            return Err(format!("unknown unit {unit} in duration {quoted}"));
        };
        if index < next_unit {
            return Err(invalid());
        }
        next_unit = index + 1;
        nanoseconds = count
            .checked_mul(UNITS[index].1)
            .and_then(|part| nanoseconds.checked_add(part))
            .filter(|&sum| i64::try_from(sum).is_ok())
            .ok_or_else(out_of_range)?;
    }
    i64::try_from(nanoseconds).map_err(|_| out_of_range())
}

/// Returns the milliseconds of a duration, see [`parse_duration`].
///
/// ```
/// assert_eq!(promql::parse_duration_ms("5m"), Ok(300_000));
/// assert_eq!(promql::parse_duration_ms("").unwrap_err(), "empty duration string");
/// ```
///
/// # Errors
/// As for [`parse_duration`].
pub fn parse_duration_ms(duration: &str) -> Result<i64, String> {
    const MILLISECOND: i64 = 1_000_000;
    Ok(parse_duration(duration)? / MILLISECOND)
}

/// Formats a duration as Prometheus does: whole milliseconds in falling units, years and weeks only if nothing is
/// left over.
pub(crate) fn format_duration(nanoseconds: i64) -> String {
    let mut rest = nanoseconds.unsigned_abs() / MILLISECOND;
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut formatted = String::from(if nanoseconds < 0 { "-" } else { "" });
    for (unit, length) in UNITS {
        let length = length / MILLISECOND;
        let must_divide = matches!(unit, "y" | "w");
        if rest >= length && (!must_divide || rest.is_multiple_of(length)) {
            formatted.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    formatted
}

/// Formats a number without an exponent, as Go's format `f` with the fewest digits.
pub(crate) fn format_number(number: f64) -> String {
    match number {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => Digits(number).to_string(),
    }
}

/// Formats a finite number as Prometheus' JSON: with an exponent if it is below -6 or at least 21.
pub(crate) fn json_number(number: f64) -> String {
    let scientific = format!("{:e}", Digits(number));
    let (digits, exponent) = scientific.split_once('e').unwrap_or_default();
    match exponent.parse::<i32>() {
        Ok(exponent) if number != 0.0 && !(-6..21).contains(&exponent) => {
            with_exponent(digits, exponent)
        }
        _ => Digits(number).to_string(),
    }
}

/// Formats a number as Go's `%v` and `%g`: with an exponent if it is below -4 or at least 6.
pub(crate) fn general(number: f64) -> String {
    Shortest(number).to_string()
}

/// Formats a number as Go's `%.2g`: at most two digits.
pub(crate) fn two_digits(number: f64) -> String {
    let scientific = format!("{number:.1e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return format_number(number);
    };
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    let has_two_digits = digits.contains('.');
    match exponent.parse::<i32>() {
        Ok(1) => format!("{number:.0}"),
        Ok(exponent @ -4..=0) => {
            let decimals = usize::from(has_two_digits) + exponent.unsigned_abs() as usize;
            format!("{number:.decimals$}")
        }
        Ok(exponent) => with_exponent(digits, exponent),
        Err(_) => format_number(number),
    }
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// Converts to an integer as Go does on amd64: what does not fit becomes the smallest integer.
pub(crate) fn to_i64(number: f64) -> i64 {
    // 2^63, the first number that does not fit.
    const END: f64 = 9_223_372_036_854_775_808.0;
    match (-END..END).contains(&number) {
        true => number as i64,
        false => i64::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_as_by_go() {
        for (number, plain, json) in [
            (1e21, "1000000000000000000000", "1e+21"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1.5e-7, "0.00000015", "1.5e-07"),
            (0.000001, "0.000001", "0.000001"),
            (-0.0, "-0", "-0"),
        ] {
            assert_eq!(format_number(number), plain);
            assert_eq!(json_number(number), json);
        }
        assert_eq!(format_number(f64::INFINITY), "+Inf");
        assert_eq!(format_number(f64::NAN), "NaN");
    }

    #[test]
    fn numbers_have_the_digits_of_go() {
        for (number, general_form, two) in [
            (1e6, "1e+06", "1e+06"),
            (123456.5, "123456.5", "1.2e+05"),
            (0.00012345, "0.00012345", "0.00012"),
            (0.000099, "9.9e-05", "9.9e-05"),
            (0.1, "0.1", "0.1"),
            (10.0, "10", "10"),
            (12.0, "12", "12"),
            (99.6, "99.6", "1e+02"),
            (5.0, "5", "5"),
            (0.0, "0", "0"),
            (f64::NAN, "NaN", "NaN"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!(general(number), general_form);
            assert_eq!(two_digits(number), two, "{number}");
        }
    }

    #[test]
    fn underscores_stand_between_digits() {
        for (digits, number) in [
            ("1_000", 1000.0),
            ("0x_1F", 31.0),
            ("0_17", 15.0),
            ("1_0e1_0", 1e11),
        ] {
            assert_eq!(parse_number(digits), Ok(number), "{digits}");
        }
        for digits in ["1_", "_1", "1__0", "1_.5", "0x1fffffffffffffffff"] {
            assert!(parse_number(digits).is_err(), "{digits}");
        }
    }
}
