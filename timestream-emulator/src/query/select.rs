//! SELECT: from the parsed query to its rows.

use std::{cmp::Ordering, collections::HashMap, rc::Rc};

use sqlparser::{
    ast::{
        Distinct, Expr as Ast, GroupByExpr, Ident, LimitClause, OrderBy, OrderByExpr, OrderByKind,
        OrderBySort, Query, Select, SelectFlavor, SelectItem, SetExpr, TableAlias, TableFactor,
        TableWithJoins, Value, WildcardAdditionalOptions,
    },
    tokenizer::Location,
};

use super::{
    aggregates::Accumulator,
    bind::{self, AggregateCall, Binder, Grouping, Scope, Typed},
    dialect::position,
    expr::{Comparison, Expr},
    output::Column,
    source::{Demand, Layout, Rows, Source, TableSource, Visitor},
    time::NS_PER_DAY,
    types::Datum,
};
use crate::{
    error::ServiceError,
    store::{Store, catalog::Table},
};

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
        let mut seen = std::collections::HashSet::new();
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

/// A bound SELECT.
struct Plan {
    /// What can be decided per series, then what must be decided per row.
    series_conditions: Vec<Expr>,
    row_conditions: Vec<Expr>,
    demand: Demand,
    grouping: Option<Grouping>,
    having: Option<Expr>,
    /// Expressions of the visible columns, then those that only ORDER BY needs.
    projection: Vec<Expr>,
    columns: Vec<Column>,
    sort: Vec<SortKey>,
    is_distinct: bool,
}

struct SortKey {
    /// Position in the projection.
    column: usize,
    is_descending: bool,
    nulls_first: bool,
}

impl Plan {
    fn new(
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

    fn rows(
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

    fn compare(&self, left: &[Datum], right: &[Datum]) -> Ordering {
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

/// Collects the projected rows.
struct Projector<'a> {
    plan: &'a Plan,
    limit: usize,
    rows: Vec<Vec<Datum>>,
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

/// Collects groups. Keys that are constant within a series are computed once for it.
struct Grouper<'a> {
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
    fn new(plan: &'a Plan, grouping: &'a Grouping, first_point_column: usize) -> Self {
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

    /// Each group's keys and results.
    fn finish(self) -> impl Iterator<Item = Vec<Datum>> {
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

fn evaluate_all(exprs: &[Expr], row: &[Datum]) -> Result<Vec<Datum>, ServiceError> {
    exprs.iter().map(|expr| expr.evaluate(row)).collect()
}

/// The service promises no order without ORDER BY: rows are shuffled, the same way every time.
fn scramble(rows: &mut [Vec<Datum>]) {
    let mut generator = fastrand::Rng::with_seed(rows.len() as u64);
    generator.shuffle(rows);
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

fn ordinal(ast: &Ast) -> Option<usize> {
    match ast {
        Ast::Value(value) => match &value.value {
            Value::Number(digits, false) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The columns and rows that FROM names.
fn from<'a>(
    context: &mut Context<'a>,
    from: &[TableWithJoins],
) -> Result<(Scope, Source<'a>), ServiceError> {
    match from {
        [] => Ok((Scope::default(), Source::SingleRow)),
        [TableWithJoins { relation, joins }] if joins.is_empty() => {
            relation_source(context, relation)
        }
        _ => Err(unsupported("a join")),
    }
}

fn relation_source<'a>(
    context: &mut Context<'a>,
    relation: &TableFactor,
) -> Result<(Scope, Source<'a>), ServiceError> {
    match relation {
        TableFactor::Derived {
            lateral: false,
            subquery,
            alias,
            sample: None,
        } => {
            let rows = run(context, subquery)?;
            let qualifiers = alias_name(alias.as_ref())?.map(|alias| vec![alias]);
            let scope = Scope {
                columns: rows.columns.clone(),
                qualifiers: qualifiers.into_iter().collect(),
            };
            Ok((scope, Source::Rows(Rc::new(rows))))
        }
        TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
        } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
            let parts = identifiers(name)?;
            let alias = alias_name(alias.as_ref())?;
            named_source(context, &parts, alias)
        }
        other => Err(unsupported(&other.to_string())),
    }
}

fn named_source<'a>(
    context: &Context<'a>,
    parts: &[Ident],
    alias: Option<String>,
) -> Result<(Scope, Source<'a>), ServiceError> {
    let names: Vec<String> = parts.iter().map(|part| part.value.clone()).collect();
    let qualifiers = match alias {
        Some(alias) => vec![vec![alias]],
        None => vec![names.clone(), names[names.len() - 1..].to_vec()],
    };
    let with = context
        .with
        .iter()
        .rev()
        .find(|(name, _)| names == [name.as_str()]);
    if let Some((_, rows)) = with {
        return Ok((
            Scope {
                columns: rows.columns.clone(),
                qualifiers,
            },
            Source::Rows(Rc::clone(rows)),
        ));
    }
    let table = find_table(context.store, parts)?;
    let layout = Layout::of(table);
    let settings = &table.settings;
    let retention_ns =
        (settings.magnetic_days * NS_PER_DAY).max(settings.memory_hours * (NS_PER_DAY / 24));
    let scope = Scope {
        columns: layout.columns.clone(),
        qualifiers,
    };
    let oldest_ns = context.now_ns.saturating_sub(retention_ns);
    Ok((
        scope,
        Source::Table(TableSource {
            store: context.store,
            table,
            layout,
            oldest_ns,
        }),
    ))
}

/// The table that `database.table` names.
pub(crate) fn find_table<'a>(store: &'a Store, parts: &[Ident]) -> Result<&'a Table, ServiceError> {
    let [database_name, table_name] = parts else {
        let place = parts
            .first()
            .map_or(Location::empty(), |part| part.span.start);
        let message = "Session schema must be set: name the table as \"database\".\"table\"";
        return Err(ServiceError::validation(format!(
            "{}{message}",
            position(place)
        )));
    };
    let (database, table) = (&database_name.value, &table_name.value);
    let Location { line, column } = database_name.span.start;
    let tables = &store
        .catalog
        .databases
        .get(database)
        .map(|database| &database.tables);
    let tables = tables.ok_or_else(|| {
        ServiceError::validation(format!(
            "Requested database '{database}' not found for identifier '{database}.{table}' at line \
             {line}:{column}"
        ))
    })?;
    tables.get(table).ok_or_else(|| {
        ServiceError::validation(format!(
            "line {line}:{column}: Table '{database}.{table}' does not exist"
        ))
    })
}

fn identifiers(name: &sqlparser::ast::ObjectName) -> Result<Vec<Ident>, ServiceError> {
    let parts: Option<Vec<Ident>> = name.0.iter().map(|part| part.as_ident().cloned()).collect();
    parts
        .filter(|parts| !parts.is_empty())
        .ok_or_else(|| unsupported(&name.to_string()))
}

fn alias_name(alias: Option<&TableAlias>) -> Result<Option<String>, ServiceError> {
    match alias {
        None => Ok(None),
        Some(alias) if alias.columns.is_empty() && alias.at.is_none() => {
            check_quotes(&alias.name)?;
            Ok(Some(alias.name.value.clone()))
        }
        Some(alias) => Err(unsupported(&alias.to_string())),
    }
}

/// An alias is an identifier: not quoted, or in double quotes.
fn check_quotes(name: &Ident) -> Result<(), ServiceError> {
    match name.quote_style {
        None | Some('"') => Ok(()),
        Some(_) => {
            let place = position(name.span.start);
            Err(ServiceError::validation(format!(
                "{place}mismatched input {name}"
            )))
        }
    }
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

fn check_query(query: &Query) -> Result<(), ServiceError> {
    let is_plain = query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    if is_plain {
        Ok(())
    } else {
        Err(unsupported("a clause at the end of the query"))
    }
}

fn check_select(select: &Select) -> Result<(), ServiceError> {
    let refused = [
        (!select.optimizer_hints.is_empty(), "an optimizer hint"),
        (select.select_modifiers.is_some(), "a modifier of SELECT"),
        (select.top.is_some(), "TOP"),
        (select.exclude.is_some(), "EXCLUDE"),
        (select.into.is_some(), "INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (!select.named_window.is_empty(), "WINDOW"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "SELECT AS"),
        (
            select.flavor != SelectFlavor::Standard,
            "FROM before SELECT",
        ),
        (
            matches!(select.distinct, Some(Distinct::On(_))),
            "DISTINCT ON",
        ),
    ];
    match refused.into_iter().find(|(is_used, _)| *is_used) {
        Some((_, what)) => Err(unsupported(what)),
        None => Ok(()),
    }
}

fn unsupported(what: &str) -> ServiceError {
    ServiceError::validation(format!("{what} is not supported by the emulator"))
}
