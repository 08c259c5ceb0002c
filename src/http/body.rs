//! The body of a request to its decompressed message: with limit, deadline and reserved memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use prom_wire::DecodeError;
use prom_wire::budget::{BudgetExceeded, Reservation};
use prom_wire::buffer::Buffer;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};

use super::{App, HttpError};
use crate::compute::ComputePool;

/// Maximum time to decode a request on a slow processor. Decoding cannot be interrupted, so it begins at least
/// this long before the deadline.
const DECODING_TIME: Duration = Duration::from_secs(2);

/// Maximum time that a request waits for memory at its turn, and the pause between two attempts.
const MAX_MEMORY_WAIT: Duration = Duration::from_secs(1);
const MEMORY_WAIT_STEP: Duration = Duration::from_millis(50);

/// Maximum pause between two parts of a body.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Bodies and messages larger than this occupy a processor for longer than a thread that serves connections may
/// be. Requests of 2,000 samples are smaller.
pub(super) const LONG_BYTES: usize = 640 << 10;

/// Reads the body of a request. At most `limit` bytes of it are held, all of them reserved in `reservation`.
pub(super) async fn receive(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    reservation: &mut Reservation,
    deadline: Instant,
) -> Result<Buffer, HttpError> {
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(DecodeError::TooLarge { limit }.into());
    }
    let declared = declared.map_or(0, |length| length as usize);
    let mut bytes = Buffer::with_capacity(0).map_err(|error| HttpError::no_memory(&error))?;
    let mut chunks = body.into_data_stream();
    loop {
        let pause_end = Instant::now() + MAX_PAUSE;
        let next = timeout_at(deadline.min(pause_end), chunks.next()).await;
        let late = |_| match pause_end < deadline {
            true => HttpError::paused_body(MAX_PAUSE),
            false => HttpError::slow_body(),
        };
        let Some(chunk) = next.map_err(late)? else {
            return Ok(bytes);
        };
        let chunk = chunk.map_err(|error| HttpError::incomplete_body(&error))?;
        let len = bytes.len() + chunk.len();
        if len > limit {
            return Err(DecodeError::TooLarge { limit }.into());
        }
        reservation.grow(chunk.len()).map_err(DecodeError::Memory)?;
        let appended = bytes.append(&chunk, declared);
        appended.map_err(|error| HttpError::no_memory(&error))?;
    }
}

/// A complete body that is not decompressed yet.
pub(super) struct Compressed {
    body: Buffer,
    /// Its length once decompressed, in bytes.
    declared: usize,
    /// Large requests are decoded one after the other: together they could take memory from one another until
    /// none has enough.
    turn: Turn,
}

/// The turn of a large request to be decoded; held until it is.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

/// Waits for the turn of a request to be decoded, if it is large.
pub(super) async fn turn(app: &App, is_large: bool, deadline: Instant) -> Result<Turn, HttpError> {
    if !is_large {
        return Ok(None);
    }
    let turn = Arc::clone(&app.decoding).acquire_owned();
    let latest = deadline.checked_sub(DECODING_TIME).unwrap_or(deadline);
    let turn = within(latest, turn).await?;
    Ok(Some(turn.expect("the semaphore is never closed")))
}

/// Returns zeros to decompress a message of `len` bytes into, reserved in `reservation`. A request at its turn waits
/// for the memory.
pub(super) async fn zeros(
    len: usize,
    turn: &Turn,
    reservation: &mut Reservation,
) -> Result<Buffer, HttpError> {
    let mut wait = MemoryWait::new(turn.is_some());
    while let Err(exceeded) = reservation.grow(len) {
        wait.once(exceeded).await?;
    }
    Buffer::zeros(len).map_err(|error| HttpError::no_memory(&error))
}

impl Compressed {
    /// Reads the body of a request, within the limit before and after decompression. Returns when it is the
    /// request's turn to be decoded.
    pub(super) async fn receive(
        app: &App,
        headers: &HeaderMap,
        body: Body,
        reservation: &mut Reservation,
        deadline: Instant,
    ) -> Result<Self, HttpError> {
        let limit = app.settings.max_request_bytes;
        let body = receive(headers, body, limit, reservation, deadline).await?;
        let declared = prom_wire::declared_len(&body, limit)?;
        let turn = turn(app, body.len().max(declared) > LONG_BYTES, deadline).await?;
        Ok(Self {
            body,
            declared,
            turn,
        })
    }

    /// Decompresses the body.
    pub(super) async fn decompress(
        self,
        compute: &ComputePool,
        reservation: &mut Reservation,
    ) -> Result<(Buffer, Turn), HttpError> {
        let mut message = zeros(self.declared, &self.turn, reservation).await?;
        let decompress = || prom_wire::decompress_into(&self.body, message.as_mut_slice());
        compute.run_if(self.turn.is_some(), decompress).await?;
        reservation.shrink(self.body.len());
        Ok((message, self.turn))
    }
}

/// The time that a request waits for memory at its turn: the requests before it, which are being stored, free
/// theirs within a fraction of a second. Requests without a turn do not wait, as each could hold what another needs.
pub(super) struct MemoryWait {
    end: Option<Instant>,
}

impl MemoryWait {
    pub(super) fn new(has_turn: bool) -> Self {
        Self {
            end: has_turn.then(|| Instant::now() + MAX_MEMORY_WAIT),
        }
    }

    /// Waits before the next attempt to reserve the memory.
    ///
    /// # Errors
    /// The time is over, or the request is larger than the whole budget.
    pub(super) async fn once(&mut self, exceeded: BudgetExceeded) -> Result<(), DecodeError> {
        let may_wait = self.end.is_some_and(|end| Instant::now() < end);
        match exceeded {
            BudgetExceeded::Busy { .. } if may_wait => {
                sleep(MEMORY_WAIT_STEP).await;
                Ok(())
            }
            exceeded => Err(DecodeError::Memory(exceeded)),
        }
    }
}

/// Waits for a computation, until the deadline of its request.
pub(super) async fn within<T>(
    deadline: Instant,
    computation: impl Future<Output = T>,
) -> Result<T, HttpError> {
    let done = timeout_at(deadline, computation).await;
    done.map_err(|_| HttpError::overloaded())
}
