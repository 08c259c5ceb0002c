//! Selectors of instant vectors: at each step the newest sample that is not too old.

use std::sync::Arc;

use prom_model::{STALE_MARKER_BITS, Sample};

use super::grid::{GridFloat, GridHistogram, GridSeries};
use super::histogram_counts::{self, Reach};
use super::{Evaluated, Evaluator};
use crate::error::EvaluationError;
use crate::plan::{Reference, Selector};
use crate::storage::StoredSeries;
use crate::value::HistogramSample;

/// Returns true for the NaN that ends a series.
pub(crate) fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_MARKER_BITS
}

/// The newest sample at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Newest<'a> {
    Float(&'a Sample),
    Histogram(&'a HistogramSample),
}

impl Newest<'_> {
    pub(crate) fn timestamp_ms(&self) -> i64 {
        match self {
            Self::Float(sample) => sample.timestamp_ms,
            Self::Histogram(sample) => sample.timestamp_ms,
        }
    }

    fn is_stale(&self) -> bool {
        match self {
            Self::Float(sample) => is_stale(sample.value),
            Self::Histogram(sample) => sample.histogram.is_stale(),
        }
    }
}

/// A walk through a series with times that do not fall.
pub(crate) struct NewestCursor<'a> {
    series: &'a StoredSeries,
    lookback: i64,
    /// The number of floats, and of histograms, that are not after the time.
    floats: usize,
    histograms: usize,
}

impl<'a> NewestCursor<'a> {
    pub(crate) fn new(series: &'a StoredSeries, lookback: i64) -> Self {
        Self {
            series,
            lookback,
            floats: 0,
            histograms: 0,
        }
    }

    /// Returns the newest sample in the lookback before a time, which must not be before the last one; `None` if there
    /// is none or it is a stale marker.
    pub(crate) fn newest(&mut self, time: i64) -> Option<Newest<'a>> {
        let (floats, histograms) = (&self.series.floats, &self.series.histograms);
        while self.floats < floats.len() && floats[self.floats].timestamp_ms <= time {
            self.floats += 1;
        }
        while self.histograms < histograms.len() && histograms[self.histograms].timestamp_ms <= time
        {
            self.histograms += 1;
        }
        let float = self
            .floats
            .checked_sub(1)
            .map(|index| Newest::Float(&floats[index]));
        let histogram = self.histograms.checked_sub(1);
        let histogram = histogram.map(|index| Newest::Histogram(&histograms[index]));
        let newest = match (float, histogram) {
            (Some(float), Some(histogram)) => {
                match float.timestamp_ms() > histogram.timestamp_ms() {
                    true => float,
                    false => histogram,
                }
            }
            (float, histogram) => float.or(histogram)?,
        };
        let is_current = newest.timestamp_ms() > time.saturating_sub(self.lookback);
        (is_current && !newest.is_stale()).then_some(newest)
    }

    /// Returns the time of the first sample after the time of the last call.
    pub(crate) fn next_time(&self) -> Option<i64> {
        let float = self.series.floats.get(self.floats);
        let histogram = self.series.histograms.get(self.histograms);
        let float = float.map(|it| it.timestamp_ms);
        let histogram = histogram.map(|it| it.timestamp_ms);
        float.into_iter().chain(histogram).min()
    }

    /// Returns the start of the counter of the sample that `newest` returned; 0 if it is unknown.
    pub(crate) fn start_of(&self, newest: Newest<'_>) -> i64 {
        let Some(starts) = &self.series.starts else {
            return 0;
        };
        let (starts, count) = match newest {
            Newest::Float(_) => (&starts.floats, self.floats),
            Newest::Histogram(_) => (&starts.histograms, self.histograms),
        };
        starts.get(count - 1).copied().unwrap_or(0)
    }
}

impl<'a> Evaluator<'a> {
    /// Evaluates a selector.
    pub(super) fn select(&mut self, selector: &'a Selector) -> Evaluated<Vec<GridSeries>> {
        let stored = self.selected(selector.selection)?;
        let mut selected = Vec::with_capacity(stored.len());
        for series in stored {
            self.check_interrupt()?;
            let counts = selector.counts_only.then(|| {
                let reach = Reach::window(self.options.lookback_ms, 0);
                histogram_counts::only_counts(series, self.steps, selector.reference, reach)
            });
            let series = counts.as_ref().unwrap_or(series);
            let one = self.select_one(series, selector.reference)?;
            if !one.is_empty() {
                self.samples.add(one.size())?;
                self.samples.count_vector(&one);
                selected.push(one);
            }
        }
        Ok(selected)
    }

    fn select_one(&self, series: &StoredSeries, reference: Reference) -> Evaluated<GridSeries> {
        let mut one = GridSeries::new(Arc::clone(&series.labels), false);
        let cursor = NewestCursor::new(series, self.options.lookback_ms);
        self.each_newest(cursor, reference, |step, newest, _| match newest {
            Newest::Float(sample) => one.floats.push(GridFloat {
                step,
                value: sample.value,
            }),
            Newest::Histogram(sample) => one.histograms.push(GridHistogram {
                step,
                histogram: Arc::clone(&sample.histogram),
            }),
        })?;
        Ok(one)
    }

    /// Calls `found` with the newest sample of each step that has one.
    ///
    /// # Errors
    /// There are more of them than samples may be added.
    pub(super) fn each_newest<'s>(
        &self,
        mut cursor: NewestCursor<'s>,
        reference: Reference,
        mut found: impl FnMut(u32, Newest<'s>, &NewestCursor<'s>),
    ) -> Evaluated<()> {
        let (steps, mut room) = (self.steps, self.samples.room());
        let mut step = 0;
        while step < steps.count() {
            match cursor.newest(reference.resolve(steps.time(step))) {
                Some(newest) => {
                    room = room.checked_sub(1).ok_or(EvaluationError::TooManySamples)?;
                    found(step, newest, &cursor);
                    step += 1;
                }
                None => {
                    let Some(time) = cursor.next_time() else {
                        break;
                    };
                    // A gap costs nothing, however many steps it has.
                    step = steps.first_reaching(reference, time).max(step + 1);
                }
            }
        }
        Ok(())
    }
}
