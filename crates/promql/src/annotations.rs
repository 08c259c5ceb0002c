//! Warnings and infos about a result, with Prometheus' texts.

use std::collections::BTreeMap;

use crate::number::general;
use crate::position::{Lines, Span};
use crate::text::quote;
use crate::time::rfc3339;

/// The warnings and infos of a query.
///
/// ```
/// use promql::{Engine, EngineOptions, Fetched, Progress};
///
/// let query = Engine::new(EngineOptions::default()).instant("quantile(1.5, vector(1))", 0)?;
/// let Progress::Done(outcome) = query.evaluate(&Fetched::default(), &|| None) else { unreachable!() };
/// let warnings = outcome.annotations.warnings();
/// assert_eq!(warnings, ["PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:10)"]);
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Annotations {
    query: Vec<u8>,
    /// By their texts without position and details. As in Prometheus the last of several places is named.
    entries: BTreeMap<String, Annotation>,
}

impl Annotations {
    pub(crate) fn new(query: &[u8]) -> Self {
        Self {
            query: query.to_vec(),
            entries: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, annotation: Annotation) {
        match self.entries.get_mut(&annotation.text) {
            Some(present) => present.merge(annotation),
            None => {
                self.entries.insert(annotation.text.clone(), annotation);
            }
        }
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the warnings, in the order of their texts.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings_limited(0)
    }

    /// Returns the infos, in the order of their texts.
    pub fn infos(&self) -> Vec<String> {
        self.infos_limited(0)
    }

    /// Returns the first warnings in the order of their texts, and if there are more than `max` a text that says how many,
    /// as Prometheus' HTTP API. A limit of 0 is none.
    ///
    /// ```
    /// use promql::{Engine, EngineOptions, Fetched, Progress};
    ///
    /// let query = "quantile(2, vector(1)) + quantile(3, vector(1)) + quantile(4, vector(1))";
    /// let query = Engine::new(EngineOptions::default()).instant(query, 0)?;
    /// let Progress::Done(outcome) = query.evaluate(&Fetched::default(), &|| None) else { unreachable!() };
    /// assert_eq!(outcome.annotations.warnings_limited(3).len(), 3);
    /// assert_eq!(outcome.annotations.warnings_limited(1)[1], "2 more warning annotations omitted");
    /// # Ok::<(), promql::QueryError>(())
    /// ```
    pub fn warnings_limited(&self, max: usize) -> Vec<String> {
        self.texts_limited(Level::Warning, max)
    }

    /// Returns the first infos, see [`Self::warnings_limited`].
    pub fn infos_limited(&self, max: usize) -> Vec<String> {
        self.texts_limited(Level::Info, max)
    }

    fn texts_limited(&self, level: Level, max: usize) -> Vec<String> {
        let max = if max == 0 { usize::MAX } else { max };
        let mut of_level = self.of_level(level);
        let lines = Lines::of(&self.query);
        let first = of_level.by_ref().take(max);
        let mut texts: Vec<_> = first.map(|it| it.full_text(&lines)).collect();
        let omitted = of_level.count();
        if omitted > 0 {
            let level = match level {
                Level::Warning => "warning",
                Level::Info => "info",
            };
            texts.push(format!("{omitted} more {level} annotations omitted"));
        }
        texts
    }

    fn of_level(&self, level: Level) -> impl Iterator<Item = &Annotation> {
        self.entries.values().filter(move |it| it.level == level)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Warning,
    Info,
}

/// A warning or an info, as Prometheus' package `annotations` makes them.
#[derive(Clone, Debug)]
pub(crate) struct Annotation {
    level: Level,
    text: String,
    span: Span,
    details: Details,
}

/// Parts of an annotation that several of the same text combine.
#[derive(Clone, Debug)]
enum Details {
    None,
    Monotonicity(RaisedBuckets),
    /// The number of samples whose start lies before the sample before them.
    Overlaps(u64),
}

/// Buckets of classic histograms that were raised to the count of the bucket before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RaisedBuckets {
    /// The first and the last time.
    pub(crate) times_ms: (i64, i64),
    /// The least and the greatest upper bound.
    pub(crate) bounds: (f64, f64),
    /// The largest difference to the bucket before.
    pub(crate) max_difference: f64,
    /// The number of histograms.
    pub(crate) samples: u64,
}

impl RaisedBuckets {
    /// Combines two.
    pub(crate) fn merge(&mut self, more: Self) {
        let (times, bounds) = (self.times_ms, self.bounds);
        self.times_ms = (times.0.min(more.times_ms.0), times.1.max(more.times_ms.1));
        self.bounds = (bounds.0.min(more.bounds.0), bounds.1.max(more.bounds.1));
        self.max_difference = self.max_difference.max(more.max_difference);
        self.samples += more.samples;
    }
}

/// An operation on histograms, as annotations name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

impl HistogramOperation {
    fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

fn quoted(text: &str) -> String {
    quote(text.as_bytes())
}

/// Returns the text, followed by the metric's name unless it is empty.
fn with_metric(text: &str, metric: &str) -> String {
    match metric {
        "" => text.to_owned(),
        _ => format!("{text} for metric name {}", quoted(metric)),
    }
}

impl Annotation {
    fn warning(text: impl AsRef<str>, span: Span) -> Self {
        Self::new(Level::Warning, text.as_ref(), span)
    }

    fn info(text: impl AsRef<str>, span: Span) -> Self {
        Self::new(Level::Info, text.as_ref(), span)
    }

    fn new(level: Level, text: &str, span: Span) -> Self {
        let prefix = match level {
            Level::Warning => "PromQL warning",
            Level::Info => "PromQL info",
        };
        Self {
            level,
            text: format!("{prefix}: {text}"),
            span,
            details: Details::None,
        }
    }

    fn merge(&mut self, later: Self) {
        match (&mut self.details, later.details) {
            (Details::Monotonicity(raised), Details::Monotonicity(more)) => raised.merge(more),
            (Details::Overlaps(count), Details::Overlaps(more)) => *count += more,
            _ => self.span = later.span,
        }
    }

    fn full_text(&self, lines: &Lines) -> String {
        let position = lines.position(self.span.start);
        let text = &self.text;
        match &self.details {
            Details::None => format!("{text} ({position})"),
            Details::Overlaps(1) => format!("{text} ({position})"),
            Details::Overlaps(count) => format!("{text} ({count} occurrences) ({position})"),
            Details::Monotonicity(raised) => format!(
                "{text}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {} ({position})",
                general(raised.bounds.0),
                general(raised.bounds.1),
                crate::number::two_digits(raised.max_difference),
                raised.samples,
                rfc3339(raised.times_ms.0),
                rfc3339(raised.times_ms.1),
            ),
        }
    }

    /// A quantile outside of 0 to 1.
    pub(crate) fn invalid_quantile(quantile: f64, span: Span) -> Self {
        let text = "quantile value should be between 0 and 1, got";
        Self::warning(format!("{text} {}", general(quantile)), span)
    }

    /// A ratio outside of -1 to 1.
    pub(crate) fn invalid_ratio(ratio: f64, used: f64, span: Span) -> Self {
        let (ratio, used) = (general(ratio), general(used));
        let text =
            format!("ratio value should be between -1 and 1, got {ratio}, capping to {used}");
        Self::warning(text, span)
    }

    /// A bucket of a classic histogram whose boundary is no number.
    pub(crate) fn bad_bucket_label(metric: &str, boundary: &str, span: Span) -> Self {
        let text = format!(
            "bucket label \"le\" is missing or has a malformed value of {}",
            quoted(boundary)
        );
        Self::warning(with_metric(&text, metric), span)
    }

    /// Floats and histograms in a range.
    pub(crate) fn mixed_floats_histograms(metric: &str, span: Span) -> Self {
        let text = "encountered a mix of histograms and floats for metric name";
        Self::warning(format!("{text} {}", quoted(metric)), span)
    }

    /// Floats and histograms in a group of an aggregation.
    pub(crate) fn mixed_floats_histograms_in_aggregation(span: Span) -> Self {
        let text = "encountered a mix of histograms and floats for aggregation";
        Self::warning(text, span)
    }

    /// A classic and a native histogram with the same labels.
    pub(crate) fn mixed_classic_native_histograms(metric: &str, span: Span) -> Self {
        let text = "vector contains a mix of classic and native histograms";
        Self::warning(with_metric(text, metric), span)
    }

    /// A gauge histogram where a counter is needed.
    pub(crate) fn native_histogram_not_counter(metric: &str, span: Span) -> Self {
        let text = "this native histogram metric is not a counter:";
        Self::warning(format!("{text} {}", quoted(metric)), span)
    }

    /// A counter histogram where a gauge is needed.
    pub(crate) fn native_histogram_not_gauge(metric: &str, span: Span) -> Self {
        let text = "this native histogram metric is not a gauge:";
        Self::warning(format!("{text} {}", quoted(metric)), span)
    }

    /// Exponential and custom buckets in one range or group.
    pub(crate) fn mixed_exponential_custom_histograms(metric: &str, span: Span) -> Self {
        let text = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
        Self::warning(format!("{text} {}", quoted(metric)), span)
    }

    /// Exponential and custom buckets on the two sides of an operator.
    pub(crate) fn incompatible_bucket_layout(operator: &str, span: Span) -> Self {
        let text = "incompatible bucket layout encountered for binary operator";
        Self::warning(format!("{text} {operator}"), span)
    }

    /// A reset on one side and its absence on the other.
    pub(crate) fn counter_reset_collision(operation: HistogramOperation, span: Span) -> Self {
        let text = "conflicting counter resets during histogram";
        Self::warning(format!("{text} {}", operation.name()), span)
    }

    /// Custom buckets whose boundaries differ.
    pub(crate) fn mismatched_custom_buckets(operation: HistogramOperation, span: Span) -> Self {
        let text = "mismatched custom buckets were reconciled during";
        Self::info(format!("{text} {}", operation.name()), span)
    }

    /// A sort without effect.
    pub(crate) fn sort_in_range_query(span: Span) -> Self {
        let text =
            "sort is ineffective for range queries since results are always ordered by labels";
        Self::warning(text, span)
    }

    /// A rate of a metric that may be a gauge, judged by its name.
    pub(crate) fn possible_non_counter(metric: &str, span: Span) -> Self {
        let text =
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        Self::info(format!("{text} {}", quoted(metric)), span)
    }

    /// A rate of a metric that may be a gauge, judged by its label `__type__`.
    pub(crate) fn possible_non_counter_label(metric: &str, type_label: &str, span: Span) -> Self {
        let text = format!(
            "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
            quoted(type_label),
            quoted(metric)
        );
        Self::info(text, span)
    }

    /// Buckets of classic histograms that were raised to the count of the bucket before.
    pub(crate) fn forced_monotonicity(metric: &str, span: Span, raised: RaisedBuckets) -> Self {
        let text = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        Self {
            details: Details::Monotonicity(raised),
            ..Self::info(with_metric(text, metric), span)
        }
    }

    /// Operands that an operator does not accept.
    pub(crate) fn incompatible_types(left: &str, operator: &str, right: &str, span: Span) -> Self {
        let text = "incompatible sample types encountered for binary operator";
        Self::info(
            format!("{text} {}: {left} {operator} {right}", quoted(operator)),
            span,
        )
    }

    /// A histogram in an aggregation of floats.
    pub(crate) fn histogram_ignored_in_aggregation(aggregation: &str, span: Span) -> Self {
        Self::info(
            format!("ignored histogram in {aggregation} aggregation"),
            span,
        )
    }

    /// Histograms in a range for a function of floats.
    pub(crate) fn histogram_ignored_in_mixed_range(metric: &str, span: Span) -> Self {
        let text =
            "ignored histograms in a range containing both floats and histograms for metric name";
        Self::info(format!("{text} {}", quoted(metric)), span)
    }

    /// A quantile that is NaN because of observations that are.
    pub(crate) fn quantile_is_nan(metric: &str, span: Span) -> Self {
        let text = "input to histogram_quantile has NaN observations, result is NaN";
        Self::info(with_metric(text, metric), span)
    }

    /// A quantile that is too high because of observations that are NaN.
    pub(crate) fn quantile_is_skewed(metric: &str, span: Span) -> Self {
        let text = "input to histogram_quantile has NaN observations, result is skewed higher";
        Self::info(with_metric(text, metric), span)
    }

    /// Fractions that do not count observations that are NaN.
    pub(crate) fn fraction_excludes_nan(metric: &str, span: Span) -> Self {
        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
        Self::info(with_metric(text, metric), span)
    }

    /// A sample whose start lies before the sample before it.
    pub(crate) fn start_time_overlap(metric: &str, span: Span) -> Self {
        let text = "sample has start time that overlaps with previous sample timestamp for metric";
        Self {
            details: Details::Overlaps(1),
            ..Self::warning(format!("{text} {}", quoted(metric)), span)
        }
    }
}
