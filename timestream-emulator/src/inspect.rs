//! Statements and patterns as queries read them, without running any: a judge for tests of programs
//! that write SQL.

use crate::query::{dialect, pattern::Pattern};

/// The texts between quotes in a statement, without the quotes, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quoted {
    /// Strings: `'it''s'` is `it's`.
    pub strings: Vec<String>,
    /// Names: `"a ""b"""` is `a "b"`.
    pub names: Vec<String>,
}

/// The service's text of the error.
///
/// ```
/// let quoted = timestream_emulator::inspect::statement("SELECT \"a\" FROM d.t WHERE b = 'it''s'");
/// assert_eq!(quoted.unwrap().strings, ["it's"]);
/// assert!(timestream_emulator::inspect::statement("SELECT 1; SELECT 2").is_err());
/// ```
///
/// # Errors
///
/// The service's words for what is wrong with it.
pub fn statement(sql: &str) -> Result<Quoted, String> {
    dialect::parse(sql).map_err(|error| error.message)?;
    dialect::quoted(sql).map_err(|error| error.message)
}

/// Returns a test of texts: whether `regexp_like(text, pattern)` holds.
///
/// # Errors
///
/// The pattern is not one of Java's, or not known to mean the same here.
pub fn regexp_like(pattern: &str) -> Result<impl Fn(&str) -> bool + use<>, String> {
    let pattern = Pattern::java(pattern)?;
    Ok(move |text: &str| pattern.is_match(text))
}
