//! A type of job for tests: it stores nothing and reports what its `config` says.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prom_wire::budget::{MemoryBudget, Reservation};
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bucket::{Cause, LEASE};
use super::client::Client;
use super::definition::{Definition, Kind, Needs};
use super::job::{Job, JobContext, Report, RunError};
use super::registry::{Registry, RegistryError};
use super::runner::{Caller, JobRunner, NotRun, RunOutcome};
use super::scheduler::schedule;
use super::secret::{SecretRef, Secrets};
use crate::compute::ComputePool;
use crate::config::{Invocation, read};
use crate::dead_letter::DeadLetters;
use crate::fields::FieldErrors;
use crate::ingest::Ingester;
use crate::metrics::{Format, Metrics};
use crate::query::Querier;
use crate::state::{Expect, Memory, State};
use crate::timestream::{Timestream, load_sdk_config};

pub(super) const KINDS: &[Kind] = &[Kind {
    name: "echo",
    needs: Needs::Table,
    parse,
}];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    /// Rows that a run reports.
    #[serde(default)]
    rows: u64,
    /// The error of each run.
    fail: Option<String>,
    /// A secret that it needs.
    token_ref: Option<SecretRef>,
    /// The duration of each row, after which the row is the cursor.
    #[serde(default)]
    step_ms: u64,
}

fn parse(config: &Value) -> Result<Box<dyn Job>, FieldErrors> {
    // Types of values that can be secrets are read as `values` reads them; this one has none.
    let echo = match config.is_object() {
        true => Echo::deserialize(config).map_err(|error| error.to_string()),
        false => Err("expected an object".to_owned()),
    };
    let echo = echo.map_err(|text| FieldErrors::one("config", text))?;
    Ok(Box::new(echo))
}

impl Job for Echo {
    fn run<'a>(&'a self, run: &'a JobContext<'a>) -> BoxFuture<'a, Report> {
        async {
            let mut report = Report::default();
            report.error = self.work(run, &mut report.rows).await.err();
            report
        }
        .boxed()
    }
}

impl Echo {
    async fn work(&self, run: &JobContext<'_>, rows: &mut u64) -> Result<(), RunError> {
        if let Some(token) = &self.token_ref {
            run.secrets.resolve("token", token)?;
        }
        assert_ne!(self.fail.as_deref(), Some("panic"), "as ordered");
        let done = run.cursors.get("row").await?;
        let done = done.map_or(0, |text| text.parse().unwrap());
        run.progress.expect(self.rows - done);
        for row in done..self.rows {
            if self.step_ms > 0 {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(self.step_ms)) => {}
                    () = run.stop.cancelled() => return Err(RunError::Interrupted),
                }
                run.cursors.set("row", &(row + 1).to_string()).await?;
            }
            run.progress.advance(1);
            *rows += 1;
        }
        run.cursors.clear().await?;
        self.fail
            .clone()
            .map_or(Ok(()), |text| Err(RunError::Failed(text)))
    }
}

/// Time that stands still with the runtime's, whatever the clock of the machine does.
fn now() -> Timestamp {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    let start = *START;
    let passed = Instant::now().into_std().saturating_duration_since(start);
    Timestamp::from_second(1_700_000_000).unwrap() + passed
}

/// A process that shares `state` with others.
async fn process(state: &State) -> Arc<JobRunner> {
    let arguments = ["bootstrap", "--default-database=d", "--default-table=t"];
    let Ok(Invocation::Serve(config)) = read(arguments, |_| None) else {
        panic!("the configuration is valid");
    };
    let shared = load_sdk_config(&config.timestream).await;
    let timestream = Timestream::new(&config.timestream, &shared);
    Arc::new(JobRunner {
        registry: Arc::new(Registry::new(state.clone(), KINDS, Vec::new())),
        ingester: Ingester::new(
            &config.ingest,
            timestream.clone(),
            DeadLetters::Log,
            ComputePool::default(),
        ),
        querier: Querier::new(&config.query, timestream, ComputePool::default()),
        http: Client::default(),
        secrets: Secrets::new(None, |name| (name == "SET").then(|| "secret".to_owned())),
        metrics: Arc::new(Metrics::new(super::definition::type_names())),
        now,
    })
}

fn echo(name: &str, schedule_ms: Option<u64>, config: Value) -> Vec<u8> {
    let definition = json!({
        "name": name, "type": "echo", "target_database": "d", "target_table": "t",
        "schedule_ms": schedule_ms, "config": config,
    });
    definition.to_string().into_bytes()
}

fn unlimited() -> Reservation {
    MemoryBudget::unlimited().reservation()
}

fn memory() -> State {
    State::Memory(Memory::default())
}

/// Returns the count of `result`.
fn counted(runner: &JobRunner, result: &str) -> u64 {
    let name = format!(r#"_connector_definition_runs_total{{result="{result}",type="echo"}} "#);
    let text = runner.metrics.encode(Format::Prometheus);
    let line = text.lines().find_map(|line| line.split_once(&name));
    line.map_or(0, |(_, count)| count.parse().unwrap())
}

async fn run(runner: &JobRunner, definition: &[u8], cause: Cause) -> RunOutcome {
    let definition = Definition::parse(definition, KINDS).unwrap();
    let stop = CancellationToken::new();
    let caller = Caller {
        deadline: None,
        stop: &stop,
        progress: &(),
    };
    runner.run(&definition, cause, caller).await.0
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_each_bucket_is_run_by_one() {
    let state = memory();
    let (a, b) = (process(&state).await, process(&state).await);
    let definition = echo("x", Some(1_000), json!({"rows": 1}));
    let name = a.registry.create(&definition, &mut unlimited()).await;
    assert_eq!(name.unwrap(), "x");
    let stop = CancellationToken::new();
    let both = tokio::spawn({
        let (a, b, stop) = (Arc::clone(&a), Arc::clone(&b), stop.clone());
        async move { tokio::join!(schedule(a, stop.clone()), schedule(b, stop)) }
    });
    tokio::time::sleep(Duration::from_millis(20_500)).await;
    stop.cancel();
    both.await.unwrap();
    let ran = counted(&a, "complete") + counted(&b, "complete");
    let lost = counted(&a, "claim_lost") + counted(&b, "claim_lost");
    assert!((20..=21).contains(&ran), "{ran}");
    assert_eq!(lost, ran, "each of them tried each bucket");
    assert_eq!(counted(&a, "skipped") + counted(&b, "skipped"), 0);
    let record = a.registry.get("x").await.unwrap().record;
    assert_eq!(record.last_rows_ingested, Some(1));
    assert_eq!(record.last_error, None);
}

#[tokio::test(start_paused = true)]
async fn buckets_that_find_a_run_are_skipped_and_counted() {
    let state = memory();
    let runner = process(&state).await;
    let slow = echo("x", Some(1_000), json!({"rows": 5, "step_ms": 500}));
    runner
        .registry
        .create(&slow, &mut unlimited())
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let scheduler = tokio::spawn(schedule(Arc::clone(&runner), stop.clone()));
    tokio::time::sleep(Duration::from_secs(12)).await;
    stop.cancel();
    scheduler.await.unwrap();
    // A run takes two and a half buckets.
    let (ran, skipped) = (counted(&runner, "complete"), counted(&runner, "skipped"));
    assert!((3..=4).contains(&ran), "{ran}");
    assert!((7..=8).contains(&skipped), "{skipped}");
    let record = runner.registry.get("x").await.unwrap().record;
    assert_eq!(record.skipped, skipped);
}

#[tokio::test(start_paused = true)]
async fn changes_count_at_once_and_pauses_hold() {
    let state = memory();
    let runner = process(&state).await;
    let stop = CancellationToken::new();
    let scheduler = tokio::spawn(schedule(Arc::clone(&runner), stop.clone()));
    let registry = &runner.registry;
    let second = Duration::from_secs(1);
    registry
        .create(
            &echo("x", Some(1_000), json!({"rows": 1})),
            &mut unlimited(),
        )
        .await
        .unwrap();
    tokio::time::sleep(second * 3).await;
    let ran = counted(&runner, "complete");
    assert!((2..=3).contains(&ran), "{ran}");

    registry.pause("x").await.unwrap();
    tokio::time::sleep(second * 5).await;
    assert_eq!(counted(&runner, "complete"), ran);
    assert!(counted(&runner, "paused") >= 4);
    registry.resume("x").await.unwrap();
    tokio::time::sleep(second * 3).await;
    assert!(counted(&runner, "complete") > ran + 1);

    registry
        .patch("x", br#"{"config": {"rows": 7}}"#, &mut unlimited())
        .await
        .unwrap();
    tokio::time::sleep(second * 2).await;
    let record = registry.get("x").await.unwrap().record;
    assert_eq!(record.last_rows_ingested, Some(7));

    registry.delete("x").await.unwrap();
    let ran = counted(&runner, "complete");
    tokio::time::sleep(second * 20).await;
    assert_eq!(counted(&runner, "complete"), ran);
    assert_eq!(registry.list().await.unwrap().len(), 0);
    stop.cancel();
    scheduler.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_long_run_keeps_its_lease_and_a_crashed_one_loses_it() {
    let state = memory();
    let (a, b) = (process(&state).await, process(&state).await);
    // Four leases long.
    let long = echo("x", None, json!({"rows": 240, "step_ms": 1_000}));
    let running = tokio::spawn({
        let (a, long) = (Arc::clone(&a), long.clone());
        async move { run(&a, &long, Cause::Hand).await }
    });
    tokio::time::sleep(LEASE * 3).await;
    assert_eq!(
        run(&b, &long, Cause::Hand).await,
        RunOutcome::NotRun(NotRun::Busy)
    );
    let RunOutcome::Finished(report) = running.await.unwrap() else {
        panic!("it runs");
    };
    assert_eq!((report.rows, report.error), (240, None));

    let crashed = tokio::spawn({
        let (a, long) = (Arc::clone(&a), long.clone());
        async move { run(&a, &long, Cause::Hand).await }
    });
    tokio::time::sleep(Duration::from_millis(100_500)).await;
    crashed.abort();
    assert_eq!(
        run(&b, &long, Cause::Hand).await,
        RunOutcome::NotRun(NotRun::Busy)
    );
    tokio::time::sleep(LEASE).await;
    // It goes on where the other one was.
    let RunOutcome::Finished(report) = run(&b, &long, Cause::Hand).await else {
        panic!("it runs");
    };
    assert_eq!((report.rows, report.error), (140, None));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_lease_another_has_taken_stops() {
    let state = memory();
    let runner = process(&state).await;
    let long = echo("x", Some(60_000), json!({"rows": 1_000, "step_ms": 1_000}));
    runner
        .registry
        .create(&long, &mut unlimited())
        .await
        .unwrap();
    let running = tokio::spawn({
        let (runner, long) = (Arc::clone(&runner), long.clone());
        async move { run(&runner, &long, Cause::Hand).await }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    runner.registry.delete("x").await.unwrap();
    let began = Instant::now();
    let RunOutcome::Finished(report) = running.await.unwrap() else {
        panic!("it runs");
    };
    assert_eq!(report.error, Some(RunError::Interrupted));
    assert!(began.elapsed() <= LEASE, "{:?}", began.elapsed());
    assert_eq!(counted(&runner, "interrupted"), 1);
    // Nothing is left of it but a cursor, which a new one of its name does not see.
    assert!(runner.registry.list().await.unwrap().is_empty());
    runner
        .registry
        .create(&long, &mut unlimited())
        .await
        .unwrap();
    let cursors = state.list("cursors-x").await.unwrap();
    assert!(cursors.is_empty(), "{cursors:?}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_does_not_resolve_disables_until_resumed() {
    let state = memory();
    let runner = process(&state).await;
    let registry = &runner.registry;
    let secret = |name: &str| {
        echo(
            "x",
            Some(1_000),
            json!({"token_ref": format!("$env:{name}")}),
        )
    };
    registry
        .create(&secret("UNSET"), &mut unlimited())
        .await
        .unwrap();
    let reason = "token resolve: the variable UNSET is not set, or empty".to_owned();
    let bucket = |second: i64| Cause::Bucket(Timestamp::from_second(second).unwrap());
    let failed = Report::failed(RunError::Disable(reason.clone()));
    assert_eq!(
        run(&runner, &secret("UNSET"), bucket(1)).await,
        RunOutcome::Finished(failed)
    );
    // Fixed, but not resumed.
    registry
        .patch(
            "x",
            br#"{"config": {"token_ref": "$env:SET"}}"#,
            &mut unlimited(),
        )
        .await
        .unwrap();
    let disabled = RunOutcome::NotRun(NotRun::Disabled(reason.clone()));
    assert_eq!(run(&runner, &secret("SET"), bucket(2)).await, disabled);
    assert_eq!(run(&runner, &secret("SET"), Cause::Hand).await, disabled);
    let record = registry.get("x").await.unwrap().record;
    assert_eq!(record.disabled_reason, Some(reason));
    registry.resume("x").await.unwrap();
    let complete = RunOutcome::Finished(Report::default());
    assert_eq!(run(&runner, &secret("SET"), bucket(3)).await, complete);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_run() {
    let state = memory();
    let runner = process(&state).await;
    let RunOutcome::Finished(report) = run(
        &runner,
        &echo("x", None, json!({"fail": "panic"})),
        Cause::Hand,
    )
    .await
    else {
        panic!("it runs");
    };
    assert!(
        matches!(report.error, Some(RunError::Failed(_))),
        "{report:?}"
    );
    let complete = RunOutcome::Finished(Report::default());
    assert_eq!(
        run(&runner, &echo("x", None, json!({})), Cause::Hand).await,
        complete
    );
}

#[tokio::test]
async fn the_registry_rejects_invalid_changes() {
    let state = memory();
    let given = Definition::parse(&echo("given", None, json!({})), KINDS).unwrap();
    let registry = Registry::new(state.clone(), KINDS, vec![Arc::new(given)]);
    let ok = echo("x", Some(1_000), json!({"rows": 1}));
    let invalid = registry.create(b"{}", &mut unlimited()).await.unwrap_err();
    assert!(matches!(invalid, RegistryError::Invalid(_)), "{invalid}");
    registry.create(&ok, &mut unlimited()).await.unwrap();
    let exists = registry.create(&ok, &mut unlimited()).await.unwrap_err();
    assert_eq!(exists, RegistryError::Exists("x".to_owned()));
    let missing = RegistryError::Missing("y".to_owned());
    assert_eq!(registry.get("y").await.unwrap_err(), missing);
    assert_eq!(registry.delete("y").await.unwrap_err(), missing);
    assert_eq!(registry.pause("y").await.unwrap_err(), missing);
    assert_eq!(
        registry
            .patch("y", b"{}", &mut unlimited())
            .await
            .unwrap_err(),
        missing
    );
    let long = "y".repeat(3_000);
    for name in ["", "a/b", long.as_str()] {
        let missing = RegistryError::Missing(name.to_owned());
        assert_eq!(registry.get(name).await.unwrap_err(), missing);
        assert_eq!(registry.delete(name).await.unwrap_err(), missing);
        assert_eq!(
            registry
                .patch(name, b"{}", &mut unlimited())
                .await
                .unwrap_err(),
            missing
        );
    }
    let of_file = RegistryError::FromFile("given".to_owned());
    assert_eq!(
        registry
            .patch("given", b"{}", &mut unlimited())
            .await
            .unwrap_err(),
        of_file
    );
    assert_eq!(registry.delete("given").await.unwrap_err(), of_file);
    let given = echo("given", None, json!({}));
    let again = registry.create(&given, &mut unlimited()).await;
    assert_eq!(again.unwrap_err(), of_file);
    registry.pause("given").await.unwrap();
    assert!(registry.get("given").await.unwrap().record.paused);
    for (patch, text) in [
        (&b"[]"[..], "expected a JSON merge patch, an object"),
        (br#"{"name": "z"}"#, "name: cannot be changed"),
        (br#"{"schedule_ms": 1}"#, "schedule_ms: expected"),
        (br#"{"config": {"row": 1}}"#, "config: unknown field `row`"),
        (br#"{"target_table": null}"#, "missing field `target_table`"),
        (
            br#"{"config": {"token_ref": "$env:AWS_SECRET_ACCESS_KEY"}}"#,
            "config: $env:AWS_SECRET",
        ),
    ] {
        let error = registry
            .patch("x", patch, &mut unlimited())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(text), "{error}");
    }
    // What is there is as it was.
    let definition = registry.get("x").await.unwrap().definition.unwrap();
    assert_eq!(definition.text().as_bytes(), &*json_of(&ok));
    registry
        .patch("x", br#"{"schedule_ms": null}"#, &mut unlimited())
        .await
        .unwrap();
    let definition = registry.get("x").await.unwrap().definition.unwrap();
    assert_eq!(definition.schedule, None);
}

#[tokio::test]
async fn an_invalid_stored_definition_is_listed_and_can_be_fixed() {
    let state = memory();
    let registry = Registry::new(state.clone(), KINDS, Vec::new());
    let text = r#"{"name":"x","type":"later","target_database":"d","target_table":"t"}"#;
    let put = state
        .put("definitions", "x", text, Expect::Absent, None)
        .await;
    assert!(put.unwrap());
    for entry in [
        registry.get("x").await.unwrap(),
        registry.list().await.unwrap().remove(0),
    ] {
        assert!(entry.definition.is_none());
        let errors = entry.unusable.unwrap().to_string();
        assert!(errors.starts_with("type: expected one of echo"), "{errors}");
    }
    registry
        .patch("x", br#"{"type": "echo"}"#, &mut unlimited())
        .await
        .unwrap();
    assert!(registry.get("x").await.unwrap().definition.is_some());
}

fn json_of(text: &[u8]) -> Vec<u8> {
    let value: Value = serde_json::from_slice(text).unwrap();
    value.to_string().into_bytes()
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_dropped_is_counted_once() {
    let runner = process(&memory()).await;
    let slow = echo("x", None, json!({"rows": 5, "step_ms": 500}));
    let cause = Cause::Event;
    let second = Duration::from_secs(1);
    let dropped = tokio::time::timeout(second, run(&runner, &slow, cause)).await;
    assert!(dropped.is_err());
    assert_eq!(counted(&runner, "aborted"), 1);
    // A run that was begun and then dropped.
    let definition = Arc::new(Definition::parse(&echo("y", None, json!({})), KINDS).unwrap());
    let stop = CancellationToken::new();
    drop(runner.begin(&definition, None, &stop).await.unwrap());
    assert_eq!(counted(&runner, "aborted"), 2);
    let complete = runner.begin(&definition, None, &stop).await;
    assert!(matches!(complete, Err(NotRun::Busy)), "its lease goes on");
    // A type that accepts no rows counts nothing.
    let caller = Caller {
        deadline: None,
        stop: &stop,
        progress: &(),
    };
    let reservation = &mut unlimited();
    let pushed = runner.push_rows(&definition, b"", reservation, caller);
    assert_eq!(pushed.await, Ok(None));
    assert_eq!(counted(&runner, "aborted"), 2);
}

#[tokio::test]
async fn definitions_are_charged_before_they_are_read() {
    let runner = process(&memory()).await;
    let registry = &runner.registry;
    let dense = json!({"x": vec![json!([0]); 20_000]});
    let dense = echo("x", None, dense);
    let budget = MemoryBudget::new(8 << 20);
    let mut reservation = budget.reservation();
    let error = registry.create(&dense, &mut reservation).await.unwrap_err();
    assert!(matches!(error, RegistryError::Memory(_)), "{error}");
    assert!(budget.reserved() < 1 << 20);
    let made = echo("x", None, json!({"rows": 3}));
    registry.create(&made, &mut reservation).await.unwrap();
    let patch = registry.patch("x", &dense, &mut reservation).await;
    assert!(matches!(patch, Err(RegistryError::Memory(_))), "{patch:?}");
    drop(reservation);
    assert_eq!(budget.reserved(), 0);
    // A definition does not grow patch by patch.
    let long = json!({"config": {"fail": "x".repeat(300_000)}}).to_string();
    let patched = registry.patch("x", long.as_bytes(), &mut unlimited()).await;
    let error = patched.unwrap_err().to_string();
    assert!(error.contains("expected at most 262144"), "{error}");
}
