//! The number of samples that an evaluation holds.

use super::Evaluated;
use crate::engine::Statistics;
use crate::error::EvaluationError;

/// Counts samples as Prometheus does, a native histogram as several, and limits them.
#[derive(Debug)]
pub(crate) struct SampleCounter {
    held: usize,
    limit: usize,
    peak: usize,
    total: u64,
}

impl SampleCounter {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            held: 0,
            limit,
            peak: 0,
            total: 0,
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

    /// Counts samples that a selector handed to the evaluation.
    pub(crate) fn count_selected(&mut self, samples: usize) {
        self.total += samples as u64;
    }

    /// Returns the number of samples that selectors have handed to the evaluation.
    pub(crate) fn selected(&self) -> u64 {
        self.total
    }

    /// Counts the samples that were selected since then again and again.
    pub(crate) fn repeat_selected(&mut self, selected_before: u64, repetitions: u64) {
        let since = self.total - selected_before;
        self.total = self.total.saturating_add(since.saturating_mul(repetitions));
    }

    /// Forgets the samples that were selected since then.
    pub(crate) fn forget_selected(&mut self, selected_before: u64) {
        self.total = selected_before;
    }

    pub(crate) fn statistics(&self) -> Statistics {
        Statistics {
            total_samples: self.total,
            peak_samples: self.peak,
        }
    }
}
