//! Builds the configuration of rustls from the TLS settings.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::client_cert::{AllowedSans, AnyCertificate};
use super::file::{ClientAuth, Pem, TlsSettings, Versions};
use super::sources::Sources;

/// Builds the configuration; certificates and keys are read through `sources`.
///
/// # Errors
/// All errors, each with the key and the expected content; never with a private key.
pub(super) fn server_config(
    settings: &TlsSettings,
    sources: &mut Sources,
) -> Result<ServerConfig, Vec<String>> {
    let certificates = certificates(&settings.certificate, "cert", sources);
    let key = private_key(&settings.key, sources);
    let roots = settings.client_ca.as_ref().map(|pem| roots(pem, sources));
    let (certificates, key, roots) = match (certificates, key, roots.transpose()) {
        (Ok(certificates), Ok(key), Ok(roots)) => (certificates, key, roots),
        (certificates, key, roots) => {
            let errors = [certificates.err(), key.err(), roots.err()];
            return Err(errors.into_iter().flatten().collect());
        }
    };
    build(settings, certificates, key, roots).map_err(|error| vec![error])
}

fn build(
    settings: &TlsSettings,
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Option<RootCertStore>,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(protocol_versions(settings.versions))
        .expect("ring has cipher suites for both versions");
    let any = |required| -> Arc<dyn ClientCertVerifier> {
        Arc::new(AnyCertificate {
            provider: Arc::clone(&provider),
            required,
        })
    };
    let signed = |required| -> Result<Arc<dyn ClientCertVerifier>, String> {
        let roots = Arc::new(roots.unwrap_or_else(RootCertStore::empty));
        let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let builder = if required {
            builder
        } else {
            builder.allow_unauthenticated()
        };
        let verifier = builder
            .build()
            .map_err(|error| format!("tls_server_config.client_ca_file: {error}"))?;
        Ok(verifier)
    };
    let verifier = match settings.client_auth {
        ClientAuth::NoClientCert => None,
        ClientAuth::RequestClientCert => Some(any(false)),
        ClientAuth::RequireAnyClientCert => Some(any(true)),
        ClientAuth::VerifyClientCertIfGiven => Some(signed(false)?),
        ClientAuth::RequireAndVerifyClientCert => Some(signed(true)?),
    };
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(inner) if settings.client_allowed_sans.is_empty() => {
            builder.with_client_cert_verifier(inner)
        }
        Some(inner) => builder.with_client_cert_verifier(Arc::new(AllowedSans {
            inner,
            allowed: settings.client_allowed_sans.clone(),
        })),
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| {
            format!("tls_server_config: the certificate and key cannot be used together: {error}")
        })?;
    config.ignore_client_order = settings.prefer_server_cipher_suites;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn protocol_versions(versions: Versions) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    match versions {
        Versions::Tls12 => &BOTH[..1],
        Versions::Tls13 => &BOTH[1..],
        Versions::Both => &BOTH,
    }
}

fn certificates(
    pem: &Pem,
    key: &str,
    sources: &mut Sources,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let (bytes, place) = content(pem, key, sources)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(pem::Error::NoItemsFound),
        result => result,
    }
    .map_err(|error| format!("{place}: {error}; expected certificates in PEM"))
}

fn private_key(pem: &Pem, sources: &mut Sources) -> Result<PrivateKeyDer<'static>, String> {
    let (bytes, place) = content(pem, "key", sources)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => format!("{place}: no private key found; expected one in PEM"),
        // The message of the error may quote a line of the key.
        _ => format!("{place}: expected a private key in PEM"),
    })
}

fn roots(pem: &Pem, sources: &mut Sources) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "client_ca", sources)? {
        roots
            .add(certificate)
            .map_err(|error| format!("tls_server_config.client_ca: {error}"))?;
    }
    Ok(roots)
}

/// Returns the bytes of a PEM document and its location, for messages.
fn content(pem: &Pem, key: &str, sources: &mut Sources) -> Result<(Vec<u8>, String), String> {
    match pem {
        Pem::Inline(text) => Ok((
            text.clone().into_bytes(),
            format!("tls_server_config.{key}"),
        )),
        Pem::File(path) => {
            let place = format!("tls_server_config.{key}_file {}", path.display());
            let bytes = sources
                .read(path)
                .map_err(|error| format!("{place}: {error}"))?;
            Ok((bytes, place))
        }
    }
}
