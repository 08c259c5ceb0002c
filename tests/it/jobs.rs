//! Types of connector definitions, each run as the frame runs it.

mod dialects;
mod processes;
mod resend;
pub(crate) mod server;
pub(crate) mod sink;
mod sink_statuses;
pub(crate) mod sync;
mod sync_failures;
mod sync_late;
mod sync_refresh;
mod sync_source;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use timestream_emulator::Emulator;
use timestream_prometheus_connector::entry::build::Parts;
use timestream_prometheus_connector::jobs::client::Client;
use timestream_prometheus_connector::jobs::job::{Cursors, Job, JobContext, Report, Tally};
use timestream_prometheus_connector::jobs::secret::Secrets;
use timestream_prometheus_connector::state::StateError;
use timestream_prometheus_connector::storage::destination::Destination;
use timestream_prometheus_connector::timestream::tables::Table;
use tokio_util::sync::CancellationToken;

use crate::support::{configuration, parts, start_emulator, table};

/// The parts that runs work with, and what is left of them.
pub(crate) struct Workplace {
    pub(crate) emulator: Emulator,
    parts: Parts,
    pub(crate) cursors: Memory,
    destination: Destination,
    pub(crate) letters: tempfile::TempDir,
    /// The time of day, as runs see it.
    pub(crate) now: fn() -> Timestamp,
}

/// Cursors that tell a run to stop, as if by SIGTERM, or lose all that comes after, as a process does
/// that is killed.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    texts: BTreeMap<String, String>,
    sets: usize,
    /// After so many sets the run is stopped.
    stop_after: Option<(usize, CancellationToken)>,
    /// After so many sets there is no further one.
    dies_after: Option<usize>,
}

impl Memory {
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap().texts.clone()
    }

    pub(crate) fn dies_after(&self, more: usize) {
        let mut state = self.0.lock().unwrap();
        state.dies_after = Some(state.sets + more);
    }

    /// Replaces a text.
    pub(crate) fn put(&self, key: &str, text: &str) {
        let mut state = self.0.lock().unwrap();
        state.texts.insert(key.to_owned(), text.to_owned());
    }

    pub(crate) fn lives(&self) {
        self.0.lock().unwrap().dies_after = None;
    }
}

impl Cursors for Memory {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<String>, StateError>> {
        let found = self.0.lock().unwrap().texts.get(key).cloned();
        async move { Ok(found) }.boxed()
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        let mut state = self.0.lock().unwrap();
        if state.dies_after.is_some_and(|limit| state.sets >= limit) {
            return async { Err(StateError("killed".to_owned())) }.boxed();
        }
        state.sets += 1;
        state.texts.insert(key.to_owned(), value.to_owned());
        if let Some((limit, stop)) = &state.stop_after
            && state.sets >= *limit
        {
            stop.cancel();
        }
        async { Ok(()) }.boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), StateError>> {
        self.0.lock().unwrap().texts.clear();
        async { Ok(()) }.boxed()
    }
}

impl Workplace {
    /// With the tables `db`/`t`, `db`/`other` and `db`/`metrics`, which take data of any age.
    pub(crate) async fn start() -> Self {
        let tables = ["t", "other", "metrics"].map(|it| table("db", it));
        let emulator = start_emulator(tables.into()).await;
        let letters = tempfile::tempdir().unwrap();
        let flag = format!("--dead-letter=file:{}", letters.path().display());
        let parts = parts(&configuration(&emulator.url(), &[&flag])).await;
        Self {
            emulator,
            parts,
            cursors: Memory::default(),
            destination: Destination {
                database: "db".to_owned(),
                table: "t".to_owned(),
            },
            letters,
            now: Timestamp::now,
        }
    }

    /// Dead letters go to the log.
    pub(crate) async fn without_letters(mut self) -> Self {
        self.parts = parts(&configuration(&self.emulator.url(), &[])).await;
        self
    }

    pub(crate) fn target(&mut self, database: &str, table: &str) {
        self.destination.database = database.to_owned();
        self.destination.table = table.to_owned();
    }

    /// The known facts of a table of `db`.
    pub(crate) async fn describe(&self, table: &str) -> Option<Table> {
        let destination = Destination {
            database: "db".to_owned(),
            table: table.to_owned(),
        };
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        let described = self.parts.ingester.describe_table(&destination, deadline);
        described.await.unwrap()
    }

    /// Drops a table of `db`.
    pub(crate) async fn drop_table(&self, table: &str) {
        let destination = Destination {
            database: "db".to_owned(),
            table: table.to_owned(),
        };
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        let dropped = self.parts.ingester.delete_table(&destination, deadline);
        dropped.await.unwrap();
    }

    /// One run to its end.
    pub(crate) async fn run(&self, job: &dyn Job) -> Report {
        let stop = CancellationToken::new();
        self.within(&stop, async |run| job.run(run).await).await
    }

    /// One run that is told to stop when it has saved its cursor so many times.
    pub(crate) async fn run_until(&self, job: &dyn Job, saves: usize) -> Report {
        let stop = CancellationToken::new();
        {
            let mut state = self.cursors.0.lock().unwrap();
            state.stop_after = Some((state.sets + saves, stop.clone()));
        }
        let report = self.within(&stop, async |run| job.run(run).await).await;
        self.cursors.0.lock().unwrap().stop_after = None;
        report
    }

    /// Hands rows over.
    pub(crate) async fn push_rows(&self, job: &dyn Job, rows: &str) -> Report {
        let stop = CancellationToken::new();
        let take = async |run: &JobContext<'_>| job.push_rows(run, rows.as_bytes()).unwrap().await;
        self.within(&stop, take).await
    }

    async fn within(
        &self,
        stop: &CancellationToken,
        work: impl AsyncFnOnce(&JobContext<'_>) -> Report,
    ) -> Report {
        let secrets = Secrets::new(None, |name| (name == "PASSWORD").then(|| "open".to_owned()));
        let client = Client::default();
        let run = JobContext {
            name: "test",
            destination: &self.destination,
            scheduled_for: Timestamp::now(),
            deadline: None,
            stop,
            ingester: &self.parts.ingester,
            querier: &self.parts.querier,
            http: &client,
            secrets: &secrets,
            cursors: &self.cursors,
            progress: &(),
            tally: &Tally::default(),
            now: self.now,
        };
        work(&run).await
    }
}
