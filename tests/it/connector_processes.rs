//! Connector definitions in the real binary: by schedule, by file, by hand, killed and started again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use timestream_emulator::Emulator;
use tokio::process::Command;

use crate::exporter::Exporter;
use crate::standalone::{Connector, command};
use crate::state::{Dynamo, TABLE};
use crate::support::{start_emulator, table};

fn definition(name: &str, endpoint: &str, schedule_ms: Option<u64>) -> Value {
    json!({
        "name": name, "type": "prometheus", "target_database": "db", "target_table": "t",
        "schedule_ms": schedule_ms, "config": {"endpoint": endpoint},
    })
}

/// Asks for JSON; `null` where the answer has no body.
async fn ask(connector: &Connector, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/v1/connectors{path}", connector.url);
    let answer = soak::http::client()
        .request(method.parse().unwrap(), url)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// Times at which `scrapes_total` was stored, in milliseconds.
fn stored(emulator: &Emulator) -> BTreeSet<i64> {
    let points = emulator.points("db", "t").into_iter();
    let counters = points.filter(|point| point.measure_name == "scrapes_total");
    counters.map(|point| point.time_ns / 1_000_000).collect()
}

#[tokio::test]
async fn definitions_survive_kill_9() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let exporter = Exporter::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let state = format!(
        "--state-store=file:{}",
        folder.path().join("state").display()
    );
    let connector = Connector::start(&emulator, &[&state]).await;
    for (name, schedule) in [("a", Some(200)), ("b", None)] {
        let made = ask(
            &connector,
            "POST",
            "",
            &definition(name, &exporter.url, schedule),
        )
        .await;
        assert_eq!(made, (201, json!({"id": name})));
    }
    exporter.until_scraped(3).await;
    let post = async |connector: &Connector, path: &str| {
        let (status, _) = ask(connector, "POST", path, &Value::Null).await;
        assert_eq!(status, 204, "{path}");
    };
    // A run that is cut off would keep its lease for a minute.
    post(&connector, "/a/pause").await;
    while ask(&connector, "GET", "/a", &Value::Null).await.1["running"] == true {
        tokio::task::yield_now().await;
    }
    connector.kill().await;

    let before = stored(&emulator).len();
    let connector = Connector::start(&emulator, &[&state]).await;
    let (_, list) = ask(&connector, "GET", "", &Value::Null).await;
    let items = list["items"].as_array().unwrap();
    let known = |item: &Value| ["id", "schedule_ms", "paused"].map(|key| item[key].clone());
    assert_eq!(known(&items[0]), [json!("a"), json!(200), json!(true)]);
    assert_eq!(known(&items[1]), [json!("b"), json!(null), json!(false)]);
    assert_eq!(items.len(), 2);
    assert!(items[0]["last_success_at"].is_string(), "{list}");
    post(&connector, "/a/resume").await;
    exporter.until_scraped(3).await;
    assert!(stored(&emulator).len() >= before + 3);
    assert_eq!(ask(&connector, "DELETE", "/a", &Value::Null).await.0, 204);
    let (status, log) = connector.terminate().await;
    assert_eq!(status, Some(0), "{log}");
}

#[tokio::test]
async fn a_process_ends_the_series_that_another_has_seen() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let exporter = Exporter::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let state = format!(
        "--state-store=file:{}",
        folder.path().join("state").display()
    );
    let flags = [state.as_str(), "--store-special-values"];
    let connector = Connector::start(&emulator, &flags).await;
    let scrape = definition("a", &exporter.url, Some(200));
    assert_eq!(ask(&connector, "POST", "", &scrape).await.0, 201);
    exporter.until_scraped(3).await;
    // A run that is cut off would keep its lease for a minute.
    let (status, _) = ask(&connector, "POST", "/a/pause", &Value::Null).await;
    assert_eq!(status, 204);
    while ask(&connector, "GET", "/a", &Value::Null).await.1["running"] == true {
        tokio::task::yield_now().await;
    }
    connector.kill().await;
    drop(exporter);
    let last = *stored(&emulator).last().unwrap();

    let connector = Connector::start(&emulator, &flags).await;
    let (status, _) = ask(&connector, "POST", "/a/resume", &Value::Null).await;
    assert_eq!(status, 204);
    let times_of = |name: &str, is_marker: bool| -> Vec<i64> {
        let points = emulator.points("db", "t").into_iter();
        let points = points.filter(|point| {
            let mut values = point.dimensions.values();
            let is_one = values.any(|value| value == "7ff0000000000002");
            point.measure_name == name && is_one == is_marker
        });
        points.map(|point| point.time_ns / 1_000_000).collect()
    };
    let failed = || {
        times_of("up", false)
            .iter()
            .filter(|time| **time > last)
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while failed() < 3 {
        assert!(Instant::now() < deadline, "the target is not scraped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let markers = times_of("scrapes_total", true);
    assert!(matches!(markers[..], [time] if time > last), "{markers:?}");
    assert_eq!(times_of("up", true), [] as [i64; 0]);
}

#[tokio::test]
async fn of_two_processes_on_one_table_each_bucket_is_run_by_one() {
    let dynamo = Dynamo::start().await;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let exporter = Exporter::start(None).await;
    let flags = [
        "--default-database=db",
        "--default-table=t",
        &format!("--state-store=dynamodb:{TABLE}"),
        "--log.level=debug",
    ];
    let variables = [
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamo.moto.url.as_str()),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ];
    let made = Connector::start_with(&emulator, &flags, &variables).await;
    let scrape = definition("a", &exporter.url, Some(500));
    assert_eq!(ask(&made, "POST", "", &scrape).await.0, 201);
    let second = Connector::start_with(&emulator, &flags, &variables).await;
    exporter.until_scraped(20).await;
    let (status, first_log) = made.terminate().await;
    assert_eq!(status, Some(0), "{first_log}");
    let (status, second_log) = second.terminate().await;
    assert_eq!(status, Some(0), "{second_log}");

    // Each scrape was told another number, so two of one bucket would have been told apart, and one
    // that was cut off at the end was not stored.
    let stored = stored(&emulator);
    assert!(stored.iter().all(|time| time % 500 == 0), "{stored:?}");
    let ran = |log: &str| log.matches("result=complete").count();
    let lost = |log: &str| log.matches("result=claim_lost").count();
    assert_eq!(ran(&first_log) + ran(&second_log), stored.len());
    let unfinished = exporter.hits() - stored.len() as u64;
    assert!(unfinished <= 1, "{unfinished}");
    assert!(
        lost(&first_log) + lost(&second_log) >= 10,
        "both have tried"
    );
}

#[tokio::test]
async fn a_file_of_definitions_is_run() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let exporter = Exporter::start(Some("Basic bWU6b3BlbiBzZXNhbWU=")).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "open sesame\n").unwrap();
    let mut scrape = definition("a", &exporter.url, Some(200));
    scrape["config"]["auth"] =
        json!({"type": "basic", "username": "me", "password_ref": "$file:password"});
    let file = folder.path().join("connectors.json");
    std::fs::write(&file, json!([scrape]).to_string()).unwrap();
    let file = format!("--connectors.file={}", file.display());
    let secrets = format!("--secrets-dir={}", folder.path().display());
    let connector = Connector::start(&emulator, &[&file, &secrets]).await;
    exporter.until_scraped(3).await;
    let (_, item) = ask(&connector, "GET", "/a", &Value::Null).await;
    assert_eq!(item["source"], "file");
    assert_eq!(ask(&connector, "DELETE", "/a", &Value::Null).await.0, 409);
    let (status, log) = connector.terminate().await;
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("in memory only"), "{log}");
}

#[tokio::test]
async fn a_missing_secret_disables_and_the_log_says_so() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let exporter = Exporter::start(None).await;
    let connector = Connector::start(&emulator, &[]).await;
    let mut scrape = definition("a", &exporter.url, None);
    scrape["config"]["auth"] =
        json!({"type": "basic", "username": "me", "password_ref": "$file:password"});
    assert_eq!(ask(&connector, "POST", "", &scrape).await.0, 201);
    assert_eq!(
        ask(&connector, "POST", "/a/trigger", &Value::Null).await.0,
        202
    );
    let item = loop {
        let (_, item) = ask(&connector, "GET", "/a", &Value::Null).await;
        if item["disabled_reason"].is_string() {
            break item;
        }
    };
    let reason = item["disabled_reason"].as_str().unwrap();
    assert!(
        reason.starts_with("password resolve: $file:password needs"),
        "{reason}"
    );
    let (_, log) = connector.terminate().await;
    assert!(log.contains("Job `a` failed."), "{log}");
    assert!(log.contains("disabled=true"), "{log}");
    assert_eq!(exporter.hits(), 0);
}

/// Runs a definition by hand; the exit status, standard output and standard error.
async fn run(emulator: &Emulator, file: &Path, flags: &[&str]) -> (Option<i32>, String, String) {
    let path = file.to_str().unwrap();
    let output = command(&[&["run", path], flags].concat())
        .env("AWS_ENDPOINT_URL", emulator.url())
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn a_definition_runs_by_hand() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let exporter = Exporter::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scrape.json");
    std::fs::write(
        &file,
        definition("a", &exporter.url, Some(15_000)).to_string(),
    )
    .unwrap();
    let (status, out, log) = run(&emulator, &file, &[]).await;
    assert_eq!(status, Some(0), "{log}");
    let count = emulator.points("db", "t").len();
    assert_eq!(
        out,
        format!(
            "a: complete\n  2 samples received and 3 added, {count} stored, 0 rejected, 0 dead letters\n"
        )
    );
    assert_eq!(count, 5);
    assert!(folder.path().join("scrape.json.state").is_dir());

    let gone = definition("b", "http://127.0.0.1:1/metrics", None);
    std::fs::write(&file, gone.to_string()).unwrap();
    let (status, out, log) = run(&emulator, &file, &[]).await;
    assert_eq!(status, Some(1), "{log}");
    assert!(out.starts_with("b: failed\n"), "{out}");
    assert!(out.contains("\n  error: "), "{out}");
    assert!(log.contains("level=error"), "{log}");

    std::fs::write(&file, r#"{"name": "a", "type": "prometheus", "confg": 1}"#).unwrap();
    let (status, out, log) = run(&emulator, &file, &[]).await;
    assert_eq!((status, out.as_str()), (Some(2), ""));
    for fault in [
        "unknown field `confg`",
        "missing field `target_database`",
        "endpoint",
    ] {
        assert!(log.contains(fault), "{log}");
    }
    let (status, _, log) = run(&emulator, &folder.path().join("none"), &[]).await;
    assert_eq!(status, Some(2), "{log}");
}

/// The file of a definition `a` whose run does not end before the exporter lets it.
fn held_scrape(exporter: &Exporter, folder: &Path) -> PathBuf {
    exporter.hold();
    let file = folder.join("scrape.json");
    let mut scrape = definition("a", &exporter.url, None);
    scrape["config"]["timeout_ms"] = 60_000.into();
    std::fs::write(&file, scrape.to_string()).unwrap();
    file
}

#[tokio::test]
async fn a_run_by_hand_that_was_killed_is_in_nobodys_way() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let exporter = Exporter::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let file = held_scrape(&exporter, folder.path());
    let mut killed = command(&["run", file.to_str().unwrap()])
        .env("AWS_ENDPOINT_URL", emulator.url())
        .spawn()
        .unwrap();
    exporter.until_requested(1).await;
    let (status, out, log) = run(&emulator, &file, &[]).await;
    assert_eq!(status, Some(1), "{log}");
    assert_eq!(out, "a: did not run: another run of it has not ended\n");
    killed.kill().await.unwrap();
    exporter.release();
    let (status, out, log) = run(&emulator, &file, &[]).await;
    assert_eq!(status, Some(0), "{log}");
    assert!(out.starts_with("a: complete\n"), "{out}");
}

#[tokio::test]
async fn a_run_by_hand_that_is_interrupted_says_so() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let exporter = Exporter::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let file = held_scrape(&exporter, folder.path());
    let running = command(&["run", file.to_str().unwrap()])
        .env("AWS_ENDPOINT_URL", emulator.url())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    exporter.until_requested(1).await;
    let pid = running.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(sent.unwrap().success());
    let output = running.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130));
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.starts_with("a: interrupted; run it again"), "{out}");
}
