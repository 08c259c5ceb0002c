//! `make watch`: the emulator, `cargo lambda watch` and a function that it builds and starts.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use prom_wire::prompb::ReadResponse;
use serde_json::Value;

use crate::script::{Script, free_port};
use crate::support::{OPTIONS, program, text};

/// Sends the request of an event to an address, as `curl` would.
async fn send(url: &str, event: &str) -> reqwest::Response {
    let event: Value = serde_json::from_str(&text(event)).expect("an event");
    let mut request =
        soak::http::client().post(format!("{url}{}", event["rawPath"].as_str().unwrap()));
    for (name, value) in event["headers"].as_object().expect("headers") {
        if !["host", "content-length"].contains(&name.as_str()) {
            request = request.header(name, value.as_str().expect("a text"));
        }
    }
    let body = STANDARD
        .decode(event["body"].as_str().expect("a body"))
        .expect("base64");
    request.body(body).send().await.expect("a response")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_and_a_read_through_cargo_lambda_watch() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let data = directory.join("watch-timestream");
    let _ = std::fs::remove_dir_all(&data);
    let (emulator_port, lambda_port) = (free_port(), free_port());
    let mut command = program("scripts/watch.sh");
    command
        .env("EMULATOR_PORT", emulator_port.to_string())
        .env("LAMBDA_PORT", lambda_port.to_string())
        .env("RUN_DIR", &data)
        .envs(OPTIONS);
    let mut watch = Script::start(command, directory.join("watch.log"));
    let url = format!("http://127.0.0.1:{lambda_port}");
    watch.until_served(lambda_port).await;

    let response = send(&url, "events/http-api-write.json").await;
    let status = response.status();
    assert_eq!(status, 204, "{:?}\n{}", response.text().await, watch.log());
    let response = send(&url, "events/http-api-read.json").await;
    assert_eq!(response.status(), 200, "{}", watch.log());
    let body = response.bytes().await.expect("a body");
    let message = prom_wire::decompress(&body, usize::MAX).expect("snappy");
    let response: ReadResponse = prom_wire::decode(&message).expect("a response");
    assert_eq!(response.results[0].timeseries[0].samples.len(), 2);

    watch.stop_all(&[emulator_port, lambda_port]);
}
