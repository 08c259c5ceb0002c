//! `soak MINUTES PROMETHEUS`: status 0 if every sample arrived, 1 if not. `make soak` runs it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use soak::phases::PHASES;
use soak::{Plan, run};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [minutes, prometheus] = arguments.as_slice() else {
        eprintln!("usage: soak MINUTES PROMETHEUS");
        return ExitCode::from(2);
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
    let plan = Plan {
        connector: &own.with_file_name("bootstrap"),
        emulator: &own.with_file_name("timestream-emulator"),
        prometheus: PathBuf::from(prometheus),
        folder: folder.path(),
        targets: 300,
        replaced: 30,
        scrape_interval: Duration::from_secs(5),
        phases: &PHASES,
        phase: Duration::from_secs_f64(minutes * 60.0) / PHASES.len() as u32,
        patience: Duration::from_secs(300),
        tell: |what| println!("{what}"),
    };
    let mut terminated = signal(SignalKind::terminate()).expect("signals can be waited for");
    // The programs end with this one.
    let summary = tokio::select! {
        summary = run(&plan) => summary,
        _ = tokio::signal::ctrl_c() => return ExitCode::FAILURE,
        _ = terminated.recv() => return ExitCode::FAILURE,
    };
    println!(
        "\n{summary}\ntime                 {} s",
        start.elapsed().as_secs()
    );
    if summary.is_success() {
        return ExitCode::SUCCESS;
    }
    // What happened can be read from the logs.
    println!("FAILED; logs and data are in {}", folder.keep().display());
    ExitCode::FAILURE
}
