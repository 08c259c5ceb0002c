//! The memory that definitions and rows over HTTP may occupy, and the end of deliveries that nobody waits for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::{StreamExt, stream};
use http::{Method, Request, StatusCode};
use prom_wire::budget::MemoryBudget;
use serde_json::{Value, json};
use timestream_emulator::Emulator;
use timestream_prometheus_connector::entry::jobs::serve;
use timestream_prometheus_connector::http::router;
use timestream_prometheus_connector::jobs::definition::KINDS;
use timestream_prometheus_connector::state::{Memory, State};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::dead_letters::letters;
use crate::jobs::sink::{Received, Receiver, row};
use crate::support::{app_of, configuration, job_runner, parts, start_emulator};

/// A server with the sink `s`, on which only this machine can call it.
struct Server {
    router: Router,
    budget: MemoryBudget,
    letters: tempfile::TempDir,
    _emulator: Emulator,
}

impl Server {
    async fn start(url: &str, config: Value, flags: &[&str]) -> Self {
        let emulator = start_emulator(Vec::new()).await;
        let letters = tempfile::tempdir().unwrap();
        let flag = format!("--dead-letter=file:{}", letters.path().display());
        let config_of_server = configuration(&emulator.url(), &[&[flag.as_str()], flags].concat());
        let parts = parts(&config_of_server).await;
        let app = app_of(&config_of_server, parts.clone());
        let mut sink = json!({
            "url": url, "key_label": "labels", "key_value": "value", "key_timestamp": "time",
            "retry_backoff_multiplier_ms": 1, "retry_backoff_max_ms": 5,
        });
        let more = config.as_object().unwrap().clone();
        sink.as_object_mut().unwrap().extend(more);
        let given = json!([{"name": "s", "type": "prometheus_sink", "config": sink}]).to_string();
        let state = State::Memory(Memory::default());
        let runner = job_runner(&app, parts, state, KINDS, given.as_bytes());
        let (jobs, _work) = serve(runner, CancellationToken::new());
        Self {
            budget: app.budget().clone(),
            router: router(app.with_jobs(jobs).reached_locally(true)),
            letters,
            _emulator: emulator,
        }
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<Body>) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("host", "localhost").body(body.into());
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
        let text = String::from_utf8(body.unwrap().into()).unwrap();
        (status, serde_json::from_str(&text).unwrap_or(text.into()))
    }

    async fn rows(&self, body: impl Into<Body>) -> (u16, Value) {
        self.send(Method::POST, "/v1/connectors/s/rows", body).await
    }

    /// The value of a metric of sinks.
    async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.send(Method::GET, "/metrics", Body::empty()).await;
        let text = text.as_str().unwrap();
        let line = text.lines().find_map(|line| line.split_once(name));
        let (_, value) = line.expect("there is such a metric");
        value.trim().parse().unwrap()
    }
}

async fn accepting() -> Receiver {
    Receiver::start(|_, _: &Received| StatusCode::NO_CONTENT).await
}

/// JSON of some 10 MB with an element again and again.
fn filled(element: &str) -> String {
    let count = (10 << 20) / (element.len() + 1);
    let elements = format!("{element},").repeat(count);
    format!("[{elements}{element}]")
}

#[tokio::test]
async fn more_rows_than_a_body_may_have_are_refused() {
    let receiver = accepting().await;
    let server = Server::start(&receiver.url, json!({}), &[]).await;
    let good = row("a", "1", 1, 1.0);
    for body in [filled("0"), format!("{good}\n{}", filled("{}"))] {
        let (status, body) = server.rows(body).await;
        assert_eq!(status, 413, "{body}");
        let expected = "the body has more than 1000000 rows; push fewer at a time";
        assert_eq!(body["error"], expected);
    }
    assert_eq!(receiver.requests().len(), 0);
    assert_eq!(server.budget.reserved(), 0);
    let (status, body) = server.rows(" ".repeat(33 << 20)).await;
    assert_eq!(status, 413, "{body}");
    assert!(body["error"].as_str().unwrap().contains("33554432 bytes"));
}

#[tokio::test]
async fn rows_that_are_too_large_are_bad_rows_and_the_others_go() {
    let receiver = accepting().await;
    let server = Server::start(&receiver.url, json!({}), &[]).await;
    let good = |x: &str| row("a", x, 1, 1.0).to_string();
    let deep = format!("{}{}", "[".repeat(5 << 20), "]".repeat(5 << 20));
    let zeros = filled("0");
    let text = format!(r#"{{"labels": "{}"}}"#, "x".repeat(1 << 20));
    for large in [deep, format!("[{zeros}]"), text] {
        let before = receiver.samples().concat().len();
        let body = format!("{}\n{large}\n{}", good("1"), good("2"));
        let (status, body) = server.rows(body).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(
            (&body["delivered"], &body["rejected"]),
            (&json!(2), &json!(1))
        );
        let error = body["error"].as_str().unwrap();
        let expected = "bytes of JSON; expected at most 65536; the row: ";
        assert!(error.contains(expected) && error.len() < 1_000, "{error}");
        assert_eq!(receiver.samples().concat().len(), before + 2);
    }
    let letters = letters(server.letters.path());
    assert_eq!(letters.len(), 3);
    assert!(
        letters
            .iter()
            .all(|it| it.reason == "bad_row" && it.message.len() < 1_000)
    );
    assert_eq!(server.budget.reserved(), 0);
}

#[tokio::test]
async fn each_of_many_bad_rows_is_a_dead_letter() {
    let receiver = accepting().await;
    let server = Server::start(&receiver.url, json!({}), &[]).await;
    let mut rows: Vec<Value> = (0..5_500).map(Value::from).collect();
    rows[2_000] = row("a", "1", 1, 1.0);
    let (status, body) = server.rows(json!(rows).to_string()).await;
    assert_eq!(status, 400, "{body}");
    assert_eq!(
        (
            &body["delivered"],
            &body["rejected"],
            &body["dead_lettered"]
        ),
        (&json!(1), &json!(5_499), &json!(5_499))
    );
    let letters = letters(server.letters.path());
    let expected =
        |number: usize| format!("row {number}: expected an object; the row: {}", number - 1);
    let numbers = (1..=5_500).filter(|number| *number != 2_001);
    assert!(
        letters
            .iter()
            .map(|it| it.message.clone())
            .eq(numbers.map(expected))
    );
}

#[tokio::test]
async fn a_batch_has_fewer_samples_where_these_are_large() {
    let receiver = accepting().await;
    let server = Server::start(&receiver.url, json!({"batch_size": 5_000}), &[]).await;
    let value = "v".repeat(30_000);
    let rows = (0..400).map(|time| row("a", &value, time, 1.0).to_string() + "\n");
    let (status, body) = server.rows(rows.collect::<String>()).await;
    assert_eq!((status, &body["delivered"]), (200, &json!(400)), "{body}");
    let batches: Vec<usize> = receiver.samples().iter().map(Vec::len).collect();
    assert_eq!(batches.iter().sum::<usize>(), 400);
    assert!(
        batches.iter().all(|batch| (1..=150).contains(batch)),
        "{batches:?}"
    );
}

#[tokio::test]
async fn a_dense_definition_is_refused_before_it_is_read() {
    let flags = ["--max-request-bytes=2MiB", "--max-in-flight-bytes=8MiB"];
    let server = Server::start("http://localhost:1/", json!({}), &flags).await;
    let nested = format!("{}0{}", r#"{"":"#.repeat(50), "}".repeat(50));
    let elements = format!("{nested},").repeat(800);
    let made = format!(r#"{{"name": "x", "type": "prometheus_sink", "config": [{elements}0]}}"#);
    assert!((150_000..256 << 10).contains(&made.len()));
    let (status, body) = server
        .send(Method::POST, "/v1/connectors", made.clone())
        .await;
    assert_eq!(status, 413, "{body}");
    let error = body["error"].as_str().unwrap();
    assert!(
        error.contains("decoded, it needs more than the 6291456 bytes"),
        "{error}"
    );
    let (status, _) = server.send(Method::PATCH, "/v1/connectors/s", made).await;
    assert_eq!(status, 413);
    // One that is as large, and as definitions are.
    let long =
        json!({"name": "x", "type": "prometheus_sink", "config": {"url": "x".repeat(250_000)}});
    let (status, body) = server
        .send(Method::POST, "/v1/connectors", long.to_string())
        .await;
    assert_eq!(status, 400, "{body}");
    assert_eq!(server.budget.reserved(), 0);
}

#[tokio::test]
async fn while_others_occupy_the_memory_the_response_is_503() {
    let receiver = accepting().await;
    let server = Server::start(&receiver.url, json!({}), &[]).await;
    let mut others = [server.budget.reservation(), server.budget.reservation()];
    others[0].grow(96 << 20).unwrap();
    others[1].grow(16 << 20).unwrap();
    let mut small_ones: Vec<_> = (0..16).map(|_| server.budget.reservation()).collect();
    for small in &mut small_ones {
        small.grow(1 << 20).unwrap();
    }
    let rows = row("a", "1", 1, 1.0).to_string();
    let definition = json!({"name": "x", "type": "prometheus_sink"}).to_string();
    for (method, path, body) in [
        (Method::POST, "/v1/connectors", &definition),
        (Method::PATCH, "/v1/connectors/s", &definition),
        (Method::POST, "/v1/connectors/s/rows", &rows),
    ] {
        let (status, body) = server.send(method, path, body.clone()).await;
        assert_eq!(status, 503, "{path} {body}");
        assert!(
            body["error"]
                .as_str()
                .unwrap()
                .contains("max_in_flight_bytes"),
            "{body}"
        );
    }
    drop(small_ones);
    assert_eq!(server.rows(rows).await.0, 200);
    drop(others);
    assert_eq!(server.budget.reserved(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_is_given_up() {
    let server = Server::start("http://localhost:1/", json!({}), &[]).await;
    for path in ["/v1/connectors", "/v1/connectors/s/rows"] {
        let start = stream::iter([Ok::<_, Infallible>("[")]);
        let body = Body::from_stream(start.chain(stream::pending()));
        let began = tokio::time::Instant::now();
        let (status, body) = server.send(Method::POST, path, body).await;
        assert_eq!((status, began.elapsed().as_secs()), (408, 10), "{body}");
        assert_eq!(server.budget.reserved(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_delivery_whose_caller_leaves_is_counted_with_what_it_delivered() {
    // Answers the first request, and none after it.
    let (asked, heard) = tokio::sync::mpsc::unbounded_channel::<usize>();
    let receiver = Receiver::start(move |number, _: &Received| {
        asked.send(number).unwrap();
        if number > 1 {
            std::thread::sleep(Duration::from_secs(2));
        }
        StatusCode::NO_CONTENT
    });
    let mut heard = heard;
    let receiver = receiver.await;
    let server = Arc::new(Server::start(&receiver.url, json!({"batch_size": 2}), &[]).await);
    let rows: String = (0..6)
        .map(|time| format!("{}\n", row("a", "1", time, 1.0)))
        .collect();
    let request = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.rows(rows).await }
    });
    while heard.recv().await != Some(2) {}
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    let aborted = r#"definition_runs_total{result="aborted",type="prometheus_sink"}"#;
    assert_eq!(server.metric(aborted).await, 1);
    let complete = r#"definition_runs_total{result="complete",type="prometheus_sink"}"#;
    assert_eq!(server.metric(complete).await, 0);
    let delivered = r#"definition_rows_total{type="prometheus_sink"}"#;
    assert_eq!(server.metric(delivered).await, 2);
    assert_eq!(server.budget.reserved(), 0);
}
