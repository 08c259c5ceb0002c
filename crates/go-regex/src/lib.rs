//! The regular expressions of label matchers: what they match, and which of them Timestream can
//! be asked to match.
//!
//! Prometheus compiles a pattern as `^(?s:R)$`, so it is anchored and a dot matches a newline. Its
//! syntax is Go's (RE2), which neither the `regex` crate nor Timestream takes: Timestream's
//! `regexp_like` is Java's. So a pattern is read by a parser of its own into what it means, in
//! terms of characters alone; from that come the texts it lists, the form that is matched here, and
//! that for Timestream, if there is one. Never is its text handed on.

mod error;
mod hir;
mod java;
mod node;
mod parse;
mod steps;
mod texts;
mod unicode;

use regex_automata::meta::{BuildError, Regex};

pub use error::RegexError;
use node::Node;

/// Bytes of a compiled form at most, unless [`Pattern::with_size_limit`] is given another limit.
pub const MAX_COMPILED_BYTES: usize = 10 << 20;

/// The states that a pattern is in are cached while it matches, up to this, in each direction.
pub const CACHE_BYTES: usize = 128 << 10;

/// The longest text, in characters, for which the steps of a form for Java are bounded: the longest
/// value of a label that Timestream stores.
pub const MAX_JAVA_TEXT_CHARS: usize = 2048;

/// Patterns that are deeper than this are compiled on a stack of their own, as compiling recurses.
const MAX_DEPTH_ON_STACK: u32 = 100;

/// Enough for the deepest pattern, which takes 1.5 MiB without optimization.
const OWN_STACK_BYTES: usize = 8 << 20;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    form: Form,
    /// For Timestream, if there is a form that means the same.
    java: Option<String>,
}

#[derive(Clone, Debug)]
enum Form {
    /// These texts alone match; sorted.
    Texts(Vec<String>),
    Compiled(Regex),
}

impl Pattern {
    /// Compiles `pattern` as Prometheus does.
    ///
    /// # Errors
    /// Go refuses it, or its compiled form would be too large.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        Self::with_size_limit(pattern, MAX_COMPILED_BYTES)
    }

    /// As [`Self::new`], with another limit of the compiled form.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_size_limit(pattern: &str, max_compiled_bytes: usize) -> Result<Self, RegexError> {
        let (node, depth) = parse::parse(pattern)?;
        if depth <= MAX_DEPTH_ON_STACK {
            return Self::compile(node, max_compiled_bytes);
        }
        let failed = |error: &dyn std::fmt::Debug| RegexError::Compile(format!("{error:?}"));
        let thread = std::thread::Builder::new()
            .stack_size(OWN_STACK_BYTES)
            .spawn(move || Self::compile(node, max_compiled_bytes))
            .map_err(|error| failed(&error))?;
        thread.join().unwrap_or_else(|error| Err(failed(&error)))
    }

    fn compile(node: Node, max_compiled_bytes: usize) -> Result<Self, RegexError> {
        let node = node.without_outer_anchors();
        let form = match texts::texts(&node) {
            Some(texts) => Form::Texts(texts),
            None => Form::Compiled(compile(&node, max_compiled_bytes)?),
        };
        let java = java::java(&node);
        Ok(Self { form, java })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        match &self.form {
            Form::Texts(texts) => texts.binary_search_by(|it| it.as_str().cmp(text)).is_ok(),
            Form::Compiled(regex) => regex.is_match(text),
        }
    }

    /// Returns the bytes of memory that the compiled form takes; 0 where the pattern lists texts.
    pub fn compiled_bytes(&self) -> usize {
        match &self.form {
            Form::Texts(_) => 0,
            Form::Compiled(regex) => regex.memory_usage(),
        }
    }

    /// The texts that the pattern matches, sorted, if they can be listed. There is at least one.
    pub fn literals(&self) -> Option<&[String]> {
        match &self.form {
            Form::Texts(texts) => Some(texts),
            Form::Compiled(_) => None,
        }
    }

    /// The pattern for `regexp_like`, if it means the same to Java; anchored.
    pub fn to_java(&self) -> Option<String> {
        self.to_java_after("")
    }

    /// As [`Self::to_java`], for texts that start with `prefix`, which is of letters, digits and
    /// underscores.
    pub fn to_java_after(&self, prefix: &str) -> Option<String> {
        let java = self.java.as_ref()?;
        // Java's `$` also matches before a final newline, `\z` does not.
        Some(format!(r"(?s)\A{prefix}(?:{java})\z"))
    }
}

/// Returns a pattern that matches `text` alone.
///
/// ```
/// assert_eq!(go_regex::escape("node.cpu[0]"), r"node\.cpu\[0\]");
/// ```
pub fn escape(text: &str) -> String {
    regex_syntax::escape(text)
}

fn compile(node: &Node, max_compiled_bytes: usize) -> Result<Regex, RegexError> {
    let config = Regex::config()
        .nfa_size_limit(Some(max_compiled_bytes))
        .hybrid_cache_capacity(CACHE_BYTES);
    let compiled = Regex::builder()
        .configure(config)
        .build_from_hir(&hir::anchored(node));
    compiled.map_err(|error: BuildError| match error.size_limit() {
        Some(limit) => RegexError::CompiledSize(limit),
        None => RegexError::Compile(error.to_string()),
    })
}

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pattern: &str) -> String {
        Pattern::new(pattern).unwrap_err().to_string()
    }

    // What matches is held to Go's answers in `tests/golden`.

    #[test]
    fn errors_name_the_part_and_what_to_write() {
        let cases = [
            (
                r"x\",
                r"trailing backslash at end of expression; for the character write \\",
            ),
            (
                "x(a",
                r"missing closing ): close the group, or for the character write \(",
            ),
            (
                "x)",
                r"unexpected ): open the group, or for the character write \)",
            ),
            (
                "x[a",
                r"missing closing ]: `[a`; close the class, or for the character write \[",
            ),
            (
                r"x\dy\h*",
                r"invalid escape sequence: `\h`; a letter or digit is escaped only where that means something: for a backslash write \\",
            ),
            (
                "x[z-a]",
                "invalid character class range: `z-a`; the first character must not come after the last",
            ),
            (
                r"x\p{Alpha}y",
                r"invalid character class range: `\p{Alpha}`; classes are those of Go, such as [:alpha:], \pL, \p{Lu} and \p{Greek}",
            ),
            (
                "x(?P<a-b>c)",
                "invalid named capture: `(?P<a-b>`; a name is of letters, digits and _ and ends with >",
            ),
            (
                "x(?!y)z",
                "invalid or unsupported Perl syntax: `(?!`; groups are (a), (?:a), (?P<name>a) and (?<name>a), flags i, m, s and U; nothing looks ahead or behind",
            ),
            (
                "x|*y",
                "missing argument to repetition operator: `*`; for the character put a backslash before it",
            ),
            (
                "xa*+y",
                "invalid nested repetition operator: `*+`; put what is repeated into a group, as in (?:a*)*",
            ),
            (
                "(?:a{100}){11}b",
                "invalid repeat count: `{11}`; no count is more than 1000, nor the product of nested ones, and the first is not more than the second",
            ),
        ];
        for (pattern, expected) in cases {
            assert_eq!(refused(pattern), expected, "{pattern}");
        }
        let long = format!("[{}", "ü".repeat(100));
        let shown = format!("`[{}...`", "ü".repeat(31));
        assert!(refused(&long).contains(&shown), "{}", refused(&long));
    }

    #[test]
    fn size_is_bounded() {
        let parts =
            "expression too large: more than 262144 parts or ranges of characters; shorten it";
        for part in [
            ".",
            "a|",
            "^",
            "(",
            "(?:",
            "a?",
            r"\pL",
            r"\p{Zs}",
            "[ab]c",
            r"\x{D800}",
        ] {
            assert_eq!(refused(&part.repeat(300_000)), parts, "{part}");
            let in_class = format!("(?i)[{}]", part.repeat(300_000));
            let found = Pattern::new(&in_class).map(|_| ());
            // Most of these are the same few characters; what Unicode adds counts.
            assert!(
                found.is_ok() || found == Err(RegexError::Parts),
                "{part}: {found:?}"
            );
        }
        let compiled = "expression too large: its compiled form exceeds 10485760 bytes; shorten it, or use smaller classes and counts";
        for pattern in [r"\pL{1000}", &".{1000}x".repeat(100)] {
            assert_eq!(refused(pattern), compiled);
        }
        // A rest without an end is not searched again and again.
        assert_eq!(refused(&format!("[{}", "[:a".repeat(300_000))), parts);
    }

    #[test]
    fn long_lists_of_texts_are_no_patterns_to_compile() {
        let names: Vec<_> = (0..100_000)
            .map(|n| format!("pod-{n:06}-of-a-long-name"))
            .collect();
        let pattern = Pattern::new(&names.join("|")).unwrap();
        assert_eq!(pattern.literals().map(<[_]>::len), Some(100_000));
        assert!(pattern.matches("pod-099999-of-a-long-name") && !pattern.matches("pod-1"));
    }

    #[test]
    fn deep_patterns_need_little_of_the_callers_stack() {
        let nest = |open: &str, close: &str, depth| {
            format!("{}a{}", open.repeat(depth), close.repeat(depth))
        };
        let deep = [
            (nest("(", ")", 998), "a"),
            (nest("(?:", ")*", 998), "aa"),
            (nest("(?:", "b)*", 499), ""),
            (nest("(?:a.|b", ")", 498), "ab"),
            (nest("(?:a.|b", ")*", 331), "ababbab"),
        ];
        let compile = move || {
            for (pattern, text) in deep {
                let compiled = Pattern::new(&pattern).unwrap();
                assert!(compiled.clone().matches(text), "{pattern}");
                assert!(Pattern::new(&format!("{pattern})")).is_err());
            }
        };
        let thread = std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(compile);
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn forms_for_java_are_anchored() {
        let pattern = Pattern::new("a|b.").unwrap();
        assert_eq!(pattern.to_java().unwrap(), r"(?s)\A(?:a|b.)\z");
        assert_eq!(
            pattern.to_java_after("U__x").unwrap(),
            r"(?s)\AU__x(?:a|b.)\z"
        );
        // What the anchor of the pattern means does not change by what stands before.
        let pattern = Pattern::new("^a.$").unwrap();
        assert_eq!(
            pattern.to_java_after("U__x").unwrap(),
            r"(?s)\AU__x(?:a.)\z"
        );
    }
}
