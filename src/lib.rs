//! Prometheus remote storage on Amazon Timestream for LiveAnalytics.
//!
//! Requests come in over [`http`]. [`ingest`] is the one way in of every sample and [`query`] the one way out;
//! [`storage`] converts both ways, pure, and [`timestream`] is the port to the service. [`jobs`] run by schedule.
//! [`config`] reads the options and [`entry`] builds and runs it all. `docs/architecture.md` is the map.

// `println!` and `eprintln!` panic if a disk is full or a reader has left: see `entry::print`, `telemetry::print_error`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod backoff;
mod causes;
pub mod compute;
pub mod config;
pub mod dead_letter;
pub mod entry;
pub mod estimate;
pub mod fields;
pub mod http;
pub mod ingest;
pub mod jobs;
pub mod json;
mod log_limiter;
pub mod metrics;
pub mod prices;
pub mod query;
pub mod replay;
pub mod replicas;
pub mod state;
pub mod storage;
pub mod telemetry;
pub mod timestream;
mod unverified;
pub mod web_config;
mod yaml;

/// The header `User-Agent` of calls to other servers.
pub const USER_AGENT: &str = concat!(
    "timestream-prometheus-connector/",
    env!("CARGO_PKG_VERSION")
);
