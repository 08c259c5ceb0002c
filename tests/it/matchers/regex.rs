//! The emulator's `regexp_like` matches as Java does.
//!
//! The results of a JDK are in `crates/go-regex/tests/golden`; the tests there compare the connector's own
//! matching with them.

#[path = "../../../crates/go-regex/tests/golden/field.rs"]
mod field;

use std::collections::BTreeSet;

use field::unescaped;
use timestream_emulator::inspect::regexp_like;

const JAVA: &str = include_str!("../../../crates/go-regex/tests/golden/java.tsv");

#[test]
fn forms_for_java_mean_the_same_to_the_emulator() {
    let (mut forms, mut results) = (BTreeSet::new(), BTreeSet::new());
    for row in JAVA.lines().filter(|line| !line.starts_with("# ")) {
        let fields: Vec<_> = row.split('\t').map(unescaped).collect();
        let [_, form, result, string] = &fields[..] else {
            panic!("{row}")
        };
        if result == "none" {
            continue;
        }
        let by_emulator = regexp_like(form).unwrap()(string);
        assert_eq!(by_emulator, result == "yes", "{form} on {string:?}");
        forms.insert(form.clone());
        results.insert(result.clone());
    }
    assert!(forms.len() > 200 && results.len() == 2);
}
