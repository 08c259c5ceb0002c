//! The `config` of a sync.
//!
//! Configuration files of other programs are accepted unchanged: numbers and booleans may be strings, an empty string
//! or a template's placeholder counts as absent, and credentials imply their type.

use std::ops::RangeInclusive;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::{FieldErrors, FieldReader, object};
use crate::jobs::auth::{Auth, FlatKeys};
use crate::jobs::outgoing::{Keys, Outgoing};

const HOUR_MS: i64 = 3_600_000;
/// Accepted hours of lookback, up to a hundred years.
const HOURS: RangeInclusive<u64> = 1..=876_600;
/// The limits of Timestream.
const MEMORY_HOURS: RangeInclusive<u64> = 1..=8_766;
const MAGNETIC_DAYS: RangeInclusive<u64> = 1..=73_000;
/// Accepted milliseconds, up to a day.
const LATENESS: RangeInclusive<u64> = 0..=86_400_000;
const DEFAULT_LATENESS_MS: u64 = 60_000;
/// Accepted seconds between two samples.
const STEP: RangeInclusive<u64> = 1..=86_400;

/// The checked settings of a sync.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Base URL of the server.
    pub(super) url: Url,
    /// Settings of the outgoing calls.
    pub(super) outgoing: Outgoing,
    /// Names of the metrics to copy; all metrics if empty.
    pub(super) metrics: Vec<String>,
    pub(super) start: Start,
    /// A run ends this many milliseconds before now, and the next run reads as many again.
    pub(super) lateness_ms: i64,
    pub(super) step_ms: i64,
    pub(super) mode: Mode,
    pub(super) layout: Layout,
    /// Read samples unchanged by remote read, instead of in steps.
    pub(super) raw: bool,
    pub(super) tables: Tables,
}

/// Settings of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    /// Create missing tables.
    pub(super) create: bool,
    /// Retention in the memory store of created tables.
    pub(super) memory_hours: Option<u64>,
    /// Retention in the magnetic store of created tables.
    pub(super) magnetic_days: Option<u64>,
    /// Let created tables accept samples older than the memory store's retention.
    pub(super) magnetic_writes: bool,
}

/// Start of the time that the first run reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Start {
    /// This many milliseconds ago.
    Ago(i64),
    /// At a time, in milliseconds since the Unix epoch.
    At(i64),
}

impl Start {
    /// Returns the start at `now_ms`, in milliseconds since the Unix epoch.
    pub(super) fn ms(self, now_ms: i64) -> i64 {
        match self {
            Self::Ago(ms) => (now_ms - ms).max(0),
            Self::At(ms) => ms,
        }
    }
}

/// The time that a run reads, and its handling of stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reads from the cursor on; stored values stay.
    IncrementalAppend,
    /// Reads from the cursor on; newer runs replace stored values.
    IncrementalDeduped,
    /// Reads everything; stored values stay.
    FullRefreshAppend,
    /// Reads everything into tables that are dropped first.
    FullRefreshOverwrite,
}

impl Mode {
    pub(super) fn is_full(self) -> bool {
        matches!(self, Self::FullRefreshAppend | Self::FullRefreshOverwrite)
    }
}

/// The layout of tables and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The layout of remote write.
    Native,
    /// One table whose rows have columns for metric and labels.
    Rows,
    /// Such a table for each metric.
    TablePerMetric,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    prometheus_url: Option<Value>,
    base_url: Option<Value>,
    auth_type: Option<Value>,
    username: Option<Value>,
    password: Option<Value>,
    bearer_token: Option<Value>,
    basic_auth_user: Option<Value>,
    basic_auth_pass: Option<Value>,
    headers: Option<Value>,
    tls: Option<Value>,
    allow_link_local: Option<Value>,
    metrics_filter: Option<Value>,
    lookback_hours: Option<Value>,
    lateness_ms: Option<Value>,
    start_date: Option<Value>,
    step: Option<Value>,
    sync_mode: Option<Value>,
    layout: Option<Value>,
    raw: Option<Value>,
    allow_table_drop: Option<Value>,
    create_tables: Option<Value>,
    memory_hours: Option<Value>,
    magnetic_days: Option<Value>,
    magnetic_writes: Option<Value>,
}

impl Settings {
    /// Reads a `config`; secrets in it are plain strings or references.
    ///
    /// # Errors
    /// All errors in it.
    pub(super) fn parse(config: &Value) -> Result<Self, FieldErrors> {
        let raw: Raw = object(config).map_err(|text| FieldErrors::one("config", text))?;
        let mut values = FieldReader::lenient("config");
        let url = url(&mut values, &raw);
        let outgoing = outgoing(&mut values, &raw, url.as_ref());
        let metrics = metrics(&mut values, raw.metrics_filter.as_ref());
        let start = start(&mut values, &raw);
        let lateness_ms = lateness_ms(&mut values, &raw, start);
        let step = values.number("step", raw.step.as_ref(), STEP).unwrap_or(15);
        let modes = [
            ("incremental_append", Mode::IncrementalAppend),
            ("incremental_deduped", Mode::IncrementalDeduped),
            ("full_refresh_append", Mode::FullRefreshAppend),
            ("full_refresh_overwrite", Mode::FullRefreshOverwrite),
        ];
        let mode = values.choice("sync_mode", raw.sync_mode.as_ref(), &modes);
        let mode = mode.unwrap_or(Mode::IncrementalAppend);
        let layouts = [
            ("native", Layout::Native),
            ("rows", Layout::Rows),
            ("table_per_metric", Layout::TablePerMetric),
        ];
        let layout = values.choice("layout", raw.layout.as_ref(), &layouts);
        let is_raw = values.flag("raw", raw.raw.as_ref());
        let may_drop = values.flag("allow_table_drop", raw.allow_table_drop.as_ref());
        if mode == Mode::FullRefreshOverwrite && may_drop != Some(true) {
            values.error(
                "sync_mode",
                "full_refresh_overwrite drops the target tables with all their data; set allow_table_drop to true to confirm",
            );
        }
        let tables = Tables {
            create: values
                .flag("create_tables", raw.create_tables.as_ref())
                .unwrap_or(true),
            memory_hours: values.number("memory_hours", raw.memory_hours.as_ref(), MEMORY_HOURS),
            magnetic_days: values.number(
                "magnetic_days",
                raw.magnetic_days.as_ref(),
                MAGNETIC_DAYS,
            ),
            magnetic_writes: values
                .flag("magnetic_writes", raw.magnetic_writes.as_ref())
                .unwrap_or(true),
        };
        match url {
            Some(url) if values.errors.is_empty() => Ok(Self {
                url,
                outgoing,
                metrics,
                start,
                lateness_ms,
                step_ms: step.cast_signed() * 1_000,
                mode,
                layout: layout.unwrap_or(Layout::Native),
                raw: is_raw.unwrap_or(false),
                tables,
            }),
            _ => Err(values.errors),
        }
    }

    /// Returns the first millisecond that a run at `now_ms` reads.
    pub(super) fn start_ms(&self, now_ms: i64) -> i64 {
        self.start.ms(now_ms)
    }
}

fn url(values: &mut FieldReader, raw: &Raw) -> Option<Url> {
    let url = values.url("prometheus_url", raw.prometheus_url.as_ref());
    let alias = values.url("base_url", raw.base_url.as_ref());
    match (url, alias) {
        (Some(one), Some(other)) if one != other => {
            values.error(
                "base_url",
                "is another name of prometheus_url and has a different value; remove one of them",
            );
            None
        }
        (None, None) if values.errors.is_empty() => {
            values.error(
                "prometheus_url",
                "missing: the URL of the server, such as http://prometheus:9090",
            );
            None
        }
        (url, alias) => url.or(alias),
    }
}

fn outgoing(values: &mut FieldReader, raw: &Raw, url: Option<&Url>) -> Outgoing {
    let keys = FlatKeys {
        auth_type: raw.auth_type.as_ref(),
        username: raw.username.as_ref(),
        password: raw.password.as_ref(),
        bearer_token: raw.bearer_token.as_ref(),
        basic_auth_user: raw.basic_auth_user.as_ref(),
        basic_auth_pass: raw.basic_auth_pass.as_ref(),
    };
    let auth = Auth::read_flat(values, &keys);
    let keys = Keys {
        headers: raw.headers.as_ref(),
        tls: raw.tls.as_ref(),
        allow_link_local: raw.allow_link_local.as_ref(),
    };
    let key = match values.given(raw.prometheus_url.as_ref()) {
        Some(_) => "prometheus_url",
        None => "base_url",
    };
    Outgoing::read(values, auth, keys, (key, url))
}

/// Reads names in a list, or in a string with commas.
fn metrics(values: &mut FieldReader, value: Option<&Value>) -> Vec<String> {
    let mut names: Vec<String> = match values.given(value) {
        None => Vec::new(),
        Some(Value::String(text)) => text.split(',').map(str::to_owned).collect(),
        Some(Value::Array(all)) if all.iter().all(Value::is_string) => {
            let texts = all.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        Some(_) => {
            let text = "expected names in a list, or in a string with commas";
            values.error("metrics_filter", text);
            Vec::new()
        }
    };
    for name in &mut names {
        *name = name.trim().to_owned();
    }
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

fn start(values: &mut FieldReader, raw: &Raw) -> Start {
    let hours = values.number("lookback_hours", raw.lookback_hours.as_ref(), HOURS);
    let ago = Start::Ago(hours.unwrap_or(24).cast_signed() * HOUR_MS);
    let Some(text) = values.text("start_date", raw.start_date.as_ref()) else {
        return ago;
    };
    // The parser ignores a time and a zone after the date.
    let is_day = |date: &Date| date.to_string() == text.trim();
    let date = text.trim().parse::<Date>().ok().filter(is_day);
    let start = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    let start = start.map(|start| start.timestamp().as_millisecond());
    match start.filter(|ms| *ms >= 0) {
        Some(ms) => Start::At(ms),
        None => {
            values.error("start_date", "expected a day from 1970 on, YYYY-MM-DD");
            ago
        }
    }
}

/// Reads `lateness_ms`, which must be shorter than `lookback_hours`, so that a run has something to read.
fn lateness_ms(values: &mut FieldReader, raw: &Raw, start: Start) -> i64 {
    let lateness = values.number("lateness_ms", raw.lateness_ms.as_ref(), LATENESS);
    let lateness = lateness.unwrap_or(DEFAULT_LATENESS_MS).cast_signed();
    if matches!(start, Start::Ago(ms) if lateness >= ms) {
        values.error(
            "lateness_ms",
            "is not shorter than lookback_hours, so nothing would be read; expected a shorter time",
        );
    }
    lateness
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jobs::secret::Secrets;

    fn errors(config: &Value) -> Vec<String> {
        Settings::parse(config).unwrap_err().messages()
    }

    #[test]
    fn files_of_other_programs_are_accepted() {
        let settings = Settings::parse(&json!({
            "prometheus_url": "http://localhost:9090", "auth_type": "none", "username": "",
            "lookback_hours": "24", "metrics_filter": "up,go_goroutines",
        }))
        .unwrap();
        assert_eq!(settings.metrics, ["go_goroutines", "up"]);
        assert_eq!(settings.start, Start::Ago(86_400_000));
        assert_eq!(settings.lateness_ms, 60_000);
        assert_eq!(settings.outgoing, Outgoing::default());
        assert_eq!((settings.step_ms, settings.raw), (15_000, false));
        assert_eq!(settings.mode, Mode::IncrementalAppend);
        assert_eq!(settings.layout, Layout::Native);
        let tables = Tables {
            create: true,
            memory_hours: None,
            magnetic_days: None,
            magnetic_writes: true,
        };
        assert_eq!(settings.tables, tables);
        let settings = Settings::parse(&json!({
            "base_url": "http://p", "auth_type": "basic", "username": "", "basic_auth_user": "u",
            "basic_auth_pass": "hunter2", "bearer_token": "", "start_date": "2026-01-02",
            "step": "60", "metrics_filter": ["b", " a ", "", "b"], "create_tables": "false",
            "lookback_hours": "", "sync_mode": "incremental_deduped", "layout": "rows",
        }))
        .unwrap();
        assert_eq!(settings.start, Start::At(1_767_312_000_000));
        assert_eq!((settings.step_ms, settings.tables.create), (60_000, false));
        assert_eq!(settings.metrics, ["a", "b"]);
        assert!(!format!("{settings:?}").contains("hunter2"));
        let secrets = Secrets::new(None, |_| None);
        let header = settings.outgoing.auth.header(&secrets).unwrap().unwrap();
        assert_eq!(header, "Basic dTpodW50ZXIy");
    }

    #[test]
    fn all_errors_are_reported_together_without_secrets() {
        let config = json!({
            "prometheus_url": "ftp://p", "auth_type": "bearer", "bearer_token": "$env:AWS_SECRET_ACCESS_KEY",
            "metrics_filter": 7, "lookback_hours": "1.5", "start_date": "yesterday", "step": 0,
            "sync_mode": "full_refresh_overwrite", "layout": "wide", "raw": "maybe",
            "memory_hours": 9000,
        });
        let errors = errors(&config);
        let keys: Vec<_> = errors
            .iter()
            .map(|error| error.split(':').next().unwrap())
            .collect();
        let expected = [
            "prometheus_url",
            "bearer_token",
            "metrics_filter",
            "lookback_hours",
            "start_date",
            "step",
            "layout",
            "raw",
            "sync_mode",
            "memory_hours",
        ];
        assert_eq!(keys, expected.map(|key| format!("config.{key}")));
        assert!(
            errors[8].contains("set allow_table_drop to true"),
            "{errors:?}"
        );
        for (config, error) in [
            (json!({}), "config.prometheus_url: missing"),
            (
                json!({"prometheus_url": "http://a", "base_url": "http://b"}),
                "config.base_url: is another name of prometheus_url",
            ),
            (
                json!({"prometheus_url": "http://a", "auth_type": "basic", "password": "p"}),
                "config.username: expected",
            ),
            (
                json!({"prometheus_url": "http://a", "auth_type": "basic", "username": "u"}),
                "config.password: expected",
            ),
            (
                json!({"prometheus_url": "http://a", "auth_type": "bearer"}),
                "config.bearer_token: expected",
            ),
            (
                json!({"prometheus_url": "http://a", "lookback_hours": 2, "lateness_ms": "7200000"}),
                "config.lateness_ms: is not shorter than lookback_hours",
            ),
            (
                json!({"prometheus_url": "http://a", "lateness_ms": 86_400_001}),
                "config.lateness_ms: expected a whole number from 0 to",
            ),
            (
                json!({"prometheus_url": "http://a", "x": 1}),
                "config: unknown field `x`",
            ),
        ] {
            let errors = self::errors(&config);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].starts_with(error), "{errors:?}");
        }
    }
}
