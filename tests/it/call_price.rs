//! Requests that wait for permits are cut into fewer calls.

use std::time::Duration;

use prom_wire::prompb::TimeSeries;
use timestream_emulator::{Fault, FaultKind, When};

use crate::support::{START_MS, TestApp, series};

/// Groups of series that share so many bytes, and nothing with other groups.
fn groups(groups: usize, members: usize, shared: usize) -> Vec<TimeSeries> {
    let of_group = |group: usize| {
        let common = format!("{group:0>shared$}");
        (0..members).map(move |member| {
            let member = format!("{member}");
            let labels = [("__name__", "m"), ("group", &common), ("member", &member)];
            series(&labels, &[(START_MS, 1.0)])
        })
    };
    (0..groups).flat_map(of_group).collect()
}

/// Returns an app that makes one call at a time, each of which takes so long, and knows it.
async fn slow(latency: Duration, flags: &[&str]) -> TestApp {
    let flags = [&["--write-concurrency=1"], flags].concat();
    let app = TestApp::start_with(&flags).await;
    app.emulator.order_fault(Fault {
        when: When::Always,
        ..Fault::next("WriteRecords", 1, FaultKind::Latency(latency))
    });
    app.write_ok(groups(1, 1, 3)).await;
    app
}

fn calls(app: &TestApp) -> u64 {
    app.emulator.counters().calls["WriteRecords"]
}

#[tokio::test]
async fn while_calls_wait_for_a_second_a_request_makes_fewer() {
    let app = slow(Duration::from_millis(60), &[]).await;
    let first = app.write_ok(groups(25, 4, 590));
    let second = async {
        while calls(&app) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        app.write_ok(groups(25, 4, 591)).await;
    };
    tokio::join!(first, second);
    // 25 units in 25 calls, then 60 in one.
    assert_eq!(calls(&app), 1 + 25 + 1);
    assert_eq!(app.emulator.counters().points_stored, 1 + 100 + 100);
}

#[tokio::test]
async fn calls_are_as_few_as_possible_if_more_would_not_end_before_the_deadline() {
    let app = TestApp::start().await;
    app.write_ok(groups(10, 10, 800)).await;
    assert_eq!(calls(&app), 10);

    let app = slow(Duration::from_millis(200), &["--request-timeout=2s"]).await;
    app.write_ok(groups(10, 10, 800)).await;
    assert_eq!(calls(&app), 1 + 1);
    assert_eq!(app.emulator.counters().points_stored, 1 + 100);
}
