//! The command `bootstrap doctor`: checks one after the other what the connector needs, and says what to do about each
//! failure. A server makes those of them that write nothing when it starts.
//!
//! [`report`] has the results, `checks` makes the calls, `remedy` knows permissions and commands, `start` is for the
//! server.

mod checks;
mod remedy;
pub mod report;
mod start;

use std::collections::BTreeSet;
use std::process::ExitCode;

use tokio::time::Instant;
use tracing::Level;

use crate::config::{Config, Doctoring, OptionError};
use crate::storage::destination::Destination;
use crate::storage::routing::RoutePart;
use crate::telemetry;
use crate::timestream::{Timestream, load_sdk_config};
use checks::{Examination, Targets};
use report::{Check, Report};
pub use start::{Start, watch_start};

/// Checks the set-up with this configuration, prints the report, and returns the exit status.
pub async fn run(config: Result<&Config, &[OptionError]>, doctoring: Doctoring) -> ExitCode {
    let report = match config {
        Ok(config) => examine(config, doctoring).await,
        Err(errors) => Report {
            checks: errors.iter().map(invalid).collect(),
        },
    };
    let text = match doctoring.is_json {
        true => format!("{}\n", report.to_json()),
        false => report.to_string(),
    };
    let status = match report.has_failed() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    };
    super::print(&text, status)
}

/// Returns the settings of a log without warnings, which the report has too, unless they are of debugging.
pub fn quiet(log: telemetry::Settings) -> telemetry::Settings {
    let level = log.level.filter(|level| *level > Level::INFO);
    telemetry::Settings {
        level: level.or(Some(Level::ERROR)),
        ..log
    }
}

fn invalid(error: &OptionError) -> Check {
    let remedy = "correct the option; bootstrap --help explains each";
    Check::fail("configuration", error.to_string(), remedy)
}

/// Makes all checks.
pub async fn examine(config: &Config, doctoring: Doctoring) -> Report {
    let deadline = Instant::now() + doctoring.timeout;
    let mut report = Report::default();
    report.add(Check::ok("configuration", described(config)));
    report.add(versions());
    let shared = load_sdk_config(&config.timestream).await;
    let timestream = Timestream::new(&config.timestream, &shared);
    let mut examination = Examination::new(targets(config), timestream, deadline, report);
    let has_credentials = examination.credentials().await;
    examination.region(config.region_source);
    let has_right_clock = examination.clock().await;
    match (has_credentials, has_right_clock) {
        (true, true) => {
            examination.endpoints().await;
            examination.tables().await;
            examination.permissions(doctoring.writes).await;
            examination
                .letters(config.dead_letter.as_ref(), &shared)
                .await;
            examination.state(config.state.as_ref(), &shared).await;
        }
        (false, _) => examination.skip_calls("it needs credentials"),
        (true, false) => examination.skip_calls("it needs a clock that is right"),
    }
    examination.into_report()
}

/// Returns what the options name.
fn targets(config: &Config) -> Targets {
    let routing = &config.ingest.routing;
    let (database, table) = (&routing.database.default, &routing.table.default);
    let destination = |table: &Option<String>| {
        Some(Destination {
            database: database.clone()?,
            table: table.clone()?,
        })
    };
    let jobs = config.connectors.iter().map(|it| it.destination.clone());
    let jobs = jobs.filter(|it| !it.database.is_empty() && !it.table.is_empty());
    let mut tables: Vec<_> = destination(table).into_iter().chain(jobs).collect();
    let mut seen = BTreeSet::new();
    tables.retain(|it| seen.insert(it.clone()));
    Targets {
        region: config.timestream.region.clone(),
        default: destination(table),
        tables,
        metadata: destination(&config.ingest.metadata_table),
    }
}

fn described(config: &Config) -> String {
    let routing = &config.ingest.routing;
    let part = |part: &RoutePart| {
        let default = part.default.clone();
        let label = part
            .label
            .as_ref()
            .map(|label| format!("the label {label}"));
        let parts: Vec<_> = label.into_iter().chain(default).collect();
        parts.join(", else ")
    };
    format!(
        "valid; database: {}; table: {}",
        part(&routing.database),
        part(&routing.table)
    )
}

fn versions() -> Check {
    let detail = concat!(
        env!("CARGO_PKG_VERSION"),
        ", revision ",
        env!("SOURCE_REVISION"),
        ", ",
        env!("BUILD_TARGET"),
        ", ",
        env!("BUILD_COMPILER")
    );
    Check::ok("version", detail)
}
