//! The HTTP surface: one router for every way of running the connector.

mod admission;
mod auth;
mod body;
mod error;
mod log;
mod pages;
mod pressure;
mod read;
mod router;
mod write;

pub use error::HttpError;
pub use router::{App, router};
