//! Types, help texts and units of metrics have a table of their own, and no influence on the
//! response.

use prom_wire::prompb::{MetricMetadata, WriteRequest};
use timestream_emulator::{Fault, FaultKind, When};

use crate::support::{HttpResponse, START_MS, TestApp, connect, start_emulator, table};
use crate::v2::MetricType::{Counter, Gauge, Histogram, Unspecified};
use crate::v2::{Series, series};
use crate::{sql, support};

/// Starts a connector with samples in `db`/`t` or by labels, and metadata in `metrics` of `db` and
/// `other`.
async fn start(flags: &[&str]) -> TestApp {
    let tables = [
        ("db", "t"),
        ("db", "metrics"),
        ("other", "t"),
        ("other", "metrics"),
    ];
    let emulator = start_emulator(tables.map(|(db, name)| table(db, name)).into()).await;
    let flags = [&["--database-label=database"], flags].concat();
    let router = connect(&emulator, &flags).await;
    TestApp { emulator, router }
}

impl TestApp {
    /// Sends metadata as remote write 1.0 does: in a request without series.
    async fn write_metadata(&self, metadata: Vec<MetricMetadata>) -> HttpResponse {
        let request = WriteRequest {
            timeseries: vec![],
            metadata,
        };
        let body = prom_wire::encode(&request).unwrap();
        self.post("/write", &[], body).await
    }

    /// Returns the rows of the documented query for the newest metadata, with the unit if `N` has
    /// room for it.
    async fn newest<const N: usize>(&self, database: &str) -> Vec<[Option<String>; N]> {
        let mut statement = sql::documented("SELECT metric_name")
            .replace("\"prometheus\"", &format!("\"{database}\""));
        if N == 4 {
            statement = statement.replacen("\nFROM", ", max_by(unit, time)\nFROM", 1);
        }
        let rows = sql::rows(&self.emulator, &statement).await;
        rows.into_iter()
            .map(|row| row.try_into().unwrap())
            .collect()
    }

    async fn metadata_metric(&self, name: &str) -> f64 {
        self.metric(&format!("timestream_connector_{name}")).await
    }

    fn calls(&self) -> u64 {
        let calls = self.emulator.counters().calls;
        calls.get("WriteRecords").copied().unwrap_or_default()
    }
}

fn entry(name: &str, r#type: i32, help: &str, unit: &str) -> MetricMetadata {
    MetricMetadata {
        r#type,
        metric_family_name: name.to_owned(),
        help: help.to_owned(),
        unit: unit.to_owned(),
    }
}

fn row<const N: usize>(fields: [&str; N]) -> [Option<String>; N] {
    fields.map(|field| (!field.is_empty()).then(|| field.to_owned()))
}

#[tokio::test]
async fn version_1_brings_it_alone_and_the_newest_counts() {
    let app = start(&[]).await;
    let all = vec![
        entry("http_requests_total", 1, "Requests\nwith \"quotes\".", ""),
        entry("temperature", 2, "", "celsius"),
        entry("new_kind", 99, "", ""),
    ];
    let first = vec![
        row([
            "http_requests_total",
            "counter",
            "Requests\nwith \"quotes\".",
            "",
        ]),
        row(["new_kind", "unknown", "", ""]),
        row(["temperature", "gauge", "", "celsius"]),
    ];
    let response = app.write_metadata(all.clone()).await;
    assert_eq!((response.status.as_u16(), response.written()), (204, None));
    assert_eq!(app.newest("db").await, first);
    assert_eq!(app.calls(), 1);

    // Again, as senders do every minute: nothing is written.
    app.write_metadata(all.clone()).await;
    assert_eq!(app.calls(), 1);
    assert_eq!(app.metadata_metric("written_metadata_total").await, 3.0);

    // Changes are written, the rest is not.
    let mut changed = all;
    changed[1] = entry("temperature", 2, "Of the room.", "");
    app.write_metadata(changed).await;
    assert_eq!(app.metadata_metric("written_metadata_total").await, 4.0);
    let newest = [
        &first[..2],
        &[row(["temperature", "gauge", "Of the room.", ""])],
    ]
    .concat();
    assert_eq!(app.newest("db").await, newest);
    let counted = app.emulator.counters().write_units as f64;
    assert_eq!(
        app.metric("timestream_connector_write_units_total").await,
        counted
    );
}

/// Returns a series of version 2 with metadata, in a database of its own if one is named.
fn about(name: &str, database: Option<&str>) -> Series {
    let mut labels = vec![("__name__", name), ("l", "1")];
    labels.extend(database.map(|database| ("database", database)));
    series(&labels).sample(START_MS, 1.0)
}

#[tokio::test]
async fn version_2_brings_it_with_series_into_their_database() {
    let app = start(&[]).await;
    let response = app
        .write_v2(&[
            about("requests_total", None).metadata(Counter, "Requests.", ""),
            about("latency_bucket", Some("other")).metadata(Histogram, "Latency.", "seconds"),
            about("latency_sum", Some("other")).metadata(Histogram, "Latency.", "seconds"),
            about("latency_count", Some("other")).metadata(Histogram, "Latency.", "seconds"),
            // Prometheus sends this where it knows nothing.
            about("silent", None).metadata(Unspecified, "", ""),
        ])
        .await;
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(response.written(), Some([5, 0, 0]));
    let expected = [row(["requests_total", "counter", "Requests."])];
    assert_eq!(app.newest("db").await, expected);
    let expected = [row(["latency", "histogram", "Latency.", "seconds"])];
    assert_eq!(app.newest("other").await, expected);
    assert_eq!(app.emulator.points("db", "t").len(), 2);
    assert_eq!(app.emulator.points("other", "t").len(), 3);
}

#[tokio::test]
async fn a_missing_table_costs_no_sample_and_one_call_a_minute() {
    let app = TestApp::start().await;
    for time in 0..5 {
        let up = series(&[("__name__", "up")]).sample(START_MS + time, 1.0);
        let response = app.write_v2(&[up.metadata(Gauge, "Up.", "")]).await;
        assert_eq!(response.status, 204, "{}", response.text());
        let response = app.write_metadata(vec![entry("m", 1, "", "")]).await;
        assert_eq!(response.status, 204, "{}", response.text());
    }
    assert_eq!(app.emulator.points("db", "t").len(), 5);
    assert_eq!(app.calls(), 6);
    let failed = "failed_metadata_total{reason=\"ResourceNotFoundException\"}";
    assert_eq!(app.metadata_metric(failed).await, 1.0);
    assert_eq!(
        app.metric("timestream_connector_written_samples_total")
            .await,
        5.0
    );
}

#[tokio::test]
async fn failing_metadata_fails_no_request() {
    for kind in [
        FaultKind::Throttle,
        FaultKind::InternalServer,
        FaultKind::AccessDenied,
    ] {
        let app = start(&[]).await;
        app.emulator.order_fault(Fault {
            when: When::Always,
            ..Fault::next("WriteRecords", 1, kind.clone())
        });
        let response = app.write_metadata(vec![entry("m", 1, "", "")]).await;
        assert_eq!(response.status, 204, "{kind:?}");
        assert_eq!(app.calls(), 1, "{kind:?}");
        assert_eq!(
            app.metadata_metric("written_metadata_total").await,
            0.0,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn unstored_metadata_is_counted() {
    let ignored = |reason: &str| format!("ignored_metadata_total{{reason=\"{reason}\"}}");

    // No database: neither a label nor a default.
    let emulator = start_emulator(vec![table("db", "metrics")]).await;
    let flags = ["--database-label=database", "--default-database="];
    let router = connect(&emulator, &flags).await;
    let app = TestApp { emulator, router };
    let response = app.write_metadata(vec![entry("m", 1, "", "")]).await;
    assert_eq!(response.status, 204);
    assert_eq!(app.metadata_metric(&ignored("no_database")).await, 1.0);

    // No name, and one of a metric whose samples could not be stored either.
    let app = start(&[]).await;
    let long = "m".repeat(257);
    app.write_metadata(vec![entry("", 1, "", ""), entry(&long, 1, "", "")])
        .await;
    assert_eq!(app.metadata_metric(&ignored("metric_name")).await, 2.0);
    assert_eq!(app.calls(), 0);

    // A table that holds samples.
    let labels = [("__name__", "m"), ("table", "metrics"), ("unit", "u")];
    let sample = series(&labels).sample(START_MS, 1.0);
    let response = app.write_v2(&[sample.metadata(Counter, "", "")]).await;
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(app.metadata_metric(&ignored("samples_table")).await, 1.0);
    let [point] = app.emulator.points("db", "metrics").try_into().unwrap();
    assert_eq!(point.measure_name, "m");
    // It stays out later on, too.
    app.write_metadata(vec![entry("n", 1, "", "")]).await;
    assert_eq!(app.metadata_metric(&ignored("samples_table")).await, 2.0);
}

#[tokio::test]
async fn long_texts_are_cut_to_the_limits_of_timestream() {
    let app = start(&[]).await;
    let (name, help, unit) = ("m".repeat(256), "hülfe ".repeat(1_000), "ü".repeat(1_000));
    app.write_metadata(vec![entry(&name, 1, &help, &unit)])
        .await;
    let newest = app.newest::<4>("db").await;
    let [[_, _, Some(stored_help), Some(stored_unit)]] = newest.as_slice() else {
        panic!("{newest:?}")
    };
    for (stored, whole, least) in [(stored_help, help, 1_400), (stored_unit, unit, 250)] {
        let start = stored.strip_suffix("...").unwrap();
        assert!(
            whole.starts_with(start) && start.len() >= least,
            "{} bytes",
            start.len()
        );
    }
}

#[tokio::test]
async fn it_can_be_off_and_a_rejected_request_writes_none() {
    let app = start(&["--metadata-table=off"]).await;
    app.write_metadata(vec![entry("m", 1, "", "")]).await;
    assert_eq!(app.calls(), 0);

    let app = start(&["--fail-on-invalid-sample-value"]).await;
    let series = support::series(&[("__name__", "m")], &[(START_MS, f64::NAN)]);
    let request = WriteRequest {
        timeseries: vec![series],
        metadata: vec![entry("m", 1, "", "")],
    };
    let response = app
        .post("/write", &[], prom_wire::encode(&request).unwrap())
        .await;
    assert_eq!(response.status, 400);
    assert_eq!(app.calls(), 0);
}
