//! Bounds that a request brings along from the way it came in.

use axum::extract::Extension;
use tokio::time::Instant;

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
