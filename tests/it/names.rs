//! Names that Timestream reserves, that differ from such in case alone, or that look like the
//! connector's own: each label and metric is read as it was written.

use http::StatusCode;
use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::label_matcher::Type::{Eq, Neq, Nre, Re};
use prom_wire::prompb::{Exemplar, TimeSeries};
use timestream_emulator::ColumnCase;

use crate::go_connector;
use crate::kinds::{histograms, integers, label_sets, named};
use crate::support::{START_MS, TestApp, query};

const ALL_CASES: [ColumnCase; 3] = [ColumnCase::Strict, ColumnCase::Exact, ColumnCase::Ignored];

/// Returns a series with its labels in order.
fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    crate::support::series(&labels, samples)
}

fn one(labels: &[(&str, &str)], value: f64) -> TimeSeries {
    series(labels, &[(START_MS, value)])
}

/// Names that are reserved but for their case, with the column that each is stored in.
const IN_OTHER_CASE: [(&str, &str); 7] = [
    ("MEASURE_VALUE_a", "U__MEASURE__VALUE__ax"),
    ("Measure_Name", "U__Measure__Namex"),
    ("TIME", "U__TIMEx"),
    ("TS_b", "U__TS__bx"),
    ("Ts_a", "U__Ts__ax"),
    ("u__no_labels", "U__u____no__labelsx"),
    ("u__value_bits", "U__u____value__bitsx"),
];

#[tokio::test]
async fn labels_that_are_reserved_but_for_their_case_are_read_whether_case_counts_or_not() {
    for column_case in ALL_CASES {
        let app = TestApp::start_in_case(column_case, &["--store-special-values"]).await;
        let mut labels = vec![("__name__", "m")];
        labels.extend(IN_OTHER_CASE.map(|(name, _)| (name, "x")));
        let written = series(&labels, &[(START_MS, 1.0), (START_MS + 1, f64::INFINITY)]);
        let bare = series(&[("__name__", "m")], &[(START_MS + 2, 2.0)]);
        app.write_ok(vec![written.clone(), bare.clone()]).await;
        let points = app.emulator.points("db", "t");
        for (name, column) in IN_OTHER_CASE {
            assert!(points[0].dimensions.contains_key(column), "{name}");
            for (op, value) in [(Eq, "x"), (Neq, ""), (Re, "x+"), (Nre, "y|")] {
                let matchers = [(Eq, "__name__", "m"), (op, name, value)];
                let found = app.read(vec![query(&matchers)]).await;
                assert_eq!(found, [[written.clone()]], "{column_case:?} {matchers:?}");
            }
        }
        // By the columns of the whole table too.
        for matchers in [[(Re, "__name__", "m.*")], [(Eq, "__name__", "m")]] {
            let found = app.read(vec![query(&matchers)]).await;
            let expected = [[written.clone(), bare.clone()]];
            assert_eq!(found, expected, "{column_case:?} {matchers:?}");
        }
    }
}

#[tokio::test]
async fn metrics_and_columns_that_were_stored_in_another_case_stay_readable() {
    let app = TestApp::start_in_case(ColumnCase::Exact, &[]).await;
    let mut labels = vec![("__name__", "Ts_m")];
    labels.extend(IN_OTHER_CASE.map(|(name, _)| (name, "x")));
    go_connector::write(&app.emulator.url(), &[one(&labels, 1.0)]).await;
    app.write_ok(vec![series(&labels, &[(START_MS + 1, 2.0)])])
        .await;
    let points = app.emulator.points("db", "t");
    let measures: Vec<_> = points.iter().map(|it| it.measure_name.as_str()).collect();
    assert!(
        measures.contains(&"Ts_m") && measures.contains(&"U__Ts__mx"),
        "{measures:?}"
    );

    let expected = [[series(&labels, &[(START_MS, 1.0), (START_MS + 1, 2.0)])]];
    for on_name in [
        (Eq, "__name__", "Ts_m"),
        (Re, "__name__", "T.*"),
        (Neq, "__name__", "ts_m"),
    ] {
        assert_eq!(
            app.read(vec![query(&[on_name])]).await,
            expected,
            "{on_name:?}"
        );
        for (name, _) in IN_OTHER_CASE {
            let matchers = [on_name, (Eq, name, "x")];
            assert_eq!(
                app.read(vec![query(&matchers)]).await,
                expected,
                "{matchers:?}"
            );
        }
    }
}

#[tokio::test]
async fn two_labels_that_differ_in_case_alone_depend_on_the_service() {
    for column_case in ALL_CASES {
        let app = TestApp::start_in_case(column_case, &[]).await;
        let pair = one(&[("__name__", "m"), ("Zone", "1"), ("zone", "2")], 1.0);
        let other = one(&[("__name__", "n"), ("job", "a")], 2.0);
        app.write_ok(vec![pair.clone(), other.clone()]).await;
        // Of a metric by its name only the columns of that metric are named.
        assert_eq!(app.read(vec![named("n")]).await, [[other]]);
        let response = app.read_raw(vec![named("m")]).await;
        if column_case == ColumnCase::Exact {
            assert_eq!(app.read(vec![named("m")]).await, [[pair]]);
            continue;
        }
        assert_eq!(
            response.status,
            StatusCode::BAD_REQUEST,
            "{}",
            response.text()
        );
        let text = response.text();
        assert!(text.contains("Column 'Zone' is ambiguous"), "{text}");
    }
}

/// Names that start as the reserved measures of `m` do, and those of reserved columns.
const LOOK_ALIKES: [&str; 8] = [
    "U__exemplar_of_m",
    "U__histogram_of_",
    "U__histogram_of_U__timex",
    "U__histogram_of_m",
    "U__no_labels",
    "U__value_bits",
    "u__exemplar_of_m",
    "u__histogram_of_m",
];

#[tokio::test]
async fn metrics_that_look_like_reserved_measures_are_not_taken_for_them() {
    for column_case in ALL_CASES {
        let app = TestApp::start_in_case(column_case, &["--store-special-values"]).await;
        let labels = [("__name__", "m"), ("job", "a")];
        let mut m = histograms(&labels, vec![integers(START_MS + 10)]);
        m.samples = one(&labels, f64::NEG_INFINITY).samples;
        let mut sent = m.clone();
        sent.exemplars = vec![Exemplar {
            labels: one(&[("trace_id", "t")], 0.0).labels,
            value: 0.5,
            timestamp: START_MS,
        }];
        let bare = one(&[("__name__", "bare")], 7.0);
        let time = histograms(&[("__name__", "time")], vec![integers(START_MS)]);
        let look_alikes: Vec<TimeSeries> = LOOK_ALIKES
            .iter()
            .zip(1_u8..)
            .map(|(name, value)| one(&[("__name__", name), ("job", "a")], value.into()))
            .collect();
        let others = [sent, bare.clone(), time.clone()];
        app.write_ok([&others[..], &look_alikes].concat()).await;

        for (name, written) in LOOK_ALIKES.iter().zip(&look_alikes) {
            assert_eq!(app.read(vec![named(name)]).await, [[written.clone()]]);
            // More names than are looked up one by one.
            let open = format!("a|b|c|{name}");
            let found = app.read(vec![query(&[(Re, "__name__", &open)])]).await;
            assert_eq!(found, [[written.clone()]], "{open}");
            let found = label_sets(&app, named(name)).await;
            assert_eq!(found, [series(&[("__name__", name), ("job", "a")], &[])]);
        }
        assert_eq!(app.read(vec![named("m")]).await, [[m.clone()]]);
        assert_eq!(app.read(vec![named("time")]).await, [[time.clone()]]);
        let mut all = [vec![m, bare, time], look_alikes].concat();
        all.sort_by(|a, b| a.labels[0].value.cmp(&b.labels[0].value));
        let any = query(&[(Type::Neq, "__name__", "none")]);
        assert_eq!(app.read(vec![any]).await, [all]);
    }
}

#[tokio::test]
async fn labels_that_look_like_reserved_columns_are_not_taken_for_them() {
    let columns = ["U__no_labels", "U__value_bits"];
    let values = ["1", "2", "7ff", "label", "3ff0000000000000"];
    for column_case in ALL_CASES {
        // Of this connector: under other names.
        let app = TestApp::start_in_case(column_case, &["--store-special-values"]).await;
        let mut written = vec![
            one(&[("__name__", "m")], f64::INFINITY),
            one(&[("__name__", "m"), ("job", "a")], -0.0),
        ];
        for column in columns {
            for value in values.into_iter().chain(["7ff0000000000002"]) {
                written.push(one(
                    &[("U__", "l"), (column, value), ("__name__", "m")],
                    3.0,
                ));
                written.push(one(&[(column, value), ("__name__", "m")], f64::NAN));
            }
        }
        app.write_ok(written.clone()).await;
        assert_reads(&app, &written, &columns, &values).await;

        // Of another one: in the reserved columns themselves, beside the reserved values.
        let mut written = vec![one(&[("__name__", "m"), ("job", "a")], 3.0)];
        for column in columns {
            for value in values {
                written.push(one(
                    &[(column, value), ("__name__", "m"), ("job", "a")],
                    4.0,
                ));
            }
        }
        let app = TestApp::start_in_case(column_case, &["--store-special-values"]).await;
        go_connector::write(&app.emulator.url(), &written).await;
        let special = [
            one(&[("__name__", "m")], f64::INFINITY),
            one(&[("__name__", "m"), ("job", "b")], f64::INFINITY),
        ];
        app.write_ok(special.to_vec()).await;
        written.extend(special);
        assert_reads(&app, &written, &columns, &values).await;
    }
}

/// Checks that each label has the series that have it, and that all are read.
async fn assert_reads(app: &TestApp, written: &[TimeSeries], columns: &[&str], values: &[&str]) {
    let bits = |series: &TimeSeries| {
        let labels = series.labels.iter();
        let mut labels: Vec<_> = labels
            .map(|it| (it.name.clone(), it.value.clone()))
            .collect();
        labels.sort();
        (labels, series.samples[0].value.to_bits())
    };
    let expected = |is_wanted: &dyn Fn(&str) -> bool, column: &str| {
        let of = |series: &&TimeSeries| {
            let label = series.labels.iter().find(|it| it.name == column);
            is_wanted(label.map_or("", |it| &it.value))
        };
        let mut wanted: Vec<_> = written.iter().filter(of).map(bits).collect();
        wanted.sort();
        wanted
    };
    let read = async |matchers: &[(Type, &str, &str)]| {
        let read = app.read(vec![query(matchers)]).await.remove(0);
        let mut read: Vec<_> = read.iter().map(bits).collect();
        read.sort();
        read
    };
    for on_name in [(Eq, "__name__", "m"), (Re, "__name__", "m.*")] {
        assert_eq!(read(&[on_name]).await, expected(&|_| true, "job"));
        for column in columns {
            for value in values {
                let equal = read(&[on_name, (Eq, column, value)]).await;
                assert_eq!(
                    equal,
                    expected(&|it| it == *value, column),
                    "{column} {value}"
                );
                let unequal = read(&[on_name, (Neq, column, value)]).await;
                assert_eq!(
                    unequal,
                    expected(&|it| it != *value, column),
                    "{column} {value}"
                );
            }
            let absent = read(&[on_name, (Eq, column, "")]).await;
            assert_eq!(absent, expected(&str::is_empty, column), "{column}");
        }
    }
}
