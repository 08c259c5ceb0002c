//! SELECT: from the parsed query to its rows.

mod clauses;
mod collect;
mod from;
mod plan;

use std::{collections::HashSet, rc::Rc};

use sqlparser::ast::{LimitClause, OrderBy, OrderByExpr, OrderByKind, Query, Select, SetExpr};

pub(crate) use self::from::find_table;
use self::{
    clauses::{check_query, check_select, unsupported},
    from::from,
    plan::{Plan, ordinal},
};
use super::{bind, source::Rows, types::Datum};
use crate::{error::ServiceError, store::Store};

/// What all parts of one query share.
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) now_ns: i64,
    /// Rows of the names that WITH has introduced so far.
    pub(crate) with: Vec<(String, Rc<Rows>)>,
}

/// Runs a query.
pub(crate) fn run(context: &mut Context<'_>, query: &Query) -> Result<Rows, ServiceError> {
    check_query(query)?;
    let names_outside = context.with.len();
    if let Some(with) = &query.with {
        if with.recursive {
            return Err(unsupported("WITH RECURSIVE"));
        }
        for cte in &with.cte_tables {
            if !cte.alias.columns.is_empty() || cte.from.is_some() || cte.materialized.is_some() {
                return Err(unsupported("the form of WITH"));
            }
            let rows = run(context, &cte.query)?;
            context
                .with
                .push((cte.alias.name.value.clone(), Rc::new(rows)));
        }
    }
    let limit = limit(query.limit_clause.as_ref())?;
    let order = order_items(query.order_by.as_ref())?;
    let result = match &*query.body {
        SetExpr::Select(select) => run_select(context, select, order, limit),
        SetExpr::Query(inner) if order.is_empty() && limit.is_none() => run(context, inner),
        SetExpr::Query(_) => Err(unsupported("ORDER BY or LIMIT after a query in brackets")),
        SetExpr::SetOperation { op, .. } => Err(unsupported(&op.to_string())),
        SetExpr::Values(_) => Err(unsupported("VALUES")),
        other => Err(unsupported(&other.to_string())),
    };
    context.with.truncate(names_outside);
    result
}

fn run_select(
    context: &mut Context<'_>,
    select: &Select,
    order: &[OrderByExpr],
    limit: Option<usize>,
) -> Result<Rows, ServiceError> {
    check_select(select)?;
    let (scope, source) = from(context, &select.from)?;
    let plan = Plan::new(&scope, context.now_ns, select, order, &source)?;
    let mut rows = if limit == Some(0) {
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

/// The service promises no order without ORDER BY: rows are shuffled, the same way every time.
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
