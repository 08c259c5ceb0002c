//! The server as a process: the socket, the jobs beside it, and the order in which they end.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{ConnectionTimeouts, Ended, bind, serve};
use crate::config::Config;
use crate::entry::build::{Service, service};
use crate::entry::doctor::watch_start;
use crate::entry::signal::stop_signal;
use crate::entry::{failed, jobs};
use crate::telemetry::print_error;
use crate::timestream::load_sdk_config;

/// The time that requests in flight have beyond their deadline when the process stops.
const GRACE_BEYOND_DEADLINE: Duration = Duration::from_secs(2);

/// Serves until the process is stopped by a signal, or by a request that a `fail_on_*` option rejects.
pub async fn run(config: &Config) -> ExitCode {
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed("Cannot wait for signals.", &error),
    };
    let listener = match bind(&config.listen_address).await {
        Ok(listener) => listener,
        Err(error) => {
            let message = format!(
                "Cannot listen on {} (--web.listen-address, web_listen_address).",
                config.listen_address
            );
            return failed(&message, &error);
        }
    };
    let shared = load_sdk_config(&config.timestream).await;
    let Service { app, runner, .. } = match service(config, &shared) {
        Ok(service) => service,
        Err(error) => {
            print_error(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let stop_jobs = CancellationToken::new();
    let (api, work) = jobs::serve(runner, stop_jobs.clone());
    let (start, readiness) = watch_start(config, app.timestream().clone());
    let app = app
        .with_jobs(api)
        .with_readiness(readiness)
        .reached_locally(is_local(&listener));
    let work = tokio::spawn(work);
    let stop = async {
        stop.await;
        stop_jobs.cancel();
    };
    log_start(config, &listener);
    // Beside the listener, which does not wait for it.
    tokio::spawn(start.run());
    let grace = config.http.request_timeout.max(config.http.read_timeout) + GRACE_BEYOND_DEADLINE;
    let ended = serve(listener, app, ConnectionTimeouts::default(), stop, grace).await;
    stop_jobs.cancel();
    jobs::finish(work, grace).await;
    match ended {
        Ended::Stopped => {
            tracing::info!("Stopped.");
            ExitCode::SUCCESS
        }
        Ended::Rejected => {
            tracing::error!("Stopped because a fail_on_* option rejected a request.");
            ExitCode::FAILURE
        }
    }
}

fn log_start(config: &Config, listener: &TcpListener) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        // With port 0 the system has chosen one.
        address = listener
            .local_addr()
            .map_or_else(|_| String::new(), |address| address.to_string()),
        tls = config.web.current().tls.is_some(),
        region = config.timestream.region,
        region_from = config.region_source.as_str(),
        metadata_table = config.ingest.metadata_table.as_deref().unwrap_or("off"),
        "Listening."
    );
    let web = config.web.current();
    if !web.has_credentials() && !web.verifies_clients && !is_local(listener) {
        tracing::warn!(
            "Authentication is not configured: anyone who can reach this address can read and write all \
             data; set --basic-auth-users, --bearer-token or --web.config.file (users or client \
             certificates)."
        );
    }
    if let Some(warning) = web.closed_side() {
        tracing::warn!("{warning}");
    }
    jobs::warn_if_forgotten(config);
}

/// Returns true if only this machine can reach the socket.
fn is_local(listener: &TcpListener) -> bool {
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    listener.local_addr().is_ok_and(is_loopback)
}
