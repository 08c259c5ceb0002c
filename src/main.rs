//! `bootstrap`: serves remote write and remote read over Amazon Timestream.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use timestream_prometheus_connector::config::{
    self, Config, ConfigError, Invocation, Mode, Replaying,
};
use timestream_prometheus_connector::entry;
use timestream_prometheus_connector::entry::signal::stop_signal;
use timestream_prometheus_connector::telemetry;
use timestream_prometheus_connector::telemetry::print_error;
use timestream_prometheus_connector::timestream::load_sdk_config;

/// The memory of a large request goes back to the system when it is over: the allocator of glibc held
/// 66 to 92 MiB of it (`tests/hostile`). The features leave huge pages alone, which tripled the memory
/// of an ordinary write (`benches/write`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The idle time after which a thread of long computations ends and frees the memory of its part of the
/// allocator.
const COMPUTE_THREAD_IDLE: Duration = Duration::from_secs(1);

/// The time that threads have to end after the program has.
const BLOCKED_THREADS_TIMEOUT: Duration = Duration::from_secs(1);

/// Status of a process whose configuration cannot be used.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let environment = |name: &str| std::env::var(name).ok();
    match config::read(std::env::args_os(), environment) {
        Ok(Invocation::Serve(config)) => match config.mode {
            Mode::Standalone => start(config.log, Box::pin(entry::server::run(&config))),
            Mode::Lambda => start(config.log, Box::pin(entry::lambda::run(Ok(&config)))),
        },
        Ok(Invocation::Replay(config, replaying)) => {
            start(config.log, Box::pin(replay(&config, &replaying)))
        }
        Ok(Invocation::Run(config, path)) => start(config.log, Box::pin(run(&config, &path))),
        Ok(Invocation::Estimate(settings, roots)) => start(
            telemetry::Settings::default(),
            Box::pin(entry::estimate::run(&settings, roots)),
        ),
        Ok(Invocation::CheckHealth(config)) => {
            start(config.log, Box::pin(entry::healthcheck::run(&config)))
        }
        Ok(Invocation::Doctor(config, doctoring)) => {
            let log = config.as_ref().map(|it| it.log).unwrap_or_default();
            let log = entry::doctor::quiet(log);
            let config = config.as_deref().map_err(Vec::as_slice);
            start(log, Box::pin(entry::doctor::run(config, doctoring)))
        }
        Ok(Invocation::Checked) => entry::print("the configuration is valid\n", ExitCode::SUCCESS),
        Ok(Invocation::Print(text)) => entry::print(&text, ExitCode::SUCCESS),
        // Help, version and usage errors: clap knows the stream and the status.
        Err(ConfigError::CommandLine(error)) => error.exit(),
        Err(ConfigError::Options(errors)) if Mode::of(environment) == Mode::Lambda => start(
            telemetry::Settings::default(),
            Box::pin(entry::lambda::run(Err(errors))),
        ),
        Err(error @ ConfigError::Options(_)) => {
            print_error(&error.to_string());
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

/// Work of the program from its configuration to its end.
///
/// It is boxed, since the compiler copies a future into each place of the runtime that polls it, for each entry: some
/// hundred kilobytes, which Lambda would load at each cold start.
type Work<'a> = Pin<Box<dyn Future<Output = ExitCode> + 'a>>;

/// Starts logging and the runtime, and runs `work`.
fn start(log: telemetry::Settings, work: Work<'_>) -> ExitCode {
    telemetry::start(log);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(COMPUTE_THREAD_IDLE)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return entry::failed("Cannot start the runtime.", &error),
    };
    let code = runtime.block_on(work);
    // Threads may hang in files of a system that does not respond.
    runtime.shutdown_timeout(BLOCKED_THREADS_TIMEOUT);
    code
}

async fn replay(config: &Config, replaying: &Replaying) -> ExitCode {
    let shared = load_sdk_config(&config.timestream).await;
    entry::replay::run(config, replaying, &shared).await
}

async fn run(config: &Config, path: &Path) -> ExitCode {
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => return entry::failed("Cannot wait for signals.", &error),
    };
    let shared = load_sdk_config(&config.timestream).await;
    entry::run::run(config, path, &shared, stop).await
}
