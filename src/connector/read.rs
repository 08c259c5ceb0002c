//! The read use case: for each query the destinations, their columns, the SQL, the rows.

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::Connector;
use crate::convert::matcher::{QueryError, Selection, query_to_selection};
use crate::convert::rows::{RowError, SeriesBuilder};
use crate::convert::schema::{Schema, measures};
use crate::convert::sql::{BINS, SeriesQuery, describe, selection_to_sql, show_measures};
use crate::model::{Destination, Row, Series};
use crate::prompb;
use crate::timestream::retry::Limits;
use crate::timestream::{ErrorKind, TimestreamError};

/// Queries of one request that run at once, as many as Prometheus' own server answers.
const MAX_CONCURRENT_QUERIES: usize = 10;
/// The words with which the service refuses a result row of 1 MB or more.
const ROW_TOO_LARGE: &str = "max page response size has been exceeded";
/// The end of the words with which the service refuses a column that it does not know.
const NO_SUCH_COLUMN: &str = "does not exist";

/// The results of a read request and what they took.
#[derive(Debug, Default)]
pub struct ReadOutcome {
    /// One result for each query, in the order of the queries.
    pub results: Vec<Vec<Series>>,
    /// Statements sent to Timestream.
    pub statements: u64,
    /// Calls made again.
    pub retries: u64,
}

impl ReadOutcome {
    /// Samples in all results.
    pub fn samples(&self) -> u64 {
        self.results
            .iter()
            .flatten()
            .map(|series| series.samples.len() as u64)
            .sum()
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
    /// Answers the queries of `request`, several at once.
    ///
    /// # Errors
    /// The first query that cannot be answered; the others are cancelled.
    pub async fn read(
        &self,
        request: &prompb::ReadRequest,
        deadline: Instant,
    ) -> Result<ReadOutcome, ReadError> {
        let selections = request
            .queries
            .iter()
            .map(|query| query_to_selection(query, &self.routing))
            .collect::<Result<Vec<_>, _>>()?;
        let limits = Limits {
            max_retries: self.max_retries,
            deadline,
        };
        // Collected, because a future that holds this closure is not known to be Send.
        let readings: Vec<_> = selections
            .iter()
            .map(|selection| {
                let reading = Reading {
                    connector: self,
                    limits,
                    statements: 0,
                    retries: 0,
                };
                reading.select(selection)
            })
            .collect();
        let mut answers = stream::iter(readings).buffered(MAX_CONCURRENT_QUERIES);
        let mut outcome = ReadOutcome::default();
        while let Some((series, statements, retries)) = answers.try_next().await? {
            outcome.results.push(series);
            outcome.statements += statements;
            outcome.retries += retries;
        }
        Ok(outcome)
    }
}

/// The work on one query.
struct Reading<'c> {
    connector: &'c Connector,
    limits: Limits,
    statements: u64,
    retries: u64,
}

impl Reading<'_> {
    /// The series, the number of statements and that of retries.
    async fn select(mut self, selection: &Selection) -> Result<(Vec<Series>, u64, u64), ReadError> {
        let mut builder = SeriesBuilder::new(selection);
        if selection.range.is_some() {
            for destination in &selection.destinations {
                self.select_from(selection, destination, &mut builder)
                    .await?;
            }
        }
        Ok((builder.finish(), self.statements, self.retries))
    }

    async fn select_from(
        &mut self,
        selection: &Selection,
        destination: &Destination,
        builder: &mut SeriesBuilder<'_>,
    ) -> Result<(), ReadError> {
        let mut bins = BINS.iter();
        let mut bin = bins.next().expect("there is at least one width");
        let mut schema = self.schema(selection, destination).await?;
        let mut renewed = false;
        loop {
            let Some(query) = selection_to_sql(selection, destination, &schema, bin)? else {
                return Ok(());
            };
            match self.run(query, builder).await {
                // Samples that arrived before the error arrive again; the builder keeps each once.
                Err(ReadError::Timestream(error)) if error.message.contains(ROW_TOO_LARGE) => {
                    bin = bins.next().ok_or(error)?;
                }
                // Right after a new label the service may know its column here and not there.
                Err(ReadError::Timestream(error)) if !renewed && is_unknown_column(&error) => {
                    renewed = true;
                    schema = self.schema(selection, destination).await?;
                }
                result => return result,
            }
        }
    }

    /// The columns that the metrics of `selection` have, or those of the whole table where the
    /// metrics are not known.
    async fn schema(
        &mut self,
        selection: &Selection,
        destination: &Destination,
    ) -> Result<Schema, ReadError> {
        match measures(selection) {
            // More names than this are cheaper to answer at once.
            Some(measures) if measures.len() <= 2 => {
                let mut rows = Vec::new();
                for measure in &measures {
                    rows.extend(self.all_rows(show_measures(destination, measure)).await?);
                }
                Ok(Schema::from_show_measures(&rows, &measures))
            }
            _ => Ok(Schema::from_describe(
                &self.all_rows(describe(destination)).await?,
            )),
        }
    }

    async fn run(
        &mut self,
        query: SeriesQuery,
        builder: &mut SeriesBuilder<'_>,
    ) -> Result<(), ReadError> {
        self.for_each_page(query.text, |rows| {
            rows.into_iter()
                .try_for_each(|row| builder.add_row(&query.dimensions, row))
        })
        .await
    }

    async fn all_rows(&mut self, statement: String) -> Result<Vec<Row>, ReadError> {
        let mut all = Vec::new();
        self.for_each_page(statement, |rows| {
            all.extend(rows);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    async fn for_each_page(
        &mut self,
        statement: String,
        mut page: impl FnMut(Vec<Row>) -> Result<(), RowError>,
    ) -> Result<(), ReadError> {
        self.statements += 1;
        let mut pages = self.connector.timestream.query(statement);
        loop {
            let tried = pages.next(self.limits).await;
            self.retries += u64::from(tried.retries);
            match tried.result? {
                Some(rows) => page(rows)?,
                None => return Ok(()),
            }
        }
    }
}

fn is_unknown_column(error: &TimestreamError) -> bool {
    error.kind == ErrorKind::Validation
        && error.message.contains("Column")
        && error.message.contains(NO_SUCH_COLUMN)
}
