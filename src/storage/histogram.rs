//! Native histograms as Timestream stores them.
//!
//! The stored string is the protobuf message of remote write 1.0 without its timestamp, in base64: Timestream
//! has no type for a histogram, and AWS bills by the byte.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;

use prom_model::{Count, Histogram, STALE_MARKER_BITS};
use prom_wire::prompb;

/// The text that stores `histogram`: all of it but its times.
///
/// Of a stale one only that it is stale, and of the kind of its numbers, has a meaning.
pub fn to_text(histogram: &Histogram) -> String {
    let stored = if histogram.is_stale() {
        Histogram {
            sum: histogram.sum,
            count: histogram.is_float().then_some(Count::Float(0.0)),
            ..Histogram::default()
        }
    } else {
        Histogram {
            timestamp_ms: 0,
            ..histogram.clone()
        }
    };
    STANDARD.encode(prompb::Histogram::from(stored).encode_to_vec())
}

/// Returns the texts of stale histograms, of each kind of numbers.
pub fn stale_texts() -> [String; 2] {
    [None, Some(Count::Float(0.0))].map(|count| {
        to_text(&Histogram {
            sum: f64::from_bits(STALE_MARKER_BITS),
            count,
            ..Histogram::default()
        })
    })
}

/// The histogram of this time that is stored as `text`; `None` if the text is none.
pub fn from_text(text: &str, timestamp_ms: i64) -> Option<Histogram> {
    let bytes = STANDARD.decode(text).ok()?;
    let message = prompb::Histogram::decode(bytes.as_slice()).ok()?;
    Some(Histogram {
        timestamp_ms,
        ..message.into()
    })
}

#[cfg(test)]
#[path = "../../crates/prom-model/src/examples.rs"]
mod examples;

#[cfg(test)]
mod tests {
    use super::examples::{changed, custom, integers, spans};
    use super::*;
    use crate::storage::limits::{MAX_RECORD_BYTES, TIME_BYTES};
    use crate::storage::names::HISTOGRAM_PREFIX;
    use prom_model::{Buckets, Span};

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

    /// `docs/data-model.md` says how many buckets fit.
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
    fn only_the_kind_of_a_stale_histogram_is_stored() {
        let stale = f64::from_bits(STALE_MARKER_BITS);
        for histogram in [integers(), custom()] {
            let histogram = changed(histogram, |h| h.sum = stale);
            let read = from_text(&to_text(&histogram), 7).unwrap();
            assert!(read.is_stale());
            assert!(stale_texts().contains(&to_text(&histogram)));
            assert_eq!(read.is_float(), histogram.is_float());
            assert!(read.positive.spans.is_empty());
        }
    }
}
