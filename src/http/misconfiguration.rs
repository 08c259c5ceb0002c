//! The answers of a function whose configuration cannot be used.
//!
//! A process of Lambda that ends at start is started again for every request, and the caller learns
//! nothing. So it serves, and each answer says what is wrong.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::HttpError;
use super::settings::Misconfiguration;
use crate::http::fallback::Protocol;

/// Returns a router whose responses all name what is wrong.
pub fn error_router(all: Vec<Misconfiguration>) -> Router {
    Router::new().fallback(answer).with_state(Arc::new(all))
}

async fn answer(State(all): State<Arc<Vec<Misconfiguration>>>, request: Request) -> Response {
    let path = request.uri().path();
    let is_read = match path {
        "/read" => true,
        "/write" => false,
        _ => Protocol::of(request.headers()) == Some(Protocol::Read),
    };
    let error = HttpError::misconfiguration(&all, is_read);
    tracing::error!(
        error = error.text(),
        status = error.status().as_u16(),
        path,
        "Refused a request because the configuration cannot be used."
    );
    error.into_response()
}
