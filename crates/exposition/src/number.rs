//! Numbers, as Go parses and formats them, but without hexadecimal digits and underscores.

use std::borrow::Cow;

use prom_model::PROMETHEUS_NAN_BITS;

/// Parses a number.
///
/// Accepts decimal digits with or without exponent, `NaN` without a sign, and `Inf` and `Infinity` with or without
/// one, all in any case. Returns `None` for a number beyond the largest float; one below the smallest is 0.
pub(crate) fn value(text: &[u8]) -> Option<f64> {
    let value: f64 = str::from_utf8(text).ok()?.parse().ok()?;
    if value.is_finite() {
        return Some(value);
    }
    let unsigned = without_sign(text);
    if value.is_nan() {
        let is_signed = unsigned.len() < text.len();
        return (!is_signed).then(|| f64::from_bits(PROMETHEUS_NAN_BITS));
    }
    // Infinity from digits is an overflow.
    let is_word = unsigned.first().is_some_and(u8::is_ascii_alphabetic);
    is_word.then_some(value)
}

/// Parses seconds as milliseconds. Like Prometheus, cuts off fractions of a millisecond.
pub(crate) fn milliseconds(seconds: &[u8]) -> Option<i64> {
    let seconds = value(seconds).filter(|seconds| seconds.is_finite())?;
    // Saturates.
    Some((seconds * 1000.0) as i64)
}

/// Returns a bucket boundary or a quantile in the form that OpenMetrics prescribes. A value that is not a number
/// stays as it is.
pub(crate) fn canonical(text: Cow<'_, str>) -> Cow<'_, str> {
    let Some(number) = value(text.as_bytes()) else {
        return text;
    };
    let canonical = format(number);
    match canonical == text.as_ref() {
        true => text,
        false => Cow::Owned(canonical),
    }
}

/// Formats a number with the shortest digits: with an exponent below 1e-4 and from 1e6, otherwise with a point
/// (`model/labels/float.go` of Prometheus).
fn format(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if number == 0.0 {
        return "0.0".to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific
        .split_once('e')
        .expect("this format has an exponent");
    let exponent: i32 = exponent
        .parse()
        .expect("an exponent of a float has at most three digits");
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let mut plain = number.to_string();
    if !plain.contains('.') {
        plain.push_str(".0");
    }
    plain
}

/// Returns the bytes after a sign.
fn without_sign(text: &[u8]) -> &[u8] {
    match text {
        [b'+' | b'-', rest @ ..] => rest,
        all => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_that_go_parses() {
        let cases = [
            ("1", 1.0),
            ("+1.5", 1.5),
            ("-0", -0.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            ("1e-999", 0.0),
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("iNFinity", f64::INFINITY),
            ("nan", f64::from_bits(PROMETHEUS_NAN_BITS)),
        ];
        for (text, expected) in cases {
            let read = value(text.as_bytes()).map(f64::to_bits);
            assert_eq!(read, Some(expected.to_bits()), "{text}");
        }
        let rejected = [
            "", ".", "+", "e5", "1e", "1,5", "0x10", "0x1p-2", "1_000", "+NaN", "-nan", "1e999",
            "-1e999", "infinit", "1 ", "\u{661}", "\r",
        ];
        for text in rejected {
            assert_eq!(value(text.as_bytes()), None, "{text}");
        }
        assert_eq!(value(b"\xff"), None);
    }

    #[test]
    fn boundaries_have_one_form() {
        let cases = [
            ("1", "1.0"),
            ("-1", "-1.0"),
            ("0", "0.0"),
            ("-0", "0.0"),
            ("0.99", "0.99"),
            (".5", "0.5"),
            ("100000", "100000.0"),
            ("999999.5", "999999.5"),
            ("1000000", "1e+06"),
            ("123456789", "1.23456789e+08"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1e100", "1e+100"),
            ("+inf", "+Inf"),
            ("-Infinity", "-Inf"),
            ("nan", "NaN"),
            ("fast", "fast"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(Cow::Borrowed(text)), expected, "{text}");
        }
    }

    #[test]
    fn seconds_become_whole_milliseconds() {
        let cases = [
            ("1520879607.789", Some(1_520_879_607_789)),
            ("0.0019", Some(1)),
            ("-1.5", Some(-1500)),
            ("1e300", Some(i64::MAX)),
            ("NaN", None),
            ("Inf", None),
            ("x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(milliseconds(text.as_bytes()), expected, "{text}");
        }
    }
}
