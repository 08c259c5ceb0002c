//! The permits for WriteRecords calls, and what a request may spend on calls of its own.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::storage::write::batch::{CallLimits, Price};

/// The permits for calls, one for each that the process makes at a time, and what is known about those who
/// wait for one.
///
/// A call of a request waits for about as long as the calls ahead of it take: their number, by the permits,
/// times the mean duration of a call. By that [`Self::call_limits`] decides how a request is cut:
///
/// | permits are | when | calls |
/// |---|---|---|
/// | free | a call waits for less than [`LONG_WAIT`], a second | at the ordinary price: half a unit each, so as many as save units |
/// | scarce | it waits longer | at two units each: in shards some tenth of the calls, for up to twice the units |
/// | too few | the calls at that price would end after [`USABLE_TIME`], three quarters of the time until the deadline | as few as possible, 100 records each |
#[derive(Debug)]
pub(super) struct Permits {
    total: usize,
    free: Semaphore,
    /// Calls of all requests that have not ended: in flight, or still to be made.
    ahead: AtomicUsize,
    call_time: CallTime,
}

/// While calls wait for so long, permits are scarce. Prometheus gives a request 30 s, and adds shards as soon as its
/// requests take longer than before.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// The share of the time until the deadline that calls may take by their mean duration. The rest is for those that
/// take longer, and for retries.
const USABLE_TIME: f64 = 0.75;

/// Calls of a request that have not ended. Whatever is left of them counts as ended when this is dropped.
#[derive(Debug)]
pub(super) struct OpenCalls<'p> {
    permits: &'p Permits,
    calls: usize,
}

impl Permits {
    pub(super) fn new(total: usize) -> Self {
        Self {
            total,
            free: Semaphore::new(total),
            ahead: AtomicUsize::new(0),
            call_time: CallTime::default(),
        }
    }

    /// Returns the number of calls that the process makes at a time.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Returns the limits for the calls of a request that has so much time.
    pub(super) fn call_limits(&self, time: Duration) -> CallLimits {
        let Some(call) = self.call_time.mean() else {
            return CallLimits::default();
        };
        let ahead = self.ahead.load(Ordering::Relaxed);
        limits(ahead, self.total, call, time)
    }

    /// Counts calls that a request is about to make.
    pub(super) fn open(&self, calls: usize) -> OpenCalls<'_> {
        self.ahead.fetch_add(calls, Ordering::Relaxed);
        OpenCalls {
            permits: self,
            calls,
        }
    }

    /// Waits for a permit; returns `None` if there is none until the deadline.
    pub(super) async fn acquire(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        let acquired = timeout_at(deadline, self.free.acquire()).await.ok()?;
        Some(acquired.expect("the semaphore is never closed"))
    }

    /// Notes how long a call with a permit took.
    pub(super) fn note(&self, duration: Duration) {
        self.call_time.note(duration);
    }
}

impl OpenCalls<'_> {
    /// Counts further calls.
    pub(super) fn add(&mut self, calls: usize) {
        self.permits.ahead.fetch_add(calls, Ordering::Relaxed);
        self.calls += calls;
    }

    /// Counts one of the calls as ended.
    pub(super) fn end_one(&mut self) {
        self.permits.ahead.fetch_sub(1, Ordering::Relaxed);
        self.calls -= 1;
    }
}

impl Drop for OpenCalls<'_> {
    fn drop(&mut self) {
        self.permits.ahead.fetch_sub(self.calls, Ordering::Relaxed);
    }
}

/// Returns the limits for the calls of a request that has so much time, while so many calls are ahead of it and a
/// call takes so long.
fn limits(ahead: usize, permits: usize, call: Duration, time: Duration) -> CallLimits {
    let (ahead, permits) = (ahead as f64, permits as f64);
    let wait = match ahead < permits {
        true => Duration::ZERO,
        false => call.mul_f64(ahead / permits),
    };
    let carried = permits * USABLE_TIME * time.as_secs_f64() / call.as_secs_f64();
    CallLimits {
        price: match wait < LONG_WAIT {
            true => Price::Ordinary,
            false => Price::Scarce,
        },
        // Saturates: nothing below zero, and no limit if a call takes no time.
        max_calls: (carried - ahead) as usize,
    }
}

/// The mean duration of a call; the last [`CallTime::MEMORY`] count most.
#[derive(Debug, Default)]
struct CallTime {
    /// 0 before the first call.
    microseconds: AtomicU64,
}

impl CallTime {
    /// Some calls of one request that are slow do not change much; all calls of two requests do.
    const MEMORY: u64 = 32;

    fn mean(&self) -> Option<Duration> {
        let mean = self.microseconds.load(Ordering::Relaxed);
        (mean > 0).then(|| Duration::from_micros(mean))
    }

    fn note(&self, duration: Duration) {
        let last = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / (2 * Self::MEMORY));
        let last = last.max(1);
        let updated = |mean: u64| match mean {
            0 => last,
            // Rounded up, so that it stays above zero.
            mean => (mean * (Self::MEMORY - 1) + last).div_ceil(Self::MEMORY),
        };
        let order = Ordering::Relaxed;
        let _ = self
            .microseconds
            .fetch_update(order, order, |mean| Some(updated(mean)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn price_by_the_wait_for_a_permit() {
        let price = |ahead, permits, call| limits(ahead, permits, call, ms(30_000)).price;
        assert_eq!(price(0, 128, ms(15)), Price::Ordinary);
        // 8 senders with 280 calls each, 32 and 128 at a time.
        assert_eq!(price(2_240, 32, ms(15)), Price::Scarce);
        assert_eq!(price(2_240, 128, ms(15)), Price::Ordinary);
        assert_eq!(price(2_240, 128, ms(60)), Price::Scarce);
        // However long calls take, one is made at once while there is a free permit.
        assert_eq!(price(127, 128, ms(5_000)), Price::Ordinary);
        assert_eq!(price(128, 128, ms(5_000)), Price::Scarce);
        assert_eq!(price(128, 128, ms(999)), Price::Ordinary);
    }

    #[test]
    fn calls_that_end_before_the_deadline() {
        let max_calls = |ahead, call, time| limits(ahead, 10, call, time).max_calls;
        assert_eq!(max_calls(0, ms(100), ms(4_000)), 300);
        assert_eq!(max_calls(280, ms(100), ms(4_000)), 20);
        assert_eq!(max_calls(301, ms(100), ms(4_000)), 0);
        assert_eq!(max_calls(0, ms(60_000), ms(30_000)), 3);
        assert_eq!(max_calls(0, ms(100), Duration::ZERO), 0);
        assert_eq!(max_calls(0, Duration::ZERO, ms(1)), usize::MAX);
    }

    #[test]
    fn open_calls_count_until_they_end_or_their_request_does() {
        let permits = Permits::new(1);
        assert_eq!(permits.call_limits(ms(1)), CallLimits::default());
        permits.note(ms(100));
        let mut first = permits.open(9);
        let second = permits.open(2);
        assert_eq!(permits.call_limits(ms(4_000)).price, Price::Scarce);
        assert_eq!(permits.call_limits(ms(4_000)).max_calls, 30 - 11);
        first.end_one();
        first.add(2);
        assert_eq!(permits.call_limits(ms(4_000)).max_calls, 30 - 12);
        drop(first);
        assert_eq!(permits.call_limits(ms(4_000)).price, Price::Ordinary);
        drop(second);
        assert_eq!(permits.call_limits(ms(4_000)).max_calls, 30);
    }

    #[test]
    fn mean_of_the_last_calls() {
        let time = CallTime::default();
        assert_eq!(time.mean(), None);
        time.note(Duration::ZERO);
        assert_eq!(time.mean(), Some(Duration::from_micros(1)));
        let time = CallTime::default();
        time.note(ms(100));
        assert_eq!(time.mean(), Some(ms(100)));
        time.note(ms(132));
        assert_eq!(time.mean(), Some(ms(101)));
        // It recovers from an outage within some full requests, and from anything.
        time.note(ms(30_000));
        (0..200).for_each(|_| time.note(ms(15)));
        assert!(time.mean().unwrap() < ms(30), "{:?}", time.mean());
        time.note(Duration::MAX);
        (0..3_000).for_each(|_| time.note(ms(15)));
        assert!(time.mean().unwrap() < ms(16), "{:?}", time.mean());
    }
}
