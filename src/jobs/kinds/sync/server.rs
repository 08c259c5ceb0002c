//! Calls of Prometheus' HTTP API, with retries.
//!
//! Servers of this API refuse in their own words and statuses, so no text decides alone whether a
//! window is too large: a refused one that can be halved is read in halves
//! ([`Failure::TooMuch`]), except where no window could help.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, StatusCode};
use reqwest::Url;
use tokio::time::{Instant, sleep, timeout};

use super::config::Settings;
use super::response::{
    Answer, Family, NoSuccess, Series, matrix, merged, metadata, names, selector, targets_metadata,
};
use super::window::{Window, Windows};
use crate::jobs::client::{self, BodyError, CallError, Session, read_body};
use crate::jobs::quote::{self, ApiError};
use crate::jobs::run::{Run, RunError};
use crate::json::LONG_BYTES;
use crate::model::{Label, Labels, METRIC_NAME_LABEL, Sample};
use crate::prompb::{self, label_matcher, read_request};
use crate::storage::histogram::from_message;
use crate::wire;

/// The pauses before retries.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// More than the two minutes after which a server gives up a query itself.
const TIMEOUT: Duration = Duration::from_secs(150);
/// Bytes of an answer; a larger one is asked for in parts.
const MAX_ANSWER_BYTES: usize = 256 << 20;
const READ_VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-read-version");
/// Calls in a row that may be retried in vain; later ones are tried once until one succeeds.
const MAX_WAITS: usize = 5;
/// Failures in a row after which only what says that it is about the size is tried with half of it.
const MAX_FAILURES: usize = 200;

const NAMES: &str = "api/v1/label/__name__/values";
const RANGE: &str = "api/v1/query_range";
const READ: &str = "api/v1/read";
const TARGETS: &str = "api/v1/targets/metadata";
const METADATA: &str = "api/v1/metadata";

/// The server, as a run calls it.
pub(super) struct Server<'r> {
    run: &'r Run<'r>,
    url: &'r Url,
    session: Session,
    pauses: &'r [Duration],
    streak: Mutex<Streak>,
}

/// The failures since the last success: they bound the work at a server that refuses everything.
#[derive(Clone, Debug, Default)]
struct Streak {
    failures: usize,
    /// Calls whose retries were of no use.
    waits: usize,
    /// The subject of the last of those: its halves need no retries either.
    waited_for: String,
}

impl Streak {
    /// Counts a failure; returns whether those in a row are few enough to look for a size that works.
    fn fail(&mut self) -> bool {
        self.failures += 1;
        self.failures < MAX_FAILURES
    }

    /// Counts a call whose retries were of no use.
    fn wait_in_vain(&mut self, about: &str) {
        self.waits += 1;
        about.clone_into(&mut self.waited_for);
    }

    /// Returns whether a call may be retried.
    fn may_retry(&self, about: &str) -> bool {
        self.waits == 0 || (self.waits < MAX_WAITS && self.waited_for != about)
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The window was refused: half of it may do.
    TooMuch(String),
    /// The server does not give this metric, or list, or says that some of it is missing; it may give
    /// others.
    Refused(String),
    /// The server cannot be reached, is busy, or does not allow the call: others may fail too.
    Unavailable(String),
    /// All of the run is over.
    Ends(RunError),
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TooMuch(why) | Failure::Refused(why) | Failure::Unavailable(why) => {
                Self::Failed(why)
            }
            Failure::Ends(error) => error,
        }
    }
}

/// One call.
#[derive(Clone, Copy)]
struct Call<'c> {
    path: &'c str,
    /// The metric, or nothing.
    about: &'c str,
    /// Whether its window can be halved.
    is_divisible: bool,
    /// Whether halves of it may be complete where a response is partial.
    divides_partial: bool,
}

/// The failure of one try of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// It may pass; if not, half of the window may do.
    Busy(String),
    /// Some of it is missing; that may pass; if not, half of the window may be complete.
    Partial(String),
    /// The window is too large, or takes too long.
    Size { why: String, may_pass: bool },
    /// The reason is not known: half of the window may do.
    Unclear(String),
    /// There is no connection; that may pass.
    Unreachable(String),
    /// No other window would do.
    Final(String),
    /// The same holds for other calls, probably.
    Forbidden(String),
    /// All of the run is over.
    Ends(RunError),
}

/// A success whose content is not read yet.
struct Success {
    headers: HeaderMap,
    body: Bytes,
}

impl<'r> Server<'r> {
    /// Calls nothing yet.
    ///
    /// # Errors
    /// A secret cannot be had.
    pub(super) fn new(settings: &'r Settings, run: &'r Run<'r>) -> Result<Self, RunError> {
        Ok(Self {
            run,
            url: &settings.url,
            session: run.http.session(&settings.outgoing, run.secrets)?,
            pauses: &PAUSES,
            streak: Mutex::default(),
        })
    }

    /// The names of the metrics that have samples in a window, as far as the server tells; read in
    /// parts of the window where the server takes no longer ones. The warnings say why names may be
    /// missing: a list is of use though it is partial.
    pub(super) async fn metrics(&self, whole: Window) -> Result<Answer<Vec<String>>, Failure> {
        let mut windows = Windows::names(whole);
        let (mut all, mut doubts) = (BTreeSet::new(), BTreeSet::new());
        let mut from = whole.start;
        while let Some(window) = windows.next(from, whole.end) {
            match self.names(window).await {
                Ok(answer) => {
                    all.extend(answer.data);
                    doubts.extend(answer.partial);
                    from = window.end + 1;
                }
                Err(Failure::TooMuch(_)) if windows.shrink(window) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(Answer {
            data: all.into_iter().collect(),
            warnings: doubts.into_iter().map(incomplete).collect(),
            partial: None,
        })
    }

    /// Returns the names in a window; those of a partial response if there is no other.
    async fn names(&self, window: Window) -> Result<Answer<Vec<String>>, Failure> {
        let query = [
            ("start", seconds(window.start)),
            ("end", seconds(window.end)),
        ];
        let call = Call {
            path: NAMES,
            about: "",
            is_divisible: window.has_hours(),
            // Whoever is missing in the list of a day is missing in those of its hours.
            divides_partial: false,
        };
        let partial = Mutex::new(None);
        let read = |body: &[u8]| {
            let answer = names(body)?;
            if answer.partial.is_some() {
                *partial.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
            }
            complete(answer)
        };
        let answer = self.get(call, &query, read).await;
        let partial = partial.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (answer, partial) {
            (Err(Failure::Refused(_)), Some(partial)) => Ok(partial),
            (answer, _) => answer,
        }
    }

    /// The series of a metric, at each step; complete.
    pub(super) async fn range(
        &self,
        metric: &str,
        window: Window,
        step_ms: i64,
    ) -> Result<Answer<Vec<Series>>, Failure> {
        let query = [
            ("query", selector(metric)),
            ("start", seconds(window.start)),
            ("end", seconds(window.end)),
            ("step", seconds(step_ms)),
        ];
        let call = Call {
            path: RANGE,
            about: metric,
            is_divisible: window.has_steps(step_ms),
            divides_partial: true,
        };
        let read = |body: &[u8]| complete(matrix(body)?);
        let mut answer = self.get(call, &query, read).await?;
        // A server may move a window to times that it likes better.
        for series in &mut answer.data {
            series
                .samples
                .retain(|sample| window.contains(sample.timestamp_ms));
        }
        answer.data.retain(|series| series.len() > 0);
        Ok(answer)
    }

    /// The series of a metric as they are.
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
        let body = wire::encode(&request);
        let body = body.map_err(|error| Failure::Refused(format!("{READ}: {error}")))?;
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
            about: metric,
            is_divisible: window.is_divisible(),
            divides_partial: true,
        };
        let answer = self.call(call, request, read_samples).await?;
        let found = answer.results.into_iter().flat_map(|it| it.timeseries);
        let mut all: Vec<Series> = found.map(|it| series(it, window)).collect();
        all.retain(|series| series.len() > 0);
        Ok(merged(all))
    }

    /// Returns the metadata of families, from the targets if the server has some. The part that a server
    /// says it may lack is a warning.
    pub(super) async fn families(&self) -> Result<Answer<Vec<Family>>, Failure> {
        let call = |path| Call {
            path,
            about: "",
            is_divisible: false,
            divides_partial: false,
        };
        let of_targets = self.get(call(TARGETS), &[], |body| Ok(targets_metadata(body)?));
        let answer = match of_targets.await {
            Ok(answer) if !answer.data.is_empty() => answer,
            Err(Failure::Ends(RunError::Interrupted)) => {
                return Err(Failure::Ends(RunError::Interrupted));
            }
            // Servers without targets of their own have no such path.
            _ => {
                let read = |body: &[u8]| Ok(metadata(body)?);
                self.get(call(METADATA), &[], read).await?
            }
        };
        let mut warnings = answer.warnings;
        warnings.extend(answer.partial.map(incomplete));
        Ok(Answer {
            data: answer.data,
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
            read(&success.body).map_err(|incomplete| incomplete.into_refusal(success))
        };
        let request = || {
            let request = self.session.get(address.clone());
            request.header(ACCEPT_ENCODING, "gzip")
        };
        self.call(call, request, read).await
    }

    /// Calls until there is a success, or no reason to go on.
    async fn call<T>(
        &self,
        call: Call<'_>,
        request: impl Fn() -> client::Call,
        read: impl Fn(&Success) -> Result<T, Refusal>,
    ) -> Result<T, Failure> {
        let pauses = match self.streak().may_retry(call.about) {
            true => self.pauses,
            false => &[],
        };
        let mut pauses = pauses.iter();
        let mut tries = 0;
        let path = call.path;
        loop {
            if self.run.stop.is_set() {
                return Err(Failure::Ends(RunError::Interrupted));
            }
            let tried = tokio::select! {
                tried = self.attempt(request()) => tried,
                () = self.run.stop.wait() => return Err(Failure::Ends(RunError::Interrupted)),
            };
            tries += 1;
            let read = match tried {
                Ok(success) => {
                    let is_long = success.body.len() > LONG_BYTES;
                    let compute = self.run.ingester.compute();
                    compute.run_if(is_long, || read(&success)).await
                }
                Err(refusal) => Err(refusal),
            };
            let refusal = match read {
                Ok(read) => {
                    *self.streak() = Streak::default();
                    return Ok(read);
                }
                Err(refusal) => refusal,
            };
            let is_patient = self.streak().fail();
            let may_pass = match &refusal {
                Refusal::Busy(_) | Refusal::Partial(_) | Refusal::Unreachable(_) => true,
                Refusal::Size { may_pass, .. } => *may_pass && !call.is_divisible,
                _ => false,
            };
            if may_pass && let Some(pause) = pauses.next() {
                tracing::debug!(
                    connector = self.run.name,
                    path,
                    error = refusal.why(),
                    "A call is made again."
                );
                self.pause(*pause).await?;
                continue;
            }
            if may_pass {
                self.streak().wait_in_vain(call.about);
            }
            let why = match tries {
                1 => format!("{path}: {}", refusal.why()),
                _ => format!("{path}: {} (after {tries} tries)", refusal.why()),
            };
            let half = call.is_divisible;
            return Err(match refusal {
                Refusal::Size { .. } if half => Failure::TooMuch(why),
                Refusal::Busy(_) | Refusal::Unclear(_) if half && is_patient => {
                    Failure::TooMuch(why)
                }
                Refusal::Partial(_) if half && is_patient && call.divides_partial => {
                    Failure::TooMuch(why)
                }
                Refusal::Size { .. } => Failure::Refused(format!(
                    "{why}; no shorter window is possible, so raise the limit at the server"
                )),
                Refusal::Partial(_) | Refusal::Unclear(_) | Refusal::Final(_) => {
                    Failure::Refused(why)
                }
                Refusal::Busy(_) | Refusal::Unreachable(_) | Refusal::Forbidden(_) => {
                    Failure::Unavailable(why)
                }
                Refusal::Ends(RunError::Failed(_)) => Failure::Ends(RunError::Failed(why)),
                Refusal::Ends(error) => Failure::Ends(error),
            });
        }
    }

    fn streak(&self) -> std::sync::MutexGuard<'_, Streak> {
        // Nothing that runs under the lock can leave it half done.
        self.streak.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pause(&self, pause: Duration) -> Result<(), Failure> {
        if self.left().is_some_and(|left| left <= pause) {
            return Err(Failure::Ends(RunError::Interrupted));
        }
        tokio::select! {
            () = sleep(pause) => Ok(()),
            () = self.run.stop.wait() => Err(Failure::Ends(RunError::Interrupted)),
        }
    }

    /// The time that is left for the run.
    fn left(&self) -> Option<Duration> {
        let deadline = self.run.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    async fn attempt(&self, request: client::Call) -> Result<Success, Refusal> {
        let limit = self.left().map_or(TIMEOUT, |left| left.min(TIMEOUT));
        let exchange = async {
            let response = request.send().await.map_err(|error| of_request(&error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = read_body(response, MAX_ANSWER_BYTES, Some("snappy")).await;
            let body = body.map_err(|error| match error {
                // A proxy may cut what is too long for it.
                BodyError::Broken(_) | BodyError::CutGzip => Refusal::Busy(error.to_string()),
                BodyError::InvalidGzip(_) | BodyError::Encoding(_) => {
                    Refusal::Final(error.to_string())
                }
                BodyError::TooLong { .. } => Refusal::Size {
                    why: error.to_string(),
                    may_pass: false,
                },
            })?;
            match status {
                StatusCode::OK => Ok(Success {
                    headers,
                    body: body.into(),
                }),
                _ => Err(judge(status, &headers, &body)),
            }
        };
        match timeout(limit, exchange).await {
            Ok(tried) => tried,
            Err(_) if self.left().is_some_and(|left| left.is_zero()) => {
                Err(Refusal::Ends(RunError::Interrupted))
            }
            Err(_) => Err(Refusal::Size {
                why: format!("no response within {} s", limit.as_secs()),
                may_pass: true,
            }),
        }
    }
}

impl Refusal {
    fn why(&self) -> String {
        match self {
            Self::Busy(why)
            | Self::Partial(why)
            | Self::Size { why, .. }
            | Self::Unclear(why)
            | Self::Unreachable(why)
            | Self::Final(why)
            | Self::Forbidden(why) => why.clone(),
            Self::Ends(error) => error.to_string(),
        }
    }
}

/// The error of the body of a success.
enum Incomplete {
    /// It is no success.
    No(NoSuccess),
    /// The server says that something is missing.
    Partial(String),
}

impl From<NoSuccess> for Incomplete {
    fn from(error: NoSuccess) -> Self {
        Self::No(error)
    }
}

impl Incomplete {
    fn into_refusal(self, success: &Success) -> Refusal {
        let kind = || quote::kind(&success.headers, &success.body);
        match self {
            Self::Partial(why) => {
                let text = format!("the response is partial: {why}");
                match says_size(&why) {
                    true => Refusal::Size {
                        why: text,
                        may_pass: true,
                    },
                    false => Refusal::Partial(text),
                }
            }
            Self::No(error @ NoSuccess::Cut) => Refusal::Busy(format!("{error} ({})", kind())),
            Self::No(NoSuccess::Error(text)) => match says_size(&text) {
                true => Refusal::Size {
                    why: text,
                    may_pass: false,
                },
                false => Refusal::Final(text),
            },
            Self::No(error @ NoSuccess::Foreign(_)) => {
                Refusal::Final(format!("{error} ({}); check prometheus_url", kind()))
            }
        }
    }
}

/// Returns the warning that a list may lack something.
fn incomplete(why: String) -> String {
    format!("it may be incomplete: {why}")
}

/// Returns a result that lacks nothing.
fn complete<T>(answer: Answer<T>) -> Result<Answer<T>, Incomplete> {
    match answer.partial {
        Some(why) => Err(Incomplete::Partial(why)),
        None => Ok(answer),
    }
}

/// Reads a response of remote read.
fn read_samples(success: &Success) -> Result<prompb::ReadResponse, Refusal> {
    let broken = |error: wire::DecodeError| {
        let kind = quote::kind(&success.headers, &success.body);
        let content_type = success.headers.get(CONTENT_TYPE);
        let content_type = content_type.and_then(|it| it.to_str().ok()).unwrap_or("");
        match content_type.starts_with("application/x-protobuf") {
            // Some of it may be missing.
            true => Refusal::Busy(format!("{error} ({kind})")),
            false => Refusal::Final(format!(
                "the response is not one of remote read ({kind}); check prometheus_url, or set raw \
                 to false if the server has no remote read"
            )),
        }
    };
    let message = wire::decompress(&success.body, MAX_ANSWER_BYTES);
    let message = message.map_err(|error| match error {
        wire::DecodeError::TooLargeDecoded { .. } => Refusal::Size {
            why: error.to_string(),
            may_pass: false,
        },
        other => broken(other),
    })?;
    wire::decode(&message).map_err(broken)
}

/// Returns why there is no response.
fn of_request(error: &CallError) -> Refusal {
    let text = error.to_string();
    if error.is_lasting() {
        Refusal::Ends(RunError::Failed(text))
    } else if error.is_connect() {
        Refusal::Unreachable(text)
    } else {
        Refusal::Busy(text)
    }
}

/// Returns what a response says that is no success.
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let text = quote::response(status, headers, body);
    let says_size = ApiError::parse(body).is_some_and(|it| says_size(&it.error));
    match status.as_u16() {
        401 | 407 => Refusal::Ends(RunError::Failed(denied(&text))),
        // It may be for some metrics only.
        403 => Refusal::Forbidden(denied(&text)),
        404 | 405 | 501 => Refusal::Forbidden(wrong_path(&text)),
        400 if body.starts_with(b"unsupported path requested") => {
            Refusal::Forbidden(wrong_path(&text))
        }
        429 => Refusal::Busy(text),
        408 | 504 | 524 => Refusal::Size {
            why: text,
            may_pass: true,
        },
        413 => Refusal::Size {
            why: text,
            may_pass: false,
        },
        400..=599 if says_size => Refusal::Size {
            why: text,
            may_pass: status.is_server_error(),
        },
        500..=599 => Refusal::Busy(text),
        400..=499 => Refusal::Unclear(text),
        _ => Refusal::Final(format!("{text}; check prometheus_url")),
    }
}

fn denied(text: &str) -> String {
    format!("{text}; check auth_type and the credentials")
}

fn wrong_path(text: &str) -> String {
    format!(
        "{text}; check prometheus_url, to which /api/v1/... is appended, and raw, for which the \
         server needs remote read"
    )
}

/// Returns whether the text of an error, or of a warning, says that less of it would do. Where it does
/// not, retries come first, and half of it after them.
fn says_size(text: &str) -> bool {
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
        histograms: histograms.map(from_message).collect(),
    }
}

/// Milliseconds as seconds, without a rounding.
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
    fn a_server_that_refuses_everything_costs_little() {
        let mut streak = Streak::default();
        assert!(streak.may_retry("a"));
        streak.wait_in_vain("a");
        assert!(!streak.may_retry("a") && streak.may_retry("b"));
        for metric in ["b", "c", "d", "e"] {
            streak.wait_in_vain(metric);
        }
        assert!(!streak.may_retry("f"));
        let patient = (0..1_000).filter(|_| streak.fail()).count();
        assert_eq!(patient, MAX_FAILURES - 1);
    }

    #[test]
    fn statuses_that_any_server_gives() {
        let judge = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            judge(status, &HeaderMap::new(), body.as_bytes())
        };
        let error = |text: &str| format!(r#"{{"status":"error","error":"{text}"}}"#);
        for status in [429, 500, 502, 503, 520, 599] {
            assert!(matches!(judge(status, "x"), Refusal::Busy(_)), "{status}");
        }
        // Requests per second are no window.
        assert!(matches!(judge(429, &error("rate limit")), Refusal::Busy(_)));
        for status in [400, 402, 409, 422, 499] {
            assert!(
                matches!(judge(status, "x"), Refusal::Unclear(_)),
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
            let Refusal::Size { may_pass, .. } = judge(status, body) else {
                panic!("{status}")
            };
            assert_eq!(may_pass, expected, "{status}");
        }
        for status in [401, 403, 407] {
            let text = match judge(status, "x") {
                Refusal::Forbidden(text) if status == 403 => text,
                Refusal::Ends(RunError::Failed(text)) if status != 403 => text,
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
            let Refusal::Forbidden(text) = judge(status, body) else {
                panic!("{status}")
            };
            assert!(text.contains("; check prometheus_url"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        for status in [204, 302] {
            assert!(matches!(judge(status, ""), Refusal::Final(_)), "{status}");
        }
    }
}
