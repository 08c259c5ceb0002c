//! The HTTP surface: one router for every way of running the connector.

mod auth;
mod backpressure;
mod body;
mod error;
mod fallback;
mod guard;
mod invocation_limits;
mod jobs;
mod log;
mod misconfiguration;
mod otlp;
mod pages;
mod query_api;
mod readiness;
mod reason;
mod recent_errors;
mod recorder;
mod remote_read;
mod remote_write;
mod router;
mod settings;
mod storing;

pub use error::HttpError;
pub use invocation_limits::InvocationLimits;
pub use jobs::JobsApi;
pub use misconfiguration::error_router;
pub use pages::{JobLine, JobState, Jobs, StartView, start_page};
pub use readiness::{Readiness, ReadinessProbe};
pub use reason::Reason;
pub use recent_errors::{RecentError, Source};
pub use router::{App, is_own_path, router};
pub use settings::{CorsOrigin, Misconfiguration, PermanentErrorStatus, Settings};
