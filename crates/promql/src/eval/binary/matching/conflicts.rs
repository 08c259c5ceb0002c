//! Series that must not match at the same step.

use std::collections::HashMap;
use std::sync::Arc;

use prom_model::Labels;

use super::{Join, OneSides};
use crate::ast::Cardinality;
use crate::eval::binary::element::Element;
use crate::eval::binary::one_side::{Cursor, OneSide};
use crate::eval::binary::signature::{Groups, matched_labels};
use crate::eval::binary::step_set::{Point, StepSet};
use crate::eval::grid::GridSeries;
use crate::eval::{Evaluated, Evaluator, is_metadata_label};
use crate::text::labels_text;

/// An error at a step.
#[derive(Debug)]
pub(super) struct Conflict {
    pub(super) step: u32,
    pub(super) text: String,
}

impl Conflict {
    /// Removes the values from the step on, which are never looked at.
    pub(super) fn truncate(&self, series: &mut [GridSeries]) {
        for one in series {
            let floats = first_at(&one.floats, self.step);
            one.floats.truncate(floats);
            let histograms = first_at(&one.histograms, self.step);
            one.histograms.truncate(histograms);
        }
    }
}

/// Returns the index of the first point at a step or after it.
fn first_at<P: Point>(points: &[P], step: u32) -> usize {
    points.partition_point(|point| point.step() < step)
}

fn has_value(series: &GridSeries, step: u32) -> bool {
    fn is_at<P: Point>(points: &[P], step: u32) -> bool {
        let point = points.get(first_at(points, step));
        point.is_some_and(|point| point.step() == step)
    }
    is_at(&series.floats, step) || is_at(&series.histograms, step)
}

impl Join<'_> {
    /// Returns the first step at which a group has two series of the one side. It only matters where the many side has
    /// any value, or values are filled in.
    pub(super) fn duplicate(
        &self,
        many: &[GridSeries],
        one: &[GridSeries],
        groups: &Groups,
    ) -> Option<Conflict> {
        let mut active: Option<StepSet> = None;
        // The step, the later series and the earlier one. Prometheus reports the first later one.
        let mut first: Option<(u32, usize, usize)> = None;
        for group in 0..groups.count() {
            let members = groups.right.of(group);
            if members.len() < 2 {
                continue;
            }
            let mut overlap = StepSet::overlap(members.iter().map(|&index| &one[index]));
            if overlap.is_empty() {
                continue;
            }
            if !self.has_fill() {
                let active = active.get_or_insert_with(|| StepSet::union(many));
                overlap = overlap.intersection(active);
            }
            let Some(step) = overlap.iter().next() else {
                continue;
            };
            let mut present = members
                .iter()
                .filter(|&&index| has_value(&one[index], step));
            if let (Some(&earlier), Some(&later)) = (present.next(), present.next()) {
                let found = (step, later, earlier);
                first = Some(first.map_or(found, |first| first.min(found)));
            }
        }
        let (step, later, earlier) = first?;
        let side = if self.is_swapped { "left" } else { "right" };
        let labels = &one[later].labels;
        let matched = labels_text(&matched_labels(self.matching, labels));
        let mut texts = [labels_text(labels), labels_text(&one[earlier].labels)];
        texts.sort();
        let [a, b] = texts;
        let text = format!(
            "found duplicate series for the match group {matched} on the {side} hand-side of the operation: [{a}, {b}];many-to-many matching not allowed: matching labels must be unique on one side"
        );
        Some(Conflict { step, text })
    }

    /// Returns the first step at which the many side has two series whose results could not be distinguished.
    pub(super) fn ambiguous(
        &self,
        ev: &Evaluator<'_>,
        many: &[GridSeries],
        one: &OneSides,
        groups: &Groups,
    ) -> Evaluated<Option<Conflict>> {
        let mut first: Option<u32> = None;
        for group in 0..groups.count() {
            let members = groups.left.of(group);
            let side = &one.by_group[group];
            if members.len() < 2 || side.is_empty() && self.fill_one.is_none() {
                continue;
            }
            ev.check_interrupt()?;
            let members: Vec<_> = members.iter().map(|&index| &many[index]).collect();
            let suspects = self.suspects(ev, members, side);
            if suspects.len() < 2 {
                continue;
            }
            let end = first.unwrap_or(u32::MAX);
            if let Some(step) = self.first_ambiguous(ev, &suspects, side, end)? {
                first = Some(step);
            }
        }
        let text = match self.matching.cardinality {
            Cardinality::OneToOne => {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            }
            _ => "multiple matches for labels: grouping labels must ensure unique matches",
        };
        Ok(first.map(|step| Conflict {
            step,
            text: text.to_owned(),
        }))
    }

    /// Returns the series of a group whose results may have the same labels as others.
    fn suspects<'s>(
        &self,
        ev: &Evaluator<'_>,
        members: Vec<&'s GridSeries>,
        side: &OneSide,
    ) -> Vec<&'s GridSeries> {
        if self.matching.cardinality == Cardinality::OneToOne {
            return members;
        }
        // With delayed removal of names labels may be equal in instant queries.
        let are_unique = !ev.options.delayed_name_removal && self.have_equal_metadata(&members);
        if are_unique && !self.labels.depends_on_one_side() {
            return Vec::new();
        }
        let mut is_suspect = vec![false; members.len()];
        let mut owner_of: HashMap<Arc<Labels>, usize> = HashMap::new();
        for (index, series) in members.iter().enumerate() {
            for class in self.classes_beside(series, side) {
                let labels = self.labels_with(&series.labels, side, class);
                let owner = *owner_of.entry(labels).or_insert(index);
                if owner != index {
                    is_suspect[owner] = true;
                    is_suspect[index] = true;
                }
            }
        }
        let suspects = members.into_iter().zip(is_suspect);
        suspects
            .filter_map(|(series, is_suspect)| is_suspect.then_some(series))
            .collect()
    }

    /// Returns true if the labels that results lose are the same in all series, so that the others are not.
    fn have_equal_metadata(&self, members: &[&GridSeries]) -> bool {
        let metadata = |series: &GridSeries| {
            let labels = &series.labels;
            labels
                .iter()
                .filter(|label| is_metadata_label(&label.name))
                .cloned()
                .collect::<Vec<_>>()
        };
        match (self.drops_metadata, members) {
            (true, [first, others @ ..]) => {
                let expected = metadata(first);
                others.iter().all(|series| {
                    let labels = series.labels.iter();
                    labels
                        .filter(|label| is_metadata_label(&label.name))
                        .eq(&expected)
                })
            }
            _ => true,
        }
    }

    /// Returns the classes of the one side, `None` for a value that is filled in, that may have a step in common with a
    /// series.
    fn classes_beside(&self, series: &GridSeries, side: &OneSide) -> Vec<Option<usize>> {
        let mut classes = match self.fill_one {
            Some(_) => vec![None],
            None => Vec::new(),
        };
        if side.classes.len() < 2 {
            classes.extend((0..side.classes.len()).map(Some));
            return classes;
        }
        let steps = StepSet::union([series]);
        let mut owners = side.owners.iter().peekable();
        for run in steps.runs() {
            while owners
                .next_if(|owner| owner.steps.end <= run.start)
                .is_some()
            {}
            let beside = owners
                .clone()
                .take_while(|owner| owner.steps.start < run.end);
            classes.extend(beside.map(|owner| Some(owner.class)));
        }
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Returns the first step before `end` at which two of the series match with the same labels.
    fn first_ambiguous(
        &self,
        ev: &Evaluator<'_>,
        suspects: &[&GridSeries],
        side: &OneSide,
        end: u32,
    ) -> Evaluated<Option<u32>> {
        let mut steps = StepSet::overlap(suspects.iter().copied());
        if self.fill_one.is_none() {
            steps = steps.intersection(&side.steps());
        }
        let fill = self.fill_one.map(Element::Float);
        let mut cursors: Vec<_> = suspects.iter().map(|series| Cursor::new(series)).collect();
        let (mut others, mut classes) = (side.cursor(), side.owner_cursor());
        // By a class and the index of a series, because labels take time.
        let mut known: HashMap<(Option<usize>, usize), Arc<Labels>> = HashMap::new();
        for (count, step) in steps.iter().take_while(|&step| step < end).enumerate() {
            if count % 256 == 0 {
                ev.check_interrupt()?;
            }
            let (one, class) = (others.at(step).or(fill), classes.class_at(step));
            let Some(one) = one else {
                continue;
            };
            let mut matched: Vec<Arc<Labels>> = Vec::new();
            for (index, cursor) in cursors.iter_mut().enumerate() {
                let Some(many) = cursor.at(step) else {
                    continue;
                };
                if !self.combine(many, one).is_match {
                    continue;
                }
                if self.matching.cardinality == Cardinality::OneToOne {
                    matched.push(Arc::default());
                    continue;
                }
                let class = match side.owners.is_empty() {
                    true => (!side.classes.is_empty()).then_some(0),
                    false => class,
                };
                let labels = known
                    .entry((class, index))
                    .or_insert_with(|| self.labels_with(&suspects[index].labels, side, class));
                matched.push(Arc::clone(labels));
            }
            matched.sort_unstable();
            if matched.windows(2).any(|pair| pair[0] == pair[1]) {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }
}
