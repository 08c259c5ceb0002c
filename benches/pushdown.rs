//! Samples and bytes that queries of PromQL fetch from Timestream, beside all of their ranges: an emulator with
//! the samples in memory, and the reading half of the connector, both in this process.
//!
//! `PUSHDOWN_SERIES` and `PUSHDOWN_DAYS` change the amount, 20 series and 30 days. All figures but the times are
//! proportional to the series.

#[allow(dead_code, reason = "each bench needs a part of it")]
mod support;

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use prom_wire::budget::MemoryBudget;
use prom_wire::prompb::{Label, Sample};
use promql::{Engine, EngineOptions, Query, Selection, Storage, StoredSeries};
use support::{Bench, Table, binary, machine, relay, setting};
use timestream_emulator::Config as EmulatorConfig;
use timestream_prometheus_connector::config::{Invocation, read};
use timestream_prometheus_connector::dead_letter::DeadLetters;
use timestream_prometheus_connector::entry::build;
use timestream_prometheus_connector::query::Querier;
use timestream_prometheus_connector::storage::destination::Destination;
use timestream_prometheus_connector::timestream::sdk_config;

const START_MS: i64 = 1_600_000_000_000;
const SCRAPE_MS: i64 = 15_000;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

#[tokio::main]
async fn main() {
    println!("{}", machine());
    let series = setting("PUSHDOWN_SERIES", 20);
    let days = setting("PUSHDOWN_DAYS", 30);
    let bench = Bench::start(binary(), EmulatorConfig::default()).await;
    for index in 0..series {
        write(&bench, index, days).await;
    }
    let (endpoint, received) = relay(bench.emulator.url()).await;
    let querier = querier(&endpoint).await;
    let mut table = Table::new(&[
        "expression, days, step",
        "samples",
        "of all",
        "bytes from Timestream",
        "of all",
        "ms",
        "all: samples",
        "bytes",
        "ms",
    ]);
    let mut all_bytes = 0;
    for (expression, days, step_ms) in [
        ("http_requests_total", days, HOUR_MS),
        ("rate(http_requests_total[5m])", days, HOUR_MS),
        ("last_over_time(http_requests_total[1h])", days, HOUR_MS),
        ("max_over_time(http_requests_total[1h])", days, HOUR_MS),
        ("http_requests_total", days.min(7), HOUR_MS / 12),
        ("http_requests_total", 1, HOUR_MS / 60),
        ("rate(http_requests_total[5m])", 1, HOUR_MS / 60),
    ] {
        let last = START_MS + days * DAY_MS;
        let engine = Engine::new(EngineOptions::default());
        let query = || {
            let query = engine.range(expression, START_MS, last, step_ms);
            query.expect("it is one of PromQL")
        };
        let before = received.load(Ordering::Relaxed);
        let start = Instant::now();
        let (outcome, samples) = evaluate(&querier, query()).await;
        let duration = start.elapsed();
        let bytes = received.load(Ordering::Relaxed) - before;

        let start = Instant::now();
        let query = query();
        let range = query.selections()[0].time_range_ms();
        let all = all(&querier, (range.0 + 1, range.1)).await;
        let Ok(expected) = query.run(&all);
        let all_duration = start.elapsed();
        let all_samples = all.0.iter().map(|it| it.floats.len() as u64).sum::<u64>();
        all_bytes = received.load(Ordering::Relaxed) - before - bytes;
        let value = format!("{:?}", expected.value);
        assert_eq!(format!("{outcome:?}"), value, "{expression}");
        let share = |part: u64, whole: u64| format!("{:.2} %", 100.0 * part as f64 / whole as f64);
        table.add([
            format!("{expression}, {days} d, {} min", step_ms / 60_000),
            samples.to_string(),
            share(samples, all_samples),
            bytes.to_string(),
            share(bytes, all_bytes),
            duration.as_millis().to_string(),
            all_samples.to_string(),
            all_bytes.to_string(),
            all_duration.as_millis().to_string(),
        ]);
    }
    assert!(all_bytes > 0);
    table.print(&format!("{series} series, a sample each 15 s"));
    bench.emulator.stop().await;
}

/// Stores a series: a counter that is reset now and then.
async fn write(bench: &Bench, index: i64, days: i64) {
    let mut random = fastrand::Rng::with_seed(index as u64);
    let instance = format!("10.0.{}.{}:9100", index / 250, index % 250);
    let labels = [
        ("__name__", "http_requests_total"),
        ("cluster", "production-eu-west-1"),
        ("code", "200"),
        ("instance", &instance),
        ("job", "kubernetes-pods"),
        ("method", "GET"),
    ];
    let labels: Vec<_> = labels
        .iter()
        .map(|&(name, value)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        })
        .collect();
    let mut value = 0.0;
    let phase_ms = random.i64(0..SCRAPE_MS);
    let samples: Vec<_> = (-20..days * DAY_MS / SCRAPE_MS)
        .map(|scrape| {
            value += f64::from(random.u32(0..40));
            if random.u32(0..5_000) == 0 {
                value = 0.0;
            }
            Sample {
                timestamp: START_MS + scrape * SCRAPE_MS + phase_ms,
                value,
            }
        })
        .collect();
    bench.store(&labels, &samples).await;
}

/// Returns the reading half of a connector whose Timestream is at `endpoint`.
async fn querier(endpoint: &str) -> Querier {
    let arguments = [
        "bootstrap",
        "--default-database=db",
        "--default-table=t",
        &format!("--write-base-endpoint={endpoint}"),
        &format!("--query-base-endpoint={endpoint}"),
    ];
    let Ok(Invocation::Serve(config)) = read(arguments.map(str::to_owned), |_| None) else {
        panic!("these are options");
    };
    let credentials = Credentials::new("local", "local", None, None, "benches");
    let shared = sdk_config(&config.timestream)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .load()
        .await;
    let dead_letters = DeadLetters::open(config.dead_letter.as_ref(), &shared);
    let dead_letters = dead_letters.expect("none is configured");
    build::parts(&config, &shared, dead_letters).querier
}

/// Returns the value of a query and the samples that were fetched for it.
async fn evaluate(
    querier: &Querier,
    query: Query,
) -> (Result<promql::Value, promql::EvaluationError>, u64) {
    let budget = MemoryBudget::new(4 << 30);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
    let mut reads = querier.reads(deadline);
    let evaluation = reads.evaluate(query, &mut budget.reservation()).await;
    let outcome = evaluation.expect("the emulator responds").outcome;
    (outcome.value, reads.outcome().samples)
}

/// All samples of a range.
struct AllSamples(Vec<StoredSeries>);

impl Storage for AllSamples {
    type Error = Infallible;

    fn select(&self, _: &Selection) -> Result<Vec<StoredSeries>, Infallible> {
        Ok(self.0.clone())
    }
}

async fn all(querier: &Querier, range: (i64, i64)) -> AllSamples {
    let destination = Destination {
        database: "db".to_owned(),
        table: "t".to_owned(),
    };
    let names = ["http_requests_total".to_owned()];
    let found = querier.series_of(&destination, &names, range, None).await;
    let found = found.expect("the emulator responds");
    let stored = found.iter().map(|series| StoredSeries {
        labels: series.labels.clone().into(),
        floats: series.samples().collect(),
        ..StoredSeries::default()
    });
    AllSamples(stored.collect())
}
