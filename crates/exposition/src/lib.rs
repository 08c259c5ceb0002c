//! A reader of the text formats in which programs expose their metrics: Prometheus' text format (0.0.4 and 1.0.0)
//! and OpenMetrics 1.0. It turns a body into metric families and samples; strings borrow from the body unless they
//! contain escapes.
//!
//! The grammars are those of the two specifications
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>), read as Prometheus reads them. The reader accepts
//! what Prometheus' own parser accepts, so that no target loses its metrics by leaving Prometheus, and also what
//! only a specification allows. Like Prometheus, it does not check that the samples of a family are adjacent, nor
//! that their names and labels suit the type of the family. The cases in `tests/golden` mark the differences from
//! Prometheus' parser.
//!
//! An error rejects the whole body. The protobuf format and OpenMetrics 2.0 are not supported.
//!
//! ```
//! use exposition::{Format, parse};
//! use prom_model::MetricType;
//!
//! let body = concat!(
//!     "# TYPE requests_total counter\n",
//!     "requests_total{code=\"200\"} 1027 1395066363000\n",
//! );
//! let exposition = parse(body.as_bytes(), Format::Text)?;
//! assert_eq!(exposition.families[0].metric_type, MetricType::Counter);
//! let sample = &exposition.samples[0];
//! assert_eq!(sample.value, 1027.0);
//! assert_eq!(sample.timestamp_ms, Some(1_395_066_363_000));
//! assert_eq!(exposition.labels(sample), [("code".into(), "200".into())]);
//! # Ok::<(), exposition::ParseError>(())
//! ```

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
    /// Prometheus' text format, `text/plain`.
    Text,
    /// OpenMetrics 1.0, `application/openmetrics-text`.
    OpenMetrics,
}

/// Name and value of a label. In samples neither is empty.
pub type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The content of a body: metric families and samples, in the order of the body.
#[derive(Clone, Debug, Default)]
pub struct Exposition<'a> {
    /// The metric families that have metadata, each name once.
    pub families: Vec<Family<'a>>,
    /// The samples.
    pub samples: Vec<Sample<'a>>,
    /// The labels of all samples, one sample after the other.
    labels: Vec<Label<'a>>,
    /// Positions of samples, ascending, with the sorted names of their labels that have no value.
    empty_labels: Vec<(usize, Vec<Cow<'a, str>>)>,
    /// Positions in `families`.
    by_name: HashMap<Cow<'a, str>, usize>,
}

/// The metadata of a metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family<'a> {
    /// Name of the family. In OpenMetrics the family of a counter lacks the suffix `_total`.
    pub name: Cow<'a, str>,
    /// Type of the family.
    pub metric_type: MetricType,
    /// Help text; may be empty.
    pub help: Cow<'a, str>,
    /// Unit; may be empty.
    pub unit: Cow<'a, str>,
}

/// A sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name of the metric.
    pub name: Cow<'a, str>,
    /// Range of its labels among the labels of all samples.
    labels: Range<u32>,
    /// The value. Every NaN has the bits that Prometheus stores.
    pub value: f64,
    /// Timestamp of the sample, if the body has one: milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    /// Exemplar of the sample; only in OpenMetrics.
    pub exemplar: Option<Box<Exemplar<'a>>>,
}

/// An exemplar: one of the observations that a sample counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// The labels, exactly as in the body. Names and values may be empty, and names may repeat.
    pub labels: Vec<Label<'a>>,
    /// The value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}

/// A syntax error in a body. It does not quote the body, which may be a page with secrets instead of metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse error at line {line}, offset {offset}: {reason}")]
pub struct ParseError {
    /// Number of the line, from 1.
    pub line: usize,
    /// Number of bytes before the error in that line.
    pub offset: usize,
    /// Description of the error.
    pub reason: String,
}

/// Parses a body.
///
/// ```
/// use exposition::{Format, parse};
///
/// let error = parse(b"up one\n", Format::Text).unwrap_err();
/// assert_eq!(error.to_string(), "parse error at line 1, offset 3: expected a number");
/// ```
///
/// # Errors
/// Returns the first syntax error.
pub fn parse(body: &[u8], format: Format) -> Result<Exposition<'_>, ParseError> {
    match format {
        Format::Text => text::parse(body),
        Format::OpenMetrics => openmetrics::parse(body),
    }
}

impl Format {
    /// Returns the format of a body with this `Content-Type`, or `None` if the media type is neither of the two.
    /// OpenMetrics 2.0 is a different format under the media type of 1.0 and returns `None`. Other parameters do
    /// not matter.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
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
    /// Returns the labels of a sample of this exposition, in the order of the body.
    pub fn labels(&self, sample: &Sample<'a>) -> &[Label<'a>] {
        &self.labels[sample.labels.start as usize..sample.labels.end as usize]
    }

    /// Returns the sorted names of the labels that the sample at `index` has without a value. They are not labels of
    /// its series, but a target states with them that the series has no such label.
    pub fn empty_labels(&self, index: usize) -> &[Cow<'a, str>] {
        let found = self
            .empty_labels
            .binary_search_by_key(&index, |(sample, _)| *sample);
        found.map_or(&[], |position| &self.empty_labels[position].1)
    }

    /// Returns the family with this name, and adds it if there is none.
    fn family(&mut self, name: Cow<'a, str>) -> &mut Family<'a> {
        let next = self.families.len();
        // The lines of a family usually follow one another.
        let is_last = self.families.last().is_some_and(|it| it.name == name);
        let index = match is_last {
            true => next - 1,
            false => *self.by_name.entry(name.clone()).or_insert(next),
        };
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
    /// Writes the media type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text/plain",
            Self::OpenMetrics => "application/openmetrics-text",
        })
    }
}

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
                Format::from_content_type(content_type),
                expected,
                "{content_type}"
            );
        }
    }
}
