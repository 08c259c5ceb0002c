//! The side of a matching with one series in each group, at each step.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use prom_model::Labels;

use super::element::Element;
use super::signature::Members;
use super::step_set::{Point, StepSet};
use crate::eval::grid::{GridFloat, GridHistogram, GridSeries};
use crate::plan::Names;

/// The series of a group as one. At steps at which several have a value, the group is not matched.
#[derive(Debug, Default)]
pub(super) struct OneSide {
    pub(super) floats: Vec<GridFloat>,
    pub(super) histograms: Vec<GridHistogram>,
    /// The labels of the first series of each class: those whose labels have the same effect on results.
    pub(super) classes: Vec<Arc<Labels>>,
    /// The series in the order of their steps, if it matters which has a value.
    pub(super) owners: Vec<Owner>,
}

/// A series of a group at some of the steps.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) steps: Range<u32>,
    pub(super) class: usize,
    /// The index of the series.
    index: usize,
}

impl OneSide {
    /// Takes the series of each group. `include` are the labels that matter for results.
    pub(super) fn of_groups(
        series: Vec<GridSeries>,
        members: &Members,
        count: usize,
        include: &Names,
    ) -> Vec<Self> {
        let mut series: Vec<_> = series.into_iter().map(Some).collect();
        let of_group = |group| {
            let indices = members.of(group);
            let taken = indices
                .iter()
                .filter_map(|&index| Some((index, series[index].take()?)));
            Self::new(taken.collect(), include)
        };
        (0..count).map(of_group).collect()
    }

    fn new(series: Vec<(usize, GridSeries)>, include: &Names) -> Self {
        let mut side = Self::default();
        let mut classes: HashMap<Labels, usize> = HashMap::new();
        let is_single = series.len() == 1;
        for (index, one) in &series {
            let effect = match include.is_empty() || is_single {
                true => Labels::default(),
                false => one.labels.filtered(|name| include.contains(name)),
            };
            let class = *classes.entry(effect).or_insert(side.classes.len());
            if class == side.classes.len() {
                side.classes.push(Arc::clone(&one.labels));
            }
            if !is_single || !include.is_empty() {
                let steps = StepSet::union([one]);
                let owned = steps.runs().iter().map(|steps| Owner {
                    steps: steps.clone(),
                    class,
                    index: *index,
                });
                side.owners.extend(owned);
            }
        }
        for (_, mut one) in series {
            match side.floats.is_empty() && side.histograms.is_empty() {
                true => (side.floats, side.histograms) = (one.floats, one.histograms),
                false => {
                    side.floats.append(&mut one.floats);
                    side.histograms.append(&mut one.histograms);
                }
            }
        }
        if !is_single {
            side.owners.sort_by_key(|owner| owner.steps.start);
            side.floats.sort_by_key(|it| it.step);
            side.histograms.sort_by_key(|it| it.step);
            // Of several values at a step none is ever looked at; lists with one each are the rule elsewhere.
            side.floats.dedup_by_key(|it| it.step);
            side.histograms.dedup_by_key(|it| it.step);
        }
        side
    }

    pub(super) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// Returns the steps with a value.
    pub(super) fn steps(&self) -> StepSet {
        StepSet::of_points(&self.floats, &self.histograms)
    }

    /// Returns a walk through the values.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            floats: &self.floats,
            histograms: &self.histograms,
        }
    }

    /// Returns a walk through the series.
    pub(super) fn owner_cursor(&self) -> OwnerCursor<'_> {
        OwnerCursor {
            owners: &self.owners,
        }
    }
}

/// A walk through values with steps that do not fall.
pub(super) struct Cursor<'a> {
    floats: &'a [GridFloat],
    histograms: &'a [GridHistogram],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(series: &'a GridSeries) -> Self {
        Self {
            floats: &series.floats,
            histograms: &series.histograms,
        }
    }

    /// Returns the value at a step, which must not be before that of the last call.
    pub(super) fn at(&mut self, step: u32) -> Option<Element<'a>> {
        skip_before(&mut self.floats, step);
        skip_before(&mut self.histograms, step);
        match (self.floats, self.histograms) {
            ([float, ..], _) if float.step == step => Some(Element::Float(float.value)),
            (_, [it, ..]) if it.step == step => Some(Element::Histogram(&it.histogram)),
            _ => None,
        }
    }
}

/// The values in the order of their steps.
impl<'a> Iterator for Cursor<'a> {
    type Item = (u32, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match (self.floats, self.histograms) {
            ([float, rest @ ..], histograms)
                if histograms.first().is_none_or(|it| float.step <= it.step) =>
            {
                self.floats = rest;
                Some((float.step, Element::Float(float.value)))
            }
            (_, [it, rest @ ..]) => {
                self.histograms = rest;
                Some((it.step, Element::Histogram(&it.histogram)))
            }
            _ => None,
        }
    }
}

fn skip_before<P: Point>(points: &mut &[P], step: u32) {
    while let [first, rest @ ..] = points
        && first.step() < step
    {
        *points = rest;
    }
}

/// A walk through the series of a group with steps that do not fall.
pub(super) struct OwnerCursor<'a> {
    owners: &'a [Owner],
}

impl OwnerCursor<'_> {
    /// Returns the class of the series that has a value at a step, which must not be before that of the last call.
    pub(super) fn class_at(&mut self, step: u32) -> Option<usize> {
        self.at(step).map(|owner| owner.class)
    }

    /// Returns the index of the series that has a value at a step, which must not be before that of the last call.
    pub(super) fn index_at(&mut self, step: u32) -> Option<usize> {
        self.at(step).map(|owner| owner.index)
    }

    fn at(&mut self, step: u32) -> Option<&Owner> {
        while let [owner, rest @ ..] = self.owners
            && owner.steps.end <= step
        {
            self.owners = rest;
        }
        self.owners
            .first()
            .filter(|owner| owner.steps.contains(&step))
    }
}
