//! Regular expressions: literals, matching and the form for Java agree with one another, and with the `regex` crate
//! where its syntax is the same.

use go_regex::Pattern;
use regex::RegexBuilder;

/// Longer patterns find nothing that shorter ones do not.
const MAX_PATTERN_BYTES: usize = 600;

/// Maximum size of a compiled form; larger ones only cost time.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Checks `input`, a pattern and strings to match, separated by bytes that UTF-8 does not have.
pub(crate) fn check(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0xff).map(std::str::from_utf8);
    let Some(Ok(pattern)) = parts.next() else {
        return;
    };
    if pattern.len() > MAX_PATTERN_BYTES {
        return;
    }
    let mut strings = vec!["", "\n", "a", "\u{212a}", pattern];
    strings.extend(parts.filter_map(Result::ok));

    let escaped = compile(&go_regex::escape(pattern)).expect("an escaped string is a pattern");
    assert_eq!(escaped.literals(), Some(&[pattern.to_owned()][..]));

    let Some(compiled) = compile(pattern) else {
        return;
    };
    if let Some(literals) = compiled.literals() {
        assert!(literals.is_sorted_by(|left, right| left < right));
        strings.extend(literals.iter().take(50).map(String::as_str));
        for literal in literals {
            assert!(compiled.matches(literal), "{literal:?} is a literal");
        }
    }
    if is_simple(pattern) {
        assert_same(&compiled, pattern, &strings);
    }
    let java = compiled.to_java();
    if let Some(java) = &java {
        // Go and the `regex` crate have all that is in a form for Java, with the same meaning.
        assert_same(&compiled, java, &strings);
        let again = compile(java).expect("a form for Java is a pattern");
        assert_eq!(again.to_java(), Some(java.clone()));
        assert_eq!(again.literals(), compiled.literals());
    }
    let after = compiled.to_java_after("a_1");
    assert_eq!(after.is_some(), java.is_some());
    let after = after.map(|after| compile(&after).expect("so is one with a prefix"));
    for string in strings {
        let matches = compiled.matches(string);
        if let Some(literals) = compiled.literals() {
            let is_listed = literals.iter().any(|literal| literal == string);
            assert_eq!(is_listed, matches, "{string:?} among {literals:?}");
        }
        if let Some(after) = &after {
            assert_eq!(
                after.matches(&format!("a_1{string}")),
                matches,
                "{string:?}"
            );
        }
    }
}

fn compile(pattern: &str) -> Option<Pattern> {
    Pattern::with_size_limit(pattern, MAX_COMPILED_BYTES).ok()
}

/// Returns true if `pattern` means the same to the `regex` crate, if that accepts it.
fn is_simple(pattern: &str) -> bool {
    let is_simple = |c: char| c.is_ascii_alphanumeric() || "_-/:.|()*+?^$".contains(c);
    pattern.chars().all(is_simple) && !pattern.contains("(?")
}

/// Checks that the `regex` crate matches the same of `strings`.
fn assert_same(compiled: &Pattern, pattern: &str, strings: &[&str]) {
    let regex = RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .dot_matches_new_line(true)
        .build();
    // It has limits of its own.
    let Ok(regex) = regex else {
        return;
    };
    for string in strings {
        let matches = compiled.matches(string);
        assert_eq!(regex.is_match(string), matches, "{string:?} by {pattern}");
    }
}
