//! A position in a body, and the tokens that both formats share.

use std::borrow::Cow;
use std::ops::Range;

use crate::ParseError;
use crate::escape::{self, Escapes};

/// A position in a body.
pub(crate) struct Cursor<'a> {
    body: &'a [u8],
    /// Position of the next byte.
    pub(crate) at: usize,
}

/// The rule for line feeds within double quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineFeeds {
    Allowed,
    Rejected,
}

/// A string in double quotes.
struct Quoted {
    /// Position of the string without its quotes.
    range: Range<usize>,
    has_escapes: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// Returns the next byte, or `None` at the end.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    /// Returns true at the end of the body. Zero bytes and line feeds may follow: programs in C send the terminator
    /// of their string.
    pub(crate) fn is_over(&self) -> bool {
        match self.peek() {
            None => true,
            Some(0) => self.rest().iter().all(|byte| matches!(byte, 0 | b'\n')),
            Some(_) => false,
        }
    }

    /// Returns the bytes from here to the end.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.body[self.at..]
    }

    /// Skips `token` and returns true if it comes next.
    pub(crate) fn eat(&mut self, token: &[u8]) -> bool {
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    /// Takes bytes as long as `belongs` returns true.
    pub(crate) fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let count = rest.iter().position(|byte| !belongs(*byte));
        let taken = &rest[..count.unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Skips spaces and tabs.
    pub(crate) fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// Takes the rest of the line, but not its line feed.
    pub(crate) fn take_line(&mut self) -> &'a [u8] {
        self.take_while(|byte| byte != b'\n')
    }

    /// Takes a name without quotes. It is empty if none comes next.
    pub(crate) fn take_name(&mut self, colons: bool) -> Cow<'a, str> {
        let begins =
            |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
        if !self.peek().is_some_and(begins) {
            return Cow::Borrowed("");
        }
        let name = self.take_while(|byte| begins(byte) || byte.is_ascii_digit());
        Cow::Borrowed(str::from_utf8(name).expect("only ASCII was taken"))
    }

    /// Takes a string in double quotes.
    pub(crate) fn take_quoted(
        &mut self,
        what: &str,
        line_feeds: LineFeeds,
    ) -> Result<Cow<'a, str>, ParseError> {
        let quoted = self.take_quotes(what, line_feeds)?;
        let text = self.utf8(quoted.range, what)?;
        Ok(match quoted.has_escapes {
            true => escape::resolve(text, Escapes::WithQuotes),
            false => Cow::Borrowed(text),
        })
    }

    /// Takes a string in double quotes, with replacement characters for bytes that are not UTF-8.
    pub(crate) fn take_quoted_lossy(
        &mut self,
        what: &str,
        line_feeds: LineFeeds,
    ) -> Result<Cow<'a, str>, ParseError> {
        let quoted = self.take_quotes(what, line_feeds)?;
        let text = String::from_utf8_lossy(&self.body[quoted.range]);
        Ok(match (text, quoted.has_escapes) {
            (text, false) => text,
            (Cow::Borrowed(text), true) => escape::resolve(text, Escapes::WithQuotes),
            (Cow::Owned(text), true) => {
                Cow::Owned(escape::resolve(&text, Escapes::WithQuotes).into_owned())
            }
        })
    }

    /// Takes the name of a family. Returns `None` if no series can have the name: Prometheus accepts such a line, so
    /// it must not reject the body.
    pub(crate) fn take_family_name(
        &mut self,
        keyword: &str,
    ) -> Result<Option<Cow<'a, str>>, ParseError> {
        if self.peek() != Some(b'"') {
            let name = self.take_name(true);
            return match name.is_empty() {
                true => Err(self.expected(&format!("a metric name after {keyword}"))),
                false => Ok(Some(name)),
            };
        }
        let quoted = self.take_quotes("metric name", LineFeeds::Allowed)?;
        let name = str::from_utf8(&self.body[quoted.range]).ok();
        let name = name.filter(|name| !name.is_empty());
        Ok(name.map(|name| match quoted.has_escapes {
            true => escape::resolve(name, Escapes::WithQuotes),
            false => Cow::Borrowed(name),
        }))
    }

    /// Finds the end of a string in double quotes.
    fn take_quotes(&mut self, what: &str, line_feeds: LineFeeds) -> Result<Quoted, ParseError> {
        let start = self.at;
        if !self.eat(b"\"") {
            return Err(self.expected(&format!("a {what} in double quotes")));
        }
        let mut has_escapes = false;
        loop {
            self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\n'));
            match self.peek() {
                Some(b'"') => break,
                Some(b'\n') if line_feeds == LineFeeds::Allowed => self.at += 1,
                // A backslash cannot escape a line feed.
                Some(b'\\') if !matches!(self.body.get(self.at + 1), None | Some(b'\n')) => {
                    has_escapes = true;
                    self.at += 2;
                }
                _ => {
                    self.at = start;
                    return Err(self.error(format!("the {what} has no closing double quote")));
                }
            }
        }
        self.at += 1;
        Ok(Quoted {
            range: start + 1..self.at - 1,
            has_escapes,
        })
    }

    /// Returns a range of the body as a string.
    pub(crate) fn utf8(&self, range: Range<usize>, what: &str) -> Result<&'a str, ParseError> {
        str::from_utf8(&self.body[range.clone()]).map_err(|error| {
            let reason = format!("the {what} is not valid UTF-8");
            self.error_at(range.start + error.valid_up_to(), reason)
        })
    }

    /// Returns an error at the next byte that names the expected token. It does not quote the body: the API and the
    /// log publish errors, and the body may be a page other than the metrics of a target.
    pub(crate) fn expected(&self, what: &str) -> ParseError {
        let found = match self.peek() {
            None => ", found the end of the body",
            Some(b'\n') => ", found the end of the line",
            Some(_) => "",
        };
        self.error(format!("expected {what}{found}"))
    }

    /// Returns an error at the next byte.
    pub(crate) fn error(&self, reason: String) -> ParseError {
        self.error_at(self.at, reason)
    }

    /// Returns an error at a position of the body.
    pub(crate) fn error_at(&self, position: usize, reason: String) -> ParseError {
        let before = &self.body[..position];
        let line_feeds = before.iter().filter(|byte| **byte == b'\n').count();
        let line_start = before.iter().rposition(|byte| *byte == b'\n');
        ParseError {
            line: line_feeds + 1,
            offset: position - line_start.map_or(0, |line_feed| line_feed + 1),
            reason,
        }
    }
}

/// Returns true for a space and a tab.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
