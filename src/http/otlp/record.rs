//! The record of a request with OTLP metrics.

use std::time::Duration;

use crate::http::recent_errors::Source;
use crate::http::recorder::{End, Record};
use crate::http::storing::{Messages, Storing};
use crate::ingest::WriteOutcome;
use crate::metrics::emf::EmfRecord;
use crate::metrics::{Metrics, OtlpPoints};

const MESSAGES: Messages = Messages {
    stored: "OTLP request stored.",
    dead_letters: "Some samples of an OTLP request can never be stored and were written as dead letters.",
    not_written: "Unable to write all records of an OTLP request to Timestream.",
    failed: "Unable to store an OTLP request.",
    aborted: "The client of an OTLP request left before its response; it must send again.",
    panicked: "The handler of an OTLP request panicked.",
};

/// The numbers of a request so far.
#[derive(Debug, Default)]
pub(super) struct OtlpRecord {
    /// The data points, once the request is translated.
    pub(super) points: Option<OtlpPoints>,
    /// Their samples.
    pub(super) storing: Storing,
    /// The reasons for which data points are not stored; empty if all are.
    pub(super) rejection: String,
}

impl Record for OtlpRecord {
    const SOURCE: Source = Source::Otlp;

    fn count(&mut self, metrics: &Metrics, status: u16, duration: Duration) -> EmfRecord {
        let outcome = self.storing.outcome.as_ref();
        metrics.add_otlp(self.points.as_ref(), outcome, status, duration)
    }

    fn log(&mut self, end: End<'_>) {
        self.storing.end(end);
        match end {
            End::Completed(_) if !self.rejection.is_empty() => self.log_rejection(),
            _ => {
                let data_points = self.points.as_ref().map(|it| it.received);
                self.storing.log(end, &MESSAGES, data_points);
            }
        }
    }
}

impl OtlpRecord {
    fn log_rejection(&self) {
        let points = self.points.as_ref();
        let outcome = self.storing.outcome.as_ref();
        tracing::warn!(
            reason = self.rejection,
            data_points = points.map(|it| it.received),
            rejected = points.map(OtlpPoints::all_rejected),
            received = outcome.map(|it| it.received),
            stored = outcome.map(|it| it.stored),
            ignored = outcome.map(WriteOutcome::all_ignored),
            calls = outcome.map(|it| it.calls),
            retries = outcome.map(|it| it.retries),
            "Some data points of an OTLP request are rejected."
        );
    }
}
