//! Compiles `proto/*.proto` with a Rust compiler, so that no `protoc` has to be installed, and
//! tells the program the commit it is built from, and how.

use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(
        ["proto/prometheus.proto", "proto/write_v2.proto"],
        ["proto"],
    )?;
    generator().compile_fds(files.clone())?;
    // For tests: the same messages with bytes in the places of texts, which need not be UTF-8.
    let mut with_bytes = files;
    let files = with_bytes.file.iter_mut();
    let mut messages: Vec<_> = files.flat_map(|file| &mut file.message_type).collect();
    while let Some(message) = messages.pop() {
        let fields = message.field.iter_mut();
        for field in fields.filter(|field| field.r#type == Some(TYPE_STRING)) {
            field.r#type = Some(TYPE_BYTES);
        }
        messages.extend(&mut message.nested_type);
    }
    let folder = Path::new(&variable("OUT_DIR")).join("with_bytes");
    std::fs::create_dir_all(&folder)?;
    generator().out_dir(folder).compile_fds(with_bytes)?;
    println!("cargo::rerun-if-env-changed=SOURCE_REVISION");
    let given = std::env::var("SOURCE_REVISION").ok();
    let revision = given.filter(|given| !given.is_empty()).or_else(head);
    println!(
        "cargo::rustc-env=SOURCE_REVISION={}",
        revision.unwrap_or_default()
    );
    println!("cargo::rustc-env=BUILD_TARGET={}", variable("TARGET"));
    println!("cargo::rustc-env=BUILD_PROFILE={}", variable("PROFILE"));
    println!("cargo::rustc-env=BUILD_COMPILER={}", compiler());
    Ok(())
}

/// The types of fields, as descriptors of messages have them.
const TYPE_STRING: i32 = 9;
const TYPE_BYTES: i32 = 12;

fn generator() -> prost_build::Config {
    let mut config = prost_build::Config::new();
    config
        // The name of a message is what a content type may carry.
        .enable_type_names()
        // Always written: else -0 would be taken for an absent 0.
        .field_attribute("prometheus.Sample.value", "#[prost(required)]")
        .field_attribute("prometheus.Histogram.sum", "#[prost(required)]")
        .field_attribute("prometheus.Histogram.zero_threshold", "#[prost(required)]")
        .field_attribute("io.prometheus.write.v2.Sample.value", "#[prost(required)]")
        .field_attribute("io.prometheus.write.v2.Histogram.sum", "#[prost(required)]");
    config
}

/// A variable that cargo sets.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The compiler's own name and version.
fn compiler() -> String {
    let output = Command::new(variable("RUSTC")).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

/// The commit that is checked out; `None` outside a repository of this package or without git.
fn head() -> Option<String> {
    let root = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&root).canonicalize().ok()? != Path::new(".").canonicalize().ok()? {
        return None;
    }
    // It grows with every commit and checkout. A file that is not there would mean every build.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
