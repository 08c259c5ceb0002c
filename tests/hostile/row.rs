//! A row of the table: a request, and the statuses that its responses may have.

use std::collections::BTreeMap;
use std::fmt;

use crate::bodies::snappy;

/// A hostile request.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) route: Route,
    pub(crate) expected: Expected,
    /// Returns the message of `/read` and `/write`, which is compressed before it is sent, the rest of the
    /// target of a GET, and the body of other routes.
    pub(crate) content: fn() -> Vec<u8>,
}

/// The route of a request, with its method and headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Read,
    /// Remote write 1.0.
    Write1,
    /// Remote write 2.0.
    Write2,
    /// `/write` with a body that is sent as it is.
    Raw,
    Create,
    Patch,
    Rows,
    /// Metrics of OTLP in protobuf, in JSON, and in protobuf that is compressed by gzip before it is given here.
    Otlp,
    OtlpJson,
    OtlpGzip,
    /// The other names of `/read` and `/write`.
    ReadAlias,
    WriteAlias,
    /// This path of the query API, with a form.
    Form(&'static str),
    /// A GET whose target begins like this; the content is the rest of it.
    Get(&'static str),
}

/// The statuses that a row allows.
#[derive(Clone, Copy)]
pub(crate) enum Expected {
    /// Any status by which a sender knows what to do: 2xx, 400, 413 or 503. Also 419, which reports
    /// records that Timestream has rejected.
    Definite,
    /// One of these from each response.
    Always(&'static [u16]),
    /// One of these from at least one response, and from each other one too unless the memory for
    /// requests in flight was full (503). For requests that can never succeed: a sender repeats a
    /// request for as long as it gets 503.
    Rejected(&'static [u16]),
}

/// A request that is too large in one way or another.
pub(crate) const REJECTED: Expected = Expected::Rejected(&[400, 413]);

/// The end of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Status(u16),
    /// No response in time.
    Late,
    /// The connection broke, or the invocation failed, without a response.
    Broken,
    /// The client left before there was a response.
    Left,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Late => f.write_str("late"),
            Self::Broken => f.write_str("broken"),
            Self::Left => f.write_str("left"),
        }
    }
}

impl Row {
    pub(crate) fn new(
        route: Route,
        name: &'static str,
        expected: Expected,
        content: fn() -> Vec<u8>,
    ) -> Self {
        Self {
            name,
            route,
            expected,
            content,
        }
    }

    /// Returns the body, and its size after decompression.
    pub(crate) fn body(&self) -> (Vec<u8>, usize) {
        let content = (self.content)();
        let len = content.len();
        match self.route.is_compressed() {
            true => (snappy(&content), len),
            false => (content, len),
        }
    }
}

impl Route {
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Patch => "PATCH",
            Self::Get(_) => "GET",
            _ => "POST",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Read => "/read",
            Self::Write1 | Self::Write2 | Self::Raw => "/write",
            Self::Create => "/v1/connectors",
            Self::Patch => "/v1/connectors/sink",
            Self::Rows => "/v1/connectors/sink/rows",
            Self::Otlp | Self::OtlpGzip => "/v1/metrics",
            Self::OtlpJson => "/api/v1/otlp/v1/metrics",
            Self::ReadAlias => "/api/v1/read",
            Self::WriteAlias => "/api/v1/write",
            Self::Form(path) | Self::Get(path) => path,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Read
            | Self::Write1
            | Self::Raw
            | Self::ReadAlias
            | Self::WriteAlias
            | Self::Otlp
            | Self::OtlpGzip => "application/x-protobuf",
            Self::Write2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            Self::Create | Self::Patch | Self::Rows | Self::OtlpJson => "application/json",
            Self::Form(_) | Self::Get(_) => "application/x-www-form-urlencoded",
        }
    }

    /// Returns the header that names the compression, where the route has no default.
    pub(crate) fn content_encoding(self) -> &'static str {
        match self {
            Self::OtlpGzip => "Content-Encoding: gzip\r\n",
            _ => "",
        }
    }

    fn is_compressed(self) -> bool {
        matches!(
            self,
            Self::Read | Self::Write1 | Self::Write2 | Self::ReadAlias | Self::WriteAlias
        )
    }
}

impl Expected {
    /// Returns the sentence about the statuses that are not allowed, if there are any.
    pub(crate) fn violation(self, outcomes: &[Outcome]) -> Option<String> {
        let status = |outcome: &Outcome| match outcome {
            Outcome::Status(status) => *status,
            Outcome::Late | Outcome::Broken | Outcome::Left => 0,
        };
        let mut statuses = outcomes.iter().map(status);
        let (is_met, allowed) = match self {
            Self::Definite => (
                statuses.all(|it| matches!(it, 200..=299 | 400 | 413 | 419 | 503)),
                "2xx, 400, 413, 419 or 503".to_owned(),
            ),
            Self::Always(allowed) => (
                statuses.all(|it| allowed.contains(&it)),
                format!("{allowed:?}"),
            ),
            Self::Rejected(allowed) => (
                statuses.clone().any(|it| allowed.contains(&it))
                    && statuses.all(|it| it == 503 || allowed.contains(&it)),
                format!("{allowed:?}, or 503 for some"),
            ),
        };
        (!is_met).then(|| format!("responses {}, allowed {allowed}", tally(outcomes)))
    }
}

/// Returns the numbers of requests by their end, such as `6x400 2x503`.
pub(crate) fn tally(outcomes: &[Outcome]) -> String {
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(outcome).or_insert(0) += 1;
    }
    let counts = counts.iter().map(|(outcome, n)| format!("{n}x{outcome}"));
    counts.collect::<Vec<_>>().join(" ")
}
