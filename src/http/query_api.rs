//! Prometheus' HTTP API for queries, `/api/v1/...`: PromQL over Timestream.
//!
//! `parameters` reads requests, `query` evaluates expressions, `json` writes results, `envelope` errors, `body` encodes
//! responses, `record` counts and logs requests. Responses have the bytes of Prometheus 3.15 where they hold neither
//! versions nor timings.

mod body;
mod endpoint;
mod envelope;
mod expressions;
mod json;
mod parameters;
mod query;
mod record;
mod statistics;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::App;

/// Returns the routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/query", get_or_post(query::instant))
        .route("/api/v1/query_range", get_or_post(query::range))
        .route("/api/v1/format_query", get_or_post(expressions::format))
}

/// The prefix of the paths of all routes.
const ROUTES: &str = "/api/v1/";

/// Returns true if a path is one of these routes, or could become one.
pub(super) fn owns(path: &str) -> bool {
    path.starts_with(ROUTES)
}

/// Returns the routes of an endpoint whose parameters may be in the URL or in a form.
fn get_or_post<H, T>(handler: H) -> MethodRouter<App>
where
    H: Handler<T, App>,
    T: 'static,
{
    on(MethodFilter::GET.or(MethodFilter::POST), handler)
}
