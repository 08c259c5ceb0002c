//! The settings of replicated senders.

use std::time::Duration;

use super::decision::Timing;

/// The least time between the update of an entry and the failover: the jitter of a process, and a second in which a
/// request is decided.
pub const MIN_MARGIN: Duration = Duration::from_secs(6);
/// The least age at which an entry is updated.
pub const MIN_UPDATE: Duration = Duration::from_secs(1);
/// The most. The alerts take an entry of two minutes for that of a replica that is gone.
pub const MAX_UPDATE: Duration = Duration::from_secs(60);
/// The most by which a process updates entries earlier or later than others.
const MAX_JITTER: Duration = Duration::from_secs(5);

/// The settings of a [`Tracker`](super::Tracker).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The label whose value is the same at all replicas of a cluster.
    pub cluster_label: String,
    /// The label that tells replicas apart; it is not stored.
    pub replica_label: String,
    /// The age at which the entry of the elected replica is written again.
    pub update: Duration,
    /// The age at which the entry belongs to a replica that is gone.
    pub failover: Duration,
    /// The most clusters of a process.
    pub max_clusters: usize,
}

impl Settings {
    /// Returns the times of one process, for a `random` number from 0 to 1: processes differ, so that they do not
    /// update an entry at the same time.
    pub fn timing(&self, random: f64) -> Timing {
        let jitter = MAX_JITTER.min(self.update / 3);
        Timing {
            refresh: self.update - jitter + (2 * jitter).mul_f64(random.clamp(0.0, 1.0)),
            failover: self.failover,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_update_at_different_times() {
        let settings = |update| Settings {
            cluster_label: "cluster".to_owned(),
            replica_label: "__replica__".to_owned(),
            update: Duration::from_secs(update),
            failover: Duration::from_secs(update) + MIN_MARGIN,
            max_clusters: 100,
        };
        for (update, random, refresh) in [
            (15, 0.0, 10_000),
            (15, 0.5, 15_000),
            (15, 1.0, 20_000),
            (3, 0.0, 2_000),
            (3, 1.0, 4_000),
            (60, 1.0, 65_000),
            (60, 7.0, 65_000),
        ] {
            let timing = settings(update).timing(random);
            assert_eq!(timing.refresh, Duration::from_millis(refresh));
            assert!(timing.refresh + Duration::from_secs(1) <= timing.failover);
        }
    }
}
