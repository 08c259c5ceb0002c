//! Results that are remembered for a minute, and the queries that run to get them.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::query::single_flight::SharedQueries;

/// Time for which a result is used.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Results on a shelf at most.
const MAX_ENTRIES: usize = 256;
/// Bytes of all results on a shelf at most.
const MAX_BYTES: usize = 4 << 20;

/// A key or a result whose memory is known.
pub(super) trait Weighed {
    /// Returns the bytes of memory that it occupies.
    fn bytes(&self) -> usize;
}

/// Results of one kind.
#[derive(Debug)]
pub(super) struct Shelf<K, V> {
    /// The queries that run.
    pub(super) running: SharedQueries<K, V>,
    found: Mutex<Entries<K, V>>,
}

#[derive(Debug)]
struct Entries<K, V> {
    by_key: HashMap<K, Entry<V>>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    found_at: Instant,
    bytes: usize,
    value: V,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self {
            running: SharedQueries::default(),
            found: Mutex::new(Entries {
                by_key: HashMap::new(),
                bytes: 0,
            }),
        }
    }
}

impl<K: Weighed + Eq + Hash + Clone, V: Weighed + Clone> Shelf<K, V> {
    /// Returns a result of the last minute.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let found = self.found.lock();
        let entry = found.by_key.get(key)?;
        (entry.found_at.elapsed() < MAX_AGE).then(|| entry.value.clone())
    }

    /// Remembers a result, unless it would take more than half of the shelf; the oldest ones make room for it.
    pub(super) fn put(&self, key: K, value: V) {
        let bytes = key.bytes() + value.bytes() + size_of::<K>() + size_of::<Entry<V>>();
        let mut found = self.found.lock();
        found.remove(&key);
        if bytes > MAX_BYTES / 2 {
            return;
        }
        let Entries { by_key, .. } = &*found;
        let mut old: Vec<_> = by_key.iter().map(|(key, it)| (it.found_at, key)).collect();
        old.sort_unstable_by_key(|(found_at, _)| *found_at);
        let old: Vec<K> = old.into_iter().map(|(_, key)| key.clone()).collect();
        for key in old {
            let entry = &found.by_key[&key];
            let has_room = found.bytes + bytes <= MAX_BYTES && found.by_key.len() < MAX_ENTRIES;
            if has_room && entry.found_at.elapsed() < MAX_AGE {
                break;
            }
            found.remove(&key);
        }
        found.bytes += bytes;
        let found_at = Instant::now();
        let entry = Entry {
            found_at,
            bytes,
            value,
        };
        found.by_key.insert(key, entry);
    }
}

impl<K: Eq + Hash, V> Entries<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.by_key.remove(key) {
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Bytes(usize);

    impl Weighed for usize {
        fn bytes(&self) -> usize {
            0
        }
    }

    impl Weighed for Bytes {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_of_the_last_minute() {
        let shelf = Shelf::default();
        shelf.put(1, Bytes(10));
        advance(Duration::from_secs(59)).await;
        assert_eq!(shelf.get(&1), Some(Bytes(10)));
        shelf.put(2, Bytes(20));
        advance(Duration::from_secs(1)).await;
        assert_eq!((shelf.get(&1), shelf.get(&2)), (None, Some(Bytes(20))));
        shelf.put(3, Bytes(30));
        assert_eq!(shelf.found.lock().by_key.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shelf_has_bounds() {
        let shelf = Shelf::default();
        shelf.put(0, Bytes(MAX_BYTES / 2 + 1));
        assert_eq!(shelf.get(&0), None);
        for key in 1..=2 * MAX_ENTRIES {
            shelf.put(key, Bytes(1));
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(shelf.found.lock().by_key.len(), MAX_ENTRIES);
        for key in 1..=3 {
            shelf.put(key, Bytes(MAX_BYTES / 2 - 1_000));
            advance(Duration::from_millis(1)).await;
        }
        let found = shelf.found.lock();
        let bytes: usize = found.by_key.values().map(|entry| entry.bytes).sum();
        assert_eq!(bytes, found.bytes);
        assert!(bytes <= MAX_BYTES && found.by_key.contains_key(&3));
        assert!(!found.by_key.contains_key(&1));
    }
}
