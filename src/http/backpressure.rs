//! The time that senders should wait before they send again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The longest wait in a response.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The time since which no write has been stored completely. Senders should wait as long again, from one second
/// to half a minute.
#[derive(Debug)]
pub(super) struct Backpressure {
    started: Instant,
    /// The time of the first failure, in milliseconds after `started`, from 1 on; 0 if the last write succeeded.
    failing_since: AtomicU64,
}

impl Default for Backpressure {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            failing_since: AtomicU64::new(0),
        }
    }
}

impl Backpressure {
    /// Records a write that was stored completely.
    pub(super) fn record_success(&self) {
        self.failing_since.store(0, Ordering::Relaxed);
    }

    /// Records a write that failed for now; returns the seconds that its sender should wait.
    pub(super) fn record_failure(&self) -> u64 {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX) + 1;
        let since =
            self.failing_since
                .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let since = since.err().unwrap_or(now);
        let wait = Duration::from_millis(now.saturating_sub(since));
        wait.min(MAX_WAIT).as_secs().max(1)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_grows_until_something_is_stored() {
        let backpressure = Backpressure::default();
        advance(Duration::from_secs(100)).await;
        assert_eq!(backpressure.record_failure(), 1);
        let mut waits = Vec::new();
        for _ in 0..7 {
            let wait = backpressure.record_failure();
            waits.push(wait);
            advance(Duration::from_secs(wait)).await;
        }
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 30]);
        backpressure.record_success();
        assert_eq!(backpressure.record_failure(), 1);
    }
}
