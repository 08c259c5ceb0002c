//! Faults of Timestream: the response to each, and that a resend completes what is missing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use http::Request;
use prom_wire::prompb::TimeSeries;
use prom_wire::prompb::label_matcher::Type;
use timestream_emulator::{Fault, FaultKind, When};

use crate::support::{START_MS, TestApp, connect, query, series, start_emulator, table};

fn numbered(count: i64) -> Vec<TimeSeries> {
    (0..count)
        .map(|i| {
            series(
                &[("__name__", "m"), ("i", &i.to_string())],
                &[(START_MS, i as f64)],
            )
        })
        .collect()
}

fn always(operation: &str, kind: FaultKind) -> Fault {
    Fault {
        when: When::Always,
        ..Fault::next(operation, 1, kind)
    }
}

#[tokio::test]
async fn a_missing_table_is_404_and_costs_no_other_sample() {
    let app = TestApp::start().await;
    let mut all = numbered(150);
    all.push(series(
        &[("__name__", "m"), ("table", "missing")],
        &[(START_MS, 1.0)],
    ));
    let response = app.write(all).await;
    assert_eq!(response.status, 404);
    let text = response.text();
    assert!(
        text.starts_with("ResourceNotFoundException: 1 samples for db/missing are not stored"),
        "{text}"
    );
    assert!(
        text.ends_with("of 151 samples 150 are stored, 0 ignored, 1 not stored"),
        "{text}"
    );
    assert_eq!(app.emulator.points("db", "t").len(), 150);
    let name = "timestream_connector_failed_samples_total{reason=\"ResourceNotFoundException\"}";
    assert_eq!(app.metric(name).await, 1.0);
}

#[tokio::test]
async fn a_read_of_a_missing_table_has_the_remedy_of_one() {
    let m = || vec![query(&[(Type::Eq, "__name__", "m")])];
    for (option, words) in [
        ("table", "Table 'db.missing' does not exist"),
        ("database", "database 'missing' not found"),
    ] {
        let app = TestApp::start_with(&[&format!("--default-{option}=missing")]).await;
        let response = app.read_raw(m()).await;
        let text = response.text();
        assert_eq!(response.status, 400, "{text}");
        assert!(text.starts_with("ValidationException: "), "{text}");
        assert!(text.contains(words), "{text}");
        assert!(
            text.ends_with(
                " (create the database and table, or correct the labels or options that name them)"
            ),
            "{text}"
        );
    }
    // Another mistake of the same kind keeps the remedy of that.
    let app = TestApp::start().await;
    let column = FaultKind::Validation("line 1:8: Column 'x' does not exist".to_owned());
    app.emulator.order_fault(always("Query", column));
    let response = app.read_raw(m()).await;
    assert_eq!(response.status, 400);
    assert!(
        response
            .text()
            .ends_with("Column 'x' does not exist (change the request)"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn throttling_beyond_the_retries_is_503_and_a_resend_succeeds() {
    let app = TestApp::start_with(&["--max-write-retries=0"]).await;
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
    let response = app.write(numbered(250)).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.headers["retry-after"], "1");
    assert!(
        response.text().starts_with("ThrottlingException: "),
        "{}",
        response.text()
    );
    let text = response.text();
    let (_, summary) = text.split_once("; of 250 samples ").unwrap();
    let stored = app.emulator.points("db", "t").len();
    assert!(
        stored >= 150,
        "one call of at most 100 is missing: {stored}"
    );
    let expected = format!(
        "{stored} are stored, 0 ignored, {} not stored",
        250 - stored
    );
    assert_eq!(summary, expected);

    app.write_ok(numbered(250)).await;
    assert_eq!(app.emulator.points("db", "t").len(), 250);
}

#[tokio::test]
async fn the_status_for_throttling_can_be_429() {
    let app = TestApp::start_with(&["--max-write-retries=0", "--throttled-write-status=429"]).await;
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
    let response = app.write(numbered(1)).await;
    assert_eq!(response.status, 429);
    assert_eq!(response.headers["retry-after"], "1");
}

#[tokio::test]
async fn short_faults_are_retried_within_the_request() {
    let app = TestApp::start().await;
    for kind in [
        FaultKind::Throttle,
        FaultKind::InternalServer,
        FaultKind::InvalidEndpoint,
        FaultKind::CutBefore,
        FaultKind::CutAfter,
    ] {
        app.emulator
            .order_fault(Fault::next("WriteRecords", 1, kind));
    }
    app.write_ok(numbered(10)).await;
    assert_eq!(app.emulator.points("db", "t").len(), 10);
    assert!(app.metric("timestream_connector_write_retries_total").await >= 3.0);

    app.emulator
        .order_fault(Fault::next("Query", 2, FaultKind::Throttle));
    assert_eq!(
        app.read(vec![query(&[(Type::Eq, "__name__", "m")])]).await[0].len(),
        10
    );
}

#[tokio::test]
async fn statuses_of_lasting_faults() {
    let cases = [
        (FaultKind::Throttle, 503, 429),
        (FaultKind::InternalServer, 500, 500),
        (FaultKind::InvalidEndpoint, 503, 503),
        (FaultKind::AccessDenied, 403, 403),
        (FaultKind::QuotaExceeded, 402, 402),
        (FaultKind::NotFound, 404, 404),
        (FaultKind::ExpiredToken, 503, 503),
        (FaultKind::CutBefore, 503, 503),
        (FaultKind::Validation("no".to_owned()), 400, 400),
    ];
    for (kind, write_status, read_status) in cases {
        let app = TestApp::start_with(&["--max-write-retries=0", "--max-retries=0"]).await;
        app.emulator
            .order_fault(always("WriteRecords", kind.clone()));
        app.emulator.order_fault(always("Query", kind.clone()));
        let response = app.write(numbered(3)).await;
        assert_eq!(
            response.status,
            write_status,
            "{kind:?}: {}",
            response.text()
        );
        assert!(
            response
                .text()
                .ends_with("0 are stored, 0 ignored, 3 not stored"),
            "{}",
            response.text()
        );
        let response = app
            .read_raw(vec![query(&[(Type::Eq, "__name__", "m")])])
            .await;
        assert_eq!(
            response.status,
            read_status,
            "{kind:?}: {}",
            response.text()
        );
    }
}

#[tokio::test]
async fn a_retryable_failure_wins_over_a_permanent_one() {
    let app = TestApp::start_with(&["--max-write-retries=0"]).await;
    let both = || {
        vec![
            series(
                &[("__name__", "m"), ("table", "missing")],
                &[(START_MS, 1.0)],
            ),
            series(&[("__name__", "m"), ("table", "other")], &[(START_MS, 1.0)]),
            series(&[("__name__", "m"), ("l", "1")], &[(START_MS, 1.0)]),
        ]
    };
    let throttled = Fault {
        table: Some("other".to_owned()),
        ..Fault::next("WriteRecords", 1, FaultKind::Throttle)
    };
    app.emulator.order_fault(throttled);
    assert_eq!(app.write(both()).await.status, 503);
    assert_eq!(app.write(both()).await.status, 404);
    assert_eq!(app.emulator.points("db", "other").len(), 1);
    assert_eq!(app.emulator.points("db", "t").len(), 1);
}

#[tokio::test]
async fn a_record_rejected_with_its_batch_costs_only_itself() {
    let app = TestApp::start().await;
    // Only the memory store reports at once that another value is there.
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let mut all = numbered(120);
    for series in &mut all {
        series.samples[0].timestamp = now_ms;
    }
    all.push(series(
        &[("__name__", "m"), ("i", "7")],
        &[(now_ms, 1234.5)],
    ));
    let response = app.write(all).await;
    assert_eq!(response.status, 419, "{}", response.text());
    assert!(
        response.text().starts_with(
            "RejectedRecordsException: 1 samples for db/t are not stored: A record already exists"
        ),
        "{}",
        response.text()
    );
    assert_eq!(app.emulator.points("db", "t").len(), 120);
}

#[tokio::test]
async fn a_batch_rejected_as_a_whole_is_halved() {
    let app = TestApp::start().await;
    // The first three calls are rejected: the batch, its first half, the first quarter.
    let rejection = FaultKind::Validation("the request is rejected as a whole".to_owned());
    app.emulator
        .order_fault(Fault::next("WriteRecords", 3, rejection));
    app.write_ok(numbered(100)).await;
    assert_eq!(app.emulator.points("db", "t").len(), 100);
    assert_eq!(
        app.metric("timestream_connector_write_calls_total").await,
        7.0
    );
}

#[tokio::test]
async fn rejected_records_cost_a_bounded_number_of_calls() {
    let app = TestApp::start().await;
    let rejection = FaultKind::Validation("no record of it".to_owned());
    app.emulator.order_fault(always("WriteRecords", rejection));
    let response = app.write(numbered(2_000)).await;
    assert_eq!(response.status, 400, "{}", response.text());
    let text = response.text();
    assert!(
        text.contains("2000 samples for db/t are not stored: no record of it"),
        "{text}"
    );
    let calls = app.metric("timestream_connector_write_calls_total").await;
    assert!((500.0..=540.0).contains(&calls), "{calls}");

    // The samples that are alone in a call by then are stored once the service accepts them.
    app.emulator.clear_faults();
    let rejection = FaultKind::Validation("the first calls are rejected".to_owned());
    app.emulator
        .order_fault(Fault::next("WriteRecords", 40, rejection));
    app.write_ok(numbered(2_000)).await;
    assert_eq!(app.emulator.points("db", "t").len(), 2_000);
}

#[tokio::test]
async fn rejected_records_are_not_sent_again_after_the_deadline() {
    let app = TestApp::start_with(&["--request-timeout=3s"]).await;
    let first = |kind| Fault::next("WriteRecords", 1, kind);
    let latency = |millis| FaultKind::Latency(Duration::from_millis(millis));
    app.emulator.order_fault(first(latency(500)));
    let rejection = FaultKind::Validation("a record of it".to_owned());
    app.emulator.order_fault(first(rejection));
    // The first call is on its way when this is ordered, so it meets the halves of its batch.
    let slow_down = async {
        while !app.emulator.counters().calls.contains_key("WriteRecords") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        app.emulator
            .order_fault(always("WriteRecords", latency(3_600_000)));
    };
    let (response, ()) = tokio::join!(app.write(numbered(100)), slow_down);
    assert_eq!(response.status, 400, "{}", response.text());
    let text = response.text();
    assert!(
        text.contains("100 samples for db/t are not stored: a record of it"),
        "{text}"
    );
}

#[tokio::test]
async fn a_write_whose_client_leaves_is_counted_with_what_is_stored() {
    let app = TestApp::start().await;
    let status = |code: u16| {
        let app = &app;
        async move {
            let name = format!("timestream_connector_write_requests_total{{code=\"{code}\"}}");
            app.metric(&name).await
        }
    };
    // One of two calls does not come back.
    let slow = FaultKind::Latency(Duration::from_secs(3_600));
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, slow));
    let write = tokio::time::timeout(Duration::from_secs(2), app.write(numbered(150)));
    assert!(write.await.is_err());
    assert_eq!((status(204).await, status(499).await), (0.0, 1.0));
    let received = app
        .metric("timestream_connector_received_samples_total")
        .await;
    let written = app
        .metric("timestream_connector_written_samples_total")
        .await;
    let aborted = "timestream_connector_failed_samples_total{reason=\"aborted\"}";
    assert_eq!(received, 150.0);
    assert_eq!(written + app.metric(aborted).await, received);
    assert_eq!(app.emulator.points("db", "t").len() as f64, written);
    assert!(written > 0.0);

    // So is one of which nothing was read, and the sender gets all of it stored by sending again.
    app.emulator.clear_faults();
    let never = Body::from_stream(futures_util::stream::pending::<
        Result<Vec<u8>, std::io::Error>,
    >());
    let write = app.send(Request::post("/write").body(never).unwrap());
    assert!(
        tokio::time::timeout(Duration::from_millis(10), write)
            .await
            .is_err()
    );
    app.write_ok(numbered(150)).await;
    assert_eq!((status(204).await, status(499).await), (1.0, 2.0));
    assert_eq!(app.emulator.points("db", "t").len(), 150);
}

#[tokio::test]
async fn series_that_cannot_be_routed_or_named_do_not_stop_the_others() {
    let app = TestApp::start_with(&["--default-table="]).await;
    let mut repeated = series(&[("__name__", "m"), ("table", "t")], &[(START_MS, 1.0)]);
    repeated.labels.push(repeated.labels[1].clone());
    let response = app
        .write(vec![
            series(
                &[("__name__", "m"), ("l", "1")],
                &[(START_MS, 1.0), (START_MS + 1, 1.0)],
            ),
            series(
                &[("__name__", "m"), ("table", "t"), ("l", "2")],
                &[(START_MS, 1.0)],
            ),
            series(&[("table", "t"), ("l", "3")], &[(START_MS, 1.0)]),
            series(
                &[("__name__", "m"), ("table", "not/a/name")],
                &[(START_MS, 1.0)],
            ),
            repeated,
        ])
        .await;
    assert_eq!(response.status, 400);
    let text = response.text();
    assert!(
        text.starts_with(
            "MissingTableWithWriteError: the given table label name: table cannot be found in the \
             labels of the time series {__name__=\"m\", l=\"1\"}"
        ),
        "{text}"
    );
    for name in [
        "MissingMetricName",
        "RepeatedLabelName",
        "InvalidDestinationName",
    ] {
        assert!(text.contains(name), "{text}");
    }
    assert!(
        text.ends_with("of 6 samples 1 are stored, 0 ignored, 5 not stored"),
        "{text}"
    );
    assert_eq!(app.emulator.points("db", "t").len(), 1);
}

#[tokio::test]
async fn fail_on_options_reject_the_request_before_anything_is_written() {
    let cases = [
        (
            "--fail-on-long-label",
            series(
                &[("__name__", "m"), (&"l".repeat(61), "1")],
                &[(START_MS, 1.0)],
            ),
            "LongLabelNameError: label name 'lll",
        ),
        (
            "--fail-on-invalid-sample-value",
            series(&[("__name__", "m"), ("l", "1")], &[(START_MS, f64::NAN)]),
            "InvalidSampleValueError: invalid sample value NaN",
        ),
    ];
    for (flag, bad, expected) in cases {
        let app = TestApp::start_with(&[flag]).await;
        let mut all = numbered(3);
        all.push(bad);
        let response = app.write(all).await;
        assert_eq!(response.status, 400);
        assert!(response.text().starts_with(expected), "{}", response.text());
        assert!(
            response
                .text()
                .ends_with("nothing of the request is stored"),
            "{}",
            response.text()
        );
        assert!(app.emulator.points("db", "t").is_empty());
    }
}

#[tokio::test]
async fn the_endpoint_is_discovered_where_the_option_is_set() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let router = connect(&emulator, &["--endpoint-discovery=on"]).await;
    let app = TestApp { emulator, router };
    app.write_ok(numbered(250)).await;
    assert_eq!(
        app.read(vec![query(&[(Type::Eq, "__name__", "m")])]).await[0].len(),
        250
    );
    // One for each of the two services.
    assert_eq!(app.emulator.counters().calls["DescribeEndpoints"], 2);
    // A rejected endpoint is discovered again, without spending a retry.
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::InvalidEndpoint));
    app.write_ok(numbered(1)).await;
    assert_eq!(app.emulator.counters().calls["DescribeEndpoints"], 3);
    assert_eq!(
        app.metric("timestream_connector_write_retries_total").await,
        0.0
    );
}
