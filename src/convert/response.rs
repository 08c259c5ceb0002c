//! Series to the messages that answer remote read: SAMPLES, or frames of STREAMED_XOR_CHUNKS.
//!
//! Messages are made series by series, so that no answer has to be held in full as messages.

use super::chunk::Chunk;
use super::histogram::to_message;
use super::rows::Series;
use crate::prompb;

/// Bytes of chunks in one frame; a series that has more is cut.
///
/// Prometheus' client takes frames of 50 MB (`chunked_read_limit`). It takes each frame as a series of
/// its own, so that parts of one make PromQL fail; they are large for that reason.
const MAX_FRAME_BYTES: usize = 32 << 20;

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// One message with all samples.
    Samples,
    /// Frames with encoded samples, without native histograms.
    Chunks,
}

impl ResponseType {
    /// The first of the forms that the client accepts, in the order of its preference, that exists;
    /// `None` if none does. A client that names none takes [`Self::Samples`].
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

/// The frames of a series of the query with this index: one, unless it is too large.
pub fn frames(
    query_index: usize,
    series: &Series,
) -> impl Iterator<Item = prompb::ChunkedReadResponse> {
    let message = move |chunks: &[Chunk]| prompb::ChunkedReadResponse {
        chunked_series: vec![prompb::ChunkedSeries {
            labels: labels(series),
            chunks: chunks.iter().map(chunk).collect(),
        }],
        query_index: query_index as i64,
    };
    parts(&series.chunks, MAX_FRAME_BYTES)
        .into_iter()
        .map(message)
}

/// Cuts chunks into parts of at most `max_bytes`, but of at least a chunk; at least one part.
fn parts(chunks: &[Chunk], max_bytes: usize) -> Vec<&[Chunk]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, chunk) in chunks.iter().enumerate() {
        if place > start && bytes + chunk.data.len() > max_bytes {
            parts.push(&chunks[start..place]);
            (start, bytes) = (place, 0);
        }
        bytes += chunk.data.len();
    }
    parts.push(&chunks[start..]);
    parts
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

/// A series as SAMPLES has it.
pub fn timeseries(series: &Series) -> prompb::TimeSeries {
    let samples = series.samples().map(|sample| prompb::Sample {
        value: sample.value,
        timestamp: sample.timestamp_ms,
    });
    prompb::TimeSeries {
        labels: labels(series),
        samples: samples.collect(),
        histograms: series.histograms.iter().cloned().map(to_message).collect(),
        exemplars: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::samples::to_chunks;
    use crate::model::{Histogram, Label, Labels, Sample};

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
    fn the_first_form_that_exists_is_preferred() {
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
        let [message] = &frames(3, &series).collect::<Vec<_>>()[..] else {
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
        let messages: Vec<_> = frames(0, &labels_only).collect();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].chunked_series[0].chunks, []);
    }

    #[test]
    fn only_a_series_that_no_frame_takes_is_cut() {
        let chunks = series("a", 600, 0).chunks;
        let [first, second] = [&chunks[0], &chunks[1]].map(|chunk| chunk.data.len());
        let lens = |max_bytes| -> Vec<usize> {
            let parts = parts(&chunks, max_bytes);
            assert_eq!(parts.concat(), chunks);
            parts.iter().map(|part| part.len()).collect()
        };
        assert_eq!(lens(usize::MAX), [5]);
        assert_eq!(lens(first + second)[0], 2);
        assert_eq!(lens(first + second - 1)[0], 1);
        assert_eq!(lens(0), [1; 5]);
    }
}
