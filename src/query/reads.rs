//! The queries that one request starts: their cost together, and the limits of their results together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use prom_wire::budget::Reservation;
use prom_wire::prompb;
use tokio::time::{Instant, timeout_at};

use super::progress::{Progress, RequestSize, StatementCounts};
use super::result::{QueryResult, ReadError};
use super::statements::Statements;
use crate::query::Querier;
use crate::query::single_flight::{QueryKey, Running, SharedQuery};
use crate::storage::destination::Destination;
use crate::storage::read::patterns::{PatternLimits, PatternsTooLarge};
use crate::storage::read::selection::{QueryError, Selection, queries_to_selections};
use crate::timestream::TimestreamError;
use crate::timestream::retry::Limits;

/// Queries of one request that run at once, as many as Prometheus' own server runs.
pub(super) const MAX_CONCURRENT_QUERIES: usize = 10;

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
}

/// The queries of one request. If it is dropped with their results, they are cancelled.
#[derive(Debug)]
pub struct Reads {
    querier: Querier,
    deadline: Instant,
    size: Arc<RequestSize>,
    /// Of each query.
    progress: Vec<Arc<Progress>>,
    outcome: ReadOutcome,
}

impl Querier {
    /// Returns the queries of a new request, none so far, whose results have to be there by `deadline`.
    pub fn reads(&self, deadline: Instant) -> Reads {
        Reads {
            querier: self.clone(),
            deadline,
            size: Arc::new(RequestSize::new(self.read_limits)),
            progress: Vec::new(),
            outcome: ReadOutcome::default(),
        }
    }

    /// The query itself, without a deadline: those who wait for it have theirs.
    pub(super) fn start(&self, selection: Selection, progress: Arc<Progress>) -> Running {
        let querier = self.clone();
        async move {
            let limits = Limits {
                max_retries: querier.max_retries,
                deadline: Instant::now() + NEVER,
            };
            let statements = Statements::new(&querier.timestream, limits, &progress);
            let series = querier.select(&selection, &statements).await?;
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
        self.add_destinations(&selection.destinations);
        let key = QueryKey::new(query, &selection);
        let querier = &self.querier;
        let start = |progress| querier.start(selection, progress);
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
        self.outcome.series += result.len() as u64;
        let samples = result.iter().map(|series| series.len() as u64);
        self.outcome.samples += samples.sum::<u64>();
    }

    /// Adds what the queries took since the last time to the outcome.
    pub fn take_counts(&mut self) {
        for progress in &self.progress {
            self.outcome.counts += progress.take_counts();
        }
    }

    /// Returns what was taken, up to [`Self::take_counts`], and given so far.
    pub fn outcome(&self) -> ReadOutcome {
        self.outcome.clone()
    }
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
