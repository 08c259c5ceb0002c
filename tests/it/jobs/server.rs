//! A scripted server of Prometheus' HTTP API that remembers its requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// The requests of a server: path and query.
type Requests = Arc<Mutex<Vec<(String, String)>>>;

/// A scripted server.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Requests,
}

/// The window of a request, in seconds; both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Window {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: i64,
}

impl Window {
    /// Parses a query; a list of names has no step.
    pub(crate) fn of(query: &str) -> Self {
        let seconds = |key: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(key));
            pair.map_or(0, |number| number.parse::<f64>().unwrap() as i64)
        };
        Self {
            start: seconds("start="),
            end: seconds("end="),
            step: seconds("step="),
        }
    }

    /// Returns the times of its points.
    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        (self.start..=self.end).step_by(self.step as usize)
    }

    pub(crate) fn points(self) -> i64 {
        (self.end - self.start) / self.step + 1
    }
}

impl Server {
    pub(crate) async fn start<R: IntoResponse>(
        respond: impl Fn(&str, &str) -> R + Send + Sync + 'static,
    ) -> Self {
        let requests: Requests = Arc::default();
        let seen = Arc::clone(&requests);
        let respond = Arc::new(move |path: &str, query: &str| respond(path, query).into_response());
        let handle = move |request: Request| {
            let (seen, respond) = (Arc::clone(&seen), Arc::clone(&respond));
            async move {
                let uri = request.uri();
                let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or("").to_owned());
                seen.lock().unwrap().push((path.clone(), query.clone()));
                respond(&path, &query)
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handle);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, requests }
    }

    /// Starts a server that responds to range queries with the samples of a metric in `exposition`.
    pub(crate) async fn of(exposition: &str, metric: &str) -> Self {
        let mut series: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for line in exposition
            .lines()
            .filter(|line| line.starts_with(&format!("{metric}{{")))
        {
            let [labels, value, time] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let id = labels.split('"').nth(1).unwrap().to_owned();
            let time = time.parse().unwrap();
            series.entry(id).or_default().push((time, value.to_owned()));
        }
        let metric = metric.to_owned();
        Self::start(move |path, query| {
            if !path.ends_with("query_range") {
                return StatusCode::NOT_FOUND.into_response();
            }
            let window = Window::of(query);
            let inside = window.start..=window.end;
            let result: Vec<Value> = series
                .iter()
                .map(|(id, samples)| {
                    let samples = samples.iter().filter(|(time, _)| inside.contains(time));
                    let values: Vec<_> = samples.collect();
                    json!({"metric": {"__name__": metric, "id": id, "job": "a"}, "values": values})
                })
                .collect();
            success(json!({"resultType": "matrix", "result": result}))
        })
        .await
    }

    /// Returns the queries of the requests to a path.
    pub(crate) fn queries(&self, path: &str) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let queries = requests.iter().filter(|(it, _)| it.ends_with(path));
        queries.map(|(_, query)| query.clone()).collect()
    }
}

/// A success with this data.
pub(crate) fn success(data: Value) -> Response {
    envelope(json!({"data": data}))
}

/// A success with these keys.
pub(crate) fn envelope(mut keys: Value) -> Response {
    keys["status"] = "success".into();
    body(StatusCode::OK, "application/json", keys.to_string())
}

/// An error of Prometheus' API.
pub(crate) fn error(status: u16, error_type: &str, text: &str) -> Response {
    let keys = json!({"status": "error", "errorType": error_type, "error": text});
    let status = StatusCode::from_u16(status).unwrap();
    body(status, "application/json", keys.to_string())
}

pub(crate) fn body(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    (status, [("content-type", content_type)], body.into()).into_response()
}

/// A success whose connection ends in the middle of it.
pub(crate) fn cut_off() -> Response {
    let start = Ok(r#"{"status":"success","data":{"resultType":"matrix","result":["#);
    let pieces = [start, Err(std::io::Error::other("gone"))];
    let pieces = Body::from_stream(futures_util::stream::iter(pieces));
    body(StatusCode::OK, "application/json", pieces)
}

/// A success whose declared length is more than a sync reads.
pub(crate) fn too_long() -> Response {
    let start = futures_util::stream::iter([Ok::<_, std::io::Error>("{")]);
    let pieces = futures_util::StreamExt::chain(start, futures_util::stream::pending());
    let mut response = body(
        StatusCode::OK,
        "application/json",
        Body::from_stream(pieces),
    );
    let length = http::HeaderValue::from(300_000_000);
    response.headers_mut().insert("content-length", length);
    response
}

/// A matrix of one series, one point at each step of a window; its value is the time.
pub(crate) fn points(metric: &str, window: Window) -> Value {
    let values: Vec<_> = window
        .times()
        .map(|it| json!([it, it.to_string()]))
        .collect();
    let series = json!({"metric": {"__name__": metric, "job": "a"}, "values": values});
    json!({"resultType": "matrix", "result": [series]})
}
