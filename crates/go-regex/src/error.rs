//! The reasons for which a pattern is rejected.

use super::MAX_COMPILED_BYTES;

/// Go's limit of repetitions, the counts of nested repetitions multiplied.
pub(super) const MAX_REPEATS: u32 = 1_000;

/// Go's limit of nesting. Capturing groups count, other groups do not.
pub(super) const MAX_DEPTH: u32 = 1_000;

/// Maximum parts and ranges of characters of a pattern, with a literal as one part. Go accepts more, but hardly
/// more fit into the compiled form, where most parts need 40 bytes.
pub(super) const MAX_PARTS: usize = MAX_COMPILED_BYTES / 40;

/// Maximum bytes of a pattern that an error quotes.
const MAX_QUOTED_BYTES: usize = 64;

/// The reason for which a pattern is rejected.
///
/// The message begins with Go's, which users of Prometheus know, and ends with the remedy. Variants with a string
/// quote the part of the pattern, cut to 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegexError {
    /// The pattern ends with a backslash.
    #[error(r"trailing backslash at end of expression; for the character write \\")]
    TrailingBackslash,
    /// A backslash before a character that has no escape.
    #[error(r"invalid escape sequence: `{0}`; only letters and digits with a special meaning can be escaped; for a backslash write \\")]
    Escape(String),
    /// A group without its closing parenthesis.
    #[error(r"missing closing ): close the group, or for the character write \(")]
    UnclosedGroup,
    /// A closing parenthesis without a group.
    #[error(r"unexpected ): open the group, or for the character write \)")]
    UnexpectedClosingParenthesis,
    /// A class of characters without its closing bracket.
    #[error(r"missing closing ]: `{0}`; close the class, or for the character write \[")]
    UnclosedClass(String),
    /// A range of characters whose ends are in the wrong order.
    #[error(
        "invalid character class range: `{0}`; the first character must not be greater than the last"
    )]
    ClassRange(String),
    /// A named class that does not exist.
    #[error(
        "invalid character class range: `{0}`; the classes are those of Go, such as [:alpha:], \\pL, \\p{{Lu}} and \\p{{Greek}}"
    )]
    ClassName(String),
    /// An invalid name of a capturing group.
    #[error(
        "invalid named capture: `{0}`; a name consists of letters, digits and _, and > ends it"
    )]
    GroupName(String),
    /// A group that starts with `(?` and something that Go does not know.
    #[error(
        "invalid or unsupported Perl syntax: `{0}`; groups are (a), (?:a), (?P<name>a) and (?<name>a), flags i, m, s and U; look-ahead and look-behind do not exist"
    )]
    GroupSyntax(String),
    /// A repetition of nothing.
    #[error(
        "missing argument to repetition operator: `{0}`; for the character put a backslash before it"
    )]
    MissingRepeatArgument(String),
    /// A repetition directly after another one.
    #[error(
        "invalid nested repetition operator: `{0}`; put the repeated part into a group, as in (?:a*)*"
    )]
    NestedRepeat(String),
    /// A count of repetitions that is too large, or two in the wrong order.
    #[error("invalid repeat count: `{0}`; a count, and the product of nested counts, is at most {limit}, and in {{n,m}} n is at most m", limit = MAX_REPEATS)]
    RepeatCount(String),
    /// More than 1,000 levels of nesting.
    #[error("expression nests too deeply: more than {limit} levels; use fewer groups", limit = MAX_DEPTH)]
    NestingDepth,
    /// More than 262,144 parts or ranges of characters.
    #[error("expression too large: more than {limit} parts or ranges of characters; shorten it", limit = MAX_PARTS)]
    TooManyParts,
    /// The compiled form would be larger than this limit in bytes.
    #[error(
        "expression too large: its compiled form exceeds {0} bytes; shorten it, or use smaller classes and counts"
    )]
    CompiledSize(usize),
    /// Another error of compiling, such as a lack of threads for a deeply nested pattern.
    #[error("the expression could not be compiled: {0}; try again, or simplify it")]
    Compile(String),
}

/// Returns `part` of a pattern as an error quotes it.
pub(super) fn quoted(part: &str) -> String {
    match part.len() > MAX_QUOTED_BYTES {
        true => format!("{}...", &part[..part.floor_char_boundary(MAX_QUOTED_BYTES)]),
        false => part.to_owned(),
    }
}
