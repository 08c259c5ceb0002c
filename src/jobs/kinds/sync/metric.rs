//! One metric: read window by window and stored in parts, after each of which its cursor is saved.

use std::time::Duration;

use tokio::time::Instant;

use super::Work;
use super::config::Layout;
use super::cursor::{Cursor, Partial, digest, key};
use super::failures::Ended;
use super::response::{Series, pairs};
use super::server::Failure;
use super::window::{Window, Windows};
use crate::ingest::{Kept, Shape};
use crate::jobs::run::RunError;
use crate::received::{Item, Request};
use crate::timestream::ErrorKind;

/// Points that are stored before the cursor is saved.
const POINTS_PER_SAVE: usize = 1_000;
/// Bytes of the labels of a series that is remembered as the place that was reached. Where they are
/// longer, more is stored again: an item of DynamoDB has 400 kB.
const MAX_PARTIAL_BYTES: usize = 64 << 10;
/// Points whose digest takes so long that it is made beside other work.
const LONG_POINTS: usize = 100_000;
/// The most time for storing so many.
const STORE_TIMEOUT: Duration = Duration::from_secs(120);

impl Work<'_> {
    /// Reads and stores what is left of a metric, and the last stretch of what is stored again.
    pub(super) async fn sync_metric(
        &mut self,
        metric: &str,
        cursor: &mut Cursor,
    ) -> Result<(), Ended> {
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
                Err(Failure::TooMuch(_)) if windows.shrink(window) => {
                    // What is stored of a window that was begun is stored again.
                    cursor.partial = None;
                    continue;
                }
                Err(failure) => return Err(self.failed(metric, window, failure)),
            };
            let found = series.iter().map(Series::len).sum();
            windows.found(found);
            cursor.ceiling = windows.ceiling();
            // Fewer are stored at once, so no place in them is remembered.
            let content = if found >= POINTS_PER_SAVE {
                let compute = self.run.ingester.compute();
                let content = || digest(&series, window.start, window.end);
                Some(compute.run_if(found >= LONG_POINTS, content).await)
            } else {
                None
            };
            cursor.partial.take_if(|partial| {
                // What has arrived late may belong before the place that was reached.
                partial.is_of(window) && (content.is_none() || partial.content != content)
            });
            let is_same = cursor.has_same_tail(from, window.end, &series);
            let stored_through = if is_same { cursor.through } else { i64::MIN };
            let stored = self.store(metric, window, &series, content, stored_through, cursor);
            if let Err(ended) = stored.await {
                return Err(self.failed(metric, window, ended));
            }
            cursor.advance(from, window.end, &series, self.stretch_ms());
            self.saved().save(&key(metric), cursor).await?;
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

    /// Returns how much of what is stored the next run reads again.
    fn stretch_ms(&self) -> i64 {
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
        let answer = self.server.range(metric, window, self.settings.step_ms);
        let answer = answer.await?;
        self.warn(metric, answer.warnings);
        Ok(answer.data)
    }

    /// Stores the points of a window that come after `stored_through`, by series and time, without those
    /// of the part that is stored already; the cursor is saved after each part. The `content` is the digest
    /// of all points.
    async fn store(
        &mut self,
        metric: &str,
        window: Window,
        all: &[Series],
        content: Option<u64>,
        stored_through: i64,
        cursor: &mut Cursor,
    ) -> Result<(), Ended> {
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
                let room = POINTS_PER_SAVE - request.count() as usize;
                for label in series.labels.iter() {
                    request.push_label(&label.name, &label.value);
                }
                let mut last = after;
                for point in points.by_ref().take(room) {
                    last = point.timestamp_ms();
                    request.push_item(point);
                }
                // A part ends between two times, as the time is all that is remembered of its end.
                while let Some(point) = points.next_if(|it| it.timestamp_ms() == last) {
                    request.push_item(point);
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
                    self.saved().save(&key(metric), cursor).await?;
                }
            }
        }
        match request.is_empty() {
            true => Ok(()),
            false => self.write(metric, &request).await,
        }
    }

    /// Stores the points of `request`. When it returns, each is stored or can never be.
    async fn write(&mut self, metric: &str, request: &Request<'_>) -> Result<(), Ended> {
        if self.run.stop.is_set() {
            return Err(RunError::Interrupted.into());
        }
        let shape = match self.settings.layout {
            Layout::Native => Shape::Series,
            Layout::Rows | Layout::TablePerMetric => Shape::Rows,
        };
        let deadline = self.deadline();
        let destination = self.target.of(metric);
        let copied = self
            .run
            .ingester
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
            let is_late = deadline <= Instant::now() && self.run.deadline.is_some();
            return Err(match (is_late, self.settings.layout) {
                (true, _) => RunError::Interrupted.into(),
                // The tables of others may do.
                (false, Layout::TablePerMetric) => Ended::Shared(text),
                (false, Layout::Native | Layout::Rows) => RunError::Failed(text).into(),
            });
        }
        if let Kept::Failed { samples, error } = &outcome.dead_letters {
            let text = format!("{samples} samples cannot be kept as dead letters: {error}");
            return Err(RunError::Failed(text).into());
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

    pub(super) fn deadline(&self) -> Instant {
        let own = Instant::now() + STORE_TIMEOUT;
        self.run.deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Returns why a metric ended, with its name and the window.
    pub(super) fn failed(&self, metric: &str, window: Window, why: impl Into<Ended>) -> Ended {
        let ended = why.into();
        if let Ended::Run(RunError::Interrupted | RunError::Disable(_)) = ended {
            return ended;
        }
        let time =
            |ms| jiff::Timestamp::from_millisecond(ms).map_or(String::new(), |it| it.to_string());
        let (start, end) = (time(window.start), time(window.end));
        tracing::error!(
            connector = self.run.name,
            metric,
            start,
            end,
            error = ended.text(),
            "A window is not synced."
        );
        ended.at(&format!("metric {metric}, {start} to {end}"))
    }
}

/// Returns the window that is read next: up to one that was begun, that one, or one after it.
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

/// Whether such an error is about single records, so that the others are stored.
fn is_of_records(kind: ErrorKind) -> bool {
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
