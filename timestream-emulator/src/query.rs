//! Query: SQL text -> rows of JSON.
//!
//! The text is parsed ([`dialect`]), names and types are bound ([`bind`]) and the bound query is
//! evaluated over the points that SQLite holds ([`source`], [`select`]). Conditions on dimensions
//! are decided once per series, bounds of `time` become the range that is read.

mod aggregates;
mod arrays;
mod bind;
mod context;
pub(crate) mod dialect;
mod expr;
mod functions;
mod output;
mod paging;
pub(crate) mod pattern;
mod prepare;
mod regexp;
mod select;
mod show;
mod source;
mod time;
mod types;

use sqlparser::ast::{SetExpr, TableFactor};

use self::{context::Context, dialect::Statement, source::Rows};
pub(crate) use self::{paging::Queries, prepare::prepare};
use crate::{config::ColumnCase, error::ServiceError, limits, store::Snapshot};

/// Stack of the thread that runs a query: long chains of operators are trees that deep.
const STACK_BYTES: usize = 512 * 1024 * 1024;
/// The least that AWS meters for a query that reads data.
const MIN_BYTES_METERED: u64 = 10_000_000;

/// A complete result.
#[derive(Debug)]
pub(crate) struct QueryResult {
    /// `[{"Name":...,"Type":...}]`.
    pub(crate) column_info: String,
    /// `{"Data":[...]}` each.
    pub(crate) rows: Vec<String>,
    /// Bytes of times and values that were read.
    pub(crate) bytes_scanned: u64,
    pub(crate) bytes_metered: u64,
}

/// Runs a statement at the time `now_ns`.
///
/// # Errors
///
/// ValidationException for a statement that is wrong, has unknown names, or has a row larger than a
/// page.
pub(crate) fn execute(
    store: &Snapshot,
    sql: &str,
    column_case: ColumnCase,
    now_ns: i64,
) -> Result<QueryResult, ServiceError> {
    let statement = dialect::parse(sql)?;
    let (rows, least_metered) = match &statement {
        Statement::Show(show) => (show::show(store, show)?, 0),
        Statement::Describe(name) => (show::describe(store, name)?, 0),
        Statement::Select(query) => {
            let context = Context::new(store, column_case, now_ns);
            (select::run(&context, query)?, MIN_BYTES_METERED)
        }
    };
    let Rows { columns, rows } = rows;
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let line = output::row_json(&row);
        if line.len() > limits::MAX_PAGE_BYTES {
            return Err(ServiceError::validation(
                "Query aborted as max page response size has been exceeded by the output result row",
            ));
        }
        lines.push(line);
    }
    Ok(QueryResult {
        column_info: output::column_info(&columns),
        rows: lines,
        bytes_scanned: store.bytes_read(),
        bytes_metered: store.bytes_read().max(least_metered),
    })
}

/// Returns the permission that a statement needs, for faults ordered by it.
pub(crate) fn action_of(sql: &str) -> Option<&'static str> {
    on_large_stack(|| match dialect::parse(sql).ok()? {
        Statement::Show(show) => Some(match show.subject {
            dialect::Subject::Databases => "ListDatabases",
            dialect::Subject::Tables => "ListTables",
            dialect::Subject::Measures => "ListMeasures",
        }),
        Statement::Describe(_) => Some("DescribeTable"),
        Statement::Select(_) => Some("Select"),
    })
}

/// Returns the database and table that a statement reads, for faults ordered by table.
pub(crate) fn table_of(sql: &str) -> Option<(String, String)> {
    on_large_stack(|| {
        let statement = dialect::parse(sql).ok()?;
        let parts: Vec<String> = match &statement {
            Statement::Show(show) => show.from.iter().map(|part| part.value.clone()).collect(),
            Statement::Describe(name) => name.iter().map(|part| part.value.clone()).collect(),
            Statement::Select(query) => first_table(&query.body)?,
        };
        <[String; 2]>::try_from(parts)
            .ok()
            .map(|[database, table]| (database, table))
    })
}

/// Runs `work` on a thread whose stack is large enough for any statement that is let through.
pub(crate) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work);
        match thread
            .expect("the system has room for one more thread")
            .join()
        {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn first_table(body: &SetExpr) -> Option<Vec<String>> {
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::Query(query) => return first_table(&query.body),
        SetExpr::SetOperation { left, .. } => return first_table(left),
        _ => return None,
    };
    match &select.from.first()?.relation {
        TableFactor::Table { name, .. } => name
            .0
            .iter()
            .map(|part| part.as_ident().map(|ident| ident.value.clone()))
            .collect(),
        TableFactor::Derived { subquery, .. } => first_table(&subquery.body),
        _ => None,
    }
}
