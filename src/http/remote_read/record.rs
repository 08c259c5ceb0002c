//! The record of a read request.

use std::time::Duration;

use prom_wire::budget::Reservation;

use super::super::log;
use super::super::recent_errors::Source;
use super::super::recorder::{End, Record};
use crate::metrics::Metrics;
use crate::metrics::emf::EmfRecord;
use crate::query::{ReadOutcome, ReadStream};

/// The numbers of a read request so far.
#[derive(Debug, Default)]
pub(super) struct ReadRecord {
    /// The memory of the request and of the patterns of its queries.
    pub(super) reservation: Option<Reservation>,
    /// The read, once it has begun.
    pub(super) reading: Option<ReadStream>,
}

impl ReadRecord {
    fn outcome(&self) -> Option<ReadOutcome> {
        self.reading.as_ref().map(ReadStream::outcome)
    }
}

impl Record for ReadRecord {
    const SOURCE: Source = Source::Read;

    fn count(&mut self, metrics: &Metrics, status: u16, duration: Duration) -> EmfRecord {
        metrics.add_read(self.outcome().as_ref(), status, duration)
    }

    fn log(&mut self, end: End<'_>) {
        if let Some(reading) = &mut self.reading {
            reading.take_counts();
        }
        log_read(end, self.outcome().as_ref());
    }
}

/// Logs the one line about a request, without the numbers that are unknown.
fn log_read(end: End<'_>, outcome: Option<&ReadOutcome>) {
    let destinations = log::destinations(outcome.into_iter().flat_map(|it| &it.destinations));
    let counts = outcome.map(|outcome| outcome.counts);
    match end {
        End::Completed(status) => tracing::debug!(
            status = status.as_u16(),
            destinations,
            series = outcome.map(|outcome| outcome.series),
            samples = outcome.map(|outcome| outcome.samples),
            statements = counts.map(|counts| counts.statements),
            pages = counts.map(|counts| counts.pages),
            retries = counts.map(|counts| counts.retries),
            "Read request completed."
        ),
        End::Failed(error) => tracing::error!(
            error = error.text(),
            status = error.status().as_u16(),
            destinations,
            statements = counts.map(|counts| counts.statements),
            pages = counts.map(|counts| counts.pages),
            retries = counts.map(|counts| counts.retries),
            "Error occurred while reading the data back from Timestream."
        ),
        End::Aborted => tracing::debug!(
            destinations,
            "The client of a read request left before its response was complete."
        ),
        End::Panicked => {
            tracing::error!(destinations, "The handler of a read request panicked.");
        }
    }
}
