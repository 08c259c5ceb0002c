//! PromQL over Timestream: fetches what a query selects, several selections at once, and evaluates it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use prom_model::FloatHistogram;
use prom_wire::budget::Reservation;
use prom_wire::prompb;
use prom_wire::prompb::label_matcher::Type;
use prom_wire::response::Series;
use promql::{
    Fetched, HistogramSample, Interrupt, MatchOp, Matcher, Outcome, Progress, Query, Selection,
    StoredSeries, WindowSamples,
};
use tokio::time::{Instant, timeout_at};

use super::reads::{MAX_CONCURRENT_QUERIES, Reads};
use super::result::{QueryResult, ReadError};
use crate::compute::Cancelled;
use crate::storage::read::rows::RowError;
use crate::storage::read::windows::Wanted;
use crate::timestream::TimestreamError;

/// Memory of a decoded native histogram beside its buckets.
const HISTOGRAM_BYTES: usize = size_of::<FloatHistogram>() + size_of::<HistogramSample>();

/// A query that was evaluated, and the time that it took. It may have waited for a processor beside that.
#[derive(Debug)]
pub struct Evaluation {
    /// The result, annotations and statistics.
    pub outcome: Outcome,
    /// The time until the samples were there.
    pub fetching: Duration,
    /// The time of the evaluation itself.
    pub evaluating: Duration,
}

impl Reads {
    /// Evaluates a PromQL query. Decoded samples are reserved in `reservation`.
    ///
    /// The samples are fetched until the deadline of the reads; a query that is evaluated at that time fails as one
    /// that timed out, and so does one whose future is dropped, soon after it.
    ///
    /// # Errors
    /// The samples cannot be fetched. Errors of the query itself are in the outcome.
    pub async fn evaluate(
        &mut self,
        query: Query,
        reservation: &mut Reservation,
    ) -> Result<Evaluation, ReadError> {
        let (mut fetching, mut evaluating) = (Duration::ZERO, Duration::ZERO);
        let compute = self.querier().compute().clone();
        let deadline = self.deadline();
        let mut missing = query.selections().to_vec();
        let mut state = (query, Fetched::default());
        loop {
            let began = Instant::now();
            let results = self.fetch(missing, reservation).await?;
            fetching += began.elapsed();
            let evaluate = move |cancelled: &Cancelled| {
                let began = Instant::now();
                let (query, mut fetched) = state;
                for (selection, result) in results {
                    let series: Result<Vec<_>, _> = result.iter().map(stored_series).collect();
                    fetched.add(selection, series?);
                }
                let interrupt = || match (cancelled.is_set(), Instant::now() >= deadline) {
                    (true, _) => Some(Interrupt::Canceled),
                    (_, true) => Some(Interrupt::TimedOut),
                    _ => None,
                };
                let progress = query.evaluate(&fetched, &interrupt);
                Ok((query, fetched, progress, began.elapsed()))
            };
            let evaluation = timeout_at(deadline, compute.run_detached(evaluate)).await;
            let evaluation = evaluation.map_err(|_| TimestreamError::timeout())?;
            let (query, fetched, progress, duration) = evaluation.map_err(ReadError::Row)?;
            evaluating += duration;
            match progress {
                Progress::Done(outcome) => {
                    return Ok(Evaluation {
                        outcome,
                        fetching,
                        evaluating,
                    });
                }
                Progress::Needs(selections) => missing = selections,
            }
            state = (query, fetched);
        }
    }

    /// Returns the series of selections, each of which is queried once.
    async fn fetch(
        &mut self,
        selections: Vec<Selection>,
        reservation: &mut Reservation,
    ) -> Result<Vec<(Selection, QueryResult)>, ReadError> {
        let queries: Vec<_> = selections.iter().map(remote_query).collect();
        let selected = self.selections(&queries, reservation).await?;
        let running: Vec<_> = queries
            .iter()
            .zip(selected)
            .zip(&selections)
            .map(|((query, mut selected), selection)| {
                selected.wanted = wanted(selection);
                self.start(query, selected)
            })
            .collect();
        let results = stream::iter(running).buffered(MAX_CONCURRENT_QUERIES);
        let results: Vec<QueryResult> = results.try_collect().await?;
        for result in &results {
            self.count(result);
            let bytes = result.iter().map(decoded_bytes).sum();
            reservation.grow(bytes).map_err(ReadError::Memory)?;
        }
        Ok(selections.into_iter().zip(results).collect())
    }
}

/// Returns a selection as a query of remote read, whose range includes both ends.
fn remote_query(selection: &Selection) -> prompb::Query {
    let (after_ms, last_ms) = selection.time_range_ms();
    prompb::Query {
        start_timestamp_ms: after_ms.saturating_add(1),
        end_timestamp_ms: last_ms,
        matchers: remote_matchers(&selection.matchers),
        hints: None,
    }
}

/// Returns conditions as those of remote read.
pub(super) fn remote_matchers(matchers: &[Matcher]) -> Vec<prompb::LabelMatcher> {
    let matchers = matchers.iter().map(|matcher| {
        let op = match matcher.op {
            MatchOp::Equal => Type::Eq,
            MatchOp::NotEqual => Type::Neq,
            MatchOp::Regex => Type::Re,
            MatchOp::NotRegex => Type::Nre,
        };
        prompb::LabelMatcher {
            r#type: op.into(),
            name: matcher.name.to_string_lossy().into_owned(),
            value: matcher.value.to_string_lossy().into_owned(),
        }
    });
    matchers.collect()
}

/// Returns the samples that the evaluation can touch.
fn wanted(selection: &Selection) -> Wanted {
    let newest = match selection.samples {
        WindowSamples::All => false,
        // Stale markers are stored apart from other samples, and the newest of both is found.
        WindowSamples::Newest | WindowSamples::NewestNotStale => true,
    };
    let end = |time_ms: i64| time_ms.saturating_add(selection.after_ms);
    Wanted::windows(
        end(selection.first_ms),
        end(selection.last_ms),
        selection.step_ms,
        selection.before_ms.saturating_add(selection.after_ms),
        newest,
    )
}

/// Returns the bytes that a series occupies as [`stored_series`].
fn decoded_bytes(series: &Series) -> usize {
    let floats = series.len() - series.histograms.len();
    let histograms = series.histograms.iter();
    // Counts of buckets are at most twice as large as floats.
    let histograms = histograms.map(|it| HISTOGRAM_BYTES + 2 * it.bytes());
    size_of::<StoredSeries>()
        + series.labels.bytes()
        + floats * size_of::<prom_model::Sample>()
        + histograms.sum::<usize>()
}

/// Decodes a series.
fn stored_series(series: &Series) -> Result<StoredSeries, RowError> {
    let histograms = series.histograms.iter().map(|stored| {
        let histogram = FloatHistogram::try_from(stored);
        let histogram = histogram.map_err(|error| RowError::InvalidHistogram {
            text: format!("{stored:?}"),
            error,
        })?;
        Ok(HistogramSample {
            timestamp_ms: stored.timestamp_ms,
            histogram: Arc::new(histogram),
        })
    });
    Ok(StoredSeries {
        labels: Arc::new(series.labels.clone()),
        floats: series.samples().collect(),
        histograms: histograms.collect::<Result<_, _>>()?,
        starts: None,
    })
}
