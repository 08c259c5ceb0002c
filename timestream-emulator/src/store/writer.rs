//! Changes of the storage: one connection, one change at a time, each one transaction.
//!
//! A change is durable when its method returns. The catalog is changed with it; should a
//! transaction fail, the catalog is read again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rusqlite::{Connection, Transaction, params};

use super::{
    catalog::{Catalog, Database, Measure, Resource, Table, TableSettings, Tags},
    schema,
    value::Value,
};
use crate::{error::ServiceError, write::record::NewPoint};

/// The connection that writes, and the catalog as the last transaction has left it.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: Connection,
    pub(crate) catalog: Arc<Catalog>,
    /// Points in all tables.
    points_stored: Arc<AtomicU64>,
}

/// Outcome of the write of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointOutcome {
    /// Stored, or already there with the same value and version.
    Stored,
    /// Another value has this version.
    SameVersion { existing: i64 },
    /// A higher version is stored.
    LowerVersion { existing: i64 },
}

impl Writer {
    /// Reads the catalog of a prepared database.
    pub(super) fn new(
        connection: Connection,
        points_stored: Arc<AtomicU64>,
    ) -> rusqlite::Result<Writer> {
        let catalog = Arc::new(schema::load_catalog(&connection)?);
        let points: i64 =
            connection.query_row("SELECT count(*) FROM points", [], |row| row.get(0))?;
        points_stored.store(points.unsigned_abs(), Ordering::Relaxed);
        Ok(Writer {
            connection,
            catalog,
            points_stored,
        })
    }

    pub(crate) fn create_database(
        &mut self,
        name: &str,
        kms_key_id: &str,
        tags: Tags,
        now: f64,
    ) -> Result<(), ServiceError> {
        let resource = Resource {
            database: name,
            table: None,
        };
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT INTO databases (name, kms_key_id, created, updated) VALUES (?1, ?2, ?3, ?3)",
            params![name, kms_key_id, now],
        )?;
        insert_tags(&transaction, &resource, &tags)?;
        transaction.commit()?;
        let database = Database {
            kms_key_id: kms_key_id.to_owned(),
            created: now,
            updated: now,
            tags,
            ..Database::default()
        };
        self.catalog_mut()
            .databases
            .insert(name.to_owned(), database);
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
        if let Some(database) = self.catalog_mut().databases.get_mut(name) {
            database.kms_key_id = kms_key_id.to_owned();
            database.updated = now;
        }
        Ok(())
    }

    /// Drops a database; its tables must be gone.
    pub(crate) fn delete_database(&mut self, name: &str) -> Result<(), ServiceError> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM databases WHERE name = ?1", [name])?;
        transaction.execute("DELETE FROM tags WHERE database = ?1", [name])?;
        transaction.commit()?;
        self.catalog_mut().databases.remove(name);
        Ok(())
    }

    pub(crate) fn create_table(
        &mut self,
        database: &str,
        name: &str,
        settings: TableSettings,
        tags: Tags,
        now: f64,
    ) -> Result<(), ServiceError> {
        let resource = Resource {
            database,
            table: Some(name),
        };
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT INTO tables (database, name, memory_hours, magnetic_days, magnetic_writes, \
             schema, rejected_data_location, memory_floor_ns, created, updated) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
            params![
                database,
                name,
                settings.memory_hours,
                settings.magnetic_days,
                settings.magnetic_writes,
                json(&settings.partition_key),
                settings.rejected_data_location.as_ref().map(json),
                settings.memory_floor_ns,
                now
            ],
        )?;
        let id = transaction.last_insert_rowid();
        insert_tags(&transaction, &resource, &tags)?;
        transaction.commit()?;
        let table = Table {
            tags,
            ..Table::new(id, settings, now, now)
        };
        if let Some(database) = self.catalog_mut().databases.get_mut(database) {
            database.tables.insert(name.to_owned(), Arc::new(table));
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
        let table = Arc::make_mut(&mut self.catalog).table_mut(database, name)?;
        let table = Arc::make_mut(table);
        self.connection.execute(
            "UPDATE tables SET memory_hours = ?2, magnetic_days = ?3, magnetic_writes = ?4, \
             schema = ?5, rejected_data_location = ?6, memory_floor_ns = ?7, updated = ?8 \
             WHERE id = ?1",
            params![
                table.id,
                settings.memory_hours,
                settings.magnetic_days,
                settings.magnetic_writes,
                json(&settings.partition_key),
                settings.rejected_data_location.as_ref().map(json),
                settings.memory_floor_ns,
                now
            ],
        )?;
        table.settings = settings;
        table.updated = now;
        Ok(())
    }

    /// Gives a database or table these tags and no others.
    pub(crate) fn set_tags(
        &mut self,
        resource: &Resource<'_>,
        tags: Tags,
    ) -> Result<(), ServiceError> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "DELETE FROM tags WHERE database = ?1 AND table_name = ?2",
            params![resource.database, resource.table.unwrap_or_default()],
        )?;
        insert_tags(&transaction, resource, &tags)?;
        transaction.commit()?;
        let catalog = Arc::make_mut(&mut self.catalog);
        match resource.table {
            Some(table) => {
                let table = catalog.table_mut(resource.database, table)?;
                Arc::make_mut(table).tags = tags;
            }
            None => {
                if let Some(database) = catalog.databases.get_mut(resource.database) {
                    database.tags = tags;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn set_max_query_tcu(&mut self, tcu: i64) -> Result<(), ServiceError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO account (name, value) VALUES (?1, ?2)",
            params![schema::MAX_QUERY_TCU, tcu],
        )?;
        self.catalog_mut().max_query_tcu = tcu;
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
        transaction.execute(
            "DELETE FROM tags WHERE database = ?1 AND table_name = ?2",
            [database, name],
        )?;
        transaction.commit()?;
        self.points_stored
            .fetch_sub(points as u64, Ordering::Relaxed);
        if let Some(database) = self.catalog_mut().databases.get_mut(database) {
            database.tables.remove(name);
        }
        Ok(())
    }

    /// Writes the points that `accept` lets through, in one transaction, and commits it.
    ///
    /// `accept` sees the table as the points before have left it. The outcome of each point is
    /// given in the order of `points`. Points of series that are known leave the catalog as it is,
    /// so that nothing is copied for the readers of an older one.
    pub(crate) fn write_points<R>(
        &mut self,
        database: &str,
        table: &str,
        points: &[NewPoint],
        accept: impl Fn(&Table, &NewPoint) -> Result<(), R>,
    ) -> Result<Vec<Result<PointOutcome, R>>, ServiceError> {
        let table = Arc::make_mut(&mut self.catalog).table_mut(database, table)?;
        let transaction = self.connection.transaction()?;
        let written = write_all(&transaction, table, points, accept);
        let committed = written.and_then(|written| transaction.commit().map(|()| written));
        match committed {
            Ok(Written { outcomes, added }) => {
                self.points_stored.fetch_add(added, Ordering::Relaxed);
                Ok(outcomes)
            }
            Err(error) => {
                self.catalog = Arc::new(schema::load_catalog(&self.connection)?);
                Err(error.into())
            }
        }
    }

    /// Returns the catalog to be changed; copied first if a snapshot still reads it.
    fn catalog_mut(&mut self) -> &mut Catalog {
        Arc::make_mut(&mut self.catalog)
    }
}

fn insert_tags(
    transaction: &Transaction<'_>,
    resource: &Resource<'_>,
    tags: &Tags,
) -> rusqlite::Result<()> {
    let table = resource.table.unwrap_or_default();
    for (key, value) in tags {
        transaction.execute(
            "INSERT INTO tags (database, table_name, key, value) VALUES (?1, ?2, ?3, ?4)",
            params![resource.database, table, key, value],
        )?;
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("settings have only string keys")
}

struct Written<R> {
    outcomes: Vec<Result<PointOutcome, R>>,
    added: u64,
}

fn write_all<R>(
    transaction: &Transaction<'_>,
    table: &mut Arc<Table>,
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

/// Returns the id of the point's series; series, measure and attributes are created if they are
/// new.
fn series_id(
    transaction: &Transaction<'_>,
    table: &mut Arc<Table>,
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
            let measure = Arc::new(Measure::new(value_type));
            Arc::make_mut(table)
                .measures
                .insert(point.measure_name.clone(), measure);
        }
    }
    let json = serde_json::to_string(&point.dimensions).expect("a map with string keys is JSON");
    let id = transaction
        .prepare_cached("INSERT INTO series (table_id, measure, dimensions) VALUES (?1, ?2, ?3)")?
        .insert(params![table.id, point.measure_name, json])?;
    Arc::make_mut(table).add_series(&point.measure_name, id, point.dimensions.clone());
    Ok(id)
}

fn add_attributes(
    transaction: &Transaction<'_>,
    table: &mut Arc<Table>,
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
            Arc::make_mut(table)
                .attributes
                .insert(name.clone(), value.value_type());
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
