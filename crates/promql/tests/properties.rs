//! Properties of the whole engine over random series: a range query is the instant queries at its steps, and queries
//! over parts of the series are parts of the query over all of them.

use std::collections::BTreeMap;

use prom_model::{
    Buckets, Count, FloatHistogram, Histogram, Label, Labels, ResetHint, STALE_MARKER_BITS, Span,
};
use promql::{Engine, EngineOptions, MemoryStorage, ParserOptions, SampleValue, Value};

/// The times of samples are below this, in milliseconds.
const END: i64 = 1_800_000;

/// The number of sets of random series.
const SEEDS: u64 = 6;

/// Random numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Returns a number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    fn float(&mut self) -> f64 {
        match self.below(20) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => -0.0,
            3 => 1e300,
            _ => self.below(2_000) as f64 / 16.0 - 30.0,
        }
    }

    fn histogram(&mut self) -> FloatHistogram {
        let counts: Vec<f64> = (0..3).map(|_| self.below(9) as f64).collect();
        let histogram = Histogram {
            count: Some(Count::Float(counts.iter().sum())),
            sum: self.below(100) as f64,
            schema: self.choose(&[0, 0, 1]),
            zero_count: Some(Count::Float(0.0)),
            positive: Buckets {
                spans: vec![Span {
                    offset: self.below(3) as i32,
                    length: 3,
                }],
                deltas: vec![],
                counts,
            },
            ..Histogram::default()
        };
        let mut histogram = FloatHistogram::try_from(&histogram).unwrap();
        let hints = [ResetHint::Unknown, ResetHint::Unknown, ResetHint::Gauge];
        histogram.set_reset_hint(self.choose(&hints));
        histogram
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let label = |&(name, value): &(&str, &str)| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Labels::new(pairs.iter().map(label).collect())
}

/// Returns gauges `g`, counters `c_total`, histograms `h`, metrics `mixed` of both, and classic histograms `l_bucket`,
/// with gaps and stale markers. Each has the label `shard`, which is 0 or 1.
fn series(random: &mut Random) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for index in 0..6 {
        let (a, b) = (format!("{}", index % 3), format!("{}", index / 3));
        let shard = random.choose(&["0", "1"]);
        let with_name =
            |name| labels(&[("__name__", name), ("a", &a), ("b", &b), ("shard", shard)]);
        for name in ["g", "c_total", "h", "mixed"] {
            let kind = |random: &mut Random| match name {
                "h" => true,
                "mixed" => random.below(2) == 0,
                _ => false,
            };
            let mut counter = 0.0;
            for time in times(random) {
                let is_histogram = kind(random);
                counter += random.below(10) as f64;
                if random.below(15) == 0 {
                    counter = 0.0;
                }
                let value = match (name, is_histogram) {
                    _ if random.below(25) == 0 => {
                        SampleValue::Float(f64::from_bits(STALE_MARKER_BITS))
                    }
                    (_, true) => SampleValue::Histogram(random.histogram().into()),
                    ("c_total", _) => SampleValue::Float(counter),
                    _ => SampleValue::Float(random.float()),
                };
                storage.append(&with_name(name), time, value).unwrap();
            }
        }
        let times = times(random);
        let mut counts = [0.0; 3];
        for time in times {
            let mut sum = 0.0;
            for (count, le) in counts.iter_mut().zip(["1", "2.5", "+Inf"]) {
                *count += random.below(5) as f64;
                sum += *count;
                let series = labels(&[
                    ("__name__", "l_bucket"),
                    ("a", &a),
                    ("b", &b),
                    ("le", le),
                    ("shard", shard),
                ]);
                storage
                    .append(&series, time, SampleValue::Float(sum))
                    .unwrap();
            }
        }
    }
    storage
}

/// Returns rising times, few or many, with gaps longer than the lookback.
fn times(random: &mut Random) -> Vec<i64> {
    let mut times = Vec::new();
    let mut time = random.below(300_000) as i64;
    while time < END {
        times.push(time);
        time += match random.below(12) {
            0 => 60_000 + random.below(600_000) as i64,
            1 => 1 + random.below(20) as i64,
            _ => 10_000 + random.below(20_000) as i64,
        };
    }
    times
}

/// The labels and the value of a sample as text with all bits; NaN has the same text whatever its bits.
type Column = BTreeMap<String, String>;

fn text_of(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(float) if float.is_nan() => "NaN".to_owned(),
        SampleValue::Float(float) => format!("{float:?}"),
        SampleValue::Histogram(histogram) => {
            format!(
                "{histogram} {:?} {:?}",
                histogram.reset_hint(),
                histogram.schema()
            )
        }
    }
}

/// Returns the values of an outcome by their times.
fn columns(value: Value) -> BTreeMap<i64, Column> {
    let mut columns: BTreeMap<i64, Column> = BTreeMap::new();
    let mut add = |time: i64, labels: &Labels, value: &SampleValue| {
        let previous = columns
            .entry(time)
            .or_default()
            .insert(format!("{labels:?}"), text_of(value));
        assert_eq!(previous, None, "two values of {labels:?} at {time}");
    };
    match value {
        Value::Scalar {
            timestamp_ms,
            value,
        } => {
            add(timestamp_ms, &Labels::default(), &SampleValue::Float(value));
        }
        Value::Vector(vector) => {
            for it in vector {
                add(it.timestamp_ms, &it.labels, &it.value);
            }
        }
        Value::Matrix(matrix) => {
            for one in matrix {
                for it in one.floats {
                    add(it.timestamp_ms, &one.labels, &SampleValue::Float(it.value));
                }
                for it in one.histograms {
                    let value = SampleValue::Histogram(it.histogram);
                    add(it.timestamp_ms, &one.labels, &value);
                }
            }
        }
        Value::String { .. } => panic!("a string has no columns"),
    }
    columns
}

fn engine(random: &mut Random) -> Engine {
    Engine::new(EngineOptions {
        parser: ParserOptions::everything(),
        lookback_ms: random.choose(&[300_000, 45_000, 500]),
        delayed_name_removal: random.below(2) == 0,
        ..EngineOptions::default()
    })
}

type Outcome = Result<BTreeMap<i64, Column>, String>;

fn outcome(query: Result<promql::Query, promql::QueryError>, storage: &MemoryStorage) -> Outcome {
    let query = query.map_err(|error| panic!("{error}")).unwrap();
    let outcome = query.run(storage).unwrap();
    outcome
        .value
        .map(columns)
        .map_err(|error| error.to_string())
}

/// Expressions in which `SHARD` stands for a condition on the shard. Each series of the result is made of one series of
/// the input, or of several of one shard.
const SHARDED: &[&str] = &[
    "g{SHARD}",
    "{__name__=~'g|c_total|mixed', SHARD}",
    "g{SHARD} offset 40s",
    "g{SHARD} @ 900",
    "-g{SHARD}",
    "-h{SHARD}",
    "+mixed{SHARD}",
    "sum by (shard) (g{SHARD})",
    "avg by (shard, a) (g{SHARD})",
    "count without (a, b) (mixed{SHARD})",
    "stddev by (shard) (g{SHARD})",
    "quantile by (shard) (0.3, g{SHARD})",
    "sum by (shard, __name__) ({__name__=~'g|c_total', SHARD})",
    "avg by (shard) (h{SHARD})",
    "topk by (shard) (2, g{SHARD})",
    "limitk by (shard) (2, mixed{SHARD})",
    "limit_ratio(0.4, mixed{SHARD})",
    "limit_ratio(-0.6, mixed{SHARD})",
    "count_values by (shard) ('value', c_total{SHARD})",
    "rate(c_total{SHARD}[2m])",
    "increase(mixed{SHARD}[90s])",
    "rate(h{SHARD}[5m])",
    "delta(g{SHARD}[3m] offset 30s)",
    "irate(c_total{SHARD}[2m])",
    "idelta(h{SHARD}[2m])",
    "changes(mixed{SHARD}[2m])",
    "resets(c_total{SHARD}[2m])",
    "rate(c_total{SHARD}[2m] smoothed)",
    "increase(c_total{SHARD}[2m] anchored)",
    "deriv(g{SHARD}[2m])",
    "predict_linear(g{SHARD}[2m], 60)",
    "double_exponential_smoothing(c_total{SHARD}[2m], 0.5, 0.3)",
    "sum_over_time(g{SHARD}[2m])",
    "avg_over_time(mixed{SHARD}[2m])",
    "min_over_time(g{SHARD}[45s])",
    "max_over_time(mixed{SHARD}[2m])",
    "count_over_time(mixed{SHARD}[2m])",
    "last_over_time(mixed{SHARD}[2m])",
    "first_over_time(mixed{SHARD}[2m])",
    "present_over_time(mixed{SHARD}[2m])",
    "stddev_over_time(g{SHARD}[2m])",
    "stdvar_over_time(g{SHARD}[2m])",
    "quantile_over_time(0.4, g{SHARD}[2m])",
    "mad_over_time(c_total{SHARD}[2m])",
    "ts_of_max_over_time(g{SHARD}[2m])",
    "ts_of_last_over_time(mixed{SHARD}[2m])",
    "max_over_time(g{SHARD}[5m:1m])",
    "sum_over_time(rate(c_total{SHARD}[1m])[4m:30s] offset 1m)",
    "rate(sum by (shard) (c_total{SHARD})[5m:15s])",
    "histogram_count(h{SHARD})",
    "histogram_avg(rate(h{SHARD}[2m]))",
    "histogram_quantile(0.9, h{SHARD})",
    "histogram_quantile(0.9, l_bucket{SHARD})",
    "histogram_fraction(0.5, 2, l_bucket{SHARD})",
    "histogram_stddev(sum by (shard) (h{SHARD}))",
    "g{SHARD} * 2",
    "2 ^ mixed{SHARD} ",
    "g{SHARD} > 5",
    "5 < bool g{SHARD}",
    "g{SHARD} + on (a, b, shard) c_total{SHARD}",
    "g{SHARD} % ignoring (le) c_total{SHARD}",
    "h{SHARD} + ignoring (le) rate(h{SHARD}[1m])",
    "h{SHARD} == h{SHARD}",
    "g{SHARD} and c_total{SHARD} > 3",
    "g{SHARD} or mixed{SHARD}",
    "mixed{SHARD} unless g{SHARD}",
    "l_bucket{SHARD} / on (a, b, shard) group_left () g{SHARD}",
    "sum by (shard) (g{SHARD}) * on (shard) group_right () c_total{SHARD}",
    "g{SHARD} + fill (0) c_total{SHARD}",
    "rate(c_total{SHARD}[2m]) / avg_over_time(g{SHARD}[2m]) >= 0.1",
    "h{SHARD} </ 2",
    "abs(g{SHARD})",
    "round(g{SHARD}, 0.5)",
    "clamp(mixed{SHARD}, -1, 5)",
    "sgn(rate(c_total{SHARD}[1m]))",
    "label_replace(g{SHARD}, 'to', '$1-x', 'a', '(.)')",
    "label_join(mixed{SHARD}, 'to', '-', 'a', 'b')",
    "timestamp(mixed{SHARD})",
    "timestamp(-g{SHARD})",
    "hour(c_total{SHARD} * 1e5)",
    "sort_by_label(g{SHARD}, 'a')",
    "topk by (shard) (1 + scalar(vector(time() % 3)), g{SHARD})",
    "exp(g{SHARD} / 100) - ln(c_total{SHARD} + 1) * on (a, b, shard) g{SHARD}",
];

/// Expressions whose value is that of all series together.
const JOINED: &[&str] = &[
    "sum(g)",
    "sum(h)",
    "sum(mixed)",
    "avg(g)",
    "avg by (a) (h)",
    "min by (b) (mixed)",
    "max(g)",
    "count(mixed)",
    "group by (a) (mixed)",
    "stdvar(g)",
    "stddev by (b) (c_total)",
    "quantile(0.9, g)",
    "quantile(2, g)",
    "topk(2, g)",
    "bottomk by (a) (1, c_total)",
    "limitk(3, mixed)",
    "count_values('value', {__name__=~'c_total|h'})",
    "sum(topk(3, g))",
    "count(limit_ratio(0.5, {a='1'}))",
    "sum by (__name__) ({a='1'})",
    "sum(rate(c_total[2m]))",
    "histogram_quantile(0.5, sum by (le) (rate(l_bucket[2m])))",
    "histogram_quantile(0.5, sum(rate(h[2m])))",
    "max_over_time(sum(g)[5m:45s])",
    "avg_over_time(topk(2, g)[3m:30s])",
    "g / on (a, b) c_total",
    "g - on (a) group_left (shard) sum by (a, shard) (c_total{b='0'})",
    "sum by (a) (g) or sum by (b) (c_total)",
    "g == on (b) group_left () max by (b) (g)",
    "count_values by (a) ('value', g > bool 0)",
    "1 + 2 * 3",
    "time() + 1",
    "vector(time())",
    "absent(g{a='1'})",
    "absent(sum(g) > 20)",
    "absent_over_time(mixed[30s])",
    "scalar(g{a='1', b='0'})",
    "topk(scalar(count(c_total)) - 2, g)",
    "quantile(scalar(g{a='1', b='0'}), c_total)",
    "limitk(time() % 4, mixed)",
    "limit_ratio(time() % 2 - 1, mixed)",
    "max_over_time(vector(time())[2m:17s])",
    "label_replace(sum by (a) (g), '__name__', 'x$1', 'a', '(.*)')",
    "minute()",
];

#[test]
fn a_range_query_is_the_instant_queries_at_its_steps() {
    let sharded = SHARDED
        .iter()
        .map(|query| query.replace("SHARD", "shard=~'.*'"));
    let joined = JOINED.iter().map(|query| (*query).to_owned());
    let queries: Vec<String> = sharded.chain(joined).collect();
    let mut count = 0;
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let storage = series(&mut random);
        for query in &queries {
            let engine = engine(&mut random);
            // With short steps and a short lookback, values are far apart.
            let (step, steps) = random.choose(&[
                (1_000, 400),
                (7_001, 40),
                (15_000, 40),
                (60_000, 30),
                (300_000, 5),
            ]);
            let start = random.below(END as u64) as i64;
            let end = start + random.below(steps) as i64 * step;
            let range = outcome(engine.range(query, start, end, step), &storage);
            let mut instants = Ok(BTreeMap::new());
            for time in (start..=end).step_by(step as usize) {
                match outcome(engine.instant(query, time), &storage) {
                    Ok(columns) => {
                        if let Ok(instants) = &mut instants {
                            instants.extend(columns);
                        }
                    }
                    Err(error) => instants = instants.and(Err(error)),
                }
            }
            count += range.as_ref().map_or(0, BTreeMap::len);
            assert_eq!(
                range, instants,
                "{query}, seed {seed}, {start}..={end} by {step}"
            );
        }
    }
    assert!(count > 2_000, "{count} steps with values");
}

#[test]
fn queries_over_shards_are_parts_of_the_query_over_all_series() {
    let mut count = 0;
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let storage = series(&mut random);
        for query in SHARDED {
            let engine = engine(&mut random);
            let step = random.choose(&[15_000, 60_000, 7_001]);
            let start = random.below(END as u64) as i64;
            let end = start + random.below(60) as i64 * step;
            let of_shards = |condition: &str| {
                let query = query.replace("SHARD", condition);
                outcome(engine.range(&query, start, end, step), &storage)
            };
            let mut joined = of_shards("shard='0'").unwrap();
            for (time, column) in of_shards("shard='1'").unwrap() {
                let of_time = joined.entry(time).or_default();
                let size = of_time.len() + column.len();
                of_time.extend(column);
                assert_eq!(of_time.len(), size, "{query}");
            }
            let whole = of_shards("shard=~'.*'").unwrap();
            count += whole.len();
            assert_eq!(
                joined, whole,
                "{query}, seed {seed}, {start}..={end} by {step}"
            );
        }
    }
    assert!(count > 2_000, "{count} steps with values");
}

/// Aggregations whose result over all series is that over the results of the shards, exactly.
#[test]
fn counts_and_extremes_of_shards_can_be_combined() {
    let combinations: [(&str, fn(f64, f64) -> f64); 4] = [
        ("count", |a, b| a + b),
        ("group", |_, _| 1.0),
        ("min", |a, b| if a > b || a.is_nan() { b } else { a }),
        ("max", |a, b| if a < b || a.is_nan() { b } else { a }),
    ];
    let mut count = 0;
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let storage = series(&mut random);
        for (op, combine) in combinations {
            let engine = engine(&mut random);
            let values = |selector: &str| -> BTreeMap<i64, f64> {
                let query = format!("{op}({selector})");
                let query = engine.range(&query, 0, END, 10_000);
                let columns = outcome(query, &storage).unwrap().into_iter();
                let value = |column: Column| column["Labels([])"].parse().unwrap();
                columns
                    .map(|(time, column)| (time, value(column)))
                    .collect()
            };
            let mut combined = values("mixed{shard='0'}");
            for (time, value) in values("mixed{shard='1'}") {
                let of_time = combined.entry(time);
                of_time
                    .and_modify(|it| *it = combine(*it, value))
                    .or_insert(value);
            }
            let whole = values("mixed");
            count += whole.len();
            let is_equal = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
            let all_equal = combined.len() == whole.len()
                && combined
                    .iter()
                    .all(|(time, value)| is_equal(*value, whole[time]));
            assert!(all_equal, "{op}, seed {seed}: {combined:?} {whole:?}");
        }
    }
    assert!(count > 2_000, "{count} steps with values");
}
