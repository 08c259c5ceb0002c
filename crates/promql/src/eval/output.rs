//! Results of queries from the values of their expressions.

use std::sync::Arc;

use prom_model::Sample;

use super::grid::{self, GridFloat, GridSeries};
use super::range_vector::WindowCursor;
use super::sample_counter::InnerSteps;
use super::scalar::Scalar;
use super::{Evaluated, Evaluator, functions};
use crate::plan::{Extension, Node, NodeKind};
use crate::value::{HistogramSample, SampleValue, Series, Value, VectorSample};
use crate::value_type::ValueType;

/// Evaluates the whole query.
pub(super) fn result<'a>(ev: &mut Evaluator<'a>, root: &'a Node) -> Evaluated<Value> {
    let timestamp_ms = ev.steps.start;
    let is_range = !ev.plan.is_instant;
    match (root.value_type, &root.kind) {
        (ValueType::Vector, _) => {
            let series = ev.vector(root)?;
            let series = ev.with_final_labels(series)?;
            match is_range {
                true => Ok(Value::Matrix(ev.matrix(series))),
                false => Ok(Value::Vector(ev.instant_vector(series))),
            }
        }
        (ValueType::Scalar, _) if is_range => {
            let scalar = ev.scalar(root)?;
            let series = ev.series_of_scalar(&scalar)?;
            let series = if series.is_empty() {
                vec![]
            } else {
                vec![series]
            };
            Ok(Value::Matrix(ev.matrix(series)))
        }
        (ValueType::Scalar, _) => Ok(Value::Scalar {
            timestamp_ms,
            value: ev.scalar(root)?.at(0),
        }),
        (_, NodeKind::String(text)) => Ok(Value::String {
            timestamp_ms,
            value: text.clone(),
        }),
        _ => Ok(Value::Matrix(ev.window(root)?)),
    }
}

impl<'a> Evaluator<'a> {
    /// Returns a scalar as a series without labels.
    pub(super) fn series_of_scalar(&mut self, scalar: &Scalar) -> Evaluated<GridSeries> {
        let count = self.steps.count();
        if let Scalar::Constant(_) = scalar {
            // Numbers per step are counted already.
            self.samples.add(count as usize)?;
        }
        let mut series = GridSeries::new(Arc::default(), false);
        let float = |step| GridFloat {
            step,
            value: scalar.at(step),
        };
        series.floats = (0..count).map(float).collect();
        Ok(series)
    }

    /// Removes the names whose removal was delayed.
    fn with_final_labels(&self, mut series: Vec<GridSeries>) -> Evaluated<Vec<GridSeries>> {
        if !self.options.delayed_name_removal {
            return Ok(series);
        }
        for one in series.iter_mut().filter(|one| one.drop_name) {
            one.labels = grid::without_metadata(&one.labels);
        }
        grid::merged_at_end(series)
    }

    fn instant_vector(&self, series: Vec<GridSeries>) -> Vec<VectorSample> {
        let timestamp_ms = self.steps.start;
        let sample = |one: GridSeries| {
            let float = one.floats.first().map(|it| SampleValue::Float(it.value));
            let histogram = one.histograms.into_iter().next();
            let value = histogram
                .map(|it| SampleValue::Histogram(it.histogram))
                .or(float)?;
            Some(VectorSample {
                labels: one.labels,
                timestamp_ms,
                value,
            })
        };
        series.into_iter().filter_map(sample).collect()
    }

    fn matrix(&self, series: Vec<GridSeries>) -> Vec<Series> {
        let steps = self.steps;
        let with_times = |one: GridSeries| Series {
            labels: one.labels,
            floats: one
                .floats
                .into_iter()
                .map(|it| Sample {
                    timestamp_ms: steps.time(it.step),
                    value: it.value,
                })
                .collect(),
            histograms: one
                .histograms
                .into_iter()
                .map(|it| HistogramSample {
                    timestamp_ms: steps.time(it.step),
                    histogram: it.histogram,
                })
                .collect(),
        };
        sorted(series.into_iter().map(with_times).collect())
    }

    /// Returns the one window of a range vector that is the result of an instant query.
    fn window(&mut self, node: &'a Node) -> Evaluated<Vec<Series>> {
        if let NodeKind::Subquery(subquery) = &node.kind {
            let steps = subquery.steps(self.steps)?;
            let total_before = self.samples.begin(InnerSteps::Once);
            let series = self.at_steps(steps, |ev| {
                let series = ev.inner_of_subquery(&subquery.expr)?;
                Ok(ev.matrix(ev.with_final_labels(series)?))
            });
            self.samples.end_repeated(total_before, self.steps);
            return series;
        }
        let range = self.range_vector(node)?;
        if range.extension != Extension::None {
            return functions::range::extended_window(self, range).map(sorted);
        }
        let (after, end) = range.window(self.steps.start);
        let mut series = Vec::with_capacity(range.series.len());
        for one in range.series {
            self.check_interrupt()?;
            let floats = WindowCursor::default().advance(&one.floats, after, end);
            let histograms = WindowCursor::default().advance(&one.histograms, after, end);
            let one = Series {
                labels: one.labels,
                floats: one.floats[floats].to_vec(),
                histograms: one.histograms[histograms].to_vec(),
            };
            let histograms = one
                .histograms
                .iter()
                .map(|it| it.histogram.size_in_samples());
            let size = one.floats.len() + histograms.sum::<usize>();
            if size > 0 {
                self.samples.count_only_step(size);
                self.samples.add(size)?;
                series.push(one);
            }
        }
        Ok(sorted(series))
    }
}

fn sorted(mut series: Vec<Series>) -> Vec<Series> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series
}
