//! Texts and names as JSON, written to bytes.

/// Writes `text` as a JSON string.
pub(super) fn push_string(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("a string is always valid JSON and a Vec takes all");
}

/// Writes a dimension as an element of a list, with the comma before it.
pub(super) fn push_dimension(body: &mut Vec<u8>, name: &str, value: &str) {
    body.extend_from_slice(b",{\"Name\":");
    push_string(body, name);
    body.extend_from_slice(b",\"Value\":");
    push_string(body, value);
    body.push(b'}');
}

/// Writes a measure name as a field, with the comma before it.
pub(super) fn push_measure_name(body: &mut Vec<u8>, name: &str) {
    body.extend_from_slice(b",\"MeasureName\":");
    push_string(body, name);
}
