//! The project's own tools, and one write and one read through a function.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prom_wire::prompb::ReadResponse;
use serde_json::Value;
use timestream_emulator::{Config as EmulatorConfig, Emulator, TableSpec};
use tokio::process::Command as AsyncCommand;

use crate::runtime_api::{Function, Left, RuntimeApi};

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns a file of the repository.
pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Starts of variables that cargo sets for the package under test.
const OF_THE_PACKAGE: [&str; 6] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_EXE_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY",
    "CARGO_TARGET_TMPDIR",
];
/// Other variables that cargo sets; the last four come from the build script.
const OF_A_BUILD: [&str; 7] = [
    "CARGO",
    "LD_LIBRARY_PATH",
    "OUT_DIR",
    "SOURCE_REVISION",
    "BUILD_TARGET",
    "BUILD_PROFILE",
    "BUILD_COMPILER",
];

/// Returns a program, started in the root as a person would: without the variables that cargo sets
/// for its tests, which would make a cargo started by it build what is built already.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if OF_A_BUILD.contains(&&*name) || OF_THE_PACKAGE.iter().any(|it| name.starts_with(it)) {
            command.env_remove(&variable);
        }
    }
    command
}

/// Returns the output of a program, which must succeed.
pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .expect("it starts");
    assert!(
        output.status.success(),
        "{command:?}: the lines above say why"
    );
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Returns the path that a script prints.
pub(crate) fn obtained(script: &str, arguments: &[&str]) -> PathBuf {
    let output = output_of(program(format!("scripts/{script}")).args(arguments));
    output.trim_end().into()
}

/// Returns a directory of its own for each test, below `target`.
pub(crate) fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("target can be written");
    directory
}

/// Starts an emulator with a table for the samples of `events/`, which are old.
pub(crate) async fn start_emulator() -> Emulator {
    let table = TableSpec {
        magnetic_writes: true,
        ..TableSpec::new("prometheus", "samples")
    };
    let config = EmulatorConfig {
        tables: vec![table],
        ..EmulatorConfig::default()
    };
    Emulator::start(config).await.expect("the emulator starts")
}

/// The options of a function that the events of `events/` fit.
pub(crate) const OPTIONS: [(&str, &str); 3] = [
    ("database_label", "PrometheusDatabaseLabel"),
    ("table_label", "PrometheusTableLabel"),
    ("bearer_token", "local"),
];
/// Samples in `events/http-api-write.json`.
pub(crate) const SAMPLES: u64 = 4;

/// Runs a function in front of an emulator for one write, one without a token, OTLP metrics, one read and some
/// queries, and returns its output.
pub(crate) async fn write_and_read(command: AsyncCommand) -> Left {
    let emulator = start_emulator().await;
    let api = RuntimeApi::start().await;
    let mut variables = api.variables(&emulator.url());
    variables.extend(OPTIONS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let function = Function::start(command, &variables);

    let response = api.invoke(text("events/http-api-write.json")).await.http();
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(emulator.counters().records_accepted, SAMPLES);

    let mut stranger: Value = serde_json::from_str(&text("events/http-api-write.json")).unwrap();
    stranger["headers"]["authorization"] = "Bearer other".into();
    let response = api.invoke(stranger.to_string()).await.http();
    assert_eq!(response.status, 401, "{}", response.text());

    let response = api.invoke(text("events/http-api-otlp.json")).await.http();
    assert_eq!(response.status, 200, "{}", response.text());

    let response = api.invoke(text("events/http-api-read.json")).await.http();
    assert_eq!(response.status, 200, "{}", response.text());
    let message = prom_wire::decompress(&response.body, usize::MAX).expect("snappy");
    let response: ReadResponse = prom_wire::decode(&message).expect("a response");
    assert_eq!(response.results[0].timeseries[0].samples.len(), 2);

    // A query of each status that the template's alarms and dashboard know.
    let event: Value = serde_json::from_str(&text("events/http-api-query.json")).unwrap();
    let sent = event["rawQueryString"].as_str().expect("a query string");
    let encoded = |query: &str| -> String {
        let query = form_urlencoded::byte_serialize(query.as_bytes());
        format!("query={}", query.collect::<String>())
    };
    for (query, status) in [
        (sent.to_owned(), 200),
        (encoded("up{"), 400),
        (
            encoded(r#"label_replace(vector(1), "a", "", "b", "(")"#),
            422,
        ),
        (format!("{sent}&timeout=0.000001"), 503),
    ] {
        let mut event = event.clone();
        event["rawQueryString"] = query.clone().into();
        let response = api.invoke(event.to_string()).await.http();
        assert_eq!(response.status, status, "{query}: {}", response.text());
    }

    let left = function.stop().await;
    assert_eq!(left.status, Some(0), "{}", left.stderr);
    left
}
