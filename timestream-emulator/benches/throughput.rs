//! Throughput of the emulator over HTTP, as one table. The AWS SDK that sends and reads runs on the
//! same processors and is part of the figures.

mod support;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use support::{Service, batch, start_ms};
use tokio::task::JoinSet;

/// Records of a [`batch`].
const RECORDS_PER_CALL: usize = 100;
/// Calls of the measurements that write into a file.
const CALLS: usize = 3_000;
/// Calls of the table that queries run over: 1,000,000 points in 1,000 series.
const CALLS_FOR_QUERIES: usize = 10_000;
/// Each query is run so often; the median counts.
const QUERY_RUNS: usize = 5;

const QUERIES: [(&str, &str); 5] = [
    (
        "time series of all, as the connector queries",
        "SELECT \"a\", \"b\", \"instance\", \"job\", measure_name, \
         CREATE_TIME_SERIES(time, measure_value::double) AS \"samples\" FROM \"db\".\"t\" \
         GROUP BY \"a\", \"b\", \"instance\", \"job\", measure_name, bin(time, 1h)",
    ),
    (
        "time series of one measure and 10 of its series",
        "SELECT \"a\", \"b\", \"instance\", \"job\", measure_name, \
         CREATE_TIME_SERIES(time, measure_value::double) AS \"samples\" FROM \"db\".\"t\" \
         WHERE measure_name = 'node_cpu_seconds_total_3' AND regexp_like(\"a\", '^(?:value 7)\\z') \
         GROUP BY \"a\", \"b\", \"instance\", \"job\", measure_name, bin(time, 1h)",
    ),
    ("count(*)", "SELECT count(*) FROM \"db\".\"t\""),
    (
        "average per hour",
        "SELECT bin(time, 1h), avg(measure_value::double) FROM \"db\".\"t\" GROUP BY bin(time, 1h)",
    ),
    (
        "label sets",
        "SELECT DISTINCT \"a\", \"b\", \"instance\", \"job\", measure_name FROM \"db\".\"t\"",
    ),
];

#[tokio::main]
async fn main() {
    println!("{:<50} {:>12}", "writes, 100 records a call", "records/s");
    for senders in [1, 8] {
        let folder = tempfile::tempdir().expect("a folder");
        let service = Arc::new(Service::start(Some(folder.path())).await);
        let rate = write(&service, CALLS, senders).await;
        print_rate("a data folder", senders, rate);
        stop(service).await;
    }
    for senders in [1, 8] {
        let service = Arc::new(Service::start(None::<&Path>).await);
        let rate = write(&service, CALLS_FOR_QUERIES, senders).await;
        print_rate("memory", senders, rate);
        if senders == 8 {
            query(&service).await;
        }
        stop(service).await;
    }
}

/// Sends so many calls and returns the records stored per second.
async fn write(service: &Arc<Service>, calls: usize, senders: usize) -> f64 {
    let first_ms = start_ms(calls);
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..senders {
        let (service, next) = (Arc::clone(service), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    break;
                }
                service.put(batch(number, first_ms)).await;
            }
        });
    }
    tasks.join_all().await;
    (calls * RECORDS_PER_CALL) as f64 / start.elapsed().as_secs_f64()
}

fn print_rate(place: &str, senders: usize, rate: f64) {
    let senders = if senders == 1 {
        "1 sender".to_owned()
    } else {
        format!("{senders} senders")
    };
    println!("{:<50} {rate:>12.0}", format!("into {place}, {senders}"));
}

async fn query(service: &Service) {
    println!(
        "\n{:<50} {:>12} {:>8}",
        "queries over 1,000,000 points in memory", "ms", "rows"
    );
    for (name, sql) in QUERIES {
        let mut times = Vec::new();
        let mut rows = 0;
        for _ in 0..QUERY_RUNS {
            let start = Instant::now();
            rows = service.rows(sql).await;
            times.push(start.elapsed());
        }
        println!("{name:<50} {:>12.1} {rows:>8}", milliseconds(median(times)));
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

async fn stop(service: Arc<Service>) {
    if let Some(service) = Arc::into_inner(service) {
        service.stop().await;
    }
}
