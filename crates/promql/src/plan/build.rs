//! Expressions to nodes.

use super::duration::{Allowed, milliseconds};
use super::info::common_reference;
use super::{
    Aggregate, Binary, BinaryStep, Call, Extension, Info, Node, NodeKind, QueryRange,
    RangeSelector, Reference, Selector, Subquery, VectorMatching,
};
use crate::ast::{self, At, Expr, ExprKind, Modifiers};
use crate::engine::EngineOptions;
use crate::error::QueryError;
use crate::steps::Steps;

/// Functions whose result depends on the time of the evaluation even if their arguments do not.
const DEPENDS_ON_TIME: [&str; 11] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "time",
    "timestamp",
    "year",
];

/// Returns the tree of an expression, its largest parts that do not depend on the step marked.
pub(super) fn build(
    expr: &Expr,
    query: QueryRange,
    options: &EngineOptions,
) -> Result<Node, QueryError> {
    let builder = Builder { query, options };
    Ok(*builder.node(expr)?.marked())
}

/// A node and its dependence on the step. It is small, because the recursion has several of them on the stack.
struct Built {
    node: Box<Node>,
    is_invariant: bool,
}

impl Built {
    /// Returns the node, marked if it is invariant. Range vectors, subqueries, numbers and strings need no mark.
    fn marked(self) -> Box<Node> {
        let needs_none = matches!(
            self.node.kind,
            NodeKind::Matrix(_) | NodeKind::Subquery(_) | NodeKind::Number(_) | NodeKind::String(_)
        );
        match self.is_invariant && !needs_none {
            true => mark(self.node),
            false => self.node,
        }
    }

    /// Returns the node, marked if it is invariant and what is around it is not.
    fn within(self, is_invariant: bool) -> Box<Node> {
        match is_invariant {
            true => self.node,
            false => self.marked(),
        }
    }
}

fn mark(node: Box<Node>) -> Box<Node> {
    Box::new(Node {
        span: node.span,
        value_type: node.value_type,
        kind: NodeKind::StepInvariant(node),
    })
}

/// Returns the node of an expression. Not inlined, so that the parts of nodes are not on the stack of the recursion.
#[inline(never)]
fn built(expr: &Expr, kind: NodeKind, is_invariant: bool) -> Built {
    let node = Box::new(Node {
        kind,
        span: expr.span,
        value_type: expr.value_type,
    });
    Built { node, is_invariant }
}

struct Builder<'a> {
    query: QueryRange,
    options: &'a EngineOptions,
}

impl Builder<'_> {
    fn node(&self, expr: &Expr) -> Result<Built, QueryError> {
        match &expr.kind {
            ExprKind::Paren(_) => self.node(expr.without_parens()),
            ExprKind::Subquery(subquery) => self.subquery(expr, subquery),
            ExprKind::Call(call) => self.call(expr, call),
            ExprKind::Aggregate(aggregate) => self.aggregate(expr, aggregate),
            ExprKind::Binary(binary) => self.binary(expr, binary),
            ExprKind::Unary(sign, inner) => {
                let inner = self.node(inner)?;
                let kind = NodeKind::Unary(*sign, inner.node);
                Ok(built(expr, kind, inner.is_invariant))
            }
            _ => self.leaf(expr),
        }
    }

    #[inline(never)]
    fn leaf(&self, expr: &Expr) -> Result<Built, QueryError> {
        let (kind, is_invariant) = match &expr.kind {
            ExprKind::Number(number) => (NodeKind::Number(number.value), true),
            ExprKind::String(text) => (NodeKind::String(text.clone()), true),
            ExprKind::Matrix(matrix) => {
                let selector = self.range_selector(matrix)?;
                let is_invariant = selector.reference.at.is_some();
                (NodeKind::Matrix(selector), is_invariant)
            }
            ExprKind::Vector(selector) => {
                let selector = self.selector(selector)?;
                let is_invariant = selector.reference.at.is_some();
                (NodeKind::Vector(selector), is_invariant)
            }
            _ => return self.node(expr),
        };
        Ok(built(expr, kind, is_invariant))
    }

    fn selector(&self, selector: &ast::VectorSelector) -> Result<Selector, QueryError> {
        Ok(Selector {
            selection: 0,
            matchers: selector.matchers.clone(),
            reference: self.reference(&selector.modifiers)?,
            smoothed: selector.smoothed,
            counts_only: false,
        })
    }

    fn range_selector(&self, matrix: &ast::MatrixSelector) -> Result<RangeSelector, QueryError> {
        let selector = &matrix.selector;
        Ok(RangeSelector {
            selection: 0,
            matchers: selector.matchers.clone(),
            range: milliseconds(&matrix.range, Allowed::Positive, self.query)?,
            reference: self.reference(&selector.modifiers)?,
            extension: match (selector.anchored, selector.smoothed) {
                (true, _) => Extension::Anchored,
                (_, true) => Extension::Smoothed,
                _ => Extension::None,
            },
            counts_only: false,
        })
    }

    fn subquery(&self, expr: &Expr, subquery: &ast::Subquery) -> Result<Built, QueryError> {
        // First: of several errors Prometheus reports that of the outermost duration.
        let times = self.subquery_times(subquery)?;
        let inner = self.node(&subquery.expr)?;
        Ok(subquery_of(expr, times, inner))
    }

    #[inline(never)]
    fn subquery_times(&self, subquery: &ast::Subquery) -> Result<SubqueryTimes, QueryError> {
        let reference = self.reference(&subquery.modifiers)?;
        let interval = match &subquery.step {
            Some(step) => milliseconds(step, Allowed::Positive, self.query)?,
            None => self.options.default_subquery_step_ms,
        };
        if interval < 1 {
            return Err(QueryError::StepTooShort);
        }
        Ok(SubqueryTimes {
            reference,
            range: milliseconds(&subquery.range, Allowed::Positive, self.query)?,
            interval,
        })
    }

    fn reference(&self, modifiers: &Modifiers) -> Result<Reference, QueryError> {
        let at = modifiers.at.map(|at| match at {
            At::Time(time) => time,
            At::Start => self.query.steps.start,
            At::End => self.query.steps.end,
        });
        let offset = match &modifiers.offset {
            Some(offset) => milliseconds(offset, Allowed::Any, self.query)?,
            None => 0,
        };
        Ok(Reference { at, offset })
    }

    fn call(&self, expr: &Expr, call: &ast::Call) -> Result<Built, QueryError> {
        if let Some(number) = self.context_value(call.function.name) {
            return Ok(built(expr, NodeKind::Number(number), true));
        }
        if call.function.name == "info" {
            let input = self.node(&call.arguments[0])?;
            return Ok(info(expr, call, input));
        }
        let mut arguments = Vec::with_capacity(call.arguments.len());
        // A loop, because the closures of iterators would take much of the stack.
        for argument in &call.arguments {
            arguments.push(self.node(argument)?);
        }
        Ok(call_of(expr, call, arguments))
    }

    /// Returns the value of a function that only depends on the query.
    fn context_value(&self, function: &str) -> Option<f64> {
        let Steps {
            start,
            end,
            interval,
            ..
        } = self.query.steps;
        match function {
            "start" => Some(start as f64 / 1000.0),
            "end" => Some(end as f64 / 1000.0),
            "range" => Some(super::duration::seconds_of(end - start)),
            "step" if self.query.steps.is_instant() => Some(0.0),
            "step" => Some(super::duration::seconds_of(interval)),
            _ => None,
        }
    }

    fn aggregate(&self, expr: &Expr, aggregate: &ast::Aggregate) -> Result<Built, QueryError> {
        let inner = self.node(&aggregate.expr)?;
        let parameter = match &aggregate.parameter {
            Some(parameter) => Some(self.node(parameter)?),
            None => None,
        };
        Ok(aggregate_of(expr, aggregate, inner, parameter))
    }

    /// Returns the chain. If its first operators do not depend on the step, they are marked as one part.
    fn binary(&self, expr: &Expr, binary: &ast::Binary) -> Result<Built, QueryError> {
        let mut first = self.node(&binary.first)?;
        let mut steps: Vec<BinaryStep> = Vec::with_capacity(binary.steps.len());
        for step in &binary.steps {
            let right = self.node(&step.right)?;
            first = with_step(first, &mut steps, step, right);
        }
        let mut built = close(first, &mut steps);
        built.node.span = expr.span;
        Ok(built)
    }
}

/// The times of a subquery; see its node.
struct SubqueryTimes {
    reference: Reference,
    range: i64,
    interval: i64,
}

#[inline(never)]
fn subquery_of(expr: &Expr, times: SubqueryTimes, inner: Built) -> Built {
    let subquery = Subquery {
        // Also if the subquery itself is not.
        expr: *inner.marked(),
        reference: times.reference,
        range: times.range,
        interval: times.interval,
    };
    let is_invariant = subquery.reference.at.is_some();
    built(expr, NodeKind::Subquery(Box::new(subquery)), is_invariant)
}

#[inline(never)]
fn call_of(expr: &Expr, call: &ast::Call, arguments: Vec<Built>) -> Built {
    let all_invariant = arguments.iter().all(|argument| argument.is_invariant);
    let is_invariant = match call.function.name {
        // The times of samples do not depend on the step, but the time of an evaluation does.
        "timestamp" => all_invariant && matches!(arguments[0].node.kind, NodeKind::Vector(_)),
        name => all_invariant && !DEPENDS_ON_TIME.contains(&name),
    };
    let arguments = arguments.into_iter();
    let call = Call {
        function: call.function,
        arguments: arguments.map(|it| *it.within(is_invariant)).collect(),
    };
    built(expr, NodeKind::Call(call), is_invariant)
}

#[inline(never)]
fn info(expr: &Expr, call: &ast::Call, input: Built) -> Built {
    let matchers = match call.arguments.get(1).map(|it| &it.without_parens().kind) {
        Some(ExprKind::Vector(selector)) => Some(selector.matchers.clone()),
        _ => None,
    };
    let reference = common_reference(&input.node);
    let is_invariant = input.is_invariant && reference.is_some();
    let info = Info {
        input: *input.within(is_invariant),
        matchers,
        reference: reference.unwrap_or_default(),
    };
    built(expr, NodeKind::Info(Box::new(info)), is_invariant)
}

#[inline(never)]
fn aggregate_of(
    expr: &Expr,
    aggregate: &ast::Aggregate,
    inner: Built,
    parameter: Option<Built>,
) -> Built {
    // Prometheus does not look at the parameter.
    let is_invariant = inner.is_invariant;
    let mut grouping = aggregate.grouping.clone();
    grouping.sort();
    let aggregate = Aggregate {
        op: aggregate.op,
        expr: *inner.node,
        parameter: parameter.map(|it| *it.node),
        grouping,
        without: aggregate.without,
    };
    let kind = NodeKind::Aggregate(Box::new(aggregate));
    built(expr, kind, is_invariant)
}

/// Adds an operator and its right operand to a chain, and returns the first operand, which becomes the chain so far if
/// that does not depend on the step and the rest does.
#[inline(never)]
fn with_step(
    mut first: Built,
    steps: &mut Vec<BinaryStep>,
    step: &ast::BinaryStep,
    right: Built,
) -> Built {
    let stays_invariant = first.is_invariant && right.is_invariant;
    if first.is_invariant && !stays_invariant {
        first = Built {
            node: close(first, steps).marked(),
            is_invariant: false,
        };
    }
    steps.push(BinaryStep {
        op: step.op,
        return_bool: step.return_bool,
        matching: step
            .matching
            .as_deref()
            .map(|it| Box::new(VectorMatching::of(it))),
        right: *right.within(stays_invariant),
        span: step.span,
        value_type: step.value_type,
    });
    first
}

/// Returns the chain of the operators so far, if there are any.
#[inline(never)]
fn close(first: Built, steps: &mut Vec<BinaryStep>) -> Built {
    let steps = std::mem::take(steps);
    let Some(last) = steps.last() else {
        return first;
    };
    Built {
        is_invariant: first.is_invariant,
        node: Box::new(Node {
            span: last.span,
            value_type: last.value_type,
            kind: NodeKind::Binary(Box::new(Binary {
                first: *first.node,
                steps,
            })),
        }),
    }
}
