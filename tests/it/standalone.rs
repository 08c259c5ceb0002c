//! The real binary on a real socket: start, serve, stop.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;

use prom_wire::prompb;
use prom_wire::prompb::TimeSeries;
use timestream_emulator::Emulator;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::support::{START_MS, series, start_emulator, table};

/// A running `bootstrap`.
pub(crate) struct Connector {
    pub(crate) url: String,
    process: Child,
    /// Its log so far.
    lines: Arc<Mutex<String>>,
    log: JoinHandle<()>,
}

pub(crate) fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    command
        .env_clear()
        .args(flags)
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The destination of most tests.
pub(crate) const DEFAULTS: [&str; 2] = ["--default-database=db", "--default-table=t"];

impl Connector {
    /// Starts the binary in front of `emulator`, with `db`/`t` as default destination, and waits
    /// until it listens.
    pub(crate) async fn start(emulator: &Emulator, flags: &[&str]) -> Self {
        Self::start_bare(emulator, &[&DEFAULTS, flags].concat()).await
    }

    /// Calls [`Self::start`] with no flags but these.
    pub(crate) async fn start_bare(emulator: &Emulator, flags: &[&str]) -> Self {
        let credentials = [
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ];
        Self::start_with(emulator, flags, &credentials).await
    }

    /// Calls [`Self::start_bare`] with these variables and no others.
    pub(crate) async fn start_with(
        emulator: &Emulator,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        // A later flag wins, so tests can listen elsewhere.
        let flags = [&["--web.listen-address=127.0.0.1:0"], flags].concat();
        let mut process = command(&flags)
            .env("AWS_ENDPOINT_URL", emulator.url())
            .envs(variables.iter().copied())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap();
        let line = line.expect("the binary says where it listens");
        // In logfmt or in JSON.
        let address = ["address=", "\"address\":\""]
            .iter()
            .find_map(|key| line.split_once(key)?.1.split([' ', '"']).next());
        let url = format!("http://{}", address.expect("the line has the address"));
        let log = Arc::new(Mutex::new(line));
        let logged = Arc::clone(&log);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut logged = logged.lock().unwrap();
                logged.push('\n');
                logged.push_str(&line);
            }
        });
        Self {
            url,
            process,
            lines: log,
            log: reading,
        }
    }

    /// Waits until it has logged a text.
    pub(crate) async fn logged(&self, text: &str) {
        let began = Instant::now();
        while !self.lines.lock().unwrap().contains(text) {
            let waited = began.elapsed();
            assert!(waited < Duration::from_secs(60), "not logged: {text}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Writes `timeseries`, a series at a time, and expects success.
    pub(crate) async fn write(&self, timeseries: Vec<TimeSeries>) {
        let client = soak::http::client();
        for series in timeseries {
            let request = prompb::WriteRequest {
                timeseries: vec![series],
                metadata: vec![],
            };
            let body = prom_wire::encode(&request).unwrap();
            let response = client
                .post(format!("{}/write", self.url))
                .body(body)
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), StatusCode::NO_CONTENT);
        }
    }

    /// Sends bytes as they are and returns everything received until the connection closes.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    /// Sends a request and returns the status of the response.
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> u16 {
        let response = post(format!("{}{path}", self.url), body).await;
        response.status().as_u16()
    }

    /// Sends SIGTERM and returns the exit status and the log.
    pub(crate) async fn terminate(self) -> (Option<i32>, String) {
        let pid = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.unwrap().success());
        self.ended().await
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    async fn ended(mut self) -> (Option<i32>, String) {
        let status = self.process.wait().await.unwrap();
        self.log.await.unwrap();
        let log = self.lines.lock().unwrap().clone();
        (status.code(), log)
    }
}

fn body(value: f64) -> Vec<u8> {
    let timeseries = vec![series(
        &[("__name__", "up"), ("job", "a")],
        &[(START_MS, value)],
    )];
    prom_wire::encode(&prompb::WriteRequest {
        timeseries,
        metadata: vec![],
    })
    .unwrap()
}

async fn post(url: String, body: Vec<u8>) -> reqwest::Response {
    soak::http::client()
        .post(url)
        .header("user-agent", "Prometheus/3.15.0")
        .body(body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn it_serves_writes_and_reads_and_stops_on_sigterm() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let connector = Connector::start(&emulator, &[]).await;
    let url = &connector.url;
    assert_eq!(
        post(format!("{url}/write"), body(1.0)).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(emulator.points("db", "t").len(), 1);
    for (path, expected) in [
        ("/-/healthy", "Healthy"),
        ("/-/ready", "Ready"),
        ("/", "Remote write"),
        ("/query", "Expression"),
        ("/metrics", "timestream_connector_written_samples_total 1"),
    ] {
        let text = soak::http::get(format!("{url}{path}"))
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(text.contains(expected), "{path}: {text}");
    }
    let (status, log) = connector.terminate().await;
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("message=Listening."), "{log}");
    assert!(log.contains("message=Stopped."), "{log}");
}

#[tokio::test]
async fn the_head_of_a_request_may_be_large() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let connector = Connector::start(&emulator, &[]).await;
    let cookie = "a".repeat(60_000);
    let head = format!(
        "GET /-/healthy HTTP/1.1\r\nHost: connector\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    );
    let response = connector.raw(head.as_bytes()).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}

#[tokio::test]
async fn without_credentials_data_stays_with_the_sender() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let no_credentials = [("AWS_EC2_METADATA_DISABLED", "true")];
    let connector = Connector::start_with(&emulator, &DEFAULTS, &no_credentials).await;
    let url = &connector.url;
    let response = post(format!("{url}/write"), body(1.0)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = response.text().await.unwrap();
    assert!(text.starts_with("CredentialsError: "), "{text}");
    let what_to_do = [
        "no AWS credentials were found",
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "a role",
    ];
    assert!(what_to_do.iter().all(|part| text.contains(part)), "{text}");
    assert!(
        !text.contains("Error {") && !text.contains("Some("),
        "{text}"
    );
}

#[tokio::test]
async fn a_fail_on_option_ends_the_process_after_the_response() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let connector = Connector::start(&emulator, &["--fail-on-invalid-sample-value"]).await;
    let response = post(format!("{}/write", connector.url), body(f64::NAN)).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(
        response
            .text()
            .await
            .unwrap()
            .starts_with("InvalidSampleValueError")
    );
    let (status, log) = connector.ended().await;
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("level=error"), "{log}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_status_2() {
    let output = command(&[&DEFAULTS[..], &["--max-retries=x", "--log.format=y"]].concat())
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("ParseRetriesError: --max-retries (max_retries) is \"x\""),
        "{text}"
    );
    let output = command(&[&DEFAULTS[..], &["--check-config"]].concat())
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(&[&DEFAULTS[..], &["--web.listen-address", &address]].concat())
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains(&format!("Cannot listen on {address} (--web.listen-address")),
        "{text}"
    );
}

/// Sends a request with these lines after the first, and returns status and body.
async fn request(connector: &Connector, first: &str, lines: &[&str]) -> (u16, String) {
    let head: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request =
        format!("{first} HTTP/1.1\r\n{head}connection: close\r\ncontent-length: 0\r\n\r\n");
    let response = connector.raw(request.as_bytes()).await;
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    let body = response.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

#[tokio::test]
async fn pages_and_proxies_do_not_get_past_a_loopback_listener() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let own = "host: localhost:9201";
    let foreign = "host: rebound.example:9201";
    let page = "origin: http://page.example";
    let routes = [
        "POST /write",
        "POST /read",
        "GET /metrics",
        "GET /",
        "POST /elsewhere",
        "GET /v1/connectors",
    ];
    let rejected: [(&[&str], &str); 6] = [
        (&[own, page], "ForeignOriginError"),
        (&[foreign], "ForeignHostError"),
        (&[own, "x-forwarded-host: a.b"], "ForwardedError"),
        (&[own, "forwarded: for=192.0.2.1"], "ForwardedError"),
        (&[own, "x-real-ip: 192.0.2.1"], "ForwardedError"),
        (&[own, "via: 1.1 proxy"], "ForwardedError"),
    ];

    let connector = Connector::start(&emulator, &[]).await;
    for route in routes {
        for (lines, error) in rejected {
            let (status, body) = request(&connector, route, lines).await;
            assert_eq!(status, 403, "{route} {lines:?}: {body}");
            assert!(body.contains(error), "{route} {lines:?}: {body}");
            let is_json = serde_json::from_str::<serde_json::Value>(&body).is_ok();
            assert_eq!(is_json, route.contains("/v1/"), "{body}");
        }
        for host in [own, "host: 127.0.0.1:9201", "host: [::1]:9201"] {
            let (status, body) = request(&connector, route, &[host]).await;
            assert_ne!(status, 403, "{route} {host}: {body}");
        }
    }
    for path in ["GET /-/healthy", "GET /-/ready"] {
        let (status, _) = request(&connector, path, &[foreign, "via: 1.1 proxy"]).await;
        assert_eq!(status, 200, "{path}");
    }
    connector.terminate().await;

    let connector = Connector::start(&emulator, &["--bearer-token=t0ken"]).await;
    let authorization = "authorization: Bearer t0ken";
    for (lines, error) in rejected {
        let lines = [lines, &[authorization]].concat();
        let (status, _) = request(&connector, "GET /metrics", &lines).await;
        let expected = if error == "ForeignOriginError" {
            403
        } else {
            200
        };
        assert_eq!(status, expected, "{lines:?}");
    }
    connector.terminate().await;
}

#[tokio::test]
async fn a_path_of_metrics_that_is_taken_is_status_2() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    for path in ["/v1/connectors", "/v1/connectors/a/rows", "/-/ready", "/:a"] {
        let flag = format!("--web.telemetry-path={path}");
        let flags = [&DEFAULTS[..], &[&flag, "--web.listen-address=127.0.0.1:0"]].concat();
        let output = command(&flags).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{path}: {text}");
        assert!(text.contains("(web_telemetry_path)"), "{path}: {text}");
        assert!(!text.contains("panicked"), "{path}: {text}");
    }
    for path in ["/v1", "/write/", "/a:b", "/%7Bx%7D", "//metrics"] {
        let flag = format!("--web.telemetry-path={path}");
        let connector = Connector::start(&emulator, &[&flag]).await;
        let (status, body) =
            request(&connector, &format!("GET {path}"), &["host: localhost"]).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.contains("# TYPE"), "{path}: {body}");
        connector.terminate().await;
    }
}
