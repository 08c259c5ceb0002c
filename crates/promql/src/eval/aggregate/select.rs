//! `topk`, `bottomk`, `limitk` and `limit_ratio`: some of the series of each group, with their labels.

use super::groups::{Group, Grouping};
use super::heap;
use super::parameter::Parameter;
use super::slots::{Kinds, Slots, Stepped};
use crate::annotations::Annotation;
use crate::ast::AggregateOp;
use crate::eval::grid::{GridFloat, GridSeries};
use crate::eval::scalar::Scalar;
use crate::eval::{Evaluated, Evaluator, fail};
use crate::go_sort;
use crate::number::general;
use crate::plan::Aggregate;
use crate::position::Span;
use crate::xxhash::hash_of_labels;

/// The greatest float that converts to an integer, the first that is an error.
const TOO_LARGE: f64 = 9_223_372_036_854_774_784.0;
/// The first float that is too small for an integer, or so counts.
const TOO_SMALL: f64 = -9_223_372_036_854_775_808.0;

/// Selects series. In instant queries those of a group are in the order of their values, or in that of a heap.
pub(super) fn select(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    span: Span,
    parameter: &Parameter,
    input: Vec<GridSeries>,
) -> Evaluated<Vec<GridSeries>> {
    let has_selection = match aggregate.op {
        AggregateOp::LimitRatio => check_ratio(ev, parameter)?,
        _ => check_count(parameter)?,
    };
    if !has_selection {
        return Ok(Vec::new());
    }
    let limit = Limit {
        values: &parameter.values,
        most: input.len(),
    };
    let is_instant = ev.steps.is_instant();
    let mut selected = Vec::new();
    for group in Grouping::of(aggregate).groups(ev, input)? {
        ev.check_interrupt()?;
        let (before, first) = (group.size(), selected.len());
        match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk => {
                ev.report_ignored(aggregate.op, &group, limit, span);
                selected.extend(match aggregate.op {
                    AggregateOp::Topk => top_or_bottom(ev, group, limit, ascending)?,
                    _ => top_or_bottom(ev, group, limit, descending)?,
                });
            }
            AggregateOp::LimitRatio => {
                let chosen = in_ratio(ev, group, &parameter.values)?;
                selected.extend(in_heap_order(chosen, is_instant));
            }
            _ => {
                let chosen = first_of_group(ev, group, limit)?;
                selected.extend(in_heap_order(chosen, is_instant));
            }
        }
        let after: usize = selected[first..].iter().map(GridSeries::size).sum();
        let held = ev.samples.held().saturating_sub(before) + after;
        ev.samples.set_held(held)?;
    }
    Ok(selected)
}

/// Returns true if any step selects series by their number.
fn check_count(parameter: &Parameter) -> Evaluated<bool> {
    if parameter.greatest < 1.0 {
        return Ok(false);
    }
    if parameter.has_nan {
        return fail("Parameter value is NaN");
    }
    let (least, greatest) = (parameter.least, parameter.greatest);
    if least <= TOO_SMALL {
        let least = general(least);
        return fail(format!("Scalar value {least} underflows int64"));
    }
    if greatest >= TOO_LARGE {
        let greatest = general(greatest);
        return fail(format!("Scalar value {greatest} overflows int64"));
    }
    Ok(true)
}

/// Returns true if any step selects series by their ratio.
fn check_ratio(ev: &mut Evaluator<'_>, parameter: &Parameter) -> Evaluated<bool> {
    let (least, greatest, span) = (parameter.least, parameter.greatest, parameter.span);
    if least == 0.0 && greatest == 0.0 {
        return Ok(false);
    }
    if parameter.has_nan {
        return fail("Ratio value is NaN");
    }
    if greatest > 1.0 {
        ev.annotate(Annotation::invalid_ratio(greatest, 1.0, span));
    }
    if least < -1.0 {
        ev.annotate(Annotation::invalid_ratio(least, -1.0, span));
    }
    Ok(true)
}

/// The number of series that are selected of each group.
#[derive(Clone, Copy)]
struct Limit<'a> {
    values: &'a Scalar,
    /// The number of all series.
    most: usize,
}

impl Limit<'_> {
    fn at(self, step: u32) -> usize {
        let limit = self.values.at(step);
        // Neither NaN nor out of range.
        if limit < 1.0 {
            0
        } else {
            (limit as usize).min(self.most)
        }
    }
}

impl Evaluator<'_> {
    /// Adds an info if a group has histograms at a step that selects series.
    fn report_ignored(&mut self, op: AggregateOp, group: &Group, limit: Limit<'_>, span: Span) {
        let mut histograms = group.members.iter().flat_map(|it| &it.histograms);
        if histograms.any(|it| limit.at(it.step) > 0) {
            let name = op.name();
            self.annotate(Annotation::histogram_ignored_in_aggregation(name, span));
        }
    }
}

/// A value in the heap of a step.
#[derive(Clone, Copy)]
struct Entry {
    value: f64,
    /// The number of the series in its group.
    member: u32,
}

/// The order of the heap of `topk`, with the least value on top. NaN is below all, itself included.
fn ascending(a: &Entry, b: &Entry) -> bool {
    a.value.is_nan() || a.value < b.value
}

/// The order of the heap of `bottomk`.
fn descending(a: &Entry, b: &Entry) -> bool {
    a.value.is_nan() || a.value > b.value
}

/// An order of values. Not a function pointer, because it is called for each value.
trait Order: Fn(&Entry, &Entry) -> bool + Copy {}

impl<F: Fn(&Entry, &Entry) -> bool + Copy> Order for F {}

fn top_or_bottom(
    ev: &Evaluator<'_>,
    group: Group,
    limit: Limit<'_>,
    order: impl Order,
) -> Evaluated<Vec<GridSeries>> {
    match ev.steps.is_instant() {
        true => Ok(ordered_extremes(group, limit, order)),
        false => extremes(ev, group, limit, order),
    }
}

/// Returns true if a value takes the place of the one on top. Values that are equal stay.
fn replaces(new: &Entry, top: &Entry, order: impl Order) -> bool {
    order(top, new) && !(top.value.is_nan() && new.value.is_nan())
}

/// Returns the extremes of the one step of an instant query, the most extreme first.
fn ordered_extremes(group: Group, limit: Limit<'_>, order: impl Order) -> Vec<GridSeries> {
    let mut members = group.members;
    let count = limit.at(0);
    let mut heap: Vec<Entry> = Vec::new();
    for (member, one) in (0..).zip(&members) {
        let Some(float) = one.floats.first() else {
            continue;
        };
        let entry = Entry {
            value: float.value,
            member,
        };
        if heap.len() < count {
            heap.push(entry);
            heap::up(&mut heap, order);
        } else if let Some(top) = heap.first_mut()
            && replaces(&entry, top, order)
        {
            *top = entry;
            heap::down(&mut heap, order);
        }
    }
    go_sort::sort_by(&mut heap, |a, b| order(b, a));
    let mut taken = heap.iter().map(|entry| {
        let member = &mut members[entry.member as usize];
        let taken = GridSeries::new(std::sync::Arc::clone(&member.labels), member.drop_name);
        std::mem::replace(member, taken)
    });
    taken.by_ref().collect()
}

/// Returns the series of a group with the values that are extremes at their steps.
fn extremes(
    ev: &Evaluator<'_>,
    group: Group,
    limit: Limit<'_>,
    order: impl Order,
) -> Evaluated<Vec<GridSeries>> {
    let mut members = group.members;
    members.iter_mut().for_each(|it| it.histograms = Vec::new());
    let all = members.len();
    if !limit.values.distinct().iter().all(|it| *it >= all as f64) {
        let slots = Slots::of(&members, Kinds::Floats);
        let heaps = Heaps::of(ev, &members, &slots, limit, order)?;
        heaps.write(&slots, &mut members);
    }
    members.retain(|it| !it.is_empty());
    Ok(members)
}

/// A heap of limited size for each slot.
struct Heaps {
    /// The place of the heap of each slot, and the number of all places.
    starts: Vec<usize>,
    lengths: Vec<u32>,
    entries: Vec<Entry>,
}

impl Heaps {
    fn of(
        ev: &Evaluator<'_>,
        members: &[GridSeries],
        slots: &Slots,
        limit: Limit<'_>,
        order: impl Order,
    ) -> Evaluated<Self> {
        let mut starts = vec![0; slots.len() + 1];
        for one in members {
            slots.visit(&one.floats, |slot, _| starts[slot + 1] += 1);
        }
        for slot in 0..slots.len() {
            let size = limit.at(slots.step(slot)).min(starts[slot + 1]);
            starts[slot + 1] = starts[slot] + size;
        }
        let unused = Entry {
            value: 0.0,
            member: 0,
        };
        let mut heaps = Self {
            entries: vec![unused; starts[slots.len()]],
            lengths: vec![0; slots.len()],
            starts,
        };
        for (member, one) in (0..).zip(members) {
            ev.check_interrupt()?;
            slots.visit(&one.floats, |slot, float| {
                let value = float.value;
                heaps.add(slot, Entry { value, member }, order);
            });
        }
        Ok(heaps)
    }

    fn add(&mut self, slot: usize, entry: Entry, order: impl Order) {
        let places = &mut self.entries[self.starts[slot]..self.starts[slot + 1]];
        let length = &mut self.lengths[slot];
        if (*length as usize) < places.len() {
            places[*length as usize] = entry;
            *length += 1;
            heap::up(&mut places[..*length as usize], order);
        } else if let Some(top) = places.first_mut()
            && replaces(&entry, top, order)
        {
            *top = entry;
            heap::down(places, order);
        }
    }

    /// Leaves just the values in the heaps to the series.
    fn write(&self, slots: &Slots, members: &mut [GridSeries]) {
        let mut counts = vec![0; members.len()];
        for slot in 0..slots.len() {
            let step = slots.step(slot);
            for entry in &self.entries[self.starts[slot]..self.starts[slot + 1]] {
                let member = entry.member as usize;
                let value = entry.value;
                // A series has at least as many values as are selected of it up to here.
                members[member].floats[counts[member]] = GridFloat { step, value };
                counts[member] += 1;
            }
        }
        for (member, count) in members.iter_mut().zip(counts) {
            member.floats.truncate(count);
        }
    }
}

/// Returns the series of a group with the values that are among the first at their steps.
fn first_of_group(
    ev: &Evaluator<'_>,
    group: Group,
    limit: Limit<'_>,
) -> Evaluated<Vec<GridSeries>> {
    let mut members = group.members;
    let slots = Slots::of(&members, Kinds::All);
    let mut left: Vec<usize> = (0..slots.len())
        .map(|slot| limit.at(slots.step(slot)))
        .collect();
    for one in &mut members {
        ev.check_interrupt()?;
        take_first(&slots, &mut left, &mut one.floats);
        take_first(&slots, &mut left, &mut one.histograms);
    }
    members.retain(|it| !it.is_empty());
    Ok(members)
}

/// Removes values at slots of which none are left to take.
fn take_first<T: Stepped>(slots: &Slots, left: &mut [usize], values: &mut Vec<T>) {
    let mut is_taken = Vec::with_capacity(values.len());
    slots.visit(values, |slot, _| {
        is_taken.push(left[slot] > 0);
        left[slot] = left[slot].saturating_sub(1);
    });
    let mut is_taken = is_taken.into_iter();
    values.retain(|_| is_taken.next() == Some(true));
}

/// Returns the series of a group with the values at the steps whose ratio selects the series.
fn in_ratio(ev: &Evaluator<'_>, group: Group, ratios: &Scalar) -> Evaluated<Vec<GridSeries>> {
    let mut members = group.members;
    for one in &mut members {
        ev.check_interrupt()?;
        // Between 0 and 1.
        let place = hash_of_labels(&one.labels) as f64 / u64::MAX as f64;
        one.floats.retain(|it| is_in(place, ratios.at(it.step)));
        one.histograms.retain(|it| is_in(place, ratios.at(it.step)));
    }
    members.retain(|it| !it.is_empty());
    Ok(members)
}

/// Returns true if a place is in the lower part of 0 to 1, or, if the ratio is negative, in the upper part, which
/// complements the lower one of the ratio plus 1.
fn is_in(place: f64, ratio: f64) -> bool {
    match ratio < 0.0 {
        true => place >= 1.0 + ratio.max(-1.0),
        false => place < ratio.min(1.0),
    }
}

/// Returns the series of an instant query in the order in which Prometheus' heap of their values lists them,
/// histograms counting as 0. Those of range queries are sorted later.
fn in_heap_order(series: Vec<GridSeries>, is_instant: bool) -> Vec<GridSeries> {
    if !is_instant {
        return series;
    }
    let mut heap: Vec<(f64, GridSeries)> = Vec::with_capacity(series.len());
    for one in series {
        let value = one.floats.first().map_or(0.0, |it| it.value);
        heap.push((value, one));
        heap::up(&mut heap, |a, b| a.0.is_nan() || a.0 < b.0);
    }
    heap.into_iter().map(|(_, one)| one).collect()
}
