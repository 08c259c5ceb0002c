//! Classes of characters, and escaped characters.

use std::str::Chars;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::super::error::{RegexError, quoted};
use super::super::unicode;
use super::Parser;

/// The letters after a backslash that stand for Perl's classes.
const PERL_CLASSES: &str = "dDsSwW";

const DIGIT: &[(char, char)] = &[('0', '9')];
/// No vertical tab, in contrast to Perl's.
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// The classes `[:name:]`.
#[rustfmt::skip]
const POSIX: &[(&str, &[(char, char)])] = &[
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", DIGIT),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

/// The cost of looking up a class of Unicode, in parts of a pattern.
const UNICODE_CLASS_PARTS: usize = 64;

/// The number of characters that are folded at the cost of one part of a pattern.
const FOLDED_PER_PART: usize = 64;

/// A class that is being parsed. Its ranges are in any order.
pub(super) struct Class {
    ignores_case: bool,
    is_negated: bool,
    /// Ranges to which `(?i)` still adds the other case.
    written: Vec<ClassUnicodeRange>,
    /// Ranges with the other case, and negated after that.
    complete: Vec<ClassUnicodeRange>,
    parts: usize,
}

impl Class {
    pub(super) fn new(ignores_case: bool) -> Self {
        Self {
            ignores_case,
            is_negated: false,
            written: Vec::new(),
            complete: Vec::new(),
            parts: 0,
        }
    }

    /// Returns the cost of what was added since the last call, in parts of a pattern.
    pub(super) fn take_parts(&mut self) -> usize {
        std::mem::take(&mut self.parts)
    }

    /// Adds code points, both ends included. Surrogates are skipped: no string has them.
    pub(super) fn add_range(&mut self, first: u32, last: u32) {
        let first = char::from_u32(first).unwrap_or('\u{e000}');
        let last = char::from_u32(last).unwrap_or('\u{d7ff}');
        if first <= last {
            let range = ClassUnicodeRange::new(first, last);
            self.written.push(range);
            self.parts += 1;
            if self.ignores_case {
                self.parts += range.len().min(unicode::CHARS_WITH_CASE) / FOLDED_PER_PART;
            }
        }
    }

    /// Adds `\d`, `\D` and so on.
    pub(super) fn add_perl(&mut self, letter: char) {
        let ranges = match letter.to_ascii_lowercase() {
            'd' => DIGIT,
            's' => SPACE,
            _ => WORD,
        };
        self.add_ascii(ranges, letter.is_ascii_uppercase());
    }

    /// Adds the class `[:name:]`; returns false if it does not exist.
    fn add_posix(&mut self, name: &str) -> bool {
        let (name, is_negated) = match name.strip_prefix('^') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let found = POSIX.iter().find(|(known, _)| *known == name);
        found.is_some_and(|(_, ranges)| {
            self.add_ascii(ranges, is_negated);
            true
        })
    }

    /// Adds the class `\p{name}`; returns false if it does not exist.
    fn add_unicode(&mut self, name: &str, is_negated: bool) -> bool {
        self.parts += UNICODE_CLASS_PARTS;
        let found = unicode::named(name, self.ignores_case);
        found.is_some_and(|class| {
            self.add_complete(class, is_negated);
            true
        })
    }

    fn add_ascii(&mut self, ranges: &[(char, char)], is_negated: bool) {
        let mut class = unicode::class(ranges);
        if self.ignores_case {
            unicode::fold(&mut class);
        }
        self.add_complete(class, is_negated);
    }

    fn add_complete(&mut self, class: ClassUnicode, is_negated: bool) {
        let class = match is_negated {
            true => unicode::complement(&class),
            false => class,
        };
        self.parts += class.ranges().len();
        self.complete.extend(class.ranges());
    }

    pub(super) fn finish(self) -> ClassUnicode {
        let mut class = ClassUnicode::new(self.written);
        if self.ignores_case {
            unicode::fold(&mut class);
        }
        class.union(&ClassUnicode::new(self.complete));
        match self.is_negated {
            true => unicode::complement(&class),
            false => class,
        }
    }
}

impl Parser<'_> {
    /// Parses `[...]`.
    pub(super) fn bracketed_class(&mut self) -> Result<Class, RegexError> {
        let before = self.rest;
        self.skip(1);
        let mut class = Class::new(self.ignores_case());
        if self.rest.starts_with('^') {
            self.skip(1);
            class.is_negated = true;
        }
        // A closing bracket in the first place is a character.
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if !self.posix_class(&mut class)? && !self.perl_class(&mut class)? {
                self.class_range(before, &mut class)?;
            }
            self.add_parts(class.take_parts())?;
        }
        self.skip(1);
        Ok(class)
    }

    /// Parses `[:name:]`; returns false if the rest does not start with it. `[:` without an end is two characters.
    fn posix_class(&mut self, class: &mut Class) -> Result<bool, RegexError> {
        let before = self.rest;
        let Some(rest) = before.strip_prefix("[:").filter(|_| !self.has_no_class_end) else {
            return Ok(false);
        };
        let Some((name, rest)) = rest.split_once(":]") else {
            self.has_no_class_end = true;
            return Ok(false);
        };
        self.rest = rest;
        match class.add_posix(name) {
            true => Ok(true),
            false => Err(RegexError::ClassName(self.since(before))),
        }
    }

    /// Parses a class such as `\d` or `\pN`; returns false if the rest does not start with one.
    pub(super) fn perl_class(&mut self, class: &mut Class) -> Result<bool, RegexError> {
        let mut letters = self.rest.chars();
        match (letters.next(), letters.next()) {
            (Some('\\'), Some(letter)) if PERL_CLASSES.contains(letter) => {
                self.skip(2);
                class.add_perl(letter);
            }
            (Some('\\'), Some(letter @ ('p' | 'P'))) => self.unicode_class(letter == 'P', class)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Parses `\pN`, `\p{Name}` or `\p{^Name}`.
    fn unicode_class(&mut self, is_negated: bool, class: &mut Class) -> Result<(), RegexError> {
        let before = self.rest;
        let rest = &before[2..];
        let (name, rest) = match rest.strip_prefix('{') {
            Some(braced) => match braced.split_once('}') {
                Some(parts) => parts,
                None => return Err(RegexError::ClassName(quoted(before))),
            },
            None => rest.split_at(rest.chars().next().map_or(0, char::len_utf8)),
        };
        self.rest = rest;
        let (name, is_negated) = match name.strip_prefix('^') {
            Some(name) => (name, !is_negated),
            None => (name, is_negated),
        };
        match class.add_unicode(name, is_negated) {
            true => Ok(()),
            false => Err(RegexError::ClassName(self.since(before))),
        }
    }

    /// Parses a character or a range such as `a-z` in the class that starts at `class_start`.
    fn class_range(&mut self, class_start: &str, class: &mut Class) -> Result<(), RegexError> {
        let before = self.rest;
        let first = self.class_char(class_start)?;
        let mut last = first;
        if let Some(rest) = self.rest.strip_prefix('-')
            && !rest.is_empty()
            && !rest.starts_with(']')
        {
            self.rest = rest;
            last = self.class_char(class_start)?;
            if last < first {
                return Err(RegexError::ClassRange(self.since(before)));
            }
        }
        class.add_range(first, last);
        Ok(())
    }

    fn class_char(&mut self, class_start: &str) -> Result<u32, RegexError> {
        match self.rest.chars().next() {
            None => Err(RegexError::UnclosedClass(quoted(class_start))),
            Some('\\') => self.escaped(),
            Some(c) => {
                self.skip(c.len_utf8());
                Ok(u32::from(c))
            }
        }
    }

    /// Parses a backslash and its code point.
    pub(super) fn escaped(&mut self) -> Result<u32, RegexError> {
        let before = self.rest;
        let mut rest = before[1..].chars();
        let Some(c) = rest.next() else {
            return Err(RegexError::TrailingBackslash);
        };
        let code = match c {
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            'x' => hexadecimal(&mut rest),
            '0'..='7' => octal(c, &mut rest),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        self.rest = rest.as_str();
        code.ok_or_else(|| RegexError::Escape(self.since(before)))
    }
}

/// Parses the digits after `\x`: two, or any number of them in braces.
fn hexadecimal(rest: &mut Chars<'_>) -> Option<u32> {
    let first = rest.next()?;
    if first != '{' {
        return Some(first.to_digit(16)? * 16 + rest.next()?.to_digit(16)?);
    }
    let mut code = None;
    loop {
        match rest.next()? {
            '}' => return code,
            digit => {
                let larger = code.unwrap_or(0) * 16 + digit.to_digit(16)?;
                code = Some(larger).filter(|code| *code <= u32::from(char::MAX));
                code?;
            }
        }
    }
}

/// Parses up to three octal digits. A single digit other than 0 is a reference to a group, which Go rejects.
fn octal(first: char, rest: &mut Chars<'_>) -> Option<u32> {
    let mut code = first.to_digit(8)?;
    let mut digits = 1;
    while let Some(digit) = rest.clone().next().and_then(|c| c.to_digit(8))
        && digits < 3
    {
        code = code * 8 + digit;
        digits += 1;
        rest.next();
    }
    (digits > 1 || first == '0').then_some(code)
}
