//! Regular expressions mean what Go says, and what Timestream is given means the same to Java.
//!
//! What Go and a JDK say is kept in `crates/go-regex/tests/golden`, beside the programs that ask them.

use std::collections::BTreeSet;

use go_regex::Pattern;
use timestream_emulator::inspect::regexp_like;

const GO: &str = include_str!("../../../crates/go-regex/tests/golden/go.tsv");
const JAVA: &str = include_str!("../../../crates/go-regex/tests/golden/java.tsv");
const STEPS: &str = include_str!("../../../crates/go-regex/tests/golden/steps.tsv");

/// The steps that a form may take a JDK, for texts of 256 characters.
const MAX_STEPS: u64 = 4 * 256 * 256;

/// The rows of a table, with their comments left out.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [String; N]> {
    let rows = table.lines().filter(|line| !line.starts_with("# "));
    rows.map(|line| {
        let fields: Vec<_> = line.split('\t').map(plain).collect();
        fields.try_into().unwrap_or_else(|_| panic!("{line}"))
    })
}

/// A field without its escapes: `%0A` is a newline.
fn plain(field: &str) -> String {
    let mut parts = field.split('%');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        text.push(u8::from_str_radix(code, 16).unwrap().into());
        text.push_str(rest);
    }
    text
}

#[test]
fn patterns_mean_what_go_says() {
    let mut wrong = Vec::new();
    let (mut patterns, mut refused) = (BTreeSet::new(), 0);
    for [pattern, answer, text] in rows(GO) {
        let compiled = Pattern::new(&pattern);
        let given = match &compiled {
            Ok(compiled) if compiled.matches(&text) => "yes",
            Ok(_) => "no",
            // For the reason that Go gives.
            Err(error) if error.to_string().starts_with(&text) => "refused",
            Err(error) => &error.to_string(),
        };
        if given != answer {
            wrong.push(format!("{pattern} on {text:?}: {given}, Go says {answer}"));
        }
        refused += usize::from(answer == "refused");
        patterns.insert(pattern);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        patterns.len() - refused > 300 && refused > 150,
        "{refused} of {}",
        patterns.len()
    );
}

#[test]
fn forms_for_java_mean_the_same_to_java() {
    let (mut forms, mut answers) = (BTreeSet::new(), BTreeSet::new());
    let mut without = 0;
    for [pattern, expected, answer, text] in rows(JAVA) {
        let compiled = Pattern::new(&pattern).unwrap();
        let form = compiled.to_java();
        if answer == "none" {
            assert_eq!(form, None, "{pattern}");
            without += 1;
            continue;
        }
        assert_eq!(form.as_ref(), Some(&expected), "{pattern}");
        let of_java = answer == "yes";
        assert_eq!(compiled.matches(&text), of_java, "{pattern} on {text:?}");
        let of_emulator = regexp_like(&expected).unwrap()(&text);
        assert_eq!(of_emulator, of_java, "{expected} on {text:?}");
        forms.insert(expected);
        answers.insert(answer);
    }
    assert!(forms.len() > 200 && without > 50 && answers.len() == 2);
}

#[test]
fn forms_for_java_take_it_few_steps() {
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
    // Those that a JDK takes long for are among the patterns that are matched here.
    for repeats in 3..=9 {
        assert!(costly.contains(&format!("{}.*b", ".*a".repeat(repeats))));
    }
    assert!(forms > 80 && without > 50 && costly.len() > 30);
}
