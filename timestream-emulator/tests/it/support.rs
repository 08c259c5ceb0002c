//! An emulator with clients, and short forms of requests and results.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_timestreamquery as query;
use aws_sdk_timestreamwrite as write;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use timestream_emulator::{Clock, Config, Emulator, TableSpec};
use write::{
    config::{BehaviorVersion, Credentials, Region, SharedHttpClient, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    types::{Dimension, MeasureValueType, Record},
};

pub(crate) const DB: &str = "db";
/// A table whose magnetic store accepts any time.
pub(crate) const OLD: &str = "old";
/// A table that accepts only the last hours.
pub(crate) const NEW: &str = "new";
/// 2020-09-13 12:26:40 UTC, in milliseconds.
pub(crate) const T0: i64 = 1_600_000_000_000;

pub(crate) struct Service {
    pub(crate) emulator: Emulator,
    pub(crate) write: write::Client,
    pub(crate) query: query::Client,
}

impl Service {
    pub(crate) async fn start() -> Service {
        Service::start_in(None).await
    }

    pub(crate) async fn start_in(data_dir: Option<&Path>) -> Service {
        let data_dir = data_dir.map(Path::to_owned);
        Service::start_with(|config| config.data_dir = data_dir).await
    }

    /// Returns an emulator whose settings are changed by `change`.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Service {
        let old = TableSpec {
            magnetic_writes: true,
            ..TableSpec::new(DB, OLD)
        };
        let mut config = Config {
            tables: vec![old, TableSpec::new(DB, NEW)],
            ..Config::default()
        };
        change(&mut config);
        let emulator = Emulator::start(config).await.expect("the emulator starts");
        let (write, query) = clients(&emulator.url(), "local", "local");
        Service {
            emulator,
            write,
            query,
        }
    }

    /// Returns a write to a table, to be given its records.
    pub(crate) fn write_to(
        &self,
        table: &str,
    ) -> write::operation::write_records::builders::WriteRecordsFluentBuilder {
        self.write
            .write_records()
            .database_name(DB)
            .table_name(table)
    }

    /// Writes records and returns the number of accepted ones.
    pub(crate) async fn put(&self, table: &str, records: Vec<Record>) -> i32 {
        let response = self
            .write_to(table)
            .set_records(Some(records))
            .send()
            .await
            .expect("the write succeeds");
        response
            .records_ingested()
            .map_or(0, |ingested| ingested.total())
    }

    /// Writes records and returns the error's code and text.
    pub(crate) async fn put_error(&self, table: &str, records: Vec<Record>) -> (String, String) {
        let error = self
            .write_to(table)
            .set_records(Some(records))
            .send()
            .await
            .expect_err("the write fails");
        code_and_message(&error)
    }

    /// Writes records and returns index, reason and existing version of the rejected ones.
    pub(crate) async fn put_rejected(
        &self,
        table: &str,
        records: Vec<Record>,
    ) -> Vec<(i32, String, Option<i64>)> {
        let error = self
            .write_to(table)
            .set_records(Some(records))
            .send()
            .await
            .expect_err("records are rejected");
        assert_eq!(
            error.raw_response().map(|raw| raw.status().as_u16()),
            Some(419)
        );
        let error = error.into_service_error();
        let write::operation::write_records::WriteRecordsError::RejectedRecordsException(rejected) =
            error
        else {
            panic!("not rejected records: {error:?}");
        };
        rejected
            .rejected_records()
            .iter()
            .map(|record| {
                let reason = record.reason().unwrap_or_default().to_owned();
                (record.record_index(), reason, record.existing_version())
            })
            .collect()
    }

    /// Returns all rows of a query as text, in the order given, pages joined.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut token = None;
        loop {
            let call = self.query.query().query_string(sql).set_next_token(token);
            let page = call
                .send()
                .await
                .unwrap_or_else(|error| panic!("{sql}: {}", code_and_message(&error).1));
            for row in page.rows() {
                rows.push(row.data().iter().map(text).collect());
            }
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return rows;
            }
        }
    }

    /// Returns the rows sorted, for queries without ORDER BY.
    pub(crate) async fn sorted(&self, sql: &str) -> Vec<Vec<String>> {
        let mut rows = self.rows(sql).await;
        rows.sort();
        rows
    }

    /// Returns the only value of a query.
    pub(crate) async fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        assert_eq!(
            (rows.len(), rows.first().map(Vec::len)),
            (1, Some(1)),
            "{sql}"
        );
        rows[0][0].clone()
    }

    /// Returns the text of a query's error, which must be a ValidationException.
    pub(crate) async fn query_error(&self, sql: &str) -> String {
        let outcome = self.query.query().query_string(sql).send().await;
        let error = outcome.err().unwrap_or_else(|| panic!("no error: {sql}"));
        let (code, message) = code_and_message(&error);
        assert_eq!(code, "ValidationException", "{sql}: {message}");
        message
    }
}

/// Returns SDK clients that do not retry.
pub(crate) fn clients(url: &str, key: &str, secret: &str) -> (write::Client, query::Client) {
    let credentials = Credentials::new(key, secret, None, None, "test");
    let write = write::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials.clone())
        .retry_config(RetryConfig::disabled())
        .http_client(http_client())
        .endpoint_url(url);
    let query = query::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .http_client(http_client())
        .endpoint_url(url);
    (
        write::Client::from_conf(write.build()),
        query::Client::from_conf(query.build()),
    )
}

fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

pub(crate) fn code_and_message<E: ProvideErrorMetadata, R>(
    error: &SdkError<E, R>,
) -> (String, String) {
    (
        error.code().unwrap_or_default().to_owned(),
        error.message().unwrap_or_default().to_owned(),
    )
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<Mutex<SystemTime>>);

impl TestClock {
    pub(crate) fn new() -> Self {
        TestClock(Arc::new(Mutex::new(SystemTime::now())))
    }

    pub(crate) fn clock(&self) -> Clock {
        let time = Arc::clone(&self.0);
        Clock::new(move || *time.lock().expect("no test panics with the clock in hand"))
    }

    pub(crate) fn at_whole_millisecond() -> Self {
        let since_epoch = Duration::from_millis(now_ms().unsigned_abs());
        TestClock(Arc::new(Mutex::new(UNIX_EPOCH + since_epoch)))
    }

    pub(crate) fn now_ms(&self) -> i64 {
        let now = *self
            .0
            .lock()
            .expect("no test panics with the clock in hand");
        let since_epoch = now.duration_since(UNIX_EPOCH).expect("past 1970");
        i64::try_from(since_epoch.as_millis()).expect("before the year 292,000,000")
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self
            .0
            .lock()
            .expect("no test panics with the clock in hand") += by;
    }
}

pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    i64::try_from(since_epoch.as_millis()).expect("the clock is before the year 292,000,000")
}

pub(crate) fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder()
        .name(name)
        .value(value)
        .build()
        .expect("name and value are set")
}

/// Returns a DOUBLE record of measure `up` with one dimension per pair.
pub(crate) fn sample(dimensions: &[(&str, &str)], time_ms: i64, value: &str) -> Record {
    measure("up", dimensions, time_ms, value)
}

pub(crate) fn measure(
    name: &str,
    dimensions: &[(&str, &str)],
    time_ms: i64,
    value: &str,
) -> Record {
    let dimensions = dimensions
        .iter()
        .map(|(name, value)| dimension(name, value))
        .collect();
    Record::builder()
        .set_dimensions(Some(dimensions))
        .measure_name(name)
        .measure_value(value)
        .measure_value_type(MeasureValueType::Double)
        .time(time_ms.to_string())
        .build()
}

/// Returns a record changed by `change`.
pub(crate) fn with(record: Record, change: impl FnOnce(&mut Record)) -> Record {
    let mut record = record;
    change(&mut record);
    record
}

/// Returns NULL, a scalar, `[time=value,...]`, `(a,b)` of an array or a row.
pub(crate) fn text(datum: &query::types::Datum) -> String {
    if datum.null_value() == Some(true) {
        return "NULL".to_owned();
    }
    if let Some(scalar) = datum.scalar_value() {
        return scalar.to_owned();
    }
    if let Some(row) = datum.row_value() {
        return list(row.data());
    }
    if datum.array_value.is_some() {
        return list(datum.array_value());
    }
    let points = datum.time_series_value().iter().map(|point| {
        format!(
            "{}={}",
            point.time(),
            point.value().map(text).unwrap_or_default()
        )
    });
    format!("[{}]", points.collect::<Vec<_>>().join(","))
}

fn list(data: &[query::types::Datum]) -> String {
    format!("({})", data.iter().map(text).collect::<Vec<_>>().join(","))
}
