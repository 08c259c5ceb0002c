//! Facts about neighbours in a series, found once and not once for each window.

use std::ops::Range;

use prom_model::Sample;

use crate::eval::range_vector::RangeSeries;
use crate::value::HistogramSample;

/// The places in a series at which something happened between a sample and the one before it.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// In rising order.
    places: Vec<usize>,
    first: usize,
    end: usize,
}

impl Places {
    /// Finds the places of all pairs of neighbours that fulfil a condition.
    pub(super) fn find<T>(
        &mut self,
        samples: &[T],
        mut is_place: impl FnMut(usize, &T, &T) -> bool,
    ) {
        self.clear();
        for (index, pair) in samples.windows(2).enumerate() {
            if is_place(index + 1, &pair[0], &pair[1]) {
                self.places.push(index + 1);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
        (self.first, self.end) = (0, 0);
    }

    pub(super) fn push(&mut self, place: usize) {
        self.places.push(place);
    }

    /// Returns the places of neighbours that are both in a window, whose start and end must not be before those of the
    /// last one.
    #[inline]
    pub(super) fn within(&mut self, window: Range<usize>) -> &[usize] {
        while self.end < self.places.len() && self.places[self.end] < window.end {
            self.end += 1;
        }
        while self.first < self.end && self.places[self.first] <= window.start {
            self.first += 1;
        }
        &self.places[self.first..self.end]
    }
}

/// A float or a histogram, and the start of its counter: 0 if unknown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Point<'s> {
    Float(&'s Sample, i64),
    Histogram(&'s HistogramSample, i64),
}

impl Point<'_> {
    pub(super) fn time(self) -> i64 {
        match self {
            Self::Float(sample, _) => sample.timestamp_ms,
            Self::Histogram(sample, _) => sample.timestamp_ms,
        }
    }

    pub(super) fn start(self) -> i64 {
        match self {
            Self::Float(_, start) | Self::Histogram(_, start) => start,
        }
    }

    /// Returns true if the start of the counter shows a reset after the point before.
    pub(super) fn starts_after(self, before: Self) -> bool {
        is_start_reset((before.start(), before.time()), (self.start(), self.time()))
    }
}

/// Calls `visit` with each point and the one before it, in the order of their times. A window from the float `f` and
/// the histogram `h` on begins at the point `f + h`.
pub(super) fn for_each_pair(
    series: &RangeSeries<'_>,
    with_starts: bool,
    mut visit: impl FnMut(usize, Point<'_>, Point<'_>),
) {
    let starts = series.starts.as_deref().filter(|_| with_starts);
    let (mut floats, mut histograms) = (0, 0);
    let mut before = None;
    loop {
        let float = series.floats.get(floats);
        let histogram = series.histograms.get(histograms);
        let is_float = match (float, histogram) {
            (Some(float), Some(histogram)) => float.timestamp_ms < histogram.timestamp_ms,
            (float, _) => float.is_some(),
        };
        let point = match (is_float, float, histogram) {
            (true, Some(float), _) => {
                let start = starts.and_then(|it| it.floats.get(floats));
                floats += 1;
                Point::Float(float, start.copied().unwrap_or(0))
            }
            (_, _, Some(histogram)) => {
                let start = starts.and_then(|it| it.histograms.get(histograms));
                histograms += 1;
                Point::Histogram(histogram, start.copied().unwrap_or(0))
            }
            _ => return,
        };
        if let Some(before) = before.replace(point) {
            visit(floats + histograms - 1, before, point);
        }
    }
}

/// Returns true if the start of a counter shows that it was reset after the sample before. Each sample is given by its
/// start, which is 0 if unknown, and its time.
pub(super) fn is_start_reset(before: (i64, i64), sample: (i64, i64)) -> bool {
    let ((start_before, time_before), (start, time)) = (before, sample);
    if start == start_before || start == 0 || start >= time || start < time_before {
        return false;
    }
    // Equal times: a delta, unless the start of the sample before is unknown or impossible.
    start > time_before || start_before != 0 && start_before < time_before
}

/// Returns true if a sample claims to have begun before the sample before it, and not where that one began.
pub(super) fn is_start_overlap(before: (i64, i64), start: i64) -> bool {
    let (start_before, time_before) = before;
    start != 0 && start < time_before && start != start_before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_show_resets() {
        for (before, sample, expected) in [
            ((0, 100), (0, 200), false),
            ((50, 100), (50, 200), false),
            ((50, 100), (0, 200), false),
            ((50, 100), (200, 200), false),
            ((50, 100), (250, 200), false),
            ((50, 100), (70, 200), false),
            ((50, 100), (150, 200), true),
            ((0, 100), (150, 200), true),
            // The start is the time of the sample before.
            ((50, 100), (100, 200), true),
            ((0, 100), (100, 200), false),
            ((100, 100), (100, 200), false),
            ((120, 100), (100, 200), false),
        ] {
            assert_eq!(
                is_start_reset(before, sample),
                expected,
                "{before:?} {sample:?}"
            );
        }
    }

    #[test]
    fn starts_overlap_the_sample_before() {
        assert!(is_start_overlap((10, 100), 50));
        for (before, start) in [((10, 100), 0), ((10, 100), 10), ((10, 100), 100)] {
            assert!(!is_start_overlap(before, start), "{before:?} {start}");
        }
    }

    #[test]
    fn places_of_pairs_within_windows() {
        let mut places = Places::default();
        places.find(&[1, 2, 1, 0, 5, 4], |_, before, after| after < before);
        for (window, expected) in [
            (0..1, &[][..]),
            (0..3, &[2]),
            (1..4, &[2, 3]),
            (2..4, &[3]),
            (3..6, &[5]),
            (5..6, &[]),
            (6..6, &[]),
        ] {
            assert_eq!(places.within(window.clone()), expected, "{window:?}");
        }
    }
}
