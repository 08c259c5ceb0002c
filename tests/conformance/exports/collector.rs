//! A Collector with the configuration of `docs/senders.md` that scrapes a node exporter, through the relay, beside a Prometheus
//! that scrapes the same exporter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use differential::api::{Api, Form};
use differential::prometheus::Prometheus;
use serde_json::Value;
use soak::programs::{POLL, Program, free_port};
use tokio::process::Command;

use super::pair::Pair;
use crate::collector::{self, otlp_receiver};
use crate::page::{SENDERS, adapted, block};
use crate::tools;

/// The job of the exporter, by which the series of a scrape are selected.
const JOB: &str = "node";
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest time until both have scraped.
const SCRAPED_WITHIN: Duration = Duration::from_secs(60);
/// Metrics with values that are the same at each scrape.
const TEXT: &str = r#"# HELP shop_orders Orders of the day.
# TYPE shop_orders counter
shop_orders{kind="a \"b\""} 12
# TYPE shop_orders_seen_total counter
shop_orders_seen_total 9.007199254740993e+15
# TYPE shop_temperature gauge
shop_temperature{unit="celsius"} -0.1
# TYPE shop_latency_seconds histogram
shop_latency_seconds_bucket{le="0.005"} 1
shop_latency_seconds_bucket{le="1"} 4
shop_latency_seconds_bucket{le="10"} 5
shop_latency_seconds_bucket{le="+Inf"} 7
shop_latency_seconds_sum 40.25
shop_latency_seconds_count 7
# TYPE shop_size_bytes summary
shop_size_bytes{quantile="0.5"} 10
shop_size_bytes{quantile="1"} 2e+06
shop_size_bytes_sum 12345.5
shop_size_bytes_count 17
shop_untyped{a="1"} 1.5
"#;

/// Starts a node exporter with a text of its own.
async fn node_exporter(pair: &Pair) -> Program {
    let program = tools::node_exporter().await;
    let folder = pair.stage.path("text");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(format!("{folder}/shop.prom"), TEXT).unwrap();
    let command = move |port| {
        let mut command = Command::new(&program);
        command
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--collector.textfile.directory={folder}"));
        command
    };
    Program::start(
        "node-exporter",
        pair.stage.folder.path(),
        "/metrics",
        command,
    )
    .await
}

/// Returns the scrape configuration of the exporter, indented by two spaces.
fn scrape_configs(exporter: &Program) -> String {
    let target = exporter.url.trim_start_matches("http://");
    let interval = INTERVAL.as_secs();
    format!(
        "scrape_configs:\n\
         \x20 - job_name: {JOB}\n\
         \x20   scrape_interval: {interval}s\n\
         \x20   scrape_timeout: {interval}s\n\
         \x20   static_configs: [{{ targets: ['{target}'] }}]\n"
    )
}

/// Starts the Collector of the page with a receiver that scrapes.
async fn collector(pair: &Pair, relay: &str, exporter: &Program) -> Program {
    let page = block(SENDERS, "OpenTelemetry Collector with OTLP", "yaml");
    let replaced = [
        ("http://localhost:9201", relay),
        ("    timeout: 5s\n", "    timeout: 200ms\n"),
        ("receivers: [otlp]", "receivers: [prometheus]"),
    ];
    let scrape_configs = scrape_configs(exporter).replace("\n", "\n        ");
    let own = format!(
        "receivers:\n{}\x20 prometheus:\n\x20   config:\n\x20     {scrape_configs}\n",
        otlp_receiver(free_port())
    );
    collector::start(&pair.stage, &adapted(&page, &replaced), &own, &[]).await
}

type Labels = BTreeMap<String, String>;

/// The newest value of each series, and its number of samples.
type Scraped = BTreeMap<Labels, (String, usize)>;

/// Returns what a server has of a selector.
fn scraped(api: &Api, selector: &str) -> Scraped {
    let form = Form {
        is_get: true,
        ..Form::default()
    };
    let response = api.call("query", &[("query", selector.to_owned())], &form);
    let text = String::from_utf8(response.body).unwrap();
    assert_eq!(response.status, 200, "{text}");
    let mut body: Value = serde_json::from_str(&text).unwrap();
    let result = body["data"]["result"].take();
    let one = |series: &Value| {
        let labels = serde_json::from_value(series["metric"].clone()).unwrap();
        let samples = series["values"].as_array();
        let samples = samples.map_or_else(Vec::new, |it| it.iter().collect());
        let newest = samples.last().map_or(&series["value"], |it| it);
        (
            labels,
            (newest[1].as_str().unwrap().to_owned(), samples.len()),
        )
    };
    result.as_array().unwrap().iter().map(one).collect()
}

/// Waits until a server has what is expected of a selector, and returns it.
async fn when(api: &Api, selector: &str, expected: impl Fn(&Scraped) -> bool) -> Scraped {
    let deadline = Instant::now() + SCRAPED_WITHIN;
    loop {
        let scraped = tokio::task::block_in_place(|| scraped(api, selector));
        if expected(&scraped) {
            return scraped;
        }
        assert!(Instant::now() < deadline, "{selector}: {scraped:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until a server has scraped several times, and returns the newest values.
async fn newest(api: &Api) -> BTreeMap<Labels, String> {
    let selector = format!("{{job=\"{JOB}\"}}[10m]");
    let scraped = when(api, &selector, |it| {
        it.values().any(|(_, samples)| *samples >= 4)
    });
    let newest = scraped.await.into_iter();
    newest.map(|(labels, (value, _))| (labels, value)).collect()
}

/// Returns the labels that a scraped series has after the Collector: bounds and quantiles are written as OTLP's receiver of
/// Prometheus does, and counters end in `_total`.
fn by_collector(mut labels: Labels) -> Labels {
    for name in ["le", "quantile"] {
        if let Some(number) = labels.get_mut(name)
            && let Some(whole) = number.strip_suffix(".0")
        {
            *number = whole.to_owned();
        }
    }
    let name = labels.get_mut("__name__").unwrap();
    if name == "shop_orders" {
        name.push_str("_total");
    }
    labels
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_scrapes_a_node_exporter() {
    let pair = Arc::new(Pair::start(&[]).await);
    let mut exporter = node_exporter(&pair).await;
    let relay = pair.relay().await;
    let scrape = scrape_configs(&exporter);
    let start = move || Prometheus::start_with("", &scrape, &[]);
    let scraping = tokio::task::spawn_blocking(start).await.unwrap();
    let _collector = collector(&pair, &relay, &exporter).await;
    let mut ours = newest(&pair.ours).await;
    let theirs = newest(&scraping.api).await.into_iter();
    let theirs: BTreeMap<_, _> = theirs
        .map(|(it, value)| (by_collector(it), value))
        .collect();
    let target_info = ours.keys().find(|it| it["__name__"] == "target_info");
    let target_info = target_info.cloned().unwrap();
    assert_eq!(target_info["url_scheme"], "http");
    assert_eq!(ours.remove(&target_info).as_deref(), Some("1"));

    assert!(ours.len() > 300, "{} series", ours.len());
    assert!(ours.keys().eq(theirs.keys()), "{ours:#?}\n{theirs:#?}");
    let constant = ["shop_", "node_uname_info", "node_exporter_build_info", "up"];
    let of_constants = |all: &BTreeMap<Labels, String>| {
        let mut of_constants = all.clone();
        of_constants.retain(|it, _| constant.iter().any(|name| it["__name__"].starts_with(name)));
        of_constants
    };
    let constants = of_constants(&ours);
    assert_eq!(constants.len(), 17, "{constants:#?}");
    assert_eq!(constants, of_constants(&theirs));

    // The series end with stale markers.
    exporter.kill().await;
    when(&pair.ours, "shop_temperature", Scraped::is_empty).await;
    let down = |it: &Scraped| it.values().any(|(value, _)| value == "0");
    when(&pair.ours, "up", down).await;
    tokio::task::block_in_place(|| pair.assert_equal());
}
