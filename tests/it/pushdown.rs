//! Statements that leave out samples which nobody looks at: the results of queries are those over all samples.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_timestreamwrite::types::{Dimension, MeasureValueType, Record, TimeUnit};
use fastrand::Rng;
use prom_model::{FloatHistogram, Labels, MatchOp, ResetHint, Sample};
use prom_wire::budget::MemoryBudget;
use prom_wire::prompb::{Histogram, TimeSeries};
use prom_wire::response::Series;
use promql::{
    Engine, EngineOptions, HistogramSample, Outcome, ParserOptions, Query, Selection as Selected,
    Storage, StoredSeries,
};
use timestream_prometheus_connector::query::{Querier, ReadOutcome};
use timestream_prometheus_connector::storage::destination::Destination;
use timestream_prometheus_connector::storage::read::rows::SeriesBuilder;
use timestream_prometheus_connector::storage::read::schema::Schema;
use timestream_prometheus_connector::storage::read::selection::{Matcher, Selection};
use timestream_prometheus_connector::storage::read::sql::{BINS, describe, selection_to_sql};
use timestream_prometheus_connector::storage::read::windows::{Wanted, Windows};
use tokio::time::Instant;

use crate::kinds::{custom, floats, integers};
use crate::support::{START_MS, TestApp, configuration, parts, series, shared_at};

const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// The length of the test data.
const LENGTH_MS: i64 = 3 * HOUR_MS;

fn destination() -> Destination {
    Destination {
        database: "db".to_owned(),
        table: "t".to_owned(),
    }
}

/// A connector, and what reads for it.
struct Reader {
    app: TestApp,
    querier: Querier,
}

impl Reader {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let querier = parts(&configuration(&app.emulator.url(), &[]))
            .await
            .querier;
        Self { app, querier }
    }

    /// Returns all series, with all samples.
    async fn all(&self) -> AllSamples {
        let range = (0, START_MS + 400 * 24 * HOUR_MS);
        let destination = destination();
        let found = self.querier.series_of(&destination, &[], range, None);
        AllSamples(found.await.unwrap().iter().map(stored).collect())
    }

    /// Returns the outcome of a query as the connector evaluates it, and what that took.
    async fn evaluate(&self, query: Query) -> (Outcome, ReadOutcome) {
        let budget = MemoryBudget::new(1 << 30);
        let mut reads = self.querier.reads(Instant::now() + Duration::from_secs(60));
        let outcome = reads.evaluate(query, &mut budget.reservation()).await;
        reads.take_counts();
        (outcome.unwrap().outcome, reads.outcome())
    }

    /// Returns the series that statements for a selection select; they know if it can have histograms.
    async fn select(&self, selection: &Selection, has_histograms: bool) -> Vec<Series> {
        let mut columns = self.rows(describe(&destination())).await;
        columns.retain(|column| {
            has_histograms || column[0].as_scalar() != Some("measure_value::varchar")
        });
        let schema = Schema::from_describe(&columns).unwrap();
        let mut series = SeriesBuilder::new(selection);
        for query in selection_to_sql(selection, &destination(), &schema, BINS[0]).unwrap() {
            for row in self.rows(query.text).await {
                series.add_row(&query.columns, row).unwrap();
            }
        }
        series.finish()
    }

    async fn rows(
        &self,
        statement: String,
    ) -> Vec<timestream_prometheus_connector::storage::read::datum::Row> {
        let mut pages = self.querier.run_statement(statement, None);
        let mut all = Vec::new();
        while let Some((_, rows)) = pages.next().await.unwrap() {
            all.extend(rows);
        }
        all
    }

    /// Stores doubles as another program would, at any nanosecond.
    async fn write_foreign(&self, measure: &str, job: Option<&str>, samples: &[(i64, f64)]) {
        let shared = shared_at(&self.app.emulator.url()).await;
        let client = aws_sdk_timestreamwrite::Client::new(&shared);
        for samples in samples.chunks(100) {
            let records = samples.iter().map(|(time_ns, value)| {
                let dimension = |name: &str, value: &str| {
                    let dimension = Dimension::builder().name(name).value(value);
                    dimension.build().unwrap()
                };
                let mut record = Record::builder()
                    .dimensions(dimension("source", "foreign"))
                    .measure_name(measure)
                    .measure_value(value.to_string())
                    .measure_value_type(MeasureValueType::Double)
                    .time(time_ns.to_string())
                    .time_unit(TimeUnit::Nanoseconds);
                if let Some(job) = job {
                    record = record.dimensions(dimension("job", job));
                }
                record.build()
            });
            let call = client.write_records().database_name("db").table_name("t");
            call.set_records(Some(records.collect()))
                .send()
                .await
                .unwrap();
        }
    }
}

/// A storage that returns all samples of the range, whatever is needed of them.
struct AllSamples(Vec<StoredSeries>);

impl AllSamples {
    /// Returns the samples of a selection as they are stored.
    fn stored(&self, selection: &Selected) -> Vec<StoredSeries> {
        let (after, last) = selection.time_range_ms();
        let is_inside = |time: i64| after < time && time <= last;
        let found = self.0.iter().filter_map(|series| {
            let matches = selection.matchers.iter().all(|matcher| {
                let name = matcher.name.as_str().unwrap();
                matcher.matches(series.labels.get(name))
            });
            let floats = series.floats.iter();
            let floats: Vec<_> = floats
                .filter(|it| is_inside(it.timestamp_ms))
                .copied()
                .collect();
            let histograms = series.histograms.iter();
            let histograms: Vec<_> = histograms
                .filter(|it| is_inside(it.timestamp_ms))
                .cloned()
                .collect();
            let is_empty = floats.is_empty() && histograms.is_empty();
            (matches && !is_empty).then(|| StoredSeries {
                labels: Arc::clone(&series.labels),
                floats,
                histograms,
                starts: None,
            })
        });
        found.collect()
    }
}

impl Storage for AllSamples {
    type Error = Infallible;

    fn select(&self, selection: &Selected) -> Result<Vec<StoredSeries>, Infallible> {
        let mut found = self.stored(selection);
        for series in &mut found {
            // At the time of a float, Prometheus has no histogram.
            let times: HashSet<i64> = series.floats.iter().map(|it| it.timestamp_ms).collect();
            series
                .histograms
                .retain(|it| !times.contains(&it.timestamp_ms));
            // Hints of senders have no effect.
            for sample in &mut series.histograms {
                if sample.histogram.reset_hint() != ResetHint::Gauge {
                    Arc::make_mut(&mut sample.histogram).set_reset_hint(ResetHint::Unknown);
                }
            }
        }
        Ok(found)
    }
}

fn stored(series: &Series) -> StoredSeries {
    let histograms = series.histograms.iter().map(|stored| HistogramSample {
        timestamp_ms: stored.timestamp_ms,
        histogram: Arc::new(FloatHistogram::try_from(stored).unwrap()),
    });
    StoredSeries {
        labels: Arc::new(series.labels.clone()),
        floats: series.samples().collect(),
        histograms: histograms.collect(),
        starts: None,
    }
}

/// Returns times in the test data, some far apart and some close to one another.
fn times(random: &mut Rng, start_ms: i64) -> Vec<i64> {
    let usual = *random
        .choice(&[15_000, 60_000, 7_000, 20 * MINUTE_MS])
        .unwrap();
    let mut time = start_ms + random.i64(0..usual);
    let mut all = Vec::new();
    while time < start_ms + LENGTH_MS {
        all.push(time);
        time += match random.u8(..) {
            0..5 => random.i64(1..LENGTH_MS / 4),
            5..30 => random.i64(1..5),
            30..60 => random.i64(1..2 * usual),
            _ => usual,
        };
    }
    all
}

fn value(random: &mut Rng) -> f64 {
    match random.u8(..) {
        0..8 => STALE,
        8..16 => f64::NAN,
        16..22 => f64::INFINITY,
        22..30 => -0.0,
        30..40 => 0.0,
        _ => f64::from(random.u16(..)) / 8.0,
    }
}

fn histogram(random: &mut Rng, time: i64) -> Histogram {
    let mut histogram = match random.u8(..) {
        0..20 => return crate::kinds::stale(time),
        20..60 => custom(time),
        60..100 => floats(time),
        _ => integers(time),
    };
    histogram.reset_hint = i32::from(random.u8(0..2));
    histogram.sum += f64::from(random.u8(..));
    histogram
}

/// Returns series of floats (`f`), of histograms (`h`) and of both (`x`).
fn test_data(random: &mut Rng, start_ms: i64) -> Vec<TimeSeries> {
    let mut all = Vec::new();
    for (name, has_floats, has_histograms) in
        [("f", true, false), ("h", false, true), ("x", true, true)]
    {
        let of_jobs: [&[(&str, &str)]; 3] = [&[("job", "a")], &[("job", "b"), ("zone", "z")], &[]];
        for labels in of_jobs {
            let labels = [&[("__name__", name)], labels].concat();
            let (mut samples, mut histograms) = (Vec::new(), Vec::new());
            for time in times(random, start_ms) {
                match (has_floats, has_histograms) {
                    (true, true) if random.u8(..) < 5 => {
                        samples.push((time, value(random)));
                        histograms.push(histogram(random, time));
                    }
                    (true, true) if (time - start_ms) / (20 * MINUTE_MS) % 2 == 0 => {
                        samples.push((time, value(random)));
                    }
                    (true, false) => samples.push((time, value(random))),
                    // Prometheus sends the end of a series of histograms as a float.
                    _ if random.u8(..) < 12 => samples.push((time, STALE)),
                    _ => histograms.push(histogram(random, time)),
                }
            }
            all.push(TimeSeries {
                histograms,
                ..series(&labels, &samples)
            });
        }
    }
    all
}

async fn write(reader: &Reader, all: Vec<TimeSeries>) {
    for series in all {
        reader.app.write_ok(vec![series]).await;
    }
}

/// Returns a query of a random selector.
fn expression(random: &mut Rng, start_ms: i64) -> String {
    let metric = *random
        .choice(&["f", "f", "h", "x", r#"{__name__=~"f|x"}"#, "n", "missing"])
        .unwrap();
    let range = *random.choice(&["20s", "1m", "5m", "17m", "1h"]).unwrap();
    let at = (start_ms + random.i64(0..LENGTH_MS)) as f64 / 1_000.0;
    let modifier = match random.u8(0..8) {
        0 => " offset 7m".to_owned(),
        1 => " offset -90s".to_owned(),
        2 => format!(" @ {at}"),
        3 => format!(" @ {at} offset 11s"),
        _ => String::new(),
    };
    let of_range = [
        "rate",
        "sum_over_time",
        "count_over_time",
        "min_over_time",
        "max_over_time",
        "present_over_time",
        "absent_over_time",
        "last_over_time",
        "first_over_time",
        "changes",
        "resets",
        "ts_of_last_over_time",
    ];
    let function = *random.choice(&of_range).unwrap();
    let inner = format!("{function}({metric}[{range}]{modifier})");
    match random.u8(0..20) {
        0..4 => format!("{metric}{modifier}"),
        4 => format!("timestamp({metric}{modifier})"),
        5 => format!("sum by (job) ({metric}{modifier})"),
        6 => format!("histogram_count(sum({metric}{modifier}))"),
        7 => format!("histogram_count({inner})"),
        8 => format!("histogram_sum(sum(rate({metric}[{range}]{modifier})))"),
        9 => format!("absent({metric}{modifier})"),
        10 => format!("max_over_time(({metric}{modifier})[1h:7m])"),
        11 => format!("{metric}{modifier} + on(job) group_left() count by (job) ({metric})"),
        12 => format!("rate({metric}[{range}] anchored{modifier})"),
        13 => format!("rate({metric}[{range}] smoothed{modifier})"),
        14 => format!("{metric} smoothed{modifier}"),
        _ => inner,
    }
}

/// Returns a query and a description of it.
fn query(random: &mut Rng, start_ms: i64, expression: &str) -> (Query, String) {
    let engine = Engine::new(EngineOptions {
        lookback_ms: *random.choice(&[300_000, 20_000, 1, 3_600_000]).unwrap(),
        parser: ParserOptions {
            extended_range_selectors: true,
            experimental_functions: true,
            ..ParserOptions::default()
        },
        per_step_statistics: true,
        ..EngineOptions::default()
    });
    // Before the data, and before 1970, too.
    let from = start_ms + random.i64(-HOUR_MS..LENGTH_MS);
    let steps = [
        5_000,
        15_000,
        30_000,
        37_511,
        60_000,
        253_007,
        10 * MINUTE_MS,
        HOUR_MS,
    ];
    let step = *random.choice(&steps).unwrap();
    let until = from + random.i64(0..=(150 * step).min(LENGTH_MS));
    let (query, mut described) = match random.u8(0..4) {
        0 => (engine.instant(expression, from), format!("at {from}")),
        _ => (
            engine.range(expression, from, until, step),
            format!("from {from} until {until} by {step}"),
        ),
    };
    let _ = write!(described, ": {expression}");
    (
        query.unwrap_or_else(|error| panic!("{described}: {error}")),
        described,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_those_over_all_samples() {
    let (mut fetched, mut whole) = (0, 0);
    for seed in 0..6 {
        let mut random = Rng::with_seed(seed);
        let reader = Reader::start().await;
        let start_ms = [START_MS, 0][seed as usize % 2];
        write(&reader, test_data(&mut random, start_ms)).await;
        foreign(&reader, &mut random, start_ms).await;
        let all = reader.all().await;
        for number in 0..180 {
            let expression = match number {
                0..100 => expression(&mut random, start_ms),
                // Samples between windows determine which resets of counters are found.
                _ => "histogram_count(sum(h))".to_owned(),
            };
            let (query, described) = query(&mut random, start_ms, &expression);
            let Ok(mut expected) = query.run(&all);
            let selected = query.selections().iter().map(|selection| {
                let series = all.stored(selection);
                let samples = series
                    .iter()
                    .map(|it| it.floats.len() + it.histograms.len());
                samples.sum::<usize>() as u64
            });
            let selected: u64 = selected.sum();
            let (outcome, reads) = reader.evaluate(query).await;
            if described.contains("last_over_time") {
                // It touches the newest samples of its windows only, which are fetched, and Prometheus counts all.
                expected.statistics = outcome.statistics;
                expected.per_step.clone_from(&outcome.per_step);
            }
            assert_eq!(
                format!("{outcome:?}"),
                format!("{expected:?}"),
                "seed {seed}, {described}"
            );
            assert!(reads.samples <= selected, "seed {seed}, {described}");
            if number < 100 {
                fetched += reads.samples;
                whole += selected;
            }
        }
    }
    // Most of these queries have windows that overlap, so all samples matter.
    assert!(
        fetched > 0 && fetched < whole / 3 * 2,
        "{fetched} of {whole}"
    );
}

/// Stores the series `n`: two that another program has written, some samples in the same millisecond.
async fn foreign(reader: &Reader, random: &mut Rng, start_ms: i64) {
    for job in [Some("a"), None] {
        let samples = times(random, start_ms).into_iter().flat_map(|time| {
            let within: &[i64] = match time % 3 {
                0 => &[0, 1, 999_999],
                1 => &[500_000],
                _ => &[999_998, 999_999],
            };
            let value = time % 1_000;
            let of = move |&ns: &i64| (time * 1_000_000 + ns, (value * 10 + ns % 10) as f64);
            within.iter().map(of)
        });
        let samples: Vec<_> = samples.collect();
        reader.write_foreign("n", job, &samples).await;
    }
}

type Bits = Vec<(Labels, Vec<(i64, Option<u64>, Option<String>)>)>;

/// Returns the samples of series, in the order of their times.
fn bits(all: &[Series]) -> Bits {
    let of = |series: &Series| {
        let floats = series.samples();
        let floats = floats.map(
            |Sample {
                 timestamp_ms,
                 value,
             }| (timestamp_ms, Some(value.to_bits()), None),
        );
        let histograms = series.histograms.iter();
        // Of stale ones the kind is of no interest.
        let histograms = histograms.map(|it| match it.is_stale() {
            true => (it.timestamp_ms, Some(STALE.to_bits()), None),
            false => (it.timestamp_ms, None, Some(format!("{it:?}"))),
        });
        let mut samples: Vec<_> = floats.chain(histograms).collect();
        samples.sort();
        (series.labels.clone(), samples)
    };
    all.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_select_at_least_what_windows_need() {
    let mut left_out = 0;
    for seed in 0..4 {
        let mut random = Rng::with_seed(seed);
        let reader = Reader::start().await;
        let start_ms = [0, START_MS][seed as usize % 2];
        write(&reader, test_data(&mut random, start_ms)).await;
        foreign(&reader, &mut random, start_ms).await;
        for name in ["f", "h", "x", "n", ".+"] {
            let has_histograms = !["f", "n"].contains(&name);
            for _ in 0..12 {
                let from = start_ms + random.i64(0..LENGTH_MS / 2);
                let last = from + random.i64(0..LENGTH_MS);
                let steps = [
                    1,
                    1_000,
                    30_000,
                    30_001,
                    60_000,
                    253_007,
                    HOUR_MS,
                    100 * HOUR_MS,
                ];
                let step = *random.choice(&steps).unwrap();
                let length = *random
                    .choice(&[1, step / 7, step - 1, step, 2 * step])
                    .unwrap();
                let end = last + random.i64(-2 * step..2 * step);
                let windows = Windows::new(end, step, length, random.bool());
                let mut selection = Selection {
                    destinations: vec![],
                    matchers: vec![Matcher::new(MatchOp::Regex, "__name__", name).unwrap()],
                    range: Some((from, last)),
                    wanted: Wanted::All,
                };
                let all = bits(&reader.select(&selection, has_histograms).await);
                selection.wanted = Wanted::Windows(windows);
                let found = bits(&reader.select(&selection, has_histograms).await);
                let context = format!("seed {seed}, {name}, {from} to {last}, {windows:?}");
                left_out += check(&all, &found, windows, &context);
            }
        }
    }
    assert!(left_out > 10_000, "{left_out}");
}

/// Checks that nothing needed is left out, and returns how many samples are.
fn check(all: &Bits, found: &Bits, windows: Windows, context: &str) -> usize {
    let mut left_out = 0;
    let none = Vec::new();
    for (labels, all) in all {
        let found = found.iter().find(|it| it.0 == *labels);
        let found = found.map_or(&none, |it| &it.1);
        for sample in found {
            assert!(
                all.contains(sample),
                "{context}, {labels:?}: {sample:?} is invented"
            );
        }
        left_out += all.len() - found.len();
        let newest_in_window = |time: i64, only_live: bool| {
            let end = windows.end_from(time);
            let in_window = all.iter().filter(|it| windows.end_from(it.0) == end);
            let live = in_window.filter(|it| !only_live || it.1 != Some(STALE.to_bits()));
            live.map(|it| it.0).max()
        };
        for sample in all {
            let is_needed = match (windows.contains(sample.0), windows.newest()) {
                (false, _) => false,
                (true, false) => true,
                // The newest one, and the newest one that is no stale marker.
                (true, true) => [false, true]
                    .iter()
                    .any(|&only_live| newest_in_window(sample.0, only_live) == Some(sample.0)),
            };
            assert!(
                !is_needed || found.contains(sample),
                "{context}, {labels:?}: {sample:?} is missing"
            );
        }
    }
    left_out
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_steps_fetch_a_small_share_of_the_samples() {
    const DAYS: i64 = 2;
    let reader = Reader::start().await;
    for job in ["a", "b"] {
        let samples = (-20..DAYS * 24 * HOUR_MS / 15_000).map(|scrape| {
            let time = START_MS + scrape * 15_000 + 7;
            (time, (scrape.rem_euclid(5_000) * 3) as f64)
        });
        let samples: Vec<_> = samples.collect();
        let written = series(&[("__name__", "f"), ("job", job)], &samples);
        reader.app.write_ok(vec![written]).await;
    }
    let all = reader.all().await;
    let whole = all.0.iter().map(|it| it.floats.len() as u64).sum::<u64>();
    for (expression, percent) in [
        ("f", 1),
        ("f offset 1h", 1),
        ("timestamp(f)", 1),
        ("last_over_time(f[1h])", 1),
        ("rate(f[5m])", 10),
    ] {
        let engine = Engine::new(EngineOptions::default());
        let last = START_MS + DAYS * 24 * HOUR_MS;
        let query = engine.range(expression, START_MS, last, HOUR_MS).unwrap();
        let Ok(expected) = query.run(&all);
        let (outcome, reads) = reader.evaluate(query).await;
        let values = [outcome.value, expected.value].map(|value| format!("{value:?}"));
        assert_eq!(values[0], values[1], "{expression}");
        assert!(
            reads.samples > 0 && 100 * reads.samples < percent * whole,
            "{expression}: {} of {whole}",
            reads.samples
        );
    }
}
