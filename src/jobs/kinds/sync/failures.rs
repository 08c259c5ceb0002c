//! Metrics that failed in a run, while the others go on.

use super::server::Failure;
use crate::jobs::run::RunError;
use crate::received::cut;

/// After so many metrics in a row whose failures are not their own, the others are not tried.
const MAX_SHARED_IN_A_ROW: usize = 3;
/// After so many metrics in a row that failed, whatever the reason, the others are not tried either.
const MAX_IN_A_ROW: usize = 20;
/// Failures that the error of a run shows.
const MAX_SHOWN: usize = 5;
/// Bytes of each of them.
const MAX_SHOWN_BYTES: usize = 600;

/// The end of a metric that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of the run is over.
    Run(RunError),
    /// This metric fails.
    Metric(String),
    /// This metric fails in a way in which others may fail too: nobody can be reached, for instance.
    Shared(String),
    /// The table of this metric does not take what is going to be read.
    Retention(String),
}

impl From<RunError> for Ended {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TooMuch(why) | Failure::Refused(why) => Self::Metric(why),
            Failure::Unavailable(why) => Self::Shared(why),
            Failure::Ends(error) => Self::Run(error),
        }
    }
}

impl Ended {
    /// Returns it with the place where it happened before its text.
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

    /// Returns why it ended.
    pub(super) fn text(&self) -> String {
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
    shown: Vec<String>,
    /// The last so many metrics failed.
    in_a_row: usize,
    /// The last so many metrics failed in a way that others may share.
    shared_in_a_row: usize,
    /// So many of them because of the retention of their tables.
    refused: usize,
}

impl Failures {
    /// Notes why `metric` failed.
    ///
    /// # Errors
    /// The others would fail too, so the run ends.
    pub(super) fn add(&mut self, metric: &str, ended: Ended) -> Result<(), RunError> {
        let is_shared = matches!(ended, Ended::Shared(_));
        let is_refused = matches!(ended, Ended::Retention(_));
        self.refused += usize::from(is_refused);
        let text = match ended {
            Ended::Run(error) => return Err(error),
            Ended::Metric(text) | Ended::Shared(text) | Ended::Retention(text) => text,
        };
        self.metrics.push(metric.to_owned());
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(cut(&text, MAX_SHOWN_BYTES).into_owned());
        }
        if is_refused {
            // It tells nothing about others, whose tables may take them, and the server was not called.
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

    /// Notes that a metric is complete.
    pub(super) fn succeeded(&mut self) {
        self.in_a_row = 0;
        self.shared_in_a_row = 0;
    }

    /// Returns whether the metrics that are left would fail too.
    pub(super) fn are_everywhere(&self) -> bool {
        self.shared_in_a_row >= MAX_SHARED_IN_A_ROW || self.in_a_row >= MAX_IN_A_ROW
    }

    /// Returns whether tables refuse metrics because of their retention.
    pub(super) fn has_refusals(&self) -> bool {
        self.refused > 0
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
        // Nothing can be stored until somebody changes a setting.
        if self.refused == all {
            return self.shown.first().cloned().map(RunError::Disable);
        }
        let mut text = self.shown.join("; ");
        let hidden = failed - self.shown.len();
        if hidden > 0 {
            text += &format!("; and {hidden} more");
        }
        if self.are_everywhere() {
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
        let metric = |name: &str| Ended::Metric("422: no".to_owned()).at(&format!("metric {name}"));
        failures.add("a", metric("a")).unwrap();
        assert_eq!(text(&failures, 1), "metric a: 422: no");
        let expected = "1 of 9 metrics failed: metric a: 422: no";
        assert_eq!(text(&failures, 9), expected);
        for _ in 0..1_000 {
            failures.succeeded();
            let long = Ended::Metric("x".repeat(10_000));
            failures.add("b", long).unwrap();
        }
        let text = text(&failures, 2_000);
        assert!(text.starts_with("1001 of 2000 metrics failed"), "{text}");
        assert!(text.ends_with("; and 996 more"), "{text}");
        assert!(text.len() < 4_000);
        assert_eq!(failures.metrics().len(), 1_001);
        assert!(!failures.are_everywhere());
    }

    #[test]
    fn tables_that_take_nothing_disable_the_definition() {
        let mut failures = Failures::default();
        let refusal = || Ended::Retention("raise memory_hours".to_owned());
        failures.add("a", refusal()).unwrap();
        assert!(matches!(failures.error(2), Some(RunError::Failed(_))));
        failures.add("b", refusal()).unwrap();
        let expected = RunError::Disable("raise memory_hours".to_owned());
        assert_eq!(failures.error(2), Some(expected));
    }

    #[test]
    fn failures_in_a_row_that_are_not_about_a_metric_end_the_run() {
        let shared = || Ended::Shared("503".to_owned());
        let mut failures = Failures::default();
        for _ in 0..10 {
            failures.add("a", shared()).unwrap();
            failures.add("b", shared()).unwrap();
            assert!(!failures.are_everywhere());
            failures.succeeded();
        }
        failures.add("a", shared()).unwrap();
        failures.add("b", shared()).unwrap();
        failures.add("c", Ended::Metric("422".to_owned())).unwrap();
        failures.add("d", shared()).unwrap();
        failures.add("e", shared()).unwrap();
        assert!(!failures.are_everywhere());
        failures.add("f", shared()).unwrap();
        assert!(failures.are_everywhere());
        let expected =
            "26 of 90 metrics failed, the last 6 of them in a row, so the run ended early";
        assert!(text(&failures, 90).starts_with(expected));
        // Tables that refuse a metric say nothing about others.
        let mut failures = Failures::default();
        for _ in 0..100 {
            let refusal = Ended::Retention("raise memory_hours".to_owned());
            failures.add("a", refusal).unwrap();
        }
        assert!(!failures.are_everywhere());
        // Whatever the reason, when there are many.
        let mut failures = Failures::default();
        for _ in 0..MAX_IN_A_ROW {
            assert!(!failures.are_everywhere());
            failures.add("a", Ended::Metric("422".to_owned())).unwrap();
        }
        assert!(failures.are_everywhere());
        let over = failures.add("g", RunError::Interrupted.into());
        assert_eq!(over, Err(RunError::Interrupted));
    }
}
