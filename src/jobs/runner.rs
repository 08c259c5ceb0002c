//! One run of a job: claim, lease, work, report.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prom_wire::budget::{BudgetExceeded, Reservation};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bucket::{Cause, Claim, JobRecord, LEASE, RENEWAL};
use super::client::Client;
use super::definition::Definition;
use super::job::{Cursors, JobContext, Progress, Report, RunError, Tally};
use super::registry::{RAISE_MEMORY, Registry, RegistryError, cursors_of};
use super::secret::Secrets;
use crate::dead_letter::Letter;
use crate::ingest::{Ingester, Replayed};
use crate::metrics::emf::EmfRecord;
use crate::metrics::{Metrics, RunCount, RunResult};
use crate::query::Querier;
use crate::state::{Expect, State, StateError};

/// Runs jobs; everything that the runs of a process share.
#[derive(Debug)]
pub struct JobRunner {
    /// Stores claims, leases and cursors.
    pub registry: Arc<Registry>,
    /// Writes samples.
    pub ingester: Ingester,
    /// Reads stored samples.
    pub querier: Querier,
    /// Outgoing HTTP.
    pub http: Client,
    /// Resolves references to secrets.
    pub secrets: Secrets,
    /// Counts runs.
    pub metrics: Arc<Metrics>,
    /// The time of day.
    pub now: fn() -> Timestamp,
}

/// The caller of a run.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The time by which the run must end; `None` if no caller waits.
    pub deadline: Option<Instant>,
    /// Cancelled when the run is to end early.
    pub stop: &'a CancellationToken,
    /// Receives the progress of the run.
    pub progress: &'a dyn Progress,
}

/// The outcome of an attempt to run a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// The run ended; the report says how.
    Finished(Report),
    /// There was no run.
    NotRun(NotRun),
}

/// The reason for which a job did not run, or accepted no rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    /// Another process has claimed the bucket.
    #[error("another run of it has not ended")]
    ClaimLost,
    /// Another run of it has not ended.
    #[error("another run of it has not ended")]
    Busy,
    /// It is paused.
    #[error("it is paused; resume it")]
    Paused,
    /// It is disabled, for this reason.
    #[error("disabled: {0}")]
    Disabled(String),
    /// The state cannot be used, so it is unknown whether the job may run.
    #[error(transparent)]
    StateFailed(#[from] StateError),
    /// There is no memory for the pushed rows.
    #[error("{0}{remedy}", remedy = RAISE_MEMORY)]
    NoMemory(BudgetExceeded),
}

impl RunOutcome {
    /// Returns the value of the label `result` of metrics.
    pub fn result(&self) -> RunResult {
        match self {
            Self::Finished(report) => result_of(report),
            Self::NotRun(reason) => reason.result(),
        }
    }
}

impl NotRun {
    /// Returns the value of the label `result` of metrics.
    pub fn result(&self) -> RunResult {
        match self {
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
    /// Runs `definition` because of `cause`, unless another process has claimed it. Also returns the
    /// numbers that were added to the metrics.
    pub async fn run(
        &self,
        definition: &Definition,
        cause: Cause,
        caller: Caller<'_>,
    ) -> (RunOutcome, EmfRecord) {
        let holder = format!("{:016x}", fastrand::u64(..));
        let attempt = self.attempt(definition, cause);
        let outcome = match self.claim(definition, cause, &holder).await {
            Ok(()) => {
                let tally = &attempt.tally;
                self.held(definition, cause, &holder, caller, tally).await
            }
            Err(reason) => RunOutcome::NotRun(reason),
        };
        let numbers = attempt.close(&outcome);
        (outcome, numbers)
    }

    /// Begins a run; the caller waits for its begin only, and spawns the rest.
    ///
    /// # Errors
    /// The job may not run now.
    pub async fn begin(
        self: &Arc<Self>,
        definition: &Arc<Definition>,
        deadline: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<BoxFuture<'static, (RunOutcome, EmfRecord)>, NotRun> {
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

    /// Pushes rows to a job; `None` if its type accepts none. This is not a run: it needs no lease, and the
    /// rows of several callers are delivered at the same time. `reservation` already holds the memory of
    /// the rows, and during the delivery holds that of the delivery too.
    ///
    /// # Errors
    /// The job is paused or disabled, the state cannot be read, or there is no memory.
    pub async fn push_rows(
        &self,
        definition: &Definition,
        rows: &[u8],
        reservation: &mut Reservation,
        caller: Caller<'_>,
    ) -> Result<Option<(Report, EmfRecord)>, NotRun> {
        let name = &definition.name;
        let record = match self.registry.get(name).await {
            Ok(entry) => entry.record,
            // The definition of an event is not stored.
            Err(RegistryError::State(error)) => return Err(NotRun::StateFailed(error)),
            Err(_) => JobRecord::default(),
        };
        if record.paused {
            return Err(NotRun::Paused);
        }
        if let Some(reason) = record.disabled_reason {
            return Err(NotRun::Disabled(reason));
        }
        let memory = definition.job.rows_memory(rows.len());
        reservation.grow(memory).map_err(NotRun::NoMemory)?;
        let attempt = self.attempt(definition, Cause::Hand);
        let cursors = self.cursors(definition);
        let run = self.context(definition, (self.now)(), caller, &cursors, &attempt.tally);
        let Some(pushing) = definition.job.push_rows(&run, rows) else {
            attempt.forget();
            return Ok(None);
        };
        let report = pushing.await;
        reservation.shrink(memory);
        let numbers = attempt.finish(&report);
        Ok(Some((report, numbers)))
    }

    /// Sends dead letters of a job again; `None` if its type has none. This is not a run: it needs no lease,
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
        let run = self.context(definition, (self.now)(), caller, &cursors, &tally);
        Some(definition.job.resend(&run, letters)?.await)
    }

    /// Returns the texts that a job has saved.
    fn cursors(&self, definition: &Definition) -> StoredCursors<'_> {
        StoredCursors {
            state: self.registry.state(),
            collection: cursors_of(&definition.name),
        }
    }

    /// Returns the context of a run.
    fn context<'a>(
        &'a self,
        definition: &'a Definition,
        scheduled_for: Timestamp,
        caller: Caller<'a>,
        cursors: &'a StoredCursors<'_>,
        tally: &'a Tally,
    ) -> JobContext<'a> {
        JobContext {
            name: &definition.name,
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

    /// Begins an attempt, which is counted and logged when it ends.
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
    ) -> Result<(), NotRun> {
        let now = self.now;
        let claim = |record: &mut JobRecord| record.claim(cause, holder, now());
        match self.registry.change(&definition.name, claim).await {
            Ok(Claim::Won) => Ok(()),
            Ok(Claim::Lost) => Err(NotRun::ClaimLost),
            Ok(Claim::Held) => Err(NotRun::Busy),
            Ok(Claim::Paused) => Err(NotRun::Paused),
            Ok(Claim::Disabled(reason)) => Err(NotRun::Disabled(reason)),
            Err(error) => Err(NotRun::StateFailed(error)),
        }
    }

    /// Runs the job while `holder` has the lease, then releases it.
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
        let run = self.context(definition, scheduled_for, stoppable, &cursors, tally);
        // A panic ends this run alone, and its lease.
        let work = AssertUnwindSafe(definition.job.run(&run)).catch_unwind();
        let watch = async {
            self.until_lost(name, holder).await;
            stop.cancel();
            std::future::pending::<Infallible>().await
        };
        let report = tokio::select! {
            report = work => report.unwrap_or_else(|_| {
                let text = "the job panicked; see the connector's log";
                Report::failed(RunError::Failed(text.to_owned()))
            }),
            never = watch => match never {},
        };
        let now = self.now;
        let finish = |record: &mut JobRecord| record.finish(holder, began, now(), &report);
        match self.registry.change(name, finish).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                connector = name,
                "Job `{name}` lost its lease before the run ended; another process may have run it too."
            ),
            // The lease ends by itself.
            Err(error) => tracing::error!(
                error = error.to_string(),
                connector = name,
                "Could not save the result of a run of job `{name}`."
            ),
        }
        RunOutcome::Finished(report)
    }

    /// Renews the lease; returns when it is lost.
    async fn until_lost(&self, name: &str, holder: &str) {
        let now = self.now;
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            let renew = |record: &mut JobRecord| record.renew(holder, now());
            match self.registry.change(name, renew).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(
                        error = error.to_string(),
                        connector = name,
                        "Could not renew the lease of job `{name}`."
                    );
                    if renewed.elapsed() + RENEWAL > LEASE {
                        return;
                    }
                }
            }
        }
    }
}

/// An attempt to run a job. It is counted and logged exactly once: when it is closed, or when it is
/// dropped because its caller left or its time was over.
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
    /// Counts and logs the attempt; returns the added numbers.
    fn close(self, outcome: &RunOutcome) -> EmfRecord {
        match outcome {
            RunOutcome::Finished(report) => self.finish(report),
            RunOutcome::NotRun(reason) => self.skip(reason),
        }
    }

    /// Counts and logs a run that ended.
    fn finish(mut self, report: &Report) -> EmfRecord {
        self.is_closed = true;
        let numbers = self.count(result_of(report), report);
        self.log_run(report);
        numbers
    }

    /// Counts and logs an attempt without a run.
    fn skip(mut self, reason: &NotRun) -> EmfRecord {
        self.is_closed = true;
        let numbers = self.count(reason.result(), &Report::default());
        self.log_skipped(reason);
        numbers
    }

    /// Ends the attempt without a trace: nothing was attempted.
    fn forget(mut self) {
        self.is_closed = true;
    }

    fn count(&self, result: RunResult, report: &Report) -> EmfRecord {
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

    /// Logs a run: at error if it failed, else at debug; each warning on a line of its own.
    fn log_run(&self, report: &Report) {
        let scheduled_for = self.scheduled_for();
        let scheduled_for = scheduled_for.as_deref();
        let (connector, kind) = (&self.connector, self.kind);
        for warning in &report.warnings {
            tracing::warn!(
                connector,
                error = warning,
                "Job `{connector}` reported a warning."
            );
        }
        let (rows, received, rejected) = (report.rows, report.received, report.rejected);
        let destination = &self.destination;
        match &report.error {
            Some(
                RunError::Failed(text) | RunError::Disable(text) | RunError::TooManyRows(text),
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
                "Job `{connector}` failed."
            ),
            Some(RunError::Interrupted) | None => tracing::debug!(
                connector,
                r#type = kind,
                scheduled_for,
                destination,
                rows,
                received,
                rejected,
                result = result_of(report).as_str(),
                "Job `{connector}` finished."
            ),
        }
    }

    /// Logs an attempt without a run: at error if the state failed, else at debug.
    fn log_skipped(&self, reason: &NotRun) {
        let scheduled_for = self.scheduled_for();
        let scheduled_for = scheduled_for.as_deref();
        let (connector, kind) = (&self.connector, self.kind);
        match reason {
            NotRun::StateFailed(error) => tracing::error!(
                error = error.to_string(),
                connector,
                r#type = kind,
                scheduled_for,
                "Job `{connector}` did not run."
            ),
            NotRun::ClaimLost
            | NotRun::Busy
            | NotRun::Paused
            | NotRun::Disabled(_)
            | NotRun::NoMemory(_) => tracing::debug!(
                connector,
                r#type = kind,
                scheduled_for,
                result = reason.result().as_str(),
                "Job `{connector}` did not run."
            ),
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
            "Job `{}` was aborted.",
            self.connector
        );
    }
}

/// Returns the value of the label `result` for a run that ended.
fn result_of(report: &Report) -> RunResult {
    match report.error {
        None => RunResult::Complete,
        Some(RunError::Interrupted) => RunResult::Interrupted,
        Some(_) => RunResult::Failed,
    }
}

/// The cursors of one job.
struct StoredCursors<'s> {
    state: &'s State,
    collection: String,
}

impl Cursors for StoredCursors<'_> {
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
