//! Where one call ends and the next begins.

use crate::convert::body::UNIT_BYTES;
use crate::convert::limits::MAX_RECORDS_PER_WRITE;

/// What a record counts, and what it shares with the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    /// Bytes of the record by itself, without its time.
    pub(super) bytes: usize,
    /// Bytes of them that it shares with the record before.
    pub(super) shared: usize,
    /// Whether it has the time of the record before.
    pub(super) same_time: bool,
}

/// Bytes of a time.
const TIME_BYTES: usize = 8;

/// The ends of the calls that carry records in their order for the fewest billed units, where a call
/// more has to save a unit: it costs time, and rounding alone could ask for many.
///
/// A call shares what all of its records share, which for records in order is the least of what
/// neighbours do.
pub(super) fn cut(records: &[Weight]) -> Vec<usize> {
    // For the first records the least of units and calls together, the units of them, and where the
    // last call starts.
    let mut best: Vec<((usize, usize), usize)> = vec![((0, 0), 0)];
    for end in 1..=records.len() {
        let mut least = ((usize::MAX, usize::MAX), 0);
        let mut bytes = 0;
        let mut shared = usize::MAX;
        let mut same_time = true;
        for start in (end.saturating_sub(MAX_RECORDS_PER_WRITE)..end).rev() {
            let count = end - start;
            bytes += records[start].bytes;
            // What the next record shares with this one.
            if let Some(next) = records.get(start + 1).filter(|_| count > 1) {
                shared = shared.min(next.shared);
                same_time &= next.same_time;
            }
            let repeated = if count > 1 { shared * (count - 1) } else { 0 };
            let times = if same_time { 1 } else { count };
            let units = (bytes - repeated + times * TIME_BYTES).div_ceil(UNIT_BYTES);
            let (before, _) = best[start];
            least = least.min(((before.0 + units + 1, before.1 + units), start));
        }
        best.push(least);
    }
    let mut ends = Vec::new();
    let mut end = records.len();
    while end > 0 {
        ends.push(end);
        end = best[end].1;
    }
    ends.reverse();
    ends
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
