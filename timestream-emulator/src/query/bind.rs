//! Parsed expressions -> bound ones: names become positions, types are checked and coerced.
//!
//! An allow-list: a construct that is not named here is rejected, never guessed.

mod arrays;
mod calls;
mod coerce;
mod literals;
mod names;
mod operators;
mod regexps;
mod sub_queries;
mod windows;

use std::rc::Rc;

use sqlparser::{
    ast::{
        CastKind, CeilFloorKind, DateTimeField, Expr as Ast, Query, Spanned, TrimWhereField, Value,
    },
    tokenizer::Location,
};

pub(crate) use self::{
    coerce::coerce,
    names::{check_name, column_name},
    sub_queries::{Applied, Kind},
    windows::{Bound as FrameBound, Frame, SortBy, WindowCall, WindowFunction},
};
use self::{
    literals::{bind_interval, literal, typed_string},
    names::{identifiers, qualifier},
};
use super::{
    aggregates::Aggregate,
    context::Context,
    dialect::position,
    expr::{Comparison, Expr},
    output::Column,
    types::{Datum, Type},
};
use crate::{config::ColumnCase, error::ServiceError};

/// A bound expression and its type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) data_type: Type,
}

/// The columns a query sees.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scope {
    pub(crate) columns: Vec<Column>,
    /// Of each column, the names that may stand before its own.
    pub(crate) qualifiers: Vec<Rc<[Vec<String>]>>,
}

/// Meaning of a name in a [`Scope`].
pub(crate) enum Found<'s> {
    /// This column, at this position.
    One(usize, &'s Column),
    /// One of several, without a way to decide.
    Several,
    None,
}

/// The keys and aggregates of a grouped query. A bound expression then refers to a row that holds
/// first the keys, then the aggregates.
#[derive(Debug, Default)]
pub(crate) struct Grouping {
    pub(crate) keys: Vec<Typed>,
    pub(crate) aggregates: Vec<AggregateCall>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AggregateCall {
    pub(crate) aggregate: Aggregate,
    pub(crate) arguments: Vec<Expr>,
}

/// Binds expressions over one scope.
pub(crate) struct Binder<'a> {
    scope: &'a Scope,
    context: &'a Context<'a>,
    grouping: Option<Grouping>,
    /// An aggregate was found where there is no grouping.
    saw_aggregate: bool,
    /// Binds for information only; the bound expression is discarded.
    is_probing: bool,
    /// The window functions found; none where they are not allowed.
    windows: Option<Vec<WindowCall>>,
    /// Sub-queries with their bound forms, and those that run for each row.
    sub_queries: Vec<(Query, Kind, Typed)>,
    applied: Vec<Applied>,
}

const NOT_GROUPED: &str = "must be an aggregate expression or appear in GROUP BY clause";

type Bound = Result<Typed, ServiceError>;

impl<'a> Binder<'a> {
    pub(crate) fn new(scope: &'a Scope, context: &'a Context<'a>) -> Self {
        Binder {
            scope,
            context,
            grouping: None,
            saw_aggregate: false,
            is_probing: false,
            windows: None,
            sub_queries: Vec::new(),
            applied: Vec::new(),
        }
    }

    /// Makes the following expressions those of a query grouped by `keys`.
    pub(crate) fn group_by(&mut self, keys: Vec<Typed>) {
        self.grouping = Some(Grouping {
            keys,
            aggregates: Vec::new(),
        });
    }

    /// Allows window functions from now on, or forbids them again.
    pub(crate) fn allow_windows(&mut self, are_allowed: bool) {
        self.windows = are_allowed.then(Vec::new);
    }

    /// Returns the window functions found since they were allowed; they are not from now on.
    pub(crate) fn take_windows(&mut self) -> Vec<WindowCall> {
        self.windows.take().unwrap_or_default()
    }

    /// Returns the grouping, and the sub-queries that run for each row.
    pub(crate) fn into_parts(self) -> (Option<Grouping>, Vec<Applied>) {
        (self.grouping, self.applied)
    }

    /// Returns true if the expression has an aggregate in it.
    pub(crate) fn has_aggregate(&mut self, ast: &Ast) -> bool {
        self.saw_aggregate = false;
        let _ = self.probe(ast);
        self.saw_aggregate
    }

    fn probe(&mut self, ast: &Ast) -> Bound {
        let was_probing = std::mem::replace(&mut self.is_probing, true);
        let bound = self.bind_node(ast);
        self.is_probing = was_probing;
        bound
    }

    pub(crate) fn bind(&mut self, ast: &Ast) -> Bound {
        if let Some(grouping) = self.grouping.take() {
            self.saw_aggregate = false;
            let plain = self.probe(ast);
            let found = plain.as_ref().ok().and_then(|typed| grouping.find(typed));
            self.grouping = Some(grouping);
            if let Some(typed) = found {
                return Ok(typed);
            }
            if !self.saw_aggregate && column_name(ast).is_some() {
                return Err(plain.err().unwrap_or_else(|| {
                    let name = column_name(ast).unwrap_or_default();
                    error(ast, format!("'{name}' {NOT_GROUPED}"))
                }));
            }
        }
        self.bind_node(ast)
    }

    /// Binds the column at a position, as `*` does.
    pub(crate) fn bind_position(&self, position: usize) -> Bound {
        let column = &self.scope.columns[position];
        let data_type = column.data_type.clone();
        let typed = Typed {
            expr: Expr::Column(position),
            data_type,
        };
        match &self.grouping {
            None => Ok(typed),
            Some(grouping) => grouping.find(&typed).ok_or_else(|| {
                ServiceError::validation(format!("'{}' {NOT_GROUPED}", column.name))
            }),
        }
    }

    /// Binds a condition.
    pub(crate) fn bind_boolean(&mut self, ast: &Ast, clause: &str) -> Bound {
        let typed = self.bind(ast)?;
        let found = typed.data_type.clone();
        coerce(typed, &Type::Boolean).ok_or_else(|| {
            error(
                ast,
                format!("{clause} must evaluate to a boolean: actual type {found}"),
            )
        })
    }

    fn bind_node(&mut self, ast: &Ast) -> Bound {
        let typed = match ast {
            Ast::Identifier(_) | Ast::CompoundIdentifier(_) => self.column(ast),
            Ast::Cast {
                kind: CastKind::DoubleColon,
                ..
            } => self.column(ast),
            Ast::Cast {
                kind,
                expr,
                data_type,
                format: None,
            } => self.cast(ast, kind, expr, data_type),
            Ast::Nested(inner) => self.bind(inner),
            Ast::Value(value) => match &value.value {
                Value::Placeholder(name) => self.parameter(ast, name),
                other => literal(ast, other),
            },
            Ast::TypedString(typed) if !typed.uses_odbc_syntax => {
                typed_string(ast, &typed.data_type, &typed.value.value)
            }
            Ast::Interval(interval) => bind_interval(ast, interval),
            Ast::BinaryOp { left, op, right } => self.binary(ast, left, op, right),
            Ast::UnaryOp { op, expr } => self.unary(ast, op, expr),
            Ast::IsNull(expr) => Ok(self.bind(expr)?.null_test()),
            Ast::IsNotNull(expr) => Ok(self.bind(expr)?.null_test().negated()),
            Ast::IsDistinctFrom(left, right) => Ok(self.not_distinct(ast, left, right)?.negated()),
            Ast::IsNotDistinctFrom(left, right) => self.not_distinct(ast, left, right),
            Ast::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let at_least = self.comparison(ast, expr, Comparison::GreaterOrEqual, low)?;
                let at_most = self.comparison(ast, expr, Comparison::LessOrEqual, high)?;
                Ok(boolean(Expr::And(vec![at_least.expr, at_most.expr])).negated_if(*negated))
            }
            Ast::InSubquery {
                expr,
                subquery,
                negated,
            } => Ok(self.in_sub_query(ast, expr, subquery)?.negated_if(*negated)),
            Ast::Exists { subquery, negated } => Ok(self
                .sub_query(ast, subquery, Kind::Exists)?
                .negated_if(*negated)),
            Ast::Subquery(query) => self.sub_query(ast, query, Kind::Scalar),
            Ast::CompoundFieldAccess { root, access_chain } => {
                self.subscripts(ast, root, access_chain)
            }
            Ast::Array(array) if array.named => self.array(ast, &array.elem),
            Ast::Extract { field, expr, .. } => {
                let name = format!("{field}").to_ascii_lowercase();
                self.call(ast, &name, &[expr])
            }
            Ast::InList {
                expr,
                list,
                negated,
            } => Ok(self.in_list(ast, expr, list)?.negated_if(*negated)),
            Ast::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => {
                let like = self.like(ast, expr, pattern, escape_char.as_deref())?;
                Ok(like.negated_if(*negated))
            }
            Ast::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(ast, operand.as_deref(), conditions, else_result.as_deref()),
            Ast::Function(function) => self.function(ast, function),
            Ast::Ceil { expr, field } if is_plain(field) => self.call(ast, "ceil", &[expr]),
            Ast::Floor { expr, field } if is_plain(field) => self.call(ast, "floor", &[expr]),
            Ast::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                let arguments = [Some(&**expr), Some(&**from), substring_for.as_deref()];
                self.call(
                    ast,
                    "substr",
                    &arguments.into_iter().flatten().collect::<Vec<_>>(),
                )
            }
            Ast::Trim {
                trim_where,
                trim_what: None,
                expr,
                trim_characters: None,
            } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "trim",
                };
                self.call(ast, name, &[expr])
            }
            other => Err(unsupported(other)),
        }?;
        Ok(Typed {
            expr: typed.expr.folded(),
            data_type: typed.data_type,
        })
    }

    /// Returns the table column that an expression is, if it is one.
    pub(crate) fn origin(&self, ast: &Ast) -> Option<Rc<(String, String)>> {
        match self.column(ast).ok()?.expr {
            Expr::Column(index) => self.scope.columns.get(index)?.table.clone(),
            _ => None,
        }
    }

    fn column(&self, ast: &Ast) -> Bound {
        let Some(name) = column_name(ast) else {
            return Err(unsupported(ast));
        };
        for part in identifiers(ast) {
            check_name(part)?;
        }
        let qualifier = qualifier(ast);
        let shown = if qualifier.is_empty() {
            name.clone()
        } else {
            format!("{}.{name}", qualifier.join("."))
        };
        let missing = || error(ast, format!("Column '{shown}' does not exist"));
        match self.scope.find(self.context.column_case, &qualifier, &name) {
            Found::One(index, column) => Ok(Typed {
                expr: Expr::Column(index),
                data_type: column.data_type.clone(),
            }),
            Found::Several => Err(error(ast, format!("Column '{shown}' is ambiguous"))),
            Found::None => {
                let outer = self.context.outer_column(&qualifier, &name);
                outer.ok_or_else(missing)
            }
        }
    }
}

impl Scope {
    /// Returns a scope in which the same names may stand before all columns.
    pub(crate) fn new(columns: Vec<Column>, qualifiers: Vec<Vec<String>>) -> Scope {
        let qualifiers: Rc<[Vec<String>]> = qualifiers.into();
        Scope {
            qualifiers: vec![qualifiers; columns.len()],
            columns,
        }
    }

    /// Returns the column that `name` means, behind this qualifier if there is one.
    pub(crate) fn find(&self, case: ColumnCase, qualifier: &[String], name: &str) -> Found<'_> {
        let folded = name.to_lowercase();
        let columns = self.columns.iter().enumerate();
        let mut matching = columns.filter(|(index, column)| {
            let is_named = match case {
                ColumnCase::Exact => column.name == name,
                ColumnCase::Ignored | ColumnCase::Strict => column.name.to_lowercase() == folded,
            };
            is_named && (qualifier.is_empty() || self.has_qualifier(*index, qualifier))
        });
        match (matching.next(), matching.next()) {
            (Some(_), Some(_)) => Found::Several,
            (Some((_, column)), None) if case == ColumnCase::Strict && column.name != name => {
                Found::None
            }
            (Some((index, column)), None) => Found::One(index, column),
            (None, _) => Found::None,
        }
    }

    /// Returns true if these names may stand before the column's.
    pub(crate) fn has_qualifier(&self, index: usize, qualifier: &[String]) -> bool {
        self.qualifiers[index]
            .iter()
            .any(|known| known == qualifier)
    }
}

impl Grouping {
    /// Returns the expression as a key, or itself if it is a constant.
    fn find(&self, typed: &Typed) -> Option<Typed> {
        if typed.expr.constant().is_some() {
            return Some(typed.clone());
        }
        let key = self.keys.iter().position(|key| key.expr == typed.expr)?;
        Some(Typed {
            expr: Expr::Column(key),
            data_type: typed.data_type.clone(),
        })
    }
}

impl Typed {
    fn null_test(self) -> Typed {
        boolean(Expr::IsNull(Box::new(self.expr)))
    }

    fn negated(self) -> Typed {
        boolean(Expr::Not(Box::new(self.expr)))
    }

    fn negated_if(self, is_negated: bool) -> Typed {
        if is_negated { self.negated() } else { self }
    }
}

impl Binder<'_> {
    fn parameter(&self, ast: &Ast, name: &str) -> Bound {
        let parameter = self.context.parameter(name).ok_or_else(|| {
            let rule = "is a parameter, which only PrepareQuery takes";
            error(ast, format!("'@{name}' {rule}"))
        })?;
        let data_type = parameter.data_type.borrow().clone();
        Ok(Typed {
            expr: Expr::Parameter(parameter),
            data_type,
        })
    }
}

fn is_plain(field: &CeilFloorKind) -> bool {
    matches!(
        field,
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)
    )
}

fn boolean(expr: Expr) -> Typed {
    Typed {
        expr,
        data_type: Type::Boolean,
    }
}

fn null(data_type: Type) -> Typed {
    Typed {
        expr: Expr::Constant(Datum::Null),
        data_type,
    }
}

fn unsupported(ast: &Ast) -> ServiceError {
    error(
        ast,
        format!("the expression {ast} is not supported by the emulator"),
    )
}

/// Returns an error that starts with the place of the expression, if it is known.
pub(crate) fn error(ast: &Ast, message: String) -> ServiceError {
    let start = ast.span().start;
    if start == Location::empty() {
        return ServiceError::validation(message);
    }
    ServiceError::validation(format!("{}{message}", position(start)))
}
