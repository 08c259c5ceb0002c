//! Cost of writing at AWS in any order in which Prometheus sends, by the emulator's metering, beside the cost
//! of the Go connector.

use std::fmt::Write;

use timestream_emulator::{Config as EmulatorConfig, Counters, Emulator};

use crate::exporters::{
    DataSet, Order, full_nodes, long_pods, node_exporters, pods, prometheus_servers,
};
use crate::support::{TestApp, connect, table};

/// Full requests of each order.
const REQUESTS: usize = 2;

/// Maximum cost of an order: calls for 2,000 samples, and units for 1,000.
type Cost = (Order, f64, f64);

/// Holds the cost of each order of the set, and its units in any order below this share of the Go connector's.
/// The figures are the same in each run.
async fn costs_at_most(set: DataSet, share_of_go: f64, costs: [Cost; Order::ALL.len()]) {
    let emulator = Emulator::start(EmulatorConfig {
        tables: vec![table("db", "t")],
        null_sink: true,
        ..EmulatorConfig::default()
    });
    let emulator = emulator.await.unwrap();
    let router = connect(&emulator, &[]).await;
    let app = TestApp { emulator, router };
    let (mut figures, mut exceeded) = (String::new(), false);
    for (order, max_calls, max_units) in costs {
        let start = app.emulator.counters();
        let requests = set.requests(order, REQUESTS);
        crate::go_connector::write(&app.emulator.url(), &requests.concat()).await;
        let go = app.emulator.counters();
        for series in requests {
            app.write_ok(series).await;
        }
        let end = app.emulator.counters();
        let records = |from: &Counters, to: &Counters| to.records_accepted - from.records_accepted;
        assert_eq!(records(&start, &go), records(&go, &end));

        let calls = (end.calls["WriteRecords"] - go.calls["WriteRecords"]) as f64;
        let units = (end.write_units - go.write_units) as f64;
        let share = units / (go.write_units - start.write_units) as f64;
        let calls = calls / REQUESTS as f64;
        let units = units / REQUESTS as f64 / 2.0;
        writeln!(
            figures,
            "(Order::{order:?}, {calls:?}, {units:?}), // {share:.3} of the Go connector's"
        )
        .unwrap();
        exceeded |= calls > max_calls || units > max_units || share > share_of_go;
    }
    assert!(!exceeded, "{} costs\n{figures}", set.name);
}

#[tokio::test]
async fn bill_of_node_exporters() {
    let costs = [
        (Order::Scrape, 26.5, 44.0),
        (Order::Shard(3), 28.0, 49.25),
        (Order::Shard(8), 45.0, 53.0),
        (Order::Shard(16), 26.5, 66.75),
        (Order::Hash(8), 34.0, 52.75),
    ];
    costs_at_most(node_exporters(), 0.75, costs).await;
}

#[tokio::test]
async fn bill_of_prometheus_servers() {
    let costs = [
        (Order::Scrape, 25.5, 59.5),
        (Order::Shard(3), 28.0, 61.75),
        (Order::Shard(8), 26.0, 63.25),
        (Order::Shard(16), 39.5, 75.5),
        (Order::Hash(8), 27.5, 65.75),
    ];
    costs_at_most(prometheus_servers(), 0.71, costs).await;
}

#[tokio::test]
async fn bill_of_pods() {
    let costs = [
        (Order::Scrape, 76.0, 108.0),
        (Order::Shard(3), 75.0, 100.0),
        (Order::Shard(8), 255.0, 144.75),
        (Order::Shard(16), 36.5, 236.25),
        (Order::Hash(8), 42.5, 230.0),
    ];
    costs_at_most(pods(), 0.7, costs).await;
}

#[tokio::test]
async fn bill_of_full_nodes() {
    let costs = [
        (Order::Scrape, 122.5, 78.75),
        (Order::Shard(3), 120.0, 60.0),
        (Order::Shard(8), 102.5, 58.75),
        (Order::Shard(16), 195.0, 107.25),
        (Order::Hash(8), 38.0, 193.5),
    ];
    costs_at_most(full_nodes(), 0.63, costs).await;
}

#[tokio::test]
async fn bill_of_long_pods() {
    let costs = [
        (Order::Scrape, 50.0, 75.0),
        (Order::Shard(3), 150.0, 150.0),
        (Order::Shard(8), 400.0, 200.0),
        (Order::Shard(16), 50.5, 366.75),
        (Order::Hash(8), 306.0, 234.5),
    ];
    costs_at_most(long_pods(), 0.77, costs).await;
}
