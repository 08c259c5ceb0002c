//! The generator of OpenTelemetry's Collector, through a relay that gives its requests to both servers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::pair::{Encoding, Pair};
use crate::tools::{self, Background};

/// The longest time that the generator may take.
const GENERATOR: Duration = Duration::from_secs(60);

/// Gives a request to both; returns their worse status.
async fn relay(State(pair): State<Arc<Pair>>, body: Bytes) -> StatusCode {
    let export = move || pair.export(Encoding::Protobuf, &body);
    let responses = tokio::task::spawn_blocking(export).await.unwrap();
    let statuses = responses.map(|it| StatusCode::from_u16(it.status).unwrap());
    statuses.into_iter().max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetrygen_exports_to_both() {
    let program = tools::go_tool("telemetrygen").await;
    let pair = Arc::new(Pair::start(&[]).await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().route("/v1/metrics", post(relay));
    let router = router.with_state(pair.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let kinds = ["Gauge", "Sum", "Histogram", "ExponentialHistogram"];
    for kind in kinds {
        let mut command = Command::new(&program);
        command
            .args(["metrics", "--otlp-http", "--otlp-insecure", "--metrics=10"])
            .args(["--rate=50", "--otlp-endpoint", &address])
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
