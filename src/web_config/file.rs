//! Reads a web configuration file, in the format of Prometheus' exporter toolkit:
//! <https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>.
//!
//! Settings that rustls or this server does not support are rejected, never ignored. All errors are reported
//! together; none of them contains a value that may be secret.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use saphyr::{Scalar, Yaml};

use super::users::Users;
use crate::fields::{FieldError, FieldErrors, join};
use crate::yaml;

/// The content of a file.
#[derive(Debug, Default)]
pub(super) struct WebFile {
    /// The TLS settings; `None` without TLS.
    pub(super) tls: Option<TlsSettings>,
    /// Headers of every response.
    pub(super) headers: HeaderMap,
    /// Users of basic authentication.
    pub(super) users: Users,
}

/// TLS settings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TlsSettings {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
    pub(super) client_auth: ClientAuth,
    /// The authorities of client certificates; present if and only if these are verified.
    pub(super) client_ca: Option<Pem>,
    /// A client's certificate must have one of these names; if empty, any name is accepted.
    pub(super) client_allowed_sans: Vec<San>,
    pub(super) versions: Versions,
    /// True if the server's order of cipher suites wins over the client's.
    pub(super) prefer_server_cipher_suites: bool,
}

/// The location of a PEM document.
#[derive(PartialEq, Eq)]
pub(super) enum Pem {
    Inline(String),
    File(PathBuf),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // It may be a private key.
            Self::Inline(_) => f.write_str("Inline"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// The requirements for client certificates, with the names of Go's `tls.ClientAuthType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    NoClientCert,
    RequestClientCert,
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    pub(super) fn verifies(self) -> bool {
        match self {
            Self::NoClientCert | Self::RequestClientCert | Self::RequireAnyClientCert => false,
            Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert => true,
        }
    }

    pub(super) fn requires(self) -> bool {
        match self {
            Self::NoClientCert | Self::RequestClientCert | Self::VerifyClientCertIfGiven => false,
            Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert => true,
        }
    }
}

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum San {
    Ip(IpAddr),
    /// A DNS name or a URI, compared exactly.
    Text(String),
}

/// The accepted versions of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    Tls12,
    Tls13,
    Both,
}

/// Headers that may be set, with the values that are accepted (none listed: any).
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// Parses the file; relative paths resolve against `directory`.
///
/// # Errors
/// All errors, each with the key and what was expected.
pub(super) fn parse(text: &str, directory: &Path) -> Result<WebFile, Vec<String>> {
    let documents = yaml::read(text).map_err(|error| vec![error])?;
    let mut errors = FieldErrors::default();
    let file = match documents.as_slice() {
        [] => WebFile::default(),
        [document] => file(document, directory, &mut errors),
        _ => {
            errors.add("", "has several documents; expected one");
            WebFile::default()
        }
    };
    errors.into_result(file).map_err(|errors| {
        let sentences = errors.iter().map(FieldError::sentence);
        sentences.collect()
    })
}

fn file(document: &Yaml<'_>, directory: &Path, errors: &mut FieldErrors) -> WebFile {
    const KEYS: &[&str] = &[
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
        "rate_limit",
    ];
    let section = Section::new("", document, Some(KEYS), errors);
    if section.get("rate_limit").is_some() {
        errors.add(
            "rate_limit",
            "is not supported; expected no such key (limit the rate in a proxy)",
        );
    }
    WebFile {
        tls: section
            .get("tls_server_config")
            .and_then(|node| tls(node, directory, errors)),
        headers: section
            .get("http_server_config")
            .map(|node| headers(node, errors))
            .unwrap_or_default(),
        users: section
            .get("basic_auth_users")
            .map(|node| users(node, errors))
            .unwrap_or_default(),
    }
}

fn tls(node: &Yaml<'_>, directory: &Path, errors: &mut FieldErrors) -> Option<TlsSettings> {
    const KEYS: &[&str] = &[
        "cert",
        "key",
        "client_ca",
        "cert_file",
        "key_file",
        "client_auth_type",
        "client_ca_file",
        "client_allowed_sans",
        "min_version",
        "max_version",
        "cipher_suites",
        "prefer_server_cipher_suites",
        "curve_preferences",
    ];
    let section = Section::new("tls_server_config", node, Some(KEYS), errors);
    if section.entries.is_empty() {
        return None;
    }
    for key in ["cipher_suites", "curve_preferences"] {
        let chosen = section.list(key, errors);
        if chosen.is_some_and(|chosen| !chosen.is_empty()) {
            errors.add(
                section.key(key),
                "is not supported: rustls has safe ones only; expected no such key",
            );
        }
    }
    let certificate = section.pem("cert", directory, errors);
    let key = section.pem("key", directory, errors);
    for (pem, key) in [(&certificate, "cert"), (&key, "key")] {
        if pem.is_none() {
            errors.add(
                section.key(key),
                format!("is missing; expected one of {key}_file and {key}"),
            );
        }
    }
    let client_auth = client_auth(&section, errors);
    let client_ca = section.pem("client_ca", directory, errors);
    let client_allowed_sans = section.list("client_allowed_sans", errors);
    // Without a known type the rest of it cannot be judged.
    if let Some(client_auth) = client_auth {
        check_client_auth(
            &section,
            client_auth,
            client_ca.is_some(),
            client_allowed_sans.is_some(),
            errors,
        );
    }
    if client_allowed_sans.as_ref().is_some_and(Vec::is_empty) {
        // The toolkit rejects all clients then, which cannot be intended.
        errors.add(
            section.key("client_allowed_sans"),
            "has no name; expected some, or no such key",
        );
    }
    let client_allowed_sans = sans(&section, client_allowed_sans.unwrap_or_default(), errors);
    let versions = versions(&section, errors);
    let prefer_server_cipher_suites = section
        .boolean("prefer_server_cipher_suites", errors)
        .unwrap_or(true);
    Some(TlsSettings {
        certificate: certificate?,
        key: key?,
        client_auth: client_auth?,
        client_ca,
        client_allowed_sans,
        versions,
        prefer_server_cipher_suites,
    })
}

fn client_auth(section: &Section<'_>, errors: &mut FieldErrors) -> Option<ClientAuth> {
    let name = section.text("client_auth_type", errors);
    match name.as_deref() {
        None | Some("NoClientCert") => Some(ClientAuth::NoClientCert),
        Some("RequestClientCert") => Some(ClientAuth::RequestClientCert),
        // The toolkit accepts its own old name too.
        Some("RequireAnyClientCert" | "RequireClientCert") => {
            Some(ClientAuth::RequireAnyClientCert)
        }
        Some("VerifyClientCertIfGiven") => Some(ClientAuth::VerifyClientCertIfGiven),
        Some("RequireAndVerifyClientCert") => Some(ClientAuth::RequireAndVerifyClientCert),
        Some(other) => {
            errors.add(
                section.key("client_auth_type"),
                format!(
                    "is {other:?}; expected NoClientCert, RequestClientCert, RequireAnyClientCert, \
                     VerifyClientCertIfGiven or RequireAndVerifyClientCert"
                ),
            );
            None
        }
    }
}

/// Checks that the settings about clients fit together.
fn check_client_auth(
    section: &Section<'_>,
    client_auth: ClientAuth,
    has_ca: bool,
    has_sans: bool,
    errors: &mut FieldErrors,
) {
    if client_auth.verifies() && !has_ca {
        errors.add(
            section.key("client_ca_file"),
            format!("is missing; expected one, as client_auth_type is {client_auth:?}"),
        );
    }
    if has_ca && !client_auth.verifies() {
        errors.add(
            section.key("client_ca_file"),
            format!(
                "is set while client_auth_type is {client_auth:?}; \
                 expected RequireAndVerifyClientCert or VerifyClientCertIfGiven"
            ),
        );
    }
    // A client that need not show a certificate need not show a name.
    if has_sans && !client_auth.requires() {
        errors.add(
            section.key("client_allowed_sans"),
            format!(
                "is set while client_auth_type is {client_auth:?}; \
                 expected RequireAndVerifyClientCert or RequireAnyClientCert"
            ),
        );
    }
}

fn sans(section: &Section<'_>, names: Vec<String>, errors: &mut FieldErrors) -> Vec<San> {
    for name in &names {
        if name.contains('@') && !name.contains("://") {
            errors.add(
                section.key("client_allowed_sans"),
                format!("has {name:?}; expected DNS names, IP addresses and URIs only"),
            );
        }
    }
    let san = |name: String| match name.parse() {
        Ok(address) => San::Ip(address),
        Err(_) => San::Text(name),
    };
    names.into_iter().map(san).collect()
}

fn versions(section: &Section<'_>, errors: &mut FieldErrors) -> Versions {
    let mut version = |key: &str, default| match section.text(key, errors).as_deref() {
        None => default,
        Some("TLS12") => 12,
        Some("TLS13") => 13,
        Some(other) => {
            errors.add(
                section.key(key),
                format!("is {other:?}; expected TLS12 or TLS13, as rustls has no older version"),
            );
            default
        }
    };
    match (version("min_version", 12), version("max_version", 13)) {
        (12, 12) => Versions::Tls12,
        (13, 13) => Versions::Tls13,
        (12, 13) => Versions::Both,
        _ => {
            errors.add(
                section.key("min_version"),
                "is above max_version; expected at most that",
            );
            Versions::Both
        }
    }
}

fn headers(node: &Yaml<'_>, errors: &mut FieldErrors) -> HeaderMap {
    let keys: &[&str] = &["http2", "headers"];
    let section = Section::new("http_server_config", node, Some(keys), errors);
    if section.boolean("http2", errors) == Some(true) {
        errors.add(
            section.key("http2"),
            "is true; expected false or no such key: this server speaks HTTP/1.1",
        );
    }
    let Some(node) = section.get("headers") else {
        return HeaderMap::new();
    };
    let section = Section::new("http_server_config.headers", node, None, errors);
    let mut headers = HeaderMap::new();
    for (name, _) in &section.entries {
        let Some((_, accepted)) = HEADERS.iter().find(|(known, _)| known == name) else {
            let known = HEADERS.map(|(name, _)| name).join(", ");
            errors.add(
                section.key(name),
                format!("cannot be configured; expected one of {known}"),
            );
            continue;
        };
        let Some(text) = section.text(name, errors) else {
            continue;
        };
        let value = HeaderValue::from_str(&text);
        match (HeaderName::from_bytes(name.as_bytes()), value) {
            (Ok(name), Ok(value)) if accepted.is_empty() || accepted.contains(&text.as_str()) => {
                headers.insert(name, value);
            }
            _ => {
                let expected = match accepted {
                    [] => "visible characters".to_owned(),
                    accepted => accepted.join(" or "),
                };
                errors.add(
                    section.key(name),
                    format!("is {text:?}; expected {expected}"),
                );
            }
        }
    }
    headers
}

fn users(node: &Yaml<'_>, errors: &mut FieldErrors) -> Users {
    let section = Section::new("basic_auth_users", node, None, errors);
    let mut users = Users::default();
    for (user, _) in &section.entries {
        let hash = section.text(user, errors).unwrap_or_default();
        if let Err(error) = users.insert(user, &hash) {
            errors.add("basic_auth_users:", error.to_string());
        }
    }
    users
}

/// A mapping of the file. Keys without a value count as not set.
struct Section<'a> {
    path: &'static str,
    entries: Vec<(String, &'a Yaml<'a>)>,
}

impl<'a> Section<'a> {
    /// Reads the entries of `node`; keys that are not `known` are errors.
    fn new(
        path: &'static str,
        node: &'a Yaml<'a>,
        known: Option<&[&str]>,
        errors: &mut FieldErrors,
    ) -> Self {
        let mut section = Self {
            path,
            entries: Vec::new(),
        };
        if node.is_null() {
            return section;
        }
        let Some(mapping) = node.as_mapping() else {
            let name = if path.is_empty() { "the file" } else { path };
            errors.add(name, "is not a mapping; expected key: value");
            return section;
        };
        for (key, value) in mapping {
            let Some(key) = key.as_str() else {
                // For example a number: its spelling is lost, and with it the name of a user.
                errors.add(
                    section.key("(key)"),
                    "is not a string; expected it in quotes",
                );
                continue;
            };
            match known {
                Some(known) if !known.contains(&key) => errors.add(
                    section.key(key),
                    format!("is unknown; expected one of {}", known.join(", ")),
                ),
                _ if value.is_null() && known.is_some() => {}
                _ => section.entries.push((key.to_owned(), value)),
            }
        }
        section
    }

    fn key(&self, key: &str) -> String {
        join(self.path, key)
    }

    fn get(&self, key: &str) -> Option<&'a Yaml<'a>> {
        let entry = self.entries.iter().find(|(name, _)| name == key);
        entry.map(|(_, value)| *value)
    }

    /// Returns a string; numbers are read as their digits (`X-XSS-Protection: 0`), an empty string as not set.
    fn text(&self, key: &str, errors: &mut FieldErrors) -> Option<String> {
        let text = match self.get(key)? {
            Yaml::Value(Scalar::String(text)) => text.to_string(),
            Yaml::Value(Scalar::Integer(number)) => number.to_string(),
            Yaml::Value(Scalar::Null) => String::new(),
            _ => {
                errors.add(self.key(key), "is not a string; expected one");
                return None;
            }
        };
        (!text.is_empty()).then_some(text)
    }

    fn boolean(&self, key: &str, errors: &mut FieldErrors) -> Option<bool> {
        let value = self.get(key)?.as_bool();
        if value.is_none() {
            errors.add(
                self.key(key),
                "is neither true nor false; expected one of them",
            );
        }
        value
    }

    fn list(&self, key: &str, errors: &mut FieldErrors) -> Option<Vec<String>> {
        let node = self.get(key)?;
        let texts = node.as_sequence().and_then(|nodes| {
            let texts = nodes.iter().map(|node| node.as_str().map(str::to_owned));
            texts.collect()
        });
        if texts.is_none() {
            errors.add(self.key(key), "is not a list of strings; expected one");
        }
        texts
    }

    /// Returns `<key>_file` or the inline `<key>`.
    fn pem(&self, key: &str, directory: &Path, errors: &mut FieldErrors) -> Option<Pem> {
        let inline = self.text(key, errors);
        let file = self.text(&format!("{key}_file"), errors);
        match (inline, file) {
            (None, None) => None,
            (Some(text), None) => Some(Pem::Inline(text)),
            (None, Some(path)) => Some(Pem::File(directory.join(path))),
            (Some(_), Some(_)) => {
                errors.add(
                    self.key(key),
                    format!("is set beside {key}_file; expected only one of them"),
                );
                // A value, so that it is not reported as missing too.
                Some(Pem::Inline(String::new()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

    fn parsed(text: &str) -> WebFile {
        parse(text, Path::new("/etc/web")).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
    }

    #[test]
    fn a_whole_file() {
        let file = parsed(&format!(
            "tls_server_config:
  cert_file: server.crt
  key_file: /keys/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca/clients.crt
  client_allowed_sans: [prometheus.example, 10.0.0.1, \"spiffe://example/prometheus\"]
  min_version: TLS13
  prefer_server_cipher_suites: false
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    X-XSS-Protection: 0
basic_auth_users:
  alice: {HASH}
"
        ));
        assert_eq!(
            file.tls,
            Some(TlsSettings {
                certificate: Pem::File("/etc/web/server.crt".into()),
                key: Pem::File("/keys/server.key".into()),
                client_auth: ClientAuth::RequireAndVerifyClientCert,
                client_ca: Some(Pem::File("/etc/web/ca/clients.crt".into())),
                client_allowed_sans: vec![
                    San::Text("prometheus.example".to_owned()),
                    San::Ip([10, 0, 0, 1].into()),
                    San::Text("spiffe://example/prometheus".to_owned()),
                ],
                versions: Versions::Tls13,
                prefer_server_cipher_suites: false,
            })
        );
        assert_eq!(file.headers["x-frame-options"], "deny");
        assert_eq!(file.headers["x-xss-protection"], "0");
        assert_eq!(format!("{:?}", file.users), "{\"alice\"}");
    }

    #[test]
    fn what_is_not_set_is_off() {
        for text in [
            "",
            "# nothing\n",
            "{}",
            "tls_server_config:\nbasic_auth_users:\nrate_limit:\n",
            "tls_server_config: {}\nhttp_server_config: {headers: {}}\n",
        ] {
            let file = parsed(text);
            assert_eq!(file.tls, None, "{text}");
            assert!(file.users.is_empty() && file.headers.is_empty(), "{text}");
        }
        let file =
            parsed("tls_server_config: {cert: C, key: K, client_auth_type: '', cipher_suites: []}");
        let tls = file.tls.unwrap();
        assert_eq!(tls.certificate, Pem::Inline("C".to_owned()));
        assert_eq!(tls.client_auth, ClientAuth::NoClientCert);
        assert_eq!(tls.versions, Versions::Both);
        assert!(tls.prefer_server_cipher_suites);
    }

    #[test]
    fn errors() {
        let tls = |more: &str| format!("tls_server_config: {{cert: C, key: K, {more}}}");
        let cases = [
            ("a: [", "line "),
            ("a: 1\na: 2", "line 2: duplicated key"),
            (
                &"- ".repeat(5_000),
                "line 1: more than 64 lists and mappings",
            ),
            ("text", "the file is not a mapping; expected key: value"),
            ("a: 1\n---\nb: 2", "has several documents"),
            (
                "tls_config: {}",
                "tls_config is unknown; expected one of tls_server_config,",
            ),
            (
                "rate_limit: {interval: 1s, burst: 3}",
                "rate_limit is not supported",
            ),
            ("tls_server_config: x", "tls_server_config is not a mapping"),
            (
                "tls_server_config: {key: K}",
                "tls_server_config.cert is missing; expected one of cert_file and cert",
            ),
            (
                "tls_server_config: {cert_file: C}",
                "tls_server_config.key is missing",
            ),
            (
                &tls("cert_file: f"),
                "tls_server_config.cert is set beside cert_file",
            ),
            (&tls("cafile: f"), "tls_server_config.cafile is unknown"),
            (
                &tls("cipher_suites: [TLS_AES_128_GCM_SHA256]"),
                "tls_server_config.cipher_suites is not supported",
            ),
            (
                &tls("curve_preferences: [X25519]"),
                "tls_server_config.curve_preferences is not supported",
            ),
            (
                &tls("min_version: TLS10"),
                "tls_server_config.min_version is \"TLS10\"; expected TLS12 or TLS13",
            ),
            (
                &tls("max_version: TLS11"),
                "tls_server_config.max_version is \"TLS11\"",
            ),
            (
                &tls("min_version: TLS13, max_version: TLS12"),
                "tls_server_config.min_version is above max_version",
            ),
            (
                &tls("client_auth_type: Always"),
                "tls_server_config.client_auth_type is \"Always\"; expected NoClientCert,",
            ),
            (
                &tls("client_auth_type: RequireAndVerifyClientCert"),
                "tls_server_config.client_ca_file is missing",
            ),
            (
                &tls("client_ca: A"),
                "tls_server_config.client_ca_file is set while client_auth_type is NoClientCert",
            ),
            (
                &tls("client_allowed_sans: [a]"),
                "tls_server_config.client_allowed_sans is set while",
            ),
            (
                &tls("client_auth_type: RequireAnyClientCert, client_allowed_sans: [a@b.example]"),
                "tls_server_config.client_allowed_sans has \"a@b.example\"",
            ),
            (
                &tls("client_auth_type: RequireAnyClientCert, client_allowed_sans: a"),
                "tls_server_config.client_allowed_sans is not a list of strings",
            ),
            (
                &tls("client_auth_type: RequireAnyClientCert, client_allowed_sans: []"),
                "tls_server_config.client_allowed_sans has no name",
            ),
            (
                &tls("prefer_server_cipher_suites: 3"),
                "tls_server_config.prefer_server_cipher_suites is neither",
            ),
            (
                "http_server_config: {http2: true}",
                "http_server_config.http2 is true",
            ),
            (
                "http_server_config: {headers: {Server: x}}",
                "http_server_config.headers.Server cannot be configured",
            ),
            (
                "http_server_config: {headers: {X-Frame-Options: allow}}",
                "http_server_config.headers.X-Frame-Options is \"allow\"; expected deny or sameorigin",
            ),
            (
                "http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}",
                "http_server_config.headers.X-XSS-Protection is",
            ),
            ("basic_auth_users: [a]", "basic_auth_users is not a mapping"),
            (
                "basic_auth_users: {alice: secret}",
                "basic_auth_users: the hash of user \"alice\" is not a bcrypt hash",
            ),
            (
                "basic_auth_users: {alice: }",
                "basic_auth_users: the hash of user \"alice\" is not a bcrypt hash",
            ),
            (
                "basic_auth_users: {12: secret}",
                "basic_auth_users.(key) is not a string",
            ),
        ];
        for (text, start) in cases {
            let Err(errors) = parse(text, Path::new("/")) else {
                panic!("{text} is accepted");
            };
            assert!(
                errors.iter().any(|error| error.starts_with(start)),
                "{text}\n{errors:#?}"
            );
            let shown = errors.join("\n");
            assert!(!shown.contains("secret"), "{shown}");
            if !text.contains("---") && start != "line " {
                assert_eq!(errors.len(), 1, "{text}\n{errors:#?}");
            }
        }
    }

    #[test]
    fn all_errors_are_reported_together() {
        let text = "x: 1\nrate_limit: {burst: 1}\nbasic_auth_users: {a: b}\ntls_server_config: {min_version: SSL30}";
        let errors = parse(text, Path::new("/")).unwrap_err();
        assert_eq!(errors.len(), 6, "{errors:#?}");
    }
}
