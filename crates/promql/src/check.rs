//! The types of operands and arguments, and other rules that hold once the whole query is read.

use crate::ast::{
    Aggregate, Binary, BinaryStep, Call, Cardinality, Expr, ExprKind, VectorMatching,
    VectorSelector,
};
use crate::error::{Step, failure};
use crate::functions::Variadic;
use crate::position::Span;
use crate::text::quote;
use crate::value_type::ValueType;

/// Checks an expression and everything below it. Removes the matching of series from operations that have a scalar
/// operand.
pub(crate) fn check(expr: &mut Expr, query: &[u8]) -> Step<()> {
    let span = expr.span;
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => Ok(()),
        ExprKind::Vector(selector) => check_selector(selector, span),
        ExprKind::Matrix(matrix) => check_selector(&matrix.selector, matrix.selector_span),
        ExprKind::Subquery(subquery) => {
            check(&mut subquery.expr, query)?;
            match subquery.expr.value_type {
                ValueType::Vector => Ok(()),
                other => failure(
                    span,
                    format!("subquery is only allowed on instant vector, got {other} instead"),
                ),
            }
        }
        ExprKind::Call(call) => check_call(call, span, query),
        ExprKind::Aggregate(aggregate) => check_aggregate(aggregate, query),
        ExprKind::Binary(chain) => check_chain(chain, query),
        ExprKind::Paren(inner) => check(inner, query),
        ExprKind::Unary(_, inner) => {
            check(inner, query)?;
            match is_operand(inner.value_type) {
                true => Ok(()),
                false => failure(
                    span,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
                        inner.value_type.documented_name()
                    ),
                ),
            }
        }
    }
}

fn is_operand(value_type: ValueType) -> bool {
    matches!(value_type, ValueType::Scalar | ValueType::Vector)
}

fn check_type(
    expr: &mut Expr,
    expected: ValueType,
    context: impl Fn() -> String,
    query: &[u8],
) -> Step<()> {
    check(expr, query)?;
    if expr.value_type == expected {
        return Ok(());
    }
    let (expected, context) = (expected.documented_name(), context());
    let got = expr.value_type.documented_name();
    failure(
        expr.span,
        format!("expected type {expected} in {context}, got {got}"),
    )
}

fn check_selector(selector: &VectorSelector, span: Span) -> Step<()> {
    if !selector.name.is_empty() {
        let (_, others) = selector.matchers.split_last().unwrap_or_else(|| {
            unreachable!("the name before the braces is the last matcher");
        });
        let second = others
            .iter()
            .find(|m| m.name == *prom_model::METRIC_NAME_LABEL);
        return match second {
            None => Ok(()),
            Some(second) => {
                let (first, second) = (quote(selector.name.as_bytes()), second.value.quoted());
                failure(
                    span,
                    format!("metric name must not be set twice: {first} or {second}"),
                )
            }
        };
    }
    let selects_all = selector.matchers.iter().all(|matcher| matcher.matches(""));
    match selects_all && !selector.may_match_all {
        true => failure(
            span,
            "vector selector must contain at least one non-empty matcher",
        ),
        false => Ok(()),
    }
}

fn check_aggregate(aggregate: &mut Aggregate, query: &[u8]) -> Step<()> {
    let context = || "aggregation expression".to_owned();
    check_type(&mut aggregate.expr, ValueType::Vector, context, query)?;
    match (&mut aggregate.parameter, aggregate.op.parameter_type()) {
        (Some(parameter), Some(expected)) => {
            let context = || "aggregation parameter".to_owned();
            check_type(parameter, expected, context, query)
        }
        _ => Ok(()),
    }
}

fn check_call(call: &mut Call, span: Span, query: &[u8]) -> Step<()> {
    let function = call.function;
    let name = quote(function.name.as_bytes());
    let (declared, got) = (function.arguments.len(), call.arguments.len());
    let (least, most) = match function.variadic {
        Variadic::No => (declared, Some(declared)),
        Variadic::UpTo(count) => (declared - 1, Some(declared - 1 + count)),
        Variadic::Unlimited => (declared - 1, None),
    };
    let wrong_count = match most {
        Some(most) if function.variadic == Variadic::No && got != most => Some(("", most)),
        _ if got < least => Some(("at least ", least)),
        Some(most) if got > most => Some(("at most ", most)),
        _ => None,
    };
    if let Some((bound, count)) = wrong_count {
        let message = format!("expected {bound}{count} argument(s) in call to {name}, got {got}");
        return failure(span, message);
    }
    if let ("info", Some(argument)) = (function.name, call.arguments.get_mut(1)) {
        check_info(argument, span)?;
    }
    for (index, argument) in call.arguments.iter_mut().enumerate() {
        let Some(expected) = function.argument(index) else {
            break;
        };
        let context = || format!("call to function {name}");
        check_type(argument, expected, context, query)?;
    }
    Ok(())
}

/// Checks the second argument of `info`, which consists of conditions on labels.
fn check_info(argument: &mut Expr, call_span: Span) -> Step<()> {
    if argument.value_type != ValueType::Vector {
        let got = argument.value_type.documented_name();
        return failure(
            call_span,
            format!("expected type instant vector in call to function \"info\", got {got}"),
        );
    }
    match &mut argument.kind {
        ExprKind::Vector(selector) if !selector.name.is_empty() => failure(
            argument.span,
            "expected label selectors only, got vector selector instead",
        ),
        ExprKind::Vector(selector) => {
            selector.may_match_all = true;
            Ok(())
        }
        _ => failure(argument.span, "expected label selectors only"),
    }
}

fn check_chain(chain: &mut Binary, query: &[u8]) -> Step<()> {
    check(&mut chain.first, query)?;
    let mut left = (chain.first.value_type, chain.first.span);
    for step in &mut chain.steps {
        check(&mut step.right, query)?;
        check_operation(left, step, query)?;
        left = (step.value_type, step.span);
    }
    Ok(())
}

fn check_operation(left: (ValueType, Span), step: &mut BinaryStep, query: &[u8]) -> Step<()> {
    let (left_type, left_span) = left;
    let (right_type, right_span) = (step.right.value_type, step.right.span);
    let op = step.op;
    // The operator with its modifiers.
    let op_span = || {
        let between = &query[left_span.end..right_span.start];
        let spaces = |&&byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        Span {
            start: left_span.end + between.iter().take_while(spaces).count(),
            end: right_span.start,
        }
    };
    if step.return_bool && !op.is_comparison() {
        let message = "bool modifier can only be used on comparison operators";
        return failure(op_span(), message);
    }
    let are_scalars = (left_type, right_type) == (ValueType::Scalar, ValueType::Scalar);
    if op.is_comparison() && !step.return_bool && are_scalars {
        let message = "comparisons between scalars must use BOOL modifier";
        return failure(op_span(), message);
    }
    if let Some(matching) = &mut step.matching {
        if op.is_set_operator() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        if let Some(label) = label_of_both_clauses(matching) {
            let label = quote(label.as_bytes());
            return failure(
                op_span(),
                format!("label {label} must not occur in ON and GROUP clause at once"),
            );
        }
    }
    for (value_type, span) in [left, (right_type, right_span)] {
        if !is_operand(value_type) {
            let message = "binary expression must contain only scalar and instant vector types";
            return failure(span, message);
        }
    }
    let are_vectors = (left_type, right_type) == (ValueType::Vector, ValueType::Vector);
    if let Some(matching) = &step.matching {
        let has_fill = matching.fill_left.is_some() || matching.fill_right.is_some();
        if !are_vectors {
            if !matching.labels.is_empty() {
                let message = "vector matching only allowed between instant vectors";
                return failure(step.span, message);
            }
            if has_fill {
                let message = "filling in missing series only allowed between instant vectors";
                return failure(step.span, message);
            }
            step.matching = None;
        } else if op.is_set_operator() {
            if matching.cardinality != Cardinality::ManyToMany {
                let message = format!("no grouping allowed for \"{}\" operation", op.symbol());
                return failure(step.span, message);
            }
            if has_fill {
                let message = "filling in missing series not allowed for set operators";
                return failure(step.span, message);
            }
        }
    }
    if op.is_set_operator() && !are_vectors {
        let message = format!(
            "set operator \"{}\" not allowed in binary scalar expression",
            op.symbol()
        );
        return failure(step.span, message);
    }
    Ok(())
}

/// Returns the first label of `on` that `group_left` or `group_right` names too.
fn label_of_both_clauses(matching: &VectorMatching) -> Option<&str> {
    if !matching.on || matching.include.is_empty() {
        return None;
    }
    let include: std::collections::HashSet<_> = matching.include.iter().collect();
    let mut labels = matching.labels.iter();
    labels
        .find(|label| include.contains(label))
        .map(String::as_str)
}
