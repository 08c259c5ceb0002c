//! Samples of earlier PromQL queries, so that the next refresh of a dashboard fetches only what is new.
//!
//! Samples are cached by selection (matchers and [`Wanted`]) in blocks of time. A block has all samples of a span
//! inside it: exactly those that Timestream had when they were fetched, or with windows of which only the newest
//! sample matters, at least these of each window. A query takes what the blocks have of its range, fetches the rest in
//! few stretches, and stores those.
//!
//! The age of the cached state is bounded: samples become part of it `settle` after their own time, so that those that
//! arrive in time are in it, and leave it `ttl` after they were fetched, so that later ones are seen then. The same
//! holds for samples that were overwritten or deleted, and for labels: a cached series has all labels that its rows
//! had when they were fetched, because a fetch whose columns were out of date is repeated. A column that is added
//! later has values in rows that were written later; those of cached times are late arrivals.
//!
//! Times are arguments; nothing here reads a clock.

mod blocks;
mod grid;
mod series;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prom_wire::prompb;
use prom_wire::response::Series;

use crate::storage::limits::MAX_TIME_MS;
use crate::storage::read::windows::Wanted;
use blocks::{Blocks, NewBlock, Present};
use grid::Grid;
pub use series::CachedSeries;
pub(super) use series::Samples;
use series::{Source, SourceSeries, allocated, join, visit_stretches};

/// Stretches that one selection fetches at most; more gaps are fetched as one.
const MAX_STRETCHES: usize = 3;

/// Blocks that one result fills at most, its newest ones: six weeks of hours.
const MAX_BLOCKS: u64 = 1_024;

/// The settings of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// The memory that it occupies at most; 0 switches it off.
    pub max_bytes: usize,
    /// Samples are cached once they are as old.
    pub settle: Duration,
    /// Samples are fetched again once they were fetched as long ago.
    pub ttl: Duration,
}

/// The use of the cache by a request, and its state then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Blocks of which a part was taken.
    pub hits: u64,
    /// Blocks with samples old enough for the cache of which nothing was there.
    pub misses: u64,
    /// Samples and native histograms that were taken.
    pub samples: u64,
    /// Blocks evicted since the last request.
    pub evictions: Evictions,
    /// Blocks.
    pub blocks: u64,
    /// The memory that they occupy.
    pub bytes: u64,
}

/// Blocks that were evicted, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// They were the least recently used ones when others needed their memory.
    pub size: u64,
    /// They were fetched too long ago.
    pub expired: u64,
}

/// A span of time with both of its ends, in milliseconds; empty if the last one is before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first time.
    pub first_ms: i64,
    /// The last time.
    pub last_ms: i64,
}

impl Span {
    /// Returns the times from the first to the last one.
    pub fn new(first_ms: i64, last_ms: i64) -> Self {
        Self { first_ms, last_ms }
    }

    pub(super) fn is_empty(self) -> bool {
        self.last_ms < self.first_ms
    }

    pub(super) fn contains(self, time_ms: i64) -> bool {
        self.first_ms <= time_ms && time_ms <= self.last_ms
    }

    fn intersection(self, other: Self) -> Self {
        Self::new(
            self.first_ms.max(other.first_ms),
            self.last_ms.min(other.last_ms),
        )
    }
}

/// The parts of a selection that decide which samples it has at any time.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    matchers: Vec<(i32, String, String)>,
    wanted: Wanted,
}

impl CacheKey {
    /// Returns the key of a query, whose matchers name its destinations, too.
    pub fn new(query: &prompb::Query, wanted: Wanted) -> Self {
        Self {
            matchers: canonical_matchers(query),
            wanted,
        }
    }

    /// Returns the memory that it occupies.
    fn bytes(&self) -> usize {
        let texts = self.matchers.iter();
        let texts = texts.map(|(_, name, value)| allocated(name.len()) + allocated(value.len()));
        let matchers = self.matchers.capacity() * size_of::<(i32, String, String)>();
        size_of::<Self>() + 16 + matchers + texts.sum::<usize>()
    }
}

/// Returns the matchers of a query: type, name and value, sorted, each once.
pub(super) fn canonical_matchers(query: &prompb::Query) -> Vec<(i32, String, String)> {
    let matchers = query.matchers.iter();
    let mut matchers: Vec<_> = matchers
        .map(|it| (it.r#type, it.name.clone(), it.value.clone()))
        .collect();
    matchers.sort_unstable();
    matchers.dedup();
    matchers
}

/// Returns the last time of the range that Timestream has to be queried for, so that samples up to `last_ms` are
/// complete. Other writers' times have fractions of milliseconds, and a range ends with a whole one. What it has beyond
/// `last_ms` must not hide a sample before.
pub(super) fn queried_end(wanted: Wanted, last_ms: i64) -> i64 {
    match Grid::of(wanted) {
        Some(grid) if grid.cut(last_ms) == last_ms => last_ms.saturating_add(1).min(MAX_TIME_MS),
        _ => last_ms,
    }
}

/// The cached and the missing parts of a range.
#[derive(Debug, Default)]
pub struct Taken {
    /// In the order of time. With the missing spans they make up the range.
    pub pieces: Vec<CachedPiece>,
    /// In the order of time.
    pub missing: Vec<Span>,
    /// Blocks with samples old enough for the cache of which nothing was there.
    pub misses: u64,
}

/// Samples of a span.
#[derive(Clone, Debug)]
pub struct CachedPiece {
    /// The span.
    pub span: Span,
    /// They may have samples outside of the span.
    pub series: Arc<[CachedSeries]>,
}

/// Samples of selections; see the module.
#[derive(Debug)]
pub struct SampleCache {
    max_bytes: usize,
    settle_ms: i64,
    ttl_ms: i64,
    blocks: Mutex<Blocks>,
}

impl SampleCache {
    /// Returns an empty cache; `None` if it is switched off.
    pub fn new(settings: CacheSettings) -> Option<Self> {
        let milliseconds = |it: Duration| i64::try_from(it.as_millis()).unwrap_or(i64::MAX);
        (settings.max_bytes > 0).then(|| Self {
            max_bytes: settings.max_bytes,
            settle_ms: milliseconds(settings.settle),
            ttl_ms: milliseconds(settings.ttl),
            blocks: Mutex::default(),
        })
    }

    /// Returns the last time whose samples are old enough.
    fn settled_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.settle_ms)
    }

    /// Returns what is cached of a span; `None` if nothing of it ever is.
    pub fn take(&self, key: &CacheKey, span: Span, now_ms: i64) -> Option<Taken> {
        let grid = Grid::of(key.wanted)?;
        let settled = Span::new(span.first_ms, span.last_ms.min(self.settled_ms(now_ms)));
        if settled.is_empty() {
            return None;
        }
        let mut taken = {
            let mut blocks = self.blocks.lock();
            blocks.expire(now_ms, self.ttl_ms);
            blocks.take(key, grid, span)
        };
        if taken.missing.len() > MAX_STRETCHES {
            let first_ms = taken.missing[0].first_ms;
            let last_ms = taken.missing[taken.missing.len() - 1].last_ms;
            let whole = Span::new(first_ms, last_ms);
            taken
                .pieces
                .retain(|it| it.span.intersection(whole).is_empty());
            taken.missing = vec![whole];
        }
        let hits = taken.pieces.len() as u64;
        taken.misses = grid.blocks_in(settled).saturating_sub(hits);
        Some(taken)
    }

    /// Stores the series of a span that a query which began at `now_ms` has fetched; they are sorted by labels.
    pub fn store(&self, key: &Arc<CacheKey>, span: Span, series: &[Series], now_ms: i64) {
        let Some(grid) = Grid::of(key.wanted) else {
            return;
        };
        let last_ms = grid.cut(span.last_ms.min(self.settled_ms(now_ms)));
        let settled = Span::new(span.first_ms, last_ms);
        if settled.is_empty() {
            return;
        }
        // The newest block is the last one to be evicted.
        let count = grid.blocks_in(settled).min(MAX_BLOCKS);
        let first_use = {
            let mut blocks = self.blocks.lock();
            blocks.expire(now_ms, self.ttl_ms);
            blocks.reserve_uses(count)
        };
        let (mut end_ms, mut stored_bytes) = (grid.block_end(last_ms), 0);
        let members = members(grid, end_ms, count, series);
        for (used, members) in (first_use..first_use + count).rev().zip(&members) {
            let fetched = Source {
                span: settled.intersection(grid.block(end_ms)),
                series: SourceSeries::Fetched(series, members),
            };
            let present = self.blocks.lock().get(key, end_ms);
            let block = new_block(end_ms, fetched, present.as_ref(), now_ms, used);
            stored_bytes += block.bytes();
            if stored_bytes > self.max_bytes {
                return;
            }
            self.blocks.lock().insert(key, block, self.max_bytes);
            end_ms = grid.previous_end(end_ms);
        }
    }

    /// Adds the state, and what was evicted since the last time, to the counts of a request.
    pub fn count(&self, counts: &mut CacheCounts) {
        let mut blocks = self.blocks.lock();
        let evictions = blocks.take_evictions();
        counts.evictions.size += evictions.size;
        counts.evictions.expired += evictions.expired;
        counts.blocks = blocks.len() as u64;
        counts.bytes = blocks.bytes() as u64;
    }
}

/// Returns the positions of the series that can have samples in a block, for each of so many blocks from the one that
/// ends at `end_ms` back. Most series of a long span may have samples in few blocks, so a block does not look at all.
fn members(grid: Grid, end_ms: i64, count: u64, series: &[Series]) -> Vec<Vec<u32>> {
    let count = usize::try_from(count).expect("there are few blocks");
    let mut members = vec![Vec::new(); count];
    for (position, series) in (0..).zip(series) {
        let age = |time_ms| grid.blocks_before(end_ms, time_ms);
        visit_stretches(series, age, |age| {
            let members = usize::try_from(age)
                .ok()
                .and_then(|age| members.get_mut(age));
            if let Some(members) = members
                && members.last() != Some(&position)
            {
                members.push(position);
            }
        });
    }
    members
}

/// Returns a block of what was fetched, joined with the block that is there unless there is a gap between them.
fn new_block<'s>(
    end_ms: i64,
    fetched: Source<'s>,
    present: Option<&'s Present>,
    now_ms: i64,
    used: u64,
) -> NewBlock<'s> {
    let mut span = fetched.span;
    let mut fetched_ms = now_ms;
    let joined = present.filter(|present| {
        let is_near = present.span.first_ms <= span.last_ms.saturating_add(1)
            && span.first_ms <= present.span.last_ms.saturating_add(1);
        let is_replaced =
            span.first_ms <= present.span.first_ms && present.span.last_ms <= span.last_ms;
        is_near && !is_replaced
    });
    let mut sources = vec![fetched];
    if let Some(present) = joined {
        let series = SourceSeries::Cached(&present.series);
        let before = Span::new(present.span.first_ms, span.first_ms.saturating_sub(1));
        let after = Span::new(span.last_ms.saturating_add(1), present.span.last_ms);
        sources.insert(
            0,
            Source {
                span: before,
                series,
            },
        );
        sources.push(Source {
            span: after,
            series,
        });
        sources.retain(|source| !source.span.is_empty());
        span = Span::new(
            span.first_ms.min(present.span.first_ms),
            span.last_ms.max(present.span.last_ms),
        );
        fetched_ms = fetched_ms.min(present.fetched_ms);
    }
    NewBlock {
        end_ms,
        span,
        fetched_ms,
        used,
        series: join(&sources),
    }
}
