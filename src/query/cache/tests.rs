//! The cache against brute force: whatever was written, requested and evicted, a query finds what it would have found
//! in the storage, up to the stated bounds for samples that arrive late.

use std::collections::{BTreeMap, BTreeSet};

use prom_model::{Count, Histogram, Label, Labels, Sample};
use prom_wire::chunk::{to_chunks, to_chunks_between};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::query::gathered::{Gathered, Piece, PieceSeries};
use crate::storage::read::windows::Windows;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const SETTLE_MS: i64 = 15 * MINUTE_MS;
const START_MS: i64 = 1_600_000_000_000;

/// The kind and the bits of a value; the sum stands for a histogram.
type Value = (bool, u64);

/// A storage of series by number: values by time, and the time at which each arrived.
#[derive(Default)]
struct Storage(BTreeMap<u8, BTreeMap<i64, (Value, i64)>>);

/// Samples of series, for comparisons.
type Found = BTreeMap<Labels, BTreeMap<i64, Value>>;

fn labels(series: u8) -> Labels {
    let label = |name: &str, value: String| Label {
        name: name.to_owned(),
        value,
    };
    Labels::new(vec![
        label("__name__", "m".to_owned()),
        label("instance", format!("host-{series}.example.org:9100")),
    ])
}

fn histogram(timestamp_ms: i64, sum: f64) -> Histogram {
    Histogram {
        timestamp_ms,
        sum,
        count: Some(Count::Int(0)),
        zero_count: Some(Count::Int(0)),
        ..Histogram::default()
    }
}

impl Storage {
    fn write(&mut self, series: u8, time_ms: i64, value: Value, now_ms: i64) {
        let series = self.0.entry(series).or_default();
        series.entry(time_ms).or_insert((value, now_ms));
    }

    /// Returns the samples in a span that `wanted` wants: no more than it must.
    fn find(&self, span: Span, wanted: Wanted, is_there: impl Fn(i64, i64) -> bool) -> Found {
        let mut found = Found::new();
        for (series, samples) in &self.0 {
            let samples = samples.range(span.first_ms..=span.last_ms);
            let samples =
                samples.filter(|(time_ms, (_, arrived_ms))| is_there(**time_ms, *arrived_ms));
            let samples = samples.map(|(time_ms, (value, _))| (*time_ms, *value));
            let samples = filter(samples.collect(), wanted);
            if !samples.is_empty() {
                found.insert(labels(*series), samples);
            }
        }
        found
    }
}

/// Returns the samples that are wanted.
fn filter(samples: BTreeMap<i64, Value>, wanted: Wanted) -> BTreeMap<i64, Value> {
    let Wanted::Windows(windows) = wanted else {
        return samples;
    };
    let in_windows = samples
        .into_iter()
        .filter(|(time_ms, _)| windows.contains(*time_ms));
    if !windows.newest() {
        return in_windows.collect();
    }
    // The last one of each end.
    let by_end: BTreeMap<_, _> = in_windows
        .map(|sample| (windows.end_from(sample.0), sample))
        .collect();
    by_end.into_values().collect()
}

fn to_series(found: Found) -> Vec<Series> {
    let series = found.into_iter().map(|(labels, samples)| {
        let (histograms, floats): (Vec<_>, Vec<_>) = samples
            .into_iter()
            .partition(|(_, (is_histogram, _))| *is_histogram);
        let histograms: Vec<_> = histograms
            .into_iter()
            .map(|(time_ms, (_, bits))| histogram(time_ms, f64::from_bits(bits)))
            .collect();
        let floats = floats.into_iter().map(|(timestamp_ms, (_, bits))| Sample {
            timestamp_ms,
            value: f64::from_bits(bits),
        });
        Series {
            labels,
            chunks: to_chunks_between(floats, &histograms),
            histograms,
        }
    });
    series.collect()
}

/// Reads through the cache as a query does. Returns the samples, and the fetched stretches.
fn read(
    cache: &SampleCache,
    storage: &Storage,
    wanted: Wanted,
    span: Span,
    now_ms: i64,
) -> (Found, Vec<Span>) {
    let key = Arc::new(CacheKey {
        matchers: vec![(0, "__name__".to_owned(), "m".to_owned())],
        wanted,
    });
    let is_stored = cache.take(&key, span, now_ms);
    let (cached, missing) = match is_stored {
        Some(taken) => (taken.pieces, taken.missing),
        None => (vec![], vec![span]),
    };
    assert!(missing.len() <= MAX_STRETCHES);
    let mut pieces: Vec<Piece> = cached
        .into_iter()
        .map(|piece| Piece {
            span: piece.span,
            series: PieceSeries::Cached(piece.series),
        })
        .collect();
    for span in &missing {
        let series = to_series(storage.find(*span, wanted, |_, _| true));
        cache.store(&key, *span, &series, now_ms);
        pieces.push(Piece {
            span: *span,
            series: PieceSeries::Fetched(series.into()),
        });
    }
    pieces.sort_by_key(|piece| piece.span.first_ms);
    // The pieces are the range, without gap or overlap.
    let mut next_ms = span.first_ms;
    for piece in &pieces {
        assert_eq!(piece.span.first_ms, next_ms);
        assert!(!piece.span.is_empty());
        next_ms = piece.span.last_ms + 1;
    }
    assert_eq!(next_ms, span.last_ms + 1);
    cache.blocks.lock().check();
    let gathered = Gathered::of(pieces);
    let decoded = gathered.decode().unwrap();
    let samples: usize = decoded
        .iter()
        .map(|it| it.floats.len() + it.histograms.len())
        .sum();
    assert_eq!(gathered.samples(), samples as u64);
    assert_eq!(gathered.len(), decoded.len());
    assert!(decoded.is_sorted_by(|a, b| a.labels < b.labels));
    let found = decoded.into_iter().map(|series| {
        let floats = series.floats.iter();
        assert!(floats.clone().is_sorted_by_key(|it| it.timestamp_ms));
        let floats = floats.map(|it| (it.timestamp_ms, (false, it.value.to_bits())));
        let histograms = series.histograms.iter();
        let histograms =
            histograms.map(|it| (it.timestamp_ms, (true, it.histogram.sum().to_bits())));
        ((*series.labels).clone(), floats.chain(histograms).collect())
    });
    (found.collect(), missing)
}

fn cache(max_bytes: usize, ttl_ms: i64) -> SampleCache {
    SampleCache::new(CacheSettings {
        max_bytes,
        settle: Duration::from_millis(SETTLE_MS as u64),
        ttl: Duration::from_millis(ttl_ms as u64),
    })
    .unwrap()
}

/// A step of a test.
#[derive(Clone, Debug)]
enum Step {
    /// Time goes on; samples of a series are written, of times so long ago.
    Write {
        after_ms: i64,
        series: u8,
        ago_ms: Vec<i64>,
        bits: u64,
        is_histogram: bool,
    },
    /// Samples of this place among the wishes, from so long ago, of so long a time.
    Read {
        wish: usize,
        ago_ms: i64,
        length_ms: i64,
        /// The end is that of a step, as it is of queries of Grafana.
        is_aligned: bool,
    },
}

fn steps(max_late_ms: i64) -> impl Strategy<Value = Vec<Step>> {
    let ago = prop_oneof![4 => 0..SETTLE_MS, 1 => 0..SETTLE_MS.max(max_late_ms)];
    let write = (
        prop_oneof![0..MINUTE_MS, 0..20 * MINUTE_MS],
        0_u8..4,
        prop::collection::vec(ago, 0..40),
        any::<u64>(),
        prop::bool::weighted(0.2),
    );
    let write = write.prop_map(
        |(after_ms, series, ago_ms, bits, is_histogram)| Step::Write {
            after_ms,
            series,
            ago_ms,
            bits,
            is_histogram,
        },
    );
    let read = (
        0_usize..8,
        prop_oneof![3 => Just(0_i64), 1 => 0..300 * MINUTE_MS],
        prop_oneof![3 => Just(360 * MINUTE_MS), 1 => 0..600 * MINUTE_MS],
        prop::bool::weighted(0.7),
    );
    let read = read.prop_map(|(wish, ago_ms, length_ms, is_aligned)| Step::Read {
        wish,
        ago_ms,
        length_ms,
        is_aligned,
    });
    prop::collection::vec(prop_oneof![write, read], 1..60)
}

fn wish() -> impl Strategy<Value = Wanted> {
    let step = prop_oneof![
        select(vec![
            1_000,
            15_000,
            MINUTE_MS,
            7 * MINUTE_MS,
            60 * MINUTE_MS,
            90 * MINUTE_MS
        ]),
        1_i64..200 * MINUTE_MS,
    ];
    let windows = (any::<u32>(), step, 1_i64..200 * MINUTE_MS, any::<bool>());
    let windows = windows.prop_map(|(first, step, length, newest)| {
        Wanted::Windows(Windows::new(first.into(), step, length, newest))
    });
    prop_oneof![1 => Just(Wanted::All), 4 => windows]
}

/// Carries out steps; each result must be within the bounds.
fn run(steps: Vec<Step>, wishes: &[Wanted], cache: &SampleCache) {
    let mut storage = Storage::default();
    let mut now_ms = START_MS;
    for step in steps {
        let (wish, ago_ms, length_ms, is_aligned) = match step {
            Step::Write {
                after_ms,
                series,
                ago_ms,
                bits,
                is_histogram,
            } => {
                now_ms += after_ms;
                for (ago_ms, bits) in ago_ms.into_iter().zip(bits..) {
                    // Values that no sum of a histogram turns into another one.
                    let bits = bits & 0x000f_ffff_ffff_ffff;
                    storage.write(series, now_ms - ago_ms, (is_histogram, bits), now_ms);
                }
                continue;
            }
            Step::Read {
                wish,
                ago_ms,
                length_ms,
                is_aligned,
            } => (wish, ago_ms, length_ms, is_aligned),
        };
        let wanted = wishes[wish % wishes.len()];
        let last_ms = match wanted {
            Wanted::Windows(windows) if is_aligned => windows.end_from(now_ms - ago_ms).unwrap(),
            _ => now_ms - ago_ms,
        };
        let span = Span::new(last_ms - length_ms, last_ms);
        let (found, _) = read(cache, &storage, wanted, span, now_ms);
        // What is found is there.
        let all = storage.find(span, Wanted::All, |_, _| true);
        for (labels, samples) in &found {
            for (time_ms, value) in samples {
                assert_eq!(all[labels].get(time_ms), Some(value));
            }
        }
        // What arrived in time, or `ttl` ago, is found.
        let is_certain = |time_ms: i64, arrived_ms: i64| {
            arrived_ms - time_ms < SETTLE_MS || now_ms - arrived_ms >= cache.ttl_ms
        };
        let expected = storage.find(span, wanted, is_certain);
        for (labels, samples) in expected {
            let none = BTreeMap::new();
            let found = filter(found.get(&labels).unwrap_or(&none).clone(), wanted);
            for (time_ms, value) in samples {
                let is_found = found.get(&time_ms) == Some(&value);
                // A late one of the same window may be newer.
                let has_newer = match wanted {
                    Wanted::Windows(windows) if windows.newest() => {
                        let end_ms = windows.end_from(time_ms);
                        let mut later = found.range(time_ms + 1..);
                        later.any(|(time_ms, _)| windows.end_from(*time_ms) == end_ms)
                    }
                    _ => false,
                };
                assert!(is_found || has_newer, "{time_ms} of {labels:?} in {span:?}");
            }
        }
        let mut counts = CacheCounts::default();
        cache.count(&mut counts);
        assert!(counts.bytes <= cache.max_bytes as u64);
        // Without late arrivals the result is that of the storage.
        let has_late = storage
            .0
            .values()
            .flatten()
            .any(|(time_ms, (_, arrived_ms))| arrived_ms - time_ms >= SETTLE_MS);
        if !has_late {
            let wanted_of = |found: Found| -> Found {
                let series = found
                    .into_iter()
                    .map(|(labels, it)| (labels, filter(it, wanted)));
                series.filter(|(_, samples)| !samples.is_empty()).collect()
            };
            assert_eq!(wanted_of(found), storage.find(span, wanted, |_, _| true));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_result_is_that_of_the_storage_if_nothing_arrives_late(
        steps in steps(0),
        wishes in prop::collection::vec(wish(), 1..4),
        max_bytes in select(vec![1_024, 8_192, 32_768, 1 << 20]),
        ttl_ms in 1_i64..400 * MINUTE_MS,
    ) {
        run(steps, &wishes, &cache(max_bytes, ttl_ms));
    }

    #[test]
    fn what_arrives_late_is_found_once_the_cached_state_is_too_old(
        steps in steps(600 * MINUTE_MS),
        wishes in prop::collection::vec(wish(), 1..4),
        max_bytes in select(vec![8_192, 1 << 20]),
        ttl_ms in 1_i64..200 * MINUTE_MS,
    ) {
        run(steps, &wishes, &cache(max_bytes, ttl_ms));
    }
}

/// Returns a storage of six hours with a sample of each series every 15 s.
fn six_hours(series: u8) -> Storage {
    let mut storage = Storage::default();
    for i in 0..6 * 240 {
        let time_ms = START_MS + i * 15_000;
        for series in 0..series {
            storage.write(series, time_ms, (false, i as u64), time_ms);
        }
    }
    storage
}

const SIX_HOURS_MS: i64 = 360 * MINUTE_MS;

#[test]
fn a_refresh_fetches_the_last_stretch() {
    let storage = six_hours(3);
    for wanted in [
        Wanted::All,
        Wanted::Windows(Windows::new(0, MINUTE_MS, MINUTE_MS, true)),
        Wanted::Windows(Windows::new(0, MINUTE_MS, 30_000, false)),
    ] {
        let cache = cache(1 << 20, 60 * MINUTE_MS);
        // The range slides by a minute, as START_MS does not lie on one.
        let end_ms = START_MS + SIX_HOURS_MS - START_MS % MINUTE_MS;
        for i in 0..30 {
            let end_ms = end_ms + i * MINUTE_MS;
            let span = Span::new(end_ms - SIX_HOURS_MS / 2, end_ms);
            let (_, missing) = read(&cache, &storage, wanted, span, end_ms + 500);
            let expected = match i {
                0 => span,
                // The one before has stored all that was old enough.
                _ => Span::new(missing[0].first_ms, end_ms),
            };
            assert_eq!(missing, [expected]);
            let length_ms = missing[0].last_ms - missing[0].first_ms;
            assert!(
                i == 0 || length_ms <= SETTLE_MS + 2 * MINUTE_MS,
                "{length_ms}"
            );
        }
    }
}

#[test]
fn many_gaps_are_fetched_as_one() {
    let (storage, cache) = (six_hours(1), cache(1 << 20, SIX_HOURS_MS));
    let now_ms = START_MS + 2 * SIX_HOURS_MS;
    let end = Grid::of(Wanted::All).unwrap().block_end(START_MS);
    let hour = 60 * MINUTE_MS;
    // A part of every hour.
    for i in 0..5 {
        let first_ms = end + i * hour + MINUTE_MS;
        let part = Span::new(first_ms, first_ms + 20 * MINUTE_MS);
        let (_, missing) = read(&cache, &storage, Wanted::All, part, now_ms);
        assert_eq!(missing, [part]);
    }
    let span = |hours: i64| Span::new(end + MINUTE_MS, end + hours * hour);
    let (_, missing) = read(&cache, &storage, Wanted::All, span(3), now_ms);
    assert_eq!(missing.len(), 3);
    // One block is complete up to its end then, and the first two gaps are filled.
    let all = Span::new(end + MINUTE_MS, end + 5 * hour);
    let (found, missing) = read(&cache, &storage, Wanted::All, all, now_ms);
    assert_eq!(missing.len(), 3);
    assert_eq!(found, storage.find(all, Wanted::All, |_, _| true));
    let cache = self::cache(1 << 20, SIX_HOURS_MS);
    for i in 0..5 {
        let first_ms = end + i * hour + 2 * MINUTE_MS;
        read(
            &cache,
            &storage,
            Wanted::All,
            Span::new(first_ms, first_ms + 1),
            now_ms,
        );
    }
    let (found, missing) = read(&cache, &storage, Wanted::All, all, now_ms);
    assert_eq!(missing, [all]);
    assert_eq!(found, storage.find(all, Wanted::All, |_, _| true));
}

#[test]
fn the_least_recently_used_block_goes_first() {
    let storage = six_hours(4);
    let now_ms = START_MS + 2 * SIX_HOURS_MS;
    let end = Grid::of(Wanted::All).unwrap().block_end(START_MS);
    let hour = |i: i64| Span::new(end + i * 60 * MINUTE_MS + 1, end + (i + 1) * 60 * MINUTE_MS);
    let bytes = |cache: &SampleCache| {
        let mut counts = CacheCounts::default();
        cache.count(&mut counts);
        (counts.bytes as usize, counts.blocks, counts.evictions)
    };
    let is_cached = |cache: &SampleCache, i| {
        read(cache, &storage, Wanted::All, hour(i), now_ms)
            .1
            .is_empty()
    };
    let one = cache(1 << 20, SIX_HOURS_MS);
    assert!(!is_cached(&one, 0));
    let (one_block, ..) = bytes(&one);
    assert!(!is_cached(&one, 1));
    let (two_blocks, ..) = bytes(&one);
    let three = cache(one_block + 2 * (two_blocks - one_block), SIX_HOURS_MS);
    for i in 0..3 {
        assert!(!is_cached(&three, i));
    }
    assert!(is_cached(&three, 0));
    assert!(!is_cached(&three, 3));
    let (_, blocks, evictions) = bytes(&three);
    assert_eq!(
        (blocks, evictions),
        (
            3,
            Evictions {
                size: 1,
                expired: 0
            }
        )
    );
    let is_there: Vec<bool> = [0, 2, 3].map(|i| is_cached(&three, i)).into();
    assert_eq!(is_there, [true, true, true]);
    assert!(!is_cached(&three, 1));
    // Of a result that is larger than the cache the newest blocks stay.
    let all = Span::new(hour(0).first_ms, hour(4).last_ms);
    let small = cache(two_blocks, SIX_HOURS_MS);
    read(&small, &storage, Wanted::All, all, now_ms);
    let (_, missing) = read(&small, &storage, Wanted::All, all, now_ms);
    assert_eq!(missing, [Span::new(all.first_ms, hour(2).last_ms)]);
}

#[test]
fn blocks_expire_and_a_clock_that_is_set_back_does_not_preserve_them() {
    let storage = six_hours(1);
    let cache = cache(1 << 20, 60 * MINUTE_MS);
    let span = Span::new(START_MS, START_MS + SIX_HOURS_MS);
    let now_ms = START_MS + 2 * SIX_HOURS_MS;
    let missing = |now_ms| read(&cache, &storage, Wanted::All, span, now_ms).1;
    assert_eq!(missing(now_ms), [span]);
    assert_eq!(missing(now_ms + 60 * MINUTE_MS - 1), []);
    assert_eq!(missing(now_ms + 60 * MINUTE_MS), [span]);
    assert_eq!(missing(now_ms), [span]);
    assert_eq!(missing(now_ms), []);
    let mut counts = CacheCounts::default();
    cache.count(&mut counts);
    assert_eq!(counts.evictions.expired, 14);
    assert_eq!(counts.blocks, 7);
}

#[test]
fn labels_are_held_once() {
    let storage = six_hours(4);
    let cache = cache(1 << 20, SIX_HOURS_MS);
    let span = Span::new(START_MS, START_MS + SIX_HOURS_MS);
    let now_ms = START_MS + 2 * SIX_HOURS_MS;
    read(&cache, &storage, Wanted::All, span, now_ms);
    let key = CacheKey {
        matchers: vec![(0, "__name__".to_owned(), "m".to_owned())],
        wanted: Wanted::All,
    };
    let taken = cache.take(&key, span, now_ms).unwrap();
    let series = taken.pieces.iter().flat_map(|piece| piece.series.iter());
    let addresses: BTreeSet<_> = series.map(|it| Arc::as_ptr(&it.labels)).collect();
    assert_eq!((taken.pieces.len(), addresses.len()), (7, 4));
}

#[test]
fn it_is_safe_to_use_from_several_threads() {
    let storage = &six_hours(2);
    let cache = &cache(16_384, 10 * MINUTE_MS);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for i in 0..200 {
                    let first_ms = START_MS + (i * 7 + thread) % 300 * MINUTE_MS;
                    let span = Span::new(first_ms, first_ms + 90 * MINUTE_MS);
                    let now_ms = START_MS + SIX_HOURS_MS + i * 1_000;
                    let (found, _) = read(cache, storage, Wanted::All, span, now_ms);
                    assert_eq!(found, storage.find(span, Wanted::All, |_, _| true));
                }
            });
        }
    });
}

#[test]
fn a_series_is_in_the_blocks_of_its_samples_alone() {
    const DAY_MS: i64 = 24 * HOUR_MS;
    let dense = (0..500).map(|it| it * 15_000);
    let sparse = [0, 1, 400 * DAY_MS, 400 * DAY_MS + 7 * HOUR_MS];
    let gap = (0..200).map(|it| if it < 100 { it } else { 90 * DAY_MS + it });
    for times in [dense.collect(), sparse.to_vec(), gap.collect::<Vec<_>>()] {
        let samples = times.iter().map(|&timestamp_ms| Sample {
            timestamp_ms,
            value: 1.0,
        });
        let series = Series {
            labels: labels(1),
            chunks: to_chunks(samples),
            histograms: vec![histogram(410 * DAY_MS, 1.0)],
        };
        let hour = |time_ms: i64| time_ms.div_euclid(HOUR_MS);
        let mut visited = Vec::new();
        visit_stretches(&series, hour, |it| visited.push(it));
        assert!(visited.len() <= series.len(), "{times:?}");
        for time in times.iter().chain(&[410 * DAY_MS]) {
            assert!(visited.contains(&hour(*time)), "{time}");
        }
    }
}
