//! Converts the router's response to the response of an invocation.

use std::io::Write;

use axum::body::to_bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};

use crate::metrics::emf::EmfRecord;

/// Maximum size of a response in Lambda, as JSON, in bytes:
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html> says 6 MB, an error of the runtime API
/// names this number.
const MAX_BYTES: usize = 6_291_556;
/// The same for a function behind a load balancer:
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>.
const MAX_BYTES_OF_LOAD_BALANCER: usize = 1 << 20;
/// The part of it that is reserved for status and headers; a load balancer gets the headers twice.
const ENVELOPE_BYTES: usize = 8 << 10;
/// The encoding that changes nothing. `lambda_http` sends every body with an encoding as base64.
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Returns the maximum size of the body of a response, so that it fits as base64 and in its envelope.
pub(super) fn max_bytes(request: &Request) -> usize {
    let limit = match request.request_context_ref() {
        Some(RequestContext::Alb(_)) => MAX_BYTES_OF_LOAD_BALANCER,
        _ => MAX_BYTES,
    };
    (limit - ENVELOPE_BYTES) / 4 * 3
}

/// Returns the length of a text in a string of JSON, without the quotes around it.
fn escaped_len(text: &[u8]) -> usize {
    let len = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.iter().map(len).sum()
}

/// Prints the numbers of the request for CloudWatch, if it has any.
pub(super) fn print_numbers(response: &axum::response::Response, function: &str, request_id: &str) {
    if let Some(numbers) = response.extensions().get::<EmfRecord>() {
        print(numbers, function, request_id);
    }
}

/// Prints numbers for CloudWatch.
pub(super) fn print(numbers: &EmfRecord, function: &str, request_id: &str) {
    let line = numbers.to_line(function, request_id, Timestamp::now().as_millisecond());
    // Without stdout nothing reads metrics.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Returns the response for the runtime API. `lambda_http` decides by content type and encoding if the body is
/// sent as text or base64. Text that would exceed the limit once its quotes are escaped, of which JSON has many, is
/// sent as base64 too; so every body of at most `max_bytes` fits.
pub(super) async fn to_lambda(
    response: axum::response::Response,
    max_bytes: usize,
) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    match to_bytes(body, MAX_BYTES).await {
        Ok(bytes) => {
            let max_text = max_bytes / 3 * 4;
            let headers = &mut parts.headers;
            if !headers.contains_key(CONTENT_ENCODING) && escaped_len(&bytes) > max_text {
                headers.insert(CONTENT_ENCODING, IDENTITY);
            }
            Response::from_parts(parts, Body::Binary(bytes.into()))
        }
        Err(error) => {
            let mut response =
                Response::new(Body::Text(format!("cannot send the response: {error}")));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_escaped_text_is_that_of_json() {
        let all: String = (0..300_u32).filter_map(char::from_u32).collect();
        for text in ["", "a\"b\\c", "\u{1}\n\t\u{8}\u{c}\r\u{7f}", "ü€😀", &all] {
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(escaped_len(text.as_bytes()), json.len() - 2, "{text:?}");
        }
    }
}
