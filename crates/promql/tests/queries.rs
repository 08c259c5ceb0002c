//! Queries are accepted, rejected and printed as by Prometheus.
//!
//! The table in `tests/golden` contains what Prometheus' parser says, and the program that writes it.

use promql::{ParserOptions, parse};
use table::{rows, unescaped};

#[path = "golden/table.rs"]
mod table;

const QUERIES: &str = include_str!("golden/queries.tsv");

fn options(switches: &str) -> ParserOptions {
    match switches {
        "all" => ParserOptions::everything(),
        "default" => ParserOptions::default(),
        "none" => ParserOptions {
            duration_expressions: false,
            ..ParserOptions::default()
        },
        other => panic!("unknown switches {other}"),
    }
}

#[test]
fn queries_mean_the_same_as_in_prometheus() {
    let mut wrong = Vec::new();
    let (mut accepted, mut rejected) = (0, 0);
    for fields in rows(QUERIES) {
        let result = match parse(&unescaped(fields[1]), &options(fields[0])) {
            Ok(expr) => vec![
                "ok".to_owned(),
                expr.value_type.to_string(),
                expr.to_string(),
                expr.pretty(),
            ],
            Err(error) => vec!["error".to_owned(), error.to_string()],
        };
        let expected: Vec<_> = fields[2..]
            .iter()
            .map(|field| String::from_utf8_lossy(&unescaped(field)).into_owned())
            .collect();
        // Errors of patterns continue with a remedy.
        let is_equal = match (&expected[..], &result[..]) {
            ([_, expected], [_, error]) if expected.contains("error parsing regexp: ") => {
                error.starts_with(expected)
            }
            (expected, result) => expected == result,
        };
        if !is_equal {
            wrong.push(format!("{fields:?}\n  got {result:?}"));
        }
        match fields[2] {
            "ok" => accepted += 1,
            _ => rejected += 1,
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        accepted > 800 && rejected > 700,
        "{accepted} accepted, {rejected} rejected"
    );
}
