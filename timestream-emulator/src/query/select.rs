//! SELECT: from the parsed query to its rows.

mod clauses;
mod collect;
mod from;
mod join;
mod plan;
mod sets;
mod unnest;
mod window;

use std::{collections::HashSet, rc::Rc};

use sqlparser::ast::{Cte, LimitClause, OrderBy, OrderByExpr, OrderByKind, Query, Select, SetExpr};

pub(crate) use self::from::find_table;
use self::{
    clauses::{check_query, check_select, unsupported},
    from::{Alias, from},
    join::Relation,
    plan::{Plan, ordinal},
};
use super::{
    bind::{self, Applied, Scope},
    context::Context,
    source::{Rows, Source},
    types::Datum,
};
use crate::error::ServiceError;

/// Runs a query.
pub(crate) fn run(context: &Context<'_>, query: &Query) -> Result<Rows, ServiceError> {
    check_query(query)?;
    let mut inner = context.clone();
    if let Some(with) = &query.with {
        if with.recursive {
            return Err(unsupported("WITH RECURSIVE"));
        }
        for cte in &with.cte_tables {
            let named = named_query(&inner, cte)?;
            inner.with.push(named);
        }
    }
    let limit = limit(query.limit_clause.as_ref())?;
    let order = order_items(query.order_by.as_ref())?;
    if let SetExpr::Select(select) = &*query.body {
        return run_select(&inner, select, order, limit);
    }
    let mut rows = body(&inner, &query.body)?;
    if !order.is_empty() {
        sets::sort(&inner, &mut rows, order)?;
    }
    rows.rows.truncate(limit.unwrap_or(usize::MAX));
    Ok(rows)
}

/// Returns the rows of one part of UNION and the like.
fn body(context: &Context<'_>, body: &SetExpr) -> Result<Rows, ServiceError> {
    let mut rows = match body {
        SetExpr::Select(select) => return run_select(context, select, &[], None),
        SetExpr::Query(query) => return run(context, query),
        SetExpr::SetOperation {
            op,
            set_quantifier,
            left,
            right,
        } => sets::set_operation(context, *op, *set_quantifier, left, right)?,
        SetExpr::Values(values) => sets::values(context, values)?,
        other => return Err(unsupported(&other.to_string())),
    };
    scramble(&mut rows.rows);
    Ok(rows)
}

/// Returns the name and the rows that WITH introduces.
fn named_query(context: &Context<'_>, cte: &Cte) -> Result<(String, Rc<Rows>), ServiceError> {
    if cte.from.is_some() || cte.materialized.is_some() {
        return Err(unsupported("the form of WITH"));
    }
    let mut rows = run(context, &cte.query)?;
    let alias = Alias::of(Some(&cte.alias))?;
    if let Some(alias) = &alias {
        alias.rename(&mut rows.columns)?;
    }
    Ok((cte.alias.name.value.clone(), Rc::new(rows)))
}

fn run_select(
    context: &Context<'_>,
    select: &Select,
    order: &[OrderByExpr],
    limit: Option<usize>,
) -> Result<Rows, ServiceError> {
    check_select(select)?;
    let (scope, source) = from(context, &select.from)?;
    let (mut plan, applied) = Plan::new(&scope, context, select, order)?;
    let source = if applied.is_empty() {
        source
    } else {
        apply(context, &scope, &source, &applied)?
    };
    plan.push_down(&source);
    let mut rows = if limit == Some(0) || context.is_dry {
        Vec::new()
    } else {
        plan.rows(&source, limit)?
    };
    if plan.is_distinct {
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(row[..plan.columns.len()].to_vec()));
    }
    if plan.sort.is_empty() {
        scramble(&mut rows);
    } else {
        rows.sort_by(|left, right| plan.compare(left, right));
    }
    rows.truncate(limit.unwrap_or(usize::MAX));
    for row in &mut rows {
        row.truncate(plan.columns.len());
    }
    Ok(Rows {
        columns: plan.columns,
        rows,
    })
}

/// Returns the rows of a source, each followed by the values of its correlated sub-queries.
fn apply<'a>(
    context: &Context<'_>,
    scope: &Scope,
    source: &Source<'_>,
    applied: &[Applied],
) -> Result<Source<'a>, ServiceError> {
    let relation = Relation::read(context, scope.clone(), source)?;
    let scope = Rc::new(relation.scope);
    let mut rows = relation.rows;
    for row in &mut rows {
        let inner = context.for_row(&scope, row);
        for sub_query in applied {
            row.push(sub_query.value(&inner)?);
        }
    }
    Ok(Source::Rows(Rc::new(Rows {
        columns: scope.columns.clone(),
        rows,
    })))
}

/// Shuffles the rows, the same way every time: the service promises no order without ORDER BY.
fn scramble(rows: &mut [Vec<Datum>]) {
    let mut generator = fastrand::Rng::with_seed(rows.len() as u64);
    generator.shuffle(rows);
}

fn limit(clause: Option<&LimitClause>) -> Result<Option<usize>, ServiceError> {
    match clause {
        None
        | Some(LimitClause::LimitOffset {
            limit: None,
            offset: None,
            ..
        }) => Ok(None),
        Some(LimitClause::LimitOffset {
            limit: Some(limit),
            offset: None,
            limit_by,
        }) if limit_by.is_empty() => ordinal(limit)
            .map(Some)
            .ok_or_else(|| bind::error(limit, "LIMIT must be a whole number".to_owned())),
        Some(_) => Err(unsupported("OFFSET")),
    }
}

fn order_items(order_by: Option<&OrderBy>) -> Result<&[OrderByExpr], ServiceError> {
    match order_by {
        None => Ok(&[]),
        Some(OrderBy {
            kind: OrderByKind::Expressions(items),
            interpolate: None,
        }) => Ok(items),
        Some(_) => Err(unsupported("the form of ORDER BY")),
    }
}
