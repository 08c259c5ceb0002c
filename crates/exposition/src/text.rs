//! Prometheus' text format: tokens with any number of blanks between them, comments, no end marker.

use prom_model::MetricType;

use crate::cursor::{Cursor, is_blank};
use crate::escape::{self, Escapes};
use crate::sample::{self, series};
use crate::{Exposition, Format, ParseError};

pub(crate) fn parse(body: &[u8]) -> Result<Exposition<'_>, ParseError> {
    let mut exposition = Exposition::default();
    let mut last_type = MetricType::Unknown;
    let mut cursor = Cursor::new(body);
    loop {
        cursor.skip_blanks();
        if cursor.is_over() {
            return Ok(exposition);
        }
        match cursor.peek() {
            Some(b'\n') => cursor.at += 1,
            Some(b'#') => {
                cursor.at += 1;
                comment(&mut cursor, &mut exposition, &mut last_type)?;
            }
            Some(byte)
                if byte == b'{' || byte == b'_' || byte == b':' || byte.is_ascii_alphabetic() =>
            {
                line(&mut cursor, &mut exposition, last_type)?;
            }
            _ => return Err(cursor.expected("a metric name, \"{\" or \"#\"")),
        }
    }
}

/// Reads the rest of a line after `#`.
fn comment<'a>(
    cursor: &mut Cursor<'a>,
    exposition: &mut Exposition<'a>,
    last_type: &mut MetricType,
) -> Result<(), ParseError> {
    let keyword = keyword(cursor.rest());
    let Some((keyword, length)) = keyword else {
        cursor.take_line();
        return Ok(());
    };
    cursor.at += length;
    let name = cursor.take_family_name(keyword)?;
    // The character after the name separates, whatever it is.
    let is_after_blank = cursor.peek().is_some_and(is_blank);
    if !matches!(cursor.peek(), None | Some(b'\n')) {
        cursor.at += 1;
    }
    let start = cursor.at;
    let text = cursor.take_line();
    let only_blanks = is_after_blank && text.iter().copied().all(is_blank);
    if keyword == "TYPE" {
        let metric_type = metric_type(text).ok_or_else(|| {
            cursor.at = start;
            cursor.expected("counter, gauge, histogram, summary or untyped")
        })?;
        *last_type = metric_type;
        if let Some(name) = name {
            exposition.family(name).metric_type = metric_type;
        }
    } else {
        let text = cursor.utf8(start..cursor.at, "help text")?;
        let text = if only_blanks { "" } else { text };
        if let Some(name) = name {
            exposition.family(name).help = escape::resolve(text, Escapes::Plain);
        }
    }
    Ok(())
}

/// Returns the keyword after `#`, and the number of bytes before the token after it.
fn keyword(comment: &[u8]) -> Option<(&'static str, usize)> {
    let blanks = |text: &[u8]| text.iter().take_while(|byte| is_blank(**byte)).count();
    let before = blanks(comment);
    let rest = &comment[before..];
    let keyword = ["HELP", "TYPE"]
        .into_iter()
        .find(|keyword| rest.starts_with(keyword.as_bytes()))?;
    let after = blanks(&rest[keyword.len()..]);
    (before > 0 && after > 0).then_some((keyword, before + keyword.len() + after))
}

fn metric_type(word: &[u8]) -> Option<MetricType> {
    Some(match word {
        b"counter" => MetricType::Counter,
        b"gauge" => MetricType::Gauge,
        b"histogram" => MetricType::Histogram,
        b"summary" => MetricType::Summary,
        b"untyped" => MetricType::Unknown,
        _ => return None,
    })
}

/// Reads a line with a sample.
fn line<'a>(
    cursor: &mut Cursor<'a>,
    exposition: &mut Exposition<'a>,
    last_type: MetricType,
) -> Result<(), ParseError> {
    let series = series(cursor, Format::Text, exposition)?;
    cursor.skip_blanks();
    let text = cursor.take_while(|byte| !matches!(byte, b'{' | b' ' | b'\t' | b'\n'));
    if text.is_empty() {
        return Err(cursor.expected("a value after the metric"));
    }
    let value = sample::value(cursor, text)?;
    cursor.skip_blanks();
    let mut timestamp_ms = None;
    if !matches!(cursor.peek(), None | Some(b'\n')) {
        timestamp_ms = Some(timestamp(cursor)?);
        cursor.skip_blanks();
        if !matches!(cursor.peek(), None | Some(b'\n')) {
            return Err(cursor.expected("the end of the line after the timestamp"));
        }
    }
    series.push(exposition, last_type, value, timestamp_ms);
    Ok(())
}

/// Reads whole milliseconds since the Unix epoch.
fn timestamp(cursor: &mut Cursor<'_>) -> Result<i64, ParseError> {
    let start = cursor.at;
    cursor.eat(b"-");
    cursor.take_while(|byte| byte.is_ascii_digit());
    let digits = cursor.utf8(start..cursor.at, "timestamp")?;
    digits.parse().map_err(|_| {
        cursor.at = start;
        cursor.expected("a timestamp in milliseconds or the end of the line")
    })
}
