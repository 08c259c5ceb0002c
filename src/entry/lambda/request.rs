//! Converts an invocation to a request for the router.

use std::time::{Duration, SystemTime};

use http::Uri;
use http::uri::PathAndQuery;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Context, Request, RequestExt};
use tokio::time::Instant;

use crate::http::InvocationLimits;

/// The part of an invocation's time that is reserved for sending the response; after the deadline Lambda ends the
/// process, and the caller gets no reason.
const MARGIN: Duration = Duration::from_millis(500);

/// Earlier deadlines, before 9 September 2001, are durations: `cargo lambda watch` gives the duration of an
/// invocation (600,000 ms), Lambda the time of its end.
const EARLIEST: Duration = Duration::from_secs(1_000_000_000);

/// Returns the time by which the work for an invocation must be done.
pub(super) fn deadline(context: &Context) -> Instant {
    let given = Duration::from_millis(context.deadline);
    let left = if given < EARLIEST {
        given
    } else {
        let left = context.deadline().duration_since(SystemTime::now());
        left.unwrap_or_default()
    };
    Instant::now() + left.saturating_sub(MARGIN)
}

/// Returns the request as a socket would receive it, with the limits of the invocation.
pub(super) fn to_router(
    request: Request,
    deadline: Instant,
    max_response_bytes: usize,
) -> axum::extract::Request {
    let path_and_query = path_and_query(&request);
    let is_authorized = is_authorized(&request);
    let (mut parts, body) = request.into_parts();
    parts.uri = Uri::from(path_and_query);
    parts.extensions.insert(InvocationLimits {
        deadline,
        max_response_bytes,
        is_authorized,
    });
    let body = match body {
        Body::Text(text) => axum::body::Body::from(text),
        Body::Binary(bytes) => axum::body::Body::from(bytes),
        _ => axum::body::Body::empty(),
    };
    axum::extract::Request::from_parts(parts, body)
}

/// Returns true if a gateway, or Lambda itself in front of a function URL, has verified the caller's signature.
fn is_authorized(request: &Request) -> bool {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => {
            let authorizer = context.authorizer.as_ref();
            authorizer.is_some_and(|authorizer| authorizer.iam.is_some())
        }
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.user_arn.is_some(),
        _ => false,
    }
}

/// Returns the path for the router: without the stage, which `lambda_http` prefixes to each path if the gateway has
/// not done so.
fn path_and_query(request: &Request) -> PathAndQuery {
    let uri = request.uri();
    let stage = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.stage.as_deref(),
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        _ => None,
    };
    let path = without_stage(uri.path(), stage);
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    text.parse()
        .expect("a part of a URI that begins with a slash is one")
}

fn without_stage<'p>(path: &'p str, stage: Option<&str>) -> &'p str {
    let rest = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    rest.filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages() {
        let cases = [
            ("/write", None, "/write"),
            ("/write", Some("$default"), "/write"),
            ("/dev/write", Some("dev"), "/write"),
            ("/dev/", Some("dev"), "/"),
            ("/write/write", Some("write"), "/write"),
            ("/write", Some("write"), "/write"),
            ("/development/write", Some("dev"), "/development/write"),
            ("/other/write", Some("dev"), "/other/write"),
            ("/", Some("dev"), "/"),
        ];
        for (path, stage, expected) in cases {
            assert_eq!(without_stage(path, stage), expected, "{path} {stage:?}");
        }
    }

    #[test]
    fn a_deadline_in_the_past_is_now() {
        let mut context = Context::default();
        assert!(deadline(&context) <= Instant::now());
        context.deadline = 1_600_000_000_000;
        assert!(deadline(&context) <= Instant::now());
    }

    #[test]
    fn a_deadline_of_cargo_lambda_is_a_span() {
        let mut context = Context::default();
        context.deadline = 600_000;
        let left = deadline(&context) - Instant::now();
        assert!(left > Duration::from_secs(590) && left < Duration::from_secs(600));
    }
}
