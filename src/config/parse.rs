//! The texts of option values to types: `None` where a text is not one of the accepted forms.

use std::fmt;
use std::time::Duration;

/// What [`boolean`] accepts, for messages.
pub(super) const BOOLEANS: &str = "one of 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False";

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// The host, or `None` for all addresses of the machine.
    pub host: Option<String>,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl ListenAddress {
    /// All addresses, port 9201, the one that the connector has in Prometheus' list of ports.
    pub fn default_port() -> Self {
        Self {
            host: None,
            port: 9201,
        }
    }
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

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

pub(super) fn level(text: &str) -> Option<tracing::Level> {
    match text {
        "debug" => Some(tracing::Level::DEBUG),
        "info" => Some(tracing::Level::INFO),
        "warn" => Some(tracing::Level::WARN),
        "error" => Some(tracing::Level::ERROR),
        _ => None,
    }
}

/// `:9201`, `host:9201` or `[::1]:9201`.
pub(super) fn listen_address(text: &str) -> Option<ListenAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed
            .strip_suffix(']')
            .filter(|host| !host.is_empty())?,
        None if host.contains([':', ']', '/']) => return None,
        None => host,
    };
    Some(ListenAddress {
        host: (!host.is_empty()).then(|| host.to_owned()),
        port,
    })
}

/// A path that can stand beside the connector's own.
pub(super) fn telemetry_path(text: &str) -> Option<String> {
    let taken = ["/", "/write", "/read", "/-/healthy", "/-/ready"].contains(&text);
    let plain = text.starts_with('/') && !text.contains(['{', '}', '?', '#', ' ']);
    (plain && !taken).then(|| text.to_owned())
}

/// Numbers with units, largest unit first, as Prometheus writes durations: `1m30s`, `500ms`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut rest = text;
    let mut total_ms: u64 = 0;
    let mut largest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (_, unit_ms) = UNITS.iter().find(|(unit, _)| *unit == &rest[..unit_end])?;
        rest = &rest[unit_end..];
        if *unit_ms >= largest {
            return None;
        }
        largest = *unit_ms;
        total_ms = total_ms.checked_add(number.checked_mul(*unit_ms)?)?;
    }
    // A day is more than any request needs and keeps the clock from overflowing.
    (1..=86_400_000)
        .contains(&total_ms)
        .then(|| Duration::from_millis(total_ms))
}

/// A number of bytes, plain or with `KiB`, `MiB` or `GiB`.
pub(super) fn bytes(text: &str) -> Option<usize> {
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
    ((1 << 10)..=(1 << 30)).contains(&bytes).then_some(bytes)
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
            assert_eq!(listen_address(text), expected, "{text}");
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
                duration(text),
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
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn telemetry_paths() {
        assert_eq!(telemetry_path("/m"), Some("/m".to_owned()));
        for text in ["metrics", "/", "/write", "/{x}"] {
            assert_eq!(telemetry_path(text), None, "{text}");
        }
    }
}
