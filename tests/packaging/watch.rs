//! `make watch`: the emulator, `cargo lambda watch` and a function that it builds and starts.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use timestream_prometheus_connector::prompb::ReadResponse;
use timestream_prometheus_connector::wire;

use crate::support::{OPTIONS, program, text};

/// How long emulator and function may take to be built.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(100);
const STOPPING: Duration = Duration::from_secs(60);

/// A running `make watch` with its log; dropping it stops all of it.
struct Watch {
    script: Child,
    log: PathBuf,
}

impl Watch {
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it as Ctrl-C does, and returns its status.
    fn stop(&mut self) -> Option<i32> {
        if let Ok(Some(status)) = self.script.try_wait() {
            return status.code();
        }
        // Its children have groups of their own.
        let _ = program("kill")
            .args(["-INT", &self.script.id().to_string()])
            .status();
        let asked = Instant::now();
        while asked.elapsed() < STOPPING {
            if let Ok(Some(status)) = self.script.try_wait() {
                return status.code();
            }
            std::thread::sleep(POLL);
        }
        None
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// A port that nobody uses now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    listener.local_addr().expect("it has an address").port()
}

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
    request.body(body).send().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_and_a_read_through_cargo_lambda_watch() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let log = directory.join("watch.log");
    let data = directory.join("watch-timestream");
    let _ = std::fs::remove_dir_all(&data);
    let file = std::fs::File::create(&log).expect("target can be written");
    let (emulator_port, lambda_port) = (free_port(), free_port());
    let script = program("scripts/watch.sh")
        .env("EMULATOR_PORT", emulator_port.to_string())
        .env("LAMBDA_PORT", lambda_port.to_string())
        .env("RUN_DIR", &data)
        .envs(OPTIONS)
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file)
        .spawn()
        .expect("bash runs");
    let mut watch = Watch { script, log };
    let url = format!("http://127.0.0.1:{lambda_port}");
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", lambda_port)).is_err() {
        let running = matches!(watch.script.try_wait(), Ok(None));
        assert!(running && start.elapsed() < PATIENCE, "{}", watch.log());
        tokio::time::sleep(POLL).await;
    }

    let answer = send(&url, "events/http-api-write.json").await;
    let status = answer.status();
    assert_eq!(status, 204, "{:?}\n{}", answer.text().await, watch.log());
    let answer = send(&url, "events/http-api-read.json").await;
    assert_eq!(answer.status(), 200, "{}", watch.log());
    let body = answer.bytes().await.expect("a body");
    let message = wire::decompress(&body, usize::MAX).expect("snappy");
    let response: ReadResponse = wire::decode(&message).expect("an answer");
    assert_eq!(response.results[0].timeseries[0].samples.len(), 2);

    assert_eq!(watch.stop(), Some(0), "{}", watch.log());
    for port in [emulator_port, lambda_port] {
        TcpListener::bind(("127.0.0.1", port)).expect("everything is stopped");
    }
}
