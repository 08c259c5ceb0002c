//! A sender of remote write that behaves as Prometheus does, with shorter pauses.
//!
//! Series are spread over shards; each sends one batch after the other. A batch is sent again, the
//! same bytes, after a 5xx, without a response, and on 429 where that is configured; any other
//! response ends it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use prom_wire::prompb::{TimeSeries, WriteRequest};
use reqwest::Client;
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
    /// Number of times it was sent.
    pub(crate) attempts: usize,
}

/// The sender's settings and its progress.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    /// Address of `/write`.
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
        let metadata = vec![];
        let body = prom_wire::encode(&WriteRequest {
            timeseries,
            metadata,
        })
        .unwrap();
        let deadline = Instant::now() + GIVE_UP;
        let mut backoff = MIN_BACKOFF;
        for attempts in 1.. {
            let (pause, last) = match self.attempt(client, body.clone(), attempts).await {
                Ok((status, _, text)) if !self.is_sent_again(status) => {
                    return Sent {
                        items,
                        status,
                        text,
                        attempts,
                    };
                }
                Ok((status, retry_after, text)) => (retry_after, format!("{status} {text}")),
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
        status >= 500 || (status == 429 && self.retries_429)
    }

    /// Returns status, `Retry-After` and text of the response.
    async fn attempt(
        &self,
        client: &Client,
        body: Vec<u8>,
        attempts: usize,
    ) -> reqwest::Result<(u16, Option<Duration>, String)> {
        self.progress
            .send_modify(|progress| progress.under_way += 1);
        let mut request = client
            .post(format!("{}/write", self.url))
            .header("content-encoding", "snappy")
            .header("content-type", "application/x-protobuf")
            .header("x-prometheus-remote-write-version", "0.1.0");
        if attempts > 1 {
            request = request.header("retry-attempt", attempts - 1);
        }
        let response = async {
            let response = request.body(body).send().await?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get("retry-after");
            let retry_after = retry_after.map(|it| {
                let seconds = it.to_str().unwrap().parse();
                Duration::from_secs(seconds.expect("the connector sends seconds"))
            });
            Ok((status, retry_after, response.text().await?))
        }
        .await;
        self.progress.send_modify(|progress| {
            progress.under_way -= 1;
            progress.ended += 1;
        });
        response
    }
}
