//! Rows of the tables.

/// Returns the fields of each row that is no comment.
pub(crate) fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = table.lines().filter(|line| !line.starts_with("# "));
    rows.map(|row| row.split('\t').collect())
}

/// Returns a field without its escapes: `%0A` is a newline.
pub(crate) fn unescaped(field: &str) -> Vec<u8> {
    let mut parts = field.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}
