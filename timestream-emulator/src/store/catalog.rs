//! Databases, tables, measures and series as they are held in memory.
//!
//! SQLite has the same content; it is read once at start. Only points are not held in memory. A
//! reader shares the catalog of its moment; tables and measures are shared parts, so that a change
//! beside it copies no more than what it touches.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::value::{Dimensions, ValueType};
use crate::{error::ServiceError, limits, protocol::RejectedDataLocation};

/// Everything but the points.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    pub(crate) databases: BTreeMap<String, Database>,
    /// Compute units that queries of the account may use.
    pub(crate) max_query_tcu: i64,
}

/// Keys and values of a resource's tags.
pub(crate) type Tags = BTreeMap<String, String>;

/// A database, or a table in it, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resource<'a> {
    pub(crate) database: &'a str,
    pub(crate) table: Option<&'a str>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Database {
    pub(crate) kms_key_id: String,
    pub(crate) created: f64,
    pub(crate) updated: f64,
    pub(crate) tags: Tags,
    pub(crate) tables: BTreeMap<String, Arc<Table>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) id: i64,
    pub(crate) settings: TableSettings,
    pub(crate) created: f64,
    pub(crate) updated: f64,
    pub(crate) tags: Tags,
    pub(crate) measures: BTreeMap<String, Arc<Measure>>,
    /// Names of all dimensions ever written.
    pub(crate) dimension_names: BTreeSet<String>,
    /// Names and types of all multi-measure attributes ever written.
    pub(crate) attributes: BTreeMap<String, ValueType>,
}

/// Settings of CreateTable and UpdateTable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableSettings {
    pub(crate) memory_hours: i64,
    /// The memory store accepts nothing older: it began here when its retention was last raised.
    pub(crate) memory_floor_ns: i64,
    pub(crate) magnetic_days: i64,
    pub(crate) magnetic_writes: bool,
    pub(crate) partition_key: PartitionKey,
    /// Stored and returned; nothing is written there.
    pub(crate) rejected_data_location: Option<RejectedDataLocation>,
}

/// Partition key of a table's points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PartitionKey {
    #[default]
    Measure,
    Dimension {
        name: String,
        /// Rejects a record without the dimension.
        is_required: bool,
    },
}

impl PartitionKey {
    /// Returns true if both are the same but for the enforcement.
    pub(crate) fn has_attribute_of(&self, other: &PartitionKey) -> bool {
        match (self, other) {
            (PartitionKey::Measure, PartitionKey::Measure) => true,
            (PartitionKey::Dimension { name, .. }, PartitionKey::Dimension { name: other, .. }) => {
                name == other
            }
            _ => false,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) value_type: ValueType,
    pub(crate) series: Vec<Series>,
    ids: HashMap<Arc<Dimensions>, i64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) id: i64,
    pub(crate) dimensions: Arc<Dimensions>,
}

impl Default for Catalog {
    fn default() -> Self {
        Catalog {
            databases: BTreeMap::new(),
            max_query_tcu: limits::DEFAULT_QUERY_TCU,
        }
    }
}

impl Catalog {
    /// Returns the table, or ResourceNotFoundException.
    pub(crate) fn table(&self, database: &str, table: &str) -> Result<&Table, ServiceError> {
        let database = self
            .databases
            .get(database)
            .ok_or_else(|| no_database(database))?;
        let table = database.tables.get(table).ok_or_else(|| no_table(table))?;
        Ok(table)
    }

    /// Returns the tags of a database or table, or ResourceNotFoundException.
    pub(crate) fn tags(&self, resource: &Resource<'_>) -> Result<&Tags, ServiceError> {
        let Resource { database, table } = resource;
        match table {
            Some(table) => self.table(database, table).map(|table| &table.tags),
            None => self
                .databases
                .get(*database)
                .map(|database| &database.tags)
                .ok_or_else(|| no_database(database)),
        }
    }

    /// Returns the table, to be changed, or ResourceNotFoundException.
    pub(crate) fn table_mut(
        &mut self,
        database: &str,
        table: &str,
    ) -> Result<&mut Arc<Table>, ServiceError> {
        let database = self
            .databases
            .get_mut(database)
            .ok_or_else(|| no_database(database))?;
        database
            .tables
            .get_mut(table)
            .ok_or_else(|| no_table(table))
    }
}

pub(crate) fn no_database(name: &str) -> ServiceError {
    ServiceError::not_found(format!("The database {name} does not exist."))
}

pub(crate) fn no_table(name: &str) -> ServiceError {
    ServiceError::not_found(format!("The table {name} does not exist."))
}

impl Table {
    pub(crate) fn new(id: i64, settings: TableSettings, created: f64, updated: f64) -> Self {
        Table {
            id,
            settings,
            created,
            updated,
            tags: Tags::new(),
            measures: BTreeMap::new(),
            dimension_names: BTreeSet::new(),
            attributes: BTreeMap::new(),
        }
    }

    /// Adds a series and the names it brings.
    pub(crate) fn add_series(&mut self, measure: &str, id: i64, dimensions: Dimensions) {
        for name in dimensions.keys() {
            if !self.dimension_names.contains(name) {
                self.dimension_names.insert(name.clone());
            }
        }
        if let Some(measure) = self.measures.get_mut(measure) {
            Arc::make_mut(measure).add(id, dimensions);
        }
    }

    /// Types of single measures in the table, sorted: each is a column.
    pub(crate) fn value_types(&self) -> BTreeSet<ValueType> {
        let types = self.measures.values().map(|measure| measure.value_type);
        types
            .filter(|value_type| *value_type != ValueType::Multi)
            .collect()
    }
}

impl Measure {
    pub(crate) fn new(value_type: ValueType) -> Self {
        Measure {
            value_type,
            series: Vec::new(),
            ids: HashMap::new(),
        }
    }

    pub(crate) fn series_id(&self, dimensions: &Dimensions) -> Option<i64> {
        self.ids.get(dimensions).copied()
    }

    /// Returns the names of the dimensions of this measure.
    pub(crate) fn dimension_names(&self) -> BTreeSet<&str> {
        self.series
            .iter()
            .flat_map(|series| series.dimensions.keys().map(String::as_str))
            .collect()
    }

    fn add(&mut self, id: i64, dimensions: Dimensions) {
        let dimensions = Arc::new(dimensions);
        self.ids.insert(Arc::clone(&dimensions), id);
        self.series.push(Series { id, dimensions });
    }
}
