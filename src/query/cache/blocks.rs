//! Blocks of samples by selection and time, within a bound of memory: the least recently used one goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use prom_model::Labels;

use super::grid::Grid;
use super::series::{CachedSeries, Draft, allocated, labels_bytes};
use super::{CacheKey, CachedPiece, Evictions, Span, Taken};

/// Memory of a block beside its series: itself and its places in three trees, which are two thirds full.
const BLOCK_BYTES: usize =
    size_of::<Block>() * 3 / 2 + 2 * size_of::<((i64, u64), Place)>() * 3 / 2 + 16;

/// Memory of a selection beside its key, its blocks and labels; trees and maps have a first node.
const SELECTION_BYTES: usize = 2 * size_of::<(Arc<CacheKey>, Cached)>() + 11 * size_of::<Block>();

/// All blocks.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    selections: HashMap<Arc<CacheKey>, Cached>,
    /// By the number of the last use.
    by_use: BTreeMap<u64, Place>,
    /// By the time of the fetch, and the number of the insertion.
    by_age: BTreeMap<(i64, u64), Place>,
    next_number: u64,
    bytes: usize,
    evictions: Evictions,
}

/// The selection and the end of a block.
type Place = (Arc<CacheKey>, i64);

/// The blocks of a selection.
#[derive(Debug, Default)]
struct Cached {
    /// By their last times.
    blocks: BTreeMap<i64, Block>,
    /// The labels of all blocks, and the number of blocks that have them.
    labels: HashMap<Arc<Labels>, u32>,
}

/// The samples of a block.
#[derive(Debug)]
struct Block {
    /// The times of which it has all samples.
    span: Span,
    fetched_ms: i64,
    inserted: u64,
    used: u64,
    bytes: usize,
    series: Arc<[CachedSeries]>,
}

/// A block to be inserted.
#[derive(Debug)]
pub(super) struct NewBlock<'s> {
    /// Its last time.
    pub(super) end_ms: i64,
    pub(super) span: Span,
    pub(super) fetched_ms: i64,
    /// The number of its use.
    pub(super) used: u64,
    /// Sorted by labels.
    pub(super) series: Vec<Draft<'s>>,
}

impl NewBlock<'_> {
    /// Returns the memory that it occupies at least.
    pub(super) fn bytes(&self) -> usize {
        self.series.iter().map(Draft::bytes).sum::<usize>() + BLOCK_BYTES
    }
}

/// A block that is there.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) span: Span,
    pub(super) fetched_ms: i64,
    pub(super) series: Arc<[CachedSeries]>,
}

impl Blocks {
    /// Returns the memory that the blocks occupy.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of blocks.
    pub(super) fn len(&self) -> usize {
        self.by_use.len()
    }

    /// Returns how many blocks were evicted since the last call.
    pub(super) fn take_evictions(&mut self) -> Evictions {
        std::mem::take(&mut self.evictions)
    }

    /// Returns the first of so many numbers of uses, all later than the ones before.
    pub(super) fn reserve_uses(&mut self, count: u64) -> u64 {
        self.next_number += count;
        self.next_number - count
    }

    /// Evicts the blocks that were fetched as long ago. After a clock was set back, this concerns those that lie as far
    /// in the future, too.
    pub(super) fn expire(&mut self, now_ms: i64, ttl_ms: i64) {
        let is_old = |fetched_ms: i64| now_ms.abs_diff(fetched_ms) >= ttl_ms.unsigned_abs();
        loop {
            let first = self.by_age.first_key_value();
            let last = self.by_age.last_key_value();
            let old = first
                .into_iter()
                .chain(last)
                .find(|((fetched_ms, _), _)| is_old(*fetched_ms));
            let Some((key, end_ms)) = old.map(|(_, place)| place.clone()) else {
                return;
            };
            self.remove(&key, end_ms);
            self.evictions.expired += 1;
        }
    }

    /// Takes what is there of a span, and counts it as used.
    pub(super) fn take(&mut self, key: &CacheKey, grid: Grid, span: Span) -> Taken {
        let mut taken = Taken::default();
        let mut next_ms = span.first_ms;
        if let Some(cached) = self.selections.get_mut(key) {
            let ends = grid.block_end(span.first_ms)..=grid.block_end(span.last_ms);
            for (_, block) in cached.blocks.range_mut(ends) {
                let last_ms = match span.last_ms < block.span.last_ms {
                    true => grid.cut(span.last_ms),
                    false => block.span.last_ms,
                };
                let piece = Span::new(block.span.first_ms.max(span.first_ms), last_ms);
                if piece.is_empty() {
                    continue;
                }
                if next_ms < piece.first_ms {
                    taken.missing.push(Span::new(next_ms, piece.first_ms - 1));
                }
                next_ms = piece.last_ms.saturating_add(1);
                taken.pieces.push(CachedPiece {
                    span: piece,
                    series: Arc::clone(&block.series),
                });
                if let Some(place) = self.by_use.remove(&block.used) {
                    block.used = self.next_number;
                    self.by_use.insert(block.used, place);
                    self.next_number += 1;
                }
            }
        }
        if next_ms <= span.last_ms {
            taken.missing.push(Span::new(next_ms, span.last_ms));
        }
        taken
    }

    /// Returns the block that ends then, if it is there.
    pub(super) fn get(&self, key: &CacheKey, end_ms: i64) -> Option<Present> {
        let block = self.selections.get(key)?.blocks.get(&end_ms)?;
        Some(Present {
            span: block.span,
            fetched_ms: block.fetched_ms,
            series: Arc::clone(&block.series),
        })
    }

    /// Inserts a block in place of the one that is there, and evicts others until all occupy `max_bytes` at most.
    pub(super) fn insert(&mut self, key: &Arc<CacheKey>, new: NewBlock<'_>, max_bytes: usize) {
        let mut bytes = new.bytes();
        let cached = self.selections.entry(Arc::clone(key)).or_insert_with(|| {
            self.bytes += key.bytes() + SELECTION_BYTES;
            Cached::default()
        });
        let series = new.series.into_iter().map(|draft| {
            let known = cached.labels.get_key_value(draft.labels.get());
            let labels = match known {
                Some((labels, _)) => Arc::clone(labels),
                None => {
                    let labels = draft.labels.into_shared();
                    self.bytes += labels_bytes(&labels);
                    labels
                }
            };
            *cached.labels.entry(Arc::clone(&labels)).or_default() += 1;
            CachedSeries {
                labels,
                chunks: draft.chunks,
                histograms: draft.histograms,
            }
        });
        let series: Arc<[CachedSeries]> = series.collect();
        // The counts of the list.
        bytes += allocated(16);
        self.bytes += bytes;
        let inserted = self.next_number;
        self.next_number += 1;
        let block = Block {
            span: new.span,
            fetched_ms: new.fetched_ms,
            inserted,
            used: new.used,
            bytes,
            series,
        };
        let replaced = cached.blocks.insert(new.end_ms, block);
        if let Some(replaced) = replaced {
            self.forget(key, &replaced);
        }
        let place = (Arc::clone(key), new.end_ms);
        self.by_use.insert(new.used, place.clone());
        self.by_age.insert((new.fetched_ms, inserted), place);
        while self.bytes > max_bytes {
            let Some((_, (key, end_ms))) = self.by_use.first_key_value() else {
                return;
            };
            let (key, end_ms) = (Arc::clone(key), *end_ms);
            self.remove(&key, end_ms);
            self.evictions.size += 1;
        }
    }

    /// Removes a block, and its selection if it is the last one.
    fn remove(&mut self, key: &Arc<CacheKey>, end_ms: i64) {
        let Some(cached) = self.selections.get_mut(key) else {
            return;
        };
        let Some(block) = cached.blocks.remove(&end_ms) else {
            return;
        };
        let is_last = cached.blocks.is_empty();
        self.forget(key, &block);
        if is_last {
            self.selections.remove(key);
            self.bytes -= key.bytes() + SELECTION_BYTES;
        }
    }

    /// Removes what is known of a block that is no longer in its selection.
    fn forget(&mut self, key: &CacheKey, block: &Block) {
        self.by_use.remove(&block.used);
        self.by_age.remove(&(block.fetched_ms, block.inserted));
        self.bytes -= block.bytes;
        let Some(cached) = self.selections.get_mut(key) else {
            return;
        };
        for series in block.series.iter() {
            let Some(blocks) = cached.labels.get_mut(&series.labels) else {
                continue;
            };
            *blocks -= 1;
            if *blocks == 0 {
                self.bytes -= labels_bytes(&series.labels);
                cached.labels.remove(&series.labels);
            }
        }
    }
}

#[cfg(test)]
impl Blocks {
    /// Checks that all that is known of the blocks agrees.
    pub(super) fn check(&self) {
        let mut bytes = 0;
        let mut blocks = 0;
        for (key, cached) in &self.selections {
            bytes += key.bytes() + SELECTION_BYTES;
            assert!(!cached.blocks.is_empty());
            let mut labels: HashMap<Arc<Labels>, u32> = HashMap::new();
            for (end_ms, block) in &cached.blocks {
                blocks += 1;
                bytes += block.bytes;
                let place = (Arc::clone(key), *end_ms);
                assert_eq!(self.by_use.get(&block.used), Some(&place));
                let age = (block.fetched_ms, block.inserted);
                assert_eq!(self.by_age.get(&age), Some(&place));
                for series in block.series.iter() {
                    *labels.entry(Arc::clone(&series.labels)).or_default() += 1;
                }
            }
            assert_eq!(labels, cached.labels);
            bytes += labels.keys().map(|it| labels_bytes(it)).sum::<usize>();
        }
        assert_eq!(bytes, self.bytes);
        assert_eq!((blocks, blocks), (self.by_use.len(), self.by_age.len()));
    }
}
