//! PromQL over Timestream: fetches what a query selects, several selections at once, and evaluates it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use prom_wire::budget::Reservation;
use prom_wire::prompb;
use prom_wire::prompb::label_matcher::Type;
use promql::{
    Annotations, EvaluationError, Fetched, Held, Interrupt, MatchOp, Matcher, Outcome,
    ParserOptions, Progress, Query, Selection, Statistics, Value, VectorSample, WindowSamples,
};
use tokio::time::{Instant, timeout_at};

use super::gathered::{Gathered, HISTOGRAM_BYTES, Piece};
use super::reads::{MAX_CONCURRENT_QUERIES, Planned, Reads};
use super::result::ReadError;
use crate::compute::Turn;
use crate::storage::read::windows::Wanted;

/// Bytes that a parsed and planned expression occupies for each byte of its text, at most.
const PARSED_BYTES: usize = 560;
/// The same for each byte of a string in it.
const STRING_BYTES: usize = 32;
/// Memory for each byte of compiled patterns, which are made in both directions from a tree.
const COMPILE_FACTOR: usize = 3;

/// Returns the bytes that expressions occupy at most while they are parsed and planned, and then.
pub fn parsed_bytes(texts: &[&str], options: &ParserOptions) -> usize {
    let has_patterns = texts.iter().any(|text| text.contains('~'));
    let patterns = match has_patterns {
        true => COMPILE_FACTOR * options.max_compiled_bytes,
        false => 0,
    };
    let parsed = texts.iter().filter(|text| text.len() <= options.max_bytes);
    let parsed = parsed.map(|text| {
        let in_strings = bytes_in_strings(text.as_bytes());
        (text.len() - in_strings) * PARSED_BYTES + in_strings * STRING_BYTES
    });
    parsed.sum::<usize>() + patterns
}

/// Returns the number of bytes of an expression that are within quotes.
fn bytes_in_strings(text: &[u8]) -> usize {
    let mut count = 0;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'#' => {
                bytes.find(|byte| **byte == b'\n');
            }
            b'\'' | b'"' | b'`' => {
                while let Some(inner) = bytes.next().filter(|inner| *inner != byte) {
                    count += 1;
                    if *inner == b'\\' && *byte != b'`' && bytes.next().is_some() {
                        count += 1;
                    }
                }
            }
            _ => {}
        }
    }
    count
}

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
/// Selections of an expression at most: as many as queries of a read request.
const MAX_SELECTIONS: usize = 100;
/// Conditions of a selection at most: as many as matchers of a query of remote read.
const MAX_MATCHERS: usize = 200;

/// Memory of a selection with the state of its statements while they run.
const SELECTION_BYTES: usize = 16 << 10;
/// Memory of a condition beside its texts, and the copies of these.
const MATCHER_BYTES: usize = 512;
const TEXT_COPIES: usize = 6;

/// Memory for each sample that an evaluation holds: as lists of them grow, they have twice the room.
const HELD_BYTES: usize = 2 * size_of::<prom_model::Sample>();
/// Memory for each byte of a series beside its samples: operators sort series into groups by their labels.
const SERIES_FACTOR: usize = 2;

/// Memory for samples that an evaluation reserves at least, so that it does so rarely.
const RESERVED_AT_ONCE: usize = 64 << 10;

impl Evaluation {
    fn failed(error: EvaluationError) -> Self {
        let outcome = Outcome {
            value: Err(error),
            annotations: Annotations::default(),
            statistics: Statistics::default(),
            per_step: None,
        };
        Self {
            outcome,
            fetching: Duration::ZERO,
            evaluating: Duration::ZERO,
        }
    }
}

impl Reads {
    /// Evaluates a PromQL query. Decoded samples, those that the evaluation holds and then those of the result are
    /// reserved in `reservation`.
    ///
    /// The samples are fetched until the deadline of the reads; a query that is evaluated at that time fails as one
    /// that timed out, and so does one whose future is dropped, soon after it.
    ///
    /// # Errors
    /// The samples cannot be fetched, or there is no memory for them. Errors of the query itself are in the outcome.
    pub async fn evaluate(
        &mut self,
        query: Query,
        reservation: &mut Reservation,
    ) -> Result<Evaluation, ReadError> {
        let (mut fetching, mut evaluating) = (Duration::ZERO, Duration::ZERO);
        let compute = self.querier().compute().clone();
        let deadline = self.deadline();
        let before = reservation.bytes();
        let mut missing = query.selections().to_vec();
        if let Some(error) = exceeded_limit(&missing) {
            return Ok(Evaluation::failed(error));
        }
        let mut state = (query, Fetched::default());
        loop {
            let began = Instant::now();
            let results = self.fetch(missing, reservation).await?;
            fetching += began.elapsed();
            // Its memory is in use until it has ended, even if nobody waits for it any more.
            let mut reserved = reservation.take();
            let evaluate = move |turn: &mut Turn| {
                let began = Instant::now();
                let (query, mut fetched) = state;
                for (selection, gathered) in results {
                    fetched.add(selection, gathered.decode().map_err(ReadError::Row)?);
                }
                let progress = run(&query, &fetched, turn, deadline, &mut reserved)?;
                Ok::<_, ReadError>((query, fetched, progress, reserved, began.elapsed()))
            };
            let evaluation = timeout_at(deadline, compute.run_detached(evaluate)).await;
            let Ok(evaluation) = evaluation else {
                let timed_out = EvaluationError::Interrupted(Interrupt::TimedOut);
                return Ok(Evaluation::failed(timed_out));
            };
            let (query, fetched, progress, reserved, duration) = evaluation?;
            *reservation = reserved;
            evaluating += duration;
            match progress {
                Progress::Done(outcome) => {
                    drop(fetched);
                    reservation.shrink(reservation.bytes() - before);
                    let bytes = outcome.value.as_ref().map_or(0, value_bytes);
                    reservation.grow(bytes).map_err(ReadError::Memory)?;
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
        let bytes = selections.iter().map(selection_bytes).sum();
        reservation.grow(bytes).map_err(ReadError::Memory)?;
        let queries: Vec<_> = selections.iter().map(remote_query).collect();
        let selected = self.selections(&queries, reservation).await?;
        let plans: Vec<Planned> = queries
            .into_iter()
            .zip(selected)
            .zip(&selections)
            .map(|((query, mut selected), selection)| {
                selected.wanted = wanted(selection, self.counts_all_samples());
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

/// Evaluates a query in turn with others. What it holds is reserved in `reserved`.
fn run(
    query: &Query,
    fetched: &Fetched,
    turn: &mut Turn,
    deadline: Instant,
    reserved: &mut Reservation,
) -> Result<Progress, ReadError> {
    let before = reserved.bytes();
    let exceeded = Cell::new(None);
    let state = RefCell::new((turn, reserved));
    let interrupt = |held: Held| {
        let (turn, reserved) = &mut *state.borrow_mut();
        turn.share();
        if turn.is_cancelled() {
            return Some(Interrupt::Canceled);
        }
        if Instant::now() >= deadline {
            return Some(Interrupt::TimedOut);
        }
        let samples = held.samples.saturating_mul(HELD_BYTES);
        let held = samples.saturating_add(SERIES_FACTOR * held.series_bytes);
        let missing = held.saturating_sub(reserved.bytes() - before);
        if missing > 0
            && let Err(error) = reserved.grow(missing.max(RESERVED_AT_ONCE))
        {
            exceeded.set(Some(error));
            return Some(Interrupt::Canceled);
        }
        None
    };
    let progress = query.evaluate_measured(fetched, &interrupt);
    let (_, reserved) = state.into_inner();
    reserved.shrink(reserved.bytes() - before);
    match exceeded.get() {
        Some(error) => Err(ReadError::Memory(error)),
        None => Ok(progress),
    }
}

/// Returns the error of an expression with more selections or conditions than one may have.
fn exceeded_limit(selections: &[Selection]) -> Option<EvaluationError> {
    let count = selections.len();
    if count > MAX_SELECTIONS {
        return Some(EvaluationError::Execution(format!(
            "the expression selects {count} different sets of series, each by a query of its own in Timestream; at \
             most {MAX_SELECTIONS} are allowed: use fewer selectors, with patterns or aggregations by a label, or \
             send several expressions"
        )));
    }
    let most = selections.iter().map(|it| it.matchers.len()).max();
    let most = most.filter(|most| *most > MAX_MATCHERS)?;
    Some(EvaluationError::Execution(format!(
        "a selector has {most} conditions; at most {MAX_MATCHERS} are allowed: combine conditions on the same label \
         to one pattern"
    )))
}

/// Returns the bytes that a value occupies.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Scalar { .. } | Value::String { .. } => 0,
        Value::Vector(samples) => {
            let labels = samples.iter().map(|it| it.labels.bytes());
            samples.capacity() * size_of::<VectorSample>() + labels.sum::<usize>()
        }
        Value::Matrix(series) => {
            let bytes = series.iter().map(|it| {
                let floats = it.floats.capacity() * size_of::<prom_model::Sample>();
                let histograms = it.histograms.len() * HISTOGRAM_BYTES;
                it.labels.bytes() + floats + histograms
            });
            bytes.sum()
        }
    }
}

/// Returns the bytes that a selection occupies while it is fetched.
fn selection_bytes(selection: &Selection) -> usize {
    let matchers = selection.matchers.iter();
    let matchers = matchers.map(|it| {
        let texts = it.name.as_bytes().len() + it.value.as_bytes().len();
        MATCHER_BYTES + TEXT_COPIES * texts
    });
    SELECTION_BYTES + matchers.sum::<usize>()
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
///
/// With `counts_all` they are those that the statistics count, too: `last_over_time` looks at one sample of a window and
/// counts all of them.
fn wanted(selection: &Selection, counts_all: bool) -> Wanted {
    let newest = match selection.samples {
        WindowSamples::All => false,
        WindowSamples::Newest => true,
        // Stale markers are stored apart from other samples, and the newest of both is found.
        WindowSamples::NewestNotStale => !counts_all,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_strings_are_distinguished_from_others() {
        for (text, expected) in [
            ("", 0),
            ("a{b='cd'}", 2),
            (r#"a{b="c'\"`"}"#, 5),
            (r"a{b=`\`}+1", 1),
            ("# it's\n1 + 'ab'", 2),
            ("#'", 0),
            ("'ab", 2),
            (r"'a\", 2),
        ] {
            assert_eq!(bytes_in_strings(text.as_bytes()), expected, "{text}");
        }
    }
}
