//! Outgoing HTTP: the one way in which jobs call other servers.
//!
//! Every call goes through [`Session`]: it follows redirects itself, so that each address is checked
//! before anything is connected, and secrets go only to the server that the definition names.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use prom_model::visible::truncate;
use reqwest::dns::{Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Response, Url, header};
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

pub use super::address::REMEDIES as REMEDIES_OF_JOBS;
use super::address::{BlockedAddress, Guard, ip_of};
use super::auth::Auth;
use super::gzip::{self, GzipError};
use super::outgoing::Outgoing;
use super::quote;
use super::secret::{Secrets, Unresolved};
use super::tls::{self, Digest, Loaded};
use crate::compute::SLICE;
use crate::timestream::TrustedRoots;

/// The most redirects of a call, as in Prometheus' client.
const MAX_REDIRECTS: usize = 10;
/// Time limit of a connection and its TLS handshake; a call has a limit of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of a call of a command.
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);
/// The most servers whose connections stay open for the next call.
const MAX_CLIENTS: usize = 256;

/// Compressed bytes that a response may have in addition to twice its limit.
const LEAST_GZIP_LIMIT: usize = 64 << 10;

/// The connections of all jobs of a process; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Client {
    roots: TrustedRoots,
    guard: Guard,
    /// Created when they are first needed: most functions never need any.
    clients: Arc<Mutex<Clients>>,
}

#[derive(Debug, Default)]
struct Clients {
    by_key: BTreeMap<Key, (u64, reqwest::Client)>,
    uses: u64,
    /// The settings of clients with TLS, which share the authorities: Mozilla's have 150 KB.
    configs: BTreeMap<Digest, ClientConfig>,
}

/// Calls with the same key share connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    is_tls: bool,
    host: String,
    port: u16,
    connect_timeout: Duration,
    allows_link_local: bool,
    tls: Option<Digest>,
}

/// Calls the server of a job, over HTTP/1.1 with or without TLS; cheap to clone.
///
/// Variables that name proxies are ignored, as in Prometheus.
/// Redirects are followed; credentials, the client's certificate among them, and the headers of the
/// definition go neither to another host or port nor from `https` to `http`.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    client: Client,
    guard: Guard,
    headers: HeaderMap,
    tls: Trust,
    /// The same without the client's certificate, for servers that a redirect leads to.
    tls_elsewhere: Trust,
    connect_timeout: Duration,
    follows_redirects: bool,
}

/// Settings of TLS, and their digest.
#[derive(Clone)]
struct Trust {
    loaded: Arc<Loaded>,
    digest: Digest,
}

/// A call that has not been made.
pub struct Call {
    session: Session,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    timeout: Option<Duration>,
    has_bad_header: bool,
}

/// The reason for which there is no response.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No job may call the address.
    #[error(transparent)]
    Blocked(#[from] BlockedAddress),
    /// The server redirects to an address that no job may call, which the definition does not name.
    #[error(
        "the server redirects to an address that is blocked, correct its redirect or the URL: {0}"
    )]
    BlockedRedirect(BlockedAddress),
    /// A redirect leads nowhere.
    #[error("{0}")]
    Redirect(&'static str),
    /// A header of the request cannot be sent.
    #[error("a header of the request has what no header can have")]
    Header,
    /// TLS cannot be used as the definition says.
    #[error("{0}")]
    Tls(String),
    /// The call failed.
    #[error("{}", describe_http(.0))]
    Http(reqwest::Error),
}

impl CallError {
    /// Returns true if the call timed out.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_timeout())
    }

    /// Returns true if the connection failed.
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_connect())
    }

    /// Returns true if the same call would fail again on any server.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Blocked(_)
            | Self::BlockedRedirect(_)
            | Self::Redirect(_)
            | Self::Header
            | Self::Tls(_) => true,
            Self::Http(error) => error.is_builder(),
        }
    }
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(blocked) = error.downcast_ref::<BlockedAddress>() {
                return Self::Blocked(blocked.clone());
            }
            cause = error.source();
        }
        Self::Http(error)
    }
}

/// The reason for which there is no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than it may be.
    #[error("the body has more than {limit} bytes")]
    TooLong {
        /// The most bytes that it may have.
        limit: usize,
    },
    /// It ended early.
    #[error("{0}")]
    Broken(CallError),
    /// Its gzip ends early.
    #[error("the gzip of the body ends early")]
    CutGzip,
    /// It is no gzip, though the headers say so.
    #[error("the gzip of the body cannot be read: {0}")]
    InvalidGzip(String),
    /// It has an encoding that the request did not accept.
    #[error("the body has the Content-Encoding {0:?}, expected gzip or none")]
    Encoding(String),
}

impl Client {
    /// Returns a client that trusts `roots` and calls no address that `environment` names for this process
    /// alone.
    pub fn new(roots: TrustedRoots, environment: fn(&str) -> Option<String>) -> Self {
        Self {
            roots,
            guard: Guard::new(environment),
            clients: Arc::default(),
        }
    }

    /// Begins a session with the server of a job: resolves its secrets and reads its certificates.
    ///
    /// # Errors
    /// A secret could not be resolved, or a file not be read.
    pub(super) fn session(
        &self,
        outgoing: &Outgoing,
        secrets: &Secrets,
    ) -> Result<Session, Unresolved> {
        let tls = Trust::new(outgoing.tls.load(secrets)?);
        let elsewhere = tls.loaded.without_identity();
        Ok(Session(Arc::new(Inner {
            client: self.clone(),
            guard: self.guard.with_link_local(outgoing.allows_link_local),
            headers: outgoing.header_map(secrets)?,
            tls_elsewhere: elsewhere.map_or_else(|| tls.clone(), Trust::new),
            tls,
            connect_timeout: CONNECT_TIMEOUT,
            follows_redirects: true,
        })))
    }

    /// Begins a session of a command with a server that its user names, with these credentials.
    ///
    /// # Errors
    /// They cannot be sent in a header.
    pub fn session_for(&self, auth: Auth) -> Result<Session, Unresolved> {
        self.session(&Outgoing::of(auth), &Secrets::new(None, |_| None))
    }

    fn get(
        &self,
        key: Key,
        build: impl FnOnce() -> Result<reqwest::Client, CallError>,
    ) -> Result<reqwest::Client, CallError> {
        {
            let mut clients = self.clients.lock();
            clients.uses += 1;
            let uses = clients.uses;
            if let Some((used, client)) = clients.by_key.get_mut(&key) {
                *used = uses;
                return Ok(client.clone());
            }
        }
        let client = build()?;
        let mut clients = self.clients.lock();
        let Clients {
            by_key,
            uses,
            configs,
        } = &mut *clients;
        by_key.insert(key, (*uses, client.clone()));
        if by_key.len() > MAX_CLIENTS {
            let oldest = by_key.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                by_key.remove(&oldest);
            }
            configs.retain(|digest, _| by_key.keys().any(|key| key.tls == Some(*digest)));
        }
        Ok(client)
    }

    /// Returns the settings of a client with TLS; clients with the same ones share them.
    fn config(&self, trust: &Trust) -> Result<ClientConfig, CallError> {
        let Trust { loaded, digest } = trust;
        if let Some(config) = self.clients.lock().configs.get(digest) {
            return Ok(config.clone());
        }
        // Reading authorities takes longer than a lock should be held.
        let config = loaded.config(self.roots).map_err(CallError::Tls)?;
        self.clients.lock().configs.insert(*digest, config.clone());
        Ok(config)
    }
}

impl Trust {
    fn new(loaded: Loaded) -> Self {
        Self {
            digest: loaded.digest(),
            loaded: Arc::new(loaded),
        }
    }
}

impl Session {
    /// Returns the same session without redirects, as a redirect would make a GET of a POST, and with the
    /// limit `connect_timeout` of connections.
    pub(super) fn for_sending(&self, connect_timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            connect_timeout,
            follows_redirects: false,
            ..Inner::clone(&self.0)
        }))
    }

    /// Returns the content type and the body of the resource at `url`, of at most `limit` bytes; `accept` is the header
    /// `Accept`.
    ///
    /// # Errors
    /// There is no response, or it is no success; the text names the host.
    pub async fn fetch(
        &self,
        url: Url,
        accept: &'static str,
        limit: usize,
    ) -> Result<(String, Vec<u8>), String> {
        let host = host_and_port(&url);
        let named = |error: &dyn Display| format!("{host}: {error}");
        let call = self.get(url).timeout(FETCH_TIMEOUT);
        let call = call.header(header::ACCEPT, accept);
        let call = call.header(header::ACCEPT_ENCODING, "gzip");
        let response = call.send().await.map_err(|error| named(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response, limit, None).await;
        let body = body.map_err(|error| named(&error))?;
        if !status.is_success() {
            return Err(named(&quote::response(status, &headers, &body)));
        }
        let content_type = headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|it| it.to_str().ok());
        Ok((content_type.unwrap_or_default().to_owned(), body))
    }

    /// Returns a call with the method GET.
    pub(super) fn get(&self, url: Url) -> Call {
        self.call(Method::GET, url)
    }

    /// Returns a call with the method POST.
    pub(super) fn post(&self, url: Url) -> Call {
        self.call(Method::POST, url)
    }

    fn call(&self, method: Method, url: Url) -> Call {
        Call {
            session: self.clone(),
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            timeout: None,
            has_bad_header: false,
        }
    }

    /// Returns a client that connects to the host and port of `url` only. It sends its certificate only to the
    /// server of the definition.
    fn client(&self, url: &Url, is_same_server: bool) -> Result<reqwest::Client, CallError> {
        let inner = &self.0;
        let trust = match is_same_server {
            true => &inner.tls,
            false => &inner.tls_elsewhere,
        };
        inner.guard.check_url(url)?;
        let host = match ip_of(url) {
            Some(ip) => ip.to_string(),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let port = url.port_or_known_default().unwrap_or_default();
        let is_tls = url.scheme() == "https";
        let key = Key {
            is_tls,
            host: host.clone(),
            port,
            connect_timeout: inner.connect_timeout,
            allows_link_local: inner.guard.allows_link_local(),
            tls: is_tls.then_some(trust.digest),
        };
        inner.client.get(key, || {
            let config = match is_tls {
                true => inner.client.config(trust)?,
                false => tls::unused(),
            };
            let resolver = Resolver {
                guard: inner.guard.clone(),
                host,
                port,
            };
            Ok(reqwest::Client::builder()
                .tls_backend_preconfigured(config)
                .user_agent(crate::USER_AGENT)
                .redirect(Policy::none())
                .referer(false)
                .no_proxy()
                // `read_body` decompresses: reqwest stops after the first member of a gzip.
                .no_gzip()
                .dns_resolver(Arc::new(resolver))
                .connect_timeout(inner.connect_timeout)
                .build()
                .expect("these settings are valid"))
        })
    }
}

impl Call {
    /// Adds a header. The call fails if it is invalid.
    pub(super) fn header(
        mut self,
        name: impl TryInto<HeaderName>,
        value: impl TryInto<HeaderValue>,
    ) -> Self {
        match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(value)) => drop(self.headers.insert(name, value)),
            _ => self.has_bad_header = true,
        }
        self
    }

    /// Sets the body.
    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }

    /// Limits the time until the whole body of the response has arrived, redirects included.
    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call.
    ///
    /// # Errors
    /// There is no response.
    pub(super) async fn send(mut self) -> Result<Response, CallError> {
        if self.has_bad_header {
            return Err(CallError::Header);
        }
        let end = self.timeout.map(|timeout| Instant::now() + timeout);
        let mut is_same_server = true;
        for redirects in 0..=MAX_REDIRECTS {
            let response = self.hop(end, is_same_server).await;
            let response = response.map_err(|error| match error {
                CallError::Blocked(blocked) if redirects > 0 => CallError::BlockedRedirect(blocked),
                error => error,
            })?;
            if !self.session.0.follows_redirects {
                return Ok(response);
            }
            let Some(next) = redirect(&response, &self.url)? else {
                return Ok(response);
            };
            // After another server no secrets are sent, even if a redirect leads back.
            is_same_server &= origin(&next) == origin(&self.url);
            self.url = next;
            let keeps_method = matches!(response.status().as_u16(), 307 | 308);
            if !keeps_method && self.method != Method::GET {
                self.method = Method::GET;
                self.body = None;
                self.headers.remove(header::CONTENT_TYPE);
                self.headers.remove(header::CONTENT_ENCODING);
            }
        }
        Err(CallError::Redirect("more than 10 redirects"))
    }

    /// Sends one request and returns its response, whatever that is.
    async fn hop(&self, end: Option<Instant>, is_same_server: bool) -> Result<Response, CallError> {
        let client = self.session.client(&self.url, is_same_server)?;
        let mut url = self.url.clone();
        let mut headers = self.headers.clone();
        if is_same_server {
            headers.extend(self.session.0.headers.clone());
        }
        if url.scheme() == "https"
            && let Some(name) = self.session.0.tls.loaded.host()
        {
            // TLS verifies the name in the URL; the client connects to its own host nevertheless.
            headers.insert(header::HOST, host_header(&url)?);
            url = tls::with_name(url, name)
                .ok_or_else(|| CallError::Tls("tls.server_name cannot be used".to_owned()))?;
        }
        let mut request = client.request(self.method.clone(), url).headers(headers);
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        if let Some(end) = end {
            request = request.timeout(end.saturating_duration_since(Instant::now()));
        }
        Ok(request.send().await?)
    }
}

/// Returns scheme, host and port.
fn origin(url: &Url) -> (&str, Option<&str>, Option<u16>) {
    (url.scheme(), url.host_str(), url.port_or_known_default())
}

/// Returns the value of the header `Host` for a URL.
fn host_header(url: &Url) -> Result<HeaderValue, CallError> {
    HeaderValue::try_from(host_and_port(url)).map_err(|_| CallError::Header)
}

/// Returns the host of a URL, and its port if that is not the scheme's.
fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Returns the target of a response, if it is a redirect. No error repeats the target: it may hold a secret.
fn redirect(response: &Response, from: &Url) -> Result<Option<Url>, CallError> {
    use StatusCode as S;
    let is_redirect = matches!(
        response.status(),
        S::MOVED_PERMANENTLY
            | S::FOUND
            | S::SEE_OTHER
            | S::TEMPORARY_REDIRECT
            | S::PERMANENT_REDIRECT
    );
    let Some(location) = response
        .headers()
        .get(header::LOCATION)
        .filter(|_| is_redirect)
    else {
        return Ok(None);
    };
    let invalid = CallError::Redirect("a redirect leads to what is no URL of http or https");
    let next = std::str::from_utf8(location.as_bytes())
        .ok()
        .and_then(|location| from.join(location).ok());
    let Some(mut next) = next.filter(|next| matches!(next.scheme(), "http" | "https")) else {
        return Err(invalid);
    };
    // Only the definition supplies credentials.
    let is_stripped = next.set_username("").is_ok() && next.set_password(None).is_ok();
    match is_stripped {
        true => Ok(Some(next)),
        false => Err(invalid),
    }
}

/// Resolves one host, whatever name is requested, and returns no address that is blocked.
struct Resolver {
    guard: Guard,
    host: String,
    port: u16,
}

impl Resolve for Resolver {
    fn resolve(&self, _name: Name) -> Resolving {
        let (guard, host, port) = (self.guard.clone(), self.host.clone(), self.port);
        Box::pin(async move {
            let mut allowed: Vec<SocketAddr> = Vec::new();
            let mut blocked = None;
            for address in tokio::net::lookup_host((host, port)).await? {
                match guard.check(address) {
                    Ok(()) => allowed.push(address),
                    Err(error) => blocked = Some(error),
                }
            }
            match blocked {
                Some(blocked) if allowed.is_empty() => Err(blocked.into()),
                _ => Ok(Box::new(allowed.into_iter()) as _),
            }
        })
    }
}

/// Returns the whole body of a response, of at most `limit` bytes, with its gzip decompressed; the request
/// must accept gzip. A body whose encoding is `own` is left to the caller.
///
/// # Errors
/// It is longer, ends early, cannot be decompressed or has another encoding.
pub async fn read_body(
    mut response: Response,
    limit: usize,
    own: Option<&str>,
) -> Result<Vec<u8>, BodyError> {
    let is_gzip = is_gzip(response.headers(), own)?;
    let declared = response.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let limit_sent = match is_gzip {
        // Small members can be larger than what they hold.
        true => limit.saturating_mul(2).saturating_add(LEAST_GZIP_LIMIT),
        false => limit,
    };
    // A declared length is never trusted, but a large one is rejected.
    if declared.is_some_and(|length| length > limit_sent) {
        return Err(BodyError::TooLong { limit });
    }
    if !is_gzip {
        let mut body = Vec::new();
        while let Some(piece) = next_piece(&mut response).await.map_err(BodyError::Broken)? {
            add(&mut body, &piece, limit)?;
        }
        return Ok(body);
    }
    let of_gzip = |error| match error {
        GzipError::TooLong => BodyError::TooLong { limit },
        GzipError::Cut => BodyError::CutGzip,
        GzipError::Invalid(text) => BodyError::InvalidGzip(text),
    };
    let mut decoder = gzip::Decoder::new(limit);
    let mut left = limit_sent;
    while let Some(piece) = next_piece(&mut response).await.map_err(BodyError::Broken)? {
        left = left
            .checked_sub(piece.len())
            .ok_or(BodyError::TooLong { limit })?;
        let mut began = Instant::now();
        for step in piece.chunks(gzip::STEP) {
            decoder.push(step).map_err(of_gzip)?;
            if began.elapsed() >= SLICE / 2 {
                yield_now().await;
                began = Instant::now();
            }
        }
    }
    decoder.finish().map_err(of_gzip)
}

/// Returns true if the headers of a body say that it is gzip.
fn is_gzip(headers: &header::HeaderMap, own: Option<&str>) -> Result<bool, BodyError> {
    let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let encodings = encodings.map(|it| String::from_utf8_lossy(it.as_bytes()));
    let encodings = encodings.collect::<Vec<_>>().join(", ");
    match encodings.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Ok(true),
        "" | "identity" => Ok(false),
        other if Some(other) == own => Ok(false),
        _ => Err(BodyError::Encoding(truncate(&encodings, 100).into_owned())),
    }
}

/// Returns the next piece of a body.
pub(super) async fn next_piece(response: &mut Response) -> Result<Option<Bytes>, CallError> {
    Ok(response.chunk().await?)
}

fn add(body: &mut Vec<u8>, piece: &Bytes, limit: usize) -> Result<(), BodyError> {
    if piece.len() > limit - body.len() {
        return Err(BodyError::TooLong { limit });
    }
    body.extend_from_slice(piece);
    Ok(())
}

/// Returns the error of a call with all its causes, without the URL, which the caller knows.
fn describe_http(error: &reqwest::Error) -> String {
    let mut text = match error.url() {
        // Its own message names the URL.
        Some(url) => error.to_string().replace(&format!(" for url ({url})"), ""),
        None => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").expect("writing to a String cannot fail");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_checked_once_a_name_is_resolved() {
        let guard = Guard::new(|name| {
            (name == "AWS_LAMBDA_RUNTIME_API").then(|| "127.0.0.1:4711".to_owned())
        });
        let resolve = async |port| {
            let host = "localhost".to_owned();
            let guard = guard.clone();
            let resolver = Resolver { guard, host, port };
            let name = "any.example".parse().unwrap();
            resolver.resolve(name).await.map(Iterator::count)
        };
        assert!(resolve(4_712).await.unwrap() > 0);
        let error = resolve(4_711).await.unwrap_err();
        assert!(error.is::<BlockedAddress>(), "{error}");
        assert!(
            error.to_string().contains("Lambda's runtime API"),
            "{error}"
        );
    }

    #[test]
    fn the_clients_of_many_servers_are_bounded_and_share_their_settings() {
        let client = Client::default();
        let secrets = Secrets::new(None, |_| None);
        let session = client.session(&Outgoing::default(), &secrets).unwrap();
        let count = || client.clients.lock().by_key.len();
        for port in 1..=MAX_CLIENTS + 20 {
            let url = Url::parse(&format!("http://a:{port}/x")).unwrap();
            session.client(&url, true).unwrap();
        }
        assert_eq!(count(), MAX_CLIENTS);
        for port in 1..=MAX_CLIENTS {
            let url = Url::parse(&format!("https://a:{port}/x")).unwrap();
            session.client(&url, true).unwrap();
        }
        assert_eq!(count(), MAX_CLIENTS);
        // All of them have the same settings of TLS.
        assert_eq!(client.clients.lock().configs.len(), 1);
    }

    #[test]
    fn the_server_that_was_called_longest_ago_goes() {
        let client = Client::default();
        let secrets = Secrets::new(None, |_| None);
        let session = client.session(&Outgoing::default(), &secrets).unwrap();
        for port in 1..=MAX_CLIENTS + 20 {
            let url = Url::parse(&format!("http://a:{port}/x")).unwrap();
            session.client(&url, true).unwrap();
            // The first one is used again and again.
            session
                .client(&Url::parse("http://a:1/y").unwrap(), true)
                .unwrap();
        }
        let clients = client.clients.lock();
        let ports: Vec<_> = clients.by_key.keys().map(|key| key.port).collect();
        assert!(ports.contains(&1) && !ports.contains(&2), "{ports:?}");
    }
}
