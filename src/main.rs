//! `bootstrap`: serves remote write and remote read over Amazon Timestream.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use axum::Router;
use timestream_prometheus_connector::config::{
    self, Config, ConfigError, ConfigFault, Invocation, Mode, Replaying,
};
use timestream_prometheus_connector::dead_letter::DeadLetters;
use timestream_prometheus_connector::entry::build::{self, Parts};
use timestream_prometheus_connector::entry::lambda::{self, Handlers, Replayer};
use timestream_prometheus_connector::entry::server;
use timestream_prometheus_connector::entry::server::{Ended, Patience};
use timestream_prometheus_connector::entry::{healthcheck, jobs, replay, run};
use timestream_prometheus_connector::http::{
    App, JobsApi, Misconfiguration, misconfigured, router,
};
use timestream_prometheus_connector::state::State;
use timestream_prometheus_connector::telemetry;
use timestream_prometheus_connector::timestream::sdk_config;
use timestream_prometheus_connector::visible::print_error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The memory of a large request goes back to the system when it is over: the allocator of glibc held
/// 66 to 92 MiB of it (`tests/hostile`). The features leave huge pages alone, which tripled the memory
/// of an ordinary write (`benches/write`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A thread that did a long computation ends when it has been idle for so long, and gives back what
/// its part of the allocator holds.
const COMPUTE_THREAD_IDLE: Duration = Duration::from_secs(1);

/// Status of a process whose configuration cannot be used.
const BAD_CONFIGURATION: u8 = 2;
/// How much longer than a request's deadline the process waits for requests in flight.
const GRACE_BEYOND_DEADLINE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let environment = |name: &str| std::env::var(name).ok();
    match config::read(std::env::args_os(), environment) {
        Ok(Invocation::Serve(config)) => match config.mode {
            Mode::Standalone => start(config.log, serve(&config)),
            Mode::Lambda => start(config.log, serve_lambda(Ok(&config))),
        },
        Ok(Invocation::Replay(config, replaying)) => start(config.log, replay(&config, &replaying)),
        Ok(Invocation::Run(config, path)) => start(config.log, run(&config, &path)),
        Ok(Invocation::AskHealth(config)) => start(config.log, ask_health(&config)),
        Ok(Invocation::Checked) => {
            println!("the configuration is valid");
            ExitCode::SUCCESS
        }
        // Help, version and usage errors: clap knows the stream and the status.
        Err(ConfigError::CommandLine(error)) => error.exit(),
        // Lambda would start a process that ends again and again, and tell nobody why.
        Err(ConfigError::Faults(faults)) if Mode::of(environment) == Mode::Lambda => {
            start(telemetry::Settings::default(), serve_lambda(Err(faults)))
        }
        Err(error @ ConfigError::Faults(_)) => {
            print_error(&error.to_string());
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

/// Starts logging and the runtime, and runs `work`.
fn start(log: telemetry::Settings, work: impl Future<Output = ExitCode>) -> ExitCode {
    telemetry::start(log);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(COMPUTE_THREAD_IDLE)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed("Cannot start the runtime.", &error),
    };
    runtime.block_on(work)
}

async fn replay(config: &Config, replaying: &Replaying) -> ExitCode {
    let shared = sdk_config(&config.timestream).load().await;
    ExitCode::from(replay::run(config, replaying, &shared).await as u8)
}

async fn run(config: &Config, path: &Path) -> ExitCode {
    let stop = match server::stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed("Cannot wait for signals.", &error),
    };
    let shared = sdk_config(&config.timestream).load().await;
    ExitCode::from(run::run(config, path, &shared, stop).await as u8)
}

async fn serve(config: &Config) -> ExitCode {
    let stop = match server::stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed("Cannot wait for signals.", &error),
    };
    let listener = match server::bind(&config.listen_address).await {
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
    let (app, parts) = match app(config, &shared) {
        Ok(built) => built,
        Err(error) => {
            let place = config.dead_letter.as_ref().map(ToString::to_string);
            let message = format!(
                "Cannot write dead letters to {} (--dead-letter, dead_letter).",
                place.unwrap_or_default()
            );
            return failed(&message, &error);
        }
    };
    let state = match State::open(config.state.as_ref(), &shared) {
        Ok(state) => state,
        Err(error) => {
            let place = config.state.as_ref().map(ToString::to_string);
            let message = format!(
                "Cannot keep connectors in {} (--state, state).",
                place.unwrap_or_default()
            );
            return failed(&message, &error);
        }
    };
    let metrics = Arc::clone(app.metrics());
    let runner = jobs::runner(config, parts, state, metrics);
    let stop_jobs = CancellationToken::new();
    let (api, work) = jobs::serve(runner, stop_jobs.clone());
    let app = app.with_jobs(api).reached_locally(is_local(&listener));
    let work = tokio::spawn(work);
    let stop = async {
        stop.await;
        stop_jobs.cancel();
    };
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
    let grace = config.http.request_timeout.max(config.http.read_timeout) + GRACE_BEYOND_DEADLINE;
    warn_if_open(config, &listener);
    jobs::warn_if_forgotten(config);
    let ended = server::serve(listener, app, Patience::default(), stop, grace).await;
    stop_jobs.cancel();
    jobs::finish(work, grace).await;
    match ended {
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

async fn serve_lambda(config: Result<&Config, Vec<ConfigFault>>) -> ExitCode {
    let stop = match server::stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed("Cannot wait for signals.", &error),
    };
    let variables = lambda::VARIABLES.map(|name| std::env::var(name).unwrap_or_default());
    if let Some(missing) = variables.iter().position(String::is_empty) {
        eprintln!(
            "{} is not set, as Lambda and cargo lambda do beside AWS_LAMBDA_RUNTIME_API.",
            lambda::VARIABLES[missing]
        );
        return ExitCode::FAILURE;
    }
    let [function, ..] = variables;
    let router = match config {
        Ok(config) => lambda_router(config, &function).await,
        Err(faults) => Err(faults),
    };
    let (router, handlers) = router.unwrap_or_else(|faults| {
        for fault in &faults {
            tracing::error!(error = fault.to_string(), "Cannot use the configuration.");
        }
        let all = faults.iter().map(|fault| Misconfiguration {
            is_missing_destination: fault.is_missing_destination(),
            text: fault.to_string(),
        });
        (misconfigured(all.collect()), None)
    });
    tokio::select! {
        () = stop => ExitCode::SUCCESS,
        result = lambda::serve(router, handlers, function) => match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                print_error(&format!(
                    "Cannot speak to the runtime API of Lambda. {error}"
                ));
                ExitCode::FAILURE
            }
        },
    }
}

async fn lambda_router(
    config: &Config,
    function: &str,
) -> Result<(Router, Option<Handlers>), Vec<ConfigFault>> {
    let shared = sdk_config(&config.timestream).load().await;
    let (app, parts) = app(config, &shared).map_err(|error| {
        let place = config.dead_letter.as_ref().map(ToString::to_string);
        let place = place.unwrap_or_default();
        vec![ConfigFault::unusable("dead_letter", &place, &error)]
    })?;
    let state = State::open(config.state.as_ref(), &shared).map_err(|error| {
        let place = config.state.as_ref().map(ToString::to_string);
        vec![ConfigFault::unusable(
            "state",
            &place.unwrap_or_default(),
            &error,
        )]
    })?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        function,
        region = config.timestream.region,
        region_from = config.region_source.as_str(),
        "Serving invocations."
    );
    for option in &config.ignored_options {
        tracing::warn!(
            option = option.variable,
            "An option is ignored because a function has no socket and no schedules of its own."
        );
    }
    if !config.web.current().has_credentials() {
        tracing::warn!(
            "Everybody who may call the function can read and write all data, unless a gateway \
             in front of it asks for credentials: no users or token are configured \
             (basic_auth_users, bearer_token)."
        );
    }
    let is_persistent = state.is_persistent();
    let metrics = Arc::clone(app.metrics());
    let runner = jobs::runner(config, parts.clone(), state, metrics);
    let app = if is_persistent {
        // Invocations have deadlines of their own.
        app.with_jobs(JobsApi {
            runner: Arc::clone(&runner),
            stop: CancellationToken::new(),
            background: None,
        })
    } else {
        app
    };
    let replayer = Replayer {
        ingester: parts.ingester,
        timeout: config.http.request_timeout,
    };
    let handlers = Handlers {
        replayer,
        runner,
        budget: app.budget().clone(),
    };
    Ok((router(app), Some(handlers)))
}

/// Builds what all requests share, clients included.
///
/// # Errors
/// The place for dead letters cannot be used.
fn app(config: &Config, shared: &SdkConfig) -> io::Result<(App, Parts)> {
    let dead_letters = DeadLetters::open(config.dead_letter.as_ref(), shared)?;
    let parts = build::parts(config, shared, dead_letters);
    let app = App::new(
        config.http.clone(),
        config.web.clone(),
        parts.ingester.clone(),
        parts.querier.clone(),
    );
    Ok((app, parts))
}

/// Warns where anybody on the network may read and write.
fn warn_if_open(config: &Config, listener: &TcpListener) {
    let web = config.web.current();
    if !web.has_credentials() && !web.verifies_clients && !is_local(listener) {
        tracing::warn!(
            "Everybody who reaches the address can read and write all data: no users, token or \
             client certificates are configured (--basic-auth-users, --bearer-token, \
             --web.config.file)."
        );
    }
}

/// Whether only this machine can reach the socket.
fn is_local(listener: &TcpListener) -> bool {
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    listener.local_addr().is_ok_and(is_loopback)
}

/// Tells a container engine whether the server beside this process is healthy.
async fn ask_health(config: &Config) -> ExitCode {
    match healthcheck::ask(config).await {
        Ok(()) => {
            println!("healthy");
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&format!("unhealthy: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Reports a failure that ends the process; also where logging is switched off.
fn failed(message: &str, error: &io::Error) -> ExitCode {
    print_error(&format!("{message} {error}"));
    ExitCode::FAILURE
}
