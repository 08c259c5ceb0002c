//! The annotations of a series, each made once however many windows have it.

use crate::annotations::{Annotation, HistogramOperation};
use crate::eval::Evaluator;
use crate::position::Span;

/// A reason for an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    MixedFloatsHistograms,
    MixedExponentialCustom,
    HistogramsIgnored,
    NotCounter,
    NotGauge,
    ReconciledAddition,
    ReconciledSubtraction,
    ReconciledAggregation,
    ConflictingResets,
}

impl Note {
    const ALL: [Self; 9] = [
        Self::MixedFloatsHistograms,
        Self::MixedExponentialCustom,
        Self::HistogramsIgnored,
        Self::NotCounter,
        Self::NotGauge,
        Self::ReconciledAddition,
        Self::ReconciledSubtraction,
        Self::ReconciledAggregation,
        Self::ConflictingResets,
    ];

    fn annotation(self, metric: &str, span: Span) -> Annotation {
        use HistogramOperation::{Addition, Aggregation, Subtraction};
        match self {
            Self::MixedFloatsHistograms => Annotation::mixed_floats_histograms(metric, span),
            Self::MixedExponentialCustom => {
                Annotation::mixed_exponential_custom_histograms(metric, span)
            }
            Self::HistogramsIgnored => Annotation::histogram_ignored_in_mixed_range(metric, span),
            Self::NotCounter => Annotation::native_histogram_not_counter(metric, span),
            Self::NotGauge => Annotation::native_histogram_not_gauge(metric, span),
            Self::ReconciledAddition => Annotation::mismatched_custom_buckets(Addition, span),
            Self::ReconciledSubtraction => Annotation::mismatched_custom_buckets(Subtraction, span),
            Self::ReconciledAggregation => Annotation::mismatched_custom_buckets(Aggregation, span),
            Self::ConflictingResets => Annotation::counter_reset_collision(Aggregation, span),
        }
    }
}

/// The reasons for annotations that the windows of a series had.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Notes {
    seen: u16,
    /// The number of windows with a sample whose start lies before the sample before it.
    pub(super) overlaps: u32,
    /// Invalid quantiles, several in a row once.
    pub(super) quantiles: Vec<f64>,
    /// The error that ends the evaluation.
    pub(super) error: Option<String>,
}

impl Notes {
    pub(super) fn add(&mut self, note: Note) {
        self.seen |= 1 << note as u16;
    }

    pub(super) fn add_if(&mut self, condition: bool, note: Note) {
        if condition {
            self.add(note);
        }
    }

    /// Adds those of a window whose result was not dropped.
    pub(super) fn merge(&mut self, window: Self) {
        self.seen |= window.seen;
        self.overlaps += window.overlaps;
    }

    /// Adds a quantile outside of 0 to 1.
    pub(super) fn add_quantile(&mut self, quantile: f64) {
        let last = self.quantiles.last();
        if last.is_none_or(|last| last.to_bits() != quantile.to_bits()) {
            self.quantiles.push(quantile);
        }
    }

    /// Annotates the result of the evaluation.
    pub(super) fn report(self, ev: &mut Evaluator<'_>, metric: &str, span: Span) {
        for note in Note::ALL {
            if self.seen & 1 << note as u16 != 0 {
                ev.annotate(note.annotation(metric, span));
            }
        }
        for _ in 0..self.overlaps {
            ev.annotate(Annotation::start_time_overlap(metric, span));
        }
        for quantile in self.quantiles {
            ev.annotate(Annotation::invalid_quantile(quantile, span));
        }
    }
}
