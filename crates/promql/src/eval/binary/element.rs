//! Operators on two values.

use std::sync::Arc;

use prom_model::{FloatHistogram, ResetHint};

use super::float::{for_operator, zero_or_one};
use super::problems::{Kind, Problem};
use crate::ast::BinaryOp;
use crate::value::SampleValue;

/// A value on one side of an operator.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// The result of an operator on two values.
#[derive(Debug)]
pub(super) struct Combined {
    /// The value; `None` if the values do not fit together, or a comparison does not hold.
    pub(super) value: Option<SampleValue>,
    /// True unless the values do not fit together.
    pub(super) is_match: bool,
    pub(super) problem: Option<Problem>,
}

impl Combined {
    fn float(value: f64) -> Self {
        Self::value(SampleValue::Float(value))
    }

    fn histogram(mut histogram: FloatHistogram) -> Self {
        histogram.compact(0);
        Self::value(SampleValue::Histogram(Arc::new(histogram)))
    }

    fn value(value: SampleValue) -> Self {
        Self {
            value: Some(value),
            is_match: true,
            problem: None,
        }
    }

    /// Returns the result of a comparison: the left value if it holds, or with `bool` 0 or 1.
    fn compared(holds: bool, return_bool: bool, left: impl FnOnce() -> SampleValue) -> Self {
        match (return_bool, holds) {
            (true, _) => Self::float(zero_or_one(holds)),
            (false, true) => Self::value(left()),
            (false, false) => Self {
                value: None,
                is_match: true,
                problem: None,
            },
        }
    }

    fn dropped(problem: Problem) -> Self {
        Self {
            value: None,
            is_match: false,
            problem: Some(problem),
        }
    }
}

/// Applies an operator to two values.
pub(super) fn combine(
    op: BinaryOp,
    return_bool: bool,
    left: Element<'_>,
    right: Element<'_>,
) -> Combined {
    use Element::{Float, Histogram};
    match (left, right) {
        (Float(left), Float(right)) => for_operator!(op,
            arithmetic(function) => Combined::float(function(left, right)),
            comparison(holds) => {
                let holds = holds(left, right);
                Combined::compared(holds, return_bool, || SampleValue::Float(left))
            },
            other => incompatible(Kind::Float, Kind::Float)
        ),
        (Float(left), Histogram(right)) => match op {
            BinaryOp::Mul => changed(right, |histogram| scale(histogram, left)),
            _ => incompatible(Kind::Float, Kind::Histogram),
        },
        (Histogram(left), Float(right)) => match change_by_number(op, right) {
            Some(change) => changed(left, change),
            None => incompatible(Kind::Histogram, Kind::Float),
        },
        (Histogram(left), Histogram(right)) => match op {
            BinaryOp::Add | BinaryOp::Sub => sum_or_difference(op, left, right),
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let holds = left.equals(right) == (op == BinaryOp::Equal);
                let left = || SampleValue::Histogram(Arc::clone(left));
                Combined::compared(holds, return_bool, left)
            }
            _ => incompatible(Kind::Histogram, Kind::Histogram),
        },
    }
}

/// Returns the change that an operator with a number on the right makes to a histogram. The trims remove empty buckets
/// by themselves, if they change anything.
pub(super) fn change_by_number(op: BinaryOp, number: f64) -> Option<impl Fn(&mut FloatHistogram)> {
    let change: fn(&mut FloatHistogram, f64) = match op {
        BinaryOp::Mul => scale,
        BinaryOp::Div => |histogram, number| {
            histogram.div(number);
            histogram.compact(0);
        },
        BinaryOp::TrimUpper => FloatHistogram::trim_upper,
        BinaryOp::TrimLower => FloatHistogram::trim_lower,
        _ => return None,
    };
    Some(move |histogram: &mut FloatHistogram| change(histogram, number))
}

/// Multiplies a histogram.
pub(super) fn scale(histogram: &mut FloatHistogram, factor: f64) {
    histogram.mul(factor);
    histogram.compact(0);
}

fn incompatible(left: Kind, right: Kind) -> Combined {
    Combined::dropped(Problem::IncompatibleTypes(left, right))
}

fn changed(histogram: &FloatHistogram, change: impl FnOnce(&mut FloatHistogram)) -> Combined {
    let mut histogram = histogram.clone();
    change(&mut histogram);
    Combined::value(SampleValue::Histogram(Arc::new(histogram)))
}

fn sum_or_difference(op: BinaryOp, left: &FloatHistogram, right: &FloatHistogram) -> Combined {
    let mut result = left.clone();
    let combination = match op {
        BinaryOp::Sub => result.sub(right),
        _ => result.add(right),
    };
    let Ok(combination) = combination else {
        return Combined::dropped(Problem::IncompatibleBuckets);
    };
    if combination.has_conflicting_resets {
        return Combined::dropped(Problem::CounterResets);
    }
    if op == BinaryOp::Sub {
        result.set_reset_hint(ResetHint::Gauge);
    }
    Combined {
        problem: combination
            .has_reconciled_bounds
            .then_some(Problem::ReconciledBuckets),
        ..Combined::histogram(result)
    }
}
