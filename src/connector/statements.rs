//! Running SQL statements to their last page, and counting what that took.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ReadError;
use crate::convert::rows::RowError;
use crate::model::Row;
use crate::timestream::Timestream;
use crate::timestream::retry::Limits;

/// Runs the statements of one read request.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    timestream: &'c Timestream,
    limits: Limits,
    statements: AtomicU64,
    retries: AtomicU64,
}

impl<'c> Statements<'c> {
    pub(super) fn new(timestream: &'c Timestream, limits: Limits) -> Self {
        Self {
            timestream,
            limits,
            statements: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// Statements run so far.
    pub(super) fn count(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Calls made again so far.
    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Hands the rows of each page to `page`.
    pub(super) async fn for_each_page(
        &self,
        statement: String,
        mut page: impl FnMut(Vec<Row>) -> Result<(), RowError>,
    ) -> Result<(), ReadError> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let mut pages = self.timestream.query(statement);
        loop {
            let tried = pages.next(self.limits).await;
            self.retries
                .fetch_add(u64::from(tried.retries), Ordering::Relaxed);
            match tried.result? {
                Some(rows) => page(rows)?,
                None => return Ok(()),
            }
        }
    }

    /// All rows of a statement whose result is small.
    pub(super) async fn rows(&self, statement: String) -> Result<Vec<Row>, ReadError> {
        let mut all = Vec::new();
        self.for_each_page(statement, |rows| {
            all.extend(rows);
            Ok(())
        })
        .await?;
        Ok(all)
    }
}
