//! Prometheus remote storage on Amazon Timestream for LiveAnalytics.
//!
//! Remote write and remote read requests come in over HTTP ([`http`]), are decoded ([`wire`],
//! [`prompb`]), converted by pure functions ([`convert`], over the values of [`model`]) and
//! exchanged with Timestream ([`timestream`]); [`connector`] holds the order of these steps.
//! [`dead_letter`] keeps what cannot be stored. [`jobs`] are connectors that run by themselves. [`config`], [`web`] (who may ask), [`telemetry`] and [`metrics`] stand beside them, and [`entry`]
//! runs it all.

pub mod budget;
pub mod buffer;
pub mod compute;
pub mod config;
pub mod connector;
pub mod convert;
pub mod dead_letter;
pub mod entry;
pub mod exposition;
pub mod http;
pub mod jobs;
pub mod json;
pub mod metrics;
pub mod model;
pub mod prompb;
pub mod received;
pub mod replay;
pub mod telemetry;
pub mod timestream;
mod unverified;
pub mod web;
pub mod wire;

pub use prom_model::visible;
