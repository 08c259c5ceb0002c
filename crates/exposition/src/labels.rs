//! The content of braces: labels, and a metric name that needs quotes.

use std::borrow::Cow;
use std::collections::HashSet;

use prom_model::METRIC_NAME_LABEL;

use crate::cursor::{Cursor, LineFeeds};
use crate::{Format, Label, ParseError};

/// The number of labels up to which each is compared with each other one.
const MAX_COMPARED: usize = 16;

/// The position of a pair of braces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Within {
    /// After a metric name, or in place of it.
    Sample(Format),
    /// In an exemplar, which has no metric name.
    Exemplar,
}

/// The content of braces besides the labels.
#[derive(Default)]
pub(crate) struct Braces<'a> {
    pub(crate) metric_name: Option<Cow<'a, str>>,
    /// Names of labels without a value, sorted.
    pub(crate) empty_labels: Vec<Cow<'a, str>>,
}

/// Reads up to the closing brace, after the opening one, and adds the labels to `labels`.
pub(crate) fn read<'a>(
    cursor: &mut Cursor<'a>,
    within: Within,
    labels: &mut Vec<Label<'a>>,
) -> Result<Braces<'a>, ParseError> {
    let is_text = within == Within::Sample(Format::Text);
    // The text format allows blanks between any two tokens.
    let blanks = |cursor: &mut Cursor<'a>| {
        if is_text {
            cursor.skip_blanks();
        }
    };
    let line_feeds = |allowed: bool| match allowed {
        true => LineFeeds::Allowed,
        false => LineFeeds::Rejected,
    };
    let first = labels.len();
    let mut metric_name = None;
    // Names that have no value at least once, and names that have several.
    let (mut empty_labels, mut repeated) = (Vec::new(), Vec::new());
    loop {
        blanks(cursor);
        if cursor.eat(b"}") {
            break;
        }
        let start = cursor.at;
        let is_quoted = cursor.peek() == Some(b'"');
        let name = match is_quoted {
            // An exemplar is not checked: it must not cost the sample.
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
        blanks(cursor);
        let is_name = is_quoted && matches!(cursor.peek(), Some(b',' | b'}'));
        if is_name && within != Within::Exemplar {
            if name.is_empty() {
                return Err(cursor.error_at(start, "empty metric name".to_owned()));
            }
            if metric_name.is_some() {
                return Err(cursor.error_at(start, "more than one metric name".to_owned()));
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
            return Err(duplicate(cursor, start));
        } else if value.is_empty() {
            // An empty value means no label, and in Prometheus also none of the same name with a value.
            empty_labels.push(name);
        } else if name.is_empty() {
            return Err(cursor.error_at(start, "empty label name".to_owned()));
        } else {
            // A few are enough to locate the error; the check below finds all.
            if repeated.len() < MAX_COMPARED && is_repeated(&labels[first..], &name) {
                repeated.push((start, name.clone()));
            }
            labels.push((name, value));
        }
        blanks(cursor);
        // Prometheus does not require commas in the text format.
        if !cursor.eat(b",") && !is_text && cursor.peek() != Some(b'}') {
            return Err(cursor.expected("\",\" or \"}\" after the label value"));
        }
    }
    if within == Within::Exemplar {
        return Ok(Braces::default());
    }
    empty_labels.sort_unstable();
    empty_labels.dedup();
    let is_empty = |name: &Cow<'a, str>| empty_labels.binary_search(name).is_ok();
    let with_value = repeated.iter().find(|(_, name)| !is_empty(name));
    if let Some((start, _)) = with_value {
        return Err(duplicate(cursor, *start));
    }
    if !empty_labels.is_empty() {
        let mut own = labels.split_off(first);
        own.retain(|(name, _)| !is_empty(name));
        labels.append(&mut own);
    }
    if labels.len() - first > MAX_COMPARED || !repeated.is_empty() {
        let mut seen = HashSet::new();
        let repeated = labels[first..].iter().find(|label| !seen.insert(&label.0));
        if repeated.is_some() {
            return Err(duplicate(cursor, cursor.at));
        }
    }
    Ok(Braces {
        metric_name,
        empty_labels,
    })
}

fn duplicate(cursor: &Cursor<'_>, position: usize) -> ParseError {
    cursor.error_at(position, "duplicate label name".to_owned())
}

/// Returns true if one of the first [`MAX_COMPARED`] labels has this name.
fn is_repeated(labels: &[Label<'_>], name: &str) -> bool {
    let first = &labels[..labels.len().min(MAX_COMPARED)];
    first.iter().any(|(known, _)| known == name)
}
