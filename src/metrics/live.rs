//! Totals and recent rates, for the start page.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::measurement::{Measurement, Value};
use crate::timestream::ErrorKind;

/// The number of intervals that a rate looks back.
const SLOTS: u64 = 60;
/// Seconds of an interval of the counts: their rates are those of a minute.
const COUNT_SECONDS: u64 = 1;
/// Seconds of an interval of billed amounts: their rates are those of ten minutes, because senders write in bursts.
const BILLED_SECONDS: u64 = 10;

/// The counts of the start page, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LiveCount {
    /// Samples received.
    Received,
    /// Samples stored.
    Written,
    /// Samples dropped by policy.
    Ignored,
    /// Samples dropped because another replica is elected; listed once there are some.
    OtherReplica,
    /// Samples neither stored nor dropped.
    Failed,
    /// Write requests with a response of this status.
    WriteRequests(u16),
    /// OTLP requests with a response of this status.
    OtlpRequests(u16),
    /// WriteRecords calls made again.
    WriteRetries,
    /// Write units billed.
    WriteUnits,
    /// Read requests with a response of this status.
    ReadRequests(u16),
    /// Series returned.
    ReadSeries,
    /// Samples returned.
    ReadSamples,
    /// SQL statements.
    Statements,
    /// Query calls made again.
    ReadRetries,
    /// Requests to the query API with a response of this status.
    QueryRequests(u16),
    /// Series fetched for them.
    QuerySeries,
    /// Samples fetched for them.
    QuerySamples,
    /// SQL statements for them.
    QueryStatements,
    /// Query calls for them made again.
    QueryRetries,
    /// Samples that are not stored, by the reason in metrics; listed once there are some.
    NotStored(NotStored, &'static str),
}

/// The end of samples that are not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotStored {
    /// Dropped by policy.
    Dropped,
    /// Rejected by Timestream one by one.
    Rejected,
    /// Rejected with their series, or in a call that failed.
    Failed,
}

impl LiveCount {
    /// Those that are listed from the start.
    const ALWAYS: [Self; 18] = [
        Self::Received,
        Self::Written,
        Self::Ignored,
        Self::Failed,
        Self::WriteRequests(204),
        Self::OtlpRequests(200),
        Self::WriteRetries,
        Self::WriteUnits,
        Self::ReadRequests(200),
        Self::ReadSeries,
        Self::ReadSamples,
        Self::Statements,
        Self::ReadRetries,
        Self::QueryRequests(200),
        Self::QuerySeries,
        Self::QuerySamples,
        Self::QueryStatements,
        Self::QueryRetries,
    ];
}

/// The content of the start page at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveView {
    /// The time since the start of the process.
    pub uptime: Duration,
    /// Requests in flight.
    pub in_flight: i64,
    /// The counts in their order.
    pub rows: Vec<LiveRow>,
    /// Billed amounts.
    pub billed: Billed,
}

/// Amounts per hour that AWS bills, over the last ten minutes or since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Billed {
    /// Write units.
    pub write_units: f64,
    /// Bytes of queries, of remote read and the query API.
    pub query_bytes: f64,
}

/// One count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LiveRow {
    /// The count.
    pub count: LiveCount,
    /// Since the start of the process.
    pub total: u64,
    /// Per second, over the last minute or since the start.
    pub per_second: f64,
}

/// The counts so far.
#[derive(Debug)]
pub(super) struct Live(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    all: BTreeMap<LiveCount, Recent>,
    write_units: Recent,
    query_bytes: Recent,
}

impl Default for Live {
    fn default() -> Self {
        let counts = LiveCount::ALWAYS.map(|count| (count, Recent::new(COUNT_SECONDS)));
        Self(Mutex::new(Counts {
            all: counts.into(),
            write_units: Recent::new(BILLED_SECONDS),
            query_bytes: Recent::new(BILLED_SECONDS),
        }))
    }
}

impl Live {
    /// Adds measurements at a time since the start of the process.
    pub(super) fn add(&self, uptime: Duration, measurements: &[Measurement]) {
        let mut counts = self.0.lock();
        let second = uptime.as_secs();
        for Measurement { name, value } in measurements {
            match (*name, value) {
                ("write_units", value) => counts.write_units.add(second, value.total()),
                ("read_metered_bytes" | "query_metered_bytes", Value::Bytes(bytes)) => {
                    counts.query_bytes.add(second, *bytes);
                }
                _ => {}
            }
        }
        for (count, amount) in self::counts(measurements) {
            let recent = counts.all.entry(count);
            let recent = recent.or_insert_with(|| Recent::new(COUNT_SECONDS));
            recent.add(second, amount);
        }
    }

    pub(super) fn view(&self, uptime: Duration, in_flight: i64) -> LiveView {
        let counts = self.0.lock();
        let second = uptime.as_secs();
        let rows = counts.all.iter().map(|(count, recent)| LiveRow {
            count: *count,
            total: recent.total,
            per_second: recent.per_second(second),
        });
        LiveView {
            uptime,
            in_flight,
            rows: rows.collect(),
            billed: Billed {
                write_units: 3_600.0 * counts.write_units.per_second(second),
                query_bytes: 3_600.0 * counts.query_bytes.per_second(second),
            },
        }
    }
}

/// Returns the counts that the start page shows of measurements.
fn counts(measurements: &[Measurement]) -> impl Iterator<Item = (LiveCount, u64)> {
    measurements
        .iter()
        .flat_map(|it| count(it).into_iter().chain(not_stored(it)))
}

/// Returns the count of a measurement as a whole.
fn count(measurement: &Measurement) -> Option<(LiveCount, u64)> {
    let Measurement { name, value } = measurement;
    let count = match (*name, value) {
        ("received_samples", _) => LiveCount::Received,
        ("written_samples", _) => LiveCount::Written,
        ("ignored_samples", _) => LiveCount::Ignored,
        ("ha_dropped_samples", value) if value.total() > 0 => LiveCount::OtherReplica,
        ("failed_samples", _) => LiveCount::Failed,
        ("write_requests", Value::Status(status)) => LiveCount::WriteRequests(*status),
        ("otlp_requests", Value::Status(status)) => LiveCount::OtlpRequests(*status),
        ("write_retries", _) => LiveCount::WriteRetries,
        ("write_units", _) => LiveCount::WriteUnits,
        ("read_requests", Value::Status(status)) => LiveCount::ReadRequests(*status),
        ("read_series", _) => LiveCount::ReadSeries,
        ("read_samples", _) => LiveCount::ReadSamples,
        ("read_statements", _) => LiveCount::Statements,
        ("read_retries", _) => LiveCount::ReadRetries,
        ("query_requests", Value::Status(status)) => LiveCount::QueryRequests(*status),
        ("query_series", _) => LiveCount::QuerySeries,
        ("query_samples", _) => LiveCount::QuerySamples,
        ("query_statements", _) => LiveCount::QueryStatements,
        ("query_retries", _) => LiveCount::QueryRetries,
        _ => return None,
    };
    Some((count, value.total()))
}

/// Returns the counts of samples that are not stored, by reason. Samples that Timestream rejected one by one also are
/// failed ones of a single reason, which is left out.
fn not_stored(measurement: &Measurement) -> impl Iterator<Item = (LiveCount, u64)> {
    let end = match measurement.name {
        "ignored_samples" => Some(NotStored::Dropped),
        "rejected_samples" => Some(NotStored::Rejected),
        "failed_samples" => Some(NotStored::Failed),
        _ => None,
    };
    let by_reason: &[(&'static str, u64)] = match &measurement.value {
        Value::CountBy(counts) => counts,
        _ => &[],
    };
    let rejected = ErrorKind::Rejected.as_str();
    end.into_iter().flat_map(move |end| {
        let counts = by_reason
            .iter()
            .filter(move |(reason, count)| *count > 0 && *reason != rejected);
        counts.map(move |(reason, count)| (LiveCount::NotStored(end, reason), *count))
    })
}

/// A total, and the counts of the last intervals.
#[derive(Debug)]
struct Recent {
    total: u64,
    /// Seconds of an interval.
    seconds: u64,
    /// The interval that a slot is about, and its count.
    slots: [(u64, u64); SLOTS as usize],
}

impl Recent {
    fn new(seconds: u64) -> Self {
        Self {
            total: 0,
            seconds,
            slots: [(0, 0); SLOTS as usize],
        }
    }

    fn add(&mut self, second: u64, amount: u64) {
        self.total += amount;
        let interval = second / self.seconds;
        let slot = &mut self.slots[(interval % SLOTS) as usize];
        if slot.0 != interval {
            *slot = (interval, 0);
        }
        slot.1 += amount;
    }

    fn per_second(&self, now: u64) -> f64 {
        let interval = now / self.seconds;
        let first = interval.saturating_sub(SLOTS - 1);
        let window = first..=interval;
        let recent: u64 = self
            .slots
            .iter()
            .filter(|(interval, _)| window.contains(interval))
            .map(|(_, count)| count)
            .sum();
        recent as f64 / (now + 1 - first * self.seconds) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let mut recent = Recent::new(1);
        recent.add(0, 60);
        recent.add(3, 60);
        let cases = [(3, 30.0), (9, 12.0), (59, 2.0), (60, 1.0), (63, 0.0)];
        for (now, expected) in cases {
            assert_eq!(recent.per_second(now), expected, "{now}");
        }
        recent.add(120, 6);
        assert_eq!(recent.per_second(120), 0.1);
        assert_eq!(recent.total, 126);
    }

    #[test]
    fn billed_amounts_are_those_of_ten_minutes() {
        let mut recent = Recent::new(10);
        recent.add(5, 600);
        let cases = [(5, 100.0), (99, 6.0), (599, 1.0), (600, 0.0)];
        for (now, expected) in cases {
            assert_eq!(recent.per_second(now), expected, "{now}");
        }
        // The present interval has just begun.
        recent.add(1_200, 591);
        assert_eq!(recent.per_second(1_200), 1.0);
    }

    #[test]
    fn a_view_has_every_count_and_further_statuses() {
        let live = Live::default();
        let measurements = [
            Measurement::count("received_samples", 10),
            Measurement::new("write_requests", Value::Status(503)),
            Measurement::count("write_units", 5),
            Measurement::new("query_metered_bytes", Value::Bytes(10)),
        ];
        live.add(Duration::from_secs(1), &measurements);
        let view = live.view(Duration::from_secs(9), 2);
        assert_eq!(view.rows.len(), LiveCount::ALWAYS.len() + 1);
        let row = |count, total, per_second| LiveRow {
            count,
            total,
            per_second,
        };
        assert_eq!(view.rows[0], row(LiveCount::Received, 10, 1.0));
        assert_eq!(view.rows[5], row(LiveCount::WriteRequests(503), 1, 0.1));
        let billed = Billed {
            write_units: 1_800.0,
            query_bytes: 3_600.0,
        };
        assert_eq!(view.billed, billed);
    }

    #[test]
    fn samples_that_are_not_stored_have_one_reason() {
        let live = Live::default();
        let measurements = [
            Measurement::count_by("ignored_samples", [("value_not_finite", 2), ("limit", 0)]),
            Measurement::count_by(
                "failed_samples",
                [("RejectedRecordsException", 3), ("MissingMetricName", 4)],
            ),
            Measurement::count_by("rejected_samples", [("duplicate_version", 3)]),
        ];
        live.add(Duration::ZERO, &measurements);
        let view = live.view(Duration::ZERO, 0);
        let not_stored: Vec<_> = view
            .rows
            .iter()
            .filter_map(|row| match row.count {
                LiveCount::NotStored(end, reason) => Some((end, reason, row.total)),
                _ => None,
            })
            .collect();
        let expected = [
            (NotStored::Dropped, "value_not_finite", 2),
            (NotStored::Rejected, "duplicate_version", 3),
            (NotStored::Failed, "MissingMetricName", 4),
        ];
        assert_eq!(not_stored, expected);
    }
}
