//! The bounds between calls.

use crate::storage::limits::TIME_BYTES;

use crate::storage::limits::MAX_RECORDS_PER_WRITE;
use crate::storage::write::body::UNIT_BYTES;

/// The size of a record, and of what it shares with the one before.
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
/// place takes most of the time of writing, and saves less than a hundredth of the units.
const MAX_RUN: usize = 4;

/// Some neighbours that stay together.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The number of records.
    count: usize,
    /// Bytes of the records by themselves.
    bytes: usize,
    /// The least that neighbours among them share.
    shared: usize,
    /// True if they all have the same time.
    same_time: bool,
    /// The size of what the first shares with the record before, and true if it has its time.
    before: (usize, bool),
}

impl Run {
    /// Ends a run where the next record shares more with what follows than with what is before.
    fn of(records: &[Weight]) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::with_capacity(records.len() / 2);
        for (index, record) in records.iter().enumerate() {
            let begins_group = records.get(index + 1).is_some_and(|next| {
                record.shared < next.shared || !record.same_time && next.same_time
            });
            match runs.last_mut() {
                Some(run) if run.count < MAX_RUN && !begins_group => {
                    run.count += 1;
                    run.bytes += record.bytes;
                    run.shared = run.shared.min(record.shared);
                    run.same_time &= record.same_time;
                }
                _ => runs.push(Self {
                    count: 1,
                    bytes: record.bytes,
                    shared: usize::MAX,
                    same_time: true,
                    before: (record.shared, record.same_time),
                }),
            }
        }
        runs
    }

    /// Puts `self` before `next`.
    fn join(self, next: Self) -> Self {
        Self {
            count: self.count + next.count,
            bytes: self.bytes + next.bytes,
            shared: self.shared.min(next.shared).min(next.before.0),
            same_time: self.same_time && next.same_time && next.before.1,
            before: self.before,
        }
    }

    /// Returns the billed units of a call of them.
    fn units(self) -> usize {
        // A call shares what all of its records share, which for records in order is the least of
        // what neighbours do.
        let repeated = match self.count {
            1 => 0,
            count => self.shared * (count - 1),
        };
        let times = if self.same_time { 1 } else { self.count };
        (self.bytes - repeated + times * TIME_BYTES).div_ceil(UNIT_BYTES)
    }
}

/// The ends of the calls that carry records in their order for the fewest billed units, where a call
/// more has to save a unit: it costs time, and rounding alone could suggest many.
pub(super) fn cut(records: &[Weight]) -> Vec<usize> {
    let runs = Run::of(records);
    // For the first runs the least of units and calls together, the units of them, and where the
    // last call starts.
    let mut best: Vec<((usize, usize), usize)> = Vec::with_capacity(runs.len() + 1);
    best.push(((0, 0), 0));
    for end in 1..=runs.len() {
        let mut least = ((usize::MAX, usize::MAX), 0);
        let mut call: Option<Run> = None;
        for start in (0..end).rev() {
            let longer = call.map_or(runs[start], |call| runs[start].join(call));
            if longer.count > MAX_RECORDS_PER_WRITE {
                break;
            }
            let units = longer.units();
            let (before, _) = best[start];
            least = least.min(((before.0 + units + 1, before.1 + units), start));
            call = Some(longer);
        }
        best.push(least);
    }
    let mut calls = Vec::new();
    let mut end = runs.len();
    while end > 0 {
        calls.push(end);
        end = best[end].1;
    }
    calls.reverse();
    let records_until = runs.iter().scan(0, |count, run| {
        *count += run.count;
        Some(*count)
    });
    let records_until: Vec<usize> = records_until.collect();
    calls
        .into_iter()
        .map(|end| records_until[end - 1])
        .collect()
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

    #[test]
    fn one_call_where_nothing_is_saved_by_two() {
        let records = vec![weight(50, 0); 20];
        assert_eq!(cut(&records), [20]);
        assert_eq!(cut(&[]), [0_usize; 0]);
        let records = vec![weight(50, 0); 250];
        assert_eq!(cut(&records).len(), 3);
    }

    #[test]
    fn a_cut_where_it_saves_a_unit() {
        // Two groups of ten that share 300 bytes each and nothing with one another: 2 units
        // apart, 7 together.
        let mut records = vec![weight(330, 300); 20];
        records[10].shared = 0;
        assert_eq!(cut(&records), [10, 20]);
        // If they share as much with one another, one call does.
        records[10].shared = 300;
        assert_eq!(cut(&records), [20]);
    }

    proptest! {
        #[test]
        fn every_record_is_in_one_call_and_no_call_is_too_long(
            records in prop::collection::vec((0..300_usize, 0..300_usize, any::<bool>()), 0..350)
        ) {
            let records: Vec<_> = records
                .into_iter()
                .map(|(own, shared, same_time)| Weight { bytes: own + 300, shared, same_time })
                .collect();
            let ends = cut(&records);
            prop_assert!(ends.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(ends.last().copied().unwrap_or(0), records.len());
            let starts = std::iter::once(0).chain(ends.iter().copied());
            prop_assert!(starts.zip(&ends).all(|(start, end)| end - start <= MAX_RECORDS_PER_WRITE));
        }
    }
}
