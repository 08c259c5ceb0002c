//! The text in which programs show their metrics, read: Prometheus' text format (0.0.4 and 1.0.0) and
//! OpenMetrics 1.0. Bytes -> families and samples; texts are borrowed from the body unless they
//! have escapes.
//!
//! The grammars are those of the two specifications
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>), read as Prometheus reads them: what it
//! takes is taken, so that no target loses its metrics by leaving Prometheus, and what only a
//! specification allows is taken too. Prometheus checks neither that the samples of a family stand
//! together nor that their names and labels suit its type; nor does this. `tests/golden`
//! has the cases in which the two differ.
//!
//! One fault refuses the whole body. The binary format and OpenMetrics 2.0 are not read.

mod cursor;
mod escape;
mod labels;
mod number;
mod openmetrics;
mod sample;
mod text;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use prom_model::MetricType;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, `text/plain`.
    Text,
    /// OpenMetrics 1.0, `application/openmetrics-text`.
    OpenMetrics,
}

/// Name and value of a label; neither is empty.
pub type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// All that a target shows, in the order in which it does.
#[derive(Clone, Debug, Default)]
pub struct Exposition<'a> {
    /// What is said about metric families, each name once.
    pub families: Vec<Family<'a>>,
    /// The samples.
    pub samples: Vec<Sample<'a>>,
    /// The labels of all samples, one after the other.
    labels: Vec<Label<'a>>,
    /// Positions of samples, ascending, with the sorted names of their labels without a value.
    blank: Vec<(usize, Vec<Cow<'a, str>>)>,
    by_name: HashMap<Cow<'a, str>, usize>,
}

/// What is said about a metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family<'a> {
    /// Its name; of counters in OpenMetrics without `_total`.
    pub name: Cow<'a, str>,
    /// Its type.
    pub metric_type: MetricType,
    /// What it means; may be empty.
    pub help: Cow<'a, str>,
    /// Its unit; may be empty.
    pub unit: Cow<'a, str>,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name of the metric.
    pub name: Cow<'a, str>,
    /// Where its labels are among those of all samples.
    labels: Range<u32>,
    /// The value; of NaNs always the one that Prometheus stores.
    pub value: f64,
    /// Its own time, in milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    /// The observation that stands for it.
    pub exemplar: Option<Box<Exemplar<'a>>>,
}

/// An observation that stands for many.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Its labels, as they stand there.
    pub labels: Vec<Label<'a>>,
    /// The value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}

/// A fault of a body: where, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse error at line {line}, offset {offset}: {reason}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// Bytes of this line before the fault.
    pub offset: usize,
    /// What is wrong.
    pub reason: String,
}

/// Reads a body.
///
/// # Errors
/// The first fault in it.
pub fn parse(body: &[u8], format: Format) -> Result<Exposition<'_>, ParseError> {
    match format {
        Format::Text => text::parse(body),
        Format::OpenMetrics => openmetrics::parse(body),
    }
}

impl Format {
    /// The format of a body with this `Content-Type`, by its media type alone; `None` if it is neither
    /// of the two. Version 2 of OpenMetrics is another format under the same name.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let is_version_2 =
            parts
                .filter_map(|parameter| parameter.split_once('='))
                .any(|(name, value)| {
                    name.trim().eq_ignore_ascii_case("version")
                        && value.trim().trim_matches('"') == "2.0.0"
                });
        match media_type.as_str() {
            "text/plain" => Some(Self::Text),
            "application/openmetrics-text" if !is_version_2 => Some(Self::OpenMetrics),
            _ => None,
        }
    }
}

impl<'a> Exposition<'a> {
    /// The labels of one of the samples, in the order in which they stand there.
    pub fn labels(&self, sample: &Sample<'a>) -> &[Label<'a>] {
        &self.labels[sample.labels.start as usize..sample.labels.end as usize]
    }

    /// Returns the names of the labels that the sample at `index` shows without a value, sorted. They are no labels
    /// of its series, but with them a target says that it has none.
    pub fn blank(&self, index: usize) -> &[Cow<'a, str>] {
        match self.blank.binary_search_by_key(&index, |blank| blank.0) {
            Ok(position) => &self.blank[position].1,
            Err(_) => &[],
        }
    }

    /// The family of this name.
    fn family(&mut self, name: Cow<'a, str>) -> &mut Family<'a> {
        let next = self.families.len();
        let index = *self.by_name.entry(name.clone()).or_insert(next);
        if index == next {
            self.families.push(Family {
                name,
                metric_type: MetricType::Unknown,
                help: Cow::Borrowed(""),
                unit: Cow::Borrowed(""),
            });
        }
        &mut self.families[index]
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text/plain",
            Self::OpenMetrics => "application/openmetrics-text",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_decides() {
        use Format::{OpenMetrics, Text};
        let cases = [
            ("text/plain; version=0.0.4; charset=utf-8", Some(Text)),
            ("text/plain", Some(Text)),
            ("TEXT/Plain;version=9", Some(Text)),
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                Some(OpenMetrics),
            ),
            ("application/openmetrics-text", Some(OpenMetrics)),
            (
                "application/openmetrics-text;version=0.0.1",
                Some(OpenMetrics),
            ),
            ("application/openmetrics-text; Version=\"2.0.0\"", None),
            ("text/plain; version=2.0.0", Some(Text)),
            ("text/html; charset=utf-8", None),
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily",
                None,
            ),
            ("", None),
        ];
        for (content_type, expected) in cases {
            assert_eq!(
                Format::of_content_type(content_type),
                expected,
                "{content_type}"
            );
        }
    }
}
