//! Rows for a sink, in the messages of a queue or the records of a stream.
//!
//! A message says by its attribute `connector` which sink its rows are for; without it, and in a stream,
//! they are for the only sink that there is. All of an event are delivered together: what is not
//! delivered comes again.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::time::Instant;

use crate::jobs::definition::Definition;
use crate::jobs::run::Stop;
use crate::jobs::runner::{Caller, Runner};

/// The attribute of a message.
const ATTRIBUTE: &str = "connector";
/// The type of definition that takes rows.
const SINK: &str = "prometheus_sink";

/// A message or a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Identifies it in the answer.
    pub(super) id: String,
    /// The sink that it names.
    connector: Option<String>,
    body: Vec<u8>,
}

impl Item {
    /// A message of a queue.
    pub(super) fn of_queue(record: &Value) -> Option<Self> {
        let attribute = &record["messageAttributes"][ATTRIBUTE]["stringValue"];
        Some(Self {
            id: record["messageId"].as_str()?.to_owned(),
            connector: attribute.as_str().map(str::to_owned),
            body: record["body"].as_str()?.into(),
        })
    }

    /// A record of a stream.
    pub(super) fn of_stream(record: &Value) -> Option<Self> {
        let kinesis = &record["kinesis"];
        Some(Self {
            id: kinesis["sequenceNumber"].as_str()?.to_owned(),
            connector: None,
            body: STANDARD.decode(kinesis["data"].as_str()?).ok()?,
        })
    }

    /// Whether it says which sink its rows are for.
    pub(super) fn names_a_sink(&self) -> bool {
        self.connector.is_some()
    }

    /// Whether it holds dead letters.
    pub(super) fn holds_letters(&self) -> bool {
        let mut values = serde_json::Deserializer::from_slice(&self.body)
            .into_iter::<BTreeMap<String, IgnoredAny>>();
        let is_letter = |it: BTreeMap<_, _>| it.contains_key("dead_letter");
        self.connector.is_none() && values.next().is_some_and(|it| it.is_ok_and(is_letter))
    }

    /// Its rows; what is no JSON becomes a text, which is no row either and is kept as a dead letter.
    fn rows(&self) -> Vec<u8> {
        let mut values = serde_json::Deserializer::from_slice(&self.body).into_iter::<IgnoredAny>();
        if values.all(|value| value.is_ok()) {
            return self.body.clone();
        }
        let text = String::from_utf8_lossy(&self.body);
        Value::from(text).to_string().into_bytes()
    }
}

/// The sinks that there are.
pub(super) async fn sinks(runner: &Runner) -> Vec<Arc<Definition>> {
    let entries = runner.registry.definitions().await.unwrap_or_else(|error| {
        tracing::error!(error = error.to_string(), "The connectors cannot be read.");
        Vec::new()
    });
    let definitions = entries.into_iter().filter_map(|entry| entry.definition);
    definitions.filter(|it| it.kind == SINK).collect()
}

/// Delivers what `items` hold to their sinks; the identifiers of those that have to come again.
pub(super) async fn deliver(
    items: &[Item],
    sinks: &[Arc<Definition>],
    runner: &Runner,
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
                "Rows are for no sink: name one in the attribute connector of the message, or have just one."
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
    let (_stopper, stop) = Stop::new();
    for (sink, items) in by_sink.into_values() {
        let rows: Vec<Vec<u8>> = items.iter().map(|item| item.rows()).collect();
        let caller = Caller {
            deadline: Some(deadline),
            stop: &stop,
            progress: &(),
        };
        let handed = runner.hand_over(sink, &rows.join(&b'\n'), caller).await;
        let is_settled = match &handed {
            Ok(Some((report, _))) => report.is_settled(),
            Ok(None) => false,
            Err(ran) => {
                tracing::error!(
                    connector = sink.name,
                    result = ran.as_str(),
                    "A sink takes no rows now."
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_and_records() {
        let message = json!({
            "messageId": "1", "body": "{\"a\":1}", "eventSource": "aws:sqs",
            "messageAttributes": {"connector": {"stringValue": "s", "dataType": "String"}},
        });
        let item = Item::of_queue(&message).unwrap();
        assert_eq!(
            (item.id.as_str(), item.connector.as_deref()),
            ("1", Some("s"))
        );
        assert_eq!(item.rows(), b"{\"a\":1}");
        let record = json!({"kinesis": {"sequenceNumber": "7", "data": "eyJhIjoxfQ=="}});
        let item = Item::of_stream(&record).unwrap();
        assert_eq!((item.id.as_str(), item.connector), ("7", None));
        assert_eq!(item.body, b"{\"a\":1}");
        assert_eq!(Item::of_queue(&json!({})), None);
        assert_eq!(
            Item::of_stream(&json!({"kinesis": {"sequenceNumber": "7", "data": "%"}})),
            None
        );
    }

    #[test]
    fn what_a_body_holds() {
        let item = |body: &str| Item {
            id: String::new(),
            connector: None,
            body: body.into(),
        };
        assert!(item("{\"dead_letter\":1,\"time\":\"x\"}\n").holds_letters());
        for body in [
            "",
            "{}",
            "[{\"dead_letter\":1}]",
            "x",
            "{\"labels\":{}}\n{\"dead_letter\":1}",
        ] {
            assert!(!item(body).holds_letters(), "{body}");
        }
        assert_eq!(item("not \"JSON\"").rows(), br#""not \"JSON\"""#);
        assert_eq!(item("{}\n{").rows(), br#""{}\n{""#);
    }
}
