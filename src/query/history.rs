//! Reading by name what tables hold, without a query of remote read: series over a range of time, and
//! the rows of any statement.

use go_regex::escape;
use prom_model::{METRIC_NAME_LABEL, MatchOp};
use prom_wire::response::Series;
use tokio::time::Instant;

use super::progress::Progress;
use super::reads::NEVER;
use super::result::ReadError;
use super::statements::Statements;
use crate::query::Querier;
use crate::storage::destination::Destination;
use crate::storage::read::datum::{Datum, Row};
use crate::storage::read::rows::{RowError, parse_time_ms};
use crate::storage::read::selection::{Matcher, Selection};
use crate::storage::read::sql::first_time;
use crate::storage::read::windows::Wanted;
use crate::timestream::Pages;
use crate::timestream::retry::Limits;

/// The rows of a statement, page by page. If it is dropped before its end, the query is cancelled.
#[derive(Debug)]
pub struct ResultPages {
    pages: Pages,
    limits: Limits,
}

impl ResultPages {
    /// The names of the columns and the rows of the next page, which may be none; `None` after the last
    /// one.
    ///
    /// # Errors
    /// Timestream did not respond.
    pub async fn next(&mut self) -> Result<Option<(Vec<String>, Vec<Row>)>, ReadError> {
        let page = self.pages.next(self.limits).await.result?;
        Ok(page.map(|page| (page.columns, page.rows)))
    }
}

impl Querier {
    /// The series of a table with at least one sample in `range`, which includes both ends, sorted by
    /// labels: those of `metrics`, or all if there are none.
    ///
    /// # Errors
    /// Timestream did not respond, or not before the deadline.
    pub async fn series_of(
        &self,
        destination: &Destination,
        metrics: &[String],
        range: (i64, i64),
        deadline: Option<Instant>,
    ) -> Result<Vec<Series>, ReadError> {
        let matcher = match metrics {
            [] => Matcher::new(MatchOp::NotEqual, METRIC_NAME_LABEL, ""),
            names => {
                let names: Vec<_> = names.iter().map(|name| escape(name)).collect();
                Matcher::new(MatchOp::Regex, METRIC_NAME_LABEL, &names.join("|"))
            }
        };
        let selection = Selection {
            destinations: vec![destination.clone()],
            matchers: vec![matcher?],
            range: Some(range),
            wanted: Wanted::All,
        };
        let progress = Progress::default();
        let limits = self.reading_limits(deadline);
        let statements = Statements::new(&self.timestream, limits, &progress);
        self.select(&selection, &statements).await
    }

    /// The first time at or after `from_ms` at which a table has a row.
    ///
    /// # Errors
    /// As those of [`Self::series_of`].
    pub async fn first_time(
        &self,
        destination: &Destination,
        from_ms: i64,
        deadline: Option<Instant>,
    ) -> Result<Option<i64>, ReadError> {
        let progress = Progress::default();
        let limits = self.reading_limits(deadline);
        let statements = Statements::new(&self.timestream, limits, &progress);
        let rows = statements.rows(first_time(destination, from_ms)).await?;
        match rows.first().and_then(|row| row.first()) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Scalar(time)) => Ok(Some(parse_time_ms(time)?)),
            Some(_) => Err(RowError::Shape("expected a time").into()),
        }
    }

    /// Runs a statement as it is.
    pub fn run_statement(&self, statement: String, deadline: Option<Instant>) -> ResultPages {
        ResultPages {
            pages: self.timestream.query(statement),
            limits: self.reading_limits(deadline),
        }
    }

    fn reading_limits(&self, deadline: Option<Instant>) -> Limits {
        Limits {
            max_retries: self.max_retries,
            deadline: deadline.unwrap_or_else(|| Instant::now() + NEVER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_patterns_for_themselves() {
        let names = [
            "up",
            "a:b",
            "http.code",
            "a|b",
            r"x\y",
            "(z)+[1]{2}^$*?",
            "a-b#c&d~e",
        ];
        let pattern = names.map(escape).join("|");
        let matcher = Matcher::new(MatchOp::Regex, METRIC_NAME_LABEL, &pattern).unwrap();
        for name in names {
            assert!(matcher.matches(name), "{name}");
        }
        assert!(!matcher.matches("httpxcode") && !matcher.matches("a"));
    }
}
