//! Log lines of the real binary about requests: one for each, lost samples in a form that can be
//! written again, and no secrets.

use prom_wire::prompb;
use prom_wire::prompb::label_matcher::Type;
use serde_json::Value;
use timestream_emulator::{Config, Emulator, Fault, FaultKind, When};

use crate::standalone::{Connector, DEFAULTS};
use crate::support::{START_MS, query, series, table};

const SECRET: &str = "x7RkT0PsEcReTkEyValue";

/// Sends requests that end in every way, and returns the log, one line for each line.
async fn logged(flags: &[&str]) -> Vec<String> {
    let emulator = Emulator::start(Config {
        // Without the second one the start has a warning.
        tables: vec![table("db", "t"), table("db", "metrics")],
        secret_key: SECRET.to_owned(),
        ..Config::default()
    })
    .await
    .unwrap();
    let credentials = [
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let flags = [&DEFAULTS, flags].concat();
    let connector = Connector::start_with(&emulator, &flags, &credentials).await;
    let write = |labels: &[(&str, &str)]| {
        let request = prompb::WriteRequest {
            timeseries: vec![series(labels, &[(START_MS, 1.0)])],
            metadata: vec![],
        };
        prom_wire::encode(&request).unwrap()
    };
    let read = |matchers: &[(Type, &str, &str)]| {
        let request = prompb::ReadRequest {
            queries: vec![query(matchers)],
            accepted_response_types: vec![],
        };
        prom_wire::encode(&request).unwrap()
    };
    let stored = write(&[("__name__", "up"), ("job", "a")]);
    let selected = read(&[(Type::Eq, "__name__", "up"), (Type::Eq, "job", "a")]);
    let expected = [
        ("/write", stored.clone(), 204),
        ("/write", b"no snappy".to_vec(), 400),
        ("/write", write(&[("job", "a")]), 400),
        ("/read", selected.clone(), 200),
        ("/read", b"no snappy".to_vec(), 400),
        ("/read", read(&[(Type::Re, "job", "(")]), 400),
    ];
    for (path, body, status) in expected {
        assert_eq!(connector.post(path, body).await, status, "{path}");
    }
    for operation in ["WriteRecords", "Query"] {
        emulator.order_fault(Fault {
            when: When::Always,
            ..Fault::next(operation, 1, FaultKind::AccessDenied)
        });
    }
    assert_eq!(connector.post("/write", stored).await, 403);
    assert_eq!(connector.post("/read", selected).await, 403);
    let (status, log) = connector.terminate().await;
    assert_eq!(status, Some(0), "{log}");
    log.lines().map(str::to_owned).collect()
}

/// Contents of each line, first and last line of the process included.
const LINES: [(&str, &str); 12] = [
    ("info", "Listening."),
    ("debug", "Write request stored."),
    (
        "error",
        "Unable to convert the received Prometheus write request to Timestream Records.",
    ),
    (
        "error",
        "Sample not stored; bootstrap replay can write it again from this line.",
    ),
    (
        "error",
        "Unable to convert the received Prometheus write request to Timestream Records.",
    ),
    ("debug", "Read request completed."),
    (
        "error",
        "Error occurred while reading the data back from Timestream.",
    ),
    (
        "error",
        "Error occurred while reading the data back from Timestream.",
    ),
    (
        "error",
        "Sample not stored; bootstrap replay can write it again from this line.",
    ),
    ("error", "Unable to write all records to Timestream."),
    (
        "error",
        "Error occurred while reading the data back from Timestream.",
    ),
    ("info", "Stopped."),
];

fn assert_nothing_secret(log: &[String]) {
    let log = log.join("\n");
    for secret in [SECRET, "SELECT", "measure_name", "FROM", "Signature"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn json_has_one_line_for_each_request_and_each_lost_series() {
    let log = logged(&["--log.format=json", "--log.level=debug"]).await;
    assert_nothing_secret(&log);
    let lines: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["level"].as_str().unwrap(),
                line["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(said, LINES, "{log:#?}");
    for line in &lines {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        for key in ["level", "ts", "caller", "message"] {
            assert!(keys.iter().any(|it| *it == key), "{key}: {line}");
        }
        assert_eq!(
            line["level"] == "error",
            line["error"].is_string(),
            "{line}"
        );
    }
    let failed_write = &lines[9];
    assert_eq!(failed_write["status"], 403);
    assert_eq!(failed_write["destinations"], "db/t");
    assert_eq!(failed_write["received"], 1);
    assert_eq!(failed_write["failed"], 1);
    let error = failed_write["error"].as_str().unwrap();
    assert!(error.starts_with("AccessDeniedException: "), "{error}");
    assert!(lines[2]["received"].is_null(), "{}", lines[2]);
    let failed_read = &lines[10];
    assert_eq!(failed_read["status"], 403);
    assert_eq!(failed_read["destinations"], "db/t");
    assert!(failed_read["statements"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn logfmt_has_the_same_lines_in_the_same_order_of_keys() {
    let log = logged(&["--log.level=debug"]).await;
    assert_nothing_secret(&log);
    assert_eq!(log.len(), LINES.len(), "{log:#?}");
    for (line, (level, message)) in log.iter().zip(LINES) {
        assert!(line.starts_with(&format!("level={level} ts=")), "{line}");
        let quoted = format!("\"{message}\"");
        let message = if message.contains(' ') {
            &quoted
        } else {
            message
        };
        let then = if level == "error" { " error=" } else { " " };
        let (head, tail) = line.split_once(&format!(" message={message}")).unwrap();
        assert!(head.contains(" caller=src/"), "{line}");
        assert!(tail.is_empty() || tail.starts_with(then), "{line}");
    }
}

#[tokio::test]
async fn success_is_no_news() {
    let log = logged(&[]).await;
    let levels: Vec<&str> = log
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert!(!levels.contains(&"level=debug"), "{log:#?}");
    assert_eq!(log.len(), LINES.len() - 2, "{log:#?}");
}

#[tokio::test]
async fn the_negotiation_of_a_compression_is_no_error() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let connector = Connector::start(&emulator, &["--log.level=info"]).await;
    for encoding in ["zstd", " ZSTD", "gzip", "zstd, snappy"] {
        let request = soak::http::client()
            .post(format!("{}/write", connector.url))
            .header("content-encoding", encoding)
            .body("whatever");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 415, "{encoding}");
        let text = response.text().await.unwrap();
        assert!(text.contains("expected snappy"), "{encoding}: {text}");
    }
    let (_, log) = connector.terminate().await;
    let lines = log.lines().filter(|line| line.contains(" status=415"));
    let levels: Vec<_> = lines.map(|line| line.split(' ').next()).collect();
    let (info, error) = (Some("level=info"), Some("level=error"));
    assert_eq!(levels, [info, info, error, error], "{log}");
}
