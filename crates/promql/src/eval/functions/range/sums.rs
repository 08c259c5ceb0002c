//! `sum_over_time`, `avg_over_time`, `stddev_over_time` and `stdvar_over_time`.

use std::ops::Range;
use std::sync::Arc;

use prom_model::{CompensatedHistogram, FloatHistogram, ResetHint, Sample};

use super::notes::{Note, Notes};
use super::windows::Window;
use super::{LANES, RangeFunction};
use crate::eval::kahan::{Kahan, Kahans};
use crate::eval::range_vector::RangeSeries;
use crate::value::SampleValue;

/// A function of floats whose windows are evaluated several at a time.
pub(super) trait Fold {
    /// Prepares for a series. `overlaps` is true if windows share samples.
    fn prepare(&mut self, floats: &[Sample], overlaps: bool);

    /// Returns the result of a window that has floats.
    fn one(&self, floats: &[Sample], window: Range<usize>) -> f64;

    /// Returns the results of several windows that have floats.
    fn several(&self, floats: &[Sample], windows: &[Range<usize>; LANES]) -> [f64; LANES];
}

/// The sums of the first floats of a series, if adding them needs no rounding in whatever order.
#[derive(Debug, Default)]
struct ExactSums(Vec<f64>);

impl ExactSums {
    /// All integers up to this are floats.
    const LARGEST_INTEGER: f64 = (1_u64 << 53) as f64;

    fn prepare(&mut self, floats: &[Sample], overlaps: bool) {
        self.0.clear();
        let total: f64 = match overlaps {
            true => floats.iter().map(|it| it.value.abs()).sum(),
            false => f64::INFINITY,
        };
        // The absolute values are rounded only if their sum is above the bound, from where it cannot come back.
        let is_small = total < Self::LARGEST_INTEGER;
        if !is_small || !floats.iter().all(|it| it.value == it.value.trunc()) {
            return;
        }
        let mut sum = 0.0;
        self.0.reserve_exact(floats.len() + 1);
        self.0.push(sum);
        self.0.extend(floats.iter().map(|it| {
            sum += it.value;
            sum
        }));
    }

    fn of(&self, window: &Range<usize>) -> Option<f64> {
        let end = self.0.get(window.end)?;
        Some(end - self.0[window.start])
    }
}

/// Calls `add` with one value of each window at a time, for as long as all windows have samples. Returns the rests of
/// the windows.
#[inline]
fn in_lockstep<'s>(
    floats: &'s [Sample],
    windows: &[Range<usize>; LANES],
    mut add: impl FnMut([f64; LANES]),
) -> [&'s [Sample]; LANES] {
    let common = windows.iter().map(Range::len).min().unwrap_or(0);
    let parts: [_; LANES] =
        std::array::from_fn(|lane| floats[windows[lane].clone()].split_at(common));
    let [a, b, c, d] = parts.map(|(start, _)| start);
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        add([a.value, b.value, c.value, d.value]);
    }
    parts.map(|(_, rest)| rest)
}

/// Adds the floats of windows.
fn kahan_sums(floats: &[Sample], windows: &[Range<usize>; LANES]) -> [Kahan; LANES] {
    let mut sums = Kahans::<LANES>::default();
    let rests = in_lockstep(floats, windows, |values| sums.add(values));
    std::array::from_fn(|lane| kahan_sum(sums.get(lane), rests[lane]))
}

fn kahan_sum(mut sum: Kahan, floats: &[Sample]) -> Kahan {
    floats.iter().for_each(|it| sum.add(it.value));
    sum
}

/// `sum_over_time` of floats.
#[derive(Debug, Default)]
pub(super) struct Sum {
    exact: ExactSums,
}

impl Sum {
    fn result(sum: Kahan) -> f64 {
        match sum.sum.is_infinite() {
            true => sum.sum,
            false => sum.total(),
        }
    }
}

impl Fold for Sum {
    fn prepare(&mut self, floats: &[Sample], overlaps: bool) {
        self.exact.prepare(floats, overlaps);
    }

    fn one(&self, floats: &[Sample], window: Range<usize>) -> f64 {
        match self.exact.of(&window) {
            Some(sum) => sum,
            None => Self::result(kahan_sum(Kahan::default(), &floats[window])),
        }
    }

    fn several(&self, floats: &[Sample], windows: &[Range<usize>; LANES]) -> [f64; LANES] {
        match self.exact.0.is_empty() {
            true => kahan_sums(floats, windows).map(Self::result),
            false => std::array::from_fn(|lane| self.one(floats, windows[lane].clone())),
        }
    }
}

/// `avg_over_time` of floats.
#[derive(Debug, Default)]
pub(super) struct Average {
    exact: ExactSums,
}

impl Average {
    fn result(sum: Kahan, floats: &[Sample]) -> f64 {
        if sum.sum.is_infinite() || sum.sum.is_nan() {
            return Self::careful(floats);
        }
        let count = floats.len() as f64;
        sum.sum / count + sum.compensation / count
    }

    /// Adds until the sum is infinite, and calculates the mean incrementally from there on.
    fn careful(floats: &[Sample]) -> f64 {
        let Some((first, rest)) = floats.split_first() else {
            return f64::NAN;
        };
        let mut sum = Kahan {
            sum: first.value,
            compensation: 0.0,
        };
        let mut count = 1.0;
        let mut mean: Option<Kahan> = None;
        for it in rest {
            count += 1.0;
            if mean.is_none() {
                let mut next = sum;
                next.add(it.value);
                if !next.sum.is_infinite() {
                    sum = next;
                    continue;
                }
            }
            let before = mean.unwrap_or(Kahan {
                sum: sum.sum / (count - 1.0),
                compensation: sum.compensation / (count - 1.0),
            });
            let share = (count - 1.0) / count;
            let mut next = Kahan {
                sum: share * before.sum,
                compensation: share * before.compensation,
            };
            next.add(it.value / count);
            mean = Some(next);
        }
        match mean {
            Some(mean) => mean.total(),
            None => sum.sum / count + sum.compensation / count,
        }
    }
}

impl Fold for Average {
    fn prepare(&mut self, floats: &[Sample], overlaps: bool) {
        self.exact.prepare(floats, overlaps);
    }

    fn one(&self, floats: &[Sample], window: Range<usize>) -> f64 {
        match self.exact.of(&window) {
            Some(sum) => sum / window.len() as f64,
            None => Self::careful(&floats[window]),
        }
    }

    fn several(&self, floats: &[Sample], windows: &[Range<usize>; LANES]) -> [f64; LANES] {
        if !self.exact.0.is_empty() {
            return std::array::from_fn(|lane| self.one(floats, windows[lane].clone()));
        }
        let sums = kahan_sums(floats, windows);
        std::array::from_fn(|lane| Self::result(sums[lane], &floats[windows[lane].clone()]))
    }
}

/// `stdvar_over_time`, or its root, with Welford's algorithm.
#[derive(Debug)]
pub(super) struct Variance {
    pub(super) is_deviation: bool,
}

/// The mean and the sum of squared differences from it, for several windows.
#[derive(Clone, Copy, Debug)]
struct Moments<const N: usize> {
    means: Kahans<N>,
    squares: Kahans<N>,
    count: f64,
}

impl<const N: usize> Moments<N> {
    fn new() -> Self {
        Self {
            means: Kahans::default(),
            squares: Kahans::default(),
            count: 0.0,
        }
    }

    #[inline]
    fn add(&mut self, values: [f64; N]) {
        self.count += 1.0;
        let count = self.count;
        let differences: [f64; N] =
            std::array::from_fn(|lane| values[lane] - self.means.get(lane).total());
        self.means.add(differences.map(|it| it / count));
        self.squares.add(std::array::from_fn(|lane| {
            differences[lane] * (values[lane] - self.means.get(lane).total())
        }));
    }

    fn lane(&self, lane: usize) -> Moments<1> {
        let lane_of = |all: &Kahans<N>| Kahans {
            sums: [all.sums[lane]],
            compensations: [all.compensations[lane]],
        };
        Moments {
            means: lane_of(&self.means),
            squares: lane_of(&self.squares),
            count: self.count,
        }
    }
}

impl Variance {
    fn result(&self, mut moments: Moments<1>, rest: &[Sample]) -> f64 {
        rest.iter().for_each(|it| moments.add([it.value]));
        let variance = moments.squares.get(0).total() / moments.count;
        match self.is_deviation {
            true => variance.sqrt(),
            false => variance,
        }
    }
}

impl Fold for Variance {
    fn prepare(&mut self, _: &[Sample], _: bool) {}

    fn one(&self, floats: &[Sample], window: Range<usize>) -> f64 {
        self.result(Moments::new(), &floats[window])
    }

    fn several(&self, floats: &[Sample], windows: &[Range<usize>; LANES]) -> [f64; LANES] {
        let mut moments = Moments::<LANES>::new();
        let rests = in_lockstep(floats, windows, |values| moments.add(values));
        std::array::from_fn(|lane| self.result(moments.lane(lane), rests[lane]))
    }
}

/// `sum_over_time` and `avg_over_time` of windows that may have histograms.
#[derive(Debug)]
pub(super) struct HistogramSum {
    pub(super) is_average: bool,
}

impl HistogramSum {
    /// Returns the result of the histograms of a window; nothing if they cannot be added.
    fn of(&self, window: &Window<'_>, notes: &mut Notes) -> Option<Arc<FloatHistogram>> {
        let all = window.histograms;
        if let [one] = all {
            return Some(Arc::clone(&one.histogram));
        }
        let mut own_notes = Notes::default();
        let has_hint = |hint| all.iter().any(|it| it.histogram.reset_hint() == hint);
        own_notes.add_if(
            has_hint(ResetHint::Reset) && has_hint(ResetHint::NotReset),
            Note::ConflictingResets,
        );
        match self.combined(window, &mut own_notes) {
            Some(result) => {
                notes.merge(own_notes);
                Some(Arc::new(result))
            }
            None => {
                notes.add(Note::MixedExponentialCustom);
                None
            }
        }
    }

    fn combined(&self, window: &Window<'_>, notes: &mut Notes) -> Option<FloatHistogram> {
        let (first, rest) = window.histograms.split_first()?;
        let first = || CompensatedHistogram::new(FloatHistogram::clone(&first.histogram));
        let mut sum = first();
        for (index, it) in rest.iter().enumerate() {
            let added = sum.add(&it.histogram).ok()?;
            notes.add_if(added.has_reconciled_bounds, Note::ReconciledAggregation);
            if self.is_average && sum.has_overflow() {
                // The sum before this one is calculated again, because that is rarer than an overflow.
                let mut before = first();
                for it in &rest[..index] {
                    let _ = before.add(&it.histogram).ok()?;
                }
                return Self::incremental_mean(before, index + 1, &rest[index..], notes);
            }
        }
        if self.is_average {
            sum.div(window.histograms.len() as f64);
        }
        Some(sum.into_histogram())
    }

    /// Returns the mean of `count` histograms with the sum `sum` and more.
    fn incremental_mean(
        sum: CompensatedHistogram,
        count: usize,
        more: &[crate::value::HistogramSample],
        notes: &mut Notes,
    ) -> Option<FloatHistogram> {
        let mut mean = sum;
        let mut count = count as f64;
        mean.div(count);
        for it in more {
            count += 1.0;
            mean.mul((count - 1.0) / count);
            let mut share = FloatHistogram::clone(&it.histogram);
            share.div(count);
            let added = mean.add(&share).ok()?;
            notes.add_if(added.has_reconciled_bounds, Note::ReconciledAggregation);
        }
        Some(mean.into_histogram())
    }
}

/// A function of floats with another one for windows of histograms.
#[derive(Debug)]
pub(super) struct Folded<F> {
    pub(super) floats: F,
    /// `None` if histograms are ignored.
    pub(super) histograms: Option<HistogramSum>,
    /// True if windows share samples.
    pub(super) overlaps: bool,
}

impl<F: Fold> RangeFunction for Folded<F> {
    const DEPENDS_ON_SAMPLES_ONLY: bool = true;

    fn begin(&mut self, series: &RangeSeries<'_>) {
        self.floats.prepare(&series.floats, self.overlaps);
    }

    fn value(
        &mut self,
        series: &RangeSeries<'_>,
        window: &Window<'_>,
        notes: &mut Notes,
    ) -> Option<SampleValue> {
        match &self.histograms {
            Some(_) if window.is_mixed() => {
                notes.add(Note::MixedFloatsHistograms);
                return None;
            }
            Some(histograms) if window.floats.is_empty() => {
                return histograms.of(window, notes).map(SampleValue::Histogram);
            }
            _ => {}
        }
        window.floats_only(notes)?;
        let value = self.floats.one(&series.floats, window.float_places.clone());
        Some(SampleValue::Float(value))
    }

    fn float_values(
        &mut self,
        series: &RangeSeries<'_>,
        windows: &[Range<usize>; LANES],
    ) -> Option<[f64; LANES]> {
        Some(self.floats.several(&series.floats, windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => -1e3..1e3,
            3 => (-9..9_i32).prop_map(f64::from),
            1 => prop_oneof![
                Just(-0.0),
                Just(f64::NAN),
                Just(f64::INFINITY),
                Just(f64::NEG_INFINITY),
                Just(1e308),
                Just(-1.5e308),
                Just(1e-320),
            ],
        ]
    }

    fn samples(values: &[f64]) -> Vec<Sample> {
        let sample = |(place, &value): (usize, &f64)| Sample {
            timestamp_ms: place as i64,
            value,
        };
        values.iter().enumerate().map(sample).collect()
    }

    /// The sum as Prometheus adds.
    fn plain_sum(floats: &[Sample]) -> f64 {
        let (mut sum, mut lost) = (0.0_f64, 0.0);
        for it in floats {
            let next = sum + it.value;
            if next.is_infinite() {
                lost = 0.0;
            } else if sum.abs() >= it.value.abs() {
                lost += (sum - next) + it.value;
            } else {
                lost += (it.value - next) + sum;
            }
            sum = next;
        }
        if sum.is_infinite() { sum } else { sum + lost }
    }

    fn bits(value: f64) -> u64 {
        // The bits of NaN depend on the order of operands.
        if value.is_nan() { 1 } else { value.to_bits() }
    }

    fn windows(floats: &[Sample], places: [(usize, usize); LANES]) -> [Range<usize>; LANES] {
        places.map(|(start, length)| {
            let start = start % floats.len();
            start..(start + 1 + length).min(floats.len())
        })
    }

    proptest! {
        #[test]
        fn several_windows_are_added_as_each_alone(
            values in prop::collection::vec(value(), 1..40),
            places: [(usize, u8); LANES],
        ) {
            let floats = samples(&values);
            let windows = windows(&floats, places.map(|(start, length)| (start, usize::from(length % 40))));
            let (mut sum, mut average) = (Sum::default(), Average::default());
            sum.prepare(&floats, false);
            average.prepare(&floats, false);
            let variance = Variance { is_deviation: false };
            let sums = sum.several(&floats, &windows);
            let averages = average.several(&floats, &windows);
            let variances = variance.several(&floats, &windows);
            for (lane, window) in windows.into_iter().enumerate() {
                let plain = plain_sum(&floats[window.clone()]);
                prop_assert_eq!(bits(sums[lane]), bits(plain));
                prop_assert_eq!(bits(sum.one(&floats, window.clone())), bits(plain));
                let plain = Average::careful(&floats[window.clone()]);
                prop_assert_eq!(bits(averages[lane]), bits(plain));
                let plain = variance.one(&floats, window);
                prop_assert_eq!(bits(variances[lane]), bits(plain));
            }
        }

        #[test]
        fn sums_of_integers_are_exact(
            values in prop::collection::vec(prop_oneof![-1000..1000_i64, -(1_i64 << 50)..1 << 50], 1..40),
            zero: bool,
            start in 0..40_usize,
            length in 0..40_usize,
        ) {
            let mut values: Vec<f64> = values.into_iter().map(|it| it as f64).collect();
            if zero {
                values[0] = -0.0;
            }
            let floats = samples(&values);
            let start = start % floats.len();
            let window = start..(start + 1 + length).min(floats.len());
            let (mut sum, mut average) = (Sum::default(), Average::default());
            sum.prepare(&floats, true);
            average.prepare(&floats, true);
            let plain = plain_sum(&floats[window.clone()]);
            prop_assert_eq!(sum.one(&floats, window.clone()).to_bits(), plain.to_bits());
            let plain = Average::careful(&floats[window.clone()]);
            prop_assert_eq!(average.one(&floats, window).to_bits(), plain.to_bits());
        }
    }

    #[test]
    fn only_small_integers_have_exact_sums() {
        let is_exact = |values: &[f64]| {
            let mut sums = ExactSums::default();
            sums.prepare(&samples(values), true);
            !sums.0.is_empty()
        };
        assert!(is_exact(&[1.0, -2.0, 1e15]));
        assert!(!is_exact(&[1.0, 0.5]));
        assert!(!is_exact(&[1.0, 9_007_199_254_740_992.0]));
        assert!(!is_exact(&[1.0, f64::NAN]));
        assert!(!is_exact(&[f64::INFINITY]));
    }
}
