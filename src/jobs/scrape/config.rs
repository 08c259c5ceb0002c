//! The `config` of a definition: what is accepted, and what it means.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::super::auth::Auth;
use super::super::client::{self, UrlFault};
use super::super::run::Fault;
use crate::exposition::Format;

/// Milliseconds of one attempt.
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 100..=60_000;
/// Bytes of a body: as many as remote write takes, some 200,000 samples.
const DEFAULT_BODY_SIZE_LIMIT: usize = 32 << 20;
const BODY_SIZE_LIMIT: std::ops::RangeInclusive<usize> = 1..=1 << 30;

/// What a definition asks for, checked.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// What is fetched.
    pub(super) endpoint: Url,
    pub(super) auth: Auth,
    /// Of one attempt.
    pub(super) timeout: Duration,
    pub(super) body_size_limit: usize,
    /// What is read where the media type says nothing.
    pub(super) fallback: Option<Format>,
    /// Whether samples keep their own times.
    pub(super) honor_timestamps: bool,
    /// Whether the target's labels win over ours.
    pub(super) honor_labels: bool,
    /// Whether there are `target` labels and series about the scrape.
    pub(super) adds_target_labels: bool,
    /// Labels that go on every series, by name, but for a `job` that is the definition's name.
    target: BTreeMap<String, String>,
    /// Whether the label `job` is the definition's name.
    job_is_name: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    endpoint: String,
    #[serde(default)]
    auth: Auth,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
    #[serde(default = "default_body_size_limit")]
    body_size_limit: usize,
    fallback_protocol: Option<Protocol>,
    #[serde(default)]
    honor_timestamps: bool,
    #[serde(default)]
    honor_labels: bool,
    #[serde(default = "yes")]
    target_labels: bool,
    job: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Prometheus' names of the formats.
#[derive(Clone, Copy, Deserialize)]
enum Protocol {
    #[serde(rename = "PrometheusText0.0.4")]
    Text0,
    #[serde(rename = "PrometheusText1.0.0")]
    Text1,
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetrics0,
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetrics1,
}

fn default_timeout_ms() -> u64 {
    5_000
}

fn default_body_size_limit() -> usize {
    DEFAULT_BODY_SIZE_LIMIT
}

fn yes() -> bool {
    true
}

impl Scrape {
    /// Checks a `config`.
    ///
    /// # Errors
    /// All its faults; where it has not the right form, the first.
    pub fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let given = Given::deserialize(config).map_err(|error| Fault::config(&error))?;
        let mut faults = Vec::new();
        let mut fault = |key: &str, text: String| {
            faults.push(Fault::new(format!("config.{key}"), text));
        };
        let endpoint = endpoint(&given.endpoint);
        if let Err(text) = &endpoint {
            fault("endpoint", text.clone());
        }
        if !TIMEOUT_MS.contains(&given.timeout_ms) {
            let text = format!(
                "expected 100 to 60000 milliseconds, not {}",
                given.timeout_ms
            );
            fault("timeout_ms", text);
        }
        if !BODY_SIZE_LIMIT.contains(&given.body_size_limit) {
            let limit = given.body_size_limit;
            let text = format!("expected 1 to 1073741824 bytes (1 GiB), not {limit}");
            fault("body_size_limit", text);
        }
        for (key, text) in label_faults(&given) {
            fault(&key, text);
        }
        match endpoint {
            Ok(endpoint) if faults.is_empty() => Ok(Self::of(given, endpoint)),
            _ => Err(faults),
        }
    }

    fn of(given: Given, endpoint: Url) -> Self {
        let mut target = given.labels;
        let job_is_name = given.target_labels && given.job.is_none() && !target.contains_key("job");
        if given.target_labels {
            let instance = || instance(&endpoint);
            target.entry("instance".to_owned()).or_insert_with(instance);
            // As in Prometheus, a label without a value is none.
            if let Some(job) = given.job.filter(|job| !job.is_empty()) {
                target.insert("job".to_owned(), job);
            }
        }
        Self {
            endpoint,
            auth: given.auth,
            timeout: Duration::from_millis(given.timeout_ms),
            body_size_limit: given.body_size_limit,
            fallback: given.fallback_protocol.map(|protocol| match protocol {
                Protocol::Text0 | Protocol::Text1 => Format::Text,
                Protocol::OpenMetrics0 | Protocol::OpenMetrics1 => Format::OpenMetrics,
            }),
            honor_timestamps: given.honor_timestamps,
            honor_labels: given.honor_labels,
            adds_target_labels: given.target_labels,
            target,
            job_is_name,
        }
    }

    /// Returns the labels that go on every series of the definition `name`, sorted by name.
    pub(super) fn target_labels(&self, name: &str) -> Vec<(String, String)> {
        let mut target = self.target.clone();
        if self.job_is_name {
            target.insert("job".to_owned(), name.to_owned());
        }
        target.into_iter().collect()
    }
}

fn endpoint(text: &str) -> Result<Url, String> {
    let expected = "expected a URL, http://HOST[:PORT]/PATH or https://...";
    client::url(text).map_err(|fault| match fault {
        UrlFault::Invalid(error) => format!("{expected}: {error}"),
        UrlFault::Scheme(scheme) => format!("{expected}, not {scheme}:"),
        UrlFault::Credentials => "user and password belong in auth, not in the URL".to_owned(),
        UrlFault::Fragment => format!("{expected}, without #"),
    })
}

/// Host and port, the latter also where the URL goes without.
fn instance(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    let port = endpoint.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}")
}

/// What is wrong with labels, by key.
fn label_faults(given: &Given) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, text: &str| faults.push((key.to_owned(), text.to_owned()));
    let without = "goes on series by target_labels, which is false";
    if !given.target_labels && given.job.is_some() {
        fault("job", without);
    }
    if !given.target_labels && !given.labels.is_empty() {
        fault("labels", without);
    }
    if given.job.is_some() && given.labels.contains_key("job") {
        fault("labels.job", "is given by job already");
    }
    for (name, value) in &given.labels {
        let key = format!("labels.{name}");
        if name.is_empty() || name.starts_with("__") {
            fault(
                &key,
                "expected a name that is not empty and does not begin with __",
            );
        }
        if value.is_empty() {
            fault(&key, "expected a text that is not empty");
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(config: Value) -> Vec<String> {
        let faults = Scrape::parse(&config).expect_err("it is faulty");
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_endpoint_is_enough() {
        let scrape = Scrape::parse(&json!({"endpoint": "http://node:9100/metrics"})).unwrap();
        assert_eq!(scrape.endpoint.as_str(), "http://node:9100/metrics");
        assert_eq!(scrape.auth, Auth::default());
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
            let shown = target.iter().map(|(name, value)| format!("{name}={value}"));
            assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{config}");
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let found = faults(json!({
            "endpoint": "ftp://x/metrics",
            "timeout_ms": 99,
            "body_size_limit": 0,
            "job": "k",
            "labels": {"__name__": "x", "zone": "", "job": "j"},
        }));
        let expected = [
            "config.endpoint: expected a URL, http://HOST[:PORT]/PATH or https://..., not ftp:",
            "config.timeout_ms: expected 100 to 60000 milliseconds, not 99",
            "config.body_size_limit: expected 1 to 1073741824 bytes (1 GiB), not 0",
            "config.labels.job: is given by job already",
            "config.labels.__name__: expected a name that is not empty and does not begin with __",
            "config.labels.zone: expected a text that is not empty",
        ];
        assert_eq!(found, expected);
        let found = faults(json!({
            "endpoint": "http://a", "target_labels": false, "job": "j", "labels": {"a": "b"}
        }));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_has_not_the_right_form_is_refused_in_serdes_words() {
        let cases = [
            (json!({}), "config: missing field `endpoint`"),
            (
                json!({"endpoint": 1}),
                "config: invalid type: integer `1`, expected a string",
            ),
            (
                json!({"endpoint": "http://a", "tiemout_ms": 1}),
                "config: unknown field `tiemout_ms`",
            ),
            (
                json!({"endpoint": "http://a", "timeout_ms": "5s"}),
                "config: invalid type: string",
            ),
            (
                json!({"endpoint": "http://a", "timeout_ms": -1}),
                "config: invalid value: integer",
            ),
            (
                json!({"endpoint": "http://a", "fallback_protocol": "text"}),
                "config: unknown variant `text`, expected one of `PrometheusText0.0.4`",
            ),
            (
                json!({"endpoint": "http://a", "auth": {"type": "bearer"}}),
                "config: missing field `token_ref`",
            ),
            (json!([]), "config: "),
        ];
        for (config, expected) in cases {
            let found = faults(config.clone());
            assert!(found[0].starts_with(expected), "{config}: {found:?}");
        }
    }

    #[test]
    fn credentials_do_not_belong_in_the_url() {
        for endpoint in ["http://u:p4ss@a/m", "http://u@a/m"] {
            let found = faults(json!({"endpoint": endpoint}));
            assert_eq!(
                found,
                ["config.endpoint: user and password belong in auth, not in the URL"]
            );
        }
        for endpoint in [
            "",
            "node:9100",
            "/metrics",
            "http://",
            "http://a/#x",
            "http://a b/",
        ] {
            let found = faults(json!({"endpoint": endpoint}));
            assert!(
                found[0].starts_with("config.endpoint: expected a URL"),
                "{found:?}"
            );
        }
    }
}
