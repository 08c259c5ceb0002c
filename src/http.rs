//! The HTTP surface: one router for every way of running the connector.

mod auth;
mod body;
mod error;
mod log;
mod pages;
mod read;
mod router;
mod write;

pub use error::HttpError;
pub use router::{App, router};
