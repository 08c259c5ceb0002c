//! The language of the code and its documents: doc comments begin with a noun or a verb, and every thing has
//! the word that the field has for it.

use std::path::{Path, PathBuf};

/// Words with which a doc line rarely begins: what follows them is a clause without its subject.
const HEADLESS: [&str; 6] = ["What", "Who", "Whom", "How", "Where", "Why"];
/// Of 1,000 doc lines fewer than this begin with one of them.
const MAX_HEADLESS_PER_THOUSAND: usize = 5;

/// Words that stand for one of the field, with it. All their forms count, also as part of a name.
const BANNED: [(&str, &[&str]); 7] = [
    (
        "response or result",
        &["answer", "answers", "answered", "answering"],
    ),
    ("request or query", &["ask", "asks", "asked", "asking"]),
    ("report", &["told"]),
    ("fix", &["mend", "mends", "mended", "mending"]),
    ("store", &["kept"]),
    ("again", &["anew"]),
    ("who", &["whom"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all files with this extension below the folders.
fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut left: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|it| it == extension) {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn doc_line(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let text = line.strip_prefix("///").or(line.strip_prefix("//!"))?;
    Some(text.trim())
}

#[test]
fn doc_lines_begin_with_a_subject_or_a_verb() {
    let (mut lines, mut headless) = (0, Vec::new());
    for path in files(&["src", "crates"], "rs") {
        for (index, line) in read(&path).lines().enumerate() {
            let Some(text) = doc_line(line).filter(|text| !text.is_empty()) else {
                continue;
            };
            lines += 1;
            let first = text.split(|c: char| !c.is_alphabetic()).next().unwrap();
            if HEADLESS.contains(&first) {
                headless.push(format!("{}:{}: {text}", path.display(), index + 1));
            }
        }
    }
    assert!(lines > 3_000, "{lines} doc lines");
    assert!(
        headless.len() * 1_000 < MAX_HEADLESS_PER_THOUSAND * lines,
        "{} of {lines} doc lines:\n{}",
        headless.len(),
        headless.join("\n")
    );
}

#[test]
fn the_words_are_those_of_the_field() {
    let mut found = Vec::new();
    let mut check = |path: &Path, number: usize, line: &str| {
        for (word, better) in banned(line) {
            found.push(format!(
                "{}:{number}: {word} -> {better}: {}",
                path.display(),
                line.trim()
            ));
        }
    };
    for path in files(&["src", "crates"], "rs") {
        let text = read(&path);
        let lines = text.lines().enumerate();
        lines.for_each(|(index, line)| check(&path, index + 1, line));
    }
    let mut documents = files(&["docs", "crates"], "md");
    documents.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    for path in documents {
        let text = without_quotations(&read(&path));
        let lines = text.lines().enumerate();
        lines.for_each(|(index, line)| check(&path, index + 1, line));
    }
    assert!(
        found.is_empty(),
        "{} words:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Returns each banned word of a line, with a better one.
fn banned(line: &str) -> Vec<(String, &'static str)> {
    let words = words(line).into_iter();
    let found = words.filter_map(|word| {
        let (better, _) = BANNED.iter().find(|(_, forms)| forms.contains(&&*word))?;
        Some((word, *better))
    });
    found.collect()
}

/// Returns the words of a line in lower case: names are split at underscores and at capitals.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in line.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            let word = words.last_mut().expect("there is one from the start");
            word.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase();
    }
    words
}

/// Returns a document with blanks for its code and for the words of others in quotation marks; lines stay.
fn without_quotations(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().map(|line| {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return String::new();
        }
        if is_code {
            return String::new();
        }
        let parts = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
        parts.split('"').step_by(2).collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn words_are_found_wherever_they_stand() {
    let all = |line| banned(line).into_iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!(
        all("fn ask_all() -> QueryAnswer { KEPT }"),
        ["ask", "answer", "kept"]
    );
    assert_eq!(
        all("/// Asked anew, nobody answered."),
        ["asked", "anew", "answered"]
    );
    assert_eq!(all("a task, a mask, amended, skeptic; Keep"), [""; 0]);
    let document = without_quotations("it `asks`\n```\nanswer\n```\nsays \"told\", kept\n");
    assert_eq!(all(&document), ["kept"]);
    assert_eq!(document.lines().count(), 5);
}
