//! Functions of range vectors.
//!
//! Each series is walked once, with windows that slide over its samples. What windows share is found once for a series
//! ([`places`]) or moves along with the windows ([`extremes`], [`quantiles`]); where the order of additions matters,
//! several windows are added at the same time ([`sums`]).

mod absent_over_time;
mod changes;
mod extended;
mod extremes;
mod notes;
mod over_time;
mod places;
mod quantiles;
mod rate;
mod regression;
mod sums;
#[cfg(test)]
mod tests;
mod windows;

use std::ops::Range;
use std::sync::Arc;

use prom_model::Labels;

use crate::annotations::Annotation;
use crate::error::EvaluationError;
use crate::eval::grid::{self, GridFloat, GridHistogram, GridSeries};
use crate::eval::range_vector::{RangeSeries, RangeVector};
use crate::eval::scalar::Scalar;
use crate::eval::{Evaluated, Evaluator, fail, is_metadata_label, metric_name};
use crate::plan::{Call, Extension, Node, NodeKind, seconds_of};
use crate::position::Span;
use crate::value::SampleValue;
use crate::value_type::ValueType;
use changes::{Counted, PairCount};
use extended::ExtendedRate;
use extremes::Extreme;
use notes::Notes;
use over_time::Simple;
use places::Places;
use quantiles::{MedianDeviation, Quantile, Sorted};
use rate::{InstantRate, Rate};
use regression::{Prediction, Slope, Smoothing};
use sums::{Average, Folded, HistogramSum, Sum, Variance};
use windows::{Shape, Window, Windows};

pub(crate) use extended::{extended_window, smoothed};

/// The number of windows that are evaluated at the same time.
const LANES: usize = 4;

/// The number of samples in windows after which an interrupt is looked for.
const SAMPLES_BETWEEN_CHECKS: usize = 1 << 20;

/// The functions that know what to do with the samples around a range.
const FOR_ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const FOR_SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// A function of the samples in windows.
trait RangeFunction {
    /// True if windows with the same samples have the same result, whatever the step.
    const DEPENDS_ON_SAMPLES_ONLY: bool = false;

    /// Prepares for the windows of a series.
    fn begin(&mut self, series: &RangeSeries<'_>) {
        let _ = series;
    }

    /// Returns the result of a window, which is not empty.
    fn value(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue>;

    /// Returns the results of several windows at a time of a series that has floats only, if that is faster. Then they
    /// depend on the samples only.
    fn float_values(
        &mut self,
        series: &RangeSeries<'_>,
        windows: &[Range<usize>; LANES],
    ) -> Option<[f64; LANES]> {
        let _ = (series, windows);
        None
    }
}

fn is_range_vector(node: &Node) -> bool {
    node.value_type == ValueType::Matrix
}

/// Returns true if a call has a range vector as argument.
pub(super) fn is_call(call: &Call) -> bool {
    call.arguments.iter().any(is_range_vector)
}

/// Evaluates a call that has a range vector as argument.
pub(super) fn call<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let name = call.function.name;
    let mut arguments = call.arguments.iter();
    let Some(argument) = arguments.find(|node| is_range_vector(node)) else {
        return fail(format!("{name}() has no range vector"));
    };
    let range = ev.range_vector(argument)?;
    let scalars = call.arguments.iter().filter(|node| !is_range_vector(node));
    let scalars = scalars.map(|node| ev.scalar(node));
    let scalars = scalars.collect::<Evaluated<Vec<_>>>()?;
    check_extension(name, range.extension)?;
    if name == "absent_over_time" {
        return absent_over_time::absent_over_time(ev, argument, &range);
    }
    let context = Context {
        name,
        span: position(&call.arguments[0]),
        shape: Shape::new(&range, ev.steps, ev.options.lookback_ms),
        with_starts: ev.options.start_timestamps,
        extension: range.extension,
    };
    context.evaluate(ev, range, scalars)
}

/// Returns the place that annotations about an argument name. Subqueries have lost theirs, as in Prometheus.
fn position(argument: &Node) -> Span {
    match argument.kind {
        NodeKind::Subquery(_) => Span::default(),
        _ => argument.span,
    }
}

fn check_extension(name: &str, extension: Extension) -> Evaluated<()> {
    let (modifier, functions) = match extension {
        Extension::None => return Ok(()),
        Extension::Anchored => ("anchored", &FOR_ANCHORED[..]),
        Extension::Smoothed => ("smoothed", &FOR_SMOOTHED[..]),
    };
    match functions.contains(&name) {
        true => Ok(()),
        false => fail(format!(
            "{modifier} modifier can only be used with: {} - not with {name}",
            functions.join(", ")
        )),
    }
}

/// A call beside its range vector.
struct Context {
    name: &'static str,
    span: Span,
    shape: Shape,
    with_starts: bool,
    extension: Extension,
}

impl Context {
    fn evaluate(
        &self,
        ev: &mut Evaluator<'_>,
        range: RangeVector<'_>,
        scalars: Vec<Scalar>,
    ) -> Evaluated<Vec<GridSeries>> {
        let overlaps = self.shape.overlaps();
        let mut scalars = scalars.into_iter();
        let mut scalar = || scalars.next().unwrap_or(Scalar::Constant(f64::NAN));
        match self.name {
            "rate" | "increase" | "delta" => self.rate(ev, range),
            "irate" | "idelta" => {
                let is_rate = self.name == "irate";
                let with_starts = self.with_starts && is_rate;
                self.each(
                    ev,
                    range,
                    InstantRate {
                        is_rate,
                        with_starts,
                    },
                )
            }
            "changes" => self.each(ev, range, self.pairs(Counted::Changes, false)),
            "resets" => self.each(ev, range, self.pairs(Counted::Resets, self.with_starts)),
            "count_over_time" => self.each(ev, range, Simple::Count),
            "present_over_time" => self.each(ev, range, Simple::Present),
            "first_over_time" => self.each(ev, range, Simple::First),
            "last_over_time" => self.each(ev, range, Simple::Last),
            "ts_of_first_over_time" => self.each(ev, range, Simple::TimeOfFirst),
            "ts_of_last_over_time" => self.each(ev, range, Simple::TimeOfLast),
            "max_over_time" => self.each(ev, range, Extreme::new(true, false, overlaps)),
            "min_over_time" => self.each(ev, range, Extreme::new(false, false, overlaps)),
            "ts_of_max_over_time" => self.each(ev, range, Extreme::new(true, true, overlaps)),
            "ts_of_min_over_time" => self.each(ev, range, Extreme::new(false, true, overlaps)),
            "sum_over_time" => self.fold(ev, range, Sum::default(), Some(false)),
            "avg_over_time" => self.fold(ev, range, Average::default(), Some(true)),
            "stdvar_over_time" | "stddev_over_time" => {
                let is_deviation = self.name == "stddev_over_time";
                self.fold(ev, range, Variance { is_deviation }, None)
            }
            "quantile_over_time" => {
                let (quantile, sorted) = (scalar(), Sorted::default());
                self.each(ev, range, Quantile { quantile, sorted })
            }
            "mad_over_time" => self.each(ev, range, MedianDeviation::default()),
            "deriv" => self.each(ev, range, Slope),
            "predict_linear" => self.each(ev, range, Prediction { seconds: scalar() }),
            "double_exponential_smoothing" => {
                let (factor, trend_factor) = (scalar(), scalar());
                self.each(
                    ev,
                    range,
                    Smoothing {
                        factor,
                        trend_factor,
                    },
                )
            }
            name => fail(format!("{name}() is not evaluated yet")),
        }
    }

    fn rate(&self, ev: &mut Evaluator<'_>, range: RangeVector<'_>) -> Evaluated<Vec<GridSeries>> {
        let is_counter = self.name != "delta";
        let per_seconds = (self.name == "rate").then(|| seconds_of(self.shape.range));
        match self.extension {
            Extension::None => {
                let rate = Rate::new(is_counter, per_seconds, self.with_starts);
                self.each(ev, range, rate)
            }
            Extension::Anchored | Extension::Smoothed => {
                let is_smoothed = self.extension == Extension::Smoothed;
                let rate = ExtendedRate {
                    is_counter,
                    is_smoothed,
                    per_seconds,
                    float_resets: Places::default(),
                };
                self.each(ev, range, rate)
            }
        }
    }

    fn pairs(&self, counted: Counted, with_starts: bool) -> PairCount {
        PairCount {
            counted,
            with_starts,
            is_anchored: self.extension == Extension::Anchored,
            places: Places::default(),
        }
    }

    fn fold<F: sums::Fold>(
        &self,
        ev: &mut Evaluator<'_>,
        range: RangeVector<'_>,
        floats: F,
        is_average: Option<bool>,
    ) -> Evaluated<Vec<GridSeries>> {
        let folded = Folded {
            floats,
            histograms: is_average.map(|is_average| HistogramSum { is_average }),
            overlaps: self.shape.overlaps(),
        };
        self.each(ev, range, folded)
    }

    /// Evaluates a function for all windows of all series.
    fn each<F: RangeFunction>(
        &self,
        ev: &mut Evaluator<'_>,
        range: RangeVector<'_>,
        mut function: F,
    ) -> Evaluated<Vec<GridSeries>> {
        // These act like an offset.
        let keeps_name = matches!(self.name, "first_over_time" | "last_over_time");
        let may_collide =
            !keeps_name && !ev.options.delayed_name_removal && have_different_names(&range.series);
        let mut result = Vec::with_capacity(range.series.len());
        for series in &range.series {
            ev.check_interrupt()?;
            let mut one = GridSeries::new(Arc::clone(&series.labels), series.drop_name);
            let mut notes = Notes::default();
            self.one(ev, series, &mut function, &mut one, &mut notes)?;
            if let Some(error) = notes.error {
                return fail(error);
            }
            let metric = metric_name(&series.labels);
            notes.report(ev, metric, self.span);
            if one.is_empty() {
                continue;
            }
            if matches!(self.name, "rate" | "increase") && !one.floats.is_empty() {
                self.check_counter(ev, &series.labels);
            }
            ev.samples.add(one.size())?;
            if !keeps_name {
                ev.drop_name(&mut one);
            }
            result.push(one);
        }
        match may_collide && grid::has_equal_labels(&result) {
            true => fail(grid::SAME_LABELS),
            false => Ok(result),
        }
    }

    /// Evaluates a function for all windows of a series.
    fn one<F: RangeFunction>(
        &self,
        ev: &mut Evaluator<'_>,
        series: &RangeSeries<'_>,
        function: &mut F,
        result: &mut GridSeries,
        notes: &mut Notes,
    ) -> Evaluated<()> {
        function.begin(series);
        let mut windows = Windows::counted(self.shape, series, &ev.samples);
        let samples = series.floats.len() + series.histograms.len();
        let expected = self.shape.expected_results(samples).min(ev.samples.room());
        match series.floats.is_empty() {
            true => result.histograms.reserve(expected),
            false => result.floats.reserve(expected),
        }
        let is_done = F::DEPENDS_ON_SAMPLES_ONLY
            && series.histograms.is_empty()
            && self.float_batches(ev, series, &mut windows, function, result)?;
        if !is_done {
            self.windows(ev, series, &mut windows, function, result, notes)?;
        }
        windows.count_all(&mut ev.samples);
        // The largest window is held beside all results.
        let held = ev.samples.held();
        ev.samples.add(windows.largest_size)?;
        ev.samples.set_held(held)
    }

    /// Evaluates a function for one window after the other.
    fn windows<F: RangeFunction>(
        &self,
        ev: &Evaluator<'_>,
        series: &RangeSeries<'_>,
        windows: &mut Windows<'_>,
        function: &mut F,
        result: &mut GridSeries,
        notes: &mut Notes,
    ) -> Evaluated<()> {
        let room = ev.samples.room();
        let mut last: Option<(Range<usize>, Range<usize>, Option<SampleValue>)> = None;
        let mut unchecked = 0;
        for window in windows {
            unchecked += 1 + window.floats.len() + window.histograms.len();
            if unchecked > SAMPLES_BETWEEN_CHECKS {
                unchecked = 0;
                ev.check_interrupt()?;
            }
            let value = match &last {
                Some((floats, histograms, value))
                    if *floats == window.float_places && *histograms == window.histogram_places =>
                {
                    value.clone()
                }
                _ => {
                    let value = function.value(series, &window, notes);
                    if F::DEPENDS_ON_SAMPLES_ONLY {
                        let places = (window.float_places, window.histogram_places);
                        last = Some((places.0, places.1, value.clone()));
                    }
                    value
                }
            };
            let step = window.step;
            match value {
                Some(SampleValue::Float(value)) => result.floats.push(GridFloat { step, value }),
                Some(SampleValue::Histogram(histogram)) => {
                    result.histograms.push(GridHistogram { step, histogram });
                }
                None => continue,
            }
            if result.floats.len() + result.histograms.len() > room {
                return Err(EvaluationError::TooManySamples.into());
            }
        }
        Ok(())
    }

    /// Evaluates a function for several windows at a time. Returns false if it cannot.
    fn float_batches<F: RangeFunction>(
        &self,
        ev: &Evaluator<'_>,
        series: &RangeSeries<'_>,
        windows: &mut Windows<'_>,
        function: &mut F,
        result: &mut GridSeries,
    ) -> Evaluated<bool> {
        let empty = [(); LANES].map(|()| 0..0);
        if function.float_values(series, &empty).is_none() {
            return Ok(false);
        }
        let room = ev.samples.room();
        let mut batch = Batch {
            places: empty,
            count: 0,
            first: 0,
            lanes: Vec::new(),
        };
        let mut unchecked = 0;
        for window in windows {
            unchecked += 1 + window.floats.len();
            if unchecked > SAMPLES_BETWEEN_CHECKS {
                unchecked = 0;
                ev.check_interrupt()?;
            }
            if !batch.add(&window.float_places) {
                batch.finish(series, function, result);
                batch.add(&window.float_places);
            }
            if result.floats.len() >= room {
                return Err(EvaluationError::TooManySamples.into());
            }
            // The lane for now, until its value is known.
            let (step, value) = (window.step, f64::NAN);
            result.floats.push(GridFloat { step, value });
        }
        batch.finish(series, function, result);
        Ok(true)
    }

    /// Adds an info if a metric does not look like a counter.
    fn check_counter(&self, ev: &mut Evaluator<'_>, labels: &Labels) {
        const SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        let metric = metric_name(labels);
        if metric.is_empty() {
            return;
        }
        if ev.options.type_and_unit_labels {
            let type_label = labels.get("__type__");
            if !matches!(type_label, "counter" | "histogram") {
                ev.annotate(Annotation::possible_non_counter_label(
                    metric, type_label, self.span,
                ));
            }
        } else if !SUFFIXES.iter().any(|suffix| metric.ends_with(suffix)) {
            ev.annotate(Annotation::possible_non_counter(metric, self.span));
        }
    }
}

/// Windows that wait for their evaluation.
struct Batch {
    /// Different ones.
    places: [Range<usize>; LANES],
    count: usize,
    /// The index of the first result of these windows.
    first: usize,
    /// The lane of each result.
    lanes: Vec<u8>,
}

impl Batch {
    /// Adds a window; false if there are too many.
    fn add(&mut self, places: &Range<usize>) -> bool {
        let is_last = self.count > 0 && self.places[self.count - 1] == *places;
        if !is_last {
            if self.count == LANES {
                return false;
            }
            self.places[self.count] = places.clone();
            self.count += 1;
        }
        self.lanes.push(self.count as u8 - 1);
        true
    }

    /// Sets the results of the windows.
    fn finish<F: RangeFunction>(
        &mut self,
        series: &RangeSeries<'_>,
        function: &mut F,
        result: &mut GridSeries,
    ) {
        if let Some(last) = self.count.checked_sub(1) {
            let last = self.places[last].clone();
            self.places[self.count..].fill(last);
        }
        let values = function.float_values(series, &self.places);
        let values = values.unwrap_or([f64::NAN; LANES]);
        let results = result.floats[self.first..].iter_mut();
        for (result, &lane) in results.zip(&self.lanes) {
            result.value = values[usize::from(lane)];
        }
        self.first += self.lanes.len();
        self.lanes.clear();
        self.count = 0;
    }
}

/// Returns true if series differ in the labels that are removed with the name, so that they may be equal without.
fn have_different_names(series: &[RangeSeries<'_>]) -> bool {
    fn metadata(labels: &Labels) -> impl Iterator<Item = &prom_model::Label> {
        labels.iter().filter(|it| is_metadata_label(&it.name))
    }
    let Some((first, rest)) = series.split_first() else {
        return false;
    };
    !rest
        .iter()
        .all(|it| metadata(&it.labels).eq(metadata(&first.labels)))
}
