//! A running Prometheus that receives by remote write.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use differential::data::{Float, Point, Series};
use differential::query::{Query, Times};
use differential::result::QueryResult;
use prom_model::{Histogram, Labels};
use prom_wire::prompb::{
    Label, LabelMatcher, Query as ReadQuery, ReadRequest, ReadResponse, Sample, TimeSeries,
    WriteRequest, label_matcher,
};

use crate::response;

/// Everything that the queries need, with which no other flag changes a result.
const FLAGS: [&str; 3] = [
    "--storage.tsdb.retention.time=100y",
    "--web.enable-remote-write-receiver",
    "--enable-feature=promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers",
];
/// The time that a write request spans.
const REQUEST_MS: i64 = 300_000;

/// The process, its address and its folder.
pub(crate) struct Prometheus {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it without data.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "").unwrap();
        let address = free_address();
        let process = Command::new(program())
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(FLAGS)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self {
            process,
            address,
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !matches!(
            prometheus.exchange("GET", "/-/ready", "", &[]),
            Ok((200, _))
        ) {
            assert!(Instant::now() < deadline, "Prometheus does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        prometheus
    }

    /// Writes the series in the order of the times. Series of one time get their place in Prometheus by their labels.
    pub(crate) fn write(&self, all: &[Series]) {
        let slots: BTreeSet<i64> = all.iter().flat_map(times).map(slot).collect();
        for of in slots {
            let parts = all.iter().map(|series| message(series, of));
            let request = WriteRequest {
                timeseries: parts
                    .filter(|it| !(it.samples.is_empty() && it.histograms.is_empty()))
                    .collect(),
                metadata: vec![],
            };
            let body = prom_wire::encode(&request).unwrap();
            let (status, text) = self
                .exchange("POST", "/api/v1/write", "application/x-protobuf", &body)
                .unwrap();
            assert_eq!(status, 204, "{}", String::from_utf8_lossy(&text));
        }
    }

    /// Returns all series in the order in which its selectors have them: that of their arrival.
    pub(crate) fn read(&self) -> Vec<Series> {
        let request = ReadRequest {
            queries: vec![ReadQuery {
                start_timestamp_ms: 0,
                end_timestamp_ms: i64::MAX / 2,
                matchers: vec![LabelMatcher {
                    r#type: label_matcher::Type::Re.into(),
                    name: "__name__".to_owned(),
                    value: ".+".to_owned(),
                }],
                hints: None,
            }],
            accepted_response_types: vec![],
        };
        let body = prom_wire::encode(&request).unwrap();
        let (status, body) = self
            .exchange("POST", "/api/v1/read", "application/x-protobuf", &body)
            .unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let body = prom_wire::decompress(&body, 1 << 30).unwrap();
        let response: ReadResponse = prom_wire::decode(&body).unwrap();
        let results = response.results.into_iter();
        let mut all: Vec<_> = results.flat_map(|it| it.timeseries).map(series).collect();
        all.sort_by_key(|series| times(series).min().map(slot));
        all
    }

    /// Evaluates a query.
    pub(crate) fn evaluate(&self, query: &Query, text: &str) -> QueryResult {
        let seconds = |ms: i64| format!("{:.3}", ms as f64 / 1000.0);
        let (path, mut form) = match query.times {
            Times::Instant(time) => ("/api/v1/query", vec![("time", seconds(time))]),
            Times::Range { start, end, step } => (
                "/api/v1/query_range",
                vec![
                    ("start", seconds(start)),
                    ("end", seconds(end)),
                    ("step", seconds(step)),
                ],
            ),
        };
        form.push(("query", text.to_owned()));
        form.push(("lookback_delta", seconds(query.lookback_ms)));
        let form = form
            .iter()
            .map(|(name, value)| format!("{name}={}", percent(value)));
        let body = form.collect::<Vec<_>>().join("&");
        let kind = "application/x-www-form-urlencoded";
        let (_, body) = self.exchange("POST", path, kind, body.as_bytes()).unwrap();
        response::read(&body)
    }

    /// Sends a request, with a connection of its own; returns the status and the body.
    fn exchange(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(&self.address)?;
        // HTTP 1.0 has no chunks.
        let mut request = format!(
            "{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !kind.is_empty() {
            request += &format!("Content-Type: {kind}\r\n");
        }
        if kind.ends_with("protobuf") {
            request += "Content-Encoding: snappy\r\n";
        }
        stream.write_all(format!("{request}\r\n").as_bytes())?;
        stream.write_all(body)?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        let end = response
            .windows(4)
            .position(|it| it == b"\r\n\r\n")
            .unwrap();
        let status = std::str::from_utf8(&response[9..12]).unwrap();
        Ok((status.parse().unwrap(), response.split_off(end + 4)))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/prometheus.sh");
    let output = Command::new(&script)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "no Prometheus can be had; the lines above say why"
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn slot(time_ms: i64) -> i64 {
    time_ms / REQUEST_MS
}

fn times(series: &Series) -> impl Iterator<Item = i64> {
    let floats = series.floats.iter().map(|it| it.time_ms);
    let histograms = series.histograms.iter();
    floats.chain(histograms.map(|it| it.histogram.timestamp_ms))
}

/// Returns the samples of a series in a slot.
fn message(series: &Series, of: i64) -> TimeSeries {
    let labels = series.labels.iter().map(|it| Label {
        name: it.name.clone(),
        value: it.value.clone(),
    });
    let samples = series.floats.iter().map(|it| Sample {
        value: it.value,
        timestamp: it.time_ms,
    });
    let histograms = series.histograms.iter().map(|it| &it.histogram);
    TimeSeries {
        labels: labels.collect(),
        samples: samples.filter(|it| slot(it.timestamp) == of).collect(),
        exemplars: vec![],
        histograms: histograms
            .filter(|it| slot(it.timestamp_ms) == of)
            .map(|it| it.clone().into())
            .collect(),
    }
}

fn series(message: TimeSeries) -> Series {
    let labels = message.labels.into_iter().map(|it| prom_model::Label {
        name: it.name,
        value: it.value,
    });
    let floats = message.samples.iter().map(|it| Float {
        time_ms: it.timestamp,
        value: it.value,
        start_ms: 0,
    });
    let histograms = message.histograms.into_iter().map(|it| Point {
        histogram: Histogram::from(it),
        start_ms: 0,
    });
    Series {
        labels: Labels::new(labels.collect()),
        floats: floats.collect(),
        histograms: histograms.collect(),
    }
}
