//! Requests to other paths, which are served by the header that names their protocol.
//!
//! The Go connector looked at headers only, so its users may send to any path; and a gateway may prefix ours.

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};

use super::invocation_limits::InvocationLimits;
use super::recent_errors::Source;
use super::{App, HttpError, error};
use crate::http::{remote_read, remote_write};

/// The header of every remote write request of Prometheus.
const WRITE_VERSION: &str = "x-prometheus-remote-write-version";
/// The header of every remote read request of Prometheus.
const READ_VERSION: &str = "x-prometheus-remote-read-version";

/// The protocol of a request, by its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Write,
    Read,
}

impl Protocol {
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(WRITE_VERSION) {
            Some(Self::Write)
        } else if headers.contains_key(READ_VERSION) {
            Some(Self::Read)
        } else {
            None
        }
    }
}

/// Serves a request to an unknown path.
pub(super) async fn serve(State(app): State<App>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return error::not_found(&parts.uri).into_response();
    }
    let limits = parts.extensions.remove::<InvocationLimits>().map(Extension);
    match Protocol::of(&parts.headers) {
        Some(Protocol::Write) => remote_write::write(State(app), limits, parts.headers, body).await,
        Some(Protocol::Read) => {
            remote_read::read(State(app), parts.version, limits, parts.headers, body).await
        }
        None => {
            let path = parts.uri.path();
            let error = HttpError::missing_header(path, READ_VERSION, WRITE_VERSION);
            app.recent_errors.add(Source::Other, &error);
            error.into_response()
        }
    }
}
