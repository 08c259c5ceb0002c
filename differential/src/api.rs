//! The HTTP API of Prometheus, whoever serves it.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use flate2::read::GzDecoder;
use prom_model::{Histogram, Labels};
use prom_wire::prompb::{
    Label, LabelMatcher, Query as ReadQuery, ReadRequest, ReadResponse, Sample, TimeSeries,
    WriteRequest, label_matcher,
};

use crate::data::{Float, Point, Series};
use crate::query::{Query, Times};

/// The time that a write request spans.
const REQUEST_MS: i64 = 300_000;

const PROTOBUF: &[(&str, &str)] = &[
    ("Content-Type", "application/x-protobuf"),
    ("Content-Encoding", "snappy"),
];

/// A server with the API.
#[derive(Clone, Debug)]
pub struct Api {
    /// Host and port.
    address: String,
    /// The path of remote write.
    write_path: &'static str,
    /// The value of `Authorization`.
    authorization: Option<String>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: String,
    /// The value of `Content-Encoding`.
    pub encoding: String,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

/// The parts of a request beside its query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The parameters are in the URL, not in a form.
    pub is_get: bool,
    /// The response may be compressed.
    pub accepts_gzip: bool,
    /// Further parameters.
    pub parameters: Vec<(&'static str, String)>,
}

impl Api {
    /// Returns the API at an address of a host and a port, with remote write at this path.
    pub fn new(address: impl Into<String>, write_path: &'static str) -> Self {
        Self {
            address: address.into(),
            write_path,
            authorization: None,
        }
    }

    /// Returns host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends this bearer token with each request.
    pub fn with_token(mut self, token: &str) -> Self {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    /// Writes the series in the order of the times. Series of one time get their place in Prometheus by their labels.
    ///
    /// # Panics
    /// The server does not accept them.
    pub fn write(&self, all: &[Series]) {
        let slots: BTreeSet<i64> = all.iter().flat_map(times).map(slot).collect();
        for of in slots {
            // Of a series in one request Prometheus appends the floats first.
            let mut requests: Vec<Vec<TimeSeries>> = Vec::new();
            for series in all {
                for (at, run) in runs(series, of).into_iter().enumerate() {
                    if requests.len() == at {
                        requests.push(Vec::new());
                    }
                    requests[at].push(run);
                }
            }
            requests.into_iter().for_each(|it| self.write_request(it));
        }
    }

    fn write_request(&self, timeseries: Vec<TimeSeries>) {
        let request = WriteRequest {
            timeseries,
            metadata: vec![],
        };
        let body = prom_wire::encode(&request).expect("the series have a size");
        let response = self.exchange("POST", self.write_path, PROTOBUF, &body);
        let response = response.expect("the server responds");
        let text = String::from_utf8_lossy(&response.body);
        assert_eq!(response.status, 204, "{text}");
    }

    /// Returns all series in the order in which the selectors of a Prometheus have them: that of their arrival.
    ///
    /// # Panics
    /// The server does not return them.
    pub fn read(&self) -> Vec<Series> {
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
        let body = prom_wire::encode(&request).expect("the query has a size");
        let response = self.exchange("POST", "/api/v1/read", PROTOBUF, &body);
        let Response { status, body, .. } = response.expect("the server responds");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let body = prom_wire::decompress(&body, 1 << 30).expect("it is compressed");
        let response: ReadResponse = prom_wire::decode(&body).expect("it is a response");
        let results = response.results.into_iter();
        let mut all: Vec<_> = results.flat_map(|it| it.timeseries).map(series).collect();
        all.sort_by_key(|series| times(series).min().map(slot));
        all
    }

    /// Evaluates a query.
    ///
    /// # Panics
    /// There is no response.
    pub fn query(&self, query: &Query, text: &str, form: &Form) -> Response {
        let seconds = |ms: i64| format!("{:.3}", ms as f64 / 1000.0);
        let (path, mut parameters) = match query.times {
            Times::Instant(time) => ("query", vec![("time", seconds(time))]),
            Times::Range { start, end, step } => (
                "query_range",
                vec![
                    ("start", seconds(start)),
                    ("end", seconds(end)),
                    ("step", seconds(step)),
                ],
            ),
        };
        parameters.push(("query", text.to_owned()));
        parameters.push(("lookback_delta", seconds(query.lookback_ms)));
        parameters.extend(form.parameters.iter().cloned());
        self.call(path, &parameters, form)
    }

    /// Calls an endpoint with these parameters, in the way of `form`.
    ///
    /// # Panics
    /// There is no response.
    pub fn call(&self, path: &str, parameters: &[(&str, String)], form: &Form) -> Response {
        let parameters = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", percent(value)));
        let parameters = parameters.collect::<Vec<_>>().join("&");
        let path = format!("/api/v1/{path}");
        let mut headers = Vec::new();
        if form.accepts_gzip {
            headers.push(("Accept-Encoding", "gzip"));
        }
        let response = if form.is_get {
            self.exchange("GET", &format!("{path}?{parameters}"), &headers, &[])
        } else {
            headers.push(("Content-Type", "application/x-www-form-urlencoded"));
            self.exchange("POST", &path, &headers, parameters.as_bytes())
        };
        response.unwrap_or_else(|error| panic!("{path} {parameters}: {error}"))
    }

    /// Sends a request, with a connection of its own.
    ///
    /// # Errors
    /// There is no response.
    pub fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut stream = TcpStream::connect(&self.address)?;
        // HTTP 1.0 has no chunks.
        let mut request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        let authorization = self.authorization.as_deref();
        let authorization = authorization.map(|it| ("Authorization", it));
        for (name, value) in headers.iter().copied().chain(authorization) {
            request += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{request}\r\n").as_bytes())?;
        stream.write_all(body)?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        parsed(&response).ok_or_else(|| io::Error::other("this is no response"))?
    }
}

/// Reads a response; `None` if it is not HTTP.
fn parsed(response: &[u8]) -> Option<io::Result<Response>> {
    let end = response.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&response[..end]).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let header = |wanted: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map_or_else(String::new, |(_, value)| value.to_owned())
    };
    let mut body = response[end + 4..].to_vec();
    let encoding = header("content-encoding");
    if encoding == "gzip" {
        let mut plain = Vec::new();
        if let Err(error) = GzDecoder::new(&body[..]).read_to_end(&mut plain) {
            return Some(Err(error));
        }
        body = plain;
    }
    Some(Ok(Response {
        status,
        content_type: header("content-type"),
        encoding,
        body,
    }))
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

/// Returns the samples of a series in a slot: runs of floats and of histograms that follow one another.
fn runs(series: &Series, of: i64) -> Vec<TimeSeries> {
    let floats = series.floats.iter().map(|it| {
        let sample = Sample {
            value: it.value,
            timestamp: it.time_ms,
        };
        (it.time_ms, Ok(sample))
    });
    let histograms = series.histograms.iter().map(|it| {
        let histogram = it.histogram.clone().into();
        (it.histogram.timestamp_ms, Err(histogram))
    });
    let samples = floats.chain(histograms);
    let mut samples: Vec<_> = samples.filter(|(time, _)| slot(*time) == of).collect();
    samples.sort_by_key(|(time, _)| *time);
    let labels = series.labels.iter().map(|it| Label {
        name: it.name.clone(),
        value: it.value.clone(),
    });
    let labels: Vec<_> = labels.collect();
    let mut runs: Vec<TimeSeries> = Vec::new();
    for (_, sample) in samples {
        let follows = runs.last().is_some_and(|run| match sample {
            Ok(_) => run.histograms.is_empty(),
            Err(_) => run.samples.is_empty(),
        });
        if !follows {
            runs.push(TimeSeries {
                labels: labels.clone(),
                ..TimeSeries::default()
            });
        }
        let run = runs.last_mut().expect("it was just added");
        match sample {
            Ok(sample) => run.samples.push(sample),
            Err(histogram) => run.histograms.push(histogram),
        }
    }
    runs
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
