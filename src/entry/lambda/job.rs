//! A job's definition as an event: the job runs, and the response is its report.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::error::EventError;
use crate::jobs::bucket::{Cause, bucket};
use crate::jobs::definition::Definition;
use crate::jobs::job::{Report, RunError};
use crate::jobs::runner::{Caller, JobRunner, NotRun, RunOutcome};
use crate::metrics::emf::EmfRecord;

/// The time that a run has to save its cursor once it is stopped.
const MARGIN: Duration = Duration::from_secs(2);

/// Runs the job that `event` defines, and ends before `deadline`. With a schedule the run is for the present bucket,
/// so only one of two invocations for the same tick runs.
pub(super) async fn run(
    event: Value,
    runner: &JobRunner,
    deadline: Instant,
) -> (Result<Value, EventError>, Option<EmfRecord>) {
    let definition = match Definition::of(event, runner.registry.kinds()) {
        Ok(definition) => definition,
        Err(errors) => return (Err(errors.into()), None),
    };
    let cause = match definition.schedule {
        Some(schedule) => Cause::Bucket(bucket((runner.now)(), schedule)),
        None => Cause::Event,
    };
    let end = deadline.checked_sub(MARGIN).unwrap_or(deadline);
    let stop = CancellationToken::new();
    let caller = Caller {
        deadline: Some(end),
        stop: &stop,
        progress: &(),
    };
    let mut running = std::pin::pin!(runner.run(&definition, cause, caller));
    let outcome = tokio::select! {
        done = &mut running => Ok(done),
        () = sleep_until(end) => {
            stop.cancel();
            timeout_at(deadline, running).await
        }
    };
    let Ok((outcome, numbers)) = outcome else {
        let name = definition.name.clone();
        // Its lease ends by itself. The run is counted and logged where it is dropped.
        let error = "it did not end within the time of the invocation".to_owned();
        return (Err(EventError::Failed { name, error }), None);
    };
    (
        report(definition.name.clone(), cause, outcome),
        Some(numbers),
    )
}

fn report(name: String, cause: Cause, outcome: RunOutcome) -> Result<Value, EventError> {
    let result = outcome.result().as_str();
    match outcome {
        RunOutcome::Finished(Report {
            error:
                Some(
                    RunError::Failed(error)
                    | RunError::Disable(error)
                    | RunError::TooManyRows(error),
                ),
            ..
        }) => Err(EventError::Failed { name, error }),
        RunOutcome::Finished(report) => {
            let scheduled_for: Option<Timestamp> = match cause {
                Cause::Bucket(start) => Some(start),
                Cause::Event | Cause::Hand => None,
            };
            Ok(json!({
                "name": name,
                "result": result,
                "scheduled_for": scheduled_for,
                "rows": report.rows,
                "received": report.received,
                "rejected": report.rejected,
                "dead_lettered": report.dead_lettered,
                "warnings": report.warnings,
            }))
        }
        RunOutcome::NotRun(reason) => {
            if let NotRun::ClaimLost | NotRun::Busy | NotRun::Paused = reason {
                return Ok(json!({"name": name, "result": result}));
            }
            let error = reason.to_string();
            Err(EventError::Failed { name, error })
        }
    }
}
