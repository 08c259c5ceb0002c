//! Reads of the same at the same time share one query.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::read_request::ResponseType::{Samples, StreamedXorChunks};
use prom_wire::prompb::{Query, ReadHints};
use timestream_emulator::{Fault, FaultKind, When};

use crate::support::{START_MS, TestApp, query, series};

const SHARED: &str = "timestream_connector_read_shared_queries_total";
const STATEMENTS: &str = "timestream_connector_read_statements_total";

/// Returns an app with a series, whose Timestream is slow.
async fn slow_app() -> TestApp {
    let app = TestApp::start().await;
    let one = series(&[("__name__", "m"), ("l", "1")], &[(START_MS, 1.0)]);
    app.write_ok(vec![one]).await;
    slow_down(&app, Duration::from_millis(30));
    app
}

fn slow_down(app: &TestApp, latency: Duration) {
    app.emulator.clear_faults();
    app.emulator.order_fault(Fault {
        when: When::Always,
        ..Fault::next("Query", 1, FaultKind::Latency(latency))
    });
}

fn named(name: &str) -> Query {
    query(&[(Type::Eq, "__name__", name)])
}

fn with_func(func: &str) -> Query {
    Query {
        hints: Some(ReadHints {
            func: func.to_owned(),
            ..ReadHints::default()
        }),
        ..named("m")
    }
}

fn calls(app: &TestApp, operation: &str) -> u64 {
    let calls = app.emulator.counters().calls;
    calls.get(operation).copied().unwrap_or_default()
}

#[tokio::test]
async fn one_query_serves_all_simultaneous_requests_for_the_same_data() {
    let app = slow_app().await;
    app.read_samples(vec![named("m")]).await;
    let alone = app.metric(STATEMENTS).await;
    assert_eq!(app.metric(SHARED).await, 0.0);
    // In any form, with any function.
    let reads = (0..10).map(|i| {
        let form = [Samples, StreamedXorChunks][i % 2];
        let func = ["rate", "", "sum", "max_over_time", "delta"][i / 2];
        let app = &app;
        async move { app.read_as(&[form], vec![with_func(func)]).await }
    });
    let responses = join_all(reads).await;
    assert!(responses.iter().all(|response| response.status == 200));
    for form in [0, 1] {
        let bodies = responses.iter().skip(form).step_by(2);
        assert!(bodies.clone().all(|it| it.body == responses[form].body));
    }
    assert_eq!(app.metric(SHARED).await, 9.0);
    // The columns were known, and nothing is counted twice.
    assert_eq!(app.metric(STATEMENTS).await, alone + alone - 1.0);
    assert_eq!(calls(&app, "CancelQuery"), 0);
}

#[tokio::test]
async fn queries_of_one_request_share_too_and_others_do_not() {
    let app = slow_app().await;
    let mut shorter = named("m");
    shorter.end_timestamp_ms -= 1;
    let unequal = query(&[(Type::Eq, "__name__", "m"), (Type::Neq, "l", "2")]);
    let queries = [
        named("m"),
        with_func("series"),
        shorter,
        unequal,
        with_func("rate"),
    ];
    let results = app.read_samples(queries.into()).await;
    assert_eq!(app.metric(SHARED).await, 1.0);
    assert_eq!(results[0], results[4]);
    assert_eq!(results[0][0].samples.len(), 1);
    assert_eq!(results[1][0].samples.len(), 0);
    // And not one after the other: samples written in between are read.
    let more = series(&[("__name__", "m"), ("l", "1")], &[(START_MS + 1, 1.0)]);
    app.write_ok(vec![more]).await;
    let again = app.read_samples(vec![named("m")]).await;
    assert_eq!(again[0][0].samples.len(), 2);
    assert_eq!(app.metric(SHARED).await, 1.0);
}

/// Polls `condition` and, as a server does, all of `running`.
async fn until(mut running: impl Future + Unpin, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it does not happen");
        assert!((&mut running).now_or_never().is_none());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_query_is_cancelled_when_the_last_one_leaves() {
    let app = slow_app().await;
    // About 4 MB, in rows that a page can hold.
    let samples: Vec<_> = (0..3_600)
        .map(|i| (START_MS + i * 1_000, i as f64))
        .collect();
    for instance in 0..16 {
        let instance = instance.to_string();
        let labels = [("__name__", "large"), ("instance", instance.as_str())];
        app.write_ok(vec![series(&labels, &samples)]).await;
    }
    let read = || Box::pin(app.read_as(&[Samples], vec![named("large")]));
    let (mut first, mut second) = (read(), read());
    let both = futures_util::future::join(&mut first, &mut second);
    // The columns, the columns beside the query, and two of its pages.
    until(both, || calls(&app, "Query") >= 4).await;
    slow_down(&app, Duration::from_secs(3_600));
    let before = calls(&app, "Query");
    let both = futures_util::future::join(&mut first, &mut second);
    until(both, || calls(&app, "Query") > before).await;

    drop(first);
    for _ in 0..20 {
        assert!((&mut second).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(calls(&app, "CancelQuery"), 0);
    drop(second);
    until(std::future::pending::<()>(), || {
        calls(&app, "CancelQuery") == 1
    })
    .await;
    assert_eq!(app.metric(SHARED).await, 1.0);
}
