//! The values of a series of the many side with those of its group on the one side.

use std::sync::Arc;

use super::Join;
use crate::eval::binary::element::Element;
use crate::eval::binary::float::{for_operator, zero_or_one};
use crate::eval::binary::one_side::{Cursor, OneSide};
use crate::eval::binary::problems::Problems;
use crate::eval::grid::{GridFloat, GridSeries};

impl Join<'_> {
    /// Returns true if there are only floats, none is reported as incompatible, and the matched ones are not needed later.
    pub(super) fn is_simple(&self, many: &GridSeries, one: &OneSide) -> bool {
        let is_trim = for_operator!(self.step.op,
            arithmetic(_function) => false,
            comparison(_holds) => false,
            other => true
        );
        many.histograms.is_empty()
            && one.histograms.is_empty()
            && !is_trim
            && self.fill_many.is_none()
    }

    /// Combines floats in the memory of the many side.
    pub(super) fn join_floats(&self, many: &mut Vec<GridFloat>, one: &[GridFloat]) {
        let fill = self.fill_one;
        for_operator!(self.step.op,
            arithmetic(function) => match self.is_swapped {
                false => join(many, one, fill, |many, one| Some(function(many, one))),
                true => join(many, one, fill, |many, one| Some(function(one, many))),
            },
            comparison(holds) => match (self.is_swapped, self.step.return_bool) {
                (false, false) => join(many, one, fill, |many, one| {
                    holds(many, one).then_some(many)
                }),
                (true, false) => join(many, one, fill, |many, one| {
                    holds(one, many).then_some(one)
                }),
                (false, true) => join(many, one, fill, |many, one| {
                    Some(zero_or_one(holds(many, one)))
                }),
                (true, true) => join(many, one, fill, |many, one| {
                    Some(zero_or_one(holds(one, many)))
                }),
            },
            other => {}
        );
    }

    /// Combines values of any kind. The steps with a match are added to `matched`.
    pub(super) fn join_values(
        &self,
        many: &GridSeries,
        one: &OneSide,
        problems: &mut Problems,
        mut matched: Option<&mut Vec<u32>>,
    ) -> GridSeries {
        let mut result = GridSeries::new(Arc::default(), self.step.return_bool);
        let fill = self.fill_one.map(Element::Float);
        let mut others = one.cursor();
        for (step, many) in Cursor::new(many) {
            let Some(one) = others.at(step).or(fill) else {
                continue;
            };
            let combined = self.combine(many, one);
            if let Some(problem) = combined.problem {
                problems.add(step, problem);
            }
            if let (true, Some(matched)) = (combined.is_match, &mut matched) {
                matched.push(step);
            }
            if let Some(value) = combined.value {
                value.push_to(&mut result, step);
            }
        }
        result
    }

    /// Combines the values of a group of the one side with `fill` at the steps before `end` that have no match. `first`
    /// is the index of the first series of the group.
    pub(super) fn filled(
        &self,
        (first, one): (usize, &OneSide),
        fill: f64,
        matched: Option<&mut Vec<u32>>,
        end: u32,
        problems: &mut Problems,
    ) -> GridSeries {
        let mut result = GridSeries::new(Arc::default(), self.step.return_bool);
        let mut matched: Vec<u32> = matched.map(std::mem::take).unwrap_or_default();
        matched.sort_unstable();
        let mut matched = matched.into_iter().peekable();
        let mut owners = one.owner_cursor();
        for (step, one) in one.cursor() {
            while matched.next_if(|&matched| matched < step).is_some() {}
            if matched.peek() == Some(&step) || step >= end {
                continue;
            }
            let combined = self.combine(Element::Float(fill), one);
            if let Some(problem) = combined.problem {
                let index = owners.index_at(step).unwrap_or(first);
                problems.add_after(step, index, problem);
            }
            if let Some(value) = combined.value {
                value.push_to(&mut result, step);
            }
        }
        result
    }
}

/// Combines the floats at the same steps. With `fill` that is the value of the one side where it has none.
fn join(
    many: &mut Vec<GridFloat>,
    one: &[GridFloat],
    fill: Option<f64>,
    combine: impl Fn(f64, f64) -> Option<f64>,
) {
    let mut count = 0;
    if let (None, Some((from_many, from_one, common))) = (fill, common_run(many, one)) {
        let one = &one[from_one..from_one + common];
        for (index, one) in one.iter().enumerate() {
            let GridFloat { step, value } = many[from_many + index];
            if let Some(value) = combine(value, one.value) {
                many[count] = GridFloat { step, value };
                count += 1;
            }
        }
        many.truncate(count);
        return;
    }
    let mut others = one;
    for index in 0..many.len() {
        let GridFloat { step, value } = many[index];
        while let [first, rest @ ..] = others
            && first.step < step
        {
            others = rest;
        }
        let one = match others.first() {
            Some(first) if first.step == step => Some(first.value),
            _ => fill,
        };
        if let Some(value) = one.and_then(|one| combine(value, one)) {
            many[count] = GridFloat { step, value };
            count += 1;
        }
    }
    many.truncate(count);
}

/// Returns where the steps begin that both have, and their number, if there are no gaps.
fn common_run(many: &[GridFloat], one: &[GridFloat]) -> Option<(usize, usize, usize)> {
    let range = |points: &[GridFloat]| {
        let (first, last) = (points.first()?.step, points.last()?.step);
        ((last - first) as usize + 1 == points.len()).then_some((first, last + 1))
    };
    let ((many_start, many_end), (one_start, one_end)) = (range(many)?, range(one)?);
    let start = many_start.max(one_start);
    let common = many_end.min(one_end).saturating_sub(start);
    match common {
        0 => Some((0, 0, 0)),
        _ => Some((
            (start - many_start) as usize,
            (start - one_start) as usize,
            common as usize,
        )),
    }
}
