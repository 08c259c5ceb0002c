//! Cost of a cold start of the function: time, memory and size.
//!
//! The binary is started again and again before a runtime API and an emulator, both in this
//! process. `BOOTSTRAP` names another binary than the one that cargo has just built; words before
//! the binary's name are a command that runs it (an emulator of another processor). `RUNS` is the
//! number of starts.

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/support/runtime_api.rs"]
mod runtime_api;

use std::path::Path;
use std::process::{Command as Blocking, Stdio};
use std::time::{Duration, Instant};

use runtime_api::{Function, RuntimeApi};
use timestream_emulator::{Config, Emulator, TableSpec};
use tokio::process::Command;

const RUNS: usize = 30;

/// A remote write request through an HTTP API.
const WRITE: &str = include_str!("../events/http-api-write.json");

/// One start.
struct Run {
    /// From the start of the process until it requests its first event.
    init: Duration,
    /// From then until the response to a first write, which is in the emulator.
    first_write: Duration,
    /// The same for the next write.
    second_write: Duration,
    /// The most memory it has held.
    peak_kib: u64,
}

#[tokio::main]
async fn main() {
    let binary = std::env::var("BOOTSTRAP");
    let binary = binary.unwrap_or_else(|_| env!("CARGO_BIN_EXE_bootstrap").to_owned());
    let runs = std::env::var("RUNS").map_or(RUNS, |runs| runs.parse().expect("RUNS is a number"));
    let mut measured = Vec::new();
    for _ in 0..runs {
        measured.push(run(&binary).await);
    }
    println!(
        "{:<38} {:>9} {:>9} {:>9}",
        format!("{runs} starts"),
        "min",
        "median",
        "max"
    );
    let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    print("until the first event is requested, ms", &measured, |it| {
        ms(it.init)
    });
    print("first write, ms", &measured, |it| ms(it.first_write));
    print("second write, ms", &measured, |it| ms(it.second_write));
    print("peak memory, MiB", &measured, |it| {
        it.peak_kib as f64 / 1_024.0
    });
    let file = binary.rsplit(' ').next().expect("the binary has a name");
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let size = std::fs::metadata(file).expect("the binary is a file").len();
    println!("binary, MiB                            {:>9.2}", mib(size));
    println!(
        "deflated, as in a zip, MiB             {:>9.2}",
        mib(deflated(Path::new(file)))
    );
}

async fn run(binary: &str) -> Run {
    let emulator = Emulator::start(Config {
        tables: vec![TableSpec {
            magnetic_writes: true,
            ..TableSpec::new("prometheus", "samples")
        }],
        ..Config::default()
    });
    let emulator = emulator.await.expect("the emulator starts");
    let api = RuntimeApi::start().await;
    let mut variables = api.variables(&emulator.url());
    for (name, value) in [
        ("default_database", "prometheus"),
        ("default_table", "samples"),
        ("bearer_token", "local"),
    ] {
        variables.push((name.to_owned(), value.to_owned()));
    }
    let mut words = binary.split(' ');
    let mut command = Command::new(words.next().expect("the binary has a name"));
    command.args(words);
    let start = Instant::now();
    let function = Function::start(command, &variables);
    api.polled(1).await;
    let init = start.elapsed();
    let first_write = write(&api).await;
    let second_write = write(&api).await;
    assert_eq!(emulator.points("prometheus", "samples").len(), 4);
    let peak_kib = soak::process::peak_memory_kib(function.id()).expect("the function runs");
    function.stop().await;
    emulator.stop().await;
    Run {
        init,
        first_write,
        second_write,
        peak_kib,
    }
}

async fn write(api: &RuntimeApi) -> Duration {
    let start = Instant::now();
    let response = api.invoke(WRITE).await.http();
    assert_eq!(response.status, 204, "{}", response.text());
    start.elapsed()
}

/// Returns the size after the compression that a zip uses.
fn deflated(file: &Path) -> u64 {
    let gzip = Blocking::new("gzip")
        .args(["-9", "--stdout"])
        .arg(file)
        .stderr(Stdio::inherit())
        .output();
    gzip.expect("gzip runs").stdout.len() as u64
}

fn print(what: &str, runs: &[Run], number: impl Fn(&Run) -> f64) {
    let mut numbers: Vec<f64> = runs.iter().map(number).collect();
    numbers.sort_by(f64::total_cmp);
    let (min, median, max) = (
        numbers[0],
        numbers[numbers.len() / 2],
        numbers[numbers.len() - 1],
    );
    println!("{what:<38} {min:>9.2} {median:>9.2} {max:>9.2}");
}
