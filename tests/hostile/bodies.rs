//! Protobuf messages written field by field, so that they can be malformed, repetitive and large.

/// Maximum size of a request body, before and after decompression, by default.
pub(crate) const MAX_BODY_BYTES: usize = 32 << 20;
/// The same for the content of a message, with room for the fields around it.
pub(crate) const MAX_CONTENT_BYTES: usize = MAX_BODY_BYTES - 1024;

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Returns a varint.
pub(crate) fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, value);
    out
}

/// Returns the key of a field; wire types 3 and 4 start and end a group.
pub(crate) fn key(field: u32, wire_type: u32) -> Vec<u8> {
    varint(u64::from(field << 3 | wire_type))
}

/// Appends a length-delimited field: a string, a message or packed numbers.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, content: &[u8]) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Returns a length-delimited field: a string, a message or packed numbers.
pub(crate) fn bytes(field: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut out = Vec::with_capacity(content.len() + 10);
    put_bytes(&mut out, field, content);
    out
}

/// Returns a varint field.
pub(crate) fn number(field: u32, value: u64) -> Vec<u8> {
    let mut out = key(field, 0);
    put_varint(&mut out, value);
    out
}

/// Returns a double field.
pub(crate) fn double(field: u32, value: f64) -> Vec<u8> {
    let mut out = key(field, 1);
    out.extend_from_slice(&value.to_le_bytes());
    out
}

/// Returns as many whole copies of `piece` as fit into `len` bytes.
pub(crate) fn filled(piece: impl AsRef<[u8]>, len: usize) -> Vec<u8> {
    let piece = piece.as_ref();
    piece.repeat(len / piece.len())
}

/// Returns what `append` appends for each number below `count`.
pub(crate) fn each(count: usize, append: impl Fn(&mut Vec<u8>, usize)) -> Vec<u8> {
    let mut out = Vec::new();
    for i in 0..count {
        append(&mut out, i);
    }
    out
}

/// Returns `prefix0|prefix1|...`, of `len` bytes or a little less.
pub(crate) fn alternatives(prefix: &str, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len);
    for i in 0.. {
        let next = format!("|{prefix}{i}");
        if out.len() + next.len() > len {
            break;
        }
        // Without the separator before the first one.
        let start = usize::from(i == 0);
        out.extend_from_slice(&next.as_bytes()[start..]);
    }
    out
}

/// Returns `message` as a snappy block.
pub(crate) fn snappy(message: &[u8]) -> Vec<u8> {
    let compressed = snap::raw::Encoder::new().compress_vec(message);
    compressed.expect("a message is much smaller than 4 GiB")
}
