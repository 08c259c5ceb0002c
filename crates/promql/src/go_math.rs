//! Functions of floats as Go's package `math` calculates them on amd64: by the methods of Cephes and of FreeBSD.
//!
//! The functions of the platform's C library are at least as precise, but differ in the last bits. Where a method of
//! Go cancels digits, as near 1 for `acos` or near 0 for `log10`, they differ by far more.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, FRAC_PI_4, LN_2, LOG2_E, LOG10_E, PI};

pub(crate) use prom_model::go_math::{ln, log2};

/// Evaluates a polynomial, the highest power first.
fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    let [first, rest @ ..] = &coefficients[..] else {
        return 0.0;
    };
    rest.iter().fold(*first, |sum, next| sum * x + next)
}

/// Returns the power of e. Results of 2^1023.5 and above are infinite already, as in Go.
pub(crate) fn exp(x: f64) -> f64 {
    match (x * LOG2_E).round_ties_even() {
        exponent if exponent >= 1024.0 => f64::INFINITY,
        exponent if exponent < -1075.0 => 0.0,
        _ => x.exp(),
    }
}

pub(crate) fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

/// Returns the natural logarithm of 1 + `x`, by FreeBSD's method.
fn ln_1p(x: f64) -> f64 {
    const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    const FRACTION: u64 = (1 << 52) - 1;
    const FRACTION_OF_SQRT_2: u64 = 0x6_a09e_667f_3bcd;
    if x.is_nan() || x < -1.0 {
        return f64::NAN;
    }
    if x == -1.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    if x.abs() < 1.0 / (1_u64 << 54) as f64 {
        return x;
    }
    if x.abs() < 1.0 / (1_u64 << 29) as f64 {
        return x - x * x * 0.5;
    }
    // 1 + x is (1 + f) * 2^k, and `lost` what rounding took from it.
    let (mut f, mut k, mut lost, mut is_tiny) = (x, 0_i64, 0.0, false);
    let is_near = x > -0.292_893_218_813_452_5 && x < 0.414_213_562_373_095_03;
    if !is_near {
        let sum = if x < (1_u64 << 53) as f64 { 1.0 + x } else { x };
        k = (sum.to_bits() >> 52) as i64 - 1023;
        if x < (1_u64 << 53) as f64 {
            let rest = match k > 0 {
                true => 1.0 - (sum - x),
                false => x - (sum - 1.0),
            };
            lost = rest / sum;
        }
        let mut fraction = sum.to_bits() & FRACTION;
        let normal = match fraction < FRACTION_OF_SQRT_2 {
            true => fraction | 1023 << 52,
            false => fraction | 1022 << 52,
        };
        if fraction >= FRACTION_OF_SQRT_2 {
            k += 1;
            fraction = ((1 << 52) - fraction) >> 2;
        }
        f = f64::from_bits(normal) - 1.0;
        is_tiny = fraction == 0;
    }
    let k = k as f64;
    let half_square = 0.5 * f * f;
    if is_tiny {
        if f == 0.0 {
            return k * LN_2_HIGH + (lost + k * LN_2_LOW);
        }
        let r = half_square * (1.0 - 0.666_666_666_666_666_6 * f);
        return k * LN_2_HIGH - ((r - (k * LN_2_LOW + lost)) - f);
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * polynomial(
        z,
        [
            0.147_981_986_051_165_86,
            0.153_138_376_992_093_73,
            0.181_835_721_616_180_5,
            0.222_221_984_321_497_84,
            0.285_714_287_436_623_9,
            0.399_999_999_994_094_2,
            0.666_666_666_666_673_5,
        ],
    );
    if k == 0.0 {
        return f - (half_square - s * (half_square + r));
    }
    k * LN_2_HIGH - ((half_square - (s * (half_square + r) + (k * LN_2_LOW + lost))) - f)
}

/// Numbers from which on Go reduces angles by many digits of 2/pi; the C library does so, too.
const LARGE_ANGLE: f64 = (1_u64 << 29) as f64;

/// Returns the octant of a positive angle below [`LARGE_ANGLE`], rounded up to an even one, and the angle from its
/// start.
fn octant(x: f64) -> (u64, f64) {
    // The parts of pi/4.
    const HIGH: f64 = f64::from_bits(0x3fe9_21fb_4000_0000);
    const MIDDLE: f64 = f64::from_bits(0x3e64_442d_0000_0000);
    const LOW: f64 = f64::from_bits(0x3ce8_4698_98cc_5170);
    let octant = (x * (2.0 * FRAC_2_PI)) as u64;
    let octant = octant + octant % 2;
    let y = octant as f64;
    (octant, ((x - y * HIGH) - y * MIDDLE) - y * LOW)
}

/// Returns the sine of an angle of at most pi/4.
fn small_sin(z: f64) -> f64 {
    let square = z * z;
    let polynomial = polynomial(
        square,
        [
            1.589_623_015_765_465_7e-10,
            -2.505_074_776_285_780_7e-8,
            2.755_731_362_138_572_4e-6,
            -1.984_126_982_958_954e-4,
            8.333_333_333_322_118e-3,
            -1.666_666_666_666_663e-1,
        ],
    );
    z + z * square * polynomial
}

/// Returns the cosine of an angle of at most pi/4.
fn small_cos(z: f64) -> f64 {
    let square = z * z;
    let polynomial = polynomial(
        square,
        [
            -1.135_853_652_138_768_2e-11,
            2.087_570_084_197_473e-9,
            -2.755_731_417_929_674e-7,
            2.480_158_728_885_170_4e-5,
            -1.388_888_888_887_305_6e-3,
            4.166_666_666_666_659e-2,
        ],
    );
    1.0 - 0.5 * square + square * square * polynomial
}

pub(crate) fn sin(x: f64) -> f64 {
    if x == 0.0 || x.abs() >= LARGE_ANGLE {
        return x.sin();
    }
    let (octant, z) = octant(x.abs());
    let sin = match octant & 2 {
        2 => small_cos(z),
        _ => small_sin(z),
    };
    match (x < 0.0) != (octant & 4 == 4) {
        true => -sin,
        false => sin,
    }
}

pub(crate) fn cos(x: f64) -> f64 {
    if x.abs() >= LARGE_ANGLE {
        return x.cos();
    }
    let (octant, z) = octant(x.abs());
    let cos = match octant & 2 {
        2 => small_sin(z),
        _ => small_cos(z),
    };
    match octant & 7 {
        2 | 4 => -cos,
        _ => cos,
    }
}

pub(crate) fn tan(x: f64) -> f64 {
    if x == 0.0 || x.abs() >= LARGE_ANGLE {
        return x.tan();
    }
    let (octant, z) = octant(x.abs());
    let square = z * z;
    let mut tan = z;
    if square > 1e-14 {
        let above = polynomial(
            square,
            [
                -1.309_369_391_813_837_9e4,
                1.153_516_648_385_874_2e6,
                -1.795_652_519_764_848_8e7,
            ],
        );
        let below = polynomial(
            square,
            [
                1.0,
                1.368_129_634_706_929_6e4,
                -1.320_892_344_402_109_7e6,
                2.500_838_018_233_579e7,
                -5.386_957_559_294_546_4e7,
            ],
        );
        tan = z + z * (square * above / below);
    }
    if octant & 2 == 2 {
        tan = -1.0 / tan;
    }
    if x < 0.0 { -tan } else { tan }
}

/// Returns the arc tangent of a number from 0 to 0.66.
fn small_atan(x: f64) -> f64 {
    let square = x * x;
    let above = polynomial(
        square,
        [
            -8.750_608_600_031_904e-1,
            -1.615_753_718_733_365_2e1,
            -7.500_855_792_314_705e1,
            -1.228_866_684_490_136_1e2,
            -6.485_021_904_942_025e1,
        ],
    );
    let below = polynomial(
        square,
        [
            1.0,
            2.485_846_490_142_306_2e1,
            1.650_270_098_316_988_5e2,
            4.328_810_604_912_902_7e2,
            4.853_903_996_359_137e2,
            1.945_506_571_482_614e2,
        ],
    );
    x * (square * above / below) + x
}

fn positive_atan(x: f64) -> f64 {
    /// The part of pi/2 that a float has no room for.
    const REST: f64 = 6.123_233_995_736_766e-17;
    /// The tangent of 3/8 pi.
    const STEEP: f64 = 2.414_213_562_373_095;
    if x <= 0.66 {
        small_atan(x)
    } else if x > STEEP {
        FRAC_PI_2 - small_atan(1.0 / x) + REST
    } else {
        FRAC_PI_4 + small_atan((x - 1.0) / (x + 1.0)) + 0.5 * REST
    }
}

/// Applies a function of positive numbers to the absolute value, and the sign to its result.
fn odd(x: f64, function: impl Fn(f64) -> f64) -> f64 {
    if x == 0.0 {
        x
    } else if x < 0.0 {
        -function(-x)
    } else {
        function(x)
    }
}

pub(crate) fn atan(x: f64) -> f64 {
    odd(x, positive_atan)
}

/// Returns the angle of a point.
pub(crate) fn atan2(y: f64, x: f64) -> f64 {
    let is_special = x == 0.0 || y == 0.0 || !x.is_finite() || !y.is_finite();
    if is_special {
        // The standard has the same values.
        return y.atan2(x);
    }
    let angle = atan(y / x);
    match (x < 0.0, angle <= 0.0) {
        (false, _) => angle,
        (true, true) => angle + PI,
        (true, false) => angle - PI,
    }
}

pub(crate) fn asin(x: f64) -> f64 {
    odd(x, |x| {
        let cos = (1.0 - x * x).sqrt();
        match x {
            _ if x > 1.0 => f64::NAN,
            _ if x > 0.7 => FRAC_PI_2 - positive_atan(cos / x),
            _ => positive_atan(x / cos),
        }
    })
}

pub(crate) fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

pub(crate) fn sinh(x: f64) -> f64 {
    odd(x, |x| {
        if x > 21.0 {
            return exp(x) * 0.5;
        }
        if x > 0.5 {
            let power = exp(x);
            return (power - 1.0 / power) * 0.5;
        }
        let square = x * x;
        let above = polynomial(
            square,
            [
                -2.630_563_213_397_497e1,
                -2.894_211_355_989_564e3,
                -8.991_272_022_039_509e4,
                -6.307_673_640_497_717e5,
            ],
        );
        let below = polynomial(
            square,
            [
                1.0,
                -1.736_789_535_582_337e2,
                1.521_517_378_790_019e4,
                -6.307_673_640_497_717e5,
            ],
        );
        above * x / below
    })
}

pub(crate) fn cosh(x: f64) -> f64 {
    let x = x.abs();
    let power = exp(x);
    match x > 21.0 {
        true => power * 0.5,
        false => (power + 1.0 / power) * 0.5,
    }
}

pub(crate) fn tanh(x: f64) -> f64 {
    /// Half of the logarithm of 2^127.
    const LARGE: f64 = 0.5 * 8.802_969_193_111_305e1;
    odd(x, |x| {
        if x > LARGE {
            return 1.0;
        }
        if x >= 0.625 {
            return 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
        }
        let square = x * x;
        let above = polynomial(
            square,
            [
                -9.643_991_794_250_523e-1,
                -9.928_772_310_019_185e1,
                -1.614_687_684_417_084_5e3,
            ],
        );
        let below = polynomial(
            square,
            [
                1.0,
                1.128_116_784_916_329_3e2,
                2.235_488_390_601_004_5e3,
                4.844_063_053_251_255e3,
            ],
        );
        x + x * square * above / below
    })
}

/// Numbers whose square has no room for a 1 beside it.
const LARGE: f64 = (1_u64 << 28) as f64;

pub(crate) fn asinh(x: f64) -> f64 {
    odd(x, |x| {
        if x == f64::INFINITY {
            x
        } else if x > LARGE {
            ln(x) + LN_2
        } else if x > 2.0 {
            ln(2.0 * x + 1.0 / ((x * x + 1.0).sqrt() + x))
        } else if x < 1.0 / LARGE {
            x
        } else {
            ln_1p(x + x * x / (1.0 + (1.0 + x * x).sqrt()))
        }
    })
}

pub(crate) fn acosh(x: f64) -> f64 {
    if x.is_nan() || x < 1.0 {
        f64::NAN
    } else if x == 1.0 {
        0.0
    } else if x >= LARGE {
        ln(x) + LN_2
    } else if x > 2.0 {
        ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()))
    } else {
        let above = x - 1.0;
        ln_1p(above + (2.0 * above + above * above).sqrt())
    }
}

pub(crate) fn atanh(x: f64) -> f64 {
    odd(x, |x| {
        if x.is_nan() || x > 1.0 {
            f64::NAN
        } else if x == 1.0 {
            f64::INFINITY
        } else if x < 1.0 / LARGE {
            x
        } else if x < 0.5 {
            let double = x + x;
            0.5 * ln_1p(double + double * x / (1.0 - x))
        } else {
            0.5 * ln_1p((x + x) / (1.0 - x))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_have_the_bits_of_go() {
        let (mut state, mut hash) = (12_345_u64, 0_u64);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..200_000 {
            let (mut y, mut x) = (f64::from_bits(next()), f64::from_bits(next()));
            if round % 2 == 0 {
                let mut eighths = || ((next() % 2001) as f64 - 1000.0) / 8.0;
                (y, x) = (eighths(), eighths());
            }
            let angle = atan2(y, x);
            let bits = if angle.is_nan() { 1 } else { angle.to_bits() };
            hash = hash.wrapping_mul(31).wrapping_add(bits);
        }
        // The hash of the same numbers in Go.
        assert_eq!(hash, 13_787_737_276_623_534_976);
    }
}
