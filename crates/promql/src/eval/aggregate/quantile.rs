//! `quantile`

use std::cmp::Ordering;

use super::fold;
use super::groups::Grouping;
use super::parameter::Parameter;
use super::slots::{Kinds, Slots};
use crate::annotations::Annotation;
use crate::eval::grid::{GridFloat, GridSeries};
use crate::eval::{Evaluated, Evaluator};
use crate::go_sort;
use crate::plan::Aggregate;

/// Returns the quantiles of the floats of each group.
pub(super) fn quantile(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    parameter: &Parameter,
    input: Vec<GridSeries>,
) -> Evaluated<Vec<GridSeries>> {
    for (is_invalid, quantile) in [
        (parameter.has_nan, f64::NAN),
        (parameter.greatest > 1.0, parameter.greatest),
        (parameter.least < 0.0, parameter.least),
    ] {
        if is_invalid {
            ev.annotate(Annotation::invalid_quantile(quantile, parameter.span));
        }
    }
    let mut results = Vec::new();
    for group in Grouping::of(aggregate).groups(ev, input)? {
        ev.report_ignored_histograms(aggregate.op, &group, aggregate.expr.span);
        let mut table = Table::of(ev, &group.members)?;
        let quantiles = (0..table.slots.len()).filter_map(|slot| {
            let step = table.slots.step(slot);
            let values = &mut table.values[table.starts[slot]..table.starts[slot + 1]];
            let value =
                (!values.is_empty()).then(|| of_values(parameter.values.at(step), values))?;
            Some(GridFloat { step, value })
        });
        let quantiles: Vec<_> = quantiles.collect();
        let result = fold::with_floats(&group, aggregate, true, quantiles);
        ev.replace_held(group.size(), &result)?;
        if !result.is_empty() {
            results.push(result);
        }
    }
    Ok(results)
}

/// The floats of a group, step by step.
struct Table {
    slots: Slots,
    /// The place of the first value of each slot, and the number of all values.
    starts: Vec<usize>,
    values: Vec<f64>,
}

impl Table {
    fn of(ev: &Evaluator<'_>, members: &[GridSeries]) -> Evaluated<Self> {
        let slots = Slots::of(members, Kinds::Floats);
        let mut starts = vec![0; slots.len() + 1];
        for one in members {
            slots.visit(&one.floats, |slot, _| starts[slot + 1] += 1);
        }
        for slot in 0..slots.len() {
            starts[slot + 1] += starts[slot];
        }
        let mut values = vec![0.0; starts[slots.len()]];
        let mut ends = starts.clone();
        for one in members {
            ev.check_interrupt()?;
            slots.visit(&one.floats, |slot, float| {
                values[ends[slot]] = float.value;
                ends[slot] += 1;
            });
        }
        Ok(Self {
            slots,
            starts,
            values,
        })
    }
}

/// Returns a quantile of at least one value, between two of them if it lies there. NaN counts as the least value.
fn of_values(quantile: f64, values: &mut [f64]) -> f64 {
    if quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    let rank = quantile * (values.len() as f64 - 1.0);
    let lower_place = rank.floor() as usize;
    let weight = rank - rank.floor();
    let has_zero = |is_negative: bool| {
        let mut values = values.iter();
        values.any(|it| *it == 0.0 && it.is_sign_negative() == is_negative)
    };
    // They are equal: which of them has a place is decided by the algorithm.
    if has_zero(true) && has_zero(false) {
        go_sort::sort_floats(values);
        let upper_place = (lower_place + 1).min(values.len() - 1);
        return values[lower_place] * (1.0 - weight) + values[upper_place] * weight;
    }
    let (_, &mut lower, above) = values.select_nth_unstable_by(lower_place, compare);
    let upper = above.iter().copied().min_by(compare).unwrap_or(lower);
    lower * (1.0 - weight) + upper * weight
}

fn compare(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b)
        .unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_two_values() {
        let mut values = [4.0, f64::NAN, 1.0, 2.0, f64::NAN];
        assert!(of_values(0.25, &mut values).is_nan());
        assert_eq!(of_values(0.5, &mut values), 1.0);
        assert_eq!(of_values(0.875, &mut values), 3.0);
        assert_eq!(of_values(1.0, &mut values), 4.0);
        assert_eq!(of_values(-0.1, &mut values), f64::NEG_INFINITY);
        assert_eq!(of_values(1.1, &mut values), f64::INFINITY);
        assert!(of_values(f64::NAN, &mut values).is_nan());
    }

    /// In the order in which Go's insertion sort leaves them.
    #[test]
    fn zeros_keep_their_signs() {
        for (mut values, expected) in [
            (vec![0.0, -0.0], -0.0_f64),
            (vec![-0.0, 0.0], 0.0),
            (vec![0.0, -0.0, -1.0], -0.0),
        ] {
            let value = of_values(1.0, &mut values);
            assert_eq!(value.to_bits(), expected.to_bits());
        }
    }

    /// As in Prometheus, an infinite value counts with the weight 0.
    #[test]
    fn infinity_without_weight_is_nan() {
        assert!(of_values(0.5, &mut [f64::INFINITY]).is_nan());
        assert!(of_values(0.0, &mut [1.0, f64::INFINITY]).is_nan());
    }
}
