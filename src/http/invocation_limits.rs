//! The limits of a single request that come from its entry.

use axum::extract::Extension;
use tokio::time::Instant;

use super::App;

/// The limits of one request beside the configuration. An entry that has such limits puts them into the request's
/// extensions.
#[derive(Clone, Copy, Debug)]
pub struct InvocationLimits {
    /// The time by which the response must be complete.
    pub deadline: Instant,
    /// Maximum size of the response body, in bytes.
    pub max_response_bytes: usize,
    /// True if a gateway has authenticated the caller.
    pub is_authorized: bool,
}

/// The limits of a request, if it has any.
pub(super) type OptionalLimits = Option<Extension<InvocationLimits>>;

/// Returns the earlier of `deadline` and the deadline of the limits.
pub(super) fn earliest(deadline: Instant, limits: &OptionalLimits) -> Instant {
    let bound = limits.as_ref().map(|limits| limits.deadline);
    bound.map_or(deadline, |bound| bound.min(deadline))
}

/// Returns true if a request is authenticated. It must be called within the layer that checks credentials.
pub(super) fn is_authenticated(app: &App, limits: &OptionalLimits) -> bool {
    let web = app.web.current();
    web.has_credentials()
        || web.verifies_clients
        || limits.as_ref().is_some_and(|limits| limits.is_authorized)
}
