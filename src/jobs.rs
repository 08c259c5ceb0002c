//! Jobs beside the serving of Prometheus, each described by one JSON object, its definition.
//!
//! [`definition`] reads and checks definitions, [`registry`] stores them in [`crate::state`]. [`bucket`]
//! decides which process runs which job when; [`runner`] runs one job, [`scheduler`] all jobs of a process.
//! [`job`] is the interface between the runner and a type of job; the types are in [`kinds`].
//!
//! Jobs call other servers through [`client`] alone: `outgoing` and `tls` are its settings, `address` the
//! addresses that it never calls, [`secret`] and [`auth`] the credentials, and `quote` the part of a
//! response that an error may repeat.

mod address;
pub mod auth;
pub mod bucket;
pub mod client;
pub mod definition;
mod gzip;
pub mod job;
pub mod kinds;
mod outgoing;
mod quote;
pub mod registry;
pub mod runner;
pub mod scheduler;
pub mod secret;
mod tls;

#[cfg(test)]
mod tests;
