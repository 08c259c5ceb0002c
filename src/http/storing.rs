//! Storing the samples of a request, as remote write and OTLP have it in common: the write, its numbers and its log
//! line.

use http::HeaderMap;
use prom_wire::request::Request;
use tokio::time::Instant;

use super::error::WriteStatuses;
use super::recorder::End;
use super::{App, HttpError, log};
use crate::ingest::{DeadLetterOutcome, WriteOutcome, WriteProgress};

/// The numbers of storing a request's samples so far.
#[derive(Debug, Default)]
pub(super) struct Storing {
    /// The progress, once the request is decoded.
    pub(super) progress: WriteProgress,
    /// The outcome, at the end.
    pub(super) outcome: Option<WriteOutcome>,
}

/// The end of a write.
#[derive(Debug)]
pub(super) struct Written<'s> {
    /// The progress at the end.
    pub(super) progress: &'s WriteProgress,
    /// The outcome.
    pub(super) outcome: &'s WriteOutcome,
    /// The error of the response, if samples are not stored.
    pub(super) error: Option<HttpError>,
}

/// The messages of the log lines about requests of a protocol.
#[derive(Debug)]
pub(super) struct Messages {
    /// Everything is stored.
    pub(super) stored: &'static str,
    /// Samples that can never be stored are dead letters.
    pub(super) dead_letters: &'static str,
    /// Calls to Timestream failed.
    pub(super) not_written: &'static str,
    /// The request failed otherwise.
    pub(super) failed: &'static str,
    /// The client left.
    pub(super) aborted: &'static str,
    /// The handler panicked.
    pub(super) panicked: &'static str,
}

impl Storing {
    /// Writes the samples of a request.
    ///
    /// # Errors
    /// A policy forbids the request as a whole.
    pub(super) async fn write(
        &mut self,
        app: &App,
        request: &Request<'_>,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<Written<'_>, HttpError> {
        let Self { progress, outcome } = self;
        let written = app.ingester.write(request, deadline, progress).await;
        let written = written.map_err(|violation| {
            // The permit is stored for the waiting task even if it does not wait yet.
            app.fatal_rejection.notify_one();
            HttpError::from(violation)
        })?;
        let outcome = outcome.insert(written);
        let settings = &app.settings;
        let statuses = WriteStatuses::new(
            settings.throttled_write_status,
            settings.permanent_error_status,
            headers,
        );
        let error = HttpError::from_write(outcome, statuses);
        Ok(Written {
            progress,
            outcome,
            error,
        })
    }

    /// Takes the outcome from the progress if the request has ended without one.
    pub(super) fn end(&mut self, end: End<'_>) {
        if let End::Aborted | End::Panicked = end {
            self.outcome = self.outcome.take().or_else(|| self.progress.aborted());
        }
    }

    /// Logs the one line about a request, without the numbers that are unknown.
    pub(super) fn log(&self, end: End<'_>, messages: &Messages, data_points: Option<u64>) {
        let outcome = self.outcome.as_ref();
        let received = outcome.map(|it| it.received);
        let stored = outcome.map(|it| it.stored);
        let ignored = outcome.map(WriteOutcome::all_ignored);
        let calls = outcome.map(|it| it.calls);
        let retries = outcome.map(|it| it.retries);
        match end {
            End::Completed(status) => match outcome.map(|it| &it.dead_letters) {
                Some(DeadLetterOutcome::Stored(samples)) => tracing::warn!(
                    dead_letters = samples,
                    data_points,
                    received,
                    stored,
                    ignored,
                    calls,
                    retries,
                    "{}",
                    messages.dead_letters
                ),
                _ => tracing::debug!(
                    status = status.as_u16(),
                    data_points,
                    received,
                    stored,
                    ignored,
                    calls,
                    retries,
                    "{}",
                    messages.stored
                ),
            },
            End::Aborted => tracing::warn!(
                data_points,
                received,
                stored,
                ignored,
                aborted = outcome.map(|it| it.aborted),
                calls,
                retries,
                "{}",
                messages.aborted
            ),
            End::Panicked => {
                tracing::error!(data_points, received, stored, "{}", messages.panicked);
            }
            End::Failed(error) => {
                let failures = || outcome.iter().flat_map(|it| &it.failures);
                let message = match failures().next() {
                    Some(_) => messages.not_written,
                    None => messages.failed,
                };
                let destinations = log::destinations(failures().map(|it| &it.destination));
                tracing::error!(
                    error = error.text(),
                    status = error.status().as_u16(),
                    destinations,
                    data_points,
                    received,
                    stored,
                    ignored,
                    failed = outcome.map(WriteOutcome::lost),
                    calls,
                    retries,
                    "{message}"
                );
            }
        }
    }
}
