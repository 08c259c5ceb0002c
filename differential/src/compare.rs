//! Comparison of results.

use std::collections::BTreeSet;

use prom_model::{CUSTOM_BUCKETS_SCHEMA, Histogram};

use crate::data::Series;
use crate::expression::Node;
use crate::result::{QueryResult, Samples, Value, filled, float, labels_text};

/// The functions and operators whose results come from a library of mathematics, and may differ in their last bits.
const INEXACT: [&str; 8] = ["^", "cos", "cosh", "exp", "sin", "sinh", "tan", "tanh"];
/// The largest relative difference of such results.
const TOLERANCE: f64 = 1e-12;
/// The functions whose results have an order.
const ORDERED: [&str; 6] = [
    "sort",
    "sort_desc",
    "sort_by_label",
    "sort_by_label_desc",
    "topk",
    "bottomk",
];

/// The functions whose histograms have spans in Prometheus that could be one, so that they count more as samples.
const SUMS: [&str; 4] = ["avg", "avg_over_time", "sum", "sum_over_time"];
/// The aggregations that choose series. Of equal ones they choose the first.
const CHOOSING: [&str; 4] = ["bottomk", "limit_ratio", "limitk", "topk"];
/// The number of times that Prometheus evaluates a query with a different result again. Small maps have few orders, but
/// some of them are rare.
const REPETITIONS: usize = 100;
/// The largest relative difference of results that depend on the order of series, where Prometheus has none.
const UNSTABLE_TOLERANCE: f64 = 1e-6;

/// The error of Prometheus for the text of a histogram with custom buckets that was divided by zero, whose zero bucket
/// is NaN.
const PANIC: &str = "histograms with custom buckets have no zero bucket";

/// Returns true for an expression whose results follow from a fault of Prometheus: `histogram_quantiles` of several
/// buckets with the same bound. Its first quantile adds them up in place, so that the others count them twice.
fn is_exempt(expression: &str) -> bool {
    let has_equal_bounds = ["broken_bucket", "__name__=~"];
    expression.contains("histogram_quantiles(")
        && has_equal_bounds.iter().any(|it| expression.contains(it))
}

/// Returns true for the features of a subquery with `@`. If an argument beside it depends on the step, Prometheus evaluates
/// it at later times too, which no window contains, and counts what it reads for steps that the times do not belong to.
fn is_fixed_subquery(features: &[String]) -> bool {
    let has = |name: &str| features.iter().any(|it| it.starts_with(name));
    has("subquery") && has("@")
}

/// Returns true for an expression whose values may differ in their last bits.
pub fn is_inexact(expression: &Node) -> bool {
    let features = expression.all_features();
    INEXACT.iter().any(|it| features.contains(*it))
}

/// A difference of two results.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The place, with both values.
    pub text: String,
    /// False if another result is to be expected now and then: a bit that differs in a function of a library of
    /// mathematics can be large behind others, and Prometheus loses samples if series with floats and with histograms
    /// get the same labels.
    pub is_certain: bool,
}

/// The functions and operators that make of a small difference a large one.
const AMPLIFYING: [&str; 16] = [
    "!=", "%", "<", "<=", "==", ">", ">=", "bottomk", "ceil", "floor", "quantile", "round",
    "scalar", "stddev", "stdvar", "topk",
];
/// The functions and the operator that can give series with floats and with histograms the same labels.
const MERGING: [&str; 3] = ["label_join", "label_replace", "unary"];

fn is_certain(features: &BTreeSet<String>) -> bool {
    let count = |all: &[&str]| all.iter().filter(|it| features.contains(**it)).count();
    let amplifies = count(&AMPLIFYING) > 0 || count(&INEXACT) > 1;
    !(count(&INEXACT) > 0 && amplifies || count(&MERGING) > 0)
}

/// Returns the first difference of two results of an expression.
///
/// The order of series within Prometheus is sometimes that of a map, another one in each evaluation, and sums depend
/// on it, and the choice between equal values. `again` evaluates by Prometheus once more.
pub fn difference(
    expression: &Node,
    ours: &QueryResult,
    theirs: &QueryResult,
    mut again: impl FnMut() -> QueryResult,
) -> Option<Difference> {
    if is_exempt(&expression.to_string()) {
        return None;
    }
    if matches!(&theirs.value, Err(text) if text == PANIC) {
        return None;
    }
    let features = expression.all_features();
    let has_one_of = |all: &[&str]| all.iter().any(|it| features.contains(*it));
    if has_one_of(&INEXACT) && has_one_of(&["count_values"]) {
        // The last bits are in labels.
        return None;
    }
    let mut comparison = Comparison::of(expression);
    let text = comparison.difference(ours, theirs)?;
    let mut is_stable = true;
    for _ in 0..REPETITIONS {
        let other = again();
        comparison.difference(ours, &other)?;
        is_stable &= comparison.difference(theirs, &other).is_none();
    }
    if is_stable {
        let is_certain = is_certain(&features);
        return Some(Difference { text, is_certain });
    }
    // An error names the first series that it finds.
    let are_errors = ours.value.is_err() && theirs.value.is_err();
    if has_one_of(&CHOOSING) || are_errors {
        return None;
    }
    comparison.tolerance = UNSTABLE_TOLERANCE;
    comparison.is_ordered = false;
    let difference = comparison.values(ours, theirs)?;
    Some(Difference {
        text: format!("{difference} (Prometheus has several results)"),
        is_certain: is_certain(&features),
    })
}

/// Returns an annotation without the number of samples in it: Prometheus doubles it with each step, until it
/// overflows.
fn without_samples(text: &str) -> String {
    let Some((before, rest)) = text.split_once(", over ") else {
        return text.to_owned();
    };
    let (_, after) = rest.split_once(" samples ").unwrap_or_default();
    format!("{before}, over {after}")
}

struct Comparison {
    /// The largest relative difference of floats.
    tolerance: f64,
    is_ordered: bool,
    /// True if the numbers of selected samples are compared.
    counts_samples: bool,
    /// True if the numbers of read samples are compared.
    counts_reads: bool,
}

/// Returns the first difference of the numbers of samples of two results of an expression, if both have them.
pub fn statistics(expression: &Node, ours: &QueryResult, theirs: &QueryResult) -> Option<String> {
    let comparison = Comparison::of(expression);
    comparison.statistics(ours.samples.as_ref(), theirs.samples.as_ref())
}

impl Comparison {
    fn of(expression: &Node) -> Self {
        let features = expression.all_features();
        let has_one_of = |all: &[&str]| all.iter().any(|it| features.contains(*it));
        Self {
            tolerance: match has_one_of(&INEXACT) {
                true => TOLERANCE,
                false => 0.0,
            },
            is_ordered: expression
                .features
                .iter()
                .any(|it| ORDERED.contains(&it.as_str())),
            counts_samples: !has_one_of(&["subquery"]) || !has_one_of(&SUMS),
            counts_reads: !expression.any(&is_fixed_subquery),
        }
    }

    fn difference(&self, ours: &QueryResult, theirs: &QueryResult) -> Option<String> {
        if let Some(difference) = self.values(ours, theirs) {
            return Some(difference);
        }
        if ours.value.is_err() {
            // Prometheus forgets its annotations.
            return None;
        }
        self.texts("warnings", &ours.warnings, &theirs.warnings)
            .or_else(|| self.texts("infos", &ours.infos, &theirs.infos))
            .or_else(|| self.statistics(ours.samples.as_ref(), theirs.samples.as_ref()))
    }

    fn texts(&self, kind: &str, ours: &[String], theirs: &[String]) -> Option<String> {
        let compared =
            |all: &[String]| -> Vec<String> { all.iter().map(|it| without_samples(it)).collect() };
        let (ours, theirs) = (compared(ours), compared(theirs));
        if ours == theirs {
            return None;
        }
        let ours_only = ours.iter().find(|it| !theirs.contains(it));
        let theirs_only = theirs.iter().find(|it| !ours.contains(it));
        Some(format!(
            "{kind}: only ours {ours_only:?}, only theirs {theirs_only:?}"
        ))
    }

    fn statistics(&self, ours: Option<&Samples>, theirs: Option<&Samples>) -> Option<String> {
        let (ours, theirs) = (ours?, theirs?);
        let compared = |total: u64, read: u64| {
            let total = self.counts_samples.then_some(total);
            (total, self.counts_reads.then_some(read))
        };
        let whole = |it: &Samples| (compared(it.total, it.read), it.per_step.len());
        let (a, b) = (whole(ours), whole(theirs));
        if a != b {
            return Some(format!(
                "selected samples, read ones, counted steps: ours {a:?}, theirs {b:?}"
            ));
        }
        let of_step = |it: &(i64, u64, u64)| (it.0, compared(it.1, it.2));
        let mut steps = ours.per_step.iter().zip(&theirs.per_step);
        let (a, b) = steps.find(|(a, b)| of_step(a) != of_step(b))?;
        Some(format!(
            "a step, its selected samples, read ones: ours {a:?}, theirs {b:?}"
        ))
    }

    fn values(&self, ours: &QueryResult, theirs: &QueryResult) -> Option<String> {
        let (ours, theirs) = match (&ours.value, &theirs.value) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(ours), Err(theirs)) if ours == theirs => return None,
            (Err(ours), Err(theirs)) => {
                return Some(format!("errors: ours {ours:?}, theirs {theirs:?}"));
            }
            (Err(ours), Ok(_)) => return Some(format!("error only ours: {ours}")),
            (Ok(_), Err(theirs)) => return Some(format!("error only theirs: {theirs}")),
        };
        match (ours, theirs) {
            (Value::Scalar(time, a), Value::Scalar(their_time, b)) => {
                let is_equal = time == their_time && self.is_equal(*a, *b);
                (!is_equal).then(|| format!("scalars: {a:?}@{time}, {b:?}@{their_time}"))
            }
            (Value::String(time, a), Value::String(their_time, b)) => {
                ((time, a) != (their_time, b)).then(|| format!("strings: {a:?}, {b:?}"))
            }
            (Value::Vector(ours), Value::Vector(theirs)) if self.is_ordered => {
                self.lists(ours, theirs)
            }
            (Value::Vector(ours), Value::Vector(theirs)) => {
                self.lists(&sorted(ours), &sorted(theirs))
            }
            (Value::Matrix(ours), Value::Matrix(theirs)) => self.lists(ours, theirs),
            _ => Some("types of values".to_owned()),
        }
    }

    fn lists(&self, ours: &[Series], theirs: &[Series]) -> Option<String> {
        for (a, b) in ours.iter().zip(theirs) {
            let (a_text, b_text) = (labels_text(&a.labels), labels_text(&b.labels));
            if a.labels != b.labels {
                return Some(format!("series: ours {a_text}, theirs {b_text}"));
            }
            if let Some(difference) = self.samples(a, b) {
                return Some(format!("{a_text}: {difference}"));
            }
        }
        let (a, b) = (ours.len(), theirs.len());
        (a != b).then(|| format!("number of series: ours {a}, theirs {b}"))
    }

    fn samples(&self, ours: &Series, theirs: &Series) -> Option<String> {
        for (a, b) in ours.floats.iter().zip(&theirs.floats) {
            if a.time_ms != b.time_ms || !self.is_equal(a.value, b.value) {
                return Some(format!(
                    "ours {:?}@{}, theirs {:?}@{}",
                    a.value, a.time_ms, b.value, b.time_ms
                ));
            }
        }
        for (a, b) in ours.histograms.iter().zip(&theirs.histograms) {
            let (a, b) = (&a.histogram, &b.histogram);
            if let Some(difference) = self.histograms(a, b) {
                return Some(format!("histogram@{}: {difference}", a.timestamp_ms));
            }
        }
        let lengths = |it: &Series| (it.floats.len(), it.histograms.len());
        let (a, b) = (lengths(ours), lengths(theirs));
        (a != b).then(|| format!("numbers of floats and histograms: ours {a:?}, theirs {b:?}"))
    }

    fn histograms(&self, ours: &Histogram, theirs: &Histogram) -> Option<String> {
        let whole = |it: &Histogram| (it.timestamp_ms, it.schema, it.reset_hint);
        if whole(ours) != whole(theirs) {
            let (a, b) = (whole(ours), whole(theirs));
            return Some(format!("time, schema, hint: ours {a:?}, theirs {b:?}"));
        }
        let numbers = |it: &Histogram| {
            // Custom buckets are without a zero bucket.
            let zero = match it.schema {
                CUSTOM_BUCKETS_SCHEMA => [0.0; 2],
                _ => [it.zero_threshold, float(it.zero_count)],
            };
            [zero[0], zero[1], float(it.count), it.sum]
        };
        let (a, b) = (numbers(ours), numbers(theirs));
        if !a.iter().zip(&b).all(|(a, b)| self.is_equal(*a, *b)) {
            return Some(format!(
                "threshold, zero count, count, sum: ours {a:?}, theirs {b:?}"
            ));
        }
        let (a, b) = (&ours.custom_values, &theirs.custom_values);
        if a != b {
            return Some(format!("bounds: ours {a:?}, theirs {b:?}"));
        }
        let sides = [
            ("positive", &ours.positive, &theirs.positive),
            ("negative", &ours.negative, &theirs.negative),
        ];
        for (side, a, b) in sides {
            let (a, b) = (filled(a), filled(b));
            let is_equal =
                |(a, b): (&(i32, f64), &(i32, f64))| a.0 == b.0 && self.is_equal(a.1, b.1);
            if a.len() != b.len() || !a.iter().zip(&b).all(is_equal) {
                return Some(format!("{side} buckets: ours {a:?}, theirs {b:?}"));
            }
        }
        None
    }

    fn is_equal(&self, a: f64, b: f64) -> bool {
        if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
            return true;
        }
        (a - b).abs() <= self.tolerance * a.abs().max(b.abs())
    }
}

fn sorted(all: &[Series]) -> Vec<Series> {
    let mut sorted = all.to_vec();
    sorted.sort_by(|a, b| a.labels.cmp(&b.labels));
    sorted
}
