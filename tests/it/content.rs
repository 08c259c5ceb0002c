//! Native histograms compared by their meaning.

use std::collections::BTreeMap;

use prom_wire::prompb::histogram::{Count, ZeroCount};
use prom_wire::prompb::{BucketSpan, Histogram};

/// A histogram without what may be written in several ways: buckets without observations, and
/// whether a counter was reset, which Prometheus finds out itself.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    is_float: bool,
    count: u64,
    zero_count: u64,
    pub(crate) sum: u64,
    pub(crate) schema: i32,
    zero_threshold: u64,
    pub(crate) positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
    is_gauge: bool,
    custom_values: Vec<f64>,
}

impl Content {
    pub(crate) fn of(histogram: &Histogram) -> Self {
        let is_float = matches!(histogram.count, Some(Count::CountFloat(_)));
        let buckets = |spans: &[BucketSpan], deltas: &[i64], counts: &[f64]| {
            let mut sum = 0;
            let absolute = deltas.iter().map(|delta| {
                sum += delta;
                sum as f64
            });
            let counts: Vec<f64> = match is_float {
                true => counts.to_vec(),
                false => absolute.collect(),
            };
            let mut next = 0;
            let indexes = spans.iter().flat_map(|span| {
                let start = next + span.offset;
                next = start + span.length as i32;
                start..next
            });
            let indexes: Vec<i32> = indexes.collect();
            assert_eq!(indexes.len(), counts.len());
            let all = indexes.into_iter().zip(counts);
            all.filter(|(_, count)| *count != 0.0)
                .map(|(index, count)| (index, count.to_bits()))
                .collect()
        };
        let count = match histogram.count {
            Some(Count::CountInt(count)) => count as f64,
            Some(Count::CountFloat(count)) => count,
            None => 0.0,
        };
        let zero_count = match histogram.zero_count {
            Some(ZeroCount::ZeroCountInt(count)) => count as f64,
            Some(ZeroCount::ZeroCountFloat(count)) => count,
            None => 0.0,
        };
        // By bits, as a count may be NaN, which equals nothing; zeros have no sign.
        let bits = |count: f64| (count + 0.0).to_bits();
        Self {
            is_float,
            count: bits(count),
            zero_count: bits(zero_count),
            sum: histogram.sum.to_bits(),
            schema: histogram.schema,
            // Chunks have a zero without its sign.
            zero_threshold: (histogram.zero_threshold + 0.0).to_bits(),
            positive: buckets(
                &histogram.positive_spans,
                &histogram.positive_deltas,
                &histogram.positive_counts,
            ),
            negative: buckets(
                &histogram.negative_spans,
                &histogram.negative_deltas,
                &histogram.negative_counts,
            ),
            is_gauge: histogram.reset_hint == 3,
            custom_values: histogram.custom_values.clone(),
        }
    }
}
