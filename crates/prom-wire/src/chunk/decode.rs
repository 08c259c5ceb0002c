//! Chunks to native histograms.

use prom_model::{Buckets, Count, Histogram, STALE_MARKER_BITS, Span};

use super::bits::BitReader;
use super::fit::Start;
use super::layout::Layout;
use super::value::XorValue;
use super::varbit::{Changing, read_int, read_uint};

/// Numbers of a chunk, as they were before.
enum State {
    Integers {
        totals: [Changing; 2],
        buckets: Vec<Changing>,
    },
    Floats {
        totals: [XorValue; 2],
        buckets: Vec<XorValue>,
    },
}

/// Returns the histograms of a chunk in their order, with the reset hints that follow from their places. They
/// end early if the bytes do.
pub fn decode_histograms(is_float: bool, data: &[u8]) -> Vec<Histogram> {
    let mut all = Vec::new();
    // Histograms before an error are returned.
    let _ = decode(is_float, data, &mut all);
    all
}

fn decode(is_float: bool, data: &[u8], all: &mut Vec<Histogram>) -> Option<()> {
    let mut bits = BitReader::new(data);
    let count = bits.read(16)?;
    let start = Start::from_header(bits.read(8)? as u8);
    if count == 0 {
        return None;
    }
    let layout = Layout::read(&mut bits)?;
    let lens = [&layout.positive, &layout.negative].map(|spans| buckets_of(spans));
    // Each bucket takes a bit at least.
    let buckets = usize::try_from(lens[0].checked_add(lens[1])?).ok()?;
    if buckets > data.len() * 8 {
        return None;
    }
    let positive = usize::try_from(lens[0]).ok()?;
    let mut time = Changing::new(read_int(&mut bits)?);
    let (mut state, mut sum) = match is_float {
        false => {
            let totals = [read_uint(&mut bits)?, read_uint(&mut bits)?];
            let sum = bits.read(64)?;
            let buckets = (0..buckets).map(|_| read_int(&mut bits).map(Changing::new));
            let buckets = buckets.collect::<Option<_>>()?;
            let totals = totals.map(|total| Changing::new(total as i64));
            (State::Integers { totals, buckets }, sum)
        }
        true => {
            let totals = [bits.read(64)?, bits.read(64)?].map(XorValue::new);
            let sum = bits.read(64)?;
            let buckets = (0..buckets).map(|_| bits.read(64).map(XorValue::new));
            let buckets = buckets.collect::<Option<_>>()?;
            (State::Floats { totals, buckets }, sum)
        }
    };
    let mut sums = XorValue::new(sum);
    for place in 0..count {
        if place > 0 {
            time.read(&mut bits)?;
            state.read_totals(&mut bits)?;
            sum = sums.read(&mut bits)?;
            if sum != STALE_MARKER_BITS {
                state.read_buckets(&mut bits)?;
            }
        }
        let hint = match start {
            Start::Gauge => 3,
            _ if place > 0 => 2,
            _ => 0,
        };
        let histogram = match sum {
            STALE_MARKER_BITS => Histogram {
                count: is_float.then_some(Count::Float(0.0)),
                ..Histogram::default()
            },
            _ => state.histogram(&layout, positive, hint),
        };
        all.push(Histogram {
            timestamp_ms: time.last(),
            sum: f64::from_bits(sum),
            ..histogram
        });
    }
    Some(())
}

fn buckets_of(spans: &[Span]) -> u64 {
    spans.iter().map(|span| u64::from(span.length)).sum()
}

impl State {
    fn read_totals(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        match self {
            Self::Integers { totals, .. } => {
                totals.iter_mut().try_for_each(|it| it.read(bits).map(drop))
            }
            Self::Floats { totals, .. } => {
                totals.iter_mut().try_for_each(|it| it.read(bits).map(drop))
            }
        }
    }

    fn read_buckets(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        match self {
            Self::Integers { buckets, .. } => buckets
                .iter_mut()
                .try_for_each(|it| it.read(bits).map(drop)),
            Self::Floats { buckets, .. } => buckets
                .iter_mut()
                .try_for_each(|it| it.read(bits).map(drop)),
        }
    }

    fn histogram(&self, layout: &Layout, positive: usize, reset_hint: i32) -> Histogram {
        let sides = [&layout.positive, &layout.negative];
        let mut sides = sides.map(|spans| Buckets {
            spans: spans.clone(),
            ..Buckets::default()
        });
        let [count, zero_count] = match self {
            Self::Integers { totals, buckets } => {
                let deltas: Vec<i64> = buckets.iter().map(|it| it.last()).collect();
                let (positive, negative) = deltas.split_at(positive);
                (sides[0].deltas, sides[1].deltas) = (positive.to_vec(), negative.to_vec());
                totals.map(|it| Count::Int(it.last() as u64))
            }
            Self::Floats { totals, buckets } => {
                let counts: Vec<f64> = buckets.iter().map(|it| f64::from_bits(it.bits())).collect();
                let (positive, negative) = counts.split_at(positive);
                (sides[0].counts, sides[1].counts) = (positive.to_vec(), negative.to_vec());
                totals.map(|it| Count::Float(f64::from_bits(it.bits())))
            }
        };
        let [positive, negative] = sides;
        Histogram {
            count: Some(count),
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: Some(zero_count),
            positive,
            negative,
            reset_hint,
            custom_values: layout.custom_values.clone(),
            ..Histogram::default()
        }
    }
}
