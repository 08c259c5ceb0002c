//! `absent_over_time`.

use std::sync::Arc;

use super::windows::{Shape, Windows};
use crate::eval::functions::absent::labels_of;
use crate::eval::grid::{GridFloat, GridSeries};
use crate::eval::range_vector::RangeVector;
use crate::eval::{Evaluated, Evaluator};
use crate::plan::Node;

/// Returns 1 at the steps at which no series has samples in its window.
pub(super) fn absent_over_time(
    ev: &mut Evaluator<'_>,
    argument: &Node,
    range: &RangeVector<'_>,
) -> Evaluated<Vec<GridSeries>> {
    let shape = Shape::new(range, ev.steps, ev.options.lookback_ms);
    let count = ev.steps.count();
    ev.samples.add(count as usize)?;
    let mut is_present = vec![false; count as usize];
    let mut absent = count;
    for series in &range.series {
        ev.check_interrupt()?;
        let mut windows = Windows::counted(shape, series, &ev.samples);
        for window in &mut windows {
            let is_present = &mut is_present[window.step as usize];
            absent -= u32::from(!*is_present);
            *is_present = true;
        }
        windows.count_all(&mut ev.samples);
    }
    if absent == 0 {
        return Ok(Vec::new());
    }
    let mut result = GridSeries::new(Arc::new(labels_of(argument)), true);
    let steps = (0..count).zip(is_present).filter(|(_, is)| !is);
    result.floats = steps
        .map(|(step, _)| GridFloat { step, value: 1.0 })
        .collect();
    Ok(vec![result])
}
