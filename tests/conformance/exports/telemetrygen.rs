//! The generator of OpenTelemetry's Collector, through a relay that gives its requests to both servers.

use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use super::pair::Pair;
use crate::tools::{self, Background};

/// The longest time that the generator may take.
const GENERATOR: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn telemetrygen_exports_to_both() {
    let program = tools::go_tool("telemetrygen").await;
    let pair = Arc::new(Pair::start(&[]).await);
    let relay = pair.relay().await;
    let address = relay.trim_start_matches("http://");
    let kinds = ["Gauge", "Sum", "Histogram", "ExponentialHistogram"];
    for kind in kinds {
        let mut command = Command::new(&program);
        command
            .args(["metrics", "--otlp-http", "--otlp-insecure", "--metrics=10"])
            .args(["--rate=50", "--otlp-endpoint", address])
            .args(["--metric-type", kind, "--otlp-metric-name", kind]);
        let log = pair.stage.path(&format!("{kind}.log"));
        let (status, log) = Background::start(command, log.into())
            .ended(GENERATOR)
            .await;
        assert!(status.success(), "{kind}: {log}");
    }
    let (series, _) = tokio::task::block_in_place(|| pair.assert_equal());
    for kind in kinds {
        let name = format!(r#""__name__":"{kind}"#);
        assert!(
            series.iter().any(|it| it.contains(&name)),
            "{kind}: {series:#?}"
        );
    }
}
