//! The metrics of remote write.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Code, Reason, add, add_by_code, add_by_reason, add_durations};
use crate::ingest::{IgnoredMetadata, Kept, WriteOutcome};
use crate::storage::write::series::IgnoreReason;
use crate::timestream::{ErrorKind, RejectReason};

/// The reason of samples in calls that had not ended when their request was aborted.
pub(super) const ABORTED: &str = "aborted";

#[derive(Debug)]
pub(super) struct WriteMetrics {
    received_samples: Counter,
    written_samples: Counter,
    ignored_samples: Family<Reason, Counter>,
    failed_samples: Family<Reason, Counter>,
    rejected_samples: Family<Reason, Counter>,
    dead_letter_samples: Counter,
    dead_letter_errors: Counter,
    written_metadata: Counter,
    ignored_metadata: Family<Reason, Counter>,
    failed_metadata: Family<Reason, Counter>,
    requests: Family<Code, Counter>,
    duration: Histogram,
    calls: Counter,
    retries: Counter,
    units: Counter,
}

impl WriteMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            received_samples: add(r, "received_samples", "Samples received from Prometheus"),
            written_samples: add(r, "written_samples", "Samples stored in Timestream"),
            ignored_samples: add_by_reason(
                r,
                "ignored_samples",
                "Samples dropped because Timestream cannot store them",
                IgnoreReason::ALL.map(IgnoreReason::as_str),
            ),
            failed_samples: add_by_reason(
                r,
                "failed_samples",
                "Samples neither stored nor dropped, by error",
                ErrorKind::ALL
                    .map(ErrorKind::as_str)
                    .into_iter()
                    .chain([ABORTED]),
            ),
            rejected_samples: add_by_reason(
                r,
                "rejected_samples",
                "Failed samples that Timestream rejected individually, by its reason",
                RejectReason::ALL.map(RejectReason::as_str),
            ),
            dead_letter_samples: add(
                r,
                "dead_letter_samples",
                "Samples stored as dead letters; they also count as failed or ignored",
            ),
            dead_letter_errors: add(
                r,
                "dead_letter_errors",
                "Requests whose dead letters could not be stored",
            ),
            written_metadata: add(
                r,
                "written_metadata",
                "Types, help texts and units of metrics stored in the metadata table",
            ),
            ignored_metadata: add_by_reason(
                r,
                "ignored_metadata",
                "Metadata of metrics that cannot be stored in Timestream",
                IgnoredMetadata::ALL.map(IgnoredMetadata::as_str),
            ),
            failed_metadata: add_by_reason(
                r,
                "failed_metadata",
                "Metadata of metrics that Timestream did not accept; it is retried automatically",
                ErrorKind::ALL.map(ErrorKind::as_str),
            ),
            requests: add_by_code(
                r,
                "write_requests",
                "Remote write requests, by response status; 499 if the client disconnected before the \
                 response",
                204,
            ),
            duration: add_durations(
                r,
                "write_duration_seconds",
                "Duration of remote write requests",
            ),
            calls: add(
                r,
                "write_calls",
                "WriteRecords calls, each a batch of at most 100 samples, without retries",
            ),
            retries: add(r, "write_retries", "Retries of WriteRecords calls"),
            units: add(
                r,
                "write_units",
                "Write units of 1 KiB that AWS bills, computed by its formula",
            ),
        }
    }

    pub(super) fn add(&self, outcome: Option<&WriteOutcome>, status: u16, duration: Duration) {
        self.requests.get_or_create(&Code { code: status }).inc();
        self.duration.observe(duration.as_secs_f64());
        let Some(outcome) = outcome else { return };
        self.received_samples.inc_by(outcome.received);
        self.written_samples.inc_by(outcome.stored);
        self.calls.inc_by(outcome.calls);
        self.retries.inc_by(outcome.retries);
        self.units.inc_by(outcome.write_units);
        for (reason, samples) in &outcome.ignored {
            inc_by(&self.ignored_samples, reason.as_str(), *samples);
        }
        for faulty in &outcome.faults {
            inc_by(&self.failed_samples, faulty.fault.name(), faulty.samples);
        }
        for failure in &outcome.failures {
            inc_by(&self.failed_samples, failure.kind.as_str(), failure.samples);
        }
        if outcome.aborted > 0 {
            inc_by(&self.failed_samples, ABORTED, outcome.aborted);
        }
        match outcome.dead_letters {
            Kept::Nothing => {}
            Kept::Samples(samples) => drop(self.dead_letter_samples.inc_by(samples)),
            Kept::Failed { .. } => drop(self.dead_letter_errors.inc()),
        }
        self.written_metadata.inc_by(outcome.metadata.written);
        for (reason, entries) in &outcome.metadata.ignored {
            inc_by(&self.ignored_metadata, reason.as_str(), *entries);
        }
        for (kind, entries) in &outcome.metadata.failed {
            inc_by(&self.failed_metadata, kind.as_str(), *entries);
        }
        for (reason, samples) in &outcome.rejected {
            inc_by(&self.rejected_samples, reason.as_str(), *samples);
        }
    }
}

fn inc_by(family: &Family<Reason, Counter>, reason: &'static str, samples: u64) {
    family.get_or_create(&Reason { reason }).inc_by(samples);
}
