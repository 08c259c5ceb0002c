//! Dead letters in SQS: all messages of a queue, or one that a queue has sent to a function.

use std::collections::HashSet;
use std::time::Instant;

use tokio::task::yield_now;

use super::lines::{Line, read};
use super::{LETTERS_AT_ONCE, MAX_BATCH_BYTES, Progress, Replay, Summary, Target};
use crate::compute::SLICE;
use crate::dead_letter::{Queue, QueueError};

/// Bytes of memory that a byte of a letter becomes at most, as a letter, as a request and as a letter that
/// is left: the 7 bytes of `[0,""],`, an empty native histogram.
const MEMORY_PER_BYTE: usize = 256;

impl<T: Target, P: Progress> Replay<T, P> {
    /// Replays every message of a queue. Letters that are still not stored stay there.
    pub async fn queue(&self, queue: &Queue, summary: &mut Summary) {
        if let Err(error) = self.try_queue(queue, summary).await {
            summary.problems.push(error.to_string());
        }
    }

    async fn try_queue(&self, queue: &Queue, summary: &mut Summary) -> Result<(), QueueError> {
        // Messages that stay are hidden from this replay, and visible again at its end.
        let mut stay = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let messages = queue.receive().await?;
            let mut any_new = false;
            for message in messages {
                if !seen.insert(message.message_id().unwrap_or_default().to_owned()) {
                    stay.push(message);
                    continue;
                }
                any_new = true;
                let body = message.body().unwrap_or_default();
                self.progress.expect(body.len() as u64);
                let place = message.message_id().unwrap_or("message");
                let mut rest = String::new();
                let stored = summary.replayed.stored;
                let leave = |line: &str| {
                    rest.push_str(line);
                    rest.push('\n');
                };
                self.message(place, body, summary, leave).await;
                self.progress.advance(body.len() as u64);
                match (!rest.is_empty()).then_some(rest) {
                    None => queue.delete(&message).await?,
                    // A letter that is rejected again may have a better message than before.
                    Some(rest) if summary.replayed.stored > stored => {
                        // The rest is safe before the whole is removed.
                        let sent = queue.send(&rest).await?;
                        seen.extend(sent.identifiers);
                        match sent.too_long.is_empty() {
                            true => queue.delete(&message).await?,
                            // No message of ours holds such a line: others made it.
                            false => stay.push(message),
                        }
                    }
                    Some(_) => stay.push(message),
                }
            }
            if !any_new {
                break;
            }
        }
        for message in &stay {
            queue.release(message).await?;
        }
        Ok(())
    }

    /// Replays the letters in the body of one message, whose identifier is `id`. Returns true if all are
    /// stored; otherwise the queue must keep the message.
    pub async fn body(&self, id: &str, body: &str, summary: &mut Summary) -> bool {
        let mut is_stored = true;
        let keep = |_: &str| is_stored = false;
        self.message(id, body, summary, keep).await;
        is_stored
    }

    /// Replays the lines of a message, a batch of letters at a time; calls `leave` with each line that is left,
    /// and notes at `place` lines that are not letters.
    async fn message(
        &self,
        place: &str,
        body: &str,
        summary: &mut Summary,
        mut leave: impl FnMut(&str) + Send,
    ) {
        let (mut letters, mut bytes) = (Vec::new(), 0);
        let mut began = Instant::now();
        for line in body.lines().filter(|line| !line.is_empty()) {
            if began.elapsed() >= SLICE {
                yield_now().await;
                began = Instant::now();
            }
            if self.is_over() {
                leave(line);
                continue;
            }
            if letters.len() >= LETTERS_AT_ONCE || bytes + line.len() > MAX_BATCH_BYTES {
                self.write(&mut letters, summary, &mut leave).await;
                bytes = 0;
            }
            let error = match read(line) {
                Line::Letter(letter) if self.target.accepts(&letter) => {
                    letters.push(*letter);
                    bytes += line.len();
                    continue;
                }
                Line::Letter(letter) => {
                    leave(line);
                    summary.other(*letter);
                    continue;
                }
                Line::Unreadable(error) => error.to_string(),
                Line::Logged(_) | Line::Other => "not a dead letter".to_owned(),
            };
            summary.unreadable(place, &error);
            leave(line);
        }
        self.write(&mut letters, summary, &mut leave).await;
    }
}

/// Returns the bytes of memory that [`Replay::body`] occupies at most for one of these bodies, besides them.
pub fn letters_memory<'b>(bodies: impl Iterator<Item = &'b str> + Clone) -> usize {
    let longest = bodies.clone().map(str::len).max().unwrap_or_default();
    let lines = bodies.flat_map(str::lines).map(str::len);
    let longest_line = lines.max().unwrap_or_default();
    MEMORY_PER_BYTE * longest.min(MAX_BATCH_BYTES).max(longest_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_charged_by_the_batch() {
        let charged =
            |messages: &[&str]| letters_memory(messages.iter().copied()) / MEMORY_PER_BYTE;
        let line = "x".repeat(1_000);
        let many = format!("{line}\n").repeat(1_000);
        assert_eq!(charged(&[]), 0);
        assert_eq!(charged(&[&line, "x", &line]), 1_000);
        assert_eq!(charged(&[&many]), MAX_BATCH_BYTES);
        let long = "x".repeat(MAX_BATCH_BYTES + 7);
        assert_eq!(charged(&[&many, &long]), MAX_BATCH_BYTES + 7);
        let histogram = size_of::<prom_model::Histogram>();
        let message = size_of::<prom_wire::prompb::Histogram>();
        // Vectors may be twice as large as they have to be. With each sample on its way to a sink go its
        // labels, shared, and the reason of its rejection.
        let memory = 4 * histogram + message + 400;
        assert!(
            memory <= MEMORY_PER_BYTE * "[0,\"\"],".len(),
            "{histogram} {message}"
        );
    }
}
