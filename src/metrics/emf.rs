//! The numbers of one request, or of one run of a connector definition, for CloudWatch, which takes them out of lines on stdout.
//!
//! The embedded metric format is a JSON object with the values at its top and a description under
//! `_aws`:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
//! The names are those of `/metrics` without prefix and `_total`. What has a label there is its sum
//! here, and once more for each value that occurred, with the value at the end of the name. CloudWatch
//! bills by the name, so there is no metric for what never occurs.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::write::ABORTED;
use super::{RunCount, VERSION};
use crate::ingest::{Kept, WriteOutcome};
use crate::query::ReadOutcome;

/// Where CloudWatch files the metrics.
pub const NAMESPACE: &str = "TimestreamConnector";
/// The dimension that all of them have.
pub const DIMENSION: &str = "FunctionName";

/// The numbers of a request or a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Of a request.
    status: Option<u16>,
    values: Vec<(String, Unit, Value)>,
}

/// A unit in CloudWatch's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Count,
    Bytes,
    Seconds,
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Seconds => "Seconds",
        }
    }
}

impl Numbers {
    pub(super) fn of_write(
        outcome: Option<&WriteOutcome>,
        status: u16,
        duration: Duration,
    ) -> Self {
        let mut numbers = Self::of_request("write", status, duration);
        let Some(outcome) = outcome else {
            return numbers;
        };
        let ignored = outcome
            .ignored
            .iter()
            .map(|(reason, n)| (reason.as_str(), *n));
        let faults = outcome
            .faults
            .iter()
            .map(|faulty| (faulty.fault.name(), faulty.samples));
        let failures = outcome
            .failures
            .iter()
            .map(|failure| (failure.kind.as_str(), failure.samples));
        let rejected = outcome
            .rejected
            .iter()
            .map(|(reason, n)| (reason.as_str(), *n));
        numbers.count("received_samples", outcome.received);
        numbers.count("written_samples", outcome.stored);
        numbers.count_by("ignored_samples", ignored);
        let aborted = (outcome.aborted > 0).then_some((ABORTED, outcome.aborted));
        numbers.count_by("failed_samples", faults.chain(failures).chain(aborted));
        numbers.count_by("rejected_samples", rejected);
        let (kept, errors) = match outcome.dead_letters {
            Kept::Nothing => (0, 0),
            Kept::Samples(samples) => (samples, 0),
            Kept::Failed { .. } => (0, 1),
        };
        numbers.count("dead_letter_samples", kept);
        numbers.count("dead_letter_errors", errors);
        let metadata = &outcome.metadata;
        let ignored = metadata.ignored.iter();
        let failed = metadata.failed.iter();
        numbers.count("written_metadata", metadata.written);
        numbers.count_by("ignored_metadata", ignored.map(|(it, n)| (it.as_str(), *n)));
        numbers.count_by("failed_metadata", failed.map(|(it, n)| (it.as_str(), *n)));
        numbers.count("write_calls", outcome.calls);
        numbers.count("write_retries", outcome.retries);
        numbers.count("write_units", outcome.write_units);
        numbers
    }

    pub(super) fn of_read(outcome: Option<&ReadOutcome>, status: u16, duration: Duration) -> Self {
        let mut numbers = Self::of_request("read", status, duration);
        let Some(outcome) = outcome else {
            return numbers;
        };
        let counts = outcome.counts;
        numbers.count("read_series", outcome.series);
        numbers.count("read_samples", outcome.samples);
        numbers.count("read_statements", counts.statements);
        numbers.count("read_pages", counts.pages);
        numbers.count("read_retries", counts.retries);
        numbers.count("read_shared_queries", outcome.shared_queries);
        numbers.add("read_scanned_bytes", Unit::Bytes, counts.bytes_scanned);
        numbers.add("read_metered_bytes", Unit::Bytes, counts.bytes_metered);
        numbers
    }

    pub(super) fn of_rejected_credential() -> Self {
        let mut numbers = Self {
            status: Some(401),
            values: Vec::with_capacity(1),
        };
        numbers.count("rejected_credentials", 1);
        numbers
    }

    pub(super) fn of_run(run: &RunCount) -> Self {
        let mut numbers = Self {
            status: None,
            values: Vec::with_capacity(8),
        };
        numbers.count_by("definition_runs", [(run.result.as_str(), 1)]);
        if run.has_run() {
            numbers.count_by("definition_rows", [(run.kind, run.rows)]);
            numbers.count_by("definition_rejected_rows", [(run.kind, run.rejected)]);
            let seconds = run.duration.as_secs_f64();
            numbers.add("definition_run_duration_seconds", Unit::Seconds, seconds);
        }
        numbers
    }

    fn of_request(kind: &str, status: u16, duration: Duration) -> Self {
        let mut numbers = Self {
            status: Some(status),
            values: Vec::with_capacity(16),
        };
        numbers.count_by(&format!("{kind}_requests"), [(&*status.to_string(), 1)]);
        let seconds = duration.as_secs_f64();
        numbers.add(&format!("{kind}_duration_seconds"), Unit::Seconds, seconds);
        numbers
    }

    fn add(&mut self, name: &str, unit: Unit, value: impl Into<Value>) {
        self.values.push((name.to_owned(), unit, value.into()));
    }

    fn count(&mut self, name: &str, count: u64) {
        self.add(name, Unit::Count, count);
    }

    /// The sum, and what makes it up.
    fn count_by<'l>(&mut self, name: &str, parts: impl IntoIterator<Item = (&'l str, u64)>) {
        let mut by_label = std::collections::BTreeMap::<String, u64>::new();
        for (label, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
            *by_label.entry(format!("{name}_{label}")).or_default() += count;
        }
        self.count(name, by_label.values().sum());
        for (name, count) in by_label {
            self.count(&name, count);
        }
    }

    /// The line that CloudWatch reads, for an invocation of a function at a time.
    pub fn to_line(&self, function: &str, request_id: &str, timestamp_ms: i64) -> String {
        let described: Vec<Value> = self
            .values
            .iter()
            .map(|(name, unit, _)| json!({"Name": name, "Unit": unit.as_str()}))
            .collect();
        let mut line = Map::new();
        let description = json!({
            "Timestamp": timestamp_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [[DIMENSION]],
                "Metrics": described,
            }],
        });
        line.insert("_aws".to_owned(), description);
        line.insert(DIMENSION.to_owned(), function.into());
        line.insert("request_id".to_owned(), request_id.into());
        if let Some(status) = self.status {
            line.insert("status".to_owned(), status.into());
        }
        line.insert("version".to_owned(), VERSION.into());
        for (name, _, value) in &self.values {
            line.insert(name.clone(), value.clone());
        }
        Value::Object(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::RunResult;
    use super::*;
    use crate::ingest::Faulty;
    use crate::storage::write::route::SeriesFault;
    use crate::storage::write::series::IgnoreReason;

    #[test]
    fn a_write() {
        let outcome = WriteOutcome {
            received: 9,
            stored: 4,
            ignored: [(IgnoreReason::ValueNotFinite, 2)].into(),
            faults: vec![Faulty {
                fault: SeriesFault::NoMetricName,
                samples: 3,
                text: String::new(),
            }],
            dead_letters: Kept::Samples(1),
            calls: 1,
            write_units: 1,
            ..WriteOutcome::default()
        };
        let numbers = Numbers::of_write(Some(&outcome), 400, Duration::from_millis(25));
        let line = numbers.to_line("f", "id", 1_600_000_000_000);
        assert!(!line.contains('\n'));
        let line: Value = serde_json::from_str(&line).unwrap();
        let expected = [
            ("write_requests", json!(1)),
            ("write_requests_400", json!(1)),
            ("write_duration_seconds", json!(0.025)),
            ("received_samples", json!(9)),
            ("written_samples", json!(4)),
            ("ignored_samples", json!(2)),
            ("ignored_samples_value_not_finite", json!(2)),
            ("failed_samples", json!(3)),
            ("failed_samples_MissingMetricName", json!(3)),
            ("rejected_samples", json!(0)),
            ("dead_letter_samples", json!(1)),
            ("dead_letter_errors", json!(0)),
            ("written_metadata", json!(0)),
            ("ignored_metadata", json!(0)),
            ("failed_metadata", json!(0)),
            ("write_calls", json!(1)),
            ("write_retries", json!(0)),
            ("write_units", json!(1)),
        ];
        let metrics = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
        let named: Vec<&str> = metrics
            .as_array()
            .unwrap()
            .iter()
            .map(|metric| metric["Name"].as_str().unwrap())
            .collect();
        assert_eq!(named, expected.each_ref().map(|(name, _)| *name));
        for (name, value) in expected {
            assert_eq!(line[name], value, "{name}");
        }
        assert_eq!(metrics[2]["Unit"], "Seconds");
        assert_eq!(line["_aws"]["Timestamp"], 1_600_000_000_000_i64);
        assert_eq!(line[DIMENSION], "f");
        assert_eq!(line["request_id"], "id");
        assert_eq!(line["status"], 400);
    }

    #[test]
    fn a_run() {
        let run = RunCount {
            kind: "prometheus",
            result: RunResult::Failed,
            rows: 5,
            rejected: 0,
            duration: Duration::from_millis(250),
        };
        let line = Numbers::of_run(&run).to_line("f", "id", 0);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["definition_runs"], 1);
        assert_eq!(line["definition_runs_failed"], 1);
        assert_eq!(line["definition_rows"], 5);
        assert_eq!(line["definition_rows_prometheus"], 5);
        assert_eq!(line["definition_run_duration_seconds"], 0.25);
        assert!(line["status"].is_null());
        let lost = RunCount {
            result: RunResult::ClaimLost,
            ..run
        };
        let line = Numbers::of_run(&lost).to_line("f", "id", 0);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["definition_runs_claim_lost"], 1);
        assert!(line["definition_run_duration_seconds"].is_null());
    }

    #[test]
    fn a_request_that_was_not_understood_has_no_samples() {
        let numbers = Numbers::of_read(None, 415, Duration::ZERO);
        let line: Value = serde_json::from_str(&numbers.to_line("f", "id", 0)).unwrap();
        assert_eq!(line["read_requests_415"], 1);
        assert!(line["read_series"].is_null());
    }
}
