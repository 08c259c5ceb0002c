//! Events that are no HTTP requests.
//!
//! [`answer`] is the one place where a handler of such events is called. An event that has none fails
//! its invocation, so that the sender keeps or reports it.

use std::fmt;

use lambda_runtime::Diagnostic;
use serde_json::Value;
use tokio::time::Instant;

/// Characters of an event's keys and names that are repeated in an error.
const MAX_SHOWN: usize = 200;

/// What an event is, as far as its shape tells.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A batch of records of an event source such as `aws:sqs` or `aws:kinesis`.
    Records(String),
    /// An event of EventBridge, by its source.
    EventBridge(String),
    /// Anything else.
    Other(String),
}

/// Why an event is not answered.
#[derive(thiserror::Error)]
pub enum EventError {
    /// No handler takes it.
    #[error(
        "UnsupportedEvent: received {received}; expected an HTTP request of an API Gateway HTTP API or \
         REST API, a function URL or an Application Load Balancer"
    )]
    Unsupported {
        /// What it is.
        received: String,
    },
}

/// The runtime logs an error in this form.
impl fmt::Debug for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<EventError> for Diagnostic {
    fn from(error: EventError) -> Self {
        let EventError::Unsupported { .. } = error;
        Self {
            error_type: "UnsupportedEvent".to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// The answer to an event, before `deadline`.
///
/// # Errors
/// No handler takes it. The invocation fails.
pub(super) async fn answer(event: &[u8], _deadline: Instant) -> Result<Value, EventError> {
    let event: Value = serde_json::from_slice(event).unwrap_or_default();
    match Kind::of(&event) {
        kind @ (Kind::Records(_) | Kind::EventBridge(_) | Kind::Other(_)) => {
            let received = kind.to_string();
            Err(EventError::Unsupported { received })
        }
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
