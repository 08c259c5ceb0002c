//! UNION, INTERSECT, EXCEPT and VALUES, and ORDER BY over their rows.

use std::collections::HashSet;

use sqlparser::ast::{Expr as Ast, OrderByExpr, SetExpr, SetOperator, SetQuantifier, Values};

use super::{body, clauses::unsupported, plan::ordinal, window::sort_order};
use crate::{
    error::ServiceError,
    query::{
        bind::{self, Binder, Scope, SortBy, Typed, coerce},
        context::Context,
        expr::Expr,
        output::Column,
        source::Rows,
        types::{Datum, Type},
    },
};

pub(super) fn set_operation(
    context: &Context<'_>,
    operator: SetOperator,
    quantifier: SetQuantifier,
    left: &SetExpr,
    right: &SetExpr,
) -> Result<Rows, ServiceError> {
    let keeps_duplicates = match (operator, quantifier) {
        (SetOperator::Union, SetQuantifier::All) => true,
        (
            SetOperator::Union | SetOperator::Intersect | SetOperator::Except,
            SetQuantifier::None | SetQuantifier::Distinct,
        ) => false,
        (operator, quantifier) => return Err(unsupported(&format!("{operator} {quantifier}"))),
    };
    let (mut left, mut right) = (body(context, left)?, body(context, right)?);
    unify(&operator.to_string(), &mut left, &mut right)?;
    let mut seen: HashSet<Vec<Datum>> = HashSet::new();
    let mut rows = left.rows;
    match operator {
        SetOperator::Intersect => {
            let wanted: HashSet<Vec<Datum>> = right.rows.into_iter().collect();
            rows.retain(|row| wanted.contains(row));
        }
        SetOperator::Except => seen.extend(right.rows),
        _ => rows.extend(right.rows),
    }
    if !keeps_duplicates {
        rows.retain(|row| seen.insert(row.clone()));
    }
    Ok(Rows {
        columns: left.columns,
        rows,
    })
}

/// Gives both sides the types they have in common, and the names of the left.
fn unify(operator: &str, left: &mut Rows, right: &mut Rows) -> Result<(), ServiceError> {
    let (width, other) = (left.columns.len(), right.columns.len());
    if width != other {
        return Err(ServiceError::validation(format!(
            "{operator} query has different number of fields: {width}, {other}"
        )));
    }
    for index in 0..width {
        let (of_left, of_right) = (&left.columns[index], &right.columns[index]);
        let (of_left, of_right) = (&of_left.data_type, &of_right.data_type);
        let common = of_left.common(of_right).ok_or_else(|| {
            ServiceError::validation(format!(
                "column {} in {operator} query has incompatible types: {of_left}, {of_right}",
                index + 1
            ))
        })?;
        for side in [&mut *left, &mut *right] {
            convert(side, index, &common)?;
        }
        let column = &mut left.columns[index];
        *column = Column {
            is_aliased: column.is_aliased,
            ..Column::new(std::mem::take(&mut column.name), common)
        };
    }
    Ok(())
}

fn convert(rows: &mut Rows, index: usize, wanted: &Type) -> Result<(), ServiceError> {
    let typed = Typed {
        expr: Expr::Column(index),
        data_type: rows.columns[index].data_type.clone(),
    };
    let Some(Typed { expr, .. }) = coerce(typed, wanted) else {
        return Ok(());
    };
    if expr != Expr::Column(index) {
        for row in &mut rows.rows {
            row[index] = expr.evaluate(row)?;
        }
    }
    Ok(())
}

pub(super) fn values(context: &Context<'_>, values: &Values) -> Result<Rows, ServiceError> {
    if values.explicit_row || values.value_keyword {
        return Err(unsupported(&values.to_string()));
    }
    let scope = Scope::default();
    let mut binder = Binder::new(&scope, context);
    let mut all: Option<Rows> = None;
    for row in &values.rows {
        let mut next = Rows::default();
        let mut cells = Vec::new();
        for (index, ast) in row.content.iter().enumerate() {
            let typed = binder.bind(ast)?;
            let name = format!("_col{index}");
            next.columns.push(Column::new(name, typed.data_type));
            if !context.is_dry {
                cells.push(typed.expr.evaluate(&[])?);
            }
        }
        if !context.is_dry {
            next.rows.push(cells);
        }
        all = Some(match all {
            None => next,
            Some(mut so_far) => {
                unify("VALUES", &mut so_far, &mut next)?;
                so_far.rows.append(&mut next.rows);
                so_far
            }
        });
    }
    Ok(all.unwrap_or_default())
}

/// Sorts complete rows by the columns of ORDER BY.
pub(super) fn sort(
    context: &Context<'_>,
    rows: &mut Rows,
    order: &[OrderByExpr],
) -> Result<(), ServiceError> {
    let scope = Scope::new(rows.columns.clone(), Vec::new());
    let mut binder = Binder::new(&scope, context);
    let mut keys = Vec::new();
    for item in order {
        keys.push((
            sort_key(&mut binder, &item.expr, &rows.columns)?,
            SortBy::of(item)?,
        ));
    }
    binder.reject_applied("a correlated sub-query in ORDER BY")?;
    let mut sorted = Vec::new();
    for row in std::mem::take(&mut rows.rows) {
        let key = keys.iter().map(|(expr, _)| expr.evaluate(&row));
        sorted.push((key.collect::<Result<Vec<_>, _>>()?, row));
    }
    sorted.sort_by(|(left, _), (right, _)| {
        let pairs = left.iter().zip(right).zip(&keys);
        let mut orders = pairs.map(|((left, right), (_, by))| sort_order(*by, left, right));
        orders
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    rows.rows = sorted.into_iter().map(|(_, row)| row).collect();
    Ok(())
}

fn sort_key(binder: &mut Binder<'_>, ast: &Ast, columns: &[Column]) -> Result<Expr, ServiceError> {
    if let Some(number) = ordinal(ast) {
        return (1..=columns.len())
            .contains(&number)
            .then(|| Expr::Column(number - 1))
            .ok_or_else(|| {
                let text = format!("ORDER BY position {number} is not in select list");
                bind::error(ast, text)
            });
    }
    let typed = binder.bind(ast)?;
    if !typed.data_type.is_orderable() {
        let text = format!("Type {} is not orderable", typed.data_type);
        return Err(bind::error(ast, text));
    }
    Ok(typed.expr)
}
