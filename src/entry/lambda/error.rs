//! Errors of events that are not handled.

use std::fmt;

use lambda_runtime::Diagnostic;
use prom_wire::budget::BudgetExceeded;

use crate::fields::FieldErrors;
use crate::jobs::registry::RAISE_MEMORY;

/// An event that is not handled.
#[derive(thiserror::Error)]
pub enum EventError {
    /// No handler accepts it.
    #[error(
        "UnsupportedEvent: received {received}; expected an HTTP request of an API Gateway HTTP API or \
         REST API, a function URL or an Application Load Balancer, messages of an SQS queue, records of a \
         Kinesis stream, a connector definition, or {{\"doctor\": {{}}}}"
    )]
    Unsupported {
        /// The kind of the event.
        received: String,
    },
    /// The configuration cannot be used, so nothing can be written.
    #[error(
        "NotConfigured: messages of a queue cannot be written, and connectors and checks cannot run while the \
         configuration of the function cannot be used; its log says what to set"
    )]
    NotConfigured,
    /// The definition cannot be used.
    #[error("InvalidDefinition: {0}")]
    Definition(#[from] FieldErrors),
    /// The job did not run to its end.
    #[error("ConnectorFailed: {name}: {error}")]
    Failed {
        /// The definition's name.
        name: String,
        /// The cause.
        error: String,
    },
    /// The event is not an event of SQS.
    #[error("InvalidEvent: the event does not have the form of SQS: {0}")]
    Invalid(serde_json::Error),
    /// The event has other members than the checks of doctor.
    #[error(
        "InvalidEvent: expected {{\"doctor\": {{}}}} or {{\"doctor\": {{\"write\": false}}}}: {0}"
    )]
    InvalidDoctor(serde_json::Error),
    /// The event is not an event of Kinesis.
    #[error("InvalidEvent: the event does not have the form of Kinesis: {0}")]
    InvalidStream(serde_json::Error),
    /// The memory budget is exhausted; the sender sends the event again.
    #[error("MemoryBudgetExceeded: the event is not handled: {0}{remedy}", remedy = RAISE_MEMORY)]
    Memory(#[from] BudgetExceeded),
    /// The time of the invocation was over; the sender sends the event again.
    #[error(
        "DeadlineExceeded: the event was not handled within the time of the invocation; send it again, \
         in smaller batches or to a function with more time or memory"
    )]
    Late,
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
            EventError::Invalid(_)
            | EventError::InvalidStream(_)
            | EventError::InvalidDoctor(_) => "InvalidEvent",
            EventError::Definition(_) => "InvalidDefinition",
            EventError::Failed { .. } => "ConnectorFailed",
            EventError::Memory(_) => "MemoryBudgetExceeded",
            EventError::Late => "DeadlineExceeded",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}
