//! Long and deep queries need linear time and a bounded stack.

use std::time::{Duration, Instant};

use prom_model::{Label, Labels};
use promql::{
    Engine, EngineOptions, ExprKind, MAX_DEPTH, MemoryStorage, ParserOptions, SampleValue, parse,
};

fn options() -> ParserOptions {
    ParserOptions::everything()
}

fn is_too_deep(query: &str) -> bool {
    let error = parse(query, &options()).unwrap_err();
    error.message().starts_with("expression nests too deeply")
}

#[test]
fn deep_queries_are_rejected() {
    for (open, close) in [
        ("(", ")"),
        ("abs(", ")"),
        ("sum(", ")"),
        ("- ", ""),
        ("1 ^ ", ""),
        ("a + (b * ", ")"),
        ("a[(", ")]"),
        ("(1)[1m:", ""),
    ] {
        let count = 100_000;
        let query = format!("{}a{}", open.repeat(count), close.repeat(count));
        let error = parse(&query, &options()).unwrap_err();
        assert!(error.span().start < 10_000, "{open}: {error}");
    }
    for query in [
        format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("a[{}5m{}]", "(".repeat(100_000), ")".repeat(100_000)),
        format!("a[{}5m]", "- ".repeat(100_000)),
        format!("a[5m{}]", " + 1m".repeat(10_000)),
        format!("a[5m{}]", " ^ 1m".repeat(10_000)),
        format!("a{}", "[5m:]".repeat(100_000)),
    ] {
        assert!(is_too_deep(&query), "{}", &query[..40]);
    }
}

#[test]
fn the_deepest_query_is_parsed_printed_and_dropped() {
    for (open, close) in [("(", ")"), ("abs(", ")"), ("-", ""), ("a ^ (", ")")] {
        let levels = MAX_DEPTH as usize - 1;
        // `a ^ (` needs two levels of recursion and two of the tree.
        let count = if open == "a ^ (" { levels / 2 } else { levels };
        let query = format!("{}a{}", open.repeat(count), close.repeat(count));
        let expr = parse(&query, &options()).unwrap();
        assert_eq!(expr.to_string(), query);
        assert!(!expr.pretty().is_empty());
        assert_eq!(expr.clone(), expr);
        let deeper = format!("{open}{open}{query}{close}{close}");
        assert!(is_too_deep(&deeper), "{open}");
    }
}

#[test]
fn a_chain_of_operators_is_one_level() {
    let query = format!("1{}", " + 1".repeat(100_000));
    let expr = parse(&query, &options()).unwrap();
    assert_eq!(expr.to_string(), query);
    let ExprKind::Binary(chain) = &expr.kind else {
        panic!("not a chain");
    };
    assert_eq!(chain.steps.len(), 100_000);
    assert_eq!(chain.steps[1].span.end, 9);
}

#[test]
fn long_queries_need_linear_time() {
    // As much work in both, so that a busy machine slows both down.
    let time = |part: &str, count: usize, repetitions: usize| {
        let query = format!("a{}", part.repeat(count));
        let fastest = (0..5).map(|_| {
            let start = Instant::now();
            for _ in 0..repetitions {
                let expr = parse(&query, &options()).unwrap();
                assert_eq!(expr.to_string().len(), query.len());
            }
            start.elapsed()
        });
        fastest.min().unwrap()
    };
    for part in [
        " + 1",
        " and b",
        " * on (x) group_left (y) c",
        " ^ 2 + 1 ^ 2",
    ] {
        let (short, long) = (time(part, 1_500, 10), time(part, 15_000, 1));
        // Quadratic time would be a factor of 10.
        assert!(long < short * 4, "{part}: {short:?}, {long:?}");
    }
}

#[test]
fn long_queries_are_rejected() {
    let options = ParserOptions {
        max_bytes: 10,
        ..options()
    };
    assert!(parse("1234567890", &options).is_ok());
    let error = parse("12345678901", &options).unwrap_err();
    let text = "1:1: parse error: the query has 11 bytes, but at most 10 are accepted; shorten it";
    assert_eq!(error.to_string(), text);
}

#[test]
fn many_labels_of_both_clauses_need_linear_time() {
    let labels = |prefix: &str| {
        let names = (0..20_000).map(|index| format!("{prefix}{index}"));
        names.collect::<Vec<_>>().join(",")
    };
    let query = format!("a + on ({}) group_left ({}) b", labels("x"), labels("y"));
    let start = Instant::now();
    assert!(parse(&query, &options()).is_ok());
    // 400 million comparisons of labels would take longer.
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn many_labels_of_a_matching_cost_no_more_for_each_series() {
    let mut storage = MemoryStorage::default();
    for index in 0..2_000 {
        let label = |name: &str, value: String| Label {
            name: name.to_owned(),
            value,
        };
        let labels = vec![
            label("__name__", "m".to_owned()),
            label("i", index.to_string()),
        ];
        let value = SampleValue::Float(1.0);
        storage.append(&Labels::new(labels), 0, value).unwrap();
    }
    let names = (0..50_000).map(|index| format!("l{index}"));
    let names = names.collect::<Vec<_>>().join(",");
    let engine = Engine::new(EngineOptions::default());
    for operator in [
        format!("on (i,{names})"),
        format!("ignoring ({names})"),
        format!("on (i) group_left ({names})"),
    ] {
        let start = Instant::now();
        let query = engine.instant(&format!("m - {operator} m"), 0).unwrap();
        let outcome = query.run(&storage).unwrap();
        assert_eq!(outcome.statistics.total_samples, 4_000);
        assert!(outcome.value.is_ok());
        // 100 million look-ups of labels would take longer.
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    }
}
