//! The memory that JSON will occupy once it is parsed.

use serde_json::Value;

/// Reading JSON of more bytes than this may occupy a thread for longer than a slice of
/// [`compute`](crate::compute).
pub const LONG_BYTES: usize = 1 << 20;

/// Bytes of an allocation that the allocator has for itself.
const ALLOCATION: usize = 16;
/// Bytes of an array with its first element: a vector begins with room for four.
const ARRAY: usize = 4 * size_of::<Value>() + ALLOCATION;
/// Bytes of an object with its first member: the node of a B-tree has room for eleven.
const OBJECT: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 2 * ALLOCATION;
/// Bytes of one element more: a vector that grows occupies up to three times its elements.
const ELEMENT: usize = 3 * size_of::<Value>();
/// Bytes of a member: the nodes of a B-tree are at least five elevenths full.
const MEMBER: usize = 128;
/// Half of the bytes of a string besides its characters; it has two quotes.
const QUOTE: usize = ALLOCATION;

/// Arrays and objects within one another beyond which `serde_json` stops with an error.
const MAX_DEPTH: usize = 128;

/// The most that [`tree_bytes`] returns for each byte of JSON: that of `{ },`.
pub const MAX_TREE_BYTES_PER_BYTE: usize = 192;

/// Returns the bytes that `json` occupies at most as a [`Value`].
///
/// Counts the characters of its structure, those within strings too, up to where it is too deep to be parsed. A
/// factor of the length is not enough: it is 6 to 15 for definitions as people write them, 50 for
/// `[[0],[0],...]`, and 130 for objects within objects.
pub fn tree_bytes(json: &[u8]) -> usize {
    let mut bytes = size_of::<Value>() + json.len();
    let mut depth = Depth::default();
    for (index, byte) in json.iter().enumerate() {
        let next = json.get(index + 1);
        bytes += match byte {
            b'[' if next != Some(&b']') => ARRAY,
            b'{' if next != Some(&b'}') => OBJECT,
            b',' => ELEMENT,
            b':' => MEMBER,
            b'"' => QUOTE,
            _ => 0,
        };
        depth.pass(*byte);
        if depth.levels > MAX_DEPTH {
            break;
        }
    }
    bytes
}

/// The depth of a place in JSON.
#[derive(Debug, Default)]
struct Depth {
    levels: usize,
    is_string: bool,
    is_escaped: bool,
}

impl Depth {
    fn pass(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.is_string => self.is_escaped = true,
            b'"' => self.is_string = !self.is_string,
            b'[' | b'{' if !self.is_string => self.levels += 1,
            b']' | b'}' if !self.is_string => self.levels = self.levels.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that a tree occupies; of a B-tree, nodes that are half full.
    fn occupied(value: &Value) -> usize {
        let heap = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) if text.is_empty() => 0,
            Value::String(text) => text.len().next_multiple_of(8) + 8,
            Value::Array(elements) if elements.is_empty() => 0,
            Value::Array(elements) => {
                let slots = elements.capacity() * size_of::<Value>() + 8;
                slots + elements.iter().map(heap_of).sum::<usize>()
            }
            Value::Object(members) if members.is_empty() => 0,
            Value::Object(members) => {
                let key = |key: &String| key.len().next_multiple_of(8) + 8;
                let within = members.iter().map(|(name, it)| key(name) + heap_of(it));
                members.len().div_ceil(6) * 640 + within.sum::<usize>()
            }
        };
        size_of::<Value>() + heap
    }

    fn heap_of(value: &Value) -> usize {
        occupied(value) - size_of::<Value>()
    }

    #[test]
    fn the_densest_json_is_not_underestimated() {
        let nested = format!("{}0{}", r#"{"":"#.repeat(120), "}".repeat(120));
        for element in [
            "0",
            "[0]",
            "[[0]]",
            "\"\"",
            "\"a\"",
            r#"{"":0}"#,
            "{}",
            "[]",
            "{ }",
            &nested,
            r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7}"#,
        ] {
            let json = format!("[{}0]", format!("{element},").repeat(1_000));
            let estimated = tree_bytes(json.as_bytes());
            let value: Value = serde_json::from_str(&json).unwrap();
            let occupied = occupied(&value);
            assert!(estimated >= occupied, "{element}: {estimated} {occupied}");
            let limit = MAX_TREE_BYTES_PER_BYTE * json.len();
            assert!(estimated <= limit, "{element}: {estimated} {limit}");
        }
    }

    #[test]
    fn what_follows_a_place_that_is_too_deep_is_not_parsed() {
        for open in ["[", r#"{"":"#] {
            let json = open.repeat(100_000);
            assert!(serde_json::from_str::<Value>(&json).is_err());
            let estimated = tree_bytes(json.as_bytes());
            assert!(estimated < 2 * json.len(), "{open}: {estimated}");
        }
        // The deepest that is parsed, and brackets in strings, are counted to the end.
        let tail = format!(",{}0]", "[0],".repeat(1_000));
        let deepest = format!(
            "[{}{}{tail}",
            "[".repeat(MAX_DEPTH - 2),
            "]".repeat(MAX_DEPTH - 2)
        );
        let quoted = format!(r#"["\"{}"{tail}"#, "[".repeat(2 * MAX_DEPTH));
        for json in [deepest, quoted] {
            let value: Value = serde_json::from_str(&json).unwrap();
            let estimated = tree_bytes(json.as_bytes());
            assert!(
                estimated >= occupied(&value) && estimated > 1_000 * ARRAY,
                "{json}"
            );
        }
    }

    #[test]
    fn a_definition_is_charged_little() {
        let json = include_bytes!("../events/scheduler-prometheus.json");
        let estimated = tree_bytes(json);
        assert!(estimated < 20 * json.len(), "{estimated} {}", json.len());
    }
}
