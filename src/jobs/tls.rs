//! TLS of outgoing calls: its keys in a definition, with Prometheus' names and meanings
//! (<https://prometheus.io/docs/prometheus/latest/configuration/configuration/#tls_config>).

use std::path::{Component, Path};
use std::sync::Arc;

use reqwest::Url;
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use serde_json::Value;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::ring as provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::address::ip_of;
use super::secret::{Secrets, Unresolved};
use crate::fields::{FieldReader, object};
use crate::timestream::TrustedRoots;
use crate::unverified::Unverified;

/// The most bytes of a file; all authorities of Mozilla have a quarter of it.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The key `tls` of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// The trusted authorities, instead of all others.
    ca_file: Option<String>,
    /// The client's certificate and its key.
    identity: Option<(String, String)>,
    /// The name that is requested and verified, instead of the URL's.
    server_name: Option<ServerName<'static>>,
    /// True if any certificate is accepted.
    insecure_skip_verify: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    ca_file: Option<Value>,
    cert_file: Option<Value>,
    key_file: Option<Value>,
    server_name: Option<Value>,
    insecure_skip_verify: Option<Value>,
}

/// The present content of a definition's files. No `Debug`: a private key is among it.
pub(super) struct Loaded {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<ServerName<'static>>,
    insecure_skip_verify: bool,
}

/// A digest of settings, contents of files included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digest([u8; 32]);

impl Tls {
    /// Reads the key `tls`.
    pub(super) fn read(values: &mut FieldReader, value: Option<&Value>) -> Self {
        let Some(value) = values.given(value) else {
            return Self::default();
        };
        let raw: Raw = match object(value) {
            Ok(raw) => raw,
            Err(text) => {
                values.error("tls", text);
                return Self::default();
            }
        };
        let ca_file = file(values, "tls.ca_file", raw.ca_file.as_ref());
        let certificate = file(values, "tls.cert_file", raw.cert_file.as_ref());
        let key = file(values, "tls.key_file", raw.key_file.as_ref());
        let is_given = |value: &Option<Value>| values.given(value.as_ref()).is_some();
        match (is_given(&raw.cert_file), is_given(&raw.key_file)) {
            (true, false) => values.error("tls.key_file", "missing: the private key of cert_file"),
            (false, true) => values.error("tls.cert_file", "missing: the certificate of key_file"),
            _ => {}
        }
        let server_name = values.text("tls.server_name", raw.server_name.as_ref());
        let server_name = server_name.and_then(|name| {
            let parsed = ServerName::try_from(name).ok().filter(is_usable);
            if parsed.is_none() {
                values.error("tls.server_name", "expected a host name or an IP address");
            }
            parsed
        });
        let skip = values.flag(
            "tls.insecure_skip_verify",
            raw.insecure_skip_verify.as_ref(),
        );
        Self {
            ca_file,
            identity: certificate.zip(key),
            server_name,
            insecure_skip_verify: skip.unwrap_or(false),
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read, or is not under `secrets_dir`.
    pub(super) fn load(&self, secrets: &Secrets) -> Result<Loaded, Unresolved> {
        let read = |what, name: &String| secrets.file(what, name, MAX_FILE_BYTES);
        let ca = self.ca_file.as_ref().map(|name| read("ca_file", name));
        let identity = self.identity.as_ref().map(|(certificate, key)| {
            Ok((read("cert_file", certificate)?, read("key_file", key)?))
        });
        Ok(Loaded {
            ca: ca.transpose()?,
            identity: identity.transpose()?,
            server_name: self.server_name.clone(),
            insecure_skip_verify: self.insecure_skip_verify,
        })
    }
}

/// Reads the name of a file under `secrets_dir`.
fn file(values: &mut FieldReader, key: &str, value: Option<&Value>) -> Option<String> {
    let name = values.text(key, value)?;
    let climbs = Path::new(&name)
        .components()
        .any(|part| part == Component::ParentDir);
    if climbs || name.starts_with('$') || name.contains('\0') {
        values.error(
            key,
            "expected the name of a file under secrets_dir, without .. and without $file:",
        );
        return None;
    }
    Some(name)
}

impl Loaded {
    /// Returns the same without the client's certificate; `None` if there is none.
    pub(super) fn without_identity(&self) -> Option<Self> {
        self.identity.as_ref()?;
        Some(Self {
            ca: self.ca.clone(),
            identity: None,
            server_name: self.server_name.clone(),
            insecure_skip_verify: self.insecure_skip_verify,
        })
    }

    /// Returns the digest of the settings.
    pub(super) fn digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        let mut add = |part: Option<&[u8]>| {
            let len = part.map_or(u64::MAX, |part| part.len() as u64);
            context.update(&len.to_be_bytes());
            context.update(part.unwrap_or_default());
        };
        add(self.ca.as_deref());
        add(self
            .identity
            .as_ref()
            .map(|(certificate, _)| &certificate[..]));
        add(self.identity.as_ref().map(|(_, key)| &key[..]));
        let name = self.server_name.as_ref().map(ServerName::to_str);
        add(name.as_ref().map(|name| name.as_bytes()));
        add(Some(&[u8::from(self.insecure_skip_verify)]));
        let digest = context.finish();
        Digest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Returns the host name to request instead of the URL's; `None` for an address, which TLS cannot have in
    /// its `server_name`.
    pub(super) fn host(&self) -> Option<&str> {
        match &self.server_name {
            Some(ServerName::DnsName(name)) => Some(name.as_ref()),
            _ => None,
        }
    }

    /// Returns the settings for rustls.
    ///
    /// # Errors
    /// A file has no certificate or key, or they do not belong together.
    pub(super) fn config(&self, roots: TrustedRoots) -> Result<ClientConfig, String> {
        let trusted = match &self.ca {
            Some(pem) => certificates("ca_file", pem)?,
            None if self.insecure_skip_verify => Vec::new(),
            None => roots.certificates()?,
        };
        // Mozilla's are authorities, none of which is the certificate of a server.
        let may_be_servers = self.ca.is_some() || roots == TrustedRoots::System;
        let ip = match &self.server_name {
            Some(name @ ServerName::IpAddress(_)) => Some(name.clone()),
            _ => None,
        };
        let hides_name = ip.is_some();
        let verifier: Arc<dyn ServerCertVerifier> = match self.insecure_skip_verify {
            true => Arc::new(Unverified::default()),
            false => Arc::new(Verifier::new(trusted, may_be_servers, ip)?),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for them")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates("cert_file", certificate)?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|_| "tls.key_file has no private key in PEM".to_owned())?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    format!("tls.cert_file and tls.key_file cannot be used together: {error}")
                })?
            }
        };
        config.enable_sni = !hides_name;
        Ok(config)
    }
}

/// Replaces the host of a URL by a name; `None` if URLs read the name as an address, `0xa9fea9fe` for
/// instance: the client would connect to that address unchecked.
pub(super) fn with_name(mut url: Url, name: &str) -> Option<Url> {
    url.set_host(Some(name)).ok()?;
    ip_of(&url).is_none().then_some(url)
}

/// Returns true if a URL can have the name; an address is not put into one.
fn is_usable(name: &ServerName<'_>) -> bool {
    let any = || Url::parse("https://localhost/").expect("it is a URL");
    match name {
        ServerName::DnsName(name) => with_name(any(), name.as_ref()).is_some(),
        _ => true,
    }
}

/// Returns settings for URLs without TLS, which do not use them.
pub(super) fn unused() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for them")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("tls.{key} has no certificates in PEM")),
    }
}

/// Accepts what rustls accepts, and a certificate that is itself among the trusted ones, as Go does: one
/// that signs itself, made by `openssl req -x509`, says that it is an authority, and rustls accepts no
/// authority as a server.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    /// Certificates that may be those of servers.
    servers: Vec<CertificateDer<'static>>,
    /// The name that is verified instead of the URL's host.
    name: Option<ServerName<'static>>,
}

impl Verifier {
    fn new(
        trusted: Vec<CertificateDer<'static>>,
        may_be_servers: bool,
        name: Option<ServerName<'static>>,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let provider = Arc::new(provider::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self {
            inner: inner
                .map_err(|_| "no certificate that is to be trusted can be used".to_owned())?,
            servers: if may_be_servers { trusted } else { Vec::new() },
            name,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = self.name.as_ref().unwrap_or(server_name);
        let verified =
            self.inner
                .verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        match verified {
            // Both errors come after the check of the times, which are right therefore.
            Err(error)
                if is_about_issuer(&error) && self.servers.iter().any(|it| it == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
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

fn is_about_issuer(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
            matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> (Tls, Vec<String>) {
        let mut values = FieldReader::strict("config");
        let tls = Tls::read(&mut values, Some(&value));
        let errors = values.errors.iter().map(ToString::to_string);
        (tls, errors.collect())
    }

    #[test]
    fn keys_and_their_errors() {
        let (tls, errors) = read(json!({
            "ca_file": "ca.pem", "cert_file": "/run/secrets/client.crt", "key_file": "client.key",
            "server_name": "a.example", "insecure_skip_verify": false,
        }));
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(tls.ca_file.as_deref(), Some("ca.pem"));
        for (value, expected) in [
            (json!("hunter2"), "config.tls: expected an object"),
            (json!({"ca": "hunter2"}), "config.tls: unknown field `ca`"),
            (
                json!({"ca_file": "../hunter2"}),
                "config.tls.ca_file: expected the name of a file under secrets_dir",
            ),
            (
                json!({"ca_file": "$file:hunter2"}),
                "config.tls.ca_file: expected the name of a file under secrets_dir",
            ),
            (
                json!({"cert_file": "hunter2"}),
                "config.tls.key_file: missing",
            ),
            (
                json!({"key_file": "hunter2"}),
                "config.tls.cert_file: missing",
            ),
            (
                json!({"server_name": "hunter2 "}),
                "config.tls.server_name: expected a host name",
            ),
            (
                json!({"insecure_skip_verify": "hunter2"}),
                "config.tls.insecure_skip_verify: expected true or false",
            ),
        ] {
            let (_, errors) = read(value);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].starts_with(expected), "{errors:?}");
            assert!(!errors[0].contains("hunter2"), "{errors:?}");
        }
    }

    #[test]
    fn a_certificate_without_its_key_is_not_left_out() {
        for blank in [json!(""), json!(" "), json!("<KEY_FILE>"), Value::Null] {
            for (given, missing) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
                let mut values = FieldReader::lenient("config");
                Tls::read(&mut values, Some(&json!({given: "a.pem", missing: blank})));
                let [error] = &values.errors[..] else {
                    panic!("{:?}", values.errors);
                };
                let text = format!("config.tls.{missing}: missing");
                assert!(error.to_string().starts_with(&text), "{error}");
            }
        }
    }

    #[test]
    fn no_server_name_is_an_address_in_another_notation() {
        for name in [
            "0xa9fea9fe",
            "0XA9FEA9FE",
            "169.254.0xa9fe",
            "169.254.0xa9fe.",
            "0x7f.0x1",
        ] {
            assert!(ServerName::try_from(name).is_ok(), "{name}");
            let (tls, errors) = read(json!({"server_name": name}));
            assert_eq!(tls.server_name, None);
            assert_eq!(
                errors,
                ["config.tls.server_name: expected a host name or an IP address"]
            );
        }
        for name in [
            "169.254.20.10",
            "::1",
            "a.example",
            "A_b.example.",
            "0x.example",
        ] {
            let (tls, errors) = read(json!({"server_name": name}));
            assert!(tls.server_name.is_some() && errors.is_empty(), "{name}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let loaded = |ca: Option<&str>, identity: Option<(&str, &str)>| Loaded {
            ca: ca.map(|it| it.as_bytes().to_vec()),
            identity: identity.map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec())),
            server_name: None,
            insecure_skip_verify: false,
        };
        let error = |loaded: Loaded| loaded.config(TrustedRoots::Bundled).unwrap_err();
        let key = KeyPair::generate().unwrap();
        let other = KeyPair::generate().unwrap().serialize_pem();
        let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let text = error(loaded(Some("hunter2"), None));
        assert_eq!(text, "tls.ca_file has no certificates in PEM");
        let text = error(loaded(None, Some(("hunter2", &other))));
        assert_eq!(text, "tls.cert_file has no certificates in PEM");
        let text = error(loaded(None, Some((&pem, "hunter2"))));
        assert_eq!(text, "tls.key_file has no private key in PEM");
        let text = error(loaded(None, Some((&pem, &other))));
        assert!(
            text.starts_with("tls.cert_file and tls.key_file cannot"),
            "{text}"
        );
        let key = key.serialize_pem();
        let right = loaded(Some(&pem), Some((&pem, &key)));
        assert!(right.config(TrustedRoots::Bundled).is_ok());
        assert_ne!(right.digest(), loaded(Some(&pem), None).digest());
        assert_eq!(
            right.digest(),
            loaded(Some(&pem), Some((&pem, &key))).digest()
        );
    }

    /// Made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj
    /// /CN=localhost -addext subjectAltName=DNS:localhost`, whose key is deleted.
    const OPENSSL: &str = "\
-----BEGIN CERTIFICATE-----
MIIBljCCATugAwIBAgIUHAaBpLp4BLEEt0WkueGOAhnFQWwwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODA5NDUwM1oYDzIxMjYxMTA0
MDk0NTAzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAT8k32YE7Q0rZ8H8r+hD6A9XzxxeFbkEumeWspIPBqA4SJihA29URSG
BcMpKHU7nXYEJXvomNooOD5sUtsorfTBo2kwZzAdBgNVHQ4EFgQUq7R/ALRCciDz
g0th7bj3D+uPkUowHwYDVR0jBBgwFoAUq7R/ALRCciDzg0th7bj3D+uPkUowDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SQAwRgIhAK7IJMlge2cmi8/U2v99kJgNfmWf/NZPeQiu5kzvO1QBAiEApnIuiPlU
tnPNDaZX8omaLJgO6SoEvMEgzcKtelimOpo=
-----END CERTIFICATE-----
";

    #[test]
    fn a_certificate_of_openssl_is_accepted_as_ca_file() {
        let own = certificates("ca_file", OPENSSL.as_bytes())
            .unwrap()
            .remove(0);
        let verifier = Verifier::new(vec![own.clone()], true, None).unwrap();
        let check = |name: &'static str, year: u64| {
            let name = ServerName::try_from(name).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600));
            verifier.verify_server_cert(&own, &[], &name, &[], now)
        };
        check("localhost", 2030).unwrap();
        for (name, year) in [
            ("localhost", 2000),
            ("localhost", 2200),
            ("a.example", 2030),
        ] {
            assert!(check(name, year).is_err(), "{name} {year}");
        }
        // rustls alone does not accept it.
        let strict = Verifier::new(vec![own.clone()], false, None).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(60 * 31_557_600));
        let error = strict.verify_server_cert(&own, &[], &name, &[], now);
        assert!(
            format!("{error:?}").contains("CaUsedAsEndEntity"),
            "{error:?}"
        );
    }

    /// As `openssl req -x509` makes them: an authority that signs itself, and is the server too.
    #[test]
    fn a_certificate_among_the_trusted_ones_is_accepted_with_its_name_and_in_its_time() {
        let make = |is_ca: IsCa| {
            let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
            params.is_ca = is_ca;
            params.not_before = rcgen::date_time_ymd(1970, 1, 11);
            params.not_after = rcgen::date_time_ymd(1970, 1, 21);
            let key = KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().der().clone()
        };
        let authority = IsCa::Ca(BasicConstraints::Unconstrained);
        let trusted = [make(authority), make(IsCa::ExplicitNoCa)];
        let stranger = make(authority);
        let verifier = |may_be_servers| Verifier::new(trusted.to_vec(), may_be_servers, None);
        let verifier_of = verifier(true).unwrap();
        let check =
            |verifier: &Verifier, certificate: &CertificateDer<'_>, name: &str, day: u64| {
                let name = ServerName::try_from(name.to_owned()).unwrap();
                let now = UnixTime::since_unix_epoch(Duration::from_secs(day * 86_400));
                verifier
                    .verify_server_cert(certificate, &[], &name, &[], now)
                    .map(drop)
            };
        for certificate in &trusted {
            check(&verifier_of, certificate, "a.example", 15).unwrap();
            for (name, day) in [("b.example", 15), ("a.example", 5), ("a.example", 25)] {
                assert!(
                    check(&verifier_of, certificate, name, day).is_err(),
                    "{name} {day}"
                );
            }
        }
        assert!(check(&verifier_of, &stranger, "a.example", 15).is_err());
        let strict = verifier(false).unwrap();
        assert!(check(&strict, &trusted[0], "a.example", 15).is_err());
    }
}
