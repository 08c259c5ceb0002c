//! Results that are fetched page by page.
//!
//! A result is computed once and stored; a token names the run and how far it has been read. Only
//! the last two tokens of a run are good: the one used last (the same token gives the same rows)
//! and the one of the response to it; each for an hour or five calls (API reference, Query). The
//! stored results are bounded: new ones replace old ones.

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

/// Maximum number of stored results; the oldest is dropped for a new one.
const MAX_RUNS: usize = 128;
/// Maximum size of stored results; the oldest are dropped for a new one, which is stored whatever
/// its size.
const MAX_STORED_BYTES: usize = 256 * 1024 * 1024;
/// Lifetime of a token.
const TOKEN_LIFE_NS: i64 = 3_600_000_000_000;
/// Calls that a token is good for.
const TOKEN_CALLS: u32 = 5;

/// The queries whose results are not read to the end yet.
#[derive(Debug, Default)]
pub(crate) struct Queries(Mutex<Runs>);

/// One response.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    pub(crate) rows: usize,
}

#[derive(Debug)]
struct Runs {
    by_id: HashMap<String, Run>,
    by_token: HashMap<String, String>,
    oldest_first: VecDeque<String>,
    cancelled: VecDeque<String>,
    max_stored_bytes: usize,
}

impl Default for Runs {
    fn default() -> Self {
        Runs {
            by_id: HashMap::new(),
            by_token: HashMap::new(),
            oldest_first: VecDeque::new(),
            cancelled: VecDeque::new(),
            max_stored_bytes: MAX_STORED_BYTES,
        }
    }
}

#[derive(Debug)]
struct Run {
    sql: String,
    result: QueryResult,
    bytes: usize,
    used: Option<Cursor>,
    next: Option<Cursor>,
}

#[derive(Debug, Clone)]
struct Cursor {
    token: String,
    first_row: usize,
    issued_ns: i64,
    calls: u32,
}

impl Queries {
    /// Serves a Query call at the time `now_ns`; `run` computes the result of a new query.
    pub(crate) fn query(
        &self,
        request: &QueryRequest,
        now_ns: i64,
        run: impl FnOnce(&str) -> Result<QueryResult, ServiceError>,
    ) -> Result<Page, ServiceError> {
        check(request)?;
        let sql = request.query_string.as_deref().unwrap_or_default();
        let max_rows = request.max_rows.map(|rows| rows.unsigned_abs() as usize);
        match &request.next_token {
            Some(token) => self.lock().next_page(sql, token, max_rows, now_ns),
            None => {
                let result = run(sql)?;
                self.lock().first_page(sql, result, max_rows, now_ns)
            }
        }
    }

    /// Forgets a query. Repeating it is not an error, nor is a query that has ended.
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
            runs.cancelled.push_back(id.to_owned());
            runs.forget(id);
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
    /// Returns the first page. A large result starts with an empty one, as one that takes long
    /// does.
    fn first_page(
        &mut self,
        sql: &str,
        result: QueryResult,
        max_rows: Option<usize>,
        now_ns: i64,
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
            bytes: total_bytes + sql.len() + result.column_info.len(),
            result,
            used: None,
            next: None,
        };
        run.advance(end, now_ns);
        let page = run.page(&id, 0..end);
        if let Some(next) = &run.next {
            self.by_token.insert(next.token.clone(), id.clone());
            self.by_id.insert(id.clone(), run);
            self.oldest_first.push_back(id);
            self.make_room(now_ns);
        }
        Ok(page)
    }

    fn next_page(
        &mut self,
        sql: &str,
        token: &str,
        max_rows: Option<usize>,
        now_ns: i64,
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
        let cursors = [&mut run.used, &mut run.next];
        let cursor = cursors
            .into_iter()
            .flatten()
            .find(|cursor| cursor.token == token && cursor.is_good(now_ns));
        let cursor = cursor.ok_or_else(invalid)?;
        cursor.calls += 1;
        let cursor = cursor.clone();
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
            run.advance(end, now_ns);
        }
        if let Some(next) = &run.next {
            self.by_token.insert(next.token.clone(), id.clone());
        }
        Ok(run.page(&id, range))
    }

    /// Drops results whose tokens have expired, then the oldest until the others fit.
    fn make_room(&mut self, now_ns: i64) {
        let is_expired = |run: &Run| {
            let mut cursors = [&run.used, &run.next].into_iter().flatten();
            !cursors.any(|cursor| cursor.is_good(now_ns))
        };
        let expired = self.by_id.iter().filter(|(_, run)| is_expired(run));
        let expired: Vec<String> = expired.map(|(id, _)| id.clone()).collect();
        for id in expired {
            self.forget(&id);
        }
        while self.by_id.len() > 1
            && (self.by_id.len() > MAX_RUNS || self.stored_bytes() > self.max_stored_bytes)
        {
            let Some(oldest) = self.oldest_first.front().cloned() else {
                break;
            };
            self.forget(&oldest);
        }
    }

    fn stored_bytes(&self) -> usize {
        self.by_id.values().map(|run| run.bytes).sum()
    }

    /// Drops a run; its tokens stay known for as long as it counts as cancelled.
    fn forget(&mut self, id: &str) {
        self.by_id.remove(id);
        self.oldest_first.retain(|known| known != id);
        let cancelled = &self.cancelled;
        let by_id = &self.by_id;
        self.by_token
            .retain(|_, of| by_id.contains_key(of) || cancelled.contains(of));
    }
}

impl Cursor {
    fn is_good(&self, now_ns: i64) -> bool {
        now_ns - self.issued_ns < TOKEN_LIFE_NS && self.calls < TOKEN_CALLS
    }
}

impl Run {
    /// Makes a token for the rest from this row on, if there is any.
    fn advance(&mut self, first_row: usize, now_ns: i64) {
        self.next = (first_row < self.result.rows.len()).then(|| Cursor {
            token: ids::token(),
            first_row,
            issued_ns: now_ns,
            calls: 0,
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

/// Returns the end of the page that starts at `first`: as many rows as fit in its size and
/// `max_rows`.
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
    // A row alone is never too large for a page: the query has failed otherwise.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn result(rows: usize, row_bytes: usize) -> QueryResult {
        QueryResult {
            column_info: "[]".to_owned(),
            rows: vec!["x".repeat(row_bytes); rows],
            bytes_scanned: 0,
            bytes_metered: 0,
        }
    }

    /// Starts a query of two pages or more; its first token.
    fn start(queries: &Queries, rows: usize, row_bytes: usize, now_ns: i64) -> String {
        let request = request(None);
        let page = queries
            .query(&request, now_ns, |_| Ok(result(rows, row_bytes)))
            .expect("a page");
        token_of(&page)
    }

    fn token_of(page: &Page) -> String {
        let body = std::str::from_utf8(&page.body).expect("text");
        let (_, rest) = body.split_once(r#""NextToken":""#).expect("a token");
        rest.split('"').next().expect("its end").to_owned()
    }

    fn follow(queries: &Queries, token: &str, now_ns: i64) -> Result<Page, ServiceError> {
        queries.query(&request(Some(token)), now_ns, |_| unreachable!("a page"))
    }

    fn request(token: Option<&str>) -> QueryRequest {
        QueryRequest {
            query_string: Some("SELECT 1".to_owned()),
            client_token: None,
            next_token: token.map(str::to_owned),
            max_rows: Some(1),
        }
    }

    #[test]
    fn a_token_is_good_for_an_hour() {
        let queries = Queries::default();
        let token = start(&queries, 3, 1, 0);
        let page = follow(&queries, &token, TOKEN_LIFE_NS - 1).expect("in time");
        let second = token_of(&page);
        assert!(follow(&queries, &token, TOKEN_LIFE_NS).is_err(), "too old");
        assert!(
            follow(&queries, &second, 2 * TOKEN_LIFE_NS - 2).is_ok(),
            "younger"
        );
    }

    #[test]
    fn a_token_is_good_for_five_calls() {
        let queries = Queries::default();
        let token = start(&queries, 3, 1, 0);
        for call in 1..=5 {
            assert!(follow(&queries, &token, 0).is_ok(), "call {call}");
        }
        let error = follow(&queries, &token, 0).expect_err("call 6");
        assert_eq!(error.message, "Invalid pagination token");
    }

    #[test]
    fn expired_results_are_dropped() {
        let queries = Queries::default();
        start(&queries, 2, 1, 0);
        start(&queries, 2, 1, 1);
        start(&queries, 2, 1, TOKEN_LIFE_NS);
        assert_eq!(queries.lock().by_id.len(), 2);
        start(&queries, 2, 1, 3 * TOKEN_LIFE_NS);
        let runs = queries.lock();
        assert_eq!((runs.by_id.len(), runs.by_token.len()), (1, 1));
        assert_eq!(runs.oldest_first.len(), 1);
    }

    #[test]
    fn stored_results_are_bounded() {
        const MAX: usize = 1000;
        let queries = Queries::default();
        queries.lock().max_stored_bytes = MAX;
        let first = start(&queries, 2, MAX / 4, 0);
        let second = start(&queries, 2, MAX / 5, 0);
        assert!(follow(&queries, &first, 0).is_ok());
        start(&queries, 2, MAX / 5, 0);
        assert!(follow(&queries, &first, 0).is_err(), "the oldest went");
        assert!(follow(&queries, &second, 0).is_ok());
        let large = start(&queries, 2, MAX, 0);
        assert_eq!(queries.lock().by_id.len(), 1);
        assert!(follow(&queries, &large, 0).is_ok(), "alone it is stored");

        let queries = Queries::default();
        for _ in 0..2 * MAX_RUNS {
            start(&queries, 2, 1, 0);
        }
        assert_eq!(queries.lock().by_id.len(), MAX_RUNS);
    }
}
