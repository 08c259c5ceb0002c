//! Expressions to nodes.

use super::duration::{Allowed, milliseconds};
use super::info::common_reference;
use super::{
    Aggregate, Binary, BinaryStep, Call, Extension, Info, Node, NodeKind, QueryRange,
    RangeSelector, Reference, Selector, Subquery,
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
    Ok(builder.node(expr)?.marked())
}

/// A node and its dependence on the step.
struct Built {
    node: Node,
    is_invariant: bool,
}

impl Built {
    /// Returns the node, marked if it is invariant. Range vectors, subqueries, numbers and strings need no mark.
    fn marked(self) -> Node {
        let needs_none = matches!(
            self.node.kind,
            NodeKind::Matrix(_) | NodeKind::Subquery(_) | NodeKind::Number(_) | NodeKind::String(_)
        );
        match self.is_invariant && !needs_none {
            true => mark(self.node),
            false => self.node,
        }
    }
}

fn mark(node: Node) -> Node {
    Node {
        span: node.span,
        value_type: node.value_type,
        kind: NodeKind::StepInvariant(Box::new(node)),
    }
}

struct Builder<'a> {
    query: QueryRange,
    options: &'a EngineOptions,
}

impl Builder<'_> {
    fn node(&self, expr: &Expr) -> Result<Built, QueryError> {
        let (kind, is_invariant) = match &expr.kind {
            ExprKind::Paren(_) => return self.node(expr.without_parens()),
            ExprKind::Number(number) => (NodeKind::Number(number.value), true),
            ExprKind::String(text) => (NodeKind::String(text.clone()), true),
            ExprKind::Vector(selector) => {
                let selector = self.selector(selector)?;
                let is_invariant = selector.reference.at.is_some();
                (NodeKind::Vector(selector), is_invariant)
            }
            ExprKind::Matrix(matrix) => {
                let selector = self.range_selector(matrix)?;
                let is_invariant = selector.reference.at.is_some();
                (NodeKind::Matrix(selector), is_invariant)
            }
            ExprKind::Subquery(subquery) => {
                let subquery = self.subquery(subquery)?;
                let is_invariant = subquery.reference.at.is_some();
                (NodeKind::Subquery(Box::new(subquery)), is_invariant)
            }
            ExprKind::Call(call) => self.call(call)?,
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate)?,
            ExprKind::Binary(binary) => return self.binary(expr, binary),
            ExprKind::Unary(sign, inner) => {
                let inner = self.node(inner)?;
                let is_invariant = inner.is_invariant;
                (NodeKind::Unary(*sign, Box::new(inner.node)), is_invariant)
            }
        };
        let node = Node {
            kind,
            span: expr.span,
            value_type: expr.value_type,
        };
        Ok(Built { node, is_invariant })
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
            reference: self.reference(&selector.modifiers)?,
            range: milliseconds(&matrix.range, Allowed::Positive, self.query)?,
            extension: match (selector.anchored, selector.smoothed) {
                (true, _) => Extension::Anchored,
                (_, true) => Extension::Smoothed,
                _ => Extension::None,
            },
            counts_only: false,
        })
    }

    fn subquery(&self, subquery: &ast::Subquery) -> Result<Subquery, QueryError> {
        let interval = match &subquery.step {
            Some(step) => milliseconds(step, Allowed::Positive, self.query)?,
            None => self.options.default_subquery_step_ms,
        };
        if interval < 1 {
            return Err(QueryError::StepTooShort);
        }
        let inner = self.node(&subquery.expr)?;
        Ok(Subquery {
            // Also if the subquery itself is not.
            expr: inner.marked(),
            reference: self.reference(&subquery.modifiers)?,
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

    fn call(&self, call: &ast::Call) -> Result<(NodeKind, bool), QueryError> {
        if let Some(number) = self.context_value(call.function.name) {
            return Ok((NodeKind::Number(number), true));
        }
        if call.function.name == "info" {
            return self.info(call);
        }
        let arguments = call.arguments.iter().map(|argument| self.node(argument));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        let all_invariant = arguments.iter().all(|argument| argument.is_invariant);
        let is_invariant = match call.function.name {
            // The times of samples do not depend on the step, but the time of an evaluation does.
            "timestamp" => all_invariant && matches!(arguments[0].node.kind, NodeKind::Vector(_)),
            name => all_invariant && !DEPENDS_ON_TIME.contains(&name),
        };
        let finish = |argument: Built| match is_invariant {
            true => argument.node,
            false => argument.marked(),
        };
        let call = Call {
            function: call.function,
            arguments: arguments.into_iter().map(finish).collect(),
        };
        Ok((NodeKind::Call(call), is_invariant))
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

    fn info(&self, call: &ast::Call) -> Result<(NodeKind, bool), QueryError> {
        let input = self.node(&call.arguments[0])?;
        let matchers = match call.arguments.get(1).map(|it| &it.without_parens().kind) {
            Some(ExprKind::Vector(selector)) => Some(selector.matchers.clone()),
            _ => None,
        };
        let reference = common_reference(&input.node);
        let is_invariant = input.is_invariant && reference.is_some();
        let info = Info {
            input: match is_invariant {
                true => input.node,
                false => input.marked(),
            },
            matchers,
            reference: reference.unwrap_or_default(),
        };
        Ok((NodeKind::Info(Box::new(info)), is_invariant))
    }

    fn aggregate(&self, aggregate: &ast::Aggregate) -> Result<(NodeKind, bool), QueryError> {
        let expr = self.node(&aggregate.expr)?;
        let parameter = aggregate.parameter.as_ref();
        let parameter = parameter.map(|it| self.node(it)).transpose()?;
        // Prometheus does not look at the parameter.
        let is_invariant = expr.is_invariant;
        let mut grouping = aggregate.grouping.clone();
        grouping.sort();
        let aggregate = Aggregate {
            op: aggregate.op,
            expr: expr.node,
            parameter: parameter.map(|it| it.node),
            grouping,
            without: aggregate.without,
        };
        Ok((NodeKind::Aggregate(Box::new(aggregate)), is_invariant))
    }

    /// Returns the chain. If its first operators do not depend on the step, they are marked as one part.
    fn binary(&self, expr: &Expr, binary: &ast::Binary) -> Result<Built, QueryError> {
        let mut first = self.node(&binary.first)?;
        let mut steps: Vec<BinaryStep> = Vec::with_capacity(binary.steps.len());
        for step in &binary.steps {
            let right = self.node(&step.right)?;
            let stays_invariant = first.is_invariant && right.is_invariant;
            if first.is_invariant && !stays_invariant {
                first = Built {
                    node: close(first, &mut steps).marked(),
                    is_invariant: false,
                };
            }
            let right = match stays_invariant {
                true => right.node,
                false => right.marked(),
            };
            steps.push(BinaryStep {
                op: step.op,
                return_bool: step.return_bool,
                matching: step.matching.clone(),
                right,
                span: step.span,
                value_type: step.value_type,
            });
        }
        let mut built = close(first, &mut steps);
        built.node.span = expr.span;
        Ok(built)
    }
}

/// Returns the chain of the operators so far, if there are any.
fn close(first: Built, steps: &mut Vec<BinaryStep>) -> Built {
    let steps = std::mem::take(steps);
    let Some(last) = steps.last() else {
        return first;
    };
    Built {
        is_invariant: first.is_invariant,
        node: Node {
            span: last.span,
            value_type: last.value_type,
            kind: NodeKind::Binary(Box::new(Binary {
                first: first.node,
                steps,
            })),
        },
    }
}
