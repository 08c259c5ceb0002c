//! Limits of memory and time for the regular expressions of one request together.
//!
//! The time and memory for compiling grow with the size of the compiled form, which can be a million times that of
//! the pattern (`\\pL{1000}`), so the compiled forms of a request have one limit together.

use go_regex::{CACHE_BYTES, MAX_COMPILED_BYTES, MAX_JAVA_STRING_CHARS, Pattern, RegexError};
use prom_wire::budget::{BudgetExceeded, Reservation};

use crate::storage::limits::MAX_RECORD_BYTES;

// No string that Timestream matches with a form for Java is longer.
const _: () = assert!(MAX_RECORD_BYTES <= MAX_JAVA_STRING_CHARS);

/// Maximum patterns of a request that are not lists of literals. Each needs a cache for matching.
const MAX_PATTERNS: usize = 200;

/// Maximum compiled bytes of a light request: its patterns are compiled, and a string is matched, within a few
/// milliseconds.
pub(super) const LIGHT_BYTES: usize = 256 << 10;
const LIGHT_PATTERNS: usize = 20;
const LIGHT_PATTERN_BYTES: usize = 16 << 10;

/// Memory for each byte of a pattern while it is parsed, and the most that the limit on its parts allows.
const PARSE_FACTOR: usize = 96;
const MAX_PARSE_BYTES: usize = 48 << 20;

/// Memory for each byte of the compiled form, which is made in both directions from a tree.
const COMPILE_FACTOR: usize = 3;

/// The regular expressions of a request are too large, too many or invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternsTooLarge {
    /// Too many for a light request: compile them where time matters less.
    #[error("the regular expressions take longer to compile")]
    Long,
    /// Too many.
    #[error(
        "ReadLimitError: the read request has more than {MAX_PATTERNS} regular expressions that are not lists of alternatives; send several requests"
    )]
    TooMany,
    /// Go rejects the pattern, or it does not fit beside the others.
    #[error(transparent)]
    Invalid(#[from] RegexError),
    /// The memory budget is used up.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
}

/// The rest of the memory and time for the patterns of one request.
#[derive(Debug)]
pub struct PatternLimits<'m> {
    reservation: &'m mut Reservation,
    is_light: bool,
    patterns: usize,
    compiled_bytes: usize,
    pattern_bytes: usize,
}

impl<'m> PatternLimits<'m> {
    /// Returns the limits of a request; their memory is reserved in `reservation`.
    pub fn new(reservation: &'m mut Reservation) -> Self {
        Self {
            reservation,
            is_light: false,
            patterns: MAX_PATTERNS,
            compiled_bytes: MAX_COMPILED_BYTES,
            pattern_bytes: usize::MAX,
        }
    }

    /// Returns limits for compiling within a few milliseconds; the error beyond them is
    /// [`PatternsTooLarge::Long`].
    pub fn light(reservation: &'m mut Reservation) -> Self {
        Self {
            is_light: true,
            patterns: LIGHT_PATTERNS,
            compiled_bytes: LIGHT_BYTES,
            pattern_bytes: LIGHT_PATTERN_BYTES,
            ..Self::new(reservation)
        }
    }

    /// Compiles `pattern`, and counts it against the limits.
    ///
    /// # Errors
    /// See [`PatternsTooLarge`].
    pub fn compile(&mut self, pattern: &str) -> Result<Pattern, PatternsTooLarge> {
        let Some(pattern_bytes) = self.pattern_bytes.checked_sub(pattern.len()) else {
            return Err(PatternsTooLarge::Long);
        };
        self.pattern_bytes = pattern_bytes;
        let transient = (pattern.len() * PARSE_FACTOR).min(MAX_PARSE_BYTES)
            + self.compiled_bytes * COMPILE_FACTOR;
        self.grow(transient)?;
        let compiled = Pattern::with_size_limit(pattern, self.compiled_bytes);
        self.reservation.shrink(transient);
        let pattern = compiled.map_err(|error| match error {
            RegexError::CompiledSize(_) if self.is_light => PatternsTooLarge::Long,
            error => error.into(),
        })?;
        match pattern.literals() {
            Some(literals) => {
                let bytes = |literal: &String| size_of::<String>() + literal.capacity();
                self.grow(literals.iter().map(bytes).sum())?;
            }
            None => {
                self.patterns = self.patterns.checked_sub(1).ok_or(match self.is_light {
                    true => PatternsTooLarge::Long,
                    false => PatternsTooLarge::TooMany,
                })?;
                let bytes = pattern.compiled_bytes();
                // The forward and the backward form are about as large.
                self.compiled_bytes = self.compiled_bytes.saturating_sub(bytes / 2);
                self.grow(COMPILE_FACTOR * bytes + 2 * CACHE_BYTES)?;
            }
        }
        Ok(pattern)
    }

    fn grow(&mut self, bytes: usize) -> Result<(), PatternsTooLarge> {
        Ok(self.reservation.grow(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prom_wire::budget::MemoryBudget;

    fn compiled(limits: &mut PatternLimits<'_>, patterns: &[&str]) -> Result<(), PatternsTooLarge> {
        patterns
            .iter()
            .try_for_each(|pattern| limits.compile(pattern).map(drop))
    }

    #[test]
    fn the_patterns_of_a_request_are_limited_together() {
        let all = |patterns: &[&str]| {
            let mut reservation = MemoryBudget::new(1 << 30).reservation();
            compiled(&mut PatternLimits::new(&mut reservation), patterns)
        };
        assert_eq!(all(&[r"\pL{100}"]), Ok(()));
        assert!(matches!(
            all(&[r"\pL{100}"; 8]),
            Err(PatternsTooLarge::Invalid(RegexError::CompiledSize(_)))
        ));
        assert_eq!(all(&["a.*b"; MAX_PATTERNS]), Ok(()));
        let one_more = ["a.*b"; MAX_PATTERNS + 1];
        assert_eq!(all(&one_more), Err(PatternsTooLarge::TooMany));
        // Lists of literals do not count.
        assert_eq!(all(&["a|b"; MAX_PATTERNS + 1]), Ok(()));
    }

    #[test]
    fn light_requests_have_lower_limits() {
        let light = |patterns: &[&str]| {
            let mut reservation = MemoryBudget::new(1 << 30).reservation();
            compiled(&mut PatternLimits::light(&mut reservation), patterns)
        };
        assert_eq!(light(&["a.*b"; LIGHT_PATTERNS]), Ok(()));
        let long: [&[&str]; 3] = [
            &["a.*b"; LIGHT_PATTERNS + 1],
            &[r"\pL{100}"],
            &[&"a|".repeat(LIGHT_PATTERN_BYTES)],
        ];
        for patterns in long {
            assert_eq!(light(patterns), Err(PatternsTooLarge::Long));
        }
        let invalid = light(&["("]);
        assert_eq!(
            invalid,
            Err(PatternsTooLarge::Invalid(RegexError::UnclosedGroup))
        );
    }

    #[test]
    fn memory_is_reserved_while_and_after_they_are_compiled() {
        let budget = MemoryBudget::new(200 << 20);
        let mut reservation = budget.reservation();
        PatternLimits::new(&mut reservation)
            .compile("a.*b")
            .unwrap();
        let reserved = reservation.bytes();
        assert!(
            reserved > 2 * CACHE_BYTES && reserved < 1 << 20,
            "{reserved}"
        );
        let small = MemoryBudget::new(8 << 20);
        let exceeded = PatternLimits::new(&mut small.reservation()).compile("a.*b");
        assert!(matches!(exceeded, Err(PatternsTooLarge::Memory(_))));
        let light = PatternLimits::light(&mut small.reservation()).compile("a.*b");
        assert!(light.is_ok());
    }
}
