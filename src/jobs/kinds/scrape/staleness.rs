//! The series of the previous scrape, saved in the state: series that have disappeared get stale markers.
//!
//! A manifest identifies the set of series. Their labels are saved in parts beside it, compressed, so a target that
//! exposes the same series again costs one small read. There are two slots for parts: the next set is written to the
//! free slot before the manifest refers to it. A process that is killed in between leaves the previous set intact,
//! and the next scrape writes the same stale markers again.

use std::io::Write;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use hashbrown::HashMap;
use prom_wire::request::Label;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

use super::request::RequestBuilder;
use crate::compute::{ComputePool, SLICE};
use crate::jobs::gzip;
use crate::jobs::job::JobContext;
use crate::state::StateError;

/// The key of the manifest.
const MANIFEST_KEY: &str = "series";
/// Compressed bytes of a part. In base64, with its keys, it is smaller than the 400 KB of an item in DynamoDB.
const PART_BYTES: usize = 256 << 10;
const MAX_PARTS: usize = 16;
/// Bytes that the encoder may add when it is finished.
const ENCODER_BYTES: usize = 128 << 10;
/// Maximum bytes of the labels of all series.
const MAX_LABEL_BYTES: usize = 64 << 20;
/// Follows each name and each value; UTF-8 contains neither this byte nor the next one.
const END_OF_STRING: u8 = 0xff;
const END_OF_SERIES: u8 = 0xfe;
/// Maximum number of series that are remembered.
const MAX_SERIES: usize = 400_000;
/// Maximum bytes of the labels of one series; Timestream accepts no series with more.
const MAX_SERIES_BYTES: usize = 288 << 10;
/// Clock difference that is tolerated between processes. A later time comes from a wrong clock.
const MAX_AHEAD_MS: i64 = 15 * 60 * 1_000;
/// This many series are processed in less than a slice of time.
const SERIES_AT_ONCE: usize = 1_000;
/// Series between checks of the clock.
const BATCH: usize = 64;

/// Identifies a series.
type Key = [u8; 16];

/// The series of the previous scrape.
pub(super) struct PreviousSeries {
    manifest: Option<Manifest>,
}

#[derive(Deserialize, Serialize)]
struct Manifest {
    /// Scheduled time of the scrape, in milliseconds since the Unix epoch.
    tick_ms: i64,
    /// The table of the series.
    destination: String,
    /// Digest of the set of series.
    digest: String,
    /// The slot of the parts, 0 or 1.
    slot: u8,
    parts: usize,
    /// Number of series that are not in the parts.
    #[serde(rename = "left_out")]
    untracked: u64,
}

/// The series of this scrape.
pub(super) struct CurrentSeries {
    /// Positions in the request of the series to remember.
    tracked: Vec<usize>,
    /// Number of series that exceed [`MAX_SERIES`].
    untracked: u64,
    digest: String,
}

impl PreviousSeries {
    /// Loads the manifest.
    pub(super) async fn load(run: &JobContext<'_>) -> Result<Self, StateError> {
        let text = run.cursors.get(MANIFEST_KEY).await?;
        // An unreadable manifest is replaced after the scrape.
        let manifest = text.and_then(|text| serde_json::from_str::<Manifest>(&text).ok());
        let destination = run.destination.to_string();
        Ok(Self {
            manifest: manifest.filter(|manifest| {
                manifest.destination == destination && manifest.parts <= MAX_PARTS
            }),
        })
    }

    /// Returns true if a scrape at `tick_ms` is too late to decide which series have disappeared. A manifest from a
    /// clock that was ahead is ignored, because it would make every scrape late until then.
    pub(super) fn is_after(&self, tick_ms: i64, now_ms: i64) -> bool {
        let latest = now_ms.saturating_add(MAX_AHEAD_MS);
        let manifest = self.manifest.as_ref();
        manifest.is_some_and(|manifest| (tick_ms..=latest).contains(&manifest.tick_ms))
    }

    /// Returns true if the set of series has changed.
    pub(super) fn differs_from(&self, current: &CurrentSeries) -> bool {
        match &self.manifest {
            Some(manifest) => manifest.digest != current.digest,
            None => !current.tracked.is_empty(),
        }
    }

    /// Returns the number of series that are not remembered.
    pub(super) fn untracked(&self) -> u64 {
        self.manifest
            .as_ref()
            .map_or(0, |manifest| manifest.untracked)
    }

    /// Returns the labels of the series, for [`disappeared`]; `None` if the saved parts are damaged.
    pub(super) async fn labels(&self, run: &JobContext<'_>) -> Result<Option<Vec<u8>>, StateError> {
        let Some(manifest) = self.manifest.as_ref().filter(|manifest| manifest.parts > 0) else {
            return Ok(Some(Vec::new()));
        };
        let mut decoder = gzip::Decoder::new(MAX_LABEL_BYTES);
        for part in 0..manifest.parts {
            let key = part_key(manifest.slot, part);
            let text = run.cursors.get(&key).await?;
            let Some(bytes) = text.and_then(|text| STANDARD.decode(text).ok()) else {
                return Ok(None);
            };
            let mut began = Instant::now();
            for step in bytes.chunks(gzip::STEP) {
                if decoder.push(step).is_err() {
                    return Ok(None);
                }
                if began.elapsed() >= SLICE / 2 {
                    yield_now().await;
                    began = Instant::now();
                }
            }
        }
        Ok(decoder.finish().ok())
    }

    /// Saves the series of this scrape for the next one.
    pub(super) async fn replace(
        &mut self,
        run: &JobContext<'_>,
        builder: &RequestBuilder<'_>,
        current: &CurrentSeries,
    ) -> Result<(), StateError> {
        let (bytes, untracked) = encode(run.ingester.compute(), builder, current).await;
        let slot = match &self.manifest {
            Some(manifest) => 1 - manifest.slot.min(1),
            None => 0,
        };
        let parts = bytes.chunks(PART_BYTES);
        let manifest = Manifest {
            tick_ms: run.scheduled_for.as_millisecond(),
            destination: run.destination.to_string(),
            digest: current.digest.clone(),
            slot,
            parts: parts.len(),
            untracked,
        };
        for (index, part) in parts.enumerate() {
            let text = STANDARD.encode(part);
            run.cursors.set(&part_key(slot, index), &text).await?;
        }
        let text = serde_json::to_string(&manifest).expect("a manifest is always valid JSON");
        run.cursors.set(MANIFEST_KEY, &text).await?;
        self.manifest = Some(manifest);
        Ok(())
    }
}

impl CurrentSeries {
    /// Returns the set of series of a request.
    pub(super) async fn of(compute: &ComputePool, builder: &RequestBuilder<'_>) -> Self {
        let tracked = &builder.tracked[..builder.tracked.len().min(MAX_SERIES)];
        let mut keys = Vec::with_capacity(tracked.len());
        let mut labels = Vec::new();
        let step = || {
            for &index in tracked[keys.len()..].iter().take(BATCH) {
                write_labels(builder, index, &mut labels);
                keys.push(key(&labels));
            }
            (keys.len() == tracked.len()).then_some(())
        };
        compute.run_in_slices(is_long(tracked.len()), step).await;
        // The order in which a target exposes its series has no meaning.
        let hash_all = || {
            keys.sort_unstable();
            digest(&SHA256, keys.as_flattened())
        };
        let digest = compute.run_if(is_long(tracked.len()), hash_all).await;
        Self {
            tracked: tracked.to_vec(),
            untracked: (builder.tracked.len() - tracked.len()) as u64,
            digest: STANDARD.encode(digest),
        }
    }
}

/// Returns the series of `labels` that are not in the request, in their order.
pub(super) async fn disappeared<'l>(
    compute: &ComputePool,
    labels: &'l [u8],
    builder: &RequestBuilder<'_>,
) -> Vec<&'l [u8]> {
    let mut all = labels.split_inclusive(|&byte| byte == END_OF_SERIES);
    let mut disappeared = HashMap::new();
    let step = || {
        for _ in 0..BATCH {
            let Some(series) = all.next() else {
                return Some(());
            };
            disappeared.insert(key(series), (disappeared.len(), series));
        }
        None
    };
    let is_long = is_long(labels.len() / 64 + builder.request.len());
    compute.run_in_slices(is_long, step).await;
    let (mut buffer, mut next) = (Vec::new(), 0);
    let step = || {
        let end = builder.request.len().min(next + BATCH);
        for index in next..end {
            write_labels(builder, index, &mut buffer);
            disappeared.remove(&key(&buffer));
        }
        next = end;
        (next == builder.request.len()).then_some(())
    };
    compute.run_in_slices(is_long, step).await;
    let in_order = || {
        let mut disappeared: Vec<_> = disappeared.into_values().collect();
        disappeared.sort_unstable_by_key(|(position, _)| *position);
        disappeared.into_iter().map(|(_, series)| series).collect()
    };
    compute.run_if(is_long, in_order).await
}

/// Adds a stale marker for each of these series.
pub(super) async fn add_stale_markers<'l>(
    compute: &ComputePool,
    disappeared: &[&'l [u8]],
    builder: &mut RequestBuilder<'l>,
) {
    let mut batches = disappeared.chunks(BATCH);
    let step = || {
        let Some(batch) = batches.next() else {
            return Some(());
        };
        for labels in batch.iter().filter_map(|series| read_labels(series)) {
            builder.add_stale_marker(&labels);
        }
        None
    };
    compute
        .run_in_slices(is_long(disappeared.len()), step)
        .await;
}

fn is_long(series: usize) -> bool {
    series > SERIES_AT_ONCE
}

/// Reads the labels that [`write_labels`] wrote.
fn read_labels(series: &[u8]) -> Option<Vec<Label<'_>>> {
    let texts = series.strip_suffix(&[END_OF_STRING, END_OF_SERIES])?;
    let texts = texts.split(|&byte| byte == END_OF_STRING);
    let texts = texts.map(|text| str::from_utf8(text).ok());
    let texts = texts.collect::<Option<Vec<_>>>()?;
    let (pairs, rest) = texts.as_chunks();
    let pairs = pairs.iter().map(|[name, value]| (*name, *value));
    rest.is_empty().then(|| pairs.collect())
}

/// Compresses the labels of the series up to the size limits, and returns the number of series that are untracked.
/// A series that is too long does not use up the space of the others.
async fn encode(
    compute: &ComputePool,
    builder: &RequestBuilder<'_>,
    current: &CurrentSeries,
) -> (Vec<u8>, u64) {
    let count = current.tracked.len();
    if count == 0 {
        return (Vec::new(), current.untracked);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let (mut labels, mut label_bytes, mut next, mut written) = (Vec::new(), 0, 0, 0);
    let step = || {
        for &index in current.tracked[next..].iter().take(BATCH) {
            write_labels(builder, index, &mut labels);
            next += 1;
            if labels.len() > MAX_SERIES_BYTES {
                continue;
            }
            label_bytes += labels.len();
            let most = encoder.get_ref().len() + labels.len() + ENCODER_BYTES;
            if most > PART_BYTES * MAX_PARTS || label_bytes > MAX_LABEL_BYTES {
                return Some(written);
            }
            encoder
                .write_all(&labels)
                .expect("writing to a Vec cannot fail");
            written += 1;
        }
        (next == count).then_some(written)
    };
    let written = compute.run_in_slices(is_long(count), step).await;
    let bytes = encoder.finish().expect("writing to a Vec cannot fail");
    (bytes, current.untracked + (count - written) as u64)
}

/// Writes the labels of the series at `index` of the request.
fn write_labels(builder: &RequestBuilder<'_>, index: usize, buffer: &mut Vec<u8>) {
    buffer.clear();
    for (name, value) in builder.request.series(index).labels.iter() {
        for part in [name, value] {
            buffer.extend_from_slice(part.as_bytes());
            buffer.push(END_OF_STRING);
        }
    }
    buffer.push(END_OF_SERIES);
}

fn key(series: &[u8]) -> Key {
    let digest = digest(&SHA256, series);
    let (key, _) = digest
        .as_ref()
        .split_first_chunk()
        .expect("a SHA-256 digest has 32 bytes");
    *key
}

fn part_key(slot: u8, part: usize) -> String {
    format!("series-{slot}-{part}")
}

#[cfg(test)]
mod tests {
    use exposition::{Format, parse};
    use serde_json::json;

    use super::super::Scrape;
    use super::super::labels::TargetLabels;
    use super::*;

    /// Encodes the series of `before` and returns those that get a stale marker after `now`, the number of encoded
    /// bytes, and the number of untracked series.
    async fn round_trip(before: &str, now: &str) -> (Vec<String>, usize, u64) {
        let compute = ComputePool::default();
        let scrape = Scrape::parse(&json!({"endpoint": "http://t:1"})).unwrap();
        let target = scrape.target_labels("n");
        let bodies = [before, now].map(|body| parse(body.as_bytes(), Format::Text).unwrap());
        let [before, now] = [0, 1].map(|index| TargetLabels::new(&target, &bodies[index]));
        let mut builder_before = RequestBuilder::new(&scrape, &before, 0);
        builder_before.add(&bodies[0]);
        let current = CurrentSeries::of(&compute, &builder_before).await;
        let (bytes, untracked) = encode(&compute, &builder_before, &current).await;
        let mut decoder = gzip::Decoder::new(MAX_LABEL_BYTES);
        decoder.push(&bytes).unwrap();
        let labels = decoder.finish().unwrap();
        let mut builder = RequestBuilder::new(&scrape, &now, 0);
        builder.add(&bodies[1]);
        let count = builder.request.len();
        let disappeared = disappeared(&compute, &labels, &builder).await;
        add_stale_markers(&compute, &disappeared, &mut builder).await;
        let ended = builder.request.iter().skip(count);
        let ended = ended.map(|series| series.labels.to_string()).collect();
        (ended, bytes.len(), untracked)
    }

    #[tokio::test]
    async fn labels_are_restored_unchanged() {
        let before = "a 1\nb{x=\"ü\\n\\\"\",job=\"\u{10ffff}\"} 1\nb{x=\"2\"} 1\n{\"é é\",\"= =\"=\"\u{1}\"} 1\n";
        let (ended, _, untracked) = round_trip(before, "b{x=\"2\"} 1\nc 1\n").await;
        let expected = [
            r#"{__name__="a", instance="t:1", job="n"}"#,
            r#"{__name__="b", exported_job="\u{10ffff}", instance="t:1", job="n", x="ü\n\""}"#,
            r#"{= =="\u{1}", __name__="é é", instance="t:1", job="n"}"#,
        ];
        assert_eq!(ended, expected);
        assert_eq!(untracked, 0);
    }

    #[tokio::test]
    async fn the_digest_depends_on_every_label_but_not_on_the_order() {
        let compute = ComputePool::default();
        let scrape = Scrape::parse(&json!({"endpoint": "http://t:1"})).unwrap();
        let target = scrape.target_labels("n");
        let mut digests = Vec::new();
        for body in [
            "a 1\nb 1\n",
            "b 2\na 2\n",
            "a 1\n",
            "a{b=\"1\"} 1\nb 1\n",
            "",
        ] {
            let exposition = parse(body.as_bytes(), Format::Text).unwrap();
            let target_labels = TargetLabels::new(&target, &exposition);
            let mut builder = RequestBuilder::new(&scrape, &target_labels, 0);
            builder.add(&exposition);
            digests.push(CurrentSeries::of(&compute, &builder).await.digest);
        }
        assert_eq!(digests[0], digests[1]);
        digests.remove(0);
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 4);
    }

    /// Returns a body with labels that hardly compress, always the same ones.
    fn body(series: u64, words: u64) -> String {
        let word = |number: u64| format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let labels = |index: u64| -> String {
            let words = (0..words).map(|it| word(index * words + it));
            words.collect()
        };
        (0..series)
            .map(|index| format!("a{{x=\"{}\"}} 1\n", labels(index)))
            .collect()
    }

    #[tokio::test]
    async fn the_number_of_series_is_limited_by_their_size() {
        let (ended, bytes, untracked) = round_trip(&body(1_000, 1), "").await;
        assert_eq!((ended.len(), untracked), (1_000, 0));
        assert!(bytes < 20_000, "{bytes}");
        let (ended, bytes, untracked) = round_trip(&body(30_000, 20), "").await;
        assert_eq!(ended.len() as u64 + untracked, 30_000);
        assert!(
            untracked > 0 && bytes <= PART_BYTES * MAX_PARTS,
            "{untracked} {bytes}"
        );
    }

    #[tokio::test]
    async fn a_series_that_is_too_long_does_not_use_up_the_space_of_others() {
        let long = body(1, 6 << 20 >> 4);
        let text = format!("b 1\n{long}c 1\n");
        let (ended, bytes, untracked) = round_trip(&text, "").await;
        assert_eq!((ended.len(), untracked), (2, 1));
        assert!(bytes < 1_000, "{bytes}");
        // Series that Timestream may accept fill the space and no more.
        let (ended, bytes, untracked) = round_trip(&body(40, 280 << 10 >> 4), "").await;
        assert_eq!(ended.len() as u64 + untracked, 40);
        assert!(
            untracked > 0 && bytes <= PART_BYTES * MAX_PARTS,
            "{untracked} {bytes}"
        );
    }

    #[test]
    fn a_clock_that_was_ahead_makes_no_scrape_late() {
        let before = |tick_ms| PreviousSeries {
            manifest: Some(Manifest {
                tick_ms,
                destination: String::new(),
                digest: String::new(),
                slot: 0,
                parts: 0,
                untracked: 0,
            }),
        };
        let now = 1_600_000_000_000;
        for (manifest, tick, is_after) in [
            (now - 2, now - 1, false),
            (now - 1, now - 1, true),
            (now + 1_000, now, true),
            (now + MAX_AHEAD_MS, now, true),
            (now + MAX_AHEAD_MS + 1, now, false),
            (i64::MAX, now, false),
        ] {
            assert_eq!(
                before(manifest).is_after(tick, now),
                is_after,
                "{manifest} {tick}"
            );
        }
    }
}
