//! The SQLite tables, and reading the catalog back from them.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, Row};

use super::{
    catalog::{Catalog, Database, Measure, Table, TableSettings},
    value::{Dimensions, ValueType},
};

/// Points are clustered by series and time, so a range of one series is one sequential read.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS databases (
    name TEXT PRIMARY KEY, kms_key_id TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tables (
    id INTEGER PRIMARY KEY, database TEXT NOT NULL, name TEXT NOT NULL,
    memory_hours INTEGER NOT NULL, magnetic_days INTEGER NOT NULL, magnetic_writes INTEGER NOT NULL,
    schema TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, UNIQUE (database, name)
);
CREATE TABLE IF NOT EXISTS measures (
    table_id INTEGER NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, PRIMARY KEY (table_id, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attributes (
    table_id INTEGER NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, PRIMARY KEY (table_id, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, table_id INTEGER NOT NULL, measure TEXT NOT NULL,
    dimensions TEXT NOT NULL, UNIQUE (table_id, measure, dimensions)
);
CREATE TABLE IF NOT EXISTS points (
    series INTEGER NOT NULL, time INTEGER NOT NULL, value NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (series, time)
) WITHOUT ROWID;
";

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The end of the process and of the system.
    Full,
    /// Nothing: the data goes with the process.
    None,
}

/// Opens the database for changes and creates what is missing.
pub(super) fn open_writer(file: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::None => "OFF",
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

/// Opens the database for reading only.
pub(super) fn open_reader(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    Ok(connection)
}

/// Reads everything but the points.
pub(super) fn load_catalog(connection: &Connection) -> rusqlite::Result<Catalog> {
    let mut catalog = Catalog::default();
    each(
        connection,
        "SELECT name, kms_key_id, created, updated FROM databases",
        |row| {
            let database = Database {
                kms_key_id: row.get(1)?,
                created: row.get(2)?,
                updated: row.get(3)?,
                ..Database::default()
            };
            catalog.databases.insert(row.get(0)?, database);
            Ok(())
        },
    )?;
    let sql = "SELECT database, name, id, memory_hours, magnetic_days, magnetic_writes, schema, \
               created, updated FROM tables";
    each(connection, sql, |row| {
        let (database, name): (String, String) = (row.get(0)?, row.get(1)?);
        let schema: String = row.get(6)?;
        let settings = TableSettings {
            memory_hours: row.get(3)?,
            magnetic_days: row.get(4)?,
            magnetic_writes: row.get(5)?,
            schema: serde_json::from_str(&schema).unwrap_or_default(),
        };
        let mut table = Table::new(row.get(2)?, settings, row.get(7)?, row.get(8)?);
        load_table(connection, &mut table)?;
        if let Some(database) = catalog.databases.get_mut(&database) {
            database.tables.insert(name, Arc::new(table));
        }
        Ok(())
    })?;
    Ok(catalog)
}

fn load_table(connection: &Connection, table: &mut Table) -> rusqlite::Result<()> {
    let id = table.id;
    each(
        connection,
        &format!("SELECT name, type FROM measures WHERE table_id = {id}"),
        |row| {
            table
                .measures
                .insert(row.get(0)?, Arc::new(Measure::new(value_type(row, 1)?)));
            Ok(())
        },
    )?;
    each(
        connection,
        &format!("SELECT name, type FROM attributes WHERE table_id = {id}"),
        |row| {
            table.attributes.insert(row.get(0)?, value_type(row, 1)?);
            Ok(())
        },
    )?;
    let sql =
        format!("SELECT id, measure, dimensions FROM series WHERE table_id = {id} ORDER BY id");
    each(connection, &sql, |row| {
        let (measure, json): (String, String) = (row.get(1)?, row.get(2)?);
        let dimensions: Dimensions = serde_json::from_str(&json)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        table.add_series(&measure, row.get(0)?, dimensions);
        Ok(())
    })
}

fn each(
    connection: &Connection,
    sql: &str,
    mut visit: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(row)?;
    }
    Ok(())
}

fn value_type(row: &Row<'_>, column: usize) -> rusqlite::Result<ValueType> {
    let name: String = row.get(column)?;
    ValueType::from_name(&name)
        .ok_or_else(|| rusqlite::Error::InvalidColumnName(format!("type \"{name}\"")))
}
