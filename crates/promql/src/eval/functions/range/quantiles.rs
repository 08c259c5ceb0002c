//! `quantile_over_time` and `mad_over_time`.

use std::ops::Range;

use prom_model::Sample;

use super::RangeFunction;
use super::notes::Notes;
use super::windows::Window;
use crate::eval::range_vector::RangeSeries;
use crate::eval::scalar::Scalar;
use crate::go_sort;
use crate::value::SampleValue;

/// The floats of a window in their order, NaN before all others. It moves along with windows.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    window: Range<usize>,
    nans: usize,
    /// The others.
    values: Vec<f64>,
}

impl Sorted {
    fn clear(&mut self) {
        self.window = 0..0;
        self.nans = 0;
        self.values.clear();
    }

    /// Moves to a window whose start and end are not before those of the last one.
    fn move_to(&mut self, floats: &[Sample], window: Range<usize>) {
        let (removed, added) = (
            self.window.start..window.start,
            self.window.end.max(window.start)..window.end,
        );
        let length = window.len();
        // Moving a sample moves the larger ones, and sorting compares each some times.
        let cost_of_moves = (removed.len() + added.len()).saturating_mul(16 + length / 32);
        let cost_of_sorting = length * (length.max(2).ilog2() as usize + 1);
        if window.start >= self.window.end || cost_of_moves > cost_of_sorting {
            self.clear();
            let values = floats[window.clone()].iter().map(|it| it.value);
            self.values.extend(values.filter(|value| !value.is_nan()));
            self.nans = length - self.values.len();
            self.values.sort_unstable_by(f64::total_cmp);
        } else {
            floats[removed].iter().for_each(|it| self.remove(it.value));
            floats[added].iter().for_each(|it| self.insert(it.value));
        }
        self.window = window;
    }

    fn place_of(&self, value: f64) -> usize {
        let is_less = |it: &f64| it.total_cmp(&value).is_lt();
        self.values.partition_point(is_less)
    }

    fn remove(&mut self, value: f64) {
        match value.is_nan() {
            true => self.nans -= 1,
            false => {
                self.values.remove(self.place_of(value));
            }
        }
    }

    fn insert(&mut self, value: f64) {
        match value.is_nan() {
            true => self.nans += 1,
            false => self.values.insert(self.place_of(value), value),
        }
    }

    fn len(&self) -> usize {
        self.nans + self.values.len()
    }

    fn at(&self, index: usize) -> f64 {
        match index.checked_sub(self.nans) {
            Some(index) => self.values[index],
            None => f64::NAN,
        }
    }

    fn quantile(&self, quantile: f64) -> f64 {
        quantile_of(quantile, self.len(), |index| self.at(index))
    }

    /// Returns the quantile of the window in `floats`.
    fn quantile_among(&self, floats: &[Sample], quantile: f64) -> f64 {
        if !self.has_both_zeros() {
            return self.quantile(quantile);
        }
        let values = floats[self.window.clone()].iter().map(|it| it.value);
        let mut values: Vec<_> = values.collect();
        go_sort::sort_floats(&mut values);
        quantile_of(quantile, values.len(), |index| values[index])
    }

    /// Returns true if there is a zero of each sign. They are equal, so that Prometheus' sorting has them in any order.
    fn has_both_zeros(&self) -> bool {
        let negative = self.place_of(-0.0);
        let positive = self.place_of(0.0);
        negative < positive && self.values.get(positive) == Some(&0.0)
    }

    /// Returns the median of the distances from the median, if there is no NaN.
    fn median_deviation(&self) -> f64 {
        if self.nans > 0 {
            return f64::NAN;
        }
        let median = self.quantile(0.5);
        if !median.is_finite() {
            return plain_median_deviation(&self.values, median);
        }
        // The distances fall up to the median and rise from there on, so that two cursors find them in order.
        let mut after = self.values.partition_point(|&it| it < median);
        let mut before = after;
        let mut distances = [0.0; 2];
        let last = self.len().saturating_sub(1);
        let upper = last.min(last / 2 + 1);
        for _ in 0..=upper {
            let below = before.checked_sub(1).map(|it| self.values[it]);
            let below = below.map(|it| (it - median).abs());
            let above = self.values.get(after).map(|it| (it - median).abs());
            let is_below = match (below, above) {
                (Some(below), Some(above)) => below < above,
                (below, _) => below.is_some(),
            };
            let distance = match is_below {
                true => {
                    before -= 1;
                    below
                }
                false => {
                    after += 1;
                    above
                }
            };
            distances = [distances[1], distance.unwrap_or(f64::NAN)];
        }
        quantile_of(0.5, self.len(), |index| {
            distances[usize::from(index == upper)]
        })
    }
}

fn plain_median_deviation(values: &[f64], median: f64) -> f64 {
    let distances = values.iter().map(|it| (it - median).abs());
    let (mut distances, nans): (Vec<f64>, Vec<f64>) = distances.partition(|it| !it.is_nan());
    distances.sort_unstable_by(f64::total_cmp);
    let sorted = Sorted {
        window: 0..0,
        nans: nans.len(),
        values: distances,
    };
    sorted.quantile(0.5)
}

/// Returns a quantile of `count` values that `at` returns in their order, the mean of two of them if it lies between.
#[inline]
fn quantile_of(quantile: f64, count: usize, at: impl Fn(usize) -> f64) -> f64 {
    if count == 0 || quantile.is_nan() {
        return f64::NAN;
    } else if quantile < 0.0 {
        return f64::NEG_INFINITY;
    } else if quantile > 1.0 {
        return f64::INFINITY;
    }
    let last = count as f64 - 1.0;
    let rank = quantile * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    at(lower as usize) * (1.0 - weight) + at(upper as usize) * weight
}

/// `quantile_over_time`.
#[derive(Debug)]
pub(super) struct Quantile {
    pub(super) quantile: Scalar,
    pub(super) sorted: Sorted,
}

impl RangeFunction for Quantile {
    fn begin(&mut self, _: &RangeSeries<'_>) {
        self.sorted.clear();
    }

    fn value(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        window.floats_only(notes)?;
        let quantile = self.quantile.at(window.step);
        if !(0.0..=1.0).contains(&quantile) {
            notes.add_quantile(quantile);
        }
        let places = window.float_places.clone();
        self.sorted.move_to(&series.floats, places);
        let value = self.sorted.quantile_among(&series.floats, quantile);
        Some(SampleValue::Float(value))
    }
}

/// `mad_over_time`: the median of the distances from the median.
#[derive(Debug, Default)]
pub(super) struct MedianDeviation {
    sorted: Sorted,
}

impl RangeFunction for MedianDeviation {
    const DEPENDS_ON_SAMPLES_ONLY: bool = true;

    fn begin(&mut self, _: &RangeSeries<'_>) {
        self.sorted.clear();
    }

    fn value(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        window.floats_only(notes)?;
        let places = window.float_places.clone();
        self.sorted.move_to(&series.floats, places);
        Some(SampleValue::Float(self.sorted.median_deviation()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => -1e3..1e3,
            6 => (-4..4_i32).prop_map(f64::from),
            1 => prop_oneof![
                Just(-0.0),
                Just(f64::NAN),
                Just(f64::INFINITY),
                Just(f64::NEG_INFINITY),
            ],
        ]
    }

    /// The quantile of values in any order, as Prometheus sorts and interpolates.
    fn plain_quantile(quantile: f64, mut values: Vec<f64>) -> f64 {
        values.sort_by(|a, b| {
            let rank = |it: f64| u8::from(!it.is_nan());
            rank(*a).cmp(&rank(*b)).then(a.total_cmp(b))
        });
        let rank = quantile * (values.len() as f64 - 1.0);
        let lower = rank.floor();
        let upper = (lower + 1.0).min(values.len() as f64 - 1.0);
        let weight = rank - lower;
        values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
    }

    fn plain_deviation(values: &[f64]) -> f64 {
        if values.iter().any(|it| it.is_nan()) {
            return f64::NAN;
        }
        let median = plain_quantile(0.5, values.to_vec());
        let distances = values.iter().map(|it| (it - median).abs());
        plain_quantile(0.5, distances.collect())
    }

    fn bits(value: f64) -> u64 {
        if value.is_nan() { 1 } else { value.to_bits() }
    }

    proptest! {
        #[test]
        fn moved_values_are_as_sorted_ones(
            values in prop::collection::vec(value(), 1..120),
            moves in prop::collection::vec((0..3_usize, 0..3_usize), 1..60),
            first_end in 0..60_usize,
            quantile in 0.0..=1.0,
        ) {
            let sample = |&value: &f64| Sample { timestamp_ms: 0, value };
            let floats: Vec<_> = values.iter().map(sample).collect();
            let mut sorted = Sorted::default();
            let (mut start, mut end) = (0, first_end);
            for (by_start, by_end) in moves {
                end = floats.len().min(end + by_end);
                start = end.min(start + by_start);
                if start == end {
                    continue;
                }
                sorted.move_to(&floats, start..end);
                let window = &values[start..end];
                let plain = plain_quantile(quantile, window.to_vec());
                prop_assert_eq!(bits(sorted.quantile(quantile)), bits(plain));
                prop_assert_eq!(bits(sorted.median_deviation()), bits(plain_deviation(window)));
            }
        }
    }

    /// In the order in which Go's insertion sort leaves them.
    #[test]
    fn zeros_keep_their_signs() {
        for (values, expected) in [
            (vec![0.0, -0.0], -0.0),
            (vec![-0.0, 0.0], 0.0),
            (vec![0.0, -0.0, -1.0], -0.0),
            (vec![f64::NAN, 0.0, -0.0], -0.0),
        ] {
            let sample = |&value: &f64| Sample {
                timestamp_ms: 0,
                value,
            };
            let floats: Vec<_> = values.iter().map(sample).collect();
            let mut sorted = Sorted::default();
            sorted.move_to(&floats, 0..floats.len());
            let value = sorted.quantile_among(&floats, 1.0);
            assert_eq!(bits(value), bits(expected), "{values:?}");
        }
    }

    #[test]
    fn quantiles_at_the_ends_and_beyond() {
        let at = |index: usize| [1.0, 2.0, 4.0][index];
        for (quantile, expected) in [
            (0.0, 1.0),
            (0.25, 1.5),
            (0.5, 2.0),
            (1.0, 4.0),
            (-0.1, f64::NEG_INFINITY),
            (1.1, f64::INFINITY),
        ] {
            assert_eq!(quantile_of(quantile, 3, at), expected);
        }
        assert!(quantile_of(f64::NAN, 3, at).is_nan());
    }
}
