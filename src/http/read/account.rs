//! What a read request leaves behind: its numbers and one log line.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use super::super::{App, HttpError, log};
use crate::connector::{ReadOutcome, Reading};
use crate::metrics::emf::Numbers;
use crate::metrics::{InFlight, Metrics};

/// The status that is counted where the client left before its answer was complete; nobody gets
/// it. Other servers use it too, as Prometheus' own API does.
const CLIENT_LEFT: u16 = 499;

/// A request that is being answered. If it is dropped, its client has left.
#[derive(Debug)]
pub(super) struct Account {
    metrics: Arc<Metrics>,
    start: Instant,
    reading: Option<Reading>,
    is_closed: bool,
    _in_flight: InFlight,
}

impl Account {
    pub(super) fn open(app: &App) -> Self {
        Self {
            metrics: Arc::clone(&app.metrics),
            start: Instant::now(),
            reading: None,
            is_closed: false,
            _in_flight: app.metrics.in_flight(),
        }
    }

    /// Puts the request's reading here, so that what it takes is known in any case.
    pub(super) fn read(&mut self, reading: Reading) -> &mut Reading {
        self.reading.insert(reading)
    }

    /// The reading, once it has begun.
    pub(super) fn reading(&mut self) -> Option<&mut Reading> {
        self.reading.as_mut()
    }

    /// Counts and logs the request, which was answered, or of whose answer `error` is the end.
    pub(super) fn close(&mut self, error: Option<&HttpError>) -> Numbers {
        let outcome = self.reading.as_mut().map(Reading::outcome);
        log(outcome.as_ref(), error);
        let status = error.map_or(StatusCode::OK, HttpError::status);
        self.count(outcome.as_ref(), status.as_u16())
    }

    fn count(&mut self, outcome: Option<&ReadOutcome>, status: u16) -> Numbers {
        self.is_closed = true;
        self.metrics.add_read(outcome, status, self.start.elapsed())
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.is_closed {
            let outcome = self.reading.as_mut().map(Reading::outcome);
            let destinations = destinations(outcome.as_ref());
            tracing::debug!(
                destinations,
                "The client of a read request left before its answer was complete."
            );
            self.count(outcome.as_ref(), CLIENT_LEFT);
        }
    }
}

fn destinations(outcome: Option<&ReadOutcome>) -> Option<String> {
    log::destinations(outcome.into_iter().flat_map(|it| &it.destinations))
}

/// The one line about a request; numbers that nobody knows are left out.
fn log(outcome: Option<&ReadOutcome>, error: Option<&HttpError>) {
    let destinations = destinations(outcome);
    let counts = outcome.map(|outcome| outcome.counts);
    match error {
        None => tracing::debug!(
            status = StatusCode::OK.as_u16(),
            destinations,
            series = outcome.map(|outcome| outcome.series),
            samples = outcome.map(|outcome| outcome.samples),
            statements = counts.map(|counts| counts.statements),
            pages = counts.map(|counts| counts.pages),
            retries = counts.map(|counts| counts.retries),
            "Read request answered."
        ),
        Some(error) => tracing::error!(
            error = error.text(),
            status = error.status().as_u16(),
            destinations,
            statements = counts.map(|counts| counts.statements),
            pages = counts.map(|counts| counts.pages),
            retries = counts.map(|counts| counts.retries),
            "Error occurred while reading the data back from Timestream."
        ),
    }
}
