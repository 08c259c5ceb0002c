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

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use crate::telemetry::print_error;

/// Writes a text to standard output, and returns `status`, or that of a failure if the text cannot be written. `println!`
/// would panic then.
pub fn print(text: &str, status: ExitCode) -> ExitCode {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        // The reader may have seen enough, like `head`.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            failed("Cannot write to standard output (a full disk?):", &error)
        }
        _ => status,
    }
}

/// Reports a failure that ends the process, even if logging is switched off.
pub fn failed(message: &str, error: &io::Error) -> ExitCode {
    print_error(&format!("{message} {error}"));
    ExitCode::FAILURE
}
