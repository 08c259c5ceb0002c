//! Strings of others in messages: characters that a terminal obeys, that end a line, or that change the order of
//! displayed characters are escaped, and long strings are truncated.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns true if a character is a control of C0 or C1, DEL, a separator of lines or paragraphs, or one of the
/// controls of Unicode's bidirectional algorithm.
pub fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Returns the string with each hidden character as `\\u` and four hexadecimal digits, which is also how JSON
/// escapes it within a string.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_hidden(c) {
            true => write!(shown, "\\u{:04x}", u32::from(c)).expect("a String takes all"),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Returns the string like [`escaped`], with the ends of lines unchanged: for strings of several lines.
pub fn escaped_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(escaped).collect();
    lines.join("\n")
}

/// Returns at most `max_bytes` of `text`, followed by dots if something is missing.
pub fn truncate(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(max_bytes);
    Cow::Owned(format!("{}...", &text[..end]))
}

/// Returns a string without all that precedes its last `@`: in a URL, user and password.
pub fn without_userinfo(text: &str) -> Cow<'_, str> {
    match text.rsplit_once('@') {
        Some((_, rest)) => Cow::Owned(format!("...@{rest}")),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped_and_no_others() {
        let hidden: Vec<u32> = (0..0x11_0000)
            .filter_map(char::from_u32)
            .filter(|c| is_hidden(*c))
            .map(u32::from)
            .collect();
        let expected = (0..0x20)
            .chain(0x7f..=0x9f)
            .chain([0x61c, 0x200e, 0x200f])
            .chain(0x2028..=0x202e)
            .chain(0x2066..=0x2069);
        assert_eq!(hidden, expected.collect::<Vec<_>>());
        // Those of the character's own category are among them.
        let controls = (0..0x11_0000)
            .filter_map(char::from_u32)
            .filter(|c| c.is_control());
        assert!(controls.into_iter().all(is_hidden));
        assert_eq!(
            escaped("a\u{1b}[2J\u{9b}\u{202e}\u{2028}z"),
            "a\\u001b[2J\\u009b\\u202e\\u2028z"
        );
        assert!(matches!(escaped("ü\u{200d}\u{a0} \\"), Cow::Borrowed(_)));
        assert_eq!(escaped_lines("a\tb\nc\n"), "a\\u0009b\nc\n");
    }

    #[test]
    fn a_long_string_is_truncated_between_characters() {
        assert!(matches!(truncate("abc", 3), Cow::Borrowed("abc")));
        assert_eq!(truncate("abcd", 3), "abc...");
        assert_eq!(truncate("aüb", 2), "a...");
        assert_eq!(truncate("ü", 1), "...");
    }

    #[test]
    fn nothing_precedes_the_last_at_sign() {
        assert_eq!(without_userinfo("http://u:p@h/@x/p"), "...@x/p");
        assert_eq!(without_userinfo("u:p@ss@h"), "...@h");
        assert_eq!(without_userinfo("hidden@"), "...@");
        assert!(matches!(without_userinfo("a.b"), Cow::Borrowed("a.b")));
    }
}
