//! Outcomes and errors to responses: the only place that knows the status codes of errors.
//!
//! Prometheus sends a batch again for ever on 5xx and drops it on 4xx (on 429 too, unless
//! `retry_on_http_429` is set), so a failure that a later attempt may not have never
//! has a 4xx:
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/#retries-backoff>.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, StatusCode};
use prom_model::visible::escaped;
use prom_wire::budget::BudgetExceeded;
use prom_wire::{DecodeError, EncodeError};

use super::reason::Reason;
use super::settings::{Misconfiguration, PermanentErrorStatus};
use crate::ingest::{DeadLetterOutcome, Failure, WriteOutcome};
use crate::jobs::registry::{RAISE_MEMORY, RegistryError};
use crate::query::ReadError;
use crate::storage::read::patterns::PatternsTooLarge;
use crate::storage::read::selection::QueryError;
use crate::storage::write::series::PolicyViolation;
use crate::timestream::ErrorKind;

/// Bytes of an error body; Prometheus logs no more of it.
const MAX_TEXT_BYTES: usize = 1024;
/// Seconds after which a sender should retry, by default.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The beginning of Prometheus' User-Agent.
const PROMETHEUS: &[u8] = b"Prometheus/";

/// The class of an error. Its conversion to a [`StatusCode`] is the one table of the statuses of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// The same request can never succeed.
    BadRequest,
    /// The request has no valid credential.
    Unauthenticated,
    /// The credential, or the browser page or proxy that sent the request, has no access.
    Forbidden,
    /// The path, or the thing that it names, does not exist.
    NotFound,
    /// The path does not accept the method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The request contradicts the present state.
    Conflict,
    /// The request, or its decoded form, is larger than a limit.
    TooLarge,
    /// The content headers name a form that is not supported.
    UnsupportedMedia,
    /// The same request may succeed later.
    Unavailable,
    /// Timestream returned an error.
    Timestream(ErrorKind),
}

impl From<ErrorClass> for StatusCode {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::BadRequest => Self::BAD_REQUEST,
            ErrorClass::Unauthenticated => Self::UNAUTHORIZED,
            ErrorClass::Forbidden => Self::FORBIDDEN,
            ErrorClass::NotFound => Self::NOT_FOUND,
            ErrorClass::MethodNotAllowed => Self::METHOD_NOT_ALLOWED,
            ErrorClass::BodyTimeout => Self::REQUEST_TIMEOUT,
            ErrorClass::Conflict => Self::CONFLICT,
            ErrorClass::TooLarge => Self::PAYLOAD_TOO_LARGE,
            ErrorClass::UnsupportedMedia => Self::UNSUPPORTED_MEDIA_TYPE,
            ErrorClass::Unavailable => Self::SERVICE_UNAVAILABLE,
            ErrorClass::Timestream(kind) => match kind {
                ErrorKind::Validation
                | ErrorKind::RowTooLarge
                | ErrorKind::NotFoundByQuery
                | ErrorKind::QueryExecution => Self::BAD_REQUEST,
                ErrorKind::QuotaExceeded => Self::PAYMENT_REQUIRED,
                ErrorKind::AccessDenied => Self::FORBIDDEN,
                ErrorKind::NotFound => Self::NOT_FOUND,
                ErrorKind::Conflict => Self::CONFLICT,
                ErrorKind::Rejected => rejected_records(),
                ErrorKind::Throttled => Self::TOO_MANY_REQUESTS,
                ErrorKind::InternalServer => Self::INTERNAL_SERVER_ERROR,
                ErrorKind::UnexpectedResponse => Self::BAD_GATEWAY,
                ErrorKind::Unavailable | ErrorKind::InvalidEndpoint | ErrorKind::Credentials => {
                    Self::SERVICE_UNAVAILABLE
                }
                ErrorKind::Timeout => Self::GATEWAY_TIMEOUT,
            },
        }
    }
}

/// Returns the status of AWS' `RejectedRecordsException`, which has no name in HTTP.
fn rejected_records() -> StatusCode {
    StatusCode::from_u16(419).expect("419 is between 100 and 999")
}

impl From<&BudgetExceeded> for ErrorClass {
    fn from(exceeded: &BudgetExceeded) -> Self {
        match exceeded {
            BudgetExceeded::Busy { .. } => Self::Unavailable,
            BudgetExceeded::TooLarge { .. } => Self::TooLarge,
        }
    }
}

impl From<&RegistryError> for ErrorClass {
    fn from(error: &RegistryError) -> Self {
        match error {
            RegistryError::Invalid(_) => Self::BadRequest,
            RegistryError::Missing(_) => Self::NotFound,
            RegistryError::Exists(_) | RegistryError::FromFile(_) => Self::Conflict,
            RegistryError::State(_) => Self::Unavailable,
            RegistryError::Memory(exceeded) => exceeded.into(),
        }
    }
}

impl From<&DecodeError> for ErrorClass {
    fn from(error: &DecodeError) -> Self {
        match error {
            DecodeError::ContentType(_)
            | DecodeError::MessageType(_)
            | DecodeError::ContentEncoding(_) => Self::UnsupportedMedia,
            DecodeError::TooLarge { .. } | DecodeError::TooMany { .. } => Self::TooLarge,
            DecodeError::Memory(exceeded) => exceeded.into(),
            DecodeError::TooLargeDecoded { .. }
            | DecodeError::TooManyInRead { .. }
            | DecodeError::Snappy(_)
            | DecodeError::Protobuf(_) => Self::BadRequest,
        }
    }
}

impl From<&otlp::DecodeError> for ErrorClass {
    fn from(error: &otlp::DecodeError) -> Self {
        match error {
            otlp::DecodeError::Protobuf(_) | otlp::DecodeError::Json { .. } => Self::BadRequest,
            otlp::DecodeError::Busy(exceeded) => exceeded.into(),
            otlp::DecodeError::TooMany { .. } | otlp::DecodeError::TooLarge { .. } => {
                Self::TooLarge
            }
        }
    }
}

impl From<&ReadError> for ErrorClass {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Query(QueryError::Patterns(PatternsTooLarge::Memory(exceeded))) => {
                exceeded.into()
            }
            ReadError::Query(_) | ReadError::TooLarge { .. } => Self::BadRequest,
            ReadError::Timestream(error) => Self::Timestream(error.kind),
            ReadError::Row(_) => Self::Timestream(ErrorKind::UnexpectedResponse),
            ReadError::Memory(exceeded) => exceeded.into(),
        }
    }
}

impl From<&EncodeError> for ErrorClass {
    fn from(error: &EncodeError) -> Self {
        match error {
            EncodeError::TooLarge(_) => Self::BadRequest,
            EncodeError::Memory(_) => Self::Unavailable,
        }
    }
}

/// The statuses of writes for one sender, as options and its headers determine them.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteStatuses {
    /// The status of throttling: 503 or 429.
    throttling: StatusCode,
    /// True if permanent errors have AWS' own statuses. Prometheus drops a request on any 4xx; other senders
    /// retry it for ever unless it is 400 (vmagent also drops on 409 and 415).
    has_aws: bool,
}

impl WriteStatuses {
    /// Returns the statuses for the sender of a request with these headers.
    pub(super) fn new(
        throttling: StatusCode,
        permanent: PermanentErrorStatus,
        headers: &HeaderMap,
    ) -> Self {
        let is_prometheus = || {
            let agent = headers.get(USER_AGENT);
            agent.is_some_and(|agent| agent.as_bytes().starts_with(PROMETHEUS))
        };
        Self {
            throttling,
            has_aws: match permanent {
                PermanentErrorStatus::Auto => is_prometheus(),
                PermanentErrorStatus::Aws => true,
                PermanentErrorStatus::BadRequest => false,
            },
        }
    }
}

/// A response to a request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    status: StatusCode,
    reason: Reason,
    text: String,
    retry_after: u64,
}

impl HttpError {
    pub(super) fn new(
        status: impl Into<StatusCode>,
        reason: Reason,
        text: impl Into<String>,
    ) -> Self {
        Self {
            status: status.into(),
            reason,
            text: shown(&text.into()),
            retry_after: RETRY_AFTER_SECONDS,
        }
    }

    /// Returns an error whose text is its cause and then the remedy of the reason.
    pub(super) fn with_remedy(
        status: impl Into<StatusCode>,
        reason: Reason,
        cause: impl Display,
    ) -> Self {
        Self::new(status, reason, format!("{cause}; {}", reason.remedy()))
    }

    /// Returns the reason.
    pub(super) fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the start of the text, without the remedy of the reason and what follows it.
    pub(super) fn cause(&self) -> &str {
        match self.text.find(self.reason.remedy()) {
            Some(remedy) => self.text[..remedy].trim_end_matches([' ', '(', ';', ':']),
            None => &self.text,
        }
    }

    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the body of the response, at most 1,024 bytes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The response to a request whose body broke off. It is not a 4xx, and neither are [`Self::slow_body`] and
    /// [`Self::paused_body`]: the data may be good.
    pub(super) fn incomplete_body(error: &axum::Error) -> Self {
        Self::with_remedy(
            ErrorClass::Unavailable,
            Reason::IncompleteBody,
            format_args!("the request body is incomplete: {error}"),
        )
    }

    pub(super) fn slow_body() -> Self {
        Self::with_remedy(
            ErrorClass::Unavailable,
            Reason::SlowBody,
            "the request body did not arrive before the deadline of the request",
        )
    }

    /// The response to a request of whose body nothing arrived for `pause`.
    pub(super) fn paused_body(pause: std::time::Duration) -> Self {
        Self::with_remedy(
            ErrorClass::Unavailable,
            Reason::IncompleteBody,
            format_args!(
                "nothing of the request body arrived for {} s",
                pause.as_secs()
            ),
        )
    }

    /// The response to a request for which the system has no memory left.
    pub(super) fn no_memory(error: &std::io::Error) -> Self {
        Self::with_remedy(
            ErrorClass::Unavailable,
            Reason::NoMemory,
            format_args!("the system has no memory for the request: {error}"),
        )
    }

    /// The response to a request whose deadline passed while it waited for a processor.
    pub(super) fn overloaded() -> Self {
        Self::with_remedy(
            ErrorClass::Unavailable,
            Reason::NoProcessor,
            "the connector had no processor for the request before its deadline",
        )
    }

    /// The response to a request without a valid credential.
    pub(super) fn unauthenticated(reason: &str, remedy: &str) -> Self {
        Self::new(
            ErrorClass::Unauthenticated,
            Reason::Unauthenticated,
            format!("AuthenticationError: {reason}; {remedy}"),
        )
    }

    /// The response to a request whose valid credential does not give access to the route.
    pub(super) fn no_access(reason: &str, remedy: &str) -> Self {
        Self::new(
            ErrorClass::Forbidden,
            Reason::NoAccess,
            format!("AccessError: {reason}; {remedy}"),
        )
    }

    /// The response to a request whose credential cannot be checked yet. Prometheus retries on 503, but not on 429
    /// or 401, and the credential may be valid.
    pub(super) fn authentication_busy() -> Self {
        Self::with_remedy(
            ErrorClass::Unavailable,
            Reason::AuthenticationBusy,
            "AuthenticationBusyError: too many passwords of this address wait to be checked",
        )
    }

    /// The response to a request that a foreign page or a proxy may have sent.
    pub(super) fn foreign(reason: Reason, text: &str) -> Self {
        Self::new(ErrorClass::Forbidden, reason, text)
    }

    pub(super) fn encoding(error: &EncodeError) -> Self {
        let reason = match error {
            EncodeError::TooLarge(_) => Reason::ResultTooLarge,
            EncodeError::Memory(_) => Reason::NoMemory,
        };
        let text = format!("{error}; query a shorter range or fewer series");
        Self::new(ErrorClass::from(error), reason, text)
    }

    /// The response to a read whose result exceeds the limit of the invocation.
    pub(super) fn result_too_large(bytes: usize, max_bytes: usize) -> Self {
        Self::with_remedy(
            ErrorClass::BadRequest,
            Reason::ResultTooLarge,
            format_args!(
                "the result has {bytes} bytes, more than the {max_bytes} that can be returned this \
                 way"
            ),
        )
    }

    /// The response to a read whose client accepts no known response type; the numbers are those of the protocol.
    pub(super) fn no_response_type(accepted: &[i32]) -> Self {
        let shown = &accepted[..accepted.len().min(20)];
        let more = match accepted.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Self::new(
            ErrorClass::BadRequest,
            Reason::NoResponseType,
            format!(
                "accepted_response_types has none of 0 (SAMPLES) and 1 (STREAMED_XOR_CHUNKS), but \
                 {shown:?}{more}"
            ),
        )
    }

    /// The response to a request whose protocol is given neither by path nor by header.
    pub(super) fn missing_header(path: &str, read_header: &str, write_header: &str) -> Self {
        Self::new(
            ErrorClass::BadRequest,
            Reason::MissingHeader,
            format!(
                "MissingHeaderError: no such path: '{}'; remote write is at /write, remote read at \
                 /read, OTLP metrics at /v1/metrics (there is no path for traces and logs); other paths need one of \
                 the headers {read_header} and {write_header}",
                cut(path.to_owned(), 300)
            ),
        )
    }

    /// The response of a function whose configuration cannot be used. For a write only a missing destination is
    /// permanent; after other errors Prometheus retries until the configuration is fixed.
    pub(super) fn misconfiguration(all: &[Misconfiguration], is_read: bool) -> Self {
        let is_permanent = is_read || all.iter().all(|it| it.is_missing_destination);
        let class = match is_permanent {
            true => ErrorClass::BadRequest,
            false => ErrorClass::Unavailable,
        };
        let texts: Vec<&str> = all.iter().map(|it| it.text.as_str()).collect();
        Self::with_remedy(class, Reason::Misconfiguration, cut(texts.join("; "), 900))
    }

    /// The response to a write whose samples were not all stored or dropped by policy.
    pub(super) fn from_write(outcome: &WriteOutcome, statuses: WriteStatuses) -> Option<Self> {
        let status = write_status(outcome, statuses)?;
        // The failures that decide the status come first: they need an action.
        let (retryable, permanent): (Vec<_>, Vec<_>) = outcome
            .failures
            .iter()
            .partition(|failure| failure.kind.is_retryable());
        let mut parts: Vec<String> = Vec::new();
        parts.extend(retryable.into_iter().map(describe));
        if let DeadLetterOutcome::Failed { samples, error } = &outcome.dead_letters {
            parts.push(format!(
                "DeadLetterError: {samples} samples could neither be stored nor written to the dead-letter \
                 target: {error} ({})",
                Reason::DeadLetter.remedy()
            ));
        }
        let invalid_series = outcome.invalid.iter();
        parts.extend(
            invalid_series.map(|invalid| format!("{} ({} samples)", invalid.text, invalid.samples)),
        );
        parts.extend(permanent.into_iter().map(describe));
        let ignored = outcome.all_ignored();
        let summary = format!(
            "; of {} samples {} are stored, {ignored} ignored, {} not stored",
            outcome.received,
            outcome.stored,
            outcome.lost()
        );
        let text = escaped(&parts.join("; ")).into_owned();
        let text = cut(text, MAX_TEXT_BYTES - summary.len()) + &summary;
        Some(Self::new(status, write_reason(outcome), text))
    }

    /// Sets the status of a retryable error to one after which exporters of OTLP send again.
    pub(super) fn for_exporters(self) -> Self {
        let status = match self.status {
            StatusCode::TOO_MANY_REQUESTS => self.status,
            _ => ErrorClass::Unavailable.into(),
        };
        Self { status, ..self }
    }

    /// Sets the seconds after which a sender should retry a retryable error.
    pub(super) fn after(self, retry_after: u64) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// Returns true if the sender should send the same request again.
    pub(super) fn is_retryable(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let (retryable, retry_after) = (self.is_retryable(), self.retry_after);
        let mut response = (self.status, self.text).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            http::HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if retryable {
            headers.insert(RETRY_AFTER, retry_after.into());
        }
        response
    }
}

/// Returns the status of a write; `None` if every sample is stored, was dropped by policy or is a dead letter.
fn write_status(outcome: &WriteOutcome, statuses: WriteStatuses) -> Option<StatusCode> {
    let kinds = outcome.failures.iter().map(|failure| failure.kind);
    let mut retryable: Vec<ErrorKind> = kinds.clone().filter(|kind| kind.is_retryable()).collect();
    retryable.dedup();
    if let [first, rest @ ..] = retryable.as_slice() {
        let agreed = rest.iter().all(|kind| kind == first);
        return Some(match first {
            ErrorKind::Throttled if agreed => statuses.throttling,
            ErrorKind::InternalServer if agreed => ErrorClass::Timestream(*first).into(),
            _ => ErrorClass::Unavailable.into(),
        });
    }
    match &outcome.dead_letters {
        DeadLetterOutcome::None => {}
        DeadLetterOutcome::Stored(_) => {
            let is_lost = outcome.invalid.iter().any(|it| !it.error.has_labels());
            return is_lost.then_some(ErrorClass::BadRequest.into());
        }
        DeadLetterOutcome::Failed { .. } => return Some(ErrorClass::Unavailable.into()),
    }
    let permanent = kinds.filter(|kind| !kind.is_retryable());
    let permanent = permanent.map(ErrorClass::Timestream);
    let invalid = outcome.invalid.iter().map(|_| ErrorClass::BadRequest);
    let mut permanent: Vec<StatusCode> = permanent.chain(invalid).map(StatusCode::from).collect();
    permanent.sort_unstable();
    permanent.dedup();
    match permanent.as_slice() {
        [] => None,
        [status] if statuses.has_aws => Some(*status),
        _ => Some(ErrorClass::BadRequest.into()),
    }
}

/// Returns the reason of a write that failed: that of the part of the text that comes first.
fn write_reason(outcome: &WriteOutcome) -> Reason {
    let kinds = || outcome.failures.iter().map(|failure| failure.kind);
    if let Some(kind) = kinds().find(|kind| kind.is_retryable()) {
        return Reason::Timestream(kind);
    }
    if let DeadLetterOutcome::Failed { .. } = outcome.dead_letters {
        return Reason::DeadLetter;
    }
    let invalid = outcome.invalid.first().map(|it| Reason::Series(it.error));
    let reason = invalid.or_else(|| kinds().next().map(Reason::Timestream));
    reason.expect("a write has an error only if samples are not stored")
}

fn describe(failure: &Failure) -> String {
    format!(
        "{}: {} samples for {} are not stored: {} ({})",
        failure.kind.as_str(),
        failure.samples,
        failure.destination,
        cut(failure.message.clone(), 300),
        Reason::Timestream(failure.kind).remedy()
    )
}

/// Returns the reason of a request that does not find the memory it needs.
fn of_budget(exceeded: &BudgetExceeded) -> Reason {
    match exceeded {
        BudgetExceeded::Busy { .. } => Reason::MemoryBusy,
        BudgetExceeded::TooLarge { .. } => Reason::MemoryLimit,
    }
}

impl From<DecodeError> for HttpError {
    fn from(error: DecodeError) -> Self {
        let option = match &error {
            DecodeError::TooLarge { .. } | DecodeError::TooLargeDecoded { .. } => {
                " or raise max_request_bytes"
            }
            DecodeError::Memory(_) => RAISE_MEMORY,
            DecodeError::ContentType(_)
            | DecodeError::MessageType(_)
            | DecodeError::ContentEncoding(_)
            | DecodeError::TooMany { .. }
            | DecodeError::TooManyInRead { .. }
            | DecodeError::Snappy(_)
            | DecodeError::Protobuf(_) => "",
        };
        let name = match &error {
            DecodeError::TooManyInRead { .. } => "ReadLimitError: ",
            _ => "",
        };
        let reason = match &error {
            DecodeError::ContentType(_)
            | DecodeError::MessageType(_)
            | DecodeError::ContentEncoding(_) => Reason::UnsupportedMedia,
            DecodeError::TooLarge { .. } | DecodeError::TooLargeDecoded { .. } => {
                Reason::BodyTooLarge
            }
            DecodeError::TooMany { .. } => Reason::RequestTooLarge,
            DecodeError::TooManyInRead { .. } => Reason::ReadLimit,
            DecodeError::Memory(exceeded) => of_budget(exceeded),
            DecodeError::Snappy(_) | DecodeError::Protobuf(_) => Reason::InvalidBody,
        };
        let class = ErrorClass::from(&error);
        Self::new(class, reason, format!("{name}{error}{option}"))
    }
}

impl From<otlp::DecodeError> for HttpError {
    fn from(error: otlp::DecodeError) -> Self {
        let option = match &error {
            otlp::DecodeError::Busy(_) | otlp::DecodeError::TooLarge { .. } => RAISE_MEMORY,
            otlp::DecodeError::Protobuf(_)
            | otlp::DecodeError::Json { .. }
            | otlp::DecodeError::TooMany { .. } => "",
        };
        let reason = match &error {
            otlp::DecodeError::Protobuf(_) | otlp::DecodeError::Json { .. } => Reason::InvalidBody,
            otlp::DecodeError::TooMany { .. } => Reason::RequestTooLarge,
            otlp::DecodeError::Busy(_) => Reason::MemoryBusy,
            otlp::DecodeError::TooLarge { .. } => Reason::MemoryLimit,
        };
        let class = ErrorClass::from(&error);
        Self::new(class, reason, format!("{error}{option}"))
    }
}

impl From<PolicyViolation> for HttpError {
    fn from(violation: PolicyViolation) -> Self {
        let reason = match violation {
            PolicyViolation::LongName { .. } | PolicyViolation::LargeSeries { .. } => {
                Reason::LongLabelName
            }
            PolicyViolation::InvalidSample { .. } | PolicyViolation::LargeHistogram { .. } => {
                Reason::InvalidSampleValue
            }
        };
        Self::new(
            ErrorClass::BadRequest,
            reason,
            format!("{violation}; nothing of the request is stored"),
        )
    }
}

impl From<&ReadError> for HttpError {
    fn from(error: &ReadError) -> Self {
        let text = match error {
            ReadError::Query(error @ QueryError::Patterns(PatternsTooLarge::Memory(_))) => {
                format!("{error}{RAISE_MEMORY}")
            }
            ReadError::Query(error) => error.to_string(),
            ReadError::TooLarge { .. } => error.to_string(),
            ReadError::Timestream(error) => {
                format!("{error} ({})", Reason::Timestream(error.kind).remedy())
            }
            ReadError::Memory(error) => format!("{error}{RAISE_MEMORY}"),
            ReadError::Row(error) => {
                let reason = Reason::Timestream(ErrorKind::UnexpectedResponse);
                format!("{}: {error} ({})", reason.name(), reason.remedy())
            }
        };
        let reason = match error {
            ReadError::Query(error) => of_query(error),
            ReadError::TooLarge { .. } => Reason::ReadLimit,
            ReadError::Timestream(error) => Reason::Timestream(error.kind),
            ReadError::Memory(exceeded) => of_budget(exceeded),
            ReadError::Row(_) => Reason::Timestream(ErrorKind::UnexpectedResponse),
        };
        Self::new(ErrorClass::from(error), reason, text)
    }
}

fn of_query(error: &QueryError) -> Reason {
    match error {
        QueryError::UnknownMatcher(_) => Reason::UnknownMatcher,
        QueryError::Patterns(error) => match error {
            PatternsTooLarge::Long => Reason::NoProcessor,
            PatternsTooLarge::TooMany => Reason::ReadLimit,
            PatternsTooLarge::Invalid(_) => Reason::InvalidRegex,
            PatternsTooLarge::Memory(exceeded) => of_budget(exceeded),
        },
        QueryError::TooManyDestinations { .. } => Reason::ReadLimit,
        QueryError::InvalidRegex { .. } => Reason::InvalidRegex,
        QueryError::MissingDatabase(_) => Reason::MissingDatabaseInQuery,
        QueryError::MissingTable(_) => Reason::MissingTableInQuery,
        QueryError::OpenDestination(_) => Reason::OpenDestination,
        QueryError::TooLong => Reason::QueryTooLong,
    }
}

/// Returns the response to a method other than POST.
pub(super) async fn post_only() -> Response {
    let error = HttpError::new(
        ErrorClass::MethodNotAllowed,
        Reason::Method,
        "this path accepts POST requests only",
    );
    let mut response = error.into_response();
    response
        .headers_mut()
        .insert(ALLOW, http::HeaderValue::from_static("POST"));
    response
}

/// Returns the response to an unknown path.
pub(super) fn not_found(uri: &http::Uri) -> HttpError {
    let path = uri.path();
    HttpError::new(
        ErrorClass::NotFound,
        Reason::NotFound,
        format!(
            "no such path: '{path}'; remote write is at /write, remote read at /read, OTLP metrics at /v1/metrics"
        ),
    )
}

/// Returns `text` as it may stand in a response: clients log it, and people read logs in a terminal.
pub(super) fn shown(text: &str) -> String {
    // Escapes make it longer only, so what is cut now would be cut in any case; a character has up to four bytes.
    let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES + 4)];
    cut(escaped(text).into_owned(), MAX_TEXT_BYTES)
}

/// Returns at most `max_bytes` of `text`, with dots at the end if it is cut.
fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes.saturating_sub(3)));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_ends_in_dots() {
        for end in ["a", "é", "€", "😀", "\n"] {
            let (whole, long) = ("x".repeat(MAX_TEXT_BYTES), "x".repeat(MAX_TEXT_BYTES - 1));
            assert_eq!(shown(&whole), whole);
            let text = shown(&format!("{long}{end}{end}"));
            assert!(
                text.ends_with("x...") && text.len() <= MAX_TEXT_BYTES,
                "{end:?}"
            );
        }
    }
    use crate::ingest::InvalidSeries;
    use crate::storage::destination::Destination;
    use crate::storage::write::route::SeriesError;
    use crate::timestream::TimestreamError;

    fn outcome(kinds: &[ErrorKind], is_invalid: bool) -> WriteOutcome {
        let failure = |kind: &ErrorKind| Failure {
            destination: Destination {
                database: "db".to_owned(),
                table: "t".to_owned(),
            },
            kind: *kind,
            samples: 2,
            message: "words of the service".to_owned(),
        };
        let mut outcome = WriteOutcome {
            received: 10,
            stored: 5,
            failures: kinds.iter().map(failure).collect(),
            ..WriteOutcome::default()
        };
        if is_invalid {
            let invalid = InvalidSeries {
                error: SeriesError::NoMetricName,
                samples: 1,
                text: "MissingMetricName: the time series {} has no label __name__; give it a metric name".to_owned(),
            };
            outcome.invalid.push(invalid);
        }
        outcome
    }

    fn statuses(throttling: u16) -> WriteStatuses {
        let throttling = StatusCode::from_u16(throttling).unwrap();
        WriteStatuses::new(throttling, PermanentErrorStatus::Aws, &HeaderMap::new())
    }

    #[test]
    fn senders_that_get_the_statuses_of_aws() {
        use PermanentErrorStatus::{Auto, Aws, BadRequest};
        let cases: [(PermanentErrorStatus, Option<&str>, bool); 11] = [
            (Auto, Some("Prometheus/3.15.0"), true),
            (Auto, Some("Prometheus/"), true),
            (Auto, Some("prometheus/3.15.0"), false),
            (Auto, Some("Prometheus"), false),
            (Auto, Some("vmagent"), false),
            (Auto, Some("Telegraf/1.36 Prometheus/1"), false),
            (Auto, None, false),
            (Aws, Some("vmagent"), true),
            (Aws, None, true),
            (BadRequest, Some("Prometheus/3.15.0"), false),
            (BadRequest, None, false),
        ];
        let kinds = [
            (ErrorKind::Validation, 400),
            (ErrorKind::QuotaExceeded, 402),
            (ErrorKind::AccessDenied, 403),
            (ErrorKind::NotFound, 404),
            (ErrorKind::Conflict, 409),
            (ErrorKind::Rejected, 419),
        ];
        for (option, agent, has_aws) in cases {
            let mut headers = HeaderMap::new();
            if let Some(agent) = agent {
                headers.insert(USER_AGENT, agent.parse().unwrap());
            }
            let statuses = WriteStatuses::new(StatusCode::SERVICE_UNAVAILABLE, option, &headers);
            for (kind, of_aws) in kinds {
                let error = HttpError::from_write(&outcome(&[kind], false), statuses).unwrap();
                let expected = if has_aws { of_aws } else { 400 };
                assert_eq!(error.status(), expected, "{option:?} {agent:?} {kind:?}");
                assert!(error.text().starts_with(kind.as_str()), "{}", error.text());
            }
            // Retryable errors are the same for all.
            for (kind, expected) in [
                (ErrorKind::Throttled, 503),
                (ErrorKind::InternalServer, 500),
            ] {
                let outcome = outcome(&[kind, ErrorKind::NotFound], false);
                assert_eq!(
                    write_status(&outcome, statuses).unwrap(),
                    expected,
                    "{agent:?}"
                );
            }
        }
    }

    #[test]
    fn statuses_of_writes() {
        use ErrorKind::{
            AccessDenied, Conflict, Credentials, InternalServer, InvalidEndpoint, NotFound,
            QuotaExceeded, Rejected, Throttled, Timeout, Unavailable, UnexpectedResponse,
            Validation,
        };
        let cases: [(&[ErrorKind], bool, Option<u16>); 22] = [
            (&[], false, None),
            (&[Throttled], false, Some(503)),
            (&[Throttled, Throttled], false, Some(503)),
            (&[Throttled, InternalServer], false, Some(503)),
            (&[InternalServer], false, Some(500)),
            (&[InternalServer, NotFound], true, Some(500)),
            (&[Unavailable], false, Some(503)),
            (&[UnexpectedResponse], false, Some(503)),
            (&[Timeout], false, Some(503)),
            (&[InvalidEndpoint], false, Some(503)),
            (&[Credentials], false, Some(503)),
            (&[NotFound, Throttled], true, Some(503)),
            (&[Validation], false, Some(400)),
            (&[QuotaExceeded], false, Some(402)),
            (&[AccessDenied], false, Some(403)),
            (&[NotFound], false, Some(404)),
            (&[NotFound, NotFound], false, Some(404)),
            (&[Conflict], false, Some(409)),
            (&[Rejected], false, Some(419)),
            (&[Rejected, NotFound], false, Some(400)),
            (&[], true, Some(400)),
            (&[NotFound], true, Some(400)),
        ];
        for (kinds, is_invalid, expected) in cases {
            let status = write_status(&outcome(kinds, is_invalid), statuses(503))
                .map(|status| status.as_u16());
            assert_eq!(status, expected, "{kinds:?} {is_invalid}");
        }
    }

    #[test]
    fn statuses_of_reads() {
        let cases = [
            (ErrorKind::QueryExecution, 400),
            (ErrorKind::Validation, 400),
            (ErrorKind::QuotaExceeded, 402),
            (ErrorKind::AccessDenied, 403),
            (ErrorKind::NotFound, 404),
            (ErrorKind::NotFoundByQuery, 400),
            (ErrorKind::Conflict, 409),
            (ErrorKind::Rejected, 419),
            (ErrorKind::Throttled, 429),
            (ErrorKind::InternalServer, 500),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::UnexpectedResponse, 502),
            (ErrorKind::InvalidEndpoint, 503),
            (ErrorKind::Credentials, 503),
            (ErrorKind::Timeout, 504),
        ];
        for (kind, status) in cases {
            let error = TimestreamError::new(kind, "words of the service");
            let response = HttpError::from(&ReadError::Timestream(error));
            assert_eq!(response.status(), status, "{kind:?}");
            assert!(
                response.text().starts_with(kind.as_str()),
                "{}",
                response.text()
            );
            assert!(
                response.text().contains("words of the service"),
                "{}",
                response.text()
            );
        }
    }

    #[test]
    fn statuses_of_undecodable_requests() {
        let text = || "x".to_owned();
        let cases = [
            (DecodeError::ContentType(text()), 415),
            (DecodeError::MessageType(text()), 415),
            (DecodeError::ContentEncoding(text()), 415),
            (DecodeError::TooLarge { limit: 1 }, 413),
            (
                DecodeError::TooMany {
                    what: "labels",
                    limit: 1,
                },
                413,
            ),
            (
                DecodeError::TooLargeDecoded {
                    declared: 2,
                    limit: 1,
                },
                400,
            ),
            (DecodeError::Snappy(text()), 400),
            (DecodeError::Protobuf(text()), 400),
        ];
        for (error, status) in cases {
            assert_eq!(HttpError::from(error.clone()).status(), status, "{error:?}");
        }
    }

    #[test]
    fn exporters_of_otlp_send_again_after_every_retryable_error() {
        for kind in ErrorKind::ALL.into_iter().filter(|it| it.is_retryable()) {
            for throttling in [503, 429] {
                let outcome = outcome(&[kind], true);
                let error = HttpError::from_write(&outcome, statuses(throttling)).unwrap();
                let status = error.for_exporters().status().as_u16();
                let expected = match kind {
                    ErrorKind::Throttled => throttling,
                    _ => 503,
                };
                assert_eq!(status, expected, "{kind:?}");
            }
        }
        let busy = || BudgetExceeded::Busy { limit: 1 };
        let json = otlp::DecodeError::Json {
            path: String::new(),
            reason: String::new(),
        };
        for (error, status) in [
            (otlp::DecodeError::Protobuf("x"), 400),
            (json, 400),
            (otlp::DecodeError::Busy(busy()), 503),
            (otlp::DecodeError::TooLarge { limit: 1 }, 413),
            (
                otlp::DecodeError::TooMany {
                    what: "labels",
                    limit: 1,
                },
                413,
            ),
        ] {
            assert_eq!(HttpError::from(error.clone()).status(), status, "{error:?}");
        }
    }

    #[test]
    fn the_option_that_limits_a_request_is_named() {
        let large = BudgetExceeded::TooLarge { limit: 1 };
        let busy = BudgetExceeded::Busy { limit: 1 };
        let declared = DecodeError::TooLargeDecoded {
            declared: 2,
            limit: 1,
        };
        let cases = [
            (DecodeError::TooLarge { limit: 1 }, "max_request_bytes"),
            (declared, "max_request_bytes"),
            (DecodeError::Memory(large), "max_in_flight_bytes"),
            (DecodeError::Memory(busy), "max_in_flight_bytes"),
        ];
        for (error, option) in cases {
            let text = HttpError::from(error).text().to_owned();
            assert!(text.ends_with(&format!("or raise {option}")), "{text}");
        }
    }

    #[test]
    fn the_status_for_throttling_is_an_option() {
        let status = |kinds| {
            let status = write_status(&outcome(kinds, false), statuses(429));
            status.unwrap().as_u16()
        };
        assert_eq!(status(&[ErrorKind::Throttled]), 429);
        assert_eq!(status(&[ErrorKind::Throttled, ErrorKind::Unavailable]), 503);
    }

    #[test]
    fn the_text_counts_samples_by_outcome() {
        let error = HttpError::from_write(
            &outcome(&[ErrorKind::NotFound, ErrorKind::Throttled], true),
            statuses(503),
        )
        .unwrap();
        let text = error.text();
        assert!(
            text.starts_with("ThrottlingException: 2 samples for db/t are not stored"),
            "{text}"
        );
        assert!(text.contains("MissingMetricName:"), "{text}");
        assert!(
            text.ends_with("; of 10 samples 5 are stored, 0 ignored, 5 not stored"),
            "{text}"
        );
    }

    #[test]
    fn a_cause_has_no_remedy() {
        let error = HttpError::from_write(&outcome(&[ErrorKind::Throttled], true), statuses(503));
        let error = error.unwrap();
        assert_eq!(error.reason(), Reason::Timestream(ErrorKind::Throttled));
        assert_eq!(
            error.cause(),
            "ThrottlingException: 2 samples for db/t are not stored: words of the service"
        );
        let error = HttpError::from_write(&outcome(&[], true), statuses(503)).unwrap();
        assert_eq!(error.reason(), Reason::Series(SeriesError::NoMetricName));
        assert!(
            error.cause().ends_with(" has no label __name__"),
            "{}",
            error.cause()
        );
        let error = HttpError::slow_body();
        assert_eq!(
            error.cause(),
            "the request body did not arrive before the deadline of the request"
        );
    }

    #[test]
    fn a_text_hides_nothing() {
        let mut outcome = outcome(&[ErrorKind::NotFound], false);
        outcome.failures[0].message = "\u{1b}[2J\u{202e}".repeat(1_000);
        let error = HttpError::from_write(&outcome, statuses(503)).unwrap();
        assert!(
            error.text().contains("\\u001b[2J\\u202e"),
            "{}",
            error.text()
        );
        assert!(error.text().len() <= MAX_TEXT_BYTES);
        assert!(error.text().ends_with(" not stored"), "{}", error.text());
        let missing = HttpError::missing_header("/\u{9b}", "r", "w");
        assert!(missing.text().contains("/\\u009b"), "{}", missing.text());
    }

    #[test]
    fn a_long_text_is_cut_and_keeps_its_summary() {
        let mut outcome = outcome(&[ErrorKind::NotFound; 12], false);
        outcome.failures[0].message = "ü".repeat(1_000);
        let error = HttpError::from_write(&outcome, statuses(503)).unwrap();
        assert!(error.text().len() <= MAX_TEXT_BYTES);
        assert!(error.text().ends_with("24 not stored"), "{}", error.text());
    }
}
