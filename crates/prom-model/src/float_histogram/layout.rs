//! The buckets on one side of zero, for plain counts and for compensated ones.

use super::bounds::coarser_index;
use crate::Span;

/// A count, or what is calculated like one.
pub(super) trait Cell: Copy {
    /// No observations.
    const ZERO: Self;

    /// Returns the cell for a count.
    fn new(count: f64) -> Self;

    /// Returns the count without its compensation.
    fn count(self) -> f64;

    /// Adds a count and its compensation.
    fn add(&mut self, other: Compensated);

    /// Returns the cell for a sum; a plain count drops the compensation.
    fn from_compensated(sum: Compensated) -> Self;

    /// Returns the cell with its compensation.
    fn compensated(self) -> Compensated;

    /// Returns true if the bucket of the cell can be dropped.
    fn is_empty(self) -> bool;

    /// Returns the cell with each of its parts changed alike.
    fn map(self, change: impl Fn(f64) -> f64) -> Self;
}

impl Cell for f64 {
    const ZERO: Self = 0.0;

    fn new(count: f64) -> Self {
        count
    }

    fn count(self) -> f64 {
        self
    }

    fn add(&mut self, other: Compensated) {
        *self += other.sum;
    }

    fn from_compensated(sum: Compensated) -> Self {
        sum.sum
    }

    fn compensated(self) -> Compensated {
        Compensated::new(self)
    }

    fn is_empty(self) -> bool {
        self == 0.0
    }

    fn map(self, change: impl Fn(f64) -> f64) -> Self {
        change(self)
    }
}

/// A sum, and what it lost to rounding (Kahan's summation with Neumaier's improvement).
#[derive(Clone, Copy, Debug)]
pub(super) struct Compensated {
    pub(super) sum: f64,
    pub(super) compensation: f64,
}

impl Compensated {
    fn add_float(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - sum) + value;
        } else {
            self.compensation += (value - sum) + self.sum;
        }
        self.sum = sum;
    }
}

impl Cell for Compensated {
    const ZERO: Self = Compensated {
        sum: 0.0,
        compensation: 0.0,
    };

    fn new(count: f64) -> Self {
        Compensated {
            sum: count,
            compensation: 0.0,
        }
    }

    fn count(self) -> f64 {
        self.sum
    }

    fn add(&mut self, other: Compensated) {
        self.add_float(other.sum);
        if other.compensation != 0.0 {
            self.add_float(other.compensation);
        }
    }

    fn from_compensated(sum: Compensated) -> Self {
        sum
    }

    fn compensated(self) -> Compensated {
        self
    }

    fn is_empty(self) -> bool {
        self.sum == 0.0 && self.compensation == 0.0
    }

    fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Compensated {
            sum: change(self.sum),
            compensation: change(self.compensation),
        }
    }
}

/// The buckets on one side of zero. The spans describe as many buckets as there are.
#[derive(Clone, Debug)]
pub(super) struct Side<C> {
    pub(super) spans: Vec<Span>,
    pub(super) buckets: Vec<C>,
}

impl<C> Default for Side<C> {
    fn default() -> Self {
        Side {
            spans: Vec::new(),
            buckets: Vec::new(),
        }
    }
}

impl<C: Cell> Side<C> {
    /// Returns each bucket with its index.
    pub(super) fn positions(&self) -> Positions<'_, C> {
        let end = self.spans.iter().fold(0_i32, |end, span| {
            let end = end.wrapping_add(span.offset);
            end.wrapping_add_unsigned(span.length)
        });
        Positions {
            spans: &self.spans,
            buckets: &self.buckets,
            front: Cursor::default(),
            back: Cursor {
                in_span: 0,
                index: end,
            },
        }
    }

    /// Returns the buckets with each count changed.
    pub(super) fn map<D>(&self, change: impl Fn(C) -> D) -> Side<D> {
        Side {
            spans: self.spans.clone(),
            buckets: self.buckets.iter().map(|&cell| change(cell)).collect(),
        }
    }

    /// Returns the buckets of the coarser schema `to` that contain those of the schema `from`.
    pub(super) fn reduced(&self, from: i32, to: i32) -> Self {
        let mut reduced = Builder::<C>::default();
        for (index, cell) in self.positions() {
            let index = coarser_index(index, from, to);
            match reduced.last_at(index) {
                Some(last) => last.add(cell.compensated()),
                None => reduced.push(index, cell),
            }
        }
        reduced.side
    }

    /// Returns the buckets with those of `others` added. The indexes of both rise.
    pub(super) fn merged(&self, others: impl Iterator<Item = (i32, C)>) -> Self {
        let mut merged = Builder::with_capacity(self.buckets.len());
        let mut own = self.positions().peekable();
        for (index, cell) in others {
            while let Some((before, own)) = own.next_if(|own| own.0 < index) {
                merged.push(before, own);
            }
            match own.next_if(|own| own.0 == index) {
                Some((_, mut sum)) => {
                    sum.add(cell.compensated());
                    merged.push(index, sum);
                }
                None => merged.push(index, cell),
            }
        }
        own.for_each(|(index, cell)| merged.push(index, cell));
        merged.side
    }

    /// Returns true if no bucket is empty, and no span is or continues the one before it.
    pub(super) fn is_compact(&self) -> bool {
        let is_span = |(at, span): (usize, &Span)| span.length > 0 && (at == 0 || span.offset != 0);
        self.spans.iter().enumerate().all(is_span)
            && !self.buckets.iter().any(|cell| cell.is_empty())
    }

    /// Returns the buckets without empty ones, but with up to `max_empty` of them in each gap, so that the buckets
    /// around the gap share a span.
    pub(super) fn compacted(&self, max_empty: u32) -> Self {
        let mut compacted = Builder::with_capacity(self.buckets.len());
        // The empty buckets since the last one that is not.
        let mut empty = Vec::new();
        for (index, cell) in self.positions() {
            if cell.is_empty() {
                empty.push(cell);
                continue;
            }
            let gap = compacted.gap_to(index);
            if let Some(gap @ 1..) = gap.filter(|&gap| gap <= max_empty) {
                // Zeros that are there may have a sign.
                match empty.len() == gap as usize {
                    true => empty.iter().for_each(|&cell| compacted.append(cell)),
                    false => (0..gap).for_each(|_| compacted.append(C::ZERO)),
                }
            }
            empty.clear();
            compacted.push(index, cell);
        }
        compacted.side
    }

    /// Returns true if the buckets lie in the same places, and `is_equal` is true for each pair of counts. Spans
    /// without buckets do not matter.
    pub(super) fn matches(&self, other: &Self, is_equal: impl Fn(C, C) -> bool) -> bool {
        let own = filled_spans(&self.spans);
        self.buckets.len() == other.buckets.len()
            && own.eq(filled_spans(&other.spans))
            && self
                .buckets
                .iter()
                .zip(&other.buckets)
                .all(|(&a, &b)| is_equal(a, b))
    }
}

/// Returns the spans that have buckets.
fn filled_spans(spans: &[Span]) -> impl Iterator<Item = (i32, u32)> {
    let mut offset = 0_i32;
    spans.iter().filter_map(move |span| {
        offset = offset.wrapping_add(span.offset);
        match span.length {
            0 => None,
            length => Some((std::mem::take(&mut offset), length)),
        }
    })
}

/// Builds spans from indexes that rise.
pub(super) struct Builder<C> {
    pub(super) side: Side<C>,
    /// Index of the bucket after the last one.
    next: i32,
}

impl<C> Default for Builder<C> {
    fn default() -> Self {
        Builder::with_capacity(0)
    }
}

impl<C> Builder<C> {
    fn with_capacity(buckets: usize) -> Self {
        Builder {
            side: Side {
                spans: Vec::new(),
                buckets: Vec::with_capacity(buckets),
            },
            next: 0,
        }
    }

    /// Adds a bucket.
    pub(super) fn push(&mut self, index: i32, cell: C) {
        match self.side.spans.last_mut() {
            Some(span) if self.next == index => span.length += 1,
            _ => self.side.spans.push(Span {
                offset: index.wrapping_sub(self.next),
                length: 1,
            }),
        }
        self.next = index.wrapping_add(1);
        self.side.buckets.push(cell);
    }

    /// Adds the bucket after the last one.
    fn append(&mut self, cell: C) {
        self.push(self.next, cell);
    }

    /// Returns the number of missing buckets between the last one and `index`; `None` without a last one.
    fn gap_to(&self, index: i32) -> Option<u32> {
        self.side.spans.last()?;
        u32::try_from(i64::from(index) - i64::from(self.next)).ok()
    }

    /// Returns the last bucket if its index is `index`.
    fn last_at(&mut self, index: i32) -> Option<&mut C> {
        let is_last = index.wrapping_add(1) == self.next;
        self.side.buckets.last_mut().filter(|_| is_last)
    }
}

/// The buckets of a side with their indexes.
pub(super) struct Positions<'a, C> {
    /// The spans that neither end has passed.
    spans: &'a [Span],
    /// The buckets that neither end has passed.
    buckets: &'a [C],
    front: Cursor,
    back: Cursor,
}

#[derive(Clone, Copy, Default)]
struct Cursor {
    /// Number of buckets of the outermost span that this end has passed.
    in_span: u32,
    /// At the front the index of the bucket before the first one and its span's offset, at the back that of the bucket
    /// after the last one.
    index: i32,
}

impl<C: Copy> Iterator for Positions<'_, C> {
    type Item = (i32, C);

    fn next(&mut self) -> Option<Self::Item> {
        let (&cell, buckets) = self.buckets.split_first()?;
        let mut span = self.spans.first()?;
        while self.front.in_span >= span.length {
            self.front.index = self.front.index.wrapping_add(span.offset);
            self.front.index = self.front.index.wrapping_add_unsigned(span.length);
            self.front.in_span = 0;
            self.spans = &self.spans[1..];
            span = self.spans.first()?;
        }
        let first = self.front.index.wrapping_add(span.offset);
        let index = first.wrapping_add_unsigned(self.front.in_span);
        self.front.in_span += 1;
        self.buckets = buckets;
        Some((index, cell))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.buckets.len(), Some(self.buckets.len()))
    }
}

impl<C: Copy> DoubleEndedIterator for Positions<'_, C> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (&cell, buckets) = self.buckets.split_last()?;
        let mut span = self.spans.last()?;
        while self.back.in_span >= span.length {
            self.back.index = self.back.index.wrapping_sub(span.offset);
            self.back.in_span = 0;
            self.spans = &self.spans[..self.spans.len() - 1];
            span = self.spans.last()?;
        }
        self.back.index = self.back.index.wrapping_sub(1);
        self.back.in_span += 1;
        self.buckets = buckets;
        Some((self.back.index, cell))
    }
}

impl<C: Copy> ExactSizeIterator for Positions<'_, C> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::spans;

    fn side(described: &[(i32, u32)]) -> Side<f64> {
        let buckets = described.iter().map(|span| span.1).sum();
        Side {
            spans: spans(described),
            buckets: (0..buckets).map(f64::from).collect(),
        }
    }

    #[test]
    fn both_ends_meet_in_each_place() {
        let side = side(&[(-2, 0), (-1, 2), (0, 0), (3, 1), (0, 2), (5, 0)]);
        let expected = [(-3, 0.0), (-2, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)];
        for from_front in 0..=expected.len() {
            let mut positions = side.positions();
            let mut all: Vec<_> = positions.by_ref().take(from_front).collect();
            let mut back: Vec<_> = positions.by_ref().rev().collect();
            back.reverse();
            all.extend(back);
            assert_eq!(all, expected, "{from_front}");
            assert_eq!(positions.next(), None);
            assert_eq!(positions.next_back(), None);
        }
    }

    #[test]
    fn indexes_may_overflow() {
        let side = side(&[(i32::MAX, 2), (i32::MAX, 2), (i32::MAX, 1)]);
        let forward: Vec<_> = side.positions().collect();
        let mut backward: Vec<_> = side.positions().rev().collect();
        backward.reverse();
        assert_eq!(forward, backward);
        assert_eq!(side.reduced(8, -4).buckets.iter().sum::<f64>(), 10.0);
        assert_eq!(
            side.merged(side.positions()).buckets.iter().sum::<f64>(),
            20.0
        );
        assert_eq!(side.compacted(1).buckets.iter().sum::<f64>(), 10.0);
    }

    #[test]
    fn empty_buckets_in_small_gaps_stay() {
        let side = Side {
            spans: spans(&[(1, 4), (1, 2), (0, 0), (2, 1)]),
            buckets: vec![0.0, 1.0, -0.0, 2.0, 0.0, 3.0, 4.0],
        };
        let all = |side: &Side<f64>| side.positions().collect::<Vec<_>>();
        let filled = [(2, 1.0), (4, 2.0), (7, 3.0), (10, 4.0)];
        let compacted = side.compacted(0);
        assert_eq!(all(&compacted), filled);
        assert_eq!(compacted.spans, spans(&[(2, 1), (1, 1), (2, 1), (2, 1)]));
        let compacted = side.compacted(1);
        assert_eq!(compacted.spans, spans(&[(2, 3), (2, 1), (2, 1)]));
        assert!(compacted.buckets[1].is_sign_negative());
        let compacted = side.compacted(2);
        assert_eq!(compacted.spans, spans(&[(2, 9)]));
        assert_eq!(all(&compacted.compacted(0)), filled);
        assert!(Side::<f64>::default().compacted(3).spans.is_empty());
    }
}
