//! The authorities whose certificates are trusted when others are called, Timestream above all.

use std::sync::Arc;

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The trusted certificate authorities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustedRoots {
    /// Mozilla's, which are part of the program: no image has to have any, and no file is read.
    #[default]
    Bundled,
    /// Those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    System,
}

impl TrustedRoots {
    pub(super) fn tls_context(self) -> TlsContext {
        let store = match self {
            Self::Bundled => TrustStore::empty().with_pem_certificate(bundled()),
            Self::System => TrustStore::default(),
        };
        TlsContext::builder()
            .with_trust_store(store)
            .build()
            .expect("nothing of a context can be rejected")
    }
}

impl TrustedRoots {
    /// Returns the settings of a client that trusts them and has no certificate of its own.
    ///
    /// # Errors
    /// As those of [`Self::certificates`].
    pub(super) fn client_config(self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.certificates()?);
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for them");
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// Returns the certificates themselves, for a client that takes rustls' own settings.
    ///
    /// # Errors
    /// The environment names certificates, and none of them can be read.
    pub fn certificates(self) -> Result<Vec<CertificateDer<'static>>, String> {
        match self {
            Self::Bundled => Ok(webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec()),
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    let errors = found.errors.iter().map(ToString::to_string);
                    let errors: Vec<_> = errors.collect();
                    return Err(format!(
                        "SSL_CERT_FILE or SSL_CERT_DIR names no certificate that can be read: {}",
                        errors.join("; ")
                    ));
                }
                Ok(found.certs)
            }
        }
    }
}

/// Mozilla's roots in the one form that the HTTP client takes.
fn bundled() -> String {
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem += "-----BEGIN CERTIFICATE-----\n";
        STANDARD.encode_string(certificate, &mut pem);
        pem += "\n-----END CERTIFICATE-----\n";
    }
    pem
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn rustls_takes_every_bundled_root() {
        let all = TrustedRoots::Bundled.certificates().unwrap();
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(all);
        assert_eq!(
            (added, ignored),
            (webpki_root_certs::TLS_SERVER_ROOT_CERTS.len(), 0)
        );
    }

    #[test]
    fn every_bundled_root_survives_the_text_form() {
        let pem = bundled();
        let read: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(read, webpki_root_certs::TLS_SERVER_ROOT_CERTS);
    }
}
