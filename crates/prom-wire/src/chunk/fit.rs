//! Groups native histograms into chunks by the rules of Prometheus' appender.
//!
//! Histograms of a chunk have one layout, and a counter is not reset between them. A histogram with
//! buckets that the chunk lacks widens the layout, for those before it too; one that lacks buckets of the
//! chunk gets empty ones, unless there were observations in them: those cannot be lost without a reset.

use std::cmp::Ordering;

use prom_model::{Buckets, Histogram, Span};

use super::layout::{Layout, indexes, to_spans};

/// Buckets up to which a layout is widened. Each histogram of a chunk has a place for each bucket of the
/// layout, so what a chunk costs is bounded, whatever histograms follow one another.
const MAX_WIDENED_BUCKETS: usize = 4_096;

/// The counter reset state in the header of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Its first histogram was not compared with the one before.
    Unknown = 0b0000_0000,
    /// The counter was not reset.
    NotReset = 0b0100_0000,
    /// The counter was reset.
    Reset = 0b1000_0000,
    /// The histograms are gauges, which are never reset.
    Gauge = 0b1100_0000,
}

/// The numbers of [`Histogram::reset_hint`].
const HINT_RESET: i32 = 1;
const HINT_GAUGE: i32 = 3;

impl Start {
    /// Returns the start of a chunk that no other comes before.
    pub(super) fn of(histogram: &Histogram) -> Self {
        match histogram.reset_hint {
            HINT_GAUGE => Self::Gauge,
            HINT_RESET => Self::Reset,
            _ => Self::Unknown,
        }
    }

    /// Returns the start that these bits of a header say.
    pub(super) fn from_header(header: u8) -> Self {
        match header & 0b1100_0000 {
            0b1100_0000 => Self::Gauge,
            0b1000_0000 => Self::Reset,
            0b0100_0000 => Self::NotReset,
            _ => Self::Unknown,
        }
    }
}

/// The type of the numbers of histograms.
pub(super) trait Numbers {
    /// The number of all observations, and of those in the zero bucket.
    type Total: Copy + Default + PartialOrd;
    /// The number of those in another bucket.
    type Bucket: Copy + Default + PartialOrd;
    /// The start of a chunk of counters after one of gauges.
    const AFTER_GAUGE: Start;

    fn totals(histogram: &Histogram) -> [Self::Total; 2];
    fn counts(buckets: &Buckets) -> impl Iterator<Item = Self::Bucket>;
}

/// Numbers of integer histograms.
pub(super) struct Integers;

impl Numbers for Integers {
    type Total = u64;
    type Bucket = i64;
    const AFTER_GAUGE: Start = Start::NotReset;

    fn totals(histogram: &Histogram) -> [u64; 2] {
        [histogram.int_count(), histogram.int_zero_count()]
    }

    fn counts(buckets: &Buckets) -> impl Iterator<Item = i64> {
        buckets.deltas.iter().scan(0_i64, |count, delta| {
            *count = count.wrapping_add(*delta);
            Some(*count)
        })
    }
}

/// Numbers of float histograms.
pub(super) struct Floats;

impl Numbers for Floats {
    type Total = f64;
    type Bucket = f64;
    const AFTER_GAUGE: Start = Start::Unknown;

    fn totals(histogram: &Histogram) -> [f64; 2] {
        [histogram.float_count(), histogram.float_zero_count()]
    }

    fn counts(buckets: &Buckets) -> impl Iterator<Item = f64> {
        buckets.counts.iter().copied()
    }
}

/// Histograms that share a chunk.
pub(super) struct Group {
    /// The number of histograms.
    pub(super) len: usize,
    /// The layout that has the buckets of all.
    pub(super) layout: Layout,
    /// The indexes of its buckets, the positive ones first.
    pub(super) indexes: [Vec<i64>; 2],
    /// The start of the chunk of the next histogram, if that was compared with these.
    pub(super) next: Option<Start>,
}

/// Returns those of `histograms`, at most `max_len`, that share the chunk of the first one, which has this
/// start.
pub(super) fn group<N: Numbers>(start: Start, histograms: &[Histogram], max_len: usize) -> Group {
    let mut open = Open::<N>::new(start, &histograms[0]);
    let is_of_floats = histograms[0].is_float();
    let alike = histograms.iter().take(max_len);
    let alike = alike.take_while(|histogram| histogram.is_float() == is_of_floats);
    let mut len = 1;
    let mut next = None;
    for histogram in alike.skip(1) {
        if let Err(start) = open.add(histogram) {
            next = Some(start);
            break;
        }
        len += 1;
    }
    Group {
        len,
        layout: open.layout,
        indexes: [open.positive.indexes, open.negative.indexes],
        next,
    }
}

/// A chunk that goes on, with the numbers of its last histogram.
struct Open<N: Numbers> {
    start: Start,
    layout: Layout,
    is_stale: bool,
    totals: [N::Total; 2],
    positive: Side<N::Bucket>,
    negative: Side<N::Bucket>,
}

/// The buckets of one side.
struct Side<B> {
    indexes: Vec<i64>,
    counts: Vec<B>,
}

/// The buckets of one side of a chunk together with those of a further histogram.
struct Merged<B> {
    side: Side<B>,
    /// True if the chunk lacks some of them.
    widens: bool,
    /// True if the histogram lacks some of them.
    lacks: bool,
}

impl<B: Copy + Default + PartialOrd> Side<B> {
    /// Returns the buckets of the chunk and those of a histogram, with the counts of the histogram;
    /// `None` if a counter was reset.
    fn merge(
        &self,
        spans: &[Span],
        counts: impl Iterator<Item = B>,
        is_gauge: bool,
    ) -> Option<Merged<B>> {
        let empty = B::default();
        let mut known = self
            .indexes
            .iter()
            .copied()
            .zip(self.counts.iter().copied());
        let mut added = indexes(spans).zip(counts);
        let mut merged = Merged {
            side: Self {
                indexes: Vec::with_capacity(self.indexes.len()),
                counts: Vec::with_capacity(self.indexes.len()),
            },
            widens: false,
            lacks: false,
        };
        let (mut next_known, mut next_added) = (known.next(), added.next());
        loop {
            let order = match (next_known, next_added) {
                (None, None) => return Some(merged),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((known, _)), Some((added, _))) => known.cmp(&added),
            };
            let (index, count) = match order {
                Ordering::Less => {
                    let (index, before) = next_known?;
                    if !is_gauge && before != empty {
                        return None;
                    }
                    merged.lacks = true;
                    next_known = known.next();
                    (index, empty)
                }
                Ordering::Equal => {
                    let (index, before) = next_known?;
                    let (_, count) = next_added?;
                    if !is_gauge && before > count {
                        return None;
                    }
                    next_known = known.next();
                    next_added = added.next();
                    (index, count)
                }
                Ordering::Greater => {
                    let bucket = next_added?;
                    merged.widens = true;
                    next_added = added.next();
                    bucket
                }
            };
            merged.side.indexes.push(index);
            merged.side.counts.push(count);
        }
    }
}

impl<N: Numbers> Open<N> {
    fn new(start: Start, first: &Histogram) -> Self {
        let side = |buckets: &Buckets| {
            let (indexes, counts) = indexes(&buckets.spans).zip(N::counts(buckets)).unzip();
            Side { indexes, counts }
        };
        let is_stale = first.is_stale();
        let nothing = Histogram::default();
        let shown = if is_stale { &nothing } else { first };
        Self {
            start,
            layout: match is_stale {
                true => Layout::empty(),
                false => Layout::of(first),
            },
            is_stale,
            totals: N::totals(shown),
            positive: side(&shown.positive),
            negative: side(&shown.negative),
        }
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// It needs a chunk of its own, which has the returned start.
    fn add(&mut self, histogram: &Histogram) -> Result<(), Start> {
        let is_gauge = histogram.reset_hint == HINT_GAUGE;
        let other_scale = match is_gauge {
            true => Start::Gauge,
            false => Start::Unknown,
        };
        let reset = match is_gauge {
            true => Start::Gauge,
            false => Start::Reset,
        };
        if is_gauge != (self.start == Start::Gauge) {
            return Err(match is_gauge {
                true => Start::Gauge,
                false => N::AFTER_GAUGE,
            });
        }
        if histogram.reset_hint == HINT_RESET {
            return Err(Start::Reset);
        }
        if histogram.is_stale() {
            self.is_stale = true;
            return Ok(());
        }
        if self.is_stale {
            return Err(other_scale);
        }
        let totals = N::totals(histogram);
        if !is_gauge && totals[0] < self.totals[0] {
            return Err(reset);
        }
        if self.layout.has_other_scale(histogram) {
            return Err(other_scale);
        }
        if self.layout.has_other_bounds(histogram) || !is_gauge && totals[1] < self.totals[1] {
            return Err(reset);
        }
        let merge = |side: &Side<N::Bucket>, buckets: &Buckets| {
            side.merge(&buckets.spans, N::counts(buckets), is_gauge)
        };
        let positive = merge(&self.positive, &histogram.positive).ok_or(reset)?;
        let negative = merge(&self.negative, &histogram.negative).ok_or(reset)?;
        if positive.widens || negative.widens {
            let buckets = positive.side.indexes.len() + negative.side.indexes.len();
            let sides = [
                (&positive, &histogram.positive),
                (&negative, &histogram.negative),
            ];
            // Prometheus writes the spans of the histogram as they are where they have all buckets.
            let lacks = positive.lacks || negative.lacks;
            let spans = sides.map(
                |(merged, buckets)| match merged.lacks || is_gauge && lacks {
                    true => to_spans(&merged.side.indexes),
                    false => Some(buckets.spans.clone()),
                },
            );
            let [Some(positive), Some(negative)] = spans else {
                return Err(other_scale);
            };
            if buckets > MAX_WIDENED_BUCKETS {
                return Err(other_scale);
            }
            self.layout.positive = positive;
            self.layout.negative = negative;
        }
        self.totals = totals;
        self.positive = positive.side;
        self.negative = negative.side;
        Ok(())
    }
}
