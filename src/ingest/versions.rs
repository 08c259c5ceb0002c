//! Record versions from the clock, so that a later value wins, also over another instance's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives out versions: nanoseconds since the Unix epoch, each once in this process.
#[derive(Debug, Default)]
pub(super) struct Versions(AtomicI64);

impl Versions {
    /// Sets `count` consecutive versions aside and returns the first.
    pub(super) fn reserve(&self, count: u64) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(1, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
        self.reserve_from(now, count)
    }

    fn reserve_from(&self, now: i64, count: u64) -> i64 {
        // A clock that was set back, or a request before this one with more records than
        // nanoseconds have passed since.
        let first = |next: i64| next.max(now);
        let reserved = |next| Some(first(next).saturating_add_unsigned(count));
        match self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserved)
        {
            Ok(next) | Err(next) => first(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_version_is_given_twice() {
        let versions = Versions::default();
        assert_eq!(versions.reserve_from(1_000, 10), 1_000);
        assert_eq!(versions.reserve_from(1_003, 10), 1_010);
        assert_eq!(versions.reserve_from(500, 1), 1_020);
        assert_eq!(versions.reserve_from(2_000, 1), 2_000);
        assert!(versions.reserve(1) > 1_700_000_000_000_000_000);
    }
}
