//! Errors of the SDK to errors of the port.

use std::error::Error;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::query_page::MalformedPage;
use super::{ErrorKind, TimestreamError};
use crate::causes::causes;

/// The words with which the service rejects a query of which a result row has 1 MB or more.
const ROW_TOO_LARGE: &str = "max page response size has been exceeded";

/// Returns the error of the port for a failed call.
pub(super) fn classify<E>(error: SdkError<E, HttpResponse>) -> TimestreamError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let kind = match &error {
        // The SDK could not read what was sent with it.
        SdkError::ServiceError(service) if service.raw().status().is_success() => {
            ErrorKind::UnexpectedResponse
        }
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            service_kind(service.err().meta().code().unwrap_or_default(), status)
        }
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ErrorKind::Timeout,
        // The SDK reports a chain that yields no credentials as a failure to dispatch.
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_)
            if is_caused_by::<CredentialsError>(&error) =>
        {
            ErrorKind::Credentials
        }
        // Others are of connections that broke.
        SdkError::ResponseError(_) if is_caused_by::<MalformedPage>(&error) => {
            ErrorKind::UnexpectedResponse
        }
        _ => ErrorKind::Unavailable,
    };
    let message = error
        .as_service_error()
        .and_then(|service| service.meta().message());
    let message = match message {
        Some(message) => message.to_owned(),
        None if kind == ErrorKind::UnexpectedResponse => unreadable(&error),
        None if kind == ErrorKind::Credentials => without_credentials(&error),
        None => causes(&error),
    };
    let kind = kind_by_words(kind, &message);
    TimestreamError {
        source: error.into_source().ok().map(Arc::from),
        ..TimestreamError::new(kind, message)
    }
}

fn is_caused_by<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    cause::<E>(error).is_some()
}

/// Returns the first of an error and its causes that has this type.
fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.find_map(|error| error.downcast_ref())
}

/// The words for a chain of credentials that is at its end, and the remedy.
const NO_CREDENTIALS: (&str, &str) = (
    "no AWS credentials were found",
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, select a profile by AWS_PROFILE, or give this machine, \
     container or function a role",
);

/// The words for a profile with a source of credentials that is not compiled in, and the remedy.
const UNSUPPORTED_PROFILE: (&str, &str) = (
    "the AWS profile takes its credentials from IAM Identity Center (sso) or from a process, which this program does not",
    "export them first: eval \"$(aws configure export-credentials --format env)\", with version 2 of the AWS command line",
);

/// The remedy for credentials, or a token for them, that no header can hold.
pub(super) const PRINTABLE: &str = "remove line ends and control characters where it is stored (echo adds a line end, \
     printf does not)";

/// Splits the words of an error of credentials from their remedy, if they have one.
pub fn credentials_remedy(message: &str) -> Option<(&str, &'static str)> {
    let remedies = [NO_CREDENTIALS.1, UNSUPPORTED_PROFILE.1, PRINTABLE];
    remedies.into_iter().find_map(|remedy| {
        let words = message.strip_suffix(remedy)?.strip_suffix(": ")?;
        Some((words, remedy))
    })
}

/// Returns the words for an error of credentials. Those of the SDK for an empty chain list types of its own, and those for
/// a profile features of its crates.
pub(super) fn without_credentials(error: &(dyn Error + 'static)) -> String {
    let is_unsupported = |error: &CredentialsError| causes(error).contains("cargo feature");
    match cause::<CredentialsError>(error) {
        Some(CredentialsError::CredentialsNotLoaded(_)) => {
            let (words, remedy) = NO_CREDENTIALS;
            format!("{words}: {remedy}")
        }
        Some(error) if is_unsupported(error) => {
            let (words, remedy) = UNSUPPORTED_PROFILE;
            format!("{words}: {remedy}")
        }
        Some(error @ CredentialsError::InvalidConfiguration(_)) => {
            let text = error.source().map_or_else(|| causes(error), causes);
            match text.contains("auth token could not be used") {
                true => format!(
                    "the token for the container's credentials (AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, or \
                     AWS_CONTAINER_AUTHORIZATION_TOKEN) cannot be sent in a header: {PRINTABLE}"
                ),
                false => text,
            }
        }
        Some(error) => causes(error),
        None => causes(error),
    }
}

/// Returns the kind that has the remedy for an error: the service has one kind for errors with several remedies.
fn kind_by_words(kind: ErrorKind, message: &str) -> ErrorKind {
    match kind {
        ErrorKind::Validation | ErrorKind::QueryExecution if message.contains(ROW_TOO_LARGE) => {
            ErrorKind::RowTooLarge
        }
        ErrorKind::Validation if is_missing_table(message) => ErrorKind::NotFoundByQuery,
        kind => kind,
    }
}

/// Returns true if the words of a query's error say that a database or table does not exist, such as
/// `line 1:15: Table 'db.t' does not exist`.
///
/// The subject must be at the start: other errors quote columns, patterns and texts of the query.
fn is_missing_table(message: &str) -> bool {
    let words = match message.strip_prefix("line ") {
        Some(position) => position.split_once(": ").map_or("", |(_, words)| words),
        None => message,
    };
    let words = words.to_ascii_lowercase();
    let is_about = ["table ", "database ", "schema "].iter().any(|subject| {
        let words = words.strip_prefix("the ").unwrap_or(&words);
        let words = words.strip_prefix("requested ").unwrap_or(words);
        words.starts_with(subject)
    });
    is_about && (words.contains(" does not exist") || words.contains(" not found"))
}

/// Returns the kind of an error in a response of the service.
pub(super) fn service_kind(code: &str, status: u16) -> ErrorKind {
    match code {
        "ThrottlingException" => ErrorKind::Throttled,
        "InternalServerException" => ErrorKind::InternalServer,
        // The last one is the response of the regional host if discovery was needed.
        "InvalidEndpointException" | "UnknownOperationException" => ErrorKind::InvalidEndpoint,
        "ValidationException" | "SerializationException" => ErrorKind::Validation,
        "QueryExecutionException" => ErrorKind::QueryExecution,
        "ServiceQuotaExceededException" => ErrorKind::QuotaExceeded,
        "AccessDeniedException" => ErrorKind::AccessDenied,
        "ResourceNotFoundException" => ErrorKind::NotFound,
        "ConflictException" => ErrorKind::Conflict,
        "RejectedRecordsException" => ErrorKind::Rejected,
        "ExpiredTokenException"
        | "ExpiredToken"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => ErrorKind::Credentials,
        _ if status == 429 => ErrorKind::Throttled,
        _ if status >= 500 => ErrorKind::InternalServer,
        // Every error of the service has a code.
        "" => ErrorKind::UnexpectedResponse,
        // An unknown error: data is not given up for it.
        _ => ErrorKind::Unavailable,
    }
}

/// The words for a response that cannot be read.
fn unreadable<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: Error + 'static,
{
    let first: &(dyn Error + 'static) = error;
    let causes = std::iter::successors(Some(first), |error| (*error).source());
    let cause = causes.last().unwrap_or(first);
    if let Some(page) = cause.downcast_ref::<MalformedPage>() {
        return page.to_string();
    }
    match error.raw_response().map(|response| response.status()) {
        Some(status) if !status.is_success() => format!(
            "the response has the status {} and is no error of Timestream: {cause}",
            status.as_u16()
        ),
        _ => format!("the response cannot be read: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_have_kinds() {
        let cases = [
            ("ThrottlingException", 429, ErrorKind::Throttled),
            ("RejectedRecordsException", 419, ErrorKind::Rejected),
            ("ExpiredTokenException", 403, ErrorKind::Credentials),
            ("UnknownOperationException", 404, ErrorKind::InvalidEndpoint),
            ("", 429, ErrorKind::Throttled),
            ("", 502, ErrorKind::InternalServer),
            ("", 404, ErrorKind::UnexpectedResponse),
            ("", 302, ErrorKind::UnexpectedResponse),
            ("SomethingNew", 400, ErrorKind::Unavailable),
        ];
        for (code, status, expected) in cases {
            assert_eq!(service_kind(code, status), expected, "{code} {status}");
        }
    }

    #[test]
    fn missing_tables_of_queries_are_recognized_by_their_words() {
        use ErrorKind::{AccessDenied, NotFoundByQuery, QueryExecution, RowTooLarge, Validation};
        let cases = [
            ("line 1:15: Table 'db.t' does not exist", NotFoundByQuery),
            ("Table 'db.t' does not exist", NotFoundByQuery),
            ("line 3:1: Table db.t does not exist.", NotFoundByQuery),
            ("line 1:15: Database 'db' does not exist", NotFoundByQuery),
            ("line 1:15: Schema 'db' does not exist", NotFoundByQuery),
            ("The table t does not exist.", NotFoundByQuery),
            ("The database db does not exist.", NotFoundByQuery),
            (
                "Requested database 'db' not found for identifier 'db.t' at line 1:15",
                NotFoundByQuery,
            ),
            // Others that the request itself has to change for.
            ("line 1:76: Column 'vehicleName' does not exist", Validation),
            ("line 1:8: Column 'Table ' does not exist", Validation),
            ("line 1:8: Function table not registered", Validation),
            ("line 1:8: Table 'db.t' has too many columns", Validation),
            ("invalid pattern: Table 'a' does not exist", Validation),
            ("line 1:8", Validation),
            ("", Validation),
            ("the max page response size has been exceeded", RowTooLarge),
        ];
        for (message, expected) in cases {
            assert_eq!(kind_by_words(Validation, message), expected, "{message}");
        }
        // Its own remedies stay.
        let missing = "Table 'db.t' does not exist";
        for kind in [AccessDenied, QueryExecution] {
            assert_eq!(kind_by_words(kind, missing), kind);
        }
    }
}
