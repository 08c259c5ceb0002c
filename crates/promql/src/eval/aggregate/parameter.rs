//! The parameter of an aggregation.

use crate::eval::scalar::Scalar;
use crate::go_float;
use crate::position::Span;

/// A number at each step, and facts about all of them.
pub(super) struct Parameter {
    pub(super) values: Scalar,
    /// Go's minimum; NaN if one is NaN and none -Inf.
    pub(super) least: f64,
    /// Go's maximum; NaN if one is NaN and none Inf.
    pub(super) greatest: f64,
    pub(super) has_nan: bool,
    /// The place that annotations name.
    pub(super) span: Span,
}

impl Parameter {
    pub(super) fn new(values: Scalar, span: Span) -> Self {
        let numbers = values.distinct();
        let least = numbers.iter().copied().fold(f64::MAX, go_float::min);
        let greatest = numbers.iter().copied().fold(f64::MIN, go_float::max);
        Self {
            least,
            greatest,
            has_nan: numbers.iter().any(|it| it.is_nan()),
            values,
            span,
        }
    }
}
