//! The senders of `docs/senders.md`, as that page configures them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use soak::programs::{POLL, Program, free_port, get};
use tokio::process::Command;
use tokio::time::Instant;

use crate::collector::{self, otlp_receiver};
use crate::exporter::{self, Exporter};
use crate::page::{SENDERS, adapted, arguments, block};
use crate::stage::{Stage, Stored, TOKEN};
use crate::{otlp, tools};

/// The connector's address on the page.
const ADDRESS: &str = "http://localhost:9201";
/// The longest time that a command may take.
const COMMAND: Duration = Duration::from_secs(60);

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Starts a Prometheus whose configuration is that of the page's section, with the message of this name instead
/// of the default if there is one, and `more`.
async fn prometheus(
    stage: &Stage,
    name: &'static str,
    section: &str,
    message: Option<&str>,
    more: &str,
) -> Program {
    let program = tools::prometheus("prometheus").await;
    let token = stage.path("connector.token");
    let page = block(SENDERS, section, "yaml");
    let replaced = [
        (ADDRESS, stage.connector.url.as_str()),
        ("/etc/prometheus/connector.token", &token),
    ];
    let mut config = adapted(&page, &replaced) + more;
    if let Some(message) = message {
        let with_message = format!("/write\n    protobuf_message: {message}\n");
        config = adapted(&config, &[("/write\n", &with_message)]);
    }
    let file = stage.path(&format!("{name}.yml"));
    std::fs::write(&file, config).unwrap();
    let data = stage.path(&format!("{name}-data"));
    let is_agent = section == "Prometheus agent";
    let command = move |port| {
        let mut command = Command::new(&program);
        if is_agent {
            command
                .arg("--agent")
                .arg(format!("--storage.agent.path={data}"));
        } else {
            command.arg(format!("--storage.tsdb.path={data}"));
        }
        command
            .arg(format!("--config.file={file}"))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command
    };
    Program::start(name, stage.folder.path(), "/-/ready", command).await
}

/// The names of both messages.
const MESSAGES: [Option<&str>; 2] = [None, Some("io.prometheus.write.v2.Request")];

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_writes_and_reads() {
    for message in MESSAGES {
        let stage = Stage::start(vec![], &[]).await;
        let exporter = Exporter::start().await;
        let config = exporter.scrape_config();
        let _sender = prometheus(&stage, "sender", "Prometheus", message, &config).await;
        exporter::assert_stored(&stage).await;

        // One that has stored nothing itself.
        let reader = prometheus(&stage, "reader", "Prometheus", message, "").await;
        let (query, series, samples) = exporter::COUNT;
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/query", reader.url)).unwrap();
        url.query_pairs_mut().append_pair("query", query);
        let response: serde_json::Value = serde_json::from_str(&get(url.as_str()).await).unwrap();
        let results = response["data"]["result"].as_array().unwrap();
        assert_eq!(results.len(), series as usize, "{response}");
        for result in results {
            assert_eq!(result["value"][1], samples.to_string(), "{response}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_agent() {
    for message in MESSAGES {
        let stage = Stage::start(vec![], &[]).await;
        let exporter = Exporter::start().await;
        let config = exporter.scrape_config();
        let _agent = prometheus(&stage, "agent", "Prometheus agent", message, &config).await;
        exporter::assert_stored(&stage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_push() {
    let program = tools::prometheus("promtool").await;
    let stage = Stage::start(vec![], &[]).await;
    let section = "promtool push";
    let (token, http, file) = (
        stage.path("connector.token"),
        stage.path("http.yml"),
        stage.path("metrics.prom"),
    );
    let page = block(SENDERS, section, "yaml");
    let config = adapted(&page, &[("/etc/prometheus/connector.token", &token)]);
    std::fs::write(&http, config).unwrap();
    let text =
        "# TYPE backup_bytes gauge\nbackup_bytes{disk=\"a\"} 12.5\nbackup_bytes{disk=\"b\"} 7\n";
    std::fs::write(&file, text).unwrap();
    let replaced = [
        (ADDRESS, stage.connector.url.as_str()),
        ("http.yml", &http),
        ("metrics.prom", &file),
    ];
    let command_line = adapted(&block(SENDERS, section, "sh"), &replaced);
    let run = async |more: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(arguments(&command_line, "promtool"))
            .args(more);
        let log = stage.path("promtool.log");
        let process = tools::Background::start(command, log.into());
        process.ended(COMMAND).await
    };
    let before = now_ms();
    let (status, log) = run(&[]).await;
    assert!(status.success(), "{log}");
    let stored = stage.stored("backup_bytes", 2).await;
    let values = stored
        .iter()
        .map(|it| (it.dimensions["disk"].as_str(), it.value));
    let values: BTreeMap<&str, f64> = values.collect();
    assert_eq!(values, BTreeMap::from([("a", 12.5), ("b", 7.0)]));
    for point in &stored {
        assert_eq!(point.dimensions["job"], "backup");
        assert!((before..=now_ms()).contains(&point.time_ms), "{point:?}");
    }

    // Version 3.15.0 sends the message of 1.0 under the name of that of 2.0; others may do better.
    let (status, log) = run(&["--protobuf_message=io.prometheus.write.v2.Request"]).await;
    if status.success() {
        stage.stored("backup_bytes", 4).await;
    } else {
        assert!(log.contains("is it a remote write 1.0 message?"), "{log}");
        assert_eq!(stage.points("backup_bytes").len(), 2);
    }
}

/// Starts vmagent as the page does, with this scrape configuration.
async fn vmagent(stage: &Stage, config: &str) -> Program {
    let program = tools::go_tool("vmagent").await;
    let (scrape, token) = (stage.path("scrape.yml"), stage.path("connector.token"));
    std::fs::write(&scrape, config).unwrap();
    let replaced = [
        (ADDRESS, stage.connector.url.as_str()),
        ("/etc/vmagent/scrape.yml", &scrape),
        ("/etc/vmagent/connector.token", &token),
    ];
    let command_line = adapted(&block(SENDERS, "vmagent", "sh"), &replaced);
    let queue = stage.path("vmagent-queue");
    let command = move |port| {
        let mut command = Command::new(&program);
        command
            .args(arguments(&command_line, "vmagent"))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg(format!("-remoteWrite.tmpDataPath={queue}"));
        command
    };
    Program::start("vmagent", stage.folder.path(), "/health", command).await
}

/// Returns the sum of a program's metric over its labels.
async fn metric(program: &Program, name: &str) -> f64 {
    let text = get(&format!("{}/metrics", program.url)).await;
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' '])
            .then(|| rest.rsplit(' ').next())?
    });
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn vmagent_negotiates_the_compression() {
    let stage = Stage::start(vec![], &[]).await;
    let exporter = Exporter::start().await;
    let agent = vmagent(&stage, &exporter.scrape_config()).await;
    exporter::assert_stored(&stage).await;
    assert_eq!(
        metric(&agent, "vmagent_remotewrite_packets_dropped_total").await,
        0.0
    );

    // The negotiation took place, and logged no warning.
    let log = stage.log();
    let negotiations: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("status=415"))
        .collect();
    assert!(!negotiations.is_empty(), "{log}");
    for line in negotiations {
        assert!(
            line.starts_with("level=info ") && line.contains("zstd"),
            "{line}"
        );
    }
    assert!(!log.contains("level=error"), "{log}");
}

/// Flags of a connector that has series with a label in the table of that name.
const TABLE_BY_LABEL: [&str; 1] = ["--table-label=PrometheusTableLabel"];
/// A table that does not exist: Timestream's own status for it is 404, which these senders repeat for ever.
const MISSING_TABLE: &str = "missing";

#[tokio::test(flavor = "multi_thread")]
async fn vmagent_drops_what_no_later_try_can_store() {
    let stage = Stage::start(vec![], &TABLE_BY_LABEL).await;
    let (good, bad) = (Exporter::start().await, Exporter::start().await);
    let config = format!(
        "{}{}\x20 relabel_configs: [{{ target_label: PrometheusTableLabel, replacement: {MISSING_TABLE} }}]\n",
        good.scrape_config(),
        bad.scrape_config()
            .replace("scrape_configs:\n", "")
            .replace("conformance", "without_a_table"),
    );
    let agent = vmagent(&stage, &config).await;
    exporter::assert_stored(&stage).await;
    let dropped = "vmagent_remotewrite_packets_dropped_total";
    let deadline = Instant::now() + COMMAND;
    while metric(&agent, dropped).await == 0.0 {
        assert!(
            Instant::now() < deadline,
            "nothing is dropped: {}",
            stage.log()
        );
        tokio::time::sleep(POLL).await;
    }
    assert!(stage.log().contains(" status=400"), "{}", stage.log());
    // Those of the negotiation, one for each of its queues at most.
    let negotiations = stage.log().matches(" status=415").count();
    let retries = metric(&agent, "vmagent_remotewrite_retries_count_total").await;
    assert_eq!(retries, negotiations as f64, "{}", stage.log());
}

/// Starts the Collector with the configuration on the page and more of it; returns the Collector and its address for OTLP.
async fn collector(stage: &Stage, more: &str, flags: &'static [&str]) -> (Program, String) {
    let page = block(SENDERS, "OpenTelemetry Collector", "yaml");
    let configuration = adapted(&page, &[(ADDRESS, &stage.connector.url)]);
    let port = free_port();
    let own = format!("receivers:\n{}{more}", otlp_receiver(port));
    let collector = collector::start(stage, &configuration, &own, flags).await;
    (collector, format!("http://127.0.0.1:{port}/v1/metrics"))
}

/// Sends OTLP to a Collector, and compares what becomes of it.
async fn otlp_is_stored(more: &str, flags: &'static [&str]) {
    const POINTS: usize = 30;
    let stage = Stage::start(vec![], &[]).await;
    let (mut collector, url) = collector(&stage, more, flags).await;
    let start = now_ms() - 60_000;
    let times: Vec<i64> = (0..POINTS as i64).map(|it| start + it * 1000).collect();
    let body = otlp::request(&times).to_string();
    // Metrics are served before receivers are.
    let deadline = Instant::now() + COMMAND;
    loop {
        let request = soak::http::client()
            .post(&url)
            .header("content-type", "application/json");
        match request.body(body.clone()).send().await {
            Ok(response) => {
                assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
                break;
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        collector.assert_running();
        tokio::time::sleep(POLL).await;
    }
    let values = [
        ("queue_length", otlp::gauge as fn(usize) -> f64),
        ("orders_total", otlp::counter),
    ];
    for (measure, value) in values {
        let stored = stage.stored(measure, POINTS).await;
        let expected = times
            .iter()
            .enumerate()
            .map(|(index, &time_ms)| (time_ms, value(index)));
        let found = stored.iter().map(|it| (it.time_ms, it.value));
        assert!(found.eq(expected), "{measure}: {stored:?}");
        let labels =
            |it: &Stored| it.dimensions["job"] == "shop" && it.dimensions["route"] == "/a b";
        assert!(stored.iter().all(labels), "{measure}: {stored:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_collector() {
    otlp_is_stored("", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_collector_by_remote_write_2() {
    let more = "exporters: { prometheusremotewrite: { protobuf_message: io.prometheus.write.v2.Request } }\n";
    let flags = &["--feature-gates=exporter.prometheusremotewritexporter.enableSendingRW2"];
    assert!(SENDERS.contains(flags[0]));
    otlp_is_stored(more, flags).await;
}

/// Runs Telegraf with the output of the page and the lines of a file.
async fn telegraf(stage: &Stage, output: &str, lines: &str) -> tools::Background {
    let program = tools::go_tool("telegraf").await;
    let (file, data) = (stage.path("telegraf.conf"), stage.path("metrics.influx"));
    std::fs::write(&data, lines).unwrap();
    let output = adapted(output, &[(ADDRESS, &stage.connector.url)]);
    let config = format!(
        "[agent]\n  interval = \"1s\"\n  flush_interval = \"1s\"\n  hostname = \"h\"\n  precision = \"1ms\"\n\
         [[inputs.file]]\n  files = [\"{data}\"]\n  data_format = \"influx\"\n{output}"
    );
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.env("CONNECTOR_TOKEN", TOKEN).arg(&file);
    tools::Background::start(command, stage.path("telegraf.log").into())
}

#[tokio::test(flavor = "multi_thread")]
async fn telegraf_sends_a_sample_of_each_series() {
    const SERIES: usize = 200;
    let stage = Stage::start(vec![], &[]).await;
    let time = now_ms() - 600_000;
    let lines = (0..SERIES).map(|it| {
        let free = 1000 - it;
        format!("disk,path=/a\\ {it} used={it}.5,free={free}i,text=\"x\" {time}000000\n")
    });
    let output = block(SENDERS, "Telegraf", "toml");
    let telegraf = telegraf(&stage, &output, &lines.collect::<String>()).await;
    let measures = [
        ("disk_used", (|it| it as f64 + 0.5) as fn(usize) -> f64),
        ("disk_free", |it| 1000.0 - it as f64),
    ];
    for (measure, value) in measures {
        let stored = stage.stored(measure, SERIES).await;
        let found = stored.iter().map(|it| {
            assert_eq!((it.time_ms, it.dimensions["host"].as_str()), (time, "h"));
            (it.dimensions["path"].clone(), it.value)
        });
        let expected = (0..SERIES).map(|it| (format!("/a {it}"), value(it)));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected.collect());
        assert_eq!(stored.len(), SERIES);
    }
    let log = telegraf.log();
    assert!(!log.contains("E!"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn telegraf_sends_every_sample_without_batches() {
    const SAMPLES: i64 = 60;
    const SETTING: &str = "use_batch_format = false";
    let stage = Stage::start(vec![], &[]).await;
    let start = now_ms() - 600_000;
    let lines = (0..SAMPLES).map(|it| format!("load value={it}.25 {}000000\n", start + it * 1000));
    assert!(SENDERS.contains(SETTING));
    let output = block(SENDERS, "Telegraf", "toml");
    let first = "[[outputs.http]]\n";
    let output = adapted(&output, &[(first, &format!("{first}  {SETTING}\n"))]);
    let _telegraf = telegraf(&stage, &output, &lines.collect::<String>()).await;
    let stored = stage.stored("load_value", SAMPLES as usize).await;
    let expected = (0..SAMPLES).map(|it| (start + it * 1000, it as f64 + 0.25));
    let found = stored.iter().map(|it| (it.time_ms, it.value));
    assert!(found.eq(expected), "{stored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn telegraf_drops_what_no_later_try_can_store() {
    let stage = Stage::start(vec![], &TABLE_BY_LABEL).await;
    let time = now_ms() - 600_000;
    let lines = format!(
        "load,host=good value=1.5 {time}000000\n\
         load,PrometheusTableLabel={MISSING_TABLE} value=2.5 {time}000000\n"
    );
    let output = block(SENDERS, "Telegraf", "toml");
    let telegraf = telegraf(&stage, &output, &lines).await;
    let stored = stage.stored("load_value", 1).await;
    assert_eq!(stored[0].value, 1.5, "{stored:?}");
    let deadline = Instant::now() + COMMAND;
    // Telegraf reads the file each second; after a status to repeat it would send nothing but the first batch.
    while telegraf
        .log()
        .matches("Received non-retryable status 400")
        .count()
        < 2
    {
        assert!(Instant::now() < deadline, "{}", telegraf.log());
        tokio::time::sleep(POLL).await;
    }
}
