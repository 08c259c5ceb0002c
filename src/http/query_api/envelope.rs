//! Errors of the query API: their types, statuses and JSON.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use prom_wire::budget::BudgetExceeded;
use promql::{EvaluationError, Interrupt, QueryError, Text};

use super::encoding::Encoding;
use super::json::write_string;
use crate::http::HttpError;
use crate::http::reason::Reason;
use crate::query::ReadError;
use crate::timestream::ErrorKind;

/// The type of an error. Its conversion to a [`StatusCode`] is the one table of the statuses of the API's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorType {
    /// A parameter is wrong.
    BadData,
    /// The query failed and would fail again.
    Execution,
    /// The client left.
    Canceled,
    /// The time of the query was over.
    Timeout,
    /// The same request may succeed later.
    Unavailable,
    /// The request is larger than a limit.
    TooLarge,
}

impl ErrorType {
    /// Returns the name in responses.
    fn as_str(self) -> &'static str {
        match self {
            Self::BadData | Self::TooLarge => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<ErrorType> for StatusCode {
    fn from(error_type: ErrorType) -> Self {
        match error_type {
            ErrorType::BadData => Self::BAD_REQUEST,
            ErrorType::Execution => Self::UNPROCESSABLE_ENTITY,
            // The status has no name in HTTP; Prometheus uses it too.
            ErrorType::Canceled => Self::from_u16(499).expect("499 is between 100 and 999"),
            ErrorType::Timeout | ErrorType::Unavailable => Self::SERVICE_UNAVAILABLE,
            ErrorType::TooLarge => Self::PAYLOAD_TOO_LARGE,
        }
    }
}

/// A response to a request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) error_type: ErrorType,
    reason: Reason,
    pub(super) text: String,
}

impl ApiError {
    pub(super) fn new(error_type: ErrorType, text: impl Display) -> Self {
        let reason = match error_type {
            ErrorType::BadData => Reason::InvalidQuery,
            ErrorType::Execution => Reason::QueryFailed,
            ErrorType::Canceled => Reason::ClientLeft,
            ErrorType::Timeout => Reason::QueryTimeout,
            ErrorType::Unavailable => Reason::MemoryBusy,
            ErrorType::TooLarge => Reason::BodyTooLarge,
        };
        Self {
            error_type,
            reason,
            text: text.to_string(),
        }
    }

    /// Sets another reason than the usual one of the type.
    pub(super) fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    /// Returns the error of a parameter with an invalid value.
    pub(super) fn parameter(name: &str, reason: impl Display) -> Self {
        let text = format!("invalid parameter {}: {reason}", Text::from(name).quoted());
        Self::new(ErrorType::BadData, text)
    }

    /// Returns the error of a result that exceeds the limit of its way to the client.
    pub(super) fn result_too_large(max_bytes: usize) -> Self {
        Self::new(
            ErrorType::Execution,
            format!(
                "the encoded result has more than the {max_bytes} bytes that can be returned this way; use a \
                 longer step, a shorter range or fewer series (aggregate, or add label matchers), accept gzip, or \
                 run the connector as a server, which has no such limit"
            ),
        )
        .because(Reason::ResultTooLarge)
    }

    /// Returns the error of a query whose time is over, with Prometheus' text, what it waited for, and a remedy.
    fn timed_out(waited: &str) -> Self {
        let error = EvaluationError::Interrupted(Interrupt::TimedOut);
        Self::new(
            ErrorType::Timeout,
            format!(
                "{error}{waited}; query a shorter range, a longer step or fewer series, or raise query_timeout and \
                 the timeout of the request"
            ),
        )
    }

    /// Returns the error of a request that finds no memory.
    pub(super) fn no_memory(exceeded: BudgetExceeded) -> Self {
        match exceeded {
            BudgetExceeded::Busy { limit } => Self::new(
                ErrorType::Unavailable,
                format!(
                    "requests in flight occupy all of the {limit} bytes that they may occupy together; send again, \
                     or raise max_in_flight_bytes"
                ),
            ),
            BudgetExceeded::TooLarge { limit } => Self::new(
                ErrorType::Execution,
                format!(
                    "samples, labels and response of the query need more than the {limit} bytes that one request \
                     may occupy; query a shorter range, a longer step or fewer series, or raise max_in_flight_bytes"
                ),
            )
            .because(Reason::MemoryLimit),
        }
    }

    /// Returns the status of the response.
    pub(super) fn status(&self) -> StatusCode {
        self.error_type.into()
    }

    /// Returns the error as those of other routes, for the log.
    pub(super) fn to_http_error(&self) -> HttpError {
        HttpError::new(self.status(), self.reason, self.text.clone())
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self::parameter("query", error)
    }
}

impl From<EvaluationError> for ApiError {
    fn from(error: EvaluationError) -> Self {
        let error_type = match &error {
            EvaluationError::Interrupted(Interrupt::TimedOut) => ErrorType::Timeout,
            EvaluationError::Interrupted(Interrupt::Canceled) => ErrorType::Canceled,
            EvaluationError::TooManySamples | EvaluationError::Execution(_) => ErrorType::Execution,
        };
        if error_type == ErrorType::Timeout {
            return Self::timed_out("");
        }
        Self::new(error_type, error)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let error_type = match &error {
            ReadError::Memory(exceeded) => return Self::no_memory(*exceeded),
            ReadError::TooLarge { .. } => ErrorType::Execution,
            ReadError::Query(_) => match HttpError::from(&error).status() {
                StatusCode::SERVICE_UNAVAILABLE => ErrorType::Unavailable,
                _ => ErrorType::BadData,
            },
            ReadError::Row(_) => ErrorType::Execution,
            ReadError::Timestream(error) => match error.kind {
                ErrorKind::Timeout => {
                    return Self::timed_out(" while Timestream had not responded");
                }
                kind if kind.is_retryable() => ErrorType::Unavailable,
                _ => ErrorType::Execution,
            },
        };
        let error = HttpError::from(&error);
        Self::new(error_type, error.text()).because(error.reason())
    }
}

impl From<HttpError> for ApiError {
    /// Converts an error of reading the body.
    fn from(error: HttpError) -> Self {
        let error_type = match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ErrorType::TooLarge,
            status if status.is_server_error() => ErrorType::Unavailable,
            _ => ErrorType::BadData,
        };
        Self::new(error_type, error.text()).because(error.reason())
    }
}

impl ApiError {
    /// Returns the response in this encoding, which is that of a success too.
    pub(super) fn into_response(self, encoding: Encoding) -> Response {
        let mut body = Vec::with_capacity(self.text.len() + 80);
        body.extend_from_slice(b"{\"status\":\"error\",\"errorType\":\"");
        body.extend_from_slice(self.error_type.as_str().as_bytes());
        body.extend_from_slice(b"\",\"error\":");
        write_string(&self.text, &mut body);
        body.push(b'}');
        let mut response = (self.status(), encoding.encoded(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(name) = encoding.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if self.error_type == ErrorType::Unavailable {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestream::TimestreamError;

    #[test]
    fn errors_of_timestream() {
        use ErrorType::{Execution, Timeout, Unavailable};
        let cases = [
            (ErrorKind::QueryExecution, Execution),
            (ErrorKind::Validation, Execution),
            (ErrorKind::QuotaExceeded, Execution),
            (ErrorKind::AccessDenied, Execution),
            (ErrorKind::NotFound, Execution),
            (ErrorKind::NotFoundByQuery, Execution),
            (ErrorKind::Conflict, Execution),
            (ErrorKind::RowTooLarge, Execution),
            (ErrorKind::Throttled, Unavailable),
            (ErrorKind::InternalServer, Unavailable),
            (ErrorKind::Unavailable, Unavailable),
            (ErrorKind::UnexpectedResponse, Unavailable),
            (ErrorKind::InvalidEndpoint, Unavailable),
            (ErrorKind::Credentials, Unavailable),
            (ErrorKind::Timeout, Timeout),
        ];
        for (kind, error_type) in cases {
            let error = TimestreamError::new(kind, "words of the service");
            let error = ApiError::from(ReadError::Timestream(error));
            assert_eq!(error.error_type, error_type, "{kind:?}");
            let expected = match kind {
                ErrorKind::Timeout => "raise query_timeout",
                _ => "words of the service",
            };
            assert!(error.text.contains(expected), "{}", error.text);
        }
    }

    #[test]
    fn statuses_are_those_of_prometheus() {
        let cases = [
            (ErrorType::BadData, 400, "bad_data"),
            (ErrorType::Execution, 422, "execution"),
            (ErrorType::Canceled, 499, "canceled"),
            (ErrorType::Timeout, 503, "timeout"),
            (ErrorType::Unavailable, 503, "unavailable"),
            (ErrorType::TooLarge, 413, "bad_data"),
        ];
        for (error_type, status, name) in cases {
            assert_eq!(StatusCode::from(error_type), status);
            assert_eq!(error_type.as_str(), name);
        }
    }
}
