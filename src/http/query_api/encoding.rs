//! The encodings of responses.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Three times as fast as the default, for a tenth more bytes.
pub(super) const LEVEL: Compression = Compression::new(3);

/// The encoding of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

impl Encoding {
    /// Returns the first encoding that exists among those that the client accepts, as Prometheus reads the header.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let accepted = headers.get(ACCEPT_ENCODING);
        let accepted = accepted.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let known = accepted.split(',').find_map(|name| match name.trim() {
            "gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            _ => None,
        });
        known.unwrap_or(Self::Identity)
    }

    /// Returns the value of `Content-Encoding`.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
        }
    }

    /// Encodes a small body.
    pub(super) fn encoded(self, body: Vec<u8>) -> Vec<u8> {
        let encoded = match self {
            Self::Identity => return body,
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), LEVEL);
                encoder.write_all(&body).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), LEVEL);
                encoder.write_all(&body).and_then(|()| encoder.finish())
            }
        };
        encoded.expect("a vector grows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_encoding_is_used() {
        for (accepted, encoding) in [
            (None, Encoding::Identity),
            (Some("gzip"), Encoding::Gzip),
            (Some("br, deflate, gzip"), Encoding::Deflate),
            (Some("gzip;q=0.5"), Encoding::Identity),
            (Some("identity"), Encoding::Identity),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accepted) = accepted {
                headers.insert(ACCEPT_ENCODING, accepted.parse().unwrap());
            }
            assert_eq!(Encoding::accepted(&headers), encoding, "{accepted:?}");
        }
    }
}
