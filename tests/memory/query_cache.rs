//! The cache of the query API occupies what it says, and no more than it may.

use std::sync::Arc;
use std::time::Duration;

use prom_model::{Buckets, Count, Histogram, Label, Labels, Sample, Span as BucketSpan};
use prom_wire::chunk::to_chunks;
use prom_wire::prompb;
use prom_wire::response::Series;
use timestream_prometheus_connector::query::cache::{CacheKey, SampleCache, Span};
use timestream_prometheus_connector::query::{CacheCounts, CacheSettings};
use timestream_prometheus_connector::storage::read::windows::Wanted;

use super::{ALLOCATOR, ALONE};

const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 444_444 * HOUR_MS;
const NOW_MS: i64 = START_MS + 1_000 * HOUR_MS;

/// The kinds of results.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Samples every 15 s, hardly compressible.
    Dense,
    /// Long labels and a sample each 20 minutes.
    Labels,
    /// Native histograms of 20 buckets.
    Histograms,
    /// No series at all.
    Empty,
}

fn key(name: usize) -> Arc<CacheKey> {
    let query = prompb::Query {
        matchers: vec![prompb::LabelMatcher {
            name: "__name__".to_owned(),
            value: format!("metric_{name}"),
            ..prompb::LabelMatcher::default()
        }],
        ..prompb::Query::default()
    };
    Arc::new(CacheKey::new(&query, Wanted::All))
}

fn labels(i: usize, count: usize) -> Labels {
    let label = |l: usize| Label {
        name: format!("label_{l}"),
        value: format!("value-{}", i * 31 + l),
    };
    Labels::new((0..count).map(label).collect())
}

/// Returns a result of six hours.
fn result(kind: Kind) -> Vec<Series> {
    let floats = |i: usize, distance_ms: i64| {
        to_chunks((0..6 * HOUR_MS / distance_ms).map(|k| Sample {
            timestamp_ms: START_MS + 1 + k * distance_ms,
            value: f64::from(k as u32 * 7_919 % 1_013) / 7.0 + i as f64,
        }))
    };
    let histogram = |k: i64| Histogram {
        timestamp_ms: START_MS + 1 + k * 60_000,
        count: Some(Count::Int(20)),
        positive: Buckets {
            spans: vec![BucketSpan {
                offset: 0,
                length: 20,
            }],
            deltas: vec![0; 20],
            ..Buckets::default()
        },
        ..Histogram::default()
    };
    let series = |i: usize| match kind {
        Kind::Dense => (labels(i, 3), floats(i, 15_000), vec![]),
        Kind::Labels => (labels(i, 20), floats(i, HOUR_MS / 3), vec![]),
        _ => (labels(i, 5), vec![], (0..360).map(histogram).collect()),
    };
    let count = match kind {
        Kind::Dense => 200,
        Kind::Labels => 1_000,
        Kind::Histograms => 20,
        Kind::Empty => 0,
    };
    let mut all: Vec<_> = (0..count)
        .map(series)
        .map(|(labels, chunks, histograms)| Series {
            labels,
            chunks,
            histograms,
        })
        .collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

fn cache(max_bytes: usize) -> SampleCache {
    let settings = CacheSettings {
        max_bytes,
        settle: Duration::from_secs(900),
        ttl: Duration::from_secs(3_600),
    };
    SampleCache::new(settings).expect("it is on")
}

fn charged(cache: &SampleCache) -> usize {
    let mut counts = CacheCounts::default();
    cache.count(&mut counts);
    usize::try_from(counts.bytes).unwrap()
}

const SPAN: Span = Span {
    first_ms: START_MS + 1,
    last_ms: START_MS + 6 * HOUR_MS,
};

#[test]
fn the_query_cache_occupies_what_it_says_and_stays_within_its_bound() {
    let _alone = ALONE.lock();
    let keys: Vec<_> = (0..400).map(key).collect();
    for kind in [Kind::Dense, Kind::Labels, Kind::Histograms, Kind::Empty] {
        let series = result(kind);
        let before = ALLOCATOR.current_usage();
        let all = cache(1 << 30);
        let count = match kind {
            Kind::Empty => 400,
            _ => 4,
        };
        for key in &keys[..count] {
            all.store(key, SPAN, &series, NOW_MS);
        }
        let occupied = ALLOCATOR.current_usage() - before;
        let charge = charged(&all);
        println!("{kind:?}: {occupied} bytes occupied, {charge} charged");
        assert!(occupied <= charge, "{kind:?}: {occupied} > {charge}");
        assert!(
            charge <= occupied * 8 / 5,
            "{kind:?}: {occupied} < {charge}"
        );
        drop(all);

        // Under load it never has more than its bound, apart from the block that it is given.
        let max_bytes = charge / 3;
        let small = cache(max_bytes);
        let block = charge / 4 / 6;
        ALLOCATOR.reset_peak_usage();
        for round in 0..12_i64 {
            for key in &keys[..count] {
                small.store(key, SPAN, &series, NOW_MS + round);
                assert!(charged(&small) <= max_bytes);
            }
        }
        let peak = ALLOCATOR.peak_usage() - before;
        assert!(
            peak <= max_bytes + 2 * block,
            "{kind:?}: {peak} > {max_bytes}"
        );
        assert!(charged(&small) > max_bytes / 2, "{kind:?}");
        drop(small);
        assert!(ALLOCATOR.current_usage() <= before + 1_024, "{kind:?}");
    }
}
