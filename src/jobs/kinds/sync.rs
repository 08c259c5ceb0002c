//! The type `prometheus_api`: what a Prometheus server holds to Timestream.
//!
//! One metric after the other (`metric`), in windows of time (`window`), each read by `server` (`response`
//! reads what it answers) and stored in parts, after each of which the cursor of the metric is saved
//! (`cursor`). `names` finds the metrics, `failures` adds up those that fail while the others go on.
//! `target` sees to the tables; `retention` tells whether they take what is read; `refresh` drops them
//! once all can be read again. `metadata` copies type, help text and unit.

mod config;
mod cursor;
mod failures;
mod metadata;
mod metric;
mod names;
mod refresh;
mod response;
mod retention;
mod server;
mod target;
mod window;

use std::ops::ControlFlow;

use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::time::Instant;

use crate::jobs::fault::Fault;
use crate::jobs::run::{Job, Report, Run, RunError};
use config::{Layout, Mode, Settings};
use cursor::{Cursor, POSITION_KEY, Position, RUN_KEY, Saved, Started, key};
use failures::{Ended, Failures};
use names::Names;
use server::Server;
use target::Target;
use window::Window;

/// Warnings of a run that are told.
const MAX_WARNINGS: usize = 20;
/// Metrics that failed and whose names are saved for the next run.
const MAX_PENDING: usize = 100;
/// Bytes of their names.
const MAX_PENDING_BYTES: usize = 64 << 10;
/// Cursors that are read at the same time: there may be very many.
const LOADS_AT_ONCE: usize = 16;

/// A sync, its settings checked.
#[derive(Debug)]
struct Sync(Settings);

/// Reads the `config` of a sync.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(config: &Value) -> Result<Box<dyn Job>, Vec<Fault>> {
    Ok(Box::new(Sync(Settings::parse(config)?)))
}

impl Job for Sync {
    fn run<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Report> {
        async {
            let mut work = match Work::new(&self.0, run) {
                Ok(work) => work,
                Err(error) => return Report::failed(error),
            };
            let ended = work.run().await;
            work.close(ended)
        }
        .boxed()
    }
}

/// A metric that a run is going to read.
#[derive(Debug)]
struct Task {
    metric: String,
    cursor: Cursor,
}

/// A run.
struct Work<'r> {
    settings: &'r Settings,
    run: &'r Run<'r>,
    server: Server<'r>,
    target: Target<'r>,
    started: Started,
    /// Of the records, where they have one.
    version: Option<i64>,
    /// Those that it is going to read.
    metrics: usize,
    /// Those of them that it has not come to, neither now nor before it was interrupted.
    untried: usize,
    failures: Failures,
    report: Report,
}

impl<'r> Work<'r> {
    fn new(settings: &'r Settings, run: &'r Run<'r>) -> Result<Self, RunError> {
        let now = (run.now)().as_millisecond();
        let started = Started {
            at: now,
            start: settings.start_ms(now),
            end: now - settings.lateness_ms,
        };
        Ok(Self {
            settings,
            run,
            server: Server::new(settings, run)?,
            target: Target::new(settings, run),
            started,
            version: (settings.mode == Mode::IncrementalDeduped).then_some(now),
            metrics: 0,
            untried: 0,
            failures: Failures::default(),
            report: Report::default(),
        })
    }

    fn saved(&self) -> Saved<'r> {
        Saved(self.run)
    }

    async fn run(&mut self) -> Result<(), RunError> {
        if self.started.start > self.started.end {
            let text = "start_date is later than now less lateness_ms; nothing is read yet";
            self.warn("the start", vec![text.to_owned()]);
            return Ok(());
        }
        if self.settings.mode.is_full() {
            self.continue_refresh().await?;
            let (tasks, doubts) = self.tasks(&[]).await?;
            self.copy_all(tasks, &doubts).await?;
            if self.failures.are_everywhere() && self.untried > 0 {
                // The next one goes on with the metrics that are left.
                return Ok(());
            }
            // The next run is another one.
            return self.saved().forget(RUN_KEY).await;
        }
        let position = self.position().await?;
        let (tasks, doubts) = self.tasks(&position.pending).await?;
        self.copy_all(tasks, &doubts).await?;
        self.move_position(position, &doubts).await
    }

    /// Goes on with the full refresh that is not complete, if there is one.
    async fn continue_refresh(&mut self) -> Result<(), RunError> {
        match self.saved().load(RUN_KEY).await? {
            Some(started) => self.started = started,
            None => self.saved().save(RUN_KEY, &self.started).await?,
        }
        Ok(())
    }

    /// Returns the position of the incremental modes. Metrics without a cursor are read from it on, if
    /// it is before the start that is configured: an outage may have been longer.
    async fn position(&mut self) -> Result<Position, RunError> {
        let saved = self.saved();
        let start = self.started.start;
        let old: Option<Position> = saved.load(POSITION_KEY).await?;
        let mut position = old.clone().unwrap_or(Position {
            since: start,
            configured: None,
            pending: Vec::new(),
        });
        let before = position.configured.replace(self.settings.start);
        if before.is_some_and(|before| before.ms(self.started.at) < start) {
            // Somebody wants a later start, and no longer what is before it.
            position.since = position.since.max(start);
        }
        // A run that an earlier version of the program, or a full refresh, has not completed. A later full
        // refresh must not go on with it.
        let left: Option<Started> = saved.load(RUN_KEY).await?;
        if let Some(left) = left {
            position.since = position.since.min(left.start);
        }
        if old.as_ref() != Some(&position) {
            saved.save(POSITION_KEY, &position).await?;
        }
        if left.is_some() {
            saved.forget(RUN_KEY).await?;
        }
        self.started.start = start.min(position.since);
        Ok(position)
    }

    /// Saves that all before the end of this run is stored or pending, if that is so.
    async fn move_position(&self, old: Position, doubts: &[String]) -> Result<(), RunError> {
        let failures = &self.failures;
        let failed = failures.metrics();
        let knows_all = !failures.are_everywhere() && doubts.is_empty();
        let pending_bytes: usize = failed.iter().map(String::len).sum();
        let too_many = failed.len() > MAX_PENDING || pending_bytes > MAX_PENDING_BYTES;
        // A metric that its table refuses may have no cursor.
        if !knows_all || failures.has_refusals() || too_many {
            return Ok(());
        }
        let position = Position {
            since: old
                .since
                .max(self.started.end + 1 - self.settings.lateness_ms),
            configured: old.configured,
            pending: failed.to_vec(),
        };
        self.saved().save(POSITION_KEY, &position).await
    }

    /// Returns the metrics of this run, first those whose last try is longest ago: a run that ends early
    /// has others at its end each time. Also returns why there may be more of them.
    async fn tasks(&mut self, pending: &[String]) -> Result<(Vec<Task>, Vec<String>), RunError> {
        let window = Window {
            start: self.started.start,
            end: self.started.end,
        };
        let names = match self.settings.metrics.as_slice() {
            [] => Names::list(&self.server, window, pending).await?,
            given => Names::given(&self.server, window, given).await?,
        };
        self.warn("the list of metrics", names.doubts.clone());
        self.warn("metrics_filter", names.warnings);
        let mut tasks = Vec::with_capacity(names.all.len());
        let saved = self.saved();
        let loads = names.all.into_iter().map(|metric| async move {
            let cursor: Option<Cursor> = saved.load(&key(&metric)).await?;
            Ok::<_, RunError>((metric, cursor))
        });
        let mut loads = stream::iter(loads).buffered(LOADS_AT_ONCE);
        while let Some(loaded) = loads.next().await {
            let (metric, saved) = loaded?;
            if self.is_over() {
                return Err(RunError::Interrupted);
            }
            let tried = saved.as_ref().map_or(i64::MIN, |cursor| cursor.run);
            let is_full = self.settings.mode.is_full();
            let ceiling = saved.as_ref().and_then(|cursor| cursor.ceiling);
            let counts = |cursor: &Cursor| !is_full || cursor.run == self.started.at;
            let cursor = saved.filter(counts).unwrap_or(Cursor {
                ceiling,
                ..Cursor::at(self.started.start)
            });
            tasks.push((tried, Task { metric, cursor }));
        }
        tasks.sort_by_key(|(tried, _)| *tried);
        let tasks = tasks.into_iter().map(|(_, task)| task).collect();
        Ok((tasks, names.doubts))
    }

    /// Returns whether nothing more may begin.
    fn is_over(&self) -> bool {
        let is_late = |deadline| deadline <= Instant::now();
        self.run.stop.is_set() || self.run.deadline.is_some_and(is_late)
    }

    /// Copies all metrics; those that fail are in `failures` afterwards.
    async fn copy_all(&mut self, tasks: Vec<Task>, doubts: &[String]) -> Result<(), RunError> {
        self.metrics = tasks.len();
        self.untried = tasks.iter().filter(|task| self.is_untried(task)).count();
        let metrics: Vec<_> = tasks.iter().map(|task| task.metric.clone()).collect();
        self.copy_metadata(&metrics).await?;
        self.run.progress.expect(metrics.len() as u64);
        for group in self.groups(tasks) {
            let copied = match self.settings.mode {
                Mode::FullRefreshOverwrite => self.overwrite(group, doubts).await?,
                _ => self.copy_group(group).await?,
            };
            if copied.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn is_untried(&self, task: &Task) -> bool {
        task.cursor.run != self.started.at
    }

    /// Returns the metrics of each table.
    fn groups(&self, tasks: Vec<Task>) -> Vec<Vec<Task>> {
        match self.settings.layout {
            Layout::Native | Layout::Rows if tasks.is_empty() => Vec::new(),
            Layout::Native | Layout::Rows => vec![tasks],
            Layout::TablePerMetric => tasks.into_iter().map(|task| vec![task]).collect(),
        }
    }

    async fn copy_group(&mut self, group: Vec<Task>) -> Result<ControlFlow<()>, RunError> {
        for task in group {
            if self.copy(task).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Copies one metric; its failure is its own, unless others would fail too.
    async fn copy(&mut self, task: Task) -> Result<ControlFlow<()>, RunError> {
        self.untried = self
            .untried
            .saturating_sub(usize::from(self.is_untried(&task)));
        let Task { metric, mut cursor } = task;
        let mut ended = self.ready(&metric, cursor.next()).await;
        if ended.is_ok() {
            ended = self.sync_metric(&metric, &mut cursor).await;
        }
        self.run.progress.advance(1);
        match ended {
            Ok(()) => {
                self.failures.succeeded();
                Ok(ControlFlow::Continue(()))
            }
            Err(ended) => self.note(&metric, cursor, ended).await,
        }
    }

    /// Sees to it that the table of a metric exists and takes samples from `start_ms` on.
    async fn ready(&mut self, metric: &str, start_ms: i64) -> Result<(), Ended> {
        let ready = self.target.ready(metric, start_ms).await;
        let warnings = self.target.take_warnings();
        self.warn("tables", warnings);
        ready.map_err(|ended| ended.at(&format!("metric {metric}")))
    }

    /// Notes why a metric failed, and that it was tried.
    async fn note(
        &mut self,
        metric: &str,
        mut cursor: Cursor,
        ended: Ended,
    ) -> Result<ControlFlow<()>, RunError> {
        let was_tried = matches!(ended, Ended::Metric(_) | Ended::Shared(_));
        self.failures.add(metric, ended)?;
        if was_tried {
            cursor.run = self.started.at;
            self.saved().save(&key(metric), &cursor).await?;
        }
        Ok(match self.failures.are_everywhere() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    /// Returns the report of a run that ended so. What ended it comes before the metrics that failed.
    fn close(self, ended: Result<(), RunError>) -> Report {
        let mut report = self.report;
        let failed = self.failures.error(self.metrics);
        report.error = match (ended, failed) {
            (Ok(()), failed) => failed,
            (Err(RunError::Failed(text)), Some(failed)) => {
                Some(RunError::Failed(format!("{text}; {failed}")))
            }
            (Err(error), failed) => {
                report.warnings.extend(failed.map(|it| it.to_string()));
                Some(error)
            }
        };
        report
    }

    fn warn(&mut self, about: &str, warnings: Vec<String>) {
        for warning in warnings {
            let text = format!("{about}: {warning}");
            let known = &mut self.report.warnings;
            if !known.contains(&text) && known.len() < MAX_WARNINGS {
                known.push(text);
            }
        }
    }
}
