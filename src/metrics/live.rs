//! Totals and rates of the last minute, for the start page.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::measurement::{Measurement, Value};

/// Seconds that a rate looks back.
const WINDOW_SECONDS: u64 = 60;

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
pub(super) struct Live(Mutex<BTreeMap<LiveCount, Recent>>);

impl Default for Live {
    fn default() -> Self {
        let counts = LiveCount::ALWAYS.map(|count| (count, Recent::default()));
        Self(Mutex::new(counts.into()))
    }
}

impl Live {
    /// Adds counts at a time since the start of the process.
    pub(super) fn add(&self, uptime: Duration, counts: impl IntoIterator<Item = (LiveCount, u64)>) {
        let mut all = self.0.lock();
        for (count, amount) in counts {
            all.entry(count).or_default().add(uptime.as_secs(), amount);
        }
    }

    pub(super) fn view(&self, uptime: Duration, in_flight: i64) -> LiveView {
        let rows = self.0.lock();
        let rows = rows.iter().map(|(count, recent)| LiveRow {
            count: *count,
            total: recent.total,
            per_second: recent.per_second(uptime.as_secs()),
        });
        LiveView {
            uptime,
            in_flight,
            rows: rows.collect(),
        }
    }
}

/// Returns the counts that the start page shows of measurements.
pub(super) fn counts(measurements: &[Measurement]) -> impl Iterator<Item = (LiveCount, u64)> {
    measurements
        .iter()
        .filter_map(|Measurement { name, value }| {
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
        })
}

/// A total, and what came in each of the last seconds.
#[derive(Debug)]
struct Recent {
    total: u64,
    /// The second that a slot is about, and its count.
    slots: [(u64, u64); WINDOW_SECONDS as usize],
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            total: 0,
            slots: [(0, 0); WINDOW_SECONDS as usize],
        }
    }
}

impl Recent {
    fn add(&mut self, second: u64, amount: u64) {
        self.total += amount;
        let slot = &mut self.slots[(second % WINDOW_SECONDS) as usize];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 += amount;
    }

    fn per_second(&self, now: u64) -> f64 {
        let window = now.saturating_sub(WINDOW_SECONDS - 1)..=now;
        let recent: u64 = self
            .slots
            .iter()
            .filter(|(second, _)| window.contains(second))
            .map(|(_, count)| count)
            .sum();
        recent as f64 / (now + 1).min(WINDOW_SECONDS) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let mut recent = Recent::default();
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
    fn a_view_has_every_count_and_further_statuses() {
        let live = Live::default();
        live.add(
            Duration::from_secs(1),
            [
                (LiveCount::Received, 10),
                (LiveCount::WriteRequests(503), 1),
            ],
        );
        let view = live.view(Duration::from_secs(9), 2);
        assert_eq!(view.rows.len(), LiveCount::ALWAYS.len() + 1);
        let row = |count, total, per_second| LiveRow {
            count,
            total,
            per_second,
        };
        assert_eq!(view.rows[0], row(LiveCount::Received, 10, 1.0));
        assert_eq!(view.rows[5], row(LiveCount::WriteRequests(503), 1, 0.1));
    }
}
