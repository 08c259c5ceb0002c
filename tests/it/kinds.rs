//! Every kind of sample is stored and comes back: special values, native histograms, exemplars.

use std::collections::BTreeMap;

use http::StatusCode;
use prom_wire::prompb::histogram::{Count, ZeroCount};
use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::{BucketSpan, Exemplar, Histogram, Query, ReadHints, TimeSeries};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use timestream_emulator::Value;

use crate::sql;
use crate::support::{START_MS, TestApp, query, series};

const STALE: u64 = 0x7ff0_0000_0000_0002;
const NAN: u64 = 0x7ff8_0000_0000_0001;
const NEGATIVE_ZERO: u64 = 1 << 63;

pub(crate) fn named(name: &str) -> Query {
    query(&[(Type::Eq, "__name__", name)])
}

/// Returns the label sets that Prometheus gets when it requests series alone.
pub(crate) async fn label_sets(app: &TestApp, mut query: Query) -> Vec<TimeSeries> {
    query.hints = Some(ReadHints {
        func: "series".to_owned(),
        ..ReadHints::default()
    });
    app.read(vec![query]).await.remove(0)
}

fn bits(series: &TimeSeries) -> Vec<(i64, u64)> {
    let samples = series.samples.iter();
    samples.map(|s| (s.timestamp, s.value.to_bits())).collect()
}

fn of_bits(labels: &[(&str, &str)], samples: &[(i64, u64)]) -> TimeSeries {
    let samples: Vec<_> = samples
        .iter()
        .map(|&(time, bits)| (time, f64::from_bits(bits)))
        .collect();
    series(labels, &samples)
}

async fn ignored(app: &TestApp, reason: &str) -> f64 {
    let name = "timestream_connector_ignored_samples_total";
    app.metric(&format!("{name}{{reason=\"{reason}\"}}")).await
}

fn spans(all: &[(i32, u32)]) -> Vec<BucketSpan> {
    all.iter()
        .map(|&(offset, length)| BucketSpan { offset, length })
        .collect()
}

/// Returns an integer histogram of 27 observations, with all that such a one can have.
pub(crate) fn integers(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(27)),
        sum: 18.4,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: Some(ZeroCount::ZeroCountInt(3)),
        negative_spans: spans(&[(-3, 2)]),
        negative_deltas: vec![5, -3],
        positive_spans: spans(&[(0, 2), (1, 2)]),
        positive_deltas: vec![1, 1, -1, 12],
        timestamp,
        ..Histogram::default()
    }
}

/// Returns a float histogram that is a gauge.
pub(crate) fn floats(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountFloat(6.25)),
        sum: -1.5e300,
        schema: -4,
        zero_count: Some(ZeroCount::ZeroCountFloat(0.0)),
        positive_spans: spans(&[(-7, 3)]),
        positive_counts: vec![0.25, 1.0, 5.0],
        reset_hint: 3,
        timestamp,
        ..Histogram::default()
    }
}

/// Returns an integer histogram with custom buckets.
pub(crate) fn custom(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(30)),
        sum: 12.5,
        schema: -53,
        positive_spans: spans(&[(0, 2), (2, 1)]),
        positive_deltas: vec![10, 5, -10],
        custom_values: vec![0.1, 0.5, 1.0, 5.0],
        timestamp,
        ..Histogram::default()
    }
}

pub(crate) fn stale(timestamp: i64) -> Histogram {
    Histogram {
        sum: f64::from_bits(STALE),
        timestamp,
        ..Histogram::default()
    }
}

pub(crate) fn histograms(labels: &[(&str, &str)], histograms: Vec<Histogram>) -> TimeSeries {
    TimeSeries {
        histograms,
        ..series(labels, &[])
    }
}

fn exemplars(labels: &[(&str, &str)], exemplars: Vec<Exemplar>) -> TimeSeries {
    TimeSeries {
        exemplars,
        ..series(labels, &[])
    }
}

fn exemplar(labels: &[(&str, &str)], value: f64, timestamp: i64) -> Exemplar {
    Exemplar {
        labels: series(labels, &[]).labels,
        value,
        timestamp,
    }
}

#[tokio::test]
async fn special_values_are_stored_where_the_option_is_set() {
    let app = TestApp::start_with(&["--store-special-values"]).await;
    let labels = [("__name__", "m"), ("job", "a")];
    let written = of_bits(
        &labels,
        &[
            (START_MS, 1.5_f64.to_bits()),
            (START_MS + 1, NAN),
            (START_MS + 2, STALE),
            (START_MS + 3, f64::INFINITY.to_bits()),
            (START_MS + 4, f64::NEG_INFINITY.to_bits()),
            (START_MS + 5, NEGATIVE_ZERO),
            (START_MS + 6, 0xfff8_dead_beef_0001),
            (START_MS + 7, 0),
        ],
    );
    // One that has no labels, and nothing but a stale marker.
    let alone = of_bits(&[("__name__", "alone")], &[(START_MS, STALE)]);
    app.write_ok(vec![written.clone(), alone.clone()]).await;

    let point = |time_ms: i64| {
        let points = app.emulator.points("db", "t");
        let all = points.into_iter().filter(|p| p.measure_name == "m");
        let mut all = all.filter(|p| p.time_ns == time_ms * 1_000_000);
        all.next().unwrap()
    };
    let stored = point(START_MS + 2);
    assert_eq!(stored.value, Value::Double(0.0));
    assert_eq!(stored.dimensions["U__value_bits"], "7ff0000000000002");
    assert!(!point(START_MS).dimensions.contains_key("U__value_bits"));

    let read = app.read(vec![named("m"), named("alone")]).await;
    assert_eq!((read[0].len(), read[1].len()), (1, 1));
    assert_eq!(read[0][0].labels, written.labels);
    assert_eq!(bits(&read[0][0]), bits(&written));
    assert_eq!(read[1][0].labels, alone.labels);
    assert_eq!(bits(&read[1][0]), bits(&alone));
    assert_eq!(ignored(&app, "value_not_finite").await, 0.0);

    // As labels alone each series is there once, by whatever name it is queried.
    for query in [named("m"), query(&[(Type::Eq, "job", "a")])] {
        assert_eq!(label_sets(&app, query).await, [series(&labels, &[])]);
    }
    // The reserved dimension is not a label, under any name or in any kind of matcher.
    for (op, value, expected) in [
        (Type::Eq, "7ff0000000000002", 0),
        (Type::Re, ".+", 0),
        (Type::Neq, "", 0),
        (Type::Eq, "", 2),
    ] {
        let read = app.read(vec![query(&[(op, "U__value_bits", value)])]).await;
        assert_eq!(read[0].len(), expected, "{op:?} {value}");
    }
    // A label of that name is another column.
    let twin = series(
        &[("U__value_bits", "7ff0000000000002"), ("__name__", "twin")],
        &[(START_MS, 1.0)],
    );
    app.write_ok(vec![twin.clone()]).await;
    assert_eq!(app.read(vec![named("twin")]).await, [[twin]]);
}

#[tokio::test]
async fn special_values_are_understood_whatever_the_option_says_now() {
    let app = TestApp::start_with(&["--store-special-values"]).await;
    let labels = [("__name__", "m"), ("job", "a")];
    app.write_ok(vec![of_bits(
        &labels,
        &[(START_MS, STALE), (START_MS + 1, NAN)],
    )])
    .await;
    let without = TestApp {
        router: crate::support::connect(&app.emulator, &[]).await,
        emulator: app.emulator,
    };
    let written = [
        (START_MS + 1, 2.0_f64.to_bits()),
        (START_MS + 2, STALE),
        (START_MS + 3, NEGATIVE_ZERO),
    ];
    without.write_ok(vec![of_bits(&labels, &written)]).await;
    assert_eq!(ignored(&without, "value_not_finite").await, 1.0);
    let read = without.read(vec![named("m")]).await;
    let expected = [
        (START_MS, STALE),
        // If both are stored the ordinary value wins.
        (START_MS + 1, 2.0_f64.to_bits()),
        (START_MS + 3, 0),
    ];
    assert_eq!(bits(&read[0][0]), expected);
}

#[tokio::test]
async fn a_special_value_needs_a_dimension_more() {
    let names: Vec<String> = (0..127).map(|i| format!("l{i:03}")).collect();
    let labels = |name: &'static str, count: usize| -> Vec<(&str, &str)> {
        let labels = names.iter().take(count).map(|name| (name.as_str(), "1"));
        std::iter::once(("__name__", name)).chain(labels).collect()
    };
    let app = TestApp::start_with(&["--store-special-values"]).await;
    // The record of an ordinary value has just the 2,048 bytes that one may have.
    let large = "v".repeat(2_048 - 16 - 1 - 4);
    let full = [labels("full", 127), vec![("other", "1")]].concat();
    let large = [("__name__", "m"), ("l000", large.as_str())];
    let value = [(START_MS, STALE), (START_MS + 1, 1.0_f64.to_bits())];
    app.write_ok(vec![of_bits(&full, &value)]).await;
    assert_eq!(ignored(&app, "too_many_labels").await, 1.0);
    let app = TestApp::start_with(&["--store-special-values"]).await;
    app.write_ok(vec![
        of_bits(&labels("fits", 127), &value),
        of_bits(&large, &value),
    ])
    .await;
    assert_eq!(ignored(&app, "record_too_large").await, 1.0);
    let read = app.read(vec![named("fits"), named("m")]).await;
    assert_eq!(bits(&read[0][0]), value);
    assert_eq!(bits(&read[1][0]), value[1..]);
    // The option that rejects long labels applies here too.
    let strict = ["--store-special-values", "--fail-on-long-label"];
    let app = TestApp::start_with(&strict).await;
    let response = app.write(vec![of_bits(&full, &value)]).await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    // An option that rejects values accepts these, which can be stored.
    let strict = ["--store-special-values", "--fail-on-invalid-sample-value"];
    let app = TestApp::start_with(&strict).await;
    app.write_ok(vec![of_bits(&labels("m", 1), &value)]).await;
}

#[tokio::test]
async fn native_histograms_of_every_kind_come_back() {
    let app = TestApp::start().await;
    let labels = [("__name__", "latency:5m"), ("job", "a"), ("zone", "x")];
    let written = histograms(
        &labels,
        vec![
            integers(START_MS),
            floats(START_MS + 15_000),
            custom(START_MS + 30_000),
            stale(START_MS + 45_000),
            Histogram {
                count: Some(Count::CountInt(0)),
                timestamp: START_MS + 60_000,
                ..Histogram::default()
            },
            // NaN is in the count and in no bucket.
            Histogram {
                count: Some(Count::CountInt(2)),
                sum: f64::from_bits(NAN),
                timestamp: START_MS + 75_000,
                ..Histogram::default()
            },
        ],
    );
    app.write_ok(vec![written.clone()]).await;
    let points = app.emulator.points("db", "t");
    assert_eq!(points.len(), 6);
    let measure = "U__histogram_of_U__latency_3a_5mx";
    assert!(points.iter().all(|point| point.measure_name == measure));
    let read = app.read_samples(vec![named("latency:5m")]).await;
    assert_same(&read[0], std::slice::from_ref(&written));
    // The columns twice, and one statement for what there is.
    assert_eq!(
        app.metric("timestream_connector_read_statements_total")
            .await,
        3.0
    );
    assert_eq!(
        app.metric("timestream_connector_read_samples_total").await,
        6.0
    );
    assert_eq!(
        app.metric("timestream_connector_written_samples_total")
            .await,
        6.0
    );

    // By other labels, by regular expressions, and as labels alone.
    for matchers in [
        &[(Type::Eq, "zone", "x")][..],
        &[(Type::Re, "__name__", "latency:.m")],
        &[
            (Type::Nre, "__name__", "other.*"),
            (Type::Neq, "__name__", "x"),
        ],
        &[],
    ] {
        assert_same(
            &app.read(vec![query(matchers)]).await[0],
            std::slice::from_ref(&written),
        );
        let sets = label_sets(&app, query(matchers)).await;
        assert_eq!(sets, [series(&labels, &[])], "{matchers:?}");
    }
    for matchers in [
        &[(Type::Eq, "__name__", "U__histogram_of_U__latency_3a_5mx")][..],
        &[(Type::Eq, "__name__", "latency")],
        &[(Type::Nre, "__name__", "lat.*")],
        &[(Type::Neq, "__name__", "latency:5m")],
        &[(Type::Eq, "zone", "")],
    ] {
        assert_eq!(app.read(vec![query(matchers)]).await, [[]], "{matchers:?}");
        assert_eq!(label_sets(&app, query(matchers)).await, [], "{matchers:?}");
    }
}

/// Compares with NaN equal to itself.
fn assert_same(read: &[TimeSeries], written: &[TimeSeries]) {
    let text = |all: &[TimeSeries]| -> Vec<Vec<u8>> {
        all.iter().map(prost::Message::encode_to_vec).collect()
    };
    assert_eq!(text(read), text(written), "{read:?}\n{written:?}");
}

#[tokio::test]
async fn floats_and_histograms_of_a_metric_are_one_series() {
    let app = TestApp::start_with(&["--store-special-values"]).await;
    let labels = [("__name__", "m"), ("job", "a")];
    let written = TimeSeries {
        histograms: vec![integers(START_MS + 2), stale(START_MS + 3)],
        ..of_bits(&labels, &[(START_MS, 0), (START_MS + 1, STALE)])
    };
    let other = histograms(&[("__name__", "m"), ("other", "b")], vec![custom(START_MS)]);
    // A float that ends histograms is one when it comes back.
    let sent = TimeSeries {
        histograms: vec![integers(START_MS + 2)],
        ..of_bits(
            &labels,
            &[(START_MS, 0), (START_MS + 1, STALE), (START_MS + 3, STALE)],
        )
    };
    let classic = series(&[("__name__", "m_sum"), ("job", "a")], &[(START_MS, 1.0)]);
    app.write_ok(vec![sent, other.clone(), classic]).await;
    let read = app.read(vec![named("m")]).await;
    assert_same(&read[0], &[written.clone(), other.clone()]);
    let read = app
        .read(vec![query(&[(Type::Re, "__name__", "m.?")])])
        .await;
    assert_same(&read[0], &[written, other]);
    let sets = label_sets(&app, query(&[])).await;
    assert_eq!(sets.len(), 3);
}

#[tokio::test]
async fn a_histogram_that_breaks_the_rules_costs_only_itself() {
    let app = TestApp::start().await;
    let labels = [("__name__", "m"), ("job", "a")];
    let bad = Histogram {
        count: Some(Count::CountInt(99)),
        ..integers(START_MS)
    };
    let response = app
        .write(vec![
            histograms(&labels, vec![bad, integers(START_MS + 1)]),
            series(&[("__name__", "x")], &[(START_MS, 1.0)]),
        ])
        .await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    let text = response.text();
    assert!(
        text.starts_with(
            "InvalidNativeHistogram: the native histogram of the time series \
             {__name__=\"m\", job=\"a\"} is not valid: the buckets hold 27 observations, but the \
             count is 99; correct the sender (1 samples)"
        ),
        "{text}"
    );
    assert!(
        text.ends_with("of 3 samples 2 are stored, 0 ignored, 1 not stored"),
        "{text}"
    );
    let failed = "timestream_connector_failed_samples_total{reason=\"InvalidNativeHistogram\"}";
    assert_eq!(app.metric(failed).await, 1.0);
    let read = app.read(vec![named("m")]).await;
    assert_same(
        &read[0],
        &[histograms(&labels, vec![integers(START_MS + 1)])],
    );
}

/// Returns an integer histogram of so many buckets, none of them near the others.
fn scattered(buckets: u32, timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(u64::from(buckets))),
        sum: 1.0,
        schema: 8,
        positive_spans: (0..buckets).map(|_| spans(&[(1, 1)])[0]).collect(),
        positive_deltas: (0..buckets).map(|i| i64::from(i == 0)).collect(),
        timestamp,
        ..Histogram::default()
    }
}

#[tokio::test]
async fn a_histogram_too_large_for_a_record_is_left_out_by_policy() {
    let app = TestApp::start().await;
    let labels = [("__name__", "m"), ("job", "a")];
    let written = vec![scattered(200, START_MS), scattered(300, START_MS + 1)];
    app.write_ok(vec![histograms(&labels, written.clone())])
        .await;
    assert_eq!(ignored(&app, "histogram_too_large").await, 1.0);
    let read = app.read(vec![named("m")]).await;
    assert_same(&read[0], &[histograms(&labels, written[..1].to_vec())]);
    // Before 1970, and under a name whose reserved form is too long.
    let name = "n".repeat(241);
    app.write_ok(vec![
        histograms(&labels, vec![integers(-1)]),
        histograms(&[("__name__", &name)], vec![integers(START_MS)]),
        histograms(&[("__name__", &name[1..])], vec![integers(START_MS)]),
    ])
    .await;
    assert_eq!(ignored(&app, "negative_timestamp").await, 1.0);
    assert_eq!(ignored(&app, "long_metric_name").await, 1.0);
    assert_eq!(app.read(vec![named(&name[1..])]).await[0].len(), 1);

    let strict = TestApp::start_with(&["--fail-on-invalid-sample-value"]).await;
    let response = strict.write(vec![histograms(&labels, written)]).await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    let text = response.text();
    assert!(
        text.contains("native histogram at timestamp 1600000000001"),
        "{text}"
    );
    assert!(strict.emulator.points("db", "t").is_empty());
}

#[tokio::test]
async fn exemplars_are_stored_for_sql_and_are_nobodys_samples() {
    let app = TestApp::start().await;
    let labels = [("__name__", "requests_total"), ("code", "200")];
    let both = TimeSeries {
        exemplars: vec![
            exemplar(
                &[("trace_id", "ab12"), ("span_id", "7")],
                0.25,
                START_MS - 30,
            ),
            // Of the same millisecond, and twice the same.
            exemplar(&[("trace_id", "cd34")], 0.5, START_MS),
            exemplar(&[("trace_id", "ef56")], f64::NAN, START_MS),
            exemplar(&[("trace_id", "ef56")], f64::NAN, START_MS),
        ],
        ..series(&labels, &[(START_MS, 7.0)])
    };
    let alone = exemplars(
        &[("__name__", "alone")],
        vec![exemplar(&[], f64::INFINITY, START_MS)],
    );
    app.write_ok(vec![both.clone(), alone.clone()]).await;
    // Sent again they are accepted and not stored again.
    app.write_ok(vec![both, alone]).await;
    assert_eq!(app.emulator.points("db", "t").len(), 5);
    assert_eq!(
        app.metric("timestream_connector_written_samples_total")
            .await,
        12.0
    );

    let statement = sql::documented("SELECT time, code, measure_value::varchar");
    let statement = statement
        .replace("\"prometheus\".\"samples\"", "\"db\".\"t\"")
        .replace(" AND time > ago(1h)", "");
    let rows = sql::rows(&app.emulator, &statement).await;
    let mut texts: Vec<_> = rows.iter().map(|row| row[2].as_deref().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        [
            r#"{"labels":{"trace_id":"ab12","span_id":"7"},"value":0.25,"timestamp":1599999999970}"#,
            r#"{"labels":{"trace_id":"cd34"},"value":0.5,"timestamp":1600000000000}"#,
            r#"{"labels":{"trace_id":"ef56"},"value":"NaN:7ff8000000000000","timestamp":1600000000000}"#,
        ]
    );
    assert!(rows.iter().all(|row| row[1].as_deref() == Some("200")));

    let read = app.read(vec![query(&[])]).await;
    assert_eq!(read[0], [series(&labels, &[(START_MS, 7.0)])]);
    assert_eq!(app.read(vec![named("alone")]).await, [[]]);
    let sets = label_sets(&app, query(&[])).await;
    assert_eq!(sets, [series(&labels, &[])]);
    assert_eq!(label_sets(&app, named("alone")).await, []);
}

#[tokio::test]
async fn all_kinds_go_in_the_same_calls_and_are_billed_as_computed() {
    let app = TestApp::start_with(&["--store-special-values"]).await;
    let labels = [("__name__", "m"), ("job", "ü")];
    let all = (0..20)
        .map(|i| TimeSeries {
            histograms: vec![integers(START_MS + i)],
            exemplars: vec![exemplar(&[("trace_id", "é")], 1.0, START_MS + i)],
            ..of_bits(
                &labels,
                &[(START_MS + i, i as u64), (START_MS + 100 + i, STALE)],
            )
        })
        .collect();
    app.write_ok(all).await;
    let counters = app.emulator.counters();
    assert_eq!(
        (counters.calls["WriteRecords"], counters.points_stored),
        (1, 80)
    );
    let units = app.metric("timestream_connector_write_units_total").await;
    assert_eq!(units, counters.write_units as f64);
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn any_bits_come_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let exponents = prop_oneof![
        Just(0x7ff_u64),
        Just(0xfff),
        Just(0),
        Just(0x800),
        0..=0xfff_u64
    ];
    let bits_of_any = (exponents, any::<u64>())
        .prop_map(|(exponent, fraction)| exponent << 52 | fraction & ((1 << 52) - 1));
    let samples = prop::collection::btree_map(
        START_MS..START_MS + 3_600_000,
        prop_oneof![3 => bits_of_any, 1 => prop::sample::select(vec![STALE, NAN, NEGATIVE_ZERO, 0])],
        1..60,
    );
    let strategy = (samples, any::<bool>());
    runner(64)
        .run(&strategy, |(samples, has_label)| {
            let samples: Vec<_> = samples.into_iter().collect();
            let labels = [("__name__", "m"), ("job", "a")];
            let written = of_bits(&labels[..1 + usize::from(has_label)], &samples);
            let read = runtime.block_on(async {
                let app = TestApp::start_with(&["--store-special-values"]).await;
                app.write_ok(vec![written.clone()]).await;
                app.read(vec![named("m")]).await
            });
            prop_assert_eq!(read[0].len(), 1);
            prop_assert_eq!(&read[0][0].labels, &written.labels);
            prop_assert_eq!(bits(&read[0][0]), samples);
            Ok(())
        })
        .unwrap();
}

/// Spans over so many buckets, with gaps.
fn any_spans(first: std::ops::Range<i32>) -> impl Strategy<Value = Vec<BucketSpan>> {
    let later = prop::collection::vec((0..9_i32, 0..6_u32), 0..5);
    (first, 0..6_u32, later).prop_map(|(offset, length, later)| {
        let first = BucketSpan { offset, length };
        let later = later
            .into_iter()
            .map(|(offset, length)| BucketSpan { offset, length });
        std::iter::once(first).chain(later).collect()
    })
}

fn buckets(spans: &[BucketSpan]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

fn any_value() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits)
}

/// Returns a valid histogram of any kind.
fn any_histogram() -> impl Strategy<Value = Histogram> {
    let custom = prop::collection::btree_set(-1_000_000..1_000_000_i32, 70..71);
    let shape = (
        any_spans(-30..30),
        any_spans(-30..30),
        any_spans(0..9),
        custom,
    );
    let numbers = prop::collection::vec(0..1_000_i64, 60..61);
    let count = (any_value(), any_value(), 0..5_u64, any_value());
    (
        any::<bool>(),
        any::<bool>(),
        -4..=52_i32,
        0..4_i32,
        shape,
        numbers,
        count,
    )
        .prop_map(
            |(is_float, is_custom, schema, reset_hint, shape, numbers, totals)| {
                let (positive, mut negative, custom_spans, bounds) = shape;
                let (sum, threshold, mut zero, float_total) = totals;
                let mut histogram = Histogram {
                    schema,
                    reset_hint,
                    sum,
                    zero_threshold: threshold,
                    positive_spans: positive,
                    ..Histogram::default()
                };
                if is_custom {
                    negative.clear();
                    zero = 0;
                    histogram.schema = -53;
                    histogram.zero_threshold = 0.0;
                    histogram.positive_spans = custom_spans;
                    histogram.custom_values =
                        bounds.into_iter().map(|it| f64::from(it) / 8.0).collect();
                }
                histogram.negative_spans = negative;
                let (positive, rest) = numbers.split_at(buckets(&histogram.positive_spans));
                let negative = &rest[..buckets(&histogram.negative_spans)];
                if is_float {
                    let floats = |all: &[i64]| all.iter().map(|&n| n as f64 / 7.0).collect();
                    histogram.positive_counts = floats(positive);
                    histogram.negative_counts = floats(negative);
                    histogram.zero_count = Some(ZeroCount::ZeroCountFloat(zero as f64));
                    let total = if float_total < 0.0 { 0.5 } else { float_total };
                    histogram.count = Some(Count::CountFloat(total));
                } else {
                    let deltas = |all: &[i64]| {
                        let before = std::iter::once(&0).chain(all);
                        all.iter()
                            .zip(before)
                            .map(|(n, before)| n - before)
                            .collect()
                    };
                    histogram.positive_deltas = deltas(positive);
                    histogram.negative_deltas = deltas(negative);
                    let total = positive.iter().chain(negative).sum::<i64>() as u64 + zero;
                    histogram.zero_count = Some(ZeroCount::ZeroCountInt(zero));
                    histogram.count = Some(Count::CountInt(total));
                }
                histogram
            },
        )
}

#[test]
fn any_valid_histogram_comes_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let times = prop::collection::btree_map(START_MS..START_MS + 3_600_000, any_histogram(), 1..12);
    runner(96)
        .run(&times, |all| {
            let all: BTreeMap<i64, Histogram> = all;
            let of_time = |(timestamp, histogram)| Histogram {
                timestamp,
                ..histogram
            };
            let all: Vec<_> = all.into_iter().map(of_time).collect();
            // A stale one has nothing else.
            prop_assume!(all.iter().all(|h| h.sum.to_bits() != STALE));
            let written = histograms(&[("__name__", "m"), ("job", "a")], all);
            let read = runtime.block_on(async {
                let app = TestApp::start().await;
                app.write_ok(vec![written.clone()]).await;
                app.read(vec![named("m")]).await
            });
            assert_same(&read[0], &[written]);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_label_value_that_fills_the_record_leaves_no_room_for_an_exemplar() {
    let app = TestApp::start().await;
    let large = "v".repeat(1_990);
    let labels = [("__name__", "m"), ("l", large.as_str())];
    app.write_ok(vec![exemplars(
        &labels,
        vec![exemplar(&[("t", "1")], 1.0, START_MS)],
    )])
    .await;
    assert_eq!(ignored(&app, "record_too_large").await, 1.0);
}
