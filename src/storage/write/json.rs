//! Texts and names as JSON, written to bytes.

/// Writes `text` as a JSON string.
pub(super) fn push_string(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("a string is always valid JSON and a Vec takes all");
}

/// Writes a dimension as an object, or a measure name as a string.
pub(super) fn push_attribute(body: &mut Vec<u8>, name: &str, value: &str) {
    if name.is_empty() {
        push_string(body, value);
        return;
    }
    body.extend_from_slice(b"{\"Name\":");
    push_string(body, name);
    body.extend_from_slice(b",\"Value\":");
    push_string(body, value);
    body.push(b'}');
}
