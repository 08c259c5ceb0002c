//! The rules by which Prometheus' database puts the histograms of a series into chunks, as far as a
//! query sees them: the hints about resets, and the empty buckets.
//!
//! A chunk has histograms that follow one another without a reset, with one schema, zero threshold and list of custom
//! boundaries, or gauges with the same. All have the buckets of all: one that the chunk did not have yet is added to
//! those before, and one that a histogram does not have is added to it. Prometheus also ends a chunk that is large or
//! reaches over a day; this module does not.

use std::sync::Arc;

use prom_model::{Buckets, FloatHistogram, Histogram, ResetHint, Span};

/// A chunk: the buckets that its histograms have, and what the next one is compared with.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// The place of the first histogram in its series.
    pub(super) start: usize,
    is_gauge: bool,
    /// The latest histogram, without the buckets that the chunk added.
    last: Histogram,
    /// The indexes of the buckets of all histograms, ascending.
    positive: Vec<i64>,
    negative: Vec<i64>,
}

impl Chunk {
    /// Starts a chunk with a histogram, which is at the place `start` of its series.
    pub(super) fn new(histogram: &FloatHistogram, start: usize) -> Self {
        let last = histogram.to_histogram(0);
        Self {
            start,
            is_gauge: histogram.reset_hint() == ResetHint::Gauge,
            positive: indexes(&last.positive),
            negative: indexes(&last.negative),
            last,
        }
    }

    /// Returns the hint of the first histogram. A reader does not know if the chunk before is there, so it cannot be
    /// [`ResetHint::Reset`].
    pub(super) fn first_hint(&self) -> ResetHint {
        match self.is_gauge {
            true => ResetHint::Gauge,
            false => ResetHint::Unknown,
        }
    }

    /// Adds a histogram, if the chunk can have it. Returns its hint then.
    pub(super) fn push(&mut self, histogram: &FloatHistogram) -> Option<ResetHint> {
        let next = histogram.to_histogram(0);
        if !self.accepts(&next, histogram.reset_hint()) {
            return None;
        }
        merge(&mut self.positive, &indexes(&next.positive));
        merge(&mut self.negative, &indexes(&next.negative));
        let is_stale = next.is_stale();
        self.last = next;
        Some(match self.is_gauge {
            _ if is_stale => ResetHint::Unknown,
            true => ResetHint::Gauge,
            false => ResetHint::NotReset,
        })
    }

    fn accepts(&self, next: &Histogram, hint: ResetHint) -> bool {
        let last = &self.last;
        if hint == ResetHint::Reset || (hint == ResetHint::Gauge) != self.is_gauge {
            return false;
        }
        if next.is_stale() || last.is_stale() {
            return next.is_stale();
        }
        if next.schema != last.schema
            || next.zero_threshold != last.zero_threshold
            || next.custom_values != last.custom_values
        {
            return false;
        }
        // As in Prometheus, a count that is NaN has not fallen.
        self.is_gauge
            || !(next.float_count() < last.float_count()
                || next.float_zero_count() < last.float_zero_count()
                || falls(&last.positive, &next.positive)
                || falls(&last.negative, &next.negative))
    }

    /// Returns a histogram of the chunk with the buckets of all others, empty ones.
    pub(super) fn widened(&self, histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
        let is_wide = histogram.positive_buckets().len() == self.positive.len()
            && histogram.negative_buckets().len() == self.negative.len();
        if is_wide || histogram.is_stale() {
            return Arc::clone(histogram);
        }
        let mut wide = histogram.to_histogram(0);
        wide.positive = widened(&wide.positive, &self.positive);
        wide.negative = widened(&wide.negative, &self.negative);
        let wide = FloatHistogram::try_from(&wide);
        // The spans cannot be written if they reach over more than 2^31 buckets.
        wide.map_or_else(|_| Arc::clone(histogram), Arc::new)
    }
}

/// Returns the index of each bucket.
fn indexes(buckets: &Buckets) -> Vec<i64> {
    let (mut indexes, mut next) = (Vec::with_capacity(buckets.counts.len()), 0);
    for span in &buckets.spans {
        next += i64::from(span.offset);
        let end = next + i64::from(span.length);
        indexes.extend(next..end);
        next = end;
    }
    indexes
}

/// Returns true if a bucket has fewer observations than before. An absent bucket has none.
fn falls(before: &Buckets, after: &Buckets) -> bool {
    let mut later = indexes(after).into_iter().zip(&after.counts).peekable();
    let mut earlier = indexes(before).into_iter().zip(&before.counts);
    earlier.any(|(index, &count)| {
        while later.next_if(|it| it.0 < index).is_some() {}
        match later.next_if(|it| it.0 == index) {
            Some((_, &later)) => count > later,
            None => count != 0.0,
        }
    })
}

/// Adds indexes to a list; both are ascending.
fn merge(indexes: &mut Vec<i64>, more: &[i64]) {
    if indexes != more {
        indexes.extend_from_slice(more);
        // Of two ascending runs, this takes linear time.
        indexes.sort();
        indexes.dedup();
    }
}

/// Returns the buckets with empty ones for all other indexes.
fn widened(buckets: &Buckets, all: &[i64]) -> Buckets {
    let mut present = indexes(buckets).into_iter().zip(&buckets.counts).peekable();
    let (mut spans, mut counts) = (Vec::<Span>::new(), Vec::with_capacity(all.len()));
    let mut next = 0;
    for &index in all {
        let found = present.next_if(|it| it.0 == index);
        counts.push(found.map_or(0.0, |(_, &count)| count));
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(Span {
                offset: i32::try_from(index - next).unwrap_or(i32::MAX),
                length: 1,
            }),
        }
        next = index + 1;
    }
    Buckets {
        spans,
        deltas: Vec::new(),
        counts,
    }
}
