//! OTLP metrics: every data point is stored or rejected, and the sender learns which.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Request;
use otlp::messages::{
    AnyValue, ExportMetricsServiceRequest, ExportMetricsServiceResponse, Gauge, KeyValue, Metric,
    NumberDataPoint, Resource, ResourceMetrics, ScopeMetrics, Status, any_value, metric,
    number_data_point,
};
use prom_wire::prompb::label_matcher::Type;
use prost::Message;
use serde_json::{Value, json};
use timestream_emulator::{Fault, FaultKind, Value as Stored, When};

use crate::dead_letters::letters;
use crate::support::{HttpResponse, START_MS, TestApp, query, series};
use crate::v2;

pub(crate) const PATHS: [&str; 2] = ["/v1/metrics", "/api/v1/otlp/v1/metrics"];
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// Returns a gauge with one data point for each value of the attribute `i`.
pub(crate) fn gauge(name: &str, values: impl IntoIterator<Item = f64>) -> Value {
    let values = values.into_iter().enumerate();
    let points = values.map(|(index, value)| {
        json!({
            "timeUnixNano": format!("{START_MS}000000"),
            "asDouble": match value.is_nan() {
                true => json!("NaN"),
                false => json!(value),
            },
            "attributes": [{ "key": "i", "value": { "intValue": index } }],
        })
    });
    json!({ "name": name, "gauge": { "dataPoints": points.collect::<Vec<_>>() } })
}

/// Returns the request with these metrics of a service.
pub(crate) fn request(metrics: Value) -> Value {
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
        "scopeMetrics": [{ "metrics": metrics }],
    }] })
}

/// Returns a sum of one data point, which is rejected.
fn delta() -> Value {
    json!({ "name": "deltas", "sum": {
        "aggregationTemporality": 1,
        "dataPoints": [{ "timeUnixNano": format!("{START_MS}000000"), "asInt": "1" }],
    } })
}

/// Returns the request with the gauge `m` of one data point.
fn message() -> ExportMetricsServiceRequest {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
    };
    let point = NumberDataPoint {
        time_unix_nano: u64::try_from(START_MS).unwrap() * 1_000_000,
        value: Some(number_data_point::Value::AsDouble(1.5)),
        attributes: vec![text("i", "0")],
        ..NumberDataPoint::default()
    };
    let gauge = Metric {
        name: "m".to_owned(),
        data: Some(metric::Data::Gauge(Gauge {
            data_points: vec![point],
        })),
        ..Metric::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![text("service.name", "shop")],
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![gauge],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl TestApp {
    /// Sends metrics in JSON.
    pub(crate) async fn export(&self, metrics: Value) -> HttpResponse {
        let body = request(metrics).to_string().into_bytes();
        self.post(PATHS[0], &[("content-type", JSON)], body).await
    }

    fn count(&self, table: &str) -> usize {
        self.emulator.points("db", table).len()
    }
}

/// Returns the rejected data points and the message of a success.
#[track_caller]
pub(crate) fn partial(response: &HttpResponse) -> (u64, String) {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.headers["content-type"], JSON);
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    if body == json!({}) {
        return (0, String::new());
    }
    let partial = &body["partialSuccess"];
    let points = partial["rejectedDataPoints"].as_str().unwrap();
    let text = partial["errorMessage"].as_str().unwrap();
    (points.parse().unwrap(), text.to_owned())
}

#[tokio::test]
async fn each_encoding_and_compression_is_stored_at_each_path() {
    let protobuf = message().encode_to_vec();
    let json = request(json!([gauge("m", [1.5])])).to_string().into_bytes();
    for path in PATHS {
        for (content_type, body, success) in [
            (PROTOBUF, &protobuf, &b""[..]),
            (JSON, &json, b"{}"),
            ("application/json; charset=utf-8", &json, b"{}"),
        ] {
            let app = TestApp::start().await;
            let several = [gzip(&body[..9]), gzip(&body[9..])].concat();
            for (encoding, body) in [
                ("identity", body.clone()),
                ("gzip", gzip(body)),
                ("gzip", several),
            ] {
                let headers = [
                    ("content-type", content_type),
                    ("content-encoding", encoding),
                ];
                let response = app.post(path, &headers, body).await;
                assert_eq!(response.status, 200, "{}", response.text());
                assert_eq!(response.body, success);
                let media_type = content_type.split(';').next().unwrap();
                assert_eq!(response.headers["content-type"], media_type);
                let found = app.read(vec![query(&[(Type::Eq, "__name__", "m")])]).await;
                let expected = series(
                    &[("__name__", "m"), ("i", "0"), ("job", "shop")],
                    &[(START_MS, 1.5)],
                );
                assert_eq!(found, [[expected]]);
            }
        }
    }
}

#[tokio::test]
async fn an_empty_request_is_a_success() {
    let app = TestApp::start().await;
    for (content_type, body) in [(JSON, "{}"), (PROTOBUF, "")] {
        let headers = [("content-type", content_type)];
        let response = app.post(PATHS[0], &headers, body.into()).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.text(), body);
    }
    assert_eq!(app.emulator.counters().calls.get("WriteRecords"), None);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_in_the_encoding_of_the_request() {
    let app = TestApp::start_with(&["--max-request-bytes=1KiB"]).await;
    let large = request(json!([gauge("m", [1.5; 100])])).to_string();
    let mut broken = gzip(b"{}");
    broken.truncate(12);
    let cases = [
        (
            JSON,
            "",
            b"{".to_vec(),
            400,
            "not a valid ExportMetricsServiceRequest in JSON",
        ),
        (
            JSON,
            "",
            br#"{"resourceMetrics":7}"#.to_vec(),
            400,
            "resourceMetrics",
        ),
        (
            PROTOBUF,
            "",
            vec![0xff; 30],
            400,
            "not a valid ExportMetricsServiceRequest in protobuf",
        ),
        (JSON, "gzip", b"{}".to_vec(), 400, "not valid gzip"),
        (PROTOBUF, "gzip", broken, 400, "not valid gzip"),
        (
            JSON,
            "",
            large.clone().into_bytes(),
            413,
            "exceeds 1024 bytes",
        ),
        (
            JSON,
            "gzip",
            gzip(large.as_bytes()),
            413,
            "exceeds 1024 bytes",
        ),
        // The end of the first of two members says nothing about the second.
        (
            JSON,
            "gzip",
            [gzip(large.as_bytes()), gzip(b"{}")].concat(),
            413,
            "exceeds 1024 bytes",
        ),
        (JSON, "zstd", b"{}".to_vec(), 415, "Content-Encoding 'zstd'"),
        (JSON, "snappy", b"{}".to_vec(), 415, "expected gzip or none"),
    ];
    for (content_type, encoding, body, status, expected) in cases {
        let headers = [
            ("content-type", content_type),
            ("content-encoding", encoding),
        ];
        let response = app.post(PATHS[0], &headers, body).await;
        assert_eq!(response.status, status, "{expected}: {}", response.text());
        assert_eq!(response.headers["content-type"], content_type);
        assert!(!response.headers.contains_key("retry-after"));
        let text = match content_type {
            JSON => {
                let body: Value = serde_json::from_slice(&response.body).unwrap();
                body["message"].as_str().unwrap().to_owned()
            }
            _ => Status::decode(&*response.body).unwrap().message,
        };
        assert!(text.contains(expected), "{text}");
    }
    for headers in [&[][..], &[("content-type", "text/plain")]] {
        let response = app.post(PATHS[0], headers, b"{}".to_vec()).await;
        assert_eq!(response.status, 415);
        let text = response.text();
        assert!(
            text.contains("application/x-protobuf and application/json"),
            "{text}"
        );
    }
    for path in PATHS {
        assert_eq!(app.get(path).await.status, 405);
    }
    assert_eq!(app.count("t"), 0);
    let name = |code: u16| format!("timestream_connector_otlp_requests_total{{code=\"{code}\"}}");
    for (code, count) in [(400, 5.0), (413, 3.0), (415, 4.0), (405, 0.0)] {
        assert_eq!(app.metric(&name(code)).await, count, "{code}");
    }
}

#[tokio::test]
async fn gzip_of_more_members_than_senders_make_is_rejected() {
    let app = TestApp::start().await;
    let headers = [("content-type", JSON), ("content-encoding", "gzip")];
    for (members, status, expected) in [
        (100, 200, "{}"),
        (101, 400, "gzip of more than 100 members"),
        (1_000_000, 400, "gzip of more than 100 members"),
    ] {
        let body = [gzip(b"").repeat(members - 1), gzip(b"{}")].concat();
        let response = app.post(PATHS[0], &headers, body).await;
        let text = response.text();
        assert_eq!(response.status, status, "{members}: {text}");
        assert!(text.contains(expected), "{members}: {text}");
    }
}

#[tokio::test]
async fn a_data_point_that_cannot_be_translated_costs_itself() {
    let app = TestApp::start().await;
    let response = app.export(json!([delta(), gauge("m", [1.5, 2.5])])).await;
    let (points, text) = partial(&response);
    assert_eq!(points, 1);
    assert!(
        text.starts_with("1 data point: metric 'deltas' has delta temporality"),
        "{text}"
    );
    assert!(
        text.contains("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative"),
        "{text}"
    );
    assert_eq!(app.count("t"), 2);
    for (name, expected) in [
        ("otlp_requests_total{code=\"200\"}", 1.0),
        ("otlp_data_points_total", 3.0),
        (
            "otlp_rejected_data_points_total{reason=\"temporality\"}",
            1.0,
        ),
        (
            "otlp_rejected_data_points_total{reason=\"not_stored\"}",
            0.0,
        ),
        ("received_samples_total", 2.0),
        ("written_samples_total", 2.0),
        ("write_requests_total{code=\"204\"}", 0.0),
    ] {
        let name = format!("timestream_connector_{name}");
        assert_eq!(app.metric(&name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn the_same_rejection_in_protobuf() {
    let app = TestApp::start().await;
    let mut message = message();
    let metrics = &mut message.resource_metrics[0].scope_metrics[0].metrics;
    let mut nameless = metrics[0].clone();
    nameless.name = "___".to_owned();
    metrics.push(nameless);
    let headers = [("content-type", PROTOBUF)];
    let response = app.post(PATHS[1], &headers, message.encode_to_vec()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let body = ExportMetricsServiceResponse::decode(&*response.body).unwrap();
    let partial = body.partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 1);
    assert!(
        partial.error_message.contains("metric '___'"),
        "{partial:?}"
    );
    assert_eq!(app.count("t"), 1);
}

#[tokio::test]
async fn faults_that_may_pass_are_503_and_others_are_counted() {
    let cases = [
        (FaultKind::Throttle, Some("ThrottlingException")),
        (FaultKind::InternalServer, Some("InternalServerException")),
        (FaultKind::InvalidEndpoint, Some("InvalidEndpointException")),
        (FaultKind::ExpiredToken, Some("")),
        (FaultKind::CutBefore, Some("")),
        (FaultKind::Validation("no".to_owned()), None),
    ];
    for (kind, retried) in cases {
        let app = TestApp::start_with(&["--max-write-retries=0"]).await;
        app.emulator.order_fault(Fault {
            when: When::Always,
            ..Fault::next("WriteRecords", 1, kind.clone())
        });
        let metrics = || json!([delta(), gauge("m", [1.5, 2.5, 3.5])]);
        let response = app.export(metrics()).await;
        let counts = app
            .metric("timestream_connector_otlp_rejected_data_points_total{reason=\"not_stored\"}")
            .await;
        match retried {
            Some(name) => {
                assert_eq!(response.status, 503, "{kind:?}: {}", response.text());
                assert_eq!(response.headers["retry-after"], "1");
                let body: Value = serde_json::from_slice(&response.body).unwrap();
                let text = body["message"].as_str().unwrap();
                assert!(text.starts_with(name), "{kind:?}: {text}");
                assert_eq!(counts, 0.0);
            }
            None => {
                let (points, text) = partial(&response);
                assert_eq!(points, 4, "{kind:?}: {text}");
                assert!(text.ends_with("of 3 samples 0 are stored, 0 ignored, 3 not stored"));
                assert_eq!(counts, 3.0);
            }
        }
        assert_eq!(app.count("t"), 0);
        // The same request again stores what there is to store.
        app.emulator.clear_faults();
        assert_eq!(partial(&app.export(metrics()).await).0, 1);
        assert_eq!(app.count("t"), 3);
    }
}

#[tokio::test]
async fn a_connector_that_may_store_nothing_is_an_error() {
    for (kind, status, name) in [
        (FaultKind::AccessDenied, 403, "AccessDeniedException"),
        (
            FaultKind::QuotaExceeded,
            402,
            "ServiceQuotaExceededException",
        ),
        (FaultKind::NotFound, 404, "ResourceNotFoundException"),
    ] {
        let app = TestApp::start().await;
        app.emulator.order_fault(Fault {
            when: When::Always,
            ..Fault::next("WriteRecords", 1, kind.clone())
        });
        let metrics = || json!([delta(), gauge("m", [1.5, 2.5, 3.5])]);
        let response = app.export(metrics()).await;
        assert_eq!(response.status, status, "{kind:?}: {}", response.text());
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        let text = body["message"].as_str().unwrap();
        assert!(text.starts_with(name), "{kind:?}: {text}");
        let counts = app
            .metric("timestream_connector_otlp_rejected_data_points_total{reason=\"not_stored\"}")
            .await;
        assert_eq!(counts, 3.0);
        app.emulator.clear_faults();
        assert_eq!(partial(&app.export(metrics()).await).0, 1);
        assert_eq!(app.count("t"), 3);
    }
}

#[tokio::test]
async fn a_throttled_request_has_the_status_of_the_option() {
    let app = TestApp::start_with(&["--max-write-retries=0", "--throttled-write-status=429"]).await;
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
    let response = app.export(json!([gauge("m", [1.5])])).await;
    assert_eq!(response.status, 429);
    assert_eq!(response.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_histogram_is_one_data_point_however_many_samples_are_lost() {
    let app = TestApp::start().await;
    let point = |table: &str| {
        json!({
            "timeUnixNano": format!("{START_MS}000000"),
            "count": "3", "sum": 4.5, "bucketCounts": ["1", "1", "1"], "explicitBounds": [1, 2],
            "attributes": [{ "key": "table", "value": { "stringValue": table } }],
        })
    };
    let histogram = json!({ "name": "h", "histogram": {
        "aggregationTemporality": 2,
        "dataPoints": [point("missing"), point("t"), point("other")],
    } });
    let (points, text) = partial(&app.export(json!([histogram])).await);
    assert_eq!(points, 1);
    assert!(
        text.starts_with("ResourceNotFoundException: 5 samples for db/missing are not stored"),
        "{text}"
    );
    assert_eq!((app.count("t"), app.count("other")), (5, 5));
}

#[tokio::test]
async fn what_is_dropped_by_policy_is_not_rejected() {
    let long = "x".repeat(61);
    let unmarked = json!({ "timeUnixNano": format!("{START_MS}000000"), "flags": 1 });
    let ended = json!({ "name": "gone", "gauge": { "dataPoints": [unmarked] } });
    let long_label = json!({ "name": "long", "gauge": { "dataPoints": [
        { "asInt": 1, "attributes": [{ "key": long, "value": { "boolValue": true } }] },
    ] } });
    let not_finite = json!([gauge("m", [1.5, f64::NAN]), ended]);
    let all = json!([gauge("m", [1.5, f64::NAN]), ended, long_label]);
    let app = TestApp::start().await;
    assert_eq!(app.export(not_finite).await.text(), "{}");
    let (points, text) = partial(&app.export(all.clone()).await);
    assert_eq!(points, 0);
    assert_eq!(
        text,
        "samples that Timestream cannot store are dropped: long_label_name (1)"
    );
    assert_eq!(app.count("t"), 1);
    // Remote write 2.0 counts the same as written.
    let labels = |name: &str| v2::series(&[("__name__", "m"), (name, "1")]);
    let response = app
        .write_v2(&[
            labels("i").sample(START_MS, f64::NAN),
            labels(&long).sample(START_MS, 1.0),
        ])
        .await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (204, Some([2, 0, 0]))
    );
    for (name, expected) in [
        (
            "otlp_rejected_data_points_total{reason=\"not_stored\"}",
            0.0,
        ),
        ("ignored_samples_total{reason=\"value_not_finite\"}", 5.0),
        ("ignored_samples_total{reason=\"long_label_name\"}", 2.0),
    ] {
        let name = format!("timestream_connector_{name}");
        assert_eq!(app.metric(&name).await, expected, "{name}");
    }
    // With the option only the long name is left.
    let app = TestApp::start_with(&["--store-special-values"]).await;
    let (points, text) = partial(&app.export(all).await);
    assert_eq!(points, 0, "{text}");
    assert!(text.ends_with("long_label_name (1)"), "{text}");
    assert_eq!(app.count("t"), 3);
}

fn flag(folder: &Path) -> String {
    format!("--dead-letter=file:{}", folder.display())
}

#[tokio::test]
async fn samples_in_dead_letters_are_not_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(&[&flag(folder.path())]).await;
    let lost = json!({ "name": "lost", "gauge": { "dataPoints": [{
        "timeUnixNano": format!("{START_MS}000000"), "asInt": 7,
        "attributes": [{ "key": "table", "value": { "stringValue": "missing" } }],
    }] } });
    let metrics = json!([gauge("m", [1.5, f64::NAN]), lost, delta()]);
    let (points, text) = partial(&app.export(metrics).await);
    // What is no sample cannot be a letter.
    assert_eq!(points, 1, "{text}");
    let mut reasons: Vec<_> = letters(folder.path())
        .into_iter()
        .map(|letter| letter.reason)
        .collect();
    reasons.sort();
    assert_eq!(reasons, ["ResourceNotFoundException", "value_not_finite"]);
    assert_eq!(app.count("t"), 1);
    // They are stored nowhere if the folder is gone, so the sender has to send again.
    folder.close().unwrap();
    let response = app.export(json!([gauge("m", [f64::NAN])])).await;
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(
        response.text().contains("DeadLetterError"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn a_fail_on_option_rejects_the_whole_request() {
    let app = TestApp::start_with(&["--fail-on-invalid-sample-value"]).await;
    let response = app.export(json!([gauge("m", [1.5, f64::NAN])])).await;
    assert_eq!(response.status, 400);
    assert!(
        response.text().contains("nothing of the request is stored"),
        "{}",
        response.text()
    );
    assert_eq!(app.count("t"), 0);
}

#[tokio::test]
async fn credentials_are_those_of_writes() {
    let app = TestApp::start_with(&[
        "--read-bearer-token=reader-token",
        "--write-bearer-token=writer-token",
    ])
    .await;
    let body = request(json!([gauge("m", [1.5])])).to_string();
    for path in PATHS {
        for (token, status) in [("writer-token", 200), ("reader-token", 403), ("none", 401)] {
            let authorization = format!("Bearer {token}");
            let headers = [("content-type", JSON), ("authorization", &authorization)];
            let response = app.post(path, &headers, body.clone().into()).await;
            assert_eq!(response.status, status, "{path} {token}");
        }
    }
    assert_eq!(app.count("t"), 1);
}

#[tokio::test]
async fn a_request_whose_client_leaves_is_counted() {
    let app = TestApp::start().await;
    let slow = FaultKind::Latency(Duration::from_secs(3_600));
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, slow));
    let values = (0..150).map(f64::from);
    let left = app.export(json!([gauge("m", values)]));
    assert!(
        tokio::time::timeout(Duration::from_secs(2), left)
            .await
            .is_err()
    );
    let request = Request::post(PATHS[0]).header("content-type", JSON);
    let never = Body::from_stream(futures_util::stream::pending::<
        Result<Vec<u8>, std::io::Error>,
    >());
    let left = app.send(request.body(never).unwrap());
    assert!(
        tokio::time::timeout(Duration::from_millis(10), left)
            .await
            .is_err()
    );
    let metric = |name: &str| {
        let (app, name) = (&app, format!("timestream_connector_{name}"));
        async move { app.metric(&name).await }
    };
    assert_eq!(metric("otlp_requests_total{code=\"499\"}").await, 2.0);
    assert_eq!(metric("otlp_data_points_total").await, 150.0);
    let written = metric("written_samples_total").await;
    let aborted = metric("failed_samples_total{reason=\"aborted\"}").await;
    assert_eq!(written + aborted, 150.0);
    assert_eq!(app.count("t") as f64, written);
}

#[tokio::test]
async fn an_exponential_histogram_is_stored_as_a_native_one() {
    let app = TestApp::start().await;
    let histogram = json!({ "name": "latency", "unit": "s", "exponentialHistogram": {
        "aggregationTemporality": 2,
        "dataPoints": [{
            "timeUnixNano": format!("{START_MS}000000"),
            "count": "7", "sum": 12.5, "scale": 3, "zeroCount": "1",
            "positive": { "offset": -1, "bucketCounts": ["1", "2", "3"] },
        }],
    } });
    assert_eq!(
        partial(&app.export(json!([histogram])).await),
        (0, String::new())
    );
    let points = app.emulator.points("db", "t");
    assert_eq!(points.len(), 1);
    assert!(matches!(points[0].value, Stored::Varchar(_)), "{points:?}");
    let matcher = [(Type::Eq, "__name__", "latency_seconds")];
    let found = app.read(vec![query(&matcher)]).await;
    let stored = &found[0][0].histograms[0];
    assert_eq!(
        (stored.timestamp, stored.schema, stored.sum),
        (START_MS, 3, 12.5)
    );
}
