//! The type `prometheus_api`: what a Prometheus server holds to Timestream.
//!
//! One metric after the other, in windows of time (`window`), each read by `server` (`answer` reads
//! what it answers) and stored in parts, after each of which the cursor of the metric is saved.
//! `target` sees to the tables; `retention` tells whether they take what is read.

mod answer;
mod config;
mod retention;
mod server;
mod target;
mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::run::{Fault, Job, Report, Run, RunError};
use crate::connector::{Kept, Shape};
use crate::received::{Item, Metadata, Request};
use answer::{Series, is_wanted, pairs};
use config::{Layout, Mode, Settings};
use server::{Failure, Server};
use target::Target;
use window::{Window, Windows};

/// Points that are stored before the cursor is saved.
const POINTS_PER_SAVE: usize = 1_000;
/// How long storing so many may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(120);
/// Metadata that has not changed is stored again after this time.
const METADATA_MS: i64 = 86_400_000;
/// Warnings of a run that are told.
const MAX_WARNINGS: usize = 20;
/// The cursor of the run that is not complete.
const RUN_KEY: &str = "run";
/// The cursor of metadata.
const METADATA_KEY: &str = "metadata";

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
            let mut report = work.report;
            report.error = ended.err();
            report
        }
        .boxed()
    }
}

/// A run that is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Started {
    /// When it started, in milliseconds; the version of its records, where they have one.
    at: i64,
    /// The first millisecond that it reads of a metric without a cursor.
    start: i64,
    /// The last millisecond that it reads.
    end: i64,
    /// Whether the tables are as the run wants them.
    #[serde(default)]
    is_ready: bool,
}

/// How far a metric is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// The run that stored it, by its start.
    run: i64,
    /// All up to this millisecond is stored.
    through: i64,
    /// What comes next, if part of it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partial: Option<Partial>,
    /// How long windows may be, if the server refused longer ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ceiling: Option<i64>,
}

/// A window of which part is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Partial {
    start: i64,
    end: i64,
    /// The series and the time of the last point that is stored; what comes before it, by labels and
    /// time, is stored.
    series: Vec<(String, String)>,
    time: i64,
}

/// A run.
struct Work<'r> {
    settings: &'r Settings,
    run: &'r Run<'r>,
    server: Server<'r>,
    /// Of the records, where they have one.
    version: Option<i64>,
    report: Report,
}

impl<'r> Work<'r> {
    fn new(settings: &'r Settings, run: &'r Run<'r>) -> Result<Self, RunError> {
        Ok(Self {
            settings,
            run,
            server: Server::new(settings, run)?,
            version: None,
            report: Report::default(),
        })
    }

    async fn run(&mut self) -> Result<(), RunError> {
        let mut started = self.started().await?;
        let has_versions = self.settings.mode == Mode::IncrementalDeduped;
        self.version = has_versions.then_some(started.at);
        let whole = Window {
            start: started.start,
            end: started.end,
        };
        let metrics = match self.settings.metrics.as_slice() {
            [] => {
                let answer = self.server.metrics(whole).await?;
                self.warn("the list of metrics", answer.warnings);
                answer.data
            }
            given => given.to_vec(),
        };
        let mut cursors = BTreeMap::new();
        for metric in &metrics {
            if let Some(cursor) = self.cursor(metric, started).await? {
                cursors.insert(metric.clone(), cursor);
            }
        }
        let next = |metric: &String| {
            cursors
                .get(metric)
                .map_or(started.start, |it| it.through + 1)
        };
        let first = metrics.iter().map(next).min().unwrap_or(started.start);
        let target = Target::new(self.settings, self.run);
        let mut warnings = Vec::new();
        if self.settings.mode == Mode::FullRefreshOverwrite && !started.is_ready {
            target.recreate(&metrics).await?;
        }
        target.prepare(&metrics, first, &mut warnings).await?;
        self.warn("tables", warnings);
        if !started.is_ready {
            started.is_ready = true;
            self.save(RUN_KEY, &started).await?;
        }
        self.copy_metadata(&metrics).await?;
        self.run.progress.expect(metrics.len() as u64);
        for metric in &metrics {
            let cursor = cursors.remove(metric);
            self.sync_metric(metric, cursor, started).await?;
            self.run.progress.advance(1);
        }
        // The next run is another one.
        Ok(self.run.cursors.set(RUN_KEY, "").await?)
    }

    /// The run that goes on, or a new one.
    async fn started(&self) -> Result<Started, RunError> {
        if let Some(started) = self.load(RUN_KEY).await? {
            return Ok(started);
        }
        let now = (self.run.now)().as_millisecond();
        let started = Started {
            at: now,
            start: self.settings.start_ms(now),
            end: now,
            is_ready: false,
        };
        self.save(RUN_KEY, &started).await?;
        Ok(started)
    }

    async fn load<T: for<'de> Deserialize<'de>>(&self, key: &str) -> Result<Option<T>, RunError> {
        match self.run.cursors.get(key).await? {
            Some(text) if !text.is_empty() => {
                let read = serde_json::from_str(&text);
                let unreadable = |error| format!("the cursor '{key}' cannot be read: {error}");
                read.map(Some)
                    .map_err(|error| RunError::Failed(unreadable(error)))
            }
            _ => Ok(None),
        }
    }

    async fn save<T: Serialize>(&self, key: &str, value: &T) -> Result<(), RunError> {
        let text = serde_json::to_string(value).expect("texts and numbers are always valid JSON");
        Ok(self.run.cursors.set(key, &text).await?)
    }

    /// How far a metric is, as far as that counts for this run.
    async fn cursor(&self, metric: &str, started: Started) -> Result<Option<Cursor>, RunError> {
        let cursor: Option<Cursor> = self.load(&key(metric)).await?;
        let is_full = self.settings.mode.is_full();
        Ok(cursor.filter(|cursor| !is_full || cursor.run == started.at))
    }

    /// Reads and stores what is left of a metric.
    async fn sync_metric(
        &mut self,
        metric: &str,
        cursor: Option<Cursor>,
        started: Started,
    ) -> Result<(), RunError> {
        let mut cursor = cursor.unwrap_or(Cursor {
            run: started.at,
            through: started.start - 1,
            partial: None,
            ceiling: None,
        });
        cursor.run = started.at;
        let mut windows = match self.settings.raw {
            true => Windows::raw(),
            false => Windows::stepped(self.settings.step_ms),
        }
        .below(cursor.ceiling);
        loop {
            let partial = cursor.partial.take();
            let window = match &partial {
                Some(partial) => Some(Window {
                    start: partial.start,
                    end: partial.end,
                }),
                None => windows.next(cursor.through + 1, started.end),
            };
            let Some(window) = window else {
                break;
            };
            let series = match self.read(metric, window).await {
                Ok(series) => series,
                // What is stored of a window that was begun is stored again.
                Err(Failure::TooMuch(_)) if windows.shrink(window) => continue,
                Err(failure) => {
                    let error = RunError::from(failure);
                    return Err(self.failed(metric, window, error));
                }
            };
            windows.found(series.iter().map(Series::len).sum());
            cursor.ceiling = windows.ceiling();
            let stored = self
                .store(metric, window, &series, partial, &mut cursor)
                .await;
            if let Err(error) = stored {
                return Err(self.failed(metric, window, error));
            }
            cursor.through = window.end;
            cursor.partial = None;
            self.save(&key(metric), &cursor).await?;
        }
        Ok(())
    }

    async fn read(&mut self, metric: &str, window: Window) -> Result<Vec<Series>, Failure> {
        if self.settings.raw {
            return self.server.raw(metric, window).await;
        }
        let answer = self.server.range(metric, window, self.settings.step_ms);
        let answer = answer.await?;
        self.warn(metric, answer.warnings);
        Ok(answer.data)
    }

    /// Stores the points of a window by series and time, without those that are stored already; the
    /// cursor is saved after each part.
    async fn store(
        &mut self,
        metric: &str,
        window: Window,
        all: &[Series],
        partial: Option<Partial>,
        cursor: &mut Cursor,
    ) -> Result<(), RunError> {
        let mut request = Request::default();
        for series in all {
            let labels = pairs(&series.labels);
            let mut after = i64::MIN;
            if let Some(partial) = &partial {
                match labels.cmp(&partial.series) {
                    std::cmp::Ordering::Less => continue,
                    std::cmp::Ordering::Equal => after = partial.time,
                    std::cmp::Ordering::Greater => {}
                }
            }
            let mut points = points(series, after).into_iter().peekable();
            while points.peek().is_some() {
                let room = POINTS_PER_SAVE - request.count() as usize;
                for label in series.labels.iter() {
                    request.push_label(&label.name, &label.value);
                }
                let mut last = after;
                for point in points.by_ref().take(room) {
                    last = point.timestamp_ms();
                    request.push_item(point);
                }
                request.end_series();
                if request.count() as usize >= POINTS_PER_SAVE {
                    self.write(metric, &request).await?;
                    request = Request::default();
                    cursor.partial = Some(Partial {
                        start: window.start,
                        end: window.end,
                        series: labels.clone(),
                        time: last,
                    });
                    self.save(&key(metric), cursor).await?;
                }
            }
        }
        match request.is_empty() {
            true => Ok(()),
            false => self.write(metric, &request).await,
        }
    }

    /// Stores the points of `request`. When it returns, each is stored or can never be.
    async fn write(&mut self, metric: &str, request: &Request<'_>) -> Result<(), RunError> {
        if self.run.stop.is_set() {
            return Err(RunError::Interrupted);
        }
        let target = Target::new(self.settings, self.run);
        let shape = match self.settings.layout {
            Layout::Native => Shape::Series,
            Layout::Rows | Layout::TablePerMetric => Shape::Rows,
        };
        let deadline = self.deadline();
        let destination = target.of(metric);
        let copied = self
            .run
            .connector
            .copy(request, &destination, shape, self.version, deadline)
            .await;
        let outcome = copied.map_err(|refusal| RunError::Failed(refusal.to_string()))?;
        let fails = outcome.failures.iter().find(|it| !is_of_records(it.kind));
        if let Some(failure) = fails {
            let text = format!(
                "{destination}: {}: {}",
                failure.kind.as_str(),
                failure.message
            );
            return Err(
                match deadline <= Instant::now() && self.run.deadline.is_some() {
                    true => RunError::Interrupted,
                    false => RunError::Failed(text),
                },
            );
        }
        if let Kept::Failed { samples, error } = &outcome.dead_letters {
            let text = format!("{samples} samples cannot be kept as dead letters: {error}");
            return Err(RunError::Failed(text));
        }
        if let Kept::Samples(samples) = outcome.dead_letters {
            self.report.dead_lettered += samples;
        }
        self.report.received += outcome.received;
        self.report.rows += outcome.stored;
        self.report.rejected += outcome.received - outcome.stored;
        for (reason, samples) in &outcome.rejected {
            tracing::warn!(
                connector = self.run.name,
                metric,
                reason = reason.as_str(),
                samples,
                "Samples are rejected."
            );
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        let own = Instant::now() + STORE_TIMEOUT;
        self.run.deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Stores what the server knows about the metrics, if that is news.
    async fn copy_metadata(&mut self, metrics: &[String]) -> Result<(), RunError> {
        let families = match self.server.families().await {
            Ok(answer) => {
                self.warn("metadata", answer.warnings);
                answer.data
            }
            Err(Failure::Ends(RunError::Interrupted)) => return Err(RunError::Interrupted),
            Err(failure) => {
                let text = RunError::from(failure).to_string();
                self.warn("metadata is not copied", vec![text]);
                return Ok(());
            }
        };
        let families = families.into_iter().filter(|it| is_wanted(it, metrics));
        let families: Vec<_> = families.collect();
        let now_ms = (self.run.now)().as_millisecond();
        let news = (target::digest(&format!("{families:?}")), now_ms);
        if let Some((hash, time)) = self.load::<(String, i64)>(METADATA_KEY).await?
            && hash == news.0
            && now_ms - time < METADATA_MS
        {
            return Ok(());
        }
        let mut request = Request::default();
        request.metadata = families
            .iter()
            .map(|family| Metadata {
                metric_name: &family.name,
                metric_type: family.metric_type,
                help: &family.help,
                unit: &family.unit,
                series: None,
            })
            .collect();
        let destination = Target::new(self.settings, self.run).metadata();
        let deadline = self.deadline();
        let copied = self
            .run
            .connector
            .copy_metadata(&request, &destination, now_ms, deadline);
        match copied.await {
            (_, None) => self.save(METADATA_KEY, &news).await,
            (_, Some(error)) => {
                self.warn(
                    "metadata is not stored",
                    vec![format!("{destination}: {error}")],
                );
                Ok(())
            }
        }
    }

    fn failed(&self, metric: &str, window: Window, error: RunError) -> RunError {
        let RunError::Failed(text) = error else {
            return error;
        };
        let time =
            |ms| jiff::Timestamp::from_millisecond(ms).map_or(String::new(), |it| it.to_string());
        let (start, end) = (time(window.start), time(window.end));
        tracing::error!(
            connector = self.run.name,
            metric,
            start,
            end,
            error = text,
            "A window is not synced."
        );
        RunError::Failed(format!("metric {metric}, {start} to {end}: {text}"))
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

/// The key of the cursor of a metric.
fn key(metric: &str) -> String {
    format!("metric {metric}")
}

/// Whether such an error is about single records, so that the others are stored.
fn is_of_records(kind: crate::timestream::ErrorKind) -> bool {
    use crate::timestream::ErrorKind;
    matches!(kind, ErrorKind::Rejected | ErrorKind::Validation)
}

/// The points of a series after a time, in the order of time.
fn points(series: &Series, after: i64) -> Vec<Item<'static>> {
    let samples = series.samples.iter().copied().map(Item::Sample);
    let mut points: Vec<_> = samples.collect();
    if !series.histograms.is_empty() {
        let histograms = series.histograms.iter().cloned();
        points.extend(histograms.map(|it| Item::Histogram(Box::new(it))));
        points.sort_by_key(Item::timestamp_ms);
    }
    points.retain(|point| point.timestamp_ms() > after);
    points
}
