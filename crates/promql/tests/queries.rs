//! Queries are accepted, rejected and printed as by Prometheus.
//!
//! The table in `tests/golden` contains what Prometheus' parser says, and the program that writes it.

use promql::{ParserOptions, parse};

const QUERIES: &str = include_str!("golden/queries.tsv");

/// Returns a field without its escapes: `%0A` is a newline.
fn unescaped(field: &str) -> Vec<u8> {
    let mut parts = field.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

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
    for row in QUERIES.lines().filter(|line| !line.starts_with("# ")) {
        let fields: Vec<_> = row.split('\t').collect();
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
            wrong.push(format!("{row}\n  got {result:?}"));
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
