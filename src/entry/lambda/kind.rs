//! The kind of an event, found by the few members that decide.
//!
//! All other content is skipped, so finding the kind of an event needs hardly any memory, regardless of the number
//! and depth of its values.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Characters of an event's keys and names that are repeated in an error.
const MAX_SHOWN: usize = 200;
/// The one key of an event that demands the checks of `bootstrap doctor`.
const DOCTOR: &str = "doctor";
/// Keys of an event that an error may show: more than [`MAX_SHOWN`] characters hold.
const MAX_KEYS: usize = 101;

/// The kind of an event, as far as its shape tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A batch of records of an event source such as `aws:sqs` or `aws:kinesis`.
    Records(String),
    /// An event of EventBridge, by its source.
    EventBridge(String),
    /// A connector definition, or an attempt at one.
    Definition,
    /// The checks of `bootstrap doctor`.
    Doctor,
    /// Anything else.
    Other(String),
}

impl Kind {
    /// Returns the kind of `event`; invalid JSON counts as null.
    pub(super) fn of(event: &[u8]) -> Self {
        match serde_json::from_slice(event) {
            Ok(Shape::Object(members)) => members.kind(),
            Ok(Shape::Other(shape)) => Self::Other(shape.to_owned()),
            Err(_) => Self::Other("null".to_owned()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(source) => write!(f, "records of the event source '{source}'"),
            Self::EventBridge(source) => write!(f, "an EventBridge event of the source '{source}'"),
            Self::Definition => f.write_str("a connector definition"),
            Self::Doctor => f.write_str("the checks of doctor"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// An event at its surface.
enum Shape<'e> {
    Object(Members<'e>),
    Other(&'static str),
}

/// The members of an event that decide, and its first keys in alphabetical order.
#[derive(Default)]
struct Members<'e> {
    records: Option<&'e RawValue>,
    source: Option<&'e RawValue>,
    detail_type: Option<&'e RawValue>,
    kind: Option<&'e RawValue>,
    name: Option<&'e RawValue>,
    config: Option<&'e RawValue>,
    keys: BTreeSet<String>,
}

impl Members<'_> {
    fn kind(&self) -> Kind {
        if let Some(source) = self.records.and_then(source_of_first) {
            return Kind::Records(shown(&source));
        }
        if let (Some(source), Some(_)) = (text(self.source), text(self.detail_type)) {
            return Kind::EventBridge(shown(&source));
        }
        // Not all of its keys: the error about a definition says which it lacks.
        let has_config = self.config.is_some_and(|it| it.get().starts_with('{'));
        if text(self.kind).is_some() && (text(self.name).is_some() || has_config) {
            return Kind::Definition;
        }
        if self.keys.iter().eq([DOCTOR]) {
            return Kind::Doctor;
        }
        if self.keys.is_empty() {
            return Kind::Other("an empty object".to_owned());
        }
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        Kind::Other(format!(
            "an object with the keys {}",
            shown(&keys.join(", "))
        ))
    }
}

/// Returns the event source of the first record; services spell its key in two ways.
fn source_of_first(records: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Record<'e> {
        #[serde(borrow, rename = "eventSource")]
        source: Option<&'e RawValue>,
        #[serde(borrow, rename = "EventSource")]
        other_source: Option<&'e RawValue>,
    }

    let elements = records.get().strip_prefix('[')?;
    let mut elements = serde_json::Deserializer::from_str(elements).into_iter::<&RawValue>();
    let first = elements.next()?.ok()?.get();
    // An array would be read as the members in their order.
    if !first.starts_with('{') {
        return None;
    }
    let first: Record<'_> = serde_json::from_str(first).ok()?;
    text(first.source).or_else(|| text(first.other_source))
}

/// Returns a value if it is a string.
fn text(value: Option<&RawValue>) -> Option<String> {
    let json = value?.get();
    // Other values are not parsed.
    json.starts_with('"')
        .then(|| serde_json::from_str(json).ok())?
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

impl<'e> Deserialize<'e> for Shape<'e> {
    fn deserialize<D: Deserializer<'e>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'e> Visitor<'e> for ShapeVisitor {
    type Value = Shape<'e>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'e>>(self, mut map: A) -> Result<Shape<'e>, A::Error> {
        let mut members = Members::default();
        while let Some(key) = map.next_key::<String>()? {
            let member = match key.as_str() {
                "Records" => &mut members.records,
                "source" => &mut members.source,
                "detail-type" => &mut members.detail_type,
                "type" => &mut members.kind,
                "name" => &mut members.name,
                "config" => &mut members.config,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    members.keys.insert(shown(&key));
                    if members.keys.len() > MAX_KEYS {
                        members.keys.pop_last();
                    }
                    continue;
                }
            };
            *member = Some(map.next_value()?);
            members.keys.insert(key);
        }
        Ok(Shape::Object(members))
    }

    fn visit_seq<A: SeqAccess<'e>>(self, mut seq: A) -> Result<Shape<'e>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shape::Other("an array"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape<'e>, E> {
        Ok(Shape::Other("a string"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape<'e>, E> {
        Ok(Shape::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape<'e>, E> {
        Ok(Shape::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape<'e>, E> {
        Ok(Shape::Other("a number"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape<'e>, E> {
        Ok(Shape::Other("a boolean"))
    }

    fn visit_unit<E>(self) -> Result<Shape<'e>, E> {
        Ok(Shape::Other("null"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kind_of(event: &Value) -> String {
        Kind::of(event.to_string().as_bytes()).to_string()
    }

    #[test]
    fn kinds() {
        let cases = [
            (
                json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": "x"}]}),
                "records of the event source 'aws:sqs'",
            ),
            (
                json!({"Records": [{"eventSource": "aws:kinesis", "kinesis": {}}]}),
                "records of the event source 'aws:kinesis'",
            ),
            (
                json!({"Records": [{"EventSource": "aws:sns"}]}),
                "records of the event source 'aws:sns'",
            ),
            (
                json!({"Records": [{"eventSource": 7, "EventSource": "aws:sns"}, 1]}),
                "records of the event source 'aws:sns'",
            ),
            (
                json!({"Records": [{"eventSource": null}], "type": "b", "name": "a"}),
                "a connector definition",
            ),
            (
                json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
                "an EventBridge event of the source 'aws.events'",
            ),
            (
                json!({"source": "aws.events", "detail-type": 1}),
                "an object with the keys detail-type, source",
            ),
            (json!({"name": "a", "type": "b"}), "a connector definition"),
            (json!({"type": "b", "config": {}}), "a connector definition"),
            (
                json!({"type": "b", "config": []}),
                "an object with the keys config, type",
            ),
            (json!({"type": "b"}), "an object with the keys type"),
            (json!({"doctor": {}}), "the checks of doctor"),
            (json!({"doctor": 1}), "the checks of doctor"),
            (
                json!({"doctor": {}, "a": 1}),
                "an object with the keys a, doctor",
            ),
            (json!({"Records": []}), "an object with the keys Records"),
            (json!({"Records": {}}), "an object with the keys Records"),
            (json!({"Records": [7]}), "an object with the keys Records"),
            (
                json!({"Records": [["aws:sqs"]]}),
                "an object with the keys Records",
            ),
            (json!({"b": 1, "a": 2}), "an object with the keys a, b"),
            (json!({}), "an empty object"),
            (json!([1]), "an array"),
            (json!("x"), "a string"),
            (json!(1), "a number"),
            (json!(-1), "a number"),
            (json!(1.5), "a number"),
            (json!(true), "a boolean"),
            (json!(null), "null"),
        ];
        for (event, expected) in cases {
            assert_eq!(kind_of(&event), expected, "{event}");
        }
        assert_eq!(Kind::of(b"not json").to_string(), "null");
    }

    #[test]
    fn the_keys_that_are_shown_are_the_first_of_any_number() {
        let keys = (0..5_000).map(|i| format!("{i:04}"));
        let event: Value = keys.clone().rev().map(|key| (key, json!(0))).collect();
        let first: Vec<_> = keys.collect();
        let expected = format!("an object with the keys {}", shown(&first.join(", ")));
        assert_eq!(kind_of(&event), expected);
        let long = json!({"k".repeat(1_000_000): 1, "a": 1});
        assert_eq!(
            kind_of(&long).len(),
            "an object with the keys ".len() + MAX_SHOWN
        );
    }

    #[test]
    fn nesting_has_no_limit() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(Kind::of(deep.as_bytes()).to_string(), "an array");
        let event = format!(r#"{{"Records": [{deep}], "config": {deep}, "x": {deep}}}"#);
        let expected = "an object with the keys Records, config, x";
        assert_eq!(Kind::of(event.as_bytes()).to_string(), expected);
    }
}
