//! The files of Prometheus' own test scripts.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that names a folder with the scripts.
const FOLDER: &str = "PROMQL_TEST_SCRIPTS";

const MODULE: &str = "github.com/prometheus/prometheus";

/// Returns the scripts in the order of their names: the name and the text.
pub(crate) fn scripts() -> Vec<(String, String)> {
    let folder = match std::env::var_os(FOLDER) {
        Some(folder) => PathBuf::from(folder),
        None => module().join("promql/promqltest/testdata"),
    };
    let remedy = format!("set {FOLDER} to a folder with Prometheus' promql/promqltest/testdata");
    let entries = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}; {remedy}", folder.display()));
    let mut scripts = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "test") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            scripts.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    scripts.sort();
    assert!(
        !scripts.is_empty(),
        "{} has no scripts; {remedy}",
        folder.display()
    );
    scripts
}

/// Returns the folder of the module that the conformance tests pin; Go downloads it unless it is there.
fn module() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/promql");
    let remedy = format!(
        "install Go {} or later, with access to a module proxy, or set {FOLDER} to a folder with Prometheus' \
         promql/promqltest/testdata",
        version(&folder)
    );
    let output = Command::new("go")
        .args(["mod", "download", "-json", MODULE])
        .env("GOWORK", "off")
        .current_dir(&folder)
        .output()
        .unwrap_or_else(|error| panic!("cannot run `go` to obtain {MODULE}: {error}; {remedy}"));
    let json = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "`go mod download {MODULE}` failed: {json}{errors}; {remedy}"
    );
    let directory = json
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"Dir\": \"")?.split('"').next());
    PathBuf::from(directory.unwrap_or_else(|| panic!("go reports no folder of {MODULE}: {json}")))
}

/// Returns the version of Go that the module needs.
fn version(folder: &Path) -> String {
    let file = std::fs::read_to_string(folder.join("go.mod")).unwrap();
    let version = file.lines().find_map(|line| line.strip_prefix("go "));
    version.expect("go.mod names a version").to_owned()
}
