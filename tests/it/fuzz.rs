//! What the fuzz targets check, over the inputs that are kept: those that reach something of their
//! own, and those that once failed.

use std::path::PathBuf;

#[path = "../../fuzz/checks/config.rs"]
mod config;
#[path = "../../fuzz/checks/exposition.rs"]
mod exposition;
#[path = "../../fuzz/checks/matchers.rs"]
mod matchers;
#[path = "../../fuzz/checks/read.rs"]
mod read;
#[path = "../../fuzz/checks/sql.rs"]
mod sql;
#[path = "../../fuzz/checks/web_file.rs"]
mod web_file;
#[path = "../../fuzz/checks/wire.rs"]
mod wire;

const TARGETS: [(&str, fn(&[u8])); 7] = [
    ("config", config::check),
    ("exposition", exposition::check),
    ("matchers", matchers::check),
    ("read", read::check),
    ("sql", sql::check),
    ("web_file", web_file::check),
    ("wire", wire::check),
];

fn folder(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", name].iter().collect()
}

/// Names and contents of the files in a folder.
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
fn every_kept_input_passes() {
    for (target, check) in TARGETS {
        let inputs = files(folder("seeds").join(target));
        assert!(!inputs.is_empty(), "no inputs for {target}");
        for (name, input) in inputs {
            // Shown if it panics.
            println!("fuzz/seeds/{target}/{name}");
            check(&input);
        }
    }
}

/// The main build does not see the targets: they are too simple to break as long as they are so.
#[test]
fn each_target_calls_its_check() {
    let manifest = std::fs::read_to_string(folder("Cargo.toml")).unwrap();
    let expected = TARGETS.map(|(target, _)| {
        let bin = format!("[[bin]]\nname = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"\n");
        assert!(manifest.contains(&bin), "{bin}");
        let text = format!(
            "#![no_main]\n\n#[path = \"../checks/{target}.rs\"]\nmod {target};\n\n\
             libfuzzer_sys::fuzz_target!(|input: &[u8]| {target}::check(input));\n"
        );
        (format!("{target}.rs"), text.into_bytes())
    });
    assert_eq!(files(folder("fuzz_targets")), expected);
}
