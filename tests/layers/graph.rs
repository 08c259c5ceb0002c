//! Reads which file of a crate imports which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The imports between the modules of a crate, without those of tests. Modules are paths such as
/// `convert::body`.
pub(crate) struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    /// Reads all files below `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let mut texts = BTreeMap::new();
        read_folder(root, root, &mut texts);
        let tests: BTreeSet<String> = texts
            .iter()
            .flat_map(|(module, text)| test_modules(module, text))
            .collect();
        texts.retain(|module, _| !tests.contains(module));
        let imports = texts.iter().map(|(module, text)| {
            let paths = paths(module, text).into_iter();
            let known = paths.filter_map(|path| longest(&path, &texts));
            let others = known.filter(|other| !are_related(other, module));
            (module.clone(), others.collect())
        });
        Self(imports.collect())
    }

    /// Returns how many files there are.
    pub(crate) fn files(&self) -> usize {
        self.0.len()
    }

    /// Returns each import, by module.
    pub(crate) fn arrows(&self) -> impl Iterator<Item = (String, String)> {
        let all = self.0.iter();
        all.flat_map(|(from, all)| all.iter().map(move |to| (from.clone(), to.clone())))
    }

    /// Returns a circle of modules for each import that leads back to where it comes from.
    pub(crate) fn circles(&self) -> Vec<String> {
        let circles = self.arrows().filter_map(|(from, to)| {
            let mut way = vec![from.clone()];
            way.extend(self.way(&to, &from)?);
            Some(way.join(" -> "))
        });
        circles.collect()
    }

    /// Returns the modules from one to another, both included, if imports lead there.
    fn way(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut ways = vec![vec![from.to_owned()]];
        let mut seen = BTreeSet::from([from.to_owned()]);
        while let Some(way) = ways.pop() {
            let last = way.last().expect("a way has a start");
            if last == to {
                return Some(way);
            }
            for next in &self.0[last] {
                if seen.insert(next.clone()) {
                    ways.push([way.as_slice(), std::slice::from_ref(next)].concat());
                }
            }
        }
        None
    }
}

fn read_folder(root: &Path, folder: &Path, texts: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(root, &path, texts);
        } else if let Some(module) = module_of(root, &path) {
            texts.insert(module, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Returns the module of a file; the roots of the crates have none.
fn module_of(root: &Path, file: &Path) -> Option<String> {
    let relative: PathBuf = file.strip_prefix(root).ok()?.with_extension("");
    let parts: Vec<_> = relative.iter().map(|part| part.to_str().unwrap()).collect();
    let module = parts.join("::");
    let is_rust = file.extension().is_some_and(|it| it == "rs");
    (is_rust && module != "lib" && module != "main").then_some(module)
}

/// Returns the modules that a file declares for tests alone.
fn test_modules(module: &str, text: &str) -> Vec<String> {
    let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let line = rest.lines().next()?;
        let (_, name) = line.split_once("mod ")?;
        name.strip_suffix(';')
    });
    declared.map(|name| format!("{module}::{name}")).collect()
}

/// Returns the paths within the crate that a file names outside of its tests.
fn paths(module: &str, text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut all = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            // A later part of a path that was read from its start.
            if before.is_some_and(|it| it == ':' || it.is_alphanumeric() || it == '_') {
                continue;
            }
            all.extend(expanded(&text[at..]));
        }
    }
    all.iter().map(|path| absolute(module, path)).collect()
}

/// Returns the paths that a text begins with: one, or with braces several.
fn expanded(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    let path = &text[..end];
    let Some(inner) = path.ends_with("::").then(|| braces(&text[end..])).flatten() else {
        return vec![path.trim_end_matches(':').to_owned()];
    };
    let parts = inner.into_iter().flat_map(|part| expanded(part.trim()));
    parts.map(|part| format!("{path}{part}")).collect()
}

/// Returns the parts between a pair of braces that a text begins with.
fn braces(text: &str) -> Option<Vec<&str>> {
    let inner = text.strip_prefix('{')?;
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&inner[start..at]);
                parts.retain(|part| !part.trim().is_empty());
                return Some(parts);
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// Returns a path from the root of the crate.
fn absolute(module: &str, path: &str) -> String {
    let mut base: Vec<&str> = module.split("::").collect();
    if let Some(rest) = path.strip_prefix("crate::") {
        return rest.to_owned();
    }
    let mut rest = path;
    while let Some(after) = rest.strip_prefix("super::") {
        base.pop();
        rest = after;
    }
    base.push(rest);
    base.join("::")
}

/// Returns the module that a path leads into.
fn longest(path: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let mut path = path;
    loop {
        if modules.contains_key(path) {
            return Some(path.to_owned());
        }
        (path, _) = path.rsplit_once("::")?;
    }
}

/// Whether one of two modules is the other one or inside it.
fn are_related(one: &str, other: &str) -> bool {
    let is_inside = |inner: &str, outer: &str| {
        inner == outer
            || inner
                .strip_prefix(outer)
                .is_some_and(|it| it.starts_with("::"))
    };
    is_inside(one, other) || is_inside(other, one)
}

#[test]
fn a_circle_and_its_files_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a;\nuse crate::a::X;\n");
    write(
        "a.rs",
        "mod b;\n#[cfg(test)]\nmod c;\n// use crate::d;\nuse crate::{d::{self, Y}, e};\n",
    );
    write(
        "a/b.rs",
        "use super::X;\nfn f() { crate::e::g(super::super::e::h) }\n",
    );
    write("a/c.rs", "use crate::f::Z;\n");
    write("d.rs", "#[cfg(test)]\nmod tests {\n    use crate::a;\n}\n");
    write("e.rs", "use crate::f;\n");
    write("f.rs", "fn g() -> crate::a::b::X {}\n");
    let graph = Graph::read(folder.path());
    let arrows: Vec<_> = graph
        .arrows()
        .map(|(from, to)| format!("{from} {to}"))
        .collect();
    assert_eq!(arrows, ["a d", "a e", "a::b e", "e f", "f a::b"]);
    let circles = graph.circles();
    assert!(
        circles.contains(&"a::b -> e -> f -> a::b".to_owned()),
        "{circles:?}"
    );
    assert_eq!(circles.len(), 3, "{circles:?}");
}
