//! Connector definitions of the type `prometheus`: scrape a metrics URL, as Prometheus would, and
//! store what it shows, without any Prometheus.
//!
//! `config` checks what is asked for, `fetch` gets the body, `labels` and `request` make series of
//! it. A tick is one scrape: all of its body is stored, or, where a part of it cannot be read, none.
//! What is known about the scrape itself (`up`, how long it took, how many samples) is stored in both
//! cases. `staleness` and `exemplars` know what the tick before has shown: series that are gone end with stale
//! markers, and an exemplar that is shown again is stored once.

mod config;
mod exemplars;
mod fetch;
mod labels;
mod request;
mod staleness;

use std::time::Duration;

use exposition::Exposition;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;

pub use config::Scrape;

use crate::ingest::{Kept, Sender, WriteOutcome};
use crate::jobs::fault::Fault;
use crate::jobs::run::{Job, Report, Run, RunError};
use crate::received::Request;
use crate::state::StateError;
use crate::timestream::ErrorKind;
use exemplars::Exemplars;
use request::{About, Rows};
use staleness::{Before, Shown};

/// Time for writing what was scraped, retries included.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// Bytes of a body that becomes series in less than a slice of time.
const BYTES_AT_ONCE: usize = 128 << 10;

/// Checks a `config`.
///
/// # Errors
/// All its faults.
pub fn parse(config: &Value) -> Result<Box<dyn Job>, Vec<Fault>> {
    Ok(Box::new(Scrape::parse(config)?))
}

impl Job for Scrape {
    fn run<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Report> {
        let scraped = async {
            tokio::select! {
                // What is half fetched is worth nothing; what is being written is.
                () = run.stop.wait() => Report::failed(RunError::Interrupted),
                (body, took) = self.timed(run) => self.store(run, body, took).await,
            }
        };
        scraped.boxed()
    }
}

impl Scrape {
    async fn timed(&self, run: &Run<'_>) -> (Result<fetch::Body, RunError>, Duration) {
        let start = Instant::now();
        let body = fetch::fetch(self, run).await;
        (body, start.elapsed())
    }

    /// Stores what a body shows, or that there is none.
    async fn store(
        &self,
        run: &Run<'_>,
        body: Result<fetch::Body, RunError>,
        took: Duration,
    ) -> Report {
        let compute = run.ingester.compute();
        let is_long = matches!(&body, Ok(body) if body.bytes.len() > BYTES_AT_ONCE);
        let body = body.as_ref().map_err(Clone::clone);
        let read = compute.run_if(is_long, || body.and_then(read)).await;
        let (exposition, error) = match read {
            Ok(exposition) => (exposition, None),
            Err(error) => (Exposition::default(), Some(error)),
        };
        let about = About {
            is_up: error.is_none(),
            took,
            samples: exposition.samples.len(),
        };
        let target = self.target_labels(run.name);
        let exported = || labels::Exported::of(&target, &exposition);
        let exported = compute.run_if(is_long, exported).await;
        let tick_ms = run.scheduled_for.as_millisecond();
        let mut report = Report {
            error,
            ..Report::default()
        };
        let mut exemplars = self.exemplars(run, &exposition, &mut report).await;
        let labels_before;
        let mut rows = Rows::new(self, &exported, tick_ms).with_exemplars(exemplars.as_mut());
        if self.adds_target_labels {
            rows.add_about(&about);
        }
        compute.run_if(is_long, || rows.add(&exposition)).await;
        let mut change = None;
        if let Some(before) = self.before(run, &mut report).await {
            let shown = Shown::of(compute, &rows).await;
            if !before.differs(&shown) {
                warn_of_left_out(&before, &mut report);
            } else if let Some(labels) = noted(before.labels(run).await, &mut report) {
                labels_before = labels.unwrap_or_else(|| {
                    let text = "the series of the tick before cannot be read from the state; those that are \
                                gone get no stale marker";
                    report.warnings.push(text.to_owned());
                    Vec::new()
                });
                let gone = staleness::gone(compute, &labels_before, &rows).await;
                staleness::end(compute, &gone, &mut rows).await;
                change = Some((before, shown));
            }
        }
        report.received = exposition.samples.len() as u64 + rows.exemplar_count;
        report.rejected = rows.repeated;
        if rows.repeated > 0 {
            let text = format!(
                "{} samples of series that were there before in the same scrape were dropped",
                rows.repeated
            );
            report.warnings.push(text);
        }
        if !write(run, &rows.request, &mut report).await {
            return report;
        }
        if let Some((mut before, shown)) = change {
            noted(before.replace(run, &rows, &shown).await, &mut report);
            warn_of_left_out(&before, &mut report);
        }
        drop(rows);
        if let Some(exemplars) = exemplars {
            noted(exemplars.replace(run).await, &mut report);
            if exemplars.left_out > 0 {
                let text = format!(
                    "{} exemplars are left out: a tick stores 20,000",
                    exemplars.left_out
                );
                report.warnings.push(text);
            }
        }
        report
    }

    /// Returns which exemplars are to be stored, if there are some.
    async fn exemplars(
        &self,
        run: &Run<'_>,
        exposition: &Exposition<'_>,
        report: &mut Report,
    ) -> Option<Exemplars> {
        let has_some = exposition.samples.iter().any(|it| it.exemplar.is_some());
        if !self.adds_target_labels || !has_some {
            return None;
        }
        let mut exemplars = Exemplars::new(run.scheduled_for.as_millisecond());
        noted(exemplars.read(run).await, report);
        Some(exemplars)
    }

    /// Returns what is known about the series of the tick before, where those that are gone are to be ended.
    async fn before(&self, run: &Run<'_>, report: &mut Report) -> Option<Before> {
        if !self.adds_target_labels || !run.ingester.stores_special_values() {
            return None;
        }
        let before = noted(Before::read(run).await, report)?;
        let tick_ms = run.scheduled_for.as_millisecond();
        let now_ms = (run.now)().as_millisecond();
        (!before.is_after(tick_ms, now_ms)).then_some(before)
    }
}

/// Warns of a state that cannot be used: the samples are stored all the same.
fn noted<T>(result: Result<T, StateError>, report: &mut Report) -> Option<T> {
    result
        .map_err(|error| report.warnings.push(error.to_string()))
        .ok()
}

fn warn_of_left_out(before: &Before, report: &mut Report) {
    if before.left_out() > 0 {
        let text = format!(
            "{} series get no stale marker when they end: too many, or too long, to remember",
            before.left_out()
        );
        report.warnings.push(text);
    }
}

fn read(body: &fetch::Body) -> Result<Exposition<'_>, RunError> {
    // As in Prometheus, whatever the format says: a target without metrics is up.
    if body.bytes.is_empty() {
        return Ok(Exposition::default());
    }
    exposition::parse(&body.bytes, body.format).map_err(|error| RunError::Failed(error.to_string()))
}

/// Writes, and adds what became of it to `report`. Returns whether no later try could store more.
async fn write(run: &Run<'_>, request: &Request<'_>, report: &mut Report) -> bool {
    if request.is_empty() && request.metadata.is_empty() {
        return true;
    }
    let latest = Instant::now() + WRITE_TIME;
    let deadline = run.deadline.map_or(latest, |deadline| deadline.min(latest));
    let sender = Sender::SendsOnce;
    let written = run
        .ingester
        .write_to(request, run.destination, sender, deadline);
    match written.await {
        Ok(outcome) => {
            add(&outcome, report);
            let mut failures = outcome.failures.iter();
            failures.all(|failure| failure.kind == ErrorKind::Rejected)
        }
        Err(refusal) => {
            report.rejected += request.count();
            report
                .error
                .get_or_insert(RunError::Failed(refusal.to_string()));
            false
        }
    }
}

fn add(outcome: &WriteOutcome, report: &mut Report) {
    report.rows += outcome.stored;
    report.rejected += outcome.received - outcome.stored;
    match &outcome.dead_letters {
        Kept::Nothing => {}
        Kept::Samples(samples) => report.dead_lettered += samples,
        Kept::Failed { samples, error } => {
            let text = format!("{samples} samples could not be kept as dead letters: {error}");
            report.warnings.push(text);
        }
    }
    let faults = outcome.faults.iter();
    let faults = faults.map(|faulty| format!("{} samples: {}", faulty.samples, faulty.text));
    let failures = outcome.failures.iter().map(|failure| {
        let (samples, destination) = (failure.samples, &failure.destination);
        format!(
            "{samples} samples not stored in {destination}: {}",
            failure.message
        )
    });
    let texts: Vec<_> = faults.chain(failures).collect();
    if !texts.is_empty() {
        report
            .error
            .get_or_insert(RunError::Failed(texts.join("; ")));
    }
}
