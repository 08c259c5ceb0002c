//! Prometheus as a program: one that scrapes the targets, and one that receives.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::Value;
use tokio::process::Command;

use crate::programs::{Program, get};
use crate::samples::Samples;
use crate::targets::Targets;

/// Time without an appended sample after which the targets count as gone.
const QUIET: Duration = Duration::from_secs(3);

/// A running Prometheus.
pub struct Prometheus(Program);

/// Counters of its sender.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sender {
    /// Samples waiting to be sent.
    pub pending: f64,
    /// Samples sent again.
    pub retried: f64,
    /// Samples given up after a response that must not be retried.
    pub failed: f64,
    /// Samples given up before they were sent.
    pub dropped: f64,
}

impl Prometheus {
    /// Starts it; it has its configuration and its blocks in `folder`.
    pub async fn start(
        program: &Path,
        folder: &Path,
        scrape_interval: Duration,
        targets: &Targets,
        connector: &Program,
    ) -> Self {
        let config = format!(
            "global: {{ scrape_interval: {interval}ms, scrape_timeout: {interval}ms }}\n\
             scrape_configs:\n\
             - job_name: synthetic\n\
             \x20 http_sd_configs: [{{ url: '{}/sd', refresh_interval: 1s }}]\n\
             remote_write:\n\
             - url: {}/write\n\
             \x20 queue_config: {{ batch_send_deadline: 1s, max_backoff: 1s, capacity: 50000, max_shards: 4, \
             max_samples_per_send: 10000 }}\n",
            targets.url,
            connector.url,
            interval = scrape_interval.as_millis(),
        );
        Self::configured("prometheus", program, folder, &config, &[]).await
    }

    /// Starts it with this configuration; it has its files in `folder` under its `name`.
    pub async fn configured(
        name: &'static str,
        program: &Path,
        folder: &Path,
        config: &str,
        flags: &'static [&'static str],
    ) -> Self {
        let file = folder.join(format!("{name}.yml"));
        std::fs::write(&file, config).expect("the folder can be written to");
        let (program, data) = (program.to_owned(), folder.join(name));
        let command = move |port| {
            let mut command = Command::new(&program);
            command
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", data.display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--scrape.discovery-reload-interval=1s")
                .args(flags);
            command
        };
        Self(Program::start(name, folder, "/-/ready", command).await)
    }

    /// Returns the program.
    pub fn program(&mut self) -> &mut Program {
        &mut self.0
    }

    /// Returns where it serves.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Waits until nothing is scraped any more and nothing waits to be sent.
    ///
    /// # Errors The deadline has passed; the text has the rest.
    pub async fn drained(&mut self, deadline: Instant) -> Result<Sender, String> {
        let mut appended = -1.0;
        let mut quiet_since = Instant::now();
        loop {
            self.0.assert_running();
            let metrics = get(&format!("{}/metrics", self.0.url)).await;
            let now = sum(&metrics, "prometheus_tsdb_head_samples_appended_total");
            if now != appended {
                (appended, quiet_since) = (now, Instant::now());
            }
            let sender = sender(&metrics);
            if sender.pending == 0.0 && quiet_since.elapsed() >= QUIET {
                return Ok(sender);
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "not drained: {sender:?}, {appended} samples appended"
                ));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns all finite samples of the last `window`.
    pub async fn samples(&self, window: Duration) -> Samples {
        let names = self.api("label/__name__/values", &[]).await;
        let mut samples = Samples::default();
        for name in names.as_array().expect("names are an array") {
            let query = format!("{{__name__={name}}}[{}s]", window.as_secs());
            let response = self.api("query", &[("query", &query)]).await;
            samples.add_matrix(&response["result"]);
        }
        samples
    }

    /// Returns all finite samples at multiples of `step_s` seconds, by range queries.
    pub async fn steps(&self, range_s: (i64, i64), step_s: i64) -> Samples {
        let names = self.api("label/__name__/values", &[]).await;
        let mut samples = Samples::default();
        let aligned = |seconds: i64| (seconds / step_s * step_s).to_string();
        let (start, end) = (aligned(range_s.0), aligned(range_s.1));
        for name in names.as_array().expect("names are an array") {
            let query = [
                ("query", &*format!("{{__name__={name}}}")),
                ("start", &*start),
                ("end", &*end),
                ("step", &*step_s.to_string()),
            ];
            let response = self.api("query_range", &query).await;
            samples.add_matrix(&response["result"]);
        }
        samples
    }

    async fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("{}/api/v1/{path}", self.0.url);
        let url = Url::parse_with_params(&url, parameters).expect("the address is valid");
        let text = get(url.as_str()).await;
        let mut response: Value = serde_json::from_str(&text).expect("responses are JSON");
        response["data"].take()
    }
}

fn sender(metrics: &str) -> Sender {
    let of = |what: &str| {
        sum(
            metrics,
            &format!("prometheus_remote_storage_samples_{what}"),
        )
    };
    Sender {
        pending: of("pending"),
        retried: of("retried_total"),
        failed: of("failed_total"),
        dropped: of("dropped_total"),
    }
}

/// Returns the sum of all series of a metric, 0 if there is none.
fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines();
    let values = lines.filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = rest
            .starts_with(['{', ' '])
            .then(|| rest.rsplit(' ').next())?;
        value?.parse::<f64>().ok()
    });
    values.sum()
}
