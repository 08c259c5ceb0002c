//! The engine: options, queries and their outcomes.

use crate::annotations::Annotations;
use crate::ast::Expr;
use crate::error::{EvaluationError, QueryError};
use crate::eval::{self, Stop};
use crate::parser::{ParserOptions, parse};
use crate::plan::{self, Plan, QueryRange};
use crate::steps::Steps;
use crate::storage::{Fetched, Selection, Storage};
use crate::value::Value;

/// The settings of an engine. The default is Prometheus 3.15 without flags.
///
/// ```
/// use promql::{EngineOptions, ParserOptions};
///
/// let options = EngineOptions {
///     parser: ParserOptions::everything(),
///     delayed_name_removal: true,
///     ..EngineOptions::default()
/// };
/// assert_eq!(options.lookback_ms, 300_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// The language that is accepted.
    pub parser: ParserOptions,
    /// The age at which a sample stops being the current one, in milliseconds (`--query.lookback-delta`).
    pub lookback_ms: i64,
    /// The number of samples that a query may hold at the same time (`--query.max-samples`). A native histogram counts
    /// as several.
    pub max_samples: usize,
    /// The step of subqueries without one, in milliseconds (`global.evaluation_interval`).
    pub default_subquery_step_ms: i64,
    /// Removes metric names at the end of the evaluation only (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Uses the times at which counters began (`use-start-timestamps`).
    pub start_timestamps: bool,
    /// Judges by the label `__type__` if a metric is a counter (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Counts samples for each step too (`promql-per-step-stats`, and `stats=all` of a request).
    pub per_step_statistics: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            parser: ParserOptions::default(),
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            default_subquery_step_ms: 60_000,
            delayed_name_removal: false,
            start_timestamps: false,
            type_and_unit_labels: false,
            per_step_statistics: false,
        }
    }
}

/// An engine that evaluates queries over samples that others fetch. It has no state but its options.
///
/// ```
/// use promql::{Engine, EngineOptions, Fetched, Progress, SampleValue, StoredSeries, Value};
/// use prom_model::Sample;
///
/// let query = Engine::new(EngineOptions::default()).instant("requests_total{job='api'}", 60_000)?;
/// // The samples are fetched first, from wherever they are, and at the same time for all selectors.
/// let mut fetched = Fetched::default();
/// for selection in query.selections() {
///     let floats = vec![Sample { timestamp_ms: 45_000, value: 4.0 }];
///     fetched.add(selection.clone(), vec![StoredSeries { floats, ..StoredSeries::default() }]);
/// }
/// let Progress::Done(outcome) = query.evaluate(&fetched, &|| None) else { unreachable!() };
/// let Ok(Value::Vector(vector)) = outcome.value else { unreachable!() };
/// assert!(matches!(vector[0].value, SampleValue::Float(4.0)));
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// Returns an engine with these options.
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// Returns a query for one time, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// The query is rejected, or a duration in it cannot be calculated.
    pub fn instant<Q: AsRef<[u8]> + ?Sized>(
        &self,
        query: &Q,
        time_ms: i64,
    ) -> Result<Query, QueryError> {
        let expr = parse(query, &self.options.parser)?;
        let range = QueryRange {
            steps: Steps::instant(time_ms)?,
            is_instant: true,
        };
        self.query(query.as_ref(), &expr, range)
    }

    /// Returns a query for the times `start_ms`, `start_ms + step_ms`, ... up to `end_ms`, in milliseconds since the
    /// Unix epoch.
    ///
    /// # Errors
    /// The query is rejected, its value is neither a scalar nor an instant vector, a duration in it cannot be
    /// calculated, `step_ms` is below 1, or there are more than 2^31 steps.
    pub fn range<Q: AsRef<[u8]> + ?Sized>(
        &self,
        query: &Q,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Query, QueryError> {
        let expr = parse(query, &self.options.parser)?;
        let value_type = expr.value_type;
        if !matches!(
            value_type,
            crate::ValueType::Vector | crate::ValueType::Scalar
        ) {
            return Err(QueryError::NotForRanges(value_type));
        }
        let range = QueryRange {
            steps: Steps::range(start_ms, end_ms, step_ms)?,
            is_instant: false,
        };
        self.query(query.as_ref(), &expr, range)
    }

    fn query(&self, text: &[u8], expr: &Expr, range: QueryRange) -> Result<Query, QueryError> {
        Ok(Query {
            text: text.to_vec(),
            plan: plan::plan(expr, range, &self.options)?,
            options: self.options,
        })
    }
}

/// A query that is ready for evaluation.
///
/// ```
/// use promql::{Engine, EngineOptions};
///
/// let query = Engine::new(EngineOptions::default()).instant("up == 0 or up offset 5m == 0", 0)?;
/// assert_eq!(query.selections().len(), 2);
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Debug)]
pub struct Query {
    text: Vec<u8>,
    plan: Plan,
    options: EngineOptions,
}

/// A reason to stop an evaluation.
///
/// ```
/// use promql::{Engine, EngineOptions, Fetched, Interrupt, Progress};
///
/// let query = Engine::new(EngineOptions::default()).instant("vector(1)", 0)?;
/// let evaluated = query.evaluate(&Fetched::default(), &|| Some(Interrupt::TimedOut));
/// let Progress::Done(outcome) = evaluated else { unreachable!() };
/// let error = outcome.value.unwrap_err();
/// assert_eq!(error.to_string(), "query timed out in expression evaluation");
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The time of the query is over.
    TimedOut,
    /// The client does not want the result any more.
    Canceled,
}

/// The state of a query after an evaluation, see [`Fetched`].
///
/// ```
/// use promql::{Engine, EngineOptions, Fetched, Progress};
///
/// let query = Engine::new(EngineOptions::default()).instant("up", 0).unwrap();
/// let progress = query.evaluate(&Fetched::default(), &|| None);
/// assert!(matches!(progress, Progress::Needs(selections) if selections.len() == 1));
/// ```
#[derive(Debug)]
pub enum Progress {
    /// It is complete.
    Done(Outcome),
    /// These selections have to be added to what was fetched, and the query evaluated again: some of the query's own, or
    /// one that `info` needs and that depends on its first argument.
    Needs(Vec<Selection>),
}

/// The result of a query, or the error that ended it, with the annotations until then.
///
/// ```
/// use promql::{Engine, EngineOptions, MemoryStorage};
///
/// let query = Engine::new(EngineOptions::default()).instant("sum(up)", 0).unwrap();
/// let outcome = query.run(&MemoryStorage::default()).unwrap();
/// assert!(outcome.value.is_ok() && outcome.annotations.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The result.
    pub value: Result<Value, EvaluationError>,
    /// Warnings and infos.
    pub annotations: Annotations,
    /// The samples that the evaluation touched.
    pub statistics: Statistics,
    /// Those of each step in the order of the steps, if [`EngineOptions::per_step_statistics`] requests them and there are
    /// at most 2^20 steps.
    pub per_step: Option<Vec<StepStatistics>>,
}

/// The samples that an evaluation touched. A native histogram counts as several.
///
/// ```
/// use prom_model::Sample;
/// use promql::{Engine, EngineOptions, Fetched, Progress, StoredSeries};
///
/// let query = Engine::new(EngineOptions::default()).instant("up", 0)?;
/// let floats = vec![Sample { timestamp_ms: 0, value: 1.0 }];
/// let mut fetched = Fetched::default();
/// fetched.add(query.selections()[0].clone(), vec![StoredSeries { floats, ..StoredSeries::default() }]);
/// let Progress::Done(outcome) = query.evaluate(&fetched, &|| None) else { unreachable!() };
/// assert_eq!(outcome.statistics.total_samples, 1);
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Samples that selectors handed to the evaluation; one that several windows contain counts for each.
    pub total_samples: u64,
    /// The same, but a sample that the windows of several steps contain counts once.
    pub samples_read: u64,
    /// The largest number of samples that were held at the same time.
    pub peak_samples: usize,
}

/// The samples that an evaluation touched for a step, see [`Statistics`].
///
/// ```
/// use promql::{Engine, EngineOptions, MemoryStorage, SampleValue};
/// use prom_model::{Label, Labels};
///
/// let mut storage = MemoryStorage::default();
/// let labels = Labels::new(vec![Label { name: "__name__".to_owned(), value: "m".to_owned() }]);
/// for minute in 0..10 {
///     storage.append(&labels, minute * 60_000, SampleValue::Float(1.0))?;
/// }
/// let engine = Engine::new(EngineOptions { per_step_statistics: true, ..EngineOptions::default() });
/// let query = engine.range("sum_over_time(m[3m])", 300_000, 420_000, 60_000);
/// let outcome = query?.run(&storage)?;
/// let steps: Vec<_> = outcome.per_step.unwrap().iter().map(|it| (it.total_samples, it.samples_read)).collect();
/// assert_eq!(steps, [(3, 3), (3, 1), (3, 1)]);
/// assert_eq!((outcome.statistics.total_samples, outcome.statistics.samples_read), (9, 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepStatistics {
    /// The time of the step in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Samples that selectors handed to the evaluation of the step.
    pub total_samples: u64,
    /// Those that no step before has had.
    pub samples_read: u64,
}

/// The memory that an evaluation holds at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The samples, counted as for [`EngineOptions::max_samples`].
    pub samples: usize,
    /// The bytes of the series beside their samples: mostly labels that no fetched series has.
    pub series_bytes: usize,
}

impl Query {
    /// Returns the selections that have to be fetched before the evaluation. None occurs twice.
    pub fn selections(&self) -> &[Selection] {
        &self.plan.selections
    }

    /// Evaluates the query over what was fetched for its selections. `interrupt` is called again and again, and ends
    /// the evaluation by returning a reason.
    pub fn evaluate(
        &self,
        fetched: &Fetched,
        interrupt: &dyn Fn() -> Option<Interrupt>,
    ) -> Progress {
        self.evaluate_measured(fetched, &|_| interrupt())
    }

    /// Does the same as [`Self::evaluate`]; `interrupt` is given what the evaluation holds, so that it can reserve the
    /// memory. What a series adds is counted when it is complete.
    pub fn evaluate_measured(
        &self,
        fetched: &Fetched,
        interrupt: &dyn Fn(Held) -> Option<Interrupt>,
    ) -> Progress {
        let missing = self.plan.selections.iter();
        let missing: Vec<_> = missing.filter(|it| fetched.get(it).is_none()).collect();
        if !missing.is_empty() {
            return Progress::Needs(missing.into_iter().cloned().collect());
        }
        let evaluation = eval::evaluate(&self.plan, &self.text, &self.options, fetched, interrupt);
        let value = match evaluation.value {
            Ok(value) => Ok(value),
            Err(Stop::Needs) => return Progress::Needs(evaluation.needed),
            Err(Stop::Error(error)) => Err(error),
        };
        Progress::Done(Outcome {
            value,
            annotations: evaluation.annotations,
            statistics: evaluation.statistics,
            per_step: evaluation.per_step,
        })
    }

    /// Fetches from a synchronous storage what the query needs, and evaluates it.
    ///
    /// # Errors
    /// The storage failed. Errors of the query are in the outcome.
    pub fn run<S: Storage>(&self, storage: &S) -> Result<Outcome, S::Error> {
        let mut fetched = Fetched::default();
        loop {
            match self.evaluate(&fetched, &|| None) {
                Progress::Done(outcome) => return Ok(outcome),
                Progress::Needs(selections) => {
                    for selection in selections {
                        let series = storage.select(&selection)?;
                        fetched.add(selection, series);
                    }
                }
            }
        }
    }
}
