//! The proven errors of the Go connector, each as a test of its absence.
//!
//! Its ignored base64 flag belongs to Lambda events.

use http::StatusCode;

use prom_wire::prompb::TimeSeries;
use prom_wire::prompb::label_matcher::Type;
use timestream_emulator::{Fault, FaultKind};

use crate::standalone::Connector;
use crate::support::{START_MS, TestApp, connect, query, series, start_emulator, table};

fn up(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    series(&[&[("__name__", "up")], labels].concat(), samples)
}

async fn read_up(app: &TestApp) -> Vec<TimeSeries> {
    app.read(vec![query(&[(Type::Eq, "__name__", "up")])])
        .await
        .remove(0)
}

#[tokio::test]
async fn values_are_not_cut_to_6_decimals() {
    let app = TestApp::start().await;
    let written = up(
        &[("l", "1")],
        &[(START_MS, 1.234_567_890_123e-9), (START_MS + 1, 0.1 + 0.2)],
    );
    app.write_ok(vec![written.clone()]).await;
    assert_eq!(read_up(&app).await, [written]);
}

#[tokio::test]
async fn the_60_byte_limit_is_not_applied_to_metric_names() {
    let app = TestApp::start().await;
    let name = "m".repeat(61);
    let written = series(&[("__name__", &name), ("l", "1")], &[(START_MS, 1.0)]);
    app.write_ok(vec![written.clone()]).await;
    assert_eq!(
        app.read(vec![query(&[(Type::Eq, "__name__", &name)])])
            .await,
        [[written]]
    );
}

#[tokio::test]
async fn more_than_100_samples_in_a_request_are_stored() {
    let app = TestApp::start().await;
    let samples: Vec<_> = (0..101).map(|i| (START_MS + i, 1.0)).collect();
    app.write_ok(vec![up(&[("l", "1")], &samples)]).await;
    assert_eq!(app.emulator.points("db", "t").len(), 101);
}

#[tokio::test]
async fn throttling_is_not_400() {
    let app = TestApp::start_with(&["--max-write-retries=0"]).await;
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
    let response = app.write(vec![up(&[("l", "1")], &[(START_MS, 1.0)])]).await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn network_errors_are_not_200() {
    let app = TestApp::start_with(&["--max-write-retries=0", "--max-retries=0"]).await;
    let TestApp { emulator, router } = app;
    let url = emulator.url();
    emulator.stop().await;
    // The port is closed by now.
    let app = TestApp {
        emulator: start_emulator(vec![]).await,
        router,
    };
    let response = app.write(vec![up(&[("l", "1")], &[(START_MS, 1.0)])]).await;
    assert_eq!(
        response.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{url}: {}",
        response.text()
    );
    assert!(
        response.text().starts_with("Unavailable: "),
        "{}",
        response.text()
    );
    let response = app
        .read_raw(vec![query(&[(Type::Eq, "__name__", "up")])])
        .await;
    assert_eq!(
        response.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn a_permanent_failure_does_not_hide_a_retryable_one() {
    let app = TestApp::start_with(&["--max-write-retries=0"]).await;
    let throttled = Fault {
        table: Some("other".to_owned()),
        ..Fault::next("WriteRecords", 1, FaultKind::Throttle)
    };
    app.emulator.order_fault(throttled);
    let response = app
        .write(vec![
            up(&[("table", "missing")], &[(START_MS, 1.0)]),
            up(&[("table", "other")], &[(START_MS, 1.0)]),
        ])
        .await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn rejected_records_are_distinguished_from_stored_ones() {
    let emulator = start_emulator(vec![timestream_emulator::TableSpec::new("db", "t")]).await;
    let router = connect(&emulator, &[]).await;
    let app = TestApp { emulator, router };
    // 2020 is outside the memory store, and this table accepts no late data.
    let response = app
        .write(vec![
            up(&[("l", "1")], &[(START_MS, 1.0)]),
            up(&[("l", "2")], &[(now_ms(), 1.0)]),
        ])
        .await;
    assert_eq!(response.status.as_u16(), 419);
    let text = response.text();
    assert!(
        text.contains("1 samples for db/t are not stored: The record timestamp is outside"),
        "{text}"
    );
    assert!(
        text.ends_with("of 2 samples 1 are stored, 0 ignored, 1 not stored"),
        "{text}"
    );
    assert_eq!(app.emulator.points("db", "t").len(), 1);
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as i64
}

#[tokio::test]
async fn each_query_has_a_result_of_its_own() {
    let app = TestApp::start().await;
    let written = up(&[("l", "1")], &[(START_MS, 1.0)]);
    app.write_ok(vec![written.clone()]).await;
    let queries = ["none", "up"].map(|name| query(&[(Type::Eq, "__name__", name)]));
    assert_eq!(app.read(queries.into()).await, [vec![], vec![written]]);
}

#[tokio::test]
async fn regexes_are_anchored() {
    let app = TestApp::start().await;
    app.write_ok(vec![up(&[("l", "abc")], &[(START_MS, 1.0)])])
        .await;
    for (regex, found) in [("b", 0), ("a.", 0), (".bc", 1), ("abc|d", 1)] {
        let read = app.read(vec![query(&[(Type::Re, "l", regex)])]).await;
        assert_eq!(read[0].len(), found, "{regex}");
    }
}

#[tokio::test]
async fn text_in_matchers_stays_text_in_sql() {
    let app = TestApp::start().await;
    let nasty = "' OR '1'='1";
    app.write_ok(vec![
        up(&[("l", nasty)], &[(START_MS, 1.0)]),
        up(&[("l", "1")], &[(START_MS, 1.0)]),
    ])
    .await;
    let read = app.read(vec![query(&[(Type::Eq, "l", nasty)])]).await;
    assert_eq!(read[0].len(), 1);
    let label = "l\" IS NULL OR \"l";
    let read = app.read(vec![query(&[(Type::Neq, label, "x")])]).await;
    assert_eq!(read[0].len(), 2);
}

#[tokio::test]
async fn matchers_see_absent_labels() {
    let app = TestApp::start().await;
    app.write_ok(vec![
        up(&[("l", "1")], &[(START_MS, 1.0)]),
        up(&[("m", "1")], &[(START_MS, 1.0)]),
    ])
    .await;
    for (op, value, found) in [
        (Type::Neq, "1", 1),
        (Type::Eq, "", 1),
        (Type::Re, "1|", 2),
        (Type::Nre, ".+", 1),
    ] {
        let read = app.read(vec![query(&[(op, "l", value)])]).await;
        assert_eq!(read[0].len(), found, "{op:?} {value}");
    }
}

#[tokio::test]
async fn time_is_not_cut_to_seconds() {
    let app = TestApp::start().await;
    app.write_ok(vec![up(
        &[("l", "1")],
        &[(START_MS + 1, 1.0), (START_MS + 999, 2.0)],
    )])
    .await;
    let mut query = query(&[(Type::Eq, "__name__", "up")]);
    (query.start_timestamp_ms, query.end_timestamp_ms) = (START_MS + 2, START_MS + 999);
    let read = app.read(vec![query]).await;
    assert_eq!(read, [[up(&[("l", "1")], &[(START_MS + 999, 2.0)])]]);
}

#[tokio::test]
async fn series_are_not_repeated_over_pages_and_samples_are_sorted() {
    let app = TestApp::start().await;
    // About 3 MB of result, that is several pages.
    let samples: Vec<_> = (0..30_000)
        .rev()
        .map(|i| (START_MS + i * 100, i as f64))
        .collect();
    app.write_ok(vec![up(&[("l", "1")], &samples)]).await;
    let read = read_up(&app).await;
    assert!(app.emulator.counters().calls["Query"] > 4);
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].samples.len(), samples.len());
    assert!(
        read[0]
            .samples
            .is_sorted_by(|a, b| a.timestamp < b.timestamp)
    );
}

#[tokio::test]
async fn a_label_that_is_no_column_is_neither_an_error_nor_always_empty() {
    let app = TestApp::start().await;
    app.write_ok(vec![up(&[("l", "1")], &[(START_MS, 1.0)])])
        .await;
    for (op, found) in [(Type::Eq, 0), (Type::Neq, 1)] {
        let read = app.read(vec![query(&[(op, "never_written", "x")])]).await;
        assert_eq!(read[0].len(), found);
    }
}

#[tokio::test]
async fn the_case_of_header_names_does_not_matter() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let connector = Connector::start(&emulator, &[]).await;
    let request = prom_wire::prompb::WriteRequest {
        timeseries: vec![up(&[("l", "1")], &[(START_MS, 1.0)])],
        metadata: vec![],
    };
    let body = prom_wire::encode(&request).unwrap();
    let head = format!(
        "POST /write HTTP/1.1\r\nhOsT: localhost\r\nCONTENT-TYPE: application/x-protobuf\r\n\
         cOnTeNt-EnCoDiNg: snappy\r\nContent-LENGTH: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let response = connector.raw(&[head.into_bytes(), body].concat()).await;
    assert!(response.starts_with("HTTP/1.1 204 "), "{response}");
}

#[tokio::test]
async fn remote_write_2_loses_nothing() {
    let app = TestApp::start().await;
    // The series `up` with the value 1, as a message of remote write 2.0.
    let body = [
        0x28, 0x9c, 0x22, 0x00, 0x22, 0x08, 0x5f, 0x5f, 0x6e, 0x61, 0x6d, 0x65, 0x5f, 0x5f, 0x22,
        0x02, 0x75, 0x70, 0x2a, 0x16, 0x0a, 0x02, 0x01, 0x02, 0x12, 0x10, 0x09, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0xf0, 0x3f, 0x10, 0x80, 0x80, 0xba, 0xbb, 0xc8, 0x2e,
    ];
    let headers = [
        (
            "content-type",
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        ),
        ("x-prometheus-remote-write-version", "2.0.0"),
    ];
    let response = app.post("/write", &headers, body.to_vec()).await;
    assert_eq!(response.status, StatusCode::NO_CONTENT);
    let [point] = app.emulator.points("db", "t").try_into().unwrap();
    assert_eq!(point.measure_name, "up");
}

#[tokio::test]
async fn clients_are_built_once_and_not_for_each_request() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let router = connect(&emulator, &["--endpoint-discovery=on"]).await;
    let app = TestApp { emulator, router };
    for i in 0..5 {
        app.write_ok(vec![up(&[("l", "1")], &[(START_MS + i, 1.0)])])
            .await;
    }
    // A new client would have to discover the endpoint again.
    assert_eq!(app.emulator.counters().calls["DescribeEndpoints"], 1);
}

#[tokio::test]
async fn bodies_have_limits() {
    let app = TestApp::start().await;
    let over = app
        .post("/write", &[("content-length", "33554433")], vec![])
        .await;
    assert_eq!(over.status, StatusCode::PAYLOAD_TOO_LARGE);
    // 5 bytes that claim to become 1 GiB.
    let bomb = app
        .post("/write", &[], vec![0x80, 0x80, 0x80, 0x80, 0x04])
        .await;
    assert_eq!(bomb.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_request_ends_the_process_only_if_configured() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let connector = Connector::start(&emulator, &[]).await;
    let long = "l".repeat(10_000);
    connector
        .write(vec![
            up(&[("l", "1")], &[(START_MS, f64::NAN), (-1, 1.0)]),
            up(&[(&long, "1")], &[(START_MS, 1.0)]),
            up(&[("l", "2")], &[(START_MS, 1.0)]),
        ])
        .await;
    assert_eq!(emulator.points("db", "t").len(), 1);
    let (status, _) = connector.terminate().await;
    assert_eq!(status, Some(0));
}
