//! Prometheus remote storage on Amazon Timestream for LiveAnalytics.

pub mod config;
pub mod connector;
pub mod convert;
pub mod metrics;
pub mod model;
pub mod prompb;
pub mod telemetry;
pub mod timestream;
pub mod wire;
