//! The record of every request, however it ends: its numbers and one log line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::reason::Reason;
use super::recent_errors::{RecentErrors, Source};
use super::{App, HttpError};
use crate::metrics::emf::EmfRecord;
use crate::metrics::{InFlight, Metrics};

/// The status that is counted if the client left before its response was complete; it is never sent. Other servers
/// use it too, as Prometheus' own API does.
const CLIENT_LEFT: u16 = 499;

/// The record of requests of one kind.
pub(super) trait Record {
    /// The source of the errors.
    const SOURCE: Source;

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
    errors: Arc<RecentErrors>,
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
            errors: Arc::clone(&app.recent_errors),
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
        self.remember(end, status);
        self.record
            .count(&self.metrics, status, self.start.elapsed())
    }

    /// Adds an error to the last ones. Clients that leave a read are usual: the user has gone on.
    fn remember(&self, end: End<'_>, status: u16) {
        let add = |reason, cause| self.errors.add_reason(R::SOURCE, reason, status, cause);
        match end {
            End::Completed(_) => {}
            End::Failed(error) => self.errors.add(R::SOURCE, error),
            End::Aborted if matches!(R::SOURCE, Source::Write | Source::Otlp) => add(
                Reason::ClientLeft,
                "the sender left before the response to its request",
            ),
            End::Aborted => {}
            End::Panicked => add(Reason::Panicked, "the handler of a request panicked"),
        }
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
        const SOURCE: Source = Source::Write;

        fn count(&mut self, _: &Metrics, status: u16, _: Duration) -> EmfRecord {
            let text = std::mem::take(&mut self.1);
            self.0.lock().push((text, status));
            EmfRecord::default()
        }

        fn log(&mut self, end: End<'_>) {
            self.1 = format!("{end:?}");
        }
    }

    fn open(record: Recorded, errors: &Arc<RecentErrors>) -> RequestRecorder<Recorded> {
        let metrics = Arc::new(Metrics::default());
        RequestRecorder {
            errors: Arc::clone(errors),
            start: Instant::now(),
            record,
            is_closed: false,
            _in_flight: metrics.in_flight(),
            metrics,
        }
    }

    #[test]
    fn a_request_is_recorded_once_however_it_ends() {
        let (all, errors) = (Arc::default(), Arc::default());
        let recorded = || Recorded(Arc::clone(&all), String::new());
        open(recorded(), &errors).close(End::Completed(StatusCode::NO_CONTENT));
        open(recorded(), &errors).close(End::Failed(&HttpError::slow_body()));
        drop(open(recorded(), &errors));
        let record = recorded();
        let of_panic = Arc::clone(&errors);
        let panicked = std::thread::spawn(move || {
            let _recorder = open(record, &of_panic);
            panic!("as a handler does");
        });
        assert!(panicked.join().is_err());
        let all: Vec<_> = all.lock().drain(..).collect();
        let statuses: Vec<u16> = all.iter().map(|(_, status)| *status).collect();
        assert_eq!(statuses, [204, 503, 499, 500]);
        assert_eq!((&*all[2].0, &*all[3].0), ("Aborted", "Panicked"));
        let errors: Vec<_> = errors
            .all()
            .iter()
            .map(|it| (it.reason, it.status))
            .collect();
        let expected = [
            (Reason::Panicked, 500),
            (Reason::ClientLeft, 499),
            (Reason::SlowBody, 503),
        ];
        assert_eq!(errors, expected);
    }
}
