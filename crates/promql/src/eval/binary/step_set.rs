//! Sets of steps, as large as the gaps in series are many.

use std::ops::Range;

use crate::eval::grid::{GridFloat, GridHistogram, GridSeries};

/// A value at a step.
pub(super) trait Point {
    fn step(&self) -> u32;
}

impl Point for GridFloat {
    fn step(&self) -> u32 {
        self.step
    }
}

impl Point for GridHistogram {
    fn step(&self) -> u32 {
        self.step
    }
}

/// A set of steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StepSet {
    /// In order, with gaps between them.
    runs: Vec<Range<u32>>,
}

impl StepSet {
    /// Returns the steps at which any of the series has a value.
    pub(super) fn union<'a>(series: impl IntoIterator<Item = &'a GridSeries>) -> Self {
        Self::of_runs(sorted_runs(series))
    }

    /// Returns the steps of floats and histograms.
    pub(super) fn of_points(floats: &[GridFloat], histograms: &[GridHistogram]) -> Self {
        let mut runs = Vec::new();
        push_runs(floats, &mut runs);
        push_runs(histograms, &mut runs);
        runs.sort_unstable_by_key(|run| run.start);
        Self::of_runs(runs)
    }

    fn of_runs(sorted: Vec<Range<u32>>) -> Self {
        let mut set = Self::default();
        for run in sorted {
            set.push(run);
        }
        set
    }

    /// Returns the steps at which at least two of the series have a value.
    pub(super) fn overlap<'a>(series: impl IntoIterator<Item = &'a GridSeries>) -> Self {
        let mut set = Self::default();
        // The end of the runs so far. The run that reaches it covers everything between it and a later start.
        let mut end = 0;
        for run in sorted_runs(series) {
            if run.start < end {
                set.push(run.start..run.end.min(end));
            }
            end = end.max(run.end);
        }
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns the steps in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flat_map(Clone::clone)
    }

    pub(super) fn runs(&self) -> &[Range<u32>] {
        &self.runs
    }

    /// Returns the steps that are in both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut set = Self::default();
        let (mut own, mut others) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        while let (Some(a), Some(b)) = (own.peek(), others.peek()) {
            set.push(a.start.max(b.start)..a.end.min(b.end));
            match a.end < b.end {
                true => own.next(),
                false => others.next(),
            };
        }
        set
    }

    /// Removes the points at steps that are in the set, or with `inside` those that are not.
    pub(super) fn retain<P: Point>(&self, points: &mut Vec<P>, inside: bool) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return;
        };
        let (first, last) = (first.step(), last.step());
        let next = self.runs.partition_point(|run| run.end <= first);
        let is_covered = match self.runs.get(next) {
            Some(run) if run.start <= first && last < run.end => Some(true),
            Some(run) if run.start > last => Some(false),
            Some(_) => None,
            None => Some(false),
        };
        match is_covered {
            Some(is_covered) if is_covered == inside => {}
            Some(_) => points.clear(),
            None => {
                let mut runs = self.runs[next..].iter().peekable();
                points.retain(|point| {
                    let step = point.step();
                    while runs.next_if(|run| run.end <= step).is_some() {}
                    runs.peek().is_some_and(|run| run.start <= step) == inside
                });
            }
        }
    }

    /// Adds a run that does not begin before the last one; empty runs are ignored.
    fn push(&mut self, run: Range<u32>) {
        if run.start >= run.end {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => self.runs.push(run),
        }
    }
}

/// Returns the runs of steps of all series in the order of their starts.
fn sorted_runs<'a>(series: impl IntoIterator<Item = &'a GridSeries>) -> Vec<Range<u32>> {
    let mut runs = Vec::new();
    for one in series {
        push_runs(&one.floats, &mut runs);
        push_runs(&one.histograms, &mut runs);
    }
    runs.sort_unstable_by_key(|run| run.start);
    runs
}

/// Appends the runs of consecutive steps. Points without a gap take no time, however many there are.
fn push_runs<P: Point>(points: &[P], runs: &mut Vec<Range<u32>>) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return;
    };
    let run = first.step()..last.step() + 1;
    if run.len() == points.len() {
        match runs.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ => runs.push(run),
        }
        return;
    }
    // At most as deep as the number of steps has bits.
    let (before, after) = points.split_at(points.len() / 2);
    push_runs(before, runs);
    push_runs(after, runs);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn series(steps: &BTreeSet<u32>) -> GridSeries {
        let mut series = GridSeries::new(Arc::default(), false);
        series.floats = steps
            .iter()
            .map(|&step| GridFloat { step, value: 0.0 })
            .collect();
        series
    }

    fn any_steps() -> impl Strategy<Value = BTreeSet<u32>> {
        proptest::collection::btree_set(0..24_u32, 0..20)
    }

    proptest! {
        #[test]
        fn sets_are_sets(all in proptest::collection::vec(any_steps(), 0..4), other in any_steps()) {
            let given: Vec<_> = all.iter().map(series).collect();
            let count = |step: &u32| all.iter().filter(|steps| steps.contains(step)).count();
            let steps_in = |least| (0..24).filter(|step| count(step) >= least).collect::<Vec<u32>>();
            let union = StepSet::union(&given);
            prop_assert_eq!(union.iter().collect::<Vec<_>>(), steps_in(1));
            prop_assert_eq!(StepSet::overlap(&given).iter().collect::<Vec<_>>(), steps_in(2));
            prop_assert_eq!(union.is_empty(), steps_in(1).is_empty());

            let others = StepSet::union([&series(&other)]);
            let common = other.iter().copied().filter(|step| count(step) > 0);
            prop_assert_eq!(
                union.intersection(&others).iter().collect::<Vec<_>>(),
                common.collect::<Vec<_>>()
            );
            for inside in [false, true] {
                let mut points = series(&other).floats;
                union.retain(&mut points, inside);
                let expected = other.iter().copied().filter(|step| (count(step) > 0) == inside);
                let steps: Vec<_> = points.iter().map(|point| point.step).collect();
                prop_assert_eq!(steps, expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn points_without_gaps_are_one_run() {
        let given = series(&(5..1000).collect());
        let union = StepSet::union([&given]);
        assert_eq!((union.runs.len(), &union.runs[0]), (1, &(5..1000)));
        assert_eq!(StepSet::overlap([&given]).runs, []);
    }
}
