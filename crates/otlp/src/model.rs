//! The message `ExportMetricsServiceRequest`, as far as the translation needs it. Strings are borrowed from the body, or
//! from an arena beside it.
//!
//! Whatever cannot be read costs as little as possible: a data point or an exemplar itself, a metric or a resource its
//! data points.

use std::borrow::Cow;
use std::fmt;

/// A request to store metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics<'a> {
    /// Metrics by the resource that they come from.
    pub resources: Vec<ResourceMetrics<'a>>,
}

/// The metrics of a resource, such as a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceMetrics<'a> {
    /// The attributes of the resource.
    pub attributes: Vec<KeyValue<'a>>,
    /// The reason that makes the attributes unreadable.
    pub unreadable: Option<Unreadable<'a>>,
    /// Metrics by the instrumentation scope that they come from.
    pub scopes: Vec<ScopeMetrics<'a>>,
}

/// The metrics of an instrumentation scope, such as a library.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScopeMetrics<'a> {
    /// Name of the scope; may be empty.
    pub name: &'a str,
    /// Its version; may be empty.
    pub version: &'a str,
    /// The URL of the schema of its metrics; may be empty.
    pub schema_url: &'a str,
    /// The attributes of the scope.
    pub attributes: Vec<KeyValue<'a>>,
    /// The reason that makes the properties of the scope unreadable.
    pub unreadable: Option<Unreadable<'a>>,
    /// Its metrics.
    pub metrics: Vec<Metric<'a>>,
}

/// A metric with its data points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric<'a> {
    /// Its name.
    pub name: &'a str,
    /// The help string; may be empty.
    pub description: &'a str,
    /// Its unit, as a UCUM code; may be empty.
    pub unit: &'a str,
    /// Its data points.
    pub data: Data<'a>,
    /// The reason that makes the whole metric unreadable.
    pub unreadable: Option<Unreadable<'a>>,
    /// The reason that makes the description unreadable.
    pub unreadable_description: Option<Unreadable<'a>>,
    /// The reason for each data point that cannot be read.
    pub unreadable_points: Vec<Unreadable<'a>>,
    /// The number of exemplars that cannot be read.
    pub unreadable_exemplars: u64,
}

/// The data points of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Data<'a> {
    /// None, or of a kind that is not known.
    #[default]
    None,
    /// Numbers that go up and down.
    Gauge(Vec<NumberPoint<'a>>),
    /// Sums.
    Sum {
        /// The data points.
        points: Vec<NumberPoint<'a>>,
        /// The period that each covers.
        temporality: Temporality,
        /// True if the sums only grow.
        is_monotonic: bool,
    },
    /// Histograms with listed boundaries.
    Histogram {
        /// The data points.
        points: Vec<HistogramPoint<'a>>,
        /// The period that each covers.
        temporality: Temporality,
    },
    /// Histograms with exponential buckets.
    Exponential {
        /// The data points.
        points: Vec<ExponentialPoint<'a>>,
        /// The period that each covers.
        temporality: Temporality,
    },
    /// Quantiles.
    Summary(Vec<SummaryPoint<'a>>),
}

/// The period that a sum or a histogram covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Not given, or not known.
    #[default]
    Unspecified,
    /// Since the data point before.
    Delta,
    /// Since a fixed start.
    Cumulative,
}

/// A number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumberPoint<'a> {
    /// Its attributes.
    pub attributes: Vec<KeyValue<'a>>,
    /// Nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The value, if it has one.
    pub value: Option<Number>,
    /// Observations that stand for many.
    pub exemplars: Vec<Exemplar<'a>>,
    /// Flags; see [`NO_RECORDED_VALUE`].
    pub flags: u32,
}

/// The flag of a data point without a value, which ends its series.
pub const NO_RECORDED_VALUE: u32 = 1;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A float.
    Double(f64),
    /// An integer.
    Int(i64),
}

/// A histogram with listed boundaries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramPoint<'a> {
    /// Its attributes.
    pub attributes: Vec<KeyValue<'a>>,
    /// Nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// Number of observations.
    pub count: u64,
    /// Their sum, if it is known.
    pub sum: Option<f64>,
    /// Observations in each bucket.
    pub bucket_counts: Vec<u64>,
    /// The upper boundaries of all buckets but the last.
    pub explicit_bounds: Vec<f64>,
    /// Observations that stand for many.
    pub exemplars: Vec<Exemplar<'a>>,
    /// Flags; see [`NO_RECORDED_VALUE`].
    pub flags: u32,
}

/// A histogram with exponential buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExponentialPoint<'a> {
    /// Its attributes.
    pub attributes: Vec<KeyValue<'a>>,
    /// Nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// Number of observations.
    pub count: u64,
    /// Their sum, if it is known.
    pub sum: Option<f64>,
    /// Boundaries are powers of 2 to the power of 2^-`scale`.
    pub scale: i32,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// The buckets of positive observations.
    pub positive: ExponentialBuckets,
    /// The buckets of negative observations.
    pub negative: ExponentialBuckets,
    /// Observations that stand for many.
    pub exemplars: Vec<Exemplar<'a>>,
    /// Flags; see [`NO_RECORDED_VALUE`].
    pub flags: u32,
}

/// Consecutive exponential buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExponentialBuckets {
    /// Index of the first bucket.
    pub offset: i32,
    /// Observations in each bucket.
    pub counts: Vec<u64>,
}

/// Quantiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SummaryPoint<'a> {
    /// Its attributes.
    pub attributes: Vec<KeyValue<'a>>,
    /// Nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// Number of observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Each quantile with its value.
    pub quantiles: Vec<QuantileValue>,
    /// Flags; see [`NO_RECORDED_VALUE`].
    pub flags: u32,
}

/// A quantile with its value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QuantileValue {
    /// From 0 to 1.
    pub quantile: f64,
    /// The value.
    pub value: f64,
}

/// An observation that stands for many, usually with the trace that caused it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar<'a> {
    /// Attributes of the observation that its data point does not have.
    pub filtered_attributes: Vec<KeyValue<'a>>,
    /// Nanoseconds since the Unix epoch; 0 if the sender gave none.
    pub time_unix_nano: u64,
    /// The value, if it has one.
    pub value: Option<Number>,
    /// The identifier of the span; empty if there is none.
    pub span_id: Cow<'a, [u8]>,
    /// The identifier of the trace; empty if there is none.
    pub trace_id: Cow<'a, [u8]>,
}

/// An attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyValue<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value.
    pub value: AnyValue<'a>,
}

/// The value of an attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AnyValue<'a> {
    /// No value.
    #[default]
    Empty,
    /// A string.
    String(&'a str),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Double(f64),
    /// A list.
    Array(Vec<AnyValue<'a>>),
    /// A map.
    Map(Vec<KeyValue<'a>>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
}

/// The reason that makes a part of a message unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable<'a> {
    /// Its bytes violate the wire format, or a field has another type than in the protocol.
    Malformed(&'static str),
    /// A string is not UTF-8.
    NotUtf8 {
        /// The string.
        what: &'static str,
        /// Its bytes.
        text: &'a [u8],
    },
}

impl Metrics<'_> {
    /// Returns the number of data points, those that cannot be read included.
    pub fn point_count(&self) -> u64 {
        let scopes = self.resources.iter().flat_map(|it| &it.scopes);
        scopes.map(ScopeMetrics::point_count).sum()
    }

    /// Returns true if all parts of the message can be read.
    pub fn is_readable(&self) -> bool {
        let is_readable = |metric: &Metric<'_>| {
            metric.unreadable.is_none()
                && metric.unreadable_description.is_none()
                && metric.unreadable_points.is_empty()
                && metric.unreadable_exemplars == 0
        };
        let mut scopes = self.resources.iter().flat_map(|it| &it.scopes);
        self.resources.iter().all(|it| it.unreadable.is_none())
            && scopes.all(|it| it.unreadable.is_none() && it.metrics.iter().all(is_readable))
    }
}

impl ResourceMetrics<'_> {
    /// Returns the number of data points, those that cannot be read included.
    pub fn point_count(&self) -> u64 {
        self.scopes.iter().map(ScopeMetrics::point_count).sum()
    }
}

impl ScopeMetrics<'_> {
    /// Returns the number of data points, those that cannot be read included.
    pub fn point_count(&self) -> u64 {
        self.metrics.iter().map(Metric::point_count).sum()
    }
}

impl Metric<'_> {
    /// Returns the number of data points, those that cannot be read included. A malformed metric counts as one at
    /// least.
    pub fn point_count(&self) -> u64 {
        let points = (self.data.len() + self.unreadable_points.len()) as u64;
        match self.unreadable {
            Some(Unreadable::Malformed(_)) => points.max(1),
            _ => points,
        }
    }
}

impl Data<'_> {
    /// Returns the number of data points.
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Gauge(points) | Self::Sum { points, .. } => points.len(),
            Self::Histogram { points, .. } => points.len(),
            Self::Exponential { points, .. } => points.len(),
            Self::Summary(points) => points.len(),
        }
    }

    /// Returns true if there are no data points.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Temporality {
    /// Returns the temporality with this number in the protocol.
    pub fn of(number: i32) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

impl fmt::Display for Unreadable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_BYTES: usize = 80;
        match self {
            Self::Malformed(reason) => f.write_str(reason),
            Self::NotUtf8 { what, text } => {
                let end = text.len().min(MAX_BYTES);
                write!(
                    f,
                    "the {what} '{}' is not UTF-8",
                    text[..end].escape_ascii()
                )
            }
        }
    }
}
