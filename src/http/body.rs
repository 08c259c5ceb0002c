//! A request to its message: headers, then the body with limit and deadline, then decoding.

use axum::body::Body;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use prost::{Message, Name};
use tokio::time::{Instant, timeout_at};

use super::HttpError;
use crate::wire::{self, DecodeError};

/// Reads the message of a request. What the headers announce is checked before any of the body is
/// read; not more than `limit` bytes of the body are ever held, nor of what it decompresses to.
pub(super) async fn receive<M: Message + Name + Default>(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    deadline: Instant,
) -> Result<M, HttpError> {
    wire::check_headers::<M>(headers)?;
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(DecodeError::TooLarge { limit }.into());
    }
    let body = timeout_at(deadline, read(body, limit));
    let body = body.await.map_err(|_| HttpError::slow_body())??;
    Ok(wire::decode(&body, limit)?)
}

async fn read(body: Body, limit: usize) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| HttpError::incomplete_body(&error))?;
        if bytes.len() + chunk.len() > limit {
            return Err(DecodeError::TooLarge { limit }.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
