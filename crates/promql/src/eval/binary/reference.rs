//! Operators as Prometheus evaluates them, step by step. The engine has to return the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use prom_model::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, Count, FloatHistogram, Histogram, Label, Labels, ResetHint,
    Span,
};
use proptest::prelude::*;

use super::element::{Combined, Element, combine};
use super::problems::{Kind, Problem};
use super::result_labels::ResultLabels;
use super::signature::matched_labels;
use crate::annotations::Annotations;
use crate::ast::{BinaryOp, BinaryStep, Cardinality, ExprKind};
use crate::engine::{Engine, EngineOptions, Outcome};
use crate::eval::grid::{SAME_LABELS, without_metadata};
use crate::eval::testing::{Database, histogram};
use crate::parser::{ParserOptions, parse};
use crate::plan::VectorMatching;
use crate::text::labels_text;
use crate::value::{SampleValue, Value};

/// A series with its values by steps.
#[derive(Clone, Debug)]
struct Input {
    labels: Arc<Labels>,
    values: BTreeMap<u32, SampleValue>,
}

/// A sample of the result of a step.
#[derive(Clone, Debug)]
struct Sample {
    labels: Arc<Labels>,
    value: SampleValue,
    drop_name: bool,
}

struct Reference<'a> {
    step: &'a BinaryStep,
    delayed: bool,
    is_instant: bool,
    problems: BTreeSet<Problem>,
}

impl Reference<'_> {
    /// Returns the result as lines.
    fn evaluate(
        &mut self,
        left: &[Input],
        right: &[Input],
        steps: u32,
    ) -> Result<Vec<String>, String> {
        let mut results: Vec<(Arc<Labels>, bool, BTreeMap<u32, SampleValue>)> = Vec::new();
        let mut places: HashMap<Arc<Labels>, usize> = HashMap::new();
        for step in 0..steps {
            let samples = self.step(&at(left, step), &at(right, step))?;
            let mut seen = BTreeSet::new();
            for sample in samples {
                let is_new = seen.insert(Arc::clone(&sample.labels));
                let may_repeat = self.is_instant && self.delayed;
                if !is_new && !may_repeat {
                    return Err(SAME_LABELS.to_owned());
                }
                let mut place = results.len();
                if !self.is_instant {
                    place = *places.entry(Arc::clone(&sample.labels)).or_insert(place);
                }
                if place == results.len() {
                    results.push((sample.labels, sample.drop_name, BTreeMap::new()));
                }
                results[place].2.insert(step, sample.value);
            }
        }
        self.finished(results)
    }

    fn finished(
        &self,
        results: Vec<(Arc<Labels>, bool, BTreeMap<u32, SampleValue>)>,
    ) -> Result<Vec<String>, String> {
        // By steps, and by kinds: those of different kinds do not collide.
        let mut merged: Vec<(Arc<Labels>, BTreeMap<(u32, bool), SampleValue>)> = Vec::new();
        for (mut labels, drop_name, values) in results {
            if drop_name {
                labels = without_metadata(&labels);
            }
            let with_kind = |(step, value)| {
                let is_histogram = matches!(value, SampleValue::Histogram(_));
                ((step, is_histogram), value)
            };
            let values = values.into_iter().map(with_kind);
            let present = merged.iter_mut().find(|(present, _)| *present == labels);
            match present {
                Some((_, present)) => {
                    for (step, value) in values {
                        if present.insert(step, value).is_some() {
                            return Err(SAME_LABELS.to_owned());
                        }
                    }
                }
                None => merged.push((labels, values.collect())),
            }
        }
        if !self.is_instant {
            merged.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let line = |(labels, values): (Arc<Labels>, BTreeMap<(u32, bool), SampleValue>)| {
            // Of a float and a histogram at the same step the histogram is compared.
            let values = values.into_iter().map(|((step, _), value)| (step, value));
            let values: BTreeMap<u32, SampleValue> = values.collect();
            let values = values.iter().map(|(step, value)| value_text(*step, value));
            format!(
                "{} {}",
                labels_text(&labels),
                values.collect::<Vec<_>>().join(" ")
            )
        };
        Ok(merged.into_iter().map(line).collect())
    }

    fn step(
        &mut self,
        left: &[(Arc<Labels>, SampleValue)],
        right: &[(Arc<Labels>, SampleValue)],
    ) -> Result<Vec<Sample>, String> {
        let matching = self.step.matching.as_deref().map(VectorMatching::of);
        let Some(matching) = &matching else {
            return Ok(self.with_scalar(left, right));
        };
        let signature = |labels: &Arc<Labels>| matched_labels(matching, labels);
        let has = |side: &[(Arc<Labels>, SampleValue)], labels: &Arc<Labels>| {
            side.iter()
                .any(|(other, _)| signature(other) == signature(labels))
        };
        let taken = |side: &[(Arc<Labels>, SampleValue)], other: &[_], inside: Option<bool>| {
            let is_taken = |(labels, _): &&(Arc<Labels>, SampleValue)| {
                inside.is_none_or(|inside| has(other, labels) == inside)
            };
            let sample = |(labels, value): &(Arc<Labels>, SampleValue)| Sample {
                labels: Arc::clone(labels),
                value: value.clone(),
                drop_name: false,
            };
            side.iter().filter(is_taken).map(sample).collect::<Vec<_>>()
        };
        match self.step.op {
            BinaryOp::And => Ok(taken(left, right, Some(true))),
            BinaryOp::Unless => Ok(taken(left, right, Some(false))),
            BinaryOp::Or => {
                let mut all = taken(left, right, None);
                all.extend(taken(right, left, Some(false)));
                Ok(all)
            }
            _ => self.matched(matching, left, right),
        }
    }

    fn with_scalar(
        &mut self,
        left: &[(Arc<Labels>, SampleValue)],
        right: &[(Arc<Labels>, SampleValue)],
    ) -> Vec<Sample> {
        let is_scalar = |side: &[(Arc<Labels>, SampleValue)]| matches!(side, [(labels, _)] if labels.get("scalar") == "true");
        let is_left = is_scalar(left);
        let (vector, scalar) = if is_left {
            (right, left)
        } else {
            (left, right)
        };
        let drops_name = self.step.return_bool || super::changes_meaning(self.step.op);
        let (mut samples, mut last) = (Vec::new(), None);
        for (labels, value) in vector {
            let scalar = element(&scalar[0].1);
            let combined = match is_left {
                true => self.combined(scalar, element(value)),
                false => self.combined(element(value), scalar),
            };
            last = combined.problem.or(last);
            let Some(mut result) = combined.value else {
                continue;
            };
            if self.step.op.is_comparison() && !self.step.return_bool {
                result = value.clone();
            }
            let labels = match drops_name && !self.delayed {
                true => without_metadata(labels),
                false => Arc::clone(labels),
            };
            samples.push(Sample {
                labels,
                value: result,
                drop_name: drops_name,
            });
        }
        self.problems.extend(last);
        samples
    }

    fn combined(&self, left: Element<'_>, right: Element<'_>) -> Combined {
        combine(self.step.op, self.step.return_bool, left, right)
    }

    fn matched(
        &mut self,
        matching: &VectorMatching,
        left: &[(Arc<Labels>, SampleValue)],
        right: &[(Arc<Labels>, SampleValue)],
    ) -> Result<Vec<Sample>, String> {
        let has_fill = matching.fill_left.is_some() || matching.fill_right.is_some();
        if (left.is_empty() || right.is_empty()) && !has_fill {
            return Ok(Vec::new());
        }
        let is_swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if is_swapped {
            (right, left)
        } else {
            (left, right)
        };
        let mut ones: BTreeMap<Labels, &(Arc<Labels>, SampleValue)> = BTreeMap::new();
        for it in one {
            let signature = matched_labels(matching, &it.0);
            if let Some(present) = ones.get(&signature) {
                let mut texts = [labels_text(&it.0), labels_text(&present.0)];
                texts.sort();
                return Err(format!(
                    "found duplicate series for the match group {} on the {} hand-side of the operation: [{}, {}]{}",
                    labels_text(&signature),
                    if is_swapped { "left" } else { "right" },
                    texts[0],
                    texts[1],
                    ";many-to-many matching not allowed: matching labels must be unique on one side",
                ));
            }
            ones.insert(signature, it);
        }

        let drops_metadata =
            super::changes_meaning(self.step.op) || self.step.return_bool && !self.delayed;
        let rule = ResultLabels::new(matching, drops_metadata);
        let mut matched: BTreeMap<Labels, BTreeSet<Arc<Labels>>> = BTreeMap::new();
        let (mut samples, mut last) = (Vec::new(), None);
        let fill = |fill: crate::ast::Fill| SampleValue::Float(fill.0);
        let mut pairs = Vec::new();
        for (labels, value) in many {
            let signature = matched_labels(matching, labels);
            let (one_labels, other) = match (ones.get(&signature), matching.fill_right) {
                (Some((labels, value)), _) => (Arc::clone(labels), value.clone()),
                (None, Some(it)) => (Arc::new(signature.clone()), fill(it)),
                (None, None) => continue,
            };
            pairs.push((
                signature,
                Arc::clone(labels),
                value.clone(),
                one_labels,
                other,
                false,
            ));
        }
        if let Some(it) = matching.fill_left {
            for (labels, value) in one {
                let signature = matched_labels(matching, labels);
                let many_labels = Arc::new(signature.clone());
                pairs.push((
                    signature,
                    many_labels,
                    fill(it),
                    Arc::clone(labels),
                    value.clone(),
                    true,
                ));
            }
        }
        for (signature, many_labels, value, one_labels, other, is_filled) in pairs {
            if is_filled && matched.contains_key(&signature) {
                continue;
            }
            let combined = match is_swapped {
                true => self.combined(element(&other), element(&value)),
                false => self.combined(element(&value), element(&other)),
            };
            last = combined.problem.or(last);
            if !combined.is_match {
                continue;
            }
            let labels = rule.of(&many_labels, &one_labels);
            let in_group = matched.entry(signature).or_default();
            if matching.cardinality == Cardinality::OneToOne && !in_group.is_empty() {
                return Err("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)".to_owned());
            }
            if !in_group.insert(Arc::clone(&labels)) {
                return Err(
                    "multiple matches for labels: grouping labels must ensure unique matches"
                        .to_owned(),
                );
            }
            samples.extend(combined.value.map(|value| Sample {
                labels,
                value,
                drop_name: self.step.return_bool,
            }));
        }
        self.problems.extend(last);
        Ok(samples)
    }
}

fn at(series: &[Input], step: u32) -> Vec<(Arc<Labels>, SampleValue)> {
    let sample = |series: &Input| {
        let value = series.values.get(&step)?.clone();
        Some((Arc::clone(&series.labels), value))
    };
    series.iter().filter_map(sample).collect()
}

fn element(value: &SampleValue) -> Element<'_> {
    match value {
        SampleValue::Float(value) => Element::Float(*value),
        SampleValue::Histogram(histogram) => Element::Histogram(histogram),
    }
}

fn value_text(step: u32, value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => format!("{value:?}@{step}"),
        SampleValue::Histogram(it) => format!("{it}{:?}@{step}", it.reset_hint()),
    }
}

const INTERVAL_MS: i64 = 1000;

/// Returns the result of the engine as lines.
fn lines_of(outcome: &Outcome) -> Result<Vec<String>, String> {
    let step = |time: i64| u32::try_from(time / INTERVAL_MS).expect("times are small");
    match outcome.value.as_ref().map_err(ToString::to_string)? {
        Value::Vector(vector) => {
            let line = |sample: &crate::VectorSample| {
                format!(
                    "{} {}",
                    labels_text(&sample.labels),
                    value_text(step(sample.timestamp_ms), &sample.value)
                )
            };
            Ok(vector.iter().map(line).collect())
        }
        Value::Matrix(matrix) => {
            let line = |series: &crate::Series| {
                let floats = series
                    .floats
                    .iter()
                    .map(|it| (step(it.timestamp_ms), SampleValue::Float(it.value)));
                let histograms = series.histograms.iter().map(|it| {
                    (
                        step(it.timestamp_ms),
                        SampleValue::Histogram(Arc::clone(&it.histogram)),
                    )
                });
                let values: BTreeMap<_, _> = floats.chain(histograms).collect();
                let texts = values.iter().map(|(step, value)| value_text(*step, value));
                format!(
                    "{} {}",
                    labels_text(&series.labels),
                    texts.collect::<Vec<_>>().join(" ")
                )
            };
            Ok(matrix.iter().map(line).collect())
        }
        other => panic!("{other:?} is no vector"),
    }
}

/// Compares the engine with the reference.
fn check(query: &str, left: &[Input], right: &[Input], steps: u32, delayed: bool) {
    let options = EngineOptions {
        parser: ParserOptions::everything(),
        lookback_ms: 1,
        delayed_name_removal: delayed,
        ..EngineOptions::default()
    };
    let mut database = Database::default();
    database.options = options;
    for series in left.iter().chain(right) {
        let selector = selector_of(&series.labels);
        for (step, value) in &series.values {
            let time = i64::from(*step) * INTERVAL_MS;
            database = match value {
                SampleValue::Float(value) => database.samples(&selector, &[(time, *value)]),
                SampleValue::Histogram(it) => {
                    database.histograms(&selector, &[(time, (**it).clone())])
                }
            };
        }
    }
    let engine = Engine::new(options);
    let is_instant = steps == 1;
    let query = match is_instant {
        true => engine.instant(query, 0),
        false => engine.range(query, 0, i64::from(steps - 1) * INTERVAL_MS, INTERVAL_MS),
    }
    .map(|it| (it, query));
    let (prepared, text) = query.expect("the query is valid");
    let Ok(outcome) = prepared.run(&database);

    let expr = parse(text, &options.parser).expect("the query is valid");
    let ExprKind::Binary(binary) = &expr.kind else {
        panic!("{text} is no operation");
    };
    let mut reference = Reference {
        step: &binary.steps[0],
        delayed,
        is_instant,
        problems: BTreeSet::new(),
    };
    let scalar = |expr: &crate::Expr| match &expr.kind {
        ExprKind::Number(number) => Some(vec![Input {
            labels: Arc::new(Labels::new(vec![label("scalar", "true")])),
            values: (0..steps)
                .map(|step| (step, SampleValue::Float(number.value)))
                .collect(),
        }]),
        _ => None,
    };
    let left = scalar(&binary.first).unwrap_or_else(|| left.to_vec());
    let right = scalar(&binary.steps[0].right).unwrap_or_else(|| right.to_vec());
    let expected = reference.evaluate(&left, &right, steps);
    assert_eq!(lines_of(&outcome), expected, "{text}");
    if expected.is_ok() {
        let mut annotations = Annotations::new(text.as_bytes());
        for problem in &reference.problems {
            annotations.add(problem.annotation(binary.steps[0].op, binary.steps[0].span));
        }
        assert_eq!(
            outcome.annotations.warnings(),
            annotations.warnings(),
            "{text}"
        );
        assert_eq!(outcome.annotations.infos(), annotations.infos(), "{text}");
    }
}

fn label(name: &str, value: &str) -> Label {
    Label {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn selector_of(labels: &Labels) -> String {
    let matcher = |label: &Label| format!("{}='{}'", label.name, label.value);
    format!(
        "{{{}}}",
        labels.iter().map(matcher).collect::<Vec<_>>().join(",")
    )
}

fn custom(bounds: &[f64], hint: ResetHint) -> FloatHistogram {
    let mut histogram = FloatHistogram::try_from(&Histogram {
        count: Some(Count::Float(3.0)),
        sum: 2.0,
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive: Buckets {
            spans: vec![Span {
                offset: 0,
                length: 2,
            }],
            deltas: vec![],
            counts: vec![1.0, 2.0],
        },
        custom_values: bounds.to_vec(),
        ..Histogram::default()
    })
    .expect("the histogram is valid");
    histogram.set_reset_hint(hint);
    histogram
}

fn any_value() -> impl Strategy<Value = SampleValue> {
    let floats = proptest::sample::select(vec![0.0, 1.0, 2.0, -1.5, f64::NAN, f64::INFINITY]);
    let mut exponential = histogram(1.0, &[1.0, 2.0]);
    exponential.set_reset_hint(ResetHint::NotReset);
    let histograms = proptest::sample::select(vec![
        exponential,
        custom(&[1.0, 2.0], ResetHint::Reset),
        custom(&[1.0, 2.0], ResetHint::NotReset),
        custom(&[1.0, 3.0], ResetHint::Unknown),
    ]);
    prop_oneof![
        12 => floats.prop_map(SampleValue::Float),
        1 => histograms.prop_map(|it| SampleValue::Histogram(Arc::new(it))),
    ]
}

/// Returns series whose names begin with `side`, with gaps or without.
fn any_side(side: &'static str, steps: u32) -> impl Strategy<Value = Vec<Input>> {
    let names = proptest::sample::select(vec!["", "", "", "2"]);
    let values = || proptest::sample::select(vec!["", "1", "1", "2"]);
    let labels = (names, values(), values(), values()).prop_map(move |(name, a, b, c)| {
        Labels::new(vec![
            label("__name__", &format!("{side}{name}")),
            label("a", a),
            label("b", b),
            label("c", c),
            label("__unit__", if a == c { c } else { "" }),
        ])
    });
    let presence = prop_oneof![
        // Without gaps.
        (0..steps, 0..steps).prop_map(move |(a, b)| {
            (0..steps)
                .map(|step| (a.min(b)..=a.max(b)).contains(&step))
                .collect::<Vec<_>>()
        }),
        proptest::collection::vec(any::<bool>(), steps as usize),
    ];
    let is_float = proptest::bool::weighted(0.6);
    let values = proptest::collection::vec(any_value(), steps as usize);
    let values = (presence, is_float, values).prop_map(|(presence, is_float, values)| {
        let values = values
            .into_iter()
            .map(move |value| match (is_float, value) {
                (true, SampleValue::Histogram(_)) => SampleValue::Float(3.0),
                (_, value) => value,
            });
        let steps = (0..).zip(values).zip(presence);
        steps
            .filter_map(|(value, present)| present.then_some(value))
            .collect::<BTreeMap<_, _>>()
    });
    proptest::collection::vec((labels, values), 0..7).prop_map(|series| {
        let mut seen = BTreeSet::new();
        let series = series
            .into_iter()
            .filter(|(labels, values)| !values.is_empty() && seen.insert(labels.clone()));
        let input = |(labels, values)| Input {
            labels: Arc::new(labels),
            values,
        };
        series.map(input).collect()
    })
}

/// Returns the text of an operator with its modifiers.
fn any_operator() -> impl Strategy<Value = String> {
    let list = || proptest::sample::subsequence(vec!["a", "b", "c", "__name__"], 0..3);
    let matching = (proptest::sample::select(vec!["", "on", "ignoring"]), list());
    let group = proptest::sample::select(vec!["", "", "group_left", "group_right"]);
    let include = proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..3);
    let fill = proptest::sample::select(vec![
        "",
        "",
        "",
        "",
        "fill(2)",
        "fill_left(0)",
        "fill_right(1)",
        "fill_left(1) fill_right(2)",
    ]);
    let op = proptest::sample::select(BinaryOp::ALL.to_vec());
    (op, any::<bool>(), matching, group, include, fill).prop_map(
        |(op, is_bool, (matching, labels), group, include, fill)| {
            let mut text = op.symbol().to_owned();
            if is_bool && op.is_comparison() {
                text += " bool";
            }
            if !matching.is_empty() {
                text += &format!(" {matching}({})", labels.join(","));
                if !group.is_empty() && !op.is_set_operator() {
                    let is_allowed = |name: &&&str| matching != "on" || !labels.contains(name);
                    let include: Vec<_> = include.iter().filter(is_allowed).copied().collect();
                    text += &format!(" {group}({})", include.join(","));
                }
            }
            if !op.is_set_operator() {
                text += &format!(" {fill}");
            }
            text
        },
    )
}

fn any_case() -> impl Strategy<Value = (String, Vec<Input>, Vec<Input>, u32, bool)> {
    proptest::sample::select(vec![1, 2, 5, 5]).prop_flat_map(|steps: u32| {
        let sides = (any_side("l", steps), any_side("r", steps));
        (any_operator(), sides, Just(steps), any::<bool>()).prop_map(
            |(operator, (left, right), steps, delayed)| {
                let query = format!("{{__name__=~'l.*'}} {operator} {{__name__=~'r.*'}}");
                (query, left, right, steps, delayed)
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn operators_between_vectors_equal_the_reference((query, left, right, steps, delayed) in any_case()) {
        check(&query, &left, &right, steps, delayed);
    }
}

proptest! {
    #[test]
    fn operators_with_a_scalar_equal_the_reference(
        op in proptest::sample::select(
            BinaryOp::ALL.into_iter().filter(|op| !op.is_set_operator()).collect::<Vec<_>>()
        ),
        is_bool in any::<bool>(),
        is_left in any::<bool>(),
        number in proptest::sample::select(vec!["0", "2", "1.5", "NaN", "Inf"]),
        series in any_side("l", 4),
        delayed in any::<bool>(),
    ) {
        let is_bool = if is_bool && op.is_comparison() { "bool" } else { "" };
        let operator = format!("{} {is_bool}", op.symbol());
        match is_left {
            true => check(&format!("{number} {operator} {{__name__=~'l.*'}}"), &[], &series, 4, delayed),
            false => check(&format!("{{__name__=~'l.*'}} {operator} {number}"), &series, &[], 4, delayed),
        }
    }
}

#[test]
fn problems_have_texts() {
    let left = [Input {
        labels: Arc::new(Labels::new(vec![label("__name__", "l")])),
        values: BTreeMap::from([(0, SampleValue::Float(1.0))]),
    }];
    let mut reference = Reference {
        step: &parse_step("l </ r"),
        delayed: false,
        is_instant: true,
        problems: BTreeSet::new(),
    };
    assert_eq!(reference.evaluate(&left, &left, 1), Ok(vec![]));
    let types = Problem::IncompatibleTypes(Kind::Float, Kind::Float);
    assert_eq!(reference.problems, BTreeSet::from([types]));
}

fn parse_step(query: &str) -> BinaryStep {
    match parse(query, &ParserOptions::everything())
        .expect("the query is valid")
        .kind
    {
        ExprKind::Binary(binary) => binary.steps[0].clone(),
        other => panic!("{other:?} is no operation"),
    }
}
