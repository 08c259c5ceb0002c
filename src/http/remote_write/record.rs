//! The record of a write request.

use std::time::Duration;

use super::super::log;
use super::super::recorder::{End, Record};
use crate::ingest::{DeadLetterOutcome, WriteOutcome, WriteProgress};
use crate::metrics::Metrics;
use crate::metrics::emf::EmfRecord;
use crate::replicas;

/// The log message of requests with content that cannot become records.
const NOT_CONVERTED: &str =
    "Unable to convert the received Prometheus write request to Timestream Records.";

/// The numbers of a write request so far.
#[derive(Debug, Default)]
pub(super) struct WriteRecord {
    /// The progress, once the request is decoded.
    pub(super) progress: WriteProgress,
    /// The outcome of replicated senders, if they are tracked.
    pub(super) replicas: Option<replicas::Outcome>,
    /// The outcome, at the end.
    pub(super) outcome: Option<WriteOutcome>,
    /// True if the error is part of a negotiation: the sender sends the same again in a supported form.
    pub(super) is_negotiation: bool,
}

impl Record for WriteRecord {
    fn count(&mut self, metrics: &Metrics, status: u16, duration: Duration) -> EmfRecord {
        let replicas = self.replicas.as_ref();
        metrics.add_replicated_write(self.outcome.as_ref(), replicas, status, duration)
    }

    fn log(&mut self, end: End<'_>) {
        if let End::Aborted | End::Panicked = end {
            self.outcome = self.outcome.take().or_else(|| self.progress.aborted());
        }
        match end {
            End::Failed(error) if self.is_negotiation => tracing::info!(
                reason = error.text(),
                status = error.status().as_u16(),
                "A sender tried an unsupported compression; it sends the same again in snappy."
            ),
            _ => log_write(end, self.outcome.as_ref()),
        }
    }
}

/// Logs the one line about a request, without the numbers that are unknown.
fn log_write(end: End<'_>, outcome: Option<&WriteOutcome>) {
    let received = outcome.map(|written| written.received);
    let stored = outcome.map(|written| written.stored);
    let ignored = outcome.map(|written| written.ignored.values().sum::<u64>());
    let calls = outcome.map(|written| written.calls);
    let retries = outcome.map(|written| written.retries);
    let error = match end {
        End::Completed(status) => {
            if let Some(DeadLetterOutcome::Stored(samples)) =
                outcome.map(|written| &written.dead_letters)
            {
                tracing::warn!(
                    dead_letters = samples,
                    received,
                    stored,
                    ignored,
                    calls,
                    retries,
                    "Some samples can never be stored and were written as dead letters."
                );
                return;
            }
            tracing::debug!(
                status = status.as_u16(),
                received,
                stored,
                ignored,
                calls,
                retries,
                "Write request stored."
            );
            return;
        }
        End::Aborted => {
            tracing::warn!(
                received,
                stored,
                ignored,
                aborted = outcome.map(|written| written.aborted),
                calls,
                retries,
                "The client of a write request left before its response; it must send again."
            );
            return;
        }
        End::Panicked => {
            tracing::error!(received, stored, "The handler of a write request panicked.");
            return;
        }
        End::Failed(error) => error,
    };
    let failures = || outcome.iter().flat_map(|written| &written.failures);
    let message = match failures().next() {
        Some(_) => "Unable to write all records to Timestream.",
        None => NOT_CONVERTED,
    };
    let destinations = log::destinations(failures().map(|failure| &failure.destination));
    tracing::error!(
        error = error.text(),
        status = error.status().as_u16(),
        destinations,
        received,
        stored,
        ignored,
        failed = outcome.map(WriteOutcome::lost),
        calls,
        retries,
        "{message}"
    );
}
