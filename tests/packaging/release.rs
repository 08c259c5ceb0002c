//! The parts of a release besides the programs: archives, bills of materials, and the base images.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{directory, obtained, output_of, program, text};

const NAME: &str = "timestream-prometheus-connector";
/// The targets of releases.
const TARGETS: [&str; 5] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-pc-windows-gnu",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
];

/// Packs the program of the tests as one of a system, and returns the path of the archive.
fn packed(folder: &Path, system: &str) -> PathBuf {
    const PROGRAM: &str = env!("CARGO_BIN_EXE_bootstrap");
    let printed = output_of(
        program("scripts/archive.sh")
            .arg(folder)
            .args([system, "x86_64", PROGRAM, PROGRAM])
            .env("SOURCE_DATE_EPOCH", "1700000000"),
    );
    printed.trim_end().into()
}

/// Returns the names in an archive below its one folder, which has the archive's name.
fn names(listed: &str, archive: &Path) -> BTreeSet<String> {
    let archive = archive.file_name().and_then(|name| name.to_str()).unwrap();
    let mut names = BTreeSet::new();
    for line in listed.lines() {
        let (folder, name) = line.split_once('/').expect("a folder");
        assert!(archive.starts_with(&format!("{folder}.")), "{line}");
        if !name.is_empty() && !name.ends_with('/') {
            names.insert(name.to_owned());
        }
    }
    names
}

/// Returns the names of an archive with these programs.
fn expected(programs: &[&str]) -> BTreeSet<String> {
    let shells = ["bash", "elvish", "fish", "powershell", "zsh"];
    let mut names: BTreeSet<String> = programs.iter().map(|&name| name.to_owned()).collect();
    names.extend(["README.md", "CHANGELOG.md", "LICENSE"].map(str::to_owned));
    names.extend(shells.map(|shell| format!("completions/{NAME}.{shell}")));
    names.insert(format!("man/{NAME}.1"));
    names
}

#[test]
fn the_program_in_an_archive_has_two_names() {
    let folder = directory("archive");
    let archive = packed(&folder, "linux");
    let listed = output_of(program("tar").arg("-tzf").arg(&archive));
    assert_eq!(names(&listed, &archive), expected(&["bootstrap", NAME]));

    output_of(
        program("tar")
            .current_dir(&folder)
            .arg("-xzf")
            .arg(&archive),
    );
    let unpacked = archive.with_extension("").with_extension("");
    let [one, other] = ["bootstrap", NAME].map(|name| unpacked.join(name));
    let inode = |path: &Path| path.metadata().expect("it is unpacked").ino();
    assert_eq!(inode(&one), inode(&other));
    let version = |path: &Path| output_of(program(path).arg("--version"));
    assert!(version(&one).contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(version(&one), version(&other));
    let completions = unpacked.join(format!("completions/{NAME}.bash"));
    let completions = std::fs::read_to_string(completions).expect("it is unpacked");
    assert!(completions.contains(&format!(" {NAME}\n")), "{completions}");

    let bytes = std::fs::read(&archive).expect("it is there");
    assert!(
        bytes == std::fs::read(packed(&folder, "linux")).expect("it is there again"),
        "the same program gives the same archive"
    );
}

#[test]
fn the_archive_for_windows_has_an_exe() {
    const LIST: &str =
        "import sys, zipfile; print(*zipfile.ZipFile(sys.argv[1]).namelist(), sep='\\n')";
    let archive = packed(&directory("archive-windows"), "windows");
    let list = output_of(
        program(obtained("python.sh", &["lambda"]))
            .args(["-c", LIST])
            .arg(&archive),
    );
    assert_eq!(names(&list, &archive), expected(&[&format!("{NAME}.exe")]));
}

/// Returns the packages that cargo links into the program for a target, as `name@version`.
fn linked(target: &str) -> BTreeSet<String> {
    let arguments = [
        "tree",
        "--locked",
        "--package",
        NAME,
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let tree = output_of(program("cargo").args(arguments).args([
        "--edges",
        "normal,no-proc-macro",
        "--target",
        target,
    ]));
    let package = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        Some(format!("{name}@{}", version.strip_prefix('v')?))
    };
    tree.lines().filter_map(package).collect()
}

#[test]
fn bills_of_materials_list_what_is_linked() {
    let lock = text("Cargo.lock");
    let mut bills = BTreeMap::new();
    for target in TARGETS {
        let bill = output_of(program("scripts/sbom.py").arg(target));
        let bill: Value = serde_json::from_str(&bill).expect("JSON");
        assert_eq!(bill["bomFormat"], "CycloneDX");
        let application = &bill["metadata"]["component"];
        assert_eq!(application["version"], env!("CARGO_PKG_VERSION"));
        let mut packages = BTreeSet::from([application["bom-ref"].as_str().unwrap().to_owned()]);
        for component in bill["components"].as_array().expect("components") {
            let name = component["bom-ref"].as_str().expect("a reference");
            assert!(component["licenses"][0]["expression"].is_string(), "{name}");
            if component["purl"].is_string() {
                let checksum = component["hashes"][0]["content"]
                    .as_str()
                    .expect("a checksum");
                assert!(
                    lock.contains(&format!("checksum = \"{checksum}\"")),
                    "{name}"
                );
            }
            assert!(packages.insert(name.to_owned()), "{name} is there once");
        }
        assert_eq!(packages, linked(target), "{target}");
        // Each is needed by another one, so that the graph is whole.
        let needed: BTreeSet<&str> = bill["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .flat_map(|of| of["dependsOn"].as_array().expect("a list"))
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(needed.len() + 1, packages.len(), "{target}");
        bills.insert(target, packages);
    }
    let has = |target: &str, name: &str| {
        bills[target]
            .iter()
            .any(|package| package.starts_with(name))
    };
    for target in TARGETS {
        assert!(has(target, "ring@"), "{target}");
        assert_eq!(
            has(target, "schannel@"),
            target.contains("windows"),
            "{target}"
        );
        assert_eq!(
            has(target, "security-framework@"),
            target.contains("apple"),
            "{target}"
        );
        // Of the tests, and of the build.
        assert!(
            !has(target, "proptest@") && !has(target, "syn@"),
            "{target}"
        );
    }
}

#[test]
fn base_images_are_named_by_their_digests() {
    for file in ["Dockerfile", "docs/compose/Dockerfile"] {
        let text = text(file);
        let defaults: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("ARG ")?.split_once('='))
            .collect();
        let bases: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("FROM "))
            .map(|line| {
                line.split(' ')
                    .find(|word| word.starts_with("${"))
                    .expect(line)
            })
            .collect();
        assert_eq!(bases.len(), 2, "{file}");
        for base in bases {
            let base = defaults[base.trim_matches(['$', '{', '}'])];
            let (_, digest) = base.split_once("@sha256:").expect(base);
            assert!(
                digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()),
                "{base}"
            );
        }
    }
}

#[test]
fn both_ways_to_an_image_have_the_same_labels() {
    let labels = |text: &str| -> BTreeSet<String> {
        let words = text.split(['"', ' ', '=']);
        words
            .filter(|word| word.starts_with("org.opencontainers.image."))
            .map(str::to_owned)
            .collect()
    };
    let labelled = labels(&text("Dockerfile"));
    assert_eq!(labelled, labels(&text("scripts/dist.sh")));
    for label in [
        "title",
        "description",
        "version",
        "revision",
        "created",
        "licenses",
    ] {
        assert!(
            labelled.contains(&format!("org.opencontainers.image.{label}")),
            "{label}"
        );
    }
}
