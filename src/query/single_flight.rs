//! Queries that are running, so that requests which want the same at the same time share one.
//!
//! A dashboard queries one selector in many panels at once. A query belongs to all requests that wait for it: it
//! goes on while one of them is left, each waits until its own deadline, and it is cancelled when the
//! last one leaves. A query that has run for a while is not joined, so that a result has the samples
//! stored until shortly before the request.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use prom_wire::prompb;
use tokio::time::Instant;

use super::cache::canonical_matchers;
use super::progress::Progress;
use super::result::{QueryResult, ReadError};
use crate::storage::read::selection::Selection;
use crate::storage::read::windows::Wanted;

/// A query is joined in this time after its start.
const JOIN_WINDOW: Duration = Duration::from_secs(1);

/// The parts of a query that decide its result. Other hints, the function for
/// instance, do not change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct QueryKey {
    /// Type, name and value, those of the destination among them; sorted, each once.
    matchers: Vec<(i32, String, String)>,
    range: Option<(i64, i64)>,
    wanted: Wanted,
}

impl QueryKey {
    pub(super) fn new(query: &prompb::Query, selection: &Selection) -> Self {
        Self {
            matchers: canonical_matchers(query),
            range: selection.range,
            wanted: selection.wanted,
        }
    }

    /// Returns the bytes of memory of its texts.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.matchers.iter();
        let texts = texts.map(|(_, name, value)| name.len() + value.len());
        texts.sum()
    }
}

/// A query that runs while it is polled.
pub(super) type Running<V = QueryResult> = BoxFuture<'static, Result<V, ReadError>>;

/// A place among those who wait for a query.
#[derive(Debug)]
pub(super) struct SharedQuery<V = QueryResult> {
    /// To be polled; dropping the last one drops the query.
    pub(super) result: Shared<Running<V>>,
    pub(super) progress: Arc<Progress>,
    /// True if another request has started it.
    pub(super) is_joined: bool,
}

/// The queries that are running.
#[derive(Debug)]
pub(super) struct SharedQueries<K = QueryKey, V = QueryResult>(Mutex<Registered<K, V>>);

#[derive(Debug)]
struct Registered<K, V> {
    known: HashMap<K, Known<V>>,
    /// Those that have ended are removed once there are as many: twice as many as were running at the
    /// last time, so that a query is looked at twice on average.
    clean_at: usize,
}

impl<K, V> Default for SharedQueries<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Registered {
            known: HashMap::new(),
            clean_at: 0,
        }))
    }
}

#[derive(Debug)]
struct Known<V> {
    result: WeakShared<Running<V>>,
    progress: Weak<Progress>,
    started: Instant,
}

impl<V: Clone> Known<V> {
    fn join(&self) -> Option<SharedQuery<V>> {
        let result = self.result.upgrade()?;
        let is_open = self.started.elapsed() < JOIN_WINDOW && result.peek().is_none();
        let progress = self.progress.upgrade()?;
        is_open.then_some(SharedQuery {
            result,
            progress,
            is_joined: true,
        })
    }
}

impl<K: Eq + Hash, V: Clone> SharedQueries<K, V> {
    /// A place at the query `key` that runs, or at the one that `start` makes.
    pub(super) fn join(
        &self,
        key: K,
        start: impl FnOnce(Arc<Progress>) -> Running<V>,
    ) -> SharedQuery<V> {
        let mut registered = self.0.lock();
        let Registered { known, clean_at } = &mut *registered;
        if known.len() >= *clean_at {
            known.retain(|_, known| known.progress.strong_count() > 0);
            *clean_at = 2 * known.len() + 1;
        }
        if let Some(query) = known.get(&key).and_then(Known::join) {
            return query;
        }
        let progress = Arc::default();
        let result = start(Arc::clone(&progress)).shared();
        if let Some(weak) = result.downgrade() {
            let running = Known {
                result: weak,
                progress: Arc::downgrade(&progress),
                started: Instant::now(),
            };
            known.insert(key, running);
        }
        SharedQuery {
            result,
            progress,
            is_joined: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;

    /// Tells how often a query was started, and how often it was dropped.
    #[derive(Clone, Debug, Default)]
    struct Calls {
        started: Arc<AtomicU32>,
        dropped: Arc<AtomicU32>,
    }

    struct CountsDrop(Arc<AtomicU32>);

    impl Drop for CountsDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Calls {
        /// A query that takes this long.
        fn query(&self, duration: Duration) -> Running {
            self.started.fetch_add(1, Ordering::Relaxed);
            let dropped = CountsDrop(Arc::clone(&self.dropped));
            async move {
                let _dropped = dropped;
                sleep(duration).await;
                Ok(QueryResult::default())
            }
            .boxed()
        }

        fn counts(&self) -> [u32; 2] {
            [&self.started, &self.dropped].map(|count| count.load(Ordering::Relaxed))
        }
    }

    fn key(name: &str) -> QueryKey {
        QueryKey {
            matchers: vec![(0, "__name__".to_owned(), name.to_owned())],
            range: Some((1, 2)),
            wanted: Wanted::All,
        }
    }

    const SECONDS: fn(u64) -> Duration = Duration::from_secs;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_while_one_is_left() {
        let (queries, calls) = (<SharedQueries>::default(), Calls::default());
        let join = || queries.join(key("a"), |_| calls.query(SECONDS(10)));
        let (first, second, third) = (join(), join(), join());
        let joined = [&first, &second, &third].map(|query| query.is_joined);
        assert_eq!(joined, [false, true, true]);
        assert!(Arc::ptr_eq(&first.progress, &third.progress));
        // The one that polls it leaves, at its deadline.
        let first = tokio::time::timeout(SECONDS(3), first.result).await;
        assert!(first.is_err());
        drop(third);
        assert_eq!(calls.counts(), [1, 0]);
        let start = Instant::now();
        assert!(second.result.await.is_ok());
        assert_eq!(start.elapsed(), SECONDS(7));
        assert_eq!(calls.counts(), [1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_all_have_left() {
        let (queries, calls) = (<SharedQueries>::default(), Calls::default());
        let join = || queries.join(key("a"), |_| calls.query(SECONDS(10)));
        let (first, second) = (join(), join());
        let both = futures_util::future::join(first.result, second.result);
        assert!(tokio::time::timeout(SECONDS(1), both).await.is_err());
        assert_eq!(calls.counts(), [1, 1]);
        assert!(!join().is_joined);
        assert_eq!(calls.counts()[0], 2);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_an_old_one_nor_a_complete_one_nor_another_one_is_joined() {
        let (queries, calls) = (<SharedQueries>::default(), Calls::default());
        let join = |name| queries.join(key(name), |_| calls.query(Duration::from_millis(10)));
        let first = join("a");
        assert!(!join("b").is_joined);
        let (joined, result) = (join("a"), first.result.await);
        assert!(joined.is_joined && result.is_ok());
        let second = join("a");
        assert!(!second.is_joined);
        advance(JOIN_WINDOW).await;
        assert!(!join("a").is_joined);
        drop((joined, second));
        // Those that have ended are removed as others come.
        for name in ["c", "d", "e", "f", "g", "h"] {
            drop(join(name));
            assert!(queries.0.lock().known.len() <= 4, "{name}");
        }
    }

    #[test]
    fn a_key_is_what_decides_the_result() {
        let matcher = |name: &str, value: &str| prompb::LabelMatcher {
            name: name.to_owned(),
            value: value.to_owned(),
            ..prompb::LabelMatcher::default()
        };
        let of = |matchers: &[prompb::LabelMatcher], range, wanted| {
            let query = prompb::Query {
                matchers: matchers.to_vec(),
                ..prompb::Query::default()
            };
            let selection = Selection {
                destinations: vec![],
                matchers: vec![],
                range,
                wanted,
            };
            QueryKey::new(&query, &selection)
        };
        let (a, b) = (matcher("a", "1"), matcher("b", "2"));
        let range = Some((1, 2));
        let one = of(&[a.clone(), b.clone()], range, Wanted::All);
        assert_eq!(
            of(&[b.clone(), a.clone(), b.clone()], range, Wanted::All),
            one
        );
        assert_ne!(of(std::slice::from_ref(&a), range, Wanted::All), one);
        assert_ne!(of(&[a.clone(), b.clone()], Some((1, 3)), Wanted::All), one);
        assert_ne!(of(&[a.clone(), b.clone()], range, Wanted::Labels), one);
        let unequal = prompb::LabelMatcher { r#type: 1, ..b };
        assert_ne!(of(&[a, unequal], range, Wanted::All), one);
    }
}
