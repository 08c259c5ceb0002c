//! Syncs and sinks in the real binary: killed in the middle, and rows over HTTP.

use std::process::Stdio;

use http::StatusCode;
use serde_json::{Value, json};
use soak::samples::{Samples, compare};

use super::sink::{Received, Receiver, row};
use super::sync::{held, prometheus, start_s};
use crate::standalone::{Connector, command};
use crate::support::{start_emulator, table};

#[tokio::test]
async fn a_sync_that_is_killed_goes_on_where_it_was() {
    let start_s = start_s();
    let prometheus = prometheus(start_s).await;
    let expected = held(&prometheus, start_s).await;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let folder = tempfile::tempdir().unwrap();
    let definition = json!({
        "name": "week", "type": "prometheus_api", "target_database": "db", "target_table": "t",
        "config": {
            "prometheus_url": prometheus.url, "lookback_hours": 240, "step": 300,
            "metrics_filter": "level,requests_total,job:rate5m",
        },
    });
    let file = folder.path().join("week.json");
    std::fs::write(&file, definition.to_string()).unwrap();
    let endpoints = [
        format!("--write-base-endpoint={}", emulator.url()),
        format!("--query-base-endpoint={}", emulator.url()),
    ];
    let run = || {
        let mut run = command(&["run", file.to_str().unwrap(), &endpoints[0], &endpoints[1]]);
        run.env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local");
        run.stdout(Stdio::piped()).stderr(Stdio::piped());
        run
    };
    let mut kills = 0;
    loop {
        let before = emulator.counters().records_accepted;
        let mut process = run().kill_on_drop(true).spawn().unwrap();
        // Each time some thousand records further.
        let is_over = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break Some(status);
            }
            if emulator.counters().records_accepted > before + 4_000 {
                process.kill().await.unwrap();
                break None;
            }
            tokio::task::yield_now().await;
        };
        match is_over {
            None => kills += 1,
            Some(status) => {
                let output = process.wait_with_output().await.unwrap();
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(status.success(), "{text}");
                break;
            }
        }
        assert!(kills < 20, "it does not come to an end");
    }
    assert!(kills >= 2, "{kills}");
    let stored = Samples::of_points(emulator.points("db", "t"));
    let difference = compare(&expected, &stored);
    assert!(difference.is_none(), "{difference:?}");
    // Each kill repeats a part at most.
    let accepted = emulator.counters().records_accepted as usize;
    assert!(
        accepted <= expected.count() + kills * 1_100 + 10,
        "{accepted}"
    );
}

async fn ask(connector: &Connector, method: &str, path: &str, body: String) -> (u16, Value) {
    let url = format!("{}/v1/connectors{path}", connector.url);
    let client = soak::http::client();
    let request = client.request(method.parse().unwrap(), url).body(body);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test]
async fn rows_are_answered_when_they_are_delivered() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let connector = Connector::start(&emulator, &[]).await;
    let receiver = Receiver::start(|_, received: &Received| {
        match received
            .samples
            .iter()
            .map(|it| it.0.as_str())
            .find(|it| it.contains("bad") || it.contains("down"))
        {
            Some(labels) if labels.contains("bad") => {
                (StatusCode::BAD_REQUEST, "out of order sample")
            }
            Some(_) => (StatusCode::BAD_GATEWAY, "down"),
            None => (StatusCode::OK, ""),
        }
    })
    .await;
    let sink = json!({
        "name": "s", "type": "prometheus_sink",
        "config": {
            "url": receiver.url, "key_label": "labels", "key_value": "value", "key_timestamp": "time",
            "retry": 1, "retry_backoff_multiplier_ms": 1,
        },
    });
    assert_eq!(ask(&connector, "POST", "", sink.to_string()).await.0, 201);
    let send = async |rows: &[Value]| {
        let lines: Vec<_> = rows.iter().map(Value::to_string).collect();
        ask(&connector, "POST", "/s/rows", lines.join("\n")).await
    };
    let (status, report) = send(&[row("a", "1", 1, 1.0), row("b", "1", 1, 1.0)]).await;
    let expected = json!({
        "received": 2, "delivered": 2, "rejected": 0, "dead_lettered": 0, "warnings": [], "error": null,
    });
    assert_eq!((status, report), (200, expected));
    let (status, report) = send(&[row("a", "1", 2, 1.0), row("bad", "1", 1, 1.0)]).await;
    assert_eq!(
        (status, &report["delivered"], &report["rejected"]),
        (400, &json!(1), &json!(1))
    );
    let error = report["error"].as_str().unwrap();
    assert!(
        error.contains("1 out_of_order") && error.contains("out_of_order_time_window"),
        "{error}"
    );
    let (status, report) = send(&[row("down", "1", 1, 1.0)]).await;
    assert_eq!((status, &report["delivered"]), (503, &json!(0)));
    assert_eq!(
        ask(&connector, "POST", "/s/rows", "[{".to_owned()).await.0,
        400
    );
    assert_eq!(
        ask(&connector, "POST", "/nobody/rows", String::new())
            .await
            .0,
        404
    );
    assert_eq!(
        ask(&connector, "POST", "/s/pause", String::new()).await.0,
        204
    );
    assert_eq!(send(&[row("a", "1", 3, 1.0)]).await.0, 409);
}
