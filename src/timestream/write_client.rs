//! Calls of WriteRecords without the SDK, whose layers around each call cost more than the call.
//!
//! A request is a prepared body, eight headers and a signature. The SDK loads credentials and resolves
//! endpoints; retries are those of [`super::retry`], as for every call.

mod connections;
mod credentials;
mod response;
mod signature;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use http::header::{AGE, AUTHORIZATION, CONTENT_TYPE, DATE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use parking_lot::Mutex;

use super::failure::without_credentials;
use super::{ErrorKind, Settings, TimestreamError};
use crate::causes::causes;
use connections::{ConnectionError, Connections, Connector};
use credentials::CredentialsCache;
use signature::{CanonicalRequest, Signature, Signer};

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const X_AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// The difference between the clocks at which a rejected signature is made again with the time of the service, as
/// in the SDK. AWS accepts five minutes.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(4 * 60);

/// Calls WriteRecords.
#[derive(Debug)]
pub(super) struct WriteClient {
    connector: Connector,
    credentials: CredentialsCache,
    signer: Signer,
    /// The endpoint of the last call.
    endpoint: Mutex<Option<Arc<Endpoint>>>,
    /// Milliseconds by which the clock of the service is ahead of ours, where a signature needed them.
    clock_skew_ms: AtomicI64,
}

/// An address with everything that its calls share.
#[derive(Debug)]
struct Endpoint {
    url: String,
    target: Uri,
    headers: HeaderMap,
    canonical: CanonicalRequest,
    connections: Connections,
}

impl WriteClient {
    /// Returns a client with the credentials of `shared`. Nothing is called or read yet.
    pub(super) fn new(settings: &Settings, shared: &SdkConfig) -> Self {
        Self {
            connector: Connector::new(settings.roots),
            credentials: CredentialsCache::new(shared.credentials_provider()),
            signer: Signer::new(settings.region.clone()),
            endpoint: Mutex::new(None),
            clock_skew_ms: AtomicI64::new(0),
        }
    }

    /// Writes a batch of so many `records` whose JSON `body` is complete, to the endpoint at `url`.
    ///
    /// # Errors
    /// Any but a response that says that all records are stored.
    pub(super) async fn write_records(
        &self,
        url: &str,
        body: Bytes,
        records: usize,
    ) -> Result<(), TimestreamError> {
        let endpoint = self.endpoint(url)?;
        let credentials = self.credentials().await?;
        let skew_ms = self.clock_skew_ms.load(Ordering::Relaxed);
        let sent = SystemTime::now();
        let response = self.send(&endpoint, &body, &credentials, skew_ms).await?;
        let result = response::check(&response, records);
        if !is_unsigned(&result) {
            return result;
        }
        // The clocks may differ, and the service has just sent its time.
        let measured_ms =
            clock_skew_ms(&response, sent).filter(|it| is_large(it.saturating_sub(skew_ms)));
        let Some(measured_ms) = measured_ms else {
            return result;
        };
        let response = self
            .send(&endpoint, &body, &credentials, measured_ms)
            .await?;
        let result = response::check(&response, records);
        // Otherwise something else is wrong: what stands between may have sent another time.
        if !is_unsigned(&result) {
            self.clock_skew_ms.store(measured_ms, Ordering::Relaxed);
        }
        result
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        body: &Bytes,
        credentials: &Arc<Credentials>,
        clock_skew_ms: i64,
    ) -> Result<Response<Bytes>, TimestreamError> {
        let now = shifted(SystemTime::now(), clock_skew_ms);
        let signature = self
            .signer
            .sign(&endpoint.canonical, body, credentials, now);
        let signature = signature.map_err(|error| from_source(ErrorKind::Credentials, error))?;
        let request = || endpoint.request(body.clone(), &signature);
        let response = endpoint.connections.send(request).await;
        response.map_err(without_response)
    }

    /// Returns the milliseconds by which the clock of the server at `url` is ahead of ours, to the second, from its
    /// response to a request for no operation; `None` if it names no time.
    ///
    /// # Errors
    /// The server does not respond.
    pub(super) async fn clock_skew_ms(&self, url: &str) -> Result<Option<i64>, TimestreamError> {
        let endpoint = self.endpoint(url)?;
        let sent = SystemTime::now();
        let response = endpoint.connections.send(|| endpoint.probe());
        let response = response.await.map_err(without_response)?;
        Ok(clock_skew_ms(&response, sent))
    }

    /// Returns the credentials that calls are signed with.
    ///
    /// # Errors
    /// There are none.
    pub(super) async fn credentials(&self) -> Result<Arc<Credentials>, TimestreamError> {
        let credentials = self.credentials.get(SystemTime::now()).await;
        credentials.map_err(|error| TimestreamError {
            message: without_credentials(&error),
            ..from_source(ErrorKind::Credentials, error)
        })
    }

    /// Returns the endpoint at `url`, with the connections of the last call if that had the same one.
    fn endpoint(&self, url: &str) -> Result<Arc<Endpoint>, TimestreamError> {
        let mut last = self.endpoint.lock();
        if let Some(endpoint) = last.as_ref().filter(|endpoint| endpoint.url == url) {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = Arc::new(Endpoint::new(url, self.connector.clone())?);
        *last = Some(Arc::clone(&endpoint));
        Ok(endpoint)
    }
}

impl Endpoint {
    fn new(url: &str, connector: Connector) -> Result<Self, TimestreamError> {
        let invalid = || {
            let shown = url.rsplit_once('@').map_or(url, |(_, shown)| shown);
            let shown = shown.split('?').next().unwrap_or_default();
            let message = format!("the endpoint '{shown}' is no URL of a server");
            TimestreamError::new(ErrorKind::Unavailable, message)
        };
        let parsed: Uri = url.parse().map_err(|_| invalid())?;
        let scheme = parsed.scheme_str().ok_or_else(invalid)?;
        let authority = parsed.authority().ok_or_else(invalid)?.as_str();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let origin = format!("{scheme}://{host}/")
            .parse()
            .map_err(|_| invalid())?;
        // The operation is at `/` below the path of the endpoint.
        let path = match parsed.path() {
            path if path.ends_with('/') => path.to_owned(),
            path => format!("{path}/"),
        };
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| invalid())?);
        let fixed = [
            (CONTENT_TYPE, signature::CONTENT_TYPE),
            (X_AMZ_TARGET, signature::TARGET),
            (USER_AGENT, crate::USER_AGENT),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(Self {
            url: url.to_owned(),
            target: path.parse().map_err(|_| invalid())?,
            headers,
            canonical: CanonicalRequest::new(host, &path),
            connections: Connections::new(origin, connector),
        })
    }

    fn request(&self, body: Bytes, signature: &Signature) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(X_AMZ_DATE, signature.date.clone());
        headers.insert(AUTHORIZATION, signature.authorization.clone());
        if let Some(token) = &signature.token {
            headers.insert(X_AMZ_SECURITY_TOKEN, token.clone());
        }
        request
    }

    /// Returns a request for no operation: the response is an error, with the time.
    fn probe(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.target.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.remove(CONTENT_TYPE);
        headers.remove(X_AMZ_TARGET);
        request
    }
}

/// Returns how far the clock of the service is ahead by the header `Date` of a response, unless a cache sent it.
fn clock_skew_ms(response: &Response<Bytes>, sent: SystemTime) -> Option<i64> {
    if response.headers().contains_key(AGE) {
        return None;
    }
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let service = DateTime::from_str(date, Format::HttpDate).ok()?;
    let took = sent.elapsed().unwrap_or_default();
    let ours = DateTime::from(sent + took / 2);
    Some(
        service
            .to_millis()
            .ok()?
            .saturating_sub(ours.to_millis().ok()?),
    )
}

/// Returns true if the service rejected the signature or the credentials.
fn is_unsigned(result: &Result<(), TimestreamError>) -> bool {
    matches!(result, Err(error) if error.kind == ErrorKind::Credentials)
}

/// Returns true if clocks that differ by so many milliseconds make signatures invalid.
fn is_large(skew_ms: i64) -> bool {
    Duration::from_millis(skew_ms.unsigned_abs()) > MAX_CLOCK_SKEW
}

/// Returns the time `ms` milliseconds later.
fn shifted(time: SystemTime, ms: i64) -> SystemTime {
    let distance = Duration::from_millis(ms.unsigned_abs());
    let shifted = match ms {
        0.. => time.checked_add(distance),
        _ => time.checked_sub(distance),
    };
    shifted.unwrap_or(time)
}

fn without_response(error: ConnectionError) -> TimestreamError {
    let kind = match &error {
        ConnectionError::ConnectTimeout(_) => ErrorKind::Timeout,
        ConnectionError::TooLong => ErrorKind::UnexpectedResponse,
        _ => ErrorKind::Unavailable,
    };
    from_source(kind, error)
}

fn from_source(kind: ErrorKind, error: impl Error + Send + Sync + 'static) -> TimestreamError {
    let message = causes(&error);
    TimestreamError {
        source: Some(Arc::new(error)),
        ..TimestreamError::new(kind, message)
    }
}
