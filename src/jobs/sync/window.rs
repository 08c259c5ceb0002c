//! Which part of the time is read at once.

/// Points of a series in an answer of a range query: more than this Prometheus refuses.
const MAX_POINTS: i64 = 11_000;
/// Samples of an answer that are aimed at, so that memory is bounded.
const WANTED_SAMPLES: usize = 200_000;

/// How long windows are; they grow and shrink with what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    /// Milliseconds between two points; 1 where samples are read as they are.
    step_ms: i64,
    /// Points of the next window.
    points: i64,
    max_points: i64,
}

/// Milliseconds; both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Windows {
    /// Of range queries.
    pub(super) fn stepped(step_ms: i64) -> Self {
        Self {
            step_ms,
            points: 500,
            max_points: MAX_POINTS,
        }
    }

    /// Of remote read.
    pub(super) fn raw() -> Self {
        const HOUR_MS: i64 = 3_600_000;
        Self {
            step_ms: 1,
            points: HOUR_MS,
            max_points: 30 * 24 * HOUR_MS,
        }
    }

    /// The window that starts at or after `from`, none of it after `end`. Points are at multiples of the
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

    /// Notes how many samples the last window had.
    pub(super) fn found(&mut self, samples: usize) {
        let points = match samples {
            0 => self.points.saturating_mul(4),
            found if found > 2 * WANTED_SAMPLES => self.points / 2,
            found if found < WANTED_SAMPLES / 2 => self.points.saturating_mul(2),
            _ => self.points,
        };
        self.points = points.clamp(1, self.max_points);
    }

    /// Halves the next window, as the last one was too much; `false` if it cannot be shorter.
    pub(super) fn shrink(&mut self) -> bool {
        let is_possible = self.points > 1;
        self.points = (self.points / 2).max(1);
        is_possible
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
        while windows.shrink() {}
        let smallest = windows.next(7, week).unwrap();
        assert_eq!((smallest.start, smallest.end), (15_000, 15_000));
    }

    proptest! {
        #[test]
        fn every_point_is_in_one_window(
            step in 1..60_000_i64, from in 0..1_000_000_i64, length in 0..3_000_000_i64,
            found in prop::collection::vec(0..1_000_000_usize, 1..9),
        ) {
            let mut windows = Windows::stepped(step);
            let end = from + length;
            let (mut at, mut seen) = (from, Vec::new());
            let mut found = found.into_iter().cycle();
            while let Some(window) = windows.next(at, end) {
                prop_assert!((window.end - window.start) / step < 11_000);
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
