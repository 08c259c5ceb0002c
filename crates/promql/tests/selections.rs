//! The selections of a query state exactly the samples that its evaluation looks at.

use std::convert::Infallible;
use std::sync::Arc;

use prom_model::{Label, Labels, STALE_MARKER_BITS, Sample};
use promql::{
    Engine, EngineOptions, Outcome, ParserOptions, Selection, Storage, StoredSeries, Value,
    WindowSamples,
};
use proptest::prelude::*;

const MINUTE: i64 = 60_000;

/// Queries over the metrics `a` and `b`, each with a selector of another kind.
const QUERIES: &[&str] = &[
    "a",
    "a offset 7m",
    "a offset -7m",
    "a @ 1800",
    "a @ end() offset 3m",
    "a @ start()",
    "a + b offset 1m",
    "sum by (job) (a)",
    "rate(a[4m])",
    "increase(a[17m] offset 5m)",
    "last_over_time(a[13m])",
    "last_over_time(a[2m] @ 2000)",
    "max_over_time(a[9m] @ end())",
    "count_over_time(a[3m:1m])",
    "sum_over_time(rate(a[5m])[10m:2m] offset 3m)",
    "max_over_time((a offset 1m)[8m:3m] @ 2400)",
    "avg_over_time(a[20m:7m] offset -4m)",
    "max_over_time(last_over_time(a[5m] @ 1500)[10m:1m])",
    "sum_over_time(count_over_time(a[6m:2m])[12m:5m])",
    "timestamp(a)",
    "timestamp(a offset 6m)",
    "timestamp(a @ 1800 offset 1m)",
    "timestamp(a @ 1800 offset -3m)",
    "predict_linear(a[11m] @ 1800, 60)",
    "absent_over_time(b[1m])",
    "topk(1, a)",
    "changes(a[5m] anchored)",
    "rate(a[5m] smoothed)",
    "a smoothed",
    "histogram_quantile(0.5, b)",
    "clamp_max(a, scalar(b))",
    "quantile_over_time(scalar(a{job=\"0\"}) / 1e9, b[8m])",
];

/// A storage that returns nothing but what a selection states.
struct Exact<'a>(&'a [StoredSeries]);

/// A storage that returns whole series.
struct Whole<'a>(&'a [StoredSeries]);

fn selected(series: &[StoredSeries], selection: &Selection) -> Vec<StoredSeries> {
    let is_selected = |one: &&StoredSeries| {
        let mut matchers = selection.matchers.iter();
        matchers.all(|it| it.matches(one.labels.get(it.name.as_str().unwrap())))
    };
    series.iter().filter(is_selected).cloned().collect()
}

impl Storage for Whole<'_> {
    type Error = Infallible;

    fn select(&self, selection: &Selection) -> Result<Vec<StoredSeries>, Infallible> {
        Ok(selected(self.0, selection))
    }
}

impl Storage for Exact<'_> {
    type Error = Infallible;

    fn select(&self, selection: &Selection) -> Result<Vec<StoredSeries>, Infallible> {
        let mut series = selected(self.0, selection);
        let times = (selection.first_ms..=selection.last_ms)
            .step_by(usize::try_from(selection.step_ms).unwrap());
        let times: Vec<i64> = times.collect();
        let (after, end) = selection.time_range_ms();
        for one in &mut series {
            let mut needed = vec![false; one.floats.len()];
            for time in &times {
                let is_in_window = |sample: &Sample| {
                    let at = sample.timestamp_ms;
                    at > time - selection.before_ms && at <= time + selection.after_ms
                };
                let mut places =
                    (0..needed.len()).filter(|&place| is_in_window(&one.floats[place]));
                let is_stale =
                    |place: &usize| one.floats[*place].value.to_bits() == STALE_MARKER_BITS;
                match selection.samples {
                    WindowSamples::All => places.for_each(|place| needed[place] = true),
                    WindowSamples::Newest => places
                        .next_back()
                        .into_iter()
                        .for_each(|it| needed[it] = true),
                    WindowSamples::NewestNotStale => {
                        let newest = places.rev().find(|place| !is_stale(place));
                        newest.into_iter().for_each(|it| needed[it] = true);
                    }
                }
            }
            let mut needed = needed.into_iter();
            one.floats.retain(|sample| {
                let is_needed = needed.next().unwrap();
                let is_in_range = sample.timestamp_ms > after && sample.timestamp_ms <= end;
                assert!(is_in_range || !is_needed, "the range holds all windows");
                is_needed
            });
        }
        Ok(series)
    }
}

fn series(name: &str, job: usize, samples: &[(i64, f64)]) -> StoredSeries {
    let label = |name: &str, value: String| Label {
        name: name.to_owned(),
        value,
    };
    let mut time = 0;
    let sample = |&(gap, value): &(i64, f64)| {
        time += gap;
        Sample {
            timestamp_ms: time,
            value,
        }
    };
    StoredSeries {
        labels: Arc::new(Labels::new(vec![
            label("__name__", name.to_owned()),
            label("job", job.to_string()),
        ])),
        floats: samples.iter().map(sample).collect(),
        ..StoredSeries::default()
    }
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let gap = prop_oneof![6 => Just(15_000_i64), 2 => 1..90_000_i64, 1 => 1..20 * MINUTE];
    let value = prop_oneof![
        8 => (0..1000_i32).prop_map(f64::from),
        1 => Just(f64::from_bits(STALE_MARKER_BITS)),
    ];
    proptest::collection::vec((gap, value), 0..200)
}

fn printed(outcome: &Outcome) -> String {
    let Ok(value) = &outcome.value else {
        panic!("{:?}", outcome.value);
    };
    assert!(matches!(value, Value::Matrix(_) | Value::Vector(_)));
    format!("{value:?} {:?}", outcome.annotations)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn samples_outside_of_the_selections_do_not_matter(
        first in samples(),
        second in samples(),
        other in samples(),
        start in 0..60 * MINUTE,
        step in prop_oneof![Just(MINUTE), 1_000..20 * MINUTE],
        count in 0..12_i64,
    ) {
        let all = [series("a", 0, &first), series("a", 1, &second), series("b", 0, &other)];
        let engine = Engine::new(EngineOptions {
            parser: ParserOptions::everything(),
            ..EngineOptions::default()
        });
        for text in QUERIES {
            let range = engine.range(text, start, start + count * step + step / 2, step).unwrap();
            let instant = engine.instant(text, start).unwrap();
            for query in [range, instant] {
                let Ok(whole) = query.run(&Whole(&all));
                let Ok(exact) = query.run(&Exact(&all));
                prop_assert_eq!(printed(&whole), printed(&exact), "{}", text);
            }
        }
    }
}
