//! JSON to the model, by protobuf's mapping with the exceptions that OTLP makes: identifiers of traces and spans are
//! hexadecimal, enums integers (names are accepted too).
//!
//! Values are taken as their text in the body and converted here, so that floats are exact.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::{memchr, memchr2};
use prom_model::PROMETHEUS_NAN_BITS;
use prom_wire::budget::BudgetExceeded;
use prom_wire::request::StringArena;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::DecodeError;
use crate::limits::Limits;
use crate::model::{
    AnyValue, Data, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, KeyValue,
    Metric, Metrics, Number, NumberPoint, QuantileValue, ResourceMetrics, ScopeMetrics,
    SummaryPoint, Temporality,
};

/// Reads a message.
pub(crate) fn metrics<'a>(
    body: &'a [u8],
    arena: &'a StringArena,
    mut limits: Limits<'_>,
) -> Result<Metrics<'a>, DecodeError> {
    /// The parser decodes a string with escapes in a buffer that grows by doubling; a key is copied from there.
    const COPIES: usize = 4;
    limits.text(COPIES * longest_escaped(body))?;
    let json = Json {
        arena,
        limits: RefCell::new(limits),
        path: RefCell::default(),
        exceeded: Cell::new(None),
    };
    let mut metrics = Metrics::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Message {
        json: &json,
        fields: &mut metrics,
    };
    let read = read.deserialize(&mut deserializer);
    let read = read.and_then(|_| deserializer.end());
    match (read, json.exceeded.get()) {
        (Ok(()), _) => Ok(metrics),
        (Err(_), Some(exceeded)) => Err(exceeded.into()),
        (Err(error), None) => Err(DecodeError::Json {
            path: json.path(),
            reason: error.to_string(),
        }),
    }
}

/// Returns the length of the longest string that has escapes; 0 if there is none.
fn longest_escaped(body: &[u8]) -> usize {
    // Exporters escape nothing in most requests.
    if memchr(b'\\', body).is_none() {
        return 0;
    }
    let mut longest = 0;
    let mut rest = body;
    while let Some(begin) = memchr(b'"', rest) {
        let text = &rest[begin + 1..];
        let (mut len, mut has_escapes) = (0, false);
        loop {
            match memchr2(b'"', b'\\', text.get(len..).unwrap_or_default()) {
                None => break len = text.len(),
                Some(found) if text[len + found] == b'"' => break len += found,
                Some(found) => {
                    has_escapes = true;
                    // With the character that it escapes, which may be a quote.
                    len += found + 2;
                }
            }
        }
        if has_escapes {
            longest = longest.max(len);
        }
        rest = text.get(len + 1..).unwrap_or_default();
    }
    longest
}

/// The state of a reading.
struct Json<'a, 'm> {
    arena: &'a StringArena,
    limits: RefCell<Limits<'m>>,
    /// The way to the value that is being read. It is not left after an error, so it names the place then.
    path: RefCell<Vec<Step>>,
    exceeded: Cell<Option<BudgetExceeded>>,
}

#[derive(Clone, Copy)]
enum Step {
    Key(&'static str),
    Index(usize),
}

impl<'m> Json<'_, 'm> {
    /// Calls `read` for the value at `step` of the one that is being read.
    fn at<T, E>(&self, step: Step, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.path.borrow_mut().push(step);
        let read = read()?;
        self.path.borrow_mut().pop();
        Ok(read)
    }

    /// Charges memory.
    fn charge<E: Error>(
        &self,
        charge: impl FnOnce(&mut Limits<'m>) -> Result<(), BudgetExceeded>,
    ) -> Result<(), E> {
        charge(&mut self.limits.borrow_mut()).map_err(|exceeded| {
            self.exceeded.set(Some(exceeded));
            E::custom(exceeded)
        })
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.borrow().iter() {
            let written = match step {
                Step::Key(key) if path.is_empty() => write!(path, "{key}"),
                Step::Key(key) => write!(path, ".{key}"),
                Step::Index(index) => write!(path, "[{index}]"),
            };
            written.expect("a string accepts all text");
        }
        match path.is_empty() {
            true => "(the whole body)".to_owned(),
            false => path,
        }
    }
}

/// A message whose fields are set one by one.
trait Fields<'a> {
    /// Reads the value of `key` if the message has it; returns false otherwise.
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error>;
}

/// The value of a key that is to be read.
struct Entry<'e, 'a, 'm, A> {
    map: &'e mut A,
    json: &'e Json<'a, 'm>,
}

impl<'a, A: MapAccess<'a>> Entry<'_, 'a, '_, A> {
    /// Reads a scalar into `target`; `null` counts as absent.
    fn scalar<T: Scalar<'a>>(
        &mut self,
        key: &'static str,
        target: &mut T,
    ) -> Result<bool, A::Error> {
        self.json.at(Step::Key(key), || {
            let raw: &'a RawValue = self.map.next_value()?;
            match raw.get() {
                "null" => {}
                raw => *target = T::read(raw, self.json)?,
            }
            Ok(true)
        })
    }

    /// Reads a scalar that may be absent.
    fn optional<T: Scalar<'a>>(
        &mut self,
        key: &'static str,
        mut set: impl FnMut(T),
    ) -> Result<bool, A::Error> {
        self.json.at(Step::Key(key), || {
            let raw: &'a RawValue = self.map.next_value()?;
            match raw.get() {
                "null" => {}
                raw => set(T::read(raw, self.json)?),
            }
            Ok(true)
        })
    }

    /// Reads a message; returns false if it is `null`.
    fn message(
        &mut self,
        key: &'static str,
        fields: &mut impl Fields<'a>,
    ) -> Result<bool, A::Error> {
        self.json.at(Step::Key(key), || {
            let json = self.json;
            self.map.next_value_seed(Message { json, fields })
        })
    }

    /// Adds the elements of a list to `list`.
    fn list<T: Element<'a>>(
        &mut self,
        key: &'static str,
        list: &mut Vec<T>,
    ) -> Result<bool, A::Error> {
        self.json.at(Step::Key(key), || {
            let json = self.json;
            self.map.next_value_seed(List { json, list })
        })?;
        Ok(true)
    }
}

/// Reads an object into the fields of a message; the value is false for `null`.
struct Message<'e, 'a, 'm, T> {
    json: &'e Json<'a, 'm>,
    fields: &'e mut T,
}

impl<'a, T: Fields<'a>> DeserializeSeed<'a> for Message<'_, 'a, '_, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, T: Fields<'a>> Visitor<'a> for Message<'_, 'a, '_, T> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Err(E::custom("invalid type: string, expected an object"))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            let mut entry = Entry {
                map: &mut map,
                json: self.json,
            };
            if !self.fields.set(&key, &mut entry)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(true)
    }
}

/// A key, which is borrowed unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a list; `null` counts as an empty one.
struct List<'e, 'a, 'm, T> {
    json: &'e Json<'a, 'm>,
    list: &'e mut Vec<T>,
}

impl<'a, T: Element<'a>> DeserializeSeed<'a> for List<'_, 'a, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, T: Element<'a>> Visitor<'a> for List<'_, 'a, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(E::custom("invalid type: string, expected a list"))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let json = self.json;
        for index in 0.. {
            let next = json.at(Step::Index(index), || T::next(&mut seq, json))?;
            let Some(element) = next else {
                break;
            };
            json.charge(|limits| limits.room(self.list, 1))?;
            self.list.push(element);
        }
        Ok(())
    }
}

/// An element of a list.
trait Element<'a>: Sized {
    fn next<A: SeqAccess<'a>>(seq: &mut A, json: &Json<'a, '_>) -> Result<Option<Self>, A::Error>;
}

/// Reads an element that is a message; `null` is one without fields.
fn next_message<'a, T: Fields<'a> + Default, A: SeqAccess<'a>>(
    seq: &mut A,
    json: &Json<'a, '_>,
) -> Result<Option<T>, A::Error> {
    let mut element = T::default();
    let fields = &mut element;
    let read = seq.next_element_seed(Message { json, fields })?;
    Ok(read.map(|_| element))
}

macro_rules! message_elements {
    ($($message:ident)*) => {$(
        impl<'a> Element<'a> for $message<'a> {
            fn next<A: SeqAccess<'a>>(
                seq: &mut A,
                json: &Json<'a, '_>,
            ) -> Result<Option<Self>, A::Error> {
                next_message(seq, json)
            }
        }
    )*};
}

message_elements! {
    ResourceMetrics ScopeMetrics Metric NumberPoint HistogramPoint ExponentialPoint SummaryPoint Exemplar
    KeyValue AnyValue
}

impl<'a> Element<'a> for QuantileValue {
    fn next<A: SeqAccess<'a>>(seq: &mut A, json: &Json<'a, '_>) -> Result<Option<Self>, A::Error> {
        next_message(seq, json)
    }
}

/// Reads an element that is a number.
fn next_number<'a, T: Scalar<'a>, A: SeqAccess<'a>>(
    seq: &mut A,
    json: &Json<'a, '_>,
) -> Result<Option<T>, A::Error> {
    match seq.next_element::<&'a RawValue>()? {
        Some(raw) => Ok(Some(T::read(raw.get(), json)?)),
        None => Ok(None),
    }
}

impl<'a> Element<'a> for u64 {
    fn next<A: SeqAccess<'a>>(seq: &mut A, json: &Json<'a, '_>) -> Result<Option<Self>, A::Error> {
        next_number(seq, json)
    }
}

impl<'a> Element<'a> for f64 {
    fn next<A: SeqAccess<'a>>(seq: &mut A, json: &Json<'a, '_>) -> Result<Option<Self>, A::Error> {
        next_number(seq, json)
    }
}

/// A value without parts. `raw` is its text in the body, which is JSON and not `null`.
trait Scalar<'a>: Sized {
    fn read<E: Error>(raw: &'a str, json: &Json<'a, '_>) -> Result<Self, E>;
}

/// Returns the error for a value that is not the expected one.
fn mismatch<E: Error>(raw: &str, expected: &str) -> E {
    const MAX_CHARS: usize = 60;
    let shown: String = raw.chars().take(MAX_CHARS).collect();
    let dots = if shown.len() < raw.len() { "..." } else { "" };
    E::custom(format_args!("{shown}{dots} is not {expected}"))
}

/// Returns the text between the quotes of a string without escapes.
fn unquoted(raw: &str) -> Option<&str> {
    let text = raw.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

/// Returns the text of a number, which may stand in quotes.
fn number(raw: &str) -> &str {
    unquoted(raw).unwrap_or(raw)
}

impl<'a> Scalar<'a> for &'a str {
    fn read<E: Error>(raw: &'a str, json: &Json<'a, '_>) -> Result<Self, E> {
        if let Some(text) = unquoted(raw) {
            return Ok(text);
        }
        if !raw.starts_with('"') {
            return Err(mismatch(raw, "a string"));
        }
        json.charge(|limits| limits.text(raw.len()))?;
        let text: String = serde_json::from_str(raw).map_err(E::custom)?;
        Ok(json.arena.store(text))
    }
}

impl<'a> Scalar<'a> for bool {
    fn read<E: Error>(raw: &'a str, _: &Json<'a, '_>) -> Result<Self, E> {
        match raw {
            "true" => Ok(true),
            "false" => Ok(false),
            raw => Err(mismatch(raw, "true or false")),
        }
    }
}

/// Returns the integer that a decimal with a fraction or an exponent stands for, such as `1.5e3`.
fn integral(text: &str) -> Option<i64> {
    const EXACT: f64 = (1_u64 << 53) as f64;
    let value = text.parse::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
}

macro_rules! integers {
    ($($integer:ident $expected:literal)*) => {$(
        impl<'a> Scalar<'a> for $integer {
            fn read<E: Error>(raw: &'a str, _: &Json<'a, '_>) -> Result<Self, E> {
                let text = number(raw);
                let read = text.parse().ok();
                let read = read.or_else(|| integral(text)?.try_into().ok());
                read.ok_or_else(|| mismatch(raw, $expected))
            }
        }
    )*};
}

integers! {
    u64 "an integer from 0 to 18446744073709551615"
    i64 "an integer of 64 bits"
    u32 "an integer from 0 to 4294967295"
    i32 "an integer of 32 bits"
}

impl<'a> Scalar<'a> for f64 {
    fn read<E: Error>(raw: &'a str, _: &Json<'a, '_>) -> Result<Self, E> {
        let is_decimal = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        };
        let read = match number(raw) {
            "NaN" => Some(f64::from_bits(PROMETHEUS_NAN_BITS)),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text if is_decimal(text) => text.parse().ok(),
            _ => None,
        };
        let expected = "a number, \"NaN\", \"Infinity\" or \"-Infinity\"";
        read.ok_or_else(|| mismatch(raw, expected))
    }
}

impl<'a> Scalar<'a> for Temporality {
    fn read<E: Error>(raw: &'a str, json: &Json<'a, '_>) -> Result<Self, E> {
        match unquoted(raw) {
            Some("AGGREGATION_TEMPORALITY_UNSPECIFIED") => Ok(Self::Unspecified),
            Some("AGGREGATION_TEMPORALITY_DELTA") => Ok(Self::Delta),
            Some("AGGREGATION_TEMPORALITY_CUMULATIVE") => Ok(Self::Cumulative),
            _ => match i32::read::<E>(raw, json) {
                Ok(number) => Ok(Self::of(number)),
                Err(_) => Err(mismatch(
                    raw,
                    "1, 2 or a name such as AGGREGATION_TEMPORALITY_CUMULATIVE",
                )),
            },
        }
    }
}

/// Bytes as base64 of either alphabet.
struct Base64(Vec<u8>);

impl<'a> Scalar<'a> for Base64 {
    fn read<E: Error>(raw: &'a str, json: &Json<'a, '_>) -> Result<Self, E> {
        const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, ANY_PADDING);
        const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, ANY_PADDING);
        let text = <&str>::read::<E>(raw, json)?;
        json.charge(|limits| limits.text(text.len()))?;
        let decoded = BASE64.decode(text).or_else(|_| BASE64_URL.decode(text));
        match decoded {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(mismatch(raw, "base64")),
        }
    }
}

/// Bytes as hexadecimal digits of either case.
struct Hex(Vec<u8>);

impl<'a> Scalar<'a> for Hex {
    fn read<E: Error>(raw: &'a str, json: &Json<'a, '_>) -> Result<Self, E> {
        let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
        let pair = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
        let text = unquoted(raw).ok_or_else(|| mismatch(raw, "a string"))?;
        json.charge(|limits| limits.text(text.len()))?;
        let (pairs, odd) = text.as_bytes().as_chunks();
        let bytes: Option<_> = pairs.iter().map(pair).collect();
        match bytes.filter(|_| odd.is_empty()) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(mismatch(raw, "an even number of hexadecimal digits")),
        }
    }
}

impl<'a> Fields<'a> for Metrics<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "resourceMetrics" | "resource_metrics" => {
                entry.list("resourceMetrics", &mut self.resources)
            }
            _ => Ok(false),
        }
    }
}

/// A message of which only the list with this key counts.
struct Only<'l, T> {
    key: &'static str,
    list: &'l mut Vec<T>,
}

impl<'a, T: Element<'a>> Fields<'a> for Only<'_, T> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key == self.key {
            true => entry.list(self.key, self.list),
            false => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for ResourceMetrics<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "resource" => {
                let mut resource = Only {
                    key: "attributes",
                    list: &mut self.attributes,
                };
                entry.message("resource", &mut resource)?;
                Ok(true)
            }
            "scopeMetrics" | "scope_metrics" => entry.list("scopeMetrics", &mut self.scopes),
            "schemaUrl" | "schema_url" => entry.scalar("schemaUrl", &mut ""),
            _ => Ok(false),
        }
    }
}

/// The properties of a scope.
struct Scope<'s, 'a>(&'s mut ScopeMetrics<'a>);

impl<'a> Fields<'a> for Scope<'_, 'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "name" => entry.scalar("name", &mut self.0.name),
            "version" => entry.scalar("version", &mut self.0.version),
            "attributes" => entry.list("attributes", &mut self.0.attributes),
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for ScopeMetrics<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "scope" => {
                entry.message("scope", &mut Scope(self))?;
                Ok(true)
            }
            "metrics" => entry.list("metrics", &mut self.metrics),
            "schemaUrl" | "schema_url" => entry.scalar("schemaUrl", &mut self.schema_url),
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for Metric<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        let (key, mut data) = match key {
            "name" => return entry.scalar("name", &mut self.name),
            "description" => return entry.scalar("description", &mut self.description),
            "unit" => return entry.scalar("unit", &mut self.unit),
            "gauge" => ("gauge", Data::Gauge(Vec::new())),
            "sum" => {
                let sum = Data::Sum {
                    points: Vec::new(),
                    temporality: Temporality::default(),
                    is_monotonic: false,
                };
                ("sum", sum)
            }
            "histogram" => {
                let histogram = Data::Histogram {
                    points: Vec::new(),
                    temporality: Temporality::default(),
                };
                ("histogram", histogram)
            }
            "exponentialHistogram" | "exponential_histogram" => {
                let histogram = Data::Exponential {
                    points: Vec::new(),
                    temporality: Temporality::default(),
                };
                ("exponentialHistogram", histogram)
            }
            "summary" => ("summary", Data::Summary(Vec::new())),
            _ => return Ok(false),
        };
        if entry.message(key, &mut data)? {
            self.data = data;
        }
        Ok(true)
    }
}

impl<'a> Fields<'a> for Data<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match (key, self) {
            ("dataPoints" | "data_points", data) => match data {
                Self::None => Ok(false),
                Self::Gauge(points) | Self::Sum { points, .. } => entry.list("dataPoints", points),
                Self::Histogram { points, .. } => entry.list("dataPoints", points),
                Self::Exponential { points, .. } => entry.list("dataPoints", points),
                Self::Summary(points) => entry.list("dataPoints", points),
            },
            (
                "aggregationTemporality" | "aggregation_temporality",
                Self::Sum { temporality, .. }
                | Self::Histogram { temporality, .. }
                | Self::Exponential { temporality, .. },
            ) => entry.scalar("aggregationTemporality", temporality),
            ("isMonotonic" | "is_monotonic", Self::Sum { is_monotonic, .. }) => {
                entry.scalar("isMonotonic", is_monotonic)
            }
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for NumberPoint<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "attributes" => entry.list("attributes", &mut self.attributes),
            "startTimeUnixNano" | "start_time_unix_nano" => {
                entry.scalar("startTimeUnixNano", &mut 0_u64)
            }
            "timeUnixNano" | "time_unix_nano" => {
                entry.scalar("timeUnixNano", &mut self.time_unix_nano)
            }
            "asDouble" | "as_double" => {
                entry.optional("asDouble", |it| self.value = Some(Number::Double(it)))
            }
            "asInt" | "as_int" => entry.optional("asInt", |it| self.value = Some(Number::Int(it))),
            "exemplars" => entry.list("exemplars", &mut self.exemplars),
            "flags" => entry.scalar("flags", &mut self.flags),
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for HistogramPoint<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "attributes" => entry.list("attributes", &mut self.attributes),
            "startTimeUnixNano" | "start_time_unix_nano" => {
                entry.scalar("startTimeUnixNano", &mut 0_u64)
            }
            "timeUnixNano" | "time_unix_nano" => {
                entry.scalar("timeUnixNano", &mut self.time_unix_nano)
            }
            "count" => entry.scalar("count", &mut self.count),
            "sum" => entry.optional("sum", |it| self.sum = Some(it)),
            "bucketCounts" | "bucket_counts" => entry.list("bucketCounts", &mut self.bucket_counts),
            "explicitBounds" | "explicit_bounds" => {
                entry.list("explicitBounds", &mut self.explicit_bounds)
            }
            "exemplars" => entry.list("exemplars", &mut self.exemplars),
            "flags" => entry.scalar("flags", &mut self.flags),
            "min" => entry.scalar("min", &mut 0.0),
            "max" => entry.scalar("max", &mut 0.0),
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for ExponentialPoint<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "attributes" => entry.list("attributes", &mut self.attributes),
            "startTimeUnixNano" | "start_time_unix_nano" => {
                entry.scalar("startTimeUnixNano", &mut 0_u64)
            }
            "timeUnixNano" | "time_unix_nano" => {
                entry.scalar("timeUnixNano", &mut self.time_unix_nano)
            }
            "count" => entry.scalar("count", &mut self.count),
            "sum" => entry.optional("sum", |it| self.sum = Some(it)),
            "scale" => entry.scalar("scale", &mut self.scale),
            "zeroCount" | "zero_count" => entry.scalar("zeroCount", &mut self.zero_count),
            "positive" => {
                entry.message("positive", &mut self.positive)?;
                Ok(true)
            }
            "negative" => {
                entry.message("negative", &mut self.negative)?;
                Ok(true)
            }
            "exemplars" => entry.list("exemplars", &mut self.exemplars),
            "flags" => entry.scalar("flags", &mut self.flags),
            "min" => entry.scalar("min", &mut 0.0),
            "max" => entry.scalar("max", &mut 0.0),
            "zeroThreshold" | "zero_threshold" => entry.scalar("zeroThreshold", &mut 0.0),
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for ExponentialBuckets {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "offset" => entry.scalar("offset", &mut self.offset),
            "bucketCounts" | "bucket_counts" => entry.list("bucketCounts", &mut self.counts),
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for SummaryPoint<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "attributes" => entry.list("attributes", &mut self.attributes),
            "startTimeUnixNano" | "start_time_unix_nano" => {
                entry.scalar("startTimeUnixNano", &mut 0_u64)
            }
            "timeUnixNano" | "time_unix_nano" => {
                entry.scalar("timeUnixNano", &mut self.time_unix_nano)
            }
            "count" => entry.scalar("count", &mut self.count),
            "sum" => entry.scalar("sum", &mut self.sum),
            "quantileValues" | "quantile_values" => {
                entry.list("quantileValues", &mut self.quantiles)
            }
            "flags" => entry.scalar("flags", &mut self.flags),
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for QuantileValue {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "quantile" => entry.scalar("quantile", &mut self.quantile),
            "value" => entry.scalar("value", &mut self.value),
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for Exemplar<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "filteredAttributes" | "filtered_attributes" => {
                entry.list("filteredAttributes", &mut self.filtered_attributes)
            }
            "timeUnixNano" | "time_unix_nano" => {
                entry.scalar("timeUnixNano", &mut self.time_unix_nano)
            }
            "asDouble" | "as_double" => {
                entry.optional("asDouble", |it| self.value = Some(Number::Double(it)))
            }
            "asInt" | "as_int" => entry.optional("asInt", |it| self.value = Some(Number::Int(it))),
            "spanId" | "span_id" => {
                entry.optional("spanId", |Hex(bytes)| self.span_id = bytes.into())
            }
            "traceId" | "trace_id" => {
                entry.optional("traceId", |Hex(bytes)| self.trace_id = bytes.into())
            }
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for KeyValue<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "key" => entry.scalar("key", &mut self.key),
            "value" => {
                entry.message("value", &mut self.value)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl<'a> Fields<'a> for AnyValue<'a> {
    fn set<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, 'a, '_, A>,
    ) -> Result<bool, A::Error> {
        match key {
            "stringValue" | "string_value" => {
                entry.optional("stringValue", |it| *self = Self::String(it))
            }
            "boolValue" | "bool_value" => entry.optional("boolValue", |it| *self = Self::Bool(it)),
            "intValue" | "int_value" => entry.optional("intValue", |it| *self = Self::Int(it)),
            "doubleValue" | "double_value" => {
                entry.optional("doubleValue", |it| *self = Self::Double(it))
            }
            "arrayValue" | "array_value" => {
                let mut list = Vec::new();
                let values = &mut Only {
                    key: "values",
                    list: &mut list,
                };
                if entry.message("arrayValue", values)? {
                    *self = Self::Array(list);
                }
                Ok(true)
            }
            "kvlistValue" | "kvlist_value" => {
                let mut list = Vec::new();
                let values = &mut Only {
                    key: "values",
                    list: &mut list,
                };
                if entry.message("kvlistValue", values)? {
                    *self = Self::Map(list);
                }
                Ok(true)
            }
            "bytesValue" | "bytes_value" => entry.optional("bytesValue", |Base64(bytes)| {
                *self = Self::Bytes(bytes.into())
            }),
            _ => Ok(false),
        }
    }
}
