//! Counter resets between histograms.

use std::iter::Peekable;

use super::arithmetic::has_fallen_on_common_bounds;
use super::bounds::exponential_bound;
use super::layout::Side;
use super::{Content, FloatHistogram, ResetHint};

impl FloatHistogram {
    /// Returns true if the counters were reset between the histogram `before` and this one.
    ///
    /// If this histogram's hint does not say it, a reset shows in a lower count (of all observations, in the zero bucket
    /// or in any bucket), a finer schema, a lower zero threshold or one within a populated bucket of `before`, and in
    /// custom buckets instead of exponential ones. If the boundaries of custom buckets differ, the counts between those
    /// of both are compared.
    ///
    /// ```
    /// use prom_model::{Count, FloatHistogram, Histogram, ResetHint};
    ///
    /// let with_count = |count| {
    ///     FloatHistogram::try_from(&Histogram {
    ///         count: Some(Count::Int(count)),
    ///         zero_count: Some(Count::Int(count)),
    ///         ..Histogram::default()
    ///     })
    /// };
    /// let (before, mut after) = (with_count(7)?, with_count(3)?);
    /// assert!(after.detects_reset(&before));
    /// after.set_reset_hint(ResetHint::NotReset);
    /// assert!(!after.detects_reset(&before));
    /// # Ok::<(), prom_model::HistogramError>(())
    /// ```
    pub fn detects_reset(&self, before: &FloatHistogram) -> bool {
        let (own, before) = (&self.0, &before.0);
        match own.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if own.count < before.count {
            return true;
        }
        if own.has_custom_buckets() {
            if !before.has_custom_buckets() {
                return true;
            }
            if own.custom_values != before.custom_values {
                return has_fallen_on_common_bounds(own, before);
            }
        }
        if own.schema > before.schema || own.zero_threshold < before.zero_threshold {
            return true;
        }
        if before.has_custom_buckets() {
            // Its number is below that of each exponential schema, so this one has custom buckets too.
            return has_fallen(own, &own.positive, before, &before.positive);
        }
        let (before_zero, threshold) = before.widened_zero_bucket(own.zero_threshold);
        threshold != own.zero_threshold
            || own.zero_count < before_zero.sum
            || has_fallen(own, &own.positive, before, &before.positive)
            || has_fallen(own, &own.negative, before, &before.negative)
    }
}

/// Returns true if the count of a bucket is below that in `before_side` at the schema of `own`. Buckets in the zero
/// bucket do not matter.
fn has_fallen(
    own: &Content<f64>,
    own_side: &Side<f64>,
    before: &Content<f64>,
    before_side: &Side<f64>,
) -> bool {
    let in_zero_bucket = |&(index, _): &(i32, f64)| {
        own.zero_threshold != 0.0 && exponential_bound(index, own.schema) <= own.zero_threshold
    };
    let reduced =
        (before.schema > own.schema).then(|| before_side.reduced(before.schema, own.schema));
    let before_side = reduced.as_ref().unwrap_or(before_side);
    let mut counts = own_side.positions().skip_while(in_zero_bucket).peekable();
    before_side
        .positions()
        .skip_while(in_zero_bucket)
        .any(|(index, before)| match count_at(&mut counts, index) {
            Some(count) => count < before,
            None => before != 0.0,
        })
}

/// Returns the count of the bucket `index`, and skips those before it.
fn count_at(counts: &mut Peekable<impl Iterator<Item = (i32, f64)>>, index: i32) -> Option<f64> {
    while counts.next_if(|it| it.0 < index).is_some() {}
    counts.peek().filter(|it| it.0 == index).map(|it| it.1)
}
