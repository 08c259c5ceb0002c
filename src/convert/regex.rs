//! The regular expressions of label matchers: what they match, and which of them Timestream can
//! be asked to match.
//!
//! Prometheus compiles a pattern as `^(?s:R)$`, so it is anchored and a dot matches a newline.
//! Timestream's `regexp_like` takes Java's syntax. Patterns are never handed on as text: a form
//! that means the same in both is written anew from its syntax tree, everything else stays with
//! the check in Rust.

use std::convert::Infallible;

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem, GroupKind, Literal,
    RepetitionKind, RepetitionRange, Span, Visitor,
};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    ast: Ast,
    compiled: regex::Regex,
}

impl Pattern {
    /// Compiles `pattern` as Prometheus does.
    ///
    /// # Errors
    /// The pattern is not valid; the text says why and where.
    pub fn new(pattern: &str) -> Result<Self, String> {
        // Parsed alone first: `a)|(b` is valid only inside the anchors.
        let parse = |text: &str| {
            Parser::new()
                .parse(text)
                .map_err(|error| error.kind().to_string())
        };
        let plain = parse(pattern)?;
        ast::visit(&plain, RepeatCounts)?;
        let pattern = with_ascii_classes(pattern, &plain);
        let ast = parse(&pattern)?;
        let compiled =
            regex::Regex::new(&format!(r"\A(?s:{pattern})\z")).map_err(|error| match error {
                regex::Error::CompiledTooBig(limit) => {
                    format!("its compiled form exceeds {limit} bytes")
                }
                other => other.to_string(),
            })?;
        Ok(Self { ast, compiled })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// The texts that the pattern matches, if it is nothing but literals and alternatives.
    pub fn literals(&self) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        collect_literals(&self.ast, &mut texts)?;
        texts.sort_unstable();
        texts.dedup();
        Some(texts)
    }

    /// The pattern for `regexp_like`, if it means the same to Java; anchored.
    pub fn to_java(&self) -> Option<String> {
        self.to_java_after("")
    }

    /// As [`Self::to_java`], for texts that start with `prefix`, which is of letters, digits and
    /// underscores.
    pub fn to_java_after(&self, prefix: &str) -> Option<String> {
        // Java's `$` also matches before a final newline, `\z` does not.
        let mut java = format!(r"(?s)\A{prefix}(?:");
        write_java(&self.ast, &mut java)?;
        java.push_str(r")\z");
        Some(java)
    }
}

/// The largest count of a repeat that Go takes; what Java takes is not known to be more.
const MAX_REPEATS: u32 = 1_000;

/// Refuses the counts that Go refuses.
struct RepeatCounts;

impl Visitor for RepeatCounts {
    type Output = ();
    type Err = String;

    fn finish(self) -> Result<(), String> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), String> {
        let Ast::Repetition(repetition) = ast else {
            return Ok(());
        };
        let RepetitionKind::Range(range) = &repetition.op.kind else {
            return Ok(());
        };
        let most = match *range {
            RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n) => n,
            RepetitionRange::Bounded(_, m) => m,
        };
        if most > MAX_REPEATS {
            return Err(format!("a repeat count of {most}, more than {MAX_REPEATS}"));
        }
        Ok(())
    }
}

/// `pattern` with `\d`, `\s`, `\w`, `\b` and their negations as Go reads them: over ASCII.
fn with_ascii_classes(pattern: &str, ast: &Ast) -> String {
    let Ok(classes) = ast::visit(ast, PerlClasses::default());
    let mut text = String::with_capacity(pattern.len());
    let mut end = 0;
    for (span, ascii) in classes {
        text.push_str(&pattern[end..span.start.offset]);
        text.push_str(ascii);
        end = span.end.offset;
    }
    text.push_str(&pattern[end..]);
    text
}

/// Gathers Perl's classes in the order in which they stand, with their ASCII forms.
#[derive(Default)]
struct PerlClasses(Vec<(Span, &'static str)>);

impl PerlClasses {
    fn add(&mut self, class: &ClassPerl) {
        let ascii = match (&class.kind, class.negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
            // No vertical tab, in contrast to Perl's.
            (ClassPerlKind::Space, false) => r"[\t\n\f\r ]",
            (ClassPerlKind::Space, true) => r"[^\t\n\f\r ]",
        };
        self.0.push((class.span, ascii));
    }
}

impl Visitor for PerlClasses {
    type Output = Vec<(Span, &'static str)>;
    type Err = Infallible;

    fn finish(self) -> Result<Self::Output, Infallible> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        match ast {
            Ast::ClassPerl(class) => self.add(class),
            Ast::Assertion(assertion) if assertion.kind == AssertionKind::WordBoundary => {
                self.0.push((assertion.span, r"(?-u:\b)"));
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        if let ClassSetItem::Perl(class) = item {
            self.add(class);
        }
        Ok(())
    }
}

fn collect_literals(ast: &Ast, texts: &mut Vec<String>) -> Option<()> {
    match ast {
        Ast::Alternation(alternation) => alternation
            .asts
            .iter()
            .try_for_each(|ast| collect_literals(ast, texts)),
        Ast::Group(group) if is_plain_group(&group.kind) => collect_literals(&group.ast, texts),
        Ast::Concat(concat) => {
            let literal = |ast: &Ast| match ast {
                Ast::Literal(literal) => Some(literal.c),
                _ => None,
            };
            texts.push(concat.asts.iter().map(literal).collect::<Option<_>>()?);
            Some(())
        }
        Ast::Literal(literal) => {
            texts.push(literal.c.to_string());
            Some(())
        }
        Ast::Empty(_) => {
            texts.push(String::new());
            Some(())
        }
        _ => None,
    }
}

/// A group that sets no flags; named and numbered groups match like any other.
fn is_plain_group(kind: &GroupKind) -> bool {
    match kind {
        GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => true,
        GroupKind::NonCapturing(flags) => flags.items.is_empty(),
    }
}

fn write_java(ast: &Ast, java: &mut String) -> Option<()> {
    match ast {
        Ast::Empty(_) => Some(()),
        Ast::Literal(literal) => {
            push_escaped(literal.c, r"\.+*?()|[]{}^$", java);
            Some(())
        }
        Ast::Dot(_) => {
            java.push('.');
            Some(())
        }
        Ast::ClassBracketed(class) => {
            java.push_str(if class.negated { "[^" } else { "[" });
            match &class.kind {
                ClassSet::Item(item) => write_java_class(item, java)?,
                ClassSet::BinaryOp(_) => return None,
            }
            java.push(']');
            Some(())
        }
        Ast::Repetition(repetition) => {
            java.push_str("(?:");
            write_java(&repetition.ast, java)?;
            java.push(')');
            // Greed changes what a group captures, never whether the whole matches.
            match &repetition.op.kind {
                RepetitionKind::ZeroOrOne => java.push('?'),
                RepetitionKind::ZeroOrMore => java.push('*'),
                RepetitionKind::OneOrMore => java.push('+'),
                RepetitionKind::Range(RepetitionRange::Exactly(n)) => {
                    java.push_str(&format!("{{{n}}}"))
                }
                RepetitionKind::Range(RepetitionRange::AtLeast(n)) => {
                    java.push_str(&format!("{{{n},}}"))
                }
                RepetitionKind::Range(RepetitionRange::Bounded(n, m)) => {
                    java.push_str(&format!("{{{n},{m}}}"));
                }
            }
            Some(())
        }
        Ast::Group(group) if is_plain_group(&group.kind) => {
            java.push_str("(?:");
            write_java(&group.ast, java)?;
            java.push(')');
            Some(())
        }
        Ast::Alternation(alternation) => {
            for (index, ast) in alternation.asts.iter().enumerate() {
                if index > 0 {
                    java.push('|');
                }
                write_java(ast, java)?;
            }
            Some(())
        }
        Ast::Concat(concat) => concat.asts.iter().try_for_each(|ast| write_java(ast, java)),
        // Assertions, flags, and classes whose members differ between the engines.
        Ast::Flags(_)
        | Ast::Assertion(_)
        | Ast::ClassUnicode(_)
        | Ast::ClassPerl(_)
        | Ast::Group(_) => None,
    }
}

fn write_java_class(item: &ClassSetItem, java: &mut String) -> Option<()> {
    let mut push = |literal: &Literal| {
        literal
            .c
            .is_ascii()
            .then(|| push_escaped(literal.c, r"\[]^-&", java))
    };
    match item {
        ClassSetItem::Literal(literal) => push(literal),
        ClassSetItem::Range(range) => {
            push(&range.start)?;
            java.push('-');
            let mut push = |literal: &Literal| {
                literal
                    .c
                    .is_ascii()
                    .then(|| push_escaped(literal.c, r"\[]^-&", java))
            };
            push(&range.end)
        }
        ClassSetItem::Union(union) => union
            .items
            .iter()
            .try_for_each(|item| write_java_class(item, java)),
        ClassSetItem::Empty(_)
        | ClassSetItem::Ascii(_)
        | ClassSetItem::Unicode(_)
        | ClassSetItem::Perl(_)
        | ClassSetItem::Bracketed(_) => None,
    }
}

fn push_escaped(character: char, special: &str, java: &mut String) {
    if special.contains(character) {
        java.push('\\');
    }
    java.push(character);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_whole_text_has_to_match() {
        let cases = [
            ("a", "a", true),
            ("a", "ab", false),
            ("a|bc", "bc", true),
            ("a|bc", "abc", false),
            (".*", "a\nb", true),
            ("a", "a\n", false),
            ("(?P<n>a)b", "ab", true),
            ("(?i)up", "UP", true),
            ("", "", true),
            // Go's classes are ASCII.
            (r"\d+", "123", true),
            (r"\d+", "\u{0661}\u{0662}", false),
            (r"[\d.-]+", "1.2-3", true),
            (r"[^\d]+", "\u{0661}", true),
            (r"\D", "\u{0661}", true),
            (r"\w+", "aZ_9", true),
            (r"\w", "ü", false),
            (r"[\W]", "ü", true),
            (r"a\sb", "a\nb", true),
            (r"a\sb", "a\u{b}b", false),
            (r"a\sb", "a\u{a0}b", false),
            (r".*\bup\b.*", "is up.", true),
            (r"ü\bup", "üup", true),
            (r"\\d", r"\d", true),
        ];
        for (regex, text, expected) in cases {
            assert_eq!(
                pattern(regex).matches(text),
                expected,
                "{regex:?} on {text:?}"
            );
        }
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for text in ["a(", "*", "a)|(b", "[z-a]", r"\"] {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
        for text in ["a{1001}", "a{2,1001}", "(b|a{1001,})"] {
            let error = Pattern::new(text).unwrap_err();
            assert_eq!(error, "a repeat count of 1001, more than 1000", "{text}");
        }
        assert!(pattern("a{1000}").to_java().is_some());
    }

    #[test]
    fn literals_of_plain_alternations() {
        let cases: [(&str, Option<&[&str]>); 8] = [
            ("a", Some(&["a"])),
            ("b|a|b", Some(&["a", "b"])),
            ("(?:a|b)", Some(&["a", "b"])),
            (r"a\.b|", Some(&["", "a.b"])),
            ("", Some(&[""])),
            ("a.b", None),
            ("a+", None),
            ("(?i)a", None),
        ];
        for (regex, expected) in cases {
            let expected = expected.map(|texts| texts.iter().map(|&t| t.to_owned()).collect());
            assert_eq!(pattern(regex).literals(), expected, "{regex}");
        }
    }

    #[test]
    fn forms_that_java_reads_alike_are_written_anew() {
        let cases = [
            ("a.b", Some(r"(?s)\A(?:a.b)\z")),
            (r"/api/.*\.html", Some(r"(?s)\A(?:/api/(?:.)*\.html)\z")),
            ("(?P<name>a|b)+?", Some(r"(?s)\A(?:(?:(?:a|b))+)\z")),
            ("[a-z0-9_-]{2,}", Some(r"(?s)\A(?:(?:[a-z0-9_\-]){2,})\z")),
            (r"[^/\]]", Some(r"(?s)\A(?:[^/\]])\z")),
            ("ü.", Some(r"(?s)\A(?:ü.)\z")),
            ("[ü]", None),
            (r"\d+", Some(r"(?s)\A(?:(?:[0-9])+)\z")),
            (r"[\w.]", None),
            (r"\bup", None),
            ("^a", None),
            ("a$", None),
            ("(?i)a", None),
            ("(?i:a)", None),
            ("[a&&b]", None),
            ("[[:alpha:]]", None),
            (r"\pL", None),
        ];
        for (regex, expected) in cases {
            assert_eq!(pattern(regex).to_java().as_deref(), expected, "{regex}");
        }
    }
}
