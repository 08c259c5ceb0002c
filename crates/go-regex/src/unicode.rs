//! Go's classes of Unicode and its folding of case: those of Unicode 15.0.
//!
//! The tables of `regex-syntax` are those of Unicode 16.0, so later additions are removed from them. The tests
//! compare all of it with Go's tables in `tests/golden/unicode.tsv`.

mod names;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use names::{CATEGORIES, LONG_CATEGORIES, SCRIPTS};

/// The last character that differs from another in case alone.
const LAST_WITH_CASE: char = '\u{1e943}';

/// The number of characters up to the last one with case.
pub(super) const CHARS_WITH_CASE: usize = LAST_WITH_CASE as usize + 1;

/// Characters with a folding of case that is newer than 15.0.
const NEWER_CASE: &[(char, char)] = &[
    ('\u{19b}', '\u{19b}'),
    ('\u{264}', '\u{264}'),
    ('\u{390}', '\u{390}'),
    ('\u{3b0}', '\u{3b0}'),
    ('\u{1c89}', '\u{1c8a}'),
    ('\u{1fd3}', '\u{1fd3}'),
    ('\u{1fe3}', '\u{1fe3}'),
    ('\u{a7cb}', '\u{a7cd}'),
    ('\u{a7da}', '\u{a7dc}'),
    ('\u{fb05}', '\u{fb06}'),
    ('\u{10d50}', '\u{10d65}'),
    ('\u{10d70}', '\u{10d85}'),
];

/// The only character whose category differs from that in 15.0: `Mc` instead of `Mn`.
const RECLASSIFIED: char = '\u{1171e}';

/// Returns the class of these ranges, both ends included.
pub(super) fn class(ranges: &[(char, char)]) -> ClassUnicode {
    let ranges = ranges.iter();
    ClassUnicode::new(ranges.map(|&(first, last)| ClassUnicodeRange::new(first, last)))
}

/// Returns the class of all characters.
pub(super) fn any() -> ClassUnicode {
    class(&[('\0', char::MAX)])
}

/// Returns the characters that are not in `class`.
///
/// `ClassUnicode::negate` is wrong for a class with the last character before the surrogates and the first one after
/// them: it treats these two as one range.
pub(super) fn complement(class: &ClassUnicode) -> ClassUnicode {
    let mut ranges = Vec::with_capacity(class.ranges().len() + 1);
    let mut next = Some('\0');
    for range in class.ranges() {
        if let (Some(first), Some(last)) = (next, before(range.start()))
            && first <= last
        {
            ranges.push((first, last));
        }
        next = after(range.end());
    }
    ranges.extend(next.map(|first| (first, char::MAX)));
    self::class(&ranges)
}

fn before(c: char) -> Option<char> {
    ('\0'..c).next_back()
}

fn after(c: char) -> Option<char> {
    (c..=char::MAX).nth(1)
}

/// Adds the characters that differ from those of `class` in case alone.
pub(super) fn fold(class: &mut ClassUnicode) {
    let mut with_case = class.clone();
    with_case.intersect(&self::class(&[('\0', LAST_WITH_CASE)]));
    with_case.difference(&self::class(NEWER_CASE));
    with_case.case_fold_simple();
    class.union(&with_case);
}

/// Returns the class `\p{name}`; with case folded, as under `(?i)`, if `is_folded`.
pub(super) fn named(name: &str, is_folded: bool) -> Option<ClassUnicode> {
    let name = Name::find(name)?;
    let mut class = name.class();
    if is_folded {
        fold(&mut class);
        if name == Name::Category("LC") {
            // Go's table of additions lacks it.
            class.difference(&self::class(&[('\u{345}', '\u{345}')]));
        }
    }
    Some(class)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Any,
    Assigned,
    Ascii,
    Category(&'static str),
    Script(&'static str),
}

impl Name {
    /// Finds a name as Go 1.26 does, and exact names as `grafana/regexp`, the package of Prometheus, does: Go 1.26
    /// itself rejects scripts with `_`, as it compares their names with the canonical form.
    fn find(name: &str) -> Option<Self> {
        let canonical = canonical(name);
        let is = |known: &&&'static str| **known == name || **known == canonical;
        match &*canonical {
            "Any" => return Some(Self::Any),
            "Assigned" => return Some(Self::Assigned),
            "Ascii" => return Some(Self::Ascii),
            "Lc" => return Some(Self::Category("LC")),
            _ => {}
        }
        let category = || CATEGORIES.iter().find(is).copied();
        let script = || SCRIPTS.iter().find(is).copied();
        let by_long_name = || {
            let mut names = LONG_CATEGORIES.iter();
            let found = names.find(|(long, _)| self::canonical(long) == canonical);
            found.map(|(_, category)| *category)
        };
        category()
            .map(Self::Category)
            .or_else(|| script().map(Self::Script))
            .or_else(|| by_long_name().map(Self::Category))
    }

    fn class(self) -> ClassUnicode {
        match self {
            Self::Any => any(),
            Self::Assigned => assigned(),
            Self::Ascii => class(&[('\0', '\x7f')]),
            // Surrogates: no string has them.
            Self::Category("Cs") => class(&[]),
            Self::Category("Cn") => complement(&assigned()),
            Self::Category("C") => {
                let mut class = property("gc", "C");
                class.union(&Self::Category("Cn").class());
                class
            }
            Self::Category(name) => {
                let mut class = of_unicode_15(property("gc", name));
                let moved = self::class(&[(RECLASSIFIED, RECLASSIFIED)]);
                match name {
                    "Mn" => class.union(&moved),
                    "Mc" => class.difference(&moved),
                    _ => {}
                }
                class
            }
            Self::Script(name) => of_unicode_15(property("sc", name)),
        }
    }
}

/// Returns a name as Go compares it: an upper-case letter, then lower-case ones, without `_`, `-` and spaces.
fn canonical(name: &str) -> String {
    let mut letters = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    let others = letters.map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(others).collect()
}

/// Returns the characters that Unicode 15.0 assigns.
fn assigned() -> ClassUnicode {
    of_unicode_15(complement(&property("gc", "Cn")))
}

fn of_unicode_15(mut class: ClassUnicode) -> ClassUnicode {
    class.intersect(&property("age", "15.0"));
    class
}

/// Returns a class of Unicode 16.0.
fn property(property: &str, value: &str) -> ClassUnicode {
    let parsed = regex_syntax::parse(&format!(r"\p{{{property}={value}}}"));
    match parsed.map(|parsed| parsed.into_kind()) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        // A class of one character is a literal.
        Ok(HirKind::Literal(literal)) => {
            let literal = String::from_utf8_lossy(&literal.0);
            let ranges: Vec<_> = literal.chars().map(|c| (c, c)).collect();
            class(&ranges)
        }
        other => unreachable!("regex-syntax has a class for {property}={value}: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const GO: &str = include_str!("../tests/golden/unicode.tsv");

    /// Returns the fields of the lines of a kind.
    fn lines(kind: &str) -> impl Iterator<Item = Vec<&'static str>> {
        let lines = GO.lines().map(|line| line.split('\t'));
        lines.filter_map(move |mut fields| (fields.next() == Some(kind)).then(|| fields.collect()))
    }

    /// Returns the number of characters and the digest of the ranges that unicode.go prints.
    fn digest(class: &ClassUnicode) -> (String, String) {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for range in class.ranges() {
            let (first, last) = (u32::from(range.start()), u32::from(range.end()));
            match ranges.last_mut() {
                Some((_, end)) if *end + 1 == first || (*end, first) == (0xd7ff, 0xe000) => {
                    *end = last;
                }
                _ => ranges.push((first, last)),
            }
        }
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for (first, last) in ranges {
            for byte in format!("{first:x}-{last:x},").bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        let ranges = class.ranges().iter();
        let count: usize = ranges.map(|it| (it.start()..=it.end()).count()).sum();
        (count.to_string(), format!("{hash:016x}"))
    }

    #[test]
    fn named_classes_are_those_of_go() {
        assert_eq!(lines("version").next().unwrap(), ["15.0.0"]);
        let mut names = 0;
        for fields in lines("class") {
            let [name, count, hash, folded_count, folded_hash] = fields[..] else {
                panic!("{fields:?}");
            };
            let of =
                |is_folded| digest(&named(name, is_folded).unwrap_or_else(|| panic!("{name}")));
            assert_eq!(of(false), (count.to_owned(), hash.to_owned()), "{name}");
            let folded = (folded_count.to_owned(), folded_hash.to_owned());
            assert_eq!(of(true), folded, "(?i) {name}");
            names += 1;
        }
        let ours = CATEGORIES.len() + LONG_CATEGORIES.len() + SCRIPTS.len();
        assert_eq!(names, ours + ["Any", "Assigned", "ASCII"].len());
    }

    #[test]
    fn names_are_compared_as_go_does() {
        for name in [
            "greek",
            "GREEK",
            "g_r-e ek",
            "Old_Italic",
            "SignWriting",
            "lu",
            "lc",
            "any",
        ] {
            assert!(named(name, false).is_some(), "{name}");
        }
        for name in [
            "",
            "Grek",
            "Olditalic",
            "signwriting",
            "IsGreek",
            "sc=Greek",
            "Garay",
            "L&",
            "Alphabetic",
        ] {
            assert!(named(name, false).is_none(), "{name}");
        }
    }

    #[test]
    fn case_is_that_of_go() {
        let single = |c: char| class(&[(c, c)]);
        let mut with_case = BTreeSet::new();
        for fields in lines("case") {
            let code = |hex: &&str| u32::from_str_radix(hex, 16).unwrap();
            let mut all: Vec<char> = fields
                .iter()
                .map(|hex| char::from_u32(code(hex)).unwrap())
                .collect();
            all.sort_unstable();
            for &c in &all {
                let mut folded = single(c);
                fold(&mut folded);
                let found: Vec<char> = folded
                    .ranges()
                    .iter()
                    .flat_map(|range| range.start()..=range.end())
                    .collect();
                assert_eq!(found, all, "{c:?}");
            }
            with_case.extend(all);
        }
        assert_eq!(with_case.last(), Some(&LAST_WITH_CASE));
        for c in ('\0'..=char::MAX).filter(|c| !with_case.contains(c)) {
            let mut folded = single(c);
            fold(&mut folded);
            assert_eq!(folded, single(c), "{c:?}");
        }
    }
}
