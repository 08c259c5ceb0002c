//! The reasons for which a query is rejected or fails.

use crate::engine::Interrupt;
use crate::position::{Position, Span};
use crate::value_type::ValueType;

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

/// The reason for which a query cannot be evaluated at all. Prometheus' HTTP API reports it as `bad_data`.
///
/// ```
/// use promql::{Engine, EngineOptions};
///
/// let engine = Engine::new(EngineOptions::default());
/// let error = engine.range("up[5m]", 0, 60_000, 15_000).unwrap_err();
/// let text = "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector";
/// assert_eq!(error.to_string(), text);
/// let error = engine.instant("rate(up[5m - 5m])", 0).unwrap_err();
/// assert_eq!(error.to_string(), "8:15: duration must be greater than 0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query is not valid.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The value of the query has the wrong type for a range query.
    #[error("invalid expression type {:?} for range query, must be Scalar or instant Vector", .0.documented_name())]
    NotForRanges(ValueType),
    /// A calculated duration has no usable value. The text begins with the bytes of the query.
    #[error("{}:{}: {message}", .span.start, .span.end)]
    Duration {
        /// The place of the duration.
        span: Span,
        /// The reason.
        message: &'static str,
    },
    /// The step of a query or of a subquery is below a millisecond.
    #[error("the step is shorter than 1 ms; use a longer one")]
    StepTooShort,
    /// A query or a subquery has more steps than can be counted.
    #[error(
        "the query or a subquery of it has more than 2147483648 steps; use a longer step or a shorter range"
    )]
    TooManySteps,
    /// A time of the query is too far from now to calculate with it.
    #[error("the time {0} ms is too far from 1970; use one within 70 million years")]
    TimeOutOfRange(i64),
}

/// The reason for which an evaluation fails, with Prometheus' text.
///
/// ```
/// use promql::{Engine, EngineOptions, EvaluationError, Fetched, Progress};
///
/// let engine = Engine::new(EngineOptions { max_samples: 2, ..EngineOptions::default() });
/// let query = engine.range("vector(time())", 0, 120_000, 60_000)?;
/// let Progress::Done(outcome) = query.evaluate(&Fetched::default(), &|| None) else { unreachable!() };
/// assert_eq!(outcome.value.unwrap_err(), EvaluationError::TooManySamples);
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// The query holds too many samples at the same time (`execution` in Prometheus' HTTP API).
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The evaluation was interrupted (`timeout` or `canceled`).
    #[error("{}", match .0 {
        Interrupt::TimedOut => "query timed out in expression evaluation",
        Interrupt::Canceled => "query was canceled in expression evaluation",
    })]
    Interrupted(Interrupt),
    /// The query fails for its samples (`execution`).
    #[error("{0}")]
    Execution(String),
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
