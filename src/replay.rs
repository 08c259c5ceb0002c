//! `bootstrap replay`: dead letters from files, logs and queues are written again.
//!
//! [`Source`] says what is replayed and [`Target`] to where, [`lines`] finds letters in text, [`files`] and
//! [`queue`] go through a source and leave in it what is still not stored, or for another target. Everything may be replayed twice: the
//! same record is stored once.

pub mod files;
pub mod lines;
pub mod queue;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::dead_letter::{Letter, Place, lines as lines_of};
use crate::ingest::Ingester;
pub use crate::ingest::{Fallback, Replayed};

/// Letters of one write.
const LETTERS_AT_ONCE: usize = 1_000;
/// Bytes of letters that are written at a time, unless one alone has more.
const MAX_BATCH_BYTES: usize = 128 << 10;

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

/// To where letters are written again.
pub trait Target: Send + Sync {
    /// Whether it is for this letter; another one stays where it is.
    fn takes(&self, letter: &Letter) -> bool;

    /// Writes the samples of letters that it takes. What is left stays where it was.
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
    /// How long one write may take.
    timeout: Duration,
}

impl Target for ToTimestream<'_> {
    fn takes(&self, letter: &Letter) -> bool {
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
    /// Through `ingester`, each of whose writes may take `timeout`.
    pub fn new(ingester: &'c Ingester, fallback: Fallback, timeout: Duration) -> Self {
        Self {
            ingester,
            fallback,
            timeout,
        }
    }
}

/// Writes letters again, and tells somebody how far it is.
#[derive(Debug)]
pub struct Replay<T, P> {
    target: T,
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
    /// Letters that are for others and stay, by the sink that they are for; `None` is Timestream.
    pub others: BTreeMap<Option<String>, u64>,
    /// Letters of sinks that stay because an earlier version wrote them without a name.
    pub unnamed: u64,
}

impl Summary {
    /// Whether every sample is stored.
    pub fn is_complete(&self) -> bool {
        self.replayed.left.is_empty() && self.unreadable == 0 && self.problems.is_empty()
    }

    /// Adds what became of letters; of those that are left one stays here, which tells why.
    fn add(&mut self, mut replayed: Replayed) {
        let has_words = |letter: &Letter| !letter.message.is_empty();
        let left = std::mem::take(&mut replayed.left);
        self.replayed.add(replayed);
        if !self.replayed.left.iter().any(has_words) {
            let example = left.iter().position(has_words).unwrap_or_default();
            self.replayed.left.extend(left.into_iter().nth(example));
        }
    }

    fn other(&mut self, letter: Letter) {
        match letter.is_of_unnamed_sink() {
            true => self.unnamed += 1,
            false => *self.others.entry(letter.connector).or_default() += 1,
        }
    }

    fn unreadable(&mut self, place: &str, fault: &str) {
        self.unreadable += 1;
        self.first_unreadable
            .get_or_insert_with(|| format!("{place}: {fault}"));
    }
}

impl<T: Target, P: Progress> Replay<T, P> {
    /// A replay to `target`.
    pub fn new(target: T, progress: P) -> Self {
        Self {
            target,
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

    /// Writes letters, which are none afterwards, and calls `keep` with the line of each that is left.
    async fn write(
        &self,
        letters: &mut Vec<Letter>,
        summary: &mut Summary,
        keep: &mut (impl FnMut(&str) + Send),
    ) {
        if letters.is_empty() {
            return;
        }
        let replayed = self.target.write(letters, self.deadline).await;
        letters.clear();
        lines_of(&replayed.left).lines().for_each(keep);
        summary.add(replayed);
    }
}
