//! Cost of writing at AWS, by the emulator's metering, beside the cost of the Go connector.

use timestream_emulator::Config as EmulatorConfig;

use crate::exporters::{DataSet, node_exporters, pods, prometheus_servers};
use crate::support::{TestApp, connect, table};

/// Maximum number of samples in one request of Prometheus, by default.
const SAMPLES_PER_SEND: usize = 2_000;

/// Holds the units of a set below this share of the Go connector's, and the calls below so many of
/// its own.
async fn costs_at_most(set: DataSet, share: f64, calls: f64) {
    let emulator = timestream_emulator::Emulator::start(EmulatorConfig {
        tables: vec![table("db", "t")],
        null_sink: true,
        ..EmulatorConfig::default()
    });
    let emulator = emulator.await.unwrap();
    crate::go_connector::write(&emulator.url(), &set.series).await;
    let naive = emulator.counters();
    let router = connect(&emulator, &[]).await;
    let app = TestApp { emulator, router };
    for series in set.series.chunks(SAMPLES_PER_SEND) {
        app.write_ok(series.to_vec()).await;
    }
    let both = app.emulator.counters();
    assert_eq!(both.records_accepted, 2 * naive.records_accepted);
    let ratio = |both: u64, naive: u64| (both - naive) as f64 / naive as f64;
    let units = ratio(both.write_units, naive.write_units);
    let made = ratio(both.calls["WriteRecords"], naive.calls["WriteRecords"]);
    assert!(units <= share && made <= calls, "{units} {made}");
}

#[tokio::test]
async fn node_exporters_cost_little_more_than_half() {
    costs_at_most(node_exporters(8), 0.55, 1.6).await;
}

#[tokio::test]
async fn prometheus_servers_cost_little_more_than_half() {
    costs_at_most(prometheus_servers(6), 0.6, 1.4).await;
}

#[tokio::test]
async fn pods_cost_a_third() {
    costs_at_most(pods(150), 0.35, 4.2).await;
}
