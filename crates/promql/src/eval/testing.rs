//! Queries over series that unit tests give as values.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;

use prom_model::{Buckets, Count, FloatHistogram, Histogram, Label, Labels, Sample, Span};

use crate::ast::ExprKind;
use crate::engine::{Engine, EngineOptions, Outcome, Query};
use crate::parser::{ParserOptions, parse};
use crate::storage::{Selection, StartTimestamps, Storage, StoredSeries};
use crate::value::{HistogramSample, SampleValue, Value};

/// Series in memory, and an engine over them that accepts all of the language.
///
/// ```ignore
/// let database = Database::default()
///     .floats("m{a='1'}", 15_000, &[1.0, 2.0])
///     .samples("m{a='2'}", &[(0, -3.0)]);
/// let tested = database.instant("abs(m)", 15_000);
/// assert_eq!(tested.lines(), [r#"{a="1"} 2"#, r#"{a="2"} 3"#]);
/// let tested = database.range("m{a='1'}", 0, 15_000, 15_000);
/// assert_eq!(tested.lines(), [r#"m{a="1"} 1@0 2@15000"#]);
/// ```
pub(crate) struct Database {
    pub(crate) options: EngineOptions,
    series: Vec<StoredSeries>,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            options: EngineOptions {
                parser: ParserOptions::everything(),
                ..EngineOptions::default()
            },
            series: Vec::new(),
        }
    }
}

impl Database {
    /// Returns a database whose engine removes metric names at the end of an evaluation.
    pub(crate) fn with_delayed_name_removal() -> Self {
        let mut database = Self::default();
        database.options.delayed_name_removal = true;
        database
    }

    /// Adds floats at the times 0, `interval_ms`, 2 * `interval_ms`, ... to a series, which is given as a selector.
    pub(crate) fn floats(self, series: &str, interval_ms: i64, values: &[f64]) -> Self {
        let times = (0..).map(|index| index * interval_ms);
        let samples: Vec<_> = times.zip(values.iter().copied()).collect();
        self.samples(series, &samples)
    }

    /// Adds floats at times in milliseconds to a series, which is given as a selector.
    pub(crate) fn samples(mut self, series: &str, samples: &[(i64, f64)]) -> Self {
        let sample = |&(timestamp_ms, value)| Sample {
            timestamp_ms,
            value,
        };
        let series = self.series(series);
        series.floats.extend(samples.iter().map(sample));
        series.floats.sort_by_key(|it| it.timestamp_ms);
        self
    }

    /// Adds histograms at times in milliseconds to a series, which is given as a selector.
    pub(crate) fn histograms(mut self, series: &str, samples: &[(i64, FloatHistogram)]) -> Self {
        let sample = |(timestamp_ms, histogram): &(i64, FloatHistogram)| HistogramSample {
            timestamp_ms: *timestamp_ms,
            histogram: Arc::new(histogram.clone()),
        };
        let series = self.series(series);
        series.histograms.extend(samples.iter().map(sample));
        series.histograms.sort_by_key(|it| it.timestamp_ms);
        self
    }

    /// Sets the starts of the counters of a series that has its samples already.
    pub(crate) fn starts(mut self, series: &str, floats: &[i64], histograms: &[i64]) -> Self {
        self.options.start_timestamps = true;
        let series = self.series(series);
        assert_eq!(floats.len(), series.floats.len(), "starts of floats");
        let count = series.histograms.len();
        assert_eq!(histograms.len(), count, "starts of histograms");
        series.starts = Some(Box::new(StartTimestamps {
            floats: floats.to_vec(),
            histograms: histograms.to_vec(),
        }));
        self
    }

    fn series(&mut self, selector: &str) -> &mut StoredSeries {
        let labels = labels(selector);
        let found = self.series.iter().position(|it| *it.labels == labels);
        let index = found.unwrap_or_else(|| {
            self.series.push(StoredSeries {
                labels: Arc::new(labels),
                ..StoredSeries::default()
            });
            self.series.len() - 1
        });
        &mut self.series[index]
    }

    /// Evaluates an instant query.
    pub(crate) fn instant(&self, query: &str, time_ms: i64) -> Tested {
        self.run(Engine::new(self.options).instant(query, time_ms))
    }

    /// Evaluates a range query.
    pub(crate) fn range(&self, query: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> Tested {
        self.run(Engine::new(self.options).range(query, start_ms, end_ms, step_ms))
    }

    fn run(&self, query: Result<Query, crate::QueryError>) -> Tested {
        match query.map(|query| query.run(self)) {
            Ok(Ok(outcome)) => Tested::new(&outcome),
            Err(error) => Tested {
                result: Err(error.to_string()),
                warnings: Vec::new(),
                infos: Vec::new(),
            },
        }
    }
}

/// Series in the order in which they were added, with all their samples.
impl Storage for Database {
    type Error = Infallible;

    fn select(&self, selection: &Selection) -> Result<Vec<StoredSeries>, Infallible> {
        let is_selected = |series: &&StoredSeries| {
            selection.matchers.iter().all(|matcher| {
                let name = matcher.name.as_str();
                matcher.matches(name.map_or("", |name| series.labels.get(name)))
            })
        };
        Ok(self.series.iter().filter(is_selected).cloned().collect())
    }
}

/// The outcome of a query as text.
#[derive(Debug)]
pub(crate) struct Tested {
    /// The error, or a line for each series: its labels and its values, in range vectors with `@` and their times in
    /// milliseconds. Scalars and strings are their value alone.
    pub(crate) result: Result<Vec<String>, String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) infos: Vec<String>,
}

impl Tested {
    fn new(outcome: &Outcome) -> Self {
        Self {
            result: outcome
                .value
                .as_ref()
                .map(lines)
                .map_err(|error| error.to_string()),
            warnings: outcome.annotations.warnings(),
            infos: outcome.annotations.infos(),
        }
    }

    /// Returns the lines of a query that must not fail and must not have annotations.
    #[track_caller]
    pub(crate) fn lines(&self) -> &[String] {
        let annotations = [&self.warnings[..], &self.infos[..]].concat();
        assert!(annotations.is_empty(), "{annotations:?}");
        self.lines_beside_annotations()
    }

    /// Returns the lines of a query that must not fail.
    #[track_caller]
    pub(crate) fn lines_beside_annotations(&self) -> &[String] {
        self.result.as_ref().expect("the query does not fail")
    }

    /// Returns the error of a query that must fail.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        self.result.as_ref().expect_err("the query fails")
    }
}

/// Returns the labels that a selector demands, as in `name{a='b'}`.
pub(crate) fn labels(selector: &str) -> Labels {
    if selector == "{}" {
        return Labels::default();
    }
    let expr = parse(selector, &ParserOptions::everything()).expect("a selector is valid");
    let ExprKind::Vector(selector) = expr.kind else {
        panic!("{selector} is no selector");
    };
    let label = |matcher: &crate::Matcher| Label {
        name: matcher.name.as_str().expect("a name is UTF-8").to_owned(),
        value: matcher.value.as_str().expect("a value is UTF-8").to_owned(),
    };
    Labels::new(selector.matchers.iter().map(label).collect())
}

/// Returns a histogram of schema 0 with these counts in the buckets (0.5, 1], (1, 2], (2, 4], ...
pub(crate) fn histogram(sum: f64, buckets: &[f64]) -> FloatHistogram {
    let histogram = Histogram {
        count: Some(Count::Float(buckets.iter().sum())),
        sum,
        zero_count: Some(Count::Float(0.0)),
        positive: Buckets {
            spans: vec![Span {
                offset: 0,
                length: u32::try_from(buckets.len()).expect("there are few buckets"),
            }],
            deltas: vec![],
            counts: buckets.to_vec(),
        },
        ..Histogram::default()
    };
    FloatHistogram::try_from(&histogram).expect("the histogram is valid")
}

fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::Scalar { value, .. } => vec![crate::number::general(*value)],
        Value::String { value, .. } => vec![value.quoted()],
        Value::Vector(vector) => {
            let line = |sample: &crate::VectorSample| {
                let value = match &sample.value {
                    SampleValue::Float(value) => crate::number::general(*value),
                    SampleValue::Histogram(histogram) => histogram.to_string(),
                };
                format!("{} {value}", metric(&sample.labels))
            };
            vector.iter().map(line).collect()
        }
        Value::Matrix(matrix) => matrix.iter().map(series_line).collect(),
    }
}

fn series_line(series: &crate::Series) -> String {
    let mut values: Vec<(i64, String)> = Vec::new();
    for it in &series.floats {
        let value = crate::number::general(it.value);
        values.push((it.timestamp_ms, value));
    }
    for it in &series.histograms {
        values.push((it.timestamp_ms, it.histogram.to_string()));
    }
    values.sort();
    let mut line = metric(&series.labels);
    for (time, value) in values {
        write!(line, " {value}@{time}").expect("a string grows");
    }
    line
}

/// Returns labels as a selector, the name in front.
fn metric(labels: &Labels) -> String {
    let name = super::metric_name(labels);
    let others = labels
        .iter()
        .filter(|it| it.name != prom_model::METRIC_NAME_LABEL)
        .map(|it| format!("{}={}", it.name, crate::text::quote(it.value.as_bytes())));
    let others = others.collect::<Vec<_>>().join(", ");
    match (name, others.as_str()) {
        (_, "") if !name.is_empty() => name.to_owned(),
        _ => format!("{name}{{{others}}}"),
    }
}

#[test]
fn queries_over_values() {
    let database = Database::default()
        .floats("m{a='1'}", 15_000, &[1.0, f64::NAN])
        .samples("m{a='2', b='\"'}", &[(0, -3.0)])
        .histograms("h", &[(15_000, histogram(4.5, &[1.0, 2.0]))]);
    let tested = database.instant("m", 15_000);
    assert_eq!(
        tested.lines(),
        [r#"m{a="1"} NaN"#, r#"m{a="2", b="\""} -3"#]
    );
    let tested = database.range("{a='1'} @ 0", 0, 15_000, 15_000);
    assert_eq!(tested.lines(), [r#"m{a="1"} 1@0 1@15000"#]);
    let tested = database.instant("-h", 15_000);
    let lines = ["{} {count:-3, sum:-4.5, (0.5,1]:-1, (1,2]:-2}"];
    assert_eq!(tested.lines(), lines);
    let tested = database.instant("m[1m]", 15_000);
    let lines = [r#"m{a="1"} 1@0 NaN@15000"#, r#"m{a="2", b="\""} -3@0"#];
    assert_eq!(tested.lines(), lines);
    assert_eq!(database.instant("2", 0).lines(), ["2"]);
    assert_eq!(database.instant("'a'", 0).lines(), ["\"a\""]);
    let error = "1:2: parse error: unclosed left parenthesis";
    assert_eq!(database.instant("(", 0).error(), error);
}
