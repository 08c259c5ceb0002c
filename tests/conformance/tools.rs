//! The programs that judge: each is obtained by a script, which reports missing parts.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

/// Returns a program of `scripts/go-tools.sh`.
pub(crate) async fn go_tool(name: &str) -> PathBuf {
    obtained("scripts/go-tools.sh", name).await
}

/// Returns Prometheus' server or promtool.
pub(crate) async fn prometheus(name: &str) -> PathBuf {
    obtained("scripts/prometheus.sh", name).await
}

/// Returns strace or systemd-analyze.
pub(crate) async fn system_tool(name: &str) -> PathBuf {
    obtained("scripts/system-tools.sh", name).await
}

/// Returns a node exporter.
pub(crate) async fn node_exporter() -> PathBuf {
    obtained("scripts/node-exporter.sh", "").await
}

/// Returns a Chromium.
pub(crate) async fn chromium() -> PathBuf {
    obtained("scripts/chromium.sh", "").await
}

/// Returns a python with the packages of a purpose.
pub(crate) async fn python(purpose: &str) -> PathBuf {
    obtained("scripts/python.sh", purpose).await
}

/// Returns a tool of `scripts/windows.sh`: `gcc`, or `run`, which runs programs for Windows.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) async fn windows(tool: &str) -> PathBuf {
    obtained("scripts/windows.sh", tool).await
}

/// Returns a folder with the programs of `tests/conformance/javascript` and their packages.
pub(crate) async fn javascript() -> PathBuf {
    obtained("scripts/javascript.sh", "").await
}

/// Returns the path that the script prints.
async fn obtained(script: &str, name: &str) -> PathBuf {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .args(Some(name).filter(|name| !name.is_empty()))
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{script} {name} failed, see above");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// A program that serves nothing, with a file for its output.
pub(crate) struct Background {
    process: Child,
    log: PathBuf,
}

impl Background {
    /// Starts it.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Self {
        let file = std::fs::File::create(&log).unwrap();
        let process = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { process, log }
    }

    /// Waits until it ends by itself; returns its status and its output.
    pub(crate) async fn ended(mut self, within: Duration) -> (ExitStatus, String) {
        let status = tokio::time::timeout(within, self.process.wait()).await;
        let log = self.log();
        let status = status.unwrap_or_else(|_| panic!("it runs for {within:?} already:\n{log}"));
        (status.unwrap(), log)
    }

    /// Returns its output so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}
