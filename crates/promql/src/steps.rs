//! The times of an evaluation.

use crate::error::QueryError;
use crate::plan::Reference;

/// The largest number of steps, so that an index fits into 32 bits with room to spare.
const MAX_STEPS: i64 = 1 << 31;

/// The times of queries in milliseconds. All offsets and ranges of a query together are below 2^52, so that adding
/// them overflows nowhere.
const TIMES: std::ops::RangeInclusive<i64> = -(1 << 61)..=1 << 61;

/// The times at which an expression is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first time in milliseconds since the Unix epoch.
    pub(crate) start: i64,
    /// The bound of the times, which need not be one of them. Before the start: there are no steps.
    pub(crate) end: i64,
    /// The distance of the times in milliseconds, at least 1.
    pub(crate) interval: i64,
    /// The number of times.
    count: u32,
}

impl Steps {
    /// Returns the one step of an instant query.
    pub(crate) fn instant(time: i64) -> Result<Self, QueryError> {
        Self::range(time, time, 1)
    }

    pub(crate) fn range(start: i64, end: i64, interval: i64) -> Result<Self, QueryError> {
        if interval < 1 {
            return Err(QueryError::StepTooShort);
        }
        if let Some(time) = [start, end].into_iter().find(|time| !TIMES.contains(time)) {
            return Err(QueryError::TimeOutOfRange(time));
        }
        let count = match end - start {
            ..0 => 0,
            distance => distance / interval + 1,
        };
        match u32::try_from(count) {
            Ok(count) if i64::from(count) <= MAX_STEPS => Ok(Self {
                start,
                end,
                interval,
                count,
            }),
            _ => Err(QueryError::TooManySteps),
        }
    }

    /// Returns the first of these steps alone, as expressions are evaluated that do not depend on the step.
    pub(crate) fn first_only(self) -> Self {
        Self {
            end: self.start,
            count: self.count.min(1),
            ..self
        }
    }

    pub(crate) fn count(self) -> u32 {
        self.count
    }

    /// Returns true if there is one time by construction, and not a range of times that happens to contain one.
    pub(crate) fn is_instant(self) -> bool {
        self.start == self.end
    }

    /// Returns the time of a step.
    pub(crate) fn time(self, step: u32) -> i64 {
        self.start + i64::from(step) * self.interval
    }

    /// Returns the first step that looks at `time` or later; the number of steps if none does.
    pub(crate) fn first_reaching(self, reference: Reference, time: i64) -> u32 {
        let first = reference.resolve(self.start);
        if first >= time {
            return 0;
        }
        if reference.at.is_some() {
            return self.count;
        }
        let distance = time.saturating_sub(first);
        let steps = distance / self.interval + i64::from(distance % self.interval != 0);
        u32::try_from(steps).map_or(self.count, |step| step.min(self.count))
    }

    /// Returns the last time, or the start if there are no steps.
    pub(crate) fn last(self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_belongs_to_the_steps() {
        let steps = Steps::range(10, 40, 15).unwrap();
        assert_eq!((steps.count(), steps.last()), (3, 40));
        let steps = Steps::range(10, 39, 15).unwrap();
        assert_eq!((steps.count(), steps.last()), (2, 25));
        assert!(!Steps::range(10, 11, 15).unwrap().is_instant());
        let steps = Steps::range(10, 9, 15).unwrap();
        assert_eq!((steps.count(), steps.last()), (0, 10));
    }

    #[test]
    fn the_first_step_that_looks_at_a_time() {
        let steps = Steps::range(100, 200, 10).unwrap();
        let offset = |offset| Reference { at: None, offset };
        for (reference, time, step) in [
            (offset(0), 100, 0),
            (offset(0), 101, 1),
            (offset(0), 110, 1),
            (offset(50), 100, 5),
            (offset(-50), 150, 0),
            (offset(0), 201, 11),
            (offset(0), i64::MAX, 11),
        ] {
            assert_eq!(steps.first_reaching(reference, time), step, "{time}");
        }
        let at = Reference {
            at: Some(500),
            offset: 0,
        };
        assert_eq!(steps.first_reaching(at, 500), 0);
        assert_eq!(steps.first_reaching(at, 501), 11);
    }

    #[test]
    fn steps_are_bounded() {
        assert!(Steps::range(0, 1 << 31, 1).is_err());
        assert!(Steps::range(0, (1 << 31) - 1, 1).is_ok());
        assert!(Steps::range(i64::MIN, 0, i64::MAX).is_err());
        assert!(Steps::instant(i64::MAX).is_err());
        assert_eq!(Steps::instant(1 << 61).unwrap().count(), 1);
        assert!(Steps::range(0, 1, 0).is_err());
    }
}
