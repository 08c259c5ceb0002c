//! The limits of the query API are those of `docs/reading.md`: each is reached, and exceeded by one.

use crate::support::{HttpResponse, TestApp};

const PAGE: &str = include_str!("../../docs/reading.md");

/// A row of the table of the page.
struct Limit<'t> {
    of: &'t str,
    at_most: usize,
    status: u16,
    text: &'t str,
}

/// Returns the rows of the table.
fn limits() -> Vec<Limit<'static>> {
    let (_, section) = PAGE.split_once("## Limits of the query API\n").unwrap();
    let section = section.split_once("\n## ").map_or(section, |it| it.0);
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let rows = rows.skip(1).map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [of, at_most, beyond] = cells[..] else {
            panic!("{row}");
        };
        let (status, text) = beyond.split_once(": ").unwrap();
        Limit {
            of,
            at_most: at_most.replace(',', "").parse().unwrap(),
            status: status.parse().unwrap(),
            text: text.trim_matches('`'),
        }
    });
    rows.collect()
}

/// Returns what `part` returns for each number below `count`, with `separator` between.
fn joined(count: usize, separator: &str, part: impl Fn(usize) -> String) -> String {
    let parts: Vec<String> = (0..count).map(part).collect();
    parts.join(separator)
}

/// Returns the path below `/api/v1` and the form of a request that has `count` of something.
fn request(of: &str, count: usize) -> (&'static str, String) {
    let query = |expression: &str| {
        let encoded: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        format!("time=1600000000&query={encoded}")
    };
    match of {
        "bytes of a form" => {
            let part = format!("&a={}", "b".repeat(500_000));
            let mut form = format!("query=1{}", part.repeat(count / part.len() - 1));
            form.push_str("&a=");
            form.push_str(&"b".repeat(count - form.len()));
            ("query", form)
        }
        "bytes of the value of a parameter, such as the expression" => {
            ("labels", format!("other={}", "a".repeat(count)))
        }
        "parameters" => {
            let form = joined(count - 1, "&", |i| format!("a{i}=b"));
            ("query", format!("{form}&query=1"))
        }
        "steps of a range query" => ("query_range", format!("query=1&start=0&end={count}&step=1")),
        "different selectors of an expression" => {
            let expression = joined(count, " or ", |i| format!("m{{i='{i}'}}"));
            ("query", query(&expression))
        }
        "conditions of a selector" => {
            let conditions = joined(count - 1, ",", |i| format!("i!='{i}'"));
            ("query", query(&format!("m{{{conditions}}}")))
        }
        "regular expressions of an expression that are not lists of strings" => {
            let conditions =
                |from: usize, count: usize| joined(count, ",", |i| format!("i=~'a.*{}'", from + i));
            let (first, second) = (conditions(0, 100), conditions(100, count - 100));
            ("query", query(&format!("m{{{first}}} or m{{{second}}}")))
        }
        "bytes of a label value that `label_replace` or `label_join` makes" => {
            let value = "a".repeat(count);
            let expression = format!("label_replace(vector(1),'x','{value}','','')");
            ("query", query(&expression))
        }
        "parameters `match[]`" => ("labels", joined(count, "&", |i| format!("match[]=m{i}"))),
        "their bytes together" => {
            let first = "m".repeat(count / 2);
            let second = "m".repeat(count - count / 2);
            ("labels", format!("match[]={first}&match[]={second}"))
        }
        "their matchers together" => {
            // Each selector has one for its name.
            let selectors = joined(100, "&", |i| {
                let more = usize::from(i < count % 100);
                let all = joined(count / 100 - 1 + more, ",", |i| format!("i!='{i}'"));
                let selector: String = form_urlencoded::byte_serialize(all.as_bytes()).collect();
                format!("match[]=m%7B{selector}%7D")
            });
            ("labels", selectors)
        }
        "selectors of a query for exemplars" => {
            let expression = joined(count, " or ", |i| format!("m{i}"));
            ("query_exemplars", query(&expression))
        }
        "tables of a selector" => {
            let tables = joined(count, "|", |i| format!("t{i}"));
            ("query", query(&format!("m{{table=~'{tables}'}}")))
        }
        other => panic!("no request reaches the limit of '{other}'"),
    }
}

async fn send(app: &TestApp, of: &str, count: usize) -> HttpResponse {
    let (path, form) = request(of, count);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let path = format!("/api/v1/{path}");
    app.post(&path, &headers, form.into_bytes()).await
}

#[tokio::test]
async fn the_documented_limits_are_those_of_the_program() {
    let app = TestApp::start().await;
    let limits = limits();
    assert_eq!(limits.len(), 13);
    for limit in limits {
        let Limit { of, at_most, .. } = limit;
        let response = send(&app, of, at_most).await;
        let text = response.text();
        assert!(!text.contains(limit.text), "{at_most} {of}: {text}");
        let response = send(&app, of, at_most + 1).await;
        let text = response.text();
        assert_eq!(response.status, limit.status, "{of}: {text}");
        assert!(text.contains(limit.text), "{of}: {text}");
    }
}

#[tokio::test]
async fn errors_of_parameters_have_a_remedy_for_queries() {
    let app = TestApp::start_with(&["--max-request-bytes=100000"]).await;
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let form = format!("query=1&other={}", "a".repeat(100_000));
    let response = app.post("/api/v1/query", &headers, form.into_bytes()).await;
    assert_eq!(response.status, 413);
    let text = response.text();
    assert!(
        text.contains(
            "the form has more than 100000 bytes; shorten its parameters, or send several requests, or raise \
             max_request_bytes"
        ),
        "{text}"
    );
    let time = "1".repeat(1_001);
    let response = app.get(&format!("/api/v1/query?query=1&time={time}")).await;
    assert_eq!(response.status, 400);
    let text = response.text();
    assert!(
        text.contains("the value has 1001 bytes, and may have 1000; shorten it"),
        "{text}"
    );
}
