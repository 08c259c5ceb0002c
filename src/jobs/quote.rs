//! The part of a response that an error of a run may repeat.
//!
//! A definition may name any address, and its errors are in the log and in the API's status. A body
//! could be a secret of whatever responds there, so no error repeats one: only the `error` of a
//! response that parses as an error of Prometheus' API
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview>).

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use prom_model::visible::truncate;

/// The most bytes of an error's message that are repeated.
const MAX_ERROR_BYTES: usize = 300;
/// The most bytes of a content type that are repeated.
const MAX_CONTENT_TYPE_BYTES: usize = 60;

/// An error of Prometheus' API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ApiError {
    status: Status,
    /// The class of the error, `bad_data` for instance; a status code in some servers.
    #[serde(rename = "errorType", default)]
    pub(super) error_type: String,
    /// The text.
    pub(super) error: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Error,
}

impl ApiError {
    /// Returns the error that `body` is, if it is one.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// Returns the status of a response with the text of its error if it is one of Prometheus' API, or else
/// with the content type and the length of its body.
pub(super) fn response(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    match ApiError::parse(body) {
        Some(error) => {
            let text = truncate(error.error.trim(), MAX_ERROR_BYTES);
            match error.error_type.as_str() {
                "" => format!("{status}: {text}"),
                class => format!(
                    "{status}: {}: {text}",
                    truncate(class, MAX_CONTENT_TYPE_BYTES)
                ),
            }
        }
        None => format!("{status} ({})", kind(headers, body)),
    }
}

/// Returns the content type and the length of a body, `text/html, 1234 bytes` for instance.
pub(super) fn kind(headers: &HeaderMap, body: &[u8]) -> String {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let content_type = truncate(
        content_type.unwrap_or("no Content-Type"),
        MAX_CONTENT_TYPE_BYTES,
    );
    format!("{content_type}, {} bytes", body.len())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_an_error_of_the_api_is_repeated() {
        let html = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        )]);
        let cases: [(&str, &HeaderMap, &str); 8] = [
            (
                r#"{"status":"error","errorType":"bad_data","error":"no"}"#,
                &html,
                "422 Unprocessable Entity: bad_data: no",
            ),
            (
                r#"{"status":"error","error":" no ","data":{"secret":"hunter2"}}"#,
                &html,
                "422 Unprocessable Entity: no",
            ),
            (
                "<html>hunter2</html>",
                &html,
                "422 Unprocessable Entity (text/html; charset=utf-8, 20 bytes)",
            ),
            (
                r#"{"AccessKeyId":"A","SecretAccessKey":"hunter2"}"#,
                &HeaderMap::new(),
                "422 Unprocessable Entity (no Content-Type, 47 bytes)",
            ),
            (
                r#"{"status":"success","error":"hunter2"}"#,
                &HeaderMap::new(),
                "422 Unprocessable Entity (no Content-Type, 38 bytes)",
            ),
            (
                r#"{"status":"error","error":["hunter2"]}"#,
                &HeaderMap::new(),
                "422 Unprocessable Entity (no Content-Type, 38 bytes)",
            ),
            (
                r#"{"status":"error"}"#,
                &HeaderMap::new(),
                "422 Unprocessable Entity (no Content-Type, 18 bytes)",
            ),
            (
                "",
                &HeaderMap::new(),
                "422 Unprocessable Entity (no Content-Type, 0 bytes)",
            ),
        ];
        for (body, headers, expected) in cases {
            let text = response(StatusCode::UNPROCESSABLE_ENTITY, headers, body.as_bytes());
            assert_eq!(text, expected);
        }
        let long = format!(r#"{{"status":"error","error":"{}"}}"#, "x".repeat(1_000));
        let text = response(StatusCode::BAD_REQUEST, &HeaderMap::new(), long.as_bytes());
        assert!(text.len() < 400, "{text}");
    }
}
