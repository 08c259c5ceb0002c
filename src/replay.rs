//! `bootstrap replay`: dead letters from files, logs and queues are written to Timestream again.
//!
//! [`Source`] says what is replayed, [`lines`] finds letters in text, [`files`] and [`queue`] go
//! through a source and leave in it what is still not stored. Everything may be replayed twice: the
//! same record is stored once.

pub mod files;
pub mod lines;
pub mod queue;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::connector::Connector;
pub use crate::connector::{Fallback, Replayed};
use crate::dead_letter::{Letter, Place};

/// Letters of one write.
const LETTERS_AT_ONCE: usize = 1_000;

/// What is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of letters, or a log with letters in its lines.
    File(PathBuf),
    /// The folder of `dead_letter=file:DIR`.
    Folder(PathBuf),
    /// The queue of `dead_letter=sqs:QUEUE_URL`, by its URL.
    Queue(String),
}

impl Source {
    /// Reads `sqs:QUEUE_URL`, `file:DIR`, or a path, which is looked at to tell a folder from a file.
    pub fn of(text: &str) -> Self {
        match Place::parse(text) {
            Some(Place::Queue(url)) => Self::Queue(url),
            Some(Place::Folder(path)) => Self::Folder(path),
            None if Path::new(text).is_dir() => Self::Folder(text.into()),
            None => Self::File(text.into()),
        }
    }
}

/// Writes letters again, and tells somebody how far it is.
#[derive(Debug)]
pub struct Replay<'c, P> {
    connector: &'c Connector,
    fallback: Fallback,
    /// How long one write may take.
    timeout: Duration,
    /// When all writes have to be over.
    deadline: Option<Instant>,
    progress: P,
}

/// Is told how far a replay is.
pub trait Progress {
    /// So many bytes are to be gone through, in addition to those before.
    fn expect(&self, bytes: u64);
    /// So many of them have been.
    fn advance(&self, bytes: u64);
}

/// Nobody is told.
impl Progress for () {
    fn expect(&self, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
}

/// What a replay did.
#[derive(Debug, Default)]
pub struct Summary {
    /// What became of the letters; those left are still in the source.
    pub replayed: Replayed,
    /// Lines that look like letters and cannot be read, the first with its fault.
    pub unreadable: u64,
    /// What is wrong with the first of them, and where it is.
    pub first_unreadable: Option<String>,
    /// What could not be gone through, or not be left as it should be.
    pub problems: Vec<String>,
}

impl Summary {
    /// Whether every sample is stored.
    pub fn is_complete(&self) -> bool {
        self.replayed.left.is_empty() && self.unreadable == 0 && self.problems.is_empty()
    }

    pub(super) fn unreadable(&mut self, place: &str, fault: &str) {
        self.unreadable += 1;
        self.first_unreadable
            .get_or_insert_with(|| format!("{place}: {fault}"));
    }
}

impl<'c, P: Progress> Replay<'c, P> {
    /// A replay through `connector`, each of whose writes may take `timeout`.
    pub fn new(
        connector: &'c Connector,
        fallback: Fallback,
        timeout: Duration,
        progress: P,
    ) -> Self {
        Self {
            connector,
            fallback,
            timeout,
            deadline: None,
            progress,
        }
    }

    /// With a moment at which everything has to be over; what is not stored by then is left.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }

    /// Returns true once everything has to be over.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|end| end <= Instant::now())
    }

    async fn write(&self, letters: &[Letter]) -> Replayed {
        let mut replayed = Replayed::default();
        for part in letters.chunks(LETTERS_AT_ONCE) {
            let deadline = Instant::now() + self.timeout;
            let deadline = self.deadline.map_or(deadline, |end| end.min(deadline));
            replayed.add(self.connector.replay(part, &self.fallback, deadline).await);
        }
        replayed
    }
}
