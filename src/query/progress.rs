//! The state of a query while it runs, and the size of all results of a request.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::result::ReadError;
use crate::query::ReadLimits;
use crate::storage::read::rows::Size;

/// The cost of the statements of a read request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatementCounts {
    /// Statements sent to Timestream.
    pub statements: u64,
    /// Result pages received, empty ones included.
    pub pages: u64,
    /// Calls made again.
    pub retries: u64,
    /// Bytes that Timestream scanned.
    pub bytes_scanned: u64,
    /// Bytes that AWS charges for, where it charges by bytes.
    pub bytes_metered: u64,
}

impl AddAssign for StatementCounts {
    fn add_assign(&mut self, other: Self) {
        self.statements += other.statements;
        self.pages += other.pages;
        self.retries += other.retries;
        self.bytes_scanned += other.bytes_scanned;
        self.bytes_metered += other.bytes_metered;
    }
}

/// The state of a query; written by the query, read by the requests that wait for it.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: StatementCounts,
    size: Size,
    /// Requests that wait for the query.
    requests: Vec<Arc<RequestSize>>,
}

/// The size of all results of a request, while its queries run: a running sum.
#[derive(Debug)]
pub(super) struct RequestSize {
    limits: ReadLimits,
    samples: AtomicU64,
    bytes: AtomicU64,
    grown: Notify,
}

impl RequestSize {
    pub(super) fn new(limits: ReadLimits) -> Self {
        Self {
            limits,
            samples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            grown: Notify::new(),
        }
    }

    /// Returns once the results exceed a limit.
    pub(super) async fn exceeded(&self) -> ReadError {
        loop {
            // It hears of what grows from here on, so nothing is missed between the two.
            let grown = self.grown.notified();
            if let Some(error) = self.error() {
                return error;
            }
            grown.await;
        }
    }

    /// Returns the limit that the results exceed now, if there is one.
    pub(super) fn error(&self) -> Option<ReadError> {
        let size = Size {
            samples: self.samples.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        };
        ReadError::of_size(self.limits, size)
    }

    /// Adds to the size.
    pub(super) fn add(&self, added: Size) {
        self.samples.fetch_add(added.samples, Ordering::Relaxed);
        self.bytes.fetch_add(added.bytes, Ordering::Relaxed);
        if self.error().is_some() {
            self.grown.notify_waiters();
        }
    }

    fn subtract(&self, removed: Size) {
        self.samples.fetch_sub(removed.samples, Ordering::Relaxed);
        self.bytes.fetch_sub(removed.bytes, Ordering::Relaxed);
    }
}

impl Progress {
    /// Adds what the query holds, now and later, to the size of a request.
    pub(super) fn add_to(&self, request: &Arc<RequestSize>) {
        let mut state = self.0.lock();
        request.add(state.size);
        state.requests.push(Arc::clone(request));
    }

    /// Adds to what the query took.
    pub(super) fn count(&self, add: impl FnOnce(&mut StatementCounts)) {
        add(&mut self.0.lock().counts);
    }

    /// Returns what the query took and no request has counted yet: of several that wait for it, one
    /// counts it.
    pub(super) fn take_counts(&self) -> StatementCounts {
        std::mem::take(&mut self.0.lock().counts)
    }

    /// Adds to what the query holds.
    pub(super) fn grow(&self, added: Size) {
        let mut state = self.0.lock();
        state.size += added;
        for request in &state.requests {
            request.add(added);
        }
    }

    /// Returns what the query holds.
    pub(super) fn size(&self) -> Size {
        self.0.lock().size
    }

    /// Goes back to what the query held before: it starts a part again.
    pub(super) fn shrink_to(&self, size: Size) {
        let mut state = self.0.lock();
        let removed = Size {
            samples: state.size.samples - size.samples,
            bytes: state.size.bytes - size.bytes,
        };
        state.size = size;
        for request in &state.requests {
            request.subtract(removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn size(samples: u64, bytes: u64) -> Size {
        Size { samples, bytes }
    }

    fn request(max_samples: u64, max_bytes: u64) -> Arc<RequestSize> {
        Arc::new(RequestSize::new(ReadLimits {
            max_samples,
            max_bytes,
        }))
    }

    #[test]
    fn the_size_of_a_request_is_that_of_its_queries() {
        let (own, shared) = (Progress::default(), Progress::default());
        shared.grow(size(10, 100));
        let (first, second) = (request(20, 1_000), request(100, 150));
        own.add_to(&first);
        shared.add_to(&first);
        shared.add_to(&second);
        own.grow(size(10, 0));
        assert!(first.error().is_none() && second.error().is_none());
        own.grow(size(1, 0));
        let text = first.error().unwrap().to_string();
        assert!(text.contains("more than 20 samples"), "{text}");
        own.shrink_to(size(0, 0));
        assert!(first.error().is_none());
        shared.grow(size(0, 51));
        let text = second.error().unwrap().to_string();
        assert!(text.contains("more than 150 bytes"), "{text}");
        assert!(first.error().is_none());
    }

    #[tokio::test]
    async fn whatever_waits_hears_of_it() {
        let (progress, request) = (Progress::default(), request(1, 1_000));
        progress.add_to(&request);
        let mut waiting = [request.exceeded(), request.exceeded()].map(Box::pin);
        assert!(waiting.iter_mut().all(|it| it.now_or_never().is_none()));
        progress.grow(size(2, 0));
        for waiting in waiting {
            waiting.await;
        }
        request.exceeded().await;
    }
}
