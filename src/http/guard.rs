//! Rejects requests of foreign pages and proxies, as a layer around every route that changes or exposes data.
//!
//! A page in a browser can send requests to this machine, with the credentials that the browser remembers, and
//! can give a name of its own the address 127.0.0.1 (DNS rebinding). A proxy on this machine makes every client a
//! local one. So a foreign page is never served, and if the loopback listener replaces a credential, only direct
//! requests to this machine's own names are served.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Uri};

use super::invocation_limits::{OptionalLimits, is_authenticated};
use super::reason::Reason;
use super::recent_errors::Source;
use super::settings::CorsOrigin;
use super::{App, HttpError};
use crate::http::{jobs, query_api};

/// Headers by which a proxy says that it forwards a request, besides those that begin with
/// [`FORWARDED_PREFIX`].
const FORWARDED: [&str; 3] = ["forwarded", "x-real-ip", "via"];
/// The beginning of the other headers of proxies.
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// A request that a page of another origin or a proxy may have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ForeignRequest {
    ForeignOrigin,
    ForeignHost,
    Forwarded,
}

impl ForeignRequest {
    fn reason(self) -> Reason {
        match self {
            Self::ForeignOrigin => Reason::ForeignOrigin,
            Self::ForeignHost => Reason::ForeignHost,
            Self::Forwarded => Reason::Forwarded,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::ForeignOrigin => {
                "ForeignOriginError: the Origin header names another origin than the Host header; \
                 cross-origin requests are rejected: send the request from a page of this host, or from \
                 another program than a browser, or admit the origin to the query API by web_cors_origin"
            }
            Self::ForeignHost => {
                "ForeignHostError: without a credential a loopback listener serves only requests to \
                 localhost or a loopback address; use such a name, or configure a credential \
                 (--bearer-token, --basic-auth-users or --web.config.file)"
            }
            Self::Forwarded => {
                "ForwardedError: without a credential a loopback listener does not serve what a \
                 proxy forwards; configure a credential (--bearer-token, --basic-auth-users or \
                 --web.config.file), or have the proxy remove Forwarded, X-Forwarded-*, X-Real-IP and \
                 Via once it authenticates clients"
            }
        }
    }
}

/// Serves the request unless a foreign page or a proxy may have sent it.
pub(super) async fn require(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
    next: Next,
) -> Response {
    let only_this_machine = app.is_local && !is_authenticated(&app, &limits);
    let admitted = app.settings.cors_origin.as_ref();
    let admitted = admitted.filter(|_| query_api::is_query(request.uri().path()));
    let Err(violation) = admit(
        request.headers(),
        request.uri(),
        only_this_machine,
        admitted,
    ) else {
        return next.run(request).await;
    };
    let error = HttpError::foreign(violation.reason(), violation.text());
    app.recent_errors.add(Source::Access, &error);
    let path = request.uri().path();
    // A page can send any number of requests.
    if let Some(suppressed) = app.foreign_requests.admit(Instant::now()) {
        tracing::warn!(
            error = error.text(),
            status = error.status().as_u16(),
            path,
            suppressed,
            "Rejected a request that may come from a page or through a proxy."
        );
    }
    jobs::rejection(path, error)
}

/// Checks a request, of a page of an origin that may be `admitted`. With `only_this_machine` the loopback listener is
/// the only protection.
fn admit(
    headers: &HeaderMap,
    uri: &Uri,
    only_this_machine: bool,
    admitted: Option<&CorsOrigin>,
) -> Result<(), ForeignRequest> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().map(|host| host.to_str().unwrap_or_default());
    let has_several = hosts.next().is_some();
    for origin in headers.get_all(ORIGIN) {
        let origin = origin.to_str().ok();
        if origin.is_some_and(|origin| admitted.is_some_and(|it| it.matches(origin))) {
            continue;
        }
        let origin = origin.and_then(|it| it.split_once("://"));
        let is_own = |authority: &str| host.is_some_and(|it| it.eq_ignore_ascii_case(authority));
        if !origin.is_some_and(|(_, authority)| is_own(authority)) {
            return Err(ForeignRequest::ForeignOrigin);
        }
    }
    if !only_this_machine {
        return Ok(());
    }
    if headers.keys().any(is_of_proxy) {
        return Err(ForeignRequest::Forwarded);
    }
    let names = host
        .into_iter()
        .chain(uri.authority().map(Authority::as_str));
    if has_several || !names.into_iter().all(is_this_machine) {
        return Err(ForeignRequest::ForeignHost);
    }
    Ok(())
}

fn is_of_proxy(name: &HeaderName) -> bool {
    // Names of headers are in lower case.
    FORWARDED.contains(&name.as_str()) || name.as_str().starts_with(FORWARDED_PREFIX)
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn requests_of_pages_and_proxies() {
        use ForeignRequest::{ForeignHost, ForeignOrigin, Forwarded};
        // With the loopback listener as the only protection, and with a credential.
        type Case = (
            &'static [(&'static str, &'static str)],
            Option<ForeignRequest>,
            Option<ForeignRequest>,
        );
        let cases: [Case; 24] = [
            (&[], None, None),
            (&[("host", "localhost:9201")], None, None),
            (&[("host", "LocalHost")], None, None),
            (&[("host", "127.0.0.1:9201")], None, None),
            (&[("host", "127.8.8.8")], None, None),
            (&[("host", "[::1]:9201")], None, None),
            (&[("host", "[::ffff:127.0.0.1]:9201")], None, None),
            // A service of Docker Compose, and foreign names that resolve to 127.0.0.1.
            (&[("host", "connector:9201")], Some(ForeignHost), None),
            (&[("host", "rebound.example:9201")], Some(ForeignHost), None),
            (&[("host", "localhost.example")], Some(ForeignHost), None),
            (&[("host", "192.0.2.1")], Some(ForeignHost), None),
            (&[("host", "a b")], Some(ForeignHost), None),
            (&[("host", "")], Some(ForeignHost), None),
            (
                &[("host", "localhost"), ("host", "a.b")],
                Some(ForeignHost),
                None,
            ),
            (&[("forwarded", "for=192.0.2.1")], Some(Forwarded), None),
            (&[("x-forwarded-for", "192.0.2.1")], Some(Forwarded), None),
            (&[("x-forwarded-host", "a.b")], Some(Forwarded), None),
            (&[("x-forwarded-proto", "http")], Some(Forwarded), None),
            (&[("x-real-ip", "192.0.2.1")], Some(Forwarded), None),
            (&[("via", "1.1 proxy")], Some(Forwarded), None),
            (
                &[("host", "localhost:1"), ("origin", "http://localhost:1")],
                None,
                None,
            ),
            (
                &[("host", "localhost"), ("origin", "http://x.y")],
                Some(ForeignOrigin),
                Some(ForeignOrigin),
            ),
            (
                &[("host", "a.b"), ("origin", "null")],
                Some(ForeignOrigin),
                Some(ForeignOrigin),
            ),
            (
                &[("origin", "http://x.y")],
                Some(ForeignOrigin),
                Some(ForeignOrigin),
            ),
        ];
        let path = Uri::from_static("/write");
        for (headers, alone, shown) in cases {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(admit(&map, &path, true, None).err(), alone, "{headers:?}");
            assert_eq!(admit(&map, &path, false, None).err(), shown, "{headers:?}");
        }
        let absolute = Uri::from_static("http://rebound.example/write");
        let violation = admit(&HeaderMap::new(), &absolute, true, None);
        assert_eq!(violation, Err(ForeignHost));

        let admitted = CorsOrigin::parse("https?://x\\.y").unwrap();
        let of = |host: &'static str, origin: &'static str| {
            let mut map = HeaderMap::new();
            map.insert(HOST, HeaderValue::from_static(host));
            map.insert(ORIGIN, HeaderValue::from_static(origin));
            admit(&map, &path, true, Some(&admitted)).err()
        };
        assert_eq!(of("localhost", "http://x.y"), None);
        assert_eq!(of("localhost", "http://x.y.z"), Some(ForeignOrigin));
        assert_eq!(of("localhost", "http://xzy"), Some(ForeignOrigin));
        assert_eq!(of("rebound.example", "http://x.y"), Some(ForeignHost));
    }
}
