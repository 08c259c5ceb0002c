//! FROM: names -> tables, rows of WITH, sub-selects.

use std::rc::Rc;

use sqlparser::{
    ast::{Ident, ObjectName, TableAlias, TableFactor, TableWithJoins},
    tokenizer::Location,
};

use super::{Context, clauses::unsupported, run};
use crate::{
    error::ServiceError,
    query::{
        bind::Scope,
        dialect::position,
        source::{Layout, Source, TableSource},
        time::NS_PER_DAY,
    },
    store::{Store, catalog::Table},
};

/// The columns and rows that FROM names.
pub(super) fn from<'a>(
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

fn identifiers(name: &ObjectName) -> Result<Vec<Ident>, ServiceError> {
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
pub(super) fn check_quotes(name: &Ident) -> Result<(), ServiceError> {
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
