//! The metadata that a process has written, so that it writes little of it again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

/// Time after which what has not changed is written again: a table keeps its rows for at least a
/// day (`MagneticStoreRetentionPeriodInDays` starts at 1).
const REFRESH: Duration = Duration::from_secs(12 * 3600);
/// Time between writes of one of several texts that targets of different versions send in turns.
const ALTERNATE: Duration = Duration::from_secs(600);
/// Time without another try in a database after a failure.
const PAUSE: Duration = Duration::from_secs(60);
/// Metrics remembered.
const MAX_METRICS: usize = 100_000;
/// Texts remembered for a metric.
const MAX_VARIANTS: usize = 4;
/// Databases remembered for what is wrong with them.
const MAX_DATABASES: usize = 1_000;

/// The written metadata, the databases where writing has failed, and those where it would do harm.
#[derive(Debug, Default)]
pub(super) struct Known {
    metrics: HashMap<Metric, Vec<Variant>>,
    failed: HashMap<String, Instant>,
    samples: HashSet<String>,
}

/// A database and the name of a metric family.
type Metric = (String, String);

/// A text about a metric; the one written last comes last.
#[derive(Clone, Copy, Debug)]
struct Variant {
    hash: u64,
    written: Instant,
}

impl Known {
    /// Returns true if the text with this hash must be written; `None` if there is no place to remember
    /// it.
    pub(super) fn is_due(&mut self, metric: &Metric, hash: u64, now: Instant) -> Option<bool> {
        let Some(variants) = self.metrics.get(metric) else {
            return self.has_place(now).then_some(true);
        };
        let last = variants.len() - 1;
        let found = variants.iter().position(|variant| variant.hash == hash);
        Some(found.is_none_or(|found| {
            let interval = if found == last { REFRESH } else { ALTERNATE };
            now.duration_since(variants[found].written) >= interval
        }))
    }

    /// Notes that the text was written.
    pub(super) fn note_written(&mut self, metric: Metric, hash: u64, now: Instant) {
        let variants = self.metrics.entry(metric).or_default();
        variants.retain(|variant| variant.hash != hash);
        if variants.len() == MAX_VARIANTS {
            variants.remove(0);
        }
        variants.push(Variant { hash, written: now });
    }

    /// Returns true if another metric can be remembered; forgets those that were not sent for long.
    fn has_place(&mut self, now: Instant) -> bool {
        if self.metrics.len() >= MAX_METRICS {
            self.metrics.retain(|_, variants| {
                let written = variants.iter().map(|variant| variant.written);
                written
                    .max()
                    .is_some_and(|last| now.duration_since(last) < 2 * REFRESH)
            });
        }
        self.metrics.len() < MAX_METRICS
    }

    /// Returns true if a write has failed in this database a short while ago.
    pub(super) fn is_paused(&self, database: &str, now: Instant) -> bool {
        let failed = self.failed.get(database);
        failed.is_some_and(|failed| now.duration_since(*failed) < PAUSE)
    }

    /// Notes that a write has failed; returns true if the one before has not.
    pub(super) fn note_failed(&mut self, database: &str, now: Instant) -> bool {
        if self.failed.len() >= MAX_DATABASES {
            self.failed.clear();
        }
        self.failed.insert(database.to_owned(), now).is_none()
    }

    /// Notes that writes to this database succeed.
    pub(super) fn note_working(&mut self, database: &str) {
        self.failed.remove(database);
    }

    /// Returns true if the table holds samples in this database.
    pub(super) fn holds_samples(&self, database: &str) -> bool {
        self.samples.contains(database)
    }

    /// Notes that the table holds samples in this database; returns true if that is new.
    pub(super) fn note_samples(&mut self, database: &str) -> bool {
        self.samples.len() < MAX_DATABASES && self.samples.insert(database.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str) -> Metric {
        ("db".to_owned(), name.to_owned())
    }

    #[test]
    fn what_is_new_has_changed_or_may_expire_is_due() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        // Text, time, whether it is due then; what is due is written.
        let cases = [
            (1, 0, true),
            (1, 60, false),
            (1, 12 * 3600 - 1, false),
            (1, 12 * 3600, true),
            // It changes, and changes back, in turns.
            (2, 50_000, true),
            (1, 50_001, true),
            (2, 50_002, false),
            (1, 50_003, false),
            (2, 50_600, true),
            (1, 50_600, false),
            (3, 50_700, true),
        ];
        let mut known = Known::default();
        for (hash, seconds, expected) in cases {
            let due = known.is_due(&metric("a"), hash, at(seconds));
            assert_eq!(due, Some(expected), "{hash} at {seconds}");
            if expected {
                known.note_written(metric("a"), hash, at(seconds));
            }
        }
        assert_eq!(known.is_due(&metric("b"), 1, at(0)), Some(true));
    }

    #[test]
    fn few_texts_of_a_metric_and_not_all_metrics_are_remembered() {
        let mut known = Known::default();
        let start = Instant::now();
        for hash in 0..100 {
            known.note_written(metric("a"), hash, start);
        }
        assert_eq!(known.metrics[&metric("a")].len(), MAX_VARIANTS);
        for name in 1..MAX_METRICS {
            known.note_written(metric(&name.to_string()), 1, start);
        }
        assert_eq!(known.is_due(&metric("more"), 1, start), None);
        assert_eq!(known.is_due(&metric("5"), 2, start), Some(true));
        assert_eq!(
            known.is_due(&metric("more"), 1, start + 2 * REFRESH),
            Some(true)
        );
        assert!(known.metrics.is_empty());
    }

    #[test]
    fn a_database_rests_after_a_failure() {
        let mut known = Known::default();
        let start = Instant::now();
        assert!(!known.is_paused("db", start));
        assert!(known.note_failed("db", start));
        assert!(known.is_paused("db", start + PAUSE / 2) && !known.is_paused("other", start));
        assert!(!known.is_paused("db", start + PAUSE));
        assert!(!known.note_failed("db", start + PAUSE));
        known.note_working("db");
        assert!(known.note_failed("db", start));
    }
}
