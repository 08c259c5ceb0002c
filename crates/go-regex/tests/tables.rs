//! Patterns mean the same as in Go, and their forms for Java mean the same to Java.
//!
//! The tables in `tests/golden` contain the results of Go and of a JDK, and the programs that write them.

#[path = "golden/field.rs"]
mod field;

use std::collections::BTreeSet;

use field::unescaped;
use go_regex::{Pattern, Regexp};

const GO: &str = include_str!("golden/go.tsv");
const GROUPS: &str = include_str!("golden/groups.tsv");
const JAVA: &str = include_str!("golden/java.tsv");
const STEPS: &str = include_str!("golden/steps.tsv");

/// The steps that a JDK may need for a form, for strings of 256 characters.
const MAX_STEPS: u64 = 4 * 256 * 256;

/// Returns the rows of a table without its comments.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [String; N]> {
    let rows = table.lines().filter(|line| !line.starts_with("# "));
    rows.map(|line| {
        let fields: Vec<_> = line.split('\t').map(unescaped).collect();
        fields.try_into().unwrap_or_else(|_| panic!("{line}"))
    })
}

#[test]
fn patterns_mean_the_same_as_in_go() {
    let mut wrong = Vec::new();
    let (mut patterns, mut rejected) = (BTreeSet::new(), 0);
    for [pattern, expected, string] in rows(GO) {
        let compiled = Pattern::new(&pattern);
        let result = match &compiled {
            Ok(compiled) if compiled.matches(&string) => "yes",
            Ok(_) => "no",
            // For the reason that Go gives.
            Err(error) if error.to_string().starts_with(&string) => "refused",
            Err(error) => &error.to_string(),
        };
        if result != expected {
            wrong.push(format!(
                "{pattern} on {string:?}: {result}, in Go {expected}"
            ));
        }
        rejected += usize::from(expected == "refused");
        patterns.insert(pattern);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        patterns.len() - rejected > 300 && rejected > 150,
        "{rejected} of {}",
        patterns.len()
    );
}

#[test]
fn groups_are_those_of_go() {
    let mut wrong = Vec::new();
    let (mut found, mut rejected) = (0, 0);
    for [pattern, string, template, expected, expanded] in rows(GROUPS) {
        let (groups, result) = match Regexp::new(&pattern) {
            // For the reason that Go gives.
            Err(error) if error.to_string().starts_with(&expanded) => {
                ("refused".to_owned(), expanded.clone())
            }
            Err(error) => ("refused".to_owned(), error.to_string()),
            Ok(regexp) => match regexp.groups(&string) {
                None => ("no".to_owned(), String::new()),
                Some(groups) => {
                    let group = |group: Option<std::ops::Range<usize>>| {
                        group.map_or("-".to_owned(), |it| format!("{}-{}", it.start, it.end))
                    };
                    let groups: Vec<_> = groups.into_iter().map(group).collect();
                    let result = regexp.expand(&string, template.as_bytes()).unwrap();
                    (groups.join(" "), String::from_utf8(result).unwrap())
                }
            },
        };
        if (&groups, &result) != (&expected, &expanded) {
            wrong.push(format!(
                "{pattern} on {string:?} with {template:?}: {groups} {result:?}, in Go {expected} {expanded:?}"
            ));
        }
        match expected.as_str() {
            "refused" => rejected += 1,
            "no" => {}
            _ => found += 1,
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        found > 150 && rejected > 8,
        "{found} found, {rejected} rejected"
    );
}

#[test]
fn forms_for_java_mean_the_same_to_java() {
    let (mut forms, mut results) = (BTreeSet::new(), BTreeSet::new());
    let mut without = 0;
    for [pattern, expected, result, string] in rows(JAVA) {
        let compiled = Pattern::new(&pattern).unwrap();
        let form = compiled.to_java();
        if result == "none" {
            assert_eq!(form, None, "{pattern}");
            without += 1;
            continue;
        }
        assert_eq!(form.as_ref(), Some(&expected), "{pattern}");
        let by_java = result == "yes";
        assert_eq!(
            compiled.matches(&string),
            by_java,
            "{pattern} on {string:?}"
        );
        forms.insert(expected);
        results.insert(result);
    }
    assert!(forms.len() > 200 && without > 50 && results.len() == 2);
}

#[test]
fn forms_for_java_need_few_steps() {
    let (mut forms, mut without, mut costly) = (0, 0, BTreeSet::new());
    for [pattern, expected, steps] in rows(STEPS) {
        let steps: u64 = steps.parse().unwrap();
        let form = Pattern::new(&pattern).unwrap().to_java();
        assert_eq!(form.as_deref().unwrap_or("none"), expected, "{pattern}");
        if form.is_some() {
            assert!(steps <= MAX_STEPS, "{pattern}: {steps}");
            forms += 1;
            continue;
        }
        without += 1;
        if steps > MAX_STEPS {
            costly.insert(pattern);
        }
    }
    // Patterns that are costly for a JDK have no form.
    for repeats in 3..=9 {
        assert!(costly.contains(&format!("{}.*b", ".*a".repeat(repeats))));
    }
    assert!(forms > 80 && without > 50 && costly.len() > 30);
}
