//! The metrics of remote read.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Code, add, add_by_code, add_durations};
use crate::query::ReadOutcome;

#[derive(Debug)]
pub(super) struct ReadMetrics {
    requests: Family<Code, Counter>,
    duration: Histogram,
    series: Counter,
    samples: Counter,
    statements: Counter,
    pages: Counter,
    retries: Counter,
    shared_queries: Counter,
    scanned_bytes: Counter,
    metered_bytes: Counter,
}

impl ReadMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            requests: add_by_code(
                r,
                "read_requests",
                "Remote read requests, by response status; 499 if the client disconnected before the \
                 response was complete",
                200,
            ),
            duration: add_durations(
                r,
                "read_duration_seconds",
                "Duration of remote read requests",
            ),
            series: add(r, "read_series", "Series returned by remote read"),
            samples: add(r, "read_samples", "Samples returned by remote read"),
            statements: add(r, "read_statements", "SQL statements sent to Timestream"),
            pages: add(r, "read_pages", "Result pages received from Timestream"),
            retries: add(r, "read_retries", "Retries of Query calls"),
            shared_queries: add(
                r,
                "read_shared_queries",
                "Queries that shared the result of an identical query in flight",
            ),
            scanned_bytes: add(
                r,
                "read_scanned_bytes",
                "Bytes scanned, as reported by Timestream",
            ),
            metered_bytes: add(
                r,
                "read_metered_bytes",
                "Bytes that AWS charges for, as reported by Timestream",
            ),
        }
    }

    pub(super) fn add(&self, outcome: Option<&ReadOutcome>, status: u16, duration: Duration) {
        self.requests.get_or_create(&Code { code: status }).inc();
        self.duration.observe(duration.as_secs_f64());
        let Some(outcome) = outcome else { return };
        self.series.inc_by(outcome.series);
        self.samples.inc_by(outcome.samples);
        self.shared_queries.inc_by(outcome.shared_queries);
        let counts = outcome.counts;
        self.statements.inc_by(counts.statements);
        self.pages.inc_by(counts.pages);
        self.retries.inc_by(counts.retries);
        self.scanned_bytes.inc_by(counts.bytes_scanned);
        self.metered_bytes.inc_by(counts.bytes_metered);
    }
}
