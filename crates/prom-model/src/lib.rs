//! The data model of Prometheus: labels, float samples, native histograms, matcher operators and metric types,
//! free of any wire format and of any storage.
//!
//! ```
//! use prom_model::{Label, Labels, MetricType};
//!
//! let label = |name: &str, value: &str| Label {
//!     name: name.to_owned(),
//!     value: value.to_owned(),
//! };
//! let labels = Labels::new(vec![label("job", "node"), label("__name__", "up")]);
//! assert_eq!(labels.get("job"), "node");
//! assert_eq!(labels.get("absent"), "");
//! assert_eq!(MetricType::Histogram.family("latency_seconds_bucket"), "latency_seconds");
//! ```

// The examples name the crate as other crates do.
#[cfg(test)]
extern crate self as prom_model;

#[cfg(test)]
mod examples;
mod float_histogram;
pub mod go_math {
    //! Logarithms and the text of floats, bit by bit as in Go on amd64.
    pub use crate::float_histogram::{Digits, Shortest, ln, log2};
}
mod histogram;
mod labels;
mod matcher;
mod metric;
mod sample;
pub mod visible;

pub use float_histogram::{
    Bucket, Combination, CompensatedHistogram, FloatHistogram, Fraction, MixedSchemas, NanEffect,
    Quantile, ResetHint, ResolutionError,
};
pub use histogram::{Buckets, CUSTOM_BUCKETS_SCHEMA, Count, Histogram, HistogramError, Span};
pub use labels::{Label, Labels, METRIC_NAME_LABEL};
pub use matcher::MatchOp;
pub use metric::MetricType;
pub use sample::{PROMETHEUS_NAN_BITS, STALE_MARKER_BITS, Sample};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
