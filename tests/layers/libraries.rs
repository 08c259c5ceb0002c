//! `make test` compiles none of the libraries again that `make run` has compiled: both choose the same features of
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Returns the packages of a build, each with the sets of features that it is compiled with.
fn features(arguments: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "tree",
        "--locked",
        "--offline",
        "--prefix",
        "none",
        "--no-dedupe",
    ]);
    command.args(["--format", "{p}|{f}"]).args(arguments);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (package, features) = line.split_once('|').expect(line);
        let sets = packages.entry(package.to_owned()).or_default();
        sets.insert(features.trim_end_matches(" (*)").to_owned());
    }
    packages
}

#[test]
fn make_test_uses_the_libraries_that_make_run_compiled() {
    let makefile = Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile");
    let makefile = std::fs::read_to_string(makefile).unwrap();
    let (_, recipe) = makefile.split_once("\nprograms:").unwrap();
    let recipe = recipe.split("\n\n").next().unwrap();
    let words: Vec<_> = recipe.split_whitespace().collect();
    let packages = words.windows(2).filter(|pair| pair[0] == "--package");
    let mut arguments: Vec<_> = packages.flatten().copied().collect();
    assert_eq!(arguments.len(), 6, "{recipe}");
    arguments.extend(["--edges", "normal,build"]);

    let run = features(&arguments);
    let test = features(&["--workspace", "--edges", "normal,build,dev"]);
    assert!(run.len() > 200, "{}", run.len());
    let again: Vec<_> = run
        .iter()
        .filter(|(package, sets)| !sets.is_subset(&test[*package]))
        .map(|(package, sets)| format!("{package}: {sets:?}, in tests {:?}", test[package]))
        .collect();
    assert!(
        again.is_empty(),
        "tests switch on features that `make run` does not; name them in soak/Cargo.toml:\n{}",
        again.join("\n")
    );
}
