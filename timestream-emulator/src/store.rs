//! SQLite storage of databases, tables and points.
//!
//! One connection writes, one transaction at a time ([`writer`]); any number read beside it
//! ([`snapshot`]). The catalog - all but the points - is held in memory too.

pub(crate) mod catalog;
mod schema;
pub(crate) mod snapshot;
pub(crate) mod value;
pub(crate) mod writer;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::TempDir;

use self::{catalog::Catalog, schema::Durability, snapshot::Readers};
pub(crate) use self::{
    snapshot::{Snapshot, decode},
    writer::{PointOutcome, Writer},
};
use crate::error::ServiceError;

const DATABASE_FILE: &str = "timestream.db";
const LOCK_FILE: &str = "timestream.lock";

/// The storage of one emulator.
#[derive(Debug)]
pub(crate) struct Store {
    // The connections come first: they are closed before their folder goes.
    writer: Mutex<Writer>,
    readers: Arc<Readers>,
    points_stored: Arc<AtomicU64>,
    _folder: Folder,
}

/// Location of the database.
#[derive(Debug)]
enum Folder {
    /// Given by the caller; locked for as long as the store lives, so that no second process uses it.
    Persistent { path: PathBuf, _lock: FolderLock },
    /// Made for this store and removed with it. A database in SQLite's own memory has one
    /// connection, or several that wait for each other.
    Temporary(TempDir),
}

/// The lock of a folder, which is released when it is dropped.
#[derive(Debug)]
struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // To close the file is not enough: a child process that another thread starts has a copy of
        // it, and thereby the lock, until it executes its program.
        let _ = self.0.unlock();
    }
}

/// An error that prevents the storage from opening.
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
        /// The error of the operating system.
        source: io::Error,
    },
    /// The database file is not readable as one.
    #[error("the database cannot be opened")]
    Database(#[from] rusqlite::Error),
}

impl Store {
    /// Opens the database in `data_dir`, or an empty one that is gone when the store is dropped.
    pub(crate) fn open(data_dir: Option<&Path>) -> Result<Store, StoreError> {
        let (folder, durability) = match data_dir {
            None => (Folder::temporary()?, Durability::None),
            Some(path) => (Folder::lock(path)?, Durability::Full),
        };
        let file = folder.path().join(DATABASE_FILE);
        let points_stored = Arc::new(AtomicU64::new(0));
        let connection = schema::open_writer(&file, durability)?;
        Ok(Store {
            writer: Mutex::new(Writer::new(connection, Arc::clone(&points_stored))?),
            readers: Arc::new(Readers::new(file)),
            points_stored,
            _folder: folder,
        })
    }

    /// Runs a change; the next one waits for it.
    pub(crate) fn change<T>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        work(&mut self.lock_writer())
    }

    /// Returns all that is stored now. It can be read for any time without holding up a change.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, ServiceError> {
        let connection = self.readers.connection()?;
        // Between two changes the catalog and the database agree.
        let writer = self.lock_writer();
        Ok(Snapshot::begin(&self.readers, connection, &writer.catalog)?)
    }

    /// Returns everything but the points, as it is now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.lock_writer().catalog)
    }

    /// Points in all tables.
    pub(crate) fn points_stored(&self) -> u64 {
        self.points_stored.load(Ordering::Relaxed)
    }

    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Folder {
    fn temporary() -> Result<Folder, StoreError> {
        let folder = tempfile::Builder::new()
            .prefix("timestream-emulator-")
            .tempdir();
        folder
            .map(Folder::Temporary)
            .map_err(|source| StoreError::Folder {
                path: std::env::temp_dir(),
                source,
            })
    }

    fn lock(path: &Path) -> Result<Folder, StoreError> {
        let path = path.to_owned();
        let failed = |source| StoreError::Folder {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(&path).map_err(failed)?;
        let lock = File::create(path.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder::Persistent {
                path,
                _lock: FolderLock(lock),
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path)),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Persistent { path, .. } => path,
            Folder::Temporary(folder) => folder.path(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{catalog::TableSettings, value::Value},
        write::record::NewPoint,
    };

    fn store(data_dir: Option<&Path>) -> Store {
        let store = Store::open(data_dir).expect("a store");
        let settings = TableSettings {
            memory_hours: 1,
            memory_floor_ns: i64::MIN,
            magnetic_days: 1,
            magnetic_writes: false,
            partition_key: catalog::PartitionKey::Measure,
            rejected_data_location: None,
        };
        let made = store.change(|writer| {
            writer.create_database("db", "key", catalog::Tags::new(), 0.0)?;
            writer.create_table("db", "t", settings, catalog::Tags::new(), 0.0)
        });
        made.expect("a table");
        store
    }

    fn write(store: &Store, job: &str, time_ns: i64) {
        let point = NewPoint {
            dimensions: [("job".to_owned(), job.to_owned())].into(),
            measure_name: "up".to_owned(),
            value: Value::Double(1.0),
            time_ns,
            version: 1,
        };
        let accept = |_: &catalog::Table, _: &NewPoint| Ok::<(), ()>(());
        store
            .change(|writer| writer.write_points("db", "t", &[point], accept))
            .expect("a write");
    }

    fn count(snapshot: &Snapshot) -> usize {
        snapshot.points("db", "t").expect("points").len()
    }

    #[test]
    fn a_snapshot_neither_changes_nor_holds_up_a_write() {
        let folder = tempfile::tempdir().expect("a folder");
        for data_dir in [None, Some(folder.path())] {
            let store = store(data_dir);
            write(&store, "a", 1);
            let before = store.snapshot().expect("a snapshot");
            write(&store, "a", 2);
            write(&store, "b", 1);
            let after = store.snapshot().expect("a snapshot");
            store
                .change(|writer| writer.delete_table("db", "t"))
                .expect("the table goes");
            assert_eq!((count(&before), count(&after)), (1, 3));
            assert_eq!(count(&store.snapshot().expect("a snapshot")), 0);
            assert_eq!(store.points_stored(), 0);
        }
    }

    #[test]
    fn a_temporary_folder_goes_with_the_store() {
        let store = store(None);
        let path = store._folder.path().to_owned();
        assert!(path.exists());
        drop(store);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_is_free_even_if_a_child_process_has_a_copy_of_its_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(Some(folder.path()));
        let Folder::Persistent { _lock: lock, .. } = &store._folder else {
            panic!("the folder is given");
        };
        let _copy = lock.0.try_clone().expect("a copy");
        drop(store);
        Store::open(Some(folder.path())).expect("the folder is free");
    }
}
