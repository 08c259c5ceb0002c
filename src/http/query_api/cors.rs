//! Pages of other origins: preflight requests, and the headers by which a browser lets a page have a response.
//!
//! Without the option `web_cors_origin` no page of another origin may have any, and [`guard`](crate::http::guard)
//! rejects its requests. With it, the pages of matching origins may use the query API, and nothing else.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::http::App;
use crate::http::settings::CorsOrigin;

/// Serves a request of the API with these headers. Preflight requests have no credentials, so they are responded to
/// here, outside of the check for them.
pub(in crate::http) async fn add_headers(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if !super::owns(path) {
        return next.run(request).await;
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let allowed = app.settings.cors_origin.clone();
    let allowed = allowed.filter(|_| super::is_query(path));
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let (Some(origin), Some(allowed)) = (origin, allowed) {
        add_cors(headers, origin, &allowed);
    }
    response
}

fn add_cors(headers: &mut HeaderMap, origin: HeaderValue, allowed: &CorsOrigin) {
    for (name, value) in [
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Authorization, Content-Type, Origin",
        ),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if allowed.is_any() {
        let any = HeaderValue::from_static("*");
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    } else if origin.to_str().is_ok_and(|origin| allowed.matches(origin)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}
