//! The keys of a `config` for outgoing calls, which all types have: credentials, headers, TLS, and
//! link-local addresses.

use http::{HeaderMap, HeaderName};
use reqwest::Url;
use serde_json::Value;

use super::address::Guard;
use super::auth::Auth;
use super::secret::{Secret, SecretRef, Secrets, Unresolved};
use super::tls::Tls;
use crate::fields::FieldReader;

/// Headers that the protocol or the connection sets. Those of Prometheus
/// (`ReservedHeaders` of its `common/config`), and the others that a request here sets itself.
const RESERVED: [&str; 24] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "retry-attempt",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
];

/// The checked settings of outgoing calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) auth: Auth,
    headers: Vec<(HeaderName, Secret)>,
    pub(super) tls: Tls,
    pub(super) allows_link_local: bool,
}

/// The keys as they were received, beside those of the credentials.
#[derive(Clone, Copy, Default)]
pub(super) struct Keys<'v> {
    pub(super) headers: Option<&'v Value>,
    pub(super) tls: Option<&'v Value>,
    pub(super) allow_link_local: Option<&'v Value>,
}

impl Outgoing {
    /// Returns settings of these credentials and nothing else.
    pub(super) fn of(auth: Auth) -> Self {
        Self {
            auth,
            ..Self::default()
        }
    }

    /// Reads the keys; `url` is the key of the server's address, with its value.
    pub(super) fn read(
        values: &mut FieldReader,
        auth: Auth,
        keys: Keys<'_>,
        url: (&str, Option<&Url>),
    ) -> Self {
        let headers = headers(values, keys.headers);
        let tls = Tls::read(values, keys.tls);
        let allowed = values.flag("allow_link_local", keys.allow_link_local);
        let allows_link_local = allowed.unwrap_or(false);
        // The addresses of a name are known when it is called.
        let guard = Guard::default().with_link_local(allows_link_local);
        let (key, url) = url;
        if let Some(Err(blocked)) = url.map(|url| guard.check_url(url)) {
            values.error(key, blocked.to_string());
        }
        Self {
            auth,
            headers,
            tls,
            allows_link_local,
        }
    }

    /// Returns the credentials and the other headers, with their values hidden from logs.
    ///
    /// # Errors
    /// A secret could not be resolved, or cannot be sent in a header.
    pub(super) fn header_map(&self, secrets: &Secrets) -> Result<HeaderMap, Unresolved> {
        let mut map = HeaderMap::new();
        for (name, secret) in &self.headers {
            let text = secret.resolve("header", secrets)?;
            map.insert(name, secret.header("header", &text)?);
        }
        if let Some(value) = self.auth.header(secrets)? {
            map.insert(http::header::AUTHORIZATION, value);
        }
        Ok(map)
    }
}

fn headers(values: &mut FieldReader, value: Option<&Value>) -> Vec<(HeaderName, Secret)> {
    let Some(value) = values.given(value) else {
        return Vec::new();
    };
    let Some(given) = value.as_object() else {
        let text = r#"expected an object of texts, such as {"X-Scope-OrgID": "team-a"}"#;
        values.error("headers", text);
        return Vec::new();
    };
    let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
    for (name, value) in given {
        let key = format!("headers.{name}");
        let Ok(name) = HeaderName::try_from(name) else {
            values.error(
                "headers",
                "expected names of headers: letters, digits, - and others that HTTP allows",
            );
            continue;
        };
        if RESERVED.contains(&name.as_str()) {
            let text = "the protocol sets this header; for credentials there is auth";
            values.error(&key, text);
        } else if headers.iter().any(|(known, _)| *known == name) {
            values.error(&key, "is given twice, in other letters");
        } else if let Some(secret) = header_value(values, &key, value) {
            headers.push((name, secret));
        }
    }
    headers
}

fn header_value(values: &mut FieldReader, key: &str, value: &Value) -> Option<Secret> {
    let Some(text) = value.as_str() else {
        values.error(
            key,
            "expected a string, or a reference such as $env:NAME or $file:NAME",
        );
        return None;
    };
    if text.starts_with("$env:") || text.starts_with("$file:") {
        return match SecretRef::parse(text) {
            Ok(reference) => Some(reference.into()),
            Err(error) => {
                values.error(key, error.to_string());
                None
            }
        };
    }
    let plain = Secret::Plain(text.to_owned());
    if plain.header("header", text).is_err() {
        values.error(
            key,
            "expected a string that a header can have, without line ends and control characters",
        );
        return None;
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: &Value) -> (Outgoing, Vec<String>) {
        let mut values = FieldReader::strict("config");
        let keys = Keys {
            headers: config.get("headers"),
            tls: config.get("tls"),
            allow_link_local: config.get("allow_link_local"),
        };
        let url = config.get("url").and_then(Value::as_str);
        let url = url.map(|url| Url::parse(url).unwrap());
        let outgoing = Outgoing::read(&mut values, Auth::None, keys, ("url", url.as_ref()));
        let errors = values.errors.iter().map(ToString::to_string);
        (outgoing, errors.collect())
    }

    #[test]
    fn headers_are_texts_or_references() {
        let (outgoing, errors) = read(&json!({"headers": {
            "X-Scope-OrgID": "team-a", "X-Api-Key": "$env:KEY", "X-Price": "$5",
        }}));
        assert!(errors.is_empty(), "{errors:?}");
        let secrets = Secrets::new(None, |name| (name == "KEY").then(|| "k3y".to_owned()));
        let map = outgoing.header_map(&secrets).unwrap();
        assert_eq!(map["x-scope-orgid"], "team-a");
        assert_eq!(map["x-api-key"], "k3y");
        assert_eq!(map["x-price"], "$5");
        assert!(map.values().all(http::HeaderValue::is_sensitive));
        assert!(!format!("{outgoing:?}").contains("team-a"));
        let none = Secrets::new(None, |_| None);
        let error = outgoing.header_map(&none).unwrap_err().to_string();
        assert_eq!(
            error,
            "header resolve: the variable KEY is not set, or empty"
        );
        for (headers, expected) in [
            (json!("hunter2"), "config.headers: expected an object"),
            (json!({"b b": "hunter2"}), "config.headers: expected names"),
            (
                json!({"X-A": 4_711}),
                "config.headers.X-A: expected a string, or a reference",
            ),
            (
                json!({"X-A": "hunter2\n"}),
                "config.headers.X-A: expected a string that a header can have",
            ),
            (
                json!({"X-A": "a", "x-a": "hunter2"}),
                "config.headers.x-a: is given twice",
            ),
            (
                json!({"X-A": "$env:AWS_SECRET_ACCESS_KEY"}),
                "config.headers.X-A: $env:AWS_SECRET_ACCESS_KEY is not for definitions",
            ),
            (
                json!({"Content-Type": "hunter2"}),
                "config.headers.Content-Type: the protocol sets this header",
            ),
            (
                json!({"authorization": "Bearer hunter2"}),
                "config.headers.authorization: the protocol sets this header",
            ),
        ] {
            let (_, errors) = read(&json!({"headers": headers}));
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].starts_with(expected), "{errors:?}");
            assert!(!errors[0].contains("hunter2") && !errors[0].contains("4711"));
        }
    }

    #[test]
    fn link_local_addresses_are_rejected_with_the_definition() {
        let (_, errors) = read(&json!({"url": "http://169.254.20.10:9253/metrics"}));
        assert_eq!(
            errors,
            [
                "config.url: 169.254.20.10 is not called: it is a link-local address; set \
              allow_link_local to true if it is meant"
            ]
        );
        let config = json!({"url": "http://169.254.20.10/", "allow_link_local": true});
        let (outgoing, errors) = read(&config);
        assert!(outgoing.allows_link_local && errors.is_empty());
        let (_, errors) = read(&json!({"url": "http://0xa9fea9fe/", "allow_link_local": true}));
        assert!(errors[0].contains("metadata service"), "{errors:?}");
    }
}
