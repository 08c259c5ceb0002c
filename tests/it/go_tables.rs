//! Tables of the Go connector stay readable: the same layout, but no name is escaped.

use prom_wire::prompb::label_matcher::Type;
use timestream_emulator::{Config as EmulatorConfig, Emulator};

use crate::go_connector;
use crate::support::{START_MS, TestApp, connect, query, series, table};

#[tokio::test]
async fn series_of_the_go_connector_and_of_this_one_read_as_one() {
    let app = TestApp::start().await;
    let all = [("__name__", "up"), ("instance", "a:9100"), ("job", "api")];
    go_connector::write(&app.emulator.url(), &[series(&all, &[(START_MS, 1.0)])]).await;
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
    // Names that the rules of the service allowed the Go connector at one time or another.
    let all = [
        ("__name__", "_metric_"),
        ("_x", "1"),
        ("job", "api"),
        ("x_", "2"),
        ("日本", "ü"),
    ];
    go_connector::write(&app.emulator.url(), &[series(&all, &[(START_MS, 1.0)])]).await;
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
