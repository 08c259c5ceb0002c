//! Remote write 2.0: the message `io.prometheus.write.v2.Request` to a request that borrows its
//! texts.
//!
//! Every text stands once in a table of symbols and is referred to by its position there
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>). Field numbers:
//! `proto/write_v2.proto`; tests hold the result equal to that of the decoder generated from it.
//! Not kept: start timestamps, and field 6 of a series, where they once stood: the answers of remote
//! read that all versions of Prometheus take have no field for them.

use hashbrown::HashMap;

use super::histogram::histogram;
use super::limits::DecodeLimits;
use super::protobuf::{Fault, Reader};
use crate::budget::Reservation;
use crate::model::{METRIC_NAME_LABEL, MetricType, Sample};
use crate::received::{BadReference, Exemplar, Item, LabelId, Metadata, Request};

/// The field of a write request that is a series.
const SERIES: u32 = 5;

pub(super) fn request<'a>(
    message: &'a [u8],
    reservation: &mut Reservation,
) -> Result<Request<'a>, Fault> {
    let mut limits = DecodeLimits::new(reservation);
    // The table may stand anywhere, so it is read first.
    let mut message = Reader::new(message);
    let (symbols, series) = symbols(message.clone(), &mut limits)?;
    let mut decoder = Decoder {
        symbols,
        request: Request::with_room_for(series),
        limits,
        references: Vec::new(),
        known: HashMap::new(),
    };
    while let Some((number, value)) = message.next()? {
        if number == SERIES {
            decoder.add(message.message(value)?)?;
        }
    }
    Ok(decoder.request)
}

/// The table of symbols, and how many series there are.
fn symbols<'a>(
    mut message: Reader<'a>,
    limits: &mut DecodeLimits<'_>,
) -> Result<(Vec<&'a str>, usize), Fault> {
    let (mut symbols, mut series) = (Vec::new(), 0);
    while let Some((number, value)) = message.next()? {
        match number {
            4 => {
                limits.symbol()?;
                symbols.push(value.text()?);
            }
            SERIES => {
                limits.series()?;
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

struct Decoder<'a, 'm> {
    symbols: Vec<&'a str>,
    request: Request<'a>,
    limits: DecodeLimits<'m>,
    /// Those of the labels being read; reused for its memory.
    references: Vec<u32>,
    /// Labels that were read, by the references that stand for them: the text of a symbol is hashed
    /// once for each label that it is in, however often series refer to it.
    known: HashMap<[u32; 2], LabelId>,
}

impl<'a> Decoder<'a, '_> {
    /// Adds a series. A reference that leads nowhere costs this series only.
    fn add(&mut self, mut message: Reader<'a>) -> Result<(), Fault> {
        let mut references = std::mem::take(&mut self.references);
        references.clear();
        let mut bad = None;
        let mut metadata = SeriesMetadata::default();
        while let Some((number, value)) = message.next()? {
            match number {
                1 => value.each_varint(|value| {
                    push_reference(&mut references, value.uint32()?, &mut self.limits)
                })?,
                2 => {
                    self.limits.sample()?;
                    let read = sample(message.message(value)?)?;
                    self.request.push_sample(read);
                }
                3 => {
                    self.limits.histogram()?;
                    let message = message.message(value)?;
                    let read = histogram(message, &mut self.limits, true)?;
                    self.request.push_item(Item::Histogram(Box::new(read)));
                }
                4 => {
                    self.limits.exemplar()?;
                    let read = self.exemplar(message.message(value)?, &mut bad)?;
                    self.request.push_item(Item::Exemplar(Box::new(read)));
                }
                5 => metadata.read(message.message(value)?)?,
                _ => {}
            }
        }
        let metric_name = self.labels(&references, &mut bad)?;
        self.references = references;
        let help = self.symbol(metadata.help_reference, &mut bad);
        let unit = self.symbol(metadata.unit_reference, &mut bad);
        if let (Some(name), None, true) = (metric_name, bad, metadata.says_something()) {
            self.limits.metadata(name.len() + help.len() + unit.len())?;
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
                    push_reference(&mut references, value.uint32()?, &mut self.limits)
                })?,
                2 => exemplar.value = value.double()?,
                3 => exemplar.timestamp_ms = value.int64()?,
                _ => {}
            }
        }
        for &[name, value] in pairs(&references, bad) {
            let (name, value) = (self.symbol(name, bad), self.symbol(value, bad));
            self.limits.exemplar_label(name, value)?;
            exemplar.labels.push((name, value));
        }
        Ok(exemplar)
    }

    /// Adds the labels that pairs of references stand for to the series; returns the metric name.
    fn labels(
        &mut self,
        references: &[u32],
        bad: &mut Option<BadReference>,
    ) -> Result<Option<&'a str>, Fault> {
        let mut metric_name = None;
        for &pair in pairs(references, bad) {
            let [name, value] = pair.map(|reference| self.symbol(reference, bad));
            if name == METRIC_NAME_LABEL {
                metric_name = Some(value);
            }
            // Whatever copies or compares the texts of a series works through them at each reference.
            self.limits.text(name.len() + value.len())?;
            match self.known.get(&pair) {
                Some(&id) => self.request.push_known_label(id),
                None => {
                    self.limits.new_label(name, value)?;
                    let id = self.request.push_label(name, value);
                    self.known.insert(pair, id);
                }
            }
        }
        Ok(metric_name)
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

/// The pairs of references that labels are; an odd one is `bad`.
fn pairs<'r>(references: &'r [u32], bad: &mut Option<BadReference>) -> &'r [[u32; 2]] {
    let (pairs, odd) = references.as_chunks();
    if !odd.is_empty() {
        bad.get_or_insert(BadReference::Odd {
            count: references.len(),
        });
    }
    pairs
}

fn push_reference(
    references: &mut Vec<u32>,
    reference: u32,
    limits: &mut DecodeLimits<'_>,
) -> Result<(), Fault> {
    if references.len().is_multiple_of(2) {
        limits.label()?;
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
