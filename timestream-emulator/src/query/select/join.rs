//! Joins of rows in memory.

use std::{collections::HashMap, rc::Rc};

use sqlparser::ast::{Expr as Ast, Ident, Join, JoinConstraint, JoinOperator, Value};

use super::clauses::unsupported;
use crate::{
    error::ServiceError,
    query::{
        bind::{Binder, Found, Scope, Typed, check_name, coerce},
        context::Context,
        dialect::position,
        expr::{Comparison, Expr},
        output::Column,
        source::{Demand, Rows, Source, Visitor},
        types::Datum,
    },
};

/// Rows with the names of their columns.
#[derive(Default)]
pub(super) struct Relation {
    pub(super) scope: Scope,
    pub(super) rows: Vec<Vec<Datum>>,
}

impl Relation {
    /// Returns one row without columns, which a cross join leaves as it is.
    pub(super) fn single_row() -> Relation {
        Relation {
            scope: Scope::default(),
            rows: vec![Vec::new()],
        }
    }

    /// Returns all rows of a source.
    pub(super) fn read(
        context: &Context<'_>,
        scope: Scope,
        source: &Source<'_>,
    ) -> Result<Relation, ServiceError> {
        let mut collector = Collector(Vec::new());
        if !context.is_dry {
            let demand = Demand {
                times: i64::MIN..=i64::MAX,
                values: true,
                one_row_per_series: false,
            };
            source.scan(&demand, &mut collector)?;
        }
        Ok(Relation {
            scope,
            rows: collector.0,
        })
    }

    pub(super) fn into_source<'a>(self) -> (Scope, Source<'a>) {
        let columns = self.scope.columns.clone();
        let rows = Rows {
            columns,
            rows: self.rows,
        };
        (self.scope, Source::Rows(Rc::new(rows)))
    }
}

struct Collector(Vec<Vec<Datum>>);

impl Visitor for Collector {
    fn series(&mut self, _row: &[Datum]) -> Result<bool, ServiceError> {
        Ok(true)
    }

    fn row(&mut self, row: &[Datum]) -> Result<bool, ServiceError> {
        self.0.push(row.to_vec());
        Ok(true)
    }
}

/// Joins every row of one side with every row of the other.
pub(super) fn cross(left: Relation, right: Relation) -> Relation {
    let rows = left.rows.iter().flat_map(|left| {
        let right = right.rows.iter();
        right.map(move |right| [left.as_slice(), right].concat())
    });
    Relation {
        rows: rows.collect(),
        scope: both(&left.scope, &right.scope),
    }
}

/// Returns true if a join with UNNEST preserves a row without elements.
pub(super) fn keeps_left(join: &Join) -> Result<bool, ServiceError> {
    let is_true = |constraint: &JoinConstraint| match constraint {
        JoinConstraint::On(Ast::Value(value)) => value.value == Value::Boolean(true),
        _ => false,
    };
    match &join.join_operator {
        JoinOperator::CrossJoin(JoinConstraint::None) => Ok(false),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint)
            if is_true(constraint) =>
        {
            Ok(true)
        }
        _ => Err(unsupported(
            "UNNEST in a join other than CROSS JOIN and LEFT JOIN ... ON true",
        )),
    }
}

pub(super) fn join(
    context: &Context<'_>,
    left: Relation,
    right: Relation,
    join: &Join,
) -> Result<Relation, ServiceError> {
    use JoinOperator as J;
    if join.global {
        return Err(unsupported("GLOBAL JOIN"));
    }
    // (constraint, whether rows without a partner are preserved, of the left and of the right)
    let (constraint, keeps) = match &join.join_operator {
        J::CrossJoin(JoinConstraint::None) => return Ok(cross(left, right)),
        J::Join(constraint) | J::Inner(constraint) => (constraint, (false, false)),
        J::Left(constraint) | J::LeftOuter(constraint) => (constraint, (true, false)),
        J::Right(constraint) | J::RightOuter(constraint) => (constraint, (false, true)),
        J::FullOuter(constraint) => (constraint, (true, true)),
        _ => return Err(unsupported(join.to_string().trim())),
    };
    let scope = both(&left.scope, &right.scope);
    match constraint {
        JoinConstraint::On(condition) => {
            let mut binder = Binder::new(&scope, context);
            let condition = binder.bind_boolean(condition, "JOIN ON clause")?.expr;
            binder.reject_applied("a correlated sub-query in ON")?;
            let rows = matched(&left, &right, condition, keeps)?;
            Ok(Relation { scope, rows })
        }
        JoinConstraint::Using(names) => {
            let names = names.iter().map(|name| match &*name.0 {
                [part] => part
                    .as_ident()
                    .ok_or_else(|| unsupported(&name.to_string())),
                _ => Err(unsupported(&name.to_string())),
            });
            let names = names.collect::<Result<Vec<_>, _>>()?;
            using(context, &left, &right, &names, keeps)
        }
        JoinConstraint::Natural => Err(unsupported("NATURAL JOIN")),
        JoinConstraint::None => Err(unsupported("a join without ON or USING")),
    }
}

/// Joins with USING: the named columns come first, once and without a qualifier, then the others.
fn using(
    context: &Context<'_>,
    left: &Relation,
    right: &Relation,
    names: &[&Ident],
    keeps: (bool, bool),
) -> Result<Relation, ServiceError> {
    let width = left.scope.columns.len();
    let scope = both(&left.scope, &right.scope);
    let mut conditions = Vec::new();
    let mut columns = Vec::new();
    let mut projection = Vec::new();
    let mut used = Vec::new();
    for name in names {
        let (at_left, of_left) = side(context, &left.scope, name, "left")?;
        let (at_right, of_right) = side(context, &right.scope, name, "right")?;
        let at_right = width + at_right;
        let common = of_left.data_type.common(&of_right.data_type);
        let common = common.filter(|common| common.is_orderable());
        let typed = |at: usize, column: &Column| Typed {
            expr: Expr::Column(at),
            data_type: column.data_type.clone(),
        };
        let pair = common.and_then(|common| {
            let left = coerce(typed(at_left, of_left), &common)?;
            let right = coerce(typed(at_right, of_right), &common)?;
            Some((left.expr, right.expr, common))
        });
        let (of_left, of_right, common) = pair.ok_or_else(|| {
            let place = position(name.span.start);
            let (left, right) = (&of_left.data_type, &of_right.data_type);
            ServiceError::validation(format!(
                "{place}Column '{}' has the types {left} and {right} on the sides of the join",
                name.value
            ))
        })?;
        conditions.push(Expr::Compare(
            Comparison::Equal,
            Box::new(of_left.clone()),
            Box::new(of_right.clone()),
        ));
        columns.push(Column::new(&*name.value, common));
        projection.push(Expr::Coalesce(vec![of_left, of_right]));
        used.extend([at_left, at_right]);
    }
    let mut joined = Scope::new(columns, Vec::new());
    for (index, column) in scope.columns.iter().enumerate() {
        if !used.contains(&index) {
            joined.columns.push(column.clone());
            joined.qualifiers.push(Rc::clone(&scope.qualifiers[index]));
            projection.push(Expr::Column(index));
        }
    }
    let mut rows = matched(left, right, Expr::And(conditions), keeps)?;
    for row in &mut rows {
        let projected = projection.iter().map(|expr| expr.evaluate(row));
        *row = projected.collect::<Result<_, _>>()?;
    }
    Ok(Relation {
        scope: joined,
        rows,
    })
}

fn side<'s>(
    context: &Context<'_>,
    scope: &'s Scope,
    name: &'s Ident,
    side: &str,
) -> Result<(usize, &'s Column), ServiceError> {
    check_name(name)?;
    let place = position(name.span.start);
    let name = &name.value;
    let problem = match scope.find(context.column_case, &[], name) {
        Found::One(index, column) => return Ok((index, column)),
        Found::Several => format!("ambiguous on {side} side of join"),
        Found::None => format!("missing from {side} side of join"),
    };
    let text = format!("{place}Column '{name}' is {problem}");
    Err(ServiceError::validation(text))
}

/// Returns the pairs for which the condition is true, and the preserved rows without a partner.
fn matched(
    left: &Relation,
    right: &Relation,
    condition: Expr,
    (keeps_left, keeps_right): (bool, bool),
) -> Result<Vec<Vec<Datum>>, ServiceError> {
    let width = left.scope.columns.len();
    let nulls_left = vec![Datum::Null; width];
    let nulls_right = vec![Datum::Null; right.scope.columns.len()];
    let pairs = equal_pairs(&condition, width);
    let mut by_key: HashMap<Vec<Datum>, Vec<usize>> = HashMap::new();
    if !pairs.is_empty() {
        for (index, row) in right.rows.iter().enumerate() {
            let padded = [nulls_left.as_slice(), row].concat();
            if let Some(key) = key(pairs.iter().map(|(_, of_right)| *of_right), &padded)? {
                by_key.entry(key).or_default().push(index);
            }
        }
    }
    let everything: Vec<usize> = (0..right.rows.len()).collect();
    let nothing = Vec::new();
    let mut has_partner = vec![false; right.rows.len()];
    let mut rows = Vec::new();
    for row in &left.rows {
        let candidates = if pairs.is_empty() {
            &everything
        } else {
            key(pairs.iter().map(|(of_left, _)| *of_left), row)?
                .and_then(|key| by_key.get(&key))
                .unwrap_or(&nothing)
        };
        let before = rows.len();
        for index in candidates {
            let pair = [row.as_slice(), &right.rows[*index]].concat();
            if condition.is_true(&pair)? {
                has_partner[*index] = true;
                rows.push(pair);
            }
        }
        if keeps_left && rows.len() == before {
            rows.push([row.as_slice(), &nulls_right].concat());
        }
    }
    if keeps_right {
        let alone = right.rows.iter().zip(has_partner);
        rows.extend(
            alone
                .filter(|(_, has_partner)| !has_partner)
                .map(|(row, _)| [nulls_left.as_slice(), row].concat()),
        );
    }
    Ok(rows)
}

/// Returns the expressions of the left row and of the right one that must be equal for the
/// condition to hold.
fn equal_pairs(condition: &Expr, width: usize) -> Vec<(&Expr, &Expr)> {
    let is_left = |expr: &Expr| !expr.uses_columns_from(width);
    let is_right = |expr: &Expr| !expr.uses_columns_below(width);
    match condition {
        Expr::And(list) => list
            .iter()
            .flat_map(|condition| equal_pairs(condition, width))
            .collect(),
        Expr::Compare(Comparison::Equal, a, b) if is_left(a) && is_right(b) => vec![(a, b)],
        Expr::Compare(Comparison::Equal, a, b) if is_left(b) && is_right(a) => vec![(b, a)],
        _ => Vec::new(),
    }
}

/// Returns the key of a row; none if a part of it is not equal even to itself.
fn key<'e>(
    exprs: impl Iterator<Item = &'e Expr>,
    row: &[Datum],
) -> Result<Option<Vec<Datum>>, ServiceError> {
    let mut key = Vec::new();
    for expr in exprs {
        let datum = expr.evaluate(row)?;
        if datum.compare(&datum).is_none() {
            return Ok(None);
        }
        key.push(datum);
    }
    Ok(Some(key))
}

fn both(left: &Scope, right: &Scope) -> Scope {
    Scope {
        columns: [left.columns.as_slice(), &right.columns].concat(),
        qualifiers: [left.qualifiers.as_slice(), &right.qualifiers].concat(),
    }
}
