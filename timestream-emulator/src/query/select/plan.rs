//! A SELECT with names and types bound, and how little of its source it must read.

use std::{cmp::Ordering, rc::Rc};

use sqlparser::ast::{
    Distinct, Expr as Ast, GroupByExpr, OrderByExpr, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Spanned, Value, WildcardAdditionalOptions,
};

use super::{
    clauses::unsupported,
    collect::{Grouper, Projector, Selector, evaluate_all},
    window,
};
use crate::{
    error::ServiceError,
    query::{
        bind::{self, Applied, Binder, Grouping, Scope, SortBy, Typed, WindowCall},
        context::Context,
        dialect::position,
        expr::{Comparison, Expr},
        output::Column,
        source::{Demand, Source},
        types::Datum,
    },
};

/// A bound SELECT.
pub(super) struct Plan {
    /// Conditions that can be decided per series, then those that must be decided per row.
    pub(super) series_conditions: Vec<Expr>,
    pub(super) row_conditions: Vec<Expr>,
    pub(super) demand: Demand,
    pub(super) grouping: Option<Grouping>,
    pub(super) having: Option<Expr>,
    /// Computed over the rows or groups that are left.
    windows: Vec<WindowCall>,
    /// Expressions of the visible columns, then those that only ORDER BY needs.
    pub(super) projection: Vec<Expr>,
    pub(super) columns: Vec<Column>,
    pub(super) sort: Vec<SortKey>,
    pub(super) is_distinct: bool,
}

pub(super) struct SortKey {
    /// Position in the projection.
    column: usize,
    by: SortBy,
}

impl Plan {
    /// Binds a SELECT; its result includes the sub-queries that must run for each row.
    pub(super) fn new(
        scope: &Scope,
        context: &Context<'_>,
        select: &Select,
        order: &[OrderByExpr],
    ) -> Result<(Plan, Vec<Applied>), ServiceError> {
        let mut binder = Binder::new(scope, context);
        let mut conditions = Vec::new();
        if let Some(selection) = &select.selection {
            conditions = conjuncts(binder.bind_boolean(selection, "WHERE clause")?.expr);
        }
        let items = items(scope, &select.projection)?;
        let keys = group_keys(&mut binder, select, &items)?;
        let is_grouped = keys.is_some()
            || select.having.is_some()
            || items.iter().any(|item| item.has_aggregate(&mut binder));
        if is_grouped {
            binder.group_by(keys.unwrap_or_default());
        }
        binder.allow_windows(true);
        let mut projection = Vec::new();
        let mut columns = Vec::new();
        for item in &items {
            let typed = item.bind(&mut binder)?;
            columns.push(Column {
                table: item.table(&binder, scope),
                is_aliased: item.is_aliased,
                ..Column::new(&*item.name, typed.data_type)
            });
            projection.push(typed.expr);
        }
        let is_distinct = matches!(select.distinct, Some(Distinct::Distinct));
        let mut sort = Vec::new();
        for item in order {
            let column = sort_column(&mut binder, item, &columns, &mut projection)?;
            if is_distinct && column >= columns.len() {
                let rule = "For SELECT DISTINCT, ORDER BY expressions must appear in select list";
                return Err(bind::error(&item.expr, rule.to_owned()));
            }
            sort.push(SortKey {
                column,
                by: SortBy::of(item)?,
            });
        }
        let windows = binder.take_windows();
        let having = match &select.having {
            Some(having) => Some(binder.bind_boolean(having, "HAVING clause")?.expr),
            None => None,
        };
        let (grouping, applied) = binder.into_parts();
        let plan = Plan {
            series_conditions: Vec::new(),
            row_conditions: conditions,
            demand: Demand {
                times: i64::MIN..=i64::MAX,
                values: true,
                one_row_per_series: false,
            },
            grouping,
            having,
            windows,
            projection,
            columns,
            sort,
            is_distinct,
        };
        Ok((plan, applied))
    }

    /// Sorts the conditions by the values they need, and determines how little the scan must read.
    pub(super) fn push_down(&mut self, source: &Source<'_>) {
        let first_point_column = source.first_point_column();
        for condition in std::mem::take(&mut self.row_conditions) {
            if !condition.uses_columns_from(first_point_column) {
                self.series_conditions.push(condition);
                continue;
            }
            let bounds = match source {
                Source::Table(source) => time_bounds(&condition, source.layout.time()),
                _ => None,
            };
            match bounds {
                Some((from, to)) => {
                    let times = &self.demand.times;
                    self.demand.times = from.max(*times.start())..=to.min(*times.end());
                }
                None => self.row_conditions.push(condition),
            }
        }
        let is_used = |from: usize| {
            self.row_conditions
                .iter()
                .any(|condition| condition.uses_columns_from(from))
                || match &self.grouping {
                    None => self
                        .projection
                        .iter()
                        .any(|expr| expr.uses_columns_from(from)),
                    Some(grouping) => grouping.uses_columns_from(from),
                }
        };
        let counts_rows = match &self.grouping {
            None => !self.is_distinct,
            Some(grouping) => !grouping.aggregates.is_empty(),
        };
        let is_table = matches!(source, Source::Table(_));
        let one_row_per_series = is_table && !counts_rows && !is_used(first_point_column);
        let values = is_used(first_point_column + 1);
        self.demand.one_row_per_series = one_row_per_series;
        self.demand.values = values;
    }

    pub(super) fn rows(
        &self,
        source: &Source<'_>,
        limit: Option<usize>,
    ) -> Result<Vec<Vec<Datum>>, ServiceError> {
        if self.grouping.is_none() && self.windows.is_empty() {
            let is_early = self.sort.is_empty() && !self.is_distinct;
            let limit = limit.filter(|_| is_early).unwrap_or(usize::MAX);
            let mut visitor = Projector {
                plan: self,
                limit,
                rows: Vec::new(),
            };
            source.scan(&self.demand, &mut visitor)?;
            return Ok(visitor.rows);
        }
        let inputs = match &self.grouping {
            Some(grouping) => self.groups(grouping, source)?,
            None => {
                let mut visitor = Selector {
                    plan: self,
                    rows: Vec::new(),
                };
                source.scan(&self.demand, &mut visitor)?;
                visitor.rows
            }
        };
        window::append(&self.windows, inputs)?
            .iter()
            .map(|row| evaluate_all(&self.projection, row))
            .collect()
    }

    /// Keys and aggregates of each group that HAVING leaves.
    fn groups(
        &self,
        grouping: &Grouping,
        source: &Source<'_>,
    ) -> Result<Vec<Vec<Datum>>, ServiceError> {
        let mut visitor = Grouper::new(self, grouping, source.first_point_column());
        source.scan(&self.demand, &mut visitor)?;
        let mut groups = Vec::new();
        for group in visitor.finish() {
            let is_wanted = match &self.having {
                Some(having) => having.is_true(&group)?,
                None => true,
            };
            if is_wanted {
                groups.push(group);
            }
        }
        Ok(groups)
    }

    pub(super) fn compare(&self, left: &[Datum], right: &[Datum]) -> Ordering {
        for key in &self.sort {
            let order = window::sort_order(key.by, &left[key.column], &right[key.column]);
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl Grouping {
    fn uses_columns_from(&self, from: usize) -> bool {
        let arguments = self.aggregates.iter().flat_map(|call| &call.arguments);
        self.keys
            .iter()
            .map(|key| &key.expr)
            .chain(arguments)
            .any(|expr| expr.uses_columns_from(from))
    }
}

fn conjuncts(condition: Expr) -> Vec<Expr> {
    match condition {
        Expr::And(list) => list.into_iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}

/// Returns the inclusive bounds that a comparison of `time` with a constant sets.
fn time_bounds(condition: &Expr, time: usize) -> Option<(i64, i64)> {
    let Expr::Compare(comparison, left, right) = condition else {
        return None;
    };
    let (Expr::Column(column), Expr::Constant(Datum::Timestamp(bound))) = (&**left, &**right)
    else {
        return None;
    };
    if *column != time {
        return None;
    }
    Some(match comparison {
        Comparison::Equal => (*bound, *bound),
        Comparison::Less => (i64::MIN, bound.checked_sub(1)?),
        Comparison::LessOrEqual => (i64::MIN, *bound),
        Comparison::Greater => (bound.checked_add(1)?, i64::MAX),
        Comparison::GreaterOrEqual => (*bound, i64::MAX),
        Comparison::NotEqual => return None,
    })
}

/// One column of the result.
struct Item<'a> {
    name: String,
    is_aliased: bool,
    content: Content<'a>,
}

/// An expression, or a column that `*` stands for.
enum Content<'a> {
    Expression(&'a Ast),
    Position(usize),
}

impl Item<'_> {
    /// Returns one of the columns that `*` stands for.
    fn at(scope: &Scope, position: usize) -> Item<'static> {
        let column = &scope.columns[position];
        Item {
            name: column.name.clone(),
            is_aliased: column.is_aliased,
            content: Content::Position(position),
        }
    }

    /// Returns the table whose column it is, if it is one.
    fn table(&self, binder: &Binder<'_>, scope: &Scope) -> Option<Rc<(String, String)>> {
        match self.content {
            Content::Expression(ast) => binder.origin(ast),
            Content::Position(position) => scope.columns[position].table.clone(),
        }
    }

    fn bind(&self, binder: &mut Binder<'_>) -> Result<Typed, ServiceError> {
        match self.content {
            Content::Expression(ast) => binder.bind(ast),
            Content::Position(position) => binder.bind_position(position),
        }
    }

    fn has_aggregate(&self, binder: &mut Binder<'_>) -> bool {
        match self.content {
            Content::Expression(ast) => binder.has_aggregate(ast),
            Content::Position(_) => false,
        }
    }
}

fn items<'a>(scope: &Scope, projection: &'a [SelectItem]) -> Result<Vec<Item<'a>>, ServiceError> {
    let mut items: Vec<Item<'a>> = Vec::new();
    for item in projection {
        match item {
            SelectItem::UnnamedExpr(ast) => {
                let name = bind::column_name(ast).unwrap_or_else(|| format!("_col{}", items.len()));
                items.push(Item {
                    name,
                    is_aliased: false,
                    content: Content::Expression(ast),
                });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                bind::check_name(alias)?;
                items.push(Item {
                    name: alias.value.clone(),
                    is_aliased: true,
                    content: Content::Expression(expr),
                });
            }
            SelectItem::Wildcard(options) if is_plain_wildcard(options) => {
                if scope.columns.is_empty() {
                    return Err(ServiceError::validation(
                        "SELECT * not allowed without FROM clause",
                    ));
                }
                let positions = 0..scope.columns.len();
                items.extend(positions.map(|position| Item::at(scope, position)));
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) if is_plain_wildcard(options) => {
                let parts = name.0.iter().filter_map(|part| part.as_ident());
                let qualifier: Vec<String> = parts.map(|part| part.value.clone()).collect();
                let before = items.len();
                let positions = 0..scope.columns.len();
                let behind = positions.filter(|index| scope.has_qualifier(*index, &qualifier));
                items.extend(behind.map(|position| Item::at(scope, position)));
                if items.len() == before {
                    let place = position(name.span().start);
                    return Err(ServiceError::validation(format!(
                        "{place}Table '{}' not found",
                        qualifier.join(".")
                    )));
                }
            }
            other => return Err(unsupported(&other.to_string())),
        }
    }
    Ok(items)
}

fn is_plain_wildcard(options: &WildcardAdditionalOptions) -> bool {
    let plain = WildcardAdditionalOptions {
        wildcard_token: options.wildcard_token.clone(),
        ..WildcardAdditionalOptions::default()
    };
    *options == plain
}

/// Returns the bound GROUP BY expressions; a number stands for that column of the result.
fn group_keys(
    binder: &mut Binder<'_>,
    select: &Select,
    items: &[Item<'_>],
) -> Result<Option<Vec<Typed>>, ServiceError> {
    let GroupByExpr::Expressions(exprs, modifiers) = &select.group_by else {
        return Err(unsupported("GROUP BY ALL"));
    };
    if !modifiers.is_empty() {
        return Err(unsupported("a modifier of GROUP BY"));
    }
    if exprs.is_empty() {
        return Ok(None);
    }
    let mut keys = Vec::new();
    for ast in exprs {
        let typed = match ordinal(ast) {
            Some(number) => items
                .get(number.wrapping_sub(1))
                .ok_or_else(|| {
                    bind::error(
                        ast,
                        format!("GROUP BY position {number} is not in select list"),
                    )
                })?
                .bind(binder)?,
            None => binder.bind(ast)?,
        };
        if !typed.data_type.is_orderable() {
            return Err(bind::error(
                ast,
                format!(
                    "{} is not comparable, and therefore cannot be used in GROUP BY",
                    typed.data_type
                ),
            ));
        }
        keys.push(typed);
    }
    Ok(Some(keys))
}

/// Returns the position in the projection that an ORDER BY item sorts by; added if it is not there
/// yet.
fn sort_column(
    binder: &mut Binder<'_>,
    item: &OrderByExpr,
    columns: &[Column],
    projection: &mut Vec<Expr>,
) -> Result<usize, ServiceError> {
    let ast = &item.expr;
    if let Some(number) = ordinal(ast) {
        return (1..=columns.len())
            .contains(&number)
            .then(|| number - 1)
            .ok_or_else(|| {
                bind::error(
                    ast,
                    format!("ORDER BY position {number} is not in select list"),
                )
            });
    }
    if let Ast::Identifier(name) = ast
        && let Some(index) = columns.iter().position(|column| column.name == name.value)
    {
        return Ok(index);
    }
    let typed = binder.bind(ast)?;
    if !typed.data_type.is_orderable() {
        return Err(bind::error(
            ast,
            format!("Type {} is not orderable", typed.data_type),
        ));
    }
    let known = projection.iter().position(|expr| *expr == typed.expr);
    Ok(known.unwrap_or_else(|| {
        projection.push(typed.expr);
        projection.len() - 1
    }))
}

pub(super) fn ordinal(ast: &Ast) -> Option<usize> {
    match ast {
        Ast::Value(value) => match &value.value {
            Value::Number(digits, false) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}
