//! The value of a record, and what it is in a WriteRecords call.

use std::borrow::Cow;

use super::json::push_string;

/// The size of a value of eight bytes, whatever its text.
pub(super) const NUMBER_BYTES: usize = 8;

/// The most bytes that the text of a number has.
const NUMBER_TEXT_BYTES: usize = 24;
/// Bytes of the field that holds a value, beside its text.
const FIELD_BYTES: usize = 20;
/// Bytes of an attribute beside its name and the text of its value.
const ATTRIBUTE_BYTES: usize = 40;

/// The value of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A finite number; never `-0.0`, which Timestream rejects.
    Double(f64),
    /// A text, not empty.
    Varchar(Box<str>),
    /// Several under names of their own; at least one.
    Multi(Vec<Attribute<'a>>),
}

/// One value of a multi-measure record.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute<'a> {
    /// The column that holds it.
    pub name: &'static str,
    /// The content.
    pub value: Scalar<'a>,
}

/// A text or a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// A finite number; never `-0.0`.
    Double(f64),
    /// A text, not empty.
    Varchar(Cow<'a, str>),
}

impl Scalar<'_> {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Double(_) => "DOUBLE",
            Self::Varchar(_) => "VARCHAR",
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Double(_) => NUMBER_BYTES,
            Self::Varchar(text) => text.len(),
        }
    }

    fn text_bytes(&self) -> usize {
        match self {
            Self::Double(_) => NUMBER_TEXT_BYTES,
            Self::Varchar(text) => text.len(),
        }
    }

    fn push(&self, body: &mut Vec<u8>) {
        match self {
            Self::Double(value) => push_number(body, *value),
            Self::Varchar(text) => push_string(body, text),
        }
    }
}

fn push_number(body: &mut Vec<u8>, value: f64) {
    body.push(b'"');
    push_digits(body, value);
    body.push(b'"');
}

/// Writes the shortest text that reads back to the same bits.
fn push_digits(body: &mut Vec<u8>, value: f64) {
    serde_json::to_writer(body, &value).expect("it is finite, a Vec takes all");
}

impl Value<'_> {
    /// The name of its type in a call.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Double(_) => "DOUBLE",
            Self::Varchar(_) => "VARCHAR",
            Self::Multi(_) => "MULTI",
        }
    }

    /// Returns its part of the size of a record and of the units billed: UTF-8 bytes of a text, and
    /// of the names of attributes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Double(_) => NUMBER_BYTES,
            Self::Varchar(text) => text.len(),
            Self::Multi(attributes) => attributes
                .iter()
                .map(|attribute| attribute.name.len() + attribute.value.bytes())
                .sum(),
        }
    }

    /// Returns about as many bytes as [`Self::push`] writes, and no less unless characters are escaped.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Double(_) => FIELD_BYTES + NUMBER_TEXT_BYTES,
            Self::Varchar(text) => FIELD_BYTES + text.len(),
            Self::Multi(attributes) => {
                let bytes =
                    |it: &Attribute<'_>| ATTRIBUTE_BYTES + it.name.len() + it.value.text_bytes();
                FIELD_BYTES + attributes.iter().map(bytes).sum::<usize>()
            }
        }
    }

    /// Writes it as the first field of a record.
    pub(super) fn push(&self, body: &mut Vec<u8>) {
        match self {
            Self::Double(value) => {
                body.extend_from_slice(b"\"MeasureValue\":\"");
                push_digits(body, *value);
                body.push(b'"');
            }
            Self::Varchar(text) => {
                body.extend_from_slice(b"\"MeasureValue\":");
                push_string(body, text);
            }
            Self::Multi(attributes) => {
                body.extend_from_slice(b"\"MeasureValues\":");
                for (index, attribute) in attributes.iter().enumerate() {
                    body.extend_from_slice(if index == 0 {
                        b"[{\"Name\":"
                    } else {
                        b",{\"Name\":"
                    });
                    push_string(body, attribute.name);
                    body.extend_from_slice(b",\"Value\":");
                    attribute.value.push(body);
                    body.extend_from_slice(b",\"Type\":\"");
                    body.extend_from_slice(attribute.value.type_name().as_bytes());
                    body.extend_from_slice(b"\"}");
                }
                body.push(b']');
            }
        }
    }
}
