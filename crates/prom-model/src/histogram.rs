//! Native histograms and the rules of valid ones.
//!
//! The rules are those of <https://prometheus.io/docs/specs/native_histograms/>, as Prometheus' receiver
//! applies them.

use crate::STALE_MARKER_BITS;

/// The schema of histograms whose bucket boundaries are listed.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// Schemas with exponential buckets. Prometheus lowers those above 8 when it reads them.
const EXPONENTIAL: std::ops::RangeInclusive<i32> = -4..=52;

/// One native histogram, with all that the protocols carry about it except its created timestamp. It
/// need not be valid; see [`Histogram::validate`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Number of observations, those in all buckets; absent counts as 0.
    pub count: Option<Count>,
    /// Sum of the observations; compared and copied by its bits.
    pub sum: f64,
    /// Resolution of the buckets; -53 if their boundaries are `custom_values`.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket; absent counts as 0.
    pub zero_count: Option<Count>,
    /// The buckets of negative observations.
    pub negative: Buckets,
    /// The buckets of positive observations.
    pub positive: Buckets,
    /// 0 unknown, 1 reset, 2 no reset, 3 gauge; other numbers as received.
    pub reset_hint: i32,
    /// Upper boundaries of the buckets where `schema` is -53.
    pub custom_values: Vec<f64>,
}

impl Histogram {
    /// Returns the bytes of memory that the histogram occupies.
    pub fn bytes(&self) -> usize {
        let buckets = |it: &Buckets| {
            it.spans.len() * size_of::<Span>()
                + it.deltas.len() * size_of::<i64>()
                + it.counts.len() * size_of::<f64>()
        };
        size_of::<Self>()
            + buckets(&self.negative)
            + buckets(&self.positive)
            + self.custom_values.len() * size_of::<f64>()
    }
}

/// A number of observations: whole in an integer histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// Of an integer histogram.
    Int(u64),
    /// Of a float histogram.
    Float(f64),
}

/// The buckets on one side of zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// The positions of the buckets.
    pub spans: Vec<Span>,
    /// Integer histograms: each bucket's count less that of the one before.
    pub deltas: Vec<i64>,
    /// Float histograms: each bucket's count.
    pub counts: Vec<f64>,
}

/// Buckets that follow one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Gap to the span before; in the first span the index of its first bucket.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// The rule that an invalid histogram breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    /// The schema does not exist.
    #[error("schema {0} is none of -4 to 52 and -53")]
    Schema(i32),
    /// A span that is not the first starts before the end of the one before, or with custom
    /// buckets any span does.
    #[error("the {side} span {position} has the negative offset {offset}")]
    SpanOffset {
        /// `positive` or `negative`.
        side: &'static str,
        /// Position of the span, from 1.
        position: usize,
        /// Its offset.
        offset: i32,
    },
    /// The spans do not describe the buckets that are there.
    #[error("the {side} spans describe {described} buckets, but there are {buckets}")]
    SpanLength {
        /// `positive` or `negative`.
        side: &'static str,
        /// Number of buckets that the spans describe.
        described: u64,
        /// Number of buckets that there are.
        buckets: usize,
    },
    /// A bucket has a negative number of observations.
    #[error("the {side} bucket {position} has a negative count")]
    NegativeCount {
        /// `positive` or `negative`.
        side: &'static str,
        /// Position of the bucket, from 1.
        position: usize,
    },
    /// The zero bucket or the whole histogram has a negative number of observations.
    #[error("the count, or that of the zero bucket, is negative")]
    NegativeTotal,
    /// The buckets hold more or fewer observations than the histogram.
    #[error("the buckets hold {buckets} observations, but the count is {count}")]
    Count {
        /// In all buckets.
        buckets: u128,
        /// In the histogram.
        count: u64,
    },
    /// Boundaries are listed, but the schema defines them.
    #[error("custom_values are set, but the schema is not -53")]
    NeedlessBounds,
    /// A listed boundary is not finite, or not above the one before.
    #[error("custom value {position} is not finite, or not above the one before")]
    Bounds {
        /// Position of the boundary, from 1.
        position: usize,
    },
    /// The spans reach beyond the last boundary.
    #[error("the spans reach over {reached} buckets, but {bounds} custom_values make {bounds} + 1")]
    BeyondBounds {
        /// Number of buckets over which the spans reach.
        reached: u64,
        /// Number of listed boundaries.
        bounds: usize,
    },
    /// With custom buckets there is neither a zero bucket nor a negative one.
    #[error("a histogram with custom buckets has a zero bucket or negative ones")]
    ZeroOrNegative,
}

impl Histogram {
    /// Returns true if the histogram is a stale marker, which ends its series; its other fields have no meaning
    /// then.
    pub fn is_stale(&self) -> bool {
        self.sum.to_bits() == STALE_MARKER_BITS
    }

    /// Returns true if the numbers of observations are floats.
    pub fn is_float(&self) -> bool {
        matches!(self.count, Some(Count::Float(_)))
    }

    /// Returns the number of observations of an integer histogram.
    ///
    /// As in Prometheus, a number of the other kind counts as none.
    pub fn int_count(&self) -> u64 {
        match self.count {
            Some(Count::Int(count)) => count,
            _ => 0,
        }
    }

    /// Returns the number of observations of a float histogram.
    pub fn float_count(&self) -> f64 {
        match self.count {
            Some(Count::Float(count)) => count,
            _ => 0.0,
        }
    }

    /// Returns the number of observations in the zero bucket of an integer histogram.
    pub fn int_zero_count(&self) -> u64 {
        match self.zero_count {
            Some(Count::Int(count)) if !self.is_float() => count,
            _ => 0,
        }
    }

    /// Returns the number of observations in the zero bucket of a float histogram.
    pub fn float_zero_count(&self) -> f64 {
        match self.zero_count {
            Some(Count::Float(count)) if self.is_float() => count,
            _ => 0.0,
        }
    }

    /// Checks the rules that Prometheus' receiver checks.
    ///
    /// # Errors
    /// Returns the first rule that the histogram breaks.
    pub fn validate(&self) -> Result<(), HistogramError> {
        if self.is_stale() {
            return Ok(());
        }
        self.check_layout()?;
        let positive = observations(self, &self.positive, "positive")?;
        let negative = observations(self, &self.negative, "negative")?;
        match self.count {
            // Sums of floats are not exact, so Prometheus does not compare them either.
            Some(Count::Float(count)) => {
                if count < 0.0 || self.float_zero_count() < 0.0 {
                    return Err(HistogramError::NegativeTotal);
                }
            }
            _ => {
                let count = self.int_count();
                let buckets = positive + negative + u128::from(self.int_zero_count());
                // Observations of NaN are in no bucket.
                let fits = match self.sum.is_nan() {
                    true => buckets <= u128::from(count),
                    false => buckets == u128::from(count),
                };
                if !fits {
                    return Err(HistogramError::Count { buckets, count });
                }
            }
        }
        Ok(())
    }
}

impl Histogram {
    /// Checks all rules but those of the counts.
    pub(crate) fn check_layout(&self) -> Result<(), HistogramError> {
        match self.schema {
            CUSTOM_BUCKETS_SCHEMA => check_custom_buckets(self),
            schema if EXPONENTIAL.contains(&schema) => {
                check_spans(self, &self.positive, "positive")?;
                check_spans(self, &self.negative, "negative")?;
                match self.custom_values.is_empty() {
                    true => Ok(()),
                    false => Err(HistogramError::NeedlessBounds),
                }
            }
            schema => Err(HistogramError::Schema(schema)),
        }
    }
}

fn check_custom_buckets(histogram: &Histogram) -> Result<(), HistogramError> {
    let bounds = &histogram.custom_values;
    let mut before = f64::NEG_INFINITY;
    for (index, &bound) in bounds.iter().enumerate() {
        if !bound.is_finite() || bound <= before {
            let position = index + 1;
            return Err(HistogramError::Bounds { position });
        }
        before = bound;
    }
    let has_zero = histogram.int_zero_count() != 0
        || histogram.float_zero_count() != 0.0
        || histogram.zero_threshold != 0.0;
    let negative = &histogram.negative;
    let has_negative =
        !negative.spans.is_empty() || !negative.deltas.is_empty() || !negative.counts.is_empty();
    if has_zero || has_negative {
        return Err(HistogramError::ZeroOrNegative);
    }
    let spans = &histogram.positive.spans;
    if let Some(first) = spans.first().filter(|first| first.offset < 0) {
        return Err(HistogramError::SpanOffset {
            side: "positive",
            position: 1,
            offset: first.offset,
        });
    }
    check_spans(histogram, &histogram.positive, "positive")?;
    let reached = spans
        .iter()
        .map(|span| u64::from(span.offset.unsigned_abs()) + u64::from(span.length))
        .sum();
    if reached > bounds.len() as u64 + 1 {
        let bounds = bounds.len();
        return Err(HistogramError::BeyondBounds { reached, bounds });
    }
    Ok(())
}

fn check_spans(
    histogram: &Histogram,
    side_buckets: &Buckets,
    side: &'static str,
) -> Result<(), HistogramError> {
    let mut later = side_buckets.spans.iter().enumerate().skip(1);
    if let Some((index, span)) = later.find(|(_, span)| span.offset < 0) {
        return Err(HistogramError::SpanOffset {
            side,
            position: index + 1,
            offset: span.offset,
        });
    }
    let spans = side_buckets.spans.iter();
    let described = spans.map(|span| u64::from(span.length)).sum();
    let buckets = match histogram.is_float() {
        true => side_buckets.counts.len(),
        false => side_buckets.deltas.len(),
    };
    if described != buckets as u64 {
        return Err(HistogramError::SpanLength {
            side,
            described,
            buckets,
        });
    }
    Ok(())
}

/// Returns the number of observations in the buckets; 0 for a float histogram, whose sums are not compared.
fn observations(
    histogram: &Histogram,
    buckets: &Buckets,
    side: &'static str,
) -> Result<u128, HistogramError> {
    let negative = |index: usize| HistogramError::NegativeCount {
        side,
        position: index + 1,
    };
    if histogram.is_float() {
        let below = buckets.counts.iter().position(|count| *count < 0.0);
        return below.map_or(Ok(0), |index| Err(negative(index)));
    }
    let (mut count, mut sum) = (0_i64, 0);
    for (index, delta) in buckets.deltas.iter().enumerate() {
        // A sum that overflows is no count either.
        let next = count.checked_add(*delta).filter(|next| *next >= 0);
        count = next.ok_or_else(|| negative(index))?;
        sum += u128::from(count.unsigned_abs());
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{changed, custom, integers};

    #[test]
    fn valid_histograms() {
        let all = [
            integers(),
            custom(),
            Histogram::default(),
            changed(integers(), |h| {
                // Observations of NaN are in the count alone.
                h.sum = f64::NAN;
                h.count = Some(Count::Int(30));
            }),
            changed(integers(), |h| h.schema = 52),
            changed(integers(), |h| {
                h.sum = f64::from_bits(STALE_MARKER_BITS);
                h.schema = -9;
                h.count = None;
            }),
            changed(custom(), |h| h.count = Some(Count::Float(1e300))),
        ];
        for histogram in all {
            assert_eq!(histogram.validate(), Ok(()), "{histogram:?}");
        }
    }

    #[test]
    fn rules_of_histograms() {
        let cases: [(Histogram, &str); 18] = [
            (changed(integers(), |h| h.schema = -5), "schema -5"),
            (changed(integers(), |h| h.schema = 53), "schema 53"),
            (
                changed(integers(), |h| h.count = Some(Count::Int(99))),
                "hold 27 observations, but the count is 99",
            ),
            (changed(integers(), |h| h.count = None), "the count is 0"),
            (
                changed(integers(), |h| {
                    h.sum = f64::NAN;
                    h.count = Some(Count::Int(26));
                }),
                "hold 27 observations, but the count is 26",
            ),
            (
                changed(integers(), |h| h.positive.deltas = vec![1, -2, 1, 1]),
                "positive bucket 2 has a negative count",
            ),
            (
                changed(integers(), |h| h.negative.deltas = vec![i64::MAX, 1]),
                "negative bucket 2 has a negative count",
            ),
            (
                changed(integers(), |h| h.negative.deltas.push(0)),
                "negative spans describe 2 buckets, but there are 3",
            ),
            (
                changed(integers(), |h| h.positive.spans[1].offset = -1),
                "positive span 2 has the negative offset -1",
            ),
            (
                changed(integers(), |h| h.custom_values.push(1.0)),
                "custom_values are set",
            ),
            (
                changed(custom(), |h| h.custom_values[1] = -1.0),
                "custom value 2",
            ),
            (
                changed(custom(), |h| h.custom_values[1] = f64::INFINITY),
                "custom value 2",
            ),
            (
                changed(custom(), |h| h.custom_values[0] = f64::NAN),
                "custom value 1",
            ),
            (
                changed(custom(), |h| h.positive.spans[0].offset = 2),
                "reach over 4 buckets, but 2 custom_values",
            ),
            (
                changed(custom(), |h| h.positive.spans[0].offset = -1),
                "positive span 1 has the negative offset -1",
            ),
            (
                changed(custom(), |h| h.zero_threshold = 1.0),
                "zero bucket or negative ones",
            ),
            (
                changed(custom(), |h| h.positive.counts[1] = -1.0),
                "positive bucket 2 has a negative count",
            ),
            (
                changed(custom(), |h| h.count = Some(Count::Float(-1.0))),
                "is negative",
            ),
        ];
        for (histogram, expected) in cases {
            let text = histogram.validate().unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
