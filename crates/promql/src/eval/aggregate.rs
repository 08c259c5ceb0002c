//! Aggregations: many series become one for each group, or some of each group are selected.
//!
//! Groups are found once per series. Each group is then aggregated over all steps, one series after the other, so that
//! values of a step are added in the order of the series as in Prometheus, which goes step by step.

mod count_values;
mod fold;
mod groups;
mod heap;
mod histogram;
mod parameter;
mod quantile;
mod select;
mod slots;
#[cfg(test)]
mod tests;

use super::grid::GridSeries;
use super::{Evaluated, Evaluator};
use crate::annotations::Annotation;
use crate::ast::AggregateOp;
use crate::plan::Aggregate;
use crate::position::Span;
use fold::{Deviation, Greatest, Least, Mean, Presence, Sum, Variance};
use groups::{Group, Grouping};
use parameter::Parameter;

/// Evaluates an aggregation.
pub(super) fn aggregate<'a>(
    ev: &mut Evaluator<'a>,
    aggregate: &'a Aggregate,
    span: Span,
) -> Evaluated<Vec<GridSeries>> {
    if aggregate.op == AggregateOp::CountValues {
        let label = count_values::label(aggregate)?;
        let input = ev.vector(&aggregate.expr)?;
        return count_values::count_values(ev, aggregate, label, input);
    }
    let parameter = match &aggregate.parameter {
        Some(parameter) => Some((ev.scalar(parameter)?, parameter.span)),
        None => None,
    };
    let input = ev.vector(&aggregate.expr)?;
    match parameter {
        Some((scalar, place)) => {
            let parameter = Parameter::new(scalar, place);
            with_parameter(ev, aggregate, span, &parameter, input)
        }
        None => without_parameter(ev, aggregate, input),
    }
}

#[inline(never)]
fn with_parameter(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    span: Span,
    parameter: &Parameter,
    input: Vec<GridSeries>,
) -> Evaluated<Vec<GridSeries>> {
    match aggregate.op {
        AggregateOp::Quantile => quantile::quantile(ev, aggregate, parameter, input),
        _ => select::select(ev, aggregate, span, parameter, input),
    }
}

#[inline(never)]
fn without_parameter(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    input: Vec<GridSeries>,
) -> Evaluated<Vec<GridSeries>> {
    let fold = match aggregate.op {
        AggregateOp::Sum => histogram::with_histograms::<Sum>,
        AggregateOp::Avg => histogram::with_histograms::<Mean>,
        AggregateOp::Min => fold::floats_only::<Least>,
        AggregateOp::Max => fold::floats_only::<Greatest>,
        AggregateOp::Stddev => fold::floats_only::<Deviation>,
        AggregateOp::Stdvar => fold::floats_only::<Variance>,
        AggregateOp::Group => fold::presence::<Presence<false>>,
        _ => fold::presence::<Presence<true>>,
    };
    let groups = Grouping::of(aggregate).groups(ev, input)?;
    let mut results = Vec::with_capacity(groups.len());
    for group in groups {
        ev.check_interrupt()?;
        let size = group.size();
        let result = fold(ev, aggregate, group)?;
        ev.replace_held(size, &result)?;
        if !result.is_empty() {
            results.push(result);
        }
    }
    Ok(results)
}

impl Evaluator<'_> {
    /// Counts a result instead of the samples of which it was made.
    fn replace_held(&mut self, consumed: usize, result: &GridSeries) -> Evaluated<()> {
        let others = self.samples.held().saturating_sub(consumed);
        self.samples.set_held(others + result.size())
    }

    /// Adds an info if a group has histograms, which the aggregation ignores.
    fn report_ignored_histograms(&mut self, op: AggregateOp, group: &Group, span: Span) {
        if group.members.iter().any(|it| !it.histograms.is_empty()) {
            self.annotate(Annotation::histogram_ignored_in_aggregation(
                op.name(),
                span,
            ));
        }
    }
}
