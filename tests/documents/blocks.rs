//! The blocks of code in a document, and the mark before each that says how it is checked.
//!
//! A mark is `<!-- check: KIND -->`, `<!-- check: KIND as FILE -->` or `<!-- check: KIND: NOTE -->` on the line before
//! the block.

use std::path::Path;
use std::process::Command;

/// Languages whose blocks need a mark.
const MARKED: [&str; 5] = ["sh", "bash", "console", "yaml", "json"];
/// Documents with commands.
const PAGES: [&str; 5] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "deploy/*.md",
    "timestream-emulator/README.md",
];

/// A block of code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Path of the document in the repository.
    pub(crate) page: String,
    /// The line at which the block begins.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
    pub(crate) mark: Option<Mark>,
}

/// The way in which a block is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) kind: String,
    /// The file that the page saves the block in.
    pub(crate) file: Option<String>,
    /// The reason, or the test that has the block.
    pub(crate) note: Option<String>,
}

impl Block {
    /// Returns true if the block needs a mark.
    pub(crate) fn needs_mark(&self) -> bool {
        MARKED.contains(&&*self.language)
    }

    /// Returns true if the mark has this kind.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.mark.as_ref().is_some_and(|mark| mark.kind == kind)
    }

    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

fn mark(line: &str) -> Option<Mark> {
    let text = line.trim().strip_prefix("<!-- check: ")?;
    let text = text.strip_suffix(" -->")?;
    let (head, note) = match text.split_once(": ") {
        Some((head, note)) => (head, Some(note.trim().to_owned())),
        None => (text, None),
    };
    let (kind, file) = match head.split_once(" as ") {
        Some((kind, file)) => (kind, Some(file.to_owned())),
        None => (head, None),
    };
    Some(Mark {
        kind: kind.to_owned(),
        file,
        note,
    })
}

/// Returns the blocks of a document.
pub(crate) fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut before = "";
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let content = line.trim_start();
        if let Some(language) = content.strip_prefix("```") {
            let indent = line.len() - content.len();
            let mut block = Block {
                page: page.to_owned(),
                line: index + 1,
                language: language.trim().to_owned(),
                mark: mark(before),
                ..Block::default()
            };
            for (_, line) in lines.by_ref() {
                if line.trim() == "```" {
                    break;
                }
                block.text += line.get(indent..).unwrap_or_default();
                block.text.push('\n');
            }
            blocks.push(block);
        }
        before = line;
    }
    blocks
}

/// Returns the blocks of all documents.
pub(crate) fn all() -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .args(PAGES)
        .current_dir(root)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{output:?}");
    let pages = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let mut pages: Vec<&str> = pages.lines().collect();
    pages.sort_unstable();
    pages.dedup();
    let of = |page: &&str| {
        let text = std::fs::read_to_string(root.join(page));
        blocks(
            page,
            &text.unwrap_or_else(|error| panic!("{page}: {error}")),
        )
    };
    pages.iter().flat_map(of).collect()
}
