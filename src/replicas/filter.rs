//! The replicas of a request: which pairs of labels it has, and which of its series stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use hashbrown::HashMap;
use prom_wire::prompb::{self, label_matcher::Type};
use prom_wire::request::{Fate, LabelId, Request, Series};
use tokio::task::yield_now;

use super::outcome::Outcome;
use super::store::Store;
use super::tracker::{Tracker, Verdict, truncated};
use crate::compute::ComputePool;

/// The most bytes of the value of either label; DynamoDB's names have no more. A series with a longer one counts as
/// one without the labels.
pub const MAX_VALUE_BYTES: usize = 1_024;

/// A request of so many labels takes longer to look through than a thread that serves connections may be occupied.
const LONG_WORK: usize = 500_000;

/// Clusters of one request that are decided at a time.
const CONCURRENCY: usize = 16;

/// The labels of the cluster and of the replica of a series.
type Pair = (LabelId, LabelId);

/// The role of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It decides nothing.
    None,
    Cluster,
    Replica,
    /// It has one of the two names, and a value that decides nothing.
    Unusable,
}

/// The roles of all labels of a request, by their numbers.
struct Roles(Vec<Role>);

impl Roles {
    fn new(request: &Request<'_>, cluster_label: &str, replica_label: &str) -> Self {
        let role = |(name, value): (&str, &str)| {
            let role = match name {
                _ if name == cluster_label => Role::Cluster,
                _ if name == replica_label => Role::Replica,
                _ => return Role::None,
            };
            let is_usable = (1..=MAX_VALUE_BYTES).contains(&value.len());
            if is_usable { role } else { Role::Unusable }
        };
        Self(request.labels().map(|(_, label)| role(label)).collect())
    }

    /// Returns true if no series can have a pair.
    fn are_without_pairs(&self) -> bool {
        !(self.0.contains(&Role::Cluster) && self.0.contains(&Role::Replica))
    }

    /// Returns the pair of a series that has each of the two labels once. Others are stored as they are, or rejected
    /// as those of a sender without replicas would be.
    fn pair(&self, series: &Series<'_, '_>) -> Option<Pair> {
        if series.unreadable.is_some() {
            return None;
        }
        let (mut cluster, mut replica) = (None, None);
        for id in series.labels.ids() {
            let slot = match self.0[id.index()] {
                Role::None => continue,
                Role::Cluster => &mut cluster,
                Role::Replica => &mut replica,
                Role::Unusable => return None,
            };
            if slot.replace(id).is_some() {
                return None;
            }
        }
        cluster.zip(replica)
    }
}

impl<S: Store> Tracker<S> {
    /// Takes the series of replicas that are not elected out of a request, and the replica's label off those of elected
    /// ones.
    /// Long work runs in `compute`.
    pub async fn filter(&self, request: &mut Request<'_>, compute: &ComputePool) -> Outcome {
        let mut outcome = Outcome::default();
        let is_long = request.label_count() > LONG_WORK;
        let settings = self.settings();
        let look_through = || {
            let roles = Roles::new(request, &settings.cluster_label, &settings.replica_label);
            let verdicts = self.known_verdicts(request, &roles, &mut outcome);
            (roles, verdicts)
        };
        let (roles, mut verdicts) = compute.run_if(is_long, look_through).await;
        self.decide_others(request, &mut verdicts, &mut outcome)
            .await;
        compute
            .run_if(is_long, || apply(request, &roles, &verdicts, &mut outcome))
            .await;
        self.forget(&outcome.forgotten).await;
        outcome
    }

    /// Takes the matchers out of queries that name one replica. Prometheus adds its external labels to the queries of
    /// remote read, and what is stored is of whichever replica was elected.
    pub fn forget_replica(&self, queries: &mut [prompb::Query]) {
        let label = &self.settings().replica_label;
        for query in queries {
            let names_one = |it: &prompb::LabelMatcher| {
                it.r#type == i32::from(Type::Eq) && it.name == *label && !it.value.is_empty()
            };
            query.matchers.retain(|it| !names_one(it));
        }
    }

    /// Returns the pairs of a request, with the verdicts that need no call.
    fn known_verdicts(
        &self,
        request: &Request<'_>,
        roles: &Roles,
        outcome: &mut Outcome,
    ) -> HashMap<Pair, Option<Verdict>> {
        let mut verdicts = HashMap::new();
        if roles.are_without_pairs() {
            return verdicts;
        }
        // Most series have the pair of the one before.
        let mut last = None;
        for pair in request.iter().filter_map(|series| roles.pair(&series)) {
            if last == Some(pair) {
                continue;
            }
            last = Some(pair);
            verdicts.entry(pair).or_insert_with(|| {
                let (cluster, replica) = values(request, pair);
                self.known(cluster, replica, outcome)
            });
        }
        verdicts
    }

    /// Decides the pairs without a verdict, one after the other those of a cluster.
    async fn decide_others(
        &self,
        request: &Request<'_>,
        verdicts: &mut HashMap<Pair, Option<Verdict>>,
        outcome: &mut Outcome,
    ) {
        let mut open: HashMap<LabelId, Vec<Pair>> = HashMap::new();
        for (pair, verdict) in &*verdicts {
            if verdict.is_none() {
                open.entry(pair.0).or_default().push(*pair);
            }
        }
        let decide = |pairs: Vec<Pair>| async move {
            let mut outcome = Outcome::default();
            let mut decided = Vec::with_capacity(pairs.len());
            for pair in pairs {
                let (cluster, replica) = values(request, pair);
                decided.push((pair, self.decide(cluster, replica, &mut outcome).await));
                // There can be very many replicas.
                yield_now().await;
            }
            (decided, outcome)
        };
        let mut all = stream::iter(open.into_values().map(decide)).buffer_unordered(CONCURRENCY);
        while let Some((decided, of_cluster)) = all.next().await {
            verdicts.extend(decided.into_iter().map(|(pair, it)| (pair, Some(it))));
            outcome.merge(of_cluster);
        }
    }
}

/// Returns the names of the cluster and the replica of a pair.
fn values<'a>(request: &Request<'a>, pair: Pair) -> (&'a str, &'a str) {
    (request.label(pair.0).1, request.label(pair.1).1)
}

/// Applies the verdicts to the series of a request.
fn apply(
    request: &mut Request<'_>,
    roles: &Roles,
    verdicts: &HashMap<Pair, Option<Verdict>>,
    outcome: &mut Outcome,
) {
    if roles.are_without_pairs() {
        outcome.unlabelled = request.count();
        return;
    }
    let mut dropped: BTreeMap<usize, (LabelId, u64)> = BTreeMap::new();
    outcome.dropped = request.filter(|series| {
        let samples = series.range.count();
        let pair = roles.pair(&series);
        let verdict = pair.and_then(|pair| verdicts.get(&pair).copied().flatten());
        let (Some((cluster, replica)), Some(verdict)) = (pair, verdict) else {
            outcome.unlabelled += samples;
            return Fate::Stay;
        };
        match verdict {
            Verdict::Elected => Fate::StayWithout(replica),
            Verdict::Undecided(reason) => {
                *outcome.undecided.entry(reason).or_default() += samples;
                // Without the label the counters of two servers would be one series, which is reset at each sample.
                Fate::Stay
            }
            Verdict::Other => {
                let (_, count) = dropped.entry(cluster.index()).or_insert((cluster, 0));
                *count += samples;
                outcome.dropped_series += 1;
                Fate::Leave
            }
        }
    });
    for (cluster, samples) in dropped.into_values() {
        let cluster: Arc<str> = request.label(cluster).1.into();
        tracing::debug!(
            cluster = truncated(&cluster),
            samples,
            "Samples of a replica that is not elected were dropped."
        );
        outcome.of(&cluster).dropped += samples;
    }
}
