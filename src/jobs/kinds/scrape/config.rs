//! The `config` of a definition of the type `prometheus`.

use std::collections::BTreeMap;
use std::time::Duration;

use exposition::Format;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::fields::{FieldErrors, FieldReader, object};
use crate::jobs::auth::Auth;
use crate::jobs::outgoing::{Keys, Outgoing};

/// Timeout of one attempt.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// Accepted values of `timeout_ms`.
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 100..=60_000;
/// Maximum bytes of a body: as many as remote write accepts, about 200,000 samples.
const DEFAULT_BODY_SIZE_LIMIT: usize = 32 << 20;
const BODY_SIZE_LIMIT: std::ops::RangeInclusive<u64> = 1..=1 << 30;

/// The checked settings of a definition.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The metrics URL.
    pub(super) endpoint: Url,
    /// Settings of the outgoing calls.
    pub(super) outgoing: Outgoing,
    /// Timeout of one attempt.
    pub(super) timeout: Duration,
    pub(super) body_size_limit: usize,
    /// Format of bodies whose media type is missing or unknown.
    pub(super) fallback: Option<Format>,
    /// Store samples with the timestamps of the target, if it exposes any.
    pub(super) honor_timestamps: bool,
    /// Prefer the labels of a series over the target's.
    pub(super) honor_labels: bool,
    /// Add the `target` labels, and series about the scrape.
    pub(super) adds_target_labels: bool,
    /// Labels of every series, by name; without `job` if that is the definition's name.
    target: BTreeMap<String, String>,
    /// Use the definition's name as the label `job`.
    job_is_name: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    endpoint: Option<Value>,
    auth: Option<Value>,
    headers: Option<Value>,
    tls: Option<Value>,
    allow_link_local: Option<Value>,
    timeout_ms: Option<Value>,
    body_size_limit: Option<Value>,
    fallback_protocol: Option<Value>,
    honor_timestamps: Option<Value>,
    honor_labels: Option<Value>,
    target_labels: Option<Value>,
    job: Option<Value>,
    labels: Option<Value>,
}

/// Prometheus' names of the formats.
const PROTOCOLS: [(&str, Format); 4] = [
    ("PrometheusText0.0.4", Format::Text),
    ("PrometheusText1.0.0", Format::Text),
    ("OpenMetricsText0.0.1", Format::OpenMetrics),
    ("OpenMetricsText1.0.0", Format::OpenMetrics),
];

impl Scrape {
    /// Checks a `config`.
    ///
    /// # Errors
    /// All errors in it.
    pub fn parse(config: &Value) -> Result<Self, FieldErrors> {
        let raw: Raw = object(config).map_err(|text| FieldErrors::one("config", text))?;
        let mut values = FieldReader::strict("config");
        if raw.endpoint.is_none() {
            let text = "missing: the URL to scrape, such as http://node-exporter:9100/metrics";
            values.error("endpoint", text);
        }
        let endpoint = values.url("endpoint", raw.endpoint.as_ref());
        let auth = Auth::read(&mut values, raw.auth.as_ref());
        let keys = Keys {
            headers: raw.headers.as_ref(),
            tls: raw.tls.as_ref(),
            allow_link_local: raw.allow_link_local.as_ref(),
        };
        let url = ("endpoint", endpoint.as_ref());
        let outgoing = Outgoing::read(&mut values, auth, keys, url);
        let timeout = values.number("timeout_ms", raw.timeout_ms.as_ref(), TIMEOUT_MS);
        let limit = values.number(
            "body_size_limit",
            raw.body_size_limit.as_ref(),
            BODY_SIZE_LIMIT,
        );
        let fallback = values.choice(
            "fallback_protocol",
            raw.fallback_protocol.as_ref(),
            &PROTOCOLS,
        );
        let mut flag = |key, value: &Option<Value>, default| {
            values.flag(key, value.as_ref()).unwrap_or(default)
        };
        let honor_timestamps = flag("honor_timestamps", &raw.honor_timestamps, false);
        let honor_labels = flag("honor_labels", &raw.honor_labels, false);
        let adds_target_labels = flag("target_labels", &raw.target_labels, true);
        // As in Prometheus, an empty value means no label.
        let has_no_job = raw.job.as_ref().is_some_and(|job| job == "");
        let job = match has_no_job {
            true => None,
            false => values.text("job", raw.job.as_ref()),
        };
        let is_job_given = has_no_job || job.is_some();
        let labels = labels(&mut values, raw.labels.as_ref());
        let without =
            "has no effect while target_labels is false; remove it, or set target_labels to true";
        if !adds_target_labels && is_job_given {
            values.error("job", without);
        }
        if !adds_target_labels && !labels.is_empty() {
            values.error("labels", without);
        }
        if is_job_given && labels.contains_key("job") {
            values.error("labels.job", "is already set by job; remove one of them");
        }
        match endpoint {
            Some(endpoint) if values.errors.is_empty() => Ok(Self {
                job_is_name: adds_target_labels && !is_job_given && !labels.contains_key("job"),
                target: match adds_target_labels {
                    true => target(&endpoint, job, labels),
                    false => BTreeMap::new(),
                },
                endpoint,
                outgoing,
                timeout: timeout.map_or(DEFAULT_TIMEOUT, Duration::from_millis),
                body_size_limit: limit.map_or(DEFAULT_BODY_SIZE_LIMIT, |limit| limit as usize),
                fallback,
                honor_timestamps,
                honor_labels,
                adds_target_labels,
            }),
            _ => Err(values.errors),
        }
    }

    /// Returns the labels of every series of the definition `name`, sorted by name.
    pub(super) fn target_labels(&self, name: &str) -> Vec<(String, String)> {
        let mut target = self.target.clone();
        if self.job_is_name {
            target.insert("job".to_owned(), name.to_owned());
        }
        target.into_iter().collect()
    }
}

/// Returns the labels of the target, without a `job` that is the definition's name.
fn target(
    endpoint: &Url,
    job: Option<String>,
    labels: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut target = labels;
    let instance = || instance(endpoint);
    target.entry("instance".to_owned()).or_insert_with(instance);
    if let Some(job) = job {
        target.insert("job".to_owned(), job);
    }
    target
}

/// Reads further labels.
fn labels(values: &mut FieldReader, value: Option<&Value>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let Some(value) = values.given(value) else {
        return labels;
    };
    let Some(given) = value.as_object() else {
        values.error("labels", "expected an object of strings");
        return labels;
    };
    for (name, value) in given {
        let key = format!("labels.{name}");
        if name.is_empty() || name.starts_with("__") {
            values.error(
                &key,
                "expected a non-empty name that does not begin with __",
            );
        }
        if value.is_null() {
            values.error(&key, "expected a non-empty string");
        } else if let Some(text) = values.text(&key, Some(value)) {
            labels.insert(name.clone(), text);
        }
    }
    labels
}

/// Returns host and port, with the default port if the URL has none.
fn instance(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    let port = endpoint.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(config: Value) -> Vec<String> {
        let errors = Scrape::parse(&config).expect_err("it is invalid");
        errors.messages()
    }

    #[test]
    fn an_endpoint_is_enough() {
        let scrape = Scrape::parse(&json!({"endpoint": "http://node:9100/metrics"})).unwrap();
        assert_eq!(scrape.endpoint.as_str(), "http://node:9100/metrics");
        assert_eq!(scrape.outgoing, Outgoing::default());
        assert_eq!(scrape.timeout, Duration::from_secs(5));
        assert_eq!(scrape.body_size_limit, 33_554_432);
        assert_eq!(scrape.fallback, None);
        assert!(!scrape.honor_timestamps && !scrape.honor_labels && scrape.adds_target_labels);
        let target = [("instance", "node:9100"), ("job", "node-1")];
        assert_eq!(
            scrape.target_labels("node-1"),
            target.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn labels_of_the_target() {
        let cases = [
            (json!({"endpoint": "http://a/m"}), "instance=a:80 job=name"),
            (json!({"endpoint": "https://a"}), "instance=a:443 job=name"),
            (
                json!({"endpoint": "https://[::1]:9100/m?x=1"}),
                "instance=[::1]:9100 job=name",
            ),
            (json!({"endpoint": "http://a", "job": ""}), "instance=a:80"),
            (
                json!({"endpoint": "http://a", "labels": {"job": "l"}}),
                "instance=a:80 job=l",
            ),
            (
                json!({"endpoint": "http://a", "job": "j"}),
                "instance=a:80 job=j",
            ),
            (
                json!({"endpoint": "http://a", "labels": {"instance": "i", "job": "j", "z": "1"}}),
                "instance=i job=j z=1",
            ),
            (json!({"endpoint": "http://a", "target_labels": false}), ""),
        ];
        for (config, expected) in cases {
            let scrape = Scrape::parse(&config).unwrap();
            let target = scrape.target_labels("name");
            let labels = target.iter().map(|(name, value)| format!("{name}={value}"));
            assert_eq!(labels.collect::<Vec<_>>().join(" "), expected, "{config}");
        }
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        let found = errors(json!({
            "endpoint": "ftp://x/metrics",
            "auth": "Bearer hunter2",
            "timeout_ms": 99,
            "body_size_limit": 0,
            "labels": {"__name__": "x", "zone": "", "job": "j", "n": 1, "o": null},
            "tls": {"key_file": "k"},
        }));
        let expected = [
            "config.endpoint: expected a URL that begins with http:// or https://",
            "config.auth: expected an object, such as {\"type\": \"bearer\", \"token_ref\": \
             \"$env:NAME\"}",
            "config.tls.cert_file: missing: the certificate of key_file",
            "config.timeout_ms: expected a whole number from 100 to 60000",
            "config.body_size_limit: expected a whole number from 1 to 1073741824",
            "config.labels.__name__: expected a non-empty name that does not begin with __",
            "config.labels.n: expected a non-empty string",
            "config.labels.o: expected a non-empty string",
            "config.labels.zone: expected a non-empty string",
        ];
        assert_eq!(found, expected);
        let found = errors(json!({
            "endpoint": "http://a", "target_labels": false, "job": "j", "labels": {"a": "b"}
        }));
        assert_eq!(found.len(), 2);
        let found = errors(json!({"endpoint": "http://a", "job": "j", "labels": {"job": "b"}}));
        assert_eq!(
            found,
            ["config.labels.job: is already set by job; remove one of them"]
        );
    }

    #[test]
    fn no_error_repeats_a_value() {
        let cases = [
            (json!({}), "config.endpoint: missing"),
            (
                json!({"endpoint": 4_711}),
                "config.endpoint: expected a non-empty string",
            ),
            (
                json!({"endpoint": "http://a", "tiemout_ms": 1}),
                "config: unknown field `tiemout_ms`",
            ),
            (
                json!({"endpoint": "http://a", "timeout_ms": "hunter2"}),
                "config.timeout_ms: expected a whole number from 100 to 60000",
            ),
            (
                json!({"endpoint": "http://a", "timeout_ms": -4_711}),
                "config.timeout_ms: expected a whole number from 100 to 60000",
            ),
            (
                json!({"endpoint": "http://a", "fallback_protocol": "hunter2"}),
                "config.fallback_protocol: expected one of PrometheusText0.0.4",
            ),
            (
                json!({"endpoint": "http://a", "auth": {"type": "bearer", "token_ref": 4_711}}),
                "config.auth.token_ref: expected a reference to a secret",
            ),
            (
                json!({"endpoint": "http://a", "labels": "hunter2"}),
                "config.labels: expected an object of strings",
            ),
            (json!(["hunter2"]), "config: expected an object"),
            (
                json!({"endpoint": "http://u:hunter2@a/m"}),
                "config.endpoint: user and password do not belong into the URL",
            ),
            (
                json!({"endpoint": "http://u@a/m"}),
                "config.endpoint: user and password do not belong into the URL",
            ),
        ];
        for (config, expected) in cases {
            let found = errors(config.clone());
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(expected), "{config}: {found:?}");
            assert!(!found[0].contains("hunter2") && !found[0].contains("4711"));
        }
        for endpoint in [
            "",
            "node:9100",
            "/metrics",
            "http://",
            "http://a/#x",
            "http://a b/",
        ] {
            let found = errors(json!({"endpoint": endpoint}));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("config.endpoint: "), "{found:?}");
        }
    }
}
