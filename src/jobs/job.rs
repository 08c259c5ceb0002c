//! What running a connector definition and the type of it have to do with one another.

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
use crate::model::Destination;
use crate::query::Querier;
use crate::state::StateError;

/// One connector definition, its `config` checked.
pub trait Job: fmt::Debug + Send + Sync {
    /// Does the work of one tick, or of one call by hand.
    fn run<'a>(&'a self, run: &'a JobContext<'a>) -> BoxFuture<'a, Report>;

    /// Takes rows that somebody hands over, where the type does so. When this is over, the samples that
    /// the report counts as stored or rejected are settled; whoever handed over others has to do so
    /// again.
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

    /// Whether [`Self::resend`] does so.
    fn resends(&self) -> bool {
        false
    }

    /// Sends dead letters of this definition again, where the type does so; returns those that are left
    /// with their reasons, and stores none.
    fn resend<'a>(
        &'a self,
        run: &'a JobContext<'a>,
        letters: &'a [Letter],
    ) -> Option<BoxFuture<'a, Replayed>> {
        let _ = (run, letters);
        None
    }
}

/// What a run has to work with.
#[derive(Clone, Copy)]
pub struct JobContext<'a> {
    /// The definition's name.
    pub name: &'a str,
    /// Where rows go; the table is empty where the type does without.
    pub destination: &'a Destination,
    /// Start of the tick's bucket; by hand the time of the call.
    pub scheduled_for: Timestamp,
    /// When all has to be over; `None` where nobody waits.
    pub deadline: Option<Instant>,
    /// Cancelled when the run is to end early: finish the present call, save the cursor, return
    /// [`RunError::Interrupted`].
    pub stop: &'a CancellationToken,
    /// By which samples are written: [`Ingester::write_to`].
    pub ingester: &'a Ingester,
    /// By which stored samples are read.
    pub querier: &'a Querier,
    /// Outgoing HTTP.
    pub http: &'a Client,
    /// Resolves references to secrets.
    pub secrets: &'a Secrets,
    /// What the definition has saved.
    pub cursors: &'a dyn Cursors,
    /// Who is told how far the run is.
    pub progress: &'a dyn Progress,
    /// Counts of the samples that are settled by now.
    pub tally: &'a Tally,
    /// The time of day.
    pub now: fn() -> Timestamp,
}

/// Counts of a run that has not ended yet, so that a run that is dropped is counted too.
#[derive(Debug, Default)]
pub struct Tally {
    rows: AtomicU64,
    received: AtomicU64,
    rejected: AtomicU64,
}

impl Tally {
    /// Replaces the counts, which mean what those of a [`Report`] do.
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

/// Texts by key that survive a run, those of one definition.
pub trait Cursors: Send + Sync {
    /// The text that was last set.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<String>, StateError>>;

    /// Saves a text; it is safe when this returns.
    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), StateError>>;

    /// Forgets all texts.
    fn clear(&self) -> BoxFuture<'_, Result<(), StateError>>;
}

/// What became of a run; histograms and exemplars count as samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples that are stored now.
    pub rows: u64,
    /// Samples that the source gave.
    pub received: u64,
    /// Samples that cannot be stored, or were left out by policy.
    pub rejected: u64,
    /// Samples kept as dead letters; they count as rejected too.
    pub dead_lettered: u64,
    /// Why the run is not complete, if so.
    pub error: Option<RunError>,
    /// What somebody should know though the run went on.
    pub warnings: Vec<String>,
}

/// Why a run is not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// This run failed; the next tick tries again.
    #[error("{0}")]
    Failed(String),
    /// Nothing runs until somebody resumes the definition.
    #[error("{0}")]
    Disable(String),
    /// It was told to stop; the cursor says where to go on.
    #[error("interrupted before the end")]
    Interrupted,
    /// More rows were handed over than one delivery may have; none of them is delivered.
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
    /// Whether every sample is stored or can never be, so that to hand it over again cannot help.
    pub fn is_settled(&self) -> bool {
        self.rows + self.rejected >= self.received
            && !matches!(
                self.error,
                Some(RunError::Disable(_) | RunError::Interrupted | RunError::TooManyRows(_))
            )
    }

    /// A run that did nothing else but fail.
    pub fn failed(error: impl Into<RunError>) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::default()
        }
    }
}

/// Is told how far a run is; units are the type's own.
pub trait Progress: Send + Sync {
    /// So many units are to be done, in addition to those before.
    fn expect(&self, units: u64);
    /// So many of them are.
    fn advance(&self, units: u64);
    /// Something that somebody who watches should read.
    fn line(&self, text: &str);
}

/// Nobody is told.
impl Progress for () {
    fn expect(&self, _units: u64) {}
    fn advance(&self, _units: u64) {}
    fn line(&self, _text: &str) {}
}
