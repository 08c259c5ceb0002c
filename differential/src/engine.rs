//! Our engine, over the data in memory.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use prom_model::{FloatHistogram, Labels, Sample};
use promql::{
    Engine, EngineOptions, HistogramSample, Outcome, ParserOptions, SampleValue, Selection,
    StartTimestamps, Storage, StoredSeries, VectorSample,
};

use crate::data::{Float, Point, Series};
use crate::query::{Query, Times};
use crate::result::{QueryResult, Samples, Value};

/// Series in memory, as a storage.
#[derive(Debug)]
pub struct Memory(Vec<StoredSeries>);

impl Memory {
    /// Returns the series as a storage, sorted by their labels.
    ///
    /// # Panics
    /// A histogram is not valid.
    pub fn new(all: &[Series]) -> Self {
        let mut memory = Self::in_order(all);
        memory.0.sort_by(|a, b| a.labels.cmp(&b.labels));
        memory
    }

    /// Returns the series as a storage, in this order.
    ///
    /// # Panics
    /// A histogram is not valid.
    pub fn in_order(all: &[Series]) -> Self {
        Self(all.iter().map(stored).collect())
    }
}

fn stored(series: &Series) -> StoredSeries {
    let floats = series.floats.iter();
    let histograms = series.histograms.iter();
    StoredSeries {
        labels: Arc::new(series.labels.clone()),
        floats: floats
            .clone()
            .map(|it| Sample {
                timestamp_ms: it.time_ms,
                value: it.value,
            })
            .collect(),
        histograms: histograms
            .clone()
            .map(|it| HistogramSample {
                timestamp_ms: it.histogram.timestamp_ms,
                histogram: Arc::new(
                    FloatHistogram::try_from(&it.histogram).expect("the data is valid"),
                ),
            })
            .collect(),
        starts: Some(Box::new(StartTimestamps {
            floats: floats.map(|it| it.start_ms).collect(),
            histograms: histograms.map(|it| it.start_ms).collect(),
        })),
    }
}

impl Storage for Memory {
    type Error = Infallible;

    /// Returns the samples within the range of the selection, and no others.
    fn select(&self, selection: &Selection) -> Result<Vec<StoredSeries>, Infallible> {
        let is_selected = |labels: &Labels| {
            let mut matchers = selection.matchers.iter();
            matchers.all(|it| {
                it.name
                    .as_str()
                    .is_some_and(|name| it.matches(labels.get(name)))
            })
        };
        let range = selection.time_range_ms();
        let selected = self.0.iter().filter(|it| is_selected(&it.labels));
        let within = selected.map(|it| within(it, range));
        Ok(within
            .filter(|it| !(it.floats.is_empty() && it.histograms.is_empty()))
            .collect())
    }
}

/// Returns the samples of a series after the first time, up to the second one.
fn within(series: &StoredSeries, (after, last): (i64, i64)) -> StoredSeries {
    let cut = |times: &mut dyn Iterator<Item = i64>| {
        let times: Vec<_> = times.collect();
        let end = times.partition_point(|&it| it <= last);
        times.partition_point(|&it| it <= after).min(end)..end
    };
    let floats = cut(&mut series.floats.iter().map(|it| it.timestamp_ms));
    let histograms = cut(&mut series.histograms.iter().map(|it| it.timestamp_ms));
    let starts = series.starts.as_ref().map(|starts| {
        Box::new(StartTimestamps {
            floats: starts.floats[floats.clone()].to_vec(),
            histograms: starts.histograms[histograms.clone()].to_vec(),
        })
    });
    StoredSeries {
        labels: Arc::clone(&series.labels),
        floats: series.floats[floats].to_vec(),
        histograms: series.histograms[histograms].to_vec(),
        starts,
    }
}

/// Returns the options of a query.
pub fn options(query: &Query) -> EngineOptions {
    EngineOptions {
        parser: ParserOptions::everything(),
        lookback_ms: query.lookback_ms,
        delayed_name_removal: query.delayed_name_removal,
        start_timestamps: query.start_timestamps,
        type_and_unit_labels: query.type_and_unit_labels,
        per_step_statistics: query.per_step_statistics,
        ..EngineOptions::default()
    }
}

/// Evaluates a query. A panic is an error whose text begins with `panic`.
pub fn evaluate(memory: &Memory, query: &Query, text: &str) -> QueryResult {
    let engine = Engine::new(options(query));
    let evaluation = || {
        let planned = match query.times {
            Times::Instant(time) => engine.instant(text, time),
            Times::Range { start, end, step } => engine.range(text, start, end, step),
        };
        match planned {
            Ok(planned) => {
                let Ok(outcome) = planned.run(memory);
                result(outcome)
            }
            Err(error) => QueryResult::error(error.to_string()),
        }
    };
    catch_unwind(AssertUnwindSafe(evaluation)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref().copied());
        QueryResult::error(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn result(outcome: Outcome) -> QueryResult {
    let value = outcome.value.map_err(|error| error.to_string());
    let (mut warnings, mut infos) = (outcome.annotations.warnings(), outcome.annotations.infos());
    warnings.sort_unstable();
    infos.sort_unstable();
    let per_step = outcome.per_step.unwrap_or_default();
    let samples = Samples {
        total: outcome.statistics.total_samples,
        read: outcome.statistics.samples_read,
        per_step: per_step
            .iter()
            .map(|it| (it.timestamp_ms, it.total_samples, it.samples_read))
            .collect(),
    };
    QueryResult {
        value: value.map(converted),
        warnings,
        infos,
        samples: Some(samples),
    }
}

fn converted(value: promql::Value) -> Value {
    match value {
        promql::Value::Scalar {
            timestamp_ms,
            value,
        } => Value::Scalar(timestamp_ms, value),
        promql::Value::String {
            timestamp_ms,
            value,
        } => Value::String(
            timestamp_ms,
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        ),
        promql::Value::Vector(all) => Value::Vector(all.into_iter().map(of_sample).collect()),
        promql::Value::Matrix(all) => {
            let series = all.into_iter().map(|it| Series {
                labels: Labels::clone(&it.labels),
                floats: it
                    .floats
                    .iter()
                    .map(|it| float(it.timestamp_ms, it.value))
                    .collect(),
                histograms: it
                    .histograms
                    .iter()
                    .map(|it| point(it.timestamp_ms, &it.histogram))
                    .collect(),
            });
            Value::Matrix(series.collect())
        }
    }
}

fn of_sample(sample: VectorSample) -> Series {
    let mut series = Series {
        labels: Labels::clone(&sample.labels),
        floats: Vec::new(),
        histograms: Vec::new(),
    };
    match sample.value {
        SampleValue::Float(value) => series.floats.push(float(sample.timestamp_ms, value)),
        SampleValue::Histogram(it) => series.histograms.push(point(sample.timestamp_ms, &it)),
    }
    series
}

fn float(time_ms: i64, value: f64) -> Float {
    Float {
        time_ms,
        value,
        start_ms: 0,
    }
}

fn point(time_ms: i64, histogram: &FloatHistogram) -> Point {
    Point {
        histogram: histogram.to_histogram(time_ms),
        start_ms: 0,
    }
}
