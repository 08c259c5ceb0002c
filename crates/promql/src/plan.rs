//! The tree that is evaluated: durations are milliseconds, parentheses are gone, the context of the query is filled in,
//! and parts that do not depend on the step are marked.

mod build;
mod duration;
mod info;
mod names;
mod selections;

pub(crate) use duration::seconds_of;

use crate::ast::{self, AggregateOp, BinaryOp, Cardinality, Expr, Fill, Matcher, Sign};
use crate::engine::EngineOptions;
use crate::error::QueryError;
use crate::functions::Function;
use crate::position::Span;
use crate::steps::Steps;
use crate::storage::Selection;
use crate::text::Text;
use crate::value_type::ValueType;

pub(crate) use names::Names;

/// A query that is ready for evaluation.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: Node,
    pub(crate) steps: Steps,
    /// True for an instant query, false for a range query, even one of a single step.
    pub(crate) is_instant: bool,
    /// The selections by the numbers of the selectors.
    pub(crate) selections: Vec<Selection>,
}

/// An expression.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    /// The place that annotations name.
    pub(crate) span: Span,
    pub(crate) value_type: ValueType,
}

#[derive(Debug)]
pub(crate) enum NodeKind {
    Number(f64),
    String(Text),
    Vector(Selector),
    Matrix(RangeSelector),
    Subquery(Box<Subquery>),
    Call(Call),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Unary(Sign, Box<Node>),
    /// An expression that is evaluated at the first step only.
    StepInvariant(Box<Node>),
    Info(Box<Info>),
}

/// A selector of an instant vector.
#[derive(Debug)]
pub(crate) struct Selector {
    /// The number of its selection.
    pub(crate) selection: usize,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) reference: Reference,
    pub(crate) smoothed: bool,
    /// True if no function around needs the buckets of histograms.
    pub(crate) counts_only: bool,
}

/// A selector of a range vector.
#[derive(Debug)]
pub(crate) struct RangeSelector {
    /// The number of its selection.
    pub(crate) selection: usize,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) reference: Reference,
    /// The length in milliseconds; 0 if it was shorter than a millisecond.
    pub(crate) range: i64,
    pub(crate) extension: Extension,
    /// True if no function around needs the buckets of histograms.
    pub(crate) counts_only: bool,
}

/// The samples that a range selector uses beside those of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    None,
    /// The last one before the range.
    Anchored,
    /// The ones around both ends, between which values are interpolated.
    Smoothed,
}

impl Extension {
    /// Returns the lengths in milliseconds before and after the range in which samples matter too.
    pub(crate) fn reach(self, lookback: i64) -> (i64, i64) {
        match self {
            Self::None => (0, 0),
            Self::Anchored => (lookback, 0),
            Self::Smoothed => (lookback, lookback),
        }
    }
}

/// The time that a selector or subquery looks at, relative to a step or fixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The time of `@` in milliseconds.
    pub(crate) at: Option<i64>,
    /// Milliseconds.
    pub(crate) offset: i64,
}

impl Reference {
    /// Returns the time that is looked at when the evaluation is at `time`.
    pub(crate) fn resolve(self, time: i64) -> i64 {
        self.at.unwrap_or(time).saturating_sub(self.offset)
    }
}

/// An expression over a range.
#[derive(Debug)]
pub(crate) struct Subquery {
    pub(crate) expr: Node,
    pub(crate) reference: Reference,
    /// Milliseconds.
    pub(crate) range: i64,
    /// Milliseconds, at least 1.
    pub(crate) interval: i64,
}

impl Subquery {
    /// Returns the steps of the inner expression: the multiples of the interval from the first window to the last,
    /// those in gaps between the windows included, as in Prometheus.
    pub(crate) fn steps(&self, outer: Steps) -> Result<Steps, QueryError> {
        let first = self.reference.resolve(outer.start);
        let last = self.reference.resolve(outer.last());
        let before = first.saturating_sub(self.range);
        // Division towards zero, as in Go.
        let mut start = before / self.interval * self.interval;
        if start <= before {
            start += self.interval;
        }
        // No steps, as the outer expression has none.
        let last = if outer.count() == 0 { start - 1 } else { last };
        Steps::range(start, last, self.interval)
    }
}

/// A call of a function.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: &'static Function,
    pub(crate) arguments: Vec<Node>,
}

/// A call of `info`.
#[derive(Debug)]
pub(crate) struct Info {
    pub(crate) input: Node,
    /// The conditions of the second argument, if there is one.
    pub(crate) matchers: Option<Vec<Matcher>>,
    /// The time at which info series are looked at: that of all selectors of the input, if they agree.
    pub(crate) reference: Reference,
}

/// An aggregation.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) op: AggregateOp,
    pub(crate) expr: Node,
    pub(crate) parameter: Option<Node>,
    /// Sorted.
    pub(crate) grouping: Vec<String>,
    pub(crate) without: bool,
}

/// A chain of operators.
#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) first: Node,
    /// At least one.
    pub(crate) steps: Vec<BinaryStep>,
}

/// An operator and its right operand.
#[derive(Debug)]
pub(crate) struct BinaryStep {
    pub(crate) op: BinaryOp,
    pub(crate) return_bool: bool,
    /// Present if both operands are vectors.
    pub(crate) matching: Option<Box<VectorMatching>>,
    pub(crate) right: Node,
    /// The place of the operation.
    pub(crate) span: Span,
    /// The type of the result.
    pub(crate) value_type: ValueType,
}

/// The time range of a query in milliseconds, which expressions can refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryRange {
    pub(crate) steps: Steps,
    pub(crate) is_instant: bool,
}

/// The matching of the series of two vectors.
#[derive(Clone, Debug)]
pub(crate) struct VectorMatching {
    pub(crate) cardinality: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub(crate) labels: Names,
    /// True if the labels are those of `on`.
    pub(crate) on: bool,
    /// The labels that are copied from the side with one series.
    pub(crate) include: Names,
    pub(crate) fill_left: Option<Fill>,
    pub(crate) fill_right: Option<Fill>,
}

impl VectorMatching {
    pub(crate) fn of(matching: &ast::VectorMatching) -> Self {
        Self {
            cardinality: matching.cardinality,
            labels: matching.labels.iter().cloned().collect(),
            on: matching.on,
            include: matching.include.iter().cloned().collect(),
            fill_left: matching.fill_left,
            fill_right: matching.fill_right,
        }
    }

    /// Returns true if series match by a label: it is listed in `on`, or not in `ignoring` and not the name.
    pub(crate) fn matches_by(&self, label: &str) -> bool {
        match self.on {
            true => self.labels.contains(label),
            false => label != prom_model::METRIC_NAME_LABEL && !self.labels.contains(label),
        }
    }
}

/// Returns the plan of an expression.
pub(crate) fn plan(
    expr: &Expr,
    range: QueryRange,
    options: &EngineOptions,
) -> Result<Plan, QueryError> {
    let mut root = build::build(expr, range, options)?;
    let selections = selections::number(&mut root, range.steps, options)?;
    Ok(Plan {
        root,
        steps: range.steps,
        is_instant: range.is_instant,
        selections,
    })
}
