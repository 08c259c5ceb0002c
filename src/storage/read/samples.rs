//! The float samples of one series, as result rows bring them, to chunks in the order of time.
//!
//! Samples are encoded when they come, so they are never held at their full size. Where rows come in
//! another order, or have samples of the same time, the chunks are merged in the end.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use prom_model::{STALE_MARKER_BITS, Sample};
use prom_wire::chunk::{Chunk, Decoder, Encoder, MAX_SAMPLES, to_chunks};

use crate::storage::names::is_special;

/// Samples that may still come in any order.
#[derive(Debug, Default)]
pub struct Samples {
    closed: Vec<Chunk>,
    closed_bytes: usize,
    open: Encoder,
    /// True if some chunk begins before the end of the one before it, or is not full.
    is_mixed: bool,
}

impl Samples {
    /// Adds the samples of a row, and empties `row`. Its samples may have any order, and times
    /// that are there already: see [`Self::into_chunks`].
    pub fn append(&mut self, row: &mut Vec<Sample>) {
        if !row.is_sorted_by(|a, b| a.timestamp_ms < b.timestamp_ms) {
            row.sort_by_key(|sample| (sample.timestamp_ms, rank(sample.value)));
            row.dedup_by_key(|sample| sample.timestamp_ms);
        }
        let Some(first) = row.first() else { return };
        let last_time_ms = self.open.last_time_ms();
        let last_time_ms = last_time_ms.or(self.closed.last().map(|chunk| chunk.max_time_ms));
        if last_time_ms.is_some_and(|last| last >= first.timestamp_ms) {
            self.close();
            self.is_mixed = true;
        }
        for sample in row.drain(..) {
            if self.open.len() == MAX_SAMPLES {
                self.close();
            }
            self.open.push(sample);
        }
    }

    /// Adds all samples of `other`; of equally good samples of one time its own come first.
    pub fn append_all(&mut self, mut other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        self.close();
        other.close();
        self.is_mixed |= !other.is_empty();
        self.closed_bytes += other.closed_bytes;
        self.closed.append(&mut other.closed);
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.is_empty()
    }

    /// Bytes that the samples take.
    pub fn bytes(&self) -> usize {
        let chunks = self.closed.capacity() * size_of::<Chunk>();
        chunks + self.closed_bytes + self.open.bytes()
    }

    /// Chunks in the order of time, all full but the last one, each time once.
    ///
    /// If a time has several samples, an ordinary one wins over a special one, and of two ordinary
    /// ones the one that came first.
    pub fn into_chunks(mut self) -> Vec<Chunk> {
        self.close();
        if !self.is_mixed {
            return self.closed;
        }
        to_chunks(Merged::new(&self.closed))
    }

    /// The samples of [`Self::into_chunks`].
    pub fn to_samples(&mut self) -> Vec<Sample> {
        self.close();
        Merged::new(&self.closed).collect()
    }

    fn close(&mut self) {
        let chunk = self.open.take();
        self.closed_bytes += chunk.as_ref().map_or(0, |chunk| chunk.data.len());
        self.closed.extend(chunk);
    }
}

/// The order in which samples of one time are preferred: what was observed before what says that
/// nothing was, and special values among themselves by their bits.
fn rank(value: f64) -> (u8, u64) {
    match value.to_bits() {
        _ if !is_special(value) => (0, 0),
        STALE_MARKER_BITS => (2, 0),
        bits => (1, bits),
    }
}

/// The samples of chunks that may overlap, in the order of time, each time once.
struct Merged<'c> {
    /// Chunks that begin later than all that was read, the first ones last.
    waiting: Vec<(usize, &'c Chunk)>,
    /// Chunks of which something is left.
    open: BinaryHeap<Reverse<Head<'c>>>,
    last_time_ms: Option<i64>,
}

/// The next sample of a chunk, and the rest.
struct Head<'c> {
    /// Returns the sort key of the next sample: time, rank, the place of its chunk.
    key: (i64, (u8, u64), usize),
    value: f64,
    rest: Decoder<'c>,
}

impl<'c> Head<'c> {
    fn new(place: usize, mut rest: Decoder<'c>) -> Option<Self> {
        let Sample {
            timestamp_ms,
            value,
        } = rest.next()?;
        Some(Self {
            key: (timestamp_ms, rank(value), place),
            value,
            rest,
        })
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Head<'_> {}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl<'c> Merged<'c> {
    fn new(chunks: &'c [Chunk]) -> Self {
        let mut waiting: Vec<_> = chunks.iter().enumerate().collect();
        waiting.sort_by_key(|(_, chunk)| Reverse(chunk.min_time_ms));
        Self {
            waiting,
            open: BinaryHeap::new(),
            last_time_ms: None,
        }
    }

    /// The next sample, which may have the time of the one before.
    fn next_of_any_time(&mut self) -> Option<Sample> {
        let next_ms = self.open.peek().map(|Reverse(head)| head.key.0);
        while let Some((_, chunk)) = self.waiting.last()
            && next_ms.is_none_or(|next_ms| chunk.min_time_ms <= next_ms)
        {
            let (place, chunk) = self.waiting.pop()?;
            self.open
                .extend(Head::new(place, chunk.samples()).map(Reverse));
        }
        let Reverse(head) = self.open.pop()?;
        let sample = Sample {
            timestamp_ms: head.key.0,
            value: head.value,
        };
        self.open
            .extend(Head::new(head.key.2, head.rest).map(Reverse));
        Some(sample)
    }
}

impl Iterator for Merged<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        loop {
            let sample = self.next_of_any_time()?;
            let time_ms = Some(sample.timestamp_ms);
            if self.last_time_ms != time_ms {
                self.last_time_ms = time_ms;
                return Some(sample);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STALE: f64 = f64::from_bits(STALE_MARKER_BITS);

    fn sample(timestamp_ms: i64, value: f64) -> Sample {
        Sample {
            timestamp_ms,
            value,
        }
    }

    fn bits(samples: impl IntoIterator<Item = Sample>) -> Vec<(i64, u64)> {
        let samples = samples.into_iter();
        samples
            .map(|sample| (sample.timestamp_ms, sample.value.to_bits()))
            .collect()
    }

    fn decoded(chunks: &[Chunk]) -> Vec<(i64, u64)> {
        bits(chunks.iter().flat_map(Chunk::samples))
    }

    fn gathered(rows: &[Vec<Sample>]) -> Samples {
        let mut samples = Samples::default();
        for row in rows {
            samples.append(&mut row.clone());
        }
        samples
    }

    /// The expected samples of the chunks, without any encoding.
    fn expected(rows: &[Vec<Sample>]) -> Vec<(i64, u64)> {
        let mut all = rows.concat();
        all.sort_by_key(|sample| (sample.timestamp_ms, rank(sample.value)));
        all.dedup_by_key(|sample| sample.timestamp_ms);
        bits(all)
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<Sample>>> {
        let value = prop_oneof![
            (0_u8..4).prop_map(f64::from),
            Just(f64::NAN),
            Just(STALE),
            Just(-0.0)
        ];
        let row = (
            0_i64..1_000,
            prop::collection::vec((-1_i64..40, value), 0..300),
        );
        let row = row.prop_map(|(start, steps)| {
            let mut time = start;
            let samples = steps.into_iter().map(|(step, value)| {
                time += step;
                sample(time, value)
            });
            samples.collect()
        });
        prop::collection::vec(row, 0..8)
    }

    proptest! {
        #[test]
        fn rows_in_any_order_become_full_chunks_in_the_order_of_time(rows in rows(), split: u8) {
            let expected = expected(&rows);
            let chunks = gathered(&rows).into_chunks();
            prop_assert_eq!(decoded(&chunks), expected.clone());
            prop_assert_eq!(bits(gathered(&rows).to_samples()), expected.clone());
            // Of several tables.
            let (first, second) = rows.split_at(usize::from(split) % (rows.len() + 1));
            let mut both = gathered(first);
            both.append_all(gathered(second));
            prop_assert_eq!(&both.into_chunks(), &chunks);

            let full = chunks.iter().rev().skip(1).all(|chunk| chunk.len() == MAX_SAMPLES);
            prop_assert!(full);
            for chunk in &chunks {
                let times: Vec<_> = chunk.samples().map(|sample| sample.timestamp_ms).collect();
                prop_assert_eq!(times.first(), Some(&chunk.min_time_ms));
                prop_assert_eq!(times.last(), Some(&chunk.max_time_ms));
                prop_assert!(times.is_sorted_by(|a, b| a < b));
            }
            prop_assert!(chunks.is_sorted_by(|a, b| a.max_time_ms < b.min_time_ms));
        }
    }

    #[test]
    fn an_ordinary_sample_wins_then_the_one_that_came_first() {
        let rows = [
            vec![sample(1, STALE), sample(2, f64::NAN), sample(3, 1.0)],
            vec![sample(1, f64::NAN), sample(2, 5.0), sample(3, 2.0)],
        ];
        let expected = bits([sample(1, f64::NAN), sample(2, 5.0), sample(3, 1.0)]);
        assert_eq!(decoded(&gathered(&rows).into_chunks()), expected);
    }

    #[test]
    fn samples_in_their_order_are_encoded_once_and_take_little_room() {
        let rows: Vec<Vec<Sample>> = (0..24)
            .map(|hour| {
                let minutes = 0..60;
                minutes
                    .map(|minute| sample((hour * 60 + minute) * 60_000, 42.0))
                    .collect()
            })
            .collect();
        let samples = gathered(&rows);
        assert!(!samples.is_mixed);
        let bytes = samples.bytes();
        assert!(bytes < 24 * 60, "{bytes} bytes");
        let lens: Vec<_> = samples.into_chunks().iter().map(Chunk::len).collect();
        assert_eq!(lens, [MAX_SAMPLES; 12]);
    }
}
