//! The released connector as a process before an emulator in this one, and tables of its time and
//! memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prom_wire::prompb::{Label, Sample, TimeSeries, WriteRequest};
use soak::programs::Program;
use tempfile::TempDir;
use timestream_emulator::{Config, Emulator, TableSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// Samples in one request of [`Bench::store`].
const SAMPLES_PER_SEND: usize = 10_000;

/// A connector whose Timestream is an emulator of its own, both with nothing done yet.
pub(crate) struct Bench {
    pub(crate) emulator: Emulator,
    pub(crate) connector: Program,
    /// Folder of the connector's log.
    _folder: TempDir,
}

impl Bench {
    /// Starts both.
    pub(crate) async fn start(binary: String, config: Config) -> Self {
        let emulator = start_emulator(config).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let connector = start_connector(binary, emulator.url(), folder.path()).await;
        Self {
            emulator,
            connector,
            _folder: folder,
        }
    }
}

/// Starts an emulator with the connector's default destination, a table that accepts data of any age.
pub(crate) async fn start_emulator(config: Config) -> Emulator {
    let table = TableSpec {
        magnetic_writes: true,
        ..TableSpec::new("db", "t")
    };
    let emulator = Emulator::start(Config {
        tables: vec![table],
        ..config
    });
    emulator.await.expect("the emulator starts")
}

/// Starts a connector whose Timestream is at `endpoint`; it logs in `folder`.
pub(crate) async fn start_connector(binary: String, endpoint: String, folder: &Path) -> Program {
    let command = move |port| {
        let mut command = Command::new(&binary);
        command
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_ENDPOINT_URL", &endpoint)
            .args(["--default-database=db", "--default-table=t"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command
    };
    Program::start("connector", folder, "/-/ready", command).await
}

/// Returns `BOOTSTRAP`, or the binary that cargo has built with the bench.
pub(crate) fn binary() -> String {
    std::env::var("BOOTSTRAP").unwrap_or_else(|_| env!("CARGO_BIN_EXE_bootstrap").to_owned())
}

/// A table in Markdown whose columns are as wide as their contents.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|&it| it.to_owned()).collect()])
    }

    pub(crate) fn add(&mut self, row: impl IntoIterator<Item = String>) {
        self.0.push(row.into_iter().collect());
    }

    /// Prints it; all but the first column are numbers.
    pub(crate) fn print(&self, title: &str) {
        println!("\n{title}\n");
        let columns = self.0[0].len();
        let width = |column: usize| self.0.iter().map(|row| row[column].len()).max();
        let widths: Vec<usize> = (0..columns).filter_map(width).collect();
        for (index, row) in self.0.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate();
            let cells: Vec<String> = cells
                .map(|(column, (cell, &width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            println!("| {} |", cells.join(" | "));
            if index == 0 {
                let rules = widths
                    .iter()
                    .enumerate()
                    .map(|(column, &width)| match column {
                        0 => "-".repeat(width + 2),
                        _ => format!("{}:", "-".repeat(width + 1)),
                    });
                println!("|{}|", rules.collect::<Vec<_>>().join("|"));
            }
        }
    }
}

/// Returns the value below which this share of the durations lies, in milliseconds.
pub(crate) fn quantile_ms(sorted: &[Duration], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted[index.min(sorted.len() - 1)].as_secs_f64() * 1_000.0
}

/// Returns true if a processor is left to the connector while this process sends and plays
/// Timestream.
pub(crate) fn machine() -> String {
    let text = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let information = text("/proc/cpuinfo");
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = text("/proc/loadavg");
    format!(
        "{cores} x {}, load average at the start {}",
        model.map_or("unknown processor", |(_, model)| model.trim()),
        load.split(' ').next().unwrap_or_default()
    )
}

/// Returns an address in front of `url`, and the bytes that come back through it.
pub(crate) async fn relay(url: String) -> (String, Arc<AtomicU64>) {
    let target = url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (target, counter) = (target.clone(), Arc::clone(&counter));
            tokio::spawn(async move {
                let server = TcpStream::connect(target).await;
                pass_on(client, server.expect("the emulator runs"), &counter).await;
            });
        }
    });
    (format!("http://{address}"), received)
}

async fn pass_on(client: TcpStream, server: TcpStream, received: &AtomicU64) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 256 << 10];
    while let Ok(count) = from_server.read(&mut buffer).await {
        received.fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 || to_client.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    there.abort();
}

/// Returns the number that an environment variable sets.
pub(crate) fn setting(name: &str, default: i64) -> i64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("it is a number"))
}

impl Bench {
    /// Stores a series by remote write.
    pub(crate) async fn store(&self, labels: &[Label], samples: &[Sample]) {
        let client = soak::http::client();
        let url = format!("{}/write", self.connector.url);
        for samples in samples.chunks(SAMPLES_PER_SEND) {
            let request = WriteRequest {
                timeseries: vec![TimeSeries {
                    labels: labels.to_vec(),
                    samples: samples.to_vec(),
                    ..TimeSeries::default()
                }],
                metadata: Vec::new(),
            };
            let body = prom_wire::encode(&request).expect("it is small");
            let response = client.post(&url).body(body).send().await;
            let response = response.expect("the connector responds");
            assert_eq!(response.status().as_u16(), 204);
        }
    }
}
