//! The checks of `bootstrap doctor` as an event, so that the function makes them with its own role and network.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::error::EventError;
use crate::config::{Config, Doctoring};
use crate::entry::doctor::examine;

/// The time of the invocation that is left for the response.
const MARGIN: Duration = Duration::from_secs(1);

/// The event `{"doctor": {}}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    doctor: Settings,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// False for `--no-write`.
    #[serde(default = "yes")]
    write: bool,
}

fn yes() -> bool {
    true
}

/// Makes the checks before `deadline` and returns the report, also if some of them fail.
pub(super) async fn run(
    event: &[u8],
    config: &Config,
    deadline: Instant,
) -> Result<Value, EventError> {
    let event: Event = serde_json::from_slice(event).map_err(EventError::InvalidDoctor)?;
    let end = deadline.checked_sub(MARGIN).unwrap_or(deadline);
    let doctoring = Doctoring {
        writes: event.doctor.write,
        is_json: true,
        timeout: end.saturating_duration_since(Instant::now()),
    };
    let report = timeout_at(deadline, examine(config, doctoring)).await;
    let report = report.map_err(|_| EventError::Late)?;
    Ok(serde_json::to_value(report).expect("texts are always valid JSON"))
}
