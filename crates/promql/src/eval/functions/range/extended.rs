//! `anchored` and `smoothed`: windows that know the samples around their range.

use std::sync::Arc;

use prom_model::{FloatHistogram, ResetHint, Sample};

use super::RangeFunction;
use super::notes::{Note, Notes};
use super::places::Places;
use super::rate::{add, sub};
use super::windows::{Shape, Window, Windows};
use crate::eval::grid::{GridFloat, GridHistogram, GridSeries};
use crate::eval::histogram_counts::{Reach, only_counts};
use crate::eval::range_vector::{RangeSeries, RangeVector};
use crate::eval::{Evaluated, Evaluator, fail, metric_name};
use crate::plan::{Extension, Selector};
use crate::position::Span;
use crate::value::{HistogramSample, SampleValue, Series};

/// Returns the value at a time on the line between two samples. A counter that was reset between them began with 0.
fn interpolated(before: Sample, after: Sample, time: i64, is_counter: bool) -> f64 {
    let from = match is_counter && after.value < before.value {
        true => 0.0,
        false => before.value,
    };
    let elapsed = (time - before.timestamp_ms) as f64;
    let total = (after.timestamp_ms - before.timestamp_ms) as f64;
    from + (after.value - from) * elapsed / total
}

/// Returns the histogram at a time between two samples; `None` if just one of them has custom buckets.
fn interpolated_histogram(
    before: &HistogramSample,
    after: &HistogramSample,
    time: i64,
    is_counter: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    if time == before.timestamp_ms {
        return Some(FloatHistogram::clone(&before.histogram));
    }
    let mut result = FloatHistogram::clone(&after.histogram);
    if time == after.timestamp_ms {
        return Some(result);
    }
    let elapsed = (time - before.timestamp_ms) as f64;
    let fraction = elapsed / (after.timestamp_ms - before.timestamp_ms) as f64;
    let is_reset = is_counter && after.histogram.detects_reset(&before.histogram);
    if !is_reset {
        sub(&mut result, &before.histogram, notes)?;
    }
    result.mul(fraction);
    if !is_reset {
        add(&mut result, &before.histogram, notes)?;
    }
    Some(result)
}

/// The samples of a window that matter: the one before the range, those in it, and with `smoothed` the one after it.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: usize,
    last: usize,
    is_smoothed: bool,
    range_start: i64,
    range_end: i64,
}

impl Ends {
    /// Returns the ends of a window, of whose samples `time` returns the times; `None` if all are before the range.
    fn of<T>(
        window: &Window<'_>,
        samples: &[T],
        time: impl Fn(&T) -> i64,
        is_smoothed: bool,
    ) -> Option<Self> {
        let (range_start, range_end) = (window.range_start, window.range_end);
        let newest = samples.len().checked_sub(1)?;
        let others = &samples[..newest];
        let first = others.partition_point(|it| time(it) <= range_start);
        let first = first.saturating_sub(1);
        let last = match is_smoothed {
            true => others.partition_point(|it| time(it) < range_end),
            false => newest,
        };
        (time(&samples[last]) > range_start).then_some(Self {
            first,
            last,
            is_smoothed,
            range_start,
            range_end,
        })
    }

    /// Returns true if all samples are after the range, given the time of the first one.
    fn are_after_range(self, first: i64) -> bool {
        self.is_smoothed && first > self.range_end
    }

    /// Returns the value at the start of the range.
    fn left(self, floats: &[Sample], is_counter: bool) -> f64 {
        let sample = floats[self.first];
        match self.is_smoothed && sample.timestamp_ms < self.range_start {
            true => interpolated(sample, floats[self.first + 1], self.range_start, is_counter),
            false => sample.value,
        }
    }

    /// Returns the value at the end of the range.
    fn right(self, floats: &[Sample], is_counter: bool) -> f64 {
        let sample = floats[self.last];
        match self.is_smoothed && self.last > 0 && sample.timestamp_ms > self.range_end {
            true => interpolated(floats[self.last - 1], sample, self.range_end, is_counter),
            false => sample.value,
        }
    }

    /// Returns the places of the samples within the range and not at its bounds.
    fn inner(self, floats: &[Sample]) -> std::ops::Range<usize> {
        let is_first_inner = floats[self.first].timestamp_ms > self.range_start;
        let is_last_inner = floats[self.last].timestamp_ms < self.range_end;
        let start = self.first + usize::from(!is_first_inner);
        let end = self.last + usize::from(is_last_inner);
        start..end.max(start)
    }
}

/// `rate`, `increase` and `delta` of windows that know the samples around their range.
#[derive(Debug)]
pub(super) struct ExtendedRate {
    pub(super) is_counter: bool,
    pub(super) is_smoothed: bool,
    /// The length of the range in seconds if the result is per second.
    pub(super) per_seconds: Option<f64>,
    pub(super) float_resets: Places,
}

impl ExtendedRate {
    fn floats(&mut self, series: &RangeSeries<'_>, window: &Window<'_>) -> Option<f64> {
        let floats = window.floats;
        let ends = Ends::of(window, floats, |it| it.timestamp_ms, self.is_smoothed)?;
        if ends.are_after_range(floats[ends.first].timestamp_ms) {
            return None;
        }
        let (left, right) = (
            ends.left(floats, self.is_counter),
            ends.right(floats, self.is_counter),
        );
        let mut result = right - left;
        if self.is_counter {
            let inner = ends.inner(floats);
            let offset = window.float_places.start;
            let (start, end) = (offset + inner.start, offset + inner.end);
            let mut correction = 0.0;
            let mut before = left;
            if let Some(first) = floats[inner.clone()].first()
                && first.value < left
            {
                correction += left;
            }
            for &place in self.float_resets.within(start..end) {
                correction += series.floats[place - 1].value;
            }
            if let Some(last) = floats[inner].last() {
                before = last.value;
            }
            if right < before {
                correction += before;
            }
            result += correction;
        }
        Some(match self.per_seconds {
            Some(seconds) => result / seconds,
            None => result,
        })
    }

    fn histograms(&self, window: &Window<'_>, notes: &mut Notes) -> Option<FloatHistogram> {
        let all = window.histograms;
        let ends = Ends::of(window, all, |it| it.timestamp_ms, self.is_smoothed)?;
        if ends.are_after_range(all[ends.first].timestamp_ms) {
            return None;
        }
        self.check(&all[ends.first..=ends.last], notes)?;
        let left = self.left(all, ends, notes)?;
        let right = self.right(all, ends, notes)?;
        let is_gauge = |it: &FloatHistogram| it.reset_hint() == ResetHint::Gauge;
        if !self.is_counter {
            notes.add_if(!is_gauge(&left) || !is_gauge(&right), Note::NotGauge);
        }
        let mut result = right.clone();
        sub(&mut result, &left, notes)?;
        if self.is_counter
            && let Some(correction) = Self::correction(all, ends, &left, &right, notes)?
        {
            add(&mut result, &correction, notes)?;
        }
        if let Some(seconds) = self.per_seconds {
            result.div(seconds);
        }
        result.set_reset_hint(ResetHint::Gauge);
        result.compact(0);
        Some(result)
    }

    fn check(&self, histograms: &[HistogramSample], notes: &mut Notes) -> Option<()> {
        let has_custom_buckets = histograms.first()?.histogram.has_custom_buckets();
        for it in histograms {
            if it.histogram.has_custom_buckets() != has_custom_buckets {
                notes.add(Note::MixedExponentialCustom);
                return None;
            }
            let is_gauge = it.histogram.reset_hint() == ResetHint::Gauge;
            notes.add_if(self.is_counter && is_gauge, Note::NotCounter);
        }
        Some(())
    }

    fn left(
        &self,
        all: &[HistogramSample],
        ends: Ends,
        notes: &mut Notes,
    ) -> Option<FloatHistogram> {
        let first = &all[ends.first];
        match ends.is_smoothed && first.timestamp_ms < ends.range_start {
            true => {
                let next = &all[ends.first + 1];
                interpolated_histogram(first, next, ends.range_start, self.is_counter, notes)
            }
            false => Some(FloatHistogram::clone(&first.histogram)),
        }
    }

    fn right(
        &self,
        all: &[HistogramSample],
        ends: Ends,
        notes: &mut Notes,
    ) -> Option<FloatHistogram> {
        let last = &all[ends.last];
        match ends.is_smoothed && ends.last > 0 && last.timestamp_ms > ends.range_end {
            true => {
                let before = &all[ends.last - 1];
                interpolated_histogram(before, last, ends.range_end, self.is_counter, notes)
            }
            false => Some(FloatHistogram::clone(&last.histogram)),
        }
    }

    /// Returns the sum of the histograms before resets. The outer `None` stands for histograms that cannot be added.
    fn correction(
        all: &[HistogramSample],
        ends: Ends,
        left: &FloatHistogram,
        right: &FloatHistogram,
        notes: &mut Notes,
    ) -> Option<Option<FloatHistogram>> {
        let mut first = ends.first + 1;
        let mut before = left;
        // The interpolation at the start knows of a reset there already.
        if ends.is_smoothed
            && all[ends.first].timestamp_ms < ends.range_start
            && let Some(next) = all.get(first)
            && next.histogram.detects_reset(&all[ends.first].histogram)
        {
            before = &next.histogram;
            first += 1;
        }
        // The last one is represented by `right`, which has its hint.
        if first > ends.last {
            return Some(None);
        }
        let mut correction: Option<FloatHistogram> = None;
        let inner = all[first..ends.last].iter().map(|it| &*it.histogram);
        for histogram in inner.chain([right]) {
            if histogram.detects_reset(before) {
                match &mut correction {
                    None => correction = Some(before.clone()),
                    Some(sum) => add(sum, before, notes)?,
                }
            }
            before = histogram;
        }
        Some(correction)
    }
}

impl RangeFunction for ExtendedRate {
    fn begin(&mut self, series: &RangeSeries<'_>) {
        let is_reset = |_, before: &Sample, after: &Sample| after.value < before.value;
        self.float_resets.find(&series.floats, is_reset);
    }

    fn value(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        if window.is_mixed() {
            notes.add(Note::MixedFloatsHistograms);
            return None;
        }
        if window.histograms.is_empty() {
            return self.floats(series, window).map(SampleValue::Float);
        }
        let histogram = self.histograms(window, notes)?;
        Some(SampleValue::Histogram(Arc::new(histogram)))
    }
}

/// Evaluates a selector with `smoothed`: values on the lines between samples.
pub(crate) fn smoothed<'a>(
    ev: &mut Evaluator<'a>,
    selector: &'a Selector,
    span: Span,
) -> Evaluated<Vec<GridSeries>> {
    let stored = ev.selected(selector.selection)?;
    let shape = Shape::around(selector.reference, ev.steps, ev.options.lookback_ms);
    let mut result = Vec::with_capacity(stored.len());
    // The iterator never jumps.
    let lookback = ev.options.lookback_ms;
    let reach = Reach {
        buffer: i64::MAX,
        ..Reach::window(lookback, lookback)
    };
    for series in stored {
        ev.check_interrupt()?;
        let counts = selector
            .counts_only
            .then(|| only_counts(series, ev.steps, selector.reference, reach));
        let series = RangeSeries::of_stored(counts.as_ref().unwrap_or(series));
        let mut one = GridSeries::new(Arc::clone(&series.labels), false);
        let mut notes = Notes::default();
        for window in Windows::new(shape, &series) {
            smoothed_value(&window, &mut one, &mut notes);
            if one.floats.len() + one.histograms.len() > ev.samples.room() {
                return Err(crate::error::EvaluationError::TooManySamples.into());
            }
        }
        notes.report(ev, metric_name(&series.labels), span);
        if !one.is_empty() {
            let size = one.size();
            // Prometheus does not count them as selected.
            ev.samples.add(size)?;
            result.push(one);
        }
    }
    Ok(result)
}

fn smoothed_value(window: &Window<'_>, result: &mut GridSeries, notes: &mut Notes) {
    if window.is_mixed() {
        notes.add(Note::MixedFloatsHistograms);
        return;
    }
    let step = window.step;
    if let Some(value) = smoothed_float(window.floats, window.range_end) {
        result.floats.push(GridFloat { step, value });
    } else if let Some(histogram) = smoothed_histogram(window.histograms, window.range_end, notes) {
        result.histograms.push(GridHistogram { step, histogram });
    }
}

fn smoothed_float(floats: &[Sample], time: i64) -> Option<f64> {
    let next = floats.partition_point(|it| it.timestamp_ms < time);
    let after = floats.get(next);
    if let Some(exact) = after.filter(|it| it.timestamp_ms == time) {
        return Some(exact.value);
    }
    let before = floats[next.checked_sub(1)?];
    Some(match after {
        Some(&after) => interpolated(before, after, time, false),
        None => before.value,
    })
}

fn smoothed_histogram(
    histograms: &[HistogramSample],
    time: i64,
    notes: &mut Notes,
) -> Option<Arc<FloatHistogram>> {
    let next = histograms.partition_point(|it| it.timestamp_ms < time);
    let after = histograms.get(next);
    if let Some(exact) = after.filter(|it| it.timestamp_ms == time) {
        return Some(Arc::clone(&exact.histogram));
    }
    let before = &histograms[next.checked_sub(1)?];
    let Some(after) = after else {
        // A hint is about two samples in a row, not about a value that goes on.
        let mut histogram = Arc::clone(&before.histogram);
        if histogram.reset_hint() != ResetHint::Unknown {
            Arc::make_mut(&mut histogram).set_reset_hint(ResetHint::Unknown);
        }
        return Some(histogram);
    };
    if before.histogram.has_custom_buckets() != after.histogram.has_custom_buckets() {
        notes.add(Note::MixedExponentialCustom);
        return None;
    }
    let is_gauge = |it: &HistogramSample| it.histogram.reset_hint() == ResetHint::Gauge;
    let is_counter = !is_gauge(before) || !is_gauge(after);
    interpolated_histogram(before, after, time, is_counter, notes).map(Arc::new)
}

/// Returns the window of a range vector with `anchored` or `smoothed`: the values at both ends of the range, and the
/// samples between them.
pub(crate) fn extended_window<'a>(
    ev: &mut Evaluator<'a>,
    range: RangeVector<'a>,
) -> Evaluated<Vec<Series>> {
    let is_smoothed = range.extension == Extension::Smoothed;
    let shape = Shape::new(&range, ev.steps, ev.options.lookback_ms);
    let mut result = Vec::with_capacity(range.series.len());
    for series in &range.series {
        ev.check_interrupt()?;
        let Some(window) = Windows::new(shape, series).next() else {
            continue;
        };
        if !window.histograms.is_empty() {
            let modifier = if is_smoothed { "smoothed" } else { "anchored" };
            return fail(format!(
                "{modifier} modifier is not supported with histograms"
            ));
        }
        let floats = extended_floats(&window, is_smoothed);
        if !floats.is_empty() {
            ev.samples.count_only_step(floats.len());
            ev.samples.add(floats.len())?;
            result.push(Series {
                labels: Arc::clone(&series.labels),
                floats,
                histograms: Vec::new(),
            });
        }
    }
    Ok(result)
}

fn extended_floats(window: &Window<'_>, is_smoothed: bool) -> Vec<Sample> {
    let all = window.floats;
    let Some(ends) = Ends::of(window, all, |it| it.timestamp_ms, is_smoothed) else {
        return Vec::new();
    };
    let sample = |timestamp_ms, value| Sample {
        timestamp_ms,
        value,
    };
    let mut floats = vec![sample(window.range_start, ends.left(all, false))];
    floats.extend_from_slice(&all[ends.inner(all)]);
    floats.push(sample(window.range_end, ends.right(all, false)));
    floats
}
