//! The bodies of responses: in gzip or deflate if the client accepts it, within the memory and size they may have.

use std::io::{self, Write};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use prom_wire::budget::Reservation;
use prom_wire::buffer::Buffer;

use super::encoding::{Encoding, LEVEL};
use super::envelope::{ApiError, ErrorType};
use crate::http::reason::Reason;

/// A body that is written piece by piece.
pub(super) struct BodyWriter<'r> {
    encoder: Encoder,
    encoding: Encoding,
    reservation: &'r mut Reservation,
    max_bytes: usize,
}

enum Encoder {
    Identity(Sink),
    Gzip(GzEncoder<Sink>),
    Deflate(ZlibEncoder<Sink>),
}

impl Encoder {
    fn sink(&self) -> &Sink {
        match self {
            Self::Identity(sink) => sink,
            Self::Gzip(encoder) => encoder.get_ref(),
            Self::Deflate(encoder) => encoder.get_ref(),
        }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(sink) => sink.write_all(piece),
            Self::Gzip(encoder) => encoder.write_all(piece),
            Self::Deflate(encoder) => encoder.write_all(piece),
        }
    }

    fn finish(self) -> io::Result<Sink> {
        match self {
            Self::Identity(sink) => Ok(sink),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Deflate(encoder) => encoder.finish(),
        }
    }
}

/// Bytes that grow in a [`Buffer`].
struct Sink(Buffer);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes, 0)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'r> BodyWriter<'r> {
    /// Returns an empty body, which may have `max_bytes` once encoded. Its memory is taken from `reservation`.
    pub(super) fn new(
        encoding: Encoding,
        max_bytes: usize,
        reservation: &'r mut Reservation,
    ) -> Result<Self, ApiError> {
        let sink = Sink(Buffer::with_capacity(0).map_err(|error| no_memory(&error))?);
        let encoder = match encoding {
            Encoding::Identity => Encoder::Identity(sink),
            Encoding::Gzip => Encoder::Gzip(GzEncoder::new(sink, LEVEL)),
            Encoding::Deflate => Encoder::Deflate(ZlibEncoder::new(sink, LEVEL)),
        };
        Ok(Self {
            encoder,
            encoding,
            reservation,
            max_bytes,
        })
    }

    /// Appends a piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), ApiError> {
        let before = self.encoder.sink().0.len();
        let written = self.encoder.write(piece);
        written.map_err(|error| no_memory(&error))?;
        let after = self.encoder.sink().0.len();
        if after > self.max_bytes {
            return Err(ApiError::result_too_large(self.max_bytes));
        }
        let grown = self.reservation.grow(after - before);
        grown.map_err(ApiError::no_memory)
    }

    /// Ends the body, and returns the response with it.
    pub(super) fn finish(self) -> Result<Response, ApiError> {
        let Sink(body) = self.encoder.finish().map_err(|error| no_memory(&error))?;
        if body.len() > self.max_bytes {
            return Err(ApiError::result_too_large(self.max_bytes));
        }
        let mut response = Body::from(Bytes::from_owner(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(name) = self.encoding.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        Ok(response)
    }
}

fn no_memory(error: &io::Error) -> ApiError {
    let text = format!(
        "the system has no memory for the response: {error}; send again, or give the connector more memory"
    );
    ApiError::new(ErrorType::Unavailable, text).because(Reason::NoMemory)
}
