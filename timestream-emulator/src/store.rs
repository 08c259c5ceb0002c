//! SQLite storage of databases, tables and points.
//!
//! One connection, one writer at a time. Each request that changes something is one transaction; it
//! is durable when the method returns. The catalog is mirrored in memory; should a transaction
//! fail, the mirror is read again.

pub(crate) mod catalog;
mod schema;
pub(crate) mod value;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, Transaction, params, types::ValueRef};

use self::{
    catalog::{Catalog, Database, Measure, Series, Table, TableSettings},
    value::{Value, ValueType},
};
use crate::{error::ServiceError, write::record::NewPoint};

const DATABASE_FILE: &str = "timestream.db";
const LOCK_FILE: &str = "timestream.lock";

/// The storage of one emulator.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    pub(crate) catalog: Catalog,
    pub(crate) points_stored: u64,
    /// Held for as long as the store lives: no second process may use the folder.
    _lock: Option<File>,
}

/// Why the storage cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder is in use.
    #[error("data folder \"{}\" is in use by another emulator", .0.display())]
    InUse(PathBuf),
    /// The data folder cannot be created, or its files cannot be opened.
    #[error("data folder \"{}\" cannot be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database file is not readable as one.
    #[error("the database cannot be opened")]
    Database(#[from] rusqlite::Error),
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointOutcome {
    /// Stored, or already there with the same value and version.
    Stored,
    /// Another value has this version.
    SameVersion { existing: i64 },
    /// A higher version is stored.
    LowerVersion { existing: i64 },
}

impl Store {
    /// Opens the database in `data_dir`, or an empty one in memory.
    pub(crate) fn open(data_dir: Option<&Path>) -> Result<Store, StoreError> {
        let (connection, lock) = match data_dir {
            None => (Connection::open_in_memory()?, None),
            Some(path) => {
                let lock = lock_folder(path)?;
                (Connection::open(path.join(DATABASE_FILE))?, Some(lock))
            }
        };
        schema::prepare(&connection)?;
        let catalog = schema::load_catalog(&connection)?;
        let points: i64 =
            connection.query_row("SELECT count(*) FROM points", [], |row| row.get(0))?;
        Ok(Store {
            connection,
            catalog,
            points_stored: points.unsigned_abs(),
            _lock: lock,
        })
    }

    pub(crate) fn create_database(
        &mut self,
        name: &str,
        kms_key_id: &str,
        now: f64,
    ) -> Result<(), ServiceError> {
        self.connection.execute(
            "INSERT INTO databases (name, kms_key_id, created, updated) VALUES (?1, ?2, ?3, ?3)",
            params![name, kms_key_id, now],
        )?;
        let database = Database {
            kms_key_id: kms_key_id.to_owned(),
            created: now,
            updated: now,
            ..Database::default()
        };
        self.catalog.databases.insert(name.to_owned(), database);
        Ok(())
    }

    pub(crate) fn update_database(
        &mut self,
        name: &str,
        kms_key_id: &str,
        now: f64,
    ) -> Result<(), ServiceError> {
        self.connection.execute(
            "UPDATE databases SET kms_key_id = ?2, updated = ?3 WHERE name = ?1",
            params![name, kms_key_id, now],
        )?;
        if let Some(database) = self.catalog.databases.get_mut(name) {
            database.kms_key_id = kms_key_id.to_owned();
            database.updated = now;
        }
        Ok(())
    }

    /// Drops a database; its tables must be gone.
    pub(crate) fn delete_database(&mut self, name: &str) -> Result<(), ServiceError> {
        self.connection
            .execute("DELETE FROM databases WHERE name = ?1", [name])?;
        self.catalog.databases.remove(name);
        Ok(())
    }

    pub(crate) fn create_table(
        &mut self,
        database: &str,
        name: &str,
        settings: TableSettings,
        now: f64,
    ) -> Result<(), ServiceError> {
        self.connection.execute(
            "INSERT INTO tables (database, name, memory_hours, magnetic_days, magnetic_writes, \
             schema, created, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
            params![
                database,
                name,
                settings.memory_hours,
                settings.magnetic_days,
                settings.magnetic_writes,
                settings.schema.to_string(),
                now
            ],
        )?;
        let table = Table::new(self.connection.last_insert_rowid(), settings, now, now);
        if let Some(database) = self.catalog.databases.get_mut(database) {
            database.tables.insert(name.to_owned(), table);
        }
        Ok(())
    }

    pub(crate) fn update_table(
        &mut self,
        database: &str,
        name: &str,
        settings: TableSettings,
        now: f64,
    ) -> Result<(), ServiceError> {
        let table = self.catalog.table_mut(database, name)?;
        self.connection.execute(
            "UPDATE tables SET memory_hours = ?2, magnetic_days = ?3, magnetic_writes = ?4, \
             schema = ?5, updated = ?6 WHERE id = ?1",
            params![
                table.id,
                settings.memory_hours,
                settings.magnetic_days,
                settings.magnetic_writes,
                settings.schema.to_string(),
                now
            ],
        )?;
        table.settings = settings;
        table.updated = now;
        Ok(())
    }

    /// Drops a table with all its points.
    pub(crate) fn delete_table(&mut self, database: &str, name: &str) -> Result<(), ServiceError> {
        let id = self.catalog.table(database, name)?.id;
        let transaction = self.connection.transaction()?;
        let points = transaction.execute(
            "DELETE FROM points WHERE series IN (SELECT id FROM series WHERE table_id = ?1)",
            [id],
        )?;
        for sql in [
            "DELETE FROM series WHERE table_id = ?1",
            "DELETE FROM measures WHERE table_id = ?1",
            "DELETE FROM attributes WHERE table_id = ?1",
            "DELETE FROM tables WHERE id = ?1",
        ] {
            transaction.execute(sql, [id])?;
        }
        transaction.commit()?;
        self.points_stored = self.points_stored.saturating_sub(points as u64);
        if let Some(database) = self.catalog.databases.get_mut(database) {
            database.tables.remove(name);
        }
        Ok(())
    }

    /// Writes the points that `accept` lets through, in one transaction, and commits it.
    ///
    /// `accept` sees the table as the points before have left it. The outcome of each point is
    /// given in the order of `points`.
    pub(crate) fn write_points<R>(
        &mut self,
        database: &str,
        table: &str,
        points: &[NewPoint],
        accept: impl Fn(&Table, &NewPoint) -> Result<(), R>,
    ) -> Result<Vec<Result<PointOutcome, R>>, ServiceError> {
        let table = self.catalog.table_mut(database, table)?;
        let transaction = self.connection.transaction()?;
        let written = write_all(&transaction, table, points, accept);
        let committed = written.and_then(|written| transaction.commit().map(|()| written));
        match committed {
            Ok(Written { outcomes, added }) => {
                self.points_stored += added;
                Ok(outcomes)
            }
            Err(error) => {
                self.catalog = schema::load_catalog(&self.connection)?;
                Err(error.into())
            }
        }
    }

    /// Visits the points of a series with `from_ns <= time <= to_ns`, oldest first, until `visit`
    /// returns false.
    pub(crate) fn visit_points(
        &self,
        series: i64,
        from_ns: i64,
        to_ns: i64,
        mut visit: impl FnMut(i64, ValueRef<'_>, i64) -> Result<bool, ServiceError>,
    ) -> Result<(), ServiceError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT time, value, version FROM points WHERE series = ?1 AND time BETWEEN ?2 AND ?3",
        )?;
        let mut rows = statement.query(params![series, from_ns, to_ns])?;
        while let Some(row) = rows.next()? {
            if !visit(row.get(0)?, row.get_ref(1)?, row.get(2)?)? {
                break;
            }
        }
        Ok(())
    }
}

struct Written<R> {
    outcomes: Vec<Result<PointOutcome, R>>,
    added: u64,
}

fn write_all<R>(
    transaction: &Transaction<'_>,
    table: &mut Table,
    points: &[NewPoint],
    accept: impl Fn(&Table, &NewPoint) -> Result<(), R>,
) -> rusqlite::Result<Written<R>> {
    let mut outcomes = Vec::with_capacity(points.len());
    let mut added = 0;
    for point in points {
        outcomes.push(match accept(table, point) {
            Err(reason) => Err(reason),
            Ok(()) => {
                let series = series_id(transaction, table, point)?;
                let (outcome, is_new) = write_point(transaction, series, point)?;
                added += u64::from(is_new);
                Ok(outcome)
            }
        });
    }
    Ok(Written { outcomes, added })
}

/// The id of the point's series; series, measure and attributes are created if they are new.
fn series_id(
    transaction: &Transaction<'_>,
    table: &mut Table,
    point: &NewPoint,
) -> rusqlite::Result<i64> {
    add_attributes(transaction, table, point)?;
    match table.measures.get(&point.measure_name) {
        Some(measure) => {
            if let Some(id) = measure.series_id(&point.dimensions) {
                return Ok(id);
            }
        }
        None => {
            let value_type = point.value.value_type();
            transaction
                .prepare_cached("INSERT INTO measures (table_id, name, type) VALUES (?1, ?2, ?3)")?
                .execute(params![table.id, point.measure_name, value_type.name()])?;
            table
                .measures
                .insert(point.measure_name.clone(), Measure::new(value_type));
        }
    }
    let json = serde_json::to_string(&point.dimensions).expect("a map with string keys is JSON");
    let id = transaction
        .prepare_cached("INSERT INTO series (table_id, measure, dimensions) VALUES (?1, ?2, ?3)")?
        .insert(params![table.id, point.measure_name, json])?;
    table.add_series(&point.measure_name, id, point.dimensions.clone());
    Ok(id)
}

fn add_attributes(
    transaction: &Transaction<'_>,
    table: &mut Table,
    point: &NewPoint,
) -> rusqlite::Result<()> {
    let Value::Multi(attributes) = &point.value else {
        return Ok(());
    };
    for (name, value) in attributes {
        if !table.attributes.contains_key(name) {
            transaction
                .prepare_cached(
                    "INSERT INTO attributes (table_id, name, type) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![table.id, name, value.value_type().name()])?;
            table.attributes.insert(name.clone(), value.value_type());
        }
    }
    Ok(())
}

/// Inserts the point or judges it against the stored one; also whether it is a new one.
fn write_point(
    transaction: &Transaction<'_>,
    series: i64,
    point: &NewPoint,
) -> rusqlite::Result<(PointOutcome, bool)> {
    let NewPoint {
        time_ns,
        version,
        value,
        ..
    } = point;
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO points (series, time, value, version) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![series, time_ns, value.to_sql(), version])?;
    if inserted == 1 {
        return Ok((PointOutcome::Stored, true));
    }
    let (is_equal, existing): (bool, i64) = transaction
        .prepare_cached("SELECT value = ?3, version FROM points WHERE series = ?1 AND time = ?2")?
        .query_row(params![series, time_ns, value.to_sql()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let outcome = match version.cmp(&existing) {
        std::cmp::Ordering::Less => PointOutcome::LowerVersion { existing },
        std::cmp::Ordering::Equal if !is_equal => PointOutcome::SameVersion { existing },
        std::cmp::Ordering::Equal => PointOutcome::Stored,
        std::cmp::Ordering::Greater => {
            transaction
                .prepare_cached(
                    "UPDATE points SET value = ?3, version = ?4 WHERE series = ?1 AND time = ?2",
                )?
                .execute(params![series, time_ns, value.to_sql(), version])?;
            PointOutcome::Stored
        }
    };
    Ok((outcome, false))
}

fn lock_folder(path: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Folder {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(path).map_err(failed)?;
    let lock = File::create(path.join(LOCK_FILE)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// One stored point, for assertions in tests.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Name of the measure.
    pub measure_name: String,
    /// Names and values of the dimensions.
    pub dimensions: std::collections::BTreeMap<String, String>,
    /// Nanoseconds since the epoch.
    pub time_ns: i64,
    /// The measure value.
    pub value: Value,
    /// The record version that wrote the value.
    pub version: i64,
}

impl Store {
    /// All points of a table, by measure name, then series in the order of their first write, then
    /// time; none if there is no such table.
    pub(crate) fn points(&self, database: &str, table: &str) -> Result<Vec<Point>, ServiceError> {
        let mut points = Vec::new();
        let Ok(table) = self.catalog.table(database, table) else {
            return Ok(points);
        };
        for (name, measure) in &table.measures {
            for Series { id, dimensions } in &measure.series {
                self.visit_points(*id, i64::MIN, i64::MAX, |time_ns, stored, version| {
                    points.push(Point {
                        measure_name: name.clone(),
                        dimensions: dimensions.as_ref().clone(),
                        time_ns,
                        value: decode(measure.value_type, stored)?,
                        version,
                    });
                    Ok(true)
                })?;
            }
        }
        Ok(points)
    }
}

/// Reads a stored value of a measure of type `value_type`.
pub(crate) fn decode(value_type: ValueType, stored: ValueRef<'_>) -> Result<Value, ServiceError> {
    Value::from_sql(value_type, stored).ok_or_else(|| {
        rusqlite::Error::InvalidColumnName(format!("value of type {}", value_type.name())).into()
    })
}
