//! The metrics of replicated senders.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::add;
use super::instruments::{Cluster, Instruments};
use super::measurement::{Measurement, Value};
use crate::replicas::{CallError, Outcome, Undecided};

/// The gauges of the clusters of a process. The tracker bounds their number.
#[derive(Debug)]
pub(super) struct ReplicaMetrics {
    elected: Family<Elected, Gauge>,
    elected_at: Family<Cluster, Seconds>,
    other_seen_at: Family<Cluster, Seconds>,
    /// The clusters whose elected replica is listed.
    listed: Mutex<std::collections::HashMap<String, String>>,
}

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Elected {
    cluster: String,
    replica: String,
}

impl ReplicaMetrics {
    /// Registers the metrics.
    pub(super) fn register(all: &mut Instruments, registry: &mut Registry) -> Self {
        let r = registry;
        all.by_cluster(
            r,
            "ha_dropped_samples",
            "Samples dropped because another replica of the cluster is elected; they also count as ignored",
        );
        all.by_cluster(
            r,
            "ha_elections",
            "Elections of a replica by this process, the first one of a cluster included",
        );
        all.counter(
            r,
            "ha_unlabelled_samples",
            "Samples without the labels of cluster and replica, which are stored",
        );
        all.by_reason(
            r,
            "ha_undecided_samples",
            "Samples stored although it was not known which replica is elected",
            Undecided::ALL.map(Undecided::as_str),
        );
        all.counter(r, "ha_state_calls", "Calls to the state of replicas");
        all.by_reason(
            r,
            "ha_state_errors",
            "Failed calls to the state of replicas; conflict: another process was faster",
            CallError::ALL.map(CallError::as_str),
        );
        Self {
            elected: add(
                r,
                "ha_elected_replica",
                "The elected replica of a cluster, as this process knows it; always 1",
            ),
            elected_at: add(
                r,
                "ha_elected_timestamp_seconds",
                "Time of the last stored update by the elected replica, as this process knows it",
            ),
            other_seen_at: add(
                r,
                "ha_other_replica_timestamp_seconds",
                "Time at which this process last received samples of a replica that is not elected; at first the time \
                 of the first samples of the cluster",
            ),
            listed: Mutex::default(),
        }
    }

    /// Sets the gauges of the clusters of a request.
    pub(super) fn set(&self, outcome: &Outcome, instruments: &Instruments) {
        for (name, of_cluster) in &outcome.clusters {
            let cluster = Cluster {
                cluster: name.to_string(),
            };
            if let Some(seen_at) = of_cluster.other_seen_at {
                self.other_seen_at
                    .get_or_create(&cluster)
                    .set(seconds(seen_at));
            }
            if let Some((replica, received_at)) = &of_cluster.elected {
                self.elected_at
                    .get_or_create(&cluster)
                    .set(seconds(*received_at));
                self.list(&cluster.cluster, Some(replica));
            }
        }
        for name in &outcome.forgotten {
            let cluster = Cluster {
                cluster: name.to_string(),
            };
            instruments.forget(&cluster);
            self.elected_at.remove(&cluster);
            self.other_seen_at.remove(&cluster);
            self.list(&cluster.cluster, None);
        }
    }

    /// Lists `replica` as the elected one of a cluster, and no other.
    fn list(&self, cluster: &str, replica: Option<&str>) {
        let mut listed = self.listed.lock();
        if listed.get(cluster).map(String::as_str) == replica {
            return;
        }
        let former = match replica {
            Some(replica) => listed.insert(cluster.to_owned(), replica.to_owned()),
            None => listed.remove(cluster),
        };
        let labels = |replica: &str| Elected {
            cluster: cluster.to_owned(),
            replica: replica.to_owned(),
        };
        if let Some(former) = former {
            self.elected.remove(&labels(&former));
        }
        if let Some(replica) = replica {
            self.elected.get_or_create(&labels(replica)).set(1);
        }
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1_000.0
}

/// Returns the measurements of a request.
pub(super) fn measurements(outcome: &Outcome) -> [Measurement; 6] {
    let by_cluster = |name, count: fn(&crate::replicas::ClusterOutcome) -> u64| {
        let counts = outcome.clusters.iter();
        let counts = counts.map(|(cluster, it)| (cluster.clone(), count(it)));
        Measurement::new(name, Value::CountByCluster(counts.collect()))
    };
    let undecided = outcome.undecided.iter().map(|(it, n)| (it.as_str(), *n));
    let errors = outcome.errors.iter().map(|(it, n)| (it.as_str(), *n));
    [
        by_cluster("ha_dropped_samples", |it| it.dropped),
        by_cluster("ha_elections", |it| it.elections),
        Measurement::count("ha_unlabelled_samples", outcome.unlabelled),
        Measurement::count_by("ha_undecided_samples", undecided),
        Measurement::count("ha_state_calls", outcome.calls),
        Measurement::count_by("ha_state_errors", errors),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Format, Metrics};
    use super::*;
    use crate::replicas::ClusterOutcome;

    fn outcome(cluster: &str, elected: &str, dropped: u64) -> Outcome {
        let of_cluster = ClusterOutcome {
            dropped,
            elections: 1,
            elected: Some((elected.to_owned(), Timestamp::from_second(100).unwrap())),
            other_seen_at: Some(Timestamp::from_second(90).unwrap()),
        };
        Outcome {
            clusters: [(cluster.into(), of_cluster)].into(),
            unlabelled: 2,
            undecided: [(Undecided::StateError, 4)].into(),
            calls: 3,
            errors: [(CallError::Timeout, 1)].into(),
            ..Outcome::default()
        }
    }

    fn lines(metrics: &Metrics) -> Vec<String> {
        let text = metrics.encode(Format::Prometheus);
        let of_replicas = text
            .lines()
            .filter(|it| it.starts_with("timestream_connector_ha_"));
        let plain = of_replicas.map(|it| it["timestream_connector_".len()..].to_owned());
        plain.filter(|it| !it.ends_with(" 0")).collect()
    }

    #[test]
    fn one_replica_of_a_cluster_is_listed_until_the_cluster_is_forgotten() {
        let metrics = Metrics::default();
        assert_eq!(lines(&metrics), Vec::<String>::new());
        let add = |outcome: &Outcome| metrics.add_write(None, Some(outcome), 202, Duration::ZERO);
        add(&outcome("c", "a", 5));
        let line = add(&outcome("c", "b", 6)).to_line("f", "id", 0);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        for (name, value) in [
            ("ha_dropped_samples", 6),
            ("ha_elections", 1),
            ("ha_unlabelled_samples", 2),
            ("ha_undecided_samples_state_error", 4),
            ("ha_state_calls", 3),
            ("ha_state_errors_timeout", 1),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        let mut all = lines(&metrics);
        all.sort_unstable();
        let expected = [
            "ha_dropped_samples_total{cluster=\"c\"} 11",
            "ha_elected_replica{cluster=\"c\",replica=\"b\"} 1",
            "ha_elected_timestamp_seconds{cluster=\"c\"} 100.0",
            "ha_elections_total{cluster=\"c\"} 2",
            "ha_other_replica_timestamp_seconds{cluster=\"c\"} 90.0",
            "ha_state_calls_total 6",
            "ha_state_errors_total{reason=\"timeout\"} 2",
            "ha_undecided_samples_total{reason=\"state_error\"} 8",
            "ha_unlabelled_samples_total 4",
        ];
        assert_eq!(all, expected);
        add(&Outcome {
            forgotten: vec!["c".into()],
            ..Outcome::default()
        });
        assert!(lines(&metrics).iter().all(|it| !it.contains("cluster=")));
    }
}
