//! Samples read are the samples written, whatever their labels and values.

use std::collections::BTreeMap;

use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::{ReadHints, TimeSeries};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use timestream_emulator::ColumnCase;

use crate::support::{START_MS, TestApp, query, series};

/// Returns a series with the bits of its samples, for comparison.
fn bits(series: &TimeSeries) -> (BTreeMap<String, String>, Vec<(i64, u64)>) {
    let labels = series
        .labels
        .iter()
        .map(|l| (l.name.clone(), l.value.clone()))
        .collect();
    let samples = series
        .samples
        .iter()
        .map(|s| (s.timestamp, s.value.to_bits()))
        .collect();
    (labels, samples)
}

#[tokio::test]
async fn an_ordinary_series_comes_back() {
    let app = TestApp::start().await;
    let written = series(
        &[
            ("__name__", "up"),
            ("instance", "localhost:9090"),
            ("job", "prometheus"),
        ],
        &[
            (START_MS, 1.0),
            (START_MS + 15_000, 0.1),
            (START_MS + 30_001, 1e300),
        ],
    );
    app.write_ok(vec![written.clone()]).await;
    assert_eq!(
        app.read(vec![query(&[(Type::Eq, "__name__", "up")])]).await,
        [[written]]
    );
    assert_eq!(
        app.metric("timestream_connector_written_samples_total")
            .await,
        3.0
    );
    assert_eq!(
        app.metric("timestream_connector_received_samples_total")
            .await,
        3.0
    );
}

#[tokio::test]
async fn nasty_labels_come_back() {
    // Two of them differ in case alone, which only a service that distinguishes them can return.
    let app = TestApp::start_in_case(ColumnCase::Exact, &[]).await;
    let long = "v".repeat(1_500);
    let cases: &[&[(&str, &str)]] = &[
        &[
            ("__name__", "quotes"),
            ("l", r#"it's "quoted" \ ; -- DROP TABLE 'x'"#),
        ],
        &[("__name__", "lines"), ("l", "a\nb\r\n\tc\0")],
        &[("__name__", "unicode"), ("ü.ñ", "日本 🦀")],
        &[("__name__", "job:rate:5m"), ("a:b", "1")],
        &[
            ("__name__", "time"),
            ("time", "1"),
            ("measure_name", "2"),
            ("ts_x", "3"),
        ],
        &[
            ("__name__", "_x_"),
            ("_x", "1"),
            ("x_", "2"),
            ("1x", "3"),
            ("U__x", "4"),
        ],
        &[
            ("__name__", "U__escaped_x"),
            ("measure_value", "1"),
            ("measure_value::double", "2"),
        ],
        &[("__name__", "no_labels")],
        &[
            ("__name__", "select"),
            ("from", "1"),
            ("WHERE", "2"),
            ("where", "3"),
            ("samples", "4"),
        ],
        &[("__name__", "long"), ("l", &long)],
        &[("__name__", "percent%_"), ("l", "100%_")],
        &[("__name__", "percentx_"), ("l", "other")],
        &[("__name__", "html"), ("l", "<a href='x'>&amp;</a>")],
    ];
    let written: Vec<_> = cases
        .iter()
        .map(|labels| series(labels, &[(START_MS, 1.5)]))
        .collect();
    app.write_ok(written.clone()).await;
    for series in &written {
        let matchers: Vec<_> = series
            .labels
            .iter()
            .map(|l| (Type::Eq, l.name.as_str(), l.value.as_str()))
            .collect();
        let read = app.read(vec![query(&matchers)]).await;
        assert_eq!(read[0].iter().map(bits).collect::<Vec<_>>(), [bits(series)]);
    }
    // All at once, without any name to go by.
    let read = app.read(vec![query(&[])]).await;
    assert_eq!(read[0].len(), written.len());
}

#[tokio::test]
async fn an_empty_label_is_an_absent_one_and_destination_labels_are_not_stored() {
    let app = TestApp::start().await;
    app.write_ok(vec![series(
        &[
            ("__name__", "up"),
            ("empty", ""),
            ("job", "a"),
            ("table", "other"),
        ],
        &[(START_MS, 1.0)],
    )])
    .await;
    assert_eq!(app.emulator.points("db", "other").len(), 1);
    let read = app
        .read(vec![query(&[
            (Type::Eq, "__name__", "up"),
            (Type::Eq, "table", "other"),
        ])])
        .await;
    assert_eq!(
        read,
        [[series(
            &[("__name__", "up"), ("job", "a")],
            &[(START_MS, 1.0)]
        )]]
    );
    assert_eq!(
        app.read(vec![query(&[(Type::Eq, "__name__", "up")])]).await,
        [[]]
    );
    // Several tables at once.
    app.write_ok(vec![series(
        &[("__name__", "up"), ("job", "b")],
        &[(START_MS, 2.0)],
    )])
    .await;
    let both = app
        .read(vec![query(&[(Type::Re, "table", "other|")])])
        .await;
    assert_eq!(both[0].len(), 2);
}

#[tokio::test]
async fn samples_that_cannot_be_stored_are_counted_and_the_others_stored() {
    let app = TestApp::start().await;
    let long_name = "n".repeat(257);
    let long_label = "l".repeat(61);
    let large = "v".repeat(2_048);
    let many: Vec<String> = (0..200).map(|i| format!("l{i}")).collect();
    let mut labels: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    labels.push(("__name__", "many"));
    app.write_ok(vec![
        series(
            &[("__name__", &long_name)],
            &[(START_MS, 1.0), (START_MS + 1, 1.0)],
        ),
        series(&[("__name__", "a"), (&long_label, "1")], &[(START_MS, 1.0)]),
        series(&[("__name__", "a"), ("l", &large)], &[(START_MS, 1.0)]),
        series(&labels, &[(START_MS, 1.0)]),
        series(
            &[("__name__", "ok"), ("l", "1")],
            &[
                (START_MS, f64::NAN),
                (START_MS + 1, f64::INFINITY),
                (START_MS + 2, f64::NEG_INFINITY),
                (-1, 1.0),
                // Nanoseconds.
                (START_MS * 1_000_000, 1.0),
                (START_MS + 3, -0.0),
            ],
        ),
    ])
    .await;
    let ignored = async |reason: &str| {
        app.metric(&format!(
            "timestream_connector_ignored_samples_total{{reason=\"{reason}\"}}"
        ))
        .await
    };
    assert_eq!(ignored("long_metric_name").await, 2.0);
    assert_eq!(ignored("long_label_name").await, 1.0);
    assert_eq!(ignored("record_too_large").await, 1.0);
    assert_eq!(ignored("too_many_labels").await, 1.0);
    assert_eq!(ignored("value_not_finite").await, 3.0);
    assert_eq!(ignored("negative_timestamp").await, 1.0);
    assert_eq!(ignored("timestamp_out_of_range").await, 1.0);
    assert_eq!(
        app.metric("timestream_connector_write_calls_total").await,
        1.0
    );
    let read = app.read(vec![query(&[])]).await;
    assert_eq!(read[0].len(), 1);
    // Timestream rejects -0.0, so it is stored as 0.
    assert_eq!(bits(&read[0][0]).1, [(START_MS + 3, 0.0_f64.to_bits())]);
}

#[tokio::test]
async fn names_at_the_limits_are_stored() {
    let app = TestApp::start().await;
    let (name, label) = ("n".repeat(256), "l".repeat(60));
    let written = series(&[("__name__", &name), (&label, "1")], &[(START_MS, 1.0)]);
    app.write_ok(vec![written.clone()]).await;
    assert_eq!(
        app.read(vec![query(&[(Type::Eq, "__name__", &name)])])
            .await,
        [[written]]
    );
}

#[tokio::test]
async fn results_come_in_the_order_of_the_queries() {
    let app = TestApp::start().await;
    let a = series(&[("__name__", "a"), ("job", "x")], &[(START_MS, 1.0)]);
    let b = series(&[("__name__", "b"), ("job", "y")], &[(START_MS, 2.0)]);
    app.write_ok(vec![a.clone(), b.clone()]).await;
    let queries = vec![
        query(&[(Type::Eq, "__name__", "b")]),
        query(&[(Type::Eq, "__name__", "none")]),
        query(&[(Type::Eq, "__name__", "a")]),
    ];
    assert_eq!(app.read(queries).await, [vec![b], vec![], vec![a]]);
}

#[tokio::test]
async fn a_range_is_exact_to_the_millisecond() {
    let app = TestApp::start().await;
    let samples: Vec<_> = (0..10).map(|i| (START_MS + i, i as f64)).collect();
    app.write_ok(vec![series(&[("__name__", "a"), ("l", "1")], &samples)])
        .await;
    let mut query = query(&[(Type::Eq, "__name__", "a")]);
    (query.start_timestamp_ms, query.end_timestamp_ms) = (START_MS + 2, START_MS + 8);
    query.hints = Some(ReadHints {
        start_ms: START_MS + 3,
        end_ms: START_MS + 100,
        ..ReadHints::default()
    });
    let read = app.read(vec![query.clone()]).await;
    let times: Vec<_> = read[0][0]
        .samples
        .iter()
        .map(|s| s.timestamp - START_MS)
        .collect();
    assert_eq!(times, [3, 4, 5, 6, 7, 8]);

    // Labels alone, as /api/v1/series requests them, over all of time.
    query.start_timestamp_ms = -9_223_309_901_257_974_000;
    query.end_timestamp_ms = 9_223_309_901_257_974_999;
    query.hints = Some(ReadHints {
        func: "series".to_owned(),
        ..ReadHints::default()
    });
    let read = app.read(vec![query]).await;
    assert_eq!(read, [[series(&[("__name__", "a"), ("l", "1")], &[])]]);
}

#[tokio::test]
async fn a_series_over_many_hours_and_pages_comes_back_once_and_sorted() {
    let app = TestApp::start().await;
    let pad = "p".repeat(500);
    let mut written = Vec::new();
    for instance in 0..20 {
        // Newest first, and an hour apart for every 60th.
        let samples: Vec<_> = (0..600_i64)
            .rev()
            .map(|i| (START_MS + i * 60_000, (i * 7 + instance) as f64))
            .collect();
        let instance = format!("host-{instance}");
        let labels = [
            ("__name__", "a"),
            ("instance", instance.as_str()),
            ("pad", pad.as_str()),
        ];
        written.push(series(&labels, &samples));
    }
    app.write_ok(written.clone()).await;
    let mut query = query(&[(Type::Eq, "__name__", "a")]);
    query.end_timestamp_ms = START_MS + 600 * 60_000;
    let read = app.read(vec![query]).await;
    // The columns twice, the empty first page, and more than one with rows.
    let calls = app.emulator.counters().calls["Query"];
    assert!(calls >= 5, "{calls} calls");
    let expected: Vec<_> = written
        .iter()
        .map(bits)
        .map(|(labels, mut samples)| {
            samples.sort_unstable();
            (labels, samples)
        })
        .collect();
    let mut read: Vec<_> = read[0].iter().map(bits).collect();
    read.sort_by_key(|(labels, _)| expected.iter().position(|(other, _)| other == labels));
    assert_eq!(read, expected);
}

fn label_name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-zA-Z_:][a-zA-Z0-9_:]{0,10}",
        1 => "(U__|ts_|measure_name|time|_|[0-9])?[a-z_.]{0,4}x?",
        1 => "\\PC{1,4}",
    ]
    .prop_filter("a label has a name", |name| {
        !name.is_empty() && name != "__name__" && name != "table"
    })
}

fn finite() -> impl Strategy<Value = f64> {
    any::<u64>()
        .prop_map(f64::from_bits)
        .prop_filter("Timestream takes finite values; -0.0 becomes 0", |v| {
            v.is_finite() && v.to_bits() != 1 << 63
        })
}

#[test]
fn any_labels_and_any_finite_value_come_back_bit_by_bit() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let strategy = (
        label_name(),
        prop::collection::btree_map(label_name(), "\\PC{1,12}|['\"\\\\\n%_]{1,6}", 0..6),
        prop::collection::btree_map(START_MS..START_MS + 3_600_000, finite(), 1..20),
    );
    let mut runner = TestRunner::new(Config {
        cases: 96,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&strategy, |(name, labels, samples)| {
            let mut all = vec![("__name__", name.as_str())];
            all.extend(
                labels
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            );
            let samples: Vec<_> = samples.into_iter().collect();
            let written = series(&all, &samples);
            let read = runtime.block_on(async {
                let app = TestApp::start().await;
                app.write_ok(vec![written.clone()]).await;
                let matchers: Vec<_> = all
                    .iter()
                    .map(|&(name, value)| (Type::Eq, name, value))
                    .collect();
                app.read(vec![query(&matchers)]).await
            });
            prop_assert_eq!(
                read[0].iter().map(bits).collect::<Vec<_>>(),
                vec![bits(&written)]
            );
            Ok(())
        })
        .unwrap();
}
