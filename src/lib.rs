//! Prometheus remote storage on Amazon Timestream for LiveAnalytics.
