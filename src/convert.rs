//! Regular expressions of label matchers, and chunks.

pub mod chunk;
pub mod regex;
