//! Calls Prometheus' HTTP API, with retries.
//!
//! Servers reject requests with various statuses and messages, so these alone do not decide if a window is too large.
//! A rejected window is read in halves if possible ([`Failure::TooLarge`]), unless no smaller window could help.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use prom_model::{Label, Labels, METRIC_NAME_LABEL, Sample};
use prom_wire::prompb;
use prom_wire::prompb::{label_matcher, read_request};
use reqwest::Url;
use tokio::time::{Instant, sleep, timeout};

use super::config::Settings;
use super::response::{
    Family, Response, ResponseError, Series, matrix, merged, metadata, names, selector,
    targets_metadata,
};
use super::window::{Window, Windows};
use crate::backoff::{Backoff, Exhausted, Jitter};
use crate::jobs::client::{self, BodyError, CallError, Session, read_body};
use crate::jobs::job::{JobContext, RunError};
use crate::jobs::quote::{self, ApiError};
use crate::json::LONG_BYTES;

/// The retries of a call.
const BACKOFF: Backoff = Backoff {
    max_retries: 3,
    base: Duration::from_secs(1),
    cap: Duration::from_secs(4),
    jitter: Jitter::None,
};
/// Time limit for a call, longer than the two minutes after which Prometheus aborts a query.
const TIMEOUT: Duration = Duration::from_secs(150);
/// Maximum bytes of a response; a larger one is requested in parts.
const MAX_RESPONSE_BYTES: usize = 256 << 20;
const READ_VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-read-version");
/// After this many calls in a row whose retries all failed, calls are tried once until one succeeds.
const MAX_EXHAUSTED: usize = 5;
/// After this many failures in a row, only windows that are expressly too large are halved.
const MAX_FAILURES: usize = 200;

const NAMES: &str = "api/v1/label/__name__/values";
const RANGE: &str = "api/v1/query_range";
const READ: &str = "api/v1/read";
const TARGETS: &str = "api/v1/targets/metadata";
const METADATA: &str = "api/v1/metadata";

/// The Prometheus server of a run.
pub(super) struct Server<'r> {
    run: &'r JobContext<'r>,
    url: &'r Url,
    session: Session,
    streak: Mutex<Streak>,
}

/// The failures since the last success, which bound the calls to a server that rejects everything.
#[derive(Clone, Debug, Default)]
struct Streak {
    failures: usize,
    /// Number of calls whose retries all failed.
    exhausted: usize,
    /// Subject of the last of these calls: its halves are not retried either.
    last_subject: String,
}

impl Streak {
    /// Counts a failure; returns true if there are few enough to search for a window size that works.
    fn fail(&mut self) -> bool {
        self.failures += 1;
        self.failures < MAX_FAILURES
    }

    /// Counts a call whose retries all failed.
    fn record_exhausted_retries(&mut self, subject: &str) {
        self.exhausted += 1;
        subject.clone_into(&mut self.last_subject);
    }

    /// Returns true if a call may be retried.
    fn may_retry(&self, subject: &str) -> bool {
        self.exhausted == 0 || (self.exhausted < MAX_EXHAUSTED && self.last_subject != subject)
    }
}

/// The failure of a call after its retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The window was rejected; half of it may work.
    TooLarge(String),
    /// The server rejects this metric or list, or returns only a part of it; others may work.
    Rejected(String),
    /// The server cannot be reached, is busy, or forbids the call; others may fail too.
    Unavailable(String),
    /// The whole run must end.
    RunEnded(RunError),
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TooLarge(reason)
            | Failure::Rejected(reason)
            | Failure::Unavailable(reason) => Self::Failed(reason),
            Failure::RunEnded(error) => error,
        }
    }
}

/// A call of the API.
#[derive(Clone, Copy)]
struct Call<'c> {
    path: &'c str,
    /// The metric, or an empty string.
    subject: &'c str,
    /// Set if the window can be halved.
    is_divisible: bool,
    /// Set if halves of the window may be complete when a response is partial.
    divides_partial: bool,
}

/// The error of one attempt of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum AttemptError {
    /// May pass; if not, half of the window may work.
    Busy(String),
    /// A part of the response is missing. May pass; if not, half of the window may be complete.
    Partial(String),
    /// The window is too large, or takes too long.
    TooLarge { reason: String, may_pass: bool },
    /// The reason is unknown; half of the window may work.
    Unclear(String),
    /// There is no connection. May pass.
    Unreachable(String),
    /// No other window would work.
    Final(String),
    /// Other calls are probably rejected too.
    Forbidden(String),
    /// The whole run must end.
    RunEnded(RunError),
}

/// A successful response that is not parsed yet.
struct Success {
    headers: HeaderMap,
    body: Bytes,
}

impl<'r> Server<'r> {
    /// Opens a session without calling the server yet.
    ///
    /// # Errors
    /// A secret cannot be resolved.
    pub(super) fn new(settings: &'r Settings, run: &'r JobContext<'r>) -> Result<Self, RunError> {
        Ok(Self {
            run,
            url: &settings.url,
            session: run.http.session(&settings.outgoing, run.secrets)?,
            streak: Mutex::default(),
        })
    }

    /// Returns the names of the metrics with samples in a window, read in parts if the server rejects the whole window.
    /// A partial list is still useful: the warnings say why names may be missing.
    pub(super) async fn metrics(&self, whole: Window) -> Result<Response<Vec<String>>, Failure> {
        let mut windows = Windows::names(whole);
        let (mut all, mut omissions) = (BTreeSet::new(), BTreeSet::new());
        let mut from = whole.start;
        while let Some(window) = windows.next(from, whole.end) {
            match self.names(window).await {
                Ok(response) => {
                    all.extend(response.data);
                    omissions.extend(response.partial);
                    from = window.end + 1;
                }
                Err(Failure::TooLarge(_)) if windows.shrink(window) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(Response {
            data: all.into_iter().collect(),
            warnings: omissions.into_iter().map(incomplete).collect(),
            partial: None,
        })
    }

    /// Returns the names in a window, or those of a partial response if there is no complete one.
    async fn names(&self, window: Window) -> Result<Response<Vec<String>>, Failure> {
        let query = [
            ("start", seconds(window.start)),
            ("end", seconds(window.end)),
        ];
        let call = Call {
            path: NAMES,
            subject: "",
            is_divisible: window.has_hours(),
            // A part of the server that is missing for a day is missing for its hours too.
            divides_partial: false,
        };
        let partial = Mutex::new(None);
        let read = |body: &[u8]| {
            let response = names(body)?;
            if response.partial.is_some() {
                *partial.lock() = Some(response.clone());
            }
            complete(response)
        };
        let response = self.get(call, &query, read).await;
        let partial = partial.into_inner();
        match (response, partial) {
            (Err(Failure::Rejected(_)), Some(partial)) => Ok(partial),
            (response, _) => response,
        }
    }

    /// Returns the complete series of a metric at each step.
    pub(super) async fn range(
        &self,
        metric: &str,
        window: Window,
        step_ms: i64,
    ) -> Result<Response<Vec<Series>>, Failure> {
        let query = [
            ("query", selector(metric)),
            ("start", seconds(window.start)),
            ("end", seconds(window.end)),
            ("step", seconds(step_ms)),
        ];
        let call = Call {
            path: RANGE,
            subject: metric,
            is_divisible: window.has_steps(step_ms),
            divides_partial: true,
        };
        let read = |body: &[u8]| complete(matrix(body)?);
        let mut response = self.get(call, &query, read).await?;
        // Some servers align a window to other times.
        for series in &mut response.data {
            series
                .samples
                .retain(|sample| window.contains(sample.timestamp_ms));
        }
        response.data.retain(|series| series.len() > 0);
        Ok(response)
    }

    /// Returns the series of a metric with unchanged samples, by remote read.
    pub(super) async fn raw(&self, metric: &str, window: Window) -> Result<Vec<Series>, Failure> {
        let request = prompb::ReadRequest {
            queries: vec![prompb::Query {
                start_timestamp_ms: window.start,
                end_timestamp_ms: window.end,
                matchers: vec![prompb::LabelMatcher {
                    r#type: label_matcher::Type::Eq.into(),
                    name: METRIC_NAME_LABEL.to_owned(),
                    value: metric.to_owned(),
                }],
                hints: None,
            }],
            accepted_response_types: vec![read_request::ResponseType::Samples.into()],
        };
        let body = prom_wire::encode(&request);
        let body = body.map_err(|error| Failure::Rejected(format!("{READ}: {error}")))?;
        let body = Bytes::from(body);
        let request = || {
            self.session
                .post(self.address(READ))
                .header(CONTENT_TYPE, "application/x-protobuf")
                .header(CONTENT_ENCODING, "snappy")
                .header(ACCEPT_ENCODING, "snappy")
                .header(READ_VERSION, "0.1.0")
                .body(body.clone())
        };
        let call = Call {
            path: READ,
            subject: metric,
            is_divisible: window.is_divisible(),
            divides_partial: true,
        };
        let response = self.call(call, request, read_samples).await?;
        let found = response.results.into_iter().flat_map(|it| it.timeseries);
        let mut all: Vec<Series> = found.map(|it| series(it, window)).collect();
        all.retain(|series| series.len() > 0);
        Ok(merged(all))
    }

    /// Returns the metadata of families, from the targets if the server has any. A partial result becomes a warning.
    pub(super) async fn families(&self) -> Result<Response<Vec<Family>>, Failure> {
        let call = |path| Call {
            path,
            subject: "",
            is_divisible: false,
            divides_partial: false,
        };
        let of_targets = self.get(call(TARGETS), &[], |body| Ok(targets_metadata(body)?));
        let response = match of_targets.await {
            Ok(response) if !response.data.is_empty() => response,
            Err(Failure::RunEnded(RunError::Interrupted)) => {
                return Err(Failure::RunEnded(RunError::Interrupted));
            }
            // Servers without targets of their own do not have this path.
            _ => {
                let read = |body: &[u8]| Ok(metadata(body)?);
                self.get(call(METADATA), &[], read).await?
            }
        };
        let mut warnings = response.warnings;
        warnings.extend(response.partial.map(incomplete));
        Ok(Response {
            data: response.data,
            warnings,
            partial: None,
        })
    }

    fn address(&self, path: &str) -> Url {
        let mut address = self.url.clone();
        let base = self.url.path().trim_end_matches('/');
        address.set_path(&format!("{base}/{path}"));
        address
    }

    async fn get<T>(
        &self,
        call: Call<'_>,
        query: &[(&str, String)],
        read: impl Fn(&[u8]) -> Result<T, Incomplete>,
    ) -> Result<T, Failure> {
        let mut address = self.address(call.path);
        if !query.is_empty() {
            address.query_pairs_mut().extend_pairs(query);
        }
        let read = |success: &Success| {
            read(&success.body).map_err(|incomplete| incomplete.into_attempt_error(success))
        };
        let request = || {
            let request = self.session.get(address.clone());
            request.header(ACCEPT_ENCODING, "gzip")
        };
        self.call(call, request, read).await
    }

    /// Calls the server, with retries, and parses the response by `read`.
    async fn call<T>(
        &self,
        call: Call<'_>,
        request: impl Fn() -> client::Call,
        read: impl Fn(&Success) -> Result<T, AttemptError>,
    ) -> Result<T, Failure> {
        let may_retry = self.streak().may_retry(call.subject);
        let mut retries = BACKOFF.start();
        let path = call.path;
        loop {
            if self.run.stop.is_cancelled() {
                return Err(Failure::RunEnded(RunError::Interrupted));
            }
            let tried = tokio::select! {
                tried = self.attempt(request()) => tried,
                () = self.run.stop.cancelled() => return Err(Failure::RunEnded(RunError::Interrupted)),
            };
            let read = match tried {
                Ok(success) => {
                    let is_long = success.body.len() > LONG_BYTES;
                    let compute = self.run.ingester.compute();
                    compute.run_if(is_long, || read(&success)).await
                }
                Err(error) => Err(error),
            };
            let error = match read {
                Ok(read) => {
                    *self.streak() = Streak::default();
                    return Ok(read);
                }
                Err(error) => error,
            };
            let may_search = self.streak().fail();
            let may_pass = match &error {
                AttemptError::Busy(_) | AttemptError::Partial(_) | AttemptError::Unreachable(_) => {
                    true
                }
                AttemptError::TooLarge { may_pass, .. } => *may_pass && !call.is_divisible,
                _ => false,
            };
            let pause = match may_pass && may_retry {
                true => retries.next_pause(0.0, None, self.time_left()),
                false => Err(Exhausted::Retries),
            };
            if pause == Err(Exhausted::Deadline) {
                return Err(Failure::RunEnded(RunError::Interrupted));
            }
            if let Ok(pause) = pause {
                tracing::debug!(
                    connector = self.run.name,
                    path,
                    error = error.reason(),
                    "Retrying a failed call."
                );
                self.pause(pause).await?;
                continue;
            }
            if may_pass {
                self.streak().record_exhausted_retries(call.subject);
            }
            let reason = match retries.made() + 1 {
                1 => format!("{path}: {}", error.reason()),
                attempts => format!("{path}: {} (after {attempts} attempts)", error.reason()),
            };
            let is_divisible = call.is_divisible;
            return Err(match error {
                AttemptError::TooLarge { .. } if is_divisible => Failure::TooLarge(reason),
                AttemptError::Busy(_) | AttemptError::Unclear(_) if is_divisible && may_search => {
                    Failure::TooLarge(reason)
                }
                AttemptError::Partial(_) if is_divisible && may_search && call.divides_partial => {
                    Failure::TooLarge(reason)
                }
                AttemptError::TooLarge { .. } => Failure::Rejected(format!(
                    "{reason}; no shorter window is possible, so raise the limit at the server"
                )),
                AttemptError::Partial(_) | AttemptError::Unclear(_) | AttemptError::Final(_) => {
                    Failure::Rejected(reason)
                }
                AttemptError::Busy(_)
                | AttemptError::Unreachable(_)
                | AttemptError::Forbidden(_) => Failure::Unavailable(reason),
                AttemptError::RunEnded(RunError::Failed(_)) => {
                    Failure::RunEnded(RunError::Failed(reason))
                }
                AttemptError::RunEnded(error) => Failure::RunEnded(error),
            });
        }
    }

    fn streak(&self) -> parking_lot::MutexGuard<'_, Streak> {
        // No code that holds the lock can leave it inconsistent.
        self.streak.lock()
    }

    async fn pause(&self, pause: Duration) -> Result<(), Failure> {
        tokio::select! {
            () = sleep(pause) => Ok(()),
            () = self.run.stop.cancelled() => Err(Failure::RunEnded(RunError::Interrupted)),
        }
    }

    /// Returns the time left until the deadline of the run.
    fn time_left(&self) -> Option<Duration> {
        let deadline = self.run.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    async fn attempt(&self, request: client::Call) -> Result<Success, AttemptError> {
        let limit = self
            .time_left()
            .map_or(TIMEOUT, |time_left| time_left.min(TIMEOUT));
        let exchange = async {
            let response = request
                .send()
                .await
                .map_err(|error| classify_call_error(&error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = read_body(response, MAX_RESPONSE_BYTES, Some("snappy")).await;
            let body = body.map_err(|error| match error {
                // A proxy may truncate a response that is too long.
                BodyError::Broken(_) | BodyError::CutGzip => AttemptError::Busy(error.to_string()),
                BodyError::InvalidGzip(_) | BodyError::Encoding(_) => {
                    AttemptError::Final(error.to_string())
                }
                BodyError::TooLong { .. } => AttemptError::TooLarge {
                    reason: error.to_string(),
                    may_pass: false,
                },
            })?;
            match status {
                StatusCode::OK => Ok(Success {
                    headers,
                    body: body.into(),
                }),
                _ => Err(classify_status(status, &headers, &body)),
            }
        };
        match timeout(limit, exchange).await {
            Ok(tried) => tried,
            Err(_)
                if self
                    .time_left()
                    .is_some_and(|time_left| time_left.is_zero()) =>
            {
                Err(AttemptError::RunEnded(RunError::Interrupted))
            }
            Err(_) => Err(AttemptError::TooLarge {
                reason: format!("no response within {} s", limit.as_secs()),
                may_pass: true,
            }),
        }
    }
}

impl AttemptError {
    fn reason(&self) -> String {
        match self {
            Self::Busy(reason)
            | Self::Partial(reason)
            | Self::TooLarge { reason, .. }
            | Self::Unclear(reason)
            | Self::Unreachable(reason)
            | Self::Final(reason)
            | Self::Forbidden(reason) => reason.clone(),
            Self::RunEnded(error) => error.to_string(),
        }
    }
}

/// The error of a body whose status is a success.
enum Incomplete {
    /// The body is an error, or not a response of this API.
    Invalid(ResponseError),
    /// The server reports that a part is missing.
    Partial(String),
}

impl From<ResponseError> for Incomplete {
    fn from(error: ResponseError) -> Self {
        Self::Invalid(error)
    }
}

impl Incomplete {
    fn into_attempt_error(self, success: &Success) -> AttemptError {
        let kind = || quote::kind(&success.headers, &success.body);
        match self {
            Self::Partial(reason) => {
                let text = format!("the response is partial: {reason}");
                match mentions_size(&reason) {
                    true => AttemptError::TooLarge {
                        reason: text,
                        may_pass: true,
                    },
                    false => AttemptError::Partial(text),
                }
            }
            Self::Invalid(error @ ResponseError::Truncated) => {
                AttemptError::Busy(format!("{error} ({})", kind()))
            }
            Self::Invalid(ResponseError::Api(text)) => match mentions_size(&text) {
                true => AttemptError::TooLarge {
                    reason: text,
                    may_pass: false,
                },
                false => AttemptError::Final(text),
            },
            Self::Invalid(error @ ResponseError::Unrecognized(_)) => {
                AttemptError::Final(format!("{error} ({}); check prometheus_url", kind()))
            }
        }
    }
}

/// Returns the warning that a list may be incomplete.
fn incomplete(reason: String) -> String {
    format!("it may be incomplete: {reason}")
}

/// Returns the response if it is complete.
fn complete<T>(response: Response<T>) -> Result<Response<T>, Incomplete> {
    match response.partial {
        Some(reason) => Err(Incomplete::Partial(reason)),
        None => Ok(response),
    }
}

/// Parses a response of remote read.
fn read_samples(success: &Success) -> Result<prompb::ReadResponse, AttemptError> {
    let invalid = |error: prom_wire::DecodeError| {
        let kind = quote::kind(&success.headers, &success.body);
        let content_type = success.headers.get(CONTENT_TYPE);
        let content_type = content_type.and_then(|it| it.to_str().ok()).unwrap_or("");
        match content_type.starts_with("application/x-protobuf") {
            // The end may be missing.
            true => AttemptError::Busy(format!("{error} ({kind})")),
            false => AttemptError::Final(format!(
                "the response is not one of remote read ({kind}); check prometheus_url, or set raw \
                 to false if the server has no remote read"
            )),
        }
    };
    let message = prom_wire::decompress(&success.body, MAX_RESPONSE_BYTES);
    let message = message.map_err(|error| match error {
        prom_wire::DecodeError::TooLargeDecoded { .. } => AttemptError::TooLarge {
            reason: format!("the response decompresses to more than {MAX_RESPONSE_BYTES} bytes"),
            may_pass: false,
        },
        other => invalid(other),
    })?;
    prom_wire::decode(&message).map_err(invalid)
}

/// Returns the error of a call without a response.
fn classify_call_error(error: &CallError) -> AttemptError {
    let text = error.to_string();
    if error.is_lasting() {
        AttemptError::RunEnded(RunError::Failed(text))
    } else if error.is_connect() {
        AttemptError::Unreachable(text)
    } else {
        AttemptError::Busy(text)
    }
}

/// Returns the error of a response whose status is not a success.
fn classify_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> AttemptError {
    let text = quote::response(status, headers, body);
    let mentions_size = ApiError::parse(body).is_some_and(|it| mentions_size(&it.error));
    match status.as_u16() {
        401 | 407 => AttemptError::RunEnded(RunError::Failed(denied(&text))),
        // Other metrics may be allowed.
        403 => AttemptError::Forbidden(denied(&text)),
        404 | 405 | 501 => AttemptError::Forbidden(wrong_path(&text)),
        400 if body.starts_with(b"unsupported path requested") => {
            AttemptError::Forbidden(wrong_path(&text))
        }
        429 => AttemptError::Busy(text),
        408 | 504 | 524 => AttemptError::TooLarge {
            reason: text,
            may_pass: true,
        },
        413 => AttemptError::TooLarge {
            reason: text,
            may_pass: false,
        },
        400..=599 if mentions_size => AttemptError::TooLarge {
            reason: text,
            may_pass: status.is_server_error(),
        },
        500..=599 => AttemptError::Busy(text),
        400..=499 => AttemptError::Unclear(text),
        _ => AttemptError::Final(format!("{text}; check prometheus_url")),
    }
}

fn denied(text: &str) -> String {
    format!("{text}; check auth_type and the credentials")
}

fn wrong_path(text: &str) -> String {
    format!(
        "{text}; check prometheus_url, to which /api/v1/... is appended, and raw, which requires \
         remote read"
    )
}

/// Returns true if an error or a warning says that the request was too large. Otherwise the request is retried before it
/// is halved.
fn mentions_size(text: &str) -> bool {
    const WORDS: [&str; 13] = [
        "limit",
        "exceed",
        "too many samples",
        "too many points",
        "too long",
        "too large",
        "larger than",
        "maximum resolution",
        "time range",
        "timed out",
        "timeout",
        "cannot select more",
        "failed to receive any data in",
    ];
    let text = text.to_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

fn series(series: prompb::TimeSeries, window: Window) -> Series {
    let inside = |time: i64| (window.start..=window.end).contains(&time);
    let labels = series.labels.into_iter().map(|it| Label {
        name: it.name,
        value: it.value,
    });
    let samples = series.samples.into_iter().filter(|it| inside(it.timestamp));
    let histograms = series
        .histograms
        .into_iter()
        .filter(|it| inside(it.timestamp));
    Series {
        labels: Labels::new(labels.collect()),
        samples: samples
            .map(|it| Sample {
                timestamp_ms: it.timestamp,
                value: it.value,
            })
            .collect(),
        histograms: histograms.map(Into::into).collect(),
    }
}

/// Formats milliseconds as seconds, without rounding.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        assert_eq!(seconds(1_600_000_000_001), "1600000000.001");
        assert_eq!(seconds(15_000), "15.000");
        assert_eq!(seconds(0), "0.000");
    }

    #[test]
    fn a_server_that_rejects_everything_gets_few_calls() {
        let mut streak = Streak::default();
        assert!(streak.may_retry("a"));
        streak.record_exhausted_retries("a");
        assert!(!streak.may_retry("a") && streak.may_retry("b"));
        for metric in ["b", "c", "d", "e"] {
            streak.record_exhausted_retries(metric);
        }
        assert!(!streak.may_retry("f"));
        let searches = (0..1_000).filter(|_| streak.fail()).count();
        assert_eq!(searches, MAX_FAILURES - 1);
    }

    #[test]
    fn statuses_are_classified() {
        let classify_status = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            classify_status(status, &HeaderMap::new(), body.as_bytes())
        };
        let error = |text: &str| format!(r#"{{"status":"error","error":"{text}"}}"#);
        for status in [429, 500, 502, 503, 520, 599] {
            assert!(
                matches!(classify_status(status, "x"), AttemptError::Busy(_)),
                "{status}"
            );
        }
        // A limit of requests per second does not concern the window.
        assert!(matches!(
            classify_status(429, &error("rate limit")),
            AttemptError::Busy(_)
        ));
        for status in [400, 402, 409, 422, 499] {
            assert!(
                matches!(classify_status(status, "x"), AttemptError::Unclear(_)),
                "{status}"
            );
        }
        for (status, body, expected) in [
            (408, "x", true),
            (504, "x", true),
            (413, "x", false),
            (422, &*error("Exceeded maximum"), false),
            (
                503,
                &*error("query timed out in expression evaluation"),
                true,
            ),
        ] {
            let AttemptError::TooLarge { may_pass, .. } = classify_status(status, body) else {
                panic!("{status}")
            };
            assert_eq!(may_pass, expected, "{status}");
        }
        for status in [401, 403, 407] {
            let text = match classify_status(status, "x") {
                AttemptError::Forbidden(text) if status == 403 => text,
                AttemptError::RunEnded(RunError::Failed(text)) if status != 403 => text,
                other => panic!("{status}: {other:?}"),
            };
            assert!(text.ends_with("; check auth_type and the credentials"));
        }
        for (status, body) in [
            (404, "hunter2"),
            (405, ""),
            (501, ""),
            (400, "unsupported path requested: \"hunter2\""),
        ] {
            let AttemptError::Forbidden(text) = classify_status(status, body) else {
                panic!("{status}")
            };
            assert!(text.contains("; check prometheus_url"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        for status in [204, 302] {
            assert!(
                matches!(classify_status(status, ""), AttemptError::Final(_)),
                "{status}"
            );
        }
    }
}
