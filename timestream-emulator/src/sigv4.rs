//! Verification of AWS Signature Version 4, as every operation requires it.
//!
//! Rules: "Authenticating Requests (AWS Signature Version 4)" in the IAM user guide. The body hash
//! is always computed from the body received; a presigned URL is not accepted.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, Uri, request::Parts};
use sha2::{Digest, Sha256};

use crate::error::{ErrorKind, ServiceError};

/// Largest difference between the signing time and the clock.
const MAX_SKEW_SECONDS: i64 = 5 * 60;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "timestream";

/// The one key pair that may sign.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

/// Checks that `parts` and `body` were signed by `credentials` close to `now_seconds`.
pub(crate) fn verify(
    credentials: &Credentials,
    parts: &Parts,
    body: &[u8],
    now_seconds: i64,
) -> Result<(), ServiceError> {
    let header = single_header(&parts.headers, "authorization").ok_or_else(|| {
        ServiceError::new(
            ErrorKind::MissingAuthenticationToken,
            "Missing Authentication Token",
        )
    })?;
    let authorization = Authorization::parse(header)?;
    let timestamp = signing_time(&parts.headers)?;
    let scope = authorization.scope(&credentials.access_key)?;
    check_scope(&scope, timestamp)?;
    check_skew(timestamp, now_seconds)?;
    check_signed_headers(&parts.headers, &authorization.signed_headers)?;
    if parts.headers.contains_key("x-amz-security-token") {
        // The key pair is a long-term one: a session token beside it belongs to other credentials.
        return Err(unrecognized_client());
    }
    let canonical = canonical_request(
        &parts.method,
        &parts.uri,
        &parts.headers,
        &authorization,
        body,
    );
    let to_sign = format!(
        "{ALGORITHM}\n{timestamp}\n{}/{}/{SERVICE}/aws4_request\n{}",
        scope.date,
        scope.region,
        hex::encode(Sha256::digest(canonical))
    );
    let signature = hex::decode(authorization.signature).unwrap_or_default();
    mac(&signing_key(&credentials.secret_key, &scope), &to_sign).verify_slice(&signature).map_err(|_| {
        ServiceError::new(
            ErrorKind::InvalidSignature,
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method. Consult the service documentation for \
             details.",
        )
    })
}

struct Authorization<'a> {
    credential: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

struct Scope<'a> {
    date: &'a str,
    region: &'a str,
    service: &'a str,
    terminator: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a str) -> Result<Self, ServiceError> {
        let fields = header
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with(' '));
        let fields = fields
            .ok_or_else(|| incomplete(format!("Unsupported AWS 'algorithm': '{header}'. ")))?;
        let field = |name: &str| {
            fields
                .split(',')
                .filter_map(|field| field.trim().split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
                .filter(|value| !value.is_empty())
                .ok_or_else(|| {
                    incomplete(format!(
                        "Authorization header requires '{name}' parameter. "
                    ))
                })
        };
        Ok(Authorization {
            credential: field("Credential")?,
            signed_headers: field("SignedHeaders")?.split(';').collect(),
            signature: field("Signature")?,
        })
    }

    fn scope(&self, access_key: &str) -> Result<Scope<'a>, ServiceError> {
        let mut parts = self.credential.rsplitn(5, '/');
        let mut next = || parts.next().unwrap_or_default();
        let (terminator, service, region, date, key) = (next(), next(), next(), next(), next());
        if key.is_empty() {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term"
                    .to_owned(),
            ));
        }
        if key != access_key {
            return Err(unrecognized_client());
        }
        Ok(Scope {
            date,
            region,
            service,
            terminator,
        })
    }
}

fn check_scope(scope: &Scope<'_>, timestamp: &str) -> Result<(), ServiceError> {
    let problem = if scope.terminator != "aws4_request" {
        Some("Credential should be scoped with a valid terminator: 'aws4_request'. ".to_owned())
    } else if scope.service != SERVICE {
        Some(format!(
            "Credential should be scoped to correct service: '{SERVICE}'. "
        ))
    } else if scope.region.is_empty() {
        Some("Credential should be scoped to a valid region. ".to_owned())
    } else if !timestamp.starts_with(scope.date) || scope.date.len() != 8 {
        Some(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{}' != '{}', from '{timestamp}'.",
            scope.date,
            timestamp.get(..8).unwrap_or_default()
        ))
    } else {
        None
    };
    problem.map_or(Ok(()), |message| {
        Err(ServiceError::new(ErrorKind::InvalidSignature, message))
    })
}

fn check_skew(timestamp: &str, now_seconds: i64) -> Result<(), ServiceError> {
    let signed = seconds_of(timestamp).ok_or_else(|| {
        incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{timestamp}'. "
        ))
    })?;
    let now = basic_format(now_seconds);
    let message = if signed < now_seconds - MAX_SKEW_SECONDS {
        let earliest = basic_format(now_seconds - MAX_SKEW_SECONDS);
        format!("Signature expired: {timestamp} is now earlier than {earliest} ({now} - 5 min.)")
    } else if signed > now_seconds + MAX_SKEW_SECONDS {
        let latest = basic_format(now_seconds + MAX_SKEW_SECONDS);
        format!(
            "Signature not yet current: {timestamp} is still later than {latest} ({now} + 5 min.)"
        )
    } else {
        return Ok(());
    };
    Err(ServiceError::new(ErrorKind::InvalidSignature, message))
}

/// Checks that the host and every `x-amz-` header of the request are signed.
fn check_signed_headers(headers: &HeaderMap, signed: &[&str]) -> Result<(), ServiceError> {
    let unsigned = headers
        .keys()
        .map(|name| name.as_str())
        .find(|name| (*name == "host" || name.starts_with("x-amz-")) && !signed.contains(name));
    let absent = signed.iter().find(|name| !headers.contains_key(**name));
    let message = if !signed.contains(&"host") {
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned()
    } else if let Some(name) = unsigned {
        format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    } else if let Some(name) = absent {
        format!("Signed header '{name}' is not in the request.")
    } else if !signed.is_sorted() {
        "The signed headers must be in alphabetical order.".to_owned()
    } else {
        return Ok(());
    };
    Err(ServiceError::new(ErrorKind::InvalidSignature, message))
}

fn canonical_request(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    authorization: &Authorization<'_>,
    body: &[u8],
) -> String {
    let mut query: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let mut canonical = format!("{method}\n{}\n{}\n", uri.path(), query.join("&"));
    for name in &authorization.signed_headers {
        let values: Vec<String> = headers
            .get_all(*name)
            .iter()
            .map(|value| collapse_spaces(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        canonical.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    canonical.push_str(&format!(
        "\n{}\n{}",
        authorization.signed_headers.join(";"),
        hex::encode(Sha256::digest(body))
    ));
    canonical
}

fn collapse_spaces(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn signing_key(secret_key: &str, scope: &Scope<'_>) -> Vec<u8> {
    let mut key = format!("AWS4{secret_key}").into_bytes();
    for part in [scope.date, scope.region, SERVICE, "aws4_request"] {
        key = mac(&key, part).finalize().into_bytes().to_vec();
    }
    key
}

fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any size");
    mac.update(text.as_bytes());
    mac
}

fn signing_time(headers: &HeaderMap) -> Result<&str, ServiceError> {
    single_header(headers, "x-amz-date").ok_or_else(|| {
        incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
                .to_owned(),
        )
    })
}

/// Returns the header's text, if it is there exactly once and is text.
fn single_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn seconds_of(timestamp: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", timestamp).ok()?;
    Some(
        time.to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second(),
    )
}

fn basic_format(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map(|time| time.strftime("%Y%m%dT%H%M%SZ").to_string())
        .unwrap_or_default()
}

fn incomplete(message: String) -> ServiceError {
    ServiceError::new(ErrorKind::IncompleteSignature, message)
}

fn unrecognized_client() -> ServiceError {
    ServiceError::new(
        ErrorKind::UnrecognizedClient,
        "The security token included in the request is invalid.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"QueryString":"SELECT 1"}"#;
    const SCOPE: &str = "local/20260102/us-east-1/timestream/aws4_request";
    const HEADERS: &str = "content-type;host;x-amz-date;x-amz-target";
    /// The signature that botocore 1.43 makes for this request at 2026-01-02T03:04:05Z.
    const SIGNATURE: &str = "83e8aaf3c61668b794946e2501e2229874309b930d6b1f279279b82c7b85a68d";

    fn outcome(
        body: &[u8],
        now: &str,
        change: impl FnOnce(&mut HeaderMap),
    ) -> Result<(), (ErrorKind, String)> {
        let request = http::Request::post("/")
            .header("host", "127.0.0.1:9202")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "Timestream_20181101.Query")
            .header("x-amz-date", "20260102T030405Z")
            .header("authorization", authorization(SCOPE, HEADERS, SIGNATURE));
        let (mut parts, ()) = request.body(()).expect("a valid request").into_parts();
        change(&mut parts.headers);
        let credentials = Credentials {
            access_key: "local".to_owned(),
            secret_key: "local".to_owned(),
        };
        verify(
            &credentials,
            &parts,
            body,
            seconds_of(now).expect("a valid time"),
        )
        .map_err(|error| (error.kind, error.message))
    }

    fn authorization(scope: &str, headers: &str, signature: &str) -> String {
        format!("{ALGORITHM} Credential={scope}, SignedHeaders={headers}, Signature={signature}")
    }

    fn set(name: &'static str, value: String) -> impl FnOnce(&mut HeaderMap) {
        move |headers| {
            headers.insert(name, value.parse().expect("a valid header"));
        }
    }

    #[test]
    fn a_signed_request_is_accepted() {
        assert_eq!(outcome(BODY, "20260102T030405Z", |_| {}), Ok(()));
        let same = |headers: &mut HeaderMap| {
            headers.insert(
                "x-amz-target",
                "  Timestream_20181101.Query ".parse().expect("valid"),
            );
            headers.insert("user-agent", "not signed".parse().expect("valid"));
        };
        assert_eq!(outcome(BODY, "20260102T030905Z", same), Ok(()));
    }

    #[test]
    fn other_requests_are_rejected() {
        let now = "20260102T030405Z";
        let scope = |scope: &str| set("authorization", authorization(scope, HEADERS, SIGNATURE));
        let kind = |outcome: Result<(), (ErrorKind, String)>| outcome.map_err(|(kind, _)| kind);
        let invalid = Err(ErrorKind::InvalidSignature);
        let incomplete = Err(ErrorKind::IncompleteSignature);
        let unrecognized = Err(ErrorKind::UnrecognizedClient);
        let cases = [
            ("body", outcome(b"{}", now, |_| {}), invalid),
            ("late", outcome(BODY, "20260102T030906Z", |_| {}), invalid),
            ("early", outcome(BODY, "20260102T025904Z", |_| {}), invalid),
            (
                "target",
                outcome(BODY, now, set("x-amz-target", "x".to_owned())),
                invalid,
            ),
            (
                "unsigned header",
                outcome(BODY, now, set("x-amz-meta", "x".to_owned())),
                invalid,
            ),
            (
                "host unsigned",
                outcome(
                    BODY,
                    now,
                    set(
                        "authorization",
                        authorization(SCOPE, "x-amz-date;x-amz-target", SIGNATURE),
                    ),
                ),
                invalid,
            ),
            (
                "service",
                outcome(
                    BODY,
                    now,
                    scope("local/20260102/us-east-1/dynamodb/aws4_request"),
                ),
                invalid,
            ),
            (
                "region",
                outcome(
                    BODY,
                    now,
                    scope("local/20260102/us-east-2/timestream/aws4_request"),
                ),
                invalid,
            ),
            (
                "date",
                outcome(
                    BODY,
                    now,
                    scope("local/20260101/us-east-1/timestream/aws4_request"),
                ),
                invalid,
            ),
            (
                "terminator",
                outcome(BODY, now, scope("local/20260102/us-east-1/timestream/aws3")),
                invalid,
            ),
            (
                "key",
                outcome(
                    BODY,
                    now,
                    scope("other/20260102/us-east-1/timestream/aws4_request"),
                ),
                unrecognized,
            ),
            (
                "token",
                outcome(BODY, now, set("x-amz-security-token", "x".to_owned())),
                invalid,
            ),
            (
                "short scope",
                outcome(BODY, now, scope("local/20260102")),
                incomplete,
            ),
            (
                "no signature",
                outcome(
                    BODY,
                    now,
                    set("authorization", format!("{ALGORITHM} Credential={SCOPE}")),
                ),
                incomplete,
            ),
            (
                "algorithm",
                outcome(BODY, now, set("authorization", "Basic eA==".to_owned())),
                incomplete,
            ),
            (
                "no date",
                outcome(BODY, now, |headers| drop(headers.remove("x-amz-date"))),
                incomplete,
            ),
            (
                "nothing",
                outcome(BODY, now, |headers| drop(headers.remove("authorization"))),
                Err(ErrorKind::MissingAuthenticationToken),
            ),
        ];
        for (name, actual, expected) in cases {
            assert_eq!(kind(actual), expected, "{name}");
        }
    }

    #[test]
    fn spaces_collapse() {
        for (value, expected) in [("a", "a"), ("  a   b ", "a b"), ("", "")] {
            assert_eq!(collapse_spaces(value), expected);
        }
    }
}
