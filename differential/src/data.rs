//! The data that queries are evaluated over.

use prom_model::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, Count, Histogram, Label, Labels, STALE_MARKER_BITS, Span,
};

use crate::random::Random;

/// The time around which all samples are, in milliseconds since 1970. It is on no round minute.
pub const START_MS: i64 = 1_700_000_043_000;
/// The time between the first and the last sample.
pub const LENGTH_MS: i64 = 40 * 60_000;

/// The labels `instance` of most series.
const INSTANCES: [&str; 3] = ["a", "b", "c"];

/// A series of the data or of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The labels.
    pub labels: Labels,
    /// The float samples in the order of their times.
    pub floats: Vec<Float>,
    /// The histograms in the order of their times, at none of the times of the floats.
    pub histograms: Vec<Point>,
}

/// A float sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Float {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// The value.
    pub value: f64,
    /// The start timestamp; 0 if it is unknown.
    pub start_ms: i64,
}

/// A histogram of a series; its time is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The histogram, with float counts.
    pub histogram: Histogram,
    /// The start timestamp; 0 if it is unknown.
    pub start_ms: i64,
}

/// Returns the label set of a metric.
pub fn labels(name: &str, others: &[(&str, &str)]) -> Labels {
    let label = |(name, value): (&str, &str)| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let name = ("__name__", name);
    Labels::new(others.iter().copied().chain([name]).map(label).collect())
}

/// Returns the series of all metrics, sorted by their labels: counters with resets, gauges with special values and
/// gaps, histograms of each kind, whole and broken ones, and the labels of targets.
pub fn series(seed: u64) -> Vec<Series> {
    let mut data = Data {
        random: Random::new(seed),
        all: Vec::new(),
    };
    data.counters();
    data.gauges();
    data.classic_histograms();
    data.native_histograms();
    data.targets();
    data.all.sort_by(|a, b| a.labels.cmp(&b.labels));
    data.all
}

struct Data {
    random: Random,
    all: Vec<Series>,
}

impl Data {
    /// Adds a series with a value for each of its times; `None` is a gap.
    fn add_floats(
        &mut self,
        name: &str,
        others: &[(&str, &str)],
        interval_ms: i64,
        mut value: impl FnMut(&mut Random, usize) -> Option<f64>,
    ) {
        let times = self.times(interval_ms);
        let floats = times.into_iter().enumerate().filter_map(|(i, time_ms)| {
            let value = value(&mut self.random, i)?;
            Some(Float {
                time_ms,
                value,
                start_ms: 0,
            })
        });
        let series = Series {
            labels: labels(name, others),
            floats: floats.collect(),
            histograms: Vec::new(),
        };
        self.all.push(series);
    }

    /// Returns the times of a series: a regular interval, of which some are late, and with holes.
    fn times(&mut self, interval_ms: i64) -> Vec<i64> {
        let random = &mut self.random;
        // Many queries are at whole seconds, so that windows begin and end at samples.
        let phase = match random.below(4) {
            0 => 0,
            1 => random.within(0, interval_ms / 1_000 - 1) * 1_000,
            _ => random.within(0, interval_ms - 1),
        };
        let is_regular = random.chance(0.6);
        let mut times = Vec::new();
        let mut slot = 0;
        while slot * interval_ms < LENGTH_MS {
            let delay = match is_regular {
                true => 0,
                false => random.within(0, interval_ms / 3),
            };
            times.push(START_MS + phase + slot * interval_ms + delay);
            slot += match random.unit() {
                it if it < 0.01 => 30,
                it if it < 0.05 => 2,
                _ => 1,
            };
        }
        times
    }

    fn counters(&mut self) {
        for name in ["requests_total", "errors_total"] {
            for instance in INSTANCES {
                for code in ["200", "404", "500"] {
                    let job = if instance == "c" { "worker" } else { "api" };
                    let others = [("instance", instance), ("job", job), ("code", code)];
                    if name == "errors_total" && code == "200" {
                        continue;
                    }
                    let is_whole = self.random.chance(0.5);
                    self.add_floats(name, &others, 15_000, counter(is_whole));
                }
            }
        }
        for instance in INSTANCES {
            let others = [
                ("__type__", "counter"),
                ("__unit__", "seconds"),
                ("instance", instance),
            ];
            self.add_floats("typed_seconds", &others, 30_000, counter(false));
            self.add_floats("started_total", &[("instance", instance)], 15_000, {
                counter(true)
            });
            let series = self.all.last_mut().expect("it was just added");
            add_start_timestamps(&mut self.random, series);
        }
    }

    fn gauges(&mut self) {
        for instance in INSTANCES {
            let labels = [("instance", instance), ("job", "api")];
            let mut level = 20.0;
            self.add_floats("temperature", &labels, 15_000, |random, _| {
                level += random.unit() - 0.5;
                Some(level)
            });
            for device in ["x", "y"] {
                let labels = [("instance", instance), ("job", "api"), ("device", device)];
                self.add_floats("load", &labels, 20_000, |random, _| {
                    Some(random.within(-3, 3) as f64)
                });
                self.add_floats("special", &labels, 25_000, |random, _| special(random));
            }
            let value = self.random.unit() * 100.0;
            self.add_floats("constant", &[("instance", instance)], 30_000, |_, _| {
                Some(value)
            });
            self.add_floats("large", &[("instance", instance)], 30_000, |random, _| {
                let exponent = random.within(295, 308) as i32;
                let sign = [1.0, -1.0][random.below(2)];
                Some(sign * random.unit() * 10_f64.powi(exponent))
            });
            self.add_floats("sparse", &[("instance", instance)], 150_000, |random, i| {
                Some((random.below(10) + i) as f64)
            });
            let others = [("my.label", instance), ("instance", instance)];
            self.add_floats("my.metric", &others, 30_000, |random, _| {
                Some(random.unit() - 0.5)
            });
        }
        // Series that end in a stale marker and begin again, one after the other.
        for part in 0..4 {
            let others = [("part", ["0", "1", "2", "3"][part]), ("instance", "a")];
            self.add_floats("restarted", &others, 15_000, |random, i| match i / 40 {
                it if it == part => Some(random.unit()),
                it if it == part + 1 && i % 40 == 0 => Some(f64::from_bits(STALE_MARKER_BITS)),
                _ => None,
            });
        }
    }

    fn classic_histograms(&mut self) {
        let bounds = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];
        for instance in INSTANCES {
            let job = if instance == "c" { "worker" } else { "api" };
            let mut counts = vec![0.0; bounds.len()];
            let times = self.times(15_000);
            let mut rows = Vec::new();
            for _ in &times {
                let first = self.random.below(bounds.len());
                let observations = self.random.below(5) as f64;
                counts[first..]
                    .iter_mut()
                    .for_each(|it| *it += observations);
                rows.push(counts.clone());
            }
            let mut add = |name: &str, others: &[(&str, &str)], value: &dyn Fn(usize) -> f64| {
                let floats = times.iter().enumerate().map(|(i, &time_ms)| Float {
                    time_ms,
                    value: value(i),
                    start_ms: 0,
                });
                self.all.push(Series {
                    labels: labels(name, others),
                    floats: floats.collect(),
                    histograms: Vec::new(),
                });
            };
            for (at, le) in bounds.iter().enumerate() {
                let others = [("instance", instance), ("job", job), ("le", le)];
                add("latency_bucket", &others, &|i| rows[i][at]);
                // Its counts fall here and there, the last bound is absent in one, one bound is there twice, and one
                // is no number.
                if instance != "b" || *le != "+Inf" {
                    add("broken_bucket", &others, &|i| {
                        rows[i][at] - f64::from(i % 7 == at)
                    });
                }
            }
            let others = [("instance", instance), ("job", job)];
            add("latency_count", &others, &|i| rows[i][bounds.len() - 1]);
            add("latency_sum", &others, &|i| rows[i][0] * 0.3 + rows[i][4]);
            let others = [("instance", instance), ("job", job), ("le", "1.0")];
            add("broken_bucket", &others, &|i| rows[i][2]);
            let others = [("instance", instance), ("job", job), ("le", "many")];
            add("broken_bucket", &others, &|i| rows[i][1]);
            // A classic histogram beside a native one of the same name.
            for (le, at) in [("0.5", 1), ("10", 4), ("+Inf", 5)] {
                let others = [("instance", instance), ("job", job), ("le", le)];
                add("blend", &others, &|i| rows[i][at]);
            }
        }
    }

    fn native_histograms(&mut self) {
        for (at, instance) in INSTANCES.into_iter().enumerate() {
            let job = if instance == "c" { "worker" } else { "api" };
            let others = [("instance", instance), ("job", job)];
            let schema = [0, 2, -1][at];
            self.add_histograms("rpc", &others, Shape::exponential(schema));
            let mut shape = Shape::exponential([3, 3, 1][at]);
            shape.hint = 3;
            self.add_histograms("queue", &others, shape);
            let mut shape = Shape::exponential([1, 1, 4][at]);
            shape.changes_schema = true;
            self.add_histograms("changing", &others, shape);
            self.add_histograms("custom", &others, Shape::custom(0));
            self.add_histograms("bounds", &others, Shape::custom(at));
            let kind = if at == 1 {
                Shape::custom(1)
            } else {
                Shape::exponential(0)
            };
            self.add_histograms("kinds", &others, kind);
            self.add_histograms("blend", &others, Shape::exponential(1));
            let mut shape = Shape::exponential(2);
            shape.nan_sum = true;
            self.add_histograms("skewed", &others, shape);
            let mut shape = Shape::exponential(1);
            shape.hinted = true;
            self.add_histograms("hinted", &others, shape);
            // Floats and histograms in one series, which change places.
            self.add_histograms("mixed", &others, Shape::exponential(1));
            let series = self.all.last_mut().expect("it was just added");
            let (mut i, random) = (0, &mut self.random);
            series.histograms.retain(|point| {
                i += 1;
                let stays = i % 20 < [10, 17, 4][at];
                if !stays {
                    series.floats.push(Float {
                        time_ms: point.histogram.timestamp_ms,
                        value: random.unit() * 10.0,
                        start_ms: 0,
                    });
                }
                stays
            });
        }
    }

    fn add_histograms(&mut self, name: &str, others: &[(&str, &str)], shape: Shape) {
        let mut state = HistogramState::new(&mut self.random, shape);
        let mut histograms = Vec::new();
        for time_ms in self.times(30_000) {
            if self.random.chance(0.01) {
                histograms.push(stale(time_ms));
            } else {
                histograms.push(state.next(&mut self.random, time_ms));
            }
        }
        let points = histograms.into_iter().map(|histogram| Point {
            histogram,
            start_ms: 0,
        });
        self.all.push(Series {
            labels: labels(name, others),
            floats: Vec::new(),
            histograms: points.collect(),
        });
    }

    fn targets(&mut self) {
        for (at, instance) in INSTANCES.into_iter().enumerate() {
            let job = if instance == "c" { "worker" } else { "api" };
            let versions = ["1.0", "1.1"];
            for (of, version) in versions.into_iter().enumerate() {
                let others = [
                    ("instance", instance),
                    ("job", job),
                    ("version", version),
                    ("region", ["eu", "us", "eu"][at]),
                ];
                // The second version follows the first one.
                self.add_floats("target_info", &others, 60_000, |_, i| {
                    let is_on = match of {
                        0 => i <= 20,
                        _ => i > 20,
                    };
                    is_on.then_some(1.0)
                });
            }
            let others = [("instance", instance), ("job", job), ("commit", "c0ffee")];
            self.add_floats("build_info", &others, 60_000, |_, _| Some(1.0));
        }
    }
}

/// Returns the values of a counter that is sometimes reset.
fn counter(is_whole: bool) -> impl FnMut(&mut Random, usize) -> Option<f64> {
    let mut total = 0.0;
    move |random, _| {
        if random.chance(0.02) {
            total = 0.0;
        }
        total += match is_whole {
            true => random.below(20) as f64,
            false => random.unit() * 20.0,
        };
        Some(total)
    }
}

fn special(random: &mut Random) -> Option<f64> {
    let small = random.within(-2, 2) as f64;
    let values = [
        (10, small),
        (10, random.unit() * 1e3 - 500.0),
        (1, f64::NAN),
        (1, f64::INFINITY),
        (1, f64::NEG_INFINITY),
        (2, -0.0),
        (1, f64::from_bits(STALE_MARKER_BITS)),
        // Below it Go's logarithm on amd64 is wrong, which takes it for a number 2^52 times as large.
        (1, f64::MIN_POSITIVE),
        (1, 1e300),
    ];
    Some(random.weighted(&values))
}

/// Adds the times at which a counter began: at its resets, and unknown in between for a while.
fn add_start_timestamps(random: &mut Random, series: &mut Series) {
    let mut start = series.floats[0].time_ms - 20_000;
    let mut before = 0.0;
    for float in &mut series.floats {
        if float.value < before || random.chance(0.03) {
            start = float.time_ms - random.within(1, 30_000);
        }
        before = float.value;
        float.start_ms = if random.chance(0.9) { start } else { 0 };
    }
}

fn stale(time_ms: i64) -> Histogram {
    Histogram {
        timestamp_ms: time_ms,
        count: Some(Count::Float(0.0)),
        sum: f64::from_bits(STALE_MARKER_BITS),
        zero_count: Some(Count::Float(0.0)),
        ..Histogram::default()
    }
}

/// The kind of the histograms of a series.
#[derive(Clone, Debug)]
struct Shape {
    schema: i32,
    bounds: Vec<f64>,
    hint: i32,
    changes_schema: bool,
    nan_sum: bool,
    hinted: bool,
}

impl Shape {
    fn exponential(schema: i32) -> Self {
        Self {
            schema,
            bounds: Vec::new(),
            hint: 0,
            changes_schema: false,
            nan_sum: false,
            hinted: false,
        }
    }

    fn custom(bounds: usize) -> Self {
        let all: [&[f64]; 3] = [
            &[0.1, 0.5, 1.0, 2.5, 10.0],
            &[0.5, 1.0, 5.0, 10.0],
            &[-1.0, 0.0, 0.5, 2.5],
        ];
        let mut shape = Self::exponential(CUSTOM_BUCKETS_SCHEMA);
        shape.bounds = all[bounds].to_vec();
        shape
    }

    fn is_custom(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }
}

/// The state of a series of histograms: the counts by index of the bucket.
struct HistogramState {
    shape: Shape,
    positive: Vec<f64>,
    negative: Vec<f64>,
    zero: f64,
    zero_threshold: f64,
    sum: f64,
    first: i32,
}

/// Number of buckets on each side of an exponential histogram.
const SIDE: usize = 12;

impl HistogramState {
    fn new(random: &mut Random, shape: Shape) -> Self {
        let is_custom = shape.is_custom();
        let length = if is_custom {
            shape.bounds.len() + 1
        } else {
            SIDE
        };
        Self {
            positive: vec![0.0; length],
            negative: vec![0.0; if is_custom { 0 } else { SIDE }],
            zero: 0.0,
            zero_threshold: if is_custom { 0.0 } else { 0.001 },
            sum: 0.0,
            first: if is_custom {
                0
            } else {
                random.within(-4, 1) as i32
            },
            shape,
        }
    }

    /// Observes something and returns the histogram.
    fn next(&mut self, random: &mut Random, time_ms: i64) -> Histogram {
        let is_gauge = self.shape.hint == 3;
        let is_reset = random.chance(0.03) || is_gauge;
        if is_reset {
            self.positive.fill(0.0);
            self.negative.fill(0.0);
            (self.zero, self.sum) = (0.0, 0.0);
        }
        if !self.shape.is_custom() && random.chance(0.01) {
            self.zero_threshold = random.pick(&[0.0, 0.001, 0.25]);
        }
        if self.shape.changes_schema && random.chance(0.05) {
            self.shape.schema = random.within(-1, 4) as i32;
        }
        for _ in 0..random.below(4) {
            let at = random.below(self.positive.len());
            let observations = random.within(1, 4) as f64;
            self.positive[at] += observations;
            self.sum += observations * random.unit() * 10.0;
        }
        if !self.shape.is_custom() && random.chance(0.2) {
            let at = random.below(self.negative.len());
            self.negative[at] += 1.0;
            self.sum -= random.unit();
        }
        if !self.shape.is_custom() && random.chance(0.2) {
            self.zero += 2.0;
        }
        let hint = match (is_gauge, self.shape.hinted, is_reset) {
            (true, ..) => 3,
            (_, false, _) => 0,
            (_, _, true) => 1,
            _ => random.pick(&[0, 2, 2]),
        };
        let mut sum = self.sum;
        if self.shape.nan_sum && random.chance(0.5) {
            sum = f64::NAN;
        }
        let all = self.positive.iter().chain(&self.negative);
        let count = all.sum::<f64>() + self.zero;
        Histogram {
            timestamp_ms: time_ms,
            count: Some(Count::Float(count)),
            sum,
            schema: self.shape.schema,
            zero_threshold: self.zero_threshold,
            zero_count: Some(Count::Float(self.zero)),
            negative: buckets(&self.negative, self.first),
            positive: buckets(&self.positive, self.first),
            reset_hint: hint,
            custom_values: self.shape.bounds.clone(),
        }
    }
}

/// Returns the buckets that are not empty.
fn buckets(counts: &[f64], first: i32) -> Buckets {
    let mut all = Buckets::default();
    let mut gap = first;
    let mut is_open = false;
    for &count in counts {
        if count == 0.0 {
            gap += 1;
            is_open = false;
            continue;
        }
        match all.spans.last_mut().filter(|_| is_open) {
            Some(span) => span.length += 1,
            None => all.spans.push(Span {
                offset: gap,
                length: 1,
            }),
        }
        (gap, is_open) = (0, true);
        all.counts.push(count);
    }
    all
}
