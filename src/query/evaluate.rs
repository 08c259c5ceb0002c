//! PromQL over Timestream: fetches what a query selects, several selections at once, and evaluates it.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use prom_wire::budget::Reservation;
use prom_wire::prompb;
use prom_wire::prompb::label_matcher::Type;
use promql::{
    Fetched, Interrupt, MatchOp, Matcher, Outcome, Progress, Query, Selection, WindowSamples,
};
use tokio::time::{Instant, timeout_at};

use super::gathered::{Gathered, Piece};
use super::reads::{MAX_CONCURRENT_QUERIES, Planned, Reads};
use super::result::ReadError;
use crate::compute::Cancelled;
use crate::storage::read::windows::Wanted;
use crate::timestream::TimestreamError;

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
                for (selection, gathered) in results {
                    fetched.add(selection, gathered.decode()?);
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

    /// Returns the series of selections, each of which is queried once, unless they are cached.
    async fn fetch(
        &mut self,
        selections: Vec<Selection>,
        reservation: &mut Reservation,
    ) -> Result<Vec<(Selection, Gathered)>, ReadError> {
        let queries: Vec<_> = selections.iter().map(remote_query).collect();
        let selected = self.selections(&queries, reservation).await?;
        let plans: Vec<Planned> = queries
            .into_iter()
            .zip(selected)
            .zip(&selections)
            .map(|((query, mut selected), selection)| {
                selected.wanted = wanted(selection);
                self.plan(query, selected)
            })
            .collect();
        self.count_cached(&plans).await?;
        let running: Vec<_> = plans.iter().flat_map(|it| self.start_missing(it)).collect();
        let fetched = stream::iter(running).buffered(MAX_CONCURRENT_QUERIES);
        let fetched: Vec<Piece> = fetched.try_collect().await?;
        let mut fetched = fetched.into_iter();
        let compute = self.querier().compute().clone();
        let mut results = Vec::with_capacity(selections.len());
        for (selection, planned) in selections.into_iter().zip(plans) {
            let (mut pieces, missing) = planned.into_parts();
            pieces.extend(fetched.by_ref().take(missing));
            pieces.sort_by_key(|piece| piece.span.first_ms);
            let gathered = Gathered::new(pieces, &compute).await;
            self.count_samples(gathered.len(), gathered.samples());
            let bytes = gathered.decoded_bytes();
            reservation.grow(bytes).map_err(ReadError::Memory)?;
            results.push((selection, gathered));
        }
        Ok(results)
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
