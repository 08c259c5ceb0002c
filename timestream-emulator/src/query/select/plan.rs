//! A SELECT with names and types bound, and how little of its source it must read.

use std::cmp::Ordering;

use sqlparser::ast::{
    Distinct, Expr as Ast, GroupByExpr, OrderByExpr, OrderBySort, Select, SelectItem, Value,
    WildcardAdditionalOptions,
};

use super::{
    clauses::unsupported,
    collect::{Grouper, Projector, evaluate_all},
    from::check_quotes,
};
use crate::{
    error::ServiceError,
    query::{
        bind::{self, Binder, Grouping, Scope, Typed},
        expr::{Comparison, Expr},
        output::Column,
        source::{Demand, Source},
        types::Datum,
    },
};

/// A bound SELECT.
pub(super) struct Plan {
    /// What can be decided per series, then what must be decided per row.
    pub(super) series_conditions: Vec<Expr>,
    pub(super) row_conditions: Vec<Expr>,
    pub(super) demand: Demand,
    pub(super) grouping: Option<Grouping>,
    pub(super) having: Option<Expr>,
    /// Expressions of the visible columns, then those that only ORDER BY needs.
    pub(super) projection: Vec<Expr>,
    pub(super) columns: Vec<Column>,
    pub(super) sort: Vec<SortKey>,
    pub(super) is_distinct: bool,
}

pub(super) struct SortKey {
    /// Position in the projection.
    column: usize,
    is_descending: bool,
    nulls_first: bool,
}

impl Plan {
    pub(super) fn new(
        scope: &Scope,
        now_ns: i64,
        select: &Select,
        order: &[OrderByExpr],
        source: &Source<'_>,
    ) -> Result<Plan, ServiceError> {
        let mut binder = Binder::new(scope, now_ns);
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
        let mut projection = Vec::new();
        let mut columns = Vec::new();
        for item in &items {
            let typed = item.bind(&mut binder)?;
            columns.push(Column {
                name: item.name.clone(),
                data_type: typed.data_type,
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
            sort.push(sort_key(item, column)?);
        }
        let having = match &select.having {
            Some(having) => Some(binder.bind_boolean(having, "HAVING clause")?.expr),
            None => None,
        };
        let grouping = binder.into_grouping();
        let mut plan = Plan {
            series_conditions: Vec::new(),
            row_conditions: Vec::new(),
            demand: Demand {
                times: i64::MIN..=i64::MAX,
                values: true,
                one_row_per_series: false,
            },
            grouping,
            having,
            projection,
            columns,
            sort,
            is_distinct,
        };
        plan.push_down(conditions, source);
        Ok(plan)
    }

    /// Sorts the conditions by what they need, and finds out how little the scan must read.
    fn push_down(&mut self, conditions: Vec<Expr>, source: &Source<'_>) {
        let first_point_column = source.first_point_column();
        for condition in conditions {
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
        let Some(grouping) = &self.grouping else {
            let is_early = self.sort.is_empty() && !self.is_distinct;
            let limit = limit.filter(|_| is_early).unwrap_or(usize::MAX);
            let mut visitor = Projector {
                plan: self,
                limit,
                rows: Vec::new(),
            };
            source.scan(&self.demand, &mut visitor)?;
            return Ok(visitor.rows);
        };
        let mut visitor = Grouper::new(self, grouping, source.first_point_column());
        source.scan(&self.demand, &mut visitor)?;
        let mut rows = Vec::new();
        for group in visitor.finish() {
            let is_wanted = match &self.having {
                Some(having) => having.is_true(&group)?,
                None => true,
            };
            if is_wanted {
                rows.push(evaluate_all(&self.projection, &group)?);
            }
        }
        Ok(rows)
    }

    pub(super) fn compare(&self, left: &[Datum], right: &[Datum]) -> Ordering {
        for key in &self.sort {
            let (left, right) = (&left[key.column], &right[key.column]);
            let order = match (left.is_null(), right.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) if key.nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if key.nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => {
                    let order = total_order(left, right);
                    if key.is_descending {
                        order.reverse()
                    } else {
                        order
                    }
                }
            };
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

/// NaN is the greatest number.
fn total_order(left: &Datum, right: &Datum) -> Ordering {
    let is_nan = |datum: &Datum| matches!(datum, Datum::Double(number) if number.is_nan());
    left.compare(right)
        .unwrap_or_else(|| is_nan(left).cmp(&is_nan(right)))
}

fn conjuncts(condition: Expr) -> Vec<Expr> {
    match condition {
        Expr::And(list) => list.into_iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}

/// The inclusive bounds that a comparison of `time` with a constant sets.
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
    content: Content<'a>,
}

/// An expression, or a column that `*` stands for.
enum Content<'a> {
    Expression(&'a Ast),
    Position(usize),
}

impl Item<'_> {
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
                    content: Content::Expression(ast),
                });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                check_quotes(alias)?;
                items.push(Item {
                    name: alias.value.clone(),
                    content: Content::Expression(expr),
                });
            }
            SelectItem::Wildcard(options) if is_plain_wildcard(options) => {
                if scope.columns.is_empty() {
                    return Err(ServiceError::validation(
                        "SELECT * not allowed without FROM clause",
                    ));
                }
                items.extend(
                    scope
                        .columns
                        .iter()
                        .enumerate()
                        .map(|(position, column)| Item {
                            name: column.name.clone(),
                            content: Content::Position(position),
                        }),
                );
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

/// The bound GROUP BY expressions; a number stands for that column of the result.
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

/// The position in the projection that an ORDER BY item sorts by; added if it is not there yet.
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

fn sort_key(item: &OrderByExpr, column: usize) -> Result<SortKey, ServiceError> {
    let is_descending = match &item.options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(_)) => return Err(unsupported("ORDER BY ... USING")),
    };
    if item.with_fill.is_some() {
        return Err(unsupported("WITH FILL"));
    }
    Ok(SortKey {
        column,
        is_descending,
        nulls_first: item.options.nulls_first.unwrap_or(false),
    })
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
