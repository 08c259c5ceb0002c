//! Two Prometheus servers with the configuration of `docs/ha.md`, of which the elected one is killed.

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use soak::programs::{POLL, Program};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::page::{HA, adapted, block};
use crate::stage::{Stage, TOKEN};
use crate::tools;

/// The interval at which both scrape.
const INTERVAL: Duration = Duration::from_secs(5);
const SERIES: usize = 100;
const METRIC: &str = "pair_value";

/// Serves a target that is always the same; returns its address.
async fn target() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let series = (0..SERIES).map(|it| format!("{METRIC}{{series=\"{it}\"}} {it}\n"));
    let text: String = series.collect();
    let router = Router::new().route("/metrics", get(move || async move { text }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Starts a server that scrapes `target` and sends to both connectors.
async fn prometheus(
    name: &'static str,
    target: &str,
    message: &str,
    connectors: [&Stage; 2],
) -> Program {
    let program = tools::prometheus("prometheus").await;
    let [first, second] = connectors;
    let token = first.path("connector.token");
    let page = block(HA, "A pair of Prometheus servers", "yaml");
    let deadline = "    queue_config:\n      batch_send_deadline: 500ms\n";
    let replaced = [
        ("prometheus-1", name),
        ("http://localhost:9201", first.connector.url.as_str()),
        ("/etc/prometheus/connector.token", &token),
        ("    queue_config:\n", deadline),
        (
            "global:\n",
            "global:\n  scrape_interval: 5s\n  scrape_timeout: 4s\n",
        ),
        (
            "/write\n",
            &format!("/write\n    protobuf_message: {message}\n"),
        ),
    ];
    let config = adapted(&page, &replaced);
    let (_, queue) = config.split_once("remote_write:\n").unwrap();
    let queue = queue.replace(&first.connector.url, &second.connector.url);
    let config = format!(
        "{config}{queue}scrape_configs:\n- job_name: pair\n  static_configs: [{{ targets: ['{target}'] }}]\n"
    );
    let file = first.path(&format!("{name}.yml"));
    std::fs::write(&file, config).unwrap();
    let data = first.path(&format!("{name}-data"));
    let command = move |port| {
        let mut command = Command::new(&program);
        command
            .arg(format!("--storage.tsdb.path={data}"))
            .arg(format!("--config.file={file}"))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command
    };
    Program::start(name, first.folder.path(), "/-/ready", command).await
}

/// Returns the sum of the samples with this beginning.
async fn metric(url: &str, beginning: &str) -> f64 {
    let request = soak::http::client().get(format!("{url}/metrics"));
    let response = request.bearer_auth(TOKEN).send().await.unwrap();
    let text = response.error_for_status().unwrap().text().await.unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter(|it| it.starts_with(beginning))
        .collect();
    assert!(!lines.is_empty(), "no {beginning} in\n{text}");
    let values = lines.iter().map(|it| it.rsplit_once(' ').unwrap().1);
    values.map(|it| it.parse::<f64>().unwrap()).sum()
}

/// Returns the milliseconds of the samples of one series.
fn times(stage: &Stage) -> Vec<i64> {
    let points = stage.points(METRIC).into_iter();
    let mut times: Vec<i64> = points
        .filter(|it| it.dimensions["series"] == "7")
        .inspect(|it| {
            assert_eq!(it.dimensions["cluster"], "production", "{it:?}");
            let names: Vec<_> = it.dimensions.keys().collect();
            assert_eq!(names, ["cluster", "instance", "job", "series"]);
        })
        .map(|it| it.time_ms)
        .collect();
    times.sort_unstable();
    times
}

/// Waits until that many samples of one series are stored.
async fn until_stored(stage: &Stage, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while times(stage).len() < count {
        assert!(Instant::now() < deadline, "{}", stage.log());
        tokio::time::sleep(POLL).await;
    }
}

async fn one_copy_of_a_pair(message: &'static str) {
    let flags = ["--ha-tracking=true", "--ha-update=1s", "--ha-failover=8s"];
    let stage = Stage::start(vec![], &flags).await;
    let both = Stage::start(vec![], &[]).await;
    let target = target().await;
    let connectors = [&stage, &both];
    let one = prometheus("prometheus-1", &target, message, connectors).await;
    let two = prometheus("prometheus-2", &target, message, connectors).await;
    until_stored(&stage, 5).await;

    let units = "timestream_connector_write_units_total";
    let paid = metric(&stage.connector.url, units).await;
    let without = metric(&both.connector.url, units).await;
    assert!(
        (0.35..=0.6).contains(&(paid / without)),
        "{paid} of {without}"
    );
    let elected = "timestream_connector_ha_elected_replica{cluster=\"production\",replica=";
    let is_one = {
        let one = format!("{elected}\"prometheus-1\"");
        let two = format!("{elected}\"prometheus-2\"");
        let text = soak::http::client()
            .get(format!("{}/metrics", stage.connector.url))
            .bearer_auth(TOKEN);
        let text = text.send().await.unwrap().text().await.unwrap();
        assert_ne!(text.contains(&one), text.contains(&two), "{text}");
        text.contains(&one)
    };
    let (mut winner, loser) = if is_one { (one, two) } else { (two, one) };
    let before = times(&stage);
    let regular = before.windows(2).map(|it| it[1] - it[0]).max().unwrap();
    let interval = i64::try_from(INTERVAL.as_millis()).unwrap();
    assert!(regular < interval * 3 / 2, "{before:?}");
    winner.kill().await;
    until_stored(&stage, before.len() + 4).await;

    let after = times(&stage);
    let gap = after.windows(2).map(|it| it[1] - it[0]).max().unwrap();
    // Two scrapes are missing where the times are three intervals apart.
    assert!(
        gap > interval && gap < interval * 7 / 2,
        "{gap} in {after:?}"
    );
    let failed = "prometheus_remote_storage_samples_failed_total{";
    assert_eq!(metric(&loser.url, failed).await, 0.0);
    let elections = "timestream_connector_ha_elections_total{";
    assert_eq!(metric(&stage.connector.url, elections).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_copy_of_a_pair_is_stored_in_1_0() {
    one_copy_of_a_pair("prometheus.WriteRequest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_copy_of_a_pair_is_stored_in_2_0() {
    one_copy_of_a_pair("io.prometheus.write.v2.Request").await;
}
