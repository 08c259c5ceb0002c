//! The responses to rejected requests.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

/// One error: its kind, the text for the caller and, for rejected records, the list of them.
#[derive(Debug, Clone)]
pub(crate) struct ServiceError {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) rejected: Vec<RejectedRecord>,
}

/// One record that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RejectedRecord {
    /// Position in the request, from 0.
    pub(crate) record_index: usize,
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) existing_version: Option<i64>,
}

/// Kinds of errors that a caller can distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    AccessDenied,
    Conflict,
    InternalServer,
    InvalidEndpoint,
    QueryExecution,
    RejectedRecords,
    ResourceNotFound,
    ServiceQuotaExceeded,
    Throttling,
    Validation,
    /// A member of the request breaks a constraint of the service model.
    Constraint,
    ExpiredToken,
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
    UnrecognizedClient,
    RequestTooLarge,
    Serialization,
    UnknownOperation,
}

impl ErrorKind {
    /// Returns the shape's name, as SDKs report it.
    pub(crate) fn code(self) -> &'static str {
        let (_, namespaced) = self.status_and_type();
        namespaced
            .split_once('#')
            .map_or(namespaced, |(_, code)| code)
    }

    /// Status: developer guide, "API Timestream-specific errors"; type: the forms seen on the wire.
    fn status_and_type(self) -> (u16, &'static str) {
        match self {
            ErrorKind::Validation => (
                400,
                "com.amazonaws.timestream.v20181101#ValidationException",
            ),
            ErrorKind::QueryExecution => (
                400,
                "com.amazonaws.timestream.v20181101#QueryExecutionException",
            ),
            ErrorKind::Constraint => (400, "com.amazon.coral.validate#ValidationException"),
            ErrorKind::ServiceQuotaExceeded => (
                402,
                "com.amazonaws.timestream.v20181101#ServiceQuotaExceededException",
            ),
            ErrorKind::AccessDenied => (
                403,
                "com.amazonaws.timestream.v20181101#AccessDeniedException",
            ),
            ErrorKind::ResourceNotFound => (
                404,
                "com.amazonaws.timestream.v20181101#ResourceNotFoundException",
            ),
            ErrorKind::Conflict => (409, "com.amazonaws.timestream.v20181101#ConflictException"),
            ErrorKind::RejectedRecords => (
                419,
                "com.amazonaws.timestream.v20181101#RejectedRecordsException",
            ),
            ErrorKind::InvalidEndpoint => (
                421,
                "com.amazonaws.timestream.v20181101#InvalidEndpointException",
            ),
            ErrorKind::Throttling => (
                429,
                "com.amazonaws.timestream.v20181101#ThrottlingException",
            ),
            ErrorKind::InternalServer => (
                500,
                "com.amazonaws.timestream.v20181101#InternalServerException",
            ),
            ErrorKind::ExpiredToken => (403, "com.amazon.coral.service#ExpiredTokenException"),
            ErrorKind::IncompleteSignature => {
                (403, "com.amazon.coral.service#IncompleteSignatureException")
            }
            ErrorKind::InvalidSignature => {
                (403, "com.amazon.coral.service#InvalidSignatureException")
            }
            ErrorKind::MissingAuthenticationToken => (
                403,
                "com.amazon.coral.service#MissingAuthenticationTokenException",
            ),
            ErrorKind::UnrecognizedClient => {
                (403, "com.amazon.coral.service#UnrecognizedClientException")
            }
            ErrorKind::RequestTooLarge => (
                413,
                "com.amazon.coral.service#RequestEntityTooLargeException",
            ),
            ErrorKind::Serialization => (400, "com.amazon.coral.service#SerializationException"),
            ErrorKind::UnknownOperation => {
                (404, "com.amazon.coral.service#UnknownOperationException")
            }
        }
    }
}

impl ServiceError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ServiceError {
            kind,
            message: message.into(),
            rejected: Vec::new(),
        }
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        ServiceError::new(ErrorKind::Validation, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        ServiceError::new(ErrorKind::ResourceNotFound, message)
    }

    /// Returns the error of a cell without the account: the caller must request its endpoint again.
    pub(crate) fn invalid_endpoint() -> Self {
        ServiceError::new(
            ErrorKind::InvalidEndpoint,
            "The requested endpoint was not valid.",
        )
    }

    /// Returns the error of too many calls.
    pub(crate) fn throttled() -> Self {
        ServiceError::new(
            ErrorKind::Throttling,
            "Request is throttled due to too many requests.",
        )
    }

    /// Returns the error of a call with records that were not stored; those that are not listed
    /// were stored.
    pub(crate) fn rejected(rejected: Vec<RejectedRecord>) -> Self {
        ServiceError {
            rejected,
            ..ServiceError::new(
                ErrorKind::RejectedRecords,
                "One or more records have been rejected. See RejectedRecords for details.",
            )
        }
    }

    /// Returns the response, without its request id.
    pub(crate) fn into_response(self) -> Response {
        let (status, error_type) = self.kind.status_and_type();
        let body = ErrorBody {
            error_type,
            message: &self.message,
            rejected_records: (self.kind == ErrorKind::RejectedRecords).then_some(&*self.rejected),
        };
        let body = serde_json::to_vec(&body).expect("an error body has only string keys");
        let status = StatusCode::from_u16(status).expect("the table holds valid statuses");
        crate::protocol::json_response(status, body)
    }
}

/// A storage failure is the emulator's own: the caller sees 500, the log sees the cause.
impl From<rusqlite::Error> for ServiceError {
    fn from(error: rusqlite::Error) -> Self {
        tracing::error!(%error, "storage failed");
        ServiceError::new(
            ErrorKind::InternalServer,
            "The service has encountered an internal error.",
        )
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "__type")]
    error_type: &'static str,
    #[serde(rename = "Message")]
    message: &'a str,
    #[serde(rename = "RejectedRecords", skip_serializing_if = "Option::is_none")]
    rejected_records: Option<&'a [RejectedRecord]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_codes() {
        let cases = [
            (ErrorKind::Validation, 400, "ValidationException"),
            (ErrorKind::QueryExecution, 400, "QueryExecutionException"),
            (
                ErrorKind::ServiceQuotaExceeded,
                402,
                "ServiceQuotaExceededException",
            ),
            (ErrorKind::AccessDenied, 403, "AccessDeniedException"),
            (
                ErrorKind::ResourceNotFound,
                404,
                "ResourceNotFoundException",
            ),
            (ErrorKind::Conflict, 409, "ConflictException"),
            (ErrorKind::RejectedRecords, 419, "RejectedRecordsException"),
            (ErrorKind::InvalidEndpoint, 421, "InvalidEndpointException"),
            (ErrorKind::Throttling, 429, "ThrottlingException"),
            (ErrorKind::InternalServer, 500, "InternalServerException"),
            (
                ErrorKind::UnknownOperation,
                404,
                "UnknownOperationException",
            ),
            (ErrorKind::Serialization, 400, "SerializationException"),
        ];
        for (kind, status, code) in cases {
            assert_eq!(kind.code(), code);
            assert_eq!(
                ServiceError::new(kind, "")
                    .into_response()
                    .status()
                    .as_u16(),
                status
            );
        }
    }
}
