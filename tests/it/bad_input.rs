//! Requests that are not messages: the right status at once, and nothing written.

use axum::body::Body;
use http::Request;
use prom_wire::prompb;
use prom_wire::prompb::label_matcher::Type;

use crate::dead_letters::letters;
use crate::support::{START_MS, TestApp, query, series};
use crate::v2::compressed;

fn good_body() -> Vec<u8> {
    let timeseries = vec![series(&[("__name__", "m"), ("l", "1")], &[(START_MS, 1.0)])];
    prom_wire::encode(&prompb::WriteRequest {
        timeseries,
        metadata: vec![],
    })
    .unwrap()
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_rejected() {
    let app = TestApp::start_with(&["--max-request-bytes=1KiB"]).await;
    let mut truncated = good_body();
    truncated.truncate(20);
    let cases = [
        (vec![], 400, "the body is empty"),
        (b"not snappy at all".to_vec(), 400, "not valid snappy"),
        (truncated, 400, "not valid snappy"),
        (
            vec![0x80, 0x80, 0x80, 0x80, 0x04],
            400,
            "claims to decompress to 1073741824 bytes",
        ),
        (
            snap::raw::Encoder::new()
                .compress_vec(&[0; 100_000])
                .unwrap(),
            413,
            "exceeds 1024 bytes",
        ),
        (
            snap::raw::Encoder::new().compress_vec(&[0; 2_000]).unwrap(),
            400,
            "claims to decompress to 2000 bytes",
        ),
        (vec![0; 2_000], 413, "exceeds 1024 bytes"),
        (
            snap::raw::Encoder::new().compress_vec(&[0xff; 30]).unwrap(),
            400,
            "not a valid protobuf",
        ),
    ];
    for (body, status, expected) in cases {
        for path in ["/write", "/read"] {
            let response = app.post(path, &[], body.clone()).await;
            assert_eq!(
                response.status,
                status,
                "{path} {expected}: {}",
                response.text()
            );
            assert!(
                response.text().contains(expected),
                "{path}: {}",
                response.text()
            );
        }
    }
    assert!(app.emulator.points("db", "t").is_empty());
}

/// Returns a field of protobuf that has a length, which is less than 128.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 128);
    [&[number << 3 | 2, length], content].concat()
}

fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
    field(1, &[field(1, name), field(2, value)].concat())
}

/// Returns a series with the metric name `m`, this label and a sample at [`START_MS`].
fn raw_series(name: &[u8], value: &[u8]) -> Vec<u8> {
    let sample = b"\x12\x10\x09\0\0\0\0\0\0\xf0\x3f\x10\x80\x80\xba\xbb\xc8\x2e";
    let content = [&label(b"__name__", b"m"), &label(name, value), &sample[..]];
    field(1, &content.concat())
}

#[tokio::test]
async fn a_label_that_is_not_utf8_costs_its_series() {
    let cases: [(&[u8], &[u8], &str); 3] = [
        (
            b"city",
            b"caf\xe9",
            r#"the value 'caf\xe9' of label 'city' is not UTF-8 in the time series {__name__="m", city="caf\u{fffd}"}; correct the sender"#,
        ),
        (
            b"\xffx",
            b"1",
            r#"the label name '\xffx' is not UTF-8 in the time series {__name__="m", \u{fffd}x="1"}"#,
        ),
        (
            b"city",
            b"\xed\xa0\x80",
            r"the value '\xed\xa0\x80' of label 'city' is not UTF-8",
        ),
    ];
    for (name, value, expected) in cases {
        let app = TestApp::start().await;
        // The bad label occurs twice, and is checked once.
        let message = [
            raw_series(b"city", b"a"),
            raw_series(name, value),
            raw_series(name, value),
            raw_series(b"city", b"b"),
        ];
        let response = app.post("/write", &[], compressed(&message.concat())).await;
        let text = response.text();
        assert_eq!(response.status, 400, "{text}");
        let expected = expected.replace("\\u{fffd}", "\u{fffd}");
        assert!(
            text.starts_with(&format!("InvalidUtf8: {expected}")),
            "{text}"
        );
        assert!(
            text.ends_with("(2 samples); of 4 samples 2 are stored, 0 ignored, 2 not stored"),
            "{text}"
        );
        assert_eq!(app.emulator.points("db", "t").len(), 2);
        let failed = "timestream_connector_failed_samples_total{reason=\"InvalidUtf8\"}";
        assert_eq!(app.metric(failed).await, 2.0);
    }
}

#[tokio::test]
async fn a_series_with_an_empty_label_name_is_rejected() {
    let app = TestApp::start().await;
    for value in ["x", ""] {
        let response = app
            .write(vec![
                series(&[("__name__", "lat"), ("", value)], &[(START_MS, 1.0)]),
                series(&[("__name__", "lat"), ("l", "1")], &[(START_MS, 1.0)]),
            ])
            .await;
        assert_eq!(response.status, 400, "{}", response.text());
        assert!(
            response
                .text()
                .starts_with("EmptyLabelName: a label of the time series {__name__=\"lat\", =\""),
            "{}",
            response.text()
        );
    }
    assert_eq!(app.emulator.points("db", "t").len(), 1);
}

#[tokio::test]
async fn a_series_without_samples_leaves_no_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let flag = format!("--dead-letter=file:{}", folder.path().display());
    let app = TestApp::start_with(&[&flag]).await;
    let labels = [
        field(1, &[field(1, b"__name__"), field(2, b"m")].concat()),
        field(1, &[field(1, b"city"), field(2, b"caf\xe9")].concat()),
    ];
    let empty = field(1, &labels.concat());
    app.post("/write", &[], compressed(&empty)).await;
    assert_eq!(letters(folder.path()), []);
    // One with a sample leaves its own.
    let both = [empty, raw_series(b"city", b"caf\xe9")].concat();
    let response = app.post("/write", &[], compressed(&both)).await;
    assert_eq!(response.status, 204, "{}", response.text());
    let stored = letters(folder.path());
    assert_eq!(
        (stored.len(), stored[0].samples.len()),
        (1, 1),
        "{stored:?}"
    );
}

#[tokio::test]
async fn metadata_that_is_not_utf8_costs_its_entry() {
    let app = TestApp::start_with(&["--metadata-table=other"]).await;
    let metadata = |texts: &[(u8, &[u8])]| {
        let texts = texts.iter().map(|(number, text)| field(*number, text));
        field(3, &texts.collect::<Vec<_>>().concat())
    };
    let message = [
        metadata(&[(2, b"a"), (4, b"caf\xe9")]),
        metadata(&[(2, b"b\xff")]),
        metadata(&[(2, b"c"), (5, b"\xc3")]),
        metadata(&[(2, b"d"), (4, b"Help.")]),
        raw_series(b"city", b"a"),
    ];
    let response = app.post("/write", &[], compressed(&message.concat())).await;
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(app.emulator.points("db", "t").len(), 1);
    let stored = app.emulator.points("db", "other");
    assert_eq!(stored.len(), 1, "{stored:?}");
    let ignored = "timestream_connector_ignored_metadata_total{reason=\"not_utf8\"}";
    assert_eq!(app.metric(ignored).await, 3.0);
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_rejected_unread() {
    let app = TestApp::start_with(&["--max-request-bytes=1KiB"]).await;
    let endless = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = Request::post("/write")
        .header("content-length", "1000000")
        .body(Body::from_stream(endless))
        .unwrap();
    assert_eq!(app.send(request).await.status, 413);
}

#[tokio::test]
async fn other_types_and_encodings_are_415_before_the_body_is_read() {
    let app = TestApp::start().await;
    let cases = [
        (
            "content-type",
            "application/json",
            "unsupported Content-Type 'application/json'",
        ),
        (
            "content-type",
            "application/x-protobuf;proto=prometheus.ReadRequest",
            "unsupported message 'prometheus.ReadRequest'",
        ),
        (
            "content-type",
            "application/x-protobuf;proto=unknown",
            "unsupported message 'unknown'",
        ),
        (
            "content-encoding",
            "gzip",
            "unsupported Content-Encoding 'gzip'",
        ),
    ];
    for (name, value, expected) in cases {
        let response = app
            .post("/write", &[(name, value)], b"broken".to_vec())
            .await;
        assert_eq!(response.status, 415, "{value}");
        assert!(response.text().contains(expected), "{}", response.text());
        let response = app.post("/write", &[(name, value)], good_body()).await;
        assert_eq!(response.status, 415, "{value}");
    }
    assert!(app.emulator.points("db", "t").is_empty());
}

#[tokio::test]
async fn headers_of_real_senders_are_accepted() {
    let app = TestApp::start().await;
    let cases: [&[(&str, &str)]; 3] = [
        &[],
        &[
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ],
        &[(
            "content-type",
            "application/x-protobuf; proto=prometheus.WriteRequest",
        )],
    ];
    for headers in cases {
        let response = app.post("/write", headers, good_body()).await;
        assert_eq!(response.status, 204, "{headers:?} {}", response.text());
        assert!(response.body.is_empty());
    }
    assert_eq!(app.emulator.points("db", "t").len(), 1);
}

#[tokio::test]
async fn a_read_request_is_read_whatever_its_headers_say() {
    let app = TestApp::start().await;
    app.post("/write", &[], good_body()).await;
    let request = prompb::ReadRequest {
        queries: vec![query(&[(Type::Eq, "__name__", "m")])],
        accepted_response_types: vec![],
    };
    let body = prom_wire::encode(&request).unwrap();
    let expected = app.post("/read", &[], body.clone()).await;
    assert_eq!(expected.status, 200, "{}", expected.text());
    assert!(expected.body.len() > 10, "nothing is found");
    let read = |headers: Vec<(&'static str, &'static str)>| {
        app.post("/read", headers.leak(), body.clone())
    };
    for content_type in [
        "application/x-protobuf",
        // vmctl, with --remote-read-use-stream.
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
        // The sidecar of Thanos.
        "application/x-stream-protobuf",
        "application/x-protobuf;proto=prometheus.WriteRequest",
        "application/json",
        "",
    ] {
        let response = read(vec![
            ("content-type", content_type),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-read-version", "0.1.0"),
        ])
        .await;
        assert_eq!(response.status, 200, "{content_type}: {}", response.text());
        assert_eq!(response.body, expected.body, "{content_type}");
    }
    for encoding in ["identity", "gzip", ""] {
        let response = read(vec![("content-encoding", encoding)]).await;
        assert_eq!(response.status, 200, "{encoding}: {}", response.text());
    }
    // A body that is not snappy is rejected, whatever its content encoding.
    let message = prost::Message::encode_to_vec(&request);
    for encoding in ["snappy", "identity"] {
        let headers = [("content-encoding", encoding)];
        let response = app.post("/read", &headers, message.clone()).await;
        assert_eq!(response.status, 400);
        let text = response.text();
        assert!(text.contains("not valid snappy"), "{text}");
    }
}

#[tokio::test]
async fn other_methods_and_paths() {
    let app = TestApp::start().await;
    for path in ["/write", "/read"] {
        let response = app.get(path).await;
        assert_eq!(response.status, 405);
        assert_eq!(response.headers["allow"], "POST");
    }
    let response = app.get("/metric").await;
    assert_eq!(response.status, 404);
    assert!(
        response.text().contains("remote write is at /write"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn requests_without_samples_are_fine() {
    let app = TestApp::start().await;
    let metadata = prompb::MetricMetadata {
        metric_family_name: "m".to_owned(),
        help: "Help.".to_owned(),
        ..prompb::MetricMetadata::default()
    };
    let request = prompb::WriteRequest {
        timeseries: vec![],
        metadata: vec![metadata],
    };
    let response = app
        .post("/write", &[], prom_wire::encode(&request).unwrap())
        .await;
    assert_eq!(response.status, 204);
    // An exemplar travels in a series of its own, without a sample.
    app.write_ok(vec![series(&[("__name__", "m")], &[])]).await;
    let empty = app.post("/write", &[], vec![0]).await;
    assert_eq!(empty.status, 204);
    assert!(app.read(vec![]).await.is_empty());
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_503_at_the_deadline() {
    let app = TestApp::start_with(&["--request-timeout=50ms", "--read-timeout=50ms"]).await;
    for path in ["/write", "/read"] {
        let endless = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let request = Request::post(path)
            .body(Body::from_stream(endless))
            .unwrap();
        let response = app.send(request).await;
        assert_eq!(response.status, 503);
        assert!(
            response
                .text()
                .contains("did not arrive before the deadline"),
            "{}",
            response.text()
        );
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_503() {
    let app = TestApp::start().await;
    let chunks = [Ok(good_body()), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    let response = app.send(Request::post("/write").body(body).unwrap()).await;
    assert_eq!(response.status, 503);
    assert!(
        response.text().contains("the request body is incomplete"),
        "{}",
        response.text()
    );
    assert!(app.emulator.points("db", "t").is_empty());
}

#[tokio::test]
async fn ten_thousand_labels_on_one_series_cost_only_that_series() {
    let app = TestApp::start().await;
    let names: Vec<String> = (0..10_000).map(|i| format!("l{i}")).collect();
    let mut labels: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    labels.push(("__name__", "m"));
    app.write_ok(vec![
        series(&labels, &[(START_MS, 1.0)]),
        series(&[("__name__", "m"), ("l", "1")], &[(START_MS, 1.0)]),
    ])
    .await;
    assert_eq!(app.emulator.points("db", "t").len(), 1);
    let ignored = "timestream_connector_ignored_samples_total{reason=\"too_many_labels\"}";
    assert_eq!(app.metric(ignored).await, 1.0);
}
