//! Cost of writing, end to end: senders over loopback, the released connector as a process, an
//! emulator that stores nothing. Sender and emulator run in this process, so time and memory of the
//! connector are its own.
//!
//! Variables change what is measured:
//! - `BOOTSTRAP`: the binary, instead of the one that cargo has built with the bench.
//! - `BASELINE`: another binary, which is run in turn with the first. Each figure is then followed by the one of
//!   the baseline, and by the ratio of both.
//! - `RUNS`: figures are the medians of so many runs; 5 with a baseline, otherwise 1.
//! - `SECONDS_PER_ROW`: the time for all runs of a row and a binary; 4.
//! - `SETS`, `ORDERS`: names in the table of orders, as in `SETS=node,pods ORDERS=scrape,shard-8`; only these rows
//!   are measured, and no other table.
//! - `LOADS`: milliseconds of latency and senders, as in `LOADS=0-1,15-8`, for all of these rows.

#[allow(dead_code, reason = "each user needs a part of it")]
#[path = "../tests/support/exporters.rs"]
mod exporters;
#[path = "../tests/support/go_connector.rs"]
mod go_connector;
#[allow(dead_code, reason = "each bench needs a part of it")]
mod support;

use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exporters::{Order, SAMPLES_PER_SEND};
use prom_wire::prompb::{TimeSeries, WriteRequest};
use support::{Bench, Table, binary, machine, quantile_ms, start_emulator};
use timestream_emulator::{Config, Counters, Fault, FaultKind, When};
use tokio::task::JoinSet;

/// Different requests of an order.
const REQUESTS: usize = 4;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // A core is left to the connector.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.expect("threads can be started");
    runtime.block_on(tables());
}

async fn tables() {
    println!("{}", machine());
    let options = Options::read();
    if !options.is_selection() {
        stages();
        speed(&options).await;
        growth(&options).await;
    }
    orders(&options).await;
}

/// The variables.
struct Options {
    /// The binary, and the baseline if there is one.
    binaries: Vec<String>,
    runs: u32,
    time_per_run: Duration,
    sets: Option<Vec<String>>,
    orders: Option<Vec<String>>,
    loads: Option<Vec<Load>>,
}

impl Options {
    fn read() -> Self {
        let binaries: Vec<_> = [binary()].into_iter().chain(variable("BASELINE")).collect();
        let runs = variable("RUNS").unwrap_or(if binaries.len() > 1 { 5 } else { 1 });
        let seconds_per_row = variable("SECONDS_PER_ROW").unwrap_or(4.0);
        Self {
            binaries,
            runs,
            time_per_run: Duration::from_secs_f64(seconds_per_row) / runs,
            sets: list("SETS"),
            orders: list("ORDERS"),
            loads: list("LOADS"),
        }
    }

    fn is_selection(&self) -> bool {
        self.sets.is_some() || self.orders.is_some() || self.loads.is_some()
    }

    /// Returns the loads of a set and an order: by default all for the sets and orders that matter most, and one
    /// sender without latency for the others.
    fn loads(&self, set: &str, order: Order) -> Vec<Load> {
        let matters =
            ["node", "pods"].contains(&set) && matches!(order, Order::Scrape | Order::Shard(8));
        match &self.loads {
            Some(loads) => loads.clone(),
            None if matters => Load::ALL.to_vec(),
            None => vec![Load::ALL[0]],
        }
    }
}

/// Returns the value of an environment variable.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    let parsed = value.parse();
    Some(parsed.unwrap_or_else(|_| panic!("{name} cannot be {value}")))
}

/// Returns the values of an environment variable that are separated by commas.
fn list<T: FromStr>(name: &str) -> Option<Vec<T>> {
    let values: String = variable(name)?;
    let parsed: Result<_, _> = values.split(',').map(str::parse).collect();
    Some(parsed.unwrap_or_else(|_| panic!("{name} cannot be {values}")))
}

/// Latency of Timestream, and senders at once.
#[derive(Clone, Copy)]
struct Load {
    latency_ms: u64,
    senders: usize,
}

impl Load {
    const ALL: [Self; 6] = [
        Self::new(0, 1),
        Self::new(0, 8),
        Self::new(0, 32),
        Self::new(15, 1),
        Self::new(15, 8),
        Self::new(15, 32),
    ];

    const fn new(latency_ms: u64, senders: usize) -> Self {
        Self {
            latency_ms,
            senders,
        }
    }

    fn name(self) -> String {
        format!("{} ms, {}", self.latency_ms, self.senders)
    }
}

impl FromStr for Load {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (latency_ms, senders) = text.split_once('-').ok_or(())?;
        let latency_ms = latency_ms.parse().map_err(|_| ())?;
        Ok(Self::new(latency_ms, senders.parse().map_err(|_| ())?))
    }
}

/// Prints the figures that criterion has measured in `benches/stages.rs`, if there are any.
fn stages() {
    let mut table = Table::new(&[
        "stage, 2,000 samples, microseconds",
        "synthetic",
        "node exporter",
        "pods",
    ]);
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(target)
        .join("criterion/write");
    for stage in ["decompress", "decode", "convert", "batch", "encode"] {
        let microseconds = ["synthetic", "node exporter", "pods"].map(|set| {
            let file = folder.join(stage).join(set).join("new/estimates.json");
            let text = std::fs::read_to_string(file).ok()?;
            let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
            estimates["median"]["point_estimate"].as_f64()
        });
        let cells =
            microseconds.map(|it| it.map_or("-".to_owned(), |ns| format!("{:.0}", ns / 1_000.0)));
        table.add([stage.to_owned()].into_iter().chain(cells));
    }
    table.print("One core, without I/O (`cargo bench --bench stages`)");
}

/// The cost of the requests of a run.
struct Cost {
    samples: usize,
    duration: Duration,
    cpu: Duration,
    latencies: Vec<Duration>,
    peak_kib: u64,
    units: u64,
    calls: u64,
}

/// The head of a column, the digits after the point, and the figure.
type Column = (&'static str, usize, fn(&Cost) -> f64);

impl Cost {
    const COLUMNS: [Column; 7] = [
        ("calls per 2,000", 1, |it| {
            it.calls as f64 / it.thousands() * 2.0
        }),
        ("units per 1,000", 1, Self::units_per_thousand),
        ("CPU us per 1,000", 0, |it| {
            it.cpu.as_secs_f64() * 1e6 / it.thousands()
        }),
        ("p50 ms", 1, |it| quantile_ms(&it.latencies, 0.5)),
        ("p99 ms", 1, |it| quantile_ms(&it.latencies, 0.99)),
        ("samples/s", 0, |it| {
            it.samples as f64 / it.duration.as_secs_f64()
        }),
        ("peak MiB", 1, |it| it.peak_kib as f64 / 1_024.0),
    ];

    fn thousands(&self) -> f64 {
        self.samples as f64 / 1_000.0
    }

    fn units_per_thousand(&self) -> f64 {
        self.units as f64 / self.thousands()
    }
}

/// The costs of a row: of each binary those of all runs.
struct Row(Vec<Vec<Cost>>);

impl Row {
    /// Runs the binaries in turn, so that a change of the machine's speed concerns all of them.
    async fn measure(
        options: &Options,
        bodies: &Arc<Vec<Bytes>>,
        samples: usize,
        load: Load,
    ) -> Self {
        let mut costs: Vec<_> = options.binaries.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.runs {
            for (binary, costs) in options.binaries.iter().zip(&mut costs) {
                let bench = Bench::start(binary.clone(), null_sink()).await;
                costs.push(measure(bench, options.time_per_run, bodies, samples, load).await);
            }
        }
        Self(costs)
    }

    fn cells(&self) -> impl Iterator<Item = String> {
        Cost::COLUMNS.iter().map(|&(_, digits, figure)| {
            let medians: Vec<f64> = self.0.iter().map(|runs| median(runs, figure)).collect();
            let cells = medians.iter().map(|median| format!("{median:.digits$}"));
            let cell = cells.collect::<Vec<_>>().join(" / ");
            match medians[..] {
                [first, baseline] => format!("{cell} = {:.2}", first / baseline),
                _ => cell,
            }
        })
    }
}

fn median(runs: &[Cost], figure: fn(&Cost) -> f64) -> f64 {
    let mut figures: Vec<f64> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Returns a table whose columns are these and those of a cost.
fn table(first: &[&str]) -> Table {
    let figures = Cost::COLUMNS.map(|(head, ..)| head);
    Table::new(&[first, &figures[..]].concat())
}

async fn speed(options: &Options) {
    let mut table = table(&["samples a request, latency, senders"]);
    for samples in [SAMPLES_PER_SEND, 5 * SAMPLES_PER_SEND] {
        let bodies = bodies([exporters::synthetic(samples)]);
        for load in Load::ALL {
            let row = Row::measure(options, &bodies, samples, load).await;
            let name = format!("{samples}, {}", load.name());
            table.add([name].into_iter().chain(row.cells()));
        }
    }
    table.print("Writes of 9 labels a series");
}

async fn growth(options: &Options) {
    let mut table = table(&["series, a sample each"]);
    for series in [1_000, 10_000, 100_000] {
        let samples = series.min(SAMPLES_PER_SEND);
        let synthetic = exporters::synthetic(series);
        let bodies = bodies(synthetic.chunks(samples).map(<[_]>::to_vec));
        let row = Row::measure(options, &bodies, samples, Load::new(0, 1)).await;
        table.add([series.to_string()].into_iter().chain(row.cells()));
    }
    table.print("Growth, one sender, no latency");
}

async fn orders(options: &Options) {
    let mut table = table(&[
        "set, order, latency, senders",
        "units per 1,000, as the Go connector",
        "ratio",
    ]);
    let sets = exporters::data_sets();
    let sets = selected("SETS", &options.sets, sets.iter(), |set| {
        set.name.to_owned()
    });
    let orders = selected("ORDERS", &options.orders, Order::ALL, |it| it.name());
    for set in sets {
        for &order in &orders {
            let requests = set.requests(order, REQUESTS);
            let units_of_go = units_of_go(&requests.concat()).await;
            let bodies = bodies(requests);
            for load in options.loads(set.name, order) {
                let row = Row::measure(options, &bodies, SAMPLES_PER_SEND, load).await;
                let units = median(&row.0[0], Cost::units_per_thousand);
                let cells = [
                    format!("{}, {}, {}", set.name, order.name(), load.name()),
                    format!("{units_of_go:.1}"),
                    format!("{:.2}", units / units_of_go),
                ];
                table.add(cells.into_iter().chain(row.cells()));
            }
        }
    }
    table.print("Orders, in requests of 2,000 samples");
}

/// Returns those of `all` whose names the variable has; all if it is not set.
fn selected<T>(
    variable: &str,
    names: &Option<Vec<String>>,
    all: impl IntoIterator<Item = T>,
    name_of: fn(&T) -> String,
) -> Vec<T> {
    let mut all: Vec<T> = all.into_iter().collect();
    if let Some(names) = names {
        let known: Vec<String> = all.iter().map(name_of).collect();
        let unknown = names.iter().find(|name| !known.contains(name));
        assert!(
            unknown.is_none(),
            "{variable} names {unknown:?}; known: {known:?}"
        );
        all.retain(|it| names.contains(&name_of(it)));
    }
    all
}

/// Returns the units per 1,000 samples of the Go connector's calls.
async fn units_of_go(series: &[TimeSeries]) -> f64 {
    let emulator = start_emulator(null_sink()).await;
    go_connector::write(&emulator.url(), series).await;
    let units = emulator.counters().write_units;
    emulator.stop().await;
    units as f64 / series.len() as f64 * 1_000.0
}

/// Returns the bodies of these requests.
fn bodies(requests: impl IntoIterator<Item = Vec<TimeSeries>>) -> Arc<Vec<Bytes>> {
    let bodies = requests.into_iter().map(|timeseries| {
        let request = WriteRequest {
            timeseries,
            metadata: Vec::new(),
        };
        prom_wire::encode(&request).expect("it is small").into()
    });
    Arc::new(bodies.collect())
}

fn null_sink() -> Config {
    Config {
        null_sink: true,
        ..Config::default()
    }
}

/// Sends the bodies in turn for a while, each as often as the others.
async fn measure(
    bench: Bench,
    time: Duration,
    bodies: &Arc<Vec<Bytes>>,
    samples: usize,
    load: Load,
) -> Cost {
    if load.latency_ms > 0 {
        let latency = FaultKind::Latency(Duration::from_millis(load.latency_ms));
        bench.emulator.order_fault(Fault {
            when: When::Always,
            ..Fault::next("WriteRecords", 1, latency)
        });
    }
    let url = Arc::new(bench.connector.url.clone());
    // Connections, credentials and allocator are there when the measurement starts.
    for body in bodies.iter().take(3) {
        send(&soak::http::client(), &url, body.clone()).await;
    }
    let before = bench.emulator.counters();
    let cpu_before = bench.connector.cpu_time();
    let start = Instant::now();
    let end = start + time;
    let sent = Arc::new(Mutex::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..load.senders {
        let (bodies, url, sent) = (Arc::clone(bodies), Arc::clone(&url), Arc::clone(&sent));
        let next = move || {
            let mut sent = sent.lock().expect("nothing panics while it holds the lock");
            let body = *sent % bodies.len();
            let goes_on = body > 0 || Instant::now() < end;
            *sent += usize::from(goes_on);
            goes_on.then(|| bodies[body].clone())
        };
        senders.spawn(async move {
            let client = soak::http::client();
            let mut latencies = Vec::new();
            while let Some(body) = next() {
                latencies.push(send(&client, &url, body).await);
            }
            latencies
        });
    }
    let mut latencies = senders.join_all().await.concat();
    let duration = start.elapsed();
    let cpu = bench.connector.cpu_time() - cpu_before;
    latencies.sort_unstable();
    let after = bench.emulator.counters();
    let calls = |counters: &Counters| counters.calls["WriteRecords"];
    let mut connector = bench.connector;
    let cost = Cost {
        samples: latencies.len() * samples,
        duration,
        cpu,
        latencies,
        peak_kib: connector.peak_memory_kib(),
        units: after.write_units - before.write_units,
        calls: calls(&after) - calls(&before),
    };
    bench.emulator.stop().await;
    cost
}

/// Sends a request that must be stored, and returns the time it took.
async fn send(client: &reqwest::Client, url: &str, body: Bytes) -> Duration {
    let start = Instant::now();
    let response = client.post(format!("{url}/write")).body(body).send().await;
    let response = response.expect("the connector responds");
    assert_eq!(response.status().as_u16(), 204);
    start.elapsed()
}
