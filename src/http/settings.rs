//! The settings of the HTTP interface.

use std::time::Duration;

use go_regex::Pattern;
use http::StatusCode;
use otlp::Options;
use promql::EngineOptions;

/// The settings of an [`App`](super::App).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region, for the start page.
    pub region: String,
    /// Path of the connector's own metrics; starts with `/`.
    pub telemetry_path: String,
    /// Deadline of a write request.
    pub request_timeout: Duration,
    /// Deadline of a read request.
    pub read_timeout: Duration,
    /// Deadline of a request to the query API.
    pub query_timeout: Duration,
    /// A query that takes as long is logged at info.
    pub query_log_slow: Duration,
    /// The PromQL that is accepted, and its limits.
    pub promql: EngineOptions,
    /// The origins whose pages may use the query API; `None` admits no other origin than its own.
    pub cors_origin: Option<CorsOrigin>,
    /// Status of a throttled write: 503 or 429.
    pub throttled_write_status: StatusCode,
    /// Status of a write that Timestream rejects permanently.
    pub permanent_error_status: PermanentErrorStatus,
    /// The translation of OTLP metrics.
    pub otlp: Options,
    /// Maximum request body size, before and after decompression, in bytes.
    pub max_request_bytes: usize,
    /// Maximum memory of all requests in flight, in bytes.
    pub max_in_flight_bytes: usize,
}

/// The origins whose pages may use the query API.
#[derive(Clone, Debug)]
pub struct CorsOrigin {
    text: String,
    pattern: Pattern,
}

impl CorsOrigin {
    /// Returns the origins that a regular expression matches as a whole; `None` if it is not valid.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self {
            text: text.to_owned(),
            pattern: Pattern::new(text).ok()?,
        })
    }

    /// Returns the regular expression.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns true if the pages of every origin may use the API.
    pub fn is_any(&self) -> bool {
        self.text == ".*"
    }

    /// Returns true if the pages of an origin may use the API.
    pub fn matches(&self, origin: &str) -> bool {
        self.pattern.matches(origin)
    }
}

/// The status of a write that Timestream rejects permanently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermanentErrorStatus {
    /// AWS' own for Prometheus, 400 for all other senders.
    Auto,
    /// AWS' own.
    Aws,
    /// 400, on which every sender drops the request.
    BadRequest,
}

/// An option that cannot be used.
#[derive(Clone, Debug)]
pub struct Misconfiguration {
    /// True if it leaves all data without a destination.
    pub is_missing_destination: bool,
    /// Option, value and the expected one.
    pub text: String,
}
