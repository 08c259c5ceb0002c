//! The function `info`, which adds the labels of info metrics to series of the same target.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use prom_model::{Label, Labels, METRIC_NAME_LABEL};

use super::grid::{self, GridSeries};
use super::sample_counter::StepCount;
use super::select::{Newest, NewestCursor};
use super::{Evaluated, Evaluator, Stop, fail, metric_name};
use crate::ast::{MatchOp, Matcher};
use crate::error::EvaluationError;
use crate::plan::{Info, Reference};
use crate::storage::{Selection, StoredSeries, WindowSamples};
use crate::text::labels_text;

/// The info metric that is used unless the second argument names others.
const DEFAULT_METRIC: &str = "target_info";

/// The labels that identify a target.
const INSTANCE: &str = "instance";
const JOB: &str = "job";

/// Evaluates a call of `info`.
///
/// The info series are selected by the values that the labels `instance` and `job` have in the first argument, so
/// that they can only be fetched after it was evaluated.
pub(super) fn info<'a>(ev: &mut Evaluator<'a>, info: &'a Info) -> Evaluated<Vec<GridSeries>> {
    let base = ev.vector(&info.input)?;
    let conditions = Conditions::new(info.matchers.as_deref())?;
    let (base, is_ignored): (Vec<_>, Vec<_>) = base
        .into_iter()
        .map(|one| {
            let is_ignored = conditions.select_metric(metric_name(&one.labels));
            (one, is_ignored)
        })
        .unzip();
    let targets = targets(&base, &is_ignored)?;
    let selections = targets
        .iter()
        .map(|matchers| ev.info_selection(matchers, &conditions, info.reference));
    let selections: Vec<_> = selections.collect();
    let infos = ev.info_series(&selections, info.reference)?;
    let metrics = InfoMetrics::new(&infos, &base);
    enrich(ev, base, &is_ignored, &infos, metrics, &conditions)
}

/// The conditions of the second argument.
struct Conditions {
    /// Those of the names of info metrics; at least one.
    names: Vec<Matcher>,
    /// Those of the labels that are added.
    labels: Vec<Matcher>,
}

impl Conditions {
    fn new(matchers: Option<&[Matcher]>) -> Evaluated<Self> {
        let matchers = matchers.unwrap_or_default().iter().cloned();
        let is_name = |matcher: &Matcher| matcher.name == *METRIC_NAME_LABEL;
        let (mut names, labels): (Vec<_>, Vec<_>) = matchers.partition(is_name);
        let is_positive = |matcher: &Matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex);
        if names.is_empty() {
            names.push(matcher(METRIC_NAME_LABEL, MatchOp::Equal, DEFAULT_METRIC)?);
        } else if !names.iter().any(is_positive) {
            names.insert(0, matcher(METRIC_NAME_LABEL, MatchOp::Regex, ".+_info")?);
        }
        Ok(Self { names, labels })
    }

    /// Returns true if a metric is one of the info metrics.
    fn select_metric(&self, name: &str) -> bool {
        self.names.iter().all(|matcher| matcher.matches(name))
    }

    /// Returns true if a label of an info metric is added.
    fn select_label(&self, name: &str) -> bool {
        self.labels.is_empty() || self.labels.iter().any(|matcher| matcher.name == *name)
    }

    /// Returns true if a series without an info series stays.
    fn accept_absence(&self) -> bool {
        self.labels.iter().all(|matcher| matcher.matches(""))
    }
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Evaluated<Matcher> {
    match Matcher::new(name, op, value) {
        Ok(matcher) => Ok(matcher),
        Err(error) => fail(format!("the info series cannot be selected: {error}")),
    }
}

/// The conditions of the labels that identify targets.
type TargetMatchers = [Matcher; 2];

/// Returns conditions that select the info series of all targets of the series: one pair for the targets with a job
/// only, one for those with an instance only, and one for those with both. In each, instances and jobs are combined
/// freely.
fn targets(base: &[GridSeries], is_ignored: &[bool]) -> Evaluated<Vec<TargetMatchers>> {
    // By the presence of an instance and a job.
    let mut values: BTreeMap<(bool, bool), [BTreeSet<&str>; 2]> = BTreeMap::new();
    for (one, _) in base
        .iter()
        .zip(is_ignored)
        .filter(|(_, ignored)| !**ignored)
    {
        let (instance, job) = (one.labels.get(INSTANCE), one.labels.get(JOB));
        if instance.is_empty() && job.is_empty() {
            continue;
        }
        let of_presence = values.entry((!instance.is_empty(), !job.is_empty()));
        let [instances, jobs] = of_presence.or_default();
        instances.insert(instance);
        jobs.insert(job);
    }
    let one_of = |name, values: BTreeSet<&str>| {
        if values.contains("") {
            return matcher(name, MatchOp::Equal, "");
        }
        let values: Vec<_> = values.into_iter().map(go_regex::escape).collect();
        matcher(name, MatchOp::Regex, &values.join("|"))
    };
    let matchers = values
        .into_values()
        .map(|[instances, jobs]| Ok([one_of(INSTANCE, instances)?, one_of(JOB, jobs)?]));
    matchers.collect()
}

/// An info series at the steps at which it has a sample.
struct InfoSeries<'a> {
    labels: &'a Arc<Labels>,
    samples: Vec<InfoSample>,
}

/// The presence of an info series.
#[derive(Clone, Copy)]
struct InfoSample {
    step: u32,
    /// The time of the sample, which may be before that of the step.
    timestamp_ms: i64,
}

impl<'a> Evaluator<'a> {
    fn info_selection(
        &self,
        targets: &TargetMatchers,
        conditions: &Conditions,
        reference: Reference,
    ) -> Selection {
        let first_ms = reference.resolve(self.steps.start);
        let last_ms = reference.resolve(self.steps.last());
        let matchers = targets.iter().chain(&conditions.labels);
        Selection {
            matchers: matchers.chain(&conditions.names).cloned().collect(),
            first_ms,
            last_ms,
            step_ms: match first_ms == last_ms {
                true => 1,
                false => self.steps.interval,
            },
            before_ms: self.options.lookback_ms,
            after_ms: 0,
            samples: WindowSamples::Newest,
            function: Some("info"),
            grouping: None,
        }
    }

    /// Returns the series of the selections, in this order, that have a sample at a step. Selections that are missing
    /// are requested all at once.
    fn info_series(
        &mut self,
        selections: &[Selection],
        reference: Reference,
    ) -> Evaluated<Vec<InfoSeries<'a>>> {
        let mut stored = Vec::new();
        let mut is_missing = false;
        for selection in selections {
            match self.fetched(selection) {
                Ok(series) => stored.extend(series),
                Err(Stop::Needs) => is_missing = true,
                Err(stop) => return Err(stop),
            }
        }
        if is_missing {
            return Err(Stop::Needs);
        }
        let mut infos = Vec::with_capacity(stored.len());
        for series in stored {
            self.check_interrupt()?;
            let samples = self.info_samples(series, reference)?;
            if !samples.is_empty() {
                self.samples.add(samples.len())?;
                let of_sample = |sample: &InfoSample| StepCount {
                    step: sample.step,
                    total: 1,
                    read: 1,
                };
                let (count, by_step) = (samples.len(), samples.iter().map(of_sample));
                self.samples.count(count, count, by_step);
                infos.push(InfoSeries {
                    labels: &series.labels,
                    samples,
                });
            }
        }
        Ok(infos)
    }

    fn info_samples(
        &self,
        series: &StoredSeries,
        reference: Reference,
    ) -> Evaluated<Vec<InfoSample>> {
        let (steps, room) = (self.steps, self.samples.room());
        let mut cursor = NewestCursor::new(series, self.options.lookback_ms);
        let mut samples = Vec::new();
        let mut step = 0;
        while step < steps.count() {
            match cursor.newest(reference.resolve(steps.time(step))) {
                Some(Newest::Float(sample)) => samples.push(InfoSample {
                    step,
                    timestamp_ms: sample.timestamp_ms,
                }),
                Some(Newest::Histogram(_)) => {
                    let labels = labels_text(&series.labels);
                    return fail(format!(
                        "this should be an info metric, with float samples: {labels}"
                    ));
                }
                None => {
                    let Some(time) = cursor.next_time() else {
                        break;
                    };
                    step = steps.first_reaching(reference, time).max(step + 1);
                    continue;
                }
            }
            if samples.len() > room {
                return Err(EvaluationError::TooManySamples.into());
            }
            step += 1;
        }
        Ok(samples)
    }
}

/// Steps at which an info series is the current one of its metric and target.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u32,
    last: u32,
    /// The index of the info series.
    series: usize,
}

/// The info series of each target: for each metric, in the order of their names, the runs in the order of the steps.
#[derive(Default)]
struct InfoMetrics<'a> {
    by_target: HashMap<(&'a str, &'a str), Vec<Vec<Run>>>,
    /// The first step at which two series of a metric and target are equally new.
    error: Option<StepError>,
}

/// An error at a step.
struct StepError {
    step: u32,
    message: String,
}

impl StepError {
    /// Keeps the error of the earlier step; the one that is there if the steps are the same.
    fn earlier(error: &mut Option<Self>, other: Self) {
        match error {
            Some(error) if error.step <= other.step => {}
            _ => *error = Some(other),
        }
    }
}

impl<'a> InfoMetrics<'a> {
    fn new(infos: &[InfoSeries<'a>], base: &[GridSeries]) -> Self {
        let mut series: HashMap<(&str, &str), BTreeMap<&str, Vec<usize>>> = HashMap::new();
        for (index, one) in infos.iter().enumerate() {
            let target = (one.labels.get(INSTANCE), one.labels.get(JOB));
            let metrics = series.entry(target).or_default();
            metrics
                .entry(metric_name(one.labels))
                .or_default()
                .push(index);
        }
        let mut metrics = Self::default();
        // The first tie by its step and the later one of the series.
        let mut first_tie: Option<Tie> = None;
        let mut base = BaseSteps::new(base);
        for (target, by_name) in series {
            let mut runs = Vec::with_capacity(by_name.len());
            for group in by_name.values() {
                let (of_metric, tie) = current(infos, group, &mut base);
                runs.push(of_metric);
                let key = |tie: &Tie| (tie.step, tie.series[1]);
                if let Some(tie) = tie
                    && first_tie
                        .as_ref()
                        .is_none_or(|first| key(&tie) < key(first))
                {
                    first_tie = Some(tie);
                }
            }
            metrics.by_target.insert(target, runs);
        }
        metrics.error = first_tie.map(|tie| tie.error(infos));
        metrics
    }

    /// Returns the runs of each metric for a target.
    fn of_target<'s>(&'s self, labels: &'s Labels) -> &'s [Vec<Run>] {
        let target = (labels.get(INSTANCE), labels.get(JOB));
        self.by_target.get(&target).map_or(&[], Vec::as_slice)
    }
}

/// Two info series of the same metric and target whose samples have the same time.
struct Tie {
    step: u32,
    timestamp_ms: i64,
    series: [usize; 2],
}

impl Tie {
    fn error(&self, infos: &[InfoSeries<'_>]) -> StepError {
        let text = |series: usize| {
            let labels = labels_text(infos[series].labels);
            format!("{labels} @ {}", self.timestamp_ms)
        };
        let [existing, new] = self.series.map(text);
        StepError {
            step: self.step,
            message: format!(
                "found duplicate series for info metric: existing {existing}, new {new}"
            ),
        }
    }
}

/// Returns the runs of the newest series of a group, and the first tie at a step at which it matters.
fn current(
    infos: &[InfoSeries<'_>],
    group: &[usize],
    base: &mut BaseSteps<'_>,
) -> (Vec<Run>, Option<Tie>) {
    let mut runs = Vec::new();
    if let [series] = *group {
        let samples = &infos[series].samples;
        samples
            .iter()
            .for_each(|it| extend(&mut runs, it.step, series));
        return (runs, None);
    }
    let of_series = |&series: &usize| {
        let samples = infos[series].samples.iter();
        samples.map(move |sample| (sample, series))
    };
    let mut samples: Vec<_> = group.iter().flat_map(of_series).collect();
    // Those of a step stay in the order of the series.
    samples.sort_by_key(|(sample, _)| sample.step);
    for of_step in samples.chunk_by(|a, b| a.0.step == b.0.step) {
        let (mut newest, mut series) = of_step[0];
        for &(sample, other) in &of_step[1..] {
            if sample.timestamp_ms == newest.timestamp_ms && base.contains(sample.step) {
                let tie = Tie {
                    step: sample.step,
                    timestamp_ms: sample.timestamp_ms,
                    series: [series, other],
                };
                return (runs, Some(tie));
            }
            if sample.timestamp_ms > newest.timestamp_ms {
                (newest, series) = (sample, other);
            }
        }
        extend(&mut runs, newest.step, series);
    }
    (runs, None)
}

/// Adds a step to the last run, or begins a new one.
fn extend(runs: &mut Vec<Run>, step: u32, series: usize) {
    match runs.last_mut() {
        Some(run) if run.series == series && run.last + 1 == step => run.last = step,
        _ => runs.push(Run {
            first: step,
            last: step,
            series,
        }),
    }
}

/// The steps at which the first argument has values. They are collected when they are needed, which is rare.
struct BaseSteps<'b> {
    base: &'b [GridSeries],
    steps: Option<HashSet<u32>>,
}

impl<'b> BaseSteps<'b> {
    fn new(base: &'b [GridSeries]) -> Self {
        Self { base, steps: None }
    }

    fn contains(&mut self, step: u32) -> bool {
        let base = self.base;
        let steps = self.steps.get_or_insert_with(|| {
            let floats = base.iter().flat_map(|one| &one.floats).map(|it| it.step);
            let histograms = base.iter().flat_map(|one| &one.histograms);
            floats.chain(histograms.map(|it| it.step)).collect()
        });
        steps.contains(&step)
    }
}

/// Adds the labels of info series.
fn enrich(
    ev: &Evaluator<'_>,
    base: Vec<GridSeries>,
    is_ignored: &[bool],
    infos: &[InfoSeries<'_>],
    metrics: InfoMetrics<'_>,
    conditions: &Conditions,
) -> Evaluated<Vec<GridSeries>> {
    let mut enriched = Vec::with_capacity(base.len());
    let mut error = None;
    for (one, is_ignored) in base.into_iter().zip(is_ignored) {
        ev.check_interrupt()?;
        if *is_ignored {
            enriched.push(one);
            continue;
        }
        let labels = Arc::clone(&one.labels);
        let runs = metrics.of_target(&labels);
        let variants = Variants {
            base: Arc::clone(&labels),
            infos,
            conditions,
            labels: HashMap::new(),
        };
        if let Err(conflict) = variants.add_to(&mut enriched, one, runs) {
            StepError::earlier(&mut error, conflict);
        }
    }
    // At the same step ties are found before labels are compared.
    let error = match (metrics.error, error) {
        (Some(tie), Some(conflict)) if conflict.step < tie.step => Some(conflict),
        (tie, conflict) => tie.or(conflict),
    };
    match error {
        Some(error) => fail(error.message),
        None => grid::merged(enriched),
    }
}

/// The label sets of a series with those of its info series.
struct Variants<'v> {
    base: Arc<Labels>,
    infos: &'v [InfoSeries<'v>],
    conditions: &'v Conditions,
    /// By the indices of the info series; `None` if the values are dropped.
    labels: HashMap<Vec<usize>, Option<Arc<Labels>>>,
}

/// Values at successive steps with the same info series.
struct Part {
    values: Range<usize>,
    labels: Option<Arc<Labels>>,
}

impl Variants<'_> {
    /// Adds a series with the labels that its values have.
    fn add_to(
        mut self,
        to: &mut Vec<GridSeries>,
        mut one: GridSeries,
        runs: &[Vec<Run>],
    ) -> Result<(), StepError> {
        let floats = self.parts(&one.floats, |it| it.step, runs);
        let histograms = self.parts(&one.histograms, |it| it.step, runs);
        let (floats, histograms) = match (floats, histograms) {
            (Ok(floats), Ok(histograms)) => (floats, histograms),
            (Err(error), Err(other)) if other.step < error.step => return Err(other),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let mut parts = floats.iter().chain(&histograms);
        let first = parts.next().and_then(|part| part.labels.as_ref());
        if parts.all(|part| part.labels.as_ref() == first) {
            if let Some(labels) = first {
                one.labels = Arc::clone(labels);
                to.push(one);
            }
            return Ok(());
        }
        let mut split: Vec<GridSeries> = Vec::new();
        let mut places: HashMap<Arc<Labels>, usize> = HashMap::new();
        let mut place_of = |split: &mut Vec<GridSeries>, labels: Arc<Labels>| {
            *places.entry(labels).or_insert_with_key(|labels| {
                split.push(GridSeries::new(Arc::clone(labels), one.drop_name));
                split.len() - 1
            })
        };
        for part in floats {
            if let Some(labels) = part.labels {
                let place = place_of(&mut split, labels);
                split[place].floats.extend(&one.floats[part.values]);
            }
        }
        let mut values = one.histograms.into_iter();
        for part in histograms {
            let values = values.by_ref().take(part.values.len());
            match part.labels {
                Some(labels) => {
                    let place = place_of(&mut split, labels);
                    split[place].histograms.extend(values);
                }
                None => values.for_each(drop),
            }
        }
        to.append(&mut split);
        Ok(())
    }

    /// Returns the values in parts of successive ones with the same info series.
    fn parts<T>(
        &mut self,
        values: &[T],
        step_of: impl Fn(&T) -> u32,
        metrics: &[Vec<Run>],
    ) -> Result<Vec<Part>, StepError> {
        let mut parts = Vec::new();
        let mut places = vec![0; metrics.len()];
        let mut series = Vec::with_capacity(metrics.len());
        let mut start = 0;
        while let Some(first) = values.get(start) {
            let step = step_of(first);
            let mut last = u32::MAX;
            series.clear();
            for (runs, place) in metrics.iter().zip(&mut places) {
                *place += runs[*place..].partition_point(|run| run.last < step);
                match runs.get(*place) {
                    Some(run) if run.first <= step => {
                        series.push(run.series);
                        last = last.min(run.last);
                    }
                    Some(run) => last = last.min(run.first - 1),
                    None => {}
                }
            }
            let end = start + values[start..].partition_point(|it| step_of(it) <= last);
            parts.push(Part {
                values: start..end,
                labels: self.labels_with(&series).map_err(|label| StepError {
                    step,
                    message: format!("conflicting label: {label}"),
                })?,
            });
            start = end;
        }
        Ok(parts)
    }

    /// Returns the labels with those of info series, or the label in which the info series differ.
    fn labels_with(&mut self, series: &[usize]) -> Result<Option<Arc<Labels>>, String> {
        if let Some(labels) = self.labels.get(series) {
            return Ok(labels.clone());
        }
        let labels = match series {
            [] => {
                let stays = self.conditions.accept_absence();
                stays.then(|| Arc::clone(&self.base))
            }
            _ => Some(self.combined(series)?),
        };
        self.labels.insert(series.to_vec(), labels.clone());
        Ok(labels)
    }

    fn combined(&self, series: &[usize]) -> Result<Arc<Labels>, String> {
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        for &series in series {
            for Label { name, value } in self.infos[series].labels.iter() {
                let is_added = name != METRIC_NAME_LABEL
                    && self.conditions.select_label(name)
                    && self.base.get(name).is_empty();
                if is_added && *added.entry(name).or_insert(value) != value {
                    return Err(name.clone());
                }
            }
        }
        if added.is_empty() {
            return Ok(Arc::clone(&self.base));
        }
        let added = added.into_iter().map(|(name, value)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        Ok(Arc::new(Labels::new(
            self.base.iter().cloned().chain(added).collect(),
        )))
    }
}
