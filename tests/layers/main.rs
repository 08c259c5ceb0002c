//! The imports of `src` point one way: no circle of files, and between top-level modules only the arrows of
//! the table in `docs/architecture.md`, whose other statements about files are true, too.
//!
//! A module and those inside it are one thing: what a child imports of its parents is no arrow.

mod graph;
mod libraries;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use graph::Graph;

fn source() -> Graph {
    Graph::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let graph = source();
    assert!(graph.files() > 100, "{} files", graph.files());
    let circles = graph.circles();
    assert!(
        circles.is_empty(),
        "circles of imports:\n{}",
        circles.join("\n")
    );
}

#[test]
fn the_table_of_layers_has_no_circle() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md"));
    let mut left = table(&text.unwrap());
    // A layer that imports nothing which is left is taken away, until none is.
    loop {
        let names: BTreeSet<_> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, imports| !imports.is_disjoint(&names));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "circle of layers: {left:?}");
}

#[test]
fn modules_import_what_the_architecture_says() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md"));
    let allowed = table(&text.unwrap());
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (from, to) in source().arrows() {
        let [top, target] = [&from, &to].map(|path| path.split("::").next().unwrap().to_owned());
        if top == target {
            continue;
        }
        if !allowed.get(&top).is_some_and(|all| all.contains(&target)) {
            wrong.push(format!(
                "{from} imports {to}, but {top} may not import {target}"
            ));
        }
        used.entry(top).or_default().insert(target);
    }
    for (top, all) in &allowed {
        let known = used.get(top).cloned().unwrap_or_default();
        let gone: Vec<_> = all.difference(&known).collect();
        if !gone.is_empty() {
            wrong.push(format!(
                "{top} imports {gone:?} no longer; correct the table"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_files_that_the_architecture_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let is_path = |name: &&str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        name.contains('/') && name.chars().all(is_part) && !name.starts_with('/')
    };
    let names: Vec<_> = text.split('`').skip(1).step_by(2).filter(is_path).collect();
    assert!(names.len() > 20, "{names:?}");
    // Files of the program stand there without the folder of all of them.
    let exists = |name: &&str| root.join(name).exists() || root.join("src").join(name).exists();
    let missing: Vec<_> = names.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "no such files: {missing:?}");
}

/// Returns the rows of the table of layers: a module, and those that it may import.
fn table(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (_, rest) = text
        .split_once("| module | imports |\n")
        .expect("the table of layers");
    let rows = rest
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let names = |cell: &str| -> BTreeSet<String> {
        let names = cell.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    };
    let mut table = BTreeMap::new();
    for row in rows {
        let [_, modules, imports, _] = row.split('|').collect::<Vec<_>>().try_into().expect(row);
        for module in names(modules) {
            let before = table.insert(module, names(imports));
            assert_eq!(before, None, "{row}");
        }
    }
    table
}
