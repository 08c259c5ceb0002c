//! The write use case: convert, group, send all batches, and tell what became of each sample.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Connector;
use crate::convert::batch::{BatchRecord, arrange, batches};
use crate::convert::body::write_call;
use crate::convert::series::{IgnoreReason, Refusal, SeriesFault, series_to_records};
use crate::model::Destination;
use crate::prompb;
use crate::timestream::retry::Limits;
use crate::timestream::{ErrorKind, RejectReason, Rejection, TimestreamError};

/// What became of the samples of a write request.
///
/// `received` is the sum of `stored`, `ignored`, the samples of `faults` and those of `failures`.
#[derive(Debug, Default)]
pub struct WriteOutcome {
    /// Samples in the request.
    pub received: u64,
    /// Samples that Timestream holds now.
    pub stored: u64,
    /// Samples left out by policy.
    pub ignored: BTreeMap<IgnoreReason, u64>,
    /// Samples of series that the sender has to mend.
    pub faults: Vec<(SeriesFault, u64)>,
    /// Samples that Timestream did not take, by destination and kind.
    pub failures: Vec<Failure>,
    /// The samples of those failures that are rejections, by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Billed units of the calls that stored something.
    pub write_units: u64,
    /// WriteRecords calls, retries not counted.
    pub calls: u64,
    /// Calls made again.
    pub retries: u64,
}

/// Samples that Timestream did not take.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Where they were to go.
    pub destination: Destination,
    /// What somebody can do about it.
    pub kind: ErrorKind,
    /// How many.
    pub samples: u64,
    /// The service's words for the first of them.
    pub message: String,
}

impl Connector {
    /// Stores the samples of `request`. Every batch is sent, whatever happens to the others, and
    /// the outcome of each is known when this returns.
    ///
    /// # Errors
    /// A `fail_on_*` option refuses the request; then nothing has been written.
    pub async fn write(
        &self,
        request: &prompb::WriteRequest,
        deadline: Instant,
    ) -> Result<WriteOutcome, Refusal> {
        let conversion = series_to_records(&request.timeseries, &self.routing, self.policy)?;
        let mut outcome = WriteOutcome {
            received: conversion.received,
            ignored: conversion.ignored,
            faults: conversion.faults,
            ..WriteOutcome::default()
        };
        let limits = Limits {
            max_retries: self.max_write_retries,
            deadline,
        };
        let arranged: Vec<_> = conversion
            .destinations
            .iter()
            .map(|records| (&records.destination, arrange(records)))
            .collect();
        let mut sends = FuturesUnordered::new();
        for (destination, records) in &arranged {
            sends.extend(batches(records).map(|batch| self.send(destination, batch, limits)));
        }
        while let Some(sent) = sends.next().await {
            outcome.add(sent);
        }
        Ok(outcome)
    }

    /// Sends one batch. If the service refuses it as a whole because of what it holds, it is
    /// halved until the refused records stand alone.
    async fn send(
        &self,
        destination: &Destination,
        batch: &[BatchRecord<'_>],
        limits: Limits,
    ) -> Sent {
        let mut sent = Sent {
            destination: destination.clone(),
            ..Sent::default()
        };
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.call(destination, part, limits, &mut sent).await {
                Ok(()) => sent.stored += part.len() as u64,
                Err(error) if error.kind == ErrorKind::Validation && part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => sent.fail(&error, part.len()),
            }
        }
        sent
    }

    /// One call, once the process has a place for it.
    async fn call(
        &self,
        destination: &Destination,
        records: &[BatchRecord<'_>],
        limits: Limits,
        sent: &mut Sent,
    ) -> Result<(), TimestreamError> {
        let permit = tokio::time::timeout_at(limits.deadline, self.write_permits.acquire());
        let _permit = permit.await.map_err(|_| {
            TimestreamError::new(
                ErrorKind::Timeout,
                "too many calls are in flight (write_concurrency)",
            )
        })?;
        let call = write_call(destination, records);
        let tried = self.timestream.write_records(call.body, limits).await;
        sent.calls += 1;
        sent.retries += u64::from(tried.retries);
        if stores_something(&tried.result, records.len()) {
            sent.write_units += call.write_units;
        }
        tried.result
    }
}

/// What became of one batch.
#[derive(Debug, Default)]
struct Sent {
    destination: Destination,
    stored: u64,
    failed: BTreeMap<ErrorKind, (u64, String)>,
    rejected: BTreeMap<RejectReason, u64>,
    write_units: u64,
    calls: u64,
    retries: u64,
}

impl Sent {
    fn fail(&mut self, error: &TimestreamError, records: usize) {
        let rejections = rejections(error, records);
        let (failed, message) = match rejections.first() {
            // Records that no rejection names are stored.
            Some(first) => (rejections.len(), first.reason.clone()),
            None => (records, error.message.clone()),
        };
        self.stored += (records - failed) as u64;
        self.failed.entry(error.kind).or_insert((0, message)).0 += failed as u64;
        for rejection in &rejections {
            let reason = RejectReason::of(&rejection.reason);
            *self.rejected.entry(reason).or_default() += 1;
        }
        if rejections.is_empty() && error.kind == ErrorKind::Rejected {
            *self.rejected.entry(RejectReason::Other).or_default() += failed as u64;
        }
    }
}

/// The rejections of a call of so many records, sorted, one for each record.
fn rejections(error: &TimestreamError, records: usize) -> Vec<&Rejection> {
    let mut rejections: Vec<_> = error
        .rejections
        .iter()
        .filter(|rejection| rejection.index < records)
        .collect();
    rejections.sort_by_key(|rejection| rejection.index);
    rejections.dedup_by_key(|rejection| rejection.index);
    rejections
}

/// Whether Timestream holds a record of the call now.
fn stores_something(result: &Result<(), TimestreamError>, records: usize) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => (1..records).contains(&rejections(error, records).len()),
    }
}

impl WriteOutcome {
    fn add(&mut self, sent: Sent) {
        self.stored += sent.stored;
        self.calls += sent.calls;
        self.retries += sent.retries;
        self.write_units += sent.write_units;
        for (reason, samples) in sent.rejected {
            *self.rejected.entry(reason).or_default() += samples;
        }
        for (kind, (samples, message)) in sent.failed {
            let known = self
                .failures
                .iter_mut()
                .find(|failure| failure.kind == kind && failure.destination == sent.destination);
            match known {
                Some(failure) => failure.samples += samples,
                None => self.failures.push(Failure {
                    destination: sent.destination.clone(),
                    kind,
                    samples,
                    message,
                }),
            }
        }
    }

    /// Samples that neither are stored nor were left out by policy.
    pub fn lost(&self) -> u64 {
        let faults: u64 = self.faults.iter().map(|(_, samples)| samples).sum();
        let failures: u64 = self.failures.iter().map(|failure| failure.samples).sum();
        faults + failures
    }
}
