//! Results of queries, and the samples that they are made of.

use std::sync::Arc;

use prom_model::{FloatHistogram, Labels, Sample};

use crate::text::Text;
use crate::value_type::ValueType;

/// A native histogram at a time.
#[derive(Clone, Debug)]
pub struct HistogramSample {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The histogram, shared by all results that contain it.
    pub histogram: Arc<FloatHistogram>,
}

/// A series of a result: floats and histograms, each in the order of their times. No time occurs twice.
#[derive(Clone, Debug)]
pub struct Series {
    /// The labels.
    pub labels: Arc<Labels>,
    /// The floats.
    pub floats: Vec<Sample>,
    /// The native histograms.
    pub histograms: Vec<HistogramSample>,
}

/// The value of a sample.
#[derive(Clone, Debug)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// A series of an instant vector with its one sample.
#[derive(Clone, Debug)]
pub struct VectorSample {
    /// The labels.
    pub labels: Arc<Labels>,
    /// The time of the evaluation in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The value.
    pub value: SampleValue,
}

/// The result of a query.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number.
    Scalar {
        /// The time of the evaluation in milliseconds since the Unix epoch.
        timestamp_ms: i64,
        /// The number.
        value: f64,
    },
    /// A string.
    String {
        /// The time of the evaluation in milliseconds since the Unix epoch.
        timestamp_ms: i64,
        /// The string.
        value: Text,
    },
    /// An instant vector: in the order of `sort`, `topk` and the like if such a function made it.
    Vector(Vec<VectorSample>),
    /// A range vector, sorted by its labels. All range queries return one.
    Matrix(Vec<Series>),
}

impl Value {
    /// Returns the type, whose name is the `resultType` of Prometheus' HTTP API.
    ///
    /// ```
    /// use promql::{Value, ValueType};
    ///
    /// assert_eq!(Value::Vector(vec![]).value_type(), ValueType::Vector);
    /// ```
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar { .. } => ValueType::Scalar,
            Self::String { .. } => ValueType::String,
            Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) => ValueType::Matrix,
        }
    }
}
