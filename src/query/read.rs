//! The read use case: queries of a request that run at once, and their results one by one.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Shared;
use futures_util::{FutureExt, Stream, StreamExt, stream};
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
const MAX_CONCURRENT_QUERIES: usize = 10;

/// Longer than anybody waits.
pub(super) const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The cost and the result of a read request.
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

/// The results of a read request. If it is dropped, its queries are cancelled.
pub struct ReadStream {
    results: Pin<Box<dyn Stream<Item = Result<QueryResult, ReadError>> + Send>>,
    /// Of each query.
    progress: Arc<[Arc<Progress>]>,
    /// Results that were returned.
    returned: usize,
    outcome: ReadOutcome,
}

impl fmt::Debug for ReadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = (&self.progress, self.returned, &self.outcome);
        f.debug_tuple("ReadStream").field(&fields).finish()
    }
}

impl ReadStream {
    /// Returns a stream that ends with an error.
    fn failed(error: ReadError) -> Self {
        Self {
            results: Box::pin(stream::iter([Err(error)])),
            progress: Arc::default(),
            returned: 0,
            outcome: ReadOutcome::default(),
        }
    }

    /// The next result, in the order of the queries; `None` after the last one.
    ///
    /// # Errors
    /// A query failed; then the results of the others are of no use.
    pub async fn next(&mut self) -> Option<Result<QueryResult, ReadError>> {
        let result = self.results.next().await?;
        if let Ok(series) = &result {
            self.returned += 1;
            self.outcome.series += series.len() as u64;
            let samples = series.iter().map(|series| series.len() as u64);
            self.outcome.samples += samples.sum::<u64>();
        }
        Some(result)
    }

    /// Adds what the queries took since the last time to the outcome.
    pub fn take_counts(&mut self) {
        for progress in &*self.progress {
            self.outcome.counts += progress.take_counts();
        }
    }

    /// Returns what was taken, up to [`Self::take_counts`], and given so far.
    pub fn outcome(&self) -> ReadOutcome {
        self.outcome.clone()
    }
}

impl Querier {
    /// Starts the queries of `request`, several at once. The memory of their patterns is
    /// taken from `reservation`.
    pub async fn read(
        &self,
        request: &prompb::ReadRequest,
        reservation: &mut Reservation,
        deadline: Instant,
    ) -> ReadStream {
        let selections = timeout_at(deadline, self.selections(&request.queries, reservation)).await;
        let selections = match selections {
            Ok(Ok(selections)) => selections,
            Ok(Err(error)) => return ReadStream::failed(error.into()),
            Err(_) => return ReadStream::failed(TimestreamError::timeout().into()),
        };
        let destinations = selections.iter().flat_map(|it| it.destinations.clone());
        let mut outcome = ReadOutcome {
            destinations: destinations.collect(),
            ..ReadOutcome::default()
        };
        let queries = request.queries.iter().zip(selections);
        let queries = queries.map(|(query, selection)| {
            let key = QueryKey::new(query, &selection);
            let start = |progress| self.start(selection, progress);
            self.single_flight.join(key, start)
        });
        let queries: Vec<SharedQuery> = queries.collect();
        let joined = queries.iter().filter(|query| query.is_joined);
        outcome.shared_queries = joined.count() as u64;
        let size = Arc::new(RequestSize::new(self.read_limits));
        let progress = queries.iter().map(|query| Arc::clone(&query.progress));
        let progress: Arc<[_]> = progress.collect();
        for progress in &*progress {
            progress.add_to(&size);
        }
        let waiting: Vec<_> = queries
            .into_iter()
            .map(|query| wait(query.result, Arc::clone(&size), deadline))
            .collect();
        ReadStream {
            results: Box::pin(stream::iter(waiting).buffered(MAX_CONCURRENT_QUERIES)),
            progress,
            returned: 0,
            outcome,
        }
    }

    /// Reads what the queries select; patterns that take long are compiled in the compute pool.
    async fn selections(
        &self,
        queries: &[prompb::Query],
        reservation: &mut Reservation,
    ) -> Result<Vec<Selection>, QueryError> {
        let before = reservation.bytes();
        let light = PatternLimits::light(reservation);
        match queries_to_selections(queries, &self.routing, light) {
            Err(QueryError::Patterns(PatternsTooLarge::Long)) => {
                reservation.shrink(reservation.bytes() - before);
                let compile = || {
                    let limits = PatternLimits::new(reservation);
                    queries_to_selections(queries, &self.routing, limits)
                };
                self.compute.run_if(true, compile).await
            }
            selections => selections,
        }
    }

    /// The query itself, without a deadline: those who wait for it have theirs.
    fn start(&self, selection: Selection, progress: Arc<Progress>) -> Running {
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

/// Returns the result of a query of a request, unless the deadline passes or the results of all its
/// queries hold too much.
async fn wait(
    result: Shared<Running>,
    size: Arc<RequestSize>,
    deadline: Instant,
) -> Result<QueryResult, ReadError> {
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
