//! The exemplars of the tick before, by what they hold: a target shows the same one until there is another,
//! and Prometheus stores it once.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use exposition::Exemplar;
use hashbrown::HashSet;
use ring::digest::{SHA256, digest};

use crate::jobs::run::Run;
use crate::received::Label;
use crate::state::StateError;
use crate::storage::write::exemplar::to_text;

/// The key of the hashes.
const KEY: &str = "exemplars";
/// Exemplars of one tick. Their hashes are less than the 400 KB of an item in DynamoDB.
const MAX_EXEMPLARS: usize = 20_000;
/// Characters of all labels of an exemplar, as in Prometheus.
const MAX_LABEL_CHARS: usize = 128;
/// Older ones are left out: a target that rests shows its last exemplar for days, and the memory store of a
/// table may take an hour.
const MAX_AGE_MS: i64 = 60 * 60 * 1_000;

/// Which exemplars are new.
pub(super) struct Exemplars {
    tick_ms: i64,
    before: HashSet<u64>,
    shown: HashSet<u64>,
    /// Exemplars left out because there are too many.
    pub(super) left_out: u64,
}

impl Exemplars {
    /// None at all are known.
    pub(super) fn new(tick_ms: i64) -> Self {
        Self {
            tick_ms,
            before: HashSet::new(),
            shown: HashSet::new(),
            left_out: 0,
        }
    }

    /// Reads those of the tick before.
    pub(super) async fn read(&mut self, run: &Run<'_>) -> Result<(), StateError> {
        let text = run.cursors.get(KEY).await?.unwrap_or_default();
        // What cannot be read is written again.
        let bytes = STANDARD.decode(text).unwrap_or_default();
        let (hashes, _) = bytes.as_chunks();
        self.before = hashes.iter().map(|it| u64::from_le_bytes(*it)).collect();
        Ok(())
    }

    /// Keeps those of this tick, unless they are the same.
    pub(super) async fn replace(&self, run: &Run<'_>) -> Result<(), StateError> {
        if self.shown == self.before {
            return Ok(());
        }
        let hashes = self.shown.iter().flat_map(|hash| hash.to_le_bytes());
        let text = STANDARD.encode(hashes.collect::<Vec<_>>());
        run.cursors.set(KEY, &text).await
    }

    /// Returns the time at which the exemplar of a series is stored; `None` if it is not to be stored.
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
        if self.shown.len() >= MAX_EXEMPLARS && !self.shown.contains(&hash) {
            self.left_out += 1;
            return None;
        }
        self.shown.insert(hash);
        let is_new = !self.before.contains(&hash);
        is_new.then(|| exemplar.timestamp_ms.unwrap_or(sample_ms))
    }
}

fn hash(series: &[Label<'_>], exemplar: &Exemplar<'_>) -> u64 {
    let mut text = Vec::new();
    for (name, value) in series {
        for part in [name, value] {
            text.extend_from_slice(part.as_bytes());
            text.push(0xff);
        }
    }
    let labels = exemplar.labels.iter();
    let labels: Vec<_> = labels.map(|(name, value)| (&**name, &**value)).collect();
    // Without a time it is the same for as long as it is shown.
    let time = exemplar.timestamp_ms.unwrap_or(i64::MIN);
    text.extend_from_slice(to_text(&labels, exemplar.value, time).as_bytes());
    let digest = digest(&SHA256, &text);
    let (hash, _) = digest
        .as_ref()
        .split_first_chunk()
        .expect("it has 32 bytes");
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
    fn what_is_shown_again_is_admitted_once() {
        let (a, b) = ([("__name__", "a")], [("__name__", "b")]);
        let mut first = Exemplars::new(TICK_MS);
        let own = exemplar("x", Some(TICK_MS - 5));
        let without = exemplar("x", None);
        assert_eq!(first.admit(&a, &own, TICK_MS), Some(TICK_MS - 5));
        assert_eq!(first.admit(&a, &without, TICK_MS), Some(TICK_MS));
        let mut second = Exemplars::new(TICK_MS + 15_000);
        second.before = first.shown;
        assert_eq!(second.admit(&a, &own, TICK_MS + 15_000), None);
        assert_eq!(second.admit(&a, &without, TICK_MS + 15_000), None);
        assert_eq!(second.admit(&b, &own, TICK_MS + 15_000), Some(TICK_MS - 5));
        let other = exemplar("y", Some(TICK_MS - 5));
        assert_eq!(
            second.admit(&a, &other, TICK_MS + 15_000),
            Some(TICK_MS - 5)
        );
        assert_eq!(second.shown.len(), 4);
    }

    #[test]
    fn old_ones_long_ones_and_too_many_are_left_out() {
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
            (exemplars.shown.len(), exemplars.left_out),
            (MAX_EXEMPLARS, 2)
        );
    }
}
