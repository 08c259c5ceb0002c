//! Records to batches: which records share a WriteRecords call.
//!
//! AWS bills a call by what is left after the common attributes are taken out, so records with
//! equal dimensions stand together. Every record is in exactly one batch, no batch is over the
//! limit, and the order within a series is kept.

use std::collections::HashMap;

use super::limits::MAX_RECORDS_PER_WRITE;
use super::series::{DestinationRecords, Dimension, Record, StoredSeries};
use crate::received::Items;

/// One record with the series it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct BatchRecord<'r> {
    /// The sample that it stores.
    pub item: Items,
    /// The stored form of its series.
    pub series: &'r StoredSeries<'r>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// A finite value.
    pub value: f64,
}

/// The records of a destination, arranged so that each chunk of
/// [`MAX_RECORDS_PER_WRITE`] is one call.
///
/// Records with equal dimensions (whatever their metric) follow one another, groups in order of
/// first appearance, records of a group by metric and then in the order received.
pub fn arrange<'r>(records: &'r DestinationRecords<'r>) -> Vec<BatchRecord<'r>> {
    let groups = group_by_dimensions(&records.series);
    let mut order: Vec<&Record> = records.records.iter().collect();
    // Stable, so the order within a series stays.
    order.sort_by_key(|record| groups[record.series]);
    order
        .into_iter()
        .map(|record| BatchRecord {
            item: record.item,
            series: &records.series[record.series],
            timestamp_ms: record.timestamp_ms,
            value: record.value,
        })
        .collect()
}

/// Cuts arranged records into calls.
pub fn batches<'a, 'r>(arranged: &'a [BatchRecord<'r>]) -> std::slice::Chunks<'a, BatchRecord<'r>> {
    arranged.chunks(MAX_RECORDS_PER_WRITE)
}

/// For each series the rank of its dimensions and, within them, of its metric.
fn group_by_dimensions(series: &[StoredSeries<'_>]) -> Vec<(usize, usize)> {
    let mut dimension_ranks: HashMap<&[Dimension<'_>], usize> = HashMap::new();
    let mut measure_ranks: HashMap<&str, usize> = HashMap::new();
    series
        .iter()
        .map(|series| {
            let next = dimension_ranks.len();
            let dimensions = *dimension_ranks.entry(&series.dimensions).or_insert(next);
            let next = measure_ranks.len();
            let measure = *measure_ranks.entry(&series.measure_name).or_insert(next);
            (dimensions, measure)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::model::Destination;

    fn records(
        series: Vec<StoredSeries<'static>>,
        samples: &[(usize, i64)],
    ) -> DestinationRecords<'static> {
        let records = samples
            .iter()
            .map(|&(series, timestamp_ms)| Record {
                item: Items::default(),
                series,
                timestamp_ms,
                value: 1.0,
            })
            .collect();
        let destination = Destination {
            database: "db".to_owned(),
            table: "t".to_owned(),
        };
        DestinationRecords {
            destination,
            series,
            records,
        }
    }

    fn series(measure_name: &'static str, instance: &'static str) -> StoredSeries<'static> {
        StoredSeries {
            measure_name: Cow::Borrowed(measure_name),
            dimensions: vec![Dimension {
                name: Cow::Borrowed("instance"),
                value: instance,
            }],
        }
    }

    #[test]
    fn equal_dimensions_follow_one_another() {
        let records = records(
            vec![
                series("up", "a"),
                series("up", "b"),
                series("down", "a"),
                series("up", "a"),
            ],
            &[(0, 1), (1, 1), (2, 1), (3, 2)],
        );
        let arranged: Vec<_> = arrange(&records)
            .iter()
            .map(|r| (r.series.to_string(), r.timestamp_ms))
            .collect();
        let expected = [
            (r#"up{instance="a"}"#, 1),
            (r#"up{instance="a"}"#, 2),
            (r#"down{instance="a"}"#, 1),
            (r#"up{instance="b"}"#, 1),
        ];
        assert_eq!(
            arranged,
            expected.map(|(series, time)| (series.to_owned(), time))
        );
    }

    proptest! {
        #[test]
        fn every_record_once_none_over_the_limit_order_kept(
            samples in prop::collection::vec(0..6_usize, 0..450)
        ) {
            let names = [("a", "1"), ("b", "1"), ("a", "2"), ("c", "3"), ("a", "1"), ("b", "2")];
            let all = names.map(|(measure, instance)| series(measure, instance)).into_iter().collect();
            // The position serves as time, so that each record can be told from the others.
            let samples: Vec<_> = samples.into_iter().zip(0..).collect();
            let records = records(all, &samples);
            let arranged = arrange(&records);

            let mut seen: Vec<_> = arranged.iter().map(|r| r.timestamp_ms).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..samples.len() as i64).collect::<Vec<_>>());
            prop_assert!(batches(&arranged).all(|b| (1..=MAX_RECORDS_PER_WRITE).contains(&b.len())));
            for stored in &records.series {
                let times = arranged.iter().filter(|r| r.series == stored).map(|r| r.timestamp_ms);
                prop_assert!(times.is_sorted());
            }
        }
    }
}
