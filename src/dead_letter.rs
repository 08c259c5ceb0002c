//! Dead letters: samples that can never be stored as they are, to be replayed once the cause is fixed.
//!
//! [`letter`] is their text form, [`folder`] stores them in files, [`queue`] in SQS. Without a target they go to
//! the log, which `bootstrap replay` reads as well.

pub mod folder;
pub mod letter;
pub mod queue;

use std::fmt;
use std::io;
use std::path::PathBuf;

use aws_config::SdkConfig;

use crate::causes::without_secrets;

pub use folder::Folder;
pub use letter::{Letter, LetterError};
pub use queue::{Queue, QueueError};

/// Letters of one request that go to the log.
const MAX_LOGGED: usize = 100;
/// Letters of a request that are in memory at a time.
const MAX_AT_ONCE: usize = 1_000;

/// The configured target of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterTarget {
    /// `file:DIR`: files in a folder.
    Folder(PathBuf),
    /// `sqs:QUEUE_URL`: a standard queue.
    Queue(String),
}

impl DeadLetterTarget {
    /// Reads `file:DIR` or `sqs:QUEUE_URL`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(folder) = text.strip_prefix("file:") {
            return (!folder.is_empty()).then(|| Self::Folder(folder.into()));
        }
        let url = text.strip_prefix("sqs:")?;
        let is_url = url.starts_with("https://") || url.starts_with("http://");
        // A FIFO queue would need a group, and drops messages that it takes for repetitions.
        (is_url && !url.ends_with(".fifo")).then(|| Self::Queue(url.to_owned()))
    }
}

impl fmt::Display for DeadLetterTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file:{}", path.display()),
            Self::Queue(url) => write!(f, "sqs:{}", without_secrets(url)),
        }
    }
}

/// Stores dead letters.
#[derive(Clone, Debug)]
pub enum DeadLetters {
    /// In the log, as far as a bound.
    Log,
    /// In files.
    Folder(Folder),
    /// In a queue.
    Queue(Queue),
}

/// The error of letters that could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// The file cannot be written.
    #[error("the dead letter file cannot be written: {0}")]
    File(#[from] io::Error),
    /// The queue did not accept them.
    #[error("the dead letter queue cannot be written: {0}")]
    Queue(#[from] QueueError),
    /// The queue did not respond in time.
    #[error("the dead letter queue did not respond in time")]
    Timeout,
}

impl DeadLetters {
    /// Opens the configured target; the log, if there is none.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(target: Option<&DeadLetterTarget>, shared: &SdkConfig) -> io::Result<Self> {
        Ok(match target {
            None => Self::Log,
            Some(DeadLetterTarget::Folder(path)) => Self::Folder(Folder::open(path)?),
            Some(DeadLetterTarget::Queue(url)) => Self::Queue(Queue::new(shared, url)),
        })
    }

    /// Returns true if letters are stored for good, and not just logged.
    pub fn is_persistent(&self) -> bool {
        !matches!(self, Self::Log)
    }

    /// Stores letters as [`Self::store`] does, and makes each when it is needed: a letter copies all labels of
    /// its series, and a request can have many.
    ///
    /// # Errors
    /// At least one of them is not stored.
    pub async fn store_all(
        &self,
        mut letters: impl ExactSizeIterator<Item = Letter>,
    ) -> Result<(), DeadLetterError> {
        if let Self::Log = self {
            let first: Vec<_> = letters.by_ref().take(MAX_LOGGED).collect();
            log(&first, letters.len());
            return Ok(());
        }
        loop {
            let some: Vec<_> = letters.by_ref().take(MAX_AT_ONCE).collect();
            if some.is_empty() {
                return Ok(());
            }
            self.store(&some).await?;
        }
    }

    /// Stores `letters`; when this returns they are safe, unless they only went to the log.
    ///
    /// # Errors
    /// At least one of them is not stored.
    pub async fn store(&self, letters: &[Letter]) -> Result<(), DeadLetterError> {
        match self {
            Self::Log => {
                let (first, more) = letters.split_at(letters.len().min(MAX_LOGGED));
                log(first, more.len());
            }
            Self::Folder(folder) => {
                let (folder, lines) = (folder.clone(), lines(letters));
                let append = move || folder.append(lines.as_bytes());
                let appended = tokio::task::spawn_blocking(append).await;
                appended
                    .unwrap_or_else(|_| Err(io::Error::other("the runtime is shutting down")))?;
            }
            Self::Queue(queue) => {
                for line in queue.send(&lines(letters)).await?.too_long {
                    // A later try of the sender could not store it either.
                    tracing::error!(
                        error = "no message of the queue can hold it",
                        dead_letter = line,
                        "Sample not stored; bootstrap replay can write it again from this line."
                    );
                }
            }
        }
        Ok(())
    }
}

/// Returns one line for each letter.
pub fn lines(letters: &[Letter]) -> String {
    letters.iter().map(|letter| format!("{letter}\n")).collect()
}

/// Logs `letters`, and the number of those that are not logged.
fn log(letters: &[Letter], more: usize) {
    for letter in letters {
        tracing::error!(
            error = letter.message,
            reason = letter.reason,
            dead_letter = letter.to_string(),
            "Sample not stored; bootstrap replay can write it again from this line."
        );
    }
    if more > 0 {
        tracing::error!(
            error = "too many for the log: set dead_letter to store all",
            letters = more,
            "More samples of the same request are not stored."
        );
    }
}
