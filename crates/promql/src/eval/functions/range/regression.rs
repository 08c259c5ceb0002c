//! `deriv`, `predict_linear` and `double_exponential_smoothing`.

use prom_model::Sample;

use super::RangeFunction;
use super::notes::Notes;
use super::windows::Window;
use crate::eval::kahan::Kahans;
use crate::eval::range_vector::RangeSeries;
use crate::eval::scalar::Scalar;
use crate::value::SampleValue;

/// A line through samples: its slope per second, and its value at the time `zero` in milliseconds.
fn line(samples: &[Sample], zero: i64) -> (f64, f64) {
    let first = samples[0].value;
    if samples.iter().all(|it| it.value == first) {
        return match first.is_infinite() {
            true => (f64::NAN, f64::NAN),
            false => (0.0, first),
        };
    }
    // The sums of x, y, x * y and x * x.
    let mut sums = Kahans::<4>::default();
    for sample in samples {
        let x = (sample.timestamp_ms - zero) as f64 / 1e3;
        let y = sample.value;
        sums.add([x, y, x * y, x * x]);
    }
    let count = samples.len() as f64;
    let [x, y, xy, xx] = std::array::from_fn(|lane| sums.get(lane).total());
    let covariance = xy - x * y / count;
    let variance = xx - x * x / count;
    let slope = covariance / variance;
    (slope, y / count - slope * x / count)
}

/// Returns the floats of a window if there are at least two.
fn two_or_more<'s>(window: &Window<'s>, notes: &mut Notes) -> Option<&'s [Sample]> {
    window.floats_only(notes).filter(|floats| floats.len() > 1)
}

/// `deriv`.
#[derive(Debug)]
pub(super) struct Slope;

impl RangeFunction for Slope {
    const DEPENDS_ON_SAMPLES_ONLY: bool = true;

    fn value(
        &mut self,
        _: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        let floats = two_or_more(window, notes)?;
        let (slope, _) = line(floats, floats[0].timestamp_ms);
        Some(SampleValue::Float(slope))
    }
}

/// `predict_linear`.
#[derive(Debug)]
pub(super) struct Prediction {
    /// The seconds from the evaluation to the time of the predicted value.
    pub(super) seconds: Scalar,
}

impl RangeFunction for Prediction {
    fn value(
        &mut self,
        _: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        let floats = two_or_more(window, notes)?;
        let (slope, intercept) = line(floats, window.time);
        let value = slope * self.seconds.at(window.step) + intercept;
        Some(SampleValue::Float(value))
    }
}

/// `double_exponential_smoothing`.
#[derive(Debug)]
pub(super) struct Smoothing {
    pub(super) factor: Scalar,
    pub(super) trend_factor: Scalar,
}

/// Returns an error if a factor is outside of 0 to 1.
fn check(name: &str, symbol: &str, factor: f64) -> Result<(), String> {
    match factor <= 0.0 || factor >= 1.0 {
        true => Err(format!(
            "invalid {name} factor. Expected: 0 < {symbol} < 1, got: {}",
            fixed(factor)
        )),
        false => Ok(()),
    }
}

/// Returns a number as Go's `%f`.
fn fixed(number: f64) -> String {
    match number {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => format!("{number:.6}"),
    }
}

impl RangeFunction for Smoothing {
    fn value(
        &mut self,
        _: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        let factor = self.factor.at(window.step);
        let trend_factor = self.trend_factor.at(window.step);
        let checked = check("smoothing", "sf", factor);
        let checked = checked.and_then(|()| check("trend", "tf", trend_factor));
        if let Err(error) = checked {
            notes.error.get_or_insert(error);
            return None;
        }
        let floats = two_or_more(window, notes)?;
        let (mut before, mut smoothed) = (0.0, floats[0].value);
        let mut trend = floats[1].value - floats[0].value;
        for (index, sample) in floats[1..].iter().enumerate() {
            let scaled = factor * sample.value;
            if index > 0 {
                trend = trend_factor * (smoothed - before) + (1.0 - trend_factor) * trend;
            }
            let expected = (1.0 - factor) * (smoothed + trend);
            (before, smoothed) = (smoothed, scaled + expected);
        }
        Some(SampleValue::Float(smoothed))
    }
}
