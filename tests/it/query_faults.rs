//! Errors behind the query API: the envelope of each, that nothing partial is returned, and that work ends with
//! the request.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::RETRY_AFTER;
use timestream_emulator::{Fault, FaultKind, When};

use crate::cancel::{calls, get_stuck, many_pages, slow_down, until};
use crate::strange_responses::{SHOWN, page, stranger};
use crate::support::{HttpResponse, START_MS, TestApp, series};

/// The remedy for a database or table that does not exist.
const CREATE_OR_CORRECT: &str =
    "(create the database and table, or correct the labels or options that name them)";

/// The sum of all samples of `many_pages`.
const ALL: &str = "/api/v1/query?query=sum(sum_over_time(m[1h]))&time=1600003599";

fn always(kind: FaultKind) -> Fault {
    Fault {
        when: When::Always,
        ..Fault::next("Query", 1, kind)
    }
}

/// Checks that a response is an error of Prometheus' form, and returns its text.
#[track_caller]
fn error_text(response: &HttpResponse, status: u16, error_type: &str) -> String {
    let text = response.text();
    assert_eq!(response.status, status, "{text}");
    assert_eq!(response.headers["content-type"], "application/json");
    let json: serde_json::Value = serde_json::from_slice(&response.body).expect(&text);
    let object = json.as_object().expect(&text);
    let names: Vec<_> = object.keys().map(String::as_str).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["error", "errorType", "status"], "{text}");
    assert_eq!(json["status"], "error", "{text}");
    assert_eq!(json["errorType"], error_type, "{text}");
    json["error"].as_str().expect(&text).to_owned()
}

#[tokio::test]
async fn errors_of_timestream_have_a_type_a_status_and_a_remedy() {
    let validation = || FaultKind::Validation("line 1:8: no such column".to_owned());
    let execution = || FaultKind::QueryExecution("Division by zero".to_owned());
    let cases = [
        (
            FaultKind::Throttle,
            503,
            "ThrottlingException: ",
            "send again",
        ),
        (
            FaultKind::InternalServer,
            503,
            "InternalServerException: ",
            "send again",
        ),
        (
            FaultKind::InvalidEndpoint,
            503,
            "",
            "check region, endpoint and network",
        ),
        (
            FaultKind::ExpiredToken,
            503,
            "",
            "check the AWS credentials",
        ),
        (FaultKind::CutBefore, 503, "", "send again"),
        (FaultKind::CutAfter, 503, "", "send again"),
        (
            FaultKind::AccessDenied,
            422,
            "AccessDeniedException: ",
            "allow the connector this action",
        ),
        (
            FaultKind::QuotaExceeded,
            422,
            "ServiceQuotaExceededException: ",
            "raise the quota of the AWS account",
        ),
        (
            FaultKind::NotFound,
            422,
            "ResourceNotFoundException: ",
            "create the database and table",
        ),
        (
            validation(),
            422,
            "ValidationException: line 1:8: no such column",
            "change the",
        ),
        (
            execution(),
            422,
            "QueryExecutionException: Division by zero",
            "change the",
        ),
    ];
    for (kind, status, start, remedy) in cases {
        let app = TestApp::start_with(&["--max-retries=0"]).await;
        app.write_ok(vec![series(&[("__name__", "m")], &[(START_MS, 1.0)])])
            .await;
        app.emulator.order_fault(always(kind.clone()));
        for path in [
            "query?query=m&time=1600000000",
            "query?query=m+or+vector(1)&time=1600000000",
            "query_range?query=m&start=1600000000&end=1600000060&step=15",
        ] {
            let response = app.get(&format!("/api/v1/{path}")).await;
            let error_type = ["execution", "unavailable"][usize::from(status == 503)];
            let text = error_text(&response, status, error_type);
            assert!(text.starts_with(start), "{kind:?}: {text}");
            assert!(text.contains(remedy), "{kind:?}: {text}");
            // The client knows when to send again.
            let retry_after = response.headers.get(RETRY_AFTER);
            assert_eq!(retry_after.is_some(), status == 503, "{kind:?}");
        }
        let counted = format!("timestream_connector_query_requests_total{{code=\"{status}\"}}");
        assert_eq!(app.metric(&counted).await, 3.0, "{kind:?}");
        // Nothing of an error is remembered.
        app.emulator.clear_faults();
        let response = app.get("/api/v1/query?query=m&time=1600000000").await;
        assert_eq!(response.status, 200, "{kind:?}: {}", response.text());
        assert!(response.text().contains("\"1\"]"), "{}", response.text());
    }
}

#[tokio::test]
async fn short_faults_are_retried_within_the_query() {
    let app = TestApp::start().await;
    app.write_ok(vec![series(&[("__name__", "m")], &[(START_MS, 1.0)])])
        .await;
    for kind in [
        FaultKind::Throttle,
        FaultKind::InternalServer,
        FaultKind::CutAfter,
    ] {
        app.emulator.order_fault(Fault::next("Query", 1, kind));
        let response = app.get("/api/v1/query?query=m&time=1600000000").await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(response.text().contains("\"1\"]"), "{}", response.text());
    }
}

#[tokio::test]
async fn a_missing_table_makes_no_partial_result() {
    let app = TestApp::start().await;
    app.write_ok(vec![series(&[("__name__", "m")], &[(START_MS, 1.0)])])
        .await;
    for query in [
        "m{table=\"missing\"}",
        "m{table=~\"t|missing\"}",
        "m or m{table=\"missing\"}",
        "count(m) + on() count(m{table=\"missing\"})",
    ] {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let response = app
            .get(&format!("/api/v1/query?query={query}&time=1600000000"))
            .await;
        let text = error_text(&response, 422, "execution");
        assert!(text.starts_with("ValidationException: "), "{text}");
        assert!(text.contains("Table 'db.missing' does not exist"), "{text}");
        assert!(text.ends_with(CREATE_OR_CORRECT), "{text}");
    }
    for path in [
        "labels?match[]=m%7Btable=%22missing%22%7D",
        "label/i/values?match[]=m%7Btable=%22missing%22%7D",
        "series?match[]=m%7Btable=%22missing%22%7D",
        "query_exemplars?query=m%7Btable=%22missing%22%7D",
    ] {
        let path = format!("/api/v1/{path}");
        let text = error_text(&app.get(&path).await, 422, "execution");
        assert!(text.contains("'db.missing'"), "{path}: {text}");
        assert!(text.ends_with(CREATE_OR_CORRECT), "{path}: {text}");
    }
    let app = TestApp::start_with(&["--default-database=missing"]).await;
    let query = "/api/v1/query?query=m&time=1600000000";
    let text = error_text(&app.get(query).await, 422, "execution");
    assert!(text.contains("database 'missing' not found"), "{text}");
    assert!(text.ends_with(CREATE_OR_CORRECT), "{text}");
}

#[tokio::test]
async fn metadata_of_a_missing_table_is_empty() {
    let app = TestApp::start_with(&["--metadata-table=missing"]).await;
    let response = app.get("/api/v1/metadata").await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.text(), r#"{"status":"success","data":{}}"#);
}

#[tokio::test]
async fn a_result_that_breaks_between_pages_is_no_result() {
    for kind in [
        FaultKind::CutAfter,
        FaultKind::InternalServer,
        FaultKind::Throttle,
    ] {
        let app = many_pages(&["--max-retries=0"]).await;
        let breaks = async {
            // The columns, the columns beside the query, and two of its pages.
            until(|| calls(&app, "Query") >= 4).await;
            app.emulator.order_fault(always(kind.clone()));
        };
        let (response, ()) = tokio::join!(app.get(ALL), breaks);
        error_text(&response, 503, "unavailable");
    }
}

#[tokio::test]
async fn a_page_that_is_none_is_no_result() {
    let cases: [(fn(&str, &str, usize) -> &'static str, &str); _] = [
        (|_, _, _| "", "EOF while parsing a value"),
        (|_, _, _| "<html>", "expected value at line 1 column 1"),
        (|_, _, _| "{}", "missing field `QueryId`"),
        (
            |_, _, _| r#"{"QueryId": "Q", "Rows": [{"Data": 1}]}"#,
            "Rows: invalid type: integer `1`, expected a sequence",
        ),
    ];
    for (body, reason) in cases {
        let (url, _) = stranger(body).await;
        let endpoint = format!("--query-base-endpoint={url}");
        let app = TestApp::start_with(&[&endpoint, "--max-retries=0"]).await;
        let response = app.get("/api/v1/query?query=m&time=1600000000").await;
        let text = error_text(&response, 503, "unavailable");
        assert!(text.starts_with("UnexpectedResponse: "), "{text}");
        assert!(text.contains(reason), "{text}");
        assert!(
            text.contains("check that the endpoint is Timestream's"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_row_of_another_shape_is_no_result() {
    let (url, calls) = stranger(|_, sql, _| match sql.starts_with("SHOW") {
        true => SHOWN.to_owned(),
        false => page(r#"[{"ScalarValue": "m"}, {"ScalarValue": "1"}]"#),
    })
    .await;
    let endpoint = format!("--query-base-endpoint={url}");
    let app = TestApp::start_with(&[&endpoint, "--max-retries=0"]).await;
    let response = app.get("/api/v1/query?query=m&time=1600000000").await;
    let text = error_text(&response, 422, "execution");
    assert!(
        text.starts_with("UnexpectedResponse: unexpected result row"),
        "{text}"
    );
    assert!(calls.load(Ordering::Relaxed) >= 2);
}

#[tokio::test]
async fn a_query_that_never_ends_is_cancelled_at_its_timeout() {
    for (flags, parameter) in [
        (&["--query-timeout=2s"][..], ""),
        (&[], "&timeout=2s"),
        (&["--query-timeout=2s"], "&timeout=1h"),
    ] {
        let app = many_pages(flags).await;
        let path = format!("{ALL}{parameter}");
        let began = Instant::now();
        let (response, ()) = tokio::join!(app.get(&path), get_stuck(&app));
        assert!(began.elapsed() < Duration::from_secs(20));
        let text = error_text(&response, 503, "timeout");
        assert!(
            text.starts_with("query timed out in expression evaluation"),
            "{text}"
        );
        assert!(text.contains("query_timeout"), "{text}");
        until(|| calls(&app, "CancelQuery") >= 1).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_query() {
    let app = many_pages(&[]).await;
    {
        let response = app.get(ALL);
        tokio::pin!(response);
        tokio::select! {
            _ = &mut response => panic!("the query is not stuck"),
            () = get_stuck(&app) => {}
        }
        assert_eq!(calls(&app, "CancelQuery"), 0);
    }
    until(|| calls(&app, "CancelQuery") >= 1).await;
}

#[tokio::test]
async fn one_of_two_clients_that_leaves_does_not_disturb_the_other() {
    let app = many_pages(&[]).await;
    let left = tokio::time::timeout(Duration::from_millis(150), app.get(ALL));
    let (left, stays) = tokio::join!(left, app.get(ALL));
    assert!(left.is_err(), "the query is too fast for the test");
    assert_eq!(stays.status, 200, "{}", stays.text());
    // 16 series of 0 to 3,599.
    assert!(stays.text().contains("\"103651200\""), "{}", stays.text());
}

/// Minutes of evaluation over not a single sample of Timestream.
const LONG: &str = "max_over_time(deriv(vector(time())[200000s:1s])[100000s:1s])";

fn long_range(parameters: &str) -> String {
    format!("/api/v1/query_range?query={LONG}&start=1600000000&end=1600010000&step=1{parameters}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evaluation_ends_at_the_timeout() {
    let app = TestApp::start().await;
    let began = Instant::now();
    let response = app.get(&long_range("&timeout=1s")).await;
    let text = error_text(&response, 503, "timeout");
    assert!(
        text.starts_with("query timed out in expression evaluation"),
        "{text}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_processors_are_free(&app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evaluation_ends_when_its_client_leaves() {
    let app = TestApp::start().await;
    // As many as there are processors, at least.
    let path = long_range("");
    let all = (0..64).map(|_| app.get(&path));
    let all = futures_util::future::join_all(all);
    let left = tokio::time::timeout(Duration::from_secs(1), all).await;
    assert!(left.is_err(), "the evaluation is too fast for the test");
    assert_processors_are_free(&app).await;
}

/// Checks that evaluations are not queued behind those that have ended for their clients.
async fn assert_processors_are_free(app: &TestApp) {
    let response = app.get("/api/v1/query?query=vector(1)&timeout=10s").await;
    assert_eq!(response.status, 200, "{}", response.text());
}

#[tokio::test]
async fn slow_pages_within_the_timeout_are_a_result() {
    let app = many_pages(&[]).await;
    slow_down(&app, Duration::from_millis(10));
    let response = app.get(&format!("{ALL}&timeout=60")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(
        response.text().contains("\"103651200\""),
        "{}",
        response.text()
    );
}
