//! A query is cancelled in Timestream once no client waits for it.

use std::future::Future;
use std::time::{Duration, Instant};

use prom_wire::prompb::label_matcher::Type;
use timestream_emulator::{Fault, FaultKind, When};

use crate::support::{START_MS, TestApp, query, series};

/// Returns an app with a result of many pages.
pub(crate) async fn many_pages(flags: &[&str]) -> TestApp {
    let app = TestApp::start_with(flags).await;
    // About 4 MB, in rows that a page can hold.
    let samples: Vec<_> = (0..3_600)
        .map(|i| (START_MS + i * 1_000, i as f64))
        .collect();
    for instance in 0..16 {
        let instance = instance.to_string();
        let labels = [("__name__", "m"), ("instance", instance.as_str())];
        app.write_ok(vec![series(&labels, &samples)]).await;
    }
    slow_down(&app, Duration::from_millis(50));
    app
}

pub(crate) fn slow_down(app: &TestApp, latency: Duration) {
    app.emulator.order_fault(Fault {
        when: When::Always,
        ..Fault::next("Query", 1, FaultKind::Latency(latency))
    });
}

/// Lets the first pages of the result come, and then no more.
pub(crate) async fn get_stuck(app: &TestApp) {
    // The columns, the columns beside the query, and two of its pages.
    until(|| calls(app, "Query") >= 4).await;
    slow_down(app, Duration::from_secs(3_600));
    let before = calls(app, "Query");
    until(|| calls(app, "Query") > before).await;
}

pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn calls(app: &TestApp, operation: &str) -> u64 {
    app.emulator
        .counters()
        .calls
        .get(operation)
        .copied()
        .unwrap_or_default()
}

fn all() -> Vec<prom_wire::prompb::Query> {
    vec![query(&[(Type::Eq, "__name__", "m")])]
}

#[tokio::test]
async fn when_the_client_leaves() {
    let app = many_pages(&[]).await;
    let mut read: std::pin::Pin<Box<dyn Future<Output = _>>> = Box::pin(app.read_raw(all()));
    tokio::select! {
        _ = &mut read => panic!("the read is not stuck"),
        () = get_stuck(&app) => {}
    }
    assert_eq!(calls(&app, "CancelQuery"), 0);
    drop(read);
    until(|| calls(&app, "CancelQuery") == 1).await;
}

#[tokio::test]
async fn when_the_deadline_passes() {
    let app = many_pages(&["--read-timeout=2s"]).await;
    let (response, ()) = tokio::join!(app.read_raw(all()), get_stuck(&app));
    assert_eq!(response.status, 504, "{}", response.text());
    assert!(
        response.text().starts_with("Timeout: "),
        "{}",
        response.text()
    );
    until(|| calls(&app, "CancelQuery") == 1).await;
}

#[tokio::test]
async fn but_not_when_it_is_complete() {
    let app = TestApp::start().await;
    app.write_ok(vec![series(
        &[("__name__", "m"), ("l", "1")],
        &[(START_MS, 1.0)],
    )])
    .await;
    app.read(all()).await;
    assert_eq!(calls(&app, "CancelQuery"), 0);
}
