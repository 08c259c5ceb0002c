//! The function as a process: the environment, the parts, and a configuration that cannot be used.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::{Handlers, Replayer, VARIABLES, serve};
use crate::config::{Config, OptionError};
use crate::entry::build::{Service, service};
use crate::entry::failed;
use crate::entry::signal::stop_signal;
use crate::http::{JobsApi, Misconfiguration, error_router, router};
use crate::telemetry::print_error;
use crate::timestream::load_sdk_config;

/// Serves invocations until the process is stopped by a signal.
///
/// Without a configuration that can be used, each response names the errors: Lambda would start a process
/// that ends again and again, and its callers would not learn the reason.
pub async fn run(config: Result<&Config, Vec<OptionError>>) -> ExitCode {
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed("Cannot wait for signals.", &error),
    };
    let variables = VARIABLES.map(|name| std::env::var(name).unwrap_or_default());
    if let Some(missing) = variables.iter().position(String::is_empty) {
        print_error(&format!(
            "{} is not set: Lambda and cargo lambda set it together with AWS_LAMBDA_RUNTIME_API; unset the \
             latter to run a server.",
            VARIABLES[missing]
        ));
        return ExitCode::FAILURE;
    }
    let [function, ..] = variables;
    let built = match config {
        Ok(config) => build(config, &function).await,
        Err(errors) => Err(errors),
    };
    let (router, handlers) = match built {
        Ok((router, handlers)) => (router, Some(handlers)),
        Err(errors) => (rejecting_router(&errors), None),
    };
    tokio::select! {
        () = stop => ExitCode::SUCCESS,
        result = serve(router, handlers, function) => match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                print_error(&format!("Cannot reach the runtime API of Lambda. {error}"));
                ExitCode::FAILURE
            }
        },
    }
}

fn rejecting_router(errors: &[OptionError]) -> Router {
    for error in errors {
        tracing::error!(error = error.to_string(), "Cannot use the configuration.");
    }
    let all = errors.iter().map(|error| Misconfiguration {
        is_missing_destination: error.is_missing_destination(),
        text: error.to_string(),
    });
    error_router(all.collect())
}

/// Returns the router of requests and the handlers of other events.
async fn build(config: &Config, function: &str) -> Result<(Router, Handlers), Vec<OptionError>> {
    let shared = load_sdk_config(&config.timestream).await;
    let service = service(config, &shared).map_err(|error| vec![error])?;
    log_start(config, function);
    let Service {
        mut app, runner, ..
    } = service;
    if service.is_state_persistent {
        // Invocations have deadlines of their own.
        app = app.with_jobs(JobsApi {
            runner: Arc::clone(&runner),
            stop: CancellationToken::new(),
            background: None,
        });
    }
    let replayer = Replayer {
        ingester: runner.ingester.clone(),
        timeout: config.http.request_timeout,
    };
    let handlers = Handlers {
        replayer,
        runner,
        budget: app.budget().clone(),
        config: Arc::new(config.clone()),
    };
    Ok((router(app), handlers))
}

fn log_start(config: &Config, function: &str) {
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
    if let Some(warning) = config.web.current().closed_side() {
        tracing::warn!("{warning}");
    }
    if !config.web.current().has_credentials() {
        tracing::warn!(
            "Authentication is not configured: anyone who may call the function can read and write all \
             data, unless a gateway in front of it checks credentials; set users or a token \
             (basic_auth_users, bearer_token)."
        );
    }
}
