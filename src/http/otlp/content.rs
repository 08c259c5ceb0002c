//! The content headers of a request.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use otlp::response::Encoding;

use crate::http::HttpError;
use crate::http::error::ErrorClass;
use crate::http::reason::Reason;

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
}

/// Returns the encoding of a request, which is also that of its response.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, HttpError> {
    let content_type = text(headers, CONTENT_TYPE);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let all = [Encoding::Protobuf, Encoding::Json];
    let mut all = all.into_iter();
    let found = all.find(|it| media_type.eq_ignore_ascii_case(it.content_type()));
    found.ok_or_else(|| {
        unsupported(format!(
            "unsupported Content-Type '{content_type}'; OTLP metrics are accepted as application/x-protobuf and \
             application/json"
        ))
    })
}

/// Returns the compression of a body.
pub(super) fn compression(headers: &HeaderMap) -> Result<Compression, HttpError> {
    let encoding = text(headers, CONTENT_ENCODING);
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Compression::None),
        "gzip" | "x-gzip" => Ok(Compression::Gzip),
        _ => Err(unsupported(format!(
            "unsupported Content-Encoding '{encoding}'; expected gzip or none (compression of the exporter)"
        ))),
    }
}

/// Returns the values of a header as one.
fn text(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values
        .map(|it| String::from_utf8_lossy(it.as_bytes()))
        .collect();
    values.join(", ")
}

fn unsupported(text: String) -> HttpError {
    HttpError::new(ErrorClass::UnsupportedMedia, Reason::UnsupportedMedia, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|it| (name.clone(), it.parse().unwrap()));
        values.collect()
    }

    #[test]
    fn content_types() {
        let cases = [
            ("application/x-protobuf", Some(Encoding::Protobuf)),
            ("Application/X-Protobuf; q=1", Some(Encoding::Protobuf)),
            ("application/json;charset=utf-8", Some(Encoding::Json)),
            ("application/jsonl", None),
            ("application/protobuf", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let headers = headers(CONTENT_TYPE, &[value]);
            assert_eq!(encoding(&headers).ok(), expected, "{value}");
        }
        let error = encoding(&HeaderMap::new()).unwrap_err();
        assert_eq!(error.status(), 415);
    }

    #[test]
    fn content_encodings() {
        let cases: [(&[&str], Option<Compression>); 7] = [
            (&[], Some(Compression::None)),
            (&["identity"], Some(Compression::None)),
            (&["GZIP"], Some(Compression::Gzip)),
            (&["x-gzip"], Some(Compression::Gzip)),
            (&["gzip", "gzip"], None),
            (&["gzip, identity"], None),
            (&["zstd"], None),
        ];
        for (values, expected) in cases {
            let headers = headers(CONTENT_ENCODING, values);
            assert_eq!(compression(&headers).ok(), expected, "{values:?}");
        }
    }
}
