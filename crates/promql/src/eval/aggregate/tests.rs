//! Aggregations by queries.

use crate::eval::testing::{Database, Tested, histogram};

fn numbers() -> Database {
    Database::default()
        .floats("m{a='1', b='x'}", 60_000, &[1.0, 2.0, 3.0])
        .floats("m{a='2', b='x'}", 60_000, &[10.0, f64::NAN, 30.0])
        .samples("m{a='3', b='y'}", &[(120_000, 5.0)])
}

fn range(database: &Database, query: &str) -> Tested {
    database.range(query, 0, 120_000, 60_000)
}

#[test]
fn floats_of_each_step_become_one() {
    let database = numbers();
    for (query, lines) in [
        ("sum(m)", vec!["{} 11@0 NaN@60000 38@120000"]),
        (
            "avg(m)",
            vec!["{} 5.5@0 NaN@60000 12.666666666666666@120000"],
        ),
        ("min(m)", vec!["{} 1@0 2@60000 3@120000"]),
        ("max(m)", vec!["{} 10@0 2@60000 30@120000"]),
        ("count(m)", vec!["{} 2@0 2@60000 3@120000"]),
        ("group(m)", vec!["{} 1@0 1@60000 1@120000"]),
        (
            "stdvar(m)",
            vec!["{} 20.25@0 NaN@60000 150.88888888888889@120000"],
        ),
        (
            "stddev(m)",
            vec!["{} 4.5@0 NaN@60000 12.283683848458853@120000"],
        ),
        ("quantile(0.5, m)", vec!["{} 5.5@0 NaN@60000 5@120000"]),
        (
            "count by (b) (m)",
            vec![r#"{b="x"} 2@0 2@60000 2@120000"#, r#"{b="y"} 1@120000"#],
        ),
        (
            "count without (b) (m)",
            vec![
                r#"{a="1"} 1@0 1@60000 1@120000"#,
                r#"{a="2"} 1@0 1@60000 1@120000"#,
                r#"{a="3"} 1@120000"#,
            ],
        ),
        ("count by (__name__) (m)", vec!["m 2@0 2@60000 3@120000"]),
        ("count without () (nothing)", vec![]),
    ] {
        assert_eq!(range(&database, query).lines(), lines, "{query}");
    }
}

#[test]
fn sums_compensate_for_rounding_and_means_for_overflow() {
    let database = Database::default()
        .samples("m{a='1'}", &[(0, 1e100)])
        .samples("m{a='2'}", &[(0, 1.0)])
        .samples("m{a='3'}", &[(0, -1e100)])
        .samples("big{a='1'}", &[(0, 1.5e308)])
        .samples("big{a='2'}", &[(0, 1e308)])
        .samples("big{a='3'}", &[(0, 0.5e308)])
        .samples("endless{a='1'}", &[(0, f64::INFINITY)])
        .samples("endless{a='2'}", &[(0, 1.0)])
        .samples("zero{a='1'}", &[(0, -0.0)]);
    for (query, line) in [
        ("sum(m)", "{} 1"),
        ("avg(m)", "{} 0.3333333333333333"),
        ("avg(big)", "{} 1e+308"),
        ("sum(big)", "{} +Inf"),
        ("avg(endless)", "{} +Inf"),
        ("stddev(endless)", "{} NaN"),
        ("sum(zero)", "{} 0"),
        ("min(zero)", "{} -0"),
    ] {
        assert_eq!(database.instant(query, 0).lines(), [line], "{query}");
    }
}

#[test]
fn parameters_may_differ_from_step_to_step() {
    let database = numbers().floats("k", 60_000, &[0.5, 1.0, 2.9]);
    let lines = [
        r#"m{a="1", b="x"} 2@60000"#,
        r#"m{a="2", b="x"} 30@120000"#,
        r#"m{a="3", b="y"} 5@120000"#,
    ];
    assert_eq!(range(&database, "topk(scalar(k), m)").lines(), lines);
    let lines = [
        r#"m{a="1", b="x"} 2@60000 3@120000"#,
        r#"m{a="2", b="x"} 30@120000"#,
    ];
    assert_eq!(range(&database, "limitk(scalar(k), m)").lines(), lines);
    let tested = range(&database, "quantile(scalar(k) - 1, m)");
    assert_eq!(
        tested.lines_beside_annotations(),
        ["{} -Inf@0 NaN@60000 +Inf@120000"]
    );
    let warnings = [
        "PromQL warning: quantile value should be between 0 and 1, got -0.5 (1:10)",
        "PromQL warning: quantile value should be between 0 and 1, got 1.9 (1:10)",
    ];
    assert_eq!(tested.warnings, warnings);
}

#[test]
fn a_parameter_below_the_integers_is_an_error_if_another_step_selects() {
    let database = numbers().floats("low", 60_000, &[1.0, -1e30]);
    let error = "Scalar value -1e+30 underflows int64";
    let tested = range(&database, "topk(scalar(low), m)");
    assert_eq!(tested.error(), error);
    let tested = range(&database, "limit_ratio(scalar(nothing), m)");
    assert_eq!(tested.error(), "Ratio value is NaN");
}

#[test]
fn extremes_are_ordered_by_their_values_in_instant_queries() {
    let database = Database::default()
        .samples("m{a='1'}", &[(0, 2.0)])
        .samples("m{a='2'}", &[(0, f64::NAN)])
        .samples("m{a='3'}", &[(0, 3.0)])
        .samples("m{a='4'}", &[(0, 2.0)])
        .samples("m{a='5'}", &[(0, 1.0)]);
    for (query, lines) in [
        ("topk(1, m)", vec!["3 3"]),
        ("topk(2, m)", vec!["3 3", "1 2"]),
        ("topk(9, m)", vec!["3 3", "4 2", "1 2", "5 1", "2 NaN"]),
        ("bottomk(2, m)", vec!["5 1", "1 2"]),
        ("bottomk(9, m)", vec!["5 1", "1 2", "4 2", "3 3", "2 NaN"]),
        ("topk(0, m)", vec![]),
        ("limitk(2, m)", vec!["2 NaN", "1 2"]),
        (
            "topk by (a) (1, m)",
            vec!["1 2", "2 NaN", "3 3", "4 2", "5 1"],
        ),
    ] {
        let line = |line: &str| {
            let (a, value) = line.split_once(' ').unwrap();
            format!("m{{a=\"{a}\"}} {value}")
        };
        let lines: Vec<_> = lines.into_iter().map(line).collect();
        assert_eq!(database.instant(query, 0).lines(), lines, "{query}");
    }
}

#[test]
fn parameters_without_meaning_are_errors() {
    let database = numbers();
    for (query, error) in [
        ("topk(NaN, m)", "Parameter value is NaN"),
        ("bottomk(1e19, m)", "Scalar value 1e+19 overflows int64"),
        ("limitk(1e30, m)", "Scalar value 1e+30 overflows int64"),
        ("limit_ratio(NaN, m)", "Ratio value is NaN"),
        (
            r#"count_values("a\xff", m)"#,
            r#"invalid label name "a\xff""#,
        ),
        ("count_values('', m)", r#"invalid label name """#),
    ] {
        assert_eq!(range(&database, query).error(), error, "{query}");
    }
    assert_eq!(range(&database, "topk(-1e30, m)").lines(), [""; 0]);
    assert_eq!(range(&database, "limit_ratio(0, m)").lines(), [""; 0]);
}

#[test]
fn a_ratio_and_its_complement_select_each_series_once() {
    let mut database = Database::default();
    for a in 0..50 {
        database = database.floats(&format!("m{{a='{a}'}}"), 60_000, &[1.0, 2.0]);
    }
    let count = |query: &str| database.instant(query, 0).lines().len();
    for (ratio, complement) in [("0.1", "-0.9"), ("0.5", "-0.5"), ("0.75", "-0.25")] {
        let lower = count(&format!("limit_ratio({ratio}, m)"));
        let upper = count(&format!("limit_ratio({complement}, m)"));
        assert_eq!(lower + upper, 50, "{ratio}");
    }
    assert_eq!(count("limit_ratio(1, m)"), 50);
    assert_eq!(count("limit_ratio(-1, m)"), 50);
    let tested = database.instant("count(limit_ratio(1.5, m))", 0);
    assert_eq!(tested.lines_beside_annotations(), ["{} 50"]);
    let warning =
        "PromQL warning: ratio value should be between -1 and 1, got 1.5, capping to 1 (1:19)";
    assert_eq!(tested.warnings, [warning]);
}

#[test]
fn values_are_counted() {
    let database = numbers()
        .floats("n{a='1', v='old'}", 60_000, &[1.0, f64::NAN])
        .floats("n{a='2', v='old'}", 60_000, &[1.0, -0.0])
        .histograms("n{a='2', v='h'}", &[(0, histogram(1.5, &[1.0]))]);
    for (query, lines) in [
        (
            "count_values('v', n)",
            vec![
                r#"{v="-0"} 1@60000 1@120000"#,
                r#"{v="1"} 2@0"#,
                r#"{v="NaN"} 1@60000 1@120000"#,
                r#"{v="{count:1, sum:1.5, (0.5,1]:1}"} 1@0 1@60000 1@120000"#,
            ],
        ),
        (
            "count_values by (a) ('v', n{a='1'})",
            vec![
                r#"{a="1", v="1"} 1@0"#,
                r#"{a="1", v="NaN"} 1@60000 1@120000"#,
            ],
        ),
        (
            "count_values without (v) ('v', n)",
            vec![
                r#"{a="1"} 1@0 1@60000 1@120000"#,
                r#"{a="2"} 2@0 2@60000 2@120000"#,
            ],
        ),
        (
            "count_values('__name__', n{a='1'})",
            vec!["1 1@0", "NaN 1@60000 1@120000"],
        ),
    ] {
        assert_eq!(range(&database, query).lines(), lines, "{query}");
    }
}

#[test]
fn histograms_are_added_and_averaged() {
    let database = Database::default()
        .histograms(
            "h{a='1'}",
            &[
                (0, histogram(3.0, &[1.0, 2.0])),
                (60_000, histogram(3.0, &[1.0])),
            ],
        )
        .histograms("h{a='2'}", &[(0, histogram(5.0, &[3.0, 0.0]))])
        .samples("h{a='3'}", &[(60_000, 1.0)]);
    let at = |query: &str, time| database.instant(query, time);
    let lines = ["{} {count:6, sum:8, (0.5,1]:4, (1,2]:2}"];
    assert_eq!(at("sum(h)", 0).lines(), lines);
    let lines = ["{} {count:3, sum:4, (0.5,1]:2, (1,2]:1}"];
    assert_eq!(at("avg(h)", 0).lines(), lines);
    assert_eq!(at("count(h)", 60_000).lines(), ["{} 3"]);
    assert_eq!(at("group(h)", 60_000).lines(), ["{} 1"]);

    let mixed = at("sum(h)", 60_000);
    assert_eq!(mixed.lines_beside_annotations(), [""; 0]);
    let warning =
        "PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)";
    assert_eq!(mixed.warnings, [warning]);
    for (op, query, place) in [
        ("min", "min(h)", "1:5"),
        ("stddev", "stddev(h)", "1:8"),
        ("quantile", "quantile(1, h)", "1:13"),
        ("topk", "topk(1, h)", "1:1"),
    ] {
        let tested = at(query, 60_000);
        assert_eq!(tested.lines_beside_annotations().len(), 1, "{query}");
        let info = format!("PromQL info: ignored histogram in {op} aggregation ({place})");
        assert_eq!(tested.infos, [info]);
    }
    assert_eq!(at("limitk(2, h)", 60_000).lines().len(), 2);
}

#[test]
fn a_delayed_removal_reaches_the_names_by_which_series_were_grouped() {
    let database = Database::with_delayed_name_removal()
        .floats("m{a='1'}", 60_000, &[1.0, 2.0])
        .floats("n{a='1'}", 60_000, &[3.0, 4.0]);
    let tested = database.instant("sum by (__name__) (-m)", 0);
    assert_eq!(tested.lines(), ["{} -1"]);
    let tested = database.instant("sum by (__name__) ({a='1'})", 0);
    assert_eq!(tested.lines(), ["m 1", "n 3"]);
    let tested = database.instant("sum by (__name__) (-{a='1'})", 0);
    assert_eq!(
        tested.error(),
        "vector cannot contain metrics with the same labelset"
    );
}

/// Few values at steps that are far apart need little memory, whatever the number of steps.
#[test]
fn gaps_cost_nothing() {
    let far = 1_900_000_000;
    let mut database = Database::default()
        .samples("m{a='1'}", &[(0, 1.0), (far, 2.0)])
        .samples("m{a='2'}", &[(far, 3.0)]);
    database.options.lookback_ms = 1;
    for (query, first, last) in [
        ("sum(m)", "1", "5"),
        ("count(m)", "1", "2"),
        ("quantile(1, m)", "1", "3"),
        ("max(topk(1, m))", "1", "3"),
        ("min(limitk(1, m))", "1", "2"),
        ("avg(m)", "1", "2.5"),
    ] {
        let tested = database.range(query, 0, far, 1);
        let line = format!("{{}} {first}@0 {last}@{far}");
        assert_eq!(tested.lines(), [line], "{query}");
    }
}
