//! Processes that share a store, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use prom_model::Sample;
use prom_wire::prompb::{LabelMatcher, Query, label_matcher::Type};
use prom_wire::request::Request;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::decision::Entry;
use super::outcome::{CallError, Outcome, Undecided};
use super::settings::Settings;
use super::store::{Store, Stored};
use super::tracker::{Clock, Tracker, Verdict};
use crate::compute::ComputePool;
use crate::state::{Memory, State, StateError};

/// A store in memory with faults.
#[derive(Clone, Debug)]
struct Shared {
    state: State,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Debug, Default)]
struct Faults {
    is_down: bool,
    /// It can be read alone.
    refuses_puts: bool,
    /// Puts that find another version.
    conflicts: usize,
    /// The durations of calls, in turn.
    delays: Vec<u64>,
    calls: usize,
    /// The time and the replica of each put.
    elected: Vec<(Instant, String)>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: State::Memory(Memory::default()),
            faults: Arc::default(),
        }
    }
}

impl Shared {
    /// Takes the time of half a call; there is one half before the state is used, and one after.
    async fn half(&self) -> Result<(), StateError> {
        let delay = {
            let mut faults = self.faults.lock();
            faults.calls += 1;
            let turn = faults.calls % faults.delays.len().max(1);
            faults.delays.get(turn).copied().unwrap_or_default()
        };
        sleep(Duration::from_millis(delay)).await;
        match self.faults.lock().is_down {
            true => Err(StateError("down".to_owned())),
            false => Ok(()),
        }
    }

    /// Returns the number of calls.
    fn calls(&self) -> usize {
        self.faults.lock().calls / 2
    }
}

impl Store for Shared {
    async fn get(&self, cluster: &str) -> Result<Option<Stored>, StateError> {
        self.half().await?;
        let stored = Store::get(&self.state, cluster).await?;
        self.half().await?;
        Ok(stored)
    }

    async fn put(
        &self,
        cluster: &str,
        entry: &Entry,
        expected: Option<String>,
    ) -> Result<bool, StateError> {
        self.half().await?;
        if self.faults.lock().refuses_puts {
            return Err(StateError("full".to_owned()));
        }
        let is_lost = {
            let mut faults = self.faults.lock();
            let is_lost = faults.conflicts > 0;
            faults.conflicts -= usize::from(is_lost);
            is_lost
        };
        let is_put = !is_lost && Store::put(&self.state, cluster, entry, expected).await?;
        if is_put {
            let put = (Instant::now(), entry.replica.clone());
            self.faults.lock().elected.push(put);
        }
        self.half().await?;
        Ok(is_put)
    }

    async fn forget(&self, cluster: &str) {
        self.state.forget(cluster).await;
    }
}

fn settings() -> Settings {
    Settings {
        cluster_label: "cluster".to_owned(),
        replica_label: "__replica__".to_owned(),
        update: Duration::from_secs(15),
        failover: Duration::from_secs(30),
        max_clusters: 3,
    }
}

/// Returns a process whose clock is ahead by so many seconds.
fn process(store: &Shared, random: f64, ahead: i64) -> Tracker<Shared> {
    let start = Instant::now();
    let clock = Clock::new(move || {
        let elapsed = SignedDuration::try_from(start.elapsed()).unwrap();
        Timestamp::from_second(1_700_000_000 + ahead).unwrap() + elapsed
    });
    Tracker::new(settings(), store.clone(), random, clock)
}

/// Returns the verdict about samples of a replica, as a request would.
async fn send(process: &Tracker<Shared>, cluster: &str, replica: &str) -> (Verdict, Outcome) {
    let mut outcome = Outcome::default();
    let verdict = match process.known(cluster, replica, &mut outcome) {
        Some(verdict) => verdict,
        None => process.decide(cluster, replica, &mut outcome).await,
    };
    (verdict, outcome)
}

async fn verdict(process: &Tracker<Shared>, replica: &str) -> Verdict {
    send(process, "c", replica).await.0
}

const UNKNOWN: Verdict = Verdict::Undecided(Undecided::StateError);

#[tokio::test(start_paused = true)]
async fn the_second_replica_is_elected_when_the_first_one_is_gone() {
    let store = Shared::default();
    let [one, two] = [0.0, 1.0].map(|random| process(&store, random, 0));
    for second in 0..60 {
        // One request of each replica a second, to both processes in turn.
        let (of_a, of_b) = if second % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        assert_eq!(verdict(of_a, "a").await, Verdict::Elected, "{second}");
        assert_eq!(verdict(of_b, "b").await, Verdict::Other, "{second}");
        sleep(Duration::from_secs(1)).await;
    }
    // Calls are made when an entry is due, not for each request.
    assert!(store.calls() < 30, "{}", store.calls());
    let gone = Instant::now();
    while verdict(&one, "b").await == Verdict::Other {
        sleep(Duration::from_secs(1)).await;
    }
    let gap = gone.elapsed().as_secs();
    assert!((10..=30).contains(&gap), "{gap}");
    // The first one returns, and waits.
    assert_eq!(verdict(&two, "a").await, Verdict::Other);
    assert_eq!(verdict(&two, "b").await, Verdict::Elected);
}

#[tokio::test(start_paused = true)]
async fn one_request_calls_for_all_that_wait() {
    let store = Shared::default();
    store.faults.lock().delays = vec![100];
    let process = process(&store, 0.5, 0);
    let all = (0..50).map(|_| verdict(&process, "a"));
    let verdicts = futures_util::future::join_all(all).await;
    assert_eq!(verdicts, vec![Verdict::Elected; 50]);
    assert_eq!(store.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_leaves_what_is_known_until_the_failover() {
    let store = Shared::default();
    let process = process(&store, 0.5, 0);
    assert_eq!(verdict(&process, "a").await, Verdict::Elected);
    store.faults.lock().is_down = true;
    for (second, of_a, of_b) in [
        (10, Verdict::Elected, Verdict::Other),
        (25, Verdict::Elected, Verdict::Other),
        (35, UNKNOWN, UNKNOWN),
        (36, UNKNOWN, UNKNOWN),
    ] {
        sleep(Duration::from_secs(second) - at(&store)).await;
        assert_eq!(verdict(&process, "a").await, of_a, "{second}");
        assert_eq!(verdict(&process, "b").await, of_b, "{second}");
    }
    // After a failure there is a pause.
    let calls = store.faults.lock().calls;
    assert_eq!(verdict(&process, "a").await, UNKNOWN);
    assert_eq!(store.faults.lock().calls, calls);
    store.faults.lock().is_down = false;
    sleep(Duration::from_secs(5)).await;
    let (verdict_of_b, outcome) = send(&process, "c", "b").await;
    assert_eq!(verdict_of_b, Verdict::Elected);
    assert_eq!(outcome.of_cluster("c").elections, 1);
    assert_eq!(verdict(&process, "a").await, Verdict::Other);
}

/// Returns the time since the first put.
fn at(store: &Shared) -> Duration {
    store.faults.lock().elected[0].0.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_costs_a_second_and_then_nothing_for_a_while() {
    let store = Shared::default();
    store.faults.lock().delays = vec![3_000];
    let process = process(&store, 0.5, 0);
    let start = Instant::now();
    let (first, outcome) = send(&process, "c", "a").await;
    assert_eq!((first, start.elapsed()), (UNKNOWN, Duration::from_secs(1)));
    assert_eq!(outcome.errors, [(CallError::Timeout, 1)].into());
    assert_eq!(verdict(&process, "b").await, UNKNOWN);
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_costs_a_request_of_many_clusters_little_more_than_a_second() {
    let store = Shared::default();
    store.faults.lock().delays = vec![3_000];
    let settings = Settings {
        max_clusters: 100,
        ..settings()
    };
    let process = Tracker::new(settings, store, 0.5, Clock::default());
    let names: Vec<_> = (0..90).map(|it| it.to_string()).collect();
    let pairs: Vec<_> = names
        .iter()
        .map(|name| [("cluster", name.as_str()), ("__replica__", "a")])
        .collect();
    let all: Vec<&[(&str, &str)]> = pairs.iter().map(|it| &it[..]).collect();
    let start = Instant::now();
    let mut received = request(&all);
    let outcome = process.filter(&mut received, &ComputePool::default()).await;
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(outcome.undecided, [(Undecided::StateError, 90)].into());
    assert!(outcome.calls <= 16, "{}", outcome.calls);
}

#[tokio::test(start_paused = true)]
async fn a_lost_entry_holds_in_each_process_until_another_one_can_be_written() {
    let store = Shared::default();
    let process = process(&store, 0.5, 0);
    assert_eq!(verdict(&process, "a").await, Verdict::Elected);
    assert!(store.state.delete("ha", "c").await.unwrap());
    store.faults.lock().refuses_puts = true;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(verdict(&process, "a").await, Verdict::Elected);
    assert_eq!(verdict(&process, "b").await, Verdict::Other);
    store.faults.lock().refuses_puts = false;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(verdict(&process, "a").await, Verdict::Elected);
    assert!(store.state.get("ha", "c").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lost_version_is_read_again_up_to_three_times() {
    for (conflicts, expected) in [(0, Verdict::Elected), (2, Verdict::Elected), (3, UNKNOWN)] {
        let store = Shared::default();
        store.faults.lock().conflicts = conflicts;
        let process = process(&store, 0.5, 0);
        let (verdict, outcome) = send(&process, "c", "a").await;
        assert_eq!(verdict, expected, "{conflicts}");
        let lost = outcome.errors.get(&CallError::Conflict).copied();
        assert_eq!(lost.unwrap_or_default(), conflicts as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_of_a_process_whose_clock_was_ahead_is_replaced_in_time() {
    let store = Shared::default();
    let ahead = process(&store, 0.5, 60);
    assert_eq!(verdict(&ahead, "a").await, Verdict::Elected);
    // Both are gone, the process and the replica.
    let right = process(&store, 0.5, 0);
    for second in 0..30 {
        assert_eq!(verdict(&right, "b").await, Verdict::Other, "{second}");
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(verdict(&right, "b").await, Verdict::Elected);
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_clock_is_ahead_elects_at_most_once() {
    for ahead in [60, -60] {
        let store = Shared::default();
        let processes = [process(&store, 0.2, 0), process(&store, 0.8, ahead)];
        let mut elections = 0;
        let mut last = (Duration::ZERO, "");
        for step in 0..600_usize {
            sleep(Duration::from_secs(1)).await;
            for (index, replica) in ["a", "b"].into_iter().enumerate() {
                let process = &processes[(step / 3 + index) % 2];
                let (verdict, outcome) = send(process, "c", replica).await;
                elections += outcome.of_cluster("c").elections;
                if verdict == Verdict::Elected {
                    let now = Duration::from_secs(step as u64);
                    // Once all processes have seen entries, one replica alone is stored.
                    assert!(last.1 == replica || now < Duration::from_secs(60), "{step}");
                    last = (now, replica);
                }
            }
            assert!(last.0.as_secs() == step as u64 || step < 60, "{step}");
        }
        assert!(elections <= 2, "{elections}");
    }
}

#[tokio::test(start_paused = true)]
async fn clusters_beyond_the_limit_are_undecided_until_others_are_idle() {
    let store = Shared::default();
    let process = process(&store, 0.5, 0);
    for cluster in ["1", "2", "3"] {
        assert_eq!(send(&process, cluster, "a").await.0, Verdict::Elected);
    }
    let too_many = Verdict::Undecided(Undecided::TooManyClusters);
    for replica in ["a", "b"] {
        assert_eq!(send(&process, "4", replica).await.0, too_many);
    }
    sleep(Duration::from_secs(3_599)).await;
    assert_eq!(send(&process, "3", "a").await.0, Verdict::Elected);
    sleep(Duration::from_secs(1)).await;
    let (verdict, outcome) = send(&process, "4", "a").await;
    assert_eq!(verdict, Verdict::Elected);
    let mut forgotten: Vec<_> = outcome.forgotten.iter().map(|it| &**it).collect();
    forgotten.sort_unstable();
    assert_eq!(forgotten, ["1", "2"]);
    process.forget(&outcome.forgotten).await;
    let left = store.state.list("ha").await.unwrap();
    assert_eq!(
        left.iter().map(|it| &*it.name).collect::<Vec<_>>(),
        ["3", "4"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_text_of_another_program_is_replaced() {
    let store = Shared::default();
    let any = crate::state::Expect::Anything;
    assert!(store.state.put("ha", "c", "?", any, None).await.unwrap());
    assert_eq!(
        verdict(&process(&store, 0.5, 0), "a").await,
        Verdict::Elected
    );
    assert_eq!(verdict(&process(&store, 0.5, 0), "b").await, Verdict::Other);
}

/// A request of one replica to one process, after a pause.
type Step = (usize, bool, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![0_u64..200, 1_000_u64..6_000, 9_000_u64..41_000];
    // Most requests of a stretch come from one replica, as if the other one were gone.
    let stretch = (any::<bool>(), 1_usize..12, any::<bool>());
    let stretches = prop::collection::vec(stretch, 1..12);
    let each = prop::collection::vec((0_usize..4, pause), 140);
    (stretches, each).prop_map(|(stretches, each)| {
        let replicas = stretches
            .into_iter()
            .flat_map(|(replica, length, is_mixed)| {
                (0..length).map(move |index| replica ^ (is_mixed && index % 2 == 1))
            });
        let each = each.into_iter().zip(replicas);
        each.map(|((process, pause), replica)| (process, replica, pause))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn one_replica_is_stored_at_a_time_and_no_sample_of_the_elected_one_is_lost(
        steps in steps(),
        processes in 1_usize..5,
        delays in prop::collection::vec(0_u64..300, 1..9),
        random in prop::collection::vec(0.0_f64..1.0, 4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (requests, elected) = runtime.block_on(async {
            let store = Shared::default();
            store.faults.lock().delays = delays;
            let processes: Vec<_> = random[..processes]
                .iter()
                .map(|random| process(&store, *random, 0))
                .collect();
            let mut tasks = Vec::new();
            for (process, replica, pause) in steps {
                sleep(Duration::from_millis(pause)).await;
                let process = processes[process % processes.len()].clone();
                let replica = if replica { "a" } else { "b" };
                tasks.push(tokio::spawn(async move {
                    let begin = Instant::now();
                    let verdict = verdict(&process, replica).await;
                    (replica, begin, Instant::now(), verdict)
                }));
            }
            let mut requests = Vec::new();
            for task in tasks {
                requests.push(task.await.unwrap());
            }
            let elected = std::mem::take(&mut store.faults.lock().elected);
            (requests, elected)
        });
        let mut stored: Vec<_> = requests.iter().filter(|it| it.3 == Verdict::Elected).collect();
        stored.sort_by_key(|it| it.2);
        for pair in stored.windows(2) {
            let pause = pair[1].2 - pair[0].2;
            // The failover less the latest update, less the time of calls.
            let is_apart = pause >= Duration::from_secs(8);
            prop_assert!(pair[0].0 == pair[1].0 || is_apart, "{pause:?} {pair:?}");
        }
        for (replica, begin, end, verdict) in &requests {
            prop_assert!(!matches!(verdict, Verdict::Undecided(_)));
            if *verdict == Verdict::Other {
                let before = elected.iter().rfind(|it| it.0 <= *begin);
                let during = elected.iter().filter(|it| *begin < it.0 && it.0 <= *end);
                let other = before.into_iter().chain(during).any(|it| it.1 != *replica);
                prop_assert!(other, "{replica} was elected from {begin:?} to {end:?}");
            }
        }
    }
}

/// Returns a request of series with these labels, one sample each.
fn request<'a>(all: &[&[(&'a str, &'a str)]]) -> Request<'a> {
    let mut request = Request::default();
    for labels in all {
        for (name, value) in *labels {
            request.push_label(name, value);
        }
        request.push_sample(Sample {
            timestamp_ms: 1,
            value: 1.0,
        });
        request.end_series();
    }
    request
}

fn labels(request: &Request<'_>) -> Vec<String> {
    request.iter().map(|it| it.labels.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_pair_of_a_request_is_decided_once() {
    let store = Shared::default();
    let process = process(&store, 0.5, 0);
    for cluster in ["c", "d"] {
        assert_eq!(send(&process, cluster, "a").await.0, Verdict::Elected);
    }
    sleep(Duration::from_secs(29)).await;
    let before = store.calls();
    let long = "x".repeat(super::MAX_VALUE_BYTES + 1);
    let (c, d) = (("cluster", "c"), ("cluster", "d"));
    let (a, b) = (("__replica__", "a"), ("__replica__", "b"));
    let mut received = request(&[
        &[("n", "0"), c, a],
        &[("n", "1"), c, a],
        &[("n", "2"), d, b],
        &[b, ("n", "3"), d],
        &[("n", "4"), d, a],
        &[("n", "5"), d],
        &[("n", "6"), a],
        &[("n", "7"), ("cluster", ""), a],
        &[("n", "8"), c, d, b],
        &[("n", "9"), c, b, b],
        &[("n", "10"), c, ("__replica__", &long)],
        &[("n", "11"), ("cluster", "new"), b],
    ]);
    let outcome = process.filter(&mut received, &ComputePool::default()).await;
    // A read and a write for the two that are elected and for the new one; `d`'s other replica waits in memory.
    assert_eq!(store.calls() - before, 6);
    let rest = labels(&received);
    assert_eq!(
        rest[..4],
        [
            r#"{n="0", cluster="c"}"#,
            r#"{n="1", cluster="c"}"#,
            r#"{n="4", cluster="d"}"#,
            r#"{n="5", cluster="d"}"#,
        ]
    );
    assert_eq!(rest[4], r#"{n="6", __replica__="a"}"#);
    assert_eq!(rest[9], r#"{n="11", cluster="new"}"#);
    assert_eq!(rest.len(), 10);
    assert_eq!((outcome.dropped.samples, outcome.dropped_series), (2, 2));
    assert_eq!(outcome.unlabelled, 6);
    assert_eq!(outcome.of_cluster("d").dropped, 2);
    assert_eq!(outcome.of_cluster("c").dropped, 0);
    assert_eq!(outcome.of_cluster("new").elections, 1);
    let elected = outcome.of_cluster("c").elected.unwrap();
    assert_eq!(elected.0, "a");
}

#[tokio::test(start_paused = true)]
async fn what_is_undecided_is_stored_with_the_label() {
    let store = Shared::default();
    store.faults.lock().is_down = true;
    let process = process(&store, 0.5, 0);
    let mut received = request(&[
        &[("cluster", "c"), ("__replica__", "a")],
        &[("cluster", "c"), ("__replica__", "b")],
        &[("x", "y")],
    ]);
    let outcome = process.filter(&mut received, &ComputePool::default()).await;
    assert_eq!(
        labels(&received),
        [
            r#"{cluster="c", __replica__="a"}"#,
            r#"{cluster="c", __replica__="b"}"#,
            r#"{x="y"}"#
        ]
    );
    assert_eq!(outcome.undecided, [(Undecided::StateError, 2)].into());
    assert_eq!((outcome.calls, outcome.unlabelled), (1, 1));
    assert_eq!(outcome.errors, [(CallError::Failed, 1)].into());
}

#[test]
fn queries_name_no_replica() {
    let matcher = |op: Type, name: &str, value: &str| LabelMatcher {
        r#type: i32::from(op),
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let stay = [
        matcher(Type::Eq, "__name__", "up"),
        matcher(Type::Eq, "cluster", "c"),
        matcher(Type::Re, "__replica__", "a|b"),
        matcher(Type::Eq, "__replica__", ""),
    ];
    let mut matchers = stay.to_vec();
    matchers.insert(2, matcher(Type::Eq, "__replica__", "a"));
    let mut queries = [Query {
        matchers,
        ..Query::default()
    }];
    process(&Shared::default(), 0.5, 0).forget_replica(&mut queries);
    assert_eq!(queries[0].matchers, stay);
}
