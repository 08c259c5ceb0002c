//! What stands in braces: labels, and the metric name if it needs quotes.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::cursor::{Cursor, LineFeeds};
use crate::{Format, Label, ParseError};
use prom_model::METRIC_NAME_LABEL;

/// Up to so many labels each is compared with each.
const FEW: usize = 16;

/// Where braces stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Within {
    /// Behind a metric name, or before the value where there is none.
    Sample(Format),
    /// In an exemplar, which has no name.
    Exemplar,
}

/// The content of braces besides the labels.
#[derive(Default)]
pub(crate) struct Braces<'a> {
    pub(crate) metric_name: Option<Cow<'a, str>>,
    /// Names of labels without a value, sorted.
    pub(crate) blank: Vec<Cow<'a, str>>,
}

/// Reads what follows an opening brace, and the closing one; adds the labels to `labels`.
pub(crate) fn read<'a>(
    cursor: &mut Cursor<'a>,
    within: Within,
    labels: &mut Vec<Label<'a>>,
) -> Result<Braces<'a>, ParseError> {
    let is_text = within == Within::Sample(Format::Text);
    // In the text format blanks may stand between any two tokens.
    let blanks = |cursor: &mut Cursor<'a>| {
        if is_text {
            cursor.skip_blanks();
        }
    };
    let line_feeds = |allowed: bool| match allowed {
        true => LineFeeds::Allowed,
        false => LineFeeds::Refused,
    };
    let first = labels.len();
    let mut metric_name = None;
    // Names that have no value once, or several.
    let (mut without, mut repeated) = (HashSet::new(), Vec::new());
    loop {
        blanks(cursor);
        if cursor.eat(b"}") {
            break;
        }
        let start = cursor.at;
        let is_quoted = cursor.peek() == Some(b'"');
        let name = match is_quoted {
            // Of an exemplar nothing is checked, as it must not cost the sample.
            true if within == Within::Exemplar => {
                cursor.take_quoted_lossy("label name", line_feeds(false))?
            }
            true => cursor.take_quoted("label or metric name", line_feeds(true))?,
            false => cursor.take_name(false),
        };
        if name.is_empty() && !is_quoted {
            cursor.at = start;
            return Err(cursor.expected("a label name or \"}\""));
        }
        let empty = |cursor: &Cursor<'_>| cursor.error_at(start, "a name is empty".to_owned());
        blanks(cursor);
        let is_name = is_quoted && matches!(cursor.peek(), Some(b',' | b'}'));
        if is_name && within != Within::Exemplar {
            if name.is_empty() {
                return Err(empty(cursor));
            }
            if metric_name.is_some() {
                return Err(cursor.error_at(start, "there are two metric names".to_owned()));
            }
            metric_name = Some(name);
            cursor.eat(b",");
            continue;
        }
        if !cursor.eat(b"=") {
            return Err(cursor.expected("\"=\" after the label name"));
        }
        blanks(cursor);
        let value = cursor.take_quoted("label value", line_feeds(is_text))?;
        if within == Within::Exemplar {
            labels.push((name, value));
        } else if name == METRIC_NAME_LABEL {
            return Err(repeats(cursor, start));
        } else if value.is_empty() {
            // One without a value is none, and in Prometheus others of the same name are none either.
            without.insert(name);
        } else if name.is_empty() {
            return Err(empty(cursor));
        } else {
            // The first ones are enough to say where: all are looked for below.
            if repeated.len() < FEW && is_repeated(&labels[first..], &name) {
                repeated.push((start, name.clone()));
            }
            labels.push((name, value));
        }
        blanks(cursor);
        // The text format as Prometheus reads it does without commas.
        if !cursor.eat(b",") && !is_text && cursor.peek() != Some(b'}') {
            return Err(cursor.expected("\",\" or \"}\" after the label value"));
        }
    }
    if within == Within::Exemplar {
        return Ok(Braces::default());
    }
    let with_value = repeated.iter().find(|(_, name)| !without.contains(name));
    if let Some((start, _)) = with_value {
        return Err(repeats(cursor, *start));
    }
    if !without.is_empty() {
        let mut own = labels.split_off(first);
        own.retain(|(name, _)| !without.contains(name));
        labels.append(&mut own);
    }
    if labels.len() - first > FEW || !repeated.is_empty() {
        let mut seen = HashSet::new();
        let repeated = labels[first..].iter().find(|label| !seen.insert(&label.0));
        if repeated.is_some() {
            return Err(repeats(cursor, cursor.at));
        }
    }
    let mut blank: Vec<_> = without.into_iter().collect();
    blank.sort_unstable();
    Ok(Braces { metric_name, blank })
}

fn repeats(cursor: &Cursor<'_>, position: usize) -> ParseError {
    cursor.error_at(position, "a label is there twice".to_owned())
}

/// Whether a label of this name is among the first of `labels`.
fn is_repeated(labels: &[Label<'_>], name: &str) -> bool {
    let first = &labels[..labels.len().min(FEW)];
    first.iter().any(|(known, _)| known == name)
}
