//! The tables that a sync writes.

use std::collections::BTreeMap;
use std::time::Duration;

use md5::{Digest, Md5};
use tokio::time::{Instant, sleep};

use super::config::{Layout, Settings};
use super::failures::Ended;
use super::retention::refusal;
use crate::jobs::run::{Run, RunError};
use crate::model::Destination;
use crate::storage::names::escape;
use crate::timestream::ErrorKind;
use crate::timestream::tables::{Table, TableError};

/// Of the layout `rows`.
const ROWS_TABLE: &str = "time_series";
/// Of metadata.
const METADATA_TABLE: &str = "metrics";
/// How long a call about a table may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a table may take to be gone.
const PAUSES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// The tables of a run.
pub(super) struct Target<'r> {
    settings: &'r Settings,
    run: &'r Run<'r>,
    /// The tables that were described.
    known: BTreeMap<Destination, Known>,
    /// Warnings about them, until they are taken.
    warnings: Vec<String>,
}

/// The state of a table.
#[derive(Clone, Debug)]
enum Known {
    /// It was there.
    There(Table),
    /// The run has created it.
    Created(Table),
    /// It may be there, but may not be described.
    Unknown,
}

impl<'r> Target<'r> {
    pub(super) fn new(settings: &'r Settings, run: &'r Run<'r>) -> Self {
        Self {
            settings,
            run,
            known: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Where the points of a metric go.
    pub(super) fn of(&self, metric: &str) -> Destination {
        match self.settings.layout {
            Layout::Native => self.run.destination.clone(),
            Layout::Rows => self.named(ROWS_TABLE.to_owned()),
            Layout::TablePerMetric => self.named(format!("metric_{}", escape(metric))),
        }
    }

    /// Where metadata goes.
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

    /// What a table is created like.
    fn wanted(&self) -> Table {
        let tables = &self.settings.tables;
        Table {
            memory_hours: tables.memory_hours.map(u64::cast_signed),
            magnetic_days: tables.magnetic_days.map(u64::cast_signed),
            magnetic_writes: tables.magnetic_writes,
            ..Table::default()
        }
    }

    /// Drops a table and creates it again like `table`.
    pub(super) async fn recreate(
        &self,
        destination: &Destination,
        table: &Table,
    ) -> Result<(), Ended> {
        let connector = self.run.ingester;
        let deleted = connector.delete_table(destination, self.deadline()).await;
        deleted.map_err(|error| self.failed("dropped", destination, &error))?;
        self.create_again(destination, table).await
    }

    /// Creates a table like `table`, unless there is one: a run may have been killed after it had
    /// dropped it.
    pub(super) async fn restore(
        &self,
        destination: &Destination,
        table: &Table,
    ) -> Result<(), Ended> {
        match self.describe(destination).await? {
            Some(_) => Ok(()),
            None => self.create_again(destination, table).await,
        }
    }

    /// Creates a table that has just been deleted, which the service may still be busy with.
    async fn create_again(&self, destination: &Destination, table: &Table) -> Result<(), Ended> {
        let connector = self.run.ingester;
        for _ in 0..PAUSES {
            let created = connector
                .create_table(destination, table, self.deadline())
                .await;
            match created {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(self.failed("created", destination, &error)),
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.run.stop.wait() => return Err(RunError::Interrupted.into()),
            }
        }
        let text =
            format!("the table {destination} is still being deleted; the next run creates it");
        Err(self.of_table(text, false))
    }

    /// Sees to it that the table of a metric exists and takes samples from `start_ms` on.
    pub(super) async fn ready(&mut self, metric: &str, start_ms: i64) -> Result<(), Ended> {
        let destination = self.of(metric);
        let now_ms = (self.run.now)().as_millisecond();
        let name = format!("the table {destination}");
        let check = |table: &Table| match refusal(table, &name, start_ms, now_ms) {
            Some(text) => Err(Ended::Retention(text)),
            None => Ok(()),
        };
        match self.known.get(&destination) {
            Some(Known::There(table) | Known::Created(table)) => return check(table),
            Some(Known::Unknown) => return Ok(()),
            None => {}
        }
        let connector = self.run.ingester;
        let described = connector.describe_table(&destination, self.deadline());
        let known = match described.await {
            Ok(Some(table)) => Known::There(table),
            Ok(None) => {
                let wanted = self.wanted();
                check(&wanted)?;
                self.create(&destination).await?;
                Known::Created(wanted)
            }
            Err(error) if error.kind == ErrorKind::AccessDenied => {
                self.warnings.push(format!(
                    "{destination}: retention is not compared with what is read, as the table may not be described: {}",
                    error.message
                ));
                Known::Unknown
            }
            Err(error) => return Err(self.failed("described", &destination, &error)),
        };
        let checked = match &known {
            Known::There(table) => check(table),
            Known::Created(_) | Known::Unknown => Ok(()),
        };
        self.known.insert(destination, known);
        checked
    }

    /// Returns whether this run has created the table.
    pub(super) fn is_new(&self, destination: &Destination) -> bool {
        matches!(self.known.get(destination), Some(Known::Created(_)))
    }

    /// Returns what somebody should know of the tables, once.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Creates the table of metadata, if it is missing and tables are created.
    pub(super) async fn prepare_metadata(&self) -> Result<(), Ended> {
        let metadata = self.metadata();
        match self.describe(&metadata).await {
            Ok(None) if self.settings.tables.create => self.create(&metadata).await,
            _ => Ok(()),
        }
    }

    /// Returns what a table is like, if there is one.
    pub(super) async fn describe(&self, destination: &Destination) -> Result<Option<Table>, Ended> {
        let connector = self.run.ingester;
        let described = connector.describe_table(destination, self.deadline()).await;
        described.map_err(|error| self.failed("described", destination, &error))
    }

    async fn create(&self, destination: &Destination) -> Result<(), Ended> {
        if !self.settings.tables.create {
            let text = format!(
                "the table {destination} does not exist; create it, or set create_tables to true"
            );
            return Err(self.of_table(text, false));
        }
        let connector = self.run.ingester;
        let created = connector
            .create_table(destination, &self.wanted(), self.deadline())
            .await;
        match created {
            // Somebody else was faster.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(self.failed("created", destination, &error)),
            Ok(()) => {
                self.run
                    .progress
                    .line(&format!("the table {destination} is created"));
                Ok(())
            }
        }
    }

    fn failed(&self, what: &str, destination: &Destination, error: &TableError) -> Ended {
        let remedy = match error.kind {
            ErrorKind::AccessDenied => {
                "; allow timestream:DescribeTable, CreateTable and DeleteTable (parameter of the template), or create it and set create_tables to false"
            }
            ErrorKind::NotFound => "; create the database",
            _ => "",
        };
        let text = format!("the table {destination} cannot be {what}: {error}{remedy}");
        self.of_table(text, true)
    }

    /// Returns the failure of a table, which is that of all metrics unless each has its own. It `is_shared`
    /// if other tables may fail in the same way.
    fn of_table(&self, text: String, is_shared: bool) -> Ended {
        match (self.settings.layout, is_shared) {
            (Layout::Native | Layout::Rows, _) => RunError::Failed(text).into(),
            (Layout::TablePerMetric, true) => Ended::Shared(text),
            (Layout::TablePerMetric, false) => Ended::Metric(text),
        }
    }
}

/// A short text that stands for a long one.
pub(super) fn digest(text: &str) -> String {
    let sum = Md5::digest(text.as_bytes());
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
