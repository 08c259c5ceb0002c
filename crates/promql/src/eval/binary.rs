//! Binary operators.

use super::grid::GridSeries;
use super::scalar::Scalar;
use super::{Evaluated, Evaluator, fail};
use crate::plan::Binary;

/// Evaluates a chain of operators whose value is an instant vector.
pub(super) fn vector<'a>(ev: &mut Evaluator<'a>, binary: &'a Binary) -> Evaluated<Vec<GridSeries>> {
    let _ = (ev, binary);
    fail("operators are not evaluated yet")
}

/// Evaluates a chain of operators whose value is a scalar.
pub(super) fn scalar<'a>(ev: &mut Evaluator<'a>, binary: &'a Binary) -> Evaluated<Scalar> {
    let _ = (ev, binary);
    fail("operators are not evaluated yet")
}
