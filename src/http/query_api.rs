//! Prometheus' HTTP API for queries, `/api/v1/...`: PromQL over Timestream.
//!
//! `parameters` reads requests, `query` evaluates expressions, `json` writes results, `envelope` errors, `body` encodes
//! responses, `record` counts and logs requests. Responses have the bytes of Prometheus 3.15 where they hold neither
//! versions nor timings.

mod body;
mod cors;
mod discovery;
mod encoding;
mod endpoint;
mod envelope;
mod expressions;
mod json;
mod metadata;
mod parameters;
mod query;
mod record;
mod statistics;
mod status;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on, post};
use http::header::ALLOW;
use http::{Method, StatusCode};

use self::encoding::Encoding;
use self::envelope::ApiError;
use super::fallback::{self, Protocol};
use super::{App, HttpError};
pub(super) use cors::add_headers as add_cors_headers;

/// Returns the routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/query", get_or_post(query::instant))
        .route("/api/v1/query_range", get_or_post(query::range))
        .route("/api/v1/query_exemplars", get_or_post(metadata::exemplars))
        .route("/api/v1/format_query", get_or_post(expressions::format))
        .route("/api/v1/parse_query", get_or_post(expressions::parse))
        .route("/api/v1/series", get_or_post(discovery::series))
        .route("/api/v1/labels", get_or_post(discovery::names))
        .route("/api/v1/label/{name}/values", get_only(discovery::values))
        .route("/api/v1/metadata", get_only(metadata::metadata))
        .route("/api/v1/status/buildinfo", get_only(status::buildinfo))
        .route("/api/v1/status/flags", get_only(status::flags))
        .route("/api/v1/status/config", get_only(status::config))
        .route("/api/v1/status/walreplay", get_only(status::walreplay))
        .route("/api/v1/features", get_only(status::features))
        .route("/api/v1/rules", get_only(status::rules))
        .route("/api/v1/alerts", get_only(status::alerts))
        .route("/api/v1/alertmanagers", get_only(status::alertmanagers))
        .route("/api/v1/targets", get_only(status::targets))
        .route(
            "/api/v1/targets/metadata",
            get_only(status::targets_metadata),
        )
        .route("/api/v1/scrape_pools", get_only(status::scrape_pools))
}

/// The prefix of the paths of all routes.
const ROUTES: &str = "/api/v1/";

/// Returns true if a path is one of these routes, or could become one.
pub(super) fn owns(path: &str) -> bool {
    path.starts_with(ROUTES)
}

/// Returns true if a path is one of these routes, or could become one, but not one by which samples are written, or remote read.
pub(super) fn is_query(path: &str) -> bool {
    owns(path) && ![WRITE, READ, OTLP].contains(&path)
}

/// The path of remote write in Prometheus.
pub(super) const WRITE: &str = "/api/v1/write";
/// The path of remote read in Prometheus.
pub(super) const READ: &str = "/api/v1/read";
/// The path of OTLP metrics in Prometheus.
pub(super) const OTLP: &str = "/api/v1/otlp/v1/metrics";
/// All paths that are none of these routes.
pub(super) const OTHERS: &str = "/api/v1/{*path}";

/// Serves a request to a path that no endpoint has.
pub(super) async fn serve_other(State(app): State<App>, request: Request) -> Response {
    // Senders may be configured with any path.
    match Protocol::of(request.headers()) {
        Some(_) if request.method() == Method::POST => fallback::serve(State(app), request).await,
        _ => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    }
}

/// Returns the routes of an endpoint of one method, with Prometheus' response to others.
pub(super) fn post_only<H, T>(handler: H) -> MethodRouter<App>
where
    H: Handler<T, App>,
    T: 'static,
{
    post(handler).fallback(async || not_allowed("OPTIONS, POST"))
}

fn get_only<H, T>(handler: H) -> MethodRouter<App>
where
    H: Handler<T, App>,
    T: 'static,
{
    get(handler).fallback(async || not_allowed("GET, OPTIONS"))
}

fn not_allowed(allowed: &'static str) -> Response {
    let headers = [(ALLOW, allowed)];
    (
        StatusCode::METHOD_NOT_ALLOWED,
        headers,
        "Method Not Allowed\n",
    )
        .into_response()
}

/// Returns the response to a request that is rejected before it reaches a route.
pub(super) fn rejection(error: HttpError) -> Response {
    ApiError::from(error).into_response(Encoding::Identity)
}

/// Returns the routes of an endpoint whose parameters may be in the URL or in a form.
fn get_or_post<H, T>(handler: H) -> MethodRouter<App>
where
    H: Handler<T, App>,
    T: 'static,
{
    let methods = MethodFilter::GET.or(MethodFilter::POST);
    on(methods, handler).fallback(async || not_allowed("GET, OPTIONS, POST"))
}
