//! A request to its message: headers, then the body with limit and deadline, then decompression.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use prost::{Message, Name};
use tokio::time::{Instant, timeout_at};

use super::HttpError;
use super::admission::Share;
use crate::wire::{self, DecodeError};

/// How long a body may stand still.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Reads the message `M` of a request. What the headers announce is checked before any of the body
/// is read.
pub(super) async fn receive<M: Message + Name + Default>(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    share: &mut Share,
    deadline: Instant,
) -> Result<M, HttpError> {
    wire::check_headers::<M>(headers)?;
    let message = decompressed(headers, body, limit, share, deadline).await?;
    Ok(wire::decode(&message)?)
}

/// Reads the body of a request and decompresses it. Not more than `limit` bytes of it are ever held,
/// nor of what it decompresses to, and no byte that `share` has not.
pub(super) async fn decompressed(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    share: &mut Share,
    deadline: Instant,
) -> Result<Vec<u8>, HttpError> {
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(DecodeError::TooLarge { limit }.into());
    }
    let body = read(body, limit, share, deadline).await?;
    let declared = wire::declared_len(&body, limit)?;
    share
        .grow(declared)
        .map_err(|full| HttpError::busy(full.limit))?;
    Ok(wire::decompress(&body, limit)?)
}

async fn read(
    body: Body,
    limit: usize,
    share: &mut Share,
    deadline: Instant,
) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    loop {
        let deadline = deadline.min(Instant::now() + MAX_PAUSE);
        let next = timeout_at(deadline, chunks.next()).await;
        let Some(chunk) = next.map_err(|_| HttpError::slow_body())? else {
            return Ok(bytes);
        };
        let chunk = chunk.map_err(|error| HttpError::incomplete_body(&error))?;
        if bytes.len() + chunk.len() > limit {
            return Err(DecodeError::TooLarge { limit }.into());
        }
        share
            .grow(chunk.len())
            .map_err(|full| HttpError::busy(full.limit))?;
        bytes.extend_from_slice(&chunk);
    }
}
