//! Native histograms, which both versions of remote write encode alike.

use prom_model::{Buckets, Count, Histogram, Span};

use crate::limits::DecodeLimits;
use crate::protobuf::{MessageError, Reader, Value};

/// Reads a histogram; remote write 2.0 adds a start timestamp to the fields of 1.0.
pub(super) fn histogram(
    mut message: Reader<'_>,
    limits: &mut DecodeLimits<'_>,
    has_start: bool,
) -> Result<Histogram, MessageError> {
    let mut read = Histogram::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => read.count = Some(Count::Int(value.uint64()?)),
            2 => read.count = Some(Count::Float(value.double()?)),
            3 => read.sum = value.double()?,
            4 => read.schema = value.sint32()?,
            5 => read.zero_threshold = value.double()?,
            6 => read.zero_count = Some(Count::Int(value.uint64()?)),
            7 => read.zero_count = Some(Count::Float(value.double()?)),
            8..=10 => side(&mut read.negative, number - 8, &message, value, limits)?,
            11..=13 => side(&mut read.positive, number - 11, &message, value, limits)?,
            14 => read.reset_hint = value.int32()?,
            15 => read.timestamp_ms = value.int64()?,
            16 => doubles(&mut read.custom_values, value, limits)?,
            // The start timestamp is dropped, but must be a number.
            17 if has_start => {
                value.int64()?;
            }
            _ => {}
        }
    }
    Ok(read)
}

/// Reads one field of the positive or negative buckets: 0 the spans, 1 the deltas, 2 the counts.
fn side<'a>(
    side: &mut Buckets,
    field: u32,
    histogram: &Reader<'a>,
    value: Value<'a>,
    limits: &mut DecodeLimits<'_>,
) -> Result<(), MessageError> {
    match field {
        0 => {
            limits.bucket()?;
            side.spans.push(span(histogram.message(value)?)?);
            Ok(())
        }
        1 => value.each_varint(|value| {
            limits.bucket()?;
            side.deltas.push(value.sint64()?);
            Ok(())
        }),
        _ => doubles(&mut side.counts, value, limits),
    }
}

fn doubles(
    list: &mut Vec<f64>,
    value: Value<'_>,
    limits: &mut DecodeLimits<'_>,
) -> Result<(), MessageError> {
    value.each_fixed64(|value| {
        limits.bucket()?;
        list.push(value.double()?);
        Ok(())
    })
}

fn span(mut message: Reader<'_>) -> Result<Span, MessageError> {
    let mut span = Span::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => span.offset = value.sint32()?,
            2 => span.length = value.uint32()?,
            _ => {}
        }
    }
    Ok(span)
}
