//! Reads the rows of a body one by one: JSON values and arrays of them, one after the other.
//!
//! Rows are slices of the body. None is parsed further than needed to find its end, so a body occupies
//! no more than its bytes, and one byte for each bracket that is open.

use serde_json::value::RawValue;

/// Reads rows; a copy continues at the same position.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowReader<'b> {
    body: &'b [u8],
    /// The bytes that are read.
    offset: usize,
    position: Position,
    /// The number of the last row that was read.
    number: usize,
}

/// The position of a reader in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Between values.
    Outside,
    /// After the bracket that opens an array.
    First,
    /// After an element of an array.
    Next,
}

/// A row as it stands in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawRow<'b> {
    /// Its number, from 1.
    pub(super) number: usize,
    /// Its JSON.
    pub(super) json: &'b str,
}

impl<'b> RowReader<'b> {
    /// Begins at the start of `body`.
    pub(super) fn new(body: &'b [u8]) -> Self {
        Self {
            body,
            offset: 0,
            position: Position::Outside,
            number: 0,
        }
    }

    /// Returns the next row or an error; `None` at the end. Nothing follows an error.
    pub(super) fn next(&mut self) -> Option<Result<RawRow<'b>, String>> {
        loop {
            let space = self.body[self.offset..]
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'\r'));
            self.offset += space.count();
            match (self.position, self.body.get(self.offset)) {
                (Position::Outside, None) => return None,
                (Position::Outside, Some(b'[')) => self.position = Position::First,
                (Position::First | Position::Next, Some(b']')) => self.position = Position::Outside,
                (Position::Outside | Position::First, _) => return Some(self.value()),
                (Position::Next, Some(b',')) => {
                    self.offset += 1;
                    return Some(self.value());
                }
                (Position::Next, _) => {
                    return Some(Err(format!(
                        "expected `,` or `]` at byte {}, after row {}",
                        self.offset, self.number
                    )));
                }
            }
            self.offset += 1;
        }
    }

    fn value(&mut self) -> Result<RawRow<'b>, String> {
        self.number += 1;
        let rest = &self.body[self.offset..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
        let value = values.next().unwrap_or_else(|| {
            let error = "EOF while parsing a list";
            Err(serde::de::Error::custom(error))
        });
        let value = value.map_err(|error| {
            let (number, offset) = (self.number, self.offset);
            format!("{error} of row {number}, which begins at byte {offset}")
        })?;
        self.offset += values.byte_offset();
        self.position = match self.position {
            Position::Outside => Position::Outside,
            Position::First | Position::Next => Position::Next,
        };
        Ok(RawRow {
            number: self.number,
            json: value.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn rows(body: &[u8]) -> Result<Vec<&str>, String> {
        let mut reader = RowReader::new(body);
        let mut rows = Vec::new();
        while let Some(row) = reader.next() {
            let row = row?;
            rows.push(row.json);
            assert_eq!(row.number, rows.len());
        }
        Ok(rows)
    }

    #[test]
    fn rows_of_a_body() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &[]),
            (" \n", &[]),
            ("[]", &[]),
            ("[ ] []", &[]),
            ("{}", &["{}"]),
            (
                "{}{} [1 ,\t{\"a\": [2]}]3",
                &["{}", "{}", "1", "{\"a\": [2]}", "3"],
            ),
            ("[[0],[1]]", &["[0]", "[1]"]),
            ("1 2\n\"]\"", &["1", "2", "\"]\""]),
            ("[null,true][-1.5e3]", &["null", "true", "-1.5e3"]),
        ];
        for (body, expected) in cases {
            assert_eq!(rows(body.as_bytes()).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn errors_say_where() {
        let cases: [(&[u8], &str); 10] = [
            (
                b"{",
                "EOF while parsing an object at line 1 column 1 of row 1",
            ),
            (
                b"{}\n[{},",
                "EOF while parsing a list of row 3, which begins at byte 7",
            ),
            (b"[{}", "expected `,` or `]` at byte 3, after row 1"),
            (b"[", "EOF while parsing a list of row 1"),
            (b"[1 2]", "expected `,` or `]` at byte 3, after row 1"),
            (b"[1,]", "expected value at line 1 column 1 of row 2"),
            (b"[,1]", "expected value"),
            (b"1,2", "expected value at line 1 column 1 of row 2"),
            (b"]", "expected value"),
            (b"[\"\xff\"]", "invalid unicode code point"),
        ];
        for (body, expected) in cases {
            let error = rows(body).unwrap_err();
            assert!(error.contains(expected), "{error}: {expected}");
        }
    }

    #[test]
    fn brackets_may_be_as_deep_as_they_like() {
        let body = "[".repeat(1 << 20);
        assert!(rows(body.as_bytes()).is_err());
        let body = body + &"]".repeat(1 << 20);
        assert_eq!(rows(body.as_bytes()).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn it_accepts_what_the_parser_does(body in "[\\[\\]{}:,\"a0-9e.\n -]{0,40}") {
            let values = serde_json::Deserializer::from_str(&body).into_iter::<Value>();
            let values: Result<Vec<_>, _> = values.collect();
            let rows = rows(body.as_bytes());
            // Numbers beyond all bounds are found where the row is parsed.
            if values.is_ok() || !body.contains('e') {
                prop_assert_eq!(rows.is_ok(), values.is_ok());
            }
            if let (Ok(rows), Ok(values)) = (rows, values) {
                let flat = values.into_iter().flat_map(|value| match value {
                    Value::Array(elements) => elements,
                    other => vec![other],
                });
                let parsed = rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap());
                prop_assert!(flat.eq(parsed));
            }
        }
    }
}
