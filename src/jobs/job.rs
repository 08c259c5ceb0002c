//! The interface between the runner and a type of job.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::secret::{Secrets, Unresolved};
use crate::dead_letter::Letter;
use crate::ingest::{Ingester, Replayed};
use crate::query::Querier;
use crate::state::StateError;
use crate::storage::destination::Destination;
use crate::storage::write::series::IgnoreReason;

/// A job: one definition, its `config` checked.
pub trait Job: fmt::Debug + Send + Sync {
    /// Does the work of one tick, or of one call by hand.
    fn run<'a>(&'a self, run: &'a JobContext<'a>) -> BoxFuture<'a, Report>;

    /// Delivers pushed rows; `None` if the type accepts none. The samples that the report counts as stored
    /// or rejected are settled; the sender must push all others again.
    fn push_rows<'a>(
        &'a self,
        run: &'a JobContext<'a>,
        rows: &'a [u8],
    ) -> Option<BoxFuture<'a, Report>> {
        let _ = (run, rows);
        None
    }

    /// Returns the bytes that [`Self::push_rows`] occupies at most, besides the `len` bytes of rows.
    fn rows_memory(&self, len: usize) -> usize {
        let _ = len;
        0
    }

    /// Returns true if [`Self::resend`] is implemented.
    fn resends(&self) -> bool {
        false
    }

    /// Sends dead letters of this job again; `None` if the type has none. Returns the letters that failed
    /// again with their reasons, and stores none.
    fn resend<'a>(
        &'a self,
        run: &'a JobContext<'a>,
        letters: &'a [Letter],
    ) -> Option<BoxFuture<'a, Replayed>> {
        let _ = (run, letters);
        None
    }

    /// Returns true if the type accepts rows.
    fn accepts_rows(&self) -> bool {
        false
    }
}

/// Everything that a run works with.
#[derive(Clone, Copy)]
pub struct JobContext<'a> {
    /// The name of the job.
    pub name: &'a str,
    /// The destination of samples; the table is empty if the type needs none.
    pub destination: &'a Destination,
    /// Start of the tick's bucket; by hand the time of the call.
    pub scheduled_for: Timestamp,
    /// The time by which the run must end; `None` if no caller waits.
    pub deadline: Option<Instant>,
    /// Cancelled when the run is to end early: finish the present call, save the cursor, return
    /// [`RunError::Interrupted`].
    pub stop: &'a CancellationToken,
    /// Writes samples: [`Ingester::write_to`].
    pub ingester: &'a Ingester,
    /// Reads stored samples.
    pub querier: &'a Querier,
    /// Outgoing HTTP.
    pub http: &'a Client,
    /// Resolves references to secrets.
    pub secrets: &'a Secrets,
    /// The texts that the job has saved.
    pub cursors: &'a dyn Cursors,
    /// Receives the progress of the run.
    pub progress: &'a dyn Progress,
    /// Counts of the samples that are settled by now.
    pub tally: &'a Tally,
    /// The time of day.
    pub now: fn() -> Timestamp,
}

/// Counts of a run that has not ended, so that a dropped run is counted too.
#[derive(Debug, Default)]
pub struct Tally {
    rows: AtomicU64,
    received: AtomicU64,
    rejected: AtomicU64,
}

impl Tally {
    /// Replaces the counts; they mean the same as those of a [`Report`].
    pub fn set(&self, rows: u64, received: u64, rejected: u64) {
        self.rows.store(rows, Ordering::Relaxed);
        self.received.store(received, Ordering::Relaxed);
        self.rejected.store(rejected, Ordering::Relaxed);
    }

    /// Returns a report of these counts alone.
    pub fn report(&self) -> Report {
        Report {
            rows: self.rows.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            ..Report::default()
        }
    }
}

/// Texts by key that survive a run; each job has its own.
pub trait Cursors: Send + Sync {
    /// Returns the text that was last set.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<String>, StateError>>;

    /// Saves a text; it is safe when this returns.
    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), StateError>>;

    /// Deletes all texts.
    fn clear(&self) -> BoxFuture<'_, Result<(), StateError>>;
}

/// The result of a run; histograms and exemplars count as samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples that are stored; of a sink, samples that are delivered.
    pub rows: u64,
    /// Samples that the source returned.
    pub received: u64,
    /// Samples that the job adds to them, such as `up` and stale markers.
    pub added: u64,
    /// Samples that are not stored: they never can be, were dropped by policy or failed without a retry. Once a run is
    /// over, these and those stored are those received and added.
    pub rejected: u64,
    /// Those of them that were dropped by policy.
    pub ignored: BTreeMap<IgnoreReason, u64>,
    /// Samples written to the dead-letter target; they count as rejected too.
    pub dead_lettered: u64,
    /// The reason for which the run is not complete; `None` if it is.
    pub error: Option<RunError>,
    /// Problems that did not end the run.
    pub warnings: Vec<String>,
}

/// The reason for which a run is not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// This run failed; the next tick retries.
    #[error("{0}")]
    Failed(String),
    /// The job is disabled until it is resumed.
    #[error("{0}")]
    Disable(String),
    /// The run was stopped early; the next one resumes at the cursor.
    #[error("interrupted before the end")]
    Interrupted,
    /// More rows were pushed than one delivery may have; none of them is delivered.
    #[error("{0}")]
    TooManyRows(String),
}

impl From<Unresolved> for RunError {
    fn from(unresolved: Unresolved) -> Self {
        Self::Disable(unresolved.to_string())
    }
}

impl From<StateError> for RunError {
    fn from(error: StateError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Report {
    /// Returns true if every sample is stored or can never be, so pushing it again cannot help.
    pub fn is_settled(&self) -> bool {
        self.rows + self.rejected >= self.received
            && !matches!(
                self.error,
                Some(RunError::Disable(_) | RunError::Interrupted | RunError::TooManyRows(_))
            )
    }

    /// Returns the report of a run that only failed.
    pub fn failed(error: impl Into<RunError>) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::default()
        }
    }
}

/// Receives the progress of a run, in units of the type's own.
pub trait Progress: Send + Sync {
    /// Adds units that are to be done.
    fn expect(&self, units: u64);
    /// Adds units that are done.
    fn advance(&self, units: u64);
    /// Adds a message for a person who watches.
    fn line(&self, text: &str);
}

/// Discards the progress.
impl Progress for () {
    fn expect(&self, _units: u64) {}
    fn advance(&self, _units: u64) {}
    fn line(&self, _text: &str) {}
}
