//! The ways of running the connector: each serves the one router until told to stop.

pub mod build;
pub mod healthcheck;
pub mod jobs;
pub mod lambda;
pub mod replay;
mod resend;
pub mod run;
pub mod server;
