//! Float samples to the XOR chunks of Prometheus, and back; native histograms have chunks of their own
//! ([`HistogramChunks`]).
//!
//! A chunk is the number of its samples (16 bits), the first sample, and for each further one the change of the
//! distance to the one before and the changed bits of the value. The format is
//! <https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/chunks.md#xor-chunk-data>;
//! `tests/golden/xor` has chunks that Prometheus' own encoder made.

mod bits;
mod decode;
mod fit;
mod histogram;
mod layout;
mod value;
mod varbit;

use prom_model::{Histogram, Sample};

use bits::{BitReader, BitWriter};
pub use decode::decode_histograms;
pub use histogram::{HistogramChunk, HistogramChunks};
use value::XorValue;

/// Samples of a full chunk: as many as Prometheus itself puts into one.
pub const MAX_SAMPLES: usize = 120;

/// A change of distance that is written in so many bits, after the prefix.
const DISTANCES: [(u32, u64, u32); 3] = [(14, 0b10, 2), (17, 0b110, 3), (20, 0b1110, 4)];

/// Encoded samples in increasing order of time; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Time of the first sample, in milliseconds since the Unix epoch.
    pub min_time_ms: i64,
    /// Time of the last sample.
    pub max_time_ms: i64,
    /// The samples.
    pub data: Box<[u8]>,
}

impl Chunk {
    /// Returns the number of samples.
    pub fn len(&self) -> usize {
        let count = self.data.first_chunk().copied().unwrap_or_default();
        usize::from(u16::from_be_bytes(count))
    }

    /// Returns true if there are no samples; no [`Encoder`] creates such a chunk.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the samples in their order.
    pub fn samples(&self) -> Decoder<'_> {
        Decoder::new(&self.data)
    }
}

/// Encodes samples into a chunk.
#[derive(Debug, Default)]
pub struct Encoder {
    bits: BitWriter,
    count: u16,
    min_time_ms: i64,
    time_ms: i64,
    distance: u64,
    value: XorValue,
}

impl Encoder {
    /// Returns the number of samples so far.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Returns true if there are no samples.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the number of bytes so far.
    pub fn bytes(&self) -> usize {
        self.bits.len()
    }

    /// Returns the time of the last sample, if there is one.
    pub fn last_time_ms(&self) -> Option<i64> {
        (self.count > 0).then_some(self.time_ms)
    }

    /// Appends a sample, which must be later than the last one.
    ///
    /// # Panics
    /// The chunk is full: it holds [`MAX_SAMPLES`].
    pub fn push(&mut self, sample: Sample) {
        assert!(self.len() < MAX_SAMPLES, "the chunk is full");
        let (time_ms, value) = (sample.timestamp_ms, sample.value.to_bits());
        let distance = time_ms.wrapping_sub(self.time_ms) as u64;
        match self.count {
            0 => {
                // The count, which is known in the end.
                self.bits.write(0, 16);
                self.bits.write_varint(zigzag(time_ms));
                self.bits.write(value, 64);
                self.value = XorValue::new(value);
                self.min_time_ms = time_ms;
            }
            1 => {
                self.bits.write_varint(distance);
                self.value.write(value, &mut self.bits);
            }
            _ => {
                self.write_change(distance.wrapping_sub(self.distance) as i64);
                self.value.write(value, &mut self.bits);
            }
        }
        self.distance = distance;
        self.time_ms = time_ms;
        self.count += 1;
    }

    /// Returns the chunk of all samples since the last call, and starts a new one; `None` if there are none.
    pub fn take(&mut self) -> Option<Chunk> {
        if self.is_empty() {
            return None;
        }
        let mut data = self.bits.take();
        data[..2].copy_from_slice(&self.count.to_be_bytes());
        let chunk = Chunk {
            min_time_ms: self.min_time_ms,
            max_time_ms: self.time_ms,
            data,
        };
        *self = Self {
            bits: std::mem::take(&mut self.bits),
            ..Self::default()
        };
        Some(chunk)
    }

    fn write_change(&mut self, change: i64) {
        if change == 0 {
            return self.bits.write(0, 1);
        }
        for (width, prefix, prefix_bits) in DISTANCES {
            if varbit::fits(change, width) {
                self.bits.write(prefix, prefix_bits);
                return self.bits.write(change as u64, width);
            }
        }
        self.bits.write(0b1111, 4);
        self.bits.write(change as u64, 64);
    }
}

/// Iterates over the samples of a chunk in their order, and ends early if the bytes do.
#[derive(Clone, Debug)]
pub struct Decoder<'c> {
    bits: BitReader<'c>,
    left: u16,
    is_first: bool,
    /// True if the next sample is the second one.
    is_second: bool,
    time_ms: i64,
    distance: u64,
    value: XorValue,
}

impl<'c> Decoder<'c> {
    /// Reads the bytes of a chunk.
    pub fn new(data: &'c [u8]) -> Self {
        let mut bits = BitReader::new(data);
        Self {
            left: bits.read(16).map_or(0, |count| count as u16),
            bits,
            is_first: true,
            is_second: false,
            time_ms: 0,
            distance: 0,
            value: XorValue::default(),
        }
    }

    fn read_sample(&mut self) -> Option<Sample> {
        let value = if self.is_first {
            self.time_ms = unzigzag(self.bits.read_varint()?);
            let value = self.bits.read(64)?;
            self.value = XorValue::new(value);
            value
        } else {
            self.distance = match self.is_second {
                true => self.bits.read_varint()?,
                false => self.distance.wrapping_add(self.read_change()? as u64),
            };
            self.time_ms = self.time_ms.wrapping_add(self.distance as i64);
            self.value.read(&mut self.bits)?
        };
        self.is_second = std::mem::take(&mut self.is_first);
        Some(Sample {
            timestamp_ms: self.time_ms,
            value: f64::from_bits(value),
        })
    }

    fn read_change(&mut self) -> Option<i64> {
        if !self.bits.read_bit()? {
            return Some(0);
        }
        for (width, ..) in DISTANCES {
            if !self.bits.read_bit()? {
                return varbit::read_signed(&mut self.bits, width);
            }
        }
        Some(self.bits.read(64)? as i64)
    }
}

impl Iterator for Decoder<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        self.left = self.left.checked_sub(1)?;
        let sample = self.read_sample();
        if sample.is_none() {
            self.left = 0;
        }
        sample
    }
}

/// Encodes samples in the order of time, each time once.
pub fn to_chunks(samples: impl IntoIterator<Item = Sample>) -> Vec<Chunk> {
    to_chunks_between(samples, &[])
}

/// Encodes samples as [`to_chunks`] does, and also ends a chunk if one of `histograms` comes before the next sample,
/// so that the chunks of floats and of histograms can be sorted. `histograms` are in the order of time.
pub fn to_chunks_between(
    samples: impl IntoIterator<Item = Sample>,
    histograms: &[Histogram],
) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut open = Encoder::default();
    let mut later = histograms.iter().map(|it| it.timestamp_ms).peekable();
    for sample in samples {
        let mut is_end = open.len() == MAX_SAMPLES;
        while let Some(time_ms) = later.next_if(|time_ms| *time_ms <= sample.timestamp_ms) {
            is_end |= time_ms < sample.timestamp_ms;
        }
        if is_end {
            chunks.extend(open.take());
        }
        open.push(sample);
    }
    chunks.extend(open.take());
    chunks
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(samples: &[(i64, u64)]) -> Chunk {
        let mut encoder = Encoder::default();
        for (timestamp_ms, bits) in samples {
            encoder.push(Sample {
                timestamp_ms: *timestamp_ms,
                value: f64::from_bits(*bits),
            });
        }
        encoder.take().unwrap()
    }

    fn decode(data: &[u8]) -> Vec<(i64, u64)> {
        Decoder::new(data)
            .map(|sample| (sample.timestamp_ms, sample.value.to_bits()))
            .collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Lines of: name, samples as `time:bits` with commas between them, chunk.
    const VECTORS: &str = include_str!("../tests/golden/xor/vectors.txt");

    #[test]
    fn chunks_are_those_of_prometheus_bit_by_bit() {
        let mut names = Vec::new();
        for line in VECTORS.lines() {
            let [name, samples, expected] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let sample = |text: &str| {
                let (time, bits) = text.split_once(':').unwrap();
                let bits = u64::from_str_radix(bits, 16).unwrap();
                (time.parse::<i64>().unwrap(), bits)
            };
            let samples: Vec<_> = samples.split(',').map(sample).collect();
            let chunk = encode(&samples);
            assert_eq!(hex(&chunk.data), expected, "{name}");
            assert_eq!(decode(&chunk.data), samples, "{name}");
            assert_eq!(chunk.len(), samples.len(), "{name}");
            let ends = [samples[0].0, samples[samples.len() - 1].0];
            assert_eq!([chunk.min_time_ms, chunk.max_time_ms], ends, "{name}");
            names.push(name);
        }
        assert!(names.len() > 20, "{names:?}");
    }

    /// Distances of which many need each of the widths, and any at all.
    fn distances() -> impl Strategy<Value = u64> {
        prop_oneof![
            Just(15_000_u64),
            14_990_u64..15_010,
            (3_u32..30, 0_u64..3).prop_map(|(bits, off)| (1 << bits) + off - 1),
            any::<u64>(),
        ]
    }

    fn values() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (0_u32..100_000).prop_map(|count| f64::from(count).to_bits()),
            (0_u32..64, 0_u32..64).prop_map(|(a, b)| 1 << a | 1 << b),
            Just(0x7ff0_0000_0000_0002),
        ]
    }

    proptest! {
        #[test]
        fn encoded_samples_are_decoded(
            start: i64,
            rest in prop::collection::vec((distances(), values()), 1..=MAX_SAMPLES),
        ) {
            // Times that wrap around are as good as any here.
            let samples: Vec<_> = rest
                .into_iter()
                .scan(start, |time, (distance, bits)| {
                    *time = time.wrapping_add(distance as i64);
                    Some((*time, bits))
                })
                .collect();
            let chunk = encode(&samples);
            prop_assert_eq!(decode(&chunk.data), samples);
        }

        #[test]
        fn any_bytes_can_be_read(data: Vec<u8>) {
            let count = data.first_chunk().map_or(0, |count| u16::from_be_bytes(*count));
            prop_assert!(decode(&data).len() <= usize::from(count));
        }
    }

    #[test]
    fn an_encoder_starts_over_after_each_chunk() {
        let mut encoder = Encoder::default();
        assert_eq!(encoder.take(), None);
        assert_eq!(encoder.last_time_ms(), None);
        let sample = |timestamp_ms| Sample {
            timestamp_ms,
            value: 1.0,
        };
        encoder.push(sample(7));
        encoder.push(sample(9));
        assert_eq!(encoder.last_time_ms(), Some(9));
        let bytes = encoder.bytes();
        let first = encoder.take().unwrap();
        assert_eq!(first.data.len(), bytes);
        encoder.push(sample(7));
        encoder.push(sample(9));
        assert_eq!(encoder.take(), Some(first));
        assert!(encoder.is_empty());
    }

    #[test]
    fn a_chunk_ends_where_a_histogram_is_between_its_samples() {
        let histograms = [1, 2, 6, 7, 9, 20, 31].map(|timestamp_ms| Histogram {
            timestamp_ms,
            ..Histogram::default()
        });
        let samples = [2, 3, 5, 9, 10, 20, 30].map(|timestamp_ms| Sample {
            timestamp_ms,
            value: 1.0,
        });
        let chunks = to_chunks_between(samples, &histograms);
        let times: Vec<_> = chunks
            .iter()
            .map(|it| (it.min_time_ms, it.max_time_ms))
            .collect();
        // Those of 2, 9 and 20 are at the time of a sample.
        assert_eq!(times, [(2, 5), (9, 30)]);
        assert!(chunks.iter().flat_map(Chunk::samples).eq(samples));
    }
}
