//! The program for Windows, under Wine.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use prom_wire::prompb::{
    Label, LabelMatcher, Query, ReadRequest, ReadResponse, Sample, TimeSeries, WriteRequest,
};
use timestream_emulator::{Config, Emulator, TableSpec};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::tools;

/// Returns a command in the root of the repository, without the variables that cargo sets for its tests, which would
/// make a cargo started by it build what is built already.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        let of_cargo = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_EXE_", "BUILD_"];
        let others = ["CARGO", "LD_LIBRARY_PATH", "OUT_DIR", "SOURCE_REVISION"];
        if others.contains(&&*name) || of_cargo.iter().any(|start| name.starts_with(start)) {
            command.env_remove(&variable);
        }
    }
    command
}

async fn run(command: &mut Command) {
    let status = command.status().await.unwrap();
    assert!(status.success(), "{command:?}: the lines above say why");
}

/// Builds the program, and the library that Wine lacks beside a copy of it.
async fn built(folder: &Path) -> PathBuf {
    const TARGET: &str = "x86_64-pc-windows-gnu";
    let below = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    run(command("scripts/windows.sh")
        .args(["cargo", "build", "--locked", "--bin", "bootstrap"])
        .args(["--target", TARGET])
        .env("CARGO_TARGET_DIR", below)
        .env("CARGO_INCREMENTAL", "0"))
    .await;
    let copy = folder.join("bootstrap.exe");
    std::fs::copy(below.join(TARGET).join("debug/bootstrap.exe"), &copy).unwrap();
    run(command(tools::windows("gcc").await)
        .args(["-shared", "-o"])
        .arg(folder.join("bcryptprimitives.dll"))
        .args(["tests/conformance/bcryptprimitives.c", "-ladvapi32"]))
    .await;
    copy
}

async fn post(url: String, body: Vec<u8>) -> reqwest::Response {
    let request = soak::http::client().post(url).body(body);
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stores_and_returns_samples_and_stops_on_ctrl_c() {
    let emulator = Emulator::start(Config {
        tables: vec![TableSpec::new("db", "t")],
        ..Config::default()
    });
    let emulator = emulator.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let binary = built(folder.path()).await;
    let mut process = Command::new(tools::windows("run").await)
        .arg(binary)
        .args([
            "--default-database=db",
            "--default-table=t",
            "--region=us-east-1",
        ])
        .arg("--web.listen-address=127.0.0.1:0")
        .env("AWS_ENDPOINT_URL", emulator.url())
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap();
        let line = line.expect("it says where it listens");
        eprintln!("{line}");
        if let Some((_, rest)) = line.split_once("address=") {
            break rest.split(' ').next().unwrap().to_owned();
        }
    };

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let timestamp = i64::try_from(now.as_millis()).unwrap();
    let label = |name: &str, value: &str| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let series = TimeSeries {
        labels: vec![label("__name__", "up"), label("job", "windows")],
        samples: vec![Sample {
            value: 1.5,
            timestamp,
        }],
        ..TimeSeries::default()
    };
    let request = WriteRequest {
        timeseries: vec![series.clone()],
        metadata: vec![],
    };
    let url = format!("http://{address}");
    let response = post(format!("{url}/write"), prom_wire::encode(&request).unwrap()).await;
    assert_eq!(response.status(), 204, "{:?}", response.text().await);
    assert_eq!(emulator.points("db", "t").len(), 1);

    let request = ReadRequest {
        queries: vec![Query {
            start_timestamp_ms: timestamp - 1,
            end_timestamp_ms: timestamp + 1,
            matchers: vec![LabelMatcher {
                name: "__name__".to_owned(),
                value: "up".to_owned(),
                ..LabelMatcher::default()
            }],
            ..Query::default()
        }],
        ..ReadRequest::default()
    };
    let response = post(format!("{url}/read"), prom_wire::encode(&request).unwrap()).await;
    assert_eq!(response.status(), 200, "{:?}", response.text().await);
    let message = prom_wire::decompress(&response.bytes().await.unwrap(), usize::MAX).unwrap();
    let response: ReadResponse = prom_wire::decode(&message).unwrap();
    assert_eq!(response.results[0].timeseries, [series]);

    // Wine turns the signal into Ctrl-C.
    let pid = process.id().unwrap().to_string();
    run(Command::new("kill").args(["-INT", &pid])).await;
    let mut log = String::new();
    lines.get_mut().read_to_string(&mut log).await.unwrap();
    let status = process.wait().await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("message=Stopped."), "{log}");
}
