//! Powers.

use crate::go_math;

const TWO_TO_63: f64 = (1_u64 << 63) as f64;
const FRACTION_BITS: u32 = 52;
const EXPONENT_BITS: u64 = 0x7ff << FRACTION_BITS;

/// Returns `base` to the power of `exponent`, as `math.Pow` does: by squaring for the whole part of the exponent, so that
/// rounding errors are the same too.
pub(crate) fn pow(base: f64, exponent: f64) -> f64 {
    // The standard has the same special values; they need no accuracy.
    let is_special = exponent == 0.0
        || base == 0.0
        || !base.is_finite()
        || !exponent.is_finite()
        || (base < 0.0 && exponent.fract() != 0.0);
    if is_special {
        return base.powf(exponent);
    }
    if base == 1.0 || exponent == 1.0 {
        return if exponent == 1.0 { base } else { 1.0 };
    }
    if exponent.abs() == 0.5 {
        let root = base.sqrt();
        return if exponent > 0.0 { root } else { 1.0 / root };
    }
    let (mut whole, mut rest) = (exponent.abs().trunc(), exponent.abs().fract());
    if whole >= TWO_TO_63 {
        // An even number.
        return match (base.abs() == 1.0, (base.abs() < 1.0) == (exponent > 0.0)) {
            (true, _) => 1.0,
            (false, true) => 0.0,
            (false, false) => f64::INFINITY,
        };
    }
    // The result is `fraction` times 2 to the power of `scale`.
    let (mut fraction, mut scale) = (1.0, 0);
    if rest != 0.0 {
        if rest > 0.5 {
            rest -= 1.0;
            whole += 1.0;
        }
        fraction = go_math::exp(rest * go_math::ln(base));
    }
    let (mut square, mut square_scale) = split(base);
    let mut bits = whole as u64;
    while bits != 0 {
        if square_scale.abs() > 1 << 12 {
            // Overflow, or underflow to zero.
            scale += square_scale;
            break;
        }
        if bits & 1 == 1 {
            fraction *= square;
            scale += square_scale;
        }
        square *= square;
        square_scale *= 2;
        if square < 0.5 {
            square += square;
            square_scale -= 1;
        }
        bits >>= 1;
    }
    match exponent < 0.0 {
        true => scaled(1.0 / fraction, -scale),
        false => scaled(fraction, scale),
    }
}

/// Returns a fraction whose absolute value is in [0.5, 1), and the power of two with which it makes a finite number that
/// is not zero.
fn split(number: f64) -> (f64, i64) {
    let (normal, shift) = match number.abs() < f64::MIN_POSITIVE {
        true => (
            number * (1_u64 << FRACTION_BITS) as f64,
            -i64::from(FRACTION_BITS),
        ),
        false => (number, 0),
    };
    let bits = normal.to_bits();
    let exponent = (bits & EXPONENT_BITS) >> FRACTION_BITS;
    let fraction = f64::from_bits(bits & !EXPONENT_BITS | 1022 << FRACTION_BITS);
    (fraction, exponent as i64 - 1022 + shift)
}

/// Returns a number times 2 to the power of `exponent`, rounded once.
fn scaled(number: f64, exponent: i64) -> f64 {
    let (fraction, own) = split(number);
    let exponent = exponent.saturating_add(own);
    let power = |exponent: i64| f64::from_bits(((exponent + 1023) as u64) << FRACTION_BITS);
    match exponent {
        ..-1074 => 0.0_f64.copysign(number),
        // The one rounding of a subnormal number.
        -1074..-1021 => fraction * power(exponent + 53) * power(-53),
        -1021..=1024 => fraction * 2.0 * power(exponent - 1),
        1025.. => f64::INFINITY.copysign(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results of Go's `math.Pow` on amd64.
    #[test]
    fn powers_round_as_in_go() {
        for (base, exponent, power) in [
            (1.0001, 1e6, f64::from_bits(0x48f3_30ab_10a1_c0d6)),
            (-1.5, 3.0, -3.375),
            (2.0, -1074.0, 5e-324),
            (2.0, -1075.0, 0.0),
            (-2.0, -1075.0, -0.0),
            (-2.0, 1025.0, f64::NEG_INFINITY),
            (5e-324, 0.5, 2.222_758_749_485_077_5e-162),
            (1.000_000_1, 1e9, f64::from_bits(0x48f3_4944_5a54_3ab1)),
            (0.999, 1e19, 0.0),
            (-1.0, 1e19, 1.0),
            (f64::NEG_INFINITY, 3.0, f64::NEG_INFINITY),
            (f64::NEG_INFINITY, -3.0, -0.0),
            (-0.0, -3.0, f64::NEG_INFINITY),
            (-0.0, -2.0, f64::INFINITY),
            (-1.0, f64::INFINITY, 1.0),
            (f64::NAN, 0.0, 1.0),
            (1.0, f64::NAN, 1.0),
        ] {
            let found = pow(base, exponent);
            assert_eq!(
                found.to_bits(),
                f64::to_bits(power),
                "{base} ^ {exponent} = {found}"
            );
        }
        assert!(pow(-1.0, 0.5).is_nan());
        // The same 200,000 whole exponents in Go have this hash.
        let (mut state, mut hash) = (12_345_u64, 0_u64);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..200_000 {
            let mut base = f64::from_bits(next());
            if round % 2 == 0 {
                base = 1.0 + ((next() % 2000) as f64 - 1000.0) / 1e4;
            }
            let power = pow(base, (next() % 4001) as f64 - 2000.0);
            let bits = if power.is_nan() { 1 } else { power.to_bits() };
            hash = hash.wrapping_mul(31).wrapping_add(bits);
        }
        assert_eq!(hash, 7_157_187_219_375_688_696);
        assert!(pow(f64::NAN, 1.0).is_nan());
        // The last bits of math.Exp are not those of Go. It takes no account of subnormal numbers in logarithms.
        for (base, exponent, power) in [
            (2.0, 0.3, 1.231_144_413_344_916_3),
            (7.3, 12.75, 1.017_106_586_134_378_2e11),
            (1e300, -0.9, 9.999_999_999_999_834e-271),
            (3e-310, 0.7, 7.269_123_078_588_97e-218),
        ] {
            let found = pow(base, exponent);
            assert!((found / power - 1.0).abs() < 1e-12, "{base} ^ {exponent}");
        }
    }
}
