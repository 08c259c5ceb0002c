//! Sums and differences of histograms.

use std::sync::Arc;

use super::bounds::{bound, exponential_bound};
use super::layout::{Builder, Cell, Compensated, Side};
use super::{Content, FloatHistogram, ResetHint};

/// Histograms with exponential and with custom buckets cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot combine a histogram with exponential buckets and one with custom buckets; select series of one kind"
)]
pub struct MixedSchemas;

/// The facts about a sum or a difference that users should hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Combination {
    /// One histogram is known to follow a reset and the other not, so the result's hint is unknown.
    pub has_conflicting_resets: bool,
    /// The histograms have different custom boundaries, so the result has only those of both.
    pub has_reconciled_bounds: bool,
}

impl FloatHistogram {
    /// Adds a histogram.
    ///
    /// The result has the lower schema and the larger zero threshold of the two. If the boundaries of custom buckets
    /// differ, it has those of both. It may have empty buckets; see [`compact`](FloatHistogram::compact).
    ///
    /// # Errors
    /// Returns an error if just one of the histograms has custom buckets; this one is unchanged then.
    ///
    /// ```
    /// use prom_model::{Buckets, CUSTOM_BUCKETS_SCHEMA, Count, FloatHistogram, Histogram, Span};
    ///
    /// let sizes = |bounds: &[f64], counts: &[f64]| {
    ///     FloatHistogram::try_from(&Histogram {
    ///         count: Some(Count::Float(counts.iter().sum())),
    ///         schema: CUSTOM_BUCKETS_SCHEMA,
    ///         positive: Buckets {
    ///             spans: vec![Span { offset: 0, length: counts.len() as u32 }],
    ///             deltas: vec![],
    ///             counts: counts.to_vec(),
    ///         },
    ///         custom_values: bounds.to_vec(),
    ///         ..Histogram::default()
    ///     })
    /// };
    /// let mut sum = sizes(&[1.0, 2.0, 5.0], &[3.0, 2.0, 1.0])?;
    /// let combination = sum.add(&sizes(&[1.0, 5.0], &[10.0, 20.0])?)?;
    /// assert!(combination.has_reconciled_bounds);
    /// assert_eq!(sum.to_string(), "{count:36, sum:0, [-Inf,1]:13, (1,5]:23}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combination, MixedSchemas> {
        self.0.combine(&other.0, |count| count)
    }

    /// Subtracts a histogram, with the rules of [`add`](FloatHistogram::add). The operator `-` of PromQL makes the
    /// result a gauge afterwards.
    ///
    /// # Errors
    /// Returns an error if just one of the histograms has custom buckets; this one is unchanged then.
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<Combination, MixedSchemas> {
        self.0.combine(&other.0, |count| -count)
    }
}

/// A sum or an incremental mean of histograms that compensates for rounding, with the algorithm of Kahan and
/// Neumaier.
///
/// ```
/// use prom_model::{CompensatedHistogram, Count, FloatHistogram, Histogram};
///
/// let with_count = |count| {
///     FloatHistogram::try_from(&Histogram {
///         count: Some(Count::Float(count)),
///         ..Histogram::default()
///     })
/// };
/// let mut sum = CompensatedHistogram::new(with_count(1e100)?);
/// let _ = sum.add(&with_count(1.0)?)?;
/// let _ = sum.add(&with_count(-1e100)?)?;
/// assert_eq!(sum.into_histogram().count(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CompensatedHistogram {
    content: Content<Compensated>,
    /// There is a compensation, even if it is zero.
    is_sum: bool,
}

impl CompensatedHistogram {
    /// Returns the sum of one histogram.
    pub fn new(first: FloatHistogram) -> Self {
        CompensatedHistogram {
            content: first.0.map(Compensated::new),
            is_sum: false,
        }
    }

    /// Adds a histogram, with the rules of [`FloatHistogram::add`].
    ///
    /// # Errors
    /// Returns an error if just one of the histograms has custom buckets; the sum is unchanged then.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combination, MixedSchemas> {
        let combination = self.content.combine(&other.0, |count| count)?;
        self.is_sum = true;
        Ok(combination)
    }

    /// Multiplies the sum. A negative factor makes it a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.content.mul(factor);
    }

    /// Divides the sum. A negative divisor makes it a gauge, and a divisor of 0 removes the buckets.
    pub fn div(&mut self, divisor: f64) {
        self.content.div(divisor);
    }

    /// Returns true if a count or the sum of the observations is infinite.
    pub fn has_overflow(&self) -> bool {
        self.content.has_overflow()
    }

    /// Returns the sum with its compensation. It may have empty buckets.
    pub fn into_histogram(self) -> FloatHistogram {
        let mut sum = self.content.map(Cell::count);
        if self.is_sum {
            let compensation = self.content.map(|cell| cell.compensation);
            let combined = sum.combine(&compensation, |count| count);
            debug_assert_eq!(combined, Ok(Combination::default()), "one layout and hint");
        }
        FloatHistogram(sum)
    }
}

impl<C: Cell> Content<C> {
    /// Adds each count of `other` as `sign` returns it.
    fn combine(
        &mut self,
        other: &Content<f64>,
        sign: impl Fn(f64) -> f64,
    ) -> Result<Combination, MixedSchemas> {
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(MixedSchemas);
        }
        let (reset_hint, has_conflicting_resets) = combined_hint(self.reset_hint, other.reset_hint);
        self.reset_hint = reset_hint;
        if !self.has_custom_buckets() {
            let zero_count = self.reconcile_zero_bucket(other);
            self.zero_count.add(zero_count.map(&sign));
        }
        self.count.add(Compensated::new(sign(other.count)));
        self.sum.add(Compensated::new(sign(other.sum)));

        let has_reconciled_bounds = self.custom_values != other.custom_values;
        if has_reconciled_bounds {
            self.combine_on_common_bounds(other, sign);
        } else {
            if other.schema < self.schema {
                self.reduce_resolution(other.schema);
            }
            let zero_bucket = ZeroBucket {
                exists: !self.has_custom_buckets(),
                schema: self.schema,
                threshold: self.zero_threshold,
            };
            add_side(
                &mut self.positive,
                zero_bucket,
                other,
                &other.positive,
                &sign,
            );
            add_side(
                &mut self.negative,
                zero_bucket,
                other,
                &other.negative,
                &sign,
            );
        }
        Ok(Combination {
            has_conflicting_resets,
            has_reconciled_bounds,
        })
    }

    fn combine_on_common_bounds(&mut self, other: &Content<f64>, sign: impl Fn(f64) -> f64) {
        let common = common_bounds(&self.custom_values, &other.custom_values);
        let mut cells = vec![C::ZERO; common.len() + 1];
        let own = self.positive.positions();
        add_to_bounds(&mut cells, own, &self.custom_values, &common);
        let others = other.positive.positions();
        let others = others.map(|(index, count)| (index, C::new(sign(count))));
        add_to_bounds(&mut cells, others, &other.custom_values, &common);
        let mut combined = Builder::default();
        for (index, cell) in (0..).zip(cells) {
            if !cell.is_empty() {
                combined.push(index, cell);
            }
        }
        self.positive = combined.side;
        self.custom_values = common.into();
    }

    /// Widens the zero bucket until it contains that of `other` and ends in a populated bucket of neither histogram.
    /// Returns the observations of `other` that it contains then.
    fn reconcile_zero_bucket(&mut self, other: &Content<f64>) -> Compensated {
        let (mut zero_count, mut threshold) =
            (other.zero_count.compensated(), other.zero_threshold);
        loop {
            if self.zero_threshold > threshold {
                (zero_count, threshold) = other.widened_zero_bucket(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                let (own, own_threshold) = self.widened_zero_bucket(threshold);
                self.zero_count = C::from_compensated(own);
                self.zero_threshold = own_threshold;
                self.remove_buckets_in_zero_bucket();
            }
            // Thresholds are equal now, or one of them is NaN, if this one was not widened further.
            let is_wider = self.zero_threshold > threshold;
            if !is_wider {
                return zero_count;
            }
        }
    }

    /// Returns the observations in a zero bucket of the width `threshold`, which is not below the histogram's own, and
    /// its width: that is larger if `threshold` lies in a populated bucket.
    pub(super) fn widened_zero_bucket(&self, threshold: f64) -> (Compensated, f64) {
        let mut threshold = threshold;
        let mut zero_count = self.zero_count.compensated();
        if threshold == self.zero_threshold {
            return (zero_count, threshold);
        }
        // The second pass is the last: the threshold is a boundary of buckets then.
        loop {
            // As in Prometheus, the compensation of the first pass remains.
            zero_count.sum = self.zero_count.count();
            if let Some(wider) = self.add_within(&self.positive, threshold, &mut zero_count) {
                threshold = wider;
            }
            match self.add_within(&self.negative, threshold, &mut zero_count) {
                Some(wider) => threshold = wider,
                None => return (zero_count, threshold),
            }
        }
    }

    /// Adds the buckets of a side that begin within `threshold`; returns the end of the last one if it is populated
    /// and ends beyond.
    fn add_within(&self, side: &Side<C>, threshold: f64, sum: &mut Compensated) -> Option<f64> {
        let bound = |index| bound(index, self.schema, &[]);
        for (index, cell) in side.positions() {
            if bound(index.wrapping_sub(1)) >= threshold {
                break;
            }
            sum.add(cell.compensated());
            let upper = bound(index);
            if upper > threshold {
                return (cell.count() != 0.0).then_some(upper);
            }
        }
        None
    }

    fn remove_buckets_in_zero_bucket(&mut self) {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let outside = |side: &Side<C>| {
            let mut outside = Builder::default();
            side.positions()
                .skip_while(|&(index, _)| {
                    exponential_bound(index.wrapping_sub(1), schema) < threshold
                })
                .for_each(|(index, cell)| outside.push(index, cell));
            outside.side
        };
        self.positive = outside(&self.positive);
        self.negative = outside(&self.negative);
    }
}

/// The zero bucket of a sum.
#[derive(Clone, Copy)]
struct ZeroBucket {
    /// False with custom buckets.
    exists: bool,
    schema: i32,
    threshold: f64,
}

impl ZeroBucket {
    /// Returns true if a bucket lies in it.
    fn contains(self, index: i32) -> bool {
        self.exists && exponential_bound(index, self.schema) <= self.threshold
    }
}

/// Adds to a side that of a histogram with the same or a higher schema. The first buckets of the latter are left to the
/// zero bucket as far as they lie in it.
fn add_side<C: Cell>(
    own: &mut Side<C>,
    zero_bucket: ZeroBucket,
    other: &Content<f64>,
    others: &Side<f64>,
    sign: impl Fn(f64) -> f64,
) {
    let in_zero_bucket = |index| zero_bucket.contains(index);
    if other.schema > zero_bucket.schema {
        let reduced = others.map(C::new).reduced(other.schema, zero_bucket.schema);
        let outside = reduced
            .positions()
            .skip_while(|&(index, _)| in_zero_bucket(index))
            .map(|(index, cell)| (index, cell.map(&sign)));
        *own = own.merged(outside);
        return;
    }
    let first = others.positions().next();
    if own.spans == others.spans && first.is_none_or(|(index, _)| !in_zero_bucket(index)) {
        for (cell, &count) in own.buckets.iter_mut().zip(&others.buckets) {
            cell.add(Compensated::new(sign(count)));
        }
        return;
    }
    let outside = others
        .positions()
        .skip_while(|&(index, _)| in_zero_bucket(index))
        .map(|(index, count)| (index, C::new(sign(count))));
    *own = own.merged(outside);
}

/// Returns the hint of a sum or a difference, and true if those of its operands contradict each other.
fn combined_hint(own: ResetHint, other: ResetHint) -> (ResetHint, bool) {
    use ResetHint::{Gauge, Unknown};
    match (own, other) {
        _ if own == other => (own, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    }
}

/// Returns the boundaries that both lists have. Both rise.
fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut others = b.iter().peekable();
    let is_common = |bound: &&f64| {
        while others.next_if(|other| other < bound).is_some() {}
        others.peek() == Some(bound)
    };
    a.iter().filter(is_common).copied().collect()
}

/// Adds each bucket to that of the common boundaries that contains it.
fn add_to_bounds<C: Cell>(
    cells: &mut [C],
    buckets: impl Iterator<Item = (i32, C)>,
    bounds: &[f64],
    common: &[f64],
) {
    let mut target = 0;
    for (index, cell) in buckets {
        let upper = bound(index, crate::CUSTOM_BUCKETS_SCHEMA, bounds);
        while common.get(target).is_some_and(|&bound| bound < upper) {
            target += 1;
        }
        cells[target].add(cell.compensated());
    }
}

/// Returns true if a count in the buckets between the boundaries that both histograms have is below that of `before`.
pub(super) fn has_fallen_on_common_bounds(own: &Content<f64>, before: &Content<f64>) -> bool {
    let common: Arc<[f64]> = common_bounds(&own.custom_values, &before.custom_values).into();
    let counts = |content: &Content<f64>| {
        let mut counts = vec![0.0; common.len() + 1];
        let positions = content.positive.positions();
        add_to_bounds(&mut counts, positions, &content.custom_values, &common);
        counts
    };
    let (own, before) = (counts(own), counts(before));
    own.iter().zip(&before).any(|(own, before)| own < before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;
    use crate::examples::{changed, custom, integers};

    fn floats(change: impl FnOnce(&mut Histogram)) -> FloatHistogram {
        FloatHistogram::try_from(&changed(integers(), change)).unwrap()
    }

    #[test]
    fn kinds_of_buckets_do_not_mix() {
        let custom = FloatHistogram::try_from(&custom()).unwrap();
        let mut sum = floats(|it| it.reset_hint = 1);
        assert_eq!(sum.add(&custom), Err(MixedSchemas));
        assert_eq!(sum.sub(&custom), Err(MixedSchemas));
        assert!(sum.equals(&floats(|_| {})));
        assert_eq!(sum.reset_hint(), ResetHint::Reset);
        let mut compensated = CompensatedHistogram::new(custom.clone());
        assert_eq!(compensated.add(&sum), Err(MixedSchemas));
        assert!(compensated.into_histogram().equals(&custom));
    }

    #[test]
    fn hints_combine_in_either_order() {
        use ResetHint::{Gauge, NotReset, Reset, Unknown};
        let cases = [
            (Unknown, Unknown, Unknown, false),
            (Unknown, Reset, Unknown, false),
            (Unknown, NotReset, Unknown, false),
            (Unknown, Gauge, Gauge, false),
            (Reset, Reset, Reset, false),
            (Reset, NotReset, Unknown, true),
            (Reset, Gauge, Gauge, false),
            (NotReset, NotReset, NotReset, false),
            (NotReset, Gauge, Gauge, false),
            (Gauge, Gauge, Gauge, false),
        ];
        for (a, b, expected, is_conflict) in cases {
            assert_eq!(combined_hint(a, b), (expected, is_conflict));
            assert_eq!(combined_hint(b, a), (expected, is_conflict));
        }
    }

    #[test]
    fn buckets_of_the_other_operand_in_the_zero_bucket_are_dropped() {
        let mut sum = floats(|it| it.zero_threshold = 1.0);
        let other = sum.clone();
        assert!(sum.add(&other).is_ok());
        let counts: Vec<_> = sum.positive_buckets().map(|it| it.count).collect();
        assert_eq!(counts, [1.0, 4.0, 2.0, 26.0]);
    }

    #[test]
    fn an_overflow_is_seen_in_each_count() {
        assert!(!floats(|_| {}).has_overflow());
        let overflowed = [
            floats(|it| it.sum = f64::NEG_INFINITY),
            changed_float(|it| it.count = Some(crate::Count::Float(f64::INFINITY))),
            changed_float(|it| it.zero_count = Some(crate::Count::Float(f64::INFINITY))),
            changed_float(|it| it.positive.counts[1] = f64::INFINITY),
            changed_float(|it| it.negative.counts[1] = f64::INFINITY),
        ];
        for histogram in overflowed {
            assert!(histogram.has_overflow());
            assert!(CompensatedHistogram::new(histogram).has_overflow());
        }
    }

    fn changed_float(change: impl FnOnce(&mut Histogram)) -> FloatHistogram {
        let histogram = floats(|_| {}).to_histogram(0);
        FloatHistogram::try_from(&changed(histogram, change)).unwrap()
    }

    #[test]
    fn a_compensation_outlives_the_merging_of_buckets() {
        let with = |count: f64, bound: f64| {
            let histogram = changed(custom(), |it| {
                it.custom_values = vec![1.0, bound];
                it.positive.spans = crate::examples::spans(&[(0, 1)]);
                it.positive.counts = vec![count];
            });
            FloatHistogram::try_from(&histogram).unwrap()
        };
        let mut sum = CompensatedHistogram::new(with(1e100, 2.0));
        for next in [with(1.0, 2.0), with(-1e100, 3.0), with(2.0, 4.0)] {
            assert!(sum.add(&next).is_ok());
        }
        let sum = sum.into_histogram();
        assert_eq!(sum.custom_values(), [1.0]);
        let counts: Vec<_> = sum.positive_buckets().map(|it| it.count).collect();
        assert_eq!(counts, [3.0]);
    }

    #[test]
    fn a_zero_threshold_of_nan_ends_the_search() {
        let mut sum = floats(|it| it.zero_threshold = f64::NAN);
        assert!(sum.add(&floats(|_| {})).is_ok());
        let mut sum = floats(|_| {});
        assert!(sum.add(&floats(|it| it.zero_threshold = f64::NAN)).is_ok());
        assert_eq!(sum.count(), 54.0);
    }
}
