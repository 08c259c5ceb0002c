//! A group of rows against one server: measures them, prints a table, fails with all violations.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use http::StatusCode;
use tempfile::TempDir;
use timestream_emulator::{Config, Emulator, TableSpec};
use tokio::runtime::Runtime;

use crate::bodies::{bytes, double, each, number, put_bytes, snappy};
use crate::client::{get, head, send};
use crate::row::{Outcome, Route, Row, tally};
use crate::server::{Memory, Server, fallen, resident};

/// Requests of a row, at once.
pub(crate) const AT_ONCE: usize = 8;
/// The default of `request_timeout`, and 5 s more.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Memory above that of the idle server: twice the default of `max_in_flight_bytes`.
const MAX_GROWTH_BYTES: u64 = 2 * (128 << 20);
/// Memory above that of the idle server once the requests have ended.
const MAX_STORED_BYTES: u64 = 64 << 20;
/// Time that the memory may take to fall.
const MAX_SETTLING: Duration = Duration::from_secs(10);
/// Time for `/-/healthy` to respond.
const MAX_HEALTHY: Duration = Duration::from_secs(1);
/// Time for an ordinary write to be stored, repetitions after 503 included.
const MAX_WRITE: Duration = Duration::from_secs(3);
/// Time after which an ordinary request is given up; its exact duration would add no information.
const MAX_PROBE: Duration = Duration::from_secs(10);

/// Runs the emulator, the endpoint of the sink and the runtime API.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("the machine has threads")
});

/// Held by the group that measures.
static TURN: Mutex<()> = Mutex::new(());

/// Waits until no other group measures.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    // A group that has failed has ended too.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns false for a row that `HOSTILE_ROWS` does not select.
pub(crate) fn is_selected(name: &str) -> bool {
    std::env::var("HOSTILE_ROWS").map_or(true, |part| name.contains(&part))
}

/// Returns an emulator with the table of the ordinary requests, and one for rows that invent label
/// names: a table has at most 128 of them.
pub(crate) fn emulator() -> Emulator {
    let table = |name| TableSpec {
        magnetic_writes: true,
        ..TableSpec::new("db", name)
    };
    let config = Config {
        tables: vec![table("t"), table("wide")],
        ..Config::default()
    };
    let started = RUNTIME.block_on(Emulator::start(config));
    started.expect("the emulator starts")
}

/// Returns the body of a write request of 100 samples, as of a scrape of now.
pub(crate) fn ordinary_write() -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("the clock is right").as_millis() as u64;
    let sample = bytes(2, [double(1, 1.0), number(2, now)].concat());
    let label = |name: &str, value: &str| bytes(1, [bytes(1, name), bytes(2, value)].concat());
    let message = each(100, |out, i| {
        let labels = [
            label("__name__", "ordinary"),
            label("i", &i.to_string()),
            label("instance", "a:9100"),
            label("job", "node"),
        ];
        put_bytes(out, 1, &[labels.concat(), sample.clone()].concat());
    });
    snappy(&message)
}

/// A server, and the numbers of the rows that it was sent.
pub(crate) struct Group {
    name: &'static str,
    pub(crate) server: Server,
    /// Bytes that are resident while nothing is in flight.
    idle: u64,
    /// The endpoint of the sink of `/v1/connectors/sink`.
    pub(crate) endpoint: String,
    state: TempDir,
    emulator: Emulator,
    table: Table,
    _turn: MutexGuard<'static, ()>,
}

/// The numbers of one row.
struct Numbers {
    outcomes: Vec<Outcome>,
    healthy: Duration,
    write: Duration,
    busy: usize,
    peak: u64,
    after: u64,
    took: Duration,
}

/// The numbers of all rows as text, and all violations.
pub(crate) struct Table {
    pub(crate) lines: Vec<String>,
    pub(crate) violations: Vec<String>,
}

impl Group {
    pub(crate) fn start(name: &'static str) -> Self {
        let turn = turn();
        let state = tempfile::tempdir().expect("there is room for a folder");
        let emulator = emulator();
        let server = Server::start(&emulator.url(), state.path());
        let mut group = Self {
            name,
            server,
            idle: 0,
            endpoint: endpoint(),
            state,
            emulator,
            table: Table::new(&format!(
                "{:<44} {:>9} {:>9} {:<16} {:>7} {:>7} {:>5} {:>9} {:>9} {:>6}",
                "row",
                "sent KB",
                "holds KB",
                "responses",
                "healthy",
                "write",
                "busy",
                "peak +MiB",
                "after +MiB",
                "s"
            )),
            _turn: turn,
        };
        group.warm_up();
        group
    }

    /// Sends ordinary requests, and measures the memory of the server after them.
    fn warm_up(&mut self) {
        let body = ordinary_write();
        for _ in 0..5 {
            let outcome = self.post(Route::Write1, &body);
            assert_eq!(outcome, Outcome::Status(204), "{}", self.server.log());
        }
        self.idle = resident(self.server.process.id());
    }

    /// Sends a request that has nothing beside it.
    pub(crate) fn post(&self, route: Route, body: &[u8]) -> Outcome {
        send(self.server.address, &head(route, body.len()), body, LIMIT)
    }

    pub(crate) fn measure(&mut self, rows: &[Row]) {
        for row in rows.iter().filter(|row| is_selected(row.name)) {
            let (body, len) = row.body();
            let (head, body) = match row.route {
                Route::Get(_) => (get(row.route, &body), Vec::new()),
                _ => (head(row.route, body.len()), body),
            };
            let address = self.server.address;
            let request = || send(address, &head, &body, LIMIT);
            self.measure_row(
                row.name,
                (head.len() + body.len(), len),
                &request,
                |outcomes| row.expected.violation(outcomes),
            );
        }
    }

    /// Makes `AT_ONCE` requests at once, and ordinary ones beside them.
    pub(crate) fn measure_row(
        &mut self,
        name: &str,
        (sent, holds): (usize, usize),
        request: &(dyn Fn() -> Outcome + Sync),
        statuses: impl Fn(&[Outcome]) -> Option<String>,
    ) {
        let pid = self.server.process.id();
        let began = Instant::now();
        let memory = Memory::watch(pid);
        let (outcomes, healthy, (longest, busy)) = beside(self.server.address, request);
        let hangs = outcomes.contains(&Outcome::Late) || outcomes.contains(&Outcome::Broken);
        let settling = if hangs { Duration::ZERO } else { MAX_SETTLING };
        let address = self.server.address;
        let mut retried = 0;
        let ordinary = || write(address, &mut retried);
        let after = fallen(pid, self.idle + MAX_STORED_BYTES, settling, ordinary);
        let numbers = Numbers {
            outcomes,
            healthy,
            write: longest,
            busy,
            peak: memory.peak().saturating_sub(self.idle),
            after: after.saturating_sub(self.idle),
            took: began.elapsed(),
        };
        let mut violations = numbers.violations();
        violations.extend(statuses(&numbers.outcomes));
        if !self.server.is_running() {
            violations.push(format!("the server has ended: {}", self.server.log()));
        }
        self.table.add(&format!(
            "{name:<44} {:>9} {:>9} {numbers}",
            sent / 1000,
            holds / 1000
        ));
        if violations.is_empty() {
            return;
        }
        self.table.violate(name, &violations);
        // The rows that follow are not to suffer from this one.
        self.server = Server::start(&self.emulator.url(), self.state.path());
        self.warm_up();
    }

    /// Fails if there was any violation.
    pub(crate) fn finish(self) {
        self.table.finish(self.name);
    }
}

/// Makes the requests with ordinary ones beside them. Returns the ends of the former, the longest time
/// of `/-/healthy`, and the longest time of a write with the number of its responses 503.
fn beside(
    address: SocketAddr,
    request: &(dyn Fn() -> Outcome + Sync),
) -> (Vec<Outcome>, Duration, (Duration, usize)) {
    let done = AtomicBool::new(false);
    let start = Barrier::new(AT_ONCE + 2);
    thread::scope(|scope| {
        let healthy = scope.spawn(|| {
            start.wait();
            longest(&done, || healthy(address))
        });
        let write = scope.spawn(|| {
            let mut busy = 0;
            start.wait();
            let longest = longest(&done, || write(address, &mut busy));
            (longest, busy)
        });
        let requests: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    request()
                })
            })
            .collect();
        let outcomes = requests.into_iter().map(|it| it.join().expect(NO_PANIC));
        let outcomes = outcomes.collect();
        done.store(true, Ordering::Relaxed);
        let healthy = healthy.join().expect(NO_PANIC);
        (outcomes, healthy, write.join().expect(NO_PANIC))
    })
}

const NO_PANIC: &str = "a request ends as an outcome";

/// Returns the longest time of `probe`, which is repeated until the hostile requests are done, or until
/// it has taken [`MAX_PROBE`].
fn longest(done: &AtomicBool, mut probe: impl FnMut()) -> Duration {
    let mut longest = Duration::ZERO;
    loop {
        let is_last = done.load(Ordering::Relaxed);
        let began = Instant::now();
        probe();
        longest = longest.max(began.elapsed());
        if is_last || longest >= MAX_PROBE {
            return longest;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Requests the health until the server responds.
fn healthy(address: SocketAddr) {
    let head = b"GET /-/healthy HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    repeat(|left| send(address, head, b"", left) == Outcome::Status(200));
}

/// Sends an ordinary write until it is stored, as Prometheus does.
fn write(address: SocketAddr, busy: &mut usize) {
    let body = ordinary_write();
    let head = head(Route::Write1, body.len());
    repeat(|left| match send(address, &head, &body, left) {
        Outcome::Status(204) => true,
        outcome => {
            *busy += usize::from(outcome == Outcome::Status(503));
            false
        }
    });
}

fn repeat(mut is_done: impl FnMut(Duration) -> bool) {
    let deadline = Instant::now() + MAX_PROBE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || is_done(left) {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

impl Numbers {
    fn violations(&self) -> Vec<String> {
        let mib = |bytes: u64| bytes >> 20;
        let checks = [
            (
                self.healthy > MAX_HEALTHY,
                format!("/-/healthy took {:.1?}", self.healthy),
            ),
            (
                self.write > MAX_WRITE,
                format!("an ordinary write took {:.1?}", self.write),
            ),
            (
                self.peak > MAX_GROWTH_BYTES,
                format!("memory grew by {} MiB", mib(self.peak)),
            ),
            (
                self.after > MAX_STORED_BYTES,
                format!("{} MiB of memory were not given back", mib(self.after)),
            ),
        ];
        let violated = checks.into_iter().filter(|(is_violated, _)| *is_violated);
        violated.map(|(_, text)| text).collect()
    }
}

impl std::fmt::Display for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:<16} {:>7} {:>7} {:>5} {:>9} {:>10} {:>6.1}",
            tally(&self.outcomes),
            self.healthy.as_millis(),
            self.write.as_millis(),
            self.busy,
            self.peak >> 20,
            self.after >> 20,
            self.took.as_secs_f64()
        )
    }
}

impl Table {
    pub(crate) fn new(head: &str) -> Self {
        eprintln!("{head}");
        Self {
            lines: vec![head.to_owned()],
            violations: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, line: &str) {
        eprintln!("{line}");
        self.lines.push(line.to_owned());
    }

    pub(crate) fn violate(&mut self, name: &str, violations: &[String]) {
        let all = violations.join("; ");
        self.violations.push(format!("{name}: {all}"));
    }

    /// Fails with the whole table if there was any violation.
    pub(crate) fn finish(self, group: &str) {
        assert!(
            self.violations.is_empty(),
            "{group}:\n{}\n\n{} rows violate the bounds:\n{}\n",
            self.lines.join("\n"),
            self.violations.len(),
            self.violations.join("\n")
        );
    }
}

/// Starts a receiver of remote write that accepts everything, and returns its URL.
fn endpoint() -> String {
    let accept = || async { StatusCode::NO_CONTENT };
    let router = Router::new()
        .route("/write", post(accept))
        .layer(DefaultBodyLimit::disable());
    let listener = RUNTIME.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    RUNTIME.spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/write")
}
