//! Native histograms as PromQL calculates with them.
//!
//! The results have the bits of Prometheus' own on amd64. Each operation takes time and memory in proportion to its
//! inputs, unless it says otherwise, and none panics.

mod arithmetic;
mod bounds;
mod buckets;
mod estimate;
mod go_math;
mod layout;
mod reset;
mod text;
mod trim;

use std::sync::Arc;

use self::bounds::FINEST_SCHEMA;
use self::layout::Side;
use crate::{Buckets, CUSTOM_BUCKETS_SCHEMA, Count, Histogram, HistogramError};

pub use self::arithmetic::{Combination, CompensatedHistogram, MixedSchemas};
pub use self::buckets::Bucket;
pub use self::estimate::{Fraction, NanEffect, Quantile};
pub use self::go_math::{Digits, Shortest, ln, log2};

/// The coarsest exponential schema.
const COARSEST_SCHEMA: i32 = -4;
/// Bytes of Prometheus' struct.
const STRUCT_BYTES: usize = 168;
/// Bytes of an element of each list in Prometheus' struct.
const ELEMENT_BYTES: usize = 8;
/// Bytes of a float sample in Prometheus.
const SAMPLE_BYTES: usize = 16;

/// The knowledge about a reset of the counters before a histogram.
///
/// ```
/// use prom_model::ResetHint;
///
/// assert_eq!(ResetHint::from_number(3), ResetHint::Gauge);
/// assert_eq!(ResetHint::Gauge.to_number(), 3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// It has to be detected.
    #[default]
    Unknown,
    /// The counters were reset.
    Reset,
    /// The counters were not reset.
    NotReset,
    /// The histogram is a gauge: it has no counters.
    Gauge,
}

impl ResetHint {
    /// Returns the hint for the number of the protocols ([`Histogram::reset_hint`]); numbers without a meaning are
    /// unknown.
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => ResetHint::Reset,
            2 => ResetHint::NotReset,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        }
    }

    /// Returns the number of the hint in the protocols.
    pub fn to_number(self) -> i32 {
        match self {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        }
    }
}

/// A native histogram whose counts are floats.
///
/// Its schema is one of -4 to 8 or -53, its spans describe the buckets that it has, and with custom buckets it has
/// neither a zero bucket nor negative ones. Counts may be negative, as those of a difference are.
///
/// ```
/// use prom_model::{Buckets, Count, FloatHistogram, Histogram, Span};
///
/// let latency = |count: u64| Histogram {
///     count: Some(Count::Int(count)),
///     sum: 1.5 * count as f64,
///     positive: Buckets {
///         spans: vec![Span { offset: 1, length: 1 }],
///         deltas: vec![count as i64],
///         counts: vec![],
///     },
///     ..Histogram::default()
/// };
/// let mut before = FloatHistogram::try_from(&latency(4))?;
/// let mut increase = FloatHistogram::try_from(&latency(10))?;
/// assert!(before.detects_reset(&increase));
/// increase.sub(&before).expect("both have exponential buckets");
/// assert_eq!(increase.to_string(), "{count:6, sum:9, (1,2]:6}");
/// assert_eq!(increase.quantile(0.5).value, 1.414213562373095);
/// # Ok::<(), prom_model::HistogramError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FloatHistogram(Content<f64>);

/// The fields of a histogram, with plain counts or compensated ones.
#[derive(Clone, Debug)]
struct Content<C> {
    reset_hint: ResetHint,
    schema: i32,
    zero_threshold: f64,
    zero_count: C,
    count: C,
    sum: C,
    positive: Side<C>,
    negative: Side<C>,
    custom_values: Arc<[f64]>,
}

impl<C: layout::Cell> Content<C> {
    fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Returns the fields with each count and the sum changed.
    fn map<D: layout::Cell>(&self, change: impl Fn(C) -> D) -> Content<D> {
        Content {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            // Without a zero bucket it stays zero, whatever the factor.
            zero_count: match self.has_custom_buckets() {
                true => D::ZERO,
                false => change(self.zero_count),
            },
            count: change(self.count),
            sum: change(self.sum),
            positive: self.positive.map(&change),
            negative: self.negative.map(&change),
            custom_values: Arc::clone(&self.custom_values),
        }
    }

    /// Changes each count and the sum.
    fn change(&mut self, change: impl Fn(f64) -> f64) {
        let has_zero_bucket = !self.has_custom_buckets();
        let zero_count = has_zero_bucket.then_some(&mut self.zero_count);
        let buckets = self.positive.buckets.iter_mut();
        buckets
            .chain(&mut self.negative.buckets)
            .chain([&mut self.count, &mut self.sum])
            .chain(zero_count)
            .for_each(|cell| *cell = cell.map(&change));
    }

    fn mul(&mut self, factor: f64) {
        self.change(|value| value * factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    fn div(&mut self, divisor: f64) {
        self.change(|value| value / divisor);
        if divisor == 0.0 {
            (self.positive, self.negative) = (Side::default(), Side::default());
        } else if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    fn reduce_resolution(&mut self, schema: i32) {
        self.positive = self.positive.reduced(self.schema, schema);
        self.negative = self.negative.reduced(self.schema, schema);
        self.schema = schema;
    }

    fn compact(&mut self, max_empty: u32) {
        for side in [&mut self.positive, &mut self.negative] {
            if max_empty > 0 || !side.is_compact() {
                *side = side.compacted(max_empty);
            }
        }
    }

    fn has_overflow(&self) -> bool {
        let buckets = self.positive.buckets.iter().chain(&self.negative.buckets);
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(buckets)
            .any(|cell| cell.count().is_infinite())
    }
}

/// The schema that a histogram was to be reduced to is not coarser than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schema {from} cannot be reduced to {to}: only an exponential schema can, to one of -4 to {from}"
)]
pub struct ResolutionError {
    /// The histogram's schema.
    pub from: i32,
    /// The schema to reduce it to.
    pub to: i32,
}

impl FloatHistogram {
    /// Returns the knowledge about a reset of the counters.
    pub fn reset_hint(&self) -> ResetHint {
        self.0.reset_hint
    }

    /// Sets the knowledge about a reset of the counters.
    pub fn set_reset_hint(&mut self, hint: ResetHint) {
        self.0.reset_hint = hint;
    }

    /// Returns the schema: -4 to 8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub fn schema(&self) -> i32 {
        self.0.schema
    }

    /// Returns true if the boundaries of the buckets are listed.
    pub fn has_custom_buckets(&self) -> bool {
        self.0.has_custom_buckets()
    }

    /// Returns the upper boundaries of custom buckets.
    pub fn custom_values(&self) -> &[f64] {
        &self.0.custom_values
    }

    /// Returns the width of the zero bucket.
    pub fn zero_threshold(&self) -> f64 {
        self.0.zero_threshold
    }

    /// Returns the number of observations in the zero bucket.
    pub fn zero_count(&self) -> f64 {
        self.0.zero_count
    }

    /// Returns the number of observations.
    pub fn count(&self) -> f64 {
        self.0.count
    }

    /// Returns the sum of the observations.
    pub fn sum(&self) -> f64 {
        self.0.sum
    }

    /// Returns true if the histogram is a stale marker, which ends its series.
    pub fn is_stale(&self) -> bool {
        self.0.sum.to_bits() == crate::STALE_MARKER_BITS
    }

    /// Multiplies each count and the sum. A negative factor makes the histogram a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.0.mul(factor);
    }

    /// Divides each count and the sum. A negative divisor makes the histogram a gauge, and a divisor of 0 removes the
    /// buckets.
    pub fn div(&mut self, divisor: f64) {
        self.0.div(divisor);
    }

    /// Merges the buckets into those of a coarser schema.
    ///
    /// # Errors
    /// Returns an error if the histogram has custom buckets, or the schema is finer than its own or below -4; the
    /// histogram is unchanged then.
    ///
    /// ```
    /// use prom_model::{Buckets, Count, FloatHistogram, Histogram, Span};
    ///
    /// let mut histogram = FloatHistogram::try_from(&Histogram {
    ///     count: Some(Count::Float(3.0)),
    ///     schema: 1,
    ///     positive: Buckets {
    ///         spans: vec![Span { offset: 1, length: 2 }],
    ///         deltas: vec![],
    ///         counts: vec![1.0, 2.0],
    ///     },
    ///     ..Histogram::default()
    /// })?;
    /// histogram.reduce_resolution(0).expect("0 is coarser than 1");
    /// assert_eq!(histogram.to_string(), "{count:3, sum:0, (1,2]:3}");
    /// # Ok::<(), prom_model::HistogramError>(())
    /// ```
    pub fn reduce_resolution(&mut self, schema: i32) -> Result<(), ResolutionError> {
        let from = self.0.schema;
        if self.has_custom_buckets() || !(COARSEST_SCHEMA..=from).contains(&schema) {
            return Err(ResolutionError { from, to: schema });
        }
        if schema < from {
            self.0.reduce_resolution(schema);
        }
        Ok(())
    }

    /// Removes empty buckets, except those in gaps of at most `max_empty` buckets, which it adds if they are missing:
    /// the buckets around such a gap share a span then. With 0 no empty bucket remains; other limits may take memory in
    /// proportion to the gaps.
    ///
    /// ```
    /// use prom_model::{Buckets, Count, FloatHistogram, Histogram, Span};
    ///
    /// let mut histogram = FloatHistogram::try_from(&Histogram {
    ///     count: Some(Count::Float(3.0)),
    ///     positive: Buckets {
    ///         spans: vec![Span { offset: 0, length: 4 }],
    ///         deltas: vec![],
    ///         counts: vec![0.0, 2.0, 0.0, 1.0],
    ///     },
    ///     ..Histogram::default()
    /// })?;
    /// histogram.compact(0);
    /// assert_eq!(histogram.positive_buckets().len(), 2);
    /// histogram.compact(1);
    /// assert_eq!(histogram.positive_buckets().len(), 3);
    /// # Ok::<(), prom_model::HistogramError>(())
    /// ```
    pub fn compact(&mut self, max_empty: u32) {
        self.0.compact(max_empty);
    }

    /// Returns true if a count or the sum is infinite.
    pub fn has_overflow(&self) -> bool {
        self.0.has_overflow()
    }

    /// Returns true if the histograms have the same buckets, even empty ones, and the same bits in each count and in
    /// the sum. Hints about resets do not matter, nor do spans without buckets.
    pub fn equals(&self, other: &FloatHistogram) -> bool {
        let (a, b) = (&self.0, &other.0);
        let is_equal = |a: f64, b: f64| a.to_bits() == b.to_bits();
        a.schema == b.schema
            && is_equal(a.count, b.count)
            && is_equal(a.sum, b.sum)
            && a.custom_values == b.custom_values
            && a.zero_threshold == b.zero_threshold
            && is_equal(a.zero_count, b.zero_count)
            && a.negative.matches(&b.negative, is_equal)
            && a.positive.matches(&b.positive, is_equal)
    }

    /// Returns the number of float samples that Prometheus could hold in the memory of the histogram, with which it
    /// counts towards the limit of a query.
    pub fn size_in_samples(&self) -> usize {
        let side = |side: &Side<f64>| side.spans.len() + side.buckets.len();
        let content = &self.0;
        let elements =
            side(&content.positive) + side(&content.negative) + content.custom_values.len();
        // Its timestamp has the size of one element.
        (STRUCT_BYTES + ELEMENT_BYTES * (elements + 1)) / SAMPLE_BYTES
    }

    /// Returns the histogram as the protocols carry it.
    pub fn to_histogram(&self, timestamp_ms: i64) -> Histogram {
        let content = &self.0;
        let buckets = |side: &Side<f64>| Buckets {
            spans: side.spans.clone(),
            deltas: Vec::new(),
            counts: side.buckets.clone(),
        };
        Histogram {
            timestamp_ms,
            count: Some(Count::Float(content.count)),
            sum: content.sum,
            schema: content.schema,
            zero_threshold: content.zero_threshold,
            zero_count: Some(Count::Float(content.zero_count)),
            negative: buckets(&content.negative),
            positive: buckets(&content.positive),
            reset_hint: content.reset_hint.to_number(),
            custom_values: content.custom_values.to_vec(),
        }
    }
}

impl TryFrom<&Histogram> for FloatHistogram {
    type Error = HistogramError;

    /// Converts a histogram of integers or floats. A schema above 8 is reduced to 8, as Prometheus' receiver does; a
    /// stale marker has no buckets.
    ///
    /// # Errors
    /// Returns an error if the schema does not exist, or the spans, the listed boundaries or the zero bucket break a
    /// rule of [`Histogram::validate`]. Counts are not checked.
    fn try_from(histogram: &Histogram) -> Result<Self, HistogramError> {
        let mut content = Content {
            reset_hint: ResetHint::from_number(histogram.reset_hint),
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: 0.0,
            count: histogram.float_count(),
            sum: histogram.sum,
            positive: Side::default(),
            negative: Side::default(),
            custom_values: Arc::default(),
        };
        if histogram.is_stale() {
            content.schema = 0;
            content.zero_threshold = 0.0;
            return Ok(FloatHistogram(content));
        }
        histogram.check_layout()?;
        let is_float = histogram.is_float();
        if !is_float {
            content.count = histogram.int_count() as f64;
        }
        content.positive = side(&histogram.positive, is_float);
        if content.has_custom_buckets() {
            content.custom_values = histogram.custom_values.as_slice().into();
            return Ok(FloatHistogram(content));
        }
        content.zero_count = match is_float {
            true => histogram.float_zero_count(),
            false => histogram.int_zero_count() as f64,
        };
        content.negative = side(&histogram.negative, is_float);
        if content.schema > FINEST_SCHEMA {
            content.reduce_resolution(FINEST_SCHEMA);
        }
        Ok(FloatHistogram(content))
    }
}

/// Returns the buckets with their counts.
fn side(buckets: &Buckets, is_float: bool) -> Side<f64> {
    let mut count = 0.0;
    let deltas = buckets.deltas.iter().map(|&delta| {
        count += delta as f64;
        count
    });
    Side {
        spans: buckets.spans.clone(),
        buckets: match is_float {
            true => buckets.counts.clone(),
            false => deltas.collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{changed, custom, integers, spans};

    fn floats(histogram: &Histogram) -> FloatHistogram {
        FloatHistogram::try_from(histogram).unwrap()
    }

    #[test]
    fn integers_become_floats() {
        let histogram = floats(&integers()).to_histogram(5);
        assert_eq!(histogram.timestamp_ms, 5);
        assert_eq!(histogram.count, Some(Count::Float(27.0)));
        assert_eq!(histogram.zero_count, Some(Count::Float(3.0)));
        assert_eq!(histogram.positive.counts, [1.0, 2.0, 1.0, 13.0]);
        assert_eq!(histogram.positive.spans, integers().positive.spans);
        assert_eq!(histogram.negative.counts, [5.0, 2.0]);
        assert!(floats(&histogram).equals(&floats(&integers())));
        let back = floats(&custom()).to_histogram(custom().timestamp_ms);
        assert_eq!(
            back,
            changed(custom(), |it| it.zero_count = Some(Count::Float(0.0)))
        );
    }

    #[test]
    fn fine_schemas_are_reduced() {
        let fine = changed(integers(), |it| it.schema = 52);
        let reduced = floats(&fine);
        assert_eq!(reduced.schema(), 8);
        // All lie in the bucket that ends at 1, or in the one after it.
        assert_eq!(reduced.positive_buckets().len(), 2);
        let counts: f64 = reduced.all_buckets().map(|it| it.count).sum();
        assert_eq!(counts, 27.0);
    }

    #[test]
    fn only_the_layout_is_checked() {
        let negative = changed(custom(), |it| it.positive.counts[0] = -1.0);
        assert!(negative.validate().is_err());
        assert!(floats(&negative).zero_count() == 0.0);
        let cases = [
            changed(integers(), |it| it.schema = -5),
            changed(integers(), |it| it.positive.spans[0].length = 9),
            changed(integers(), |it| it.custom_values = vec![1.0]),
            changed(custom(), |it| it.custom_values.clear()),
            changed(custom(), |it| it.zero_threshold = 1.0),
            changed(custom(), |it| it.negative.spans = spans(&[(0, 0)])),
        ];
        for case in cases {
            let error = FloatHistogram::try_from(&case).unwrap_err();
            assert_eq!(Err(error), case.validate());
        }
        let stale = changed(integers(), |it| {
            it.sum = f64::from_bits(crate::STALE_MARKER_BITS);
            it.schema = 99;
        });
        assert!(floats(&stale).is_stale());
        assert_eq!(floats(&stale).all_buckets().count(), 0);
    }

    #[test]
    fn a_resolution_only_falls() {
        let mut histogram = floats(&changed(integers(), |it| it.schema = 2));
        assert_eq!(histogram.reduce_resolution(2), Ok(()));
        for to in [3, -5, CUSTOM_BUCKETS_SCHEMA] {
            let error = histogram.reduce_resolution(to);
            assert_eq!(error, Err(ResolutionError { from: 2, to }));
        }
        assert_eq!(histogram.reduce_resolution(-4), Ok(()));
        assert_eq!(histogram.schema(), -4);
        assert!(floats(&custom()).reduce_resolution(-4).is_err());
    }

    #[test]
    fn hints_have_numbers() {
        for number in 0..4 {
            assert_eq!(ResetHint::from_number(number).to_number(), number);
        }
        assert_eq!(ResetHint::from_number(4), ResetHint::Unknown);
    }
}
