//! `POST /write`: remote write 1.0 and 2.0.

use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::body::decompressed;
use super::bounds::{Bounded, earliest};
use super::{App, HttpError, log};
use crate::connector::{Kept, WriteOutcome};
use crate::received::Kinds;
use crate::wire::{self, RemoteWrite};

/// The log message of requests that hold something that cannot become records.
const NOT_CONVERTED: &str =
    "Unable to convert the received Prometheus write request to Timestream Records.";

pub(super) async fn write(
    State(app): State<App>,
    bounds: Bounded,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let start = Instant::now();
    let _in_flight = app.metrics.in_flight();
    let mut outcome = None;
    let deadline = tokio::time::Instant::now() + app.settings.request_timeout;
    let deadline = earliest(deadline, &bounds);
    let version = wire::negotiate(&headers).map_err(HttpError::from);
    let answer = match &version {
        Ok(version) => answer(&app, *version, &headers, body, deadline, &mut outcome).await,
        Err(error) => Err(error.clone()),
    };
    let status = answer
        .as_ref()
        .err()
        .map_or(StatusCode::NO_CONTENT, HttpError::status);
    let numbers = app
        .metrics
        .add_write(outcome.as_ref(), status.as_u16(), start.elapsed());
    log(&answer, outcome.as_ref());
    let written = written(&answer, outcome.as_ref());
    let mut response = match answer {
        Ok(()) => {
            app.pressure.relieve();
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) if error.is_retryable() => error.after(app.pressure.rise()).into_response(),
        Err(error) => error.into_response(),
    };
    response.extensions_mut().insert(numbers);
    // A sender of remote write 1.0 would believe them too, and some have got that wrong.
    if version == Ok(RemoteWrite::V2) {
        add_written(response.headers_mut(), written);
    }
    response
}

/// What is written as far as the sender is concerned: after a retryable answer it sends everything
/// again and adds up what the answers say, so such an answer says nothing.
fn written(answer: &Result<(), HttpError>, outcome: Option<&WriteOutcome>) -> Kinds {
    match answer {
        Err(error) if error.is_retryable() => Kinds::default(),
        _ => outcome.map_or_else(Kinds::default, |outcome| outcome.written),
    }
}

/// The headers that remote write 2.0 demands of every answer
/// (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/#required-written-response-headers>).
fn add_written(headers: &mut HeaderMap, written: Kinds) {
    let counts = [
        ("x-prometheus-remote-write-samples-written", written.samples),
        (
            "x-prometheus-remote-write-histograms-written",
            written.histograms,
        ),
        (
            "x-prometheus-remote-write-exemplars-written",
            written.exemplars,
        ),
    ];
    for (name, count) in counts {
        headers.insert(name, HeaderValue::from(count));
    }
}

/// The answer; `outcome` is set if the request was understood and not refused.
async fn answer(
    app: &App,
    version: RemoteWrite,
    headers: &HeaderMap,
    body: Body,
    deadline: tokio::time::Instant,
    outcome: &mut Option<WriteOutcome>,
) -> Result<(), HttpError> {
    let limit = app.settings.max_request_bytes;
    let mut share = app.admission.share();
    let message = decompressed(headers, body, limit, &mut share, deadline).await?;
    let request = wire::read_request(version, &message)?;
    let written = app.connector.write(&request, deadline).await;
    let written = written.map_err(|refusal| {
        // Stored for the waiting task even if it is not waiting yet.
        app.refused.notify_one();
        HttpError::from(refusal)
    })?;
    let written = outcome.insert(written);
    HttpError::from_write(written, app.settings.throttling_status).map_or(Ok(()), Err)
}

/// The one line about a request; numbers that nobody knows are left out.
fn log(answer: &Result<(), HttpError>, outcome: Option<&WriteOutcome>) {
    let received = outcome.map(|written| written.received);
    let stored = outcome.map(|written| written.stored);
    let ignored = outcome.map(|written| written.ignored.values().sum::<u64>());
    let calls = outcome.map(|written| written.calls);
    let retries = outcome.map(|written| written.retries);
    let Err(error) = answer else {
        if let Some(Kept::Samples(samples)) = outcome.map(|written| &written.dead_letters) {
            tracing::warn!(
                dead_letters = samples,
                received,
                stored,
                ignored,
                calls,
                retries,
                "Some samples cannot be stored and are kept as dead letters."
            );
            return;
        }
        tracing::debug!(
            status = StatusCode::NO_CONTENT.as_u16(),
            received,
            stored,
            ignored,
            calls,
            retries,
            "Write request stored."
        );
        return;
    };
    let failures = || outcome.iter().flat_map(|written| &written.failures);
    let message = match failures().next() {
        Some(_) => "Unable to write all records to Timestream.",
        None => NOT_CONVERTED,
    };
    let destinations = log::destinations(failures().map(|failure| &failure.destination));
    tracing::error!(
        error = error.text(),
        status = error.status().as_u16(),
        destinations,
        received,
        stored,
        ignored,
        failed = outcome.map(WriteOutcome::lost),
        calls,
        retries,
        "{message}"
    );
}
