//! Bounds that a request brings along from the way it came in.

use axum::extract::Extension;
use tokio::time::Instant;

use super::App;

/// What holds for one request besides the configuration. An entry that has such bounds puts them
/// into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// When the answer has to be complete.
    pub deadline: Instant,
    /// Bytes that the body of the answer may have.
    pub max_answer_bytes: usize,
    /// Whether a gateway has found out who asks.
    pub is_authorized: bool,
}

/// The bounds of a request that may have none.
pub(super) type Bounded = Option<Extension<Bounds>>;

/// The earlier of a deadline and that of the bounds.
pub(super) fn earliest(deadline: Instant, bounds: &Bounded) -> Instant {
    let bound = bounds.as_ref().map(|bounds| bounds.deadline);
    bound.map_or(deadline, |bound| bound.min(deadline))
}

/// Whether a request has shown who it is from: this layer is inside the one that asks for credentials.
pub(super) fn has_shown(app: &App, bounds: &Bounded) -> bool {
    let web = app.web.current();
    web.has_credentials()
        || web.verifies_clients
        || bounds.as_ref().is_some_and(|bounds| bounds.is_authorized)
}
