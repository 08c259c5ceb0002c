//! Records to batches: which records share a WriteRecords call.
//!
//! AWS bills a call by what is left after the common attributes are taken out, in units of 1 KiB:
//! `order` puts records together that share much, `cut` decides which of them share a call. Every
//! record is in exactly one batch, no batch is over the limit, and the order within a series stays.

mod cut;
mod order;

use super::series::{DestinationRecords, Record};
use super::stored::{SeriesId, StoredSeries};
use crate::storage::destination::Destination;
use cut::{Weight, cut, fill};

pub use cut::Price;
use order::{Numbering, Order};

#[cfg(doc)]
use crate::storage::limits::MAX_RECORDS_PER_WRITE;

/// The records of a destination, arranged and cut into calls.
#[derive(Debug)]
pub struct Batches<'r> {
    destination: &'r Destination,
    stored: &'r StoredSeries<'r>,
    records: Vec<BatchRecord<'r>>,
    /// The end of each call.
    ends: Vec<usize>,
}

/// A record and its series.
#[derive(Clone, Copy, Debug)]
pub struct BatchRecord<'r> {
    /// The record.
    pub record: &'r Record<'r>,
    /// Its series.
    pub series: SeriesId,
}

/// Records that a call carries.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'b> {
    /// Their destination.
    pub destination: &'b Destination,
    /// Their series, among others.
    pub stored: &'b StoredSeries<'b>,
    /// At least one, at most [`MAX_RECORDS_PER_WRITE`].
    pub records: &'b [BatchRecord<'b>],
}

impl Batches<'_> {
    /// Returns the destination of the records.
    pub fn destination(&self) -> &Destination {
        self.destination
    }

    /// The batch of each call.
    pub fn iter(&self) -> impl Iterator<Item = Batch<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied();
        starts.zip(ends).map(|(start, end)| Batch {
            destination: self.destination,
            stored: self.stored,
            records: &self.records[start..end],
        })
    }
}

impl Batch<'_> {
    /// Its two halves; the batch has at least two records.
    pub fn halves(self) -> [Self; 2] {
        let (first, second) = self.records.split_at(self.records.len() / 2);
        [first, second].map(|records| Self { records, ..self })
    }
}

/// The limits of the calls of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// The price of a call.
    pub price: Price,
    /// If calls at this price are more than these, there are as few as possible.
    pub max_calls: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            price: Price::default(),
            max_calls: usize::MAX,
        }
    }
}

/// Arranges the records of each destination so that what can be shared stands together, and cuts
/// them into calls where that costs the fewest billed units, at the ordinary price of a call.
pub fn batches<'r>(
    stored: &'r StoredSeries<'r>,
    destinations: &'r [DestinationRecords<'r>],
) -> Vec<Batches<'r>> {
    batches_within(stored, destinations, CallLimits::default())
}

/// As [`batches`], within these limits.
pub fn batches_within<'r>(
    stored: &'r StoredSeries<'r>,
    destinations: &'r [DestinationRecords<'r>],
    limits: CallLimits,
) -> Vec<Batches<'r>> {
    let mut numbering = Numbering::new(stored);
    let compose = |records: &'r DestinationRecords<'r>| {
        let order = numbering.order(stored, &records.series);
        let sorted = sorted(records, &order);
        let ends = cut(&weights(stored, &sorted, &order), limits.price);
        Batches {
            destination: &records.destination,
            stored,
            records: sorted,
            ends,
        }
    };
    let mut all: Vec<_> = destinations.iter().map(compose).collect();
    if all.iter().map(|it| it.ends.len()).sum::<usize>() > limits.max_calls {
        for batches in &mut all {
            batches.ends = fill(batches.records.len());
        }
    }
    all
}

/// Returns the records in the order of their series; those of equal series stay as they were.
fn sorted<'r>(records: &'r DestinationRecords<'r>, order: &Order) -> Vec<BatchRecord<'r>> {
    let place = |record: &Record<'_>| order.places[record.series as usize] as usize;
    // Where the next record of each place goes.
    let mut next = vec![0; order.shared_bytes.len() + 1];
    for record in &records.records {
        next[place(record) + 1] += 1;
    }
    for place in 1..next.len() {
        next[place] += next[place - 1];
    }
    let mut sorted = vec![0; records.records.len()];
    for (index, record) in records.records.iter().enumerate() {
        let next = &mut next[place(record)];
        sorted[*next] = index;
        *next += 1;
    }
    let with_series = |index: usize| {
        let record = &records.records[index];
        BatchRecord {
            record,
            series: records.series[record.series as usize],
        }
    };
    sorted.into_iter().map(with_series).collect()
}

fn weights(stored: &StoredSeries<'_>, sorted: &[BatchRecord<'_>], order: &Order) -> Vec<Weight> {
    let mut before: Option<(usize, (i64, u32))> = None;
    let weight = |it: &BatchRecord<'_>| {
        let (record, time) = (it.record, it.record.time());
        let place = order.places[record.series as usize] as usize;
        let bytes = stored.bytes(it.series);
        let shared = before.map_or(0, |(before, _)| {
            // Places without a record may stand between them.
            let between = &order.shared_bytes[before + 1..=place];
            between.iter().min().map_or(bytes, |it| *it as usize)
        });
        let same_time = before.is_some_and(|it| it.1 == time);
        before = Some((place, time));
        Weight {
            bytes: bytes + record.value.bytes(),
            shared,
            same_time,
        }
    };
    sorted.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::storage::limits::MAX_RECORDS_PER_WRITE;
    use crate::storage::write::value::Value;
    use prom_wire::request::{DatapointRange, to_u32};

    /// Series of one dimension each, and records of them by position and time.
    fn composed(series: &[(&str, &str)], records: &[(usize, i64)]) -> Vec<Vec<(usize, i64)>> {
        let mut stored = StoredSeries::default();
        let add = |it: &(&str, &str)| stored.add_new(it.0, &[("instance", it.1)]);
        let series: Vec<_> = series.iter().map(add).collect();
        let records = records.iter().map(|&(series, timestamp_ms)| Record {
            item: DatapointRange::default(),
            series: to_u32(series),
            timestamp_ms,
            nanos: 0,
            value: Value::Double(1.0),
        });
        let destination = DestinationRecords {
            destination: Destination {
                database: "db".to_owned(),
                table: "t".to_owned(),
            },
            series,
            records: records.collect(),
        };
        let destinations = [destination];
        let [batches] = batches(&stored, &destinations).try_into().unwrap();
        let record = |it: &BatchRecord<'_>| (it.record.series as usize, it.record.timestamp_ms);
        let calls = batches
            .iter()
            .map(|batch| batch.records.iter().map(record).collect());
        calls.collect()
    }

    #[test]
    fn equal_dimensions_follow_one_another() {
        let series = [("up", "a"), ("up", "b"), ("down", "a"), ("up", "a")];
        let calls = composed(&series, &[(0, 1), (1, 2), (2, 3), (3, 4)]);
        assert_eq!(calls, [[(0, 1), (3, 4), (2, 3), (1, 2)]]);
    }

    proptest! {
        #[test]
        fn every_record_once_in_order_and_none_over_the_limit(
            samples in prop::collection::vec(0..6_usize, 0..450)
        ) {
            let series = [("a", "1"), ("b", "1"), ("a", "2"), ("c", "3"), ("a", "1"), ("b", "2")];
            // The position serves as time, so that each record differs from the others.
            let records: Vec<_> = samples.into_iter().zip(0..).collect();
            let calls = composed(&series, &records);
            prop_assert!(calls.iter().all(|call| (1..=MAX_RECORDS_PER_WRITE).contains(&call.len())));
            let arranged: Vec<_> = calls.into_iter().flatten().collect();
            for series in 0..series.len() {
                prop_assert!(arranged.iter().filter(|it| it.0 == series).map(|it| it.1).is_sorted());
            }
            let mut seen = arranged;
            seen.sort_unstable_by_key(|it| it.1);
            prop_assert_eq!(seen, records);
        }
    }
}
