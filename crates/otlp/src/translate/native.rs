//! Histograms to native ones.

use prom_model::{Buckets, CUSTOM_BUCKETS_SCHEMA, Count, Histogram, STALE_MARKER_BITS, Span};
use prom_wire::limits::DecodeLimits;
use prom_wire::protobuf::MessageError;

use super::time_ms;
use crate::model::{ExponentialBuckets, ExponentialPoint, HistogramPoint, NO_RECORDED_VALUE};

/// The width of the zero bucket, whatever the sender gives.
const ZERO_THRESHOLD: f64 = 1e-128;
/// The schemas that Prometheus stores.
const MIN_SCHEMA: i32 = -4;
const MAX_SCHEMA: i32 = 8;
/// A longer gap between buckets begins a span.
const MAX_GAP: i32 = 2;

/// Makes a native histogram of one with exponential buckets. The scale in the error is below the least schema.
pub(super) fn of_exponential(point: &ExponentialPoint<'_>) -> Result<Histogram, i32> {
    if point.scale < MIN_SCHEMA {
        return Err(point.scale);
    }
    let schema = point.scale.min(MAX_SCHEMA);
    let scale_down = point.scale - schema;
    // Prometheus numbers a bucket by its upper boundary, OTLP by its lower one.
    let buckets = |it: &ExponentialBuckets| {
        let first = scaled(it.offset, scale_down);
        layout(&it.counts, it.offset, scale_down, first)
    };
    let (count, sum) = count_and_sum(point.count, point.sum, point.flags);
    Ok(Histogram {
        timestamp_ms: time_ms(point.time_unix_nano),
        count,
        sum,
        schema,
        zero_threshold: ZERO_THRESHOLD,
        zero_count: Some(Count::Int(point.zero_count)),
        negative: buckets(&point.negative),
        positive: buckets(&point.positive),
        ..Histogram::default()
    })
}

/// Makes a native histogram with custom buckets of one with listed boundaries.
pub(super) fn of_boundaries(point: &HistogramPoint<'_>) -> Histogram {
    let counts = &point.bucket_counts;
    let first = counts.iter().position(|it| *it > 0);
    let positive = match first {
        Some(first) => layout(&counts[first..], first as i32, 0, first as i32),
        None => Buckets::default(),
    };
    let (count, sum) = count_and_sum(point.count, point.sum, point.flags);
    Histogram {
        timestamp_ms: time_ms(point.time_unix_nano),
        count,
        sum,
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_count: Some(Count::Int(0)),
        positive,
        custom_values: point.explicit_bounds.clone(),
        ..Histogram::default()
    }
}

/// Charges the memory that the native form of these numbers of buckets and boundaries needs.
pub(super) fn charge(limits: &mut DecodeLimits<'_>, numbers: usize) -> Result<(), MessageError> {
    limits.histogram()?;
    (0..numbers).try_for_each(|_| limits.bucket())
}

/// Returns count and sum, which are those of a stale marker if the point has no value.
fn count_and_sum(count: u64, sum: Option<f64>, flags: u32) -> (Option<Count>, f64) {
    match flags & NO_RECORDED_VALUE {
        0 => (Some(Count::Int(count)), sum.unwrap_or_default()),
        _ => {
            let marker = f64::from_bits(STALE_MARKER_BITS);
            (Some(Count::Int(STALE_MARKER_BITS)), marker)
        }
    }
}

/// Returns the number that Prometheus gives to the bucket with this index once 2^`scale_down` buckets are merged.
fn scaled(index: i32, scale_down: i32) -> i32 {
    (index >> scale_down.min(31)).wrapping_add(1)
}

/// Makes spans and deltas of consecutive buckets, the first of which has the index `offset`; the first span begins at
/// `first`.
///
/// Empty buckets are left out where more than two follow one another, except before the first span's end. If buckets
/// are merged, those after an empty one are not always: like Prometheus, which stores such a bucket one position lower.
fn layout(counts: &[u64], offset: i32, scale_down: i32, first: i32) -> Buckets {
    let mut buckets = Writer {
        spans: vec![Span {
            offset: first,
            length: 0,
        }],
        deltas: Vec::new(),
        before: 0,
    };
    if counts.is_empty() {
        return Buckets::default();
    }
    let number = |position: usize| scaled((position as i32).wrapping_add(offset), scale_down);
    // The number of the next bucket that is written, and the observations that belong to it or after it.
    let mut due = number(0);
    let mut held = 0_i64;
    for (position, &count) in counts.iter().enumerate() {
        let count = count.cast_signed();
        let number = number(position);
        if number == due {
            held = held.wrapping_add(count);
        } else if held == 0 {
            held = count;
        } else {
            buckets.push(number.wrapping_sub(due).wrapping_sub(1), held);
            held = count;
            due = number;
        }
    }
    buckets.push(number(counts.len() - 1).wrapping_sub(due), held);
    Buckets {
        spans: buckets.spans,
        deltas: buckets.deltas,
        counts: Vec::new(),
    }
}

/// Spans and deltas as they are written.
struct Writer {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    before: i64,
}

impl Writer {
    /// Writes a bucket after a gap of so many empty ones.
    fn push(&mut self, gap: i32, count: i64) {
        if gap > MAX_GAP {
            self.spans.push(Span {
                offset: gap,
                length: 0,
            });
        } else {
            for _ in 0..gap {
                self.push_count(0);
            }
        }
        self.push_count(count);
    }

    fn push_count(&mut self, count: i64) {
        if let Some(span) = self.spans.last_mut() {
            span.length += 1;
        }
        self.deltas.push(count.wrapping_sub(self.before));
        self.before = count;
    }
}
