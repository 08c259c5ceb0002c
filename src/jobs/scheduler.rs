//! The definitions of a process that have a schedule: each bucket of each is tried once.
//!
//! Definitions that other processes have changed are seen within [`REFRESH`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bucket::{Cause, bucket, until_next};
use super::definition::Definition;
use super::registry::Entry;
use super::runner::{Caller, JobRunner};

/// How often the definitions are listed again.
pub const REFRESH: Duration = Duration::from_secs(10);

/// A definition that is being ticked.
struct Ticking {
    version: String,
    stop: CancellationToken,
}

/// Runs what is due until `stop` is cancelled and all runs have ended.
pub async fn schedule(runner: Arc<JobRunner>, stop: CancellationToken) {
    let mut ticking: HashMap<String, Ticking> = HashMap::new();
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
                "The connectors cannot be listed; those that are known go on."
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

/// Tells once of each version of a definition that this program cannot use.
fn report_unusable(entries: &[Entry], reported: &mut HashSet<String>) {
    for entry in entries {
        if let Some(errors) = &entry.unusable
            && reported.insert(entry.version.clone())
        {
            tracing::error!(
                error = errors.to_string(),
                connector = entry.name,
                "A connector that is kept cannot be used; change or delete it."
            );
        }
    }
}

/// Starts tickers of what is new, and stops those of what is gone or has changed.
fn reconcile(
    runner: &Arc<JobRunner>,
    entries: &[Entry],
    ticking: &mut HashMap<String, Ticking>,
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
        ticking.insert(entry.name.clone(), Ticking { version, stop });
    }
}

/// Tries each bucket as it begins, also while a run of an earlier one goes on, which counts it as
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
            // Another process may have changed it; then the next listing tells.
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
