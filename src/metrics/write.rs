//! The metrics of remote write, and of all samples that are received.

use std::time::Duration;

use prometheus_client::registry::Registry;

use super::instruments::Instruments;
use super::measurement::{Measurement, Value};
use crate::ingest::{DeadLetterOutcome, IgnoredMetadata, WriteOutcome};
use crate::storage::write::series::IgnoreReason;
use crate::timestream::{ErrorKind, RejectReason};

/// The reason of samples in calls that had not ended when their request was aborted.
const ABORTED: &str = "aborted";

/// Registers the metrics.
pub(super) fn register(all: &mut Instruments, registry: &mut Registry) {
    let r = registry;
    all.counter(
        r,
        "received_samples",
        "Samples received by remote write and OTLP",
    );
    all.counter(r, "written_samples", "Samples stored in Timestream");
    all.by_reason(
        r,
        "ignored_samples",
        "Samples dropped because Timestream cannot store them",
        IgnoreReason::ALL.map(IgnoreReason::as_str),
    );
    all.by_reason(
        r,
        "failed_samples",
        "Samples neither stored nor dropped, by error",
        ErrorKind::ALL
            .map(ErrorKind::as_str)
            .into_iter()
            .chain([ABORTED]),
    );
    all.by_reason(
        r,
        "rejected_samples",
        "Failed samples that Timestream rejected individually, by its reason",
        RejectReason::ALL.map(RejectReason::as_str),
    );
    all.counter(
        r,
        "dead_letter_samples",
        "Samples stored as dead letters; they also count as failed or ignored",
    );
    all.counter(
        r,
        "dead_letter_errors",
        "Requests whose dead letters could not be stored",
    );
    all.counter(
        r,
        "written_metadata",
        "Types, help texts and units of metrics stored in the metadata table",
    );
    all.by_reason(
        r,
        "ignored_metadata",
        "Metadata of metrics that cannot be stored in Timestream",
        IgnoredMetadata::ALL.map(IgnoredMetadata::as_str),
    );
    all.by_reason(
        r,
        "failed_metadata",
        "Metadata of metrics that Timestream did not accept; it is retried automatically",
        ErrorKind::ALL.map(ErrorKind::as_str),
    );
    all.by_code(
        r,
        "write_requests",
        "Remote write requests, by response status; 499 if the client disconnected before the response",
        204,
    );
    all.seconds(
        r,
        "write_duration_seconds",
        "Duration of remote write requests",
    );
    all.counter(
        r,
        "write_calls",
        "WriteRecords calls, each a batch of at most 100 samples, without retries",
    );
    all.counter(r, "write_retries", "Retries of WriteRecords calls");
    all.counter(
        r,
        "write_units",
        "Write units of 1 KiB that AWS bills, computed by its formula",
    );
}

/// Returns the measurements of a request; without an outcome those of its response alone.
pub(super) fn measurements(
    outcome: Option<&WriteOutcome>,
    status: u16,
    duration: Duration,
) -> Vec<Measurement> {
    let mut all = Vec::with_capacity(16);
    all.extend([
        Measurement::new("write_requests", Value::Status(status)),
        Measurement::new(
            "write_duration_seconds",
            Value::Seconds(duration.as_secs_f64()),
        ),
    ]);
    all.extend(outcome.into_iter().flat_map(outcome_measurements));
    all
}

/// Returns the measurements of the samples of a request.
pub(super) fn outcome_measurements(outcome: &WriteOutcome) -> [Measurement; 13] {
    let invalid = outcome
        .invalid
        .iter()
        .map(|it| (it.error.name(), it.samples));
    let failures = outcome
        .failures
        .iter()
        .map(|it| (it.kind.as_str(), it.samples));
    let aborted = (outcome.aborted > 0).then_some((ABORTED, outcome.aborted));
    let ignored = outcome.ignored.iter().map(|(it, n)| (it.as_str(), *n));
    let rejected = outcome.rejected.iter().map(|(it, n)| (it.as_str(), *n));
    let (dead_letter_samples, dead_letter_errors) = match outcome.dead_letters {
        DeadLetterOutcome::None => (0, 0),
        DeadLetterOutcome::Stored(samples) => (samples, 0),
        DeadLetterOutcome::Failed { .. } => (0, 1),
    };
    let metadata = &outcome.metadata;
    let ignored_metadata = metadata.ignored.iter().map(|(it, n)| (it.as_str(), *n));
    let failed_metadata = metadata.failed.iter().map(|(it, n)| (it.as_str(), *n));
    [
        Measurement::count("received_samples", outcome.received),
        Measurement::count("written_samples", outcome.stored),
        Measurement::count_by("ignored_samples", ignored),
        Measurement::count_by("failed_samples", invalid.chain(failures).chain(aborted)),
        Measurement::count_by("rejected_samples", rejected),
        Measurement::count("dead_letter_samples", dead_letter_samples),
        Measurement::count("dead_letter_errors", dead_letter_errors),
        Measurement::count("written_metadata", metadata.written),
        Measurement::count_by("ignored_metadata", ignored_metadata),
        Measurement::count_by("failed_metadata", failed_metadata),
        Measurement::count("write_calls", outcome.calls),
        Measurement::count("write_retries", outcome.retries),
        Measurement::count("write_units", outcome.write_units),
    ]
}
