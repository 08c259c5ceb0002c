//! The layout of a chunk of native histograms: what all its histograms have in common.
//!
//! It is written once, before the first histogram. All others have buckets of the same indexes, including those
//! without observations.

use prom_model::{Histogram, Span};

use super::bits::{BitReader, BitWriter};
use super::varbit::{read_int, read_uint, write_int, write_uint};

/// The schema whose bucket boundaries are listed.
const CUSTOM_BUCKETS: i32 = -53;
/// A zero threshold that is a power of two is written as its exponent and this number, if the exponent is in
/// the range. 0 stands for 0, and 255 stands before the bits of all others.
const EXPONENT_BIAS: i32 = 243;
const EXPONENTS: std::ops::RangeInclusive<i32> = -242..=11;
/// A listed boundary is written as so many thousandths, up to this many, if it is such a number.
const MAX_THOUSANDTHS: f64 = 33_554_430.0;

/// The properties that all histograms of a chunk share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive: Vec<Span>,
    pub(super) negative: Vec<Span>,
    pub(super) custom_values: Vec<f64>,
}

impl Layout {
    /// Returns the layout of one histogram.
    pub(super) fn of(histogram: &Histogram) -> Self {
        Self {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive: histogram.positive.spans.clone(),
            negative: histogram.negative.spans.clone(),
            custom_values: histogram.custom_values.clone(),
        }
    }

    /// Returns the layout of a stale histogram.
    pub(super) fn empty() -> Self {
        Self::of(&Histogram::default())
    }

    /// Returns true if a histogram differs in its schema or the width of its zero bucket.
    pub(super) fn has_other_scale(&self, histogram: &Histogram) -> bool {
        self.schema != histogram.schema || self.zero_threshold != histogram.zero_threshold
    }

    /// Returns true if a histogram of the same schema has other boundaries.
    pub(super) fn has_other_bounds(&self, histogram: &Histogram) -> bool {
        self.schema == CUSTOM_BUCKETS && self.custom_values != histogram.custom_values
    }

    /// Appends the layout.
    pub(super) fn write(&self, bits: &mut BitWriter) {
        write_zero_threshold(bits, self.zero_threshold);
        write_int(bits, i64::from(self.schema));
        for spans in [&self.positive, &self.negative] {
            write_uint(bits, spans.len() as u64);
            for span in spans {
                write_uint(bits, u64::from(span.length));
                write_int(bits, i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS {
            write_uint(bits, self.custom_values.len() as u64);
            for bound in &self.custom_values {
                write_bound(bits, *bound);
            }
        }
    }

    /// Reads what [`Self::write`] wrote.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let zero_threshold = read_zero_threshold(bits)?;
        let schema = i32::try_from(read_int(bits)?).ok()?;
        let positive = read_spans(bits)?;
        let negative = read_spans(bits)?;
        let mut custom_values = Vec::new();
        if schema == CUSTOM_BUCKETS {
            for _ in 0..read_uint(bits)? {
                custom_values.push(read_bound(bits)?);
            }
        }
        Some(Self {
            schema,
            zero_threshold,
            positive,
            negative,
            custom_values,
        })
    }
}

fn read_spans(bits: &mut BitReader<'_>) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    // Each takes bits, so the count alone takes no memory.
    for _ in 0..read_uint(bits)? {
        let length = u32::try_from(read_uint(bits)?).ok()?;
        let offset = i32::try_from(read_int(bits)?).ok()?;
        spans.push(Span { offset, length });
    }
    Some(spans)
}

/// Returns the exponent of a power of two, as that of the mantissa 0.5.
fn exponent_of_power(value: f64) -> Option<i32> {
    let bits = value.to_bits();
    let is_power = bits.trailing_zeros() >= 52 && value.is_normal() && value > 0.0;
    is_power.then(|| (bits >> 52) as i32 - 1_022)
}

fn write_zero_threshold(bits: &mut BitWriter, threshold: f64) {
    if threshold == 0.0 {
        return bits.write(0, 8);
    }
    match exponent_of_power(threshold).filter(|it| EXPONENTS.contains(it)) {
        Some(exponent) => bits.write((exponent + EXPONENT_BIAS) as u64, 8),
        None => {
            bits.write(255, 8);
            bits.write(threshold.to_bits(), 64);
        }
    }
}

fn read_zero_threshold(bits: &mut BitReader<'_>) -> Option<f64> {
    Some(match bits.read(8)? {
        0 => 0.0,
        255 => f64::from_bits(bits.read(64)?),
        byte => f64::from_bits(((byte as i32 - EXPONENT_BIAS + 1_022) as u64) << 52),
    })
}

fn write_bound(bits: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1_000.0;
    if (0.0..=MAX_THOUSANDTHS).contains(&thousandths) && thousandths.round() / 1_000.0 == bound {
        return write_uint(bits, thousandths.round() as u64 + 1);
    }
    bits.write(0, 1);
    bits.write(bound.to_bits(), 64);
}

fn read_bound(bits: &mut BitReader<'_>) -> Option<f64> {
    Some(match read_uint(bits)? {
        0 => f64::from_bits(bits.read(64)?),
        thousandths => (thousandths - 1) as f64 / 1_000.0,
    })
}

/// Returns the indexes of buckets in their order.
pub(super) fn indexes(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut next = 0;
    spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    })
}

/// Returns the fewest spans that have these indexes, which are in their order; `None` if they are too far apart
/// for any.
pub(super) fn to_spans(indexes: &[i64]) -> Option<Vec<Span>> {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for &index in indexes {
        match spans.last_mut() {
            Some(last) if index == next => last.length += 1,
            _ => spans.push(Span {
                offset: i32::try_from(index - next).ok()?,
                length: 1,
            }),
        }
        next = index + 1;
    }
    Some(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(all: &[(i32, u32)]) -> Vec<Span> {
        let spans = all.iter();
        spans
            .map(|&(offset, length)| Span { offset, length })
            .collect()
    }

    #[test]
    fn spans_and_the_indexes_that_they_have() {
        let all = spans(&[(-2, 2), (0, 1), (3, 0), (1, 2), (5, 0)]);
        let found: Vec<_> = indexes(&all).collect();
        assert_eq!(found, [-2, -1, 0, 5, 6]);
        assert_eq!(to_spans(&found), Some(spans(&[(-2, 3), (4, 2)])));
        assert_eq!(to_spans(&[]), Some(vec![]));
        let far = [i64::from(i32::MIN), i64::from(i32::MAX)];
        assert_eq!(to_spans(&far), None);
    }

    #[test]
    fn layouts_are_read_as_they_were_written() {
        let thresholds = [
            0.0,
            0.001,
            0.5,
            1.0,
            1_024.0,
            2_048.0,
            5e-324,
            f64::INFINITY,
        ];
        let tiny = [-243, -244].map(|exponent| 2_f64.powi(exponent));
        for zero_threshold in thresholds.into_iter().chain(tiny) {
            let layout = Layout {
                schema: -53,
                zero_threshold,
                positive: spans(&[(i32::MIN, 0), (i32::MAX, u32::MAX)]),
                negative: vec![],
                custom_values: vec![-1.0, 0.0, 0.005, 1.0 / 3.0, 33_554.43, 33_554.431, 1e300],
            };
            let mut writer = BitWriter::default();
            layout.write(&mut writer);
            let bytes = writer.take();
            assert_eq!(Layout::read(&mut BitReader::new(&bytes)), Some(layout));
        }
    }
}
