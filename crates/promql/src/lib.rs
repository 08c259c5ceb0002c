//! PromQL as Prometheus 3.15 parses it: expressions with positions and value types.
//!
//! [`parse`] reads a query into a tree of [`Expr`], checks its types as Prometheus does, and reports the same first
//! error with the same text and position. `Display` of an expression writes it as Prometheus' `String()`.
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

#![allow(
    dead_code,
    reason = "functions and operators that use these parts follow"
)]

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
    Engine, EngineOptions, Interrupt, Outcome, Progress, Query, Statistics, StepStatistics,
};
pub use error::{EvaluationError, ParseError, QueryError};
pub use functions::{Function, Variadic};
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
