//! Series to the messages of remote read responses: SAMPLES, or frames of STREAMED_XOR_CHUNKS.
//!
//! Messages are created series by series, so that a response is never held as messages in full. Native histograms are
//! encoded when their frame is created.

use std::slice;

use prom_model::{Histogram, Labels, Sample};

use crate::chunk::{Chunk, HistogramChunk, HistogramChunks};
use crate::prompb;

/// The most bytes of chunks in one frame; a series that has more is split.
///
/// Prometheus' client accepts frames of 50 MB (`chunked_read_limit`). It reads each frame as a series of its own, so
/// that parts of one series make PromQL fail; frames are large for that reason.
const MAX_FRAME_BYTES: usize = 32 << 20;

/// One series of a read result.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The label set, the metric name included.
    pub labels: Labels,
    /// Samples in the order of time, each time once. All chunks are full except the last one and those before a
    /// native histogram: no chunk has samples on both sides of one.
    pub chunks: Vec<Chunk>,
    /// Native histograms sorted by time, each time once.
    pub histograms: Vec<Histogram>,
}

impl Series {
    /// Returns the float samples in their order.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.chunks.iter().flat_map(Chunk::samples)
    }

    /// Returns the number of samples and native histograms.
    pub fn len(&self) -> usize {
        let samples: usize = self.chunks.iter().map(Chunk::len).sum();
        samples + self.histograms.len()
    }

    /// Returns the bytes of memory that the series occupies.
    pub fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.data.len()).sum();
        let histograms: usize = self.histograms.iter().map(Histogram::bytes).sum();
        self.labels.bytes() + chunks + histograms
    }

    /// Returns true if the series has neither samples nor native histograms.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.histograms.is_empty()
    }
}

/// The response types that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// One message with all samples.
    Samples,
    /// Frames with encoded samples and native histograms.
    Chunks,
}

impl ResponseType {
    /// Returns the first type that exists among those that the client accepts, in the order of its preference;
    /// `None` if none does. A client that names none accepts [`Self::Samples`].
    pub fn preferred(accepted: &[i32]) -> Option<Self> {
        use prompb::read_request::ResponseType as Wire;
        if accepted.is_empty() {
            return Some(Self::Samples);
        }
        accepted
            .iter()
            .find_map(|number| match Wire::try_from(*number).ok()? {
                Wire::Samples => Some(Self::Samples),
                Wire::StreamedXorChunks => Some(Self::Chunks),
            })
    }
}

/// Creates the frames of a series a chunk at a time: each item is the work of one chunk, with the frame that it
/// completes, if any.
#[derive(Debug)]
pub struct Frames<'s> {
    query_index: i64,
    series: &'s Series,
    chunks: Chunks<'s>,
    /// The most bytes of chunks in one frame.
    max_bytes: usize,
    /// The chunks of the frame that is being built.
    part: Vec<prompb::Chunk>,
    part_bytes: usize,
    is_complete: bool,
}

/// Returns the frames of a series of the query with this index: one, unless it is too large.
pub fn frames(query_index: usize, series: &Series) -> Frames<'_> {
    Frames {
        query_index: query_index as i64,
        series,
        chunks: chunks(series),
        max_bytes: MAX_FRAME_BYTES,
        part: Vec::new(),
        part_bytes: 0,
        is_complete: false,
    }
}

impl Frames<'_> {
    fn take_part(&mut self) -> prompb::ChunkedReadResponse {
        self.part_bytes = 0;
        prompb::ChunkedReadResponse {
            chunked_series: vec![prompb::ChunkedSeries {
                labels: labels(self.series),
                chunks: std::mem::take(&mut self.part),
            }],
            query_index: self.query_index,
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Option<prompb::ChunkedReadResponse>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_complete {
            return None;
        }
        let Some(chunk) = self.chunks.next() else {
            self.is_complete = true;
            return Some(Some(self.take_part()));
        };
        let bytes = chunk.data.len();
        let is_full = !self.part.is_empty() && self.part_bytes + bytes > self.max_bytes;
        let frame = is_full.then(|| self.take_part());
        self.part_bytes += bytes;
        self.part.push(chunk);
        Some(frame)
    }
}

/// Iterates over the chunks of a series in the order of time, including those of native histograms.
#[derive(Clone, Debug)]
pub struct Chunks<'s> {
    floats: slice::Iter<'s, Chunk>,
    /// Histograms before the next chunk of floats.
    before: HistogramChunks<'s>,
    /// Later histograms.
    histograms: &'s [Histogram],
}

/// Returns the chunks of a series. If a float and a histogram have the same time, the float is sent, as Prometheus
/// prefers the float in SAMPLES too.
pub fn chunks(series: &Series) -> Chunks<'_> {
    Chunks {
        floats: series.chunks.iter(),
        before: HistogramChunks::new(&[]),
        histograms: &series.histograms,
    }
}

impl<'s> Chunks<'s> {
    /// Splits off the earlier histograms, which come first.
    fn split(&mut self, is_earlier: impl Fn(&Histogram) -> bool) -> &'s [Histogram] {
        let place = self.histograms.partition_point(is_earlier);
        let (earlier, later) = self.histograms.split_at(place);
        self.histograms = later;
        earlier
    }
}

impl Iterator for Chunks<'_> {
    type Item = prompb::Chunk;

    fn next(&mut self) -> Option<prompb::Chunk> {
        if self.histograms.is_empty() {
            let left = self.before.next().map(histogram_chunk);
            return left.or_else(|| self.floats.next().map(chunk));
        }
        if let Some(chunk) = self.before.next() {
            return Some(histogram_chunk(chunk));
        }
        let next_ms = self.floats.as_slice().first().map(|it| it.min_time_ms);
        let before = self.split(|it| next_ms.is_none_or(|next_ms| it.timestamp_ms < next_ms));
        self.before = HistogramChunks::new(before);
        if let Some(chunk) = self.before.next() {
            return Some(histogram_chunk(chunk));
        }
        let floats = self.floats.next()?;
        // All up to its end are at the time of one of its samples.
        self.split(|it| it.timestamp_ms <= floats.max_time_ms);
        Some(chunk(floats))
    }
}

fn labels(series: &Series) -> Vec<prompb::Label> {
    let labels = series.labels.iter();
    labels
        .map(|label| prompb::Label {
            name: label.name.clone(),
            value: label.value.clone(),
        })
        .collect()
}

fn chunk(chunk: &Chunk) -> prompb::Chunk {
    prompb::Chunk {
        min_time_ms: chunk.min_time_ms,
        max_time_ms: chunk.max_time_ms,
        r#type: prompb::chunk::Encoding::Xor.into(),
        data: chunk.data.to_vec(),
    }
}

fn histogram_chunk(chunk: HistogramChunk) -> prompb::Chunk {
    use prompb::chunk::Encoding;
    let encoding = match chunk.is_float {
        true => Encoding::FloatHistogram,
        false => Encoding::Histogram,
    };
    prompb::Chunk {
        min_time_ms: chunk.min_time_ms,
        max_time_ms: chunk.max_time_ms,
        r#type: encoding.into(),
        data: chunk.data.into_vec(),
    }
}

/// Returns the message of a series in a SAMPLES response.
pub fn timeseries(series: &Series) -> prompb::TimeSeries {
    let samples = series.samples().map(|sample| prompb::Sample {
        value: sample.value,
        timestamp: sample.timestamp_ms,
    });
    prompb::TimeSeries {
        labels: labels(series),
        samples: samples.collect(),
        histograms: series.histograms.iter().cloned().map(Into::into).collect(),
        exemplars: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use prom_model::{Count, Label};

    use super::*;
    use crate::chunk::{to_chunks, to_chunks_between};

    fn series(name: &str, samples: i64, histograms: i64) -> Series {
        let label = Label {
            name: "__name__".to_owned(),
            value: name.to_owned(),
        };
        Series {
            labels: Labels::new(vec![label]),
            chunks: to_chunks((0..samples).map(|i| Sample {
                timestamp_ms: i * 1_000,
                value: i as f64 / 3.0,
            })),
            histograms: (0..histograms)
                .map(|timestamp_ms| Histogram {
                    timestamp_ms,
                    ..Histogram::default()
                })
                .collect(),
        }
    }

    #[test]
    fn the_first_type_that_exists_is_preferred() {
        let cases: [(&[i32], Option<ResponseType>); 6] = [
            (&[], Some(ResponseType::Samples)),
            (&[0], Some(ResponseType::Samples)),
            (&[1, 0], Some(ResponseType::Chunks)),
            (&[0, 1], Some(ResponseType::Samples)),
            (&[7, 1], Some(ResponseType::Chunks)),
            (&[7, -1], None),
        ];
        for (accepted, expected) in cases {
            assert_eq!(ResponseType::preferred(accepted), expected, "{accepted:?}");
        }
    }

    #[test]
    fn samples_and_histograms_of_a_series() {
        let message = timeseries(&series("a", 500, 2));
        assert_eq!(message.labels[0].value, "a");
        let times: Vec<_> = message.samples.iter().map(|it| it.timestamp).collect();
        assert!(
            times
                .iter()
                .eq(&(0..500).map(|i| i * 1_000).collect::<Vec<_>>())
        );
        assert_eq!(message.samples[499].value, 499.0 / 3.0);
        let times: Vec<_> = message.histograms.iter().map(|it| it.timestamp).collect();
        assert_eq!(times, [0, 1]);
    }

    #[test]
    fn a_series_is_one_frame_with_all_its_chunks() {
        let series = series("a", 250, 0);
        let [message] = &frames(3, &series).flatten().collect::<Vec<_>>()[..] else {
            panic!()
        };
        assert_eq!(message.query_index, 3);
        let times: Vec<_> = message.chunked_series[0]
            .chunks
            .iter()
            .map(|chunk| (chunk.min_time_ms, chunk.max_time_ms, chunk.r#type))
            .collect();
        let expected = [
            (0, 119_000, 1),
            (120_000, 239_000, 1),
            (240_000, 249_000, 1),
        ];
        assert_eq!(times, expected);
    }

    #[test]
    fn a_series_without_chunks_is_a_frame_too() {
        let labels_only = series("a", 0, 0);
        let messages: Vec<_> = frames(0, &labels_only).flatten().collect();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].chunked_series[0].chunks, []);
    }

    #[test]
    fn only_a_series_that_exceeds_a_frame_is_split() {
        let series = series("a", 600, 0);
        let [first, second] = [&series.chunks[0], &series.chunks[1]].map(|it| it.data.len());
        let lens = |max_bytes| -> Vec<usize> {
            let frames = Frames {
                max_bytes,
                ..frames(0, &series)
            };
            let parts: Vec<_> = frames
                .flatten()
                .map(|mut frame| frame.chunked_series.remove(0).chunks)
                .collect();
            assert!(parts.iter().flatten().cloned().eq(chunks(&series)));
            parts.iter().map(Vec::len).collect()
        };
        assert_eq!(lens(usize::MAX), [5]);
        assert_eq!(lens(first + second)[0], 2);
        assert_eq!(lens(first + second - 1)[0], 1);
        assert_eq!(lens(0), [1; 5]);
    }

    #[test]
    fn chunks_of_floats_and_of_histograms_have_the_order_of_time() {
        let histogram = |timestamp_ms, is_float: bool| Histogram {
            timestamp_ms,
            count: is_float.then_some(Count::Float(0.0)),
            ..Histogram::default()
        };
        let histograms = [
            (5, false),
            (10, false),
            (25, false),
            (26, true),
            (30, true),
            (45, true),
            (46, true),
        ];
        let histograms: Vec<_> = histograms.map(|(time, kind)| histogram(time, kind)).into();
        let floats = [10, 20, 30, 40].map(|timestamp_ms| Sample {
            timestamp_ms,
            value: 1.0,
        });
        let series = Series {
            labels: Labels::default(),
            chunks: to_chunks_between(floats, &histograms),
            histograms,
        };
        let found: Vec<_> = chunks(&series)
            .map(|it| (it.r#type, it.min_time_ms, it.max_time_ms))
            .collect();
        // At 10 and 30 the floats stand.
        let expected = [
            (2, 5, 5),
            (1, 10, 20),
            (2, 25, 25),
            (3, 26, 26),
            (1, 30, 40),
            (3, 45, 46),
        ];
        assert_eq!(found, expected);
    }
}
