//! The command `bootstrap estimate`: its counts are those of the emulator, its dollars those of the documents.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::RawQuery;
use axum::response::Redirect;
use exposition::{Format, parse};
use http::Uri;
use prom_model::visible::is_hidden;
use prom_wire::prompb::{Label, TimeSeries};
use serde_json::{Value as Json, json};
use timestream_emulator::{Config as EmulatorConfig, Emulator};
use timestream_prometheus_connector::estimate::series::{Input, Series, Value};
use timestream_prometheus_connector::estimate::sink::{Change, Sending, rates};
use timestream_prometheus_connector::prices::{PRICES, Prices};
use tokio::net::TcpListener;

use crate::exporter::Exporter;
use crate::prometheus::{Prometheus, program};
use crate::standalone::Connector;
use crate::support::{START_MS, TestApp, connect, table};

const NODE_EXPORTER: &str = include_str!("../data/exporters/node_exporter.txt");
const NODE_EXPORTER_FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/exporters/node_exporter.txt"
);

fn estimate(flags: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    let mut process = command
        .env_clear()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("estimate")
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    // A command that fails early reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    process.wait_with_output().unwrap()
}

/// Returns the report as JSON of a command that must succeed, and what it wrote to standard error.
fn report(flags: &[&str], input: &str) -> (Json, String) {
    let output = estimate(&[flags, &["--json"]].concat(), input);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    (serde_json::from_slice(&output.stdout).unwrap(), stderr)
}

/// Returns status and standard error of a command that must fail.
fn failure(flags: &[&str], input: &str) -> (i32, String) {
    let output = estimate(flags, input);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{flags:?}");
    (output.status.code().unwrap(), stderr)
}

fn number(json: &Json) -> f64 {
    json.as_f64().unwrap_or_else(|| panic!("{json}"))
}

fn timeseries(series: &Series, timestamp: i64) -> TimeSeries {
    let Value::Float(value) = series.value else {
        panic!("{series:?}")
    };
    let labels = series.labels.iter().map(|(name, value)| Label {
        name: name.to_string(),
        value: value.to_string(),
    });
    TimeSeries {
        labels: labels.collect(),
        samples: vec![prom_wire::prompb::Sample { value, timestamp }],
        ..TimeSeries::default()
    }
}

async fn counting_emulator() -> Emulator {
    let emulator = Emulator::start(EmulatorConfig {
        tables: vec![table("db", "t")],
        null_sink: true,
        ..EmulatorConfig::default()
    });
    emulator.await.unwrap()
}

/// Holds the counts of so many targets equal to those of the emulator, to which the same series are written.
async fn assert_counted(text: &str, targets: u64) {
    const MAX_SAMPLES: usize = 2_000;
    let exposition = parse(text.as_bytes(), Format::Text).unwrap();
    // Within a second no request is incomplete but the last.
    let input = Input::of_exposition(&exposition, targets, 1_000.0, 1_000_000);
    let sending = Sending {
        max_samples: MAX_SAMPLES,
        shards: 1,
        stores_special_values: false,
    };
    let mut shares = (0.0, 0.0);
    let estimated = rates(
        &input.targets,
        sending,
        Change::NONE,
        &mut |_, units, bytes| {
            shares.0 += units;
            shares.1 += bytes;
        },
    );

    let between_ms = 1_000.0 / targets as f64;
    let sent = input
        .targets
        .iter()
        .enumerate()
        .flat_map(|(index, target)| {
            let timestamp = START_MS + (index as f64 * between_ms) as i64;
            target
                .series
                .iter()
                .map(move |it| timeseries(it, timestamp))
        });
    let sent: Vec<_> = sent.collect();
    // Of so many samples one round of scrapes is sent.
    assert!(sent.len() > 20_000, "{}", sent.len());
    let emulator = counting_emulator().await;
    let router = connect(&emulator, &[]).await;
    let app = TestApp { emulator, router };
    for request in sent.chunks(MAX_SAMPLES) {
        app.write_ok(request.to_vec()).await;
    }
    let ours = app.emulator.counters();
    for request in sent.chunks(MAX_SAMPLES) {
        let mut request = request.to_vec();
        request.retain(|it| it.samples[0].value.is_finite());
        crate::go_connector::write(&app.emulator.url(), &request).await;
    }
    let both = app.emulator.counters();

    // Shares of calls add up to whole ones, but for the last digits.
    let pairs = [
        ("samples", estimated.samples, sent.len() as u64),
        (
            "stored",
            estimated.samples - estimated.dropped,
            ours.records_accepted,
        ),
        ("units", estimated.units, ours.write_units),
        ("units of metrics", shares.0, ours.write_units),
        ("calls", estimated.calls, ours.calls["WriteRecords"]),
        (
            "units of Go",
            estimated.go_units,
            both.write_units - ours.write_units,
        ),
    ];
    for (name, estimated, counted) in pairs {
        assert!(
            (estimated - counted as f64).abs() < 1e-3,
            "{name}: {estimated}, {counted}"
        );
    }
    assert!((estimated.stored_bytes - shares.1).abs() < 1e-3);
}

#[tokio::test]
async fn counts_are_those_of_the_emulator() {
    assert_counted(NODE_EXPORTER, 45).await;
    assert_counted(include_str!("../data/exporters/prometheus.txt"), 35).await;
}

/// Waits until the emulator has accepted more records than so many.
async fn accepted(emulator: &Emulator, records: u64) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while emulator.counters().records_accepted <= records {
        assert!(Instant::now() < deadline, "{:?}", emulator.counters());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_running_prometheus_pays_what_is_estimated() {
    let program = program("prometheus").await;
    let emulator = counting_emulator().await;
    let connector = Connector::start(&emulator, &["--metadata-table=off"]).await;
    let url = connector.url.clone();
    let prometheus = Prometheus::start_with(
        &program,
        &[],
        |port| {
            format!(
                "global: {{ scrape_interval: 1s, external_labels: {{ cluster: production }} }}\n\
                 scrape_configs:\n\
                 - {{ job_name: prometheus, static_configs: [{{ targets: ['127.0.0.1:{port}'] }}] }}\n\
                 - {{ job_name: other, static_configs: [{{ targets: ['localhost:{port}'] }}] }}\n\
                 remote_write:\n\
                 - url: {url}/write\n\
                 \x20 metadata_config: {{ send: false }}\n\
                 \x20 queue_config: {{ max_shards: 1, max_samples_per_send: 2000 }}\n"
            )
        },
        async |_| {},
    )
    .await;
    let flags = [
        "--from-prometheus",
        &prometheus.url,
        "--max-samples-per-send=2000",
    ];
    let count = async || -> f64 {
        let query = [("query", r#"count({__name__!=""})"#)];
        let count = prometheus.api("query", &query).await;
        let count = count["data"]["result"][0]["value"][1].as_str();
        count.unwrap().parse().unwrap()
    };
    // Prometheus has series about the first scrapes and the first queries only after them.
    accepted(&emulator, 3_000).await;
    report(&flags, "");
    count().await;
    accepted(&emulator, emulator.counters().records_accepted + 5_000).await;
    let before = emulator.counters();
    accepted(&emulator, before.records_accepted + 12_000).await;
    let after = emulator.counters();
    let records = (after.records_accepted - before.records_accepted) as f64;
    let units = (after.write_units - before.write_units) as f64 / records;

    let (whole, stderr) = report(&flags, "");
    assert_eq!(stderr, "");
    let count = count().await;
    let within = |estimated: f64, counted: f64, share: f64| {
        let difference = (estimated / counted - 1.0).abs();
        assert!(difference < share, "{estimated}, {counted}: {whole:#}");
    };
    within(number(&whole["series"]), count, 0.02);
    let rate = &whole["per_second"];
    let stored = number(&rate["samples"]) - number(&rate["dropped_samples"]);
    within(number(&rate["samples"]), count, 0.02);
    let estimated = number(&rate["write_units"]) / stored;
    println!("units of a sample: {estimated} estimated, {units} counted");
    within(estimated, units, 0.1);
    assert_eq!(whole["targets"], 2.0);

    // The same for a part of the series, scaled up.
    let (part, _) = report(&[&flags[..], &["--max-series=300"]].concat(), "");
    let notes = part["notes"].to_string();
    assert!(notes.contains("stand for all of them"), "{notes}");
    within(number(&part["series"]), count, 0.02);
    within(
        number(&part["per_second"]["write_units"]),
        number(&rate["write_units"]),
        0.3,
    );
}

#[tokio::test]
async fn an_exposition_is_read_from_its_address_with_credentials() {
    let exporter = Exporter::start(Some("Bearer t0ken")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "t0ken\n").unwrap();
    let (url, file) = (exporter.url.clone(), file.display().to_string());
    let work = tokio::task::spawn_blocking(move || {
        let (status, text) = failure(&["--from-exposition", &url], "");
        assert_eq!(status, 1);
        assert!(text.starts_with("Cannot estimate: 127.0.0.1:"), "{text}");
        assert!(text.contains("401 Unauthorized"), "{text}");
        let (json, _) = report(
            &["--from-exposition", &url, "--bearer-token-file", &file],
            "",
        );
        // Two of the exporter, five of Prometheus.
        assert_eq!(json["series"], 7.0);
        let (status, text) = failure(&["--from-exposition", &url, "--basic-auth-file", &file], "");
        assert_eq!(status, 1);
        assert!(text.ends_with("/token: expected user:password\n"), "{text}");
        let (status, text) = failure(&["--from-prometheus", &url], "");
        assert_eq!(status, 1, "{text}");
        assert!(text.contains("(/api/v1/status/tsdb)"), "{text}");
    });
    work.await.unwrap();
}

#[test]
fn prices_are_those_of_the_file_and_of_the_region() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.json");
    let flags = [
        "--from-exposition=-",
        "--queries-per-day=0",
        "--targets=100",
    ];
    let (known, stderr) = report(&flags, NODE_EXPORTER);
    assert_eq!(stderr, "");
    let (unknown, stderr) = report(
        &[&flags[..], &["--region=eu-west-9"]].concat(),
        NODE_EXPORTER,
    );
    assert_eq!(unknown, known);
    assert_eq!(
        stderr,
        "The prices of eu-west-9 are not known: these are those of us-east-1; --prices FILE has others.\n"
    );

    std::fs::write(&file, r#"{"writes_per_million": 1, "region": "eu-west-9"}"#).unwrap();
    let path = format!("--prices={}", file.display());
    let (other, stderr) = report(
        &[&flags[..], &["--region=eu-west-9", &path]].concat(),
        NODE_EXPORTER,
    );
    assert_eq!(stderr, "");
    assert_eq!(other["prices"]["region"], "eu-west-9");
    let writes = |json: &Json| number(&json["dollars"]["writes"]);
    assert!((writes(&other) - 2.0 * writes(&known)).abs() < 1e-6);
    assert_eq!(
        other["dollars"]["memory_store"],
        known["dollars"]["memory_store"]
    );

    std::fs::write(&file, r#"{"writes": 1}"#).unwrap();
    let (status, text) = failure(&[&flags[..], &[&path]].concat(), NODE_EXPORTER);
    assert_eq!(status, 2);
    assert!(
        text.contains(r#"prices.json: "writes" is no price"#),
        "{text}"
    );
}

#[test]
fn unusable_commands_name_the_option() {
    let exposition = "--from-exposition=-";
    for (flags, expected) in [
        (&[][..], "--from-prometheus <URL>"),
        (
            &["--from-prometheus=http://u:secret@h"],
            "--from-prometheus is not valid (its value is not shown)",
        ),
        (
            &["--from-prometheus=localhost"],
            "expected a URL such as http://localhost:9090",
        ),
        (
            &[exposition, "--from-prometheus=http://h"],
            "cannot be used with",
        ),
        (
            &[exposition, "--retention=12"],
            "--retention is \"12\"; expected a whole number from 1d to 73000d",
        ),
        (
            &[exposition, "--memory-retention=0h"],
            "expected a whole number from 1h to 8766h",
        ),
        (
            &[exposition, "--scrape-interval=15"],
            "--scrape-interval is \"15\"; expected a duration",
        ),
        (
            &["--from-exposition=u:secret=x@h/metrics?a=b", "--region=x"],
            "--region is \"x\"",
        ),
        (
            &[exposition, "--region=u:secret@h"],
            "--region is \"...@h\"",
        ),
        (&[exposition, "--region=eu west"], "--region is \"eu west\""),
    ] {
        let (status, text) = failure(flags, "up 1\n");
        assert_eq!(status, 2, "{flags:?}");
        assert!(
            text.contains(expected) && !text.contains("secret"),
            "{flags:?}: {text}"
        );
    }
    for (flags, input, expected) in [
        (&[exposition][..], "", "there are no series"),
        (
            &["--from-exposition=u:secret@h/metrics"],
            "",
            "Cannot estimate: ...@h/metrics: No such file",
        ),
        (
            &[
                "--from-exposition=http://127.0.0.1:1",
                "--basic-auth-file=u:secret@h",
            ],
            "",
            "Cannot estimate: ...@h: No such file",
        ),
        (
            &[exposition],
            "up one\n",
            "the exposition: parse error at line 1, offset 3",
        ),
        (
            &["--from-exposition=no/such/file"],
            "",
            "no/such/file: No such file",
        ),
        (
            &["--from-prometheus=http://127.0.0.1:1"],
            "",
            "127.0.0.1:1: ",
        ),
    ] {
        let (status, text) = failure(flags, input);
        assert_eq!(status, 1, "{flags:?}");
        assert!(
            text.contains(expected) && !text.contains("secret"),
            "{flags:?}: {text}"
        );
    }
}

/// Serves these responses as a Prometheus, which ignores the limit of queries.
async fn fake(responses: Json) -> String {
    let respond = async move |RawQuery(query): RawQuery, uri: Uri| {
        let is_of_sizes = query.unwrap_or_default().contains("count+by");
        let key = match uri.path() {
            "/api/v1/status/tsdb" => "tsdb",
            "/api/v1/status/config" => "config",
            "/api/v1/targets" => "targets",
            _ if is_of_sizes => "sizes",
            _ => "series",
        };
        json!({"status": "success", "data": responses[key]}).to_string()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(respond);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// Returns what a fake Prometheus sends that has a target with so many series.
fn of_target(size: Json, series: usize) -> Json {
    let target = json!({"job": "j", "instance": "i"});
    let series = (0..series).map(|number| {
        let name = format!("m{number:06}\u{1b}[2J\u{9b}1A\u{202e}\n");
        json!({"metric": {"__name__": name, "job": "j", "instance": "i"}, "value": [1, "1"]})
    });
    json!({
        "tsdb": {"headStats": {"numSeries": 5}},
        "config": {"yaml": ""},
        "targets": {"activeTargets": [{"labels": target, "scrapeInterval": "15s"}]},
        "sizes": {"result": [{"metric": target, "value": [1, size]}]},
        "series": {"result": series.collect::<Vec<_>>()},
    })
}

/// Runs the command for a fake Prometheus.
async fn of_fake(responses: Json, flags: &'static [&str]) -> Output {
    let url = fake(responses).await;
    let work = move || estimate(&[flags, &["--from-prometheus", &url]].concat(), "");
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn no_more_series_are_read_than_may_be_and_no_terminal_obeys_a_name() {
    for (size, read, total) in [("3", 3, 3.0), ("5000", 100, 5_000.0)] {
        let responses = of_target(json!(size), 5_000);
        let json = of_fake(responses.clone(), &["--max-series=100", "--json"]).await;
        let json = String::from_utf8(json.stdout).unwrap();
        let table = of_fake(responses, &["--max-series=100"]).await;
        let table = String::from_utf8(table.stdout).unwrap();
        for text in [&json, &table] {
            let is_hidden = |c: char| is_hidden(c) && c != '\n';
            assert!(!text.contains(is_hidden), "{text:?}");
            assert!(text.contains("000\\u001b[2J\\u009b1A\\u202e"), "{text}");
        }
        let json: Json = serde_json::from_str(&json).unwrap();
        assert_eq!(json["series"], total);
        let metrics = json["metrics"].as_array().unwrap();
        assert!(
            metrics[0]["metric"]
                .as_str()
                .unwrap()
                .ends_with("\u{1b}[2J\u{9b}1A\u{202e}\n")
        );
        if read < 5_000 && total > 100.0 {
            let note = format!("{read} series were read");
            assert!(json["notes"].to_string().contains(&note), "{json:#}");
        }
    }
}

#[tokio::test]
async fn values_out_of_range_are_errors_that_name_them() {
    let cases = ["NaN", "-5", "0", "+Inf", "1e300", "x"];
    let of_size = cases.map(|size| {
        let expected = format!(
            "Cannot estimate: /api/v1/query: the number of series of job \"j\", instance \"i\" is \"{size}\"; \
             expected a number from 1 to 1000000000000\n"
        );
        (of_target(json!(size), 1), expected)
    });
    let with = |pointer: &str, value: Json| {
        let mut responses = of_target(json!("1"), 1);
        *responses.pointer_mut(pointer).unwrap() = value;
        responses
    };
    let interval = "/targets/activeTargets/0/scrapeInterval";
    let of_interval = ["0s", "2y", "x", "-1s"].map(|text| {
        let expected = format!(
            "Cannot estimate: /api/v1/targets: the scrapeInterval of job \"j\", instance \"i\" is {text}; expected a \
             duration from 1ms to 365d\n"
        );
        (with(interval, json!(text)), expected)
    });
    let others = [
        (
            with("/tsdb/headStats/numSeries", json!(-1e300)),
            "headStats.numSeries is -1e+300; expected a number from 0 to 1000000000000\n".to_owned(),
        ),
        (
            with("/config/yaml", json!("global: {evaluation_interval: 290y}")),
            "/api/v1/status/config: evaluation_interval is 290y; expected a duration from 1ms to 365d\n".to_owned(),
        ),
    ];
    for (responses, expected) in of_size.into_iter().chain(of_interval).chain(others) {
        let output = of_fake(responses, &[]).await;
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.ends_with(&expected), "{errors}{expected}");
    }
    // The longest interval and the largest target have a bill.
    let mut responses = with(interval, json!("365d"));
    *responses.pointer_mut("/sizes/result/0/value/1").unwrap() = json!("1e12");
    let output = of_fake(responses, &["--json"]).await;
    assert!(output.status.success());
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["series"], 1e12);
    assert_eq!(json["per_second"]["dropped_samples"], 0.0);
    let together = number(&json["dollars"]["together"]);
    assert!(together > 0.0 && together < 1e12, "{json:#}");
}

#[tokio::test]
async fn a_configuration_of_a_server_that_is_too_deep_is_noted() {
    let mut responses = of_target(json!("1"), 1);
    responses["config"]["yaml"] = json!("- ".repeat(5_000));
    let output = of_fake(responses, &["--json"]).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    let notes = json["notes"].to_string();
    assert!(
        notes.contains("external labels are not counted: line 1: more than 64 lists"),
        "{notes}"
    );
}

#[tokio::test]
async fn a_blocked_redirect_has_the_remedy_of_a_command() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let target = "http://169.254.1.2/metrics";
    let router = Router::new().fallback(async || Redirect::temporary(target));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let work = move || {
        for flag in ["--from-exposition", "--from-prometheus"] {
            for url in [&url, target] {
                let (status, text) = failure(&[flag, url], "");
                assert_eq!(status, 1);
                let expected = "169.254.1.2 is not called: it is a link-local address; use the address of the \
                                server itself";
                assert!(text.contains(expected), "{text}");
                assert!(!text.contains("allow_link_local"), "{text}");
            }
        }
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}

#[test]
fn a_token_that_no_header_can_have_is_an_error_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    for token in ["hid\nden\n", "", "\n", "hid\u{fc}den", "hid\rden"] {
        std::fs::write(&file, token).unwrap();
        let file = file.display().to_string();
        let flags = [
            "--from-exposition=http://127.0.0.1:1",
            "--bearer-token-file",
            &file,
        ];
        let (status, text) = failure(&flags, "");
        assert_eq!(status, 1);
        let expected = "/token: is empty, or has several lines or characters that no header can have; expected one \
                        line with the token alone\n";
        assert!(text.ends_with(expected) && !text.contains("hid"), "{text}");
    }
}

#[test]
fn a_series_with_very_many_labels_takes_little_memory() {
    let labels: String = (0..200_000).map(|it| format!("l{it}=\"v\",")).collect();
    let text = format!("m{{{labels}}} 1\nup 1\n");
    let (json, _) = report(&["--from-exposition=-", "--targets=1000"], &text);
    // Timestream has none of it.
    assert_eq!(json["series"], 7_000.0);
    let dropped = number(&json["per_second"]["dropped_samples"]);
    assert!((dropped - 1_000.0 / 15.0).abs() < 1e-6, "{dropped}");
}

#[test]
fn a_large_exposition_is_read_in_part() {
    let line = |number: usize| {
        format!("requests_total{{path=\"/api/v1/resource/{number:06}\"}} {number}\n")
    };
    let text: String = (0..50_000).map(line).collect();
    let started = Instant::now();
    let (json, _) = report(
        &["--from-exposition=-", "--max-series=1000", "--targets=1000"],
        &text,
    );
    assert!(started.elapsed() < Duration::from_secs(60));
    let series = number(&json["series"]);
    assert!((50_000_000.0..50_300_000.0).contains(&series), "{series}");
    let notes = json["notes"].to_string();
    assert!(notes.contains("The first 1000 of 50000 series"), "{notes}");
    assert!(notes.contains("1 of the 1000 targets"), "{notes}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large");
    std::fs::File::create(&file)
        .unwrap()
        .set_len((64 << 20) + 1)
        .unwrap();
    let (status, text) = failure(&["--from-exposition", &file.display().to_string()], "");
    assert_eq!(status, 1);
    assert!(text.contains("large: more than 67108864 bytes"), "{text}");
}

/// Returns the fenced block of a page that follows these lines.
fn block_after<'p>(page: &'p str, start: &str) -> &'p str {
    let (_, rest) = page
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start}"));
    rest.split_once("\n```").unwrap().0
}

#[test]
fn the_documented_estimate_is_that_of_the_program() {
    let page = include_str!("../../docs/cost.md");
    let command = block_after(page, "```sh\nbootstrap estimate ");
    let flags: Vec<_> = command
        .split_whitespace()
        .filter(|it| *it != "\\")
        .collect();
    let output = estimate(&flags, "");
    let text = String::from_utf8(output.stdout).unwrap();
    let documented = block_after(page, "```text\nTimestream in ");
    assert_eq!(
        format!("Timestream in {documented}\n"),
        text,
        "put this into docs/cost.md:\n{text}"
    );

    let (json, _) = report(
        &["--from-exposition", NODE_EXPORTER_FILE, "--targets=100"],
        "",
    );
    let together = number(&json["dollars"]["together"]);
    let expected = format!("a hundred node exporters cost ${together:.0} a month");
    let readme = include_str!("../../README.md").replace('\n', " ");
    assert!(readme.contains(&expected), "README.md: {expected}");
}

#[test]
fn the_documented_prices_are_those_of_the_program() {
    let page = include_str!("../../docs/cost.md");
    let prices = &PRICES[0];
    for (text, price) in [
        (
            format!("${:.2} per million units", prices.writes_per_million),
            "writes",
        ),
        (
            format!("${} per GB and **hour**", prices.memory_gb_hour),
            "memory store",
        ),
        (
            format!("${} per GB and **month**", prices.magnetic_gb_month),
            "magnetic store",
        ),
        (format!("${} per TCU and hour", prices.tcu_hour), "queries"),
    ] {
        assert!(
            page.contains(&format!("| {price} | {text} |")),
            "{price}: {text}"
        );
    }
    assert!(page.contains(&format!("${} per GB, at\nleast", prices.scanned_gb)));
    assert_eq!(
        (&*prices.region, &*prices.date),
        ("us-east-1", "2026-08-08")
    );
    assert!(page.contains("US East (N. Virginia) as several sources quoted them on 8 August 2026"));
    let (_, json) = page.split_once("```json\n").unwrap();
    let (json, _) = json.split_once("```").unwrap();
    let mut read = Prices {
        writes_per_million: 0.0,
        memory_gb_hour: 0.0,
        magnetic_gb_month: 0.0,
        tcu_hour: 0.0,
        scanned_gb: 0.0,
        ..prices.clone()
    };
    read.replace(json.as_bytes()).unwrap();
    read.source = prices.source.clone();
    assert_eq!(read, *prices);
}
