//! The record of a write request.

use std::time::Duration;

use super::super::recent_errors::Source;
use super::super::recorder::{End, Record};
use super::super::storing::{Messages, Storing};
use crate::metrics::Metrics;
use crate::metrics::emf::EmfRecord;
use crate::replicas;

const MESSAGES: Messages = Messages {
    stored: "Write request stored.",
    dead_letters: "Some samples can never be stored and were written as dead letters.",
    not_written: "Unable to write all records to Timestream.",
    failed: "Unable to convert the received Prometheus write request to Timestream Records.",
    aborted: "The client of a write request left before its response; it must send again.",
    panicked: "The handler of a write request panicked.",
};

/// The numbers of a write request so far.
#[derive(Debug, Default)]
pub(super) struct WriteRecord {
    /// The samples.
    pub(super) storing: Storing,
    /// The outcome of replicated senders, if they are tracked.
    pub(super) replicas: Option<replicas::Outcome>,
    /// True if the error is part of a negotiation: the sender sends the same again in a supported form.
    pub(super) is_negotiation: bool,
}

impl Record for WriteRecord {
    const SOURCE: Source = Source::Write;

    fn count(&mut self, metrics: &Metrics, status: u16, duration: Duration) -> EmfRecord {
        let outcome = self.storing.outcome.as_ref();
        metrics.add_write(outcome, self.replicas.as_ref(), status, duration)
    }

    fn log(&mut self, end: End<'_>) {
        self.storing.end(end);
        match end {
            End::Failed(error) if self.is_negotiation => tracing::info!(
                reason = error.text(),
                status = error.status().as_u16(),
                "A sender tried an unsupported compression; it sends the same again in snappy."
            ),
            _ => self.storing.log(end, &MESSAGES, None),
        }
    }
}
