//! The body of a request to its message.
//!
//! A member of gzip ends with the length of its content, so that memory is reserved at once. Bodies of several members
//! are rare: their length is counted first.

use std::io::{self, ErrorKind, Read};

use axum::body::Body;
use flate2::bufread::GzDecoder;
use http::{HeaderMap, StatusCode};
use prom_wire::budget::Reservation;
use prom_wire::buffer::Buffer;
use tokio::time::Instant;

use super::content::{Compression, compression};
use crate::http::body::{self, LONG_BYTES, Turn, within};
use crate::http::error::ErrorClass;
use crate::http::reason::Reason;
use crate::http::{App, HttpError};

/// Larger messages take longer to decode than a thread that serves connections may be occupied: a histogram becomes
/// many series.
const LONG_MESSAGE: usize = LONG_BYTES / 4;

/// The most bytes that the format makes of one.
const MAX_RATIO: usize = 1_032;

/// The most members of a body. Exporters make one. Each begins with a new state of the decoder, which takes longer than
/// to decompress the 20 bytes that a member may have.
const MAX_MEMBERS: usize = 100;

/// Reads the body of a request, within the limit before and after decompression. Returns when it is the request's
/// turn to be decoded.
pub(super) async fn receive(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    reservation: &mut Reservation,
    deadline: Instant,
) -> Result<(Buffer, Turn), HttpError> {
    let limit = app.settings.max_request_bytes;
    let compression = compression(headers)?;
    let received = body::receive(headers, body, limit, reservation, deadline).await;
    let body = received.map_err(|error| {
        let is_large = error.status() == StatusCode::from(ErrorClass::TooLarge);
        match is_large {
            true => too_large(limit),
            false => error,
        }
    })?;
    match compression {
        Compression::None => {
            let turn = body::turn(app, body.len() > LONG_MESSAGE, deadline).await?;
            Ok((body, turn))
        }
        Compression::Gzip => decompress(app, &body, reservation, deadline).await,
    }
}

fn too_large(limit: usize) -> HttpError {
    HttpError::new(
        ErrorClass::TooLarge,
        Reason::BodyTooLarge,
        format!(
            "the request body exceeds {limit} bytes; send smaller batches (send_batch_max_size of the Collector's batch \
             processor) or raise max_request_bytes"
        ),
    )
}

fn not_gzip(error: &io::Error) -> HttpError {
    let text = match error.kind() {
        TOO_MANY_MEMBERS => format!(
            "the request body is gzip of more than {MAX_MEMBERS} members; compress each request as one"
        ),
        _ => format!("the request body is not valid gzip: {error}"),
    };
    HttpError::new(ErrorClass::BadRequest, Reason::InvalidBody, text)
}

/// The kind of the error for a body of more than [`MAX_MEMBERS`] members; the decoder has no error of this kind.
const TOO_MANY_MEMBERS: ErrorKind = ErrorKind::QuotaExceeded;

/// The content of all members of a body.
struct Members<'b> {
    member: GzDecoder<&'b [u8]>,
    /// Members that may follow.
    left: usize,
}

impl<'b> Members<'b> {
    fn new(body: &'b [u8]) -> Self {
        Self {
            member: GzDecoder::new(body),
            left: MAX_MEMBERS - 1,
        }
    }
}

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.member.read(buffer)?;
            let rest = *self.member.get_ref();
            if read > 0 || buffer.is_empty() || rest.is_empty() {
                return Ok(read);
            }
            let left = self.left.checked_sub(1);
            self.left = left.ok_or(TOO_MANY_MEMBERS)?;
            self.member = GzDecoder::new(rest);
        }
    }
}

/// Decompresses a body.
async fn decompress(
    app: &App,
    body: &Buffer,
    reservation: &mut Reservation,
    deadline: Instant,
) -> Result<(Buffer, Turn), HttpError> {
    let limit = app.settings.max_request_bytes;
    let declared = declared_len(body);
    // The end of a broken body is no length.
    if declared <= limit.min(body.len().saturating_mul(MAX_RATIO))
        && let Some(message) = decompress_to(declared, app, body, reservation, deadline).await?
    {
        return Ok(message);
    }
    let count = || decompressed_len(body, limit);
    let count = app.ingester.compute().run_if(true, count);
    let len = within(deadline, count).await?;
    let len = len.map_err(|error| not_gzip(&error))?;
    let message = match len > limit {
        true => None,
        false => decompress_to(len, app, body, reservation, deadline).await?,
    };
    message.ok_or_else(|| too_large(limit))
}

/// Decompresses a body to so many bytes; `None` if it has more.
async fn decompress_to(
    len: usize,
    app: &App,
    body: &Buffer,
    reservation: &mut Reservation,
    deadline: Instant,
) -> Result<Option<(Buffer, Turn)>, HttpError> {
    let turn = body::turn(app, len.max(body.len()) > LONG_MESSAGE, deadline).await?;
    let mut message = body::zeros(len, &turn, reservation).await?;
    let read = || decompress_into(body, message.as_mut_slice());
    let read = app.ingester.compute().run_if(turn.is_some(), read);
    let read = within(deadline, read).await?;
    if read.map_err(|error| not_gzip(&error))? {
        reservation.shrink(body.len());
        return Ok(Some((message, turn)));
    }
    reservation.shrink(len);
    Ok(None)
}

/// Returns the length that the last member declares; 0 if there is none.
fn declared_len(body: &[u8]) -> usize {
    let last = body.last_chunk().map_or(0, |it| u32::from_le_bytes(*it));
    usize::try_from(last).unwrap_or(usize::MAX)
}

/// Decompresses all members into `message`; returns false if they have more.
fn decompress_into(body: &[u8], message: &mut [u8]) -> io::Result<bool> {
    let mut decoder = Members::new(body);
    decoder.read_exact(message)?;
    Ok(decoder.read(&mut [0])? == 0)
}

/// Returns the length of all members, or more than `limit` if it is more.
fn decompressed_len(body: &[u8], limit: usize) -> io::Result<usize> {
    let mut decoder = Members::new(body).take(limit as u64 + 1);
    let len = io::copy(&mut decoder, &mut io::sink())?;
    Ok(usize::try_from(len).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn one_member_has_its_length_at_the_end() {
        let body = gzip(b"metrics");
        let mut message = vec![0; declared_len(&body)];
        assert!(decompress_into(&body, &mut message).unwrap());
        assert_eq!(message, b"metrics");
        assert_eq!(declared_len(b""), 0);
    }

    #[test]
    fn several_members_are_counted() {
        let body = [gzip(b"met"), gzip(b""), gzip(b"rics")].concat();
        let mut message = vec![0; declared_len(&body)];
        assert!(!decompress_into(&body, &mut message).unwrap());
        assert_eq!(decompressed_len(&body, 100).unwrap(), 7);
        assert_eq!(decompressed_len(&body, 5).unwrap(), 6);
        let mut message = vec![0; 7];
        assert!(decompress_into(&body, &mut message).unwrap());
        assert_eq!(message, b"metrics");
    }

    #[test]
    fn members_are_limited_and_junk_between_them_is_an_error() {
        let mut body = gzip(b"").repeat(MAX_MEMBERS - 1);
        body.extend(gzip(b"metrics"));
        let mut message = vec![0; 7];
        assert!(decompress_into(&body, &mut message).unwrap());
        assert_eq!(message, b"metrics");
        assert_eq!(decompressed_len(&body, 100).unwrap(), 7);
        body.extend(gzip(b""));
        for error in [
            decompress_into(&body, &mut message).unwrap_err(),
            decompressed_len(&body, 100).unwrap_err(),
        ] {
            assert_eq!(error.kind(), TOO_MANY_MEMBERS);
            assert!(not_gzip(&error).text().contains("more than 100 members"));
        }
        let junk = [&gzip(b"a")[..], b"junk", &gzip(b"b")].concat();
        let error = decompressed_len(&junk, 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn broken_bodies_are_errors() {
        let whole = gzip(b"metrics");
        let mut checksum = whole.clone();
        let at = checksum.len() - 8;
        checksum[at] ^= 1;
        let mut long = whole.clone();
        let at = long.len() - 4;
        long[at] += 1;
        let junk = [&whole[..], b"junk\x07\0\0\0"].concat();
        let cases = [
            vec![],
            b"{}".to_vec(),
            whole[..whole.len() - 1].to_vec(),
            checksum,
            long,
            junk,
        ];
        for body in cases {
            // Memory is not taken for what cannot be.
            let mut message = vec![0; declared_len(&body).min(100)];
            let decompressed = decompress_into(&body, &mut message);
            assert!(decompressed.is_err(), "{body:?}: {decompressed:?}");
        }
    }
}
