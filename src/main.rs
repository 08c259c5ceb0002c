//! `bootstrap`: serves remote write and remote read over Amazon Timestream.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use timestream_prometheus_connector::config::{self, Config, ConfigError, Invocation, Replaying};
use timestream_prometheus_connector::connector::Connector;
use timestream_prometheus_connector::dead_letter::DeadLetters;
use timestream_prometheus_connector::entry;
use timestream_prometheus_connector::entry::standalone::{self, Ended, Patience};
use timestream_prometheus_connector::http::App;
use timestream_prometheus_connector::telemetry;
use timestream_prometheus_connector::timestream::{Timestream, sdk_config};
use tokio::net::TcpListener;

/// Status of a process whose configuration cannot be used.
const BAD_CONFIGURATION: u8 = 2;
/// How much longer than a request's deadline the process waits for requests in flight.
const GRACE_BEYOND_DEADLINE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let environment = |name: &str| std::env::var(name).ok();
    match config::read(std::env::args_os(), environment) {
        Ok(Invocation::Serve(config)) => start(&config, serve(&config)),
        Ok(Invocation::Replay(config, replaying)) => start(&config, replay(&config, &replaying)),
        Ok(Invocation::Checked) => {
            println!("the configuration is valid");
            ExitCode::SUCCESS
        }
        // Help, version and usage errors: clap knows the stream and the status.
        Err(ConfigError::CommandLine(error)) => error.exit(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

/// Starts logging and the runtime, and runs `work`.
fn start(config: &Config, work: impl Future<Output = ExitCode>) -> ExitCode {
    telemetry::start(config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed("Cannot start the runtime.", &error),
    };
    runtime.block_on(work)
}

async fn replay(config: &Config, replaying: &Replaying) -> ExitCode {
    let shared = sdk_config(&config.timestream).load().await;
    match entry::replay::run(config, replaying, &shared).await {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

async fn serve(config: &Config) -> ExitCode {
    let stop = match standalone::stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed("Cannot wait for signals.", &error),
    };
    let listener = match standalone::bind(&config.listen_address).await {
        Ok(listener) => listener,
        Err(error) => {
            let message = format!(
                "Cannot listen on {} (--web.listen-address, web_listen_address).",
                config.listen_address
            );
            return failed(&message, &error);
        }
    };
    let shared = sdk_config(&config.timestream).load().await;
    let timestream = Timestream::new(&config.timestream, &shared);
    let dead_letters = match DeadLetters::open(config.dead_letter.as_ref(), &shared) {
        Ok(dead_letters) => dead_letters,
        Err(error) => {
            let place = config.dead_letter.as_ref().map(ToString::to_string);
            let message = format!(
                "Cannot write dead letters to {} (--dead-letter, dead_letter).",
                place.unwrap_or_default()
            );
            return failed(&message, &error);
        }
    };
    let app = App::new(config, Connector::new(config, timestream, dead_letters));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        // With port 0 the system has chosen one.
        address = listener
            .local_addr()
            .map_or_else(|_| String::new(), |address| address.to_string()),
        tls = config.web.current().tls.is_some(),
        region = config.timestream.region,
        "Listening."
    );
    let grace = config.request_timeout.max(config.read_timeout) + GRACE_BEYOND_DEADLINE;
    warn_if_open(config, &listener);
    match standalone::serve(listener, app, Patience::default(), stop, grace).await {
        Ended::Stopped => {
            tracing::info!("Stopped.");
            ExitCode::SUCCESS
        }
        Ended::Refused => {
            tracing::error!("Stopped because a fail_on_* option refused a request.");
            ExitCode::FAILURE
        }
    }
}

/// Warns where anybody on the network may read and write.
fn warn_if_open(config: &Config, listener: &TcpListener) {
    let web = config.web.current();
    let is_local = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    if !web.has_credentials() && !web.verifies_clients && !listener.local_addr().is_ok_and(is_local)
    {
        tracing::warn!(
            "Everybody who reaches the address can read and write all data: no users, token or \
             client certificates are configured (--basic-auth-users, --bearer-token, \
             --web.config.file)."
        );
    }
}

/// Reports a failure that ends the process; also where logging is switched off.
fn failed(message: &str, error: &std::io::Error) -> ExitCode {
    eprintln!("{message} {error}");
    ExitCode::FAILURE
}
