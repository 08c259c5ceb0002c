//! Streamed responses as a client reads them.

use prom_wire::chunk::{Decoder, decode_histograms};
use prom_wire::prompb::chunk::Encoding;
use prom_wire::prompb::{Chunk, ChunkedReadResponse, ChunkedSeries, Histogram, Sample, TimeSeries};

pub(crate) const STREAMED: &str =
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// Returns CRC-32C, computed bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let mut checksum = !0_u32;
    for byte in bytes {
        checksum ^= u32::from(*byte);
        for _ in 0..8 {
            let is_odd = checksum & 1 == 1;
            checksum = checksum >> 1 ^ if is_odd { 0x82f6_3b78 } else { 0 };
        }
    }
    !checksum
}

/// Returns the whole frames at the start of `body`, and what remains of it.
pub(crate) fn frames(mut body: &[u8]) -> (Vec<ChunkedReadResponse>, &[u8]) {
    let mut all = Vec::new();
    loop {
        let mut rest = body;
        let Ok(len) = prost::decode_length_delimiter(&mut rest) else {
            return (all, body);
        };
        let Some((expected, rest)) = rest.split_first_chunk() else {
            return (all, body);
        };
        let Some((message, rest)) = rest.split_at_checked(len) else {
            return (all, body);
        };
        assert_eq!(checksum(message), u32::from_be_bytes(*expected));
        all.push(prom_wire::decode(message).unwrap());
        body = rest;
    }
}

/// Returns the series of each query, as many queries as there are, and checks the properties of
/// every response.
pub(crate) fn results(body: &[u8], queries: usize) -> Vec<Vec<ChunkedSeries>> {
    let (frames, rest) = frames(body);
    assert!(rest.is_empty(), "{} bytes too many", rest.len());
    let mut results = vec![Vec::new(); queries];
    let mut last = 0;
    for frame in frames {
        let [series] = &frame.chunked_series[..] else {
            panic!("{} series in a frame", frame.chunked_series.len())
        };
        assert!(frame.query_index >= last, "the queries have their order");
        last = frame.query_index;
        results[usize::try_from(last).unwrap()].push(series.clone());
    }
    for result in &results {
        // By labels, each set once.
        let labels = |series: &ChunkedSeries| -> Vec<(String, String)> {
            let labels = series.labels.iter();
            labels
                .map(|it| (it.name.clone(), it.value.clone()))
                .collect()
        };
        assert!(result.is_sorted_by(|a, b| labels(a) < labels(b)));
        result.iter().for_each(check_chunks);
    }
    results
}

/// Checks that each chunk begins after the end of the one before, and that those of floats are
/// full, but the last one and those before histograms.
fn check_chunks(series: &ChunkedSeries) {
    let mut last_ms = i64::MIN;
    let mut later = series.chunks.iter().peekable();
    while let Some(chunk) = later.next() {
        let times: Vec<i64> = match samples(chunk) {
            (floats, histograms) if histograms.is_empty() => {
                let may_be_short = later.peek().is_none_or(|next| !is_of_floats(next));
                assert!(floats.len() == 120 || may_be_short, "{}", floats.len());
                floats.iter().map(|it| it.timestamp).collect()
            }
            (_, histograms) => histograms.iter().map(|it| it.timestamp).collect(),
        };
        assert!((1..=120).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
        assert!(
            last_ms < times[0] || last_ms == i64::MIN,
            "{last_ms} {times:?}"
        );
        last_ms = times[times.len() - 1];
        assert_eq!((chunk.min_time_ms, chunk.max_time_ms), (times[0], last_ms));
    }
}

fn is_of_floats(chunk: &Chunk) -> bool {
    chunk.r#type == i32::from(Encoding::Xor)
}

/// Returns the floats or the histograms of a chunk.
fn samples(chunk: &Chunk) -> (Vec<Sample>, Vec<Histogram>) {
    let is_float = match Encoding::try_from(chunk.r#type) {
        Ok(Encoding::Xor) => {
            let samples = Decoder::new(&chunk.data).map(|sample| Sample {
                value: sample.value,
                timestamp: sample.timestamp_ms,
            });
            return (samples.collect(), vec![]);
        }
        Ok(Encoding::Histogram) => false,
        Ok(Encoding::FloatHistogram) => true,
        other => panic!("{other:?}"),
    };
    let histograms = decode_histograms(is_float, &chunk.data).into_iter();
    (vec![], histograms.map(Into::into).collect())
}

/// Returns the series as SAMPLES would have it.
pub(crate) fn decoded(series: ChunkedSeries) -> TimeSeries {
    let mut all = TimeSeries {
        labels: series.labels,
        ..TimeSeries::default()
    };
    for (floats, histograms) in series.chunks.iter().map(samples) {
        all.samples.extend(floats);
        all.histograms.extend(histograms);
    }
    all
}
