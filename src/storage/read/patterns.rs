//! The memory and the time that the patterns of one request may take.
//!
//! Compiling takes time and memory by the size of the compiled form, which is up to a million times
//! as large as the pattern (`\\pL{1000}`), so the compiled forms of a request are limited together.

use go_regex::{CACHE_BYTES, MAX_COMPILED_BYTES, MAX_JAVA_TEXT_CHARS, Pattern, RegexError};

use crate::budget::{BudgetExceeded, Reservation};
use crate::storage::limits::MAX_RECORD_BYTES;

// What Timestream matches by a form for Java is never longer.
const _: () = assert!(MAX_RECORD_BYTES <= MAX_JAVA_TEXT_CHARS);

/// Patterns of a request that are no lists of texts. Each needs a cache to match with.
const MAX_PATTERNS: usize = 200;

/// As far as this, the patterns of a request are compiled, and a text is matched, within a few
/// milliseconds.
pub(super) const LIGHT_BYTES: usize = 256 << 10;
const LIGHT_PATTERNS: usize = 20;
const LIGHT_TEXT_BYTES: usize = 16 << 10;

/// Memory for each byte of a pattern while it is read, up to what the limit on its parts allows, and
/// for each byte of the compiled form: it is made in both directions from a tree.
const READ_FACTOR: usize = 96;
const MAX_READ_BYTES: usize = 48 << 20;
const COMPILE_FACTOR: usize = 3;

/// The patterns of a request are too large, or too many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternsTooLarge {
    /// More than a small request has: to be compiled where time matters less.
    #[error("the regular expressions take longer to compile")]
    Long,
    /// There are too many.
    #[error(
        "ReadLimitError: the read request has more than {MAX_PATTERNS} regular expressions that are no lists of texts; send several requests"
    )]
    TooMany,
    /// Go refuses the pattern, or it does not fit beside the others.
    #[error(transparent)]
    Invalid(#[from] RegexError),
    /// There is no memory for them.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
}

/// The memory and the time that the patterns of one request may still take.
#[derive(Debug)]
pub struct PatternLimits<'m> {
    reservation: &'m mut Reservation,
    is_light: bool,
    patterns: usize,
    compiled_bytes: usize,
    text_bytes: usize,
}

impl<'m> PatternLimits<'m> {
    /// Returns the limits of a request; memory is taken from `reservation`.
    pub fn new(reservation: &'m mut Reservation) -> Self {
        Self {
            reservation,
            is_light: false,
            patterns: MAX_PATTERNS,
            compiled_bytes: MAX_COMPILED_BYTES,
            text_bytes: usize::MAX,
        }
    }

    /// Returns limits within which compiling takes a few milliseconds; beyond them the error is
    /// [`PatternsTooLarge::Long`].
    pub fn light(reservation: &'m mut Reservation) -> Self {
        Self {
            is_light: true,
            patterns: LIGHT_PATTERNS,
            compiled_bytes: LIGHT_BYTES,
            text_bytes: LIGHT_TEXT_BYTES,
            ..Self::new(reservation)
        }
    }

    /// Compiles `pattern`.
    ///
    /// # Errors
    /// See [`PatternsTooLarge`].
    pub fn compile(&mut self, pattern: &str) -> Result<Pattern, PatternsTooLarge> {
        let Some(text_bytes) = self.text_bytes.checked_sub(pattern.len()) else {
            return Err(PatternsTooLarge::Long);
        };
        self.text_bytes = text_bytes;
        let transient = (pattern.len() * READ_FACTOR).min(MAX_READ_BYTES)
            + self.compiled_bytes * COMPILE_FACTOR;
        self.grow(transient)?;
        let compiled = Pattern::with_size_limit(pattern, self.compiled_bytes);
        self.reservation.shrink(transient);
        let pattern = compiled.map_err(|error| match error {
            RegexError::CompiledSize(_) if self.is_light => PatternsTooLarge::Long,
            error => error.into(),
        })?;
        match pattern.literals() {
            Some(texts) => {
                let bytes = |text: &String| size_of::<String>() + text.capacity();
                self.grow(texts.iter().map(bytes).sum())?;
            }
            None => {
                self.patterns = self.patterns.checked_sub(1).ok_or(match self.is_light {
                    true => PatternsTooLarge::Long,
                    false => PatternsTooLarge::TooMany,
                })?;
                let bytes = pattern.compiled_bytes();
                // Forwards and backwards it is about as large.
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
    use crate::budget::MemoryBudget;

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
        // Texts alone are none.
        assert_eq!(all(&["a|b"; MAX_PATTERNS + 1]), Ok(()));
    }

    #[test]
    fn small_requests_are_told_from_others() {
        let light = |patterns: &[&str]| {
            let mut reservation = MemoryBudget::new(1 << 30).reservation();
            compiled(&mut PatternLimits::light(&mut reservation), patterns)
        };
        assert_eq!(light(&["a.*b"; LIGHT_PATTERNS]), Ok(()));
        let long: [&[&str]; 3] = [
            &["a.*b"; LIGHT_PATTERNS + 1],
            &[r"\pL{100}"],
            &[&"a|".repeat(LIGHT_TEXT_BYTES)],
        ];
        for patterns in long {
            assert_eq!(light(patterns), Err(PatternsTooLarge::Long));
        }
        let refused = light(&["("]);
        assert_eq!(
            refused,
            Err(PatternsTooLarge::Invalid(RegexError::OpenGroup))
        );
    }

    #[test]
    fn memory_is_reserved_while_and_after_they_are_compiled() {
        let budget = MemoryBudget::new(200 << 20);
        let mut reservation = budget.reservation();
        PatternLimits::new(&mut reservation)
            .compile("a.*b")
            .unwrap();
        let kept = reservation.bytes();
        assert!(kept > 2 * CACHE_BYTES && kept < 1 << 20, "{kept}");
        let small = MemoryBudget::new(8 << 20);
        let exceeded = PatternLimits::new(&mut small.reservation()).compile("a.*b");
        assert!(matches!(exceeded, Err(PatternsTooLarge::Memory(_))));
        let light = PatternLimits::light(&mut small.reservation()).compile("a.*b");
        assert!(light.is_ok());
    }
}
