//! Cost of reading, end to end: a client over loopback, the released connector as a process, an
//! emulator in this process with the samples in memory. Time and memory of the connector are its
//! own, and each row has a connector that has done nothing before.

#[allow(dead_code, reason = "each bench needs a part of it")]
mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use prom_wire::prompb::histogram::Count;
use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::read_request::ResponseType;
use prom_wire::prompb::{
    BucketSpan, Histogram, Label, LabelMatcher, Query, ReadRequest, Sample, TimeSeries,
    WriteRequest,
};
use support::{Bench, Table, binary, machine, relay, start_connector};
use timestream_emulator::Config;

const START_MS: i64 = 1_600_000_000_000;
const SCRAPE_MS: i64 = 15_000;
/// Maximum number of samples in one request of Prometheus, by default.
const SAMPLES_PER_SEND: usize = 2_000;

#[tokio::main]
async fn main() {
    println!("{}", machine());
    let mut table = Table::new(&[
        "series x samples, values, form",
        "seconds",
        "until the head",
        "CPU ms",
        "CPU us per 1,000",
        "peak MiB",
        "idle MiB",
        "pages",
        "bytes a sample, from Timestream",
        "to Prometheus",
    ]);
    for (kind, series, samples) in [
        (Kind::Scraped, 1_000, 1_000),
        (Kind::Noise, 1_000, 1_000),
        (Kind::Histograms, 100, 400),
        (Kind::Scraped, 10, 100),
        (Kind::Scraped, 100, 100),
        (Kind::Scraped, 1_000, 100),
        (Kind::Scraped, 10_000, 100),
    ] {
        let bench = Bench::start(binary(), Config::default()).await;
        write(&bench, kind, series, samples).await;
        for form in [ResponseType::Samples, ResponseType::StreamedXorChunks] {
            let row = measure(&bench, series * samples, form).await;
            let name = format!("{series} x {samples}, {kind:?}, {}", form.as_str_name());
            table.add([name].into_iter().chain(row));
        }
        bench.emulator.stop().await;
    }
    table.print("Reads of one metric, 9 labels a series, a sample each 15 s");
}

/// Kind of samples.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A busy counter, an idle one, a gauge and a constant in turn. Prometheus puts scrapes that are up
    /// to 2 ms late to their time; one in 50 is later.
    Scraped,
    /// Random values at random times: no encoding helps.
    Noise,
    /// Native histograms of 60 buckets, a few of which are observed between scrapes.
    Histograms,
}

fn series(kind: Kind, index: usize, samples: usize) -> TimeSeries {
    let mut random = fastrand::Rng::with_seed(index as u64);
    let pod = format!("api-{}-{index:05}", index % 7);
    let instance = format!("10.0.{}.{}:9100", index / 250, index % 250);
    let labels = [
        ("__name__", "http_requests_total"),
        ("code", ["200", "404", "500"][index % 3]),
        ("cluster", "production-eu-west-1"),
        ("container", "server"),
        ("instance", &instance),
        ("job", "kubernetes-pods"),
        ("method", ["GET", "POST"][index % 2]),
        ("namespace", "shop"),
        ("pod", &pod),
    ];
    let mut value = (index * 1_000) as f64;
    let sample = |i: usize| {
        let late_ms = match (kind, index % 4) {
            (Kind::Noise, _) => {
                value = random.f64() * 1e6;
                random.i64(0..1_000)
            }
            (Kind::Scraped | Kind::Histograms, source) => {
                match source {
                    0 => value += f64::from(random.u32(0..40)),
                    1 => value += f64::from(random.u32(0..6) / 5),
                    2 => value = f64::from(random.u32(500..700)),
                    _ => value = 1.0,
                }
                match random.u32(0..50) {
                    0 => random.i64(3..40),
                    _ => 0,
                }
            }
        };
        Sample {
            timestamp: START_MS + i as i64 * SCRAPE_MS + late_ms,
            value,
        }
    };
    let mut series = TimeSeries {
        labels: labels
            .iter()
            .map(|&(name, value)| Label {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect(),
        samples: (0..samples).map(sample).collect(),
        ..TimeSeries::default()
    };
    if let Kind::Histograms = kind {
        let times = std::mem::take(&mut series.samples);
        series.histograms = histograms(times.iter().map(|it| it.timestamp), index as u64);
    }
    series
}

/// Histograms at these times.
fn histograms(times: impl Iterator<Item = i64>, seed: u64) -> Vec<Histogram> {
    const BUCKETS: usize = 60;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut counts, mut sum) = ([0_i64; BUCKETS], 0.0);
    let observed = times.map(|timestamp| {
        for _ in 0..20 {
            // Most are about the middle.
            let bucket = (random.usize(0..BUCKETS) + random.usize(0..BUCKETS)) / 2;
            counts[bucket] += 1;
            sum += bucket as f64 / 7.0;
        }
        let before = [0].into_iter().chain(counts);
        Histogram {
            count: Some(Count::CountInt(counts.iter().sum::<i64>() as u64)),
            sum,
            schema: 3,
            zero_threshold: 2_f64.powi(-128),
            positive_spans: vec![BucketSpan {
                offset: -20,
                length: BUCKETS as u32,
            }],
            positive_deltas: counts.iter().zip(before).map(|(a, b)| a - b).collect(),
            timestamp,
            ..Histogram::default()
        }
    });
    observed.collect()
}

async fn write(bench: &Bench, kind: Kind, series_count: usize, samples: usize) {
    let client = soak::http::client();
    let all: Vec<usize> = (0..series_count).collect();
    for indexes in all.chunks(SAMPLES_PER_SEND.div_ceil(samples)) {
        let request = WriteRequest {
            timeseries: indexes
                .iter()
                .map(|it| series(kind, *it, samples))
                .collect(),
            metadata: Vec::new(),
        };
        let body = prom_wire::encode(&request).expect("it is small");
        let url = format!("{}/write", bench.connector.url);
        let response = client.post(url).body(body).send().await;
        let response = response.expect("the connector responds");
        assert_eq!(response.status().as_u16(), 204);
    }
}

/// Reads all samples once; returns the time and size.
async fn measure(bench: &Bench, samples: usize, form: ResponseType) -> Vec<String> {
    let (endpoint, received) = relay(bench.emulator.url()).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut connector = start_connector(binary(), endpoint, folder.path()).await;
    let idle_kib = connector.peak_memory_kib();
    let cpu_before = connector.cpu_time();
    let start = Instant::now();
    let request = soak::http::client().post(format!("{}/read", connector.url));
    let mut response = request
        .body(request_body(samples, form))
        .send()
        .await
        .expect("the connector responds");
    let until_head = start.elapsed();
    assert_eq!(response.status().as_u16(), 200);
    let mut sent = 0;
    while let Some(piece) = response.chunk().await.expect("the response is whole") {
        sent += piece.len();
    }
    let duration = start.elapsed();
    let cpu = connector.cpu_time() - cpu_before;
    let metrics = soak::http::get(format!("{}/metrics", connector.url)).await;
    let metrics = metrics.expect("the connector responds").text().await;
    let metrics = metrics.expect("metrics are text");
    assert_eq!(metric(&metrics, "read_samples_total"), samples as u64);
    let per_sample = |bytes: u64| format!("{:.2}", bytes as f64 / samples as f64);
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1_024.0);
    let seconds = |duration: Duration| format!("{:.2}", duration.as_secs_f64());
    vec![
        seconds(duration),
        seconds(until_head),
        cpu.as_millis().to_string(),
        format!("{:.0}", cpu.as_secs_f64() * 1e9 / samples as f64),
        mib(connector.peak_memory_kib()),
        mib(idle_kib),
        metric(&metrics, "read_pages_total").to_string(),
        per_sample(received.load(Ordering::Relaxed)),
        per_sample(sent as u64),
    ]
}

fn request_body(samples: usize, form: ResponseType) -> Vec<u8> {
    let request = ReadRequest {
        queries: vec![Query {
            start_timestamp_ms: START_MS - 1_000,
            end_timestamp_ms: START_MS + samples as i64 * SCRAPE_MS,
            matchers: vec![LabelMatcher {
                r#type: Type::Eq.into(),
                name: "__name__".to_owned(),
                value: "http_requests_total".to_owned(),
            }],
            hints: None,
        }],
        accepted_response_types: vec![form.into()],
    };
    prom_wire::encode(&request).expect("it is small")
}

fn metric(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("timestream_connector_{name} ")));
    line.and_then(|value| value.parse().ok())
        .unwrap_or_default()
}
