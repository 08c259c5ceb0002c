//! Calls of Prometheus' HTTP API, with retries.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, StatusCode};
use reqwest::Url;
use tokio::time::{Instant, sleep, timeout};

use super::answer::{
    Answer, Family, NoSuccess, Series, matrix, metadata, names, selector, targets_metadata,
};
use super::config::Settings;
use super::window::Window;
use crate::convert::histogram::from_message;
use crate::jobs::client::{BodyError, Call, Session, read_body};
use crate::jobs::quote;
use crate::jobs::run::{Run, RunError};
use crate::model::{Label, Labels, METRIC_NAME_LABEL, Sample};
use crate::prompb::{self, label_matcher, read_request};
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

/// The server, as a run calls it.
pub(super) struct Server<'r> {
    run: &'r Run<'r>,
    url: &'r Url,
    session: Session,
    pauses: &'r [Duration],
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The result would be too large, or take too long: half of it may do.
    TooMuch(String),
    /// All of the run is over.
    Ends(RunError),
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TooMuch(why) => Self::Failed(why),
            Failure::Ends(error) => error,
        }
    }
}

fn failed(what: &str, why: impl std::fmt::Display) -> Failure {
    Failure::Ends(RunError::Failed(format!("{what}: {why}")))
}

/// What became of one try.
enum Tried {
    Answered(Bytes),
    /// Another try may succeed.
    Again(String),
    Failed(Failure),
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
        })
    }

    /// The names of the metrics that have samples in a window, as far as the server tells.
    pub(super) async fn metrics(&self, window: Window) -> Result<Answer<Vec<String>>, Failure> {
        let path = "api/v1/label/__name__/values";
        let query = [
            ("start", seconds(window.start)),
            ("end", seconds(window.end)),
        ];
        let body = self.get(path, &query).await?;
        names(&body).map_err(|error| failed(path, error))
    }

    /// The series of a metric, at each step.
    pub(super) async fn range(
        &self,
        metric: &str,
        window: Window,
        step_ms: i64,
    ) -> Result<Answer<Vec<Series>>, Failure> {
        let path = "api/v1/query_range";
        let query = [
            ("query", selector(metric)),
            ("start", seconds(window.start)),
            ("end", seconds(window.end)),
            ("step", seconds(step_ms)),
        ];
        let body = self.get(path, &query).await?;
        matrix(&body).map_err(|error| failed(path, error))
    }

    /// The series of a metric as they are.
    pub(super) async fn raw(&self, metric: &str, window: Window) -> Result<Vec<Series>, Failure> {
        let path = "api/v1/read";
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
        let body = wire::encode(&request).map_err(|error| failed(path, error))?;
        let body = Bytes::from(body);
        let call = || {
            self.session
                .post(self.address(path))
                .header(CONTENT_TYPE, "application/x-protobuf")
                .header(CONTENT_ENCODING, "snappy")
                .header(ACCEPT_ENCODING, "snappy")
                .header(READ_VERSION, "0.1.0")
                .body(body.clone())
        };
        let body = self.call(path, call).await?;
        let message = wire::decompress(&body, MAX_ANSWER_BYTES).map_err(|error| match error {
            wire::DecodeError::TooLargeDecoded { .. } => Failure::TooMuch(error.to_string()),
            other => failed(path, other),
        })?;
        let answer: prompb::ReadResponse =
            wire::decode(&message).map_err(|error| failed(path, error))?;
        let found = answer.results.into_iter().flat_map(|it| it.timeseries);
        let mut all: Vec<Series> = found.map(|it| series(it, window)).collect();
        all.retain(|series| series.len() > 0);
        all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok(all)
    }

    /// What is known about metric families, from the targets if the server has some.
    pub(super) async fn families(&self) -> Result<Answer<Vec<Family>>, Failure> {
        let of_targets = match self.get("api/v1/targets/metadata", &[]).await {
            Ok(body) => targets_metadata(&body).ok(),
            Err(Failure::Ends(RunError::Interrupted)) => {
                return Err(Failure::Ends(RunError::Interrupted));
            }
            Err(_) => None,
        };
        if let Some(answer) = of_targets.filter(|answer| !answer.data.is_empty()) {
            return Ok(answer);
        }
        let path = "api/v1/metadata";
        let body = self.get(path, &[]).await?;
        metadata(&body).map_err(|NoSuccess(error)| failed(path, error))
    }

    fn address(&self, path: &str) -> Url {
        let mut address = self.url.clone();
        let base = self.url.path().trim_end_matches('/');
        address.set_path(&format!("{base}/{path}"));
        address
    }

    async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Bytes, Failure> {
        let mut address = self.address(path);
        if !query.is_empty() {
            address.query_pairs_mut().extend_pairs(query);
        }
        let call = || {
            let request = self.session.get(address.clone());
            request.header(ACCEPT_ENCODING, "gzip")
        };
        self.call(path, call).await
    }

    /// The body of a success.
    async fn call(&self, path: &str, request: impl Fn() -> Call) -> Result<Bytes, Failure> {
        let mut pauses = self.pauses.iter();
        loop {
            if self.run.stop.is_set() {
                return Err(Failure::Ends(RunError::Interrupted));
            }
            let tried = tokio::select! {
                tried = self.attempt(path, request()) => tried,
                () = self.run.stop.wait() => return Err(Failure::Ends(RunError::Interrupted)),
            };
            let why = match tried {
                Tried::Answered(body) => return Ok(body),
                Tried::Failed(failure) => return Err(failure),
                Tried::Again(why) => why,
            };
            let Some(pause) = pauses.next() else {
                let tries = self.pauses.len() + 1;
                return Err(failed(path, format!("{why} (after {tries} tries)")));
            };
            tracing::debug!(
                connector = self.run.name,
                path,
                error = why,
                "A call is made again."
            );
            if self.left().is_some_and(|left| left <= *pause) {
                return Err(Failure::Ends(RunError::Interrupted));
            }
            tokio::select! {
                () = sleep(*pause) => {}
                () = self.run.stop.wait() => return Err(Failure::Ends(RunError::Interrupted)),
            }
        }
    }

    /// The time that is left for the run.
    fn left(&self) -> Option<Duration> {
        let deadline = self.run.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    async fn attempt(&self, path: &str, request: Call) -> Tried {
        let limit = self.left().map_or(TIMEOUT, |left| left.min(TIMEOUT));
        let exchange = async {
            let response = request.send().await.map_err(BodyError::Broken)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = read_body(response, MAX_ANSWER_BYTES, Some("snappy")).await?;
            Ok((status, headers, body))
        };
        match timeout(limit, exchange).await {
            Ok(Ok((status, headers, body))) => judge(path, status, &headers, body.into()),
            Ok(Err(BodyError::Broken(error))) if error.is_lasting() => {
                Tried::Failed(failed(path, error))
            }
            Ok(Err(BodyError::Broken(error))) => Tried::Again(error.to_string()),
            Ok(Err(error @ BodyError::CutGzip)) => Tried::Again(error.to_string()),
            Ok(Err(error @ (BodyError::InvalidGzip(_) | BodyError::Encoding(_)))) => {
                Tried::Failed(failed(path, error.to_string()))
            }
            Ok(Err(error @ BodyError::TooLong { .. })) => {
                Tried::Failed(Failure::TooMuch(format!("{path}: {error}")))
            }
            Err(_) if self.left().is_some_and(|left| left.is_zero()) => {
                Tried::Failed(Failure::Ends(RunError::Interrupted))
            }
            Err(_) => Tried::Again(format!("no answer within {} s", limit.as_secs())),
        }
    }
}

/// What an answer is, by its status.
fn judge(path: &str, status: StatusCode, headers: &HeaderMap, body: Bytes) -> Tried {
    if status == StatusCode::OK {
        return Tried::Answered(body);
    }
    let text = quote::response(status, headers, &body);
    let is_too_much = [
        "too many samples",
        "query timed out",
        "maximum resolution",
        "exceeded sample limit",
    ]
    .iter()
    .any(|words| text.contains(words));
    if is_too_much {
        return Tried::Failed(Failure::TooMuch(format!("{path}: {text}")));
    }
    match status.as_u16() {
        429 | 500 | 502 | 503 | 504 => Tried::Again(text),
        401 | 403 => Tried::Failed(failed(
            path,
            format!("{text}; check auth_type and the credentials"),
        )),
        _ => Tried::Failed(failed(path, text)),
    }
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
    fn which_answers_are_asked_for_again() {
        let kind = |status: u16, body: &'static str| {
            let status = StatusCode::from_u16(status).unwrap();
            let body = Bytes::from_static(body.as_bytes());
            match judge("p", status, &HeaderMap::new(), body) {
                Tried::Answered(_) => "answered".to_owned(),
                Tried::Again(why) => format!("again {why}"),
                Tried::Failed(Failure::TooMuch(_)) => "too much".to_owned(),
                Tried::Failed(Failure::Ends(error)) => error.to_string(),
            }
        };
        assert_eq!(kind(200, "{}"), "answered");
        for status in [429, 500, 502, 503, 504] {
            assert!(kind(status, "x").starts_with("again "), "{status}");
        }
        for status in [401, 403] {
            assert!(kind(status, "x").ends_with("; check auth_type and the credentials"));
        }
        let expected = "p: 404 Not Found (no Content-Type, 1 bytes)";
        assert_eq!(kind(404, "x"), expected);
        let many = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#;
        assert_eq!(kind(422, many), "too much");
        let slow = r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#;
        assert_eq!(kind(503, slow), "too much");
    }
}
