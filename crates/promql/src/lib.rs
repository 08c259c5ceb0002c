//! PromQL as Prometheus 3.15 parses and evaluates it, with native histograms and annotations.
//!
//! An [`Engine`] plans a [`Query`], which states the [`Selection`]s of samples that it needs, and evaluates it over what
//! the caller fetched for them. The crate has no I/O, no clock and no async runtime.
//!
//! ```
//! use promql::{Engine, EngineOptions, Fetched, Progress, Value};
//!
//! let engine = Engine::new(EngineOptions::default());
//! let query = engine.range("sum by (job) (rate(http_requests_total[5m])) > 10", 0, 3_600_000, 60_000)?;
//! let mut fetched = Fetched::default();
//! for selection in query.selections() {
//!     assert_eq!(selection.time_range_ms(), (-300_000, 3_600_000));
//!     // A caller adds the series that it finds.
//!     fetched.add(selection.clone(), vec![]);
//! }
//! let Progress::Done(outcome) = query.evaluate(&fetched, &|| None) else { unreachable!() };
//! assert!(matches!(outcome.value, Ok(Value::Matrix(series)) if series.is_empty()));
//! # Ok::<(), promql::QueryError>(())
//! ```
//!
//! [`parse`] reads a query into a tree of [`Expr`], checks its types as Prometheus does, and reports the same first
//! error with the same text and position. `Display` of an expression writes it as Prometheus' `String()`, [`ast_json`]
//! as its HTTP API.
//!
//! ```
//! use promql::{ParserOptions, ValueType, parse};
//!
//! let options = ParserOptions::default();
//! let expr = parse("rate(http_requests_total{job=\"api\"}[5m])", &options)?;
//! assert_eq!(expr.value_type, ValueType::Vector);
//!
//! let error = parse("sum(1)", &options).unwrap_err();
//! let text = "1:5: parse error: expected type instant vector in aggregation expression, got scalar";
//! assert_eq!(error.to_string(), text);
//! # Ok::<(), promql::ParseError>(())
//! ```

mod annotations;
mod ast;
mod ast_json;
mod check;
mod engine;
mod error;
mod eval;
mod functions;
mod go_float;
mod go_math;
mod go_sort;
mod lexer;
mod memory;
mod number;
mod parser;
mod plan;
mod position;
mod pretty;
mod printer;
#[cfg(test)]
mod round_trip;
mod steps;
mod storage;
mod text;
mod time;
mod value;
mod value_type;
mod xxhash;

pub use annotations::Annotations;
pub use ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, BinaryStep, Call, Cardinality, DurationExpr,
    DurationKind, DurationOp, DurationSpec, Expr, ExprKind, Fill, MatchOp, Matcher, MatrixSelector,
    Modifiers, Number, Sign, Subquery, VectorMatching, VectorSelector, selectors,
};
pub use ast_json::{ast_json, write_ast_json};
pub use engine::{
    Engine, EngineOptions, Held, Interrupt, Outcome, Progress, Query, Statistics, StepStatistics,
};
pub use error::{EvaluationError, ParseError, QueryError};
pub use functions::{Function, Variadic};
pub use go_float::parse as parse_float;
pub use memory::{AppendError, MemoryStorage};
pub use number::{parse_duration, parse_duration_ms};
pub use parser::{MAX_DEPTH, ParserOptions, parse, parse_selector, parse_selectors};
pub use position::{Position, Span};
pub use storage::{
    Fetched, Grouping, Selection, StartTimestamps, Storage, StoredSeries, WindowSamples,
};
pub use text::Text;
pub use value::{HistogramSample, SampleValue, Series, Value, VectorSample};
pub use value_type::ValueType;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
