//! `POST /read`: remote read, answered with SAMPLES.

use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use super::body::receive;
use super::{App, HttpError};
use crate::connector::ReadOutcome;
use crate::convert::response::results_to_response;
use crate::prompb;
use crate::wire;

pub(super) async fn read(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let start = Instant::now();
    let in_flight = app.metrics.in_flight();
    let mut outcome = None;
    let answer = answer(&app, &headers, body, &mut outcome).await;
    let status = answer
        .as_ref()
        .err()
        .map_or(StatusCode::OK, HttpError::status);
    app.metrics
        .add_read(outcome.as_ref(), status.as_u16(), start.elapsed());
    drop(in_flight);
    match answer {
        Ok(body) => {
            let headers = [
                (CONTENT_TYPE, "application/x-protobuf"),
                (CONTENT_ENCODING, "snappy"),
            ];
            (headers, body).into_response()
        }
        Err(error) => {
            tracing::error!(
                error = error.text(),
                status = error.status().as_u16(),
                "Error occurred while reading the data back from Timestream."
            );
            error.into_response()
        }
    }
}

async fn answer(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    outcome: &mut Option<ReadOutcome>,
) -> Result<Vec<u8>, HttpError> {
    let deadline = tokio::time::Instant::now() + app.settings.read_timeout;
    let limit = app.settings.max_request_bytes;
    let request: prompb::ReadRequest = receive(headers, body, limit, deadline).await?;
    let read = app
        .connector
        .read(&request, deadline)
        .await
        .map_err(|error| HttpError::from(&error))?;
    tracing::debug!(
        queries = request.queries.len(),
        samples = read.samples(),
        statements = read.statements,
        "Read request answered."
    );
    let read = outcome.insert(read);
    let response = results_to_response(std::mem::take(&mut read.results));
    wire::encode(&response).map_err(|error| HttpError::encoding(&error))
}
