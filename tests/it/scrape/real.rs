//! The metrics of a real node exporter and a real Prometheus, scraped by a definition and by a Prometheus.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use soak::samples::Labels;
use timestream_prometheus_connector::jobs::job::Report;
use tokio::process::{Child, Command};

use super::{Scraper, Target, exposing};
use crate::prometheus::{Prometheus, free_port, program, wait_for};
use crate::support::now_ms;

/// Series that Prometheus adds and a definition does not.
const PROMETHEUS_ALONE: [&str; 2] = [
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Starts a node exporter that listens on the returned address while the process is held.
async fn node_exporter() -> (String, Child) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/node-exporter.sh");
    let mut command = Command::new("bash");
    let output = command.arg(script).stderr(Stdio::inherit()).output().await;
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "the node exporter is not available; see the lines above"
    );
    let program: PathBuf = String::from_utf8(output.stdout).unwrap().trim().into();
    let address = format!("127.0.0.1:{}", free_port());
    let process = start(&program, &address);
    wait_for(&format!("http://{address}/metrics")).await;
    (address, process)
}

fn start(program: &Path, address: &str) -> Child {
    Command::new(program)
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The values of each series, in the order of time.
type Series = BTreeMap<Labels, Vec<f64>>;

/// Returns the samples that Prometheus has scraped from a job since a time.
async fn scraped(prometheus: &Prometheus, job: &str, since_ms: i64) -> Series {
    let now = now_ms();
    let query = format!("{{job=\"{job}\"}}[{}ms]", (now - since_ms).max(1));
    let time = format!("{}.{:03}", now / 1_000, now % 1_000);
    let parameters = [("query", query.as_str()), ("time", time.as_str())];
    let response = prometheus.api("query", &parameters).await;
    let series = response["data"]["result"].as_array().unwrap().iter();
    let values = |series: &Value| -> Vec<f64> {
        let values = series["values"].as_array().unwrap().iter();
        let values = values.map(|pair| pair[1].as_str().unwrap().parse().unwrap());
        values.collect()
    };
    let labels = |series: &Value| -> Labels {
        let labels = series["metric"].as_object().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        labels
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    };
    series.map(|it| (labels(it), values(it))).collect()
}

/// Waits until Prometheus has scraped a job twice since a time.
async fn scraped_twice(prometheus: &Prometheus, job: &str, since_ms: i64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let series = scraped(prometheus, job, since_ms).await;
        let up = series.iter().find(|(labels, _)| labels["__name__"] == "up");
        if up.is_some_and(|(_, values)| values.len() >= 2) {
            return;
        }
        assert!(Instant::now() < deadline, "{job} is not scraped");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Scrapes `address` between scrapes of a Prometheus, and compares the results; all values, if they are `frozen`.
async fn compare(
    prometheus: &Prometheus,
    scraper: &Scraper,
    address: &str,
    job: &str,
    frozen: bool,
) -> Report {
    // The first scrapes of a target change its own metrics.
    scraped_twice(prometheus, job, now_ms()).await;
    let began = now_ms();
    scraped_twice(prometheus, job, began).await;
    let time_ms = now_ms();
    let config = json!({"endpoint": format!("http://{address}/metrics"), "job": job});
    let report = scraper.tick_at(config, time_ms).await;
    scraped_twice(prometheus, job, now_ms()).await;

    let of_prometheus = scraped(prometheus, job, began).await;
    let stored = scraper.stored().0;
    let of_definition: BTreeMap<&Labels, f64> = stored
        .iter()
        .filter(|(labels, _)| labels.get("job").map(String::as_str) == Some(job))
        .map(|(labels, values)| (labels, f64::from_bits(values[&time_ms])))
        .collect();

    // Every series that was there all the time, and none that never was.
    let scrapes = of_prometheus.values().map(Vec::len).max().unwrap();
    let expected: BTreeMap<&Labels, &Vec<f64>> = of_prometheus
        .iter()
        .filter(|(labels, _)| !PROMETHEUS_ALONE.contains(&labels["__name__"].as_str()))
        .filter(|(_, values)| values.len() == scrapes && values.iter().all(|it| it.is_finite()))
        .collect();
    let missing = expected
        .keys()
        .filter(|it| !of_definition.contains_key(**it));
    assert_eq!(missing.collect::<Vec<_>>(), [] as [&&Labels; 0]);
    let unknown = of_definition
        .keys()
        .filter(|it| !of_prometheus.contains_key(**it));
    assert_eq!(unknown.collect::<Vec<_>>(), [] as [&&Labels; 0]);

    // A value that only grows lies between earlier and later ones; a gauge may move and come back.
    let mut compared = 0;
    for (labels, values) in expected {
        let name = &labels["__name__"];
        let grows = ["_total", "_count", "_bucket"]
            .iter()
            .any(|it| name.ends_with(it));
        if (frozen && name != "scrape_duration_seconds") || grows {
            let (value, first, last) = (of_definition[labels], values[0], values[scrapes - 1]);
            assert!(
                (first..=last).contains(&value),
                "{labels:?}: {first} {value} {last}"
            );
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared} of {}", of_definition.len());
    report
}

/// Starts a target that always exposes the present metrics of another, in the format that scrapers prefer.
async fn frozen(address: &str) -> Target {
    let request = soak::http::client().get(format!("http://{address}/metrics"));
    let format = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain;q=0.5";
    let response = request.header("accept", format).send().await.unwrap();
    let content_type = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = response.bytes().await.unwrap();
    exposing(&format!("content-type: {content_type}\r\n"), &body).await
}

#[tokio::test]
async fn a_definition_stores_the_same_as_a_prometheus() {
    let (node, _exporter) = node_exporter().await;
    let program = program("prometheus").await;
    let exposes_itself =
        Prometheus::start_with(&program, &[], |_| String::new(), async |_| {}).await;
    let of_itself = exposes_itself.url.strip_prefix("http://").unwrap();
    let frozen = [frozen(&node).await, frozen(of_itself).await];
    let targets = [
        ("node", node.as_str(), false),
        ("prometheus", of_itself, false),
        ("frozen-node", &frozen[0].address, true),
        ("frozen-prometheus", &frozen[1].address, true),
    ];
    let config = |_| {
        let mut config =
            "global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n".to_owned();
        for (job, address, _) in targets {
            let target = format!("static_configs: [{{ targets: ['{address}'] }}]");
            config += &format!("- {{ job_name: {job}, {target} }}\n");
        }
        config
    };
    let prometheus = Prometheus::start_with(&program, &[], config, async |_| {}).await;
    let scraper = Scraper::start(&[]).await;
    for (job, address, is_frozen) in targets {
        let report = compare(&prometheus, &scraper, address, job, is_frozen).await;
        assert_eq!(report.error, None, "{job}");
        let count = report.received;
        assert!(
            count > 200 && report.warnings.is_empty(),
            "{job}: {report:?}"
        );
    }
}
