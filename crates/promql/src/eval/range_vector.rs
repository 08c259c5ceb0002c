//! Range vectors: the samples of selectors and subqueries, and the windows over them.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use prom_model::{Labels, ResetHint, Sample};

use super::grid::{GridFloat, GridHistogram, GridSeries};
use super::sample_counter::InnerSteps;
use super::select::is_stale;
use super::{Evaluated, Evaluator, fail, histogram_counts};
use crate::plan::{Extension, Node, NodeKind, Reference, Subquery};
use crate::steps::Steps;
use crate::storage::{StartTimestamps, StoredSeries};
use crate::value::HistogramSample;

/// A range vector at all steps.
#[derive(Debug)]
pub(crate) struct RangeVector<'a> {
    pub(crate) series: Vec<RangeSeries<'a>>,
    /// The ends of the windows.
    pub(crate) reference: Reference,
    /// The length of the windows in milliseconds.
    pub(crate) range: i64,
    pub(crate) extension: Extension,
    /// True if the samples are those of a subquery, whose own selectors have read them.
    pub(crate) is_subquery: bool,
}

/// A series of a range vector with the samples of all windows, none of them a stale marker.
#[derive(Debug)]
pub(crate) struct RangeSeries<'a> {
    pub(crate) labels: Arc<Labels>,
    /// True if the name has to be removed at the end of the evaluation.
    pub(crate) drop_name: bool,
    /// In the order of their times.
    pub(crate) floats: Cow<'a, [Sample]>,
    /// In the order of their times.
    pub(crate) histograms: Cow<'a, [HistogramSample]>,
    /// The starts of the counters, if the storage has them: as many as the samples.
    pub(crate) starts: Option<Cow<'a, StartTimestamps>>,
}

impl RangeVector<'_> {
    /// Returns the times of the window of a step: after the first, and up to and with the second.
    pub(crate) fn window(&self, time: i64) -> (i64, i64) {
        let end = self.reference.resolve(time);
        (end.saturating_sub(self.range), end)
    }
}

/// The samples of a window, found by walking along as windows move forward.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WindowCursor {
    first: usize,
    end: usize,
}

impl WindowCursor {
    /// Returns the number of samples up to the end of the last window.
    pub(crate) fn end(self) -> usize {
        self.end
    }

    /// Returns the places of the samples after `after` and up to `end`, neither of which may be before those of the
    /// last call.
    pub(crate) fn advance<T: Timed>(
        &mut self,
        samples: &[T],
        after: i64,
        end: i64,
    ) -> Range<usize> {
        while self.end < samples.len() && samples[self.end].timestamp_ms() <= end {
            self.end += 1;
        }
        while self.first < self.end && samples[self.first].timestamp_ms() <= after {
            self.first += 1;
        }
        self.first..self.end
    }
}

/// A sample with a time.
pub(crate) trait Timed {
    fn timestamp_ms(&self) -> i64;
}

impl Timed for Sample {
    fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }
}

impl Timed for HistogramSample {
    fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }
}

impl<'a> Evaluator<'a> {
    /// Evaluates an expression that is a range vector.
    pub(super) fn range_vector(&mut self, node: &'a Node) -> Evaluated<RangeVector<'a>> {
        match &node.kind {
            NodeKind::Matrix(selector) => {
                let stored = self.selected(selector.selection)?;
                let (steps, reference) = (self.steps, selector.reference);
                let (before, after) = selector.extension.reach(self.options.lookback_ms);
                let before = selector.range.saturating_add(before);
                let reach = histogram_counts::Reach::window(before, after);
                let series = stored.iter().map(|series| {
                    self.check_interrupt()?;
                    Ok(match selector.counts_only {
                        true => {
                            let counts =
                                histogram_counts::only_counts(series, steps, reference, reach);
                            RangeSeries::of_stored(&counts).into_owned()
                        }
                        false => RangeSeries::of_stored(series),
                    })
                });
                Ok(RangeVector {
                    series: series.collect::<Evaluated<_>>()?,
                    reference: selector.reference,
                    range: selector.range,
                    extension: selector.extension,
                    is_subquery: false,
                })
            }
            NodeKind::Subquery(subquery) => self.subquery(subquery),
            _ => fail(format!(
                "a {} is no range vector",
                node.value_type.documented_name()
            )),
        }
    }

    fn subquery(&mut self, subquery: &'a Subquery) -> Evaluated<RangeVector<'a>> {
        let steps = subquery.steps(self.steps)?;
        let inner = match subquery.reference.at {
            None => InnerSteps::Subquery {
                steps,
                outer: self.steps,
                offset: subquery.reference.offset,
                range: subquery.range,
            },
            Some(_) => InnerSteps::Once,
        };
        let total_before = self.samples.begin(inner);
        // One series can be larger than the memory for the evaluation.
        self.check_interrupt_before(steps.count() as usize)?;
        let series = self.at_steps(steps, |ev| ev.inner_of_subquery(&subquery.expr))?;
        // The windows over the result count instead.
        self.samples.end_selected_again(total_before);
        let series = series.into_iter().map(|one| {
            self.check_interrupt()?;
            Ok(RangeSeries::of_grid(one, steps))
        });
        Ok(RangeVector {
            series: series.collect::<Evaluated<_>>()?,
            reference: subquery.reference,
            range: subquery.range,
            extension: Extension::None,
            is_subquery: true,
        })
    }

    /// Evaluates the expression of a subquery, which may be a scalar without labels.
    pub(super) fn inner_of_subquery(&mut self, node: &'a Node) -> Evaluated<Vec<GridSeries>> {
        match node.value_type {
            crate::ValueType::Scalar => {
                let scalar = self.scalar(node)?;
                Ok(vec![self.series_of_scalar(&scalar)?])
            }
            _ => self.vector(node),
        }
    }
}

impl<'a> RangeSeries<'a> {
    pub(super) fn of_stored(series: &'a StoredSeries) -> Self {
        let has_stale_floats = series.floats.iter().any(|it| is_stale(it.value));
        let has_stale_histograms = series.histograms.iter().any(|it| it.histogram.is_stale());
        if !has_stale_floats && !has_stale_histograms {
            return Self {
                labels: Arc::clone(&series.labels),
                drop_name: false,
                floats: Cow::Borrowed(&series.floats),
                histograms: Cow::Borrowed(&series.histograms),
                starts: series.starts.as_deref().map(Cow::Borrowed),
            };
        }
        let mut starts = series.starts.as_deref().cloned();
        if let Some(starts) = &mut starts {
            let mut floats = series.floats.iter();
            starts
                .floats
                .retain(|_| floats.next().is_some_and(|it| !is_stale(it.value)));
            let mut histograms = series.histograms.iter();
            let mut is_value =
                |_: &i64| histograms.next().is_some_and(|it| !it.histogram.is_stale());
            starts.histograms.retain(&mut is_value);
        }
        let floats = series.floats.iter().filter(|it| !is_stale(it.value));
        let histograms = series
            .histograms
            .iter()
            .filter(|it| !it.histogram.is_stale());
        Self {
            labels: Arc::clone(&series.labels),
            drop_name: false,
            floats: floats.copied().collect(),
            histograms: histograms.cloned().collect(),
            starts: starts.map(Cow::Owned),
        }
    }

    fn into_owned<'b>(self) -> RangeSeries<'b> {
        RangeSeries {
            labels: self.labels,
            drop_name: self.drop_name,
            floats: Cow::Owned(self.floats.into_owned()),
            histograms: Cow::Owned(self.histograms.into_owned()),
            starts: self.starts.map(|starts| Cow::Owned(starts.into_owned())),
        }
    }

    /// Returns the values of a subquery as samples. Whether counters were reset is unknown, because the samples between
    /// the steps are not among them.
    fn of_grid(series: GridSeries, steps: Steps) -> Self {
        let float = |it: GridFloat| Sample {
            timestamp_ms: steps.time(it.step),
            value: it.value,
        };
        let histogram = |mut it: GridHistogram| {
            if matches!(
                it.histogram.reset_hint(),
                ResetHint::Reset | ResetHint::NotReset
            ) {
                Arc::make_mut(&mut it.histogram).set_reset_hint(ResetHint::Unknown);
            }
            HistogramSample {
                timestamp_ms: steps.time(it.step),
                histogram: it.histogram,
            }
        };
        Self {
            labels: series.labels,
            drop_name: series.drop_name,
            floats: series.floats.into_iter().map(float).collect(),
            histograms: series.histograms.into_iter().map(histogram).collect(),
            starts: None,
        }
    }
}
