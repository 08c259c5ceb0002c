//! The metrics of the registry that measurements are added to, by name.

use std::collections::HashMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::measurement::{Measurement, Value};
use super::{DURATION_BUCKETS, add};

/// Metrics by the names of their measurements.
#[derive(Debug, Default)]
pub(super) struct Instruments(HashMap<&'static str, Instrument>);

#[derive(Debug)]
enum Instrument {
    Counter(Counter),
    ByReason(Family<Reason, Counter>),
    ByCluster(Family<Cluster, Counter>),
    ByCode(Family<Code, Counter>),
    Seconds(Histogram),
    Gauge(Gauge),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

/// The cluster of replicated senders.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Cluster {
    pub(super) cluster: String,
}

impl Instruments {
    /// Registers a counter.
    pub(super) fn counter(&mut self, registry: &mut Registry, name: &'static str, help: &str) {
        let counter = add(registry, name, help);
        self.0.insert(name, Instrument::Counter(counter));
    }

    /// Registers a counter with the label `reason`, with the known reasons at zero.
    pub(super) fn by_reason(
        &mut self,
        registry: &mut Registry,
        name: &'static str,
        help: &str,
        known: impl IntoIterator<Item = &'static str>,
    ) {
        let family: Family<Reason, Counter> = add(registry, name, help);
        for reason in known {
            drop(family.get_or_create(&Reason { reason }));
        }
        self.0.insert(name, Instrument::ByReason(family));
    }

    /// Registers a counter with the label `cluster`, of no clusters.
    pub(super) fn by_cluster(&mut self, registry: &mut Registry, name: &'static str, help: &str) {
        let family = add(registry, name, help);
        self.0.insert(name, Instrument::ByCluster(family));
    }

    /// Removes a cluster.
    pub(super) fn forget(&self, cluster: &Cluster) {
        for instrument in self.0.values() {
            if let Instrument::ByCluster(family) = instrument {
                family.remove(cluster);
            }
        }
    }

    /// Registers a counter with the label `code`, with the status of a success at zero.
    pub(super) fn by_code(
        &mut self,
        registry: &mut Registry,
        name: &'static str,
        help: &str,
        success: u16,
    ) {
        let family: Family<Code, Counter> = add(registry, name, help);
        drop(family.get_or_create(&Code { code: success }));
        self.0.insert(name, Instrument::ByCode(family));
    }

    /// Registers a histogram of durations.
    pub(super) fn seconds(&mut self, registry: &mut Registry, name: &'static str, help: &str) {
        let durations = Histogram::new(DURATION_BUCKETS);
        registry.register(name, help, durations.clone());
        self.0.insert(name, Instrument::Seconds(durations));
    }

    /// Registers a gauge.
    pub(super) fn gauge(&mut self, registry: &mut Registry, name: &'static str, help: &str) {
        let gauge = add(registry, name, help);
        self.0.insert(name, Instrument::Gauge(gauge));
    }

    /// Adds measurements, all of which are registered.
    pub(super) fn add(&self, measurements: &[Measurement]) {
        for Measurement { name, value } in measurements {
            match (&self.0[name], value) {
                (Instrument::Counter(counter), Value::Count(n) | Value::Bytes(n)) => {
                    counter.inc_by(*n);
                }
                (Instrument::ByReason(family), Value::CountBy(counts)) => {
                    for &(reason, n) in counts {
                        family.get_or_create(&Reason { reason }).inc_by(n);
                    }
                }
                (Instrument::ByCluster(family), Value::CountByCluster(counts)) => {
                    for (cluster, n) in counts {
                        let cluster = cluster.to_string();
                        family.get_or_create(&Cluster { cluster }).inc_by(*n);
                    }
                }
                (Instrument::ByCode(family), Value::Status(code)) => {
                    family.get_or_create(&Code { code: *code }).inc();
                }
                (Instrument::Seconds(durations), Value::Seconds(seconds)) => {
                    durations.observe(*seconds);
                }
                (Instrument::Gauge(gauge), Value::Current(n) | Value::CurrentBytes(n)) => {
                    gauge.set(i64::try_from(*n).unwrap_or(i64::MAX));
                }
                (instrument, value) => unreachable!("{name}: {value:?} in {instrument:?}"),
            }
        }
    }
}
