//! The buckets of a histogram in order.

use super::bounds::bound;
use super::go_math::log2;
use super::layout::{Positions, Side};
use super::{Content, FloatHistogram};
use crate::CUSTOM_BUCKETS_SCHEMA;

/// A bucket with its boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    /// The lower boundary.
    pub lower: f64,
    /// The upper boundary.
    pub upper: f64,
    /// True if observations of the lower boundary are in the bucket.
    pub is_lower_inclusive: bool,
    /// True if observations of the upper boundary are in the bucket.
    pub is_upper_inclusive: bool,
    /// Number of observations.
    pub count: f64,
}

impl Bucket {
    /// Returns the fraction of the bucket's width that lies below `value`, which is between its finite boundaries: of
    /// the width itself, or of the logarithmic one.
    pub(super) fn fraction_below(&self, value: f64, is_linear: bool) -> f64 {
        if is_linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let [lower, upper, log] = [self.lower, self.upper, value].map(|it| log2(it.abs()));
        match value > 0.0 {
            true => (log - lower) / (upper - lower),
            false => 1.0 - ((log - upper) / (lower - upper)),
        }
    }
}

impl FloatHistogram {
    /// Returns the buckets of positive observations, from the lowest to the highest; reversible.
    pub fn positive_buckets(
        &self,
    ) -> impl DoubleEndedIterator<Item = Bucket> + ExactSizeIterator + '_ {
        self.0.side_buckets(&self.0.positive, true)
    }

    /// Returns the buckets of negative observations, from that next to zero to the lowest; reversible.
    pub fn negative_buckets(
        &self,
    ) -> impl DoubleEndedIterator<Item = Bucket> + ExactSizeIterator + '_ {
        self.0.side_buckets(&self.0.negative, false)
    }

    /// Returns all buckets from the lowest to the highest; reversible. The zero bucket is there if it has observations,
    /// and buckets that overlap with it end where it begins.
    ///
    /// ```
    /// use prom_model::{Buckets, Count, FloatHistogram, Histogram, Span};
    ///
    /// let bucket = Buckets {
    ///     spans: vec![Span { offset: 0, length: 1 }],
    ///     deltas: vec![],
    ///     counts: vec![2.0],
    /// };
    /// let histogram = FloatHistogram::try_from(&Histogram {
    ///     count: Some(Count::Float(5.0)),
    ///     zero_threshold: 0.75,
    ///     zero_count: Some(Count::Float(1.0)),
    ///     positive: bucket.clone(),
    ///     negative: bucket,
    ///     ..Histogram::default()
    /// })?;
    /// let bounds: Vec<_> = histogram.all_buckets().map(|it| (it.lower, it.upper)).collect();
    /// assert_eq!(bounds, [(-1.0, -0.75), (-0.75, 0.75), (0.75, 1.0)]);
    /// # Ok::<(), prom_model::HistogramError>(())
    /// ```
    pub fn all_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let threshold = self.0.zero_threshold;
        let outside = move |mut bucket: Bucket| {
            if bucket.upper < 0.0 && bucket.upper > -threshold {
                bucket.upper = -threshold;
            } else if bucket.lower > 0.0 && bucket.lower < threshold {
                bucket.lower = threshold;
            }
            bucket
        };
        let zero = Some(self.zero_bucket()).filter(|zero| zero.count > 0.0);
        self.negative_buckets()
            .rev()
            .map(outside)
            .chain(zero)
            .chain(self.positive_buckets().map(outside))
    }

    /// Returns the zero bucket.
    pub(super) fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.0.zero_threshold,
            upper: self.0.zero_threshold,
            is_lower_inclusive: true,
            is_upper_inclusive: true,
            count: self.0.zero_count,
        }
    }
}

impl Content<f64> {
    fn side_buckets<'a>(&'a self, side: &'a Side<f64>, is_positive: bool) -> SideBuckets<'a> {
        SideBuckets {
            positions: side.positions(),
            schema: self.schema,
            custom_values: &self.custom_values,
            is_positive,
        }
    }
}

struct SideBuckets<'a> {
    positions: Positions<'a, f64>,
    schema: i32,
    custom_values: &'a [f64],
    is_positive: bool,
}

impl SideBuckets<'_> {
    fn bucket(&self, (index, count): (i32, f64)) -> Bucket {
        let bound = |index| bound(index, self.schema, self.custom_values);
        let (near, far) = (bound(index.wrapping_sub(1)), bound(index));
        let (lower, upper) = match self.is_positive {
            true => (near, far),
            false => (-far, -near),
        };
        let is_custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        Bucket {
            lower,
            upper,
            is_lower_inclusive: match is_custom {
                true => index == 0,
                false => lower < 0.0,
            },
            is_upper_inclusive: is_custom || upper > 0.0,
            count,
        }
    }
}

impl Iterator for SideBuckets<'_> {
    type Item = Bucket;

    fn next(&mut self) -> Option<Bucket> {
        let position = self.positions.next()?;
        Some(self.bucket(position))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.positions.size_hint()
    }
}

impl DoubleEndedIterator for SideBuckets<'_> {
    fn next_back(&mut self) -> Option<Bucket> {
        let position = self.positions.next_back()?;
        Some(self.bucket(position))
    }
}

impl ExactSizeIterator for SideBuckets<'_> {}
