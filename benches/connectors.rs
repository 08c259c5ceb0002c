//! Cost of syncing from a Prometheus server and of sinking into a remote-write endpoint: `bootstrap
//! run` as a process, server, emulator and receiver in this one, so time and memory are the
//! connector's own.
//!
//! `SAMPLES` is the number of samples (1,000,000).

#[allow(dead_code, reason = "each bench needs a part of it")]
mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::routing::{get, post};
use prom_wire::budget::MemoryBudget;
use prom_wire::{RemoteWrite, decompress, read_request};
use serde_json::{Value, json};
use support::{Table, binary, machine};
use timestream_emulator::{Config, Emulator, TableSpec};
use tokio::process::{Child, Command};

const SERIES: usize = 100;
const STEP_S: usize = 15;

#[tokio::main]
async fn main() {
    println!("{}", machine());
    let given = std::env::var("SAMPLES").ok();
    let samples = given.map_or(1_000_000, |text| text.parse().expect("SAMPLES is a number"));
    let mut table = Table::new(&["samples", "samples/s", "CPU us per 1,000", "peak MiB"]);
    // Memory does not depend on the number of samples.
    for samples in [samples / 4, samples] {
        for (name, used, count) in copy(samples).await {
            table.add([
                format!("{name}, {count}"),
                format!("{:.0}", count as f64 / used.duration.as_secs_f64()),
                format!("{:.0}", used.cpu.as_secs_f64() * 1e9 / count as f64),
                format!("{:.1}", used.peak_kib as f64 / 1_024.0),
            ]);
        }
    }
    table.print("A sync in steps, and a sink of what it has stored");
}

/// Resources that a process used.
#[derive(Default)]
struct Used {
    duration: Duration,
    cpu: Duration,
    peak_kib: u64,
}

/// Returns a sync of so many samples and a sink of the same.
async fn copy(samples: usize) -> [(&'static str, Used, usize); 2] {
    let emulator = Emulator::start(Config {
        tables: vec![TableSpec {
            magnetic_writes: true,
            ..TableSpec::new("db", "t")
        }],
        ..Config::default()
    });
    let emulator = emulator.await.expect("the emulator starts");
    let taken = Arc::new(AtomicUsize::new(0));
    let url = serve(Arc::clone(&taken)).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hours = (samples / SERIES * STEP_S).div_ceil(3_600);
    let sync = json!({
        "name": "sync", "type": "prometheus_api", "target_database": "db", "target_table": "t",
        "config": {"prometheus_url": url, "metrics_filter": "m", "lookback_hours": hours},
    });
    let synced = run(&emulator, folder.path(), &sync).await;
    let stored = emulator.counters().records_accepted as usize;
    let sink = json!({
        "name": "sink", "type": "prometheus_sink",
        "config": {"url": format!("{url}/write"), "source": {"database": "db", "table": "t"}},
    });
    let sunk = run(&emulator, folder.path(), &sink).await;
    let sent = taken.load(Ordering::Relaxed);
    // The newest minute stays.
    assert!(sent + 10 * SERIES > stored, "{sent} of {stored}");
    [("sync", synced, stored), ("sink", sunk, sent)]
}

/// Returns a server with a metric, and a receiver that counts.
async fn serve(taken: Arc<AtomicUsize>) -> String {
    let take = move |body: Bytes| async move {
        let message = decompress(&body, 1 << 26).expect("a body of ours is snappy");
        let request = read_request(
            RemoteWrite::V1,
            &message,
            &mut MemoryBudget::unlimited().reservation(),
        )
        .expect("it is a message");
        taken.fetch_add(request.count() as usize, Ordering::Relaxed);
    };
    let router = Router::new()
        .route("/api/v1/query_range", get(matrix))
        .route("/write", post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it has one"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn matrix(RawQuery(query): RawQuery) -> String {
    let query = query.unwrap_or_default();
    let seconds = |key: &str| -> usize {
        let (_, rest) = query
            .split_once(&format!("{key}="))
            .expect("the query has the parameter");
        let digits = rest.split('.').next().unwrap_or_default();
        digits.parse().expect("a number of seconds")
    };
    let mut text = r#"{"status":"success","data":{"resultType":"matrix","result":["#.to_owned();
    for series in 0..SERIES {
        let comma = if series == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"metric":{{"__name__":"m","instance":"host-{series}:9100","job":"node"}},"values":["#
        )
        .expect("a String takes all");
        for time in (seconds("start")..=seconds("end")).step_by(STEP_S) {
            let comma = if text.ends_with('[') { "" } else { "," };
            let value = (time * (series + 1)) as f64 / 7.0;
            write!(text, "{comma}[{time},\"{value}\"]").expect("a String takes all");
        }
        text.push_str("]}");
    }
    text + "]}}"
}

async fn run(emulator: &Emulator, folder: &Path, definition: &Value) -> Used {
    let file = folder.join("definition.json");
    std::fs::write(&file, definition.to_string()).expect("it can be written");
    let started = Instant::now();
    let mut process = Command::new(binary())
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_ENDPOINT_URL", emulator.url())
        .arg("run")
        .arg(&file)
        .arg(format!(
            "--state-store=file:{}",
            folder.join("state").display()
        ))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the connector starts");
    let mut used = Used::default();
    loop {
        let ended = process.try_wait().expect("it is a child of ours");
        if let Some(status) = ended {
            assert!(status.success(), "the connector failed");
            used.duration = started.elapsed();
            return used;
        }
        // The figures are gone with the process, so they are read all the time.
        if let Some((cpu, peak_kib)) = usage(&process) {
            used.cpu = cpu.max(used.cpu);
            used.peak_kib = peak_kib.max(used.peak_kib);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Returns the time and the peak of the memory of a process that runs.
fn usage(process: &Child) -> Option<(Duration, u64)> {
    let folder = format!("/proc/{}", process.id()?);
    let status = std::fs::read_to_string(format!("{folder}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let peak = peak.trim().strip_suffix(" kB")?.parse().ok()?;
    let stat = std::fs::read_to_string(format!("{folder}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    // User and system time, in hundredths of a second.
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|it| it.parse::<u64>().ok()).sum();
    Some((Duration::from_millis(ticks * 10), peak))
}
