//! The samples that a statement leaves out, since nobody wants them.
//!
//! A statement for windows of time has a predicate on the time or a row for the newest sample of each window. That
//! costs the engine some work for each sample, so it is only done where it leaves out many.

use super::windows::Windows;

/// Newest samples are selected where the windows are at least that far apart: most series have a sample in each 15 s.
const MIN_STEP_MS: i64 = 30_000;

/// Samples of one result row at most, where there is one for each window; as many as an hour has at 15 s.
const SAMPLES_PER_ROW: i64 = 240;

/// The most seconds that one result row covers: 100 days.
const MAX_ROW_SECONDS: i64 = 100 * 86_400;

/// The part of the samples that a statement selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thinning {
    windows: Windows,
    /// The end of a window that no selected sample is after.
    end_ms: i64,
    /// Leaves out what is between windows.
    skips_gaps: bool,
    /// Leaves out all but the newest of each window.
    only_newest: bool,
}

impl Thinning {
    /// Returns the part of the samples until `last_ms` that these windows need; `None` if it is about all.
    ///
    /// If the series may have histograms, samples between windows matter: for functions of counts the evaluation finds out
    /// if counters were reset as Prometheus does, which depends on whether there are any; and the sample before a stale
    /// marker determines its kind. The newest of each step are enough for the latter.
    pub fn new(windows: Windows, last_ms: i64, has_histograms: bool) -> Option<Self> {
        let thinning = Self {
            windows,
            end_ms: windows.end_from(last_ms)?,
            skips_gaps: windows.length_ms() < windows.step_ms() && !has_histograms,
            only_newest: windows.newest() && windows.step_ms() >= MIN_STEP_MS,
        };
        (thinning.skips_gaps || thinning.only_newest).then_some(thinning)
    }

    /// Returns the predicate on the time of samples, if there is one.
    pub(super) fn predicate(&self) -> Option<String> {
        let (step_ms, length_ms) = (self.windows.step_ms(), self.windows.length_ms());
        let before_end = self.before_end();
        self.skips_gaps
            .then(|| format!("{before_end} % {step_ms} < {length_ms}"))
    }

    /// Returns the number of the window of a sample, if only one of each window is selected.
    pub(super) fn window(&self) -> Option<String> {
        let (before_end, step_ms) = (self.before_end(), self.windows.step_ms());
        self.only_newest
            .then(|| format!("{before_end} / {step_ms}"))
    }

    /// Milliseconds, as whole as those of Prometheus, until the last end of a window: never negative.
    fn before_end(&self) -> String {
        format!("({} - to_milliseconds(time))", self.end_ms)
    }

    /// Returns the seconds of a result row that has as few samples as one with all samples of `seconds` has.
    pub(super) fn row_seconds(&self, seconds: u32) -> u32 {
        let step_ms = self.windows.step_ms();
        let in_hour_ms = match self.only_newest {
            true => step_ms.saturating_mul(SAMPLES_PER_ROW),
            false => step_ms.saturating_mul(3_600_000) / self.windows.length_ms(),
        };
        let row_seconds = in_hour_ms.saturating_mul(i64::from(seconds)) / 3_600_000;
        u32::try_from(row_seconds.clamp(1, MAX_ROW_SECONDS)).unwrap_or(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn of(step_ms: i64, length_ms: i64, newest: bool, has_histograms: bool) -> [Option<String>; 2] {
        let windows = Windows::new(7, step_ms, length_ms, newest);
        let thinning = Thinning::new(windows, 1_000_000, has_histograms);
        [Thinning::predicate, Thinning::window].map(|part| thinning.as_ref().and_then(part))
    }

    #[test]
    fn samples_are_left_out_where_that_is_worth_it() {
        let predicate = |length: i64| {
            Some(format!(
                "(1020007 - to_milliseconds(time)) % 60000 < {length}"
            ))
        };
        let window = || Some("(1020007 - to_milliseconds(time)) / 60000".to_owned());
        let cases = [
            (of(MINUTE_MS, MINUTE_MS, false, false), [None, None]),
            (of(MINUTE_MS, 9, false, false), [predicate(9), None]),
            (of(MINUTE_MS, 9, false, true), [None, None]),
            (of(MINUTE_MS, 9, true, false), [predicate(9), window()]),
            (of(MINUTE_MS, 9, true, true), [None, window()]),
            (of(MINUTE_MS, 2 * MINUTE_MS, true, false), [None, window()]),
            (of(15_000, 15_000, true, false), [None, None]),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
        let late = Windows::new(7, i64::MAX, 9, true);
        assert_eq!(Thinning::new(late, 8, false), None);
    }

    #[test]
    fn rows_that_have_fewer_samples_cover_more_time() {
        let seconds = |step_ms, length_ms, newest, of| {
            let windows = Windows::new(0, step_ms, length_ms, newest);
            Thinning::new(windows, 1, false).unwrap().row_seconds(of)
        };
        const HOUR_MS: i64 = 60 * MINUTE_MS;
        // rate(x[5m]) at steps of an hour.
        assert_eq!(seconds(HOUR_MS, 5 * MINUTE_MS, false, 3_600), 12 * 3_600);
        assert_eq!(seconds(HOUR_MS, 5 * MINUTE_MS, false, 1), 12);
        assert_eq!(seconds(HOUR_MS, HOUR_MS, true, 3_600), 240 * 3_600);
        assert_eq!(seconds(HOUR_MS, HOUR_MS, true, 60), 4 * 3_600);
        assert_eq!(seconds(i64::MAX, 1, true, 3_600), 100 * 86_400);
        assert_eq!(seconds(MINUTE_MS, MINUTE_MS, true, 1), 4);
    }
}
