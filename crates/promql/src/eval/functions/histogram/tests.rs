use prom_model::{Buckets, Count, FloatHistogram, Histogram, Span};

use crate::eval::testing::{Database, histogram};

const MINUTE: i64 = 60_000;

/// A classic histogram with 4 observations up to 1, 4 between 1 and 2, and 2 above, at two steps.
fn classic() -> Database {
    with_classic(Database::default())
}

fn with_classic(database: Database) -> Database {
    database
        .floats("h_bucket{a='1', le='+Inf'}", MINUTE, &[10.0, 20.0])
        .floats("h_bucket{a='1', le='1'}", MINUTE, &[4.0, 0.0])
        .floats("h_bucket{a='1', le='2.0'}", MINUTE, &[8.0, 20.0])
}

#[test]
fn statistics_of_native_histograms() {
    let database = Database::default()
        .histograms("h", &[(0, histogram(6.0, &[1.0, 3.0]))])
        .samples("m", &[(0, 5.0)]);
    for (query, value) in [
        ("histogram_count({__name__=~'h|m'})", "4"),
        ("histogram_sum(h)", "6"),
        ("histogram_avg(h)", "1.5"),
    ] {
        let line = format!("{{}} {value}");
        assert_eq!(database.instant(query, 0).lines(), [line], "{query}");
    }
    // The means of the buckets are the square roots of 0.5 and of 2.
    let variance = (0.5_f64.sqrt() - 1.5).powi(2) + 3.0 * (2.0_f64.sqrt() - 1.5).powi(2);
    for (query, value) in [
        ("histogram_stdvar(h)", variance / 4.0),
        ("histogram_stddev(h)", (variance / 4.0).sqrt()),
    ] {
        let tested = database.instant(query, 0);
        let number: f64 = tested.lines()[0].trim_start_matches("{} ").parse().unwrap();
        assert!((number - value).abs() < 1e-12, "{query}: {number} {value}");
    }
}

#[test]
fn statistics_drop_the_name_alone() {
    let series = "h{__type__='histogram', __unit__='s'}";
    let one = [(0, histogram(6.0, &[1.0]))];
    let database = Database::default().histograms(series, &one);
    let lines = [r#"{__type__="histogram", __unit__="s"} 1"#];
    assert_eq!(database.instant("histogram_count(h)", 0).lines(), lines);
    let lines = ["{} 1"];
    let tested = database.instant("histogram_quantile(1, h)", 0);
    assert_eq!(tested.lines(), lines);
    let database = Database::with_delayed_name_removal().histograms(series, &one);
    assert_eq!(database.instant("histogram_count(h)", 0).lines(), lines);
    let database = Database::default()
        .histograms("g", &one)
        .histograms("h", &one);
    let tested = database.instant("histogram_sum({__name__=~'g|h'})", 0);
    let error = "vector cannot contain metrics with the same labelset";
    assert_eq!(tested.error(), error);
}

#[test]
fn quantiles_of_classic_histograms() {
    let database = classic();
    for (q, value) in [
        ("0", "0"),
        ("0.2", "0.5"),
        ("0.4", "1"),
        ("0.6", "1.5"),
        ("0.8", "2"),
        ("0.9", "2"),
        ("1", "2"),
    ] {
        let tested = database.instant(&format!("histogram_quantile({q}, h_bucket)"), 0);
        assert_eq!(tested.lines(), [format!(r#"{{a="1"}} {value}"#)], "{q}");
    }
    let tested = database.range("histogram_quantile(0.4, h_bucket)", 0, MINUTE, MINUTE);
    assert_eq!(tested.lines(), [r#"{a="1"} 1@0 1.4@60000"#]);
}

#[test]
fn quantiles_may_differ_between_steps() {
    let tested = classic().range(
        "histogram_quantile(time() / 100, h_bucket)",
        0,
        MINUTE,
        MINUTE,
    );
    assert_eq!(tested.lines(), [r#"{a="1"} 0@0 1.6@60000"#]);
}

#[test]
fn numbers_that_are_no_quantiles() {
    let database = classic();
    for (q, value, text) in [
        ("-0.1", "-Inf", "-0.1"),
        ("1.1", "+Inf", "1.1"),
        ("NaN", "NaN", "NaN"),
    ] {
        let tested = database.instant(&format!("histogram_quantile({q}, h_bucket)"), 0);
        let line = format!(r#"{{a="1"}} {value}"#);
        assert_eq!(tested.lines_beside_annotations(), [line]);
        let warning =
            format!("PromQL warning: quantile value should be between 0 and 1, got {text} (1:20)");
        assert_eq!(tested.warnings, [warning]);
    }
    // Also without histograms, and with parentheses.
    let tested = database.instant("histogram_quantile((2), nothing)", 0);
    let warning = "PromQL warning: quantile value should be between 0 and 1, got 2 (1:21)";
    assert_eq!(tested.warnings, [warning]);
    assert!(tested.lines_beside_annotations().is_empty());
}

#[test]
fn malformed_bounds() {
    let with_bounds = |database: Database| {
        with_classic(database)
            .samples("h_bucket{a='1', le='x'}", &[(0, 1.0)])
            .samples("h_bucket{a='1'}", &[(0, 1.0)])
    };
    let tested = with_bounds(Database::default()).instant("histogram_fraction(0, 1, h_bucket)", 0);
    assert_eq!(tested.lines_beside_annotations(), [r#"{a="1"} 0.4"#]);
    let warning = r#"PromQL warning: bucket label "le" is missing or has a malformed value of"#;
    let warnings = [r#""" (1:26)"#, r#""x" (1:26)"#].map(|it| format!("{warning} {it}"));
    assert_eq!(tested.warnings, warnings);
    let delayed = with_bounds(Database::with_delayed_name_removal());
    let tested = delayed.instant("histogram_quantile(0.5, h_bucket)", 0);
    let warnings = [r#""""#, r#""x""#]
        .map(|it| format!(r#"{warning} {it} for metric name "h_bucket" (1:25)"#));
    assert_eq!(tested.warnings, warnings);
}

#[test]
fn incomplete_and_empty_histograms() {
    for (series, values) in [
        // The last bucket is missing.
        (&["b{le='1'}", "b{le='2'}"][..], &[1.0, 2.0][..]),
        // There is no other one.
        (&["b{le='+Inf'}"], &[1.0]),
        (&["b{le='1'}", "b{le='inf'}"], &[0.0, 0.0]),
    ] {
        let mut database = Database::default();
        for (series, value) in series.iter().zip(values) {
            database = database.samples(series, &[(0, *value)]);
        }
        let tested = database.instant("histogram_quantile(0.5, b)", 0);
        assert_eq!(tested.lines(), ["{} NaN"], "{series:?}");
    }
    let database = Database::default()
        .samples("b{le='-1'}", &[(0, 3.0)])
        .samples("b{le='Inf'}", &[(0, 4.0)]);
    // No lower bound is known.
    let tested = database.instant("histogram_quantile(0.1, b)", 0);
    assert_eq!(tested.lines(), ["{} -1"]);
}

#[test]
fn buckets_with_the_same_bound_are_one() {
    let database = Database::default()
        .samples("b{le='1'}", &[(0, 2.0)])
        .samples("b{le='1.0'}", &[(0, 2.0)])
        .samples("b{le='0x1p1'}", &[(0, 6.0)])
        .samples("b{le='+Inf'}", &[(0, 3.0)])
        .samples("b{le='inf'}", &[(0, 5.0)]);
    let tested = database.instant("histogram_quantiles(b, 'q', 0.25, 0.625)", 0);
    let lines = [r#"{q="0.25"} 0.5"#, r#"{q="0.625"} 1.5"#];
    assert_eq!(tested.lines(), lines);
    let tested = database.instant("histogram_fraction(-Inf, 1, b)", 0);
    assert_eq!(tested.lines(), ["{} 0.5"]);
}

#[test]
fn buckets_are_raised() {
    let with_falling = |database: Database| {
        database
            .floats("b{le='1'}", MINUTE, &[4.0, 1.0, 4.0])
            .floats("b{le='2'}", MINUTE, &[3.0, 1.0, 2.5])
            .floats("b{le='3'}", MINUTE, &[8.0, 4.0, 8.0])
            .floats("b{le='4'}", MINUTE, &[7.5, 4.0, 8.0])
            .floats("b{le='+Inf'}", MINUTE, &[8.0, 4.0, 8.0])
    };
    let query = "histogram_quantile(0.75, b)";
    let tested = with_falling(Database::default()).range(query, 0, 2 * MINUTE, MINUTE);
    let lines = ["{} 2.5@0 2.6666666666666665@60000 2.5@120000"];
    assert_eq!(tested.lines_beside_annotations(), lines);
    let info = "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
    let details = "from buckets 2 to 4, with a max diff of 1.5, over 2 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:02:00Z";
    assert_eq!(tested.infos, [format!("{info}, {details} (1:26)")]);
    let delayed = with_falling(Database::with_delayed_name_removal());
    let query = "histogram_quantiles(b, 'q', 0.5, 2, 0.75)";
    let tested = delayed.range(query, 0, 2 * MINUTE, MINUTE);
    let name = r#"for metric name "b""#;
    assert_eq!(tested.infos, [format!("{info} {name}, {details} (1:21)")]);
    // Fractions take them as they are.
    let tested = delayed.range("histogram_fraction(0, 2, b)", 0, 0, MINUTE);
    assert_eq!(tested.lines(), ["{} 0.375@0"]);
}

#[test]
fn rounding_errors_of_counts_are_ignored() {
    let database = Database::default()
        .samples("b{le='1'}", &[(0, 4.0)])
        .samples("b{le='2'}", &[(0, 4.0 - 1e-12)])
        .samples("b{le='+Inf'}", &[(0, 4.0 + 1e-12)]);
    let tested = database.instant("histogram_quantile(1, b)", 0);
    assert_eq!(tested.lines(), ["{} 1"]);
}

#[test]
fn fractions_of_classic_histograms() {
    let database = classic();
    for (bounds, value) in [
        ("0, 1", "0.4"),
        ("0.5, 1.5", "0.4"),
        ("-Inf, +Inf", "1"),
        ("2, +Inf", "0.2"),
        // Nothing is interpolated above the last finite bound.
        ("3, +Inf", "0.2"),
        ("1, 1", "0"),
        ("2, 1", "0"),
        ("NaN, 1", "NaN"),
        ("1, NaN", "NaN"),
        ("-5, 0", "0"),
    ] {
        let tested = database.instant(&format!("histogram_fraction({bounds}, h_bucket)"), 0);
        let line = format!(r#"{{a="1"}} {value}"#);
        assert_eq!(tested.lines(), [line], "{bounds}");
    }
    let database = Database::default()
        .samples("b{le='-1'}", &[(0, 3.0)])
        .samples("b{le='1'}", &[(0, 5.0)])
        .samples("b{le='Inf'}", &[(0, 6.0)]);
    let tested = database.instant("histogram_fraction(-2, 0, b)", 0);
    // The whole first bucket counts, since it has no lower bound: 3 to 4 of 6.
    assert_eq!(tested.lines(), ["{} 0.16666666666666666"]);
}

#[test]
fn native_histograms_are_estimated_beside_classic_ones() {
    let one = [(0, histogram(6.0, &[2.0, 2.0]))];
    let database = with_classic(Database::default().histograms("h_bucket{a='2'}", &one));
    let tested = database.instant("histogram_quantile(0.5, h_bucket)", 0);
    assert_eq!(tested.lines(), [r#"{a="2"} 1"#, r#"{a="1"} 1.25"#]);
    let tested = database.instant("histogram_fraction(1, 2, h_bucket)", 0);
    assert_eq!(tested.lines(), [r#"{a="2"} 0.5"#, r#"{a="1"} 0.4"#]);
    let tested = database.instant("histogram_quantiles(h_bucket, 'q', 0, 1)", 0);
    let lines = [
        r#"{a="2", q="0.0"} 0.5"#,
        r#"{a="1", q="0.0"} 0"#,
        r#"{a="2", q="1.0"} 2"#,
        r#"{a="1", q="1.0"} 2"#,
    ];
    assert_eq!(tested.lines(), lines);
}

#[test]
fn classic_and_native_histograms_with_the_same_labels() {
    let with_both = |database: Database| {
        let one = |time| (time, histogram(6.0, &[2.0, 2.0]));
        with_classic(database.histograms("h_bucket{a='1'}", &[one(MINUTE), one(2 * MINUTE)]))
    };
    let query = "histogram_quantile(0.5, h_bucket)";
    // At the second step there are both; at the third the classic one is not too old yet.
    let mut database = with_both(Database::default());
    database.options.lookback_ms = MINUTE;
    let tested = database.range(query, 0, 2 * MINUTE, MINUTE);
    let lines = [r#"{a="1"} 1.25@0 1@120000"#];
    assert_eq!(tested.lines_beside_annotations(), lines);
    let warning = "PromQL warning: vector contains a mix of classic and native histograms";
    assert_eq!(tested.warnings, [format!("{warning} (1:25)")]);
    let mut database = with_both(Database::with_delayed_name_removal());
    database.options.lookback_ms = MINUTE;
    let tested = database.range(query, 0, 2 * MINUTE, MINUTE);
    assert_eq!(tested.lines_beside_annotations(), lines);
    let name = r#"for metric name "h_bucket""#;
    assert_eq!(tested.warnings, [format!("{warning} {name} (1:25)")]);
}

#[test]
fn buckets_of_different_steps() {
    // No bucket at all steps, and a step without any.
    let database = || {
        let mut database = Database::default()
            .samples("b{le='1'}", &[(0, 4.0), (3 * MINUTE, 1.0)])
            .samples("b{le='2'}", &[(MINUTE, 6.0), (3 * MINUTE, 2.0)])
            .samples(
                "b{le='+Inf'}",
                &[(0, 8.0), (MINUTE, 8.0), (3 * MINUTE, 4.0)],
            );
        database.options.lookback_ms = MINUTE;
        database
    };
    let tested = database().range("histogram_quantile(0.5, b)", 0, 3 * MINUTE, MINUTE);
    let lines = ["{} 1@0 1.3333333333333333@60000 2@180000"];
    assert_eq!(tested.lines(), lines);
    // Far more steps than values.
    let tested = database().range("histogram_quantile(0.5, b)", 0, 3 * MINUTE, 1000);
    let values = tested.lines()[0].split(' ').count();
    assert_eq!(values, 1 + 3 * 60 - 60 + 1);
    let many: Vec<(i64, f64)> = (0..40).map(|index| (index * 97, 1.0)).collect();
    let mut sparse = Database::default();
    sparse.options.lookback_ms = 1;
    for (index, sample) in many.iter().enumerate() {
        sparse = sparse.samples(&format!("b{{le='{index}'}}"), &[*sample]);
    }
    sparse = sparse.samples("b{le='inf'}", &many);
    let tested = sparse.range("histogram_quantile(1, b)", 0, 4000, 1);
    let values: Vec<&str> = tested.lines()[0].split(' ').skip(1).collect();
    let expected: Vec<String> = (0..40)
        .map(|index| format!("{index}@{}", index * 97))
        .collect();
    assert_eq!(values, expected);
}

#[test]
fn several_quantiles() {
    let database = classic();
    let tested = database.instant(r"histogram_quantiles(h_bucket, 'a', -1, 1e-7, 0.5)", 0);
    let lines = [
        r#"{a="-1.0"} -Inf"#,
        r#"{a="1e-07"} 2.5e-07"#,
        r#"{a="0.5"} 1.25"#,
    ];
    assert_eq!(tested.lines_beside_annotations(), lines);
    let warning = "PromQL warning: quantile value should be between 0 and 1, got -1 (1:36)";
    assert_eq!(tested.warnings, [warning]);
    let error = "vector cannot contain metrics with the same labelset";
    let tested = database.range(
        "histogram_quantiles(h_bucket, 'q', 0.5, 0.5)",
        0,
        MINUTE,
        MINUTE,
    );
    assert_eq!(tested.error(), error);
    // Quantiles that change between steps are series of their own.
    let query = "histogram_quantiles(h_bucket, 'q', scalar(vector(0.5) > vector(time() / 100)))";
    let tested = database.range(query, 0, MINUTE, MINUTE);
    let lines = [
        r#"{a="1", q="0.5"} 1.25@0"#,
        r#"{a="1", q="NaN"} NaN@60000"#,
    ];
    assert_eq!(tested.lines_beside_annotations(), lines);
}

#[test]
fn observations_of_nan() {
    let with_nan = |database: Database| {
        let histogram = Histogram {
            count: Some(Count::Float(6.0)),
            sum: f64::NAN,
            zero_count: Some(Count::Float(0.0)),
            positive: Buckets {
                spans: vec![Span {
                    offset: 0,
                    length: 2,
                }],
                deltas: vec![],
                counts: vec![2.0, 2.0],
            },
            ..Histogram::default()
        };
        let histogram = FloatHistogram::try_from(&histogram).unwrap();
        database.histograms("h", &[(0, histogram)])
    };
    let database = with_nan(Database::default());
    let info = "PromQL info: input to histogram";
    for (query, text) in [
        (
            "histogram_quantile(0.9, h)",
            "_quantile has NaN observations, result is NaN (1:25)",
        ),
        (
            "histogram_quantile(0.2, h)",
            "_quantile has NaN observations, result is skewed higher (1:25)",
        ),
        (
            "histogram_fraction(0, 1, h)",
            "_fraction has NaN observations, which are excluded from all fractions (1:26)",
        ),
    ] {
        let tested = database.instant(query, 0);
        assert_eq!(tested.infos, [format!("{info}{text}")]);
        assert!(tested.warnings.is_empty());
    }
    let delayed = with_nan(Database::with_delayed_name_removal());
    let tested = delayed.instant("histogram_quantiles(h, 'q', 0.9)", 0);
    let text = r#"_quantile has NaN observations, result is NaN for metric name "h" (1:21)"#;
    assert_eq!(tested.infos, [format!("{info}{text}")]);
}

#[test]
fn too_many_samples_are_rejected() {
    let mut database = classic();
    // The argument has 6 samples, the result 2.
    database.options.max_samples = 7;
    let query = "histogram_quantile(0.5, h_bucket)";
    let error = "query processing would load too many samples into memory in query execution";
    assert_eq!(database.range(query, 0, MINUTE, MINUTE).error(), error);
    database.options.max_samples = 8;
    assert_eq!(database.range(query, 0, MINUTE, MINUTE).lines().len(), 1);
}
