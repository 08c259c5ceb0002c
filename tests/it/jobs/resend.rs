//! Dead letters of a sink, sent to its endpoint again by `bootstrap replay --sink`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::Workplace;
use super::sink::{Received, Receiver, held, history, receiving, row, sink, store};
use crate::dead_letters::{letters, replay};
use crate::standalone::command;
use crate::support::{START_MS, start_emulator, table};

/// A file with a sink that sends to `url`.
fn definition(folder: &Path, name: &str, url: &str) -> PathBuf {
    let definition = json!({
        "name": name, "type": "prometheus_sink",
        "config": {
            "url": url, "key_label": "labels", "key_value": "value", "key_timestamp": "time",
            "batch_size": 100, "retry": 2, "retry_backoff_multiplier_ms": 1,
        },
    });
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, definition.to_string()).unwrap();
    path
}

fn letter(connector: Option<&str>, x: u32, time: i64) -> String {
    let (reason, connector) = match connector {
        Some(name) => ("out_of_order", format!("\"connector\":\"{name}\",")),
        None => ("duplicate_version", String::new()),
    };
    format!(
        r#"{{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"{reason}","message":"as it was",{connector}"labels":[["__name__","m"],["x","{x}"]],"samples":[[{time},"1.5"]]}}"#
    ) + "\n"
}

fn text_of(folder: &Path) -> String {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files.iter().map(|it| std::fs::read_to_string(it).unwrap());
    texts.collect()
}

#[tokio::test]
async fn what_a_prometheus_refused_reaches_one_that_takes_it() {
    for message in ["1.0", "2.0"] {
        let workplace = Workplace::start().await;
        let prometheus = receiving(&[], "").await;
        let url = format!("{}/api/v1/write", prometheus.url);
        let job = sink(&url, json!({"protobuf_message": message}));
        let at = |minute: i64| START_MS + minute * 60_000;
        let newest = json!([row("a", "1", at(20), 1.0)]).to_string();
        assert_eq!(workplace.push_rows(&*job, &newest).await.rows, 1);
        let rows: Vec<Value> = (10..20)
            .map(|i| row("a", "1", at(i), i as f64))
            .chain([json!({"labels": {"__name__": "a"}, "value": null})])
            .collect();
        let report = workplace.push_rows(&*job, &json!(rows).to_string()).await;
        assert_eq!((report.rows, report.dead_lettered), (0, 11));
        // Those of another sink, and of the connector itself.
        let folder = workplace.letters.path();
        let others = letter(Some("other"), 1, START_MS) + &letter(None, 2, START_MS);
        std::fs::write(folder.join("dead-letters-1.jsonl"), &others).unwrap();

        // It is not for Timestream.
        let place = folder.to_str().unwrap();
        let arguments = [place, "--default-database=db", "--default-table=t"];
        let (status, text) = replay(&workplace.emulator.url(), &arguments).await;
        assert_eq!(status, Some(0), "{text}");
        assert!(text.starts_with("replayed 1 samples: 1 stored"), "{text}");
        assert!(text.contains("2 letters stay for the sink test"), "{text}");
        assert!(text.contains("1 letters stay for the sink other"), "{text}");
        assert_eq!(workplace.emulator.points("db", "t").len(), 1);
        std::fs::write(folder.join("dead-letters-2.jsonl"), &others).unwrap();

        // The endpoint still refuses them: they stay, each once.
        let definitions = tempfile::tempdir().unwrap();
        let file = definition(definitions.path(), "test", &url);
        let sink_flag = format!("--sink={}", file.display());
        for _ in 0..2 {
            let (status, text) = replay("http://127.0.0.1:1", &[place, &sink_flag]).await;
            assert_eq!(status, Some(1), "{text}");
            assert!(
                text.starts_with("replayed 11 samples: 0 stored, 11 not stored"),
                "{text}"
            );
            assert!(text.contains("10 rejected again: out_of_order"), "{text}");
            assert!(text.contains("1 rejected again: bad_row"), "{text}");
            assert!(text.contains("1 letters stay for Timestream"), "{text}");
            let kept = letters(folder);
            let samples: usize = kept.iter().map(|it| it.samples.len()).sum();
            assert_eq!((samples, kept.len()), (10 + 3, 5), "{kept:?}");
        }

        // Another one takes them.
        let config = "storage: {tsdb: {out_of_order_time_window: 30d}}";
        let other = receiving(&[], config).await;
        let url = format!("{}/api/v1/write", other.url);
        let job = sink(&url, json!({}));
        assert_eq!(workplace.push_rows(&*job, &newest).await.rows, 1);
        definition(definitions.path(), "test", &url);
        let (status, text) = replay("http://127.0.0.1:1", &[place, &sink_flag]).await;
        assert_eq!(status, Some(1), "{text}");
        assert!(text.starts_with("replayed 11 samples: 10 stored"), "{text}");
        assert_eq!(held(&other).await.count(), 11);
        let left = letters(folder);
        let mut reasons: Vec<_> = left
            .iter()
            .map(|it| (it.connector.as_deref(), it.reason.as_str()))
            .collect();
        reasons.sort_unstable();
        let expected = [
            (None, "duplicate_version"),
            (Some("other"), "out_of_order"),
            (Some("other"), "out_of_order"),
            (Some("test"), "bad_row"),
        ];
        assert_eq!(reasons, expected);
        assert!(text_of(folder).contains(&others));
    }
}

/// Before letters had the name of their sink.
#[tokio::test]
async fn letters_of_sinks_of_earlier_versions_stay_until_they_are_named() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead-letters-1.jsonl");
    let place = folder.path().to_str().unwrap();
    let reasons = [
        "duplicate",
        "out_of_order",
        "too_old",
        "rejected",
        "refused",
    ];
    let old: String = (0..)
        .zip(reasons)
        .map(|(x, reason)| letter(None, x, START_MS).replace("duplicate_version", reason))
        .collect();
    let own = letter(None, 9, START_MS);
    std::fs::write(&path, old.clone() + &own).unwrap();
    let arguments = [place, "--default-database=db", "--default-table=t"];
    let (status, text) = replay(&emulator.url(), &arguments).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.starts_with("replayed 1 samples: 1 stored"), "{text}");
    assert!(text.contains("5 letters of sinks stay"), "{text}");
    assert_eq!(emulator.points("db", "t").len(), 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), old);

    let receiver = Receiver::start(|_, _| StatusCode::OK).await;
    let file = definition(folder.path(), "s", &receiver.url);
    let sink_flag = format!("--sink={}", file.display());
    let letters_of = path.to_str().unwrap();
    let (status, text) = replay("http://127.0.0.1:1", &[letters_of, &sink_flag]).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("5 letters of sinks stay"), "{text}");
    assert!(receiver.samples().is_empty());
    let named = old.replace(r#""labels":"#, r#""connector":"s","labels":"#);
    std::fs::write(&path, named).unwrap();
    let (status, text) = replay("http://127.0.0.1:1", &[letters_of, &sink_flag]).await;
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(receiver.samples().concat().len(), 5);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_resend_that_is_killed_loses_and_repeats_no_letter() {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<String> = (0..4_000).map(|x| letter(Some("s"), x, 7)).collect();
    for (number, part) in all.chunks(1_500).enumerate() {
        let path = folder.path().join(format!("dead-letters-{number}.jsonl"));
        std::fs::write(path, part.concat()).unwrap();
    }
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    // Each hundredth series is refused for good.
    let receiver = Receiver::start(move |_, received: &Received| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2));
        let is_bad = |it: &(String, i64, f64)| it.0.contains("00\"");
        match received.samples.iter().any(is_bad) {
            true => (StatusCode::BAD_REQUEST, "out of bounds"),
            false => (StatusCode::OK, ""),
        }
    })
    .await;
    let definitions = tempfile::tempdir().unwrap();
    let file = definition(definitions.path(), "s", &receiver.url);
    let flag = format!("--sink={}", file.display());
    let (mut kills, mut status) = (0, None);
    while status.is_none() {
        let mut resend = command(&["replay", folder.path().to_str().unwrap(), &flag]);
        let mut process = resend.stdout(Stdio::null()).spawn().unwrap();
        let before = requests.load(Ordering::Relaxed);
        // Each time later, until all of it is done.
        let limit = before + 40 * (kills + 1);
        status = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break Some(status);
            }
            if requests.load(Ordering::Relaxed) > limit {
                process.kill().await.unwrap();
                break None;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        kills += usize::from(status.is_none());
        assert!(kills < 60, "it does not come to an end");
    }
    assert!(kills >= 2, "{kills}");
    assert_eq!(status.unwrap().code(), Some(1));
    let is_good =
        |received: &Vec<(String, i64, f64)>| received.iter().all(|it| !it.0.contains("00\""));
    let taken = receiver.samples().into_iter().filter(is_good).flatten();
    let taken: BTreeSet<_> = taken.map(|(labels, time, _)| (labels, time)).collect();
    let left = letters(folder.path());
    let named: BTreeSet<_> = left.iter().map(|it| it.labels[1].1.clone()).collect();
    // 100, 200, ... 3900.
    assert_eq!((taken.len(), left.len(), named.len()), (3_961, 39, 39));
    assert!(left.iter().all(|it| it.reason == "too_old"), "{left:?}");
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|it| !it.to_string_lossy().contains("part"))
    );
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_not_asked_for_each_letter() {
    for code in [503, 401, 402] {
        let receiver = Receiver::start(move |_, _: &Received| StatusCode::from_u16(code).unwrap());
        let receiver = receiver.await;
        let folder = tempfile::tempdir().unwrap();
        let all: String = (0..2_500).map(|x| letter(Some("s"), x, 7)).collect();
        let path = folder.path().join("dead-letters-1.jsonl");
        std::fs::write(&path, &all).unwrap();
        let definitions = tempfile::tempdir().unwrap();
        let file = definition(definitions.path(), "s", &receiver.url);
        let flag = format!("--sink={}", file.display());
        let place = path.to_str().unwrap();
        let (status, text) = replay("http://127.0.0.1:1", &[place, &flag]).await;
        assert_eq!(status, Some(1), "{text}");
        let tries = if code == 503 { 3 } else { 1 };
        assert_eq!(receiver.requests().len(), tries, "{code}");
        assert!(text.contains("failed for now, replay once more"), "{text}");
        assert!(text.contains(&code.to_string()), "{text}");
        // As they were, in some order.
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        let left = std::fs::read_to_string(&path).unwrap();
        assert_eq!(sorted(&left), sorted(&all));
    }
}

#[tokio::test]
async fn a_log_and_histograms_are_resent_and_a_log_stays() {
    let receiver = Receiver::start(|_, _: &Received| StatusCode::OK).await;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // A native histogram with a sum of 2.5.
    let line = r#"{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"out_of_order","connector":"s","labels":[["__name__","h"]],"samples":[],"histograms":[[9,"GQAAAAAAAARA"]]}"#;
    let logged = json!({"level": "error", "dead_letter": line}).to_string() + "\n";
    let text = format!(
        "level=info message=hello\n{logged}{}",
        letter(Some("s"), 1, 7)
    );
    std::fs::write(&log, &text).unwrap();
    let file = definition(folder.path(), "s", &receiver.url);
    let flag = format!("--sink={}", file.display());
    let arguments = [log.to_str().unwrap(), &flag];
    let (status, printed) = replay(&emulator.url(), &arguments).await;
    assert_eq!(status, Some(0), "{printed}");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), text);
    let mut seen = receiver.samples().concat();
    seen.sort_by_key(|it| it.1);
    let expected = [
        ("{__name__=\"m\", x=\"1\"}".to_owned(), 7, 1.5),
        ("{__name__=\"h\"}".to_owned(), 9, 2.5),
    ];
    assert_eq!(seen, expected);
    assert_eq!(emulator.points("db", "t").len(), 0);
}

#[tokio::test]
async fn a_run_names_the_command_that_sends_its_letters_again() {
    let workplace = Workplace::start().await;
    let all = history("first_total");
    store(&workplace, "t", all).await;
    let taking = Arc::new(AtomicUsize::new(0));
    let accepts_old = Arc::clone(&taking);
    let receiver = Receiver::start(move |_, received: &Received| {
        let is_old = |it: &(String, i64, f64)| it.1 < START_MS + 60_000;
        match accepts_old.load(Ordering::Relaxed) == 0 && received.samples.iter().any(is_old) {
            true => (StatusCode::BAD_REQUEST, "too old sample"),
            false => (StatusCode::OK, ""),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leave.json");
    let definition = json!({
        "name": "leave", "type": "prometheus_sink",
        "config": {"url": receiver.url, "source": {"database": "db", "table": "t"}},
    });
    std::fs::write(&file, definition.to_string()).unwrap();
    let place = format!("file:{}", folder.path().join("refused").display());
    let run = command(&["run", file.to_str().unwrap(), "--dead-letter", &place])
        .env("AWS_ENDPOINT_URL", workplace.emulator.url())
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.status.code(), Some(1), "{text}");
    assert!(text.contains("12 rejected, 12 dead letters"), "{text}");
    let printed = text.split_once("bootstrap replay ").unwrap().1;
    let arguments: Vec<_> = printed.lines().next().unwrap().split(' ').collect();
    taking.store(1, Ordering::Relaxed);
    let (status, text) = replay("http://127.0.0.1:1", &arguments).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.starts_with("replayed 12 samples: 12 stored, 0 not stored"),
        "{text}"
    );
    assert_eq!(
        std::fs::read_dir(folder.path().join("refused"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_definition_that_is_no_sink_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scrape.json");
    let scrape = json!({
        "name": "s", "type": "prometheus", "target_database": "db", "target_table": "t",
        "config": {"endpoint": "http://127.0.0.1:1/metrics"},
    });
    std::fs::write(&file, scrape.to_string()).unwrap();
    let flag = format!("--sink={}", file.display());
    let (status, text) = replay("http://127.0.0.1:1", &["x", &flag]).await;
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("expected the type prometheus_sink"), "{text}");
    let (status, text) = replay("http://127.0.0.1:1", &["x", "--sink=nowhere"]).await;
    assert_eq!(status, Some(2), "{text}");
    let both = ["x", "--sink=nowhere", "--table=t"];
    let (status, text) = replay("http://127.0.0.1:1", &both).await;
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("cannot be used with"), "{text}");
}
