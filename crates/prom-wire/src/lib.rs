//! Prometheus' remote protocols: bytes to the data model and back.
//!
//! [`negotiate`], [`decompress`] and [`read_request`] read remote write, [`decode_read_request`] remote read;
//! [`ResultsEncoder`], [`response`] and [`write_frame`] write the responses of remote read. All protocols use
//! snappy's block format, never the framed one. Write requests have readers of their own, because they are large
//! and their strings can be borrowed; everything else is decoded by generated code.

#[cfg(test)]
mod agreement;
mod before;
mod block;
pub mod budget;
pub mod buffer;
pub mod chunk;
mod frame;
mod histogram;
pub mod limits;
pub mod prompb;
pub mod protobuf;
mod read;
pub mod request;
pub mod response;
mod results;
mod sample;
mod utf8;
mod write1;
mod write2;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use prost::Message;

use crate::budget::{BudgetExceeded, Reservation};
use crate::request::Request;
pub use block::EncodeError;
pub use frame::{frame_len, write_frame};
use protobuf::MessageError;
pub use read::decode_read_request;
pub use results::ResultsEncoder;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// A request body that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The content type is not the one of the protocol.
    #[error("unsupported Content-Type '{0}'; expected application/x-protobuf")]
    ContentType(String),
    /// The body is a message of another protocol.
    #[error(
        "unsupported message '{0}' in Content-Type; remote write accepts prometheus.WriteRequest and io.prometheus.write.v2.Request (protobuf_message in remote_write)"
    )]
    MessageType(String),
    /// The content encoding is not snappy.
    #[error("unsupported Content-Encoding '{0}'; expected snappy")]
    ContentEncoding(String),
    /// The body is larger than the limit.
    #[error("the request body exceeds {limit} bytes; send smaller batches (max_samples_per_send)")]
    TooLarge {
        /// The limit of a request body.
        limit: usize,
    },
    /// The body declares that it decompresses to more than the limit.
    #[error(
        "the request body claims to decompress to {declared} bytes, more than the {limit} allowed; send smaller batches (max_samples_per_send)"
    )]
    TooLargeDecoded {
        /// The claimed size.
        declared: usize,
        /// The limit of a decompressed body.
        limit: usize,
    },
    /// The decompressed body has more of one thing than a request may.
    #[error(
        "the request holds more than {limit} {what}; send smaller batches (max_samples_per_send)"
    )]
    TooMany {
        /// The things that are too many.
        what: &'static str,
        /// The most that a request may have.
        limit: usize,
    },
    /// A read request has more of one thing than it may.
    #[error(
        "the read request has more than {limit} {what}; send several requests, or fewer and simpler label matchers"
    )]
    TooManyInRead {
        /// The things that are too many.
        what: &'static str,
        /// The most that a request may have.
        limit: usize,
    },
    /// There is no memory for the decoded request.
    #[error(transparent)]
    Memory(BudgetExceeded),
    /// The body is not a snappy block.
    #[error("the request body is not valid snappy (block format): {0}")]
    Snappy(String),
    /// The decompressed body is not the expected message.
    #[error("the decompressed request body is not a valid protobuf message: {0}")]
    Protobuf(String),
}

/// The versions of remote write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteWrite {
    /// 1.0: each series has its labels as strings.
    V1,
    /// 2.0: labels refer to a table of strings, and the response counts the written samples.
    V2,
}

/// The message of remote write 1.0, as content types name it.
const WRITE_V1: &str = "prometheus.WriteRequest";
/// The message of remote write 2.0, as content types name it.
const WRITE_V2: &str = "io.prometheus.write.v2.Request";

/// Returns the version of remote write that the headers announce. Call it before the body is read.
///
/// A missing header counts as that of remote write 1.0, as in Prometheus' own receiver. The body cannot decide: a
/// message of one version is also a valid message of the other, without any series.
///
/// # Errors
/// Another content type, message or content encoding.
pub fn negotiate(headers: &HeaderMap) -> Result<RemoteWrite, DecodeError> {
    match announced_message(headers)?.as_deref() {
        None | Some(WRITE_V1) => Ok(RemoteWrite::V1),
        Some(WRITE_V2) => Ok(RemoteWrite::V2),
        Some(other) => Err(DecodeError::MessageType(other.to_owned())),
    }
}

/// Returns the message that the content type names, if it names one.
fn announced_message(headers: &HeaderMap) -> Result<Option<String>, DecodeError> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let message = match text(CONTENT_TYPE) {
        Some(content_type) => message_of(&content_type)?,
        None => None,
    };
    match text(CONTENT_ENCODING) {
        Some(encoding) if !encoding.trim().eq_ignore_ascii_case("snappy") => {
            Err(DecodeError::ContentEncoding(encoding))
        }
        _ => Ok(message),
    }
}

/// Returns the parameter `proto` of a protobuf content type. Parameters may have any order, with spaces around them.
fn message_of(content_type: &str) -> Result<Option<String>, DecodeError> {
    let unsupported = || DecodeError::ContentType(content_type.to_owned());
    let mut parts = content_type.split(';').map(str::trim);
    if !parts
        .next()
        .is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/x-protobuf"))
    {
        return Err(unsupported());
    }
    let mut message = None;
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(unsupported)?;
        if name.trim().eq_ignore_ascii_case("proto") {
            let value = value.trim().trim_matches('"').to_owned();
            if message
                .replace(value.clone())
                .is_some_and(|earlier| earlier != value)
            {
                return Err(unsupported());
            }
        }
    }
    Ok(message)
}

/// Returns the size in bytes that a body claims to decompress to.
///
/// # Errors
/// The claim exceeds `limit` bytes, or the body is no snappy block.
pub fn declared_len(body: &[u8], limit: usize) -> Result<usize, DecodeError> {
    if body.is_empty() {
        return Err(DecodeError::Snappy("the body is empty".to_owned()));
    }
    let declared = snap::raw::decompress_len(body);
    let declared = declared.map_err(|error| DecodeError::Snappy(error.to_string()))?;
    if declared > limit {
        return Err(DecodeError::TooLargeDecoded { declared, limit });
    }
    Ok(declared)
}

/// Decompresses a body. The claimed size is checked before any memory is allocated for it.
///
/// # Errors
/// The claim exceeds `limit` bytes, or the body is no snappy block.
pub fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    declared_len(body, limit)?;
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|error| DecodeError::Snappy(error.to_string()))
}

/// Decompresses a body into `message`, which has the length that [`declared_len`] returns.
///
/// # Errors
/// The body is no snappy block of this length.
pub fn decompress_into(body: &[u8], message: &mut [u8]) -> Result<(), DecodeError> {
    let mut decoder = snap::raw::Decoder::new();
    let decompressed = decoder.decompress(body, message);
    decompressed
        .map(drop)
        .map_err(|error| DecodeError::Snappy(error.to_string()))
}

/// Decodes a decompressed body.
///
/// # Errors
/// The bytes are no such message.
pub fn decode<M: Message + Default>(message: &[u8]) -> Result<M, DecodeError> {
    M::decode(message).map_err(|error| DecodeError::Protobuf(error.to_string()))
}

/// Reads a decompressed write request, which borrows its strings. The memory that the request will occupy is added
/// to `reservation` before it is allocated.
///
/// # Errors
/// It is not the message of this version, it exceeds a limit of requests, or there is no memory for it.
pub fn read_request<'a>(
    version: RemoteWrite,
    message: &'a [u8],
    reservation: &mut Reservation,
) -> Result<Request<'a>, DecodeError> {
    let read = match version {
        RemoteWrite::V1 => write1::request(message, reservation),
        RemoteWrite::V2 => write2::request(message, reservation),
    };
    read.map_err(|error| match error {
        MessageError::Malformed(what) => DecodeError::Protobuf(what.to_owned()),
        MessageError::TooMany { what, limit } => DecodeError::TooMany { what, limit },
        MessageError::Memory(exceeded) => DecodeError::Memory(exceeded),
    })
}

/// Encodes and compresses a message.
///
/// # Errors
/// The message exceeds what snappy can hold, 4 GiB.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, snap::Error> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use prom_model::Sample;

    use super::*;
    use crate::budget::MemoryBudget;
    use crate::prompb;
    use crate::request::Datapoint;

    const LIMIT: usize = 1 << 20;

    fn read(version: RemoteWrite, message: &[u8]) -> Result<Request<'_>, DecodeError> {
        read_request(
            version,
            message,
            &mut MemoryBudget::unlimited().reservation(),
        )
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    /// The series `up` with the value 1 at 1600000000000 ms, as Go's client encodes it.
    const UP: &str = "248c0a220a0e0a085f5f6e616d655f5f12027570121009000000000000f03f108080babbc82e";

    #[test]
    fn a_body_of_a_real_sender_is_read_and_written_alike() {
        let message = decompress(&hex(UP), LIMIT).unwrap();
        let request: prompb::WriteRequest = decode(&message).unwrap();
        let label = prompb::Label {
            name: "__name__".to_owned(),
            value: "up".to_owned(),
        };
        let sample = prompb::Sample {
            value: 1.0,
            timestamp: 1_600_000_000_000,
        };
        let series = prompb::TimeSeries {
            labels: vec![label],
            samples: vec![sample],
            ..prompb::TimeSeries::default()
        };
        assert_eq!(request.timeseries, [series]);
        assert_eq!(encode(&request).unwrap(), hex(UP));
    }

    #[test]
    fn bodies_that_are_no_message() {
        let cases = [
            ("", "the body is empty"),
            // A framed stream.
            ("ff060000734e61507059", "not valid snappy"),
            (&UP[..40], "not valid snappy"),
            ("8080808004", "claims to decompress to 1073741824 bytes"),
            // One byte that is no field.
            ("0100ff", "not a valid protobuf"),
        ];
        for (body, expected) in cases {
            let read_body = |body: &[u8]| {
                let message = decompress(body, LIMIT)?;
                read(RemoteWrite::V1, &message).map(drop)
            };
            let error = read_body(&hex(body)).unwrap_err();
            assert!(error.to_string().contains(expected), "{body}: {error}");
        }
        let empty = decompress(&[0], LIMIT).unwrap();
        assert!(read(RemoteWrite::V1, &empty).unwrap().is_empty());
        let error = read(RemoteWrite::V2, &empty).unwrap_err().to_string();
        assert!(
            error.contains("needs symbols, and there are none"),
            "{error}"
        );
    }

    /// The same series, as Go's client encodes it in remote write 2.0.
    const UP_V2: &str =
        "289c220022085f5f6e616d655f5f220275702a160a020102121009000000000000f03f108080babbc82e";

    #[test]
    fn both_versions_say_the_same() {
        for (version, body) in [(RemoteWrite::V1, UP), (RemoteWrite::V2, UP_V2)] {
            let message = decompress(&hex(body), LIMIT).unwrap();
            let request = read(version, &message).unwrap();
            assert_eq!(request.len(), 1);
            let series = request.series(0);
            assert!(series.labels.iter().eq([("__name__", "up")]));
            let sample = Sample {
                timestamp_ms: 1_600_000_000_000,
                value: 1.0,
            };
            assert_eq!(series.datapoints, [Datapoint::Sample(sample)]);
        }
    }

    fn headers(content_type: Option<&str>, encoding: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(CONTENT_TYPE, content_type), (CONTENT_ENCODING, encoding)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        headers
    }

    #[test]
    fn content_headers() {
        let v1 = Ok(RemoteWrite::V1);
        let v2 = Ok(RemoteWrite::V2);
        let other = |text: &str| Err(DecodeError::ContentType(text.to_owned()));
        let message = |text: &str| Err(DecodeError::MessageType(text.to_owned()));
        let content_types = [
            ("application/x-protobuf", v1.clone()),
            (
                "Application/X-Protobuf; proto=prometheus.WriteRequest",
                v1.clone(),
            ),
            (
                "application/x-protobuf;charset=utf-8;proto=\"prometheus.WriteRequest\"",
                v1.clone(),
            ),
            ("application/x-protobuf;", v1.clone()),
            (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                v2.clone(),
            ),
            (
                " application/x-protobuf ; a=b ; Proto = io.prometheus.write.v2.Request ; c=d",
                v2,
            ),
            (
                "application/x-protobuf;proto=io.prometheus.write.v3.Request",
                message("io.prometheus.write.v3.Request"),
            ),
            (
                "application/x-protobuf;proto=prometheus.ReadRequest",
                message("prometheus.ReadRequest"),
            ),
            ("application/x-protobuf;proto=", message("")),
            ("application/json", other("application/json")),
            (
                "image/png;proto=prometheus.WriteRequest",
                other("image/png;proto=prometheus.WriteRequest"),
            ),
            (
                "application/x-protobuf;proto",
                other("application/x-protobuf;proto"),
            ),
            (
                "application/x-protobuf;proto=prometheus.WriteRequest;proto=io.prometheus.write.v2.Request",
                other(
                    "application/x-protobuf;proto=prometheus.WriteRequest;proto=io.prometheus.write.v2.Request",
                ),
            ),
            ("", other("")),
        ];
        for (content_type, expected) in content_types {
            let negotiated = negotiate(&headers(Some(content_type), Some("snappy")));
            assert_eq!(negotiated, expected, "{content_type}");
        }
        for encoding in [None, Some("snappy"), Some(" Snappy")] {
            assert_eq!(negotiate(&headers(None, encoding)), v1);
        }
        for encoding in ["gzip", "deflate", "identity", ""] {
            let expected = Err(DecodeError::ContentEncoding(encoding.to_owned()));
            assert_eq!(negotiate(&headers(None, Some(encoding))), expected);
        }
    }
}
