//! Remote write 2.0: the message `io.prometheus.write.v2.Request` to a request that borrows its
//! texts.
//!
//! Every text stands once in a table of symbols and is referred to by its position there
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>). Field numbers:
//! `proto/write_v2.proto`; tests hold the result equal to that of the decoder generated from it.
//! Not kept: start timestamps, and field 6 of a series, where they once stood: the answers of remote
//! read that all versions of Prometheus take have no field for them.

use super::histogram::histogram;
use super::protobuf::{Fault, Reader};
use super::room::Room;
use crate::model::{METRIC_NAME_LABEL, MetricType, Sample};
use crate::received::{BadReference, Exemplar, Item, Label, Metadata, Request};

/// The field of a write request that is a series.
const SERIES: u32 = 5;

pub(super) fn request(message: &[u8]) -> Result<Request<'_>, Fault> {
    let mut room = Room::default();
    // The table may stand anywhere, so it is read first.
    let mut message = Reader::new(message);
    let (symbols, series) = symbols(message.clone(), &mut room)?;
    let mut decoder = Decoder {
        symbols,
        request: Request::with_room_for(series),
        room,
        references: Vec::new(),
    };
    while let Some((number, value)) = message.next()? {
        if number == SERIES {
            decoder.add(message.message(value)?)?;
        }
    }
    Ok(decoder.request)
}

/// The table of symbols, and how many series there are.
fn symbols<'a>(mut message: Reader<'a>, room: &mut Room) -> Result<(Vec<&'a str>, usize), Fault> {
    let (mut symbols, mut series) = (Vec::new(), 0);
    while let Some((number, value)) = message.next()? {
        match number {
            4 => {
                room.symbols.take()?;
                symbols.push(value.text()?);
            }
            SERIES => {
                room.series.take()?;
                series += 1;
            }
            _ => {}
        }
    }
    match symbols.first() {
        Some(&"") => Ok((symbols, series)),
        Some(_) => Err(Fault::Malformed(
            "the first symbol of remote write 2.0 must be empty",
        )),
        None => Err(Fault::Malformed(
            "remote write 2.0 needs symbols, and there are none (is it a remote write 1.0 message?)",
        )),
    }
}

struct Decoder<'a> {
    symbols: Vec<&'a str>,
    request: Request<'a>,
    room: Room,
    /// Those of the labels being read; kept for its memory.
    references: Vec<u32>,
}

impl<'a> Decoder<'a> {
    /// Adds a series. A reference that leads nowhere costs this series only.
    fn add(&mut self, mut message: Reader<'a>) -> Result<(), Fault> {
        let mut references = std::mem::take(&mut self.references);
        references.clear();
        let mut bad = None;
        let mut metadata = SeriesMetadata::default();
        while let Some((number, value)) = message.next()? {
            match number {
                1 => value.each_varint(|value| {
                    push_reference(&mut references, value.uint32()?, &mut self.room)
                })?,
                2 => {
                    self.room.items.take()?;
                    let read = sample(message.message(value)?)?;
                    self.request.push_sample(read);
                }
                3 => {
                    self.room.items.take()?;
                    let message = message.message(value)?;
                    let read = histogram(message, &mut self.room.buckets, true)?;
                    self.request.push_item(Item::Histogram(Box::new(read)));
                }
                4 => {
                    self.room.items.take()?;
                    let read = self.exemplar(message.message(value)?, &mut bad)?;
                    self.request.push_item(Item::Exemplar(Box::new(read)));
                }
                5 => metadata.read(message.message(value)?)?,
                _ => {}
            }
        }
        let mut metric_name = None;
        self.labels(&references, &mut bad, |request, (name, value)| {
            if name == METRIC_NAME_LABEL {
                metric_name = Some(value);
            }
            request.push_label(name, value);
        });
        self.references = references;
        let help = self.symbol(metadata.help_reference, &mut bad);
        let unit = self.symbol(metadata.unit_reference, &mut bad);
        if let (Some(name), None, true) = (metric_name, bad, metadata.says_something()) {
            self.room.metadata.take()?;
            self.request.metadata.push(Metadata {
                metric_name: metadata.metric_type.family(name),
                metric_type: metadata.metric_type,
                help,
                unit,
                series: Some(self.request.len()),
            });
        }
        match bad {
            None => self.request.end_series(),
            Some(bad) => self.request.end_unreadable_series(bad),
        }
        Ok(())
    }

    fn exemplar(
        &mut self,
        mut message: Reader<'a>,
        bad: &mut Option<BadReference>,
    ) -> Result<Exemplar<'a>, Fault> {
        let mut exemplar = Exemplar::default();
        let mut references = Vec::new();
        while let Some((number, value)) = message.next()? {
            match number {
                1 => value.each_varint(|value| {
                    push_reference(&mut references, value.uint32()?, &mut self.room)
                })?,
                2 => exemplar.value = value.double()?,
                3 => exemplar.timestamp_ms = value.int64()?,
                _ => {}
            }
        }
        self.labels(&references, bad, |_, label| exemplar.labels.push(label));
        Ok(exemplar)
    }

    /// Hands over the labels that pairs of references stand for.
    fn labels(
        &mut self,
        references: &[u32],
        bad: &mut Option<BadReference>,
        mut push: impl FnMut(&mut Request<'a>, Label<'a>),
    ) {
        let (pairs, odd) = references.as_chunks();
        if !odd.is_empty() {
            bad.get_or_insert(BadReference::Odd {
                count: references.len(),
            });
        }
        for &[name, value] in pairs {
            let label = (self.symbol(name, bad), self.symbol(value, bad));
            push(&mut self.request, label);
        }
    }

    /// The text that a reference stands for.
    fn symbol(&self, reference: u32, bad: &mut Option<BadReference>) -> &'a str {
        let symbol = self.symbols.get(reference as usize);
        symbol.copied().unwrap_or_else(|| {
            bad.get_or_insert(BadReference::Unknown {
                reference,
                symbols: self.symbols.len(),
            });
            ""
        })
    }
}

fn push_reference(references: &mut Vec<u32>, reference: u32, room: &mut Room) -> Result<(), Fault> {
    if references.len().is_multiple_of(2) {
        room.labels.take()?;
    }
    references.push(reference);
    Ok(())
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
            // The start timestamp has to be a number all the same.
            3 => {
                value.int64()?;
            }
            _ => {}
        }
    }
    Ok(sample)
}

/// What a series says about its metric family.
#[derive(Default)]
struct SeriesMetadata {
    metric_type: MetricType,
    help_reference: u32,
    unit_reference: u32,
}

impl SeriesMetadata {
    /// Reads the message; what an earlier one of the same series has said stays.
    fn read(&mut self, mut message: Reader<'_>) -> Result<(), Fault> {
        while let Some((number, value)) = message.next()? {
            match number {
                1 => self.metric_type = MetricType::of(value.int32()?),
                3 => self.help_reference = value.uint32()?,
                4 => self.unit_reference = value.uint32()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn says_something(&self) -> bool {
        self.metric_type != MetricType::Unknown
            || self.help_reference != 0
            || self.unit_reference != 0
    }
}
