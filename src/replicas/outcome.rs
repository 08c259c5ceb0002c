//! The outcome of a request of replicated senders.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use prom_wire::request::KindCounts;

use super::decision::Entry;

/// The outcome of the replicas of a request.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The samples that were dropped, of all clusters.
    pub dropped: KindCounts,
    /// The series that were dropped.
    pub dropped_series: u64,
    /// The outcome of each cluster.
    pub clusters: BTreeMap<Arc<str>, ClusterOutcome>,
    /// Samples without the two labels, which are stored.
    pub unlabelled: u64,
    /// Samples that are stored although it is not known which replica is elected, by the reason.
    pub undecided: BTreeMap<Undecided, u64>,
    /// Calls to the state.
    pub calls: u64,
    /// Those that failed.
    pub errors: BTreeMap<CallError, u64>,
    /// Clusters that were forgotten in favour of new ones.
    pub forgotten: Vec<Arc<str>>,
}

/// The outcome of one cluster of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterOutcome {
    /// Samples that were dropped.
    pub dropped: u64,
    /// Elections, the first one of a cluster included.
    pub elections: u64,
    /// The elected replica, and the time of its last request that is known.
    pub elected: Option<(String, Timestamp)>,
    /// The last time at which the process saw samples of another replica; before the first one, the time of the
    /// first request of the cluster.
    pub other_seen_at: Option<Timestamp>,
}

/// The reason why it is not known which replica is elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undecided {
    /// The state could not be read or written.
    StateError,
    /// There are more clusters than a process tracks.
    TooManyClusters,
}

/// The reason why a call to the state failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallError {
    /// The store responded with an error.
    Failed,
    /// It did not respond in time.
    Timeout,
    /// Another process changed the entry first; the call is made again.
    Conflict,
}

impl Undecided {
    /// All reasons.
    pub const ALL: [Self; 2] = [Self::StateError, Self::TooManyClusters];

    /// Returns the value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StateError => "state_error",
            Self::TooManyClusters => "too_many_clusters",
        }
    }
}

impl CallError {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Failed, Self::Timeout, Self::Conflict];

    /// Returns the value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
        }
    }
}

impl Outcome {
    /// Returns a copy of the outcome of a cluster.
    #[cfg(test)]
    pub(super) fn of_cluster(&self, cluster: &str) -> ClusterOutcome {
        self.clusters.get(cluster).cloned().unwrap_or_default()
    }

    /// Counts a call to the state that ended with `error`, if it failed.
    pub(super) fn add_call(&mut self, error: Option<CallError>) {
        self.calls += 1;
        if let Some(error) = error {
            *self.errors.entry(error).or_default() += 1;
        }
    }

    /// Adds the outcome of the decisions about one cluster.
    pub(super) fn merge(&mut self, other: Self) {
        for (cluster, new) in other.clusters {
            let of_cluster = self.of(&cluster);
            of_cluster.elections += new.elections;
            of_cluster.elected = new.elected.or(of_cluster.elected.take());
            of_cluster.other_seen_at = new.other_seen_at.or(of_cluster.other_seen_at);
        }
        self.calls += other.calls;
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        self.forgotten.extend(other.forgotten);
    }

    /// Returns the outcome of a cluster.
    pub(super) fn of(&mut self, cluster: &Arc<str>) -> &mut ClusterOutcome {
        self.clusters.entry(Arc::clone(cluster)).or_default()
    }
}

impl ClusterOutcome {
    /// Notes the entry that is known of the cluster.
    pub(super) fn set_elected(&mut self, entry: &Entry) {
        self.elected = Some((entry.replica.clone(), entry.received_at));
    }
}
