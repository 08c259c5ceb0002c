//! The series of targets.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use exposition::Exposition;
use prom_model::{Histogram, METRIC_NAME_LABEL};

use crate::storage::limits::MAX_DIMENSIONS;

/// The series that Prometheus adds to those of a scrape.
const REPORTED: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];
/// The most labels of a series that are held. They are more than Timestream's limit, also without one of them, so the
/// series is rejected as with all.
pub const MAX_LABELS: usize = MAX_DIMENSIONS + 3;
/// The label `job` of the targets of an exposition.
pub const JOB: &str = "exporter";

/// The series to estimate.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The targets that were read, in the order in which they are scraped.
    pub targets: Vec<Target>,
    /// Number of targets with those that were not read.
    pub all_targets: f64,
    /// Statements about the series that the reader of the bill needs.
    pub notes: Vec<String>,
}

/// Series that are scraped together.
#[derive(Clone, Debug)]
pub struct Target {
    /// Milliseconds between two scrapes.
    pub interval_ms: f64,
    /// Number of targets of this kind for which it stands.
    pub weight: f64,
    /// Its series, in the order of a scrape.
    pub series: Vec<Series>,
}

/// A series and one of its samples.
#[derive(Clone, Debug)]
pub struct Series {
    /// The labels that are not empty, the metric's name among them, by name.
    pub labels: Vec<Label>,
    /// The value.
    pub value: Value,
    /// The sample's own time in milliseconds, instead of that of the scrape.
    pub timestamp_ms: Option<i64>,
}

/// Name and value of a label.
pub type Label = (Arc<str>, Arc<str>);

/// The value of a sample.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Box<Histogram>),
}

impl Series {
    /// Returns a series of labels in any order.
    pub fn new(mut labels: Vec<Label>, value: Value, timestamp_ms: Option<i64>) -> Self {
        labels.retain(|(_, value)| !value.is_empty());
        if labels.len() > MAX_LABELS {
            labels.sort_by_key(|(name, _)| &**name != METRIC_NAME_LABEL);
            labels.truncate(MAX_LABELS);
            labels.shrink_to_fit();
        }
        labels.sort();
        Self {
            labels,
            value,
            timestamp_ms,
        }
    }

    /// Returns the value of a label, empty if it has none.
    pub fn label(&self, name: &str) -> &str {
        let label = self.labels.iter().find(|(it, _)| &**it == name);
        label.map_or("", |(_, value)| value)
    }

    /// Returns the name of its metric.
    pub fn metric(&self) -> &str {
        self.label(METRIC_NAME_LABEL)
    }
}

impl Target {
    /// Puts the series into about the order of a scrape: exporters expose their metrics by name, and Prometheus adds
    /// its own series at the end.
    pub fn sort(&mut self) {
        let is_reported = |series: &Series| REPORTED.contains(&series.metric());
        let order = |a: &Series, b: &Series| -> Ordering {
            let names = || a.metric().cmp(b.metric());
            let last = is_reported(a).cmp(&is_reported(b));
            last.then_with(names).then_with(|| a.labels.cmp(&b.labels))
        };
        self.series.sort_by(order);
    }
}

impl Input {
    /// Returns so many targets with the series of an exposition; those beyond `max_series` are scaled up.
    pub fn of_exposition(
        exposition: &Exposition<'_>,
        targets: u64,
        interval_ms: f64,
        max_series: usize,
    ) -> Self {
        let mut input = Self {
            all_targets: targets as f64,
            ..Self::default()
        };
        let exposed = exposition.samples.len();
        let read = exposed.min(max_series);
        if read < exposed {
            input.notes.push(format!(
                "The first {read} of {exposed} series of the exposition stand for all of them (--max-series)."
            ));
        }
        let series = exposed + REPORTED.len();
        let fitting = (max_series / series).max(1) as u64;
        let copies = targets.min(fitting);
        let weight = exposed as f64 / read.max(1) as f64 * targets as f64 / copies as f64;
        let mut texts = Texts::default();
        for number in 0..copies {
            let instance = format!("10.0.{}.{}:9100", number / 250 % 250, number % 250 + 1);
            let target = [("instance", &*instance), ("job", JOB)];
            let target = target.map(|(name, value)| (texts.get(name), texts.get(value)));
            let mut all = Vec::with_capacity(series);
            for sample in &exposition.samples[..read] {
                let own = exposition.labels(sample).iter();
                let own = own.filter(|(_, value)| !value.is_empty()).take(MAX_LABELS);
                let own = own.map(|(name, value)| {
                    let is_of_target = matches!(&**name, "instance" | "job");
                    let prefix = if is_of_target { "exported_" } else { "" };
                    (texts.get(&format!("{prefix}{name}")), texts.get(value))
                });
                let mut labels: Vec<Label> = own.collect();
                labels.push((texts.get(METRIC_NAME_LABEL), texts.get(&sample.name)));
                labels.extend(target.clone());
                let value = Value::Float(sample.value);
                all.push(Series::new(labels, value, sample.timestamp_ms));
            }
            for name in REPORTED {
                let mut labels = vec![(texts.get(METRIC_NAME_LABEL), texts.get(name))];
                labels.extend(target.clone());
                all.push(Series::new(labels, Value::Float(1.0), None));
            }
            input.targets.push(Target {
                interval_ms,
                weight,
                series: all,
            });
        }
        if copies < targets {
            input.notes.push(format!(
                "{copies} of the {targets} targets were computed and scaled up (--max-series)."
            ));
        }
        input.notes.push(format!(
            "Each target has job=\"{JOB}\", an instance such as 10.0.0.1:9100, and the {} series that Prometheus \
             adds to a scrape.",
            REPORTED.len()
        ));
        input
    }
}

/// Texts, each different one once: labels repeat.
#[derive(Debug, Default)]
pub struct Texts(HashSet<Arc<str>>);

impl Texts {
    /// Returns the text.
    pub fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}
