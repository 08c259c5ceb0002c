//! Why a pattern is refused.

use super::MAX_COMPILED_BYTES;

/// The most repetitions, all repeats around it counted: Go's limit.
pub(super) const MAX_REPEATS: u32 = 1_000;

/// The depth to which a pattern may nest: Go's limit. Groups that capture count, others do not.
pub(super) const MAX_HEIGHT: u32 = 1_000;

/// The most parts and ranges of characters of a pattern. Go takes more; of these, hardly as
/// many fit into the compiled form, where most need 40 bytes. Texts count as one part each.
pub(super) const MAX_PARTS: usize = MAX_COMPILED_BYTES / 40;

/// The most bytes of a pattern that an error quotes.
const MAX_QUOTED_BYTES: usize = 64;

/// Why a pattern is refused. The texts begin as those of Go do, which Prometheus shows, and end with
/// what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum RegexError {
    #[error(r"trailing backslash at end of expression; for the character write \\")]
    TrailingBackslash,
    #[error(r"invalid escape sequence: `{0}`; a letter or digit is escaped only where that means something: for a backslash write \\")]
    Escape(String),
    #[error(r"missing closing ): close the group, or for the character write \(")]
    OpenGroup,
    #[error(r"unexpected ): open the group, or for the character write \)")]
    ClosedGroup,
    #[error(r"missing closing ]: `{0}`; close the class, or for the character write \[")]
    OpenClass(String),
    #[error(
        "invalid character class range: `{0}`; the first character must not come after the last"
    )]
    Range(String),
    #[error(
        "invalid character class range: `{0}`; classes are those of Go, such as [:alpha:], \\pL, \\p{{Lu}} and \\p{{Greek}}"
    )]
    ClassName(String),
    #[error("invalid named capture: `{0}`; a name is of letters, digits and _ and ends with >")]
    GroupName(String),
    #[error(
        "invalid or unsupported Perl syntax: `{0}`; groups are (a), (?:a), (?P<name>a) and (?<name>a), flags i, m, s and U; nothing looks ahead or behind"
    )]
    Group(String),
    #[error(
        "missing argument to repetition operator: `{0}`; for the character put a backslash before it"
    )]
    NothingRepeated(String),
    #[error(
        "invalid nested repetition operator: `{0}`; put what is repeated into a group, as in (?:a*)*"
    )]
    RepeatedRepeat(String),
    #[error("invalid repeat count: `{0}`; no count is more than {limit}, nor the product of nested ones, and the first is not more than the second", limit = MAX_REPEATS)]
    RepeatCount(String),
    #[error("expression nests too deeply: more than {limit} levels; use fewer groups", limit = MAX_HEIGHT)]
    Depth,
    #[error("expression too large: more than {limit} parts or ranges of characters; shorten it", limit = MAX_PARTS)]
    Parts,
    #[error(
        "expression too large: its compiled form exceeds {0} bytes; shorten it, or use smaller classes and counts"
    )]
    CompiledSize(usize),
    #[error("it cannot be compiled: {0}")]
    Compile(String),
}

/// `part` of a pattern as an error shows it.
pub(super) fn quoted(part: &str) -> String {
    match part.len() > MAX_QUOTED_BYTES {
        true => format!("{}...", &part[..part.floor_char_boundary(MAX_QUOTED_BYTES)]),
        false => part.to_owned(),
    }
}
