//! FROM: names -> tables, rows of WITH, sub-selects; several of them are joined.

use std::rc::Rc;

use sqlparser::{
    ast::{Ident, ObjectName, TableAlias, TableFactor, TableWithJoins},
    tokenizer::Location,
};

use super::{
    clauses::unsupported,
    join::{self, Relation},
    run,
    unnest::Unnest,
};
use crate::{
    error::ServiceError,
    query::{
        bind::{Scope, check_name},
        context::Context,
        dialect::position,
        output::Column,
        source::{Layout, Source, TableSource},
        time::NS_PER_DAY,
    },
    store::{Snapshot, catalog::Table},
};

/// Returns the columns and rows that FROM names.
pub(super) fn from<'a>(
    context: &Context<'a>,
    from: &[TableWithJoins],
) -> Result<(Scope, Source<'a>), ServiceError> {
    match from {
        [] => Ok((Scope::default(), Source::SingleRow)),
        [TableWithJoins { relation, joins }]
            if joins.is_empty() && Unnest::of(relation)?.is_none() =>
        {
            relation_source(context, relation)
        }
        _ => joined(context, from).map(Relation::into_source),
    }
}

/// Joins everything in memory: simple, not fast.
fn joined(context: &Context<'_>, from: &[TableWithJoins]) -> Result<Relation, ServiceError> {
    let mut all = Relation::single_row();
    for item in from {
        let unnest = Unnest::of(&item.relation)?;
        let is_unnest = unnest.is_some();
        let mut left = match unnest {
            Some(unnest) => unnest.cross_join(context, std::mem::take(&mut all), false)?,
            None => relation(context, &item.relation)?,
        };
        for join in &item.joins {
            left = match Unnest::of(&join.relation)? {
                Some(unnest) => {
                    let keeps_left = join::keeps_left(join)?;
                    unnest.cross_join(context, left, keeps_left)?
                }
                None => join::join(context, left, relation(context, &join.relation)?, join)?,
            };
        }
        all = if is_unnest {
            left
        } else {
            join::cross(all, left)
        };
    }
    Ok(all)
}

fn relation(context: &Context<'_>, factor: &TableFactor) -> Result<Relation, ServiceError> {
    if let TableFactor::NestedJoin {
        table_with_joins,
        alias: None,
    } = factor
    {
        return joined(context, std::slice::from_ref(table_with_joins));
    }
    let (scope, source) = relation_source(context, factor)?;
    Relation::read(context, scope, &source)
}

fn relation_source<'a>(
    context: &Context<'a>,
    relation: &TableFactor,
) -> Result<(Scope, Source<'a>), ServiceError> {
    match relation {
        TableFactor::Derived {
            lateral: false,
            subquery,
            alias,
            sample: None,
        } => {
            let mut rows = run(context, subquery)?;
            let alias = Alias::of(alias.as_ref())?;
            let qualifiers = alias.iter().map(|alias| vec![alias.name.clone()]).collect();
            if let Some(alias) = alias {
                alias.rename(&mut rows.columns)?;
            }
            let scope = Scope::new(rows.columns.clone(), qualifiers);
            Ok((scope, Source::Rows(Rc::new(rows))))
        }
        TableFactor::Derived { lateral: true, .. } => Err(unsupported("LATERAL")),
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
            named_source(context, &parts, Alias::of(alias.as_ref())?)
        }
        TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } => Ok(joined(context, std::slice::from_ref(table_with_joins))?.into_source()),
        other => Err(unsupported(&other.to_string())),
    }
}

fn named_source<'a>(
    context: &Context<'a>,
    parts: &[Ident],
    alias: Option<Alias>,
) -> Result<(Scope, Source<'a>), ServiceError> {
    let names: Vec<String> = parts.iter().map(|part| part.value.clone()).collect();
    let qualifiers = match &alias {
        Some(alias) => vec![vec![alias.name.clone()]],
        None => vec![names.clone(), names[names.len() - 1..].to_vec()],
    };
    let scope = |mut columns: Vec<Column>| {
        if let Some(alias) = &alias {
            alias.rename(&mut columns)?;
        }
        Ok::<_, ServiceError>(Scope::new(columns, qualifiers))
    };
    let with = context
        .with
        .iter()
        .rev()
        .find(|(name, _)| names == [name.as_str()]);
    if let Some((_, rows)) = with {
        return Ok((scope(rows.columns.clone())?, Source::Rows(Rc::clone(rows))));
    }
    let table = find_table(context.store, parts)?;
    let full_name = Rc::new((names[0].clone(), names[1].clone()));
    let layout = Layout::of(table, &full_name);
    let settings = &table.settings;
    let retention_ns =
        (settings.magnetic_days * NS_PER_DAY).max(settings.memory_hours * (NS_PER_DAY / 24));
    let scope = scope(layout.columns.clone())?;
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

/// Returns the table that `database.table` names.
pub(crate) fn find_table<'a>(
    store: &'a Snapshot,
    parts: &[Ident],
) -> Result<&'a Table, ServiceError> {
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
    tables.get(table).map(AsRef::as_ref).ok_or_else(|| {
        ServiceError::validation(format!(
            "line {line}:{column}: Table '{database}.{table}' does not exist"
        ))
    })
}

fn identifiers(name: &ObjectName) -> Result<Vec<Ident>, ServiceError> {
    let parts: Option<Vec<Ident>> = name.0.iter().map(|part| part.as_ident().cloned()).collect();
    let parts = parts
        .filter(|parts| !parts.is_empty())
        .ok_or_else(|| unsupported(&name.to_string()))?;
    for part in &parts {
        check_name(part)?;
    }
    Ok(parts)
}

/// `AS name` or `AS name (column, ...)`.
pub(super) struct Alias {
    pub(super) name: String,
    columns: Vec<Ident>,
}

impl Alias {
    pub(super) fn of(alias: Option<&TableAlias>) -> Result<Option<Alias>, ServiceError> {
        let Some(alias) = alias else {
            return Ok(None);
        };
        let is_plain = alias.at.is_none()
            && alias
                .columns
                .iter()
                .all(|column| column.data_type.is_none());
        if !is_plain {
            return Err(unsupported(&alias.to_string()));
        }
        let columns: Vec<Ident> = alias
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        for name in columns.iter().chain([&alias.name]) {
            check_name(name)?;
        }
        Ok(Some(Alias {
            name: alias.name.value.clone(),
            columns,
        }))
    }

    /// Gives the columns their new names, if the alias has any.
    pub(super) fn rename(&self, columns: &mut [Column]) -> Result<(), ServiceError> {
        let Some(first) = self.columns.first() else {
            return Ok(());
        };
        if self.columns.len() != columns.len() {
            return Err(ServiceError::validation(format!(
                "{}Column alias list has {} entries but '{}' has {} columns available",
                position(first.span.start),
                self.columns.len(),
                self.name,
                columns.len()
            )));
        }
        for (column, name) in columns.iter_mut().zip(&self.columns) {
            column.name.clone_from(&name.value);
            column.is_aliased = true;
        }
        Ok(())
    }
}
