//! A body of pushed rows, read batch by batch.
//!
//! The body is read up to three times: to check it and to count its rows, so that nothing is delivered of a body
//! that cannot be read; for the samples; and, from the first row on that is not a sample, for those rows. Reading
//! is cheap beside sending, and no more than a batch is ever in memory.

use tokio::time::timeout_at;

use super::point::Point;
use super::reader::{RawRow, RowReader};
use super::row::{BadRow, Fields, sample_of};
use crate::jobs::job::{JobContext, RunError};
use crate::json::LONG_BYTES;

/// Rows of a body: about as many as 32 MiB of the shortest samples, of 28 to 37 bytes, have.
const MAX_ROWS: usize = 1_000_000;
/// Rows that are stored as dead letters at a time.
const MAX_BAD_AT_ONCE: usize = 1_000;

/// The rows of one body.
pub(super) struct PushedRows<'a> {
    run: &'a JobContext<'a>,
    fields: &'a Fields,
    now_ms: i64,
    is_long: bool,
    /// Reads samples.
    reader: RowReader<'a>,
    /// Reads rows that are not samples, once there is one.
    bad_reader: Option<RowReader<'a>>,
}

impl<'a> PushedRows<'a> {
    /// Returns a reader at the first row. A row without a time gets `now_ms`.
    pub(super) fn new(
        body: &'a [u8],
        fields: &'a Fields,
        now_ms: i64,
        run: &'a JobContext<'a>,
    ) -> Self {
        Self {
            run,
            fields,
            now_ms,
            is_long: body.len() > LONG_BYTES,
            reader: RowReader::new(body),
            bad_reader: None,
        }
    }

    /// Checks that all rows can be read.
    ///
    /// # Errors
    /// The body is not JSON, or has too many rows.
    pub(super) async fn check(&self) -> Result<(), RunError> {
        let mut reader = self.reader;
        let step = || match reader.next() {
            None => Some(Ok(())),
            Some(Ok(row)) if row.number <= MAX_ROWS => None,
            Some(Ok(_)) => Some(Err(RunError::TooManyRows(format!(
                "the body has more than {MAX_ROWS} rows; push fewer at a time"
            )))),
            Some(Err(error)) => Some(Err(RunError::Failed(format!(
                "the rows cannot be read: {error}; expected a JSON array of objects, or one on each line"
            )))),
        };
        self.in_slices(step).await?
    }

    /// Returns the next samples: as many as `max_samples`, or fewer where those occupy `max_memory`.
    /// An empty batch is the end.
    pub(super) async fn next_batch(
        &mut self,
        max_samples: usize,
        max_memory: usize,
    ) -> Result<Vec<Point>, RunError> {
        let (mut batch, mut memory) = (Vec::new(), 0);
        let (mut reader, mut bad_reader) = (self.reader, self.bad_reader);
        let step = || {
            let before = reader;
            let Some(row) = next(&mut reader) else {
                return Some(());
            };
            match self.sample_of(row) {
                Ok(point) => {
                    memory += point.memory();
                    batch.push(point);
                }
                Err(_) => drop(bad_reader.get_or_insert(before)),
            }
            (batch.len() >= max_samples || memory >= max_memory).then_some(())
        };
        self.in_slices(step).await?;
        (self.reader, self.bad_reader) = (reader, bad_reader);
        Ok(batch)
    }

    /// Returns the next rows that are not samples, after the last batch; no rows are the end.
    pub(super) async fn next_bad(&mut self) -> Result<Vec<BadRow>, RunError> {
        let Some(mut reader) = self.bad_reader else {
            return Ok(Vec::new());
        };
        let mut rows = Vec::new();
        let step = || {
            let Some(row) = next(&mut reader) else {
                return Some(());
            };
            if let Err(row) = self.sample_of(row) {
                rows.push(row);
            }
            (rows.len() >= MAX_BAD_AT_ONCE).then_some(())
        };
        self.in_slices(step).await?;
        self.bad_reader = Some(reader);
        Ok(rows)
    }

    fn sample_of(&self, row: RawRow<'_>) -> Result<Point, BadRow> {
        sample_of(row, self.fields, self.now_ms)
    }

    /// Calls `step` until it returns a value, so that other requests are served meanwhile, and until the
    /// deadline of the run.
    async fn in_slices<T>(&self, step: impl FnMut() -> Option<T>) -> Result<T, RunError> {
        let compute = self.run.ingester.compute();
        let computing = compute.run_in_slices(self.is_long, step);
        match self.run.deadline {
            Some(deadline) => timeout_at(deadline, computing)
                .await
                .map_err(|_| RunError::Interrupted),
            None => Ok(computing.await),
        }
    }
}

/// Returns the next row of a body that was checked.
fn next<'b>(reader: &mut RowReader<'b>) -> Option<RawRow<'b>> {
    reader.next()?.ok()
}
