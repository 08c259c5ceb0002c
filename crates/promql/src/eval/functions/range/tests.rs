//! Functions of range vectors by whole queries.

use prom_model::{FloatHistogram, ResetHint};
use proptest::prelude::*;

use crate::eval::testing::{Database, histogram};

const MINUTE: i64 = 60_000;

fn with_hint(hint: ResetHint, sum: f64, buckets: &[f64]) -> FloatHistogram {
    let mut histogram = histogram(sum, buckets);
    histogram.set_reset_hint(hint);
    histogram
}

/// A counter with a reset, a gauge with one sample, and a series without recent samples.
fn database() -> Database {
    Database::default()
        .floats(
            "c_total{a='1'}",
            MINUTE,
            &[0.0, 10.0, 30.0, 5.0, 15.0, 15.0],
        )
        .samples("c_total{a='2'}", &[(5 * MINUTE, 7.0)])
        .samples("c_total{a='3'}", &[(-MINUTE, 1.0)])
}

#[test]
fn functions_of_a_counter() {
    let database = database();
    for (query, value) in [
        // 15 - 10 + 30 over four minutes, of five.
        ("rate(c_total[5m])", "0.14583333333333334"),
        ("increase(c_total[5m])", "43.75"),
        ("delta(c_total[5m])", "6.25"),
        ("irate(c_total[2m])", "0"),
        ("irate(c_total[2m] offset 1m)", "0.16666666666666666"),
        ("irate(c_total[2m] offset 2m)", "0.08333333333333333"),
        ("idelta(c_total[2m] offset 2m)", "-25"),
        ("deriv(c_total[2m] offset 1m)", "0.16666666666666666"),
        ("predict_linear(c_total[2m] offset 1m, 60)", "35"),
        (
            "double_exponential_smoothing(c_total[5m], 0.5, 0.5)",
            "22.03125",
        ),
    ] {
        let tested = database.instant(query, 5 * MINUTE);
        assert_eq!(tested.lines(), [format!("{{a=\"1\"}} {value}")], "{query}");
    }
}

#[test]
fn functions_that_one_sample_is_enough_for() {
    let database = database();
    for (query, first, second) in [
        ("changes(c_total[5m])", "3", "0"),
        ("resets(c_total[5m])", "1", "0"),
        ("count_over_time(c_total[5m])", "5", "1"),
        ("present_over_time(c_total[5m])", "1", "1"),
        ("sum_over_time(c_total[5m])", "75", "7"),
        ("avg_over_time(c_total[5m])", "15", "7"),
        ("min_over_time(c_total[5m])", "5", "7"),
        ("max_over_time(c_total[5m])", "30", "7"),
        ("stdvar_over_time(c_total[5m])", "70", "0"),
        ("quantile_over_time(0.5, c_total[5m])", "15", "7"),
        ("mad_over_time(c_total[5m])", "5", "0"),
        ("ts_of_first_over_time(c_total[5m])", "60", "300"),
        ("ts_of_last_over_time(c_total[5m])", "300", "300"),
        ("ts_of_min_over_time(c_total[5m])", "180", "300"),
        ("ts_of_max_over_time(c_total[5m])", "120", "300"),
    ] {
        let tested = database.instant(query, 5 * MINUTE);
        let lines = [
            format!("{{a=\"1\"}} {first}"),
            format!("{{a=\"2\"}} {second}"),
        ];
        assert_eq!(tested.lines(), lines, "{query}");
    }
}

#[test]
fn only_first_and_last_have_names() {
    for database in [Database::default(), Database::with_delayed_name_removal()] {
        let database = database
            .floats("m{a='1'}", MINUTE, &[1.0, 2.0])
            .histograms("m{a='1'}", &[(30_000, histogram(1.0, &[1.0]))])
            .histograms("h", &[(0, histogram(1.0, &[3.0]))]);
        let tested = database.instant("first_over_time({__name__=~'m|h'}[5m])", MINUTE);
        let lines = [r#"m{a="1"} 1"#, "h {count:3, sum:1, (0.5,1]:3}"];
        assert_eq!(tested.lines(), lines);
        let tested = database.instant("last_over_time({__name__=~'m|h'}[5m])", MINUTE);
        assert_eq!(tested.lines()[0], r#"m{a="1"} 2"#);
        let tested = database.instant("last_over_time(m[1m])", 45_000);
        assert_eq!(tested.lines(), [r#"m{a="1"} {count:1, sum:1, (0.5,1]:1}"#]);
        let tested = database.instant("last_over_time(count_over_time(m[5m])[5m:1m])", MINUTE);
        assert_eq!(tested.lines(), [r#"{a="1"} 3"#]);
    }
}

#[test]
fn series_that_are_equal_without_names_collide() {
    let series = |database: Database| {
        database
            .samples("m{a='1'}", &[(0, 1.0)])
            .samples("n{a='1'}", &[(10 * MINUTE, 1.0)])
    };
    let query = "count_over_time({a='1'}[1m])";
    let error = "vector cannot contain metrics with the same labelset";
    let database = series(Database::default());
    // As in Prometheus even if they share no step, but only series with results count.
    let tested = database.range(query, 0, 10 * MINUTE, 10 * MINUTE);
    assert_eq!(tested.error(), error);
    assert_eq!(database.instant(query, 0).lines(), [r#"{a="1"} 1"#]);
    let database = series(Database::with_delayed_name_removal());
    let tested = database.range(query, 0, 10 * MINUTE, 10 * MINUTE);
    assert_eq!(tested.lines(), [r#"{a="1"} 1@0 1@600000"#]);
}

#[test]
fn names_of_metrics_tell_of_counters() {
    let mut database = Database::default().floats("m{__type__='gauge'}", MINUTE, &[1.0, 2.0]);
    let tested = database.instant("1 * sum(rate(m[5m]))", MINUTE);
    let info = "PromQL info: metric might not be a counter, name does not end in \
                _total/_sum/_count/_bucket: \"m\" (1:14)";
    assert_eq!(tested.infos, [info]);
    assert!(database.instant("delta(m[5m])", MINUTE).infos.is_empty());
    database.options.type_and_unit_labels = true;
    let tested = database.instant("increase(m[5m])", MINUTE);
    let info = "PromQL info: metric might not be a counter, __type__ label is not set to \
                \"counter\" or \"histogram\", got \"gauge\": \"m\" (1:10)";
    assert_eq!(tested.infos, [info]);
}

#[test]
fn rates_of_histograms() {
    let counter = Database::default().histograms(
        "h",
        &[
            (0, histogram(1.0, &[1.0, 2.0])),
            (MINUTE, histogram(3.0, &[4.0, 2.0])),
            (2 * MINUTE, histogram(1.0, &[1.0])),
            (3 * MINUTE, histogram(2.0, &[1.0, 1.0])),
        ],
    );
    // 2 - 3 + 6 over three minutes, of four.
    let tested = counter.instant("increase(h[4m])", 3 * MINUTE);
    let line = "{} {count:6.666666666666666, sum:5.333333333333333, (0.5,1]:5.333333333333333, \
                (1,2]:1.3333333333333333}";
    assert_eq!(tested.lines(), [line]);
    let tested = counter.instant("irate(h[4m])", 3 * MINUTE);
    let line =
        "{} {count:0.016666666666666666, sum:0.016666666666666666, (1,2]:0.016666666666666666}";
    assert_eq!(tested.lines(), [line]);
    let tested = counter.instant("irate(h[4m])", 2 * MINUTE);
    let line =
        "{} {count:0.016666666666666666, sum:0.016666666666666666, (0.5,1]:0.016666666666666666}";
    assert_eq!(tested.lines(), [line]);
    let tested = counter.instant("changes(h[4m]) + 10 * resets(h[4m])", 3 * MINUTE);
    assert_eq!(tested.lines(), ["{} 13"]);
    let tested = counter.instant("delta(h[4m])", 3 * MINUTE);
    let warning = "PromQL warning: this native histogram metric is not a gauge: \"h\" (1:7)";
    assert_eq!(tested.warnings, [warning]);
}

#[test]
fn gauges_have_no_rates() {
    let gauge = Database::default().histograms(
        "h",
        &[
            (0, with_hint(ResetHint::Gauge, 1.0, &[2.0])),
            (MINUTE, with_hint(ResetHint::Gauge, 2.0, &[3.0])),
        ],
    );
    for query in ["rate(h[5m])", "irate(h[5m])"] {
        let warning = "PromQL warning: this native histogram metric is not a counter: \"h\"";
        let tested = gauge.instant(query, MINUTE);
        assert!(tested.warnings[0].starts_with(warning), "{query}");
        assert_eq!(tested.lines_beside_annotations().len(), 1);
    }
    let tested = gauge.instant("idelta(h[5m])", MINUTE);
    assert_eq!(tested.lines(), ["{} {count:1, sum:1, (0.5,1]:1}"]);
}

#[test]
fn floats_and_histograms_do_not_mix() {
    let database = Database::default()
        .floats("m", MINUTE, &[1.0, 2.0])
        .histograms("m", &[(2 * MINUTE, histogram(1.0, &[1.0]))]);
    let mixed = "PromQL warning: encountered a mix of histograms and floats for metric name \"m\"";
    for function in ["rate", "delta", "irate", "sum_over_time", "avg_over_time"] {
        let tested = database.instant(&format!("{function}(m[5m])"), 2 * MINUTE);
        assert!(tested.lines_beside_annotations().is_empty());
        assert!(tested.warnings[0].starts_with(mixed), "{function}");
    }
    let ignored = "PromQL info: ignored histograms in a range containing both floats and histograms \
                   for metric name \"m\"";
    for function in [
        "max_over_time",
        "stddev_over_time",
        "deriv",
        "mad_over_time",
    ] {
        let tested = database.instant(&format!("{function}(m[5m])"), 2 * MINUTE);
        assert_eq!(tested.lines_beside_annotations().len(), 1);
        assert!(tested.infos[0].starts_with(ignored), "{function}");
    }
    let tested = database.instant("changes(m[5m]) + 10 * resets(m[5m])", 2 * MINUTE);
    assert_eq!(tested.lines(), ["{} 12"]);
    let tested = database.instant("count_over_time(m[5m])", 2 * MINUTE);
    assert_eq!(tested.lines(), ["{} 3"]);
}

#[test]
fn sums_and_means_of_histograms() {
    let database = Database::default().histograms(
        "h",
        &[
            (0, with_hint(ResetHint::Reset, 1.0, &[1.0, 2.0])),
            (MINUTE, with_hint(ResetHint::NotReset, 3.0, &[4.0, 3.0])),
        ],
    );
    let warning = "PromQL warning: conflicting counter resets during histogram aggregation (1:15)";
    let tested = database.instant("sum_over_time(h[5m])", MINUTE);
    assert_eq!(tested.warnings, [warning]);
    let lines = tested.lines_beside_annotations();
    assert_eq!(lines, ["{} {count:10, sum:4, (0.5,1]:5, (1,2]:5}"]);
    let tested = database.instant("avg_over_time(h[5m])", MINUTE);
    let lines = tested.lines_beside_annotations();
    assert_eq!(lines, ["{} {count:5, sum:2, (0.5,1]:2.5, (1,2]:2.5}"]);
    let tested = database.instant("avg_over_time(h[1m])", MINUTE);
    assert_eq!(tested.lines(), ["{} {count:7, sum:3, (0.5,1]:4, (1,2]:3}"]);
}

#[test]
fn a_mean_of_histograms_outlives_the_overflow_of_their_sum() {
    let large = |sum| histogram(sum, &[1e308, 3.0]);
    let samples = [(0, large(3.0)), (1, large(6.0)), (2, large(9.0))];
    let database = Database::default().histograms("h", &samples);
    let tested = database.instant("avg_over_time(h[5m])", 2);
    assert_eq!(
        tested.lines(),
        ["{} {count:1e+308, sum:6, (0.5,1]:1e+308, (1,2]:3}"]
    );
}

#[test]
fn starts_of_counters_show_resets() {
    let database = Database::default()
        .floats("c_total", MINUTE, &[5.0, 6.0, 7.0])
        .starts("c_total", &[-1000, -1000, 90_000], &[])
        .histograms(
            "h_total",
            &[
                (0, histogram(1.0, &[1.0])),
                (MINUTE, histogram(2.0, &[3.0])),
            ],
        )
        .starts("h_total", &[], &[-30_000, 30_000]);
    let tested = database.instant("resets(c_total[5m])", 2 * MINUTE);
    assert_eq!(tested.lines(), ["{} 1"]);
    let tested = database.instant("irate(c_total[5m])", 2 * MINUTE);
    assert_eq!(tested.lines(), ["{} 0.11666666666666667"]);
    // The first start is in the range: 2 + 6 + 5 in 121 seconds.
    let tested = database.instant("increase(c_total[121s])", 2 * MINUTE);
    assert_eq!(tested.lines(), ["{} 8.066666666666666"]);
    let tested = database.instant("increase(c_total[122s])", 2 * MINUTE);
    assert_eq!(tested.lines(), ["{} 13"]);
    // One sample is enough if its counter began in the range.
    let tested = database.instant("increase(c_total[1m])", 2 * MINUTE);
    assert_eq!(tested.lines(), ["{} 7"]);
    let tested = database.instant("resets(h_total[5m])", MINUTE);
    assert_eq!(tested.lines(), ["{} 1"]);
    let tested = database.instant("increase(h_total[1m])", MINUTE);
    assert_eq!(tested.lines(), ["{} {count:3, sum:2, (0.5,1]:3}"]);
}

#[test]
fn starts_that_overlap_are_counted_by_windows() {
    let mut database = Database::default()
        .floats("c_total", MINUTE, &[5.0, 6.0, 7.0, 8.0])
        .starts("c_total", &[10_000, 10_000, 20_000, 20_000], &[]);
    let tested = database.range("rate(c_total[2m])", 0, 3 * MINUTE, MINUTE);
    let warning = "PromQL warning: sample has start time that overlaps with previous sample \
                   timestamp for metric \"c_total\"";
    assert_eq!(tested.warnings, [format!("{warning} (1:6)")]);
    let tested = database.range("rate(c_total[3m])", 0, 3 * MINUTE, MINUTE);
    assert_eq!(
        tested.warnings,
        [format!("{warning} (2 occurrences) (1:6)")]
    );
    database.options.start_timestamps = false;
    let tested = database.range("rate(c_total[3m])", 0, 3 * MINUTE, MINUTE);
    assert!(tested.warnings.is_empty());
}

#[test]
fn anchored_and_smoothed_windows() {
    let database = Database::default().floats("c_total", MINUTE, &[0.0, 10.0, 30.0, 5.0, 15.0]);
    for (query, expected) in [
        // The value at 0:30 is that of 0:00, and that at 3:30 of 3:00.
        ("increase(c_total[3m] anchored)", "35"),
        ("delta(c_total[3m] anchored)", "5"),
        ("rate(c_total[3m] anchored)", "0.19444444444444445"),
        ("changes(c_total[3m] anchored)", "3"),
        ("resets(c_total[3m] anchored)", "1"),
        ("changes(c_total[3m])", "2"),
        // From 5 to 10, and on to 30; from 0 to 5, and on to 10.
        ("increase(c_total[3m] smoothed)", "35"),
        ("delta(c_total[3m] smoothed)", "5"),
        ("c_total smoothed", "10"),
    ] {
        let tested = database.instant(query, 3 * MINUTE + 30_000);
        let lines = tested.lines().to_vec();
        let value = lines[0].rsplit(' ').next();
        assert_eq!(value, Some(expected), "{query}: {lines:?}");
    }
    let tested = database.instant("c_total[1m] anchored", 90_000);
    assert_eq!(tested.lines(), ["c_total 0@30000 10@60000 10@90000"]);
    let tested = database.instant("c_total[1m] smoothed", 90_000);
    assert_eq!(tested.lines(), ["c_total 5@30000 10@60000 20@90000"]);
}

#[test]
fn other_functions_have_no_extended_windows() {
    let database = Database::default();
    for (query, error) in [
        (
            "sum_over_time(m[1m] anchored)",
            "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with sum_over_time",
        ),
        (
            "changes(m[1m] smoothed)",
            "smoothed modifier can only be used with: delta, increase, rate - not with changes",
        ),
    ] {
        assert_eq!(database.instant(query, 0).error(), error);
    }
    let database = database.histograms("m", &[(0, histogram(1.0, &[1.0]))]);
    let error = "anchored modifier is not supported with histograms";
    assert_eq!(database.instant("m[1m] anchored", 0).error(), error);
}

#[test]
fn histograms_between_samples() {
    let database = Database::default().histograms(
        "h",
        &[
            (0, histogram(0.0, &[0.0, 4.0])),
            (MINUTE, histogram(2.0, &[2.0, 4.0])),
            (2 * MINUTE, histogram(1.0, &[2.0])),
        ],
    );
    for (query, time, expected) in [
        (
            "h smoothed",
            30_000,
            "h {count:5, sum:1, (0.5,1]:1, (1,2]:4}",
        ),
        // A reset: as if it began with nothing.
        ("h smoothed", 90_000, "h {count:1, sum:0.5, (0.5,1]:1}"),
        ("h smoothed", 3 * MINUTE, "h {count:2, sum:1, (0.5,1]:2}"),
        (
            "increase(h[1m] smoothed)",
            90_000,
            "{} {count:2, sum:1.5, (0.5,1]:2}",
        ),
        (
            "increase(h[1m] anchored)",
            90_000,
            "{} {count:2, sum:2, (0.5,1]:2}",
        ),
        (
            "increase(h[2m] anchored)",
            2 * MINUTE,
            "{} {count:4, sum:3, (0.5,1]:4}",
        ),
    ] {
        let tested = database.instant(query, time);
        assert_eq!(tested.lines(), [expected], "{query} {time}");
    }
}

#[test]
fn absent_series() {
    let database = Database::default()
        .samples("m{a='1',b='2'}", &[(0, 1.0), (3 * MINUTE, 1.0)])
        .samples("m{a='1',b='3'}", &[(MINUTE, 1.0)]);
    let tested = database.range("absent_over_time(m{a='1'}[30s])", 0, 3 * MINUTE, MINUTE);
    assert_eq!(tested.lines(), [r#"{a="1"} 1@120000"#]);
    let tested = database.range("absent_over_time(m[3m])", 0, 3 * MINUTE, MINUTE);
    assert!(tested.lines().is_empty());
    let tested = database.instant("absent_over_time(other{a='1'}[3m])", 0);
    assert_eq!(tested.lines(), [r#"{a="1"} 1"#]);
    let tested = database.instant("absent_over_time((other{a='1'})[3m:])", 0);
    assert_eq!(tested.lines(), ["{} 1"]);
}

#[test]
fn factors_and_quantiles_out_of_bounds() {
    let database = Database::default().floats("m", MINUTE, &[1.0, 2.0]);
    let query = "double_exponential_smoothing(m[5m], 1, 0.5)";
    let error = "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000";
    assert_eq!(database.instant(query, MINUTE).error(), error);
    let query = "double_exponential_smoothing(m[5m], 0.5, -Inf)";
    let error = "invalid trend factor. Expected: 0 < tf < 1, got: -Inf";
    assert_eq!(database.instant(query, MINUTE).error(), error);
    // Nothing to smooth, nothing to reject.
    let query = "double_exponential_smoothing(other[5m], 1, 0.5)";
    assert!(database.instant(query, MINUTE).lines().is_empty());
    let tested = database.instant("quantile_over_time(1.5, m[5m])", MINUTE);
    assert_eq!(tested.lines_beside_annotations(), ["{} +Inf"]);
    let warning = "PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:20)";
    assert_eq!(tested.warnings, [warning]);
}

#[test]
fn windows_count_towards_the_limit() {
    let mut database = Database::default().floats("m", 1000, &[1.0; 100]);
    database.options.max_samples = 50;
    let tested = database.range("count_over_time(m[40s])", 0, 90_000, 10_000);
    assert_eq!(tested.lines().len(), 1);
    let error = "query processing would load too many samples into memory in query execution";
    let tested = database.range("count_over_time(m[60s])", 0, 90_000, 10_000);
    assert_eq!(tested.error(), error);
    let tested = database.range("count_over_time(m[1s])", 0, 90_000, 1000);
    assert_eq!(tested.error(), error);
}

#[test]
fn gaps_cost_nothing() {
    // A billion steps, nearly all of them without samples.
    let mut database = Database::default().samples("m", &[(0, 1.0), (1_000_000_000, 2.0)]);
    database.options.lookback_ms = 2;
    let tested = database.range("rate(m[5ms])", 0, 1_000_000_000, 1);
    assert!(tested.lines().is_empty());
    let tested = database.range("m smoothed", 0, 1_000_000_000, 1);
    assert_eq!(tested.lines(), ["m 1@0 1@1 2@1000000000"]);
    let tested = database.range("count_over_time(m[2ms])", 0, 1_000_000_000, 1);
    assert_eq!(tested.lines(), ["{} 1@0 1@1 1@1000000000"]);
}

/// Values with special ones, and few enough different ones that neighbours are equal sometimes.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-5..20_i32).prop_map(f64::from),
        8 => -10.0..10.0,
        1 => prop_oneof![
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(-0.0),
            Just(1e308),
            Just(f64::from_bits(prom_model::STALE_MARKER_BITS)),
        ],
    ]
}

/// Samples with distances of up to 5 seconds, some of them larger.
fn samples(value: impl Strategy<Value = f64>) -> impl Strategy<Value = Vec<(i64, f64)>> {
    let distance = prop_oneof![9 => 1..5_i64, 1 => 20..90_i64];
    prop::collection::vec((distance, value), 1..80).prop_map(|samples| {
        let mut time = 0;
        let with_time = |(distance, value)| {
            time += distance * 1000;
            (time, value)
        };
        samples.into_iter().map(with_time).collect()
    })
}

/// Functions with `R` for their range vector.
const FUNCTIONS: [&str; 31] = [
    "rate(R)",
    "increase(R)",
    "delta(R)",
    "irate(R)",
    "idelta(R)",
    "changes(R)",
    "resets(R)",
    "deriv(R)",
    "predict_linear(R, 7)",
    "sum_over_time(R)",
    "avg_over_time(R)",
    "min_over_time(R)",
    "max_over_time(R)",
    "count_over_time(R)",
    "first_over_time(R)",
    "last_over_time(R)",
    "present_over_time(R)",
    "absent_over_time(R)",
    "stddev_over_time(R)",
    "stdvar_over_time(R)",
    "quantile_over_time(0.7, R)",
    "mad_over_time(R)",
    "ts_of_first_over_time(R)",
    "ts_of_last_over_time(R)",
    "ts_of_min_over_time(R)",
    "ts_of_max_over_time(R)",
    "double_exponential_smoothing(R, 0.3, 0.7)",
    "rate(R anchored)",
    "resets(R anchored)",
    "increase(R smoothed)",
    "m smoothed",
];

/// The increase over a window of samples by the rules for counters, or the difference.
fn plain_difference(
    samples: &[(i64, f64)],
    (start, end): (i64, i64),
    is_counter: bool,
) -> Option<f64> {
    let is_within = |it: &&(i64, f64)| start < it.0 && it.0 <= end;
    let is_stale = |it: f64| it.to_bits() == prom_model::STALE_MARKER_BITS;
    let window: Vec<_> = samples
        .iter()
        .filter(is_within)
        .filter(|it| !is_stale(it.1))
        .collect();
    let [first, .., last] = window[..] else {
        return None;
    };
    let mut result = last.1 - first.1;
    for pair in window.windows(2) {
        if is_counter && pair[1].1 < pair[0].1 {
            result += pair[0].1;
        }
    }
    let seconds = |milliseconds: i64| milliseconds as f64 / 1000.0;
    let sampled = seconds(last.0 - first.0);
    let average = sampled / (window.len() - 1) as f64;
    let (mut before, mut after) = (seconds(first.0 - start), seconds(end - last.0));
    if before >= average * 1.1 {
        before = average / 2.0;
    }
    if is_counter && result > 0.0 && first.1 >= 0.0 {
        let zero = sampled * (first.1 / result);
        before = if zero < before { zero } else { before };
    }
    if after >= average * 1.1 {
        after = average / 2.0;
    }
    Some(result * ((sampled + before + after) / sampled))
}

/// Returns the values of a line of a range query by their times.
fn values(line: &str) -> Vec<(String, String)> {
    let value = |it: &str| {
        let (value, time) = it.split_once('@').expect("a value has a time");
        (time.to_owned(), value.to_owned())
    };
    line.split(' ').skip(1).map(value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Windows that slide have the results of windows alone.
    #[test]
    fn range_queries_agree_with_instant_queries(
        samples in samples(value()),
        range in 1..60_i64,
        step in 1..40_i64,
        offset in -9000..9000_i64,
    ) {
        let mut database = Database::default().samples("m", &samples);
        database.options.lookback_ms = 11_000;
        let end = samples[samples.len() - 1].0 + 20_000;
        for function in FUNCTIONS {
            let modified = format!("m[{range}s] offset {offset}ms");
            let query = match function.contains("R ") {
                true => function.replace("R ", &format!("m[{range}s] "))
                    .replace(')', &format!(" offset {offset}ms)")),
                false => function.replace('R', &modified),
            };
            let tested = database.range(&query, 0, end, step * 1000);
            let lines = tested.lines_beside_annotations();
            let together = lines.first().map_or(vec![], |line| values(line));
            let mut alone = Vec::new();
            for time in (0..=end).step_by(step as usize * 1000) {
                let tested = database.instant(&query, time);
                for line in tested.lines_beside_annotations() {
                    let value = line.rsplit(' ').next().unwrap_or_default();
                    alone.push((time.to_string(), value.to_owned()));
                }
            }
            alone.sort();
            let mut together = together;
            together.sort();
            prop_assert_eq!(together, alone, "{}", query);
        }
    }

    #[test]
    fn rates_are_those_of_plain_loops(
        samples in samples(value()),
        range in 1..60_i64,
        step in 1..40_i64,
    ) {
        let database = Database::default().samples("m", &samples);
        let end = samples[samples.len() - 1].0 + 20_000;
        for (function, is_counter) in [("increase", true), ("delta", false)] {
            let query = format!("{function}(m[{range}s])");
            let tested = database.range(&query, 0, end, step * 1000);
            let lines = tested.lines_beside_annotations();
            let mut fast = lines.first().map_or(vec![], |line| values(line));
            let mut plain = Vec::new();
            for time in (0..=end).step_by(step as usize * 1000) {
                let window = (time - range * 1000, time);
                if let Some(value) = plain_difference(&samples, window, is_counter) {
                    plain.push((time.to_string(), crate::number::general(value)));
                }
            }
            fast.sort();
            plain.sort();
            prop_assert_eq!(fast, plain, "{}", query);
        }
    }
}
