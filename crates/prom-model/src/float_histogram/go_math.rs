//! Logarithms, powers and text of floats, with the same bits as in Go on amd64: interpolated results are compared
//! with those of Prometheus, and the functions of the platform's C library differ in the last bits.

use std::fmt;

const FRACTION_BITS: u32 = 52;
const EXPONENT_MASK: u64 = 0x7ff;
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
/// Coefficients of FreeBSD's `e_log.c`.
const LOG: [f64; 7] = [
    f64::from_bits(0x3fe5_5555_5555_5593),
    f64::from_bits(0x3fd9_9999_9997_fa04),
    f64::from_bits(0x3fd2_4924_9422_9359),
    f64::from_bits(0x3fcc_71c5_1d8e_78af),
    f64::from_bits(0x3fc7_4664_96cb_03de),
    f64::from_bits(0x3fc3_9a09_d078_c69f),
    f64::from_bits(0x3fc2_f112_df3e_5244),
];
/// Coefficients of FreeBSD's `e_exp.c`.
const EXP: [f64; 5] = [
    1.666_666_666_666_666_6e-1,
    -2.777_777_777_701_559_3e-3,
    6.613_756_321_437_934e-5,
    -1.653_390_220_546_525_2e-6,
    4.138_136_797_057_238_5e-8,
];

/// Returns a fraction in [0.5, 1) and the power of two with which it makes the finite, positive `value`.
fn split(value: f64) -> (f64, i64) {
    let (normal, shift) = match value < f64::MIN_POSITIVE {
        true => (value * f64::from_bits((1023 + 52) << FRACTION_BITS), -52),
        false => (value, 0),
    };
    let bits = normal.to_bits();
    let exponent = (bits >> FRACTION_BITS & EXPONENT_MASK) as i64 - 1022 + shift;
    let fraction = bits & !(EXPONENT_MASK << FRACTION_BITS) | 1022 << FRACTION_BITS;
    (f64::from_bits(fraction), exponent)
}

/// Returns the natural logarithm of a fraction in [0.5, 1) times a power of two.
fn ln_of_parts(fraction: f64, exponent: f64) -> f64 {
    let (mut fraction, mut k) = (fraction, exponent);
    if fraction <= std::f64::consts::FRAC_1_SQRT_2 {
        (fraction, k) = (fraction * 2.0, k - 1.0);
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * (LOG[0] + s4 * (LOG[2] + s4 * (LOG[4] + s4 * LOG[6])));
    let even = s4 * (LOG[1] + s4 * (LOG[3] + s4 * LOG[5]));
    let half_square = 0.5 * f * f;
    k * LN_2_HIGH - ((half_square - (s * (half_square + (odd + even)) + k * LN_2_LOW)) - f)
}

/// Returns the natural logarithm, as `math.Log` of Go does on amd64.
///
/// Numbers below the smallest normal one count as if the bit before their fraction was set.
///
/// ```
/// use prom_model::go_math::ln;
///
/// assert_eq!(ln(10.0), 2.302585092994046);
/// assert_eq!(ln(0.0), f64::NEG_INFINITY);
/// assert_eq!(ln(5e-324), -709.0895657128241);
/// ```
pub fn ln(value: f64) -> f64 {
    if let Some(special) = special_logarithm(value) {
        return special;
    }
    let bits = value.to_bits();
    let exponent = (bits >> FRACTION_BITS) as i64 - 1022;
    let fraction = bits & !(EXPONENT_MASK << FRACTION_BITS) | 1022 << FRACTION_BITS;
    ln_of_parts(f64::from_bits(fraction), exponent as f64)
}

/// Returns the logarithm of what has none, and of zero and infinity.
fn special_logarithm(value: f64) -> Option<f64> {
    match value {
        _ if value.is_nan() || value < 0.0 => Some(f64::NAN),
        0.0 => Some(f64::NEG_INFINITY),
        f64::INFINITY => Some(value),
        _ => None,
    }
}

/// Returns the binary logarithm, as `math.Log2` of Go does on amd64.
///
/// ```
/// use prom_model::go_math::log2;
///
/// assert_eq!(log2(1024.0), 10.0);
/// assert_eq!(log2(0.1), -3.321928094887362);
/// ```
pub fn log2(value: f64) -> f64 {
    if let Some(special) = special_logarithm(value) {
        return special;
    }
    let (fraction, exponent) = split(value);
    if fraction == 0.5 {
        return (exponent - 1) as f64;
    }
    ln_of_parts(fraction, 0.0) * std::f64::consts::LOG2_E + exponent as f64
}

/// Returns 2 to the power of `value`, as `math.Exp2` does.
pub(super) fn exp2(value: f64) -> f64 {
    if value.is_nan() {
        return value;
    }
    if value > 1.023_999_999_999_999_9e3 {
        return f64::INFINITY;
    }
    if value < -1.074e3 {
        return 0.0;
    }
    let whole = match value {
        _ if value > 0.0 => (value + 0.5).trunc(),
        _ if value < 0.0 => (value - 0.5).trunc(),
        _ => 0.0,
    };
    let rest = value - whole;
    let high = rest * LN_2_HIGH;
    let low = -rest * LN_2_LOW;
    let r = high - low;
    let t = r * r;
    let c = r - t * (EXP[0] + t * (EXP[1] + t * (EXP[2] + t * (EXP[3] + t * EXP[4]))));
    let power = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    scale(power, whole as i64)
}

/// Returns the finite, positive `fraction` times 2 to the power of `exponent`, as `math.Ldexp` does.
pub(super) fn scale(fraction: f64, exponent: i64) -> f64 {
    let (fraction, own) = split(fraction);
    let exponent = exponent.saturating_add(own - 1);
    if exponent < -1075 {
        return 0.0;
    }
    if exponent > 1023 {
        return f64::INFINITY;
    }
    let with_exponent = |exponent: i64| {
        let bits = fraction.to_bits() & !(EXPONENT_MASK << FRACTION_BITS);
        f64::from_bits(bits | ((exponent + 1023) as u64) << FRACTION_BITS)
    };
    match exponent < -1022 {
        // The one rounding of a subnormal number.
        true => with_exponent(exponent + 53) * f64::from_bits((1023 - 53) << FRACTION_BITS),
        false => with_exponent(exponent),
    }
}

/// A float as the verb `%g` of Go writes it: with an exponent if it is below -4 or at least 6.
///
/// ```
/// use prom_model::go_math::Shortest;
///
/// assert_eq!(Shortest(123456.5).to_string(), "123456.5");
/// assert_eq!(Shortest(1e6).to_string(), "1e+06");
/// assert_eq!(Shortest(f64::INFINITY).to_string(), "+Inf");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shortest(pub f64);

impl fmt::Display for Shortest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value.is_nan() {
            return f.write_str("NaN");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        let value = Digits(value);
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        match (-4..6).contains(&exponent) {
            true => write!(f, "{value}"),
            false => {
                let sign = if exponent < 0 { '-' } else { '+' };
                write!(f, "{digits}e{sign}{:02}", exponent.unsigned_abs())
            }
        }
    }
}

/// A float with the fewest digits that stand for no other one, as Go has it: of two equally near texts that with the
/// even last digit, where Rust has the upper one.
///
/// ```
/// use prom_model::go_math::Digits;
///
/// let between = 147.999_053_955_078_125;
/// assert_eq!(Digits(between).to_string(), "147.99905395507812");
/// assert_eq!(format!("{:e}", Digits(-between)), "-1.4799905395507812e2");
/// assert_eq!(Digits(0.5).to_string(), "0.5");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Digits(pub f64);

impl Digits {
    /// Returns true if two texts can be equally near: the exact decimals have one digit more, 18 at most, so that the
    /// last binary digit is at most the 25th after the point. Of powers of two, Go has the upper text as well.
    fn can_be_between(self) -> bool {
        const SCALE: f64 = (1_u64 << 25) as f64;
        let scaled = self.0 * SCALE;
        let is_power = self.0.to_bits() << (u64::BITS - MANTISSA_BITS) == 0;
        !is_power && scaled.trunc() == scaled && scaled.is_finite()
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if !self.can_be_between() {
            return write!(f, "{value}");
        }
        let text = value.to_string();
        if text.len() < MIN_DIGITS {
            return f.write_str(&text);
        }
        if let Some((_, decimals)) = text.split_once('.') {
            let decimals = decimals.len();
            return write!(f, "{value:.decimals$}");
        }
        let text = format!("{self:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: usize = exponent.parse().unwrap_or(0);
        let (first, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        write!(f, "{first}{decimals:0<exponent$}")
    }
}

impl fmt::LowerExp for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        let text = format!("{value:e}");
        if !self.can_be_between() {
            return f.write_str(&text);
        }
        let digits = text.split_once('e').map_or("", |(digits, _)| digits);
        let decimals = digits.split_once('.').map_or(0, |(_, all)| all.len());
        match decimals + 1 < MIN_DIGITS {
            true => f.write_str(&text),
            // The nearest text of so many digits, with an even last digit if there are two.
            false => write!(f, "{value:.decimals$e}"),
        }
    }
}

/// The stored bits of a float's mantissa.
const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
/// Texts with fewer digits are too far apart to stand for the same float.
const MIN_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_texts_the_even_one_is_taken() {
        // Texts of Go's strconv.
        for (value, plain, scientific) in [
            (
                147.999_053_955_078_12,
                "147.99905395507812",
                "1.4799905395507812e2",
            ),
            (
                1_234_567_890_123_456.3,
                "1234567890123456.2",
                "1.2345678901234562e15",
            ),
            (
                1_234_567_890_123_456.8,
                "1234567890123456.8",
                "1.2345678901234568e15",
            ),
            (
                987_654_312_098_765.0,
                "987654312098765",
                "9.87654312098765e14",
            ),
            (
                36_028_797_018_963_968.0,
                "36028797018963970",
                "3.602879701896397e16",
            ),
            (-0.0, "-0", "-0e0"),
            (1e21, "1000000000000000000000", "1e21"),
            (0.1, "0.1", "1e-1"),
        ] {
            assert_eq!(Digits(value).to_string(), plain);
            assert_eq!(format!("{:e}", Digits(value)), scientific);
        }
        // Others are as Rust has them, which rounds up.
        let (mut bits, mut differing) = (1_u64, 0);
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let near = (bits >> 11) as f64 / f64::from(1 << (bits >> 58).min(25));
            for value in [f64::from_bits(bits), near] {
                let (text, rust) = (Digits(value).to_string(), value.to_string());
                assert!(value.is_nan() || text.parse::<f64>().unwrap() == value);
                assert_eq!(text.len(), rust.len());
                if text != rust {
                    differing += 1;
                    let is_odd = |text: &str| {
                        text.trim_end_matches('0')
                            .ends_with(['1', '3', '5', '7', '9'])
                    };
                    assert!(is_odd(&rust) && !is_odd(&text), "{text} {rust}");
                }
                let scientific = format!("{:e}", Digits(value));
                assert!(value.is_nan() || scientific.parse::<f64>().unwrap() == value);
            }
        }
        assert!(differing > 100, "{differing}");
    }

    #[test]
    fn powers_of_two_are_exact() {
        for exponent in -1074..1024 {
            let power = scale(1.0, exponent);
            assert_eq!(log2(power), exponent as f64);
            assert_eq!(exp2(exponent as f64), power);
        }
        assert_eq!(scale(1.0, 1024), f64::INFINITY);
        assert_eq!(scale(1.0, i64::MAX), f64::INFINITY);
        assert_eq!(scale(1.0, -1076), 0.0);
        assert_eq!(exp2(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp2(f64::INFINITY), f64::INFINITY);
        assert_eq!(log2(0.0), f64::NEG_INFINITY);
        assert!(log2(-1.0).is_nan() && log2(f64::NAN).is_nan() && exp2(f64::NAN).is_nan());
    }

    /// Returns the line of the golden file for a function, made from this one's results.
    fn line(name: &str, first: f64, function: fn(f64) -> f64, value: fn(u64) -> f64) -> String {
        let (mut hash, mut bits, mut next) = (0xcbf2_9ce4_8422_2325_u64, 1_u64, first);
        for _ in 0..100_000 {
            let result = function(next);
            if !result.is_nan() {
                for byte in format!("{:016x}", result.to_bits()).bytes() {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                }
            }
            bits = bits.wrapping_mul(6_364_136_223_846_793_005);
            bits = bits.wrapping_add(1_442_695_040_888_963_407);
            next = value(bits);
        }
        format!("{name} {first} = {hash:016x}")
    }

    #[test]
    fn results_are_those_of_go() {
        let golden = include_str!("../../tests/golden/float_histograms.txt");
        let lines = [
            line("log2", std::f64::consts::FRAC_1_SQRT_2, log2, |bits| {
                f64::from_bits(bits >> 1)
            }),
            line("exp2", 0.0, exp2, |bits| {
                (bits >> 11) as f64 / (1_u64 << 53) as f64 * 2200.0 - 1100.0
            }),
        ];
        for line in lines {
            assert!(golden.lines().any(|it| it == line), "{line}");
        }
    }

    #[test]
    fn floats_as_strings() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (-1.5e-128, "-1.5e-128"),
            (123_456_789.0, "1.23456789e+08"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, expected) in cases {
            assert_eq!(Shortest(value).to_string(), expected);
        }
    }
}
