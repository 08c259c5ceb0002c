//! Bytes to messages and back: content headers, snappy, size limits, protobuf.
//!
//! Both protocols use snappy's block format, never the framed one.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use prost::{Message, Name};

/// Why a request body is not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The content type is not the one of the protocol.
    #[error(
        "unsupported Content-Type '{0}'; expected application/x-protobuf (remote write 1.0 or remote read)"
    )]
    ContentType(String),
    /// The body is a remote write 2.0 message, which is not served.
    #[error(
        "unsupported remote write message '{0}'; set protobuf_message: prometheus.WriteRequest in remote_write, which is Prometheus' default"
    )]
    MessageType(String),
    /// The content encoding is not snappy.
    #[error("unsupported Content-Encoding '{0}'; expected snappy")]
    ContentEncoding(String),
    /// The body is larger than the limit.
    #[error(
        "the request body exceeds {limit} bytes; send smaller batches (max_samples_per_send) or raise max_request_bytes"
    )]
    TooLarge {
        /// The limit of a request body.
        limit: usize,
    },
    /// The body declares that it decompresses to more than the limit.
    #[error(
        "the request body claims to decompress to {declared} bytes, more than the {limit} allowed; send smaller batches (max_samples_per_send) or raise max_request_bytes"
    )]
    TooLargeDecoded {
        /// What the body claims.
        declared: usize,
        /// The limit of a decompressed body.
        limit: usize,
    },
    /// The body is not a snappy block.
    #[error("the request body is not valid snappy (block format): {0}")]
    Snappy(String),
    /// The decompressed body is not the expected message.
    #[error("the decompressed request body is not a valid protobuf message: {0}")]
    Protobuf(String),
}

/// Checks that the headers announce the message `M`; to be called before the body is read.
///
/// A missing header counts as the expected value, as in Prometheus' own receiver.
///
/// # Errors
/// Another content type, message or content encoding.
pub fn check_headers<M: Name>(headers: &HeaderMap) -> Result<(), DecodeError> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    if let Some(content_type) = text(CONTENT_TYPE) {
        check_content_type(&content_type, &M::full_name())?;
    }
    match text(CONTENT_ENCODING) {
        Some(encoding) if !encoding.trim().eq_ignore_ascii_case("snappy") => {
            Err(DecodeError::ContentEncoding(encoding))
        }
        _ => Ok(()),
    }
}

fn check_content_type(content_type: &str, message: &str) -> Result<(), DecodeError> {
    let unsupported = || DecodeError::ContentType(content_type.to_owned());
    let mut parts = content_type.split(';').map(str::trim);
    if !parts
        .next()
        .is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/x-protobuf"))
    {
        return Err(unsupported());
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').ok_or_else(unsupported)?;
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("proto") && value != message {
            return Err(DecodeError::MessageType(value.to_owned()));
        }
    }
    Ok(())
}

/// What a body claims to decompress to, in bytes.
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

/// Decompresses and decodes a body. What the body claims to decompress to is checked before any
/// memory is set aside for it.
///
/// # Errors
/// The claim exceeds `limit` bytes, or the body is no snappy block or no such message.
pub fn decode<M: Message + Default>(body: &[u8], limit: usize) -> Result<M, DecodeError> {
    declared_len(body, limit)?;
    let message = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|error| DecodeError::Snappy(error.to_string()))?;
    M::decode(message.as_slice()).map_err(|error| DecodeError::Protobuf(error.to_string()))
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
    use super::*;
    use crate::prompb;

    const LIMIT: usize = 1 << 20;

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
        let request: prompb::WriteRequest = decode(&hex(UP), LIMIT).unwrap();
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
            let error = decode::<prompb::WriteRequest>(&hex(body), LIMIT).unwrap_err();
            assert!(error.to_string().contains(expected), "{body}: {error}");
        }
        let empty: prompb::WriteRequest = decode(&[0], LIMIT).unwrap();
        assert!(empty.timeseries.is_empty());
    }

    #[test]
    fn content_headers() {
        let v2 = "io.prometheus.write.v2.Request";
        let ok: Result<(), DecodeError> = Ok(());
        let other = |text: &str| Err(DecodeError::ContentType(text.to_owned()));
        let cases = [
            (None, None, ok.clone()),
            (Some("application/x-protobuf"), Some("snappy"), ok.clone()),
            (
                Some("Application/X-Protobuf; proto=prometheus.WriteRequest"),
                Some("Snappy"),
                ok.clone(),
            ),
            (
                Some("application/x-protobuf;charset=utf-8;proto=\"prometheus.WriteRequest\""),
                None,
                ok,
            ),
            (
                Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"),
                None,
                Err(DecodeError::MessageType(v2.to_owned())),
            ),
            (Some("application/json"), None, other("application/json")),
            (
                Some("application/x-protobuf;proto"),
                None,
                other("application/x-protobuf;proto"),
            ),
            (
                None,
                Some("gzip"),
                Err(DecodeError::ContentEncoding("gzip".to_owned())),
            ),
        ];
        for (content_type, encoding, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(value) = content_type {
                headers.insert(CONTENT_TYPE, value.parse().unwrap());
            }
            if let Some(value) = encoding {
                headers.insert(CONTENT_ENCODING, value.parse().unwrap());
            }
            assert_eq!(
                check_headers::<prompb::WriteRequest>(&headers),
                expected,
                "{content_type:?} {encoding:?}"
            );
        }
    }
}
