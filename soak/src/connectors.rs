//! Scrapes, syncs and a sink together, under faults, and every sample compared.
//!
//! ```text
//! targets --scraped by-- Prometheus --proxy-- sync, raw ----> db/raw --sink-- proxy --> Prometheus
//!                                   \-proxy-- sync, steps --> db/steps
//! ticks   --scraped by the connector------------------------> db/ticks
//! ```

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::programs::{Emulator, POLL, Program, get, start_connector};
use crate::prometheus::Prometheus;
use crate::proxy::{Order, Proxy, Spoil};
use crate::samples::{Difference, Samples, compare};
use crate::setup::{MAX_ABSENCE, Setup};
use crate::targets::Targets;
use crate::ticks::{Scrapes, Ticks};

/// Tables, in the order in which they are compared.
const TABLES: [&str; 3] = ["db/raw", "db/steps", "db/ticks"];
/// Seconds between two points of the sync in steps.
const STEP_S: i64 = 2;

/// The plan of a run.
pub struct Plan<'a> {
    /// Programs, targets and times.
    pub setup: Setup<'a>,
    /// The lateness of the syncs.
    pub sync_lateness: Duration,
    /// The lateness of the sink: more than a sync may be behind after an outage, the lease of a run that
    /// was killed included.
    pub sink_lateness: Duration,
    /// The failures, one phase after the other.
    pub phases: &'a [Phase],
}

/// A part of a run.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    /// A name for the reader.
    pub name: &'static str,
    /// Faults of Timestream, as the JSON of the emulator's admin path.
    pub timestream: &'static [&'static str],
    /// Spoiled requests to the server that is read.
    pub source: &'static [Order],
    /// Spoiled requests to the target.
    pub target: &'static [Order],
    /// The program that is killed at its start, and started again while it lasts.
    pub killed: Option<Killed>,
}

/// A program that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    /// The server that is read.
    Source,
    /// The one that the sink sends to.
    Receiver,
    /// Timestream.
    Emulator,
    /// The connector.
    Connector,
}

const QUIET: Phase = Phase {
    name: "no fault",
    timestream: &[],
    source: &[],
    target: &[],
    killed: None,
};

const fn order(path: &'static str, rate: f64, kind: Spoil) -> Order {
    Order {
        path,
        about: "",
        rate,
        kind,
    }
}

const fn of(about: &'static str, status: u16, body: &'static str) -> Order {
    Order {
        path: "api/v1",
        about,
        rate: 1.0,
        kind: Spoil::Status(status, body),
    }
}

const REJECTED: &str =
    r#"{"status":"error","errorType":"execution","error":"this metric is rejected"}"#;

/// Spoiled requests to the receiver, all the time: the sink is so far behind that it would miss a phase.
const TO_RECEIVER: &[Order] = &[
    order("write", 0.1, Spoil::Status(408, "")),
    order("write", 0.05, Spoil::Status(425, "")),
    order("write", 0.05, Spoil::Status(499, "")),
    order("write", 0.05, Spoil::Status(429, "")),
    order("write", 0.1, Spoil::Status(503, "")),
    order("write", 0.1, Spoil::StatusAfter(503)),
    order("write", 0.05, Spoil::StatusAfter(408)),
    order("write", 0.05, Spoil::Cut),
];

/// All of them can be overcome by a later try, so nothing may be lost.
pub const PHASES: [Phase; 12] = [
    QUIET,
    Phase {
        name: "the source is busy",
        source: &[
            order("api/v1", 0.2, Spoil::Status(503, "busy")),
            order("api/v1", 0.1, Spoil::Status(429, "busy")),
            order("api/v1", 0.1, Spoil::Status(500, "")),
        ],
        ..QUIET
    },
    Phase {
        name: "one metric is rejected, with 422 to all of its queries",
        source: &[of("temperature_celsius", 422, REJECTED)],
        target: &[order("metrics", 0.5, Spoil::Status(500, "no"))],
        ..QUIET
    },
    Phase {
        name: "lists and results are partial",
        source: &[
            order("query_range", 0.3, Spoil::Partial),
            order("query_range", 0.3, Spoil::Warned),
            order("__name__/values", 0.5, Spoil::Warned),
        ],
        target: &[order("metrics", 0.3, Spoil::Cut)],
        ..QUIET
    },
    Phase {
        name: "the connector is killed",
        killed: Some(Killed::Connector),
        ..QUIET
    },
    Phase {
        name: "a gateway gives up long queries, and cuts bodies",
        source: &[
            order("query_range", 1.0, Spoil::TooLong(3)),
            order("api/v1", 0.2, Spoil::Cut),
        ],
        ..QUIET
    },
    Phase {
        name: "the source is killed",
        killed: Some(Killed::Source),
        ..QUIET
    },
    Phase {
        name: "the receiver is killed",
        killed: Some(Killed::Receiver),
        ..QUIET
    },
    Phase {
        name: "the target is not found at times",
        target: &[order("metrics", 0.3, Spoil::Status(404, ""))],
        ..QUIET
    },
    Phase {
        name: "Timestream throttles, fails and cuts connections",
        timestream: &[
            r#"{"operation":"WriteRecords","kind":"throttle","when":{"rate":0.3}}"#,
            r#"{"operation":"WriteRecords","kind":"internal_server","when":{"rate":0.2}}"#,
            r#"{"operation":"WriteRecords","kind":"cut_after","when":{"rate":0.2}}"#,
            r#"{"operation":"Query","kind":"throttle","when":{"rate":0.3}}"#,
        ],
        ..QUIET
    },
    Phase {
        name: "Timestream is killed",
        killed: Some(Killed::Emulator),
        ..QUIET
    },
    Phase {
        name: "no fault again",
        ..QUIET
    },
];

/// The outcome of a run.
#[derive(Debug)]
pub struct Summary {
    /// Samples that the source holds.
    pub held: usize,
    /// Points of range queries over its contents.
    pub steps: usize,
    /// Differences of the raw sync, the sync in steps and the receiver.
    pub differences: [Difference; 3],
    /// The connector's own scrapes.
    pub scrapes: Scrapes,
    /// The state of a job that did not complete in the end.
    pub unfinished: Option<String>,
    /// Requests spoiled on the way to the source, the receiver and the target.
    pub spoiled: [u64; 3],
    /// Faults that Timestream carried out.
    pub faults: u64,
    /// Kills of the source, the receiver, Timestream and the connector.
    pub kills: [u32; 4],
    /// The most memory that the connector has had, in KiB.
    pub peak_memory_kib: u64,
}

impl Summary {
    /// Returns true if everything is there once, and nothing else.
    pub fn is_success(&self) -> bool {
        self.held > 0
            && self.steps > 0
            && self.scrapes.whole > 0
            && self.scrapes.wrong.is_empty()
            && self.unfinished.is_none()
            && self.differences.iter().all(Difference::is_none)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [source, receiver, target] = self.spoiled;
        writeln!(f, "samples held         {}", self.held)?;
        writeln!(f, "points in steps      {}", self.steps)?;
        let names = ["raw sync", "sync in steps", "sink"];
        for (name, difference) in names.iter().zip(&self.differences) {
            let (missing, different) = (difference.missing, difference.different);
            let invented = difference.invented;
            writeln!(
                f,
                "{name:<20} missing {missing}, different {different}, never held {invented}"
            )?;
            for example in &difference.examples {
                writeln!(f, "  {example}")?;
            }
        }
        let Scrapes { whole, down, wrong } = &self.scrapes;
        writeln!(
            f,
            "scrapes              whole {whole}, down {down}, wrong {}",
            wrong.len()
        )?;
        for example in wrong.iter().take(5) {
            writeln!(f, "  {example}")?;
        }
        if let Some(text) = &self.unfinished {
            writeln!(f, "not completed        {text}")?;
        }
        writeln!(
            f,
            "spoiled requests     source {source}, receiver {receiver}, target {target}"
        )?;
        writeln!(f, "faults of Timestream {}", self.faults)?;
        let [source, receiver, emulator, connector] = self.kills;
        writeln!(
            f,
            "killed               source {source}, receiver {receiver}, Timestream {emulator}, connector {connector} times"
        )?;
        write!(
            f,
            "connector's memory   {} MiB at most",
            self.peak_memory_kib.div_ceil(1024)
        )
    }
}

/// The programs of a run.
struct Stage {
    source: Prometheus,
    receiver: Prometheus,
    emulator: Emulator,
    connector: Program,
    to_source: Proxy,
    to_receiver: Proxy,
    to_target: Proxy,
}

/// Carries out the plan.
pub async fn run(plan: &Plan<'_>) -> Summary {
    let start_s = now_ms() / 1_000;
    let targets = Targets::start(plan.setup.targets).await;
    let ticks = Ticks::start().await;
    let mut stage = Stage::start(plan, &targets, &ticks).await;
    for phase in plan.phases {
        (plan.setup.report)(phase.name);
        targets.replace(plan.setup.replaced);
        stage.play(phase, plan.setup.phase).await;
    }
    (plan.setup.report)("draining");
    targets.clear();
    let quiet = stage
        .source
        .drained(std::time::Instant::now() + plan.setup.drain_timeout)
        .await;
    quiet.expect("a Prometheus without targets appends nothing");
    let (steps_end_ms, unfinished) = match stage.complete(plan).await {
        Ok(end_ms) => (end_ms, None),
        Err(state) => (now_ms(), Some(state)),
    };
    (plan.setup.report)("comparing");
    let end_s = now_ms() / 1_000;
    let age = Duration::from_secs((end_s - start_s + 60).unsigned_abs());
    let held = stage.source.samples(age).await;
    let received = stage.receiver.samples(age).await;
    let faults = stage.emulator.faults().await;
    let kills = [
        stage.source.program().kills(),
        stage.receiver.program().kills(),
        stage.emulator.program.kills(),
        stage.connector.kills(),
    ];
    let proxies = [&stage.to_source, &stage.to_receiver, &stage.to_target];
    let spoiled = proxies.map(Proxy::spoiled);
    let peak_memory_kib = stage.connector.peak_memory_kib();
    let points = stage.emulator.into_points(&TABLES).await;
    let points: Vec<_> = points.into_iter().map(Samples::of_points).collect();
    let [raw, mut steps, scraped] = points.try_into().expect("as many as there are tables");
    // A later run, which the end of the programs cut off, has stored the next points of some metrics only.
    steps.end_at(steps_end_ms);
    let steps_range_s = (start_s, steps_end_ms.div_euclid(1_000));
    let in_steps = stage.source.steps(steps_range_s, STEP_S).await;
    Summary {
        held: held.count(),
        steps: in_steps.count(),
        differences: [
            compare(&held, &raw),
            compare(&in_steps, &steps),
            compare(&held, &received),
        ],
        scrapes: ticks.scrapes(&scraped),
        unfinished,
        spoiled,
        faults,
        kills,
        peak_memory_kib,
    }
}

impl Stage {
    async fn start(plan: &Plan<'_>, targets: &Targets, ticks: &Ticks) -> Self {
        let config = scraping(targets, plan.setup.scrape_interval);
        let source = Prometheus::configured(
            "source",
            &plan.setup.prometheus,
            plan.setup.folder,
            &config,
            &[],
        );
        let source = source.await;
        let receiver = Prometheus::configured(
            "receiver",
            &plan.setup.prometheus,
            plan.setup.folder,
            "storage: { tsdb: { out_of_order_time_window: 6h } }\n",
            &["--web.enable-remote-write-receiver"],
        );
        let receiver = receiver.await;
        let tables = TABLES.map(|table| format!("--table={table},magnetic_writes=true"));
        let tables = tables.each_ref().map(String::as_str);
        let emulator = Emulator::start(plan.setup.emulator, plan.setup.folder, &tables).await;
        let to_source = Proxy::start(source.url()).await;
        let to_receiver = Proxy::start(receiver.url()).await;
        to_receiver.order(TO_RECEIVER);
        let to_target = Proxy::start(&ticks.url).await;
        let definitions = definitions(plan, &to_source, &to_receiver, &to_target);
        let file = plan.setup.folder.join("connectors.json");
        std::fs::write(&file, definitions.to_string()).expect("the folder can be written to");
        let flags = [
            "--default-database=db".to_owned(),
            "--default-table=raw".to_owned(),
            "--store-special-values=true".to_owned(),
            "--max-write-retries=3".to_owned(),
            format!("--connectors.file={}", file.display()),
            format!(
                "--state-store=file:{}",
                plan.setup.folder.join("state").display()
            ),
        ];
        let flags = flags.each_ref().map(String::as_str);
        let connector =
            start_connector(plan.setup.connector, plan.setup.folder, &emulator, &flags).await;
        Self {
            source,
            receiver,
            emulator,
            connector,
            to_source,
            to_receiver,
            to_target,
        }
    }

    /// Orders the faults of the phase, and cancels them at its end.
    async fn play(&mut self, phase: &Phase, duration: Duration) {
        let end = Instant::now() + duration;
        self.to_source.order(phase.source);
        self.to_target.order(phase.target);
        for order in phase.timestream {
            self.emulator.order(order).await;
        }
        let absence = MAX_ABSENCE.min(duration / 2);
        if let Some(killed) = phase.killed {
            match killed {
                Killed::Emulator => self.emulator.kill().await,
                other => self.program(other).kill().await,
            }
            sleep(absence).await;
            self.program(killed).start_again().await;
        }
        sleep_until(end).await;
        for killed in [
            Killed::Source,
            Killed::Receiver,
            Killed::Emulator,
            Killed::Connector,
        ] {
            self.program(killed).assert_running();
        }
        self.to_source.order(&[]);
        self.to_target.order(&[]);
        self.emulator.withdraw_orders().await;
    }

    fn program(&mut self, killed: Killed) -> &mut Program {
        match killed {
            Killed::Source => self.source.program(),
            Killed::Receiver => self.receiver.program(),
            Killed::Emulator => &mut self.emulator.program,
            Killed::Connector => &mut self.connector,
        }
    }

    /// Waits until each job has completed a run that has seen all there is. Returns the time up to which the sync
    /// in steps has stored each metric.
    async fn complete(&mut self, plan: &Plan<'_>) -> Result<i64, String> {
        let deadline =
            Instant::now() + plan.setup.drain_timeout + plan.sync_lateness + plan.sink_lateness;
        let after = now_ms() + ms(plan.sync_lateness) + 1_000 * STEP_S;
        self.until_complete("raw", after, deadline).await?;
        let began_ms = self.until_complete("steps", after, deadline).await?;
        let after = now_ms() + ms(plan.sink_lateness);
        self.until_complete("sink", after, deadline).await?;
        Ok(began_ms - ms(plan.sync_lateness))
    }

    /// Waits for a run of a definition that began after a time and succeeded, and returns when it began.
    async fn until_complete(
        &mut self,
        name: &str,
        after_ms: i64,
        deadline: Instant,
    ) -> Result<i64, String> {
        loop {
            self.connector.assert_running();
            let url = format!("{}/v1/connectors/{name}", self.connector.url);
            let shown: Value = serde_json::from_str(&get(&url).await).expect("a JSON object");
            let time = |key: &str| {
                let time = shown[key].as_str()?.parse::<jiff::Timestamp>().ok()?;
                Some(time.as_millisecond())
            };
            let (began, ended) = (time("last_run_at"), time("last_success_at"));
            if let Some(began_ms) = began.filter(|began_ms| *began_ms > after_ms)
                && ended >= began
                && shown["last_error"].is_null()
            {
                return Ok(began_ms);
            }
            if Instant::now() > deadline {
                return Err(shown.to_string());
            }
            sleep(POLL * 10).await;
        }
    }
}

fn scraping(targets: &Targets, interval: Duration) -> String {
    format!(
        "global: {{ scrape_interval: {interval}ms, scrape_timeout: {interval}ms }}\n\
         scrape_configs:\n\
         - job_name: synthetic\n\
         \x20 http_sd_configs: [{{ url: '{}/sd', refresh_interval: 1s }}]\n",
        targets.url,
        interval = interval.as_millis(),
    )
}

fn definitions(
    plan: &Plan<'_>,
    to_source: &Proxy,
    to_receiver: &Proxy,
    to_target: &Proxy,
) -> Value {
    let sync = |name: &str, more: Value| {
        let mut config = json!({
            "prometheus_url": to_source.url,
            "lookback_hours": 1,
            "lateness_ms": ms(plan.sync_lateness),
        });
        let config_of = config.as_object_mut().expect("it is an object");
        config_of.extend(more.as_object().expect("it is an object").clone());
        json!({
            "name": name, "type": "prometheus_api", "target_database": "db", "target_table": name,
            "schedule_ms": 1_000, "config": config,
        })
    };
    json!([
        sync("raw", json!({"raw": true})),
        sync("steps", json!({"step": STEP_S})),
        {
            "name": "sink", "type": "prometheus_sink", "schedule_ms": 1_000,
            "config": {
                "url": format!("{}/api/v1/write", to_receiver.url),
                "lateness_ms": ms(plan.sink_lateness),
                "retry_backoff_max_ms": 500,
                "source": {"database": "db", "table": "raw"},
            },
        },
        {
            "name": "ticks", "type": "prometheus", "target_database": "db", "target_table": "ticks",
            "schedule_ms": 500,
            "config": {"endpoint": format!("{}/metrics", to_target.url), "timeout_ms": 400},
        },
    ])
}

fn ms(duration: Duration) -> i64 {
    duration
        .as_millis()
        .try_into()
        .expect("some minutes at most")
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    ms(since.expect("it is after 1970"))
}
