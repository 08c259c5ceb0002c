//! Histograms for the tests of this crate and of those that store or encode histograms.

use prom_model::{Buckets, CUSTOM_BUCKETS_SCHEMA, Count, Histogram, Span};

pub(crate) fn spans(all: &[(i32, u32)]) -> Vec<Span> {
    all.iter()
        .map(|&(offset, length)| Span { offset, length })
        .collect()
}

/// Returns an integer histogram with every field that one can have.
pub(crate) fn integers() -> Histogram {
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

/// Returns a float histogram with custom buckets.
pub(crate) fn custom() -> Histogram {
    Histogram {
        count: Some(Count::Float(3.5)),
        sum: -0.0,
        schema: CUSTOM_BUCKETS_SCHEMA,
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

pub(crate) fn changed(mut histogram: Histogram, change: impl FnOnce(&mut Histogram)) -> Histogram {
    change(&mut histogram);
    histogram
}
