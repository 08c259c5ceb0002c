//! Events that are not HTTP requests.
//!
//! Messages of a queue are dead letters to replay, or rows for a sink, like the records of a stream; a job's
//! definition, as a schedule of EventBridge sends it, is run; doctor checks the set-up. [`handle`] is the one place that calls a handler of
//! such events. An event without a handler fails its invocation, so that the sender keeps or reports it.
//!
//! Lambda passes events of up to 6 MB. The kind is found first, without parsing the rest; then only the parts that
//! the kind needs are parsed, after their memory is reserved.

use std::sync::Arc;
use std::time::Duration;

use prom_wire::budget::{MemoryBudget, Reservation};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::doctor;
use super::error::EventError;
use super::job;
use super::kind::Kind;
use super::records::{
    BatchItemFailure, KinesisBatchResponse, KinesisEvent, MAX_RECORDS, SqsBatchResponse, SqsEvent,
    SqsMessage, failures, replay_event,
};
use super::rows::{self, Item};
use crate::compute::ComputePool;
use crate::config::Config;
use crate::entry::resend::ToAll;
use crate::fields::FieldErrors;
use crate::ingest::Ingester;
use crate::jobs::definition::Definition;
use crate::jobs::registry::{MAX_DEFINITION_BYTES, TREES_OF_DEFINITION};
use crate::jobs::runner::JobRunner;
use crate::json::{LONG_BYTES, tree_bytes};
use crate::metrics::emf::EmfRecord;
use crate::replay::queue::letters_memory;
use crate::replay::{Fallback, Replay, Summary, ToTimestream};

/// The event source of a queue.
const SQS: &str = "aws:sqs";
/// The event source of a stream.
const KINESIS: &str = "aws:kinesis";
/// Bytes of the shortest record.
const MIN_RECORD_BYTES: usize = 16;
/// Bytes of memory of a record besides its strings, in a vector that grows.
const RECORD_MEMORY: usize = 3 * (size_of::<SqsMessage>() + size_of::<Item>());
/// The time after the deadline in which handlers that observe it themselves can still respond.
const BACKSTOP: Duration = Duration::from_millis(200);

/// The parts that events need; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handlers {
    /// Replays dead letters.
    pub replayer: Replayer,
    /// Runs jobs.
    pub runner: Arc<JobRunner>,
    /// The memory that events share with requests.
    pub budget: MemoryBudget,
    /// The configuration that doctor checks.
    pub config: Arc<Config>,
}

/// Replays dead letters.
#[derive(Clone, Debug)]
pub struct Replayer {
    /// Stores their samples.
    pub ingester: Ingester,
    /// Maximum time of one write.
    pub timeout: Duration,
}

/// Returns the response to an event, before `deadline`, and the numbers for CloudWatch, if there are any. An error
/// fails the invocation.
pub(super) async fn handle(
    event: &[u8],
    handlers: Option<&Handlers>,
    deadline: Instant,
) -> (Result<Value, EventError>, Option<EmfRecord>) {
    match handlers {
        Some(handlers) => {
            let reservation = handlers.budget.reservation();
            let mut invocation = Invocation {
                event,
                handlers,
                reservation,
                deadline,
            };
            invocation.handle().await
        }
        None => (Err(without_handlers(event, deadline).await), None),
    }
}

async fn without_handlers(event: &[u8], deadline: Instant) -> EventError {
    let compute = ComputePool::default();
    match kind_of(event, &compute, deadline).await {
        Ok(kind @ (Kind::EventBridge(_) | Kind::Other(_))) => unsupported(&kind),
        Ok(Kind::Records(source)) if source != SQS && source != KINESIS => {
            unsupported(&Kind::Records(source))
        }
        Ok(Kind::Records(_) | Kind::Definition | Kind::Doctor) => EventError::NotConfigured,
        Err(error) => error,
    }
}

fn unsupported(kind: &Kind) -> EventError {
    EventError::Unsupported {
        received: kind.to_string(),
    }
}

async fn kind_of(
    event: &[u8],
    compute: &ComputePool,
    deadline: Instant,
) -> Result<Kind, EventError> {
    let finding = compute.run_if(event.len() > LONG_BYTES, || Kind::of(event));
    timeout_at(deadline, finding)
        .await
        .map_err(|_| EventError::Late)
}

/// An event on its way through its handler.
struct Invocation<'e> {
    event: &'e [u8],
    handlers: &'e Handlers,
    reservation: Reservation,
    deadline: Instant,
}

impl Invocation<'_> {
    async fn handle(&mut self) -> (Result<Value, EventError>, Option<EmfRecord>) {
        // The event, and one byte for each open bracket while it is skipped.
        let memory = self.event.len() + self.event.len().next_power_of_two();
        if let Err(exceeded) = self.reservation.grow(memory) {
            return (Err(exceeded.into()), None);
        }
        let compute = self.handlers.runner.ingester.compute();
        let end = self.deadline + BACKSTOP;
        let result = match kind_of(self.event, compute, self.deadline).await {
            Ok(Kind::Definition) => return self.definition().await,
            Ok(Kind::Doctor) => {
                Ok(doctor::run(self.event, &self.handlers.config, self.deadline).await)
            }
            Ok(Kind::Records(source)) if source == SQS => timeout_at(end, self.queue()).await,
            Ok(Kind::Records(source)) if source == KINESIS => timeout_at(end, self.stream()).await,
            Ok(kind @ (Kind::Records(_) | Kind::EventBridge(_) | Kind::Other(_))) => {
                Ok(Err(unsupported(&kind)))
            }
            Err(error) => Ok(Err(error)),
        };
        (result.unwrap_or(Err(EventError::Late)), None)
    }

    /// Runs the job that the event defines.
    async fn definition(&mut self) -> (Result<Value, EventError>, Option<EmfRecord>) {
        let invalid = |text: String| EventError::from(FieldErrors::one("", text));
        let bytes = self.event.len();
        if bytes > MAX_DEFINITION_BYTES {
            let text = format!("has {bytes} bytes; expected at most {MAX_DEFINITION_BYTES}");
            return (Err(invalid(text)), None);
        }
        let memory = TREES_OF_DEFINITION * tree_bytes(self.event);
        if let Err(exceeded) = self.reservation.grow(memory) {
            return (Err(exceeded.into()), None);
        }
        let event = match serde_json::from_slice(self.event) {
            Ok(event) => event,
            Err(error) => return (Err(invalid(error.to_string())), None),
        };
        job::run(event, &self.handlers.runner, self.deadline).await
    }

    /// Handles messages of a queue: rows for a sink, or dead letters. A message that is neither counts as rows if
    /// there is a sink.
    async fn queue(&mut self) -> Result<Value, EventError> {
        let event: SqsEvent = self.read().await?.map_err(EventError::Invalid)?;
        let runner = &self.handlers.runner;
        let compute = runner.ingester.compute();
        let (mut messages, mut are_letters) = (event.records.iter(), Vec::new());
        let step = || {
            let Some(message) = messages.next() else {
                return Some(());
            };
            are_letters.push(rows::holds_letters(message));
            None
        };
        let is_long = self.event.len() > LONG_BYTES;
        compute.run_in_slices(is_long, step).await;
        let sinks = match are_letters.contains(&false) {
            true => rows::sinks(runner).await,
            false => Vec::new(),
        };
        let (mut letters, mut of_rows) = (Vec::new(), Vec::new());
        for (message, is_letters) in event.records.into_iter().zip(are_letters) {
            if message.connector().is_some() || (!sinks.is_empty() && !is_letters) {
                of_rows.push(Item::from(message));
            } else {
                letters.push(message);
            }
        }
        let letters = SqsEvent { records: letters };
        let mut response = self.replay(&letters).await;
        let again = self.deliver(&of_rows, &sinks).await;
        response.batch_item_failures.extend(again);
        Ok(serde_json::to_value(response).expect("the result is valid JSON"))
    }

    /// Handles records of a stream: rows for a sink.
    async fn stream(&mut self) -> Result<Value, EventError> {
        let event: KinesisEvent = self.read().await?.map_err(EventError::InvalidStream)?;
        let items: Vec<Item> = event.records.into_iter().map(Item::from).collect();
        let sinks = rows::sinks(&self.handlers.runner).await;
        let response = KinesisBatchResponse {
            batch_item_failures: self.deliver(&items, &sinks).await,
        };
        Ok(serde_json::to_value(response).expect("the result is valid JSON"))
    }

    /// Parses the event for its kind.
    async fn read<T: DeserializeOwned>(
        &mut self,
    ) -> Result<Result<T, serde_json::Error>, EventError> {
        let bytes = self.event.len();
        let records = MAX_RECORDS.min(bytes / MIN_RECORD_BYTES);
        self.reservation.grow(bytes + records * RECORD_MEMORY)?;
        let compute = self.handlers.runner.ingester.compute();
        let read = || serde_json::from_slice(self.event);
        Ok(compute.run_if(bytes > LONG_BYTES, read).await)
    }

    /// Replays dead letters; without memory for that, the queue must keep them.
    async fn replay(&mut self, letters: &SqsEvent) -> SqsBatchResponse {
        if letters.records.is_empty() {
            return SqsBatchResponse::default();
        }
        let memory = letters_memory(letters.records.iter().map(|it| it.body.as_str()));
        if let Err(exceeded) = self.reservation.grow(memory) {
            let messages = letters.records.len();
            tracing::error!(
                error = EventError::from(exceeded).to_string(),
                messages_failed = messages,
                "Could not replay dead letters; the queue keeps them."
            );
            let ids = letters.records.iter().map(|it| it.message_id.clone());
            return SqsBatchResponse {
                batch_item_failures: failures(ids),
            };
        }
        let replayer = &self.handlers.replayer;
        let runner = &self.handlers.runner;
        let response = replayer.replay(letters, runner, self.deadline).await;
        self.reservation.shrink(memory);
        response
    }

    async fn deliver(
        &mut self,
        items: &[Item],
        sinks: &[Arc<Definition>],
    ) -> Vec<BatchItemFailure> {
        let runner = &self.handlers.runner;
        let reservation = &mut self.reservation;
        failures(rows::deliver(items, sinks, runner, reservation, self.deadline).await)
    }
}

impl Replayer {
    /// Replays the dead letters of the messages, and returns the messages that the queue must keep.
    async fn replay(
        &self,
        event: &SqsEvent,
        runner: &JobRunner,
        deadline: Instant,
    ) -> SqsBatchResponse {
        let mut summary = Summary::default();
        let timestream = ToTimestream::new(&self.ingester, Fallback::default(), self.timeout);
        let replay = Replay::new(ToAll::new(timestream, runner), ());
        let response = replay_event(&replay.until(deadline), event, &mut summary).await;
        let (samples, stored) = (summary.replayed.samples, summary.replayed.stored);
        if summary.is_complete() {
            tracing::info!(samples, stored, "Replayed dead letters.");
        } else {
            let first = summary
                .replayed
                .left
                .iter()
                .find(|it| !it.message.is_empty());
            let error = first.map(|letter| letter.message.clone());
            tracing::error!(
                error = error.or(summary.first_unreadable).unwrap_or_default(),
                samples,
                stored,
                unreadable = summary.unreadable,
                failed_for_now = summary.replayed.failed.keys().next(),
                messages_failed = response.batch_item_failures.len(),
                "Could not store some dead letters; the queue keeps them."
            );
        }
        response
    }
}
