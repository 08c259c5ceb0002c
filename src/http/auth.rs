//! Authentication, as a layer around the routes: a request is read only once its credential is valid. Also
//! the configured headers of all responses.

use std::fmt;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::reason::Reason;
use super::recent_errors::Source;
use super::{App, HttpError};
use crate::http::fallback::Protocol;
use crate::http::jobs;
use crate::web_config::{Grant, Origin, QueueFull, Tokens, WebConfigSnapshot};

/// The challenge in the response to an invalid credential, if users exist.
const BASIC: HeaderValue =
    HeaderValue::from_static("Basic realm=\"timestream-connector\", charset=\"UTF-8\"");
/// The challenge if a token exists.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"timestream-connector\"");

/// The access that a group of routes needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The routes read samples, or tell about the process.
    Read,
    /// The routes write samples.
    Write,
    /// The routes change what the connector does.
    Admin,
    /// The routes serve what the headers say, if they say anything.
    OfProtocol,
}

impl Access {
    /// Returns what a request needs, of which [`OfProtocol`](Self::OfProtocol) is only the case that a credential of
    /// any access suffices.
    fn of(self, headers: &HeaderMap) -> Self {
        match self {
            Self::OfProtocol => match Protocol::of(headers) {
                Some(Protocol::Read) => Self::Read,
                Some(Protocol::Write) => Self::Write,
                None => Self::OfProtocol,
            },
            access => access,
        }
    }

    fn is_given_by(self, grant: Grant) -> bool {
        match (grant, self) {
            (Grant::All, _)
            | (Grant::ReadWrite, Self::Read | Self::Write)
            | (Grant::Read, Self::Read)
            | (Grant::Write, Self::Write)
            | (Grant::Admin, Self::Admin)
            | (_, Self::OfProtocol) => true,
            (Grant::ReadWrite | Grant::Read | Grant::Write | Grant::Admin, _) => false,
        }
    }

    /// Returns the reason why a credential with `grant` does not open the routes, and the remedy.
    fn denial(self, grant: Grant, tokens: &Tokens) -> (&'static str, &'static str) {
        let reason = match (grant, self) {
            (Grant::Write, Self::Read) => "the token is for writing, and this route reads",
            (Grant::Read, Self::Write) => "the token is for reading, and this route writes",
            (Grant::Read, _) => "the token is for reading alone",
            (Grant::ReadWrite, _) => "the credential is for reading and writing alone",
            (Grant::Admin, _) => "the token is for administration alone",
            _ => "the token is for writing alone",
        };
        let remedy = match self {
            Self::Read => "use the token of read_bearer_token or bearer_token",
            Self::Write => "use the token of write_bearer_token or bearer_token",
            Self::Admin if tokens.admin.is_some() => "use the token of admin_bearer_token",
            Self::Admin | Self::OfProtocol => {
                "use the token of bearer_token, or a user of basic_auth_users or web_config_file"
            }
        };
        (reason, remedy)
    }
}

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

/// Serves the request if it has a credential that gives `access`, or if none is configured.
pub(super) async fn require(
    State((app, access)): State<(App, Access)>,
    request: Request,
    next: Next,
) -> Response {
    let web = app.web.current();
    if !web.has_credentials() {
        return next.run(request).await;
    }
    // Read before the request moves on, so that no borrow of it is held over the wait.
    let credential = credential(request.headers());
    let origin = request.extensions().get().copied().unwrap_or_default();
    let access = access.of(request.headers());
    let reason = match &credential {
        Ok(credential) => match grant(&app, &web, credential, origin).await {
            Ok(Some(grant)) if access.is_given_by(grant) => return next.run(request).await,
            Ok(Some(grant)) => {
                let (reason, remedy) = access.denial(grant, &web.tokens);
                let error = HttpError::no_access(reason, remedy);
                app.recent_errors.add(Source::Access, &error);
                return reject(&app, reason, error, request.uri().path());
            }
            Ok(None) if matches!(credential, Credential::Basic(..)) => "user or password is wrong",
            Ok(None) => "the bearer token is wrong",
            Err(QueueFull) => {
                let error = HttpError::authentication_busy();
                app.recent_errors.add(Source::Access, &error);
                return jobs::rejection(request.uri().path(), error);
            }
        },
        Err(NoCredential::Missing) => "the request has no Authorization header",
        Err(NoCredential::Several) => "the request has several Authorization headers",
        Err(NoCredential::Unreadable) => "the Authorization header is neither Basic nor Bearer",
    };
    // A browser sends no credential before it has seen the challenge.
    if credential != Err(NoCredential::Missing) || !accepts_pages(request.headers()) {
        // Without the path: strangers choose it.
        let (unauthenticated, status) = (Reason::Unauthenticated, StatusCode::UNAUTHORIZED);
        app.recent_errors
            .add_reason(Source::Access, unauthenticated, status.as_u16(), reason);
    }
    reject_unknown(&app, &web, access, reason, request.uri().path())
}

/// Returns true if a browser sent the request, to show a page.
fn accepts_pages(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
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

/// Returns the access of a credential, `None` if it is unknown.
async fn grant(
    app: &App,
    web: &WebConfigSnapshot,
    credential: &Credential,
    origin: Origin,
) -> Result<Option<Grant>, QueueFull> {
    match credential {
        Credential::Basic(user, password) => {
            let checked = app.verifier.is_user(&web.users, user, password, origin);
            Ok(checked.await?.then(|| web.tokens.general_grant()))
        }
        Credential::Bearer(presented) => Ok(app.verifier.grant(&web.tokens, presented)),
    }
}

/// Returns the response to a request without a known credential.
fn reject_unknown(
    app: &App,
    web: &WebConfigSnapshot,
    access: Access,
    reason: &str,
    path: &str,
) -> Response {
    let users = !web.users.is_empty();
    let token = !web.tokens.is_empty();
    let credential = match (users, token, access) {
        (_, _, Access::Admin) if web.tokens.admin.is_some() => {
            "the token of admin_bearer_token as Bearer"
        }
        (true, false, Access::Admin) => "user and password as Basic",
        (false, true, Access::Admin) => "the token as Bearer",
        (_, _, Access::Admin) => "user and password as Basic, or the token as Bearer,",
        (true, false, _) => "basic_auth",
        (false, true, _) => "authorization with the token as credentials",
        _ => "basic_auth, or authorization with the token as credentials,",
    };
    let remedy = match access {
        Access::Read => format!(
            "set {credential} in remote_read or scrape_configs of Prometheus, or in the data source of Grafana; \
             a browser needs a user (basic_auth_users)"
        ),
        Access::Write => format!("set {credential} in remote_write of Prometheus"),
        Access::OfProtocol => {
            format!("set {credential} in remote_write and remote_read of Prometheus")
        }
        Access::Admin => format!("send {credential} in the header Authorization"),
    };
    let error = HttpError::unauthenticated(reason, &remedy);
    let mut response = reject(app, reason, error, path);
    let challenges = [(users, BASIC), (token, BEARER)];
    for (_, challenge) in challenges.into_iter().filter(|(offered, _)| *offered) {
        response.headers_mut().append(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn reject(app: &App, reason: &str, error: HttpError, path: &str) -> Response {
    let status = error.status().as_u16();
    let numbers = app.metrics.add_rejected_credential(status);
    // Strangers can send as many as they like.
    if let Some(suppressed) = app.rejected_credentials.admit(Instant::now()) {
        tracing::warn!(
            error = reason,
            status,
            path,
            suppressed,
            "Rejected a request without a valid credential."
        );
    }
    let mut response = jobs::rejection(path, error);
    response.extensions_mut().insert(numbers);
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
