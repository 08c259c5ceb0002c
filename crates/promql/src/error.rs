//! The reason for which a query is rejected.

use crate::position::{Position, Span};

/// The first error of a query, with Prometheus' text: `LINE:COLUMN: parse error: TEXT`.
///
/// ```
/// use promql::{ParserOptions, parse};
///
/// let error = parse("sum(up", &ParserOptions::default()).unwrap_err();
/// assert_eq!(error.to_string(), "1:7: parse error: unclosed left parenthesis");
/// assert_eq!(error.message(), "unclosed left parenthesis");
/// assert_eq!(error.span().start, 6);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: parse error: {message}", .position.map_or("unknown position".to_owned(), |position| position.to_string()))]
pub struct ParseError {
    span: Span,
    /// Absent if the query is empty.
    position: Option<Position>,
    message: String,
}

impl ParseError {
    pub(crate) fn new(query: &[u8], failure: Failure) -> Self {
        Self {
            span: failure.span,
            position: (!query.is_empty()).then(|| Position::of(query, failure.span.start)),
            message: failure.message,
        }
    }

    /// Returns the text without the position.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the bytes of the query that the error is about.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns line and column; `None` if the query is empty.
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}

/// An error whose line and column are not yet known. Boxed, because results of the parser are on its stack.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) span: Span,
    pub(crate) message: String,
}

/// The result of a step of parsing.
pub(crate) type Step<T> = Result<T, Box<Failure>>;

/// Returns an error about `span`.
pub(crate) fn failure<T>(span: Span, message: impl Into<String>) -> Step<T> {
    Err(Box::new(Failure {
        span,
        message: message.into(),
    }))
}
