//! The real programs that tests start, kill and start again.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::process::Command;
use tokio::sync::OnceCell;

/// Returns the connector's binary.
pub(crate) fn bootstrap() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_bootstrap"))
}

/// Returns the emulator's binary, which exists if the whole workspace is tested; else it is built.
pub(crate) async fn emulator() -> &'static Path {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY.get_or_init(obtain_emulator).await
}

async fn obtain_emulator() -> PathBuf {
    let binary = bootstrap().with_file_name("timestream-emulator");
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/timestream-emulator/src");
    let built = modified(&binary);
    if built.is_some() && built >= newest(Path::new(sources)) {
        return binary;
    }
    let folder = binary.parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--workspace", "--bin", "timestream-emulator"])
        .arg("--target-dir")
        .arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().await.unwrap();
    assert!(status.success(), "the emulator cannot be built");
    assert!(binary.exists(), "no {} was built", binary.display());
    binary
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|it| it.modified()).ok()
}

/// Returns the time of the last change of a file in a folder.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                newest(&path)
            } else {
                modified(&path)
            }
        })
        .max()
        .flatten()
}
