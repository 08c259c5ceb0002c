//! Divides time into windows, each of which is read at once.

/// Maximum points of a series in a range query; Prometheus rejects more.
const MAX_POINTS: i64 = 11_000;
/// Target number of samples in a response, so that memory is bounded.
const WANTED_SAMPLES: usize = 200_000;
/// The shortest window of raw samples, in milliseconds: a shorter one would seldom have fewer.
const MIN_RAW_MS: i64 = 1_000;
/// The shortest window of a list of names, in milliseconds.
const MIN_NAMES_MS: i64 = 3_600_000;
/// Number of windows that must succeed before a longer one is tried.
const WINDOWS_BEFORE_PROBE: u32 = 4;
/// Maximum of this number, after longer windows have failed repeatedly.
const MAX_WINDOWS_BEFORE_PROBE: u32 = 64;

/// The length of windows, which grows and shrinks with the number of samples.
///
/// If a server rejects a window as too large, windows stay below that size. A longer one is tried only after some have
/// succeeded, and less often each time that it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    /// Milliseconds between two points; 1 for raw samples.
    step_ms: i64,
    /// Points of the next window.
    points: i64,
    min_points: i64,
    max_points: i64,
    /// Maximum points of a window, because longer ones were rejected.
    ceiling: i64,
    /// Number of windows that succeeded since the ceiling last changed.
    succeeded: u32,
    /// Number of windows that must succeed before the ceiling is raised.
    before_probe: u32,
    /// Set if the ceiling was raised since a window was rejected.
    is_raised: bool,
}

/// A range of milliseconds that includes both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Window {
    /// Returns true if raw samples can be read in two windows instead.
    pub(super) fn is_divisible(self) -> bool {
        self.end - self.start >= MIN_RAW_MS
    }

    /// Returns true if points at multiples of a step can be read in two windows instead.
    pub(super) fn has_steps(self, step_ms: i64) -> bool {
        self.end - self.start >= step_ms
    }

    /// Returns true if names can be listed in two windows instead.
    pub(super) fn has_hours(self) -> bool {
        self.end - self.start >= MIN_NAMES_MS
    }

    pub(super) fn contains(self, time_ms: i64) -> bool {
        (self.start..=self.end).contains(&time_ms)
    }
}

impl Windows {
    fn new(step_ms: i64, [min_points, points, max_points]: [i64; 3]) -> Self {
        Self {
            step_ms,
            points,
            min_points,
            max_points,
            ceiling: max_points,
            succeeded: 0,
            before_probe: WINDOWS_BEFORE_PROBE,
            is_raised: false,
        }
    }

    /// Returns the windows of range queries.
    pub(super) fn stepped(step_ms: i64) -> Self {
        Self::new(step_ms, [1, 500, MAX_POINTS])
    }

    /// Returns the windows of remote read.
    pub(super) fn raw() -> Self {
        const HOUR_MS: i64 = 3_600_000;
        Self::new(1, [MIN_RAW_MS, HOUR_MS, 30 * 24 * HOUR_MS])
    }

    /// Returns the windows of a list of names: all of `whole` at once, if possible.
    pub(super) fn names(whole: Window) -> Self {
        let length = (whole.end - whole.start + 1).max(MIN_NAMES_MS);
        Self::new(1, [MIN_NAMES_MS, length, length])
    }

    /// Limits the windows to the [`Self::ceiling`] of an earlier run.
    #[must_use]
    pub(super) fn below(mut self, ceiling: Option<i64>) -> Self {
        if let Some(ceiling) = ceiling {
            self.ceiling = ceiling.clamp(self.min_points, self.max_points);
            self.points = self.points.min(self.ceiling);
        }
        self
    }

    /// Returns the maximum points of a window, if the server rejected longer ones.
    pub(super) fn ceiling(&self) -> Option<i64> {
        (self.ceiling < self.max_points).then_some(self.ceiling)
    }

    /// Returns the window that starts at or after `from` and ends at or before `end`. Points are at multiples of the
    /// step, so that each run has the same ones.
    pub(super) fn next(&self, from: i64, end: i64) -> Option<Window> {
        let step = self.step_ms;
        let start = from.div_euclid(step) * step;
        let start = if start < from { start + step } else { start };
        if start > end {
            return None;
        }
        let last = start + (self.points - 1) * step;
        Some(Window {
            start,
            end: last.min(start + (end - start) / step * step),
        })
    }

    /// Adapts the length to the number of samples in the last window.
    pub(super) fn found(&mut self, samples: usize) {
        self.succeeded += 1;
        if self.ceiling < self.max_points && self.succeeded >= self.before_probe {
            self.ceiling = self.ceiling.saturating_mul(2).min(self.max_points);
            self.succeeded = 0;
            self.is_raised = true;
        }
        let points = match samples {
            0 => self.points.saturating_mul(4),
            found if found > 2 * WANTED_SAMPLES => self.points / 2,
            found if found < WANTED_SAMPLES / 2 => self.points.saturating_mul(2),
            _ => self.points,
        };
        self.points = points.clamp(self.min_points, self.ceiling);
    }

    /// Halves the next window after this one was rejected; returns false if it cannot be shorter.
    pub(super) fn shrink(&mut self, rejected: Window) -> bool {
        let rejected = (rejected.end - rejected.start) / self.step_ms + 1;
        if rejected <= self.min_points {
            return false;
        }
        let half = (rejected / 2).max(self.min_points);
        if self.is_raised {
            self.before_probe = (self.before_probe * 2).min(MAX_WINDOWS_BEFORE_PROBE);
            self.is_raised = false;
        }
        self.ceiling = half;
        self.points = self.points.min(half);
        self.succeeded = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_are_cut_below_the_limit_of_points() {
        let mut windows = Windows::stepped(15_000);
        let week = 7 * 86_400_000;
        assert_eq!(windows.next(1, 14_999), None);
        let first = windows.next(1, week).unwrap();
        assert_eq!((first.start, first.end), (15_000, 500 * 15_000));
        for _ in 0..20 {
            windows.found(0);
        }
        let largest = windows.next(0, week).unwrap();
        // As Prometheus counts: (end - start) / step may be 11,000 at most.
        assert_eq!((largest.end - largest.start) / 15_000, 10_999);
        let mut rejected = 0;
        while windows.shrink(windows.next(7, week).unwrap()) {
            rejected += 1;
        }
        assert_eq!(rejected, 13);
        let smallest = windows.next(7, week).unwrap();
        assert_eq!((smallest.start, smallest.end), (15_000, 15_000));
        assert!(!smallest.has_steps(15_000) && largest.has_steps(15_000));
    }

    #[test]
    fn a_window_that_ends_early_is_halved_itself() {
        let mut windows = Windows::stepped(1_000);
        let three = windows.next(0, 2_999).unwrap();
        assert_eq!((three.start, three.end), (0, 2_000));
        assert!(windows.shrink(three));
        let one = windows.next(0, 2_999).unwrap();
        assert_eq!((one.start, one.end), (0, 0));
        assert!(!windows.shrink(one));
        // A window of an earlier run may be longer than the next.
        let mut windows = Windows::stepped(1_000);
        let long = Window {
            start: 0,
            end: 1_999_000,
        };
        assert!(windows.shrink(long));
        assert_eq!((windows.points, windows.ceiling()), (500, Some(1_000)));
    }

    #[test]
    fn raw_windows_and_lists_have_a_shortest_length() {
        let mut windows = Windows::raw();
        let mut rejected = 0;
        while windows.shrink(windows.next(0, i64::MAX / 2).unwrap()) {
            rejected += 1;
        }
        assert_eq!(rejected, 12);
        let smallest = windows.next(0, i64::MAX / 2).unwrap();
        assert_eq!((smallest.start, smallest.end), (0, 999));
        assert!(!smallest.is_divisible());
        let day = Window {
            start: 5,
            end: 86_400_004,
        };
        let mut windows = Windows::names(day);
        assert_eq!(windows.next(day.start, day.end), Some(day));
        while windows.shrink(windows.next(day.start, day.end).unwrap()) {}
        let hour = windows.next(day.start, day.end).unwrap();
        assert_eq!((hour.start, hour.end), (5, 3_600_004));
        assert!(!hour.has_hours() && day.has_hours());
        let short = Window { start: 1, end: 2 };
        assert_eq!(Windows::names(short).next(1, 2), Some(short));
    }

    /// Reads from a server that accepts up to `limit` points until it has accepted `count` windows; returns the number
    /// of rejected windows.
    fn rejected(windows: &mut Windows, limit: i64, count: usize) -> usize {
        let (mut from, mut accepted, mut rejected) = (0, 0, 0);
        while accepted < count {
            let window = windows.next(from, i64::MAX / 2).unwrap();
            if (window.end - window.start) / windows.step_ms < limit {
                accepted += 1;
                from = window.end + 1;
                windows.found(100);
            } else {
                rejected += 1;
                assert!(windows.shrink(window));
            }
        }
        rejected
    }

    #[test]
    fn the_size_that_works_is_remembered_and_probed_seldom() {
        let mut windows = Windows::stepped(1_000);
        assert_eq!(rejected(&mut windows, 40, 4), 4);
        assert_eq!(windows.ceiling(), Some(62));
        let mut windows = Windows::stepped(1_000).below(Some(31));
        assert_eq!(rejected(&mut windows, 40, 3), 0);
        // Probes come after 4, 8, 16, 32, and then each 64.
        let mut windows = Windows::stepped(1_000);
        rejected(&mut windows, 40, 1);
        let rejected_later = rejected(&mut windows, 40, 1_000);
        assert!(rejected_later < 22, "{rejected_later}");
        // A limit that has gone is noticed.
        assert_eq!(rejected(&mut windows, i64::MAX, 1_000), 0);
        assert_eq!((windows.points, windows.ceiling()), (MAX_POINTS, None));
        assert_eq!(Windows::raw().below(None), Windows::raw());
        assert_eq!(Windows::raw().below(Some(1)).points, MIN_RAW_MS);
    }

    proptest! {
        #[test]
        fn every_point_is_in_one_window(
            step in 1..60_000_i64, from in 0..1_000_000_i64, length in 0..3_000_000_i64,
            found in prop::collection::vec(0..1_000_000_usize, 1..9),
            limits in prop::collection::vec(1..2_000_i64, 1..4),
        ) {
            let mut windows = Windows::stepped(step);
            let end = from + length;
            let (mut at, mut seen) = (from, Vec::new());
            let mut found = found.into_iter().cycle();
            let mut limits = limits.into_iter().cycle();
            while let Some(window) = windows.next(at, end) {
                prop_assert!((window.end - window.start) / step < 11_000);
                if (window.end - window.start) / step >= limits.next().unwrap() {
                    prop_assert!(windows.shrink(window));
                    let shorter = windows.next(at, end).unwrap();
                    prop_assert!(shorter.end < window.end);
                    continue;
                }
                seen.extend((window.start..=window.end).step_by(step as usize));
                at = window.end + 1;
                windows.found(found.next().unwrap());
                if seen.len() > 2_000 {
                    break;
                }
            }
            let expected = (from..=end).filter(|it| it % step == 0).take(seen.len());
            prop_assert!(seen.iter().copied().eq(expected));
            if seen.len() <= 2_000 {
                prop_assert!(seen.last().is_none_or(|last| last + step > end));
            }
        }
    }
}
