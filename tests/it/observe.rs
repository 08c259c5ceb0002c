//! Observability: metrics, the documents made from their names, the start page.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Request, StatusCode};
use prom_wire::prompb::TimeSeries;
use prom_wire::prompb::label_matcher::Type;
use regex::Regex;
use serde_json::Value;
use timestream_emulator::{Fault, FaultKind, TableSpec};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::prometheus::{Prometheus, program};
use crate::support::{START_MS, TestApp, connect, query, series, start_emulator};

const DASHBOARD: &str = include_str!("../../docs/grafana/timestream-connector.json");
const ALERTS: &str = include_str!("../../docs/prometheus/alerts.yml");

fn numbered(range: std::ops::Range<i64>) -> Vec<TimeSeries> {
    range
        .map(|i| {
            series(
                &[("__name__", "m"), ("i", &i.to_string()), ("job", "a")],
                &[(START_MS, i as f64)],
            )
        })
        .collect()
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as i64
}

/// Runs promtool with `input` and expects no findings.
async fn promtool(arguments: &[&str], input: &str) {
    let mut process = Command::new(program("promtool").await)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = process.wait_with_output().await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// Returns the names of all samples that `/metrics` has once two replicas have sent.
async fn exposed_names() -> BTreeSet<String> {
    let app = TestApp::start_with(&["--ha-tracking=true"]).await;
    for (replica, status) in [("a", 204), ("b", 202)] {
        let labels = [
            ("__name__", "up"),
            ("__replica__", replica),
            ("cluster", "c"),
        ];
        let response = app.write(vec![series(&labels, &[(START_MS, 1.0)])]).await;
        assert_eq!(response.status, status);
    }
    let text = app.get("/metrics").await.text();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let app = TestApp::start().await;
    app.write_ok(numbered(0..3)).await;
    app.read(vec![query(&[(Type::Eq, "__name__", "m")])]).await;
    app.write(vec![series(
        &[("__name__", "m"), ("table", "missing")],
        &[(START_MS, 1.0)],
    )])
    .await;
    let response = app.get("/metrics").await;
    assert_eq!(
        response.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    promtool(&["check", "metrics"], &response.text()).await;
}

#[tokio::test]
async fn a_scraper_that_reads_openmetrics_gets_it() {
    let app = TestApp::start().await;
    let request = Request::get("/metrics")
        .header(
            "accept",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        )
        .body(axum::body::Body::empty());
    let response = app.send(request.unwrap()).await;
    assert_eq!(
        response.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = response.text();
    assert!(text.contains("# TYPE timestream_connector_received_samples counter\n"));
    assert!(text.ends_with("# EOF\n"), "{text}");
}

// The metrics of the process are those of Linux.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_documented_metrics_table_is_that_of_the_program() {
    let page = include_str!("../../docs/operating.md");
    let (_, rest) = page
        .split_once("<!-- metrics: held equal to the program by a test -->\n")
        .unwrap();
    let (table, _) = rest.split_once("<!-- /metrics -->").unwrap();
    let text = TestApp::start().await.get("/metrics").await.text();
    let mut rows: Vec<String> = Vec::new();
    for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, meaning) = help.split_once(' ').unwrap();
        let kind = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("# TYPE {name} ")))
            .unwrap();
        let labels = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}{{")));
        let names: Vec<&str> = labels
            .into_iter()
            .flat_map(|labels| labels.split_once('}').unwrap().0.split(','))
            .map(|label| label.split_once('=').unwrap().0)
            .collect();
        let labels = match names.as_slice() {
            [] => String::new(),
            names => format!("{{{}}}", names.join(", ")),
        };
        let meaning = meaning.trim_end_matches('.');
        rows.push(format!("| `{name}{labels}` | {kind} | {meaning} |\n"));
    }
    rows.sort_by_key(|row| !row.contains("timestream_connector"));
    let expected = format!(
        "| metric | type | meaning |\n|---|---|---|\n{}",
        rows.concat()
    );
    assert_eq!(table, expected, "put this table into the page:\n{expected}");
}

#[tokio::test]
async fn write_units_are_those_that_timestream_counts() {
    let app = TestApp::start().await;
    let name = "timestream_connector_write_units_total";
    let long = "v".repeat(900);
    let batches: [(&str, Vec<TimeSeries>); 6] = [
        ("one sample", numbered(0..1)),
        ("everything but one label in common", numbered(0..250)),
        (
            "one series, many times",
            vec![series(
                &[("__name__", "m"), ("é", "ü")],
                &(0..120)
                    .map(|i| (START_MS + i, i as f64))
                    .collect::<Vec<_>>(),
            )],
        ),
        (
            "nothing in common",
            (0..40)
                .map(|i| {
                    series(
                        &[("__name__", &format!("m{i}")), (&format!("l{i}"), "1")],
                        &[(START_MS + i, 1.0)],
                    )
                })
                .collect(),
        ),
        (
            "a series without labels",
            vec![series(&[("__name__", "alone")], &[(START_MS, 1.0)])],
        ),
        (
            "more than a unit for each",
            (0..9)
                .map(|i| {
                    series(
                        &[
                            ("__name__", "m"),
                            ("a", &format!("{i}{long}")),
                            ("b", &long),
                        ],
                        &[(START_MS, 1.0)],
                    )
                })
                .collect(),
        ),
    ];
    let mut before = 0;
    for (case, batch) in batches {
        app.write_ok(batch).await;
        let counted = app.emulator.counters().write_units;
        assert!(counted > before, "{case}");
        assert_eq!(app.metric(name).await, counted as f64, "{case}");
        before = counted;
    }
    // A call that stores nothing costs nothing; one that stores a part costs all.
    let rejection = FaultKind::Validation("the request is rejected".to_owned());
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, rejection));
    assert_eq!(app.write(numbered(0..1)).await.status, 400);
    let mut twice = numbered(0..2);
    twice[0].samples[0].timestamp = now_ms();
    twice[1] = twice[0].clone();
    twice[1].samples[0].value = 7.5;
    assert_eq!(app.write(twice).await.status, 419);
    let counted = app.emulator.counters().write_units;
    assert_eq!(counted, before + 1);
    assert_eq!(app.metric(name).await, counted as f64);
}

#[tokio::test]
async fn rejected_samples_are_counted_by_reason() {
    let emulator = start_emulator(vec![TableSpec::new("db", "t")]).await;
    let router = connect(&emulator, &[]).await;
    let app = TestApp { emulator, router };
    let at = |time, value| series(&[("__name__", "m"), ("l", "1")], &[(time, value)]);
    let now = now_ms();
    let response = app
        .write(vec![
            at(now, 1.0),
            at(now, 2.0),
            at(now, 3.0),
            at(START_MS, 1.0),
        ])
        .await;
    assert_eq!(response.status, 419);
    for (reason, expected) in [
        ("duplicate_version", 2.0),
        ("outside_memory_window", 1.0),
        ("other", 0.0),
    ] {
        let name = format!("timestream_connector_rejected_samples_total{{reason=\"{reason}\"}}");
        assert_eq!(app.metric(&name).await, expected, "{reason}");
    }
    let failed = "timestream_connector_failed_samples_total{reason=\"RejectedRecordsException\"}";
    assert_eq!(app.metric(failed).await, 3.0);
}

#[tokio::test]
async fn costs_of_reads_are_counted_even_if_they_fail() {
    let app = TestApp::start_with(&["--max-retries=0"]).await;
    app.write_ok(numbered(0..5)).await;
    let metric = async |name: &str| {
        app.metric(&format!("timestream_connector_read_{name}_total"))
            .await
    };
    app.read_samples(vec![query(&[(Type::Eq, "__name__", "m")])])
        .await;
    assert_eq!(metric("series").await, 5.0);
    assert_eq!(metric("samples").await, 5.0);
    let statements = metric("statements").await;
    assert!(metric("pages").await >= statements && statements >= 2.0);
    assert!(metric("scanned_bytes").await > 0.0);
    assert!(metric("metered_bytes").await > 0.0);

    app.emulator
        .order_fault(Fault::next("Query", 9, FaultKind::AccessDenied));
    let response = app.read_raw(vec![query(&[(Type::Eq, "__name__", "m")])]);
    assert_eq!(response.await.status, 403);
    assert!(metric("statements").await > statements);
    assert_eq!(metric("series").await, 5.0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_has_the_metrics_of_every_exporter() {
    let app = TestApp::start().await;
    for name in [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_virtual_memory_bytes",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_threads",
    ] {
        assert!(app.metric(name).await > 0.0, "{name}");
    }
    let started = app.metric("process_start_time_seconds").await;
    let age = now_ms() as f64 / 1_000.0 - started;
    assert!((0.0..3_600.0).contains(&age), "{age}");
}

/// Returns every metric that a PromQL text names.
fn metric_names(promql: &str) -> BTreeSet<String> {
    let names = Regex::new(r"\b(timestream_connector|process|prometheus)_\w+|\bup\b").unwrap();
    let found = names.find_iter(promql);
    found.map(|name| name.as_str().to_owned()).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_dashboard_queries_metrics_that_exist() {
    let exposed = exposed_names().await;
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows: Vec<&str> = panels
        .iter()
        .filter(|panel| panel["type"] == "row")
        .map(|panel| panel["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        rows,
        [
            "Writes",
            "OTLP",
            "Reads",
            "Queries",
            "Timestream",
            "Jobs",
            "Process"
        ]
    );
    let ids: BTreeSet<u64> = panels.iter().map(|it| it["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());

    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    let mut shown = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel}");
            let expression = target["expr"].as_str().unwrap();
            let names = metric_names(expression);
            assert!(!names.is_empty(), "{expression}");
            for name in names {
                assert!(
                    name == "up" || exposed.contains(&name),
                    "{name} in {expression}"
                );
                shown.insert(name);
            }
            let expression = Value::from(expression.replace("$__rate_interval", "5m"));
            rules += &format!("  - record: r{}\n    expr: {expression}\n", shown.len());
        }
    }
    promtool(&["check", "rules", "--lint=none"], &rules).await;
    let absent: Vec<&String> = exposed
        .iter()
        .filter(|name| {
            let is_former = name.starts_with("timestream_connector_definition_");
            !shown.contains(*name)
                && !is_former
                && !name.ends_with("_sum")
                && !name.ends_with("_count")
        })
        .collect();
    assert!(absent.is_empty(), "on no panel: {absent:?}");
}

#[tokio::test]
async fn the_alerts_watch_metrics_that_exist() {
    promtool(&["check", "rules"], ALERTS).await;
    let exposed = exposed_names().await;
    let queue = metrics_of_a_queue("http://127.0.0.1:1/write").await;
    let names = metric_names(ALERTS);
    let (of_prometheus, names): (BTreeSet<_>, BTreeSet<_>) = names
        .into_iter()
        .partition(|name| name.starts_with("prometheus_"));
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(name == "up" || exposed.contains(&name), "{name}");
    }
    assert!(of_prometheus.len() > 2, "{of_prometheus:?}");
    for name in of_prometheus {
        // A histogram has no sample of its own name.
        let found = queue
            .iter()
            .any(|it| *it == name || *it == format!("{name}_bucket"));
        assert!(found, "{name} is none of {queue:?}");
    }
}

/// Returns the metrics that a real Prometheus exposes of its queue for this address.
async fn metrics_of_a_queue(address: &str) -> BTreeSet<String> {
    let config = format!("remote_write: [{{ url: '{address}' }}]\n");
    let program = program("prometheus").await;
    let server = Prometheus::start_with(&program, &[], |_| config, async |_| {}).await;
    let response = soak::http::get(format!("{}/metrics", server.url)).await;
    let text = response.unwrap().text().await.unwrap();
    let label = format!("url=\"{address}\"");
    let samples = text.lines().filter(|line| line.contains(&label));
    samples
        .map(|line| line.split('{').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn alerts_fire_when_they_should() {
    // Per minute: the connector's counters or Prometheus' gauges, and the alerts that fire after an hour.
    let cases: [(&str, &[(&str, &str)], &[&str]); 18] = [
        ("all is well", &[], &[]),
        (
            "stale markers",
            &[(
                "ignored_samples_total{reason=\"value_not_finite\"",
                "0+9x60",
            )],
            &[],
        ),
        (
            "Timestream is away",
            &[("failed_samples_total{reason=\"Unavailable\"", "0+50x60")],
            &["TimestreamConnectorWritesFail"],
        ),
        (
            "no permission",
            &[
                (
                    "failed_samples_total{reason=\"AccessDeniedException\"",
                    "0+50x60",
                ),
                ("write_requests_total{code=\"403\"", "0+1x60"),
            ],
            &[
                "TimestreamConnectorWritesFail",
                "TimestreamConnectorWritesAreDropped",
            ],
        ),
        (
            "throttling",
            &[("write_retries_total{x=\"\"", "0+5x60")],
            &["TimestreamConnectorRetriesGrow"],
        ),
        (
            "samples that cannot be stored",
            &[
                (
                    "rejected_samples_total{reason=\"duplicate_version\"",
                    "0+1x60",
                ),
                ("ignored_samples_total{reason=\"long_label_name\"", "0+1x60"),
            ],
            &[
                "TimestreamConnectorSamplesRejected",
                "TimestreamConnectorSamplesIgnored",
            ],
        ),
        (
            "replicas as they should be",
            &[
                ("ignored_samples_total{reason=\"other_replica\"", "0+9x60"),
                ("ha_elected_timestamp_seconds{cluster=\"c\"", "0+60x60"),
                (
                    "ha_other_replica_timestamp_seconds{cluster=\"c\"",
                    "0+60x60",
                ),
                ("ha_elections_total{cluster=\"c\"", "1+0x30 2+0x30"),
            ],
            &[],
        ),
        (
            "one replica is gone",
            &[
                ("ha_elected_timestamp_seconds{cluster=\"c\"", "0+60x60"),
                ("ha_other_replica_timestamp_seconds{cluster=\"c\"", "60x60"),
            ],
            &["TimestreamConnectorOneReplicaOnly"],
        ),
        (
            "both replicas are gone",
            &[
                ("ha_elected_timestamp_seconds{cluster=\"c\"", "3000x60"),
                (
                    "ha_other_replica_timestamp_seconds{cluster=\"c\"",
                    "2900x60",
                ),
            ],
            &["TimestreamConnectorNoReplica"],
        ),
        (
            "replicas take turns",
            &[("ha_elections_total{cluster=\"c\"", "0x10 1+1x50")],
            &["TimestreamConnectorReplicasTakeTurns"],
        ),
        (
            "the state of replicas is away",
            &[(
                "ha_undecided_samples_total{reason=\"state_error\"",
                "0+5x60",
            )],
            &["TimestreamConnectorReplicasUndecided"],
        ),
        (
            "connectors fail",
            &[
                (
                    "job_runs_total{result=\"failed\", type=\"prometheus\"",
                    "0+3x60",
                ),
                (
                    "job_runs_total{result=\"complete\", type=\"prometheus\"",
                    "0+1x60",
                ),
                (
                    "job_runs_total{result=\"complete\", type=\"other\"",
                    "0+4x60",
                ),
                (
                    "job_runs_total{result=\"claim_lost\", type=\"other\"",
                    "0+4x60",
                ),
            ],
            &["TimestreamConnectorDefinitionsFail"],
        ),
        (
            "a connector is disabled",
            &[(
                "job_runs_total{result=\"disabled\", type=\"prometheus\"",
                "0+4x60",
            )],
            &["TimestreamConnectorDefinitionDisabled"],
        ),
        (
            "reads fail",
            &[("read_requests_total{code=\"503\"", "0+1x60")],
            &["TimestreamConnectorReadsFail"],
        ),
        (
            "queries fail, and others are wrong",
            &[
                ("query_requests_total{code=\"200\"", "0+10x60"),
                ("query_requests_total{code=\"400\"", "0+50x60"),
                ("query_requests_total{code=\"503\"", "0+4x60"),
            ],
            &["TimestreamConnectorQueriesFail"],
        ),
        (
            "queries are slow",
            &[
                ("query_requests_total{code=\"200\"", "0+10x60"),
                ("query_duration_seconds_bucket{le=\"1\"", "0+5x60"),
                ("query_duration_seconds_bucket{le=\"10\"", "0+8x60"),
                ("query_duration_seconds_bucket{le=\"25\"", "0+10x60"),
                ("query_duration_seconds_bucket{le=\"+Inf\"", "0+10x60"),
            ],
            &["TimestreamConnectorQueriesSlow"],
        ),
        (
            "many shards, of other queues too",
            &[
                (
                    "prometheus_remote_storage_shards{url=\"http://localhost:9201/write\"",
                    "4x60",
                ),
                (
                    "prometheus_remote_storage_shards{url=\"https://a.execute-api.eu-west-1.amazonaws.com/prod/write\"",
                    "5x60",
                ),
                (
                    "prometheus_remote_storage_shards{url=\"http://mimir/api/v1/push\"",
                    "50x60",
                ),
            ],
            &["TimestreamConnectorManyShards"],
        ),
        (
            "too few shards, of another queue too",
            &[
                (
                    "prometheus_remote_storage_shards_desired{url=\"http://localhost:9201/write\"",
                    "4.5x60",
                ),
                (
                    "prometheus_remote_storage_shards_max{url=\"http://localhost:9201/write\"",
                    "4x60",
                ),
                (
                    "prometheus_remote_storage_shards_desired{url=\"http://mimir/api/v1/push\"",
                    "60x60",
                ),
                (
                    "prometheus_remote_storage_shards_max{url=\"http://mimir/api/v1/push\"",
                    "50x60",
                ),
            ],
            &["TimestreamConnectorShardsAtMaximum"],
        ),
    ];
    let all = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let all: Vec<&str> = all.collect();
    let gone = "count(ALERTS{alertname=\"TimestreamConnectorDown\", alertstate=\"firing\"})";
    let mut tests = vec![serde_json::json!({
        "name": "the connector is gone",
        "input_series": [],
        "promql_expr_test": [
            {"expr": gone, "eval_time": "1h", "exp_samples": [{"labels": "{}", "value": 1}]},
        ],
    })];
    let target = "job=\"timestream-connector\", instance=\"a\"}";
    let usual = [
        ("received_samples_total{x=\"\"", "0+100x60"),
        ("write_requests_total{code=\"204\"", "0+2x60"),
        ("write_calls_total{x=\"\"", "0+10x60"),
        ("read_requests_total{code=\"200\"", "0+10x60"),
    ];
    for (name, counted, expected) in cases {
        let mut input =
            vec![serde_json::json!({"series": format!("up{{{target}"), "values": "1x60"})];
        for (series, values) in usual.iter().chain(counted) {
            let prefix = match series.starts_with("prometheus_") {
                true => "",
                false => "timestream_connector_",
            };
            let series = format!("{prefix}{series}, {target}");
            input.push(serde_json::json!({"series": series, "values": values}));
        }
        // ALERTS has the number that fire, without repeating their texts.
        let fires: Vec<Value> = all
            .iter()
            .map(|alert| {
                let count =
                    format!("count(ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}})");
                let samples = match expected.contains(alert) {
                    true => serde_json::json!([{"labels": "{}", "value": 1}]),
                    false => serde_json::json!([]),
                };
                serde_json::json!({"expr": count, "eval_time": "1h", "exp_samples": samples})
            })
            .collect();
        tests.push(
            serde_json::json!({"name": name, "input_series": input, "promql_expr_test": fires}),
        );
    }
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/prometheus/alerts.yml");
    let file = tempfile::NamedTempFile::new().unwrap();
    let text =
        serde_json::json!({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests});
    std::fs::write(file.path(), text.to_string()).unwrap();
    promtool(&["test", "rules", file.path().to_str().unwrap()], "").await;
}

#[tokio::test]
async fn the_start_page_shows_what_happens() {
    let app = TestApp::start().await;
    app.write_ok(numbered(0..7)).await;
    let response = app.get("/").await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.headers["cache-control"], "no-store");
    let page = response.text();
    for part in [
        "<dt>Database</dt><dd>db</dd>",
        "<dt>Table</dt><dd>label table, else t</dd>",
        "<th scope=\"row\">Samples written</th><td>7</td>",
        "<th scope=\"row\">Requests with status 204</th><td>1</td>",
        "<dt>Requests in flight</dt><dd>0</dd>",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[tokio::test]
async fn the_start_page_shows_errors_with_their_remedies_and_lost_samples() {
    let app = TestApp::start().await;
    let missing = "no_such_table";
    for _ in 0..2 {
        let series = series(
            &[("__name__", "up"), ("table", missing)],
            &[(START_MS, 1.0)],
        );
        assert_eq!(app.write(vec![series]).await.status, 404);
    }
    let nan = series(&[("__name__", "up")], &[(START_MS, f64::NAN)]);
    app.write_ok(vec![nan]).await;
    let response = app.get("/").await;
    let policy = response.headers["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    let page = response.text();
    for part in [
        "<b>ResourceNotFoundException</b> <span>remote write, status 404</span>",
        ", 2 times since <time ",
        "1 samples for db/no_such_table are not stored: ",
        "Create the database and table, or correct the labels or options that name them.",
        "value_not_finite<small>dropped: NaN or infinite; set store_special_values to store them</small></th><td>1</td>",
        "ResourceNotFoundException<small>failed: create the database and table",
        "Prices of us-east-1",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("<h2>Jobs</h2>"), "{page}");
}
