//! A real Prometheus scrapes samples of every kind from a target that comes and goes: reads through
//! the connector equal its own storage, bit by bit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;

use prom_wire::prompb;
use prom_wire::prompb::label_matcher::Type;
use serde_json::Value;
use timestream_emulator::{Emulator, Value as StoredValue};

use crate::content::Content;
use crate::prometheus::{Prometheus, ordered, program};
use crate::standalone::Connector;
use crate::support::{query, start_emulator, table};

/// Bits of the value with which Prometheus ends a series.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Number of scrapes of the target before its data is compared.
const SCRAPES: u64 = 20;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as i64
}

/// Returns the target's metrics at its `n`th scrape: pods come and go, and once it fails.
fn exposition(n: u64) -> Response {
    if (9..12).contains(&n) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let (pod, two, three) = (n / 4, 2 * n, 3 * n);
    let sign = if n.is_multiple_of(2) { '+' } else { '-' };
    let seconds = (now_ms() - 250) as f64 / 1_000.0;
    let text = format!(
        "# TYPE app_requests counter\n\
         app_requests_total{{pod=\"{pod}\"}} {n} # {{trace_id=\"t{n}\"}} 0.25 {seconds:.3}\n\
         # TYPE app_level gauge\n\
         app_level{{kind=\"nan\"}} NaN\n\
         app_level{{kind=\"infinite\"}} {sign}Inf\n\
         app_level{{kind=\"plain\"}} 1.5\n\
         # TYPE \"my.ü 🦀\" gauge\n\
         {{\"my.ü 🦀\",\"label.with.dots\"=\"{pod}\"}} {three}\n\
         # TYPE app_latency histogram\n\
         app_latency_bucket{{le=\"0.1\"}} {n} # {{trace_id=\"b{n}\"}} 0.05\n\
         app_latency_bucket{{le=\"1.0\"}} {two}\n\
         app_latency_bucket{{le=\"+Inf\"}} {three} # {{}} 5\n\
         app_latency_sum {two}.5\n\
         app_latency_count {three}\n\
         # EOF\n"
    );
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([("content-type", content_type)], text).into_response()
}

/// Returns a target and the number of its scrapes.
async fn start_target() -> (String, Arc<AtomicU64>) {
    let scrapes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&scrapes);
    let show = move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move { exposition(n) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().route("/metrics", get(show));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, scrapes)
}

/// Samples as bits, and histograms, by time.
type Held = BTreeMap<Vec<(String, String)>, (BTreeMap<i64, u64>, BTreeMap<i64, Content>)>;

/// Returns all that remote read gives for these times.
async fn held(url: &str, times: (i64, i64)) -> Held {
    let mut query = query(&[(Type::Re, "job", ".+")]);
    (query.start_timestamp_ms, query.end_timestamp_ms) = times;
    let request = prompb::ReadRequest {
        queries: vec![query],
        accepted_response_types: vec![],
    };
    let response = soak::http::client()
        .post(url)
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-read-version", "0.1.0")
        .body(prom_wire::encode(&request).unwrap())
        .send()
        .await
        .unwrap();
    let (status, body) = (response.status(), response.bytes().await.unwrap());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let body = prom_wire::decompress(&body, usize::MAX).unwrap();
    let mut response: prompb::ReadResponse = prom_wire::decode(&body).unwrap();
    let series = response.results.remove(0).timeseries.into_iter();
    series
        .map(|series| {
            let labels = series.labels.into_iter().map(|it| (it.name, it.value));
            let samples = series.samples.iter();
            let samples = samples.map(|it| (it.timestamp, it.value.to_bits()));
            let histograms = series.histograms.iter();
            let histograms = histograms.map(|it| (it.timestamp, Content::of(it)));
            (labels.collect(), (samples.collect(), histograms.collect()))
        })
        .collect()
}

/// Exemplars: the labels of their series, their own, the value, the time.
type Exemplars = BTreeSet<(
    BTreeMap<String, String>,
    BTreeMap<String, String>,
    String,
    i64,
)>;

fn texts(object: &Value) -> BTreeMap<String, String> {
    let object = object.as_object().unwrap().iter();
    object
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

async fn exemplars_of(prometheus: &Prometheus, (start, end): (i64, i64)) -> Exemplars {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
    let range = [
        ("query", "{job=\"app\"}"),
        ("start", &*seconds(start)),
        ("end", &*seconds(end)),
    ];
    let response = prometheus.api("query_exemplars", &range).await;
    let mut all = Exemplars::new();
    for series in response["data"].as_array().unwrap() {
        for exemplar in series["exemplars"].as_array().unwrap() {
            let value: f64 = exemplar["value"].as_str().unwrap().parse().unwrap();
            let time_ms = (exemplar["timestamp"].as_f64().unwrap() * 1e3).round() as i64;
            all.insert((
                texts(&series["seriesLabels"]),
                texts(&exemplar["labels"]),
                value.to_string(),
                time_ms,
            ));
        }
    }
    all
}

fn exemplars_in(emulator: &Emulator, (start, end): (i64, i64)) -> Exemplars {
    let mut all = Exemplars::new();
    for point in emulator.points("db", "t") {
        let Some(name) = point.measure_name.strip_prefix("U__exemplar_of_") else {
            continue;
        };
        let StoredValue::Varchar(text) = &point.value else {
            panic!("{point:?}")
        };
        let exemplar: Value = serde_json::from_str(text).unwrap();
        let time_ms = exemplar["timestamp"].as_i64().unwrap();
        assert_eq!(point.time_ns / 1_000_000, time_ms);
        let mut labels = point.dimensions.clone();
        labels.insert("__name__".to_owned(), name.to_owned());
        if (start..=end).contains(&time_ms) {
            let value = exemplar["value"].as_f64().unwrap().to_string();
            all.insert((labels, texts(&exemplar["labels"]), value, time_ms));
        }
    }
    all
}

#[tokio::test]
async fn all_that_prometheus_scrapes_comes_back_bit_by_bit() {
    let program = program("prometheus").await;
    let emulator = start_emulator(vec![table("db", "t"), table("db", "metrics")]).await;
    let connector = Connector::start(&emulator, &["--store-special-values"]).await;
    let (target, scrapes) = start_target().await;
    let flags = ["--enable-feature=exemplar-storage,native-histograms"];
    let config = |port: u16| {
        format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs:\n\
             - job_name: prometheus\n  scrape_native_histograms: true\n  \
               static_configs: [{{ targets: ['127.0.0.1:{port}'] }}]\n\
             - job_name: app\n  convert_classic_histograms_to_nhcb: true\n  \
               static_configs: [{{ targets: ['{target}'] }}]\n\
             remote_write:\n\
             - url: {}/write\n  queue_config: {{ batch_send_deadline: 500ms }}\n  \
               send_exemplars: true\n  send_native_histograms: true\n  \
               protobuf_message: io.prometheus.write.v2.Request\n",
            connector.url
        )
    };
    let start_ms = now_ms();
    let writer = Prometheus::start_with(&program, &flags, config, async |_| {}).await;
    let deadline = Instant::now() + Duration::from_secs(90);
    while scrapes.load(Ordering::Relaxed) < SCRAPES {
        assert!(Instant::now() < deadline, "the target is not scraped");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // A scrape is stamped with its start; one of the last seconds may still be on its way.
    let times = (start_ms, now_ms() - 2_000);

    let read_from_writer = format!("{}/api/v1/read", writer.url);
    let expected = held(&read_from_writer, times).await;
    let all = || expected.iter();
    let samples: usize = all().map(|(_, (samples, _))| samples.len()).sum();
    let histograms: Vec<_> = all()
        .flat_map(|(_, (_, histograms))| histograms.values())
        .collect();
    let ends = all().flat_map(|(_, (samples, _))| samples.values());
    let ends = ends.filter(|bits| **bits == STALE);
    assert!(samples > 3_000 && ends.count() > 10, "{samples} samples");
    assert!(
        histograms
            .iter()
            .any(|it| it.schema == -53 && !it.positive.is_empty())
    );
    assert!(
        histograms
            .iter()
            .any(|it| it.schema > -53 && !it.positive.is_empty())
    );

    let url = format!("{}/read", connector.url);
    let deadline = Instant::now() + Duration::from_secs(30);
    while held(&url, times).await != expected && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let actual = held(&url, times).await;
    assert!(actual.keys().eq(expected.keys()), "other series");
    for (labels, content) in &expected {
        assert_eq!(&actual[labels], content, "{labels:?}");
    }

    // Prometheus sends the end of histograms as a float and holds it as one of them.
    assert!(histograms.iter().any(|it| it.sum == STALE));

    let exemplars = exemplars_of(&writer, times).await;
    assert!(exemplars.len() > 10, "{exemplars:?}");
    assert_eq!(exemplars_in(&emulator, times), exemplars);

    let reader = Prometheus::read_only(&program, &connector.url).await;
    let (start, until) = (times.1 / 1_000 - 15, times.1 / 1_000);
    let (start, until) = (start.to_string(), until.to_string());
    for query in [
        "up",
        "app_requests_total",
        "sum(rate(app_requests_total[8s]))",
        "app_level",
        "sum by (job) (app_level)",
        "count_over_time(app_level[20s])",
        "{\"my.ü 🦀\"}",
        "max by (\"label.with.dots\") ({\"my.ü 🦀\", \"label.with.dots\"!=\"1\"})",
        "app_latency",
        "histogram_quantile(0.5, rate(app_latency[6s]))",
        "prometheus_http_request_duration_seconds",
        "histogram_quantile(0.9, sum(prometheus_http_request_duration_seconds))",
        "histogram_count(increase(prometheus_http_request_duration_seconds[10s]))",
    ] {
        let instant = [("query", query), ("time", until.as_str())];
        let range = [
            ("query", query),
            ("start", &start),
            ("end", &until),
            ("step", "0.7"),
        ];
        for (path, parameters) in [("query", instant.as_slice()), ("query_range", &range)] {
            let local = ordered(writer.api(path, parameters).await);
            let remote = ordered(reader.api(path, parameters).await);
            assert_eq!(local, remote, "{path} {query}");
        }
    }
}
