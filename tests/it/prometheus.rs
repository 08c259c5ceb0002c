//! A real Prometheus stores its samples in Timestream, and another one serves them from there
//! alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prom_wire::prompb;
use prom_wire::prompb::TimeSeries;
use reqwest::Url;
use serde_json::Value;
use soak::samples::{Samples, compare};
use timestream_emulator::{Emulator, Value as StoredValue};
use tokio::process::{Child, Command};

use crate::standalone::Connector;
use crate::support::{start_emulator, table};

/// Time that the first Prometheus scrapes before its data is compared.
const SCRAPED_SECONDS: usize = 15;

/// Type, help text and unit by metric family; targets may differ in them.
type Metadata = BTreeMap<String, BTreeSet<[String; 3]>>;

/// A running Prometheus.
pub(crate) struct Prometheus {
    pub(crate) url: String,
    _process: Child,
    _data: tempfile::TempDir,
}

impl Prometheus {
    async fn start(program: &Path, config: impl FnOnce(u16) -> String) -> Self {
        Self::start_with(program, &[], config, async |_| {}).await
    }

    /// Starts it on a free port, with the configuration that `config` gives for that port, after
    /// `prepare` has seen the folder in whose `data` it is going to store its blocks.
    pub(crate) async fn start_with(
        program: &Path,
        flags: &[&str],
        config: impl FnOnce(u16) -> String,
        prepare: impl AsyncFnOnce(&Path),
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        prepare(data.path()).await;
        let port = free_port();
        let file = data.path().join("prometheus.yml");
        std::fs::write(&file, config(port)).unwrap();
        let process = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                data.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags)
            .current_dir(data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        wait_for(&format!("{url}/-/ready")).await;
        Self {
            url,
            _process: process,
            _data: data,
        }
    }

    /// Starts one that has no data but the responses of the connector at `url`.
    pub(crate) async fn read_only(program: &Path, url: &str) -> Self {
        let config = format!("remote_read:\n- {{ url: '{url}/read', read_recent: true }}\n");
        Self::start(program, |_| config).await
    }

    /// Sends it the series by remote write, as a sender would: old samples before newer ones.
    pub(crate) async fn write_in_order(&self, all: &[TimeSeries]) {
        const REQUEST_MS: i64 = 300_000;
        let samples = || all.iter().flat_map(|series| &series.samples);
        let histograms = || all.iter().flat_map(|series| &series.histograms);
        let times = samples().map(|sample| sample.timestamp);
        let times = times.chain(histograms().map(|histogram| histogram.timestamp));
        let slots: BTreeSet<i64> = times.map(|time| time / REQUEST_MS).collect();
        let client = soak::http::client();
        for slot in slots {
            let part = |series: &TimeSeries| {
                let mut part = series.clone();
                part.samples.retain(|it| it.timestamp / REQUEST_MS == slot);
                part.histograms
                    .retain(|it| it.timestamp / REQUEST_MS == slot);
                part
            };
            let parts = all.iter().map(part);
            let request = prompb::WriteRequest {
                timeseries: parts
                    .filter(|part| !(part.samples.is_empty() && part.histograms.is_empty()))
                    .collect(),
                metadata: vec![],
            };
            let response = client
                .post(format!("{}/api/v1/write", self.url))
                .header("content-type", "application/x-protobuf")
                .header("content-encoding", "snappy")
                .body(prom_wire::encode(&request).unwrap())
                .send()
                .await
                .unwrap();
            let status = response.status();
            assert!(
                status.is_success(),
                "{status} {}",
                response.text().await.unwrap()
            );
        }
    }

    /// Returns a successful API response, warnings included.
    pub(crate) async fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let text = self.api_text(path, parameters).await;
        let response: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(response["status"], "success", "{parameters:?}: {text}");
        response
    }

    /// Returns an API response as it is.
    pub(crate) async fn api_text(&self, path: &str, parameters: &[(&str, &str)]) -> String {
        api_text(&self.url, path, parameters).await
    }

    /// Returns its metadata of metrics.
    async fn metadata(&self) -> Metadata {
        let response = self.api("metadata", &[]).await;
        let families = response["data"].as_object().unwrap().iter();
        let texts = |entry: &Value| ["type", "help", "unit"].map(|it| text(&entry[it]).to_owned());
        families
            .map(|(name, entries)| {
                let entries = entries.as_array().unwrap().iter();
                (name.clone(), entries.map(texts).collect())
            })
            .collect()
    }

    /// Returns all finite samples up to `time` (in seconds).
    async fn samples(&self, time: &str) -> Samples {
        let response = self
            .api(
                "query",
                &[("query", "{__name__=~\".+\"}[10m]"), ("time", time)],
            )
            .await;
        let mut samples = Samples::default();
        samples.add_matrix(&response["data"]["result"]);
        samples
    }
}

/// Returns a port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Sends requests until one succeeds.
pub(crate) async fn wait_for(url: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match soak::http::get(url).await {
            Ok(response) if response.status().is_success() => return,
            result if Instant::now() > deadline => panic!("{url}: {result:?}"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Returns a program of Prometheus from the cache or the PATH, else built: see the script.
pub(crate) async fn program(name: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/prometheus.sh");
    let mut command = Command::new("bash");
    let output = command
        .arg(script)
        .arg(name)
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "no {name} can be had; the lines above say why"
    );
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// Returns all samples that the emulator holds up to `until_ms`.
fn stored(emulator: &Emulator, until_ms: i64) -> Samples {
    let mut points = emulator.points("db", "t");
    points.retain(|point| point.time_ns / 1_000_000 <= until_ms);
    Samples::of_points(points)
}

/// Waits until `emulator` holds what `expected` has, and nothing else.
async fn assert_stored(emulator: &Emulator, expected: &Samples, until_ms: i64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let difference = compare(expected, &stored(emulator, until_ms));
        if difference.is_none() {
            return;
        }
        assert!(Instant::now() < deadline, "{difference:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns all metadata that the emulator holds.
fn stored_metadata(emulator: &Emulator) -> Metadata {
    let mut metadata = Metadata::new();
    for point in emulator.points("db", "metrics") {
        let StoredValue::Multi(texts) = &point.value else {
            panic!("{point:?}")
        };
        let entry = ["metric_type", "help_text", "unit"].map(|it| match texts.get(it) {
            Some(StoredValue::Varchar(text)) => text.clone(),
            None => String::new(),
            other => panic!("{other:?}"),
        });
        let name = point.dimensions["metric_name"].clone();
        metadata.entry(name).or_default().insert(entry);
    }
    metadata
}

/// Returns a response of the API at `url` as it is.
pub(crate) async fn api_text(url: &str, path: &str, parameters: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params(&format!("{url}/api/v1/{path}"), parameters).unwrap();
    soak::http::get(url).await.unwrap().text().await.unwrap()
}

/// Vectors have no order in PromQL; JSON has one.
pub(crate) fn ordered(mut response: Value) -> Value {
    if let Some(result) = response["data"]["result"].as_array_mut() {
        result.sort_by_key(|series| series["metric"].to_string());
    }
    // Prometheus holds its annotations in a map and lists them in any order.
    for kind in ["warnings", "infos"] {
        if let Some(annotations) = response.get_mut(kind).and_then(Value::as_array_mut) {
            annotations.sort_by_key(ToString::to_string);
        }
    }
    response
}

/// Each is run as an instant query and over a range.
const QUERIES: [&str; 20] = [
    "up",
    "up{job=\"prometheus\"}",
    "{__name__=\"up\", job!~\"prom.*\"}",
    "{__name__=~\"go_gc_.+\", quantile=\"\"}",
    "count by (job) ({__name__=~\"prometheus_.+_total\"})",
    "rate(prometheus_http_requests_total[5s])",
    "sum by (code, handler) (increase(prometheus_http_requests_total{handler!=\"/metrics\"}[10s]))",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[10s])))",
    "prometheus_tsdb_head_series offset 3s",
    "max_over_time(rate(prometheus_tsdb_head_samples_appended_total[4s])[6s:1s])",
    "avg_over_time(scrape_samples_scraped[10s])",
    "quantile_over_time(0.5, scrape_duration_seconds[10s])",
    "count_over_time(up[10s])",
    "timestamp(up)",
    "absent(no_such_metric{job=\"x\"})",
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "up == 1 and on (job, instance) scrape_duration_seconds > 0",
    "sum without (instance) (up) / ignoring (instance) group_left count by (job) (up)",
    "topk(1, timestream_connector_received_samples_total)",
    "resets(process_cpu_seconds_total[10s]) or changes(go_goroutines[10s])",
];

#[tokio::test]
async fn a_prometheus_keeps_its_samples_in_timestream_and_another_reads_them() {
    let program = program("prometheus").await;
    // One for remote write 1.0, one for 2.0: they get the same.
    let tables = || vec![table("db", "t"), table("db", "metrics")];
    let (emulator, emulator_v2) = (
        start_emulator(tables()).await,
        start_emulator(tables()).await,
    );
    let connector = Connector::start(&emulator, &[]).await;
    let connector_v2 = Connector::start(&emulator_v2, &[]).await;
    let target = connector.url.strip_prefix("http://").unwrap();

    let writer = Prometheus::start(&program, |port| {
        format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs:\n\
             - {{ job_name: prometheus, static_configs: [{{ targets: ['127.0.0.1:{port}'] }}] }}\n\
             - {{ job_name: connector, static_configs: [{{ targets: ['{target}'] }}] }}\n\
             remote_write:\n\
             - url: {}/write\n  queue_config: {{ batch_send_deadline: 500ms }}\n  \
               metadata_config: {{ send_interval: 1s }}\n\
             - url: {}/write\n  queue_config: {{ batch_send_deadline: 500ms }}\n  \
               protobuf_message: io.prometheus.write.v2.Request\n",
            connector.url, connector_v2.url
        )
    })
    .await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let scraped = async || {
        let response = writer
            .api("query", &[("query", "count_over_time(up[10m])")])
            .await;
        let counts = response["data"]["result"].as_array().unwrap();
        counts.len() == 2
            && counts
                .iter()
                .all(|s| text(&s["value"][1]).parse::<usize>().unwrap() >= SCRAPED_SECONDS)
    };
    while !scraped().await {
        assert!(Instant::now() < deadline, "the targets are not scraped");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    // A scrape is stamped with its start; one of the last second may still be on its way.
    let until_ms = now_ms - 1_000;
    let until = format!("{}.{:03}", until_ms / 1_000, until_ms % 1_000);
    let expected = writer.samples(&until).await;
    let (series, count) = (expected.0.len(), expected.count());
    assert!(
        series > 300 && count > 5_000,
        "{series} series, {count} samples"
    );
    for emulator in [&emulator, &emulator_v2] {
        assert_stored(emulator, &expected, until_ms).await;
    }
    // Of several texts about a metric not all are written.
    let known = writer.metadata().await;
    let metadata = stored_metadata(&emulator);
    assert!(metadata.keys().eq(known.keys()), "{metadata:?}");
    for (name, texts) in &metadata {
        assert!(texts.is_subset(&known[name]), "{name}: {texts:?}");
    }

    let reader = Prometheus::read_only(&program, &connector.url).await;
    let start = format!("{}", until_ms / 1_000 - 8);
    for query in QUERIES {
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
            assert!(
                !local["data"]["result"].as_array().unwrap().is_empty(),
                "{query} has no result"
            );
            assert_eq!(local, remote, "{path} {query}");
        }
    }
}

/// Version 3.15 sends no help texts in 2.0, with the feature `metadata-wal-records` neither.
#[tokio::test]
async fn version_2_brings_the_types_that_prometheus_knows() {
    let program = program("prometheus").await;
    let emulator = start_emulator(vec![table("db", "t"), table("db", "metrics")]).await;
    let connector = Connector::start(&emulator, &[]).await;
    let target = connector.url.strip_prefix("http://").unwrap();
    let flags = ["--enable-feature=type-and-unit-labels"];
    let config = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
         scrape_configs:\n\
         - {{ job_name: connector, static_configs: [{{ targets: ['{target}'] }}] }}\n\
         remote_write:\n\
         - url: {}/write\n  queue_config: {{ batch_send_deadline: 500ms }}\n  \
           protobuf_message: io.prometheus.write.v2.Request\n",
        connector.url
    );
    let writer = Prometheus::start_with(&program, &flags, |_| config, async |_| {}).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let types = async || {
        let known = writer.metadata().await.into_iter();
        let known = known.map(|(name, texts)| (name, texts.first().unwrap()[0].clone()));
        known.collect::<BTreeMap<_, _>>()
    };
    loop {
        let stored = stored_metadata(&emulator).into_iter();
        // Prometheus lists families by the names of OpenMetrics, without these suffixes.
        let family = |name: &str| {
            let suffix = ["_total", "_info"]
                .iter()
                .find_map(|it| name.strip_suffix(it));
            suffix.unwrap_or(name).to_owned()
        };
        let stored = stored.map(|(name, texts)| (family(&name), texts.first().unwrap()[0].clone()));
        let (stored, known) = (stored.collect::<BTreeMap<_, _>>(), types().await);
        if stored == known && known.len() > 20 {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "stored: {stored:?}\nknown: {known:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
