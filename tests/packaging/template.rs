//! `template.yaml`, as checked by `tests/packaging/template`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use timestream_prometheus_connector::config::options::OPTIONS;
use tokio::process::Command;

use crate::support::{obtained, program, root, write_and_read};

#[tokio::test]
async fn the_template_keeps_its_promises() {
    let options: Vec<Value> = OPTIONS
        .iter()
        .map(|option| json!({"variable": option.variable, "default": option.default}))
        .collect();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("options.json");
    std::fs::write(&file, Value::from(options).to_string()).expect("target can be written");
    let tests = root().join("tests/packaging/template");
    let python = obtained("python.sh", &["lambda"]);
    let output = program(&python)
        // No compiled files beside the sources.
        .args(["-B", "-m", "unittest", "discover", "--start-directory"])
        .arg(&tests)
        .env("OPTIONS", file)
        .env("SAM", python.with_file_name("sam"))
        .env("PRINTED_METRICS", printed_metrics().await)
        .output()
        .expect("the python that was obtained runs");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    // A run that finds no tests must not count as one that passes.
    let count = report.split("\nRan ").nth(1);
    let count = count.and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
    assert!(count.is_some_and(|count| count > 20), "{report}");
    assert!(report.ends_with("\nOK\n"), "none is skipped: {report}");
}

/// Returns the names of the metrics that a function prints for a write and a read, comma separated.
async fn printed_metrics() -> String {
    let left = write_and_read(Command::new(env!("CARGO_BIN_EXE_bootstrap"))).await;
    let mut names = BTreeSet::new();
    for line in left.stdout.lines() {
        let line: Value = serde_json::from_str(line).expect("stdout has metrics only");
        let described = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(described["Namespace"], "TimestreamConnector");
        assert_eq!(described["Dimensions"], json!([["FunctionName"]]));
        for metric in described["Metrics"].as_array().expect("metrics") {
            names.insert(metric["Name"].as_str().expect("a name").to_owned());
        }
    }
    names.into_iter().collect::<Vec<_>>().join(",")
}
