//! The exemplars of the previous scrape, by their content: a target exposes an exemplar until there is a newer
//! one, and Prometheus stores it once.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use exposition::Exemplar;
use hashbrown::HashSet;
use prom_wire::request::Label;
use ring::digest::{SHA256, digest};

use crate::jobs::job::JobContext;
use crate::state::StateError;
use crate::storage::write::exemplar::to_text;

/// The key of the hashes.
const KEY: &str = "exemplars";
/// Exemplars of one scrape. Their hashes are smaller than the 400 KB of an item in DynamoDB.
const MAX_EXEMPLARS: usize = 20_000;
/// Characters of all labels of an exemplar, as in Prometheus.
const MAX_LABEL_CHARS: usize = 128;
/// Older exemplars are dropped: an idle target exposes its last exemplar for days, and the memory store of a table
/// may accept no more than an hour.
const MAX_AGE_MS: i64 = 60 * 60 * 1_000;

/// Selects the new exemplars of a scrape.
pub(super) struct Exemplars {
    tick_ms: i64,
    previous: HashSet<u64>,
    current: HashSet<u64>,
    /// Exemplars dropped because there are too many.
    pub(super) dropped: u64,
}

impl Exemplars {
    /// Creates a selection that knows no previous exemplars.
    pub(super) fn new(tick_ms: i64) -> Self {
        Self {
            tick_ms,
            previous: HashSet::new(),
            current: HashSet::new(),
            dropped: 0,
        }
    }

    /// Loads the exemplars of the previous scrape.
    pub(super) async fn load(&mut self, run: &JobContext<'_>) -> Result<(), StateError> {
        let text = run.cursors.get(KEY).await?.unwrap_or_default();
        // An unreadable value is replaced after the scrape.
        let bytes = STANDARD.decode(text).unwrap_or_default();
        let (hashes, _) = bytes.as_chunks();
        self.previous = hashes.iter().map(|it| u64::from_le_bytes(*it)).collect();
        Ok(())
    }

    /// Saves the exemplars of this scrape for the next one, if they have changed.
    pub(super) async fn save(&self, run: &JobContext<'_>) -> Result<(), StateError> {
        if self.current == self.previous {
            return Ok(());
        }
        let hashes = self.current.iter().flat_map(|hash| hash.to_le_bytes());
        let text = STANDARD.encode(hashes.collect::<Vec<_>>());
        run.cursors.set(KEY, &text).await
    }

    /// Returns the timestamp to store an exemplar with, or `None` if it must not be stored.
    pub(super) fn admit(
        &mut self,
        series: &[Label<'_>],
        exemplar: &Exemplar<'_>,
        sample_ms: i64,
    ) -> Option<i64> {
        let labels = exemplar.labels.iter();
        let chars = labels.map(|(name, value)| name.chars().count() + value.chars().count());
        let is_old = |time: i64| time < self.tick_ms.saturating_sub(MAX_AGE_MS);
        if chars.sum::<usize>() > MAX_LABEL_CHARS || exemplar.timestamp_ms.is_some_and(is_old) {
            return None;
        }
        let hash = hash(series, exemplar);
        if self.current.len() >= MAX_EXEMPLARS && !self.current.contains(&hash) {
            self.dropped += 1;
            return None;
        }
        self.current.insert(hash);
        let is_new = !self.previous.contains(&hash);
        is_new.then(|| exemplar.timestamp_ms.unwrap_or(sample_ms))
    }
}

fn hash(series: &[Label<'_>], exemplar: &Exemplar<'_>) -> u64 {
    let mut content = Vec::new();
    for (name, value) in series {
        for part in [name, value] {
            content.extend_from_slice(part.as_bytes());
            content.push(0xff);
        }
    }
    let labels = exemplar.labels.iter();
    let labels: Vec<_> = labels.map(|(name, value)| (&**name, &**value)).collect();
    // An exemplar without a timestamp stays the same as long as it is exposed.
    let time = exemplar.timestamp_ms.unwrap_or(i64::MIN);
    content.extend_from_slice(to_text(&labels, exemplar.value, time).as_bytes());
    let digest = digest(&SHA256, &content);
    let (hash, _) = digest
        .as_ref()
        .split_first_chunk()
        .expect("a SHA-256 digest has 32 bytes");
    u64::from_le_bytes(*hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_MS: i64 = 1_600_000_000_000;

    fn exemplar(trace: &str, timestamp_ms: Option<i64>) -> Exemplar<'_> {
        Exemplar {
            labels: vec![("t".into(), trace.into())],
            value: 1.0,
            timestamp_ms,
        }
    }

    #[test]
    fn a_repeated_exemplar_is_admitted_once() {
        let (a, b) = ([("__name__", "a")], [("__name__", "b")]);
        let mut first = Exemplars::new(TICK_MS);
        let own = exemplar("x", Some(TICK_MS - 5));
        let without = exemplar("x", None);
        assert_eq!(first.admit(&a, &own, TICK_MS), Some(TICK_MS - 5));
        assert_eq!(first.admit(&a, &without, TICK_MS), Some(TICK_MS));
        let mut second = Exemplars::new(TICK_MS + 15_000);
        second.previous = first.current;
        assert_eq!(second.admit(&a, &own, TICK_MS + 15_000), None);
        assert_eq!(second.admit(&a, &without, TICK_MS + 15_000), None);
        assert_eq!(second.admit(&b, &own, TICK_MS + 15_000), Some(TICK_MS - 5));
        let other = exemplar("y", Some(TICK_MS - 5));
        assert_eq!(
            second.admit(&a, &other, TICK_MS + 15_000),
            Some(TICK_MS - 5)
        );
        assert_eq!(second.current.len(), 4);
    }

    #[test]
    fn exemplars_that_are_old_long_or_too_many_are_dropped() {
        let series = [("__name__", "a")];
        let mut exemplars = Exemplars::new(TICK_MS);
        let hour = 3_600_000;
        let mut admit = |trace: &str, time| {
            let exemplar = exemplar(trace, time);
            exemplars.admit(&series, &exemplar, TICK_MS).is_some()
        };
        assert!(admit("x", Some(TICK_MS - hour)));
        assert!(!admit("x", Some(TICK_MS - hour - 1)));
        assert!(admit(&"ü".repeat(127), None));
        assert!(!admit(&"ü".repeat(128), None));
        for index in 0..MAX_EXEMPLARS {
            admit(&index.to_string(), None);
        }
        assert_eq!(
            (exemplars.current.len(), exemplars.dropped),
            (MAX_EXEMPLARS, 2)
        );
    }
}
