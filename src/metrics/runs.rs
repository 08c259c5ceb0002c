//! The metrics of jobs, by their type: there may be any number of names of jobs.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::measurement::{Measurement, Value};
use super::{DURATION_BUCKETS, add};

/// The end of an attempt to run a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunResult {
    /// The run was complete.
    Complete,
    /// It failed.
    Failed,
    /// It was stopped; the next one goes on.
    Interrupted,
    /// Its caller left, or its time was over, before it had ended.
    Aborted,
    /// A run was still going on.
    Skipped,
    /// Another process had the tick.
    ClaimLost,
    /// The definition was paused.
    Paused,
    /// The definition was disabled.
    Disabled,
    /// The state could not be read or written.
    StateError,
    /// There was no memory for the pushed rows.
    NoMemory,
}

impl RunResult {
    const ALL: [Self; 10] = [
        Self::Complete,
        Self::Failed,
        Self::Interrupted,
        Self::Aborted,
        Self::Skipped,
        Self::ClaimLost,
        Self::Paused,
        Self::Disabled,
        Self::StateError,
        Self::NoMemory,
    ];

    /// Returns the value of the label `result`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Aborted => "aborted",
            Self::Skipped => "skipped",
            Self::ClaimLost => "claim_lost",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::StateError => "state_error",
            Self::NoMemory => "no_memory",
        }
    }

    /// Returns true if anything has run.
    fn has_run(self) -> bool {
        matches!(
            self,
            Self::Complete | Self::Failed | Self::Interrupted | Self::Aborted
        )
    }
}

/// An attempt to run a definition.
#[derive(Clone, Copy, Debug)]
pub struct RunCount {
    /// The definition's type.
    pub kind: &'static str,
    /// Its end.
    pub result: RunResult,
    /// Samples that it stored.
    pub rows: u64,
    /// Samples that cannot be stored.
    pub rejected: u64,
    /// The duration of the run.
    pub duration: Duration,
}

/// The metrics of runs under their names, and under the names that they had before.
#[derive(Debug)]
pub(super) struct RunMetrics([Named; 2]);

/// The metrics of runs under one set of names.
#[derive(Debug)]
struct Named {
    runs: Family<Outcome, Counter>,
    samples: Family<Kind, Counter>,
    rejected: Family<Kind, Counter>,
    duration: Family<Kind, Histogram, fn() -> Histogram>,
    last_success: Family<Kind, Gauge<f64, AtomicU64>>,
}

/// Names of metrics.
struct Names {
    runs: &'static str,
    samples: &'static str,
    rejected: &'static str,
    duration: &'static str,
    last_success: &'static str,
}

const NAMES: Names = Names {
    runs: "job_runs",
    samples: "job_samples",
    rejected: "job_rejected_samples",
    duration: "job_run_duration_seconds",
    last_success: "job_last_success_timestamp_seconds",
};

/// The names before those, which dashboards and alerts may still use; CloudWatch has these only.
const FORMER_NAMES: Names = Names {
    runs: "definition_runs",
    samples: "definition_rows",
    rejected: "definition_rejected_rows",
    duration: "definition_run_duration_seconds",
    last_success: "definition_last_success_timestamp_seconds",
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
    r#type: &'static str,
}

/// Returns the measurements of an attempt, for CloudWatch.
pub(super) fn measurements(run: &RunCount) -> Vec<Measurement> {
    let mut all = Vec::with_capacity(4);
    all.push(Measurement::count_by(
        FORMER_NAMES.runs,
        [(run.result.as_str(), 1)],
    ));
    if run.result.has_run() {
        let seconds = run.duration.as_secs_f64();
        all.extend([
            Measurement::count_by(FORMER_NAMES.samples, [(run.kind, run.rows)]),
            Measurement::count_by(FORMER_NAMES.rejected, [(run.kind, run.rejected)]),
            Measurement::new(FORMER_NAMES.duration, Value::Seconds(seconds)),
        ]);
    }
    all
}

impl RunMetrics {
    /// Registers the metrics, with zero values for each of `types` of jobs.
    pub(super) fn register(
        registry: &mut Registry,
        types: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let types: Vec<_> = types.into_iter().collect();
        let help = |text: &str| text.to_owned();
        let former = |text: &str| format!("{text}; former name");
        Self([
            Named::register(registry, &NAMES, &types, help),
            Named::register(registry, &FORMER_NAMES, &types, former),
        ])
    }

    pub(super) fn add(&self, run: &RunCount) {
        for named in &self.0 {
            named.add(run);
        }
    }
}

impl Named {
    fn register(
        registry: &mut Registry,
        names: &Names,
        types: &[&'static str],
        help: impl Fn(&str) -> String,
    ) -> Self {
        let r = registry;
        let runs = help(
            "Attempts to run jobs, by result; skipped: a run was still in progress; claim_lost: another process \
             has the tick; aborted: the caller disconnected, or time ran out, before the run ended; no_memory: \
             pushed rows did not fit",
        );
        let samples = help("Samples that jobs stored or delivered");
        let rejected = help("Samples of jobs that cannot be stored, or were dropped by policy");
        let last_success =
            help("Time at which this process last completed a job; 0 if it never did");
        let duration: Family<Kind, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS));
        r.register(
            names.duration,
            help("Duration of job runs"),
            duration.clone(),
        );
        let metrics = Self {
            runs: add(r, names.runs, &runs),
            samples: add(r, names.samples, &samples),
            rejected: add(r, names.rejected, &rejected),
            duration,
            last_success: add(r, names.last_success, &last_success),
        };
        for &r#type in types {
            for result in RunResult::ALL {
                drop(metrics.runs.get_or_create(&Outcome {
                    r#type,
                    result: result.as_str(),
                }));
            }
            let kind = Kind { r#type };
            drop(metrics.samples.get_or_create(&kind));
            drop(metrics.rejected.get_or_create(&kind));
            drop(metrics.duration.get_or_create(&kind));
            drop(metrics.last_success.get_or_create(&kind));
        }
        metrics
    }

    fn add(&self, run: &RunCount) {
        let kind = Kind { r#type: run.kind };
        let outcome = Outcome {
            r#type: run.kind,
            result: run.result.as_str(),
        };
        self.runs.get_or_create(&outcome).inc();
        if !run.result.has_run() {
            return;
        }
        self.samples.get_or_create(&kind).inc_by(run.rows);
        self.rejected.get_or_create(&kind).inc_by(run.rejected);
        let seconds = run.duration.as_secs_f64();
        self.duration.get_or_create(&kind).observe(seconds);
        if run.result == RunResult::Complete {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.unwrap_or_default().as_secs_f64();
            self.last_success.get_or_create(&kind).set(now);
        }
    }
}
