//! Aggregations of floats that need the same small memory for each step, whatever the number of series.

use super::groups::{Group, Grouping};
use super::slots::{Kinds, Slots};
use crate::eval::grid::{GridFloat, GridSeries};
use crate::eval::kahan::Kahan;
use crate::eval::{Evaluated, Evaluator};
use crate::plan::Aggregate;

/// The state of an aggregation at one step.
pub(super) trait Fold: Copy {
    const EMPTY: Self;

    /// Adds the value of the next series.
    fn add(&mut self, value: f64);

    /// Returns the result of at least one value.
    fn result(self) -> f64;
}

/// The states of a group.
pub(super) struct Folded<F> {
    states: Vec<F>,
    /// True at the slots with at least one value.
    is_used: Vec<bool>,
}

impl<F: Fold> Folded<F> {
    /// Returns the states after the floats of all series.
    pub(super) fn of(ev: &Evaluator<'_>, group: &Group, slots: &Slots) -> Evaluated<Self> {
        let mut folded = Self {
            states: vec![F::EMPTY; slots.len()],
            is_used: vec![false; slots.len()],
        };
        for one in &group.members {
            ev.check_interrupt()?;
            folded.add(slots, &one.floats);
        }
        Ok(folded)
    }

    fn add(&mut self, slots: &Slots, floats: &[GridFloat]) {
        let Some(first) = slots.run(floats) else {
            return slots.visit(floats, |slot, float| {
                self.states[slot].add(float.value);
                self.is_used[slot] = true;
            });
        };
        let places = first..first + floats.len();
        self.is_used[places.clone()].fill(true);
        for (state, float) in self.states[places].iter_mut().zip(floats) {
            state.add(float.value);
        }
    }

    /// Returns the result of a slot, if it has a value.
    pub(super) fn result(&self, slot: usize) -> Option<f64> {
        self.is_used[slot].then(|| self.states[slot].result())
    }

    /// Returns the results of all slots with values.
    pub(super) fn results(&self, slots: &Slots) -> Vec<GridFloat> {
        let count = self.is_used.iter().filter(|it| **it).count();
        let mut results = Vec::with_capacity(count);
        for slot in 0..slots.len() {
            if let Some(value) = self.result(slot) {
                let step = slots.step(slot);
                results.push(GridFloat { step, value });
            }
        }
        results
    }
}

/// Returns the results of an only series, in the memory of its floats.
pub(super) fn results_of_one<F: Fold>(mut floats: Vec<GridFloat>) -> Vec<GridFloat> {
    for float in &mut floats {
        let mut state = F::EMPTY;
        state.add(float.value);
        float.value = state.result();
    }
    floats
}

/// Aggregates the floats of a group and ignores its histograms.
pub(super) fn floats_only<F: Fold>(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    mut group: Group,
) -> Evaluated<GridSeries> {
    ev.report_ignored_histograms(aggregate.op, &group, aggregate.expr.span);
    let results = match &mut group.members[..] {
        // The order of the values is that of the results, so the last step is the same.
        [one] => results_of_one::<F>(std::mem::take(&mut one.floats)),
        _ => {
            let slots = Slots::of(&group.members, Kinds::Floats);
            Folded::<F>::of(ev, &group, &slots)?.results(&slots)
        }
    };
    Ok(with_floats(&group, aggregate, true, results))
}

/// Returns the result of a group that consists of floats.
pub(super) fn with_floats(
    group: &Group,
    aggregate: &Aggregate,
    floats_only: bool,
    floats: Vec<GridFloat>,
) -> GridSeries {
    let last = floats.last().map_or(0, |it| it.step);
    let mut result = group.result(Grouping::of(aggregate), floats_only, last);
    result.floats = floats;
    result
}

/// Aggregates by the presence of values, floats or histograms.
pub(super) fn presence<F: Fold>(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    mut group: Group,
) -> Evaluated<GridSeries> {
    let results = match &mut group.members[..] {
        [one] if one.histograms.is_empty() => results_of_one::<F>(std::mem::take(&mut one.floats)),
        _ => {
            let slots = Slots::of(&group.members, Kinds::All);
            let mut folded = Folded::<F>::of(ev, &group, &slots)?;
            for one in &group.members {
                slots.visit(&one.histograms, |slot, _| {
                    folded.states[slot].add(1.0);
                    folded.is_used[slot] = true;
                });
            }
            folded.results(&slots)
        }
    };
    Ok(with_floats(&group, aggregate, false, results))
}

/// `sum`: with the compensation of Kahan and Neumaier.
#[derive(Clone, Copy)]
pub(super) struct Sum(Kahan);

impl Fold for Sum {
    /// Negative zero is the one number that changes no other by being added.
    const EMPTY: Self = Self(Kahan {
        sum: -0.0,
        compensation: 0.0,
    });

    fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    fn result(self) -> f64 {
        self.0.total()
    }
}

/// `avg`: the sum divided by the number of values, or, once the sum is too large for a float, a mean that grows with
/// each value.
#[derive(Clone, Copy)]
pub(super) struct Mean {
    /// The sum or the mean.
    value: Kahan,
    count: f64,
    is_incremental: bool,
}

impl Fold for Mean {
    const EMPTY: Self = Self {
        value: Sum::EMPTY.0,
        count: 0.0,
        is_incremental: false,
    };

    fn add(&mut self, value: f64) {
        let before = self.count;
        self.count += 1.0;
        if !self.is_incremental {
            let mut next = self.value;
            next.add(value);
            // A first value that is infinite is a sum as good as any.
            if before == 0.0 || !next.sum.is_infinite() {
                self.value = next;
                return;
            }
            self.is_incremental = true;
            self.value.sum /= before;
            self.value.compensation /= before;
        }
        let weight = before / self.count;
        self.value.sum *= weight;
        self.value.compensation *= weight;
        self.value.add(value / self.count);
    }

    fn result(self) -> f64 {
        match self.is_incremental {
            true => self.value.total(),
            false => self.value.sum / self.count + self.value.compensation / self.count,
        }
    }
}

/// `min`: NaN only if all values are.
#[derive(Clone, Copy)]
pub(super) struct Least(f64);

impl Fold for Least {
    const EMPTY: Self = Self(f64::NAN);

    fn add(&mut self, value: f64) {
        if self.0 > value || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn result(self) -> f64 {
        self.0
    }
}

/// `max`: NaN only if all values are.
#[derive(Clone, Copy)]
pub(super) struct Greatest(f64);

impl Fold for Greatest {
    const EMPTY: Self = Self(f64::NAN);

    fn add(&mut self, value: f64) {
        if self.0 < value || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn result(self) -> f64 {
        self.0
    }
}

/// `stdvar`: with Welford's algorithm.
#[derive(Clone, Copy)]
pub(super) struct Variance {
    count: f64,
    mean: f64,
    /// The sum of the squares of the distances from the mean.
    squares: f64,
}

impl Fold for Variance {
    const EMPTY: Self = Self {
        count: 0.0,
        mean: 0.0,
        squares: 0.0,
    };

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    fn result(self) -> f64 {
        self.squares / self.count
    }
}

/// `stddev`
#[derive(Clone, Copy)]
pub(super) struct Deviation(Variance);

impl Fold for Deviation {
    const EMPTY: Self = Self(Variance::EMPTY);

    fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    fn result(self) -> f64 {
        self.0.result().sqrt()
    }
}

/// `count`, or `group` if nothing is counted.
#[derive(Clone, Copy)]
pub(super) struct Presence<const COUNTS: bool>(u32);

impl<const COUNTS: bool> Fold for Presence<COUNTS> {
    const EMPTY: Self = Self(0);

    fn add(&mut self, _value: f64) {
        self.0 += 1;
    }

    fn result(self) -> f64 {
        match COUNTS {
            true => self.0.into(),
            false => 1.0,
        }
    }
}
