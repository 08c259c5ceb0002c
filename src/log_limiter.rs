//! A rate limit for log lines that others can cause at will: one line in an interval, with the number of suppressed
//! ones.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Limits the lines of one kind.
#[derive(Debug)]
pub(crate) struct LogLimiter {
    interval: Duration,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    /// The time of the last written line.
    last: Option<Instant>,
    suppressed: u64,
}

impl LogLimiter {
    /// Returns a limiter with this time between two lines at least.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            lines: Mutex::default(),
        }
    }

    /// Returns the number of lines that were suppressed since the last one, if this one may be written.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut lines = self.lines.lock();
        let is_due = lines
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= self.interval);
        if !is_due {
            lines.suppressed += 1;
            return None;
        }
        lines.last = Some(now);
        Some(std::mem::take(&mut lines.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_between_are_counted() {
        let start = Instant::now();
        let limiter = LogLimiter::new(Duration::from_secs(10));
        let cases = [
            (0, Some(0)),
            (0, None),
            (9_999, None),
            (10_000, Some(2)),
            (19_999, None),
            (60_000, Some(1)),
            (70_000, Some(0)),
        ];
        for (millisecond, expected) in cases {
            let now = start + Duration::from_millis(millisecond);
            assert_eq!(limiter.admit(now), expected, "{millisecond}");
        }
    }
}
