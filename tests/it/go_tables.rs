//! Tables of the Go connector stay readable: the same layout, but no name is escaped.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_timestreamwrite::types::{Dimension, MeasureValueType, Record};
use timestream_prometheus_connector::prompb::label_matcher::Type;
use timestream_prometheus_connector::timestream::{Discovery, Settings, sdk_config};

use crate::support::{START_MS, TestApp, query, series};

/// Writes a record as the Go connector did.
async fn write_as_go(app: &TestApp, measure: &str, dimensions: &[(&str, &str)], value: &str) {
    let settings = Settings {
        region: "us-east-1".to_owned(),
        write_endpoint: None,
        query_endpoint: None,
        discovery: Discovery::Off,
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
