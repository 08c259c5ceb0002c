//! Identifiers in the form the service gives them.

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Returns a request id: 26 characters of base32.
pub(crate) fn request_id() -> String {
    base32(26)
}

/// Returns a query id: base32 that starts as the service's do.
pub(crate) fn query_id() -> String {
    format!("AEBQEAN{}", base32(49))
}

/// Returns a pagination token that cannot be guessed.
pub(crate) fn token() -> String {
    format!("AEBQEANM{}", base32(96))
}

fn base32(length: usize) -> String {
    (0..length)
        .map(|_| char::from(BASE32[fastrand::usize(..BASE32.len())]))
        .collect()
}
