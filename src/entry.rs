//! The ways of running the program. [`server`] and [`lambda`] serve the one router until the process
//! stops; [`run`], [`replay`], [`doctor`], [`healthcheck`] and [`estimate`] are commands.

pub mod build;
pub mod doctor;
pub mod estimate;
pub mod healthcheck;
pub mod jobs;
pub mod lambda;
pub mod replay;
mod resend;
pub mod run;
pub mod server;
pub mod signal;

use std::io;
use std::process::ExitCode;

use crate::telemetry::print_error;

/// Reports a failure that ends the process, even if logging is switched off.
pub fn failed(message: &str, error: &io::Error) -> ExitCode {
    print_error(&format!("{message} {error}"));
    ExitCode::FAILURE
}
