//! Data points that no translation can make series of, by reason.

use std::fmt;

use prom_model::visible::{escaped, truncate};

use crate::model::{Temporality, Unreadable};
use crate::names::NameError;

/// The longest name or string in a message.
const MAX_SHOWN_BYTES: usize = 80;

/// The reason for which data points are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The temporality is not cumulative.
    Temporality,
    /// The scale of an exponential histogram is below -4.
    Scale,
    /// Nothing is left of the name of the metric.
    MetricName,
    /// Nothing is left of the name of a label.
    LabelName,
    /// A string is not UTF-8, or the bytes violate the wire format.
    Unreadable,
    /// The metric has data of no known kind.
    NoData,
}

impl RejectReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::Temporality,
        Self::Scale,
        Self::MetricName,
        Self::LabelName,
        Self::Unreadable,
        Self::NoData,
    ];

    /// Returns the reason as the value of a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Temporality => "temporality",
            Self::Scale => "scale",
            Self::MetricName => "metric_name",
            Self::LabelName => "label_name",
            Self::Unreadable => "unreadable",
            Self::NoData => "no_data",
        }
    }
}

/// Data points that are rejected for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The reason.
    pub reason: RejectReason,
    /// The number of data points; 0 if metrics without any are rejected.
    pub points: u64,
    /// The first case, with its remedy.
    pub message: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.points {
            0 => {}
            1 => f.write_str("1 data point: ")?,
            points => write!(f, "{points} data points, for example: ")?,
        }
        f.write_str(&self.message)
    }
}

/// The rejected data points of a request: each reason once.
#[derive(Debug, Default)]
pub(crate) struct Rejections(Vec<Rejected>);

impl Rejections {
    /// Adds `points` data points; `message` is called for the first ones of the reason.
    pub(crate) fn add(
        &mut self,
        reason: RejectReason,
        points: u64,
        message: impl FnOnce() -> String,
    ) {
        match self.0.iter_mut().find(|it| it.reason == reason) {
            Some(rejected) => rejected.points += points,
            None => self.0.push(Rejected {
                reason,
                points,
                message: message(),
            }),
        }
    }

    pub(crate) fn into_vec(mut self) -> Vec<Rejected> {
        self.0.sort_by_key(|it| it.reason);
        self.0
    }
}

/// Displays a string from a request in quotes, truncated.
fn shown(text: &str) -> String {
    format!("'{}'", escaped(&truncate(text, MAX_SHOWN_BYTES)))
}

pub(crate) fn temporality_message(metric: &str, temporality: Temporality) -> String {
    let found = match temporality {
        Temporality::Delta => "delta",
        Temporality::Unspecified => "no known",
        Temporality::Cumulative => "cumulative",
    };
    format!(
        "metric {} has {found} temporality, and only cumulative is accepted; set \
         OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative in the SDK, or add the processor \
         deltatocumulative to the Collector",
        shown(metric)
    )
}

pub(crate) fn scale_message(metric: &str, scale: i32) -> String {
    format!(
        "exponential histogram {} has the scale {scale}, and the least is -4; raise the maximum number of buckets of \
         its aggregation",
        shown(metric)
    )
}

pub(crate) fn metric_name_message(metric: &str, error: NameError) -> String {
    format!("metric {}: {error}; rename it", shown(metric))
}

pub(crate) fn label_name_message(place: &str, attribute: &str, error: NameError) -> String {
    format!(
        "attribute {} of {place}: {error}; rename it",
        shown(attribute)
    )
}

pub(crate) fn unreadable_message(place: &str, reason: &Unreadable<'_>) -> String {
    format!("{place} cannot be read: {reason}; fix the sender")
}

pub(crate) fn no_data_message(metric: &str) -> String {
    format!(
        "metric {} has data of no known kind; gauges, sums, histograms and summaries are accepted",
        shown(metric)
    )
}

/// Returns the words for a metric in messages.
pub(crate) fn metric_place(name: &str) -> String {
    format!("metric {}", shown(name))
}
