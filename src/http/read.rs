//! `POST /read`: remote read, answered with SAMPLES.

use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use super::body::receive;
use super::bounds::{Bounded, earliest};
use super::{App, HttpError, log};
use crate::connector::ReadOutcome;
use crate::convert::response::results_to_response;
use crate::prompb;
use crate::wire;

pub(super) async fn read(
    State(app): State<App>,
    bounds: Bounded,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let start = Instant::now();
    let _in_flight = app.metrics.in_flight();
    let mut outcome = None;
    let answer = answer(&app, &headers, body, &bounds, &mut outcome).await;
    let status = answer
        .as_ref()
        .err()
        .map_or(StatusCode::OK, HttpError::status);
    let numbers = app
        .metrics
        .add_read(outcome.as_ref(), status.as_u16(), start.elapsed());
    log(&answer, outcome.as_ref());
    let mut response = match answer {
        Ok(body) => {
            let headers = [
                (CONTENT_TYPE, "application/x-protobuf"),
                (CONTENT_ENCODING, "snappy"),
            ];
            (headers, body).into_response()
        }
        Err(error) => error.into_response(),
    };
    response.extensions_mut().insert(numbers);
    response
}

/// The answer; `outcome` is set as soon as there is one, without its results.
async fn answer(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    bounds: &Bounded,
    outcome: &mut Option<ReadOutcome>,
) -> Result<Vec<u8>, HttpError> {
    let deadline = tokio::time::Instant::now() + app.settings.read_timeout;
    let deadline = earliest(deadline, bounds);
    let limit = app.settings.max_request_bytes;
    let mut share = app.admission.share();
    let request: prompb::ReadRequest = receive(headers, body, limit, &mut share, deadline).await?;
    let outcome = outcome.insert(app.connector.read(&request, deadline).await);
    let results = std::mem::replace(&mut outcome.results, Ok(Vec::new()));
    let results = results.map_err(|error| HttpError::from(&error))?;
    let response = results_to_response(results);
    let body = wire::encode(&response).map_err(|error| HttpError::encoding(&error))?;
    match bounds {
        Some(bounds) if body.len() > bounds.max_answer_bytes => Err(HttpError::answer_too_large(
            body.len(),
            bounds.max_answer_bytes,
        )),
        _ => Ok(body),
    }
}

/// The one line about a request; numbers that nobody knows are left out.
fn log(answer: &Result<Vec<u8>, HttpError>, outcome: Option<&ReadOutcome>) {
    let destinations = log::destinations(outcome.iter().flat_map(|it| &it.destinations));
    let counts = outcome.map(|outcome| outcome.counts);
    match answer {
        Ok(_) => tracing::debug!(
            status = StatusCode::OK.as_u16(),
            destinations,
            series = outcome.map(|outcome| outcome.series),
            samples = outcome.map(|outcome| outcome.samples),
            statements = counts.map(|counts| counts.statements),
            pages = counts.map(|counts| counts.pages),
            retries = counts.map(|counts| counts.retries),
            "Read request answered."
        ),
        Err(error) => tracing::error!(
            error = error.text(),
            status = error.status().as_u16(),
            destinations,
            statements = counts.map(|counts| counts.statements),
            pages = counts.map(|counts| counts.pages),
            retries = counts.map(|counts| counts.retries),
            "Error occurred while reading the data back from Timestream."
        ),
    }
}
