//! Sub-queries in expressions.
//!
//! One that names no column of the query around it runs once and is a constant. One that does is
//! run again for every row of the source; its result is then one more column of that row.

use std::rc::Rc;

use sqlparser::ast::{Expr as Ast, Query};

use super::{Binder, Bound, Typed, boolean, coerce::not_applicable, error};
use crate::{
    error::ServiceError,
    query::{
        context::Context,
        expr::Expr,
        select,
        source::Rows,
        types::{Datum, Type},
    },
};

/// Result wanted of a sub-query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The value of its only row.
    Scalar,
    /// True if it has rows.
    Exists,
    /// The values of its only column, as an array.
    Column,
}

/// A sub-query that runs for every row.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    query: Query,
    kind: Kind,
}

impl Applied {
    /// Returns the value of the sub-query in a context that knows the row.
    pub(crate) fn value(&self, context: &Context<'_>) -> Result<Datum, ServiceError> {
        self.kind.of(select::run(context, &self.query)?)
    }
}

impl Kind {
    fn of(self, rows: Rows) -> Result<Datum, ServiceError> {
        let mut values = rows
            .rows
            .into_iter()
            .filter_map(|row| row.into_iter().next());
        Ok(match self {
            Kind::Exists => Datum::Boolean(values.next().is_some()),
            Kind::Column => Datum::Array(values.collect()),
            Kind::Scalar => {
                let value = values.next().unwrap_or(Datum::Null);
                if values.next().is_some() {
                    return Err(ServiceError::validation(
                        "Scalar sub-query has returned multiple rows",
                    ));
                }
                value
            }
        })
    }
}

impl Binder<'_> {
    /// Returns an error if a sub-query must run for each row where that is not supported.
    pub(crate) fn reject_applied(&self, what: &str) -> Result<(), ServiceError> {
        if self.applied.is_empty() {
            return Ok(());
        }
        Err(ServiceError::validation(format!(
            "{what} is not supported by the emulator"
        )))
    }

    pub(super) fn in_sub_query(&mut self, ast: &Ast, expr: &Ast, query: &Query) -> Bound {
        let value = self.bind(expr)?;
        let array = self.sub_query(ast, query, Kind::Column)?;
        let element = match &array.data_type {
            Type::Array(element) => (**element).clone(),
            _ => Type::Unknown,
        };
        let common = value.data_type.common(&element);
        let common = common.filter(Type::is_orderable);
        let mismatch = || not_applicable(ast, "IN", &value.data_type, &element);
        let common = common.ok_or_else(mismatch)?;
        let wanted = Type::Array(Box::new(common.clone()));
        let (value, array) = super::coerce(value.clone(), &common)
            .zip(super::coerce(array, &wanted))
            .ok_or_else(mismatch)?;
        Ok(boolean(Expr::InArray(
            Box::new(value.expr),
            Box::new(array.expr),
        )))
    }

    pub(super) fn sub_query(&mut self, ast: &Ast, query: &Query, kind: Kind) -> Bound {
        let known = self
            .sub_queries
            .iter()
            .find(|(known, of, _)| *of == kind && known == query);
        let typed = match known {
            Some((_, _, typed)) => typed.clone(),
            None => {
                let typed = self.new_sub_query(ast, query, kind)?;
                self.sub_queries.push((query.clone(), kind, typed.clone()));
                typed
            }
        };
        let is_applied = matches!(typed.expr, Expr::Column(_));
        if is_applied && self.grouping.is_some() {
            let what = "a correlated sub-query after GROUP BY or aggregation";
            return Err(error(
                ast,
                format!("{what} is not supported by the emulator"),
            ));
        }
        Ok(typed)
    }

    fn new_sub_query(&mut self, ast: &Ast, query: &Query, kind: Kind) -> Bound {
        let scope = Rc::new(self.scope.clone());
        let (context, is_correlated) = self.context.probe(&scope);
        let probe = select::run(&context, query)?;
        let data_type = match (kind, &*probe.columns) {
            (Kind::Exists, _) => Type::Boolean,
            (Kind::Scalar, [column]) => column.data_type.clone(),
            (Kind::Column, [column]) => Type::Array(Box::new(column.data_type.clone())),
            (_, columns) => {
                let found = columns.len();
                let rule = "Multiple columns returned by sub-query are not supported. Found";
                return Err(error(ast, format!("{rule} {found}")));
            }
        };
        let expr = if is_correlated.get() {
            self.applied.push(Applied {
                query: query.clone(),
                kind,
            });
            Expr::Column(self.scope.columns.len() + self.applied.len() - 1)
        } else if self.context.is_dry {
            Expr::Constant(Datum::Null)
        } else {
            Expr::Constant(kind.of(select::run(self.context, query)?)?)
        };
        Ok(Typed { expr, data_type })
    }
}
