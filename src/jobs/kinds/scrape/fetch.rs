//! Fetches the body of a target, with the headers, timeouts and retries of a scraper.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use exposition::Format;
use http::{StatusCode, header};
use prom_model::visible::truncate;
use reqwest::Response;
use tokio::time::Instant;

use super::Scrape;
use crate::backoff::{Backoff, Jitter};
use crate::jobs::client::{BodyError, CallError, Session, read_body};
use crate::jobs::job::{JobContext, RunError};

/// The accepted formats, OpenMetrics first, as Prometheus requests them.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,\
    text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
/// Carries the timeout to the target, so that it can give up in time.
const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";
/// The retries of a call.
const BACKOFF: Backoff = Backoff {
    max_retries: 3,
    base: Duration::from_millis(100),
    cap: Duration::from_millis(400),
    jitter: Jitter::Quarter,
};

/// Time reserved before the deadline of a run for writing that the target is down.
const TIME_TO_WRITE: Duration = Duration::from_secs(2);

/// The body of a response.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) format: Format,
}

/// The failure of an attempt.
enum Failure {
    /// A retry may succeed.
    Transient(String),
    /// No retry can succeed.
    Permanent(String),
}

/// Fetches the body from the endpoint of a definition, and retries transient failures.
pub(super) async fn fetch(scrape: &Scrape, run: &JobContext<'_>) -> Result<Body, RunError> {
    let session = run.http.session(&scrape.outgoing, run.secrets)?;
    let mut retries = BACKOFF.start();
    loop {
        let failed = match attempt(scrape, run, &session).await {
            Ok(body) => return Ok(body),
            Err(Failure::Permanent(text)) => return Err(RunError::Failed(text)),
            Err(Failure::Transient(text)) => text,
        };
        let left = retry_deadline(run).map(|end| end.saturating_duration_since(Instant::now()));
        let Ok(pause) = retries.next_pause(fastrand::f64(), None, left) else {
            let attempts = retries.made() + 1;
            return Err(RunError::Failed(format!("{failed} (attempts: {attempts})")));
        };
        tokio::time::sleep(pause).await;
    }
}

/// Returns the time by which the last attempt must be over.
fn retry_deadline(run: &JobContext<'_>) -> Option<Instant> {
    run.deadline.map(|deadline| deadline - TIME_TO_WRITE)
}

async fn attempt(
    scrape: &Scrape,
    run: &JobContext<'_>,
    session: &Session,
) -> Result<Body, Failure> {
    let timeout = match retry_deadline(run) {
        Some(deadline) => scrape.timeout.min(deadline.duration_since(Instant::now())),
        None => scrape.timeout,
    };
    let seconds = timeout.as_secs_f64().to_string();
    let request = session
        .get(scrape.endpoint.clone())
        .timeout(timeout)
        .header(header::ACCEPT, ACCEPT)
        .header(header::ACCEPT_ENCODING, "gzip")
        .header(TIMEOUT_HEADER, seconds);
    let response = request
        .send()
        .await
        .map_err(|error| classify_call(&error))?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(classify_status(status));
    }
    let format = format_of(&response, scrape.fallback);
    let bytes = read_body(response, scrape.body_size_limit, None).await;
    let bytes = bytes.map_err(|error| match &error {
        BodyError::Broken(error) => classify_call(error),
        BodyError::TooLong { .. } => Failure::Permanent(format!("{error} (body_size_limit)")),
        BodyError::CutGzip => Failure::Transient(error.to_string()),
        BodyError::InvalidGzip(_) | BodyError::Encoding(_) => Failure::Permanent(error.to_string()),
    })?;
    match format {
        Ok(format) => Ok(Body { bytes, format }),
        // Prometheus does not check the type of an empty body.
        Err(_) if bytes.is_empty() => Ok(Body {
            bytes,
            format: Format::Text,
        }),
        Err(text) => Err(Failure::Permanent(text)),
    }
}

/// Returns the failure for a status: transient for 429 and 5xx.
fn classify_status(status: StatusCode) -> Failure {
    let text = format!("the target responded with {status}");
    match status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        true => Failure::Transient(text),
        false => Failure::Permanent(text),
    }
}

/// Returns the failure of a call without a complete response: permanent only if the target sent something
/// invalid, or if the call is not allowed.
fn classify_call(error: &CallError) -> Failure {
    if error.is_timeout() {
        let text = "the target did not respond in time (timeout_ms)";
        return Failure::Transient(text.to_owned());
    }
    let is_broken =
        matches!(error, CallError::Http(error) if error.is_decode() && !ends_early(error));
    let text = error.to_string();
    match error.is_lasting() || is_broken {
        true => Failure::Permanent(text),
        false => Failure::Transient(text),
    }
}

/// Returns true if the body is incomplete, whichever layer noticed it.
fn ends_early(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let http = error.downcast_ref::<hyper::Error>();
        let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if http.is_some_and(hyper::Error::is_incomplete_message)
            || matches!(
                io,
                Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
            )
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns the format of the media type; an unknown type is an error, as in Prometheus 3.
fn format_of(response: &Response, fallback: Option<Format>) -> Result<Format, String> {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map(|it| String::from_utf8_lossy(it.as_bytes()));
    let known = content_type.as_deref().and_then(Format::from_content_type);
    known.or(fallback).ok_or_else(|| match content_type {
        Some(found) => format!(
            "the target responded with Content-Type {:?}, expected {} or {}; if the body has one of these formats, set \
             fallback_protocol",
            truncate(&found, 100),
            Format::Text,
            Format::OpenMetrics
        ),
        None => "the target responded without Content-Type; set fallback_protocol to the format of its body"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_that_are_transient() {
        for status in 100..=599 {
            let is_transient = matches!(
                classify_status(StatusCode::from_u16(status).unwrap()),
                Failure::Transient(_)
            );
            assert_eq!(is_transient, status == 429 || status >= 500, "{status}");
        }
    }
}
