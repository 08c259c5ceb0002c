//! Prometheus remote storage on Amazon Timestream for LiveAnalytics.

pub mod convert;
pub mod model;
pub mod prompb;
pub mod timestream;
