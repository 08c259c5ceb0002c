//! The values that travel between the two protocols: what a sample, a histogram, a series, a
//! matcher, a destination and a result row are, free of any wire format.

use std::fmt;

/// The label that holds a metric's name in Prometheus.
pub const METRIC_NAME_LABEL: &str = "__name__";

/// Bits of the NaN with which Prometheus says that a series has ended
/// (<https://prometheus.io/docs/specs/prw/remote_write_spec/#stale-markers>).
pub const STALE_MARKER_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Bits of the NaN that Prometheus stores for every other one that it scrapes.
pub const PROMETHEUS_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// A database and a table of Timestream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// Name of the database.
    pub database: String,
    /// Name of the table.
    pub table: String,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.database, self.table)
    }
}

/// One float sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The value; compared and copied by its bits.
    pub value: f64,
}

/// One native histogram, with all that the protocols carry about it but when counting began;
/// nothing has been checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Observations, stale marker apart the sum of all buckets; absent counts as 0.
    pub count: Option<Count>,
    /// Sum of the observations; compared and copied by its bits.
    pub sum: f64,
    /// Resolution of the buckets; -53 if their boundaries are `custom_values`.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket; absent counts as 0.
    pub zero_count: Option<Count>,
    /// The buckets of negative observations.
    pub negative: Buckets,
    /// The buckets of positive observations.
    pub positive: Buckets,
    /// 0 unknown, 1 reset, 2 no reset, 3 gauge; other numbers as received.
    pub reset_hint: i32,
    /// Upper boundaries of the buckets where `schema` is -53.
    pub custom_values: Vec<f64>,
}

impl Histogram {
    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        let buckets = |it: &Buckets| {
            it.spans.len() * size_of::<Span>()
                + it.deltas.len() * size_of::<i64>()
                + it.counts.len() * size_of::<f64>()
        };
        size_of::<Self>()
            + buckets(&self.negative)
            + buckets(&self.positive)
            + self.custom_values.len() * size_of::<f64>()
    }
}

/// A number of observations: whole in an integer histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// Of an integer histogram.
    Int(u64),
    /// Of a float histogram.
    Float(f64),
}

/// The buckets on one side of zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Which buckets there are.
    pub spans: Vec<Span>,
    /// Integer histograms: each bucket's count less that of the one before.
    pub deltas: Vec<i64>,
    /// Float histograms: each bucket's count.
    pub counts: Vec<f64>,
}

/// Buckets that follow one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Gap to the span before; in the first span the index of its first bucket.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// What kind of metric a metric family is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Nobody has said.
    #[default]
    Unknown,
    /// A number that only grows, until it starts again.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
    /// Observations in buckets that may lose some again.
    GaugeHistogram,
    /// Quantiles.
    Summary,
    /// Labels that describe something, the value is 1.
    Info,
    /// A set of booleans.
    StateSet,
}

impl MetricType {
    /// The type with this number in the protocols; a number of a later protocol is unknown.
    pub fn of(number: i32) -> Self {
        match number {
            1 => Self::Counter,
            2 => Self::Gauge,
            3 => Self::Histogram,
            4 => Self::GaugeHistogram,
            5 => Self::Summary,
            6 => Self::Info,
            7 => Self::StateSet,
            _ => Self::Unknown,
        }
    }

    /// The metric family that a metric of this name and type belongs to: histograms and summaries
    /// have metrics of several names.
    pub fn family(self, metric_name: &str) -> &str {
        let suffixes: &[&str] = match self {
            Self::Histogram => &["_bucket", "_count", "_sum"],
            Self::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
            Self::Summary => &["_count", "_sum"],
            Self::Unknown | Self::Counter | Self::Gauge | Self::Info | Self::StateSet => &[],
        };
        let family = suffixes
            .iter()
            .find_map(|suffix| metric_name.strip_suffix(suffix));
        family.unwrap_or(metric_name)
    }

    /// The word for it, as Prometheus writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// One label: a name and a value, neither of them empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// Name of the label.
    pub name: String,
    /// Value of the label.
    pub value: String,
}

/// A label set: sorted by name, each name once, no empty value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// Sorts `labels`, drops those with an empty value (an empty label is an absent one) and, of
    /// labels with one name, keeps the first.
    pub fn new(mut labels: Vec<Label>) -> Self {
        labels.retain(|label| !label.value.is_empty());
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels.dedup_by(|later, kept| later.name == kept.name);
        Self(labels)
    }

    /// The value of the label `name`; an absent label has the empty value.
    pub fn get(&self, name: &str) -> &str {
        match self
            .0
            .binary_search_by(|label| label.name.as_str().cmp(name))
        {
            Ok(index) => &self.0[index].value,
            Err(_) => "",
        }
    }

    /// The labels in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        let texts = self.iter().map(|it| it.name.len() + it.value.len());
        self.0.len() * size_of::<Label>() + texts.sum::<usize>()
    }

    /// The labels in the order of their names.
    pub fn into_vec(self) -> Vec<Label> {
        self.0
    }
}

/// The operator of a label matcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as PromQL writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// Times and values, each as the service's text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeSeries {
    /// All texts behind one another: each sample's time, and then its value.
    text: String,
    /// Where in it each time ends, and each value.
    ends: Vec<(usize, usize)>,
}

impl TimeSeries {
    /// Appends a sample.
    pub fn push(&mut self, time: &str, value: &str) {
        self.text.push_str(time);
        let time_end = self.text.len();
        self.text.push_str(value);
        self.ends.push((time_end, self.text.len()));
    }

    /// The samples, as time and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(time_end, end)| {
            let sample = (&self.text[start..time_end], &self.text[time_end..end]);
            start = end;
            sample
        })
    }
}

impl<T: AsRef<str>, V: AsRef<str>> FromIterator<(T, V)> for TimeSeries {
    fn from_iter<I: IntoIterator<Item = (T, V)>>(samples: I) -> Self {
        let mut series = Self::default();
        for (time, value) in samples {
            series.push(time.as_ref(), value.as_ref());
        }
        series
    }
}

/// One field of a result row of a Timestream query.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// SQL NULL.
    Null,
    /// Any scalar, as the service's text.
    Scalar(String),
    /// A time series, without the samples that are NULL.
    TimeSeries(TimeSeries),
    /// An array of fields.
    Array(Vec<Datum>),
    /// A nested row.
    Row(Vec<Datum>),
}

impl Datum {
    /// The text of a scalar, `None` for everything else.
    pub fn as_scalar(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// One result row of a Timestream query, its fields in the order of the select list.
pub type Row = Vec<Datum>;

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, value: &str) -> Label {
        Label {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn labels_are_sorted_unique_and_never_empty() {
        let labels = Labels::new(vec![
            label("job", "a"),
            label("code", ""),
            label("a", "1"),
            label("job", "b"),
        ]);
        assert_eq!(labels.get("job"), "a");
        assert_eq!(labels.get("code"), "");
        assert_eq!(labels.get("absent"), "");
        assert_eq!(labels.into_vec(), [label("a", "1"), label("job", "a")]);
    }
}
