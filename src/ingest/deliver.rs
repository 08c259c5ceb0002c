//! Samples to Timestream: convert them, send every batch, and record the outcome of each sample.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prom_wire::request::{DatapointRange, Request};
use tokio::time::Instant;

use crate::ingest::Ingester;
use crate::storage::destination::Destination;
use crate::storage::routing::Routing;
use crate::storage::write::batch::{Batch, BatchRecord, batches_within};
use crate::storage::write::body::{Versions, write_call};
use crate::storage::write::route::SeriesError;
use crate::storage::write::series::{
    Conversion, DropReason, IgnoreReason, PolicyViolation, series_to_records,
};
use crate::timestream::retry::Limits;
use crate::timestream::{ErrorKind, RejectReason, Rejection, TimestreamError};

/// Calls that one request may make beyond one for each batch, to find out which records of rejected
/// batches Timestream rejects. One such record among 100 takes 14.
const MAX_SPLIT_CALLS: u32 = 500;

/// A request of so many samples and labels takes longer to convert than a thread that serves
/// connections may be occupied.
const LONG_WORK: usize = 20_000;

/// The fate of the samples of a request: once it is complete, those that are not listed are stored.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// Samples in calls that have succeeded, or that succeeded in part.
    pub(crate) delivered: u64,
    /// Samples that Timestream does not hold.
    pub(crate) undelivered: Vec<Undelivered>,
    /// Billed units of the calls that stored something.
    pub(crate) write_units: u64,
    /// WriteRecords calls, retries not counted.
    pub(crate) calls: u64,
    /// Calls made again.
    pub(crate) retries: u64,
}

/// Samples of one series that Timestream does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Undelivered {
    pub(crate) items: DatapointRange,
    pub(crate) cause: FailureCause,
}

/// The reason why samples are not stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FailureCause {
    /// They are dropped by policy.
    Ignored(IgnoreReason),
    /// Their series is invalid; the sender must fix it.
    Invalid(SeriesError),
    /// Timestream rejected them, or could not be reached.
    Failed(Failed),
}

/// A record that Timestream did not store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failed {
    /// Its destination.
    pub(crate) destination: Arc<Destination>,
    /// The kind of the error, by its remedy.
    pub(crate) kind: ErrorKind,
    /// The reason of the rejection, if the record was rejected by itself.
    pub(crate) reject_reason: Option<RejectReason>,
    /// The service's words.
    pub(crate) message: Arc<str>,
    /// The version that is stored, where a version was the reason.
    pub(crate) existing_version: Option<i64>,
}

/// The options of the batches of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteOptions {
    pub(super) limits: Limits,
    /// The versions of the records, where they have some.
    pub(super) versions: Option<Versions>,
}

impl FailureCause {
    /// Returns the value of the label `reason` in metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Ignored(reason) => reason.as_str(),
            Self::Invalid(error) => error.name(),
            Self::Failed(failed) => failed
                .reject_reason
                .map_or(failed.kind.as_str(), RejectReason::as_str),
        }
    }

    /// Returns the error message.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Failed(failed) => format!("{}: {}", failed.kind.as_str(), failed.message),
            other => other.reason().to_owned(),
        }
    }

    /// Returns true if a later attempt may store the samples without any change.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed(failed) if failed.kind.is_retryable())
    }
}

impl Ingester {
    /// Sends the samples of `request` to where `routing` says. Every batch is sent, whatever
    /// happens to the others, and the outcome of each is in `delivery` when this returns. If it is
    /// dropped before, `delivery` has the outcome of the calls that had ended.
    ///
    /// # Errors
    /// A `fail_on_*` option rejects the request; then nothing has been written.
    pub(crate) async fn deliver(
        &self,
        request: &Request<'_>,
        routing: &Routing,
        deadline: Instant,
        delivery: &mut Delivery,
    ) -> Result<(), PolicyViolation> {
        let convert = || series_to_records(request, routing, self.policy);
        let conversion = self.compute.run_if(is_long(request), convert).await?;
        let versions = self.versions.as_ref();
        let versions = versions.map(|it| Versions::From(it.reserve(request.count())));
        self.deliver_records(conversion, versions, deadline, delivery)
            .await;
        Ok(())
    }

    /// As [`Self::deliver`], of records.
    pub(super) async fn deliver_records(
        &self,
        conversion: Conversion<'_>,
        versions: Option<Versions>,
        deadline: Instant,
        delivery: &mut Delivery,
    ) {
        let dropped = conversion.dropped.iter().map(|dropped| Undelivered {
            items: dropped.items,
            cause: match dropped.reason {
                DropReason::Ignored(reason) => FailureCause::Ignored(reason),
                DropReason::Invalid(error) => FailureCause::Invalid(error),
            },
        });
        delivery.undelivered.extend(dropped);
        let limits = Limits {
            max_retries: self.max_retries,
            deadline,
        };
        let options = WriteOptions { limits, versions };
        self.send_records(&conversion, options, delivery).await;
    }

    /// Sends all records of a conversion, as many calls at a time as the process makes. While the permits for calls
    /// are scarce there are fewer of them, by [`Permits::call_limits`](super::permits::Permits::call_limits).
    ///
    /// A batch that the service rejects as a whole because of its content is halved until the
    /// rejected records stand alone, or until [`MAX_SPLIT_CALLS`] are made: the rest counts as rejected
    /// then.
    pub(super) async fn send_records(
        &self,
        conversion: &Conversion<'_>,
        options: WriteOptions,
        delivery: &mut Delivery,
    ) {
        let records: usize = conversion
            .destinations
            .iter()
            .map(|it| it.records.len())
            .sum();
        let time = options
            .limits
            .deadline
            .saturating_duration_since(Instant::now());
        let limits = self.permits.call_limits(time);
        let batch = || batches_within(&conversion.stored, &conversion.destinations, limits);
        let batches = self.compute.run_if(records > LONG_WORK, batch).await;
        let mut whole = VecDeque::new();
        for batches in &batches {
            let destination = Arc::new(batches.destination().clone());
            for batch in batches.iter() {
                whole.push_back(Part {
                    destination: Arc::clone(&destination),
                    batch,
                    rejected: None,
                });
            }
        }
        let mut open = self.permits.open(whole.len());
        let mut halves = VecDeque::new();
        let mut split_calls = MAX_SPLIT_CALLS;
        let mut calls = FuturesUnordered::new();
        loop {
            while calls.len() < self.permits.total() {
                let Some(part) = halves.pop_front().or_else(|| whole.pop_front()) else {
                    break;
                };
                calls.push(self.call(part, options));
            }
            let Some((part, called)) = calls.next().await else {
                break;
            };
            open.end_one();
            delivery.count(&called, part.batch.records.len());
            let Err(error) = called.result else { continue };
            let is_split = error.kind == ErrorKind::Validation
                && part.batch.records.len() > 1
                && split_calls >= 2;
            if is_split {
                split_calls -= 2;
                open.add(2);
                halves.extend(part.halves(error));
            } else {
                delivery.fail(&part, &error, options);
            }
        }
    }

    /// Makes one call, once the process has a permit for it.
    async fn call<'b>(&self, part: Part<'b>, options: WriteOptions) -> (Part<'b>, Called) {
        let WriteOptions { limits, versions } = options;
        let Some(_permit) = self.permits.acquire(limits.deadline).await else {
            let result = Err(TimestreamError::new(
                ErrorKind::Timeout,
                "too many calls are in flight (write_concurrency)",
            ));
            let called = Called {
                result,
                ..Called::default()
            };
            return (part, called);
        };
        let start = Instant::now();
        let call = write_call(part.batch, versions);
        let records = part.batch.records.len();
        let attempts = self
            .timestream
            .write_records(call.body, records, limits)
            .await;
        self.permits.note(start.elapsed());
        let called = Called {
            result: attempts.result,
            calls: 1,
            retries: u64::from(attempts.retries),
            write_units: call.write_units,
        };
        (part, called)
    }
}

/// Returns whether converting the request takes long.
fn is_long(request: &Request<'_>) -> bool {
    request.count() as usize + request.label_count() / 8 > LONG_WORK
}

/// Records that go into one call.
struct Part<'b> {
    destination: Arc<Destination>,
    batch: Batch<'b>,
    /// The error with which the service rejected a batch that they were part of.
    rejected: Option<Arc<TimestreamError>>,
}

impl Part<'_> {
    /// Returns its two halves; it has at least two records.
    fn halves(self, rejected: TimestreamError) -> [Self; 2] {
        let rejected = Arc::new(rejected);
        self.batch.halves().map(|batch| Self {
            destination: Arc::clone(&self.destination),
            batch,
            rejected: Some(Arc::clone(&rejected)),
        })
    }
}

/// The end of a call.
struct Called {
    result: Result<(), TimestreamError>,
    calls: u64,
    retries: u64,
    /// Billed units, if it stored anything.
    write_units: u64,
}

impl Default for Called {
    fn default() -> Self {
        Self {
            result: Ok(()),
            calls: 0,
            retries: 0,
            write_units: 0,
        }
    }
}

impl Delivery {
    /// Counts a call of so many records.
    fn count(&mut self, called: &Called, records: usize) {
        self.calls += called.calls;
        self.retries += called.retries;
        let missing = match &called.result {
            Ok(()) => 0,
            Err(error) => match rejections(error, records).len() {
                0 => records,
                rejected => rejected,
            },
        };
        self.delivered += (records - missing) as u64;
        if missing < records {
            self.write_units += called.write_units;
        }
    }

    /// Notes which records of a failed call are not stored: those that the service names, or all
    /// where it names none.
    fn fail(&mut self, part: &Part<'_>, error: &TimestreamError, options: WriteOptions) {
        // Sent again, the records would be rejected again, and the time would be over again.
        let error = match &part.rejected {
            Some(rejected) if error.kind == ErrorKind::Timeout => rejected,
            _ => error,
        };
        let records = part.batch.records;
        let failed = |message| Failed {
            destination: Arc::clone(&part.destination),
            kind: error.kind,
            reject_reason: None,
            message,
            existing_version: None,
        };
        let mut add = |record: &BatchRecord<'_>, cause| {
            let items = record.record.item;
            self.undelivered.push(Undelivered { items, cause });
        };
        let rejections = rejections(error, records.len());
        if rejections.is_empty() {
            let message: Arc<str> = error.message.as_str().into();
            for record in records {
                add(record, FailureCause::Failed(failed(Arc::clone(&message))));
            }
        }
        for rejection in rejections {
            let is_superseded =
                options.versions.is_some() && rejection.reason == RejectReason::LowerVersion;
            let cause = match is_superseded {
                true => FailureCause::Ignored(IgnoreReason::Superseded),
                false => FailureCause::Failed(Failed {
                    reject_reason: Some(rejection.reason),
                    existing_version: rejection.existing_version,
                    ..failed(rejection.message.as_str().into())
                }),
            };
            add(&records[rejection.index], cause);
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
