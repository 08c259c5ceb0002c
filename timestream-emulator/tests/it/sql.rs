//! SQL by table: statements with the answers or the refusals that the documentation gives them.
//!
//! All run on one emulator with one small data set. Each group says where its rule comes from: a
//! page of the developer guide (`DG:`), or Presto's documentation, whose SQL the service speaks,
//! where the guide is silent. What is only the emulator's stricter reading says so.

mod combining;
mod data;
mod expressions;
mod grouping;
mod prepared;
mod refusals;
mod times;

use aws_sdk_timestreamquery::types::{ColumnInfo, Type};

use self::data::filled;
use crate::support::{Service, code_and_message, text};

/// A statement and what must come of it.
struct Case {
    sql: &'static str,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    /// Names and types of the columns, and the rows in this order.
    Ordered(&'static str, &'static [&'static str]),
    /// The same, the rows in any order.
    Rows(&'static str, &'static [&'static str]),
    /// The complete text of a ValidationException.
    Refused(&'static str),
}

const fn ordered(sql: &'static str, columns: &'static str, rows: &'static [&'static str]) -> Case {
    Case {
        sql,
        expected: Expected::Ordered(columns, rows),
    }
}

const fn rows(sql: &'static str, columns: &'static str, rows: &'static [&'static str]) -> Case {
    Case {
        sql,
        expected: Expected::Rows(columns, rows),
    }
}

const fn refused(sql: &'static str, message: &'static str) -> Case {
    Case {
        sql,
        expected: Expected::Refused(message),
    }
}

/// Columns as `name TYPE, ...`, and rows as `value | ...`.
type Answer = (String, Vec<String>);

#[tokio::test]
async fn statements() {
    let service = filled().await;
    let groups = [
        expressions::CASES,
        times::CASES,
        grouping::CASES,
        combining::CASES,
        refusals::CASES,
    ];
    let cases: Vec<&Case> = groups.into_iter().flatten().collect();
    let mut failures = Vec::new();
    for case in &cases {
        let found = answer(&service, case.sql).await;
        let is_expected = match (&case.expected, &found) {
            (Expected::Ordered(columns, rows), Ok(answer)) => {
                answer.0 == *columns && answer.1 == *rows
            }
            (Expected::Rows(columns, rows), Ok(answer)) => {
                answer.0 == *columns && sorted(&answer.1) == sorted(rows)
            }
            (Expected::Refused(message), Err(found)) => found == message,
            _ => false,
        };
        if !is_expected {
            let (sql, expected) = (case.sql, &case.expected);
            failures.push(format!("{sql}\n  expected {expected:?}\n  found {found:?}"));
        }
    }
    let (failed, all) = (failures.len(), cases.len());
    assert!(
        failures.is_empty(),
        "{failed} of {all}:\n{}",
        failures.join("\n")
    );
}

/// All pages of the answer, or the text of the refusal.
async fn answer(service: &Service, sql: &str) -> Result<Answer, String> {
    let mut lines = Vec::new();
    let mut token = None;
    loop {
        let call = service.query.query().query_string(sql);
        let page = call.set_next_token(token).send().await.map_err(|error| {
            let (code, message) = code_and_message(&error);
            assert_eq!(code, "ValidationException", "{sql}: {message}");
            message
        })?;
        for row in page.rows() {
            let cells: Vec<String> = row.data().iter().map(text).collect();
            lines.push(cells.join(" | "));
        }
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            let columns = page.column_info().iter().map(|column| {
                let name = column.name().unwrap_or("(none)");
                format!("{name} {}", type_name(column.r#type()))
            });
            return Ok((columns.collect::<Vec<_>>().join(", "), lines));
        }
    }
}

/// `DOUBLE`, `ARRAY(DOUBLE)`, `TIMESERIES(DOUBLE)`.
fn type_name(of: Option<&Type>) -> String {
    let element = |column: &ColumnInfo| type_name(column.r#type());
    let Some(of) = of else {
        return "(no type)".to_owned();
    };
    if let Some(column) = of.array_column_info() {
        return format!("ARRAY({})", element(column));
    }
    if let Some(column) = of.time_series_measure_value_column_info() {
        return format!("TIMESERIES({})", element(column));
    }
    let scalar = of.scalar_type();
    scalar.map_or("ROW", |scalar| scalar.as_str()).to_owned()
}

fn sorted<T: AsRef<str>>(lines: &[T]) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    lines.sort_unstable();
    lines
}
