//! Native histograms to the HISTOGRAM and FLOAT_HISTOGRAM chunks of Prometheus.
//!
//! A chunk is the number of its histograms (16 bits), a header with the counter reset state (8 bits), their layout,
//! the first histogram, and for each further one the changes of its numbers. Chunks are those of Prometheus'
//! encoder for series of samples, which its remote read uses if it does not send the chunks of its storage: it ends a
//! chunk after 120 samples, when a counter is reset and when no layout has the buckets of both.
//! `tests/golden/histograms` has chunks that this encoder made. The head block of Prometheus' storage ends chunks
//! by bytes and by ranges of time instead, which makes no difference to a reader.
//!
//! Histograms are visited twice: first to find those that share a chunk and the layout that has the buckets of all;
//! then to write them. Prometheus writes a chunk again each time that its layout widens, with the same bytes in the
//! end.

use prom_model::{Buckets, Histogram, Span};

use super::MAX_SAMPLES;
use super::bits::BitWriter;
use super::fit::{Floats, Group, Integers, Numbers, Start, group};
use super::layout::indexes;
use super::value::XorValue;
use super::varbit::{Changing, write_int, write_uint};

/// Encoded histograms in increasing order of time; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramChunk {
    /// Time of the first histogram, in milliseconds since the Unix epoch.
    pub min_time_ms: i64,
    /// Time of the last histogram.
    pub max_time_ms: i64,
    /// True if their numbers are floats.
    pub is_float: bool,
    /// The histograms.
    pub data: Box<[u8]>,
}

/// The chunks of histograms that are valid and have the order of time, made one by one.
#[derive(Clone, Debug)]
pub struct HistogramChunks<'h> {
    rest: &'h [Histogram],
    /// The start of the next chunk, if its first histogram was compared with the one before.
    start: Option<Start>,
}

impl<'h> HistogramChunks<'h> {
    /// Returns the chunks of `histograms`, between which there is no float sample.
    pub fn new(histograms: &'h [Histogram]) -> Self {
        Self {
            rest: histograms,
            start: None,
        }
    }
}

impl Iterator for HistogramChunks<'_> {
    type Item = HistogramChunk;

    fn next(&mut self) -> Option<HistogramChunk> {
        let first = self.rest.first()?;
        let is_float = first.is_float();
        let start = self.start.take().unwrap_or_else(|| Start::of(first));
        let group = match is_float {
            true => group::<Floats>(start, self.rest, MAX_SAMPLES),
            false => group::<Integers>(start, self.rest, MAX_SAMPLES),
        };
        let len = group.len;
        let (histograms, rest) = self.rest.split_at(len);
        self.rest = rest;
        self.start = group.next;
        let mut bits = BitWriter::default();
        bits.write(len as u64, 16);
        bits.write(start as u64, 8);
        group.layout.write(&mut bits);
        match is_float {
            true => write_floats(&group, histograms, &mut bits),
            false => write_integers(&group, histograms, &mut bits),
        }
        Some(HistogramChunk {
            min_time_ms: first.timestamp_ms,
            max_time_ms: histograms[len - 1].timestamp_ms,
            is_float,
            data: bits.take(),
        })
    }
}

/// The buckets of a layout, for the counts of one histogram after the other.
struct Places<'g, B> {
    spans: [&'g [Span]; 2],
    indexes: &'g [Vec<i64>; 2],
    counts: Vec<B>,
}

impl<'g, B: Copy + Default> Places<'g, B> {
    fn new(group: &'g Group) -> Self {
        Self {
            spans: [&group.layout.positive, &group.layout.negative],
            indexes: &group.indexes,
            counts: Vec::new(),
        }
    }

    /// Returns the counts of all buckets of the layout, the positive ones first. The histogram's missing buckets
    /// count 0.
    fn fill<N: Numbers<Bucket = B>>(&mut self, histogram: &Histogram) -> [&[B]; 2] {
        self.counts.clear();
        for (side, buckets) in [&histogram.positive, &histogram.negative]
            .into_iter()
            .enumerate()
        {
            self.fill_side::<N>(side, buckets);
        }
        let (positive, negative) = self.counts.split_at(self.indexes[0].len());
        [positive, negative]
    }

    fn fill_side<N: Numbers<Bucket = B>>(&mut self, side: usize, buckets: &Buckets) {
        let len = self.counts.len() + self.indexes[side].len();
        if self.spans[side] == buckets.spans {
            self.counts.extend(N::counts(buckets));
        } else {
            let mut own = indexes(&buckets.spans).zip(N::counts(buckets)).peekable();
            for index in &self.indexes[side] {
                let found = own.next_if(|(own, _)| own == index);
                self.counts
                    .push(found.map_or_else(B::default, |(_, count)| count));
            }
        }
        self.counts.resize(len, B::default());
    }
}

/// The differences of counts that follow one another.
fn deltas(counts: &[i64]) -> impl Iterator<Item = i64> {
    counts.iter().scan(0_i64, |before, count| {
        let delta = count.wrapping_sub(*before);
        *before = *count;
        Some(delta)
    })
}

fn write_integers(group: &Group, histograms: &[Histogram], bits: &mut BitWriter) {
    let mut places = Places::new(group);
    let mut time = Changing::default();
    let mut totals = [Changing::default(); 2];
    let mut sum = XorValue::default();
    let mut buckets: Vec<Changing> = Vec::new();
    for (place, histogram) in histograms.iter().enumerate() {
        let is_stale = histogram.is_stale();
        // A stale histogram has no other meaning.
        let now = match is_stale {
            true => [0; 2],
            false => Integers::totals(histogram),
        };
        if place == 0 {
            time = Changing::new(histogram.timestamp_ms);
            write_int(bits, histogram.timestamp_ms);
            for (total, now) in totals.iter_mut().zip(now) {
                *total = Changing::new(now as i64);
                write_uint(bits, now);
            }
            sum = XorValue::new(histogram.sum.to_bits());
            bits.write(histogram.sum.to_bits(), 64);
        } else {
            time.write(histogram.timestamp_ms, bits);
            for (total, now) in totals.iter_mut().zip(now) {
                match is_stale {
                    true => write_int(bits, 0),
                    false => total.write(now as i64, bits),
                }
            }
            sum.write(histogram.sum.to_bits(), bits);
        }
        if is_stale {
            continue;
        }
        let [positive, negative] = places.fill::<Integers>(histogram);
        let deltas = deltas(positive).chain(deltas(negative));
        if place == 0 {
            buckets = deltas.map(Changing::new).collect();
            buckets.iter().for_each(|it| write_int(bits, it.last()));
        } else {
            for (bucket, delta) in buckets.iter_mut().zip(deltas) {
                bucket.write(delta, bits);
            }
        }
    }
}

fn write_floats(group: &Group, histograms: &[Histogram], bits: &mut BitWriter) {
    let mut places = Places::new(group);
    let mut time = Changing::default();
    // Of all observations, of those in the zero bucket, of the sum.
    let mut totals = [XorValue::default(); 3];
    let mut buckets: Vec<XorValue> = Vec::new();
    let begin = |value: f64, bits: &mut BitWriter| {
        bits.write(value.to_bits(), 64);
        XorValue::new(value.to_bits())
    };
    for (place, histogram) in histograms.iter().enumerate() {
        let is_stale = histogram.is_stale();
        let [count, zero_count] = match is_stale {
            true => [0.0; 2],
            false => Floats::totals(histogram),
        };
        let now = [count, zero_count, histogram.sum];
        if place == 0 {
            time = Changing::new(histogram.timestamp_ms);
            write_int(bits, histogram.timestamp_ms);
            totals = now.map(|now| begin(now, bits));
        } else {
            time.write(histogram.timestamp_ms, bits);
            for (total, now) in totals.iter_mut().zip(now) {
                total.write(now.to_bits(), bits);
            }
        }
        if is_stale {
            continue;
        }
        let [positive, negative] = places.fill::<Floats>(histogram);
        let counts = positive.iter().chain(negative).copied();
        if place == 0 {
            buckets = counts.map(|count| begin(count, bits)).collect();
        } else {
            for (bucket, count) in buckets.iter_mut().zip(counts) {
                bucket.write(count.to_bits(), bits);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use prom_model::{Count, Labels, STALE_MARKER_BITS, Sample};
    use proptest::prelude::*;
    use prost::Message;

    use super::super::{decode_histograms, to_chunks_between};
    use super::*;
    use crate::prompb;
    use crate::response::{Series, chunks};

    /// Lines of: name, samples, chunks; see `generate.go` beside it.
    const VECTORS: &str = include_str!("../../tests/golden/histograms/vectors.txt");

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    fn series(samples: &str) -> Series {
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        for sample in samples.split(',') {
            match sample.split(':').collect::<Vec<_>>()[..] {
                ["f", time, bits] => floats.push(Sample {
                    timestamp_ms: time.parse().unwrap(),
                    value: f64::from_bits(u64::from_str_radix(bits, 16).unwrap()),
                }),
                ["h", message] => {
                    let message = prompb::Histogram::decode(&*bytes(message)).unwrap();
                    histograms.push(message.into());
                }
                _ => panic!("{sample}"),
            }
        }
        Series {
            labels: Labels::default(),
            chunks: to_chunks_between(floats, &histograms),
            histograms,
        }
    }

    #[test]
    fn chunks_are_those_of_prometheus_bit_by_bit() {
        let (mut names, mut samples) = (Vec::new(), 0);
        for line in VECTORS.lines() {
            let [name, given, expected] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let series = series(given);
            let mut expected = expected.split(',');
            for chunk in chunks(&series) {
                let text = expected
                    .next()
                    .unwrap_or_else(|| panic!("{name}: a chunk more"));
                let [encoding, min, max, data] = text.split(':').collect::<Vec<_>>()[..] else {
                    panic!("{text}")
                };
                let head = [
                    i64::from(chunk.r#type),
                    chunk.min_time_ms,
                    chunk.max_time_ms,
                ];
                let expected = [encoding, min, max].map(|it| it.parse::<i64>().unwrap());
                assert_eq!(head, expected, "{name}");
                assert_eq!(STANDARD.encode(&chunk.data), data, "{name} at {min}");
            }
            assert_eq!(expected.next(), None, "{name}: a chunk less");
            samples += series.len();
            names.push(name);
        }
        assert!(names.len() > 50 && samples > 2_500, "{samples} {names:?}");
    }

    /// The content of a histogram, in whatever spans: bits of its totals and of its buckets with
    /// observations, and whether it is a gauge.
    fn content(histogram: &Histogram) -> (Vec<u64>, [Vec<(i64, u64)>; 2], bool) {
        let bits = |count: &Option<Count>| match count {
            Some(Count::Float(count)) => count.to_bits(),
            Some(Count::Int(count)) => *count,
            None => 0,
        };
        let mut totals = vec![
            histogram.timestamp_ms as u64,
            u64::from(histogram.is_float()),
            histogram.sum.to_bits(),
        ];
        if histogram.is_stale() {
            return (totals, Default::default(), false);
        }
        totals.extend([
            bits(&histogram.count),
            bits(&histogram.zero_count),
            histogram.schema as u64,
            // Prometheus writes a zero without its sign.
            (histogram.zero_threshold + 0.0).to_bits(),
        ]);
        let bounds = histogram.custom_values.iter();
        totals.extend(bounds.map(|bound| (bound + 0.0).to_bits()));
        let side = |buckets: &Buckets| -> Vec<(i64, u64)> {
            let counts: Vec<f64> = match histogram.is_float() {
                true => Floats::counts(buckets).collect(),
                false => Integers::counts(buckets)
                    .map(|count| count as f64)
                    .collect(),
            };
            let all = indexes(&buckets.spans).zip(counts);
            all.filter(|(_, count)| *count != 0.0)
                .map(|(index, count)| (index, count.to_bits()))
                .collect()
        };
        let sides = [side(&histogram.positive), side(&histogram.negative)];
        (totals, sides, histogram.reset_hint == 3)
    }

    fn decoded(chunks: &[HistogramChunk]) -> Vec<Histogram> {
        let decoded = chunks
            .iter()
            .map(|it| decode_histograms(it.is_float, &it.data));
        decoded.flatten().collect()
    }

    #[test]
    fn written_histograms_are_read() {
        for line in VECTORS.lines() {
            let given = line.split(' ').nth(1).unwrap();
            let histograms = series(given).histograms;
            let chunks: Vec<_> = HistogramChunks::new(&histograms).collect();
            let read = decoded(&chunks);
            assert_eq!(read.len(), histograms.len());
            for (read, written) in read.iter().zip(&histograms) {
                assert_eq!(content(read), content(written), "{line:.40}");
            }
        }
    }

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        let offset = prop_oneof![-3..9_i32, any::<i32>()];
        let length = prop_oneof![0..6_u32, any::<u32>()];
        let span = (offset, length).prop_map(|(offset, length)| Span { offset, length });
        prop::collection::vec(span, 0..6)
    }

    /// Histograms that need not be valid.
    fn any_histogram() -> impl Strategy<Value = Histogram> {
        let side = || {
            let numbers = prop_oneof![0..4_i64, any::<i64>()];
            (spans(), prop::collection::vec(numbers, 0..12)).prop_map(|(spans, deltas)| Buckets {
                spans,
                counts: deltas.iter().map(|it| *it as f64).collect(),
                deltas,
            })
        };
        let sum = prop_oneof![any::<u64>(), Just(STALE_MARKER_BITS)];
        let scale = (prop_oneof![Just(0_i32), Just(-53), any::<i32>()], 0..2_u8);
        (
            any::<bool>(),
            any::<u64>(),
            sum,
            scale,
            0..5_i32,
            side(),
            side(),
        )
            .prop_map(
                |(is_float, count, sum, (schema, threshold), reset_hint, positive, negative)| {
                    let total = match is_float {
                        true => Count::Float(f64::from_bits(count)),
                        false => Count::Int(count),
                    };
                    Histogram {
                        timestamp_ms: count as i64,
                        count: Some(total),
                        sum: f64::from_bits(sum),
                        schema,
                        zero_threshold: f64::from(threshold),
                        zero_count: Some(total),
                        positive,
                        negative,
                        reset_hint,
                        custom_values: vec![f64::from_bits(sum)],
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn any_histogram_can_be_written(all in prop::collection::vec(any_histogram(), 0..40)) {
            let chunks: Vec<_> = HistogramChunks::new(&all).collect();
            let lens = chunks.iter().map(|it| usize::from(it.data[0]) << 8 | usize::from(it.data[1]));
            prop_assert_eq!(lens.sum::<usize>(), all.len());
        }

        #[test]
        fn any_bytes_can_be_read(is_float: bool, data: Vec<u8>) {
            decode_histograms(is_float, &data);
            // Past the head and the count of spans.
            let head = [0, 9, 0, 0, 0b0110_0001];
            decode_histograms(is_float, &[&head[..], &data].concat());
        }
    }

    #[test]
    fn a_layout_is_not_widened_without_end() {
        // Gauges of which none has a bucket of another one.
        let of = |place: i32| Histogram {
            timestamp_ms: i64::from(place),
            positive: Buckets {
                spans: vec![Span {
                    offset: place * 1_000,
                    length: 1_000,
                }],
                deltas: vec![0; 1_000],
                counts: vec![],
            },
            reset_hint: 3,
            ..Histogram::default()
        };
        let all: Vec<_> = (0..50).map(of).collect();
        let chunks: Vec<_> = HistogramChunks::new(&all).collect();
        assert_eq!(chunks.len(), 13);
        let read = decoded(&chunks);
        assert!(read.iter().map(content).eq(all.iter().map(content)));
        assert!(read.iter().all(|it| it.positive.deltas.len() <= 4_096));
        // Offsets that no span can say.
        let far = |offset, timestamp_ms| Histogram {
            timestamp_ms,
            positive: Buckets {
                spans: vec![Span { offset, length: 1 }],
                deltas: vec![0],
                counts: vec![],
            },
            reset_hint: 3,
            ..Histogram::default()
        };
        let all = [far(i32::MIN, 1), far(i32::MAX, 2)];
        let chunks: Vec<_> = HistogramChunks::new(&all).collect();
        assert_eq!(chunks.len(), 2);
    }
}
