//! Where samples go that no later try can store, so that they can be written again when what kept
//! them out is mended.
//!
//! [`letter`] is their text form, [`folder`] keeps them in files, [`queue`] in SQS; where neither is
//! configured they go to the log, which `bootstrap replay` reads as well.

pub mod folder;
pub mod letter;
pub mod queue;

use std::fmt;
use std::io;
use std::path::PathBuf;

use aws_config::SdkConfig;

pub use folder::Folder;
pub use letter::{Letter, LetterError};
pub use queue::{Queue, QueueError};

/// Letters of one request that go to the log.
const MAX_LOGGED: usize = 100;
/// Letters of a request that are in memory at a time.
const MAX_AT_ONCE: usize = 1_000;

/// Where dead letters are kept, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `file:DIR`: files in a folder.
    Folder(PathBuf),
    /// `sqs:QUEUE_URL`: a standard queue.
    Queue(String),
}

impl Place {
    /// Reads `file:DIR` or `sqs:QUEUE_URL`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(folder) = text.strip_prefix("file:") {
            return (!folder.is_empty()).then(|| Self::Folder(folder.into()));
        }
        let url = text.strip_prefix("sqs:")?;
        let is_url = url.starts_with("https://") || url.starts_with("http://");
        // A FIFO queue would need a group and drops what it takes for a repetition.
        (is_url && !url.ends_with(".fifo")).then(|| Self::Queue(url.to_owned()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file:{}", path.display()),
            Self::Queue(url) => write!(f, "sqs:{url}"),
        }
    }
}

/// Keeps dead letters.
#[derive(Clone, Debug)]
pub enum DeadLetters {
    /// In the log, as far as a bound.
    Log,
    /// In files.
    Folder(Folder),
    /// In a queue.
    Queue(Queue),
}

/// Letters that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The file cannot be written.
    #[error("the dead letter file cannot be written: {0}")]
    File(#[from] io::Error),
    /// The queue did not take them.
    #[error("the dead letter queue cannot be written: {0}")]
    Queue(#[from] QueueError),
    /// The queue did not answer in time.
    #[error("the dead letter queue did not answer in time")]
    Timeout,
}

impl DeadLetters {
    /// Opens what is configured; the log, if nothing is.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(place: Option<&Place>, shared: &SdkConfig) -> io::Result<Self> {
        Ok(match place {
            None => Self::Log,
            Some(Place::Folder(path)) => Self::Folder(Folder::open(path)?),
            Some(Place::Queue(url)) => Self::Queue(Queue::new(shared, url)),
        })
    }

    /// Whether letters are kept for good.
    pub fn are_kept(&self) -> bool {
        !matches!(self, Self::Log)
    }

    /// As [`Self::keep`], of letters that are made as they are needed: one copies all labels of its
    /// series, and a request can have many.
    ///
    /// # Errors
    /// At least one of them is not kept.
    pub async fn keep_all(
        &self,
        mut letters: impl ExactSizeIterator<Item = Letter>,
    ) -> Result<(), KeepError> {
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
            self.keep(&some).await?;
        }
    }

    /// Keeps `letters`; when this returns they are safe, unless they only went to the log.
    ///
    /// # Errors
    /// At least one of them is not kept.
    pub async fn keep(&self, letters: &[Letter]) -> Result<(), KeepError> {
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
                    // No later try of the sender could keep it either.
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

/// One line for each letter.
pub fn lines(letters: &[Letter]) -> String {
    letters.iter().map(|letter| format!("{letter}\n")).collect()
}

/// Logs `letters`, and that there are so many more.
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
            error = "too many for the log: set dead_letter to keep all",
            letters = more,
            "More samples of the same request are not stored."
        );
    }
}
