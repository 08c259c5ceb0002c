//! The samples that a query says it needs, and no others.

use std::collections::BTreeSet;
use std::convert::Infallible;

use prom_model::STALE_MARKER_BITS;
use promql::{MemoryStorage, Selection, Storage, StoredSeries, WindowSamples};

/// The samples that a storage returns for a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// All from the first window to the last.
    All,
    /// Those of the windows that the selection says to matter.
    Needed,
}

/// A storage in memory that returns more samples than needed, or not.
pub(crate) struct Samples<'a> {
    pub(crate) storage: &'a MemoryStorage,
    pub(crate) returned: Returned,
}

impl Storage for Samples<'_> {
    type Error = Infallible;

    fn select(&self, selection: &Selection) -> Result<Vec<StoredSeries>, Infallible> {
        let mut selected = self.storage.select(selection)?;
        if self.returned == Returned::Needed {
            for series in &mut selected {
                drop_needless(series, selection);
            }
        }
        Ok(selected)
    }
}

fn drop_needless(series: &mut StoredSeries, selection: &Selection) {
    let is_stale = |value: f64| value.to_bits() == STALE_MARKER_BITS;
    let floats = series.floats.iter();
    let floats = floats.map(|it| (it.timestamp_ms, is_stale(it.value)));
    let histograms = series.histograms.iter();
    let histograms = histograms.map(|it| (it.timestamp_ms, it.histogram.is_stale()));
    let mut samples: Vec<_> = floats.chain(histograms).collect();
    samples.sort();

    let mut needed = BTreeSet::new();
    let mut time = selection.first_ms;
    while time <= selection.last_ms {
        let first = samples.partition_point(|it| it.0 <= time - selection.before_ms);
        let end = samples.partition_point(|it| it.0 <= time + selection.after_ms);
        let mut window = samples[first..end.max(first)].iter();
        match selection.samples {
            WindowSamples::All => needed.extend(window.map(|it| it.0)),
            WindowSamples::Newest => needed.extend(window.next_back().map(|it| it.0)),
            WindowSamples::NewestNotStale => {
                needed.extend(window.rfind(|it| !it.1).map(|it| it.0));
            }
        }
        time += selection.step_ms;
    }

    if let Some(starts) = &mut series.starts {
        let mut times = series.floats.iter().map(|it| it.timestamp_ms);
        starts
            .floats
            .retain(|_| times.next().is_some_and(|time| needed.contains(&time)));
        let mut times = series.histograms.iter().map(|it| it.timestamp_ms);
        starts
            .histograms
            .retain(|_| times.next().is_some_and(|time| needed.contains(&time)));
    }
    series.floats.retain(|it| needed.contains(&it.timestamp_ms));
    series
        .histograms
        .retain(|it| needed.contains(&it.timestamp_ms));
}

#[cfg(test)]
mod tests {
    use super::*;
    use prom_model::{Label, Labels};
    use promql::{Engine, EngineOptions, SampleValue};

    #[test]
    fn samples_between_the_windows_are_dropped() {
        let mut storage = MemoryStorage::default();
        let labels = Labels::new(vec![Label {
            name: "__name__".to_owned(),
            value: "m".to_owned(),
        }]);
        for time in 0..30 {
            let value = match time {
                9 | 20 => f64::from_bits(STALE_MARKER_BITS),
                _ => 1.0,
            };
            let start = if time == 18 { 5 } else { 0 };
            storage
                .append_with_start(&labels, start, time, SampleValue::Float(value))
                .unwrap();
        }
        let options = EngineOptions {
            lookback_ms: 5,
            ..EngineOptions::default()
        };
        // Each query at 0, 10 and 20.
        for (query, times) in [
            ("m", vec![0, 10, 20]),
            ("m offset 1ms", vec![9, 19]),
            ("count_over_time(m[3ms])", vec![0, 8, 9, 10, 18, 19, 20]),
            ("last_over_time(m[3ms])", vec![0, 10, 19]),
        ] {
            let query = Engine::new(options).range(query, 0, 20, 10).unwrap();
            let samples = Samples {
                storage: &storage,
                returned: Returned::Needed,
            };
            let Ok(mut series) = samples.select(&query.selections()[0]);
            let series = series.remove(0);
            let found: Vec<_> = series.floats.iter().map(|it| it.timestamp_ms).collect();
            assert_eq!(found, times);
            if let Some(starts) = series.starts {
                let known = starts.floats.iter().map(|&start| start != 0);
                assert!(known.eq(times.iter().map(|&time| time == 18)));
            }
        }
    }
}
