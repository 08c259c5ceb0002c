//! `POST /write`: remote write 1.0.

use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::body::receive;
use super::{App, HttpError};
use crate::connector::WriteOutcome;
use crate::prompb;

/// The log message of requests that hold something that cannot become records.
const NOT_CONVERTED: &str =
    "Unable to convert the received Prometheus write request to Timestream Records.";

pub(super) async fn write(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let start = Instant::now();
    let in_flight = app.metrics.in_flight();
    let mut outcome = None;
    let answer = answer(&app, &headers, body, &mut outcome).await;
    let status = answer
        .as_ref()
        .err()
        .map_or(StatusCode::NO_CONTENT, HttpError::status);
    app.metrics
        .add_write(outcome.as_ref(), status.as_u16(), start.elapsed());
    drop(in_flight);
    match answer {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.into_response(),
    }
}

async fn answer(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    outcome: &mut Option<WriteOutcome>,
) -> Result<(), HttpError> {
    let deadline = tokio::time::Instant::now() + app.settings.request_timeout;
    let limit = app.settings.max_request_bytes;
    let request: prompb::WriteRequest = match receive(headers, body, limit, deadline).await {
        Ok(request) => request,
        Err(error) => {
            tracing::error!(
                error = error.text(),
                status = error.status().as_u16(),
                "{NOT_CONVERTED}"
            );
            return Err(error);
        }
    };
    let written = match app.connector.write(&request, deadline).await {
        Ok(written) => outcome.insert(written),
        Err(refusal) => {
            let error = HttpError::from(refusal);
            tracing::error!(
                error = error.text(),
                status = error.status().as_u16(),
                "{NOT_CONVERTED}"
            );
            // Stored for the waiting task even if it is not waiting yet.
            app.refused.notify_one();
            return Err(error);
        }
    };
    let Some(error) = HttpError::from_write(written, app.settings.throttling_status) else {
        tracing::debug!(
            received = written.received,
            stored = written.stored,
            ignored = written.ignored.values().sum::<u64>(),
            calls = written.calls,
            "Write request stored."
        );
        return Ok(());
    };
    let message = if written.failures.is_empty() {
        NOT_CONVERTED
    } else {
        "Unable to write all records to Timestream."
    };
    tracing::error!(
        error = error.text(),
        status = error.status().as_u16(),
        received = written.received,
        stored = written.stored,
        failed = written.lost(),
        retries = written.retries,
        "{message}"
    );
    Err(error)
}
