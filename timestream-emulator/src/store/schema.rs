//! The SQLite tables, and reading the catalog back from them.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, Row};

use super::{
    catalog::{Catalog, Database, Measure, Table, TableSettings, Tags},
    value::{Dimensions, ValueType},
};

/// Name under which the account's compute units are stored.
pub(super) const MAX_QUERY_TCU: &str = "max_query_tcu";

/// The tags of a database itself have an empty `table_name`. Points are clustered by series and time, so a range of one series is one sequential read.
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
CREATE TABLE IF NOT EXISTS tags (
    database TEXT NOT NULL, table_name TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (database, table_name, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS points (
    series INTEGER NOT NULL, time INTEGER NOT NULL, value NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (series, time)
) WITHOUT ROWID;
";

/// Pages of the write-ahead log, about 40 MB, after which they are moved into the database file. A
/// batch of many series changes as many pages, and the same ones each time: with SQLite's 1,000 they
/// would be moved after every few batches.
const CHECKPOINT_PAGES: i64 = 10_000;

/// Events that a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The end of the process and of the system.
    Full,
    /// Nothing: the data goes with the process.
    None,
}

/// Opens the database for changes and creates missing tables.
pub(super) fn open_writer(file: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::None => "OFF",
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(SCHEMA)?;
    add_missing_columns(&connection)?;
    Ok(connection)
}

/// Brings a file of an earlier version up to date.
fn add_missing_columns(connection: &Connection) -> rusqlite::Result<()> {
    for (column, definition) in [
        ("rejected_data_location", "TEXT"),
        ("memory_floor_ns", "INTEGER"),
    ] {
        let probe = format!("SELECT {column} FROM tables LIMIT 0");
        if connection.prepare(&probe).is_err() {
            let change = format!("ALTER TABLE tables ADD COLUMN {column} {definition}");
            connection.execute_batch(&change)?;
        }
    }
    Ok(())
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
               created, updated, rejected_data_location, memory_floor_ns FROM tables";
    each(connection, sql, |row| {
        let (database, name): (String, String) = (row.get(0)?, row.get(1)?);
        let schema: String = row.get(6)?;
        let location: Option<String> = row.get(9)?;
        let floor: Option<i64> = row.get(10)?;
        let settings = TableSettings {
            memory_hours: row.get(3)?,
            memory_floor_ns: floor.unwrap_or(i64::MIN),
            magnetic_days: row.get(4)?,
            magnetic_writes: row.get(5)?,
            partition_key: serde_json::from_str(&schema).unwrap_or_default(),
            rejected_data_location: location.and_then(|json| serde_json::from_str(&json).ok()),
        };
        let mut table = Table::new(row.get(2)?, settings, row.get(7)?, row.get(8)?);
        load_table(connection, &mut table)?;
        if let Some(database) = catalog.databases.get_mut(&database) {
            database.tables.insert(name, Arc::new(table));
        }
        Ok(())
    })?;
    each(
        connection,
        "SELECT database, table_name, key, value FROM tags",
        |row| {
            let (database, table): (String, String) = (row.get(0)?, row.get(1)?);
            if let Some(tags) = tags_mut(&mut catalog, &database, &table) {
                tags.insert(row.get(2)?, row.get(3)?);
            }
            Ok(())
        },
    )?;
    let sql = format!("SELECT value FROM account WHERE name = '{MAX_QUERY_TCU}'");
    each(connection, &sql, |row| {
        catalog.max_query_tcu = row.get(0)?;
        Ok(())
    })?;
    Ok(catalog)
}

/// Returns the tags of a database (`table` is empty) or table.
fn tags_mut<'a>(catalog: &'a mut Catalog, database: &str, table: &str) -> Option<&'a mut Tags> {
    let database = catalog.databases.get_mut(database)?;
    if table.is_empty() {
        return Some(&mut database.tags);
    }
    let table = database.tables.get_mut(table)?;
    Some(&mut Arc::make_mut(table).tags)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::catalog::PartitionKey;

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("earlier.db");
        let earlier = "CREATE TABLE databases (name TEXT PRIMARY KEY, kms_key_id TEXT NOT NULL,
                created REAL NOT NULL, updated REAL NOT NULL) WITHOUT ROWID;
            CREATE TABLE tables (id INTEGER PRIMARY KEY, database TEXT NOT NULL,
                name TEXT NOT NULL, memory_hours INTEGER NOT NULL, magnetic_days INTEGER NOT NULL,
                magnetic_writes INTEGER NOT NULL, schema TEXT NOT NULL, created REAL NOT NULL,
                updated REAL NOT NULL, UNIQUE (database, name));
            INSERT INTO databases VALUES ('db', 'key', 1, 2);
            INSERT INTO tables VALUES (7, 'db', 't', 3, 4, 1, 'null', 5, 6);";
        let connection = Connection::open(&file).expect("a file");
        connection.execute_batch(earlier).expect("the tables");
        drop(connection);
        for _ in 0..2 {
            let connection = open_writer(&file, Durability::Full).expect("the file opens");
            let catalog = load_catalog(&connection).expect("the catalog");
            let settings = &catalog.table("db", "t").expect("the table").settings;
            assert_eq!((settings.memory_hours, settings.magnetic_days), (3, 4));
            assert_eq!(settings.partition_key, PartitionKey::Measure);
            assert_eq!(settings.rejected_data_location, None);
        }
    }
}
