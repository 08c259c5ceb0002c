//! Responses to remote read as STREAMED_XOR_CHUNKS: their conditions, order and end.
//!
//! The contents of the chunks are compared with SAMPLES by every read of [`TestApp::read`].

use std::time::{Duration, Instant};

use axum::body::Body;
use futures_util::StreamExt;
use http::{Request, StatusCode, Version};

use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::read_request::ResponseType;
use prom_wire::prompb::read_request::ResponseType::{Samples, StreamedXorChunks};
use prom_wire::prompb::{Histogram, Query, ReadHints, ReadRequest};
use timestream_emulator::{Emulator, Fault, FaultKind, When};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::frames::{self, STREAMED};
use crate::kinds::{custom, floats, histograms, integers};
use crate::standalone::Connector;
use crate::support::{START_MS, TestApp, query, series, start_emulator, table, write_body};

/// Bits of the value with which Prometheus ends a series.
const STALE: u64 = 0x7ff0_0000_0000_0002;

fn named(name: &str) -> Query {
    query(&[(Type::Eq, "__name__", name)])
}

#[tokio::test]
async fn the_client_says_which_form_it_prefers() {
    let app = TestApp::start().await;
    let one = series(&[("__name__", "m"), ("l", "1")], &[(START_MS, 1.0)]);
    app.write_ok(vec![one]).await;
    let cases: [(&[ResponseType], bool); 5] = [
        (&[], false),
        (&[Samples], false),
        (&[Samples, StreamedXorChunks], false),
        (&[StreamedXorChunks], true),
        (&[StreamedXorChunks, Samples], true),
    ];
    for (accepted, is_streamed) in cases {
        let response = app.read_as(accepted, vec![named("m")]).await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
        let expected = match is_streamed {
            true => STREAMED,
            false => "application/x-protobuf",
        };
        assert_eq!(response.headers["content-type"], expected, "{accepted:?}");
        let is_compressed = response.headers.contains_key("content-encoding");
        assert_eq!(is_compressed, !is_streamed, "{accepted:?}");
    }

    for (accepted, status) in [(vec![2, -3], 400), (vec![2, 1], 200)] {
        let request = ReadRequest {
            queries: vec![named("m")],
            accepted_response_types: accepted,
        };
        let response = app
            .post("/read", &[], prom_wire::encode(&request).unwrap())
            .await;
        assert_eq!(response.status, status);
        if status == 400 {
            let text = response.text();
            assert!(
                text.contains("1 (STREAMED_XOR_CHUNKS), but [2, -3]"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_takes_its_time_gets_until_the_deadline() {
    let app = TestApp::start_with(&["--read-timeout=1s"]).await;
    for instance in 0..10 {
        // Values that no encoding makes small.
        let samples: Vec<_> = (0..2_000_i64)
            .map(|i| (START_MS + i * 1_000, ((i * 7_919 + instance) as f64).sin()))
            .collect();
        let labels = [("__name__", "m"), ("i", &*instance.to_string())];
        app.write_ok(vec![series(&labels, &samples)]).await;
    }
    let request = ReadRequest {
        queries: vec![named("m")],
        accepted_response_types: vec![StreamedXorChunks.into()],
    };
    let request = Request::post("/read").body(Body::from(prom_wire::encode(&request).unwrap()));
    let response = app.router.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut pieces = response.into_body().into_data_stream();
    assert!(pieces.next().await.unwrap().is_ok());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(pieces.next().await.unwrap().is_err());
    assert!(pieces.next().await.is_none());
    let ended = "timestream_connector_read_requests_total{code=\"504\"}";
    assert_eq!(app.metric(ended).await, 1.0);
}

#[tokio::test]
async fn native_histograms_come_in_chunks_of_their_own() {
    let app = TestApp::start().await;
    let float = series(&[("__name__", "f"), ("l", "1")], &[(START_MS, 1.0)]);
    let other = [("__name__", "h"), ("table", "other")];
    app.write_ok(vec![
        float,
        histograms(&[("__name__", "h")], vec![integers(START_MS)]),
        histograms(&other, vec![integers(START_MS)]),
    ])
    .await;
    let h_of_other = query(&[(Type::Eq, "__name__", "h"), (Type::Eq, "table", "other")]);
    let all = query(&[(Type::Re, "__name__", ".+")]);
    for queries in [
        vec![named("f")],
        vec![named("h")],
        vec![all],
        vec![named("f"), named("h")],
        vec![named("f"), named("f"), h_of_other],
        vec![named("f"), named("nothing"), named("f")],
    ] {
        for accepted in [&[StreamedXorChunks][..], &[StreamedXorChunks, Samples]] {
            let response = app.read_as(accepted, queries.clone()).await;
            assert_eq!(response.status, StatusCode::OK, "{}", response.text());
            assert_eq!(response.headers["content-type"], STREAMED);
        }
        let response = app
            .read_as(&[Samples, StreamedXorChunks], queries.clone())
            .await;
        assert_eq!(response.headers["content-type"], "application/x-protobuf");
        // Both are the same.
        app.read(queries).await;
    }
}

#[tokio::test]
async fn floats_and_histograms_of_a_series_have_one_order() {
    let app = TestApp::start_with(&["--store-special-values"]).await;
    let labels = [("__name__", "m"), ("l", "1")];
    let at = |step: i64| START_MS + step * 15_000;
    // Floats, integers, floats at their end, gauges of floats, custom buckets, and an hour that has all.
    let counted = |step: i64| Histogram {
        timestamp: at(step),
        ..integers(0)
    };
    let mut written = histograms(&labels, (200..500).map(counted).collect());
    let written_floats = (0..200).chain(500..640);
    let samples: Vec<_> = written_floats.map(|step| (at(step), step as f64)).collect();
    written.samples = series(&labels, &samples).samples;
    let later = [
        floats(at(640)),
        floats(at(641)),
        custom(at(642)),
        floats(at(650)),
    ];
    written.histograms.extend(later);
    // A float that a histogram shares its time with, and a stale marker that ends histograms.
    let more = series(&labels, &[(at(641), 7.0), (at(643), f64::from_bits(STALE))]);
    written.samples.extend(more.samples);
    app.write_ok(vec![written]).await;
    let mut all = named("m");
    all.end_timestamp_ms = at(1_000);
    let read = app.read(vec![all.clone()]).await.remove(0).remove(0);
    assert_eq!((read.samples.len(), read.histograms.len()), (341, 305));
    let response = app.read_as(&[StreamedXorChunks], vec![all]).await;
    let results = frames::results(&response.body, 1);
    let chunks = results[0][0].chunks.iter();
    let steps = |ms: i64| (ms - START_MS) / 15_000;
    let chunks: Vec<_> = chunks
        .map(|it| (it.r#type, steps(it.min_time_ms), steps(it.max_time_ms)))
        .collect();
    let expected = [
        (1, 0, 119),
        (1, 120, 199),
        (2, 200, 319),
        (2, 320, 439),
        (2, 440, 499),
        (1, 500, 619),
        (1, 620, 639),
        (3, 640, 640),
        (1, 641, 641),
        // The stale one ends the histogram before it.
        (2, 642, 643),
        (3, 650, 650),
    ];
    assert_eq!(chunks, expected);
}

#[tokio::test]
async fn native_histograms_in_one_piece_are_those_of_a_stream() {
    let app = TestApp::start().await;
    let at = |step: i64| START_MS + step * 15_000;
    for instance in ["1", "2", "3"] {
        let counted = |step: i64| Histogram {
            timestamp: at(step),
            ..integers(0)
        };
        let labels = [("__name__", "m"), ("l", instance)];
        let one = histograms(&labels, (0..200).map(counted).collect());
        app.write_ok(vec![one]).await;
    }
    let request = ReadRequest {
        queries: vec![named("m"), named("nothing"), named("m")],
        accepted_response_types: vec![StreamedXorChunks.into()],
    };
    let body = prom_wire::encode(&request).unwrap();
    let read = |version| {
        let request = Request::post("/read").version(version);
        app.send(request.body(Body::from(body.clone())).unwrap())
    };
    let streamed = read(Version::HTTP_11).await;
    let whole = read(Version::HTTP_10).await;
    assert_eq!([whole.status, streamed.status], [StatusCode::OK; 2]);
    assert_eq!(whole.body, streamed.body);
    let results = frames::results(&whole.body, 3);
    assert_eq!(results.iter().map(Vec::len).collect::<Vec<_>>(), [3, 0, 3]);
    assert_eq!(results[2][2].chunks.len(), 2);
}

#[tokio::test]
async fn rows_of_all_origins_become_chunks_of_120_samples() {
    let app = TestApp::start_with(&["--store-special-values"]).await;
    let labels = [("__name__", "m"), ("l", "1")];
    // Some 80 an hour, so that no row has the samples of a chunk; in between what has rows of its own.
    let samples: Vec<_> = (0..1_000)
        .map(|i| {
            let value = match i % 7 {
                3 => f64::from_bits(0x7ff0_0000_0000_0002),
                5 => f64::INFINITY,
                _ => i as f64 / 3.0,
            };
            (START_MS + i * 45_000, value)
        })
        .collect();
    let written = series(&labels, &samples);
    app.write_ok(vec![written.clone()]).await;
    // The other table has half of it too, and what comes later.
    let other = [&labels[..], &[("table", "other")]].concat();
    let more: Vec<_> = (500..1_500)
        .map(|i| (START_MS + i * 45_000, i as f64 / 3.0))
        .collect();
    app.write_ok(vec![series(&other, &more)]).await;
    let mut both = query(&[(Type::Eq, "__name__", "m"), (Type::Re, "table", "|other")]);
    both.end_timestamp_ms = START_MS + 2_000 * 45_000;
    let read = app.read(vec![both.clone()]).await.remove(0).remove(0);
    assert_eq!(read.samples.len(), 1_500);
    let response = app.read_as(&[StreamedXorChunks], vec![both]).await;
    let [result] = &frames::results(&response.body, 1)[..] else {
        panic!()
    };
    assert_eq!(result.len(), 1);
    assert_eq!(result[0].chunks.len(), 13);
}

#[tokio::test]
async fn label_sets_alone_are_frames_without_chunks() {
    let app = TestApp::start().await;
    for l in ["1", "2"] {
        let one = series(&[("__name__", "m"), ("l", l)], &[(START_MS, 1.0)]);
        app.write_ok(vec![one]).await;
    }
    let mut labels_only = named("m");
    labels_only.hints = Some(ReadHints {
        func: "series".to_owned(),
        ..ReadHints::default()
    });
    let response = app.read_as(&[StreamedXorChunks], vec![labels_only]).await;
    let results = frames::results(&response.body, 1);
    assert_eq!(results[0].len(), 2);
    assert!(results[0].iter().all(|series| series.chunks.is_empty()));
}

#[tokio::test]
async fn many_series_come_sorted_in_more_than_one_piece() {
    let app = TestApp::start().await;
    let all: Vec<_> = (0..2_000)
        .map(|i| {
            // An absent label comes before each that is there.
            let value = format!("{:x}", i * 7_919 % 2_000);
            let labels = [
                ("__name__", "m"),
                ("a", &*value),
                ("b", "x".repeat(i % 60).leak()),
            ];
            series(&labels, &[(START_MS, i as f64)])
        })
        .collect();
    app.write_ok(all).await;
    let read = app.read(vec![named("m")]).await;
    assert_eq!(read[0].len(), 2_000);
}

/// Returns a request for a result that is there at once, and then for one of many pages.
async fn two_queries(flags: &[&str]) -> (Emulator, Connector, Vec<u8>) {
    let emulator = start_emulator(vec![table("db", "t"), table("db", "other")]).await;
    let flags = [&["--table-label=table"], flags].concat();
    let connector = Connector::start(&emulator, &flags).await;
    let post = async |timeseries| {
        let status = connector.post("/write", write_body(vec![timeseries])).await;
        assert_eq!(status, 204);
    };
    post(series(&[("__name__", "m"), ("l", "1")], &[(START_MS, 1.0)])).await;
    // About 4 MB, in rows that a page can hold.
    let samples: Vec<_> = (0..3_600)
        .map(|i| (START_MS + i * 1_000, i as f64))
        .collect();
    for instance in 0..16 {
        let instance = instance.to_string();
        let labels = [
            ("__name__", "m"),
            ("instance", instance.as_str()),
            ("table", "other"),
        ];
        post(series(&labels, &samples)).await;
    }
    order(&emulator, FaultKind::Latency(Duration::from_millis(250)));
    let large = query(&[(Type::Eq, "__name__", "m"), (Type::Eq, "table", "other")]);
    let request = ReadRequest {
        queries: vec![named("m"), large],
        accepted_response_types: vec![StreamedXorChunks.into()],
    };
    let body = prom_wire::encode(&request).unwrap();
    (emulator, connector, body)
}

/// Orders this fault for all following calls of Timestream.
fn order(emulator: &Emulator, kind: FaultKind) {
    emulator.clear_faults();
    emulator.order_fault(Fault {
        when: When::Always,
        ..Fault::next("Query", 1, kind)
    });
}

fn calls(emulator: &Emulator, operation: &str) -> u64 {
    let calls = emulator.counters().calls;
    calls.get(operation).copied().unwrap_or_default()
}

async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn metrics(connector: &Connector) -> String {
    let response = soak::http::get(format!("{}/metrics", connector.url)).await;
    response.unwrap().text().await.unwrap()
}

/// Sends the request; returns the response once its headers and the frame of the first result are
/// there.
async fn begin(connector: &Connector, body: Vec<u8>, emulator: &Emulator) -> reqwest::Response {
    let request = soak::http::client().post(format!("{}/read", connector.url));
    let mut response = request.body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], STREAMED);
    let first = response.chunk().await.unwrap().unwrap();
    let (frames, rest) = frames::frames(&first);
    assert_eq!((frames.len(), rest.len()), (1, 0));
    assert_eq!(frames[0].query_index, 0);
    assert_eq!(calls(emulator, "CancelQuery"), 0);
    response
}

#[tokio::test]
async fn the_first_result_leaves_while_the_second_is_read() {
    let (emulator, connector, body) = two_queries(&[]).await;
    let mut response = begin(&connector, body, &emulator).await;
    emulator.clear_faults();
    let mut rest = Vec::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        rest.extend_from_slice(&piece);
    }
    let results = frames::results(&rest, 2);
    assert_eq!([results[0].len(), results[1].len()], [0, 16]);
    assert_eq!(calls(&emulator, "CancelQuery"), 0);
}

#[tokio::test]
async fn a_late_error_breaks_the_connection_and_is_logged_once() {
    let (emulator, connector, body) = two_queries(&["--max-retries=0"]).await;
    let mut response = begin(&connector, body, &emulator).await;
    order(&emulator, FaultKind::InternalServer);
    // A clean end would be taken for a whole response.
    let broken = loop {
        match response.chunk().await {
            Ok(piece) => assert!(piece.is_some(), "the response ends as if it were whole"),
            Err(error) => break error,
        }
    };
    assert!(!broken.is_timeout(), "{broken}");
    let metrics = metrics(&connector).await;
    let counted = "timestream_connector_read_requests_total{code=\"500\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    let (_, log) = connector.terminate().await;
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("level=error"))
        .collect();
    let [line] = lines[..] else { panic!("{log}") };
    assert!(line.contains("InternalServerException"), "{line}");
    assert!(line.contains("status=500"), "{line}");
}

#[tokio::test]
async fn the_deadline_applies_to_the_body_too() {
    let (emulator, connector, body) = two_queries(&["--read-timeout=4s"]).await;
    let mut response = begin(&connector, body, &emulator).await;
    order(&emulator, FaultKind::Latency(Duration::from_secs(3_600)));
    while let Ok(piece) = response.chunk().await {
        assert!(piece.is_some(), "the response ends as if it were whole");
    }
    until(|| calls(&emulator, "CancelQuery") == 1).await;
}

#[tokio::test]
async fn when_the_client_leaves_between_frames_the_query_is_cancelled() {
    let (emulator, connector, body) = two_queries(&[]).await;
    let response = begin(&connector, body, &emulator).await;
    order(&emulator, FaultKind::Latency(Duration::from_secs(3_600)));
    let before = calls(&emulator, "Query");
    until(|| calls(&emulator, "Query") > before).await;
    drop(response);
    until(|| calls(&emulator, "CancelQuery") == 1).await;
    let counted = "timestream_connector_read_requests_total{code=\"499\"} 1";
    let metrics = metrics(&connector).await;
    assert!(metrics.contains(counted), "{metrics}");
    let in_flight = "timestream_connector_requests_in_flight 0";
    assert!(metrics.contains(in_flight), "{metrics}");
}

#[tokio::test]
async fn before_http_1_1_the_response_is_one_piece_with_a_length() {
    let (emulator, connector, body) = two_queries(&[]).await;
    emulator.clear_faults();
    let address = connector.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /read HTTP/1.0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    let end = response
        .windows(4)
        .position(|at| at == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&response[..end]).to_lowercase();
    let body = &response[end + 4..];
    assert!(head.contains(STREAMED.to_lowercase().as_str()), "{head}");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    assert_eq!(frames::results(body, 2)[1].len(), 16);
}
