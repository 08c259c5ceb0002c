//! Remote read: queries of a request that run at once, and their results one by one.

use std::fmt;
use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use prom_wire::budget::Reservation;
use prom_wire::prompb;
use tokio::time::Instant;

use super::reads::{MAX_CONCURRENT_QUERIES, ReadOutcome, Reads};
use super::result::{QueryResult, ReadError};
use crate::query::Querier;

/// The results of a read request. If it is dropped, its queries are cancelled.
pub struct ReadStream {
    results: Pin<Box<dyn Stream<Item = Result<QueryResult, ReadError>> + Send>>,
    reads: Reads,
}

impl fmt::Debug for ReadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadStream").field(&self.reads).finish()
    }
}

impl ReadStream {
    /// The next result, in the order of the queries; `None` after the last one.
    ///
    /// # Errors
    /// A query failed; then the results of the others are of no use.
    pub async fn next(&mut self) -> Option<Result<QueryResult, ReadError>> {
        let result = self.results.next().await?;
        if let Ok(series) = &result {
            self.reads.count(series);
        }
        Some(result)
    }

    /// Adds what the queries took since the last time to the outcome.
    pub fn take_counts(&mut self) {
        self.reads.take_counts();
    }

    /// Returns what was taken, up to [`Self::take_counts`], and given so far.
    pub fn outcome(&self) -> ReadOutcome {
        self.reads.outcome()
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
        let mut reads = self.reads(deadline);
        let results = match reads.selections(&request.queries, reservation).await {
            Ok(selections) => {
                let queries = request.queries.iter().zip(selections);
                let queries: Vec<_> = queries
                    .map(|(query, selection)| reads.start(query, selection))
                    .collect();
                stream::iter(queries)
                    .buffered(MAX_CONCURRENT_QUERIES)
                    .boxed()
            }
            Err(error) => stream::iter([Err(error)]).boxed(),
        };
        ReadStream { results, reads }
    }
}
