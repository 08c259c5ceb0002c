//! Places in a query.

/// A range of bytes of a query.
///
/// ```
/// use promql::{ParserOptions, parse};
///
/// let query = "1 +";
/// let span = parse(query, &ParserOptions::default()).unwrap_err().span();
/// assert_eq!(span.start, query.len());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The offset of the first byte.
    pub start: usize,
    /// The offset after the last byte.
    pub end: usize,
}

impl Span {
    /// Returns the range from the start of `self` to the end of `last`.
    pub(crate) fn to(self, last: Self) -> Self {
        Self {
            start: self.start,
            end: last.end,
        }
    }
}

/// A place in a query as errors and annotations name it: `LINE:COLUMN`, both from 1, the column in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The byte within the line, from 1.
    pub column: usize,
}

impl Position {
    /// Returns the place of the byte at `offset`, or of the end of the query if it is shorter.
    ///
    /// ```
    /// use promql::Position;
    ///
    /// let position = Position::of(b"up\n  + down", 5);
    /// assert_eq!(position, Position { line: 2, column: 3 });
    /// assert_eq!(position.to_string(), "2:3");
    /// ```
    pub fn of(query: &[u8], offset: usize) -> Self {
        let before = &query[..offset.min(query.len())];
        let line_start = before
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |newline| newline + 1);
        Self {
            line: before.iter().filter(|&&byte| byte == b'\n').count() + 1,
            column: before.len() - line_start + 1,
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
