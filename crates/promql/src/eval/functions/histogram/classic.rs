//! Classic histograms: a series of cumulative counts for each bucket, whose upper bound is the label `le`.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use prom_model::{Label, Labels};

use crate::eval::grid::GridFloat;
use crate::eval::select::is_stale;

/// The label with the upper bound of a bucket.
pub(super) const BUCKET_LABEL: &str = "le";

/// A classic histogram.
#[derive(Debug)]
pub(super) struct ClassicHistogram {
    /// The labels without `le`.
    pub(super) labels: Arc<Labels>,
    pub(super) buckets: Vec<Bucket>,
}

/// A bucket of a classic histogram.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) upper_bound: f64,
    /// The number of observations up to the upper bound.
    pub(super) counts: Vec<GridFloat>,
}

/// Classic histograms in the order of their first buckets.
#[derive(Debug, Default)]
pub(super) struct ClassicHistograms {
    histograms: Vec<ClassicHistogram>,
    /// The places of histograms by the hashes of their labels.
    places: HashMap<u64, Vec<usize>>,
    hasher: RandomState,
}

impl ClassicHistograms {
    /// Adds a series of counts.
    pub(super) fn add(&mut self, labels: &Labels, bucket: Bucket) {
        let without_bound = || labels.iter().filter(|it| it.name != BUCKET_LABEL);
        let hash = self.hash(without_bound());
        let places = self.places.entry(hash).or_default();
        let is_same = |place: &&usize| {
            let present = &self.histograms[**place].labels;
            present.iter().eq(without_bound())
        };
        let place = places.iter().find(is_same).copied().unwrap_or_else(|| {
            places.push(self.histograms.len());
            self.histograms.push(ClassicHistogram {
                labels: Arc::new(labels.filtered(|name| name != BUCKET_LABEL)),
                buckets: Vec::new(),
            });
            self.histograms.len() - 1
        });
        self.histograms[place].buckets.push(bucket);
    }

    /// Returns the place of the histogram with these labels.
    pub(super) fn place_of(&self, labels: &Labels) -> Option<usize> {
        let places = self.places.get(&self.hash(labels.iter()))?;
        let is_same = |place: &&usize| *self.histograms[**place].labels == *labels;
        places.iter().find(is_same).copied()
    }

    pub(super) fn into_histograms(self) -> Vec<ClassicHistogram> {
        self.histograms
    }

    fn hash<'l>(&self, labels: impl Iterator<Item = &'l Label>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        labels.for_each(|label| label.hash(&mut hasher));
        hasher.finish()
    }
}

/// A walk through the steps of a classic histogram.
///
/// It shows the buckets at one step after the other, in the order of their bounds, those with the same bound as one.
#[derive(Debug)]
pub(super) struct BucketWalk {
    /// In the order of their bounds.
    buckets: Vec<Bucket>,
    progress: Progress,
    bounds: Vec<f64>,
    counts: Vec<f64>,
}

/// The way in which the next step is found, and the place that was reached.
#[derive(Debug)]
enum Progress {
    /// All buckets have counts at the same successive steps, and no two have the same bound.
    Dense { next: usize },
    /// The places in all buckets, and the next step at which one has a count.
    Scan {
        places: Vec<usize>,
        next: Option<u32>,
    },
    /// The next step and place of each bucket. It is used if few buckets have counts at the same step.
    Heap(BinaryHeap<Reverse<(u32, usize, usize)>>),
}

impl BucketWalk {
    pub(super) fn new(mut buckets: Vec<Bucket>) -> Self {
        buckets.retain(|bucket| !bucket.counts.is_empty());
        sort_by_bound(&mut buckets);
        let progress = Progress::new(&buckets);
        let mut walk = Self {
            bounds: Vec::with_capacity(buckets.len()),
            counts: Vec::with_capacity(buckets.len()),
            buckets,
            progress,
        };
        if let Progress::Dense { .. } = walk.progress {
            walk.bounds
                .extend(walk.buckets.iter().map(|bucket| bucket.upper_bound));
            walk.counts.resize(walk.buckets.len(), 0.0);
        }
        walk
    }

    /// Returns the largest number of counts that a bucket has.
    pub(super) fn max_steps(&self) -> usize {
        let counts = self.buckets.iter().map(|bucket| bucket.counts.len());
        counts.max().unwrap_or(0)
    }

    /// Returns the next step at which there are buckets.
    pub(super) fn next_step(&mut self) -> Option<u32> {
        match &mut self.progress {
            Progress::Dense { next } => {
                let step = self.buckets.first()?.counts.get(*next)?.step;
                for (count, bucket) in self.counts.iter_mut().zip(&self.buckets) {
                    *count = bucket.counts[*next].value;
                }
                *next += 1;
                Some(step)
            }
            Progress::Scan { places, next } => {
                let step = (*next)?;
                self.bounds.clear();
                self.counts.clear();
                *next = None;
                for (bucket, place) in self.buckets.iter().zip(places) {
                    let mut remaining = bucket.counts[*place..].iter();
                    let mut following = remaining.next();
                    if let Some(count) = following.filter(|count| count.step == step) {
                        push(&mut self.bounds, &mut self.counts, bucket, count.value);
                        *place += 1;
                        following = remaining.next();
                    }
                    if let Some(following) = following {
                        *next = Some(next.map_or(following.step, |it| it.min(following.step)));
                    }
                }
                Some(step)
            }
            Progress::Heap(heap) => {
                let step = heap.peek()?.0.0;
                self.bounds.clear();
                self.counts.clear();
                while let Some(mut first) = heap.peek_mut().filter(|first| first.0.0 == step) {
                    let Reverse((_, index, place)) = *first;
                    let bucket = &self.buckets[index];
                    push(
                        &mut self.bounds,
                        &mut self.counts,
                        bucket,
                        bucket.counts[place].value,
                    );
                    match bucket.counts.get(place + 1) {
                        Some(following) => *first = Reverse((following.step, index, place + 1)),
                        None => {
                            std::collections::binary_heap::PeekMut::pop(first);
                        }
                    }
                }
                Some(step)
            }
        }
    }

    /// Returns the buckets at the step that was returned last.
    pub(super) fn buckets(&mut self) -> Buckets<'_> {
        Buckets {
            bounds: &self.bounds,
            counts: &mut self.counts,
        }
    }
}

/// Adds a count to that of the bucket before, if it has the same bound.
fn push(bounds: &mut Vec<f64>, counts: &mut Vec<f64>, bucket: &Bucket, count: f64) {
    match (bounds.last(), counts.last_mut()) {
        (Some(bound), Some(last)) if *bound == bucket.upper_bound => *last += count,
        _ => {
            bounds.push(bucket.upper_bound);
            counts.push(count);
        }
    }
}

impl Progress {
    fn new(buckets: &[Bucket]) -> Self {
        let ends =
            |bucket: &Bucket| Some((bucket.counts.first()?.step, bucket.counts.last()?.step));
        let all_ends = || buckets.iter().filter_map(ends);
        let first = all_ends().map(|it| it.0).min();
        let last = all_ends().map(|it| it.1).max();
        let (Some(first), Some(last)) = (first, last) else {
            return Self::Dense { next: 0 };
        };
        let steps = (last - first) as usize + 1;
        let is_full = |bucket: &Bucket| bucket.counts.len() == steps;
        let has_distinct_bounds = || {
            let mut pairs = buckets.windows(2);
            pairs.all(|pair| pair[0].upper_bound < pair[1].upper_bound)
        };
        if buckets.iter().all(is_full) && has_distinct_bounds() {
            return Self::Dense { next: 0 };
        }
        let counts = buckets.iter().map(|bucket| bucket.counts.len());
        // Scanning all buckets at each step costs less than a heap if it finds one count in some.
        if counts.sum::<usize>() * 16 >= steps.saturating_mul(buckets.len()) {
            return Self::Scan {
                places: vec![0; buckets.len()],
                next: Some(first),
            };
        }
        let first_of =
            |(index, bucket): (usize, &Bucket)| Reverse((bucket.counts[0].step, index, 0));
        Self::Heap(buckets.iter().enumerate().map(first_of).collect())
    }
}

fn sort_by_bound(buckets: &mut [Bucket]) {
    // A bound that is not a number has no place. Prometheus leaves it where its way of sorting has it.
    if buckets.iter().any(|bucket| bucket.upper_bound.is_nan()) && buckets.len() <= 12 {
        for end in 1..buckets.len() {
            let mut index = end;
            while index > 0 && buckets[index].upper_bound < buckets[index - 1].upper_bound {
                buckets.swap(index, index - 1);
                index -= 1;
            }
        }
        return;
    }
    buckets.sort_by(|a, b| {
        let order = a.upper_bound.partial_cmp(&b.upper_bound);
        order.unwrap_or_else(|| match (a.upper_bound.is_nan(), b.upper_bound.is_nan()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => Ordering::Equal,
        })
    });
}

/// The buckets of a histogram at a step: at least one, in the order of their bounds.
#[derive(Debug)]
pub(super) struct Buckets<'b> {
    bounds: &'b [f64],
    counts: &'b mut [f64],
}

/// Counts that were below those of the bucket before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Raised {
    /// The first and the last upper bound.
    pub(super) bounds: (f64, f64),
    /// The largest difference.
    pub(super) difference: f64,
}

/// Relative differences of counts that are taken for rounding errors.
const SMALL_DIFFERENCE: f64 = 1e-12;

impl Buckets<'_> {
    /// Returns true if the last bucket has all observations.
    fn is_complete(&self) -> bool {
        self.bounds.last() == Some(&f64::INFINITY)
    }

    /// Raises counts that are below those of the bucket before, and ignores small differences. Incomplete histograms
    /// stay as they are.
    pub(super) fn make_monotonic(&mut self) -> Option<Raised> {
        if !self.is_complete() {
            return None;
        }
        let mut raised: Option<Raised> = None;
        let (first, others) = self.counts.split_first_mut()?;
        let mut before = *first;
        for (count, &bound) in others.iter_mut().zip(&self.bounds[1..]) {
            let current = *count;
            // Most buckets: a difference that is not small by far.
            if before >= f64::MIN_POSITIVE && current - before > current * 1e-9 {
                before = current;
                continue;
            }
            if current == before {
                continue;
            }
            if is_almost_equal(before, current) {
                *count = before;
            } else if current < before {
                *count = before;
                let difference = before - current;
                let raised = raised.get_or_insert(Raised {
                    bounds: (f64::INFINITY, f64::NEG_INFINITY),
                    difference: 0.0,
                });
                raised.bounds = (raised.bounds.0.min(bound), raised.bounds.1.max(bound));
                if difference > raised.difference {
                    raised.difference = difference;
                }
            } else {
                before = current;
            }
        }
        raised
    }

    /// Returns the quantile `q`, which has to be one, of counts that are monotonic: as `histogram_quantile` of
    /// Prometheus, interpolated as if the observations were spread evenly in each bucket.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        let (bounds, counts) = (self.bounds, &*self.counts);
        let [.., before_last, _] = bounds else {
            return f64::NAN;
        };
        let last = bounds.len() - 1;
        let observations = counts[last];
        if !self.is_complete() || observations == 0.0 {
            return f64::NAN;
        }
        let rank = q * observations;
        // Go's search, whose result is that of Prometheus even if counts are NaN.
        let (mut index, mut end) = (0, last);
        while index < end {
            let middle = index.midpoint(end);
            match counts[middle] >= rank {
                true => end = middle,
                false => index = middle + 1,
            }
        }
        if index == last {
            return *before_last;
        }
        if index == 0 && bounds[0] <= 0.0 {
            return bounds[0];
        }
        let (start, below) = match index.checked_sub(1) {
            Some(before) => (bounds[before], counts[before]),
            None => (0.0, 0.0),
        };
        start + (bounds[index] - start) * ((rank - below) / (counts[index] - below))
    }

    /// Returns the fraction of the observations between two boundaries, as `histogram_fraction` of Prometheus.
    pub(super) fn fraction(&self, lower: f64, upper: f64) -> f64 {
        let observations = self.counts.last().copied().unwrap_or(0.0);
        if !self.is_complete() || observations == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let limited = |rank: f64| {
            if rank > observations {
                observations
            } else {
                rank
            }
        };
        let rank_below = |value| limited(self.rank_below(value).unwrap_or(observations));
        (rank_below(upper) - rank_below(lower)) / observations
    }

    /// Returns the number of observations below a value; `None` if that is all.
    fn rank_below(&self, value: f64) -> Option<f64> {
        let mut rank = 0.0;
        // Observations are positive unless a bound says otherwise.
        let mut start = match self.bounds[0] <= 0.0 {
            true => f64::NEG_INFINITY,
            false => 0.0,
        };
        for (&end, &count) in self.bounds.iter().zip(&*self.counts) {
            if start >= value {
                return Some(rank);
            }
            if start < value && end > value {
                return Some(match start == f64::NEG_INFINITY {
                    true => count,
                    false => rank + (count - rank) * (value - start) / (end - start),
                });
            }
            (rank, start) = (count, end);
        }
        None
    }
}

/// Returns true if two different numbers are as near to each other as rounding errors make them.
fn is_almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DIFFERENCE * f64::MIN_POSITIVE;
    }
    // Not `f64::min`, which ignores NaN.
    let sum = if sum > f64::MAX { f64::MAX } else { sum };
    difference / sum < SMALL_DIFFERENCE
}
