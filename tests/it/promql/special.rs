//! Series that not every storage supports: ended ones, values that are not numbers, native
//! histograms, names of any characters; and the queries about them.

use prom_wire::prompb::histogram::{Count, ZeroCount};
use prom_wire::prompb::{BucketSpan, Histogram, TimeSeries};

use super::{SCRAPES, counter, noise, scraped, time_ms};
use crate::support::series;

const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
/// NaN as Prometheus scrapes it.
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Returns the series; their ids start at 1000.
pub(super) fn data() -> Vec<TimeSeries> {
    [ended(), values(), histograms(), names()].concat()
}

/// Cuts the series at `end` with a stale marker; it goes on at `again`, if there is one.
fn ending(mut series: TimeSeries, end: i64, again: i64) -> TimeSeries {
    let mut scrape = -1;
    series.samples.retain_mut(|sample| {
        scrape += 1;
        if scrape == end {
            sample.value = STALE;
        }
        scrape <= end || scrape >= again
    });
    series
}

/// Pods: one that stays, one that is replaced by another, one that comes back, one that vanishes.
fn ended() -> Vec<TimeSeries> {
    let lives = [
        ("stays", 0, SCRAPES, SCRAPES),
        ("replaced", 0, 170, SCRAPES),
        ("replacement", 171, SCRAPES, SCRAPES),
        ("returns", 0, 200, 290),
        ("vanishes", 0, 239, SCRAPES),
    ];
    let mut all = Vec::new();
    for name in ["app_up", "app_requests_total"] {
        for (id, (pod, start, end, again)) in (1_000..).zip(lives) {
            let labels = [("__name__", name), ("job", "app"), ("pod", pod)];
            let whole = match name {
                "app_up" => scraped(&labels, id, |_| Some(1.0)),
                _ => counter(&labels, id, 9.0, 400),
            };
            let mut series = ending(whole, end, again);
            series.samples.drain(..start as usize);
            all.push(series);
        }
    }
    all
}

/// Values that are special always, at times, or never.
fn values() -> Vec<TimeSeries> {
    let infinite = f64::INFINITY;
    let cycles: [(&str, &[f64]); 6] = [
        ("nan", &[NAN]),
        ("infinite", &[infinite, infinite, -infinite]),
        ("zeros", &[-0.0, 0.0, -0.0, -0.0]),
        ("mixed", &[1.5, NAN, -infinite, 2.25, -0.0, 7.0, infinite]),
        ("payload", &[f64::from_bits(0xfff8_dead_beef_0001), 3.0]),
        ("plain", &[0.5, 1.0]),
    ];
    let of = |(id, (kind, cycle)): (i64, (&str, &[f64]))| {
        let labels = [("__name__", "weird"), ("kind", kind)];
        scraped(&labels, id, |scrape| {
            // Long enough for each value to last over steps and lookback.
            Some(cycle[(scrape / 13) as usize % cycle.len()])
        })
    };
    (1_100..).zip(cycles).map(of).collect()
}

/// Observations in eight buckets after each scrape, with resets.
fn observations(id: i64, resets_after: i64) -> Vec<[i64; 8]> {
    let mut counts = [0; 8];
    let after = |scrape: i64| {
        if scrape % resets_after == 0 {
            counts = [0; 8];
        }
        for (bucket, count) in (0..).zip(&mut counts) {
            *count += (noise(id * 8 + bucket, scrape) * 4.0) as i64;
        }
        counts
    };
    (0..SCRAPES).map(after).collect()
}

fn spans(all: &[(i32, u32)]) -> Vec<BucketSpan> {
    let span = |&(offset, length)| BucketSpan { offset, length };
    all.iter().map(span).collect()
}

fn deltas(counts: &[i64]) -> Vec<i64> {
    let before = std::iter::once(&0).chain(counts);
    counts
        .iter()
        .zip(before)
        .map(|(n, before)| n - before)
        .collect()
}

/// Returns an integer histogram with a bucket on every side.
fn exponential(schema: i32, counts: [i64; 8]) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(counts.iter().sum::<i64>() as u64)),
        sum: counts
            .iter()
            .zip(1..)
            .map(|(n, i)| *n as f64 / f64::from(i))
            .sum(),
        schema,
        zero_threshold: 0.001,
        zero_count: Some(ZeroCount::ZeroCountInt(counts[6] as u64)),
        positive_spans: spans(&[(-2, 3), (2, 3)]),
        positive_deltas: deltas(&counts[..6]),
        negative_spans: spans(&[(1, 1)]),
        negative_deltas: deltas(&counts[7..]),
        ..Histogram::default()
    }
}

fn custom(counts: [i64; 8]) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(counts[..5].iter().sum::<i64>() as u64)),
        sum: counts[..5].iter().map(|n| *n as f64 / 8.0).sum(),
        schema: -53,
        positive_spans: spans(&[(0, 5)]),
        positive_deltas: deltas(&counts[..5]),
        custom_values: vec![0.005, 0.05, 0.5, 5.0],
        ..Histogram::default()
    }
}

/// Returns a float histogram that goes up and down.
fn gauge(id: i64, scrape: i64) -> Histogram {
    let counts: Vec<f64> = (0..3).map(|i| noise(id + i, scrape) * 10.0).collect();
    Histogram {
        count: Some(Count::CountFloat(counts.iter().sum())),
        sum: noise(id, scrape) * 100.0,
        schema: 3,
        zero_count: Some(ZeroCount::ZeroCountFloat(0.0)),
        positive_spans: spans(&[(1, 3)]),
        positive_counts: counts,
        reset_hint: 3,
        ..Histogram::default()
    }
}

fn of_histograms(
    labels: &[(&str, &str)],
    id: i64,
    histogram: impl Fn(i64) -> Option<Histogram>,
) -> TimeSeries {
    let histograms = (0..SCRAPES).filter_map(|scrape| {
        let timestamp = time_ms(id, scrape);
        histogram(scrape).map(|it| Histogram { timestamp, ..it })
    });
    TimeSeries {
        histograms: histograms.collect(),
        ..series(labels, &[])
    }
}

fn histograms() -> Vec<TimeSeries> {
    let stale = Histogram {
        sum: STALE,
        ..Histogram::default()
    };
    let mut all = Vec::new();
    for (id, instance) in (1_200..).zip(["a", "b", "c"]) {
        let labels = [
            ("__name__", "native_latency"),
            ("instance", instance),
            ("job", "h"),
        ];
        let counts = observations(id, 190 + id);
        // One ends half way, one is scraped with gaps longer than the lookback.
        all.push(of_histograms(&labels, id, |scrape| {
            match (instance, scrape) {
                ("b", 240) => Some(stale.clone()),
                ("b", 241..) => None,
                ("c", _) if (scrape + 20) % 130 < 30 => None,
                _ => Some(exponential(1, counts[scrape as usize])),
            }
        }));
    }
    for (id, instance) in (1_210..).zip(["a", "b"]) {
        let labels = [
            ("__name__", "custom_latency"),
            ("instance", instance),
            ("job", "h"),
        ];
        let counts = observations(id, 300);
        all.push(of_histograms(&labels, id, |scrape| {
            Some(custom(counts[scrape as usize]))
        }));
        let labels = [
            ("__name__", "queue_size"),
            ("instance", instance),
            ("job", "h"),
        ];
        all.push(of_histograms(&labels, id, |scrape| Some(gauge(id, scrape))));
    }
    // Finer than Prometheus' resolution.
    let counts = observations(1_220, 1_000);
    all.push(of_histograms(
        &[("__name__", "fine_latency"), ("job", "h")],
        1_220,
        |scrape| Some(exponential(11, counts[scrape as usize])),
    ));
    all
}

/// Returns series that change between floats, integer and float histograms every quarter of an
/// hour.
pub(super) fn mixed() -> Vec<TimeSeries> {
    const QUARTER_MS: i64 = 900_000;
    let mut all = Vec::new();
    for (id, instance) in (1_400..).zip(["a", "b"]) {
        let labels = [("__name__", "mixed"), ("instance", instance)];
        let counts = observations(id, 170);
        let kind = |scrape: i64| (time_ms(id, scrape) / QUARTER_MS + id) % 3;
        let floats = scraped(&labels, id, |scrape| {
            (kind(scrape) == 0).then_some(scrape as f64)
        });
        let histograms = of_histograms(&labels, id, |scrape| {
            let integers = exponential(1, counts[scrape as usize]);
            match kind(scrape) {
                0 => None,
                1 => Some(integers),
                _ => Some(to_floats(integers)),
            }
        });
        all.push(TimeSeries {
            samples: floats.samples,
            ..histograms
        });
    }
    all
}

/// Returns a histogram of the same observations with numbers that are floats.
fn to_floats(integers: Histogram) -> Histogram {
    let counts = |deltas: &[i64]| {
        let counts = deltas.iter().scan(0, |count, delta| {
            *count += delta;
            Some(*count as f64)
        });
        counts.collect()
    };
    let Some(Count::CountInt(count)) = integers.count else {
        panic!("{integers:?}")
    };
    let Some(ZeroCount::ZeroCountInt(zero_count)) = integers.zero_count else {
        panic!("{integers:?}")
    };
    Histogram {
        count: Some(Count::CountFloat(count as f64)),
        zero_count: Some(ZeroCount::ZeroCountFloat(zero_count as f64)),
        positive_counts: counts(&integers.positive_deltas),
        negative_counts: counts(&integers.negative_deltas),
        positive_deltas: vec![],
        negative_deltas: vec![],
        ..integers
    }
}

fn names() -> Vec<TimeSeries> {
    let mut all = Vec::new();
    for (id, value) in (1_300..).zip(["x", "y", "ünïcode 🦀"]) {
        let labels = [
            ("__name__", "my.metric ü 🦀"),
            ("a b", "c"),
            ("label.with.dots", value),
        ];
        all.push(counter(&labels, id, 5.0, 333));
    }
    let counts = observations(1_310, 200);
    let labels = [
        ("__name__", "my.histogram"),
        ("größe", "5 µm"),
        ("label.with.dots", "x"),
    ];
    all.push(of_histograms(&labels, 1_310, |scrape| {
        Some(exponential(0, counts[scrape as usize]))
    }));
    all
}

/// Returns the part of the series that is stored without the option for special values.
pub(super) fn without_special_values(mut all: Vec<TimeSeries>) -> Vec<TimeSeries> {
    for series in &mut all {
        series.samples.retain_mut(|sample| {
            if sample.value == 0.0 {
                sample.value = 0.0;
            }
            sample.value.is_finite()
        });
    }
    all
}

/// Of series that end and of values that are no numbers.
#[rustfmt::skip]
pub(super) const VALUE_QUERIES: &[&str] = &[
    "app_up",
    "sum(app_up)",
    "count by (job) (app_up)",
    "app_up{pod=\"vanishes\"}",
    "absent(app_up{pod=\"replaced\"})",
    "app_up offset 5m",
    "app_up @ 1600003600",
    "timestamp(app_up)",
    "count_over_time(app_up[10m])",
    "last_over_time(app_up[10m])",
    "present_over_time(app_up[3m])",
    "changes(app_up[1h])",
    "avg_over_time(app_up[3m])",
    "max_over_time(sum(app_up)[20m:1m])",
    "count_over_time((app_up == 1)[30m:30s])",
    "app_requests_total",
    "rate(app_requests_total[5m])",
    "sum(rate(app_requests_total[5m]))",
    "increase(app_requests_total[20m])",
    "irate(app_requests_total[2m])",
    "resets(app_requests_total[1h])",
    "app_requests_total / on (pod) app_up",
    "app_requests_total unless on (pod) app_up offset 10m",
    "app_up or app_requests_total",
    "sum without (pod) (increase(app_requests_total[10m]))",
    "weird",
    "weird{kind!=\"plain\"}",
    "weird == 0",
    "weird != weird",
    "weird > 0",
    "weird <= bool 0",
    "weird + 1",
    "weird * 0",
    "1 / weird",
    "weird / weird",
    "weird ^ 0.5",
    "weird % 2",
    "weird atan2 weird",
    "-weird",
    "abs(weird)",
    "ceil(weird)",
    "round(weird)",
    "exp(weird)",
    "ln(weird)",
    "sgn(weird)",
    "clamp(weird, -1, 1)",
    "sum(weird)",
    "avg(weird)",
    "min(weird)",
    "max(weird)",
    "stddev(weird)",
    "quantile(0.5, weird)",
    "count_values(\"value\", weird)",
    "sum_over_time(weird[5m])",
    "avg_over_time(weird[10m])",
    "min_over_time(weird[10m])",
    "max_over_time(weird[10m])",
    "stddev_over_time(weird[10m])",
    "quantile_over_time(0.9, weird[10m])",
    "last_over_time(weird[10m])",
    "count_over_time(weird[10m])",
    "changes(weird[20m])",
    "delta(weird[10m])",
    "idelta(weird[5m])",
    "deriv(weird[5m])",
];

/// Of series that change between floats and histograms.
#[rustfmt::skip]
pub(super) const MIXED_QUERIES: &[&str] = &[
    "mixed",
    "mixed offset 10m",
    "timestamp(mixed)",
    "sum(mixed)",
    "avg by (instance) (mixed)",
    "count(mixed)",
    "count_over_time(mixed[40m])",
    "count_over_time(mixed[5m])",
    "last_over_time(mixed[10m])",
    "sum_over_time(mixed[10m])",
    "avg_over_time(mixed[20m])",
    "present_over_time(mixed[3m])",
    "changes(mixed[1h])",
    "resets(mixed[1h])",
    "rate(mixed[5m])",
    "rate(mixed[20m])",
    "increase(mixed[10m])",
    "irate(mixed[5m])",
    "histogram_count(mixed)",
    "histogram_sum(rate(mixed[5m]))",
    "histogram_quantile(0.9, mixed)",
    "histogram_quantile(0.5, rate(mixed[10m]))",
    "histogram_fraction(0, 1, mixed)",
    "max_over_time(histogram_count(mixed)[30m:1m])",
    "mixed or native_latency",
];

/// Of native histograms and of names of any characters.
#[rustfmt::skip]
pub(super) const HISTOGRAM_QUERIES: &[&str] = &[
    "native_latency",
    "native_latency{instance!=\"a\"}",
    "native_latency offset 10m",
    "native_latency @ end()",
    "timestamp(native_latency)",
    "count(native_latency)",
    "group by (instance) (native_latency)",
    "sum(native_latency)",
    "avg by (job) (native_latency)",
    "histogram_count(native_latency)",
    "histogram_sum(native_latency)",
    "histogram_avg(native_latency)",
    "histogram_stddev(native_latency)",
    "histogram_stdvar(native_latency)",
    "histogram_quantile(0.9, native_latency)",
    "histogram_quantile(0.5, rate(native_latency[5m]))",
    "histogram_quantile(0.99, sum(rate(native_latency[5m])))",
    "histogram_quantile(0.5, sum by (job) (increase(native_latency[20m])))",
    "histogram_fraction(0, 0.5, rate(native_latency[5m]))",
    "rate(native_latency[5m])",
    "irate(native_latency[2m])",
    "increase(native_latency[10m])",
    "resets(native_latency[1h])",
    "changes(native_latency[10m])",
    "last_over_time(native_latency[10m])",
    "count_over_time(native_latency[10m])",
    "present_over_time(native_latency[2m])",
    "native_latency * 2",
    "native_latency / 3",
    "-native_latency",
    "native_latency + native_latency",
    "native_latency == native_latency",
    "max_over_time(histogram_count(rate(native_latency[10m]))[20m:2m])",
    "queue_size",
    "sum(queue_size)",
    "delta(queue_size[5m])",
    "idelta(queue_size[2m])",
    "avg_over_time(queue_size[5m])",
    "sum_over_time(queue_size[5m])",
    "histogram_quantile(0.5, queue_size)",
    "histogram_avg(queue_size) > 5",
    "custom_latency",
    "sum(custom_latency)",
    "rate(custom_latency[5m])",
    "histogram_quantile(0.9, custom_latency)",
    "histogram_quantile(0.9, sum(rate(custom_latency[5m])))",
    "histogram_fraction(0.05, 0.5, custom_latency)",
    "fine_latency",
    "histogram_quantile(0.5, rate(fine_latency[10m]))",
    "sum({__name__=~\"fine_latency|native_latency\"})",
    "{__name__=~\"(custom|native)_lat.+\", instance=\"a\"}",
    "{job=\"h\", __name__!~\"native.*\"}",
    "{\"my.metric ü 🦀\"}",
    "{\"my.metric ü 🦀\", \"label.with.dots\"=\"x\"}",
    "{\"label.with.dots\"=~\"x|ü.*\"}",
    "{\"label.with.dots\"!=\"\", \"größe\"=\"\"}",
    "rate({\"my.metric ü 🦀\", \"a b\"=\"c\"}[5m])",
    "sum by (\"label.with.dots\") ({__name__=~\"my[.].+\", \"a b\"!=\"\"})",
    "{\"my.histogram\"}",
    "histogram_count({\"my.histogram\", \"größe\"=~\"5.+\"})",
];
