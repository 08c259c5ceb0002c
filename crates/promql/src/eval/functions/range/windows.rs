//! The windows of a series, one for each step at which it has samples.

use std::ops::Range;

use prom_model::Sample;

use super::notes::{Note, Notes};
use crate::eval::range_vector::{RangeSeries, RangeVector, WindowCursor};
use crate::eval::sample_counter::{SampleCounter, StepCount};
use crate::plan::{Extension, Reference};
use crate::steps::Steps;
use crate::value::HistogramSample;

/// The position and the length of windows relative to steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    steps: Steps,
    reference: Reference,
    /// Milliseconds.
    pub(super) range: i64,
    /// Milliseconds before the range whose samples belong to the window too.
    before: i64,
    /// Milliseconds after the range whose samples belong to the window too.
    after: i64,
    /// True if the samples are those of a subquery.
    is_subquery: bool,
}

impl Shape {
    pub(super) fn new(range: &RangeVector<'_>, steps: Steps, lookback: i64) -> Self {
        let (before, after) = match range.extension {
            Extension::None => (0, 0),
            Extension::Anchored => (lookback, 0),
            Extension::Smoothed => (lookback, lookback),
        };
        Self {
            steps,
            reference: range.reference,
            range: range.range,
            before,
            after,
            is_subquery: range.is_subquery,
        }
    }

    /// Returns the shape of the windows around the times that a selector with `smoothed` looks at.
    pub(super) fn around(reference: Reference, steps: Steps, lookback: i64) -> Self {
        Self {
            steps,
            reference,
            range: 0,
            before: lookback,
            after: lookback,
            is_subquery: false,
        }
    }

    /// Returns true if windows share samples.
    pub(super) fn overlaps(&self) -> bool {
        let around = self.before.saturating_add(self.after);
        self.range.saturating_add(around) > self.steps.interval
    }

    /// Returns a number of results that `samples` samples exceed rarely, to reserve memory for them.
    pub(super) fn expected_results(&self, samples: usize) -> usize {
        let windows_per_sample = self.range / self.steps.interval + 1;
        let results = samples.saturating_mul(usize::try_from(windows_per_sample).unwrap_or(1));
        results.min(self.steps.count() as usize).min(16_384)
    }
}

/// The samples of a window.
#[derive(Clone, Debug)]
pub(super) struct Window<'s> {
    pub(super) step: u32,
    /// The time of the evaluation.
    pub(super) time: i64,
    /// The time before the range.
    pub(super) range_start: i64,
    /// The last time of the range.
    pub(super) range_end: i64,
    /// Those of the range, and of its extension.
    pub(super) floats: &'s [Sample],
    /// Those of the range, and of its extension.
    pub(super) histograms: &'s [HistogramSample],
    /// The places of the floats in the series.
    pub(super) float_places: Range<usize>,
    /// The places of the histograms in the series.
    pub(super) histogram_places: Range<usize>,
}

impl<'s> Window<'s> {
    /// Returns the floats for a function that ignores histograms, and notes that it does; `None` if there are none.
    #[inline]
    pub(super) fn floats_only(&self, notes: &mut Notes) -> Option<&'s [Sample]> {
        if self.floats.is_empty() {
            return None;
        }
        notes.add_if(!self.histograms.is_empty(), Note::HistogramsIgnored);
        Some(self.floats)
    }

    /// Returns true if there are floats and histograms.
    pub(super) fn is_mixed(&self) -> bool {
        !self.floats.is_empty() && !self.histograms.is_empty()
    }

    /// Returns the number of samples before the range.
    pub(super) fn samples_before_range(&self) -> usize {
        let start = self.range_start;
        self.floats.partition_point(|it| it.timestamp_ms <= start)
            + self
                .histograms
                .partition_point(|it| it.timestamp_ms <= start)
    }
}

/// A walk through the windows of a series that have samples.
pub(super) struct Windows<'s> {
    shape: Shape,
    floats: &'s [Sample],
    histograms: &'s [HistogramSample],
    step: u32,
    float_cursor: WindowCursor,
    histogram_cursor: WindowCursor,
    /// The sizes of the histograms before each, in samples.
    histogram_sizes: Vec<usize>,
    /// The number of samples in all windows so far.
    total_size: usize,
    /// The number of those that were in no window before.
    read_size: usize,
    /// The same for each window, if the steps matter.
    by_step: Option<Vec<StepCount>>,
    /// The number of samples in the largest window so far.
    pub(super) largest_size: usize,
}

impl<'s> Windows<'s> {
    pub(super) fn new(shape: Shape, series: &'s RangeSeries<'_>) -> Self {
        let mut size = 0;
        let mut histogram_sizes = Vec::new();
        if !series.histograms.is_empty() {
            histogram_sizes.reserve_exact(series.histograms.len() + 1);
            histogram_sizes.push(0);
            histogram_sizes.extend(series.histograms.iter().map(|it| {
                size += it.histogram.size_in_samples();
                size
            }));
        }
        Self {
            shape,
            floats: &series.floats,
            histograms: &series.histograms,
            step: 0,
            float_cursor: WindowCursor::default(),
            histogram_cursor: WindowCursor::default(),
            histogram_sizes,
            total_size: 0,
            read_size: 0,
            by_step: None,
            largest_size: 0,
        }
    }

    /// Returns windows whose samples are counted for each step if that matters.
    pub(super) fn counted(
        shape: Shape,
        series: &'s RangeSeries<'_>,
        samples: &SampleCounter,
    ) -> Self {
        let by_step = samples.is_by_step().then(Vec::new);
        Self {
            by_step,
            ..Self::new(shape, series)
        }
    }

    /// Counts the samples of all windows so far.
    pub(super) fn count_all(&mut self, samples: &mut SampleCounter) {
        let by_step = self.by_step.take().unwrap_or_default();
        samples.count(self.total_size, self.read_size, by_step);
    }

    /// Adds the samples of a window, of which those before the second places are not new.
    fn add(
        &mut self,
        step: u32,
        (floats, histograms): (&Range<usize>, &Range<usize>),
        (old_floats, old_histograms): (usize, usize),
    ) {
        let mut total = floats.len();
        let mut read = floats.end - floats.start.max(old_floats);
        if !histograms.is_empty() {
            let sizes = &self.histogram_sizes;
            total += sizes[histograms.end] - sizes[histograms.start];
            read += sizes[histograms.end] - sizes[histograms.start.max(old_histograms)];
        }
        if self.shape.is_subquery {
            read = 0;
        }
        self.total_size += total;
        self.read_size += read;
        self.largest_size = self.largest_size.max(total);
        if let Some(by_step) = &mut self.by_step {
            let (total, read) = (total as u64, read as u64);
            by_step.push(StepCount { step, total, read });
        }
    }
}

impl<'s> Iterator for Windows<'s> {
    type Item = Window<'s>;

    #[inline]
    fn next(&mut self) -> Option<Window<'s>> {
        let Shape {
            steps,
            reference,
            range,
            before,
            after,
            is_subquery: _,
        } = self.shape;
        while self.step < steps.count() {
            let step = self.step;
            let time = steps.time(step);
            let range_end = reference.resolve(time);
            let range_start = range_end.saturating_sub(range);
            let (first, last) = (
                range_start.saturating_sub(before),
                range_end.saturating_add(after),
            );
            // The samples that the step before could see, too.
            let old = (self.float_cursor.end(), self.histogram_cursor.end());
            let float_places = self.float_cursor.advance(self.floats, first, last);
            let histogram_places = self.histogram_cursor.advance(self.histograms, first, last);
            if float_places.is_empty() && histogram_places.is_empty() {
                let float = self.floats.get(float_places.end);
                let histogram = self.histograms.get(histogram_places.end);
                let times = [
                    float.map(|it| it.timestamp_ms),
                    histogram.map(|it| it.timestamp_ms),
                ];
                // A gap costs nothing, however many steps it has.
                let next = times.into_iter().flatten().min()?;
                let reaching = steps.first_reaching(reference, next.saturating_sub(after));
                self.step = reaching.max(step + 1);
                continue;
            }
            self.step += 1;
            self.add(step, (&float_places, &histogram_places), old);
            return Some(Window {
                step,
                time,
                range_start,
                range_end,
                floats: &self.floats[float_places.clone()],
                histograms: &self.histograms[histogram_places.clone()],
                float_places,
                histogram_places,
            });
        }
        None
    }
}
