//! The operators `</` and `>/` of PromQL, which remove the observations on one side of a boundary.

use super::{Bucket, FloatHistogram};

/// The observations to remove.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trim {
    /// Those above the boundary.
    Upper,
    /// Those below it.
    Lower,
}

/// The rest of a bucket.
#[derive(Clone, Copy)]
struct Rest {
    count: f64,
    /// The estimate of each observation.
    middle: f64,
}

impl Rest {
    fn new(count: f64, middle: f64) -> Self {
        Rest { count, middle }
    }
}

impl FloatHistogram {
    /// Removes the observations above a boundary, as the operator `</` of PromQL does.
    ///
    /// The bucket that contains the boundary is split with the interpolation of
    /// [`fraction`](FloatHistogram::fraction), and removed if it has no finite width. If a bucket changes, the count and
    /// the sum are estimated from what stays, and empty buckets are removed.
    ///
    /// ```
    /// use prom_model::{Buckets, Count, FloatHistogram, Histogram, Span};
    ///
    /// let mut histogram = FloatHistogram::try_from(&Histogram {
    ///     count: Some(Count::Float(4.0)),
    ///     positive: Buckets {
    ///         spans: vec![Span { offset: 0, length: 3 }],
    ///         deltas: vec![],
    ///         counts: vec![1.0, 2.0, 1.0],
    ///     },
    ///     ..Histogram::default()
    /// })?;
    /// histogram.trim_upper(2.0);
    /// assert_eq!(histogram.count(), 3.0);
    /// histogram.trim_lower(1.0);
    /// assert_eq!(histogram.count(), 2.0);
    /// # Ok::<(), prom_model::HistogramError>(())
    /// ```
    pub fn trim_upper(&mut self, boundary: f64) {
        self.trim(boundary, Trim::Upper);
    }

    /// Removes the observations below a boundary, as the operator `>/` of PromQL does; see
    /// [`trim_upper`](FloatHistogram::trim_upper).
    pub fn trim_lower(&mut self, boundary: f64) {
        self.trim(boundary, Trim::Lower);
    }

    fn trim(&mut self, boundary: f64, trim: Trim) {
        let is_custom = self.has_custom_buckets();
        let (mut count, mut sum) = (0.0, 0.0);
        let mut is_changed = false;
        let mut rest_of = |bucket: Bucket, is_positive: bool, has_any: &mut bool| {
            if bucket.count == 0.0 {
                return bucket.count;
            }
            *has_any = true;
            let shape = Shape {
                is_positive,
                is_linear: is_custom,
            };
            let rest = rest_of_bucket(bucket, boundary, trim, shape);
            count += rest.count;
            sum += rest.middle * rest.count;
            is_changed |= rest.count != bucket.count;
            rest.count
        };
        let (mut has_positive, mut has_negative) = (false, false);
        let positive: Vec<f64> = self
            .positive_buckets()
            .map(|bucket| rest_of(bucket, true, &mut has_positive))
            .collect();
        let negative: Vec<f64> = self
            .negative_buckets()
            .map(|bucket| rest_of(bucket, false, &mut has_negative))
            .collect();
        if self.zero_count() > 0.0 {
            let mut zero = self.zero_bucket();
            match (has_negative, has_positive) {
                (true, false) => zero.upper = 0.0,
                (false, true) => zero.lower = 0.0,
                _ => {}
            }
            let rest = rest_of_zero_bucket(zero, boundary, trim);
            is_changed |= rest.count != self.0.zero_count;
            self.0.zero_count = rest.count;
            sum += rest.middle * rest.count;
            count += rest.count;
        }
        if is_changed {
            (self.0.positive.buckets, self.0.negative.buckets) = (positive, negative);
            (self.0.count, self.0.sum) = (count, sum);
            self.compact(0);
        }
    }
}

/// The kind of a bucket.
#[derive(Clone, Copy)]
struct Shape {
    is_positive: bool,
    is_linear: bool,
}

fn rest_of_bucket(bucket: Bucket, boundary: f64, trim: Trim, shape: Shape) -> Rest {
    let Bucket { lower, upper, .. } = bucket;
    let (is_whole, is_split) = match trim {
        Trim::Upper => (upper <= boundary, lower < boundary),
        Trim::Lower => (lower >= boundary, upper > boundary),
    };
    if is_whole {
        return Rest::new(bucket.count, middle(lower, upper, shape));
    }
    if !is_split {
        return Rest::new(0.0, 0.0);
    }
    if lower == f64::NEG_INFINITY {
        return rest_of_lowest_bucket(bucket, boundary, trim);
    }
    if upper == f64::INFINITY {
        return rest_of_highest_bucket(bucket, boundary, trim);
    }
    let below = match boundary {
        _ if boundary <= lower => 0.0,
        _ if boundary >= upper => bucket.count,
        _ => bucket.count * bucket.fraction_below(boundary, shape.is_linear),
    };
    match trim {
        Trim::Upper => Rest::new(below, middle(lower, boundary, shape)),
        Trim::Lower => Rest::new(bucket.count - below, middle(boundary, upper, shape)),
    }
}

/// Returns the rest of a bucket without a lower boundary, which contains `boundary`.
fn rest_of_lowest_bucket(bucket: Bucket, boundary: f64, trim: Trim) -> Rest {
    let Bucket { upper, count, .. } = bucket;
    let removed = Rest::new(0.0, 0.0);
    // Observations of a bucket that reaches over zero are taken to be positive.
    let is_finite = upper != f64::INFINITY;
    match trim {
        Trim::Upper if boundary > 0.0 && upper > 0.0 && is_finite => {
            Rest::new(count * boundary / upper, boundary / 2.0)
        }
        Trim::Upper if upper <= 0.0 => Rest::new(count, boundary),
        Trim::Upper => removed,
        Trim::Lower if boundary >= 0.0 && upper > boundary && is_finite => {
            Rest::new(count * (1.0 - boundary / upper), (boundary + upper) / 2.0)
        }
        Trim::Lower => removed,
    }
}

/// Returns the rest of a bucket without an upper boundary, which contains `boundary`.
fn rest_of_highest_bucket(bucket: Bucket, boundary: f64, trim: Trim) -> Rest {
    match trim {
        Trim::Lower if boundary >= bucket.lower => Rest::new(bucket.count, boundary),
        _ => Rest::new(0.0, 0.0),
    }
}

fn rest_of_zero_bucket(zero: Bucket, boundary: f64, trim: Trim) -> Rest {
    let Bucket { lower, upper, .. } = zero;
    let all = Rest::new(zero.count, (lower + upper) / 2.0);
    let none = Rest::new(0.0, 0.0);
    let (fraction, middle) = match trim {
        Trim::Upper if boundary <= lower => return none,
        Trim::Upper if boundary >= upper => return all,
        Trim::Upper => (
            (boundary - lower) / (upper - lower),
            (lower + boundary) / 2.0,
        ),
        Trim::Lower if boundary <= lower => return all,
        Trim::Lower if boundary >= upper => return none,
        Trim::Lower => (
            (upper - boundary) / (upper - lower),
            (boundary + upper) / 2.0,
        ),
    };
    Rest::new(zero.count * fraction, middle)
}

/// Returns the estimate of an observation between two boundaries.
fn middle(lower: f64, upper: f64, shape: Shape) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => return 0.0,
        (true, false) if upper > 0.0 => return upper / 2.0,
        (true, false) => return upper,
        (false, true) => return lower,
        (false, false) => {}
    }
    if shape.is_linear {
        return (lower + upper) / 2.0;
    }
    let geometric = (lower * upper).abs().sqrt();
    match shape.is_positive {
        true => geometric,
        false => -geometric,
    }
}
