//! Jobs of the type `prometheus`: scrape a metrics URL as Prometheus would, and store the samples.
//!
//! `config` checks the settings, `fetch` gets the body, `labels` and `request` build a write request from it. A
//! body is stored as a whole, or not at all if a part of it cannot be parsed. The series about the scrape itself
//! (`up`, its duration, its number of samples) are stored in both cases. `staleness` and `exemplars` remember the
//! previous scrape: series that have disappeared get stale markers, and a repeated exemplar is stored once.

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
use prom_wire::request::Request;
use serde_json::Value;
use tokio::time::Instant;

use crate::fields::FieldErrors;
use crate::ingest::{DeadLetterOutcome, Redelivery, WriteOutcome};
use crate::jobs::job::{Job, JobContext, Report, RunError};
use crate::state::StateError;
use crate::timestream::ErrorKind;
pub use config::Scrape;
use exemplars::Exemplars;
use labels::TargetLabels;
use request::{RequestBuilder, ScrapeSummary};
use staleness::{CurrentSeries, PreviousSeries};

/// Time limit for writing the samples, retries included.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A body of up to this many bytes is converted in less than a slice of time.
const BYTES_AT_ONCE: usize = 128 << 10;

/// Checks a `config`.
///
/// # Errors
/// All errors in it.
pub fn parse(config: &Value) -> Result<Box<dyn Job>, FieldErrors> {
    Ok(Box::new(Scrape::parse(config)?))
}

impl Job for Scrape {
    fn run<'a>(&'a self, run: &'a JobContext<'a>) -> BoxFuture<'a, Report> {
        let scraped = async {
            tokio::select! {
                // A fetch can be abandoned at any time, a write is completed.
                () = run.stop.cancelled() => Report::failed(RunError::Interrupted),
                (body, duration) = self.fetch_timed(run) => self.store(run, body, duration).await,
            }
        };
        scraped.boxed()
    }
}

impl Scrape {
    async fn fetch_timed(&self, run: &JobContext<'_>) -> (Result<fetch::Body, RunError>, Duration) {
        let start = Instant::now();
        let body = fetch::fetch(self, run).await;
        (body, start.elapsed())
    }

    /// Stores the samples of a body, or the failure to get one.
    async fn store(
        &self,
        run: &JobContext<'_>,
        body: Result<fetch::Body, RunError>,
        duration: Duration,
    ) -> Report {
        let compute = run.ingester.compute();
        let is_long = matches!(&body, Ok(body) if body.bytes.len() > BYTES_AT_ONCE);
        let body = body.as_ref().map_err(Clone::clone);
        let parsed = compute.run_if(is_long, || body.and_then(parse_body)).await;
        let (exposition, error) = match parsed {
            Ok(exposition) => (exposition, None),
            Err(error) => (Exposition::default(), Some(error)),
        };
        let summary = ScrapeSummary {
            is_up: error.is_none(),
            duration,
            samples: exposition.samples.len(),
        };
        let configured = self.target_labels(run.name);
        let target_labels = || TargetLabels::new(&configured, &exposition);
        let target_labels = compute.run_if(is_long, target_labels).await;
        let tick_ms = run.scheduled_for.as_millisecond();
        let mut report = Report {
            error,
            ..Report::default()
        };
        let mut exemplars = self.exemplars(run, &exposition, &mut report).await;
        let previous_labels;
        let builder = RequestBuilder::new(self, &target_labels, tick_ms);
        let mut builder = builder.with_exemplars(exemplars.as_mut());
        if self.adds_target_labels {
            builder.add_summary(&summary);
        }
        compute.run_if(is_long, || builder.add(&exposition)).await;
        let mut change = None;
        if let Some(previous) = self.previous_series(run, &mut report).await {
            let current = CurrentSeries::of(compute, &builder).await;
            if !previous.differs_from(&current) {
                warn_of_untracked(&previous, &mut report);
            } else if let Some(labels) = warn_on_error(previous.labels(run).await, &mut report) {
                previous_labels = labels.unwrap_or_else(|| {
                    let text = "cannot read the series of the previous scrape from the state; series that have \
                                disappeared since then get no stale marker";
                    report.warnings.push(text.to_owned());
                    Vec::new()
                });
                let disappeared = staleness::disappeared(compute, &previous_labels, &builder).await;
                staleness::add_stale_markers(compute, &disappeared, &mut builder).await;
                change = Some((previous, current));
            }
        }
        report.received = exposition.samples.len() as u64 + builder.exemplar_count;
        report.added =
            (builder.request.count() + builder.duplicates).saturating_sub(report.received);
        report.rejected = builder.duplicates;
        if builder.duplicates > 0 {
            let text = format!(
                "{} samples were dropped: an earlier sample of the scrape has the same series and time",
                builder.duplicates
            );
            report.warnings.push(text);
        }
        if !write(run, &builder.request, &mut report).await {
            return report;
        }
        if let Some((mut previous, current)) = change {
            warn_on_error(previous.replace(run, &builder, &current).await, &mut report);
            warn_of_untracked(&previous, &mut report);
        }
        drop(builder);
        if let Some(exemplars) = exemplars {
            warn_on_error(exemplars.save(run).await, &mut report);
            if exemplars.dropped > 0 {
                let text = format!(
                    "{} exemplars were dropped: the limit is 20,000 per scrape",
                    exemplars.dropped
                );
                report.warnings.push(text);
            }
        }
        report
    }

    /// Returns the selection of new exemplars, if the target exposes any that are stored.
    async fn exemplars(
        &self,
        run: &JobContext<'_>,
        exposition: &Exposition<'_>,
        report: &mut Report,
    ) -> Option<Exemplars> {
        let has_some = exposition.samples.iter().any(|it| it.exemplar.is_some());
        if !self.adds_target_labels || !has_some {
            return None;
        }
        let mut exemplars = Exemplars::new(run.scheduled_for.as_millisecond());
        warn_on_error(exemplars.load(run).await, report);
        Some(exemplars)
    }

    /// Returns the series of the previous scrape, if those that have disappeared get stale markers.
    async fn previous_series(
        &self,
        run: &JobContext<'_>,
        report: &mut Report,
    ) -> Option<PreviousSeries> {
        if !self.adds_target_labels || !run.ingester.stores_special_values() {
            return None;
        }
        let previous = warn_on_error(PreviousSeries::load(run).await, report)?;
        let tick_ms = run.scheduled_for.as_millisecond();
        let now_ms = (run.now)().as_millisecond();
        (!previous.is_after(tick_ms, now_ms)).then_some(previous)
    }
}

/// Reports an error of the state as a warning, because samples are stored without it.
fn warn_on_error<T>(result: Result<T, StateError>, report: &mut Report) -> Option<T> {
    result
        .map_err(|error| report.warnings.push(error.to_string()))
        .ok()
}

fn warn_of_untracked(previous: &PreviousSeries, report: &mut Report) {
    if previous.untracked() > 0 {
        let text = format!(
            "{} series will get no stale marker when they end: they exceed the number or the size of the series \
             that are remembered",
            previous.untracked()
        );
        report.warnings.push(text);
    }
}

fn parse_body(body: &fetch::Body) -> Result<Exposition<'_>, RunError> {
    // An empty body is valid in every format, as in Prometheus: a target without metrics is up.
    if body.bytes.is_empty() {
        return Ok(Exposition::default());
    }
    exposition::parse(&body.bytes, body.format).map_err(|error| RunError::Failed(error.to_string()))
}

/// Writes the request and adds the outcome to `report`. Returns true if a retry could not store more.
async fn write(run: &JobContext<'_>, request: &Request<'_>, report: &mut Report) -> bool {
    if request.is_empty() && request.metadata.is_empty() {
        return true;
    }
    let latest = Instant::now() + WRITE_TIMEOUT;
    let deadline = run.deadline.map_or(latest, |deadline| deadline.min(latest));
    let redelivery = Redelivery::None;
    let written = run
        .ingester
        .write_to(request, run.destination, redelivery, deadline);
    match written.await {
        Ok(outcome) => {
            add_outcome(&outcome, report);
            let mut failures = outcome.failures.iter();
            failures.all(|failure| failure.kind == ErrorKind::Rejected)
        }
        Err(error) => {
            report.rejected += request.count();
            report
                .error
                .get_or_insert(RunError::Failed(error.to_string()));
            false
        }
    }
}

fn add_outcome(outcome: &WriteOutcome, report: &mut Report) {
    super::add_written(outcome, report);
    if let DeadLetterOutcome::Failed { samples, error } = &outcome.dead_letters {
        let text = format!("could not write {samples} samples to the dead-letter target: {error}");
        report.warnings.push(text);
    }
    let invalid = outcome.invalid.iter();
    let invalid = invalid.map(|invalid| format!("{} samples: {}", invalid.samples, invalid.text));
    let failures = outcome.failures.iter().map(|failure| {
        let (samples, destination) = (failure.samples, &failure.destination);
        format!(
            "{samples} samples not stored in {destination}: {}",
            failure.message
        )
    });
    let texts: Vec<_> = invalid.chain(failures).collect();
    if !texts.is_empty() {
        report
            .error
            .get_or_insert(RunError::Failed(texts.join("; ")));
    }
}
