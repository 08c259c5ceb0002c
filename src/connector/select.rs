//! One query: its destinations, their columns, the SQL, the rows.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::schemas::SchemaKey;
use super::statements::Statements;
use super::{Connector, ReadError};
use crate::convert::matcher::Selection;
use crate::convert::rows::{Content, Series, SeriesBuilder};
use crate::convert::schema::{Schema, measures};
use crate::convert::sql::{BINS, SeriesQuery, describe, selection_to_sql, show_measures};
use crate::model::{Destination, Row};

/// The words with which the service refuses a result row of 1 MB or more.
const ROW_TOO_LARGE: &str = "max page response size has been exceeded";
/// More measures than this are cheaper to ask for at once, with the whole table.
const MAX_SHOWN_MEASURES: usize = 2;

impl Connector {
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
        for (place, destination) in destinations.iter().enumerate() {
            let is_last = place + 1 == destinations.len();
            let found = self.select_from(selection, destination, is_last, statements);
            series.merge(found.await?);
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
        is_last: bool,
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
        let progress = statements.progress();
        let before = progress.size();
        loop {
            progress.set_size(before);
            let queries = selection_to_sql(selection, destination, &used, bin)?;
            if queries.is_empty() && is_present {
                return Ok(SeriesBuilder::new(selection));
            }
            let mut contents = queries.iter().map(|query| query.columns.content);
            let may_have_histograms = contents.any(|content| content == Content::Histograms);
            progress.plan(may_have_histograms, is_last);
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
                for row in rows {
                    let added = series.add_row(&columns, row)?;
                    statements.progress().grow(added);
                }
                Ok(())
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
