//! `full_refresh_overwrite`: a table is dropped only after all of its new content was read once.
//!
//! Timestream renames no table and deletes no rows, so to get rid of what is not read again the table has
//! to go. The phase of each table is saved, so a run that is killed goes on where it was.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, key as cursor_key};
use super::failures::Ended;
use super::response::Series;
use super::server::Failure;
use super::{Task, Work};
use crate::jobs::run::RunError;
use crate::model::Destination;
use crate::timestream::tables::Table;

/// The phase of the refresh of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refresh {
    /// The run, by its start.
    run: i64,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// All is read, and nothing stored.
    Rehearsal(Rehearsal),
    /// The table, which was like this, is dropped and created again.
    Drop(Table),
    /// All is read again and stored.
    Fill {
        /// Whether the table was empty before.
        is_new: bool,
    },
}

/// The progress of a rehearsal: metrics are read by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rehearsal {
    metric: String,
    /// All of the metric up to this millisecond was read.
    through: Option<i64>,
    /// Points that were found.
    found: u64,
}

impl Work<'_> {
    /// Replaces what is in the table of `group` by what the server has now. The table is not dropped where
    /// that cannot be read as a whole, or where there is doubt that the list of metrics is complete:
    /// then what can be read is stored over what there is.
    pub(super) async fn overwrite(
        &mut self,
        mut group: Vec<Task>,
        doubts: &[String],
    ) -> Result<ControlFlow<()>, RunError> {
        let Some(first) = group.first() else {
            return Ok(ControlFlow::Continue(()));
        };
        let destination = self.target.of(&first.metric);
        let prepared = self.prepare_refresh(&destination, &mut group, doubts);
        match prepared.await {
            Ok(is_new) => {
                // Older values are overwritten by their version.
                self.version = (!is_new).then_some(self.started.at);
                self.copy_group(group).await
            }
            Err(ended) => self.note_all(group, &ended).await,
        }
    }

    /// Returns whether the table is empty now, or to be written over.
    async fn prepare_refresh(
        &mut self,
        destination: &Destination,
        group: &mut [Task],
        doubts: &[String],
    ) -> Result<bool, Ended> {
        let key = key(destination);
        let saved: Option<Refresh> = self.saved().load(&key).await?;
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
                Phase::Rehearsal(Rehearsal::default())
            }
            _ => Phase::Rehearsal(Rehearsal::default()),
        };
        loop {
            phase = match phase {
                Phase::Rehearsal(rehearsal) => {
                    self.ready(&group[0].metric, self.started.start).await?;
                    self.rehearsed(destination, group, doubts, rehearsal)
                        .await?
                }
                Phase::Drop(table) => {
                    self.target.recreate(destination, &table).await?;
                    Phase::Fill { is_new: true }
                }
                Phase::Fill { is_new } => return Ok(is_new),
            };
            if phase == (Phase::Fill { is_new: true }) {
                self.begin_again(group).await?;
            }
            self.save_phase(&key, phase.clone()).await?;
        }
    }

    /// Creates the table that an earlier version of the program has dropped, if it was killed before it
    /// had created it again.
    async fn finish_recreation(&mut self, destination: &Destination) -> Result<(), Ended> {
        let key = format!("recreate {}", destination.table);
        if let Some(table) = self.saved().load(&key).await? {
            self.target.restore(destination, &table).await?;
            self.saved().forget(&key).await?;
        }
        Ok(())
    }

    /// Sees to it that all metrics of a table that is empty are stored from the start. Some may have
    /// cursors of this run: it began in another mode, with another table, or with an earlier version
    /// of the program.
    async fn begin_again(&self, group: &mut [Task]) -> Result<(), RunError> {
        for Task { metric, cursor } in group {
            if cursor.run == self.started.at {
                *cursor = Cursor {
                    ceiling: cursor.ceiling,
                    ..Cursor::at(self.started.start)
                };
                self.saved().save(&cursor_key(metric), cursor).await?;
            }
        }
        Ok(())
    }

    /// Returns the phase that follows a rehearsal.
    async fn rehearsed(
        &mut self,
        destination: &Destination,
        group: &[Task],
        doubts: &[String],
        rehearsal: Rehearsal,
    ) -> Result<Phase, Ended> {
        if self.target.is_new(destination) {
            return Ok(Phase::Fill { is_new: true });
        }
        let obstacle = match doubts.first() {
            Some(doubt) => Some(format!("the list of metrics may not be complete: {doubt}")),
            None => self.rehearse(destination, group, rehearsal).await?,
        };
        if let Some(why) = obstacle {
            let text = format!(
                "{destination} is not dropped; what is read is stored over what it holds: {why}"
            );
            self.warn("tables", vec![text]);
            return Ok(Phase::Fill { is_new: false });
        }
        let table = self.target.describe(destination).await?;
        Ok(table.map_or(Phase::Fill { is_new: false }, Phase::Drop))
    }

    /// Reads all metrics and stores nothing. Returns why the table may not be dropped.
    async fn rehearse(
        &mut self,
        destination: &Destination,
        group: &[Task],
        mut rehearsal: Rehearsal,
    ) -> Result<Option<String>, Ended> {
        let mut tasks: Vec<_> = group.iter().collect();
        tasks.sort_unstable_by(|a, b| a.metric.cmp(&b.metric));
        tasks.retain(|task| task.metric >= rehearsal.metric);
        self.run.progress.expect(tasks.len() as u64);
        for task in tasks {
            let metric = &task.metric;
            if rehearsal.metric != *metric {
                metric.clone_into(&mut rehearsal.metric);
                rehearsal.through = None;
            }
            match self
                .rehearse_metric(destination, task, &mut rehearsal)
                .await
            {
                Ok(()) => {}
                Err(Ended::Run(error)) => return Err(error.into()),
                Err(ended) => return Ok(Some(ended.text())),
            }
            self.run.progress.advance(1);
        }
        Ok((rehearsal.found == 0).then(|| "the server has no samples for it".to_owned()))
    }

    async fn rehearse_metric(
        &mut self,
        destination: &Destination,
        task: &Task,
        rehearsal: &mut Rehearsal,
    ) -> Result<(), Ended> {
        let metric = &task.metric;
        let mut windows = self.windows(&task.cursor);
        let end = self.started.end;
        loop {
            let from = rehearsal
                .through
                .map_or(self.started.start, |through| through + 1);
            let Some(window) = windows.next(from, end) else {
                return Ok(());
            };
            let series = match self.read(metric, window).await {
                Ok(series) => series,
                Err(Failure::TooMuch(_)) if windows.shrink(window) => continue,
                Err(failure) => return Err(self.failed(metric, window, failure)),
            };
            let found = series.iter().map(Series::len).sum();
            windows.found(found);
            rehearsal.found += found as u64;
            rehearsal.through = Some(window.end);
            let phase = Phase::Rehearsal(rehearsal.clone());
            self.save_phase(&key(destination), phase).await?;
        }
    }

    async fn save_phase(&self, key: &str, phase: Phase) -> Result<(), RunError> {
        let refresh = Refresh {
            run: self.started.at,
            phase,
        };
        self.saved().save(key, &refresh).await
    }

    /// Notes the same failure for all metrics of a table.
    async fn note_all(
        &mut self,
        group: Vec<Task>,
        ended: &Ended,
    ) -> Result<ControlFlow<()>, RunError> {
        let mut flow = ControlFlow::Continue(());
        let untried = group.iter().filter(|task| self.is_untried(task)).count();
        self.untried = self.untried.saturating_sub(untried);
        for Task { metric, cursor } in group {
            flow = self.note(&metric, cursor, ended.clone()).await?;
            self.run.progress.advance(1);
        }
        Ok(flow)
    }
}

/// The key of the refresh of a table.
fn key(destination: &Destination) -> String {
    format!("refresh {}", destination.table)
}
