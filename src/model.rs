//! The values that travel between the two protocols: what a sample, a series, a matcher, a
//! destination and a result row are, free of any wire format.

use std::fmt;

/// The label that holds a metric's name in Prometheus.
pub const METRIC_NAME_LABEL: &str = "__name__";

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
    pub fn into_vec(self) -> Vec<Label> {
        self.0
    }
}

/// One series of a read result.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The label set, the metric name included.
    pub labels: Labels,
    /// Samples sorted by time, each time once.
    pub samples: Vec<Sample>,
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

/// One field of a result row of a Timestream query.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// SQL NULL.
    Null,
    /// Any scalar, as the service's text.
    Scalar(String),
    /// A time series: times and values, each as the service's text.
    TimeSeries(Vec<(String, String)>),
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
