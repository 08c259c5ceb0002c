//! Records to batches: which records share a WriteRecords call.
//!
//! AWS bills a call by what is left after the common attributes are taken out, in units of 1 KiB:
//! `order` puts records together that share much, `cut` decides which of them share a call. Every
//! record is in exactly one batch, no batch is over the limit, and the order within a series is kept.

mod cut;
mod order;

use super::series::{DestinationRecords, Record, StoredSeries};
use super::value::Value;
use crate::received::Items;
use cut::{Weight, cut};
use order::{Order, order};

#[cfg(doc)]
use super::limits::MAX_RECORDS_PER_WRITE;

/// One record with the series it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct BatchRecord<'r> {
    /// What it stores.
    pub item: Items,
    /// The stored form of its series.
    pub series: &'r StoredSeries<'r>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Nanoseconds past the millisecond.
    pub nanos: u32,
    /// What the series is at this time.
    pub value: &'r Value<'r>,
}

/// The records of a destination, arranged and cut into calls.
#[derive(Debug)]
pub struct Batches<'r> {
    records: Vec<BatchRecord<'r>>,
    /// Where each call ends.
    ends: Vec<usize>,
}

impl<'r> Batches<'r> {
    /// The records of each call: at least one, at most [`MAX_RECORDS_PER_WRITE`].
    pub fn iter(&self) -> impl Iterator<Item = &[BatchRecord<'r>]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied();
        starts
            .zip(ends)
            .map(|(start, end)| &self.records[start..end])
    }
}

/// Arranges the records of a destination so that what can be shared stands together, and cuts them
/// into calls where that costs the fewest billed units.
pub fn batches<'r>(records: &'r DestinationRecords<'r>) -> Batches<'r> {
    let order = order(&records.series);
    let mut sorted: Vec<&Record<'_>> = records.records.iter().collect();
    // Stable, so the order within a series stays.
    sorted.sort_by_key(|record| order.places[record.series]);
    let weights = weights(&records.series, &order, &sorted);
    let record = |record: &'r Record<'r>| BatchRecord {
        item: record.item,
        series: &records.series[record.series],
        timestamp_ms: record.timestamp_ms,
        nanos: record.nanos,
        value: &record.value,
    };
    Batches {
        ends: cut(&weights),
        records: sorted.into_iter().map(record).collect(),
    }
}

fn weights(series: &[StoredSeries<'_>], order: &Order, sorted: &[&Record<'_>]) -> Vec<Weight> {
    let bytes: Vec<usize> = series.iter().map(StoredSeries::bytes).collect();
    let mut before: Option<&Record<'_>> = None;
    sorted
        .iter()
        .map(|record| {
            let place = order.places[record.series];
            let shared = before.map_or(0, |before| {
                // Places without a record may stand between them.
                let between = &order.shared_bytes[order.places[before.series] + 1..=place];
                between
                    .iter()
                    .copied()
                    .min()
                    .unwrap_or(bytes[record.series])
            });
            let same_time = before.is_some_and(|it| it.time() == record.time());
            before = Some(record);
            Weight {
                bytes: bytes[record.series] + record.value.bytes(),
                shared,
                same_time,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::convert::body::write_call;
    use crate::convert::limits::MAX_RECORDS_PER_WRITE;
    use crate::convert::series::Dimension;
    use crate::convert::value::NUMBER_BYTES;
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
                nanos: 0,
                value: Value::Double(1.0),
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
                value: Cow::Borrowed(instance),
            }],
        }
    }

    /// The calls of `records`, each record as its time.
    fn calls(records: &DestinationRecords<'_>) -> Vec<Vec<i64>> {
        let times = |call: &[BatchRecord<'_>]| call.iter().map(|it| it.timestamp_ms).collect();
        batches(records).iter().map(times).collect()
    }

    fn units(records: &DestinationRecords<'_>) -> (u64, usize) {
        let batches = batches(records);
        let units = batches
            .iter()
            .map(|call| write_call(&records.destination, call, None).write_units);
        (units.sum(), batches.iter().count())
    }

    /// What AWS bills for calls of 100 in the order received, nothing in common: what the Go
    /// connector sends.
    fn naive_units(records: &DestinationRecords<'_>) -> u64 {
        let bytes = |record: &Record<'_>| records.series[record.series].bytes() + 2 * NUMBER_BYTES;
        let calls = records.records.chunks(100);
        calls
            .map(|call| (call.iter().map(bytes).sum::<usize>().div_ceil(1024)) as u64)
            .sum()
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
            &[(0, 1), (1, 2), (2, 3), (3, 4)],
        );
        assert_eq!(calls(&records), [[1, 4, 3, 2]]);
    }

    /// Pods of a few deployments, each with a few containers' series, in the mixed order in which a
    /// shard of Prometheus sends them.
    fn pods(count: usize, per_pod: usize) -> DestinationRecords<'static> {
        let series = (0..count * per_pod)
            .map(|i| {
                // Some other order, each of them once.
                let i = (i * 7_919) % (count * per_pod);
                let (pod, metric) = (i % count, i / count);
                let name = format!("container_resource_{metric}_seconds_total");
                let labels = [
                    ("cluster", "production-eu-west-1".to_owned()),
                    ("container", format!("app-{}", pod % 7)),
                    (
                        "id",
                        format!("/kubepods/burstable/pod{pod:032x}/{pod:064x}"),
                    ),
                    (
                        "image",
                        format!("registry.example/team/app-{}:v1.2.3", pod % 7),
                    ),
                    ("instance", format!("10.0.{}.1:10250", pod % 10)),
                    ("job", "kubelet".to_owned()),
                    ("metrics_path", "/metrics/cadvisor".to_owned()),
                    ("namespace", format!("team-{}", pod % 5)),
                    (
                        "node",
                        format!("ip-10-0-{}-1.eu-west-1.compute.internal", pod % 10),
                    ),
                    ("pod", format!("app-{}-{pod:010x}-{pod:05x}", pod % 7)),
                ];
                StoredSeries {
                    measure_name: Cow::Owned(name),
                    dimensions: labels
                        .into_iter()
                        .map(|(name, value)| Dimension {
                            name: Cow::Borrowed(name),
                            value: Cow::Owned(value),
                        })
                        .collect(),
                }
            })
            .collect::<Vec<_>>();
        let samples: Vec<_> = (0..series.len()).map(|i| (i, 1_600_000_000_000)).collect();
        records(series, &samples)
    }

    #[test]
    fn pods_are_put_together() {
        let records = pods(66, 30);
        let (units, calls) = units(&records);
        let naive = naive_units(&records);
        assert!(
            units * 100 <= naive * 40,
            "{units} of {naive} in {calls} calls"
        );
        assert!(calls <= 66, "{calls}");
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
            let batches = batches(&records);
            let arranged: Vec<_> = batches.iter().flatten().collect();

            let mut seen: Vec<_> = arranged.iter().map(|r| r.timestamp_ms).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..samples.len() as i64).collect::<Vec<_>>());
            prop_assert!(batches.iter().all(|b| (1..=MAX_RECORDS_PER_WRITE).contains(&b.len())));
            for stored in &records.series {
                let times = arranged.iter().filter(|r| r.series == stored).map(|r| r.timestamp_ms);
                prop_assert!(times.is_sorted());
            }
        }
    }
}
