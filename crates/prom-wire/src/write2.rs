//! Remote write 2.0: the message `io.prometheus.write.v2.Request` to a request that borrows its strings.
//!
//! Every string occurs once in a table of symbols and is referred to by its position there
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>). Field numbers: `proto/write_v2.proto`; tests hold
//! the result equal to that of a decoder generated from it, with bytes in place of strings.
//!
//! Start timestamps are dropped, including field 6 of a series, which was their earlier place: the remote read
//! responses that all versions of Prometheus accept have no field for them.

use hashbrown::HashMap;
use prom_model::{METRIC_NAME_LABEL, MetricType, Sample};

use crate::before::LabelsBefore;
use crate::budget::Reservation;
use crate::histogram::histogram;
use crate::limits::DecodeLimits;
use crate::protobuf::{MessageError, Reader, Value};
use crate::request::{Datapoint, Exemplar, LabelId, Request, Unreadable, to_u32};
use crate::sample::usual_sample;
use crate::utf8::{
    RawMetadata, Utf8, byte_count, push_exemplar_label, push_metadata, push_new_label, utf8,
};

/// The field of a write request that is a series.
const SERIES: u32 = 5;

pub(super) fn request<'a>(
    message: &'a [u8],
    reservation: &mut Reservation,
) -> Result<Request<'a>, MessageError> {
    let mut limits = DecodeLimits::new(reservation);
    // The table may stand anywhere, so it is read first.
    let mut message = Reader::new(message);
    let (symbols, series) = symbols(message.clone(), &mut limits)?;
    let mut decoder = Decoder {
        last: vec![None; symbols.texts.len()],
        symbols,
        request: Request::with_capacity(series),
        limits,
        before: LabelsBefore::default(),
        known: HashMap::new(),
    };
    while let Some((number, value)) = message.next()? {
        if number == SERIES {
            decoder.add(message.message(value)?)?;
        }
    }
    Ok(decoder.request)
}

/// Reads the table of symbols, and counts the series.
fn symbols<'a>(
    mut message: Reader<'a>,
    limits: &mut DecodeLimits<'_>,
) -> Result<(Symbols<'a>, usize), MessageError> {
    let (mut symbols, mut series) = (Symbols::default(), 0);
    while let Some((number, value)) = message.next()? {
        match number {
            4 => {
                limits.symbol()?;
                symbols.push(value.bytes()?, limits)?;
            }
            SERIES => {
                limits.series()?;
                series += 1;
            }
            _ => {}
        }
    }
    match symbols.get(0) {
        Some(Ok("")) => Ok((symbols, series)),
        Some(_) => Err(MessageError::Malformed(
            "the first symbol of remote write 2.0 must be empty",
        )),
        None => Err(MessageError::Malformed(
            "remote write 2.0 needs symbols, and there are none (is it a remote write 1.0 message?)",
        )),
    }
}

/// The table of symbols. Each is validated once, however many references it has; one that is not UTF-8 is no error
/// until something refers to it.
#[derive(Default)]
struct Symbols<'a> {
    texts: Vec<&'a str>,
    /// Symbols that are not UTF-8, by position; `texts` has empty strings in their places.
    broken: HashMap<u32, &'a [u8]>,
}

impl<'a> Symbols<'a> {
    #[inline]
    fn push(&mut self, bytes: &'a [u8], limits: &mut DecodeLimits<'_>) -> Result<(), MessageError> {
        match utf8(bytes) {
            Ok(text) => self.texts.push(text),
            Err(bytes) => {
                limits.broken_symbol()?;
                self.broken.insert(to_u32(self.texts.len()), bytes);
                self.texts.push("");
            }
        }
        Ok(())
    }

    #[inline]
    fn get(&self, reference: u32) -> Option<Utf8<'a>> {
        match *self.texts.get(reference as usize)? {
            "" => Some(
                self.broken
                    .get(&reference)
                    .map_or(Ok(""), |bytes| Err(bytes)),
            ),
            text => Some(Ok(text)),
        }
    }

    /// Returns the string that a reference stands for. A reference beyond the table makes the series `bad`.
    #[inline]
    fn resolve(&self, reference: u32, bad: &mut Option<Unreadable<'a>>) -> Utf8<'a> {
        self.get(reference).unwrap_or_else(|| {
            bad.get_or_insert(Unreadable::UnknownReference {
                reference,
                symbols: self.texts.len(),
            });
            Ok("")
        })
    }
}

struct Decoder<'a, 'm> {
    symbols: Symbols<'a>,
    request: Request<'a>,
    limits: DecodeLimits<'m>,
    /// The labels of the series before, which need not even be looked up.
    before: LabelsBefore<'a, KnownLabel>,
    /// Labels that were read, by their references: a symbol is hashed once for each label that has it, however many
    /// series refer to it.
    known: HashMap<[u32; 2], KnownLabel>,
    /// The label that had a symbol as its value last, by the symbol: most values have one name only, so that few labels
    /// are looked up in `known`.
    last: Vec<Option<LastLabel>>,
}

/// A label that was read.
#[derive(Clone, Copy)]
struct KnownLabel {
    id: LabelId,
    /// The bytes of its strings.
    bytes: u32,
}

/// A label that was read, both references of which lead to symbols.
#[derive(Clone, Copy)]
struct LastLabel {
    name: u32,
    label: KnownLabel,
}

impl<'a> Decoder<'a, '_> {
    /// Adds a series. A label or a reference that cannot be read makes only this series unreadable, one of an exemplar
    /// the exemplar, and a string of the metadata the entry of metadata.
    fn add(&mut self, mut message: Reader<'a>) -> Result<(), MessageError> {
        let (mut packed, mut references) = (None, Vec::new());
        let mut bad = None;
        let mut metadata = SeriesMetadata::default();
        while let Some((number, value)) = message.next()? {
            match number {
                1 => match (value, packed) {
                    (Value::Bytes(bytes), None) if references.is_empty() => packed = Some(bytes),
                    // References in several fields, which no known sender has.
                    _ => {
                        let packed = packed.take().map(Value::Bytes);
                        for value in packed.into_iter().chain([value]) {
                            push_references(&mut references, value, &mut self.limits)?;
                        }
                    }
                },
                2 => {
                    self.limits.sample()?;
                    self.request
                        .push_sample(match usual_sample(value.bytes()?) {
                            Some(sample) => sample,
                            None => sample(message.message(value)?)?,
                        });
                }
                3 => {
                    self.limits.histogram()?;
                    let message = message.message(value)?;
                    let read = histogram(message, &mut self.limits, true)?;
                    self.request
                        .push_datapoint(Datapoint::Histogram(Box::new(read)));
                }
                4 => {
                    self.limits.exemplar()?;
                    let read = self.exemplar(message.message(value)?)?;
                    self.request
                        .push_datapoint(Datapoint::Exemplar(Box::new(read)));
                }
                5 => metadata.read(message.message(value)?)?,
                _ => {}
            }
        }
        let label_bytes = match packed {
            Some(packed) => self.add_packed_labels(packed, &mut bad)?,
            None => self.add_labels(&references, &mut bad)?,
        };
        // A copy or comparison of the strings of a series processes them at each reference.
        self.limits.text(label_bytes)?;
        let help = self.symbols.resolve(metadata.help_reference, &mut bad);
        let unit = self.symbols.resolve(metadata.unit_reference, &mut bad);
        let series = self.request.len();
        let is_readable = match bad {
            None => self.request.end_series(),
            Some(bad) => {
                self.request.end_unreadable_series(bad);
                false
            }
        };
        if !is_readable {
            return self.limits.unreadable_series();
        }
        if !metadata.is_set() {
            return Ok(());
        }
        let labels = self.request.series(series).labels.iter();
        match labels.filter(|label| label.0 == METRIC_NAME_LABEL).last() {
            Some((_, name)) => {
                let raw = RawMetadata {
                    metric_name: Ok(metadata.metric_type.family(name)),
                    metric_type: metadata.metric_type,
                    help,
                    unit,
                    series: Some(series),
                };
                push_metadata(&mut self.request, &mut self.limits, raw)
            }
            None => Ok(()),
        }
    }

    fn exemplar(&mut self, mut message: Reader<'a>) -> Result<Exemplar<'a>, MessageError> {
        let mut exemplar = Exemplar {
            labels: Ok(Vec::new()),
            timestamp_ms: 0,
            value: 0.0,
        };
        let mut references = Vec::new();
        while let Some((number, value)) = message.next()? {
            match number {
                1 => push_references(&mut references, value, &mut self.limits)?,
                2 => exemplar.value = value.double()?,
                3 => exemplar.timestamp_ms = value.int64()?,
                _ => {}
            }
        }
        let mut bad = None;
        for &[name, value] in pairs(&references, &mut bad) {
            let name = self.symbols.resolve(name, &mut bad);
            let value = self.symbols.resolve(value, &mut bad);
            push_exemplar_label(&mut exemplar.labels, &mut self.limits, (name, value))?;
        }
        if let Some(bad) = bad {
            exemplar.labels = Err(bad);
        }
        Ok(exemplar)
    }

    /// Adds the labels of pairs of references to the series; returns the bytes of their strings. What they have in
    /// common with the series before is only compared.
    fn add_packed_labels(
        &mut self,
        packed: &'a [u8],
        bad: &mut Option<Unreadable<'a>>,
    ) -> Result<usize, MessageError> {
        let mut before = std::mem::take(&mut self.before);
        let mut comparison = before.compare();
        let mut references = Reader::new(packed);
        let mut bytes = 0;
        loop {
            let same = comparison.skip_same(&mut references);
            self.limits.labels(same.len())?;
            for label in same {
                bytes += label.bytes as usize;
                self.request.push_known_label(label.id);
            }
            if references.rest().is_empty() {
                break;
            }
            let start = references.rest();
            let name = references.varint()? as u32;
            if references.rest().is_empty() {
                let count = packed.iter().filter(|byte| **byte < 0x80).count();
                *bad = Some(Unreadable::OddReferences { count });
                break;
            }
            let value = references.varint()? as u32;
            self.limits.label()?;
            let label = self.add_label([name, value], bad)?;
            bytes += label.bytes as usize;
            comparison.replace(label, start, &references);
        }
        // The labels of a bad series are read again, so that the next one is found bad as well.
        if bad.is_none() {
            comparison.end();
            self.before = before;
        }
        Ok(bytes)
    }

    /// Adds the labels of pairs of references to the series; returns the bytes of their strings.
    fn add_labels(
        &mut self,
        references: &[u32],
        bad: &mut Option<Unreadable<'a>>,
    ) -> Result<usize, MessageError> {
        let mut bytes = 0;
        for &pair in pairs(references, bad) {
            bytes += self.add_label(pair, bad)?.bytes as usize;
        }
        Ok(bytes)
    }

    /// Adds the label of a pair of references to the series.
    #[inline]
    fn add_label(
        &mut self,
        pair: [u32; 2],
        bad: &mut Option<Unreadable<'a>>,
    ) -> Result<KnownLabel, MessageError> {
        let [name, value] = pair;
        if let Some(Some(last)) = self.last.get(value as usize)
            && last.name == name
        {
            self.request.push_known_label(last.label.id);
            return Ok(last.label);
        }
        self.look_up(pair, bad)
    }

    /// Adds a label that is not the last one with its value.
    fn look_up(
        &mut self,
        pair: [u32; 2],
        bad: &mut Option<Unreadable<'a>>,
    ) -> Result<KnownLabel, MessageError> {
        let [name, value] = pair;
        let texts = (
            self.symbols.resolve(name, bad),
            self.symbols.resolve(value, bad),
        );
        let label = match self.known.get(&pair) {
            Some(&label) => {
                self.request.push_known_label(label.id);
                label
            }
            None => {
                let label = KnownLabel {
                    id: push_new_label(&mut self.request, &mut self.limits, texts)?,
                    bytes: to_u32(byte_count(texts.0) + byte_count(texts.1)),
                };
                self.known.insert(pair, label);
                label
            }
        };
        // A reference that leads nowhere has to make each series `bad`.
        if (name as usize) < self.last.len()
            && let Some(last) = self.last.get_mut(value as usize)
        {
            *last = Some(LastLabel { name, label });
        }
        Ok(label)
    }
}

/// Returns the references as pairs. An odd one makes the series `bad`.
fn pairs<'r>(references: &'r [u32], bad: &mut Option<Unreadable<'_>>) -> &'r [[u32; 2]] {
    let (pairs, odd) = references.as_chunks();
    if !odd.is_empty() {
        bad.get_or_insert(Unreadable::OddReferences {
            count: references.len(),
        });
    }
    pairs
}

/// Adds the references that `value` has.
fn push_references(
    references: &mut Vec<u32>,
    value: Value<'_>,
    limits: &mut DecodeLimits<'_>,
) -> Result<(), MessageError> {
    value.each_varint(|value| {
        if references.len().is_multiple_of(2) {
            limits.label()?;
        }
        references.push(value.uint32()?);
        Ok(())
    })
}

#[cold]
fn sample(mut message: Reader<'_>) -> Result<Sample, MessageError> {
    let mut sample = Sample {
        timestamp_ms: 0,
        value: 0.0,
    };
    while let Some((number, value)) = message.next()? {
        match number {
            1 => sample.value = value.double()?,
            2 => sample.timestamp_ms = value.int64()?,
            // The start timestamp is dropped, but must be a number.
            3 => {
                value.int64()?;
            }
            _ => {}
        }
    }
    Ok(sample)
}

/// The metadata of a series about its metric family.
#[derive(Default)]
struct SeriesMetadata {
    metric_type: MetricType,
    help_reference: u32,
    unit_reference: u32,
}

impl SeriesMetadata {
    /// Merges the message into what earlier ones of the same series set.
    fn read(&mut self, mut message: Reader<'_>) -> Result<(), MessageError> {
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

    fn is_set(&self) -> bool {
        self.metric_type != MetricType::Unknown
            || self.help_reference != 0
            || self.unit_reference != 0
    }
}
