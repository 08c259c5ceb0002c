//! `full_refresh_overwrite`: drops a table only after a dry run has read all of its new content.
//!
//! Timestream cannot rename a table or delete rows, so old rows are only removed by dropping the table. The phase of
//! each table is saved, so a run continues where it was killed.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, key as cursor_key};
use super::failures::MetricError;
use super::response::Series;
use super::server::Failure;
use super::{MetricCursor, SyncRun};
use crate::jobs::job::RunError;
use crate::storage::destination::Destination;
use crate::timestream::tables::Table;

/// The phase of the refresh of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refresh {
    /// Start of the run.
    run: i64,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// All samples are read, none is stored.
    #[serde(rename = "rehearsal")]
    DryRun(DryRun),
    /// The table is dropped and created again with these properties.
    Drop(Table),
    /// All samples are read again and stored.
    Fill {
        /// Set if the table was empty before.
        is_new: bool,
    },
}

/// The progress of a dry run, which reads the metrics in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct DryRun {
    metric: String,
    /// Samples of the metric up to this millisecond were read.
    through: Option<i64>,
    /// Number of points that were found.
    found: u64,
}

impl SyncRun<'_> {
    /// Replaces the content of the table of `group` by the present samples of the server. If they cannot be read as a
    /// whole, or the list of metrics may be incomplete, the table is not dropped, and the samples are stored over the
    /// existing content.
    pub(super) async fn overwrite(
        &mut self,
        mut group: Vec<MetricCursor>,
        list_warnings: &[String],
    ) -> Result<ControlFlow<()>, RunError> {
        let Some(first) = group.first() else {
            return Ok(ControlFlow::Continue(()));
        };
        let destination = self.target.of(&first.metric);
        let prepared = self.prepare_refresh(&destination, &mut group, list_warnings);
        match prepared.await {
            Ok(is_new) => {
                // Older values are overwritten by their version.
                self.version = (!is_new).then_some(self.started.at);
                self.copy_group(group).await
            }
            Err(error) => self.record_failure_of_all(group, &error).await,
        }
    }

    /// Returns true if the table is empty now, or false if its content is written over.
    async fn prepare_refresh(
        &mut self,
        destination: &Destination,
        group: &mut [MetricCursor],
        list_warnings: &[String],
    ) -> Result<bool, MetricError> {
        let key = key(destination);
        let saved: Option<Refresh> = self.cursors().load(&key).await?;
        if saved.is_none() {
            self.finish_recreation(destination).await?;
        }
        let mut phase = match saved {
            Some(Refresh { run, phase }) if run == self.started.at => phase,
            Some(Refresh {
                phase: Phase::Drop(table),
                ..
            }) => {
                self.target.restore(destination, &table).await?;
                Phase::DryRun(DryRun::default())
            }
            _ => Phase::DryRun(DryRun::default()),
        };
        loop {
            phase = match phase {
                Phase::DryRun(dry_run) => {
                    self.prepare_table(&group[0].metric, self.started.start)
                        .await?;
                    self.after_dry_run(destination, group, list_warnings, dry_run)
                        .await?
                }
                Phase::Drop(table) => {
                    self.target.recreate(destination, &table).await?;
                    Phase::Fill { is_new: true }
                }
                Phase::Fill { is_new } => return Ok(is_new),
            };
            if phase == (Phase::Fill { is_new: true }) {
                self.reset_cursors(group).await?;
            }
            self.save_phase(&key, phase.clone()).await?;
        }
    }

    /// Creates the table that an earlier version of the program dropped, if it was killed before it created the table
    /// again.
    async fn finish_recreation(&mut self, destination: &Destination) -> Result<(), MetricError> {
        let key = format!("recreate {}", destination.table);
        if let Some(table) = self.cursors().load(&key).await? {
            self.target.restore(destination, &table).await?;
            self.cursors().forget(&key).await?;
        }
        Ok(())
    }

    /// Resets the cursors of all metrics of an empty table to the start. Some may have cursors of this run if it began
    /// in another mode, with another table, or with an earlier version of the program.
    async fn reset_cursors(&self, group: &mut [MetricCursor]) -> Result<(), RunError> {
        for MetricCursor { metric, cursor } in group {
            if cursor.run == self.started.at {
                *cursor = Cursor {
                    ceiling: cursor.ceiling,
                    ..Cursor::at(self.started.start)
                };
                self.cursors().save(&cursor_key(metric), cursor).await?;
            }
        }
        Ok(())
    }

    /// Completes a dry run and returns the next phase.
    async fn after_dry_run(
        &mut self,
        destination: &Destination,
        group: &[MetricCursor],
        list_warnings: &[String],
        dry_run: DryRun,
    ) -> Result<Phase, MetricError> {
        if self.target.is_new(destination) {
            return Ok(Phase::Fill { is_new: true });
        }
        let obstacle = match list_warnings.first() {
            Some(warning) => Some(format!("the list of metrics may be incomplete: {warning}")),
            None => self.dry_run(destination, group, dry_run).await?,
        };
        if let Some(reason) = obstacle {
            let text = format!(
                "{destination} was not dropped, and samples are stored over its content: {reason}"
            );
            self.warn("tables", vec![text]);
            return Ok(Phase::Fill { is_new: false });
        }
        let table = self.target.describe(destination).await?;
        Ok(table.map_or(Phase::Fill { is_new: false }, Phase::Drop))
    }

    /// Reads all metrics without storing them. Returns the reason if the table must not be dropped.
    async fn dry_run(
        &mut self,
        destination: &Destination,
        group: &[MetricCursor],
        mut dry_run: DryRun,
    ) -> Result<Option<String>, MetricError> {
        let mut metrics: Vec<_> = group.iter().collect();
        metrics.sort_unstable_by(|a, b| a.metric.cmp(&b.metric));
        metrics.retain(|it| it.metric >= dry_run.metric);
        self.run.progress.expect(metrics.len() as u64);
        for with_cursor in metrics {
            let metric = &with_cursor.metric;
            if dry_run.metric != *metric {
                metric.clone_into(&mut dry_run.metric);
                dry_run.through = None;
            }
            match self
                .dry_run_metric(destination, with_cursor, &mut dry_run)
                .await
            {
                Ok(()) => {}
                Err(MetricError::Run(error)) => return Err(error.into()),
                Err(error) => return Ok(Some(error.message())),
            }
            self.run.progress.advance(1);
        }
        Ok((dry_run.found == 0).then(|| "the server has no samples for it".to_owned()))
    }

    async fn dry_run_metric(
        &mut self,
        destination: &Destination,
        MetricCursor { metric, cursor }: &MetricCursor,
        dry_run: &mut DryRun,
    ) -> Result<(), MetricError> {
        let mut windows = self.windows(cursor);
        let end = self.started.end;
        loop {
            let from = dry_run
                .through
                .map_or(self.started.start, |through| through + 1);
            let Some(window) = windows.next(from, end) else {
                return Ok(());
            };
            let series = match self.read(metric, window).await {
                Ok(series) => series,
                Err(Failure::TooLarge(_)) if windows.shrink(window) => continue,
                Err(failure) => return Err(self.metric_error(metric, window, failure)),
            };
            let found = series.iter().map(Series::len).sum();
            windows.found(found);
            dry_run.found += found as u64;
            dry_run.through = Some(window.end);
            let phase = Phase::DryRun(dry_run.clone());
            self.save_phase(&key(destination), phase).await?;
        }
    }

    async fn save_phase(&self, key: &str, phase: Phase) -> Result<(), RunError> {
        let refresh = Refresh {
            run: self.started.at,
            phase,
        };
        self.cursors().save(key, &refresh).await
    }

    /// Records the same failure for all metrics of a table.
    async fn record_failure_of_all(
        &mut self,
        group: Vec<MetricCursor>,
        error: &MetricError,
    ) -> Result<ControlFlow<()>, RunError> {
        let mut flow = ControlFlow::Continue(());
        let untried = group.iter().filter(|it| self.is_untried(it)).count();
        self.untried = self.untried.saturating_sub(untried);
        for MetricCursor { metric, cursor } in group {
            flow = self.record_failure(&metric, cursor, error.clone()).await?;
            self.run.progress.advance(1);
        }
        Ok(flow)
    }
}

/// Returns the key of the refresh of a table.
fn key(destination: &Destination) -> String {
    format!("refresh {}", destination.table)
}
