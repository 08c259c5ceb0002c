//! OpenMetrics 1.0: exactly one space between tokens, no comments, `# EOF` at the end.

use prom_model::MetricType;

use crate::cursor::Cursor;
use crate::escape::{self, Escapes};
use crate::labels::{self, Within};
use crate::sample::{self, series};
use crate::{Exemplar, Exposition, Format, ParseError, number};

pub(crate) fn parse(body: &[u8]) -> Result<Exposition<'_>, ParseError> {
    let mut exposition = Exposition::default();
    let mut last_type = MetricType::Unknown;
    let mut cursor = Cursor::new(body);
    loop {
        match cursor.peek() {
            None => return Err(cursor.error("the body does not end with \"# EOF\"".to_owned())),
            Some(b'#') => {
                if cursor.eat(b"# EOF") {
                    cursor.eat(b"\n");
                    return match cursor.is_over() {
                        true => Ok(exposition),
                        false => Err(cursor.error("unexpected data after \"# EOF\"".to_owned())),
                    };
                }
                metadata(&mut cursor, &mut exposition, &mut last_type)?;
            }
            Some(byte)
                if byte == b'{' || byte == b'_' || byte == b':' || byte.is_ascii_alphabetic() =>
            {
                line(&mut cursor, &mut exposition, last_type)?;
            }
            Some(_) => return Err(cursor.expected("a metric name, \"{\" or \"# \"")),
        }
    }
}

/// Reads a line with metadata of a family.
fn metadata<'a>(
    cursor: &mut Cursor<'a>,
    exposition: &mut Exposition<'a>,
    last_type: &mut MetricType,
) -> Result<(), ParseError> {
    let keywords = ["HELP", "TYPE", "UNIT"];
    let Some(keyword) = keywords
        .into_iter()
        .find(|keyword| cursor.eat(format!("# {keyword} ").as_bytes()))
    else {
        return Err(cursor.expected("\"# HELP \", \"# TYPE \", \"# UNIT \" or \"# EOF\""));
    };
    let name = cursor.take_family_name(keyword)?;
    if !cursor.eat(b" ") {
        return Err(cursor.expected("a space after the metric name"));
    }
    let start = cursor.at;
    let bytes = cursor.take_line();
    let end = cursor.at;
    if !cursor.eat(b"\n") {
        return Err(cursor.expected("a line feed"));
    }
    match keyword {
        "HELP" => {
            let text = cursor.utf8(start..end, "help text")?;
            if let Some(name) = name {
                exposition.family(name).help = escape::resolve(text, Escapes::WithQuotes);
            }
        }
        "TYPE" => {
            let Some(metric_type) = metric_type(bytes) else {
                cursor.at = start;
                return Err(cursor.expected(
                    "counter, gauge, histogram, gaugehistogram, stateset, info, summary or unknown",
                ));
            };
            *last_type = metric_type;
            if let Some(name) = name {
                exposition.family(name).metric_type = metric_type;
            }
        }
        _ => {
            let unit = cursor.utf8(start..end, "unit")?;
            let name = name.unwrap_or_default();
            let is_suffix = name
                .strip_suffix(unit)
                .is_some_and(|family| family.ends_with('_'));
            if !unit.is_empty() && !is_suffix {
                let reason = "the metric name does not end with this unit".to_owned();
                return Err(cursor.error_at(start, reason));
            }
            if !name.is_empty() {
                exposition.family(name).unit = unit.into();
            }
        }
    }
    Ok(())
}

fn metric_type(word: &[u8]) -> Option<MetricType> {
    Some(match word {
        b"counter" => MetricType::Counter,
        b"gauge" => MetricType::Gauge,
        b"histogram" => MetricType::Histogram,
        b"gaugehistogram" => MetricType::GaugeHistogram,
        b"stateset" => MetricType::StateSet,
        b"info" => MetricType::Info,
        b"summary" => MetricType::Summary,
        b"unknown" => MetricType::Unknown,
        _ => return None,
    })
}

/// Reads a line with a sample.
fn line<'a>(
    cursor: &mut Cursor<'a>,
    exposition: &mut Exposition<'a>,
    last_type: MetricType,
) -> Result<(), ParseError> {
    let series = series(cursor, Format::OpenMetrics, exposition)?;
    let value = value(cursor, "the metric")?;
    let mut timestamp_ms = None;
    if cursor.peek() == Some(b' ') && !cursor.rest().starts_with(EXEMPLAR) {
        timestamp_ms = Some(timestamp(cursor)?);
    }
    let mut exemplar = None;
    if cursor.eat(EXEMPLAR) {
        exemplar = Some(Box::new(read_exemplar(cursor)?));
    }
    if !cursor.eat(b"\n") {
        return Err(cursor.expected("the end of the line"));
    }
    series.push(exposition, last_type, value, timestamp_ms);
    if let Some(sample) = exposition.samples.last_mut() {
        sample.exemplar = exemplar;
    }
    Ok(())
}

const EXEMPLAR: &[u8] = b" # {";

fn read_exemplar<'a>(cursor: &mut Cursor<'a>) -> Result<Exemplar<'a>, ParseError> {
    let mut labels = Vec::new();
    labels::read(cursor, Within::Exemplar, &mut labels)?;
    let value = value(cursor, "the labels of the exemplar")?;
    let timestamp_ms = match cursor.peek() {
        Some(b' ') => Some(timestamp(cursor)?),
        _ => None,
    };
    Ok(Exemplar {
        labels,
        value,
        timestamp_ms,
    })
}

/// Reads a space and a number.
fn value(cursor: &mut Cursor<'_>, after: &str) -> Result<f64, ParseError> {
    let text = token(cursor);
    if text.is_empty() {
        return Err(cursor.expected(&format!("a space and a value after {after}")));
    }
    sample::value(cursor, text)
}

/// Reads a space and seconds since the Unix epoch.
fn timestamp(cursor: &mut Cursor<'_>) -> Result<i64, ParseError> {
    let text = token(cursor);
    number::milliseconds(text).ok_or_else(|| {
        cursor.at -= text.len();
        cursor.expected("a timestamp in seconds or the end of the line")
    })
}

/// Reads a space and the bytes up to the next space or the end of the line. Returns an empty slice, and reads
/// nothing, if there is no space or nothing after it.
fn token<'a>(cursor: &mut Cursor<'a>) -> &'a [u8] {
    let start = cursor.at;
    if !cursor.eat(b" ") {
        return b"";
    }
    let text = cursor.take_while(|byte| !matches!(byte, b' ' | b'\n'));
    if text.is_empty() {
        cursor.at = start;
    }
    text
}
