//! The queries that one request starts: their cost together, and the limits of their results together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::Shared;
use prom_wire::budget::Reservation;
use prom_wire::prompb;
use tokio::time::{Instant, timeout_at};

use super::cache::{CacheCounts, CacheKey, SampleCache, Span, queried_end};
use super::gathered::{Piece, PieceSeries, is_long};
use super::progress::{Progress, RequestSize, StatementCounts};
use super::result::{QueryResult, ReadError};
use super::statements::Statements;
use crate::query::Querier;
use crate::query::single_flight::{QueryKey, Running, SharedQuery};
use crate::storage::destination::Destination;
use crate::storage::read::patterns::{PatternLimits, PatternsTooLarge};
use crate::storage::read::rows::Size;
use crate::storage::read::selection::{QueryError, Selection, queries_to_selections};
use crate::timestream::TimestreamError;
use crate::timestream::retry::Limits;

/// Queries of one request that run at once, as many as Prometheus' own server runs.
pub(super) const MAX_CONCURRENT_QUERIES: usize = 10;

/// More series or samples take longer to be stored in the cache than a thread that serves connections may be occupied.
const LONG_SERIES: usize = 500;
const LONG_SAMPLES: u64 = 100_000;

/// Longer than anybody waits.
pub(super) const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The cost and the result of a request that reads.
#[derive(Clone, Debug, Default)]
pub struct ReadOutcome {
    /// The queried tables, each once.
    pub destinations: BTreeSet<Destination>,
    /// The statements and their cost, with or without results.
    pub counts: StatementCounts,
    /// Series in all results.
    pub series: u64,
    /// Samples in all results, native histograms among them.
    pub samples: u64,
    /// Queries that took the result of another one, which ran already; what that took, one of the
    /// two has in its counts.
    pub shared_queries: u64,
    /// The use of the cache, which remote read never makes; `None` if it is switched off or bypassed.
    pub cache: Option<CacheCounts>,
}

/// The queries of one request. If it is dropped with their results, they are cancelled.
#[derive(Debug)]
pub struct Reads {
    querier: Querier,
    deadline: Instant,
    size: Arc<RequestSize>,
    /// Of each query.
    progress: Vec<Arc<Progress>>,
    /// `None` if it is switched off or bypassed.
    cache: Option<Arc<SampleCache>>,
    counts_all_samples: bool,
    /// The time of the request, for the cache.
    now_ms: i64,
    outcome: ReadOutcome,
}

/// A PromQL selection, of which a part may be cached.
pub(super) struct Planned {
    query: prompb::Query,
    selection: Selection,
    /// The key under which results are stored.
    key: Option<Arc<CacheKey>>,
    cached: Vec<Piece>,
    missing: Vec<Option<(i64, i64)>>,
}

impl Planned {
    /// Returns what is cached.
    pub(super) fn cached(&self) -> &[Piece] {
        &self.cached
    }

    /// Returns the cached pieces and the number of missing ones.
    pub(super) fn into_parts(self) -> (Vec<Piece>, usize) {
        (self.cached, self.missing.len())
    }
}

/// Stores the result of a query in the cache.
pub(super) struct Store {
    cache: Arc<SampleCache>,
    key: Arc<CacheKey>,
    span: Span,
    now_ms: i64,
}

impl Querier {
    /// Returns the queries of a new request, none so far, whose results have to be there by `deadline`.
    pub fn reads(&self, deadline: Instant) -> Reads {
        Reads {
            querier: self.clone(),
            deadline,
            size: Arc::new(RequestSize::new(self.read_limits)),
            progress: Vec::new(),
            cache: self.cache.clone(),
            counts_all_samples: false,
            now_ms: now_ms(),
            outcome: ReadOutcome::default(),
        }
    }

    /// The query itself, without a deadline: those who wait for it have theirs.
    pub(super) fn start(
        &self,
        selection: Selection,
        store: Option<Store>,
        progress: Arc<Progress>,
    ) -> Running {
        let querier = self.clone();
        async move {
            let limits = Limits {
                max_retries: querier.max_retries,
                deadline: Instant::now() + NEVER,
            };
            let statements = Statements::new(&querier.timestream, limits, &progress);
            let series = querier.select(&selection, &statements).await?;
            if let Some(store) = store {
                let Store {
                    cache,
                    key,
                    span,
                    now_ms,
                } = store;
                let samples = progress.size().samples;
                let is_long = series.len() > LONG_SERIES || samples > LONG_SAMPLES;
                let store = || cache.store(&key, span, &series, now_ms);
                querier.compute.run_if(is_long, store).await;
            }
            Ok(QueryResult::from(series))
        }
        .boxed()
    }
}

impl Reads {
    /// Returns the querier that runs the queries.
    pub(super) fn querier(&self) -> &Querier {
        &self.querier
    }

    /// Returns the time by which the results have to be there.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Reads what queries select. The memory of their patterns is taken from `reservation`; patterns that take long
    /// are compiled in the compute pool.
    pub(super) async fn selections(
        &self,
        queries: &[prompb::Query],
        reservation: &mut Reservation,
    ) -> Result<Vec<Selection>, ReadError> {
        let Querier {
            routing, compute, ..
        } = &self.querier;
        let selections = async {
            let before = reservation.bytes();
            let light = PatternLimits::light(reservation);
            match queries_to_selections(queries, routing, light) {
                Err(QueryError::Patterns(PatternsTooLarge::Long)) => {
                    reservation.shrink(reservation.bytes() - before);
                    let compile = || {
                        let limits = PatternLimits::new(reservation);
                        queries_to_selections(queries, routing, limits)
                    };
                    compute.run_if(true, compile).await
                }
                selections => selections,
            }
        };
        match timeout_at(self.deadline, selections).await {
            Ok(selections) => Ok(selections?),
            Err(_) => Err(TimestreamError::timeout().into()),
        }
    }

    /// Starts a query, or takes a place at an equal one that runs. It runs while the returned result is polled.
    pub(super) fn start(
        &mut self,
        query: &prompb::Query,
        selection: Selection,
    ) -> impl Future<Output = Result<QueryResult, ReadError>> + Send + use<> {
        self.start_and_store(query, selection, None)
    }

    /// Neither takes samples from the cache nor stores some there.
    pub fn bypass_cache(&mut self) {
        self.cache = None;
    }

    /// Fetches all samples that the statistics of an evaluation count, even those that it does not look at.
    pub fn count_all_samples(&mut self) {
        self.counts_all_samples = true;
    }

    /// Returns whether all samples are fetched that the statistics of an evaluation count.
    pub(super) fn counts_all_samples(&self) -> bool {
        self.counts_all_samples
    }

    /// Takes what is cached of a PromQL selection.
    pub(super) fn plan(&mut self, query: prompb::Query, selection: Selection) -> Planned {
        let missing = vec![selection.range];
        let mut planned = Planned {
            query,
            selection,
            key: None,
            cached: Vec::new(),
            missing,
        };
        let (Some(cache), Some((first_ms, last_ms))) = (&self.cache, planned.selection.range)
        else {
            return planned;
        };
        let key = CacheKey::new(&planned.query, planned.selection.wanted);
        let Some(taken) = cache.take(&key, Span::new(first_ms, last_ms), self.now_ms) else {
            return planned;
        };
        let counts = self.outcome.cache.get_or_insert_default();
        counts.hits += taken.pieces.len() as u64;
        counts.misses += taken.misses;
        planned.key = Some(Arc::new(key));
        planned.cached = taken
            .pieces
            .into_iter()
            .map(|piece| Piece {
                span: piece.span,
                series: PieceSeries::Cached(piece.series),
            })
            .collect();
        let missing = taken.missing.into_iter();
        planned.missing = missing.map(|it| Some((it.first_ms, it.last_ms))).collect();
        planned
    }

    /// Counts the cached samples of plans.
    ///
    /// # Errors
    /// There are more than a request may read.
    pub(super) async fn count_cached(&mut self, plans: &[Planned]) -> Result<(), ReadError> {
        let pieces = || plans.iter().flat_map(Planned::cached);
        let sizes = || {
            let mut all = Size::default();
            pieces().for_each(|piece| all += piece.size());
            all
        };
        let size = self.querier.compute.run_if(is_long(pieces()), sizes).await;
        if let Some(counts) = &mut self.outcome.cache {
            counts.samples += size.samples;
        }
        self.size.add(size);
        self.size.error().map_or(Ok(()), Err)
    }

    /// Starts the queries of what is missing, and stores their results in the cache.
    pub(super) fn start_missing(
        &mut self,
        planned: &Planned,
    ) -> Vec<impl Future<Output = Result<Piece, ReadError>> + Send + use<>> {
        let missing = planned.missing.iter().map(|range| {
            let (first_ms, last_ms) = range.unwrap_or((0, -1));
            let span = Span::new(first_ms, last_ms);
            let wanted = planned.selection.wanted;
            let selection = Selection {
                range: range.map(|_| (first_ms, queried_end(wanted, last_ms))),
                ..planned.selection.clone()
            };
            let store = planned.key.as_ref().zip(self.cache.as_ref());
            let store = store.map(|(key, cache)| Store {
                cache: Arc::clone(cache),
                key: Arc::clone(key),
                span,
                now_ms: self.now_ms,
            });
            let result = self.start_and_store(&planned.query, selection, store);
            async move {
                Ok(Piece {
                    span,
                    series: PieceSeries::Fetched(result.await?),
                })
            }
        });
        missing.collect()
    }

    fn start_and_store(
        &mut self,
        query: &prompb::Query,
        selection: Selection,
        store: Option<Store>,
    ) -> impl Future<Output = Result<QueryResult, ReadError>> + Send + use<> {
        self.add_destinations(&selection.destinations);
        let key = QueryKey::new(query, &selection);
        let querier = &self.querier;
        let start = |progress| querier.start(selection, store, progress);
        let shared = querier.single_flight.join(key, start);
        self.wait_for(shared)
    }

    /// Counts a query that runs among those of the request, and returns its result.
    pub(super) fn wait_for<V: Clone + Send + Sync + 'static>(
        &mut self,
        shared: SharedQuery<V>,
    ) -> impl Future<Output = Result<V, ReadError>> + Send + use<V> {
        self.outcome.shared_queries += u64::from(shared.is_joined);
        shared.progress.add_to(&self.size);
        self.progress.push(shared.progress);
        wait(shared.result, Arc::clone(&self.size), self.deadline)
    }

    /// Counts the tables of a query among those of the request.
    pub(super) fn add_destinations(&mut self, destinations: &[Destination]) {
        self.outcome
            .destinations
            .extend(destinations.iter().cloned());
    }

    /// Counts a result.
    pub(super) fn count(&mut self, result: &QueryResult) {
        let samples = result.iter().map(|series| series.len() as u64);
        self.count_samples(result.len(), samples.sum());
    }

    /// Counts series and samples of a result.
    pub(super) fn count_samples(&mut self, series: usize, samples: u64) {
        self.outcome.series += series as u64;
        self.outcome.samples += samples;
    }

    /// Adds what the queries took since the last time to the outcome.
    pub fn take_counts(&mut self) {
        for progress in &self.progress {
            self.outcome.counts += progress.take_counts();
        }
        // Requests that never use it would take evictions away from those that count them.
        if let (Some(cache), Some(counts)) = (&self.cache, &mut self.outcome.cache) {
            cache.count(counts);
        }
    }

    /// Returns what was taken, up to [`Self::take_counts`], and given so far.
    pub fn outcome(&self) -> ReadOutcome {
        self.outcome.clone()
    }
}

/// Returns the time in milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

/// Returns the result of a query of a request, unless the deadline passes or the results of all its
/// queries hold too much.
async fn wait<V: Clone>(
    result: Shared<Running<V>>,
    size: Arc<RequestSize>,
    deadline: Instant,
) -> Result<V, ReadError> {
    let result = async {
        tokio::select! {
            biased;
            error = size.exceeded() => Err(error),
            // The last of a result may come with its end.
            result = result => size.error().map_or(result, Err),
        }
    };
    match timeout_at(deadline, result).await {
        Ok(result) => result,
        Err(_) => Err(TimestreamError::timeout().into()),
    }
}
