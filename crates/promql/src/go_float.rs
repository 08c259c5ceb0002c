//! Functions of floats as Go's packages `math` and `strconv` have them, where Rust's differ.

mod pow;

pub(crate) use self::pow::pow;
use crate::number::are_underscores_valid;

/// Exponents of the smallest number that is not 0, of the smallest with full precision, and of the largest.
const MIN_EXPONENT: i64 = -1074;
const MIN_NORMAL_EXPONENT: i64 = -1022;
const MAX_EXPONENT: i64 = 1023;

/// Returns the lesser of two numbers: -Inf before NaN before all others, and -0 before 0.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}

/// Returns the greater of two numbers: Inf before NaN before all others, and 0 before -0.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// Parses a float as Go's `strconv.ParseFloat`; `None` if it is no number or out of range.
///
/// ```
/// assert_eq!(promql::parse_float("1_000.5"), Some(1000.5));
/// assert_eq!(promql::parse_float("0x1p-2"), Some(0.25));
/// assert_eq!(promql::parse_float("5m"), None);
/// ```
pub fn parse(text: &str) -> Option<f64> {
    let signed = text.strip_prefix(['+', '-']);
    let unsigned = signed.unwrap_or(text);
    let is_negative = text.starts_with('-');
    let with_sign = |number: f64| if is_negative { -number } else { number };
    let is = |name: &str| unsigned.eq_ignore_ascii_case(name);
    if is("inf") || is("infinity") {
        return Some(with_sign(f64::INFINITY));
    }
    if is("nan") {
        return signed.is_none().then_some(f64::NAN);
    }
    if !are_underscores_valid(unsigned) {
        return None;
    }
    let plain = unsigned.replace('_', "");
    let hexadecimal = plain
        .strip_prefix("0x")
        .or_else(|| plain.strip_prefix("0X"));
    let number = match hexadecimal {
        Some(digits) => parse_hexadecimal(digits)?,
        // Rust also reads names.
        None if plain.starts_with(|first: char| first.is_ascii_digit() || first == '.') => plain
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())?,
        None => return None,
    };
    Some(with_sign(number))
}

/// Parses hexadecimal digits and the binary exponent after them, which is required.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let is_exponent =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let without_sign = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !is_exponent(without_sign) {
        return None;
    }
    // An exponent with more digits than fit is cut off: it makes the number 0 or infinite anyway.
    let size = without_sign.bytes().fold(0, |size: i64, digit| {
        (size * 10 + i64::from(digit - b'0')).min(1 << 40)
    });
    let mut exponent = if exponent.starts_with('-') {
        -size
    } else {
        size
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // The digits that fit, and if there is more behind them.
    let (mut mantissa, mut is_inexact, mut count) = (0u64, false, 0);
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(digit.to_digit(16)?);
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if index >= whole.len() { 4 } else { 0 };
        } else {
            is_inexact |= digit != 0;
            exponent += if index < whole.len() { 4 } else { 0 };
        }
        count += 1;
    }
    if count == 0 {
        return None;
    }
    scaled(mantissa, exponent, is_inexact)
}

/// Returns `mantissa * 2^exponent`, rounded to the nearest float, of two as near to the even one; `None` if it is too
/// large. If it is inexact, the mantissa is a bit larger.
fn scaled(mantissa: u64, exponent: i64, is_inexact: bool) -> Option<f64> {
    if mantissa == 0 {
        return Some(0.0);
    }
    let shift = mantissa.leading_zeros();
    let (mantissa, exponent) = (u128::from(mantissa << shift), exponent - i64::from(shift));
    let first = exponent + 63;
    if first > MAX_EXPONENT {
        return None;
    }
    // The bits that do not fit into the result.
    let excess = 11 + (MIN_NORMAL_EXPONENT - first).max(0);
    if excess > 64 {
        return Some(0.0);
    }
    let (upper, rest) = (mantissa >> excess, mantissa & ((1 << excess) - 1));
    let half = 1 << (excess - 1);
    let rounds_up = rest > half || rest == half && (is_inexact || upper & 1 == 1);
    let upper = upper + u128::from(rounds_up);
    let number = upper as f64 * power_of_two(exponent + excess);
    number.is_finite().then_some(number)
}

/// Returns 2 to the power of an exponent, which has to be one of a float.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(match exponent < MIN_NORMAL_EXPONENT {
        true => 1 << (exponent - MIN_EXPONENT),
        false => ((exponent + MAX_EXPONENT) as u64) << 52,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_parsed_as_by_go() {
        // As `strconv.ParseFloat` returned them.
        for (text, number) in [
            ("1_000", 1000.0),
            ("+2.5", 2.5),
            ("1e5_0", 1e50),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e-400", 0.0),
            ("-Inf", f64::NEG_INFINITY),
            ("+infinity", f64::INFINITY),
            ("0x1p-2", 0.25),
            ("-0X1P-2", -0.25),
            ("0x_1p1", 2.0),
            ("0x.8p1", 1.0),
            ("0x1.fffffffffffff7p1023", f64::MAX),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080001p0", 1.0 + f64::EPSILON),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("0x123456789abcdef123p0", 3.358127276707303e+20),
            ("0x0p99999999999999999999", 0.0),
            ("-0x0p5", -0.0),
            ("0x1p-99999999999999999999", 0.0),
        ] {
            let parsed = parse(text).map(f64::to_bits);
            assert_eq!(parsed, Some(number.to_bits()), "{text}");
        }
        assert!(parse("NaN").is_some_and(f64::is_nan));
        for text in [
            "",
            ".",
            "+",
            " 1",
            "1 ",
            "1e",
            "a",
            "+nan",
            "infi",
            "1e999",
            "-1e999",
            "1_.5",
            "1._5",
            "1__0",
            "_1",
            "0b1",
            "0x1",
            "0xp1",
            "0x.p1",
            "0x1p",
            "0x1_p1",
            "0x1p+",
            "0x1gp1",
            "0x1.fffffffffffff8p1023",
            "0x1p1024",
            "0x1p99999999999999999999",
            "1,5",
            "--1",
            "0x-1p1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn infinities_beat_nan_and_zeros_have_signs() {
        assert_eq!(min(f64::NEG_INFINITY, f64::NAN), f64::NEG_INFINITY);
        assert_eq!(max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert!(min(1.0, f64::NAN).is_nan() && max(f64::NAN, 1.0).is_nan());
        assert!(min(0.0, -0.0).is_sign_negative() && min(-0.0, 0.0).is_sign_negative());
        assert!(max(0.0, -0.0).is_sign_positive() && max(-0.0, 0.0).is_sign_positive());
        assert_eq!((min(1.0, 2.0), max(1.0, 2.0)), (1.0, 2.0));
    }
}
