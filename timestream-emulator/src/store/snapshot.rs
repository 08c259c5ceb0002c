//! Reading beside the writer.
//!
//! A snapshot is a read transaction on a connection of its own, with the catalog of the same
//! moment. In SQLite's write-ahead log neither readers nor the writer wait for each other.

use std::{
    cell::Cell,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, params, types::ValueRef};

use super::{
    catalog::{Catalog, Series},
    schema,
    value::{Value, ValueType},
};
use crate::error::ServiceError;

/// Idle connections that stay open for the next snapshot; more are opened when they are needed.
const MAX_IDLE_CONNECTIONS: usize = 8;
/// Size of the time of a point, as it is metered.
const TIME_BYTES: u64 = 8;

/// The connections for reading.
#[derive(Debug)]
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// All that is stored, as it is at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) catalog: Arc<Catalog>,
    /// Removed when the snapshot is dropped.
    connection: Option<Connection>,
    readers: Arc<Readers>,
    bytes_read: Cell<u64>,
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

impl Readers {
    pub(super) fn new(file: PathBuf) -> Readers {
        Readers {
            file,
            idle: Mutex::default(),
        }
    }

    /// Returns a connection to begin a snapshot on.
    pub(super) fn connection(&self) -> rusqlite::Result<Connection> {
        let idle = self.lock().pop();
        idle.map_or_else(|| schema::open_reader(&self.file), Ok)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    /// Fixes what `connection` sees. No transaction may end meanwhile, so that `catalog` fits it.
    pub(super) fn begin(
        readers: &Arc<Readers>,
        connection: Connection,
        catalog: &Arc<Catalog>,
    ) -> rusqlite::Result<Snapshot> {
        // BEGIN alone fixes nothing: the first read does.
        connection.execute_batch("BEGIN; SELECT 1 FROM databases LIMIT 1")?;
        Ok(Snapshot {
            catalog: Arc::clone(catalog),
            connection: Some(connection),
            readers: Arc::clone(readers),
            bytes_read: Cell::new(0),
        })
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
        let connection = self.connection.as_ref();
        let connection = connection.expect("the connection is only taken on drop");
        let mut statement = connection.prepare_cached(
            "SELECT time, value, version FROM points WHERE series = ?1 AND time BETWEEN ?2 AND ?3",
        )?;
        let mut rows = statement.query(params![series, from_ns, to_ns])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let value = row.get_ref(1)?;
            bytes += TIME_BYTES + value_bytes(value);
            if !visit(row.get(0)?, value, row.get(2)?)? {
                break;
            }
        }
        self.bytes_read.set(self.bytes_read.get() + bytes);
        Ok(())
    }

    /// Returns the size of the times and values that have been visited so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    /// Returns all points of a table, by measure name, then series in the order of their first
    /// write, then time; none if there is no such table.
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

impl Drop for Snapshot {
    /// Ends the transaction and gives the connection back.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if connection.execute_batch("COMMIT").is_err() {
            return;
        }
        let mut idle = self.readers.lock();
        if idle.len() < MAX_IDLE_CONNECTIONS {
            idle.push(connection);
        }
    }
}

/// Reads a stored value of a measure of type `value_type`.
pub(crate) fn decode(value_type: ValueType, stored: ValueRef<'_>) -> Result<Value, ServiceError> {
    Value::from_sql(value_type, stored).ok_or_else(|| {
        rusqlite::Error::InvalidColumnName(format!("value of type {}", value_type.name())).into()
    })
}

fn value_bytes(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
    }
}
