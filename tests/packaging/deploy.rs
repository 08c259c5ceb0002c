//! `make deploy`, as checked by `tests/packaging/deploy`.

use timestream_emulator::{Config, Emulator};

use crate::support::{obtained, program, root};

#[tokio::test(flavor = "multi_thread")]
async fn deploying_takes_enter_four_times() {
    let config = Config::default();
    let emulator = Emulator::start(config).await.expect("the emulator starts");
    let python = obtained("python.sh", &["lambda"]);
    obtained("python.sh", &["password"]);
    let output = program(&python)
        // No compiled files beside the sources.
        .args(["-B", "-m", "unittest", "discover", "--start-directory"])
        .arg(root().join("tests/packaging/deploy"))
        .env("BOOTSTRAP", env!("CARGO_BIN_EXE_bootstrap"))
        .env("EMULATOR", emulator.url())
        .env("PROMTOOL", obtained("prometheus.sh", &["promtool"]))
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .output()
        .expect("the python that was obtained runs");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    // A run that finds no tests must not count as one that passes.
    assert!(report.contains("\nRan 5 tests in "), "{report}");
    assert!(report.ends_with("\nOK\n"), "none is skipped: {report}");
}
