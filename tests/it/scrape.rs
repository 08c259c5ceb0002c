//! Connector definitions of the type `prometheus` against scripted targets.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};
use soak::samples::{Samples, compare};
use timestream_emulator::Emulator;
use timestream_prometheus_connector::entry::build::Parts;
use timestream_prometheus_connector::jobs::client::Client;
use timestream_prometheus_connector::jobs::job::{JobContext, Report, RunError, Tally};
use timestream_prometheus_connector::jobs::kinds::scrape::parse;
use timestream_prometheus_connector::jobs::secret::Secrets;
use timestream_prometheus_connector::storage::destination::Destination;
use timestream_prometheus_connector::storage::write::series::IgnoreReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::jobs::Memory;
use crate::support::{START_MS, configuration, parts, start_emulator, table};

mod ended;
mod real;

/// Runs scrapes into an emulator of its own.
pub(crate) struct Scraper {
    pub(crate) emulator: Emulator,
    parts: Parts,
    http: Client,
    secrets: Secrets,
    destination: Destination,
    cursors: Memory,
    /// Name of the definition.
    name: &'static str,
}

impl Scraper {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let emulator = start_emulator(vec![table("db", "scraped"), table("db", "metrics")]).await;
        let environment = |name: &str| (name == "SECRET").then(|| "s3cr3t".to_owned());
        Self {
            parts: parts(&configuration(&emulator.url(), flags)).await,
            emulator,
            http: Client::default(),
            secrets: Secrets::new(None, environment),
            destination: Destination {
                database: "db".to_owned(),
                table: "scraped".to_owned(),
            },
            cursors: Memory::default(),
            name: "test",
        }
    }

    /// Runs one scrape, at [`START_MS`].
    async fn tick(&self, config: Value) -> Report {
        self.tick_at(config, START_MS).await
    }

    pub(crate) async fn tick_at(&self, config: Value, time_ms: i64) -> Report {
        let stop = CancellationToken::new();
        self.tick_until(config, time_ms, &stop).await
    }

    async fn tick_until(&self, config: Value, time_ms: i64, stop: &CancellationToken) -> Report {
        let job = parse(&config).unwrap();
        let run = JobContext {
            name: self.name,
            destination: &self.destination,
            scheduled_for: Timestamp::from_millisecond(time_ms).unwrap(),
            deadline: None,
            stop,
            ingester: &self.parts.ingester,
            querier: &self.parts.querier,
            http: &self.http,
            secrets: &self.secrets,
            cursors: &self.cursors,
            progress: &(),
            tally: &Tally::default(),
            now: Timestamp::now,
        };
        job.run(&run).await
    }

    pub(crate) fn stored(&self) -> Samples {
        Samples::of_points(self.emulator.points("db", "scraped"))
    }

    /// Returns the stored values as strings, without the duration.
    fn values(&self) -> Vec<String> {
        let stored = self.stored().0;
        let stored = stored.iter().filter(|(labels, _)| {
            labels.get("__name__").map(String::as_str) != Some("scrape_duration_seconds")
        });
        let values = stored.map(|(labels, values)| {
            let labels = labels.iter().map(|(name, value)| format!("{name}={value}"));
            let values = values
                .iter()
                .map(|(time, bits)| format!("{} @ {:+}", f64::from_bits(*bits), time - START_MS));
            let parts: Vec<_> = labels.chain(values).collect();
            parts.join(" ")
        });
        values.collect()
    }
}

/// The reaction of a target to a request.
#[derive(Clone)]
enum Reply {
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Sends these bytes, and nothing more for as long as the scraper waits.
    Hangs(Vec<u8>),
}

/// A target that sends its replies one after the other, and repeats the last one.
pub(crate) struct Target {
    /// Host and port.
    pub(crate) address: String,
    /// Request lines and headers of the requests.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Target {
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&requests);
        tokio::spawn(async move {
            for index in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let reply = replies[index.min(replies.len() - 1)].clone();
                tokio::spawn(serve(stream, reply, Arc::clone(&heads)));
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, reply: Reply, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    heads.lock().unwrap().push(String::from_utf8(head).unwrap());
    let (bytes, hangs) = match reply {
        Reply::Bytes(bytes) => (bytes, false),
        Reply::Hangs(bytes) => (bytes, true),
    };
    // The scraper may have closed the connection.
    if stream.write_all(&bytes).await.is_ok() && hangs {
        let _ = stream.read_u8().await;
    }
}

pub(crate) const TEXT: &str = "content-type: text/plain; version=0.0.4\r\n";
const OPENMETRICS: &str = "content-type: application/openmetrics-text; version=1.0.0\r\n";

fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Starts a target that exposes this body.
pub(crate) async fn exposing(headers: &str, body: &[u8]) -> Target {
    Target::start(vec![Reply::Bytes(response(200, headers, body))]).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const GZIP: &str = "content-type: text/plain\r\ncontent-encoding: gzip\r\n";

#[tokio::test]
async fn exposed_samples_are_stored_with_the_labels_of_the_target() {
    let scraper = Scraper::start(&[]).await;
    let body = "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\n\
                jobs_total{kind=\"a\",instance=\"x\"} 3 5\njobs_total{kind=\"b\"} 4\n\
                # TYPE ratio gauge\nratio NaN\n";
    let target = exposing(TEXT, body.as_bytes()).await;
    let config = json!({"endpoint": target.url(), "job": "j", "labels": {"zone": "z"}});
    let report = scraper.tick(config).await;
    assert_eq!(report.error, None);
    // Values that are not finite are dropped by policy.
    let counts = (report.received, report.rows, report.rejected);
    assert_eq!(counts, (3, 5, 1));
    assert_eq!(report.added, 3);
    assert_eq!(report.ignored, [(IgnoreReason::ValueNotFinite, 1)].into());
    let address = &target.address;
    let expected = [
        format!(
            "__name__=jobs_total exported_instance=x instance={address} job=j kind=a zone=z 3 @ +0"
        ),
        format!("__name__=jobs_total instance={address} job=j kind=b zone=z 4 @ +0"),
        format!("__name__=scrape_samples_scraped instance={address} job=j zone=z 3 @ +0"),
        format!("__name__=up instance={address} job=j zone=z 1 @ +0"),
    ];
    assert_eq!(scraper.values(), expected);
    // If no stale markers are stored, nothing is remembered.
    assert!(scraper.cursors.texts().is_empty());
    let families: Vec<_> = scraper
        .emulator
        .points("db", "metrics")
        .iter()
        .map(|point| point.dimensions["metric_name"].clone())
        .collect();
    assert_eq!(families, ["jobs_total", "ratio"]);

    let heads = target.heads();
    let head = heads[0].to_lowercase();
    for line in [
        "get /metrics http/1.1\r\n",
        "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,",
        ",text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
        "accept-encoding: gzip\r\n",
        concat!(
            "user-agent: timestream-prometheus-connector/",
            env!("CARGO_PKG_VERSION"),
            "\r\n"
        ),
        "x-prometheus-scrape-timeout-seconds: 5\r\n",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(
        !head.contains("authorization") && heads.len() == 1,
        "{head}"
    );
}

#[tokio::test]
async fn without_labels_of_the_target_there_are_its_rows_and_nothing_else() {
    let scraper = Scraper::start(&["--store-special-values"]).await;
    let body = "# TYPE a counter\n# HELP a A.\na_total{b=\"1\"} 2 1600000000.5 # {t=\"x\"} 1\nc{d=\"4\"} 3\n# EOF\n";
    let target = exposing(OPENMETRICS, body.as_bytes()).await;
    let config = json!({
        "endpoint": target.url(), "target_labels": false, "honor_timestamps": true,
    });
    let report = scraper.tick(config.clone()).await;
    assert_eq!((report.error, report.rows, report.received), (None, 2, 2));
    let expected = ["__name__=a_total b=1 2 @ +500", "__name__=c d=4 3 @ +0"];
    assert_eq!(scraper.values(), expected);
    assert!(scraper.emulator.points("db", "metrics").is_empty());

    // A tick that fails leaves nothing.
    let target = exposing(TEXT, b"a 1 2 3\n").await;
    let failing = json!({"endpoint": target.url(), "target_labels": false});
    let report = scraper.tick(failing).await;
    let text = "parse error at line 1, offset 6: \
                expected the end of the line after the timestamp";
    assert_eq!(report.error, Some(RunError::Failed(text.to_owned())));
    assert_eq!((report.rows, report.received), (0, 0));
    assert_eq!(scraper.values(), expected);
}

#[tokio::test]
async fn values_that_are_not_finite_are_subject_to_the_policy() {
    let body = "a{b=\"1\"} NaN\na{b=\"2\"} -Inf\na{b=\"3\"} 4\n";
    for (flags, rows) in [(&[][..], 1), (&["--store-special-values"][..], 3)] {
        let scraper = Scraper::start(flags).await;
        let target = exposing(TEXT, body.as_bytes()).await;
        let config = json!({"endpoint": target.url(), "target_labels": false});
        let report = scraper.tick(config).await;
        let counts = (report.received, report.rows, report.rejected);
        assert_eq!(counts, (3, rows, 3 - rows), "{flags:?}");
        assert_eq!(report.error, None);
        let points = scraper.emulator.points("db", "scraped");
        assert_eq!(points.len() as u64, rows);
    }
}

#[tokio::test]
async fn duplicate_samples_are_dropped_and_reported() {
    let scraper = Scraper::start(&[]).await;
    let target = exposing(TEXT, b"a 1\na 2\nb 3\n").await;
    let config = json!({"endpoint": target.url(), "labels": {"instance": "i"}});
    let report = scraper.tick(config).await;
    let warning =
        "1 samples were dropped: an earlier sample of the scrape has the same series and time";
    assert_eq!(report.warnings, [warning]);
    assert_eq!(
        (report.error, report.received, report.rows, report.rejected),
        (None, 3, 5, 1)
    );
    let expected = [
        "__name__=a instance=i job=test 1 @ +0",
        "__name__=b instance=i job=test 3 @ +0",
        "__name__=scrape_samples_scraped instance=i job=test 3 @ +0",
        "__name__=up instance=i job=test 1 @ +0",
    ];
    assert_eq!(scraper.values(), expected);
}

#[tokio::test]
async fn every_member_of_a_gzip_is_read() {
    let scraper = Scraper::start(&[]).await;
    let members = [gzip(b"a{x=\"1\"} 1\nb"), gzip(b""), gzip(b"{x=\"2\"} 2\n")].concat();
    let target = exposing(GZIP, &members).await;
    let config = json!({"endpoint": target.url(), "target_labels": false});
    let report = scraper.tick(config).await;
    assert_eq!((report.error, report.received, report.rows), (None, 2, 2));
    assert_eq!(
        scraper.values(),
        ["__name__=a x=1 1 @ +0", "__name__=b x=2 2 @ +0"]
    );
}

#[tokio::test]
async fn a_target_that_exposes_nothing_is_up() {
    let scraper = Scraper::start(&[]).await;
    let target = exposing("", b"").await;
    let config = json!({"endpoint": target.url(), "labels": {"instance": "i"}});
    let report = scraper.tick(config).await;
    assert_eq!((report.error, report.rows), (None, 3));
    assert!(
        scraper
            .values()
            .contains(&"__name__=up instance=i job=test 1 @ +0".to_owned())
    );
}

#[tokio::test]
async fn an_invalid_response_is_rejected_as_a_whole_and_the_target_is_down() {
    let good = "a 1\n".repeat(1_000);
    let zipped = gzip(good.as_bytes());
    let bomb = gzip(&vec![b'#'; 1_000_000]);
    let half = |bytes: &[u8], headers: &str| {
        let whole = response(200, headers, bytes);
        whole[..whole.len() - bytes.len() / 2].to_vec()
    };
    // Name, response, start of the error, attempts.
    let cases: [(&str, Vec<u8>, &str, usize); 22] = [
        (
            "garbage",
            response(200, TEXT, &[0xff, 0xfe, 0x00, 0x80]),
            "parse error at line 1, offset 0: ",
            1,
        ),
        (
            "an invalid line after valid ones",
            response(200, TEXT, b"a 1\nb 2\nc three\n"),
            "parse error at line 3, offset 2: expected a number",
            1,
        ),
        (
            "HTML",
            response(200, "content-type: text/html\r\n", b"<html></html>"),
            "the target responded with Content-Type \"text/html\", expected text/plain or ",
            1,
        ),
        (
            "HTML as text",
            response(200, TEXT, b"<html></html>"),
            "parse error at line 1, offset 0: ",
            1,
        ),
        (
            "no type",
            response(200, "", b"a 1\n"),
            "the target responded without Content-Type; ",
            1,
        ),
        (
            "OpenMetrics without its end",
            response(200, OPENMETRICS, b"a 1\n"),
            "parse error at line 2, offset 0: the body does not end with \"# EOF\"",
            1,
        ),
        (
            "half a body",
            half(good.as_bytes(), TEXT),
            "error decoding response body: ",
            4,
        ),
        (
            "half a body in gzip",
            half(&zipped, GZIP),
            "error decoding response body: ",
            4,
        ),
        (
            "gzip without its last byte",
            response(200, GZIP, &zipped[..zipped.len() - 1]),
            "the gzip of the body ends early (attempts: 4)",
            4,
        ),
        (
            "half of the second member",
            response(200, GZIP, &[&zipped[..], &zipped[..15]].concat()),
            "the gzip of the body ends early (attempts: 4)",
            4,
        ),
        (
            "junk behind gzip",
            response(200, GZIP, &[&zipped[..], &b"junk"[..]].concat()),
            "the gzip of the body cannot be read: ",
            1,
        ),
        (
            "zeros behind gzip",
            response(200, GZIP, &[&zipped[..], &[0; 64]].concat()),
            "the gzip of the body cannot be read: ",
            1,
        ),
        (
            "no gzip",
            response(200, GZIP, b"a 1\n"),
            "the gzip of the body cannot be read: ",
            1,
        ),
        (
            "an encoding that was not requested",
            response(
                200,
                "content-type: text/plain\r\ncontent-encoding: br\r\n",
                b"a 1\n",
            ),
            "the body has the Content-Encoding \"br\", expected gzip or none",
            1,
        ),
        (
            "members that hold nothing, without end",
            response(200, GZIP, &gzip(b"").repeat(20_000)),
            "the body has more than 100000 bytes (body_size_limit)",
            1,
        ),
        (
            "too long",
            response(200, TEXT, &[b'#'; 100_001]),
            "the body has more than 100000 bytes (body_size_limit)",
            1,
        ),
        (
            "too long once it is decompressed",
            response(200, GZIP, &bomb),
            "the body has more than 100000 bytes (body_size_limit)",
            1,
        ),
        (
            "not found",
            response(404, TEXT, b"a 1\n"),
            "the target responded with 404 Not Found",
            1,
        ),
        (
            "another success",
            response(204, TEXT, b""),
            "the target responded with 204 No Content",
            1,
        ),
        (
            "a redirect to itself",
            response(302, "location: /metrics\r\n", b""),
            "more than 10 redirects",
            11,
        ),
        (
            "a redirect to nowhere",
            response(302, "", b""),
            "the target responded with 302 Found",
            1,
        ),
        (
            "an overload",
            response(503, TEXT, b""),
            "the target responded with 503 Service Unavailable (attempts: 4)",
            4,
        ),
    ];
    for (name, bytes, error, attempts) in cases {
        let scraper = Scraper::start(&[]).await;
        let target = Target::start(vec![Reply::Bytes(bytes)]).await;
        let report = scraper
            .tick(json!({
                "endpoint": target.url(), "body_size_limit": 100_000, "labels": {"instance": "i"},
            }))
            .await;
        match &report.error {
            Some(RunError::Failed(text)) => assert!(text.starts_with(error), "{name}: {text}"),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!((report.rows, report.received), (3, 0), "{name}");
        let expected = [
            "__name__=scrape_samples_scraped instance=i job=test 0 @ +0",
            "__name__=up instance=i job=test 0 @ +0",
        ];
        assert_eq!(scraper.values(), expected, "{name}");
        assert_eq!(target.heads().len(), attempts, "{name}");
    }
}

#[tokio::test]
async fn transient_failures_are_retried() {
    let ok = || Reply::Bytes(response(200, TEXT, b"a 1\n"));
    let status = |status| Reply::Bytes(response(status, TEXT, b""));
    let cut = || Reply::Bytes(Vec::new());
    let slow = || Reply::Hangs(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\na".to_vec());
    let cases = [
        (vec![status(500), status(502), status(504), ok()], true),
        (vec![status(429), ok()], true),
        (vec![cut(), cut(), cut(), ok()], true),
        (vec![Reply::Hangs(vec![]), slow(), ok()], true),
        (
            vec![status(503), status(503), status(503), status(503), ok()],
            false,
        ),
        (vec![status(503), status(403), ok()], false),
    ];
    for (index, (replies, is_up)) in cases.into_iter().enumerate() {
        let expected = if is_up {
            replies.len()
        } else {
            replies.len() - 1
        };
        let scraper = Scraper::start(&[]).await;
        let target = Target::start(replies).await;
        let config = json!({"endpoint": target.url(), "timeout_ms": 100});
        let report = scraper.tick(config).await;
        assert_eq!(report.error.is_none(), is_up, "{index}: {:?}", report.error);
        assert_eq!(target.heads().len(), expected, "{index}");
    }
}

#[tokio::test]
async fn a_target_that_is_not_there_or_too_slow() {
    let scraper = Scraper::start(&[]).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let config = json!({"endpoint": format!("http://{address}/metrics")});
    let Some(RunError::Failed(text)) = scraper.tick(config).await.error else {
        panic!("no target listens");
    };
    assert!(
        text.contains("Connection refused") && text.ends_with("(attempts: 4)"),
        "{text}"
    );
    assert!(!text.contains("for url"), "{text}");

    let target = Target::start(vec![Reply::Hangs(response(200, TEXT, b"")[..20].to_vec())]).await;
    let started = Instant::now();
    let config = json!({"endpoint": target.url(), "timeout_ms": 100});
    let report = scraper.tick(config).await;
    let text = "the target did not respond in time (timeout_ms) (attempts: 4)";
    assert_eq!(report.error, Some(RunError::Failed(text.to_owned())));
    assert!(started.elapsed() >= Duration::from_millis(400 + 75 + 150 + 300));
    assert_eq!(target.heads().len(), 4);
    assert_eq!(target.heads()[0].matches("seconds: 0.1\r\n").count(), 1);
}

#[tokio::test]
async fn a_run_that_is_stopped_ends_at_once_and_stores_nothing() {
    let scraper = Scraper::start(&[]).await;
    let target = Target::start(vec![Reply::Hangs(vec![])]).await;
    let stop = CancellationToken::new();
    let config = json!({"endpoint": target.url(), "timeout_ms": 60_000});
    let ended = async {
        while target.heads().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (report, ()) = tokio::join!(scraper.tick_until(config, START_MS, &stop), ended);
    assert_eq!(report.error, Some(RunError::Interrupted));
    assert!(scraper.values().is_empty());
}

#[tokio::test]
async fn credentials_are_sent_to_the_target_alone() {
    let scraper = Scraper::start(&[]).await;
    let bearer = json!({"type": "bearer", "token_ref": "$env:SECRET"});
    let basic = json!({"type": "basic", "username": "u", "password_ref": "$env:SECRET"});
    let cases = [(bearer, "Bearer s3cr3t"), (basic, "Basic dTpzM2NyM3Q=")];
    for (auth, expected) in cases {
        let other = exposing(TEXT, b"a 1\n").await;
        let away = format!("location: {}\r\n", other.url());
        let target = Target::start(vec![
            Reply::Bytes(response(307, "location: /elsewhere\r\n", b"")),
            Reply::Bytes(response(301, &away, b"")),
        ])
        .await;
        let report = scraper
            .tick(json!({"endpoint": target.url(), "auth": auth}))
            .await;
        assert_eq!(report.error, None);
        let header = |head: &str| {
            let mut lines = head.lines();
            let value = lines.find_map(|line| line.strip_prefix("authorization: "));
            value.map(str::to_owned)
        };
        let sent: Vec<_> = target.heads().iter().map(|head| header(head)).collect();
        assert_eq!(sent, vec![Some(expected.to_owned()); 2]);
        assert!(target.heads()[1].starts_with("GET /elsewhere "));
        let sent: Vec<_> = other.heads().iter().map(|head| header(head)).collect();
        assert_eq!(sent, [None]);
    }
}

#[tokio::test]
async fn a_missing_secret_disables_the_definition() {
    let scraper = Scraper::start(&[]).await;
    let target = exposing(TEXT, b"a 1\n").await;
    let auth = json!({"type": "bearer", "token_ref": "$env:OTHER"});
    let report = scraper
        .tick(json!({"endpoint": target.url(), "auth": auth}))
        .await;
    match report.error {
        Some(RunError::Disable(text)) => assert!(text.starts_with("token resolve: "), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(target.heads().is_empty());
}

#[tokio::test]
async fn a_body_without_a_type_has_the_configured_format() {
    for (protocol, body, rows) in [
        ("PrometheusText0.0.4", "a 1\n\n", 4),
        ("OpenMetricsText1.0.0", "a 1\n# EOF\n", 4),
        ("OpenMetricsText1.0.0", "a 1\n\n", 3),
    ] {
        for headers in ["", "content-type: application/json\r\n"] {
            let scraper = Scraper::start(&[]).await;
            let target = exposing(headers, body.as_bytes()).await;
            let config = json!({"endpoint": target.url(), "fallback_protocol": protocol});
            assert_eq!(
                scraper.tick(config).await.rows,
                rows,
                "{protocol} {headers}"
            );
        }
    }
}

#[tokio::test]
async fn five_megabytes_of_metrics() {
    const SERIES: usize = 8_000;
    let mut body = String::from("# TYPE wide gauge\n");
    let mut expected = BTreeMap::new();
    for index in 0..SERIES {
        let text = format!("{index:0600}");
        body += &format!("wide{{index=\"{index}\",text=\"{text}\"}} {index}\n");
        expected.insert(index.to_string(), (index as f64).to_bits());
    }
    assert!(body.len() > 5_000_000);
    let scraper = Scraper::start(&[]).await;
    let target = exposing(GZIP, &gzip(body.as_bytes())).await;
    let report = scraper
        .tick(json!({"endpoint": target.url(), "timeout_ms": 60_000}))
        .await;
    assert_eq!((report.error, report.rows), (None, SERIES as u64 + 3));
    let stored = scraper.stored().0;
    let stored: BTreeMap<_, _> = stored
        .iter()
        .filter(|(labels, _)| labels["__name__"] == "wide")
        .map(|(labels, values)| (labels["index"].clone(), values[&START_MS]))
        .collect();
    assert!(stored == expected);
}

#[tokio::test]
async fn a_repeated_scrape_changes_nothing() {
    let scraper = Scraper::start(&[]).await;
    let target = exposing(TEXT, b"a{b=\"1\"} 2\nc 3\n").await;
    let config = json!({"endpoint": target.url(), "target_labels": false});
    let first = scraper.tick(config.clone()).await;
    let stored = scraper.stored();
    assert_eq!(scraper.tick(config).await, first);
    assert!(compare(&stored, &scraper.stored()).is_none());
}
