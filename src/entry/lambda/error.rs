//! Errors of events that are not handled.

use std::fmt;

use lambda_runtime::Diagnostic;

use crate::budget::BudgetExceeded;
use crate::fields::FieldErrors;

/// An event that is not handled.
#[derive(thiserror::Error)]
pub enum EventError {
    /// No handler takes it.
    #[error(
        "UnsupportedEvent: received {received}; expected an HTTP request of an API Gateway HTTP API or \
         REST API, a function URL or an Application Load Balancer, messages of an SQS queue, records of a \
         Kinesis stream, or a connector definition"
    )]
    Unsupported {
        /// The kind that it is.
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
    Definition(#[from] FieldErrors),
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
    #[error("InvalidEvent: the event is not what Kinesis sends: {0}")]
    InvalidStream(serde_json::Error),
    /// There is no memory for it; the sender sends it again.
    #[error("MemoryBudgetExceeded: the event is not handled: {0}")]
    Memory(#[from] BudgetExceeded),
    /// The time of the invocation was over; the sender sends it again.
    #[error(
        "DeadlineExceeded: the event was not handled within the time of the invocation; it has to be sent \
         again, in smaller batches or to a function with more time or memory"
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
            EventError::Invalid(_) | EventError::InvalidStream(_) => "InvalidEvent",
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
