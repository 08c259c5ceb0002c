//! `sum` and `avg`, which aggregate histograms too.

use std::sync::Arc;

use prom_model::{CompensatedHistogram, FloatHistogram, MixedSchemas, ResetHint};

use super::fold::{self, Fold, Folded, Mean, Sum};
use super::groups::{Group, Grouping};
use super::slots::{Kinds, Slots};
use crate::annotations::{Annotation, HistogramOperation};
use crate::eval::grid::{GridFloat, GridHistogram, GridSeries};
use crate::eval::{Evaluated, Evaluator, metric_name};
use crate::plan::Aggregate;

/// An aggregation of floats that also exists for histograms.
pub(super) trait WithHistograms: Fold {
    /// True for the mean, false for the sum.
    const IS_MEAN: bool;
}

impl WithHistograms for Sum {
    const IS_MEAN: bool = false;
}

impl WithHistograms for Mean {
    const IS_MEAN: bool = true;
}

/// Aggregates the floats or the histograms of a group. A step with both has no result.
pub(super) fn with_histograms<F: WithHistograms>(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    mut group: Group,
) -> Evaluated<GridSeries> {
    if group.members.iter().any(|it| !it.histograms.is_empty()) {
        return mixed::<F>(ev, aggregate, &group);
    }
    let results = match &mut group.members[..] {
        [one] => fold::results_of_one::<F>(std::mem::take(&mut one.floats)),
        _ => {
            let slots = Slots::of(&group.members, Kinds::Floats);
            Folded::<F>::of(ev, &group, &slots)?.results(&slots)
        }
    };
    Ok(fold::with_floats(&group, aggregate, false, results))
}

/// The facts about all histograms that users hear of.
#[derive(Default)]
struct Notes {
    has_mixed_kinds: bool,
    has_conflicting_resets: bool,
    has_reconciled_bounds: bool,
}

#[inline(never)]
fn mixed<F: WithHistograms>(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    group: &Group,
) -> Evaluated<GridSeries> {
    let slots = Slots::of(&group.members, Kinds::All);
    let floats = Folded::<F>::of(ev, group, &slots)?;
    let mut states: Vec<State> = vec![State::default(); slots.len()];
    let (mut notes, place) = (Notes::default(), aggregate.expr.span);
    for one in &group.members {
        ev.check_interrupt()?;
        slots.visit(&one.floats, |slot, _| states[slot].add_float());
        let mut is_incompatible = false;
        slots.visit(&one.histograms, |slot, it| {
            let added = states[slot].add_histogram(F::IS_MEAN, &it.histogram);
            is_incompatible |= added.is_err();
            notes.has_reconciled_bounds |= added.unwrap_or(false);
        });
        if is_incompatible {
            let name = metric_name(&one.labels);
            ev.annotate(Annotation::mixed_exponential_custom_histograms(name, place));
        }
    }
    let mut result = GridSeries::new(Arc::default(), false);
    for (slot, state) in states.into_iter().enumerate() {
        let step = slots.step(slot);
        match state.result(F::IS_MEAN, &mut notes) {
            StateResult::Float => result
                .floats
                .extend(floats.result(slot).map(|value| GridFloat { step, value })),
            StateResult::Histogram(histogram) => result.histograms.push(GridHistogram {
                step,
                histogram: Arc::new(histogram),
            }),
            StateResult::None => {}
        }
    }
    if notes.has_mixed_kinds {
        ev.annotate(Annotation::mixed_floats_histograms_in_aggregation(place));
    }
    let operation = HistogramOperation::Aggregation;
    if notes.has_conflicting_resets {
        ev.annotate(Annotation::counter_reset_collision(operation, place));
    }
    if notes.has_reconciled_bounds {
        ev.annotate(Annotation::mismatched_custom_buckets(operation, place));
    }
    let last_float = result.floats.last().map_or(0, |it| it.step);
    let last_histogram = result.histograms.last().map_or(0, |it| it.step);
    let last = last_float.max(last_histogram);
    Ok(GridSeries {
        floats: result.floats,
        histograms: result.histograms,
        ..group.result(Grouping::of(aggregate), false, last)
    })
}

/// The values of a group at one step.
#[derive(Clone, Default)]
struct State {
    has_float: bool,
    has_histogram: bool,
    /// Histograms with exponential and with custom buckets met, so the values after them do not matter.
    is_incompatible: bool,
    has_reset: bool,
    has_no_reset: bool,
    /// The sum or mean of the histograms, if the first value was one.
    combined: Option<Box<Combined>>,
}

#[derive(Clone)]
struct Combined {
    /// The sum or the mean.
    value: CompensatedHistogram,
    count: f64,
    is_incremental: bool,
}

enum StateResult {
    None,
    Float,
    Histogram(FloatHistogram),
}

impl State {
    fn add_float(&mut self) {
        self.has_float |= !self.is_incompatible;
    }

    /// Adds a histogram. Returns true if boundaries of custom buckets were reconciled.
    fn add_histogram(
        &mut self,
        is_mean: bool,
        histogram: &FloatHistogram,
    ) -> Result<bool, MixedSchemas> {
        if self.is_incompatible {
            return Ok(false);
        }
        let is_first = !self.has_float && !self.has_histogram;
        self.has_histogram = true;
        if is_first {
            self.note_hint(histogram.reset_hint());
            self.combined = Some(Box::new(Combined {
                value: CompensatedHistogram::new(histogram.clone()),
                count: 1.0,
                is_incremental: false,
            }));
            return Ok(false);
        }
        let Some(combined) = &mut self.combined else {
            return Ok(false);
        };
        let added = match is_mean {
            true => combined.add_to_mean(histogram),
            false => combined.add(histogram),
        };
        self.is_incompatible = added.is_err();
        self.note_hint(histogram.reset_hint());
        added
    }

    fn note_hint(&mut self, hint: ResetHint) {
        self.has_reset |= hint == ResetHint::Reset;
        self.has_no_reset |= hint == ResetHint::NotReset;
    }

    fn result(self, is_mean: bool, notes: &mut Notes) -> StateResult {
        if self.has_float && self.has_histogram {
            notes.has_mixed_kinds = true;
            return StateResult::None;
        }
        if self.is_incompatible {
            return StateResult::None;
        }
        notes.has_conflicting_resets |= self.has_reset && self.has_no_reset;
        let Some(combined) = self.combined else {
            return StateResult::Float;
        };
        let mut value = combined.value;
        if is_mean && !combined.is_incremental {
            value.div(combined.count);
        }
        let mut histogram = value.into_histogram();
        histogram.compact(0);
        StateResult::Histogram(histogram)
    }
}

impl Combined {
    fn add(&mut self, histogram: &FloatHistogram) -> Result<bool, MixedSchemas> {
        let combination = self.value.add(histogram)?;
        Ok(combination.has_reconciled_bounds)
    }

    fn add_to_mean(&mut self, histogram: &FloatHistogram) -> Result<bool, MixedSchemas> {
        let before = self.count;
        self.count += 1.0;
        let mut is_reconciled = false;
        if !self.is_incremental {
            let mut sum = self.value.clone();
            is_reconciled = sum.add(histogram)?.has_reconciled_bounds;
            if !sum.has_overflow() {
                self.value = sum;
                return Ok(is_reconciled);
            }
            self.is_incremental = true;
            self.value.div(before);
        }
        self.value.mul(before / self.count);
        let mut part = histogram.clone();
        part.div(self.count);
        let combination = self.value.add(&part)?;
        Ok(is_reconciled | combination.has_reconciled_bounds)
    }
}
