//! Aggregations.

use super::grid::GridSeries;
use super::{Evaluated, Evaluator, fail};
use crate::plan::Aggregate;
use crate::position::Span;

/// Evaluates an aggregation.
pub(super) fn aggregate<'a>(
    ev: &mut Evaluator<'a>,
    aggregate: &'a Aggregate,
    span: Span,
) -> Evaluated<Vec<GridSeries>> {
    let _ = (ev, span);
    fail(format!("{} is not evaluated yet", aggregate.op.name()))
}
