//! The tables that a sync writes.

use std::time::Duration;

use md5::{Digest, Md5};
use tokio::time::{Instant, sleep};

use super::config::{Layout, Settings};
use super::retention::refusal;
use crate::convert::names::escape;
use crate::jobs::run::{Run, RunError};
use crate::model::Destination;
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
}

impl<'r> Target<'r> {
    pub(super) fn new(settings: &'r Settings, run: &'r Run<'r>) -> Self {
        Self { settings, run }
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

    /// The tables of points, each once.
    fn all(&self, metrics: &[String]) -> Vec<Destination> {
        let mut all: Vec<_> = metrics.iter().map(|metric| self.of(metric)).collect();
        all.sort_unstable();
        all.dedup();
        all
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

    /// Drops the tables and creates them again as they were. What they were like is saved before.
    pub(super) async fn recreate(&self, metrics: &[String]) -> Result<(), RunError> {
        for destination in self.all(metrics) {
            let key = format!("recreate {}", destination.table);
            let saved = self
                .run
                .cursors
                .get(&key)
                .await?
                .filter(|text| !text.is_empty());
            let table = match saved {
                Some(text) => serde_json::from_str(&text).map_err(|error| {
                    RunError::Failed(format!("the cursor '{key}' cannot be read: {error}"))
                })?,
                None => {
                    let described = self.describe(&destination).await;
                    let described =
                        described.map_err(|error| failed("described", &destination, &error))?;
                    let Some(table) = described else {
                        continue;
                    };
                    let text = serde_json::to_string(&table).expect("texts and numbers are JSON");
                    self.run.cursors.set(&key, &text).await?;
                    table
                }
            };
            let connector = self.run.connector;
            let deleted = connector.delete_table(&destination, self.deadline()).await;
            deleted.map_err(|error| failed("dropped", &destination, &error))?;
            self.create_again(&destination, &table).await?;
            self.run.cursors.set(&key, "").await?;
        }
        Ok(())
    }

    /// Creates a table that has just been deleted, which the service may still be busy with.
    async fn create_again(&self, destination: &Destination, table: &Table) -> Result<(), RunError> {
        let connector = self.run.connector;
        for _ in 0..PAUSES {
            let created = connector
                .create_table(destination, table, self.deadline())
                .await;
            match created {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(failed("created", destination, &error)),
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.run.stop.wait() => return Err(RunError::Interrupted),
            }
        }
        let text =
            format!("the table {destination} is still being deleted; the next run creates it");
        Err(RunError::Failed(text))
    }

    /// Sees to it that the tables exist and take samples from `start_ms` on.
    pub(super) async fn prepare(
        &self,
        metrics: &[String],
        start_ms: i64,
        warnings: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let now_ms = (self.run.now)().as_millisecond();
        for destination in self.all(metrics) {
            let table = match self.describe(&destination).await {
                Ok(Some(table)) => table,
                Ok(None) => {
                    let wanted = self.wanted();
                    self.check(&wanted, &destination, start_ms, now_ms)?;
                    self.create(&destination).await?;
                    continue;
                }
                Err(error) if error.kind == ErrorKind::AccessDenied => {
                    warnings.push(format!(
                        "{destination}: retention is not compared with what is read, as the table may not be described: {}",
                        error.message
                    ));
                    continue;
                }
                Err(error) => return Err(failed("described", &destination, &error)),
            };
            self.check(&table, &destination, start_ms, now_ms)?;
        }
        let metadata = self.metadata();
        let is_there = match self.describe(&metadata).await {
            Ok(table) => table.is_some(),
            Err(_) => true,
        };
        if !is_there && self.settings.tables.create {
            self.create(&metadata).await?;
        }
        Ok(())
    }

    fn check(
        &self,
        table: &Table,
        destination: &Destination,
        start_ms: i64,
        now_ms: i64,
    ) -> Result<(), RunError> {
        let name = format!("the table {destination}");
        match refusal(table, &name, start_ms, now_ms) {
            Some(text) => Err(RunError::Disable(text)),
            None => Ok(()),
        }
    }

    async fn describe(&self, destination: &Destination) -> Result<Option<Table>, TableError> {
        let connector = self.run.connector;
        connector.describe_table(destination, self.deadline()).await
    }

    async fn create(&self, destination: &Destination) -> Result<(), RunError> {
        if !self.settings.tables.create {
            let text = format!(
                "the table {destination} does not exist; create it, or set create_tables to true"
            );
            return Err(RunError::Failed(text));
        }
        let connector = self.run.connector;
        let created = connector
            .create_table(destination, &self.wanted(), self.deadline())
            .await;
        match created {
            // Somebody else was faster.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(failed("created", destination, &error)),
            Ok(()) => {
                self.run
                    .progress
                    .line(&format!("the table {destination} is created"));
                Ok(())
            }
        }
    }
}

fn failed(what: &str, destination: &Destination, error: &TableError) -> RunError {
    let remedy = match error.kind {
        ErrorKind::AccessDenied => {
            "; allow timestream:DescribeTable, CreateTable and DeleteTable (parameter of the template), or create it and set create_tables to false"
        }
        ErrorKind::NotFound => "; create the database",
        _ => "",
    };
    RunError::Failed(format!(
        "the table {destination} cannot be {what}: {error}{remedy}"
    ))
}

/// A short text that stands for a long one.
pub(super) fn digest(text: &str) -> String {
    let sum = Md5::digest(text.as_bytes());
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
