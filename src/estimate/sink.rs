//! A sink that counts: series become requests as Prometheus sends them, and calls as the connector makes them,
//! none of which is made.
//!
//! Prometheus scrapes the targets of an interval one after the other, evenly spread, and each of its shards sends a
//! request once it has `max_samples_per_send` samples, or five seconds after the one before.

use std::sync::Arc;

use prom_model::{METRIC_NAME_LABEL, Sample};
use prom_wire::request::{Datapoint, Request};

use super::series::{Series, Target, Value};
use crate::storage::destination::Destination;
use crate::storage::limits::{MAX_RECORDS_PER_WRITE, TIME_BYTES};
use crate::storage::routing::Routing;
use crate::storage::write::batch::batches;
use crate::storage::write::body::{UNIT_BYTES, write_call};
use crate::storage::write::series::{WritePolicy, series_to_records};

/// Time after which Prometheus sends an incomplete request (`batch_send_deadline`).
const DEADLINE_MS: f64 = 5_000.0;
/// Samples of an interval that are sent, so that incomplete requests at the end matter little, and rounds of scrapes.
const LEAST_SAMPLES: usize = 40_000;
const MAX_ROUNDS: usize = 20;
/// The first scrape, in milliseconds.
const START_MS: i64 = 1_600_000_000_000;
/// Bytes of a number in a record of the Go connector, and of its time.
const GO_RECORD_BYTES: usize = 16;

/// The requests of the sender, and what is stored of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sending {
    /// Maximum samples of a request.
    pub max_samples: usize,
    /// Shards of the sender's queue.
    pub shards: usize,
    /// Store values that Timestream rejects.
    pub stores_special_values: bool,
}

/// A change of the series.
#[derive(Clone, Copy, Debug)]
pub struct Change<'c> {
    /// The factor of all intervals.
    pub interval: f64,
    /// A label that is dropped; empty for none.
    pub label: &'c str,
    /// Metrics that are dropped.
    pub metrics: &'c [Arc<str>],
}

impl Change<'_> {
    /// No change.
    pub const NONE: Self = Self {
        interval: 1.0,
        label: "",
        metrics: &[],
    };
}

/// Counts a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Samples that are sent.
    pub samples: f64,
    /// Those that are not stored, by policy or because of Timestream's limits.
    pub dropped: f64,
    /// Requests of the sender.
    pub requests: f64,
    /// WriteRecords calls.
    pub calls: f64,
    /// Bytes of their bodies.
    pub body_bytes: f64,
    /// Billed units of the calls.
    pub units: f64,
    /// Billed units of the calls that the Go connector would make.
    pub go_units: f64,
    /// Bytes of the stored samples.
    pub stored_bytes: f64,
}

/// A sample in the queue of a shard.
struct Queued<'t> {
    series: &'t Series,
    timestamp_ms: i64,
    /// Samples a second for which it stands.
    weight: f64,
}

/// The queue of a shard.
struct Shard<'t> {
    queued: Vec<Queued<'t>>,
    /// The time at which it sends what there is.
    due_ms: f64,
}

/// A counter of requests; `each` gets each stored sample with the units and the stored bytes of its share, a second.
struct Sink<'s> {
    rates: Rates,
    routing: Routing,
    policy: WritePolicy,
    label: &'s str,
    each: &'s mut dyn FnMut(&Series, f64, f64),
}

/// Returns the counts of all targets with a change; `each` gets each stored sample with its share of the units and its
/// stored bytes, both a second.
pub fn rates(
    targets: &[Target],
    sending: Sending,
    change: Change<'_>,
    each: &mut dyn FnMut(&Series, f64, f64),
) -> Rates {
    let destination = Destination {
        database: "d".to_owned(),
        table: "t".to_owned(),
    };
    let mut sink = Sink {
        rates: Rates::default(),
        routing: Routing::fixed(&destination),
        policy: WritePolicy {
            store_special_values: sending.stores_special_values,
            ..WritePolicy::default()
        },
        label: change.label,
        each,
    };
    let mut intervals: Vec<f64> = targets.iter().map(|it| it.interval_ms).collect();
    intervals.sort_by(f64::total_cmp);
    intervals.dedup();
    for interval_ms in intervals {
        let targets: Vec<_> = targets
            .iter()
            .filter(|it| it.interval_ms == interval_ms)
            .collect();
        sink.scrape(&targets, interval_ms * change.interval, sending, change);
    }
    sink.rates
}

impl Sink<'_> {
    /// Sends rounds of scrapes of targets that have an interval in common.
    fn scrape(
        &mut self,
        targets: &[&Target],
        interval_ms: f64,
        sending: Sending,
        change: Change<'_>,
    ) {
        let samples: usize = targets.iter().map(|it| it.series.len()).sum();
        let rounds = (LEAST_SAMPLES / samples.max(1)).clamp(1, MAX_ROUNDS);
        let all_targets: f64 = targets.iter().map(|it| it.weight).sum();
        let between_ms = interval_ms / all_targets;
        let mut shards: Vec<_> = (0..sending.shards).map(|_| Shard::default()).collect();
        // Prometheus numbers series in the order of scrapes, and a number belongs to a shard.
        let mut numbers = Vec::new();
        let mut number = 0;
        for target in targets {
            numbers.push(number);
            number += target.series.len();
        }
        for scrape in 0..rounds * targets.len() {
            let target = targets[scrape % targets.len()];
            let time_ms = scrape as f64 * between_ms;
            for shard in &mut shards {
                if time_ms >= shard.due_ms {
                    self.send(&mut shard.queued);
                    let late = ((time_ms - shard.due_ms) / DEADLINE_MS).floor() + 1.0;
                    shard.due_ms += late * DEADLINE_MS;
                }
            }
            let weight = target.weight * 1_000.0 / interval_ms / rounds as f64;
            let first = numbers[scrape % targets.len()];
            for (index, series) in target.series.iter().enumerate() {
                if change.metrics.iter().any(|it| **it == *series.metric()) {
                    continue;
                }
                let shard = &mut shards[(first + index) % sending.shards];
                let scraped_ms = START_MS.saturating_add(time_ms as i64);
                shard.queued.push(Queued {
                    series,
                    timestamp_ms: series.timestamp_ms.unwrap_or(scraped_ms),
                    weight,
                });
                if shard.queued.len() == sending.max_samples {
                    self.send(&mut shard.queued);
                    shard.due_ms = time_ms + DEADLINE_MS;
                }
            }
        }
        for shard in &mut shards {
            self.send(&mut shard.queued);
        }
    }

    /// Counts a request of the samples of a queue.
    fn send(&mut self, queue: &mut Vec<Queued<'_>>) {
        let queued = std::mem::take(queue);
        if queued.is_empty() {
            return;
        }
        let mut request = Request::with_capacity(queued.len());
        for it in &queued {
            for (name, value) in &it.series.labels {
                if **name != *self.label {
                    request.push_label(name, value);
                }
            }
            let timestamp_ms = it.timestamp_ms;
            request.push_datapoint(match &it.series.value {
                Value::Float(value) => Datapoint::Sample(Sample {
                    timestamp_ms,
                    value: *value,
                }),
                Value::Histogram(histogram) => {
                    let mut histogram = histogram.clone();
                    histogram.timestamp_ms = timestamp_ms;
                    Datapoint::Histogram(histogram)
                }
            });
            request.end_series();
        }
        let weight: f64 = queued.iter().map(|it| it.weight).sum();
        let mean = weight / queued.len() as f64;
        self.rates.samples += weight;
        self.rates.requests += mean;
        self.count_go(&queued);
        // No option rejects the whole request.
        let Ok(conversion) = series_to_records(&request, &self.routing, self.policy) else {
            return;
        };
        let dropped = conversion.dropped.iter();
        self.rates.dropped += dropped
            .map(|it| queued[it.items.series()].weight)
            .sum::<f64>();
        let stored = &conversion.stored;
        for batches in batches(stored, &conversion.destinations) {
            for batch in batches.iter() {
                let call = write_call(batch, None);
                let sizes = batch.records.iter().map(|it| {
                    let bytes = TIME_BYTES + stored.bytes(it.series) + it.record.value.bytes();
                    (&queued[it.record.item.series()], bytes as f64)
                });
                let all: f64 = sizes.clone().map(|it| it.1).sum();
                for (queued, bytes) in sizes {
                    let weight = queued.weight;
                    let units = call.write_units as f64 * bytes / all * weight;
                    self.rates.units += units;
                    self.rates.stored_bytes += bytes * weight;
                    self.rates.calls += weight / batch.records.len() as f64;
                    self.rates.body_bytes += call.body.len() as f64 * bytes / all * weight;
                    (self.each)(queued.series, units, bytes * weight);
                }
            }
        }
    }

    /// Counts the units of the Go connector: calls of 100 records in the order received, each with all of its
    /// attributes.
    fn count_go(&mut self, queued: &[Queued<'_>]) {
        let is_sent =
            |it: &&Queued<'_>| matches!(it.series.value, Value::Float(value) if value.is_finite());
        let records: Vec<_> = queued.iter().filter(is_sent).collect();
        for call in records.chunks(MAX_RECORDS_PER_WRITE) {
            let bytes = |it: &&Queued<'_>| {
                let labels = it.series.labels.iter();
                let labels = labels.filter(|(name, _)| **name != *self.label);
                let of_label = |(name, value): &(Arc<str>, Arc<str>)| match &**name {
                    METRIC_NAME_LABEL => value.len(),
                    name => name.len() + value.len(),
                };
                GO_RECORD_BYTES + labels.map(of_label).sum::<usize>()
            };
            let units = call.iter().map(bytes).sum::<usize>().div_ceil(UNIT_BYTES);
            let weight: f64 = call.iter().map(|it| it.weight).sum();
            self.rates.go_units += units as f64 * weight / call.len() as f64;
        }
    }
}

impl Default for Shard<'_> {
    fn default() -> Self {
        Self {
            queued: Vec::new(),
            due_ms: DEADLINE_MS,
        }
    }
}
