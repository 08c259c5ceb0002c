//! Events that are no HTTP requests.
//!
//! Messages of a queue are dead letters that are written again, or rows for a sink, as the records of a
//! stream are; a connector definition, as a schedule of EventBridge sends it, is run. [`answer`] is the one place where a
//! handler of such events is called. An event that has none fails its invocation, so that the sender
//! keeps or reports it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::Diagnostic;
use serde_json::Value;
use tokio::time::Instant;

use super::definition;
use super::rows::{self, Item};
use crate::connector::Connector;
use crate::jobs::definition::Faults;
use crate::jobs::runner::Runner;
use crate::metrics::emf::Numbers;
use crate::replay::queue::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use crate::replay::{Fallback, Replay, Summary};

/// Characters of an event's keys and names that are repeated in an error.
const MAX_SHOWN: usize = 200;

/// What an event is, as far as its shape tells.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A batch of records of an event source such as `aws:sqs` or `aws:kinesis`.
    Records(String),
    /// An event of EventBridge, by its source.
    EventBridge(String),
    /// A connector definition, or what is meant to be one.
    Definition,
    /// Anything else.
    Other(String),
}

/// The event source of a queue.
const SQS: &str = "aws:sqs";
/// The event source of a stream.
const KINESIS: &str = "aws:kinesis";

/// What events need; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handlers {
    /// Writes dead letters again.
    pub replayer: Replayer,
    /// Runs connector definitions.
    pub runner: Arc<Runner>,
}

/// Writes dead letters again.
#[derive(Clone, Debug)]
pub struct Replayer {
    /// By which they are written.
    pub connector: Connector,
    /// How long one write may take.
    pub timeout: Duration,
}

/// Why an event is not answered.
#[derive(thiserror::Error)]
pub enum EventError {
    /// No handler takes it.
    #[error(
        "UnsupportedEvent: received {received}; expected an HTTP request of an API Gateway HTTP API or \
         REST API, a function URL or an Application Load Balancer, messages of an SQS queue, records of a \
         Kinesis stream, or a connector definition"
    )]
    Unsupported {
        /// What it is.
        received: String,
    },
    /// Nothing can be written: the configuration cannot be used.
    #[error(
        "NotConfigured: messages of a queue cannot be written and connectors cannot run while the \
         configuration of the function cannot be used; its log says what to set"
    )]
    NotConfigured,
    /// The connector definition cannot be used.
    #[error("InvalidDefinition: {0}")]
    Definition(#[from] Faults),
    /// The connector did not run to its end.
    #[error("ConnectorFailed: {name}: {error}")]
    Failed {
        /// The definition's name.
        name: String,
        /// Why.
        error: String,
    },
    /// It does not have the shape of its source.
    #[error("InvalidEvent: the event is not what SQS sends: {0}")]
    Invalid(serde_json::Error),
    /// It does not have the shape of a stream's.
    #[error(
        "InvalidEvent: the event is not what Kinesis sends: a record lacks kinesis.sequenceNumber or kinesis.data in Base64"
    )]
    InvalidStream,
}

/// The runtime logs an error in this form.
impl fmt::Debug for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<EventError> for Diagnostic {
    fn from(error: EventError) -> Self {
        let error_type = match error {
            EventError::Unsupported { .. } => "UnsupportedEvent",
            EventError::NotConfigured => "NotConfigured",
            EventError::Invalid(_) | EventError::InvalidStream => "InvalidEvent",
            EventError::Definition(_) => "InvalidDefinition",
            EventError::Failed { .. } => "ConnectorFailed",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// The answer to an event, before `deadline`, and the numbers for CloudWatch, if it has any. An error
/// fails the invocation.
pub(super) async fn answer(
    event: &[u8],
    handlers: Option<&Handlers>,
    deadline: Instant,
) -> (Result<Value, EventError>, Option<Numbers>) {
    let event: Value = serde_json::from_slice(event).unwrap_or_default();
    let kind = Kind::of(&event);
    let handlers = handlers.ok_or(EventError::NotConfigured);
    let answer = match kind {
        Kind::Definition => match handlers {
            Ok(handlers) => return definition::answer(event, &handlers.runner, deadline).await,
            Err(error) => Err(error),
        },
        Kind::Records(source) if source == SQS => match handlers {
            Ok(handlers) => queue(event, handlers, deadline).await,
            Err(error) => Err(error),
        },
        Kind::Records(source) if source == KINESIS => match handlers {
            Ok(handlers) => stream(&event, handlers, deadline).await,
            Err(error) => Err(error),
        },
        kind @ (Kind::Records(_) | Kind::EventBridge(_) | Kind::Other(_)) => {
            let received = kind.to_string();
            Err(EventError::Unsupported { received })
        }
    };
    (answer, None)
}

/// Messages of a queue: rows for a sink, or dead letters. What is neither counts as rows where there is a
/// sink.
async fn queue(event: Value, handlers: &Handlers, deadline: Instant) -> Result<Value, EventError> {
    let items: Vec<Option<Item>> = records(&event).iter().map(Item::of_queue).collect();
    let sinks = match items.iter().flatten().all(Item::holds_letters) {
        true => Vec::new(),
        false => rows::sinks(&handlers.runner).await,
    };
    let is_rows = |item: &Item| item.names_a_sink() || (!sinks.is_empty() && !item.holds_letters());
    let of_rows: Vec<Item> = items
        .iter()
        .flatten()
        .filter(|it| is_rows(it))
        .cloned()
        .collect();
    let mut event: SqsEvent = serde_json::from_value(event).map_err(EventError::Invalid)?;
    event
        .records
        .retain(|message| of_rows.iter().all(|item| item.id != message.message_id));
    let mut response = match event.records.is_empty() {
        true => SqsBatchResponse::default(),
        false => handlers.replayer.replay(&event, deadline).await,
    };
    if !of_rows.is_empty() {
        let again = rows::deliver(&of_rows, &sinks, &handlers.runner, deadline).await;
        let again = again
            .into_iter()
            .map(|item_identifier| BatchItemFailure { item_identifier });
        response.batch_item_failures.extend(again);
    }
    Ok(serde_json::to_value(response).expect("the answer is valid JSON"))
}

/// Records of a stream: rows for a sink.
async fn stream(
    event: &Value,
    handlers: &Handlers,
    deadline: Instant,
) -> Result<Value, EventError> {
    let items: Vec<Item> = records(event).iter().filter_map(Item::of_stream).collect();
    if items.len() < records(event).len() {
        return Err(EventError::InvalidStream);
    }
    let sinks = rows::sinks(&handlers.runner).await;
    let again = rows::deliver(&items, &sinks, &handlers.runner, deadline).await;
    let again = again
        .into_iter()
        .map(|item_identifier| BatchItemFailure { item_identifier });
    let response = SqsBatchResponse {
        batch_item_failures: again.collect(),
    };
    Ok(serde_json::to_value(response).expect("the answer is valid JSON"))
}

fn records(event: &Value) -> &[Value] {
    event["Records"].as_array().map_or(&[], Vec::as_slice)
}

impl Replayer {
    /// Writes the dead letters of the messages again, and says which messages the queue has to keep.
    async fn replay(&self, event: &SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let mut summary = Summary::default();
        let replay = Replay::new(&self.connector, Fallback::default(), self.timeout, ());
        let response = replay.until(deadline).event(event, &mut summary).await;
        let (samples, stored) = (summary.replayed.samples, summary.replayed.stored);
        if summary.is_complete() {
            tracing::info!(samples, stored, "Dead letters are stored.");
        } else {
            let first = summary
                .replayed
                .left
                .iter()
                .find(|it| !it.message.is_empty());
            let error = first.map(|letter| letter.message.clone());
            tracing::error!(
                error = error.or(summary.first_unreadable).unwrap_or_default(),
                samples,
                stored,
                unreadable = summary.unreadable,
                messages_kept = response.batch_item_failures.len(),
                "Some dead letters are still not stored."
            );
        }
        response
    }
}

impl Kind {
    fn of(event: &Value) -> Self {
        let records = event["Records"].as_array().and_then(|them| them.first());
        // Services spell it in two ways.
        let source =
            records.and_then(|it| it["eventSource"].as_str().or(it["EventSource"].as_str()));
        if let Some(source) = source {
            return Self::Records(shown(source));
        }
        if let (Some(source), true) = (event["source"].as_str(), event["detail-type"].is_string()) {
            return Self::EventBridge(shown(source));
        }
        // Not all of its keys: one that lacks some is told what it lacks.
        if event["type"].is_string() && (event["name"].is_string() || event["config"].is_object()) {
            return Self::Definition;
        }
        Self::Other(match event {
            Value::Object(members) if members.is_empty() => "an empty object".to_owned(),
            Value::Object(members) => {
                let keys: Vec<&str> = members.keys().map(String::as_str).collect();
                format!("an object with the keys {}", shown(&keys.join(", ")))
            }
            Value::Array(_) => "an array".to_owned(),
            Value::String(_) => "a string".to_owned(),
            Value::Number(_) => "a number".to_owned(),
            Value::Bool(_) => "a boolean".to_owned(),
            Value::Null => "null".to_owned(),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(source) => write!(f, "records of the event source '{source}'"),
            Self::EventBridge(source) => write!(f, "an EventBridge event of the source '{source}'"),
            Self::Definition => f.write_str("a connector definition"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds() {
        let cases = [
            (
                json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": "x"}]}),
                "records of the event source 'aws:sqs'",
            ),
            (
                json!({"Records": [{"eventSource": "aws:kinesis", "kinesis": {}}]}),
                "records of the event source 'aws:kinesis'",
            ),
            (
                json!({"Records": [{"EventSource": "aws:sns"}]}),
                "records of the event source 'aws:sns'",
            ),
            (
                json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
                "an EventBridge event of the source 'aws.events'",
            ),
            (json!({"name": "a", "type": "b"}), "a connector definition"),
            (json!({"type": "b", "config": {}}), "a connector definition"),
            (json!({"type": "b"}), "an object with the keys type"),
            (json!({"Records": []}), "an object with the keys Records"),
            (json!({"b": 1, "a": 2}), "an object with the keys a, b"),
            (json!({}), "an empty object"),
            (json!([1]), "an array"),
            (json!("x"), "a string"),
            (json!(null), "null"),
        ];
        for (event, expected) in cases {
            assert_eq!(Kind::of(&event).to_string(), expected, "{event}");
        }
    }
}
