//! Sorting as Go's package `sort` does it: elements that compare as equal end in the same order.
//!
//! Prometheus sorts with an algorithm that is not stable, a quicksort that recognises patterns, and with orders in which
//! NaN is below itself. The order of equal values in its results is defined by nothing else.

/// Ranges up to this length are sorted by insertion.
const MAX_INSERTION: usize = 12;
/// Pivots of ranges from this length on are medians of medians.
const SHORTEST_NINTHER: usize = 50;
/// Exchanges of a pivot's choice when all pairs were in falling order.
const MAX_SWAPS: u32 = 12;
/// Pairs in the wrong order that are repaired before a range counts as unsorted.
const MAX_REPAIRS: usize = 5;
/// Ranges below this length are not repaired.
const SHORTEST_REPAIRED: usize = 50;

/// Sorts so that no element is below the one before it, unless `less` contradicts itself.
pub(crate) fn sort_by<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let limit = bit_length(items.len());
    let mut sorter = Sorter { items, less };
    let end = sorter.items.len();
    sorter.sort(0, end, limit);
}

/// Sorts floats as Prometheus does for quantiles: NaN first, and zeros of both signs in the order of the algorithm.
pub(crate) fn sort_floats(values: &mut [f64]) {
    sort_by(values, |a, b| a.is_nan() || a < b);
}

/// Returns the number of bits of a number.
fn bit_length(number: usize) -> u32 {
    usize::BITS - number.leading_zeros()
}

struct Sorter<'a, T, F> {
    items: &'a mut [T],
    less: F,
}

/// The assumed order of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Unknown,
    Rising,
    Falling,
}

impl<T, F: Fn(&T, &T) -> bool> Sorter<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.items[a], &self.items[b])
    }

    /// Sorts a range. `limit` is the number of bad pivots that are allowed. The recursion takes the shorter part.
    fn sort(&mut self, mut start: usize, mut end: usize, mut limit: u32) {
        let (mut was_balanced, mut was_partitioned) = (true, true);
        loop {
            let length = end - start;
            if length <= MAX_INSERTION {
                return self.insertion_sort(start, end);
            }
            if limit == 0 {
                return self.heap_sort(start, end);
            }
            if !was_balanced {
                self.break_patterns(start, end);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(start, end);
            if hint == Hint::Falling {
                self.items[start..end].reverse();
                pivot = end - 1 - (pivot - start);
                hint = Hint::Rising;
            }
            let looks_sorted = was_balanced && was_partitioned && hint == Hint::Rising;
            if looks_sorted && self.repair(start, end) {
                return;
            }
            // The element before is a pivot; one that is not above it is equal to it.
            if start > 0 && !self.less(start - 1, pivot) {
                start = self.partition_equal(start, end, pivot);
                continue;
            }
            let (middle, is_partitioned) = self.partition(start, end, pivot);
            was_partitioned = is_partitioned;
            let (left, right) = (middle - start, end - middle);
            was_balanced = left.min(right) >= length / 8;
            if left < right {
                self.sort(start, middle, limit);
                start = middle + 1;
            } else {
                self.sort(middle + 1, end, limit);
                end = middle;
            }
        }
    }

    fn insertion_sort(&mut self, start: usize, end: usize) {
        for unsorted in start + 1..end {
            self.shift_left(unsorted, start);
        }
    }

    /// Moves an element to the left, at most to `first`, while it is below its neighbour.
    fn shift_left(&mut self, mut index: usize, first: usize) {
        while index > first && self.less(index, index - 1) {
            self.items.swap(index, index - 1);
            index -= 1;
        }
    }

    fn heap_sort(&mut self, start: usize, end: usize) {
        let length = end - start;
        for root in (0..=(length - 1) / 2).rev() {
            self.sift_down(root, length, start);
        }
        for last in (0..length).rev() {
            self.items.swap(start, start + last);
            self.sift_down(0, last, start);
        }
    }

    fn sift_down(&mut self, mut root: usize, length: usize, first: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= length {
                return;
            }
            if child + 1 < length && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.items.swap(first + root, first + child);
            root = child;
        }
    }

    /// Moves elements below the pivot before it and all others behind it. Returns its place, and true if nothing had
    /// to be moved.
    fn partition(&mut self, start: usize, end: usize, pivot: usize) -> (usize, bool) {
        self.items.swap(start, pivot);
        let (mut left, mut right) = (start + 1, end - 1);
        let mut is_partitioned = true;
        loop {
            while left <= right && self.less(left, start) {
                left += 1;
            }
            while left <= right && !self.less(right, start) {
                right -= 1;
            }
            if left > right {
                self.items.swap(right, start);
                return (right, is_partitioned);
            }
            is_partitioned = false;
            self.items.swap(left, right);
            left += 1;
            right -= 1;
        }
    }

    /// Moves elements that are equal to the pivot before those above it. None may be below. Returns the first above.
    fn partition_equal(&mut self, start: usize, end: usize, pivot: usize) -> usize {
        self.items.swap(start, pivot);
        let (mut left, mut right) = (start + 1, end - 1);
        loop {
            while left <= right && !self.less(start, left) {
                left += 1;
            }
            while left <= right && self.less(start, right) {
                right -= 1;
            }
            if left > right {
                return left;
            }
            self.items.swap(left, right);
            left += 1;
            right -= 1;
        }
    }

    /// Repairs a few neighbours in the wrong order. Returns true if the range is sorted then.
    fn repair(&mut self, start: usize, end: usize) -> bool {
        let mut index = start + 1;
        for _ in 0..MAX_REPAIRS {
            while index < end && !self.less(index, index - 1) {
                index += 1;
            }
            if index == end {
                return true;
            }
            if end - start < SHORTEST_REPAIRED {
                return false;
            }
            self.items.swap(index, index - 1);
            if index - start >= 2 {
                // Not bounded by the start of the range: the elements before it are not above those in it.
                self.shift_left(index - 1, 0);
            }
            for right in index + 1..end {
                if !self.less(right, right - 1) {
                    break;
                }
                self.items.swap(right, right - 1);
            }
        }
        false
    }

    /// Exchanges elements in the middle with ones at places that look random, and are always the same.
    fn break_patterns(&mut self, start: usize, end: usize) {
        let length = end - start;
        let mut random = length as u64;
        let mask = (1_u64 << bit_length(length)) - 1;
        let middle = start + length / 4 * 2;
        for index in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Below 2 * length.
            let mut other = (random & mask) as usize;
            if other >= length {
                other -= length;
            }
            self.items.swap(index, start + other);
        }
    }

    fn choose_pivot(&self, start: usize, end: usize) -> (usize, Hint) {
        let length = end - start;
        let mut swaps = 0;
        let mut places = [1, 2, 3].map(|quarter| start + length / 4 * quarter);
        if length >= SHORTEST_NINTHER {
            places = places.map(|it| self.median([it - 1, it, it + 1], &mut swaps));
        }
        let pivot = self.median(places, &mut swaps);
        let hint = match swaps {
            0 => Hint::Rising,
            MAX_SWAPS => Hint::Falling,
            _ => Hint::Unknown,
        };
        (pivot, hint)
    }

    fn median(&self, [mut a, mut b, mut c]: [usize; 3], swaps: &mut u32) -> usize {
        let mut order = |a: &mut usize, b: &mut usize| {
            if self.less(*b, *a) {
                *swaps += 1;
                std::mem::swap(a, b);
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds, counts and ranges of numbers, and what `tests/golden/orders.go` prints for them.
    const GO_ORDERS: [(u64, usize, u64, u64); 12] = [
        (1, 0, 1, 0),
        (1, 12, 3, 888_391_429_061_907_656),
        (1, 13, 3, 12_606_085_989_359_321_474),
        (2, 13, 1, 13_097_114_701_408_114_798),
        (3, 49, 5, 10_728_756_686_683_329_816),
        (4, 50, 5, 6_363_615_350_651_132_603),
        (5, 100, 1, 12_787_408_163_741_775_554),
        (6, 1000, 2, 3_835_290_768_100_029_680),
        (7, 1000, 30, 6_864_479_883_362_532_560),
        (8, 1000, 1_000_000, 1_502_495_661_485_831_666),
        (9, 5000, 100, 2_143_650_829_379_335_504),
        (10, 20000, 3, 1_770_658_382_688_871_518),
    ];

    /// Results of the same program for numbers that rise, fall, nearly rise, and rise and fall.
    const GO_PATTERNS: [u64; 4] = [
        4_350_233_494_128_179_140,
        8_400_160_334_726_832_610,
        4_549_105_317_854_012_934,
        17_624_062_890_600_826_438,
    ];

    /// Returns numbers of few bits with their places, the same for the same seed.
    fn numbers(seed: u64, count: usize, range: u64) -> Vec<(u64, usize)> {
        let mut state = seed;
        let mut next = |place| {
            state = state.wrapping_mul(6_364_136_223_846_793_005);
            state = state.wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % range, place)
        };
        (0..count).map(&mut next).collect()
    }

    /// The polynomial of the places after sorting, as a Go program of `sort.Sort` over the same numbers returns it.
    fn order(mut items: Vec<(u64, usize)>) -> u64 {
        sort_by(&mut items, |a, b| a.0 < b.0);
        assert!(items.is_sorted_by_key(|it| it.0));
        items.iter().fold(0, |hash: u64, it| {
            hash.wrapping_mul(1_000_003).wrapping_add(it.1 as u64)
        })
    }

    #[test]
    fn equal_elements_end_in_the_order_of_go() {
        for (seed, count, range, expected) in GO_ORDERS {
            let actual = order(numbers(seed, count, range));
            assert_eq!(actual, expected, "{seed} {count} {range}");
        }
    }

    #[test]
    fn sorted_and_reversed_ranges_end_in_the_order_of_go() {
        let rising: Vec<_> = (0..200).map(|place| (place as u64 / 7, place)).collect();
        let falling: Vec<_> = rising.iter().rev().copied().collect();
        let mut nearly = rising.clone();
        nearly.swap(20, 150);
        let mut organ = rising.clone();
        organ.extend(falling.iter().copied());
        let orders = [rising, falling, nearly, organ].map(order);
        assert_eq!(orders, GO_PATTERNS);
    }

    #[test]
    fn bad_pivots_end_in_a_heap_sort() {
        let mut items = numbers(5, 300, 40);
        let mut sorter = Sorter {
            items: &mut items,
            less: |a: &(u64, usize), b: &(u64, usize)| a.0 < b.0,
        };
        sorter.sort(0, 300, 0);
        assert!(items.is_sorted_by_key(|it| it.0));
    }

    #[test]
    fn nan_may_be_below_itself() {
        let mut floats: Vec<f64> = (0..100)
            .map(|it| {
                if it % 3 == 0 {
                    f64::NAN
                } else {
                    f64::from(it % 10)
                }
            })
            .collect();
        sort_by(&mut floats, |a, b| a.is_nan() || a < b);
        assert!(floats[..34].iter().all(|it| it.is_nan()));
        assert!(floats[34..].is_sorted());
    }
}
