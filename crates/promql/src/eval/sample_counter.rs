//! The number of samples that an evaluation holds, selects and reads.

use super::Evaluated;
use super::grid::GridSeries;
use crate::engine::{Statistics, StepStatistics};
use crate::error::EvaluationError;
use crate::steps::Steps;

/// The most steps that are counted one by one.
const MAX_COUNTED_STEPS: u32 = 1 << 20;

/// Counts samples as Prometheus does, a native histogram as several, and limits them.
#[derive(Debug)]
pub(crate) struct SampleCounter {
    held: usize,
    limit: usize,
    peak: usize,
    total: u64,
    read: u64,
    /// The samples of each step of the query, if these were requested.
    per_step: Option<Vec<StepCount>>,
    /// The steps of the query.
    steps: Steps,
    /// The evaluations with other steps than those of the query, the innermost last.
    inner: Vec<InnerSteps>,
    /// True if it matters at which step samples are selected.
    is_by_step: bool,
}

/// The samples of a step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StepCount {
    /// The index of the step.
    pub(crate) step: u32,
    /// The samples that selectors hand to the evaluation.
    pub(crate) total: u64,
    /// Those of them that no step before has had.
    pub(crate) read: u64,
}

/// Steps within others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InnerSteps {
    /// Those of an evaluation for all outer steps at once, which counts as work of the first one.
    Once,
    /// Those of a subquery, each of which counts as work of the first outer step whose window can contain it.
    Subquery {
        steps: Steps,
        outer: Steps,
        /// Milliseconds.
        offset: i64,
        /// The length of the windows in milliseconds.
        range: i64,
    },
}

impl InnerSteps {
    /// Returns the outer step of a step; `None` if it lies in a gap between the windows of outer steps.
    fn outer_step(self, step: u32) -> Option<u32> {
        let Self::Subquery {
            steps,
            outer,
            offset,
            range,
        } = self
        else {
            return Some(0);
        };
        let time = steps.time(step).saturating_add(offset);
        let distance = time.saturating_sub(outer.start).max(0);
        let steps_before = distance / outer.interval + i64::from(distance % outer.interval != 0);
        let last = outer.count().saturating_sub(1);
        let outer_step = u32::try_from(steps_before).map_or(last, |step| step.min(last));
        let after = outer.time(outer_step).saturating_sub(range);
        (time > after).then_some(outer_step)
    }

    /// Returns true if there are gaps between the windows of outer steps.
    fn has_gaps(self) -> bool {
        match self {
            Self::Once => false,
            Self::Subquery { outer, range, .. } => range < outer.interval,
        }
    }
}

impl SampleCounter {
    pub(crate) fn new(limit: usize, steps: Steps, is_per_step: bool) -> Self {
        let is_by_step = is_per_step && steps.count() <= MAX_COUNTED_STEPS;
        let new = |step| StepCount {
            step,
            ..StepCount::default()
        };
        Self {
            held: 0,
            limit,
            peak: 0,
            total: 0,
            read: 0,
            per_step: is_by_step.then(|| (0..steps.count()).map(new).collect()),
            steps,
            inner: Vec::new(),
            is_by_step,
        }
    }

    /// Returns the number of samples that are held now.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Returns the number of samples that may be added.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.held)
    }

    /// Sets the number of samples that are held.
    ///
    /// # Errors
    /// There are more than the limit.
    pub(crate) fn set_held(&mut self, held: usize) -> Evaluated<()> {
        self.held = held;
        self.peak = self.peak.max(held);
        match held > self.limit {
            true => Err(EvaluationError::TooManySamples.into()),
            false => Ok(()),
        }
    }

    /// Adds samples that are held from now on.
    ///
    /// # Errors
    /// There are more than the limit.
    pub(crate) fn add(&mut self, samples: usize) -> Evaluated<()> {
        self.set_held(self.held.saturating_add(samples))
    }

    /// Returns true if it matters at which step samples are selected, see [`Self::count`].
    pub(crate) fn is_by_step(&self) -> bool {
        self.is_by_step
    }

    /// Counts samples that a selector handed to the evaluation. `by_step` are the same ones by the steps, and is looked at
    /// only if these matter.
    pub(crate) fn count(
        &mut self,
        total: usize,
        read: usize,
        by_step: impl IntoIterator<Item = StepCount>,
    ) {
        self.total = self.total.saturating_add(total as u64);
        if !self.is_by_step {
            self.read = self.read.saturating_add(read as u64);
            return;
        }
        for count in by_step {
            if self.inner.is_empty() {
                self.add_to_step(count);
            } else if let Some(step) = self.step_of_query(count.step) {
                let total = 0;
                self.add_to_step(StepCount {
                    step,
                    total,
                    ..count
                });
            } else {
                continue;
            }
            self.read = self.read.saturating_add(count.read);
        }
    }

    /// Counts the samples of an instant vector as selected and read.
    pub(crate) fn count_vector(&mut self, series: &GridSeries) {
        let size = series.size();
        let count = |step, samples: usize| StepCount {
            step,
            total: samples as u64,
            read: samples as u64,
        };
        let floats = series.floats.iter().map(|it| count(it.step, 1));
        let histograms = series.histograms.iter();
        let histograms = histograms.map(|it| count(it.step, it.histogram.size_in_samples()));
        self.count(size, size, floats.chain(histograms));
    }

    /// Counts samples of the only step as selected and read.
    pub(crate) fn count_only_step(&mut self, samples: usize) {
        let (step, total) = (0, samples as u64);
        let read = total;
        self.count(samples, samples, [StepCount { step, total, read }]);
    }

    fn add_to_step(&mut self, count: StepCount) {
        let per_step = self.per_step.as_mut();
        if let Some(sum) = per_step.and_then(|all| all.get_mut(count.step as usize)) {
            sum.total = sum.total.saturating_add(count.total);
            sum.read = sum.read.saturating_add(count.read);
        }
    }

    /// Returns the step of the query that a step of the innermost evaluation is work of; `None` if none has use for it.
    fn step_of_query(&self, step: u32) -> Option<u32> {
        let mut inner = self.inner.iter().rev();
        inner.try_fold(step, |step, inner| inner.outer_step(step))
    }

    /// Begins an evaluation with other steps, and returns the number of samples that were selected until now.
    pub(crate) fn begin(&mut self, inner: InnerSteps) -> u64 {
        self.inner.push(inner);
        self.is_by_step |= inner.has_gaps();
        self.total
    }

    fn end(&mut self) {
        self.inner.pop();
        self.is_by_step =
            self.per_step.is_some() || self.inner.iter().any(|inner| inner.has_gaps());
    }

    /// Ends an evaluation whose samples count again at each outer step. `total_before` was returned by its begin.
    pub(crate) fn end_repeated(&mut self, total_before: u64, outer: Steps) {
        self.end();
        let (since, read) = (self.total - total_before, 0);
        let repetitions = u64::from(outer.count()).saturating_sub(1);
        self.total = self.total.saturating_add(since.saturating_mul(repetitions));
        if self.inner.is_empty() && self.per_step.is_some() {
            for step in 0..outer.count() {
                let total = since;
                self.add_to_step(StepCount { step, total, read });
            }
        }
    }

    /// Ends an evaluation whose samples are selected once more from its result.
    pub(crate) fn end_selected_again(&mut self, total_before: u64) {
        self.end();
        self.total = total_before;
    }

    /// Returns the statistics of the query, and those of its steps if they were requested.
    pub(crate) fn statistics(self) -> (Statistics, Option<Vec<StepStatistics>>) {
        let statistics = Statistics {
            total_samples: self.total,
            samples_read: self.read,
            peak_samples: self.peak,
        };
        let steps = self.steps;
        let of_step = |count: StepCount| StepStatistics {
            timestamp_ms: steps.time(count.step),
            total_samples: count.total,
            samples_read: count.read,
        };
        let per_step = self.per_step;
        (
            statistics,
            per_step.map(|all| all.into_iter().map(of_step).collect()),
        )
    }
}
