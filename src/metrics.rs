//! The connector's own metrics: what there is, and the one place where outcomes are added.
//!
//! `write`, `otlp` and `read` hold a request's numbers, `runs` those of connector definitions, `process` those of the process, `live` what the
//! start page shows, `text` the formats that a scraper may request, [`emf`] the one of CloudWatch. A label whose values are known
//! has all of them from the start, at zero, so that the first failure is an increase.

pub mod emf;
mod instruments;
mod live;
mod measurement;
mod otlp;
mod process;
mod read;
mod replicas;
mod runs;
mod text;
mod write;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

pub use live::{Billed, LiveCount, LiveRow, LiveView, NotStored};
pub use otlp::OtlpPoints;
pub use runs::{RunCount, RunResult};
pub use text::Format;

use crate::ingest::WriteOutcome;
use crate::query::ReadOutcome;
use crate::replicas::Outcome as ReplicasOutcome;
use emf::EmfRecord;
use instruments::Instruments;
use live::Live;
use measurement::Measurement;
use process::Process;
use replicas::ReplicaMetrics;
use runs::RunMetrics;

/// The version of the connector.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from; empty where that was not known.
pub const REVISION: &str = env!("SOURCE_REVISION");

/// The prefix of the names of all metrics except those of the process.
const PREFIX: &str = "timestream_connector";

/// Upper bounds of the duration buckets, in seconds, from a cached read to the longest deadline.
const DURATION_BUCKETS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0,
];

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    instruments: Instruments,
    replicas: ReplicaMetrics,
    runs: RunMetrics,
    in_flight: Gauge,
    live: Live,
    started: Instant,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new([])
    }
}

impl Metrics {
    /// Registers all metrics with zero values, those of runs for these types of definitions.
    pub fn new(types: impl IntoIterator<Item = &'static str>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let own = registry.sub_registry_with_prefix(PREFIX);
        let mut instruments = Instruments::default();
        write::register(&mut instruments, own);
        let replicas = ReplicaMetrics::register(&mut instruments, own);
        otlp::register(&mut instruments, own);
        read::READ.register(&mut instruments, own);
        read::QUERY.register(&mut instruments, own);
        read::register_cache(&mut instruments, own);
        let runs = RunMetrics::register(own, types);
        let in_flight = add(own, "requests_in_flight", "Requests in flight");
        instruments.counter(
            own,
            "rejected_credentials",
            "Requests rejected with 401 or 403 because of a missing or wrong credential",
        );
        own.register(
            "build",
            "Version of the connector, and the commit it was built from",
            Info::new([("version", VERSION), ("revision", REVISION)]),
        );
        Self {
            registry,
            instruments,
            replicas,
            runs,
            in_flight,
            live: Live::default(),
            started: Instant::now(),
        }
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Adds a request that was rejected with `status` for want of the right credential.
    ///
    /// Returns the added measurements as a record for CloudWatch.
    pub fn add_rejected_credential(&self, status: u16) -> EmfRecord {
        self.add(status, vec![Measurement::count("rejected_credentials", 1)])
    }

    /// Adds a write request; `outcome` is absent if it was rejected before any conversion, and `replicas` if senders
    /// have none that are tracked.
    ///
    /// Returns the added measurements as a record for CloudWatch.
    pub fn add_write(
        &self,
        outcome: Option<&WriteOutcome>,
        replicas: Option<&ReplicasOutcome>,
        status: u16,
        duration: Duration,
    ) -> EmfRecord {
        let mut all = write::measurements(outcome, status, duration);
        if let Some(replicas) = replicas {
            all.extend(replicas::measurements(replicas));
        }
        let record = self.add(status, all);
        if let Some(replicas) = replicas {
            self.replicas.set(replicas, &self.instruments);
        }
        record
    }

    /// Adds an OTLP request; `points` are absent if it was not translated, and `outcome` if nothing was written.
    ///
    /// Returns the added measurements as a record for CloudWatch.
    pub fn add_otlp(
        &self,
        points: Option<&OtlpPoints>,
        outcome: Option<&WriteOutcome>,
        status: u16,
        duration: Duration,
    ) -> EmfRecord {
        let measurements = otlp::measurements(points, outcome, status, duration);
        self.add(status, measurements)
    }

    /// Adds a read request; `outcome` is absent if Timestream was not queried.
    ///
    /// Returns the added measurements as a record for CloudWatch.
    pub fn add_read(
        &self,
        outcome: Option<&ReadOutcome>,
        status: u16,
        duration: Duration,
    ) -> EmfRecord {
        self.add(status, read::READ.measurements(outcome, status, duration))
    }

    /// Adds a request to the query API; `outcome` is absent if Timestream was not queried.
    ///
    /// Returns the added measurements as a record for CloudWatch.
    pub fn add_query(
        &self,
        outcome: Option<&ReadOutcome>,
        status: u16,
        duration: Duration,
    ) -> EmfRecord {
        let mut all = read::QUERY.measurements(outcome, status, duration);
        let cache = outcome.and_then(|outcome| outcome.cache.as_ref());
        all.extend(cache.into_iter().flat_map(read::cache_measurements));
        self.add(status, all)
    }

    /// Adds an attempt to run a connector definition.
    ///
    /// Returns the added measurements as a record for CloudWatch.
    pub fn add_run(&self, run: &RunCount) -> EmfRecord {
        self.runs.add(run);
        EmfRecord::new(None, runs::measurements(run))
    }

    /// Adds the measurements of a request to the registry and the start page.
    fn add(&self, status: u16, measurements: Vec<Measurement>) -> EmfRecord {
        self.instruments.add(&measurements);
        self.live.add(self.started.elapsed(), &measurements);
        EmfRecord::new(Some(status), measurements)
    }

    /// All metrics in a text format.
    pub fn encode(&self, format: Format) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        match format {
            Format::OpenMetrics => text,
            Format::Prometheus => text::openmetrics_to_prometheus(&text),
        }
    }

    /// Returns the counts and rates of the start page.
    pub fn live(&self) -> LiveView {
        let in_flight = self.in_flight.get();
        self.live.view(self.started.elapsed(), in_flight)
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Registers a metric under `name`; a full stop is added to `help`.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}
