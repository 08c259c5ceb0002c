//! Results that are fetched page by page.
//!
//! A result is computed once and kept; a token names the run and how far it has been read. Only the
//! last two tokens of a run are good: the one used last (the same token gives the same rows) and
//! the one it was answered with.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::QueryResult;
use crate::{
    error::{ErrorKind, ServiceError},
    ids, limits,
    protocol::{CancelQueryRequest, CancelQueryResponse, QueryRequest},
    write::Violations,
};

/// Unfinished results kept; the oldest is dropped for a new one.
const MAX_RUNS: usize = 128;

/// The queries whose results are not read to the end yet.
#[derive(Debug, Default)]
pub(crate) struct Queries(Mutex<Runs>);

/// One answer.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    pub(crate) rows: usize,
}

#[derive(Debug, Default)]
struct Runs {
    by_id: HashMap<String, Run>,
    by_token: HashMap<String, String>,
    oldest_first: VecDeque<String>,
    cancelled: VecDeque<String>,
}

#[derive(Debug)]
struct Run {
    sql: String,
    result: QueryResult,
    used: Option<Cursor>,
    next: Option<Cursor>,
}

#[derive(Debug, Clone)]
struct Cursor {
    token: String,
    first_row: usize,
}

impl Queries {
    /// Answers a Query call; `run` computes the result of a new query.
    pub(crate) fn query(
        &self,
        request: &QueryRequest,
        run: impl FnOnce(&str) -> Result<QueryResult, ServiceError>,
    ) -> Result<Page, ServiceError> {
        check(request)?;
        let sql = request.query_string.as_deref().unwrap_or_default();
        let max_rows = request.max_rows.map(|rows| rows.unsigned_abs() as usize);
        match &request.next_token {
            Some(token) => self.lock().next_page(sql, token, max_rows),
            None => {
                let result = run(sql)?;
                self.lock().first_page(sql, result, max_rows)
            }
        }
    }

    /// Forgets a query. Repeating it is no error; a query that has ended is none either.
    pub(crate) fn cancel(
        &self,
        request: &CancelQueryRequest,
    ) -> Result<CancelQueryResponse, ServiceError> {
        let id = request.query_id.as_deref();
        let mut violations = Violations::default();
        violations.required("queryId", id);
        if let Some(id) = id {
            violations.length("queryId", id, 1..=64);
            let is_match = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
            violations.pattern("queryId", id, "[a-zA-Z0-9]+", is_match);
        }
        violations.into_result()?;
        let id = id.unwrap_or_default();
        let mut runs = self.lock();
        let was_cancelled = runs.cancelled.iter().any(|cancelled| cancelled == id);
        if !was_cancelled {
            runs.forget(id);
            runs.cancelled.push_back(id.to_owned());
            if runs.cancelled.len() > MAX_RUNS {
                runs.cancelled.pop_front();
            }
        }
        let message = was_cancelled.then(|| format!("Query {id} has already been cancelled."));
        Ok(CancelQueryResponse {
            cancellation_message: message,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runs {
    /// A large result starts with an empty page, as one that takes long does.
    fn first_page(
        &mut self,
        sql: &str,
        result: QueryResult,
        max_rows: Option<usize>,
    ) -> Result<Page, ServiceError> {
        let id = ids::query_id();
        let total_bytes: usize = result.rows.iter().map(String::len).sum();
        let is_large = total_bytes >= limits::MAX_PAGE_BYTES
            && max_rows.is_none_or(|max_rows| result.rows.len() >= max_rows);
        let end = if is_large {
            0
        } else {
            page_end(&result.rows, 0, max_rows)
        };
        let mut run = Run {
            sql: sql.to_owned(),
            result,
            used: None,
            next: None,
        };
        run.advance(end);
        let page = run.page(&id, 0..end);
        if let Some(next) = &run.next {
            self.by_token.insert(next.token.clone(), id.clone());
            self.by_id.insert(id.clone(), run);
            self.oldest_first.push_back(id);
            if self.oldest_first.len() > MAX_RUNS
                && let Some(oldest) = self.oldest_first.pop_front()
            {
                self.forget(&oldest);
            }
        }
        Ok(page)
    }

    fn next_page(
        &mut self,
        sql: &str,
        token: &str,
        max_rows: Option<usize>,
    ) -> Result<Page, ServiceError> {
        if let Some(id) = self.by_token.get(token)
            && self.cancelled.contains(id)
        {
            let message = "Unable to poll results for a cancelled query";
            return Err(ServiceError::new(ErrorKind::Conflict, message));
        }
        let invalid = || ServiceError::validation("Invalid pagination token");
        let id = self.by_token.get(token).cloned().ok_or_else(invalid)?;
        let run = self
            .by_id
            .get_mut(&id)
            .filter(|run| run.sql == sql)
            .ok_or_else(invalid)?;
        let cursors = [&run.used, &run.next];
        let cursor = cursors
            .into_iter()
            .flatten()
            .find(|cursor| cursor.token == token);
        let cursor = cursor.cloned().ok_or_else(invalid)?;
        let end = page_end(&run.result.rows, cursor.first_row, max_rows);
        let range = cursor.first_row..end;
        let is_repeated = run.used.as_ref().is_some_and(|used| used.token == token);
        if !is_repeated {
            if let Some(spent) = run.used.replace(cursor) {
                self.by_token.remove(&spent.token);
            }
            run.next = None;
        }
        if run.next.as_ref().is_none_or(|next| next.first_row != end) {
            if let Some(replaced) = run.next.take() {
                self.by_token.remove(&replaced.token);
            }
            run.advance(end);
        }
        if let Some(next) = &run.next {
            self.by_token.insert(next.token.clone(), id.clone());
        }
        Ok(run.page(&id, range))
    }

    /// Drops a run; its tokens stay known for as long as it counts as cancelled.
    fn forget(&mut self, id: &str) {
        self.by_id.remove(id);
        self.oldest_first.retain(|known| known != id);
        let cancelled = &self.cancelled;
        let by_id = &self.by_id;
        self.by_token
            .retain(|_, of| of == id || by_id.contains_key(of) || cancelled.contains(of));
    }
}

impl Run {
    /// Makes a token for what is left from this row on, if anything is.
    fn advance(&mut self, first_row: usize) {
        self.next = (first_row < self.result.rows.len()).then(|| Cursor {
            token: ids::token(),
            first_row,
        });
    }

    fn page(&self, id: &str, range: std::ops::Range<usize>) -> Page {
        let rows = &self.result.rows[range.clone()];
        let progress = if self.result.rows.is_empty() {
            100.0
        } else {
            100.0 * range.end as f64 / self.result.rows.len() as f64
        };
        let (scanned, metered) = (self.result.bytes_scanned, self.result.bytes_metered);
        let token = self.next.as_ref().map_or(String::new(), |next| {
            format!(r#""NextToken":"{}","#, next.token)
        });
        let body = format!(
            r#"{{"QueryId":"{id}",{token}"Rows":[{}],"ColumnInfo":{},"QueryStatus":{{"ProgressPercentage":{progress:?},"CumulativeBytesScanned":{scanned},"CumulativeBytesMetered":{metered}}}}}"#,
            rows.join(","),
            self.result.column_info,
        );
        Page {
            body: body.into_bytes(),
            rows: rows.len(),
        }
    }
}

/// The end of the page that starts at `first`: as many rows as fit in its size and `max_rows`.
fn page_end(rows: &[String], first: usize, max_rows: Option<usize>) -> usize {
    let mut bytes = 0;
    let fitting = rows[first..]
        .iter()
        .take(max_rows.unwrap_or(usize::MAX))
        .take_while(|row| {
            bytes += row.len() + 1;
            bytes <= limits::MAX_PAGE_BYTES
        })
        .count();
    // A row alone is never too large for a page: the query was refused otherwise.
    first + fitting.max(usize::from(first < rows.len()))
}

fn check(request: &QueryRequest) -> Result<(), ServiceError> {
    let mut violations = Violations::default();
    violations.required("queryString", request.query_string.as_deref());
    if let Some(sql) = &request.query_string {
        violations.length("queryString", sql, 1..=limits::MAX_QUERY_CHARS);
    }
    if let Some(token) = &request.client_token {
        violations.length("clientToken", token, 32..=128);
    }
    if let Some(token) = &request.next_token {
        violations.length("nextToken", token, 1..=2048);
    }
    if let Some(max_rows) = request.max_rows {
        violations.range("maxRows", max_rows, limits::MAX_ROWS);
    }
    violations.into_result()
}
