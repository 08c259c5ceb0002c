//! Columns are cached, and an outdated cache never changes a response.

use prom_wire::prompb::label_matcher::Type;

use crate::support::{START_MS, TestApp, query, series};

#[tokio::test]
async fn labels_that_appear_after_a_read_are_seen_by_the_next_one() {
    let app = TestApp::start().await;
    let up = [(Type::Eq, "__name__", "up")];
    let any = [(Type::Re, "job", ".+")];
    app.write_ok(vec![series(
        &[("__name__", "up"), ("job", "a")],
        &[(START_MS, 1.0)],
    )])
    .await;
    for matchers in [&up, &any] {
        assert_eq!(app.read(vec![query(matchers)]).await[0].len(), 1);
    }
    app.write_ok(vec![
        series(
            &[("__name__", "up"), ("job", "a"), ("zone", "x")],
            &[(START_MS, 2.0)],
        ),
        series(
            &[("__name__", "up"), ("job", "a"), ("zone", "y")],
            &[(START_MS, 3.0)],
        ),
    ])
    .await;
    for matchers in [&up, &any] {
        let read = app.read(vec![query(matchers)]).await;
        let mut values: Vec<_> = read[0]
            .iter()
            .map(|series| series.samples[0].value)
            .collect();
        values.sort_by(f64::total_cmp);
        assert_eq!(values, [1.0, 2.0, 3.0]);
    }
}

#[tokio::test]
async fn a_label_that_had_no_column_is_looked_up_again() {
    let app = TestApp::start().await;
    let zone = [(Type::Eq, "__name__", "up"), (Type::Eq, "zone", "x")];
    assert_eq!(app.read(vec![query(&zone)]).await, [[]]);
    app.write_ok(vec![series(
        &[("__name__", "up"), ("job", "a")],
        &[(START_MS, 1.0)],
    )])
    .await;
    assert_eq!(app.read(vec![query(&zone)]).await, [[]]);
    let written = series(&[("__name__", "up"), ("zone", "x")], &[(START_MS, 2.0)]);
    app.write_ok(vec![written.clone()]).await;
    assert_eq!(app.read(vec![query(&zone)]).await, [[written]]);
}

#[tokio::test]
async fn columns_are_requested_before_the_first_query_only() {
    let app = TestApp::start().await;
    app.write_ok(vec![series(
        &[("__name__", "up"), ("job", "a")],
        &[(START_MS, 1.0)],
    )])
    .await;
    let mut before = 0.0;
    // Columns, query and columns beside it; from then on only the last two.
    for expected in [3.0, 2.0, 2.0] {
        app.read_samples(vec![query(&[(Type::Eq, "__name__", "up")])])
            .await;
        let statements = app
            .metric("timestream_connector_read_statements_total")
            .await;
        assert_eq!(statements - before, expected);
        before = statements;
    }
}
