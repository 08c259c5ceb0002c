//! The jobs of a process: builds their runner from the configuration, and serves them.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::http::JobsApi;
use crate::jobs::runner::JobRunner;
use crate::jobs::scheduler::schedule;

/// Logs a warning if there are jobs whose state ends with the process.
pub fn warn_if_forgotten(config: &Config) {
    if config.state.is_none() && !config.connectors.is_empty() {
        tracing::warn!(
            "Job state is in memory only: after a restart jobs start over, and other processes would \
             run them as well; set --state-store (state_store)."
        );
    }
}

/// Returns the API of the jobs, and a future that does the work: all schedules, and runs begun by hand. It ends
/// when `stop` is cancelled and all runs have ended.
pub fn serve(
    runner: Arc<JobRunner>,
    stop: CancellationToken,
) -> (JobsApi, impl Future<Output = ()> + Send + 'static) {
    let background = TaskTracker::new();
    let api = JobsApi {
        runner: Arc::clone(&runner),
        stop: stop.clone(),
        background: Some(background.clone()),
    };
    let work = async move {
        schedule(runner, stop).await;
        background.close();
        background.wait().await;
    };
    (api, work)
}

/// Waits for cancelled work, at most for `grace`.
pub async fn finish(work: tokio::task::JoinHandle<()>, grace: Duration) {
    if tokio::time::timeout(grace, work).await.is_err() {
        tracing::warn!("Some jobs did not stop in time and were aborted.");
    }
}
