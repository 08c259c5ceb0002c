//! Evaluation of a plan over fetched samples.
//!
//! Each expression is evaluated at all steps at once. An instant vector is a list of series with values at some of the
//! steps, so that labels are looked at once per series and not once per step.

mod aggregate;
mod binary;
mod functions;
mod grid;
mod histogram_counts;
mod info;
mod kahan;
mod output;
mod range_vector;
mod sample_counter;
mod scalar;
mod select;
#[cfg(test)]
mod testing;

use prom_model::Labels;

use crate::annotations::{Annotation, Annotations};
use crate::ast::Sign;
use crate::engine::{EngineOptions, Held, Interrupt, Statistics, StepStatistics};
use crate::error::{EvaluationError, QueryError};
use crate::plan::{Node, NodeKind, Plan};
use crate::steps::Steps;
use crate::storage::{Fetched, Selection, StoredSeries};
use crate::value::Value;
use grid::GridSeries;
use sample_counter::{InnerSteps, SampleCounter};
use scalar::Scalar;

/// A reason to end an evaluation.
#[derive(Debug)]
pub(crate) enum Stop {
    Error(EvaluationError),
    /// Selections are missing that could not be known before.
    Needs,
}

impl From<EvaluationError> for Stop {
    fn from(error: EvaluationError) -> Self {
        Self::Error(error)
    }
}

impl From<QueryError> for Stop {
    fn from(error: QueryError) -> Self {
        Self::Error(EvaluationError::Execution(error.to_string()))
    }
}

/// Returns an error of the evaluation with this text.
pub(crate) fn fail<T>(message: impl Into<String>) -> Evaluated<T> {
    Err(Stop::Error(EvaluationError::Execution(message.into())))
}

/// The result of a step of the evaluation.
pub(crate) type Evaluated<T> = Result<T, Stop>;

/// Everything that an evaluation leaves.
pub(crate) struct Evaluation {
    pub(crate) value: Evaluated<Value>,
    pub(crate) annotations: Annotations,
    pub(crate) statistics: Statistics,
    pub(crate) per_step: Option<Vec<StepStatistics>>,
    pub(crate) needed: Vec<Selection>,
}

/// Evaluates a plan.
pub(crate) fn evaluate(
    plan: &Plan,
    text: &[u8],
    options: &EngineOptions,
    fetched: &Fetched,
    interrupt: &dyn Fn(Held) -> Option<Interrupt>,
) -> Evaluation {
    let mut evaluator = Evaluator {
        options,
        plan,
        fetched,
        interrupt,
        steps: plan.steps,
        samples: SampleCounter::new(options.max_samples, plan.steps, options.per_step_statistics),
        series_bytes: 0,
        annotations: Annotations::new(text),
        needed: Vec::new(),
    };
    let value = output::result(&mut evaluator, &plan.root);
    let (statistics, per_step) = evaluator.samples.statistics();
    Evaluation {
        value,
        annotations: evaluator.annotations,
        statistics,
        per_step,
        needed: evaluator.needed,
    }
}

/// The state of an evaluation.
pub(crate) struct Evaluator<'a> {
    options: &'a EngineOptions,
    plan: &'a Plan,
    fetched: &'a Fetched,
    interrupt: &'a dyn Fn(Held) -> Option<Interrupt>,
    /// The steps of the expression that is evaluated now.
    steps: Steps,
    samples: SampleCounter,
    /// The bytes of the series that are held, beside their samples.
    series_bytes: usize,
    annotations: Annotations,
    /// The selections that are missing.
    needed: Vec<Selection>,
}

impl<'a> Evaluator<'a> {
    /// Returns an error if the evaluation has to end now. It is called for each expression and each series.
    fn check_interrupt(&self) -> Evaluated<()> {
        self.check_interrupt_before(0)
    }

    /// Returns an error if the evaluation has to end before it holds so many more samples.
    fn check_interrupt_before(&self, added: usize) -> Evaluated<()> {
        let mut held = self.held();
        held.samples = held.samples.saturating_add(added);
        match (self.interrupt)(held) {
            Some(reason) => Err(EvaluationError::Interrupted(reason).into()),
            None => Ok(()),
        }
    }

    /// Returns what is held now.
    fn held(&self) -> Held {
        Held {
            samples: self.samples.held(),
            series_bytes: self.series_bytes,
        }
    }

    /// Holds a value in place of all of which it was made since `before`.
    fn hold_since(&mut self, before: Held, value: Held) -> Evaluated<()> {
        self.series_bytes = before.series_bytes + value.series_bytes;
        self.samples.set_held(before.samples + value.samples)
    }

    fn annotate(&mut self, annotation: Annotation) {
        self.annotations.add(annotation);
    }

    /// Returns the series of a selector.
    fn selected(&mut self, selection: usize) -> Evaluated<&'a [StoredSeries]> {
        match self.plan.selections.get(selection) {
            Some(selection) => self.fetched(selection),
            None => Ok(&[]),
        }
    }

    /// Returns the series of a selection, or notes that it is missing.
    fn fetched(&mut self, selection: &Selection) -> Evaluated<&'a [StoredSeries]> {
        match self.fetched.get(selection) {
            Some(series) => Ok(series),
            None => {
                self.needed.push(selection.clone());
                Err(Stop::Needs)
            }
        }
    }

    /// Evaluates with other steps.
    fn at_steps<T>(
        &mut self,
        steps: Steps,
        evaluate: impl FnOnce(&mut Self) -> Evaluated<T>,
    ) -> Evaluated<T> {
        let outer = std::mem::replace(&mut self.steps, steps);
        let result = evaluate(self);
        self.steps = outer;
        result
    }

    /// Evaluates at the first step what is the same at all. The samples that are selected count for each step.
    fn at_first_step<T>(
        &mut self,
        evaluate: impl FnOnce(&mut Self) -> Evaluated<T>,
    ) -> Evaluated<T> {
        let total_before = self.samples.begin(InnerSteps::Once);
        let result = self.at_steps(self.steps.first_only(), evaluate);
        self.samples.end_repeated(total_before, self.steps);
        result
    }

    /// Evaluates an expression that is an instant vector.
    fn vector(&mut self, node: &'a Node) -> Evaluated<Vec<GridSeries>> {
        self.check_interrupt()?;
        if self.steps.count() == 0 {
            return Ok(Vec::new());
        }
        let before = self.held();
        let series = match &node.kind {
            NodeKind::Vector(selector) if selector.smoothed => {
                functions::range::smoothed(self, selector, node.span)?
            }
            NodeKind::Vector(selector) => self.select(selector)?,
            NodeKind::Call(call) => functions::call(self, call, node.span)?,
            NodeKind::Aggregate(aggregate) => aggregate::aggregate(self, aggregate, node.span)?,
            NodeKind::Binary(binary) => binary::vector(self, binary)?,
            NodeKind::Unary(Sign::Plus, inner) => self.vector(inner)?,
            NodeKind::Unary(Sign::Minus, inner) => self.negated(inner)?,
            NodeKind::Info(info) => info::info(self, info)?,
            NodeKind::StepInvariant(inner) => self.repeated(inner)?,
            NodeKind::Number(_)
            | NodeKind::String(_)
            | NodeKind::Matrix(_)
            | NodeKind::Subquery(_) => {
                return fail(format!(
                    "a {} is no instant vector",
                    node.value_type.documented_name()
                ));
            }
        };
        // The operands are gone now.
        self.hold_since(before, grid::held(&series))?;
        Ok(series)
    }

    /// Evaluates an expression that is a scalar.
    fn scalar(&mut self, node: &'a Node) -> Evaluated<Scalar> {
        self.check_interrupt()?;
        if self.steps.count() == 0 {
            return Ok(Scalar::PerStep(Vec::new()));
        }
        let bytes_before = self.series_bytes;
        let scalar = match &node.kind {
            NodeKind::Number(number) => Ok(Scalar::Constant(*number)),
            NodeKind::Call(call) => functions::scalar_call(self, call),
            NodeKind::Binary(binary) => binary::scalar(self, binary),
            NodeKind::Unary(Sign::Plus, inner) => self.scalar(inner),
            NodeKind::Unary(Sign::Minus, inner) => Ok(self.scalar(inner)?.map(|value| -value)),
            NodeKind::StepInvariant(inner) => {
                let scalar = self.at_first_step(|ev| ev.scalar(inner))?;
                Ok(Scalar::Constant(scalar.at(0)))
            }
            _ => fail(format!(
                "a {} is no scalar",
                node.value_type.documented_name()
            )),
        };
        // The series of which it was made are gone now.
        self.series_bytes = bytes_before;
        scalar
    }

    /// Returns the scalar of a number for each step.
    fn per_step(&mut self, number: impl FnMut(u32) -> f64) -> Evaluated<Scalar> {
        let count = self.steps.count();
        self.samples.add(count as usize)?;
        self.check_interrupt()?;
        Ok(Scalar::PerStep((0..count).map(number).collect()))
    }

    fn negated(&mut self, inner: &'a Node) -> Evaluated<Vec<GridSeries>> {
        let mut series = self.vector(inner)?;
        for one in &mut series {
            self.check_interrupt()?;
            self.drop_name(one);
            one.floats.iter_mut().for_each(|it| it.value = -it.value);
            for it in &mut one.histograms {
                std::sync::Arc::make_mut(&mut it.histogram).mul(-1.0);
            }
        }
        match self.options.delayed_name_removal {
            true => Ok(series),
            // As in Prometheus, as at the end of a query.
            false => grid::merged_at_end(series),
        }
    }

    /// Evaluates an expression at the first step, and repeats its values at all others.
    fn repeated(&mut self, inner: &'a Node) -> Evaluated<Vec<GridSeries>> {
        let count = self.steps.count();
        let mut series = self.at_first_step(|ev| ev.vector(inner))?;
        for one in &mut series {
            self.samples.add(one.size() * (count as usize - 1))?;
            self.check_interrupt()?;
            one.repeat(count);
        }
        Ok(series)
    }

    /// Removes the metric name of a series, now or at the end of the evaluation.
    fn drop_name(&self, series: &mut GridSeries) {
        series.drop_name = true;
        if !self.options.delayed_name_removal {
            series.labels = grid::without_metadata(&series.labels);
        }
    }

    /// Merges series whose labels are equal after a function or operator, for example because their names are gone.
    fn merge_equal_labels(&self, series: Vec<GridSeries>) -> Evaluated<Vec<GridSeries>> {
        match self.options.delayed_name_removal && self.steps.is_instant() {
            // As in Prometheus they may be equal until the end of the evaluation.
            true => Ok(series),
            false => grid::merged(series),
        }
    }
}

/// Returns true for the labels that describe a metric: its name, type and unit.
fn is_metadata_label(name: &str) -> bool {
    matches!(
        name,
        prom_model::METRIC_NAME_LABEL | "__type__" | "__unit__"
    )
}

/// Returns the name of a metric, empty if it has none.
fn metric_name(labels: &Labels) -> &str {
    labels.get(prom_model::METRIC_NAME_LABEL)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use prom_model::{Label, Labels, Sample};

    use super::testing::{Database, histogram};
    use crate::{Engine, EngineOptions, Fetched, Progress, Query, StoredSeries};

    #[test]
    fn a_negated_float_and_a_negated_histogram_may_have_equal_labels() {
        let database = Database::default()
            .samples("a", &[(0, 1.0)])
            .samples("b", &[(0, 2.0)])
            .histograms("c", &[(0, histogram(1.0, &[3.0]))]);
        let tested = database.instant("-{__name__=~'a|c'}", 0);
        let lines = ["{} {count:-3, sum:-1, (0.5,1]:-3}"];
        assert_eq!(tested.lines(), lines);
        let tested = database.instant("-{__name__=~'a|b'}", 0);
        let error = "vector cannot contain metrics with the same labelset";
        assert_eq!(tested.error(), error);
    }

    #[test]
    fn each_walk_over_series_can_be_interrupted() {
        let series: Vec<StoredSeries> = (0..100)
            .map(|index| StoredSeries {
                labels: Arc::new(Labels::new(vec![Label {
                    name: "index".to_owned(),
                    value: index.to_string(),
                }])),
                floats: vec![Sample {
                    timestamp_ms: 1,
                    value: 1.0,
                }],
                ..StoredSeries::default()
            })
            .collect();
        for (query, walks) in [
            // The selector, and what is done with its series.
            ("-m", 2),
            ("m @ 10", 2),
            ("sum_over_time(m[1m])", 2),
            ("sum_over_time(m[10ms:1ms])", 3),
        ] {
            let engine = Engine::new(EngineOptions::default());
            let query = engine.range(query, 10, 20, 1).unwrap();
            assert_calls(&query, &series, walks);
        }
        let query = Engine::new(EngineOptions::default()).instant("m[1m]", 10);
        assert_calls(&query.unwrap(), &series, 2);
    }

    /// Asserts that `interrupt` is called in each walk over the series.
    fn assert_calls(query: &Query, series: &[StoredSeries], walks: usize) {
        let mut fetched = Fetched::default();
        for selection in query.selections() {
            fetched.add(selection.clone(), series.to_vec());
        }
        let calls = Cell::new(0);
        let count = || {
            calls.set(calls.get() + 1);
            None
        };
        assert!(matches!(
            query.evaluate(&fetched, &count),
            Progress::Done(_)
        ));
        let expected = walks * series.len();
        assert!(calls.get() >= expected, "{} of {expected}", calls.get());
    }

    #[test]
    fn samples_are_limited_as_by_prometheus() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let mut database = Database::default().floats("m", 60_000, &values);
        // The least limits with which Prometheus evaluates these at 21 steps.
        for (query, limit) in [
            ("m", 21),
            ("sum(m)", 21),
            ("-m", 21),
            ("time()", 21),
            ("vector(1)", 21),
            ("absent(m)", 22),
            ("absent(n)", 21),
        ] {
            database.options.max_samples = limit;
            let tested = database.range(query, 0, 20 * 60_000, 60_000);
            assert!(tested.result.is_ok(), "{query}: {tested:?}");
            database.options.max_samples = 20;
            let tested = database.range(query, 0, 20 * 60_000, 60_000);
            let error =
                "query processing would load too many samples into memory in query execution";
            assert_eq!(tested.error(), error, "{query}");
        }
    }
}
