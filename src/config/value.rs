//! Parsers of option values, by type.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use otlp::TranslationStrategy;
use tracing::Level;

use super::StateStore;
use crate::dead_letter::DeadLetterTarget;
use crate::http::{CorsOrigin, PermanentErrorStatus};
use crate::ingest::OnDuplicate;
use crate::storage::write::route::is_destination_name;
use crate::telemetry::Format;
use crate::timestream::Discovery;
use crate::web_config::{BearerToken, Users};

/// A type of option values.
pub(super) trait Value: Sized {
    /// The accepted form, for messages.
    const EXPECTED: &str;
    /// True if messages must not contain the value.
    const SECRET: bool = false;

    /// Returns `None` if the string does not have an accepted form.
    fn parse(text: &str) -> Option<Self>;
}

impl Value for bool {
    const EXPECTED: &str = "one of 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => None,
        }
    }
}

impl Value for Level {
    const EXPECTED: &str = "debug, info, warn or error";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "debug" => Some(Self::DEBUG),
            "info" => Some(Self::INFO),
            "warn" => Some(Self::WARN),
            "error" => Some(Self::ERROR),
            _ => None,
        }
    }
}

impl Value for Format {
    const EXPECTED: &str = "logfmt or json";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "logfmt" => Some(Self::Logfmt),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Value for Discovery {
    const EXPECTED: &str = "auto, on or off";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "on" => Some(Self::On),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

impl Value for OnDuplicate {
    const EXPECTED: &str = "reject or overwrite";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "reject" => Some(Self::Reject),
            "overwrite" => Some(Self::Overwrite),
            _ => None,
        }
    }
}

impl Value for StateStore {
    const EXPECTED: &str = "file:DIR, or dynamodb: and the name or ARN of a table";

    fn parse(text: &str) -> Option<Self> {
        StateStore::parse(text)
    }
}

/// An existing folder.
pub(super) struct Folder(pub(super) PathBuf);

impl Value for Folder {
    const EXPECTED: &str = "a folder that exists";

    fn parse(text: &str) -> Option<Self> {
        let path = PathBuf::from(text);
        path.is_dir().then_some(Self(path))
    }
}

impl Value for DeadLetterTarget {
    const EXPECTED: &str =
        "file:DIR, or sqs:QUEUE_URL with the URL of a standard (not a FIFO) queue";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// A type of whole numbers in a range, with a message that names the same range.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident($number:ty) from $min:literal to $max:literal) => {
        $(#[$doc])*
        pub(super) struct $name(pub(super) $number);

        impl Value for $name {
            const EXPECTED: &str = concat!("a whole number from ", $min, " to ", $max);

            fn parse(text: &str) -> Option<Self> {
                let number = text.parse().ok()?;
                ($min..=$max).contains(&number).then_some(Self(number))
            }
        }
    };
}

bounded! {
    /// Samples in memory.
    QuerySamples(usize) from 1 to 1000000000
}

/// Features of PromQL, by the names that Prometheus gives them.
#[derive(Clone, Copy, Default)]
pub(super) struct Features {
    pub(super) experimental_functions: bool,
    pub(super) extended_range_selectors: bool,
    pub(super) fill_modifiers: bool,
    pub(super) delayed_name_removal: bool,
    pub(super) type_and_unit_labels: bool,
    pub(super) per_step_statistics: bool,
}

impl Value for Features {
    const EXPECTED: &str = "a comma-separated list of promql-experimental-functions, \
         promql-extended-range-selectors, promql-binop-fill-modifiers, promql-delayed-name-removal, \
         promql-per-step-stats and type-and-unit-labels";

    fn parse(text: &str) -> Option<Self> {
        let mut features = Self::default();
        for name in text.split(',') {
            match name.trim() {
                "promql-experimental-functions" => features.experimental_functions = true,
                "promql-extended-range-selectors" => features.extended_range_selectors = true,
                "promql-binop-fill-modifiers" => features.fill_modifiers = true,
                "promql-delayed-name-removal" => features.delayed_name_removal = true,
                "promql-per-step-stats" => features.per_step_statistics = true,
                "type-and-unit-labels" => features.type_and_unit_labels = true,
                _ => return None,
            }
        }
        Some(features)
    }
}

impl Value for TranslationStrategy {
    const EXPECTED: &str = "UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes, \
         NoUTF8EscapingWithSuffixes or NoTranslation";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Names of attributes.
#[derive(Default)]
pub(super) struct Attributes(pub(super) Vec<String>);

impl Value for Attributes {
    const EXPECTED: &str = "a comma-separated list of different names";

    fn parse(text: &str) -> Option<Self> {
        let names: Vec<_> = text.split(',').map(|it| it.trim().to_owned()).collect();
        let distinct: HashSet<_> = names.iter().collect();
        let is_valid = distinct.len() == names.len() && !names.iter().any(String::is_empty);
        is_valid.then_some(Self(names))
    }
}

bounded! {
    /// Attempts after the first one.
    Retries(u32) from 0 to 1000
}

bounded! {
    /// Clusters of replicated senders.
    Clusters(usize) from 1 to 10000
}

/// The name of a label that senders add to all their series.
pub(super) struct HaLabel(pub(super) String);

impl Value for HaLabel {
    const EXPECTED: &str = "the name of a label other than __name__";

    fn parse(text: &str) -> Option<Self> {
        (text != "__name__").then(|| Self(text.to_owned()))
    }
}

bounded! {
    /// Calls in flight.
    Concurrency(usize) from 1 to 10000
}

bounded! {
    /// Maximum samples of a result.
    SampleLimit(u64) from 1 to 1000000000000
}

impl Value for CorsOrigin {
    const EXPECTED: &str =
        r"a regular expression for whole origins, such as https://.*\.example\.com (.* admits all)";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// The status of a throttled write.
pub(super) struct ThrottledWriteStatus(pub(super) StatusCode);

impl Value for ThrottledWriteStatus {
    const EXPECTED: &str = "503 or 429";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "503" => Some(Self(StatusCode::SERVICE_UNAVAILABLE)),
            "429" => Some(Self(StatusCode::TOO_MANY_REQUESTS)),
            _ => None,
        }
    }
}

impl Value for PermanentErrorStatus {
    const EXPECTED: &str = "auto, aws or 400";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "aws" => Some(Self::Aws),
            "400" => Some(Self::BadRequest),
            _ => None,
        }
    }
}

/// The name of a database or table.
pub(super) struct DestinationName(pub(super) String);

impl Value for DestinationName {
    const EXPECTED: &str = "1 to 256 letters, digits, '_', '.' or '-'";

    fn parse(text: &str) -> Option<Self> {
        is_destination_name(text).then(|| Self(text.to_owned()))
    }
}

/// The name of a table, or none.
pub(super) struct OptionalTable(pub(super) Option<String>);

impl Value for OptionalTable {
    const EXPECTED: &str = "1 to 256 letters, digits, '_', '.' or '-', or off";

    fn parse(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(Self(None));
        }
        DestinationName::parse(text).map(|DestinationName(name)| Self(Some(name)))
    }
}

/// The name of a region.
pub(super) struct Region(pub(super) String);

impl Value for Region {
    const EXPECTED: &str = "the name of a region, such as eu-west-1";

    /// Accepts what can be a name: a list of regions would be out of date.
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split('-').collect();
        let (number, words) = parts.split_last()?;
        let is_word =
            |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_region = words.len() >= 2 && words.iter().all(is_word) && is_number;
        is_region.then(|| Self(text.to_owned()))
    }
}

/// An endpoint of the service.
pub(super) struct EndpointUrl(pub(super) String);

impl Value for EndpointUrl {
    const EXPECTED: &str = "a URL such as https://host";

    fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let usable = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        usable.then(|| Self(text.to_owned()))
    }
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// The host, or `None` for all addresses of the machine.
    pub host: Option<String>,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

/// `:9201`, `host:9201` or `[::1]:9201`.
impl Value for ListenAddress {
    const EXPECTED: &str = "a form like :9201 or 127.0.0.1:9201";

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let host = match host.strip_prefix('[') {
            Some(bracketed) => bracketed
                .strip_suffix(']')
                .filter(|host| !host.is_empty())?,
            None if host.contains([':', ']', '/']) => return None,
            None => host,
        };
        let host = (!host.is_empty()).then(|| host.to_owned());
        Some(Self { host, port })
    }
}

/// A path that differs from the connector's own.
pub(super) struct TelemetryPath(pub(super) String);

impl Value for TelemetryPath {
    const EXPECTED: &str =
        "a path in ASCII that starts with / and is not one of the connector's own";

    fn parse(text: &str) -> Option<Self> {
        // Clients send other characters escaped, and the router compares the escaped form.
        let is_uri = text.is_ascii()
            && text.starts_with('/')
            && http::Uri::try_from(text).is_ok_and(|uri| uri.path() == text);
        // The router reads these as the beginning of a parameter, in any segment.
        let has_parameter = text.contains(['{', '}']) || text.contains("/:") || text.contains("/*");
        let is_plain = is_uri && !has_parameter;
        (is_plain && !crate::http::is_own_path(text)).then(|| Self(text.to_owned()))
    }
}

impl Value for Users {
    const EXPECTED: &str =
        "user:bcrypt-hash, comma separated, each user once (htpasswd -nBC 10 USER makes an entry)";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Value for BearerToken {
    const EXPECTED: &str = "visible ASCII characters without spaces";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// Numbers with units, largest unit first, as Prometheus writes durations: `1m30s`, `500ms`.
impl Value for Duration {
    const EXPECTED: &str = "a duration from 1ms to 1d, such as 25s or 1m30s";

    fn parse(text: &str) -> Option<Self> {
        const UNITS: [(&str, u64); 5] = [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ];
        let mut rest = text;
        let mut total_ms: u64 = 0;
        let mut smallest_ms = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let unit = rest
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (_, unit_ms) = *UNITS.iter().find(|(name, _)| *name == &rest[..unit])?;
            rest = &rest[unit..];
            if unit_ms >= smallest_ms {
                return None;
            }
            smallest_ms = unit_ms;
            total_ms = total_ms.checked_add(number.checked_mul(unit_ms)?)?;
        }
        // A day is more than any request needs and prevents overflows of the clock.
        (1..=86_400_000)
            .contains(&total_ms)
            .then(|| Self::from_millis(total_ms))
    }
}

/// A limit in bytes, plain or with `KiB`, `MiB` or `GiB`.
pub(super) struct Bytes(pub(super) usize);

impl Value for Bytes {
    const EXPECTED: &str = "a size from 1KiB to 1GiB, such as 32MiB";

    fn parse(text: &str) -> Option<Self> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let unit: usize = match &text[digits..] {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        let bytes = text[..digits].parse::<usize>().ok()?.checked_mul(unit)?;
        ((1 << 10)..=(1 << 30))
            .contains(&bytes)
            .then_some(Self(bytes))
    }
}

/// The memory of a cache, 0 if there is none.
pub(super) struct CacheBytes(pub(super) usize);

impl Value for CacheBytes {
    const EXPECTED: &str = "0, or a size from 1KiB to 1GiB, such as 64MiB";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self(0)),
            text => Bytes::parse(text).map(|Bytes(bytes)| Self(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        let address = |host: Option<&str>, port| {
            Some(ListenAddress {
                host: host.map(str::to_owned),
                port,
            })
        };
        let cases = [
            (":9201", address(None, 9201)),
            ("0.0.0.0:1", address(Some("0.0.0.0"), 1)),
            ("localhost:0", address(Some("localhost"), 0)),
            ("[::1]:80", address(Some("::1"), 80)),
            ("9201", None),
            ("host:", None),
            ("host:65536", None),
            ("::1:80", None),
            ("[]:80", None),
        ];
        for (text, expected) in cases {
            assert_eq!(ListenAddress::parse(text), expected, "{text}");
            if let Some(address) = expected {
                assert_eq!(address.to_string(), text);
            }
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("25s", Some(25_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1s500ms", Some(1_500)),
            ("1d", Some(86_400_000)),
            ("0s", None),
            ("2d", None),
            ("30", None),
            ("s", None),
            ("1s1m", None),
            ("-1s", None),
            ("1.5s", None),
            ("99999999999999999999s", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Duration::parse(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("33554432", Some(32 << 20)),
            ("32MiB", Some(32 << 20)),
            ("1GiB", Some(1 << 30)),
            ("2GiB", None),
            ("10", None),
            ("MiB", None),
            ("1MB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Bytes::parse(text).map(|size| size.0), expected, "{text}");
        }
    }

    #[test]
    fn telemetry_paths() {
        let parse = |text| TelemetryPath::parse(text).map(|path| path.0);
        assert_eq!(parse("/m"), Some("/m".to_owned()));
        for text in [
            "",
            "metrics",
            "/",
            "/write",
            "/read",
            "/-/healthy",
            "/-/ready",
            "/v1/connectors",
            "/v1/connectors/",
            "/v1/connectors/a",
            "/v1/connectors/a/rows",
            "/{x}",
            "/a/{*x}",
            "/:x",
            "/a/*x",
            "/a b",
            "/a?b",
            "/a#b",
            "/a\nb",
            "//host/a b",
            "/é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        for text in [
            "/v1",
            "/v1/connectors2",
            "/write/",
            "/writes",
            "/-/metrics",
            "/a/b",
            "/a:b",
        ] {
            assert_eq!(parse(text).as_deref(), Some(text));
        }
    }
}
