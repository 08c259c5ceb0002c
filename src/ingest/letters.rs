//! Samples that a delivery did not store, as dead letters.

use jiff::Timestamp;
use prom_wire::request::{Datapoint, Request};

use super::deliver::{Failed, FailureCause, Undelivered};
use crate::dead_letter::letter::LetterExemplar;
use crate::dead_letter::{DeadLetterError, Letter};
use crate::ingest::Ingester;
use crate::storage::routing::Routing;
use crate::storage::write::route::{SeriesError, destination};

impl Ingester {
    /// Returns true if dead letters have a target other than the log.
    pub fn keeps_letters(&self) -> bool {
        self.dead_letters.is_persistent()
    }

    /// Stores `letters`; returns true if they persist, and are not just in the log.
    ///
    /// # Errors
    /// At least one of them is not stored.
    pub async fn keep_letters(&self, letters: &[Letter]) -> Result<bool, DeadLetterError> {
        if !letters.is_empty() {
            self.dead_letters.store(letters).await?;
        }
        Ok(self.dead_letters.is_persistent())
    }
}

/// Samples of a series that have the same fate; they become one letter.
pub(super) type Group<'u> = Vec<&'u Undelivered>;

/// Puts samples into groups, in the order of the request.
pub(super) fn groups<'u>(undelivered: impl IntoIterator<Item = &'u Undelivered>) -> Vec<Group<'u>> {
    let mut undelivered: Vec<_> = undelivered.into_iter().collect();
    undelivered.sort_by_key(|missing| missing.items);
    undelivered
        .chunk_by(|a, b| a.items.series() == b.items.series() && a.cause == b.cause)
        .map(<[_]>::to_vec)
        .collect()
}

/// Returns the letter of a group.
pub(super) fn letter(
    same: &[&Undelivered],
    request: &Request<'_>,
    routing: &Routing,
    now: Timestamp,
) -> Letter {
    let cause = &same[0].cause;
    let series = request.resolve(same[0].items);
    let mut letter = Letter::new(now, cause.reason());
    [letter.database, letter.table] =
        destination(&series, routing).map(|name| name.map(str::to_owned));
    match cause {
        FailureCause::Ignored(_) => {}
        FailureCause::Invalid(error) => letter.message = error.describe(&series, routing),
        FailureCause::Failed(Failed {
            message,
            existing_version,
            ..
        }) => {
            letter.message = message.to_string();
            letter.existing_version = *existing_version;
        }
    }
    let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    letter.not_utf8 = matches!(cause, FailureCause::Invalid(SeriesError::NotUtf8));
    let shown = series.labels.iter_lossy();
    letter.labels = shown
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    for missing in same {
        for item in request.resolve(missing.items).datapoints {
            match item {
                Datapoint::Sample(sample) => letter.samples.push(*sample),
                Datapoint::Histogram(histogram) => letter.histograms.push((**histogram).clone()),
                Datapoint::Exemplar(exemplar) => letter.exemplars.push(LetterExemplar(
                    exemplar.timestamp_ms,
                    exemplar.value,
                    exemplar
                        .labels
                        .iter()
                        .flatten()
                        .copied()
                        .map(text)
                        .collect(),
                )),
            }
        }
    }
    letter
}
