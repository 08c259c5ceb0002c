//! The samples that a query wants of the series that it selects: all, none, or those in windows of time.

/// The samples that are wanted of each series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// All in the range.
    #[default]
    All,
    /// None: only the label sets.
    Labels,
    /// Those in windows of time; others may be returned as well.
    Windows(Windows),
}

impl Wanted {
    /// Returns what is wanted of windows of `length_ms` that end at the times from `first_end_ms` to `last_end_ms`,
    /// `step_ms` apart: all of their samples, or the newest of each if `newest`. The start of a window is no part
    /// of it. A length or step below 1 is one of 1.
    pub fn windows(
        first_end_ms: i64,
        last_end_ms: i64,
        step_ms: i64,
        length_ms: i64,
        newest: bool,
    ) -> Self {
        let length_ms = length_ms.max(1);
        // The range has one window only.
        let is_one = last_end_ms.saturating_sub(first_end_ms) < step_ms;
        let step_ms = match is_one {
            true => step_ms.max(length_ms),
            false => step_ms.max(1),
        };
        match newest || length_ms < step_ms {
            true => Self::Windows(Windows::new(first_end_ms, step_ms, length_ms, newest)),
            false => Self::All,
        }
    }
}

/// Windows of one length whose ends are equally far apart, in all of time. Those that end alike are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// The first end that is not negative.
    first_end_ms: i64,
    step_ms: i64,
    length_ms: i64,
    newest: bool,
}

impl Windows {
    /// Returns the windows that begin `length_ms` before `first_end_ms` plus any multiple of `step_ms`, which is
    /// included while the beginning is not. Of each only the newest sample is wanted if `newest`.
    pub fn new(first_end_ms: i64, step_ms: i64, length_ms: i64, newest: bool) -> Self {
        let step_ms = step_ms.max(1);
        Self {
            first_end_ms: first_end_ms.rem_euclid(step_ms),
            step_ms,
            length_ms: length_ms.clamp(1, step_ms),
            newest,
        }
    }

    /// Returns the distance between the ends of the windows.
    pub fn step_ms(&self) -> i64 {
        self.step_ms
    }

    /// Returns the length of a window; at most the step, since longer ones hold all samples, and since the newest
    /// sample of a longer one is that of one step as well.
    pub fn length_ms(&self) -> i64 {
        self.length_ms
    }

    /// Returns whether only the newest sample of each window is wanted.
    pub fn newest(&self) -> bool {
        self.newest
    }

    /// Returns the first end of a window at or after a time; `None` if that is out of range.
    pub fn end_from(&self, time_ms: i64) -> Option<i64> {
        let late_ms = time_ms.rem_euclid(self.step_ms) - self.first_end_ms;
        match late_ms {
            0 => Some(time_ms),
            1.. => time_ms.checked_add(self.step_ms - late_ms),
            _ => time_ms.checked_sub(late_ms),
        }
    }

    /// Returns whether a time is in a window.
    pub fn contains(&self, time_ms: i64) -> bool {
        let end_ms = self.end_from(time_ms);
        end_ms.is_some_and(|end_ms| end_ms - time_ms < self.length_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn windows_contain_what_each_of_them_contains(
            first in -50_i64..50, step in 1_i64..20, length in 1_i64..30, time in -60_i64..60,
        ) {
            let windows = Windows::new(first, step, length, false);
            let mut ends = (-200..200).map(|k| first + k * step);
            let expected = ends.clone().any(|end| end - length < time && time <= end);
            prop_assert_eq!(windows.contains(time), expected);
            prop_assert_eq!(windows.end_from(time), ends.find(|end| *end >= time));
        }
    }

    #[test]
    fn windows_that_end_alike_are_equal() {
        let of = |first, length| Windows::new(first, 60, length, true);
        assert_eq!(of(7, 300), of(-53, 60));
        assert_eq!(of(7, 30), of(667, 30));
        assert_ne!(of(7, 30), of(8, 30));
        assert_ne!(of(7, 30), of(7, 31));
        assert_ne!(of(7, 30), Windows::new(7, 60, 30, false));
    }

    #[test]
    fn all_is_wanted_where_windows_overlap() {
        let windows = |step, length, newest| Wanted::windows(0, 600, step, length, newest);
        assert_eq!(windows(60, 60, false), Wanted::All);
        assert_eq!(windows(60, 61, false), Wanted::All);
        let of = |step, length, newest| Wanted::Windows(Windows::new(0, step, length, newest));
        assert_eq!(windows(60, 59, false), of(60, 59, false));
        assert_eq!(windows(60, 600, true), of(60, 60, true));
        // A single window.
        assert_eq!(Wanted::windows(5, 5, 1, 300, false), Wanted::All);
        let one = Wanted::Windows(Windows::new(5, 300, 300, true));
        assert_eq!(Wanted::windows(5, 5, 1, 300, true), one);
    }

    #[test]
    fn the_ends_of_time_are_no_error() {
        let windows = Windows::new(i64::MAX, i64::MAX, i64::MAX, true);
        assert_eq!(windows.end_from(1), Some(i64::MAX));
        assert_eq!(
            Windows::new(0, i64::MAX, 1, true).end_from(i64::MAX),
            Some(i64::MAX)
        );
        assert_eq!(Windows::new(3, 1_000, 1, true).end_from(i64::MAX), None);
        assert!(!Windows::new(3, 1_000, 1, true).contains(i64::MIN));
        let _ = Wanted::windows(i64::MIN, i64::MAX, i64::MAX, i64::MIN, false);
    }
}
