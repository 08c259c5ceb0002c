//! The metrics of OTLP. Its samples count among those of remote write.

use std::time::Duration;

use otlp::RejectReason;
use prometheus_client::registry::Registry;

use super::instruments::Instruments;
use super::measurement::{Measurement, Value};
use super::write::outcome_measurements;
use crate::ingest::WriteOutcome;

/// The reason of data points whose samples cannot be stored.
const NOT_STORED: &str = "not_stored";

/// The data points of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpPoints {
    /// Data points in the request.
    pub received: u64,
    /// Those that are rejected, by reason.
    pub rejected: Vec<(&'static str, u64)>,
    /// Exemplars that are dropped while their data points are translated.
    pub dropped_exemplars: u64,
}

impl OtlpPoints {
    /// Adds data points of which a sample is not stored.
    pub fn add_not_stored(&mut self, points: u64) {
        self.rejected.push((NOT_STORED, points));
    }

    /// Returns the number of rejected data points.
    pub fn all_rejected(&self) -> u64 {
        self.rejected.iter().map(|(_, points)| points).sum()
    }
}

/// Registers the metrics.
pub(super) fn register(all: &mut Instruments, registry: &mut Registry) {
    let r = registry;
    all.by_code(
        r,
        "otlp_requests",
        "OTLP requests, by response status; 499 if the client disconnected before the response",
        200,
    );
    all.seconds(r, "otlp_duration_seconds", "Duration of OTLP requests");
    all.counter(r, "otlp_data_points", "Data points received by OTLP");
    let reasons = RejectReason::ALL.map(RejectReason::as_str);
    all.by_reason(
        r,
        "otlp_rejected_data_points",
        "Data points of OTLP that are rejected for ever, by reason",
        reasons.into_iter().chain([NOT_STORED]),
    );
    all.counter(
        r,
        "otlp_dropped_exemplars",
        "Exemplars of OTLP that cannot be translated",
    );
}

/// Returns the measurements of a request, as far as it came.
pub(super) fn measurements(
    points: Option<&OtlpPoints>,
    outcome: Option<&WriteOutcome>,
    status: u16,
    duration: Duration,
) -> Vec<Measurement> {
    let mut all = vec![
        Measurement::new("otlp_requests", Value::Status(status)),
        Measurement::new(
            "otlp_duration_seconds",
            Value::Seconds(duration.as_secs_f64()),
        ),
    ];
    if let Some(points) = points {
        all.extend([
            Measurement::count("otlp_data_points", points.received),
            Measurement::count_by("otlp_rejected_data_points", points.rejected.clone()),
            Measurement::count("otlp_dropped_exemplars", points.dropped_exemplars),
        ]);
    }
    all.extend(outcome.into_iter().flat_map(outcome_measurements));
    all
}
