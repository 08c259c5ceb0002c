//! Patterns of `regexp_like` and LIKE, as regexes of the `regex` crate.
//!
//! `regexp_like` uses Java's `java.util.regex.Pattern` and finds it anywhere in the text. Only
//! forms whose meaning is known to carry over are accepted: literals, `.`, classes without nesting
//! and intersection, `\d \w \s`, groups, alternation, greedy and reluctant repeats, `^`, `\A`,
//! `\z`, the flags `i` and `s`. Each is written so that it means what Java means: `.` excludes
//! Java's five line terminators, predefined classes and `(?i)` are ASCII. The rest is rejected by
//! name, `$` included: in Java it matches before a final line terminator too. The tables of the
//! tests, and thousands of random patterns, were compared with JDK 17.

use regex::Regex;

/// A compiled pattern; equal if it was compiled from the same source.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a Java pattern.
    ///
    /// # Errors
    ///
    /// If the pattern is not valid in Java, or not known to mean the same here.
    pub(crate) fn java(source: &str) -> Result<Pattern, String> {
        Pattern::translated(source, "(?:")
    }

    /// Compiles a Java pattern whose groups can be referred to by number.
    ///
    /// # Errors
    ///
    /// As those of [`Pattern::java`].
    pub(crate) fn java_with_groups(source: &str) -> Result<Pattern, String> {
        Pattern::translated(source, "(")
    }

    fn translated(source: &str, group_start: &'static str) -> Result<Pattern, String> {
        let translated = Translator {
            rest: source,
            out: String::new(),
            flags: Flags::default(),
            group_start,
        }
        .run()?;
        let regex = Regex::new(&translated).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
            other => other.to_string(),
        })?;
        Ok(Pattern {
            source: source.to_owned(),
            regex,
        })
    }

    /// Compiles a LIKE pattern.
    pub(crate) fn like(source: &str, escape: Option<char>) -> Result<Pattern, String> {
        let mut translated = String::from(r"(?s)\A");
        let mut chars = source.chars();
        while let Some(char) = chars.next() {
            match char {
                _ if Some(char) == escape => match chars.next() {
                    Some(next) if next == '%' || next == '_' || Some(next) == escape => {
                        push_literal(&mut translated, next);
                    }
                    _ => {
                        return Err(
                            "Escape character must be followed by '%', '_' or the escape \
                                    character itself"
                                .to_owned(),
                        );
                    }
                },
                '%' => translated.push_str(".*"),
                '_' => translated.push('.'),
                literal => push_literal(&mut translated, literal),
            }
        }
        translated.push_str(r"\z");
        let regex = Regex::new(&translated).map_err(|error| error.to_string())?;
        Ok(Pattern {
            source: format!("like {escape:?} {source}"),
            regex,
        })
    }

    /// Returns the number of a group, if the pattern has it; 0 is the whole match.
    pub(crate) fn group(&self, number: i64) -> Result<usize, String> {
        let groups = self.regex.captures_len() - 1;
        let group = usize::try_from(number)
            .ok()
            .filter(|group| *group <= groups);
        group.ok_or_else(|| format!("Pattern has {groups} groups. Cannot access group {number}"))
    }

    pub(crate) fn regex(&self) -> &Regex {
        &self.regex
    }

    /// Returns true if the pattern occurs in the text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.source == other.source
    }
}

const DIGITS: &[(char, char)] = &[('0', '9')];
const WORD: &[(char, char)] = &[('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')];
const SPACE: &[(char, char)] = &[(' ', ' '), ('\t', '\r')];
/// Without the flag `s`, `.` matches all but these.
const NOT_LINE_TERMINATOR: &str = r"[^\n\r\x{85}\x{2028}\x{2029}]";

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    case_insensitive: bool,
    dot_all: bool,
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    flags: Flags,
    /// Start of a translated capturing group.
    group_start: &'static str,
}

impl Translator<'_> {
    fn run(mut self) -> Result<String, String> {
        self.alternatives(0)?;
        Ok(self.out)
    }

    /// Translates everything up to the end of the group, or of the pattern at depth 0.
    fn alternatives(&mut self, depth: usize) -> Result<(), String> {
        if depth > 100 {
            return Err("groups are nested too deeply".to_owned());
        }
        loop {
            match self.next() {
                None if depth == 0 => return Ok(()),
                None => return Err("Unclosed group".to_owned()),
                Some(')') if depth > 0 => return Ok(()),
                Some(')') => return Err("Unmatched closing ')'".to_owned()),
                Some('|') => self.out.push('|'),
                Some('^') => self.assertion(r"\A")?,
                Some(first) => self.repeated(first, depth)?,
            }
        }
    }

    /// Translates one atom and the repeat after it.
    fn repeated(&mut self, first: char, depth: usize) -> Result<(), String> {
        match first {
            '(' => return self.group(depth),
            '[' => self.class()?,
            '\\' => {
                if let Some(assertion) = self.escape()? {
                    return self.assertion(assertion);
                }
            }
            '.' if self.flags.dot_all => self.out.push_str("(?s:.)"),
            '.' => self.out.push_str(NOT_LINE_TERMINATOR),
            '$' => return Err(unsupported("$", "use \\z")),
            '*' | '+' | '?' | '{' => return Err(format!("Dangling meta character '{first}'")),
            literal => self.literal(literal),
        }
        self.repeat()
    }

    fn group(&mut self, depth: usize) -> Result<(), String> {
        let outer = self.flags;
        let mut start = self.group_start;
        if self.rest.starts_with('?') {
            if self.take("?:") {
                start = "(?:";
            } else if self.rest.starts_with("?<")
                && !self.rest.starts_with("?<=")
                && !self.rest.starts_with("?<!")
            {
                self.group_name()?;
            } else if self.rest.starts_with("?P") {
                return Err(unsupported(
                    "(?P",
                    "Java writes a named group as (?<name>...)",
                ));
            } else if !self.flags_group()? {
                // Flags without a colon hold until the group around them ends.
                return Ok(());
            } else {
                start = "(?:";
            }
        }
        self.out.push_str(start);
        self.alternatives(depth + 1)?;
        self.out.push(')');
        self.flags = outer;
        self.repeat()
    }

    fn group_name(&mut self) -> Result<(), String> {
        let name = self.rest[2..]
            .split_once('>')
            .map(|(name, _)| name)
            .filter(|name| {
                name.starts_with(|first: char| first.is_ascii_alphabetic())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
        let name = name.ok_or("a group's name must be ASCII letters and digits")?;
        self.rest = &self.rest[name.len() + 3..];
        Ok(())
    }

    /// Reads `?i`, `?s-i` and the like; returns true if a group follows, false if the flags stand
    /// alone.
    fn flags_group(&mut self) -> Result<bool, String> {
        let mut is_set = true;
        self.next();
        loop {
            match self.next() {
                Some('i') => self.flags.case_insensitive = is_set,
                Some('s') => self.flags.dot_all = is_set,
                Some('-') if is_set => is_set = false,
                Some(':') => return Ok(true),
                Some(')') => return Ok(false),
                Some(other) => return Err(unsupported(&format!("(?{other}"), "")),
                None => return Err("Unclosed group".to_owned()),
            }
        }
    }

    /// Translates the character after a backslash; an assertion is returned, the rest is written.
    fn escape(&mut self) -> Result<Option<&'static str>, String> {
        match self.next() {
            Some('A') => return Ok(Some(r"\A")),
            Some('z') => return Ok(Some(r"\z")),
            Some(class) if predefined(class).is_some() => {
                let (ranges, is_negated) = predefined(class).unwrap_or((&[], false));
                write_class(&mut self.out, ranges, is_negated);
            }
            other => {
                let literal = self.escaped_literal(other)?;
                self.literal(literal);
            }
        }
        Ok(None)
    }

    fn escaped_literal(&mut self, escaped: Option<char>) -> Result<char, String> {
        match escaped {
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some('r') => Ok('\r'),
            Some('f') => Ok('\u{c}'),
            Some('x') => self.hex(2),
            Some('u') => self.hex(4),
            Some(literal) if literal.is_ascii_punctuation() || literal == ' ' => Ok(literal),
            Some(other) => Err(unsupported(&format!("\\{other}"), "")),
            None => Err("Unexpected internal error: the pattern ends in a backslash".to_owned()),
        }
    }

    fn hex(&mut self, digits: usize) -> Result<char, String> {
        let text = self
            .rest
            .get(..digits)
            .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        let char = code
            .and_then(char::from_u32)
            .ok_or("Illegal hexadecimal escape sequence")?;
        self.rest = &self.rest[digits..];
        Ok(char)
    }

    fn class(&mut self) -> Result<(), String> {
        let is_negated = self.take("^");
        if self.rest.starts_with(']') {
            return Err(unsupported("] at the start of a class", ""));
        }
        let mut ranges = Vec::new();
        let mut is_first = true;
        loop {
            match self.next() {
                None => return Err("Unclosed character class".to_owned()),
                Some(']') => break,
                Some('[') => return Err(unsupported("a class within a class", "")),
                Some('&') if self.rest.starts_with('&') => return Err(unsupported("&&", "")),
                Some('-') if !is_first && !self.rest.starts_with(']') => {
                    return Err(unsupported("- in the middle of a class", "escape it"));
                }
                Some(start) => self.class_item(start, &mut ranges)?,
            }
            is_first = false;
        }
        if self.flags.case_insensitive {
            ranges.extend(ascii_case_counterparts(&ranges));
        }
        write_class(&mut self.out, &ranges, is_negated);
        Ok(())
    }

    fn class_item(&mut self, start: char, ranges: &mut Vec<(char, char)>) -> Result<(), String> {
        let start = if start == '\\' {
            match self.next() {
                Some(class) if predefined(class).is_some() => {
                    let (items, is_negated) = predefined(class).unwrap_or((&[], false));
                    if is_negated {
                        return Err(unsupported(&format!("\\{class} within a class"), ""));
                    }
                    ranges.extend(items);
                    return Ok(());
                }
                other => self.escaped_literal(other)?,
            }
        } else {
            start
        };
        let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
        if !is_range {
            ranges.push((start, start));
            return Ok(());
        }
        self.next();
        let end = match self.next() {
            Some('\\') => {
                let escaped = self.next();
                self.escaped_literal(escaped)?
            }
            Some('[') => return Err(unsupported("a class within a class", "")),
            Some(end) => end,
            None => return Err("Unclosed character class".to_owned()),
        };
        if end < start {
            return Err("Illegal character range".to_owned());
        }
        ranges.push((start, end));
        Ok(())
    }

    /// Translates a repeat after an atom, if there is one.
    fn repeat(&mut self) -> Result<(), String> {
        let Some(first) = self
            .rest
            .chars()
            .next()
            .filter(|char| "*+?{".contains(*char))
        else {
            return Ok(());
        };
        if first == '{' {
            let counts = self.rest[1..].split_once('}').map(|(counts, _)| counts);
            let counts = counts
                .filter(|counts| is_repeat(counts))
                .ok_or("Illegal repetition")?;
            self.out.push_str(&self.rest[..counts.len() + 2]);
            self.rest = &self.rest[counts.len() + 2..];
        } else {
            self.next();
            self.out.push(first);
        }
        match self.rest.chars().next() {
            Some('?') => {
                self.next();
                self.out.push('?');
                self.no_repeat()
            }
            Some('+') => Err(unsupported("a possessive repeat", "")),
            _ => self.no_repeat(),
        }
    }

    fn assertion(&mut self, written: &str) -> Result<(), String> {
        self.out.push_str(written);
        self.no_repeat()
    }

    fn no_repeat(&self) -> Result<(), String> {
        if self.rest.starts_with(['*', '+', '?', '{']) {
            return Err(unsupported("a repeat of a repeat or an assertion", ""));
        }
        Ok(())
    }

    fn literal(&mut self, literal: char) {
        if self.flags.case_insensitive && literal.is_ascii_alphabetic() {
            let other = ascii_other_case(literal);
            write_class(&mut self.out, &[(literal, literal), (other, other)], false);
        } else {
            push_literal(&mut self.out, literal);
        }
    }

    fn next(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    fn take(&mut self, prefix: &str) -> bool {
        let stripped = self.rest.strip_prefix(prefix);
        self.rest = stripped.unwrap_or(self.rest);
        stripped.is_some()
    }
}

/// Returns the ranges of `\d`, `\w`, `\s`, and true if the letter means their complement.
fn predefined(letter: char) -> Option<(&'static [(char, char)], bool)> {
    let ranges = match letter.to_ascii_lowercase() {
        'd' => DIGITS,
        'w' => WORD,
        's' => SPACE,
        _ => return None,
    };
    Some((ranges, letter.is_ascii_uppercase()))
}

fn ascii_case_counterparts(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let letters = ('a'..='z').chain('A'..='Z');
    letters
        .filter(|letter| {
            ranges
                .iter()
                .any(|(start, end)| (start..=end).contains(&letter))
        })
        .map(|letter| (ascii_other_case(letter), ascii_other_case(letter)))
        .collect()
}

fn ascii_other_case(letter: char) -> char {
    if letter.is_ascii_lowercase() {
        letter.to_ascii_uppercase()
    } else {
        letter.to_ascii_lowercase()
    }
}

fn write_class(out: &mut String, ranges: &[(char, char)], is_negated: bool) {
    out.push_str(if is_negated { "[^" } else { "[" });
    for (start, end) in ranges {
        out.push_str(&format!(
            "\\x{{{:x}}}-\\x{{{:x}}}",
            u32::from(*start),
            u32::from(*end)
        ));
    }
    out.push(']');
}

fn push_literal(out: &mut String, literal: char) {
    out.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
}

/// Returns true for `n`, `n,` or `n,m` with n <= m.
fn is_repeat(counts: &str) -> bool {
    let number = |text: &str| {
        let is_short =
            (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| is_short)
    };
    match counts.split_once(',') {
        None => number(counts).is_some(),
        Some((least, "")) => number(least).is_some(),
        Some((least, most)) => number(least)
            .zip(number(most))
            .is_some_and(|(least, most)| least <= most),
    }
}

fn unsupported(what: &str, hint: &str) -> String {
    let hint = if hint.is_empty() {
        String::new()
    } else {
        format!("; {hint}")
    };
    format!("\"{what}\" is not supported by the emulator in a pattern{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_patterns() {
        let cases = [
            ("b", "abc", true),
            ("^b", "abc", false),
            (r"\Ab\z", "b", true),
            (r"\Ab\z", "b\n", false),
            (r"(?s)\A(?:/api/.*)\z", "/api/x\ny", true),
            (r"(?s)\A(?:a|b)\z", "b", true),
            (r"(?s)\A(?:a|b)\z", "", false),
            (r"\Aa.c\z", "a\nc", false),
            (r"\Aa.c\z", "a\rc", false),
            (r"\Aa.c\z", "a\u{2028}c", false),
            (r"(?s)\Aa.c\z", "a\u{2028}c", true),
            (r"\A(?:(?s).)(?:.)\z", "\n\n", false),
            (r"\A\d+\z", "123", true),
            (r"\A\d+\z", "\u{0663}", false),
            (r"\A\w\z", "é", false),
            (r"\A\s\z", "\u{b}", true),
            (r"\A\s\z", "\u{a0}", false),
            (r"\A[\w-]+\z", "a-b_1", true),
            (r"\A[^a-c]\z", "\n", true),
            (r"(?i)\Aup\z", "UP", true),
            (r"(?i)\Ak\z", "\u{212a}", false),
            (r"(?i)\A[a-c]\z", "B", true),
            (r"(?i)\A[^a-c]\z", "B", false),
            (r"(?i)é", "É", false),
            (r"\A(?i:a)b\z", "Ab", true),
            (r"\A(?i:a)b\z", "AB", false),
            (r"\A(?<name>x)+\z", "xx", true),
            (r"\Aa{2,3}?\z", "aaa", true),
            (r"\Aa\.b\z", "axb", false),
            (r"\Aa\.b\z", "a.b", true),
            (r"\A\x41\u0042\z", "AB", true),
            (r"(|a)b", "b", true),
            ("地区", "x地区y", true),
            ("a}b]c", "a}b]c", true),
            ("#x ", "a#x b", true),
            ("", "anything", true),
        ];
        for (pattern, text, expected) in cases {
            let compiled =
                Pattern::java(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(compiled.is_match(text), expected, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn rejected_patterns() {
        let patterns = [
            "a$",
            "(?P<n>a)",
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            "(?>a)",
            "(?m)a",
            "(?x)a",
            "(?u)a",
            "a*+",
            "a++",
            "a?+",
            "a**",
            "a{2}{3}",
            "^*",
            r"\b",
            r"\B",
            r"\Z",
            r"\G",
            r"\1",
            r"\Qa\E",
            r"\p{L}",
            r"\h",
            r"\R",
            r"\0",
            r"\k<n>",
            "[a[b]]",
            "[a&&b]",
            "[]a]",
            "[^]a]",
            "[a",
            "[z-a]",
            "[a-c-e]",
            r"[\D]",
            r"[a-\d]",
            "(a",
            "a)",
            "*a",
            "+a",
            "?a",
            "{a",
            "a{",
            "a{x}",
            "a{3,2}",
            "a{,2}",
            r"\",
            "(?<1a>x)",
            "(?<a_b>x)",
            "a{9999}{9999}",
            r"\xZZ",
            r"\uD800",
            "(?",
            "(?i",
        ];
        for pattern in patterns {
            assert!(Pattern::java(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn like_patterns() {
        let cases = [
            ("a%", None, "abc", true),
            ("a_c", None, "abc", true),
            ("a_c", None, "ac", false),
            ("a.c", None, "abc", false),
            ("%\n%", None, "a\nb", true),
            ("A%", None, "abc", false),
            ("up", None, "upx", false),
            ("a!_c", Some('!'), "abc", false),
            ("a!_c", Some('!'), "a_c", true),
            ("a!!", Some('!'), "a!", true),
        ];
        for (pattern, escape, text, expected) in cases {
            let compiled = Pattern::like(pattern, escape).expect(pattern);
            assert_eq!(compiled.is_match(text), expected, "{pattern} on {text:?}");
        }
        assert!(Pattern::like("a!b", Some('!')).is_err());
    }
}
