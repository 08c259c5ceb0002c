//! Replay of dead letters from files, logs and queues.
//!
//! A [`Source`] is replayed to a [`Target`]. [`lines`] finds letters in text; [`files`] and [`queue`] read a
//! source and leave in it the letters that are still not stored or are for another target. Everything may be
//! replayed twice: the same record is stored once.

pub mod files;
pub mod lines;
pub mod queue;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::dead_letter::{DeadLetterTarget, Letter, lines as lines_of};
use crate::ingest::Ingester;
pub use crate::ingest::{Fallback, Replayed};

/// Letters of one write.
const LETTERS_AT_ONCE: usize = 1_000;
/// Bytes of letters that are written at a time, unless one alone has more.
const MAX_BATCH_BYTES: usize = 128 << 10;

/// The source of a replay.
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
        match DeadLetterTarget::parse(text) {
            Some(DeadLetterTarget::Queue(url)) => Self::Queue(url),
            Some(DeadLetterTarget::Folder(path)) => Self::Folder(path),
            None if Path::new(text).is_dir() => Self::Folder(text.into()),
            None => Self::File(text.into()),
        }
    }
}

/// The target of a replay.
pub trait Target: Send + Sync {
    /// Returns true if this letter is for the target; other letters stay where they are.
    fn accepts(&self, letter: &Letter) -> bool;

    /// Writes the samples of letters that it accepts. Letters that are left stay where they were.
    fn write<'a>(
        &'a self,
        letters: &'a [Letter],
        deadline: Option<Instant>,
    ) -> BoxFuture<'a, Replayed>;
}

/// Letters without a sink, to Timestream.
#[derive(Debug)]
pub struct ToTimestream<'c> {
    ingester: &'c Ingester,
    fallback: Fallback,
    /// The longest time of one write.
    timeout: Duration,
}

impl Target for ToTimestream<'_> {
    fn accepts(&self, letter: &Letter) -> bool {
        letter.connector.is_none() && !letter.is_of_unnamed_sink()
    }

    fn write<'a>(
        &'a self,
        letters: &'a [Letter],
        deadline: Option<Instant>,
    ) -> BoxFuture<'a, Replayed> {
        let own = Instant::now() + self.timeout;
        let deadline = deadline.map_or(own, |end| end.min(own));
        let replay = self.ingester.replay(letters, &self.fallback, deadline);
        replay.boxed()
    }
}

impl<'c> ToTimestream<'c> {
    /// Returns a target that writes with `ingester`, each time for at most `timeout`.
    pub fn new(ingester: &'c Ingester, fallback: Fallback, timeout: Duration) -> Self {
        Self {
            ingester,
            fallback,
            timeout,
        }
    }
}

/// Writes letters again, and reports its progress.
#[derive(Debug)]
pub struct Replay<T, P> {
    target: T,
    /// The time at which all writes must be over.
    deadline: Option<Instant>,
    progress: P,
}

/// Receives the progress of a replay.
pub trait Progress {
    /// Adds to the number of bytes to read.
    fn expect(&self, bytes: u64);
    /// Adds to the number of bytes that were read.
    fn advance(&self, bytes: u64);
}

/// Ignores the progress.
impl Progress for () {
    fn expect(&self, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
}

/// The outcome of a replay.
#[derive(Debug, Default)]
pub struct Summary {
    /// The outcome of the letters; those left are still in the source.
    pub replayed: Replayed,
    /// Number of lines that look like letters and cannot be read.
    pub unreadable: u64,
    /// The error of the first of them, with its place.
    pub first_unreadable: Option<String>,
    /// Errors of sources that could not be read or rewritten.
    pub problems: Vec<String>,
    /// Letters that are for other targets and stay, by sink; `None` is Timestream.
    pub others: BTreeMap<Option<String>, u64>,
    /// Letters of sinks that stay because an earlier version wrote them without a name.
    pub unnamed: u64,
}

impl Summary {
    /// Returns true if every sample is stored.
    pub fn is_complete(&self) -> bool {
        self.replayed.left.is_empty() && self.unreadable == 0 && self.problems.is_empty()
    }

    /// Adds the outcome of letters; of those that are left one stays here, as an example of the reason.
    fn add(&mut self, mut replayed: Replayed) {
        let has_message = |letter: &Letter| !letter.message.is_empty();
        let left = std::mem::take(&mut replayed.left);
        self.replayed.add(replayed);
        if !self.replayed.left.iter().any(has_message) {
            let example = left.iter().position(has_message).unwrap_or_default();
            self.replayed.left.extend(left.into_iter().nth(example));
        }
    }

    fn other(&mut self, letter: Letter) {
        match letter.is_of_unnamed_sink() {
            true => self.unnamed += 1,
            false => *self.others.entry(letter.connector).or_default() += 1,
        }
    }

    fn unreadable(&mut self, place: &str, error: &str) {
        self.unreadable += 1;
        self.first_unreadable
            .get_or_insert_with(|| format!("{place}: {error}"));
    }
}

impl<T: Target, P: Progress> Replay<T, P> {
    /// Returns a replay to `target`.
    pub fn new(target: T, progress: P) -> Self {
        Self {
            target,
            deadline: None,
            progress,
        }
    }

    /// Sets the time at which everything must be over; letters that are not stored by then are left.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }

    /// Returns true once the deadline has passed.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|end| end <= Instant::now())
    }

    /// Writes the letters, empties the list, and calls `leave` with the line of each letter that is left.
    async fn write(
        &self,
        letters: &mut Vec<Letter>,
        summary: &mut Summary,
        leave: &mut (impl FnMut(&str) + Send),
    ) {
        if letters.is_empty() {
            return;
        }
        let replayed = self.target.write(letters, self.deadline).await;
        letters.clear();
        lines_of(&replayed.left).lines().for_each(leave);
        summary.add(replayed);
    }
}
