//! Matchers and their regular expressions: the connector's own matching, its lists of alternatives
//! and its forms in Java's syntax agree on every text.

use prom_model::MatchOp;
use timestream_emulator::inspect::regexp_like;
use timestream_prometheus_connector::storage::read::selection::{Condition, Matcher};

/// Reads `input` as a pattern and texts to match, separated by bytes that UTF-8 does not have.
pub(crate) fn check(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0xff).map(std::str::from_utf8);
    let Some(Ok(pattern)) = parts.next() else {
        return;
    };
    let mut texts = vec!["", "\n", pattern];
    texts.extend(parts.filter_map(Result::ok));
    let matcher = |op| Matcher::new(op, "l", pattern);
    let equal = matcher(MatchOp::Equal).expect("any text can be equal");
    let not_equal = matcher(MatchOp::NotEqual).expect("any text can be unequal");
    for text in &texts {
        assert_eq!(equal.matches(text), *text == pattern);
        assert_eq!(not_equal.matches(text), *text != pattern);
    }
    let (regex, not_regex) = (matcher(MatchOp::Regex), matcher(MatchOp::NotRegex));
    assert_eq!(regex.is_err(), not_regex.is_err());
    let (Ok(regex), Ok(not_regex)) = (regex, not_regex) else {
        return;
    };
    let Condition::Regex(compiled) = &regex.condition else {
        panic!("=~ makes a regular expression");
    };
    let literals = compiled.literals();
    let java = compiled
        .to_java()
        .and_then(|java| match regexp_like(&java) {
            Ok(by_java) => Some((java, by_java)),
            // The emulator's own limits.
            Err(reason) => {
                let limits = ["the pattern is too large", "groups are nested too deeply"];
                assert!(limits.contains(&reason.as_str()), "{reason}: {java}");
                None
            }
        });
    for literal in literals.into_iter().flatten() {
        assert!(regex.matches(literal), "{literal:?} is an alternative");
    }
    for text in texts {
        let matches = regex.matches(text);
        assert_eq!(not_regex.matches(text), !matches);
        if let Some(literals) = &literals {
            let is_listed = literals.iter().any(|literal| literal == text);
            assert_eq!(is_listed, matches, "{text:?} against {literals:?}");
        }
        if let Some((java, by_java)) = &java {
            assert_eq!(by_java(text), matches, "{text:?} against {java}");
        }
    }
}
