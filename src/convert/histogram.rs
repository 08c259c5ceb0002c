//! Native histograms: which are valid, the text under which one is stored, and back.
//!
//! The text is the protobuf message of remote write 1.0 without its timestamp, in base64: Timestream
//! has no type for a histogram, and AWS bills by the byte. The rules are those of
//! <https://prometheus.io/docs/specs/native_histograms/>, as Prometheus' own receiver applies them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;

use crate::model::{Buckets, Count, Histogram, STALE_MARKER_BITS, Span};
use crate::prompb;

/// The schema of histograms whose bucket boundaries are listed.
const CUSTOM_BUCKETS: i32 = -53;
/// Schemas with exponential buckets. Prometheus lowers those above 8 when it reads them.
const EXPONENTIAL: std::ops::RangeInclusive<i32> = -4..=52;

/// Why a histogram is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistogramFault {
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
        /// How many the spans describe.
        described: u64,
        /// How many there are.
        buckets: usize,
    },
    /// A bucket holds fewer than no observations.
    #[error("the {side} bucket {position} has a negative count")]
    NegativeCount {
        /// `positive` or `negative`.
        side: &'static str,
        /// Position of the bucket, from 1.
        position: usize,
    },
    /// The zero bucket or the whole holds fewer than no observations.
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
    /// Boundaries are listed, but the schema gives them.
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
        /// How many buckets the spans reach over.
        reached: u64,
        /// How many boundaries are listed.
        bounds: usize,
    },
    /// With custom buckets there is neither a zero bucket nor a negative one.
    #[error("a histogram with custom buckets has a zero bucket or negative ones")]
    ZeroOrNegative,
}

/// Whether `histogram` says that its series has ended; what else it holds has no meaning then.
pub fn is_stale(histogram: &Histogram) -> bool {
    histogram.sum.to_bits() == STALE_MARKER_BITS
}

/// Whether Prometheus would take `histogram`.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(histogram: &Histogram) -> Result<(), HistogramFault> {
    if is_stale(histogram) {
        return Ok(());
    }
    match histogram.schema {
        CUSTOM_BUCKETS => check_custom_buckets(histogram)?,
        schema if EXPONENTIAL.contains(&schema) => {
            check_spans(histogram, &histogram.positive, "positive")?;
            check_spans(histogram, &histogram.negative, "negative")?;
            if !histogram.custom_values.is_empty() {
                return Err(HistogramFault::NeedlessBounds);
            }
        }
        schema => return Err(HistogramFault::Schema(schema)),
    }
    let positive = observations(histogram, &histogram.positive, "positive")?;
    let negative = observations(histogram, &histogram.negative, "negative")?;
    match histogram.count {
        // Sums of floats are not exact, so Prometheus does not compare them either.
        Some(Count::Float(count)) => {
            if count < 0.0 || float_zero_count(histogram) < 0.0 {
                return Err(HistogramFault::NegativeTotal);
            }
        }
        _ => {
            let count = int_count(histogram);
            let buckets = positive + negative + u128::from(int_zero_count(histogram));
            // Observations of NaN are in no bucket.
            let fits = match histogram.sum.is_nan() {
                true => buckets <= u128::from(count),
                false => buckets == u128::from(count),
            };
            if !fits {
                return Err(HistogramFault::Count { buckets, count });
            }
        }
    }
    Ok(())
}

fn check_custom_buckets(histogram: &Histogram) -> Result<(), HistogramFault> {
    let bounds = &histogram.custom_values;
    let mut before = f64::NEG_INFINITY;
    for (index, &bound) in bounds.iter().enumerate() {
        if !bound.is_finite() || bound <= before {
            let position = index + 1;
            return Err(HistogramFault::Bounds { position });
        }
        before = bound;
    }
    let has_zero = int_zero_count(histogram) != 0
        || float_zero_count(histogram) != 0.0
        || histogram.zero_threshold != 0.0;
    let negative = &histogram.negative;
    let has_negative =
        !negative.spans.is_empty() || !negative.deltas.is_empty() || !negative.counts.is_empty();
    if has_zero || has_negative {
        return Err(HistogramFault::ZeroOrNegative);
    }
    let spans = &histogram.positive.spans;
    if let Some(first) = spans.first().filter(|first| first.offset < 0) {
        return Err(HistogramFault::SpanOffset {
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
        return Err(HistogramFault::BeyondBounds { reached, bounds });
    }
    Ok(())
}

fn check_spans(
    histogram: &Histogram,
    side_buckets: &Buckets,
    side: &'static str,
) -> Result<(), HistogramFault> {
    let mut later = side_buckets.spans.iter().enumerate().skip(1);
    if let Some((index, span)) = later.find(|(_, span)| span.offset < 0) {
        return Err(HistogramFault::SpanOffset {
            side,
            position: index + 1,
            offset: span.offset,
        });
    }
    let spans = side_buckets.spans.iter();
    let described = spans.map(|span| u64::from(span.length)).sum();
    let buckets = match is_float(histogram) {
        true => side_buckets.counts.len(),
        false => side_buckets.deltas.len(),
    };
    if described != buckets as u64 {
        return Err(HistogramFault::SpanLength {
            side,
            described,
            buckets,
        });
    }
    Ok(())
}

/// How many observations the buckets hold; 0 for a float histogram, where nobody compares them.
fn observations(
    histogram: &Histogram,
    buckets: &Buckets,
    side: &'static str,
) -> Result<u128, HistogramFault> {
    let negative = |index: usize| HistogramFault::NegativeCount {
        side,
        position: index + 1,
    };
    if is_float(histogram) {
        let below = buckets.counts.iter().position(|count| *count < 0.0);
        return below.map_or(Ok(0), |index| Err(negative(index)));
    }
    let (mut count, mut sum) = (0_i64, 0);
    for (index, delta) in buckets.deltas.iter().enumerate() {
        // What overflows is no count either.
        let next = count.checked_add(*delta).filter(|next| *next >= 0);
        count = next.ok_or_else(|| negative(index))?;
        sum += u128::from(count.unsigned_abs());
    }
    Ok(sum)
}

/// Whether its numbers are floats.
pub fn is_float(histogram: &Histogram) -> bool {
    matches!(histogram.count, Some(Count::Float(_)))
}

/// The observations of an integer histogram.
///
/// As Prometheus does, a number of the other kind is taken for none.
pub(super) fn int_count(histogram: &Histogram) -> u64 {
    match histogram.count {
        Some(Count::Int(count)) => count,
        _ => 0,
    }
}

/// The observations of a float histogram.
pub(super) fn float_count(histogram: &Histogram) -> f64 {
    match histogram.count {
        Some(Count::Float(count)) => count,
        _ => 0.0,
    }
}

/// The observations in the zero bucket of an integer histogram.
pub(super) fn int_zero_count(histogram: &Histogram) -> u64 {
    match histogram.zero_count {
        Some(Count::Int(count)) if !is_float(histogram) => count,
        _ => 0,
    }
}

/// The observations in the zero bucket of a float histogram.
pub(super) fn float_zero_count(histogram: &Histogram) -> f64 {
    match histogram.zero_count {
        Some(Count::Float(count)) if is_float(histogram) => count,
        _ => 0.0,
    }
}

/// The text that stores `histogram`: all of it but its times.
///
/// Of a stale one only that it is stale, and of the kind of its numbers, has a meaning.
pub fn to_text(histogram: &Histogram) -> String {
    let message = if is_stale(histogram) {
        to_message(Histogram {
            sum: histogram.sum,
            count: is_float(histogram).then_some(Count::Float(0.0)),
            ..Histogram::default()
        })
    } else {
        to_message(Histogram {
            timestamp_ms: 0,
            ..histogram.clone()
        })
    };
    STANDARD.encode(message.encode_to_vec())
}

/// The histogram of this time that is stored as `text`; `None` if the text is none.
pub fn from_text(text: &str, timestamp_ms: i64) -> Option<Histogram> {
    let bytes = STANDARD.decode(text).ok()?;
    let message = prompb::Histogram::decode(bytes.as_slice()).ok()?;
    Some(Histogram {
        timestamp_ms,
        ..from_message(message)
    })
}

/// The message of remote write 1.0 and remote read for `histogram`.
pub fn to_message(histogram: Histogram) -> prompb::Histogram {
    use prompb::histogram::{Count as CountField, ZeroCount};
    let is_float = is_float(&histogram);
    let spans = |spans: Vec<Span>| {
        let span = |span: Span| prompb::BucketSpan {
            offset: span.offset,
            length: span.length,
        };
        spans.into_iter().map(span).collect()
    };
    // Numbers of the kind that the histogram does not have are nobody's.
    let deltas = |deltas: Vec<i64>| if is_float { Vec::new() } else { deltas };
    let counts = |counts: Vec<f64>| if is_float { counts } else { Vec::new() };
    prompb::Histogram {
        count: histogram.count.map(|count| match count {
            Count::Int(count) => CountField::CountInt(count),
            Count::Float(count) => CountField::CountFloat(count),
        }),
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count.and_then(|count| match count {
            Count::Int(count) if !is_float => Some(ZeroCount::ZeroCountInt(count)),
            Count::Float(count) if is_float => Some(ZeroCount::ZeroCountFloat(count)),
            _ => None,
        }),
        negative_spans: spans(histogram.negative.spans),
        negative_deltas: deltas(histogram.negative.deltas),
        negative_counts: counts(histogram.negative.counts),
        positive_spans: spans(histogram.positive.spans),
        positive_deltas: deltas(histogram.positive.deltas),
        positive_counts: counts(histogram.positive.counts),
        reset_hint: histogram.reset_hint,
        timestamp: histogram.timestamp_ms,
        custom_values: histogram.custom_values,
    }
}

/// The histogram in a message of remote write 1.0 or remote read.
pub fn from_message(message: prompb::Histogram) -> Histogram {
    use prompb::histogram::{Count as CountField, ZeroCount};
    let spans = |spans: Vec<prompb::BucketSpan>| {
        let span = |span: prompb::BucketSpan| Span {
            offset: span.offset,
            length: span.length,
        };
        spans.into_iter().map(span).collect()
    };
    Histogram {
        timestamp_ms: message.timestamp,
        count: message.count.map(|count| match count {
            CountField::CountInt(count) => Count::Int(count),
            CountField::CountFloat(count) => Count::Float(count),
        }),
        sum: message.sum,
        schema: message.schema,
        zero_threshold: message.zero_threshold,
        zero_count: message.zero_count.map(|count| match count {
            ZeroCount::ZeroCountInt(count) => Count::Int(count),
            ZeroCount::ZeroCountFloat(count) => Count::Float(count),
        }),
        negative: Buckets {
            spans: spans(message.negative_spans),
            deltas: message.negative_deltas,
            counts: message.negative_counts,
        },
        positive: Buckets {
            spans: spans(message.positive_spans),
            deltas: message.positive_deltas,
            counts: message.positive_counts,
        },
        reset_hint: message.reset_hint,
        custom_values: message.custom_values,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::convert::limits::{MAX_RECORD_BYTES, TIME_BYTES};
    use crate::convert::names::HISTOGRAM_PREFIX;

    pub(in crate::convert) fn spans(all: &[(i32, u32)]) -> Vec<Span> {
        all.iter()
            .map(|&(offset, length)| Span { offset, length })
            .collect()
    }

    /// One of integers with everything that such a one can have.
    fn integers() -> Histogram {
        Histogram {
            count: Some(Count::Int(27)),
            sum: 18.4,
            zero_threshold: 1e-128,
            zero_count: Some(Count::Int(3)),
            positive: Buckets {
                spans: spans(&[(0, 2), (1, 2)]),
                deltas: vec![1, 1, -1, 12],
                counts: vec![],
            },
            negative: Buckets {
                spans: spans(&[(-3, 2)]),
                deltas: vec![5, -3],
                counts: vec![],
            },
            ..Histogram::default()
        }
    }

    /// One of floats with custom buckets.
    fn custom() -> Histogram {
        Histogram {
            count: Some(Count::Float(3.5)),
            sum: -0.0,
            schema: CUSTOM_BUCKETS,
            positive: Buckets {
                spans: spans(&[(1, 2)]),
                deltas: vec![],
                counts: vec![1.5, 2.0],
            },
            reset_hint: 3,
            custom_values: vec![-1.0, 0.5],
            ..Histogram::default()
        }
    }

    fn changed(mut histogram: Histogram, change: impl FnOnce(&mut Histogram)) -> Histogram {
        change(&mut histogram);
        histogram
    }

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
            assert_eq!(check(&histogram), Ok(()), "{histogram:?}");
        }
    }

    #[test]
    fn faults_of_histograms() {
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
            let text = check(&histogram).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_text_reads_back_to_the_same_histogram() {
        for histogram in [integers(), custom(), Histogram::default()] {
            let histogram = changed(histogram, |h| h.timestamp_ms = 7);
            let text = to_text(&histogram);
            let read = from_text(&text, 7).unwrap();
            assert_eq!(read, histogram);
            assert_eq!(read.sum.to_bits(), histogram.sum.to_bits());
            // The time is that of the record.
            assert_eq!(to_text(&changed(histogram, |h| h.timestamp_ms = 8)), text);
        }
        // Put together from the field table of the specification.
        assert_eq!(
            to_text(&integers()),
            "CBsZZmZmZmZmMkApnZeMzwi6WyUwA0IECAUQAkoCCgVaAhACWgQIAhACYgQCAgEY"
        );
        for text in ["", "?", "/w=="] {
            let is_empty = text.is_empty();
            assert_eq!(from_text(text, 0).is_some(), is_empty, "{text}");
        }
    }

    /// The README says how many buckets fit.
    #[test]
    fn as_many_buckets_as_promised_fit_a_record() {
        let left = MAX_RECORD_BYTES - TIME_BYTES - HISTOGRAM_PREFIX.len() - 100;
        let of = |spans: Vec<Span>, buckets: usize, is_float: bool| {
            let observations = |i: usize| 7_i64 * i as i64 % 1_000;
            let positive = Buckets {
                spans,
                // Differences of up to 1,000 either way take two bytes.
                deltas: (0..buckets * usize::from(!is_float))
                    .map(|i| {
                        if i % 2 == 0 {
                            observations(i)
                        } else {
                            -observations(i)
                        }
                    })
                    .collect(),
                counts: vec![0.1; buckets * usize::from(is_float)],
            };
            to_text(&Histogram {
                count: Some(match is_float {
                    true => Count::Float(1e9),
                    false => Count::Int(1_000_000_000),
                }),
                sum: 1e9,
                schema: 8,
                positive,
                ..Histogram::default()
            })
        };
        let apart = vec![
            Span {
                offset: 9,
                length: 1
            };
            170
        ];
        for text in [
            of(spans(&[(1, 600)]), 600, false),
            of(spans(&[(1, 170)]), 170, true),
            of(apart, 170, false),
        ] {
            assert!(text.len() <= left, "{} of {left}", text.len());
        }
    }

    #[test]
    fn of_a_stale_one_nothing_but_its_kind_is_kept() {
        let stale = f64::from_bits(STALE_MARKER_BITS);
        for histogram in [integers(), custom()] {
            let histogram = changed(histogram, |h| h.sum = stale);
            let read = from_text(&to_text(&histogram), 7).unwrap();
            assert!(is_stale(&read));
            assert_eq!(is_float(&read), is_float(&histogram));
            assert!(read.positive.spans.is_empty());
        }
    }
}
