//! A dashboard of 20 panels over 6 hours and 30 days: opened with an empty cache and refreshed a minute later, by the
//! query API of the connector and by a real Prometheus with remote read of the same connector. Connector and Prometheus
//! are processes, the emulator with the samples in memory is in this one.
//!
//! The panels are those of `docs/grafana/node-exporter.json`, each as `query_range`, six at a time, as a browser sends
//! them. All results of both must be equal. `DASHBOARD_RUNS` is the number of runs of which each row is the median (5),
//! `DASHBOARD_SCRAPE_SECONDS` the time between samples of the 30 days (300); those of the 6 hours are 15 s apart.
//! `PROMETHEUS` is the program, else `scripts/prometheus.sh` obtains it.

#[allow(dead_code, reason = "each bench needs a part of it")]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prom_wire::prompb::{Label, Sample};
use reqwest::Url;
use serde_json::Value;
use soak::programs::Program;
use support::{Bench, Table, binary, machine, relay, setting, start_connector};
use tempfile::TempDir;
use timestream_emulator::Config;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PANELS: usize = 20;
/// Requests that a browser sends to one host at a time.
const AT_A_TIME: usize = 6;
const INSTANCES: usize = 3;
const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3_600;
/// Longest window of the panels, of `predict_linear`.
const LEAD_S: i64 = 6 * HOUR_S;

#[tokio::main]
async fn main() {
    println!("{}", machine());
    let runs = setting("DASHBOARD_RUNS", 5);
    assert!(runs > 0, "DASHBOARD_RUNS must be positive");
    let scrape_s = setting("DASHBOARD_SCRAPE_SECONDS", 300);
    // Beyond the lookback of PromQL panels would have gaps.
    assert!(
        (1..=300).contains(&scrape_s),
        "DASHBOARD_SCRAPE_SECONDS must be from 1 to 300"
    );
    let prometheus = prometheus();
    // Grafana's steps for panels of some 600 pixels.
    let ranges = [
        Range {
            name: "6 h",
            length_s: 6 * HOUR_S,
            step_s: 30,
            scrape_s: 15,
        },
        Range {
            name: "30 d",
            length_s: 30 * 24 * HOUR_S,
            step_s: HOUR_S,
            scrape_s,
        },
    ];
    for range in &ranges {
        measure(range, runs, &prometheus).await;
    }
}

/// Range of time of a dashboard.
struct Range {
    name: &'static str,
    length_s: i64,
    step_s: i64,
    scrape_s: i64,
}

/// Returns the path of Prometheus.
fn prometheus() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/prometheus.sh");
    let output = std::process::Command::new(script)
        .stderr(std::process::Stdio::inherit())
        .output();
    let output = output.expect("the script runs");
    assert!(output.status.success(), "there is no Prometheus");
    let path = String::from_utf8(output.stdout).expect("the path is UTF-8");
    path.trim().to_owned()
}

/// Prints the table of a range.
async fn measure(range: &Range, runs: i64, prometheus: &str) {
    let bench = Bench::start(binary(), Config::default()).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.expect("it is after 1970").as_secs() as i64;
    let last_s = now_s / MINUTE_S * MINUTE_S;
    let (series, samples) = write(&bench, range, last_s).await;
    let panels = Arc::new(panels(range));

    let mut opened = Vec::new();
    let mut opened_by_prometheus = Vec::new();
    let mut refreshed = Vec::new();
    let mut refreshed_by_prometheus = Vec::new();
    let mut cache_bytes = 0;
    for run in 0..runs {
        let end_s = last_s - MINUTE_S * (runs - run);
        let ours = Subject::start(&bench, None).await;
        let theirs = Subject::start(&bench, Some(prometheus)).await;
        for (end_s, rows, rows_by_prometheus) in [
            (end_s, &mut opened, &mut opened_by_prometheus),
            (
                end_s + MINUTE_S,
                &mut refreshed,
                &mut refreshed_by_prometheus,
            ),
        ] {
            // The second finds the emulator's pages in the caches of the processor.
            let early = match run % 2 {
                0 => None,
                _ => Some(theirs.show(&panels, range, end_s).await),
            };
            let (row, results) = ours.show(&panels, range, end_s).await;
            let (row_by_prometheus, expected) = match early {
                Some(shown) => shown,
                None => theirs.show(&panels, range, end_s).await,
            };
            for (panel, (result, expected)) in panels.iter().zip(results.iter().zip(&expected)) {
                assert_eq!(result, expected, "{panel}");
            }
            rows.push(row);
            rows_by_prometheus.push(row_by_prometheus);
        }
        cache_bytes = ours.metric("query_cache_bytes").await;
    }
    let mut table = Table::new(&[
        "dashboard",
        "ms",
        "CPU ms",
        "statements",
        "MB from Timestream",
        "MB to Prometheus",
    ]);
    for (name, rows) in [
        ("connector, opened", opened),
        ("connector, refreshed", refreshed),
        ("Prometheus, opened", opened_by_prometheus),
        ("Prometheus, refreshed", refreshed_by_prometheus),
    ] {
        table.add([name.to_owned()].into_iter().chain(median(rows)));
    }
    table.print(&format!(
        "{}, step {} s, {series} series, a sample each {} s, {samples} samples, median of {runs}",
        range.name, range.step_s, range.scrape_s,
    ));
    println!("\n{PANELS} of {PANELS} results equal in each run; cache {cache_bytes} bytes");
    bench.emulator.stop().await;
}

/// Costs of showing a dashboard once.
struct Row {
    duration: Duration,
    /// Of the connector, and of Prometheus if it takes part.
    cpu: Duration,
    statements: u64,
    from_timestream: u64,
    /// There is none without Prometheus.
    to_prometheus: Option<u64>,
}

/// Returns the median of each column.
fn median(rows: Vec<Row>) -> Vec<String> {
    let middle = |mut values: Vec<u64>| {
        values.sort_unstable();
        values[values.len() / 2]
    };
    let column = |value: fn(&Row) -> u64| middle(rows.iter().map(value).collect());
    let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
    let to_prometheus: Option<Vec<u64>> = rows.iter().map(|row| row.to_prometheus).collect();
    vec![
        column(|row| row.duration.as_millis() as u64).to_string(),
        column(|row| row.cpu.as_millis() as u64).to_string(),
        column(|row| row.statements).to_string(),
        megabytes(column(|row| row.from_timestream)),
        to_prometheus.map_or("-".to_owned(), |bytes| megabytes(middle(bytes))),
    ]
}

/// A connector with an empty cache, and a Prometheus that reads from it if one is measured.
struct Subject {
    connector: Program,
    prometheus: Option<Program>,
    from_timestream: Arc<AtomicU64>,
    to_prometheus: Arc<AtomicU64>,
    /// Folder of logs and of the empty storage of Prometheus.
    _folder: TempDir,
}

impl Subject {
    async fn start(bench: &Bench, prometheus: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (endpoint, from_timestream) = relay(bench.emulator.url()).await;
        let connector = start_connector(binary(), endpoint, folder.path()).await;
        let (url, to_prometheus) = relay(connector.url.clone()).await;
        let prometheus = match prometheus {
            Some(program) => Some(start_prometheus(program, &url, folder.path()).await),
            None => None,
        };
        Self {
            connector,
            prometheus,
            from_timestream,
            to_prometheus,
            _folder: folder,
        }
    }

    /// Runs all panels over the range that ends at `end_s`; returns the costs, and the results in their order.
    async fn show(
        &self,
        panels: &Arc<Vec<String>>,
        range: &Range,
        end_s: i64,
    ) -> (Row, Vec<Value>) {
        let server = self.prometheus.as_ref().unwrap_or(&self.connector);
        // Grafana aligns both ends.
        let align = |time_s: i64| time_s / range.step_s * range.step_s;
        let (first_s, last_s) = (align(end_s - range.length_s), align(end_s));
        let before = self.costs().await;
        let start = Instant::now();
        let permits = Arc::new(Semaphore::new(AT_A_TIME));
        let client = soak::http::client();
        let mut requests = JoinSet::new();
        for (index, panel) in panels.iter().enumerate() {
            let parameters = [
                ("query", panel.clone()),
                ("start", first_s.to_string()),
                ("end", last_s.to_string()),
                ("step", range.step_s.to_string()),
            ];
            let url = Url::parse_with_params(&server.url, parameters).expect("it is a URL");
            let form = url.query().expect("it has parameters").to_owned();
            let request = client
                .post(format!("{}/api/v1/query_range", server.url))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form);
            let permits = Arc::clone(&permits);
            requests.spawn(async move {
                let _permit = permits.acquire().await.expect("it is never closed");
                let response = request.send().await.expect("the server responds");
                let status = response.status();
                let text = response.text().await.expect("the response is text");
                assert!(status.is_success(), "{text}");
                (index, text)
            });
        }
        let mut texts = requests.join_all().await;
        let duration = start.elapsed();
        let after = self.costs().await;
        texts.sort_unstable();
        let results = texts.iter().map(|(index, text)| {
            let response: Value = serde_json::from_str(text).expect("the response is JSON");
            let data = response["data"].clone();
            // A panel without data is equal whatever the server does.
            let empty = data["result"].as_array().is_none_or(Vec::is_empty);
            let may_be_empty = panels[*index].starts_with("predict_linear");
            assert!(!empty || may_be_empty, "{}", panels[*index]);
            data
        });
        let row = Row {
            duration,
            cpu: after.cpu - before.cpu,
            statements: after.statements - before.statements,
            from_timestream: after.from_timestream - before.from_timestream,
            to_prometheus: after
                .to_prometheus
                .zip(before.to_prometheus)
                .map(|(after, before)| after - before),
        };
        (row, results.collect())
    }

    /// Returns the costs since the start.
    async fn costs(&self) -> Row {
        let prometheus = self.prometheus.as_ref();
        let statements = match prometheus {
            Some(_) => self.metric("read_statements_total").await,
            None => self.metric("query_statements_total").await,
        };
        Row {
            duration: Duration::ZERO,
            cpu: self.connector.cpu_time() + prometheus.map_or(Duration::ZERO, Program::cpu_time),
            statements,
            from_timestream: self.from_timestream.load(Ordering::Relaxed),
            to_prometheus: prometheus.map(|_| self.to_prometheus.load(Ordering::Relaxed)),
        }
    }

    async fn metric(&self, name: &str) -> u64 {
        let text = soak::programs::get(&format!("{}/metrics", self.connector.url)).await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("timestream_connector_{name} ")));
        let value = line.unwrap_or_else(|| panic!("no metric {name}"));
        value.parse().expect("it is a whole number")
    }
}

/// Starts a Prometheus without data of its own; it reads from the connector at `url`.
async fn start_prometheus(program: &str, url: &str, folder: &Path) -> Program {
    let config = folder.join("prometheus.yml");
    let text = format!("remote_read:\n- {{ url: '{url}/read', read_recent: true }}\n");
    std::fs::write(&config, text).expect("the folder can be written to");
    let (program, data) = (program.to_owned(), folder.join("data"));
    let command = move |port| {
        let mut command = Command::new(&program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command
    };
    Program::start("prometheus", folder, "/-/ready", command).await
}

/// Returns the expressions of the dashboard with its variables replaced as Grafana does.
fn panels(range: &Range) -> Vec<String> {
    let text = include_str!("../docs/grafana/node-exporter.json");
    let dashboard: Value = serde_json::from_str(text).expect("the dashboard is JSON");
    let mut expressions = Vec::new();
    collect(&dashboard["panels"], &mut expressions);
    assert!(expressions.len() >= PANELS);
    expressions.truncate(PANELS);
    let instances: Vec<_> = (0..INSTANCES).map(instance).collect();
    let window_s = (range.step_s + range.scrape_s).max(4 * range.scrape_s);
    let replace = |text: String| {
        text.replace("$__rate_interval", &format!("{window_s}s"))
            .replace("$job", "node")
            .replace("$instance", &format!("({})", instances.join("|")))
    };
    expressions.into_iter().map(replace).collect()
}

/// Collects the expressions below a part of a dashboard.
fn collect(part: &Value, expressions: &mut Vec<String>) {
    if let Some(text) = part["expr"].as_str() {
        expressions.push(text.to_owned());
    }
    let nested = part.as_array().into_iter().flatten();
    for part in nested.chain(part.as_object().into_iter().flat_map(|it| it.values())) {
        collect(part, expressions);
    }
}

fn instance(index: usize) -> String {
    format!("node{index}:9100")
}

/// Change of the values of a series.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Constant,
}

/// Returns the series of a node exporter: name, labels besides job and instance, and kind.
fn families() -> Vec<(&'static str, Vec<(&'static str, &'static str)>, Kind)> {
    let mut all = Vec::new();
    for (name, kind) in [
        ("up", Kind::Constant),
        ("node_boot_time_seconds", Kind::Constant),
        ("node_load1", Kind::Gauge),
        ("node_load5", Kind::Gauge),
        ("node_load15", Kind::Gauge),
        ("node_memory_MemAvailable_bytes", Kind::Gauge),
        ("node_memory_MemTotal_bytes", Kind::Constant),
        ("node_filefd_allocated", Kind::Gauge),
        ("node_procs_running", Kind::Gauge),
    ] {
        all.push((name, vec![], kind));
    }
    for cpu in ["0", "1"] {
        for mode in [
            "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user",
        ] {
            let labels = vec![("cpu", cpu), ("mode", mode)];
            all.push(("node_cpu_seconds_total", labels, Kind::Counter));
        }
    }
    for (device, mount) in [("/dev/sda1", "/"), ("/dev/sdb1", "/data")] {
        for (name, kind) in [
            ("node_filesystem_avail_bytes", Kind::Gauge),
            ("node_filesystem_size_bytes", Kind::Constant),
        ] {
            let labels = vec![
                ("device", device),
                ("fstype", "ext4"),
                ("mountpoint", mount),
            ];
            all.push((name, labels, kind));
        }
    }
    for device in ["sda", "sdb"] {
        for name in [
            "node_disk_read_bytes_total",
            "node_disk_written_bytes_total",
            "node_disk_io_time_seconds_total",
        ] {
            all.push((name, vec![("device", device)], Kind::Counter));
        }
    }
    for device in ["eth0", "eth1"] {
        for name in [
            "node_network_receive_bytes_total",
            "node_network_transmit_bytes_total",
            "node_network_receive_errs_total",
            "node_network_transmit_errs_total",
            "node_network_receive_drop_total",
            "node_network_transmit_drop_total",
        ] {
            all.push((name, vec![("device", device)], Kind::Counter));
        }
    }
    all
}

/// Stores all series until `last_s`; returns the number of them and of their samples.
async fn write(bench: &Bench, range: &Range, last_s: i64) -> (usize, usize) {
    let first_s = last_s - range.length_s - LEAD_S - HOUR_S;
    let (mut series_count, mut sample_count) = (0, 0);
    for instance in (0..INSTANCES).map(instance) {
        for (name, labels, kind) in families() {
            let mut labels: Vec<_> = [("__name__", name), ("instance", &instance), ("job", "node")]
                .into_iter()
                .chain(labels)
                .map(|(name, value)| Label {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect();
            labels.sort_by(|a, b| a.name.cmp(&b.name));
            let samples = samples(kind, series_count as u64, (first_s, last_s), range.scrape_s);
            bench.store(&labels, &samples).await;
            series_count += 1;
            sample_count += samples.len();
        }
    }
    (series_count, sample_count)
}

fn samples(kind: Kind, seed: u64, (first_s, last_s): (i64, i64), scrape_s: i64) -> Vec<Sample> {
    let mut random = fastrand::Rng::with_seed(seed);
    let phase_ms = random.i64(0..scrape_s * 1_000);
    let mut value = f64::from(random.u32(1_000..2_000));
    let times = (first_s * 1_000 + phase_ms..=last_s * 1_000).step_by(scrape_s as usize * 1_000);
    let sample = |timestamp| {
        match kind {
            Kind::Counter => value += f64::from(random.u32(0..400)) / 100.0,
            Kind::Gauge => value = f64::from(random.u32(500..700)),
            Kind::Constant => {}
        }
        Sample { timestamp, value }
    };
    times.map(sample).collect()
}
