//! `make run`: emulator, connector, exporter and a real Prometheus.

use std::path::Path;

use serde_json::Value;

use crate::script::{Script, free_port};
use crate::support::program;

/// Returns true if PromQL finds anything.
async fn finds(port: u16, query: &str) -> bool {
    let url = format!("http://127.0.0.1:{port}/api/v1/query?query={query}");
    let Ok(response) = soak::http::get(url).await else {
        return false;
    };
    let response: Value =
        serde_json::from_str(&response.text().await.unwrap_or_default()).unwrap_or_default();
    let found = response["data"]["result"].as_array();
    found.is_some_and(|found| !found.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_finds_what_it_wrote_and_what_the_connector_scraped() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let data = directory.join("run");
    let _ = std::fs::remove_dir_all(&data);
    let names = ["EMULATOR", "CONNECTOR", "EXPORTER", "PROMETHEUS"];
    let ports = names.map(|_| free_port());
    let mut command = program("scripts/run.sh");
    command.env("RUN_DIR", &data);
    for (name, port) in names.iter().zip(ports) {
        command.env(format!("{name}_PORT"), port.to_string());
    }
    let mut run = Script::start(command, directory.join("run.log"));
    let [.., prometheus] = ports;
    // Prometheus does not scrape the exporter, so it has this from Timestream.
    run.until(async || finds(prometheus, "shop_orders_total").await)
        .await;
    run.until(async || finds(prometheus, "up%7Bjob=%22prometheus%22%7D").await)
        .await;
    run.stop_all(&ports);
}
