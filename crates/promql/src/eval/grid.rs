//! Instant vectors at all steps.

use std::collections::HashMap;
use std::sync::Arc;

use prom_model::{FloatHistogram, Labels, Sample};

use super::{Evaluated, fail, is_metadata_label};
use crate::engine::Held;

/// Label values up to this length do not count as samples.
pub(crate) const COMMON_VALUE_BYTES: usize = 1 << 10;

/// A series of an instant vector: its values at some of the steps. No step has two.
#[derive(Clone, Debug)]
pub(crate) struct GridSeries {
    pub(crate) labels: Arc<Labels>,
    /// True if the name has to be removed at the end of the evaluation; if it was removed at once, the labels are
    /// without it already.
    pub(crate) drop_name: bool,
    /// In the order of the steps.
    pub(crate) floats: Vec<GridFloat>,
    /// In the order of the steps.
    pub(crate) histograms: Vec<GridHistogram>,
}

/// A float at a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GridFloat {
    /// The index of the step.
    pub(crate) step: u32,
    pub(crate) value: f64,
}

/// A native histogram at a step.
#[derive(Clone, Debug)]
pub(crate) struct GridHistogram {
    /// The index of the step.
    pub(crate) step: u32,
    pub(crate) histogram: Arc<FloatHistogram>,
}

impl GridSeries {
    /// Returns a series without values.
    pub(crate) fn new(labels: Arc<Labels>, drop_name: bool) -> Self {
        Self {
            labels,
            drop_name,
            floats: Vec::new(),
            histograms: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// Returns the first step with a value.
    fn first_step(&self) -> Option<u32> {
        let float = self.floats.first().map(|it| it.step);
        let histogram = self.histograms.first().map(|it| it.step);
        float.into_iter().chain(histogram).min()
    }

    /// Returns the number of samples, a histogram counting as several. Label values that are longer than common ones count
    /// as the samples that have as many bytes, since an expression can make many of them.
    pub(crate) fn size(&self) -> usize {
        let histograms = self
            .histograms
            .iter()
            .map(|it| it.histogram.size_in_samples());
        let values = self.labels.iter().map(|label| label.value.len());
        let long: usize = values.filter(|len| *len > COMMON_VALUE_BYTES).sum();
        self.floats.len() + histograms.sum::<usize>() + long / size_of::<Sample>()
    }

    /// Repeats the value of the first step at the steps up to `count`.
    pub(crate) fn repeat(&mut self, count: u32) {
        if let [float] = self.floats[..] {
            self.floats
                .extend((1..count).map(|step| GridFloat { step, ..float }));
        } else if let [one] = &self.histograms[..] {
            let histogram = Arc::clone(&one.histogram);
            let repeat = |step| GridHistogram {
                step,
                histogram: Arc::clone(&histogram),
            };
            self.histograms.extend((1..count).map(repeat));
        }
    }
}

/// Memory of a series beside its samples and labels: itself, the counters of its labels and the heads of its lists.
const SERIES_BYTES: usize = size_of::<GridSeries>() + 64;

/// Memory that the allocator adds to each text of a label.
const TEXT_BYTES: usize = 8;

/// Returns what series hold. Labels that others share count there.
pub(crate) fn held(series: &[GridSeries]) -> Held {
    let own = series.iter().map(|one| &one.labels);
    let own = own.filter(|labels| Arc::strong_count(labels) == 1);
    let labels = own.map(|labels| labels.bytes() + 2 * TEXT_BYTES * labels.len());
    Held {
        samples: size(series),
        series_bytes: series.len() * SERIES_BYTES + labels.sum::<usize>(),
    }
}

/// Returns the number of samples of all series, a histogram counting as several.
pub(crate) fn size(series: &[GridSeries]) -> usize {
    series.iter().map(GridSeries::size).sum()
}

/// Returns labels without the metric's name, type and unit.
pub(crate) fn without_metadata(labels: &Arc<Labels>) -> Arc<Labels> {
    match labels.iter().any(|label| is_metadata_label(&label.name)) {
        true => Arc::new(labels.filtered(|name| !is_metadata_label(name))),
        false => Arc::clone(labels),
    }
}

/// The error of two series with the same labels and a value at the same step.
pub(crate) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// Returns true if two series have the same labels.
pub(crate) fn has_equal_labels(series: &[GridSeries]) -> bool {
    let mut labels = std::collections::HashSet::with_capacity(series.len());
    !series.iter().all(|it| labels.insert(&*it.labels))
}

/// Merges the series with the same labels, each at the place of the first of them. As in Prometheus the first value
/// decides about the removal of the name.
///
/// # Errors
/// Two of them have a value at the same step.
pub(crate) fn merged(series: Vec<GridSeries>) -> Evaluated<Vec<GridSeries>> {
    merged_groups(series, |floats, histograms| {
        let mut steps = [floats, histograms].concat();
        steps.sort_unstable();
        has_repetition(&steps)
    })
}

/// Merges the series of a result with the same labels, each at the place of the first of them. As in Prometheus, a
/// series may have a float and a histogram at the same step then.
///
/// # Errors
/// Two of them have a float at the same step, or a histogram.
pub(crate) fn merged_at_end(series: Vec<GridSeries>) -> Evaluated<Vec<GridSeries>> {
    merged_groups(series, |floats, histograms| {
        has_repetition(floats) || has_repetition(histograms)
    })
}

fn has_repetition(sorted: &[u32]) -> bool {
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

fn merged_groups(
    series: Vec<GridSeries>,
    collide: impl Fn(&[u32], &[u32]) -> bool,
) -> Evaluated<Vec<GridSeries>> {
    if series.len() < 2 || !has_equal_labels(&series) {
        return Ok(series);
    }
    let mut groups: Vec<Vec<GridSeries>> = Vec::new();
    let mut places: HashMap<Arc<Labels>, usize> = HashMap::new();
    for one in series {
        let place = *places
            .entry(Arc::clone(&one.labels))
            .or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let groups = groups.into_iter();
    groups.map(|group| merged_group(group, &collide)).collect()
}

/// Merges series. `collide` returns true if the sorted steps of all floats and of all histograms must not be.
fn merged_group(
    mut group: Vec<GridSeries>,
    collide: impl Fn(&[u32], &[u32]) -> bool,
) -> Evaluated<GridSeries> {
    if group.len() == 1 {
        return Ok(group.remove(0));
    }
    let drop_name = group.iter().min_by_key(|it| it.first_step());
    let drop_name = drop_name.is_some_and(|it| it.drop_name);
    let mut merged = GridSeries::new(Arc::clone(&group[0].labels), drop_name);
    for mut one in group {
        merged.floats.append(&mut one.floats);
        merged.histograms.append(&mut one.histograms);
    }
    merged.floats.sort_by_key(|it| it.step);
    merged.histograms.sort_by_key(|it| it.step);
    let floats: Vec<u32> = merged.floats.iter().map(|it| it.step).collect();
    let histograms: Vec<u32> = merged.histograms.iter().map(|it| it.step).collect();
    match collide(&floats, &histograms) {
        true => fail(SAME_LABELS),
        false => Ok(merged),
    }
}
