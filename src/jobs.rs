//! Connector definitions: jobs beside the serving of Prometheus, each described by one JSON object.
//!
//! [`definition`] reads and checks them, [`registry`] keeps them, [`bucket`] decides who runs what
//! and when, [`runner`] runs one and [`scheduler`] all of a process. [`crate::state`] is where all of it
//! survives. [`run`] is what a type of definition implements and what it is given to work with;
//! [`secret`] and [`auth`] are how it shows who it is to others, [`client`] how it reaches them (`outgoing`
//! and `tls` with which settings, `address` which of them it never calls), `quote` what errors may repeat
//! of their responses. The types are in [`kinds`]; what is in their `config` is
//! read by `values`.

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
