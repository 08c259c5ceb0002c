//! Times, scalars as vectors and vectors as scalars.

use std::sync::Arc;

use super::absent::labels_of;
use crate::eval::grid::{GridFloat, GridSeries};
use crate::eval::scalar::Scalar;
use crate::eval::select::{Newest, NewestCursor};
use crate::eval::{Evaluated, Evaluator};
use crate::plan::{Call, NodeKind, Reference, Selector};

/// Returns 1 where a vector has no elements.
pub(super) fn absent<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let argument = &call.arguments[0];
    let series = ev.vector(argument)?;
    let count = ev.steps.count();
    ev.samples.add(count as usize)?;
    let mut is_present = vec![false; count as usize];
    for one in &series {
        ev.check_interrupt()?;
        let floats = one.floats.iter().map(|it| it.step);
        for step in floats.chain(one.histograms.iter().map(|it| it.step)) {
            is_present[step as usize] = true;
        }
    }
    let mut absent = GridSeries::new(Arc::new(labels_of(argument)), false);
    let steps = (0..count).filter(|&step| !is_present[step as usize]);
    absent.floats = steps.map(|step| GridFloat { step, value: 1.0 }).collect();
    Ok(if absent.is_empty() {
        vec![]
    } else {
        vec![absent]
    })
}

/// Returns a scalar as a vector of one element without labels.
pub(super) fn vector<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let scalar = ev.scalar(&call.arguments[0])?;
    Ok(vec![ev.series_of_scalar(&scalar)?])
}

/// Returns the float of the only element that has one; NaN if there are none or several.
pub(super) fn scalar<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Scalar> {
    let held_before = ev.samples.held();
    let series = ev.vector(&call.arguments[0])?;
    let count = ev.steps.count() as usize;
    if series.iter().all(|one| one.floats.is_empty()) {
        ev.samples.set_held(held_before)?;
        return Ok(Scalar::Constant(f64::NAN));
    }
    ev.samples.add(count)?;
    let mut values = vec![f64::NAN; count];
    let mut is_found = vec![false; count];
    for one in &series {
        ev.check_interrupt()?;
        for it in &one.floats {
            let step = it.step as usize;
            values[step] = if is_found[step] { f64::NAN } else { it.value };
            is_found[step] = true;
        }
    }
    drop(series);
    ev.samples.set_held(held_before + count)?;
    Ok(Scalar::PerStep(values))
}

/// Returns the time of the evaluation in seconds.
pub(super) fn time(ev: &mut Evaluator<'_>) -> Evaluated<Scalar> {
    let steps = ev.steps;
    ev.per_step(|step| seconds(steps.time(step)))
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// Returns the times of the samples of a selector; of other expressions the time of the evaluation.
pub(super) fn timestamp<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    if let NodeKind::Vector(selector) = &call.arguments[0].kind {
        return of_samples(ev, selector, |_, newest| seconds(newest.timestamp_ms()));
    }
    let mut series = ev.vector(&call.arguments[0])?;
    let steps = ev.steps;
    for one in &mut series {
        ev.check_interrupt()?;
        let histograms = std::mem::take(&mut one.histograms);
        if !histograms.is_empty() {
            let at = |step| GridFloat { step, value: 0.0 };
            one.floats.extend(histograms.iter().map(|it| at(it.step)));
            one.floats.sort_by_key(|it| it.step);
        }
        for it in &mut one.floats {
            it.value = seconds(steps.time(it.step));
        }
        ev.drop_name(one);
    }
    ev.merge_after_drop(series)
}

/// Returns the starts of the counters of a selector. Other expressions have none.
pub(super) fn start_timestamp<'a>(
    ev: &mut Evaluator<'a>,
    call: &'a Call,
) -> Evaluated<Vec<GridSeries>> {
    let mut series = match &call.arguments[0].kind {
        NodeKind::Vector(selector) => of_samples(ev, selector, |cursor, newest| {
            seconds(cursor.start_of(newest))
        })?,
        _ => ev.vector(&call.arguments[0])?,
    };
    let is_selector = matches!(call.arguments[0].kind, NodeKind::Vector(_));
    if !is_selector || !ev.options.start_timestamps {
        series.clear();
    }
    Ok(series)
}

/// Returns a number for each sample that a selector finds.
fn of_samples<'a>(
    ev: &mut Evaluator<'a>,
    selector: &'a Selector,
    number: impl Fn(&NewestCursor<'a>, Newest<'a>) -> f64,
) -> Evaluated<Vec<GridSeries>> {
    let stored = ev.selected(selector.selection)?;
    let (reference, lookback) = looked_at(selector.reference, ev.options.lookback_ms);
    let mut selected = Vec::with_capacity(stored.len());
    for series in stored {
        ev.check_interrupt()?;
        let mut one = GridSeries::new(Arc::clone(&series.labels), false);
        let cursor = NewestCursor::new(series, lookback);
        ev.each_newest(cursor, reference, |step, newest, cursor| {
            let value = number(cursor, newest);
            one.floats.push(GridFloat { step, value });
        })?;
        if !one.is_empty() {
            ev.samples.add(one.size())?;
            ev.samples.count_selected(one.size());
            ev.drop_name(&mut one);
            selected.push(one);
        }
    }
    ev.merge_after_drop(selected)
}

/// Returns the reference and the lookback of a selector in `timestamp`. Prometheus looks at the time of `@` there without
/// the offset, but only at samples that the selector with its offset could find.
fn looked_at(reference: Reference, lookback: i64) -> (Reference, i64) {
    match reference.at {
        None => (reference, lookback),
        Some(at) => {
            let fixed = Reference {
                at: Some(at.min(at.saturating_sub(reference.offset))),
                offset: 0,
            };
            (
                fixed,
                lookback.saturating_sub(reference.offset.saturating_abs()),
            )
        }
    }
}
