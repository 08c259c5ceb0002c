//! An OpenTelemetry Collector with a configuration of the documents and a second file for its ports.

use soak::programs::Program;
use tokio::process::Command;

use crate::stage::{Stage, TOKEN};
use crate::tools;

/// Starts a Collector with a configuration and `own`, which is merged into it, beside a port for its own metrics.
pub(crate) async fn start(
    stage: &Stage,
    configuration: &str,
    own: &str,
    flags: &'static [&str],
) -> Program {
    let program = tools::go_tool("collector").await;
    let [main_file, own_file] = ["collector.yml", "collector-own.yml"].map(|name| stage.path(name));
    std::fs::write(&main_file, configuration).unwrap();
    let own = own.to_owned();
    let command = move |port: u16| {
        let telemetry = format!(
            "service:\n\
             \x20 telemetry:\n\
             \x20   metrics:\n\
             \x20     readers: [{{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {port} }} }} }} }}]\n"
        );
        std::fs::write(&own_file, format!("{telemetry}{own}")).unwrap();
        let mut command = Command::new(&program);
        command
            .env("CONNECTOR_TOKEN", TOKEN)
            .arg(format!("--config={main_file}"))
            .arg(format!("--config={own_file}"))
            .args(flags);
        command
    };
    Program::start("collector", stage.folder.path(), "/metrics", command).await
}

/// Returns the receiver of OTLP at a port, at the margin.
pub(crate) fn otlp_receiver(port: u16) -> String {
    format!("  otlp: {{ protocols: {{ http: {{ endpoint: '127.0.0.1:{port}' }} }} }}\n")
}
