//! The replay use case: dead letters back to Timestream, by the present routing and policy.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prom_wire::request::{Datapoint, Exemplar, Request, Unreadable};
use tokio::time::Instant;

use super::deliver::{Delivery, FailureCause, Undelivered};
use super::letters::{groups, letter};
use crate::dead_letter::Letter;
use crate::dead_letter::letter::LetterExemplar;
use crate::ingest::Ingester;
use crate::storage::routing::{RoutePart, Routing};

/// The outcome of letters that were written again.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Samples in the letters.
    pub samples: u64,
    /// Samples that Timestream holds now.
    pub stored: u64,
    /// Samples that no further attempt can store either, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Samples that a later attempt may store, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Letters for the samples that are still not stored.
    pub left: Vec<Letter>,
}

impl Replayed {
    /// Adds the counts and letters of another part.
    pub fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.stored += other.stored;
        for (reason, samples) in other.rejected {
            *self.rejected.entry(reason).or_default() += samples;
        }
        for (reason, samples) in other.failed {
            *self.failed.entry(reason).or_default() += samples;
        }
        self.left.extend(other.left);
    }
}

/// The destination of samples that neither name one nor had one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallback {
    /// The database.
    pub database: Option<String>,
    /// The table.
    pub table: Option<String>,
}

impl Ingester {
    /// Writes the samples of `letters` again. A destination label decides where one goes, else the
    /// letter's own destination, else `fallback`, else the configured default.
    ///
    /// Samples that fail again are in the result, not in the dead letters.
    pub async fn replay(
        &self,
        letters: &[Letter],
        fallback: &Fallback,
        deadline: Instant,
    ) -> Replayed {
        let mut groups: BTreeMap<_, Vec<&Letter>> = BTreeMap::new();
        for letter in letters {
            groups
                .entry((&letter.database, &letter.table))
                .or_default()
                .push(letter);
        }
        let mut replayed = Replayed::default();
        for ((database, table), letters) in groups {
            let recorded = Fallback {
                database: database.clone(),
                table: table.clone(),
            };
            replayed.add(
                self.replay_group(&letters, &recorded, fallback, deadline)
                    .await,
            );
        }
        replayed
    }

    /// Writes letters that had the same destination.
    async fn replay_group(
        &self,
        group: &[&Letter],
        recorded: &Fallback,
        fallback: &Fallback,
        deadline: Instant,
    ) -> Replayed {
        let part =
            |configured: &RoutePart, recorded: &Option<String>, fallback: &Option<String>| {
                RoutePart {
                    label: configured.label.clone(),
                    default: [recorded, fallback, &configured.default]
                        .into_iter()
                        .flatten()
                        .next()
                        .cloned(),
                }
            };
        let routing = Routing {
            database: part(
                &self.routing.database,
                &recorded.database,
                &fallback.database,
            ),
            table: part(&self.routing.table, &recorded.table, &fallback.table),
        };
        let request = request(group);
        let mut delivery = Delivery::default();
        let delivered = self.deliver(&request, &routing, deadline, &mut delivery);
        if let Err(violation) = delivered.await {
            return rejected(group, &violation.to_string());
        }
        let (left, now) = (groups(unsettled(&delivery)), Timestamp::now());
        let left = left
            .iter()
            .map(|same| letter(same, &request, &routing, now));
        let mut replayed = Replayed {
            samples: request.count(),
            stored: request.count(),
            left: left.collect(),
            ..Replayed::default()
        };
        for missing in unsettled(&delivery) {
            let samples = missing.items.count();
            replayed.stored -= samples;
            let counts = match missing.cause.is_retryable() {
                true => &mut replayed.failed,
                false => &mut replayed.rejected,
            };
            *counts.entry(missing.cause.reason().to_owned()).or_default() += samples;
        }
        replayed
    }
}

/// Returns the samples that are still not stored, without values that a later one replaced.
fn unsettled(delivery: &Delivery) -> impl Iterator<Item = &Undelivered> {
    let is_settled = |cause: &FailureCause| matches!(cause, FailureCause::Ignored(reason) if reason.is_settled());
    delivery
        .undelivered
        .iter()
        .filter(move |missing| !is_settled(&missing.cause))
}

fn request<'a>(letters: &[&'a Letter]) -> Request<'a> {
    let mut request = Request::default();
    for letter in letters {
        for (name, value) in &letter.labels {
            request.push_label(name, value);
        }
        for sample in &letter.samples {
            request.push_sample(*sample);
        }
        for histogram in &letter.histograms {
            request.push_datapoint(Datapoint::Histogram(Box::new(histogram.clone())));
        }
        for LetterExemplar(timestamp_ms, value, labels) in &letter.exemplars {
            let labels = labels.iter().map(|(name, value)| (&**name, &**value));
            request.push_datapoint(Datapoint::Exemplar(Box::new(Exemplar {
                labels: Ok(labels.collect()),
                timestamp_ms: *timestamp_ms,
                value: *value,
            })));
        }
        if letter.not_utf8 {
            let message = letter.message.as_str();
            request.end_unreadable_series(Unreadable::Other { message });
        } else {
            request.end_series();
        }
    }
    request
}

/// Returns the result of letters that are all rejected because of a `fail_on_*` option.
fn rejected(letters: &[&Letter], reason: &str) -> Replayed {
    let samples = letters.iter().map(|letter| letter.count()).sum();
    let left = letters.iter().map(|&letter| {
        let mut letter = letter.clone();
        reason.clone_into(&mut letter.message);
        letter
    });
    Replayed {
        samples,
        rejected: [("fail_on".to_owned(), samples)].into(),
        left: left.collect(),
        ..Replayed::default()
    }
}
