//! Recognises dead letters in the lines of a text.

use crate::dead_letter::{Letter, LetterError, letter::KEY};

/// A line of a source.
#[derive(Debug)]
pub enum Line {
    /// A letter, by itself.
    Letter(Box<Letter>),
    /// A letter within a line of a log.
    Logged(Box<Letter>),
    /// A line that begins like a letter and cannot be read.
    Unreadable(LetterError),
    /// Any other line, such as one of a log.
    Other,
}

/// Reads a line.
pub fn read(line: &str) -> Line {
    if line.starts_with(&format!("{{\"{KEY}\":")) && !line.starts_with(&format!("{{\"{KEY}\":\"")) {
        return match Letter::parse(line) {
            Ok(letter) => Line::Letter(Box::new(letter)),
            Err(error) => Line::Unreadable(error),
        };
    }
    match Letter::find(line) {
        Some(Ok(letter)) => Line::Logged(Box::new(letter)),
        Some(Err(error)) => Line::Unreadable(error),
        None => Line::Other,
    }
}
