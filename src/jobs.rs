//! Connector definitions: jobs beside the serving of Prometheus, each described by one JSON object.
//!
//! [`run`] is what a type of definition implements and what it is given to work with; [`secret`] and
//! [`auth`] are how it shows who it is to others, [`client`] how it reaches them.

pub mod auth;
pub mod client;
pub mod run;
pub mod secret;
