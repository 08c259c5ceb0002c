//! Jobs of the type `prometheus_api`: copy the samples of a Prometheus server to Timestream.
//!
//! Metrics are copied one after the other (`metric`), in windows of time (`window`). `server` reads each window,
//! `response` parses it, and it is stored in parts; the cursor of the metric is saved after each part (`cursor`).
//! `names` lists the metrics, and `failures` collects those that fail while the others continue. `target` creates
//! the tables, `retention` checks that they accept the samples, and `refresh` drops them once all samples can be read
//! again. `metadata` copies type, help text and unit.

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

use crate::fields::FieldErrors;
use crate::jobs::job::{Job, JobContext, Report, RunError};
use config::{Layout, Mode, Settings};
use cursor::{Cursor, CursorStore, POSITION_KEY, Position, RUN_KEY, Started, key};
use failures::{Failures, MetricError};
use names::Names;
use server::Server;
use target::Target;
use window::Window;

/// Maximum number of warnings in a report.
const MAX_WARNINGS: usize = 20;
/// Maximum number of failed metrics whose names are saved for the next run.
const MAX_PENDING: usize = 100;
/// Maximum bytes of these names.
const MAX_PENDING_BYTES: usize = 64 << 10;
/// Number of cursors that are read at the same time; a server may have very many metrics.
const LOADS_AT_ONCE: usize = 16;

/// A sync with checked settings.
#[derive(Debug)]
struct Sync(Settings);

/// Reads the `config` of a sync.
///
/// # Errors
/// All errors in it.
pub fn parse(config: &Value) -> Result<Box<dyn Job>, FieldErrors> {
    Ok(Box::new(Sync(Settings::parse(config)?)))
}

impl Job for Sync {
    fn run<'a>(&'a self, run: &'a JobContext<'a>) -> BoxFuture<'a, Report> {
        async {
            let mut sync = match SyncRun::new(&self.0, run) {
                Ok(sync) => sync,
                Err(error) => return Report::failed(error),
            };
            let result = sync.run().await;
            sync.into_report(result)
        }
        .boxed()
    }
}

/// A metric to copy, with its cursor.
#[derive(Debug)]
struct MetricCursor {
    metric: String,
    cursor: Cursor,
}

/// A run of a sync.
struct SyncRun<'r> {
    settings: &'r Settings,
    run: &'r JobContext<'r>,
    server: Server<'r>,
    target: Target<'r>,
    started: Started,
    /// Version of the records, if they have one.
    version: Option<i64>,
    /// Number of metrics to copy.
    metrics: usize,
    /// Number of these metrics that have not been tried, neither now nor before an interruption.
    untried: usize,
    failures: Failures,
    report: Report,
}

impl<'r> SyncRun<'r> {
    fn new(settings: &'r Settings, run: &'r JobContext<'r>) -> Result<Self, RunError> {
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

    fn cursors(&self) -> CursorStore<'r> {
        CursorStore(self.run)
    }

    async fn run(&mut self) -> Result<(), RunError> {
        if self.started.start > self.started.end {
            let text =
                "start_date is less than lateness_ms ago or in the future; nothing is read yet";
            self.warn("the start", vec![text.to_owned()]);
            return Ok(());
        }
        if self.settings.mode.is_full() {
            self.continue_refresh().await?;
            let (metrics, list_warnings) = self.list_metrics(&[]).await?;
            self.copy_all(metrics, &list_warnings).await?;
            if self.failures.are_systemic() && self.untried > 0 {
                // The next run continues with the untried metrics.
                return Ok(());
            }
            // The refresh is complete, the next run starts another one.
            return self.cursors().forget(RUN_KEY).await;
        }
        let position = self.position().await?;
        let (metrics, list_warnings) = self.list_metrics(&position.pending).await?;
        self.copy_all(metrics, &list_warnings).await?;
        self.move_position(position, &list_warnings).await
    }

    /// Continues an incomplete full refresh, or saves the start of a new one.
    async fn continue_refresh(&mut self) -> Result<(), RunError> {
        match self.cursors().load(RUN_KEY).await? {
            Some(started) => self.started = started,
            None => self.cursors().save(RUN_KEY, &self.started).await?,
        }
        Ok(())
    }

    /// Returns the position of the incremental modes. Metrics without a cursor are read from there if it is before the
    /// configured start, because an outage may have been longer than the lookback.
    async fn position(&mut self) -> Result<Position, RunError> {
        let saved = self.cursors();
        let start = self.started.start;
        let old: Option<Position> = saved.load(POSITION_KEY).await?;
        let mut position = old.clone().unwrap_or(Position {
            since: start,
            configured: None,
            pending: Vec::new(),
        });
        let before = position.configured.replace(self.settings.start);
        if before.is_some_and(|before| before.ms(self.started.at) < start) {
            // The configured start was moved forward, so earlier samples are no longer wanted.
            position.since = position.since.max(start);
        }
        // An incomplete run of an earlier version of the program, or an incomplete full refresh. A later full refresh
        // must not continue it.
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

    /// Moves the position to the end of this run, if all samples before that are stored or pending.
    async fn move_position(&self, old: Position, list_warnings: &[String]) -> Result<(), RunError> {
        let failures = &self.failures;
        let failed = failures.metrics();
        let knows_all = !failures.are_systemic() && list_warnings.is_empty();
        let pending_bytes: usize = failed.iter().map(String::len).sum();
        let too_many = failed.len() > MAX_PENDING || pending_bytes > MAX_PENDING_BYTES;
        // A metric that was rejected because of its table's retention may have no cursor.
        if !knows_all || failures.has_retention_errors() || too_many {
            return Ok(());
        }
        let position = Position {
            since: old
                .since
                .max(self.started.end + 1 - self.settings.lateness_ms),
            configured: old.configured,
            pending: failed.to_vec(),
        };
        self.cursors().save(POSITION_KEY, &position).await
    }

    /// Returns the metrics of this run, and the warnings if the list may be incomplete. Metrics that were tried longest
    /// ago come first, so that runs that end early reach all metrics in turn.
    async fn list_metrics(
        &mut self,
        pending: &[String],
    ) -> Result<(Vec<MetricCursor>, Vec<String>), RunError> {
        let window = Window {
            start: self.started.start,
            end: self.started.end,
        };
        let names = match self.settings.metrics.as_slice() {
            [] => Names::list(&self.server, window, pending).await?,
            given => Names::given(&self.server, window, given).await?,
        };
        self.warn("the list of metrics", names.list_warnings.clone());
        self.warn("metrics_filter", names.warnings);
        let mut metrics = Vec::with_capacity(names.all.len());
        let saved = self.cursors();
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
            metrics.push((tried, MetricCursor { metric, cursor }));
        }
        metrics.sort_by_key(|(tried, _)| *tried);
        let metrics = metrics.into_iter().map(|(_, metric)| metric).collect();
        Ok((metrics, names.list_warnings))
    }

    /// Returns true if the run must end.
    fn is_over(&self) -> bool {
        let is_late = |deadline| deadline <= Instant::now();
        self.run.stop.is_cancelled() || self.run.deadline.is_some_and(is_late)
    }

    /// Copies all metrics, and collects those that fail in `failures`.
    async fn copy_all(
        &mut self,
        metrics: Vec<MetricCursor>,
        list_warnings: &[String],
    ) -> Result<(), RunError> {
        self.metrics = metrics.len();
        self.untried = metrics.iter().filter(|it| self.is_untried(it)).count();
        let names: Vec<_> = metrics.iter().map(|it| it.metric.clone()).collect();
        self.copy_metadata(&names).await?;
        self.run.progress.expect(names.len() as u64);
        for group in self.groups(metrics) {
            let copied = match self.settings.mode {
                Mode::FullRefreshOverwrite => self.overwrite(group, list_warnings).await?,
                _ => self.copy_group(group).await?,
            };
            if copied.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn is_untried(&self, metric: &MetricCursor) -> bool {
        metric.cursor.run != self.started.at
    }

    /// Groups the metrics by table.
    fn groups(&self, metrics: Vec<MetricCursor>) -> Vec<Vec<MetricCursor>> {
        match self.settings.layout {
            Layout::Native | Layout::Rows if metrics.is_empty() => Vec::new(),
            Layout::Native | Layout::Rows => vec![metrics],
            Layout::TablePerMetric => metrics.into_iter().map(|it| vec![it]).collect(),
        }
    }

    async fn copy_group(&mut self, group: Vec<MetricCursor>) -> Result<ControlFlow<()>, RunError> {
        for metric in group {
            if self.copy(metric).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Copies one metric. Its failure ends the run only if others would fail too.
    async fn copy(&mut self, metric: MetricCursor) -> Result<ControlFlow<()>, RunError> {
        self.untried = self
            .untried
            .saturating_sub(usize::from(self.is_untried(&metric)));
        let MetricCursor { metric, mut cursor } = metric;
        let mut result = self.prepare_table(&metric, cursor.next()).await;
        if result.is_ok() {
            result = self.sync_metric(&metric, &mut cursor).await;
        }
        self.run.progress.advance(1);
        match result {
            Ok(()) => {
                self.failures.succeeded();
                Ok(ControlFlow::Continue(()))
            }
            Err(error) => self.record_failure(&metric, cursor, error).await,
        }
    }

    /// Ensures that the table of a metric exists and accepts samples from `start_ms` on.
    async fn prepare_table(&mut self, metric: &str, start_ms: i64) -> Result<(), MetricError> {
        let prepared = self.target.prepare(metric, start_ms).await;
        let warnings = self.target.take_warnings();
        self.warn("tables", warnings);
        prepared.map_err(|error| error.at(&format!("metric {metric}")))
    }

    /// Records the failure of a metric, and saves that it was tried.
    async fn record_failure(
        &mut self,
        metric: &str,
        mut cursor: Cursor,
        error: MetricError,
    ) -> Result<ControlFlow<()>, RunError> {
        let was_tried = matches!(error, MetricError::Metric(_) | MetricError::Shared(_));
        self.failures.add(metric, error)?;
        if was_tried {
            cursor.run = self.started.at;
            self.cursors().save(&key(metric), &cursor).await?;
        }
        Ok(match self.failures.are_systemic() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    /// Returns the report of the run: the error that ended it, and then the metrics that failed.
    fn into_report(self, result: Result<(), RunError>) -> Report {
        let mut report = self.report;
        let failed = self.failures.error(self.metrics);
        report.error = match (result, failed) {
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

    fn warn(&mut self, subject: &str, warnings: Vec<String>) {
        for warning in warnings {
            let text = format!("{subject}: {warning}");
            let known = &mut self.report.warnings;
            if !known.contains(&text) && known.len() < MAX_WARNINGS {
                known.push(text);
            }
        }
    }
}
