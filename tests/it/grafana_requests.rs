//! Every request that Grafana's data source for Prometheus sends, with the parameters and headers it sends.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::support::{START_MS, TestApp, connect, series, start_emulator, table};

/// An hour of samples of a node exporter and of a server, every 15 s.
async fn app() -> TestApp {
    let emulator = start_emulator(vec![table("db", "t"), table("db", "metrics")]).await;
    let router = connect(&emulator, &[]).await;
    let app = TestApp { emulator, router };
    let times = || (0..240).map(|i| (START_MS + i * 15_000, i));
    let constant: Vec<_> = times().map(|(time, _)| (time, 1.0)).collect();
    let counter: Vec<_> = times().map(|(time, i)| (time, 30.0 * i as f64)).collect();
    app.write_ok(vec![
        series(
            &[("__name__", "up"), ("instance", "a:9100"), ("job", "node")],
            &constant,
        ),
        series(
            &[("__name__", "up"), ("instance", "b:80"), ("job", "web")],
            &constant,
        ),
        series(
            &[
                ("__name__", "http_requests_total"),
                ("code", "200"),
                ("job", "web"),
            ],
            &counter,
        ),
    ])
    .await;
    app
}

/// Headers of requests of a panel, of which none changes the response.
const PANEL: [(&str, &str); 9] = [
    ("User-Agent", "Grafana/12.3.0"),
    ("X-Dashboard-Uid", "rYdddlPWk"),
    ("X-Dashboard-Title", "Node Exporter Full"),
    ("X-Panel-Id", "77"),
    ("X-Panel-Title", "CPU Basic"),
    ("X-Panel-Plugin-Id", "timeseries"),
    ("X-Grafana-Org-Id", "1"),
    ("X-Query-Group-Id", "2f9f2bd4-7d0b-4b5f-9f8c-1f8f7f0f4a2c"),
    ("X-Grafana-From-Expr", "false"),
];

/// Headers of requests of alerting.
const ALERT: [(&str, &str); 4] = [
    ("User-Agent", "Grafana/12.3.0"),
    ("FromAlert", "true"),
    ("X-Rule-Uid", "cdeqmlhvflz40f"),
    ("X-Rule-Source", "grafana-ruler"),
];

/// The expected `data` of a response.
enum Data {
    Is(Value),
    /// A text that says what is expected, and the check.
    Has(&'static str, fn(&Value) -> bool),
    /// A response without a body, of status 204.
    None,
}

struct Row {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    parameters: &'static [(&'static str, &'static str)],
    data: Data,
}

const START: &str = "1600000000";
const END: &str = "1600003600";

fn row(
    name: &'static str,
    request: (&'static str, &'static str),
    parameters: &'static [(&'static str, &'static str)],
    data: Data,
) -> Row {
    let (method, path) = request;
    Row {
        name,
        method,
        path,
        parameters,
        data,
    }
}

fn rows() -> Vec<Row> {
    let one = json!({"resultType": "scalar", "result": [4, "2"]});
    vec![
        // Saving the data source, and on load.
        row(
            "health",
            ("POST", "query"),
            &[("query", "1+1"), ("time", "4")],
            Data::Is(one.clone()),
        ),
        row(
            "health over GET",
            ("GET", "query"),
            &[("query", "1+1"), ("time", "4")],
            Data::Is(one),
        ),
        row(
            "type and version of the server",
            ("GET", "status/buildinfo"),
            &[],
            // With `features` it would be a Mimir with a ruler.
            Data::Has("the version of a Prometheus, no features", |data| {
                let version = data["version"].as_str().unwrap_or_default();
                version.starts_with("3.") && data.get("features").is_none()
            }),
        ),
        row(
            "probe for rules",
            ("GET", "rules"),
            &[],
            Data::Is(json!({"groups": []})),
        ),
        row(
            "probe for exemplars, with times in milliseconds",
            ("GET", "query_exemplars"),
            &[
                ("query", "test"),
                ("start", "1600000000000"),
                ("end", "1600003600000"),
            ],
            Data::Is(json!([])),
        ),
        row(
            "help texts of metrics",
            ("GET", "metadata"),
            &[("limit", "40000")],
            Data::Has("an object", Value::is_object),
        ),
        row(
            "metric names on load",
            ("GET", "label/__name__/values"),
            &[("start", START), ("end", END), ("limit", "40000")],
            Data::Is(json!(["http_requests_total", "up"])),
        ),
        // Panels.
        row(
            "a panel",
            ("POST", "query_range"),
            &[
                ("query", "sum by (job) (up)"),
                ("start", START),
                ("end", "1600000030"),
                ("step", "15"),
            ],
            Data::Is(json!({"resultType": "matrix", "result": [
                {"metric": {"job": "node"}, "values": [[1600000000, "1"], [1600000015, "1"], [1600000030, "1"]]},
                {"metric": {"job": "web"}, "values": [[1600000000, "1"], [1600000015, "1"], [1600000030, "1"]]},
            ]})),
        ),
        row(
            "a panel of a rate with decimals in times and step",
            ("POST", "query_range"),
            &[
                (
                    "query",
                    "sum(rate(http_requests_total{job=~\"web|node\"}[1m0s]))",
                ),
                ("start", "1600000900.500"),
                ("end", "1600000930.500"),
                ("step", "30.000"),
            ],
            Data::Has("2 per second at two times", |data| {
                let values = data["result"][0]["values"].as_array();
                let is_two = |point: &Value| {
                    let value: Option<f64> = point[1].as_str().and_then(|it| it.parse().ok());
                    value.is_some_and(|it| (it - 2.0).abs() < 1e-9)
                };
                values.is_some_and(|it| {
                    let times: Vec<_> = it.iter().map(|point| point[0].as_f64()).collect();
                    times == [Some(1600000900.5), Some(1600000930.5)] && it.iter().all(is_two)
                })
            }),
        ),
        row(
            "a panel over GET",
            ("GET", "query_range"),
            &[
                ("query", "up{job=\"web\"}"),
                ("start", START),
                ("end", START),
                ("step", "1"),
            ],
            Data::Is(json!({"resultType": "matrix", "result": [
                {"metric": {"__name__": "up", "instance": "b:80", "job": "web"}, "values": [[1600000000, "1"]]},
            ]})),
        ),
        row(
            "a panel with a timeout",
            ("POST", "query_range"),
            &[
                ("query", "vector(1)"),
                ("start", START),
                ("end", START),
                ("step", "3600"),
                ("timeout", "60s"),
            ],
            Data::Is(json!({"resultType": "matrix", "result": [
                {"metric": {}, "values": [[1600000000, "1"]]},
            ]})),
        ),
        row(
            "a panel with the most points",
            ("POST", "query_range"),
            &[
                ("query", "vector(1)"),
                ("start", START),
                ("end", "1600011000"),
                ("step", "1"),
            ],
            Data::Has("11,001 points", |data| {
                data["result"][0]["values"]
                    .as_array()
                    .is_some_and(|it| it.len() == 11_001)
            }),
        ),
        row(
            "exemplars beside a panel",
            ("POST", "query_exemplars"),
            &[
                ("query", "sum(rate(http_requests_total[1m0s]))"),
                ("start", START),
                ("end", END),
                ("step", "15"),
            ],
            Data::Is(json!([])),
        ),
        row(
            "exemplars of an expression that selects nothing",
            ("POST", "query_exemplars"),
            &[("query", "vector(1)"), ("start", START), ("end", END)],
            Data::None,
        ),
        row(
            "a table",
            ("POST", "query"),
            &[
                ("query", "count by (code) (http_requests_total)"),
                ("time", "1600003600"),
            ],
            Data::Is(json!({"resultType": "vector", "result": [
                {"metric": {"code": "200"}, "value": [1600003600, "1"]},
            ]})),
        ),
        row(
            "an alert at a time with decimals",
            ("POST", "query"),
            &[("query", "up == 0"), ("time", "1600003600.123")],
            Data::Is(json!({"resultType": "vector", "result": []})),
        ),
        row(
            "annotations",
            ("POST", "query_range"),
            &[
                ("query", "ALERTS{alertstate=\"firing\"}"),
                ("start", START),
                ("end", END),
                ("step", "60"),
            ],
            Data::Is(json!({"resultType": "matrix", "result": []})),
        ),
        row(
            "Explore: raw samples",
            ("POST", "query"),
            &[("query", "up{job=\"web\"}[30s]"), ("time", "1600000030")],
            Data::Is(json!({"resultType": "matrix", "result": [
                {"metric": {"__name__": "up", "instance": "b:80", "job": "web"},
                 "values": [[1600000015, "1"], [1600000030, "1"]]},
            ]})),
        ),
        // Variables and completion.
        row(
            "label names",
            ("POST", "labels"),
            &[("start", START), ("end", END), ("limit", "40000")],
            Data::Is(json!(["__name__", "code", "instance", "job"])),
        ),
        row(
            "label names of a metric",
            ("POST", "labels"),
            &[
                ("start", START),
                ("end", END),
                ("limit", "40000"),
                ("match[]", "{__name__=\"up\"}"),
            ],
            Data::Is(json!(["__name__", "instance", "job"])),
        ),
        row(
            "label names over GET",
            ("GET", "labels"),
            &[
                ("start", START),
                ("end", END),
                ("limit", "0"),
                ("match[]", "up"),
                ("match[]", "absent"),
            ],
            Data::Is(json!(["__name__", "instance", "job"])),
        ),
        row(
            "label values",
            ("GET", "label/job/values"),
            &[("start", START), ("end", END), ("limit", "40000")],
            Data::Is(json!(["node", "web"])),
        ),
        row(
            "label values of a metric",
            ("GET", "label/instance/values"),
            &[
                ("start", START),
                ("end", END),
                ("match[]", "up{job=\"node\"}"),
            ],
            Data::Is(json!(["a:9100"])),
        ),
        row(
            "values of a label that is missing",
            ("GET", "label/absent/values"),
            &[("start", START), ("end", END)],
            Data::Is(json!([])),
        ),
        row(
            "metric names by a pattern",
            ("GET", "label/__name__/values"),
            &[
                ("start", START),
                ("end", END),
                ("limit", "40000"),
                ("match[]", "{__name__=~\".*http.*\"}"),
            ],
            Data::Is(json!(["http_requests_total"])),
        ),
        row(
            "series",
            ("POST", "series"),
            &[
                ("start", START),
                ("end", END),
                ("limit", "40000"),
                ("match[]", "up{job=\"web\"}"),
            ],
            Data::Is(json!([{"__name__": "up", "instance": "b:80", "job": "web"}])),
        ),
        row(
            "series instead of label names",
            ("POST", "series"),
            &[
                ("start", START),
                ("end", END),
                ("limit", "40000"),
                ("match[]", "{__name__!=\"\"}"),
            ],
            Data::Has("three series", |data| {
                data.as_array().is_some_and(|it| it.len() == 3)
            }),
        ),
        row(
            "the variable query_result()",
            ("POST", "query"),
            &[("query", "topk(1, sum by (job) (up))"), ("time", END)],
            Data::Has("one element", |data| {
                data["result"].as_array().is_some_and(|it| it.len() == 1)
            }),
        ),
        row(
            "help text of a metric",
            ("GET", "metadata"),
            &[("metric", "http_requests_total")],
            Data::Has("an object", Value::is_object),
        ),
    ]
}

impl Row {
    fn request(&self, headers: &[(&str, &str)]) -> Request<Body> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let form = form.extend_pairs(self.parameters).finish();
        let path = format!("/api/v1/{}", self.path);
        let mut request = match self.method {
            "POST" => {
                let content_type = "application/x-www-form-urlencoded";
                Request::post(path).header("content-type", content_type)
            }
            _ => Request::get(format!("{path}?{form}")),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if self.method == "POST" {
            form
        } else {
            String::new()
        };
        request.body(Body::from(body)).unwrap()
    }
}

#[tokio::test]
async fn every_request_of_the_data_source_gets_the_response_it_expects() {
    let app = app().await;
    let mut wrong = Vec::new();
    for row in rows() {
        for headers in [&PANEL[..], &ALERT[..]] {
            let response = app.send(row.request(headers)).await;
            let text = response.text();
            let body: Value = serde_json::from_str(&text).unwrap_or_default();
            let data = &body["data"];
            let (status, is_met, expected) = match &row.data {
                Data::Is(expected) => (200, data == expected, expected.to_string()),
                Data::Has(expected, check) => (200, check(data), (*expected).to_owned()),
                Data::None => (204, text.is_empty(), "no body".to_owned()),
            };
            let is_success = status == 204 || body["status"] == "success";
            if response.status != status || !is_met || !is_success {
                wrong.push(format!(
                    "{}: {} {text}; expected {status} with {expected}",
                    row.name, response.status
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn errors_have_a_body_that_the_data_source_reads() {
    let app = app().await;
    for (path, parameters, status, error) in [
        (
            "query_range",
            "query=sum(&start=0&end=1&step=1",
            400,
            "bad_data",
        ),
        (
            "query_range",
            "query=up&start=0&end=11001&step=1",
            400,
            "bad_data",
        ),
        (
            "query",
            "query=up%2Bon()up&time=1600000000",
            422,
            "execution",
        ),
        ("series", "start=0&end=1", 400, "bad_data"),
        ("labels", "match[]=%7B%7D", 400, "bad_data"),
    ] {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            PANEL[1],
        ];
        let path = format!("/api/v1/{path}");
        let response = app.post(&path, &headers, parameters.into()).await;
        let text = response.text();
        assert_eq!(response.status, status, "{path}: {text}");
        let body: Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(body["status"], "error", "{text}");
        assert_eq!(body["errorType"], error, "{text}");
        assert!(
            body["error"].as_str().is_some_and(|it| !it.is_empty()),
            "{text}"
        );
    }
}
