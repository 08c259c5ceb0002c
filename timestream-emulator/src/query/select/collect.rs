//! Rows of a scan -> rows of the result, or groups.

use std::collections::HashMap;

use super::plan::Plan;
use crate::{
    error::ServiceError,
    query::{
        aggregates::Accumulator,
        bind::{AggregateCall, Grouping},
        expr::Expr,
        source::Visitor,
        types::Datum,
    },
};

/// Collects the projected rows.
pub(super) struct Projector<'a> {
    pub(super) plan: &'a Plan,
    pub(super) limit: usize,
    pub(super) rows: Vec<Vec<Datum>>,
}

impl Visitor for Projector<'_> {
    fn series(&mut self, row: &[Datum]) -> Result<bool, ServiceError> {
        all_true(&self.plan.series_conditions, row)
    }

    fn row(&mut self, row: &[Datum]) -> Result<bool, ServiceError> {
        if all_true(&self.plan.row_conditions, row)? {
            self.rows.push(evaluate_all(&self.plan.projection, row)?);
        }
        Ok(self.rows.len() < self.limit)
    }
}

/// Collects the rows that the conditions leave, whole.
pub(super) struct Selector<'a> {
    pub(super) plan: &'a Plan,
    pub(super) rows: Vec<Vec<Datum>>,
}

impl Visitor for Selector<'_> {
    fn series(&mut self, row: &[Datum]) -> Result<bool, ServiceError> {
        all_true(&self.plan.series_conditions, row)
    }

    fn row(&mut self, row: &[Datum]) -> Result<bool, ServiceError> {
        if all_true(&self.plan.row_conditions, row)? {
            self.rows.push(row.to_vec());
        }
        Ok(true)
    }
}

/// Collects groups. Keys that are constant within a series are computed once for it.
pub(super) struct Grouper<'a> {
    plan: &'a Plan,
    aggregates: &'a [AggregateCall],
    keys: Vec<&'a Expr>,
    is_series_key: Vec<bool>,
    /// The key of the row before; series keys are those of the current series.
    current: Vec<Datum>,
    current_group: Option<usize>,
    groups: HashMap<Vec<Datum>, usize>,
    states: Vec<Vec<Accumulator>>,
}

impl<'a> Grouper<'a> {
    pub(super) fn new(plan: &'a Plan, grouping: &'a Grouping, first_point_column: usize) -> Self {
        let keys: Vec<&Expr> = grouping.keys.iter().map(|key| &key.expr).collect();
        let mut grouper = Grouper {
            plan,
            aggregates: &grouping.aggregates,
            is_series_key: keys
                .iter()
                .map(|key| !key.uses_columns_from(first_point_column))
                .collect(),
            current: vec![Datum::Null; keys.len()],
            keys,
            current_group: None,
            groups: HashMap::new(),
            states: Vec::new(),
        };
        if grouper.keys.is_empty() {
            // Without GROUP BY there is one group, even over no rows.
            grouper.enter_group();
        }
        grouper
    }

    fn enter_group(&mut self) -> usize {
        let next = self.states.len();
        let group = *self.groups.entry(self.current.clone()).or_insert(next);
        if group == next {
            let new = self
                .aggregates
                .iter()
                .map(|call| Accumulator::new(call.aggregate));
            self.states.push(new.collect());
        }
        group
    }

    /// Returns each group's keys and results.
    pub(super) fn finish(self) -> impl Iterator<Item = Vec<Datum>> {
        let mut keys: Vec<(Vec<Datum>, usize)> = self.groups.into_iter().collect();
        keys.sort_by_key(|(_, group)| *group);
        keys.into_iter()
            .zip(self.states)
            .map(|((mut row, _), states)| {
                row.extend(states.into_iter().map(Accumulator::finish));
                row
            })
    }
}

impl Visitor for Grouper<'_> {
    fn series(&mut self, row: &[Datum]) -> Result<bool, ServiceError> {
        if !all_true(&self.plan.series_conditions, row)? {
            return Ok(false);
        }
        for (index, key) in self.keys.iter().enumerate() {
            if self.is_series_key[index] {
                self.current[index] = key.evaluate(row)?;
            }
        }
        self.current_group = None;
        Ok(true)
    }

    fn row(&mut self, row: &[Datum]) -> Result<bool, ServiceError> {
        if !all_true(&self.plan.row_conditions, row)? {
            return Ok(true);
        }
        for (index, key) in self.keys.iter().enumerate() {
            if !self.is_series_key[index] {
                let datum = key.evaluate(row)?;
                if datum != self.current[index] {
                    self.current[index] = datum;
                    self.current_group = None;
                }
            }
        }
        let group = match self.current_group {
            Some(group) => group,
            None => self.enter_group(),
        };
        self.current_group = Some(group);
        for (state, call) in self.states[group].iter_mut().zip(self.aggregates) {
            state.add(call.arguments.iter().map(|argument| argument.evaluate(row)))?;
        }
        Ok(true)
    }
}

fn all_true(conditions: &[Expr], row: &[Datum]) -> Result<bool, ServiceError> {
    for condition in conditions {
        if !condition.is_true(row)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn evaluate_all(exprs: &[Expr], row: &[Datum]) -> Result<Vec<Datum>, ServiceError> {
    exprs.iter().map(|expr| expr.evaluate(row)).collect()
}
