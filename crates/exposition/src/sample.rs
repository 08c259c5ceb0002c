//! What a line with a value begins with in both formats: name and labels.

use std::borrow::Cow;

use crate::cursor::Cursor;
use crate::labels::{self, Within};
use crate::{Exposition, Format, Label, ParseError, Sample, number};
use prom_model::MetricType;

/// Name and labels of a line with a value.
pub(crate) struct Series<'a> {
    name: Cow<'a, str>,
    first_label: usize,
    blank: Vec<Cow<'a, str>>,
}

/// Reads name and labels; the labels go to those of `exposition`.
pub(crate) fn series<'a>(
    cursor: &mut Cursor<'a>,
    format: Format,
    exposition: &mut Exposition<'a>,
) -> Result<Series<'a>, ParseError> {
    let start = cursor.at;
    let first_label = exposition.labels.len();
    let mut name = Some(cursor.take_name(true)).filter(|name| !name.is_empty());
    let mut blank = Vec::new();
    if format == Format::Text {
        cursor.skip_blanks();
    }
    if cursor.eat(b"{") {
        let within = Within::Sample(format);
        let braces = labels::read(cursor, within, &mut exposition.labels)?;
        let quoted = braces.metric_name;
        blank = braces.blank;
        if name.is_some() && quoted.is_some() {
            return Err(cursor.error_at(start, "there are two metric names".to_owned()));
        }
        name = name.or(quoted);
    }
    match name {
        Some(name) => Ok(Series {
            name,
            first_label,
            blank,
        }),
        None => Err(cursor.error_at(start, "there is no metric name".to_owned())),
    }
}

impl<'a> Series<'a> {
    /// Adds a sample of this series to `exposition`. As in Prometheus, the type that was last spoken of
    /// decides whether labels are boundaries or quantiles.
    pub(crate) fn push(
        self,
        exposition: &mut Exposition<'a>,
        last_type: MetricType,
        value: f64,
        timestamp_ms: Option<i64>,
    ) {
        let labels = &mut exposition.labels;
        normalize(&mut labels[self.first_label..], last_type);
        let narrow =
            |index: usize| u32::try_from(index).expect("a body has less than 4 GiB of labels");
        exposition.samples.push(Sample {
            name: self.name,
            labels: narrow(self.first_label)..narrow(labels.len()),
            value,
            timestamp_ms,
            exemplar: None,
        });
        if !self.blank.is_empty() {
            let index = exposition.samples.len() - 1;
            exposition.blank.push((index, self.blank));
        }
    }
}

/// Writes boundaries of buckets and quantiles in one way, so that a series stays the same whatever
/// format and library brings it.
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

/// The value that `text`, which ends at the cursor, stands for.
pub(crate) fn value(cursor: &mut Cursor<'_>, text: &[u8]) -> Result<f64, ParseError> {
    number::value(text).ok_or_else(|| {
        cursor.at -= text.len();
        cursor.expected("a number")
    })
}
