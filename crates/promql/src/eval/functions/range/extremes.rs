//! `max_over_time`, `min_over_time` and the times of the extremes.

use std::collections::VecDeque;
use std::ops::Range;

use prom_model::Sample;

use super::RangeFunction;
use super::notes::Notes;
use super::windows::Window;
use crate::eval::range_vector::RangeSeries;
use crate::value::SampleValue;

/// The largest or smallest float of windows.
#[derive(Debug)]
pub(super) struct Extreme {
    pub(super) is_max: bool,
    /// True if its time is the result: that of the last one of equals. The value is that of the first one.
    pub(super) wants_time: bool,
    /// True if windows share samples.
    pub(super) overlaps: bool,
    /// The floats that are the extreme of the window from them on, by their places. Each is as good as the ones
    /// after it or better.
    candidates: VecDeque<(usize, f64)>,
    /// The number of floats seen so far.
    end: usize,
}

impl Extreme {
    pub(super) fn new(is_max: bool, wants_time: bool, overlaps: bool) -> Self {
        Self {
            is_max,
            wants_time,
            overlaps,
            candidates: VecDeque::new(),
            end: 0,
        }
    }

    /// Returns true if a float replaces the best one before it.
    #[inline]
    fn replaces(&self, value: f64, best: f64) -> bool {
        match (self.is_max, self.wants_time) {
            (true, false) => value > best,
            (false, false) => value < best,
            (true, true) => value >= best,
            (false, true) => value <= best,
        }
    }

    /// Looks at all floats of a window.
    fn scan(&self, floats: &[Sample]) -> Option<Sample> {
        let mut best = *floats.first()?;
        for &sample in floats {
            if self.replaces(sample.value, best.value) || best.value.is_nan() {
                best = sample;
            }
        }
        Some(best)
    }

    /// Looks at the floats that were not in the last window.
    fn slide(&mut self, floats: &[Sample], window: Range<usize>) -> Option<Sample> {
        let new = self.end.max(window.start)..window.end;
        for (place, sample) in new.clone().zip(&floats[new]) {
            let value = sample.value;
            if value.is_nan() {
                continue;
            }
            while let Some(&(_, last)) = self.candidates.back()
                && self.replaces(value, last)
            {
                self.candidates.pop_back();
            }
            self.candidates.push_back((place, value));
        }
        self.end = window.end;
        while let Some(&(place, _)) = self.candidates.front()
            && place < window.start
        {
            self.candidates.pop_front();
        }
        // If all are NaN, it is the last one.
        let best = self.candidates.front().map(|&(place, _)| place);
        floats.get(best.or(window.end.checked_sub(1))?).copied()
    }
}

impl RangeFunction for Extreme {
    fn begin(&mut self, _: &RangeSeries<'_>) {
        self.candidates.clear();
        self.end = 0;
    }

    #[inline]
    fn value(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        let floats = window.floats_only(notes)?;
        let best = match self.overlaps {
            true => self.slide(&series.floats, window.float_places.clone()),
            false => self.scan(floats),
        }?;
        Some(SampleValue::Float(match self.wants_time {
            true => best.timestamp_ms as f64 / 1000.0,
            false => best.value,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-3..3_i32).prop_map(f64::from),
            1 => Just(-0.0),
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
        ]
    }

    proptest! {
        #[test]
        fn sliding_finds_what_a_scan_finds(
            values in prop::collection::vec(value(), 1..60),
            moves in prop::collection::vec((0..4_usize, 0..6_usize), 1..40),
            is_max: bool,
            wants_time: bool,
        ) {
            let sample = |(place, value): (usize, &f64)| Sample { timestamp_ms: place as i64, value: *value };
            let floats: Vec<_> = values.iter().enumerate().map(sample).collect();
            let mut extreme = Extreme::new(is_max, wants_time, true);
            let (mut start, mut end) = (0, 0);
            for (by_start, by_end) in moves {
                end = floats.len().min(end + by_end);
                start = end.min(start + by_start);
                if start == end {
                    continue;
                }
                let plain = extreme.scan(&floats[start..end]).unwrap();
                let slid = extreme.slide(&floats, start..end).unwrap();
                prop_assert_eq!(plain.value.to_bits(), slid.value.to_bits());
                prop_assert_eq!(plain.timestamp_ms, slid.timestamp_ms);
            }
        }
    }
}
