//! The tables of a sync.

use std::collections::BTreeMap;
use std::time::Duration;

use md5::{Digest, Md5};
use tokio::time::{Instant, sleep};

use super::config::{Layout, Settings};
use super::failures::MetricError;
use super::retention::retention_error;
use crate::backoff::{Backoff, Jitter};
use crate::jobs::job::{JobContext, RunError};
use crate::storage::destination::Destination;
use crate::storage::names::escape;
use crate::timestream::ErrorKind;
use crate::timestream::tables::{Table, TableError};

/// The table of the layout `rows`.
const ROWS_TABLE: &str = "time_series";
/// The table of metadata.
const METADATA_TABLE: &str = "metrics";
/// Time limit for a call about a table.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The retries of creating a table that is still being deleted: 60 attempts, one a second.
const CREATION: Backoff = Backoff {
    max_retries: 59,
    base: Duration::from_secs(1),
    cap: Duration::from_secs(1),
    jitter: Jitter::None,
};

/// The tables of a run.
pub(super) struct Target<'r> {
    settings: &'r Settings,
    run: &'r JobContext<'r>,
    /// The tables that are known so far.
    known: BTreeMap<Destination, TableState>,
    /// Warnings about the tables that are not yet reported.
    warnings: Vec<String>,
}

/// The state of a table.
#[derive(Clone, Debug)]
enum TableState {
    /// The table existed before the run.
    Existing(Table),
    /// The run has created the table.
    Created(Table),
    /// The table may exist, but access to its description is denied.
    Unknown,
}

impl<'r> Target<'r> {
    pub(super) fn new(settings: &'r Settings, run: &'r JobContext<'r>) -> Self {
        Self {
            settings,
            run,
            known: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns the table of the points of a metric.
    pub(super) fn of(&self, metric: &str) -> Destination {
        match self.settings.layout {
            Layout::Native => self.run.destination.clone(),
            Layout::Rows => self.named(ROWS_TABLE.to_owned()),
            Layout::TablePerMetric => self.named(format!("metric_{}", escape(metric))),
        }
    }

    /// Returns the table of metadata.
    pub(super) fn metadata(&self) -> Destination {
        self.named(METADATA_TABLE.to_owned())
    }

    fn named(&self, table: String) -> Destination {
        Destination {
            database: self.run.destination.database.clone(),
            table,
        }
    }

    fn deadline(&self) -> Instant {
        let own = Instant::now() + TIMEOUT;
        self.run.deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Returns the properties of created tables.
    fn properties(&self) -> Table {
        let tables = &self.settings.tables;
        Table {
            memory_hours: tables.memory_hours.map(u64::cast_signed),
            magnetic_days: tables.magnetic_days.map(u64::cast_signed),
            magnetic_writes: tables.magnetic_writes,
            ..Table::default()
        }
    }

    /// Drops a table and creates it again with the properties of `table`.
    pub(super) async fn recreate(
        &self,
        destination: &Destination,
        table: &Table,
    ) -> Result<(), MetricError> {
        let ingester = self.run.ingester;
        let deleted = ingester.delete_table(destination, self.deadline()).await;
        deleted.map_err(|error| self.failed("dropped", destination, &error))?;
        self.create_again(destination, table).await
    }

    /// Creates a table with the properties of `table` if it does not exist, because a run may have been killed after
    /// dropping it.
    pub(super) async fn restore(
        &self,
        destination: &Destination,
        table: &Table,
    ) -> Result<(), MetricError> {
        match self.describe(destination).await? {
            Some(_) => Ok(()),
            None => self.create_again(destination, table).await,
        }
    }

    /// Creates a table that was just deleted, and waits while the service is still deleting it.
    async fn create_again(
        &self,
        destination: &Destination,
        table: &Table,
    ) -> Result<(), MetricError> {
        let ingester = self.run.ingester;
        let mut retries = CREATION.start();
        loop {
            let created = ingester
                .create_table(destination, table, self.deadline())
                .await;
            match created {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(self.failed("created", destination, &error)),
            }
            let Ok(pause) = retries.next_pause(0.0, None, None) else {
                break;
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.run.stop.cancelled() => return Err(RunError::Interrupted.into()),
            }
        }
        let text =
            format!("the table {destination} is still being deleted; the next run creates it");
        Err(self.table_error(text, false))
    }

    /// Ensures that the table of a metric exists and accepts samples from `start_ms` on.
    pub(super) async fn prepare(&mut self, metric: &str, start_ms: i64) -> Result<(), MetricError> {
        let destination = self.of(metric);
        let now_ms = (self.run.now)().as_millisecond();
        let name = format!("the table {destination}");
        let check = |table: &Table| match retention_error(table, &name, start_ms, now_ms) {
            Some(text) => Err(MetricError::Retention(text)),
            None => Ok(()),
        };
        match self.known.get(&destination) {
            Some(TableState::Existing(table) | TableState::Created(table)) => return check(table),
            Some(TableState::Unknown) => return Ok(()),
            None => {}
        }
        let ingester = self.run.ingester;
        let described = ingester.describe_table(&destination, self.deadline());
        let known = match described.await {
            Ok(Some(table)) => TableState::Existing(table),
            Ok(None) => {
                let properties = self.properties();
                check(&properties)?;
                self.create(&destination).await?;
                TableState::Created(properties)
            }
            Err(error) if error.kind == ErrorKind::AccessDenied => {
                self.warnings.push(format!(
                    "{destination}: could not check the retention, because access to DescribeTable is denied: {}",
                    error.message
                ));
                TableState::Unknown
            }
            Err(error) => return Err(self.failed("described", &destination, &error)),
        };
        let checked = match &known {
            TableState::Existing(table) => check(table),
            TableState::Created(_) | TableState::Unknown => Ok(()),
        };
        self.known.insert(destination, known);
        checked
    }

    /// Returns true if this run has created the table.
    pub(super) fn is_new(&self, destination: &Destination) -> bool {
        matches!(self.known.get(destination), Some(TableState::Created(_)))
    }

    /// Takes the warnings about the tables.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Creates the table of metadata, if it is missing and tables are created.
    pub(super) async fn prepare_metadata(&self) -> Result<(), MetricError> {
        let metadata = self.metadata();
        match self.describe(&metadata).await {
            Ok(None) if self.settings.tables.create => self.create(&metadata).await,
            _ => Ok(()),
        }
    }

    /// Returns the properties of a table, if it exists.
    pub(super) async fn describe(
        &self,
        destination: &Destination,
    ) -> Result<Option<Table>, MetricError> {
        let ingester = self.run.ingester;
        let described = ingester.describe_table(destination, self.deadline()).await;
        described.map_err(|error| self.failed("described", destination, &error))
    }

    async fn create(&self, destination: &Destination) -> Result<(), MetricError> {
        if !self.settings.tables.create {
            let text = format!(
                "the table {destination} does not exist; create it, or set create_tables to true"
            );
            return Err(self.table_error(text, false));
        }
        let ingester = self.run.ingester;
        let created = ingester
            .create_table(destination, &self.properties(), self.deadline())
            .await;
        match created {
            // Another process has created it.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(self.failed("created", destination, &error)),
            Ok(()) => {
                self.run
                    .progress
                    .line(&format!("created the table {destination}"));
                Ok(())
            }
        }
    }

    fn failed(&self, what: &str, destination: &Destination, error: &TableError) -> MetricError {
        let remedy = match error.kind {
            ErrorKind::AccessDenied => {
                "; allow timestream:DescribeTable, CreateTable and DeleteTable (parameter of the template), or create it and set create_tables to false"
            }
            ErrorKind::NotFound => "; create the database",
            _ => "",
        };
        let text = format!("the table {destination} cannot be {what}: {error}{remedy}");
        self.table_error(text, true)
    }

    /// Returns the error of a table: of the whole run if all metrics share the table, otherwise of the metric. Set
    /// `is_shared` if other tables may fail in the same way.
    fn table_error(&self, text: String, is_shared: bool) -> MetricError {
        match (self.settings.layout, is_shared) {
            (Layout::Native | Layout::Rows, _) => RunError::Failed(text).into(),
            (Layout::TablePerMetric, true) => MetricError::Shared(text),
            (Layout::TablePerMetric, false) => MetricError::Metric(text),
        }
    }
}

/// Returns a short digest of a string.
pub(super) fn digest(text: &str) -> String {
    let sum = Md5::digest(text.as_bytes());
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
