//! The port to Timestream: writes of prepared batches, queries, and their errors.
//!
//! [`client`] speaks through the AWS SDK: `service` holds its clients, `endpoint` finds the cell to
//! talk to, `write_client` writes without the SDK, `checked_credentials` rejects credentials that no request can hold, `identity` describes credentials, `query_page` reads the pages of queries, `failure` reads the errors, `rejection` the reasons
//! of rejected records, `roots` has the authorities that are trusted, [`tables`] creates and deletes tables, and [`retry`] is the one layer that
//! tries again.

mod checked_credentials;
pub mod client;
mod endpoint;
mod failure;
mod identity;
mod query_page;
mod rejection;
pub mod retry;
mod roots;
mod service;
pub mod tables;
mod write_client;

use std::error::Error;
use std::sync::Arc;

pub use client::{
    Page, Pages, QueryBytes, Settings, Side, Timestream, load_sdk_config, sdk_config,
};
pub use endpoint::Discovery;
pub use failure::credentials_remedy;
pub use identity::{Identity, is_account};
pub use rejection::{RejectReason, Rejection};
pub use roots::TrustedRoots;

/// The kind of an error, by its remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The service rejects the call because of the rate of calls.
    Throttled,
    /// The service failed.
    InternalServer,
    /// The service cannot be reached.
    Unavailable,
    /// The response cannot be read, or contradicts the request: something else than the service may
    /// have sent it.
    UnexpectedResponse,
    /// No response within the deadline.
    Timeout,
    /// The endpoint no longer serves this account.
    InvalidEndpoint,
    /// There are no credentials, or they are expired, unknown or wrongly signed.
    Credentials,
    /// The request breaks a rule of the service.
    Validation,
    /// A row of the result is larger than the service returns (1 MB).
    RowTooLarge,
    /// The query failed while it ran.
    QueryExecution,
    /// A quota of the account is used up.
    QuotaExceeded,
    /// The credentials do not allow this.
    AccessDenied,
    /// The database or table does not exist.
    NotFound,
    /// The same of a query, which the service calls a validation error.
    NotFoundByQuery,
    /// The service is busy with a conflicting change.
    Conflict,
    /// Some records were rejected, the others stored.
    Rejected,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::Throttled,
        Self::InternalServer,
        Self::Unavailable,
        Self::UnexpectedResponse,
        Self::Timeout,
        Self::InvalidEndpoint,
        Self::Credentials,
        Self::Validation,
        Self::RowTooLarge,
        Self::QueryExecution,
        Self::QuotaExceeded,
        Self::AccessDenied,
        Self::NotFound,
        Self::NotFoundByQuery,
        Self::Conflict,
        Self::Rejected,
    ];

    /// Returns true if a later attempt may succeed without a change of the data or the set-up of tables.
    ///
    /// Credentials count: they are renewed, and the data is still good then.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Throttled
            | Self::InternalServer
            | Self::Unavailable
            | Self::UnexpectedResponse
            | Self::Timeout
            | Self::InvalidEndpoint
            | Self::Credentials => true,
            Self::Validation
            | Self::RowTooLarge
            | Self::QueryExecution
            | Self::QuotaExceeded
            | Self::AccessDenied
            | Self::NotFound
            | Self::NotFoundByQuery
            | Self::Conflict
            | Self::Rejected => false,
        }
    }

    /// Returns the name in logs, metrics and responses: that of the service's exception, if there is one; of
    /// `RowTooLarge` the documented one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "ThrottlingException",
            Self::InternalServer => "InternalServerException",
            Self::Unavailable => "Unavailable",
            Self::UnexpectedResponse => "UnexpectedResponse",
            Self::Timeout => "Timeout",
            Self::InvalidEndpoint => "InvalidEndpointException",
            Self::Credentials => "CredentialsError",
            Self::Validation | Self::RowTooLarge | Self::NotFoundByQuery => "ValidationException",
            Self::QueryExecution => "QueryExecutionException",
            Self::QuotaExceeded => "ServiceQuotaExceededException",
            Self::AccessDenied => "AccessDeniedException",
            Self::NotFound => "ResourceNotFoundException",
            Self::Conflict => "ConflictException",
            Self::Rejected => "RejectedRecordsException",
        }
    }
}

/// Returns the host of a URL, with its port but without the credentials that may stand before it.
pub fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// A call to Timestream that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {message}", kind.as_str())]
pub struct TimestreamError {
    /// The kind of the error, by its remedy.
    pub kind: ErrorKind,
    /// The service's words, or those of the layer that failed.
    pub message: String,
    /// The records that were not stored; only with [`ErrorKind::Rejected`].
    pub rejections: Vec<Rejection>,
    /// The error of the SDK, whose text is part of `message` where the service sent none.
    #[source]
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl TimestreamError {
    /// Returns the error of a call without a response in time.
    pub fn timeout() -> Self {
        Self::new(
            ErrorKind::Timeout,
            "no response from Timestream before the deadline of the request",
        )
    }

    /// Adds the host of `url` to an error of the way to it, unless its words have it already. Words of the service
    /// need none.
    pub fn name_host(&mut self, url: &str) {
        let is_of_the_way = matches!(
            self.kind,
            ErrorKind::Unavailable | ErrorKind::UnexpectedResponse | ErrorKind::Timeout
        );
        let host = host_of(url);
        if is_of_the_way && !host.is_empty() && !self.message.contains(host) {
            self.message = format!("{host}: {}", self.message);
        }
    }

    /// An error without rejected records.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            rejections: Vec::new(),
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_way_name_the_host_once() {
        let url = "https://user:hidden@cell1.example:8443/path";
        let message = |kind, words: &str| {
            let mut error = TimestreamError::new(kind, words);
            error.name_host(url);
            error.message
        };
        assert_eq!(
            message(ErrorKind::Timeout, "no response"),
            "cell1.example:8443: no response"
        );
        let words = "cannot connect to https://cell1.example:8443/";
        assert_eq!(message(ErrorKind::Unavailable, words), words);
        assert_eq!(message(ErrorKind::Validation, "no"), "no");
        assert_eq!(host_of("cell1"), "cell1");
        assert_eq!(host_of(""), "");
    }
}
