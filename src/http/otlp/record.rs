//! The record of a request with OTLP metrics.

use std::time::Duration;

use crate::http::log;
use crate::http::recorder::{End, Record};
use crate::ingest::{DeadLetterOutcome, WriteOutcome, WriteProgress};
use crate::metrics::emf::EmfRecord;
use crate::metrics::{Metrics, OtlpPoints};

/// The numbers of a request so far.
#[derive(Debug, Default)]
pub(super) struct OtlpRecord {
    /// The data points, once the request is translated.
    pub(super) points: Option<OtlpPoints>,
    /// The progress of storing their series.
    pub(super) progress: WriteProgress,
    /// The outcome, at the end.
    pub(super) outcome: Option<WriteOutcome>,
    /// The reasons for which data points are not stored; empty if all are.
    pub(super) rejection: String,
}

impl Record for OtlpRecord {
    fn count(&mut self, metrics: &Metrics, status: u16, duration: Duration) -> EmfRecord {
        metrics.add_otlp(
            self.points.as_ref(),
            self.outcome.as_ref(),
            status,
            duration,
        )
    }

    fn log(&mut self, end: End<'_>) {
        if let End::Aborted | End::Panicked = end {
            self.outcome = self.outcome.take().or_else(|| self.progress.aborted());
        }
        self.log_line(end);
    }
}

impl OtlpRecord {
    /// Logs the one line about a request, without the numbers that are unknown.
    fn log_line(&self, end: End<'_>) {
        let data_points = self.points.as_ref().map(|it| it.received);
        let outcome = self.outcome.as_ref();
        let received = outcome.map(|it| it.received);
        let stored = outcome.map(|it| it.stored);
        let ignored = outcome.map(|it| it.ignored.values().sum::<u64>());
        let calls = outcome.map(|it| it.calls);
        let retries = outcome.map(|it| it.retries);
        match end {
            End::Completed(_) if !self.rejection.is_empty() => tracing::warn!(
                reason = self.rejection,
                data_points,
                rejected = self.points.as_ref().map(OtlpPoints::all_rejected),
                received,
                stored,
                ignored,
                calls,
                retries,
                "Some data points of an OTLP request are rejected."
            ),
            End::Completed(status) => match outcome.map(|it| &it.dead_letters) {
                Some(DeadLetterOutcome::Stored(samples)) => tracing::warn!(
                    dead_letters = samples,
                    data_points,
                    received,
                    stored,
                    ignored,
                    calls,
                    retries,
                    "Some samples of an OTLP request can never be stored and were written as dead letters."
                ),
                _ => tracing::debug!(
                    status = status.as_u16(),
                    data_points,
                    received,
                    stored,
                    ignored,
                    calls,
                    retries,
                    "OTLP request stored."
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
                "The client of an OTLP request left before its response; it must send again."
            ),
            End::Panicked => tracing::error!(
                data_points,
                received,
                stored,
                "The handler of an OTLP request panicked."
            ),
            End::Failed(error) => {
                let failures = outcome.iter().flat_map(|it| &it.failures);
                let destinations = log::destinations(failures.map(|it| &it.destination));
                let message = match outcome.is_some_and(|it| !it.failures.is_empty()) {
                    true => "Unable to write all records of an OTLP request to Timestream.",
                    false => "Unable to store an OTLP request.",
                };
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
