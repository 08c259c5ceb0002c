//! The batches of records that event sources send to a function, and the responses to them.
//!
//! These are the parts of the shapes that have a use here. `aws_lambda_events` has all of them, but its
//! `sqs` and `kinesis` features bring more crates than these few lines save.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::replay::{Progress, Replay, Summary, Target};

/// Records of an event: the largest batch that AWS sends from a queue or a stream
/// (<https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>, `BatchSize`).
pub(super) const MAX_RECORDS: usize = 10_000;

/// The event that a queue sends to a function
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>).
#[derive(Clone, Debug, Deserialize)]
pub struct SqsEvent {
    /// The messages; more than AWS sends at once are an error.
    #[serde(rename = "Records", deserialize_with = "records")]
    pub records: Vec<SqsMessage>,
}

/// A message of a queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsMessage {
    /// The identifier of the message in the response.
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

impl SqsMessage {
    /// Returns the attribute `connector`: the sink that the rows of the message are for.
    pub fn connector(&self) -> Option<&str> {
        let attribute = self.message_attributes.as_ref()?.connector.as_ref()?;
        attribute.string_value.as_deref()
    }
}

/// The event that a stream sends to a function
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>).
#[derive(Debug, Deserialize)]
pub(super) struct KinesisEvent {
    /// The records; more than AWS sends at once are an error.
    #[serde(rename = "Records", deserialize_with = "records")]
    pub(super) records: Vec<KinesisRecord>,
}

/// A record of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct KinesisRecord {
    pub(super) kinesis: Kinesis,
}

/// The content of a record.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kinesis {
    /// The identifier of the record in the response.
    pub(super) sequence_number: String,
    /// Rows.
    #[serde(deserialize_with = "base64")]
    pub(super) data: Vec<u8>,
}

/// The response to a batch of messages: the queue removes those that it does not name
/// (`ReportBatchItemFailures`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsBatchResponse {
    /// The messages that the queue must keep.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// The response to a batch of records: the stream sends again from the first one that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KinesisBatchResponse {
    /// The records that the stream must send again.
    pub(super) batch_item_failures: Vec<BatchItemFailure>,
}

/// A message or record that must come again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The identifier of the message or record.
    pub item_identifier: String,
}

/// Returns the failures of these messages or records.
pub(super) fn failures(ids: impl IntoIterator<Item = String>) -> Vec<BatchItemFailure> {
    let ids = ids.into_iter();
    ids.map(|item_identifier| BatchItemFailure { item_identifier })
        .collect()
}

/// Replays the letters in the messages of an event; the response names the messages that the queue must keep.
pub async fn replay_event<T: Target, P: Progress>(
    replay: &Replay<T, P>,
    event: &SqsEvent,
    summary: &mut Summary,
) -> SqsBatchResponse {
    let mut rest = Vec::new();
    for message in &event.records {
        let is_stored = replay.body(&message.message_id, &message.body, summary);
        if !is_stored.await {
            rest.push(message.message_id.clone());
        }
    }
    SqsBatchResponse {
        batch_item_failures: failures(rest),
    }
}

/// Reads the records of an event, at most [`MAX_RECORDS`].
fn records<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
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

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let decoded = STANDARD.decode(text);
    decoded.map_err(|error| D::Error::custom(format!("kinesis.data is not Base64: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_as_many_records_as_aws_sends() {
        let event = |len: usize| {
            let message = serde_json::json!({"messageId": "1", "body": "x"});
            let event = serde_json::json!({"Records": vec![message; len]}).to_string();
            serde_json::from_str::<SqsEvent>(&event)
        };
        assert_eq!(event(MAX_RECORDS).unwrap().records.len(), MAX_RECORDS);
        let error = event(MAX_RECORDS + 1).unwrap_err().to_string();
        assert!(error.contains("more than 10000 records"), "{error}");
    }
}
