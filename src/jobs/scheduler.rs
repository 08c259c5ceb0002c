//! Runs the jobs that have a schedule: each bucket of each job is attempted once.
//!
//! Definitions that other processes change take effect within [`REFRESH`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bucket::{Cause, bucket, until_next};
use super::definition::Definition;
use super::registry::Entry;
use super::runner::{Caller, JobRunner};

/// The interval at which the definitions are listed again.
pub const REFRESH: Duration = Duration::from_secs(10);

/// A job with a schedule.
struct Ticker {
    version: String,
    stop: CancellationToken,
}

/// Runs jobs as they are due, until `stop` is cancelled and all runs have ended.
pub async fn schedule(runner: Arc<JobRunner>, stop: CancellationToken) {
    let mut ticking: HashMap<String, Ticker> = HashMap::new();
    let tickers = TaskTracker::new();
    let mut reported = HashSet::new();
    loop {
        match runner.registry.definitions().await {
            Ok(entries) => {
                report_unusable(&entries, &mut reported);
                reconcile(&runner, &entries, &mut ticking, &tickers, &stop);
            }
            Err(error) => tracing::error!(
                error = error.to_string(),
                "Could not list the jobs; the known ones go on."
            ),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = runner.registry.changed() => {}
            () = tokio::time::sleep(REFRESH) => {}
        }
    }
    tickers.close();
    tickers.wait().await;
}

/// Logs each version of a stored definition that is invalid, once.
fn report_unusable(entries: &[Entry], reported: &mut HashSet<String>) {
    for entry in entries {
        if let Some(errors) = &entry.unusable
            && reported.insert(entry.version.clone())
        {
            tracing::error!(
                error = errors.to_string(),
                connector = entry.name,
                "The stored definition of job `{}` is invalid; update or delete it.",
                entry.name
            );
        }
    }
}

/// Starts tickers of new jobs, and stops those of deleted and changed ones.
fn reconcile(
    runner: &Arc<JobRunner>,
    entries: &[Entry],
    ticking: &mut HashMap<String, Ticker>,
    tickers: &TaskTracker,
    stop: &CancellationToken,
) {
    ticking.retain(|name, ticking| {
        let is_same = entries
            .iter()
            .any(|entry| entry.name == *name && entry.version == ticking.version);
        if !is_same {
            ticking.stop.cancel();
        }
        is_same
    });
    for entry in entries {
        let Some(definition) = &entry.definition else {
            continue;
        };
        let Some(schedule) = definition.schedule else {
            continue;
        };
        if ticking.contains_key(&entry.name) {
            continue;
        }
        let stop = stop.child_token();
        tickers.spawn(tick(
            Arc::clone(runner),
            Arc::clone(definition),
            entry.version.clone(),
            schedule,
            stop.clone(),
        ));
        let version = entry.version.clone();
        ticking.insert(entry.name.clone(), Ticker { version, stop });
    }
}

/// Attempts each bucket as it begins. A bucket that begins during a run of an earlier one counts as
/// skipped.
async fn tick(
    runner: Arc<JobRunner>,
    definition: Arc<Definition>,
    version: String,
    schedule: Duration,
    stop: CancellationToken,
) {
    let version: Arc<str> = version.into();
    let runs = TaskTracker::new();
    loop {
        let now = (runner.now)();
        let wait = until_next(now, schedule);
        let due = bucket(now + wait, schedule);
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
        // The clock of the day may be a little behind the timer, or far ahead after a pause.
        let cause = Cause::Bucket(due.max(bucket((runner.now)(), schedule)));
        let (runner, definition) = (Arc::clone(&runner), Arc::clone(&definition));
        let (version, stop) = (Arc::clone(&version), stop.clone());
        runs.spawn(async move {
            // Another process may have changed it; the next listing finds out.
            if let Ok(false) = runner.registry.is_current(&definition.name, &version).await {
                return;
            }
            let caller = Caller {
                deadline: None,
                stop: &stop,
                progress: &(),
            };
            runner.run(&definition, cause, caller).await;
        });
    }
    runs.close();
    runs.wait().await;
}
