//! HTTP without TLS for the tests: reqwest's own clients look for TLS settings that this build, whose
//! TLS is on ring alone, does not have.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder, IntoUrl, Response, Result};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Returns the settings of a client without trusted certificates, so it is for `http` only.
pub fn builder() -> ClientBuilder {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for them")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Client::builder().tls_backend_preconfigured(tls)
}

/// Returns a client with the settings of [`builder`].
pub fn client() -> Client {
    let client = builder().build();
    client.expect("these settings are valid")
}

/// Gets `url`.
///
/// # Errors There is no response.
pub async fn get(url: impl IntoUrl) -> Result<Response> {
    client().get(url).send().await
}
