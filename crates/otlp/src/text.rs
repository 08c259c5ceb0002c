//! Values of attributes as text, and floats as Go writes them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prom_model::go_math::Digits;

use crate::model::{AnyValue, KeyValue};

/// Returns the value as the value of a label. Lists and maps are JSON; one with a float that JSON cannot have is empty.
pub(crate) fn value_text<'a>(value: &AnyValue<'a>) -> Cow<'a, str> {
    match value {
        AnyValue::Empty => Cow::Borrowed(""),
        AnyValue::String(text) => Cow::Borrowed(text),
        AnyValue::Bool(true) => Cow::Borrowed("true"),
        AnyValue::Bool(false) => Cow::Borrowed("false"),
        AnyValue::Int(value) => Cow::Owned(value.to_string()),
        AnyValue::Double(value) => Cow::Owned(double(*value)),
        AnyValue::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
        AnyValue::Array(_) | AnyValue::Map(_) => {
            let mut json = String::new();
            match push_json(&mut json, value) {
                true => Cow::Owned(json),
                false => Cow::Borrowed(""),
            }
        }
    }
}

/// Returns the most bytes that [`value_text`] occupies for a value: a string that it borrows needs none, and JSON grows by
/// doubling.
pub(crate) fn text_bytes(value: &AnyValue<'_>) -> usize {
    /// Of a number.
    const MAX_DIGITS: usize = 32;
    match value {
        AnyValue::Empty | AnyValue::String(_) | AnyValue::Bool(_) => 0,
        AnyValue::Int(_) | AnyValue::Double(_) => MAX_DIGITS,
        AnyValue::Bytes(bytes) => base64_bytes(bytes),
        AnyValue::Array(_) | AnyValue::Map(_) => 3 * json_bytes(value),
    }
}

/// Returns the most bytes that a value has in JSON, and a third of those that are occupied while it is written.
fn json_bytes(value: &AnyValue<'_>) -> usize {
    /// Of a number or a word, with a comma.
    const SCALAR_BYTES: usize = 33;
    /// Of a list or a map, with a comma.
    const BRACKETS_BYTES: usize = 3;
    /// In the ordered map of the entries.
    const ENTRY_BYTES: usize = 24;
    match value {
        AnyValue::Empty | AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_) => {
            SCALAR_BYTES
        }
        AnyValue::String(text) => string_bytes(text),
        AnyValue::Bytes(bytes) => SCALAR_BYTES + 2 * base64_bytes(bytes),
        AnyValue::Array(values) => BRACKETS_BYTES + values.iter().map(json_bytes).sum::<usize>(),
        AnyValue::Map(entries) => {
            let entry =
                |it: &KeyValue<'_>| ENTRY_BYTES + string_bytes(it.key) + json_bytes(&it.value);
            BRACKETS_BYTES + entries.iter().map(entry).sum::<usize>()
        }
    }
}

/// Returns the most bytes that a string has in JSON, with a comma or colon.
fn string_bytes(text: &str) -> usize {
    /// Of an escaped character.
    const MAX_ESCAPED: usize = 6;
    3 + MAX_ESCAPED * text.len()
}

fn base64_bytes(bytes: &[u8]) -> usize {
    4 * bytes.len().div_ceil(3)
}

/// Returns a float as the shortest decimal without exponent, as in the labels `le` and `quantile`.
pub(crate) fn decimal(value: f64) -> Cow<'static, str> {
    if value.is_nan() {
        Cow::Borrowed("NaN")
    } else if value == f64::INFINITY {
        Cow::Borrowed("+Inf")
    } else if value == f64::NEG_INFINITY {
        Cow::Borrowed("-Inf")
    } else {
        Cow::Owned(Digits(value).to_string())
    }
}

/// Returns a float as JSON has it, with an exponent from 1e21 on and below 1e-6.
fn double(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if magnitude == f64::INFINITY {
        let text = if value > 0.0 { "Infinity" } else { "-Infinity" };
        text.to_owned()
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{:e}", Digits(value));
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        }
    } else {
        Digits(value).to_string()
    }
}

/// Adds a value as JSON; returns false if JSON cannot have it.
fn push_json(json: &mut String, value: &AnyValue<'_>) -> bool {
    match value {
        AnyValue::Empty => json.push_str("null"),
        AnyValue::String(text) => push_string(json, text),
        AnyValue::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
        AnyValue::Int(value) => json.push_str(&value.to_string()),
        AnyValue::Double(value) if value.is_finite() => json.push_str(&double(*value)),
        AnyValue::Double(_) => return false,
        // As Go writes a list of bytes that there is not.
        AnyValue::Bytes(bytes) if bytes.is_empty() => json.push_str("null"),
        AnyValue::Bytes(bytes) => push_string(json, &STANDARD.encode(bytes)),
        AnyValue::Array(values) => {
            json.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                if !push_json(json, value) {
                    return false;
                }
            }
            json.push(']');
        }
        AnyValue::Map(entries) => {
            // By key; the last one of a key counts.
            let entries = entries.iter().map(|KeyValue { key, value }| (*key, value));
            let entries: BTreeMap<&str, &AnyValue<'_>> = entries.collect();
            json.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                push_string(json, key);
                json.push(':');
                if !push_json(json, value) {
                    return false;
                }
            }
            json.push('}');
        }
    }
    true
}

/// Adds a string with the escapes that Go writes.
fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for it in text.chars() {
        match it {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                write!(json, "\\u{:04x}", u32::from(it)).expect("a string accepts all text");
            }
            it => json.push(it),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_longer_than_its_bound() {
        let text = |text: &'static str| AnyValue::String(text);
        let of = |key, value| KeyValue { key, value };
        let scalars = [
            AnyValue::Empty,
            AnyValue::Bool(false),
            AnyValue::Int(i64::MIN),
            AnyValue::Double(-1.234_567_890_123_456_7e-6),
            AnyValue::Double(-f64::MIN_POSITIVE),
            AnyValue::Double(-1.234_567_890_123_456_7e20),
            AnyValue::Double(f64::MIN),
            AnyValue::Bytes(Cow::Borrowed(b"")),
            AnyValue::Bytes(Cow::Borrowed(b"1234")),
            text("\u{1}\u{1f}\""),
            text("\u{2028}"),
            text(""),
        ];
        let list = AnyValue::Array(scalars.to_vec());
        let map = AnyValue::Map(vec![
            of("\0", list.clone()),
            of("b", AnyValue::Array(vec![])),
        ]);
        let nested = AnyValue::Array(vec![map.clone(); 3]);
        for value in scalars.iter().chain([&list, &map, &nested]) {
            let Cow::Owned(text) = value_text(value) else {
                continue;
            };
            assert!(text.len() <= text_bytes(value), "{value:?}");
            assert!(text.len() <= json_bytes(value), "{value:?}");
        }
    }

    #[test]
    fn floats_have_the_text_of_go() {
        // Rust ends the first two in 3 and 7.
        for (value, plain, json) in [
            (
                1_234_567_890_123_456.3,
                "1234567890123456.2",
                "1234567890123456.2",
            ),
            (
                -147.999_053_955_078_13,
                "-147.99905395507812",
                "-147.99905395507812",
            ),
            (2.5e21, "2500000000000000000000", "2.5e+21"),
            (1e-7, "0.0000001", "1e-7"),
            (-0.0, "-0", "-0"),
        ] {
            assert_eq!(decimal(value), plain);
            assert_eq!(double(value), json);
            let list = AnyValue::Array(vec![AnyValue::Double(value)]);
            assert_eq!(value_text(&list), format!("[{json}]"));
        }
    }
}
