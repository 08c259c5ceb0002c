//! `soak write|connectors MINUTES PROMETHEUS`: status 0 if every sample arrived, 1 if not. `make soak`
//! and `make soak-connectors` run it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use soak::{Setup, connectors, phases};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kind, minutes, prometheus) = match arguments.as_slice() {
        [kind, minutes, prometheus] if matches!(kind.as_str(), "write" | "connectors") => {
            (kind.as_str(), minutes, PathBuf::from(prometheus))
        }
        _ => {
            eprintln!("usage: soak write|connectors MINUTES PROMETHEUS");
            return ExitCode::from(2);
        }
    };
    let Some(minutes) = minutes
        .parse::<f64>()
        .ok()
        .filter(|it| (0.5..=1_440.0).contains(it))
    else {
        eprintln!("soak: MINUTES is {minutes:?}; expected a number from 0.5 to 1440");
        return ExitCode::from(2);
    };
    let own = std::env::current_exe().expect("the system knows where this program is");
    let folder = tempfile::Builder::new().prefix("soak-").tempdir();
    let folder = folder.expect("the temporary folder can be written to");
    let start = Instant::now();
    let connector = own.with_file_name("bootstrap");
    let emulator = own.with_file_name("timestream-emulator");
    let setup = |targets: u32, interval_s: u64, phases: usize| Setup {
        connector: &connector,
        emulator: &emulator,
        prometheus,
        folder: folder.path(),
        targets,
        replaced: targets / 10,
        scrape_interval: Duration::from_secs(interval_s),
        phase: Duration::from_secs_f64(minutes * 60.0) / phases as u32,
        drain_timeout: Duration::from_secs(300),
        report: |text| println!("{text}"),
    };
    let run = async {
        match kind {
            "write" => write(setup(300, 5, phases::PHASES.len())).await,
            _ => connectors(setup(20, 1, connectors::PHASES.len())).await,
        }
    };
    let mut terminated = signal(SignalKind::terminate()).expect("signals can be waited for");
    // The programs end with this one.
    let (is_success, summary) = tokio::select! {
        ended = run => ended,
        _ = tokio::signal::ctrl_c() => return ExitCode::FAILURE,
        _ = terminated.recv() => return ExitCode::FAILURE,
    };
    println!(
        "\n{summary}\ntime                 {} s",
        start.elapsed().as_secs()
    );
    if is_success {
        return ExitCode::SUCCESS;
    }
    // The logs have the details.
    println!("FAILED; logs and data are in {}", folder.keep().display());
    ExitCode::FAILURE
}

/// Runs remote write under faults; returns true if it went well, and the summary.
async fn write(setup: Setup<'_>) -> (bool, String) {
    let phases = &phases::PHASES;
    let summary = soak::run(&soak::Plan { setup, phases }).await;
    (summary.is_success(), summary.to_string())
}

/// Runs scrapes, syncs and a sink under faults; returns true if they went well, and the summary.
async fn connectors(setup: Setup<'_>) -> (bool, String) {
    let plan = connectors::Plan {
        setup,
        sync_lateness: Duration::from_secs(5),
        sink_lateness: Duration::from_secs(180),
        phases: &connectors::PHASES,
    };
    let summary = connectors::run(&plan).await;
    (summary.is_success(), summary.to_string())
}
