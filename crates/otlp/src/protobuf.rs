//! Protobuf bytes to the model, without copies.
//!
//! Of a message that occurs twice where it belongs once the parts are merged, and of numbers and strings the last one
//! counts, as protobuf demands. Known fields that the model drops must have their type nevertheless.

use std::borrow::Cow;

use prom_wire::budget::BudgetExceeded;
use prom_wire::protobuf::{MessageError, Reader, Value};

use crate::limits::Limits;
use crate::model::{
    AnyValue, Data, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, KeyValue,
    Metric, Metrics, Number, NumberPoint, QuantileValue, ResourceMetrics, ScopeMetrics,
    SummaryPoint, Temporality, Unreadable,
};

/// A part of a message that is not read to its end.
#[derive(Clone, Copy, Debug)]
enum Error<'a> {
    /// It costs the smallest part of the message around it that can be separated from the rest.
    Unreadable(Unreadable<'a>),
    /// There is no memory for the whole message.
    Memory(BudgetExceeded),
}

impl From<MessageError> for Error<'_> {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Malformed(what) => Self::Unreadable(Unreadable::Malformed(what)),
            // Readers of the wire format count nothing.
            MessageError::TooMany { what, .. } => Self::Unreadable(Unreadable::Malformed(what)),
            MessageError::Memory(exceeded) => Self::Memory(exceeded),
        }
    }
}

impl From<BudgetExceeded> for Error<'_> {
    fn from(exceeded: BudgetExceeded) -> Self {
        Self::Memory(exceeded)
    }
}

/// Separates what costs a part of the message from what ends its reading.
fn unreadable<'a, T>(
    read: Result<T, Error<'a>>,
) -> Result<Result<T, Unreadable<'a>>, BudgetExceeded> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(Error::Unreadable(reason)) => Ok(Err(reason)),
        Err(Error::Memory(exceeded)) => Err(exceeded),
    }
}

fn text<'a>(what: &'static str, value: Value<'a>) -> Result<&'a str, Error<'a>> {
    let text = value.bytes()?;
    str::from_utf8(text).map_err(|_| Error::Unreadable(Unreadable::NotUtf8 { what, text }))
}

/// Reads a message; only the wire format of what is not a metric or within one can make it fail.
pub(crate) fn metrics<'a>(
    message: &'a [u8],
    limits: &mut Limits<'_>,
) -> Result<Metrics<'a>, MessageError> {
    let mut metrics = Metrics::default();
    let mut message = Reader::new(message);
    while let Some((number, value)) = message.next()? {
        if number == 1 {
            limits.room(&mut metrics.resources, 1)?;
            let read = resource_metrics(message.message(value)?, limits)?;
            metrics.resources.push(read);
        }
    }
    Ok(metrics)
}

/// Stores the reason that makes a part unreadable, unless its wire format does: that nothing separates from the rest.
fn note<'a>(
    read: Result<(), Error<'a>>,
    reason: &mut Option<Unreadable<'a>>,
) -> Result<(), MessageError> {
    match unreadable(read)? {
        Ok(()) => Ok(()),
        Err(Unreadable::Malformed(what)) => Err(MessageError::Malformed(what)),
        Err(not_utf8) => {
            reason.get_or_insert(not_utf8);
            Ok(())
        }
    }
}

fn resource_metrics<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
) -> Result<ResourceMetrics<'a>, MessageError> {
    let mut resource = ResourceMetrics::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => {
                let read = attributes(message.message(value)?, 1, limits, &mut resource.attributes);
                note(read, &mut resource.unreadable)?;
            }
            2 => {
                limits.room(&mut resource.scopes, 1)?;
                let read = scope_metrics(message.message(value)?, limits)?;
                resource.scopes.push(read);
            }
            3 => note(
                text("schema URL of a resource", value).map(drop),
                &mut resource.unreadable,
            )?,
            _ => {}
        }
    }
    Ok(resource)
}

/// Reads a message of which only the attributes count, which have this field number.
fn attributes<'a>(
    mut message: Reader<'a>,
    field: u32,
    limits: &mut Limits<'_>,
    attributes: &mut Vec<KeyValue<'a>>,
) -> Result<(), Error<'a>> {
    while let Some((number, value)) = message.next()? {
        if number == field {
            push_attribute(message.message(value)?, limits, attributes)?;
        }
    }
    Ok(())
}

fn scope_metrics<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
) -> Result<ScopeMetrics<'a>, MessageError> {
    let mut scope = ScopeMetrics::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => {
                let read = self::scope(message.message(value)?, limits, &mut scope);
                note(read, &mut scope.unreadable)?;
            }
            2 => {
                limits.room(&mut scope.metrics, 1)?;
                scope.metrics.push(metric(message.message(value)?, limits)?);
            }
            3 => {
                let read = text("schema URL of a scope", value).map(|it| scope.schema_url = it);
                note(read, &mut scope.unreadable)?;
            }
            _ => {}
        }
    }
    Ok(scope)
}

fn scope<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    scope: &mut ScopeMetrics<'a>,
) -> Result<(), Error<'a>> {
    while let Some((number, value)) = message.next()? {
        match number {
            1 => scope.name = text("name of a scope", value)?,
            2 => scope.version = text("version of a scope", value)?,
            3 => push_attribute(message.message(value)?, limits, &mut scope.attributes)?,
            _ => {}
        }
    }
    Ok(())
}

/// Reads a metric. It costs no more than itself, so only memory can make this fail.
fn metric<'a>(message: Reader<'a>, limits: &mut Limits<'_>) -> Result<Metric<'a>, BudgetExceeded> {
    let mut metric = Metric::default();
    if let Err(reason) = unreadable(read_metric(message, limits, &mut metric))? {
        metric.unreadable = Some(reason);
    }
    Ok(metric)
}

fn read_metric<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    metric: &mut Metric<'a>,
) -> Result<(), Error<'a>> {
    // The data is read nevertheless, to count its points.
    let mut not_utf8 = None;
    while let Some((number, value)) = message.next()? {
        match number {
            1 => match unreadable(text("name of a metric", value))? {
                Ok(name) => metric.name = name,
                Err(reason) => not_utf8 = Some(reason),
            },
            2 => match unreadable(text("description of a metric", value))? {
                Ok(description) => metric.description = description,
                Err(reason) => metric.unreadable_description = Some(reason),
            },
            3 => match unreadable(text("unit of a metric", value))? {
                Ok(unit) => metric.unit = unit,
                Err(reason) => not_utf8 = Some(reason),
            },
            5 | 7 | 9 | 10 | 11 => data(number, message.message(value)?, limits, metric)?,
            _ => {}
        }
    }
    match not_utf8 {
        None => Ok(()),
        Some(reason) => Err(Error::Unreadable(reason)),
    }
}

/// Reads the data of the kind with this field number. A message of the kind that the metric has is merged into it.
fn data<'a>(
    kind: u32,
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    metric: &mut Metric<'a>,
) -> Result<(), Error<'a>> {
    let is_same = match &metric.data {
        Data::None => false,
        Data::Gauge(_) => kind == 5,
        Data::Sum { .. } => kind == 7,
        Data::Histogram { .. } => kind == 9,
        Data::Exponential { .. } => kind == 10,
        Data::Summary(_) => kind == 11,
    };
    if !is_same {
        metric.data = match kind {
            5 => Data::Gauge(Vec::new()),
            7 => Data::Sum {
                points: Vec::new(),
                temporality: Temporality::default(),
                is_monotonic: false,
            },
            9 => Data::Histogram {
                points: Vec::new(),
                temporality: Temporality::default(),
            },
            10 => Data::Exponential {
                points: Vec::new(),
                temporality: Temporality::default(),
            },
            _ => Data::Summary(Vec::new()),
        };
    }
    let mut unreadable = UnreadableParts {
        points: &mut metric.unreadable_points,
        exemplars: &mut metric.unreadable_exemplars,
    };
    while let Some((number, value)) = message.next()? {
        match (number, &mut metric.data) {
            (1, data) => {
                let point = message.message(value)?;
                match data {
                    Data::None => {}
                    Data::Gauge(points) | Data::Sum { points, .. } => {
                        unreadable.push(points, point, limits, number_point)?;
                    }
                    Data::Histogram { points, .. } => {
                        unreadable.push(points, point, limits, histogram_point)?;
                    }
                    Data::Exponential { points, .. } => {
                        unreadable.push(points, point, limits, exponential_point)?;
                    }
                    Data::Summary(points) => {
                        unreadable.push(points, point, limits, summary_point)?;
                    }
                }
            }
            (
                2,
                Data::Sum { temporality, .. }
                | Data::Histogram { temporality, .. }
                | Data::Exponential { temporality, .. },
            ) => *temporality = Temporality::of(value.int32()?),
            (3, Data::Sum { is_monotonic, .. }) => *is_monotonic = value.uint64()? != 0,
            _ => {}
        }
    }
    Ok(())
}

/// The parts of a metric that cannot be read.
struct UnreadableParts<'p, 'a> {
    points: &'p mut Vec<Unreadable<'a>>,
    exemplars: &'p mut u64,
}

impl<'a> UnreadableParts<'_, 'a> {
    /// Adds the point that `read` reads to `points`, or the reason that makes it unreadable.
    #[inline]
    fn push<T>(
        &mut self,
        points: &mut Vec<T>,
        message: Reader<'a>,
        limits: &mut Limits<'_>,
        read: impl Fn(Reader<'a>, &mut Limits<'_>, &mut u64) -> Result<T, Error<'a>>,
    ) -> Result<(), BudgetExceeded> {
        limits.room(points, 1)?;
        match unreadable(read(message, limits, self.exemplars))? {
            Ok(point) => points.push(point),
            Err(reason) => {
                limits.room(self.points, 1)?;
                self.points.push(reason);
            }
        }
        Ok(())
    }
}

fn number_point<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    unreadable_exemplars: &mut u64,
) -> Result<NumberPoint<'a>, Error<'a>> {
    let mut point = NumberPoint::default();
    while let Some((number, value)) = message.next()? {
        match number {
            7 => push_attribute(message.message(value)?, limits, &mut point.attributes)?,
            2 => drop(value.fixed64()?),
            3 => point.time_unix_nano = value.fixed64()?,
            4 => point.value = Some(Number::Double(value.double()?)),
            6 => point.value = Some(Number::Int(value.fixed64()?.cast_signed())),
            5 => {
                let exemplar = message.message(value)?;
                push_exemplar(exemplar, limits, &mut point.exemplars, unreadable_exemplars)?;
            }
            8 => point.flags = value.uint32()?,
            _ => {}
        }
    }
    Ok(point)
}

fn histogram_point<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    unreadable_exemplars: &mut u64,
) -> Result<HistogramPoint<'a>, Error<'a>> {
    let mut point = HistogramPoint::default();
    while let Some((number, value)) = message.next()? {
        match number {
            9 => push_attribute(message.message(value)?, limits, &mut point.attributes)?,
            2 => drop(value.fixed64()?),
            3 => point.time_unix_nano = value.fixed64()?,
            4 => point.count = value.fixed64()?,
            5 => point.sum = Some(value.double()?),
            6 => push_fixed64(value, limits, &mut point.bucket_counts, |it| it)?,
            7 => push_fixed64(value, limits, &mut point.explicit_bounds, f64::from_bits)?,
            8 => {
                let exemplar = message.message(value)?;
                push_exemplar(exemplar, limits, &mut point.exemplars, unreadable_exemplars)?;
            }
            10 => point.flags = value.uint32()?,
            11 | 12 => drop(value.double()?),
            _ => {}
        }
    }
    Ok(point)
}

fn exponential_point<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    unreadable_exemplars: &mut u64,
) -> Result<ExponentialPoint<'a>, Error<'a>> {
    let mut point = ExponentialPoint::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => push_attribute(message.message(value)?, limits, &mut point.attributes)?,
            2 => drop(value.fixed64()?),
            3 => point.time_unix_nano = value.fixed64()?,
            4 => point.count = value.fixed64()?,
            5 => point.sum = Some(value.double()?),
            6 => point.scale = value.sint32()?,
            7 => point.zero_count = value.fixed64()?,
            8 => buckets(message.message(value)?, limits, &mut point.positive)?,
            9 => buckets(message.message(value)?, limits, &mut point.negative)?,
            10 => point.flags = value.uint32()?,
            11 => {
                let exemplar = message.message(value)?;
                push_exemplar(exemplar, limits, &mut point.exemplars, unreadable_exemplars)?;
            }
            12..=14 => drop(value.double()?),
            _ => {}
        }
    }
    Ok(point)
}

fn buckets<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    buckets: &mut ExponentialBuckets,
) -> Result<(), Error<'a>> {
    while let Some((number, value)) = message.next()? {
        match number {
            1 => buckets.offset = value.sint32()?,
            2 => value.each_varint(|count| {
                limits.room(&mut buckets.counts, 1)?;
                buckets.counts.push(count.uint64()?);
                Ok(())
            })?,
            _ => {}
        }
    }
    Ok(())
}

fn summary_point<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    _: &mut u64,
) -> Result<SummaryPoint<'a>, Error<'a>> {
    let mut point = SummaryPoint::default();
    while let Some((number, value)) = message.next()? {
        match number {
            7 => push_attribute(message.message(value)?, limits, &mut point.attributes)?,
            2 => drop(value.fixed64()?),
            3 => point.time_unix_nano = value.fixed64()?,
            4 => point.count = value.fixed64()?,
            5 => point.sum = value.double()?,
            6 => {
                limits.room(&mut point.quantiles, 1)?;
                point.quantiles.push(quantile(message.message(value)?)?);
            }
            8 => point.flags = value.uint32()?,
            _ => {}
        }
    }
    Ok(point)
}

fn quantile(mut message: Reader<'_>) -> Result<QuantileValue, Error<'_>> {
    let mut quantile = QuantileValue::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => quantile.quantile = value.double()?,
            2 => quantile.value = value.double()?,
            _ => {}
        }
    }
    Ok(quantile)
}

/// Adds an exemplar, or counts one that cannot be read.
fn push_exemplar<'a>(
    message: Reader<'a>,
    limits: &mut Limits<'_>,
    exemplars: &mut Vec<Exemplar<'a>>,
    unreadable_exemplars: &mut u64,
) -> Result<(), BudgetExceeded> {
    limits.room(exemplars, 1)?;
    match unreadable(exemplar(message, limits))? {
        Ok(exemplar) => exemplars.push(exemplar),
        Err(_) => *unreadable_exemplars += 1,
    }
    Ok(())
}

fn exemplar<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
) -> Result<Exemplar<'a>, Error<'a>> {
    let mut exemplar = Exemplar::default();
    let attributes = &mut exemplar.filtered_attributes;
    while let Some((number, value)) = message.next()? {
        match number {
            7 => push_attribute(message.message(value)?, limits, attributes)?,
            2 => exemplar.time_unix_nano = value.fixed64()?,
            3 => exemplar.value = Some(Number::Double(value.double()?)),
            6 => exemplar.value = Some(Number::Int(value.fixed64()?.cast_signed())),
            4 => exemplar.span_id = Cow::Borrowed(value.bytes()?),
            5 => exemplar.trace_id = Cow::Borrowed(value.bytes()?),
            _ => {}
        }
    }
    Ok(exemplar)
}

/// Adds the numbers of a repeated field of eight bytes each.
fn push_fixed64<'a, T>(
    value: Value<'a>,
    limits: &mut Limits<'_>,
    numbers: &mut Vec<T>,
    convert: impl Fn(u64) -> T,
) -> Result<(), Error<'a>> {
    match value {
        Value::Bytes(packed) => {
            let count = packed.len() / size_of::<u64>();
            limits.room(numbers, count)?;
        }
        _ => limits.room(numbers, 1)?,
    }
    value.each_fixed64(|number| {
        numbers.push(convert(number.fixed64()?));
        Ok(())
    })?;
    Ok(())
}

#[inline]
fn push_attribute<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    attributes: &mut Vec<KeyValue<'a>>,
) -> Result<(), Error<'a>> {
    limits.room(attributes, 1)?;
    let mut attribute = KeyValue::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => attribute.key = text("key of an attribute", value)?,
            2 => any_value(message.message(value)?, limits, &mut attribute.value)?,
            _ => {}
        }
    }
    attributes.push(attribute);
    Ok(())
}

fn any_value<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    any: &mut AnyValue<'a>,
) -> Result<(), Error<'a>> {
    while let Some((number, value)) = message.next()? {
        match number {
            1 => *any = AnyValue::String(text("value of an attribute", value)?),
            2 => *any = AnyValue::Bool(value.uint64()? != 0),
            3 => *any = AnyValue::Int(value.int64()?),
            4 => *any = AnyValue::Double(value.double()?),
            5 => array(message.message(value)?, limits, any)?,
            6 => {
                if !matches!(any, AnyValue::Map(_)) {
                    *any = AnyValue::Map(Vec::new());
                }
                if let AnyValue::Map(entries) = any {
                    attributes(message.message(value)?, 1, limits, entries)?;
                }
            }
            7 => *any = AnyValue::Bytes(Cow::Borrowed(value.bytes()?)),
            _ => {}
        }
    }
    Ok(())
}

fn array<'a>(
    mut message: Reader<'a>,
    limits: &mut Limits<'_>,
    any: &mut AnyValue<'a>,
) -> Result<(), Error<'a>> {
    if !matches!(any, AnyValue::Array(_)) {
        *any = AnyValue::Array(Vec::new());
    }
    let AnyValue::Array(values) = any else {
        return Ok(());
    };
    while let Some((number, value)) = message.next()? {
        if number == 1 {
            limits.room(values, 1)?;
            let mut element = AnyValue::Empty;
            any_value(message.message(value)?, limits, &mut element)?;
            values.push(element);
        }
    }
    Ok(())
}
