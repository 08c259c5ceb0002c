//! Each block has a mark, and each mark says something.

use std::collections::BTreeMap;

use crate::blocks::{self, Block, Mark, all};
use crate::tools::root;

/// Kinds of each language; those with true need a note.
const SHELL: &[(&str, bool)] = &[
    ("run", false),
    ("parse", true),
    ("elsewhere", true),
    ("not run", true),
];
const YAML: &[(&str, bool)] = &[
    ("prometheus", false),
    ("rules", false),
    ("alertmanager", false),
    ("web config", false),
    ("elsewhere", true),
    ("yaml", true),
];
const JSON: &[(&str, bool)] = &[
    ("definition", false),
    ("source", false),
    ("policy", false),
    ("json", false),
    ("elsewhere", true),
];

/// Returns the error of a block's mark.
fn error(block: &Block) -> Option<String> {
    let kinds = match &*block.language {
        "yaml" => YAML,
        "json" => JSON,
        _ => SHELL,
    };
    let expected = || {
        let names: Vec<_> = kinds.iter().map(|(kind, _)| *kind).collect();
        format!("expected <!-- check: KIND --> before it, with one of {names:?}")
    };
    let Some(mark) = &block.mark else {
        return Some(format!("has no mark; {}", expected()));
    };
    let Some((_, needs_note)) = kinds.iter().find(|(kind, _)| *kind == mark.kind) else {
        return Some(format!(
            "has the unknown kind '{}'; {}",
            mark.kind,
            expected()
        ));
    };
    let note = mark.note.as_deref().unwrap_or_default();
    if *needs_note == note.is_empty() {
        return Some(match needs_note {
            true => format!(
                "has no reason; expected <!-- check: {}: REASON -->",
                mark.kind
            ),
            false => format!("has a note, which '{}' does not need: {note}", mark.kind),
        });
    }
    if mark.kind == "elsewhere" {
        return elsewhere(note);
    }
    None
}

/// Checks that a note names a file and tests in it.
fn elsewhere(note: &str) -> Option<String> {
    let (file, tests) = note.split_once(' ').unwrap_or((note, ""));
    let Ok(text) = std::fs::read_to_string(root().join(file)) else {
        return Some(format!("names no file: {file}"));
    };
    if tests.is_empty() {
        return Some(format!("names no test in {file}"));
    }
    let mut tests = tests.split(", ");
    let missing = tests.find(|test| !text.contains(&format!("fn {test}(")))?;
    Some(format!("names the test {missing}, which is not in {file}"))
}

#[test]
fn every_block_says_how_it_is_checked() {
    let blocks: Vec<Block> = all().into_iter().filter(Block::needs_mark).collect();
    let errors = blocks.iter().filter_map(|block| {
        let error = error(block)?;
        Some(format!("{}: the block {error}", block.place()))
    });
    let errors: Vec<String> = errors.collect();
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for block in &blocks {
        let kind = block.mark.as_ref().map(|mark| &*mark.kind);
        *counts.entry(kind.unwrap_or_default()).or_default() += 1;
    }
    println!("{counts:?}");
    // A reader of marks that finds none must not count as one that finds no error.
    assert!(counts["run"] > 20, "{counts:?}");
}

#[test]
fn marks_are_read() {
    let text = "\
<!-- check: run -->
```sh
a
```
- x

  <!-- check: definition as d.json -->
  ```json
  {
    \"a\": 1
  }
  ```
<!-- check: not run: because: so -->

```sh
b
```
";
    let found = blocks::blocks("p.md", text);
    let [a, b, c] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((a.line, &*a.text, a.is("run")), (2, "a\n", true));
    assert_eq!(b.text, "{\n  \"a\": 1\n}\n");
    let mark = Mark {
        kind: "definition".to_owned(),
        file: Some("d.json".to_owned()),
        note: None,
    };
    assert_eq!(b.mark, Some(mark));
    assert_eq!(c.mark, None);
    let with = |kind: &str, note: Option<&str>| {
        let mark = Mark {
            kind: kind.to_owned(),
            file: None,
            note: note.map(str::to_owned),
        };
        error(&Block {
            language: "sh".to_owned(),
            mark: Some(mark),
            ..Block::default()
        })
    };
    assert_eq!(with("run", None), None);
    assert_eq!(with("not run", Some("why: so")), None);
    for (kind, note, text) in [
        ("run", Some("x"), "has a note"),
        ("not run", None, "has no reason"),
        ("not run", Some(""), "has no reason"),
        ("rum", None, "unknown kind"),
        ("elsewhere", Some("tests/no.rs x"), "names no file"),
        ("elsewhere", Some("tests/links.rs"), "names no test"),
        (
            "elsewhere",
            Some("tests/links.rs no_such"),
            "names the test no_such",
        ),
    ] {
        let error = with(kind, note).unwrap_or_else(|| panic!("{kind}"));
        assert!(error.contains(text), "{error}");
    }
    let there = "tests/links.rs the_readme_is_short, anchors_are_those_of_github";
    assert_eq!(with("elsewhere", Some(there)), None);
}
