//! The one client for outgoing HTTP.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Response, Url, header};
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::gzip::{self, GzipError};
use crate::compute::SLICE;
use crate::received::cut;
use crate::timestream::TrustedRoots;

/// What servers read about who calls them.
pub const USER_AGENT: &str = concat!(
    "timestream-prometheus-connector/",
    env!("CARGO_PKG_VERSION")
);
/// As many as Prometheus' client follows.
const MAX_REDIRECTS: usize = 10;
/// Time for a connection and its TLS; a call has a limit of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Compressed bytes that a response may have besides twice its limit.
const LEAST_GZIP_LIMIT: usize = 64 << 10;

/// Calls others over HTTP/1.1, with or without TLS; cheap to clone.
///
/// Redirects are followed; credentials go neither to another host
/// or port nor from `https` to `http`. Variables that name proxies are not looked at, as in
/// Prometheus.
#[derive(Clone, Debug, Default)]
pub struct Client {
    roots: TrustedRoots,
    /// Made when it is first needed: most functions never are.
    client: Arc<OnceLock<reqwest::Client>>,
    /// By the time that their connections may take.
    senders: Arc<Mutex<BTreeMap<Duration, reqwest::Client>>>,
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than it may be.
    #[error("the body has more than {limit} bytes")]
    TooLong {
        /// What it may have.
        limit: usize,
    },
    /// It ended early.
    #[error("{}", describe(.0))]
    Broken(reqwest::Error),
    /// Its gzip ends early.
    #[error("the gzip of the body ends early")]
    CutGzip,
    /// It is no gzip, though the headers say so.
    #[error("the gzip of the body cannot be read: {0}")]
    InvalidGzip(String),
    /// It has an encoding that the request did not ask for.
    #[error("the body has the Content-Encoding {0:?}, expected gzip or none")]
    Encoding(String),
}

impl Client {
    /// A client that trusts these authorities.
    pub fn new(roots: TrustedRoots) -> Self {
        Self {
            roots,
            client: Arc::default(),
            senders: Arc::default(),
        }
    }

    /// The client itself.
    pub fn inner(&self) -> &reqwest::Client {
        let redirects = Policy::limited(MAX_REDIRECTS);
        self.client
            .get_or_init(|| build(self.roots, redirects, CONNECT_TIMEOUT))
    }

    /// One that follows no redirect, which would make a GET of a POST; its connections come about within
    /// `connect_timeout`, or not at all.
    pub fn sender(&self, connect_timeout: Duration) -> reqwest::Client {
        // Nothing that runs under the lock can leave it half done.
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = senders
            .entry(connect_timeout)
            .or_insert_with(|| build(self.roots, Policy::none(), connect_timeout));
        sender.clone()
    }
}

fn build(roots: TrustedRoots, redirects: Policy, connect_timeout: Duration) -> reqwest::Client {
    let roots = roots.store().unwrap_or_else(|error| {
        tracing::error!(error, "No server is trusted by connectors.");
        RootCertStore::empty()
    });
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        .redirect(redirects)
        .referer(false)
        .no_proxy()
        // `read_body` decompresses: reqwest stops after the first member of a gzip.
        .no_gzip()
        .connect_timeout(connect_timeout)
        .build()
        .expect("nothing of these settings can be refused")
}

/// Returns the whole body of a response, of at most `limit` bytes, with its gzip decompressed. Whoever
/// wants gzip asks for it in the request. A body whose encoding is `own` is left to the caller.
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
    // What is declared is not believed, only refused.
    if declared.is_some_and(|length| length > limit_sent) {
        return Err(BodyError::TooLong { limit });
    }
    if !is_gzip {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(BodyError::Broken)? {
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
    while let Some(piece) = response.chunk().await.map_err(BodyError::Broken)? {
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

/// Whether a body is to be decompressed, by its headers.
fn is_gzip(headers: &header::HeaderMap, own: Option<&str>) -> Result<bool, BodyError> {
    let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let encodings = encodings.map(|it| String::from_utf8_lossy(it.as_bytes()));
    let encodings = encodings.collect::<Vec<_>>().join(", ");
    match encodings.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Ok(true),
        "" | "identity" => Ok(false),
        other if Some(other) == own => Ok(false),
        _ => Err(BodyError::Encoding(cut(&encodings, 100).into_owned())),
    }
}

fn add(body: &mut Vec<u8>, piece: &Bytes, limit: usize) -> Result<(), BodyError> {
    if piece.len() > limit - body.len() {
        return Err(BodyError::TooLong { limit });
    }
    body.extend_from_slice(piece);
    Ok(())
}

/// What went wrong with a call, with all causes; without the URL, which the caller knows.
pub fn describe(error: &reqwest::Error) -> String {
    let mut text = match error.url() {
        // Its own text names the URL.
        Some(url) => error.to_string().replace(&format!(" for url ({url})"), ""),
        None => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").expect("a text takes everything");
        cause = error.source();
    }
    text
}

/// Why a URL is not one that a definition may have called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UrlFault {
    /// It is no URL, for this reason.
    Invalid(String),
    /// It has this scheme.
    Scheme(String),
    /// It holds user or password.
    Credentials,
    /// It has a fragment.
    Fragment,
}

/// Reads a URL that a definition may have called. A fault repeats no more of it than the scheme: the
/// rest may be a password.
pub(super) fn url(text: &str) -> Result<Url, UrlFault> {
    let url = Url::parse(text).map_err(|error| UrlFault::Invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlFault::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlFault::Credentials);
    }
    if url.fragment().is_some() {
        return Err(UrlFault::Fragment);
    }
    Ok(url)
}
