//! The deepest queries are evaluated and written with a bounded stack.

use prom_model::{Label, Labels};
use promql::{
    Engine, EngineOptions, MAX_DEPTH, MemoryStorage, ParserOptions, SampleValue, ast_json, parse,
    selectors,
};

/// Three quarters of the stack of a thread, in which builds without optimisation need the most.
const STACK: usize = 3 << 19;

#[test]
fn the_deepest_queries_are_evaluated_on_a_small_stack() {
    let mut storage = MemoryStorage::default();
    let labels = Labels::new(vec![Label {
        name: "__name__".to_owned(),
        value: "a".to_owned(),
    }]);
    for minute in 0..10 {
        let value = SampleValue::Float(1.0);
        storage.append(&labels, minute * 60_000, value).unwrap();
    }
    let engine = Engine::new(EngineOptions {
        parser: ParserOptions::everything(),
        ..EngineOptions::default()
    });
    for (open, close) in NESTED {
        let count = deepest(open, close);
        let query = format!("{}a{}", open.repeat(count), close.repeat(count));
        let evaluate = || {
            let expr = parse(&query, &ParserOptions::everything()).unwrap();
            assert!(ast_json(&expr).len() > query.len() && !selectors(&expr).is_empty());
            let query = engine.range(&query, 540_000, 600_000, 60_000).unwrap();
            let outcome = query.run(&storage).unwrap();
            outcome.value.map(|_| ()).map_err(|error| error.to_string())
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            let thread = thread.spawn_scoped(scope, evaluate).unwrap();
            assert_eq!(thread.join().unwrap(), Ok(()), "{open}");
        });
    }
}

/// Parts before and after an expression, which can be repeated.
const NESTED: &[(&str, &str)] = &[
    ("-", ""),
    ("sum(", ")"),
    ("topk(1, ", ")"),
    ("max_over_time(", "[1m:1m])"),
    ("rate(", "[1m:1m])"),
    ("histogram_count(", ")"),
    ("histogram_quantile(0.5, ", ")"),
    ("a + (", ")"),
    ("a ^ ", ""),
    ("2 * (", ")"),
    ("-(a or ", ")"),
    ("a + on () group_left () sum(", ")"),
    ("topk(1, ", " > bool a)"),
    ("info(", ")"),
    ("abs(", ")"),
    ("round(", ", 2)"),
    ("label_replace(", ", 'x', '$1', 'y', '(.*)')"),
    ("sort(", ")"),
    ("timestamp(", ")"),
    ("absent(", ")"),
    ("vector(scalar(", "))"),
    ("topk(scalar(", "), a)"),
    ("quantile(scalar(", ") + 1, a)"),
    ("vector(min_of(scalar(", "), 1))"),
    ("absent_over_time(", "[1m:1m])"),
    ("max_over_time((a - ", ")[1m:1m])"),
];

/// Returns the number of times that a query can be nested.
fn deepest(open: &str, close: &str) -> usize {
    let is_accepted = |count: usize| {
        let query = format!("{}a{}", open.repeat(count), close.repeat(count));
        parse(&query, &ParserOptions::everything()).is_ok()
    };
    let counts: Vec<usize> = (1..=MAX_DEPTH as usize).collect();
    counts.partition_point(|&count| is_accepted(count))
}
