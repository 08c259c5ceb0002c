//! The HTTP surface: one router for every way of running the connector.

mod auth;
mod body;
mod bounds;
mod by_header;
mod connectors;
mod error;
mod guard;
mod log;
mod misconfigured;
mod occasional;
mod pages;
mod pressure;
mod read;
mod recorder;
mod router;
mod settings;
mod write;

pub use bounds::Bounds;
pub use connectors::Connectors;
pub use error::HttpError;
pub use misconfigured::misconfigured;
pub use router::{App, is_taken, router};
pub use settings::{Misconfiguration, PermanentErrorStatus, Settings};
