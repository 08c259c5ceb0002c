//! The query API beside queries: labels, series, metadata and exemplars are those of a real Prometheus with the same
//! data.

use http::header::{ALLOW, CACHE_CONTROL};
use http::{Request, StatusCode};
use prom_wire::prompb;
use prom_wire::prompb::{Exemplar, Label, TimeSeries};
use reqwest::Url;
use serde_json::Value;

use crate::kinds::{histograms, integers};
use crate::prometheus::{Prometheus, program};
use crate::standalone::Connector;
use crate::support::{START_MS, TestApp, now_ms, series, start_emulator, table, write_body};

/// A range around all samples.
const RANGE: &str = "start=1600000000&end=1600000600";

/// Returns an exemplar with a trace.
fn exemplar(trace: &str, value: f64, timestamp: i64) -> Exemplar {
    let label = |name: &str, value: &str| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Exemplar {
        labels: vec![label("span", "<1>"), label("trace_id", trace)],
        value,
        timestamp,
    }
}

/// Returns series whose names, values and kinds are of all sorts.
fn data() -> Vec<TimeSeries> {
    let minutes: Vec<_> = (0..10).map(|i| (START_MS + i * 60_000, i as f64)).collect();
    let special: Vec<_> = [f64::NAN, f64::INFINITY, -0.0]
        .into_iter()
        .zip(0..)
        .map(|(value, i)| (START_MS + i * 60_000, value))
        .collect();
    let of = |labels: &[(&str, &str)]| series(labels, &minutes);
    let mut all = vec![
        of(&[("__name__", "up"), ("instance", "a:1"), ("job", "a")]),
        of(&[("__name__", "up"), ("instance", "b:1"), ("job", "b")]),
        of(&[("__name__", "alone")]),
        of(&[("__name__", "job:up:sum"), ("job", "a")]),
        of(&[
            ("__name__", "dotted.name"),
            ("a.b", "x<y>&\u{2028}"),
            ("zone", "ü"),
        ]),
        of(&[
            ("__name__", "reserved"),
            ("time", "now"),
            ("ts_x", "1"),
            ("_end_", "é\"\\\n"),
        ]),
        of(&[("__name__", "Case"), ("Job2", "A")]),
        series(
            &[("__name__", "special"), ("job", "s"), ("only_special", "1")],
            &special,
        ),
        series(&[("__name__", "special_alone")], &special),
        histograms(
            &[("__name__", "sizes"), ("job", "h"), ("only_histogram", "1")],
            // The exemplar of a series that is new is lost in Prometheus, so there are two requests.
            vec![integers(START_MS + 60_000), integers(START_MS + 400_000)],
        ),
        histograms(
            &[("__name__", "sizes:x")],
            vec![integers(START_MS + 60_000)],
        ),
    ];
    all[0].exemplars = vec![
        exemplar("ab", 0.25, START_MS + 60_001),
        exemplar("cd", -0.0, START_MS + 120_000),
        exemplar("ef", 1e21, START_MS + 180_000),
    ];
    all[3].exemplars = vec![exemplar("<&>", f64::INFINITY, START_MS + 60_000)];
    all[9].exemplars = vec![exemplar("h", f64::NAN, START_MS + 60_000)];
    all
}

/// Requests whose responses must be equal, byte for byte.
fn requests() -> Vec<String> {
    let mut all: Vec<String> = [
        "labels?RANGE",
        "labels?RANGE&limit=3",
        "labels?RANGE&limit=0",
        "labels?RANGE&limit=100",
        "labels?RANGE&match[]=up",
        "labels?RANGE&match[]=up&match[]={job=\"h\"}",
        "labels?RANGE&match[]={__name__!=\"\"}",
        "labels?RANGE&match[]={__name__=~\".%2B\"}&limit=2",
        "labels?RANGE&match[]=no_such_metric",
        "labels?start=1500000000&end=1500000600&match[]=up",
        "labels?start=1700000000&match[]=up",
        "labels?end=1600000600&match[]=up",
        "labels?RANGE&match[]={only_special=\"1\"}",
        "label/__name__/values?RANGE",
        "label/__name__/values?RANGE&match[]={__name__=~\"s.*\"}",
        "label/__name__/values?RANGE&match[]={__name__=~\".*:.*\"}&match[]=up",
        "label/__name__/values?RANGE&match[]={job=\"a\"}",
        "label/__name__/values?RANGE&match[]={__name__!=\"\"}&limit=40000",
        "label/__name__/values?RANGE&match[]={\"dotted.name\"}",
        "label/job/values?RANGE",
        "label/job/values?RANGE&limit=1",
        "label/job/values?RANGE&match[]=up",
        "label/job/values?RANGE&match[]=up&match[]=sizes",
        "label/job/values?RANGE&match[]={job!=\"a\",__name__=\"up\"}",
        "label/Job2/values?RANGE",
        "label/a.b/values?RANGE",
        "label/U__a_2e_b/values?RANGE",
        "label/U__a_2E_b/values?RANGE",
        "label/U__a_/values?RANGE",
        "label/zone/values?RANGE",
        "label/time/values?RANGE",
        "label/ts_x/values?RANGE",
        "label/_end_/values?RANGE",
        "label/only_histogram/values?RANGE",
        "label/only_special/values?RANGE",
        "label/no_such_label/values?RANGE",
        "label/U__no_labels/values?RANGE",
        "label/U__value_bits/values?RANGE",
        "label/measure_name/values?RANGE",
        "label/job/values?start=1700000000&end=1700000060&match[]=up",
        "series?RANGE&match[]=up",
        "series?RANGE&match[]=up&match[]=sizes",
        "series?RANGE&match[]=up&match[]={job=\"a\"}",
        "series?RANGE&match[]={__name__=~\".%2B\"}&match[]=up",
        "series?RANGE&match[]=up&match[]=sizes&limit=2",
        "series?RANGE&match[]=alone",
        "series?RANGE&match[]=special_alone",
        "series?RANGE&match[]={\"a.b\"=~\"x.*\"}",
        "series?RANGE&match[]={\"dotted.name\"}",
        "series?RANGE&match[]=no_such_metric",
        "series?start=1500000000&end=1500000600&match[]=up",
        "series?start=2020-09-13T12:26:40Z&end=2020-09-13T12:36:40Z&match[]=up",
        // Errors.
        "series?RANGE",
        "series?RANGE&match[]=",
        "series?RANGE&match[]={",
        "series?RANGE&match[]=up[5m]",
        "series?RANGE&match[]={job=\"\"}",
        "series?RANGE&match[]=up&match[]={job=~\".*\"}",
        "series?match[]=up&start=x",
        "series?match[]=up&end=x",
        "series?match[]=up&limit=x",
        "series?match[]=up&limit=-1",
        "labels?RANGE&match[]={job=\"\"}",
        "labels?RANGE&match[]=sum(up)",
        "labels?limit=99999999999999999999",
        "labels?start=2020-01-01",
        "label/job/values?limit=-1",
        "label/job/values?match[]=1",
        "label/%FF/values",
        "label/%00%FF/values",
        "label/job/values?end=\"",
        // Exemplars.
        "query_exemplars?RANGE&query=up",
        "query_exemplars?RANGE&query=sum(rate(up[5m]))/sum(sizes)",
        "query_exemplars?RANGE&query={job=~\".%2B\"}",
        "query_exemplars?RANGE&query=up{job=\"b\"}",
        "query_exemplars?start=1600000060.001&end=1600000060.001&query=up",
        "query_exemplars?start=1600000060.002&end=1600000180&query=up",
        "query_exemplars?RANGE&query=job:up:sum",
        "query_exemplars?start=1600000000000&end=1600000600000&query=test",
        "query_exemplars?RANGE&query=1%2B1",
        "query_exemplars?RANGE&query=(",
        "query_exemplars?RANGE",
        "query_exemplars?start=2&end=1&query=up",
        "query_exemplars?start=x&query=up",
        // Expressions.
        "format_query?query=sum(up)by(job)",
        "format_query?query=(",
        "parse_query?query=sum(rate(up{job=~\"a|b\"}[5m])) by(job)/2 > bool -1",
        "parse_query?query=",
        "parse_query?query=up offset 5m @ end()",
        // All others.
        "metadata?limit=x",
        "metadata?limit_per_metric=x",
        "no_such_path",
        "status/no_such_path",
        "label/job",
    ]
    .map(|path| path.replace("RANGE", RANGE))
    .into();
    let static_paths = [
        "rules",
        "alerts",
        "targets",
        "alertmanagers",
        "scrape_pools",
        "targets/metadata",
        "status/walreplay",
    ];
    all.extend(static_paths.map(str::to_owned));
    all
}

/// The status, content type and body of a response.
type Reply = (u16, Option<String>, String);

async fn get(server: &str, path: &str) -> Reply {
    let url = Url::parse(&format!("{server}/api/v1/{path}")).unwrap();
    let response = soak::http::get(url).await.unwrap();
    reply(response).await
}

async fn reply(response: reqwest::Response) -> Reply {
    let content_type = response.headers().get("content-type");
    let content_type = content_type.map(|it| it.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    (status, content_type, response.text().await.unwrap())
}

/// Sorts the series of a response: Prometheus returns those of one selector in the order of their arrival.
fn sorted(path: &str, (status, content_type, text): Reply) -> Reply {
    let mut parsed: Value = serde_json::from_str(&text).unwrap_or_default();
    match parsed["data"].as_array_mut() {
        Some(all) if path.starts_with("series?") && path.matches("match[]").count() == 1 => {
            all.sort_by_cached_key(Value::to_string);
            (status, content_type, parsed.to_string())
        }
        _ => (status, content_type, text),
    }
}

#[tokio::test]
async fn responses_are_those_of_prometheus() {
    let program = program("prometheus").await;
    let emulator = start_emulator(vec![table("db", "t"), table("db", "metrics")]).await;
    let flags = ["--store-special-values"];
    let connector = Connector::start(&emulator, &flags).await;
    let flags = [
        "--storage.tsdb.retention.time=100y",
        "--web.enable-remote-write-receiver",
        "--enable-feature=exemplar-storage",
    ];
    let prometheus =
        Prometheus::start_with(&program, &flags, |_| String::new(), async |_| {}).await;
    connector.write(data()).await;
    prometheus.write_in_order(&data()).await;
    let mut differences = Vec::new();
    for path in requests() {
        let expected = sorted(&path, get(&prometheus.url, &path).await);
        // The second one may be what the first one found.
        for _ in 0..2 {
            let actual = sorted(&path, get(&connector.url, &path).await);
            if actual != expected {
                differences.push(format!("{path}\n  {actual:?}\n  {expected:?}"));
            }
        }
    }
    let client = soak::http::client();
    for path in [
        "labels",
        "series",
        "query_exemplars",
        "parse_query",
        "label/job/values",
        "metadata",
    ] {
        let form = format!("{RANGE}&match[]=up&query=up");
        let post = async |server: &str| {
            let request = client.post(format!("{server}/api/v1/{path}"));
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let response = request.body(form.clone()).send().await.unwrap();
            let allow = response.headers().get("allow").cloned();
            (allow, sorted("series?match[]", reply(response).await))
        };
        let (actual, expected) = (post(&connector.url).await, post(&prometheus.url).await);
        if actual != expected {
            differences.push(format!("POST {path}\n  {actual:?}\n  {expected:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));

    let data = async |server: &str, path: &str| {
        let (_, _, text) = get(server, path).await;
        serde_json::from_str::<Value>(&text).unwrap()["data"].take()
    };
    let expected = data(&prometheus.url, "features").await;
    let actual = data(&connector.url, "features").await;
    for group in ["promql", "promql_functions", "promql_operators"] {
        assert_eq!(actual[group], expected[group]);
    }
    for (group, features) in actual.as_object().unwrap() {
        for name in features.as_object().unwrap().keys() {
            assert!(expected[group][name].is_boolean(), "{group} {name}");
        }
    }
    let expected = data(&prometheus.url, "status/flags").await;
    let actual = data(&connector.url, "status/flags").await;
    for name in actual.as_object().unwrap().keys() {
        assert!(expected[name].is_string(), "{name}");
    }
    for name in [
        "query.lookback-delta",
        "query.timeout",
        "web.enable-admin-api",
    ] {
        assert_eq!(actual[name], expected[name]);
    }
    let expected = data(&prometheus.url, "status/buildinfo").await;
    let actual = data(&connector.url, "status/buildinfo").await;
    assert_eq!(actual["version"], expected["version"]);
    let keys = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&actual), keys(&expected));

    // Headers of requests without and with an origin.
    let headers = async |server: &str, method: &str| {
        let url = format!("{server}/api/v1/labels");
        let request = client.request(method.parse().unwrap(), url);
        let response = request
            .header("origin", "http://localhost")
            .send()
            .await
            .unwrap();
        let headers = response.headers().iter();
        let headers = headers
            .filter(|(name, _)| name.as_str().starts_with("access-control-") || *name == "vary");
        let mut headers: Vec<_> = headers
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        headers.sort();
        (response.status(), headers)
    };
    let admitting = Connector::start(
        &emulator,
        &["--web.cors.origin=http://localhost|http://other"],
    )
    .await;
    for method in ["OPTIONS", "GET"] {
        let expected = headers(&prometheus.url, method).await;
        assert_eq!(headers(&admitting.url, method).await, expected, "{method}");
    }
    let admitting = Connector::start(&emulator, &["--web.cors.origin=.*"]).await;
    let any = "access-control-allow-origin: \"*\"";
    let (_, all) = headers(&admitting.url, "GET").await;
    assert!(all.iter().any(|it| it == any), "{all:?}");
}

/// Returns the path of an endpoint as a client encodes it.
fn encoded(path: &str) -> String {
    let url = Url::parse(&format!("http://localhost/api/v1/{path}")).unwrap();
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

/// Returns the data of a successful response.
async fn ok(app: &TestApp, path: &str) -> Value {
    let response = app.get(&encoded(path)).await;
    assert_eq!(
        response.status,
        StatusCode::OK,
        "{path}: {}",
        response.text()
    );
    serde_json::from_str::<Value>(&response.text()).unwrap()["data"].take()
}

#[tokio::test]
async fn names_cost_no_scan_and_are_remembered() {
    let app = TestApp::start().await;
    app.write_ok(data()).await;
    let statements = async || {
        let name = "timestream_connector_query_statements_total";
        app.metric(name).await
    };
    for (path, cost) in [
        ("labels", 1.0),
        ("labels?limit=1", 0.0),
        ("labels?match[]={__name__!=\"\"}", 0.0),
        ("label/__name__/values", 1.0),
        ("label/__name__/values?match[]={__name__=~\"u.\"}", 0.0),
        // The columns are known.
        ("label/job/values?RANGE", 1.0),
        ("label/job/values?RANGE&limit=1", 0.0),
        ("label/instance/values?RANGE", 1.0),
        // The columns of the metric, and once more beside the query.
        ("series?RANGE&match[]=up", 3.0),
        ("label/job/values?RANGE&match[]=up", 0.0),
        ("labels?RANGE&match[]=up", 0.0),
        ("labels?RANGE&match[]=up&match[]=up", 0.0),
    ] {
        let before = statements().await;
        ok(&app, &path.replace("RANGE", RANGE)).await;
        assert_eq!(statements().await - before, cost, "{path}");
    }
    let before = statements().await;
    let path = format!("/api/v1/series?{RANGE}&match[]=up");
    let request = Request::get(&path).header(CACHE_CONTROL, "no-store");
    let response = app.send(request.body(Default::default()).unwrap()).await;
    assert_eq!(response.status, StatusCode::OK);
    assert!(statements().await > before);
    let scanned = app.metric("timestream_connector_query_scanned_bytes_total");
    let scanned = scanned.await;
    ok(&app, "labels").await;
    let again = app.metric("timestream_connector_query_scanned_bytes_total");
    assert_eq!(again.await, scanned);
}

#[tokio::test]
async fn without_times_the_last_day_is_searched() {
    let app = TestApp::start().await;
    let now = now_ms();
    let at =
        |name: &str, time_ms: i64| series(&[("__name__", name), ("job", name)], &[(time_ms, 1.0)]);
    app.write_ok(vec![at("new", now), at("old", now - 2 * 86_400_000)])
        .await;
    for (path, expected) in [
        ("label/job/values", "new"),
        ("label/job/values?match[]={job!=\"\"}", "new"),
        (
            &format!("label/job/values?end={}", now / 1_000 - 100_000),
            "old",
        ),
        ("label/job/values?start=0&limit=1", "new"),
    ] {
        assert_eq!(
            ok(&app, path).await,
            serde_json::json!([expected]),
            "{path}"
        );
    }
}

#[tokio::test]
async fn tables_are_those_that_match() {
    let app = TestApp::start().await;
    let of = |labels: &[(&str, &str)]| series(labels, &[(START_MS, 1.0)]);
    app.write_ok(vec![
        of(&[("__name__", "here"), ("job", "a")]),
        of(&[("__name__", "there"), ("zone", "b"), ("table", "other")]),
    ])
    .await;
    for (path, expected) in [
        ("label/__name__/values?RANGE", r#"["here"]"#),
        (
            "label/__name__/values?RANGE&match[]={__name__!=\"\",table=\"other\"}",
            r#"["there"]"#,
        ),
        (
            "label/__name__/values?RANGE&match[]={__name__!=\"\",table=~\"t|other\"}",
            r#"["here","there"]"#,
        ),
        (
            "label/zone/values?RANGE&match[]={table=\"other\"}",
            r#"["b"]"#,
        ),
        (
            "labels?RANGE&match[]={table=\"other\"}",
            r#"["__name__","zone"]"#,
        ),
        ("labels?RANGE", r#"["__name__","job"]"#),
        (
            "series?RANGE&match[]={table=\"other\"}",
            r#"[{"__name__":"there","zone":"b"}]"#,
        ),
    ] {
        let data = ok(&app, &path.replace("RANGE", RANGE)).await;
        assert_eq!(data.to_string(), expected, "{path}");
    }
}

#[tokio::test]
async fn metadata_is_that_of_its_table() {
    let app = TestApp::start_with(&["--metadata-table=other"]).await;
    assert_eq!(ok(&app, "metadata").await.to_string(), "{}");
    let entry = |name: &str, kind: i32, help: &str, unit: &str| prompb::MetricMetadata {
        r#type: kind,
        metric_family_name: name.to_owned(),
        help: help.to_owned(),
        unit: unit.to_owned(),
    };
    let request = prompb::WriteRequest {
        timeseries: vec![],
        metadata: vec![
            entry("requests_total", 1, "Requests <all>.", ""),
            entry("size.bytes", 2, "", "bytes"),
        ],
    };
    let body = prom_wire::encode(&request).unwrap();
    let response = app.post("/write", &[], body).await;
    assert!(response.status.is_success(), "{}", response.text());
    for (parameters, expected) in [
        (
            "",
            concat!(
                r#"{"requests_total":[{"type":"counter","unit":"","help":"Requests \u003call\u003e."}],"#,
                r#""size.bytes":[{"type":"gauge","unit":"bytes","help":""}]}"#
            ),
        ),
        (
            "metric=size.bytes&limit_per_metric=1",
            r#"{"size.bytes":[{"type":"gauge","unit":"bytes","help":""}]}"#,
        ),
        (
            "limit=1",
            r#"{"requests_total":[{"type":"counter","unit":"","help":"Requests \u003call\u003e."}]}"#,
        ),
        ("limit=0", "{}"),
        ("metric=up", "{}"),
    ] {
        let path = format!("/api/v1/metadata?{parameters}");
        let request = Request::get(&path).header(CACHE_CONTROL, "no-store");
        let response = app.send(request.body(Default::default()).unwrap()).await;
        let expected = format!(r#"{{"status":"success","data":{expected}}}"#);
        assert_eq!(response.text(), expected, "{parameters}");
    }
}

#[tokio::test]
async fn large_requests_are_rejected_by_their_limit() {
    let app = TestApp::start_with(&["--max-read-bytes=1MiB"]).await;
    app.write_ok(data()).await;
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    for (count, expected) in [
        (9_000, "at most 200 parameters match[], this one has 9000"),
        (100_000, "the request has more than 10000 parameters"),
    ] {
        let form = "match[]=up&".repeat(count).into_bytes();
        for path in ["/api/v1/series", "/api/v1/labels"] {
            let response = app.post(path, &headers, form.clone()).await;
            let text = response.text();
            assert_eq!(response.status, StatusCode::BAD_REQUEST, "{text}");
            assert!(text.contains(expected), "{text}");
        }
    }
    let form = format!("match[]={{{}}}", "a!=\"\",".repeat(2_001)).into_bytes();
    let response = app.post("/api/v1/labels", &headers, form).await;
    let text = response.text();
    assert_eq!(response.status, StatusCode::BAD_REQUEST, "{text}");
    assert!(
        text.contains(
            "at most 200 selectors with 2000 matchers together, this one has 1 with 2001"
        ),
        "{text}"
    );
    let tables: Vec<_> = (0..101).map(|i| format!("t{i}")).collect();
    let path = format!("labels?match[]={{table=~\"{}\"}}", tables.join("|"));
    let response = app.get(&encoded(&path)).await;
    assert_eq!(
        response.status,
        StatusCode::BAD_REQUEST,
        "{}",
        response.text()
    );
    assert!(
        response.text().contains("more than 100 tables"),
        "{}",
        response.text()
    );
    // The result of a part of the values is sorted too; Prometheus takes those that arrived first.
    let data = ok(&app, "label/__name__/values?limit=2").await;
    assert_eq!(data.to_string(), r#"["Case","alone"]"#);
    let huge = |suffix: usize| format!("match[]={{job=~\"{}{suffix}\"}}", "(a|b){1000}".repeat(10));
    let form: Vec<_> = (0..200).map(huge).collect();
    let response = app.post("/api/v1/series", &headers, form.join("&").into_bytes());
    let response = response.await;
    let text = response.text();
    assert_eq!(response.status, StatusCode::BAD_REQUEST, "{text}");
    assert!(text.contains("expression too large"), "{text}");
    let form = format!(
        "match[]={{job=\"{}\"}}&match[]=up",
        "a".repeat((1 << 20) - 8)
    );
    let response = app
        .post("/api/v1/series", &headers, form.into_bytes())
        .await;
    let text = response.text();
    assert_eq!(response.status, StatusCode::BAD_REQUEST, "{text}");
    assert!(text.contains("at most 1048576 bytes"), "{text}");
    let form = format!("query=up{}", "%2Bup".repeat(200)).into_bytes();
    let response = app.post("/api/v1/query_exemplars", &headers, form).await;
    let text = response.text();
    assert_eq!(response.status, StatusCode::BAD_REQUEST, "{text}");
    assert!(
        text.contains("at most 200 selectors, this one has 201"),
        "{text}"
    );
    let response = app.get(&encoded("series?match[]={job=~\"(\"}")).await;
    let text = response.text();
    let expected = r#""invalid parameter \"match[]\": 1:2: parse error: error parsing regexp: missing closing )"#;
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn results_are_limited_as_those_of_reads() {
    let app = TestApp::start_with(&["--max-read-bytes=1MiB"]).await;
    let long = "x".repeat(1_000);
    let of = |number: usize| {
        let (id, long) = (number.to_string(), format!("{long}{number}"));
        let labels = [("__name__", "up"), ("id", &*id), ("long", &*long)];
        series(&labels, &[(START_MS, 1.0)])
    };
    app.write_ok((0..1_200).map(of).collect()).await;
    assert_eq!(
        ok(&app, &format!("label/id/values?{RANGE}"))
            .await
            .as_array()
            .unwrap()
            .len(),
        1_200
    );
    for path in [
        "label/long/values?RANGE",
        "series?RANGE&match[]=up",
        "labels?RANGE&match[]=up",
    ] {
        let response = app.get(&encoded(&path.replace("RANGE", RANGE))).await;
        let text = response.text();
        assert_eq!(
            response.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{path}: {text}"
        );
        assert!(text.contains("raise max_read_bytes"), "{text}");
    }
}

#[tokio::test]
async fn equal_requests_share_a_statement() {
    let app = TestApp::start().await;
    app.write_ok(data()).await;
    let path = format!("label/job/values?{RANGE}");
    ok(&app, "labels").await;
    let (first, second) = tokio::join!(ok(&app, &path), ok(&app, &path));
    assert_eq!(first, second);
    for (name, expected) in [("statements_total", 2.0), ("shared_queries_total", 1.0)] {
        let name = format!("timestream_connector_query_{name}");
        assert_eq!(app.metric(&name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_table_that_does_not_exist_is_named() {
    let app = TestApp::start_with(&["--default-table=missing"]).await;
    for path in [
        "labels",
        "label/__name__/values",
        "label/job/values",
        "series?match[]=up",
        "query_exemplars?query=up",
    ] {
        let response = app.get(&encoded(path)).await;
        let text = response.text();
        assert_eq!(
            response.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{path}: {text}"
        );
        assert!(text.contains("missing"), "{path}: {text}");
    }
}

#[tokio::test]
async fn other_methods_are_rejected() {
    let app = TestApp::start().await;
    for (method, path, allow) in [
        ("DELETE", "labels", "GET, OPTIONS, POST"),
        ("PUT", "query", "GET, OPTIONS, POST"),
        ("POST", "label/job/values", "GET, OPTIONS"),
        ("POST", "rules", "GET, OPTIONS"),
        ("GET", "write", "OPTIONS, POST"),
        ("GET", "read", "OPTIONS, POST"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"));
        let response = app.send(request.body(Default::default()).unwrap()).await;
        assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(response.headers[ALLOW], allow, "{path}");
        assert_eq!(response.text(), "Method Not Allowed\n");
    }
}

#[tokio::test]
async fn other_origins_use_queries_only_if_they_are_admitted() {
    let flags = [
        "--web.cors.origin=https://.*\\.example",
        "--bearer-token=secret",
    ];
    let app = TestApp::start_with(&flags).await;
    let send = async |method: &str, path: &str, origin: &str, token: &str| {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", "connector").header("origin", origin);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = app.send(request.body(Default::default()).unwrap()).await;
        let allowed = response.headers.get("access-control-allow-origin");
        let allowed = allowed.map(|it| it.to_str().unwrap().to_owned());
        (response.status.as_u16(), allowed)
    };
    let (page, stranger) = ("https://grafana.example", "https://grafana.example.com");
    let admitted = Some(page.to_owned());
    let rules = "/api/v1/rules";
    assert_eq!(
        send("OPTIONS", rules, page, "").await,
        (204, admitted.clone())
    );
    assert_eq!(send("OPTIONS", rules, stranger, "").await, (204, None));
    assert_eq!(
        send("GET", rules, page, "secret").await,
        (200, admitted.clone())
    );
    assert_eq!(
        send("GET", rules, page, "wrong").await,
        (401, admitted.clone())
    );
    assert_eq!(send("GET", rules, page, "").await, (401, admitted));
    assert_eq!(send("GET", rules, stranger, "secret").await, (403, None));
    // Everything else stays closed to pages of other origins.
    for (method, path) in [
        ("POST", "/write"),
        ("POST", "/read"),
        ("POST", "/api/v1/write"),
        ("POST", "/api/v1/read"),
        ("GET", "/"),
        ("GET", "/metrics"),
    ] {
        assert_eq!(
            send(method, path, page, "secret").await,
            (403, None),
            "{path}"
        );
    }
    assert_eq!(
        send("OPTIONS", "/api/v1/write", page, "").await,
        (204, None)
    );
}

#[tokio::test]
async fn remote_write_and_read_have_the_paths_of_prometheus_too() {
    let app = TestApp::start().await;
    let body = write_body(vec![series(&[("__name__", "up")], &[(START_MS, 1.0)])]);
    let response = app.post("/api/v1/write", &[], body).await;
    assert_eq!(
        response.status,
        StatusCode::NO_CONTENT,
        "{}",
        response.text()
    );
    let request = prompb::ReadRequest {
        queries: vec![crate::kinds::named("up")],
        accepted_response_types: vec![],
    };
    let body = prom_wire::encode(&request).unwrap();
    let response = app.post("/api/v1/read", &[], body.clone()).await;
    assert_eq!(response.status, StatusCode::OK, "{}", response.text());
    assert_eq!(response.body, app.post("/read", &[], body).await.body);
    // Senders may use any path, also one of these.
    let body = write_body(vec![series(&[("__name__", "up")], &[(START_MS + 1, 1.0)])]);
    let headers = [("x-prometheus-remote-write-version", "0.1.0")];
    let response = app.post("/api/v1/push", &headers, body).await;
    assert_eq!(
        response.status,
        StatusCode::NO_CONTENT,
        "{}",
        response.text()
    );
    assert_eq!(
        app.post("/api/v1/push", &[], vec![]).await.status,
        StatusCode::NOT_FOUND
    );
}
