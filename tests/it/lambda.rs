//! The real binary as a function of AWS Lambda: every event of `events/`, and its failures.

#[path = "../../events/shapes.rs"]
mod shapes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use http::StatusCode;

use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::read_request::ResponseType;
use prom_wire::prompb::{LabelMatcher, Query, ReadRequest, ReadResponse, TimeSeries, WriteRequest};
use serde_json::{Value, json};
use timestream_emulator::{Emulator, Fault, FaultKind, When};
use tokio::process::Command;
use tower::ServiceExt;

use crate::exporter::Exporter;
use crate::frames;
use crate::jobs::server::Server;
use crate::jobs::sink::{Received, Receiver};
use crate::otlp;
use crate::runtime_api::{Ended, FUNCTION, Function, HttpResponse, Left, RuntimeApi};
use crate::state::Dynamo;
use crate::support::{START_MS, TestApp, connect, query, series, start_emulator, table};
use shapes::{END_MS, JOB, TEXT_JOB, TOKEN};

/// A function in front of an emulator, as the template sets it up.
struct Running {
    emulator: Emulator,
    api: RuntimeApi,
    function: Function,
}

const LABELS: [(&str, &str); 3] = [
    ("database_label", "PrometheusDatabaseLabel"),
    ("table_label", "PrometheusTableLabel"),
    ("bearer_token", TOKEN),
];

impl Running {
    /// Starts it with the options of the template.
    async fn start() -> Self {
        Self::start_with(&LABELS).await
    }

    async fn start_with(variables: &[(&str, &str)]) -> Self {
        let emulator = start_emulator(vec![table("prometheus", "samples")]).await;
        Self::start_before(emulator, variables).await
    }

    async fn start_before(emulator: Emulator, variables: &[(&str, &str)]) -> Self {
        let api = RuntimeApi::start().await;
        let mut all = api.variables(&emulator.url());
        all.extend(
            variables
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned())),
        );
        let command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
        let function = Function::start(command, &all);
        Self {
            emulator,
            api,
            function,
        }
    }

    async fn invoke(&self, event: &Value) -> HttpResponse {
        self.api.invoke(event.to_string()).await.http()
    }

    /// Sends the body as an HTTP API would.
    async fn post(&self, path: &str, body: &[u8]) -> HttpResponse {
        self.invoke(&event("http-api", path, body)).await
    }

    async fn stop(self) -> Left {
        let left = self.function.stop().await;
        assert_eq!(left.status, Some(0), "{}", left.stderr);
        left
    }
}

/// Returns the event of a file.
fn file(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Returns an event of a shape with another path and body.
fn event(shape: &str, path: &str, body: &[u8]) -> Value {
    use base64::Engine;
    let mut event = file(&format!("{shape}-write"));
    for key in ["path", "rawPath"] {
        if event[key].is_string() {
            event[key] = path.into();
        }
    }
    let body = base64::engine::general_purpose::STANDARD.encode(body);
    event["body"] = body.into();
    // The path alone determines the kind of request.
    for headers in ["headers", "multiValueHeaders"] {
        if let Some(headers) = event[headers].as_object_mut() {
            headers.retain(|name, _| !name.to_lowercase().starts_with("x-prometheus-"));
        }
    }
    event
}

fn write_body(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    prom_wire::encode(&WriteRequest {
        timeseries,
        metadata: vec![],
    })
    .unwrap()
}

fn read_body(queries: Vec<Query>) -> Vec<u8> {
    prom_wire::encode(&ReadRequest {
        queries,
        accepted_response_types: vec![],
    })
    .unwrap()
}

fn sample(value: f64) -> Vec<u8> {
    write_body(vec![series(
        &[("__name__", "m"), ("l", "1")],
        &[(START_MS, value)],
    )])
}

/// Destinations that need no label.
const DEFAULTS: [(&str, &str); 2] = [
    ("default_database", "prometheus"),
    ("default_table", "samples"),
];

fn slow(operation: &str) -> Fault {
    Fault {
        when: When::Always,
        ..Fault::next(operation, 1, FaultKind::Latency(Duration::from_secs(30)))
    }
}

#[test]
fn the_files_are_those_of_the_generator() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/events");
    let mut expected = BTreeSet::new();
    for (name, text) in shapes::files() {
        let found = std::fs::read_to_string(format!("{directory}/{name}")).unwrap_or_default();
        assert_eq!(found, text, "{name}: run `make events`");
        expected.insert(name);
    }
    let found: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn every_event_is_served_by_one_process() {
    let running = Running::start().await;
    let names = shapes::files().into_iter().map(|(name, _)| name);
    let names = names.filter(|name| name.contains("-write") || name.contains("-read"));
    let (writes, reads): (Vec<_>, Vec<_>) = names.partition(|name| name.contains("-write"));
    assert!(writes.len() >= 14 && writes.len() == reads.len());
    for name in writes {
        let stored = running.emulator.counters().records_accepted;
        let response = running
            .invoke(&file(name.strip_suffix(".json").unwrap()))
            .await;
        assert_eq!(response.status, 204, "{name}: {}", response.text());
        assert!(!response.is_base64 && response.body.is_empty(), "{name}");
        let samples = if name.contains("-text") { 1 } else { 4 };
        let now = running.emulator.counters().records_accepted;
        assert_eq!(now - stored, samples, "{name}");
    }
    for name in reads {
        let response = running
            .invoke(&file(name.strip_suffix(".json").unwrap()))
            .await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        assert!(response.is_base64, "{name}");
        assert_eq!(response.headers["content-type"], "application/x-protobuf");
        assert_eq!(response.headers["content-encoding"], "snappy");
        let message = prom_wire::decompress(&response.body, usize::MAX).unwrap();
        let response: ReadResponse = prom_wire::decode(&message).unwrap();
        let job = if name.contains("-text") {
            TEXT_JOB
        } else {
            JOB
        };
        let values: &[(i64, f64)] = match job {
            TEXT_JOB => &[(shapes::START_MS, 2.0)],
            _ => &[(shapes::START_MS, 1.0), (shapes::START_MS + 15_000, 1.0)],
        };
        let expected = series(&[("__name__", "up"), ("job", job)], values);
        assert_eq!(response.results[0].timeseries, [expected], "{name}");
    }
    assert_eq!(running.emulator.points("prometheus", "samples").len(), 5);
    let left = running.stop().await;
    assert!(!left.stderr.contains("level=error"), "{}", left.stderr);
}

/// Returns a response's body without its encoding.
fn decoded(response: &HttpResponse) -> String {
    use std::io::Read;
    match response.headers.get("content-encoding").map(String::as_str) {
        Some("gzip") => {
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(&response.body[..]);
            decoder.read_to_string(&mut text).unwrap();
            text
        }
        None | Some("identity") => response.text(),
        Some(other) => panic!("{other}"),
    }
}

/// Removes a header from an event, whichever its shape.
fn without_header(event: &Value, header: &str) -> Value {
    let mut event = event.clone();
    for headers in ["headers", "multiValueHeaders"] {
        if let Some(headers) = event[headers].as_object_mut() {
            headers.retain(|name, _| !name.eq_ignore_ascii_case(header));
        }
    }
    event
}

#[tokio::test]
async fn otlp_metrics_arrive_in_each_shape() {
    let running = Running::start().await;
    let names: Vec<String> = shapes::files().into_iter().map(|(name, _)| name).collect();
    let names = names.iter().filter_map(|name| name.strip_suffix(".json"));
    let names: Vec<&str> = names.filter(|name| name.contains("-otlp")).collect();
    assert_eq!(names.len(), 2 * 7);
    for name in names {
        let stored = running.emulator.counters().records_accepted;
        let response = running.invoke(&file(name)).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let (content_type, body) = match name.ends_with("-text") {
            true => ("application/json", "{}"),
            false => ("application/x-protobuf", ""),
        };
        assert_eq!(response.headers["content-type"], content_type, "{name}");
        assert_eq!(response.text(), body, "{name}");
        // The sample, and the metadata of the first.
        let now = running.emulator.counters().records_accepted;
        assert!(now > stored, "{name}");
    }
    let points = running.emulator.points("prometheus", "samples");
    let mut jobs: Vec<_> = points
        .iter()
        .filter(|point| point.measure_name == "room_temperature_celsius")
        .filter_map(|point| point.dimensions.get("job"))
        .collect();
    jobs.sort();
    assert_eq!(jobs, [shapes::JOB, shapes::TEXT_JOB]);
}

#[tokio::test]
async fn queries_through_a_function_get_the_bytes_of_the_server() {
    let running = Running::start().await;
    let response = running.invoke(&file("http-api-write")).await;
    assert_eq!(response.status, 204, "{}", response.text());
    let flags = [
        "--database-label=PrometheusDatabaseLabel",
        "--table-label=PrometheusTableLabel",
    ];
    let server = connect(&running.emulator, &flags).await;
    let names: Vec<String> = shapes::files().into_iter().map(|(name, _)| name).collect();
    let names = names.iter().filter_map(|name| name.strip_suffix(".json"));
    let names: Vec<&str> = names.filter(|name| name.contains("-query")).collect();
    assert_eq!(names.len(), 3 * 7);
    let query = file("http-api-query")["rawQueryString"].clone();
    let query = format!("/api/v1/query?{}", query.as_str().unwrap());
    let form = file("http-api-query-form-text")["body"].clone();
    let form = form.as_str().unwrap();
    for name in names {
        let event = file(name);
        let zipped = running.invoke(&event).await;
        assert_eq!(zipped.status, 200, "{name}: {}", decoded(&zipped));
        assert_eq!(zipped.headers["content-encoding"], "gzip", "{name}");
        assert!(zipped.is_base64, "{name}");
        let plain = running
            .invoke(&without_header(&event, "accept-encoding"))
            .await;
        assert_eq!(plain.status, 200, "{name}");
        assert!(!plain.is_base64, "{name}");
        assert!(!plain.headers.contains_key("content-encoding"), "{name}");
        for response in [&zipped, &plain] {
            assert_eq!(response.headers["content-type"], "application/json");
        }
        let (expected, of_server) = if name.contains("-form") {
            let values = r#""values":[[1590213251.152,"1.5"],[1590213266.152,"1.5"]]"#;
            let request = http::Request::post("/api/v1/query_range")
                .header("content-type", "application/x-www-form-urlencoded");
            let body = axum::body::Body::from(form.to_owned());
            (("matrix", values), request.body(body).unwrap())
        } else {
            let values = r#""value":[1590213266.152,"1.5"]"#;
            let request = http::Request::get(&query);
            let body = axum::body::Body::empty();
            (("vector", values), request.body(body).unwrap())
        };
        let (kind, values) = expected;
        let expected = format!(
            r#"{{"status":"success","data":{{"resultType":"{kind}","result":[{{"metric":{{"job":"prometheus"}},{values}}}]}}}}"#
        );
        let of_server = server.clone().oneshot(of_server).await.unwrap();
        let of_server = axum::body::to_bytes(of_server.into_body(), usize::MAX).await;
        assert_eq!(of_server.unwrap(), expected.as_bytes(), "{name}");
        assert_eq!(decoded(&zipped), expected, "{name}");
        assert_eq!(plain.text(), expected, "{name}");
    }
    let left = running.stop().await;
    assert!(!left.stderr.contains("level=error"), "{}", left.stderr);
}

#[tokio::test]
async fn parameters_that_occur_twice_reach_the_api_in_each_shape() {
    let running = Running::start().await;
    let response = running.invoke(&file("http-api-write")).await;
    assert_eq!(response.status, 204, "{}", response.text());
    let matchers = ["up", "go_goroutines"].map(|name| {
        format!(
            "{name}{{PrometheusDatabaseLabel=\"prometheus\",PrometheusTableLabel=\"samples\",job=~\"a+|prom.*\"}}"
        )
    });
    let (start, end) = ("1590213200".to_owned(), "1590213300".to_owned());
    let pairs = [
        ("match[]", &matchers[0]),
        ("match[]", &matchers[1]),
        ("start", &start),
        ("end", &end),
    ];
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let encoded = pairs.map(|(name, value)| (encode(name), encode(value)));
    let query: Vec<String> = encoded.iter().map(|(n, v)| format!("{n}={v}")).collect();
    for shape in [
        "http-api",
        "http-api-stage",
        "http-api-1.0",
        "rest-api",
        "function-url",
        "alb-multi-value",
    ] {
        let mut event = file(&format!("{shape}-query"));
        for key in ["path", "rawPath"] {
            if let Some(path) = event[key].as_str() {
                event[key] = path.replace("/query", "/series").into();
            }
        }
        if event["rawQueryString"].is_string() {
            event["rawQueryString"] = query.join("&").into();
        } else {
            // Gateways decode, load balancers do not.
            let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for ((name, value), raw) in pairs.iter().zip(&encoded) {
                let (name, value) = match shape {
                    "alb-multi-value" => (raw.0.as_str(), raw.1.as_str()),
                    _ => (*name, value.as_str()),
                };
                all.entry(name).or_default().push(value);
            }
            event["multiValueQueryStringParameters"] = json!(all);
            if shape != "alb-multi-value" {
                let last = all
                    .iter()
                    .map(|(name, values)| (*name, values[values.len() - 1]));
                event["queryStringParameters"] = json!(last.collect::<BTreeMap<_, _>>());
            }
        }
        let response = running.invoke(&event).await;
        let expected = r#"{"status":"success","data":[{"__name__":"go_goroutines","job":"prometheus"},{"__name__":"up","job":"prometheus"}]}"#;
        assert_eq!(decoded(&response), expected, "{shape}");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_query_page_is_served_under_a_stage() {
    let running = Running::start_with(&DEFAULTS).await;
    let mut event = file("http-api-stage-query");
    event["rawPath"] = "/dev/query".into();
    event["rawQueryString"] = "".into();
    let response = running.invoke(&event).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(!response.is_base64);
    assert!(response.headers["content-type"].starts_with("text/html"));
    // Its requests are relative to its address, so that they have the stage too.
    let page = response.text();
    assert!(page.contains("\"./api/v1/\""), "{page:.2000}");
    running.stop().await;
}

#[tokio::test]
async fn a_function_has_tokens_for_reading_and_writing() {
    let labels = &LABELS[..2];
    let tokens = [("read_bearer_token", "r"), ("write_bearer_token", "w")];
    let running = Running::start_with(&[labels, &tokens].concat()).await;
    for (name, right, wrong) in [
        ("http-api-write", "w", "r"),
        ("rest-api-write", "w", "r"),
        ("alb-query", "r", "w"),
        ("http-api-stage-query-form", "r", "w"),
        ("http-api-1.0-read", "r", "w"),
    ] {
        for (token, rejected) in [(right, None), (wrong, Some(403)), ("x", Some(401))] {
            let mut event = without_header(&file(name), "authorization");
            let token = format!("Bearer {token}");
            for (headers, value) in [
                ("headers", json!(token)),
                ("multiValueHeaders", json!([token])),
            ] {
                if let Some(headers) = event[headers].as_object_mut() {
                    headers.insert("Authorization".to_owned(), value);
                }
            }
            let response = running.invoke(&event).await;
            match rejected {
                Some(status) => assert_eq!(response.status, status, "{name}"),
                None => assert!(response.status < 300, "{name}: {}", response.text()),
            }
        }
    }
    running.stop().await;
}

/// Returns the event of a query of a range, as a form, through `shape`.
fn range_query(shape: &str, query: &str, accepts_gzip: bool) -> Value {
    let mut event = file(&format!("{shape}-query-form-text"));
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([
        ("query", query),
        ("start", "1600000000"),
        ("end", "1600011000"),
        ("step", "1"),
    ]);
    event["body"] = form.finish().into();
    match accepts_gzip {
        true => event,
        false => without_header(&event, "accept-encoding"),
    }
}

#[tokio::test]
async fn a_result_that_lambda_would_reject_fits_with_gzip_or_gets_a_remedy() {
    // The time that a test may take does not depend on the build then.
    let variables = [&DEFAULTS[..], &[("request_timeout", "28s")]].concat();
    let running = Running::start_with(&variables).await;
    let series = |count: usize, value: &str| -> String {
        let one = |i| format!("label_replace(vector({value}), \"i\", \"{i}\", \"\", \"\")");
        (0..count).map(one).collect::<Vec<_>>().join(" or ")
    };
    let (few, many) = (series(4, "time()"), series(20, "time()"));
    // 20 series of 11,001 points are more than 5 MB, of which base64 is too large; a load balancer accepts 1 MB.
    let cases = [
        ("http-api", &many, true, 200),
        ("http-api", &many, false, 422),
        ("rest-api", &many, true, 200),
        ("alb", &few, true, 200),
        ("alb", &few, false, 422),
        ("alb", &many, true, 422),
    ];
    for (shape, query, accepts_gzip, status) in cases {
        let event = range_query(shape, query, accepts_gzip);
        let response = running.invoke(&event).await;
        let case = format!("{shape} {accepts_gzip} {}", query.len());
        assert_eq!(response.status, status, "{case}");
        let text = decoded(&response);
        if status == 200 {
            let expected = if shape == "alb" { 1_000_000 } else { 5_000_000 };
            assert!(text.len() > expected, "{case}: {}", text.len());
            assert!(
                text.starts_with(r#"{"status":"success","data":{"#),
                "{case}"
            );
            assert!(text.ends_with(r#"]]}]}}"#), "{case}");
            continue;
        }
        let error = r#"{"status":"error","errorType":"execution","error":"the encoded result has more than"#;
        assert!(text.starts_with(error), "{case}: {text}");
        assert!(
            text.contains("use a longer step, a shorter range or fewer series"),
            "{text}"
        );
        assert!(text.contains("accept gzip"), "{case}: {text}");
        assert_eq!(response.headers["content-type"], "application/json");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_result_full_of_quotes_fits_where_its_escaped_text_would_not() {
    let running = Running::start_with(&DEFAULTS).await;
    // 35 series with a label of 60,000 quotes: 4.2 MB, which escaped again would be 8.4.
    let one = |i| format!("label_replace(vector(1), 'i', '{i}', '', '')");
    let series: Vec<String> = (0..35).map(one).collect();
    let quotes = "\"".repeat(60_000);
    let query = format!(
        "label_replace({}, 'a', '{quotes}', '', '')",
        series.join(" or ")
    );
    let mut event = file("http-api-query-form-text");
    event["rawPath"] = "/api/v1/query".into();
    event["body"] = format!("query={query}").into();
    let event = without_header(&event, "accept-encoding");
    let response = running.invoke(&event).await;
    assert_eq!(response.status, 200, "{:.300}", response.text());
    assert!(response.is_base64);
    let value: Value = serde_json::from_slice(&response.body).unwrap();
    let result = value["data"]["result"].as_array().unwrap();
    assert_eq!(result.len(), 35);
    assert!(result.iter().all(|series| series["metric"]["a"] == *quotes));
    assert!(response.body.len() > 4_000_000, "{}", response.body.len());
    running.stop().await;
}

#[tokio::test]
async fn an_error_of_the_query_api_has_its_envelope_through_a_function() {
    let running = Running::start_with(&DEFAULTS).await;
    let invoke = async |query: &str| {
        let mut event = file("http-api-stage-query");
        event["rawQueryString"] = query.into();
        let event = without_header(&event, "accept-encoding");
        running.invoke(&event).await
    };
    for (query, status, error_type) in [
        ("query=up%7B", 400, "bad_data"),
        ("query=up&time=x", 400, "bad_data"),
        ("query=vector(1)&timeout=0.000001", 503, "timeout"),
    ] {
        let response = invoke(query).await;
        assert_eq!(response.status, status, "{query}: {}", response.text());
        assert!(!response.is_base64, "{query}");
        let error: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(
            (&error["status"], &error["errorType"]),
            (&json!("error"), &json!(error_type))
        );
    }
    // The deadline of the invocation bounds a query too.
    running.emulator.order_fault(slow("Query"));
    let event = without_header(&file("http-api-query"), "accept-encoding").to_string();
    let start = Instant::now();
    let response = running
        .api
        .invoke_within(Duration::from_secs(2), event)
        .await
        .http();
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(
        response.text().contains(r#""errorType":"timeout""#),
        "{}",
        response.text()
    );
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    running.stop().await;
}

#[tokio::test]
async fn a_request_without_the_right_token_is_rejected() {
    let running = Running::start().await;
    let mut event = file("rest-api-write");
    event["headers"]["Authorization"] = "Bearer other".into();
    event["multiValueHeaders"]["Authorization"] = json!(["Bearer other"]);
    let response = running.invoke(&event).await;
    assert_eq!(response.status, 401);
    assert!(response.headers.contains_key("www-authenticate"));
    assert!(!response.is_base64 && response.text().starts_with("AuthenticationError"));
    let left = running.stop().await;
    let numbers: Value = serde_json::from_str(&left.stdout).unwrap();
    let described = &numbers["_aws"]["CloudWatchMetrics"][0]["Metrics"];
    assert_eq!(
        *described,
        json!([{"Name": "rejected_credentials", "Unit": "Count"}])
    );
    assert_eq!(
        (&numbers["rejected_credentials"], &numbers["status"]),
        (&json!(1), &json!(401))
    );
}

#[tokio::test]
async fn several_invocations_run_at_once_where_lambda_says_so() {
    const AT_ONCE: usize = 4;
    let variables = [
        ("AWS_LAMBDA_MAX_CONCURRENCY", "4"),
        ("log_format", "json"),
        ("log_level", "debug"),
    ];
    let running = Running::start_with(&[&DEFAULTS[..], &variables].concat()).await;
    running.api.polled(AT_ONCE).await;
    // Each call waits for the others: one after the other none would end before the deadline.
    let latency = FaultKind::Latency(Duration::from_secs(2));
    running
        .emulator
        .order_fault(Fault::next("WriteRecords", AT_ONCE as u32, latency));
    let start = Instant::now();
    let bodies: Vec<Value> = (0..AT_ONCE)
        .map(|i| {
            let labels = [("__name__", "m"), ("i", &*i.to_string())];
            event(
                "http-api",
                "/write",
                &write_body(vec![series(&labels, &[(START_MS, 1.0)])]),
            )
        })
        .collect();
    let responses =
        futures_util::future::join_all(bodies.iter().map(|event| running.invoke(event)));
    assert!(
        responses
            .await
            .iter()
            .all(|response| response.status == 204)
    );
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    let left = running.stop().await;
    let ids = |text: &str| -> BTreeSet<String> {
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["message"] == "Write request stored." || line["_aws"].is_object())
            .map(|line| line["request_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&left.stderr).len(), AT_ONCE, "{}", left.stderr);
    assert_eq!(ids(&left.stderr), ids(&left.stdout));
}

#[tokio::test]
async fn a_body_over_the_limit_is_rejected() {
    let variables = [&DEFAULTS[..], &[("max_request_bytes", "1KiB")]].concat();
    let running = Running::start_with(&variables).await;
    let response = running.post("/write", &[0; 2_000]).await;
    assert_eq!(response.status, 413, "{}", response.text());
    running.stop().await;
}

#[tokio::test]
async fn the_deadline_of_the_invocation_bounds_the_work() {
    let running = Running::start_with(&DEFAULTS).await;
    running.emulator.order_fault(slow("WriteRecords"));
    running.emulator.order_fault(slow("Query"));
    let read = read_body(vec![query(&[(Type::Eq, "__name__", "m")])]);
    for (path, body, status) in [("/write", sample(1.0), 503), ("/read", read, 504)] {
        // The second has no time left at all.
        for limit in [Duration::from_secs(2), Duration::from_millis(100)] {
            let start = Instant::now();
            let event = event("http-api", path, &body).to_string();
            let response = running.api.invoke_within(limit, event).await.http();
            let took = start.elapsed();
            assert_eq!(response.status, status, "{path}: {}", response.text());
            assert!(took < Duration::from_secs(2), "{path} {limit:?}: {took:?}");
        }
    }
    running.emulator.clear_faults();
    assert_eq!(running.post("/write", &sample(1.0)).await.status, 204);
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_is_none_of_ours_fails_and_the_process_goes_on() {
    let running = Running::start_with(&DEFAULTS).await;
    let mut broken = file("http-api-write");
    broken["body"] = "no base64!".into();
    let mut host = file("http-api-write");
    host["headers"]["host"] = "[ no host".into();
    let foreign = json!({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {}}]});
    let broken_sqs = json!({"Records": [{"eventSource": "aws:sqs", "body": "x"}]});
    let cases = [
        ("not json".to_owned(), "", "expected"),
        (
            "{}".to_owned(),
            "UnsupportedEvent",
            "received an empty object",
        ),
        (
            foreign.to_string(),
            "UnsupportedEvent",
            "event source 'aws:dynamodb'",
        ),
        (
            broken_sqs.to_string(),
            "InvalidEvent",
            "missing field `messageId`",
        ),
        (broken.to_string(), "", "base64"),
        (host.to_string(), "", ""),
    ];
    for (payload, error_type, text) in cases {
        match running.api.invoke(payload.clone()).await {
            Ended::Failed {
                error_type: found,
                message,
            } => {
                assert!(found.contains(error_type), "{payload}: {found}");
                assert!(message.contains(text), "{payload}: {message}");
            }
            ended => panic!("{payload}: {ended:?}"),
        }
        let response = running.post("/write", &sample(1.0)).await;
        assert_eq!(response.status, 204, "after {payload}");
    }
    let left = running.stop().await;
    let mut lines = left
        .stderr
        .lines()
        .filter(|line| line.starts_with("level=error"));
    assert!(lines.all(|line| line.contains(" request_id=00000000-") && !line.contains("caller=/")));
    let foreign =
        "message=\"UnsupportedEvent: received records of the event source 'aws:dynamodb'; expected";
    assert_eq!(left.stderr.matches(foreign).count(), 1, "{}", left.stderr);
}

#[tokio::test]
async fn an_event_of_many_values_gets_a_definite_error() {
    let running = Running::start_with(&DEFAULTS).await;
    let filled = |start: &str, element: &str, end: &str| {
        let count = 5_900_000 / (element.len() + 1);
        let elements = format!("{element},").repeat(count);
        format!("{start}[{elements}{element}]{end}")
    };
    let message = r#"{"eventSource":"aws:sqs","messageId":"1","body":""}"#;
    let deep = format!("{}{}", "[".repeat(2_000_000), "]".repeat(2_000_000));
    let no_message = format!("{message},{}", "{},".repeat(1_900_000));
    let cases = [
        (filled("", "0", ""), "UnsupportedEvent", "received an array"),
        (deep, "UnsupportedEvent", "received an array"),
        (
            filled(r#"{"Records":"#, "{}", "}"),
            "UnsupportedEvent",
            "received an object with the keys Records",
        ),
        (
            filled(r#"{"Records":"#, message, "}"),
            "InvalidEvent",
            "more than 10000 records",
        ),
        (
            format!(r#"{{"Records":[{no_message}{{}}]}}"#),
            "InvalidEvent",
            "missing field `messageId`",
        ),
        (
            filled(
                r#"{"type":"prometheus","name":"x","config":{"x":"#,
                "{}",
                "}}",
            ),
            "InvalidDefinition",
            "expected at most 262144",
        ),
    ];
    for (payload, error_type, text) in cases {
        let start = payload[..60].to_owned();
        match running.api.invoke(payload).await {
            Ended::Failed {
                error_type: found,
                message,
            } => {
                assert_eq!(found, error_type, "{start}: {message}");
                assert!(message.contains(text), "{start}: {message}");
            }
            ended => panic!("{start}: {ended:?}"),
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn an_event_for_which_there_is_no_memory_is_left_to_its_sender() {
    let limits = [
        ("max_request_bytes", "32KiB"),
        ("max_in_flight_bytes", "64KiB"),
    ];
    let running = Running::start_with(&[&DEFAULTS[..], &limits].concat()).await;
    let event = |bytes: usize| {
        let body = "x".repeat(bytes);
        json!({"Records": [{"eventSource": "aws:sqs", "messageId": "7", "body": body}]})
    };
    let (error_type, message) = failed(running.api.invoke(event(100_000).to_string()).await);
    assert_eq!(error_type, "MemoryBudgetExceeded");
    assert!(message.contains("raise max_in_flight_bytes"), "{message}");
    // The messages that stay in the queue are known here already.
    let Ended::Responded(response) = running.api.invoke(event(1_000).to_string()).await else {
        panic!("it has a response");
    };
    let expected = json!({"batchItemFailures": [{"itemIdentifier": "7"}]});
    assert_eq!(response, expected);
    let left = running.stop().await;
    assert!(
        left.stderr
            .contains("Could not replay dead letters; the queue keeps them."),
        "{}",
        left.stderr
    );
}

#[tokio::test]
async fn dead_letters_of_a_queue_are_written_again() {
    let running = Running::start_with(&DEFAULTS).await;
    let letter = |table: &str, i: u32| {
        format!(
            r#"{{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"x","database":"prometheus","table":"{table}","labels":[["__name__","letters"],["i","{i}"]],"samples":[[{START_MS},"1.5"]]}}"#
        )
    };
    let message =
        |id: &str, body: String| json!({"eventSource": "aws:sqs", "messageId": id, "body": body});
    let event = json!({"Records": [
        message("stored", letter("samples", 1) + "\n" + &letter("samples", 2)),
        message("rejected", letter("missing", 3)),
    ]});
    let Ended::Responded(response) = running.api.invoke(event.to_string()).await else {
        panic!("the event has a response");
    };
    assert_eq!(
        response,
        json!({"batchItemFailures": [{"itemIdentifier": "rejected"}]})
    );
    let points = running.emulator.points("prometheus", "samples");
    assert_eq!(points.len(), 2);
    let left = running.stop().await;
    assert!(
        left.stderr
            .contains("Could not store some dead letters; the queue keeps them.")
            && left.stderr.contains("messages_failed=1"),
        "{}",
        left.stderr
    );
}

#[tokio::test]
async fn a_function_that_is_not_configured_keeps_the_messages_in_their_queue() {
    let running = Running::start_with(&[]).await;
    let event = json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": "x"}]});
    match running.api.invoke(event.to_string()).await {
        Ended::Failed { error_type, .. } => assert_eq!(error_type, "NotConfigured"),
        ended => panic!("{ended:?}"),
    }
    running.stop().await;
}

#[tokio::test]
async fn without_a_destination_every_request_says_so() {
    let running = Running::start_with(&[("default_database", "prometheus")]).await;
    let read = read_body(vec![query(&[])]);
    for (path, body) in [("/write", sample(1.0)), ("/read", read)] {
        let response = running.post(path, &body).await;
        assert_eq!(response.status, 400, "{path}");
        let text = response.text();
        assert!(text.starts_with("MissingDestinationError: "), "{text}");
        assert!(
            text.contains("table_label") && text.contains("default_table"),
            "{text}"
        );
    }
    let left = running.stop().await;
    let start = "Cannot use the configuration.";
    assert_eq!(left.stderr.matches(start).count(), 1, "{}", left.stderr);
}

#[tokio::test]
async fn data_stays_with_the_sender_while_the_configuration_is_faulty() {
    let running = Running::start_with(&[("max_retries", "many"), ("log_format", "xml")]).await;
    let mut by_header = file("http-api-read");
    by_header["rawPath"] = "/".into();
    let cases = [
        (event("http-api", "/write", &sample(1.0)), 503),
        (file("rest-api-write"), 503),
        (file("rest-api-read"), 400),
        (by_header, 400),
        (file("http-api-query"), 400),
    ];
    for (event, status) in cases {
        let response = running.invoke(&event).await;
        let is_query = event["rawPath"] == "/api/v1/query";
        let text = response.text();
        assert_eq!(response.status, status, "{text}");
        assert_eq!(response.headers.contains_key("retry-after"), status == 503);
        let text = match serde_json::from_str::<Value>(&text) {
            Ok(error) => {
                assert!(
                    text.starts_with(r#"{"status":"error","errorType":"bad_data","#),
                    "{text}"
                );
                error["error"].as_str().unwrap().to_owned()
            }
            Err(_) => {
                assert!(!is_query, "{text}");
                text
            }
        };
        assert!(
            text.contains("ParseRetriesError: --max-retries (max_retries) is \"many\""),
            "{text}"
        );
        assert!(text.contains("InvalidOptionError: --log.format"), "{text}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_fail_on_option_rejects_the_request_alone() {
    let variables = [&DEFAULTS[..], &[("fail_on_invalid_sample_value", "true")]].concat();
    let running = Running::start_with(&variables).await;
    for (value, status) in [(f64::NAN, 400), (1.0, 204), (f64::INFINITY, 400)] {
        let response = running.post("/write", &sample(value)).await;
        assert_eq!(response.status, status, "{value}: {}", response.text());
    }
    running.stop().await;
}

#[tokio::test]
async fn assumed_and_ignored_options_are_logged_at_start() {
    let variables = [&DEFAULTS[..], &[("web_listen_address", "nonsense")]].concat();
    let running = Running::start_with(&variables).await;
    running.api.polled(1).await;
    let left = running.stop().await;
    for expected in [
        "message=\"Serving invocations.\"",
        "function=connector region=us-east-1 region_from=AWS_REGION",
        "option=web_listen_address",
        "(basic_auth_users, bearer_token)",
    ] {
        assert!(
            left.stderr.contains(expected),
            "{expected}: {}",
            left.stderr
        );
    }
}

#[tokio::test]
async fn a_variable_that_lambda_sets_is_named_if_it_is_missing() {
    let variables = [("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")].map(|(n, v)| (n.into(), v.into()));
    let command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    let left = Function::start(command, &variables).ended().await;
    assert_eq!(left.status, Some(1));
    assert!(
        left.stderr
            .starts_with("AWS_LAMBDA_FUNCTION_NAME is not set"),
        "{}",
        left.stderr
    );
}

/// Returns series whose labels no compressor shortens: so many, of a kilobyte each.
fn incompressible(series_count: usize) -> Vec<TimeSeries> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..series_count)
        .map(|i| {
            let noise: String = (0..1_100).map(|_| random.alphanumeric()).collect();
            let half = if i % 2 == 0 { "even" } else { "odd" };
            series(
                &[("__name__", "noise"), ("half", half), ("noise", &noise)],
                &[(START_MS, 1.0)],
            )
        })
        .collect()
}

#[tokio::test]
async fn a_response_that_lambda_would_reject_is_an_error_that_helps() {
    let emulator = start_emulator(vec![table("db", "t"), table("prometheus", "samples")]).await;
    let router = connect(&emulator, &[]).await;
    let app = TestApp { emulator, router };
    for part in incompressible(5_000).chunks(1_000) {
        app.write_ok(part.to_vec()).await;
    }
    let variables = [("default_database", "db"), ("default_table", "t")];
    let running = Running::start_before(app.emulator, &variables).await;
    let all = read_body(vec![query(&[(Type::Eq, "__name__", "noise")])]);
    let half = read_body(vec![query(&[
        (Type::Eq, "__name__", "noise"),
        (Type::Eq, "half", "odd"),
    ])]);
    let [all_streamed, half_streamed] = [&all, &half].map(|body| {
        let mut request: ReadRequest =
            prom_wire::decode(&prom_wire::decompress(body, usize::MAX).unwrap()).unwrap();
        request.accepted_response_types = vec![ResponseType::StreamedXorChunks.into()];
        prom_wire::encode(&request).unwrap()
    });
    // 5.5 MB do not fit once they are base64, half of it does; a load balancer accepts 1 MB.
    let cases = [
        ("http-api", &all, 400),
        ("rest-api", &half, 200),
        ("alb", &half, 400),
        ("http-api", &all_streamed, 400),
        ("rest-api", &half_streamed, 200),
    ];
    for (shape, body, status) in cases {
        let response = running.invoke(&event(shape, "/read", body)).await;
        assert_eq!(response.status, status, "{shape}");
        if status == 200 {
            assert!(response.body.len() > 2_700_000, "{}", response.body.len());
            if body == &half_streamed {
                assert_eq!(response.headers["content-type"], frames::STREAMED);
                assert_eq!(frames::results(&response.body, 1)[0].len(), 2_500);
            }
            continue;
        }
        let text = response.text();
        assert!(text.starts_with("the result has "), "{text}");
        assert!(text.contains("query a shorter range"), "{text}");
    }
    let left = running.stop().await;
    let failed = left
        .stderr
        .lines()
        .filter(|line| line.contains("status=400"));
    assert_eq!(failed.count(), 3, "{}", left.stderr);
}

#[tokio::test]
async fn the_numbers_for_cloudwatch_are_those_of_the_metrics_page() {
    const GAUGES: [&str; 2] = ["query_cache_blocks", "query_cache_bytes"];
    let variables = [&DEFAULTS[..], &[("bearer_token", TOKEN)]].concat();
    let running = Running::start_with(&variables).await;
    let labels = [("__name__", "m"), ("l", "1")];
    let mixed = vec![
        series(
            &labels,
            &[(START_MS, 1.0), (START_MS + 1, f64::NAN), (-1, 1.0)],
        ),
        series(&[("l", "1")], &[(START_MS, 1.0)]),
        series(&[("__name__", "n"), ("l", "1")], &[(START_MS, 1.0)]),
    ];
    assert_eq!(running.post("/write", &write_body(mixed)).await.status, 400);
    assert_eq!(running.post("/write", &sample(1.0)).await.status, 204);
    assert_eq!(running.post("/write", b"no snappy").await.status, 400);
    let mut without_credential = event("http-api", "/write", &sample(1.0));
    let headers = without_credential["headers"].as_object_mut().unwrap();
    assert!(headers.remove("authorization").is_some());
    assert_eq!(running.invoke(&without_credential).await.status, 401);
    for kind in [FaultKind::Throttle, FaultKind::AccessDenied] {
        running
            .emulator
            .order_fault(Fault::next("WriteRecords", 1, kind));
        running.post("/write", &sample(1.0)).await;
    }
    let metrics = json!([otlp::gauge("o", [1.5]), {"name": "no_kind"}, otlp::gauge("_", [1.5])]);
    let metrics = otlp::request(metrics).to_string();
    for (content_type, status) in [("application/json", 200), ("text/plain", 415)] {
        let mut event = event("http-api", otlp::PATHS[0], metrics.as_bytes());
        let headers = event["headers"].as_object_mut().unwrap();
        headers.remove("content-encoding");
        headers.insert("content-type".to_owned(), content_type.into());
        assert_eq!(running.invoke(&event).await.status, status);
    }
    let read = read_body(vec![query(&[(Type::Eq, "__name__", "m")])]);
    assert_eq!(running.post("/read", &read).await.status, 200);
    for (query, status) in [("query=m&time=1600000000", 200), ("query=m{", 400)] {
        let mut event = file("http-api-query");
        event["rawQueryString"] = query.into();
        assert_eq!(running.invoke(&event).await.status, status);
    }
    let exporter = Exporter::start(None).await;
    for endpoint in [exporter.url.as_str(), "http://127.0.0.1:1/metrics"] {
        let mut scrape = scheduled(endpoint);
        scrape["config"]["auth"] = json!({"type": "none"});
        scrape.as_object_mut().unwrap().remove("schedule_ms");
        running.api.invoke(scrape.to_string()).await;
    }
    let mut page = event("http-api", "/metrics", b"");
    page["requestContext"]["http"]["method"] = "GET".into();
    let page = running.invoke(&page).await;
    assert!(!page.is_base64);
    let mut on_page = BTreeMap::new();
    for line in page.text().lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let Some(name) = name.strip_prefix("timestream_connector_") else {
            continue;
        };
        let (name, label) = match name.split_once('{') {
            Some((name, labels)) => (name, labels.split('"').nth(1).map(|it| format!("_{it}"))),
            None => (name, None),
        };
        let name = match name.strip_suffix("_total") {
            Some(name) => name,
            None if GAUGES.contains(&name) => name,
            None => continue,
        };
        // CloudWatch has them under their former names alone: it bills by the name.
        if name.starts_with("job_") {
            continue;
        }
        let value: f64 = value.parse().unwrap();
        // CloudWatch has them with ha_tracking alone, for the same reason.
        if name.starts_with("ha_") {
            assert_eq!(value, 0.0, "{name}");
            continue;
        }
        *on_page.entry(name.to_owned()).or_default() += value;
        if let (Some(label), true) = (label, value > 0.0) {
            on_page.insert(format!("{name}{label}"), value);
        }
    }
    let left = running.stop().await;
    let mut printed: BTreeMap<String, f64> = BTreeMap::new();
    let lines: Vec<Value> = left
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines.len(),
        13,
        "one for each request and run: {}",
        left.stdout
    );
    for line in &lines {
        assert_eq!(line["FunctionName"], FUNCTION);
        assert!(
            line["request_id"]
                .as_str()
                .unwrap()
                .starts_with("00000000-")
        );
        let described = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(described["Namespace"], "TimestreamConnector");
        assert_eq!(described["Dimensions"], json!([["FunctionName"]]));
        for metric in described["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            let value = line[name].as_f64().unwrap();
            let sum = printed.entry(name.to_owned()).or_default();
            // Of a gauge the last value counts.
            *sum = if GAUGES.contains(&name) {
                value
            } else {
                *sum + value
            };
        }
    }
    for duration in [
        "write_duration_seconds",
        "otlp_duration_seconds",
        "read_duration_seconds",
        "query_duration_seconds",
        "definition_run_duration_seconds",
    ] {
        assert!(printed.remove(duration).unwrap() > 0.0);
    }
    assert_eq!(printed, on_page);
    for name in [
        "ignored_samples_value_not_finite",
        "failed_samples_MissingMetricName",
        "failed_samples_AccessDeniedException",
        "write_requests_403",
        "rejected_credentials",
        "write_retries",
        "otlp_data_points",
        "otlp_rejected_data_points_metric_name",
        "otlp_requests_200",
        "otlp_requests_415",
        "read_samples",
        "query_samples",
        "query_requests_400",
        "definition_runs_failed",
        "definition_rows_prometheus",
    ] {
        assert!(printed[name] > 0.0, "{name}: {printed:?}");
    }
}

#[tokio::test]
async fn a_request_to_another_path_goes_by_its_header() {
    let app = TestApp::start().await;
    const WRITE: (&str, &str) = ("X-Prometheus-Remote-Write-Version", "0.1.0");
    const READ: (&str, &str) = ("X-Prometheus-Remote-Read-Version", "0.1.0");
    let matcher = LabelMatcher {
        name: "__name__".to_owned(),
        value: "m".to_owned(),
        ..LabelMatcher::default()
    };
    let read = read_body(vec![Query {
        start_timestamp_ms: START_MS,
        end_timestamp_ms: END_MS,
        matchers: vec![matcher],
        hints: None,
    }]);
    let cases = [
        ("/", WRITE, sample(1.0), 204),
        ("/metrics", WRITE, sample(1.0), 204),
        ("/prod/write", WRITE, sample(1.0), 204),
        // The paths of Prometheus.
        ("/api/v1/write", READ, sample(1.0), 204),
        ("/api/v1/read", WRITE, read.clone(), 200),
        ("/anything", READ, read.clone(), 200),
        // The path wins over the header.
        ("/write", READ, sample(1.0), 204),
        ("/read", WRITE, read, 200),
    ];
    for (path, header, body, status) in cases {
        let response = app.post(path, &[header], body).await;
        assert_eq!(
            response.status,
            status,
            "{path} {}: {}",
            header.0,
            response.text()
        );
    }
    for path in ["/", "/anything"] {
        let response = app.post(path, &[], sample(1.0)).await;
        assert_eq!(response.status, 400, "{path}");
        let text = response.text();
        assert!(text.starts_with("MissingHeaderError: "), "{text}");
        for (name, _) in [WRITE, READ] {
            assert!(text.contains(&name.to_lowercase()), "{text}");
        }
    }
    assert_eq!(app.get("/anything").await.status, 404);
}

/// Returns a definition as a schedule sends it, of the metrics at this URL.
fn scheduled(endpoint: &str) -> Value {
    let mut definition = file("scheduler-prometheus");
    definition["config"]["endpoint"] = endpoint.into();
    definition["target_table"] = "samples".into();
    definition
}

fn failed(ended: Ended) -> (String, String) {
    match ended {
        Ended::Failed {
            error_type,
            message,
        } => (error_type, message),
        Ended::Responded(response) => panic!("{response}"),
    }
}

#[tokio::test]
async fn a_schedule_runs_its_definition() {
    let exporter = Exporter::start(Some("Bearer node-token")).await;
    let token = [("NODE_EXPORTER_TOKEN", "node-token")];
    let running = Running::start_with(&[&LABELS[..], &token].concat()).await;
    let mut definition = scheduled(&exporter.url);
    definition.as_object_mut().unwrap().remove("schedule_ms");
    let Ended::Responded(response) = running.api.invoke(definition.to_string()).await else {
        panic!("it runs");
    };
    assert_eq!(response["name"], "node-exporter-1");
    assert_eq!(response["result"], "complete");
    assert_eq!(response["received"], 2);
    let points = running.emulator.points("prometheus", "samples");
    assert_eq!(response["rows"], points.len());
    let names: BTreeSet<&str> = points.iter().map(|it| it.measure_name.as_str()).collect();
    assert!(
        names.contains("up") && names.contains("scrapes_total"),
        "{names:?}"
    );
    let left = running.stop().await;
    let numbers: Value = serde_json::from_str(left.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(numbers["definition_runs_complete"], 1);
    assert_eq!(numbers["definition_rows_prometheus"], points.len());
}

#[tokio::test]
async fn doctor_checks_the_function_from_inside() {
    let running = Running::start_with(&DEFAULTS).await;
    let examine = async |event: Value| running.api.invoke(event.to_string()).await;
    let result = |report: &Value, name: &str| {
        let checks = report["checks"].as_array().unwrap().iter();
        let mut found = checks.filter(|it| it["check"] == name);
        found
            .next()
            .unwrap_or_else(|| panic!("no {name}: {report}"))["result"]
            .clone()
    };
    let Ended::Responded(report) = examine(json!({"doctor": {"write": false}})).await else {
        panic!("it runs");
    };
    assert_eq!(report["result"], "ok", "{report}");
    assert_eq!(result(&report, "timestream:Select"), "ok");
    assert_eq!(result(&report, "test series"), "skipped");
    assert!(running.emulator.points("prometheus", "samples").is_empty());
    let Ended::Responded(report) = examine(json!({"doctor": {}})).await else {
        panic!("it runs");
    };
    assert_eq!(report["result"], "ok", "{report}");
    assert_eq!(result(&report, "test series"), "ok");
    assert_eq!(running.emulator.points("prometheus", "samples").len(), 1);

    running
        .emulator
        .order_fault(Fault::next("DescribeTable", 1, FaultKind::AccessDenied));
    // What fails is in the report; the invocation itself succeeds.
    let Ended::Responded(report) = examine(json!({"doctor": {}})).await else {
        panic!("it runs");
    };
    assert_eq!(report["result"], "fail", "{report}");
    for wrong in [
        json!({"doctor": true}),
        json!({"doctor": {"writes": false}}),
    ] {
        let (error_type, message) = failed(examine(wrong).await);
        assert_eq!(error_type, "InvalidEvent");
        assert!(
            message.contains(r#"{"doctor": {"write": false}}"#),
            "{message}"
        );
    }
    running.stop().await;
}

#[tokio::test]
async fn a_definition_that_fails_fails_the_invocation() {
    let exporter = Exporter::start(Some("Bearer node-token")).await;
    let running = Running::start().await;
    let invoke =
        async |definition: &Value| failed(running.api.invoke(definition.to_string()).await);
    let mut unknown = scheduled(&exporter.url);
    unknown["scheduel_ms"] = 1.into();
    unknown["config"]["timeout_ms"] = 1.into();
    let (error_type, message) = invoke(&unknown).await;
    assert_eq!(error_type, "InvalidDefinition");
    assert!(message.contains("unknown field `scheduel_ms`"), "{message}");
    assert!(message.contains("timeout_ms"), "{message}");
    let mut stolen = scheduled(&exporter.url);
    stolen["config"]["auth"]["token_ref"] = "$env:AWS_SECRET_ACCESS_KEY".into();
    assert_eq!(invoke(&stolen).await.0, "InvalidDefinition");

    let reason = "token resolve: the variable NODE_EXPORTER_TOKEN is not set, or empty";
    let (error_type, message) = invoke(&scheduled(&exporter.url)).await;
    assert_eq!(error_type, "ConnectorFailed");
    assert_eq!(
        message,
        format!("ConnectorFailed: node-exporter-1: {reason}")
    );
    // This instance remembers it.
    let (_, message) = invoke(&scheduled(&exporter.url)).await;
    assert!(
        message.ends_with(&format!("disabled: {reason}")),
        "{message}"
    );

    let mut gone = scheduled("http://127.0.0.1:1/metrics");
    gone["name"] = "other".into();
    gone["config"]["auth"] = json!({"type": "none"});
    let (error_type, message) = invoke(&gone).await;
    assert_eq!(error_type, "ConnectorFailed");
    assert!(message.starts_with("ConnectorFailed: other: "), "{message}");
    assert_eq!(exporter.hits(), 0);
    let left = running.stop().await;
    assert!(
        left.stderr.contains("Job `other` failed."),
        "{}",
        left.stderr
    );
}

#[tokio::test]
async fn a_definition_does_not_call_the_runtime_api() {
    let running = Running::start().await;
    let variables = running.api.variables("");
    let address = variables
        .iter()
        .find(|(name, _)| name == "AWS_LAMBDA_RUNTIME_API");
    let (_, address) = address.expect("the function has the address");
    let port = address.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/2018-06-01/runtime/invocation/next");
        let mut definition = scheduled(&url);
        definition["name"] = host
            .trim_matches(['[', ']'])
            .replace(':', "-")
            .trim_matches('-')
            .into();
        definition["config"]["auth"] = json!({"type": "none"});
        definition["config"]["allow_link_local"] = true.into();
        let (error_type, message) = failed(running.api.invoke(definition.to_string()).await);
        assert_eq!(error_type, "ConnectorFailed");
        let text = "is not called: it is the address of Lambda's runtime API";
        assert!(message.contains(text), "{url}: {message}");
    }
    running.stop().await;
}

#[tokio::test]
async fn of_two_invocations_for_a_tick_one_runs() {
    let dynamo = Dynamo::start().await;
    let exporter = Exporter::start(None).await;
    let state = format!("dynamodb:{}", crate::state::TABLE);
    let variables = [
        ("state", state.as_str()),
        ("AWS_ENDPOINT_URL_DYNAMODB", &dynamo.moto.url),
    ];
    let variables = [&LABELS[..], &variables].concat();
    // Two instances of the function.
    let instances = [
        Running::start_with(&variables).await,
        Running::start_with(&variables).await,
    ];
    let mut definition = scheduled(&exporter.url);
    definition["config"]["auth"] = Value::Null;
    definition["config"].as_object_mut().unwrap().remove("auth");
    // A tick that no test lives to see the end of.
    definition["schedule_ms"] = 86_400_000.into();
    let mut results = Vec::new();
    for running in instances.iter().chain(&instances) {
        match running.api.invoke(definition.to_string()).await {
            Ended::Responded(response) => {
                results.push(response["result"].as_str().unwrap().to_owned())
            }
            Ended::Failed { message, .. } => panic!("{message}"),
        }
    }
    assert_eq!(
        results,
        ["complete", "claim_lost", "claim_lost", "claim_lost"]
    );
    assert_eq!(exporter.hits(), 1);

    // The other instance reports its state.
    let get = |path: &str| {
        let mut event = event("http-api", path, b"");
        event["requestContext"]["http"]["method"] = "GET".into();
        event
    };
    let response = instances[1].invoke(&get("/v1/connectors")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let list: Value = serde_json::from_slice(&response.body).unwrap();
    let item = &list["items"][0];
    assert_eq!(
        (&item["id"], &item["source"]),
        (&json!("node-exporter-1"), &json!("event"))
    );
    assert!(item["last_success_at"].is_string(), "{item}");
    let path = "/v1/connectors/node-exporter-1/pause";
    assert_eq!(instances[1].post(path, b"").await.status, 204);
    let Ended::Responded(response) = instances[0].api.invoke(definition.to_string()).await else {
        panic!("it responds");
    };
    assert_eq!(response["result"], "paused");

    // A stored one is run by hand, within the invocation.
    definition["name"] = "stored".into();
    let body = definition.to_string();
    let made = instances[0].post("/v1/connectors", body.as_bytes()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let response = instances[1]
        .post("/v1/connectors/stored/trigger", b"")
        .await;
    assert_eq!(response.status, 202, "{}", response.text());
    assert_eq!(exporter.hits(), 2);
}

#[tokio::test]
async fn connectors_over_http_need_a_table_and_a_credential() {
    let get = |signed: bool| {
        let mut event = event("http-api", "/v1/connectors", b"");
        event["requestContext"]["http"]["method"] = "GET".into();
        if signed {
            event["requestContext"]["authorizer"] = json!({"iam": {
                "accessKey": "AKIA", "accountId": "123456789012", "callerId": "AIDA",
                "userArn": "arn:aws:iam::123456789012:user/admin", "userId": "AIDA"
            }});
        }
        event
    };
    let running = Running::start().await;
    let response = running.invoke(&get(false)).await;
    assert_eq!(response.status, 404);
    assert!(
        response.text().contains("state_store=dynamodb:TABLE"),
        "{}",
        response.text()
    );

    let dynamo = Dynamo::start().await;
    let state = format!("dynamodb:{}", crate::state::TABLE);
    let with_state = [
        ("state", state.as_str()),
        ("AWS_ENDPOINT_URL_DYNAMODB", &dynamo.moto.url),
    ];
    let open = Running::start_with(&[&DEFAULTS[..], &with_state].concat()).await;
    let response = open.invoke(&get(false)).await;
    assert_eq!(response.status, 401, "{}", response.text());
    // If the gateway requires a signature, the request has the name of the signer.
    let response = open.invoke(&get(true)).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Returns a function with a table for connectors, and the sink of the events in it, which sends to
/// `url`.
async fn with_sink(dynamo: &Dynamo, url: &str) -> Running {
    let state = format!("dynamodb:{}", crate::state::TABLE);
    let variables = [
        ("state", state.as_str()),
        ("AWS_ENDPOINT_URL_DYNAMODB", &dynamo.moto.url),
        ("MIMIR_PASSWORD", "open"),
    ];
    let running = Running::start_with(&[&DEFAULTS[..], &variables].concat()).await;
    let mut sink = file("scheduler-prometheus_sink");
    sink["config"]["url"] = url.into();
    sink["config"]["retry_backoff_multiplier_ms"] = 1.into();
    let mut made = event("http-api", "/v1/connectors", sink.to_string().as_bytes());
    made["requestContext"]["authorizer"] = json!({"iam": {
        "accessKey": "AKIA", "accountId": "123456789012", "callerId": "AIDA",
        "userArn": "arn:aws:iam::123456789012:user/admin", "userId": "AIDA"
    }});
    let response = running.invoke(&made).await;
    assert_eq!(response.status, 201, "{}", response.text());
    running
}

#[tokio::test]
async fn rows_of_a_queue_and_of_a_stream_reach_the_sink() {
    let dynamo = Dynamo::start().await;
    let receiver = Receiver::start(|number, _: &Received| match number {
        // Four tries of a delivery that fails.
        1..=4 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::NO_CONTENT,
    })
    .await;
    let running = with_sink(&dynamo, &receiver.url).await;
    let failures = async |event: &Value| {
        let Ended::Responded(response) = running.api.invoke(event.to_string()).await else {
            panic!("it has a response");
        };
        let failures = response["batchItemFailures"].as_array().unwrap().iter();
        let failures = failures.map(|it| it["itemIdentifier"].as_str().unwrap().to_owned());
        failures.collect::<Vec<_>>()
    };
    let queue = file("sqs-rows");
    let all: Vec<_> = queue["Records"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = all
        .iter()
        .map(|it| it["messageId"].as_str().unwrap())
        .collect();
    assert_eq!(failures(&queue).await, ids);
    assert_eq!(receiver.requests().len(), 4);
    // A message without a recipient, and dead letters among the rows.
    let mut mixed = queue.clone();
    mixed["Records"][1]["messageAttributes"]["connector"]["stringValue"] = "unknown".into();
    let letter = r#"{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"x","message":"","database":"prometheus","table":"samples","labels":[["__name__","again"],["a","1"]],"samples":[[1600000000000,"1"]]}"#;
    let letters = json!({"messageId": "7", "body": letter, "eventSource": "aws:sqs"});
    mixed["Records"].as_array_mut().unwrap().push(letters);
    // Letters of the sink go to its endpoint, and those of one that is gone stay.
    let of_sink = |id: &str, sink: &str| {
        let letter = letter.replace(
            "\"database\":\"prometheus\",\"table\":\"samples\"",
            &format!("\"connector\":\"{sink}\""),
        );
        json!({"messageId": id, "body": letter, "eventSource": "aws:sqs"})
    };
    let name = file("scheduler-prometheus_sink")["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let only = json!({"Records": [of_sink("8", &name), of_sink("9", "gone")]});
    assert_eq!(failures(&only).await, ["9"]);
    assert_eq!(
        receiver.samples()[4],
        [(
            "{__name__=\"again\", a=\"1\"}".to_owned(),
            1_600_000_000_000,
            1.0
        )]
    );
    assert_eq!(running.emulator.points("prometheus", "samples").len(), 0);
    assert_eq!(failures(&mixed).await, [ids[1]]);
    let points = running.emulator.points("prometheus", "samples");
    assert_eq!(
        (points.len(), points[0].measure_name.as_str()),
        (1, "again")
    );
    assert_eq!(failures(&queue).await, Vec::<String>::new());
    assert_eq!(failures(&file("kinesis-rows")).await, Vec::<String>::new());
    let samples = receiver.samples();
    let labels = r#"{__name__="temperature", site="north"}"#;
    let row = |value: f64| {
        (
            labels.to_owned(),
            1_600_000_000_000 + (value * 1e4) as i64,
            value,
        )
    };
    assert_eq!(samples[5], [row(1.5)]);
    assert_eq!(samples[6], [row(1.5), row(2.5)]);
    assert_eq!(samples[7], samples[6]);
    let authorization = &receiver.requests()[7].headers["authorization"];
    assert_eq!(authorization, "Basic d3JpdGVyOm9wZW4=");
    // A record that is not a row goes to the dead letters, so that it does not come for ever.
    let mut broken = queue.clone();
    broken["Records"][0]["body"] = "{".into();
    assert_eq!(failures(&broken).await, Vec::<String>::new());
    assert_eq!(receiver.samples()[8], [row(2.5)]);
    let left = running.stop().await;
    assert!(
        left.stderr.contains("expected an object; the row:"),
        "{}",
        left.stderr
    );
}

#[tokio::test]
async fn schedules_run_a_sync_and_a_sink() {
    let server = Server::start(|path, query| {
        let data = match path {
            "/api/v1/query_range" if query.contains("%22up%22") => {
                let end = query.split_once("end=").unwrap().1.split('.').next().unwrap();
                json!({"resultType": "matrix", "result": [
                    {"metric": {"__name__": "up", "job": "a"}, "values": [[end.parse::<i64>().unwrap(), "1"]]}
                ]})
            }
            "/api/v1/query_range" => json!({"resultType": "matrix", "result": []}),
            _ => json!([]),
        };
        json!({"status": "success", "data": data}).to_string()
    })
    .await;
    let receiver = Receiver::start(|_, _: &Received| StatusCode::NO_CONTENT).await;
    let secrets = [("PROMETHEUS_PASSWORD", "p"), ("MIMIR_PASSWORD", "m")];
    let running = Running::start_with(&[&LABELS[..], &secrets].concat()).await;
    let invoke = async |definition: &Value| match running.api.invoke(definition.to_string()).await {
        Ended::Responded(response) => response,
        failed => panic!("{failed:?}"),
    };
    let mut sync = file("scheduler-prometheus_api");
    sync["config"]["prometheus_url"] = server.url.clone().into();
    sync["target_table"] = "samples".into();
    let response = invoke(&sync).await;
    assert_eq!(
        (&response["result"], &response["rejected"]),
        (&json!("complete"), &json!(0)),
        "{response}"
    );
    let stored = running.emulator.points("prometheus", "samples").into_iter();
    let stored = stored.filter(|point| point.measure_name == "up").count();
    assert!(stored > 1 && response["rows"] == stored, "{response}");
    let mut sink = file("scheduler-prometheus_sink");
    sink["config"]["url"] = receiver.url.clone().into();
    sink["config"]["source"]["table"] = "samples".into();
    let response = invoke(&sink).await;
    assert_eq!(response["result"], "complete", "{response}");
    // The newest minute is left for the next run.
    let sent: usize = receiver.samples().iter().map(Vec::len).sum();
    assert!(
        (stored - 1..=stored).contains(&sent) && response["rows"] == sent,
        "{response}"
    );
}
