//! Estimates from buckets: quantiles, fractions and deviations.
//!
//! Observations are taken to be spread evenly in custom buckets and in the zero bucket, and evenly on a logarithmic
//! scale in exponential buckets. The zero bucket of a histogram whose other buckets are all on one side of zero is
//! taken to lie on that side.

use super::go_math::{exp2, log2};
use super::layout::{Cell, Compensated};
use super::{Bucket, FloatHistogram};

/// The effect of observations of NaN, which are in no bucket, on a quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NanEffect {
    /// The quantile is NaN, since it lies above all buckets.
    ResultIsNan,
    /// The quantile is too high, since they count as the highest observations.
    SkewedHigher,
}

/// A quantile of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// The quantile.
    pub value: f64,
    /// The effect that users should hear of.
    pub nan_effect: Option<NanEffect>,
}

/// A fraction of the observations of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fraction {
    /// The fraction.
    pub value: f64,
    /// True if there are observations of NaN, which are in no fraction.
    pub excludes_nan: bool,
}

impl FloatHistogram {
    /// Returns the quantile `q`, as `histogram_quantile` of PromQL does.
    ///
    /// It is infinite if `q` is below 0 or above 1, and NaN without observations. In the lowest and the highest custom
    /// bucket it is the finite boundary, but that between 0 and a positive boundary is interpolated.
    ///
    /// ```
    /// use prom_model::{Buckets, Count, FloatHistogram, Histogram, Span};
    ///
    /// let histogram = FloatHistogram::try_from(&Histogram {
    ///     count: Some(Count::Float(4.0)),
    ///     positive: Buckets {
    ///         spans: vec![Span { offset: 1, length: 2 }],
    ///         deltas: vec![],
    ///         counts: vec![2.0, 2.0],
    ///     },
    ///     ..Histogram::default()
    /// })?;
    /// assert_eq!(histogram.quantile(0.25).value, 1.414213562373095);
    /// assert_eq!(histogram.quantile(0.5).value, 2.0);
    /// assert_eq!(histogram.quantile(1.0).value, 4.0);
    /// assert_eq!(histogram.fraction(2.0, f64::INFINITY).value, 0.5);
    /// # Ok::<(), prom_model::HistogramError>(())
    /// ```
    pub fn quantile(&self, q: f64) -> Quantile {
        let without_effect = |value| Quantile {
            value,
            nan_effect: None,
        };
        if q < 0.0 {
            return without_effect(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return without_effect(f64::INFINITY);
        }
        if self.count() == 0.0 || q.is_nan() {
            return without_effect(f64::NAN);
        }
        // Observations of NaN count above all buckets, so they are reached from below only.
        match self.sum().is_nan() || q < 0.5 {
            true => self.quantile_in(self.all_buckets(), q * self.count(), true),
            false => self.quantile_in(self.all_buckets().rev(), (1.0 - q) * self.count(), false),
        }
    }

    /// Returns the quantile with `rank` observations before it in the order of the buckets.
    fn quantile_in(
        &self,
        mut buckets: impl Iterator<Item = Bucket>,
        rank: f64,
        is_ascending: bool,
    ) -> Quantile {
        let quantile = |value, nan_effect| Quantile { value, nan_effect };
        let (mut bucket, mut count) = (Bucket::default(), 0.0);
        for next in buckets.by_ref() {
            bucket = next;
            if bucket.count == 0.0 {
                continue;
            }
            count += bucket.count;
            if count >= rank {
                break;
            }
        }
        if self.has_custom_buckets() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return quantile(bucket.upper, None);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return quantile(bucket.lower, None);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            self.move_to_one_side(&mut bucket);
        }
        // Rounding may have made it higher.
        if count > self.count() {
            count = self.count();
        }
        if count < rank {
            return match self.sum().is_nan() {
                true => quantile(f64::NAN, Some(NanEffect::ResultIsNan)),
                false => quantile(bucket.upper, None),
            };
        }
        let rank = match is_ascending {
            true => rank - (count - bucket.count),
            false => count - rank,
        };
        let mut nan_effect = None;
        if self.sum().is_nan() {
            // Prometheus interpolates in the last bucket then.
            for next in buckets {
                bucket = next;
                count += bucket.count;
            }
            nan_effect = (count < self.count()).then_some(NanEffect::SkewedHigher);
        }
        let fraction = rank / bucket.count;
        let is_linear = self.has_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0);
        let value = match is_linear {
            true => bucket.lower + (bucket.upper - bucket.lower) * fraction,
            false => {
                let lower = log2(bucket.lower.abs());
                let upper = log2(bucket.upper.abs());
                match bucket.lower > 0.0 {
                    true => exp2(lower + (upper - lower) * fraction),
                    false => -exp2(upper + (lower - upper) * (1.0 - fraction)),
                }
            }
        };
        quantile(value, nan_effect)
    }

    /// Lets a bucket around zero begin or end there, if the other buckets are on one side.
    fn move_to_one_side(&self, bucket: &mut Bucket) {
        let content = &self.0;
        let has_negative = !content.negative.buckets.is_empty();
        let has_positive = !content.positive.buckets.is_empty();
        match (has_negative, has_positive) {
            (false, true) => bucket.lower = 0.0,
            (true, false) => bucket.upper = 0.0,
            _ => {}
        }
    }

    /// Returns the fraction of the observations between two boundaries, as `histogram_fraction` of PromQL does: 0 if
    /// `lower` is not below `upper`, NaN without observations or if a boundary is NaN.
    pub fn fraction(&self, lower: f64, upper: f64) -> Fraction {
        let fraction = |value, excludes_nan| Fraction {
            value,
            excludes_nan,
        };
        if self.count() == 0.0 || lower.is_nan() || upper.is_nan() {
            return fraction(f64::NAN, false);
        }
        if lower >= upper {
            return fraction(0.0, false);
        }
        let (mut count, mut rank) = (0.0, 0.0);
        let (mut lower_rank, mut upper_rank) = (None, None);
        let mut buckets = self.all_buckets();
        for mut bucket in buckets.by_ref() {
            count += bucket.count;
            let is_around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            if is_around_zero {
                self.move_to_one_side(&mut bucket);
            }
            let is_linear = is_around_zero || self.has_custom_buckets();
            let rank_of = |value: f64| {
                if bucket.lower >= value {
                    Some(rank)
                } else if !(bucket.lower < value && bucket.upper > value) {
                    None
                } else if is_linear && bucket.lower == f64::NEG_INFINITY {
                    Some(bucket.count)
                } else {
                    Some(rank + bucket.count * bucket.fraction_below(value, is_linear))
                }
            };
            lower_rank = lower_rank.or_else(|| rank_of(lower));
            upper_rank = upper_rank.or_else(|| rank_of(upper));
            if lower_rank.is_some() && upper_rank.is_some() {
                break;
            }
            rank += bucket.count;
        }
        let mut excludes_nan = false;
        if self.sum().is_nan() {
            for bucket in buckets {
                count += bucket.count;
            }
            excludes_nan = count < self.count();
        } else {
            count = self.count();
        }
        let limited = |rank: Option<f64>| match rank {
            Some(rank) if rank > count => count,
            Some(rank) => rank,
            None => count,
        };
        let value = (limited(upper_rank) - limited(lower_rank)) / self.count();
        fraction(value, excludes_nan)
    }

    /// Returns the mean of the observations, as `histogram_avg` of PromQL does.
    pub fn mean(&self) -> f64 {
        self.sum() / self.count()
    }

    /// Returns the variance of the observations, as `histogram_stdvar` of PromQL does, if all observations of a bucket
    /// lie in its middle: the arithmetic one in custom buckets, 0 in the zero bucket, else the geometric one.
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        let mut variance = Compensated::ZERO;
        for bucket in self.all_buckets().filter(|bucket| bucket.count != 0.0) {
            let middle = match bucket {
                _ if self.has_custom_buckets() => (bucket.upper + bucket.lower) / 2.0,
                _ if bucket.lower <= 0.0 && bucket.upper >= 0.0 => 0.0,
                _ => {
                    let middle = (bucket.upper * bucket.lower).sqrt();
                    if bucket.upper < 0.0 { -middle } else { middle }
                }
            };
            let delta = middle - mean;
            variance.add(Compensated::new(bucket.count * delta * delta));
        }
        (variance.sum + variance.compensation) / self.count()
    }

    /// Returns the standard deviation of the observations, as `histogram_stddev` of PromQL does.
    pub fn standard_deviation(&self) -> f64 {
        self.variance().sqrt()
    }
}
