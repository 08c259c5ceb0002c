//! `CROSS JOIN UNNEST(...)`: the elements of arrays and timeseries as rows.

use sqlparser::ast::{Expr as Ast, FunctionArg, FunctionArgExpr, TableFactor};

use super::{clauses::unsupported, from::Alias, join::Relation};
use crate::{
    error::ServiceError,
    query::{
        bind::{self, Binder, Scope},
        context::Context,
        expr::Expr,
        output::Column,
        types::{Datum, Type},
    },
};

/// `UNNEST(a, b, ...) [WITH ORDINALITY] [AS t (x, y, ...)]`.
pub(super) struct Unnest<'q> {
    arguments: Vec<&'q Ast>,
    has_ordinality: bool,
    alias: Option<Alias>,
}

impl<'q> Unnest<'q> {
    /// Reads the arguments of a relation that is an UNNEST.
    pub(super) fn of(relation: &'q TableFactor) -> Result<Option<Self>, ServiceError> {
        let TableFactor::Table {
            name,
            alias,
            args: Some(function),
            with_ordinality,
            sample: None,
            ..
        } = relation
        else {
            return Ok(None);
        };
        let is_unnest = name.to_string().eq_ignore_ascii_case("unnest");
        if !is_unnest || function.settings.is_some() || function.args.is_empty() {
            return Err(unsupported(&relation.to_string()));
        }
        let arguments = function.args.iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            other => Err(unsupported(&other.to_string())),
        });
        Ok(Some(Unnest {
            arguments: arguments.collect::<Result<_, _>>()?,
            has_ordinality: *with_ordinality,
            alias: Alias::of(alias.as_ref())?,
        }))
    }

    /// Joins each row of the left with each of its elements; one that has none is dropped, or
    /// preserved with NULL. Several arrays are read in step, the shorter ones filled up with NULL.
    pub(super) fn cross_join(
        &self,
        context: &Context<'_>,
        left: Relation,
        keeps_left: bool,
    ) -> Result<Relation, ServiceError> {
        let mut binder = Binder::new(&left.scope, context);
        let mut arrays: Vec<(Expr, usize)> = Vec::new();
        let mut columns = Vec::new();
        for ast in &self.arguments {
            let typed = binder.bind(ast)?;
            let before = columns.len();
            match typed.data_type {
                Type::TimeSeries(value) => {
                    columns.push(Column::new("time", Type::Timestamp));
                    columns.push(Column::new("value", *value));
                }
                Type::Array(element) => match *element {
                    Type::Row(fields) => columns.extend(
                        fields
                            .into_iter()
                            .map(|(name, field)| Column::new(name, field)),
                    ),
                    element => columns.push(Column::new(format!("_col{before}"), element)),
                },
                other => {
                    let text = format!("Cannot unnest type: {other}");
                    return Err(bind::error(ast, text));
                }
            }
            arrays.push((typed.expr, columns.len() - before));
        }
        binder.reject_applied("a correlated sub-query in UNNEST")?;
        let width = columns.len();
        if self.has_ordinality {
            columns.push(Column::new("ordinality", Type::Bigint));
        }
        let mut rows = Vec::new();
        for row in &left.rows {
            let mut lists = Vec::new();
            for (array, width) in &arrays {
                lists.push((elements(array.evaluate(row)?), *width));
            }
            let length = lists.iter().map(|(list, _)| list.len()).max();
            let length = length.unwrap_or_default();
            for index in 0..length {
                let mut joined = row.clone();
                for (list, width) in &lists {
                    match list.get(index) {
                        Some(element) => joined.extend_from_slice(element),
                        None => joined.resize(joined.len() + width, Datum::Null),
                    }
                }
                if self.has_ordinality {
                    joined.push(Datum::Int(index as i64 + 1));
                }
                rows.push(joined);
            }
            if length == 0 && keeps_left {
                let mut joined = row.clone();
                joined.resize(
                    row.len() + width + usize::from(self.has_ordinality),
                    Datum::Null,
                );
                rows.push(joined);
            }
        }
        let mut qualifiers = Vec::new();
        if let Some(alias) = &self.alias {
            alias.rename(&mut columns)?;
            qualifiers.push(vec![alias.name.clone()]);
        }
        let right = Scope::new(columns, qualifiers);
        let mut scope = left.scope;
        scope.columns.extend(right.columns);
        scope.qualifiers.extend(right.qualifiers);
        Ok(Relation { scope, rows })
    }
}

/// Returns the columns of each element.
fn elements(array: Datum) -> Vec<Vec<Datum>> {
    match array {
        Datum::TimeSeries(points) => points
            .into_iter()
            .map(|(time, value)| vec![Datum::Timestamp(time), value])
            .collect(),
        Datum::Array(elements) => elements
            .into_iter()
            .map(|element| match element {
                Datum::Row(fields) => fields,
                scalar => vec![scalar],
            })
            .collect(),
        _ => Vec::new(),
    }
}
