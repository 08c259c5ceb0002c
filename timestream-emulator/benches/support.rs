//! An emulator with SDK clients, and records as a Prometheus would have them.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_sdk_timestreamquery as query;
use aws_sdk_timestreamwrite as write;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use timestream_emulator::{Config, Emulator, TableSpec};
use write::{
    config::{BehaviorVersion, Credentials, Region, SharedHttpClient},
    types::{Dimension, MeasureValueType, Record},
};

const DATABASE: &str = "db";
const TABLE: &str = "t";
/// Series of one measure, ten measures in all; as many records as one call accepts.
const SERIES_PER_MEASURE: usize = 100;
/// Between two samples of a series.
const INTERVAL_MS: i64 = 15_000;

pub(crate) struct Service {
    emulator: Emulator,
    pub(crate) write: write::Client,
    pub(crate) query: query::Client,
}

impl Service {
    /// Starts an emulator with one table, in memory if there is no folder.
    pub(crate) async fn start(data_dir: Option<&Path>) -> Service {
        let table = TableSpec {
            memory_hours: 8766,
            ..TableSpec::new(DATABASE, TABLE)
        };
        let config = Config {
            data_dir: data_dir.map(Path::to_owned),
            tables: vec![table],
            ..Config::default()
        };
        let emulator = Emulator::start(config).await.expect("the emulator starts");
        let credentials = Credentials::new("local", "local", None, None, "bench");
        let write = write::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials.clone())
            .http_client(http_client())
            .endpoint_url(emulator.url());
        let query = query::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials)
            .http_client(http_client())
            .endpoint_url(emulator.url());
        Service {
            write: write::Client::from_conf(write.build()),
            query: query::Client::from_conf(query.build()),
            emulator,
        }
    }

    /// Writes one call's records, all of which must be accepted.
    pub(crate) async fn put(&self, records: Vec<Record>) {
        let count = records.len();
        let response = self
            .write
            .write_records()
            .database_name(DATABASE)
            .table_name(TABLE)
            .set_records(Some(records))
            .send()
            .await
            .expect("the write succeeds");
        let ingested = response.records_ingested().map(|ingested| ingested.total());
        assert_eq!(ingested, i32::try_from(count).ok());
    }

    /// Reads a result to its end and returns the number of rows.
    pub(crate) async fn rows(&self, sql: &str) -> usize {
        let mut rows = 0;
        let mut token = None;
        loop {
            let call = self.query.query().query_string(sql).set_next_token(token);
            let page = call.send().await.expect("the query succeeds");
            rows += page.rows().len();
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return rows;
            }
        }
    }

    pub(crate) async fn stop(self) {
        self.emulator.stop().await;
    }
}

/// Returns the records of call `number`: one sample of each series of one measure. Ten calls make
/// one scrape of 1,000 series, and the next ten the scrape after it.
pub(crate) fn batch(number: usize, start_ms: i64) -> Vec<Record> {
    let (scrape, measure) = (number / 10, number % 10);
    let time_ms = start_ms + i64::try_from(scrape).unwrap_or_default() * INTERVAL_MS;
    (0..SERIES_PER_MEASURE)
        .map(|series| {
            let value = (scrape * 7 + series) as f64 / 3.0;
            Record::builder()
                .dimensions(dimension("a", format!("value {}", series % 10)))
                .dimensions(dimension("b", format!("{}", series / 10)))
                .dimensions(dimension("instance", format!("10.0.0.{series}:9100")))
                .dimensions(dimension("job", "node".to_owned()))
                .measure_name(format!("node_cpu_seconds_total_{measure}"))
                .measure_value(value.to_string())
                .measure_value_type(MeasureValueType::Double)
                .time(time_ms.to_string())
                .build()
        })
        .collect()
}

/// Returns a time from which `calls` batches fit in the table's window, at a full hour.
pub(crate) fn start_ms(calls: usize) -> i64 {
    const HOUR_MS: i64 = 3_600_000;
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    let now_ms = i64::try_from(since_epoch.as_millis()).expect("the clock is before 292,000,000");
    let span_ms = i64::try_from(calls / 10).unwrap_or_default() * INTERVAL_MS;
    (now_ms - span_ms) / HOUR_MS * HOUR_MS
}

fn dimension(name: &str, value: String) -> Dimension {
    Dimension::builder()
        .name(name)
        .value(value)
        .build()
        .expect("name and value are set")
}

fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}
