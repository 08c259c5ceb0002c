//! InvocationLimits that a request brings along from the way it came in.

use axum::extract::Extension;
use tokio::time::Instant;

use super::App;

/// What holds for one request besides the configuration. An entry that has such limits puts them
/// into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct InvocationLimits {
    /// When the answer has to be complete.
    pub deadline: Instant,
    /// Bytes that the body of the answer may have.
    pub max_response_bytes: usize,
    /// Whether a gateway has found out who asks.
    pub is_authorized: bool,
}

/// The limits of a request that may have none.
pub(super) type OptionalLimits = Option<Extension<InvocationLimits>>;

/// The earlier of a deadline and that of the limits.
pub(super) fn earliest(deadline: Instant, limits: &OptionalLimits) -> Instant {
    let bound = limits.as_ref().map(|limits| limits.deadline);
    bound.map_or(deadline, |bound| bound.min(deadline))
}

/// Whether a request has shown who it is from: this layer is inside the one that asks for credentials.
pub(super) fn is_authenticated(app: &App, limits: &OptionalLimits) -> bool {
    let web = app.web.current();
    web.has_credentials()
        || web.verifies_clients
        || limits.as_ref().is_some_and(|limits| limits.is_authorized)
}
