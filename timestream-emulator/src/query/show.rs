//! SHOW and DESCRIBE.

use std::collections::BTreeMap;

use sqlparser::ast::Ident;

use super::{
    dialect::{Show, Subject, position},
    output::Column,
    pattern::Pattern,
    select::find_table,
    source::Rows,
    types::{Datum, Type},
};
use crate::{
    error::ServiceError,
    store::{
        Snapshot,
        catalog::{Measure, Table},
    },
};

/// Runs SHOW DATABASES, TABLES or MEASURES.
pub(crate) fn show(store: &Snapshot, show: &Show) -> Result<Rows, ServiceError> {
    let pattern = show
        .like
        .as_deref()
        .map(|pattern| Pattern::like(pattern, None))
        .transpose();
    let pattern = pattern.map_err(ServiceError::validation)?;
    let is_wanted = |name: &str| {
        pattern
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(name))
    };
    let rows = match show.subject {
        Subject::Databases => names("Database", store.catalog.databases.keys(), is_wanted),
        Subject::Tables => {
            let databases = match &*show.from {
                [] => store.catalog.databases.values().collect(),
                [name] => vec![store.catalog.databases.get(&name.value).ok_or_else(|| {
                    let place = position(name.span.start);
                    ServiceError::validation(format!(
                        "{place}Database '{}' does not exist",
                        name.value
                    ))
                })?],
                [_, second, ..] => {
                    let place = position(second.span.start);
                    return Err(ServiceError::validation(format!(
                        "{place}Too many parts in the name"
                    )));
                }
            };
            let tables = databases.iter().flat_map(|database| database.tables.keys());
            names("Table", tables, is_wanted)
        }
        Subject::Measures => measures(find_table(store, &show.from)?, is_wanted),
    };
    Ok(rows)
}

/// Runs DESCRIBE: lists the columns of a table in the order of `SELECT *`.
pub(crate) fn describe(store: &Snapshot, name: &[Ident]) -> Result<Rows, ServiceError> {
    let table = find_table(store, name)?;
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut add = |name: &str, data_type: &str, role: &str| {
        rows.push([name.to_owned(), data_type.to_owned(), role.to_owned()]);
    };
    for name in &table.dimension_names {
        add(name, "varchar", "DIMENSION");
    }
    add("measure_name", "varchar", "MEASURE_NAME");
    add("time", "timestamp", "TIMESTAMP");
    for value_type in table.value_types() {
        let name = value_type.sql_name();
        add(&format!("measure_value::{name}"), name, "MEASURE_VALUE");
    }
    for (name, value_type) in &table.attributes {
        add(name, value_type.sql_name(), "MULTI");
    }
    Ok(Rows {
        columns: ["Column", "Type", "Timestream attribute type"]
            .map(varchar)
            .into(),
        rows: rows
            .into_iter()
            .map(|row| row.map(|text| Datum::text(&text)).into())
            .collect(),
    })
}

fn names<'a>(
    column: &str,
    names: impl Iterator<Item = &'a String>,
    is_wanted: impl Fn(&str) -> bool,
) -> Rows {
    let wanted = names.filter(|name| is_wanted(name));
    Rows {
        columns: vec![varchar(column)],
        rows: wanted.map(|name| vec![Datum::text(name)]).collect(),
    }
}

fn measures(table: &Table, is_wanted: impl Fn(&str) -> bool) -> Rows {
    let dimension = Type::Row(vec![
        ("dimension_name", Type::Varchar),
        ("data_type", Type::Varchar),
    ]);
    let dimensions = Column::new("dimensions", Type::Array(Box::new(dimension)));
    let wanted: BTreeMap<&String, &Measure> = table
        .measures
        .iter()
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, measure)| (name, measure.as_ref()))
        .collect();
    Rows {
        columns: vec![varchar("measure_name"), varchar("data_type"), dimensions],
        rows: wanted
            .into_iter()
            .map(|(name, measure)| {
                let names = measure.dimension_names().into_iter();
                let pairs =
                    names.map(|name| Datum::Row(vec![Datum::text(name), Datum::text("varchar")]));
                let data_type = Datum::text(measure.value_type.sql_name());
                vec![Datum::text(name), data_type, Datum::Array(pairs.collect())]
            })
            .collect(),
    }
}

fn varchar(name: &str) -> Column {
    Column::new(name, Type::Varchar)
}
