//! The verdicts of `Histogram::validate` on the cases of tests/golden, compared with those of Prometheus.

use std::collections::HashSet;
use std::mem::discriminant;
use std::str::FromStr;

use prom_model::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, Count, Histogram, HistogramError, STALE_MARKER_BITS, Span,
};

/// Number of variants of `HistogramError`, which `prefixes` lists.
const RULES: usize = 10;

/// A case of the file.
#[derive(Default)]
struct Case<'a> {
    title: &'a str,
    histogram: Histogram,
    /// The verdict of Prometheus.
    prometheus: &'a str,
    /// The verdict of this crate, if it is another one.
    own: Option<&'a str>,
    /// The reason of the difference.
    reason: Option<&'a str>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases = Vec::<Case<'_>>::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("--- ") {
            cases.push(Case {
                title,
                ..Case::default()
            });
        }
        let Some(case) = cases.last_mut() else {
            continue;
        };
        match line.split_at_checked(2) {
            Some(("| ", fields)) => case.histogram = histogram(fields),
            Some(("= ", verdict)) => case.prometheus = verdict,
            Some(("! ", verdict)) => case.own = Some(verdict),
            Some(("? ", reason)) => case.reason = Some(reason),
            Some(("--", _)) | None => {}
            Some(_) => panic!("{line}"),
        }
    }
    cases
}

fn histogram(fields: &str) -> Histogram {
    let mut histogram = Histogram::default();
    for field in fields.split_whitespace() {
        let (name, text) = field.split_once('=').unwrap();
        match name {
            "schema" => histogram.schema = text.parse().unwrap(),
            "count" => histogram.count = Some(Count::Int(text.parse().unwrap())),
            "count_float" => histogram.count = Some(Count::Float(text.parse().unwrap())),
            "sum" if text == "stale" => histogram.sum = f64::from_bits(STALE_MARKER_BITS),
            "sum" => histogram.sum = text.parse().unwrap(),
            "threshold" => histogram.zero_threshold = text.parse().unwrap(),
            "zero" => histogram.zero_count = Some(Count::Int(text.parse().unwrap())),
            "zero_float" => histogram.zero_count = Some(Count::Float(text.parse().unwrap())),
            "custom" => histogram.custom_values = list(text),
            _ => match name.strip_prefix("neg_") {
                Some(name) => set(&mut histogram.negative, name, text),
                None => set(&mut histogram.positive, name, text),
            },
        }
    }
    histogram
}

fn set(buckets: &mut Buckets, name: &str, text: &str) {
    match name {
        "spans" => buckets.spans = text.split(',').map(span).collect(),
        "deltas" => buckets.deltas = list(text),
        "counts" => buckets.counts = list(text),
        _ => panic!("{name}"),
    }
}

fn span(text: &str) -> Span {
    let (offset, length) = text.split_once(':').unwrap();
    Span {
        offset: offset.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn list<T: FromStr>(text: &str) -> Vec<T> {
    let parse = |part: &str| part.parse().ok().unwrap_or_else(|| panic!("{text}"));
    text.split(',').map(parse).collect()
}

/// Returns the beginnings that errors of Prometheus have if the same rule is broken in the same place.
fn prefixes(histogram: &Histogram, error: HistogramError) -> Vec<String> {
    let place = |side: &str| match histogram.schema {
        CUSTOM_BUCKETS_SCHEMA => "custom buckets".to_owned(),
        _ => format!("{side} side"),
    };
    match error {
        HistogramError::Schema(schema) => vec![format!(
            "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for \
             custom buckets, got schema {schema}"
        )],
        HistogramError::SpanOffset {
            side,
            position,
            offset,
        } => vec![format!(
            "{}: span number {position} with offset {offset}: ",
            place(side)
        )],
        HistogramError::SpanLength {
            side,
            described,
            buckets,
        } => vec![format!(
            "{}: spans need {described} buckets, have {buckets} buckets: ",
            place(side)
        )],
        HistogramError::NegativeCount { side, position } => vec![format!(
            "{side} side: bucket number {position} has observation count of -"
        )],
        HistogramError::NegativeTotal => vec![
            "observation count is  -".to_owned(),
            "zero bucket has observation count of -".to_owned(),
        ],
        HistogramError::Count { buckets, count } => vec![format!(
            "{buckets} observations found in buckets, but the Count field is {count}: "
        )],
        HistogramError::NeedlessBounds => {
            vec!["histogram with exponential schema must not have custom bounds".to_owned()]
        }
        HistogramError::Bounds { .. } => vec![
            "custom buckets: previous bound is ".to_owned(),
            "custom buckets: last +Inf bound must not be explicitly defined: ".to_owned(),
            "custom buckets: histogram custom bounds must not be NaN".to_owned(),
        ],
        HistogramError::BeyondBounds { reached, bounds } => vec![format!(
            "custom buckets: only {bounds} custom bounds defined which is insufficient to cover total span length \
             of {reached}: "
        )],
        HistogramError::ZeroOrNegative => vec![
            "custom buckets: must have zero ".to_owned(),
            "custom buckets: must not have negative ".to_owned(),
        ],
    }
}

#[test]
fn verdicts_are_those_of_prometheus_or_explained() {
    let cases = cases(include_str!("golden/histograms.txt"));
    let mut rules = HashSet::new();
    for case in &cases {
        let title = case.title;
        assert!(!case.prometheus.is_empty(), "{title}: no verdict");
        let verdict = case.histogram.validate();
        let is_same = match verdict {
            Ok(()) => case.prometheus == "valid",
            Err(error) => prefixes(&case.histogram, error)
                .iter()
                .any(|prefix| case.prometheus.starts_with(prefix)),
        };
        let text = verdict.map_or_else(|error| error.to_string(), |()| "valid".to_owned());
        match case.own {
            None => assert!(is_same, "{title}: {text}, but {}", case.prometheus),
            Some(own) => {
                assert_eq!(text, own, "{title}");
                assert!(!is_same, "{title}: there is no difference: {text}");
            }
        }
        assert_eq!(case.own.is_some(), case.reason.is_some(), "{title}");
        // Only rules that Prometheus has confirmed count.
        rules.extend(
            verdict
                .err()
                .filter(|_| is_same)
                .map(|it| discriminant(&it)),
        );
    }
    let titles: HashSet<_> = cases.iter().map(|case| case.title).collect();
    assert_eq!(titles.len(), cases.len(), "duplicate title");
    assert_eq!(rules.len(), RULES, "a rule without a case");
}
