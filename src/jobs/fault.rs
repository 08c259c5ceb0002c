//! Errors in definitions.

use std::fmt;

/// One thing that is wrong with a definition: where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, with dots, `config.timeout_ms` for instance; empty for the whole.
    pub key: String,
    /// The error and the expected form; never a secret.
    pub text: String,
}

impl Fault {
    /// A fault of `key`.
    pub fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => f.write_str(&self.text),
            key => write!(f, "{key}: {}", self.text),
        }
    }
}
