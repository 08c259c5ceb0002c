//! Go's regular expressions (RE2 syntax) as sets of characters: matched, listed as literals, and written for Java.
//!
//! Prometheus compiles the pattern of a label matcher as `^(?s:R)$`: it is anchored, and a dot matches a newline.
//! Neither the `regex` crate nor Java's `java.util.regex` accepts Go's syntax with Go's meaning. [`Pattern`]
//! parses the syntax itself, into a tree that has no flags and no names of classes. From the tree come
//!
//! - the literals that match, if they can be listed ([`Pattern::literals`]),
//! - the compiled form ([`Pattern::matches`]), which matches in linear time,
//! - the form for Java, if there is one ([`Pattern::to_java`]).
//!
//! [`Regexp`] searches strings for a pattern instead, and finds the parts that its groups match.
//!
//! ```
//! use go_regex::Pattern;
//!
//! let pattern = Pattern::new("prod|dev")?;
//! assert_eq!(pattern.literals().unwrap(), ["dev", "prod"]);
//!
//! let pattern = Pattern::new(r"10\.0\.\d+\..*")?;
//! assert!(pattern.matches("10.0.7.9:9100") && !pattern.matches("110.0.7.9:9100"));
//! assert_eq!(pattern.to_java().unwrap(), r"(?s)\A(?:10\.0\.[0-9]+\..*)\z");
//! # Ok::<(), go_regex::RegexError>(())
//! ```

mod error;
mod hir;
mod java;
mod literals;
mod node;
mod parse;
mod regexp;
mod steps;
mod unicode;

use regex_automata::meta::{BuildError, Regex};
use regex_syntax::hir::Hir;

pub use error::RegexError;
use node::Node;
pub use regexp::Regexp;

/// Maximum size of a compiled form in bytes, unless [`Pattern::with_size_limit`] sets another one.
pub const MAX_COMPILED_BYTES: usize = 10 << 20;

/// Maximum bytes of the cache of states of a pattern while it matches, for each direction of matching.
pub const CACHE_BYTES: usize = 128 << 10;

/// Maximum length in characters of the strings for which the steps of a form for Java are bounded: Amazon
/// Timestream's limit for a value. Longer strings match correctly, at a cost without a guarantee.
pub const MAX_JAVA_STRING_CHARS: usize = 2048;

/// Patterns that nest deeper are compiled on a stack of their own.
const MAX_DEPTH_ON_CALLERS_STACK: u32 = 100;

/// Compiling recurses. The deepest patterns that Go accepts, of 1,000 levels, need up to 1.3 MiB of stack if
/// `regex-automata` is optimized and 12 MiB if it is not, but threads have 2 MiB by default, and a caller uses part of
/// them. A limit of nesting that always fits would reject patterns that Go accepts.
const DEEP_STACK_BYTES: usize = 16 << 20;

/// A compiled pattern, which matches whole strings.
#[derive(Clone, Debug)]
pub struct Pattern {
    form: Form,
    /// The form for Java without its anchors, if there is one.
    java: Option<String>,
}

#[derive(Clone, Debug)]
enum Form {
    /// All strings that match, sorted.
    Literals(Vec<String>),
    Compiled(Regex),
}

impl Pattern {
    /// Compiles `pattern` as Prometheus does, to at most [`MAX_COMPILED_BYTES`].
    ///
    /// ```
    /// use go_regex::{Pattern, RegexError};
    ///
    /// assert!(Pattern::new("a.*")?.matches("a\n"));
    /// assert_eq!(Pattern::new("a)").unwrap_err(), RegexError::UnexpectedClosingParenthesis);
    /// # Ok::<(), RegexError>(())
    /// ```
    ///
    /// # Errors
    /// Go rejects the pattern, it has too many parts, or its compiled form would be too large.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        Self::with_size_limit(pattern, MAX_COMPILED_BYTES)
    }

    /// Compiles `pattern` as [`Self::new`] does, to at most `max_compiled_bytes`.
    ///
    /// Time and memory for compiling grow with the size of the compiled form, which can be a million times that
    /// of the pattern.
    ///
    /// ```
    /// use go_regex::{Pattern, RegexError};
    ///
    /// let error = Pattern::with_size_limit(r"\pL{100}", 64 << 10).unwrap_err();
    /// assert_eq!(error, RegexError::CompiledSize(64 << 10));
    /// assert!(Pattern::with_size_limit("[a-z]{1,100}", 64 << 10).is_ok());
    /// ```
    ///
    /// # Errors
    /// See [`Self::new`].
    pub fn with_size_limit(pattern: &str, max_compiled_bytes: usize) -> Result<Self, RegexError> {
        let (node, depth) = parse::parse(pattern)?;
        with_stack_for(depth, move || Self::compile(node, max_compiled_bytes))
    }

    fn compile(node: Node, max_compiled_bytes: usize) -> Result<Self, RegexError> {
        let node = node.without_outer_anchors();
        let form = match literals::literals(&node) {
            Some(literals) => Form::Literals(literals),
            None => Form::Compiled(compile(&hir::anchored(&node), max_compiled_bytes)?),
        };
        let java = java::to_java(&node);
        Ok(Self { form, java })
    }

    /// Returns true if the whole of `string` matches.
    pub fn matches(&self, string: &str) -> bool {
        match &self.form {
            Form::Literals(literals) => literals
                .binary_search_by(|literal| literal.as_str().cmp(string))
                .is_ok(),
            Form::Compiled(regex) => regex.is_match(string),
        }
    }

    /// Returns the size of the compiled form in memory; 0 if the pattern lists literals.
    pub fn compiled_bytes(&self) -> usize {
        match &self.form {
            Form::Literals(_) => 0,
            Form::Compiled(regex) => regex.memory_usage(),
        }
    }

    /// Returns the strings that match, sorted, if they can be listed; there is at least one then.
    ///
    /// Alternatives of plain strings are listed however many there are. Classes, and alternatives with something
    /// before or after them, are expanded to at most 256 strings.
    ///
    /// ```
    /// use go_regex::Pattern;
    ///
    /// let literals = |pattern: &str| Pattern::new(pattern).unwrap().literals().map(<[_]>::to_vec);
    /// assert_eq!(literals("(?i)x(_a|)").unwrap(), ["X", "X_A", "X_a", "x", "x_A", "x_a"]);
    /// assert_eq!(literals("x.*"), None);
    /// ```
    pub fn literals(&self) -> Option<&[String]> {
        match &self.form {
            Form::Literals(literals) => Some(literals),
            Form::Compiled(_) => None,
        }
    }

    /// Returns the equivalent pattern for Java, anchored at both ends, if there is one that a backtracking matcher
    /// handles cheaply: in at most 4 n² steps for strings of 256 and of [`MAX_JAVA_STRING_CHARS`] characters.
    ///
    /// ```
    /// use go_regex::Pattern;
    ///
    /// let java = |pattern: &str| Pattern::new(pattern).unwrap().to_java();
    /// assert_eq!(java("^a|b.$").unwrap(), r"(?s)\A(?:a|b.)\z");
    /// // Java's word boundaries are not those of Go.
    /// assert_eq!(java(r".*\ba"), None);
    /// // Exponential time.
    /// assert_eq!(java("(a+)+b"), None);
    /// ```
    pub fn to_java(&self) -> Option<String> {
        self.to_java_after("")
    }

    /// Returns the pattern of [`Self::to_java`] for strings that start with `prefix`, which must consist of letters,
    /// digits and underscores.
    pub fn to_java_after(&self, prefix: &str) -> Option<String> {
        let java = self.java.as_ref()?;
        // Java's `$` also matches before a final newline, `\z` does not.
        Some(format!(r"(?s)\A{prefix}(?:{java})\z"))
    }
}

/// Returns a pattern that matches only `string`.
///
/// ```
/// assert_eq!(go_regex::escape("node.cpu[0]"), r"node\.cpu\[0\]");
/// ```
pub fn escape(string: &str) -> String {
    regex_syntax::escape(string)
}

/// Compiles a pattern of this depth, on a stack of its own if it is deep.
fn with_stack_for<T: Send + 'static>(
    depth: u32,
    compile: impl FnOnce() -> Result<T, RegexError> + Send + 'static,
) -> Result<T, RegexError> {
    if depth <= MAX_DEPTH_ON_CALLERS_STACK {
        return compile();
    }
    let failed = |error: &dyn std::fmt::Debug| RegexError::Compile(format!("{error:?}"));
    let thread = std::thread::Builder::new()
        .stack_size(DEEP_STACK_BYTES)
        .spawn(compile)
        .map_err(|error| failed(&error))?;
    thread.join().unwrap_or_else(|error| Err(failed(&error)))
}

fn compile(hir: &Hir, max_compiled_bytes: usize) -> Result<Regex, RegexError> {
    compile_with(hir, max_compiled_bytes, true)
}

/// Compiles a pattern. Without automata that are built on the way it compiles in half the time; they do not find
/// groups anyway.
fn compile_with(
    hir: &Hir,
    max_compiled_bytes: usize,
    is_hybrid: bool,
) -> Result<Regex, RegexError> {
    let config = Regex::config()
        .nfa_size_limit(Some(max_compiled_bytes))
        .hybrid(is_hybrid)
        .hybrid_cache_capacity(CACHE_BYTES);
    let compiled = Regex::builder().configure(config).build_from_hir(hir);
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

    fn error(pattern: &str) -> String {
        Pattern::new(pattern).unwrap_err().to_string()
    }

    // `tests/tables.rs` compares the matches with Go's.

    #[test]
    fn errors_name_the_part_and_the_remedy() {
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
                r"invalid escape sequence: `\h`; only letters and digits with a special meaning can be escaped; for a backslash write \\",
            ),
            (
                "x[z-a]",
                "invalid character class range: `z-a`; the first character must not be greater than the last",
            ),
            (
                r"x\p{Alpha}y",
                r"invalid character class range: `\p{Alpha}`; the classes are those of Go, such as [:alpha:], \pL, \p{Lu} and \p{Greek}",
            ),
            (
                "x(?P<a-b>c)",
                "invalid named capture: `(?P<a-b>`; a name consists of letters, digits and _, and > ends it",
            ),
            (
                "x(?!y)z",
                "invalid or unsupported Perl syntax: `(?!`; groups are (a), (?:a), (?P<name>a) and (?<name>a), flags i, m, s and U; look-ahead and look-behind do not exist",
            ),
            (
                "x|*y",
                "missing argument to repetition operator: `*`; for the character put a backslash before it",
            ),
            (
                "xa*+y",
                "invalid nested repetition operator: `*+`; put the repeated part into a group, as in (?:a*)*",
            ),
            (
                "(?:a{100}){11}b",
                "invalid repeat count: `{11}`; a count, and the product of nested counts, is at most 1000, and in {n,m} n is at most m",
            ),
        ];
        for (pattern, expected) in cases {
            assert_eq!(error(pattern), expected, "{pattern}");
        }
        let long = format!("[{}", "ü".repeat(100));
        let shown = format!("`[{}...`", "ü".repeat(31));
        assert!(error(&long).contains(&shown), "{}", error(&long));
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
            assert_eq!(error(&part.repeat(300_000)), parts, "{part}");
            let in_class = format!("(?i)[{}]", part.repeat(300_000));
            let found = Pattern::new(&in_class).map(|_| ());
            // Most of these are the same few characters; only the classes of Unicode add ranges.
            assert!(
                found.is_ok() || found == Err(RegexError::TooManyParts),
                "{part}: {found:?}"
            );
        }
        let compiled = "expression too large: its compiled form exceeds 10485760 bytes; shorten it, or use smaller classes and counts";
        for pattern in [r"\pL{1000}", &".{1000}x".repeat(100)] {
            assert_eq!(error(pattern), compiled);
        }
        // The rest of the pattern is searched for the end of a class only once.
        assert_eq!(error(&format!("[{}", "[:a".repeat(300_000))), parts);
    }

    #[test]
    fn long_lists_of_literals_are_not_compiled() {
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
            for (pattern, string) in deep {
                let compiled = Pattern::new(&pattern).unwrap();
                assert!(compiled.clone().matches(string), "{pattern}");
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
        // The prefix does not change the meaning of an anchor of the pattern.
        let pattern = Pattern::new("^a.$").unwrap();
        assert_eq!(
            pattern.to_java_after("U__x").unwrap(),
            r"(?s)\AU__x(?:a.)\z"
        );
    }
}
