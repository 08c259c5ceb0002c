//! Tables of the Go connector stay readable: the same layout, but no name is escaped.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_timestreamwrite::types::{Dimension, MeasureValueType, Record};
use timestream_prometheus_connector::prompb::label_matcher::Type;
use timestream_prometheus_connector::timestream::{Discovery, Settings, TrustedRoots, sdk_config};

use timestream_emulator::{Config as EmulatorConfig, Emulator};

use crate::support::{START_MS, TestApp, connect, query, series, table};

/// Writes a record as the Go connector did.
async fn write_as_go(app: &TestApp, measure: &str, dimensions: &[(&str, &str)], value: &str) {
    let settings = Settings {
        region: "us-east-1".to_owned(),
        write_endpoint: None,
        query_endpoint: None,
        discovery: Discovery::Off,
        roots: TrustedRoots::Bundled,
    };
    let credentials = Credentials::new("local", "local", None, None, "tests");
    let config = sdk_config(&settings)
        .endpoint_url(app.emulator.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .load()
        .await;
    let dimensions = dimensions.iter().map(|&(name, value)| {
        Dimension::builder()
            .name(name)
            .value(value)
            .build()
            .unwrap()
    });
    let record = Record::builder()
        .set_dimensions(Some(dimensions.collect()))
        .measure_name(measure)
        .measure_value(value)
        .measure_value_type(MeasureValueType::Double)
        .time(START_MS.to_string())
        .build();
    aws_sdk_timestreamwrite::Client::new(&config)
        .write_records()
        .database_name("db")
        .table_name("t")
        .records(record)
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn series_of_the_go_connector_and_of_this_one_read_as_one() {
    let app = TestApp::start().await;
    let labels = [("instance", "a:9100"), ("job", "api")];
    write_as_go(&app, "up", &labels, "1.000000").await;
    let mut all = vec![("__name__", "up")];
    all.extend(labels);
    app.write_ok(vec![series(&all, &[(START_MS + 1, 2.0)])])
        .await;
    assert_eq!(
        app.read(vec![query(&[(Type::Eq, "__name__", "up")])]).await,
        [[series(&all, &[(START_MS, 1.0), (START_MS + 1, 2.0)])]]
    );
}

#[tokio::test]
async fn columns_and_metrics_with_unescaped_names_are_found() {
    let emulator = Emulator::start(EmulatorConfig {
        tables: vec![table("db", "t")],
        wide_names: true,
        ..EmulatorConfig::default()
    })
    .await
    .unwrap();
    let router = connect(&emulator, &[]).await;
    let app = TestApp { emulator, router };
    // What the rules of the service let the Go connector write at one time or another.
    let labels = [("_x", "1"), ("job", "api"), ("x_", "2"), ("日本", "ü")];
    write_as_go(&app, "_metric_", &labels, "1.000000").await;
    let mut all = vec![("__name__", "_metric_")];
    all.extend(labels);
    // The same series, now escaped, in other columns and under another measure name.
    app.write_ok(vec![series(&all, &[(START_MS + 1, 2.0)])])
        .await;
    assert!(
        app.emulator
            .points("db", "t")
            .iter()
            .any(|p| p.dimensions.contains_key("U____xx"))
    );

    let expected = [[series(&all, &[(START_MS, 1.0), (START_MS + 1, 2.0)])]];
    use Type::{Eq, Neq, Nre, Re};
    let cases: [&[(Type, &str, &str)]; 7] = [
        &[(Eq, "__name__", "_metric_")],
        &[
            (Eq, "__name__", "_metric_"),
            (Eq, "_x", "1"),
            (Eq, "x_", "2"),
        ],
        &[(Re, "__name__", "_metric.*"), (Neq, "_x", "2")],
        &[
            (Re, "__name__", "a|_metric_"),
            (Re, "_x", "1|3"),
            (Nre, "x_", "1|3"),
        ],
        &[(Eq, "_x", "1")],
        &[(Neq, "_x", "")],
        &[(Re, "日本", "ü+")],
    ];
    for matchers in cases {
        assert_eq!(
            app.read(vec![query(matchers)]).await,
            expected,
            "{matchers:?}"
        );
    }
    for matchers in [&[(Eq, "_x", "")], &[(Neq, "_x", "1")]] {
        assert_eq!(app.read(vec![query(matchers)]).await, [[]], "{matchers:?}");
    }
}
