//! Patterns that are searched, with the parts that their groups match.

use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::meta::Regex;

use super::error::RegexError;
use super::{MAX_COMPILED_BYTES, Pattern, compile_with, hir, parse, with_stack_for};

/// A compiled pattern that is searched in strings, as Go's `regexp.Regexp`.
///
/// Unlike in a [`Pattern`] nothing is added to it: a dot does not match a newline, and a match may be anywhere in a
/// string. Prometheus' `label_replace` compiles `^(?s:R)$`.
///
/// ```
/// use go_regex::Regexp;
///
/// let regexp = Regexp::new(r"^(?s:(.*):(?P<port>\d+))$")?;
/// assert_eq!(regexp.groups("db:5432"), Some(vec![Some(0..7), Some(0..2), Some(3..7)]));
/// assert_eq!(regexp.expand("db:5432", b"$port of ${1}x").unwrap(), b"5432 of dbx");
/// assert_eq!(regexp.expand("db", b"$1"), None);
/// # Ok::<(), go_regex::RegexError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Regexp {
    regex: Regex,
    /// The names of the groups, empty for those without one.
    names: Vec<String>,
}

impl Regexp {
    /// Compiles `pattern` as Go's `regexp.Compile` does, to at most [`MAX_COMPILED_BYTES`].
    ///
    /// # Errors
    /// Go rejects the pattern, it has too many parts, or its compiled form would be too large.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let searched = parse::parse_searched(pattern)?;
        let (node, names) = (searched.node, searched.names);
        with_stack_for(searched.depth, move || {
            let regex = compile_with(&hir::to_hir(&node), MAX_COMPILED_BYTES, false)?;
            Ok(Self { regex, names })
        })
    }

    /// Returns the size of the compiled form in memory.
    pub fn compiled_bytes(&self) -> usize {
        self.regex.memory_usage()
    }

    /// Returns the bytes of the leftmost match, and of its groups from the first on; `None` for a group without part in
    /// the match. Among several matches at the same place it is the one that Go prefers.
    pub fn groups(&self, string: &str) -> Option<Vec<Option<Range<usize>>>> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(string, &mut captures);
        if !captures.is_match() {
            return None;
        }
        let range = |index| captures.get_group(index).map(|span| span.start..span.end);
        Some((0..self.names.len()).map(range).collect())
    }

    /// Returns `template` with the groups of the leftmost match in their places, as Go's `ExpandString`; `None` if
    /// nothing matches.
    ///
    /// `$1` and `${1}` are groups by number, `$name` and `${name}` by name, `$$` is a dollar sign. A name is as long as
    /// possible: `$1x` is `${1x}`. Groups that do not exist are empty. Any other dollar sign stands for itself.
    pub fn expand(&self, string: &str, template: &[u8]) -> Option<Vec<u8>> {
        let groups = self.groups(string)?;
        let group = |index: usize| {
            let range = groups.get(index).cloned().flatten();
            range.map(|range| &string.as_bytes()[range])
        };
        let mut expanded = Vec::new();
        let mut rest = template;
        while let Some(dollar) = rest.iter().position(|&byte| byte == b'$') {
            expanded.extend_from_slice(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix(b"$") {
                expanded.push(b'$');
                rest = after;
                continue;
            }
            let Some((name, after)) = reference(rest) else {
                expanded.push(b'$');
                continue;
            };
            rest = after;
            let value = match group_number(name) {
                Some(number) => group(number),
                None => {
                    let names = self.names.iter().enumerate();
                    let named = names.filter(|(_, it)| it.as_bytes() == name);
                    named
                        .map(|(index, _)| group(index))
                        .find(Option::is_some)
                        .flatten()
                }
            };
            expanded.extend_from_slice(value.unwrap_or_default());
        }
        expanded.extend_from_slice(rest);
        Some(expanded)
    }
}

/// Reads `name` or `{name}` after a dollar sign; returns the name and the rest.
fn reference(template: &[u8]) -> Option<(&[u8], &[u8])> {
    let (start, is_in_braces) = match template.strip_prefix(b"{") {
        Some(inside) => (inside, true),
        None => (template, false),
    };
    let mut end = 0;
    while let Some(length) = letter(&start[end..]) {
        end += length;
    }
    let (name, rest) = start.split_at(end);
    let rest = match is_in_braces {
        true => rest.strip_prefix(b"}")?,
        false => rest,
    };
    (!name.is_empty()).then_some((name, rest))
}

/// Letters and digits of all scripts.
static LETTER: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"[\pL\p{Nd}]").expect("the pattern is valid"));

/// Returns the length of the letter, digit or underscore at the start.
fn letter(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    if first.is_ascii() {
        return (first.is_ascii_alphanumeric() || first == b'_').then_some(1);
    }
    (2..=bytes.len().min(4)).find_map(|length| {
        let character = std::str::from_utf8(&bytes[..length]).ok()?;
        LETTER.matches(character).then_some(length)
    })
}

/// Returns the number that a name is, if it is one as Go writes it and below 10^9.
fn group_number(name: &[u8]) -> Option<usize> {
    let is_number = name.len() <= 9 && name.iter().all(u8::is_ascii_digit);
    let has_leading_zero = name.len() > 1 && name[0] == b'0';
    if !is_number || has_leading_zero {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}
