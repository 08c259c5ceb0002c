//! The columns that were last seen, so that a read need not look them up before it queries.
//!
//! The cache only hides latency: every result by a remembered schema is checked against the
//! present one (see [`super::select`]).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::destination::Destination;
use crate::storage::read::schema::{Measures, Schema};

/// Maximum of entries; all are forgotten when one more comes, since each costs one statement to regain.
const MAX_ENTRIES: usize = 10_000;

/// The subject of a schema: a table and the queried measures, `None` for the whole table.
pub(super) type SchemaKey = (Destination, Option<Measures>);

/// Schemas by what they are about.
#[derive(Debug, Default)]
pub(super) struct Schemas(Mutex<HashMap<SchemaKey, Arc<Schema>>>);

impl Schemas {
    pub(super) fn get(&self, key: &SchemaKey) -> Option<Arc<Schema>> {
        self.0.lock().get(key).cloned()
    }

    pub(super) fn put(&self, key: SchemaKey, schema: Arc<Schema>) {
        let mut schemas = self.0.lock();
        if schemas.len() >= MAX_ENTRIES && !schemas.contains_key(&key) {
            schemas.clear();
        }
        schemas.insert(key, schema);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(table: &str) -> SchemaKey {
        let destination = Destination {
            database: "db".to_owned(),
            table: table.to_owned(),
        };
        (destination, None)
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let schemas = Schemas::default();
        for i in 0..MAX_ENTRIES {
            schemas.put(key(&i.to_string()), Arc::default());
        }
        // One that is known takes no place.
        schemas.put(key("0"), Arc::default());
        assert_eq!(schemas.0.lock().len(), MAX_ENTRIES);
        schemas.put(key(&MAX_ENTRIES.to_string()), Arc::default());
        assert_eq!(schemas.0.lock().len(), 1);
        assert!(schemas.get(&key("0")).is_none());
        assert!(schemas.get(&key(&MAX_ENTRIES.to_string())).is_some());
    }
}
