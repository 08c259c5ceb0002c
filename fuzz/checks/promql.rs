//! PromQL: a query that is printed and parsed again is the same, and evaluations end within their limits, with results
//! that are in order.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use prom_model::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, Count, FloatHistogram, Histogram, Label, Labels,
    STALE_MARKER_BITS, Span,
};
use promql::{
    Engine, EngineOptions, EvaluationError, Expr, Fetched, Interrupt, MemoryStorage, Outcome,
    ParserOptions, Progress, Query, SampleValue, Storage, Value, parse,
};

/// Longer queries find nothing that shorter ones do not.
const MAX_QUERY_BYTES: usize = 400;

/// Samples that an evaluation may hold.
const MAX_SAMPLES: usize = 20_000;

/// Calls after which an evaluation is interrupted.
const MAX_CALLS: u32 = 200_000;

/// Time between samples, and steps, in milliseconds.
const INTERVAL_MS: i64 = 30_000;
const STEPS: i64 = 8;

/// Checks `query` with the language and the engine as they are by default, and with everything that can be switched on.
pub(crate) fn check(query: &[u8]) {
    if query.len() > MAX_QUERY_BYTES {
        return;
    }
    let default = EngineOptions {
        max_samples: MAX_SAMPLES,
        ..EngineOptions::default()
    };
    let everything = EngineOptions {
        parser: ParserOptions::everything(),
        delayed_name_removal: true,
        start_timestamps: true,
        type_and_unit_labels: true,
        ..default
    };
    let accepted = check_syntax(query, &everything.parser);
    if let Some(expr) = check_syntax(query, &default.parser) {
        assert_eq!(Some(expr), accepted, "more switches change nothing");
        check_evaluation(query, default);
    }
    if accepted.is_some() {
        check_evaluation(query, everything);
    }
}

/// Returns the expression of a query that is accepted.
fn check_syntax(query: &[u8], options: &ParserOptions) -> Option<Expr> {
    let expr = match parse(query, options) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(error.span().start <= query.len(), "{error}");
            assert!(error.to_string().contains("parse error: "), "{error}");
            return None;
        }
    };
    // Of several signs of a number Prometheus prints some, so that it is parsed as a duration at most the second time;
    // `offset --6 - 4` is printed as `offset 6 - 4`, which is a difference.
    let has_several = |sign| query.iter().filter(|&&byte| byte == sign).count() > 1;
    let has_offset_with_signs = has_word(query, b"offset") && has_several(b'-');
    let has_signs = has_several(b'+') || has_offset_with_signs;
    for text in [expr.to_string(), expr.pretty()] {
        match parse(&text, options) {
            Ok(again) if has_signs => {
                let printed = again.to_string();
                let again = parse(&printed, options).map(|again| again.to_string());
                assert_eq!(
                    again.map(without_signs_of_inf),
                    Ok(without_signs_of_inf(printed))
                );
            }
            Ok(again) => assert_eq!(
                without_signs_of_inf(again.to_string()),
                without_signs_of_inf(expr.to_string()),
                "{text}"
            ),
            Err(error) => assert!(
                is_unreadable(query) || has_offset_with_signs,
                "{text}: {error}"
            ),
        }
    }
    Some(expr)
}

/// Returns a printed query without the sign of `Inf`: it is printed with one, which is an operator when it is parsed.
fn without_signs_of_inf(mut text: String) -> String {
    while text.contains("+Inf") {
        text = text.replace("+Inf", "Inf");
    }
    text
}

/// Returns true if a query may contain what Prometheus prints in a form that it does not parse.
fn is_unreadable(query: &[u8]) -> bool {
    let has_quotes = query.iter().any(|byte| b"\"'`".contains(byte));
    // A selector without conditions is printed as nothing, but no other function accepts one.
    has_quotes || has_word(query, b"info")
}

fn has_word(query: &[u8], word: &[u8]) -> bool {
    let lower = query.to_ascii_lowercase();
    lower.windows(word.len()).any(|it| it == word)
}

fn check_evaluation(query: &[u8], options: EngineOptions) {
    let engine = Engine::new(options);
    let middle = STEPS / 2 * INTERVAL_MS;
    if let Ok(query) = engine.instant(query, middle) {
        let outcome = evaluate(&query);
        if let Ok(value) = &outcome.value {
            check_instant(value, middle);
        }
    }
    let (end, step) = (STEPS * INTERVAL_MS, INTERVAL_MS * 3 / 2);
    if let Ok(query) = engine.range(query, 0, end, step) {
        let outcome = evaluate(&query);
        if let Ok(value) = &outcome.value {
            let Value::Matrix(matrix) = value else {
                panic!("the result of a range query is a matrix");
            };
            for series in matrix {
                let floats = series.floats.iter().map(|it| it.timestamp_ms);
                let histograms = series.histograms.iter().map(|it| it.timestamp_ms);
                let is_step = |time: i64| (0..=end).contains(&time) && time % step == 0;
                assert!(floats.chain(histograms).all(is_step));
            }
            check_matrix(value);
        }
    }
}

fn evaluate(query: &Query) -> Outcome {
    let calls = Cell::new(0);
    let interrupt = || {
        calls.set(calls.get() + 1);
        (calls.get() > MAX_CALLS).then_some(Interrupt::TimedOut)
    };
    let mut fetched = Fetched::default();
    let mut missing = query.selections().to_vec();
    for _ in 0..20 {
        for selection in missing {
            let Ok(series) = STORAGE.select(&selection);
            fetched.add(selection, series);
        }
        match query.evaluate(&fetched, &interrupt) {
            Progress::Needs(selections) => missing = selections,
            Progress::Done(outcome) => {
                check_outcome(&outcome);
                return outcome;
            }
        }
    }
    panic!("more is needed again and again");
}

fn check_outcome(outcome: &Outcome) {
    match &outcome.value {
        Ok(_) => assert!(outcome.statistics.peak_samples <= MAX_SAMPLES),
        Err(EvaluationError::Execution(text)) => assert!(!text.is_empty()),
        Err(_) => {}
    }
    let annotations = &outcome.annotations;
    let of_level = |level: &str, texts: Vec<String>| {
        assert!(
            texts
                .iter()
                .all(|text| text.starts_with(level) && text.ends_with(')'))
        );
    };
    of_level("PromQL warning: ", annotations.warnings());
    of_level("PromQL info: ", annotations.infos());
}

fn check_instant(value: &Value, time: i64) {
    match value {
        Value::Vector(vector) => {
            let mut labels = HashSet::new();
            for sample in vector {
                assert_eq!(sample.timestamp_ms, time);
                assert!(
                    labels.insert(&sample.labels),
                    "{:?} occurs twice",
                    sample.labels
                );
            }
        }
        Value::Scalar { timestamp_ms, .. } | Value::String { timestamp_ms, .. } => {
            assert_eq!(*timestamp_ms, time);
        }
        Value::Matrix(_) => check_matrix(value),
    }
}

fn check_matrix(value: &Value) {
    let Value::Matrix(matrix) = value else {
        return;
    };
    assert!(matrix.is_sorted_by(|a, b| a.labels < b.labels));
    for series in matrix {
        assert!(!series.floats.is_empty() || !series.histograms.is_empty());
        assert!(
            series
                .floats
                .is_sorted_by(|a, b| a.timestamp_ms < b.timestamp_ms)
        );
        assert!(
            series
                .histograms
                .is_sorted_by(|a, b| a.timestamp_ms < b.timestamp_ms)
        );
    }
}

/// A few series of each kind.
static STORAGE: LazyLock<MemoryStorage> = LazyLock::new(|| {
    let mut storage = MemoryStorage::default();
    let mut add = |name: &str,
                   others: &[(&str, &str)],
                   value: &dyn Fn(i64) -> Option<SampleValue>| {
        let label = |&(name, value): &(&str, &str)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let mut labels: Vec<_> = others.iter().map(label).collect();
        labels.push(label(&("__name__", name)));
        let labels = Labels::new(labels);
        for index in 0..=STEPS {
            if let Some(value) = value(index) {
                let appended = storage.append_with_start(&labels, 1, index * INTERVAL_MS, value);
                appended.expect("samples are in order and valid");
            }
        }
    };
    let float = |value: f64| Some(SampleValue::Float(value));
    let job = ("job", "j");
    add("a", &[("i", "1"), job], &|index| float(index as f64));
    add("a", &[("i", "2"), job], &|index| match index {
        2 => None,
        4 => float(f64::from_bits(STALE_MARKER_BITS)),
        5 => float(f64::NAN),
        _ => float(-1.5 * index as f64),
    });
    add("b", &[("i", "1"), ("v", "x")], &|index| {
        float((index % 3) as f64)
    });
    add("b", &[("i", "1"), ("v", "y")], &|index| match index % 4 {
        0 => float(f64::INFINITY),
        _ => float(-0.0),
    });
    add(
        "c_total",
        &[("i", "1"), job, ("__type__", "counter")],
        &|index| float((index % 5 * 10) as f64),
    );
    for (bound, factor) in [("0.1", 1), ("1", 3), ("+Inf", 4)] {
        add("h_bucket", &[("i", "1"), ("le", bound)], &|index| {
            float((index * factor) as f64)
        });
    }
    add("n", &[("i", "1")], &|index| native(index, None));
    add("n", &[("i", "2")], &|index| native(3 * (index % 4), None));
    add("k", &[("i", "1")], &|index| {
        native(index, Some(&[0.5, 1.0, 2.0]))
    });
    add("k", &[("i", "2")], &|index| {
        native(index, Some(&[0.5, 2.0, 4.0]))
    });
    add("x", &[("i", "1")], &|index| match index % 3 {
        0 => float(index as f64),
        1 => native(index, None),
        _ => native(index, Some(&[1.0, 2.0, 3.0])),
    });
    add(
        "target_info",
        &[("instance", "1"), job, ("version", "2")],
        &|_| float(1.0),
    );
    add("up", &[("instance", "1"), job], &|_| float(1.0));
    storage
});

/// Returns a histogram whose counts grow with `size`, with exponential buckets or these boundaries.
fn native(size: i64, bounds: Option<&[f64]>) -> Option<SampleValue> {
    let counts = [1.0, 2.0, 0.0].map(|count| count * size as f64);
    let histogram = Histogram {
        count: Some(Count::Float(counts.iter().sum())),
        sum: 1.5 * size as f64,
        schema: bounds.map_or(1, |_| CUSTOM_BUCKETS_SCHEMA),
        zero_threshold: if bounds.is_some() { 0.0 } else { 0.001 },
        positive: Buckets {
            spans: vec![Span {
                offset: 0,
                length: 3,
            }],
            deltas: vec![],
            counts: counts.to_vec(),
        },
        custom_values: bounds.unwrap_or_default().to_vec(),
        ..Histogram::default()
    };
    let histogram = FloatHistogram::try_from(&histogram).expect("the histogram is valid");
    Some(SampleValue::Histogram(Arc::new(histogram)))
}
