//! Cost of writing, end to end: senders over loopback, the released connector as a process, an
//! emulator that stores nothing. Sender and emulator run in this process, so time and memory of the
//! connector are its own.
//!
//! `SECONDS_PER_ROW` is the time for each row of the table (4).

#[allow(dead_code, reason = "each user needs a part of it")]
#[path = "../tests/support/exporters.rs"]
mod exporters;
#[path = "../tests/support/go_connector.rs"]
mod go_connector;
#[allow(dead_code, reason = "each bench needs a part of it")]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exporters::SAMPLES_PER_SEND;
use prom_wire::prompb::{TimeSeries, WriteRequest};
use support::{Bench, Table, machine, quantile_ms};
use timestream_emulator::{Config, Fault, FaultKind, When};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() {
    println!("{}", machine());
    stages();
    speed().await;
    growth().await;
    bill_of_exporters().await;
}

/// Prints the figures that criterion has measured in `benches/stages.rs`, if there are any.
fn stages() {
    let mut table = Table::new(&[
        "stage, 2,000 samples, microseconds",
        "synthetic",
        "node exporter",
        "pods",
    ]);
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(target)
        .join("criterion/write");
    for stage in ["decompress", "decode", "convert", "batch", "encode"] {
        let microseconds = ["synthetic", "node exporter", "pods"].map(|set| {
            let file = folder.join(stage).join(set).join("new/estimates.json");
            let text = std::fs::read_to_string(file).ok()?;
            let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
            estimates["median"]["point_estimate"].as_f64()
        });
        let cells =
            microseconds.map(|it| it.map_or("-".to_owned(), |ns| format!("{:.0}", ns / 1_000.0)));
        table.add([stage.to_owned()].into_iter().chain(cells));
    }
    table.print("One core, without I/O (`cargo bench --bench stages`)");
}

/// One row of the table: the requests, and their cost.
struct Row {
    samples: usize,
    duration: Duration,
    cpu: Duration,
    latencies: Vec<Duration>,
    peak_kib: u64,
    units: u64,
    calls: u64,
}

impl Row {
    const HEAD: [&str; 8] = [
        "samples/s",
        "CPU us per 1,000",
        "p50 ms",
        "p99 ms",
        "peak MiB",
        "units per 1,000",
        "calls per 2,000",
        "requests",
    ];

    fn cells(&self) -> [String; 8] {
        let samples = self.samples as f64;
        let thousands = samples / 1_000.0;
        [
            format!("{:.0}", samples / self.duration.as_secs_f64()),
            format!("{:.0}", self.cpu.as_secs_f64() * 1e6 / thousands),
            format!("{:.1}", quantile_ms(&self.latencies, 0.5)),
            format!("{:.1}", quantile_ms(&self.latencies, 0.99)),
            format!("{:.1}", self.peak_kib as f64 / 1_024.0),
            format!("{:.1}", self.units as f64 / thousands),
            format!("{:.1}", self.calls as f64 / thousands * 2.0),
            self.latencies.len().to_string(),
        ]
    }
}

/// Load of one row.
#[derive(Clone, Copy)]
struct Load {
    latency_ms: u64,
    senders: usize,
}

async fn speed() {
    let mut table =
        Table::new(&[&["samples a request, latency, senders"], &Row::HEAD[..]].concat());
    for samples in [SAMPLES_PER_SEND, 5 * SAMPLES_PER_SEND] {
        let bodies = Arc::new(bodies(exporters::synthetic(samples), samples));
        for latency_ms in [0, 15] {
            for senders in [1, 8, 32] {
                let load = Load {
                    latency_ms,
                    senders,
                };
                let row = measure(&bodies, samples, load).await;
                let name = format!("{samples}, {latency_ms} ms, {senders}");
                table.add([name].into_iter().chain(row.cells()));
            }
        }
    }
    table.print("Writes of 9 labels a series");
}

async fn growth() {
    let mut table = Table::new(&[&["series, a sample each"], &Row::HEAD[..]].concat());
    for series in [1_000, 10_000, 100_000] {
        let bodies = Arc::new(bodies(exporters::synthetic(series), SAMPLES_PER_SEND));
        let load = Load {
            latency_ms: 0,
            senders: 1,
        };
        let row = measure(&bodies, series.min(SAMPLES_PER_SEND), load).await;
        table.add([series.to_string()].into_iter().chain(row.cells()));
    }
    table.print("Growth, one sender, no latency");
}

async fn bill_of_exporters() {
    let mut table = Table::new(&[
        "exporter",
        "samples",
        "units per 1,000, as the Go connector",
        "units per 1,000",
        "ratio",
        "calls per 2,000, as the Go connector",
        "calls per 2,000",
    ]);
    for set in exporters::data_sets() {
        let bench = Bench::start(null_sink()).await;
        let series = set.first(5 * SAMPLES_PER_SEND);
        go_connector::write(&bench.emulator.url(), &series).await;
        let naive = bench.emulator.counters();
        let samples = series.len() as f64;
        for body in bodies(series, SAMPLES_PER_SEND) {
            send(&soak::http::client(), &bench.connector.url, body).await;
        }
        let ours = bench.emulator.counters();
        let units_of_ours = ours.write_units - naive.write_units;
        let calls_of_ours = ours.calls["WriteRecords"] - naive.calls["WriteRecords"];
        let units = |units: u64| format!("{:.1}", units as f64 / samples * 1_000.0);
        let calls = |calls: u64| format!("{:.1}", calls as f64 / samples * 2_000.0);
        table.add([
            set.name.to_owned(),
            samples.to_string(),
            units(naive.write_units),
            units(units_of_ours),
            format!("{:.2}", units_of_ours as f64 / naive.write_units as f64),
            calls(naive.calls["WriteRecords"]),
            calls(calls_of_ours),
        ]);
    }
    table.print("The bill, in requests of 2,000 samples");
}

/// Requests of so many samples.
fn bodies(series: Vec<TimeSeries>, samples: usize) -> Vec<bytes::Bytes> {
    let requests = series.chunks(samples).map(|series| WriteRequest {
        timeseries: series.to_vec(),
        metadata: Vec::new(),
    });
    let bodies = requests.map(|request| prom_wire::encode(&request).expect("it is small").into());
    bodies.collect()
}

fn null_sink() -> Config {
    Config {
        null_sink: true,
        ..Config::default()
    }
}

/// Sends the bodies in turn for a while.
async fn measure(bodies: &Arc<Vec<bytes::Bytes>>, samples: usize, load: Load) -> Row {
    let bench = Bench::start(null_sink()).await;
    if load.latency_ms > 0 {
        let latency = FaultKind::Latency(Duration::from_millis(load.latency_ms));
        bench.emulator.order_fault(Fault {
            when: When::Always,
            ..Fault::next("WriteRecords", 1, latency)
        });
    }
    let url = Arc::new(bench.connector.url.clone());
    // Connections, credentials and allocator are there when the measurement starts.
    for body in bodies.iter().take(3) {
        send(&soak::http::client(), &url, body.clone()).await;
    }
    let before = bench.emulator.counters();
    let cpu_before = bench.connector.cpu_time();
    let start = Instant::now();
    let end = start + seconds_per_row();
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..load.senders {
        let (bodies, url, next) = (Arc::clone(bodies), Arc::clone(&url), Arc::clone(&next));
        senders.spawn(async move {
            let client = soak::http::client();
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let body = &bodies[next.fetch_add(1, Ordering::Relaxed) % bodies.len()];
                latencies.push(send(&client, &url, body.clone()).await);
            }
            latencies
        });
    }
    let mut latencies = senders.join_all().await.concat();
    let duration = start.elapsed();
    let cpu = bench.connector.cpu_time() - cpu_before;
    latencies.sort_unstable();
    let after = bench.emulator.counters();
    let calls = |counters: &timestream_emulator::Counters| counters.calls["WriteRecords"];
    let mut connector = bench.connector;
    let row = Row {
        samples: latencies.len() * samples,
        duration,
        cpu,
        latencies,
        peak_kib: connector.peak_memory_kib(),
        units: after.write_units - before.write_units,
        calls: calls(&after) - calls(&before),
    };
    bench.emulator.stop().await;
    row
}

/// Sends a request that must be stored, and returns the time it took.
async fn send(client: &reqwest::Client, url: &str, body: bytes::Bytes) -> Duration {
    let start = Instant::now();
    let response = client.post(format!("{url}/write")).body(body).send().await;
    let response = response.expect("the connector responds");
    assert_eq!(response.status().as_u16(), 204);
    start.elapsed()
}

fn seconds_per_row() -> Duration {
    let seconds = std::env::var("SECONDS_PER_ROW");
    let seconds = seconds.map_or(4.0, |it| it.parse().expect("SECONDS_PER_ROW is a number"));
    Duration::from_secs_f64(seconds)
}
