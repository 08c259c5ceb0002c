//! Cost of queries: parsed, planned and evaluated over samples that were fetched before, on one core.
//!
//! `tests/conformance/promql/bench` measures Prometheus' own engine on the same expressions, series and steps, also
//! over samples in memory; `make bench-promql` runs both and prints a table.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use prom_model::{Buckets, Count, FloatHistogram, Histogram, Label, Labels, Sample, Span};
use promql::{
    Engine, EngineOptions, Fetched, HistogramSample, Progress, Query, Selection, StoredSeries,
};

/// That of the connector.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A name and an expression a line, with `X` as the number of series.
const EXPRESSIONS: &str = include_str!("expressions.txt");
const SIZES: [usize; 3] = [10, 100, 1_000];
const STEPS: [i64; 3] = [1, 100, 1_000];

/// Milliseconds between samples, and between steps.
const INTERVAL_MS: i64 = 15_000;
/// Samples before the first step: an hour.
const BEFORE: i64 = 240;
/// Samples of each series.
const SAMPLES: i64 = BEFORE + 1_000;
/// Bounds of a classic histogram.
const BOUNDS: usize = 10;

fn engine(criterion: &mut Criterion) {
    let all = SIZES.map(series);
    let mut group = criterion.benchmark_group("promql");
    let expressions = EXPRESSIONS.lines().filter_map(|it| it.split_once('\t'));
    for (name, expression) in expressions {
        for (at, size) in SIZES.into_iter().enumerate() {
            let text = expression.replace("_X", &format!("_{size}"));
            for steps in STEPS {
                let fetched = fetched(&query(&text, steps), &all[at]);
                let id = BenchmarkId::new(name, format!("{size}x{steps}"));
                group.bench_function(id, |bencher| {
                    bencher.iter(|| evaluate(black_box(&text), steps, &fetched));
                });
            }
        }
    }
    group.finish();
}

fn query(text: &str, steps: i64) -> Query {
    let start = BEFORE * INTERVAL_MS;
    let end = start + (steps - 1) * INTERVAL_MS;
    let query = Engine::new(EngineOptions::default()).range(text, start, end, INTERVAL_MS);
    query.unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn evaluate(text: &str, steps: i64, fetched: &Fetched) -> promql::Value {
    let Progress::Done(outcome) = query(text, steps).evaluate(fetched, &|| None) else {
        unreachable!("no query needs more");
    };
    outcome
        .value
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Returns the samples that a query needs.
fn fetched(query: &Query, all: &[StoredSeries]) -> Fetched {
    let mut fetched = Fetched::default();
    for selection in query.selections() {
        fetched.add(selection.clone(), selected(selection, all));
    }
    fetched
}

fn selected(selection: &Selection, all: &[StoredSeries]) -> Vec<StoredSeries> {
    let (after, last) = selection.time_range_ms();
    let is_within = |time: i64| after < time && time <= last;
    let matching = all.iter().filter(|series| {
        let mut matchers = selection.matchers.iter();
        matchers.all(|it| it.matches(series.labels.get(it.name.as_str().unwrap_or_default())))
    });
    let within = matching.map(|series| StoredSeries {
        labels: Arc::clone(&series.labels),
        floats: series
            .floats
            .iter()
            .filter(|it| is_within(it.timestamp_ms))
            .copied()
            .collect(),
        histograms: series
            .histograms
            .iter()
            .filter(|it| is_within(it.timestamp_ms))
            .cloned()
            .collect(),
        starts: None,
    });
    within.collect()
}

/// Returns the metrics with this number of series.
fn series(size: usize) -> Vec<StoredSeries> {
    let histograms: Vec<_> = (0..SAMPLES).map(native).collect();
    let mut all = Vec::new();
    for i in 0..size {
        let labels = |name: &str, bound: &str| {
            let pairs = [
                ("__name__", format!("{name}_{size}")),
                ("instance", i.to_string()),
                ("group", (i % 10).to_string()),
                ("job", "bench".to_owned()),
                ("le", bound.to_owned()),
            ];
            let pairs = pairs.map(|(name, value)| Label {
                name: name.to_owned(),
                value,
            });
            Arc::new(Labels::new(pairs.to_vec()))
        };
        let mut add = |name: &str, bound: &str, value: &dyn Fn(i64) -> f64| {
            let samples = (0..SAMPLES).map(|s| Sample {
                timestamp_ms: s * INTERVAL_MS,
                value: value(s),
            });
            all.push(StoredSeries {
                labels: labels(name, bound),
                floats: samples.collect(),
                ..StoredSeries::default()
            });
        };
        // A counter with resets.
        let factor = |of: usize| (i % of + 1) as f64;
        add("a", "", &|s| {
            (s % 500) as f64 * factor(5) + i as f64 / size as f64
        });
        add("b", "", &|s| (s % 500) as f64 * factor(3));
        if i < (size / BOUNDS).max(1) {
            for at in 0..BOUNDS {
                let bound = match at + 1 {
                    BOUNDS => "+Inf".to_owned(),
                    _ => at.to_string(),
                };
                add("h", &bound, &|s| (s * (at as i64 + 1)) as f64);
            }
        }
        all.push(StoredSeries {
            labels: labels("n", ""),
            histograms: histograms.clone(),
            ..StoredSeries::default()
        });
    }
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

/// Returns a histogram with 20 buckets in two spans.
fn native(s: i64) -> HistogramSample {
    let counts: Vec<_> = (0..20).map(|at| (s * (at % 7 + 1)) as f64).collect();
    let histogram = Histogram {
        count: Some(Count::Float(counts.iter().sum::<f64>() + s as f64)),
        sum: s as f64 * 37.5,
        schema: 2,
        zero_threshold: 0.001,
        zero_count: Some(Count::Float(s as f64)),
        positive: Buckets {
            spans: vec![
                Span {
                    offset: -8,
                    length: 12,
                },
                Span {
                    offset: 3,
                    length: 8,
                },
            ],
            deltas: vec![],
            counts,
        },
        ..Histogram::default()
    };
    HistogramSample {
        timestamp_ms: s * INTERVAL_MS,
        histogram: Arc::new(FloatHistogram::try_from(&histogram).expect("it is valid")),
    }
}

criterion_group!(benches, engine);
criterion_main!(benches);
