//! The fields of the tables.

/// Returns a field without its escapes: `%0A` is a newline.
pub(crate) fn unescaped(field: &str) -> String {
    let mut parts = field.split('%');
    let mut string = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        string.push(u8::from_str_radix(code, 16).unwrap().into());
        string.push_str(rest);
    }
    string
}
