//! The write use case: deliver, and add up the outcomes of the samples.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use jiff::Timestamp;
use prom_wire::request::{DatapointRange, KindCounts, Request};
use tokio::time::{Instant, timeout_at};

use super::deliver::{Delivery, FailureCause, Undelivered};
use super::letters::{groups, letter};
use super::metadata::MetadataOutcome;
use crate::dead_letter::DeadLetterError;
use crate::ingest::Ingester;
use crate::storage::destination::Destination;
use crate::storage::routing::Routing;
use crate::storage::write::route::SeriesError;
use crate::storage::write::series::{IgnoreReason, PolicyViolation};
use crate::timestream::{ErrorKind, RejectReason};

/// The least time for storing dead letters, if the request took all its time.
const TIME_FOR_DEAD_LETTERS: Duration = Duration::from_secs(2);

/// A list of so many samples that are not stored takes longer to add up than a thread that serves
/// connections may be occupied.
const LONG_LIST: usize = 20_000;

/// The outcome of the samples of a write request; histograms and exemplars count as samples.
///
/// `received` is the sum of `stored`, `ignored`, the samples of `invalid`, those of `failures` and
/// `aborted`.
#[derive(Debug, Default)]
pub struct WriteOutcome {
    /// Samples in the request.
    pub received: u64,
    /// Samples that Timestream holds now.
    pub stored: u64,
    /// Samples that a sender may consider written: those that are stored, dropped by policy or written
    /// as dead letters, because sending them again cannot help.
    pub written: KindCounts,
    /// Samples dropped by policy.
    pub ignored: BTreeMap<IgnoreReason, u64>,
    /// Samples of invalid series that the sender must fix, by error, in order of first appearance.
    pub invalid: Vec<InvalidSeries>,
    /// Samples that could not be written to Timestream, by destination and kind.
    pub failures: Vec<Failure>,
    /// Samples of a request that was aborted, in calls that had not ended by then: Timestream may
    /// hold them.
    pub aborted: u64,
    /// The samples of those failures that are rejections, by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// The outcome of storing as dead letters the samples that can never be stored in Timestream.
    pub dead_letters: DeadLetterOutcome,
    /// The outcome of the metadata of the request.
    pub metadata: MetadataOutcome,
    /// Billed units of the calls that stored something.
    pub write_units: u64,
    /// WriteRecords calls, retries not counted.
    pub calls: u64,
    /// Calls made again.
    pub retries: u64,
}

/// The progress of a write: the outcome of the calls that have ended.
#[derive(Debug, Default)]
pub struct WriteProgress {
    received: u64,
    /// Samples that had left the request before the write.
    dropped: KindCounts,
    delivery: Delivery,
}

impl WriteProgress {
    /// Returns the progress of a write whose request has lost the samples of replicas that are not elected.
    pub fn after_dropping(dropped: KindCounts) -> Self {
        Self {
            received: dropped.total(),
            dropped,
            delivery: Delivery::default(),
        }
    }

    /// Returns the outcome of a write that was aborted, if it had begun.
    pub fn aborted(&self) -> Option<WriteOutcome> {
        if self.received == 0 {
            return None;
        }
        let Delivery {
            delivered,
            undelivered,
            write_units,
            calls,
            retries,
        } = &self.delivery;
        let mut outcome = WriteOutcome {
            received: self.received,
            stored: *delivered,
            write_units: *write_units,
            calls: *calls,
            retries: *retries,
            ..WriteOutcome::default()
        };
        outcome.add_dropped(self.dropped);
        let mut sums = Sums::default();
        for missing in undelivered {
            outcome.add(missing, &mut sums, |_| String::new());
        }
        let ended = outcome.stored + outcome.all_ignored() + outcome.lost();
        outcome.aborted = self.received.saturating_sub(ended);
        Some(outcome)
    }
}

/// The outcome of the samples of a request that can never be stored in Timestream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum DeadLetterOutcome {
    /// There are none, they went to the log, or the sender sends the whole request again.
    #[default]
    None,
    /// So many samples are stored as dead letters.
    Stored(u64),
    /// They are lost unless the sender sends them again.
    Failed {
        /// The number of samples.
        samples: u64,
        /// The error of the dead-letter target.
        error: String,
    },
}

/// Samples of invalid series that have the same kind of error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSeries {
    /// The error.
    pub error: SeriesError,
    /// The number of samples.
    pub samples: u64,
    /// The error message and remedy for the first of the series.
    pub text: String,
}

/// Samples that could not be written to Timestream.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Their destination.
    pub destination: Destination,
    /// The kind of the error, by its remedy.
    pub kind: ErrorKind,
    /// The number of samples.
    pub samples: u64,
    /// The service's words for the first of them.
    pub message: String,
}

/// The delivery of samples that are not stored at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// The sender sends the whole request again after a failure that may pass.
    SenderRetries,
    /// The samples are delivered once: those that are not stored now become dead letters, whatever the
    /// reason.
    None,
    /// The samples can be read again from their source. A sample that another value excludes is not
    /// needed any more.
    FromSource,
}

impl Ingester {
    /// Stores the samples of `request`. Every batch is sent, whatever happens to the others, and
    /// the outcome of each is known when this returns; `progress` has those that are known before.
    ///
    /// # Errors
    /// A `fail_on_*` option rejects the request; then nothing has been written.
    pub async fn write(
        &self,
        request: &Request<'_>,
        deadline: Instant,
        progress: &mut WriteProgress,
    ) -> Result<WriteOutcome, PolicyViolation> {
        self.write_routed(
            request,
            &self.routing,
            Redelivery::SenderRetries,
            deadline,
            progress,
        )
        .await
    }

    /// As [`Self::write`], but all samples go to `destination`: no label decides.
    ///
    /// # Errors
    /// As those of [`Self::write`].
    pub async fn write_to(
        &self,
        request: &Request<'_>,
        destination: &Destination,
        redelivery: Redelivery,
        deadline: Instant,
    ) -> Result<WriteOutcome, PolicyViolation> {
        let routing = Routing::fixed(destination);
        let progress = &mut WriteProgress::default();
        self.write_routed(request, &routing, redelivery, deadline, progress)
            .await
    }

    async fn write_routed(
        &self,
        request: &Request<'_>,
        routing: &Routing,
        redelivery: Redelivery,
        deadline: Instant,
        progress: &mut WriteProgress,
    ) -> Result<WriteOutcome, PolicyViolation> {
        progress.received = progress.dropped.total() + request.count();
        let delivery = &mut progress.delivery;
        self.deliver(request, routing, deadline, delivery).await?;
        let mut outcome = self
            .settle(delivery, request, routing, redelivery, deadline)
            .await;
        outcome.received = progress.received;
        outcome.add_dropped(progress.dropped);
        outcome.metadata = self.deliver_metadata(request, routing, deadline).await;
        outcome.write_units += outcome.metadata.write_units;
        outcome.calls += outcome.metadata.calls;
        Ok(outcome)
    }

    /// Adds up the outcome of the samples, and stores those that can never be stored as dead letters.
    pub(super) async fn settle(
        &self,
        delivery: &Delivery,
        request: &Request<'_>,
        routing: &Routing,
        redelivery: Redelivery,
        deadline: Instant,
    ) -> WriteOutcome {
        log_ignored(request, delivery);
        let is_long = delivery.undelivered.len() > LONG_LIST;
        let add_up = || WriteOutcome::of(delivery, request, routing);
        let mut outcome = self.compute.run_if(is_long, add_up).await;
        let permanent = self.permanent(delivery, redelivery);
        outcome.dead_letters = self
            .store_dead_letters(&permanent, request, routing, deadline)
            .await;
        if matches!(outcome.dead_letters, DeadLetterOutcome::Stored(_)) {
            for missing in permanent {
                if !matches!(missing.cause, FailureCause::Ignored(_)) {
                    outcome.written += KindCounts::of(request.resolve(missing.items).datapoints);
                }
            }
        }
        outcome
    }

    /// Returns the samples that no later attempt can store; none if the sender sends them again anyway because
    /// of others.
    fn permanent<'d>(
        &self,
        delivery: &'d Delivery,
        redelivery: Redelivery,
    ) -> Vec<&'d Undelivered> {
        let undelivered = &delivery.undelivered;
        let are_retried = redelivery != Redelivery::None
            && undelivered.iter().any(|missing| self.is_retried(missing));
        if are_retried {
            return Vec::new();
        }
        // A series without samples can be invalid, but has nothing to store.
        undelivered
            .iter()
            .filter(|missing| missing.items.count() > 0 && self.is_dead_letter(missing, redelivery))
            .collect()
    }

    /// Returns the samples of a write with this outcome that neither Timestream nor a dead letter holds, without those
    /// dropped by policy.
    pub fn lost(&self, progress: &WriteProgress, outcome: &WriteOutcome) -> Vec<DatapointRange> {
        let are_letters = matches!(outcome.dead_letters, DeadLetterOutcome::Stored(_));
        let is_held = |missing: &Undelivered| match &missing.cause {
            FailureCause::Ignored(_) => true,
            _ => are_letters && self.is_dead_letter(missing, Redelivery::SenderRetries),
        };
        let undelivered = progress.delivery.undelivered.iter();
        let lost = undelivered.filter(|missing| !is_held(missing));
        lost.map(|missing| missing.items).collect()
    }

    /// Stores samples as dead letters.
    async fn store_dead_letters(
        &self,
        permanent: &[&Undelivered],
        request: &Request<'_>,
        routing: &Routing,
        deadline: Instant,
    ) -> DeadLetterOutcome {
        if permanent.is_empty() {
            return DeadLetterOutcome::None;
        }
        let samples = permanent.iter().map(|missing| missing.items.count()).sum();
        let is_long = permanent.len() > LONG_LIST;
        let group = || groups(permanent.iter().copied());
        let groups = self.compute.run_if(is_long, group).await;
        let now = Timestamp::now();
        let letters = groups
            .iter()
            .map(|same| letter(same, request, routing, now));
        let deadline = deadline.max(Instant::now() + TIME_FOR_DEAD_LETTERS);
        let stored = timeout_at(deadline, self.dead_letters.store_all(letters)).await;
        match stored.unwrap_or(Err(DeadLetterError::Timeout)) {
            Ok(()) if self.dead_letters.is_persistent() => DeadLetterOutcome::Stored(samples),
            Ok(()) => DeadLetterOutcome::None,
            Err(error) => DeadLetterOutcome::Failed {
                samples,
                error: error.to_string(),
            },
        }
    }

    fn is_retried(&self, missing: &Undelivered) -> bool {
        let is_throttled = matches!(
            &missing.cause,
            FailureCause::Failed(failed) if failed.kind == ErrorKind::Throttled
        );
        missing.cause.is_retryable() && !(is_throttled && self.throttled_may_be_dropped)
    }

    /// Returns true if the samples become a dead letter. Samples dropped by policy do so only if letters persist.
    fn is_dead_letter(&self, missing: &Undelivered, redelivery: Redelivery) -> bool {
        match &missing.cause {
            FailureCause::Ignored(reason) => {
                !reason.is_settled() && self.dead_letters.is_persistent()
            }
            FailureCause::Invalid(error) => error.has_labels(),
            FailureCause::Failed(failed) => match redelivery {
                Redelivery::None => true,
                Redelivery::SenderRetries => !failed.kind.is_retryable(),
                Redelivery::FromSource => failed
                    .reject_reason
                    .is_some_and(|reason| !reason.is_about_versions()),
            },
        }
    }
}

/// The positions of failures that are added up already: there can be one for each series.
#[derive(Debug, Default)]
struct Sums {
    failures: HashMap<(ErrorKind, Arc<Destination>), usize>,
}

/// Logs one line for each sample dropped by policy.
fn log_ignored(request: &Request<'_>, delivery: &Delivery) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for undelivered in &delivery.undelivered {
        let FailureCause::Ignored(reason) = undelivered.cause else {
            continue;
        };
        let series = request.resolve(undelivered.items);
        for item in series.datapoints {
            tracing::debug!(
                reason = reason.as_str(),
                labels = series.labels.to_string(),
                value = item.value(),
                timestamp = item.timestamp_ms(),
                "Sample ignored."
            );
        }
    }
}

impl WriteOutcome {
    pub(super) fn of(delivery: &Delivery, request: &Request<'_>, routing: &Routing) -> Self {
        let undelivered = &delivery.undelivered;
        let missing: u64 = undelivered
            .iter()
            .map(|missing| missing.items.count())
            .sum();
        let mut outcome = Self {
            received: request.count(),
            stored: request.count() - missing,
            written: request.kinds(),
            write_units: delivery.write_units,
            calls: delivery.calls,
            retries: delivery.retries,
            ..Self::default()
        };
        let mut sums = Sums::default();
        for missing in undelivered {
            if !matches!(missing.cause, FailureCause::Ignored(_)) {
                outcome.written -= KindCounts::of(request.resolve(missing.items).datapoints);
            }
            let describe =
                |error: SeriesError| error.describe(&request.resolve(missing.items), routing);
            outcome.add(missing, &mut sums, describe);
        }
        outcome
    }

    /// Adds samples that are not stored; `describe` returns the message for the first with an error.
    fn add(
        &mut self,
        missing: &Undelivered,
        sums: &mut Sums,
        describe: impl FnOnce(SeriesError) -> String,
    ) {
        let samples = missing.items.count();
        match &missing.cause {
            FailureCause::Ignored(reason) => *self.ignored.entry(*reason).or_default() += samples,
            FailureCause::Invalid(error) => {
                match self
                    .invalid
                    .iter_mut()
                    .find(|invalid| invalid.error == *error)
                {
                    Some(invalid) => invalid.samples += samples,
                    None => self.invalid.push(InvalidSeries {
                        error: *error,
                        samples,
                        text: describe(*error),
                    }),
                }
            }
            FailureCause::Failed(failed) => {
                if let Some(reason) = failed.reject_reason {
                    *self.rejected.entry(reason).or_default() += samples;
                }
                let key = (failed.kind, Arc::clone(&failed.destination));
                match sums.failures.entry(key) {
                    Entry::Occupied(known) => self.failures[*known.get()].samples += samples,
                    Entry::Vacant(new) => {
                        self.failures.push(Failure {
                            destination: Destination::clone(&failed.destination),
                            kind: failed.kind,
                            samples,
                            message: failed.message.to_string(),
                        });
                        new.insert(self.failures.len() - 1);
                    }
                }
            }
        }
    }

    /// Adds samples of replicas that are not elected: the elected one sends the same, so they count as written.
    fn add_dropped(&mut self, dropped: KindCounts) {
        let samples = dropped.total();
        if samples > 0 {
            self.written += dropped;
            *self.ignored.entry(IgnoreReason::OtherReplica).or_default() += samples;
        }
    }

    /// Returns the number of samples that were dropped by policy.
    pub fn all_ignored(&self) -> u64 {
        self.ignored.values().sum()
    }

    /// Returns the number of samples that neither are stored nor were dropped by policy.
    pub fn lost(&self) -> u64 {
        let invalid: u64 = self.invalid.iter().map(|invalid| invalid.samples).sum();
        let failures: u64 = self.failures.iter().map(|failure| failure.samples).sum();
        invalid + failures + self.aborted
    }
}
