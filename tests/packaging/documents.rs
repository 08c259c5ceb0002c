//! The documents and the Makefile agree with the repository.

use std::collections::BTreeSet;

use crate::support::{output_of, program, text};

/// Returns the words of a text that start with `prefix`, without what follows a name.
fn words<'t>(text: &'t str, prefix: &str) -> BTreeSet<&'t str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':')
        .filter(|word| word.len() > prefix.len() && word.starts_with(prefix))
        .collect()
}

#[test]
fn by_hand_allows_what_the_template_allows() {
    let (template, by_hand) = (text("template.yaml"), text("docs/lambda-by-hand.md"));
    for prefix in ["timestream:", "sts:"] {
        assert_eq!(words(&by_hand, prefix), words(&template, prefix));
    }
    for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
        assert!(
            by_hand.contains(action) && template.contains(action),
            "{action}"
        );
    }
    for parameter in [
        "provided.al2023",
        "--timeout 30",
        "POST /$path",
        "iam:PassRole",
    ] {
        assert!(by_hand.contains(parameter), "{parameter}");
    }
}

#[test]
fn help_lists_every_target() {
    let makefile = text("Makefile").replace("\\\n", " ");
    let phony = makefile
        .lines()
        .find_map(|line| line.strip_prefix(".PHONY:"));
    let phony: BTreeSet<&str> = phony.expect("a list").split_whitespace().collect();
    // The tests themselves may run under make, which then speaks of folders.
    let help = output_of(program("make").args(["--no-print-directory", "help"]));
    let listed = help
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    assert_eq!(listed.collect::<BTreeSet<_>>(), phony);
}
