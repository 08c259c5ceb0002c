//! Remote write 1.0: the message `prometheus.WriteRequest` to a request that borrows its strings.
//!
//! Field numbers: `proto/prometheus.proto`. Tests hold the result equal to that of a decoder generated from it, with
//! bytes in place of strings.

use hashbrown::HashMap;
use prom_model::{MetricType, Sample};

use crate::before::LabelsBefore;
use crate::budget::Reservation;
use crate::histogram::histogram;
use crate::limits::DecodeLimits;
use crate::protobuf::{MessageError, Reader, Value};
use crate::request::{Datapoint, Exemplar, LabelId, Request};
use crate::sample::usual_sample;
use crate::utf8::{RawMetadata, Utf8, push_exemplar_label, push_metadata, push_new_label, utf8};

/// The field of a write request that is a series.
const SERIES: u32 = 1;
/// The field of a series that is a label, and the byte that it begins with.
const LABEL: u32 = 1;
const LABEL_KEY: u8 = 1 << 3 | 2;

pub(super) fn request<'a>(
    message: &'a [u8],
    reservation: &mut Reservation,
) -> Result<Request<'a>, MessageError> {
    let mut limits = DecodeLimits::new(reservation);
    let mut message = Reader::new(message);
    let series = count_series(message.clone(), &mut limits)?;
    let mut decoder = Decoder {
        request: Request::with_capacity(series),
        limits,
        known: HashMap::new(),
        before: LabelsBefore::default(),
    };
    while let Some((number, value)) = message.next()? {
        match number {
            SERIES => decoder.add_series(message.message(value)?)?,
            3 => {
                let raw = metadata(message.message(value)?)?;
                push_metadata(&mut decoder.request, &mut decoder.limits, raw)?;
            }
            _ => {}
        }
    }
    Ok(decoder.request)
}

fn count_series(
    mut message: Reader<'_>,
    limits: &mut DecodeLimits<'_>,
) -> Result<usize, MessageError> {
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
    /// Labels that were read, by their encoded bytes: most labels occur in an earlier series and need not be read
    /// again.
    known: HashMap<&'a [u8], LabelId>,
    /// Those of the series before, which need not even be looked up.
    before: LabelsBefore<'a, LabelId>,
}

impl<'a> Decoder<'a, '_> {
    fn add_series(&mut self, mut message: Reader<'a>) -> Result<(), MessageError> {
        self.add_first_labels(&mut message)?;
        while let Some((number, value)) = message.next()? {
            let limits = &mut self.limits;
            let request = &mut self.request;
            match number {
                LABEL => drop(self.add_label(&message, value)?),
                2 => {
                    limits.sample()?;
                    request.push_sample(match usual_sample(value.bytes()?) {
                        Some(sample) => sample,
                        None => sample(message.message(value)?)?,
                    });
                }
                3 => {
                    limits.exemplar()?;
                    let read = exemplar(message.message(value)?, limits)?;
                    request.push_datapoint(Datapoint::Exemplar(Box::new(read)));
                }
                4 => {
                    limits.histogram()?;
                    let read = histogram(message.message(value)?, limits, false)?;
                    request.push_datapoint(Datapoint::Histogram(Box::new(read)));
                }
                _ => {}
            }
        }
        if !self.request.end_series() {
            self.limits.unreadable_series()?;
        }
        Ok(())
    }

    /// Reads the labels that a series begins with, which usually are all. What it has in common with the series before
    /// is only compared.
    #[inline]
    fn add_first_labels(&mut self, message: &mut Reader<'a>) -> Result<(), MessageError> {
        let mut before = std::mem::take(&mut self.before);
        let mut comparison = before.compare();
        loop {
            let same = comparison.skip_same(message);
            self.limits.labels(same.len())?;
            self.request.push_known_labels(same);
            let start = message.rest();
            if start.first() != Some(&LABEL_KEY) {
                break;
            }
            let Some((_, value)) = message.next()? else {
                break;
            };
            let id = self.add_label(message, value)?;
            comparison.replace(id, start, message);
        }
        comparison.end();
        self.before = before;
        Ok(())
    }

    fn add_label(
        &mut self,
        series: &Reader<'a>,
        value: Value<'a>,
    ) -> Result<LabelId, MessageError> {
        self.limits.label()?;
        let bytes = value.bytes()?;
        if let Some(&id) = self.known.get(bytes) {
            self.request.push_known_label(id);
            return Ok(id);
        }
        let label = label(series.message(value)?)?;
        let id = push_new_label(&mut self.request, &mut self.limits, label)?;
        self.known.insert(bytes, id);
        Ok(id)
    }
}

/// Reads name and value of a label. The last one of a repeated field counts, so no string is validated before the end.
fn label<'a>(mut message: Reader<'a>) -> Result<(Utf8<'a>, Utf8<'a>), MessageError> {
    let (mut name, mut label_value): (&[u8], &[u8]) = (b"", b"");
    while let Some((number, value)) = message.next()? {
        match number {
            1 => name = value.bytes()?,
            2 => label_value = value.bytes()?,
            _ => {}
        }
    }
    Ok((utf8(name), utf8(label_value)))
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
            _ => {}
        }
    }
    Ok(sample)
}

fn exemplar<'a>(
    mut message: Reader<'a>,
    limits: &mut DecodeLimits<'_>,
) -> Result<Exemplar<'a>, MessageError> {
    let mut exemplar = Exemplar {
        labels: Ok(Vec::new()),
        timestamp_ms: 0,
        value: 0.0,
    };
    while let Some((number, value)) = message.next()? {
        match number {
            1 => {
                limits.label()?;
                let label = label(message.message(value)?)?;
                push_exemplar_label(&mut exemplar.labels, limits, label)?;
            }
            2 => exemplar.value = value.double()?,
            3 => exemplar.timestamp_ms = value.int64()?,
            _ => {}
        }
    }
    Ok(exemplar)
}

fn metadata<'a>(mut message: Reader<'a>) -> Result<RawMetadata<'a>, MessageError> {
    let mut metric_type = MetricType::Unknown;
    let (mut name, mut help, mut unit): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
    while let Some((number, value)) = message.next()? {
        match number {
            1 => metric_type = MetricType::of(value.int32()?),
            2 => name = value.bytes()?,
            4 => help = value.bytes()?,
            5 => unit = value.bytes()?,
            _ => {}
        }
    }
    Ok(RawMetadata {
        metric_name: utf8(name),
        metric_type,
        help: utf8(help),
        unit: utf8(unit),
        series: None,
    })
}
