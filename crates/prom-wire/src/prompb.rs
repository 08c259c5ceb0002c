//! The protobuf messages of remote write 1.0 and remote read, and their conversions from and to the data model.
//!
//! Generated from `proto/prometheus.proto`; [`v2`] has the messages of remote write 2.0.

#![allow(missing_docs)] // messages and fields are documented in the .proto files

use prom_model as model;

include!("../generated/prometheus.rs");

/// The protobuf messages of remote write 2.0, generated from `proto/write_v2.proto`.
pub mod v2 {
    include!("../generated/io.prometheus.write.v2.rs");
}

impl From<model::Histogram> for Histogram {
    fn from(histogram: model::Histogram) -> Self {
        use histogram::{Count, ZeroCount};
        let is_float = histogram.is_float();
        let spans = |spans: Vec<model::Span>| {
            let span = |span: model::Span| BucketSpan {
                offset: span.offset,
                length: span.length,
            };
            spans.into_iter().map(span).collect()
        };
        // Numbers of the other kind have no meaning.
        let deltas = |deltas: Vec<i64>| if is_float { Vec::new() } else { deltas };
        let counts = |counts: Vec<f64>| if is_float { counts } else { Vec::new() };
        Self {
            count: histogram.count.map(|count| match count {
                model::Count::Int(count) => Count::CountInt(count),
                model::Count::Float(count) => Count::CountFloat(count),
            }),
            sum: histogram.sum,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: histogram.zero_count.and_then(|count| match count {
                model::Count::Int(count) if !is_float => Some(ZeroCount::ZeroCountInt(count)),
                model::Count::Float(count) if is_float => Some(ZeroCount::ZeroCountFloat(count)),
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
}

impl From<Histogram> for model::Histogram {
    fn from(message: Histogram) -> Self {
        use histogram::{Count, ZeroCount};
        let spans = |spans: Vec<BucketSpan>| {
            let span = |span: BucketSpan| model::Span {
                offset: span.offset,
                length: span.length,
            };
            spans.into_iter().map(span).collect()
        };
        Self {
            timestamp_ms: message.timestamp,
            count: message.count.map(|count| match count {
                Count::CountInt(count) => model::Count::Int(count),
                Count::CountFloat(count) => model::Count::Float(count),
            }),
            sum: message.sum,
            schema: message.schema,
            zero_threshold: message.zero_threshold,
            zero_count: message.zero_count.map(|count| match count {
                ZeroCount::ZeroCountInt(count) => model::Count::Int(count),
                ZeroCount::ZeroCountFloat(count) => model::Count::Float(count),
            }),
            negative: model::Buckets {
                spans: spans(message.negative_spans),
                deltas: message.negative_deltas,
                counts: message.negative_counts,
            },
            positive: model::Buckets {
                spans: spans(message.positive_spans),
                deltas: message.positive_deltas,
                counts: message.positive_counts,
            },
            reset_hint: message.reset_hint,
            custom_values: message.custom_values,
        }
    }
}
