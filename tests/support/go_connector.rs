//! Requests of the Go connector: the standard for the cost of writes, and the contents of its
//! tables.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_timestreamwrite::Client;
use aws_sdk_timestreamwrite::types::{Dimension, MeasureValueType, Record};
use prom_wire::prompb::TimeSeries;
use timestream_prometheus_connector::timestream::{Discovery, Settings, TrustedRoots, sdk_config};

/// Records of a call.
const RECORDS: usize = 100;

/// Writes the samples of `series` to table `db`/`t` as the Go connector does: calls of 100 records in
/// the order received, each with all its attributes, values with six decimals.
pub(crate) async fn write(url: &str, series: &[TimeSeries]) {
    let client = client(url).await;
    for series in series.chunks(RECORDS) {
        let records = series.iter().flat_map(records).collect();
        let call = client.write_records().database_name("db").table_name("t");
        let written = call.set_records(Some(records)).send().await;
        written.expect("the emulator takes them");
    }
}

async fn client(url: &str) -> Client {
    let settings = Settings {
        region: "us-east-1".to_owned(),
        write_endpoint: None,
        query_endpoint: None,
        discovery: Discovery::Off,
        roots: TrustedRoots::Bundled,
    };
    let credentials = Credentials::new("local", "local", None, None, "go");
    let config = sdk_config(&settings)
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .load()
        .await;
    Client::new(&config)
}

fn records(series: &TimeSeries) -> impl Iterator<Item = Record> {
    let (mut metric_name, mut dimensions) = (String::new(), Vec::new());
    for label in &series.labels {
        match label.name.as_str() {
            "__name__" => metric_name.clone_from(&label.value),
            name => {
                let dimension = Dimension::builder().name(name).value(&label.value).build();
                dimensions.push(dimension.expect("name and value are set"));
            }
        }
    }
    series.samples.iter().map(move |sample| {
        Record::builder()
            .set_dimensions(Some(dimensions.clone()))
            .measure_name(&metric_name)
            .measure_value(format!("{:.6}", sample.value))
            .measure_value_type(MeasureValueType::Double)
            .time(sample.timestamp.to_string())
            .build()
    })
}
