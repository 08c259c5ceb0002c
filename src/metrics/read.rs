//! The metrics of remote read.

use std::time::Duration;

use prometheus_client::registry::Registry;

use super::instruments::Instruments;
use super::measurement::{Measurement, Value};
use crate::query::ReadOutcome;

/// Registers the metrics.
pub(super) fn register(all: &mut Instruments, registry: &mut Registry) {
    let r = registry;
    all.by_code(
        r,
        "read_requests",
        "Remote read requests, by response status; 499 if the client disconnected before the response was complete",
        200,
    );
    all.seconds(
        r,
        "read_duration_seconds",
        "Duration of remote read requests",
    );
    all.counter(r, "read_series", "Series returned by remote read");
    all.counter(r, "read_samples", "Samples returned by remote read");
    all.counter(r, "read_statements", "SQL statements sent to Timestream");
    all.counter(r, "read_pages", "Result pages received from Timestream");
    all.counter(r, "read_retries", "Retries of Query calls");
    all.counter(
        r,
        "read_shared_queries",
        "Queries that shared the result of an identical query in flight",
    );
    all.counter(
        r,
        "read_scanned_bytes",
        "Bytes scanned, as reported by Timestream",
    );
    all.counter(
        r,
        "read_metered_bytes",
        "Bytes that AWS charges for, as reported by Timestream",
    );
}

/// Returns the measurements of a request; without an outcome those of its response alone.
pub(super) fn measurements(
    outcome: Option<&ReadOutcome>,
    status: u16,
    duration: Duration,
) -> Vec<Measurement> {
    let mut all = Vec::with_capacity(10);
    all.extend([
        Measurement::new("read_requests", Value::Status(status)),
        Measurement::new(
            "read_duration_seconds",
            Value::Seconds(duration.as_secs_f64()),
        ),
    ]);
    let Some(outcome) = outcome else { return all };
    let counts = outcome.counts;
    all.extend([
        Measurement::count("read_series", outcome.series),
        Measurement::count("read_samples", outcome.samples),
        Measurement::count("read_statements", counts.statements),
        Measurement::count("read_pages", counts.pages),
        Measurement::count("read_retries", counts.retries),
        Measurement::count("read_shared_queries", outcome.shared_queries),
        Measurement::new("read_scanned_bytes", Value::Bytes(counts.bytes_scanned)),
        Measurement::new("read_metered_bytes", Value::Bytes(counts.bytes_metered)),
    ]);
    all
}
