//! Clients that know nothing of the emulator: the SDK for Python and the AWS command line.
//!
//! Their tests are in `tests/strangers`; a fresh machine obtains them by `scripts/python.sh`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

#[test]
fn python_and_the_command_line_are_served() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/strangers");
    let output = Command::new(python())
        // No compiled files beside the sources.
        .args(["-B", "-m", "unittest", "discover", "--start-directory"])
        .arg(&tests)
        .env(
            "TIMESTREAM_EMULATOR",
            env!("CARGO_BIN_EXE_timestream-emulator"),
        )
        .output()
        .expect("the python that was obtained runs");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}{report}",
        String::from_utf8_lossy(&output.stdout)
    );
    // A run that finds no tests must not count as one that passes.
    let files = std::fs::read_dir(&tests).expect("the folder of the tests");
    let is_test = |name: &str| name.starts_with("test_") && name.ends_with(".py");
    let files = files
        .filter_map(|file| file.expect("its entries").file_name().into_string().ok())
        .filter(|name| is_test(name))
        .count();
    assert!(files > 0 && tests_run(&report) >= files, "{report}");
    assert!(report.ends_with("\nOK\n"), "none is skipped: {report}");
}

/// Returns the number in unittest's "Ran 59 tests in 12.3s".
fn tests_run(report: &str) -> usize {
    let after = report.split("\nRan ").nth(1).unwrap_or_default();
    let number = after.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

/// Returns a Python with boto3 and the AWS command line, from the cache or made: see the script.
fn python() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/python.sh");
    let output = Command::new("bash")
        .arg(script)
        .stderr(Stdio::inherit())
        .output()
        .expect("bash runs");
    assert!(
        output.status.success(),
        "no Python can be had; the lines above say why"
    );
    String::from_utf8(output.stdout)
        .expect("the path is text")
        .trim_end()
        .into()
}
