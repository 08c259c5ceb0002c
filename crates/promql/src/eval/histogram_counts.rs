//! Histograms without their buckets, for functions that look at counts and sums only.
//!
//! Prometheus reads them with an iterator of its own. Where no hint says if counters were reset before a histogram, it
//! compares the histogram with the one before, if it has read that, because this cannot be done without buckets. So
//! sums of such histograms may report collisions of resets that sums of whole histograms do not know of.

use std::sync::Arc;

use prom_model::{Count, FloatHistogram, Histogram, ResetHint};

use crate::plan::Reference;
use crate::steps::Steps;
use crate::storage::StoredSeries;
use crate::value::HistogramSample;

/// The samples that are read for a time, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// The length of the window before the time.
    pub(super) before: i64,
    /// The length of the window after the time.
    pub(super) after: i64,
    /// The length before the end of a window to which the iterator jumps if its sample is older.
    pub(super) buffer: i64,
}

impl Reach {
    pub(super) fn window(before: i64, after: i64) -> Self {
        Self {
            before,
            after,
            buffer: before.saturating_add(after),
        }
    }
}

/// Returns a series whose histograms have no buckets, but hints.
pub(super) fn only_counts(
    series: &StoredSeries,
    steps: Steps,
    reference: Reference,
    reach: Reach,
) -> StoredSeries {
    let hints = hints(series, steps, reference, reach);
    let histograms = series.histograms.iter().zip(hints);
    let histograms = histograms.map(|(sample, hint)| HistogramSample {
        timestamp_ms: sample.timestamp_ms,
        histogram: without_buckets(&sample.histogram, hint),
    });
    StoredSeries {
        labels: Arc::clone(&series.labels),
        floats: series.floats.clone(),
        histograms: histograms.collect(),
        starts: series.starts.clone(),
    }
}

fn without_buckets(histogram: &Arc<FloatHistogram>, hint: ResetHint) -> Arc<FloatHistogram> {
    let counts = FloatHistogram::try_from(&Histogram {
        count: Some(Count::Float(histogram.count())),
        sum: histogram.sum(),
        schema: histogram.schema(),
        reset_hint: hint.to_number(),
        ..Histogram::default()
    });
    // The schema is one of a histogram, and without buckets nothing else can be wrong.
    counts.map_or_else(|_| Arc::clone(histogram), Arc::new)
}

/// Returns the hints of histograms as Prometheus' iterator finds them. It moves forward from sample to sample, but jumps
/// to the start of a window if that is after the next sample, and forgets the histogram before then.
fn hints(
    series: &StoredSeries,
    steps: Steps,
    reference: Reference,
    reach: Reach,
) -> Vec<ResetHint> {
    let histograms = &series.histograms;
    let mut hints: Vec<_> = histograms
        .iter()
        .map(|it| it.histogram.reset_hint())
        .collect();
    if histograms.is_empty() || steps.count() == 0 {
        return hints;
    }
    let mut samples = Merged {
        series,
        floats: 0,
        histograms: 0,
    };
    // The first window does not have the sample at its start, later ones do.
    let end_at = |time| reference.resolve(time).saturating_add(reach.after);
    let first = reference.resolve(steps.start).saturating_sub(reach.before);
    samples.skip_until(first.saturating_add(1));
    let (mut before, mut step) = (None::<usize>, 0);
    while step < steps.count()
        && let Some(next) = samples.time()
    {
        let end = end_at(steps.time(step));
        if next > end {
            // Windows in a gap change nothing.
            let reaching = next.saturating_sub(reach.after);
            step = steps.first_reaching(reference, reaching).max(step + 1);
            continue;
        }
        let start = end.saturating_sub(reach.buffer);
        if next < start {
            before = None;
            samples.skip_until(start);
        }
        while let Some(time) = samples.time().filter(|&time| time <= end) {
            if let Some(place) = samples.histogram_at(time)
                && before != Some(place)
                && !histograms[place].histogram.is_stale()
            {
                if let Some(before) = before
                    && hints[place] == ResetHint::Unknown
                {
                    let before = &histograms[before].histogram;
                    hints[place] = match histograms[place].histogram.detects_reset(before) {
                        true => ResetHint::Reset,
                        false => ResetHint::NotReset,
                    };
                }
                before = Some(place);
            }
            // The iterator stays at a sample at the end of a window.
            if time == end {
                break;
            }
            samples.skip_until(time + 1);
        }
        step += 1;
    }
    hints
}

/// The floats and histograms of a series in the order of their times.
struct Merged<'a> {
    series: &'a StoredSeries,
    floats: usize,
    histograms: usize,
}

impl Merged<'_> {
    /// Returns the time of the next sample.
    fn time(&self) -> Option<i64> {
        let float = self.series.floats.get(self.floats);
        let histogram = self.series.histograms.get(self.histograms);
        let times = [
            float.map(|it| it.timestamp_ms),
            histogram.map(|it| it.timestamp_ms),
        ];
        times.into_iter().flatten().min()
    }

    /// Returns the place of the next histogram, if it has this time.
    fn histogram_at(&self, time: i64) -> Option<usize> {
        let histogram = self.series.histograms.get(self.histograms)?;
        (histogram.timestamp_ms == time).then_some(self.histograms)
    }

    /// Makes the first sample at `time` or later the next one.
    fn skip_until(&mut self, time: i64) {
        let floats = &self.series.floats[self.floats..];
        let is_before = floats.iter().take_while(|it| it.timestamp_ms < time);
        self.floats += is_before.count();
        let histograms = &self.series.histograms[self.histograms..];
        let is_before = histograms.iter().take_while(|it| it.timestamp_ms < time);
        self.histograms += is_before.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, EngineOptions, MemoryStorage, ParserOptions, SampleValue, WindowSamples};
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    use prom_model::{Label, Labels, STALE_MARKER_BITS, Sample};

    fn histogram(count: f64, hint: ResetHint) -> Arc<FloatHistogram> {
        let plain = Histogram {
            count: Some(Count::Float(count)),
            sum: 2.0 * count,
            schema: 1,
            zero_count: Some(Count::Float(count)),
            reset_hint: hint.to_number(),
            ..Histogram::default()
        };
        Arc::new(FloatHistogram::try_from(&plain).unwrap())
    }

    fn series(histograms: &[(i64, f64, ResetHint)]) -> StoredSeries {
        let samples = histograms.iter();
        StoredSeries {
            histograms: samples
                .map(|&(timestamp_ms, count, hint)| HistogramSample {
                    timestamp_ms,
                    histogram: histogram(count, hint),
                })
                .collect(),
            ..StoredSeries::default()
        }
    }

    fn hints_of(
        series: &StoredSeries,
        (start, end, interval): (i64, i64, i64),
        length: i64,
    ) -> Vec<ResetHint> {
        let steps = Steps::range(start, end, interval).unwrap();
        let counts = only_counts(
            series,
            steps,
            Reference::default(),
            Reach::window(length, 0),
        );
        counts
            .histograms
            .iter()
            .map(|it| it.histogram.reset_hint())
            .collect()
    }

    #[test]
    fn unknown_hints_come_from_the_histogram_before() {
        let falling = series(&[
            (0, 5.0, Unknown),
            (10, 3.0, Unknown),
            (20, 3.0, Unknown),
            (30, 1.0, Unknown),
        ]);
        assert_eq!(
            hints_of(&falling, (30, 30, 1), 100),
            [Unknown, Reset, NotReset, Reset]
        );
        // The first window does not contain its start.
        assert_eq!(
            hints_of(&falling, (30, 30, 1), 20),
            [Unknown, Unknown, Unknown, Reset]
        );
        // After the end nothing is read.
        assert_eq!(
            hints_of(&falling, (29, 29, 1), 100),
            [Unknown, Reset, NotReset, Unknown]
        );
        let known = series(&[
            (0, 5.0, Unknown),
            (10, 3.0, NotReset),
            (20, 3.0, Reset),
            (30, 1.0, Gauge),
        ]);
        assert_eq!(
            hints_of(&known, (30, 30, 1), 100),
            [Unknown, NotReset, Reset, Gauge]
        );
    }

    #[test]
    fn gaps_between_windows_with_samples_are_not_bridged() {
        let falling = series(&[
            (0, 5.0, Unknown),
            (10, 4.0, Unknown),
            (20, 3.0, Unknown),
            (30, 2.0, Unknown),
        ]);
        // At 11 and 31: between the windows there is the sample at 20.
        assert_eq!(hints_of(&falling, (11, 31, 20), 5), [Unknown; 4]);
        // The next sample is the start of the next window.
        assert_eq!(
            hints_of(&falling, (11, 31, 20), 11),
            [Unknown, Unknown, Reset, Reset]
        );
        // The second window, which contains its start, does not contain the next sample.
        assert_eq!(
            hints_of(&falling, (1, 31, 30), 11),
            [Unknown, Unknown, Unknown, Reset]
        );
        // At 12 and 22: there is no sample between.
        assert_eq!(
            hints_of(&falling, (12, 22, 10), 5),
            [Unknown, Unknown, Reset, Unknown]
        );
        // At 10 and 20: the reader is still at the sample at 10.
        assert_eq!(hints_of(&falling, (10, 20, 10), 5), [Unknown; 4]);
        assert_eq!(
            hints_of(&falling, (10, 20, 10), 10),
            [Unknown, Unknown, Reset, Unknown]
        );
        assert_eq!(
            hints_of(&falling, (10, 30, 1), 5),
            [Unknown, Unknown, Reset, Reset]
        );
    }

    #[test]
    fn floats_and_stale_markers_do_not_hide_the_histogram_before() {
        let mut mixed = series(&[(0, 5.0, Unknown), (20, 0.0, Unknown), (30, 3.0, Unknown)]);
        mixed.floats.push(Sample {
            timestamp_ms: 10,
            value: 1.0,
        });
        let stale = Histogram {
            sum: f64::from_bits(STALE_MARKER_BITS),
            ..Histogram::default()
        };
        mixed.histograms[1].histogram = Arc::new(FloatHistogram::try_from(&stale).unwrap());
        assert_eq!(
            hints_of(&mixed, (30, 30, 1), 100),
            [Unknown, Unknown, Reset]
        );
        let steps = Steps::instant(30).unwrap();
        let counts = only_counts(&mixed, steps, Reference::default(), Reach::window(100, 0));
        assert!(counts.histograms[1].histogram.is_stale());
        let last = &counts.histograms[2].histogram;
        let fields = (last.schema(), last.count(), last.sum(), last.zero_count());
        assert_eq!((fields, counts.floats.len()), ((1, 3.0, 6.0, 0.0), 1));
    }

    #[test]
    fn sums_of_counts_know_of_resets() {
        let mut storage = MemoryStorage::default();
        for (name, counts) in [("a", [5.0, 3.0]), ("b", [3.0, 3.0])] {
            let labels = Labels::new(vec![Label {
                name: "x".to_owned(),
                value: name.to_owned(),
            }]);
            for (time, count) in (0..).zip(counts) {
                let value = SampleValue::Histogram(histogram(count, Unknown));
                storage.append(&labels, time, value).unwrap();
            }
        }
        let engine = Engine::new(EngineOptions {
            parser: ParserOptions::everything(),
            ..EngineOptions::default()
        });
        let warning = "PromQL warning: conflicting counter resets during histogram aggregation";
        for (query, samples, has_warning) in [
            ("histogram_count(sum({x=~'a|b'}))", WindowSamples::All, true),
            ("histogram_avg(-sum({x=~'a|b'}))", WindowSamples::All, true),
            ("histogram_sum({x=~'a|b'})", WindowSamples::Newest, false),
            ("sum({x=~'a|b'})", WindowSamples::Newest, false),
            (
                "histogram_quantile(0.5, sum({x=~'a|b'}))",
                WindowSamples::Newest,
                false,
            ),
        ] {
            let query_at_1 = engine.instant(query, 1).unwrap();
            assert_eq!(query_at_1.selections()[0].samples, samples, "{query}");
            let Ok(outcome) = query_at_1.run(&storage);
            let warnings = outcome.annotations.warnings();
            let is_warning = warnings.iter().any(|it| it.starts_with(warning));
            assert_eq!(is_warning, has_warning, "{query}: {warnings:?}");
        }
    }

    #[test]
    fn buckets_are_read_if_anything_around_needs_them() {
        let engine = Engine::new(EngineOptions {
            parser: ParserOptions::everything(),
            ..EngineOptions::default()
        });
        for (query, windows) in [
            ("histogram_count(a + b)", vec![300_001, 300_001]),
            (
                "histogram_count(a + histogram_stddev(b))",
                vec![300_001, 300_000],
            ),
            ("histogram_count(a </ 10 == b)", vec![300_000, 300_001]),
            ("histogram_count(a + (b </ 10))", vec![300_001, 300_000]),
            ("histogram_count((a + b) </ 10)", vec![300_000, 300_000]),
            ("histogram_count(sum(sum_over_time(a[1m])))", vec![60_001]),
            ("histogram_count(sum_over_time(a[1m:1s]))", vec![300_000]),
            (
                "histogram_quantile(0.5, histogram_count(sum(a)))",
                vec![300_000],
            ),
        ] {
            let query = engine.instant(query, 0).unwrap();
            let selections = query.selections().iter();
            // A millisecond more is read only if there are no buckets.
            let found: Vec<_> = selections.map(|it| it.before_ms).collect();
            assert_eq!(found, windows);
        }
    }
}
