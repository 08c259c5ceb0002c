//! Functions of range vectors.

use crate::eval::grid::GridSeries;
use crate::eval::range_vector::RangeVector;
use crate::eval::{Evaluated, Evaluator, fail};
use crate::plan::Selector;
use crate::position::Span;
use crate::value::Series;

/// Evaluates a selector with `smoothed`.
pub(crate) fn smoothed<'a>(
    ev: &mut Evaluator<'a>,
    selector: &'a Selector,
    span: Span,
) -> Evaluated<Vec<GridSeries>> {
    let _ = (ev, selector, span);
    fail("smoothed is not evaluated yet")
}

/// Returns the window of a range vector with `anchored` or `smoothed`.
pub(crate) fn extended_window<'a>(
    ev: &mut Evaluator<'a>,
    range: RangeVector<'a>,
) -> Evaluated<Vec<Series>> {
    let _ = (ev, range);
    fail("anchored and smoothed are not evaluated yet")
}
