//! The body of a request to its decompressed message: with limit, deadline and reserved memory.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tokio::time::{Instant, timeout_at};

use super::HttpError;
use crate::budget::Reservation;
use crate::compute::ComputePool;
use crate::wire::{self, DecodeError};

/// How long a body may stand still.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Bodies and messages that are larger than this take longer than a thread that serves connections
/// may be occupied.
pub(super) const LONG_BYTES: usize = 1 << 20;

/// Reads the body of a request. Not more than `limit` bytes of it are ever held, and no byte that
/// `reservation` has not.
pub(super) async fn receive(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    reservation: &mut Reservation,
    deadline: Instant,
) -> Result<Vec<u8>, HttpError> {
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(DecodeError::TooLarge { limit }.into());
    }
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    loop {
        let deadline = deadline.min(Instant::now() + MAX_PAUSE);
        let next = timeout_at(deadline, chunks.next()).await;
        let Some(chunk) = next.map_err(|_| HttpError::slow_body())? else {
            return Ok(bytes);
        };
        let chunk = chunk.map_err(|error| HttpError::incomplete_body(&error))?;
        let len = bytes.len() + chunk.len();
        if len > limit {
            return Err(DecodeError::TooLarge { limit }.into());
        }
        let capacity = bytes.capacity();
        if len > capacity {
            let wanted = (2 * capacity).min(limit).max(len);
            let grown = reservation.grow(wanted - capacity);
            grown.map_err(DecodeError::Memory)?;
            bytes.reserve_exact(wanted - bytes.len());
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// Reads the body of a request and decompresses it; the limit holds for both.
pub(super) async fn receive_message(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    reservation: &mut Reservation,
    compute: &ComputePool,
    deadline: Instant,
) -> Result<Vec<u8>, HttpError> {
    let body = receive(headers, body, limit, reservation, deadline).await?;
    let declared = wire::declared_len(&body, limit)?;
    reservation.grow(declared).map_err(DecodeError::Memory)?;
    let decompress = || wire::decompress(&body, limit);
    let is_long = body.len().max(declared) > LONG_BYTES;
    let message = within(deadline, compute.run_if(is_long, decompress)).await??;
    reservation.shrink(body.capacity());
    Ok(message)
}

/// Waits for a computation, until the deadline of its request.
pub(super) async fn within<T>(
    deadline: Instant,
    computation: impl Future<Output = T>,
) -> Result<T, HttpError> {
    let done = timeout_at(deadline, computation).await;
    done.map_err(|_| HttpError::overloaded())
}
