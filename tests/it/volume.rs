//! Large requests: every record once, none over the limits of a call.

use prom_wire::prompb::TimeSeries;
use prom_wire::prompb::label_matcher::Type;

use crate::support::{START_MS, TestApp, query, series};

/// Returns samples as a sender has them: one sample for each series, a few targets, metrics in
/// turn.
fn samples_of_targets(count: usize) -> Vec<TimeSeries> {
    (0..count)
        .map(|i| {
            let metric = format!("metric_{}", i % 40);
            let instance = format!("host-{}:9100", (i / 40) % 25);
            let cpu = (i / 1_000).to_string();
            let labels = [
                ("__name__", metric.as_str()),
                ("cpu", cpu.as_str()),
                ("instance", instance.as_str()),
                ("job", "node"),
            ];
            series(&labels, &[(START_MS + (i % 3) as i64, i as f64 / 7.0)])
        })
        .collect()
}

/// More calls than the fewest are made only where each saves a billed unit.
struct Expected {
    calls: u64,
    units: u64,
}

async fn write_and_read_back(count: usize, expected: Expected) {
    let app = TestApp::start().await;
    let written = samples_of_targets(count);
    app.write_ok(written.clone()).await;

    let stored = app.emulator.points("db", "t");
    assert_eq!(stored.len(), count);
    let counters = app.emulator.counters();
    let calls = counters.calls["WriteRecords"];
    assert_eq!(
        (calls, counters.write_units),
        (expected.calls, expected.units)
    );

    let read = app
        .read(vec![query(&[(Type::Re, "__name__", "metric_.+")])])
        .await;
    let sorted = |mut all: Vec<TimeSeries>| {
        all.sort_by(|a, b| {
            let key = |s: &TimeSeries| -> Vec<String> {
                s.labels.iter().map(|l| l.value.clone()).collect()
            };
            key(a).cmp(&key(b))
        });
        all
    };
    assert_eq!(sorted(read[0].clone()), sorted(written));
}

#[tokio::test]
async fn two_thousand_samples() {
    write_and_read_back(
        2_000,
        Expected {
            calls: 50,
            units: 50,
        },
    )
    .await;
}

#[tokio::test]
async fn ten_thousand_samples() {
    write_and_read_back(
        10_000,
        Expected {
            calls: 100,
            units: 300,
        },
    )
    .await;
}

#[tokio::test]
async fn ten_thousand_samples_of_one_series_in_one_request() {
    let app = TestApp::start().await;
    let samples: Vec<_> = (0..10_000).map(|i| (START_MS + i * 10, i as f64)).collect();
    let written = series(&[("__name__", "m"), ("l", "1")], &samples);
    app.write_ok(vec![written.clone()]).await;
    // 60 records of one series are a unit. 100 calls would cost 200 units, so a call more saves half a unit.
    let counters = app.emulator.counters();
    assert_eq!(
        (counters.calls["WriteRecords"], counters.write_units),
        (166, 167)
    );
    assert_eq!(
        app.read(vec![query(&[(Type::Eq, "__name__", "m")])]).await,
        [[written]]
    );
}

#[tokio::test]
async fn a_series_too_dense_for_one_row_an_hour_is_read_in_narrower_rows() {
    let app = TestApp::start().await;
    // 40,000 samples in 40 s: a row of an hour would exceed 1 MB.
    let samples: Vec<_> = (0..40_000).map(|i| (START_MS + i, i as f64)).collect();
    let written = series(&[("__name__", "m"), ("l", "1")], &samples);
    app.write_ok(vec![written.clone()]).await;
    assert_eq!(
        app.read(vec![query(&[(Type::Eq, "__name__", "m")])]).await,
        [[written]]
    );
}
