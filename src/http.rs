//! The HTTP surface: one router for every way of running the connector.

mod auth;
mod body;
mod bounds;
mod error;
mod fallback;
mod guard;
mod jobs;
mod log;
mod misconfigured;
mod occasional;
mod pages;
mod pressure;
mod recorder;
mod remote_read;
mod remote_write;
mod router;
mod settings;

pub use bounds::Bounds;
pub use error::HttpError;
pub use jobs::JobsApi;
pub use misconfigured::misconfigured;
pub use router::{App, is_taken, router};
pub use settings::{Misconfiguration, PermanentErrorStatus, Settings};
