//! `changes` and `resets`.

use super::RangeFunction;
use super::notes::Notes;
use super::places::{Places, Point, for_each_pair};
use super::windows::Window;
use crate::eval::range_vector::RangeSeries;
use crate::value::SampleValue;

/// The kinds of pairs that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Changes,
    Resets,
}

impl Counted {
    fn counts(self, before: Point<'_>, point: Point<'_>) -> bool {
        match (before, point) {
            (Point::Float(before, _), Point::Float(after, _)) if self == Self::Changes => {
                is_change(before.value, after.value)
            }
            (Point::Histogram(before, _), Point::Histogram(after, _)) if self == Self::Changes => {
                !after.histogram.equals(&before.histogram)
            }
            (Point::Float(..), Point::Histogram(..)) | (Point::Histogram(..), Point::Float(..)) => {
                true
            }
            (Point::Float(one, _), Point::Float(other, _)) => {
                other.value < one.value || point.starts_after(before)
            }
            (Point::Histogram(one, _), Point::Histogram(other, _)) => {
                point.starts_after(before) || other.histogram.detects_reset(&one.histogram)
            }
        }
    }
}

fn is_change(before: f64, after: f64) -> bool {
    after != before && !(after.is_nan() && before.is_nan())
}

/// The number of changes or resets from sample to sample in windows.
#[derive(Debug)]
pub(super) struct PairCount {
    pub(super) counted: Counted,
    pub(super) with_starts: bool,
    /// True if the last sample before the range counts too.
    pub(super) is_anchored: bool,
    pub(super) places: Places,
}

impl RangeFunction for PairCount {
    fn begin(&mut self, series: &RangeSeries<'_>) {
        let starts = series.starts.is_some() && self.with_starts;
        if starts || !series.histograms.is_empty() {
            self.places.clear();
            for_each_pair(series, starts, |place, before, point| {
                if self.counted.counts(before, point) {
                    self.places.push(place);
                }
            });
            return;
        }
        let floats = &series.floats;
        match self.counted {
            Counted::Changes => self.places.find(floats, |_, before, after| {
                is_change(before.value, after.value)
            }),
            Counted::Resets => self
                .places
                .find(floats, |_, before, after| after.value < before.value),
        }
    }

    fn value(
        &mut self,
        _: &RangeSeries<'_>,
        window: &Window<'_>,
        _: &mut Notes,
    ) -> Option<SampleValue> {
        let mut start = window.float_places.start + window.histogram_places.start;
        let end = window.float_places.end + window.histogram_places.end;
        if self.is_anchored {
            let before = window.samples_before_range();
            if start + before == end {
                return None;
            }
            start += before.saturating_sub(1);
        }
        let count = self.places.within(start..end).len();
        Some(SampleValue::Float(count as f64))
    }
}
