//! Samples to Timestream: convert, send every batch, and know of each sample what became of it.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Connector;
use crate::convert::batch::{Batch, BatchRecord, batches};
use crate::convert::body::{Versions, write_call};
use crate::convert::route::{Routing, SeriesFault};
use crate::convert::series::{Conversion, IgnoreReason, Refusal, WhyLeftOut, series_to_records};
use crate::model::Destination;
use crate::received::{Items, Request};
use crate::timestream::retry::Limits;
use crate::timestream::{ErrorKind, RejectReason, Rejection, TimestreamError};

/// What became of the samples of a request: those that are not listed are stored.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
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
    pub(crate) items: Items,
    pub(crate) why: Why,
}

/// Why samples are not stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Why {
    /// They are left out by policy.
    Ignored(IgnoreReason),
    /// The sender has to mend their series.
    Faulty(SeriesFault),
    /// Timestream did not take them.
    Failed(Failed),
}

/// Timestream did not take a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failed {
    /// Where it was to go.
    pub(crate) destination: Arc<Destination>,
    /// What somebody can do about it.
    pub(crate) kind: ErrorKind,
    /// The service's words.
    pub(crate) message: Arc<str>,
    /// The version that is stored, where a version was the reason.
    pub(crate) existing_version: Option<i64>,
}

/// How the batches of a request are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) limits: Limits,
    /// The versions of the records, where they have some.
    pub(super) versions: Option<Versions>,
}

impl Why {
    /// What metrics call it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Ignored(reason) => reason.as_str(),
            Self::Faulty(fault) => fault.name(),
            Self::Failed(failed) => failed
                .reject_reason()
                .map_or(failed.kind.as_str(), RejectReason::as_str),
        }
    }

    /// What went wrong, in words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Failed(failed) => format!("{}: {}", failed.kind.as_str(), failed.message),
            other => other.reason().to_owned(),
        }
    }

    /// Whether a later try may store the samples, without anybody changing anything.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed(failed) if failed.kind.is_retryable())
    }
}

impl Connector {
    /// Sends the samples of `request` to where `routing` says. Every batch is sent, whatever
    /// happens to the others, and the outcome of each is known when this returns.
    ///
    /// # Errors
    /// A `fail_on_*` option refuses the request; then nothing has been written.
    pub(crate) async fn deliver(
        &self,
        request: &Request<'_>,
        routing: &Routing,
        deadline: Instant,
    ) -> Result<Delivery, Refusal> {
        let conversion = series_to_records(request, routing, self.policy)?;
        let versions = self.versions.as_ref();
        let versions = versions.map(|it| Versions::From(it.reserve(request.count())));
        Ok(self.deliver_records(conversion, versions, deadline).await)
    }

    /// As [`Self::deliver`], of records.
    pub(super) async fn deliver_records(
        &self,
        conversion: Conversion<'_>,
        versions: Option<Versions>,
        deadline: Instant,
    ) -> Delivery {
        let left_out = conversion.left_out.iter().map(|left_out| Undelivered {
            items: left_out.items,
            why: match left_out.why {
                WhyLeftOut::Ignored(reason) => Why::Ignored(reason),
                WhyLeftOut::Faulty(fault) => Why::Faulty(fault),
            },
        });
        let mut delivery = Delivery {
            undelivered: left_out.collect(),
            ..Delivery::default()
        };
        let limits = Limits {
            max_retries: self.max_write_retries,
            deadline,
        };
        let batches = batches(&conversion.stored, &conversion.destinations);
        let how = How { limits, versions };
        let mut sends = FuturesUnordered::new();
        for (records, batches) in conversion.destinations.iter().zip(&batches) {
            let destination = Arc::new(records.destination.clone());
            let sent = |batch| self.send(Arc::clone(&destination), batch, how);
            sends.extend(batches.iter().map(sent));
        }
        while let Some(sent) = sends.next().await {
            delivery.add(sent);
        }
        delivery
    }

    /// Sends one batch. If the service refuses it as a whole because of what it holds, it is
    /// halved until the refused records stand alone.
    pub(super) async fn send(
        &self,
        destination: Arc<Destination>,
        batch: Batch<'_>,
        how: How,
    ) -> Delivery {
        let mut sent = Delivery::default();
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.call(part, how, &mut sent).await {
                Ok(()) => {}
                Err(error) if error.kind == ErrorKind::Validation && part.records.len() > 1 => {
                    let [first, second] = part.halves();
                    parts.extend([second, first]);
                }
                Err(error) => sent.fail(&destination, part.records, &error, how),
            }
        }
        sent
    }

    /// One call, once the process has a place for it.
    async fn call(
        &self,
        batch: Batch<'_>,
        how: How,
        sent: &mut Delivery,
    ) -> Result<(), TimestreamError> {
        let How { limits, versions } = how;
        let permit = tokio::time::timeout_at(limits.deadline, self.write_permits.acquire());
        let _permit = permit.await.map_err(|_| {
            TimestreamError::new(
                ErrorKind::Timeout,
                "too many calls are in flight (write_concurrency)",
            )
        })?;
        let call = write_call(batch, versions);
        let tried = self.timestream.write_records(call.body, limits).await;
        sent.calls += 1;
        sent.retries += u64::from(tried.retries);
        if stores_something(&tried.result, batch.records.len()) {
            sent.write_units += call.write_units;
        }
        tried.result
    }
}

impl Delivery {
    pub(super) fn add(&mut self, other: Self) {
        self.undelivered.extend(other.undelivered);
        self.write_units += other.write_units;
        self.calls += other.calls;
        self.retries += other.retries;
    }

    /// Notes which records of a failed call are not stored: those that the service names, or all
    /// where it names none.
    fn fail(
        &mut self,
        destination: &Arc<Destination>,
        records: &[BatchRecord<'_>],
        error: &TimestreamError,
        how: How,
    ) {
        let mut fail = |record: &BatchRecord<'_>, message: Arc<str>, existing_version| {
            let failed = Failed {
                destination: Arc::clone(destination),
                kind: error.kind,
                message,
                existing_version,
            };
            let is_superseded = how.versions.is_some()
                && failed.reject_reason() == Some(RejectReason::LowerVersion);
            self.undelivered.push(Undelivered {
                items: record.record.item,
                why: match is_superseded {
                    true => Why::Ignored(IgnoreReason::Superseded),
                    false => Why::Failed(failed),
                },
            });
        };
        let rejections = rejections(error, records.len());
        if rejections.is_empty() {
            let message: Arc<str> = error.message.as_str().into();
            for record in records {
                fail(record, Arc::clone(&message), None);
            }
        }
        for rejection in rejections {
            let message = rejection.reason.as_str().into();
            fail(
                &records[rejection.index],
                message,
                rejection.existing_version,
            );
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

impl Failed {
    /// Why the record was rejected, if it was rejected by itself.
    pub(crate) fn reject_reason(&self) -> Option<RejectReason> {
        (self.kind == ErrorKind::Rejected).then(|| RejectReason::of(&self.message))
    }
}
