//! Authentication, as a layer around the routes: a request is read only once its credential is valid. Also
//! the configured headers of all responses.

use std::fmt;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};

use super::{App, HttpError};
use crate::http::jobs;
use crate::web_config::{Origin, QueueFull, WebConfigSnapshot};

/// The challenge in the response to an invalid credential, if users exist.
const BASIC: HeaderValue =
    HeaderValue::from_static("Basic realm=\"timestream-connector\", charset=\"UTF-8\"");
/// The challenge if a token exists.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"timestream-connector\"");

/// The credential of a request.
#[derive(PartialEq, Eq)]
enum Credential {
    /// User and password.
    Basic(String, Vec<u8>),
    Bearer(Vec<u8>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic(user, _) => f.debug_tuple("Basic").field(user).finish_non_exhaustive(),
            Self::Bearer(_) => f.write_str("Bearer"),
        }
    }
}

/// The reason why a request has no credential that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoCredential {
    Missing,
    Several,
    Unreadable,
}

/// Serves the request if it has the right credential, or if none is configured.
pub(super) async fn require(State(app): State<App>, request: Request, next: Next) -> Response {
    let web = app.web.current();
    if !web.has_credentials() {
        return next.run(request).await;
    }
    // Read before the request moves on, so that no borrow of it is held over the wait.
    let credential = credential(request.headers());
    let origin = request.extensions().get().copied().unwrap_or_default();
    let reason = match &credential {
        Ok(credential) => match is_valid(&app, &web, credential, origin).await {
            Ok(true) => return next.run(request).await,
            Ok(false) if matches!(credential, Credential::Basic(..)) => "user or password is wrong",
            Ok(false) => "the bearer token is wrong",
            Err(QueueFull) => {
                return jobs::rejection(request.uri().path(), HttpError::authentication_busy());
            }
        },
        Err(NoCredential::Missing) => "the request has no Authorization header",
        Err(NoCredential::Several) => "the request has several Authorization headers",
        Err(NoCredential::Unreadable) => "the Authorization header is neither Basic nor Bearer",
    };
    reject(&app, &web, reason, request.uri().path())
}

/// Adds the configured headers to the response. As the outermost layer it checks once per request for a changed
/// web configuration.
pub(super) async fn add_headers(State(app): State<App>, request: Request, next: Next) -> Response {
    let web = app.web.refreshed();
    let mut response = next.run(request).await;
    for (name, value) in &web.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

async fn is_valid(
    app: &App,
    web: &WebConfigSnapshot,
    credential: &Credential,
    origin: Origin,
) -> Result<bool, QueueFull> {
    match credential {
        Credential::Basic(user, password) => {
            let checked = app.verifier.is_user(&web.users, user, password, origin);
            checked.await
        }
        Credential::Bearer(presented) => Ok(web
            .token
            .as_ref()
            .is_some_and(|token| app.verifier.is_token(token, presented))),
    }
}

fn reject(app: &App, web: &WebConfigSnapshot, reason: &str, path: &str) -> Response {
    let users = !web.users.is_empty();
    let token = web.token.is_some();
    let is_api = jobs::owns(path);
    let remedy = match (users, token) {
        (true, false) if is_api => "send user and password in the header Authorization, as Basic",
        (false, true) if is_api => "send the token in the header Authorization, as Bearer",
        _ if is_api => {
            "send user and password as Basic, or the token as Bearer, in the header Authorization"
        }
        (true, false) => "set basic_auth in remote_write and remote_read of Prometheus",
        (false, true) => {
            "set authorization with the token as credentials in remote_write and remote_read of \
             Prometheus"
        }
        (true, true) | (false, false) => {
            "set basic_auth, or authorization with the token as credentials, in remote_write and \
             remote_read of Prometheus"
        }
    };
    let error = HttpError::unauthenticated(reason, remedy);
    let numbers = app.metrics.add_rejected_credential();
    // Strangers can send as many as they like.
    if let Some(suppressed) = app.rejected_credentials.admit(Instant::now()) {
        tracing::warn!(
            error = reason,
            status = error.status().as_u16(),
            path,
            suppressed,
            "Rejected a request without a valid credential."
        );
    }
    let mut response = jobs::rejection(path, error);
    response.extensions_mut().insert(numbers);
    let challenges = [(users, BASIC), (token, BEARER)];
    for (_, challenge) in challenges.into_iter().filter(|(offered, _)| *offered) {
        response.headers_mut().append(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Reads `Basic <base64 of user:password>` (RFC 7617) or `Bearer <token>` (RFC 6750).
fn credential(headers: &HeaderMap) -> Result<Credential, NoCredential> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(NoCredential::Missing)?;
    if values.next().is_some() {
        return Err(NoCredential::Several);
    }
    parse(value).ok_or(NoCredential::Unreadable)
}

fn parse(value: &HeaderValue) -> Option<Credential> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Some(Credential::Bearer(rest.as_bytes().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest).ok()?;
    // A password may have colons, and bytes that are not UTF-8.
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = std::str::from_utf8(&decoded[..colon]).ok()?;
    Some(Credential::Basic(
        user.to_owned(),
        decoded[colon + 1..].to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials() {
        let basic = |user: &str, password: &str| {
            Ok(Credential::Basic(
                user.to_owned(),
                password.as_bytes().to_owned(),
            ))
        };
        let bearer = |token: &str| Ok(Credential::Bearer(token.as_bytes().to_owned()));
        let cases: [(&[&str], Result<Credential, NoCredential>); 13] = [
            (&[], Err(NoCredential::Missing)),
            // The example of RFC 7617.
            (
                &["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
                basic("Aladdin", "open sesame"),
            ),
            (
                &["bASIC  QWxhZGRpbjpvcGVuIHNlc2FtZQ== "],
                basic("Aladdin", "open sesame"),
            ),
            (&["Basic YTpiOmM="], basic("a", "b:c")),
            (&["Basic Og=="], basic("", "")),
            (&["Basic"], Err(NoCredential::Unreadable)),
            (&["Basic YQ=="], Err(NoCredential::Unreadable)),
            (&["Basic !"], Err(NoCredential::Unreadable)),
            (&["Bearer t0ken"], bearer("t0ken")),
            (&["bearer t0ken"], bearer("t0ken")),
            (&["Bearer "], bearer("")),
            (&["Digest x"], Err(NoCredential::Unreadable)),
            (&["Bearer a", "Bearer b"], Err(NoCredential::Several)),
        ];
        for (values, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(credential(&headers), expected, "{values:?}");
        }
    }
}
