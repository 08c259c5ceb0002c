//! The checks of the fuzz targets, over the seeds in the repository: inputs that reach code that no other seed
//! reaches, and inputs that once failed.

use std::path::PathBuf;

use prom_wire::budget::MemoryBudget;
use prom_wire::request::StringArena;

#[path = "../../fuzz/checks/config.rs"]
mod config;
#[path = "../../fuzz/checks/exposition.rs"]
mod exposition;
#[path = "../../fuzz/checks/go_regex.rs"]
mod go_regex;
#[path = "../../fuzz/checks/matchers.rs"]
mod matchers;
#[path = "../../fuzz/checks/model.rs"]
mod model;
#[path = "../../fuzz/checks/otlp.rs"]
mod otlp;
#[path = "../../fuzz/checks/promql.rs"]
mod promql;
#[path = "../../fuzz/checks/read.rs"]
mod read;
#[path = "../../fuzz/checks/sql.rs"]
mod sql;
#[path = "../../fuzz/checks/web_file.rs"]
mod web_file;
#[path = "../../fuzz/checks/wire.rs"]
mod wire;
#[path = "../../fuzz/checks/write.rs"]
mod write;

/// The name of a target, and its check.
type Target = (&'static str, fn(&[u8]));

/// The targets that use the whole connector.
const CONNECTOR: [Target; 6] = [
    ("config", config::check),
    ("matchers", matchers::check),
    ("read", read::check),
    ("sql", sql::check),
    ("web_file", web_file::check),
    ("write", write::check),
];

/// The targets that use crates of the workspace alone.
const CRATES: [Target; 6] = [
    ("exposition", exposition::check),
    ("go_regex", go_regex::check),
    ("model", model::check),
    ("otlp", otlp::check),
    ("promql", promql::check),
    ("wire", wire::check),
];

fn folder(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", name].iter().collect()
}

/// Returns the names and contents of the files in a folder.
fn files(folder: PathBuf) -> Vec<(String, Vec<u8>)> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap());
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    };
    let mut files: Vec<_> = entries.map(file).collect();
    files.sort();
    files
}

#[test]
fn every_seed_passes() {
    for (target, check) in CONNECTOR.into_iter().chain(CRATES) {
        let inputs = files(folder("seeds").join(target));
        assert!(!inputs.is_empty(), "no inputs for {target}");
        for (name, input) in inputs {
            // Printed if the check panics.
            println!("fuzz/seeds/{target}/{name}");
            check(&input);
        }
    }
}

/// A seed that is an error from its first bytes on would reach nothing.
#[test]
fn seeds_of_otlp_are_requests_with_data_points() {
    let (mut protobuf, mut json) = (0, 0);
    for (name, input) in files(folder("seeds").join("otlp")) {
        let arena = StringArena::default();
        let mut reservation = MemoryBudget::unlimited().reservation();
        let metrics = if name.starts_with("protobuf_") {
            protobuf += 1;
            ::otlp::read_protobuf(&input, &mut reservation)
        } else if name.starts_with("json_") {
            json += 1;
            ::otlp::read_json(&input, &arena, &mut reservation)
        } else {
            continue;
        };
        let metrics = metrics.unwrap_or_else(|error| panic!("{name}: {error}"));
        let has_points = metrics.point_count() > 0;
        assert_eq!(has_points, !name.ends_with("_no_data"), "{name}");
    }
    assert!(protobuf > 0 && json > 0);
}

/// Checks the targets of the package in `package`, a folder below `fuzz`: the manifest and the files have these and
/// no others, and each calls its check.
fn assert_targets(package: &str, checks: &str, targets: &[Target]) {
    let package = folder(package);
    let manifest = std::fs::read_to_string(package.join("Cargo.toml")).unwrap();
    assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
    let expected = targets.iter().map(|(target, _)| {
        let bin = format!("[[bin]]\nname = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"\n");
        assert!(manifest.contains(&bin), "{bin}");
        let text = format!(
            "#![no_main]\n\n#[path = \"{checks}/{target}.rs\"]\nmod {target};\n\n\
             libfuzzer_sys::fuzz_target!(|input: &[u8]| {target}::check(input));\n"
        );
        (format!("{target}.rs"), text.into_bytes())
    });
    let expected: Vec<_> = expected.collect();
    assert_eq!(files(package.join("fuzz_targets")), expected);
}

/// The main build does not compile the targets: they are too simple to break as long as they look like this.
#[test]
fn each_target_calls_its_check() {
    assert_targets("", "../checks", &CONNECTOR);
    assert_targets("crates", "../../checks", &CRATES);
}

/// A target of a crate builds in seconds because nothing brings in the AWS SDK.
#[test]
fn targets_of_crates_depend_on_crates_alone() {
    let manifest = std::fs::read_to_string(folder("crates/Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("[dependencies]\n").unwrap();
    let (dependencies, _) = dependencies.split_once("\n\n").unwrap();
    let paths: Vec<_> = dependencies
        .lines()
        .filter_map(|line| line.split_once("path = \""))
        .map(|(_, path)| path)
        .collect();
    assert!(!paths.is_empty());
    for path in paths {
        assert!(path.starts_with("../../crates/"), "{path}");
    }
}
