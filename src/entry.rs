//! The ways of running the connector: each serves the one router until told to stop.

pub mod connectors;
pub mod healthcheck;
pub mod lambda;
pub mod replay;
mod resend;
pub mod run;
pub mod standalone;
