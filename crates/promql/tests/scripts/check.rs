//! Outcomes of queries that are compared with what a script expects.

use std::collections::{HashMap, HashSet};

use prom_model::{FloatHistogram, Labels};
use promql::{Annotations, SampleValue, Series, Value, VectorSample};

use crate::compare::{floats_match, histograms_match};
use crate::script::{Annotated, Eval, Expected, ExpectedSeries};
use crate::series::Item;

/// Checks warnings and infos.
pub(crate) fn annotations(eval: &Eval, annotations: &Annotations) -> Result<(), String> {
    check_annotated(&eval.warnings, "warning", &annotations.warnings())?;
    check_annotated(&eval.infos, "info", &annotations.infos())
}

fn check_annotated(expected: &Annotated, kind: &str, texts: &[String]) -> Result<(), String> {
    if expected.is_forbidden && !texts.is_empty() {
        return Err(format!("expected no {kind}, got {texts:?}"));
    }
    let conditions = &expected.conditions;
    for condition in conditions {
        if !texts.iter().any(|text| condition.accepts(text)) {
            return Err(format!("expected the {kind} {condition}, got {texts:?}"));
        }
    }
    let is_expected = |text: &String| conditions.iter().any(|it| it.accepts(text));
    match texts.iter().find(|text| !is_expected(text)) {
        Some(text) if !conditions.is_empty() => Err(format!("unexpected {kind}: {text}")),
        _ => Ok(()),
    }
}

/// Checks a result.
pub(crate) fn value(eval: &Eval, value: &Value) -> Result<(), String> {
    match (&eval.result, value) {
        (Expected::Scalar(expected), Value::Scalar { value, .. }) => {
            match floats_match(*expected, *value) {
                true => Ok(()),
                false => Err(format!("expected the scalar {expected}, got {value}")),
            }
        }
        (Expected::String(expected), Value::String { value, .. }) => match expected == value {
            true => Ok(()),
            false => Err(format!("expected the string {expected:?}, got {value:?}")),
        },
        (Expected::Series(expected), Value::Vector(vector)) => check_vector(eval, expected, vector),
        (Expected::Series(expected), Value::Matrix(matrix)) => check_matrix(eval, expected, matrix),
        (expected, value) => Err(format!("expected {expected:?}, got {value:?}")),
    }
}

/// The expected series by their labels; of equal label sets the last one.
struct ByLabels<'a> {
    expected: HashMap<&'a Labels, &'a ExpectedSeries>,
    seen: HashSet<&'a Labels>,
}

impl<'a> ByLabels<'a> {
    fn new(expected: &'a [ExpectedSeries]) -> Self {
        let by_labels = expected.iter().map(|it| (&it.labels, it));
        Self {
            expected: by_labels.collect(),
            seen: HashSet::new(),
        }
    }

    /// Returns the expected series for one of the result.
    fn find(&mut self, labels: &Labels, result: String) -> Result<&'a ExpectedSeries, String> {
        let found = self.expected.get_key_value(labels);
        let (&labels, &series) =
            found.ok_or_else(|| format!("unexpected {} {result}", text(labels)))?;
        match self.seen.insert(labels) {
            true => Ok(series),
            false => Err(format!("{} is there twice", text(labels))),
        }
    }

    /// Checks that all have been found.
    fn end(&self) -> Result<(), String> {
        let mut missing = self
            .expected
            .values()
            .filter(|it| !self.seen.contains(&it.labels));
        match missing.next() {
            Some(series) => {
                let items: Vec<_> = series.items.iter().map(item_text).collect();
                Err(format!(
                    "missing {} {}",
                    text(&series.labels),
                    items.join(" ")
                ))
            }
            None => Ok(()),
        }
    }
}

fn check_vector(
    eval: &Eval,
    expected: &[ExpectedSeries],
    vector: &[VectorSample],
) -> Result<(), String> {
    let mut series = ByLabels::new(expected);
    for (position, sample) in vector.iter().enumerate() {
        let got = match &sample.value {
            SampleValue::Float(value) => value.to_string(),
            SampleValue::Histogram(histogram) => histogram_text(histogram),
        };
        let expected = series.find(&sample.labels, got.clone())?;
        let labels = text(&sample.labels);
        if eval.is_ordered && expected.position != position {
            let place = expected.position;
            return Err(format!(
                "expected {labels} at place {place}, got it at {position}"
            ));
        }
        let item = &expected.items[0];
        let matches = match (item, &sample.value) {
            (Item::Float(expected), SampleValue::Float(value)) => floats_match(*expected, *value),
            (
                Item::Histogram {
                    histogram,
                    has_hint,
                },
                SampleValue::Histogram(value),
            ) => histograms_match(histogram, value, *has_hint),
            _ => false,
        };
        if !matches {
            let item = item_text(item);
            return Err(format!("expected {labels} {item}, got {got}"));
        }
    }
    series.end()
}

fn check_matrix(eval: &Eval, expected: &[ExpectedSeries], matrix: &[Series]) -> Result<(), String> {
    if eval.is_ordered {
        return Err("expected an order, got a matrix".to_owned());
    }
    check_order(matrix)?;
    let mut series = ByLabels::new(expected);
    for result in matrix {
        let got = series_text(result);
        let expected = series.find(&result.labels, got.clone())?;
        let labels = text(&result.labels);
        if !points_match(eval, &expected.items, result)? {
            let points = expected
                .items
                .iter()
                .enumerate()
                .filter_map(|(step, item)| {
                    let time = time(eval, step);
                    (!matches!(item, Item::Gap)).then(|| format!("{}@{time}", item_text(item)))
                });
            let points: Vec<_> = points.collect();
            return Err(format!("expected {labels} {}, got {got}", points.join(" ")));
        }
    }
    series.end()
}

/// Checks that series are sorted by their labels.
pub(crate) fn check_order(matrix: &[Series]) -> Result<(), String> {
    match matrix
        .windows(2)
        .find(|pair| pair[0].labels > pair[1].labels)
    {
        Some(pair) => {
            let [first, second] = [&pair[0], &pair[1]].map(|it| text(&it.labels));
            Err(format!("not sorted: {first} before {second}"))
        }
        None => Ok(()),
    }
}

fn time(eval: &Eval, step: usize) -> i64 {
    let step = i64::try_from(step).expect("a line is short");
    eval.start_ms + step * eval.step_ms
}

fn points_match(eval: &Eval, items: &[Item], result: &Series) -> Result<bool, String> {
    let (mut floats, mut histograms) = (result.floats.iter(), result.histograms.iter());
    for (step, item) in items.iter().enumerate() {
        let time = time(eval, step);
        if time > eval.end_ms {
            return Err(format!("the query has less than {} steps", items.len()));
        }
        let matches = match item {
            Item::Gap => true,
            Item::Float(value) => floats
                .next()
                .is_some_and(|it| it.timestamp_ms == time && floats_match(*value, it.value)),
            Item::Histogram {
                histogram,
                has_hint,
            } => histograms.next().is_some_and(|it| {
                it.timestamp_ms == time && histograms_match(histogram, &it.histogram, *has_hint)
            }),
        };
        if !matches {
            return Ok(false);
        }
    }
    Ok(floats.next().is_none() && histograms.next().is_none())
}

fn item_text(item: &Item) -> String {
    match item {
        Item::Gap => "_".to_owned(),
        Item::Float(value) => value.to_string(),
        Item::Histogram {
            histogram,
            has_hint,
        } => match has_hint {
            true => histogram_text(histogram),
            false => histogram.to_string(),
        },
    }
}

fn histogram_text(histogram: &FloatHistogram) -> String {
    let (schema, hint) = (histogram.schema(), histogram.reset_hint());
    format!("{histogram} (schema {schema}, hint {hint:?})")
}

fn series_text(series: &Series) -> String {
    let floats = series.floats.iter();
    let floats = floats.map(|it| (it.timestamp_ms, it.value.to_string()));
    let histograms = series.histograms.iter();
    let histograms = histograms.map(|it| (it.timestamp_ms, histogram_text(&it.histogram)));
    let mut points: Vec<_> = floats.chain(histograms).collect();
    points.sort();
    let points = points.iter().map(|(time, value)| format!("{value}@{time}"));
    points.collect::<Vec<_>>().join(" ")
}

/// Returns the labels as scripts have them.
pub(crate) fn text(labels: &Labels) -> String {
    let labels = labels
        .iter()
        .map(|it| format!("{}={:?}", it.name, it.value));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}
