//! Running SQL statements to their last page, and counting what that took.

use std::ops::AddAssign;

use super::ReadError;
use super::progress::Progress;
use crate::convert::rows::RowError;
use crate::model::Row;
use crate::timestream::Timestream;
use crate::timestream::retry::Limits;

/// Runs the statements of one query of a read request.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    timestream: &'c Timestream,
    limits: Limits,
    progress: &'c Progress,
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

impl AddAssign for StatementCounts {
    fn add_assign(&mut self, other: Self) {
        self.statements += other.statements;
        self.pages += other.pages;
        self.retries += other.retries;
        self.bytes_scanned += other.bytes_scanned;
        self.bytes_metered += other.bytes_metered;
    }
}

impl<'c> Statements<'c> {
    pub(super) fn new(timestream: &'c Timestream, limits: Limits, progress: &'c Progress) -> Self {
        Self {
            timestream,
            limits,
            progress,
        }
    }

    /// What is known of the query while it runs.
    pub(super) fn progress(&self) -> &'c Progress {
        self.progress
    }

    /// Hands the rows of each page to `page`.
    pub(super) async fn for_each_page(
        &self,
        statement: String,
        mut page: impl FnMut(Vec<Row>) -> Result<(), RowError>,
    ) -> Result<(), ReadError> {
        self.progress.count(|counts| counts.statements += 1);
        let mut pages = self.timestream.query(statement);
        loop {
            let tried = pages.next(self.limits).await;
            let retries = u64::from(tried.retries);
            self.progress.count(|counts| counts.retries += retries);
            let Some(next) = tried.result? else {
                return Ok(());
            };
            self.progress.count(|counts| {
                counts.pages += 1;
                counts.bytes_scanned += next.bytes.scanned;
                counts.bytes_metered += next.bytes.metered;
            });
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
}
