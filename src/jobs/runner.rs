//! One run of a definition: claim, lease, work, what is left of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bucket::{Cause, Claim, LEASE, RENEWAL, Record};
use super::client::Client;
use super::definition::Definition;
use super::job::{Cursors, JobContext, Progress, Report, RunError, Tally};
use super::registry::{Registry, RegistryError, cursors_of};
use super::secret::Secrets;
use crate::budget::{BudgetExceeded, Reservation};
use crate::dead_letter::Letter;
use crate::ingest::{Ingester, Replayed};
use crate::metrics::emf::Numbers;
use crate::metrics::{Metrics, RunCount, RunResult};
use crate::query::Querier;
use crate::state::StateError;
use crate::state::{Expect, State};

/// What all runs of a process share.
#[derive(Debug)]
pub struct JobRunner {
    /// Where claims, leases and cursors are.
    pub registry: Arc<Registry>,
    /// By which rows are written.
    pub ingester: Ingester,
    /// By which stored samples are read.
    pub querier: Querier,
    /// Outgoing HTTP.
    pub http: Client,
    /// Resolves references to secrets.
    pub secrets: Secrets,
    /// Where runs are counted.
    pub metrics: Arc<Metrics>,
    /// The time of day.
    pub now: fn() -> Timestamp,
}

/// Whom a run is for, and until when.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// When all has to be over; `None` where nobody waits.
    pub deadline: Option<Instant>,
    /// Whether to end early.
    pub stop: &'a CancellationToken,
    /// Who is told how far the run is.
    pub progress: &'a dyn Progress,
}

/// What became of the attempt to run a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// It ran.
    Finished(Report),
    /// Somebody else has claimed the bucket.
    ClaimLost,
    /// A run is still going on.
    Busy,
    /// It is paused.
    Paused,
    /// It is disabled, for this reason.
    Disabled(String),
    /// Nobody knows whether it may run.
    StateFailed(StateError),
    /// There is no memory for the rows that are handed over.
    NoMemory(BudgetExceeded),
}

impl RunOutcome {
    /// Returns the value of the label `result` of metrics.
    pub fn result(&self) -> RunResult {
        match self {
            Self::Finished(Report { error: None, .. }) => RunResult::Complete,
            Self::Finished(Report {
                error: Some(RunError::Interrupted),
                ..
            }) => RunResult::Interrupted,
            Self::Finished(_) => RunResult::Failed,
            Self::ClaimLost => RunResult::ClaimLost,
            Self::Busy => RunResult::Skipped,
            Self::Paused => RunResult::Paused,
            Self::Disabled(_) => RunResult::Disabled,
            Self::StateFailed(_) => RunResult::StateError,
            Self::NoMemory(_) => RunResult::NoMemory,
        }
    }
}

impl JobRunner {
    /// Runs `definition` because of `cause`, unless it is somebody else's turn. Also returns the
    /// numbers that were added to the metrics.
    pub async fn run(
        &self,
        definition: &Definition,
        cause: Cause,
        caller: Caller<'_>,
    ) -> (RunOutcome, Numbers) {
        let holder = format!("{:016x}", fastrand::u64(..));
        let attempt = self.attempt(definition, cause);
        let outcome = match self.claim(definition, cause, &holder).await {
            Ok(()) => {
                let tally = &attempt.tally;
                self.held(definition, cause, &holder, caller, tally).await
            }
            Err(outcome) => outcome,
        };
        let numbers = attempt.close(&outcome);
        (outcome, numbers)
    }

    /// Begins a run that somebody waits for no longer than for its begin; `Err` says why there is
    /// none.
    ///
    /// # Errors
    /// It may not run now.
    pub async fn begin(
        self: &Arc<Self>,
        definition: &Arc<Definition>,
        deadline: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<BoxFuture<'static, (RunOutcome, Numbers)>, RunOutcome> {
        let holder = format!("{:016x}", fastrand::u64(..));
        self.claim(definition, Cause::Hand, &holder).await?;
        let attempt = self.attempt(definition, Cause::Hand);
        let (runner, definition) = (Arc::clone(self), Arc::clone(definition));
        let stop = stop.clone();
        Ok(async move {
            let caller = Caller {
                deadline,
                stop: &stop,
                progress: &(),
            };
            let tally = &attempt.tally;
            let held = runner.held(&definition, Cause::Hand, &holder, caller, tally);
            let outcome = held.await;
            let numbers = attempt.close(&outcome);
            (outcome, numbers)
        }
        .boxed())
    }

    /// Hands rows to a definition, if its type takes some. This is no run: it needs no lease, and those of
    /// several callers are delivered at the same time. While they are, `reservation`, which has the rows
    /// already, also has what the delivery occupies.
    ///
    /// # Errors
    /// It is paused or disabled, nobody knows, or there is no memory.
    pub async fn push_rows(
        &self,
        definition: &Definition,
        rows: &[u8],
        reservation: &mut Reservation,
        caller: Caller<'_>,
    ) -> Result<Option<(Report, Numbers)>, RunOutcome> {
        let name = &definition.name;
        let record = match self.registry.get(name).await {
            Ok(entry) => entry.record,
            // A definition that an event brought is not kept.
            Err(RegistryError::State(error)) => return Err(RunOutcome::StateFailed(error)),
            Err(_) => Record::default(),
        };
        if record.paused {
            return Err(RunOutcome::Paused);
        }
        if let Some(reason) = record.disabled_reason {
            return Err(RunOutcome::Disabled(reason));
        }
        let memory = definition.job.rows_memory(rows.len());
        reservation.grow(memory).map_err(RunOutcome::NoMemory)?;
        let attempt = self.attempt(definition, Cause::Hand);
        let cursors = self.cursors(definition);
        let run = self.work(definition, (self.now)(), caller, &cursors, &attempt.tally);
        let Some(taking) = definition.job.push_rows(&run, rows) else {
            attempt.forget();
            return Ok(None);
        };
        let outcome = RunOutcome::Finished(taking.await);
        reservation.shrink(memory);
        let numbers = attempt.close(&outcome);
        let RunOutcome::Finished(report) = outcome else {
            unreachable!("it was made as one");
        };
        Ok(Some((report, numbers)))
    }

    /// Sends dead letters of a definition again, if its type does so. This is no run: it needs no lease,
    /// and stores no letters.
    pub async fn resend(
        &self,
        definition: &Definition,
        letters: &[Letter],
        deadline: Option<Instant>,
        stop: &CancellationToken,
    ) -> Option<Replayed> {
        let cursors = self.cursors(definition);
        let caller = Caller {
            deadline,
            stop,
            progress: &(),
        };
        let tally = Tally::default();
        let run = self.work(definition, (self.now)(), caller, &cursors, &tally);
        Some(definition.job.resend(&run, letters)?.await)
    }

    /// Returns the texts that a definition has saved.
    fn cursors(&self, definition: &Definition) -> Saved<'_> {
        Saved {
            state: self.registry.state(),
            collection: cursors_of(&definition.name),
        }
    }

    /// Returns all that the job of a definition works with.
    fn work<'a>(
        &'a self,
        definition: &'a Definition,
        scheduled_for: Timestamp,
        caller: Caller<'a>,
        cursors: &'a Saved<'_>,
        tally: &'a Tally,
    ) -> JobContext<'a> {
        JobContext {
            name: &definition.name,
            id: &definition.name,
            destination: &definition.destination,
            scheduled_for,
            deadline: caller.deadline,
            stop: caller.stop,
            ingester: &self.ingester,
            querier: &self.querier,
            http: &self.http,
            secrets: &self.secrets,
            cursors,
            progress: caller.progress,
            tally,
            now: self.now,
        }
    }

    /// Begins to account for an attempt.
    fn attempt(&self, definition: &Definition, cause: Cause) -> Attempt {
        Attempt {
            metrics: Arc::clone(&self.metrics),
            connector: definition.name.clone(),
            kind: definition.kind,
            destination: definition.destination.to_string(),
            cause,
            began: Instant::now(),
            tally: Tally::default(),
            is_closed: false,
        }
    }

    async fn claim(
        &self,
        definition: &Definition,
        cause: Cause,
        holder: &str,
    ) -> Result<(), RunOutcome> {
        let now = self.now;
        let claim = |record: &mut Record| record.claim(cause, holder, now());
        match self.registry.change(&definition.name, claim).await {
            Ok(Claim::Won) => Ok(()),
            Ok(Claim::Lost) => Err(RunOutcome::ClaimLost),
            Ok(Claim::Held) => Err(RunOutcome::Busy),
            Ok(Claim::Paused) => Err(RunOutcome::Paused),
            Ok(Claim::Disabled(reason)) => Err(RunOutcome::Disabled(reason)),
            Err(error) => Err(RunOutcome::StateFailed(error)),
        }
    }

    /// Works while `holder` has the lease, and gives it back.
    async fn held(
        &self,
        definition: &Definition,
        cause: Cause,
        holder: &str,
        caller: Caller<'_>,
        tally: &Tally,
    ) -> RunOutcome {
        let began = (self.now)();
        let name = &definition.name;
        let cursors = self.cursors(definition);
        let stop = caller.stop.child_token();
        let scheduled_for = match cause {
            Cause::Bucket(start) => start,
            Cause::Event | Cause::Hand => began,
        };
        let stoppable = Caller {
            stop: &stop,
            ..caller
        };
        let run = self.work(definition, scheduled_for, stoppable, &cursors, tally);
        // A panic ends this run alone, and its lease.
        let work = AssertUnwindSafe(definition.job.run(&run)).catch_unwind();
        let watch = async {
            self.until_lost(name, holder).await;
            stop.cancel();
            std::future::pending().await
        };
        let report = tokio::select! {
            report = work => report.unwrap_or_else(|_| {
                let text = "a fault of the program ended the run; its log has the place";
                Report::failed(RunError::Failed(text.to_owned()))
            }),
            () = watch => unreachable!("it waits for ever"),
        };
        let now = self.now;
        let finish = |record: &mut Record| record.finish(holder, began, now(), &report);
        match self.registry.change(name, finish).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                connector = name,
                "The lease was lost before the run had ended; another process may have run the \
                 same connector meanwhile."
            ),
            // The lease ends by itself.
            Err(error) => tracing::error!(
                error = error.to_string(),
                connector = name,
                "What became of a run cannot be kept."
            ),
        }
        RunOutcome::Finished(report)
    }

    /// Renews the lease; returns when another has it.
    async fn until_lost(&self, name: &str, holder: &str) {
        let now = self.now;
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            let renew = |record: &mut Record| record.renew(holder, now());
            match self.registry.change(name, renew).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(
                        error = error.to_string(),
                        connector = name,
                        "The lease of a run cannot be renewed."
                    );
                    if renewed.elapsed() + RENEWAL > LEASE {
                        return;
                    }
                }
            }
        }
    }
}

/// An attempt to run a definition. It is counted and logged exactly once: when it is closed, or when it
/// is dropped without that, because its caller left or its time was over.
struct Attempt {
    metrics: Arc<Metrics>,
    connector: String,
    kind: &'static str,
    destination: String,
    cause: Cause,
    began: Instant,
    tally: Tally,
    is_closed: bool,
}

impl Attempt {
    /// Counts and logs the attempt; returns what was counted.
    fn close(mut self, outcome: &RunOutcome) -> Numbers {
        self.is_closed = true;
        let numbers = match outcome {
            RunOutcome::Finished(report) => self.count(outcome.result(), report),
            _ => self.count(outcome.result(), &Report::default()),
        };
        self.log(outcome);
        numbers
    }

    /// Ends it without a trace: nothing was attempted.
    fn forget(mut self) {
        self.is_closed = true;
    }

    fn count(&self, result: RunResult, report: &Report) -> Numbers {
        self.metrics.add_run(&RunCount {
            kind: self.kind,
            result,
            rows: report.rows,
            rejected: report.rejected,
            duration: self.began.elapsed(),
        })
    }

    fn scheduled_for(&self) -> Option<String> {
        match self.cause {
            Cause::Bucket(start) => Some(start.to_string()),
            Cause::Event | Cause::Hand => None,
        }
    }

    /// Writes one line about a run that needs attention; the others are at debug.
    fn log(&self, outcome: &RunOutcome) {
        let scheduled_for = self.scheduled_for();
        let scheduled_for = scheduled_for.as_deref();
        let (connector, kind) = (&self.connector, self.kind);
        let result = outcome.result().as_str();
        match outcome {
            RunOutcome::Finished(report) => {
                for warning in &report.warnings {
                    tracing::warn!(connector, error = warning, "A connector warns.");
                }
                let (rows, received, rejected) = (report.rows, report.received, report.rejected);
                let destination = &self.destination;
                match &report.error {
                    Some(
                        RunError::Failed(text)
                        | RunError::Disable(text)
                        | RunError::TooManyRows(text),
                    ) => tracing::error!(
                        error = text,
                        connector,
                        r#type = kind,
                        scheduled_for,
                        destination,
                        rows,
                        received,
                        rejected,
                        disabled = matches!(report.error, Some(RunError::Disable(_))),
                        "A connector failed."
                    ),
                    Some(RunError::Interrupted) | None => tracing::debug!(
                        connector,
                        r#type = kind,
                        scheduled_for,
                        destination,
                        rows,
                        received,
                        rejected,
                        result,
                        "A connector ran."
                    ),
                }
            }
            RunOutcome::StateFailed(error) => tracing::error!(
                error = error.to_string(),
                connector,
                r#type = kind,
                scheduled_for,
                "A connector did not run."
            ),
            RunOutcome::ClaimLost
            | RunOutcome::Busy
            | RunOutcome::Paused
            | RunOutcome::Disabled(_)
            | RunOutcome::NoMemory(_) => {
                tracing::debug!(
                    connector,
                    r#type = kind,
                    scheduled_for,
                    result,
                    "A connector did not run."
                );
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        let report = self.tally.report();
        self.count(RunResult::Aborted, &report);
        tracing::error!(
            error = "the caller left, or the time was over, before the run ended",
            connector = self.connector,
            r#type = self.kind,
            scheduled_for = self.scheduled_for(),
            destination = self.destination,
            rows = report.rows,
            received = report.received,
            rejected = report.rejected,
            "A connector was aborted."
        );
    }
}

/// The cursors of one definition.
struct Saved<'s> {
    state: &'s State,
    collection: String,
}

impl Cursors for Saved<'_> {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<String>, StateError>> {
        async move {
            let item = self.state.get(&self.collection, key).await?;
            Ok(item.map(|item| item.value))
        }
        .boxed()
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        async move {
            let anything = Expect::Anything;
            let put = self.state.put(&self.collection, key, value, anything, None);
            put.await.map(drop)
        }
        .boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), StateError>> {
        self.state.clear(&self.collection).boxed()
    }
}
