//! Samples are counted as by Prometheus' engine, whose numbers these are.

use prom_model::{Label, Labels};
use promql::{Engine, EngineOptions, MemoryStorage, Outcome, ParserOptions, SampleValue};

/// A query, its selected and read samples, and those of each step.
type Case = (&'static str, (u64, u64), &'static [(u64, u64)]);

/// At the minutes 1 to 5.
#[rustfmt::skip]
const RANGES: &[Case] = &[
    ("m", (10, 10), &[(2, 2), (2, 2), (2, 2), (2, 2), (2, 2)]),
    ("rate(m[2m])", (45, 25), &[(6, 6), (10, 5), (10, 5), (10, 5), (9, 4)]),
    ("rate(m[30s])", (10, 10), &[(2, 2), (2, 2), (2, 2), (2, 2), (2, 2)]),
    ("rate(m[2m] offset 1m)", (37, 21), &[(1, 1), (6, 5), (10, 5), (10, 5), (10, 5)]),
    // The steps of a subquery are read once, and those between the windows not at all.
    ("sum_over_time(m[4m:30s])", (59, 21), &[(5, 5), (9, 4), (13, 4), (16, 4), (16, 4)]),
    ("sum_over_time(m[30s:10s])", (30, 30), &[(6, 6), (6, 6), (6, 6), (6, 6), (6, 6)]),
    ("max_over_time(rate(m[1m])[3m:30s] offset 1m)", (18, 21), &[(0, 1), (2, 5), (4, 5), (6, 5), (6, 5)]),
    ("max_over_time(sum_over_time(m[20s:10s])[30s:10s])", (30, 32), &[(6, 8), (6, 6), (6, 6), (6, 6), (6, 6)]),
    // Expressions that do not depend on the step are selected at each, and read at the first.
    ("m @ 100", (10, 2), &[(2, 2), (2, 0), (2, 0), (2, 0), (2, 0)]),
    ("sum(m) + count(m @ 100)", (20, 12), &[(4, 4), (4, 2), (4, 2), (4, 2), (4, 2)]),
    ("sum_over_time((m @ 30)[2m:30s])", (40, 2), &[(8, 2), (8, 0), (8, 0), (8, 0), (8, 0)]),
    ("quantile_over_time(scalar(m{a=''}), m[1m] @ 120)", (30, 10), &[(6, 6), (6, 1), (6, 1), (6, 1), (6, 1)]),
    ("absent_over_time(m[1m])", (24, 24), &[(5, 5), (5, 5), (5, 5), (5, 5), (4, 4)]),
    ("timestamp(m)", (10, 10), &[(2, 2), (2, 2), (2, 2), (2, 2), (2, 2)]),
    ("vector(1)", (0, 0), &[(0, 0), (0, 0), (0, 0), (0, 0), (0, 0)]),
    // Prometheus does not count these.
    ("m smoothed", (0, 0), &[(0, 0), (0, 0), (0, 0), (0, 0), (0, 0)]),
    ("rate(m[1m] anchored)", (79, 25), &[(6, 6), (11, 5), (16, 5), (21, 5), (25, 4)]),
];

/// At minute 5.
const INSTANTS: &[Case] = &[
    ("m[2m]", (9, 9), &[(9, 9)]),
    ("m[2m:30s]", (8, 8), &[(8, 8)]),
    ("sum_over_time(m[2m:30s])", (8, 8), &[(8, 8)]),
    ("m[2m] anchored", (12, 12), &[(12, 12)]),
    ("m", (2, 2), &[(2, 2)]),
];

const MINUTE: i64 = 60_000;

/// Returns a series with a sample each 15 s, and one with a sample each minute up to the third one.
fn storage() -> MemoryStorage {
    let label = |name: &str, value: &str| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut storage = MemoryStorage::default();
    let often = Labels::new(vec![label("__name__", "m")]);
    for index in 0..=40 {
        let value = SampleValue::Float(1.0);
        storage.append(&often, index * 15_000, value).unwrap();
    }
    let seldom = Labels::new(vec![label("__name__", "m"), label("a", "b")]);
    for index in 0..4 {
        let value = SampleValue::Float(1.0);
        storage
            .append(&seldom, index * MINUTE + 5_000, value)
            .unwrap();
    }
    storage
}

fn evaluate(query: &str, is_range: bool, per_step_statistics: bool) -> Outcome {
    let engine = Engine::new(EngineOptions {
        parser: ParserOptions::everything(),
        per_step_statistics,
        ..EngineOptions::default()
    });
    let query = match is_range {
        true => engine.range(query, MINUTE, 5 * MINUTE, MINUTE),
        false => engine.instant(query, 5 * MINUTE),
    };
    query.unwrap().run(&storage()).unwrap()
}

fn assert_counts(cases: &[Case], is_range: bool) {
    for &(query, (total, read), steps) in cases {
        let outcome = evaluate(query, is_range, true);
        let per_step = outcome.per_step.unwrap();
        let counts: Vec<_> = per_step
            .iter()
            .map(|it| (it.total_samples, it.samples_read))
            .collect();
        assert_eq!(counts, steps, "{query}");
        let first = if is_range { MINUTE } else { 5 * MINUTE };
        let times = per_step.iter().map(|it| it.timestamp_ms);
        assert!(times.eq((0..steps.len() as i64).map(|step| first + step * MINUTE)));

        let without = evaluate(query, is_range, false);
        assert_eq!(without.per_step, None);
        for statistics in [outcome.statistics, without.statistics] {
            let whole = (statistics.total_samples, statistics.samples_read);
            assert_eq!(whole, (total, read), "{query}");
        }
    }
}

#[test]
fn the_samples_of_range_queries_are_counted_for_each_step() {
    assert_counts(RANGES, true);
}

#[test]
fn the_samples_of_instant_queries_are_those_of_their_step() {
    assert_counts(INSTANTS, false);
}

#[test]
fn too_many_steps_are_not_counted_one_by_one() {
    let engine = Engine::new(EngineOptions {
        per_step_statistics: true,
        ..EngineOptions::default()
    });
    for (steps, is_counted) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let query = engine.range("m", MINUTE, MINUTE + steps - 1, 1).unwrap();
        let outcome = query.run(&storage()).unwrap();
        assert_eq!(outcome.per_step.is_some(), is_counted, "{steps}");
    }
}
