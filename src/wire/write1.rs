//! Remote write 1.0: the message `prometheus.WriteRequest` to a request that borrows its texts.
//!
//! Field numbers: `proto/prometheus.proto`. Tests hold the result equal to that of the decoder
//! generated from it.

use hashbrown::HashMap;

use super::histogram::histogram;
use super::limits::DecodeLimits;
use super::protobuf::{Fault, Reader};
use crate::budget::Reservation;
use crate::model::{MetricType, Sample};
use crate::received::{Exemplar, Item, Label, LabelId, Metadata, Request};

/// The field of a write request that is a series.
const SERIES: u32 = 1;

pub(super) fn request<'a>(
    message: &'a [u8],
    reservation: &mut Reservation,
) -> Result<Request<'a>, Fault> {
    let mut limits = DecodeLimits::new(reservation);
    let mut message = Reader::new(message);
    let series = count_series(message.clone(), &mut limits)?;
    let mut decoder = Decoder {
        request: Request::with_room_for(series),
        limits,
        known: HashMap::new(),
    };
    while let Some((number, value)) = message.next()? {
        match number {
            SERIES => decoder.add_series(message.message(value)?)?,
            3 => {
                decoder.limits.metadata(value.bytes()?.len())?;
                let read = metadata(message.message(value)?)?;
                decoder.request.metadata.push(read);
            }
            _ => {}
        }
    }
    Ok(decoder.request)
}

fn count_series(mut message: Reader<'_>, limits: &mut DecodeLimits<'_>) -> Result<usize, Fault> {
    let mut series = 0;
    while let Some((number, _)) = message.next()? {
        if number == SERIES {
            limits.series()?;
            series += 1;
        }
    }
    Ok(series)
}

struct Decoder<'a, 'm> {
    request: Request<'a>,
    limits: DecodeLimits<'m>,
    /// Labels that were read, by the bytes that stand for them: most labels are those of an earlier
    /// series, and need not be read again.
    known: HashMap<&'a [u8], LabelId>,
}

impl<'a> Decoder<'a, '_> {
    fn add_series(&mut self, mut message: Reader<'a>) -> Result<(), Fault> {
        let limits = &mut self.limits;
        let request = &mut self.request;
        while let Some((number, value)) = message.next()? {
            match number {
                1 => {
                    limits.label()?;
                    let bytes = value.bytes()?;
                    match self.known.get(bytes) {
                        Some(&id) => request.push_known_label(id),
                        None => {
                            let (name, value) = label(message.message(value)?)?;
                            limits.new_label(name, value)?;
                            self.known.insert(bytes, request.push_label(name, value));
                        }
                    }
                }
                2 => {
                    limits.sample()?;
                    request.push_sample(sample(message.message(value)?)?);
                }
                3 => {
                    limits.exemplar()?;
                    let read = exemplar(message.message(value)?, limits)?;
                    request.push_item(Item::Exemplar(Box::new(read)));
                }
                4 => {
                    limits.histogram()?;
                    let read = histogram(message.message(value)?, limits, false)?;
                    request.push_item(Item::Histogram(Box::new(read)));
                }
                _ => {}
            }
        }
        request.end_series();
        Ok(())
    }
}

fn label<'a>(mut message: Reader<'a>) -> Result<Label<'a>, Fault> {
    let (mut name, mut text) = ("", "");
    while let Some((number, value)) = message.next()? {
        match number {
            1 => name = value.text()?,
            2 => text = value.text()?,
            _ => {}
        }
    }
    Ok((name, text))
}

fn sample(mut message: Reader<'_>) -> Result<Sample, Fault> {
    let mut sample = Sample {
        timestamp_ms: 0,
        value: 0.0,
    };
    while let Some((number, value)) = message.next()? {
        match number {
            1 => sample.value = value.double()?,
            2 => sample.timestamp_ms = value.int64()?,
            _ => {}
        }
    }
    Ok(sample)
}

fn exemplar<'a>(
    mut message: Reader<'a>,
    limits: &mut DecodeLimits<'_>,
) -> Result<Exemplar<'a>, Fault> {
    let mut exemplar = Exemplar::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => {
                let (name, value) = label(message.message(value)?)?;
                limits.label()?;
                limits.exemplar_label(name, value)?;
                exemplar.labels.push((name, value));
            }
            2 => exemplar.value = value.double()?,
            3 => exemplar.timestamp_ms = value.int64()?,
            _ => {}
        }
    }
    Ok(exemplar)
}

fn metadata<'a>(mut message: Reader<'a>) -> Result<Metadata<'a>, Fault> {
    let mut metadata = Metadata {
        metric_name: "",
        metric_type: MetricType::Unknown,
        help: "",
        unit: "",
        series: None,
    };
    while let Some((number, value)) = message.next()? {
        match number {
            1 => metadata.metric_type = MetricType::of(value.int32()?),
            2 => metadata.metric_name = value.text()?,
            4 => metadata.help = value.text()?,
            5 => metadata.unit = value.text()?,
            _ => {}
        }
    }
    Ok(metadata)
}
