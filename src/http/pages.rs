//! Pages for operators and monitoring systems: metrics, health, the start page, the query page.

mod html;
mod job_list;
mod query;
mod start;

use std::time::Duration;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use super::App;
use super::invocation_limits::OptionalLimits;
use super::jobs;
use super::readiness::Readiness;
use crate::metrics::{Format, REVISION, VERSION};
pub(super) use job_list::JobList;
use query::QUERY_PAGE;
pub use start::{JobLine, JobState, Jobs, StartView, start_page};

/// The time that a probe waits for the first result: less than a kubelet waits for a response.
const READINESS_PATIENCE: Duration = Duration::from_millis(800);

pub(super) async fn metrics(State(app): State<App>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::for_accept(accept.unwrap_or_default());
    (
        [(CONTENT_TYPE, format.content_type())],
        app.metrics.encode(format),
    )
}

pub(super) async fn healthy() -> &'static str {
    "Timestream connector is Healthy.\n"
}

pub(super) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    match app.readiness.after(READINESS_PATIENCE).await {
        Readiness::Ready => (StatusCode::OK, "Timestream connector is Ready.\n"),
        Readiness::Pending => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Timestream connector is not ready: the AWS credentials are still being loaded.\n",
        ),
        Readiness::NoCredentials => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Timestream connector is not ready: no AWS credentials can be loaded; its log and bootstrap doctor \
             have the reason and the remedy.\n",
        ),
    }
}

pub(super) async fn start(State(app): State<App>, limits: OptionalLimits) -> Response {
    let now = Timestamp::now();
    let jobs = match &app.jobs {
        None => Jobs::Off,
        Some(_) if !jobs::are_shown(&app, &limits) => Jobs::Hidden,
        Some(jobs) => app.job_list.get(&jobs.runner.registry, now).await,
    };
    start_page(&StartView {
        now,
        version: VERSION,
        revision: REVISION,
        region: &app.settings.region,
        routing: app.ingester.routing(),
        telemetry_path: &app.settings.telemetry_path,
        live: &app.metrics.live(),
        errors: &app.recent_errors.all(),
        jobs: &jobs,
    })
}

pub(super) async fn query() -> impl IntoResponse {
    let headers = [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, QUERY_PAGE.policy.as_str()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(QUERY_PAGE.html.as_str()))
}
