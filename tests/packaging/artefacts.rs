//! The archives of the function, and the output of `sam build`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::process::Command;

use crate::support::{directory, obtained, output_of, program, text, write_and_read};

/// The glibc of Amazon Linux 2023, on which Lambda runs `provided.al2023`.
const NEWEST_GLIBC: (u32, u32) = (2, 34);
/// The size limit of each archive, which bounds the time of a cold start; code for x86-64 is larger. Connector
/// definitions, their DynamoDB and their HTTP client are 1.6 MiB of it, and 0.6 ms of a start; the limits of
/// requests and the allocator are 0.3 MiB; the time zones that rows of a sink may name are 0.2 MiB. Commands for a terminal
/// (`doctor`, `estimate`, `completions`, `man`) are 0.4 MiB that never run in Lambda: a second way of building would save
/// 0.15 ms of a start.
const LARGEST_FOR_ARM64: u64 = 17 * MIB / 2;
const LARGEST_FOR_X86_64: u64 = 37 * MIB / 4;
const MIB: u64 = 1 << 20;

/// Builds use the same directories below `target`, so there is one at a time.
fn one_build_at_a_time() -> MutexGuard<'static, ()> {
    static BUILDING: Mutex<()> = Mutex::new(());
    BUILDING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn target() -> PathBuf {
    let inside = Path::new(env!("CARGO_TARGET_TMPDIR"));
    inside
        .parent()
        .expect("cargo's directory for tests is in target")
        .into()
}

/// Makes an archive, checks that it holds an executable `bootstrap` and nothing else, and unpacks it.
fn unpacked(make: &str, archive: &str, largest: u64) -> PathBuf {
    let building = one_build_at_a_time();
    output_of(program("make").arg(make));
    let archive = target().join(archive);
    let directory = directory(make);
    let copy = directory.join("bootstrap.zip");
    std::fs::copy(&archive, &copy).unwrap_or_else(|error| panic!("{archive:?}: {error}"));
    drop(building);
    let size = copy.metadata().expect("it was copied").len();
    assert!(size < largest, "{size} bytes");

    const LIST: &str = "import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
for entry in archive.infolist(): print(entry.filename, oct(entry.external_attr >> 16 & 0o777))
archive.extractall(sys.argv[2])";
    let python = obtained("python.sh", &["lambda"]);
    let list = output_of(
        program(python)
            .args(["-c", LIST])
            .arg(&copy)
            .arg(&directory),
    );
    assert_eq!(list, "bootstrap 0o755\n");
    let binary = directory.join("bootstrap");
    // Python's unpacking leaves it out.
    output_of(program("chmod").arg("755").arg(&binary));
    binary
}

fn arm64() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        unpacked(
            "build-lambda",
            "lambda/bootstrap/bootstrap.zip",
            LARGEST_FOR_ARM64,
        )
    })
}

fn x86_64() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        unpacked(
            "build-lambda-x86-64",
            "lambda-x86-64/bootstrap/bootstrap.zip",
            LARGEST_FOR_X86_64,
        )
    })
}

/// Runs a program for 64-bit ARM, on any machine.
fn on_arm64(binary: &Path) -> Command {
    let mut command = Command::new(obtained("arm64.sh", &["run"]));
    command.arg(binary);
    command
}

/// Returns the libraries that a binary requires, and the versions of glibc's symbols.
fn needs(binary: &Path) -> (BTreeSet<String>, BTreeSet<(u32, u32)>) {
    let dynamic = output_of(program("readelf").args(["--wide", "--dynamic"]).arg(binary));
    let between = |line: &str| {
        let (_, rest) = line.split_once("Shared library: [")?;
        Some(rest.split_once(']')?.0.to_owned())
    };
    let libraries = dynamic.lines().filter_map(between).collect();
    let versions = output_of(
        program("readelf")
            .args(["--wide", "--version-info"])
            .arg(binary),
    );
    let version = |word: &str| {
        let mut parts = word.strip_prefix("GLIBC_")?.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let versions = versions.split_whitespace().filter_map(version).collect();
    (libraries, versions)
}

/// Checks that every image with a glibc as old as Lambda's has all that a binary needs.
fn assert_needs_nothing_but_glibc(binary: &Path) {
    const PARTS_OF_GLIBC: [&str; 7] = [
        "libc.so.6",
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "librt.so.1",
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
    ];
    let (libraries, versions) = needs(binary);
    assert!(libraries.contains("libc.so.6"), "{libraries:?}");
    for library in &libraries {
        assert!(PARTS_OF_GLIBC.contains(&library.as_str()), "{library}");
    }
    let newest = versions.last().expect("it uses glibc");
    assert!(*newest <= NEWEST_GLIBC, "glibc {newest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_for_arm64_works() {
    let binary = arm64();
    assert_needs_nothing_but_glibc(binary);
    write_and_read(on_arm64(binary)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_for_x86_64_needs_nothing_but_glibc() {
    let binary = x86_64();
    assert_needs_nothing_but_glibc(binary);
    // It runs only on a machine of its architecture.
    if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        write_and_read(Command::new(binary)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_build_of_sam_works() {
    let directory = directory("sam");
    let building = one_build_at_a_time();
    output_of(
        program("scripts/lambda.sh")
            .args(["--arm64", "sam", "build", "--build-dir"])
            .arg(&directory),
    );
    drop(building);
    let built = std::fs::read_to_string(directory.join("template.yaml")).expect("SAM's template");
    assert!(built.contains("CodeUri: Function\n"), "{built}");
    let files: Vec<_> = std::fs::read_dir(directory.join("Function"))
        .expect("the function's directory")
        .map(|entry| entry.expect("its entries").file_name())
        .collect();
    assert_eq!(files, ["bootstrap"]);
    write_and_read(on_arm64(&directory.join("Function/bootstrap"))).await;
}

/// cargo lambda makes a panic end the process unless the profile is set otherwise.
#[test]
fn a_panic_does_not_end_the_process_of_a_release() {
    let manifest = text("Cargo.toml");
    let (_, profile) = manifest
        .split_once("[profile.release]\n")
        .expect("a profile");
    let (profile, _) = profile.split_once("\n[").expect("another section");
    assert!(profile.contains("\npanic = \"unwind\""), "{profile}");
}
