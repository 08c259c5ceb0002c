//! The bounds between calls, and what they are to achieve.
//!
//! The objective: the least of *billed units + price x calls*. To AWS a call costs nothing but the rounding up of
//! its last unit, and to the connector some 70 us of a core, which is 0.002 units in money. So the
//! price of a call stands for latency and for calls in flight, and there are three:
//!
//! - 0.5 ordinarily. Between 0.25 and 1 the units of requests in the order of a scrape differ by 1 %. Where
//!   Prometheus spreads series over shards, few neighbours share much: 1 costs up to 17 % more units than 0.5,
//!   for a third fewer calls, and less than 0.5 makes calls that save nothing.
//! - 1 for the calls beyond [`MANY_CALLS`] times the least number of them: each of these has to save a unit.
//! - 2 while permits for calls are scarce. A request can have a tenth of the calls for twice the units then, so
//!   this is for pressure only.
//!
//! If even these calls are too many for the deadline, [`fill`] makes as few as possible, whatever they cost.

use std::ops::Add;

use prom_wire::request::to_u32;

use crate::storage::limits::{MAX_RECORDS_PER_WRITE, TIME_BYTES};
use crate::storage::write::body::UNIT_BYTES;

/// The price of a call, by which units are weighed against calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Price {
    /// Half a unit, and a unit for each call beyond three times the least number of calls.
    #[default]
    Ordinary,
    /// Two units: permits for calls are scarce.
    Scarce,
}

/// More calls than so many times the least number of them each have to save a unit.
pub(super) const MANY_CALLS: usize = 3;

/// The size of a record, and of what it shares with the one before: not more than either of them has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    /// Bytes of the record by itself, without its time.
    pub(super) bytes: usize,
    /// Bytes of them that it shares with the record before.
    pub(super) shared: usize,
    /// True if it has the time of the record before.
    pub(super) same_time: bool,
}

/// Records that stay together at most where nothing speaks for a cut between them: to look at every
/// place takes twice the time for all of arranging and cutting, and saves about a hundredth of the units.
const MAX_RUN: u32 = 4;

/// Some neighbours that stay together.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Records before it.
    records_before: u32,
    /// Records until its end.
    records: u32,
    /// Bytes of the records before it by themselves.
    bytes_before: u64,
    /// Bytes of the records until its end by themselves.
    bytes: u64,
    /// The least that neighbours among its records share.
    shared: u64,
    /// The least that neighbours among its records and the first of the next run share.
    shared_with_next: u64,
    /// The first run from which on all records until the end of this one have the same time; the next one
    /// if they do not even here.
    same_time_from: u32,
}

/// More than records share.
const EVERYTHING: u64 = u32::MAX as u64;

impl Run {
    /// Ends a run where the next record shares more with what follows than with what is before.
    fn of(records: &[Weight]) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::with_capacity(records.len() / 2);
        for (index, record) in records.iter().enumerate() {
            let begins_group = records.get(index + 1).is_some_and(|next| {
                record.shared < next.shared || !record.same_time && next.same_time
            });
            let next = to_u32(runs.len());
            match runs.last_mut() {
                Some(run) if run.count() < MAX_RUN && !begins_group => {
                    run.records += 1;
                    run.bytes += record.bytes as u64;
                    run.shared = run.shared.min(record.shared as u64);
                    run.shared_with_next = run.shared;
                    if !record.same_time {
                        run.same_time_from = next;
                    }
                }
                before => {
                    let mut run = Self {
                        records_before: 0,
                        records: 1,
                        bytes_before: 0,
                        bytes: record.bytes as u64,
                        shared: EVERYTHING,
                        shared_with_next: EVERYTHING,
                        same_time_from: next,
                    };
                    if let Some(before) = before {
                        before.shared_with_next = before.shared.min(record.shared as u64);
                        run.records_before = before.records;
                        run.records += before.records;
                        run.bytes_before = before.bytes;
                        run.bytes += before.bytes;
                        if record.same_time {
                            run.same_time_from = before.same_time_from;
                        }
                    }
                    runs.push(run);
                }
            }
        }
        runs
    }

    fn count(&self) -> u32 {
        self.records - self.records_before
    }
}

/// Returns the billed bytes of a call that ends with `last` and starts with the run `first`, the one at
/// `start`; `shared` is the least that neighbours share from there on.
fn bytes(start: usize, first: &Run, last: &Run, shared: u64) -> u64 {
    let count = u64::from(last.records - first.records_before);
    let times = match start >= last.same_time_from as usize {
        true => 1,
        false => count,
    };
    // A call shares what all of its records share, which for records in order is the least of what
    // neighbours do.
    last.bytes - first.bytes_before - shared * (count - 1) + times * TIME_BYTES as u64
}

/// Returns units that a call which ends with `last` has at least, beside those of a call of its records before the
/// run `first`; `shared` is not less than what all of its records share.
///
/// To put both parts into one call saves what the second part repeats of `shared`, and rounds up once less.
fn beyond_shared(first: &Run, last: &Run, shared: u64) -> u64 {
    let count = u64::from(last.records - first.records_before);
    (last.bytes - first.bytes_before - shared * count) / UNIT_BYTES as u64
}

/// Returns the ends of the calls that carry records in their order, by the price of a call.
pub(super) fn cut(records: &[Weight], price: Price) -> Vec<usize> {
    let least_calls = records.len().div_ceil(MAX_RECORDS_PER_WRITE);
    match price {
        Price::Ordinary => {
            let [half, whole] = cheapest(records, [Cost::HALF_UNIT, Cost::UNIT]);
            match half.len() > MANY_CALLS * least_calls {
                true => whole,
                false => half,
            }
        }
        Price::Scarce => {
            let [calls] = cheapest(records, [Cost::TWO_UNITS]);
            calls
        }
    }
}

/// Returns the ends of as few calls as possible for so many records.
pub(super) fn fill(records: usize) -> Vec<usize> {
    (1..=records.div_ceil(MAX_RECORDS_PER_WRITE))
        .map(|call| records.min(call * MAX_RECORDS_PER_WRITE))
        .collect()
}

/// Units and calls by the price of a call. Of two equal sums the one with fewer units is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost(u64);

impl Cost {
    const NONE: Self = Self(0);
    const HALF_UNIT: Self = Self(1 << Self::SUM);
    const UNIT: Self = Self(2 << Self::SUM);
    const TWO_UNITS: Self = Self(4 << Self::SUM);

    /// From this bit on there is the sum, in half units; below are the units alone.
    const SUM: u32 = 32;

    fn of_units(units: u64) -> Self {
        Self((units << (Self::SUM + 1)) + units)
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// The best way to cut what is before the end of a run.
#[derive(Clone, Copy, Debug)]
struct Best {
    cost: Cost,
    /// The run that the last call starts with.
    start: u32,
}

/// The best ways for several prices of a call.
type BestOf<const N: usize> = [Best; N];

/// Returns the ends of the calls for each of the prices of a call: those with the least cost of all that
/// end where runs do.
fn cheapest<const N: usize>(records: &[Weight], prices: [Cost; N]) -> [Vec<usize>; N] {
    let runs = Run::of(records);
    let nothing = Best {
        cost: Cost::NONE,
        start: 0,
    };
    // For the first runs, from none to all of them.
    let mut best = Vec::with_capacity(runs.len() + 1);
    best.push([nothing; N]);
    // Where the longest call starts.
    let mut longest = 0;
    for (index, last) in runs.iter().enumerate() {
        while (last.records - runs[longest].records_before) as usize > MAX_RECORDS_PER_WRITE {
            longest += 1;
        }
        best.push(best_last_call(&runs[..=index], longest, &best, prices));
    }
    std::array::from_fn(|price| {
        let mut ends = Vec::new();
        let mut end = runs.len();
        while end > 0 {
            ends.push(runs[end - 1].records as usize);
            end = best[end][price].start as usize;
        }
        ends.reverse();
        ends
    })
}

/// Returns the best way to cut the runs, given the best ways for all runs before the last. The longest call that ends
/// with it starts with the run `longest`.
///
/// Calls are tried from the shortest on. Three facts save most of the work:
///
/// - Without its first or its last record a call has as many units or fewer, so the best cost until a run is never
///   more than that until a later one. Therefore of the calls with equal units the longest is the best.
/// - For the same reason no longer call is worth a look once its units and the best cost before the longest
///   possible call are together no less than what is found.
/// - A longer call has at least the units of [`beyond_shared`] beside those of its records before the present one.
fn best_last_call<const N: usize>(
    runs: &[Run],
    longest: usize,
    best: &[BestOf<N>],
    prices: [Cost; N],
) -> BestOf<N> {
    let mut found = [Best {
        cost: Cost(u64::MAX),
        start: 0,
    }; N];
    let (last, before) = runs.split_last().expect("there is the last run");
    let mut start = before.len();
    let mut shared = last.shared;
    let units = |bytes: u64| bytes.div_ceil(UNIT_BYTES as u64);
    let mut units_now = units(bytes(start, last, last, shared));
    for (longer, run) in before.iter().enumerate().skip(longest).rev() {
        shared = shared.min(run.shared_with_next);
        let bytes = bytes(longer, run, last, shared);
        if bytes > units_now * UNIT_BYTES as u64 {
            improve(&mut found, &best[start], start, units_now, prices);
            units_now = units(bytes);
            let call = Cost::of_units(units_now);
            let beyond = Cost::of_units(beyond_shared(&runs[start], last, shared));
            let is_best = |price: usize| {
                let from_longest = best[longest][price].cost + call + prices[price];
                let from_start = best[start][price].cost + beyond;
                from_longest.max(from_start) >= found[price].cost
            };
            if (0..N).all(is_best) {
                return found;
            }
        }
        start = longer;
    }
    improve(&mut found, &best[start], start, units_now, prices);
    found
}

/// Notes a last call that starts with the run `start` where it is better than those that are `found`.
fn improve<const N: usize>(
    found: &mut BestOf<N>,
    before: &BestOf<N>,
    start: usize,
    units: u64,
    prices: [Cost; N],
) {
    let call = Cost::of_units(units);
    for price in 0..N {
        let cost = before[price].cost + call + prices[price];
        if cost < found[price].cost {
            let start = to_u32(start);
            found[price] = Best { cost, start };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weight(bytes: usize, shared: usize) -> Weight {
        Weight {
            bytes,
            shared,
            same_time: true,
        }
    }

    fn ordinary(records: &[Weight]) -> Vec<usize> {
        cut(records, Price::Ordinary)
    }

    #[test]
    fn one_call_where_nothing_is_saved_by_two() {
        let records = vec![weight(50, 0); 20];
        assert_eq!(ordinary(&records), [20]);
        assert_eq!(ordinary(&[]), [0_usize; 0]);
        let records = vec![weight(50, 0); 250];
        assert_eq!(ordinary(&records).len(), 3);
    }

    #[test]
    fn a_cut_where_it_saves_a_unit() {
        // Two groups of ten that share 300 bytes each and nothing with one another: 2 units
        // apart, 7 together.
        let mut records = vec![weight(330, 300); 20];
        records[10].shared = 0;
        assert_eq!(ordinary(&records), [10, 20]);
        // If they share as much with one another, one call does.
        records[10].shared = 300;
        assert_eq!(ordinary(&records), [20]);
    }

    /// Groups whose records share so many bytes, and nothing with other groups.
    fn groups(count: usize, records: usize, own: usize, shared: usize) -> Vec<Weight> {
        let mut group = vec![weight(own + shared, shared); records];
        group[0].shared = 0;
        group.repeat(count)
    }

    #[test]
    fn a_higher_price_makes_fewer_calls() {
        // Each group takes a unit, all of them together 60.
        let records = groups(25, 4, 24, 590);
        assert_eq!(cut(&records, Price::Ordinary).len(), 25);
        assert_eq!(cut(&records, Price::Scarce), [100]);
    }

    #[test]
    fn many_calls_only_if_each_saves_a_unit() {
        // Each group takes a unit, all of them together 44: 24 calls save 19 units.
        let records = groups(25, 4, 50, 400);
        let [half, whole] = cheapest(&records, [Cost::HALF_UNIT, Cost::UNIT]);
        assert_eq!((half.len(), whole.len()), (25, 1));
        assert_eq!(ordinary(&records), whole);
        // Three calls are not many for any number of records.
        assert_eq!(ordinary(&records[..12]), [4, 8, 12]);
    }

    #[test]
    fn calls_are_as_few_as_possible() {
        assert_eq!(fill(225), [100, 200, 225]);
        assert_eq!(fill(200), [100, 200]);
        assert_eq!(fill(0), [0_usize; 0]);
    }

    /// Returns the units of a call, from its records alone.
    fn units_of(records: &[Weight]) -> u64 {
        let neighbours = &records[1..];
        let shared = neighbours.iter().map(|it| it.shared).min().unwrap_or(0);
        let bytes: usize = records.iter().map(|it| it.bytes).sum();
        let times = match neighbours.iter().all(|it| it.same_time) {
            true => 1,
            false => records.len(),
        };
        (bytes - shared * neighbours.len() + times * TIME_BYTES).div_ceil(UNIT_BYTES) as u64
    }

    /// Returns units and calls in half units, and the units.
    fn cost_of(records: &[Weight], ends: &[usize], price: u64) -> (u64, u64) {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let calls = starts
            .zip(ends)
            .map(|(start, &end)| units_of(&records[start..end]));
        let units: u64 = calls.sum();
        (2 * units + price * ends.len() as u64, units)
    }

    /// Returns the least cost of all ways to cut where runs end, by looking at all of their last calls.
    fn least_cost(records: &[Weight], price: u64) -> (u64, u64) {
        let ends: Vec<_> = Run::of(records)
            .iter()
            .map(|run| run.records as usize)
            .collect();
        let mut best = vec![(0, (0, 0))];
        for &end in &ends {
            let calls = best
                .iter()
                .filter(|(start, _)| end - start <= MAX_RECORDS_PER_WRITE);
            let costs = calls.map(|&(start, (cost, before))| {
                let units = units_of(&records[start..end]);
                (cost + 2 * units + price, before + units)
            });
            best.push((end, costs.min().expect("a run is a call")));
        }
        best.last().expect("there is the start").1
    }

    fn merged(ends: &[usize]) -> impl Iterator<Item = Vec<usize>> {
        (0..ends.len().saturating_sub(1)).filter_map(|first| {
            let start = first.checked_sub(1).map_or(0, |before| ends[before]);
            let mut merged = ends.to_vec();
            merged.remove(first);
            (merged[first] - start <= MAX_RECORDS_PER_WRITE).then_some(merged)
        })
    }

    /// Groups of records that share more with one another than with those of other groups.
    fn records() -> impl Strategy<Value = Vec<Weight>> {
        let record = (0..120_usize, 0..40_usize, prop::bool::weighted(0.9));
        let group = (
            0..900_usize,
            0..200_usize,
            prop::collection::vec(record, 1..40),
        );
        prop::collection::vec(group, 0..16).prop_map(|groups| {
            let mut records: Vec<Weight> = Vec::new();
            for (common, with_others, group) in groups {
                for (index, (own, of_common, same_time)) in group.into_iter().enumerate() {
                    let bytes = common + own;
                    let shared = match index {
                        0 => with_others,
                        _ => common + of_common.min(own),
                    };
                    let before = records.last().map_or(0, |it| it.bytes);
                    let shared = shared.min(bytes).min(before);
                    records.push(Weight {
                        bytes,
                        shared,
                        same_time,
                    });
                }
            }
            records
        })
    }

    proptest! {
        #[test]
        fn every_record_is_in_one_call_and_no_call_is_too_long(records in records()) {
            for price in [Price::Ordinary, Price::Scarce] {
                let ends = cut(&records, price);
                prop_assert!(ends.is_sorted_by(|a, b| a < b));
                prop_assert_eq!(ends.last().copied().unwrap_or(0), records.len());
                let starts = std::iter::once(0).chain(ends.iter().copied());
                prop_assert!(starts.zip(&ends).all(|(start, end)| end - start <= MAX_RECORDS_PER_WRITE));
            }
        }

        #[test]
        fn no_way_to_cut_costs_less(records in records()) {
            let prices = [Cost::HALF_UNIT, Cost::UNIT, Cost::TWO_UNITS];
            for (ends, price) in cheapest(&records, prices).iter().zip([1, 2, 4]) {
                let cost = cost_of(&records, ends, price);
                prop_assert_eq!(cost, least_cost(&records, price));
                for merged in merged(ends) {
                    prop_assert!(cost_of(&records, &merged, price) >= cost);
                }
            }
        }

        #[test]
        fn many_calls_save_a_unit_each(records in records()) {
            let ends = ordinary(&records);
            let many = ends.len() > MANY_CALLS * records.len().div_ceil(MAX_RECORDS_PER_WRITE);
            let price = if many { 2 } else { 1 };
            let cost = cost_of(&records, &ends, price);
            for merged in merged(&ends) {
                prop_assert!(cost_of(&records, &merged, price) >= cost);
            }
        }
    }
}
