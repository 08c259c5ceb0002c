//! Signature Version 4 of WriteRecords calls.
//!
//! Two parts of the canonical request differ from call to call: the time and the hash of the body. Everything
//! else is written once for each endpoint, and the key once for each day and each credentials. A test holds
//! the signatures equal to those of `aws-sigv4`. Rules:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use http::HeaderValue;
use http::header::InvalidHeaderValue;
use jiff::Timestamp;
use parking_lot::Mutex;
use ring::{digest, hmac};

/// The media type of the body of each call.
pub(super) const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// The operation of each call.
pub(super) const TARGET: &str = "Timestream_20181101.WriteRecords";

/// The name of the service that calls are signed for.
const SERVICE: &str = "timestream";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The headers that make a request signed.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    /// `X-Amz-Date`.
    pub(super) date: HeaderValue,
    /// `Authorization`.
    pub(super) authorization: HeaderValue,
    /// `X-Amz-Security-Token`, with temporary credentials.
    pub(super) token: Option<HeaderValue>,
}

/// The parts of the canonical request that all calls to an endpoint share.
#[derive(Debug)]
pub(super) struct CanonicalRequest {
    /// Everything before the time.
    before_date: String,
}

impl CanonicalRequest {
    /// Returns the canonical form of a POST to `path` of `host`.
    pub(super) fn new(host: &str, path: &str) -> Self {
        let mut before_date = "POST\n".to_owned();
        push_canonical_path(&mut before_date, path);
        // There is no query. Names of headers are sorted.
        before_date += &format!("\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:");
        Self { before_date }
    }

    /// Returns the hash of the request that is sent at `date` with this body.
    fn hash(&self, date: &str, key: &SigningKey, body: &[u8]) -> digest::Digest {
        let body = digest::digest(&digest::SHA256, body);
        let mut canonical = digest::Context::new(&digest::SHA256);
        canonical.update(self.before_date.as_bytes());
        canonical.update(date.as_bytes());
        canonical.update(key.after_date.as_bytes());
        canonical.update(&hex(body.as_ref()));
        canonical.finish()
    }
}

/// Signs calls with the credentials of a moment.
#[derive(Debug)]
pub(super) struct Signer {
    region: String,
    key: Mutex<Option<Arc<SigningKey>>>,
}

/// Everything of a signature that is the same for the calls of a day with the same credentials.
struct SigningKey {
    credentials: Arc<Credentials>,
    /// Days since the Unix epoch.
    day: u64,
    key: hmac::Key,
    /// Day, region and service.
    scope: String,
    /// The header `Authorization` before the signature.
    authorization: String,
    token: Option<HeaderValue>,
    /// The canonical request between the time and the hash of the body.
    after_date: String,
}

impl fmt::Debug for SigningKey {
    /// Shows no key and no token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Returns a signer for Timestream in `region`.
    pub(super) fn new(region: String) -> Self {
        Self {
            region,
            key: Mutex::new(None),
        }
    }

    /// Returns the signature of a request that is sent at `now`.
    ///
    /// # Errors
    /// The credentials hold characters that no header can hold.
    pub(super) fn sign(
        &self,
        request: &CanonicalRequest,
        body: &[u8],
        credentials: &Arc<Credentials>,
        now: SystemTime,
    ) -> Result<Signature, InvalidHeaderValue> {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let date = date(since_epoch);
        let key = self.key(credentials, since_epoch, &date)?;
        let hash = request.hash(&date, &key, body);
        let mut signed = hmac::Context::with_key(&key.key);
        for part in [ALGORITHM, "\n", &date, "\n", &key.scope, "\n"] {
            signed.update(part.as_bytes());
        }
        signed.update(&hex(hash.as_ref()));
        let signature = hex(signed.sign().as_ref());
        let mut authorization = Vec::with_capacity(key.authorization.len() + signature.len());
        authorization.extend_from_slice(key.authorization.as_bytes());
        authorization.extend_from_slice(&signature);
        let mut authorization = HeaderValue::try_from(authorization)?;
        authorization.set_sensitive(true);
        Ok(Signature {
            date: HeaderValue::try_from(date)?,
            authorization,
            token: key.token.clone(),
        })
    }

    /// Returns the key of the day, which is made at its first call.
    fn key(
        &self,
        credentials: &Arc<Credentials>,
        since_epoch: Duration,
        date: &str,
    ) -> Result<Arc<SigningKey>, InvalidHeaderValue> {
        let day = since_epoch.as_secs() / DAY.as_secs();
        if let Some(known) = &*self.key.lock()
            && known.day == day
            && Arc::ptr_eq(&known.credentials, credentials)
        {
            return Ok(Arc::clone(known));
        }
        let (day_text, _) = date.split_at("YYYYMMDD".len());
        let key = Arc::new(SigningKey::new(credentials, &self.region, day, day_text)?);
        *self.key.lock() = Some(Arc::clone(&key));
        Ok(key)
    }
}

impl SigningKey {
    fn new(
        credentials: &Arc<Credentials>,
        region: &str,
        day: u64,
        day_text: &str,
    ) -> Result<Self, InvalidHeaderValue> {
        let mut key = format!("AWS4{}", credentials.secret_access_key()).into_bytes();
        for part in [day_text, region, SERVICE, "aws4_request"] {
            let signing = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&signing, part.as_bytes()).as_ref().to_vec();
        }
        let scope = format!("{day_text}/{region}/{SERVICE}/aws4_request");
        let (mut headers, mut names) = ("\n".to_owned(), "content-type;host;x-amz-date".to_owned());
        let mut token = None;
        if let Some(text) = credentials.session_token() {
            headers += &format!("x-amz-security-token:{text}\n");
            names += ";x-amz-security-token";
            let mut value = HeaderValue::try_from(text)?;
            value.set_sensitive(true);
            token = Some(value);
        }
        headers += &format!("x-amz-target:{TARGET}\n");
        names += ";x-amz-target";
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            authorization: format!(
                "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature=",
                credentials.access_key_id()
            ),
            after_date: format!("{headers}\n{names}\n"),
            credentials: Arc::clone(credentials),
            day,
            scope,
            token,
        })
    }
}

/// Returns the time as `20200913T122640Z`.
fn date(since_epoch: Duration) -> String {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Returns the bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> [u8; 2 * digest::SHA256_OUTPUT_LEN] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 2 * digest::SHA256_OUTPUT_LEN];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// Adds a path as it is signed: without empty segments and dots, each byte escaped that is neither a letter, a
/// digit, `-`, `.`, `_`, `~` nor a slash. What was escaped in the path is escaped again.
fn push_canonical_path(text: &mut String, path: &str) {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        text.push('/');
        for byte in segment.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                _ => write!(text, "%{byte:02X}").expect("a String accepts everything"),
            }
        }
    }
    if segments.is_empty() || ["/", "/.", "/.."].iter().any(|end| path.ends_with(end)) {
        text.push('/');
    }
}

#[cfg(test)]
mod tests {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4;
    use proptest::prelude::*;

    use super::*;

    /// Returns the headers with which `aws-sigv4` signs the same request.
    fn reference(
        host: &str,
        path: &str,
        body: &[u8],
        credentials: &Credentials,
        now: SystemTime,
    ) -> Vec<(String, String)> {
        let identity = credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers = [
            ("content-type", CONTENT_TYPE),
            ("host", host),
            ("x-amz-target", TARGET),
        ];
        let url = format!("https://{host}{path}");
        let body = SignableBody::Bytes(body);
        let request = SignableRequest::new("POST", &url, headers.into_iter(), body).unwrap();
        let (instructions, _) = sign(request, &parameters).unwrap().into_parts();
        let headers = instructions.headers();
        let mut headers: Vec<_> = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        headers.sort();
        headers
    }

    fn ours(
        signer: &Signer,
        request: &CanonicalRequest,
        body: &[u8],
        credentials: &Arc<Credentials>,
        now: SystemTime,
    ) -> Vec<(String, String)> {
        let signature = signer.sign(request, body, credentials, now).unwrap();
        let header =
            |name: &str, value: HeaderValue| (name.to_owned(), value.to_str().unwrap().to_owned());
        let mut headers = vec![
            header("authorization", signature.authorization),
            header("x-amz-date", signature.date),
        ];
        headers.extend(
            signature
                .token
                .map(|token| header("x-amz-security-token", token)),
        );
        headers
    }

    proptest! {
        #[test]
        fn signatures_are_those_of_the_sdk(
            secret in "[ -~]{1,40}",
            token in prop::option::of("[!-~]{1,80}"),
            host in "[a-z0-9.-]{1,20}(:[0-9]{1,4})?",
            path in "(/[a-zA-Z0-9._~:@!$&'()*+,;=%-]{0,5}){1,4}",
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
            seconds in 0..4_000_000_000_u64,
        ) {
            let credentials = Credentials::new("AKID", secret, token, None, "test");
            let shared = Arc::new(credentials.clone());
            let signer = Signer::new("eu-west-1".to_owned());
            let request = CanonicalRequest::new(&host, &path);
            for (hour, body) in (0..).zip(&bodies) {
                // So that some of them pass a day.
                let now = UNIX_EPOCH + Duration::from_secs(seconds + hour * 11 * 3600);
                prop_assert_eq!(
                    ours(&signer, &request, body, &shared, now),
                    reference(&host, &path, body, &credentials, now)
                );
            }
        }
    }

    #[test]
    fn new_credentials_sign_at_once() {
        let signer = Signer::new("eu-west-1".to_owned());
        let request = CanonicalRequest::new("host", "/");
        let now = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        for secret in ["one", "two", "one"] {
            let credentials = Credentials::new("AKID", secret, None, None, "test");
            let signed = ours(
                &signer,
                &request,
                b"{}",
                &Arc::new(credentials.clone()),
                now,
            );
            assert_eq!(signed, reference("host", "/", b"{}", &credentials, now));
        }
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_an_error() {
        let credentials = Credentials::new("AKID", "s", Some("a\nb".to_owned()), None, "test");
        let signer = Signer::new("eu-west-1".to_owned());
        let request = CanonicalRequest::new("host", "/");
        let signed = signer.sign(&request, b"", &Arc::new(credentials), UNIX_EPOCH);
        assert!(signed.is_err());
    }

    #[test]
    fn a_key_is_never_shown() {
        let credentials = Credentials::new("AKID", "hidden", Some("hidden".to_owned()), None, "t");
        let signer = Signer::new("eu-west-1".to_owned());
        let request = CanonicalRequest::new("host", "/");
        let signed = signer.sign(&request, b"", &Arc::new(credentials), UNIX_EPOCH);
        let text = format!("{signer:?} {:?}", signed.unwrap());
        assert!(
            !text.contains("hidden") && !text.contains("Signature="),
            "{text}"
        );
    }
}
