//! Dead letters in SQS: a queue that is replayed by a command, and the events that a queue sends to a
//! function.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::time::Instant;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::task::yield_now;

use super::lines::{Line, read};
use super::{LETTERS_AT_ONCE, MAX_BATCH_BYTES, Progress, Replay, Summary, Target};
use crate::compute::SLICE;
use crate::dead_letter::{Queue, QueueError};

/// Records of an event: the largest batch that AWS sends from a queue or a stream
/// (<https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>, `BatchSize`).
pub const MAX_RECORDS: usize = 10_000;
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

    /// Replays the messages of an event; the response names those that the queue must deliver again.
    pub async fn event(&self, event: &SqsEvent, summary: &mut Summary) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        for message in &event.records {
            let mut has_rest = false;
            let leave = |_: &str| has_rest = true;
            let place = &message.message_id;
            self.message(place, &message.body, summary, leave).await;
            if has_rest {
                response.batch_item_failures.push(BatchItemFailure {
                    item_identifier: message.message_id.clone(),
                });
            }
        }
        response
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

/// The event that a queue sends to a function
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>).
#[derive(Clone, Debug, Deserialize)]
pub struct SqsEvent {
    /// The messages, at most [`MAX_RECORDS`].
    #[serde(rename = "Records", deserialize_with = "records")]
    pub records: Vec<SqsMessage>,
}

/// A message of an event; what it holds besides these is of no use here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsMessage {
    /// Identifies it in the response.
    pub message_id: String,
    /// Lines of letters, or rows.
    pub body: String,
    #[serde(default)]
    message_attributes: Option<Attributes>,
}

/// The attributes of a message that have a meaning here.
#[derive(Clone, Debug, Deserialize)]
struct Attributes {
    connector: Option<Attribute>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    string_value: Option<String>,
}

impl SqsEvent {
    /// Returns the bytes of memory that [`Replay::event`] occupies at most besides the event.
    pub fn letters_memory(&self) -> usize {
        let bodies = self.records.iter().map(|message| message.body.as_str());
        let longest = bodies.clone().map(str::len).max().unwrap_or_default();
        let lines = bodies.flat_map(str::lines).map(str::len);
        let longest_line = lines.max().unwrap_or_default();
        MEMORY_PER_BYTE * longest.min(MAX_BATCH_BYTES).max(longest_line)
    }
}

impl SqsMessage {
    /// Returns the attribute `connector`: the sink that the rows of the message are for.
    pub fn connector(&self) -> Option<&str> {
        let attribute = self.message_attributes.as_ref()?.connector.as_ref()?;
        attribute.string_value.as_deref()
    }
}

/// Reads the records of an event, and no more than one can have.
pub(crate) fn records<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Records<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Records<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of records")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut records = Vec::new();
            while let Some(record) = seq.next_element()? {
                if records.len() == MAX_RECORDS {
                    return Err(A::Error::custom(format!(
                        "it has more than {MAX_RECORDS} records, the most that AWS sends at once"
                    )));
                }
                records.push(record);
            }
            Ok(records)
        }
    }

    deserializer.deserialize_seq(Records(PhantomData))
}

/// The response to an event: messages that are not named are removed from the queue
/// (`ReportBatchItemFailures`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsBatchResponse {
    /// The messages that the queue must deliver again.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A message that the queue must deliver again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The identifier of the message.
    pub item_identifier: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(messages: &[&str]) -> Result<SqsEvent, serde_json::Error> {
        let message = |body: &&str| serde_json::json!({"messageId": "1", "body": body});
        let messages: Vec<_> = messages.iter().map(message).collect();
        serde_json::from_str(&serde_json::json!({"Records": messages}).to_string())
    }

    #[test]
    fn an_event_has_as_many_records_as_aws_sends() {
        let most = event(&vec!["x"; MAX_RECORDS]).unwrap();
        assert_eq!(most.records.len(), MAX_RECORDS);
        let error = event(&vec!["x"; MAX_RECORDS + 1]).unwrap_err().to_string();
        assert!(error.contains("more than 10000 records"), "{error}");
    }

    #[test]
    fn letters_are_charged_by_the_batch() {
        let charged =
            |messages: &[&str]| event(messages).unwrap().letters_memory() / MEMORY_PER_BYTE;
        let line = "x".repeat(1_000);
        let many = format!("{line}\n").repeat(1_000);
        assert_eq!(charged(&[]), 0);
        assert_eq!(charged(&[&line, "x", &line]), 1_000);
        assert_eq!(charged(&[&many]), MAX_BATCH_BYTES);
        let long = "x".repeat(MAX_BATCH_BYTES + 7);
        assert_eq!(charged(&[&many, &long]), MAX_BATCH_BYTES + 7);
        let histogram = size_of::<crate::model::Histogram>();
        let message = size_of::<crate::prompb::Histogram>();
        // Vectors may be twice as large as they have to be. With each sample on its way to a sink go its
        // labels, shared, and why it is refused.
        let memory = 4 * histogram + message + 400;
        assert!(
            memory <= MEMORY_PER_BYTE * "[0,\"\"],".len(),
            "{histogram} {message}"
        );
    }
}
