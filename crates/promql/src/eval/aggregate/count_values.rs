//! `count_values`

use std::collections::HashMap;
use std::sync::Arc;

use prom_model::Labels;

use super::groups::{Group, Grouping};
use crate::eval::grid::{GridFloat, GridSeries};
use crate::eval::{Evaluated, Evaluator, fail};
use crate::number::format_number;
use crate::plan::{Aggregate, NodeKind};

/// Returns the name of the label for the values.
pub(super) fn label(aggregate: &Aggregate) -> Evaluated<&str> {
    let Some(NodeKind::String(text)) = aggregate.parameter.as_ref().map(|it| &it.kind) else {
        return fail("count_values needs the name of a label, as in count_values(\"value\", v)");
    };
    match text.as_str().filter(|name| !name.is_empty()) {
        Some(name) => Ok(name),
        None => fail(format!("invalid label name {}", text.quoted())),
    }
}

/// Counts the series of each group with the same value. In instant queries the results are sorted by their labels;
/// Prometheus leaves their order to chance.
#[inline(never)]
pub(super) fn count_values(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    label: &str,
    input: Vec<GridSeries>,
) -> Evaluated<Vec<GridSeries>> {
    let grouping = Grouping::of(aggregate);
    // The label of the values replaces one of the same name, and belongs to those of `by`.
    let groups = grouping.groups_beside(ev, input, Some(label))?;
    let has_values = !aggregate.without || grouping.keeps(label);
    let mut results = Vec::new();
    for group in groups {
        let before = group.size();
        let mut labels = (*grouping.labels_of(&group.members[0].labels)).clone();
        labels.set(label, "");
        if has_values {
            count_by_value(ev, &group, &labels, label, &mut results)?;
        } else {
            let result = counted(labels, steps_of(&group));
            ev.samples.add(result.size())?;
            results.push(result);
        }
        drop(group);
        ev.samples
            .set_held(ev.samples.held().saturating_sub(before))?;
    }
    if ev.steps.is_instant() {
        results.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    Ok(results)
}

fn count_by_value(
    ev: &mut Evaluator<'_>,
    group: &Group,
    labels: &Labels,
    label: &str,
    results: &mut Vec<GridSeries>,
) -> Evaluated<()> {
    let mut values = Values::default();
    // The number of the value and the step.
    let mut places: Vec<(u32, u32)> = Vec::new();
    for one in &group.members {
        ev.check_interrupt()?;
        for float in &one.floats {
            places.push((values.of_float(float.value), float.step));
        }
        for it in &one.histograms {
            places.push((values.of_text(it.histogram.to_string()), it.step));
        }
    }
    places.sort_unstable();
    for of_value in places.chunk_by(|a, b| a.0 == b.0) {
        let mut labels = labels.clone();
        labels.set(label, &values.texts[of_value[0].0 as usize]);
        let steps = of_value.iter().map(|(_, step)| *step).collect();
        let result = counted(labels, steps);
        ev.samples.add(result.size())?;
        results.push(result);
    }
    Ok(())
}

/// Returns a series with the number of times that each step is among `steps`.
fn counted(labels: Labels, mut steps: Vec<u32>) -> GridSeries {
    steps.sort_unstable();
    let mut series = GridSeries::new(Arc::new(labels), false);
    let count = |of_step: &[u32]| GridFloat {
        step: of_step[0],
        value: of_step.len() as f64,
    };
    series.floats = steps.chunk_by(|a, b| a == b).map(count).collect();
    series
}

fn steps_of(group: &Group) -> Vec<u32> {
    let mut steps = Vec::new();
    for one in &group.members {
        steps.extend(one.floats.iter().map(|it| it.step));
        steps.extend(one.histograms.iter().map(|it| it.step));
    }
    steps
}

/// The distinct values of a group, numbered.
#[derive(Default)]
struct Values {
    texts: Vec<String>,
    by_text: HashMap<String, u32>,
    by_bits: HashMap<u64, u32>,
    /// The bits of the float before, and its number.
    last: Option<(u64, u32)>,
}

impl Values {
    fn of_float(&mut self, value: f64) -> u32 {
        let bits = if value.is_nan() { f64::NAN } else { value }.to_bits();
        if let Some((last, number)) = self.last
            && last == bits
        {
            return number;
        }
        let number = *self.by_bits.entry(bits).or_insert_with(|| {
            self.texts.push(format_number(value));
            self.texts.len() as u32 - 1
        });
        self.last = Some((bits, number));
        number
    }

    /// Returns the number of the value of a histogram, whose text is that of no float.
    fn of_text(&mut self, text: String) -> u32 {
        if let Some(number) = self.by_text.get(&text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.clone());
        self.by_text.insert(text, number);
        number
    }
}
