//! The `config` of a sink.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::row::{Fields, timestamp_ms};
use crate::backoff::{Backoff, Jitter};
use crate::fields::{FieldErrors, FieldReader, object};
use crate::jobs::auth::Auth;
use crate::jobs::outgoing::{Keys, Outgoing};
use crate::storage::destination::Destination;
use crate::storage::limits::MAX_QUERY_BYTES;
use crate::storage::write::route::is_destination_name;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// The checked settings of a sink.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The remote-write endpoint.
    pub(super) url: Url,
    /// The names of the fields of a row.
    pub(super) fields: Fields,
    /// The settings by which it is called.
    pub(super) outgoing: Outgoing,
    pub(super) protocol: Protocol,
    pub(super) backoff: Backoff,
    /// The longest time to connect.
    pub(super) connect_timeout: Duration,
    /// The longest time for a response of the endpoint.
    pub(super) socket_timeout: Duration,
    /// Samples of one request.
    pub(super) batch_size: usize,
    /// The longest time for which a sample waits for others.
    pub(super) flush_interval: Duration,
    /// The sources of rows, beside those that are pushed.
    pub(super) sources: Vec<Source>,
    /// Milliseconds before the present that are left for the next run, of a table without an end.
    pub(super) lateness_ms: i64,
}

/// The versions of remote write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Source {
    /// Identifies it among the sources.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Query(query) => query.clone(),
            Self::Table {
                destination,
                metrics,
                ..
            } => match metrics.as_slice() {
                [] => destination.to_string(),
                some => format!("{destination} {}", some.join(",")),
            },
        }
    }
}

/// A source of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The series of a table, as this connector stores them.
    Table {
        destination: Destination,
        /// All, if there are none.
        metrics: Vec<String>,
        /// First millisecond; that of the oldest row, if absent.
        start_ms: Option<i64>,
        /// First millisecond after it; when the run starts, if absent.
        end_ms: Option<i64>,
    },
    /// The rows of a query.
    Query(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    url: Option<Value>,
    key_label: Option<Value>,
    key_value: Option<Value>,
    key_timestamp: Option<Value>,
    headers: Option<Value>,
    tls: Option<Value>,
    allow_link_local: Option<Value>,
    retry: Option<Value>,
    retry_backoff_multiplier_ms: Option<Value>,
    retry_backoff_max_ms: Option<Value>,
    connect_timeout_ms: Option<Value>,
    socket_timeout_ms: Option<Value>,
    batch_size: Option<Value>,
    flush_interval: Option<Value>,
    auth: Option<Value>,
    protobuf_message: Option<Value>,
    source: Option<Value>,
    lateness_ms: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    query: Option<Value>,
    database: Option<Value>,
    table: Option<Value>,
    metrics: Option<Value>,
    start: Option<Value>,
    end: Option<Value>,
}

impl Settings {
    /// Reads a `config`.
    ///
    /// # Errors
    /// All errors of the configuration.
    pub(super) fn parse(config: &Value) -> Result<Self, FieldErrors> {
        let raw: Raw = object(config).map_err(|text| FieldErrors::one("config", text))?;
        let mut values = FieldReader::strict("config");
        let sources = sources(&mut values, raw.source.as_ref());
        let url = match &raw.url {
            Some(url) => values.url("url", Some(url)),
            None => {
                values.error(
                    "url",
                    "missing: where rows go, a form like http://prometheus:9090/api/v1/write",
                );
                None
            }
        };
        // The rows of a table have no such fields.
        let needs_fields = sources.is_empty()
            || sources
                .iter()
                .any(|source| matches!(source, Source::Query(_)));
        let mut field = |key: &str, value: Option<&Value>, what: &str| {
            if value.is_none() && needs_fields {
                values.error(
                    key,
                    format!("missing: the field of a row that holds {what}"),
                );
            }
            values.text(key, value).unwrap_or_default()
        };
        let fields = Fields {
            labels: field("key_label", raw.key_label.as_ref(), "its labels"),
            value: field("key_value", raw.key_value.as_ref(), "its value"),
            timestamp: values.text("key_timestamp", raw.key_timestamp.as_ref()),
        };
        let auth = Auth::read(&mut values, raw.auth.as_ref());
        let keys = Keys {
            headers: raw.headers.as_ref(),
            tls: raw.tls.as_ref(),
            allow_link_local: raw.allow_link_local.as_ref(),
        };
        let outgoing = Outgoing::read(&mut values, auth, keys, ("url", url.as_ref()));
        let ms = Duration::from_millis;
        let mut number = |key, value: &Option<Value>, range, default| {
            values.number(key, value.as_ref(), range).unwrap_or(default)
        };
        let backoff = Backoff {
            max_retries: number("retry", &raw.retry, 0..=1_000, 3) as u32,
            base: ms(number(
                "retry_backoff_multiplier_ms",
                &raw.retry_backoff_multiplier_ms,
                1..=DAY_MS,
                100,
            )),
            cap: ms(number(
                "retry_backoff_max_ms",
                &raw.retry_backoff_max_ms,
                1..=DAY_MS,
                10_000,
            )),
            jitter: Jitter::None,
        };
        let connect = number(
            "connect_timeout_ms",
            &raw.connect_timeout_ms,
            1..=10 * MINUTE_MS,
            12_000,
        );
        let socket = number(
            "socket_timeout_ms",
            &raw.socket_timeout_ms,
            1..=60 * MINUTE_MS,
            60_000,
        );
        let batch_size = number("batch_size", &raw.batch_size, 1..=100_000, 1_024);
        let flush = number("flush_interval", &raw.flush_interval, 1..=DAY_MS, 300_000);
        let lateness = number("lateness_ms", &raw.lateness_ms, 0..=DAY_MS, MINUTE_MS);
        let messages = [
            ("1.0", Protocol::V1),
            ("2.0", Protocol::V2),
            ("prometheus.WriteRequest", Protocol::V1),
            ("io.prometheus.write.v2.Request", Protocol::V2),
        ];
        let protocol = values.choice("protobuf_message", raw.protobuf_message.as_ref(), &messages);
        match url {
            Some(url) if values.errors.is_empty() => Ok(Self {
                url,
                fields,
                outgoing,
                protocol: protocol.unwrap_or(Protocol::V1),
                backoff,
                connect_timeout: ms(connect),
                socket_timeout: ms(socket),
                batch_size: batch_size as usize,
                flush_interval: ms(flush),
                sources,
                lateness_ms: lateness.cast_signed(),
            }),
            _ => Err(values.errors),
        }
    }
}

/// One source, or a list of them.
fn sources(values: &mut FieldReader, source: Option<&Value>) -> Vec<Source> {
    match source {
        None => Vec::new(),
        Some(Value::Array(all)) => {
            let mut sources: Vec<Source> = Vec::new();
            for (index, source) in all.iter().enumerate() {
                let key = format!("source[{index}]");
                let Some(source) = one_source(values, &key, source) else {
                    continue;
                };
                if sources.iter().any(|it| it.name() == source.name()) {
                    values.error(&key, "this is the same as one before it");
                }
                sources.push(source);
            }
            sources
        }
        Some(one) => one_source(values, "source", one).into_iter().collect(),
    }
}

fn one_source(values: &mut FieldReader, key: &str, source: &Value) -> Option<Source> {
    let raw: RawSource = match object(source) {
        Ok(raw) => raw,
        Err(text) => {
            values.error(key, text);
            return None;
        }
    };
    let metrics = names(values, &format!("{key}.metrics"), raw.metrics.as_ref());
    let mut text = |name: &str, value: Option<&Value>| values.text(&format!("{key}.{name}"), value);
    let query = text("query", raw.query.as_ref());
    let database = text("database", raw.database.as_ref());
    let table = text("table", raw.table.as_ref());
    if let Some(query) = query {
        let others = raw.database.is_some()
            || raw.table.is_some()
            || raw.metrics.is_some()
            || raw.start.is_some()
            || raw.end.is_some();
        if others {
            values.error(
                key,
                "a query stands alone: no database, table, metrics, start and end",
            );
        }
        if query.len() > MAX_QUERY_BYTES {
            values.error(
                key,
                format!("the query has more than {MAX_QUERY_BYTES} bytes"),
            );
        }
        return Some(Source::Query(query));
    }
    let (Some(database), Some(table)) = (database, table) else {
        values.error(key, "expected a query, or database and table");
        return None;
    };
    for (name, text) in [("database", &database), ("table", &table)] {
        if !is_destination_name(text) {
            values.error(
                &format!("{key}.{name}"),
                "expected a name that Timestream can have: 1 to 256 letters, digits, '_', '.' and '-'",
            );
        }
    }
    let mut time = |name: &str, value: Option<&Value>| {
        let value = value?;
        let time = timestamp_ms(value).ok().filter(|ms| *ms >= 0);
        if time.is_none() {
            let text = "expected milliseconds since 1970, or a form like 2026-01-31T00:00:00Z";
            values.error(&format!("{key}.{name}"), text);
        }
        time
    };
    let start_ms = time("start", raw.start.as_ref());
    let end_ms = time("end", raw.end.as_ref());
    if let (Some(start), Some(end)) = (start_ms, end_ms)
        && start >= end
    {
        let show = |ms| Timestamp::from_millisecond(ms).map_or(String::new(), |it| it.to_string());
        values.error(
            key,
            format!("end ({}) is not after start ({})", show(end), show(start)),
        );
    }
    Some(Source::Table {
        destination: Destination { database, table },
        metrics,
        start_ms,
        end_ms,
    })
}

/// A list of names.
fn names(values: &mut FieldReader, key: &str, value: Option<&Value>) -> Vec<String> {
    let Some(value) = values.given(value) else {
        return Vec::new();
    };
    let names = value.as_array().and_then(|all| {
        let names = all.iter().map(|name| name.as_str().map(str::to_owned));
        names.collect::<Option<Vec<_>>>()
    });
    if names.is_none() {
        values.error(key, "expected a list of names");
    }
    names.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(config: &Value) -> Vec<String> {
        Settings::parse(config).unwrap_err().messages()
    }

    #[test]
    fn defaults() {
        let settings = Settings::parse(&json!({
            "url": "http://p:9090/api/v1/write", "key_label": "l", "key_value": "v",
        }))
        .unwrap();
        let ms = Duration::from_millis;
        let backoff = Backoff {
            max_retries: 3,
            base: ms(100),
            cap: ms(10_000),
            jitter: Jitter::None,
        };
        assert_eq!(settings.backoff, backoff);
        assert_eq!(settings.connect_timeout, ms(12_000));
        assert_eq!(settings.socket_timeout, ms(60_000));
        assert_eq!(settings.flush_interval, ms(300_000));
        assert_eq!(settings.batch_size, 1024);
        assert_eq!(settings.protocol, Protocol::V1);
        assert_eq!(settings.fields.timestamp, None);
        assert_eq!(settings.sources, []);
        assert_eq!(settings.lateness_ms, 60_000);
    }

    #[test]
    fn all_errors_are_reported_together() {
        let config = json!({
            "url": "ftp://p", "key_label": "", "retry": -1, "batch_size": 0,
            "headers": {"Content-Type": "x", "X-A": "1", "b b": "2"},
            "protobuf_message": "3.0",
            "source": [{"query": "SELECT 1", "table": "t"}, {"database": "d"}, {"x": 1},
                {"database": "d", "table": "t", "start": "2026-01-02", "end": 5}],
        });
        let expected = [
            "config.source[0]: a query stands alone: no database, table, metrics, start and end",
            "config.source[1]: expected a query, or database and table",
            "config.source[2]: unknown field `x`, expected one of `query`, `database`, `table`, `metrics`, `start`, `end`",
            "config.source[3]: end (1970-01-01T00:00:00.005Z) is not after start (2026-01-02T00:00:00Z)",
            "config.url: expected a URL that begins with http:// or https://",
            "config.key_label: expected a non-empty string",
            "config.key_value: missing: the field of a row that holds its value",
            "config.headers.Content-Type: the protocol sets this header; for credentials there is auth",
            "config.headers: expected names of headers: letters, digits, - and others that HTTP allows",
            "config.retry: expected a whole number from 0 to 1000",
            "config.batch_size: expected a whole number from 1 to 100000",
            "config.protobuf_message: expected one of 1.0, 2.0, prometheus.WriteRequest, io.prometheus.write.v2.Request",
        ];
        assert_eq!(errors(&config), expected);
        let unknown = errors(&json!({"url": "http://p", "key_labels": "l"}));
        assert!(
            unknown[0].starts_with("config: unknown field `key_labels`"),
            "{unknown:?}"
        );
    }

    #[test]
    fn sources_are_one_or_several() {
        let parse = |source: Value| {
            let config = json!({"url": "http://p", "source": source});
            Settings::parse(&config).map(|settings| settings.sources)
        };
        let table = Source::Table {
            destination: Destination {
                database: "d".to_owned(),
                table: "t".to_owned(),
            },
            metrics: vec!["up".to_owned()],
            start_ms: Some(1_767_225_600_000),
            end_ms: None,
        };
        let given = json!({"database": "d", "table": "t", "metrics": ["up"], "start": "2026-01-01T00:00:00Z"});
        assert_eq!(parse(given.clone()), Ok(vec![table]));
        let mut other = given.clone();
        other["table"] = json!("other");
        assert_eq!(parse(json!([given, other])).unwrap().len(), 2);
        let twice = parse(json!([given, given])).unwrap_err();
        assert_eq!(
            twice[0].to_string(),
            "config.source[1]: this is the same as one before it"
        );
        // The fields of a query's rows must be known.
        assert_eq!(parse(json!({"query": "SELECT 1"})).unwrap_err().len(), 2);
    }
}
