//! Scripts that are run against the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use promql::{
    Engine, EngineOptions, MemoryStorage, Query, QueryError, SampleValue, Value, VectorSample,
};

use crate::needed::{Returned, Samples};
use crate::script::{Command, Eval, Load, parse};
use crate::series::Item;
use crate::{at, check, nhcb};

/// The number of samples that an evaluation may hold.
const MAX_SAMPLES: usize = 10_000;

/// The half of the range of the range queries that instant queries are compared with, and their step.
const MINUTE_MS: i64 = 60_000;

/// Returns the options that the scripts are written for.
pub(crate) fn options() -> EngineOptions {
    EngineOptions {
        parser: promql::ParserOptions::everything(),
        max_samples: MAX_SAMPLES,
        delayed_name_removal: true,
        start_timestamps: true,
        ..EngineOptions::default()
    }
}

/// An evaluation that has been run.
pub(crate) struct Evaluated {
    /// The line of the script.
    pub(crate) line: usize,
    /// The expression.
    pub(crate) expr: String,
    /// The difference from what is expected.
    pub(crate) difference: Option<String>,
}

/// Runs the evaluations of a script, or that of one line.
pub(crate) fn run(
    script: &str,
    options: EngineOptions,
    returned: Returned,
    line: Option<usize>,
) -> Result<Vec<Evaluated>, String> {
    let engine = Engine::new(options);
    let (mut storage, mut evaluated) = (MemoryStorage::default(), Vec::new());
    for command in parse(script)? {
        match command {
            Command::Clear => storage = MemoryStorage::default(),
            Command::Load(load) => {
                let stored = store(&mut storage, &load);
                stored.map_err(|error| format!("line {}: {error}", load.line))?;
            }
            Command::Eval(eval) if line.is_some_and(|line| line != eval.line) => {}
            Command::Eval(eval) => {
                let samples = Samples {
                    storage: &storage,
                    returned,
                };
                let result = catch_unwind(AssertUnwindSafe(|| evaluate(&engine, &samples, &eval)));
                let result = result.unwrap_or_else(|_| Err("the evaluation panicked".to_owned()));
                evaluated.push(Evaluated {
                    line: eval.line,
                    expr: eval.expr,
                    difference: result.err(),
                });
            }
        }
    }
    Ok(evaluated)
}

fn store(storage: &mut MemoryStorage, load: &Load) -> Result<(), String> {
    let mut classic = Vec::new();
    for series in &load.series {
        let (mut floats, mut timestamp_ms) = (Vec::new(), -load.step_ms);
        for (index, item) in series.items.iter().enumerate() {
            timestamp_ms += load.step_ms;
            let value = match item {
                Item::Gap => continue,
                Item::Float(value) => {
                    floats.push((timestamp_ms, *value));
                    SampleValue::Float(*value)
                }
                Item::Histogram { histogram, .. } => SampleValue::Histogram(Arc::clone(histogram)),
            };
            let start = series.starts.as_ref().and_then(|starts| starts[index]);
            let start_ms = start.map_or(0, |start| timestamp_ms + start);
            storage
                .append_with_start(&series.labels, start_ms, timestamp_ms, value)
                .map_err(|error| error.to_string())?;
        }
        classic.push((&series.labels, floats));
    }
    if load.with_nhcb {
        for (labels, histograms) in nhcb::convert(classic)? {
            for (timestamp_ms, histogram) in histograms {
                let value = SampleValue::Histogram(Arc::new(histogram));
                storage
                    .append(&labels, timestamp_ms, value)
                    .map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}

fn evaluate(engine: &Engine, samples: &Samples, eval: &Eval) -> Result<(), String> {
    let with_context = |context: String| move |error: String| format!("{context}{error}");
    if eval.is_range {
        let query = engine.range(&eval.expr, eval.start_ms, eval.end_ms, eval.step_ms);
        return match outcome(samples, eval, query)? {
            Some(value) => check::value(eval, &value),
            None => Ok(()),
        };
    }
    instant(engine, samples, eval, &eval.expr, eval.time_ms)?;
    let Some((expr, times)) = at::fixed(&eval.expr, eval.time_ms) else {
        return Ok(());
    };
    for time_ms in times {
        instant(engine, samples, eval, &expr, time_ms)
            .map_err(with_context(format!("`{expr}` at {time_ms} ms: ")))?;
    }
    Ok(())
}

/// Runs a query as an instant one, and as the middle of a range query.
fn instant(
    engine: &Engine,
    samples: &Samples,
    eval: &Eval,
    expr: &str,
    time_ms: i64,
) -> Result<(), String> {
    let Some(value) = outcome(samples, eval, engine.instant(expr, time_ms))? else {
        return Ok(());
    };
    check::value(eval, &value)?;
    let depends_on_query = ["start()", "end()", "range()", "step()"];
    if eval.is_instant_only || depends_on_query.iter().any(|call| expr.contains(call)) {
        return Ok(());
    }
    let (start_ms, end_ms) = (time_ms - MINUTE_MS, time_ms + MINUTE_MS);
    let query = engine.range(expr, start_ms, end_ms, MINUTE_MS);
    as_range(samples, eval, query, &value, time_ms)
        .map_err(|error| format!("as the middle of a range query: {error}"))
}

fn as_range(
    samples: &Samples,
    eval: &Eval,
    query: Result<Query, QueryError>,
    instant: &Value,
    time_ms: i64,
) -> Result<(), String> {
    let query = query.map_err(|error| error.to_string())?;
    let Ok(outcome) = query.run(samples);
    let Value::Matrix(matrix) = outcome.value.map_err(|error| error.to_string())? else {
        return Err("the result is no matrix".to_owned());
    };
    if eval.is_ordered {
        // Range queries have an order of their own.
        return Ok(());
    }
    check::check_order(&matrix)?;
    let mut vector = Vec::new();
    for series in matrix {
        let float = series.floats.iter().find(|it| it.timestamp_ms == time_ms);
        let float = float.map(|it| SampleValue::Float(it.value));
        let mut histograms = series.histograms.iter();
        let histogram = histograms.find(|it| it.timestamp_ms == time_ms);
        let histogram = histogram.map(|it| SampleValue::Histogram(Arc::clone(&it.histogram)));
        vector.extend(
            float
                .into_iter()
                .chain(histogram)
                .map(|value| VectorSample {
                    labels: Arc::clone(&series.labels),
                    timestamp_ms: time_ms,
                    value,
                }),
        );
    }
    let value = match (instant, vector.as_slice()) {
        (
            Value::Scalar { timestamp_ms, .. },
            [
                VectorSample {
                    value: SampleValue::Float(value),
                    ..
                },
            ],
        ) => Value::Scalar {
            timestamp_ms: *timestamp_ms,
            value: *value,
        },
        _ => Value::Vector(vector),
    };
    check::value(eval, &value)
}

/// Returns the value of a query, or `None` if it fails as expected. Checks annotations.
fn outcome(
    samples: &Samples,
    eval: &Eval,
    query: Result<Query, QueryError>,
) -> Result<Option<Value>, String> {
    let outcome = match query {
        Ok(query) => {
            let Ok(outcome) = query.run(samples);
            outcome
        }
        Err(error) => return failed(eval, &error.to_string()),
    };
    match (outcome.value, &eval.failure) {
        (Err(error), _) => failed(eval, &error.to_string()),
        (Ok(value), Some(_)) => Err(format!("expected an error, got {value:?}")),
        (Ok(value), None) => {
            check::annotations(eval, &outcome.annotations)?;
            Ok(Some(value))
        }
    }
}

fn failed(eval: &Eval, error: &str) -> Result<Option<Value>, String> {
    match &eval.failure {
        None => Err(format!("failed: {error}")),
        Some(condition) if condition.accepts(error) => Ok(None),
        Some(condition) => Err(format!("expected the error {condition}, got {error}")),
    }
}
