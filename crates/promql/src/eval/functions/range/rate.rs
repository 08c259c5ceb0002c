//! `rate`, `increase`, `delta`, `irate` and `idelta`.

use std::ops::Range;
use std::sync::Arc;

use prom_model::{Combination, FloatHistogram, Histogram, MixedSchemas, ResetHint};

use super::RangeFunction;
use super::notes::{Note, Notes};
use super::places::{Places, Point, is_start_overlap, is_start_reset};
use super::windows::Window;
use crate::eval::range_vector::RangeSeries;
use crate::value::{HistogramSample, SampleValue};

/// The difference between the ends of windows, extrapolated to the whole range.
#[derive(Debug)]
pub(super) struct Rate {
    /// True if the values are counters, whose resets count.
    pub(super) is_counter: bool,
    /// The length of the range in seconds if the result is per second.
    pub(super) per_seconds: Option<f64>,
    pub(super) with_starts: bool,
    pub(super) float_resets: Places,
    pub(super) float_overlaps: Places,
    pub(super) histograms: HistogramFacts,
}

/// The facts about the histograms of a series that its windows share.
#[derive(Debug, Default)]
pub(super) struct HistogramFacts {
    resets: Places,
    overlaps: Places,
    /// The schema of all of them, if they have one and none is a gauge.
    uniform_schema: Option<i32>,
}

/// Returns starts of counters in a window; nothing if they are unknown.
fn starts_in<'s>(starts: Option<&'s [i64]>, places: &Range<usize>) -> &'s [i64] {
    let starts = starts.and_then(|it| it.get(places.clone()));
    starts.unwrap_or(&[])
}

impl Rate {
    pub(super) fn new(is_counter: bool, per_seconds: Option<f64>, with_starts: bool) -> Self {
        Self {
            is_counter,
            per_seconds,
            with_starts: with_starts && is_counter,
            float_resets: Places::default(),
            float_overlaps: Places::default(),
            histograms: HistogramFacts::default(),
        }
    }

    #[inline]
    fn floats(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<f64> {
        let (first, last) = (window.floats.first()?, window.floats.last()?);
        let mut result = last.value - first.value;
        let mut start = None;
        if self.is_counter {
            for &place in self.float_resets.within(window.float_places.clone()) {
                result += series.floats[place - 1].value;
            }
            if self.with_starts {
                let overlaps = self.float_overlaps.within(window.float_places.clone());
                notes.overlaps += u32::from(!overlaps.is_empty());
                let starts = series.starts.as_deref().map(|it| &it.floats[..]);
                start = starts_in(starts, &window.float_places).first().copied();
            }
        }
        let sampled = Sampled {
            range: (window.range_start, window.range_end),
            first: first.timestamp_ms,
            last: last.timestamp_ms,
            intervals: window.floats.len() - 1,
        };
        let start = sampled.usable_start(start);
        if start.is_some() {
            result += first.value;
        } else if sampled.intervals == 0 {
            return None;
        }
        Some(result * self.factor(&sampled, start, first.value, result))
    }

    fn of_histograms(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<FloatHistogram> {
        let starts = series.starts.as_deref().map(|it| &it.histograms[..]);
        let starts = starts.filter(|_| self.with_starts);
        let starts = starts_in(starts, &window.histogram_places);
        let (first, last) = (window.histograms.first()?, window.histograms.last()?);
        let mut result = match window.histograms {
            [_] => None,
            _ => Some(self.histogram_increase(series, window, starts, notes)?),
        };
        let sampled = Sampled {
            range: (window.range_start, window.range_end),
            first: first.timestamp_ms,
            last: last.timestamp_ms,
            intervals: window.histograms.len() - 1,
        };
        let start = sampled.usable_start(starts.first().copied());
        if start.is_some() {
            match &mut result {
                None => result = Some(FloatHistogram::clone(&first.histogram)),
                Some(result) => add(result, &first.histogram, notes)?,
            }
        }
        let mut result = result?;
        let factor = self.factor(&sampled, start, first.histogram.count(), result.count());
        result.mul(factor);
        Some(result)
    }

    /// Returns the factor that extrapolates a result, and makes it one per second.
    #[inline]
    fn factor(&self, sampled: &Sampled, start: Option<i64>, first: f64, result: f64) -> f64 {
        let factor = sampled.factor(start, self.is_counter.then_some((first, result)));
        match self.per_seconds {
            Some(seconds) => factor / seconds,
            None => factor,
        }
    }

    /// Returns the increase from the first of several histograms to the last; nothing if they cannot be compared.
    fn histogram_increase(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        starts: &[i64],
        notes: &mut Notes,
    ) -> Option<FloatHistogram> {
        let mut own_notes = Notes::default();
        let result = self.checked_increase(series, window, starts, &mut own_notes);
        match result {
            Ok(result) => {
                notes.merge(own_notes);
                Some(result)
            }
            Err(Incomparable { keeps_notes }) => {
                if keeps_notes {
                    notes.merge(own_notes);
                }
                notes.add(Note::MixedExponentialCustom);
                None
            }
        }
    }

    fn checked_increase(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        starts: &[i64],
        notes: &mut Notes,
    ) -> Result<FloatHistogram, Incomparable> {
        let points = window.histograms;
        let (first, last) = (&points[0].histogram, &points[points.len() - 1].histogram);
        let is_gauge = |it: &FloatHistogram| it.reset_hint() == ResetHint::Gauge;
        let mut before = Arc::clone(first);
        if self.is_counter {
            notes.add_if(is_gauge(first) || is_gauge(last), Note::NotCounter);
            let resets = self
                .histograms
                .resets
                .within(window.histogram_places.clone());
            if resets.first() == Some(&(window.histogram_places.start + 1)) {
                // The first one does not matter then, nor does its layout.
                before = Arc::new(empty_like(&points[1].histogram));
            }
        }
        let has_custom_buckets = before.has_custom_buckets();
        if last.has_custom_buckets() != has_custom_buckets {
            return Err(Incomparable { keeps_notes: true });
        }
        let mut schema = last.schema().min(before.schema());
        if self.is_counter && self.histograms.uniform_schema.is_none() {
            for point in &points[1..points.len() - 1] {
                let histogram = &point.histogram;
                notes.add_if(is_gauge(histogram), Note::NotCounter);
                schema = schema.min(histogram.schema());
                if histogram.has_custom_buckets() != has_custom_buckets {
                    return Err(INCOMPARABLE);
                }
            }
        }
        let mut result = FloatHistogram::clone(last);
        if schema < result.schema() {
            // Both are exponential.
            let _ = result.reduce_resolution(schema);
        }
        let combined = result.sub(&before).map_err(|_| INCOMPARABLE)?;
        notes.add_if(combined.has_reconciled_bounds, Note::ReconciledSubtraction);
        if !self.is_counter {
            notes.add_if(!is_gauge(first) || !is_gauge(last), Note::NotGauge);
        } else {
            if self.with_starts {
                let places = window.histogram_places.clone();
                let overlaps = self.histograms.overlaps.within(places);
                notes.overlaps += u32::from(!overlaps.is_empty());
            }
            self.add_resets(series, window, starts, &before, &mut result, notes)?;
        }
        result.set_reset_hint(ResetHint::Gauge);
        result.compact(0);
        Ok(result)
    }

    /// Adds the histograms before resets.
    fn add_resets(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        starts: &[i64],
        first: &Arc<FloatHistogram>,
        result: &mut FloatHistogram,
        notes: &mut Notes,
    ) -> Result<(), Incomparable> {
        let places = window.histogram_places.clone();
        let second = places.start + 1;
        for &place in self.histograms.resets.within(places.clone()) {
            let mut before = &series.histograms[place - 1].histogram;
            if place == second {
                // An empty one instead of the first, after which no reset need be seen.
                let points = window.histograms;
                let by_start = starts.len() > 1
                    && is_start_reset(
                        (starts[0], points[0].timestamp_ms),
                        (starts[1], points[1].timestamp_ms),
                    );
                if !by_start && !points[1].histogram.detects_reset(first) {
                    continue;
                }
                before = first;
            }
            let combined = result.add(before).map_err(|_| INCOMPARABLE)?;
            notes.add_if(combined.has_reconciled_bounds, Note::ReconciledAddition);
        }
        Ok(())
    }
}

/// Exponential and custom buckets in a window.
#[derive(Debug)]
struct Incomparable {
    /// True if the other notes of the window are annotations nevertheless, as in Prometheus if the ends differ.
    keeps_notes: bool,
}

const INCOMPARABLE: Incomparable = Incomparable { keeps_notes: false };

/// Returns a histogram without observations that has the buckets of another.
fn empty_like(histogram: &FloatHistogram) -> FloatHistogram {
    let empty = FloatHistogram::try_from(&Histogram {
        schema: histogram.schema(),
        custom_values: histogram.custom_values().to_vec(),
        ..Histogram::default()
    });
    empty.expect("a schema and boundaries of a histogram are valid")
}

/// Adds a histogram; `None` if one of them has exponential buckets and the other custom ones.
pub(super) fn add(
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
    notes: &mut Notes,
) -> Option<()> {
    combined(sum.add(other), Note::ReconciledAddition, notes)
}

/// Subtracts a histogram; `None` if one of them has exponential buckets and the other custom ones.
pub(super) fn sub(
    difference: &mut FloatHistogram,
    other: &FloatHistogram,
    notes: &mut Notes,
) -> Option<()> {
    combined(difference.sub(other), Note::ReconciledSubtraction, notes)
}

/// Notes what happened to the buckets of two histograms; `None` if they could not be combined.
fn combined(
    result: Result<Combination, MixedSchemas>,
    reconciled: Note,
    notes: &mut Notes,
) -> Option<()> {
    match result {
        Ok(combination) => {
            notes.add_if(combination.has_reconciled_bounds, reconciled);
            Some(())
        }
        Err(MixedSchemas) => {
            notes.add(Note::MixedExponentialCustom);
            None
        }
    }
}

impl HistogramFacts {
    fn of(&mut self, series: &RangeSeries<'_>, with_starts: bool) {
        let starts = series.starts.as_deref().map(|it| &it.histograms[..]);
        let starts = starts.filter(|_| with_starts);
        let at = |place: usize, sample: &HistogramSample| {
            let start = starts.and_then(|it| it.get(place)).copied();
            (start.unwrap_or(0), sample.timestamp_ms)
        };
        self.resets
            .find(&series.histograms, |place, before, after| {
                is_start_reset(at(place - 1, before), at(place, after))
                    || after.histogram.detects_reset(&before.histogram)
            });
        self.overlaps.clear();
        if starts.is_some() {
            self.overlaps
                .find(&series.histograms, |place, before, after| {
                    is_start_overlap(at(place - 1, before), at(place, after).0)
                });
        }
        let schema = series.histograms.first().map(|it| it.histogram.schema());
        let is_uniform = |it: &HistogramSample| {
            Some(it.histogram.schema()) == schema && it.histogram.reset_hint() != ResetHint::Gauge
        };
        self.uniform_schema = schema.filter(|_| series.histograms.iter().all(is_uniform));
    }
}

impl RangeFunction for Rate {
    fn begin(&mut self, series: &RangeSeries<'_>) {
        if !self.is_counter {
            return;
        }
        let starts = series.starts.as_deref().filter(|_| self.with_starts);
        match starts.map(|it| &it.floats) {
            None => {
                let is_reset = |_, before: &prom_model::Sample, after: &prom_model::Sample| {
                    after.value < before.value
                };
                self.float_resets.find(&series.floats, is_reset);
                self.float_overlaps.clear();
            }
            Some(starts) => {
                let at = |place: usize, sample: &prom_model::Sample| {
                    let start = starts.get(place).copied().unwrap_or(0);
                    (start, sample.timestamp_ms)
                };
                self.float_resets
                    .find(&series.floats, |place, before, after| {
                        after.value < before.value
                            || is_start_reset(at(place - 1, before), at(place, after))
                    });
                self.float_overlaps
                    .find(&series.floats, |place, before, after| {
                        is_start_overlap(at(place - 1, before), at(place, after).0)
                    });
            }
        }
        self.histograms.of(series, self.with_starts);
    }

    #[inline]
    fn value(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        if window.histograms.is_empty() {
            return self.floats(series, window, notes).map(SampleValue::Float);
        }
        if window.is_mixed() {
            notes.add(Note::MixedFloatsHistograms);
            return None;
        }
        let histogram = self.of_histograms(series, window, notes)?;
        Some(SampleValue::Histogram(Arc::new(histogram)))
    }
}

/// The samples of a window in its range. All times are in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Sampled {
    range: (i64, i64),
    first: i64,
    last: i64,
    /// The number of samples but one.
    intervals: usize,
}

impl Sampled {
    /// Returns the start of the counter if it began with 0 in the range before the first sample.
    #[inline]
    fn usable_start(&self, start: Option<i64>) -> Option<i64> {
        start.filter(|&start| start != 0 && start > self.range.0 && start < self.first)
    }

    /// Returns the factor from the sampled time to the range. `counter` is the first value of a counter and its
    /// increase.
    #[inline]
    fn factor(&self, start: Option<i64>, counter: Option<(f64, f64)>) -> f64 {
        let mut to_start = (self.first - self.range.0) as f64 / 1000.0;
        let mut to_end = (self.range.1 - self.last) as f64 / 1000.0;
        let mut sampled = (self.last - self.first) as f64 / 1000.0;
        let average = match self.intervals {
            0 => 0.0,
            intervals => sampled / intervals as f64,
        };
        // A sample that is nearer to the boundary than this is taken for one of a series that goes on beyond it.
        let threshold = average * 1.1;
        if let Some(start) = start {
            to_start = 0.0;
            sampled = (self.last - start) as f64 / 1000.0;
        } else {
            if to_start >= threshold {
                to_start = average / 2.0;
            }
            if let Some((first, increase)) = counter {
                // Counters are not negative, so none began before it was zero.
                if increase > 0.0 && first >= 0.0 {
                    let to_zero = sampled * (first / increase);
                    if to_zero < to_start {
                        to_start = to_zero;
                    }
                }
            }
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        match sampled {
            0.0 => 1.0,
            _ => (sampled + to_start + to_end) / sampled,
        }
    }
}

/// The difference between the last two samples of windows.
#[derive(Debug)]
pub(super) struct InstantRate {
    /// True if the values are counters, and the result is per second.
    pub(super) is_rate: bool,
    pub(super) with_starts: bool,
}

impl InstantRate {
    /// Returns the last two samples.
    fn last_two<'s>(
        &self,
        series: &RangeSeries<'_>,
        window: &Window<'s>,
    ) -> Option<[Point<'s>; 2]> {
        let starts = series.starts.as_deref().filter(|_| self.with_starts);
        let (mut floats, mut histograms) = (window.floats, window.histograms);
        let mut pop = || {
            let is_float = match (floats.last(), histograms.last()) {
                (Some(float), Some(histogram)) => float.timestamp_ms > histogram.timestamp_ms,
                (float, _) => float.is_some(),
            };
            if is_float {
                let (last, rest) = floats.split_last()?;
                floats = rest;
                let place = window.float_places.start + rest.len();
                let start = starts.and_then(|it| it.floats.get(place));
                Some(Point::Float(last, start.copied().unwrap_or(0)))
            } else {
                let (last, rest) = histograms.split_last()?;
                histograms = rest;
                let place = window.histogram_places.start + rest.len();
                let start = starts.and_then(|it| it.histograms.get(place));
                Some(Point::Histogram(last, start.copied().unwrap_or(0)))
            }
        };
        let last = pop()?;
        Some([pop()?, last])
    }

    fn of_histograms(
        &self,
        first: &FloatHistogram,
        last: &FloatHistogram,
        is_start_reset: bool,
        notes: &mut Notes,
    ) -> Option<FloatHistogram> {
        let gauges = [first, last].map(|it| it.reset_hint() == ResetHint::Gauge);
        match self.is_rate {
            true => notes.add_if(gauges.contains(&true), Note::NotCounter),
            false => notes.add_if(gauges.contains(&false), Note::NotGauge),
        }
        let mut result = last.clone();
        let is_reset = self.is_rate && (is_start_reset || last.detects_reset(first));
        if !is_reset {
            sub(&mut result, first, notes)?;
        }
        result.set_reset_hint(ResetHint::Gauge);
        result.compact(0);
        Some(result)
    }
}

impl RangeFunction for InstantRate {
    fn value(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        let [first, last] = self.last_two(series, window)?;
        let milliseconds = last.time() - first.time();
        if milliseconds == 0 {
            return None;
        }
        let seconds = milliseconds as f64 / 1000.0;
        match (first, last) {
            (Point::Float(before, _), Point::Float(after, _)) => {
                let is_reset =
                    self.is_rate && (after.value < before.value || last.starts_after(first));
                let difference = match is_reset {
                    true => after.value,
                    false => after.value - before.value,
                };
                Some(SampleValue::Float(match self.is_rate {
                    true => difference / seconds,
                    false => difference,
                }))
            }
            (Point::Histogram(before, _), Point::Histogram(after, _)) => {
                let (before, after) = (&before.histogram, &after.histogram);
                let is_start_reset = last.starts_after(first);
                let mut result = self.of_histograms(before, after, is_start_reset, notes)?;
                if self.is_rate {
                    result.div(seconds);
                }
                Some(SampleValue::Histogram(Arc::new(result)))
            }
            _ => {
                notes.add(Note::MixedFloatsHistograms);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::eval::functions::range::windows::{Shape, Windows};
    use crate::eval::range_vector::RangeVector;
    use crate::eval::testing::histogram;
    use crate::plan::{Extension, Reference};
    use crate::steps::Steps;
    use crate::storage::StoredSeries;

    fn any_histogram() -> impl Strategy<Value = FloatHistogram> {
        let buckets = prop::collection::vec((0..9_u8).prop_map(f64::from), 1..5);
        let hint = prop_oneof![
            6 => Just(ResetHint::Unknown),
            2 => Just(ResetHint::NotReset),
            1 => Just(ResetHint::Reset),
            1 => Just(ResetHint::Gauge),
        ];
        (buckets, hint, -1..1_i32).prop_map(|(buckets, hint, schema)| {
            let mut histogram = histogram(buckets.iter().sum(), &buckets);
            histogram.set_reset_hint(hint);
            histogram
                .reduce_resolution(schema)
                .expect("0 is the finest");
            histogram
        })
    }

    /// The increase, with each pair of neighbours compared again.
    fn plain_increase(window: &[HistogramSample]) -> FloatHistogram {
        let of = |index: usize| &*window[index].histogram;
        let is_reset = |index: usize| of(index).detects_reset(of(index - 1));
        let first_matters = !is_reset(1);
        let relevant = window.iter().skip(usize::from(!first_matters));
        let schemas = relevant.map(|it| it.histogram.schema());
        let mut result = of(window.len() - 1).clone();
        let schema = schemas.min().expect("a window has samples");
        result
            .reduce_resolution(schema)
            .expect("it is the coarsest");
        if first_matters {
            let _ = result.sub(of(0)).expect("all are exponential");
        }
        for index in 2..window.len() {
            if is_reset(index) {
                let _ = result.add(of(index - 1)).expect("all are exponential");
            }
        }
        result.compact(0);
        result
    }

    proptest! {
        #[test]
        fn increases_of_histograms_are_those_of_plain_loops(
            histograms in prop::collection::vec(any_histogram(), 2..30),
            range in 2..9_i64,
            step in 1..9_i64,
        ) {
            let sample = |(time, histogram)| HistogramSample {
                timestamp_ms: time,
                histogram: Arc::new(histogram),
            };
            let stored = StoredSeries {
                histograms: (0..).zip(histograms).map(sample).collect(),
                ..StoredSeries::default()
            };
            let series = RangeSeries::of_stored(&stored);
            let vector = RangeVector {
                series: Vec::new(),
                reference: Reference::default(),
                range,
                extension: Extension::None,
                is_subquery: false,
            };
            let steps = Steps::range(0, 40, step).unwrap();
            let shape = Shape::new(&vector, steps, 0);
            let mut rate = Rate::new(true, None, false);
            rate.begin(&series);
            for window in Windows::new(shape, &series).filter(|it| it.histograms.len() > 1) {
                let mut notes = Notes::default();
                let fast = rate.checked_increase(&series, &window, &[], &mut notes).unwrap();
                let plain = plain_increase(window.histograms);
                prop_assert!(fast.equals(&plain), "{} {}", fast, plain);
            }
        }
    }
}
