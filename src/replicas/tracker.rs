//! The elected replicas that a process knows, and the store that it shares with others.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::decision::{Decision, Entry, Moment, Seen, Timing, decide};
use super::outcome::{CallError, ClusterOutcome, Outcome, Undecided};
use super::settings::Settings;
use super::store::{Store, Stored};
use crate::log_limiter::LogLimiter;
use crate::state::{State, StateError};

/// The time limit of one call to the store: requests wait for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// The attempts to write an entry that other processes change at the same time.
const MAX_ATTEMPTS: usize = 3;
/// The time after a failed call during which its cluster makes none, and no cluster does if there was no response.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// The time between two log lines about failures.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// The time after which a cluster that sends nothing makes room for another one.
const IDLE: Duration = Duration::from_secs(3_600);
/// The time between two searches for such clusters.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The verdict about the samples of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The replica is elected.
    Elected,
    /// Another one is.
    Other,
    /// It is not known which one is; the samples are stored with the replica's label.
    Undecided(Undecided),
}

/// The clock of the system, as an argument.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns a clock that calls `now` for the time.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Decides about the samples of replicas; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracker<S = State>(Arc<Shared<S>>);

#[derive(Debug)]
struct Shared<S> {
    settings: Settings,
    timing: Timing,
    store: S,
    clock: Clock,
    clusters: Mutex<Clusters>,
    /// The time until which no cluster calls the store, because it did not respond.
    paused_until: Mutex<Option<Instant>>,
    /// Limits the log lines about failures of the state.
    failures: LogLimiter,
    /// Limits those about entries with a time in the future.
    future_times: LogLimiter,
    /// Limits the log lines about clusters beyond the limit.
    rejected_clusters: LogLimiter,
}

/// All clusters by name.
#[derive(Debug, Default)]
struct Clusters {
    by_name: HashMap<Arc<str>, Arc<Cluster>>,
    /// The time of the last search for idle ones.
    swept_at: Option<Instant>,
}

impl Clusters {
    /// Removes clusters that send nothing, at most once in [`SWEEP_INTERVAL`]; returns their names.
    fn sweep(&mut self, now: Moment) -> Vec<Arc<str>> {
        let mut removed = Vec::new();
        let is_early = |at: Instant| now.monotonic.saturating_duration_since(at) < SWEEP_INTERVAL;
        if self.swept_at.is_some_and(is_early) {
            return removed;
        }
        self.swept_at = Some(now.monotonic);
        self.by_name.retain(|name, cluster| {
            let is_used = now.since(cluster.known.lock().used_at) < IDLE;
            if !is_used {
                removed.push(Arc::clone(name));
            }
            is_used
        });
        removed
    }
}

/// One cluster.
#[derive(Debug)]
struct Cluster {
    known: Mutex<Known>,
    /// Held by the one request that calls the store for the cluster.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    seen: Option<Seen>,
    /// The time until which no call is made, because the last one failed.
    paused_until: Option<Instant>,
    used_at: Moment,
    other_seen_at: Timestamp,
}

impl Known {
    /// Returns the verdict about `replica` that needs no call, if there is one. `store_paused_until` is the time until
    /// which no cluster calls the store.
    fn verdict(
        &self,
        replica: &str,
        now: Moment,
        timing: Timing,
        store_paused_until: Option<Instant>,
    ) -> Option<Verdict> {
        if let Some(seen) = &self.seen {
            let entry = Some((&seen.entry, seen.age(now)));
            match decide(entry, replica, now.wall, timing) {
                Decision::Keep => return Some(Verdict::Elected),
                Decision::Drop => return Some(Verdict::Other),
                Decision::Claim(_) => {}
            }
        }
        let paused_until = self.paused_until.max(store_paused_until);
        let is_paused = paused_until.is_some_and(|until| now.monotonic < until);
        is_paused.then(|| self.without_store(replica, now, timing))
    }

    /// Returns the verdict while the store cannot be used: what is known holds until the failover would be due.
    fn without_store(&self, replica: &str, now: Moment, timing: Timing) -> Verdict {
        match &self.seen {
            Some(seen) if seen.age(now) < timing.failover => match seen.entry.replica == replica {
                true => Verdict::Elected,
                false => Verdict::Other,
            },
            _ => Verdict::Undecided(Undecided::StateError),
        }
    }
}

impl<S: Store> Tracker<S> {
    /// Returns a tracker of no clusters. `random`, from 0 to 1, tells the process from others.
    pub fn new(settings: Settings, store: S, random: f64, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            timing: settings.timing(random),
            settings,
            store,
            clock,
            clusters: Mutex::default(),
            paused_until: Mutex::default(),
            failures: LogLimiter::new(LOG_INTERVAL),
            future_times: LogLimiter::new(LOG_INTERVAL),
            rejected_clusters: LogLimiter::new(LOG_INTERVAL),
        }))
    }

    /// Returns the settings.
    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Returns the verdict about a replica if the process knows it without a call to the store.
    pub(super) fn known(
        &self,
        cluster: &str,
        replica: &str,
        outcome: &mut Outcome,
    ) -> Option<Verdict> {
        let now = self.now();
        let Some((name, cluster)) = self.cluster(cluster, now, outcome) else {
            return Some(Verdict::Undecided(Undecided::TooManyClusters));
        };
        let store_paused_until = *self.0.paused_until.lock();
        let mut known = cluster.known.lock();
        let verdict = known.verdict(replica, now, self.0.timing, store_paused_until)?;
        known.note(verdict, now, outcome.of(&name));
        Some(verdict)
    }

    /// Returns the verdict about a replica, by the store if need be.
    pub(super) async fn decide(
        &self,
        cluster: &str,
        replica: &str,
        outcome: &mut Outcome,
    ) -> Verdict {
        let Some((name, cluster)) = self.cluster(cluster, self.now(), outcome) else {
            return Verdict::Undecided(Undecided::TooManyClusters);
        };
        // One request calls, and those that wait find what it has seen.
        let _turn = cluster.turn.lock().await;
        let now = self.now();
        let store_paused_until = *self.0.paused_until.lock();
        let known = cluster
            .known
            .lock()
            .verdict(replica, now, self.0.timing, store_paused_until);
        let verdict = match known {
            Some(verdict) => verdict,
            None => self.consult(&name, &cluster, replica, outcome).await,
        };
        let now = self.now();
        cluster.known.lock().note(verdict, now, outcome.of(&name));
        verdict
    }

    /// Reads the entry of a cluster, and replaces it if it is the turn of `replica`.
    async fn consult(
        &self,
        name: &Arc<str>,
        cluster: &Cluster,
        replica: &str,
        outcome: &mut Outcome,
    ) -> Verdict {
        for _ in 0..MAX_ATTEMPTS {
            let Some((stored, seen)) = self.read(name, cluster, outcome).await else {
                return self.give_up(cluster, replica);
            };
            let now = self.now();
            let entry = seen.as_ref().map(|seen| (&seen.entry, seen.age(now)));
            let claim = match decide(entry, replica, now.wall, self.0.timing) {
                Decision::Keep => return Verdict::Elected,
                Decision::Drop => return Verdict::Other,
                Decision::Claim(claim) => claim,
            };
            let expected = stored.map(|it| it.version);
            let put = self.0.store.put(name, &claim, expected);
            match self.call(put, outcome).await {
                Some(true) => {
                    let written = Seen::written(claim, now, self.now());
                    if seen.as_ref().is_none_or(|it| it.entry.replica != replica) {
                        log_election(name, &written.entry, seen.as_ref(), now);
                        outcome.of(name).elections += 1;
                    }
                    let mut known = cluster.known.lock();
                    known.seen = Some(written);
                    known.paused_until = None;
                    return Verdict::Elected;
                }
                Some(false) => {
                    *outcome.errors.entry(CallError::Conflict).or_default() += 1;
                }
                None => return self.give_up(cluster, replica),
            }
        }
        self.give_up(cluster, replica)
    }

    /// Returns the text of the store, and the entry in it if it is one. `None` if the store cannot be read.
    async fn read(
        &self,
        name: &Arc<str>,
        cluster: &Cluster,
        outcome: &mut Outcome,
    ) -> Option<(Option<Stored>, Option<Seen>)> {
        let begin = self.now();
        let stored = self.call(self.0.store.get(name), outcome).await?;
        let end = self.now();
        let mut known = cluster.known.lock();
        known.paused_until = None;
        // If there is none any more, what was known holds until another one can be written.
        let Some(entry) = stored.as_ref().and_then(|it| it.entry.clone()) else {
            return Some((stored, None));
        };
        let before = known.seen.take();
        let is_new = before.as_ref().is_none_or(|it| it.entry != entry);
        let seen = Seen::read(before, entry, begin, end);
        known.seen = Some(seen.clone());
        drop(known);
        if is_new
            && seen.ahead(end) > self.0.settings.update
            && self
                .0
                .future_times
                .admit(end.monotonic.into_std())
                .is_some()
        {
            tracing::warn!(
                cluster = truncated(name),
                replica = truncated(&seen.entry.replica),
                ahead_seconds = seen.ahead(end).as_secs(),
                "The elected replica of a cluster was stored with a time in the future; the clocks of the processes \
                 differ."
            );
        }
        Some((stored, Some(seen)))
    }

    /// Calls the store within the time limit; returns `None` if that fails.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StateError>> + Send,
        outcome: &mut Outcome,
    ) -> Option<T> {
        let (error, reason) = match timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(done)) => {
                outcome.add_call(None);
                return Some(done);
            }
            Ok(Err(error)) => (error.to_string(), CallError::Failed),
            Err(_) => (
                format!("no response within {} s", CALL_TIMEOUT.as_secs()),
                CallError::Timeout,
            ),
        };
        outcome.add_call(Some(reason));
        if reason == CallError::Timeout {
            // Each of many clusters would wait as long for its own call.
            *self.0.paused_until.lock() = Some(Instant::now() + PAUSE_AFTER_FAILURE);
        }
        if self.0.failures.admit(Instant::now().into_std()).is_some() {
            tracing::warn!(
                error,
                "The state of replicas cannot be used. The last decision of a cluster holds until ha_failover; then \
                 the samples of all its replicas are stored, with the replica's label."
            );
        }
        None
    }

    /// Returns the verdict after a failure, and lets the store rest.
    fn give_up(&self, cluster: &Cluster, replica: &str) -> Verdict {
        let now = self.now();
        let mut known = cluster.known.lock();
        known.paused_until = Some(now.monotonic + PAUSE_AFTER_FAILURE);
        known.without_store(replica, now, self.0.timing)
    }

    /// Returns a cluster with its name; `None` if there are too many others.
    fn cluster(
        &self,
        name: &str,
        now: Moment,
        outcome: &mut Outcome,
    ) -> Option<(Arc<str>, Arc<Cluster>)> {
        let mut clusters = self.0.clusters.lock();
        if let Some((name, cluster)) = clusters.by_name.get_key_value(name) {
            cluster.known.lock().used_at = now;
            return Some((Arc::clone(name), Arc::clone(cluster)));
        }
        let max = self.0.settings.max_clusters;
        if clusters.by_name.len() >= max {
            outcome.forgotten.extend(clusters.sweep(now));
        }
        if clusters.by_name.len() >= max {
            drop(clusters);
            let now = now.monotonic.into_std();
            if self.0.rejected_clusters.admit(now).is_some() {
                tracing::warn!(
                    cluster = truncated(name),
                    max,
                    "There are more clusters than ha_max_clusters; the samples of all replicas of others are stored, with \
                     the replica's label; raise ha_max_clusters."
                );
            }
            return None;
        }
        let name: Arc<str> = name.into();
        let cluster = Arc::new(Cluster {
            known: Mutex::new(Known {
                seen: None,
                paused_until: None,
                used_at: now,
                other_seen_at: now.wall,
            }),
            turn: tokio::sync::Mutex::default(),
        });
        let inserted = Arc::clone(&cluster);
        clusters.by_name.insert(Arc::clone(&name), inserted);
        Some((name, cluster))
    }

    /// Deletes the entries of forgotten clusters where nothing else does.
    pub(super) async fn forget(&self, clusters: &[Arc<str>]) {
        for name in clusters {
            self.0.store.forget(name).await;
        }
    }

    fn now(&self) -> Moment {
        Moment {
            wall: (self.0.clock.0)(),
            monotonic: Instant::now(),
        }
    }
}

impl Known {
    /// Notes a verdict for the metrics.
    fn note(&mut self, verdict: Verdict, now: Moment, outcome: &mut ClusterOutcome) {
        if verdict == Verdict::Other {
            self.other_seen_at = now.wall;
        }
        outcome.other_seen_at = Some(self.other_seen_at);
        if let Some(seen) = &self.seen {
            outcome.set_elected(&seen.entry);
        }
    }
}

fn log_election(cluster: &str, elected: &Entry, before: Option<&Seen>, now: Moment) {
    tracing::info!(
        cluster = truncated(cluster),
        elected = truncated(&elected.replica),
        former = before.map(|it| truncated(&it.entry.replica)),
        silent_seconds = before.map(|it| it.age(now).as_secs()),
        changes = elected.changes,
        "A replica was elected: the samples of the others of its cluster are dropped."
    );
}

/// Returns a label value for the log.
pub(super) fn truncated(value: &str) -> String {
    prom_model::visible::truncate(value, 100).into_owned()
}
