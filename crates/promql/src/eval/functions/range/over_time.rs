//! Functions that look at the ends of windows or count their samples.

use std::sync::Arc;

use super::RangeFunction;
use super::notes::Notes;
use super::windows::Window;
use crate::eval::range_vector::RangeSeries;
use crate::value::{HistogramSample, SampleValue};

/// Functions of windows that need constant time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Simple {
    Count,
    Present,
    First,
    Last,
    TimeOfFirst,
    TimeOfLast,
}

fn histogram(sample: &HistogramSample) -> SampleValue {
    SampleValue::Histogram(Arc::clone(&sample.histogram))
}

/// Returns the value of the float if it comes before the histogram.
fn first(window: &Window<'_>) -> Option<SampleValue> {
    match (window.floats.first(), window.histograms.first()) {
        (Some(float), Some(other)) if float.timestamp_ms >= other.timestamp_ms => {
            Some(histogram(other))
        }
        (Some(float), _) => Some(SampleValue::Float(float.value)),
        (None, other) => other.map(histogram),
    }
}

/// Returns the value of the float if it comes after the histogram.
fn last(window: &Window<'_>) -> Option<SampleValue> {
    match (window.floats.last(), window.histograms.last()) {
        (Some(float), Some(other)) if other.timestamp_ms >= float.timestamp_ms => {
            Some(histogram(other))
        }
        (Some(float), _) => Some(SampleValue::Float(float.value)),
        (None, other) => other.map(histogram),
    }
}

fn first_time(window: &Window<'_>) -> Option<i64> {
    let float = window.floats.first().map(|it| it.timestamp_ms);
    let histogram = window.histograms.first().map(|it| it.timestamp_ms);
    float.into_iter().chain(histogram).min()
}

fn last_time(window: &Window<'_>) -> i64 {
    // Prometheus begins with 0, so that times before 1970 are 0 if there is just one kind of samples.
    let float = window.floats.last().map_or(0, |it| it.timestamp_ms);
    let histogram = window.histograms.last().map_or(0, |it| it.timestamp_ms);
    float.max(histogram)
}

fn seconds(milliseconds: i64) -> SampleValue {
    SampleValue::Float(milliseconds as f64 / 1000.0)
}

impl RangeFunction for Simple {
    #[inline]
    fn value(
        &mut self,
        _: &RangeSeries<'_>,
        window: &Window<'_>,
        _: &mut Notes,
    ) -> Option<SampleValue> {
        match self {
            Self::Count => {
                let count = window.floats.len() + window.histograms.len();
                Some(SampleValue::Float(count as f64))
            }
            Self::Present => Some(SampleValue::Float(1.0)),
            Self::First => first(window),
            Self::Last => last(window),
            Self::TimeOfFirst => first_time(window).map(seconds),
            Self::TimeOfLast => Some(seconds(last_time(window))),
        }
    }
}
