//! Collects the metrics that fail in a run while the others continue.

use prom_model::visible::truncate;

use super::server::Failure;
use crate::jobs::job::RunError;

/// After this many shared failures in a row, the other metrics are not tried.
const MAX_SHARED_IN_A_ROW: usize = 3;
/// After this many failures in a row, whatever the reason, the other metrics are not tried.
const MAX_IN_A_ROW: usize = 20;
/// Maximum number of failures in the error of a run.
const MAX_REPORTED: usize = 5;
/// Maximum bytes of each of them.
const MAX_REPORTED_BYTES: usize = 600;

/// The error that ended the copying of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MetricError {
    /// The whole run must end.
    Run(RunError),
    /// This metric fails.
    Metric(String),
    /// This metric fails for a reason that others may share, such as a server that cannot be reached.
    Shared(String),
    /// The retention of this metric's table rejects the time to read.
    Retention(String),
}

impl From<RunError> for MetricError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<Failure> for MetricError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TooLarge(error) | Failure::Rejected(error) => Self::Metric(error),
            Failure::Unavailable(error) => Self::Shared(error),
            Failure::RunEnded(error) => Self::Run(error),
        }
    }
}

impl MetricError {
    /// Puts the place of the error before its message.
    pub(super) fn at(self, place: &str) -> Self {
        let placed = |text: String| format!("{place}: {text}");
        match self {
            Self::Run(RunError::Failed(text)) => Self::Run(RunError::Failed(placed(text))),
            Self::Run(error) => Self::Run(error),
            Self::Metric(text) => Self::Metric(placed(text)),
            Self::Shared(text) => Self::Shared(placed(text)),
            Self::Retention(text) => Self::Retention(placed(text)),
        }
    }

    /// Returns the message.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Run(error) => error.to_string(),
            Self::Metric(text) | Self::Shared(text) | Self::Retention(text) => text.clone(),
        }
    }
}

/// The metrics that failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    metrics: Vec<String>,
    reported: Vec<String>,
    /// Number of failures since the last success.
    in_a_row: usize,
    /// Number of consecutive shared failures.
    shared_in_a_row: usize,
    /// Number of metrics that failed because of the retention of their tables.
    rejected_by_retention: usize,
}

impl Failures {
    /// Records the failure of `metric`.
    ///
    /// # Errors
    /// The error, if the whole run must end.
    pub(super) fn add(&mut self, metric: &str, error: MetricError) -> Result<(), RunError> {
        let is_shared = matches!(error, MetricError::Shared(_));
        let is_retention = matches!(error, MetricError::Retention(_));
        self.rejected_by_retention += usize::from(is_retention);
        let text = match error {
            MetricError::Run(error) => return Err(error),
            MetricError::Metric(text)
            | MetricError::Shared(text)
            | MetricError::Retention(text) => text,
        };
        self.metrics.push(metric.to_owned());
        if self.reported.len() < MAX_REPORTED {
            self.reported
                .push(truncate(&text, MAX_REPORTED_BYTES).into_owned());
        }
        if is_retention {
            // Tables of other metrics may accept them, and the server was not called.
            return Ok(());
        }
        self.in_a_row += 1;
        self.shared_in_a_row = if is_shared {
            self.shared_in_a_row + 1
        } else {
            0
        };
        Ok(())
    }

    /// Records that a metric is complete.
    pub(super) fn succeeded(&mut self) {
        self.in_a_row = 0;
        self.shared_in_a_row = 0;
    }

    /// Returns true if the remaining metrics would probably fail too.
    pub(super) fn are_systemic(&self) -> bool {
        self.shared_in_a_row >= MAX_SHARED_IN_A_ROW || self.in_a_row >= MAX_IN_A_ROW
    }

    /// Returns true if a metric failed because of the retention of its table.
    pub(super) fn has_retention_errors(&self) -> bool {
        self.rejected_by_retention > 0
    }

    /// Returns the names of the metrics that failed.
    pub(super) fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// Returns the error of a run of `all` metrics, if any of them failed.
    pub(super) fn error(&self, all: usize) -> Option<RunError> {
        let failed = self.metrics.len();
        if failed == 0 {
            return None;
        }
        // Nothing can be stored until a setting is changed.
        if self.rejected_by_retention == all {
            return self.reported.first().cloned().map(RunError::Disable);
        }
        let mut text = self.reported.join("; ");
        let hidden = failed - self.reported.len();
        if hidden > 0 {
            text += &format!("; and {hidden} more");
        }
        if self.are_systemic() {
            text = format!(
                "{failed} of {all} metrics failed, the last {} of them in a row, so the run ended \
                 early; the next one begins with the metrics that were not tried: {text}",
                self.in_a_row
            );
        } else if all > 1 {
            text = format!("{failed} of {all} metrics failed: {text}");
        }
        Some(RunError::Failed(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(failures: &Failures, all: usize) -> String {
        failures.error(all).unwrap().to_string()
    }

    #[test]
    fn the_error_counts_and_names_what_failed() {
        let mut failures = Failures::default();
        assert_eq!(failures.error(5), None);
        let metric =
            |name: &str| MetricError::Metric("422: no".to_owned()).at(&format!("metric {name}"));
        failures.add("a", metric("a")).unwrap();
        assert_eq!(text(&failures, 1), "metric a: 422: no");
        let expected = "1 of 9 metrics failed: metric a: 422: no";
        assert_eq!(text(&failures, 9), expected);
        for _ in 0..1_000 {
            failures.succeeded();
            let long = MetricError::Metric("x".repeat(10_000));
            failures.add("b", long).unwrap();
        }
        let text = text(&failures, 2_000);
        assert!(text.starts_with("1001 of 2000 metrics failed"), "{text}");
        assert!(text.ends_with("; and 996 more"), "{text}");
        assert!(text.len() < 4_000);
        assert_eq!(failures.metrics().len(), 1_001);
        assert!(!failures.are_systemic());
    }

    #[test]
    fn retention_errors_of_all_metrics_disable_the_definition() {
        let mut failures = Failures::default();
        let retention_error = || MetricError::Retention("raise memory_hours".to_owned());
        failures.add("a", retention_error()).unwrap();
        assert!(matches!(failures.error(2), Some(RunError::Failed(_))));
        failures.add("b", retention_error()).unwrap();
        let expected = RunError::Disable("raise memory_hours".to_owned());
        assert_eq!(failures.error(2), Some(expected));
    }

    #[test]
    fn shared_failures_in_a_row_end_the_run() {
        let shared = || MetricError::Shared("503".to_owned());
        let mut failures = Failures::default();
        for _ in 0..10 {
            failures.add("a", shared()).unwrap();
            failures.add("b", shared()).unwrap();
            assert!(!failures.are_systemic());
            failures.succeeded();
        }
        failures.add("a", shared()).unwrap();
        failures.add("b", shared()).unwrap();
        failures
            .add("c", MetricError::Metric("422".to_owned()))
            .unwrap();
        failures.add("d", shared()).unwrap();
        failures.add("e", shared()).unwrap();
        assert!(!failures.are_systemic());
        failures.add("f", shared()).unwrap();
        assert!(failures.are_systemic());
        let expected =
            "26 of 90 metrics failed, the last 6 of them in a row, so the run ended early";
        assert!(text(&failures, 90).starts_with(expected));
        // Retention errors do not count as failures in a row.
        let mut failures = Failures::default();
        for _ in 0..100 {
            let retention_error = MetricError::Retention("raise memory_hours".to_owned());
            failures.add("a", retention_error).unwrap();
        }
        assert!(!failures.are_systemic());
        // Many failures in a row end the run, whatever the reason.
        let mut failures = Failures::default();
        for _ in 0..MAX_IN_A_ROW {
            assert!(!failures.are_systemic());
            failures
                .add("a", MetricError::Metric("422".to_owned()))
                .unwrap();
        }
        assert!(failures.are_systemic());
        let error = failures.add("g", RunError::Interrupted.into());
        assert_eq!(error, Err(RunError::Interrupted));
    }
}
