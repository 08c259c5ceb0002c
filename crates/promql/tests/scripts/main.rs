//! The runner of test scripts, over scripts of its own.
//!
//! `conformance.rs` runs those of Prometheus.

mod at;
mod check;
mod compare;
mod needed;
mod nhcb;
mod run;
mod script;
mod series;

use needed::Returned;

/// Returns the lines of the evaluations that differ, with the differences.
fn differences(script: &str) -> Vec<(usize, String)> {
    let evaluated = run::run(script, run::options(), Returned::All, None).unwrap();
    let different = evaluated.into_iter();
    different
        .filter_map(|it| Some((it.line, it.difference?)))
        .collect()
}

#[test]
fn results_as_expected_have_no_differences() {
    let script = "
load 1m
    up{job=\"b\"} 1 0 _ 1x2 stale 1
    up{job=\"a\"} _x3 5+1x3
    h          {{count:3 sum:1.5 buckets:[1 2]}}x3
    mixed      1 {{count:1 buckets:[1]}}

eval instant at 0 up
    expect no_warn
    expect no_info
    up{job=\"b\"} 1

# Not compared at 5m, when the series has ended.
eval instant at 4m up
    {__name__=\"up\", job=\"a\"} 6
    up{job=\"b\"} 1.0000001

eval range from 0 to 6m step 1m up
    up{job=\"b\"} 1 0 0 1 1 1 _
    up{job=\"a\"} _x3 5 6 7 8

eval range from 0 to 1m step 1m mixed
    mixed 1 {{count:1 buckets:[1 0] counter_reset_hint:unknown}}

eval instant at 1m h
    h {{count:3 sum:1.5 buckets:[1 2] counter_reset_hint:not_reset}}

eval instant at 3m {job=\"a\"}[3m]
    expect range vector from 3m to 4m step 1m
    up{job=\"a\"} 5 6

eval instant at 0 -0x10
    -16

eval instant at 0 \"a b\"
    expect string `a b`

clear

eval instant at 0 up
";
    assert_eq!(differences(script), []);
}

#[test]
fn each_difference_is_found() {
    let load =
        "load 1m\n up{job=\"a\"} 1 2 3\n up{job=\"b\"} 1 2 3\n h {{count:1 buckets:[1]}}\n\n";
    for (eval, difference) in [
        (
            "eval instant at 1m up{job=\"a\"}\n up{job=\"a\"} 3",
            "expected {__name__=\"up\",job=\"a\"} 3, got 2",
        ),
        (
            "eval instant at 1m up\n up{job=\"a\"} 2",
            "unexpected {__name__=\"up\",job=\"b\"} 2",
        ),
        (
            "eval instant at 1m up{job=\"a\"}\n up{job=\"a\"} 2\n up{job=\"c\"} 2",
            "missing {__name__=\"up\",job=\"c\"} 2",
        ),
        (
            "eval instant at 1m up\n expect ordered\n up{job=\"b\"} 2\n up{job=\"a\"} 2",
            "expected {__name__=\"up\",job=\"a\"} at place 1, got it at 0",
        ),
        (
            "eval instant at 0 h\n h {{count:2 buckets:[2]}}",
            "expected {__name__=\"h\"} {count:2, sum:0, (0.5,1]:2}, got {count:1, sum:0, (0.5,1]:1} (schema 0, hint Unknown)",
        ),
        (
            "eval instant at 0 h\n h {{count:1 buckets:[1] counter_reset_hint:not_reset}}",
            "expected {__name__=\"h\"} {count:1, sum:0, (0.5,1]:1} (schema 0, hint NotReset), got {count:1, sum:0, \
             (0.5,1]:1} (schema 0, hint Unknown)",
        ),
        (
            "eval instant at 0 h\n h 1",
            "expected {__name__=\"h\"} 1, got {count:1, sum:0, (0.5,1]:1} (schema 0, hint Unknown)",
        ),
        (
            "eval range from 0 to 1m step 1m up{job=\"a\"}\n up{job=\"a\"} 1 _",
            "expected {__name__=\"up\",job=\"a\"} 1@0, got 1@0 2@60000",
        ),
        (
            "eval range from 0 to 1m step 1m up{job=\"a\"}\n up{job=\"a\"} 1 2 3",
            "the query has less than 3 steps",
        ),
        ("eval instant at 0 5\n 6", "expected the scalar 6, got 5"),
        (
            "eval instant at 0 \"a\"\n expect string \"b\"",
            "expected the string \"b\", got \"a\"",
        ),
        (
            "eval instant at 0 5\n expect warn\n 5",
            "expected the warning any text, got []",
        ),
        (
            "eval instant at 0 5\n expect info msg: a (1:1)\n 5",
            "expected the info `a (1:1)`, got []",
        ),
        (
            "eval instant at 0 5\n expect fail\n 5",
            "expected an error, got Scalar { timestamp_ms: 0, value: 5.0 }",
        ),
        (
            "eval range from 0 to 1m step 1m up[1m]",
            "failed: invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
        (
            "eval range from 0 to 1m step 1m up[1m]\n expect fail regex:vector.*matrix",
            "expected the error a text that matches `vector.*matrix`, got invalid expression type \"range vector\" for \
             range query, must be Scalar or instant Vector",
        ),
    ] {
        let found = differences(&format!("{load}{eval}"));
        let [(line, text)] = found.as_slice() else {
            panic!("{eval}: {found:?}");
        };
        assert_eq!((*line, text.as_str()), (6, difference));
    }
}

#[test]
fn instant_queries_are_range_queries_too() {
    // Queries with `step()` are not, but the blank hides it.
    let script = "eval instant at 5m step( )\n 0\n\neval instant at 5m step()\n 0";
    let difference = "as the middle of a range query: expected the scalar 0, got 60";
    assert_eq!(differences(script), [(1, difference.to_owned())]);
}

#[test]
fn an_expected_error_is_no_difference() {
    let eval = "eval range from 0 to 1m step 1m up[1m]\n expect fail msg: invalid expression type \"range vector\" for \
                range query, must be Scalar or instant Vector\n\neval_fail range from 0 to 1m step 1m up[1m]";
    assert_eq!(differences(eval), []);
}

#[test]
fn only_one_line_is_run_if_it_is_named() {
    let script = "eval instant at 0 1\n 1\n\neval instant at 0 2\n 3\n";
    let evaluated = run::run(script, run::options(), Returned::All, Some(4)).unwrap();
    let lines: Vec<_> = evaluated
        .iter()
        .map(|it| (it.line, it.expr.as_str()))
        .collect();
    assert_eq!(lines, [(4, "2")]);
}

#[test]
fn classic_histograms_are_loaded_as_native_ones_too() {
    let script = "
load_with_nhcb 1m
    a_bucket{le=\"1\"} 1 2
    a_bucket{le=\"+Inf\"} 3 4
    a_sum 5 6

eval instant at 1m a
    a {{schema:-53 count:4 sum:6 custom_values:[1] buckets:[2 2]}}

eval instant at 1m a_sum
    a_sum 6
";
    assert_eq!(differences(script), []);
}

#[test]
fn samples_that_cannot_be_stored_end_the_script() {
    let script = "load 1m\n up 1 2\n\nload 1m\n up 1 3\n";
    let error = run::run(script, run::options(), Returned::All, None)
        .err()
        .unwrap();
    assert!(
        error.starts_with("line 4: the sample of {__name__=\"up\"} at 0 ms is older"),
        "{error}"
    );
}
