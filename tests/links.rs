//! Links of documents: each relative one leads to a file that exists, and to a heading in it. The README stays short.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Words of the README: it introduces, and `docs/` explains.
const README_WORDS: usize = 1_500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all documents of the repository, without what is built or fetched.
fn documents() -> Vec<PathBuf> {
    let output = std::process::Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.md",
        ])
        .current_dir(root())
        .output();
    let output = output.expect("git runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let paths = text.lines().map(|line| root().join(line));
    paths.filter(|path| path.is_file()).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the lines of a document outside blocks of code, without code in them.
fn prose(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Returns the anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut uses: HashMap<String, usize> = HashMap::new();
    let lines = prose(text);
    let headings = lines.iter().filter_map(|line| {
        let title = line.trim_start_matches('#').strip_prefix(' ')?;
        line.starts_with('#').then_some(title)
    });
    headings
        .map(|title| {
            let letters = title.trim().chars().filter_map(|it| match it {
                ' ' => Some('-'),
                it if it.is_alphanumeric() || "-_".contains(it) => Some(it.to_ascii_lowercase()),
                _ => None,
            });
            let anchor: String = letters.collect();
            let count = uses.entry(anchor.clone()).or_default();
            *count += 1;
            match *count {
                1 => anchor,
                count => format!("{anchor}-{}", count - 1),
            }
        })
        .collect()
}

/// Returns the targets of a document's links.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        let parts = line.split("](").skip(1);
        targets.extend(parts.filter_map(|part| Some(part.split_once(')')?.0.to_owned())));
    }
    targets
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut count = 0;
    for document in documents() {
        for target in targets(&read(&document)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => document.clone(),
                path => document.parent().expect("it is a file").join(path),
            };
            let leads =
                file.exists() && (anchor.is_empty() || anchors(&read(&file)).contains(anchor));
            if !leads {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "{} links:\n{}",
        broken.len(),
        broken.join("\n")
    );
    assert!(count > 100, "{count} links");
}

#[test]
fn the_readme_is_short() {
    // Readers do not see the marks of blocks.
    let text = read(&root().join("README.md"));
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("<!-- check: "));
    let words = lines.flat_map(str::split_whitespace).count();
    assert!(words <= README_WORDS, "{words} words");
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# A `b` c: d\n## Limits, and more_x\n```sh\n# no\n```\n## Limits, and more_x\n";
    let expected = ["a-b-c-d", "limits-and-more_x", "limits-and-more_x-1"];
    assert_eq!(anchors(text), expected.map(str::to_owned).into());
}
