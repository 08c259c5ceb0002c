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

/// The lines of a query, to find many places in it: each takes a binary search and not a walk through the query.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The offsets of the first bytes of the lines.
    starts: Vec<usize>,
    /// The length of the query.
    end: usize,
}

impl Lines {
    pub(crate) fn of(query: &[u8]) -> Self {
        let newlines = (1..).zip(query).filter(|(_, byte)| **byte == b'\n');
        Self {
            starts: std::iter::once(0)
                .chain(newlines.map(|(after, _)| after))
                .collect(),
            end: query.len(),
        }
    }

    /// Returns the place of the byte at `offset`, or of the end of the query if it is shorter.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.end);
        let line = self.starts.partition_point(|start| *start <= offset);
        Position {
            line,
            column: offset - self.starts[line - 1] + 1,
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_same_places() {
        for query in ["", "a", "\n", "a\n\n  b\n", "\na\nbc"] {
            let lines = Lines::of(query.as_bytes());
            for offset in 0..query.len() + 3 {
                let expected = Position::of(query.as_bytes(), offset);
                assert_eq!(lines.position(offset), expected, "{query:?} at {offset}");
            }
        }
    }

    #[test]
    fn places_of_many_annotations_take_linear_time() {
        let calls: Vec<String> = (2..30_000).map(|q| format!("quantile({q},a)")).collect();
        let query = calls.join(" or ");
        let engine = crate::Engine::new(crate::EngineOptions::default());
        let query = engine.instant(&query, 0).unwrap();
        let mut fetched = crate::Fetched::default();
        fetched.add(query.selections()[0].clone(), Vec::new());
        let crate::Progress::Done(outcome) = query.evaluate(&fetched, &|| None) else {
            panic!("a selection is missing");
        };
        assert!(outcome.value.is_ok());
        let before = std::time::Instant::now();
        let warnings = outcome.annotations.warnings();
        assert_eq!(warnings.len(), calls.len());
        // A walk through the query for each of them would be over more than 10^9 bytes.
        let elapsed = before.elapsed();
        assert!(elapsed < std::time::Duration::from_secs(5), "{elapsed:?}");
    }
}
