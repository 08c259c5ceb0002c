//! Durations that are calculated.

use super::QueryRange;
use crate::ast::{DurationExpr, DurationKind, DurationOp, DurationSpec, Sign};
use crate::error::QueryError;
use crate::position::Span;

const NANOSECONDS_PER_MILLISECOND: i64 = 1_000_000;
/// 2^63 nanoseconds.
const MAX_SECONDS: f64 = 9_223_372_036.854_775;

/// The values that a duration may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    Positive,
    Any,
}

/// Returns a duration in milliseconds.
pub(super) fn milliseconds(
    duration: &DurationSpec,
    allowed: Allowed,
    query: QueryRange,
) -> Result<i64, QueryError> {
    let expr = match duration {
        DurationSpec::Fixed(nanoseconds) => return Ok(nanoseconds / NANOSECONDS_PER_MILLISECOND),
        DurationSpec::Computed(expr) => expr,
    };
    let seconds = seconds(expr, query)?;
    let invalid = |message| invalid(expr.span, message);
    if !seconds.is_finite() {
        invalid("duration is NaN or infinite")
    } else if seconds <= 0.0 && allowed == Allowed::Positive {
        invalid("duration must be greater than 0")
    } else if seconds.abs() > MAX_SECONDS {
        invalid("duration is out of range")
    } else {
        Ok((seconds * 1000.0) as i64)
    }
}

fn invalid<T>(span: Span, message: &'static str) -> Result<T, QueryError> {
    Err(QueryError::Duration { span, message })
}

/// Converts milliseconds as Go's `time.Duration` does, which adds the whole seconds and the rest.
pub(crate) fn seconds_of(milliseconds: i64) -> f64 {
    (milliseconds / 1000) as f64 + (milliseconds % 1000) as f64 * 1e6 / 1e9
}

fn seconds(expr: &DurationExpr, query: QueryRange) -> Result<f64, QueryError> {
    Ok(match &expr.kind {
        DurationKind::Number(number) => number.value,
        DurationKind::Step if query.is_instant => 0.0,
        DurationKind::Step => seconds_of(query.steps.interval),
        DurationKind::Range => seconds_of(query.steps.end - query.steps.start),
        DurationKind::Unary(Sign::Plus, inner) => seconds(inner, query)?,
        DurationKind::Unary(Sign::Minus, inner) => -seconds(inner, query)?,
        DurationKind::Binary(op, left, right) => {
            let (left, right) = (seconds(left, query)?, seconds(right, query)?);
            match op {
                DurationOp::Add => left + right,
                DurationOp::Sub => left - right,
                DurationOp::Mul => left * right,
                DurationOp::Div if right == 0.0 => return invalid(expr.span, "division by zero"),
                DurationOp::Div => left / right,
                DurationOp::Mod if right == 0.0 => return invalid(expr.span, "modulo by zero"),
                DurationOp::Mod => left % right,
                DurationOp::Pow => crate::go_float::pow(left, right),
                DurationOp::MinOf => crate::go_float::min(left, right),
                DurationOp::MaxOf => crate::go_float::max(left, right),
            }
        }
    })
}
