//! Strings of PromQL, which are bytes, and Go's way of quoting them.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::LazyLock;

use go_regex::Pattern;
use prom_model::Labels;

/// A string of a query: bytes that need not be UTF-8, because `"\xff"` is the byte 255.
///
/// ```
/// use promql::Text;
///
/// let text = Text::from("a\tb");
/// assert_eq!(text, *"a\tb");
/// assert_eq!(text.quoted(), r#""a\tb""#);
/// assert_eq!(text.as_str(), Some("a\tb"));
/// assert_eq!(Text::from(vec![0xff]).as_str(), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Vec<u8>);

impl Text {
    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the string, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Returns the string; each byte that is not part of a character becomes U+FFFD, as in Go's JSON.
    ///
    /// ```
    /// use promql::Text;
    ///
    /// assert_eq!(Text::from(b"a\xf0\x9f\xff".to_vec()).to_string_lossy(), "a\u{fffd}\u{fffd}\u{fffd}");
    /// ```
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        if let Some(string) = self.as_str() {
            return string.into();
        }
        let (mut string, mut rest) = (String::with_capacity(self.0.len()), &self.0[..]);
        while let Some((character, length)) = decode(rest) {
            string.push(character);
            rest = &rest[length..];
        }
        string.into()
    }

    /// Returns true if there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the string in double quotes with Go's escapes.
    pub fn quoted(&self) -> String {
        quote(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.quoted())
    }
}

/// Decodes the first character and its length in bytes. As in Go, a byte that begins no character counts as
/// U+FFFD of length 1. Nothing is left: `None`.
pub(crate) fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first.is_ascii() {
        return Some((first.into(), 1));
    }
    let longest = bytes.len().min(4);
    let decoded = (2..=longest).find_map(|length| {
        let string = std::str::from_utf8(&bytes[..length]).ok()?;
        Some((string.chars().next()?, length))
    });
    Some(decoded.unwrap_or((char::REPLACEMENT_CHARACTER, 1)))
}

/// Characters above ASCII that Go prints as they are.
static PRINTABLE: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"[\pL\pM\pN\pP\pS]").expect("the pattern is valid"));

pub(crate) fn is_printable(character: char) -> bool {
    match character.is_ascii() {
        true => matches!(character, ' '..='~'),
        false => PRINTABLE.matches(character.encode_utf8(&mut [0; 4])),
    }
}

/// Quotes as Go's `strconv.Quote`.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    let mut rest = bytes;
    while let Some((character, length)) = decode(rest) {
        if character == char::REPLACEMENT_CHARACTER && length == 1 {
            write!(quoted, "\\x{:02x}", rest[0]).expect("a string grows");
        } else {
            push_escaped(&mut quoted, character, '"');
        }
        rest = &rest[length..];
    }
    quoted.push('"');
    quoted
}

/// Writes labels as Go's `Labels.String()` does.
pub(crate) fn labels_text(labels: &Labels) -> String {
    let texts = labels.iter().map(|label| {
        let value = quote(label.value.as_bytes());
        match crate::printer::is_plain_label(&label.name) {
            true => format!("{}={value}", label.name),
            false => format!("{}={value}", quote(label.name.as_bytes())),
        }
    });
    format!("{{{}}}", texts.collect::<Vec<_>>().join(", "))
}

/// Quotes at most `count` characters, as Go's `%.10q`.
pub(crate) fn quote_start(bytes: &[u8], count: usize) -> String {
    let mut end = 0;
    for _ in 0..count {
        end += decode(&bytes[end..]).map_or(0, |(_, length)| length);
    }
    quote(&bytes[..end])
}

/// Quotes one character in single quotes, as Go's `%q`; the end of input as U+FFFD.
pub(crate) fn quote_character(character: Option<char>) -> String {
    let mut quoted = String::from("'");
    push_escaped(
        &mut quoted,
        character.unwrap_or(char::REPLACEMENT_CHARACTER),
        '\'',
    );
    quoted.push('\'');
    quoted
}

fn push_escaped(quoted: &mut String, character: char, quote: char) {
    let short = match character {
        '\x07' => Some('a'),
        '\x08' => Some('b'),
        '\x0c' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\x0b' => Some('v'),
        '\\' => Some('\\'),
        _ if character == quote => Some(quote),
        _ => None,
    };
    let code = u32::from(character);
    let written = match short {
        Some(letter) => write!(quoted, "\\{letter}"),
        None if is_printable(character) => write!(quoted, "{character}"),
        None if code < 0x20 || code == 0x7f => write!(quoted, "\\x{code:02x}"),
        None if code < 0x10000 => write!(quoted, "\\u{code:04x}"),
        None => write!(quoted, "\\U{code:08x}"),
    };
    written.expect("a string grows");
}

/// Decodes a string in its quotes, whose escapes the lexer has checked.
pub(crate) fn unquote(literal: &[u8]) -> Text {
    let quote = literal[0];
    let mut rest = &literal[1..literal.len() - 1];
    if quote == b'`' || !rest.contains(&b'\\') {
        return Text(rest.to_vec());
    }
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'\\' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let escape = after[0];
        let (radix, digits) = match escape {
            b'x' => (16, &after[1..3]),
            b'u' => (16, &after[1..5]),
            b'U' => (16, &after[1..9]),
            b'0'..=b'7' => (8, &after[..3]),
            _ => {
                bytes.push(match escape {
                    b'a' => 0x07,
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    other => other,
                });
                rest = &after[1..];
                continue;
            }
        };
        let code = digits.iter().fold(0, |code: u32, &digit| {
            code * radix + char::from(digit).to_digit(radix).unwrap_or(0)
        });
        let is_character = matches!(escape, b'u' | b'U');
        match (is_character, char::from_u32(code), u8::try_from(code)) {
            (true, Some(character), _) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            (false, _, Ok(byte)) => bytes.push(byte),
            // The lexer accepts neither.
            _ => {}
        }
        rest = &after[digits.len() + usize::from(radix == 16)..];
    }
    Text(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_by_go() {
        let label = |name: &str, value: &str| prom_model::Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let labels = Labels::new(vec![label("a.b", "\n"), label("a1", "ä"), label("1", "x")]);
        let text = r#"{"1"="x", "a.b"="\n", a1="ä"}"#;
        assert_eq!(labels_text(&labels), text);
        assert_eq!(labels_text(&Labels::default()), "{}");
    }

    #[test]
    fn strings_are_quoted_as_by_go() {
        assert_eq!(
            quote(b"a\"b\\\x01\x7f\xff\xc3\xa4"),
            r#""a\"b\\\x01\x7f\xffä""#
        );
        assert_eq!(
            quote("\u{ad}\u{2028}\u{e0001}😀\u{fffd}".as_bytes()),
            "\"\\u00ad\\u2028\\U000e0001😀\u{fffd}\""
        );
        assert_eq!(quote_character(Some('\'')), r"'\''");
        assert_eq!(quote_character(None), "'\u{fffd}'");
        assert_eq!(quote_start("äöü".as_bytes(), 2), "\"äö\"");
    }

    #[test]
    fn escapes_are_bytes_or_characters() {
        assert_eq!(
            unquote(br#""\xff\377\u00ff\U0001F600\n\\\"x""#).as_bytes(),
            [b"\xff\xff\xc3\xbf".as_slice(), "😀\n\\\"x".as_bytes()].concat()
        );
        assert_eq!(unquote(br"`\n`"), *r"\n");
        assert_eq!(unquote(br"'\''"), *"'");
    }
}
