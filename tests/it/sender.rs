//! A sender of remote write that behaves as Prometheus does, and one of OTLP that behaves as its exporters do, with
//! shorter pauses.
//!
//! Series are spread over shards; each sends one batch after the other. A batch is sent again, the
//! same bytes, after a 5xx, without a response, and on 429 where that is configured; any other
//! response ends it. Exporters of OTLP send again without a response and after 429, 502, 503 and 504 alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use otlp::messages::{
    AnyValue, ExportMetricsServiceRequest, ExportMetricsServiceResponse, Gauge, KeyValue, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Status, any_value, metric, number_data_point,
};
use prom_wire::prompb::{TimeSeries, WriteRequest};
use prost::Message;
use reqwest::{Client, RequestBuilder};
use tokio::sync::watch;
use tokio::time::Instant;

/// Pause before the first resend; it doubles, as Prometheus' does from 30 ms on.
const MIN_BACKOFF: Duration = Duration::from_millis(10);
/// Prometheus' is 5 s.
const MAX_BACKOFF: Duration = Duration::from_millis(200);
/// Maximum pause here; Prometheus waits as long as `Retry-After` says.
const MAX_RETRY_AFTER: Duration = Duration::from_millis(100);
/// Prometheus never gives up.
const GIVE_UP: Duration = Duration::from_secs(60);
/// As Prometheus'.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// Progress of sending.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Attempts that have ended, however.
    pub(crate) ended: usize,
    /// Attempts under way.
    pub(crate) under_way: usize,
    /// True once every batch has its response.
    pub(crate) is_over: bool,
}

/// Outcome of a batch.
#[derive(Debug)]
pub(crate) struct Sent<T> {
    /// The caller's data about its samples, in their order.
    pub(crate) items: Vec<T>,
    /// Status of the response that ended it.
    pub(crate) status: u16,
    /// Its text.
    pub(crate) text: String,
    /// Data points that a response of OTLP reports as rejected.
    pub(crate) rejected: usize,
    /// Number of times it was sent.
    pub(crate) attempts: usize,
}

/// The protocol of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    RemoteWrite,
    Otlp,
}

/// A complete response.
struct Response {
    status: u16,
    retry_after: Option<Duration>,
    text: String,
    rejected: usize,
}

impl Protocol {
    /// Returns the body of a request.
    fn encode(self, timeseries: Vec<TimeSeries>) -> Vec<u8> {
        match self {
            Self::RemoteWrite => prom_wire::encode(&WriteRequest {
                timeseries,
                metadata: vec![],
            })
            .unwrap(),
            Self::Otlp => export(timeseries).encode_to_vec(),
        }
    }

    /// Returns an attempt to send a body, of which so many were made.
    fn request(self, client: &Client, url: &str, attempts: usize) -> RequestBuilder {
        match self {
            Self::RemoteWrite => {
                let request = client
                    .post(format!("{url}/write"))
                    .header("content-encoding", "snappy")
                    .header("content-type", "application/x-protobuf")
                    .header("x-prometheus-remote-write-version", "0.1.0");
                match attempts {
                    1 => request,
                    _ => request.header("retry-attempt", attempts - 1),
                }
            }
            Self::Otlp => client
                .post(format!("{url}/v1/metrics"))
                .header("content-type", "application/x-protobuf"),
        }
    }

    /// Returns the text of a response, and the number of data points that it reports as rejected.
    fn decode(self, status: u16, body: &[u8]) -> (String, usize) {
        match (self, status) {
            (Self::RemoteWrite, _) => (String::from_utf8(body.to_vec()).unwrap(), 0),
            (Self::Otlp, 200) => {
                let response = ExportMetricsServiceResponse::decode(body).unwrap();
                let partial = response.partial_success.unwrap_or_default();
                let rejected = usize::try_from(partial.rejected_data_points).unwrap();
                (partial.error_message, rejected)
            }
            (Self::Otlp, _) => (Status::decode(body).unwrap().message, 0),
        }
    }
}

/// Returns the request in which each series is a gauge.
fn export(timeseries: Vec<TimeSeries>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: timeseries.into_iter().map(gauge).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn gauge(series: TimeSeries) -> Metric {
    let (name, labels): (Vec<_>, Vec<_>) = series
        .labels
        .into_iter()
        .partition(|label| label.name == "__name__");
    let attribute = |label: prom_wire::prompb::Label| KeyValue {
        key: label.name,
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(label.value)),
        }),
    };
    let attributes: Vec<_> = labels.into_iter().map(attribute).collect();
    let samples = series.samples.into_iter();
    let points = samples.map(|sample| NumberDataPoint {
        time_unix_nano: u64::try_from(sample.timestamp).unwrap() * 1_000_000,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        attributes: attributes.clone(),
        ..NumberDataPoint::default()
    });
    Metric {
        name: name.into_iter().next().unwrap().value,
        data: Some(metric::Data::Gauge(Gauge {
            data_points: points.collect(),
        })),
        ..Metric::default()
    }
}

/// The sender's settings and its progress.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) protocol: Protocol,
    /// Address of the connector.
    pub(crate) url: String,
    /// Samples in a batch.
    pub(crate) batch: usize,
    /// `retry_on_http_429`.
    pub(crate) retries_429: bool,
    /// Reports the progress.
    pub(crate) progress: Arc<watch::Sender<Progress>>,
}

impl Sender {
    /// Sends the samples of each shard, one in each series as Prometheus does it, and returns when
    /// every batch has its response.
    pub(crate) async fn send<T>(&self, shards: Vec<Vec<(T, TimeSeries)>>) -> Vec<Sent<T>> {
        let client = soak::http::builder()
            .timeout(ATTEMPT_TIMEOUT)
            .build()
            .unwrap();
        let shards = shards
            .into_iter()
            .map(|shard| self.send_shard(&client, shard));
        let sent = join_all(shards).await;
        self.progress
            .send_modify(|progress| progress.is_over = true);
        sent.into_iter().flatten().collect()
    }

    async fn send_shard<T>(&self, client: &Client, shard: Vec<(T, TimeSeries)>) -> Vec<Sent<T>> {
        let mut sent = Vec::new();
        let mut samples = shard.into_iter().peekable();
        while samples.peek().is_some() {
            let (items, timeseries) = samples.by_ref().take(self.batch).unzip();
            sent.push(self.send_batch(client, items, timeseries).await);
        }
        sent
    }

    async fn send_batch<T>(
        &self,
        client: &Client,
        items: Vec<T>,
        timeseries: Vec<TimeSeries>,
    ) -> Sent<T> {
        let body = self.protocol.encode(timeseries);
        let deadline = Instant::now() + GIVE_UP;
        let mut backoff = MIN_BACKOFF;
        for attempts in 1.. {
            let (pause, last) = match self.attempt(client, body.clone(), attempts).await {
                Ok(response) if !self.is_sent_again(response.status) => {
                    return Sent {
                        items,
                        status: response.status,
                        text: response.text,
                        rejected: response.rejected,
                        attempts,
                    };
                }
                Ok(response) => (
                    response.retry_after,
                    format!("{} {}", response.status, response.text),
                ),
                Err(error) => (None, error.to_string()),
            };
            assert!(
                Instant::now() < deadline,
                "after {attempts} attempts: {last}"
            );
            tokio::time::sleep(pause.map_or(backoff, |it| it.min(MAX_RETRY_AFTER))).await;
            backoff = MAX_BACKOFF.min(backoff * 2);
        }
        unreachable!("the attempts have no end")
    }

    fn is_sent_again(&self, status: u16) -> bool {
        match self.protocol {
            Protocol::RemoteWrite => status >= 500 || (status == 429 && self.retries_429),
            Protocol::Otlp => [429, 502, 503, 504].contains(&status),
        }
    }

    async fn attempt(
        &self,
        client: &Client,
        body: Vec<u8>,
        attempts: usize,
    ) -> reqwest::Result<Response> {
        self.progress
            .send_modify(|progress| progress.under_way += 1);
        let request = self.protocol.request(client, &self.url, attempts);
        let response = async {
            let response = request.body(body).send().await?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get("retry-after");
            let retry_after = retry_after.map(|it| {
                let seconds = it.to_str().unwrap().parse();
                Duration::from_secs(seconds.expect("the connector sends seconds"))
            });
            let (text, rejected) = self.protocol.decode(status, &response.bytes().await?);
            Ok(Response {
                status,
                retry_after,
                text,
                rejected,
            })
        }
        .await;
        self.progress.send_modify(|progress| {
            progress.under_way -= 1;
            progress.ended += 1;
        });
        response
    }
}
