//! Name and labels of a sample, which both formats share.

use std::borrow::Cow;

use prom_model::MetricType;

use crate::cursor::Cursor;
use crate::labels::{self, Within};
use crate::{Exposition, Format, Label, ParseError, Sample, number};

/// Name and labels of a sample.
pub(crate) struct Series<'a> {
    name: Cow<'a, str>,
    first_label: usize,
    empty_labels: Vec<Cow<'a, str>>,
}

/// Reads name and labels, and adds the labels to `exposition`.
pub(crate) fn series<'a>(
    cursor: &mut Cursor<'a>,
    format: Format,
    exposition: &mut Exposition<'a>,
) -> Result<Series<'a>, ParseError> {
    let start = cursor.at;
    let first_label = exposition.labels.len();
    let mut name = Some(cursor.take_name(true)).filter(|name| !name.is_empty());
    let mut empty_labels = Vec::new();
    if format == Format::Text {
        cursor.skip_blanks();
    }
    if cursor.eat(b"{") {
        let within = Within::Sample(format);
        let braces = labels::read(cursor, within, &mut exposition.labels)?;
        let quoted = braces.metric_name;
        empty_labels = braces.empty_labels;
        if name.is_some() && quoted.is_some() {
            return Err(cursor.error_at(start, "more than one metric name".to_owned()));
        }
        name = name.or(quoted);
    }
    match name {
        Some(name) => Ok(Series {
            name,
            first_label,
            empty_labels,
        }),
        None => Err(cursor.error_at(start, "missing metric name".to_owned())),
    }
}

impl<'a> Series<'a> {
    /// Adds a sample of this series to `exposition`. As in Prometheus, `last_type`, the type of the last `TYPE` line,
    /// decides if labels are boundaries or quantiles.
    pub(crate) fn push(
        self,
        exposition: &mut Exposition<'a>,
        last_type: MetricType,
        value: f64,
        timestamp_ms: Option<i64>,
    ) {
        let labels = &mut exposition.labels;
        normalize(&mut labels[self.first_label..], last_type);
        let narrow = |index: usize| u32::try_from(index).expect("a body has fewer than 2³² labels");
        exposition.samples.push(Sample {
            name: self.name,
            labels: narrow(self.first_label)..narrow(labels.len()),
            value,
            timestamp_ms,
            exemplar: None,
        });
        if !self.empty_labels.is_empty() {
            let index = exposition.samples.len() - 1;
            exposition.empty_labels.push((index, self.empty_labels));
        }
    }
}

/// Gives bucket boundaries and quantiles their canonical form, so that a series has the same labels in every format
/// and from every client library.
fn normalize(labels: &mut [Label<'_>], metric_type: MetricType) {
    let name = match metric_type {
        MetricType::Histogram => "le",
        MetricType::Summary => "quantile",
        _ => return,
    };
    for (_, value) in labels.iter_mut().filter(|label| label.0 == name) {
        *value = number::canonical(std::mem::take(value));
    }
}

/// Parses `text`, which ends at the cursor, as a value.
pub(crate) fn value(cursor: &mut Cursor<'_>, text: &[u8]) -> Result<f64, ParseError> {
    number::value(text).ok_or_else(|| {
        cursor.at -= text.len();
        cursor.expected("a number")
    })
}
