//! Running SQL statements to their last page, and counting what that took.

use super::progress::Progress;
use crate::query::ReadError;
use crate::storage::read::datum::Row;
use crate::timestream::retry::Limits;
use crate::timestream::{Pages, Timestream};

/// Runs the statements of one query of a read request.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    timestream: &'c Timestream,
    limits: Limits,
    progress: &'c Progress,
}

impl<'c> Statements<'c> {
    pub(super) fn new(timestream: &'c Timestream, limits: Limits, progress: &'c Progress) -> Self {
        Self {
            timestream,
            limits,
            progress,
        }
    }

    /// Returns the progress of the query.
    pub(super) fn progress(&self) -> &'c Progress {
        self.progress
    }

    /// Starts a statement.
    pub(super) fn pages(&self, statement: String) -> StatementPages<'c> {
        self.progress.count(|counts| counts.statements += 1);
        StatementPages {
            pages: self.timestream.query(statement),
            limits: self.limits,
            progress: self.progress,
        }
    }

    /// All rows of a statement whose result is small.
    pub(super) async fn rows(&self, statement: String) -> Result<Vec<Row>, ReadError> {
        let mut pages = self.pages(statement);
        let mut all = Vec::new();
        while let Some(rows) = pages.next().await? {
            all.extend(rows);
        }
        Ok(all)
    }
}

/// The pages of the result of a statement. If it is dropped before its end, the query is cancelled.
#[derive(Debug)]
pub(super) struct StatementPages<'c> {
    pages: Pages,
    limits: Limits,
    progress: &'c Progress,
}

impl StatementPages<'_> {
    /// Returns the rows of the next page, which may be none; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Row>>, ReadError> {
        let attempts = self.pages.next(self.limits).await;
        let retries = u64::from(attempts.retries);
        self.progress.count(|counts| counts.retries += retries);
        let Some(next) = attempts.result? else {
            return Ok(None);
        };
        self.progress.count(|counts| {
            counts.pages += 1;
            counts.bytes_scanned += next.bytes.scanned;
            counts.bytes_metered += next.bytes.metered;
        });
        Ok(Some(next.rows))
    }
}
