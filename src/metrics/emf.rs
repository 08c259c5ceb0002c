//! The numbers of one request, or of one run of a connector definition, for CloudWatch, which takes them out of lines on stdout.
//!
//! The embedded metric format is a JSON object with the values at its top and a description under
//! `_aws`:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
//! The names are those of `/metrics` without prefix and `_total`. What has a label there is its sum
//! here, and once more for each value that occurred, with the value at the end of the name. CloudWatch
//! bills by the name, so there is no metric for what never occurs.

use std::collections::BTreeMap;
use std::iter;

use serde_json::{Map, Value, json};

use super::VERSION;
use super::measurement::{Measurement, Value as Measured};

/// The namespace of the metrics in CloudWatch.
pub const NAMESPACE: &str = "TimestreamConnector";
/// The dimension that all of them have.
pub const DIMENSION: &str = "FunctionName";

/// The measurements of a request or a run, as a record for CloudWatch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmfRecord {
    /// Of a request.
    status: Option<u16>,
    measurements: Vec<Measurement>,
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

impl EmfRecord {
    pub(super) fn new(status: Option<u16>, measurements: Vec<Measurement>) -> Self {
        Self {
            status,
            measurements,
        }
    }

    /// Returns the line that CloudWatch reads, for an invocation of a function at a time.
    pub fn to_line(&self, function: &str, request_id: &str, timestamp_ms: i64) -> String {
        let values = self.measurements.iter().flat_map(values);
        let values: Vec<_> = values.collect();
        let described: Vec<Value> = values
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
        for (name, _, value) in values {
            line.insert(name, value);
        }
        Value::Object(line).to_string()
    }
}

/// Returns the metrics of a measurement: one, and another one for each label that occurred.
fn values(measurement: &Measurement) -> Vec<(String, Unit, Value)> {
    let Measurement { name, value } = measurement;
    let counts = match value {
        Measured::Count(count) | Measured::Current(count) => {
            return vec![((*name).to_owned(), Unit::Count, (*count).into())];
        }
        // The sum alone: CloudWatch bills by the name.
        Measured::CountByCluster(_) => {
            return vec![((*name).to_owned(), Unit::Count, value.total().into())];
        }
        Measured::Bytes(bytes) | Measured::CurrentBytes(bytes) => {
            return vec![((*name).to_owned(), Unit::Bytes, (*bytes).into())];
        }
        Measured::Seconds(seconds) => {
            return vec![((*name).to_owned(), Unit::Seconds, (*seconds).into())];
        }
        Measured::Status(status) => vec![(format!("{name}_{status}"), 1)],
        Measured::CountBy(counts) => {
            let occurred = counts.iter().filter(|(_, count)| *count > 0);
            occurred
                .map(|(label, count)| (format!("{name}_{label}"), *count))
                .collect()
        }
    };
    let mut by_name = BTreeMap::<String, u64>::new();
    for (name, count) in counts {
        *by_name.entry(name).or_default() += count;
    }
    let sum = ((*name).to_owned(), value.total());
    let all = iter::once(sum).chain(by_name);
    all.map(|(name, count)| (name, Unit::Count, count.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Format, Metrics, RunCount, RunResult};
    use super::*;
    use crate::ingest::{DeadLetterOutcome, InvalidSeries, WriteOutcome};
    use crate::query::{CacheCounts, Evictions, ReadOutcome};
    use crate::storage::write::route::SeriesError;
    use crate::storage::write::series::IgnoreReason;

    #[test]
    fn a_write() {
        let outcome = WriteOutcome {
            received: 9,
            stored: 4,
            ignored: [(IgnoreReason::ValueNotFinite, 2)].into(),
            invalid: vec![InvalidSeries {
                error: SeriesError::NoMetricName,
                samples: 3,
                text: String::new(),
            }],
            dead_letters: DeadLetterOutcome::Stored(1),
            calls: 1,
            write_units: 1,
            ..WriteOutcome::default()
        };
        let numbers =
            Metrics::default().add_write(Some(&outcome), None, 400, Duration::from_millis(25));
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
        let line = Metrics::default().add_run(&run).to_line("f", "id", 0);
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
        let line = Metrics::default().add_run(&lost).to_line("f", "id", 0);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["definition_runs_claim_lost"], 1);
        assert!(line["definition_run_duration_seconds"].is_null());
    }

    #[test]
    fn a_query_that_used_the_cache() {
        let outcome = ReadOutcome {
            cache: Some(CacheCounts {
                hits: 3,
                misses: 1,
                samples: 700,
                evictions: Evictions {
                    size: 0,
                    expired: 2,
                },
                blocks: 4,
                bytes: 5_000,
            }),
            ..ReadOutcome::default()
        };
        let metrics = Metrics::default();
        let line = metrics.add_query(Some(&outcome), 200, Duration::ZERO);
        let line: Value = serde_json::from_str(&line.to_line("f", "id", 0)).unwrap();
        for (name, value) in [
            ("query_cache_hits", 3),
            ("query_cache_misses", 1),
            ("query_cached_samples", 700),
            ("query_cache_evictions", 2),
            ("query_cache_evictions_expired", 2),
            ("query_cache_blocks", 4),
            ("query_cache_bytes", 5_000),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert!(line["query_cache_evictions_size"].is_null());
        // The state is that of the last query, the rest are sums.
        metrics.add_query(Some(&outcome), 200, Duration::ZERO);
        let text = metrics.encode(Format::Prometheus);
        for line in [
            "timestream_connector_query_cache_hits_total 6",
            "timestream_connector_query_cache_evictions_total{reason=\"expired\"} 4",
            "timestream_connector_query_cache_blocks 4",
            "timestream_connector_query_cache_bytes 5000",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}");
        }
        // Without the cache there is nothing to say about it.
        let line = metrics.add_query(Some(&ReadOutcome::default()), 200, Duration::ZERO);
        assert!(!line.to_line("f", "id", 0).contains("query_cache"));
    }

    #[test]
    fn a_request_that_was_not_understood_has_no_samples() {
        let numbers = Metrics::default().add_read(None, 415, Duration::ZERO);
        let line: Value = serde_json::from_str(&numbers.to_line("f", "id", 0)).unwrap();
        assert_eq!(line["read_requests_415"], 1);
        assert!(line["read_series"].is_null());
    }
}
