//! The meaning of a receiver's response for the samples that were sent.
//!
//! Status codes: <https://prometheus.io/docs/specs/prw/remote_write_spec/#error-handling-and-backward-compatibility>;
//! written counts: <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/#required-written-response-headers>.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::config::Protocol;
use super::error_text::ErrorText;
use crate::jobs::quote;

/// Headers of remote write 2.0 with the numbers of stored samples and histograms.
const WRITTEN: [&str; 2] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
];

/// A receiver's response to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteResponse {
    /// All samples are stored, as far as the receiver reports.
    Stored {
        /// Number of samples that it does not report as written.
        unconfirmed: u64,
    },
    /// A later try may succeed.
    Retry {
        /// The error of this try.
        error: String,
        /// The pause that the receiver requests.
        after: Option<Duration>,
    },
    /// Some of the samples can never be stored.
    Rejected {
        /// Number of samples that are stored all the same.
        written: u64,
        /// True if such a response means that the receiver has stored the others.
        is_partial: bool,
        status: StatusCode,
        /// The receiver's text, which no message may repeat.
        text: ErrorText,
        /// The status and the reason, as far as a user may see it.
        message: String,
    },
    /// The receiver does not know remote write 2.0.
    WrongVersion(String),
    /// The receiver accepts nothing from this sender.
    Denied(String),
    /// The receiver did not accept it, and nothing says that it never will.
    Unclear(String),
}

/// Returns the meaning of `status` for `sent` samples.
pub(super) fn write_response(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    sent: u64,
    protocol: Protocol,
    now: Timestamp,
) -> WriteResponse {
    let quoted = || quote::response(status, headers, body);
    if status.is_success() {
        let unconfirmed = match protocol {
            Protocol::V1 => 0,
            Protocol::V2 => sent.saturating_sub(written(headers).unwrap_or(0)),
        };
        // It may have read the message as one of version 1.0, which is an empty one.
        if sent > 0 && unconfirmed == sent {
            return WriteResponse::WrongVersion(format!("{status}, but no sample was written"));
        }
        return WriteResponse::Stored { unconfirmed };
    }
    let code = status.as_u16();
    if is_temporary(code) {
        return WriteResponse::Retry {
            error: quoted(),
            after: retry_after(headers, now),
        };
    }
    match code {
        // Thanos says 409 where it has stored the others, Mimir 400; of 413 a smaller one may pass.
        400 | 409 | 413 | 422 => {
            let text = ErrorText::new(body);
            WriteResponse::Rejected {
                written: match (code, protocol) {
                    (413, _) | (_, Protocol::V1) => 0,
                    (_, Protocol::V2) => written(headers).unwrap_or(0),
                },
                is_partial: code == 409 || text.is_from_mimir(),
                message: match text.phrase() {
                    Some(phrase) => format!("{status}: {phrase}"),
                    None => quoted(),
                },
                status,
                text,
            }
        }
        415 if protocol == Protocol::V2 => WriteResponse::WrongVersion(quoted()),
        401 | 403 | 404 | 405 | 407 => WriteResponse::Denied(quoted()),
        300..=399 => WriteResponse::Denied(format!(
            "{status}: it redirects, which a sender does not follow; set url to where it leads"
        )),
        _ => WriteResponse::Unclear(quoted()),
    }
}

/// Returns true if a later try may succeed: a request that took too long (408; 499 of proxies), came too early
/// (425) or too often (429), or met a server that cannot serve now.
fn is_temporary(code: u16) -> bool {
    matches!(code, 408 | 425 | 429 | 499 | 500..=599)
}

/// Returns the number of samples that the receiver reports as stored; `None` if it reports none.
fn written(headers: &HeaderMap) -> Option<u64> {
    let counts: [Option<u64>; 2] =
        WRITTEN.map(|name| headers.get(name)?.to_str().ok()?.trim().parse().ok());
    match counts {
        [None, None] => None,
        // Any number may stand there.
        counts => Some(counts.into_iter().flatten().fold(0, u64::saturating_add)),
    }
}

/// Seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers
        .get(http::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(text).ok()?.timestamp();
    Some(
        date.duration_since(now)
            .try_into()
            .unwrap_or(Duration::ZERO),
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn judge(status: u16, headers: &[(&'static str, &str)], protocol: Protocol) -> WriteResponse {
        let headers = headers
            .iter()
            .map(|&(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        write_response(status, &headers, b" words\n", 7, protocol, now)
    }

    #[test]
    fn responses() {
        let retry = |error: &str, after: Option<u64>| WriteResponse::Retry {
            error: error.to_owned(),
            after: after.map(Duration::from_secs),
        };
        let stored = |unconfirmed| WriteResponse::Stored { unconfirmed };
        let rejected = |written, status: &str| WriteResponse::Rejected {
            written,
            is_partial: status.starts_with("409"),
            status: StatusCode::from_bytes(&status.as_bytes()[..3]).unwrap(),
            text: ErrorText::new(b"words"),
            message: format!("{status} (no Content-Type, 7 bytes)"),
        };
        let denied = |text: &str| WriteResponse::Denied(text.to_owned());
        let [samples, histograms] = WRITTEN;
        use Protocol::{V1, V2};
        let unsaid = WriteResponse::WrongVersion("200 OK, but no sample was written".to_owned());
        for (status, headers, protocol, expected) in [
            (200, &[][..], V1, stored(0)),
            (299, &[], V1, stored(0)),
            (200, &[], V2, unsaid.clone()),
            (200, &[(samples, "0")], V2, unsaid),
            (204, &[(samples, "5"), (histograms, "2")], V2, stored(0)),
            (204, &[(samples, "5")], V2, stored(2)),
            (
                200,
                &[(samples, "18446744073709551615"), (histograms, "1")],
                V2,
                stored(0),
            ),
            (
                400,
                &[(samples, "18446744073709551615"), (histograms, "1")],
                V2,
                rejected(u64::MAX, "400 Bad Request"),
            ),
            (
                500,
                &[],
                V1,
                retry("500 Internal Server Error (no Content-Type, 7 bytes)", None),
            ),
            (
                503,
                &[("retry-after", "7")],
                V1,
                retry(
                    "503 Service Unavailable (no Content-Type, 7 bytes)",
                    Some(7),
                ),
            ),
            (
                429,
                &[("retry-after", "Thu, 01 Jan 2026 00:01:00 GMT")],
                V2,
                retry("429 Too Many Requests (no Content-Type, 7 bytes)", Some(60)),
            ),
            (400, &[(samples, "3")], V1, rejected(0, "400 Bad Request")),
            (400, &[(samples, "3")], V2, rejected(3, "400 Bad Request")),
            (400, &[], V2, rejected(0, "400 Bad Request")),
            (409, &[(samples, "6")], V2, rejected(6, "409 Conflict")),
            (422, &[], V1, rejected(0, "422 Unprocessable Entity")),
            (
                413,
                &[(samples, "3")],
                V2,
                rejected(0, "413 Payload Too Large"),
            ),
            (
                401,
                &[],
                V1,
                denied("401 Unauthorized (no Content-Type, 7 bytes)"),
            ),
            (
                404,
                &[],
                V1,
                denied("404 Not Found (no Content-Type, 7 bytes)"),
            ),
            (
                301,
                &[("location", "http://u:hunter2@elsewhere/")],
                V1,
                denied(
                    "301 Moved Permanently: it redirects, which a sender does not follow; set url to where it leads",
                ),
            ),
            (
                402,
                &[],
                V1,
                WriteResponse::Unclear(
                    "402 Payment Required (no Content-Type, 7 bytes)".to_owned(),
                ),
            ),
        ] {
            assert_eq!(
                judge(status, headers, protocol),
                expected,
                "{status} {headers:?}"
            );
        }
    }

    #[test]
    fn every_status_has_a_meaning() {
        let [samples, _] = WRITTEN;
        for protocol in [Protocol::V1, Protocol::V2] {
            for status in 100..=599 {
                let response = judge(status, &[(samples, "7")], protocol);
                let name = match response {
                    WriteResponse::Stored { unconfirmed: 0 } => "stored",
                    WriteResponse::Retry { after: None, .. } => "retry",
                    WriteResponse::Rejected { .. } => "rejected",
                    WriteResponse::WrongVersion(_) => "wrong version",
                    WriteResponse::Denied(_) => "denied",
                    WriteResponse::Unclear(_) => "unclear",
                    other => panic!("{status}: {other:?}"),
                };
                let expected = match status {
                    200..=299 => "stored",
                    408 | 425 | 429 | 499 | 500..=599 => "retry",
                    400 | 409 | 413 | 422 => "rejected",
                    415 if protocol == Protocol::V2 => "wrong version",
                    401 | 403 | 404 | 405 | 407 | 300..=399 => "denied",
                    _ => "unclear",
                };
                assert_eq!(name, expected, "{status}");
            }
        }
    }
}
