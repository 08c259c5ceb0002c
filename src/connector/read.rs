//! The read use case: queries of a request that run at once, and their results one by one.

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::Shared;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::Connector;
use super::flights::{Flight, FlightKey, Running};
use super::progress::Progress;
use super::statements::{StatementCounts, Statements};
use crate::config::ReadLimits;
use crate::convert::matcher::{QueryError, Selection, query_to_selection};
use crate::convert::rows::{RowError, Series, Size};
use crate::model::Destination;
use crate::prompb;
use crate::timestream::TimestreamError;
use crate::timestream::retry::Limits;

/// Queries of one request that run at once, as many as Prometheus' own server answers.
const MAX_CONCURRENT_QUERIES: usize = 10;

/// Longer than anybody waits.
pub(super) const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The series that a query selects, sorted by labels.
pub type QueryResult = Arc<[Series]>;

/// What a read request took and gave.
#[derive(Clone, Debug, Default)]
pub struct ReadOutcome {
    /// The tables asked, each once.
    pub destinations: BTreeSet<Destination>,
    /// What was done, whether or not there are results.
    pub counts: StatementCounts,
    /// Series in all results.
    pub series: u64,
    /// Samples in all results, native histograms among them.
    pub samples: u64,
    /// Queries that took the result of another one, which ran already; what that took, one of the
    /// two has in its counts.
    pub shared_queries: u64,
}

/// Why a read request cannot be answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The query itself; the caller has to change it.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Timestream did not answer it.
    #[error(transparent)]
    Timestream(#[from] TimestreamError),
    /// Timestream's answer cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The results are larger than a limit allows.
    #[error(
        "ReadLimitError: the result has more than {limit} {unit}; ask for a shorter range or fewer series (more label matchers), or raise {option}"
    )]
    TooLarge {
        /// The value of the option.
        limit: u64,
        /// What is limited.
        unit: &'static str,
        /// The option that limits it.
        option: &'static str,
    },
}

/// The limit that a request with results of this size exceeds, if there is one.
fn exceeded(limits: ReadLimits, size: Size) -> Option<ReadError> {
    let limit = |limit, unit, option| ReadError::TooLarge {
        limit,
        unit,
        option,
    };
    if size.samples > limits.max_samples {
        return Some(limit(limits.max_samples, "samples", "max_read_samples"));
    }
    let is_too_large = size.bytes > limits.max_bytes;
    is_too_large.then(|| limit(limits.max_bytes, "bytes", "max_read_bytes"))
}

/// A read request that is being answered. If it is dropped, its queries are cancelled.
pub struct Reading {
    results: Pin<Box<dyn Stream<Item = Result<QueryResult, ReadError>> + Send>>,
    /// Of each query.
    progress: Arc<[Arc<Progress>]>,
    /// Results that were returned.
    returned: usize,
    outcome: ReadOutcome,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = (&self.progress, self.returned, &self.outcome);
        f.debug_tuple("Reading").field(&fields).finish()
    }
}

impl Reading {
    /// The next result, in the order of the queries; `None` after the last one.
    ///
    /// # Errors
    /// A query cannot be answered; then the others are not worth anything.
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

    /// Whether no result that is still to come has native histograms, as far as that is known.
    pub fn rest_excludes_histograms(&self) -> bool {
        let mut rest = self.progress.iter().skip(self.returned);
        rest.all(|progress| progress.excludes_histograms())
    }

    /// What was taken and given so far.
    pub fn outcome(&mut self) -> ReadOutcome {
        for progress in &*self.progress {
            self.outcome.counts += progress.take_counts();
        }
        self.outcome.clone()
    }
}

impl Connector {
    /// Starts to answer the queries of `request`, several at once.
    pub fn read(&self, request: &prompb::ReadRequest, deadline: Instant) -> Reading {
        let selections: Result<Vec<Selection>, _> = request
            .queries
            .iter()
            .map(|query| query_to_selection(query, &self.routing))
            .collect();
        let selections = match selections {
            Ok(selections) => selections,
            Err(error) => {
                let error = ReadError::from(error);
                return Reading {
                    results: Box::pin(stream::iter([Err(error)])),
                    progress: Arc::default(),
                    returned: 0,
                    outcome: ReadOutcome::default(),
                };
            }
        };
        let destinations = selections.iter().flat_map(|it| it.destinations.clone());
        let mut outcome = ReadOutcome {
            destinations: destinations.collect(),
            ..ReadOutcome::default()
        };
        let flights = request.queries.iter().zip(selections);
        let flights = flights.map(|(query, selection)| {
            let key = FlightKey::new(query, &selection);
            let start = |progress| self.start(selection, progress);
            self.flights.join(key, start)
        });
        let flights: Vec<Flight> = flights.collect();
        let joined = flights.iter().filter(|flight| flight.is_joined);
        outcome.shared_queries = joined.count() as u64;
        let progress = flights.iter().map(|flight| Arc::clone(&flight.progress));
        let bounds = Bounds {
            limits: self.read_limits,
            deadline,
            progress: progress.collect(),
        };
        let progress = Arc::clone(&bounds.progress);
        let waiting: Vec<_> = flights
            .into_iter()
            .map(|flight| bounds.clone().wait(flight.result))
            .collect();
        Reading {
            results: Box::pin(stream::iter(waiting).buffered(MAX_CONCURRENT_QUERIES)),
            progress,
            returned: 0,
            outcome,
        }
    }

    /// The query itself, without a deadline: those who wait for it have theirs.
    fn start(&self, selection: Selection, progress: Arc<Progress>) -> Running {
        let connector = self.clone();
        async move {
            let limits = Limits {
                max_retries: connector.max_retries,
                deadline: Instant::now() + NEVER,
            };
            let statements = Statements::new(&connector.timestream, limits, &progress);
            let series = connector.select(&selection, &statements).await?;
            Ok(QueryResult::from(series))
        }
        .boxed()
    }
}

/// What holds for all queries of a request.
#[derive(Clone)]
struct Bounds {
    limits: ReadLimits,
    deadline: Instant,
    progress: Arc<[Arc<Progress>]>,
}

impl Bounds {
    /// The result of one of the queries, unless the deadline passes or all together hold too much.
    async fn wait(self, mut result: Shared<Running>) -> Result<QueryResult, ReadError> {
        let within_limits = poll_fn(|context| {
            // Whoever waits is woken with each part of a page.
            let polled = result.poll_unpin(context);
            let mut size = Size::default();
            for progress in &*self.progress {
                size += progress.size();
            }
            match exceeded(self.limits, size) {
                Some(error) => Poll::Ready(Err(error)),
                None => polled,
            }
        });
        match timeout_at(self.deadline, within_limits).await {
            Ok(result) => result,
            Err(_) => Err(TimestreamError::timeout().into()),
        }
    }
}
