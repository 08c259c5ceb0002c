//! Programs of others, which the scripts obtain.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the path that a script prints.
pub(crate) async fn obtained(script: &str, name: &str) -> PathBuf {
    let output = Command::new(root().join("scripts").join(script))
        .arg(name)
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("the script starts");
    assert!(output.status.success(), "{script} {name} failed, see above");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// Returns the AWS command line.
pub(crate) async fn aws() -> PathBuf {
    obtained("python.sh", "strangers")
        .await
        .with_file_name("aws")
}

/// Runs a command; returns its output if it fails.
pub(crate) async fn failure(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (!output.status.success()).then(|| format!("{}\n{text}", output.status))
}
