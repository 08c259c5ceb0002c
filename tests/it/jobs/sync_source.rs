//! A server whose samples and errors change between the runs of a sync.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use reqwest::Url;
use serde_json::{Value, json};

use super::server::Server;

/// Samples by metric, series (the label `id`) and time in milliseconds.
pub(super) type Samples = BTreeMap<String, BTreeMap<String, BTreeMap<i64, f64>>>;

/// The samples of the server, and its errors.
#[derive(Default)]
pub(super) struct Content {
    pub(super) samples: Samples,
    /// Statuses of range queries, by metric.
    pub(super) statuses: BTreeMap<String, u16>,
    /// Windows that have this time fail with status 422, by metric.
    pub(super) bad_times: BTreeMap<String, i64>,
    /// Warnings of lists of names.
    pub(super) list_warnings: Vec<String>,
    /// The range queries: metric, start and end.
    pub(super) queried: Vec<(String, i64, i64)>,
    /// The lists: start and end.
    pub(super) listed: Vec<(i64, i64)>,
}

impl Content {
    /// Adds a sample of the only series of a metric.
    pub(super) fn add(&mut self, metric: &str, time_ms: i64, value: f64) {
        let series = self.samples.entry(metric.to_owned()).or_default();
        let series = series.entry("1".to_owned()).or_default();
        series.insert(time_ms, value);
    }

    fn list(&mut self, start: i64, end: i64) -> Response {
        self.listed.push((start, end));
        let has_samples = |series: &BTreeMap<String, BTreeMap<i64, f64>>| {
            series
                .values()
                .any(|samples| samples.range(start..=end).next().is_some())
        };
        let all = self.samples.iter();
        let all = all.filter(|(_, series)| has_samples(series));
        let names: Vec<_> = all.map(|(name, _)| name).collect();
        success(&json!(names), &self.list_warnings)
    }

    fn range(&mut self, metric: &str, start: i64, end: i64) -> Response {
        self.queried.push((metric.to_owned(), start, end));
        let bad = self.bad_times.get(metric);
        let bad = bad.filter(|time| (start..=end).contains(*time));
        if let Some(status) = self.statuses.get(metric).copied().or(bad.map(|_| 422)) {
            let error = json!({"status": "error", "errorType": "execution", "error": "broken"});
            let status = StatusCode::from_u16(status).unwrap();
            return (status, error.to_string()).into_response();
        }
        let series = self.samples.get(metric).into_iter().flatten();
        let result: Vec<Value> = series
            .map(|(id, samples)| {
                let values = samples.range(start..=end);
                let values =
                    values.map(|(time, value)| json!([*time as f64 / 1e3, value.to_string()]));
                let values: Vec<_> = values.collect();
                json!({"metric": {"__name__": metric, "id": id}, "values": values})
            })
            .filter(|series| !series["values"].as_array().unwrap().is_empty())
            .collect();
        success(&json!({"resultType": "matrix", "result": result}), &[])
    }
}

fn success(data: &Value, warnings: &[String]) -> Response {
    let body = json!({"status": "success", "data": data, "warnings": warnings});
    ([("content-type", "application/json")], body.to_string()).into_response()
}

/// The server.
pub(super) struct Source {
    pub(super) url: String,
    content: Arc<Mutex<Content>>,
}

impl Source {
    pub(super) async fn start() -> Self {
        let content: Arc<Mutex<Content>> = Arc::default();
        let shared = Arc::clone(&content);
        let server = Server::start(move |path, query| {
            let query = Url::parse(&format!("http://server/?{query}")).unwrap();
            let query: BTreeMap<_, _> = query.query_pairs().into_owned().collect();
            let time = |key: &str| (query[key].parse::<f64>().unwrap() * 1e3).round() as i64;
            let mut content = shared.lock().unwrap();
            match path {
                "/api/v1/label/__name__/values" => content.list(time("start"), time("end")),
                "/api/v1/query_range" => {
                    let metric = query["query"].strip_prefix("{__name__=\"").unwrap();
                    let metric = metric.strip_suffix("\"}").unwrap().replace("\\\"", "\"");
                    content.range(&metric, time("start"), time("end"))
                }
                "/api/v1/metadata" => success(&json!({}), &[]),
                _ => success(&json!([]), &[]),
            }
        });
        Self {
            url: server.await.url,
            content,
        }
    }

    pub(super) fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }
}
