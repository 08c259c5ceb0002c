//! State that ends with the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{Expect, Item, new_version};

/// Texts in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Texts>>);

/// By collection and name.
type Texts = BTreeMap<(String, String), Item>;

impl Memory {
    pub(super) fn get(&self, collection: &str, name: &str) -> Option<Item> {
        self.texts().get(&key(collection, name)).cloned()
    }

    pub(super) fn put(&self, collection: &str, name: &str, value: &str, expect: &Expect) -> bool {
        let mut texts = self.texts();
        let key = key(collection, name);
        if !expect.is_met(texts.get(&key)) {
            return false;
        }
        let item = Item {
            name: name.to_owned(),
            value: value.to_owned(),
            version: new_version(),
        };
        texts.insert(key, item);
        true
    }

    pub(super) fn delete(&self, collection: &str, name: &str) -> bool {
        self.texts().remove(&key(collection, name)).is_some()
    }

    pub(super) fn list(&self, collection: &str) -> Vec<Item> {
        let texts = self.texts();
        let of_collection = texts.iter().filter(|((of, _), _)| of == collection);
        of_collection.map(|(_, item)| item.clone()).collect()
    }

    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.0.lock()
    }
}

fn key(collection: &str, name: &str) -> (String, String) {
    (collection.to_owned(), name.to_owned())
}
