//! `POST /read`: remote read, with SAMPLES or STREAMED_XOR_CHUNKS as the response.
//!
//! A streamed response begins with the first result. If a response must be one piece (see
//! [`super::invocation_limits`]), its frames are one body. A request is a message in snappy, regardless of its
//! content headers: Prometheus ignores them, and clients put the form of the response there.

mod frames;
mod record;

use std::collections::VecDeque;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Version};
use prom_wire::buffer::Buffer;
use prom_wire::prompb::ChunkedReadResponse;
use prom_wire::response::Series;
use prom_wire::response::{ResponseType, frames, timeseries};

use super::body::{Compressed, LONG_BYTES, within};
use super::invocation_limits::{OptionalLimits, earliest};
use super::recorder::{End, RequestRecorder};
use super::{App, HttpError};
use crate::query::QueryResult;
use frames::FrameStream;
use record::ReadRecord;

/// The content type of frames; Prometheus' client compares its beginning, with this space.
const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

pub(super) async fn read(
    State(app): State<App>,
    version: Version,
    limits: OptionalLimits,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut recorder = RequestRecorder::open(&app, ReadRecord::default());
    let content = content(&app, version, &headers, body, &limits, recorder.record()).await;
    let completed = End::Completed(StatusCode::OK);
    let (mut response, numbers) = match content {
        Ok(Content::Stream(results, deadline)) => {
            let compute = app.querier.compute().clone();
            let frames = FrameStream::new(results, recorder, deadline, compute);
            let headers = [(CONTENT_TYPE, STREAMED)];
            return (headers, Body::from_stream(frames.into_stream())).into_response();
        }
        Ok(Content::Frames(body)) => {
            let headers = [(CONTENT_TYPE, STREAMED)];
            (
                (headers, Bytes::from_owner(body)).into_response(),
                recorder.close(completed),
            )
        }
        Ok(Content::Samples(body)) => {
            let headers = [
                (CONTENT_TYPE, "application/x-protobuf"),
                (CONTENT_ENCODING, "snappy"),
            ];
            (
                (headers, Bytes::from_owner(body)).into_response(),
                recorder.close(completed),
            )
        }
        Err(error) => {
            let numbers = recorder.close(End::Failed(&error));
            (error.into_response(), numbers)
        }
    };
    response.extensions_mut().insert(numbers);
    response
}

/// The content of a response.
enum Content {
    /// A complete SAMPLES response.
    Samples(Buffer),
    /// All frames.
    Frames(Buffer),
    /// Frames of these results and of the results that follow, until a deadline.
    Stream(VecDeque<QueryResult>, tokio::time::Instant),
}

/// Reads the request and returns the content of its response.
async fn content(
    app: &App,
    version: Version,
    headers: &HeaderMap,
    body: Body,
    limits: &OptionalLimits,
    record: &mut ReadRecord,
) -> Result<Content, HttpError> {
    let deadline = tokio::time::Instant::now() + app.settings.read_timeout;
    let deadline = earliest(deadline, limits);
    let compute = app.querier.compute();
    let reservation = record.reservation.insert(app.budget.reservation());
    let body = Compressed::receive(app, headers, body, reservation, deadline).await?;
    let (message, turn) = within(deadline, body.decompress(compute, reservation)).await??;
    let decode = || prom_wire::decode_read_request(&message, reservation);
    let mut request = within(deadline, compute.run_if(turn.is_some(), decode)).await??;
    drop((message, turn));
    if let Some(replicas) = &app.replicas {
        replicas.forget_replica(&mut request.queries);
    }
    let accepted = &request.accepted_response_types;
    let form =
        ResponseType::preferred(accepted).ok_or_else(|| HttpError::no_response_type(accepted))?;
    // Without chunked transfer the end of the connection would be the end of the response.
    let is_whole = limits.is_some() || version < Version::HTTP_11;
    let reading = app.querier.read(&request, reservation, deadline).await;
    let reading = record.reading.insert(reading);
    let mut results = VecDeque::new();
    while let Some(result) = reading.next().await {
        results.push_back(result.map_err(|error| HttpError::from(&error))?);
        if form == ResponseType::Chunks && !is_whole {
            return Ok(Content::Stream(results, deadline));
        }
    }
    let max_bytes = limits
        .as_ref()
        .map_or(usize::MAX, |limits| limits.max_response_bytes);
    let fitting = |len| match len > max_bytes {
        true => Err(HttpError::result_too_large(len, max_bytes)),
        false => Ok(()),
    };
    let results = results.make_contiguous();
    let bytes: usize = results
        .iter()
        .flat_map(|it| it.iter())
        .map(Series::bytes)
        .sum();
    let is_long = bytes > LONG_BYTES;
    if form == ResponseType::Samples {
        let mut encoder = prom_wire::ResultsEncoder::new(results, timeseries);
        let encoding = compute.run_in_slices(is_long, || encoder.step());
        let body = within(deadline, encoding).await?;
        let body = body.map_err(|error| HttpError::encoding(&error))?;
        return fitting(body.len()).map(|()| Content::Samples(body));
    }
    // Frames are encoded twice, because their total length is needed first.
    let mut len = 0;
    let (mut uncounted, mut unwritten) = (all_frames(results), all_frames(results));
    let count = || match uncounted.next() {
        None => Some(()),
        Some(frame) => {
            len += frame.map_or(0, |message| prom_wire::frame_len(&message));
            None
        }
    };
    within(deadline, compute.run_in_slices(is_long, count)).await?;
    fitting(len)?;
    let body = Buffer::with_capacity(len);
    let mut body = body.map_err(|error| HttpError::no_memory(&error))?;
    let mut piece = Vec::new();
    let write = || match unwritten.next() {
        None => Some(Ok(())),
        Some(frame) => {
            piece.clear();
            prom_wire::write_frame(&frame?, &mut piece);
            body.append(&piece, len).err().map(Err)
        }
    };
    let written = within(deadline, compute.run_in_slices(is_long, write)).await?;
    written.map_err(|error| HttpError::no_memory(&error))?;
    Ok(Content::Frames(body))
}

/// Returns the frames of results, each series by [`frames`].
fn all_frames(
    results: &[QueryResult],
) -> Box<dyn Iterator<Item = Option<ChunkedReadResponse>> + Send + '_> {
    let results = results.iter().enumerate();
    Box::new(
        results.flat_map(|(index, result)| {
            result.iter().flat_map(move |series| frames(index, series))
        }),
    )
}
