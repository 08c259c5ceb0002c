//! Responses that no Timestream gives, or not in this form: another server is at its address, or
//! stands between.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::read_request::ResponseType::{Samples, StreamedXorChunks};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{START_MS, TestApp, query, series};

/// Serves at an address of its own and returns its URL; `respond` is given the operation, its SQL
/// and the number of calls before.
pub(crate) async fn stranger<R>(respond: fn(&str, &str, usize) -> R) -> (String, Arc<AtomicUsize>)
where
    R: IntoResponse + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let respond = move |headers: HeaderMap, request: Request| {
        let calls = Arc::clone(&counted);
        async move {
            let operation = headers["x-amz-target"].to_str().unwrap().to_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
            let body: serde_json::Value = serde_json::from_slice(&body.unwrap()).unwrap();
            let sql = body["QueryString"].as_str().unwrap_or_default();
            let before = calls.fetch_add(1, Ordering::Relaxed);
            let (_, operation) = operation.split_once('.').unwrap();
            respond(operation, sql, before).into_response()
        }
    };
    let server = Router::new().fallback(respond);
    tokio::spawn(async { axum::serve(listener, server).await });
    (url, calls)
}

/// A stranger whose response to everything is the same.
macro_rules! always {
    ($response:expr) => {
        stranger(|_, _, _| $response).await.0
    };
}

#[tokio::test]
async fn an_invalid_page_is_not_an_empty_result() {
    let cases = [
        (always!(""), "EOF while parsing a value"),
        (always!("{}"), "missing field `QueryId`"),
        (always!("<html>"), "expected value at line 1 column 1"),
        (always!("<html>"), "it has 6 bytes of the type text/plain"),
        (
            always!(r#"{"QueryId": "Q", "Rows": [{"Data": 1}]}"#),
            "Rows: invalid type: integer `1`, expected a sequence",
        ),
        (
            always!(r#"{"QueryId": "Q", "ColumnInfo": 1}"#),
            "ColumnInfo: invalid type: integer `1`",
        ),
        (always!(StatusCode::NO_CONTENT), "another status than 200"),
        (
            always!(with(404, "<html>")),
            "the response has the status 404 and is no error of Timestream: ",
        ),
        (
            always!(with(302, "{}")),
            "has the status 302 and is no error",
        ),
        // A page of another statement.
        (
            always!(r#"{"QueryId": "Q", "Rows": [{"Data": [{"ScalarValue": "up"}]}]}"#),
            "expected the name, type and dimensions of a measure from SHOW MEASURES",
        ),
    ];
    for (url, reason) in cases {
        let endpoint = format!("--query-base-endpoint={url}");
        let app = TestApp::start_with(&[&endpoint, "--max-retries=0"]).await;
        for form in [Samples, StreamedXorChunks] {
            let queries = vec![query(&[(Type::Eq, "__name__", "m")])];
            let response = app.read_as(&[form], queries).await;
            let text = response.text();
            assert_eq!(response.status, StatusCode::BAD_GATEWAY, "{reason}: {text}");
            assert!(text.starts_with("UnexpectedResponse: "), "{text}");
            assert!(text.contains(reason), "{reason}: {text}");
            assert!(
                text.contains("(check that the endpoint is Timestream's"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn a_result_row_of_another_shape_is_named() {
    let (url, _) = stranger(|_, sql, _| match sql.starts_with("SHOW") {
        true => SHOWN.to_owned(),
        false => page(r#"[{"ScalarValue": "m"}, {"ScalarValue": "1"}]"#),
    })
    .await;
    let endpoint = format!("--query-base-endpoint={url}");
    let app = TestApp::start_with(&[&endpoint, "--max-retries=0"]).await;
    let response = app
        .read_raw(vec![query(&[(Type::Eq, "__name__", "m")])])
        .await;
    let text = response.text();
    assert_eq!(response.status, StatusCode::BAD_GATEWAY, "{text}");
    assert!(
        text.starts_with("UnexpectedResponse: unexpected result row from Timestream: "),
        "{text}"
    );
}

/// SHOW MEASURES with a measure `m` that has no dimensions.
pub(crate) const SHOWN: &str = r#"{"QueryId": "S", "NextToken": "", "ColumnInfo": null, "Rows": [
    {"Data": [{"ScalarValue": "m"}, {"ScalarValue": "DOUBLE"}, {"ArrayValue": []}]}]}"#;

pub(crate) fn page(fields: &str) -> String {
    format!(r#"{{"QueryId": "Q", "Rows": [{{"Data": {fields}}}]}}"#)
}

#[tokio::test]
async fn pages_in_another_form_are_read() {
    let (url, calls) = stranger(|_, sql, before| {
        if sql.starts_with("SHOW") {
            return SHOWN.to_owned();
        }
        // Pages without rows come first.
        if before <= 2 {
            return r#"{"QueryId": "Q", "NextToken": "N", "Rows": null, "ColumnInfo": null,
                "QueryStatus": {"CumulativeBytesScanned": 7.0, "CumulativeBytesMetered": 1.0E7}}"#
                .to_owned();
        }
        let row = r#"[{"ScalarValue": "m"}, {"TimeSeriesValue": [
            {"Time": "2020-09-13 12:26:40.000000000", "Value": {"ScalarValue": "1.5"}}]}]"#;
        page(row).replacen('{', r#"{"NextToken": "", "ColumnInfo": null,"#, 1)
    })
    .await;
    let endpoint = format!("--query-base-endpoint={url}");
    let app = TestApp::start_with(&[&endpoint, "--max-retries=0"]).await;
    let found = app.read(vec![query(&[(Type::Eq, "__name__", "m")])]).await;
    assert_eq!(found, [[series(&[("__name__", "m")], &[(START_MS, 1.5)])]]);
    assert!(calls.load(Ordering::Relaxed) >= 4);
    let metered = "timestream_connector_read_metered_bytes_total";
    assert!(app.metric(metered).await >= 1e7);
}

#[tokio::test]
async fn a_query_is_run_again_after_a_response_that_cannot_be_read() {
    let (url, _) = stranger(|_, sql, before| match (before, sql) {
        (0, _) => "<html>".to_owned(),
        (_, sql) if sql.starts_with("SHOW") => SHOWN.to_owned(),
        _ => r#"{"QueryId": "Q"}"#.to_owned(),
    })
    .await;
    let app = TestApp::start_with(&[&format!("--query-base-endpoint={url}")]).await;
    let found = app.read(vec![query(&[(Type::Eq, "__name__", "m")])]).await;
    assert_eq!(found, [[]]);
    assert_eq!(
        app.metric("timestream_connector_read_retries_total").await,
        1.0
    );
}

/// Returns a status and a body.
fn with(status: u16, body: &'static str) -> Response {
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

#[tokio::test]
async fn records_are_stored_only_where_the_response_says_so() {
    const REJECTED: &str = r#"{"__type": "RejectedRecordsException", "Message": "words"}"#;
    const BEYOND: &str = r#"{"__type": "RejectedRecordsException", "Message": "words",
        "RejectedRecords": [{"RecordIndex": 0, "Reason": "a"}, {"RecordIndex": 3, "Reason": "b"}]}"#;
    let cases = [
        (always!(""), "of 3 records has no RecordsIngested"),
        (always!("{}"), "of 3 records has no RecordsIngested"),
        (
            always!(StatusCode::NO_CONTENT),
            "of 3 records has no RecordsIngested",
        ),
        (
            always!(r#"{"RecordsIngested": null}"#),
            "has no RecordsIngested",
        ),
        (
            always!(r#"{"RecordsIngested": {}}"#),
            "says that 0 of 3 records are stored",
        ),
        (
            always!(r#"{"RecordsIngested": {"Total": 2, "MemoryStore": 2}}"#),
            "says that 2 of 3 records are stored, and rejects none",
        ),
        (
            always!(r#"{"RecordsIngested": {"Total": "3"}}"#),
            "the response cannot be read: ",
        ),
        (always!("<html>"), "the response cannot be read: "),
        (
            always!(with(419, REJECTED)),
            "of 3 records rejects some that it does not name",
        ),
        (
            always!(with(419, BEYOND)),
            "of 3 records rejects some at position 3",
        ),
    ];
    for (url, reason) in cases {
        let folder = TempDir::new().unwrap();
        let endpoint = format!("--write-base-endpoint={url}");
        let letters = format!("--dead-letter=file:{}", folder.path().display());
        let flags = [
            &endpoint,
            "--max-write-retries=1",
            "--metadata-table=off",
            &letters,
        ];
        let app = TestApp::start_with(&flags).await;
        let three = [(START_MS, 1.0), (START_MS + 1, 2.0), (START_MS + 2, 3.0)];
        let response = app
            .write(vec![series(&[("__name__", "m"), ("a", "b")], &three)])
            .await;
        let text = response.text();
        assert_eq!(
            response.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{reason}: {text}"
        );
        let start = "UnexpectedResponse: 3 samples for db/t are not stored: ";
        assert!(
            text.starts_with(start) && text.contains(reason),
            "{reason}: {text}"
        );
        assert!(
            text.ends_with("of 3 samples 0 are stored, 0 ignored, 3 not stored"),
            "{text}"
        );
        assert_eq!(
            app.metric("timestream_connector_written_samples_total")
                .await,
            0.0
        );
        assert_eq!(
            app.metric("timestream_connector_write_retries_total").await,
            1.0
        );
        // The sender sends them again, so there are no dead letters.
        assert_eq!(
            app.metric("timestream_connector_dead_letter_samples_total")
                .await,
            0.0
        );
    }
}

#[tokio::test]
async fn records_are_sent_again_after_a_response_that_does_not_say_they_are_stored() {
    let (url, calls) = stranger(|_, _, before| match before {
        0 => "",
        1 => "{}",
        _ => r#"{"RecordsIngested": {"Total": 1, "MemoryStore": 1, "MagneticStore": 0}}"#,
    })
    .await;
    let flags = [
        &*format!("--write-base-endpoint={url}"),
        "--metadata-table=off",
    ];
    let app = TestApp::start_with(&flags).await;
    app.write_ok(vec![series(
        &[("__name__", "m"), ("a", "b")],
        &[(START_MS, 1.0)],
    )])
    .await;
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(
        app.metric("timestream_connector_written_samples_total")
            .await,
        1.0
    );
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_called_is_named() {
    let cases = [
        (always!("{}"), "lists no endpoint"),
        (always!("<html>"), "the response cannot be read: "),
        (always!(r#"{"Endpoints": []}"#), "lists no endpoint"),
        (
            always!(r#"{"Endpoints": [{"Address": "", "CachePeriodInMinutes": 1440}]}"#),
            "an address that is no host: ''",
        ),
        (
            always!(r#"{"Endpoints": [{"Address": "a b", "CachePeriodInMinutes": 1440}]}"#),
            "an address that is no host: 'a b'",
        ),
    ];
    for (url, reason) in cases {
        let endpoints = ["write", "query"].map(|it| format!("--{it}-base-endpoint={url}"));
        let flags = [
            &*endpoints[0],
            &endpoints[1],
            "--endpoint-discovery=on",
            "--max-retries=0",
            "--max-write-retries=0",
        ];
        let app = TestApp::start_with(&flags).await;
        let read = app
            .read_raw(vec![query(&[(Type::Eq, "__name__", "m")])])
            .await;
        let written = series(&[("__name__", "m"), ("a", "b")], &[(START_MS, 1.0)]);
        let write = app.write(vec![written]).await;
        for (response, status) in [(read, 502), (write, 503)] {
            let text = response.text();
            assert_eq!(response.status, status, "{reason}: {text}");
            assert!(text.starts_with("UnexpectedResponse: "), "{text}");
            assert!(text.contains(reason), "{reason}: {text}");
        }
    }
}
