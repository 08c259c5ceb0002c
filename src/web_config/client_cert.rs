//! Verifiers of client certificates that rustls lacks: one for any certificate, and one for allowed names. The rules are those of Go's `tls.ClientAuthType` and of the exporter toolkit's
//! `client_allowed_sans`.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
};
use webpki::EndEntityCert;

use super::file::San;

/// Accepts any certificate whose private key the client has, regardless of its issuer.
#[derive(Debug)]
pub(super) struct AnyCertificate {
    pub(super) provider: Arc<CryptoProvider>,
    /// True if a client without a certificate is rejected.
    pub(super) required: bool,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Accepts certificates that `inner` accepts and that have one of the names.
#[derive(Debug)]
pub(super) struct AllowedSans {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
    pub(super) allowed: Vec<San>,
}

impl ClientCertVerifier for AllowedSans {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .inner
            .verify_client_cert(end_entity, intermediates, now)?;
        let certificate = EndEntityCert::try_from(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if self.allowed.iter().any(|san| has_san(&certificate, san)) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Returns true if the certificate has the name. Names are compared exactly: `*.example` in a certificate is not a
/// wildcard here.
fn has_san(certificate: &EndEntityCert<'_>, san: &San) -> bool {
    match san {
        San::Ip(address) => certificate
            .verify_is_valid_for_subject_name(&ServerName::from(*address))
            .is_ok(),
        San::Text(text) => certificate
            .valid_dns_names()
            .chain(certificate.valid_uri_names())
            .any(|name| name == text),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn names() {
        let mut params =
            CertificateParams::new(["a.example", "*.wild.example", "10.0.0.1"].map(str::to_owned))
                .unwrap();
        let uri = "spiffe://example/prometheus".try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let certificate = EndEntityCert::try_from(signed.der()).unwrap();
        let cases = [
            ("a.example", true),
            ("A.example", false),
            ("b.example", false),
            ("*.wild.example", true),
            ("b.wild.example", false),
            ("spiffe://example/prometheus", true),
            ("spiffe://example/prometheus2", false),
        ];
        for (name, expected) in cases {
            let san = San::Text(name.to_owned());
            assert_eq!(has_san(&certificate, &san), expected, "{name}");
        }
        assert!(has_san(&certificate, &San::Ip([10, 0, 0, 1].into())));
        assert!(!has_san(&certificate, &San::Ip([10, 0, 0, 2].into())));
    }
}
