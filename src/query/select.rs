//! One query: its destinations, their columns, the SQL, the rows.

use std::sync::Arc;

use futures_util::future::try_join_all;
use prom_wire::response::Series;

use super::schemas::SchemaKey;
use super::statements::Statements;
use crate::query::{Querier, ReadError};
use crate::storage::destination::Destination;
use crate::storage::read::rows::SeriesBuilder;
use crate::storage::read::schema::{Schema, measures};
use crate::storage::read::selection::Selection;
use crate::storage::read::sql::{BINS, SeriesQuery, describe, selection_to_sql, show_measures};
use crate::timestream::ErrorKind;

/// More measures than this are cheaper to list at once, with the whole table.
const MAX_SHOWN_MEASURES: usize = 2;

/// A result of this size takes longer to put into order than a thread that serves connections may be
/// occupied.
const LONG_SAMPLES: u64 = 500_000;
const LONG_BYTES: u64 = 2 << 20;

/// The result of queries by a schema.
enum Selected<'s> {
    Series(SeriesBuilder<'s>),
    /// The table has this schema now; the queries named other columns.
    SchemaChanged(Schema),
}

impl Querier {
    /// The series that `selection` selects, sorted by labels.
    pub(super) async fn select(
        &self,
        selection: &Selection,
        statements: &Statements<'_>,
    ) -> Result<Vec<Series>, ReadError> {
        let mut series = SeriesBuilder::new(selection);
        let destinations = match selection.range {
            Some(_) => &selection.destinations[..],
            None => &[],
        };
        for destination in destinations {
            let found = self.select_from(selection, destination, statements);
            series.merge(found.await?);
        }
        let size = statements.progress().size();
        let is_long = size.samples > LONG_SAMPLES || size.bytes > LONG_BYTES;
        Ok(self.compute.run_if(is_long, || series.finish()).await)
    }

    /// Returns the series of one table.
    ///
    /// A query that names too few columns merges series without an error. So the columns are read beside each
    /// query, and if they are not those that it named, it runs again.
    async fn select_from<'s>(
        &self,
        selection: &'s Selection,
        destination: &Destination,
        statements: &Statements<'_>,
    ) -> Result<SeriesBuilder<'s>, ReadError> {
        // Of the whole table where a statement for each measure would cost more.
        let few = measures(selection).filter(|it| it.doubles.len() <= MAX_SHOWN_MEASURES);
        let key = (destination.clone(), few);
        let remembered = self.schemas.get(&key);
        let mut is_present = remembered.is_none();
        let mut used = match remembered {
            Some(schema) => schema,
            None => self.remember(&key, schema(&key, statements).await?),
        };
        loop {
            let selected = self.select_by(&used, is_present, selection, &key, statements);
            match selected.await? {
                Selected::Series(series) => return Ok(series),
                Selected::SchemaChanged(present) => {
                    used = self.remember(&key, present);
                    is_present = true;
                }
            }
        }
    }

    /// Returns the series of one table by a schema, in bins that are narrow enough for the rows that Timestream
    /// returns. If nothing can be queried by a schema that is not present, the present one is still looked up.
    async fn select_by<'s>(
        &self,
        used: &Schema,
        is_present: bool,
        selection: &'s Selection,
        key: &SchemaKey,
        statements: &Statements<'_>,
    ) -> Result<Selected<'s>, ReadError> {
        let progress = statements.progress();
        let before = progress.size();
        let mut bins = BINS.into_iter();
        let mut bin = bins.next().expect("there is at least one width");
        loop {
            let queries = selection_to_sql(selection, &key.0, used, bin)?;
            if queries.is_empty() && is_present {
                return Ok(Selected::Series(SeriesBuilder::new(selection)));
            }
            let (result, present) = tokio::join!(
                self.run(selection, queries, statements),
                schema(key, statements)
            );
            let present = present?;
            if present != *used {
                progress.shrink_to(before);
                return Ok(Selected::SchemaChanged(present));
            }
            match result {
                Err(ReadError::Timestream(error)) if error.kind == ErrorKind::RowTooLarge => {
                    progress.shrink_to(before);
                    bin = bins.next().ok_or(error)?;
                }
                result => return result.map(Selected::Series),
            }
        }
    }

    /// The series of all of the queries, which run at once.
    async fn run<'s>(
        &self,
        selection: &'s Selection,
        queries: Vec<SeriesQuery>,
        statements: &Statements<'_>,
    ) -> Result<SeriesBuilder<'s>, ReadError> {
        let is_heavy = selection.is_heavy();
        let runs = queries.into_iter().map(|SeriesQuery { text, columns }| {
            let mut series = SeriesBuilder::new(selection);
            async move {
                let mut pages = statements.pages(text);
                while let Some(rows) = pages.next().await? {
                    let mut rows = rows.into_iter();
                    let add_row = || match rows.next() {
                        None => Some(Ok(())),
                        Some(row) => match series.add_row(&columns, row) {
                            Ok(added) => {
                                statements.progress().grow(added);
                                None
                            }
                            Err(error) => Some(Err(error)),
                        },
                    };
                    self.compute.run_in_slices(is_heavy, add_row).await?;
                }
                Ok::<_, ReadError>(series)
            }
        });
        let mut all = SeriesBuilder::new(selection);
        for found in try_join_all(runs).await? {
            all.merge(found);
        }
        Ok(all)
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
        Some(measures) => {
            let mut rows = Vec::new();
            for pattern in measures.patterns() {
                rows.extend(
                    statements
                        .rows(show_measures(destination, &pattern))
                        .await?,
                );
            }
            Ok(Schema::from_show_measures(&rows, measures)?)
        }
        None => Ok(Schema::from_describe(
            &statements.rows(describe(destination)).await?,
        )?),
    }
}
