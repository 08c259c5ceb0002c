//! Dead letters in SQS: a queue that is gone through by hand, and the events that a queue sends to
//! a function.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::lines::{Line, read};
use super::{Progress, Replay, Summary};
use crate::connector::Replayed;
use crate::dead_letter::{Letter, Queue, QueueError, lines};

impl<P: Progress> Replay<'_, P> {
    /// Replays every message of a queue. What is still not stored stays there.
    pub async fn queue(&self, queue: &Queue, summary: &mut Summary) {
        if let Err(error) = self.try_queue(queue, summary).await {
            summary.problems.push(error.to_string());
        }
    }

    async fn try_queue(&self, queue: &Queue, summary: &mut Summary) -> Result<(), QueueError> {
        // Messages that stay are hidden from this replay, and shown again at its end.
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
                let outcome = self.message(body).await;
                self.progress.advance(body.len() as u64);
                outcome.report(message.message_id().unwrap_or("message"), summary);
                match outcome.rest() {
                    None => queue.delete(&message).await?,
                    Some(rest) if rest.len() < body.len() => {
                        // The rest is safe before the whole is removed.
                        seen.extend(queue.send(&rest).await?);
                        queue.delete(&message).await?;
                    }
                    Some(_) => stay.push(message),
                }
                summary.replayed.add(outcome.replayed);
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

    /// Replays the messages of an event; the answer names those that the queue has to keep.
    pub async fn event(&self, event: &SqsEvent, summary: &mut Summary) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        for message in &event.records {
            let outcome = self.message(&message.body).await;
            outcome.report(&message.message_id, summary);
            if outcome.rest().is_some() {
                response.batch_item_failures.push(BatchItemFailure {
                    item_identifier: message.message_id.clone(),
                });
            }
            summary.replayed.add(outcome.replayed);
        }
        response
    }

    async fn message(&self, body: &str) -> MessageOutcome {
        let mut outcome = MessageOutcome::default();
        let mut letters: Vec<Letter> = Vec::new();
        for line in body.lines().filter(|line| !line.is_empty()) {
            let fault = match read(line) {
                Line::Letter(letter) => {
                    letters.push(*letter);
                    continue;
                }
                Line::Unreadable(error) => error.to_string(),
                Line::Logged(_) | Line::Other => "not a dead letter".to_owned(),
            };
            outcome.unreadable.push((line.to_owned(), fault));
        }
        outcome.replayed = self.write(&letters).await;
        outcome
    }
}

/// What became of one message.
#[derive(Debug, Default)]
struct MessageOutcome {
    replayed: Replayed,
    /// Lines that are no letters, with what is wrong with them.
    unreadable: Vec<(String, String)>,
}

impl MessageOutcome {
    fn report(&self, place: &str, summary: &mut Summary) {
        for (_, fault) in &self.unreadable {
            summary.unreadable(place, fault);
        }
    }

    /// What the queue has to keep of it.
    fn rest(&self) -> Option<String> {
        let mut rest = lines(&self.replayed.left);
        for (line, _) in &self.unreadable {
            rest.push_str(line);
            rest.push('\n');
        }
        (!rest.is_empty()).then_some(rest)
    }
}

/// The event that a queue sends to a function
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>).
#[derive(Clone, Debug, Deserialize)]
pub struct SqsEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<SqsMessage>,
}

/// A message of an event; what it holds besides these two is of no use here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsMessage {
    /// Identifies it in the answer.
    pub message_id: String,
    /// Lines of letters.
    pub body: String,
}

/// The answer to an event: messages that are not named are removed from the queue
/// (`ReportBatchItemFailures`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsBatchResponse {
    /// The messages that the queue has to keep.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A message that the queue has to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The identifier of the message.
    pub item_identifier: String,
}
