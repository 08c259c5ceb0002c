//! The read use case: for each query the destinations, their columns, the SQL, the rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::Connector;
use super::schemas::SchemaKey;
use super::statements::{StatementCounts, Statements};
use crate::convert::matcher::{QueryError, Selection, query_to_selection};
use crate::convert::rows::{RowError, SeriesBuilder};
use crate::convert::schema::{Schema, measures};
use crate::convert::sql::{BINS, SeriesQuery, describe, selection_to_sql, show_measures};
use crate::model::{Destination, Row, Series};
use crate::prompb;
use crate::timestream::TimestreamError;
use crate::timestream::retry::Limits;

/// Queries of one request that run at once, as many as Prometheus' own server answers.
const MAX_CONCURRENT_QUERIES: usize = 10;
/// The words with which the service refuses a result row of 1 MB or more.
const ROW_TOO_LARGE: &str = "max page response size has been exceeded";
/// More measures than this are cheaper to ask for at once, with the whole table.
const MAX_SHOWN_MEASURES: usize = 2;

/// What became of a read request and what that took.
#[derive(Debug)]
pub struct ReadOutcome {
    /// One result for each query, in the order of the queries; or the first query that cannot be
    /// answered.
    pub results: Result<Vec<Vec<Series>>, ReadError>,
    /// The tables asked, each once.
    pub destinations: BTreeSet<Destination>,
    /// What was done, whether or not there are results.
    pub counts: StatementCounts,
    /// Series in all results.
    pub series: u64,
    /// Samples in all results, native histograms among them.
    pub samples: u64,
}

impl ReadOutcome {
    fn new(
        results: Result<Vec<Vec<Series>>, ReadError>,
        destinations: BTreeSet<Destination>,
        counts: StatementCounts,
    ) -> Self {
        let all = || results.iter().flatten().flatten();
        Self {
            series: all().count() as u64,
            samples: all()
                .map(|series| (series.samples.len() + series.histograms.len()) as u64)
                .sum(),
            results,
            destinations,
            counts,
        }
    }
}

/// Why a read request cannot be answered.
#[derive(Debug, thiserror::Error)]
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
}

impl Connector {
    /// Answers the queries of `request`, several at once. When one cannot be answered the others
    /// are cancelled.
    pub async fn read(&self, request: &prompb::ReadRequest, deadline: Instant) -> ReadOutcome {
        let selections: Result<Vec<_>, _> = request
            .queries
            .iter()
            .map(|query| query_to_selection(query, &self.routing))
            .collect();
        let selections = match selections {
            Ok(selections) => selections,
            Err(error) => {
                let counts = StatementCounts::default();
                return ReadOutcome::new(Err(error.into()), BTreeSet::new(), counts);
            }
        };
        let limits = Limits {
            max_retries: self.max_retries,
            deadline,
        };
        let statements = Statements::new(&self.timestream, limits);
        // Collected, because a future that holds this closure is not known to be Send.
        let readings: Vec<_> = selections
            .iter()
            .map(|selection| self.select(selection, &statements))
            .collect();
        let answers = stream::iter(readings).buffered(MAX_CONCURRENT_QUERIES);
        let results = answers.try_collect().await;
        let destinations = selections
            .iter()
            .flat_map(|selection| selection.destinations.iter().cloned())
            .collect();
        ReadOutcome::new(results, destinations, statements.counts())
    }

    async fn select(
        &self,
        selection: &Selection,
        statements: &Statements<'_>,
    ) -> Result<Vec<Series>, ReadError> {
        let mut series = SeriesBuilder::new(selection);
        if selection.range.is_some() {
            for destination in &selection.destinations {
                let found = self.select_from(selection, destination, statements);
                series.merge(found.await?);
            }
        }
        Ok(series.finish())
    }

    /// The series of one table.
    ///
    /// A query that names too few columns merges series without any error to tell. So the columns
    /// are asked for beside each query, and if they are not those that it named, it runs again.
    async fn select_from<'s>(
        &self,
        selection: &'s Selection,
        destination: &Destination,
        statements: &Statements<'_>,
    ) -> Result<SeriesBuilder<'s>, ReadError> {
        let measures = measures(selection);
        let key = (destination.clone(), measures);
        let mut bins = BINS.iter();
        let mut bin = bins.next().expect("there is at least one width");
        let remembered = self.schemas.get(&key);
        let mut is_present = remembered.is_none();
        let mut used = match remembered {
            Some(schema) => schema,
            None => self.remember(&key, schema(&key, statements).await?),
        };
        loop {
            let queries = selection_to_sql(selection, destination, &used, bin)?;
            if queries.is_empty() && is_present {
                return Ok(SeriesBuilder::new(selection));
            }
            let (result, present) = tokio::join!(
                run(selection, queries, statements),
                schema(&key, statements)
            );
            let present = present?;
            if present != *used {
                used = self.remember(&key, present);
                is_present = true;
                continue;
            }
            match result {
                Err(ReadError::Timestream(error)) if error.message.contains(ROW_TOO_LARGE) => {
                    bin = bins.next().ok_or(error)?;
                }
                result => return result,
            }
        }
    }

    fn remember(&self, key: &SchemaKey, schema: Schema) -> Arc<Schema> {
        let schema = Arc::new(schema);
        self.schemas.put(key.clone(), Arc::clone(&schema));
        schema
    }
}

/// The columns that the measures of `key` have, or those of the whole table where the measures are
/// not known.
async fn schema(key: &SchemaKey, statements: &Statements<'_>) -> Result<Schema, ReadError> {
    let (destination, measures) = key;
    match measures {
        Some(measures) if measures.doubles.len() <= MAX_SHOWN_MEASURES => {
            let mut rows = Vec::new();
            for pattern in measures.patterns() {
                rows.extend(
                    statements
                        .rows(show_measures(destination, &pattern))
                        .await?,
                );
            }
            Ok(Schema::from_show_measures(&rows, measures))
        }
        _ => Ok(Schema::from_describe(
            &statements.rows(describe(destination)).await?,
        )),
    }
}

/// The series of all of the queries, which run at once.
async fn run<'s>(
    selection: &'s Selection,
    queries: Vec<SeriesQuery>,
    statements: &Statements<'_>,
) -> Result<SeriesBuilder<'s>, ReadError> {
    let runs = queries.into_iter().map(|SeriesQuery { text, columns }| {
        let mut series = SeriesBuilder::new(selection);
        async move {
            let add = |rows: Vec<Row>| {
                let mut rows = rows.into_iter();
                rows.try_for_each(|row| series.add_row(&columns, row))
            };
            statements.for_each_page(text, add).await?;
            Ok::<_, ReadError>(series)
        }
    });
    let mut all = SeriesBuilder::new(selection);
    for found in try_join_all(runs).await? {
        all.merge(found);
    }
    Ok(all)
}
