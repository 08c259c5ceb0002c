//! The record of every request, however it ends: its numbers and one log line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::{App, HttpError};
use crate::metrics::emf::EmfRecord;
use crate::metrics::{InFlight, Metrics};

/// The status that is counted if the client left before its response was complete; it is never sent. Other servers
/// use it too, as Prometheus' own API does.
const CLIENT_LEFT: u16 = 499;

/// The record of requests of one kind.
pub(super) trait Record {
    /// Adds the numbers of the request to the metrics, and returns them.
    fn count(&mut self, metrics: &Metrics, status: u16, duration: Duration) -> EmfRecord;

    /// Writes the one line about the request.
    fn log(&mut self, end: End<'_>);
}

/// The end of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum End<'e> {
    /// The response is complete.
    Completed(StatusCode),
    /// The response is an error, or an error cut it off.
    Failed(&'e HttpError),
    /// The client left before the response was complete.
    Aborted,
    /// The handler panicked.
    Panicked,
}

/// Records a request exactly once: when it is closed, or when it is dropped before that because its client left or
/// its handler panicked.
#[derive(Debug)]
pub(super) struct RequestRecorder<R: Record> {
    metrics: Arc<Metrics>,
    start: Instant,
    record: R,
    is_closed: bool,
    _in_flight: InFlight,
}

impl<R: Record> RequestRecorder<R> {
    /// Opens the recorder of a request that has just arrived.
    pub(super) fn open(app: &App, record: R) -> Self {
        Self {
            metrics: Arc::clone(&app.metrics),
            start: Instant::now(),
            record,
            is_closed: false,
            _in_flight: app.metrics.in_flight(),
        }
    }

    /// Returns the record of the request so far.
    pub(super) fn record(&mut self) -> &mut R {
        &mut self.record
    }

    /// Counts and logs the request; returns the numbers for CloudWatch.
    pub(super) fn close(&mut self, end: End<'_>) -> EmfRecord {
        self.is_closed = true;
        let status = match end {
            End::Completed(status) => status.as_u16(),
            End::Failed(error) => error.status().as_u16(),
            End::Aborted => CLIENT_LEFT,
            End::Panicked => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
        };
        self.record.log(end);
        self.record
            .count(&self.metrics, status, self.start.elapsed())
    }
}

impl<R: Record> Drop for RequestRecorder<R> {
    fn drop(&mut self) {
        if !self.is_closed {
            self.close(match std::thread::panicking() {
                true => End::Panicked,
                false => End::Aborted,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Recorded(Arc<parking_lot::Mutex<Vec<(String, u16)>>>, String);

    impl Record for Recorded {
        fn count(&mut self, _: &Metrics, status: u16, _: Duration) -> EmfRecord {
            let text = std::mem::take(&mut self.1);
            self.0.lock().push((text, status));
            EmfRecord::default()
        }

        fn log(&mut self, end: End<'_>) {
            self.1 = format!("{end:?}");
        }
    }

    fn open(record: Recorded) -> RequestRecorder<Recorded> {
        let metrics = Arc::new(Metrics::default());
        RequestRecorder {
            start: Instant::now(),
            record,
            is_closed: false,
            _in_flight: metrics.in_flight(),
            metrics,
        }
    }

    #[test]
    fn a_request_is_recorded_once_however_it_ends() {
        let all = Arc::default();
        let recorded = || Recorded(Arc::clone(&all), String::new());
        open(recorded()).close(End::Completed(StatusCode::NO_CONTENT));
        open(recorded()).close(End::Failed(&HttpError::slow_body()));
        drop(open(recorded()));
        let record = recorded();
        let panicked = std::thread::spawn(|| {
            let _recorder = open(record);
            panic!("as a handler does");
        });
        assert!(panicked.join().is_err());
        let all: Vec<_> = all.lock().drain(..).collect();
        let statuses: Vec<u16> = all.iter().map(|(_, status)| *status).collect();
        assert_eq!(statuses, [204, 503, 499, 500]);
        assert_eq!((&*all[2].0, &*all[3].0), ("Aborted", "Panicked"));
    }
}
