//! Rows for a sink, in the messages of a queue or the records of a stream.
//!
//! The attribute `connector` of a message names the sink of its rows; without it, and in a stream, the rows are for
//! the only sink. All rows of an event are delivered together; those that are not delivered are sent again.

use std::collections::BTreeMap;
use std::sync::Arc;

use prom_model::visible::truncate;
use prom_wire::budget::Reservation;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::records::{KinesisRecord, SqsMessage};
use crate::jobs::definition::Definition;
use crate::jobs::job::Report;
use crate::jobs::runner::{Caller, JobRunner, NotRun};
use crate::json::LONG_BYTES;
use crate::metrics::emf::EmfRecord;

/// Bytes of an invalid body that become a row; a dead letter has fewer of them.
const MAX_TEXT_BYTES: usize = 1024;

/// A message or a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The identifier in the response.
    id: String,
    /// The name of its sink, if it has one.
    connector: Option<String>,
    body: Vec<u8>,
}

impl From<SqsMessage> for Item {
    fn from(message: SqsMessage) -> Self {
        Self {
            connector: message.connector().map(str::to_owned),
            id: message.message_id,
            body: message.body.into(),
        }
    }
}

impl From<KinesisRecord> for Item {
    fn from(record: KinesisRecord) -> Self {
        Self {
            id: record.kinesis.sequence_number,
            connector: None,
            body: record.kinesis.data,
        }
    }
}

impl Item {
    /// Adds its rows to `rows`. A body that is not JSON becomes a JSON string, which is an invalid row and so a dead
    /// letter.
    fn add_rows(&self, rows: &mut Vec<u8>) {
        let mut values = serde_json::Deserializer::from_slice(&self.body).into_iter::<IgnoredAny>();
        if values.all(|value| value.is_ok()) && std::str::from_utf8(&self.body).is_ok() {
            rows.extend_from_slice(&self.body);
        } else {
            let start = &self.body[..self.body.len().min(MAX_TEXT_BYTES)];
            let text = String::from_utf8_lossy(start);
            let text = truncate(&text, MAX_TEXT_BYTES);
            rows.extend_from_slice(Value::from(text).to_string().as_bytes());
        }
        rows.push(b'\n');
    }
}

/// Returns true if a message holds dead letters: its first value has their key.
pub(super) fn holds_letters(message: &SqsMessage) -> bool {
    #[derive(Deserialize)]
    struct MaybeLetter {
        #[serde(default, deserialize_with = "is_there")]
        dead_letter: bool,
    }

    fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| true)
    }

    let body = message.body.trim_ascii_start();
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<MaybeLetter>();
    // An array would be read as the members in their order.
    message.connector().is_none()
        && body.starts_with('{')
        && values
            .next()
            .is_some_and(|first| first.is_ok_and(|it| it.dead_letter))
}

/// Returns the definitions that accept rows.
pub(super) async fn sinks(runner: &JobRunner) -> Vec<Arc<Definition>> {
    let entries = runner.registry.definitions().await.unwrap_or_else(|error| {
        tracing::error!(
            error = error.to_string(),
            "Could not read the definitions of jobs."
        );
        Vec::new()
    });
    let definitions = entries.into_iter().filter_map(|entry| entry.definition);
    definitions.filter(|it| it.job.accepts_rows()).collect()
}

/// Delivers the rows of `items` to their sinks; returns the identifiers of the items that must be sent again.
pub(super) async fn deliver(
    items: &[Item],
    sinks: &[Arc<Definition>],
    runner: &JobRunner,
    reservation: &mut Reservation,
    deadline: Instant,
) -> Vec<String> {
    let mut by_sink: BTreeMap<&str, (&Definition, Vec<&Item>)> = BTreeMap::new();
    let mut again = Vec::new();
    for item in items {
        let sink = match (&item.connector, sinks) {
            (Some(name), _) => sinks.iter().find(|it| it.name == *name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some(sink) = sink else {
            tracing::error!(
                id = item.id,
                connector = item.connector,
                sinks = sinks.len(),
                "Rows have no sink: name one in the attribute connector of the message, or define exactly one."
            );
            again.push(item.id.clone());
            continue;
        };
        by_sink
            .entry(&sink.name)
            .or_insert_with(|| (sink, Vec::new()))
            .1
            .push(item);
    }
    let stop = CancellationToken::new();
    for (sink, items) in by_sink.into_values() {
        let caller = Caller {
            deadline: Some(deadline),
            stop: &stop,
            progress: &(),
        };
        let pushed = push_rows(sink, &items, runner, reservation, caller).await;
        let is_settled = match &pushed {
            Ok(Some((report, _))) => report.is_settled(),
            Ok(None) => false,
            Err(reason) => {
                tracing::error!(
                    error = reason.to_string(),
                    connector = sink.name,
                    result = reason.result().as_str(),
                    "A sink is not accepting rows; they are sent again."
                );
                false
            }
        };
        if !is_settled {
            again.extend(items.iter().map(|item| item.id.clone()));
        }
    }
    again
}

/// Pushes the rows of `items` together.
async fn push_rows(
    sink: &Definition,
    items: &[&Item],
    runner: &JobRunner,
    reservation: &mut Reservation,
    caller: Caller<'_>,
) -> Result<Option<(Report, EmfRecord)>, NotRun> {
    // An invalid body becomes longer by its quotes, and its control characters take six bytes.
    let len = |item: &&Item| item.body.len() + 6 * item.body.len().min(MAX_TEXT_BYTES) + 8;
    let memory = items.iter().map(len).sum();
    reservation.grow(memory).map_err(NotRun::NoMemory)?;
    let bytes = items.iter().map(|item| item.body.len() + 1).sum();
    let (mut rest, mut rows) = (items.iter(), Vec::with_capacity(bytes));
    let step = || {
        let Some(item) = rest.next() else {
            return Some(());
        };
        item.add_rows(&mut rows);
        None
    };
    let compute = runner.ingester.compute();
    compute.run_in_slices(bytes > LONG_BYTES, step).await;
    let pushed = runner.push_rows(sink, &rows, reservation, caller).await;
    reservation.shrink(memory);
    pushed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::records::KinesisEvent;
    use super::*;

    fn message(value: &Value) -> Result<SqsMessage, String> {
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())
    }

    fn rows(body: &[u8]) -> String {
        let item = Item {
            id: String::new(),
            connector: None,
            body: body.into(),
        };
        let mut rows = Vec::new();
        item.add_rows(&mut rows);
        String::from_utf8(rows).unwrap()
    }

    #[test]
    fn messages_and_records() {
        let attributes = json!({"connector": {"stringValue": "s", "dataType": "String"}});
        let made = json!({
            "messageId": "1", "body": "{\"a\":1}", "eventSource": "aws:sqs",
            "messageAttributes": attributes,
        });
        let item = Item::from(message(&made).unwrap());
        let expected = Item {
            id: "1".to_owned(),
            connector: Some("s".to_owned()),
            body: b"{\"a\":1}".into(),
        };
        assert_eq!(item, expected);
        for attributes in [
            json!(null),
            json!({}),
            json!({"connector": {"binaryValue": "cw==", "dataType": "Binary"}}),
        ] {
            let made = json!({"messageId": "1", "body": "", "messageAttributes": attributes});
            assert_eq!(message(&made).unwrap().connector(), None, "{made}");
        }
        let error = message(&json!({})).unwrap_err();
        assert_eq!(error, "missing field `messageId`");

        let stream = |record: Value| {
            let event = json!({"Records": [record]}).to_string();
            serde_json::from_str::<KinesisEvent>(&event).map_err(|error| error.to_string())
        };
        let record = json!({"kinesis": {"sequenceNumber": "7", "data": "eyJhIjoxfQ=="}});
        let event = stream(record).unwrap();
        let item = event.records.into_iter().map(Item::from).next().unwrap();
        assert_eq!((item.id.as_str(), item.connector), ("7", None));
        assert_eq!(item.body, b"{\"a\":1}");
        for (record, expected) in [
            (json!({}), "missing field `kinesis`"),
            (
                json!({"kinesis": {"data": ""}}),
                "missing field `sequenceNumber`",
            ),
            (
                json!({"kinesis": {"sequenceNumber": "7", "data": "%"}}),
                "kinesis.data is not Base64",
            ),
        ] {
            let error = stream(record).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn contents_of_a_body() {
        let holds = |body: &str| {
            let made = json!({"messageId": "1", "body": body});
            holds_letters(&message(&made).unwrap())
        };
        assert!(holds("{\"dead_letter\":1,\"time\":\"x\"}\n"));
        for body in [
            "",
            "{}",
            "[{\"dead_letter\":1}]",
            "x",
            "{\"labels\":{}}\n{\"dead_letter\":1}",
        ] {
            assert!(!holds(body), "{body}");
        }
        assert_eq!(rows(b"{\"a\":1}"), "{\"a\":1}\n");
        assert_eq!(rows(b"not \"JSON\""), "\"not \\\"JSON\\\"\"\n");
        assert_eq!(rows(b"{}\n{"), "\"{}\\n{\"\n");
        assert_eq!(rows(b"\"\xff\""), "\"\\\"\u{fffd}\\\"\"\n");
        let long = rows(&[b'\x01'; 100_000]);
        assert_eq!(long.len(), 6 * MAX_TEXT_BYTES + 3);
    }
}
