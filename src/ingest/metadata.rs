//! Metadata of metrics to its table: what is new or has changed, and all of it again before it can
//! expire.
//!
//! Senders repeat it every minute or with every sample, so nothing here decides the response to a
//! request: what fails comes again.

mod known;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use prom_wire::request::{Metadata, Request};
use tokio::time::Instant;

use super::deliver::{Delivery, Failed, FailureCause, WriteOptions};
use crate::ingest::Ingester;
use crate::storage::destination::Destination;
use crate::storage::routing::Routing;
use crate::storage::write::metadata::{is_storable, metadata_to_records};
use crate::storage::write::route::is_destination_name;
use crate::timestream::ErrorKind;
use crate::timestream::retry::Limits;
use known::Known;

/// Longest time that metadata may delay the response to a request.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// The outcome of the metadata of a request; entries that were written before are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataOutcome {
    /// Entries that were written.
    pub written: u64,
    /// Entries that were dropped.
    pub ignored: BTreeMap<IgnoredMetadata, u64>,
    /// Entries that could not be written to Timestream.
    pub failed: BTreeMap<ErrorKind, u64>,
    /// Billed units of the calls that stored some of it.
    pub write_units: u64,
    /// WriteRecords calls.
    pub calls: u64,
}

/// The reason why metadata was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IgnoredMetadata {
    /// Nothing names a database for it.
    NoDatabase,
    /// The metric has no name, or one that Timestream cannot hold.
    MetricName,
    /// The table holds samples.
    SamplesTable,
    /// There are more metrics than a process remembers.
    TooMany,
    /// A text is not UTF-8.
    NotUtf8,
}

impl IgnoredMetadata {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::NoDatabase,
        Self::MetricName,
        Self::SamplesTable,
        Self::TooMany,
        Self::NotUtf8,
    ];

    /// The value of the label `reason` of `timestream_connector_ignored_metadata_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoDatabase => "no_database",
            Self::MetricName => "metric_name",
            Self::SamplesTable => "samples_table",
            Self::TooMany => "too_many",
            Self::NotUtf8 => "not_utf8",
        }
    }
}

/// The table of metadata in each database, and what this process has written there.
#[derive(Debug)]
pub(super) struct MetadataTable {
    name: String,
    known: Mutex<Known>,
}

/// The entries that must be written to one database.
#[derive(Debug, Default)]
struct Due<'r> {
    entries: Vec<Metadata<'r>>,
    /// The hash of each entry.
    hashes: Vec<u64>,
}

impl MetadataTable {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            known: Mutex::default(),
        }
    }
}

impl Ingester {
    /// Writes what is new in the metadata of `request`.
    pub(super) async fn deliver_metadata(
        &self,
        request: &Request<'_>,
        routing: &Routing,
        deadline: Instant,
    ) -> MetadataOutcome {
        let mut outcome = MetadataOutcome::default();
        let Some(table) = &self.metadata else {
            return outcome;
        };
        if let Some(first) = request.unreadable_metadata.first() {
            let entries = request.unreadable_metadata.len();
            tracing::warn!(
                entries,
                error = format!("{first}; correct the sender"),
                "Metadata of metrics cannot be read. Samples are not affected."
            );
            outcome
                .ignored
                .insert(IgnoredMetadata::NotUtf8, entries as u64);
        }
        let now = Instant::now();
        let options = WriteOptions {
            limits: Limits {
                // What fails comes again by itself.
                max_retries: 0,
                deadline: deadline.min(now + MAX_DELAY),
            },
            // Each row has a time of its own.
            versions: None,
        };
        for (database, due) in due_metadata(table, request, routing, now, &mut outcome) {
            let destination = Destination {
                database: database.to_owned(),
                table: table.name.clone(),
            };
            let records = metadata_to_records(destination, &due.entries, now_ms());
            let mut sent = Delivery::default();
            self.send_records(&records, options, &mut sent).await;
            table.note(database, &due, &sent, now, &mut outcome);
            outcome.write_units += sent.write_units;
            outcome.calls += sent.calls;
        }
        outcome
    }
}

/// Returns the entries that must be written, by database; of each metric the first entry.
fn due_metadata<'r>(
    table: &MetadataTable,
    request: &Request<'r>,
    routing: &'r Routing,
    now: Instant,
    outcome: &mut MetadataOutcome,
) -> BTreeMap<&'r str, Due<'r>> {
    let mut due: BTreeMap<&str, Due<'_>> = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut known = table.known.lock();
    for entry in &request.metadata {
        let mut ignore = |reason| *outcome.ignored.entry(reason).or_default() += 1;
        let database = match entry.series {
            Some(series) => routing.database.of(&request.series(series)),
            None => routing.database.default.as_deref(),
        };
        let Some(database) = database.filter(|name| is_destination_name(name)) else {
            ignore(IgnoredMetadata::NoDatabase);
            continue;
        };
        if !is_storable(entry) {
            ignore(IgnoredMetadata::MetricName);
            continue;
        }
        if known.is_paused(database, now) || !seen.insert((database, entry.metric_name)) {
            continue;
        }
        let hash = hash_of(entry);
        let metric = (database.to_owned(), entry.metric_name.to_owned());
        match known.is_due(&metric, hash, now) {
            None => ignore(IgnoredMetadata::TooMany),
            Some(false) => {}
            Some(true) => {
                let due = due.entry(database).or_default();
                due.entries.push(*entry);
                due.hashes.push(hash);
            }
        }
    }
    if due.is_empty() {
        return due;
    }
    note_samples(table, request, routing, &mut known);
    due.retain(|database, due| {
        let clash = known.holds_samples(database);
        if clash {
            let ignored = outcome.ignored.entry(IgnoredMetadata::SamplesTable);
            *ignored.or_default() += due.entries.len() as u64;
        }
        !clash
    });
    due
}

/// Notes the databases where samples of `request` go to a table with the name of this one: a
/// label `unit` there would clash with the column of metadata.
fn note_samples(
    table: &MetadataTable,
    request: &Request<'_>,
    routing: &Routing,
    known: &mut Known,
) {
    for series in request.iter() {
        if routing.table.of(&series) != Some(table.name.as_str()) {
            continue;
        }
        if let Some(database) = routing.database.of(&series)
            && known.note_samples(database)
        {
            tracing::warn!(
                database,
                table = table.name,
                "Metadata of metrics is not stored: the table holds samples; name another one (--metadata-table), or none (off)."
            );
        }
    }
}

impl MetadataTable {
    /// Notes what became of the entries that were sent to a database.
    fn note(
        &self,
        database: &str,
        due: &Due<'_>,
        sent: &Delivery,
        now: Instant,
        outcome: &mut MetadataOutcome,
    ) {
        let mut known = self.known.lock();
        let mut missing = HashSet::new();
        let mut first: Option<&Failed> = None;
        for undelivered in &sent.undelivered {
            if let FailureCause::Failed(failed) = &undelivered.cause {
                *outcome.failed.entry(failed.kind).or_default() += 1;
                missing.insert(undelivered.items.position());
                first.get_or_insert(failed);
            }
        }
        for (index, (entry, hash)) in due.entries.iter().zip(&due.hashes).enumerate() {
            if !missing.contains(&index) {
                let metric = (database.to_owned(), entry.metric_name.to_owned());
                known.note_written(metric, *hash, now);
                outcome.written += 1;
            }
        }
        match first {
            None => known.note_working(database),
            Some(failed) if known.note_failed(database, now) => tracing::warn!(
                destination = failed.destination.to_string(),
                error = format!("{}: {}", failed.kind.as_str(), failed.message),
                "Metadata of metrics is not stored; create the table, name another one (--metadata-table), or none (off). Samples are not affected."
            ),
            Some(_) => {}
        }
    }
}

fn hash_of(entry: &Metadata<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (entry.metric_type, entry.help, entry.unit).hash(&mut hasher);
    hasher.finish()
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
