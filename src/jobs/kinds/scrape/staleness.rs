//! The series of the tick before, in the state, so that those that are gone can be ended.
//!
//! A head says which set of series it was. The labels of its series stand in parts beside it, compressed; a
//! target that shows the same series again costs one small read. The parts of the next set are written
//! beside those of the last one before the head names them, so whoever is killed in between leaves the last
//! set as it was, and its missing series are ended again.

use std::io::Write;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use hashbrown::HashMap;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

use super::request::Rows;
use crate::compute::{ComputePool, SLICE};
use crate::jobs::gzip;
use crate::jobs::run::Run;
use crate::received::Label;
use crate::state::StateError;

/// The key of the head.
const HEAD: &str = "series";
/// Compressed bytes of a part. With base64 and its keys it is less than the 400 KB of an item in DynamoDB.
const PART_BYTES: usize = 256 << 10;
const MAX_PARTS: usize = 16;
/// Bytes that the encoder may still add to its output at its end.
const ENCODER_BYTES: usize = 128 << 10;
/// Bytes of the labels of all series.
const MAX_TEXT_BYTES: usize = 64 << 20;
/// Behind each name and each value; no text in UTF-8 has this byte, nor the next one.
const END_OF_TEXT: u8 = 0xff;
const END_OF_SERIES: u8 = 0xfe;
/// Series that are remembered.
const MAX_SERIES: usize = 400_000;
/// Bytes of the labels of a series that is remembered; none that Timestream takes has more.
const MAX_SERIES_BYTES: usize = 288 << 10;
/// The most that the clock of another process may be ahead. A later time is of a clock that was wrong.
const MAX_AHEAD_MS: i64 = 15 * 60 * 1_000;
/// Series that take less than a slice of time.
const SERIES_AT_ONCE: usize = 1_000;
/// Series between looks at the clock.
const BATCH: usize = 64;

/// Tells series apart.
type Key = [u8; 16];

/// The knowledge about the series of the tick before.
pub(super) struct Before {
    head: Option<Head>,
}

#[derive(Deserialize, Serialize)]
struct Head {
    /// When they were there, in milliseconds since the Unix epoch.
    tick_ms: i64,
    /// The table in which they were stored.
    destination: String,
    /// Which series they were.
    digest: String,
    /// Which of the two sets of parts has them.
    slot: u8,
    parts: usize,
    /// Those that are not among the parts.
    left_out: u64,
}

/// The series of this tick.
pub(super) struct Shown {
    /// Positions in the request of those that end without a sample, as far as they are remembered.
    tracked: Vec<usize>,
    /// The number of others.
    left_out: u64,
    digest: String,
}

impl Before {
    /// Reads what the last tick left.
    pub(super) async fn read(run: &Run<'_>) -> Result<Self, StateError> {
        let text = run.cursors.get(HEAD).await?;
        // What cannot be read is written again.
        let head = text.and_then(|text| serde_json::from_str::<Head>(&text).ok());
        let destination = run.destination.to_string();
        Ok(Self {
            head: head.filter(|head| head.destination == destination && head.parts <= MAX_PARTS),
        })
    }

    /// Whether a tick at this time comes too late to say which series are gone. What a clock that was ahead has left
    /// would make each tick late until then, so it does not count.
    pub(super) fn is_after(&self, tick_ms: i64, now_ms: i64) -> bool {
        let latest = now_ms.saturating_add(MAX_AHEAD_MS);
        let head = self.head.as_ref();
        head.is_some_and(|head| (tick_ms..=latest).contains(&head.tick_ms))
    }

    /// Whether these are other series.
    pub(super) fn differs(&self, shown: &Shown) -> bool {
        match &self.head {
            Some(head) => head.digest != shown.digest,
            None => !shown.tracked.is_empty(),
        }
    }

    /// Returns how many series are too many to be known.
    pub(super) fn left_out(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.left_out)
    }

    /// Returns the labels of the series, for [`gone`]; `None` if what the state has is no longer what was written.
    pub(super) async fn labels(&self, run: &Run<'_>) -> Result<Option<Vec<u8>>, StateError> {
        let Some(head) = self.head.as_ref().filter(|head| head.parts > 0) else {
            return Ok(Some(Vec::new()));
        };
        let mut decoder = gzip::Decoder::new(MAX_TEXT_BYTES);
        for part in 0..head.parts {
            let key = part_key(head.slot, part);
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

    /// Makes these series the ones of the tick before.
    pub(super) async fn replace(
        &mut self,
        run: &Run<'_>,
        rows: &Rows<'_>,
        shown: &Shown,
    ) -> Result<(), StateError> {
        let (bytes, left_out) = encode(run.ingester.compute(), rows, shown).await;
        let slot = match &self.head {
            Some(head) => 1 - head.slot.min(1),
            None => 0,
        };
        let parts = bytes.chunks(PART_BYTES);
        let head = Head {
            tick_ms: run.scheduled_for.as_millisecond(),
            destination: run.destination.to_string(),
            digest: shown.digest.clone(),
            slot,
            parts: parts.len(),
            left_out,
        };
        for (index, part) in parts.enumerate() {
            let text = STANDARD.encode(part);
            run.cursors.set(&part_key(slot, index), &text).await?;
        }
        let text = serde_json::to_string(&head).expect("a head is always valid JSON");
        run.cursors.set(HEAD, &text).await?;
        self.head = Some(head);
        Ok(())
    }
}

impl Shown {
    /// The series that `rows` have.
    pub(super) async fn of(compute: &ComputePool, rows: &Rows<'_>) -> Self {
        let tracked = &rows.tracked[..rows.tracked.len().min(MAX_SERIES)];
        let mut keys = Vec::with_capacity(tracked.len());
        let mut text = Vec::new();
        let step = || {
            for &index in tracked[keys.len()..].iter().take(BATCH) {
                write_labels(rows, index, &mut text);
                keys.push(key(&text));
            }
            (keys.len() == tracked.len()).then_some(())
        };
        compute.run_in_slices(is_long(tracked.len()), step).await;
        // The order in which a target shows its series has no meaning.
        let of_all = || {
            keys.sort_unstable();
            digest(&SHA256, keys.as_flattened())
        };
        let digest = compute.run_if(is_long(tracked.len()), of_all).await;
        Self {
            tracked: tracked.to_vec(),
            left_out: (rows.tracked.len() - tracked.len()) as u64,
            digest: STANDARD.encode(digest),
        }
    }
}

/// Returns those series of `labels` that `rows` do not have, in their order.
pub(super) async fn gone<'l>(
    compute: &ComputePool,
    labels: &'l [u8],
    rows: &Rows<'_>,
) -> Vec<&'l [u8]> {
    let mut all = labels.split_inclusive(|&byte| byte == END_OF_SERIES);
    let mut gone = HashMap::new();
    let step = || {
        for _ in 0..BATCH {
            let Some(series) = all.next() else {
                return Some(());
            };
            gone.insert(key(series), (gone.len(), series));
        }
        None
    };
    let is_long = is_long(labels.len() / 64 + rows.request.len());
    compute.run_in_slices(is_long, step).await;
    let (mut text, mut next) = (Vec::new(), 0);
    let step = || {
        let end = rows.request.len().min(next + BATCH);
        for index in next..end {
            write_labels(rows, index, &mut text);
            gone.remove(&key(&text));
        }
        next = end;
        (next == rows.request.len()).then_some(())
    };
    compute.run_in_slices(is_long, step).await;
    let in_order = || {
        let mut gone: Vec<_> = gone.into_values().collect();
        gone.sort_unstable_by_key(|(position, _)| *position);
        gone.into_iter().map(|(_, series)| series).collect()
    };
    compute.run_if(is_long, in_order).await
}

/// Ends these series.
pub(super) async fn end<'l>(compute: &ComputePool, gone: &[&'l [u8]], rows: &mut Rows<'l>) {
    let mut batches = gone.chunks(BATCH);
    let step = || {
        let Some(batch) = batches.next() else {
            return Some(());
        };
        for labels in batch.iter().filter_map(|series| read_labels(series)) {
            rows.add_ended(&labels);
        }
        None
    };
    compute.run_in_slices(is_long(gone.len()), step).await;
}

fn is_long(series: usize) -> bool {
    series > SERIES_AT_ONCE
}

/// Reads what [`write_labels`] wrote.
fn read_labels(series: &[u8]) -> Option<Vec<Label<'_>>> {
    let texts = series.strip_suffix(&[END_OF_TEXT, END_OF_SERIES])?;
    let texts = texts.split(|&byte| byte == END_OF_TEXT);
    let texts = texts.map(|text| str::from_utf8(text).ok());
    let texts = texts.collect::<Option<Vec<_>>>()?;
    let (pairs, rest) = texts.as_chunks();
    let pairs = pairs.iter().map(|[name, value]| (*name, *value));
    rest.is_empty().then(|| pairs.collect())
}

/// Compresses the labels of the series, as far as there is room; returns how many are left out. One that is too
/// long takes no room of the others.
async fn encode(compute: &ComputePool, rows: &Rows<'_>, shown: &Shown) -> (Vec<u8>, u64) {
    let count = shown.tracked.len();
    if count == 0 {
        return (Vec::new(), shown.left_out);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let (mut text, mut text_bytes, mut next, mut written) = (Vec::new(), 0, 0, 0);
    let step = || {
        for &index in shown.tracked[next..].iter().take(BATCH) {
            write_labels(rows, index, &mut text);
            next += 1;
            if text.len() > MAX_SERIES_BYTES {
                continue;
            }
            text_bytes += text.len();
            let most = encoder.get_ref().len() + text.len() + ENCODER_BYTES;
            if most > PART_BYTES * MAX_PARTS || text_bytes > MAX_TEXT_BYTES {
                return Some(written);
            }
            encoder.write_all(&text).expect("a Vec takes all");
            written += 1;
        }
        (next == count).then_some(written)
    };
    let written = compute.run_in_slices(is_long(count), step).await;
    let bytes = encoder.finish().expect("a Vec takes all");
    (bytes, shown.left_out + (count - written) as u64)
}

/// Writes the labels of the series at `index` of the request.
fn write_labels(rows: &Rows<'_>, index: usize, text: &mut Vec<u8>) {
    text.clear();
    for (name, value) in rows.request.series(index).labels.iter() {
        for part in [name, value] {
            text.extend_from_slice(part.as_bytes());
            text.push(END_OF_TEXT);
        }
    }
    text.push(END_OF_SERIES);
}

fn key(series: &[u8]) -> Key {
    let digest = digest(&SHA256, series);
    let (key, _) = digest
        .as_ref()
        .split_first_chunk()
        .expect("it has 32 bytes");
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
    use super::super::labels::Exported;
    use super::*;

    /// The part of `before`, once it was encoded, is not in `now`; how many bytes that took, and how many series
    /// were left out.
    async fn round_trip(before: &str, now: &str) -> (Vec<String>, usize, u64) {
        let compute = ComputePool::default();
        let scrape = Scrape::parse(&json!({"endpoint": "http://t:1"})).unwrap();
        let target = scrape.target_labels("n");
        let bodies = [before, now].map(|body| parse(body.as_bytes(), Format::Text).unwrap());
        let [before, now] = [0, 1].map(|index| Exported::of(&target, &bodies[index]));
        let mut rows_before = Rows::new(&scrape, &before, 0);
        rows_before.add(&bodies[0]);
        let shown = Shown::of(&compute, &rows_before).await;
        let (bytes, left_out) = encode(&compute, &rows_before, &shown).await;
        let mut decoder = gzip::Decoder::new(MAX_TEXT_BYTES);
        decoder.push(&bytes).unwrap();
        let labels = decoder.finish().unwrap();
        let mut rows = Rows::new(&scrape, &now, 0);
        rows.add(&bodies[1]);
        let count = rows.request.len();
        let gone = gone(&compute, &labels, &rows).await;
        end(&compute, &gone, &mut rows).await;
        let ended = rows.request.iter().skip(count);
        let ended = ended.map(|series| series.labels.to_string()).collect();
        (ended, bytes.len(), left_out)
    }

    #[tokio::test]
    async fn labels_come_back_as_they_were() {
        let before = "a 1\nb{x=\"ü\\n\\\"\",job=\"\u{10ffff}\"} 1\nb{x=\"2\"} 1\n{\"é é\",\"= =\"=\"\u{1}\"} 1\n";
        let (ended, _, left_out) = round_trip(before, "b{x=\"2\"} 1\nc 1\n").await;
        let expected = [
            r#"{__name__="a", instance="t:1", job="n"}"#,
            r#"{__name__="b", exported_job="\u{10ffff}", instance="t:1", job="n", x="ü\n\""}"#,
            r#"{= =="\u{1}", __name__="é é", instance="t:1", job="n"}"#,
        ];
        assert_eq!(ended, expected);
        assert_eq!(left_out, 0);
    }

    #[tokio::test]
    async fn the_order_has_no_meaning_and_every_label_has() {
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
            let exported = Exported::of(&target, &exposition);
            let mut rows = Rows::new(&scrape, &exported, 0);
            rows.add(&exposition);
            digests.push(Shown::of(&compute, &rows).await.digest);
        }
        assert_eq!(digests[0], digests[1]);
        digests.remove(0);
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 4);
    }

    /// Texts that hardly compress, and always the same ones.
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
    async fn there_is_room_for_so_many_series() {
        let (ended, bytes, left_out) = round_trip(&body(1_000, 1), "").await;
        assert_eq!((ended.len(), left_out), (1_000, 0));
        assert!(bytes < 20_000, "{bytes}");
        let (ended, bytes, left_out) = round_trip(&body(30_000, 20), "").await;
        assert_eq!(ended.len() as u64 + left_out, 30_000);
        assert!(
            left_out > 0 && bytes <= PART_BYTES * MAX_PARTS,
            "{left_out} {bytes}"
        );
    }

    #[tokio::test]
    async fn a_series_that_is_too_long_takes_no_room_of_the_others() {
        let long = body(1, 6 << 20 >> 4);
        let text = format!("b 1\n{long}c 1\n");
        let (ended, bytes, left_out) = round_trip(&text, "").await;
        assert_eq!((ended.len(), left_out), (2, 1));
        assert!(bytes < 1_000, "{bytes}");
        // Those that Timestream may take fill the room and no more.
        let (ended, bytes, left_out) = round_trip(&body(40, 280 << 10 >> 4), "").await;
        assert_eq!(ended.len() as u64 + left_out, 40);
        assert!(
            left_out > 0 && bytes <= PART_BYTES * MAX_PARTS,
            "{left_out} {bytes}"
        );
    }

    #[test]
    fn a_clock_that_was_ahead_makes_no_tick_late() {
        let before = |tick_ms| Before {
            head: Some(Head {
                tick_ms,
                destination: String::new(),
                digest: String::new(),
                slot: 0,
                parts: 0,
                left_out: 0,
            }),
        };
        let now = 1_600_000_000_000;
        for (head, tick, is_after) in [
            (now - 2, now - 1, false),
            (now - 1, now - 1, true),
            (now + 1_000, now, true),
            (now + MAX_AHEAD_MS, now, true),
            (now + MAX_AHEAD_MS + 1, now, false),
            (i64::MAX, now, false),
        ] {
            assert_eq!(before(head).is_after(tick, now), is_after, "{head} {tick}");
        }
    }
}
