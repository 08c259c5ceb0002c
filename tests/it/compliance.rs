//! Prometheus' compliance suite for receivers of remote write, test by test, under its names
//! (<https://github.com/prometheus/compliance/tree/main/remotewrite/receiver>).
//!
//! Stricter than the suite, which accepts a 400 where success is expected and reads nothing back.

use std::time::{SystemTime, UNIX_EPOCH};

use prom_wire::RemoteWrite;
use timestream_emulator::Value;

use crate::support::TestApp;
use crate::v2::MetricType::{
    Counter, Gauge, Gaugehistogram, Histogram as HistogramType, Info, Stateset, Summary,
    Unspecified,
};
use crate::v2::message::{BucketSpan, Histogram, histogram};
use crate::v2::{Series, body, compressed, content_type, series};

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

/// The sample values that most tests are run with.
const VALUES: [f64; 5] = [
    1.0,
    9.218_868_437_227_405e18,
    9.221_120_237_041_091e18,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Sends the series to a connector of their own, expects success with these counts of samples,
/// histograms and exemplars, and that each finite sample is stored.
async fn accepted(test: &str, all: &[Series], expected: [u64; 3]) {
    let app = TestApp::start().await;
    let response = app.write_v2(all).await;
    assert_eq!(response.status, 204, "{test}: {}", response.text());
    assert!(response.body.is_empty(), "{test}");
    assert_eq!(response.written(), Some(expected), "{test}");
    let points = app.emulator.points("db", "t");
    let doubles = points
        .iter()
        .filter(|point| matches!(point.value, Value::Double(_)));
    let finite = all
        .iter()
        .flat_map(Series::values)
        .filter(|value| value.is_finite());
    assert_eq!(doubles.count(), finite.count(), "{test}");
}

/// Expects a 400 that reports these counts.
async fn rejected(test: &str, all: &[Series], expected: [u64; 3]) {
    let response = TestApp::start().await.write_v2(all).await;
    assert_eq!(response.status, 400, "{test}: {}", response.text());
    assert_eq!(response.written(), Some(expected), "{test}");
}

fn up(instance: &str) -> Series {
    series(&[("job", "test"), ("__name__", "up"), ("instance", instance)])
}

fn spans(length: usize) -> Vec<BucketSpan> {
    let length = u32::try_from(length).unwrap();
    vec![BucketSpan { offset: 0, length }]
}

/// Returns an integer histogram of schema 0.
fn integer(count: u64, zero: u64, positive: &[i64], negative: &[i64]) -> Histogram {
    let side = |deltas: &[i64]| match deltas {
        [] => (vec![], vec![]),
        deltas => (spans(deltas.len()), deltas.to_vec()),
    };
    let (positive_spans, positive_deltas) = side(positive);
    let (negative_spans, negative_deltas) = side(negative);
    Histogram {
        count: Some(histogram::Count::CountInt(count)),
        sum: 18.4,
        zero_threshold: 0.001,
        zero_count: Some(histogram::ZeroCount::ZeroCountInt(zero)),
        positive_spans,
        positive_deltas,
        negative_spans,
        negative_deltas,
        timestamp: now(),
        ..Histogram::default()
    }
}

/// Returns a histogram with boundaries of its own: 5, 10, 7, 4, 2, 1 and 1 observations.
fn custom() -> Histogram {
    Histogram {
        count: Some(histogram::Count::CountInt(30)),
        sum: 100.0,
        schema: -53,
        positive_spans: spans(7),
        positive_deltas: vec![5, 5, -3, -3, -2, -1, 0],
        custom_values: vec![0.1, 0.5, 1.0, 2.5, 5.0, 10.0],
        timestamp: now(),
        ..Histogram::default()
    }
}

/// Returns the one that most tests send: 5 negative, 2 zero and 20 positive observations.
fn plain() -> Histogram {
    integer(27, 2, &[8, 2, -8], &[3, -1])
}

fn latency(route: &str) -> Series {
    series(&[("route", route), ("__name__", "request_duration_seconds")])
}

const TRACE: [(&str, &str); 1] = [("trace_id", "abc123def456")];

#[tokio::test]
async fn test_bad_content_types_and_encodings() {
    let app = TestApp::start().await;
    let mut broken = body(&[up("a").sample(now(), 1.0)]);
    broken[0] = 0x30;
    let v2 = content_type(RemoteWrite::V2);
    let cases = [
        [
            ("content-type", "application/json"),
            ("content-encoding", "snappy"),
        ],
        [
            ("content-type", "image/png"),
            ("content-encoding", "snappy"),
        ],
        [("content-type", v2), ("content-encoding", "gzip")],
        [("content-type", v2), ("content-encoding", "deflate")],
    ];
    for headers in cases {
        let response = app.post("/write", &headers, broken.clone()).await;
        assert_eq!(response.status, 415, "{headers:?}");
        assert_eq!(response.written(), None, "{headers:?}");
    }
}

#[tokio::test]
async fn test_corrupt_request_body() {
    let app = TestApp::start().await;
    let mut corrupt = body(&[up("a").sample(now(), 1.0)]);
    corrupt[0] = 0xff;
    let response = app.post_v2(corrupt).await;
    assert_eq!(response.status, 400, "{}", response.text());
    assert_eq!(response.written(), Some([0; 3]));
}

#[tokio::test]
async fn test_single_metric() {
    for value in VALUES {
        let good: [&[(&str, &str)]; 5] = [
            &[("__name__", "up")],
            &[("job", "j"), ("instance", "i"), ("__name__", "up")],
            &[("__name__", "up"), ("job", "a\nb")],
            &[("__name__", "http.requests.total"), ("http.method", "GET")],
            &[("__name__", "http requests total"), ("http method", "GET")],
        ];
        for labels in good {
            let test = format!("{labels:?} {value}");
            accepted(&test, &[series(labels).sample(now(), value)], [1, 0, 0]).await;
        }
        let bad: [&[(&str, &str)]; 2] = [&[("job", "j"), ("instance", "i")], &[]];
        for labels in bad {
            let test = format!("{labels:?} {value}");
            rejected(&test, &[series(labels).sample(now(), value)], [0; 3]).await;
        }
    }
}

#[tokio::test]
async fn test_counter_with_created_timestamp() {
    let counter = series(&[("job", "test"), ("__name__", "http_requests_total")]);
    let counter = counter.sample(now(), 100.0).created(now() - HOUR);
    accepted("", std::slice::from_ref(&counter), [1, 0, 0]).await;
    // And with metadata: TestCounterMetadataWithCreatedTimestamp.
    accepted("", &[counter.metadata(Counter, "Requests.", "")], [1, 0, 0]).await;
}

#[tokio::test]
async fn test_multiple_metrics() {
    for value in VALUES {
        let named = ["a", "b", "c", "d"].map(|it| up(it).sample(now(), value));
        accepted("4 series", &named, [4, 0, 0]).await;
        let nameless = ["a", "b", "c", "d"].map(|it| series(&[("i", it)]).sample(now(), value));
        rejected("none with a name", &nameless, [0; 3]).await;
        let [a, b, c, _] = named;
        let [nameless, ..] = nameless;
        rejected("3 with a name", &[a, nameless, b, c], [3, 0, 0]).await;
    }
}

#[tokio::test]
async fn test_exemplars() {
    let cases: [&[(&str, &str)]; 7] = [
        &TRACE,
        &[("trace_id", "abc"), ("span_id", "def")],
        &[("user_id", "user123")],
        &[("trace_id", "abc"), ("span_id", "def"), ("user_id", "1")],
        &[],
        &[("trace-id", "abc-def"), ("span.id", "1.2")],
        &[("user", "ünï 🚀"), ("日本", "東京")],
    ];
    for labels in cases {
        let all = [up("a").sample(now(), 1.0).exemplar(labels, now(), 1.5)];
        accepted(&format!("{labels:?}"), &all, [1, 0, 1]).await;
    }
}

#[tokio::test]
async fn test_exemplars_of_several_series_and_times() {
    let all = ["a", "b", "c"].map(|it| up(it).sample(now(), 1.0).exemplar(&TRACE, now(), 1.0));
    accepted("TestMultipleExemplars", &all, [3, 0, 3]).await;
    let all = [HOUR, MINUTE, 0].map(|ago| {
        up("a")
            .sample(now() - ago, 1.0)
            .exemplar(&TRACE, now() - ago, 1.0)
    });
    accepted("TestExemplarTimestamps", &all, [3, 0, 3]).await;
    let all = [up("a")
        .sample(now(), 1.0)
        .exemplar(&TRACE, now(), 1.0)
        .created(now() - HOUR)];
    accepted("TestExemplarWithCreatedTimestamp", &all, [1, 0, 1]).await;
}

#[tokio::test]
async fn test_exemplar_and_metadata_validation() {
    let names: [&[(&str, &str)]; 2] = [&[("job", "j")], &[("__name__", ""), ("job", "j")]];
    for labels in names {
        let all = [series(labels)
            .sample(now(), 1.0)
            .exemplar(&TRACE, now(), 1.0)];
        rejected("TestExemplarValidation", &all, [0; 3]).await;
        let all = [series(labels)
            .sample(now(), 1.0)
            .metadata(Counter, "Help.", "")];
        rejected("TestMetadataValidation", &all, [0; 3]).await;
    }
    let all = [up("a").sample(now(), 1.0).exemplar(&TRACE, now(), 1.0)];
    accepted("TestExemplarValidation", &all, [1, 0, 1]).await;
    let all = [up("a").sample(now(), 1.0).metadata(Counter, "Help.", "")];
    accepted("TestMetadataValidation", &all, [1, 0, 0]).await;
}

#[tokio::test]
async fn test_exemplar_special_values() {
    for value in [
        0.0,
        -123.456,
        1e10,
        1e-10,
        9.22e18,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        let all = [up("a").sample(now(), value).exemplar(&TRACE, now(), value)];
        accepted(&value.to_string(), &all, [1, 0, 1]).await;
    }
}

#[tokio::test]
async fn test_metadata() {
    let cases = [
        (Counter, "Requests.", ""),
        (Gauge, "Temperature.", "celsius"),
        (Unspecified, "", ""),
        (Info, "Build.", ""),
        (Stateset, "States.", ""),
        (Summary, "Latencies.", "seconds"),
        (Gaugehistogram, "Sizes.", "bytes"),
        (Counter, "Two\nlines and \"quotes\"", ""),
        (Gauge, "Rate.", "bytes/sec"),
    ];
    for (metric_type, help, unit) in cases {
        let all = [up("a").sample(now(), 1.0).metadata(metric_type, help, unit)];
        accepted(&format!("{metric_type:?} {help:?}"), &all, [1, 0, 0]).await;
    }
    let all = [latency("/")
        .histogram(plain())
        .metadata(HistogramType, "Latency.", "seconds")];
    accepted("histogram", &all, [0, 1, 0]).await;
    let all = ["a", "b", "c"].map(|it| {
        let labels = [("__name__", it), ("l", "1")];
        series(&labels).sample(now(), 1.0).metadata(Counter, it, "")
    });
    accepted("TestMultipleMetadata", &all, [3, 0, 0]).await;
    let labels = [
        ("__name__", "m"),
        ("path", "/a/b?c=d"),
        ("text", "x\"y\\z\n"),
    ];
    let all = [series(&labels)
        .sample(now(), 1.0)
        .metadata(Gauge, "Help.", "")];
    accepted("TestMetadataWithComplexLabels", &all, [1, 0, 0]).await;
    let all = [up("a")
        .sample(now(), 1.0)
        .metadata(Gauge, "Whether it is up.", "")];
    accepted("TestMetadataWithSamples", &all, [1, 0, 0]).await;
}

#[tokio::test]
async fn test_histograms() {
    let good = [
        ("positive, negative and zero", plain()),
        ("custom boundaries", custom()),
        ("positive and zero", integer(24, 4, &[8, 2, -8], &[])),
        ("negative", integer(3, 0, &[], &[2, -1])),
        ("zero", integer(1, 1, &[], &[])),
        ("TestEmptyHistogram", integer(0, 0, &[], &[])),
    ];
    for (test, histogram) in good {
        accepted(test, &[latency("/").histogram(histogram)], [0, 1, 0]).await;
    }
    let bad = integer(99, 0, &[10, -2, -3], &[]);
    rejected("bad_count", &[latency("/").histogram(bad)], [0; 3]).await;
    let created = latency("/").histogram(plain()).created(now() - HOUR);
    accepted("TestHistogramWithCreatedTimestamp", &[created], [0, 1, 0]).await;
    let two = ["/a", "/b"].map(|route| latency(route).histogram(plain()));
    accepted("TestMultipleHistograms", &two, [0, 2, 0]).await;
    let two = two.map(|it| it.metadata(HistogramType, "Latency.", "seconds"));
    accepted("TestMultipleHistogramsWithMetadata", &two, [0, 2, 0]).await;
}

#[tokio::test]
async fn test_histograms_with_exemplars_and_metadata() {
    let all = [latency("/").histogram(plain()).exemplar(&TRACE, now(), 0.5)];
    accepted("TestHistogramWithExemplar", &all, [0, 1, 1]).await;
    let all = all.map(|it| it.metadata(HistogramType, "Latency.", "seconds"));
    accepted("TestHistogramWithMetadataAndExemplar", &all, [0, 1, 1]).await;
    accepted("TestHistogramsWithMetadataAndExemplars", &all, [0, 1, 1]).await;
    let all = [latency("/")
        .histogram(custom())
        .exemplar(&TRACE, now(), 0.5)];
    accepted("TestCustomBucketsHistogramWithExemplar", &all, [0, 1, 1]).await;
    let all = [latency("/")
        .histogram(plain())
        .metadata(HistogramType, "Latency.", "")];
    accepted("TestHistogramWithMetadata", &all, [0, 1, 0]).await;
    let both = [
        latency("/").histogram(plain()).exemplar(&TRACE, now(), 0.5),
        series(&[("__name__", "sizes")]).histogram(custom()),
    ];
    accepted("TestComplexHistogramsRequest", &both, [0, 2, 1]).await;
    let all = [latency("/").histogram(plain()).exemplar(&TRACE, now(), 0.5)];
    accepted("TestMultipleMetricFamiliesHistograms", &all, [0, 1, 1]).await;
}

#[tokio::test]
async fn test_combinations() {
    let all = [up("a")
        .sample(now(), 1.0)
        .exemplar(&TRACE, now(), 1.0)
        .metadata(Gauge, "Up.", "")];
    accepted("TestSamplesWithMetadataAndExemplars", &all, [1, 0, 1]).await;
    let all = [
        up("a").sample(now(), 1.0).exemplar(&TRACE, now(), 1.0),
        series(&[("__name__", "requests_total")]).sample(now(), 2.0),
    ];
    accepted("TestComplexSamplesRequest", &all, [2, 0, 1]).await;
    let all = all.map(|it| it.metadata(Counter, "Help.", ""));
    accepted("TestMultipleMetricFamiliesSamples", &all, [2, 0, 1]).await;

    let metadata = [up("a").metadata(Gauge, "Up.", "")];
    accepted("metadata_without_data", &metadata, [0; 3]).await;
    let exemplars = [up("a").exemplar(&TRACE, now(), 1.0)];
    accepted("exemplars_without_data", &exemplars, [0, 0, 1]).await;
    let mixed = [
        up("a").sample(now() - HOUR, 1.0),
        up("a")
            .sample(now(), 2.0)
            .exemplar(&TRACE, now() - 30 * MINUTE, 1.0),
    ];
    accepted("mixed_timestamp_data", &mixed, [2, 0, 1]).await;

    let labels = [
        ("__name__", "m"),
        ("emoji", "🚀"),
        ("mail", "a@b"),
        ("umlaut", "äöü"),
    ];
    let all = [series(&labels)
        .sample(now(), 1.0)
        .exemplar(&[("user", "ä@🚀")], now(), 1.0)
        .metadata(Gauge, "Ümläut 🚀", "bytes/sec")];
    accepted("TestSpecialCharactersCombined", &all, [1, 0, 1]).await;
}

#[tokio::test]
async fn test_many() {
    let samples: Vec<_> = (0..50)
        .map(|i| {
            let up = up(&i.to_string()).sample(now(), f64::from(i));
            up.exemplar(&TRACE, now(), 1.0).metadata(Gauge, "Up.", "")
        })
        .collect();
    accepted("TestManySamples", &samples, [50, 0, 50]).await;
    let histograms: Vec<_> = (0..50)
        .map(|i| {
            let latency = latency(&i.to_string()).histogram(plain());
            latency
                .exemplar(&TRACE, now(), 1.0)
                .metadata(HistogramType, "Latency.", "")
        })
        .collect();
    accepted("TestManyHistograms", &histograms, [0, 50, 50]).await;
}

#[tokio::test]
async fn test_rw1() {
    let app = TestApp::start().await;
    let labels = |instance| [("__name__", "up"), ("instance", instance)];
    let message = prom_wire::prompb::WriteRequest {
        timeseries: ["a", "b"]
            .map(|it| crate::support::series(&labels(it), &[(now(), 1.0)]))
            .into(),
        metadata: vec![],
    };
    let mut body = prom_wire::encode(&message).unwrap();
    let headers = [
        ("content-type", content_type(RemoteWrite::V1)),
        ("content-encoding", "snappy"),
    ];
    let response = app.post("/write", &headers, body.clone()).await;
    assert_eq!(response.status, 204, "TestRW1BasicCompatibility");
    assert_eq!(response.written(), None, "TestRW1BasicCompatibility");
    assert_eq!(app.emulator.points("db", "t").len(), 2);

    body[0] = 0xff;
    let response = app.post("/write", &headers, body).await;
    assert_eq!(response.status, 400, "TestRW1ErrorHandling");
    // A message of version 1 under the content type of version 2.
    let response = app
        .post_v2(compressed(&prost::Message::encode_to_vec(&message)))
        .await;
    assert_eq!(response.status, 400, "{}", response.text());
}
