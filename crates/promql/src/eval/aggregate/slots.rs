//! The steps at which a group has values, numbered without large gaps.

use crate::eval::grid::{GridFloat, GridHistogram, GridSeries};

/// A value at a step.
pub(super) trait Stepped {
    fn step(&self) -> u32;
}

impl Stepped for GridFloat {
    fn step(&self) -> u32 {
        self.step
    }
}

impl Stepped for GridHistogram {
    fn step(&self) -> u32 {
        self.step
    }
}

/// The numbers of steps, in their order. There are at most a few more than twice as many as values, so that lists with
/// an element for each number do not outgrow the values themselves, however far apart these are.
#[derive(Debug)]
pub(super) enum Slots {
    /// All steps from `first` on.
    Dense { first: u32, count: usize },
    /// The steps with values.
    Sparse(Vec<u32>),
}

/// The values that the series of a group have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    Floats,
    All,
}

impl Slots {
    /// Returns the slots of the values of a group.
    pub(super) fn of(members: &[GridSeries], kinds: Kinds) -> Self {
        let (mut first, mut last, mut values) = (u32::MAX, 0, 0);
        let mut extend = |steps: Option<(u32, u32)>, count: usize| {
            if let Some((start, end)) = steps {
                first = first.min(start);
                last = last.max(end);
                values += count;
            }
        };
        for one in members {
            extend(ends(&one.floats), one.floats.len());
            if kinds == Kinds::All {
                extend(ends(&one.histograms), one.histograms.len());
            }
        }
        if values == 0 {
            return Self::Sparse(Vec::new());
        }
        let count = (last - first) as usize + 1;
        match count <= 2 * values + 64 {
            true => Self::Dense { first, count },
            false => Self::Sparse(distinct_steps(members, kinds)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Dense { count, .. } => *count,
            Self::Sparse(steps) => steps.len(),
        }
    }

    /// Returns the step of a slot.
    pub(super) fn step(&self, slot: usize) -> u32 {
        match self {
            // It is not above the last step.
            Self::Dense { first, .. } => first + slot as u32,
            Self::Sparse(steps) => steps[slot],
        }
    }

    /// Calls `visit` with the slot of each value. All steps have to be among those of the slots.
    pub(super) fn visit<T: Stepped>(&self, values: &[T], mut visit: impl FnMut(usize, &T)) {
        match self {
            Self::Dense { first, .. } => {
                for value in values {
                    visit((value.step() - first) as usize, value);
                }
            }
            Self::Sparse(steps) => {
                let mut passed = 0;
                for value in values {
                    passed += steps[passed..].partition_point(|step| *step < value.step());
                    visit(passed, value);
                }
            }
        }
    }

    /// Returns the slot of the first value, if the values are at all slots from there on without a gap.
    pub(super) fn run<T: Stepped>(&self, values: &[T]) -> Option<usize> {
        let (start, end) = ends(values)?;
        match self {
            Self::Dense { first, .. } if (end - start) as usize + 1 == values.len() => {
                Some((start - first) as usize)
            }
            _ => None,
        }
    }
}

/// Returns the first step and the last.
fn ends<T: Stepped>(values: &[T]) -> Option<(u32, u32)> {
    Some((values.first()?.step(), values.last()?.step()))
}

fn distinct_steps(members: &[GridSeries], kinds: Kinds) -> Vec<u32> {
    let mut steps: Vec<u32> = Vec::new();
    for one in members {
        steps.extend(one.floats.iter().map(|it| it.step));
        if kinds == Kinds::All {
            steps.extend(one.histograms.iter().map(|it| it.step));
        }
    }
    steps.sort_unstable();
    steps.dedup();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn series(steps: &[u32]) -> GridSeries {
        let mut series = GridSeries::new(Arc::default(), false);
        let float = |&step: &u32| GridFloat {
            step,
            value: f64::from(step),
        };
        series.floats = steps.iter().map(float).collect();
        series
    }

    fn visited(slots: &Slots, series: &GridSeries) -> Vec<usize> {
        let mut visited = Vec::new();
        slots.visit(&series.floats, |slot, value| {
            assert_eq!(slots.step(slot), value.step);
            visited.push(slot);
        });
        visited
    }

    #[test]
    fn near_steps_are_numbered_through() {
        let members = [series(&[5, 6, 7]), series(&[]), series(&[3, 9])];
        let slots = Slots::of(&members, Kinds::Floats);
        assert!(matches!(slots, Slots::Dense { first: 3, count: 7 }));
        assert_eq!(visited(&slots, &members[0]), [2, 3, 4]);
        assert_eq!(visited(&slots, &members[2]), [0, 6]);
        assert_eq!(slots.run(&members[0].floats), Some(2));
        assert_eq!(slots.run(&members[1].floats), None);
        assert_eq!(slots.run(&members[2].floats), None);
    }

    #[test]
    fn steps_far_apart_are_numbered_alone() {
        let members = [series(&[0, 2_000_000_000]), series(&[0, 7])];
        let slots = Slots::of(&members, Kinds::All);
        assert_eq!(slots.len(), 3);
        assert_eq!(visited(&slots, &members[0]), [0, 2]);
        assert_eq!(visited(&slots, &members[1]), [0, 1]);
        assert_eq!(slots.run(&members[1].floats), None);
        assert_eq!(Slots::of(&[series(&[])], Kinds::All).len(), 0);
    }
}
