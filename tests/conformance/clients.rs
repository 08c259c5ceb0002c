//! Clients of Prometheus' HTTP API: promtool, the API client for Go, and one for Python.

use std::collections::BTreeMap;
use std::process::Stdio;

use prom_wire::prompb;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::stage::{Stage, TOKEN};
use crate::tools;

const START: i64 = 1_600_000_000;
const END: i64 = START + 60;

/// Returns a stage with two series of five samples, and the buckets of a histogram.
async fn stage() -> Stage {
    let stage = Stage::start(vec![crate::stage::table("metrics")], &[]).await;
    let series = |labels: &[(&str, &str)], value: fn(i64) -> f64| prompb::TimeSeries {
        labels: labels
            .iter()
            .map(|(name, value)| prompb::Label {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
        samples: (0..5)
            .map(|i| prompb::Sample {
                timestamp: (START + 15 * i) * 1_000,
                value: value(i),
            })
            .collect(),
        ..prompb::TimeSeries::default()
    };
    let timeseries = vec![
        series(&[("__name__", "up"), ("job", "a")], |_| 1.0),
        series(&[("__name__", "up"), ("job", "b")], |i| i as f64),
        series(&[("__name__", "h_bucket"), ("le", "1")], |i| i as f64),
        series(&[("__name__", "h_bucket"), ("le", "+Inf")], |i| {
            2.0 * i as f64
        }),
    ];
    stage.write(timeseries).await;
    stage
}

/// Runs a program; returns whether it succeeded, and its output with its errors behind it.
async fn output(mut command: Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_queries() {
    let stage = stage().await;
    let promtool = tools::prometheus("promtool").await;
    let config = stage.path("http.yml");
    let text = format!("authorization:\n  credentials: {TOKEN}\n");
    std::fs::write(&config, text).unwrap();
    let url = stage.connector.url.clone();
    let server = format!("--server={url}");
    let (start, end) = (format!("--start={START}"), format!("--end={END}"));
    let time = format!("--time={END}");
    let cases: [(&[&str], &[&str]); _] = [
        (
            &["instant", &time, &url, "sum by (job) (up)"],
            &[
                "{job=\"a\"} => 1 @[1600000060]",
                "{job=\"b\"} => 4 @[1600000060]",
            ],
        ),
        (
            &["range", &start, &end, "--step=30s", &url, "up{job='b'}"],
            &[
                "up{job=\"b\"} =>",
                "0 @[1600000000]",
                "2 @[1600000030]",
                "4 @[1600000060]",
            ],
        ),
        (
            &["series", &start, &end, "--match=up", &url],
            &[
                "{__name__=\"up\", job=\"a\"}",
                "{__name__=\"up\", job=\"b\"}",
            ],
        ),
        (&["labels", &start, &end, &url, "job"], &["a\nb\n"]),
        (
            &["labels", &start, &end, &url, "__name__"],
            &["h_bucket\nup\n"],
        ),
        (
            &[
                "analyze",
                &server,
                "--type=histogram",
                "--match=h_bucket",
                "--duration=1m",
                &time,
            ],
            &["- h_bucket{} (classic): 2/2.000/2"],
        ),
    ];
    for (arguments, expected) in cases {
        let mut command = Command::new(&promtool);
        command
            .arg("query")
            .arg(format!("--http.config.file={config}"));
        command.args(arguments);
        let (is_success, text) = output(command).await;
        assert!(is_success, "{arguments:?}: {text}");
        for part in expected {
            assert!(text.contains(part), "{arguments:?}: {text}");
        }
    }
    let mut command = Command::new(&promtool);
    command.args([
        "query",
        &format!("--http.config.file={config}"),
        "instant",
        &url,
        "sum(",
    ]);
    let (is_success, text) = output(command).await;
    assert!(
        !is_success && text.contains("unclosed left parenthesis"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_client_for_go_reads_every_response() {
    let stage = stage().await;
    let mut command = Command::new(tools::go_tool("api-client").await);
    command.args(["-url", &stage.connector.url, "-token", TOKEN]);
    command.args(["-start", &START.to_string(), "-end", &END.to_string()]);
    let (is_success, text) = output(command).await;
    assert!(is_success, "{text}");
    let lines = text.lines().map(|line| {
        let (name, json) = line.split_once('\t').expect(line);
        (name, serde_json::from_str(json).expect(line))
    });
    let results: BTreeMap<&str, Value> = lines.collect();
    for (name, expected) in [
        (
            "query scalar",
            json!({"type": "scalar", "value": [1600000060, "2"]}),
        ),
        (
            "query vector",
            json!({"type": "vector", "value": [
                {"metric": {"job": "a"}, "value": [1600000060, "1"]},
                {"metric": {"job": "b"}, "value": [1600000060, "4"]},
            ]}),
        ),
        (
            "query special",
            json!({"type": "vector", "value": [
                {"metric": {"v": "nan"}, "value": [1600000060, "NaN"]},
                {"metric": {"v": "inf"}, "value": [1600000060, "-Inf"]},
            ]}),
        ),
        (
            "query limited/warnings",
            json!(["results truncated due to limit"]),
        ),
        (
            "query_range",
            json!({"type": "matrix", "value": [{"metric": {}, "values": [
                [1600000000, "1"], [1600000015, "2"], [1600000030, "3"], [1600000045, "4"], [1600000060, "5"],
            ]}]}),
        ),
        ("labels", json!(["__name__", "job", "le"])),
        ("labels limited", json!(["__name__"])),
        ("values", json!(["a", "b"])),
        ("values matched", json!(["up"])),
        (
            "series",
            json!([{"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b"}]),
        ),
        ("exemplars", json!([])),
        ("buildinfo", json!(true)),
        ("flags", json!(true)),
        ("rules", json!([])),
        ("alerts", json!([])),
        (
            "targets",
            json!({"activeTargets": [], "droppedTargets": []}),
        ),
    ] {
        assert_eq!(results.get(name), Some(&expected), "{name}\n{text}");
    }
    for (name, error_type, part) in [
        ("query invalid", "bad_data", "unclosed left parenthesis"),
        (
            "query many to many",
            "execution",
            "many-to-many matching not allowed",
        ),
        (
            "query_range resolution",
            "bad_data",
            "exceeded maximum resolution",
        ),
        ("series invalid", "bad_data", "non-empty matcher"),
    ] {
        let error = &results[name];
        assert_eq!(error["type"], error_type, "{name}\n{text}");
        assert!(
            error["msg"].as_str().unwrap().contains(part),
            "{name}\n{text}"
        );
    }
}

/// What a user of `prometheus-api-client` writes; prints its results as one JSON object.
const PYTHON: &str = r#"
import datetime, json, sys
from prometheus_api_client import PrometheusConnect
url, token, start, end = sys.argv[1:]
client = PrometheusConnect(url=url, headers={"Authorization": "Bearer " + token})
start, end = [datetime.datetime.fromtimestamp(int(it), datetime.timezone.utc) for it in (start, end)]
print(json.dumps({
    "connected": client.check_prometheus_connection(),
    "query": client.custom_query("sum(up)", params={"time": end.timestamp()}),
    "range": client.custom_query_range("sum(up)", start, end, "30"),
    "metrics": client.all_metrics(params={"start": start.timestamp(), "end": end.timestamp()}),
    "values": client.get_label_values("job", params={"start": start.timestamp(), "end": end.timestamp()}),
    "current": client.get_current_metric_value("up", {"job": "b"}, params={"time": end.timestamp()}),
    "data": client.get_metric_range_data("up", {"job": "b"}, start, end),
}))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_for_python_reads_results() {
    let stage = stage().await;
    let mut command = Command::new(tools::python("clients").await);
    command.args(["-c", PYTHON, &stage.connector.url, TOKEN]);
    command.args([START.to_string(), END.to_string()]);
    let (is_success, text) = output(command).await;
    assert!(is_success, "{text}");
    let results: Value = serde_json::from_str(&text).expect(&text);
    let up = json!({"__name__": "up", "job": "b"});
    for (name, expected) in [
        ("connected", json!(true)),
        ("query", json!([{"metric": {}, "value": [1600000060, "5"]}])),
        (
            "range",
            json!([{"metric": {}, "values": [[1600000000, "1"], [1600000030, "3"], [1600000060, "5"]]}]),
        ),
        ("metrics", json!(["h_bucket", "up"])),
        ("values", json!(["a", "b"])),
        (
            "current",
            json!([{"metric": up, "value": [1600000060, "4"]}]),
        ),
    ] {
        assert_eq!(results[name], expected, "{name}\n{text}");
    }
    assert_eq!(results["data"][0]["metric"], up, "{text}");
}
