//! Running SQL statements to their last page, and counting what that took.

use std::sync::{Mutex, MutexGuard};

use super::ReadError;
use crate::convert::rows::RowError;
use crate::model::Row;
use crate::timestream::retry::Limits;
use crate::timestream::{QueryBytes, Timestream};

/// Runs the statements of one read request.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    timestream: &'c Timestream,
    limits: Limits,
    counts: Mutex<StatementCounts>,
}

/// What the statements of a read request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatementCounts {
    /// Statements sent to Timestream.
    pub statements: u64,
    /// Result pages received, empty ones included.
    pub pages: u64,
    /// Calls made again.
    pub retries: u64,
    /// Bytes that Timestream scanned.
    pub bytes_scanned: u64,
    /// Bytes that AWS charges for, where it charges by bytes.
    pub bytes_metered: u64,
}

impl<'c> Statements<'c> {
    pub(super) fn new(timestream: &'c Timestream, limits: Limits) -> Self {
        Self {
            timestream,
            limits,
            counts: Mutex::default(),
        }
    }

    /// What was done so far.
    pub(super) fn counts(&self) -> StatementCounts {
        *self.lock()
    }

    /// Hands the rows of each page to `page`.
    pub(super) async fn for_each_page(
        &self,
        statement: String,
        mut page: impl FnMut(Vec<Row>) -> Result<(), RowError>,
    ) -> Result<(), ReadError> {
        self.lock().statements += 1;
        let mut pages = self.timestream.query(statement);
        loop {
            let tried = pages.next(self.limits).await;
            self.lock().retries += u64::from(tried.retries);
            let Some(next) = tried.result? else {
                return Ok(());
            };
            self.add(next.bytes);
            page(next.rows)?;
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

    fn add(&self, bytes: QueryBytes) {
        let mut counts = self.lock();
        counts.pages += 1;
        counts.bytes_scanned += bytes.scanned;
        counts.bytes_metered += bytes.metered;
    }

    fn lock(&self) -> MutexGuard<'_, StatementCounts> {
        self.counts
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}
