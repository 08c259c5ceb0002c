//! What an operator and a monitoring system look at: metrics, health, the start page.

use axum::extract::State;
use axum::response::{Html, IntoResponse};
use http::header::CONTENT_TYPE;

use super::App;
use crate::metrics;

pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, metrics::CONTENT_TYPE)],
        app.metrics.encode(),
    )
}

pub(super) async fn healthy() -> &'static str {
    "Timestream connector is Healthy.\n"
}

pub(super) async fn ready() -> &'static str {
    "Timestream connector is Ready.\n"
}

pub(super) async fn start(State(app): State<App>) -> Html<String> {
    let telemetry_path = &app.settings.telemetry_path;
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Timestream connector for Prometheus</title></head><body>\
         <h1>Timestream connector for Prometheus</h1>\
         <p>Version {}. Remote write: POST /write. Remote read: POST /read.</p>\
         <ul><li><a href=\"{telemetry_path}\">Metrics</a></li>\
         <li><a href=\"/-/healthy\">Health</a></li><li><a href=\"/-/ready\">Readiness</a></li></ul>\
         </body></html>\n",
        env!("CARGO_PKG_VERSION")
    ))
}
