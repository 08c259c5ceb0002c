//! Owned strings that requests borrow.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Slots of the first block. Each further block has twice as many as the one before.
const FIRST_SLOTS: usize = 64;
/// Blocks for as many strings as a request can have labels.
const BLOCKS: usize = (u32::BITS - FIRST_SLOTS.ilog2()) as usize;

/// Strings that were made rather than received, such as joined or normalised names, for requests that borrow them.
///
/// A string is never moved or dropped while the arena exists, so it can be stored through a shared reference. An
/// arena without strings allocates nothing.
///
/// ```
/// use prom_wire::request::{Request, StringArena};
///
/// let arena = StringArena::default();
/// let mut request = Request::default();
/// request.push_label_in(&arena, "__name__".into(), format!("{}_seconds", "latency").into());
/// request.push_label("job", "api");
/// request.end_series();
/// assert_eq!(request.series(0).labels.to_string(), r#"{__name__="latency_seconds", job="api"}"#);
/// ```
#[derive(Debug, Default)]
pub struct StringArena {
    blocks: [OnceLock<Box<[OnceLock<Box<str>>]>>; BLOCKS],
    len: AtomicUsize,
    bytes: AtomicUsize,
}

impl StringArena {
    /// Returns a string that lives as long as the arena: `text` itself if it is borrowed, otherwise the stored one.
    ///
    /// # Panics
    /// The arena is full, with almost 2³² strings.
    pub fn store<'a>(&'a self, text: impl Into<Cow<'a, str>>) -> &'a str {
        match text.into() {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => self.push(text.into_boxed_str()),
        }
    }

    /// Returns the number of stored strings.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns true if no string is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of memory that the strings occupy.
    pub fn bytes(&self) -> usize {
        let slot = size_of::<OnceLock<Box<str>>>();
        let blocks = self.blocks.iter().filter_map(OnceLock::get);
        let slots: usize = blocks.map(|block| block.len()).sum();
        self.bytes.load(Ordering::Relaxed) + slots * slot
    }

    fn push(&self, text: Box<str>) -> &str {
        self.bytes.fetch_add(text.len(), Ordering::Relaxed);
        let (block, slot) = place(self.len.fetch_add(1, Ordering::Relaxed));
        let slots = || (0..FIRST_SLOTS << block).map(|_| OnceLock::new());
        let block = self.blocks[block].get_or_init(|| slots().collect());
        // No other string has this number, so the slot is free.
        block[slot].get_or_init(|| text)
    }
}

/// Returns the block of the string with this number and its slot there.
fn place(number: usize) -> (usize, usize) {
    let shifted = number + FIRST_SLOTS;
    let block = shifted.ilog2() - FIRST_SLOTS.ilog2();
    (block as usize, shifted - (FIRST_SLOTS << block))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_string_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for number in 0..10_000 {
            assert_eq!(place(number), expected, "{number}");
            expected.1 += 1;
            if expected.1 == FIRST_SLOTS << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        // As many as fit.
        let last = u32::MAX as usize + 1 - FIRST_SLOTS - 1;
        assert_eq!(place(last).0, BLOCKS - 1);
        assert_eq!(place(last + 1).0, BLOCKS);
    }

    #[test]
    fn a_borrowed_string_is_not_stored() {
        let arena = StringArena::default();
        let text = String::from("a");
        assert!(std::ptr::eq(arena.store(text.as_str()), text.as_str()));
        assert!(arena.is_empty());
        assert_eq!(arena.bytes(), 0);
        assert_eq!(arena.store(text.clone()), "a");
        assert_eq!(arena.len(), 1);
        assert!(arena.bytes() > FIRST_SLOTS * size_of::<usize>());
    }

    #[test]
    fn threads_can_share_an_arena() {
        let arena = StringArena::default();
        let store = |thread: usize| -> Vec<&str> {
            let texts = (0..1_000).map(|i| format!("{thread}/{i}"));
            texts.map(|text| arena.store(text)).collect()
        };
        let store = &store;
        let all: Vec<&str> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| scope.spawn(move || store(thread)))
                .collect();
            let stored = threads.into_iter().map(|it| it.join().unwrap());
            stored.flatten().collect()
        });
        let expected = (0..4).flat_map(|thread| (0..1_000).map(move |i| format!("{thread}/{i}")));
        assert!(all.iter().copied().eq(expected));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), arena.len());
    }
}
