//! What stands in braces: labels, and the metric name if it needs quotes.

use std::borrow::Cow;

use hashbrown::HashSet;

use super::cursor::{Cursor, LineFeeds};
use super::{Format, Label, ParseError};
use crate::model::METRIC_NAME_LABEL;

/// Up to so many labels each is compared with each.
const FEW: usize = 16;

/// Where braces stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// Behind a metric name, or before the value where there is none.
    Sample(Format),
    /// In an exemplar, which has no name.
    Exemplar,
}

/// Reads what follows an opening brace, and the closing one; adds the labels to `labels`. Returns the
/// metric name, if it stands there.
pub(super) fn read<'a>(
    cursor: &mut Cursor<'a>,
    within: Within,
    labels: &mut Vec<Label<'a>>,
) -> Result<Option<Cow<'a, str>>, ParseError> {
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
    loop {
        blanks(cursor);
        if cursor.eat(b"}") {
            break;
        }
        let start = cursor.at;
        let is_quoted = cursor.peek() == Some(b'"');
        let name = match is_quoted {
            true => {
                let allowed = line_feeds(within != Within::Exemplar);
                cursor.take_quoted("label or metric name", allowed)?
            }
            false => cursor.take_name(false),
        };
        if name.is_empty() {
            cursor.at = start;
            return Err(match is_quoted {
                true => cursor.error("a name is empty".to_owned()),
                false => cursor.expected("a label name or \"}\""),
            });
        }
        blanks(cursor);
        let is_name = is_quoted && matches!(cursor.peek(), Some(b',' | b'}'));
        if is_name && within != Within::Exemplar {
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
        // Of an exemplar nothing is checked, as it must not cost the sample.
        if within == Within::Exemplar {
            labels.push((name, value));
        } else if !value.is_empty() {
            if is_repeated(&labels[first..], &name) || name == METRIC_NAME_LABEL {
                let reason = "a label is there twice".to_owned();
                return Err(cursor.error_at(start, reason));
            }
            // One without a value is none.
            labels.push((name, value));
        }
        blanks(cursor);
        // The text format as Prometheus reads it does without commas.
        if !cursor.eat(b",") && !is_text && cursor.peek() != Some(b'}') {
            return Err(cursor.expected("\",\" or \"}\" after the label value"));
        }
    }
    if labels.len() - first > FEW && within != Within::Exemplar {
        let mut seen = HashSet::new();
        let repeated = labels[first..].iter().find(|label| !seen.insert(&label.0));
        if repeated.is_some() {
            return Err(cursor.error("a label is there twice".to_owned()));
        }
    }
    Ok(metric_name)
}

/// Whether a label of this name is among the first of `labels`.
fn is_repeated(labels: &[Label<'_>], name: &str) -> bool {
    let first = &labels[..labels.len().min(FEW)];
    first.iter().any(|(known, _)| known == name)
}
