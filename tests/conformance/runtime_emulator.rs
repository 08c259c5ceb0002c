//! The function under AWS' own runtime interface emulator, which starts the program, hands it events and ends it as
//! Lambda does.
//!
//! It serves one invocation at a time: several at once are in `tests/it/lambda.rs`, because the emulator runs them only
//! as root, with the program in `/var/task`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::{get, post};
use prom_wire::prompb::{ReadResponse, WriteRequest};
use serde_json::{Value, json};
use soak::programs::{POLL, free_port};
use tempfile::TempDir;
use timestream_emulator::{Config, Emulator, Fault, FaultKind, TableSpec, When};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::moto::Moto;
use crate::runtime_api::{Ended, HttpResponse};
use crate::shapes::{self, JOB, TEXT_JOB, TOKEN};
use crate::tools;

/// The longest time that anything may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The time that Lambda gives a function to start.
const INIT_LIMIT_MS: f64 = 10_000.0;
const DATABASE: &str = "prometheus";
const TABLE: &str = "samples";
/// The table of the state, in DynamoDB.
const STATE: &str = "connectors";
/// Starts the function with its output in files, as the emulator mixes it with its own.
const LAUNCH: &str = "echo $$ >\"$0.pid\"; exec \"$1\" >>\"$0.out\" 2>>\"$0.err\"";

/// A function in the emulator, in front of Timestream's.
struct Stage {
    timestream: Emulator,
    folder: TempDir,
    process: Child,
    address: String,
    events: std::sync::atomic::AtomicU32,
}

impl Stage {
    /// Starts a function with this time limit in seconds, and these variables beside those of the template.
    async fn start(time_limit: u32, variables: &[(&str, &str)]) -> Self {
        let table = |name| TableSpec {
            magnetic_writes: true,
            ..TableSpec::new(DATABASE, name)
        };
        let config = Config {
            tables: vec![table(TABLE), table("metrics"), table("synced")],
            ..Config::default()
        };
        let timestream = Emulator::start(config).await.unwrap();
        let program = tools::go_tool("lambda-emulator").await;
        let folder = tempfile::tempdir().unwrap();
        let [address, api] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        let log = std::fs::File::create(folder.path().join("emulator.log")).unwrap();
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs([
                ("AWS_LAMBDA_FUNCTION_NAME", "connector"),
                ("AWS_LAMBDA_FUNCTION_TIMEOUT", &*time_limit.to_string()),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
                ("AWS_ENDPOINT_URL", &timestream.url()),
                ("database_label", "PrometheusDatabaseLabel"),
                ("table_label", "PrometheusTableLabel"),
                ("bearer_token", TOKEN),
            ])
            .envs(variables.iter().copied())
            .arg(format!("--runtime-interface-emulator-address={address}"))
            .arg(format!("--runtime-api-address={api}"))
            .args(["--log-level=info", "/bin/sh", "-c", LAUNCH])
            .arg(folder.path().join("function"))
            .arg(env!("CARGO_BIN_EXE_bootstrap"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true);
        let mut stage = Self {
            timestream,
            folder,
            process: command.spawn().unwrap(),
            address,
            events: 0.into(),
        };
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(&stage.address).await.is_err() {
            let ended = stage.process.try_wait().unwrap();
            assert_eq!(ended, None, "{}", stage.text("emulator.log"));
            assert!(Instant::now() < deadline, "{}", stage.text("emulator.log"));
            tokio::time::sleep(POLL).await;
        }
        stage
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Returns the identifier of the function's process.
    fn function(&self) -> String {
        self.text("function.pid").trim_end().to_owned()
    }

    /// Returns the identifier that the next event gets.
    fn next_id(&self) -> String {
        let number = self.events.load(std::sync::atomic::Ordering::Relaxed);
        format!("00000000-0000-4000-8000-{number:012}")
    }

    /// Returns the status and the body of the emulator's response to an event.
    async fn send(&self, event: impl Into<Bytes>) -> (u16, String) {
        let url = format!(
            "http://{}/2015-03-31/functions/function/invocations",
            self.address
        );
        let request = soak::http::client()
            .post(url)
            .header("x-amzn-requestid", self.next_id())
            .timeout(LIMIT)
            .body(event.into());
        let one = std::sync::atomic::Ordering::Relaxed;
        self.events.fetch_add(1, one);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Returns the result of an event that the function handles.
    async fn invoke(&self, event: &Value) -> Value {
        let (status, text) = self.send(event.to_string()).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    async fn http(&self, event: &Value) -> HttpResponse {
        Ended::Responded(self.invoke(event).await).http()
    }

    fn accepted(&self) -> u64 {
        self.timestream.counters().records_accepted
    }

    /// Ends the emulator by SIGTERM; its log says what came before.
    async fn stop(&mut self) -> ExitStatus {
        signal("TERM", &self.process.id().unwrap().to_string()).await;
        let ended = tokio::time::timeout(LIMIT, self.process.wait()).await;
        ended.expect("the emulator ends").unwrap()
    }
}

async fn signal(name: &str, process: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), process])
        .status()
        .await
        .unwrap();
    assert!(status.success(), "kill -{name} {process}");
}

fn runs(process: &str) -> bool {
    PathBuf::from(format!("/proc/{process}")).exists()
}

/// Returns the event of a file.
fn event(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Returns the names of the events whose name contains `part`.
fn names(part: &str) -> Vec<String> {
    let files = shapes::files().into_iter();
    let names = files.map(|(name, _)| name.strip_suffix(".json").unwrap().to_owned());
    names.filter(|name| name.contains(part)).collect()
}

/// Returns the body without gzip.
fn unzipped(response: &HttpResponse) -> String {
    use std::io::Read;
    assert_eq!(response.headers["content-encoding"], "gzip");
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&response.body[..]);
    decoder.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_gateway() {
    let mut stage = Stage::start(30, &[]).await;
    let mut served = 0;
    for name in names("-write") {
        let before = stage.accepted();
        let response = stage.http(&event(&name)).await;
        assert_eq!(response.status, 204, "{name}: {}", response.text());
        assert!(response.body.is_empty(), "{name}");
        let samples = if name.ends_with("-text") { 1 } else { 4 };
        assert_eq!(stage.accepted() - before, samples, "{name}");
        served += 1;
    }
    for name in names("-read") {
        let response = stage.http(&event(&name)).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        assert!(response.is_base64, "{name}");
        let message = prom_wire::decompress(&response.body, usize::MAX).unwrap();
        let body: ReadResponse = prom_wire::decode(&message).unwrap();
        let series = &body.results[0].timeseries;
        let (job, values) = match name.ends_with("-text") {
            true => (TEXT_JOB, vec![(shapes::START_MS, 2.0)]),
            false => {
                let times = [shapes::START_MS, shapes::START_MS + 15_000];
                (JOB, times.map(|time| (time, 1.0)).to_vec())
            }
        };
        let labels = series[0].labels.iter();
        let labels: Vec<_> = labels.map(|it| (&*it.name, &*it.value)).collect();
        assert_eq!(labels, [("__name__", "up"), ("job", job)], "{name}");
        let samples = series[0].samples.iter();
        let samples: Vec<_> = samples.map(|it| (it.timestamp, it.value)).collect();
        assert_eq!((series.len(), samples), (1, values), "{name}");
        served += 1;
    }
    for name in names("-query") {
        let response = stage.http(&event(&name)).await;
        assert_eq!(response.status, 200, "{name}");
        let (kind, values) = match name.contains("-form") {
            true => (
                "matrix",
                r#""values":[[1590213251.152,"1.5"],[1590213266.152,"1.5"]]"#,
            ),
            false => ("vector", r#""value":[1590213266.152,"1.5"]"#),
        };
        let expected = format!(
            r#"{{"status":"success","data":{{"resultType":"{kind}","result":[{{"metric":{{"job":"prometheus"}},{values}}}]}}}}"#
        );
        assert_eq!(unzipped(&response), expected, "{name}");
        served += 1;
    }
    for name in names("-otlp") {
        let response = stage.http(&event(&name)).await;
        let body = if name.ends_with("-text") { "{}" } else { "" };
        assert_eq!((response.status, &*response.text()), (200, body), "{name}");
        served += 1;
    }
    assert_eq!(served, 7 * (2 + 2 + 3 + 2));
    let points = stage.timestream.points(DATABASE, TABLE);
    let measures = points.iter().filter(|it| it.measure_name != "metadata");
    let stored: BTreeSet<_> = measures
        .map(|it| (it.measure_name.as_str(), it.dimensions["job"].as_str()))
        .collect();
    let expected = [
        ("go_goroutines", JOB),
        ("process_cpu_seconds_total", JOB),
        ("room_temperature_celsius", JOB),
        ("room_temperature_celsius", TEXT_JOB),
        ("up", JOB),
        ("up", TEXT_JOB),
    ];
    assert_eq!(stored, BTreeSet::from(expected));

    // A credential counts behind the emulator too.
    let mut stranger = event("function-url-write");
    stranger["headers"]["authorization"] = "Bearer other".into();
    assert_eq!(stage.http(&stranger).await.status, 401);
    served += 1;

    let numbers = stage.text("function.out");
    let mut ids = BTreeSet::new();
    for line in numbers.lines() {
        let line: Value = serde_json::from_str(line).expect("stdout has metrics only");
        let described = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(described["Namespace"], "TimestreamConnector");
        assert_eq!(line["FunctionName"], "connector");
        ids.insert(line["request_id"].as_str().unwrap().to_owned());
    }
    assert_eq!((numbers.lines().count(), ids.len()), (served, served));
    let log = stage.text("function.err");
    assert!(log.lines().all(|line| line.starts_with("level=")), "{log}");
    assert!(!log.contains("level=error"), "{log}");

    // One process served all of them, and started within the time that Lambda has for it.
    assert_eq!(stage.text("function.err").matches("Serving").count(), 1);
    assert!(stage.stop().await.success());
    let log = stage.text("emulator.log");
    assert_eq!(log.matches("INIT RTDONE(status: success)").count(), 1);
    let (_, report) = log.split_once("INIT REPORT(durationMs: ").unwrap();
    let took: f64 = report.split_once(')').unwrap().0.parse().unwrap();
    assert!(took < INIT_LIMIT_MS, "{took} ms");
    println!("the function starts in {took} ms");
}

/// Servers that definitions name: a target, a Prometheus and a receiver of remote write.
struct Others {
    url: String,
    received: Arc<Mutex<Vec<(String, i64, f64)>>>,
}

impl Others {
    async fn start() -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/api/v1/{*rest}", get(api))
            .route("/write", post(take))
            .with_state(Arc::clone(&received));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, received }
    }

    fn received(&self) -> Vec<(String, i64, f64)> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }
}

async fn metrics(headers: HeaderMap) -> (StatusCode, &'static str) {
    match headers["authorization"].to_str() {
        Ok("Bearer node-token") => (StatusCode::OK, "node_load1 0.25\n"),
        _ => (StatusCode::UNAUTHORIZED, ""),
    }
}

/// Responds as a Prometheus that has `up` at the end of each range.
async fn api(uri: Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let data = match uri.path() {
        "/api/v1/query_range" if query.contains("%22up%22") => {
            let (_, end) = query.split_once("end=").unwrap();
            let end: i64 = end.split(['.', '&']).next().unwrap().parse().unwrap();
            json!({"resultType": "matrix", "result": [
                {"metric": {"__name__": "up", "job": "a"}, "values": [[end, "1"]]}
            ]})
        }
        "/api/v1/query_range" => json!({"resultType": "matrix", "result": []}),
        "/api/v1/metadata" => json!({}),
        _ => json!([]),
    };
    json!({"status": "success", "data": data}).to_string()
}

async fn take(
    State(received): State<Arc<Mutex<Vec<(String, i64, f64)>>>>,
    body: Bytes,
) -> StatusCode {
    let message = prom_wire::decompress(&body, 1 << 24).unwrap();
    let request: WriteRequest = prom_wire::decode(&message).unwrap();
    let mut received = received.lock().unwrap();
    for series in request.timeseries {
        let name = series.labels.iter().find(|it| it.name == "__name__");
        let name = name.unwrap().value.clone();
        let samples = series.samples.iter();
        received.extend(samples.map(|it| (name.clone(), it.timestamp, it.value)));
    }
    StatusCode::NO_CONTENT
}

/// Makes the table of the state as the template does.
async fn make_state_table(moto: &Moto) {
    let key = |name: &str, key_type: &str| json!({"AttributeName": name, "KeyType": key_type});
    let text = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let table = json!({
        "TableName": STATE,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [key("collection", "HASH"), key("name", "RANGE")],
        "AttributeDefinitions": [text("collection"), text("name")],
    });
    let request = soak::http::client()
        .post(&moto.url)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", "DynamoDB_20120810.CreateTable")
        // It says which service is meant; moto checks no signature.
        .header("authorization", "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
        .body(table.to_string());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_queues_and_streams() {
    let moto = Moto::start_in_turn().await;
    make_state_table(&moto).await;
    let others = Others::start().await;
    let stage = Stage::start(
        30,
        &[
            ("state_store", &format!("dynamodb:{STATE}")),
            ("AWS_ENDPOINT_URL_DYNAMODB", &moto.url),
            ("NODE_EXPORTER_TOKEN", "node-token"),
            ("PROMETHEUS_PASSWORD", "p"),
            ("MIMIR_PASSWORD", "m"),
        ],
    )
    .await;

    let mut scrape = event("scheduler-prometheus");
    scrape["config"]["endpoint"] = format!("{}/metrics", others.url).into();
    scrape["schedule_ms"] = 86_400_000.into();
    let response = stage.invoke(&scrape).await;
    assert_eq!(response["result"], "complete", "{response}");
    let points = stage.timestream.points(DATABASE, TABLE);
    let load = points.iter().find(|it| it.measure_name == "node_load1");
    let load = load.unwrap_or_else(|| panic!("{points:?}"));
    assert_eq!(load.value, timestream_emulator::Value::Double(0.25));
    assert_eq!(response["rows"], points.len());
    // The same tick again, as a schedule may deliver it.
    let response = stage.invoke(&scrape).await;
    assert_eq!(response["result"], "claim_lost", "{response}");

    let mut sync = event("scheduler-prometheus_api");
    sync["config"]["prometheus_url"] = others.url.clone().into();
    let response = stage.invoke(&sync).await;
    assert_eq!(response["result"], "complete", "{response}");
    let points = stage.timestream.points(DATABASE, "synced");
    let synced = points.iter().filter(|it| it.measure_name == "up").count();
    assert!(synced > 1 && response["rows"] == synced, "{response}");

    let mut sink = event("scheduler-prometheus_sink");
    sink["config"]["url"] = format!("{}/write", others.url).into();
    sink["config"]["source"]["table"] = "synced".into();
    let response = stage.invoke(&sink).await;
    assert_eq!(response["result"], "complete", "{response}");
    let sent = others.received();
    // The newest minute is left for the next run.
    assert!((synced - 1..=synced).contains(&sent.len()), "{sent:?}");
    assert_eq!(response["rows"], sent.len());

    // A sink that is stored takes the rows of queues and streams.
    let mut made = event("http-api-write");
    made["rawPath"] = "/v1/connectors".into();
    made["isBase64Encoded"] = false.into();
    sink["config"]["source"].take();
    sink["config"].as_object_mut().unwrap().remove("source");
    sink["name"] = "mimir-1".into();
    made["body"] = sink.to_string().into();
    let response = stage.http(&made).await;
    assert!(matches!(response.status, 201 | 409), "{}", response.text());
    let rows: [(String, i64, f64); 2] = [1.5, 2.5].map(|value| {
        (
            "temperature".to_owned(),
            1_600_000_000_000 + (value * 1e4) as i64,
            value,
        )
    });
    for name in ["sqs-rows", "kinesis-rows"] {
        let response = stage.invoke(&event(name)).await;
        assert_eq!(response, json!({"batchItemFailures": []}), "{name}");
        assert_eq!(others.received(), rows, "{name}");
    }
    // Dead letters of a queue, of which one has no table.
    let letter = |id: &str, table: &str| {
        let body = format!(
            r#"{{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"x","database":"{DATABASE}","table":"{table}","labels":[["__name__","letters"],["a","{id}"]],"samples":[[{},"1.5"]]}}"#,
            shapes::START_MS
        );
        json!({"eventSource": "aws:sqs", "messageId": id, "body": body})
    };
    let letters = json!({"Records": [letter("stored", TABLE), letter("rejected", "missing")]});
    let expected = json!({"batchItemFailures": [{"itemIdentifier": "rejected"}]});
    let response = stage.invoke(&letters).await;
    assert_eq!(response, expected, "{}", stage.text("function.err"));
    let points = stage.timestream.points(DATABASE, TABLE).into_iter();
    let letters = points.filter(|it| it.measure_name == "letters").count();
    assert_eq!(letters, 1);

    let foreign = json!({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {}}]});
    let failed = stage.invoke(&foreign).await;
    assert_eq!(failed["errorType"], "UnsupportedEvent", "{failed}");
    let text = failed["errorMessage"].as_str().unwrap();
    assert!(text.contains("event source 'aws:dynamodb'"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_invocation() {
    let stage = Stage::start(10, &[]).await;
    assert_eq!(stage.http(&event("http-api-write")).await.status, 204);
    let process = stage.function();
    // No gateway sends these: the crate that reads events panics at them.
    let mut host = event("http-api-write");
    host["headers"]["host"] = "[ no host".into();
    let mut body = event("rest-api-write");
    body["body"] = "no base64!".into();
    for broken in [host, body] {
        let id = stage.next_id();
        let failed = stage.invoke(&broken).await;
        let text = failed["errorMessage"].as_str().unwrap();
        assert!(text.starts_with("Lambda panicked: "), "{text}");
        let log = stage.text("function.err");
        let line = log
            .lines()
            .find(|line| line.contains("A part of the program panicked") && line.contains(&id));
        assert!(
            line.is_some_and(|it| it.starts_with("level=error ")),
            "{log}"
        );
        let before = stage.accepted();
        assert_eq!(stage.http(&event("alb-write")).await.status, 204);
        assert_eq!(stage.accepted() - before, 4);
    }
    assert_eq!(stage.function(), process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_timestream_gets_a_response_before_lambda_ends_the_function() {
    const TIME_LIMIT: Duration = Duration::from_secs(2);
    let stage = Stage::start(2, &[]).await;
    for operation in ["WriteRecords", "Query"] {
        let latency = FaultKind::Latency(Duration::from_secs(30));
        stage.timestream.order_fault(Fault {
            when: When::Always,
            ..Fault::next(operation, 1, latency)
        });
    }
    for (name, status, text) in [
        ("http-api-write", 503, "Timeout: "),
        ("rest-api-write-text", 503, "Timeout: "),
        ("function-url-otlp-text", 503, "before the deadline"),
        ("http-api-1.0-read", 504, ""),
        ("alb-query", 503, r#""errorType":"timeout""#),
    ] {
        let start = Instant::now();
        let mut event = event(name);
        if let Some(headers) = event["headers"].as_object_mut() {
            headers.retain(|name, _| !name.eq_ignore_ascii_case("accept-encoding"));
        }
        let response = stage.http(&event).await;
        let took = start.elapsed();
        assert_eq!(response.status, status, "{name}: {}", response.text());
        assert!(response.text().contains(text), "{}", response.text());
        // Half a second before it, in which the response reaches Lambda.
        assert!(
            took < TIME_LIMIT - Duration::from_millis(200),
            "{name}: {took:?}"
        );
        let is_read = name.ends_with("-read") || name.ends_with("-query");
        let says_when = response.headers.contains_key("retry-after");
        assert!(is_read || says_when, "{name}");
    }
    stage.timestream.clear_faults();
    let process = stage.function();
    let before = stage.accepted();
    assert_eq!(stage.http(&event("http-api-write")).await.status, 204);
    assert_eq!((stage.accepted() - before, stage.function()), (4, process));

    // The emulator would have ended a function without a response: it ends one that stands still.
    signal("STOP", &stage.function()).await;
    let (_, text) = stage.send(event("http-api-write").to_string()).await;
    assert_eq!(text, "Task timed out after 2.00 seconds");
    assert_eq!(stage.http(&event("http-api-write")).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_stops_and_another_goes_on() {
    let mut stage = Stage::start(10, &[]).await;
    assert_eq!(stage.http(&event("http-api-write")).await.status, 204);
    let first = stage.function();
    signal("TERM", &first).await;
    let deadline = Instant::now() + LIMIT;
    while runs(&first) {
        assert!(Instant::now() < deadline, "it goes on after SIGTERM");
        tokio::time::sleep(POLL).await;
    }
    // Status 0 is no crash; the emulator still misses the function, once.
    let (status, text) = stage.send(event("http-api-write").to_string()).await;
    assert_eq!(status, 502, "{text}");
    assert!(text.contains("Runtime exited"), "{text}");
    assert!(!text.contains("with error"), "{text}");
    let before = stage.accepted();
    assert_eq!(stage.http(&event("http-api-write")).await.status, 204);
    assert_eq!(stage.accepted() - before, 4);
    let second = stage.function();
    assert_ne!(first, second);
    assert!(stage.stop().await.success());
    assert!(!runs(&second), "the function runs on without the emulator");
}
