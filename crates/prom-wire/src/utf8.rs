//! Strings of write requests. One that is not UTF-8 makes its series, exemplar or entry of metadata unreadable, in both
//! versions of remote write alike.

use prom_model::MetricType;

use crate::limits::DecodeLimits;
use crate::protobuf::MessageError;
use crate::request::{Label, LabelId, Metadata, Request, Unreadable};

/// A string, or the bytes that are not UTF-8.
pub(super) type Utf8<'a> = Result<&'a str, &'a [u8]>;

#[inline]
pub(super) fn utf8(bytes: &[u8]) -> Utf8<'_> {
    std::str::from_utf8(bytes).map_err(|_| bytes)
}

/// Returns the number of bytes.
#[inline]
pub(super) fn byte_count(text: Utf8<'_>) -> usize {
    text.map_or_else(<[u8]>::len, str::len)
}

fn bytes(text: Utf8<'_>) -> &[u8] {
    text.map_or_else(|bytes| bytes, str::as_bytes)
}

/// Adds a label that is new in the request to the series that is being built.
#[inline]
pub(super) fn push_new_label<'a>(
    request: &mut Request<'a>,
    limits: &mut DecodeLimits<'_>,
    label: (Utf8<'a>, Utf8<'a>),
) -> Result<LabelId, MessageError> {
    match label {
        (Ok(name), Ok(value)) => {
            limits.new_label(name, value)?;
            Ok(request.push_label(name, value))
        }
        (name, value) => {
            let (name, value) = (bytes(name), bytes(value));
            limits.broken_label(name, value)?;
            Ok(request.push_broken_label(name, value))
        }
    }
}

/// Adds a label to those of an exemplar, unless one before cannot be read.
pub(super) fn push_exemplar_label<'a>(
    labels: &mut Result<Vec<Label<'a>>, Unreadable<'a>>,
    limits: &mut DecodeLimits<'_>,
    label: (Utf8<'a>, Utf8<'a>),
) -> Result<(), MessageError> {
    match (labels.as_mut(), label) {
        (Err(_), _) => {}
        (Ok(labels), (Ok(name), Ok(value))) => {
            limits.exemplar_label(name, value)?;
            labels.push((name, value));
        }
        (Ok(_), (name, value)) => {
            let (name, value) = (bytes(name), bytes(value));
            *labels = Err(Unreadable::Label { name, value });
        }
    }
    Ok(())
}

/// An entry of metadata as it was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawMetadata<'a> {
    pub(super) metric_name: Utf8<'a>,
    pub(super) metric_type: MetricType,
    pub(super) help: Utf8<'a>,
    pub(super) unit: Utf8<'a>,
    /// Position of the series that has it.
    pub(super) series: Option<usize>,
}

/// Adds an entry of metadata, or the reason that makes it unreadable.
pub(super) fn push_metadata<'a>(
    request: &mut Request<'a>,
    limits: &mut DecodeLimits<'_>,
    raw: RawMetadata<'a>,
) -> Result<(), MessageError> {
    let texts = [
        ("name of a metric", raw.metric_name),
        ("help text of a metric", raw.help),
        ("unit of a metric", raw.unit),
    ];
    limits.metadata(texts.iter().map(|(_, text)| byte_count(*text)).sum())?;
    match texts.map(|(_, text)| text) {
        [Ok(metric_name), Ok(help), Ok(unit)] => request.metadata.push(Metadata {
            metric_name,
            metric_type: raw.metric_type,
            help,
            unit,
            series: raw.series,
        }),
        _ => {
            let broken = texts
                .into_iter()
                .find_map(|(what, text)| Some((what, text.err()?)));
            let unreadable = broken.map(|(what, text)| Unreadable::Metadata { what, text });
            request.unreadable_metadata.extend(unreadable);
        }
    }
    Ok(())
}
