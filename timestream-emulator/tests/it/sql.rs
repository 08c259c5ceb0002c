//! SQL by table: statements with the results or the errors that the documentation gives them.
//!
//! All run on one emulator with one small data set. Each group names the source of its rule: a page
//! of the developer guide (`DG:`), or Presto's documentation, whose SQL the service speaks, where
//! the guide is silent. A group with only the emulator's stricter reading says so.

mod combining;
mod data;
mod errors;
mod expressions;
mod grouping;
mod prepared;
mod times;

use aws_sdk_timestreamquery::types::{ColumnInfo, Type};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

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
    Error(&'static str),
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

const fn fails(sql: &'static str, message: &'static str) -> Case {
    Case {
        sql,
        expected: Expected::Error(message),
    }
}

/// Columns as `name TYPE, ...`, and rows as `value | ...`.
type Table = (String, Vec<String>);

#[tokio::test]
async fn statements() {
    let service = filled().await;
    let cases: Vec<&Case> = all_cases().collect();
    let mut failures = Vec::new();
    for case in &cases {
        let found = result(&service, case.sql).await;
        let is_expected = match (&case.expected, &found) {
            (Expected::Ordered(columns, rows), Ok(result)) => {
                result.0 == *columns && result.1 == *rows
            }
            (Expected::Rows(columns, rows), Ok(result)) => {
                result.0 == *columns && sorted(&result.1) == sorted(rows)
            }
            (Expected::Error(message), Err(found)) => found == message,
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

fn all_cases() -> impl Iterator<Item = &'static Case> {
    let groups = [
        expressions::CASES,
        times::CASES,
        grouping::CASES,
        combining::CASES,
        errors::CASES,
    ];
    groups.into_iter().flatten()
}

/// Any sequence of words of the statements has a result or a ValidationException; nothing ends in
/// an internal error.
#[test]
fn any_statement_has_a_result_or_a_client_error() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let service = runtime.block_on(filled());
    let statements: Vec<Vec<&str>> = all_cases().map(|case| words(case.sql)).collect();
    let index = any::<prop::sample::Index>;
    let changes = vec((index(), index(), index(), 0..4_u8), 1..4);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&(index(), changes), |(statement, changes)| {
        let mut words = statement.get(&statements).clone();
        for (at, other, word, change) in changes {
            if words.is_empty() {
                break;
            }
            let at = at.index(words.len());
            let other = other.get(&statements);
            let other = word.get(other);
            match change {
                0 => drop(words.remove(at)),
                1 => words[at] = other,
                2 => words.insert(at, other),
                _ => {
                    let with = word.index(words.len());
                    words.swap(at, with);
                }
            }
        }
        let sql = words.concat();
        // Success or not does not matter; `result` fails on any other error.
        drop(runtime.block_on(result(&service, &sql)));
        Ok(())
    });
    outcome.expect("no statement ends in an internal error");
}

/// Returns names, numbers, quoted texts, and single characters; together they are the statement
/// again.
fn words(sql: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' => rest[1..].find('\'').map_or(rest.len(), |quote| quote + 2),
            _ if first.is_ascii_alphanumeric() => rest
                .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
                .unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        words.push(&rest[..end]);
        rest = &rest[end..];
    }
    if words.is_empty() {
        words.push(" ");
    }
    words
}

/// Returns all pages of the result, or the text of the error.
async fn result(service: &Service, sql: &str) -> Result<Table, String> {
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

/// Returns `DOUBLE`, `ARRAY(DOUBLE)`, `TIMESERIES(DOUBLE)`.
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
