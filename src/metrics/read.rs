//! The metrics of requests that read: of remote read and of the query API.

use std::time::Duration;

use prometheus_client::registry::Registry;

use super::instruments::Instruments;
use super::measurement::{Measurement, Value};
use crate::query::{CacheCounts, ReadOutcome};

/// The metrics of one kind of requests, by name.
pub(super) struct ReadMetrics {
    /// The requests, in help texts.
    requests_text: &'static str,
    requests: &'static str,
    duration: &'static str,
    series: &'static str,
    samples: &'static str,
    statements: &'static str,
    pages: &'static str,
    retries: &'static str,
    shared_queries: &'static str,
    scanned_bytes: &'static str,
    metered_bytes: &'static str,
}

/// Those of remote read.
pub(super) const READ: ReadMetrics = ReadMetrics {
    requests_text: "remote read",
    requests: "read_requests",
    duration: "read_duration_seconds",
    series: "read_series",
    samples: "read_samples",
    statements: "read_statements",
    pages: "read_pages",
    retries: "read_retries",
    shared_queries: "read_shared_queries",
    scanned_bytes: "read_scanned_bytes",
    metered_bytes: "read_metered_bytes",
};

/// Those of the query API.
pub(super) const QUERY: ReadMetrics = ReadMetrics {
    requests_text: "the query API",
    requests: "query_requests",
    duration: "query_duration_seconds",
    series: "query_series",
    samples: "query_samples",
    statements: "query_statements",
    pages: "query_pages",
    retries: "query_retries",
    shared_queries: "query_shared_queries",
    scanned_bytes: "query_scanned_bytes",
    metered_bytes: "query_metered_bytes",
};

impl ReadMetrics {
    /// Registers the metrics.
    pub(super) fn register(&self, all: &mut Instruments, registry: &mut Registry) {
        let (r, of) = (registry, self.requests_text);
        all.by_code(
            r,
            self.requests,
            &format!("Requests of {of}, by response status; 499 if the client disconnected before the response was complete"),
            200,
        );
        all.seconds(r, self.duration, &format!("Duration of requests of {of}"));
        all.counter(r, self.series, &format!("Series found for {of}"));
        all.counter(r, self.samples, &format!("Samples found for {of}"));
        all.counter(
            r,
            self.statements,
            &format!("SQL statements sent to Timestream for {of}"),
        );
        all.counter(
            r,
            self.pages,
            &format!("Result pages received from Timestream for {of}"),
        );
        all.counter(r, self.retries, &format!("Retries of Query calls for {of}"));
        all.counter(
            r,
            self.shared_queries,
            &format!("Queries of {of} that shared the result of an identical query in flight"),
        );
        all.counter(
            r,
            self.scanned_bytes,
            &format!("Bytes scanned for {of}, as reported by Timestream"),
        );
        all.counter(
            r,
            self.metered_bytes,
            &format!("Bytes that AWS charges for {of}, as reported by Timestream"),
        );
    }

    /// Returns the measurements of a request; without an outcome those of its response alone.
    pub(super) fn measurements(
        &self,
        outcome: Option<&ReadOutcome>,
        status: u16,
        duration: Duration,
    ) -> Vec<Measurement> {
        let mut all = Vec::with_capacity(10);
        all.extend([
            Measurement::new(self.requests, Value::Status(status)),
            Measurement::new(self.duration, Value::Seconds(duration.as_secs_f64())),
        ]);
        let Some(outcome) = outcome else { return all };
        let counts = outcome.counts;
        all.extend([
            Measurement::count(self.series, outcome.series),
            Measurement::count(self.samples, outcome.samples),
            Measurement::count(self.statements, counts.statements),
            Measurement::count(self.pages, counts.pages),
            Measurement::count(self.retries, counts.retries),
            Measurement::count(self.shared_queries, outcome.shared_queries),
            Measurement::new(self.scanned_bytes, Value::Bytes(counts.bytes_scanned)),
            Measurement::new(self.metered_bytes, Value::Bytes(counts.bytes_metered)),
        ]);
        all
    }
}

const CACHE_HITS: &str = "query_cache_hits";
const CACHE_MISSES: &str = "query_cache_misses";
const CACHED_SAMPLES: &str = "query_cached_samples";
const CACHE_EVICTIONS: &str = "query_cache_evictions";
const CACHE_BLOCKS: &str = "query_cache_blocks";
const CACHE_BYTES: &str = "query_cache_bytes";

/// The reasons of evictions.
const EVICTION_REASONS: [&str; 2] = ["size", "expired"];

/// Registers the metrics of the cache of the query API.
pub(super) fn register_cache(all: &mut Instruments, registry: &mut Registry) {
    let r = registry;
    for (name, help) in [
        (
            CACHE_HITS,
            "Blocks of the query cache of which a query took samples; a block is an hour or 60 steps of a selector, whichever is longer",
        ),
        (
            CACHE_MISSES,
            "Blocks with samples older than query_cache_settle that a query had to fetch completely",
        ),
        (
            CACHED_SAMPLES,
            "Samples that the query cache saved from being fetched",
        ),
    ] {
        all.counter(r, name, help);
    }
    all.by_reason(
        r,
        CACHE_EVICTIONS,
        "Blocks evicted from the query cache, by reason: size (least recently used, others needed the memory) or expired (query_cache_ttl)",
        EVICTION_REASONS,
    );
    all.gauge(
        r,
        CACHE_BLOCKS,
        "Blocks in the query cache, after the last query",
    );
    all.gauge(
        r,
        CACHE_BYTES,
        "Memory of the query cache, at most query_cache_bytes, after the last query",
    );
}

/// Returns the measurements of the use of the cache by a request.
pub(super) fn cache_measurements(cache: &CacheCounts) -> [Measurement; 6] {
    let evictions = [cache.evictions.size, cache.evictions.expired];
    [
        Measurement::count(CACHE_HITS, cache.hits),
        Measurement::count(CACHE_MISSES, cache.misses),
        Measurement::count(CACHED_SAMPLES, cache.samples),
        Measurement::count_by(CACHE_EVICTIONS, EVICTION_REASONS.into_iter().zip(evictions)),
        Measurement::new(CACHE_BLOCKS, Value::Current(cache.blocks)),
        Measurement::new(CACHE_BYTES, Value::CurrentBytes(cache.bytes)),
    ]
}
