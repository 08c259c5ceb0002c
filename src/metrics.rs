//! The connector's own metrics: their names, and the one place where outcomes are added to them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::connector::{ReadOutcome, WriteOutcome};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the duration buckets, in seconds, from a cached read to the longest deadline.
const DURATION_BUCKETS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0,
];

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    received_samples: Counter,
    written_samples: Counter,
    ignored_samples: Family<Reason, Counter>,
    failed_samples: Family<Reason, Counter>,
    write_requests: Family<Code, Counter>,
    write_duration: Histogram,
    write_calls: Counter,
    write_retries: Counter,
    read_requests: Family<Code, Counter>,
    read_duration: Histogram,
    read_samples: Counter,
    read_statements: Counter,
    read_retries: Counter,
    in_flight: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers all metrics with zero values.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("timestream_connector");
        let histogram = || Histogram::new(DURATION_BUCKETS);
        let mut metrics = Self {
            registry: Registry::default(),
            received_samples: Counter::default(),
            written_samples: Counter::default(),
            ignored_samples: Family::default(),
            failed_samples: Family::default(),
            write_requests: Family::default(),
            write_duration: histogram(),
            write_calls: Counter::default(),
            write_retries: Counter::default(),
            read_requests: Family::default(),
            read_duration: histogram(),
            read_samples: Counter::default(),
            read_statements: Counter::default(),
            read_retries: Counter::default(),
            in_flight: Gauge::default(),
        };
        let r = &mut registry;
        r.register(
            "received_samples",
            "Samples received from Prometheus",
            metrics.received_samples.clone(),
        );
        r.register(
            "written_samples",
            "Samples stored in Timestream",
            metrics.written_samples.clone(),
        );
        r.register(
            "ignored_samples",
            "Samples left out because Timestream cannot store them",
            metrics.ignored_samples.clone(),
        );
        r.register(
            "failed_samples",
            "Samples neither stored nor left out, by the error that kept them out",
            metrics.failed_samples.clone(),
        );
        r.register(
            "write_requests",
            "Remote write requests, by the status of their answer",
            metrics.write_requests.clone(),
        );
        r.register(
            "write_duration_seconds",
            "Duration of remote write requests",
            metrics.write_duration.clone(),
        );
        r.register(
            "write_calls",
            "WriteRecords calls, without retries",
            metrics.write_calls.clone(),
        );
        r.register(
            "write_retries",
            "WriteRecords calls made again",
            metrics.write_retries.clone(),
        );
        r.register(
            "read_requests",
            "Remote read requests, by the status of their answer",
            metrics.read_requests.clone(),
        );
        r.register(
            "read_duration_seconds",
            "Duration of remote read requests",
            metrics.read_duration.clone(),
        );
        r.register(
            "read_samples",
            "Samples returned by remote read",
            metrics.read_samples.clone(),
        );
        r.register(
            "read_statements",
            "SQL statements sent to Timestream",
            metrics.read_statements.clone(),
        );
        r.register(
            "read_retries",
            "Query calls made again",
            metrics.read_retries.clone(),
        );
        r.register(
            "requests_in_flight",
            "Requests being answered",
            metrics.in_flight.clone(),
        );
        r.register(
            "build",
            "Version of the connector",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        metrics.registry = registry;
        metrics
    }

    /// Counts a request as being answered until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Adds a write request; `outcome` is absent if it was refused before any conversion.
    pub fn add_write(&self, outcome: Option<&WriteOutcome>, status: u16, duration: Duration) {
        self.write_requests
            .get_or_create(&Code { code: status })
            .inc();
        self.write_duration.observe(duration.as_secs_f64());
        let Some(outcome) = outcome else { return };
        self.received_samples.inc_by(outcome.received);
        self.written_samples.inc_by(outcome.stored);
        self.write_calls.inc_by(outcome.calls);
        self.write_retries.inc_by(outcome.retries);
        for (reason, samples) in &outcome.ignored {
            self.ignored_samples
                .get_or_create(&Reason {
                    reason: reason.as_str(),
                })
                .inc_by(*samples);
        }
        for (fault, samples) in &outcome.faults {
            self.failed_samples
                .get_or_create(&Reason {
                    reason: fault.name(),
                })
                .inc_by(*samples);
        }
        for failure in &outcome.failures {
            let reason = Reason {
                reason: failure.kind.as_str(),
            };
            self.failed_samples
                .get_or_create(&reason)
                .inc_by(failure.samples);
        }
    }

    /// Adds a read request; `outcome` is absent if it failed.
    pub fn add_read(&self, outcome: Option<&ReadOutcome>, status: u16, duration: Duration) {
        self.read_requests
            .get_or_create(&Code { code: status })
            .inc();
        self.read_duration.observe(duration.as_secs_f64());
        let Some(outcome) = outcome else { return };
        self.read_samples.inc_by(outcome.samples());
        self.read_statements.inc_by(outcome.statements);
        self.read_retries.inc_by(outcome.retries);
    }

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
