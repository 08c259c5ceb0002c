//! `POST /read`: remote read, answered with SAMPLES or STREAMED_XOR_CHUNKS.
//!
//! A streamed answer begins with the first result. Where an answer has to be one piece (see
//! [`super::bounds`]), its frames are one body.

mod account;
mod frames;

use std::collections::VecDeque;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Version};

use super::body::receive;
use super::bounds::{Bounded, earliest};
use super::{App, HttpError};
use crate::connector::QueryResult;
use crate::convert::response::{ResponseType, frames, timeseries};
use crate::convert::rows::Series;
use crate::prompb;
use crate::wire;
use account::Account;
use frames::FrameStream;

/// Prometheus' client compares the beginning of it, with this space.
const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

pub(super) async fn read(
    State(app): State<App>,
    version: Version,
    bounds: Bounded,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut account = Account::open(&app);
    let content = answer(&app, version, &headers, body, &bounds, &mut account).await;
    let (mut response, numbers) = match content {
        Ok(Content::Stream(results)) => {
            let frames = FrameStream::new(results, account);
            let headers = [(CONTENT_TYPE, STREAMED)];
            return (headers, Body::from_stream(frames.into_stream())).into_response();
        }
        Ok(Content::Frames(body)) => {
            let headers = [(CONTENT_TYPE, STREAMED)];
            ((headers, body).into_response(), account.close(None))
        }
        Ok(Content::Samples(body)) => {
            let headers = [
                (CONTENT_TYPE, "application/x-protobuf"),
                (CONTENT_ENCODING, "snappy"),
            ];
            ((headers, body).into_response(), account.close(None))
        }
        Err(error) => {
            let numbers = account.close(Some(&error));
            (error.into_response(), numbers)
        }
    };
    response.extensions_mut().insert(numbers);
    response
}

/// What an answer consists of.
enum Content {
    /// A whole SAMPLES answer.
    Samples(Vec<u8>),
    /// All frames.
    Frames(Vec<u8>),
    /// Frames of these results and of those that are still to come.
    Stream(VecDeque<QueryResult>),
}

async fn answer(
    app: &App,
    version: Version,
    headers: &HeaderMap,
    body: Body,
    bounds: &Bounded,
    account: &mut Account,
) -> Result<Content, HttpError> {
    let deadline = tokio::time::Instant::now() + app.settings.read_timeout;
    let deadline = earliest(deadline, bounds);
    let limit = app.settings.max_request_bytes;
    let mut share = app.admission.share();
    let request: prompb::ReadRequest = receive(headers, body, limit, &mut share, deadline).await?;
    let accepted = &request.accepted_response_types;
    let mut form =
        ResponseType::preferred(accepted).ok_or_else(|| HttpError::no_response_type(accepted))?;
    // Without chunked transfer the end of a connection would be the end of the answer.
    let is_whole = bounds.is_some() || version < Version::HTTP_11;
    let reading = account.read(app.connector.read(&request, deadline));
    let mut results = VecDeque::new();
    while let Some(result) = reading.next().await {
        let result = result.map_err(|error| HttpError::from(&error))?;
        if result.iter().any(|series| !series.histograms.is_empty()) {
            form = ResponseType::Samples;
        }
        results.push_back(result);
        if form == ResponseType::Chunks && !is_whole && reading.rest_excludes_histograms() {
            return Ok(Content::Stream(results));
        }
    }
    let max_bytes = bounds
        .as_ref()
        .map_or(usize::MAX, |bounds| bounds.max_answer_bytes);
    let fitting = |len| match len > max_bytes {
        true => Err(HttpError::answer_too_large(len, max_bytes)),
        false => Ok(()),
    };
    let results = results.make_contiguous();
    if form == ResponseType::Samples {
        let body = wire::encode_results(results, timeseries);
        let body = body.map_err(|error| HttpError::encoding(&error))?;
        return fitting(body.len()).map(|()| Content::Samples(body));
    }
    let all = || {
        let indexed = results.iter().enumerate();
        let series = |(index, result)| -> _ {
            let series: &[Series] = AsRef::as_ref(result);
            series.iter().flat_map(move |series| frames(index, series))
        };
        indexed.flat_map(series)
    };
    let len = all().map(|message| wire::frame_len(&message)).sum();
    fitting(len)?;
    let mut body = Vec::with_capacity(len);
    for message in all() {
        wire::write_frame(&message, &mut body);
    }
    Ok(Content::Frames(body))
}
