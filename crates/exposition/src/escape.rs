//! Escapes within strings. A backslash before a character that it does not escape stands for itself.

use std::borrow::Cow;

/// The escapes that a string may contain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// `\\` and `\n`: help texts in Prometheus' text format.
    Plain,
    /// `\\`, `\n` and `\"`: everything else.
    WithQuotes,
}

/// Replaces the escapes in `text`.
pub(crate) fn resolve(text: &str, escapes: Escapes) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        resolved.push_str(&rest[..position]);
        rest = &rest[position + 1..];
        let character = match rest.as_bytes().first() {
            Some(b'\\') => '\\',
            Some(b'n') => '\n',
            Some(b'"') if escapes == Escapes::WithQuotes => '"',
            _ => {
                resolved.push('\\');
                continue;
            }
        };
        resolved.push(character);
        rest = &rest[1..];
    }
    resolved.push_str(rest);
    Cow::Owned(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_escapes_are_resolved_and_others_stay() {
        let cases = [
            ("plain", "plain", "plain"),
            (r"a\nb", "a\nb", "a\nb"),
            (r"a\\nb", r"a\nb", r"a\nb"),
            (r#"\"x\""#, r#"\"x\""#, r#""x""#),
            (r"\t\é\", r"\t\é\", r"\t\é\"),
            (r"\\\\", r"\\", r"\\"),
        ];
        for (text, plain, with_quotes) in cases {
            assert_eq!(resolve(text, Escapes::Plain), plain, "{text}");
            assert_eq!(resolve(text, Escapes::WithQuotes), with_quotes, "{text}");
        }
    }
}
