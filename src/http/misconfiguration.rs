//! The responses of a function whose configuration cannot be used.
//!
//! Lambda starts a process that ends at start again for every request, and the caller gets no reason. So it serves,
//! and each response names the errors.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::HttpError;
use super::settings::Misconfiguration;
use crate::http::fallback::Protocol;
use crate::http::{otlp, query_api};

/// Returns a router whose responses all name the errors of the configuration.
pub fn error_router(all: Vec<Misconfiguration>) -> Router {
    Router::new().fallback(respond).with_state(Arc::new(all))
}

async fn respond(State(all): State<Arc<Vec<Misconfiguration>>>, request: Request) -> Response {
    let path = request.uri().path();
    let protocol = match path {
        "/read" | query_api::READ => Some(Protocol::Read),
        "/write" | query_api::WRITE | otlp::METRICS | query_api::OTLP => Some(Protocol::Write),
        _ => Protocol::of(request.headers()),
    };
    let is_query = protocol.is_none() && query_api::owns(path);
    let is_read = is_query || protocol == Some(Protocol::Read);
    let error = HttpError::misconfiguration(&all, is_read);
    tracing::error!(
        error = error.text(),
        status = error.status().as_u16(),
        path,
        "Rejected a request because the configuration cannot be used."
    );
    match is_query {
        true => query_api::rejection(error),
        false => error.into_response(),
    }
}
