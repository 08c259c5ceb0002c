//! The function `info`.

use super::grid::GridSeries;
use super::{Evaluated, Evaluator, fail};
use crate::plan::Info;

/// Evaluates a call of `info`.
pub(super) fn info<'a>(ev: &mut Evaluator<'a>, info: &'a Info) -> Evaluated<Vec<GridSeries>> {
    let _ = (ev, info);
    fail("info() is not evaluated yet")
}
