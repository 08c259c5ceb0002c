//! Results of queries, and the samples that they are made of.

use std::sync::Arc;

use prom_model::{FloatHistogram, Labels, Sample};

use crate::text::Text;
use crate::value_type::ValueType;

/// A native histogram at a time.
///
/// ```
/// use prom_model::{FloatHistogram, Histogram};
/// use promql::HistogramSample;
///
/// let histogram = FloatHistogram::try_from(&Histogram::default())?.into();
/// let sample = HistogramSample { timestamp_ms: 60_000, histogram };
/// assert_eq!(sample.histogram.count(), 0.0);
/// # Ok::<(), prom_model::HistogramError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HistogramSample {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The histogram, shared by all results that contain it.
    pub histogram: Arc<FloatHistogram>,
}

/// A series of a result: floats and histograms, each in the order of their times. No time occurs twice.
///
/// ```
/// use promql::{Engine, EngineOptions, Fetched, Progress, Value};
///
/// let query = Engine::new(EngineOptions::default()).range("vector(7)", 0, 120_000, 60_000)?;
/// let Progress::Done(outcome) = query.evaluate(&Fetched::default(), &|| None) else { unreachable!() };
/// let Ok(Value::Matrix(series)) = outcome.value else { unreachable!() };
/// assert_eq!((series.len(), series[0].floats.len()), (1, 3));
/// # Ok::<(), promql::QueryError>(())
/// ```
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
///
/// ```
/// use promql::SampleValue;
///
/// let value = SampleValue::Float(0.5);
/// assert!(matches!(value, SampleValue::Float(0.5)));
/// ```
#[derive(Clone, Debug)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// A series of an instant vector with its one sample.
///
/// ```
/// use promql::{Engine, EngineOptions, Fetched, Progress, Value};
///
/// let query = Engine::new(EngineOptions::default()).instant("vector(7)", 60_000)?;
/// let Progress::Done(outcome) = query.evaluate(&Fetched::default(), &|| None) else { unreachable!() };
/// let Ok(Value::Vector(vector)) = outcome.value else { unreachable!() };
/// assert!(vector[0].labels.is_empty());
/// assert_eq!(vector[0].timestamp_ms, 60_000);
/// # Ok::<(), promql::QueryError>(())
/// ```
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
///
/// ```
/// use promql::{Engine, EngineOptions, Fetched, Progress, Value};
///
/// let query = Engine::new(EngineOptions::default()).instant("6 * 7", 0)?;
/// let Progress::Done(outcome) = query.evaluate(&Fetched::default(), &|| None) else { unreachable!() };
/// assert!(matches!(outcome.value, Ok(Value::Scalar { value: 42.0, .. })));
/// # Ok::<(), promql::QueryError>(())
/// ```
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
