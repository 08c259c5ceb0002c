//! Remote write 1.0: the message `prometheus.WriteRequest` to a request that borrows its texts.
//!
//! Field numbers: `proto/prometheus.proto`. Tests hold the result equal to that of the decoder
//! generated from it.

use hashbrown::HashMap;

use super::histogram::histogram;
use super::protobuf::{Fault, Reader};
use super::room::{Left, Room};
use crate::model::{MetricType, Sample};
use crate::received::{Exemplar, Item, Label, LabelId, Metadata, Request};

/// The field of a write request that is a series.
const SERIES: u32 = 1;

pub(super) fn request(message: &[u8]) -> Result<Request<'_>, Fault> {
    let mut room = Room::default();
    let mut message = Reader::new(message);
    let series = count_series(message.clone(), &mut room)?;
    let mut decoder = Decoder {
        request: Request::with_room_for(series),
        room,
        known: HashMap::new(),
    };
    while let Some((number, value)) = message.next()? {
        match number {
            SERIES => decoder.add_series(message.message(value)?)?,
            3 => {
                decoder.room.metadata.take()?;
                let read = metadata(message.message(value)?)?;
                decoder.request.metadata.push(read);
            }
            _ => {}
        }
    }
    Ok(decoder.request)
}

fn count_series(mut message: Reader<'_>, room: &mut Room) -> Result<usize, Fault> {
    let mut series = 0;
    while let Some((number, _)) = message.next()? {
        if number == SERIES {
            room.series.take()?;
            series += 1;
        }
    }
    Ok(series)
}

struct Decoder<'a> {
    request: Request<'a>,
    room: Room,
    /// Labels that were read, by the bytes that stand for them: most labels are those of an earlier
    /// series, and need not be read again.
    known: HashMap<&'a [u8], LabelId>,
}

impl<'a> Decoder<'a> {
    fn add_series(&mut self, mut message: Reader<'a>) -> Result<(), Fault> {
        let room = &mut self.room;
        let request = &mut self.request;
        while let Some((number, value)) = message.next()? {
            match number {
                1 => {
                    room.labels.take()?;
                    let bytes = value.bytes()?;
                    match self.known.get(bytes) {
                        Some(&id) => request.push_known_label(id),
                        None => {
                            let (name, value) = label(message.message(value)?)?;
                            self.known.insert(bytes, request.push_label(name, value));
                        }
                    }
                }
                2 => {
                    room.items.take()?;
                    request.push_sample(sample(message.message(value)?)?);
                }
                3 => {
                    room.items.take()?;
                    let read = exemplar(message.message(value)?, &mut room.labels)?;
                    request.push_item(Item::Exemplar(Box::new(read)));
                }
                4 => {
                    room.items.take()?;
                    let read = histogram(message.message(value)?, &mut room.buckets, false)?;
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

fn exemplar<'a>(mut message: Reader<'a>, labels: &mut Left) -> Result<Exemplar<'a>, Fault> {
    let mut exemplar = Exemplar::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => {
                labels.take()?;
                exemplar.labels.push(label(message.message(value)?)?);
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
