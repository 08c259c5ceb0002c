//! Copies one metric: reads window by window, stores in parts, and saves the cursor after each part.

use std::time::Duration;

use prom_wire::request::{Datapoint, Request};
use tokio::time::Instant;

use super::SyncRun;
use super::config::Layout;
use super::cursor::{Cursor, Partial, digest, key};
use super::failures::MetricError;
use super::response::{Series, pairs};
use super::server::Failure;
use super::window::{Window, Windows};
use crate::ingest::{DeadLetterOutcome, RecordLayout};
use crate::jobs::job::RunError;
use crate::jobs::kinds::add_written;
use crate::timestream::ErrorKind;

/// Number of points that are stored before the cursor is saved.
const POINTS_PER_SAVE: usize = 1_000;
/// Maximum bytes of the labels that a cursor saves as its position, because an item of DynamoDB has up to 400 KB. If
/// they are longer, more points are stored again after an interruption.
const MAX_PARTIAL_BYTES: usize = 64 << 10;
/// From this number of points on, their digest is computed beside other work.
const LONG_POINTS: usize = 100_000;
/// Time limit for storing [`POINTS_PER_SAVE`] points.
const STORE_TIMEOUT: Duration = Duration::from_secs(120);

impl SyncRun<'_> {
    /// Copies a metric from its cursor on, and the tail before the cursor again.
    pub(super) async fn sync_metric(
        &mut self,
        metric: &str,
        cursor: &mut Cursor,
    ) -> Result<(), MetricError> {
        let end = self.started.end;
        let mut windows = self.windows(cursor);
        if windows.next(cursor.through + 1, end).is_none() {
            return Ok(());
        }
        cursor.run = self.started.at;
        let mut from = cursor.next();
        while let Some(window) = next_window(&windows, cursor, from, end) {
            let series = match self.read(metric, window).await {
                Ok(series) => series,
                Err(Failure::TooLarge(_)) if windows.shrink(window) => {
                    // The stored part of this window is stored again.
                    cursor.partial = None;
                    continue;
                }
                Err(failure) => return Err(self.metric_error(metric, window, failure)),
            };
            let found = series.iter().map(Series::len).sum();
            windows.found(found);
            cursor.ceiling = windows.ceiling();
            // Fewer points are stored at once, so no position in them is saved.
            let content = if found >= POINTS_PER_SAVE {
                let compute = self.run.ingester.compute();
                let content = || digest(&series, window.start, window.end);
                Some(compute.run_if(found >= LONG_POINTS, content).await)
            } else {
                None
            };
            cursor.partial.take_if(|partial| {
                // Points that arrived late may belong before the saved position.
                partial.is_of(window) && (content.is_none() || partial.content != content)
            });
            let is_same = cursor.has_same_tail(from, window.end, &series);
            let stored_through = if is_same { cursor.through } else { i64::MIN };
            let stored = self.store(metric, window, &series, content, stored_through, cursor);
            if let Err(error) = stored.await {
                return Err(self.metric_error(metric, window, error));
            }
            cursor.advance(from, window.end, &series, self.tail_ms());
            self.cursors().save(&key(metric), cursor).await?;
            from = window.end + 1;
        }
        Ok(())
    }

    pub(super) fn windows(&self, cursor: &Cursor) -> Windows {
        let windows = match self.settings.raw {
            true => Windows::raw(),
            false => Windows::stepped(self.settings.step_ms),
        };
        windows.below(cursor.ceiling)
    }

    /// Returns the length of the stored time that the next run reads again.
    fn tail_ms(&self) -> i64 {
        match self.settings.mode.is_full() {
            true => 0,
            false => self.settings.lateness_ms,
        }
    }

    pub(super) async fn read(
        &mut self,
        metric: &str,
        window: Window,
    ) -> Result<Vec<Series>, Failure> {
        if self.settings.raw {
            return self.server.raw(metric, window).await;
        }
        let response = self.server.range(metric, window, self.settings.step_ms);
        let response = response.await?;
        self.warn(metric, response.warnings);
        Ok(response.data)
    }

    /// Stores the points of a window after `stored_through`, by series and time, and saves the cursor after each part.
    /// Skips the points before a saved position. `content` is the digest of all points.
    async fn store(
        &mut self,
        metric: &str,
        window: Window,
        all: &[Series],
        content: Option<u64>,
        stored_through: i64,
        cursor: &mut Cursor,
    ) -> Result<(), MetricError> {
        let partial = cursor.partial.clone().filter(|it| it.is_of(window));
        let mut request = Request::default();
        for series in all {
            let labels = pairs(&series.labels);
            let mut after = stored_through;
            if let Some(partial) = &partial {
                match labels.cmp(&partial.series) {
                    std::cmp::Ordering::Less => continue,
                    std::cmp::Ordering::Equal => after = after.max(partial.time),
                    std::cmp::Ordering::Greater => {}
                }
            }
            let mut points = points(series, after).into_iter().peekable();
            while points.peek().is_some() {
                let remaining = POINTS_PER_SAVE - request.count() as usize;
                for label in series.labels.iter() {
                    request.push_label(&label.name, &label.value);
                }
                let mut last = after;
                for point in points.by_ref().take(remaining) {
                    last = point.timestamp_ms();
                    request.push_datapoint(point);
                }
                // A part must not end between points of the same time, because the cursor saves only the time.
                while let Some(point) = points.next_if(|it| it.timestamp_ms() == last) {
                    request.push_datapoint(point);
                }
                request.end_series();
                if request.count() as usize >= POINTS_PER_SAVE {
                    self.write(metric, &request).await?;
                    request = Request::default();
                    if bytes(&labels) > MAX_PARTIAL_BYTES {
                        continue;
                    }
                    cursor.partial = Some(Partial {
                        start: window.start,
                        end: window.end,
                        series: labels.clone(),
                        time: last,
                        content,
                    });
                    self.cursors().save(&key(metric), cursor).await?;
                }
            }
        }
        match request.is_empty() {
            true => Ok(()),
            false => self.write(metric, &request).await,
        }
    }

    /// Stores the points of `request`. On success each point is stored or can never be.
    async fn write(&mut self, metric: &str, request: &Request<'_>) -> Result<(), MetricError> {
        if self.run.stop.is_cancelled() {
            return Err(RunError::Interrupted.into());
        }
        let shape = match self.settings.layout {
            Layout::Native => RecordLayout::Series,
            Layout::Rows | Layout::TablePerMetric => RecordLayout::Rows,
        };
        let deadline = self.deadline();
        let destination = self.target.of(metric);
        let copied = self
            .run
            .ingester
            .copy(request, &destination, shape, self.version, deadline)
            .await;
        let outcome = copied.map_err(|error| RunError::Failed(error.to_string()))?;
        let failure = outcome.failures.iter().find(|it| !is_of_records(it.kind));
        if let Some(failure) = failure {
            let text = format!(
                "{destination}: {}: {}",
                failure.kind.as_str(),
                failure.message
            );
            let is_late = deadline <= Instant::now() && self.run.deadline.is_some();
            return Err(match (is_late, self.settings.layout) {
                (true, _) => RunError::Interrupted.into(),
                // Tables of other metrics may work.
                (false, Layout::TablePerMetric) => MetricError::Shared(text),
                (false, Layout::Native | Layout::Rows) => RunError::Failed(text).into(),
            });
        }
        if let DeadLetterOutcome::Failed { samples, error } = &outcome.dead_letters {
            let text =
                format!("could not write {samples} samples to the dead-letter target: {error}");
            return Err(RunError::Failed(text).into());
        }
        self.report.received += outcome.received;
        add_written(&outcome, &mut self.report);
        for (reason, samples) in &outcome.rejected {
            tracing::warn!(
                connector = self.run.name,
                metric,
                reason = reason.as_str(),
                samples,
                "Samples of a metric were rejected."
            );
        }
        Ok(())
    }

    pub(super) fn deadline(&self) -> Instant {
        let own = Instant::now() + STORE_TIMEOUT;
        self.run.deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Logs an error, and returns it with the metric and the window in its message.
    pub(super) fn metric_error(
        &self,
        metric: &str,
        window: Window,
        error: impl Into<MetricError>,
    ) -> MetricError {
        let error = error.into();
        if let MetricError::Run(RunError::Interrupted | RunError::Disable(_)) = error {
            return error;
        }
        let time =
            |ms| jiff::Timestamp::from_millisecond(ms).map_or(String::new(), |it| it.to_string());
        let (start, end) = (time(window.start), time(window.end));
        tracing::error!(
            connector = self.run.name,
            metric,
            start,
            end,
            error = error.message(),
            "Failed to copy a window of a metric."
        );
        error.at(&format!("metric {metric}, {start} to {end}"))
    }
}

/// Returns the next window to read: one before a partly stored window, that window itself, or one after it.
fn next_window(windows: &Windows, cursor: &Cursor, from: i64, end: i64) -> Option<Window> {
    match &cursor.partial {
        Some(partial) => {
            let before = windows.next(from, partial.start - 1);
            Some(before.unwrap_or(Window {
                start: partial.start,
                end: partial.end,
            }))
        }
        None => windows.next(from, end),
    }
}

fn bytes(labels: &[(String, String)]) -> usize {
    labels
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// Returns true if an error of this kind concerns single records, so that the others are stored.
fn is_of_records(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Rejected | ErrorKind::Validation)
}

/// Returns the points of a series after a time, sorted by time.
fn points(series: &Series, after: i64) -> Vec<Datapoint<'static>> {
    let samples = series.samples.iter().copied().map(Datapoint::Sample);
    let mut points: Vec<_> = samples.collect();
    if !series.histograms.is_empty() {
        let histograms = series.histograms.iter().cloned();
        points.extend(histograms.map(|it| Datapoint::Histogram(Box::new(it))));
        points.sort_by_key(Datapoint::timestamp_ms);
    }
    points.retain(|point| point.timestamp_ms() > after);
    points
}
