//! The jobs of the start page, from the registry. The page is requested every two seconds, so the state, which may be a
//! table that bills requests, is read less often.

use std::time::Duration;

use jiff::Timestamp;
use prom_model::visible::{escaped, truncate};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::start::{JobLine, JobState, Jobs};
use crate::jobs::registry::{Entry, Registry};

/// The time for which a list is shown.
const SHOWN_FOR: Duration = Duration::from_secs(5);
/// The longest time that the page waits for the state.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most bytes of an error.
const MAX_NOTE_BYTES: usize = 400;

/// The list, as it was last read.
#[derive(Debug, Default)]
pub(in crate::http) struct JobList(Mutex<Option<(Instant, Jobs)>>);

impl JobList {
    /// Returns the jobs of the registry, those of some seconds ago if they were read then.
    pub(super) async fn get(&self, registry: &Registry, now: Timestamp) -> Jobs {
        let mut last = self.0.lock().await;
        if let Some((read, jobs)) = &*last
            && read.elapsed() < SHOWN_FOR
        {
            return jobs.clone();
        }
        let jobs = match timeout(PATIENCE, registry.list()).await {
            Ok(Ok(entries)) => Jobs::Listed(entries.iter().map(|entry| line(entry, now)).collect()),
            Ok(Err(error)) => Jobs::Unreadable(note(&error.to_string())),
            Err(_) => Jobs::Unreadable(
                "The state of jobs did not respond in time; check what state_store names."
                    .to_owned(),
            ),
        };
        *last = Some((Instant::now(), jobs.clone()));
        jobs
    }
}

fn line(entry: &Entry, now: Timestamp) -> JobLine {
    let record = &entry.record;
    let (state, text) = if let Some(errors) = &entry.unusable {
        (JobState::Invalid, Some(errors.to_string()))
    } else if let Some(reason) = &record.disabled_reason {
        (JobState::Disabled, Some(reason.clone()))
    } else if record.paused {
        (JobState::Paused, record.last_error.clone())
    } else if record.is_running(now) {
        (JobState::Running, record.last_error.clone())
    } else if record.last_run_at.is_none() {
        (JobState::New, None)
    } else if record.last_error.is_some() {
        (JobState::Failed, record.last_error.clone())
    } else {
        (JobState::Complete, record.last_warnings.first().cloned())
    };
    let definition = entry.definition.as_ref();
    JobLine {
        name: escaped(&entry.name).into_owned(),
        kind: definition.map(|it| it.kind),
        schedule: definition.and_then(|it| it.schedule),
        state,
        last_run: record.last_run_at,
        samples: record.last_rows_ingested,
        note: text.map(|text| note(&text)),
    }
}

fn note(text: &str) -> String {
    truncate(&escaped(text), MAX_NOTE_BYTES).into_owned()
}
